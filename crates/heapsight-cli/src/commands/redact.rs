//! `heapsight redact`.

use std::{
    fs::{File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use heapsight_capture::output::Metadata as Side;
use heapsight_query::{OpenError, Source};
use heapsight_redact::{Expected, Key, Outcome, Replaced, Strays, StreamError, Survey};
use heapsight_report::units;
use heapsight_snapshot::{Compression, Problem, ReadError, ReadOptions, Snapshot};
use regex::Regex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Forms,
    packed::{Counted, Packed},
    profile, write,
};
use crate::{
    Answer,
    args::{Format, share::Redact as Args},
    context::{Context, title},
    failure::Failure,
    output::Output,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let keep = args.keep.as_deref().map(Regex::new).transpose().map_err(|e| super::bad_pattern(&e))?;
    match (&args.input, &args.out, &args.verify, &args.against) {
        (Some(input), Some(out), ..) => redact(context, input, out, keep.as_ref()),
        (_, _, Some(file), Some(original)) => verify(context, file, original, keep.as_ref()),
        _ => Err(Failure::new("there is no file to write", "heapsight redact IN OUT")),
    }
}

fn redact(context: &Context, input: &Path, out: &Path, keep: Option<&Regex>) -> Result<Answer, Failure> {
    if context.output_path().is_some() {
        return Err(Failure::new("-o does not apply here", "name the output after the input: redact IN OUT"));
    }
    if !matches!(context.format(), Format::Text | Format::Json) {
        return Err(Failure::new("this answer is no table: it has no CSV or Markdown form", "use --json"));
    }
    // What cannot be written is said before a large file is read.
    if out != Path::new("-") {
        Output::check(out, context.force())?;
    }
    let key = Key::random().map_err(|e| Failure::plain(format!("the system has no random numbers: {e}")))?;
    if let Some(stamp) = can_be_read_again(input) {
        match surveyed(context, input, keep) {
            Ok(Some(survey)) => return stream(context, input, out, (survey, stamp), (&key, keep)),
            // What is not as usual is held.
            Ok(None) => {}
            Err(error) if is_profile(&error.1) => return redact_profile(context, input, out, &key),
            Err((source, error)) => return Err(Failure::open(&source, &error)),
        }
    }
    hold(context, input, out, (&key, keep))
}

/// Length and time of the last change of a file.
type Stamp = (u64, Option<SystemTime>);

/// Whether a file gives the same text as often as it is asked, and not much slower than the first time; what tells that it
/// has changed.
fn can_be_read_again(input: &Path) -> Option<Stamp> {
    // What is no file is not even opened: a pipe would be waited for.
    let stamp = (input != Path::new("-")).then(|| stamp(input))??;
    let mut head = Vec::new();
    File::open(input).and_then(|file| file.take(4).read_to_end(&mut head)).ok()?;
    (Compression::detect(&head) != Compression::Gzip).then_some(stamp)
}

fn stamp(file: &Path) -> Option<Stamp> {
    let meta = file.metadata().ok().filter(Metadata::is_file)?;
    Some((meta.len(), meta.modified().ok()))
}

fn is_profile(error: &OpenError) -> bool {
    matches!(error, OpenError::Read(ReadError { problem: Problem::OtherFormat(what), .. }) if what.contains(".heapprofile"))
}

/// What has to be known before the file is written; `None` if it is to be held for that.
fn surveyed(
    context: &Context,
    input: &Path,
    keep: Option<&Regex>,
) -> Result<Option<Survey>, (Source, OpenError)> {
    let mut survey = context.read(input, |source, options| Survey::first(source, options, keep))?;
    if !survey.is_usual() {
        return Ok(None);
    }
    context.read(input, |source, options| survey.second(source, options))?;
    if survey.needs_third() {
        context.read(input, |source, options| survey.third(source, options))?;
    }
    Ok(survey.is_usual().then_some(survey))
}

/// Writes the new file while the old one is read once more.
fn stream(
    context: &Context,
    input: &Path,
    out: &Path,
    (survey, before): (Survey, Stamp),
    (key, keep): (&Key, Option<&Regex>),
) -> Result<Answer, Failure> {
    context.note_damage(input, survey.warnings());
    let counts = survey.counts();
    let mut output = Packed::open(context, out)?;
    let mut counted = Counted::new(context, out, &mut output, survey.text_bytes());
    let written = context.phase("write", || {
        let file = File::open(input)
            .map_err(|error| Failure::open(&Source::Path(input.to_owned()), &OpenError::Io(error)))?;
        let options = ReadOptions { threads: context.workers(), ..ReadOptions::default() };
        let replaced = survey.write(file, options, &mut counted, (key, keep));
        // Texts would be taken for names.
        let changed = stamp(input) != Some(before);
        replaced.and_then(|replaced| if changed { Err(StreamError::Changed) } else { Ok(replaced) }).map_err(
            |error| match error {
                StreamError::Read(error) => {
                    Failure::open(&Source::Path(input.to_owned()), &OpenError::Read(error))
                }
                StreamError::Write(error) => error.into(),
                other => Failure::new(
                    format!("cannot redact {}: {other}", title(input)),
                    "try again when nobody writes to it",
                ),
            },
        )
    });
    let bytes = counted.bytes;
    drop(counted);
    let replaced = written?;
    context.phase("finish", || output.finish())?;
    let side = carry_side_file(context, input, out, counts, bytes)?;
    say(context, out, bytes, &replaced, side.as_deref(), keep)?;
    Ok(Answer::Yes)
}

/// Holds the snapshot.
fn hold(
    context: &Context,
    input: &Path,
    out: &Path,
    (key, keep): (&Key, Option<&Regex>),
) -> Result<Answer, Failure> {
    let mut snapshot = match context.read(input, snapshot) {
        Ok(snapshot) => snapshot,
        Err((_, error)) if is_profile(&error) && input != Path::new("-") => {
            return redact_profile(context, input, out, key);
        }
        Err((source, error)) => return Err(Failure::open(&source, &error)),
    };
    context.note_damage(input, &snapshot.warnings);
    let replaced = context
        .phase("redact", || heapsight_redact::redact(&mut snapshot, key, keep))
        .map_err(|e| Failure::plain(format!("cannot redact {}: {e}", title(input))))?;
    let mut output = Packed::open(context, out)?;
    let mut counted = Counted::new(context, out, &mut output, snapshot.text_bytes);
    context.phase("write", || heapsight_snapshot::write(&snapshot, &mut counted, context.workers()))?;
    let bytes = counted.bytes;
    drop(counted);
    context.phase("finish", || output.finish())?;
    let counts = (snapshot.node_count() as u64, snapshot.edge_count() as u64);
    let side = carry_side_file(context, input, out, counts, bytes)?;
    say(context, out, bytes, &replaced, side.as_deref(), keep)?;
    Ok(Answer::Yes)
}

/// A sampling profile has names alone; what is data among them goes.
fn redact_profile(context: &Context, input: &Path, out: &Path, key: &Key) -> Result<Answer, Failure> {
    let mut read = profile::read(context, input)?;
    let replaced = heapsight_redact::redact_profile(&mut read, key);
    let mut output = Packed::open(context, out)?;
    let mut counted = Counted::new(context, out, &mut output, 0);
    heapsight_profile::inspector(&read, &mut counted)?;
    let bytes = counted.bytes;
    drop(counted);
    output.finish()?;
    say(context, out, bytes, &replaced, None, None)?;
    Ok(Answer::Yes)
}

/// Writes the side file of the new file, if the old one has one: places stay, and what it says of the machine is made
/// unknowable but stays equal where it was equal, so that two captures of one process can still be compared by id.
fn carry_side_file(
    context: &Context,
    input: &Path,
    out: &Path,
    (nodes, edges): (u64, u64),
    bytes: u64,
) -> Result<Option<PathBuf>, Failure> {
    let stream = Path::new("-");
    if input == stream || out == stream {
        return Ok(None);
    }
    let Some(mut side) = Side::of(input)? else { return Ok(None) };
    if !side.belongs_to(nodes, edges) {
        return Ok(None);
    }
    side.capture.bytes = bytes;
    side.process.thread_name = None;
    if let Some(space) = &mut side.id_space {
        let digest = Sha256::digest(space.boot_id.as_bytes());
        space.boot_id = digest.iter().take(16).fold(String::new(), |id, byte| id + &format!("{byte:02x}"));
    }
    for script in &mut side.scripts {
        script.url = heapsight_redact::redact_place(&script.url);
        script.source_map_url = script.source_map_url.as_deref().map(heapsight_redact::redact_place);
    }
    Ok(Some(side.write(out, context.force())?))
}

fn say(
    context: &Context,
    out: &Path,
    bytes: u64,
    replaced: &Replaced,
    side: Option<&Path>,
    keep: Option<&Regex>,
) -> Result<(), Failure> {
    let to_stdout = out == Path::new("-");
    let value = || {
        json!({
            "file": (!to_stdout).then_some(out),
            "side_file": side,
            "bytes": bytes,
            "texts_replaced": replaced.texts,
            "texts_kept": replaced.kept,
            "names_kept": replaced.names,
            "names_replaced": replaced.keys,
            "names_replaced_in_part": replaced.parts,
        })
    };
    let text = || {
        let count = units::count;
        let parts = match replaced.parts {
            0 => String::new(),
            parts => format!(" and parts of {} others", count(parts)),
        };
        let mut text = format!(
            "wrote {}\n  {} texts replaced, {} names kept, {} property names{parts} replaced\n",
            if to_stdout { "standard output".to_owned() } else { out.display().to_string() },
            count(replaced.texts),
            count(replaced.names),
            count(replaced.keys),
        );
        if replaced.kept > 0 {
            let kept = units::number_of(replaced.kept, "text", "texts");
            text.push_str(&format!("  {kept} kept as --keep says\n"));
        }
        if let Some(side) = side {
            text.push_str(&format!("  with its side file {}\n", side.display()));
        }
        // A profile has no texts that could be looked for.
        if !to_stdout && replaced.texts > 0 {
            let keep = keep.map_or_else(String::new, |keep| format!(" --keep '{keep}'"));
            let out = out.display();
            text.push_str(&format!(
                "  prove it: heapsight redact --verify {out} --against the original{keep}\n"
            ));
        }
        text
    };
    if to_stdout {
        // The file itself is on standard output.
        context.note(text().trim_end());
        return Ok(());
    }
    super::say_written(context, &value, &text)
}

fn verify(context: &Context, file: &Path, original: &Path, keep: Option<&Regex>) -> Result<Answer, Failure> {
    if [file, original].contains(&Path::new("-")) {
        return Err(Failure::new("files are compared, and standard input is none", "name the files"));
    }
    let opened = |(source, error): (Source, OpenError)| Failure::open(&source, &error);
    let expected = {
        let snapshot = context.read(original, snapshot).map_err(opened)?;
        Expected::of(&snapshot, keep)
    };
    let strays = context
        .read(file, |source, options| Ok(Strays::of(heapsight_snapshot::unpacked(source, options)?)))
        .map_err(opened)?
        .map_err(|e| Failure::plain(format!("cannot read {}: {e}", title(file))))?;
    let snapshot = context.read(file, snapshot).map_err(opened)?;
    let outcome = expected.compare(&strays, &snapshot);
    write(
        context,
        Forms {
            json: &|| outcome_json(file, original, &outcome),
            text: &|| outcome_text(file, original, &outcome),
            table: None,
        },
    )?;
    Ok(if outcome.is_clean() { Answer::Yes } else { Answer::No })
}

fn outcome_json(file: &Path, original: &Path, outcome: &Outcome) -> Value {
    let leaks =
        outcome.first.iter().map(|leak| json!({"place": leak.place, "why": leak.why, "shown": leak.shown}));
    json!({
        "file": file,
        "against": original,
        "clean": outcome.is_clean(),
        "leaks": outcome.leaks,
        "first_leaks": leaks.collect::<Vec<_>>(),
        "same_graph": outcome.same_graph,
        "strings": outcome.strings,
        "texts_looked_for": outcome.texts,
        "texts_that_are_names": outcome.also_names,
    })
}

fn outcome_text(file: &Path, original: &Path, outcome: &Outcome) -> String {
    let count = units::count;
    let mut text = String::new();
    let (file, original) = (file.display(), original.display());
    if outcome.leaks == 0 {
        text.push_str(&format!("{file} has no text of {original}\n"));
    } else {
        let leaks = units::number_of(outcome.leaks, "thing", "things");
        text.push_str(&format!("{file} is NOT clean: {leaks} in it should not be there\n"));
        for leak in &outcome.first {
            text.push_str(&format!("  {}: {} {}\n", leak.place, leak.shown, leak.why));
        }
        let more = outcome.leaks.saturating_sub(outcome.first.len() as u64);
        if more > 0 {
            text.push_str(&format!("  … and {} more\n", count(more)));
        }
    }
    text.push_str(&format!(
        "  {} strings are markers or names; {} texts of four and more characters were looked for\n",
        count(outcome.strings.saturating_sub(outcome.leaks)),
        count(outcome.texts),
    ));
    if outcome.also_names > 0 {
        text.push_str(&format!(
            "  {} texts are names of the program as well, and stay as such\n",
            count(outcome.also_names)
        ));
    }
    text.push_str(if outcome.same_graph {
        "  objects, references, ids and sizes are the same\n"
    } else {
        "  objects, references, ids or sizes are NOT the same: it was not made from this file\n"
    });
    text
}

/// Reads a snapshot. For options of any lifetime, which the generic function by itself is not.
fn snapshot(source: Box<dyn Read + Send>, options: ReadOptions<'_>) -> Result<Snapshot, ReadError> {
    heapsight_snapshot::read(source, options)
}
