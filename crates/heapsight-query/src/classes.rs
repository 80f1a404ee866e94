//! Rows of the Summary, and the instances of a class.

use std::cmp::Reverse;

use heapsight_analysis::{
    Heap,
    aggregates::{Aggregate, aggregates},
    bits::BitSet,
    classes::Class,
    filters::{self, Filter},
    statistics::Statistics,
    store::Overview,
};
use regex::Regex;

/// A class of the Summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassRow {
    /// The name that is shown.
    pub name: String,
    /// DevTools' key.
    pub key: String,
    /// Members.
    pub count: u64,
    /// Packed distance, as in DevTools' engine: -5 unreachable, from 100,000,000 on reached from V8's roots only.
    pub distance: i32,
    /// Sum of the shallow sizes, in bytes.
    pub self_size: u64,
    /// What would be freed with all members, in bytes.
    pub retained_size: u64,
}

/// The Summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of nodes of the snapshot.
    pub nodes: u64,
    /// Number of edges of the snapshot.
    pub edges: u64,
    /// Bytes by kind.
    pub statistics: Statistics,
    /// The rows, sorted.
    pub classes: Vec<ClassRow>,
}

/// By what the rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Largest retained size first.
    #[default]
    Retained,
    /// Largest shallow size first.
    Shallow,
    /// Most members first.
    Count,
    /// Nearest first.
    Distance,
    /// By name.
    Name,
}

fn rows(table: &[Class], aggregates: &[Aggregate], sort: SortBy, pattern: Option<&Regex>) -> Vec<ClassRow> {
    let mut rows: Vec<ClassRow> = aggregates
        .iter()
        .map(|a| (a, &table[a.class as usize]))
        .filter(|(_, class)| pattern.is_none_or(|p| p.is_match(&class.name)))
        .map(|(a, class)| ClassRow {
            name: class.name.clone(),
            key: class.key(),
            count: a.count,
            distance: a.distance,
            self_size: a.self_size,
            retained_size: a.retained_size,
        })
        .collect();
    sort_rows(&mut rows, sort);
    rows
}

/// Sorts rows. Ties go by name as in DevTools, and then by key, so that the order is always the same.
pub fn sort_rows(rows: &mut [ClassRow], sort: SortBy) {
    rows.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.key.cmp(&b.key)));
    match sort {
        SortBy::Retained => rows.sort_by_key(|r| Reverse(r.retained_size)),
        SortBy::Shallow => rows.sort_by_key(|r| Reverse(r.self_size)),
        SortBy::Count => rows.sort_by_key(|r| Reverse(r.count)),
        SortBy::Distance => rows.sort_by_key(|r| if r.distance < 0 { i32::MAX } else { r.distance }),
        SortBy::Name => {}
    }
}

/// The unfiltered Summary as an index has it.
pub fn summary_of_overview(overview: &Overview, sort: SortBy, pattern: Option<&Regex>) -> Summary {
    Summary {
        nodes: overview.nodes,
        edges: overview.edges,
        statistics: overview.statistics,
        classes: rows(&overview.classes, &overview.summary, sort, pattern),
    }
}

/// The Summary of a heap.
pub fn summary(heap: &Heap, filter: Option<&Filter>, sort: SortBy, pattern: Option<&Regex>) -> Summary {
    let filtered = filter.map(|filter| {
        let passing = filters::passing(heap, filter);
        aggregates(heap.inputs(), |ord| passing.contains(ord as usize))
    });
    Summary {
        nodes: heap.snapshot.node_count() as u64,
        edges: heap.snapshot.edge_count() as u64,
        statistics: heap.statistics,
        classes: rows(&heap.classes.table, filtered.as_ref().unwrap_or(&heap.summary), sort, pattern),
    }
}

/// The rows of the objects for which `passes` holds.
pub fn rows_where(heap: &Heap, passes: impl Fn(u32) -> bool + Sync, sort: SortBy) -> Vec<ClassRow> {
    rows(&heap.classes.table, &aggregates(heap.inputs(), passes), sort, None)
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// Ordinal.
    pub ord: u32,
    /// V8's object id.
    pub id: u32,
    /// The name that is shown in DevTools; it may be empty.
    pub name: String,
    /// A name that is never empty: of a nameless node its class, of an empty string two quotes.
    pub label: String,
    /// Packed distance.
    pub distance: i32,
    /// Shallow size in bytes.
    pub self_size: u64,
    /// Retained size in bytes.
    pub retained_size: u64,
}

/// One row for a node.
pub fn object_row(heap: &Heap, ord: u32) -> ObjectRow {
    let name = heap.names().node(ord).into_owned();
    let label = match heap.snapshot.node_kind(ord) {
        _ if !name.is_empty() => name.clone(),
        _ if ord == heap.snapshot.root => "(root)".to_owned(),
        kind if kind.is_string() => "\"\"".to_owned(),
        _ => heap.classes.class(ord).name.clone(),
    };
    ObjectRow {
        ord,
        id: heap.snapshot.nodes.id[ord as usize],
        name,
        label,
        distance: heap.distance[ord as usize],
        self_size: heap.snapshot.nodes.self_size.get(ord),
        retained_size: heap.retained.get(ord),
    }
}

/// The members of classes, by retained size, then by id: the first `most` of them, and how many there are.
pub fn instances(
    heap: &Heap,
    classes: &[u32],
    passing: Option<&BitSet>,
    most: usize,
) -> (Vec<ObjectRow>, usize) {
    let mut members = members(heap, classes);
    members.retain(|&ord| passing.is_none_or(|p| p.contains(ord as usize)));
    let all = members.len();
    let key = |&ord: &u32| (Reverse(heap.retained.get(ord)), heap.snapshot.nodes.id[ord as usize]);
    if most < all {
        members.select_nth_unstable_by_key(most, key);
        members.truncate(most);
    }
    members.sort_by_key(key);
    (members.into_iter().map(|ord| object_row(heap, ord)).collect(), all)
}

/// The nodes of classes that have a size of their own, ascending.
pub fn members(heap: &Heap, classes: &[u32]) -> Vec<u32> {
    let mut wanted = vec![false; heap.classes.table.len()];
    for &class in classes {
        wanted[class as usize] = true;
    }
    let is_member = |&(ord, &class): &(usize, &u32)| {
        wanted[class as usize] && heap.snapshot.nodes.self_size.get(ord as u32) > 0
    };
    heap.classes.of.iter().enumerate().filter(is_member).map(|(ord, _)| ord as u32).collect()
}
