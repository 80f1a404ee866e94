//! The Summary: count, sizes and least distance of each class.
//!
//! Only nodes whose shallow size is not zero (after backing stores went to their owners) and that pass the filter count.
//! The retained size of a class is the sum over its members that no counted member of the class dominates, so that
//! nothing is counted twice.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `buildAggregates`, `calculateClassesRetainedSize`. Time O(N), memory O(classes +
//! depth of the dominator tree).

use heapsight_snapshot::{SizeColumn, Sizes};
use rayon::prelude::*;

use crate::{classes::Classes, dominators::DominatorTree};

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
    /// The least packed distance of a member: [`UNREACHABLE`](crate::distance::UNREACHABLE), which is negative, if any
    /// member is unreachable.
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
    let (mut rows, retained) = rayon::join(
        || class_sizes(inputs.self_sizes, inputs.distance, inputs.classes, &passes),
        || class_retained_sizes(inputs, &passes),
    );
    for (row, retained) in rows.iter_mut().zip(retained) {
        row.retained_size = retained;
    }
    rows.retain(|row| row.count > 0);
    rows
}

/// Count, shallow size and distance of every class; the retained sizes are still zero.
pub(crate) fn class_sizes(
    sizes: &SizeColumn,
    distance: &[i32],
    classes: &Classes,
    passes: impl Fn(u32) -> bool,
) -> Vec<Aggregate> {
    let mut rows: Vec<Aggregate> = (0..classes.table.len() as u32)
        .map(|class| Aggregate { class, count: 0, self_size: 0, retained_size: 0, distance: i32::MAX })
        .collect();
    let sizes = sizes.view();
    for (ord, (&class, &distance)) in classes.of.iter().zip(distance).enumerate() {
        let ord = ord as u32;
        let size = sizes.get(ord);
        if size == 0 || !passes(ord) {
            continue;
        }
        let row = &mut rows[class as usize];
        row.count += 1;
        row.self_size = row.self_size.saturating_add(size);
        row.distance = row.distance.min(distance);
    }
    rows
}

/// Nodes of the preorder that one task walks: few enough that a small heap keeps all threads busy.
const RUN: usize = 1 << 17;

/// The retained size of every class, in runs of the preorder side by side: each begins with the path to its first node.
pub(crate) fn class_retained_sizes(inputs: Inputs<'_>, passes: impl Fn(u32) -> bool + Sync) -> Vec<u64> {
    let preorder: &[u32] = &inputs.dominators.preorder;
    let classes = inputs.classes.table.len();
    preorder
        .par_chunks(RUN)
        .map(|run| {
            let mut walk = ClassWalk::new(inputs, &passes);
            walk.enter(run[0]);
            for &ord in run {
                walk.step(ord);
            }
            walk.retained
        })
        .reduce(
            || vec![0; classes],
            |mut a, b| {
                for (a, b) in a.iter_mut().zip(b) {
                    *a = a.saturating_add(b);
                }
                a
            },
        )
}

/// Stands for no class.
const NO_CLASS: u32 = u32::MAX;

/// A walk down the dominator tree that knows in which classes it is.
struct ClassWalk<'a, F> {
    self_sizes: Sizes<'a>,
    all_retained: Sizes<'a>,
    idom: &'a [u32],
    classes: &'a [u32],
    passes: &'a F,
    retained: Vec<u64>,
    inside: Vec<bool>,
    /// The path from the root: ordinal, and the class that it opened.
    path: Vec<(u32, u32)>,
}

impl<'a, F: Fn(u32) -> bool> ClassWalk<'a, F> {
    fn new(inputs: Inputs<'a>, passes: &'a F) -> Self {
        Self {
            self_sizes: inputs.self_sizes.view(),
            all_retained: inputs.retained.view(),
            idom: &inputs.dominators.idom,
            classes: &inputs.classes.of,
            passes,
            retained: vec![0; inputs.classes.table.len()],
            inside: vec![false; inputs.classes.table.len()],
            path: Vec::new(),
        }
    }

    /// Goes to the parent of a node without counting anything on the way.
    fn enter(&mut self, ord: u32) {
        let mut up = Vec::new();
        let mut at = ord;
        while self.idom[at as usize] != at {
            at = self.idom[at as usize];
            up.push(at);
        }
        for &ord in up.iter().rev() {
            let opened = if self.counts(ord) { self.classes[ord as usize] } else { NO_CLASS };
            if opened != NO_CLASS {
                self.inside[opened as usize] = true;
            }
            self.path.push((ord, opened));
        }
    }

    #[inline]
    fn counts(&self, ord: u32) -> bool {
        !self.inside[self.classes[ord as usize] as usize]
            && self.self_sizes.get(ord) != 0
            && (self.passes)(ord)
    }

    #[inline]
    fn step(&mut self, ord: u32) {
        let up = self.idom[ord as usize];
        while let Some(&(top, opened)) = self.path.last() {
            if top == up {
                break;
            }
            if opened != NO_CLASS {
                self.inside[opened as usize] = false;
            }
            self.path.pop();
        }
        let mut opened = NO_CLASS;
        if self.counts(ord) {
            opened = self.classes[ord as usize];
            let sum = &mut self.retained[opened as usize];
            *sum = sum.saturating_add(self.all_retained.get(ord));
            self.inside[opened as usize] = true;
        }
        self.path.push((ord, opened));
    }
}
