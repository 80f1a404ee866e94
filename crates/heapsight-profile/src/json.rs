//! The JSON layouts: the inspector's, where a node has a `callFrame`, and the flat one of npm `heap-profile`. A file of
//! speedscope is handed over to `speedscope.rs`.
//!
//! Both are told apart node by node. Nodes are numbered in the order in which they begin, which is pre-order; the way
//! back up is a list, so the depth of the tree costs no stack.

use rustc_hash::FxHashMap;

use crate::{
    error::{Problem, ReadError},
    input::Input,
    profile::{Counts, Function, FunctionTable, NO_POSITION, Nodes, Profile, Sample},
    speedscope::{self, Member},
    strings::Strings,
};

const TREE: &str = "the call tree";
const SAMPLES: &str = "the samples";
const OUTSIDE: &str = "the file";

/// Keys of the outermost object.
enum Outer {
    Head,
    Samples,
    Interval,
    Speedscope(Member),
    Foreign(&'static str),
    Other,
}

fn outer(key: &[u8]) -> Outer {
    match key {
        b"head" => Outer::Head,
        b"samples" => Outer::Samples,
        b"samplingInterval" => Outer::Interval,
        b"snapshot" => Outer::Foreign("a heap snapshot or an allocation timeline"),
        b"timeDeltas" | b"startTime" => Outer::Foreign("a CPU profile"),
        b"traceEvents" => Outer::Foreign("a trace of Chromium"),
        b"shared" | b"profiles" | b"activeProfileIndex" => Outer::Speedscope(speedscope::member(key)),
        b"mappings" => Outer::Foreign("a source map"),
        _ => Outer::Other,
    }
}

/// Keys of a node, and of its `callFrame`.
enum Inner {
    CallFrame,
    Name,
    Url,
    Line,
    Column,
    SelfSize,
    Id,
    Children,
    Other,
}

fn inner(key: &[u8]) -> Inner {
    match key {
        b"callFrame" => Inner::CallFrame,
        b"functionName" => Inner::Name,
        b"url" => Inner::Url,
        b"lineNumber" => Inner::Line,
        b"columnNumber" => Inner::Column,
        b"selfSize" => Inner::SelfSize,
        b"id" => Inner::Id,
        b"children" => Inner::Children,
        _ => Inner::Other,
    }
}

/// A node whose end has not come yet.
struct Open {
    node: u32,
    function: Function,
    flat: bool,
    /// Whether a member has come already.
    begun: bool,
}

/// A sample before its node is known by position.
struct RawSample {
    size: u64,
    id: u64,
    ordinal: u64,
}

#[derive(Default)]
struct Reader {
    strings: Strings,
    functions: FunctionTable,
    nodes: Nodes,
    ids: Vec<u64>,
    samples: Vec<RawSample>,
    has_samples: bool,
    interval: Option<u64>,
}

/// Reads a profile in JSON.
pub(crate) fn read(input: &mut Input<'_>) -> Result<Profile, ReadError> {
    let mut reader = Reader::default();
    input.expect(b'{', "`{`", OUTSIDE)?;
    let mut has_head = false;
    let mut foreign = None;
    let mut begun = false;
    while !input.took(b'}')? {
        comma(input, &mut begun, OUTSIDE)?;
        let offset = input.offset();
        match input.key(OUTSIDE, outer)? {
            Outer::Head => {
                if has_head {
                    return Err(Problem::Value("there is a second call tree".into()).at(offset));
                }
                has_head = true;
                reader.tree(input)?;
            }
            Outer::Samples if matches!(input.peek()?, Some(b'[')) => {
                if !has_head && foreign.is_some() {
                    return Err(Problem::Foreign("a CPU profile").at(offset));
                }
                reader.samples(input)?;
            }
            Outer::Interval => reader.interval = number(input, OUTSIDE)?.filter(|&n| n > 0),
            Outer::Foreign(kind) => {
                foreign = Some(kind);
                if !has_head {
                    return Err(Problem::Foreign(kind).at(offset));
                }
                input.skip_value(OUTSIDE)?;
            }
            Outer::Speedscope(member) if !has_head => return speedscope::read(input, member),
            Outer::Speedscope(_) | Outer::Samples | Outer::Other => input.skip_value(OUTSIDE)?,
        }
    }
    if !has_head {
        return Err(Problem::Foreign("JSON without a `head`").at(0));
    }
    if input.peek()?.is_some() {
        return Err(input.wrong("the end of the file", OUTSIDE));
    }
    Ok(reader.finish())
}

/// The comma before each member but the first.
pub(crate) fn comma(input: &mut Input<'_>, begun: &mut bool, within: &'static str) -> Result<(), ReadError> {
    if *begun {
        input.expect(b',', "`,` or the end of the object", within)?;
    }
    *begun = true;
    Ok(())
}

/// A number that is a whole one from 0; fractions are rounded. `null` is nothing.
pub(crate) fn number(input: &mut Input<'_>, within: &'static str) -> Result<Option<u64>, ReadError> {
    let offset = input.offset();
    match input.number(within)? {
        Some(n) if !(0.0..=9_007_199_254_740_992.0).contains(&n) => {
            Err(Problem::Value(format!("{n} is no size, count or id")).at(offset))
        }
        number => Ok(number.map(|n| n.round() as u64)),
    }
}

/// A line or column. V8 writes -1 where it knows none.
fn position(input: &mut Input<'_>) -> Result<i32, ReadError> {
    let n = input.number(TREE)?.unwrap_or(f64::from(NO_POSITION));
    Ok(if n >= 0.0 && n < f64::from(i32::MAX) { n as i32 } else { NO_POSITION })
}

impl Reader {
    fn tree(&mut self, input: &mut Input<'_>) -> Result<(), ReadError> {
        let mut open: Vec<Open> = Vec::new();
        input.expect(b'{', "the root of the call tree", TREE)?;
        self.begin(&mut open);
        while let Some(top) = open.last_mut() {
            if input.took(b'}')? {
                self.end(&mut open);
                // The node is over; so is the list of children if a bracket follows.
                if open.is_empty() {
                    return Ok(());
                }
                if input.took(b',')? {
                    input.expect(b'{', "a child", TREE)?;
                    self.begin(&mut open);
                } else {
                    input.expect(b']', "`,` or `]` in the list of children", TREE)?;
                }
                continue;
            }
            comma(input, &mut top.begun, TREE)?;
            match input.key(TREE, inner)? {
                Inner::CallFrame => call_frame(input, &mut self.strings, &mut top.function)?,
                Inner::SelfSize => {
                    self.nodes.self_size[top.node as usize] = number(input, TREE)?.unwrap_or(0);
                }
                Inner::Id => self.ids[top.node as usize] = number(input, TREE)?.unwrap_or(u64::MAX),
                Inner::Children => {
                    if input.peek()? == Some(b'n') {
                        input.skip_value(TREE)?;
                        continue;
                    }
                    input.expect(b'[', "the list of children", TREE)?;
                    if !input.took(b']')? {
                        input.expect(b'{', "a child", TREE)?;
                        self.begin(&mut open);
                    }
                }
                member => {
                    top.flat |= member_of_frame(&member, input, &mut self.strings, &mut top.function)?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, open: &mut Vec<Open>) {
        let node = self.nodes.len() as u32;
        self.nodes.parent.push(open.last().map_or(u32::MAX, |parent| parent.node));
        self.nodes.function.push(0);
        self.nodes.self_size.push(0);
        self.nodes.self_count.push(0);
        self.ids.push(u64::MAX);
        let empty = self.strings.number("");
        let function = Function { name: empty, url: empty, line: NO_POSITION, column: NO_POSITION };
        open.push(Open { node, function, flat: false, begun: false });
    }

    fn end(&mut self, open: &mut Vec<Open>) {
        let Some(mut node) = open.pop() else { return };
        if node.flat {
            // V8's own interface, which npm `heap-profile` writes as it is, counts from 1, and 0 is unknown.
            node.function.line -= i32::from(node.function.line >= 0);
            node.function.column -= i32::from(node.function.column >= 0);
        }
        self.nodes.function[node.node as usize] = self.functions.number(node.function);
    }

    fn samples(&mut self, input: &mut Input<'_>) -> Result<(), ReadError> {
        input.expect(b'[', "the list of samples", SAMPLES)?;
        self.has_samples = true;
        if input.took(b']')? {
            return Ok(());
        }
        loop {
            input.expect(b'{', "a sample", SAMPLES)?;
            let mut sample = RawSample { size: 0, id: u64::MAX, ordinal: 0 };
            let mut begun = false;
            while !input.took(b'}')? {
                comma(input, &mut begun, SAMPLES)?;
                let key = |key: &[u8]| match key {
                    b"size" => 0,
                    b"nodeId" => 1,
                    b"ordinal" => 2,
                    _ => 3,
                };
                match input.key(SAMPLES, key)? {
                    0 => sample.size = number(input, SAMPLES)?.unwrap_or(0),
                    1 => sample.id = number(input, SAMPLES)?.unwrap_or(u64::MAX),
                    2 => sample.ordinal = number(input, SAMPLES)?.unwrap_or(0),
                    _ => input.skip_value(SAMPLES)?,
                }
            }
            self.samples.push(sample);
            if !input.took(b',')? {
                return input.expect(b']', "`,` or `]` in the list of samples", SAMPLES);
            }
        }
    }

    fn finish(self) -> Profile {
        let mut profile = Profile {
            strings: self.strings,
            functions: self.functions.list,
            nodes: self.nodes,
            counts: if self.has_samples { Counts::Samples } else { Counts::Nothing },
            interval: self.interval,
            ..Profile::default()
        };
        let known = self.ids.iter().enumerate().filter(|(_, id)| **id != u64::MAX);
        let by_id: FxHashMap<u64, u32> = known.map(|(node, id)| (*id, node as u32)).collect();
        // Numbers begin at 1; versions of V8 without numbers leave them 0.
        profile.samples_taken =
            self.samples.iter().map(|sample| sample.ordinal).max().filter(|&last| last > 0);
        profile.samples.reserve_exact(self.samples.len());
        for sample in self.samples {
            match by_id.get(&sample.id) {
                Some(&node) => {
                    profile.nodes.self_count[node as usize] += 1;
                    profile.samples.push(Sample { node, size: sample.size, ordinal: sample.ordinal });
                }
                None => profile.stray_samples += 1,
            }
        }
        profile
    }
}

fn call_frame(
    input: &mut Input<'_>,
    strings: &mut Strings,
    function: &mut Function,
) -> Result<(), ReadError> {
    input.expect(b'{', "a call frame", TREE)?;
    let mut begun = false;
    while !input.took(b'}')? {
        comma(input, &mut begun, TREE)?;
        let member = input.key(TREE, inner)?;
        member_of_frame(&member, input, strings, function)?;
    }
    Ok(())
}

/// Reads a member that says which function it is; false for a member that does not, which is passed over.
fn member_of_frame(
    member: &Inner,
    input: &mut Input<'_>,
    strings: &mut Strings,
    function: &mut Function,
) -> Result<bool, ReadError> {
    match member {
        Inner::Name => function.name = text(input, strings)?,
        Inner::Url => function.url = text(input, strings)?,
        Inner::Line => function.line = position(input)?,
        Inner::Column => function.column = position(input)?,
        _ => {
            input.skip_value(TREE)?;
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn text(input: &mut Input<'_>, strings: &mut Strings) -> Result<u32, ReadError> {
    if input.peek()? == Some(b'n') {
        input.skip_value(TREE)?;
        return Ok(strings.number(""));
    }
    Ok(strings.number(&input.string(TREE)?))
}
