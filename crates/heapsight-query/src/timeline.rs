//! An allocation timeline by time: how many objects were allocated, what of them is alive, and what is alive of a part of
//! the recording.
//!
//! About every 50 ms V8 collects garbage, gives ids to the objects that it has not seen before, in steps of two, and notes
//! the last one given. So the file says how many new objects each look has seen, not how many were allocated and gone
//! before it; how many bytes, it says only of those that are alive in the end. What was there before the recording is the
//! first interval. (`allocations` counts each allocation, where stacks are recorded.)

use std::cmp::Reverse;

use heapsight_analysis::{Heap, allocations::AllocationProfile, timeline::timeline};
use rustc_hash::FxHashMap;

use crate::classes::{ClassRow, ObjectRow, SortBy, object_row, rows_where};

/// What V8 adds from one id of an object to the next (`HeapObjectsMap::kObjectIdStep`).
const ID_STEP: u64 = 2;

/// An interval of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// When it begins, in microseconds since the recording began.
    pub from_us: u64,
    /// When it ends.
    pub to_us: u64,
    /// Objects that were allocated in it and seen at its end.
    pub allocated_count: u64,
    /// Objects of them that are alive.
    pub live_count: u64,
    /// Bytes of those.
    pub live_size: u64,
    /// Ids up to this one are older.
    pub first_id: u64,
    /// The last id that belongs to it.
    pub last_id: u64,
}

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Objects that were there before.
    pub older_count: u64,
    /// Bytes of them.
    pub older_size: u64,
    /// The intervals after that.
    pub intervals: Vec<Interval>,
}

impl Recording {
    /// How long it is, in microseconds.
    pub fn duration_us(&self) -> u64 {
        self.intervals.last().map_or(0, |interval| interval.to_us)
    }

    /// Sums over the intervals: allocated, alive, bytes alive.
    pub fn sums(&self) -> (u64, u64, u64) {
        self.intervals.iter().fold((0, 0, 0), |(allocated, count, size), interval| {
            (allocated + interval.allocated_count, count + interval.live_count, size + interval.live_size)
        })
    }

    /// The intervals that end within a time, both ends included, as DevTools' selection takes them.
    pub fn within(&self, from_us: u64, to_us: u64) -> &[Interval] {
        let first = self.intervals.partition_point(|interval| interval.to_us < from_us);
        let end = self.intervals.partition_point(|interval| interval.to_us <= to_us);
        self.intervals.get(first..end).unwrap_or_default()
    }
}

/// Reads the recording of a heap; `None` if the file is no timeline.
pub fn recording(heap: &Heap) -> Option<Recording> {
    let samples = timeline(heap);
    let first = samples.first()?;
    let mut recording = Recording {
        older_count: first.live_count,
        older_size: first.live_size,
        intervals: Vec::with_capacity(samples.len()),
    };
    recording.intervals.extend(samples.windows(2).map(|pair| Interval {
        from_us: pair[0].timestamp_us,
        to_us: pair[1].timestamp_us,
        allocated_count: pair[1].last_assigned_id.saturating_sub(pair[0].last_assigned_id) / ID_STEP,
        live_count: pair[1].live_count,
        live_size: pair[1].live_size,
        first_id: pair[0].last_assigned_id,
        last_id: pair[1].last_assigned_id,
    }));
    Some(recording)
}

/// Objects of one allocation stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveStack {
    /// Indices of trace functions, the allocating one first.
    pub functions: Vec<u32>,
    /// Objects alive.
    pub count: u64,
    /// Bytes of them.
    pub size: u64,
}

/// What is alive of a part of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alive {
    /// Objects, and their bytes.
    pub count: u64,
    /// Shallow sizes.
    pub size: u64,
    /// Their classes, by shallow size.
    pub classes: Vec<ClassRow>,
    /// The largest of them, by retained size.
    pub objects: Vec<ObjectRow>,
    /// Their allocation stacks, by size; empty if the file does not say them.
    pub stacks: Vec<LiveStack>,
}

/// What is alive of the objects with ids above `first` up to `last` that JavaScript allocated (odd ids: others are not
/// given in order). `most` objects and stacks are listed. Linear in the nodes.
pub fn alive(heap: &Heap, first: u64, last: u64, most: usize) -> Alive {
    let nodes = &heap.snapshot.nodes;
    let belongs = |ord: u32| {
        let id = u64::from(nodes.id[ord as usize]);
        id % 2 == 1 && id > first && id <= last
    };
    let mut out = Alive { classes: rows_where(heap, belongs, SortBy::Shallow), ..Alive::default() };
    let mut members: Vec<u32> = Vec::new();
    let mut by_stack: FxHashMap<u32, (u64, u64)> = FxHashMap::default();
    for ord in (0..heap.snapshot.node_count() as u32).filter(|&ord| belongs(ord)) {
        let size = nodes.self_size.get(ord);
        out.count += 1;
        out.size = out.size.saturating_add(size);
        if size > 0 {
            members.push(ord);
        }
        let stack = nodes.trace_node.as_ref().map_or(0, |column| column[ord as usize]);
        if stack != 0 {
            let sums = by_stack.entry(stack).or_default();
            *sums = (sums.0 + 1, sums.1.saturating_add(size));
        }
    }
    members.sort_by_key(|&ord| (Reverse(heap.retained.get(ord)), nodes.id[ord as usize]));
    members.truncate(most);
    out.objects = members.into_iter().map(|ord| object_row(heap, ord)).collect();
    if let Some(profile) = AllocationProfile::new(heap) {
        let mut stacks: Vec<(u32, (u64, u64))> = by_stack.into_iter().collect();
        stacks.sort_by_key(|&(stack, (count, size))| (Reverse((size, count)), stack));
        stacks.truncate(most);
        out.stacks = stacks
            .into_iter()
            .map(|(stack, (count, size))| LiveStack { functions: profile.stack(stack), count, size })
            .collect();
    }
    out
}
