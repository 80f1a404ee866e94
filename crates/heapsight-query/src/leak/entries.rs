//! How many entries a container has, and so how many it gained: by its own references, whatever these lead to.

use heapsight_analysis::{Heap, growth::is_store};
use heapsight_snapshot::EdgeKind;

/// Entries that an object which is in all snapshots gained, or lost, by round. `None` for what is no container.
pub(super) fn gained(heaps: &[Heap], ord: u32) -> Option<Vec<i64>> {
    let last = heaps.last()?;
    let id = last.snapshot.nodes.id[ord as usize];
    let mut counts = Vec::with_capacity(heaps.len());
    for heap in heaps {
        counts.push(entries(heap, heap.find_id(u64::from(id))?)?);
    }
    Some(differences(&counts))
}

/// The same for several that are held alike, all of them together.
pub(super) fn gained_alike(heaps: &[Heap], ords: &[u32]) -> Option<Vec<i64>> {
    let mut sums: Option<Vec<i64>> = None;
    for &ord in ords {
        let gained = gained(heaps, ord)?;
        match &mut sums {
            Some(sums) => sums.iter_mut().zip(gained).for_each(|(sum, n)| *sum += n),
            None => sums = Some(gained),
        }
    }
    sums
}

/// How many more objects like one of the last snapshot there are, by round: of its class, or plain objects, whose classes
/// depend on how many there are.
pub(super) fn more_alike(heaps: &[Heap], ord: u32) -> Vec<i64> {
    let Some(last) = heaps.last() else { return Vec::new() };
    let class = &last.classes.class(ord).name;
    let plain = last.names().is_plain_object(ord);
    let count = |heap: &Heap| {
        let of: &[u32] = &heap.classes.of;
        if plain {
            return (0..of.len() as u32).filter(|&ord| heap.names().is_plain_object(ord)).count() as u64;
        }
        let same: Vec<bool> = heap.classes.table.iter().map(|other| other.name == *class).collect();
        of.iter().filter(|&&class| same.get(class as usize) == Some(&true)).count() as u64
    };
    differences(&heaps.iter().map(count).collect::<Vec<_>>())
}

fn differences(counts: &[u64]) -> Vec<i64> {
    counts.windows(2).map(|pair| pair[1] as i64 - pair[0] as i64).collect()
}

/// The entries of a Map, Set, array, or object used as a dictionary.
pub(super) fn entries(heap: &Heap, ord: u32) -> Option<u64> {
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
        // In place of an entry that was deleted stands an object of V8's own.
        .filter(|&edge| !is_store(snapshot, snapshot.edges.to[edge]))
        .filter_map(|edge| {
            std::str::from_utf8(snapshot.strings.raw(snapshot.edges.name[edge])).ok()?.parse().ok()
        })
        .collect();
    positions.sort_unstable();
    positions.dedup();
    Some(positions.chunk_by(|a, b| a + 1 == *b).count() as u64)
}
