//! The call tree as people read it: what is heavy first, what is light left out.

use std::cmp::Reverse;

use crate::profile::Profile;

/// A line of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// A node.
    Node {
        /// The node.
        node: u32,
        /// Levels above it; the children of the root have none.
        depth: u32,
        /// Whether it is the last of its siblings that is shown.
        last: bool,
        /// Whether it has children that the depth leaves out.
        cut: bool,
    },
    /// Siblings that are left out.
    More {
        /// Levels above them.
        depth: u32,
        /// How many.
        count: u64,
        /// Bytes in all of them.
        size: u64,
    },
}

/// The tree from the root down, `depth` levels, the `most` heaviest children of each node that have at least `min` bytes.
/// `totals` is the total size of each node. Sorting apart, linear.
pub fn branches(profile: &Profile, totals: &[u64], depth: u32, most: usize, min: u64) -> Vec<Branch> {
    let ends = profile.nodes.ends();
    let children = |node: u32| {
        let mut list = Vec::new();
        let mut child = node + 1;
        while child < ends[node as usize] {
            list.push(child);
            child = ends[child as usize];
        }
        list
    };
    let mut out = Vec::new();
    let mut open: Vec<Branch> = Vec::new();
    let below = |node: u32, level: u32, open: &mut Vec<Branch>| {
        let mut list = children(node);
        list.sort_by_key(|&child| (Reverse(totals[child as usize]), child));
        let heavy = list.iter().take(most).take_while(|&&c| totals[c as usize] >= min.max(1)).count();
        let rest = &list[heavy..];
        let size: u64 = rest.iter().map(|&child| totals[child as usize]).sum();
        let more = size > 0;
        if more {
            open.push(Branch::More { depth: level, count: rest.len() as u64, size });
        }
        for (at, &node) in list[..heavy].iter().enumerate().rev() {
            let last = at + 1 == heavy && !more;
            let cut = level + 1 >= depth && totals[node as usize] > profile.nodes.self_size[node as usize];
            open.push(Branch::Node { node, depth: level, last, cut });
        }
    };
    if !profile.nodes.is_empty() && depth > 0 {
        below(0, 0, &mut open);
    }
    while let Some(branch) = open.pop() {
        out.push(branch);
        if let Branch::Node { node, depth: level, cut: false, .. } = branch
            && level + 1 < depth
        {
            below(node, level + 1, &mut open);
        }
    }
    out
}
