//! Suspects where object ids cannot be compared: containers that are held in the same way are counted in each snapshot.

use heapsight_analysis::{
    Heap,
    readable::{Avoid, ReadableTree},
    trend::Trend,
    ways::{Way, ways},
};
use rustc_hash::FxHashMap;

use super::{Round, Suspicion, foreign_functions, judge_counts};
use crate::code::Code;

/// Finds the containers that gain as many in every round; the tree is that of the last snapshot.
pub(super) fn found(
    heaps: &[Heap],
    rounds: &[Round],
    code: &Code,
    tree: &ReadableTree,
) -> Vec<(Suspicion, u64)> {
    let Some((last, earlier)) = heaps.split_last() else { return Vec::new() };
    let now = ways(last, tree);
    let mut before: Vec<FxHashMap<u64, Way>> = Vec::with_capacity(earlier.len());
    for heap in earlier {
        let foreign = foreign_functions(heap, code);
        let tree = ReadableTree::new(heap, Avoid { new: None, foreign: Some(&foreign) });
        before.push(ways(heap, &tree));
    }
    let mut keys: Vec<u64> = now.keys().copied().collect();
    keys.sort_unstable();
    let mut list = Vec::new();
    for key in keys {
        let way = &now[&key];
        if way.engine {
            continue;
        }
        let series = |of: &dyn Fn(&Way) -> u64| -> Option<Vec<u64>> {
            let counts = before.iter().map(|ways| ways.get(&key).map_or(0, of)).chain([of(way)]);
            let counts: Vec<u64> = counts.collect();
            counts.windows(2).map(|pair| pair[1].checked_sub(pair[0])).collect()
        };
        let of = |way: &Way| if way.list { way.objects } else { way.members };
        let (Some(counts), Some(sizes)) = (series(&of), series(&|way| way.size)) else { continue };
        // What holds more because there are more of it is held by something that grows.
        let objects = series(&|way| way.objects).unwrap_or_default();
        let more: u64 = objects.iter().sum();
        let gained: u64 = counts.iter().sum();
        if (!way.list && more * 4 > gained) || judge_counts(&counts, rounds) != Trend::Steady {
            continue;
        }
        let size = sizes.iter().sum();
        let suspicion = Suspicion {
            ord: way.ord,
            slot: None,
            alike: Vec::new(),
            holders: if way.list { 1 } else { way.objects },
            counts,
            class: None,
            sizes,
            classes: Vec::new(),
            examples: members(last, tree, way.ord),
        };
        list.push((suspicion, size));
    }
    list
}

/// Some of what is right below an object.
fn members(heap: &Heap, tree: &ReadableTree, ord: u32) -> Vec<u32> {
    const EXAMPLES: usize = 16;
    let snapshot = &heap.snapshot;
    let below = snapshot.edges_of(ord).map(|edge| snapshot.edges.to[edge]);
    below.filter(|&to| tree.parent[to as usize] == ord).take(EXAMPLES).collect()
}
