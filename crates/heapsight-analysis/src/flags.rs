//! Three marks that DevTools keeps for each node.
//!
//! * *queryable*: reached from the program's global objects over edges that JavaScript can see;
//! * *detached*: a native node that is detached from the page;
//! * *page-owned*: reached from the global objects and the documents over edges that are not weak.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `calculateFlags`. Time O(N + E), memory one byte a node.

use heapsight_snapshot::{EdgeKind, NodeKind};

use crate::{Heap, detached::DETACHED, essential::is_page_root};

/// Mark of a queryable node.
pub const QUERYABLE: u8 = 1;
/// Mark of a detached native node.
pub const DETACHED_NODE: u8 = 2;
/// Mark of a node that the page owns.
pub const PAGE_OWNED: u8 = 4;

/// Computes the marks of all nodes.
pub fn flags(heap: &Heap) -> Vec<u8> {
    let snapshot = &heap.snapshot;
    let mut flags = vec![0; snapshot.node_count()];
    for (ord, flag) in flags.iter_mut().enumerate() {
        let ord = ord as u32;
        if snapshot.node_kind(ord) == NodeKind::NATIVE && heap.detached.of(ord) == DETACHED {
            *flag = DETACHED_NODE;
        }
    }
    let from_root = || snapshot.edges_of(snapshot.root);
    let globals = from_root().map(|e| snapshot.edges.to[e]);
    let globals = globals.filter(|&o| snapshot.node_kind(o) != NodeKind::SYNTHETIC).collect();
    flood(heap, &mut flags, QUERYABLE, globals, |kind| {
        !matches!(kind, EdgeKind::HIDDEN | EdgeKind::INVISIBLE | EdgeKind::INTERNAL | EdgeKind::WEAK)
    });
    let page = from_root().filter(|&e| is_page_root(snapshot, &heap.known, e));
    let page = page.map(|e| snapshot.edges.to[e]).collect();
    flood(heap, &mut flags, PAGE_OWNED, page, |kind| kind != EdgeKind::WEAK);
    flags
}

fn flood(heap: &Heap, flags: &mut [u8], mark: u8, mut stack: Vec<u32>, follow: impl Fn(EdgeKind) -> bool) {
    let snapshot = &heap.snapshot;
    while let Some(ord) = stack.pop() {
        if flags[ord as usize] & mark != 0 {
            continue;
        }
        flags[ord as usize] |= mark;
        for edge in snapshot.edges_of(ord) {
            let target = snapshot.edges.to[edge];
            if follow(snapshot.edge_kind(edge)) && flags[target as usize] & mark == 0 {
                stack.push(target);
            }
        }
    }
}
