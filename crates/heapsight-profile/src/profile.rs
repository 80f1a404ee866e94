//! The call tree in columns, and how one is put together.

use rustc_hash::FxHashMap;

use crate::strings::Strings;

/// A line or column that is not known.
pub const NO_POSITION: i32 = -1;

/// The parent of the root.
const NONE: u32 = u32::MAX;

/// A function, as numbers. Two functions are the same if all four are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// Name: a number in [`Profile::strings`].
    pub name: u32,
    /// URL or path: likewise.
    pub url: u32,
    /// Line of the function's beginning, from 0; [`NO_POSITION`] if it is not known.
    pub line: i32,
    /// Column, from 0; [`NO_POSITION`] if it is not known.
    pub column: i32,
}

/// A function in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame<'p> {
    /// Name; empty for an anonymous function.
    pub name: &'p str,
    /// URL or path of the file; empty if there is none.
    pub url: &'p str,
    /// Line from 0, or [`NO_POSITION`].
    pub line: i32,
    /// Column from 0, or [`NO_POSITION`].
    pub column: i32,
}

impl Frame<'_> {
    /// Line and column as editors count, from 1.
    pub fn position(&self) -> (Option<u32>, Option<u32>) {
        let shown = |n: i32| u32::try_from(n).ok().map(|n| n + 1);
        (shown(self.line), shown(self.column))
    }
}

/// The nodes of the call tree in pre-order: a node stands before its children, a subtree is a range. Node 0 is the root.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Parent; `u32::MAX` for the root.
    pub parent: Vec<u32>,
    /// Number of the function in [`Profile::functions`].
    pub function: Vec<u32>,
    /// Bytes allocated by the function itself on this stack.
    pub self_size: Vec<u64>,
    /// What [`Profile::counts`] says.
    pub self_count: Vec<u64>,
}

impl Nodes {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether there are none; a profile has at least its root.
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }

    pub(crate) fn push(&mut self, parent: u32, function: u32) -> u32 {
        let node = self.parent.len() as u32;
        self.parent.push(parent);
        self.function.push(function);
        self.self_size.push(0);
        self.self_count.push(0);
        node
    }

    /// A column summed over subtrees. Linear.
    pub fn totals(&self, column: &[u64]) -> Vec<u64> {
        let mut totals = column.to_vec();
        for node in (1..totals.len()).rev() {
            let parent = self.parent[node] as usize;
            totals[parent] = totals[parent].saturating_add(totals[node]);
        }
        totals
    }

    /// For each node the one after the last of its subtree. Linear.
    pub fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = (1..=self.len() as u32).collect();
        for node in (1..ends.len()).rev() {
            let parent = self.parent[node] as usize;
            ends[parent] = ends[parent].max(ends[node]);
        }
        ends
    }
}

/// What the counts of a profile count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counts {
    /// Nothing: the file has none (npm `heap-profile`, and V8 before version 7.4).
    #[default]
    Nothing,
    /// Samples, of which each stands for about one interval of bytes.
    Samples,
    /// Objects, estimated from the samples (pprof).
    Objects,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The node whose stack made it.
    pub node: u32,
    /// Bytes that it stands for.
    pub size: u64,
    /// Its place in the order of all samples that were ever taken.
    pub ordinal: u64,
}

/// One profile of a file that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the file calls it.
    pub name: String,
    /// Its place in the file, from 1.
    pub number: u64,
    /// How many the file has.
    pub of: u64,
}

/// A sampling heap profile.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Names and URLs.
    pub strings: Strings,
    /// Functions, each once.
    pub functions: Vec<Function>,
    /// The call tree.
    pub nodes: Nodes,
    /// Samples, where the file has them.
    pub samples: Vec<Sample>,
    /// What the counts count.
    pub counts: Counts,
    /// Mean number of bytes between samples, where it is known.
    pub interval: Option<u64>,
    /// Samples of nodes that the tree does not have.
    pub stray_samples: u64,
    /// How many samples were taken in all, those of objects that have been collected since included, where the file says
    /// it: V8 numbers the samples as it takes them.
    pub samples_taken: Option<u64>,
    /// Whether samples of what was collected were kept; `None` where that is not known. No file says it: who reads one
    /// may know it from elsewhere.
    pub has_collected: Option<bool>,
    /// Which one it is, where the file has several.
    pub part: Option<Part>,
}

impl Profile {
    /// A function in words.
    pub fn frame(&self, function: u32) -> Frame<'_> {
        let Some(f) = self.functions.get(function as usize) else {
            return Frame { name: "", url: "", line: NO_POSITION, column: NO_POSITION };
        };
        Frame { name: self.strings.get(f.name), url: self.strings.get(f.url), line: f.line, column: f.column }
    }

    /// All bytes: the sum of the self sizes.
    pub fn total_size(&self) -> u64 {
        self.nodes.self_size.iter().fold(0, |sum, &size| sum.saturating_add(size))
    }

    /// All counts.
    pub fn total_count(&self) -> u64 {
        self.nodes.self_count.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// The stack of a node, innermost first, without the root.
    pub fn stack(&self, node: u32) -> impl Iterator<Item = Frame<'_>> {
        let mut at = node;
        std::iter::from_fn(move || {
            let parent = *self.nodes.parent.get(at as usize)?;
            if parent == NONE {
                return None;
            }
            let frame = self.frame(self.nodes.function[at as usize]);
            at = parent;
            Some(frame)
        })
    }
}

/// Numbers of functions by what they are.
#[derive(Debug, Default)]
pub(crate) struct FunctionTable {
    pub(crate) list: Vec<Function>,
    numbers: FxHashMap<Function, u32>,
}

impl FunctionTable {
    pub(crate) fn number(&mut self, function: Function) -> u32 {
        *self.numbers.entry(function).or_insert_with(|| {
            self.list.push(function);
            self.list.len() as u32 - 1
        })
    }
}

/// Puts a profile together from stacks; equal stacks become one node.
#[derive(Debug)]
pub struct Builder {
    strings: Strings,
    functions: FunctionTable,
    nodes: Nodes,
    children: FxHashMap<(u32, u32), u32>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The root of every tree.
    pub const ROOT: u32 = 0;
    /// What the root is called.
    pub(crate) const ROOT_FUNCTION: u32 = 0;

    /// A tree with nothing but the root.
    pub fn new() -> Self {
        let (mut strings, mut functions, mut nodes) =
            (Strings::default(), FunctionTable::default(), Nodes::default());
        let (name, url) = (strings.number("(root)"), strings.number(""));
        let root = functions.number(Function { name, url, line: NO_POSITION, column: NO_POSITION });
        nodes.push(NONE, root);
        Self { strings, functions, nodes, children: FxHashMap::default() }
    }

    /// The number of a function.
    pub fn function(&mut self, frame: Frame<'_>) -> u32 {
        let (name, url) = (self.strings.number(frame.name), self.strings.number(frame.url));
        self.functions.number(Function { name, url, line: frame.line, column: frame.column })
    }

    /// All functions so far.
    pub(crate) fn functions(&self) -> &[Function] {
        &self.functions.list
    }

    /// The child of a node for a function, made if there is none yet.
    pub fn child(&mut self, parent: u32, function: u32) -> u32 {
        let nodes = &mut self.nodes;
        *self.children.entry((parent, function)).or_insert_with(|| nodes.push(parent, function))
    }

    /// A new child of a node, even if there is one for the function.
    pub(crate) fn append(&mut self, parent: u32, function: u32) -> u32 {
        self.nodes.push(parent, function)
    }

    /// Adds to what a node allocated itself.
    pub fn add(&mut self, node: u32, size: u64, count: u64) {
        if let (Some(own), Some(number)) =
            (self.nodes.self_size.get_mut(node as usize), self.nodes.self_count.get_mut(node as usize))
        {
            *own = own.saturating_add(size);
            *number = number.saturating_add(count);
        }
    }

    /// Adds all of a profile; gives the node here for each node there.
    pub fn add_profile(&mut self, profile: &Profile) -> Vec<u32> {
        self.add_tree(&profile.strings, &profile.functions, &profile.nodes)
    }

    /// Adds a tree in which each node stands behind its parent; gives the node here for each node there.
    pub(crate) fn add_tree(&mut self, strings: &Strings, functions: &[Function], nodes: &Nodes) -> Vec<u32> {
        // Each text is looked up once, however many functions have it.
        let mut numbers = vec![NONE; strings.len()];
        let mut text = |number: u32| match numbers.get_mut(number as usize) {
            Some(slot) => {
                if *slot == NONE {
                    *slot = self.strings.number(strings.get(number));
                }
                *slot
            }
            None => self.strings.number(""),
        };
        let functions: Vec<u32> = functions
            .iter()
            .map(|f| self.functions.number(Function { name: text(f.name), url: text(f.url), ..*f }))
            .collect();
        let mut here: Vec<u32> = Vec::with_capacity(nodes.len());
        for node in 0..nodes.len() {
            let parent = nodes.parent[node];
            let at = if parent == NONE {
                Self::ROOT
            } else {
                self.child(here[parent as usize], functions[nodes.function[node] as usize])
            };
            self.add(at, nodes.self_size[node], nodes.self_count[node]);
            here.push(at);
        }
        here
    }

    /// The profile, with its nodes in pre-order, and where each node of the builder went.
    pub fn finish(self) -> (Profile, Vec<u32>) {
        let count = self.nodes.len();
        // Subtree sizes give each node its place: children stand in the order in which they came.
        let mut below = vec![1u32; count];
        for node in (1..count).rev() {
            below[self.nodes.parent[node] as usize] += below[node];
        }
        let mut next: Vec<u32> = vec![0; count];
        let mut place = vec![0u32; count];
        for node in 0..count {
            if node > 0 {
                let parent = self.nodes.parent[node] as usize;
                place[node] = next[parent];
                next[parent] += below[node];
            }
            next[node] = place[node] + 1;
        }
        let mut nodes = Nodes {
            parent: vec![NONE; count],
            function: vec![0; count],
            self_size: vec![0; count],
            self_count: vec![0; count],
        };
        for node in 0..count {
            let to = place[node] as usize;
            if node > 0 {
                nodes.parent[to] = place[self.nodes.parent[node] as usize];
            }
            nodes.function[to] = self.nodes.function[node];
            nodes.self_size[to] = self.nodes.self_size[node];
            nodes.self_count[to] = self.nodes.self_count[node];
        }
        let profile =
            Profile { strings: self.strings, functions: self.functions.list, nodes, ..Profile::default() };
        (profile, place)
    }
}

/// What profiles have in common: counts, interval, samples taken in all, whether collected ones are kept.
type Common = (Counts, Option<u64>, Option<u64>, Option<bool>);

/// The sum of profiles: equal stacks become one, sizes and counts are added. What the counts count, and the interval,
/// are kept where all profiles agree. The samples are put one behind another; their ordinals are those of each recording.
#[derive(Debug, Default)]
pub struct Merge {
    builder: Builder,
    common: Option<Common>,
    stray: u64,
    samples: Vec<Sample>,
}

impl Merge {
    /// Adds a profile. Linear in its nodes.
    pub fn add(&mut self, profile: &Profile) {
        let here = self.builder.add_profile(profile);
        let its = (profile.counts, profile.interval, profile.samples_taken, profile.has_collected);
        self.note(&here, &profile.samples, profile.stray_samples, its);
    }

    /// Adds a sum of others: the same as adding each of them. Linear in its nodes.
    pub fn add_sum(&mut self, sum: &Self) {
        let Some(common) = sum.common else { return };
        let Builder { strings, functions, nodes, .. } = &sum.builder;
        let here = self.builder.add_tree(strings, &functions.list, nodes);
        self.note(&here, &sum.samples, sum.stray, common);
    }

    fn note(&mut self, here: &[u32], samples: &[Sample], stray: u64, its: Common) {
        let moved = |sample: &Sample| Some(Sample { node: *here.get(sample.node as usize)?, ..*sample });
        self.samples.extend(samples.iter().filter_map(moved));
        self.stray = self.stray.saturating_add(stray);
        self.common = Some(match self.common {
            None => its,
            Some((counts, interval, taken, collected)) => (
                if counts == its.0 { counts } else { Counts::Nothing },
                interval.filter(|_| interval == its.1),
                taken.zip(its.2).map(|(one, other)| one.saturating_add(other)),
                collected.filter(|_| collected == its.3),
            ),
        });
    }

    /// The sum.
    pub fn finish(self) -> Profile {
        let (mut profile, places) = self.builder.finish();
        (profile.counts, profile.interval, profile.samples_taken, profile.has_collected) =
            self.common.unwrap_or_default();
        profile.stray_samples = self.stray;
        if profile.counts == Counts::Nothing {
            profile.nodes.self_count.fill(0);
        } else {
            profile.samples = self.samples;
            for sample in &mut profile.samples {
                sample.node = places[sample.node as usize];
            }
        }
        profile
    }
}

/// The sum of profiles that are at hand; see [`Merge`].
pub fn merge<'p>(profiles: impl IntoIterator<Item = &'p Profile>) -> Profile {
    let mut sum = Merge::default();
    for profile in profiles {
        sum.add(profile);
    }
    sum.finish()
}
