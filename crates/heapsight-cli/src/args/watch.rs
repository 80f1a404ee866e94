//! The command line of the flight recorder. Times, sizes and conditions are read by `heapsight-watch`, as in its file.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// The flight recorder: watches processes, captures before it is too late, keeps evidence of their end
///
/// Looks at resident memory, control group and pressure once a second, asks the program for its heap now and then, and keeps
/// a rolling sampling profile outside of it. Rules say when to capture; how often, and how much disk that may take, is
/// limited. What a process starts and what replaces it is followed. Ends with Ctrl-C, and leaves no inspector open.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight watch 4711                                      evidence when it ends, and no captures before
  heapsight watch 4711 --on 'rss > 1.5GiB' --on 'limit in 10m'
  heapsight watch 4711 --on 'heap > 85%' --do snapshot --do 'webhook http://127.0.0.1:8080/hook'
  heapsight watch --all --match server.js --metrics 9464 -o /var/lib/heapsight
  heapsight watch 4711 --on 'rss > 70%' --upload 's3://captures/{host}'
  heapsight watch 4711 --upload 'pyroscope+http://localhost:4040?name=shop&pid={pid}'
  heapsight watch --config /etc/heapsight.toml --check-config

Captures and evidence go to the folder of -o [default: heapsight-watch]. --force captures although it
is predicted to hurt the program. What happens is text, or JSON lines with --json.

Conditions (--on):
  rss > 1.5GiB            also heap, external; heap > 85% is of V8's limit, rss > 80% of the control group's
  rss grows 100MiB/10m    the line through the last 10 minutes rises so much
  limit in 10m            at this rate the limit of the control group or of the heap is reached by then
  cgroup high|max|oom     what memory.events counts
  pressure > 20%          somebody waited for memory for so much of the last ten seconds
  loop-delay > 500ms      the event loop is so late
  end, restart            a process ends (for run and webhook); its program is back
  every 6h                again and again, without a cooldown
  signal                  this watcher gets SIGUSR2
  log FILE /PATTERN/      a line is written that matches

Actions (--do): snapshot, sample [TIME], timeline [TIME], run CMD, webhook URL

Uploads (--upload): the URLs and credentials of `heapsight upload --help`; {host} is the name of
this machine. A capture stays here until its copy is verified.")]
pub(crate) struct Watch {
    /// A process id, or HOST:PORT of an inspector of this machine
    #[arg(value_name = "TARGET", conflicts_with = "all")]
    pub(crate) target: Option<String>,
    /// Watch all V8 programs that may be looked at
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those whose command line has this text
    #[arg(long = "match", value_name = "TEXT")]
    pub(crate) matching: Option<String>,
    /// Do not follow what the process starts and what replaces it: end with it
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Read these settings; flags hold over them
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Say whether the settings are sound and what they mean, and do nothing
    #[arg(long)]
    pub(crate) check_config: bool,
    #[command(flatten)]
    pub(crate) rules: Rules,
    #[command(flatten)]
    pub(crate) looks: Looks,
    /// Bring captures to a store, or push the rolling profile to Pyroscope; may be given several times
    #[arg(long = "upload", value_name = "URL")]
    pub(crate) uploads: Vec<String>,
}

/// When to act, and how often.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "When to do what")]
pub(crate) struct Rules {
    /// When (see below); may be given several times
    #[arg(long = "on", value_name = "CONDITION")]
    pub(crate) on: Vec<String>,
    /// What to do then; several are done in turn [default: snapshot]
    #[arg(long = "do", value_name = "ACTION", requires = "on")]
    pub(crate) actions: Vec<String>,
    /// The time between two actions of a rule [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub(crate) cooldown: Option<String>,
    /// Actions for a program in 24 hours, at most [default: 6]
    #[arg(long, value_name = "N")]
    pub(crate) per_day: Option<u32>,
    /// What all captures in the folder may take; the oldest are removed [default: 5GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk_budget: Option<String>,
}

/// What is looked at, and how often.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "What is looked at")]
pub(crate) struct Looks {
    /// How often the kernel is asked [default: 1s]
    #[arg(long, value_name = "TIME")]
    pub(crate) every: Option<String>,
    /// How often the program is asked for its heap, or never [default: 15s]
    #[arg(long, value_name = "TIME|never")]
    pub(crate) heap_every: Option<String>,
    /// How often the rolling profile is read, or never [default: 30s]
    #[arg(long, value_name = "TIME|never")]
    pub(crate) profile_every: Option<String>,
    /// Leave the inspector alone until something is captured: the same as never for both
    #[arg(long, conflicts_with_all = ["heap_every", "profile_every"])]
    pub(crate) no_inspector: bool,
    /// Bytes between two samples of the profile, on average [default: 512KiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) interval: Option<String>,
    /// How much of the past is kept as evidence and for the prediction [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub(crate) window: Option<String>,
    /// Show the numbers to Prometheus on this port of the loopback interface
    #[arg(long, value_name = "PORT|ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// Give up what does not answer for so long [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
}
