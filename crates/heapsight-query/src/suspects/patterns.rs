//! Patterns that are known to leak, whatever their size is beside the heap.

use heapsight_analysis::{
    bits::BitSet,
    filters::{Filter, passing},
};
use heapsight_snapshot::{EdgeKind, NodeKind};

use super::{Finding, Found, Pattern, covered, finding, sample};
use crate::{leak::placing::Placing, strings::duplicate_strings, variables::dead_variables};

/// So many listeners of one event are no accident.
const LISTENERS: u64 = 50;

/// So many timers, waiters or contexts at one time.
const MANY: u64 = 1000;

/// Bytes of equal strings, or of source text, that are worth a word.
const TEXT: u64 = 1 << 20;

/// Bytes that the console or a detached document keeps that are worth a word; an inspector keeps some of its own.
const KEPT: u64 = 64 << 10;

/// All patterns but those of [`many`].
pub(super) fn find(placing: Placing<'_>, least: u64) -> Vec<Finding> {
    let mut list = listeners(placing);
    list.extend(duplicates(placing, least));
    list.extend(sources(placing, least));
    let because = "kept alive by parts of a document that are no longer in it";
    list.extend(filtered(placing, &Filter::DetachedDomNodes, Pattern::Detached, because));
    let because = "kept alive by the console of an inspector alone: it forgets them when it is cleared";
    list.extend(filtered(placing, &Filter::Console, Pattern::Console, because));
    list.extend(dead(placing, least));
    list
}

/// Events with many listeners: arrays in what an emitter calls `_events`.
fn listeners(placing: Placing<'_>) -> Vec<Finding> {
    let snapshot = &placing.heap.snapshot;
    let names = snapshot.strings.find("_events");
    let mut list = Vec::new();
    for edge in 0..snapshot.edge_count() {
        if snapshot.edge_kind(edge) != EdgeKind::PROPERTY || !names.contains(&snapshot.edges.name[edge]) {
            continue;
        }
        for event in snapshot.edges_of(snapshot.edges.to[edge]) {
            let array = snapshot.edges.to[event];
            let count = elements(placing, array);
            if snapshot.edge_kind(event) == EdgeKind::PROPERTY && count >= LISTENERS {
                let retained_size = placing.heap.retained.get(array);
                let why =
                    format!("{count} listeners of one event: they are added again and again and not removed");
                let found = Found { count, retained_size, parts: Vec::new(), why };
                list.push(finding(placing, array, None, Pattern::Listeners, found));
            }
        }
    }
    list
}

/// Elements of an array.
fn elements(placing: Placing<'_>, ord: u32) -> u64 {
    let snapshot = &placing.heap.snapshot;
    if placing.heap.classes.class(ord).name != "Array" {
        return 0;
    }
    snapshot.edges_of(ord).filter(|&edge| snapshot.edge_kind(edge) == EdgeKind::ELEMENT).count() as u64
}

/// Classes of which there should be few at a time.
pub(super) fn many(placing: Placing<'_>, findings: &mut Vec<Finding>) {
    const CLASSES: &[(&str, Pattern, &str)] = &[
        ("Timeout", Pattern::Timers, "timers that have not run out and were not cleared"),
        ("Domain", Pattern::AsyncContext, "domains are alive"),
        ("AsyncContextFrame", Pattern::AsyncContext, "asynchronous contexts are kept, with their stores"),
    ];
    for &(class, pattern, what) in CLASSES {
        let heap = placing.heap;
        let Some(row) = heap.summary.iter().find(|row| heap.classes.table[row.class as usize].name == class)
        else {
            continue;
        };
        if row.count < MANY {
            continue;
        }
        let sample = sample(heap, row.class);
        let why = format!("{} {what}", row.count);
        if let Some(at) = covered(heap, &sample, findings) {
            // The container is known already; the pattern says more.
            findings[at].pattern = findings[at].pattern.max(pattern);
            findings[at].why = format!("{why}; {}", findings[at].why);
        } else if let Some(&first) = sample.get(sample.len() / 2) {
            let found = Found { count: row.count, retained_size: row.retained_size, parts: Vec::new(), why };
            findings.push(finding(placing, first, None, pattern, found));
        }
    }
    findings.extend(waiters(placing));
}

/// The promise that most wait for, where many do.
fn waiters(placing: Placing<'_>) -> Option<Finding> {
    let snapshot = &placing.heap.snapshot;
    let reactions = snapshot.strings.find("system / PromiseReaction");
    let is_reaction = |ord: u32| {
        reactions.contains(&snapshot.nodes.name[ord as usize]) && !snapshot.node_kind(ord).is_string()
    };
    let count = (0..snapshot.node_count() as u32).filter(|&ord| is_reaction(ord)).count() as u64;
    if count < MANY {
        return None;
    }
    let holds = |ord: u32| snapshot.edges_of(ord).any(|edge| is_reaction(snapshot.edges.to[edge]));
    let promise = (0..snapshot.node_count() as u32)
        .filter(|&ord| placing.heap.classes.class(ord).name == "Promise" && holds(ord))
        .max_by_key(|&ord| placing.heap.retained.get(ord))?;
    let why = format!("{count} reactions wait for promises that are not resolved");
    let retained_size = placing.heap.retained.get(promise);
    Some(finding(
        placing,
        promise,
        None,
        Pattern::Promises,
        Found { count, retained_size, parts: Vec::new(), why },
    ))
}

/// Equal strings.
fn duplicates(placing: Placing<'_>, least: u64) -> Option<Finding> {
    let all = duplicate_strings(placing.heap, None);
    let example = all.groups.first()?.example;
    if all.wasted < least.min(TEXT) {
        return None;
    }
    let parts = all
        .groups
        .iter()
        .take(8)
        .map(|group| (format!("{:?}", group.value), group.count, group.self_size))
        .collect();
    let why = format!("{} strings of which one each would do: {} bytes are copies", all.strings, all.wasted);
    let found = Found { count: all.strings, retained_size: all.wasted, parts, why };
    let mut finding = finding(placing, example, None, Pattern::Duplicates, found);
    "equal strings".clone_into(&mut finding.title);
    Some(finding)
}

/// The text of scripts.
fn sources(placing: Placing<'_>, least: u64) -> Option<Finding> {
    let snapshot = &placing.heap.snapshot;
    let names = snapshot.strings.find("source");
    let mut seen = BitSet::new(snapshot.node_count());
    let (mut count, mut size, mut largest) = (0, 0u64, None);
    for ord in 0..snapshot.node_count() as u32 {
        if !matches!(snapshot.node_kind(ord), NodeKind::CODE | NodeKind::HIDDEN) {
            continue;
        }
        for edge in snapshot.edges_of(ord) {
            let text = snapshot.edges.to[edge];
            let is_source = snapshot.edge_kind(edge) == EdgeKind::INTERNAL
                && names.contains(&snapshot.edges.name[edge])
                && snapshot.node_kind(text).is_string();
            if is_source && seen.insert(text as usize) {
                let retained = placing.heap.retained.get(text);
                count += 1;
                size = size.saturating_add(retained);
                if largest.is_none_or(|(most, _)| retained > most) {
                    largest = Some((retained, text));
                }
            }
        }
    }
    let (_, text) = largest?;
    if size < least.max(TEXT) {
        return None;
    }
    let why = format!("the text of {count} scripts is kept for as long as one of their functions lives");
    let found = Found { count, retained_size: size, parts: Vec::new(), why };
    let mut finding = finding(placing, text, None, Pattern::Source, found);
    "source text".clone_into(&mut finding.title);
    Some(finding)
}

/// What a filter lets pass, where that is worth a word.
fn filtered(placing: Placing<'_>, filter: &Filter, pattern: Pattern, because: &str) -> Option<Finding> {
    let snapshot = &placing.heap.snapshot;
    let set = passing(placing.heap, filter);
    let size: u64 = set.iter().map(|ord| snapshot.nodes.self_size.get(ord as u32)).sum();
    if size < KEPT {
        return None;
    }
    // Runtimes without documents call things of their own detached.
    if pattern == Pattern::Detached && !set.iter().any(|ord| is_document(placing, ord as u32)) {
        return None;
    }
    let largest = set.iter().max_by_key(|&ord| placing.heap.retained.get(ord as u32))?;
    let count = set.count() as u64;
    let found =
        Found { count, retained_size: size, parts: Vec::new(), why: format!("{count} objects {because}") };
    Some(finding(placing, largest as u32, None, pattern, found))
}

/// Whether a node is a part of a document: an element, its text.
fn is_document(placing: Placing<'_>, ord: u32) -> bool {
    let name = &placing.heap.classes.class(ord).name;
    let name = name.strip_prefix("Detached ").unwrap_or(name);
    name.starts_with('<') || name.starts_with("HTML") || name.starts_with("SVG")
}

/// Variables that no function can use any more, where the file says what functions use.
fn dead(placing: Placing<'_>, least: u64) -> Vec<Finding> {
    let Some(dead) = dead_variables(placing.heap) else { return Vec::new() };
    let large = dead.variables.iter().filter(|variable| variable.retained_size >= least.min(TEXT)).take(5);
    large
        .filter_map(|variable| {
            let ord = placing.heap.find_id(u64::from(variable.context_id))?;
            let why = format!(
                "no function can use variable {} any more, but other functions keep its context alive",
                variable.name
            );
            let found = Found {
                count: variable.context_count,
                retained_size: variable.retained_size,
                parts: Vec::new(),
                why,
            };
            let mut finding = finding(placing, ord, None, Pattern::DeadVariable, found);
            finding.title.clone_from(&variable.name);
            Some(finding)
        })
        .collect()
}
