//! Files of speedscope.
//!
//! The frames of all profiles are listed once and may come before or behind them, as may the number of the profile that is
//! the active one. So each profile becomes a call tree of numbers of frames while it is read; what is held is as large as the
//! trees (and the samples, four and eight bytes each), not as the events. Stacks are lists: depth costs no call stack.
//!
//! Source: <https://github.com/jlfwong/speedscope/blob/main/src/lib/file-format-spec.ts>.

use rustc_hash::FxHashMap;

use crate::{
    error::{Problem, ReadError},
    input::Input,
    json::{comma, number, text},
    profile::{Builder, Function, NO_POSITION, Nodes, Part, Profile},
    strings::Strings,
};

const FILE: &str = "the speedscope file";
const FRAMES: &str = "the frames";
const EVENTS: &str = "the events";
const SAMPLES: &str = "the samples";
const PROFILE: &str = "a profile of speedscope";

/// Keys of the outermost object.
#[derive(Clone, Copy)]
pub(crate) enum Member {
    Shared,
    Profiles,
    Active,
    Other,
}

/// What a key of the outermost object means.
pub(crate) fn member(key: &[u8]) -> Member {
    match key {
        b"shared" => Member::Shared,
        b"profiles" => Member::Profiles,
        b"activeProfileIndex" => Member::Active,
        _ => Member::Other,
    }
}

/// What the numbers of a profile are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    /// Something else, in words.
    Other(&'static str),
}

fn unit(text: &str) -> Unit {
    match text {
        "bytes" | "none" => Unit::Bytes,
        "nanoseconds" => Unit::Other("nanoseconds"),
        "microseconds" => Unit::Other("microseconds"),
        "milliseconds" => Unit::Other("milliseconds"),
        "seconds" => Unit::Other("seconds"),
        _ => Unit::Other("a unit that is not known"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Evented,
    Sampled,
}

/// A profile whose frames are numbers.
struct Tree {
    nodes: Nodes,
    children: FxHashMap<(u32, u32), u32>,
    /// The highest number of a frame, and where it stands.
    highest: Option<(u32, u64)>,
}

impl Tree {
    fn new() -> Self {
        let mut nodes = Nodes::default();
        nodes.push(u32::MAX, 0);
        Self { nodes, children: FxHashMap::default(), highest: None }
    }

    fn child(&mut self, parent: u32, frame: u32) -> u32 {
        let nodes = &mut self.nodes;
        *self.children.entry((parent, frame)).or_insert_with(|| nodes.push(parent, frame))
    }

    fn add(&mut self, node: u32, size: u64) {
        let own = &mut self.nodes.self_size[node as usize];
        *own = own.saturating_add(size);
    }

    /// A number of a frame.
    fn frame(&mut self, input: &mut Input<'_>, within: &'static str) -> Result<u32, ReadError> {
        input.peek()?;
        let offset = input.offset();
        let frame = number(input, within)?.and_then(|n| u32::try_from(n).ok());
        let Some(frame) = frame else { return Err(unknown_frame().at(offset)) };
        if self.highest.is_none_or(|(highest, _)| frame > highest) {
            self.highest = Some((frame, offset));
        }
        Ok(frame)
    }
}

fn unknown_frame() -> Problem {
    Problem::Value("there is no frame of this number in the list of frames".into())
}

/// One profile of the file.
enum Found {
    Tree {
        tree: Tree,
        name: String,
    },
    /// Its numbers are no bytes but something else, as is said at an offset.
    Foreign(&'static str, u64),
    /// Not looked at, since it is not the active one.
    Passed,
}

#[derive(Default)]
struct File {
    strings: Strings,
    frames: Vec<Function>,
    profiles: Vec<Found>,
    active: Option<u64>,
}

/// Reads on behind the key of a member that only speedscope has; what came before it does not matter.
pub(crate) fn read(input: &mut Input<'_>, mut member: Member) -> Result<Profile, ReadError> {
    let mut file = File::default();
    loop {
        match member {
            Member::Shared => file.shared(input)?,
            Member::Profiles => file.profiles(input)?,
            Member::Active => file.active = number(input, FILE)?,
            Member::Other => input.skip_value(FILE)?,
        }
        if input.took(b'}')? {
            break;
        }
        input.expect(b',', "`,` or the end of the object", FILE)?;
        member = input.key(FILE, self::member)?;
    }
    if input.peek()?.is_some() {
        return Err(input.wrong("the end of the file", FILE));
    }
    file.finish(input.offset())
}

impl File {
    fn shared(&mut self, input: &mut Input<'_>) -> Result<(), ReadError> {
        input.expect(b'{', "the object with the frames", FRAMES)?;
        let mut begun = false;
        while !input.took(b'}')? {
            comma(input, &mut begun, FRAMES)?;
            if !input.key(FRAMES, |key| key == b"frames")? {
                input.skip_value(FRAMES)?;
                continue;
            }
            list(input, "the list of frames", FRAMES, |input| {
                let frame = frame(input, &mut self.strings)?;
                self.frames.push(frame);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn profiles(&mut self, input: &mut Input<'_>) -> Result<(), ReadError> {
        list(input, "the list of profiles", FILE, |input| {
            let is_wanted = self.active.is_none_or(|active| active == self.profiles.len() as u64);
            let found = if is_wanted {
                profile(input)?
            } else {
                input.skip_value(PROFILE)?;
                Found::Passed
            };
            self.profiles.push(found);
            Ok(())
        })
    }

    fn finish(mut self, end: u64) -> Result<Profile, ReadError> {
        let (of, active) = (self.profiles.len(), self.active.unwrap_or(0));
        let wanted = usize::try_from(active).ok().filter(|&active| active < of);
        let (tree, name) = match wanted.map(|wanted| self.profiles.swap_remove(wanted)) {
            Some(Found::Tree { tree, name }) => (tree, name),
            Some(Found::Foreign(unit, offset)) => {
                let which = if of > 1 {
                    format!("profile {} of {of}, the active one,", active + 1)
                } else {
                    "the profile".to_owned()
                };
                let what = format!("{which} of this speedscope file is in {unit} and not in bytes");
                return Err(Problem::Value(what).at(offset));
            }
            Some(Found::Passed) | None if of == 0 => {
                return Err(Problem::Foreign("a speedscope file without profiles").at(end));
            }
            Some(Found::Passed) | None => {
                let what = format!(
                    "profile {} of this speedscope file is the active one, and there are {of}",
                    active.saturating_add(1)
                );
                return Err(Problem::Value(what).at(end));
            }
        };
        if let Some((highest, offset)) = tree.highest
            && highest as usize >= self.frames.len()
        {
            return Err(unknown_frame().at(offset));
        }
        let mut builder = Builder::new();
        builder.add_tree(&self.strings, &self.frames, &tree.nodes);
        let (mut profile, _) = builder.finish();
        profile.part = (of > 1).then_some(Part { name, number: active + 1, of: of as u64 });
        Ok(profile)
    }
}

/// A list, item by item.
fn list(
    input: &mut Input<'_>,
    what: &'static str,
    within: &'static str,
    mut item: impl FnMut(&mut Input<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    input.expect(b'[', what, within)?;
    if input.took(b']')? {
        return Ok(());
    }
    loop {
        item(input)?;
        if !input.took(b',')? {
            return input.expect(b']', "`,` or `]` in a list", within);
        }
    }
}

fn frame(input: &mut Input<'_>, strings: &mut Strings) -> Result<Function, ReadError> {
    let empty = strings.number("");
    let mut function = Function { name: empty, url: empty, line: NO_POSITION, column: NO_POSITION };
    input.expect(b'{', "a frame", FRAMES)?;
    let mut begun = false;
    while !input.took(b'}')? {
        comma(input, &mut begun, FRAMES)?;
        let key = |key: &[u8]| match key {
            b"name" => 0,
            b"file" => 1,
            b"line" => 2,
            b"col" => 3,
            _ => 4,
        };
        match input.key(FRAMES, key)? {
            0 => function.name = text(input, strings)?,
            1 => function.url = text(input, strings)?,
            2 => function.line = from_one(input)?,
            3 => function.column = from_one(input)?,
            _ => input.skip_value(FRAMES)?,
        }
    }
    if strings.get(function.name) == "(anonymous)" {
        function.name = empty;
    }
    Ok(function)
}

/// A line or column, which count from 1.
fn from_one(input: &mut Input<'_>) -> Result<i32, ReadError> {
    let n = input.number(FRAMES)?.unwrap_or(0.0);
    Ok(if n >= 1.0 && n < f64::from(i32::MAX) { n as i32 - 1 } else { NO_POSITION })
}

/// Keys of a profile.
enum Of {
    Type,
    Name,
    Unit,
    Start,
    End,
    Events,
    Samples,
    Weights,
    Other,
}

fn of(key: &[u8]) -> Of {
    match key {
        b"type" => Of::Type,
        b"name" => Of::Name,
        b"unit" => Of::Unit,
        b"startValue" => Of::Start,
        b"endValue" => Of::End,
        b"events" => Of::Events,
        b"samples" => Of::Samples,
        b"weights" => Of::Weights,
        _ => Of::Other,
    }
}

/// Reads a profile; only in part if its numbers turn out to be no bytes.
fn profile(input: &mut Input<'_>) -> Result<Found, ReadError> {
    input.expect(b'{', PROFILE, PROFILE)?;
    let offset = input.offset();
    let (mut tree, mut name) = (Tree::new(), String::new());
    let (mut kind, mut its_unit, mut unit_offset) = (None, Unit::Bytes, offset);
    let (mut start, mut end) = (None, None);
    let (mut span, mut samples, mut weights) = (None, None, None);
    let mut begun = false;
    while !input.took(b'}')? {
        comma(input, &mut begun, PROFILE)?;
        let key = input.key(PROFILE, of)?;
        match key {
            Of::Type => {
                kind = match input.string(PROFILE)?.as_ref() {
                    "evented" => Some(Kind::Evented),
                    "sampled" => Some(Kind::Sampled),
                    _ => None,
                }
            }
            Of::Name => input.string(PROFILE)?.as_ref().clone_into(&mut name),
            Of::Unit => {
                unit_offset = input.offset();
                its_unit = unit(&input.string(PROFILE)?);
            }
            Of::Events | Of::Samples | Of::Weights | Of::Start | Of::End if its_unit != Unit::Bytes => {
                input.skip_value(PROFILE)?;
            }
            Of::Start => start = number(input, PROFILE)?,
            Of::End => end = number(input, PROFILE)?,
            Of::Events => span = Some(events(input, &mut tree)?),
            Of::Samples => samples = Some(stacks(input, &mut tree)?),
            Of::Weights => weights = Some(sizes(input)?),
            Of::Other => input.skip_value(PROFILE)?,
        }
    }
    if let Unit::Other(unit) = its_unit {
        return Ok(Found::Foreign(unit, unit_offset));
    }
    let wrong = |what: String| Err(Problem::Value(what).at(offset));
    match (kind, span, samples, weights) {
        (Some(Kind::Evented), Some(span), ..) => {
            // What lies outside of all frames belongs to the root.
            let before = start.zip(span).map_or(0, |(start, (first, _))| first.saturating_sub(start));
            let behind = end.zip(span).map_or(0, |(end, (_, last))| end.saturating_sub(last));
            tree.add(0, before.saturating_add(behind));
        }
        (Some(Kind::Sampled), _, Some(nodes), Some(weights)) => {
            if nodes.len() != weights.len() {
                return wrong(format!("a profile has {} samples and {} weights", nodes.len(), weights.len()));
            }
            for (node, size) in nodes.into_iter().zip(weights) {
                tree.add(node, size);
            }
        }
        (Some(Kind::Evented), ..) => return wrong("an evented profile has no `events`".into()),
        (Some(Kind::Sampled), ..) => {
            return wrong("a sampled profile has no `samples` or no `weights`".into());
        }
        (None, ..) => return wrong("a profile of speedscope is neither `evented` nor `sampled`".into()),
    }
    Ok(Found::Tree { tree, name })
}

/// Reads the events; gives the values of the first and the last one.
fn events(input: &mut Input<'_>, tree: &mut Tree) -> Result<Option<(u64, u64)>, ReadError> {
    let mut open: Vec<(u32, u32)> = Vec::new();
    let mut span: Option<(u64, u64)> = None;
    list(input, "the list of events", EVENTS, |input| {
        input.expect(b'{', "an event", EVENTS)?;
        let offset = input.offset() - 1;
        let wrong = |what: &str| Err(Problem::Value(what.to_owned()).at(offset));
        let (mut opens, mut frame, mut at) = (None, None, None);
        let mut begun = false;
        while !input.took(b'}')? {
            comma(input, &mut begun, EVENTS)?;
            let key = |key: &[u8]| match key {
                b"type" => 0,
                b"frame" => 1,
                b"at" => 2,
                _ => 3,
            };
            match input.key(EVENTS, key)? {
                0 => {
                    opens = match input.string(EVENTS)?.as_ref() {
                        "O" => Some(true),
                        "C" => Some(false),
                        _ => None,
                    }
                }
                1 => frame = Some(tree.frame(input, EVENTS)?),
                2 => at = number(input, EVENTS)?,
                _ => input.skip_value(EVENTS)?,
            }
        }
        let (Some(opens), Some(frame), Some(at)) = (opens, frame, at) else {
            return wrong("an event lacks its `type`, which is `O` or `C`, its `frame` or its `at`");
        };
        let (first, last) = span.unwrap_or((at, at));
        let Some(size) = at.checked_sub(last) else {
            return wrong("an event comes before the one that stands before it: the events are out of order");
        };
        span = Some((first, at));
        let top = open.last().copied();
        tree.add(top.map_or(0, |(node, _)| node), size);
        if opens {
            let node = tree.child(top.map_or(0, |(node, _)| node), frame);
            open.push((node, frame));
        } else if top.is_some_and(|(_, last)| last == frame) {
            open.pop();
        } else {
            return wrong("a frame ends that is not the one that began last: the events are unbalanced");
        }
        Ok(())
    })?;
    if open.is_empty() {
        return Ok(span);
    }
    let what = format!("{} frames have begun and do not end: the events are unbalanced", open.len());
    Err(Problem::Value(what).at(input.offset()))
}

/// Reads the stacks of the samples, outermost first; gives the node of each.
fn stacks(input: &mut Input<'_>, tree: &mut Tree) -> Result<Vec<u32>, ReadError> {
    let mut nodes = Vec::new();
    list(input, "the list of samples", SAMPLES, |input| {
        let mut node = 0;
        list(input, "the frames of a sample", SAMPLES, |input| {
            let frame = tree.frame(input, SAMPLES)?;
            node = tree.child(node, frame);
            Ok(())
        })?;
        nodes.push(node);
        Ok(())
    })?;
    Ok(nodes)
}

fn sizes(input: &mut Input<'_>) -> Result<Vec<u64>, ReadError> {
    let mut sizes = Vec::new();
    list(input, "the list of weights", SAMPLES, |input| {
        sizes.push(number(input, SAMPLES)?.unwrap_or(0));
        Ok(())
    })?;
    Ok(sizes)
}
