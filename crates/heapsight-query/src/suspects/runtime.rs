//! What the runtime keeps for itself: its modules, their text, its tables. It is large in every small program, and nobody's
//! mistake.

use heapsight_analysis::{Heap, bits::BitSet, growth::is_store};
use rustc_hash::FxHashMap;

use super::Finding;
use crate::{
    code::Code,
    leak::placing::{Placing, is_runtime},
    story::owner,
};

/// Owners that are asked whose they are.
const DEPTH: usize = 8;

/// What tells the runtime's own containers from those that it keeps for the program.
pub(super) struct Runtime {
    /// Nodes that retain a function or an object of a class of the program's or of a library's.
    has_code: BitSet,
}

impl Runtime {
    /// Looks at all functions, and who dominates them. O(N).
    pub(super) fn new(heap: &Heap, code: &Code) -> Self {
        let snapshot = &heap.snapshot;
        let locations = &snapshot.locations;
        let mut has_code = BitSet::new(snapshot.node_count());
        let mut of_script: FxHashMap<u32, bool> = FxHashMap::default();
        for (at, &ord) in locations.nodes.iter().enumerate() {
            let script = locations.script_ids[at];
            let outside = *of_script
                .entry(script)
                .or_insert_with(|| code.place(heap, ord).is_some_and(|place| !is_runtime(&place)));
            if outside {
                has_code.insert(ord as usize);
            }
        }
        for &ord in heap.dominators.preorder.iter().rev() {
            if has_code.contains(ord as usize) {
                has_code.insert(heap.dominators.idom[ord as usize] as usize);
            }
        }
        Self { has_code }
    }

    /// Whether a suspect is the runtime's own: its place is in the runtime; or the nearest owner with a place is, what it
    /// holds is of the runtime's classes, and nothing of the program's is below.
    pub(super) fn has(&self, placing: Placing<'_>, finding: &Finding) -> bool {
        if finding.place.as_ref().is_some_and(|placed| is_runtime(&placed.place)) {
            return true;
        }
        let Some(ord) = finding.way.last().map(|step| step.ord) else { return false };
        !self.has_code.contains(ord as usize)
            && held_by_runtime(placing, ord)
            && holds_runtime_objects(placing, ord)
    }
}

/// Whether the nearest owner whose code is known is the runtime's.
fn held_by_runtime(placing: Placing<'_>, ord: u32) -> bool {
    let mut at = ord;
    for _ in 0..DEPTH {
        let Some((parent, _)) = owner(placing.heap, placing.tree, at) else { return false };
        if let Some(place) = placing.code.place(placing.heap, parent) {
            return is_runtime(&place);
        }
        at = parent;
    }
    false
}

/// Whether objects that a container holds are of the runtime's classes, and none of others.
fn holds_runtime_objects(placing: Placing<'_>, ord: u32) -> bool {
    const MOST: usize = 256;
    let snapshot = &placing.heap.snapshot;
    let stores =
        snapshot.edges_of(ord).map(|edge| snapshot.edges.to[edge]).filter(|&to| is_store(snapshot, to));
    let mut held: Vec<u32> = stores
        .flat_map(|store| snapshot.edges_of(store))
        .take(MOST * 4)
        .map(|e| snapshot.edges.to[e])
        .collect();
    held.extend(snapshot.edges_of(ord).take(MOST).map(|edge| snapshot.edges.to[edge]));
    let mut any = false;
    for place in held.into_iter().filter_map(|to| placing.code.place(placing.heap, to)) {
        if !is_runtime(&place) {
            return false;
        }
        any = true;
    }
    any
}
