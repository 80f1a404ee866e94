//! How many entries a container has, and so how many it gained: by its own references, whatever these lead to.

use heapsight_analysis::{Heap, growth::is_store};
use heapsight_snapshot::EdgeKind;

/// Entries that an object which is in all snapshots gained, by round. `None` for what is no container, or lost some.
pub(super) fn gained(heaps: &[Heap], ord: u32) -> Option<Vec<u64>> {
    let last = heaps.last()?;
    let id = last.snapshot.nodes.id[ord as usize];
    let mut counts = Vec::with_capacity(heaps.len());
    for heap in heaps {
        counts.push(entries(heap, heap.find_id(u64::from(id))?)?);
    }
    counts.windows(2).map(|pair| pair[1].checked_sub(pair[0])).collect()
}

/// The entries of a Map, Set, array, or object used as a dictionary.
fn entries(heap: &Heap, ord: u32) -> Option<u64> {
    let snapshot = &heap.snapshot;
    let count = |wanted: &dyn Fn(EdgeKind) -> bool| {
        snapshot.edges_of(ord).filter(|&edge| wanted(snapshot.edge_kind(edge))).count() as u64
    };
    match heap.classes.class(ord).name.as_str() {
        "Map" | "Set" => table_entries(heap, snapshot.internal_edge(ord, "table")?),
        "Array" => Some(count(&|kind| kind == EdgeKind::ELEMENT)),
        _ if heap.names().is_plain_object(ord) => {
            Some(count(&|kind| matches!(kind, EdgeKind::PROPERTY | EdgeKind::ELEMENT)))
        }
        _ => None,
    }
}

/// The entries of a table: key and value stand side by side, and between two entries is a number, which has no edge.
fn table_entries(heap: &Heap, table: u32) -> Option<u64> {
    let snapshot = &heap.snapshot;
    if !is_store(snapshot, table) {
        return None;
    }
    let mut positions: Vec<u32> = snapshot
        .edges_of(table)
        .filter(|&edge| snapshot.edge_kind(edge) == EdgeKind::INTERNAL)
        .filter_map(|edge| {
            std::str::from_utf8(snapshot.strings.raw(snapshot.edges.name[edge])).ok()?.parse().ok()
        })
        .collect();
    positions.sort_unstable();
    positions.dedup();
    Some(positions.chunk_by(|a, b| a + 1 == *b).count() as u64)
}
