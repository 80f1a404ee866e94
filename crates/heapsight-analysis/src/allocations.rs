//! Who allocated: the stacks that an allocation timeline records.
//!
//! Each node of the file's tree of stacks has what was allocated there in total; what of it is alive is counted from the
//! nodes of the heap. The rows of functions ("tops") and the tree of callers below a function are DevTools'.
//!
//! Source: DevTools, `AllocationProfile.ts`. Time O(N + stacks x depth) for all callers of one function.

use rustc_hash::FxHashMap;

use crate::Heap;

/// Counts and bytes, allocated and alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Objects allocated.
    pub count: u64,
    /// Bytes allocated.
    pub size: u64,
    /// Objects alive.
    pub live_count: u64,
    /// Bytes alive (shallow).
    pub live_size: u64,
}

impl Allocated {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.size = self.size.saturating_add(other.size);
        self.live_count = self.live_count.saturating_add(other.live_count);
        self.live_size = self.live_size.saturating_add(other.live_size);
    }
}

/// A function and what it allocated itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationTop {
    /// DevTools' number of the row: 1, 2 ... in the order of the file's functions.
    pub id: u32,
    /// Index into the snapshot's trace functions.
    pub function: u32,
    /// What it allocated.
    pub allocated: Allocated,
}

/// A caller in the tree below a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Index into the snapshot's trace functions.
    pub function: u32,
    /// What the function at the root of this tree allocated when called through here.
    pub allocated: Allocated,
    /// Nodes of the allocation tree that count here: heap nodes with these trace ids are the live ones.
    pub trace_ids: Vec<u32>,
    /// Index of the one that it calls; the root has itself.
    pub callee: u32,
    /// Indices of its callers.
    pub callers: Vec<u32>,
}

/// The allocation profile of a heap.
#[derive(Debug)]
pub struct AllocationProfile<'a> {
    heap: &'a Heap,
    /// Live count and size by trace id.
    live: FxHashMap<u32, (u64, u64)>,
}

impl<'a> AllocationProfile<'a> {
    /// Counts what is alive; `None` if the file has no traces.
    pub fn new(heap: &'a Heap) -> Option<Self> {
        heap.snapshot.traces.as_ref()?;
        let mut live: FxHashMap<u32, (u64, u64)> = FxHashMap::default();
        for ord in 0..heap.snapshot.node_count() as u32 {
            let id = heap.snapshot.nodes.trace_node.as_ref().map_or(0, |column| column[ord as usize]);
            let slot = live.entry(id).or_default();
            slot.0 += 1;
            slot.1 = slot.1.saturating_add(heap.snapshot.nodes.self_size.get(ord));
        }
        Some(Self { heap, live })
    }

    fn nodes(&self) -> &'a [heapsight_snapshot::TraceNode] {
        self.heap.snapshot.traces.as_ref().map_or(&[], |t| &t.nodes)
    }

    fn allocated(&self, node: &heapsight_snapshot::TraceNode) -> Allocated {
        let (live_count, live_size) = self.live.get(&node.id).copied().unwrap_or_default();
        Allocated { count: node.count, size: node.size, live_count, live_size }
    }

    /// One row a function that allocated anything, by bytes.
    pub fn tops(&self) -> Vec<AllocationTop> {
        let functions = self.heap.snapshot.traces.as_ref().map_or(0, |t| t.functions.len());
        let mut totals = vec![Allocated::default(); functions];
        for node in self.nodes().iter().filter(|n| n.count > 0) {
            totals[node.function as usize].add(self.allocated(node));
        }
        let mut rows: Vec<AllocationTop> = totals
            .into_iter()
            .enumerate()
            .filter(|(_, allocated)| allocated.count > 0)
            .zip(1..)
            .map(|((function, allocated), id)| AllocationTop { id, function: function as u32, allocated })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.allocated.size));
        rows
    }

    /// The tree of callers of a function: entry 0 is the function itself.
    pub fn callers(&self, function: u32) -> Vec<Caller> {
        let nodes = self.nodes();
        let mut tree = vec![Caller { function, ..Caller::default() }];
        for node in nodes.iter().filter(|n| n.function == function && n.count > 0) {
            let allocated = self.allocated(node);
            let mut at = 0;
            let mut stack = Some(node);
            loop {
                tree[at].allocated.add(allocated);
                tree[at].trace_ids.push(node.id);
                stack = stack.and_then(|n| n.parent).map(|parent| &nodes[parent as usize]);
                let Some(caller) = stack else { break };
                let known =
                    tree[at].callers.iter().copied().find(|&c| tree[c as usize].function == caller.function);
                at = if let Some(known) = known {
                    known as usize
                } else {
                    tree.push(Caller { function: caller.function, callee: at as u32, ..Caller::default() });
                    let new = tree.len() - 1;
                    tree[at].callers.push(new as u32);
                    new
                };
            }
        }
        tree
    }

    /// The functions on the stack of a trace id, from the allocating one outwards.
    pub fn stack(&self, trace_id: u32) -> Vec<u32> {
        let nodes = self.nodes();
        let mut frames = Vec::new();
        let mut at = nodes.iter().find(|n| n.id == trace_id);
        while let Some(node) = at {
            frames.push(node.function);
            at = node.parent.map(|parent| &nodes[parent as usize]);
        }
        frames
    }
}
