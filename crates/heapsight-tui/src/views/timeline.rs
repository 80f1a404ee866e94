//! Timeline: what was allocated when, and what of it is alive.

use heapsight_query::timeline::alive;
use heapsight_report::{
    paint::plain,
    units::{bytes, count, number_of},
};

use super::List;
use crate::{
    row::{Cell, Column, Row, Tone},
    source::Source,
    tree::Item,
};

/// Seconds with as many digits as intervals of some 50 ms need.
pub(crate) fn seconds(us: u64) -> String {
    format!("{:.2} s", us as f64 / 1e6)
}

pub(super) fn list(source: &mut Source) -> List {
    let Some(recording) = &source.recording else {
        let empty = "This file is no recording: `heapsight timeline TARGET` makes one.";
        return List { empty: empty.to_owned(), ..List::default() };
    };
    let (allocated, live, size) = recording.sums();
    List {
        items: (0..recording.intervals.len() as u32).map(Item::Interval).collect(),
        columns: vec![
            Column::new("Interval", 0, 0).fixed(),
            Column::new("Seen", 10, 2).fixed(),
            Column::new("Alive", 10, 1).fixed(),
            Column::new("Shallow size", 12, 0).of_whole().fixed(),
        ],
        sum: format!(
            "{}: V8 saw {}, {} of them alive, {}",
            seconds(recording.duration_us()),
            number_of(allocated, "new object", "new objects"),
            count(live),
            bytes(size)
        ),
        empty: "Nothing was recorded.".to_owned(),
        ..List::default()
    }
}

/// The classes of what is alive of an interval.
pub(crate) fn classes(source: &mut Source, at: u32) -> Vec<Item> {
    let Some(&interval) = source.intervals().get(at as usize) else { return Vec::new() };
    let found = alive(source.heap(), interval.first_id, interval.last_id, 0);
    let first = source.alive.len() as u32;
    source.alive.extend(found.classes);
    (first..source.alive.len() as u32).map(Item::Alive).collect()
}

/// The row of an interval.
pub(crate) fn interval(source: &Source, at: u32) -> Row {
    let Some(one) = source.intervals().get(at as usize) else { return Row::default() };
    let whole = source.recording.as_ref().map_or(0, |recording| recording.sums().2);
    Row {
        name: vec![(format!("{} to {}", seconds(one.from_us), seconds(one.to_us)), Tone::Plain)],
        cells: vec![
            Cell::Count(one.allocated_count),
            Cell::Count(one.live_count),
            Cell::Bytes(one.live_size, whole),
        ],
        opens: one.live_count > 0,
    }
}

/// The row of a class that is alive of an interval.
pub(crate) fn class(source: &Source, at: u32) -> Row {
    let Some(row) = source.alive.get(at as usize) else { return Row::default() };
    let whole = source.recording.as_ref().map_or(0, |recording| recording.sums().2);
    Row {
        name: vec![(plain(&row.name), Tone::Plain)],
        cells: vec![Cell::Nothing, Cell::Count(row.count), Cell::Bytes(row.self_size, whole)],
        opens: false,
    }
}

/// A column of the picture: bytes alive, and objects allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) live_size: u64,
    pub(crate) allocated: u64,
}

/// The recording in so many columns. An interval fills the columns of its time; where several end in one, they add up.
pub(crate) fn bars(source: &Source, columns: usize) -> Vec<Bar> {
    let mut bars = vec![Bar::default(); columns];
    let all = source.intervals();
    let long = all.last().map_or(1, |last| last.to_us.max(1));
    for one in all {
        let end = column(one.to_us, long, columns);
        let begin = if all.len() <= columns { column(one.from_us, long, columns) + 1 } else { end };
        for bar in bars.iter_mut().take(end + 1).skip(begin.min(end)) {
            bar.live_size = bar.live_size.saturating_add(one.live_size);
            bar.allocated = bar.allocated.saturating_add(one.allocated_count);
        }
    }
    bars
}

/// The column of a time.
pub(crate) fn column(us: u64, long: u64, columns: usize) -> usize {
    let at = (us as f64 / long as f64 * columns as f64) as usize;
    at.min(columns.saturating_sub(1))
}
