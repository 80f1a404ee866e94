//! One file a command: from arguments to an answer on the output.

mod allocations;
mod arm;
mod capture;
mod check;
mod convert;
mod demo;
mod diff;
mod dominators;
mod examine;
mod export;
mod hunt;
mod leak;
mod mcp;
mod open;
mod packages;
mod packed;
mod profile;
mod ps;
mod query;
mod redact;
mod repair;
mod report;
mod retainers;
mod rss;
mod sample;
mod scan;
mod search;
mod show;
mod snapshot;
mod stats;
mod strings;
mod summary;
mod suspects;
mod timeline;
mod top;
mod tui;
mod upload;
mod validate;
mod watch;

use std::io::Write;

use heapsight_analysis::Heap;
use heapsight_query::{
    language::{self, Query},
    selector,
};
use heapsight_report::table::Table;
use regex::Regex;
use serde_json::Value;

use crate::{
    Answer,
    args::{Args, Command, Format},
    context::Context,
    failure::Failure,
};

/// Runs a command.
pub(crate) fn run(args: Args) -> Result<Answer, Failure> {
    let context = Context::new(args.global);
    let answer = match args.command {
        Command::Leak(args) => leak::run(&context, &args),
        Command::Check(args) => check::run(&context, &args),
        Command::Report(args) => report::run(&context, &args),
        Command::Suspects(args) => suspects::run(&context, &args),
        Command::Summary(args) => summary::run(&context, &args),
        Command::Diff(mut args) => {
            let files = context.without_side_files(&args.files);
            if files.len() > 1 {
                args.files = files;
            }
            diff::run(&context, &args)
        }
        Command::Show(args) => show::run(&context, &args),
        Command::Retainers(args) => retainers::run(&context, &args),
        Command::Dominators(args) => dominators::run(&context, &args),
        Command::Stats(args) => stats::run(&context, &args),
        Command::Strings(args) => strings::run(&context, &args),
        Command::Allocations(args) => allocations::run(&context, &args),
        Command::Search(args) => search::run(&context, &args),
        Command::Packages(args) => packages::run(&context, &args),
        Command::Query(args) => query::run(&context, &args),
        Command::Mcp(args) => mcp::run(&context, &args),
        Command::Open(args) => open::run(&context, args),
        Command::Profile(args) => profile::run(&context, &args),
        Command::Convert(args) => convert::run(&context, &args),
        Command::Export(args) => export::run(&context, &args),
        Command::Validate(args) => validate::run(&context, &args),
        Command::Redact(args) => redact::run(&context, &args),
        Command::Scan(args) => scan::run(&context, &args),
        Command::Repair(args) => repair::run(&context, &args),
        Command::Ps(args) => ps::run(&context, &args),
        Command::Snapshot(args) => snapshot::run(&context, &args),
        Command::Timeline(args) => timeline::run(&context, &args),
        Command::Sample(args) => sample::run(&context, &args),
        Command::Top(args) => top::run(&context, &args),
        Command::Tui(mut args) => {
            args.files = context.without_side_files(&args.files);
            tui::run(&context, &args)
        }
        Command::Rss(args) => rss::run(&context, &args),
        Command::Arm(args) => arm::run(&context, &args),
        Command::Watch(args) => watch::run(&context, args),
        Command::Upload(args) => upload::run(&context, &args),
    };
    context.print_timings();
    answer
}

/// An answer in all its forms; only the one that is asked for is made.
#[derive(Clone, Copy)]
struct Forms<'a> {
    json: &'a dyn Fn() -> Value,
    text: &'a dyn Fn() -> String,
    /// `None` for what is no table.
    table: Option<&'a dyn Fn() -> Table>,
}

/// Writes an answer in the form that was asked for.
fn write(context: &Context, forms: Forms<'_>) -> Result<(), Failure> {
    // The form is checked before a file is made.
    let text = match (context.format(), forms.table) {
        (Format::Text, _) => (forms.text)(),
        (Format::Json, _) => {
            let mut text = serde_json::to_string_pretty(&(forms.json)())?;
            text.push('\n');
            text
        }
        (Format::Csv, Some(table)) => table().csv(),
        (Format::Markdown, Some(table)) => table().markdown(),
        (Format::Csv | Format::Markdown, None) => {
            return Err(Failure::new(
                "this answer is no table: it has no CSV or Markdown form",
                "use --json or --format text",
            ));
        }
    };
    let mut output = context.output()?;
    output.write_all(text.as_bytes())?;
    output.finish()
}

/// The file that `-o` names, for answers that are about it; refuses forms that then have no place.
fn named_output(context: &Context) -> Result<Option<String>, Failure> {
    let file = context.output_path().filter(|path| *path != std::path::Path::new("-"));
    match (context.format(), file) {
        (Format::Text | Format::Json, Some(file)) => Ok(Some(file.display().to_string())),
        (Format::Text, None) => Ok(None),
        (Format::Json, None) => Err(Failure::new(
            "JSON about a file has no place beside the file itself on standard output",
            "name the file: -o FILE",
        )),
        (Format::Csv | Format::Markdown, _) => Err(Failure::new(
            "this answer is no table: it has no CSV or Markdown form",
            "use --json or --format text",
        )),
    }
}

/// Says on standard output what was written to the file of [`named_output`].
fn say_written(
    context: &Context,
    json: &dyn Fn() -> Value,
    text: &dyn Fn() -> String,
) -> Result<(), Failure> {
    let text =
        if context.format() == Format::Json { serde_json::to_string_pretty(&json())? + "\n" } else { text() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// A pattern of the command line.
fn pattern(text: Option<&str>) -> Result<Option<Regex>, Failure> {
    text.map(selector::pattern).transpose().map_err(|e| bad_pattern(&e))
}

/// A query of the command line, or what is wrong with it, drawn below it.
fn parsed_query(text: &str) -> Result<Query, Failure> {
    language::parse(text).map_err(|error| {
        let what = format!("the query is wrong: {error}\n{}", error.picture(text));
        Failure::new(what, error.hint.unwrap_or_else(|| "`heapsight query --help` has examples".to_owned()))
    })
}

fn bad_pattern(error: &regex::Error) -> Failure {
    // The library draws a picture of the place; the last line says what is wrong.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Failure::new(
        format!("the pattern is no regular expression: {reason}"),
        "text without slashes is taken as it is",
    )
}

/// The object that `@ID` (or a bare number) names.
fn object(heap: &Heap, text: &str) -> Result<u32, Failure> {
    let id: Option<u64> = text.strip_prefix('@').unwrap_or(text).parse().ok();
    let Some(id) = id else {
        return Err(Failure::new(
            format!("`{text}` is not an object id"),
            "ids look like @4711; `heapsight summary FILE --instances CLASS` lists them",
        ));
    };
    heap.find_id(id).ok_or_else(|| {
        Failure::new(
            format!("the snapshot has no object @{id}"),
            "ids hold within one process only; `heapsight summary FILE --instances CLASS` lists them",
        )
    })
}

/// The classes that a text names; none is an error that proposes some.
fn classes(heap: &Heap, text: &str) -> Result<Vec<u32>, Failure> {
    let found = selector::classes_named(heap, text).map_err(|e| bad_pattern(&e))?;
    if found.is_empty() {
        return Err(Failure::new(
            format!("the snapshot has no class `{text}`"),
            "`heapsight summary FILE --class PART` finds classes by a part of their name",
        ));
    }
    Ok(found)
}
