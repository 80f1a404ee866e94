//! The inverted tree: from what allocated to who called it.

use rustc_hash::FxHashMap;

use crate::profile::Profile;

/// A node of the inverted tree. Parents stand before their children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its parent in the inverted tree, which it calls; `u32::MAX` at the top.
    pub parent: u32,
    /// The function.
    pub function: u32,
    /// Levels above it.
    pub depth: u32,
    /// Bytes that the function at the top allocated itself when called this way.
    pub self_size: u64,
    /// Bytes that were allocated below the function at the top when it was called this way; of a recursive function only
    /// the outermost call counts.
    pub total_size: u64,
    /// Count behind the self size.
    pub self_count: u64,
}

/// Who calls the functions that are `wanted`: one tree a function, `depth` levels of callers. The children of a node add
/// up to it, but for calls that have no caller. Linear in the nodes of wanted functions times `depth`.
pub fn callers(profile: &Profile, wanted: impl Fn(u32) -> bool, depth: u32) -> Vec<Caller> {
    let nodes = &profile.nodes;
    let wanted: Vec<bool> = (0..profile.functions.len() as u32).map(wanted).collect();
    let totals = nodes.totals(&nodes.self_size);
    let mut on_stack = vec![0u32; profile.functions.len()];
    let mut stack: Vec<u32> = Vec::new();
    let mut tree: Vec<Caller> = Vec::new();
    let mut numbers: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    for node in 0..nodes.len() {
        while let Some(&last) = stack.last()
            && nodes.parent[node] != last
        {
            on_stack[nodes.function[last as usize] as usize] -= 1;
            stack.pop();
        }
        let function = nodes.function[node] as usize;
        let outermost = on_stack[function] == 0;
        on_stack[function] += 1;
        stack.push(node as u32);
        let total = if outermost { totals[node] } else { 0 };
        let (own, count) = (nodes.self_size[node], nodes.self_count[node]);
        if !wanted[function] || (total == 0 && own == 0 && count == 0) {
            continue;
        }
        let mut parent = u32::MAX;
        let mut at = node as u32;
        for level in 0..=depth {
            // The root is no caller, but may be asked for by itself.
            if level > 0 && nodes.parent[at as usize] == u32::MAX {
                break;
            }
            let function = nodes.function[at as usize];
            let number = *numbers.entry((parent, function)).or_insert_with(|| {
                tree.push(Caller {
                    parent,
                    function,
                    depth: level,
                    self_size: 0,
                    total_size: 0,
                    self_count: 0,
                });
                tree.len() as u32 - 1
            });
            let entry = &mut tree[number as usize];
            entry.self_size = entry.self_size.saturating_add(own);
            entry.total_size = entry.total_size.saturating_add(total);
            entry.self_count = entry.self_count.saturating_add(count);
            parent = number;
            at = nodes.parent[at as usize];
            if at == u32::MAX {
                break;
            }
        }
    }
    tree
}
