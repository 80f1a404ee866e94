//! Comparison: what is new and what went since another file.

use std::cmp::Reverse;

use heapsight_analysis::diff::{ClassDiff, changed_nodes};
use heapsight_query::{
    compare::{censuses, compare},
    listing::{self, Order},
};
use heapsight_report::{
    paint::plain,
    text::Labels,
    units::{number_of, signed_bytes, signed_count},
};

use super::List;
use crate::{
    row::{Cell, Column, Row, Tone},
    source::{Ask, Object, Source, pattern},
    tree::Item,
};

/// The other files, the one before the shown one first.
pub(super) fn bases(source: &Source) -> Vec<String> {
    let others = source.files().iter().rev().skip(1);
    others.map(|file| format!("since {}", file.name)).collect()
}

pub(super) fn list(source: &mut Source, ask: &Ask) -> Result<List, String> {
    let columns = vec![
        Column::new("Constructor", 0, 0),
        Column::new("# New", 9, 3),
        Column::new("# Deleted", 10, 3),
        Column::new("# Delta", 9, 1),
        Column::new("Alloc. size", 12, 4),
        Column::new("Freed size", 11, 4),
        Column::new("Size delta", 11, 0),
    ];
    let others = source.files().len().saturating_sub(1);
    if others == 0 {
        let empty = "Nothing to compare with: a comparison needs a second snapshot of the same process. Start with \
                     both, older first: heapsight tui before.heapsnapshot after.heapsnapshot";
        return Ok(List { columns, empty: empty.to_owned(), ..List::default() });
    }
    let pattern = pattern(&ask.text)?;
    let base = others - 1 - ask.choice.min(others - 1);
    source.base = base;
    if !source.compared.contains_key(&base) {
        let made = compare(&source.files()[base].heap, source.heap(), None).map_err(|e| e.to_string())?;
        source.compared.insert(base, made);
    }
    let Some(all) = source.compared.get(&base) else { return Ok(List::default()) };
    let labels = Labels::new(all.classes.iter().map(|row| row.name.as_str()));
    let mut rows: Vec<(usize, &ClassDiff)> = all
        .classes
        .iter()
        .enumerate()
        .filter(|(_, row)| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&row.name)))
        .collect();
    // Ties go by what DevTools sorts by: bytes added, and then the key.
    match ask.column {
        0 => rows.sort_by(|(_, a), (_, b)| (&a.name, &a.key).cmp(&(&b.name, &b.key))),
        1 => rows.sort_by_key(|(_, row)| Reverse(row.added_count)),
        2 => rows.sort_by_key(|(_, row)| Reverse(row.removed_count)),
        3 => rows.sort_by_key(|(_, row)| Reverse(row.count_delta())),
        4 => rows.sort_by_key(|(_, row)| Reverse(row.added_size)),
        5 => rows.sort_by_key(|(_, row)| Reverse(row.removed_size)),
        _ => rows.sort_by_key(|(_, row)| Reverse(row.size_delta())),
    }
    if ask.reversed {
        rows.reverse();
    }
    let sum = |of: &dyn Fn(&ClassDiff) -> i64| rows.iter().map(|(_, row)| of(row)).sum::<i64>();
    let said = format!(
        "{} changed, {} objects, {}",
        number_of(rows.len() as u64, "class", "classes"),
        signed_count(sum(&ClassDiff::count_delta)),
        signed_bytes(sum(&ClassDiff::size_delta)),
    );
    let warning = if all.ids.comparable() {
        String::new()
    } else {
        "These look like snapshots of different processes: their object ids do not match, so that what is new and what \
         went cannot be told. `heapsight diff --by-class` counts the classes of both."
            .to_owned()
    };
    let changed: Vec<(usize, String)> =
        rows.iter().map(|&(at, row)| (at, plain(&labels.of(&row.name, &row.key)))).collect();
    source.changed = changed;
    Ok(List {
        items: (0..source.changed.len() as u32).map(Item::Changed).collect(),
        columns,
        sum: said,
        warning,
        empty: if ask.text.is_empty() { "Nothing has changed." } else { "No class matches." }.to_owned(),
    })
}

fn row_of(source: &Source, at: u32) -> Option<(&ClassDiff, &str)> {
    let (place, label) = source.changed.get(at as usize)?;
    Some((source.compared.get(&source.base)?.classes.get(*place)?, label))
}

/// The objects of a class that are new, then those that went.
pub(crate) fn objects(source: &Source, at: u32) -> Vec<Item> {
    let (Some((row, _)), Some(old)) = (row_of(source, at), source.files().get(source.base)) else {
        return Vec::new();
    };
    let Ok((before, after)) = censuses(&old.heap, source.heap()) else { return Vec::new() };
    let mut changed = changed_nodes(&before, &after, &row.key);
    listing::sort(source.heap(), &mut changed.added, Order::default());
    listing::sort(&old.heap, &mut changed.removed, Order::default());
    let added = changed.added.into_iter().map(Item::Added);
    added.chain(changed.removed.into_iter().map(Item::Removed)).collect()
}

/// The row of a class.
pub(crate) fn class(source: &Source, at: u32) -> Row {
    let Some((row, label)) = row_of(source, at) else { return Row::default() };
    Row {
        name: vec![(label.to_owned(), Tone::Plain)],
        cells: vec![
            Cell::Count(row.added_count),
            Cell::Count(row.removed_count),
            Cell::SignedCount(row.count_delta()),
            Cell::Bytes(row.added_size, 0),
            Cell::Bytes(row.removed_size, 0),
            Cell::SignedBytes(row.size_delta()),
        ],
        opens: true,
    }
}

/// The row of an object that is new (`Some(true)`), that went, or that is below one of these.
pub(crate) fn object((mut row, of): (Row, Object), added: Option<bool>) -> Row {
    let mut cells = vec![Cell::Nothing; 6];
    if let Some(added) = added {
        let (mark, tone) = if added { ("+ ", Tone::New) } else { ("− ", Tone::Gone) };
        row.name.insert(0, (mark.to_owned(), tone));
        let size = i64::try_from(of.self_size).unwrap_or(i64::MAX);
        cells[if added { 3 } else { 4 }] = Cell::Bytes(of.self_size, 0);
        // The column that is left on a narrow screen.
        cells[5] = Cell::SignedBytes(if added { size } else { -size });
    }
    row.cells = cells;
    row
}
