//! Where the bytes are, in six numbers.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `calculateStatistics`, `calculateArraySize`. Time O(N), plus one pass over the
//! edges if the size of some array's elements did not move to the array.

use heapsight_snapshot::{EdgeKind, NodeKind, SizeColumn, Snapshot};

use crate::names::Names;

/// Bytes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Everything, with what the header reports outside of the heap.
    pub total: u64,
    /// Native nodes, and what the header reports.
    pub native_total: u64,
    /// Of these: array buffers.
    pub typed_arrays: u64,
    /// `total` without `native_total`.
    pub v8_heap_total: u64,
    /// Code.
    pub code: u64,
    /// Strings of all kinds.
    pub strings: u64,
    /// Arrays with their elements.
    pub js_arrays: u64,
    /// V8's own.
    pub system: u64,
}

/// Adds up the sizes but for the totals, which `Statistics::close` puts in when they are known.
pub fn statistics(names: Names<'_>, sizes: &SizeColumn) -> Statistics {
    let Names { snapshot, known, detached } = names;
    let literals = &known.literals;
    let mut s = Statistics::default();
    let sizes = sizes.view();
    let node_names: &[u32] = &snapshot.nodes.name;
    // Elements that kept a size of their own: they count if nothing else holds them.
    let mut elements: Vec<u32> = Vec::new();
    for (ord, &kind) in snapshot.nodes.kind.iter().enumerate() {
        let size = sizes.get(ord as u32);
        let name = node_names[ord];
        match NodeKind(kind) {
            NodeKind::HIDDEN => s.system = s.system.saturating_add(size),
            NodeKind::NATIVE => {
                s.native_total = s.native_total.saturating_add(size);
                if literals.array_buffer_data.is(name) && !detached.is_prefixed(snapshot, ord as u32) {
                    s.typed_arrays = s.typed_arrays.saturating_add(size);
                }
            }
            NodeKind::CODE => s.code = s.code.saturating_add(size),
            kind if kind.is_string() => s.strings = s.strings.saturating_add(size),
            _ if literals.array.is(name) => {
                s.js_arrays = s.js_arrays.saturating_add(size);
                let held = snapshot.edges_of(ord as u32).find(|&e| {
                    snapshot.edge_kind(e) == EdgeKind::INTERNAL
                        && literals.elements.is(snapshot.edges.name[e])
                });
                let held = held.map(|e| snapshot.edges.to[e]);
                elements.extend(held.filter(|&target| sizes.get(target) > 0));
            }
            _ => {}
        }
    }
    if !elements.is_empty() {
        let retainers = retainer_counts(snapshot, &elements);
        for (&ord, count) in elements.iter().zip(retainers) {
            if count == 1 {
                s.js_arrays = s.js_arrays.saturating_add(sizes.get(ord));
            }
        }
    }
    s
}

impl Statistics {
    /// Puts in the totals: of all nodes with what lies outside of the heap, and that alone.
    pub(crate) fn close(&mut self, total: u64, extra_native_bytes: u64) {
        self.total = total;
        self.native_total = self.native_total.saturating_add(extra_native_bytes);
        self.v8_heap_total = total.saturating_sub(self.native_total);
    }
}

/// How many edges point to each of a few nodes.
fn retainer_counts(snapshot: &Snapshot, nodes: &[u32]) -> Vec<u32> {
    let mut slots: rustc_hash::FxHashMap<u32, u32> = nodes.iter().map(|&n| (n, 0)).collect();
    let mut wanted = crate::bits::BitSet::new(snapshot.node_count());
    for &node in nodes {
        wanted.insert(node as usize);
    }
    for &target in snapshot.edges.to.iter() {
        if wanted.contains(target as usize)
            && let Some(count) = slots.get_mut(&target)
        {
            *count += 1;
        }
    }
    nodes.iter().map(|n| slots.get(n).copied().unwrap_or(0)).collect()
}
