//! Two snapshots and more.

use heapsight_analysis::{
    Heap, OutOfMemory,
    classes::{Class, classes},
    diff::{Census, ClassDiff, census, diff},
    interfaces::Interface,
    pool::Pool,
};
use regex::Regex;
use rustc_hash::FxHashMap;

/// The Comparison of two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Classes in which something changed, by bytes added.
    pub classes: Vec<ClassDiff>,
    /// Whether the ids of the two can be compared.
    pub ids: IdCheck,
}

/// How the ids of two snapshots fit together, by a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdCheck {
    /// Ids of the sample that both have, for nodes of one type.
    pub same: u64,
    /// Ids of the sample that both have, for nodes of different types.
    pub other: u64,
}

impl IdCheck {
    /// Looks at one id in sixteen.
    pub fn new(old: &Heap, new: &Heap) -> Self {
        let sampled = |&(&id, _): &(&u32, &u8)| id % 2 == 1 && (id / 2) % 16 == 0;
        let columns = |heap: &Heap| -> Vec<(u32, u8)> {
            let nodes = &heap.snapshot.nodes;
            nodes.id.iter().zip(nodes.kind.iter()).filter(sampled).map(|(&id, &kind)| (id, kind)).collect()
        };
        let kinds: FxHashMap<u32, u8> = columns(old).into_iter().collect();
        let mut check = Self::default();
        for (id, kind) in columns(new) {
            match kinds.get(&id) {
                Some(&k) if k == kind => check.same += 1,
                Some(_) => check.other += 1,
                None => {}
            }
        }
        check
    }

    /// Whether the snapshots look like two of one process. In those an id keeps its node, and so its type; ids of two
    /// processes, or of two forked children that number anew, agree only by chance.
    pub fn comparable(self) -> bool {
        self.same > 0 && self.other * 5 <= self.same
    }
}

/// Compares two heaps.
pub fn compare(old: &Heap, new: &Heap, pattern: Option<&Regex>) -> Result<Comparison, OutOfMemory> {
    let (before, after) = censuses(old, new)?;
    let mut rows = diff(&before, &after);
    rows.retain(|row| pattern.is_none_or(|p| p.is_match(&row.name)));
    Ok(Comparison { classes: rows, ids: IdCheck::new(old, new) })
}

/// The members of the classes of both, under the newer one's interfaces.
pub fn censuses(old: &Heap, new: &Heap) -> Result<(Census, Census), OutOfMemory> {
    Ok((census(old, Some(&new.classes.interfaces))?, census(new, None)?))
}

/// Count and bytes of every class of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Count {
    classes: FxHashMap<Class, (u64, u64)>,
}

/// What makes classes of two snapshots the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// DevTools' key: name, script and place. For snapshots of one process.
    Key,
    /// The name alone: another process numbers its scripts otherwise.
    Name,
}

/// Counts the classes of a heap under the interfaces of the last snapshot of a series.
pub fn count(
    heap: &Heap,
    interfaces: Option<&[Interface]>,
    matching: Matching,
) -> Result<Count, OutOfMemory> {
    let other = match interfaces {
        Some(interfaces) => {
            let pool = Pool::new(heap.snapshot.node_count());
            Some(classes(heap.names(), Some(interfaces), &pool).ok_or(OutOfMemory)?)
        }
        None => None,
    };
    let classes = other.as_ref().unwrap_or(&heap.classes);
    let mut sums = vec![(0u64, 0u64); classes.table.len()];
    for (ord, &class) in classes.of.iter().enumerate() {
        let size = heap.snapshot.nodes.self_size.get(ord as u32);
        if size > 0 {
            let sum = &mut sums[class as usize];
            sum.0 += 1;
            sum.1 += size;
        }
    }
    let mut count = Count::default();
    for (class, (members, size)) in classes.table.iter().zip(sums) {
        if members > 0 {
            let location = class.location.filter(|_| matching == Matching::Key);
            let sum = count.classes.entry(Class { name: class.name.clone(), location }).or_default();
            sum.0 += members;
            sum.1 += size;
        }
    }
    Ok(count)
}

/// A class over a series of snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The name that is shown.
    pub name: String,
    /// DevTools' key.
    pub key: String,
    /// Members in each snapshot.
    pub counts: Vec<u64>,
    /// Shallow bytes in each snapshot.
    pub sizes: Vec<u64>,
}

impl Growth {
    /// Whether the class has more members in each snapshot than in the one before.
    pub fn grows_every_time(&self) -> bool {
        self.counts.windows(2).all(|w| w[1] > w[0])
    }

    /// Members more in the last than in the first.
    pub fn count_delta(&self) -> i64 {
        self.counts.last().copied().unwrap_or(0) as i64 - self.counts.first().copied().unwrap_or(0) as i64
    }

    /// Bytes more in the last than in the first.
    pub fn size_delta(&self) -> i64 {
        self.sizes.last().copied().unwrap_or(0) as i64 - self.sizes.first().copied().unwrap_or(0) as i64
    }
}

/// The classes that changed over the series: first those that grow every time, then by bytes.
pub fn growth(counts: &[Count], pattern: Option<&Regex>) -> Vec<Growth> {
    let mut keys: Vec<&Class> = counts.iter().flat_map(|c| c.classes.keys()).collect();
    keys.sort_by_key(|class| class.key());
    keys.dedup();
    let mut rows: Vec<Growth> = keys
        .into_iter()
        .filter(|class| pattern.is_none_or(|p| p.is_match(&class.name)))
        .map(|class| {
            let of = |c: &Count| c.classes.get(class).copied().unwrap_or_default();
            Growth {
                name: class.name.clone(),
                key: class.key(),
                counts: counts.iter().map(|c| of(c).0).collect(),
                sizes: counts.iter().map(|c| of(c).1).collect(),
            }
        })
        .filter(|row| row.counts.windows(2).any(|w| w[0] != w[1]) || row.size_delta() != 0)
        .collect();
    rows.sort_by_key(|row| (!row.grows_every_time(), std::cmp::Reverse(row.size_delta())));
    rows
}
