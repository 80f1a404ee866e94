//! What takes its time: captures, recordings, hunts. Each runs on a thread of its own and tells how far it is.
//!
//! A job that is stopped leaves its target as it was found, and so does a server that ends: it waits for its jobs. So
//! many run at a time.

mod hunt;

use std::{
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use heapsight_capture::{
    CaptureError,
    inspector::SamplingOptions,
    process::methods::Method,
    take::{
        Choice, Event, Meanwhile, Monitor, Output, SampleOptions, SnapshotOptions, Taken, Taker,
        TakerOptions, TimelineOptions,
    },
    target::Target,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{library::Origin, reply::Refusal, server::App};

/// Jobs that run at a time.
const AT_ONCE: usize = 3;

/// Jobs that are remembered.
const REMEMBERED: usize = 500;

/// Points of a live picture; with more, every other goes.
const POINTS: usize = 600;

/// What a page asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    kind: Kind,
    target: String,
    /// Of a snapshot: `fork`, `inspector`; else the best.
    #[serde(default)]
    method: Option<String>,
    /// Do it although it is predicted to hurt the target.
    #[serde(default)]
    force: bool,
    /// Of a recording, and of a round: how long; else until it is stopped.
    #[serde(default)]
    seconds: Option<f64>,
    /// Of a timeline.
    #[serde(default)]
    no_stacks: bool,
    /// Of a sampling profile, in bytes.
    #[serde(default)]
    interval: Option<u64>,
    /// Of a hunt.
    #[serde(default)]
    rounds: Option<u32>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    requests: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Snapshot,
    Timeline,
    Sample,
    Hunt,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Timeline => "timeline",
            Self::Sample => "sample",
            Self::Hunt => "hunt",
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
struct Progress {
    step: String,
    doing: String,
    elapsed: Duration,
    bytes: u64,
    /// Milliseconds, bytes alive and objects alive of a recording.
    points: Vec<(u64, u64, u64)>,
    notes: Vec<String>,
    /// A hunt waits until somebody says that the work is done.
    waits: bool,
    ended: Option<Ended>,
}

#[derive(Clone, Debug)]
enum Ended {
    Done { files: Vec<usize>, more: Value },
    Failed(Refusal),
}

/// A job.
pub(crate) struct Job {
    id: usize,
    kind: Kind,
    target: String,
    progress: Mutex<Progress>,
    /// Counts its changes.
    version: AtomicU64,
    /// Tells that some job has changed.
    changes: Arc<watch::Sender<u64>>,
    stop: AtomicBool,
    next: Mutex<bool>,
    woken: Condvar,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Job {
    pub(crate) fn value(&self) -> Value {
        let p = locked(&self.progress).clone();
        let state = match &p.ended {
            None => "running",
            Some(Ended::Done { .. }) => "done",
            Some(Ended::Failed(_)) => "failed",
        };
        let mut value = json!({"id": self.id, "kind": self.kind.name(), "target": self.target, "state": state,
            "step": p.step, "doing": p.doing, "elapsed_ms": p.elapsed.as_millis() as u64, "bytes": p.bytes,
            "points": p.points, "notes": p.notes, "waits": p.waits, "stopping": self.stop.load(Ordering::Relaxed)});
        match p.ended {
            Some(Ended::Done { files, more }) => {
                value["files"] = files.into();
                value["result"] = more;
            }
            Some(Ended::Failed(refusal)) => {
                value["what"] = refusal.what.into();
                value["hint"] = refusal.hint.into();
            }
            None => {}
        }
        value
    }

    /// Goes up with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        locked(&self.progress).ended.is_some()
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.woken.notify_all();
        self.tell();
    }

    pub(crate) fn go_on(&self) {
        *locked(&self.next) = true;
        self.woken.notify_all();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut locked(&self.progress));
        self.tell();
    }

    fn tell(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
        self.changes.send_modify(|n| *n += 1);
    }

    fn hear(&self, event: Event) {
        self.change(|p| match event {
            Event::Step(text) => p.step = text,
            Event::Doing(text) => text.clone_into(&mut p.doing),
            Event::Progress { elapsed, bytes, live } => {
                (p.elapsed, p.bytes) = (elapsed, bytes);
                let Some(live) = live else { return };
                p.points.push((elapsed.as_millis() as u64, live.bytes, live.objects));
                if p.points.len() > POINTS {
                    let mut at = 0;
                    p.points.retain(|_| {
                        at += 1;
                        at % 2 == 1
                    });
                }
            }
            Event::Note(text) => p.notes.push(text),
            _ => {}
        });
    }

    /// Waits for so long, or until it is stopped.
    fn pause(&self, most: Duration) {
        let until = Instant::now() + most;
        let mut next = locked(&self.next);
        while !self.stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            next = self.woken.wait_timeout(next, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until somebody says that the work is done.
    fn wait_for_next(&self) {
        *locked(&self.next) = false;
        self.change(|p| p.waits = true);
        let mut next = locked(&self.next);
        while !*next && !self.stopped() {
            next = self
                .woken
                .wait_timeout(next, Duration::from_millis(500))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(next);
        self.change(|p| p.waits = false);
    }
}

/// A job, and its thread until somebody waits for it.
type Begun = (Arc<Job>, Option<JoinHandle<()>>);

/// All jobs.
pub(crate) struct Jobs {
    /// Where captures are kept.
    folder: PathBuf,
    list: Mutex<Vec<Begun>>,
    changes: Arc<watch::Sender<u64>>,
}

impl Jobs {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, list: Mutex::default(), changes: Arc::new(watch::Sender::new(0)) }
    }

    /// Hears that some job has changed.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    pub(crate) fn list(&self) -> Vec<Arc<Job>> {
        locked(&self.list).iter().map(|(job, _)| Arc::clone(job)).collect()
    }

    pub(crate) fn get(&self, id: usize) -> Result<Arc<Job>, Refusal> {
        let found = locked(&self.list).get(id).map(|(job, _)| Arc::clone(job));
        found.ok_or_else(|| Refusal::missing(format!("there is no job {id}")))
    }

    /// Begins a job.
    pub(crate) fn begin(&self, app: &Arc<App>, wanted: Wanted) -> Result<Arc<Job>, Refusal> {
        let target = Target::parse(&wanted.target)?;
        let mut list = locked(&self.list);
        let running = list.iter().filter(|(job, _)| !job.has_ended()).count();
        if running >= AT_ONCE || list.len() >= REMEMBERED {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("{running} jobs are running already"))
                .hint("stop one of them, or wait"));
        }
        let job = Arc::new(Job {
            id: list.len(),
            kind: wanted.kind,
            target: wanted.target.clone(),
            progress: Mutex::default(),
            version: AtomicU64::new(1),
            changes: Arc::clone(&self.changes),
            stop: AtomicBool::new(false),
            next: Mutex::new(false),
            woken: Condvar::new(),
        });
        let (app, mine, folder) = (Arc::clone(app), Arc::clone(&job), self.folder.clone());
        let thread = std::thread::Builder::new().name("job".to_owned()).spawn(move || {
            let _busy = app.activity.request();
            let ended = match run(&app, &mine, target, &wanted, folder) {
                Ok((files, more)) => Ended::Done { files, more },
                Err(refusal) => Ended::Failed(refusal),
            };
            mine.change(|p| p.ended = Some(ended));
        });
        let thread =
            thread.map_err(|error| Refusal::failed(format!("there can be no more threads: {error}")))?;
        list.push((Arc::clone(&job), Some(thread)));
        Ok(job)
    }

    /// Stops all jobs and waits until their targets are as they were found.
    pub(crate) fn end(&self) {
        for job in self.list() {
            job.stop();
        }
        let threads: Vec<JoinHandle<()>> =
            locked(&self.list).iter_mut().filter_map(|(_, thread)| thread.take()).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn run(
    app: &Arc<App>,
    job: &Arc<Job>,
    target: Target,
    wanted: &Wanted,
    folder: PathBuf,
) -> Result<(Vec<usize>, Value), Refusal> {
    let mut taker = Taker::new(target, TakerOptions::default())?;
    let hear = |event: Event| job.hear(event);
    let monitor = Monitor { event: &hear, stop: &job.stop };
    if wanted.kind == Kind::Hunt {
        return hunt::hunt(app, job, taker, wanted, &monitor);
    }
    let output = Output { path: Some(folder), force: false, ..Output::default() };
    let duration = wanted.seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
    let taken = match wanted.kind {
        Kind::Timeline => {
            let options = TimelineOptions { thread: 0, no_stacks: wanted.no_stacks, output };
            taker.timeline(&options, None, &monitor, &mut Meanwhile::time(duration))
        }
        Kind::Sample => {
            let mut sampling = SamplingOptions::default();
            sampling.interval = wanted.interval.unwrap_or(sampling.interval).max(1);
            taker.sampler(&SampleOptions { thread: 0, sampling }).and_then(|sampler| {
                sampler.record(&output, None, None, &monitor, &mut Meanwhile::time(duration))
            })
        }
        Kind::Snapshot | Kind::Hunt => {
            let method = match wanted.method.as_deref() {
                None | Some("" | "auto") => Choice::Auto,
                Some("fork") => Choice::Only(Method::Fork),
                Some("inspector") => Choice::Only(Method::Inspector),
                Some(other) => return Err(Refusal::bad(format!("`{other}` is no method"))),
            };
            let options =
                SnapshotOptions { method, force: wanted.force, output, ..SnapshotOptions::default() };
            taker.snapshot(&options, None, &monitor)
        }
    };
    let taken = taken.map_err(|error| explained(&taker, error))?;
    let id = keep(app, &taken)?;
    let closed = taker.close();
    if let Err(error) = closed {
        job.hear(Event::Note(error.to_string()));
    }
    let more = json!({"path": taken.written.path.as_ref().map(|path| path.display().to_string()),
        "pause_ms": taken.pause.map(|pause| pause.as_secs_f64() * 1e3), "bytes": taken.written.stored_bytes,
        "method": taken.metadata.capture.method});
    Ok((vec![id], more))
}

/// A failure in the light of what became of the process.
fn explained(taker: &Taker, error: CaptureError) -> Refusal {
    let gone =
        taker.process().is_some_and(|process| heapsight_capture::process::look(process.status.pid).is_err());
    let mut refusal = Refusal::from(error);
    if gone {
        refusal.what = format!("the process has ended: {}", refusal.what);
        refusal.hint = Some("start it again and take it from the list".to_owned());
    }
    refusal
}

/// Makes a capture known as a file.
fn keep(app: &Arc<App>, taken: &Taken) -> Result<usize, Refusal> {
    let path = taken.written.path.as_ref().ok_or_else(|| Refusal::failed("the capture has no file"))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(app.library.add(path, &name, Origin::Captured)?.id)
}
