//! Which native context (realm: a page, a frame, a `vm` context) a node belongs to.
//!
//! An object belongs to the context that the map of its map names; everything else to the one context from which it is
//! reached (over edges that are neither shortcuts nor weak), or it is shared. The result does not depend on the order of
//! the walk: an owner only goes from none to one to shared.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `calculateNativeContextAttribution`, `calculateNativeContextSizes`. Time O(N + E),
//! memory 8 bytes a node.

use heapsight_snapshot::EdgeKind;

use crate::{
    Heap,
    bits::BitSet,
    filters::{Filter, function_context_names, passing, strings_where},
};

/// Owner of what is reached from no context.
pub const NO_CONTEXT: i32 = -1;
/// Owner of what is reached from several contexts.
pub const SHARED: i32 = -2;

/// Bytes of one native context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextSize {
    /// Its node.
    pub ord: u32,
    /// Shallow sizes of what belongs to it.
    pub attributed_size: u64,
}

/// What function contexts (closures' variables) keep alive alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldByContexts {
    /// Function contexts that have a size of their own.
    pub context_count: u64,
    /// Objects that would go with all contexts.
    pub held_count: u64,
    /// Their shallow sizes.
    pub held_size: u64,
    /// Objects that would stay.
    pub other_count: u64,
    /// Their shallow sizes.
    pub other_size: u64,
}

/// Adds up the filter [`Filter::Contexts`]; DevTools' `getRetainedByContextSummary`.
pub fn held_by_contexts(heap: &Heap) -> HeldByContexts {
    let snapshot = &heap.snapshot;
    let held = passing(heap, &Filter::Contexts);
    let contexts = function_context_names(heap);
    let mut sums = HeldByContexts::default();
    for ord in 0..snapshot.node_count() as u32 {
        let size = snapshot.nodes.self_size.get(ord);
        if size == 0 {
            continue;
        }
        let (count, sum) = if held.contains(ord as usize) {
            (&mut sums.held_count, &mut sums.held_size)
        } else {
            (&mut sums.other_count, &mut sums.other_size)
        };
        *count += 1;
        *sum = sum.saturating_add(size);
        let name = snapshot.nodes.name[ord as usize] as usize;
        let is_context = name < contexts.capacity() && contexts.contains(name);
        sums.context_count += u64::from(is_context && !heap.detached.is_prefixed(snapshot, ord));
    }
    sums
}

/// Bytes by native context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextSizes {
    /// The contexts, in the order of the file.
    pub contexts: Vec<ContextSize>,
    /// Bytes that several share.
    pub shared_size: u64,
    /// Bytes of none.
    pub unattributed_size: u64,
}

/// The nodes that are native contexts.
pub fn context_set(heap: &Heap) -> BitSet {
    let plain = strings_where(heap, |raw| {
        raw == b"system / NativeContext" || raw.starts_with(b"system / NativeContext / ")
    });
    let detached = strings_where(heap, |raw| {
        raw == b"Detached system / NativeContext" || raw.starts_with(b"Detached system / NativeContext / ")
    });
    let mut set = BitSet::new(heap.snapshot.node_count());
    for (ord, &name) in heap.snapshot.nodes.name.iter().enumerate() {
        let name = name as usize;
        if name < plain.capacity()
            && (plain.contains(name)
                || (detached.contains(name) && !heap.detached.is_prefixed(&heap.snapshot, ord as u32)))
        {
            set.insert(ord);
        }
    }
    set
}

/// The owner of each node: the ordinal of a native context, [`NO_CONTEXT`] or [`SHARED`].
pub fn attribution(heap: &Heap) -> Vec<i32> {
    let snapshot = &heap.snapshot;
    let literals = &heap.known.literals;
    let n = snapshot.node_count();
    let is_context = context_set(heap);
    // The target of the first internal edge `map`, and of the first `native_context` that leads to a context.
    let mut map = vec![NO_CONTEXT; n];
    let mut direct = vec![NO_CONTEXT; n];
    for ord in 0..n as u32 {
        for edge in snapshot.edges_of(ord) {
            if snapshot.edge_kind(edge) != EdgeKind::INTERNAL {
                continue;
            }
            let name = snapshot.edges.name[edge];
            let target = snapshot.edges.to[edge];
            let slot = ord as usize;
            if direct[slot] == NO_CONTEXT
                && literals.native_context_edge.is(name)
                && is_context.contains(target as usize)
            {
                direct[slot] = target as i32;
            } else if map[slot] == NO_CONTEXT && literals.map.is(name) {
                map[slot] = target as i32;
            }
        }
    }
    let follow = |table: &[i32], ord: i32| usize::try_from(ord).map_or(NO_CONTEXT, |ord| table[ord]);
    let mut owner = vec![NO_CONTEXT; n];
    let mut fixed = BitSet::new(n);
    let mut queue = Vec::new();
    for ord in 0..n {
        owner[ord] =
            if is_context.contains(ord) { ord as i32 } else { follow(&direct, follow(&map, map[ord])) };
        if owner[ord] != NO_CONTEXT {
            fixed.insert(ord);
            queue.push(ord as u32);
        }
    }
    drop((map, direct));
    while let Some(ord) = queue.pop() {
        let mine = owner[ord as usize];
        for edge in snapshot.edges_of(ord) {
            if matches!(snapshot.edge_kind(edge), EdgeKind::SHORTCUT | EdgeKind::WEAK) {
                continue;
            }
            let target = snapshot.edges.to[edge] as usize;
            if fixed.contains(target) {
                continue;
            }
            let merged = match owner[target] {
                NO_CONTEXT => mine,
                other if other == mine => mine,
                _ => SHARED,
            };
            if merged != owner[target] {
                owner[target] = merged;
                queue.push(target as u32);
            }
        }
    }
    owner
}

/// Adds up the shallow sizes by owner.
pub fn context_sizes(heap: &Heap) -> ContextSizes {
    let is_context = context_set(heap);
    let mut sizes = ContextSizes::default();
    let mut slot = rustc_hash::FxHashMap::default();
    for ord in &is_context {
        slot.insert(ord as i32, sizes.contexts.len());
        sizes.contexts.push(ContextSize { ord: ord as u32, attributed_size: 0 });
    }
    for (ord, owner) in attribution(heap).into_iter().enumerate() {
        let size = heap.snapshot.nodes.self_size.get(ord as u32);
        match owner {
            SHARED => sizes.shared_size = sizes.shared_size.saturating_add(size),
            NO_CONTEXT => sizes.unattributed_size = sizes.unattributed_size.saturating_add(size),
            owner => {
                if let Some(&at) = slot.get(&owner) {
                    let sum = &mut sizes.contexts[at].attributed_size;
                    *sum = sum.saturating_add(size);
                }
            }
        }
    }
    sizes
}
