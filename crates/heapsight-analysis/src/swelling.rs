//! What grows without gaining objects: an array of numbers, a string that is added to, a buffer that is copied into a
//! larger one.
//!
//! Such a thing is an old object that takes more itself from snapshot to snapshot (an array of numbers has no members that
//! could be counted), or a variable or field of an old object whose value is replaced by a larger one again and again.
//! Both are looked for by object id, so the ids must mean the same objects in all snapshots.
//!
//! Time O(sum of the nodes), memory 4 bytes for each id while the first snapshot is looked at.

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    Heap,
    growth::{is_member, is_store},
};

/// Objects whose own growth is looked at, most.
const MOST: usize = 256;

/// An object that takes more itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swelling {
    /// Its ordinal in the last snapshot.
    pub ord: u32,
    /// Its shallow size in each snapshot.
    pub sizes: Vec<u64>,
}

impl Swelling {
    /// Bytes gained by round.
    pub fn gains(&self) -> Vec<u64> {
        gains(&self.sizes)
    }
}

/// Bytes gained from one size to the next, none where it shrank.
pub fn gains(sizes: &[u64]) -> Vec<u64> {
    sizes.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

/// Objects that are in all snapshots and whose shallow size is larger by `least` bytes in the last than in the first,
/// the largest growth first.
pub fn swellings(heaps: &[Heap], births: &[u8], least: u64) -> Vec<Swelling> {
    let (Some(first), Some(last)) = (heaps.first(), heaps.last()) else { return Vec::new() };
    let most = first.snapshot.nodes.id.iter().copied().max().unwrap_or(0) as usize;
    let mut before = vec![0u32; most / 2 + 1];
    for (ord, &id) in first.snapshot.nodes.id.iter().enumerate() {
        if id % 2 == 1 {
            before[id as usize / 2] =
                first.snapshot.nodes.self_size.get(ord as u32).min(u64::from(u32::MAX)) as u32;
        }
    }
    let mut grown: Vec<(u64, u32)> = Vec::new();
    for ord in 0..last.snapshot.node_count() as u32 {
        let id = last.snapshot.nodes.id[ord as usize];
        if births[ord as usize] != 0 || id % 2 == 0 || id as usize > most || !can_swell(&last.snapshot, ord) {
            continue;
        }
        let size = last.snapshot.nodes.self_size.get(ord);
        let gained = size.saturating_sub(u64::from(before[id as usize / 2]));
        if gained >= least && before[id as usize / 2] > 0 {
            grown.push((gained, ord));
        }
    }
    drop(before);
    grown.sort_by_key(|&(gained, ord)| (std::cmp::Reverse(gained), ord));
    grown.truncate(MOST);
    let ids: Vec<u32> = grown.iter().map(|&(_, ord)| last.snapshot.nodes.id[ord as usize]).collect();
    let mut list: Vec<Swelling> =
        grown.iter().map(|&(_, ord)| Swelling { ord, sizes: Vec::with_capacity(heaps.len()) }).collect();
    for heap in heaps {
        let places = places(&heap.snapshot, &ids);
        for (swelling, place) in list.iter_mut().zip(places) {
            swelling.sizes.push(place.map_or(0, |ord| heap.snapshot.nodes.self_size.get(ord)));
        }
    }
    list
}

/// Whether an object of the program can grow: V8's own tables do, too.
fn can_swell(snapshot: &Snapshot, ord: u32) -> bool {
    is_member(snapshot, ord)
        && !is_store(snapshot, ord)
        && !matches!(snapshot.node_kind(ord), NodeKind::NATIVE | NodeKind::CLOSURE)
}

/// A variable, field or element of an old object, as it is in the last snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The object.
    pub ord: u32,
    /// The edge.
    pub edge: usize,
}

/// What the values of variables or fields retain in each snapshot, 0 where there is no such value.
pub fn slot_sizes(heaps: &[Heap], slots: &[Slot]) -> Vec<Vec<u64>> {
    let mut sizes = vec![Vec::with_capacity(heaps.len()); slots.len()];
    let Some(last) = heaps.last() else { return sizes };
    let ids: Vec<u32> = slots.iter().map(|slot| last.snapshot.nodes.id[slot.ord as usize]).collect();
    for heap in heaps {
        let places = places(&heap.snapshot, &ids);
        for ((slot, place), sizes) in slots.iter().zip(places).zip(&mut sizes) {
            let value = place.and_then(|ord| same_slot(last, slot.edge, heap, ord));
            sizes.push(value.map_or(0, |value| heap.retained.get(value)));
        }
    }
    sizes
}

/// The value of the same variable or field of an object in another snapshot.
fn same_slot(last: &Heap, edge: usize, heap: &Heap, ord: u32) -> Option<u32> {
    let kind = last.snapshot.edge_kind(edge);
    let name = last.names().edge(edge);
    let same = |&other: &usize| {
        heap.snapshot.edge_kind(other) == kind
            && match kind {
                EdgeKind::ELEMENT | EdgeKind::HIDDEN => {
                    heap.snapshot.edges.name[other] == last.snapshot.edges.name[edge]
                }
                _ => heap.names().edge(other) == name,
            }
    };
    heap.snapshot.edges_of(ord).find(same).map(|other| heap.snapshot.edges.to[other])
}

/// The nodes with some ids. O(N).
fn places(snapshot: &Snapshot, ids: &[u32]) -> Vec<Option<u32>> {
    let wanted: FxHashSet<u32> = ids.iter().copied().collect();
    let mut found: FxHashMap<u32, u32> = FxHashMap::default();
    for (ord, id) in snapshot.nodes.id.iter().enumerate() {
        if wanted.contains(id) {
            found.entry(*id).or_insert(ord as u32);
        }
    }
    ids.iter().map(|id| found.get(id).copied()).collect()
}
