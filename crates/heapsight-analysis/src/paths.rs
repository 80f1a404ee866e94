//! How a node is kept alive: shortest paths from the roots.
//!
//! The distances give the lengths; a path follows, from the node backwards, a holder that is one step nearer. Weak edges
//! hold nothing and are left out. The value of a WeakMap entry is held by its key and its table together: its edge is
//! shown once, and names both.
//!
//! Time O(N + E) for the tree of all shortest paths, O(length) for a path after that.

use std::hash::{BuildHasher, Hasher};

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{
    Heap,
    distance::UNREACHABLE,
    retainers::{Retainer, retainers_of_one, source_of},
};

/// Stands for "no edge".
const NONE: u32 = u32::MAX;

/// One step of a path: an edge and the node that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The edge; `None` for the first node of the path.
    pub edge: Option<usize>,
    /// The node.
    pub ord: u32,
}

/// The tree of shortest paths from the roots.
#[derive(Debug)]
pub struct PathTree {
    /// For each node the edge by which its path arrives.
    edge: Vec<u32>,
}

impl PathTree {
    /// Finds for each node the first edge of the file that comes from one step nearer.
    pub fn new(heap: &Heap, distance: &[i32]) -> Self {
        let snapshot = &heap.snapshot;
        let mut tree = vec![NONE; snapshot.node_count()];
        for ord in 0..snapshot.node_count() as u32 {
            let near = distance[ord as usize];
            if near == UNREACHABLE {
                continue;
            }
            for edge in snapshot.edges_of(ord) {
                let target = snapshot.edges.to[edge] as usize;
                if tree[target] == NONE
                    && distance[target] == near + 1
                    && snapshot.edge_kind(edge) != EdgeKind::WEAK
                {
                    tree[target] = edge as u32;
                }
            }
        }
        Self { edge: tree }
    }

    /// The shortest path to a node, from its root to the node.
    pub fn path(&self, snapshot: &Snapshot, ord: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut at = ord;
        // Distances fall along the way, so this ends.
        while self.edge[at as usize] != NONE {
            let edge = self.edge[at as usize] as usize;
            steps.push(Step { edge: Some(edge), ord: at });
            at = source_of(snapshot, edge);
        }
        steps.push(Step { edge: None, ord: at });
        steps.reverse();
        steps
    }
}

/// The holders of a node, nearest first, as the Retainers view sorts them: by distance, then by the holder's name.
/// Weak edges and the root's are left out unless asked for.
pub fn holders(heap: &Heap, distance: &[i32], ord: u32, weak: bool) -> Vec<Retainer> {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    let mut list: Vec<Retainer> = retainers_of_one(snapshot, ord)
        .into_iter()
        .filter(|r| match snapshot.edge_kind(r.edge) {
            EdgeKind::INVISIBLE => false,
            EdgeKind::WEAK => weak,
            _ => r.from != snapshot.root || weak,
        })
        .collect();
    let key = |r: &Retainer| match distance[r.from as usize] {
        UNREACHABLE => i32::MAX,
        d => d,
    };
    list.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| names.node(a.from).cmp(&names.node(b.from))));
    list
}

/// Paths to one node that differ in the last holder, shortest first. A holder that is only the backing store of one that
/// was shown (an array's elements, a map's table) is not shown again.
pub fn distinct_paths(heap: &Heap, distance: &[i32], ord: u32, most: usize, weak: bool) -> Vec<Vec<Step>> {
    let snapshot = &heap.snapshot;
    let tree = PathTree::new(heap, distance);
    let holders = holders(heap, distance, ord, weak);
    // The value of a WeakMap entry needs its key and its table: where one of them is not reached, neither holds it.
    let unreached = holders.iter().filter(|h| distance[h.from as usize] == UNREACHABLE);
    let halves: Vec<u32> = unreached.filter_map(|h| weak_map_pair(heap, h.edge)).collect();
    let mut paths: Vec<Vec<Step>> = Vec::new();
    let mut pairs = Vec::new();
    let mut owners = Vec::new();
    for holder in holders {
        if paths.len() >= most {
            break;
        }
        if distance[holder.from as usize] == UNREACHABLE && !weak {
            continue;
        }
        if weak_map_pair(heap, holder.edge).is_some_and(|pair| halves.contains(&pair)) {
            continue;
        }
        if snapshot.edge_kind(holder.edge) == EdgeKind::INTERNAL
            && let Some(entry) = heap.known.weak_map_edge(snapshot.edges.name[holder.edge])
        {
            // The other edge of the same entry says the same.
            if pairs.contains(&entry.pair) {
                continue;
            }
            pairs.push(entry.pair);
        }
        let mut path = tree.path(snapshot, holder.from);
        if path.iter().any(|step| step.ord == ord) {
            // It leads through the node itself.
            continue;
        }
        if !weak {
            let is_store = |ord: u32| matches!(snapshot.node_kind(ord), NodeKind::ARRAY | NodeKind::HIDDEN);
            let owner = path.iter().rev().find(|step| !is_store(step.ord)).map(|step| step.ord);
            if owner.is_some() && owners.contains(&owner) && is_store(holder.from) {
                continue;
            }
            owners.push(owner);
        }
        path.push(Step { edge: Some(holder.edge), ord });
        paths.push(path);
    }
    if paths.is_empty() && distance[ord as usize] != UNREACHABLE {
        paths.push(tree.path(snapshot, ord));
    }
    paths
}

/// The WeakMap entry that an edge belongs to, if any.
fn weak_map_pair(heap: &Heap, edge: usize) -> Option<u32> {
    let internal = heap.snapshot.edge_kind(edge) == EdgeKind::INTERNAL;
    let name = heap.snapshot.edges.name[edge];
    internal.then(|| heap.known.weak_map_edge(name)).flatten().map(|entry| entry.pair)
}

/// Members of a class that are held in the same way: by a path of the same classes and names, whatever the array index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGroup {
    /// How many members.
    pub count: u64,
    /// Sum of their shallow sizes.
    pub self_size: u64,
    /// Sum of their retained sizes.
    pub retained_size: u64,
    /// The path to the first of them.
    pub example: Vec<Step>,
}

/// Groups nodes by the way they are held, the most numerous first.
pub fn path_groups(heap: &Heap, distance: &[i32], nodes: &[u32]) -> Vec<PathGroup> {
    let snapshot = &heap.snapshot;
    let tree = PathTree::new(heap, distance);
    let mut hashes: FxHashMap<u32, u64> = FxHashMap::default();
    let mut groups: Vec<PathGroup> = Vec::new();
    let mut by_hash: FxHashMap<u64, usize> = FxHashMap::default();
    let mut way = Vec::new();
    for &ord in nodes {
        // Down from the first node whose hash is known, or from the root of the path.
        let mut at = ord;
        way.clear();
        while !hashes.contains_key(&at) {
            way.push(at);
            match tree.edge[at as usize] {
                NONE => break,
                edge => at = source_of(snapshot, edge as usize),
            }
        }
        let mut hash = hashes.get(&at).copied().unwrap_or(0);
        for &ord in way.iter().rev() {
            let edge = tree.edge[ord as usize];
            let mut hasher = FxBuildHasher.build_hasher();
            hasher.write_u64(hash);
            hasher.write_u32(heap.classes.of[ord as usize]);
            if edge != NONE {
                let kind = snapshot.edge_kind(edge as usize);
                hasher.write_u8(kind.0);
                if is_named(heap, edge as usize) {
                    hasher.write_u32(snapshot.edges.name[edge as usize]);
                }
            }
            hash = hasher.finish();
            hashes.insert(ord, hash);
        }
        let next = groups.len();
        let group = *by_hash.entry(hash).or_insert(next);
        if group == next {
            let example = tree.path(snapshot, ord);
            groups.push(PathGroup { count: 0, self_size: 0, retained_size: 0, example });
        }
        let group = &mut groups[group];
        group.count += 1;
        group.self_size = group.self_size.saturating_add(snapshot.nodes.self_size.get(ord));
        group.retained_size = group.retained_size.saturating_add(heap.retained.get(ord));
    }
    groups.sort_by_key(|g| std::cmp::Reverse((g.count, g.retained_size)));
    groups
}

/// Whether an edge's name tells it from its siblings: array indices and WeakMap entries do not.
fn is_named(heap: &Heap, edge: usize) -> bool {
    let kind = heap.snapshot.edge_kind(edge);
    let is_entry =
        kind == EdgeKind::INTERNAL && heap.known.weak_map_edge(heap.snapshot.edges.name[edge]).is_some();
    !kind.has_numeric_name() && !is_entry
}

/// The dominators of a node, from its immediate one up to the root.
pub fn dominator_chain(heap: &Heap, ord: u32) -> Vec<u32> {
    let mut chain = Vec::new();
    let mut at = ord;
    while heap.dominators.idom[at as usize] != at {
        at = heap.dominators.idom[at as usize];
        chain.push(at);
    }
    chain
}
