//! The dominator tree, level by level.

use std::cmp::Reverse;

use heapsight_analysis::Heap;
use rustc_hash::FxHashMap;

use crate::classes::{ObjectRow, object_row};

/// A node of the tree with the part of it that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The object, or the first of a group.
    pub object: ObjectRow,
    /// The class.
    pub class: String,
    /// Objects in the group; 1 unless grouped by class.
    pub count: u64,
    /// Bytes that it retains; of a group the sum.
    pub retained_size: u64,
    /// Its shallow bytes; of a group the sum.
    pub self_size: u64,
    /// The largest below it.
    pub children: Vec<Self>,
    /// How many are below it and not shown, and what they retain.
    pub more: (u64, u64),
}

/// What part of the tree to show.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Levels below the start.
    pub depth: usize,
    /// Children of each node.
    pub most: usize,
    /// Children that retain less than this many bytes are not shown.
    pub min_size: u64,
    /// Whether children of one class are put together.
    pub by_class: bool,
}

/// The tree below a node. O(N) for the lists of children, then the part that is shown.
pub fn dominator_tree(heap: &Heap, start: u32, options: TreeOptions) -> Branch {
    let children = Children::new(heap);
    branch(heap, &children, &[start], options, options.depth)
}

/// Lists of the dominated nodes, by dominator.
struct Children {
    first: Vec<u32>,
    nodes: Vec<u32>,
}

impl Children {
    fn new(heap: &Heap) -> Self {
        let idom: &[u32] = &heap.dominators.idom;
        let root = heap.snapshot.root;
        let mut first = vec![0u32; idom.len() + 2];
        let below = || (0..idom.len() as u32).filter(|&ord| ord != root);
        for ord in below() {
            first[idom[ord as usize] as usize + 2] += 1;
        }
        for i in 2..first.len() {
            first[i] += first[i - 1];
        }
        let mut nodes = vec![0u32; idom.len() - 1];
        for ord in below() {
            let slot = &mut first[idom[ord as usize] as usize + 1];
            nodes[*slot as usize] = ord;
            *slot += 1;
        }
        Self { first, nodes }
    }

    fn of(&self, ord: u32) -> &[u32] {
        &self.nodes[self.first[ord as usize] as usize..self.first[ord as usize + 1] as usize]
    }
}

/// The branch of one node, or of a group of nodes of one class. The depth is the user's, at most a few dozen.
fn branch(heap: &Heap, children: &Children, nodes: &[u32], options: TreeOptions, depth: usize) -> Branch {
    let sum = |size: &dyn Fn(u32) -> u64| nodes.iter().map(|&ord| size(ord)).fold(0, u64::saturating_add);
    let first = nodes[0];
    let mut this = Branch {
        object: object_row(heap, first),
        class: heap.classes.class(first).name.clone(),
        count: nodes.len() as u64,
        retained_size: sum(&|ord| heap.retained.get(ord)),
        self_size: sum(&|ord| heap.snapshot.nodes.self_size.get(ord)),
        children: Vec::new(),
        more: (0, 0),
    };
    let below: Vec<u32> = nodes.iter().flat_map(|&ord| children.of(ord)).copied().collect();
    let mut groups: Vec<(u64, Vec<u32>)> = if options.by_class {
        let mut by_class: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for ord in below {
            by_class.entry(heap.classes.of[ord as usize]).or_default().push(ord);
        }
        by_class
            .into_values()
            .map(|group| (group.iter().map(|&o| heap.retained.get(o)).fold(0, u64::saturating_add), group))
            .collect()
    } else {
        below.into_iter().map(|ord| (heap.retained.get(ord), vec![ord])).collect()
    };
    groups.sort_by_key(|(size, group)| (Reverse(*size), group[0]));
    let shown = if depth == 0 {
        0
    } else {
        groups.iter().take(options.most).take_while(|(size, _)| *size >= options.min_size).count()
    };
    for (size, group) in &groups[shown..] {
        this.more.0 += group.len() as u64;
        this.more.1 += size;
    }
    for (_, group) in &groups[..shown] {
        this.children.push(branch(heap, children, group, options, depth - 1));
    }
    this
}
