//! The named filters of DevTools' Summary.
//!
//! Four of them ask what would go if something were not there: the graph is walked from the root without it, and the
//! nodes that are not reached then, though they are reached otherwise, pass.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `createFilter`, `createNamedFilter`. Time O(N + E), memory a few bits a node.

use heapsight_snapshot::{EdgeKind, NodeKind};
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::{
    Heap,
    bits::BitSet,
    contexts::{NO_CONTEXT, SHARED, attribution},
    detached::DETACHED,
    distance::UNREACHABLE,
    duplicates::duplicate_members,
};

/// Which nodes a view shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// Kept alive by detached DOM nodes alone.
    DetachedDomNodes,
    /// Kept alive by function contexts alone.
    Contexts,
    /// Kept alive by the DevTools console alone.
    Console,
    /// Kept alive by event handlers alone.
    EventHandlers,
    /// Strings that occur more than once.
    DuplicatedStrings,
    /// Reached from several native contexts.
    SharedNativeContext,
    /// Reached from no native context.
    NoNativeContext,
    /// Belonging to the native context with this ordinal.
    NativeContext(u32),
    /// Ids in `(min, max]`: objects allocated between two snapshots.
    IdRange {
        /// Ids up to this one do not pass.
        min: u64,
        /// The last id that passes.
        max: u64,
    },
    /// Allocated at these nodes of the allocation tree.
    Allocation(Vec<u32>),
}

/// The nodes that pass.
pub fn passing(heap: &Heap, filter: &Filter) -> BitSet {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    match filter {
        Filter::DetachedDomNodes => retained_by(heap, |_, _, target| heap.detached.of(target) == DETACHED),
        Filter::Contexts => {
            let contexts = function_context_names(heap);
            retained_by(heap, |_, _, target| {
                let name = snapshot.nodes.name[target as usize] as usize;
                name < contexts.capacity()
                    && contexts.contains(name)
                    && !heap.detached.is_prefixed(snapshot, target)
            })
        }
        Filter::Console => retained_by(heap, |source, edge, _| {
            snapshot.node_kind(source) == NodeKind::SYNTHETIC
                && !snapshot.edge_kind(edge).has_numeric_name()
                && names.edge(edge).ends_with(" / DevTools console")
        }),
        Filter::EventHandlers => {
            let handlers = event_handlers(heap);
            retained_by(heap, |_, _, target| handlers.contains(target as usize))
        }
        Filter::DuplicatedStrings => duplicate_members(heap),
        Filter::SharedNativeContext => owned_by(heap, SHARED),
        Filter::NoNativeContext => owned_by(heap, NO_CONTEXT),
        Filter::NativeContext(context) => owned_by(heap, *context as i32),
        Filter::IdRange { min, max } => where_node(heap, |ord| {
            let id = u64::from(snapshot.nodes.id[ord as usize]);
            id > *min && id <= *max
        }),
        Filter::Allocation(ids) => {
            let ids: FxHashSet<u32> = ids.iter().copied().collect();
            let traces = snapshot.nodes.trace_node.as_ref();
            where_node(heap, |ord| ids.contains(&traces.map_or(0, |column| column[ord as usize])))
        }
    }
}

/// The strings that name function contexts, by index.
pub fn function_context_names(heap: &Heap) -> BitSet {
    strings_where(heap, |text| text == b"system / Context" || text.starts_with(b"system / Context / "))
}

fn where_node(heap: &Heap, test: impl Fn(u32) -> bool) -> BitSet {
    let n = heap.snapshot.node_count();
    let mut set = BitSet::new(n);
    for ord in 0..n as u32 {
        if test(ord) {
            set.insert(ord as usize);
        }
    }
    set
}

fn owned_by(heap: &Heap, owner: i32) -> BitSet {
    let owners = attribution(heap);
    where_node(heap, |ord| owners[ord as usize] == owner)
}

/// The strings, by index, whose text passes.
pub(crate) fn strings_where(heap: &Heap, test: impl Fn(&[u8]) -> bool + Sync) -> BitSet {
    let strings = &heap.snapshot.strings;
    let words = (0..strings.len().div_ceil(64))
        .into_par_iter()
        .map(|word| {
            let indices = word * 64..(word * 64 + 64).min(strings.len());
            indices
                .enumerate()
                .fold(0, |bits, (i, index)| bits | u64::from(test(&strings.wtf8(index as u32))) << i)
        })
        .collect();
    BitSet::from_words(words, strings.len())
}

/// Nodes that are reached, but not by a walk from the root that leaves out what `avoid(source, edge, target)` names.
/// Weak edges are not followed; none of the rules of the distances apply.
pub(crate) fn retained_by(heap: &Heap, avoid: impl Fn(u32, usize, u32) -> bool) -> BitSet {
    let snapshot = &heap.snapshot;
    let mut reached = BitSet::new(snapshot.node_count());
    reached.insert(snapshot.root as usize);
    let mut stack = vec![snapshot.root];
    while let Some(ord) = stack.pop() {
        for edge in snapshot.edges_of(ord) {
            let target = snapshot.edges.to[edge];
            if snapshot.edge_kind(edge) != EdgeKind::WEAK
                && !reached.contains(target as usize)
                && !avoid(ord, edge, target)
            {
                reached.insert(target as usize);
                stack.push(target);
            }
        }
    }
    where_node(heap, |ord| !reached.contains(ord as usize) && heap.distance[ord as usize] != UNREACHABLE)
}

/// For each `V8EventListener`: its callback if that is a function, else the first function that the callback holds, else
/// the callback.
fn event_handlers(heap: &Heap) -> BitSet {
    let snapshot = &heap.snapshot;
    let literals = &heap.known.literals;
    let names = heap.names();
    let target_named = |ord: u32, name: &str| {
        snapshot.edges_of(ord).find(|&e| names.edge(e) == name).map(|e| snapshot.edges.to[e])
    };
    let mut handlers = BitSet::new(snapshot.node_count());
    for ord in 0..snapshot.node_count() as u32 {
        if !literals.event_listener.is(snapshot.nodes.name[ord as usize])
            || heap.detached.is_prefixed(snapshot, ord)
        {
            continue;
        }
        let Some(callback) = target_named(ord, "1") else { continue };
        let is_function = |ord| target_named(ord, "code").is_some();
        let handler = if is_function(callback) {
            callback
        } else {
            let mut held = snapshot.edges_of(callback).map(|e| snapshot.edges.to[e]);
            held.find(|&child| is_function(child)).unwrap_or(callback)
        };
        handlers.insert(handler as usize);
    }
    handlers
}
