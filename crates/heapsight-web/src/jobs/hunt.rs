//! A hunt for leaks: rounds of equal work with a snapshot around each, and the verdict on them.
//!
//! A round is so many requests to a URL, a time, or whatever is done until somebody says that it is done.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use heapsight_analysis::Heap;
use heapsight_capture::{
    inspector::SamplingOptions,
    load::http::{self, Load},
    output::Metadata,
    take::{Choice, Event, Monitor, Output, SampleOptions, SnapshotOptions, Taker},
};
use heapsight_query::{
    compare::IdCheck,
    leak::{self, Round, Sampled, Stack, StackFrame},
};
use heapsight_report::leak::{self as report, Subject};
use serde_json::Value;

use super::{Job, Wanted, explained, keep};
use crate::{api, reply::Refusal, server::App};

/// Rounds at least and at most.
const ROUNDS: std::ops::RangeInclusive<u32> = 1..=20;

/// Bytes between two samples of the last round.
const SAMPLING: u64 = 4 << 10;

/// What is under way when a round ends has so long to end.
const SETTLE: Duration = Duration::from_millis(400);

/// How long a URL may take to answer for the first time.
const READY: Duration = Duration::from_secs(30);

pub(super) fn hunt(
    app: &Arc<App>,
    job: &Arc<Job>,
    mut taker: Taker,
    wanted: &Wanted,
    monitor: &Monitor<'_>,
) -> Result<(Vec<usize>, Value), Refusal> {
    let rounds = wanted.rounds.unwrap_or(3).clamp(*ROUNDS.start(), *ROUNDS.end());
    let mut work = Work { job, wanted, asked: 0 };
    let mut taken = Vec::new();
    let mut files = Vec::new();
    let mut done = Vec::new();
    // The first requests fill caches; only a load can be warmed up without asking anybody to.
    if wanted.url.is_some() {
        work.round("warm-up")?;
    }
    let mut sampling = false;
    let options = SampleOptions {
        thread: 0,
        sampling: SamplingOptions { interval: SAMPLING, ..SamplingOptions::default() },
    };
    for turn in 0..=rounds {
        if turn > 0 {
            if turn == rounds {
                sampling = taker.begin_sampling(&options).is_ok();
            }
            let begun = Instant::now();
            let requests = work.round(&format!("round {turn} of {rounds}"))?;
            done.push(Round { requests, seconds: Some(begun.elapsed().as_secs_f64()) });
        }
        job.pause(SETTLE);
        work.go_on()?;
        job.hear(Event::Step(format!("snapshot {} of {}", turn + 1, rounds + 1)));
        let name = format!("round-{turn}.heapsnapshot");
        let path = app.dropped.next_path(&name).map_err(|error| Refusal::failed(error.to_string()))?;
        let how = SnapshotOptions {
            method: Choice::Auto,
            stable_ids: true,
            output: Output { path: Some(path.clone()), force: true, ..Output::default() },
            ..SnapshotOptions::default()
        };
        let snapshot = taker.snapshot(&how, None, monitor).map_err(|error| explained(&taker, error))?;
        files.push(keep(app, &snapshot)?);
        taken.push(path);
    }
    let profile = if sampling { profile(app, &mut taker, monitor) } else { None };
    let program = taker.process().map(|process| process.command.join(" ")).unwrap_or_default();
    if let Err(error) = taker.close() {
        job.hear(Event::Note(error.to_string()));
    }
    job.hear(Event::Step("looking for what grows in every round".to_owned()));
    let value = verdict(app, &taken, &done, profile.as_deref(), program)?;
    Ok((files, value))
}

/// What was sampled in the last round. A hunt does without where that fails.
fn profile(app: &Arc<App>, taker: &mut Taker, monitor: &Monitor<'_>) -> Option<PathBuf> {
    let path = app.dropped.next_path("last-round.heapprofile").ok()?;
    let output = Output { path: Some(path), force: true, ..Output::default() };
    match taker.end_sampling(0, &output) {
        Ok(taken) => taken.written.path,
        Err(error) => {
            (monitor.event)(Event::Note(format!("allocations of the last round are not known: {error}")));
            None
        }
    }
}

fn verdict(
    app: &Arc<App>,
    files: &[PathBuf],
    rounds: &[Round],
    profile: Option<&std::path::Path>,
    program: String,
) -> Result<Value, Refusal> {
    let mut heaps: Vec<Heap> = Vec::with_capacity(files.len());
    let mut code = heapsight_query::code::Code::none();
    for path in files {
        let (heap, known) = app.library.read_apart(path)?;
        heaps.push(heap);
        code = known;
    }
    let sides: Vec<Option<Metadata>> = files.iter().map(|path| Metadata::of(path).ok().flatten()).collect();
    let by_id = sides.windows(2).zip(heaps.windows(2)).all(|(sides, heaps)| match sides {
        [Some(old), Some(new)] => old.ids_comparable(new),
        _ => IdCheck::new(&heaps[0], &heaps[1]).comparable(),
    });
    let sampled = profile.and_then(sampled).unwrap_or_default();
    let verdict = leak::leak_sampled(&heaps, rounds, &code, by_id, &sampled);
    let mut value = report::json(&verdict, &Subject { program, full: true, folder: None });
    if let Some(list) = value["suspects"].as_array_mut() {
        for (suspect, found) in list.iter_mut().zip(&verdict.suspects) {
            suspect["story"] = found.story.iter().map(api::hop).collect();
        }
    }
    Ok(value)
}

fn sampled(path: &std::path::Path) -> Option<Sampled> {
    let file = std::fs::File::open(path).ok()?;
    let profile = heapsight_profile::read(std::io::BufReader::new(file)).ok()?;
    let number = |n: i32| u32::try_from(n).unwrap_or(0);
    let frame = |frame: heapsight_profile::Frame<'_>| StackFrame {
        name: frame.name.to_owned(),
        url: frame.url.to_owned(),
        line: number(frame.line),
        column: number(frame.column),
    };
    let nodes = 0..profile.nodes.len();
    let stacks = nodes.filter(|&node| profile.nodes.self_size[node] > 0).map(|node| Stack {
        frames: profile.stack(node as u32).map(frame).collect(),
        size: profile.nodes.self_size[node],
        count: profile.nodes.self_count[node],
    });
    Some(Sampled::new(stacks.collect(), Vec::new()))
}

struct Work<'a> {
    job: &'a Arc<Job>,
    wanted: &'a Wanted,
    /// Requests of all rounds so far.
    asked: u64,
}

impl Work<'_> {
    /// One round. Gives its requests, if they are known.
    fn round(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        self.go_on()?;
        let say = |text: String| self.job.hear(Event::Step(text));
        if let Some(url) = &self.wanted.url {
            let requests = self.wanted.requests.unwrap_or(1000).clamp(1, 10_000_000);
            let mut options = http::Options::new(url.clone());
            options.requests = Some(requests);
            options.connections = 5;
            options.ready_within = READY;
            options.first = self.asked + 1;
            let report =
                Load::start(&options, &self.job.stop)?.wait(&self.job.stop, |progress: &http::Progress| {
                    say(format!("{name}: {} of {requests} requests", progress.requests));
                });
            self.asked += report.requests;
            self.go_on()?;
            if report.failed * 2 > report.requests {
                let why = report.failures.iter().max_by_key(|(_, count)| **count);
                let why = why.map(|(why, _)| format!(": {why}")).unwrap_or_default();
                return Err(Refusal::failed(format!(
                    "{} of {} requests for {url} failed{why}",
                    report.failed, report.requests
                ))
                .hint("a round of failures is no work: check the URL"));
            }
            return Ok(Some(report.requests));
        }
        if let Some(time) = self.wanted.seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
            say(format!("{name}: {} s", time.as_secs()));
            self.job.pause(time);
        } else {
            say(format!("{name}: do the same as in every round"));
            self.job.wait_for_next();
        }
        self.go_on()?;
        Ok(None)
    }

    fn go_on(&self) -> Result<(), Refusal> {
        if self.job.stopped() { Err(Refusal::failed("the hunt was called off")) } else { Ok(()) }
    }
}
