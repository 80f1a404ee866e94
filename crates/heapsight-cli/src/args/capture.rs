//! The command line of the captures: what to capture from, when to end, what to do meanwhile.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::Top;

/// What to capture from.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct From {
    /// A process id, HOST:PORT of an inspector, or its ws:// URL; or a command after `--`, which is started
    #[arg(value_name = "TARGET", required_unless_present = "command", conflicts_with = "command")]
    pub(crate) named: Option<String>,
    /// The program to start and to capture from
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// The isolate: main, the number of a worker thread, or all
    #[arg(long, value_name = "main|N|all", default_value = "main")]
    pub(crate) thread: String,
    /// Wait for this text in the output of the started program, or until this URL answers
    #[arg(long, value_name = "TEXT|URL")]
    pub(crate) wait_for: Option<String>,
    /// Give up what does not answer for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// How long to record, and what to make the target do meanwhile.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "How long, and what to do meanwhile")]
pub(crate) struct Meanwhile {
    /// Record for so long
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["during", "load"])]
    pub(crate) duration: Option<Duration>,
    /// Record while this shell command runs
    #[arg(long, value_name = "CMD", conflicts_with = "load")]
    pub(crate) during: Option<String>,
    #[arg(
        help = "Record while this URL is asked for, and print how long the answers took; {\u{1b}[0mn} in it is the number of the request"
    )]
    #[arg(long, value_name = "URL")]
    pub(crate) load: Option<String>,
    /// Requests of --load
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    pub(crate) requests: u64,
    /// Connections of --load
    #[arg(short = 'c', long, value_name = "C", default_value_t = 5)]
    pub(crate) connections: usize,
}

/// How a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// By a fork where that can be, else over the inspector
    Auto,
    /// A child of the process writes the snapshot: the process stops for milliseconds
    Fork,
    /// V8 writes it in place: the process stops until it is done
    Inspector,
    /// The signal of `node --heapsnapshot-signal`: the process stops until it is done
    Signal,
}

/// Take a heap snapshot of a running process
///
/// A fork snapshot stops the process for milliseconds; over the inspector V8 stops it for some 6 microseconds an object.
/// Before anything is done, what it will cost is estimated, and refused if the process would be killed for it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight snapshot 4711                               Heap.<date>.<time>.4711.0.001.heapsnapshot
  heapsight snapshot 4711 -o before.heapsnapshot.zst    compressed while it is written
  heapsight snapshot 4711 --dry-run                     what it would cost, by which method
  heapsight snapshot localhost:9229 --thread all        every isolate of an open inspector
  heapsight snapshot 4711 --stable-ids --repeat 3 --every 1m
  heapsight snapshot --wait-for 'listening' -- node app.js")]
pub(crate) struct Snapshot {
    #[command(flatten)]
    pub(crate) target: From,
    /// How it is taken
    #[arg(long, value_enum, default_value_t = Method::Auto, value_name = "METHOD")]
    pub(crate) method: Method,
    /// Collect garbage first
    #[arg(long)]
    pub(crate) gc: bool,
    /// Let objects keep their ids from one fork snapshot to the next, so that `diff` can compare them
    #[arg(long)]
    pub(crate) stable_ids: bool,
    /// Take so many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::whole::<u32>(1, None))]
    pub(crate) repeat: u32,
    /// The time between two of them
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "repeat")]
    pub(crate) every: Option<Duration>,
    /// Print what it would cost and by which method, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) meanwhile: Meanwhile,
}

/// Record an allocation timeline: what is allocated, when and where, and what of it stays
///
/// Slows the target some ten times while it records, three times without stacks: for a test machine, not for
/// production. `timeline show` answers from the file.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  heapsight timeline 4711 --duration 30s
  heapsight timeline show app.heaptimeline --from 10s --to 20s
  heapsight timeline 4711 --load http://localhost:3000/ -n 1000 -c 5
  heapsight timeline --wait-for http://localhost:3000/ --during 'ab -n 1000 -c 5 http://localhost:3000/' -- node app.js")]
pub(crate) struct Timeline {
    #[command(subcommand)]
    pub(crate) question: Option<TimelineQuestion>,
    #[command(flatten)]
    pub(crate) target: From,
    #[command(flatten)]
    pub(crate) meanwhile: Meanwhile,
    /// Record when objects were allocated, but not where: costs less
    #[arg(long)]
    pub(crate) no_stacks: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TimelineQuestion {
    Show(TimelineShow),
}

/// Bars over time: what was allocated and what of it is alive; and what is alive of a part of the recording
///
/// The file says of each interval how many objects were allocated, and which of them are alive, with their sizes. A time
/// takes the intervals that end within it, as DevTools' selection does.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight timeline show app.heaptimeline
  heapsight timeline show app.heaptimeline --from 10s --to 20s     what was allocated then and is alive
  heapsight timeline show app.heaptimeline -o bars.svg")]
pub(crate) struct TimelineShow {
    /// Timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show what is alive of what was allocated from this moment of the recording on
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) from: Option<u64>,
    /// Likewise, up to this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) to: Option<u64>,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Record a sampling heap profile: which functions allocate what is alive
///
/// Safe for production: at the default interval the cost cannot be told from noise.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight sample 4711 --duration 30s
  heapsight sample 4711 --load http://localhost:3000/ -n 1000 -c 5
  heapsight sample 4711 --duration 1m --include-collected major,minor    all that was allocated
  heapsight sample 4711 --every 1h --keep 24                            one an hour, for a day")]
pub(crate) struct Sample {
    #[command(flatten)]
    pub(crate) target: From,
    #[command(flatten)]
    pub(crate) meanwhile: Meanwhile,
    /// Bytes between two samples, on average
    #[arg(long, value_name = "SIZE", default_value = "512KiB", value_parser = size)]
    pub(crate) interval: u64,
    /// Frames of a stack that are kept, at most 128
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = super::whole::<u32>(1, Some(128)))]
    pub(crate) depth: u32,
    /// Keep what was collected, too
    #[arg(long, value_enum, value_delimiter = ',', value_name = "major,minor")]
    pub(crate) include_collected: Vec<Collected>,
    /// Write a profile again and again, the sampling going on
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["duration", "during", "load"])]
    pub(crate) every: Option<Duration>,
    /// Keep so many of them, the oldest are removed
    #[arg(long, value_name = "N", requires = "every")]
    pub(crate) keep: Option<usize>,
    /// Take part in a profile that another tool has started, and leave it running
    #[arg(long)]
    pub(crate) share: bool,
}

/// Which collected objects a profile keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Collected {
    /// By full collections
    Major,
    /// By scavenges
    Minor,
}

/// Which functions allocate, live: like `top`, for allocations
///
/// Samples the program as `heapsight sample` does and shows the functions by what they allocate, each second anew, with the
/// spaces of the heap, resident and external memory, and how busy the event loop is. What was allocated is counted with
/// what has been collected since; --live (key l) counts what is alive of it. Nothing is left behind in the program.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight top 4711
  heapsight top 4711 --live
  heapsight top 4711 --once              one table after a second, without a terminal
  heapsight top 4711 -n 60 --json        one object a line, for a minute

Keys: s t r sort by self, total, rate; arrows choose, Enter opens the callers; l live or all; p pause; q quit")]
pub(crate) struct Live {
    #[command(flatten)]
    pub(crate) target: From,
    /// Count what is alive of what was allocated, instead of all
    #[arg(long = "live")]
    pub(crate) alive: bool,
    /// The time between two refreshes
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) every: Duration,
    /// Bytes between two samples, on average
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size)]
    pub(crate) interval: u64,
    /// Order of the functions
    #[arg(long, value_enum, default_value_t = LiveSort::Own, value_name = "COLUMN")]
    pub(crate) sort: LiveSort,
    /// Print one table and end: the same as -n 1
    #[arg(long)]
    pub(crate) once: bool,
    /// Print so many tables, without a terminal, and end
    #[arg(short = 'n', long, value_name = "N", value_parser = super::whole::<u64>(1, None), conflicts_with = "once")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Order of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LiveSort {
    /// Bytes that the function allocated itself
    #[value(name = "self")]
    Own,
    /// Bytes that were allocated while it was on the stack
    Total,
    /// Bytes that it allocated itself since the last refresh
    Rate,
}

/// Why a process takes so much memory: what its resident memory consists of, and a verdict
///
/// Puts together what the kernel says of the process' mappings and what V8 says of its heaps and buffers, workers included.
/// Names the cause: the JS heap, buffers, native memory, or an allocator that gives nothing back.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight rss 4711
  heapsight rss 4711 --no-inspector    from the mappings alone: nothing is sent to the process
  heapsight rss 4711 --json")]
pub(crate) struct Rss {
    #[command(flatten)]
    pub(crate) target: From,
    /// Ask the kernel alone, and leave the inspector closed
    #[arg(long)]
    pub(crate) no_inspector: bool,
}

/// Have a running process write snapshots when it nears its heap limit
///
/// V8 writes them into the working directory of the process just before it would run out of memory.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight arm 4711 --near-limit 2")]
pub(crate) struct Arm {
    #[command(flatten)]
    pub(crate) target: From,
    /// At most so many snapshots
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::whole::<u32>(1, Some(100)))]
    pub(crate) near_limit: u32,
}

/// A time: `500ms`, `30s`, `5m`, `1h`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        unit => return Err(format!("`{unit}` is no unit of time: use ms, s, m, h or d")),
    };
    let seconds =
        text[..digits].parse::<f64>().map_err(|_| "a time looks like 500ms, 30s, 5m or 1h".to_owned())?;
    Duration::try_from_secs_f64(seconds * factor)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a time is more than nothing".to_owned())
}

/// A moment of a recording, in microseconds: a time, or nothing.
fn moment(text: &str) -> Result<u64, String> {
    if text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse() == Ok(0.0) {
        return Ok(0);
    }
    duration(text).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// A size in bytes: `512KiB`, `1MB`, `65536`.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        unit => return Err(format!("`{unit}` is no unit of size: use KiB, MiB, KB or MB")),
    };
    let number =
        text[..digits].parse::<u64>().map_err(|_| "a size looks like 512KiB, 1MB or 65536".to_owned())?;
    number
        .checked_mul(factor)
        .filter(|&size| size > 0)
        .ok_or_else(|| "a size is more than nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for bad in ["", "x", "0s", "5 parsecs", "-1s", "1e400s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!([moment("0s"), moment("0"), moment("1.5s")], [Ok(0), Ok(0), Ok(1_500_000)]);
        assert!(moment("x").is_err());
        assert_eq!(size("512KiB"), Ok(512 << 10));
        assert_eq!(size("1 MB"), Ok(1_000_000));
        for bad in ["", "0", "-1", "5 stone", "99999999999999999999"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
