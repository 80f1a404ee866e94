//! An allocation timeline: how much of what was allocated in each interval is alive.
//!
//! V8 gives ids in the order of allocation and notes at each tick the last one given, so an object belongs to the first
//! interval whose last id is not below its own. Only JavaScript objects count (odd ids).
//!
//! Source: DevTools, `HeapSnapshot.ts`, `buildSamples`. Time O(N log intervals).

use crate::Heap;

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// End of the interval, microseconds since the recording began.
    pub timestamp_us: u64,
    /// The last id given out by then.
    pub last_assigned_id: u64,
    /// Bytes allocated in it and alive.
    pub live_size: u64,
    /// Objects allocated in it and alive.
    pub live_count: u64,
}

/// The intervals; empty if the file is no timeline.
pub fn timeline(heap: &Heap) -> Vec<Interval> {
    let samples = heap.snapshot.samples.iter();
    let mut intervals: Vec<Interval> = samples
        .map(|s| Interval {
            timestamp_us: s.timestamp_us,
            last_assigned_id: s.last_assigned_id,
            live_size: 0,
            live_count: 0,
        })
        .collect();
    if intervals.is_empty() {
        return intervals;
    }
    for (ord, &id) in heap.snapshot.nodes.id.iter().enumerate() {
        if id % 2 == 0 {
            continue;
        }
        let at = intervals.partition_point(|i| i.last_assigned_id < u64::from(id));
        if let Some(interval) = intervals.get_mut(at) {
            let size = heap.snapshot.nodes.self_size.get(ord as u32);
            interval.live_size = interval.live_size.saturating_add(size);
            interval.live_count += 1;
        }
    }
    intervals
}
