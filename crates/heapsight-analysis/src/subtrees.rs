//! What several nodes retain together, each byte once: the dominator tree as intervals.
//!
//! In preorder the nodes that a node dominates stand right after it, so that they are an interval of positions. Of the
//! given nodes those count that are in no other's interval. Time O(N) to make, O(k log k) for k nodes; memory 8 bytes a
//! node.

use crate::Heap;

/// The interval of each node.
#[derive(Clone, Debug)]
pub struct Subtrees<'h> {
    heap: &'h Heap,
    position: Vec<u32>,
    /// How many nodes a node dominates, itself among them.
    len: Vec<u32>,
}

impl<'h> Subtrees<'h> {
    /// Numbers the nodes.
    pub fn new(heap: &'h Heap) -> Self {
        let (idom, preorder) = (&heap.dominators.idom, &heap.dominators.preorder);
        let mut position = vec![0; preorder.len()];
        let mut len = vec![1u32; preorder.len()];
        for (at, &ord) in preorder.iter().enumerate() {
            position[ord as usize] = at as u32;
        }
        for &ord in preorder.iter().rev() {
            let up = idom[ord as usize];
            if up != ord {
                len[up as usize] = len[up as usize].saturating_add(len[ord as usize]);
            }
        }
        Self { heap, position, len }
    }

    /// Bytes that nodes retain together. Sorts the nodes; one that is given twice counts once.
    pub fn retained(&self, nodes: &mut [u32]) -> u64 {
        nodes.sort_unstable_by_key(|&ord| self.position[ord as usize]);
        let (mut sum, mut end) = (0u64, 0);
        for &ord in &*nodes {
            let at = self.position[ord as usize];
            if at >= end {
                sum = sum.saturating_add(self.heap.retained.get(ord));
                end = at.saturating_add(self.len[ord as usize]);
            }
        }
        sum
    }
}
