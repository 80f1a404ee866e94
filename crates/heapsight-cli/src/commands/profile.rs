//! `heapsight profile`.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use heapsight_capture::output::Metadata;
use heapsight_profile::{Groups, Merge as Sum, Part, Problem, Profile, ReadError};
use heapsight_query::code::{Script, Sources, package_of, shown};
use heapsight_report::{
    flame::{self as report_flame, Picture},
    paint::plain,
    profile as report, units,
};
use rayon::prelude::*;
use serde_json::json;

use super::{Forms, convert, named_output, pattern, say_written, write};
use crate::{
    Answer,
    args::profile::{
        By, Callers, Files, Filter, Flame, Merge, Profile as Args, ProfileDiff, ProfileSort, ProfileTop,
        Question, Tree, View,
    },
    context::{Context, title},
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    match &args.question {
        Question::Top(args) => top(context, args),
        Question::Tree(args) => tree(context, args),
        Question::Callers(args) => callers(context, args),
        Question::Flame(args) => flame(context, args),
        Question::Diff(args) => diff(context, args),
        Question::Merge(args) => merge(context, args),
        Question::Filter(args) => filter(context, args),
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
    let profile = merged(context, &args.input)?;
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
    let profile = merged(context, &args.input)?;
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

fn callers(context: &Context, args: &Callers) -> Result<Answer, Failure> {
    let wanted = pattern(args.function.as_deref())?;
    let profile = merged(context, &args.input)?;
    let mut allocates = vec![false; profile.functions.len()];
    for (&function, &size) in profile.nodes.function.iter().zip(&profile.nodes.self_size) {
        allocates[function as usize] |= size > 0;
    }
    let fits = |function: u32| match &wanted {
        Some(pattern) => pattern.is_match(profile.frame(function).name),
        None => allocates[function as usize],
    };
    let tree = heapsight_profile::callers(&profile, fits, args.depth);
    let title = named(&args.input.files);
    write(
        context,
        Forms {
            json: &|| report::callers(&profile, &tree, args.top),
            text: &|| report::callers_text(&profile, &tree, args.top, &title, context.style()),
            table: None,
        },
    )?;
    Ok(if tree.is_empty() { Answer::No } else { Answer::Yes })
}

/// The narrowest frame of an image, as a part of its width: a tenth of a pixel of 1,200.
const IMAGE_SHARE: f64 = 0.1 / 1200.0;

/// The most frames of an image, each an element; and of a page, each a few numbers.
const MOST_FRAMES: (usize, usize) = (20_000, 200_000);

fn flame(context: &Context, args: &Flame) -> Result<Answer, Failure> {
    let extension = context.output_path().and_then(Path::extension).map(std::ffi::OsStr::to_ascii_lowercase);
    let is_page = match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("svg") => false,
        Some("html" | "htm") => true,
        _ => {
            return Err(Failure::new(
                "a flame graph is an image or a page, and the name of the output says which",
                "name it: -o flame.svg or -o flame.html",
            ));
        }
    };
    let file = named_output(context)?.unwrap_or_default();
    let mut output = context.output()?;
    let profile = merged(context, &args.input)?;
    let bounds = heapsight_profile::Bounds {
        // A page can be zoomed into what is narrower at first.
        share: if is_page { IMAGE_SHARE / 100.0 } else { IMAGE_SHARE },
        levels: args.depth,
        frames: if is_page { MOST_FRAMES.1 } else { MOST_FRAMES.0 },
    };
    let title = named(&args.input.files);
    let comparison;
    let picture = if let Some(old) = &args.diff {
        let before = viewed(read(context, old)?, args.input.view, std::slice::from_ref(old));
        comparison = heapsight_profile::compare(&before, &profile);
        let title = format!("Allocations of {title} against {}", self::title(old));
        Picture::difference(&comparison, &title, bounds)
    } else {
        Picture::new(&profile, &format!("Allocations of {title}"), bounds)
    };
    let text = if is_page { report_flame::html(&picture) } else { report_flame::svg(&picture) };
    output.write_all(text.as_bytes())?;
    output.finish()?;
    let (frames, narrow, deep) = picture.frames();
    say_written(
        context,
        &|| {
            json!({"file": file, "frames": frames, "narrow_frames": narrow, "deep_frames": deep,
                "total_size": picture.total()})
        },
        &|| {
            let frames = units::number_of(frames, "frame", "frames");
            let rest = picture.left_out().map(|text| format!("; {text}")).unwrap_or_default();
            format!("wrote {file}: {frames}{rest}\n")
        },
    )?;
    Ok(answer(&profile))
}

fn diff(context: &Context, args: &ProfileDiff) -> Result<Answer, Failure> {
    let mut profiles = Vec::with_capacity(args.files.len());
    for path in &args.files {
        profiles.push(viewed(read(context, path)?, args.view, std::slice::from_ref(path)));
    }
    let by = by(args.by);
    let most = context.rows(args.top.top);
    if let ([before, after], [one, other]) = (profiles.as_slice(), args.files.as_slice()) {
        let mut rows = heapsight_profile::differences(before, after, |frame| report::key_of(by, frame));
        rows.retain(|row| row.self_size != (0, 0));
        let (one, other) = (title(one), title(other));
        let titles = [one.as_str(), other.as_str()];
        write(
            context,
            Forms {
                json: &|| report::changes(&rows, by, args.top.top),
                text: &|| report::changes_text(&rows, by, most, titles, context.style()),
                table: Some(&|| report::changes_table(&rows, by, most)),
            },
        )?;
        return Ok(if rows.is_empty() { Answer::No } else { Answer::Yes });
    }
    let mut rows = heapsight_profile::series(&profiles, |frame| report::key_of(by, frame));
    rows.retain(|row| row.self_sizes.iter().any(|&size| size > 0));
    write(
        context,
        Forms {
            json: &|| report::trends(&rows, by, args.top.top),
            text: &|| report::trends_text(&rows, by, most, profiles.len(), context.style()),
            table: Some(&|| report::trends_table(&rows, by, most)),
        },
    )?;
    Ok(if rows.is_empty() { Answer::No } else { Answer::Yes })
}

fn merge(context: &Context, args: &Merge) -> Result<Answer, Failure> {
    let file = named_output(context)?;
    let output = context.output()?;
    let profile = merged(context, &args.input)?;
    convert::write(&profile, convert::Format::of(context.output_path()), "merged", output)?;
    if let Some(file) = file {
        let profiles = args.input.files.len() as u64;
        say_written(
            context,
            &|| {
                let mut value = report::written(&profile, &file);
                value["profiles"] = profiles.into();
                value
            },
            &|| {
                let profiles = units::number_of(profiles, "profile", "profiles");
                format!("wrote {file}: {profiles}, {}", report::summary(&profile))
            },
        )?;
    }
    Ok(answer(&profile))
}

fn filter(context: &Context, args: &Filter) -> Result<Answer, Failure> {
    let (function, file) = (pattern(args.function.as_deref())?, pattern(args.file.as_deref())?);
    let written = named_output(context)?;
    let output = context.output()?;
    let profile = merged(context, &args.input)?;
    let fits = |number| {
        let frame = profile.frame(number);
        function.as_ref().is_none_or(|p| p.is_match(frame.name))
            && file.as_ref().is_none_or(|p| p.is_match(frame.url))
            && args.package.as_ref().is_none_or(|name| package_of(frame.url).as_ref() == Some(name))
    };
    let taken = heapsight_profile::filter(&profile, fits, args.without);
    convert::write(&taken, convert::Format::of(context.output_path()), "filtered", output)?;
    if let Some(file) = written {
        say_written(
            context,
            &|| {
                let mut value = report::written(&taken, &file);
                value["size_before"] = profile.total_size().into();
                value
            },
            &|| {
                let all = profile.total_size();
                let part = units::percent(taken.total_size(), all);
                let summary = report::summary(&taken);
                format!("wrote {file}: {part} of {}: {summary}", units::estimate(all, Some(0.05)))
            },
        )?;
    }
    Ok(answer(&taken))
}

/// Files as a heading names them.
fn named(files: &[PathBuf]) -> String {
    match files {
        [one] => title(one),
        more => format!("{} profiles", more.len()),
    }
}

/// Files of which one core makes one sum.
const FILES_TOGETHER: usize = 32;

/// One profile of all files.
pub(super) fn merged(context: &Context, input: &Files) -> Result<Profile, Failure> {
    let profile = match input.files.as_slice() {
        [one] => read(context, one)?,
        more => {
            // On all cores, each run of files into a sum of its own; the runs do not depend on the number of cores, and
            // are added in order.
            let run = |files: &[PathBuf]| {
                let mut sum = Sum::default();
                for path in files {
                    sum.add(&read(context, path)?);
                }
                Ok::<_, Failure>(sum)
            };
            let sums: Vec<_> = more.par_chunks(FILES_TOGETHER).map(run).collect();
            let mut sum = Sum::default();
            for part in sums {
                sum.add_sum(&part?);
            }
            sum.finish()
        }
    };
    Ok(viewed(profile, input.view, &input.files))
}

/// Reads one file.
pub(super) fn read(context: &Context, path: &Path) -> Result<Profile, Failure> {
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
                "profiles are .heapprofile files, heap profiles of pprof (.pb.gz), speedscope files of bytes, and collapsed stacks"
            }
        };
        Failure::new(format!("cannot open {}: {error}", title(path)), hint)
    };
    if path == Path::new("-") {
        let profile = heapsight_profile::read(io::stdin().lock()).map_err(failed)?;
        note_part(context, path, &profile);
        return Ok(profile);
    }
    let file = File::open(path).map_err(|error| {
        Failure::new(
            format!("cannot open {}: {error}", path.display()),
            "check the path; `-` reads standard input",
        )
    })?;
    let mut profile = heapsight_profile::read(file).map_err(failed)?;
    note_part(context, path, &profile);
    // The side file of a capture knows how it was sampled.
    let packed = path.extension().is_some_and(|extension| extension == "gz" || extension == "zst");
    let side = Metadata::of(path).ok().flatten().map(|side| side.capture);
    let its = side.filter(|side| packed || fs::metadata(path).is_ok_and(|file| file.len() == side.bytes));
    if let Some(sampled) = its.and_then(|side| side.sampling) {
        profile.interval = profile.interval.or(Some(sampled.interval));
        profile.has_collected = sampled.collected;
    }
    Ok(profile)
}

/// Says which profile was read of a file that has several.
fn note_part(context: &Context, path: &Path, profile: &Profile) {
    if let Some(Part { name, number, of }) = &profile.part {
        let (file, name) = (title(path), plain(name));
        context.note(&format!("{file} has {of} profiles; this is number {number}, the active one: {name}"));
    }
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
