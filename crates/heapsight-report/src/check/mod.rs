//! The answer of the gate: for people, and for what runs it.
//!
//! [`junit`], [`sarif`] and [`markdown`] are what continuous integration reads; [`baseline`] is the file of known leaks. They
//! all tell the same items: first the leaks, then the limits of classes.

pub mod baseline;
pub mod junit;
pub mod markdown;
pub mod sarif;

use std::path::Path;

use heapsight_query::{
    check::{Check, ClassCheck, LeakCheck, Limits, Per, State, relative},
    code::Place,
    leak::Verdict,
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::{
    json::place,
    leak::{Subject, rounds, suspect_json, suspect_text},
    paint::{Paint, plain},
    table::{Cell, Table, cut},
    text::Style,
    units::{bytes, count, number_of, signed_bytes, signed_count},
};

/// Columns of the details in files that have no width.
const WIDTH: usize = 110;

/// Columns of a name in the list.
const NAME: usize = 60;

/// A verdict that was judged.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// How it stands to the limits.
    pub check: &'a Check,
    /// The limits.
    pub limits: &'a Limits,
    /// What was looked at.
    pub subject: &'a Subject,
    /// The folder to which files are relative.
    pub root: &'a Path,
    /// The file that stands for the whole program, where something has no place of its own.
    pub script: Option<&'a str>,
}

impl Checked<'_> {
    /// Whether the gate stays open.
    pub fn passed(&self) -> bool {
        self.check.failures() == 0
    }

    /// `check failed: 2 of 3 ...`.
    fn heading(&self) -> String {
        let (failures, all) = (self.check.failures(), self.items().len());
        let result = match (failures, all) {
            // Where ids do not fit less is seen.
            (0, 0) if !self.verdict.by_id => "check passed: no leak seen".to_owned(),
            (0, 0) => "check passed: no leak found".to_owned(),
            (0, _) => "check passed".to_owned(),
            (_, 1) => "check failed".to_owned(),
            _ => format!("check failed: {failures} of {all}"),
        };
        let program = &self.subject.program;
        let within = if program.is_empty() { String::new() } else { format!(" in {}", plain(program)) };
        format!("{result}{within}, {}", rounds(self.verdict))
    }

    /// Requests of all rounds, if they were counted.
    fn requests(&self) -> Option<u64> {
        self.verdict.rounds.iter().map(|round| round.requests).sum()
    }

    /// The size of the heap in the first and in the last snapshot.
    fn heap(&self) -> Option<String> {
        let (first, last) = (*self.verdict.totals.first()?, *self.verdict.totals.last()?);
        let grown = signed_bytes(last as i64 - first as i64);
        Some(format!("{} -> {} ({grown})", bytes(first), bytes(last)))
    }

    /// All that was judged.
    fn items(&self) -> Vec<Item> {
        let leaks = self.check.leaks.iter().filter_map(|leak| self.leak_item(leak));
        let classes = self.check.classes.iter().filter_map(|class| self.class_item(class));
        leaks.chain(classes).collect()
    }

    fn leak_item(&self, leak: &LeakCheck) -> Option<Item> {
        let suspect = self.verdict.suspects.get(leak.suspect)?;
        let max = self.limits.growth;
        let rate = |n: f64, per: Per| format!("{} a {}", signed_bytes(n.round() as i64), per.name());
        let (growth, limit) = match (leak.state, leak.known) {
            (State::Worse | State::Known, Some(known)) => {
                (rate(known.now, known.per), format!("{}, as recorded", rate(known.then, known.per)))
            }
            _ => (rate(leak.growth, max.per), format!("{} a {}", bytes(max.bytes), max.per.name())),
        };
        let status = match leak.state {
            State::New | State::Worse => Status::Failed,
            State::Known => Status::Known,
            State::Within => Status::Passed,
        };
        let place = suspect.place.as_ref().map(|placed| placed.place.clone());
        let title = plain(&suspect.title);
        let said = match leak.state {
            State::Known => "known leak",
            State::Worse => "known leak, which has become worse",
            State::New | State::Within => "leak",
        };
        let plain_style = Style { width: WIDTH, paint: Paint::default() };
        Some(Item {
            rule: Rule::Leak,
            message: format!("{said}: {title} gains {growth}; the limit is {limit}"),
            details: suspect_text(leak.suspect + 1, suspect, self.requests(), self.subject, plain_style),
            loud: false,
            title,
            status,
            growth,
            limit,
            file: leak.file.clone(),
            place,
            fingerprint: leak.fingerprint.clone(),
        })
    }

    fn class_item(&self, class: &ClassCheck) -> Option<Item> {
        let limit = self.limits.classes.get(class.limit)?;
        let name = plain(&limit.name);
        let growth = if class.growth.fract() == 0.0 {
            signed_count(class.growth as i64)
        } else {
            format!("{:+.1}", class.growth)
        };
        let growth = format!("{growth} a round");
        let allowed = format!("{} {}", limit.relation.sign(), signed(limit.objects));
        let counts: Vec<String> = class.counts.iter().map(|&n| count(n)).collect();
        let counts = if class.is_found() {
            format!("objects in the snapshots: {}", counts.join(", "))
        } else {
            "no snapshot has an object of such a class".to_owned()
        };
        let file = class.place.as_ref().and_then(|place| relative(&place.url, self.root));
        Some(Item {
            rule: Rule::Class,
            title: name.clone(),
            status: if class.failed { Status::Failed } else { Status::Passed },
            message: format!("objects of class {name}: {growth}; the limit is {allowed}"),
            details: counts,
            loud: class.failed || !class.is_found(),
            growth,
            limit: format!("{allowed} a round"),
            file,
            place: class.place.clone(),
            fingerprint: sarif::fingerprint_of_class(&limit.name),
        })
    }
}

fn signed(n: i64) -> String {
    if n < 0 { signed_count(n) } else { count(n.unsigned_abs()) }
}

/// What an item is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Leak,
    Class,
}

impl Rule {
    fn id(self) -> &'static str {
        match self {
            Self::Leak => "heapsight/leak",
            Self::Class => "heapsight/class-growth",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Class => "class",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Failed,
    Known,
    Passed,
}

/// Something that was judged, in words that are safe for a terminal.
#[derive(Clone, Debug)]
struct Item {
    rule: Rule,
    title: String,
    status: Status,
    growth: String,
    limit: String,
    /// One line.
    message: String,
    /// Several.
    details: String,
    /// Whether the details belong into the list.
    loud: bool,
    /// From the working folder, if it is in it.
    file: Option<String>,
    place: Option<Place>,
    fingerprint: String,
}

impl Item {
    /// `store.js:41`, from the working folder where it is in it.
    fn location(&self) -> String {
        let Some(place) = &self.place else { return String::new() };
        plain(&match &self.file {
            Some(file) => format!("{file}:{}", place.line),
            None => format!("{}:{}", place.url, place.line),
        })
    }
}

/// The answer in words.
pub fn text(checked: &Checked<'_>, most: usize, style: Style) -> String {
    let paint = style.paint;
    let mut out = paint.bold(&checked.heading()) + "\n";
    let items = checked.items();
    if !items.is_empty() {
        out.push('\n');
    }
    let what = |item: &Item| cut(&format!("{} {}", item.rule.name(), item.title), NAME);
    let width = items.iter().map(|item| what(item).width()).max().unwrap_or(0);
    for item in &items {
        let word = match item.status {
            Status::Failed => paint.red("FAIL "),
            Status::Known => paint.dim("known"),
            Status::Passed => paint.green("ok   "),
        };
        let name = what(item);
        let space = " ".repeat(width - name.width());
        out += &format!("  {word}  {}{space}  {}; limit {}\n", paint.bold(&name), item.growth, item.limit);
        if item.loud {
            out += &paint.dim(&format!("         {}\n", item.details));
            if !item.location().is_empty() {
                out += &format!("         where  {}\n", item.location());
            }
        }
    }
    for known in &checked.check.gone {
        let text = format!("  gone   leak {}: it is recorded and was not found\n", plain(&known.title));
        out += &paint.dim(&text);
    }
    let failed: Vec<&LeakCheck> = checked.check.leaks.iter().filter(|leak| leak.state.fails()).collect();
    for leak in failed.iter().take(most) {
        if let Some(suspect) = checked.verdict.suspects.get(leak.suspect) {
            out.push('\n');
            out += &suspect_text(leak.suspect + 1, suspect, checked.requests(), checked.subject, style);
        }
    }
    if failed.len() > most {
        let rest = (failed.len() - most) as u64;
        out += &paint.dim(&format!("… and {} (--top)\n", number_of(rest, "more", "more")));
    }
    if let Some(heap) = checked.heap() {
        out += &format!("\n{} {heap}\n", paint.bold("The heap:"));
    }
    if checked.verdict.rounds.len() == 1 {
        out += "There was one round only: a cache that fills looks like a leak. Take three or more.\n";
    }
    out
}

/// One row for each of what was judged.
pub fn table(checked: &Checked<'_>) -> Table {
    let mut table = Table::new(&[
        ("Result", "result"),
        ("Rule", "rule"),
        ("What", "title"),
        ("Growth", "growth"),
        ("Limit", "limit"),
        ("Where", "location"),
    ]);
    for item in checked.items() {
        let result = match item.status {
            Status::Failed => "failed",
            Status::Known => "known",
            Status::Passed => "passed",
        };
        let cells = [
            result.to_owned(),
            item.rule.name().to_owned(),
            item.title.clone(),
            item.growth.clone(),
            item.limit.clone(),
            item.location(),
        ];
        table.row(cells.into_iter().map(Cell::Text).collect());
    }
    table
}

/// `check --json`.
pub fn json(checked: &Checked<'_>) -> Value {
    let Checked { verdict, check, limits, subject, .. } = checked;
    let leaks: Vec<Value> = check
        .leaks
        .iter()
        .filter_map(|leak| {
            let suspect = verdict.suspects.get(leak.suspect)?;
            let mut value = json!({
                "state": leak.state.name(),
                "failed": leak.state.fails(),
                "fingerprint": leak.fingerprint,
                "file": leak.file,
                "growth": leak.growth,
                "known_growth": leak.known.map(|known| known.then),
                "known_growth_per": leak.known.map(|known| known.per.name()),
            });
            if let (Some(fields), Value::Object(suspect)) =
                (value.as_object_mut(), suspect_json(leak.suspect + 1, suspect))
            {
                fields.extend(suspect);
            }
            Some(value)
        })
        .collect();
    let classes: Vec<Value> = check
        .classes
        .iter()
        .filter_map(|class| {
            let limit = limits.classes.get(class.limit)?;
            Some(json!({
                "class": limit.name,
                "relation": limit.relation.sign(),
                "limit": limit.objects,
                "growth": class.growth,
                "counts": class.counts,
                "failed": class.failed,
                "location": place(class.place.as_ref()),
            }))
        })
        .collect();
    let rounds: Vec<Value> = verdict
        .rounds
        .iter()
        .map(|round| json!({"requests": round.requests, "seconds": round.seconds}))
        .collect();
    json!({
        "passed": checked.passed(),
        "failure_count": check.failures(),
        "program": (!subject.program.is_empty()).then_some(&subject.program),
        "by_id": verdict.by_id,
        "rounds": rounds,
        "total_sizes": verdict.totals,
        "max_growth": limits.growth.bytes,
        "max_growth_per": limits.growth.per.name(),
        "tolerance_percent": limits.tolerance,
        "leaks": leaks,
        "classes": classes,
        "gone": check.gone.iter().map(baseline::known).collect::<Vec<_>>(),
    })
}

/// Growth for a request where nobody counted requests, in words.
pub fn no_requests(per: Per) -> String {
    format!("growth a {} cannot be told: requests were not counted", per.name())
}
