//! Where what leaks was allocated: the stacks of a sampling profile, or of the snapshot's own traces, that fit a suspect.
//!
//! Traces are exact: each survivor has its stack. A sampling profile says which stacks allocated what is alive, and not
//! which objects these are, so a stack is matched by its code: it runs the constructor of what was gained, or the function
//! inside of which gained functions stand, or the code that has the container. How much was sampled must fit the growth,
//! too. Where nothing fits nothing is said.

use heapsight_analysis::Heap;
use heapsight_snapshot::{Location, NodeKind};
use rustc_hash::FxHashMap;

use super::{
    Suspicion,
    placing::{Placed, Placing, is_runtime},
    source::function_at,
};
use crate::{
    code::{self, Place, Script},
    story::owner,
};

/// Frames that are kept of a stack.
const FRAMES: usize = 8;

/// Classes of what was gained that are looked at, the largest first.
const CLASSES: usize = 8;

/// Less was caught by chance.
const FEW: u64 = 2;

/// A function on a stack of a profile, as the runtime names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackFrame {
    /// Its name; empty for an anonymous one.
    pub name: String,
    /// URL or path of its script; empty if it has none.
    pub url: String,
    /// Line of its beginning, from 0.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
}

/// Live bytes that were sampled on a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The allocating function first.
    pub frames: Vec<StackFrame>,
    /// Estimated bytes that are alive.
    pub size: u64,
    /// Samples.
    pub count: u64,
}

/// The stacks of the last round, with the source maps of their scripts.
#[derive(Debug, Default)]
pub struct Sampled {
    stacks: Vec<Stack>,
    maps: code::Sources,
}

impl Sampled {
    /// Takes stacks; `known` is what the side files say of the scripts.
    pub fn new(stacks: Vec<Stack>, known: Vec<Script>) -> Self {
        let urls = stacks.iter().flat_map(|stack| &stack.frames).map(|frame| frame.url.as_str());
        let maps = code::Sources::new(urls, known);
        Self { stacks, maps }
    }
}

/// A function on the stack that allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, with its class where that is known: `MemoryStore.set`.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// Where what leaks was allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The functions of the program and of its libraries, the allocating one first; never empty.
    pub frames: Vec<Frame>,
    /// Live bytes that were allocated by the first of them: estimated, unless `exact`.
    pub size: u64,
    /// Samples, or objects.
    pub count: u64,
    /// Whether it is the stack of the objects themselves, and not one that fits.
    pub exact: bool,
}

/// A place in the code that runs: path, line and column from 1.
type At = (String, u32, u32);

fn at(place: &Place) -> At {
    let raw = place.generated.as_deref().unwrap_or(place);
    (raw.url.clone(), raw.line, raw.column)
}

/// Finds where a suspect's growth was allocated.
pub(super) fn found(
    placing: Placing<'_>,
    suspicion: &Suspicion,
    place: Option<&Placed>,
    sampled: &Sampled,
) -> Option<Allocated> {
    traced(placing, suspicion).or_else(|| fitting(placing, suspicion, place, sampled))
}

/// The stack that most of the members have in the snapshot itself.
fn traced(placing: Placing<'_>, suspicion: &Suspicion) -> Option<Allocated> {
    let Placing { heap, code, .. } = placing;
    let snapshot = &heap.snapshot;
    let (traces, ids) = (snapshot.traces.as_ref()?, snapshot.nodes.trace_node.as_ref()?);
    let nearest = suspicion.classes.iter().take(CLASSES).map(|class| class.nearest);
    let mut votes: Vec<(u32, u64)> = Vec::new();
    for ord in suspicion.examples.iter().copied().chain(nearest) {
        let id = ids.get(ord as usize).copied().filter(|&id| id != 0);
        match votes.iter_mut().find(|(other, _)| Some(*other) == id) {
            Some((_, count)) => *count += 1,
            None => votes.extend(id.map(|id| (id, 1))),
        }
    }
    votes.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    for (id, _) in votes {
        let mut frames = Vec::new();
        let mut next = traces.nodes.iter().find(|node| node.id == id);
        while let Some(node) = next {
            next = node.parent.and_then(|parent| traces.nodes.get(parent as usize));
            let Some(function) = traces.functions.get(node.function as usize) else { continue };
            // V8 counts from 1 here, and writes 0 for what it does not know.
            let (line, column) = (function.line.saturating_sub(1), function.column.saturating_sub(1));
            let known = code.at(heap, Location { script_id: function.script_id, line, column });
            let named = || {
                let url = snapshot.strings.get(function.script_name);
                (!url.is_empty()).then(|| Place::in_script(&url, line, column))
            };
            let Some(place) = known.or_else(named).filter(|place| !is_runtime(place)) else { continue };
            if frames.len() < FRAMES {
                let name = snapshot.strings.get(function.name);
                frames.push(Frame { name: of_class(placing, &name, &place), place });
            }
        }
        if frames.is_empty() {
            continue;
        }
        let mut sum = (0u64, 0u64);
        for (ord, _) in ids.iter().enumerate().filter(|&(_, &of)| of == id) {
            sum = (sum.0.saturating_add(snapshot.nodes.self_size.get(ord as u32)), sum.1 + 1);
        }
        return Some(Allocated { frames, size: sum.0, count: sum.1, exact: true });
    }
    None
}

/// How well a stack fits, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Only by how much was sampled.
    Size,
    /// It comes through the file that has the container.
    Through,
    /// It allocates in that file, or in that package.
    File,
    /// It allocates in the function that the suspect stands for.
    Function,
    /// It makes the very objects: it runs their constructor, or has their functions inside of it.
    Makes,
}

impl Fit {
    /// How many times its size it counts.
    fn weight(self) -> u64 {
        match self {
            Self::Size | Self::Through => 1,
            Self::File => 3,
            Self::Function => 5,
            Self::Makes => 10,
        }
    }
}

/// Stacks that allocate in the same function.
struct Group<'s> {
    heaviest: &'s Stack,
    fit: Fit,
    size: u64,
    count: u64,
}

/// The sampled stacks that fit best.
fn fitting(
    placing: Placing<'_>,
    suspicion: &Suspicion,
    place: Option<&Placed>,
    sampled: &Sampled,
) -> Option<Allocated> {
    let expected = *suspicion.sizes.last()?;
    if sampled.stacks.is_empty() || expected == 0 {
        return None;
    }
    let made = Made::new(placing, suspicion);
    let holder = place.map(|placed| (at(&placed.place), placed));
    let mut groups: FxHashMap<&StackFrame, Group<'_>> = FxHashMap::default();
    for stack in &sampled.stacks {
        let frames: Vec<&StackFrame> = stack.frames.iter().filter(|frame| !frame.is_runtime()).collect();
        let Some(&first) = frames.first() else { continue };
        let fit = fit(placing, &made, holder.as_ref(), &frames);
        let group = groups.entry(first).or_insert(Group { heaviest: stack, fit, size: 0, count: 0 });
        group.size = group.size.saturating_add(stack.size);
        group.count = group.count.saturating_add(stack.count);
        if (fit, stack.size) > (group.fit, group.heaviest.size) {
            (group.heaviest, group.fit) = (stack, fit);
        }
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    let score = |group: &Group<'_>| group.size.saturating_mul(group.fit.weight());
    groups.sort_by(|a, b| {
        score(b)
            .cmp(&score(a))
            .then_with(|| a.heaviest.frames.first().map(key).cmp(&b.heaviest.frames.first().map(key)))
    });
    // Bytes outside of the heap are not sampled: what makes the objects is believed whatever its size.
    let enough = |group: &Group<'_>| match group.fit {
        Fit::Makes => group.count >= FEW,
        Fit::Function | Fit::File => group.count >= FEW && group.size >= expected / 8,
        Fit::Through | Fit::Size => {
            group.count >= 2 * FEW && group.size >= expected / 3 && group.size / 3 <= expected
        }
    };
    let at = groups.iter().position(enough)?;
    let best = &groups[at];
    if best.fit == Fit::Size {
        // Two that fit alike tell nothing.
        let second =
            groups.iter().enumerate().filter(|&(other, _)| other != at).map(|(_, group)| group.size).max();
        if second.is_some_and(|second| second * 2 > best.size) {
            return None;
        }
    }
    let frames: Vec<Frame> = best
        .heaviest
        .frames
        .iter()
        .filter(|frame| !frame.is_runtime())
        .take(FRAMES)
        .map(|frame| {
            let raw = frame.place();
            let place = sampled.maps.original(&frame.url, frame.line, frame.column).unwrap_or(raw);
            Frame { name: of_class(placing, &frame.name, &place), place }
        })
        .collect();
    Some(Allocated { frames, size: best.size, count: best.count, exact: false })
}

fn key(frame: &StackFrame) -> (&str, u32, u32) {
    (&frame.url, frame.line, frame.column)
}

impl StackFrame {
    fn place(&self) -> Place {
        Place::in_script(&self.url, self.line, self.column)
    }

    fn is_runtime(&self) -> bool {
        self.url.is_empty() || is_runtime(&self.place())
    }
}

/// The code of what was gained.
struct Made {
    constructors: Vec<At>,
    functions: Vec<At>,
}

impl Made {
    fn new(placing: Placing<'_>, suspicion: &Suspicion) -> Self {
        let mut made = Self { constructors: Vec::new(), functions: Vec::new() };
        let nearest = suspicion.classes.iter().take(CLASSES).map(|class| class.nearest);
        for ord in nearest.chain(suspicion.examples.iter().copied()) {
            let Some(place) = placing.code.place(placing.heap, ord).filter(|place| !is_runtime(place)) else {
                continue;
            };
            let list = match placing.heap.snapshot.node_kind(ord) {
                NodeKind::CLOSURE => &mut made.functions,
                _ => &mut made.constructors,
            };
            let at = at(&place);
            if !list.contains(&at) {
                list.push(at);
            }
        }
        made
    }
}

/// How well a stack fits a suspect.
fn fit(placing: Placing<'_>, made: &Made, holder: Option<&(At, &Placed)>, frames: &[&StackFrame]) -> Fit {
    /// The objects are made by the innermost functions, or by what these were called for.
    const NEAR: usize = 3;
    for frame in frames.iter().take(NEAR) {
        let at = at(&frame.place());
        if made.constructors.contains(&at) || made.functions.iter().any(|inner| encloses(placing, &at, inner))
        {
            return Fit::Makes;
        }
    }
    let (Some((position, placed)), Some(first)) = (holder, frames.first()) else { return Fit::Size };
    let place = first.place();
    if at(&place) == *position {
        return Fit::Function;
    }
    let same_package = placed.place.package.is_some() && placed.place.package == place.package;
    if place.url == position.0 || same_package {
        return Fit::File;
    }
    if frames.iter().any(|frame| frame.place().url == position.0) { Fit::Through } else { Fit::Size }
}

/// Whether the function at one place has another one inside of it, as far as the text of the script is at hand.
fn encloses(placing: Placing<'_>, outer: &At, inner: &At) -> bool {
    if outer.0 != inner.0 || (outer.1, outer.2) >= (inner.1, inner.2) {
        return false;
    }
    let Some(text) = placing.sources.text(&outer.0) else { return false };
    let Some(body) = function_at(&text, outer.1, outer.2) else { return false };
    let lines = body.matches('\n').count() as u32;
    inner.1 < outer.1 + lines
        || (inner.1 == outer.1 + lines && {
            let last = body.rsplit('\n').next().unwrap_or_default().chars().count() as u32;
            let from = if lines == 0 { outer.2 } else { 1 };
            inner.2 < from + last
        })
}

/// The name of a function with its class before it, if it is a method that the heap has.
fn of_class(placing: Placing<'_>, name: &str, place: &Place) -> String {
    let Placing { heap, tree, code, .. } = placing;
    let name = if name.is_empty() { "(anonymous)" } else { name };
    if name.contains(['.', ' ']) {
        return name.to_owned();
    }
    let snapshot = &heap.snapshot;
    let wanted = at(place);
    let here = |&ord: &u32| {
        snapshot.node_kind(ord) == NodeKind::CLOSURE
            && snapshot.locations.of(ord).is_some_and(|l| (l.line + 1, l.column + 1) == (wanted.1, wanted.2))
            && code.place(heap, ord).is_some_and(|place| at(&place) == wanted)
    };
    let class = snapshot.locations.nodes.iter().copied().find(here).and_then(|closure| {
        let (parent, _) = owner(heap, tree, closure)?;
        let constructor = own_constructor(heap, parent)?;
        Some(heap.names().raw(constructor).into_owned())
    });
    match class {
        Some(class) if !class.is_empty() && class != name && class != "Object" => format!("{class}.{name}"),
        _ => name.to_owned(),
    }
}

/// The class that an object is the prototype of.
fn own_constructor(heap: &Heap, ord: u32) -> Option<u32> {
    let snapshot = &heap.snapshot;
    snapshot
        .edges_of(ord)
        .filter(|&edge| snapshot.strings.is(snapshot.edges.name[edge], "constructor"))
        .map(|edge| snapshot.edges.to[edge])
        .find(|&to| snapshot.node_kind(to) == NodeKind::CLOSURE)
}
