//! Heap profiles of pprof.
//!
//! Source: <https://github.com/google/pprof/blob/main/proto/profile.proto>. A sample is a stack, innermost first, with
//! one value for each type; the bytes and the objects of heap profiles are two of them.

use rustc_hash::FxHashMap;

use crate::{
    error::{Problem, ReadError},
    profile::{Builder, Counts, Frame, NO_POSITION, Profile},
    wire::{Message, Value},
};

/// Whether a file may be pprof: its first field is one that a profile has, and it does not begin as a text does. Numbers and
/// lengths in the first messages are small, which are control characters in a text.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let is_field =
        matches!(head, [0x0a | 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x48 | 0x50 | 0x5a | 0x60, _, ..]);
    is_field && !is_text(head)
}

/// Whether bytes are UTF-8, as far as they go, without control characters but white space.
fn is_text(bytes: &[u8]) -> bool {
    let is_whole = std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_whole && !bytes.iter().any(|&b| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0x7f)
}

#[derive(Clone, Copy, Default)]
struct ValueType {
    kind: u64,
    unit: u64,
}

/// A line of a location: function and line number.
#[derive(Clone, Copy)]
struct Call {
    function: u64,
    line: u64,
    column: u64,
}

#[derive(Clone, Copy)]
struct Function {
    name: u64,
    file: u64,
    line: u64,
}

/// Signed numbers stand as their two's complement.
fn not_negative(value: u64) -> u64 {
    if value > i64::MAX as u64 { 0 } else { value }
}

fn from_one(value: u64) -> i32 {
    i32::try_from(not_negative(value)).map_or(NO_POSITION, |n| n - 1)
}

/// Reads an unpacked pprof profile.
pub(crate) fn read(bytes: &[u8]) -> Result<Profile, ReadError> {
    let mut strings: Vec<String> = Vec::new();
    let mut types: Vec<ValueType> = Vec::new();
    let mut samples: Vec<Message<'_>> = Vec::new();
    let mut locations: FxHashMap<u64, Vec<Call>> = FxHashMap::default();
    let mut functions: FxHashMap<u64, Function> = FxHashMap::default();
    let (mut period, mut period_type, mut default_type) = (0, ValueType::default(), 0);
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        let inside = message.inside(value.bytes());
        match (field, value) {
            (1, Value::Bytes(_)) => types.push(value_type(inside)?),
            (2, Value::Bytes(_)) => samples.push(inside),
            (4, Value::Bytes(_)) => {
                let (id, lines) = location(inside)?;
                locations.insert(id, lines);
            }
            (5, Value::Bytes(_)) => {
                let (id, found) = function(inside)?;
                functions.insert(id, found);
            }
            (6, Value::Bytes(text)) => strings.push(String::from_utf8_lossy(text).into_owned()),
            (11, Value::Bytes(_)) => period_type = value_type(inside)?,
            (12, _) => period = value.number(),
            (14, _) => default_type = value.number(),
            _ => {}
        }
    }
    let text =
        |number: u64| usize::try_from(number).ok().and_then(|n| strings.get(n)).map_or("", String::as_str);
    let is_bytes = |of: &ValueType| text(of.unit) == "bytes";
    // What the profile says is meant; else what is alive rather than all that was allocated; else the last.
    let size = types
        .iter()
        .position(|t| default_type != 0 && t.kind == default_type && is_bytes(t))
        .or_else(|| types.iter().position(|t| is_bytes(t) && text(t.kind).starts_with("inuse")))
        .or_else(|| types.iter().rposition(is_bytes));
    let Some(size) = size else {
        return Err(Problem::Foreign("a pprof profile without bytes (of CPU time, perhaps)").at(0));
    };
    let count = size.checked_sub(1).filter(|&at| text(types[at].unit) == "count");

    let mut builder = Builder::new();
    let mut numbers: FxHashMap<(u64, u64, u64), u32> = FxHashMap::default();
    let (mut stack, mut values) = (Vec::new(), Vec::new());
    for mut sample in samples {
        stack.clear();
        values.clear();
        while let Some((field, value)) = sample.next()? {
            match field {
                1 => sample.numbers(value, &mut stack)?,
                2 => sample.numbers(value, &mut values)?,
                _ => {}
            }
        }
        let mut node = Builder::ROOT;
        for lines in stack.iter().rev().filter_map(|id| locations.get(id)) {
            for line in lines.iter().rev() {
                let key = (line.function, line.line, line.column);
                let number = *numbers.entry(key).or_insert_with(|| {
                    let of = functions.get(&line.function);
                    let begins = of.map_or(0, |of| of.line);
                    builder.function(Frame {
                        name: of.map_or("", |of| text(of.name)),
                        url: of.map_or("", |of| text(of.file)),
                        line: from_one(if begins > 0 { begins } else { line.line }),
                        column: from_one(line.column),
                    })
                });
                node = builder.child(node, number);
            }
        }
        let value = |at: Option<usize>| at.and_then(|at| values.get(at)).map_or(0, |&v| not_negative(v));
        builder.add(node, value(Some(size)), value(count));
    }
    let (mut profile, _) = builder.finish();
    profile.counts = match count.map(|at| text(types[at].kind)) {
        None => Counts::Nothing,
        Some("samples") => Counts::Samples,
        // Who does not count objects has to write something, too.
        Some(_) if profile.total_count() == 0 => Counts::Nothing,
        Some(_) => Counts::Objects,
    };
    profile.interval = Some(not_negative(period)).filter(|&n| n > 0 && is_bytes(&period_type));
    Ok(profile)
}

fn value_type(mut message: Message<'_>) -> Result<ValueType, ReadError> {
    let mut out = ValueType::default();
    while let Some((field, value)) = message.next()? {
        match field {
            1 => out.kind = value.number(),
            2 => out.unit = value.number(),
            _ => {}
        }
    }
    Ok(out)
}

fn location(mut message: Message<'_>) -> Result<(u64, Vec<Call>), ReadError> {
    let (mut id, mut lines) = (0, Vec::new());
    while let Some((field, value)) = message.next()? {
        match field {
            1 => id = value.number(),
            4 => {
                let mut inside = message.inside(value.bytes());
                let mut line = Call { function: 0, line: 0, column: 0 };
                while let Some((field, value)) = inside.next()? {
                    match field {
                        1 => line.function = value.number(),
                        2 => line.line = value.number(),
                        3 => line.column = value.number(),
                        _ => {}
                    }
                }
                lines.push(line);
            }
            _ => {}
        }
    }
    Ok((id, lines))
}

fn function(mut message: Message<'_>) -> Result<(u64, Function), ReadError> {
    let mut id = 0;
    let mut out = Function { name: 0, file: 0, line: 0 };
    while let Some((field, value)) = message.next()? {
        match field {
            1 => id = value.number(),
            2 => out.name = value.number(),
            4 => out.file = value.number(),
            5 => out.line = value.number(),
            _ => {}
        }
    }
    Ok((id, out))
}
