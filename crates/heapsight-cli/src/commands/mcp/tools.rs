//! The tools: their names, what they take, and their answers as text.

use std::fmt::Write as _;

use heapsight_query::{
    classes::{self, SortBy},
    compare, language,
    leak::{self, Round},
    object,
    packages::{attribution, shares},
    selector::Selector,
    strings, suspects,
};
use heapsight_report::{
    leak as leak_report,
    paint::Paint,
    query, suspects as suspects_report,
    table::Table,
    text::{self, Style},
    units,
};
use serde_json::{Map, Value, json};

use super::library::Library;
use crate::{commands, failure::Failure};

/// Rows of an answer, unless the caller asks for another number.
const ROWS: u64 = 20;

/// Most rows of an answer.
const MOST_ROWS: u64 = 500;

/// Most characters of an answer, some ten thousand tokens.
const MOST_CHARACTERS: usize = 30_000;

/// The part of the heap that makes a suspect, as of `heapsight suspects`.
const SHARE: f64 = 0.05;

/// Files of one comparison.
const MOST_FILES: usize = 10;

/// Columns of a table.
const STYLE: Style = Style { width: 160, paint: Paint { on: false } };

/// Arguments of a call.
pub(super) type Arguments = Map<String, Value>;

/// A tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Name, JSON type, what it is, and whether it must be given.
    takes: &'static [(&'static str, &'static str, &'static str, bool)],
    run: fn(&Library, &Arguments) -> Result<String, Failure>,
}

type Parameter = (&'static str, &'static str, &'static str, bool);

const FILE: Parameter = ("file", "string", "path of a snapshot, or its name as `files` lists it", true);
const LIMIT: Parameter = ("limit", "integer", "rows to return, 1 to 500 [default: 20]", false);

/// All tools.
pub(super) const TOOLS: &[Tool] = &[
    Tool { name: "files", about: "Lists the heap snapshots that may be opened.", takes: &[], run: files },
    Tool {
        name: "summary",
        about: "Classes (constructors) of a heap snapshot with number of objects, shallow and retained size, largest first. \
                Start here. Retained size is what would be freed with all objects of the class.",
        takes: &[
            FILE,
            (
                "class",
                "string",
                "only classes whose name contains this; /.../ is a regular expression",
                false,
            ),
            ("sort", "string", "retained, shallow, count, distance or name [default: retained]", false),
            LIMIT,
        ],
        run: summary,
    },
    Tool {
        name: "diff",
        about: "What was added and what went between two snapshots of one process, by class.",
        takes: &[
            ("old", "string", "the earlier snapshot", true),
            ("new", "string", "the later snapshot", true),
            (
                "class",
                "string",
                "only classes whose name contains this; /.../ is a regular expression",
                false,
            ),
            LIMIT,
        ],
        run: diff,
    },
    Tool {
        name: "leak",
        about: "Finds leaks: what grows in every round, from three or more snapshots of one process taken after equal \
                rounds of load; names the holder, the way that keeps it alive, and the line of code.",
        takes: &[
            ("files", "array", "the snapshots, oldest first", true),
            ("requests", "integer", "requests of each round, if known", false),
        ],
        run: leak,
    },
    Tool {
        name: "suspects",
        about: "What is suspicious in one snapshot: where memory accumulates, and patterns that are known to leak, with the \
                way that keeps it alive and the line of code. What grows, only several snapshots say: `leak`.",
        takes: &[FILE, ("limit", "integer", "suspects to return [default: 10]", false)],
        run: suspicious,
    },
    Tool {
        name: "show",
        about: "One object by its id: class, sizes, source location, fields with values, who holds it, its dominators.",
        takes: &[FILE, ("id", "string", "object id such as @4711", true), LIMIT],
        run: show,
    },
    Tool {
        name: "retainers",
        about: "Why something is alive: shortest ways from the roots to an object (@id), or the ways in which the objects of \
                a class are held.",
        takes: &[
            FILE,
            ("target", "string", "an object id such as @4711, or a class", true),
            ("limit", "integer", "ways to return [default: 5]", false),
        ],
        run: retainers,
    },
    Tool {
        name: "strings",
        about: "The largest strings, or groups of equal strings.",
        takes: &[
            FILE,
            ("pattern", "string", "only strings that contain this; /.../ is a regular expression", false),
            ("duplicates", "boolean", "group equal strings", false),
            LIMIT,
        ],
        run: strings,
    },
    Tool {
        name: "packages",
        about: "Memory by npm package, or by source file; each byte is counted once.",
        takes: &[FILE, ("by_file", "boolean", "one row a source file", false), LIMIT],
        run: packages,
    },
    Tool {
        name: "query",
        about: "Objects that fit a condition, or sums of them. Language: [select COLUMNS [where]] [CONDITIONS] \
                [group by FIELD] [order by FIELD [desc]] [limit N]. Fields: id, class, name, type, self, retained, distance, \
                detached, edges, retainers, package, file, source; count in groups. Operators: == != < <= > >= ~ !~ in (..), \
                and, or, not. Sizes have units (1MB, 4KiB), text has quotes, patterns are /.../. Example: class == \"Session\" \
                and retained > 10KB order by retained desc limit 20",
        takes: &[FILE, ("query", "string", "the query", true)],
        run: ask,
    },
];

impl Tool {
    /// JSON schema of the arguments.
    pub(super) fn schema(&self) -> Arguments {
        let mut properties = Map::new();
        for (name, kind, about, _) in self.takes {
            let mut property = json!({"type": kind, "description": about});
            if *kind == "array" {
                property["items"] = json!({"type": "string"});
            }
            properties.insert((*name).to_owned(), property);
        }
        let required: Vec<&str> = self.takes.iter().filter(|t| t.3).map(|t| t.0).collect();
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        schema.insert("required".to_owned(), required.into());
        schema.insert("additionalProperties".to_owned(), false.into());
        schema
    }

    /// Answers a call, in bounds.
    pub(super) fn call(&self, library: &Library, arguments: &Arguments) -> Result<String, Failure> {
        for (name, value) in arguments {
            let Some((_, kind, ..)) = self.takes.iter().find(|t| t.0 == name) else {
                let known: Vec<&str> = self.takes.iter().map(|t| t.0).collect();
                return Err(Failure::new(
                    format!("`{}` takes no argument `{name}`", self.name),
                    format!("it takes {}", known.join(", ")),
                ));
            };
            let fits = match *kind {
                "string" => value.is_string(),
                "integer" => value.is_u64(),
                "boolean" => value.is_boolean(),
                _ => value.is_array(),
            };
            if !fits && !value.is_null() {
                return Err(Failure::plain(format!("`{name}` is no {kind}")));
            }
        }
        let missing = self.takes.iter().find(|t| t.3 && arguments.get(t.0).is_none_or(Value::is_null));
        if let Some((name, _, about, _)) = missing {
            return Err(Failure::plain(format!("`{name}` is missing: {about}")));
        }
        (self.run)(library, arguments).map(bounded)
    }
}

/// An answer that is not too long, cut at a line.
fn bounded(text: String) -> String {
    let Some((end, _)) = text.char_indices().nth(MOST_CHARACTERS) else { return text };
    let end = text[..end].rfind('\n').unwrap_or(end);
    let rest = text.len() - end;
    format!(
        "{}\n[cut here, {} left out: ask for fewer rows (`limit`), or for less (`class`, `pattern`, a query)]\n",
        &text[..end],
        units::number_of(rest as u64, "byte", "bytes"),
    )
}

fn word<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn flag(arguments: &Arguments, name: &str) -> bool {
    arguments.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn limit(arguments: &Arguments, default: u64) -> usize {
    arguments.get("limit").and_then(Value::as_u64).unwrap_or(default).clamp(1, MOST_ROWS) as usize
}

/// A table, and how much of it is left out.
fn listed(table: &Table, all: usize, shown: usize) -> String {
    let mut out = table.text(STYLE.width, STYLE.paint);
    if all > shown {
        let _ = writeln!(
            out,
            "… and {} more rows (a higher `limit` shows more)",
            units::count((all - shown) as u64)
        );
    }
    out
}

#[expect(clippy::unnecessary_wraps, reason = "all tools have one type")]
fn files(library: &Library, _: &Arguments) -> Result<String, Failure> {
    let mut out = String::new();
    for path in library.list() {
        let size = path.metadata().map_or(0, |meta| meta.len());
        let _ = writeln!(out, "{} ({})", path.display(), units::bytes(size));
    }
    Ok(if out.is_empty() {
        "There are no snapshots in the folders that are allowed.\n".to_owned()
    } else {
        out
    })
}

fn summary(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let sort = match word(arguments, "sort") {
        None | Some("retained") => SortBy::Retained,
        Some("shallow") => SortBy::Shallow,
        Some("count") => SortBy::Count,
        Some("distance") => SortBy::Distance,
        Some("name") => SortBy::Name,
        Some(other) => {
            return Err(Failure::plain(format!(
                "classes cannot be sorted by `{other}`: retained, shallow, count, distance or name"
            )));
        }
    };
    let pattern = commands::pattern(word(arguments, "class"))?;
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    let summary = classes::summary(&file.heap, None, sort, pattern.as_ref());
    let rows = limit(arguments, ROWS);
    let title = file.path.display().to_string();
    let head = text::summary(&summary, 0, &title, pattern.is_some(), STYLE);
    // The heading of the text for people, without its table and its advice.
    let head: String = head
        .lines()
        .take_while(|line| !line.starts_with('…'))
        .fold(String::new(), |all, line| all + line + "\n");
    Ok(head + &listed(&text::summary_table(&summary, rows), summary.classes.len(), rows))
}

fn diff(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let pattern = commands::pattern(word(arguments, "class"))?;
    let old = library.get(word(arguments, "old").unwrap_or_default())?;
    let new = library.get(word(arguments, "new").unwrap_or_default())?;
    let comparison = compare::compare(&old.heap, &new.heap, pattern.as_ref())?;
    let names = (old.path.display().to_string(), new.path.display().to_string());
    let rows = limit(arguments, ROWS);
    Ok(text::comparison(&comparison, rows, (&names.0, &names.1), pattern.is_some(), STYLE))
}

fn leak(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let names: Vec<&str> = arguments
        .get("files")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !(2..=MOST_FILES).contains(&names.len()) {
        return Err(Failure::plain(format!(
            "a leak is looked for in 2 to {MOST_FILES} snapshots, best in three or four"
        )));
    }
    let mut heaps = Vec::with_capacity(names.len());
    let mut sides = Vec::with_capacity(names.len());
    let mut code = heapsight_query::code::Code::none();
    for name in &names {
        let path = library.permitted(name)?;
        let heap = library.read(&path)?;
        code = crate::code::code_of(&path, &heap);
        heaps.push(heap);
        sides.push(heapsight_capture::output::Metadata::of(&path).ok().flatten());
    }
    let requests = arguments.get("requests").and_then(Value::as_u64);
    let rounds: Vec<Round> = (1..names.len()).map(|_| Round { requests, seconds: None }).collect();
    let by_id = commands::examine::of_one_process(&names, &sides, &heaps)?;
    let verdict = leak::leak(&heaps, &rounds, &code, by_id);
    let subject = leak_report::Subject::default();
    Ok(leak_report::text(&verdict, &subject, 5, STYLE))
}

fn suspicious(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    let found = suspects::suspects(&file.heap, &file.code, SHARE);
    Ok(suspects_report::text(&found, &file.path.display().to_string(), false, limit(arguments, 10), STYLE))
}

fn show(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    let ord = commands::object(&file.heap, word(arguments, "id").unwrap_or_default())?;
    let object = object::object(&file.heap, &file.code, ord, false);
    Ok(text::object(&object, limit(arguments, ROWS), file.heap.total_size(), STYLE))
}

fn retainers(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    let (heap, target) = (&file.heap, word(arguments, "target").unwrap_or_default());
    let most = limit(arguments, 5);
    let mut out = String::new();
    match Selector::parse(target) {
        Selector::Object(_) => {
            let ord = commands::object(heap, target)?;
            let mut paths = object::object_paths(heap, &heap.distance, ord, most, false);
            if paths.is_empty() {
                out += "Nothing holds it but weak references, or nodes that nothing holds.\n";
            }
            for (at, path) in paths.iter_mut().enumerate() {
                object::locate(heap, &file.code, path);
                let _ = write!(out, "Path {}\n{}", at + 1, text::path(path, STYLE));
            }
        }
        Selector::Class(name) => {
            let classes = commands::classes(heap, &name)?;
            let members = classes::members(heap, &classes);
            let groups = heapsight_analysis::paths::path_groups(heap, &heap.distance, &members);
            let _ = writeln!(
                out,
                "{} held in {}",
                units::number_of(members.len() as u64, "object", "objects"),
                units::number_of(groups.len() as u64, "way", "ways")
            );
            for (at, group) in groups.iter().take(most).enumerate() {
                let mut steps = object::path_steps(heap, &group.example);
                object::locate(heap, &file.code, &mut steps);
                let objects = units::number_of(group.count, "object", "objects");
                let _ = write!(out, "\nWay {}: {objects}\n{}", at + 1, text::path(&steps, STYLE));
            }
        }
    }
    Ok(out)
}

fn strings(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let pattern = commands::pattern(word(arguments, "pattern"))?;
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    let rows = limit(arguments, ROWS);
    if flag(arguments, "duplicates") {
        let found = strings::duplicate_strings(&file.heap, pattern.as_ref());
        let head = format!(
            "{} in {} of equal text; keeping one of each would save {}\n\n",
            units::number_of(found.strings, "string", "strings"),
            units::number_of(found.groups.len() as u64, "group", "groups"),
            units::bytes(found.wasted),
        );
        return Ok(head + &listed(&text::duplicates_table(&found, rows), found.groups.len(), rows));
    }
    let (list, all, size) = strings::largest(&file.heap, pattern.as_ref(), rows);
    let head = format!("{}, {}\n\n", units::number_of(all, "string", "strings"), units::bytes(size));
    Ok(head + &listed(&text::objects_table(&list, file.heap.total_size()), all as usize, list.len()))
}

fn packages(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    let by_file = flag(arguments, "by_file");
    let rows = shares(&file.heap, &attribution(&file.heap, &file.code), by_file);
    let (total, most) = (file.heap.total_size(), limit(arguments, ROWS));
    Ok(listed(&query::shares_table(&rows, total, by_file, most), rows.len(), most))
}

fn ask(library: &Library, arguments: &Arguments) -> Result<String, Failure> {
    let question = word(arguments, "query").unwrap_or_default();
    let mut parsed = commands::parsed_query(question)?;
    let most = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    parsed.limit = Some(parsed.limit.unwrap_or(ROWS as usize).min(most));
    if language::asks_for_rounds(&parsed) {
        return Err(Failure::plain("when objects were born only several snapshots say: use the tool `leak`"));
    }
    let file = library.get(word(arguments, "file").unwrap_or_default())?;
    Ok(query::answer_text(&language::evaluate(&file.heap, &file.code, &parsed), STYLE))
}
