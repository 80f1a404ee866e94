//! `heapsight profile`.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use heapsight_capture::output::Metadata;
use heapsight_profile::{Groups, Problem, Profile, ReadError};
use heapsight_query::code::{Script, Sources, shown};
use heapsight_report::profile as report;

use super::{Forms, write};
use crate::{
    Answer,
    args::profile::{By, Files, Profile as Args, ProfileSort, ProfileTop, Question, Tree, View},
    context::{Context, title},
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    match &args.question {
        Question::Top(args) => top(context, args),
        Question::Tree(args) => tree(context, args),
    }
}

/// What rows stand for, in the words of the report.
fn by(by: By) -> report::By {
    match by {
        By::Function => report::By::Function,
        By::File => report::By::File,
        By::Package => report::By::Package,
    }
}

/// Whether anything was allocated.
fn answer(profile: &Profile) -> Answer {
    if profile.total_size() == 0 { Answer::No } else { Answer::Yes }
}

fn top(context: &Context, args: &ProfileTop) -> Result<Answer, Failure> {
    let profile = merged(&args.input)?;
    let by = by(args.by);
    let groups = match by {
        report::By::Function => Groups::functions(&profile),
        report::By::File => Groups::files(&profile),
        report::By::Package => Groups::by(&profile, |f| report::key_of(by, profile.frame(f))),
    };
    let mut rows = heapsight_profile::top(&profile, &groups);
    match args.sort {
        ProfileSort::Own => {}
        ProfileSort::Total => rows.sort_by_key(|row| std::cmp::Reverse(row.total_size)),
        ProfileSort::Count => rows.sort_by_key(|row| std::cmp::Reverse(row.self_count)),
    }
    // The root is everything and nobody.
    let root = profile.nodes.function.first().copied();
    rows.retain(|row| row.self_size > 0 || Some(row.function) != root);
    let most = context.rows(args.top.top);
    write(
        context,
        Forms {
            json: &|| report::top(&profile, &rows, by, args.top.top),
            text: &|| report::top_text(&profile, &rows, by, most, &named(&args.input.files), context.style()),
            table: Some(&|| report::top_table(&profile, &rows, by, most)),
        },
    )?;
    Ok(answer(&profile))
}

fn tree(context: &Context, args: &Tree) -> Result<Answer, Failure> {
    let profile = merged(&args.input)?;
    let nodes = &profile.nodes;
    let (sizes, counts) = (nodes.totals(&nodes.self_size), nodes.totals(&nodes.self_count));
    let least = (profile.total_size() as f64 * args.min / 100.0).ceil() as u64;
    let lines = heapsight_profile::branches(&profile, &sizes, args.depth, args.top, least);
    let title = named(&args.input.files);
    write(
        context,
        Forms {
            json: &|| report::tree(&profile, &sizes, &lines),
            text: &|| report::tree_text(&profile, &sizes, &counts, &lines, &title, context.style()),
            table: None,
        },
    )?;
    Ok(answer(&profile))
}

/// Files as a heading names them.
fn named(files: &[PathBuf]) -> String {
    match files {
        [one] => title(one),
        more => format!("{} profiles", more.len()),
    }
}

/// One profile of all files.
pub(super) fn merged(input: &Files) -> Result<Profile, Failure> {
    let profile = match input.files.as_slice() {
        [one] => read(one)?,
        more => {
            // One after the other: a thousand of them need not be in memory at once.
            let mut sum = heapsight_profile::Merge::default();
            for path in more {
                sum.add(&read(path)?);
            }
            sum.finish()
        }
    };
    Ok(viewed(profile, input.view, &input.files))
}

/// Reads one file.
pub(super) fn read(path: &Path) -> Result<Profile, Failure> {
    let failed = |error: ReadError| {
        let hint = match &error.problem {
            Problem::Io(e) if e.kind() == io::ErrorKind::IsADirectory => "name a .heapprofile file in it",
            Problem::Truncated(_) | Problem::Empty | Problem::Compressed(_) => {
                "it was cut off while it was written: the process was killed or the disk was full; take it again"
            }
            Problem::Foreign(what) if what.starts_with("a heap snapshot") => {
                "`heapsight summary` reads snapshots, `heapsight allocations` timelines"
            }
            _ => {
                "profiles are .heapprofile files of Node.js, Deno and Chromium, and heap profiles of pprof (.pb.gz)"
            }
        };
        Failure::new(format!("cannot open {}: {error}", title(path)), hint)
    };
    if path == Path::new("-") {
        return heapsight_profile::read(io::stdin().lock()).map_err(failed);
    }
    let file = File::open(path).map_err(|error| {
        Failure::new(
            format!("cannot open {}: {error}", path.display()),
            "check the path; `-` reads standard input",
        )
    })?;
    heapsight_profile::read(file).map_err(failed)
}

/// A profile as it is asked for: through source maps, without internals.
pub(super) fn viewed(mut profile: Profile, view: View, files: &[PathBuf]) -> Profile {
    if !view.no_source_maps {
        let script = |s: heapsight_capture::output::Script| Script {
            id: s.id,
            url: s.url,
            source_map_url: s.source_map_url,
        };
        let side = |path: &PathBuf| Metadata::of(path).ok().flatten();
        let known = files.iter().filter_map(side).flat_map(|side| side.scripts).map(script).collect();
        let functions = 0..profile.functions.len() as u32;
        let sources = Sources::new(functions.map(|function| profile.frame(function).url), known);
        let place = |frame: heapsight_profile::Frame<'_>| {
            let (line, column) = (u32::try_from(frame.line).ok(), u32::try_from(frame.column).ok());
            let original = line.and_then(|line| sources.original(frame.url, line, column.unwrap_or(0)));
            let zero = |n: u32| i32::try_from(n).map_or(heapsight_profile::NO_POSITION, |n| n - 1);
            match original {
                Some(place) => Some((frame.name.to_owned(), place.url, zero(place.line), zero(place.column))),
                None if frame.url.starts_with("file:") => {
                    Some((frame.name.to_owned(), shown(frame.url), frame.line, frame.column))
                }
                None => None,
            }
        };
        if (0..profile.functions.len() as u32).any(|function| place(profile.frame(function)).is_some()) {
            profile = heapsight_profile::rename(&profile, place);
        }
    }
    if view.no_internals {
        let folded: Vec<bool> = (0..profile.functions.len() as u32)
            .map(|function| profile.frame(function).url.starts_with("node:"))
            .collect();
        profile = heapsight_profile::fold(&profile, |function| folded[function as usize]);
    }
    profile
}
