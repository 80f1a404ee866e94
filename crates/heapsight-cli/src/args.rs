//! The command line. Doc comments are the help.

pub(crate) mod capture;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod leak;
pub(crate) mod open;
pub(crate) mod profile;
pub(crate) mod report;
pub(crate) mod share;
pub(crate) mod tui;
pub(crate) mod upload;
pub(crate) mod watch;

use std::{fmt::Display, path::PathBuf, str::FromStr};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Captures the heaps of Node.js and other V8 programs, and explains where their memory goes.
///
/// Reads heap snapshots (.heapsnapshot) and allocation timelines (.heaptimeline) of Node.js, Deno, Bun and Chromium,
/// plain or compressed (.gz, .zst), from a path or from standard input (`-`). The numbers are those of Chrome DevTools.
#[derive(Debug, Parser)]
#[command(
    name = "heapsight",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Examples:
  heapsight ps                                    the programs that can be captured
  heapsight snapshot 4711 -o app.heapsnapshot     a heap snapshot of a running process
  heapsight summary app.heapsnapshot              which classes hold the memory
  heapsight diff before.heapsnapshot after.heapsnapshot
  heapsight retainers app.heapsnapshot Session    how the objects of a class are kept alive
  heapsight show app.heapsnapshot @4711           one object: fields, holders, dominators

Exit codes: 0 done, 1 nothing found or the check failed, 2 error or wrong usage."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print JSON: a stable schema, sizes as integers in bytes
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write the answer in another form
    #[arg(long, global = true, value_enum, value_name = "FORM", conflicts_with = "json")]
    pub(crate) format: Option<Format>,
    /// Write the answer to a file instead of standard output (`-`)
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the output file
    #[arg(long, global = true)]
    pub(crate) force: bool,
    /// Neither use nor leave an index of the snapshot
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,
    /// Colour the output
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub(crate) color: When,
    /// No progress and no notes
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print on standard error how long each phase took
    #[arg(long, global = true)]
    pub(crate) timings: bool,
    /// Threads to use; 0 is one for each core
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub(crate) threads: usize,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people
    Text,
    /// The same as --json
    Json,
    /// Comma-separated values with raw numbers
    Csv,
    /// A Markdown table
    Markdown,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Leak(leak::Leak),
    Check(check::Check),
    Report(report::Report),
    Suspects(leak::Suspects),
    Summary(Summary),
    Diff(Diff),
    Show(Show),
    Retainers(Retainers),
    Dominators(Dominators),
    Stats(Stats),
    Strings(Strings),
    Allocations(Allocations),
    Search(Search),
    Packages(explain::Packages),
    Query(explain::Query),
    Mcp(explain::Mcp),
    Open(open::Open),
    Profile(profile::Profile),
    Convert(profile::Convert),
    Export(Export),
    Validate(Validate),
    Redact(share::Redact),
    Scan(share::Scan),
    Repair(share::Repair),
    Ps(Ps),
    Snapshot(capture::Snapshot),
    Timeline(capture::Timeline),
    Sample(capture::Sample),
    Top(capture::Live),
    Tui(tui::Tui),
    Rss(capture::Rss),
    Arm(capture::Arm),
    Watch(watch::Watch),
    Upload(upload::Upload),
}

/// How many rows.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Top {
    /// Rows to print [default: 30 for people, all for programs]
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
}

/// The classes of a snapshot: objects, shallow and retained size, as DevTools' Summary
///
/// The table has one row a class (constructor). Shallow size is what the objects take themselves, with the backing stores
/// that only they use; retained size is what would be freed with all of them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight summary app.heapsnapshot
  heapsight summary app.heapsnapshot --sort count --top 10
  heapsight summary app.heapsnapshot --class '/^(Map|Set)$/'
  heapsight summary app.heapsnapshot --filter duplicated-strings
  heapsight summary app.heapsnapshot --instances Session
  zstd -dc app.heapsnapshot.zst | heapsight summary - --json

Filters:
  detached             kept alive by detached DOM nodes alone
  contexts             kept alive by function contexts alone
  console              kept alive by the DevTools console alone
  event-handlers       kept alive by event handlers alone
  duplicated-strings   strings that occur more than once
  shared-context       reached from several native contexts
  no-context           reached from no native context
  context:@ID          belonging to the native context @ID
  ids:MIN..MAX         ids above MIN up to MAX: allocated between two snapshots")]
pub(crate) struct Summary {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Order of the rows
    #[arg(long, value_enum, default_value_t = Sort::Retained, value_name = "COLUMN")]
    pub(crate) sort: Sort,
    /// Only classes whose name contains this text, in any case; `/.../` is a regular expression
    #[arg(long, value_name = "PATTERN")]
    pub(crate) class: Option<String>,
    /// Only objects that pass a filter (see below)
    #[arg(long, value_name = "NAME")]
    pub(crate) filter: Option<String>,
    /// List the objects of a class instead, largest first: by key or name, else of all classes whose name matches
    #[arg(long, value_name = "CLASS")]
    pub(crate) instances: Option<String>,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Retained size
    Retained,
    /// Shallow size
    Shallow,
    /// Number of objects
    Count,
    /// Distance from the roots
    Distance,
    /// Name
    Name,
}

/// What was added and what went between snapshots of one process
///
/// Two snapshots are compared by object id, as DevTools' Comparison does. Of three and more the classes are counted in
/// each, and those that grow every time come first.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight diff before.heapsnapshot after.heapsnapshot
  heapsight diff 1.heapsnapshot 2.heapsnapshot 3.heapsnapshot     which classes grow every time
  heapsight diff before.heapsnapshot after.heapsnapshot --objects Session
  heapsight diff other-process.heapsnapshot app.heapsnapshot --by-class")]
pub(crate) struct Diff {
    /// Snapshots, oldest first
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub(crate) files: Vec<PathBuf>,
    /// Only classes whose name contains this text, in any case; `/.../` is a regular expression
    #[arg(long, value_name = "PATTERN")]
    pub(crate) class: Option<String>,
    /// List the objects of a class that were added and that went
    #[arg(long, value_name = "CLASS", conflicts_with = "by_class")]
    pub(crate) objects: Option<String>,
    /// Compare counts of classes by name instead of object ids: for snapshots of different processes
    #[arg(long)]
    pub(crate) by_class: bool,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// One object: its fields with values, who holds it, what dominates it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight show app.heapsnapshot @4711
  heapsight show app.heapsnapshot @4711 --weak --json")]
pub(crate) struct Show {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Object id as DevTools shows it: `@4711`
    #[arg(value_name = "@ID")]
    pub(crate) object: String,
    /// Show weak holders and the root's too
    #[arg(long)]
    pub(crate) weak: bool,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// How an object, or the objects of a class, are kept alive: shortest paths from the roots
///
/// For an object, paths that differ in the last holder, shortest first. For a class, its objects grouped by the way they
/// are held. Weak references hold nothing and are left out; the value of a WeakMap entry is shown with its key and table.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight retainers app.heapsnapshot @4711
  heapsight retainers app.heapsnapshot Session --top 3
  heapsight retainers app.heapsnapshot @4711 --ignore @99     as if @99 did not hold anything")]
pub(crate) struct Retainers {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// An object (`@4711`) or a class
    #[arg(value_name = "@ID|CLASS")]
    pub(crate) target: String,
    /// Show weak holders and the root's too (of an object)
    #[arg(long)]
    pub(crate) weak: bool,
    /// Find paths that do not lead through this object; may be given several times
    #[arg(long, value_name = "@ID")]
    pub(crate) ignore: Vec<String>,
    /// Paths (of a class: ways of being held) to print
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) top: usize,
}

/// The dominator tree: which objects keep which memory alive
///
/// An object dominates another if every path from the roots to the other leads through it: freeing it frees the other.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight dominators app.heapsnapshot
  heapsight dominators app.heapsnapshot @4711 --depth 5
  heapsight dominators app.heapsnapshot --by-class")]
pub(crate) struct Dominators {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Start below this object instead of the root
    #[arg(value_name = "@ID")]
    pub(crate) object: Option<String>,
    /// Levels to print, at most 64
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = whole::<u8>(1, Some(64)))]
    pub(crate) depth: u8,
    /// Children of each object to print
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) top: usize,
    /// Leave out what retains less than this part of what the start retains, in percent
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT", value_parser = percent)]
    pub(crate) min: f64,
    /// Put children of one class together
    #[arg(long)]
    pub(crate) by_class: bool,
}

/// Where the bytes are: code, strings, arrays, native memory; and by native context
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight stats app.heapsnapshot
  heapsight stats app.heapsnapshot --json     with all variables that keep memory for nothing")]
pub(crate) struct Stats {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The largest strings, and strings that the heap holds more than once
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight strings app.heapsnapshot
  heapsight strings app.heapsnapshot --duplicates
  heapsight strings app.heapsnapshot --pattern '/^[0-9a-f]{40}$/'")]
pub(crate) struct Strings {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Group equal strings, by what they retain
    #[arg(long)]
    pub(crate) duplicates: bool,
    /// Only strings that contain this text, in any case; `/.../` is a regular expression
    #[arg(long, value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Who allocated: functions by bytes allocated and bytes alive, of an allocation timeline
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight allocations app.heaptimeline
  heapsight allocations app.heaptimeline --callers 5     who called the function of row 5
  heapsight allocations app.heaptimeline --intervals     what is alive of each interval")]
pub(crate) struct Allocations {
    /// Timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show the callers of a function: the number of its row, or its name
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) callers: Option<String>,
    /// Show the intervals of the recording
    #[arg(long, conflicts_with = "callers")]
    pub(crate) intervals: bool,
    /// Order of the rows
    #[arg(long, value_enum, default_value_t = AllocationSort::Size, value_name = "COLUMN")]
    pub(crate) sort: AllocationSort,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Order of the rows of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AllocationSort {
    /// Bytes allocated
    Size,
    /// Objects allocated
    Count,
    /// Bytes alive
    LiveSize,
    /// Objects alive
    LiveCount,
}

/// Objects by name, as DevTools' search
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight search app.heapsnapshot session
  heapsight search app.heapsnapshot '/^Bearer /'")]
pub(crate) struct Search {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Text that the name contains, in any case; `/.../` is a regular expression
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: String,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// The whole graph as comma-separated values
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight export app.heapsnapshot --nodes nodes.csv --edges edges.csv
  heapsight export app.heapsnapshot --nodes - | head

Columns:
  nodes   id,type,name,class,self_size,retained_size,distance,dominator_id,detachedness
  edges   from_id,type,name,to_id")]
pub(crate) struct Export {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write one row a node to this file (`-` is standard output)
    #[arg(long, value_name = "OUT.csv", required_unless_present = "edges")]
    pub(crate) nodes: Option<PathBuf>,
    /// Write one row an edge to this file (`-` is standard output)
    #[arg(long, value_name = "OUT.csv")]
    pub(crate) edges: Option<PathBuf>,
}

/// Whether a snapshot is sound, and what is wrong with it
///
/// Exit code 0 if it is sound, 1 if it can be read but is damaged, 2 if it cannot be read.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight validate app.heapsnapshot && echo sound
  heapsight validate app.heapsnapshot --json     each kind of damage, and how often")]
pub(crate) struct Validate {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The V8 processes of this machine: what they are, how large, and how each can be captured
///
/// Processes are known by their executable, not by their name, and are only looked at: nothing is sent to them. The heap
/// is what is resident of it, all isolates together. With a process id, each method of capture with the reason why it
/// would work or not, and what it would cost.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight ps
  heapsight ps 4711              which ways of capturing would work, why, and what they would cost
  sudo heapsight ps --json       of all users, with all that is known

Exit code 1 if there are none, or if no method would work for the one that is named.")]
pub(crate) struct Ps {
    /// Only this process, in detail
    #[arg(value_name = "PID", value_parser = whole::<u32>(1, None))]
    pub(crate) pid: Option<u32>,
}

/// A whole number, not below and not above these.
pub(crate) fn whole<T>(
    least: T,
    most: Option<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.trim().parse::<T>().ok();
        number.filter(|n| *n >= least && most.is_none_or(|most| *n <= most)).ok_or_else(|| match most {
            Some(most) => format!("give a whole number from {least} to {most}"),
            None => format!("give a whole number, {least} or more"),
        })
    }
}

/// A number from 0 to 100.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err("it must be from 0 to 100".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}
