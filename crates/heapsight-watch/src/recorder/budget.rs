//! The room on the disk: what is kept, what is being written, and what must go for it, the oldest first.
//!
//! Invariants: what is kept and being written never exceeds the limit once the orders that were given are carried out. A
//! capture that is being written takes the place of older ones only up to half of the limit, so that one which turns out
//! too large does not cost all the others; beyond that it may only use what is free. What is pinned, because it is to be
//! somewhere else first, is never removed: where nothing else is left, there is no room.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

/// A capture on the disk, with what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The capture.
    pub path: PathBuf,
    /// Its bytes and those of its side file.
    pub bytes: u64,
}

/// Whether there is room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// These are removed for it.
    pub(crate) remove: Vec<PathBuf>,
    /// There is none: what is being written must be given up.
    pub(crate) exceeded: bool,
}

/// What is on the disk, and how much may be.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: u64,
    /// Oldest first.
    kept: VecDeque<Kept>,
    /// Could not be removed.
    stuck: Vec<Kept>,
    /// Of `kept`, those that must not be removed yet.
    pinned: BTreeSet<PathBuf>,
    writing: BTreeMap<u64, u64>,
}

impl Budget {
    /// `kept` is what is there already, oldest first.
    pub(crate) fn new(limit: u64, kept: Vec<Kept>) -> Self {
        Self {
            limit,
            kept: kept.into(),
            stuck: Vec::new(),
            pinned: BTreeSet::new(),
            writing: BTreeMap::new(),
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are there, or will be.
    pub(crate) fn used(&self) -> u64 {
        let kept = self.kept.iter().chain(&self.stuck).map(|kept| kept.bytes);
        kept.chain(self.writing.values().copied()).fold(0, u64::saturating_add)
    }

    pub(crate) fn captures(&self) -> usize {
        self.kept.len() + self.stuck.len()
    }

    /// What was there before and is too much by now; those who are stuck are tried again.
    pub(crate) fn trim(&mut self) -> Room {
        for stuck in self.stuck.drain(..).rev() {
            self.kept.push_front(stuck);
        }
        let mut room = Room::default();
        self.evict(&mut room);
        room
    }

    /// What is written by `job` has become, or is about to become, this large.
    pub(crate) fn grow(&mut self, job: u64, bytes: u64) -> Room {
        let entry = self.writing.entry(job).or_default();
        *entry = bytes.max(*entry);
        let may_evict = *entry <= self.limit / 2;
        let mut room = Room::default();
        // Nothing goes for what has no room even then.
        let free = self.kept.iter().filter(|kept| !self.pinned.contains(&kept.path)).map(|kept| kept.bytes);
        let least = self.used().saturating_sub(free.fold(0, u64::saturating_add));
        if may_evict && least <= self.limit {
            self.evict(&mut room);
        }
        room.exceeded = self.used() > self.limit;
        room
    }

    /// What `job` wrote is whole.
    pub(crate) fn keep(&mut self, job: u64, kept: Kept) -> Room {
        self.writing.remove(&job);
        self.kept.push_back(kept);
        let mut room = Room::default();
        self.evict(&mut room);
        room
    }

    /// `job` writes nothing more, and what it wrote is gone.
    pub(crate) fn drop_job(&mut self, job: u64) {
        self.writing.remove(&job);
    }

    /// Something that was to be removed is still there.
    pub(crate) fn not_removed(&mut self, kept: Kept) {
        self.stuck.push(kept);
    }

    /// It must not be removed.
    pub(crate) fn pin(&mut self, path: PathBuf) {
        self.pinned.insert(path);
    }

    /// It may be removed again.
    pub(crate) fn unpin(&mut self, path: &Path) {
        self.pinned.remove(path);
    }

    /// How many must not be removed.
    pub(crate) fn pinned(&self) -> usize {
        self.pinned.len()
    }

    fn evict(&mut self, room: &mut Room) {
        let mut from = 0;
        while self.used() > self.limit {
            let free = self.kept.iter().skip(from).position(|kept| !self.pinned.contains(&kept.path));
            let Some(at) = free.map(|at| from + at) else { return };
            from = at;
            room.remove.extend(self.kept.remove(at).map(|oldest| oldest.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, bytes: u64) -> Kept {
        Kept { path: name.into(), bytes }
    }

    fn names(room: &Room) -> Vec<&str> {
        room.remove.iter().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn the_oldest_goes_first_and_only_as_much_as_is_needed() {
        let mut budget = Budget::new(100, vec![kept("a", 30), kept("b", 30), kept("c", 30)]);
        assert_eq!(names(&budget.grow(1, 10)), [""; 0]);
        assert_eq!(names(&budget.grow(1, 20)), ["a"]);
        assert_eq!(names(&budget.keep(1, kept("d", 25))), [""; 0]);
        assert_eq!(budget.used(), 85);
    }

    #[test]
    fn one_that_is_too_large_does_not_cost_all_others() {
        let mut budget = Budget::new(100, vec![kept("a", 40), kept("b", 40)]);
        assert_eq!(names(&budget.grow(1, 50)), ["a"]);
        let room = budget.grow(1, 70);
        assert!(room.remove.is_empty() && room.exceeded);
        budget.drop_job(1);
        assert_eq!(budget.used(), 40);
        // What is free it may use.
        let mut empty = Budget::new(100, Vec::new());
        assert!(!empty.grow(1, 95).exceeded && empty.grow(1, 101).exceeded);
    }

    #[test]
    fn what_cannot_be_removed_counts_and_is_tried_again() {
        let mut budget = Budget::new(100, vec![kept("a", 60)]);
        assert_eq!(names(&budget.grow(1, 50)), ["a"]);
        budget.not_removed(kept("a", 60));
        assert!(budget.grow(1, 50).exceeded);
        assert_eq!(names(&budget.trim()), ["a"]);
    }

    #[test]
    fn what_is_pinned_stays_and_newer_ones_go_for_it() {
        let mut budget = Budget::new(100, vec![kept("a", 30), kept("b", 30), kept("c", 30)]);
        budget.pin("a".into());
        budget.pin("c".into());
        let room = budget.grow(1, 40);
        assert_eq!(names(&room), ["b"]);
        assert!(!room.exceeded && budget.grow(1, 45).exceeded);
        // Nor does another one go for nothing.
        let mut full = Budget::new(100, vec![kept("a", 30), kept("b", 60)]);
        full.pin("b".into());
        assert_eq!(full.grow(1, 50), Room { remove: Vec::new(), exceeded: true });
        budget.unpin(Path::new("c"));
        assert_eq!((names(&budget.grow(1, 45)), budget.pinned()), (vec!["c"], 1));
    }

    #[test]
    fn a_smaller_budget_than_last_time_is_kept_at_once() {
        let mut budget = Budget::new(50, vec![kept("a", 40), kept("b", 40)]);
        assert_eq!(names(&budget.trim()), ["a"]);
    }
}
