//! Strings: equal ones, and the largest.

use heapsight_analysis::search;
use heapsight_query::strings::{duplicate_strings, largest};
use heapsight_report::{
    paint::plain,
    units::{bytes, count, number_of},
};
use regex::RegexBuilder;

use super::{List, single_columns};
use crate::{
    row::{Cell, Column, Row, Tone},
    source::{Ask, GROUP, Source, pattern},
    tree::Item,
};

/// Strings of the list of the largest.
const LARGEST: usize = 5000;

pub(super) fn list(source: &mut Source, ask: &Ask) -> Result<List, String> {
    let pattern = pattern(&ask.text)?;
    if ask.choice > 0 {
        let (rows, all, size) = largest(source.heap(), pattern.as_ref(), LARGEST);
        let cut = if all > rows.len() as u64 {
            format!("; the largest {} are shown", count(rows.len() as u64))
        } else {
            String::new()
        };
        return Ok(List {
            items: rows.iter().map(|row| Item::Object(row.ord)).collect(),
            columns: single_columns("String").into_iter().map(Column::fixed).collect(),
            sum: format!("Largest: {}, {}{cut}", number_of(all, "string", "strings"), bytes(size)),
            empty: "No string matches.".to_owned(),
            ..List::default()
        });
    }
    if source.duplicates.as_ref().is_none_or(|(text, _)| *text != ask.text) {
        let made = duplicate_strings(source.heap(), pattern.as_ref());
        source.duplicates = Some((ask.text.clone(), made));
    }
    let Some((_, all)) = &source.duplicates else { return Ok(List::default()) };
    Ok(List {
        items: (0..all.groups.len() as u32).map(Item::Group).collect(),
        columns: vec![
            Column::new("Value", 0, 0).fixed(),
            Column::new("Objects", 10, 1).fixed(),
            Column::new("Shallow size", 13, 2).of_whole().fixed(),
            Column::new("Retained size", 14, 0).of_whole().fixed(),
        ],
        sum: format!(
            "Duplicates: {} more than once, {} strings, {} could be saved",
            number_of(all.groups.len() as u64, "value", "values"),
            count(all.strings),
            bytes(all.wasted)
        ),
        empty: "No string occurs more than once.".to_owned(),
        ..List::default()
    })
}

/// Strings of a group.
pub(crate) fn members(source: &Source, at: u32) -> Vec<Item> {
    let group = source.duplicates.as_ref().and_then(|(_, all)| all.groups.get(at as usize));
    let Some(group) = group else { return Vec::new() };
    let whole = RegexBuilder::new(&format!("^{}$", regex::escape(&group.value))).size_limit(1 << 24).build();
    let Ok(whole) = whole else { return vec![Item::Object(group.example)] };
    let heap = source.heap();
    let found = search::search(heap, &whole).into_iter();
    let strings = found.filter(|&ord| heap.snapshot.node_kind(ord).is_string());
    strings.take(GROUP).map(Item::Object).collect()
}

/// The row of a group.
pub(crate) fn group(source: &Source, at: u32) -> Row {
    let group = source.duplicates.as_ref().and_then(|(_, all)| all.groups.get(at as usize));
    let Some(group) = group else { return Row::default() };
    let total = source.total();
    let text: String = group.value.chars().take(400).flat_map(char::escape_debug).collect();
    Row {
        name: vec![(format!("\"{}\"", plain(&text)), Tone::Plain)],
        cells: vec![
            Cell::Count(group.count),
            Cell::Bytes(group.self_size, total),
            Cell::Bytes(group.retained_size, total),
        ],
        opens: true,
    }
}
