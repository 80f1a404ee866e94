//! A hunt for leaks in a running program: rounds of equal work, with a snapshot around each.

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind,
    inspector::SamplingOptions,
    load::{
        command::{During, Exit, Pass},
        http::{self, Load},
    },
    take::{Choice, Event, Monitor, Output, SampleOptions, SnapshotOptions},
};
use heapsight_query::leak::Round;
use heapsight_report::units;
use tempfile::TempDir;

use super::capture::{self, Subject};
use crate::{
    args::{
        capture::From,
        leak::{Hunt as Args, Rounds},
    },
    context::Context,
    failure::Failure,
};

/// Requests of a round if the user does not say.
const REQUESTS: u64 = 1000;

/// Bytes between two samples of the last round: most of what some hundred requests leave behind is seen.
const SAMPLING: u64 = 4 << 10;

/// The same where the work is that of real users, who should not wait.
const SAMPLING_OF_USERS: u64 = 32 << 10;

/// What is under way when a round ends has so long to end: answers, sockets, timers of a moment.
const SETTLE: Duration = Duration::from_millis(400);

/// Snapshots of a running program, with rounds of work between them.
pub(super) struct Hunted {
    /// Oldest first.
    pub(super) files: Vec<PathBuf>,
    /// The work between each two.
    pub(super) rounds: Vec<Round>,
    /// What was sampled in the last round.
    pub(super) profile: Option<PathBuf>,
    /// Goes with the snapshots, unless they are kept.
    _folder: Option<TempDir>,
}

/// Hunts in a target, or in a program that is started for it.
pub(super) fn hunt(context: &Context, args: &Rounds) -> Result<Hunted, Failure> {
    let stop = capture::stop_on_signals()?;
    let how = &args.hunt;
    if !how.has_rounds() {
        return Err(Failure::new(
            "nothing says what a round of work is",
            "--load URL makes requests, --during CMD runs a command, --duration 1m waits, --interactive waits for you",
        ));
    }
    let from = From {
        named: args.named.first().map(|target| target.to_string_lossy().into_owned()),
        command: args.command.clone(),
        thread: how.thread.clone(),
        wait_for: how.wait_for.clone(),
        timeout: how.timeout,
    };
    let thread = capture::thread(&from)?;
    let (path, folder) = folder(how.keep.as_deref())?;
    let work = Work { context, args: how, requests: args.requests, thread, stop: &stop, asked: Cell::new(0) };
    let mut subject = capture::subject(context, &from, capture::Makes::Answer, &stop)?;
    let found = capture::watched(context, &stop, |monitor| work.go(&mut subject, &path, monitor))
        .map_err(|failure| subject.explained(failure))?;
    subject.taker.close()?;
    if folder.is_none() {
        context.warn_of_secrets();
    }
    Ok(Hunted { _folder: folder, ..found })
}

/// Where the snapshots go.
fn folder(keep: Option<&Path>) -> Result<(PathBuf, Option<TempDir>), Failure> {
    let cannot = |path: &Path, error: &io::Error| {
        Failure::new(
            format!("cannot make {}: {error}", path.display()),
            "the snapshots of a hunt need a folder: name another with --keep, or by TMPDIR",
        )
    };
    if let Some(path) = keep {
        fs::create_dir_all(path).map_err(|error| cannot(path, &error))?;
        return Ok((path.to_owned(), None));
    }
    let folder = tempfile::Builder::new().prefix("heapsight-").tempdir();
    let folder = folder.map_err(|error| cannot(&std::env::temp_dir(), &error))?;
    Ok((folder.path().to_owned(), Some(folder)))
}

/// The hunt goes on without saying where things are allocated.
fn not_sampled(error: &CaptureError, monitor: &Monitor<'_>) {
    (monitor.event)(Event::Note(format!("allocations of the last round are not known: {error}")));
}

struct Work<'a> {
    context: &'a Context,
    args: &'a Args,
    requests: Option<u64>,
    thread: u32,
    stop: &'a AtomicBool,
    /// Requests of all rounds so far.
    asked: Cell<u64>,
}

impl Work<'_> {
    fn go(&self, subject: &mut Subject, folder: &Path, monitor: &Monitor<'_>) -> Result<Hunted, Failure> {
        for turn in 1..=self.args.warm_up {
            self.round(&format!("warm-up {turn} of {}", self.args.warm_up), monitor)?;
        }
        let mut files = vec![self.snapshot(subject, folder, 0, monitor)?];
        let mut rounds = Vec::new();
        let mut sampling = false;
        for turn in 1..=self.args.rounds {
            if turn == self.args.rounds && !self.args.no_sampling {
                sampling = self.begin_sampling(subject, monitor);
            }
            let begun = Instant::now();
            let requests = self.round(&format!("round {turn} of {}", self.args.rounds), monitor)?;
            rounds.push(Round { requests, seconds: Some(begun.elapsed().as_secs_f64()) });
            files.push(self.snapshot(subject, folder, turn, monitor)?);
        }
        // Only now: V8 collects garbage when it ends a profile, and the last snapshot is to be like the others.
        let profile = if sampling { self.end_sampling(subject, folder, monitor) } else { None };
        Ok(Hunted { files, rounds, profile, _folder: None })
    }

    /// Whether allocations are sampled from now on. A hunt does without where they cannot be.
    fn begin_sampling(&self, subject: &mut Subject, monitor: &Monitor<'_>) -> bool {
        let interval = if self.args.duration.is_some() { SAMPLING_OF_USERS } else { SAMPLING };
        let options = SampleOptions {
            thread: self.thread,
            sampling: SamplingOptions { interval, ..SamplingOptions::default() },
        };
        let begun = subject.taker.begin_sampling(&options);
        if let Err(error) = &begun {
            not_sampled(error, monitor);
        }
        begun.is_ok()
    }

    fn end_sampling(&self, subject: &mut Subject, folder: &Path, monitor: &Monitor<'_>) -> Option<PathBuf> {
        let output =
            Output { path: Some(folder.join("last-round.heapprofile")), force: true, ..Output::default() };
        match subject.taker.end_sampling(self.thread, &output) {
            Ok(taken) => taken.written.path,
            Err(error) => {
                not_sampled(&error, monitor);
                None
            }
        }
    }

    fn snapshot(
        &self,
        subject: &mut Subject,
        folder: &Path,
        turn: u32,
        monitor: &Monitor<'_>,
    ) -> Result<PathBuf, Failure> {
        capture::pause(SETTLE, self.stop);
        self.go_on()?;
        let options = SnapshotOptions {
            method: Choice::Auto,
            thread: self.thread,
            gc: false,
            stable_ids: true,
            force: false,
            output: Output {
                path: Some(folder.join(format!("round-{turn}.heapsnapshot"))),
                force: true,
                ..Output::default()
            },
        };
        let taken = subject.taker.snapshot(&options, None, monitor)?;
        taken.written.path.ok_or_else(|| Failure::plain("the snapshot has no file"))
    }

    /// One round of work. Gives its requests, if they are known.
    fn round(&self, name: &str, monitor: &Monitor<'_>) -> Result<Option<u64>, Failure> {
        self.go_on()?;
        let say = |text: String| (monitor.event)(Event::Step(text));
        if let Some(url) = &self.args.load {
            let wanted = self.requests.unwrap_or(REQUESTS);
            return self.load(url, wanted, &mut |progress| {
                say(format!(
                    "{name}: {} of {} requests",
                    units::count(progress.requests),
                    units::count(wanted)
                ));
            });
        }
        if let Some(command) = &self.args.during {
            say(format!("{name}: {command}"));
            self.command(command)?;
        } else if let Some(duration) = self.args.duration {
            say(format!("{name}, {}", capture::time(duration)));
            capture::pause(duration, self.stop);
        } else {
            (monitor.event)(Event::Note(format!("{name}: do the same as in every round, then press Enter")));
            let read = io::stdin().read_line(&mut String::new());
            if !read.is_ok_and(|bytes| bytes > 0) {
                return Err(Failure::new(
                    "standard input has ended before the last round",
                    "an interactive hunt needs a terminal; --during CMD and --duration TIME do without",
                ));
            }
        }
        self.go_on()?;
        Ok(self.requests)
    }

    fn load(
        &self,
        url: &str,
        requests: u64,
        progress: &mut dyn FnMut(&http::Progress),
    ) -> Result<Option<u64>, Failure> {
        let (connections, timeout) = (self.args.connections, self.args.timeout);
        let mut options = capture::load_options(self.context, url, requests, connections, timeout)?;
        options.first = self.asked.get() + 1;
        let report = Load::start(&options, self.stop)?.wait(self.stop, progress);
        self.asked.set(options.first + report.requests);
        self.go_on()?;
        if report.failed * 2 > report.requests {
            let why = report.failures.iter().max_by_key(|(_, count)| **count);
            let why = why.map(|(why, _)| format!(": {why}")).unwrap_or_default();
            return Err(Failure::new(
                format!("{} of {} requests for {url} failed{why}", report.failed, report.requests),
                "a round of failures is no work: check the URL, or use --during with a load tool that signs in",
            ));
        }
        Ok(Some(report.requests))
    }

    fn command(&self, command: &str) -> Result<(), Failure> {
        let mut during = During::start(command, Pass::Stderr, Pass::Inherit)?;
        let exit = during.wait(None, self.stop);
        let exit: Exit = exit.unwrap_or_else(|| during.end());
        self.go_on()?;
        if !exit.success() {
            return Err(Failure::new(
                format!("the command of --during failed: `{command}` ended with {exit}"),
                "a round that fails is no work: run the command by itself first",
            ));
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(CaptureError::new(Kind::Interrupted, "the hunt was called off", "").into());
        }
        Ok(())
    }
}
