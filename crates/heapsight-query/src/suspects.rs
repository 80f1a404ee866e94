//! What is suspicious in one snapshot: where memory accumulates, and patterns that are known to leak.
//!
//! One snapshot does not say what grows. It says what is large, who holds it, and what looks like the usual mistakes:
//! thousands of listeners of one event, timers that nobody clears, promises that nobody resolves, equal strings, detached
//! parts of documents, what the console holds, variables that no function can use any more.

mod gather;
mod listeners;
mod patterns;
mod runtime;
mod shared;
mod waiting;

use heapsight_analysis::{
    Heap,
    readable::{Avoid, ReadableTree},
    suspects::accumulation_points,
};

use rustc_hash::FxHashMap;

use self::runtime::Runtime;
use crate::{
    code::Code,
    leak::{
        Kind, Placed,
        naming::{self, Named},
        placing::Placing,
        source::Sources,
    },
    story::{self, Hop, Step, short_class},
};

/// Members of a suspect that are asked where they were made.
const EXAMPLES: usize = 16;

/// What makes something a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// One object that retains much.
    Large,
    /// A container of many objects.
    Accumulation,
    /// Many objects of one class.
    Class,
    /// Many listeners of one event.
    Listeners,
    /// Many timers.
    Timers,
    /// Many that wait for promises.
    Promises,
    /// Stores of asynchronous contexts, or domains.
    AsyncContext,
    /// A variable that is kept because its context is shared.
    SharedContext,
    /// Equal strings.
    Duplicates,
    /// The text of scripts.
    Source,
    /// Detached parts of documents.
    Detached,
    /// What the console of an inspector holds.
    Console,
    /// A variable that no function can use any more.
    DeadVariable,
}

impl Pattern {
    /// A name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Large => "large-object",
            Self::Accumulation => "accumulation",
            Self::Class => "class",
            Self::Listeners => "listeners",
            Self::Timers => "timers",
            Self::Promises => "promises",
            Self::AsyncContext => "async-context",
            Self::SharedContext => "shared-context",
            Self::Duplicates => "duplicate-strings",
            Self::Source => "source-text",
            Self::Detached => "detached-dom",
            Self::Console => "console",
            Self::DeadVariable => "dead-variable",
        }
    }
}

impl Pattern {
    /// Whether it says no more than that something is large.
    fn is_by_size(self) -> bool {
        matches!(self, Self::Large | Self::Accumulation | Self::Class)
    }
}

/// A suspect of one snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its name.
    pub title: String,
    /// What makes it one.
    pub pattern: Pattern,
    /// What the container is.
    pub kind: Kind,
    /// The class of the container, or of the objects.
    pub class: String,
    /// An object: the container, or one of the objects.
    pub id: u32,
    /// How many objects.
    pub count: u64,
    /// What they retain.
    pub retained_size: u64,
    /// The place in the code.
    pub place: Option<Placed>,
    /// What it holds by class: how many, what they retain.
    pub parts: Vec<(String, u64, u64)>,
    /// The way to it, told.
    pub story: Vec<Hop>,
    /// The whole way.
    pub way: Vec<Step>,
    /// The reason in words.
    pub why: String,
}

impl Finding {
    /// Whether it is about the objects of a class.
    fn is_of_class(&self, class: &str) -> bool {
        match self.pattern {
            Pattern::Timers => class == "Timeout",
            Pattern::AsyncContext => matches!(class, "Domain" | "AsyncContextFrame"),
            _ => false,
        }
    }

    /// Whether its object is a container that the pattern is about, and no example.
    fn names_container(&self) -> bool {
        matches!(
            self.pattern,
            Pattern::Listeners | Pattern::Timers | Pattern::Promises | Pattern::AsyncContext
        )
    }
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suspects {
    /// Bytes of the heap.
    pub total_size: u64,
    /// Bytes below which nothing is a suspect by its size.
    pub least: u64,
    /// The suspects, by what they retain.
    pub findings: Vec<Finding>,
}

/// Looks for suspects that retain at least this share of the heap, and for known patterns.
pub fn suspects(heap: &Heap, code: &Code, share: f64) -> Suspects {
    let total = heap.total_size();
    let least = ((total as f64 * share) as u64).max(1);
    let foreign = crate::leak::foreign_functions(heap, code);
    let tree = ReadableTree::new(heap, Avoid { new: None, foreign: Some(&foreign) });
    let sources = Sources::default();
    let placing = Placing { heap, tree: &tree, code, sources: &sources };
    let mut findings = accumulations(placing, least);
    let patterns = patterns::find(placing, least);
    classes(placing, least, &mut findings, &patterns);
    // What the runtime keeps for itself is large in every small program.
    let runtime = Runtime::new(heap, code);
    findings.retain(|finding| !runtime.has(placing, finding));
    findings.extend(patterns);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.retained_size), finding.pattern, finding.id));
    Suspects { total_size: total, least, findings: once(findings) }
}

/// One container is one suspect by its size; where it is known for a pattern that says more, and it keeps what it holds.
fn once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_size: FxHashMap<u32, Finding> = FxHashMap::default();
    let (sized, mut kept): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|finding| finding.pattern.is_by_size());
    for finding in sized {
        by_size.entry(finding.id).or_insert(finding);
    }
    for finding in &mut kept {
        if let Some(same) = by_size.get(&finding.id).filter(|_| finding.names_container())
            && finding.parts.is_empty()
        {
            finding.parts.clone_from(&same.parts);
        }
    }
    by_size.retain(|id, _| !kept.iter().any(|finding| finding.id == *id && finding.names_container()));
    kept.extend(by_size.into_values());
    kept.sort_by_key(|finding| (std::cmp::Reverse(finding.retained_size), finding.pattern, finding.id));
    kept
}

/// Large subtrees of the dominator tree.
fn accumulations(placing: Placing<'_>, least: u64) -> Vec<Finding> {
    let heap = placing.heap;
    accumulation_points(heap, least)
        .into_iter()
        .map(|point| {
            let parts: Vec<(String, u64, u64)> = point
                .classes
                .iter()
                .map(|&(class, count, size)| (heap.classes.table[class as usize].name.clone(), count, size))
                .collect();
            // Of a dictionary the keys are no objects of their own.
            let is_text = |part: &&(String, u64, u64)| part.0.starts_with('(');
            let objects: u64 = parts.iter().filter(|part| !is_text(part)).map(|part| part.1).sum();
            let count = if objects > 0 { objects } else { parts.iter().map(|part| part.1).sum() };
            let share = point.largest_child as f64 * 100.0 / point.retained_size.max(1) as f64;
            let (pattern, why) = if count <= 3 || heap.snapshot.nodes.self_size.get(point.ord) * 2 > point.retained_size {
                (Pattern::Large, "most of it is one object".to_owned())
            } else {
                let why = format!(
                    "it holds {} objects, the largest of which has {share:.1} % of what it retains: here memory accumulates. \
                     A cache needs a limit in number or time; what is done has to be taken out",
                    story::counted(count)
                );
                (Pattern::Accumulation, why)
            };
            let retained_size = point.retained_size;
            let found = Found { count, retained_size, parts, why, examples: Vec::new() };
            finding(placing, point.ord, None, pattern, found)
        })
        .collect()
}

/// Classes whose members retain much together, and are not what a container above holds.
fn classes(placing: Placing<'_>, least: u64, findings: &mut Vec<Finding>, patterns: &[Finding]) {
    const MANY: u64 = 100;
    let heap = placing.heap;
    let mut rows: Vec<_> = heap.summary.iter().collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.retained_size), row.class));
    for row in rows {
        let name = &heap.classes.table[row.class as usize].name;
        let common = name.starts_with('(')
            || name.starts_with("system /")
            || name.starts_with("Node /")
            || matches!(name.as_str(), "Function" | "Object" | "Array" | "Map" | "Set" | "Promise")
            || patterns.iter().any(|finding| finding.is_of_class(name));
        if common || row.count < MANY || row.retained_size < least {
            continue;
        }
        let sample = sample(heap, row.class);
        if covered(heap, &sample, findings) {
            continue;
        }
        let Some(&first) = sample.first() else { continue };
        let why =
            format!("{} objects of one class, which no single container holds", story::counted(row.count));
        let examples = sample.iter().copied().take(EXAMPLES).collect();
        let found =
            Found { count: row.count, retained_size: row.retained_size, parts: Vec::new(), why, examples };
        let mut finding = finding(placing, first, None, Pattern::Class, found);
        finding.title = short_class(name);
        findings.push(finding);
    }
}

/// Some members of a class, from all of them evenly.
fn sample(heap: &Heap, class: u32) -> Vec<u32> {
    const MOST: usize = 64;
    let members: Vec<u32> = (0..heap.snapshot.node_count() as u32)
        .filter(|&ord| heap.classes.of[ord as usize] == class && heap.snapshot.nodes.self_size.get(ord) > 0)
        .collect();
    members.iter().copied().step_by(members.len().div_ceil(MOST).max(1)).collect()
}

/// Whether one of the suspects dominates most of some objects.
fn covered(heap: &Heap, objects: &[u32], findings: &[Finding]) -> bool {
    let idom: &[u32] = &heap.dominators.idom;
    let ords: Vec<u32> =
        findings.iter().filter_map(|finding| finding.way.last().map(|step| step.ord)).collect();
    let mut counts = vec![0usize; ords.len()];
    for &object in objects {
        let mut at = object;
        // A chain of dominators may be as long as a list; what is far below something is not told by it.
        for _ in 0..10_000 {
            if let Some(found) = ords.iter().position(|&ord| ord == at) {
                counts[found] += 1;
                break;
            }
            if idom[at as usize] == at {
                break;
            }
            at = idom[at as usize];
        }
    }
    counts.iter().any(|&count| count * 2 >= objects.len().max(1))
}

/// What is known of a suspect apart from its object.
struct Found {
    count: u64,
    retained_size: u64,
    parts: Vec<(String, u64, u64)>,
    why: String,
    /// Some of the objects; none to take what the container refers to.
    examples: Vec<u32>,
}

/// Puts a suspect together.
fn finding(placing: Placing<'_>, ord: u32, slot: Option<usize>, pattern: Pattern, found: Found) -> Finding {
    let heap = placing.heap;
    let snapshot = &heap.snapshot;
    let Named { title, kind, .. } = naming::name(heap, placing.tree, ord, slot);
    let way = story::way(heap, placing.tree, placing.code, ord);
    let members: Vec<u32> = if found.examples.is_empty() {
        snapshot.edges_of(ord).map(|edge| snapshot.edges.to[edge]).take(EXAMPLES).collect()
    } else {
        found.examples
    };
    let parts =
        found.parts.into_iter().map(|(class, count, size)| (short_class(&class), count, size)).collect();
    Finding {
        title,
        pattern,
        kind,
        class: heap.classes.class(ord).name.clone(),
        id: snapshot.nodes.id[ord as usize],
        count: found.count,
        retained_size: found.retained_size,
        place: placing.of(kind, ord, slot, &members),
        parts,
        story: story::tell(heap, &way),
        way,
        why: found.why,
    }
}
