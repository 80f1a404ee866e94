//! Where the members of a set gather: the containers that hold many of them, by the ways that a person would tell.
//!
//! What waits is often a chain in itself: a reaction leads to the next reaction and to the promise that it settles, a timer
//! to the next timer. Such chains are passed over: what counts is who holds them. From there counts go up the tree of
//! readable ways, and where they stop being in one child's hands stands the container.
//!
//! Time O(N + k log k) for k nodes below which there are many members; memory 8 bytes a node.

use heapsight_analysis::{
    Heap,
    bits::BitSet,
    contexts::context_set,
    growth::is_store,
    readable::{NONE, ReadableTree},
    suspects::is_root_like,
};

/// Containers of one set that are told.
const MOST: usize = 5;

/// Members of each container that are given.
const EXAMPLES: usize = 16;

/// Steps from a member up to its container, beyond which it is no example.
const STEPS: usize = 64;

/// What to gather.
#[derive(Clone, Copy)]
pub(super) struct Set<'a> {
    /// The members.
    pub(super) members: &'a BitSet,
    /// What chains of members lead through.
    pub(super) through: &'a BitSet,
    /// Whether one object at the beginning of a chain may itself be the container: a promise that many wait for.
    pub(super) heads: bool,
    /// So many are worth a word.
    pub(super) least: u64,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gathering {
    /// The container; a member where they have none in common.
    pub(super) ord: u32,
    /// Members that it holds.
    pub(super) count: u64,
    /// Whether the members have no container in common.
    pub(super) scattered: bool,
    /// Whether the container is the head of a chain.
    pub(super) head: bool,
    /// Some of the members.
    pub(super) examples: Vec<u32>,
}

/// Finds the containers that hold so many, those of most members first.
pub(super) fn gather(heap: &Heap, tree: &ReadableTree, set: Set<'_>) -> Vec<Gathering> {
    let (counts, heads) = count(heap, tree, set);
    let mut points: Vec<(u32, u64)> = stops(heap, tree, &counts, set.least);
    // The inside of an object stands for the object.
    for (ord, _) in &mut points {
        *ord = object_of(heap, tree, *ord);
    }
    points.extend(&heads);
    points.sort_unstable();
    points.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0 };
        same
    });
    let examples = examples(tree, set.members, &points);
    let contexts = context_set(heap);
    let mut list: Vec<Gathering> = points
        .into_iter()
        .zip(examples)
        .map(|((ord, count), examples)| {
            let scattered = is_root_like(heap, &contexts, ord);
            let example = examples.first().copied().filter(|_| scattered);
            let ord = example.map_or(ord, |example| object_of(heap, tree, example));
            let head = !scattered && heads.iter().any(|&(head, _)| head == ord);
            Gathering { ord, count, scattered, head, examples }
        })
        .collect();
    list.sort_by_key(|gathering| (std::cmp::Reverse(gathering.count), gathering.ord));
    list.truncate(MOST);
    list
}

/// The object that a node is the inside of.
fn object_of(heap: &Heap, tree: &ReadableTree, ord: u32) -> u32 {
    let mut at = ord;
    while is_store(&heap.snapshot, at) && tree.parent[at as usize] != NONE {
        at = tree.parent[at as usize];
    }
    at
}

/// Members below each node, chains passed over; and the heads of chains that are containers, with theirs.
fn count(heap: &Heap, tree: &ReadableTree, set: Set<'_>) -> (Vec<u32>, Vec<(u32, u64)>) {
    let n = heap.snapshot.node_count();
    let mut head = vec![NONE; n];
    let mut counts = vec![0u32; n];
    for &ord in &tree.order {
        let at = ord as usize;
        if !set.members.contains(at) && !set.through.contains(at) {
            continue;
        }
        let parent = tree.parent[at];
        let above = if parent == NONE { NONE } else { head[parent as usize] };
        head[at] = if above == NONE { ord } else { above };
        if set.members.contains(at) {
            let first = head[at];
            let holder = tree.parent[first as usize];
            counts[if set.heads || holder == NONE { first } else { holder } as usize] += 1;
        }
    }
    let mut heads = Vec::new();
    if set.heads {
        for &ord in &tree.order {
            let count = &mut counts[ord as usize];
            if u64::from(*count) >= set.least {
                heads.push((ord, u64::from(*count)));
                *count = 0;
            }
        }
    }
    for &ord in tree.order.iter().rev() {
        let parent = tree.parent[ord as usize];
        if parent != NONE {
            counts[parent as usize] = counts[parent as usize].saturating_add(counts[ord as usize]);
        }
    }
    (counts, heads)
}

/// The nodes below which there are so many members that are below none of its children with so many; how many these are.
fn stops(heap: &Heap, tree: &ReadableTree, counts: &[u32], least: u64) -> Vec<(u32, u64)> {
    let many = |ord: u32| u64::from(counts[ord as usize]) >= least;
    let mut rest: Vec<(u32, u64)> = Vec::new();
    // Nodes with many members, each after its parent; what a child has is taken from its parent.
    let mut heavy: Vec<u32> = tree.order.iter().copied().filter(|&ord| many(ord)).collect();
    heavy.sort_unstable();
    rest.extend(heavy.iter().map(|&ord| (ord, u64::from(counts[ord as usize]))));
    for &ord in &heavy {
        let parent = tree.parent[ord as usize];
        if let Ok(at) = heavy.binary_search(&parent) {
            rest[at].1 = rest[at].1.saturating_sub(u64::from(counts[ord as usize]));
        }
    }
    rest.retain(|&(_, count)| count >= least);
    if rest.is_empty() && counts[heap.snapshot.root as usize] > 0 && many(heap.snapshot.root) {
        rest.push((heap.snapshot.root, u64::from(counts[heap.snapshot.root as usize])));
    }
    rest
}

/// Some members of each container.
fn examples(tree: &ReadableTree, members: &BitSet, points: &[(u32, u64)]) -> Vec<Vec<u32>> {
    let mut found: Vec<Vec<u32>> = vec![Vec::new(); points.len()];
    let mut missing = points.len();
    for member in members {
        if missing == 0 {
            break;
        }
        let mut at = member as u32;
        for _ in 0..STEPS {
            if let Ok(point) = points.binary_search_by_key(&at, |point| point.0) {
                let list = &mut found[point];
                if list.len() < EXAMPLES {
                    list.push(member as u32);
                    missing -= usize::from(list.len() == EXAMPLES);
                }
                break;
            }
            at = tree.parent[at as usize];
            if at == NONE {
                break;
            }
        }
    }
    found
}
