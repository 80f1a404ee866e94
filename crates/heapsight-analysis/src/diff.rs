//! The Comparison: what was added and what went between two snapshots of one process, by object id.
//!
//! Both snapshots are classed by the newer one's interfaces. In each class the ids of both are merged: an id that only the
//! newer has was added, one that only the older has went. An object that changed its class went from one and was added to
//! the other. Nodes without a size of their own take no part.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `aggregatesForDiff`, `calculateDiffForClass`. Time O(N log N) in the largest class.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::{
    Heap, OutOfMemory,
    classes::{Class, Classes, classes},
    interfaces::Interface,
    pool::Pool,
};

/// What happened to one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassDiff {
    /// DevTools' key.
    pub key: String,
    /// The name that is shown.
    pub name: String,
    /// Objects that only the newer snapshot has.
    pub added_count: u64,
    /// Objects that only the older snapshot has.
    pub removed_count: u64,
    /// Their shallow sizes.
    pub added_size: u64,
    /// Their shallow sizes.
    pub removed_size: u64,
}

impl ClassDiff {
    /// Objects more (or fewer).
    pub fn count_delta(&self) -> i64 {
        self.added_count as i64 - self.removed_count as i64
    }

    /// Bytes more (or fewer).
    pub fn size_delta(&self) -> i64 {
        self.added_size as i64 - self.removed_size as i64
    }
}

/// The members of the classes of one snapshot, each class by id.
#[derive(Debug)]
pub struct Census {
    /// Class and its members: (id, ordinal, shallow size).
    classes: Vec<(Class, Vec<Member>)>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: u32,
    ord: u32,
    size: u64,
}

/// Lists the members of each class under the interfaces of another snapshot (or its own: `None`).
pub fn census(heap: &Heap, interfaces: Option<&[Interface]>) -> Result<Census, OutOfMemory> {
    let other: Option<Classes> = match interfaces {
        Some(interfaces) if interfaces != heap.classes.interfaces => {
            let pool = Pool::new(heap.snapshot.node_count());
            Some(classes(heap.names(), Some(interfaces), &pool).ok_or(OutOfMemory)?)
        }
        _ => None,
    };
    let classes = other.as_ref().unwrap_or(&heap.classes);
    let mut members: Vec<(Class, Vec<Member>)> =
        classes.table.iter().map(|class| (class.clone(), Vec::new())).collect();
    for (ord, &class) in classes.of.iter().enumerate() {
        let size = heap.snapshot.nodes.self_size.get(ord as u32);
        if size > 0 {
            members[class as usize].1.push(Member { id: heap.snapshot.nodes.id[ord], ord: ord as u32, size });
        }
    }
    members.retain(|(_, members)| !members.is_empty());
    members.par_iter_mut().for_each(|(_, members)| members.par_sort_unstable_by_key(|m| (m.id, m.ord)));
    Ok(Census { classes: members })
}

/// Ordinals that were added (in the newer snapshot) and that went (in the older).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedNodes {
    /// Ordinals of the newer snapshot.
    pub added: Vec<u32>,
    /// Ordinals of the older snapshot.
    pub removed: Vec<u32>,
}

fn by_key(census: &Census) -> FxHashMap<&Class, &[Member]> {
    census.classes.iter().map(|(class, members)| (class, members.as_slice())).collect()
}

/// Merges two lists by id; each changed member is given to `added` or `removed`.
fn merge(old: &[Member], new: &[Member], mut added: impl FnMut(Member), mut removed: impl FnMut(Member)) {
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        match old[i].id.cmp(&new[j].id) {
            std::cmp::Ordering::Less => {
                removed(old[i]);
                i += 1;
            }
            std::cmp::Ordering::Greater => {
                added(new[j]);
                j += 1;
            }
            std::cmp::Ordering::Equal => {
                i += 1;
                j += 1;
            }
        }
    }
    old[i..].iter().for_each(|&m| removed(m));
    new[j..].iter().for_each(|&m| added(m));
}

/// Compares two snapshots; classes in which nothing changed are left out. By bytes added, then by bytes that went, then
/// by key.
pub fn diff(old: &Census, new: &Census) -> Vec<ClassDiff> {
    let (old, new) = (by_key(old), by_key(new));
    let mut keys: Vec<&Class> = old.keys().copied().collect();
    keys.extend(new.keys().filter(|key| !old.contains_key(*key)));
    let mut rows: Vec<ClassDiff> = keys
        .into_par_iter()
        .filter_map(|class| {
            let mut row = ClassDiff {
                key: class.key(),
                name: class.name.clone(),
                added_count: 0,
                removed_count: 0,
                added_size: 0,
                removed_size: 0,
            };
            let (old, new) = (old.get(class).copied().unwrap_or(&[]), new.get(class).copied().unwrap_or(&[]));
            let (mut added, mut removed) = ((0, 0), (0, 0));
            merge(
                old,
                new,
                |m| added = (added.0 + 1, added.1 + m.size),
                |m| removed = (removed.0 + 1, removed.1 + m.size),
            );
            (row.added_count, row.added_size) = added;
            (row.removed_count, row.removed_size) = removed;
            (row.added_count + row.removed_count > 0).then_some(row)
        })
        .collect();
    rows.sort_by(|a, b| {
        let order = (b.added_size, b.removed_size).cmp(&(a.added_size, a.removed_size));
        order.then_with(|| a.key.cmp(&b.key))
    });
    rows
}

/// Which nodes of one class changed.
pub fn changed_nodes(old: &Census, new: &Census, key: &str) -> ChangedNodes {
    let members = |census: &Census| {
        let found = census.classes.iter().find(|(class, _)| class.key() == key);
        found.map(|(_, members)| members.clone()).unwrap_or_default()
    };
    let mut changed = ChangedNodes::default();
    merge(&members(old), &members(new), |m| changed.added.push(m.ord), |m| changed.removed.push(m.ord));
    changed
}
