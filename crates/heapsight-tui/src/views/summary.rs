//! Summary: the classes, their objects, and the fields of these.

use heapsight_query::{
    classes::{SortBy, rows_where, sort_rows, summary},
    listing::{self, Order},
    selector::FILTERS,
};
use heapsight_report::{
    paint::plain,
    text::Labels,
    units::{bytes, count, number_of},
};

use super::{List, object_columns};
use crate::{
    row::{Cell, Row, Tone},
    source::{Ask, Source, pattern},
    tree::Item,
};

/// What can be chosen: all objects, or those that pass a filter.
pub(super) fn filters() -> Vec<String> {
    let named = FILTERS.iter().map(|(name, what)| format!("{name}: {what}"));
    ["All objects".to_owned()].into_iter().chain(named).collect()
}

/// The name of the filter of a choice.
pub(crate) fn filter(choice: usize) -> Option<&'static str> {
    FILTERS.get(choice.checked_sub(1)?).map(|(name, _)| *name)
}

pub(super) fn list(source: &mut Source, ask: &Ask) -> Result<List, String> {
    let pattern = pattern(&ask.text)?;
    let filter = filter(ask.choice);
    let key = filter.unwrap_or_default();
    match filter {
        Some(name) => source.pass(name)?,
        None => source.passing = None,
    }
    if !source.summaries.contains_key(key) {
        let heap = source.heap();
        let rows = match (filter, &source.passing) {
            (Some(_), Some((_, passing))) => {
                rows_where(heap, |ord| passing.contains(ord as usize), SortBy::Retained)
            }
            _ => summary(heap, None, SortBy::Retained, None).classes,
        };
        source.summaries.insert(key.to_owned(), rows);
    }
    let all = source.summaries.get(key).map_or(&[][..], |rows| rows);
    let labels = Labels::new(all.iter().map(|row| row.name.as_str()));
    let matches = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
    let mut rows: Vec<_> = all.iter().filter(|row| matches(&row.name)).cloned().collect();
    sort_rows(
        &mut rows,
        match ask.column {
            0 => SortBy::Name,
            1 => SortBy::Distance,
            2 => SortBy::Count,
            3 => SortBy::Shallow,
            _ => SortBy::Retained,
        },
    );
    if ask.reversed {
        rows.reverse();
    }
    let of = if rows.len() == all.len() { String::new() } else { format!(" of {}", count(all.len() as u64)) };
    let sum = format!(
        "{}{of} classes, {}, {}",
        count(rows.len() as u64),
        number_of(rows.iter().map(|row| row.count).sum(), "object", "objects"),
        bytes(rows.iter().map(|row| row.self_size).fold(0, u64::saturating_add)),
    );
    let shown: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let label = plain(&labels.of(&row.name, &row.key));
            (row, label)
        })
        .collect();
    source.classes = shown;
    Ok(List {
        items: (0..source.classes.len() as u32).map(Item::Class).collect(),
        columns: object_columns("Constructor"),
        sum,
        empty: "No class matches.".to_owned(),
        ..List::default()
    })
}

/// The objects of a class that pass the filter.
pub(crate) fn instances(source: &Source, at: u32, order: Order) -> Vec<Item> {
    let Some((row, _)) = source.classes.get(at as usize) else { return Vec::new() };
    let table = &source.heap().classes.table;
    let classes: Vec<u32> = (0..table.len() as u32).filter(|&c| table[c as usize].key() == row.key).collect();
    let passing = source.passing.as_ref().map(|(_, passing)| passing);
    listing::instances(source.heap(), &classes, passing, order).into_iter().map(Item::Object).collect()
}

/// The row of a class.
pub(crate) fn class(source: &Source, at: u32) -> Row {
    let Some((row, label)) = source.classes.get(at as usize) else { return Row::default() };
    let total = source.total();
    Row {
        name: vec![(label.clone(), Tone::Plain)],
        cells: vec![
            Cell::Distance(row.distance),
            Cell::Count(row.count),
            Cell::Bytes(row.self_size, total),
            Cell::Bytes(row.retained_size, total),
        ],
        opens: row.count > 0,
    }
}
