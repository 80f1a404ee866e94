//! Events with many listeners, of emitters (`_events`) and of event targets (AbortSignal and its like).

use heapsight_analysis::Heap;
use heapsight_snapshot::{EdgeKind, NodeKind};

use super::{EXAMPLES, Finding, Found, Pattern, finding};
use crate::leak::placing::Placing;
use crate::story::counted;

/// So many listeners of one event are no accident.
const LISTENERS: u64 = 50;

/// What to do about them.
const REMOVE: &str = "listeners of one event: they are added again and again and not removed. Add them once, or take each \
                      off again (`off`, `removeListener`, `once`, or the `signal` option)";

/// What to do about those of an AbortSignal and its like.
const REMOVE_TARGET: &str = "listeners of one event: they are added again and again to a target that lives long. Remove each \
                             when its work is done (`removeEventListener`, `{ once: true }`), or give each piece of work a \
                             signal of its own";

/// Events with many listeners.
pub(super) fn find(placing: Placing<'_>) -> Vec<Finding> {
    let heap = placing.heap;
    let snapshot = &heap.snapshot;
    let literals = &heap.known.literals;
    let mut list = Vec::new();
    for edge in 0..snapshot.edge_count() {
        if snapshot.edge_kind(edge) != EdgeKind::PROPERTY {
            continue;
        }
        let (name, to) = (snapshot.edges.name[edge], snapshot.edges.to[edge]);
        if literals.events.is(name) {
            for event in snapshot.edges_of(to) {
                let array = snapshot.edges.to[event];
                if snapshot.edge_kind(event) == EdgeKind::PROPERTY {
                    let count = elements(heap, array);
                    list.extend(told(placing, array, count, REMOVE));
                }
            }
        } else if literals.target_events.is(name) {
            let tables = snapshot.edges_of(to).filter(|&edge| {
                snapshot.edge_kind(edge) == EdgeKind::INTERNAL && literals.table.is(snapshot.edges.name[edge])
            });
            for entry in tables.flat_map(|edge| snapshot.edges_of(snapshot.edges.to[edge])) {
                let first = snapshot.edges.to[entry];
                if snapshot.node_kind(first) == NodeKind::OBJECT {
                    list.extend(told(placing, first, following(heap, first), REMOVE_TARGET));
                }
            }
        }
    }
    list
}

fn told(placing: Placing<'_>, ord: u32, count: u64, what: &str) -> Option<Finding> {
    if count < LISTENERS {
        return None;
    }
    let retained_size = placing.heap.retained.get(ord);
    let examples = chain(placing.heap, ord).take(EXAMPLES).collect();
    let found = Found {
        count,
        retained_size,
        parts: Vec::new(),
        why: format!("{} {what}", counted(count)),
        examples,
    };
    Some(finding(placing, ord, None, Pattern::Listeners, found))
}

/// Elements of an array.
fn elements(heap: &Heap, ord: u32) -> u64 {
    let snapshot = &heap.snapshot;
    if heap.classes.class(ord).name != "Array" {
        return 0;
    }
    snapshot.edges_of(ord).filter(|&edge| snapshot.edge_kind(edge) == EdgeKind::ELEMENT).count() as u64
}

/// The objects that the properties `next` lead to, one after another.
fn chain(heap: &Heap, ord: u32) -> impl Iterator<Item = u32> {
    let snapshot = &heap.snapshot;
    let next = move |ord: &u32| {
        let mut edges = snapshot.edges_of(*ord);
        let edge = edges.find(|&edge| {
            snapshot.edge_kind(edge) == EdgeKind::PROPERTY
                && heap.known.literals.next.is(snapshot.edges.name[edge])
                && snapshot.node_kind(snapshot.edges.to[edge]) == NodeKind::OBJECT
        });
        edge.map(|edge| snapshot.edges.to[edge])
    };
    // A ring would have no end.
    std::iter::successors(next(&ord), next).take(snapshot.node_count())
}

/// How long a chain is.
fn following(heap: &Heap, ord: u32) -> u64 {
    chain(heap, ord).count() as u64
}
