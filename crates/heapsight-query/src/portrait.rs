//! All that a report shows of a heap, or of a series of heaps, bounded in rows and in the length of names.
//!
//! The bounds are on what is shown and not on the heap: a report of a large heap is not much larger than that of a small
//! one. Sums and counts beside a list are of everything.

use heapsight_analysis::{Heap, OutOfMemory, statistics::Statistics};

use crate::{
    classes::{ClassRow, SortBy, summary},
    code::Code,
    compare::{Count, Growth, Matching, count, growth},
    packages::{Share, attribution, shares},
    strings::{Duplicates, duplicate_strings},
    suspects::{Suspects, suspects},
    tree::{Branch, TreeOptions, dominator_tree},
};

/// Classes that are listed.
const CLASSES: usize = 500;

/// Groups of equal strings that are listed.
const DUPLICATES: usize = 200;

/// Packages, and files, that are listed.
const SHARES: usize = 200;

/// Classes that changed and are listed.
const GROWTH: usize = 200;

/// Branches of the dominator tree.
const BRANCHES: usize = 2000;

/// Levels of the dominator tree.
const LEVELS: usize = 24;

/// Share of the heap that makes a suspect.
const SHARE: f64 = 0.05;

/// One snapshot of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sitting {
    /// Nodes.
    pub nodes: u64,
    /// Edges.
    pub edges: u64,
    /// Bytes by kind.
    pub statistics: Statistics,
}

/// What there is to see.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Each snapshot.
    pub sittings: Vec<Sitting>,
    /// Classes that changed between them, those that grow every time first; empty for a single one.
    pub growth: Vec<Growth>,
    /// How many classes changed.
    pub growth_count: u64,
    /// Classes of the last snapshot by retained size.
    pub classes: Vec<ClassRow>,
    /// How many there are.
    pub class_count: u64,
    /// Its equal strings, by what they retain.
    pub duplicates: Duplicates,
    /// How many groups there are.
    pub duplicate_count: u64,
    /// Its memory by package.
    pub packages: Vec<Share>,
    /// Its memory by file.
    pub files: Vec<Share>,
    /// Its suspects.
    pub suspects: Suspects,
    /// Its dominator tree, children of one class put together.
    pub tree: Branch,
}

/// Draws the last of some heaps, and what changed up to it. `code` is that of the last. `None` without a heap.
///
/// # Errors
/// If there is no memory for the classes of the earlier ones.
pub fn portrait(heaps: &[Heap], code: &Code) -> Result<Option<Portrait>, OutOfMemory> {
    let Some(last) = heaps.last() else { return Ok(None) };
    let sitting = |heap: &Heap| Sitting {
        nodes: heap.snapshot.node_count() as u64,
        edges: heap.snapshot.edge_count() as u64,
        statistics: heap.statistics,
    };
    let (mut changed, growth_count) = if heaps.len() > 1 { changes(heaps, last)? } else { (Vec::new(), 0) };
    changed.truncate(GROWTH);
    let mut classes = summary(last, None, SortBy::Retained, None).classes;
    let class_count = classes.len() as u64;
    classes.truncate(CLASSES);
    let mut duplicates = duplicate_strings(last, None);
    let duplicate_count = duplicates.groups.len() as u64;
    duplicates.groups.truncate(DUPLICATES);
    let of = attribution(last, code);
    let first = |by_file: bool| {
        let mut rows = shares(last, &of, by_file);
        rows.truncate(SHARES);
        rows
    };
    Ok(Some(Portrait {
        sittings: heaps.iter().map(sitting).collect(),
        growth: changed,
        growth_count,
        classes,
        class_count,
        duplicates,
        duplicate_count,
        packages: first(false),
        files: first(true),
        suspects: suspects(last, code, SHARE),
        tree: tree(last),
    }))
}

fn changes(heaps: &[Heap], last: &Heap) -> Result<(Vec<Growth>, u64), OutOfMemory> {
    let mut counts: Vec<Count> = Vec::with_capacity(heaps.len());
    for (at, heap) in heaps.iter().enumerate() {
        let interfaces = (at + 1 < heaps.len()).then_some(&*last.classes.interfaces);
        counts.push(count(heap, interfaces, Matching::Name)?);
    }
    let rows = growth(&counts, None);
    let all = rows.len() as u64;
    Ok((rows, all))
}

/// The dominator tree down to what can still be seen on a map of it.
fn tree(heap: &Heap) -> Branch {
    let min_size = (heap.total_size() / 4000).max(1);
    let options = TreeOptions { depth: LEVELS, most: 60, min_size, by_class: true };
    let mut tree = dominator_tree(heap, heap.snapshot.root, options);
    let mut sizes: Vec<u64> = Vec::new();
    let mut open = vec![&tree];
    while let Some(branch) = open.pop() {
        sizes.push(branch.retained_size);
        open.extend(&branch.children);
    }
    if sizes.len() > BRANCHES {
        sizes.sort_unstable_by_key(|&size| std::cmp::Reverse(size));
        cut(&mut tree, sizes[BRANCHES]);
    }
    tree
}

/// Takes away the branches that retain no more than this: they are fewer than were, whatever the ties.
fn cut(tree: &mut Branch, size: u64) {
    let mut open = vec![tree];
    while let Some(branch) = open.pop() {
        for child in branch.children.extract_if(.., |child| child.retained_size <= size) {
            branch.more.0 += child.count;
            branch.more.1 += child.retained_size;
        }
        open.extend(&mut branch.children);
    }
}
