//! Shallow sizes as DevTools shows them: backing stores count for the object that owns them.
//!
//! A node of type hidden or array, or a native `system / ExternalStringData`, is *ownable*. Its owner is the one node of
//! another kind from which it is reached through ownable nodes over edges that are not weak. If there is exactly one, and
//! it is not synthetic, the size moves to it. The result does not depend on the order of the visit: the owner of a node
//! only ever goes from none to one to several.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `JSHeapSnapshot.calculateShallowSizes`. Time O(N + E) (each node is taken up at
//! most three times), memory 4 bytes a node while it runs.

use heapsight_snapshot::{Buffer, EdgeKind, NodeKind, SizeColumn, Snapshot};

use crate::{detached::Detachedness, known::Known, pool::Pool};

const NONE: u32 = 0;
const SEVERAL: u32 = 1;
/// An owner is stored as its ordinal plus this.
const SHIFT: u32 = 2;

/// Whether the root has a child that belongs to the program; snapshots with exposed internals have none, and their sizes
/// stay as they are.
pub fn has_user_roots(snapshot: &Snapshot, known: &Known) -> bool {
    snapshot.edges_of(snapshot.root).any(|e| is_user_root(snapshot, known, snapshot.edges.to[e]))
}

/// Whether a child of the root belongs to the program: it is not synthetic, or it holds the documents.
pub fn is_user_root(snapshot: &Snapshot, known: &Known, ord: u32) -> bool {
    snapshot.node_kind(ord) != NodeKind::SYNTHETIC || is_document_dom_trees(snapshot, known, ord)
}

/// Whether a node is the root of the page's documents.
pub fn is_document_dom_trees(snapshot: &Snapshot, known: &Known, ord: u32) -> bool {
    snapshot.node_kind(ord) == NodeKind::SYNTHETIC
        && known.literals.document_dom_trees.is(snapshot.nodes.name[ord as usize])
}

/// Computes the shallow sizes from those of the file. `None` if there is no memory for it.
pub fn own_sizes(
    snapshot: &Snapshot,
    known: &Known,
    detached: &Detachedness,
    mut sizes: SizeColumn,
    pool: &Pool,
) -> Option<SizeColumn> {
    if !has_user_roots(snapshot, known) {
        return Some(sizes);
    }
    let owner_column = owners(snapshot, known, detached, pool)?;
    let owners = &owner_column[..snapshot.node_count()];
    let kinds: &[u8] = &snapshot.nodes.kind;
    // Sizes that do not fit in 32 bits, or do no longer: moved one by one at the end.
    let mut large: Vec<(u32, u32)> = Vec::new();
    let low = sizes.low_mut()?;
    for (ord, &owner) in owners.iter().enumerate() {
        if owner < SHIFT {
            continue;
        }
        let owner = owner - SHIFT;
        if owner == snapshot.root || NodeKind(kinds[owner as usize]) == NodeKind::SYNTHETIC {
            continue;
        }
        let size = low[ord];
        match low[owner as usize].checked_add(size) {
            Some(sum) if size != u32::MAX && low[owner as usize] != u32::MAX && sum != u32::MAX => {
                low[owner as usize] = sum;
                low[ord] = 0;
            }
            _ => large.push((ord as u32, owner)),
        }
    }
    for (ord, owner) in large {
        let sum = sizes.get(owner).saturating_add(sizes.get(ord));
        sizes.set(owner, sum);
        sizes.set(ord, 0);
    }
    pool.give(owner_column);
    Some(sizes)
}

fn owners(snapshot: &Snapshot, known: &Known, detached: &Detachedness, pool: &Pool) -> Option<Buffer<u32>> {
    let n = snapshot.node_count();
    let mut owners = pool.take_zeroed()?;
    let kinds: &[u8] = &snapshot.nodes.kind;
    let names: &[u32] = &snapshot.nodes.name;
    let first: &[u32] = &snapshot.nodes.first_edge;
    let to: &[u32] = &snapshot.edges.to;
    let edge_kinds: &[u8] = &snapshot.edges.kind;
    let ownable = |ord: u32| match NodeKind(kinds[ord as usize]) {
        NodeKind::HIDDEN | NodeKind::ARRAY => true,
        NodeKind::NATIVE => {
            // Detached ones have another name.
            known.literals.external_string_data.is(names[ord as usize])
                && !detached.is_prefixed(snapshot, ord)
        }
        _ => false,
    };
    {
        let owners: &mut [u32] = &mut owners;
        for ord in 0..n as u32 {
            if ownable(ord) {
                continue;
            }
            let mine = ord + SHIFT;
            let range = first[ord as usize] as usize..first[ord as usize + 1] as usize;
            for (&kind, &target) in edge_kinds[range.clone()].iter().zip(&to[range]) {
                if EdgeKind(kind) != EdgeKind::WEAK && ownable(target) {
                    let owner = &mut owners[target as usize];
                    *owner = if *owner == NONE || *owner == mine { mine } else { SEVERAL };
                }
            }
        }
        let mut stack = Vec::new();
        for start in 0..n as u32 {
            if owners[start as usize] == NONE || !ownable(start) {
                continue;
            }
            stack.push(start);
            while let Some(ord) = stack.pop() {
                let mine = owners[ord as usize];
                let range = first[ord as usize] as usize..first[ord as usize + 1] as usize;
                for (&kind, &target) in edge_kinds[range.clone()].iter().zip(&to[range]) {
                    if EdgeKind(kind) == EdgeKind::WEAK || !ownable(target) {
                        continue;
                    }
                    let owner = &mut owners[target as usize];
                    if *owner == mine || *owner == SEVERAL {
                        continue;
                    }
                    *owner = if *owner == NONE { mine } else { SEVERAL };
                    stack.push(target);
                }
            }
        }
    }
    Some(owners)
}
