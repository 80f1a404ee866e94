//! Answers about sampling profiles: functions, trees, callers, differences, trends.

use heapsight_profile::{
    Branch, Caller, Change, Counts, Frame, Profile, Row, Trend, error_of, standard_error,
};
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
pub fn package(url: &str) -> String {
    if url.is_empty() {
        return crate::query::NOBODY.to_owned();
    }
    package_of(url).unwrap_or_else(|| PROGRAM.to_owned())
}

/// The name of a function as it is shown.
pub fn function_name(name: &str) -> &str {
    if name.is_empty() { "(anonymous)" } else { name }
}

/// `name file.js:12`, as short as people need it.
fn label(frame: &Frame<'_>) -> String {
    let place = place(frame);
    let name = function_name(frame.name);
    if place.is_empty() { name.to_owned() } else { format!("{name}  {place}") }
}

/// File and line of a function, as short as people need it.
pub fn place(frame: &Frame<'_>) -> String {
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

/// `--json` of what writes a profile to a file.
pub fn written(profile: &Profile, file: &str) -> Value {
    let mut value = json!({"file": file, "nodes": profile.nodes.len()});
    if let (Some(value), Value::Object(totals)) = (value.as_object_mut(), totals(profile)) {
        value.extend(totals);
    }
    value
}

fn totals(profile: &Profile) -> Value {
    json!({"total_size": profile.total_size(), "total_count": counted(profile, profile.total_count()),
        "counts": counts_name(profile.counts), "interval": profile.interval,
        "samples_taken": profile.samples_taken, "collected": profile.has_collected})
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
pub fn summary(profile: &Profile) -> String {
    let (size, n) = (profile.total_size(), profile.total_count());
    if profile.counts == Counts::Samples && n == 0 && profile.stray_samples == 0 {
        return "nothing that was sampled is alive: it has been collected, or nothing was allocated\n"
            .to_owned();
    }
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
    out + "\n" + &kept(profile)
}

/// Samples below which their fate says nothing.
const ENOUGH: u64 = 30;

/// Whether what was sampled stays or is freed, in a line; nothing where the file does not tell.
fn kept(profile: &Profile) -> String {
    if profile.has_collected == Some(true) {
        return "Counted is all that was allocated, with what has been collected since\n".to_owned();
    }
    let alive = profile.total_count() + profile.stray_samples;
    let Some(taken) = profile.samples_taken.filter(|&taken| taken >= ENOUGH && taken >= alive) else {
        return String::new();
    };
    let (stays, gone) = (percent(alive, taken), percent(taken - alive, taken));
    let of = number_of(taken, "sample", "samples");
    if alive == taken && profile.has_collected.is_none() {
        return "Nothing of what was sampled has been collected, or the recording kept what was\n".to_owned();
    }
    if alive * 2 >= taken {
        format!("{stays} of what was sampled is still alive: it stays ({of} in all)\n")
    } else if alive * 10 > taken {
        format!("{stays} of what was sampled is still alive, {gone} has been collected ({of} in all)\n")
    } else {
        format!("{gone} of what was sampled has been collected: it is allocated and freed ({of} in all)\n")
    }
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

/// Children of each caller, heaviest first; the last list is that of the top.
fn below(tree: &[Caller]) -> Vec<Vec<usize>> {
    let mut lists: Vec<Vec<usize>> = vec![Vec::new(); tree.len() + 1];
    for (at, caller) in tree.iter().enumerate() {
        lists[(caller.parent as usize).min(tree.len())].push(at);
    }
    for list in &mut lists {
        list.sort_by_key(|&at| (std::cmp::Reverse((tree[at].self_size, tree[at].total_size)), at));
    }
    lists
}

/// The lines of an inverted tree in order: the `most` heaviest of each list.
fn caller_lines(tree: &[Caller], most: usize) -> Vec<(usize, bool)> {
    let lists = below(tree);
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut out = Vec::new();
    let push = |list: &[usize], open: &mut Vec<(usize, bool)>| {
        let shown = list.len().min(most);
        for (place, &at) in list[..shown].iter().enumerate().rev() {
            open.push((at, place + 1 == shown));
        }
    };
    push(&lists[tree.len()], &mut open);
    while let Some((at, last)) = open.pop() {
        out.push((at, last));
        push(&lists[at], &mut open);
    }
    out
}

/// `profile callers` for people.
pub fn callers_text(profile: &Profile, tree: &[Caller], most: usize, title: &str, style: Style) -> String {
    let all = profile.total_size();
    let heading = style.paint.accent(&format!("Who calls what allocates, of {title}"));
    let mut out = format!("{heading}\n{}\n", summary(profile));
    out += &style.paint.bold(&format!("{:>10} {:>6} {:>10}", "Self", "%", "Total"));
    out.push('\n');
    let mut open: Vec<bool> = Vec::new();
    for (at, last) in caller_lines(tree, most) {
        let caller = &tree[at];
        let depth = caller.depth as usize;
        open.truncate(depth);
        let prefix = prefix(&open, depth, last);
        open.push(!last);
        let room = style.width.saturating_sub(32 + prefix.chars().count()).max(24);
        let own = estimate(caller.self_size, error_of(profile, caller.self_size, caller.self_count));
        let total = estimate(caller.total_size, error_of(profile, caller.total_size, caller.self_count));
        let name = cut(&plain(&label(&profile.frame(caller.function))), room);
        out += &format!("{own:>10} {:>6} {total:>10}  {prefix}{name}\n", percent(caller.self_size, all));
    }
    out
}

/// `profile callers --json`.
pub fn callers(profile: &Profile, tree: &[Caller], most: usize) -> Value {
    let list: Vec<Value> = caller_lines(tree, most)
        .into_iter()
        .map(|(at, _)| {
            let caller = &tree[at];
            let parent = (caller.depth > 0).then(|| caller.parent + 1);
            let mut value = json!({"id": at + 1, "parent_id": parent, "depth": caller.depth});
            named(&mut value, By::Function, &profile.frame(caller.function));
            value["self_size"] = caller.self_size.into();
            value["total_size"] = caller.total_size.into();
            value["self_count"] = counted(profile, caller.self_count);
            value
        })
        .collect();
    let mut value = totals(profile);
    value["callers"] = list.into();
    value
}

/// A key in words.
fn key_frame(key: &Key) -> Frame<'_> {
    Frame { name: &key.0, url: &key.1, line: key.2, column: key.3 }
}

fn key_label(by: By, key: &Key) -> String {
    match by {
        By::Function => label(&key_frame(key)),
        By::File if key.1.is_empty() => "(none)".to_owned(),
        By::File => key.1.clone(),
        By::Package => key.0.clone(),
    }
}

/// What a key names, as JSON.
pub fn named_key(by: By, key: &Key) -> Value {
    let mut value = json!({});
    match by {
        By::Function => position(&mut value, &key.0, &key.1, key_frame(key).position()),
        By::File => value["url"] = key.1.clone().into(),
        By::Package => value["package"] = key.0.clone().into(),
    }
    value
}

/// `profile diff A B --json`.
pub fn changes(rows: &[Change<Key>], by: By, most: Option<usize>) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|row| {
            let mut value = named_key(by, &row.key);
            value["self_size_before"] = row.self_size.0.into();
            value["self_size_after"] = row.self_size.1.into();
            value["self_size_delta"] = row.self_delta().into();
            value["total_size_delta"] = row.total_delta().into();
            value["self_error"] = row.self_error.into();
            value["certain"] = row.is_certain().into();
            value
        })
        .collect();
    let mut value =
        json!({"size_delta": rows.iter().map(Change::self_delta).sum::<i64>(), "row_count": rows.len()});
    value[by.nouns().1] = list.into();
    value
}

/// The rows of `profile diff A B`.
pub fn changes_table(rows: &[Change<Key>], by: By, most: usize) -> Table {
    let mut table = Table::new(&[
        (by.heading(), "name"),
        ("Before", "self_size_before"),
        ("After", "self_size_after"),
        ("Difference", "self_size_delta"),
        ("±", "self_error"),
        ("In all", "total_size_delta"),
        ("Beyond chance", "certain"),
    ]);
    for row in rows.iter().take(most) {
        // Where the error can be told, the counts are samples.
        let known = |n: u64| row.self_error.and_then(|_| standard_error(n));
        table.row(vec![
            Cell::Text(key_label(by, &row.key)),
            Cell::Estimate(row.self_size.0, known(row.self_count.0)),
            Cell::Estimate(row.self_size.1, known(row.self_count.1)),
            Cell::SignedBytes(row.self_delta()),
            row.self_error
                .map_or(Cell::Text(String::new()), |error| Cell::Estimate(error.round() as u64, Some(1.0))),
            Cell::SignedBytes(row.total_delta()),
            Cell::Text(row.is_certain().map_or("?", |certain| if certain { "yes" } else { "no" }).to_owned()),
        ]);
    }
    table
}

/// `profile diff A B` for people.
pub fn changes_text(rows: &[Change<Key>], by: By, most: usize, titles: [&str; 2], style: Style) -> String {
    let delta: i64 = rows.iter().map(Change::self_delta).sum();
    let heading = style.paint.accent(&format!("Allocations of {} against {}", titles[1], titles[0]));
    let mut out = format!("{heading}\n{} in all\n\n", signed_bytes(delta));
    out += &changes_table(rows, by, most).text(style.width, style.paint);
    out += &left_out(rows.len(), most.min(rows.len()), by.nouns().0, by.nouns().1, style);
    out
}

/// `profile diff A B C... --json`.
pub fn trends(rows: &[Trend<Key>], by: By, most: Option<usize>) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|row| {
            let mut value = named_key(by, &row.key);
            value["self_sizes"] = row.self_sizes.clone().into();
            value["total_sizes"] = row.total_sizes.clone().into();
            value["slope"] = row.slope.into();
            value["slope_error"] = row.slope_error.into();
            value["grows_steadily"] = row.grows_steadily().into();
            value
        })
        .collect();
    let mut value = json!({"row_count": rows.len()});
    value[by.nouns().1] = list.into();
    value
}

/// The rows of `profile diff A B C...`.
pub fn trends_table(rows: &[Trend<Key>], by: By, most: usize) -> Table {
    let mut table = Table::new(&[
        (by.heading(), "name"),
        ("First", "first_self_size"),
        ("Last", "last_self_size"),
        ("A profile", "slope"),
        ("Steadily", "grows_steadily"),
    ]);
    for row in rows.iter().take(most) {
        table.row(vec![
            Cell::Text(key_label(by, &row.key)),
            Cell::Bytes(row.self_sizes.first().copied().unwrap_or(0)),
            Cell::Bytes(row.self_sizes.last().copied().unwrap_or(0)),
            Cell::SignedBytes(row.slope.round() as i64),
            Cell::Text(if row.grows_steadily() { "yes" } else { "no" }.to_owned()),
        ]);
    }
    table
}

/// `profile diff A B C...` for people.
pub fn trends_text(rows: &[Trend<Key>], by: By, most: usize, files: usize, style: Style) -> String {
    let heading = style.paint.accent(&format!("Growth over {files} profiles"));
    let steady = rows.iter().filter(|row| row.grows_steadily()).count() as u64;
    let (one, many) = by.nouns();
    let verb = if steady == 1 { "grows" } else { "grow" };
    let mut out = format!("{heading}\n{} {verb} steadily\n\n", number_of(steady, one, many));
    out += &trends_table(rows, by, most).text(style.width, style.paint);
    out += &left_out(rows.len(), most.min(rows.len()), one, many, style);
    out
}
