//! Answers for people.

use heapsight_query::{
    classes::{ObjectRow, Summary},
    code::Place,
    compare::{Comparison, Growth},
    object::{Object, PathStep},
    strings::Duplicates,
    tree::Branch,
    validate::Finding,
    variables::{DeadVariable, DeadVariables},
};
use heapsight_snapshot::Location;

use crate::{
    paint::{Paint, plain},
    table::{Cell, Table, cut},
    units::{self, bytes, count, number_of, percent},
};

/// How wide, and with colour or not.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Colour.
    pub paint: Paint,
}

/// The table of the Summary.
pub fn summary_table(summary: &Summary, most: usize) -> Table {
    let total = summary.statistics.total;
    let mut table = Table::new(&[
        ("Constructor", "name"),
        ("", "key"),
        ("Distance", "distance"),
        ("Objects", "count"),
        ("Shallow size", "self_size"),
        ("%", "self_share"),
        ("Retained size", "retained_size"),
        ("%", "retained_share"),
    ]);
    let labels = Labels::new(summary.classes.iter().map(|class| class.name.as_str()));
    for class in summary.classes.iter().take(most) {
        table.row(vec![
            Cell::Text(labels.of(&class.name, &class.key)),
            Cell::Text(class.key.clone()),
            Cell::Distance(class.distance),
            Cell::Count(class.count),
            Cell::Bytes(class.self_size),
            Cell::Share(class.self_size, total),
            Cell::Bytes(class.retained_size),
            Cell::Share(class.retained_size, total),
        ]);
    }
    table
}

/// Names of classes for people: classes that share a name are told apart by the place of their constructor.
#[derive(Clone, Debug)]
pub struct Labels<'a>(std::collections::HashMap<&'a str, u32>);

impl<'a> Labels<'a> {
    /// Counts how often each name occurs.
    pub fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let mut counts = std::collections::HashMap::new();
        for name in names {
            *counts.entry(name).or_default() += 1;
        }
        Self(counts)
    }

    /// What is shown of a class with this name and key.
    pub fn of(&self, name: &str, key: &str) -> String {
        if self.0.get(name).is_none_or(|&count| count < 2) {
            return name.to_owned();
        }
        // `script,line,column,name`, or `,name` of what has no place.
        let mut parts = key.splitn(4, ',');
        match (parts.next(), parts.next().and_then(|n| n.parse::<u32>().ok())) {
            (Some(script), Some(line)) if !script.is_empty() => {
                format!("{name} (script {script}, line {})", line.saturating_add(1))
            }
            _ => name.to_owned(),
        }
    }
}

/// The Summary.
pub fn summary(summary: &Summary, most: usize, title: &str, selected: bool, style: Style) -> String {
    let s = summary.statistics;
    let all = format!(
        "{} in {} and {}",
        bytes(s.total),
        number_of(summary.nodes, "object", "objects"),
        number_of(summary.edges, "reference", "references"),
    );
    let mut out = format!("{}\n", style.paint.accent(title));
    if selected {
        let size = summary.classes.iter().map(|c| c.self_size).sum();
        let objects = summary.classes.iter().map(|c| c.count).sum();
        let part = percent(size, s.total);
        out +=
            &format!("{} ({part}) in {} of {all}\n\n", bytes(size), number_of(objects, "object", "objects"));
    } else {
        out += &format!("{all}\n\n");
    }
    if summary.classes.is_empty() {
        return out + "No class matches.\n";
    }
    out += &summary_table(summary, most).text(style.width, style.paint);
    out += &left_out(summary.classes.len(), most, "class", "classes", style);
    out
}

/// A text broken at spaces, a row of the width each; none for nothing.
pub fn broken(text: &str, width: usize) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { crate::leak::wrap(text, width) }
}

/// Says how many rows were left out.
pub fn left_out(all: usize, most: usize, singular: &str, plural: &str, style: Style) -> String {
    if all <= most {
        return String::new();
    }
    let noun = if all - most == 1 { singular } else { plural };
    let rest = count((all - most) as u64);
    format!("{}\n", style.paint.dim(&format!("… and {rest} more {noun} (--top {all} shows all)")))
}

/// A list of objects.
pub fn objects_table(rows: &[ObjectRow], total: u64) -> Table {
    let mut table = Table::new(&[
        ("Object", "name"),
        ("Id", "id"),
        ("Distance", "distance"),
        ("Shallow size", "self_size"),
        ("Retained size", "retained_size"),
        ("%", "retained_share"),
    ]);
    for row in rows {
        table.row(vec![
            Cell::Text(row.label.clone()),
            Cell::Id(row.id),
            Cell::Distance(row.distance),
            Cell::Bytes(row.self_size),
            Cell::Bytes(row.retained_size),
            Cell::Share(row.retained_size, total),
        ]);
    }
    table
}

/// A list of objects, of which some have a place in the source.
pub fn found_table(rows: &[(ObjectRow, Option<Place>)], total: u64) -> Table {
    let heading = if rows.iter().any(|(_, place)| place.is_some()) { "Source" } else { "" };
    let mut table = Table::new(&[
        ("Object", "name"),
        ("Id", "id"),
        (heading, "source"),
        ("Distance", "distance"),
        ("Shallow size", "self_size"),
        ("Retained size", "retained_size"),
        ("%", "retained_share"),
    ]);
    for (row, place) in rows {
        table.row(vec![
            Cell::Text(cut(&row.label, 60)),
            Cell::Id(row.id),
            Cell::Text(place.as_ref().map(ToString::to_string).unwrap_or_default()),
            Cell::Distance(row.distance),
            Cell::Bytes(row.self_size),
            Cell::Bytes(row.retained_size),
            Cell::Share(row.retained_size, total),
        ]);
    }
    table
}

/// Where the bytes are.
pub fn statistics_table(s: &heapsight_analysis::statistics::Statistics) -> Table {
    let mut table = Table::new(&[("What", "what"), ("Size", "size"), ("%", "share")]);
    let mut row = |what: &str, size: u64| {
        table.row(vec![Cell::Text(what.to_owned()), Cell::Bytes(size), Cell::Share(size, s.total)]);
    };
    row("Total", s.total);
    row("V8 heap", s.v8_heap_total);
    row("  code", s.code);
    row("  strings", s.strings);
    row("  JS arrays", s.js_arrays);
    row("  system objects", s.system);
    let other = s.v8_heap_total.saturating_sub(s.code + s.strings + s.js_arrays + s.system);
    row("  other JS objects", other);
    row("Native", s.native_total);
    row("  typed arrays", s.typed_arrays);
    row("  other", s.native_total.saturating_sub(s.typed_arrays));
    table
}

/// The table of the Comparison.
pub fn comparison_table(comparison: &Comparison, most: usize) -> Table {
    let mut table = Table::new(&[
        ("Constructor", "name"),
        ("", "key"),
        ("New", "added_count"),
        ("Deleted", "removed_count"),
        ("Delta", "count_delta"),
        ("Alloc. size", "added_size"),
        ("Freed size", "removed_size"),
        ("Size delta", "size_delta"),
    ]);
    let labels = Labels::new(comparison.classes.iter().map(|class| class.name.as_str()));
    for class in comparison.classes.iter().take(most) {
        table.row(vec![
            Cell::Text(labels.of(&class.name, &class.key)),
            Cell::Text(class.key.clone()),
            Cell::Count(class.added_count),
            Cell::Count(class.removed_count),
            Cell::SignedCount(class.count_delta()),
            Cell::Bytes(class.added_size),
            Cell::Bytes(class.removed_size),
            Cell::SignedBytes(class.size_delta()),
        ]);
    }
    table
}

/// The Comparison.
pub fn comparison(
    comparison: &Comparison,
    most: usize,
    (old, new): (&str, &str),
    selected: bool,
    style: Style,
) -> String {
    let sum = |f: &dyn Fn(&heapsight_analysis::diff::ClassDiff) -> u64| {
        comparison.classes.iter().map(f).sum::<u64>()
    };
    let (added, removed) = (sum(&|c| c.added_size), sum(&|c| c.removed_size));
    let mut out = format!(
        "{}\n{} added ({}), {} gone ({}): {}\n",
        style.paint.accent(&format!("{old} -> {new}")),
        number_of(sum(&|c| c.added_count), "object", "objects"),
        bytes(added),
        number_of(sum(&|c| c.removed_count), "object", "objects"),
        bytes(removed),
        style.paint.bold(&units::signed_bytes(added as i64 - removed as i64)),
    );
    if !comparison.ids.comparable() {
        out += &style.paint.red(
            "These do not look like two snapshots of one process: their object ids do not fit together, and what was\n\
             added or gone is by chance. Compare the counts of the classes instead: heapsight diff --by-class OLD NEW\n",
        );
    }
    if comparison.classes.is_empty() {
        return out + if selected { "No class that matches changed.\n" } else { "No class changed.\n" };
    }
    out.push('\n');
    out += &comparison_table(comparison, most).text(style.width, style.paint);
    out += &left_out(comparison.classes.len(), most, "class", "classes", style);
    out
}

/// Columns of a series that is not too long to show whole.
const HEADINGS: [(&str, &str); 9] = [
    ("1st", "count_1"),
    ("2nd", "count_2"),
    ("3rd", "count_3"),
    ("4th", "count_4"),
    ("5th", "count_5"),
    ("6th", "count_6"),
    ("7th", "count_7"),
    ("8th", "count_8"),
    ("9th", "count_9"),
];

/// The table of a series.
pub fn growth_table(rows: &[Growth], most: usize) -> Table {
    let snapshots = rows.first().map_or(0, |r| r.counts.len());
    let mut columns = vec![("Constructor", "name"), ("", "key")];
    let is_series = snapshots > 2;
    if is_series {
        columns.push(("Grows", "grows_every_time"));
    }
    // Of a long series the first and the last are shown.
    let shown: Vec<usize> = if snapshots <= HEADINGS.len() {
        columns.extend(&HEADINGS[..snapshots]);
        (0..snapshots).collect()
    } else {
        columns.extend([("First", "count_first"), ("Last", "count_last")]);
        vec![0, snapshots - 1]
    };
    columns.extend([("Delta", "count_delta"), ("Size", "size"), ("Size delta", "size_delta")]);
    let mut table = Table::new(&columns);
    let labels = Labels::new(rows.iter().map(|row| row.name.as_str()));
    for row in rows.iter().take(most) {
        let every = if row.grows_every_time() { "every time" } else { "" };
        let mut cells = vec![Cell::Text(labels.of(&row.name, &row.key)), Cell::Text(row.key.clone())];
        if is_series {
            cells.push(Cell::Text(every.to_owned()));
        }
        cells.extend(shown.iter().map(|&i| Cell::Count(row.counts[i])));
        cells.push(Cell::SignedCount(row.count_delta()));
        cells.push(Cell::Bytes(row.sizes.last().copied().unwrap_or(0)));
        cells.push(Cell::SignedBytes(row.size_delta()));
        table.row(cells);
    }
    table
}

/// A series.
pub fn growth(files: &[String], rows: &[Growth], most: usize, style: Style) -> String {
    let every = rows.iter().filter(|r| r.grows_every_time()).count();
    let mut out = format!("{}\n", style.paint.accent(&files.join(" -> ")));
    let changed = number_of(rows.len() as u64, "class", "classes");
    out += &if files.len() > 2 {
        format!("{} of {changed} that changed grew in every snapshot\n\n", count(every as u64))
    } else {
        format!("{changed} changed\n\n")
    };
    out += &growth_table(rows, most).text(style.width, style.paint);
    out += &left_out(rows.len(), most, "class", "classes", style);
    out
}

/// A place in a source file as editors count, by script number: snapshots do not have the script's address.
pub fn location(l: Location) -> String {
    format!(
        "script {}, line {}, column {}",
        l.script_id,
        l.line.saturating_add(1),
        l.column.saturating_add(1)
    )
}

/// One object.
pub fn object(object: &Object, most: usize, total: u64, style: Style) -> String {
    let paint = style.paint;
    let row = &object.row;
    let mut out = format!(
        "{} {}\n",
        paint.accent(&cut(&plain(&row.label), style.width.max(40) - 14)),
        paint.dim(&format!("@{}", row.id))
    );
    let mut line = |what: &str, value: String| out += &format!("  {what:<15}{value}\n");
    line("class", format!("{} ({})", plain(&object.class), object.kind));
    line("shallow size", format!("{} ({})", bytes(row.self_size), percent(row.self_size, total)));
    line("retained size", format!("{} ({})", bytes(row.retained_size), percent(row.retained_size, total)));
    line("distance", units::distance(row.distance));
    if object.detachedness != 0 {
        line("DOM", if object.detachedness == 2 { "detached" } else { "attached" }.to_owned());
    }
    match (&object.place, object.location) {
        (Some(place), _) => {
            let package = place.package.as_ref().map(|p| format!(", package {p}")).unwrap_or_default();
            let made = place.generated.as_ref().map(|g| format!(" (runs as {g})")).unwrap_or_default();
            line("source", plain(&format!("{place}{package}{made}")));
        }
        (None, Some(place)) => line("source", location(place)),
        (None, None) => {}
    }
    if !object.allocation_stack.is_empty() {
        out += &format!("\n{}\n", paint.bold("Allocated in"));
        for frame in &object.allocation_stack {
            out += &format!("  {}\n", plain(frame));
        }
    }
    out += &format!("\n{}\n", paint.bold(&format!("References ({})", count(object.fields.len() as u64))));
    for field in object.fields.iter().take(most) {
        let name = reference(&field.kind, &field.name);
        let value = cut(&plain(&field.value), 72);
        let size = bytes(field.to.retained_size);
        out += &format!(
            "  {} = {value} {}\n",
            plain(&name),
            paint.dim(&format!("@{}, retains {size}", field.to.id))
        );
    }
    out += &rest(object.fields.len(), most, style);
    out += &format!("\n{}\n", paint.bold(&format!("Held by ({})", count(object.holders.len() as u64))));
    for holder in object.holders.iter().take(most) {
        let how = match holder.weak_map {
            Some((Some(key), table)) => format!("value of key @{key} in WeakMap (table @{table}), in"),
            Some((None, table)) => format!("value in WeakMap (table @{table}), in"),
            None => format!("{} in", plain(&reference(&holder.kind, &holder.name))),
        };
        let from = cut(&plain(&holder.from.label), 60);
        out += &format!(
            "  {how} {from} {}\n",
            paint.dim(&format!("@{}, distance {}", holder.from.id, units::distance(holder.from.distance)))
        );
    }
    out += &rest(object.holders.len(), most, style);
    if !object.dominators.is_empty() {
        out += &format!("\n{}\n", paint.bold("Dominated by"));
    }
    for dominator in object.dominators.iter().take(most) {
        let name = cut(&plain(&dominator.label), 60);
        out += &format!(
            "  {name} {}\n",
            paint.dim(&format!("@{}, retains {}", dominator.id, bytes(dominator.retained_size)))
        );
    }
    out += &rest(object.dominators.len(), most, style);
    out
}

fn rest(all: usize, most: usize, style: Style) -> String {
    if all <= most {
        return String::new();
    }
    format!("{}\n", style.paint.dim(&format!("  … and {} more", count((all - most) as u64))))
}

/// A reference as a programmer writes it.
pub fn reference(kind: &str, name: &str) -> String {
    match kind {
        "context" => format!("context variable {name}"),
        "element" => format!("[{name}]"),
        "property" if name.contains(' ') => format!("[\"{name}\"]"),
        "property" => format!(".{name}"),
        "internal" => format!("({name})"),
        "hidden" => format!("(hidden {name})"),
        "weak" => format!("(weak {name})"),
        "shortcut" => format!("(shortcut {name})"),
        other => format!("({other} {name})"),
    }
}

/// A way from a root, one step a line.
pub fn path(steps: &[PathStep], style: Style) -> String {
    let mut out = String::new();
    for (at, step) in steps.iter().enumerate() {
        let name = cut(&plain(&step.object.label), 60);
        let id = style.paint.dim(&format!("@{}", step.object.id));
        if at == 0 {
            out += &format!("  {name} {id}\n");
            continue;
        }
        let how = match step.weak_map {
            Some((Some(key), table)) => format!("(value of key @{key} in WeakMap table @{table})"),
            Some((None, table)) => format!("(value in WeakMap table @{table})"),
            None => plain(&reference(&step.kind, &step.edge)),
        };
        let place =
            step.place.as_ref().map(|place| format!(" {}", plain(&place.short()))).unwrap_or_default();
        out += &format!("  {}{} {name}{place} {id}\n", "  ".repeat(at.min(20)), style.paint.accent(&how));
    }
    out
}

/// What is printed next of a tree: a branch, or the count of what is not shown below one.
enum Line<'a> {
    Branch(&'a Branch, String, &'static str, bool),
    More(&'a Branch, String),
}

/// A part of the dominator tree.
pub fn branch(branch: &Branch, total: u64, style: Style) -> String {
    let mut out = String::new();
    let mut stack = vec![Line::Branch(branch, String::new(), "", true)];
    while let Some(line) = stack.pop() {
        match line {
            Line::More(node, prefix) => {
                let (n, size) = node.more;
                let text = style.paint.dim(&format!("… {} more", count(n)));
                out += &format!("{:>10} {:>6}  {prefix}└─ {text}\n", bytes(size), percent(size, total));
            }
            Line::Branch(node, prefix, mark, last) => {
                let name = match node.count {
                    1 => plain(&node.object.label),
                    n => format!("{} × {}", count(n), plain(&node.class)),
                };
                let id = if node.count > 1 { String::new() } else { format!(" @{}", node.object.id) };
                let hidden = match node.more.0 {
                    n if n > 0 && node.children.is_empty() => format!(" … {} below", count(n)),
                    _ => String::new(),
                };
                let room = style.width.saturating_sub(34 + prefix.chars().count()).max(24);
                out += &format!(
                    "{:>10} {:>6}  {prefix}{mark}{}{}\n",
                    bytes(node.retained_size),
                    percent(node.retained_size, total),
                    cut(&name, room),
                    style.paint.dim(&(id + &hidden)),
                );
                let below = match (mark.is_empty(), last) {
                    (true, _) => String::new(),
                    (false, true) => format!("{prefix}   "),
                    (false, false) => format!("{prefix}│  "),
                };
                let more = node.more.0 > 0 && !node.children.is_empty();
                if more {
                    stack.push(Line::More(node, below.clone()));
                }
                for (at, child) in node.children.iter().enumerate().rev() {
                    let last = at + 1 == node.children.len() && !more;
                    stack.push(Line::Branch(child, below.clone(), if last { "└─ " } else { "├─ " }, last));
                }
            }
        }
    }
    out
}

/// Equal strings.
pub fn duplicates_table(duplicates: &Duplicates, most: usize) -> Table {
    let mut table = Table::new(&[
        ("String", "value"),
        ("Copies", "count"),
        ("Shallow size", "self_size"),
        ("Retained size", "retained_size"),
    ]);
    for group in duplicates.groups.iter().take(most) {
        table.row(vec![
            Cell::Text(format!("{:?}", group.value)),
            Cell::Count(group.count),
            Cell::Bytes(group.self_size),
            Cell::Bytes(group.retained_size),
        ]);
    }
    table
}

/// Variables that no function can use, the first `most`.
pub fn dead_variables_table(dead: &DeadVariables, most: usize) -> Table {
    let mut table = Table::new(&[
        ("Dead variable", "name"),
        ("Function", "function"),
        ("Source", "source"),
        ("Contexts", "context_count"),
        ("Retained size", "retained_size"),
    ]);
    for variable in dead.variables.iter().take(most) {
        let function = match variable.function.as_deref() {
            None => "",
            Some("") => "(anonymous)",
            Some(name) => name,
        };
        table.row(vec![
            Cell::Text(variable.name.clone()),
            Cell::Text(function.to_owned()),
            Cell::Text(source(variable)),
            Cell::Count(variable.context_count),
            Cell::Bytes(variable.retained_size),
        ]);
    }
    table
}

/// The file and line of a function, or else where its scope begins.
fn source(variable: &DeadVariable) -> String {
    let file = variable.script.rsplit('/').find(|part| !part.is_empty());
    match (file, variable.location) {
        (Some(file), Some(place)) => format!("{file}:{}", place.line.saturating_add(1)),
        (None, Some(place)) => format!("script {}:{}", place.script_id, place.line.saturating_add(1)),
        (file, None) => {
            let file = file.unwrap_or("(no address)");
            format!("{file}, character {}", variable.characters.0.saturating_add(1))
        }
    }
}

/// The dead variables in words and as a table, the first `most`. `None` is for files that do not record what functions
/// use.
pub fn dead_variables(dead: Option<&DeadVariables>, most: usize, style: Style) -> String {
    let Some(dead) = dead else {
        return "dead context variables: not recorded in this file\n".to_owned();
    };
    let mut out = if dead.variables.is_empty() {
        "no dead context variables\n".to_owned()
    } else {
        format!(
            "{} in {} can be used by no function any more; alone they keep {} in {} alive\n\n{}",
            number_of(dead.variables.len() as u64, "variable", "variables"),
            number_of(dead.context_count, "context", "contexts"),
            bytes(dead.kept_size),
            number_of(dead.kept_count, "object", "objects"),
            dead_variables_table(dead, most).text(style.width, style.paint),
        )
    };
    if dead.variables.len() > most {
        let rest = dead.variables.len() - most;
        let noun = if rest == 1 { "variable" } else { "variables" };
        let rest = count(rest as u64);
        out += &format!("{}\n", style.paint.dim(&format!("… and {rest} more {noun} (--json has all)")));
    }
    if !dead.unknown.is_empty() {
        let contexts = dead.unknown.iter().map(|script| script.context_count).sum();
        out += &format!(
            "{} of {} could not be looked at: what their functions use is not recorded\n",
            number_of(contexts, "context", "contexts"),
            number_of(dead.unknown.len() as u64, "script", "scripts"),
        );
    }
    out
}

/// What is wrong with a file.
pub fn findings(findings: &[Finding], style: Style) -> String {
    let mut out = String::new();
    for finding in findings {
        let mark = if finding.damage { style.paint.red("damage") } else { style.paint.dim("note  ") };
        out += &format!("{mark}  {}\n", plain(&finding.detail));
    }
    out += if findings.iter().any(|f| f.damage) {
        "The snapshot is damaged; what is not listed here is sound.\n"
    } else {
        "The snapshot is sound.\n"
    };
    out
}
