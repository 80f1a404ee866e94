//! The data of a report: what its script reads. It is no promise; programs read the JSON of the commands.

use heapsight_query::{
    classes::ClassRow,
    code::Place,
    leak::{Suspect, Verdict},
    packages::{PROGRAM, Share},
    portrait::{Portrait, Sitting},
    story::{Hop, Step},
    suspects::Finding,
    tree::Branch,
};
use serde_json::{Value, json};

use crate::{
    leak::{full_step, rounds, suspect_json},
    paint::plain,
    query::NOBODY,
    table::cut,
    units::number_of,
};

/// Characters of a name that are kept.
const NAME: usize = 160;

/// Characters of a string's value that are kept.
const TEXT: usize = 240;

/// Steps of a whole way that are kept at either end.
const STEPS: usize = 40;

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The program: `server.js (pid 4711, Node.js 22.23.3)`; empty if nothing is known.
    pub program: &'a str,
    /// The snapshots as they are called, oldest first.
    pub names: &'a [String],
    /// When they were taken, where that is known.
    pub times: &'a [Option<String>],
    /// What leaks; of several snapshots.
    pub verdict: Option<&'a Verdict>,
    /// What there is to see.
    pub portrait: &'a Portrait,
}

/// Text from a heap for a page.
fn text(text: &str, most: usize) -> String {
    plain(&cut(text, most))
}

/// All that the script reads.
pub(super) fn json(page: &Page<'_>) -> Value {
    let Page { portrait, verdict, .. } = page;
    let names: Vec<String> = page.names.iter().map(|name| text(name, NAME)).collect();
    let sittings: Vec<Value> = portrait.sittings.iter().map(sitting).collect();
    let total = portrait.tree.retained_size;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "program": text(page.program, NAME),
        "names": names,
        "times": page.times,
        "sittings": sittings,
        "verdict": verdict.map(verdict_json),
        "growth": portrait.growth.iter().map(|row| {
            json!([text(&row.name, NAME), row.counts, row.count_delta(), row.size_delta(), row.grows_every_time()])
        }).collect::<Vec<_>>(),
        "growth_count": portrait.growth_count,
        "classes": portrait.classes.iter().map(class).collect::<Vec<_>>(),
        "class_count": portrait.class_count,
        "strings": portrait.duplicates.groups.iter().map(|group| {
            json!([text(&group.value, TEXT), group.count, group.self_size, group.retained_size,
                group.self_size - group.self_size / group.count.max(1)])
        }).collect::<Vec<_>>(),
        "string_count": portrait.duplicate_count,
        "wasted": portrait.duplicates.wasted,
        "packages": portrait.packages.iter().map(share).collect::<Vec<_>>(),
        "files": portrait.files.iter().map(share).collect::<Vec<_>>(),
        "suspects": portrait.suspects.findings.iter().map(finding).collect::<Vec<_>>(),
        "suspect_size": portrait.suspects.least,
        "tree_size": total,
        "tree": branch(&portrait.tree),
    })
}

fn sitting(sitting: &Sitting) -> Value {
    let s = &sitting.statistics;
    let parts = [s.code, s.strings, s.js_arrays, s.typed_arrays, s.system];
    let native = s.native_total.saturating_sub(s.typed_arrays);
    let objects = s.v8_heap_total.saturating_sub(s.code + s.strings + s.js_arrays + s.system);
    json!({
        "nodes": sitting.nodes,
        "edges": sitting.edges,
        "total": s.total,
        // In the order of the script's names.
        "parts": [objects, parts[0], parts[1], parts[2], parts[3], native, parts[4]],
    })
}

fn class(row: &ClassRow) -> Value {
    json!([text(&row.name, NAME), row.count, row.self_size, row.retained_size])
}

fn share(row: &Share) -> Value {
    let package = match (&row.package, row.nobody) {
        (Some(package), _) => package.as_str(),
        (None, true) => NOBODY,
        (None, false) => PROGRAM,
    };
    let file = row.file.as_deref().unwrap_or_default();
    json!([text(package, NAME), text(file, NAME), row.count, row.self_size, row.retained_size])
}

fn place(place: &Place, what: &str) -> Value {
    let package = place.package.as_deref().map(|name| text(name, NAME));
    json!({"at": text(&place.to_string(), TEXT), "short": text(&place.short(), NAME), "what": text(what, NAME),
        "package": package})
}

fn story(hops: &[Hop]) -> Vec<String> {
    hops.iter()
        .map(|hop| match hop {
            Hop::Step(step) => text(step, NAME),
            Hop::Library(name, steps) => {
                text(&format!("{} in {name}", number_of(*steps as u64, "step", "steps")), NAME)
            }
        })
        .collect()
}

/// A whole way, without the middle of a very long one.
fn way(steps: &[Step]) -> Vec<String> {
    let shown = |step: &Step| text(&full_step(step), TEXT);
    if steps.len() <= 2 * STEPS {
        return steps.iter().map(shown).collect();
    }
    let left_out = steps.len() - 2 * STEPS;
    let mut out: Vec<String> = steps[..STEPS].iter().map(shown).collect();
    out.push(format!("… {} …", number_of(left_out as u64, "step", "steps")));
    out.extend(steps[steps.len() - STEPS..].iter().map(shown));
    out
}

fn verdict_json(verdict: &Verdict) -> Value {
    let requests: Option<u64> = verdict.rounds.iter().map(|round| round.requests).sum();
    json!({
        "rounds": rounds(verdict),
        "round_count": verdict.rounds.len(),
        "requests": requests,
        "by_id": verdict.by_id,
        "suspects": verdict.suspects.iter().enumerate().map(|(at, one)| suspect(at + 1, one)).collect::<Vec<_>>(),
        "set_aside": verdict.set_aside.iter().map(|aside| {
            json!([text(&aside.title, NAME), aside.counts, aside.size, aside.reason])
        }).collect::<Vec<_>>(),
    })
}

fn suspect(rank: usize, suspect: &Suspect) -> Value {
    let full = suspect_json(rank, suspect);
    let parts: Vec<Value> = suspect
        .parts
        .iter()
        .filter(|part| part.size > 0)
        .take(8)
        .map(|part| json!([text(&part.class, NAME), part.counts.iter().sum::<u64>(), part.size]))
        .collect();
    let allocated = suspect.allocated.as_ref().map(|allocated| {
        let frames = allocated.frames.iter();
        frames.map(|frame| place(&frame.place, &frame.name)).collect::<Vec<_>>()
    });
    json!({
        "rank": rank,
        "title": text(&suspect.title, NAME),
        "kind": suspect.kind.name(),
        "noun": suspect.counted.as_deref().map_or_else(|| suspect.kind.nouns().1.to_owned(), |class| text(class, NAME)),
        "class": text(&suspect.class, NAME),
        "id": suspect.id,
        "holders": suspect.holders,
        "counts": suspect.counts,
        "sizes": suspect.sizes,
        "count_growth": suspect.count_growth(),
        "size_growth": suspect.size_growth(),
        "per_request": full["per_request"],
        "retained": suspect.retained_size,
        "place": suspect.place.as_ref().map(|placed| place(&placed.place, &placed.what)),
        "allocated": allocated,
        "parts": parts,
        "story": story(&suspect.story),
        "way": way(&suspect.way),
        "why": text(&suspect.why, TEXT),
    })
}

fn finding(finding: &Finding) -> Value {
    let parts = finding.parts.iter().take(8);
    let parts: Vec<Value> =
        parts.map(|(class, count, size)| json!([text(class, NAME), count, size])).collect();
    json!({
        "title": text(&finding.title, NAME),
        "kind": finding.kind.name(),
        "class": text(&finding.class, NAME),
        "id": finding.id,
        "count": finding.count,
        "retained": finding.retained_size,
        "place": finding.place.as_ref().map(|placed| place(&placed.place, &placed.what)),
        "parts": parts,
        "story": story(&finding.story),
        "way": way(&finding.way),
        "why": text(&finding.why, TEXT),
    })
}

/// Name, class, object id, how many, retained, shallow, what is not shown, children. The tree is a few dozen levels deep.
fn branch(branch: &Branch) -> Value {
    let children: Vec<Value> = branch.children.iter().map(self::branch).collect();
    json!([
        text(&branch.object.label, 80),
        text(&branch.class, 80),
        branch.object.id,
        branch.count,
        branch.retained_size,
        branch.self_size,
        [branch.more.0, branch.more.1],
        children,
    ])
}
