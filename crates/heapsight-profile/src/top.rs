//! Self and total size by function, or by any grouping of functions.

use rustc_hash::FxHashMap;

use crate::profile::Profile;

/// Which functions are counted as one.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Group of each function.
    pub of: Vec<u32>,
    /// A function of each group, to name it by.
    pub first: Vec<u32>,
}

impl Groups {
    /// Each function by itself.
    pub fn functions(profile: &Profile) -> Self {
        let all: Vec<u32> = (0..profile.functions.len() as u32).collect();
        Self { of: all.clone(), first: all }
    }

    /// Functions of one file together.
    pub fn files(profile: &Profile) -> Self {
        Self::by(profile, |function| profile.functions[function as usize].url)
    }

    /// Functions together that have the same key.
    pub fn by<K: std::hash::Hash + Eq>(profile: &Profile, key: impl Fn(u32) -> K) -> Self {
        let mut numbers: FxHashMap<K, u32> = FxHashMap::default();
        let (mut of, mut first) = (Vec::with_capacity(profile.functions.len()), Vec::new());
        for function in 0..profile.functions.len() as u32 {
            let group = *numbers.entry(key(function)).or_insert_with(|| {
                first.push(function);
                first.len() as u32 - 1
            });
            of.push(group);
        }
        Self { of, first }
    }
}

/// What a group allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// A function of the group.
    pub function: u32,
    /// Bytes that its functions allocated themselves.
    pub self_size: u64,
    /// Bytes that were allocated while one of them was on the stack; recursion is counted once.
    pub total_size: u64,
    /// Count behind the self size.
    pub self_count: u64,
    /// Count behind the total size.
    pub total_count: u64,
}

/// The groups by self size, then total size, largest first; those without any bytes or counts are left out. One pass
/// over the nodes: a node counts to its group's total if no node of that group is above it.
pub fn top(profile: &Profile, groups: &Groups) -> Vec<Row> {
    let nodes = &profile.nodes;
    let (sizes, counts) = (nodes.totals(&nodes.self_size), nodes.totals(&nodes.self_count));
    let mut rows: Vec<Row> = groups
        .first
        .iter()
        .map(|&function| Row { function, self_size: 0, total_size: 0, self_count: 0, total_count: 0 })
        .collect();
    // Which groups are on the stack, and how often.
    let mut on_stack = vec![0u32; rows.len()];
    let mut stack: Vec<u32> = Vec::new();
    for node in 0..nodes.len() {
        while let Some(&last) = stack.last()
            && nodes.parent[node] != last
        {
            on_stack[groups.of[nodes.function[last as usize] as usize] as usize] -= 1;
            stack.pop();
        }
        let group = groups.of[nodes.function[node] as usize] as usize;
        let row = &mut rows[group];
        row.self_size = row.self_size.saturating_add(nodes.self_size[node]);
        row.self_count = row.self_count.saturating_add(nodes.self_count[node]);
        if on_stack[group] == 0 {
            row.total_size = row.total_size.saturating_add(sizes[node]);
            row.total_count = row.total_count.saturating_add(counts[node]);
        }
        on_stack[group] += 1;
        stack.push(node as u32);
    }
    rows.retain(|row| row.total_size > 0 || row.total_count > 0);
    let name = |row: &Row| profile.frame(row.function);
    rows.sort_by(|a, b| {
        (b.self_size, b.total_size).cmp(&(a.self_size, a.total_size)).then_with(|| name(a).cmp(&name(b)))
    });
    rows
}
