//! Where in given code the most was allocated: the stacks that a leak hunt prints as "allocated in".

use crate::profile::{Frame, Profile};

/// A stack of allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack<'p> {
    /// The wanted function first, then its callers, outermost last.
    pub frames: Vec<Frame<'p>>,
    /// Bytes that were allocated in it, and in functions that it called and that are not wanted themselves.
    pub size: u64,
    /// What [`Profile::counts`] says.
    pub count: u64,
}

/// The `most` stacks in which the most was allocated by wanted code, heaviest first.
///
/// Each allocation counts to the innermost function of its stack that is wanted: if the program's own code is wanted, a
/// buffer that `node:buffer` made counts to the function of the program that asked for it. What no wanted function is on
/// the stack of counts to none. At most `depth` frames are given of each stack. Linear in the nodes.
///
/// `wanted` is asked once a function: for the program's own code, whether its URL is in no package and no module of the
/// runtime.
pub fn heaviest<'p>(
    profile: &'p Profile,
    wanted: impl Fn(Frame<'p>) -> bool,
    most: usize,
    depth: usize,
) -> Vec<Stack<'p>> {
    let nodes = &profile.nodes;
    let wanted: Vec<bool> =
        (0..profile.functions.len() as u32).map(|function| wanted(profile.frame(function))).collect();
    let mut owner: Vec<u32> = Vec::with_capacity(nodes.len());
    let mut sizes = vec![(0u64, 0u64); nodes.len()];
    for node in 0..nodes.len() {
        let above = owner.get(nodes.parent[node] as usize).copied();
        let own = if above.is_some() && wanted[nodes.function[node] as usize] {
            node as u32
        } else {
            above.unwrap_or(u32::MAX)
        };
        owner.push(own);
        if let Some((size, count)) = sizes.get_mut(own as usize) {
            *size = size.saturating_add(nodes.self_size[node]);
            *count = count.saturating_add(nodes.self_count[node]);
        }
    }
    let mut found: Vec<u32> = (0..nodes.len() as u32).filter(|&node| sizes[node as usize].0 > 0).collect();
    found.sort_by_key(|&node| (std::cmp::Reverse(sizes[node as usize].0), node));
    found.truncate(most);
    found
        .into_iter()
        .map(|node| {
            let (size, count) = sizes[node as usize];
            Stack { frames: profile.stack(node).take(depth).collect(), size, count }
        })
        .collect()
}
