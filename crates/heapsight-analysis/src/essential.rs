//! Edges that count for retention.
//!
//! Not essential are, in this order: the edge from a WeakMap's table to a value (the one from the key stays); weak edges;
//! edges of a node to itself; and, unless they come from the root, shortcuts and edges from what the page does not own
//! to what it owns.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `computeIsEssentialEdge`. Time O(E) on all threads, memory one bit an edge.

use heapsight_snapshot::{EdgeKind, Snapshot};
use rayon::prelude::*;

use crate::{bits::BitSet, known::Known};

/// The set of essential edges.
pub fn essential_edges(snapshot: &Snapshot, known: &Known, page_owned: &BitSet) -> BitSet {
    const WORDS: usize = 1 << 12;
    let edges = snapshot.edge_count();
    let first: &[u32] = &snapshot.nodes.first_edge;
    let mut words = vec![0u64; edges.div_ceil(64)];
    words.par_chunks_mut(WORDS).enumerate().for_each(|(chunk, words)| {
        let begin = chunk * WORDS * 64;
        let end = (begin + words.len() * 64).min(edges);
        let mut ord = first.partition_point(|&f| f as usize <= begin) as u32 - 1;
        let mut edge = begin;
        while edge < end {
            let node_end = (first[ord as usize + 1] as usize).min(end);
            let source = SourceNode {
                ord,
                is_root: ord == snapshot.root,
                page_owned: page_owned.contains(ord as usize),
            };
            while edge < node_end {
                if is_essential(snapshot, known, page_owned, source, edge) {
                    words[(edge - begin) >> 6] |= 1 << (edge & 63);
                }
                edge += 1;
            }
            ord += 1;
        }
    });
    BitSet::from_words(words, edges)
}

#[derive(Clone, Copy)]
struct SourceNode {
    ord: u32,
    is_root: bool,
    page_owned: bool,
}

#[inline]
fn is_essential(snapshot: &Snapshot, known: &Known, page_owned: &BitSet, source: SourceNode, edge: usize) -> bool {
    let kind = snapshot.edge_kind(edge);
    if kind == EdgeKind::INTERNAL
        && let Some(entry) = known.weak_map_edge(snapshot.edges.name[edge])
        && u64::from(snapshot.nodes.id[source.ord as usize]) == entry.table_id
    {
        return false;
    }
    let target = snapshot.edges.to[edge];
    if kind == EdgeKind::WEAK || target == source.ord {
        return false;
    }
    source.is_root || (kind != EdgeKind::SHORTCUT && (source.page_owned || !page_owned.contains(target as usize)))
}
