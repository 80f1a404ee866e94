//! The engine's columns in the form of the oracle, to be compared: for the tests beside, and for the fuzz target
//! `analyse`.

use std::collections::BTreeMap;

use heapsight_analysis::{Heap, Silent};
use heapsight_snapshot::Snapshot;
use heapsight_testkit::{
    builder::Graph,
    oracle::{Aggregate, Oracle, Statistics},
};

/// Analyses a snapshot.
pub(crate) fn heap_of(snapshot: Snapshot) -> Heap {
    Heap::build(snapshot, &Silent, &()).unwrap()
}

/// Analyses a graph.
pub(crate) fn heap(graph: &Graph) -> Heap {
    heap_of(graph.snapshot())
}

/// All ordinals.
pub(crate) fn ords(heap: &Heap) -> std::ops::Range<u32> {
    0..heap.snapshot.node_count() as u32
}

fn class_keys(heap: &Heap) -> Vec<String> {
    ords(heap).map(|ord| heap.classes.class(ord).key()).collect()
}

fn summary(heap: &Heap) -> BTreeMap<String, Aggregate> {
    let rows = heap.summary.iter().map(|row| {
        let key = heap.classes.table[row.class as usize].key();
        let distance = row.distance.into();
        let (self_size, retained) = (row.self_size, row.retained_size);
        (key, Aggregate { count: row.count, self_size, retained, distance })
    });
    let count = rows.len();
    let rows: BTreeMap<String, Aggregate> = rows.collect();
    assert_eq!(rows.len(), count, "two classes have the same key");
    rows
}

fn statistics(heap: &Heap) -> Statistics {
    let s = heap.statistics;
    Statistics {
        total: s.total,
        native_total: s.native_total,
        typed_arrays: s.typed_arrays,
        v8_heap_total: s.v8_heap_total,
        code: s.code,
        strings: s.strings,
        js_arrays: s.js_arrays,
        system: s.system,
    }
}

/// What the engine says, in the form of the oracle. Which edges are essential shows in the dominators only.
pub(crate) fn engine(heap: &Heap, oracle: &Oracle) -> Oracle {
    Oracle {
        detachedness: ords(heap).map(|ord| heap.detached.of(ord).into()).collect(),
        self_sizes: heap.snapshot.nodes.self_size.iter().collect(),
        distances: heap.distance.iter().map(|&d| d.into()).collect(),
        page_owned: oracle.page_owned.clone(),
        essential: oracle.essential.clone(),
        idom: heap.dominators.idom.iter().map(|&d| d as usize).collect(),
        unreachable: heap.dominators.unreachable as usize,
        retained: heap.retained.iter().collect(),
        class_keys: class_keys(heap),
        interfaces: heap.classes.interfaces.iter().map(|i| (i.name.clone(), i.count)).collect(),
        aggregates: summary(heap),
        total_size: heap.total_size(),
        statistics: statistics(heap),
    }
}

/// Compares column by column, so that a failure shows the first column that differs and not all of them.
pub(crate) fn check_columns(name: &str, ours: &Oracle, expected: &Oracle) {
    assert_eq!(ours.detachedness, expected.detachedness, "{name}: detachedness");
    assert_eq!(ours.self_sizes, expected.self_sizes, "{name}: shallow sizes");
    assert_eq!(ours.distances, expected.distances, "{name}: distances");
    assert_eq!(ours.unreachable, expected.unreachable, "{name}: unreachable nodes");
    assert_eq!(ours.idom, expected.idom, "{name}: dominators");
    assert_eq!(ours.retained, expected.retained, "{name}: retained sizes");
    assert_eq!(ours.interfaces, expected.interfaces, "{name}: interfaces");
    assert_eq!(ours.class_keys, expected.class_keys, "{name}: class keys");
    assert_eq!(ours.aggregates, expected.aggregates, "{name}: Summary");
    assert_eq!(ours.total_size, expected.total_size, "{name}: total size");
    assert_eq!(ours.statistics, expected.statistics, "{name}: statistics");
    assert_eq!(ours, expected, "{name}");
}

/// Asserts that the engine and the oracle agree on a graph.
pub(crate) fn check(name: &str, graph: &Graph) {
    let expected = Oracle::new(graph);
    let heap = heap(graph);
    check_columns(name, &engine(&heap, &expected), &expected);
}
