//! Search by displayed name, as in DevTools: what has no size of its own is left out.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `search`. Time O(strings + nodes with names of their own making).

use heapsight_snapshot::NodeKind;
use rayon::prelude::*;
use regex::Regex;

use crate::Heap;

/// The nodes whose displayed name matches, ascending.
pub fn search(heap: &Heap, pattern: &Regex) -> Vec<u32> {
    let strings = &heap.snapshot.strings;
    let matching: Vec<bool> =
        (0..strings.len() as u32).into_par_iter().map(|i| pattern.is_match(&strings.get(i))).collect();
    let names = heap.names();
    (0..heap.snapshot.node_count() as u32)
        .into_par_iter()
        .filter(|&ord| {
            if heap.snapshot.nodes.self_size.get(ord) == 0 {
                return false;
            }
            let made = heap.snapshot.node_kind(ord) == NodeKind::CONS_STRING
                || names.is_plain_object(ord)
                || heap.detached.is_prefixed(&heap.snapshot, ord);
            if made {
                return pattern.is_match(&names.node(ord));
            }
            let string = heap.snapshot.nodes.name[ord as usize] as usize;
            matching.get(string).copied().unwrap_or_else(|| pattern.is_match(""))
        })
        .collect()
}
