//! Answers about packages and to queries: tables for people, values for programs.

use heapsight_query::{
    language::{Answer, Cell as Value, Field},
    packages::{PROGRAM, Share},
};
use serde_json::{Value as Json, json};

use crate::{
    table::{Cell, Table},
    text::{Style, left_out},
    units::{bytes, number_of},
};

/// What belongs to nobody.
pub const NOBODY: &str = "(nobody)";

/// `packages --json`.
pub fn shares(rows: &[Share], total: u64, by_file: bool, most: Option<usize>) -> Json {
    let list: Vec<Json> = rows
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|row| {
            let mut value = json!({"package": row.package, "attributed": !row.nobody, "count": row.count,
                "self_size": row.self_size, "retained_size": row.retained_size});
            if by_file {
                value["file"] = row.file.clone().into();
            }
            value
        })
        .collect();
    let noun = if by_file { "files" } else { "packages" };
    json!({"total_size": total, "row_count": rows.len(), noun: list})
}

/// The table of packages or files.
pub fn shares_table(rows: &[Share], total: u64, by_file: bool, most: usize) -> Table {
    let mut columns = vec![("Package", "package")];
    if by_file {
        columns.insert(0, ("File", "file"));
    }
    columns.extend([
        ("Objects", "count"),
        ("Size", "self_size"),
        ("%", "self_share"),
        ("Retained size", "retained_size"),
    ]);
    let mut table = Table::new(&columns);
    for row in rows.iter().take(most) {
        let package = match (&row.package, row.nobody) {
            (Some(package), _) => package.as_str(),
            (None, true) => NOBODY,
            (None, false) => PROGRAM,
        };
        let mut cells = vec![
            Cell::Text(package.to_owned()),
            Cell::Count(row.count),
            Cell::Bytes(row.self_size),
            Cell::Share(row.self_size, total),
            Cell::Bytes(row.retained_size),
        ];
        if by_file {
            cells.insert(0, Cell::Text(row.file.clone().unwrap_or_default()));
        }
        table.row(cells);
    }
    table
}

/// Packages or files for people.
pub fn shares_text(rows: &[Share], total: u64, by_file: bool, most: usize, style: Style) -> String {
    let nouns = if by_file { ("file", "files") } else { ("package", "packages") };
    let known = rows.iter().filter(|row| !row.nobody).count() as u64;
    let nobody: u64 = rows.iter().filter(|row| row.nobody).map(|row| row.self_size).sum();
    let mut out = format!(
        "{}\n{} of {} belong to {}; {} belong to nobody that is known\n\n",
        style.paint.accent(&format!("Memory by {}", nouns.0)),
        bytes(total.saturating_sub(nobody)),
        bytes(total),
        number_of(known, nouns.0, nouns.1),
        bytes(nobody),
    );
    out += &shares_table(rows, total, by_file, most).text(style.width, style.paint);
    out += &left_out(rows.len(), most.min(rows.len()), "row", "rows", style);
    out
}

/// `query --json`.
pub fn answer(answer: &Answer, query: &str) -> Json {
    let rows: Vec<Json> = answer
        .rows
        .iter()
        .map(|row| {
            let fields = answer.columns.iter().zip(&row.cells);
            Json::Object(
                fields.map(|(field, cell)| (json_name(*field).to_owned(), json_cell(cell))).collect(),
            )
        })
        .collect();
    json!({"query": query, "count": answer.count, "self_size": answer.self_size, "group_count": answer.groups,
        "rows": rows})
}

/// The same names as in all other answers.
fn json_name(field: Field) -> &'static str {
    match field {
        Field::SelfSize => "self_size",
        Field::Retained => "retained_size",
        Field::Edges => "edge_count",
        Field::Retainers => "retainer_count",
        other => other.name(),
    }
}

fn json_cell(cell: &Value) -> Json {
    match cell {
        Value::Number(n) | Value::Bytes(n) => (*n).into(),
        Value::Id(id) => (*id).into(),
        Value::Distance(distance) => (*distance).into(),
        Value::Text(text) => text.clone().into(),
        Value::Flag(yes) => (*yes).into(),
        Value::Nothing => Json::Null,
    }
}

fn heading(field: Field) -> &'static str {
    match field {
        Field::Id => "Id",
        Field::Class => "Class",
        Field::Name => "Name",
        Field::Type => "Type",
        Field::SelfSize => "Shallow size",
        Field::Retained => "Retained size",
        Field::Distance => "Distance",
        Field::Detached => "Detached",
        Field::Edges => "References",
        Field::Retainers => "Retainers",
        Field::Package => "Package",
        Field::File => "File",
        Field::Source => "Source",
        Field::Round => "Born in round",
        Field::Age => "Rounds old",
        Field::Count => "Objects",
    }
}

/// The columns of an answer: heading for people, name for programs.
pub fn columns(answer: &Answer) -> Vec<(&'static str, &'static str)> {
    answer.columns.iter().map(|&field| (heading(field), json_name(field))).collect()
}

/// The rows of an answer.
pub fn answer_table(answer: &Answer) -> Table {
    let mut table = Table::new(&columns(answer));
    for row in &answer.rows {
        let cells = answer.columns.iter().zip(&row.cells).map(|(field, cell)| match cell {
            Value::Number(n) => Cell::Count(*n),
            Value::Bytes(n) => Cell::Bytes(*n),
            Value::Id(id) => Cell::Id(*id),
            Value::Distance(distance) => Cell::Distance(*distance),
            Value::Text(text) => Cell::Text(text.clone()),
            Value::Flag(yes) => Cell::Text(if *yes { "yes" } else { "no" }.to_owned()),
            Value::Nothing if matches!(field, Field::Package | Field::File) => Cell::Text(NOBODY.to_owned()),
            Value::Nothing => Cell::Text(String::new()),
        });
        table.row(cells.collect());
    }
    table
}

/// An answer for people.
pub fn answer_text(answer: &Answer, style: Style) -> String {
    let objects = number_of(answer.count, "object", "objects");
    let groups =
        answer.groups.map(|n| format!(" in {}", number_of(n, "group", "groups"))).unwrap_or_default();
    let title = format!("{objects}{groups}, shallow size {}", bytes(answer.self_size));
    let all = answer.groups.unwrap_or(answer.count) as usize;
    let table = answer_table(answer);
    let gap = if table.is_empty() { "" } else { "\n" };
    let mut out = format!("{}\n{gap}{}", style.paint.accent(&title), table.text(style.width, style.paint));
    if all > answer.rows.len() {
        let rest = number_of((all - answer.rows.len()) as u64, "more row", "more rows");
        out += &format!("{}\n", style.paint.dim(&format!("… and {rest} (`limit {all}` shows all)")));
    }
    out
}
