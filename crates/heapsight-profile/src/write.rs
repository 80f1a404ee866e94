//! Profiles in the formats of other tools.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use thiserror::Error;

use crate::{
    profile::{Counts, Frame, NO_POSITION, Profile},
    wire,
};

/// Frames that a format with one line a stack may take in all; ten gigabytes of text, about.
const MOST_FRAMES: u64 = 200_000_000;

/// The stacks are too deep for a format that writes each of them whole.
#[derive(Clone, Copy, Debug, Error)]
#[error("the stacks have {frames} frames in all, too many to write each stack whole")]
pub struct TooDeep {
    /// Frames of all stacks with bytes.
    pub frames: u64,
}

/// Fails if writing each stack whole would take too much.
fn check_depth(profile: &Profile) -> Result<(), TooDeep> {
    let nodes = &profile.nodes;
    let mut depth = vec![0u64; nodes.len()];
    let mut frames = 0u64;
    for node in 1..nodes.len() {
        depth[node] = depth[nodes.parent[node] as usize] + 1;
        if nodes.self_size[node] > 0 {
            frames += depth[node];
        }
    }
    if frames > MOST_FRAMES { Err(TooDeep { frames }) } else { Ok(()) }
}

/// Goes over the tree in order: `enter` for each node, with whether it is its parent's first child; `leave` when its
/// children are over.
fn walk<S>(
    profile: &Profile,
    state: &mut S,
    mut enter: impl FnMut(&mut S, usize, bool) -> io::Result<()>,
    mut leave: impl FnMut(&mut S, usize) -> io::Result<()>,
) -> io::Result<()> {
    let nodes = &profile.nodes;
    let mut open: Vec<u32> = Vec::new();
    for node in 0..nodes.len() {
        let mut first = true;
        while let Some(&last) = open.last()
            && nodes.parent[node] != last
        {
            leave(state, last as usize)?;
            open.pop();
            first = false;
        }
        enter(state, node, first)?;
        open.push(node as u32);
    }
    while let Some(last) = open.pop() {
        leave(state, last as usize)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    // A text always has a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}

/// Text and numbers that are written together. A merged profile has millions of them, and `write!` takes three times as
/// long.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        let written = out.write_all(&self.0);
        self.0.clear();
        written
    }
}

/// Writes the inspector's layout, which DevTools opens.
pub fn inspector<W: Write>(profile: &Profile, out: &mut W) -> io::Result<()> {
    let mut frames: Vec<String> = Vec::with_capacity(profile.functions.len());
    for function in 0..profile.functions.len() as u32 {
        let Frame { name, url, line, column } = profile.frame(function);
        let (name, url) = (quoted(name), quoted(url));
        frames.push(format!(
            "{{\"callFrame\":{{\"functionName\":{name},\"scriptId\":\"0\",\"url\":{url},\"lineNumber\":{line},\"columnNumber\":{column}}}"
        ));
    }
    out.write_all(b"{\"head\":")?;
    let mut line = Line::default();
    let enter = |out: &mut W, node: usize, first: bool| {
        let comma = if first { "" } else { "," };
        let frame = &frames[profile.nodes.function[node] as usize];
        line.text(comma).text(frame).text(",\"selfSize\":").number(profile.nodes.self_size[node]);
        line.text(",\"id\":").number(node as u64 + 1).text(",\"children\":[").write(out)
    };
    walk(profile, out, enter, |out, _| out.write_all(b"]}"))?;
    if profile.counts == Counts::Samples && !profile.samples.is_empty() {
        out.write_all(b",\"samples\":[")?;
        let mut line = Line::default();
        for (at, sample) in profile.samples.iter().enumerate() {
            line.text(if at == 0 { "{\"size\":" } else { ",{\"size\":" }).number(sample.size);
            line.text(",\"nodeId\":").number(u64::from(sample.node) + 1);
            line.text(",\"ordinal\":").number(sample.ordinal).text("}").write(out)?;
        }
        out.write_all(b"]")?;
    }
    out.write_all(b"}")
}

/// Writes the flat layout of npm `heap-profile`. Lines and columns count from 1 in it, and 0 is unknown.
pub fn flat<W: Write>(profile: &Profile, out: &mut W) -> io::Result<()> {
    let mut frames: Vec<String> = Vec::with_capacity(profile.functions.len());
    for function in 0..profile.functions.len() as u32 {
        let frame = profile.frame(function);
        let (name, url) = (quoted(frame.name), quoted(frame.url));
        let (line, column) = frame.position();
        let (line, column) = (line.unwrap_or(0), column.unwrap_or(0));
        frames.push(format!(
            "{{\"functionName\":{name},\"scriptId\":0,\"lineNumber\":{line},\"columnNumber\":{column},\"url\":{url}"
        ));
    }
    out.write_all(b"{\"head\":")?;
    let enter = |out: &mut W, node: usize, first: bool| {
        let comma = if first { "" } else { "," };
        let frame = &frames[profile.nodes.function[node] as usize];
        write!(out, "{comma}{frame},\"selfSize\":{},\"children\":[", profile.nodes.self_size[node])
    };
    walk(profile, out, enter, |out, _| out.write_all(b"]}"))?;
    out.write_all(b"}")
}

/// A function in one line for people: `name file:line`.
fn label(frame: &Frame<'_>) -> String {
    let name = if frame.name.is_empty() { "(anonymous)" } else { frame.name };
    let file = if frame.url.starts_with("node:") {
        frame.url
    } else {
        frame.url.rsplit(['/', '\\']).next().unwrap_or_default()
    };
    match (file.is_empty(), frame.position().0) {
        (true, _) => name.to_owned(),
        (false, None) => format!("{name} {file}"),
        (false, Some(line)) => format!("{name} {file}:{line}"),
    }
}

/// Writes collapsed stacks, as flame graph tools read them: `outer;inner bytes`, one line a stack, equal lines apart.
///
/// # Errors
///
/// The stacks are too deep to be written whole ([`TooDeep`], wrapped), or writing fails.
pub fn collapsed(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    check_depth(profile).map_err(io::Error::other)?;
    let labels: Vec<String> = (0..profile.functions.len() as u32).map(|f| one_line(profile, f)).collect();
    // The text of the stack so far, and where each frame of it begins.
    let mut state = (String::new(), Vec::new(), out);
    walk(
        profile,
        &mut state,
        |(text, starts, out), node, _| {
            starts.push(text.len());
            if node > 0 {
                if !text.is_empty() {
                    text.push(';');
                }
                text.push_str(&labels[profile.nodes.function[node] as usize]);
            }
            let size = profile.nodes.self_size[node];
            let shown = if node == 0 { "(root)" } else { text.as_str() };
            if size > 0 { writeln!(out, "{shown} {size}") } else { Ok(()) }
        },
        |(text, starts, _), _| {
            text.truncate(starts.pop().unwrap_or(0));
            Ok(())
        },
    )
}

/// The label of a function as collapsed stacks can hold it: `;` parts frames there, and a line break lines.
fn one_line(profile: &Profile, function: u32) -> String {
    label(&profile.frame(function)).replace(';', ":").replace(['\n', '\r'], " ")
}

/// Writes one line a node of the call tree: `id,parent_id,name,url,line,column,self_size,total_size,self_count`. Lines and
/// columns count from 1; the count is empty if the profile has none, and its column is `self_objects` if it counts objects.
pub fn csv(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let cell = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let shown = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
    let nodes = &profile.nodes;
    let totals = nodes.totals(&nodes.self_size);
    writeln!(out, "{}", crate::csv::header(profile.counts))?;
    for node in 0..nodes.len() {
        let frame = profile.frame(nodes.function[node]);
        let (line, column) = frame.position();
        let parent = if node == 0 { None } else { Some(nodes.parent[node] + 1) };
        let count = if profile.counts == Counts::Nothing {
            String::new()
        } else {
            nodes.self_count[node].to_string()
        };
        let (name, url) = (cell(frame.name), cell(frame.url));
        let (parent, line, column) = (shown(parent), shown(line), shown(column));
        let (size, total) = (nodes.self_size[node], totals[node]);
        writeln!(out, "{},{parent},{name},{url},{line},{column},{size},{total},{count}", node + 1)?;
    }
    Ok(())
}

/// Writes a file of speedscope: the calls are laid side by side, as wide as their bytes. It is as long as the tree, not as
/// the sum of all stacks.
///
/// Source: <https://github.com/jlfwong/speedscope/blob/main/src/lib/file-format-spec.ts>, type `evented`.
pub fn speedscope(profile: &Profile, name: &str, out: &mut impl Write) -> io::Result<()> {
    let totals = profile.nodes.totals(&profile.nodes.self_size);
    let all = totals.first().copied().unwrap_or(0);
    let title = quoted(name);
    write!(
        out,
        "{{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"name\":{title},\"exporter\":\"heapsight\",\"activeProfileIndex\":0,\"shared\":{{\"frames\":["
    )?;
    for function in 0..profile.functions.len() as u32 {
        let frame = profile.frame(function);
        let comma = if function == 0 { "" } else { "," };
        let shown = if frame.name.is_empty() { "(anonymous)" } else { frame.name };
        write!(out, "{comma}{{\"name\":{}", quoted(shown))?;
        if !frame.url.is_empty() {
            write!(out, ",\"file\":{}", quoted(frame.url))?;
        }
        if let (Some(line), column) = frame.position() {
            write!(out, ",\"line\":{line}")?;
            if let Some(column) = column {
                write!(out, ",\"col\":{column}")?;
            }
        }
        out.write_all(b"}")?;
    }
    write!(
        out,
        "]}},\"profiles\":[{{\"type\":\"evented\",\"name\":{title},\"unit\":\"bytes\",\"startValue\":0,\"endValue\":{all},\"events\":["
    )?;
    let mut state = (0u64, true, out);
    walk(
        profile,
        &mut state,
        |(at, first, out), node, _| {
            if node > 0 && totals[node] > 0 {
                let comma = if *first { "" } else { "," };
                *first = false;
                let frame = profile.nodes.function[node];
                write!(out, "{comma}{{\"type\":\"O\",\"frame\":{frame},\"at\":{at}}}")?;
            }
            *at += profile.nodes.self_size[node];
            Ok(())
        },
        |(at, _, out), node| {
            if node > 0 && totals[node] > 0 {
                let frame = profile.nodes.function[node];
                write!(out, ",{{\"type\":\"C\",\"frame\":{frame},\"at\":{at}}}")?;
            }
            Ok(())
        },
    )?;
    state.2.write_all(b"]}]}")
}

/// What the values of a pprof profile are called, and when it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called<'n> {
    /// The values that are counts; nothing leaves them out.
    pub counts: Option<&'n str>,
    /// The values that are bytes.
    pub sizes: &'n str,
    /// When the recording began, in nanoseconds since 1970; 0 is not known.
    pub time_ns: u64,
    /// How long it took, in nanoseconds; 0 is not known.
    pub duration_ns: u64,
}

/// Writes a heap profile of pprof, in gzip: values `objects/count` (0 where the profile does not count objects) and
/// `space/bytes`; with samples counted, `samples/count` in place of the first.
///
/// # Errors
///
/// The stacks are too deep to be written whole ([`TooDeep`], wrapped), or writing fails.
pub fn pprof(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let counts = if profile.counts == Counts::Samples { "samples" } else { "objects" };
    let called = Called { counts: Some(counts), sizes: "space", time_ns: 0, duration_ns: 0 };
    pprof_called(profile, called, out)
}

/// Writes a heap profile of pprof, in gzip, with values called as its reader wants them.
///
/// # Errors
///
/// As [`pprof`].
pub fn pprof_called(profile: &Profile, called: Called<'_>, out: &mut impl Write) -> io::Result<()> {
    check_depth(profile).map_err(io::Error::other)?;
    let mut gzip = GzEncoder::new(out, Compression::default());
    let counted = called.counts.is_some();
    let mut strings: Vec<&str> = vec!["", called.counts.unwrap_or_default(), "count", called.sizes, "bytes"];
    let mut message = Vec::new();
    let mut buffer = Vec::new();
    for (kind, unit) in [(1, 2), (3, 4)] {
        if kind == 1 && !counted {
            continue;
        }
        message.clear();
        wire::number(&mut message, 1, kind);
        wire::number(&mut message, 2, unit);
        wire::bytes(&mut buffer, 1, &message);
    }
    gzip.write_all(&buffer)?;
    let nodes = &profile.nodes;
    let mut stack = Vec::new();
    let mut values = Vec::new();
    for node in 0..nodes.len() {
        let count = if counted { nodes.self_count[node] } else { 0 };
        if nodes.self_size[node] == 0 && count == 0 {
            continue;
        }
        stack.clear();
        values.clear();
        message.clear();
        buffer.clear();
        let mut at = node;
        while at != 0 {
            wire::varint(&mut stack, u64::from(nodes.function[at]) + 1);
            at = nodes.parent[at] as usize;
        }
        if counted {
            wire::varint(&mut values, count);
        }
        wire::varint(&mut values, nodes.self_size[node]);
        wire::bytes(&mut message, 1, &stack);
        wire::bytes(&mut message, 2, &values);
        wire::bytes(&mut buffer, 2, &message);
        gzip.write_all(&buffer)?;
    }
    // Strings of the profile follow those above.
    let own = strings.len() as u64;
    strings.extend((0..profile.strings.len() as u32).map(|number| profile.strings.get(number)));
    for (at, function) in profile.functions.iter().enumerate() {
        stack.clear();
        message.clear();
        buffer.clear();
        let id = at as u64 + 1;
        let from_one = |n: i32| if n == NO_POSITION { 0 } else { n as u64 + 1 };
        wire::number(&mut stack, 1, id);
        wire::number(&mut stack, 2, from_one(function.line));
        wire::number(&mut stack, 3, from_one(function.column));
        wire::number(&mut message, 1, id);
        wire::bytes(&mut message, 4, &stack);
        wire::bytes(&mut buffer, 4, &message);
        message.clear();
        wire::number(&mut message, 1, id);
        wire::number(&mut message, 2, u64::from(function.name) + own);
        wire::number(&mut message, 4, u64::from(function.url) + own);
        wire::number(&mut message, 5, from_one(function.line));
        wire::bytes(&mut buffer, 5, &message);
        gzip.write_all(&buffer)?;
    }
    buffer.clear();
    for text in strings {
        wire::bytes(&mut buffer, 6, text.as_bytes());
    }
    wire::number(&mut buffer, 9, called.time_ns);
    wire::number(&mut buffer, 10, called.duration_ns);
    if let Some(interval) = profile.interval {
        message.clear();
        wire::number(&mut message, 1, 3);
        wire::number(&mut message, 2, 4);
        wire::bytes(&mut buffer, 11, &message);
        wire::number(&mut buffer, 12, interval);
    }
    wire::number(&mut buffer, 14, 3);
    gzip.write_all(&buffer)?;
    gzip.finish()?;
    Ok(())
}
