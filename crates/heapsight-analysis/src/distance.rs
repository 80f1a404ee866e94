//! Distances from the roots of the program, and which nodes the page owns.
//!
//! Breadth first over all edges but weak ones, first from the program's own roots (distance 1), then from the root for
//! what only V8 holds (100,000,000 and more). Three rules keep links of V8's own out (see [`Walk::is_rejected`]); one of
//! them makes the value of a WeakMap entry as far as the farther of its key and its table.
//!
//! *Page-owned* is what is reached from the global objects and documents over edges that are not weak: the first walk
//! with its rejected edges followed. Where the two sets of roots are the same (they nearly always are) the walk serves
//! both.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `calculateDistances`, `bfs`, `markPageOwnedNodes`. Time O(N + E), memory 4 bytes a
//! node for the distances and up to 4 for the queue.

use heapsight_snapshot::{Buffer, Column, EdgeKind, NodeKind, Snapshot};
use rustc_hash::FxHashSet;

use crate::{
    bits::BitSet,
    known::Known,
    ownership::{is_document_dom_trees, is_user_root},
};

/// Packed distance of a node that nothing reaches.
pub const UNREACHABLE: i32 = -5;

/// Packed distance of the root where the program has roots of its own; what only V8 holds lies above.
pub const SYSTEM: i32 = 100_000_000;

/// A distance for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Hops from the program's roots.
    User(u32),
    /// Reached only from V8's own roots, in this many hops.
    System(u32),
    /// Not reached at all.
    Unreachable,
}

impl Distance {
    /// Unpacks a distance of the column.
    pub fn unpack(packed: i32) -> Self {
        match packed {
            UNREACHABLE => Self::Unreachable,
            d if d >= SYSTEM => Self::System((d - SYSTEM) as u32),
            d => Self::User(d.max(0) as u32),
        }
    }
}

/// The distances and the nodes that the page owns.
#[derive(Debug)]
pub struct Distances {
    /// Packed distance of each node.
    pub distance: Column<i32>,
    /// Nodes that the page owns.
    pub page_owned: BitSet,
}

/// Computes both. `None` if there is no memory for them.
pub fn distances(snapshot: &Snapshot, known: &Known) -> Option<Distances> {
    let n = snapshot.node_count();
    let mut distance = Buffer::<i32>::dense(n)?;
    distance.fill(UNREACHABLE);
    let mut walk = Walk::new(snapshot, known);
    let user_roots: Vec<u32> = targets_of_root(snapshot).filter(|&t| is_user_root(snapshot, known, t)).collect();
    let page_roots: Vec<u32> = page_roots(snapshot, known);
    for &root in &user_roots {
        distance[root as usize] = 1;
    }
    let same = sorted(&user_roots) == sorted(&page_roots);
    walk.run(&mut distance, user_roots.clone(), same);
    let page_owned = if same {
        let mut owned = reached(&distance);
        let extra: Vec<u32> = walk.rejected.drain(..).filter(|&t| owned.insert(t as usize)).collect();
        flood(snapshot, &mut owned, extra);
        owned
    } else {
        let mut owned = BitSet::new(n);
        let start: Vec<u32> = page_roots.into_iter().filter(|&t| owned.insert(t as usize)).collect();
        flood(snapshot, &mut owned, start);
        owned
    };
    distance[snapshot.root as usize] = if user_roots.is_empty() { 0 } else { SYSTEM };
    walk.run(&mut distance, vec![snapshot.root], false);
    Some(Distances { distance: distance.freeze(n), page_owned })
}

/// Distances that do not enter the given nodes, as the retainers view has them when nodes are ignored there.
pub fn distances_without(snapshot: &Snapshot, known: &Known, ignored: &FxHashSet<u32>) -> Option<Column<i32>> {
    let n = snapshot.node_count();
    let mut distance = Buffer::<i32>::dense(n)?;
    distance.fill(UNREACHABLE);
    let mut walk = Walk { ignored: Some(ignored), ..Walk::new(snapshot, known) };
    let roots: Vec<u32> = targets_of_root(snapshot).filter(|&t| is_user_root(snapshot, known, t)).collect();
    for &root in &roots {
        distance[root as usize] = 1;
    }
    let any = !roots.is_empty();
    walk.run(&mut distance, roots, false);
    distance[snapshot.root as usize] = if any { SYSTEM } else { 0 };
    walk.run(&mut distance, vec![snapshot.root], false);
    Some(distance.freeze(n))
}

fn targets_of_root(snapshot: &Snapshot) -> impl Iterator<Item = u32> + '_ {
    snapshot.edges_of(snapshot.root).map(|e| snapshot.edges.to[e])
}

/// The global objects (shortcut edges of the root) and the documents (elements of it).
fn page_roots(snapshot: &Snapshot, known: &Known) -> Vec<u32> {
    snapshot
        .edges_of(snapshot.root)
        .filter(|&e| match snapshot.edge_kind(e) {
            EdgeKind::SHORTCUT => true,
            EdgeKind::ELEMENT => is_document_dom_trees(snapshot, known, snapshot.edges.to[e]),
            _ => false,
        })
        .map(|e| snapshot.edges.to[e])
        .collect()
}

fn sorted(list: &[u32]) -> Vec<u32> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

fn reached(distance: &[i32]) -> BitSet {
    let words = distance
        .chunks(64)
        .map(|chunk| chunk.iter().enumerate().fold(0u64, |word, (i, &d)| word | u64::from(d != UNREACHABLE) << i))
        .collect();
    BitSet::from_words(words, distance.len())
}

fn flood(snapshot: &Snapshot, owned: &mut BitSet, mut stack: Vec<u32>) {
    while let Some(ord) = stack.pop() {
        for edge in snapshot.edges_of(ord) {
            let target = snapshot.edges.to[edge];
            if snapshot.edge_kind(edge) != EdgeKind::WEAK && owned.insert(target as usize) {
                stack.push(target);
            }
        }
    }
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    known: &'a Known,
    ignored: Option<&'a FxHashSet<u32>>,
    /// WeakMap entries of which one edge was met and not followed; the next is.
    pending: FxHashSet<u32>,
    /// Targets of edges that the rules did not let pass.
    rejected: Vec<u32>,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a Snapshot, known: &'a Known) -> Self {
        Self { snapshot, known, ignored: None, pending: FxHashSet::default(), rejected: Vec::new() }
    }

    fn run(&mut self, distance: &mut [i32], mut queue: Vec<u32>, keep_rejected: bool) {
        let snapshot = self.snapshot;
        let literals = &self.known.literals;
        let kinds: &[u8] = &snapshot.edges.kind;
        let to: &[u32] = &snapshot.edges.to;
        let first: &[u32] = &snapshot.nodes.first_edge;
        let weak_maps = self.known.has_weak_maps();
        let mut at = 0;
        while at < queue.len() {
            let ord = queue[at];
            at += 1;
            let next = distance[ord as usize] + 1;
            let name = snapshot.nodes.name[ord as usize];
            // Which of the rules can apply to this node at all.
            let source = match snapshot.node_kind(ord) {
                NodeKind::HIDDEN if literals.native_context.is(name) => Source::NativeContext,
                NodeKind::ARRAY if literals.map_descriptors.is(name) => Source::MapDescriptors,
                _ => Source::Other,
            };
            let plain = source == Source::Other && !weak_maps && self.ignored.is_none();
            let range = first[ord as usize] as usize..first[ord as usize + 1] as usize;
            for edge in range {
                if EdgeKind(kinds[edge]) == EdgeKind::WEAK {
                    continue;
                }
                let target = to[edge];
                if distance[target as usize] != UNREACHABLE {
                    continue;
                }
                if !plain && self.is_rejected(source, edge) {
                    if keep_rejected {
                        self.rejected.push(target);
                    }
                    continue;
                }
                distance[target as usize] = next;
                queue.push(target);
            }
        }
    }

    /// The three rules of DevTools: a native context's `sloppy_function_map`; the descriptors of a map, which may belong
    /// to another map that shares the array; and the first of the two edges to the value of a WeakMap entry.
    fn is_rejected(&mut self, source: Source, edge: usize) -> bool {
        let snapshot = self.snapshot;
        let name = snapshot.edges.name[edge];
        let kind = snapshot.edge_kind(edge);
        if self.ignored.is_some_and(|ignored| ignored.contains(&snapshot.edges.to[edge])) {
            return true;
        }
        if source == Source::NativeContext
            && !kind.has_numeric_name()
            && self.known.literals.sloppy_function_map.is(name)
        {
            return true;
        }
        if source == Source::MapDescriptors {
            let index = if kind.has_numeric_name() {
                Some(u64::from(name))
            } else {
                leading_integer(&snapshot.strings.get(name))
            };
            // A name that is no number passes neither comparison in JavaScript, and is followed.
            return index.is_some_and(|index| index >= 2 && index % 3 == 1);
        }
        if kind == EdgeKind::INTERNAL
            && let Some(entry) = self.known.weak_map_edge(name)
            && !self.pending.remove(&entry.pair)
        {
            self.pending.insert(entry.pair);
            return true;
        }
        false
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    NativeContext,
    MapDescriptors,
    Other,
}

/// JavaScript's `parseInt(text, 10)` for what can stand here: white space, digits.
pub(crate) fn leading_integer(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}
