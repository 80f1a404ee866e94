//! Answers about sampling profiles: functions, trees, callers, differences, trends.

use heapsight_profile::{Branch, Caller, Change, Counts, Frame, Profile, Row, Trend, error_of};
use heapsight_query::{code::package_of, packages::PROGRAM};
use serde_json::{Value, json};

use crate::{
    paint::plain,
    table::{Cell, Table, cut},
    text::{Style, left_out},
    units::{count, error, estimate, number_of, percent, signed_bytes},
};

/// What rows stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Functions.
    Function,
    /// Files.
    File,
    /// npm packages.
    Package,
}

impl By {
    /// Singular and plural.
    fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Function => ("function", "functions"),
            Self::File => ("file", "files"),
            Self::Package => ("package", "packages"),
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Function => "Function",
            Self::File => "File",
            Self::Package => "Package",
        }
    }
}

/// What a function counts to: name, URL, line and column; the URL alone; or the package.
pub type Key = (String, String, i32, i32);

/// The key of a function.
pub fn key_of(by: By, frame: Frame<'_>) -> Key {
    match by {
        By::Function => (frame.name.to_owned(), frame.url.to_owned(), frame.line, frame.column),
        By::File => (String::new(), frame.url.to_owned(), -1, -1),
        By::Package => (package(frame.url), String::new(), -1, -1),
    }
}

/// The package of a URL; what has none, as V8's own functions, is `(nobody)`.
fn package(url: &str) -> String {
    if url.is_empty() {
        return crate::query::NOBODY.to_owned();
    }
    package_of(url).unwrap_or_else(|| PROGRAM.to_owned())
}

fn function_name(name: &str) -> &str {
    if name.is_empty() { "(anonymous)" } else { name }
}

/// `name file.js:12`, as short as people need it.
fn label(frame: &Frame<'_>) -> String {
    let place = place(frame);
    let name = function_name(frame.name);
    if place.is_empty() { name.to_owned() } else { format!("{name}  {place}") }
}

fn place(frame: &Frame<'_>) -> String {
    let file = if frame.url.starts_with("node:") {
        frame.url
    } else {
        frame.url.rsplit(['/', '\\']).next().unwrap_or_default()
    };
    match frame.position().0 {
        _ if file.is_empty() => String::new(),
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}

fn counts_name(counts: Counts) -> Value {
    match counts {
        Counts::Nothing => Value::Null,
        Counts::Samples => "samples".into(),
        Counts::Objects => "objects".into(),
    }
}

fn counted(profile: &Profile, n: u64) -> Value {
    if profile.counts == Counts::Nothing { Value::Null } else { n.into() }
}

fn position(value: &mut Value, name: &str, url: &str, line: (Option<u32>, Option<u32>)) {
    value["name"] = name.into();
    value["url"] = url.into();
    value["line"] = line.0.into();
    value["column"] = line.1.into();
}

fn named(value: &mut Value, by: By, frame: &Frame<'_>) {
    match by {
        By::Function => position(value, frame.name, frame.url, frame.position()),
        By::File => value["url"] = frame.url.into(),
        By::Package => value["package"] = package(frame.url).into(),
    }
}

/// `profile top --json`.
pub fn top(profile: &Profile, rows: &[Row], by: By, most: Option<usize>) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|row| {
            let mut value = json!({});
            named(&mut value, by, &profile.frame(row.function));
            value["self_size"] = row.self_size.into();
            value["total_size"] = row.total_size.into();
            value["self_count"] = counted(profile, row.self_count);
            value["total_count"] = counted(profile, row.total_count);
            value["self_error"] = error_of(profile, row.self_size, row.self_count).into();
            value
        })
        .collect();
    let mut value = totals(profile);
    value["row_count"] = rows.len().into();
    value[by.nouns().1] = list.into();
    value
}

fn totals(profile: &Profile) -> Value {
    json!({"total_size": profile.total_size(), "total_count": counted(profile, profile.total_count()),
        "counts": counts_name(profile.counts), "interval": profile.interval})
}

/// The rows of `profile top`.
pub fn top_table(profile: &Profile, rows: &[Row], by: By, most: usize) -> Table {
    let mut columns = vec![(by.heading(), "name")];
    if by == By::Function {
        columns.extend([("Place", ""), ("", "url"), ("", "line"), ("", "column")]);
    }
    columns.extend([("Self size", "self_size"), ("", "self_error")]);
    let heading = match profile.counts {
        Counts::Nothing => "",
        Counts::Samples => "Samples",
        Counts::Objects => "Objects",
    };
    let has_error = rows.iter().any(|row| error_of(profile, row.self_size, row.self_count).is_some());
    if has_error {
        columns.pop();
        columns.push(("±", "self_error"));
    }
    columns.extend([("%", "self_share"), ("Total size", "total_size"), ("%", "total_share")]);
    columns.push((heading, "self_count"));
    let mut table = Table::new(&columns);
    let total = profile.total_size();
    for row in rows.iter().take(most) {
        let frame = profile.frame(row.function);
        let mut cells = vec![Cell::Text(match by {
            By::Function => function_name(frame.name).to_owned(),
            By::File if frame.url.is_empty() => "(none)".to_owned(),
            By::File => frame.url.to_owned(),
            By::Package => package(frame.url),
        })];
        if by == By::Function {
            let shown = |n: Option<u32>| Cell::Text(n.map(|n| n.to_string()).unwrap_or_default());
            let (line, column) = frame.position();
            cells.extend([
                Cell::Text(place(&frame)),
                Cell::Text(frame.url.to_owned()),
                shown(line),
                shown(column),
            ]);
        }
        let own = error_of(profile, row.self_size, row.self_count);
        let all = error_of(profile, row.total_size, row.total_count);
        cells.extend([
            Cell::Estimate(row.self_size, own),
            Cell::Error(own),
            Cell::Share(row.self_size, total),
            Cell::Estimate(row.total_size, all),
            Cell::Share(row.total_size, total),
            Cell::Count(row.self_count),
        ]);
        table.row(cells);
    }
    table
}

/// One line about a profile: how much, and how well it is known.
fn summary(profile: &Profile) -> String {
    let (size, n) = (profile.total_size(), profile.total_count());
    let known = error_of(profile, size, n);
    let mut out = estimate(size, known);
    match (profile.counts, known) {
        (Counts::Samples, Some(known)) => {
            out += &format!(" {}, estimated from {}", error(Some(known)), number_of(n, "sample", "samples"));
        }
        (Counts::Objects, _) => out += &format!(" in {}, estimated", number_of(n, "object", "objects")),
        _ => out += ", estimated; the file does not say from how many samples",
    }
    if profile.stray_samples > 0 {
        let stray = number_of(profile.stray_samples, "sample", "samples");
        out += &format!("; {stray} of stacks that the file does not have");
    }
    out + "\n"
}

/// `profile top` for people.
pub fn top_text(profile: &Profile, rows: &[Row], by: By, most: usize, title: &str, style: Style) -> String {
    let mut out =
        format!("{}\n{}\n", style.paint.accent(&format!("Allocations of {title}")), summary(profile));
    out += &top_table(profile, rows, by, most).text(style.width, style.paint);
    let (one, many) = by.nouns();
    out += &left_out(rows.len(), most.min(rows.len()), one, many, style);
    out
}

/// The call tree for people.
pub fn tree_text(
    profile: &Profile,
    totals: &[u64],
    counts: &[u64],
    lines: &[Branch],
    title: &str,
    style: Style,
) -> String {
    let all = profile.total_size();
    let heading = style.paint.accent(&format!("Call tree of {title}"));
    let mut out = format!("{heading}\n{}\n", summary(profile));
    let columns = format!("{:>10} {:>6} {:>10}", "Total", "%", "Self");
    out += &style.paint.bold(&columns);
    out.push('\n');
    // Whether siblings follow at each level above.
    let mut open: Vec<bool> = Vec::new();
    for line in lines {
        let (depth, last) = match line {
            Branch::Node { depth, last, .. } => (*depth as usize, *last),
            Branch::More { depth, .. } => (*depth as usize, true),
        };
        open.truncate(depth);
        let prefix = prefix(&open, depth, last);
        open.push(!last);
        let room = style.width.saturating_sub(32 + prefix.chars().count()).max(24);
        let (total, own, text) = match line {
            Branch::More { count: n, size, .. } => {
                (estimate(*size, None), String::new(), style.paint.dim(&format!("… {} more", count(*n))))
            }
            Branch::Node { node, cut: deeper, .. } => {
                let at = *node as usize;
                let size = profile.nodes.self_size[at];
                let own = if size == 0 {
                    String::new()
                } else {
                    estimate(size, error_of(profile, size, profile.nodes.self_count[at]))
                };
                let frame = profile.frame(profile.nodes.function[at]);
                let more = if *deeper { style.paint.dim(" …") } else { String::new() };
                let text = cut(&plain(&label(&frame)), room) + &more;
                (estimate(totals[at], error_of(profile, totals[at], counts[at])), own, text)
            }
        };
        let size = match line {
            Branch::Node { node, .. } => totals[*node as usize],
            Branch::More { size, .. } => *size,
        };
        out += &format!("{total:>10} {:>6} {own:>10}  {prefix}{text}\n", percent(size, all));
    }
    out
}

fn prefix(open: &[bool], depth: usize, last: bool) -> String {
    let mut prefix = String::new();
    for &more in open.iter().take(depth).skip(1) {
        prefix += if more { "│  " } else { "   " };
    }
    if depth > 0 {
        prefix += if last { "└─ " } else { "├─ " };
    }
    prefix
}

/// `profile tree --json`: the lines in the order of the text, with their depth.
pub fn tree(profile: &Profile, sizes: &[u64], lines: &[Branch]) -> Value {
    let list: Vec<Value> = lines
        .iter()
        .filter_map(|line| {
            let Branch::Node { node, depth, .. } = line else { return None };
            let at = *node as usize;
            let mut value =
                json!({"id": node + 1, "parent_id": profile.nodes.parent[at] + 1, "depth": depth});
            named(&mut value, By::Function, &profile.frame(profile.nodes.function[at]));
            value["self_size"] = profile.nodes.self_size[at].into();
            value["total_size"] = sizes[at].into();
            value["self_count"] = counted(profile, profile.nodes.self_count[at]);
            Some(value)
        })
        .collect();
    let mut value = totals(profile);
    value["nodes"] = list.into();
    value
}
