//! One readable way from the roots to each node: the tree that stories follow and growth is counted on.
//!
//! The shortest path in hops is often not the one that a person would tell: it goes through a hidden class, a prototype or
//! a handle of the embedder. Here edges have costs: variables, properties and elements are cheap, the backing stores of
//! objects cheaper still, what V8 keeps for itself is dear. Of all ways the cheapest is taken, ties going to the way that
//! was found first. Weak edges are no ways, and the value of a WeakMap entry is reached through its key.
//!
//! New objects are reached from handles and natives last of all: a handle says that C++ knows the object, not who in the
//! program keeps it.
//!
//! Source of the idea: shortest paths with a queue of buckets (Dial, 1969). Time O(N + E + length of the longest way),
//! memory 8 bytes a node and an edge number for each edge that is waiting.

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot};
use rustc_hash::FxHashMap;

use crate::{Heap, bits::BitSet, ownership::is_user_root, retainers::source_of};

/// Stands for "no edge".
pub const NONE: u32 = u32::MAX;

/// More than the dearest edge; a power of two.
const BUCKETS: usize = 128;

/// A step into what V8 keeps for itself.
const ENGINE: u8 = 40;

/// A step from a handle, or another root that is not a global object.
const HANDLE: u8 = 14;

/// A step into code that the caller would rather not tell of.
const FOREIGN: u8 = 14;

/// The tree.
#[derive(Clone, Debug)]
pub struct ReadableTree {
    /// For each node the edge by which its way arrives, or [`NONE`].
    pub edge: Vec<u32>,
    /// The node that this edge starts from, or [`NONE`].
    pub parent: Vec<u32>,
    /// All nodes that are reached, each after its parent.
    pub order: Vec<u32>,
}

/// What ways should avoid where they can.
#[derive(Clone, Copy, Debug, Default)]
pub struct Avoid<'a> {
    /// Nodes that handles and natives lead to only when nothing else does.
    pub new: Option<&'a BitSet>,
    /// Functions of libraries and of the runtime.
    pub foreign: Option<&'a BitSet>,
}

impl ReadableTree {
    /// Finds the cheapest ways.
    pub fn new(heap: &Heap, avoid: Avoid<'_>) -> Self {
        let snapshot = &heap.snapshot;
        let n = snapshot.node_count();
        let mut search = Search {
            heap,
            avoid,
            names: name_costs(snapshot),
            tree: Self { edge: vec![NONE; n], parent: vec![NONE; n], order: Vec::with_capacity(n) },
            settled: BitSet::new(n),
            buckets: vec![Vec::new(); BUCKETS],
            deferred: Vec::new(),
        };
        search.run();
        search.tree
    }

    /// The way to a node, as edges from the root on.
    pub fn way(&self, ord: u32) -> Vec<u32> {
        let mut way = Vec::new();
        let mut at = ord;
        while self.edge[at as usize] != NONE {
            way.push(self.edge[at as usize]);
            at = self.parent[at as usize];
        }
        way.reverse();
        way
    }
}

struct Search<'a> {
    heap: &'a Heap,
    avoid: Avoid<'a>,
    names: FxHashMap<u32, u8>,
    tree: ReadableTree,
    settled: BitSet,
    /// Edges by the cost of the way that they end, modulo the number of buckets.
    buckets: Vec<Vec<u32>>,
    /// Edges that are taken when there are no others.
    deferred: Vec<u32>,
}

impl Search<'_> {
    fn run(&mut self) {
        let snapshot = &self.heap.snapshot;
        let root = snapshot.root;
        self.settled.insert(root as usize);
        self.tree.order.push(root);
        for edge in snapshot.edges_of(root) {
            let target = snapshot.edges.to[edge];
            if snapshot.edge_kind(edge) == EdgeKind::WEAK {
                continue;
            }
            let is_global = is_user_root(snapshot, &self.heap.known, target)
                && snapshot.node_kind(target) != NodeKind::NATIVE;
            let cost = if is_global { 0 } else { 4 };
            self.buckets[cost].push(edge as u32);
        }
        loop {
            self.exhaust();
            if self.deferred.is_empty() {
                break;
            }
            self.buckets[0] = std::mem::take(&mut self.deferred);
        }
    }

    /// Takes the edges in the order of their costs until none is left.
    fn exhaust(&mut self) {
        let (mut at, mut empty) = (0, 0);
        while empty < BUCKETS {
            let mut bucket = std::mem::take(&mut self.buckets[at]);
            if bucket.is_empty() {
                empty += 1;
                at = (at + 1) % BUCKETS;
                continue;
            }
            empty = 0;
            for &edge in &bucket {
                let target = self.heap.snapshot.edges.to[edge as usize];
                if self.settled.insert(target as usize) {
                    self.tree.edge[target as usize] = edge;
                    self.tree.parent[target as usize] = source_of(&self.heap.snapshot, edge as usize);
                    self.tree.order.push(target);
                    self.leave(target, at);
                }
            }
            bucket.clear();
            if self.buckets[at].is_empty() {
                self.buckets[at] = bucket;
            }
        }
    }

    /// Puts the edges of a node that has been reached into the buckets.
    fn leave(&mut self, ord: u32, at: usize) {
        let snapshot = &self.heap.snapshot;
        let kind = snapshot.node_kind(ord);
        let is_root = matches!(kind, NodeKind::SYNTHETIC | NodeKind::NATIVE);
        let is_engine = matches!(kind, NodeKind::CODE | NodeKind::OBJECT_SHAPE);
        for edge in snapshot.edges_of(ord) {
            let target = snapshot.edges.to[edge];
            if self.settled.contains(target as usize) {
                continue;
            }
            let name = snapshot.edges.name[edge];
            let named = self.names.get(&name).copied();
            let mut cost = match snapshot.edge_kind(edge) {
                EdgeKind::WEAK | EdgeKind::SHORTCUT | EdgeKind::INVISIBLE => continue,
                EdgeKind::CONTEXT | EdgeKind::ELEMENT => 2,
                EdgeKind::PROPERTY => match named {
                    Some(cost) if cost >= 4 => cost,
                    _ => 2,
                },
                EdgeKind::INTERNAL => {
                    let entry = self.heap.known.weak_map_edge(name);
                    if entry.is_some_and(|e| e.table_id == u64::from(snapshot.nodes.id[ord as usize])) {
                        continue;
                    }
                    if entry.is_some() { 2 } else { named.unwrap_or(6) }
                }
                _ => 8,
            };
            if is_engine {
                cost = cost.max(ENGINE);
            }
            if is_root {
                if snapshot.node_kind(target) != NodeKind::SYNTHETIC
                    && self.avoid.new.is_some_and(|new| new.contains(target as usize))
                {
                    self.deferred.push(edge as u32);
                    continue;
                }
                cost = match (kind, snapshot.node_kind(target)) {
                    (NodeKind::SYNTHETIC, NodeKind::SYNTHETIC) => 2,
                    (NodeKind::SYNTHETIC, _) => HANDLE,
                    _ => cost.max(4),
                };
            }
            if self.avoid.foreign.is_some_and(|foreign| foreign.contains(target as usize)) {
                cost += FOREIGN;
            }
            self.buckets[(at + cost as usize) % BUCKETS].push(edge as u32);
        }
    }
}

/// What edges with these names cost, by string. Linear in the number of strings.
fn name_costs(snapshot: &Snapshot) -> FxHashMap<u32, u8> {
    const COSTS: &[(&str, u8)] = &[
        ("elements", 1),
        ("table", 1),
        ("properties", 1),
        ("context", 1),
        ("previous", 1),
        ("__proto__", 24),
        ("constructor", 16),
        ("prototype", 8),
        ("map", ENGINE),
        ("code", ENGINE),
        ("shared", ENGINE),
        ("script", ENGINE),
        ("feedback_cell", ENGINE),
        ("native_context", ENGINE),
        ("global_proxy_object", ENGINE),
        ("scope_info", ENGINE),
        ("initial_map", ENGINE),
    ];
    let known: FxHashMap<&[u8], u8> = COSTS.iter().map(|&(name, cost)| (name.as_bytes(), cost)).collect();
    let longest = COSTS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut costs = FxHashMap::default();
    for index in 0..snapshot.strings.len() as u32 {
        let raw = snapshot.strings.raw(index);
        if raw.len() <= longest
            && let Some(&cost) = known.get(raw)
        {
            costs.insert(index, cost);
        }
    }
    costs
}
