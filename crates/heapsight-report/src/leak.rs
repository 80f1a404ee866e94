//! The verdict on a leak, for people and for programs.

use heapsight_query::{
    code::Place,
    leak::{Allocated, Frame, Kind, SetAside, Suspect, Verdict},
    story::{Hop, Link, Step},
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    json::place,
    paint::plain,
    table::cut,
    text::Style,
    units::{bytes, count, number_of, signed_bytes, signed_count},
};

/// Parts of a suspect's growth that are listed.
const PARTS: usize = 4;

/// Columns of the name of what was set aside.
const NAME: usize = 40;

/// Columns of the words at the left.
const LEFT: usize = 16;

/// What was looked at, and how.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The program: `server.js (pid 4711, Node.js 22.23.3)`; empty if nothing is known.
    pub program: String,
    /// The whole way instead of the story.
    pub full: bool,
    /// A folder: paths below it are told from there.
    pub folder: Option<String>,
}

impl Subject {
    /// A path as it is told.
    fn path<'p>(&self, url: &'p str) -> &'p str {
        let below = self.folder.as_deref().and_then(|folder| url.strip_prefix(folder)?.strip_prefix('/'));
        below.unwrap_or(url)
    }

    /// A place as it is told: path, line, column.
    fn place(&self, place: &Place) -> String {
        format!("{}:{}:{}", self.path(&place.url), place.line, place.column)
    }
}

/// The verdict in words.
pub fn text(verdict: &Verdict, subject: &Subject, most: usize, style: Style) -> String {
    let paint = style.paint;
    let mut out = paint.bold(&heading(verdict, subject)) + "\n";
    let requests = verdict.rounds.iter().map(|round| round.requests).sum();
    for (at, suspect) in verdict.suspects.iter().take(most).enumerate() {
        out.push('\n');
        out += &suspect_text(at + 1, suspect, requests, subject, style);
    }
    if verdict.suspects.len() > most {
        let rest = verdict.suspects.len() - most;
        out += &paint.dim(&format!("… and {} (--top)\n", number_of(rest as u64, "more", "more")));
    }
    if !verdict.by_id && verdict.totals.len() > 1 {
        out += &paragraph(
            "The object ids of these files do not fit together: objects were compared by the way they are held and by \
             their class. What is replaced cannot be told from what stays.",
            style,
        );
    }
    if verdict.rounds.len() == 1 {
        out += &paragraph(
            "There was one round only: a cache that fills looks like a leak. Take three or more.",
            style,
        );
    }
    out += &aside_text(verdict, style);
    out
}

/// A line of its own, broken where the terminal ends.
fn paragraph(text: &str, style: Style) -> String {
    format!("\n{}\n", wrap(text, style.width).join("\n"))
}

fn heading(verdict: &Verdict, subject: &Subject) -> String {
    let found = match verdict.suspects.len() {
        // Without ids less is seen, and the words are more careful.
        0 if !verdict.by_id && verdict.totals.len() > 1 => "no leak seen".to_owned(),
        0 => "no leak found".to_owned(),
        n => format!("{} found", number_of(n as u64, "leak", "leaks")),
    };
    let within =
        if subject.program.is_empty() { String::new() } else { format!(" in {}", plain(&subject.program)) };
    format!("{found}{within}, {}", rounds(verdict))
}

/// `3 rounds of 1,000 requests`.
pub(crate) fn rounds(verdict: &Verdict) -> String {
    let n = number_of(verdict.rounds.len() as u64, "round", "rounds");
    let first = verdict.rounds.first().and_then(|round| round.requests);
    match first {
        Some(requests) if verdict.rounds.iter().all(|round| round.requests == Some(requests)) => {
            format!("{n} of {}", number_of(requests, "request", "requests"))
        }
        _ => n,
    }
}

pub(crate) fn suspect_text(
    rank: usize,
    suspect: &Suspect,
    requests: Option<u64>,
    subject: &Subject,
    style: Style,
) -> String {
    let paint = style.paint;
    let rounds = suspect.counts.len().max(1) as u64;
    let (one, many) = suspect.kind.nouns();
    let a_round = suspect.count_growth() / rounds;
    let noun = match &suspect.counted {
        Some(_) if matches!(suspect.kind, Kind::Timers | Kind::List | Kind::Promise) => many.to_owned(),
        Some(class) => format!("× {}", plain(class)),
        None => (if a_round == 1 { one } else { many }).to_owned(),
    };
    let each = match requests.filter(|&requests| requests > 0) {
        Some(requests) => {
            let each = suspect.size_growth() as f64 / requests as f64;
            format!(" ({} a request)", signed_bytes(each.round() as i64))
        }
        None => String::new(),
    };
    // Everything in front of "a round" is of one round.
    let members = if suspect.counts.is_empty() {
        String::new()
    } else {
        format!("{} {noun}, ", signed_count(a_round as i64))
    };
    let rounds = suspect.sizes.len().max(1) as u64;
    let all = match rounds {
        1 => String::new(),
        _ => format!(", {} in {rounds} rounds", bytes(suspect.size_growth())),
    };
    let mut out = format!(
        "{}  {}  {members}{} a round{each}{all}\n",
        paint.accent(&format!("#{rank}")),
        paint.bold(&plain(&suspect.title)),
        paint.red(&signed_bytes((suspect.size_growth() / rounds) as i64)),
    );
    let mut line = |what: &str, value: &str| {
        let indent = " ".repeat(4 + LEFT);
        for (at, row) in wrap(value, style.width.saturating_sub(4 + LEFT)).iter().enumerate() {
            out += &if at == 0 { format!("    {what:<LEFT$}{row}\n") } else { format!("{indent}{row}\n") };
        }
    };
    if let Some(placed) = &suspect.place {
        let package =
            placed.place.package.as_ref().map(|name| format!(", package {name}")).unwrap_or_default();
        line("where", &plain(&format!("{}  {}{package}", subject.place(&placed.place), placed.what)));
    }
    let alike = if suspect.holders > 1 {
        format!("{} held alike, for one ", number_of(suspect.holders, "object", "objects"))
    } else {
        String::new()
    };
    line(
        "holder",
        &plain(&format!(
            "{}, {alike}{} @{}, retains {}",
            suspect.kind.name(),
            heapsight_query::story::short_class(&suspect.class),
            suspect.id,
            bytes(suspect.retained_size)
        )),
    );
    if subject.full {
        for (at, row) in full_way(&suspect.way).iter().enumerate() {
            line(if at == 0 { "kept alive by" } else { "" }, &plain(row));
        }
    } else {
        line("kept alive by", &plain(&story(&suspect.story)));
    }
    if let Some(allocated) = &suspect.allocated {
        let rows = allocated_rows(allocated, subject);
        for (at, row) in rows.iter().enumerate() {
            line(if at == 0 { "allocated in" } else { "" }, &plain(row));
        }
    }
    if suspect.counts.is_empty() {
        let sizes: Vec<String> = suspect.sizes.iter().map(|&size| signed_bytes(size as i64)).collect();
        line("why", &format!("{}: {}", suspect.why, sizes.join(", ")));
    } else {
        line("what stays", &plain(&parts(suspect)));
        line("why", &format!("{}: {}", suspect.why, each_round(&suspect.counts)));
    }
    out
}

/// The function that allocated; if it is a library's, then also who called it in the program; of all callers in full.
fn allocated_rows(allocated: &Allocated, subject: &Subject) -> Vec<String> {
    let shown = |frame: &Frame| {
        let path = subject.path(short_path(&frame.place));
        format!("{} ({path}:{})", frame.name, frame.place.line)
    };
    let Some((first, callers)) = allocated.frames.split_first() else { return Vec::new() };
    let mut rows = vec![shown(first)];
    if subject.full {
        rows.extend(callers.iter().map(|frame| format!("called by {}", shown(frame))));
    } else if first.place.package.is_some() {
        let own = callers.iter().find(|frame| frame.place.package.is_none());
        rows.extend(own.map(|frame| format!("called by {}", shown(frame))));
    }
    if !allocated.exact {
        let samples = number_of(allocated.count, "sample", "samples");
        let last = rows.len() - 1;
        rows[last] += &format!("; about {}, by {samples}", bytes(allocated.size));
    }
    rows
}

/// A path from its last `node_modules` on.
fn short_path(place: &Place) -> &str {
    let url = place.url.as_str();
    url.rfind("/node_modules/").map_or(url, |at| &url[at + 1..])
}

/// `+307, +307, +308`.
fn each_round(counts: &[u64]) -> String {
    counts.iter().map(|&n| signed_count(n as i64)).collect::<Vec<_>>().join(", ")
}

/// A story on one line.
pub(crate) fn story(hops: &[Hop]) -> String {
    let texts: Vec<String> = hops
        .iter()
        .map(|hop| match hop {
            Hop::Step(text) => text.clone(),
            Hop::Library(name, steps) => format!("({} in {name})", number_of(*steps as u64, "step", "steps")),
        })
        .collect();
    texts.join(" -> ")
}

/// A whole way, a step a row. What comes again and again, as the nodes of a chain, is told once.
pub(crate) fn full_way(way: &[Step]) -> Vec<String> {
    /// Steps that make up one link of a chain.
    const PERIOD: usize = 8;
    /// Fewer repeated steps are told one by one.
    const LEAST: usize = 12;
    let same = |a: &Step, b: &Step| a.link == b.link && a.class == b.class && a.inside == b.inside;
    let mut rows = Vec::new();
    let mut at = 0;
    'way: while at < way.len() {
        for period in 1..=PERIOD.min((way.len() - at) / 2) {
            let (one, rest) = way[at..].split_at(period);
            let like = |chunk: &&[Step]| chunk.iter().zip(one).all(|(a, b)| same(a, b));
            let times = rest.chunks_exact(period).take_while(like).count();
            if times * period >= LEAST {
                rows.extend(one.iter().map(full_step));
                rows.push(format!("… and {times} times the same"));
                at += (times + 1) * period;
                continue 'way;
            }
        }
        rows.push(full_step(&way[at]));
        at += 1;
    }
    rows
}

pub(crate) fn full_step(step: &Step) -> String {
    let how = match step.link {
        Link::Root => String::new(),
        Link::Property => format!(".{} = ", step.edge),
        Link::Entry => format!("[{}] = ", step.edge),
        Link::Variable => format!("variable {} = ", step.edge),
        Link::WeakMap => format!("value in WeakMap {} = ", step.edge),
        Link::Internal => format!("({}) = ", step.edge),
    };
    let place = step.place.as_ref().map(|place| format!(" {}", place.short())).unwrap_or_default();
    format!("{how}{} @{}{place}", cut(&step.name, 60), step.id)
}

/// What one member is made of, on average.
fn parts(suspect: &Suspect) -> String {
    let gained = suspect.count_growth().max(1);
    let listed: Vec<String> = suspect
        .parts
        .iter()
        .filter(|part| part.size > 0)
        .take(PARTS)
        .map(|part| format!("{} × {} ({})", count(part.counts.iter().sum()), part.class, bytes(part.size)))
        .collect();
    let rest = suspect.parts.iter().filter(|part| part.size > 0).count().saturating_sub(PARTS);
    let rest = if rest > 0 {
        format!(", {}", number_of(rest as u64, "other class", "other classes"))
    } else {
        String::new()
    };
    format!("{} each: {}{rest}", bytes(suspect.size_growth() / gained), listed.join(", "))
}

/// Breaks a line at spaces.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut row = String::new();
    for word in text.split(' ') {
        if !row.is_empty() && row.width() + 1 + word.width() > width.max(20) {
            rows.push(std::mem::take(&mut row));
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row += word;
    }
    rows.push(row);
    rows
}

fn aside_text(verdict: &Verdict, style: Style) -> String {
    let totals = &verdict.totals;
    let (Some(&first), Some(&last)) = (totals.first(), totals.last()) else { return String::new() };
    let mut out = format!(
        "\n{} {} -> {} ({})\n",
        style.paint.bold("The heap:"),
        bytes(first),
        bytes(last),
        signed_bytes(last as i64 - first as i64)
    );
    if verdict.set_aside.is_empty() {
        if verdict.suspects.is_empty() {
            out += "Nothing that is worth a line has stayed.\n";
        }
        return out;
    }
    out += &style.paint.bold("Grew too, and was set aside:\n");
    // What has the same reason stands together, in the order of the largest.
    let mut reasons: Vec<&str> = Vec::new();
    for aside in &verdict.set_aside {
        if !reasons.contains(&aside.reason.as_str()) {
            reasons.push(&aside.reason);
        }
    }
    for reason in reasons {
        for row in wrap(reason, style.width.saturating_sub(2)) {
            out += &format!("  {}\n", style.paint.dim(&row));
        }
        let same: Vec<&SetAside> = verdict.set_aside.iter().filter(|aside| aside.reason == reason).collect();
        let name = |aside: &SetAside| cut(&plain(&aside.title), NAME);
        let width = same.iter().map(|aside| name(aside).width()).max().unwrap_or(0);
        for aside in same {
            let (size, name) = (signed_bytes(aside.size as i64), name(aside));
            let padding = " ".repeat(width.saturating_sub(name.width()));
            out += &format!("  {size:>12}  {name}{padding}  {}\n", each_round(&aside.counts));
        }
    }
    out
}

/// `leak --json`.
pub fn json(verdict: &Verdict, subject: &Subject) -> Value {
    let suspects: Vec<Value> =
        verdict.suspects.iter().enumerate().map(|(at, suspect)| suspect_json(at + 1, suspect)).collect();
    let rounds: Vec<Value> = verdict
        .rounds
        .iter()
        .map(|round| json!({"requests": round.requests, "seconds": round.seconds}))
        .collect();
    json!({
        "program": (!subject.program.is_empty()).then_some(&subject.program),
        "by_id": verdict.by_id,
        "rounds": rounds,
        "total_sizes": verdict.totals,
        "suspect_count": suspects.len(),
        "suspects": suspects,
        "set_aside": verdict.set_aside.iter().map(aside_json).collect::<Vec<_>>(),
    })
}

pub(crate) fn suspect_json(rank: usize, suspect: &Suspect) -> Value {
    let parts: Vec<Value> = suspect
        .parts
        .iter()
        .map(|part| json!({"class": part.class, "counts": part.counts, "size": part.size}))
        .collect();
    json!({
        "rank": rank,
        "title": suspect.title,
        "class": suspect.class,
        "holder": holder(suspect.kind, &suspect.title),
        "kind": suspect.kind.name(),
        "holder_id": suspect.id,
        "holder_count": suspect.holders,
        "location": place(suspect.place.as_ref().map(|placed| &placed.place)),
        "location_of": suspect.place.as_ref().map(|placed| &placed.what),
        "counts": suspect.counts,
        "counted_class": suspect.counted,
        "count_growth": suspect.count_growth(),
        "per_request": suspect.per_request,
        "sizes": suspect.sizes,
        "size_growth": suspect.size_growth(),
        "retained_size": suspect.retained_size,
        "parts": parts,
        "allocated_in": suspect.allocated.as_ref().map_or(Value::Null, allocated_json),
        "path": path(&suspect.way),
        "why": suspect.why,
    })
}

fn allocated_json(allocated: &Allocated) -> Value {
    let stack: Vec<Value> = allocated
        .frames
        .iter()
        .map(|frame| json!({"function": frame.name, "location": place(Some(&frame.place))}))
        .collect();
    let first = stack.first().cloned().unwrap_or_default();
    json!({"function": first["function"], "location": first["location"], "exact": allocated.exact,
        "size": allocated.size, "count": allocated.count, "stack": stack})
}

/// A container in words: `Map MemoryStore.sessions`.
pub(crate) fn holder(kind: Kind, title: &str) -> String {
    match kind {
        Kind::Listeners | Kind::Timers => title.to_owned(),
        _ => format!("{} {title}", kind.name()),
    }
}

/// A whole way.
pub fn path(way: &[Step]) -> Value {
    way.iter()
        .map(|step| {
            json!({"edge": step.edge, "name": step.name, "id": step.id, "class": step.class,
                "location": place(step.place.as_ref())})
        })
        .collect()
}

fn aside_json(aside: &SetAside) -> Value {
    json!({"title": aside.title, "holder": aside.kind.name(), "counts": aside.counts, "size": aside.size,
        "reason": aside.reason})
}
