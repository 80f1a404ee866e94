//! Where memory accumulates in one snapshot, as Eclipse MAT finds it: large subtrees of the dominator tree, followed down to
//! the node where the retained size drops.
//!
//! A node is *large* if it retains at least a given number of bytes. From the roots the walk goes down to large children;
//! where one child has nearly all that its parent has, the parent is only on the way. Where the children are small, all
//! at once, the parent is the *accumulation point*: the container. A list is its first node, not the one where enough of it
//! is left over.
//!
//! Source of the idea: Eclipse MAT, `FindLeaksQuery` (a child below 0.7 of its parent is a drop). Time O(N), memory 4 bytes
//! a node.

use heapsight_snapshot::NodeKind;
use rustc_hash::FxHashMap;

use crate::{
    Heap,
    bits::BitSet,
    contexts::context_set,
    growth::{is_member, is_store},
    ownership::is_user_root,
};

/// A child with so much of its parent's is no drop.
const DROP: f64 = 0.7;

/// An accumulation point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The container.
    pub ord: u32,
    /// What it retains.
    pub retained_size: u64,
    /// What its largest child retains.
    pub largest_child: u64,
    /// What it dominates directly, stores left out: class, how many, what these retain. The largest first.
    pub classes: Vec<(u32, u64, u64)>,
}

/// Whether a node is a root for people: a group of roots, a global object, a realm.
pub fn is_root_like(heap: &Heap, contexts: &BitSet, ord: u32) -> bool {
    ord == heap.snapshot.root
        || heap.snapshot.node_kind(ord) == NodeKind::SYNTHETIC
        || contexts.contains(ord as usize)
        || is_global(heap, ord)
}

/// Whether a node is a global object: what the root leads to and is no group of roots.
fn is_global(heap: &Heap, ord: u32) -> bool {
    let snapshot = &heap.snapshot;
    snapshot.node_kind(ord) == NodeKind::OBJECT
        && is_user_root(snapshot, &heap.known, ord)
        && snapshot.edges_of(snapshot.root).any(|edge| snapshot.edges.to[edge] == ord)
}

/// The accumulation points of at least `least` bytes, the largest first.
pub fn accumulation_points(heap: &Heap, least: u64) -> Vec<Point> {
    let snapshot = &heap.snapshot;
    let contexts = context_set(heap);
    let idom: &[u32] = &heap.dominators.idom;
    // Large nodes by their dominator.
    let mut large: Vec<(u32, u32)> = (0..snapshot.node_count() as u32)
        .filter(|&ord| ord != snapshot.root && heap.retained.get(ord) >= least)
        .map(|ord| (idom[ord as usize], ord))
        .collect();
    large.sort_unstable();
    let children = |ord: u32| {
        let start = large.partition_point(|&(up, _)| up < ord);
        large[start..].iter().take_while(move |&&(up, _)| up == ord).map(|&(_, child)| child)
    };
    let mut points: Vec<u32> = Vec::new();
    let mut stack = vec![snapshot.root];
    while let Some(ord) = stack.pop() {
        if is_root_like(heap, &contexts, ord) {
            stack.extend(children(ord));
            continue;
        }
        let retained = heap.retained.get(ord);
        let inside: Vec<u32> = children(ord).collect();
        let same_class = |child: u32| {
            heap.classes.of[child as usize] == heap.classes.of[ord as usize] && is_member(snapshot, ord)
        };
        let heaviest = inside.iter().copied().max_by_key(|&child| heap.retained.get(child));
        match heaviest {
            Some(child) if same_class(child) && heap.retained.get(child) as f64 >= retained as f64 * DROP => {
                points.push(ord);
            }
            Some(child) if heap.retained.get(child) as f64 >= retained as f64 * DROP => stack.push(child),
            Some(_) => {
                let within: u64 = inside.iter().map(|&child| heap.retained.get(child)).sum();
                if retained.saturating_sub(within) >= least {
                    points.push(ord);
                } else {
                    stack.extend(inside);
                }
            }
            None => points.push(ord),
        }
    }
    // The inside of an object stands for the object; V8's own tables are nobody's container.
    for point in &mut points {
        while is_store(snapshot, *point) && idom[*point as usize] != *point {
            *point = idom[*point as usize];
        }
    }
    points.retain(|&ord| is_member(snapshot, ord) && !is_root_like(heap, &contexts, ord));
    points.sort_unstable();
    points.dedup();
    let mut list = describe(heap, &points);
    list.sort_by_key(|point| (std::cmp::Reverse(point.retained_size), point.ord));
    list
}

/// What the points dominate directly.
fn describe(heap: &Heap, points: &[u32]) -> Vec<Point> {
    let snapshot = &heap.snapshot;
    let idom: &[u32] = &heap.dominators.idom;
    let mut list: Vec<Point> = points
        .iter()
        .map(|&ord| Point {
            ord,
            retained_size: heap.retained.get(ord),
            largest_child: 0,
            classes: Vec::new(),
        })
        .collect();
    let mut by_class: Vec<FxHashMap<u32, (u64, u64)>> = vec![FxHashMap::default(); points.len()];
    // The nearest dominator that is no store.
    let mut up = vec![0u32; snapshot.node_count()];
    for &ord in heap.dominators.preorder.iter() {
        let parent = idom[ord as usize];
        let is_inside = parent != ord && is_store(snapshot, parent);
        up[ord as usize] = if is_inside { up[parent as usize] } else { parent };
        if is_store(snapshot, ord) || up[ord as usize] == ord {
            continue;
        }
        if let Ok(at) = points.binary_search(&up[ord as usize]) {
            let retained = heap.retained.get(ord);
            list[at].largest_child = list[at].largest_child.max(retained);
            let of = by_class[at].entry(heap.classes.of[ord as usize]).or_default();
            *of = (of.0 + 1, of.1.saturating_add(retained));
        }
    }
    for (point, classes) in list.iter_mut().zip(by_class) {
        point.classes = classes.into_iter().map(|(class, (count, size))| (class, count, size)).collect();
        point.classes.sort_unstable_by_key(|&(class, count, size)| (std::cmp::Reverse((size, count)), class));
    }
    list
}
