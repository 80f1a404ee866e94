//! The Summary: count, sizes and least distance of each class.
//!
//! Only nodes whose shallow size is not zero (after backing stores went to their owners) and that pass the filter count.
//! The retained size of a class is the sum over its members that no counted member of the class dominates, so that
//! nothing is counted twice.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `buildAggregates`, `calculateClassesRetainedSize`. Time O(N), memory O(classes +
//! depth of the dominator tree).

use heapsight_snapshot::SizeColumn;

use crate::{classes::Classes, distance::UNREACHABLE, dominators::DominatorTree};

/// One row of the Summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Index into the table of classes.
    pub class: u32,
    /// Members.
    pub count: u64,
    /// Sum of the members' shallow sizes.
    pub self_size: u64,
    /// What would be freed with all members.
    pub retained_size: u64,
    /// The least packed distance of a member ([`UNREACHABLE`] if any member is unreachable).
    pub distance: i32,
}

/// The columns that the Summary is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Shallow sizes.
    pub self_sizes: &'a SizeColumn,
    /// Retained sizes.
    pub retained: &'a SizeColumn,
    /// Packed distances.
    pub distance: &'a [i32],
    /// Classes.
    pub classes: &'a Classes,
    /// Dominators.
    pub dominators: &'a DominatorTree,
}

/// Makes the rows, by class index; classes without members are left out.
pub fn aggregates(inputs: Inputs<'_>, passes: impl Fn(u32) -> bool + Sync) -> Vec<Aggregate> {
    let (mut rows, retained) =
        rayon::join(|| counts(inputs, &passes), || retained_sizes(inputs, &passes));
    for (row, retained) in rows.iter_mut().zip(retained) {
        row.retained_size = retained;
    }
    rows.retain(|row| row.count > 0);
    rows
}

fn counts(inputs: Inputs<'_>, passes: impl Fn(u32) -> bool) -> Vec<Aggregate> {
    let mut rows: Vec<Aggregate> = (0..inputs.classes.table.len() as u32)
        .map(|class| Aggregate { class, count: 0, self_size: 0, retained_size: 0, distance: i32::MAX })
        .collect();
    for (ord, &class) in inputs.classes.of.iter().enumerate() {
        let ord = ord as u32;
        let size = inputs.self_sizes.get(ord);
        if size == 0 || !passes(ord) {
            continue;
        }
        let row = &mut rows[class as usize];
        row.count += 1;
        row.self_size = row.self_size.saturating_add(size);
        row.distance = row.distance.min(inputs.distance[ord as usize]);
    }
    debug_assert!(UNREACHABLE < 0, "the least distance must be the unreachable one");
    rows
}

fn retained_sizes(inputs: Inputs<'_>, passes: impl Fn(u32) -> bool) -> Vec<u64> {
    let classes: &[u32] = &inputs.classes.of;
    let idom: &[u32] = &inputs.dominators.idom;
    let mut retained = vec![0u64; inputs.classes.table.len()];
    let mut inside = vec![false; inputs.classes.table.len()];
    // The path from the root to the node in hand: ordinal, and the class that it opened.
    let mut path: Vec<(u32, u32)> = Vec::new();
    const NO_CLASS: u32 = u32::MAX;
    for &ord in inputs.dominators.preorder.iter() {
        let up = idom[ord as usize];
        while let Some(&(top, opened)) = path.last() {
            if top == up {
                break;
            }
            if opened != NO_CLASS {
                inside[opened as usize] = false;
            }
            path.pop();
        }
        let class = classes[ord as usize];
        let mut opened = NO_CLASS;
        if !inside[class as usize] && inputs.self_sizes.get(ord) != 0 && passes(ord) {
            retained[class as usize] = retained[class as usize].saturating_add(inputs.retained.get(ord));
            inside[class as usize] = true;
            opened = class;
        }
        path.push((ord, opened));
    }
    retained
}
