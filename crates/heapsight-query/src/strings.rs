//! What the strings take.

use std::cmp::Reverse;

use heapsight_analysis::{
    Heap,
    duplicates::{DuplicateGroup, duplicates},
};
use heapsight_snapshot::NodeKind;
use regex::Regex;

use crate::classes::{ObjectRow, object_row};

/// The strings by shallow size: the first `most` of those that match, how many match, and their bytes.
pub fn largest(heap: &Heap, pattern: Option<&Regex>, most: usize) -> (Vec<ObjectRow>, u64, u64) {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    let mut list: Vec<u32> = (0..snapshot.node_count() as u32)
        .filter(|&ord| {
            snapshot.node_kind(ord).is_string()
                && snapshot.nodes.self_size.get(ord) > 0
                && pattern.is_none_or(|p| p.is_match(&names.node(ord)))
        })
        .collect();
    let count = list.len() as u64;
    let bytes = list.iter().map(|&ord| snapshot.nodes.self_size.get(ord)).sum();
    let key = |&ord: &u32| (Reverse(snapshot.nodes.self_size.get(ord)), ord);
    if most < list.len() {
        list.select_nth_unstable_by_key(most, key);
        list.truncate(most);
    }
    list.sort_by_key(key);
    (list.into_iter().map(|ord| object_row(heap, ord)).collect(), count, bytes)
}

/// Groups of equal strings, and what all but one of each group take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    /// The groups, by retained size.
    pub groups: Vec<DuplicateGroup>,
    /// Strings in groups.
    pub strings: u64,
    /// Their shallow sizes.
    pub self_size: u64,
    /// What keeping one of each group would save.
    pub wasted: u64,
}

/// Finds equal strings.
pub fn duplicate_strings(heap: &Heap, pattern: Option<&Regex>) -> Duplicates {
    let mut groups = duplicates(heap);
    groups.retain(|g| pattern.is_none_or(|p| p.is_match(&g.value)));
    Duplicates {
        strings: groups.iter().map(|g| g.count).sum(),
        self_size: groups.iter().map(|g| g.self_size).sum(),
        wasted: groups.iter().map(|g| g.self_size - g.self_size / g.count.max(1)).sum(),
        groups,
    }
}

/// Counts and bytes of the three kinds of strings: flat, concatenated, sliced.
pub fn by_kind(heap: &Heap) -> Vec<(String, u64, u64)> {
    let kinds = [NodeKind::STRING, NodeKind::CONS_STRING, NodeKind::SLICED_STRING];
    let mut sums = [(0, 0); 3];
    for (ord, &kind) in heap.snapshot.nodes.kind.iter().enumerate() {
        if let Some(at) = kinds.iter().position(|k| k.0 == kind) {
            sums[at].0 += 1;
            sums[at].1 += heap.snapshot.nodes.self_size.get(ord as u32);
        }
    }
    let name = |kind: NodeKind| heap.snapshot.node_kinds.name(kind.0).to_owned();
    kinds.into_iter().zip(sums).map(|(kind, (count, bytes))| (name(kind), count, bytes)).collect()
}
