//! The command line of `leak` and `suspects`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args as ClapArgs;

use super::capture::duration;

/// Name what leaks: what grows in every round, what holds it, and where that is in the code
///
/// With a running program, or one that is started here: warms it up, makes rounds of equal work, takes a snapshot around
/// each, and compares them. With files: snapshots of one process, oldest first, with equal work between each two. What
/// holds something of every round is a leak; what fills, warms up or was under way is set aside, with the reason.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight leak --demo                                             a hunt to look at
  heapsight leak 4711 --load http://localhost:3000/ -n 1000 -c 5    hunt in a running process
  heapsight leak --load http://localhost:3000/ -- node server.js    start it, hunt, end it
  heapsight leak 4711 --during 'k6 run checkout.js'                 rounds of any command
  heapsight leak 4711 --duration 1m                                 rounds of its real work, a minute each
  heapsight leak 4711 --interactive                                 you do each round by hand
  heapsight leak 1.heapsnapshot 2.heapsnapshot 3.heapsnapshot 4.heapsnapshot -n 1000
  heapsight leak series/*.heapsnapshot --full                       the whole way to each holder

Exit code 0 whether something leaks or not, 2 if the question could not be answered.")]
pub(crate) struct Leak {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// Show the whole way to each holder
    #[arg(long)]
    pub(crate) full: bool,
    /// Leaks to print [default: 5 for people, all for programs]
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// Write a report, too: one HTML file with charts and tables
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

/// Snapshots with equal work between them: of a hunt, or taken before.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Rounds {
    /// Snapshots of one process, oldest first; or a target: a process id, HOST:PORT of an inspector, its ws:// URL
    #[arg(value_name = "FILE|TARGET", required_unless_present_any = ["command", "demo"], conflicts_with_all = ["command", "demo"])]
    pub(crate) named: Vec<PathBuf>,
    /// The program to start and to hunt in
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// Hunt in a small web server that comes with heapsight, and leaks
    #[arg(long, conflicts_with_all = ["command", "load", "during", "duration", "interactive"])]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) hunt: Hunt,
    /// Requests of a round [default with --load: 1000]
    #[arg(short = 'n', long, value_name = "N", value_parser = super::whole::<u64>(1, None))]
    pub(crate) requests: Option<u64>,
    /// A sampling profile of the last round: says where what leaks was allocated. A hunt records one itself
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "demo", "load", "during", "duration", "interactive"])]
    pub(crate) profile: Option<PathBuf>,
}

/// How a hunt in a running program goes.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Hunting in a running program")]
pub(crate) struct Hunt {
    #[arg(
        help = "A round is so many requests for this URL (-n, -c); {\u{1b}[0mn} in it becomes the number of the request"
    )]
    #[arg(long, value_name = "URL", conflicts_with_all = ["during", "duration", "interactive"])]
    pub(crate) load: Option<String>,
    /// A round is one run of this shell command
    #[arg(long, value_name = "CMD", conflicts_with_all = ["duration", "interactive"])]
    pub(crate) during: Option<String>,
    /// A round is so long, with the work that the program does anyway
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "interactive")]
    pub(crate) duration: Option<Duration>,
    /// A round is what you do until you press Enter
    #[arg(long)]
    pub(crate) interactive: bool,
    /// Rounds between snapshots
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = super::whole::<u32>(1, Some(20)))]
    pub(crate) rounds: u32,
    /// Rounds before the first snapshot
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::whole::<u32>(0, Some(20)))]
    pub(crate) warm_up: u32,
    /// Connections of --load
    #[arg(short = 'c', long, value_name = "C", default_value_t = 5)]
    pub(crate) connections: usize,
    /// The isolate: main, or the number of a worker thread
    #[arg(long, value_name = "main|N", default_value = "main")]
    pub(crate) thread: String,
    /// Wait for this text in the output of the started program, or until this URL answers
    #[arg(long, value_name = "TEXT|URL")]
    pub(crate) wait_for: Option<String>,
    /// Give up what does not answer for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Do not sample allocations in the last round
    #[arg(long)]
    pub(crate) no_sampling: bool,
    /// Keep the snapshots in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

impl Hunt {
    /// Whether it says what a round is.
    pub(crate) fn has_rounds(&self) -> bool {
        self.load.is_some() || self.during.is_some() || self.duration.is_some() || self.interactive
    }
}

/// What is suspicious in one snapshot: where memory accumulates, and patterns that are known to leak
///
/// Large objects and classes are followed down the dominator tree to the container where memory accumulates. Beside them
/// stand the usual mistakes: thousands of listeners or timers, promises that nobody resolves, equal strings, detached parts
/// of documents, what the console holds. What grows, only several snapshots say: `heapsight leak`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight suspects app.heapsnapshot
  heapsight suspects app.heapsnapshot --share 1       what retains 1 % of the heap or more
  heapsight suspects app.heapsnapshot --full --json

Exit code 1 if there are none.")]
pub(crate) struct Suspects {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Percentage of the heap that makes a suspect
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = super::percent)]
    pub(crate) share: f64,
    /// Show the whole way to each suspect
    #[arg(long)]
    pub(crate) full: bool,
    /// Suspects to print [default: 10 for people, all for programs]
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
}
