//! Search: by name, @id or regular expression; and queries.

use heapsight_analysis::search;
use heapsight_query::{
    language::{self, Cell as Value},
    listing::{self, Column as By, Order},
};
use heapsight_report::{
    paint::plain,
    query::{NOBODY, columns},
    units::{bytes, count, number_of},
};
use regex::Regex;

use super::{List, single_columns};
use crate::{
    row::{Cell, Column, Row, Tone},
    source::{Ask, Source, pattern},
    tree::Item,
};

/// What can be typed.
const HOW: &str = "Names are parts of what is shown, in any case; /…/ is a regular expression, @4711 an object. A query has \
                   fields and conditions: class == \"Map\" and retained > 1MB order by retained desc";

/// Whether a text is a query and no name.
pub(crate) fn is_query(text: &str) -> bool {
    let sign = r"(^|\s)(==|!=|<=|>=|<|>|~|in\s*\(|group\s+by|order\s+by|where|select\s)";
    let is_pattern = text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    !is_pattern && Regex::new(sign).is_ok_and(|sign| sign.is_match(text))
}

pub(super) fn list(source: &mut Source, ask: &Ask) -> Result<List, String> {
    let text = ask.text.trim();
    source.answer = None;
    if text.is_empty() {
        let columns = single_columns("Object");
        return Ok(List { columns, empty: HOW.to_owned(), ..List::default() });
    }
    if is_query(text) { query(source, text) } else { names(source, text, ask) }
}

fn names(source: &mut Source, text: &str, ask: &Ask) -> Result<List, String> {
    let mut list =
        List { columns: single_columns("Object"), empty: "Nothing was found.".to_owned(), ..List::default() };
    if let Some(id) = text.strip_prefix('@').and_then(|id| id.parse().ok()) {
        let ord = source.heap().find_id(id);
        let ord =
            ord.ok_or_else(|| format!("the snapshot has no object @{id}; ids hold within one process only"))?;
        list.items = vec![Item::Object(ord)];
        list.sum = format!("1 object, {}", bytes(source.heap().snapshot.nodes.self_size.get(ord)));
        return Ok(list);
    }
    if let Some(pattern) = pattern(text)?
        && source.found.as_ref().is_none_or(|(known, _)| known != text)
    {
        source.found = Some((text.to_owned(), search::search(source.heap(), &pattern)));
    }
    let mut found = source.found.as_ref().map(|(_, found)| found.clone()).unwrap_or_default();
    let (by, descending) = match ask.column {
        0 => (By::Name, false),
        1 => (By::Distance, false),
        3 => (By::Shallow, true),
        _ => (By::Retained, true),
    };
    listing::sort(source.heap(), &mut found, Order { by, descending: descending != ask.reversed });
    let size = listing::sums(source.heap(), &found);
    list.sum =
        format!("{}, shallow size {}", number_of(found.len() as u64, "object", "objects"), bytes(size));
    list.items = found.into_iter().map(Item::Object).collect();
    Ok(list)
}

fn query(source: &mut Source, text: &str) -> Result<List, String> {
    let query = language::parse(text).map_err(|error| match &error.hint {
        Some(hint) => format!("the query is wrong: {error}; {hint}"),
        None => format!("the query is wrong: {error}"),
    })?;
    if language::asks_for_rounds(&query) {
        return Err("`round` and `age` are for several snapshots: `heapsight query A B C QUERY`".to_owned());
    }
    let file = source.file();
    let answer = language::evaluate(&file.heap, &file.code, &query);
    let made = columns(&answer).into_iter().enumerate().map(|(at, (title, name))| {
        let width = title.chars().count().max(10) as u16;
        let rank = u8::try_from(at).unwrap_or(u8::MAX);
        let column = Column::new(title, width, rank).fixed();
        match name {
            "self_size" | "retained_size" => column.of_whole(),
            "class" | "name" | "type" | "package" | "file" | "source" => {
                Column { width: 24, ..column.of_text() }
            }
            _ => column,
        }
    });
    let mut list = List { columns: made.collect(), empty: "Nothing fits.".to_owned(), ..List::default() };
    let groups =
        answer.groups.map(|n| format!(" in {}", number_of(n, "group", "groups"))).unwrap_or_default();
    let cut = if (answer.rows.len() as u64) < answer.groups.unwrap_or(answer.count) {
        format!("; the first {} are shown (limit N shows more)", count(answer.rows.len() as u64))
    } else {
        String::new()
    };
    list.sum = format!(
        "{}{groups}, shallow size {}{cut}",
        number_of(answer.count, "object", "objects"),
        bytes(answer.self_size)
    );
    list.items = (0..answer.rows.len() as u32).map(Item::Answer).collect();
    source.answer = Some(answer);
    Ok(list)
}

/// A row of the answer to a query.
pub(crate) fn answer(source: &Source, at: u32) -> Row {
    let Some(answer) = &source.answer else { return Row::default() };
    let Some(row) = answer.rows.get(at as usize) else { return Row::default() };
    let total = source.total();
    let mut cells = row.cells.iter().map(|cell| match cell {
        Value::Number(n) => Cell::Count(*n),
        Value::Bytes(n) => Cell::Bytes(*n, total),
        Value::Id(id) => Cell::Text(format!("@{id}")),
        Value::Distance(packed) => Cell::Distance(*packed),
        Value::Text(text) => Cell::Text(plain(text)),
        Value::Flag(yes) => Cell::Text(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Nothing => Cell::Text(NOBODY.to_owned()),
    });
    let first = cells.next().map(|cell| cell.text()).unwrap_or_default();
    Row {
        name: vec![(first, Tone::Plain)],
        cells: cells.collect(),
        opens: answer.groups.is_none() && !source.heap().snapshot.edges_of(row.ord).is_empty(),
    }
}
