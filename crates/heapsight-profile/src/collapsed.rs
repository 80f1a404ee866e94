//! Collapsed stacks: a line is `outer;inner bytes`.
//!
//! The frames that [`collapsed`](crate::collapsed()) writes, `name file:line`, get their places back; the frames of other
//! tools (async-profiler, inferno, Pyroscope) are names, with blanks or without. Read line by line; linear in the bytes.
//! Every line that is not empty has to end with a blank and a whole number, so that prose is not taken for stacks.
//!
//! Source: <https://github.com/brendangregg/FlameGraph>, what `flamegraph.pl` takes.

use memchr::{memchr_iter, memrchr};

use crate::{
    error::{Problem, ReadError},
    input::Input,
    profile::{Builder, Frame, NO_POSITION, Profile},
    strings::Strings,
};

/// Functions by the text of their frames.
#[derive(Default)]
struct Labels {
    strings: Strings,
    functions: Vec<u32>,
}

impl Labels {
    fn function(&mut self, label: &[u8], builder: &mut Builder) -> u32 {
        let label = String::from_utf8_lossy(label);
        let number = self.strings.number(&label) as usize;
        if number == self.functions.len() {
            self.functions.push(builder.function(frame(&label)));
        }
        self.functions[number]
    }
}

/// Reads collapsed stacks.
pub(crate) fn read(input: &mut Input<'_>) -> Result<Profile, ReadError> {
    let mut builder = Builder::new();
    let mut labels = Labels::default();
    let (mut number, mut is_first) = (0u64, true);
    loop {
        let offset = input.offset();
        let Some(line) = input.line()? else { break };
        number += 1;
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        let Some((stack, size)) = parted(line) else {
            let problem = if is_first && line.trim_ascii_start().starts_with(b"[") {
                Problem::Foreign("a JSON list")
            } else if is_first {
                Problem::Foreign("neither JSON, pprof nor collapsed stacks")
            } else {
                Problem::Value(format!(
                    "line {number} is no stack: it does not end with a blank and a whole number of bytes"
                ))
            };
            return Err(problem.at(offset));
        };
        is_first = false;
        let mut node = Builder::ROOT;
        let mut start = 0;
        for end in memchr_iter(b';', stack).chain([stack.len()]) {
            let label = &stack[start..end];
            if start > 0 || label != b"(root)" {
                let function = labels.function(label, &mut builder);
                node = builder.child(node, function);
            }
            start = end + 1;
        }
        builder.add(node, size, 0);
    }
    Ok(builder.finish().0)
}

/// Stack and bytes of a line.
fn parted(line: &[u8]) -> Option<(&[u8], u64)> {
    let blank = memrchr(b' ', line)?;
    let (stack, size) = (&line[..blank], &line[blank + 1..]);
    if stack.trim_ascii().is_empty() || !size.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((stack, std::str::from_utf8(size).ok()?.parse().ok()?))
}

/// A frame by its text.
fn frame(label: &str) -> Frame<'_> {
    let named = || Frame { name: label, url: "", line: NO_POSITION, column: NO_POSITION };
    let mut frame = placed(label).unwrap_or_else(named);
    if frame.name == "(anonymous)" {
        frame.name = "";
    }
    frame
}

/// A frame that ends with its place: `name file:line`, or `name file:line:column` as V8 names code to other tools.
fn placed(label: &str) -> Option<Frame<'_>> {
    let (name, place) = label.rsplit_once(' ')?;
    let (mut url, last) = numbered(place)?;
    let (mut line, mut column) = (last, NO_POSITION);
    if let Some((file, number)) = numbered(url) {
        (url, line, column) = (file, number, last);
    }
    (!name.is_empty()).then_some(Frame { name, url, line, column })
}

/// What stands before a colon and a number that counts from 1, and that number counted from 0.
fn numbered(text: &str) -> Option<(&str, i32)> {
    let (before, number) = text.rsplit_once(':')?;
    if before.is_empty() || number.starts_with('0') || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((before, number.parse::<i32>().ok()? - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_names() {
        let parts = |label| {
            let Frame { name, url, line, column } = frame(label);
            (name, url, line, column)
        };
        for (label, expected) in [
            ("grow store.js:12", ("grow", "store.js", 11, NO_POSITION)),
            ("get size store.js:12", ("get size", "store.js", 11, NO_POSITION)),
            ("(anonymous) x.js:1", ("", "x.js", 0, NO_POSITION)),
            ("read node:fs:44", ("read", "node:fs", 43, NO_POSITION)),
            ("LazyCompile:*grow /srv/store.js:12:7", ("LazyCompile:*grow", "/srv/store.js", 11, 6)),
        ] {
            assert_eq!(parts(label), expected);
        }
        for name in [
            "java/util/HashMap.resize_[j]",
            "std::vector<int, std::allocator<int> >::push_back",
            "operator new(unsigned long)",
            "app.py:12",
            "main app.js",
            "x y:0",
            "x y:+1",
            "x y:99999999999",
            " y:1",
            "[unknown]",
            "",
        ] {
            assert_eq!(parts(name), (name, "", NO_POSITION, NO_POSITION));
        }
    }
}
