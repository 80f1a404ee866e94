//! Distances from the roots of the program.
//!
//! Breadth first over all edges but weak ones, first from the program's own roots (distance 1), then from the root for
//! what only V8 holds (100,000,000 and more). Three rules keep links of V8's own out (see `Walk::is_rejected`); one of
//! them makes the value of a WeakMap entry as far as the farther of its key and its table.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `calculateDistances`, `bfs`. Time O(N + E), memory 4 bytes a node for the
//! distances and 4 for the queue.

use heapsight_snapshot::{Buffer, Column, EdgeKind, NodeKind, Snapshot};
use rustc_hash::FxHashSet;

use crate::{bits::BitSet, known::Known, ownership::is_user_root, pool::Pool, prefetch::prefetch};

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

/// Computes the distances. `None` if there is no memory for them.
pub fn distances(snapshot: &Snapshot, known: &Known, pool: &Pool) -> Option<Column<i32>> {
    walk_from_roots(snapshot, Walk::new(snapshot, known), pool.take()?, pool)
}

/// Distances that do not enter the given nodes, as the retainers view has them when nodes are ignored there.
pub fn distances_without(snapshot: &Snapshot, known: &Known, ignored: &BitSet) -> Option<Column<i32>> {
    let pool = Pool::new(snapshot.node_count());
    walk_from_roots(
        snapshot,
        Walk { ignored: Some(ignored), ..Walk::new(snapshot, known) },
        pool.take()?,
        &pool,
    )
}

fn walk_from_roots(
    snapshot: &Snapshot,
    mut walk: Walk<'_>,
    column: Buffer<u32>,
    pool: &Pool,
) -> Option<Column<i32>> {
    let n = snapshot.node_count();
    let mut distance = column.into_signed();
    distance.fill(UNREACHABLE);
    // A node may be queued twice (two edges of the root to one node), which the extra room is for.
    let mut queue = Queue { items: pool.take()?, more: Vec::new(), len: 0 };
    let roots = snapshot.edges_of(snapshot.root).map(|e| snapshot.edges.to[e]);
    for root in roots.filter(|&t| is_user_root(snapshot, walk.known, t)) {
        distance[root as usize] = 1;
        queue.push(root);
    }
    let any = queue.len > 0;
    walk.run(&mut distance, &mut queue);
    distance[snapshot.root as usize] = if any { SYSTEM } else { 0 };
    queue.len = 0;
    queue.more.clear();
    queue.push(snapshot.root);
    walk.run(&mut distance, &mut queue);
    pool.give(queue.items);
    Some(distance.freeze(n))
}

/// Nodes to visit: an array for as many as there are nodes, and a list for what goes beyond.
struct Queue {
    items: Buffer<u32>,
    more: Vec<u32>,
    len: usize,
}

impl Queue {
    #[inline]
    fn push(&mut self, ord: u32) {
        match self.items.get_mut(self.len) {
            Some(slot) => *slot = ord,
            None => self.more.push(ord),
        }
        self.len += 1;
    }

    #[inline]
    fn get(&self, at: usize) -> Option<u32> {
        if at >= self.len {
            return None;
        }
        self.items.get(at).or_else(|| self.more.get(at - self.items.len())).copied()
    }
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    known: &'a Known,
    ignored: Option<&'a BitSet>,
    /// WeakMap entries of which one edge was met and not followed; the next is.
    pending: FxHashSet<u32>,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a Snapshot, known: &'a Known) -> Self {
        Self { snapshot, known, ignored: None, pending: FxHashSet::default() }
    }

    fn run(&mut self, distance: &mut [i32], queue: &mut Queue) {
        let snapshot = self.snapshot;
        let literals = &self.known.literals;
        let kinds: &[u8] = &snapshot.edges.kind;
        let to: &[u32] = &snapshot.edges.to;
        let first: &[u32] = &snapshot.nodes.first_edge;
        let weak_maps = self.known.has_weak_maps();
        let mut at = 0;
        while let Some(ord) = queue.get(at) {
            at += 1;
            // What the next nodes of the queue will need, step by step as each step's answer arrives.
            if let Some(ahead) = queue.get(at + 24) {
                prefetch(first, ahead as usize);
            }
            if let Some(ahead) = queue.get(at + 12) {
                let edge = first[ahead as usize] as usize;
                prefetch(to, edge);
                prefetch(kinds, edge);
            }
            if let Some(ahead) = queue.get(at + 5) {
                let edge = first[ahead as usize] as usize;
                for &target in &to[edge..(first[ahead as usize + 1] as usize).min(edge + 8)] {
                    prefetch(distance, target as usize);
                }
            }
            let next = distance[ord as usize] + 1;
            // Which of the rules can apply to this node at all.
            let source = match snapshot.node_kind(ord) {
                NodeKind::HIDDEN if literals.native_context.is(snapshot.nodes.name[ord as usize]) => {
                    Source::NativeContext
                }
                NodeKind::ARRAY if literals.map_descriptors.is(snapshot.nodes.name[ord as usize]) => {
                    Source::MapDescriptors
                }
                _ => Source::Other,
            };
            let plain = source == Source::Other && !weak_maps && self.ignored.is_none();
            let range = first[ord as usize] as usize..first[ord as usize + 1] as usize;
            for edge in range {
                if EdgeKind(kinds[edge]) == EdgeKind::WEAK {
                    continue;
                }
                let target = to[edge];
                if distance[target as usize] != UNREACHABLE || (!plain && self.is_rejected(source, edge)) {
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
        if self.ignored.is_some_and(|ignored| ignored.contains(snapshot.edges.to[edge] as usize)) {
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
                Some(f64::from(name))
            } else {
                leading_integer(&snapshot.strings.get(name))
            };
            // A name that is no number passes neither comparison in JavaScript, and is followed.
            return index.is_some_and(|index| index >= 2.0 && (index % 3.0) as i64 == 1);
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

/// JavaScript's `parseInt(text, 10)`: white space, a sign, digits; `None` for "not a number".
pub(crate) fn leading_integer(text: &str) -> Option<f64> {
    let space = |c: char| c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}');
    let text = text.trim_start_matches(space);
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    text[..sign + digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::leading_integer;

    #[test]
    fn integers_are_parsed_as_javascript_does() {
        let cases = [
            ("7", 7.0),
            (" \u{feff}+7x", 7.0),
            ("-12 3", -12.0),
            ("007", 7.0),
            ("9".repeat(30).leak(), 1e30),
        ];
        for (text, number) in cases {
            assert_eq!(leading_integer(text), Some(number), "{text}");
        }
        for text in ["", "x7", "+", "\u{85}7", "Infinity"] {
            assert_eq!(leading_integer(text), None, "{text}");
        }
    }
}
