//! Looks, captures, writes and tells; what for and when is the [`Recorder`]'s.
//!
//! One thread looks at the kernel's numbers of all processes, decides and removes files; one for each process talks to it
//! (`worker.rs`), so that a target that does not answer holds up nobody else. All waits are bounded.
//!
//! Invariants: a file is removed only because the recorder ordered it, and never one that is still to be uploaded; when [`run`] returns, every inspector that it opened is closed, or its target has ended or is told to close it.

mod event;
mod evidence;
mod finder;
mod folder;
mod lines;
mod probe;
mod rolling;
mod tell;
mod uploads;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant, SystemTime},
};

use heapsight_capture::{CaptureError, Kind, Result};
use heapsight_upload::Environment;

pub use self::event::Event;
use self::{
    finder::{Finder, Found},
    folder::Folder,
    lines::Lines,
    probe::{Look, Probe},
    rolling::Rolling,
    uploads::{News, Uploads},
    worker::{Said, Shared, Task, Worker},
};
use crate::{
    metrics,
    recorder::{Id, Kept, Order, Recorder, Stimulus},
    settings::{Condition, Settings, Subject},
};

/// How often signals and answers are looked for.
const TICK: Duration = Duration::from_millis(200);

/// How often new processes are looked for.
const FIND: Duration = Duration::from_secs(2);

/// How often what could not be removed is tried again.
const TRIM: Duration = Duration::from_secs(60);

/// V8 collects all garbage of the program before it shows a sampling profile, with all its threads, and often once more a
/// few seconds later. So a reading that took longer than [`PROFILE_FREE`] is followed by a pause of so many times as long,
/// which keeps the program's processor time for it below half a percent.
const PROFILE_SHARE: u32 = 1500;
const PROFILE_FREE: Duration = Duration::from_millis(20);

/// When the profile is read first.
const SOON: Duration = Duration::from_secs(5);

/// Without so much change of its memory a program has done nothing that a profile would show.
const CHANGED: u64 = 1 << 20;

/// How long it takes until a target is asked again that could not be connected to; doubled each time.
const AGAIN: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(900));

/// How many processes are watched at most.
const TARGETS: usize = 256;

/// How long a watch that is over waits for what can be uploaded, and one that is told to end.
const LAST_UPLOADS: Duration = Duration::from_secs(60);
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// Ended processes whose evidence is remembered for commands and webhooks.
const EVIDENCE: usize = 64;

/// What the time is.
pub trait Clock: Send + Sync {
    /// Time that does not jump, since some moment long ago.
    fn now(&self) -> Duration;
    /// What a calendar says; it may jump.
    fn wall(&self) -> SystemTime;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

/// Times before the watcher was started are times, too.
const LONG_AGO: Duration = Duration::from_secs(366 * 86400);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        LONG_AGO + self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// What others want of the watcher.
#[derive(Debug, Default)]
pub struct Control {
    /// End in order.
    pub stop: AtomicBool,
    /// Act as the rules with `signal` say.
    pub poke: AtomicBool,
}

/// What the watcher needs of its surroundings.
#[derive(Clone)]
pub struct Host<'h> {
    /// Hears what happens.
    pub event: &'h (dyn Fn(&Event) + Sync),
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// Credentials for uploads.
    pub environment: Environment,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Watches until it is told to stop, or, where nothing is followed, until the process has ended.
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Unsupported`]: the process that is named is not there, or no V8 program. [`Kind::Output`]
/// and [`Kind::Refused`]: the folder cannot be used, or another watcher has it. Whatever goes wrong later is told as an
/// [`Event`].
pub fn run(settings: Settings, control: &Control, host: &Host<'_>) -> Result<()> {
    let mut finder = Finder::new(&settings);
    let named = finder.named()?;
    let folder = Arc::new(Folder::open(&settings.folder)?);
    let uploads = Uploads::start(&settings.uploads, &host.environment, &folder)?;
    let server = settings.metrics.map(metrics::Server::start).transpose()?;
    if let Some(server) = &server {
        (host.event)(&Event::Metrics(server.address()));
    }
    let now = host.clock.now();
    let mut recorder = Recorder::new(&settings, folder.kept(), now);
    for (program, age) in folder.acted(host.clock.wall()) {
        recorder.restore(now, &program, age);
    }
    let lines = settings.rules.iter().enumerate().filter_map(|(number, rule)| match &rule.when {
        Condition::Line { file, pattern } => {
            // It was compiled once before, when it was read.
            Some((number, Lines::new(file.clone(), regex::bytes::Regex::new(pattern).ok()?)))
        }
        _ => None,
    });
    let lines = lines.collect();
    let (said, hear) = channel();
    let shared = Shared {
        settings: Arc::new(settings),
        folder: Arc::clone(&folder),
        clock: Arc::clone(&host.clock),
        said: said.clone(),
    };
    let mut driver = Driver {
        shared,
        host,
        recorder,
        finder,
        targets: BTreeMap::new(),
        leaving: Vec::new(),
        posthumous: BTreeMap::new(),
        evidence: Vec::new(),
        lines,
        server,
        uploads,
        _said: said,
    };
    // What an earlier watcher could not bring away.
    for kept in folder.kept() {
        driver.upload(&kept.path);
    }
    if let Some(found) = named {
        driver.found(found);
    }
    let orders = driver.recorder.trim();
    driver.carry_out(orders);
    driver.find();
    driver.take_over(&folder);
    driver.watch(control, &hear);
    driver.end(&hear);
    Ok(())
}

/// A process that is watched.
#[derive(Debug)]
struct Watched {
    found: Found,
    probe: Probe,
    worker: Option<Worker>,
    rolling: Rolling,
    sample_at: Duration,
    heap_at: Duration,
    profile_at: Duration,
    /// Resident memory and heap at the last looks, and when the profile was read.
    memory: (u64, u64),
    profiled: (u64, u64),
    /// It was said which rules cannot fire for it.
    limits_told: bool,
    /// How long to wait after the next failure to connect; `None`: it is not tried any more.
    again: Option<Duration>,
}

struct Driver<'h> {
    shared: Shared,
    host: &'h Host<'h>,
    recorder: Recorder,
    finder: Finder,
    targets: BTreeMap<Id, Watched>,
    /// Threads of processes that are not watched any more, until they have ended.
    leaving: Vec<Worker>,
    /// Threads that do the jobs of processes that have ended.
    posthumous: BTreeMap<Id, Worker>,
    evidence: Vec<(Id, String, Vec<PathBuf>)>,
    lines: Vec<(usize, Lines)>,
    server: Option<metrics::Server>,
    uploads: Uploads,
    _said: Sender<(Id, Said)>,
}

impl Driver<'_> {
    fn watch(&mut self, control: &Control, hear: &Receiver<(Id, Said)>) {
        let clock = Arc::clone(&self.host.clock);
        let (mut find_at, mut trim_at, mut lines_at) = (Duration::ZERO, clock.now() + TRIM, Duration::ZERO);
        let tick = TICK.min(self.shared.settings.every);
        while !control.stop.load(Ordering::Relaxed) {
            match hear.recv_timeout(tick) {
                Ok((id, said)) => self.heard(id, said),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for (id, said) in hear.try_iter().take(1024).collect::<Vec<_>>() {
                self.heard(id, said);
            }
            let now = clock.now();
            if control.poke.swap(false, Ordering::Relaxed) {
                let orders = self.recorder.stimulus(now, Stimulus::Signal);
                self.carry_out(orders);
            }
            self.look(now);
            if now >= find_at {
                find_at = now + FIND;
                self.find();
            }
            if now >= lines_at {
                lines_at = now + self.shared.settings.every;
                self.follow(now);
            }
            if now >= trim_at {
                trim_at = now + TRIM;
                let orders = self.recorder.trim();
                self.carry_out(orders);
            }
            self.shared.folder.catch_up();
            let orders = self.recorder.tick(now);
            self.carry_out(orders);
            self.reap();
            self.hear_uploads(now);
            if let Some(server) = &self.server {
                server.show(|| metrics::page(&self.recorder, &self.uploads.numbers()));
            }
            if self.is_over() {
                self.uploads.wait(LAST_UPLOADS, true, || control.stop.load(Ordering::Relaxed));
                return;
            }
        }
    }

    /// Whether there is nothing left to wait for.
    fn is_over(&self) -> bool {
        let settings = &self.shared.settings;
        settings.subject != Subject::All
            && !settings.follow
            && self.targets.is_empty()
            && self.recorder.running().is_none()
    }

    fn say(&self, event: &Event) {
        (self.host.event)(event);
    }

    fn find(&mut self) {
        let known: BTreeSet<Id> = self.targets.keys().copied().collect();
        // The child that writes a snapshot is no worker.
        let forking = self.recorder.running().map(|job| job.id.pid);
        let all = self.finder.look(&known, forking);
        // Ends are told before beginnings: what replaces a program is known by that.
        let now = self.host.clock.now();
        let finder = &self.finder;
        self.targets.iter_mut().filter(|(id, _)| !finder.is_alive(**id)).for_each(|(_, w)| w.sample_at = now);
        self.look(now);
        for found in all {
            if self.targets.len() >= TARGETS {
                return;
            }
            self.found(found);
        }
    }

    fn found(&mut self, found: Found) {
        let (id, now) = (found.id, self.host.clock.now());
        self.say(&Event::Watching { id, program: found.program.clone(), runtime: found.runtime.clone() });
        let worker = Worker::start(self.shared.clone(), id, found.program.clone(), found.talks);
        if let Err(error) = &worker {
            self.say(&Event::Note(format!("process {}: no thread can be started: {error}", id.pid)));
        }
        let program = found.program.clone();
        let watched = Watched {
            probe: Probe::new(id),
            worker: worker.ok(),
            rolling: Rolling::new(self.shared.settings.window),
            sample_at: now,
            heap_at: now,
            profile_at: now,
            memory: (0, 0),
            profiled: (0, 0),
            limits_told: false,
            again: Some(AGAIN.0),
            found,
        };
        self.targets.insert(id, watched);
        let orders = self.recorder.found(now, id, &program);
        self.carry_out(orders);
    }

    /// Has the inspectors closed that a killed watcher left open, of processes that this one does not watch.
    fn take_over(&mut self, folder: &Folder) {
        for id in folder.opened() {
            if self.targets.contains_key(&id) {
                continue;
            }
            // What its end leaves open it closes, and it has nothing else to do.
            if let Ok(mut worker) = Worker::start(self.shared.clone(), id, String::new(), false) {
                worker.dismiss();
                self.leaving.push(worker);
            }
        }
    }

    /// Looks at the kernel's numbers that are due, and asks the targets that are.
    fn look(&mut self, now: Duration) {
        let settings = Arc::clone(&self.shared.settings);
        let due: Vec<Id> =
            self.targets.iter().filter(|(_, w)| now >= w.sample_at).map(|(id, _)| *id).collect();
        for id in due {
            let Some(watched) = self.targets.get_mut(&id) else { continue };
            watched.sample_at = now + settings.every;
            match watched.probe.look() {
                Look::Lives(sample) => {
                    watched.memory.0 = sample.rss;
                    if !std::mem::replace(&mut watched.limits_told, true)
                        && sample.group.as_ref().and_then(|group| group.limit).is_none()
                    {
                        self.tell_of_limits(id);
                    }
                    let orders = self.recorder.sampled(now, id, &sample);
                    self.carry_out(orders);
                    self.ask(now, id);
                }
                Look::Ends => {}
                Look::Gone { oom_killed } => {
                    let orders = self.recorder.ended(now, id, oom_killed);
                    self.carry_out(orders);
                    self.forget(id);
                }
            }
        }
    }

    /// Says which rules wait for what cannot happen: a process without a limit does not come near it.
    fn tell_of_limits(&self, id: Id) {
        for rule in self.shared.settings.rules.iter().filter(|rule| rule.when.needs_group_limit()) {
            self.say(&Event::Note(format!(
                "process {}: `{}` cannot fire: its control group has no memory limit",
                id.pid, rule.text
            )));
        }
    }

    /// Asks a target what is due, unless it has not answered yet.
    fn ask(&mut self, now: Duration, id: Id) {
        let settings = &self.shared.settings;
        let Some(watched) = self.targets.get_mut(&id) else { return };
        let Some(worker) = watched.worker.as_mut().filter(|worker| worker.busy == 0) else { return };
        if watched.again.is_none() {
            return;
        }
        // One at a time: where the first cannot connect, the second need not try. What has waited longer comes first, or
        // short times of one would leave the other no turn.
        let profile_waits = settings.profile_every.is_some() && watched.profile_at < watched.heap_at;
        if let Some(every) = settings.heap_every.filter(|_| now >= watched.heap_at && !profile_waits) {
            watched.heap_at = now + every;
            worker.give(Task::Heap);
        } else if let Some(every) = settings.profile_every.filter(|_| now >= watched.profile_at) {
            watched.profile_at = now + every;
            let (now, then) = (watched.memory, watched.profiled);
            if now.0.abs_diff(then.0) >= CHANGED || now.1.abs_diff(then.1) >= CHANGED {
                watched.profiled = watched.memory;
                worker.give(Task::Profile);
            }
        }
    }

    fn forget(&mut self, id: Id) {
        let Some(mut watched) = self.targets.remove(&id) else { return };
        self.uploads.forget(id);
        if let Some(mut worker) = watched.worker.take() {
            worker.dismiss();
            self.leaving.push(worker);
        }
    }

    fn follow(&mut self, now: Duration) {
        let mut matched = Vec::new();
        for (number, lines) in &mut self.lines {
            if lines.look() {
                matched.push(*number);
            }
        }
        for number in matched {
            let orders = self.recorder.stimulus(now, Stimulus::Line(number));
            self.carry_out(orders);
        }
    }

    /// Takes in what a target's thread says.
    fn heard(&mut self, id: Id, said: Said) {
        let now = self.host.clock.now();
        if said.is_end() {
            let worker = self.targets.get_mut(&id).and_then(|watched| watched.worker.as_mut());
            if let Some(worker) = worker {
                worker.busy = worker.busy.saturating_sub(1);
            }
        }
        match said {
            Said::Event(event) => self.say(&event),
            Said::Heap(heap) => {
                if let Some(watched) = self.targets.get_mut(&id) {
                    watched.again = Some(AGAIN.0);
                    watched.memory.1 = heap.used;
                }
                let orders = self.recorder.heap(now, id, &heap);
                self.carry_out(orders);
            }
            Said::Profile(bytes, took) => {
                let Some(watched) = self.targets.get_mut(&id).filter(|_| !bytes.is_empty()) else { return };
                watched.profile_at =
                    watched.profile_at.max(now + took.saturating_sub(PROFILE_FREE) * PROFILE_SHARE);
                let reading = uploads::Reading { id, runtime: &watched.found.runtime, bytes: &bytes };
                self.uploads.push(&reading, self.host.clock.wall());
                if let Err(error) = watched.rolling.push(now, bytes) {
                    self.say(&Event::Note(format!("process {}: {error}", id.pid)));
                }
            }
            Said::Sampled(bytes) => {
                if let Some(watched) = self.targets.get_mut(&id)
                    && let Err(error) = watched.rolling.push(now, bytes)
                {
                    self.say(&Event::Note(format!("process {}: {error}", id.pid)));
                }
            }
            Said::Restarted => {
                if let Some(watched) = self.targets.get_mut(&id) {
                    watched.rolling.restart(now);
                    // A first reading soon: whoever ends early leaves evidence, too.
                    watched.profile_at =
                        now + self.shared.settings.profile_every.unwrap_or_default().min(SOON);
                    watched.again = Some(AGAIN.0);
                }
            }
            Said::Refused(error, hopeless) => self.refused(now, id, &error, hopeless),
            Said::Lost(error) => self.refused(now, id, &error, false),
            Said::Grew(job, bytes, answer) => self.grant(job, bytes, &answer),
            Said::Kept(job, path) => self.kept(job, &path),
            Said::Finished(job) => {
                let orders = self.recorder.finished(job);
                self.carry_out(orders);
            }
        }
    }

    /// Makes room for a capture, or calls it off.
    fn grant(&mut self, job: u64, bytes: u64, answer: &Sender<bool>) {
        let orders = self.recorder.grew(job, bytes);
        let granted = !orders.iter().any(|order| matches!(order, Order::Abort(_)));
        self.carry_out(orders);
        // Whoever asked may be gone.
        let _ = answer.send(granted);
    }

    fn kept(&mut self, job: u64, path: &Path) {
        // Before it is known to be there, or it could be removed at once for being too much.
        self.upload(path);
        let orders = self.recorder.kept(job, Kept { bytes: folder::size(path), path: path.to_owned() });
        self.carry_out(orders);
    }

    /// Brings a capture away, if any are brought away and it has not been yet. Until then it stays here.
    fn upload(&mut self, path: &Path) {
        if self.uploads.take(path, self.host.clock.now()) {
            self.recorder.pin(path.to_owned());
        }
    }

    fn hear_uploads(&mut self, now: Duration) {
        for news in self.uploads.news(now) {
            match news {
                News::Event(event) => self.say(&event),
                News::Arrived(path) => self.recorder.unpin(&path),
            }
        }
    }

    /// A target could not be asked.
    fn refused(&mut self, now: Duration, id: Id, error: &CaptureError, hopeless: bool) {
        let Some(watched) = self.targets.get_mut(&id) else { return };
        // That it has ended is noticed, and said, by looking.
        if error.kind == Kind::NotFound
            || !heapsight_capture::process::Status::read(id.pid).is_ok_and(|s| s.is_current())
        {
            return;
        }
        let again = watched.again.filter(|_| !hopeless);
        if let Some(again) = again {
            (watched.heap_at, watched.profile_at) = (now + again, now + again);
        }
        watched.again = again.map(|again| (again * 2).min(AGAIN.1));
        let why = error.to_string();
        self.say(&Event::NotAttached { id, why, again });
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Begin(job) => {
                    self.say(&Event::Fired(job.clone()));
                    let now = self.host.clock.now();
                    // Before it is done: whoever is killed in the middle has acted.
                    self.shared.folder.remember(self.host.clock.wall(), &self.recorder.acted(now));
                    self.begin(job);
                }
                Order::Abort(job) => self.abort(job),
                Order::Remove(path) => self.remove(path),
                Order::Evidence { id, ending, keep } => self.testify(id, ending, keep),
                Order::Skip { id, rule, why } => self.say(&Event::Skipped { id, rule, why }),
            }
        }
    }

    fn begin(&mut self, job: crate::recorder::Job) {
        let (id, number) = (job.id, job.number);
        let (program, files) = match self.evidence.iter().find(|(known, ..)| *known == id) {
            Some((_, program, files)) => (program.clone(), files.clone()),
            None => (String::new(), Vec::new()),
        };
        if let Some(worker) = self.targets.get_mut(&id).and_then(|watched| watched.worker.as_mut()) {
            worker.give(Task::Job(job, files));
            return;
        }
        // Its process has ended, or has no thread: what needs no process is done all the same.
        let Ok(mut worker) = Worker::start(self.shared.clone(), id, program, false) else {
            let orders = self.recorder.finished(number);
            self.carry_out(orders);
            return;
        };
        worker.give(Task::Job(job, files));
        worker.dismiss();
        if let Some(old) = self.posthumous.insert(id, worker) {
            self.leaving.push(old);
        }
    }

    fn abort(&mut self, job: u64) {
        let Some(id) = self.recorder.running().filter(|running| running.number == job).map(|job| job.id)
        else {
            return;
        };
        let (_, limit, _) = self.recorder.disk();
        let mut why = format!("it would exceed the disk budget of {}", crate::units::bytes(limit));
        if self.recorder.pinned() > 0 {
            why.push_str(&format!("; {} captures wait to be uploaded", self.recorder.pinned()));
        }
        self.say(&Event::Failed { id, action: "capture".to_owned(), why });
        // It may have ended meanwhile.
        let watched = self.targets.get(&id).and_then(|watched| watched.worker.as_ref());
        let others = self.posthumous.get(&id).into_iter().chain(self.leaving.iter().filter(|w| w.id == id));
        watched.into_iter().chain(others).for_each(Worker::abort);
    }

    fn remove(&mut self, path: PathBuf) {
        let bytes = folder::size(&path);
        if folder::remove(&path).is_ok() {
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                self.shared.folder.forget(name);
            }
            self.say(&Event::Removed(path));
        } else {
            self.recorder.not_removed(Kept { path, bytes });
        }
    }

    /// Keeps what there is of a process that has ended.
    fn testify(&mut self, id: Id, ending: crate::recorder::Ending, keep: bool) {
        let Some(watched) = self.targets.get(&id) else { return };
        let (grown, window) = watched.rolling.grown();
        let sentence = ending.sentence(&grown, window);
        let testimony = evidence::Testimony {
            id,
            program: &watched.found.program,
            runtime: &watched.found.runtime,
            sentence: &sentence,
            ending: &ending,
            grown: &grown,
            window,
            profile: watched.rolling.last(),
        };
        let files =
            if keep { testimony.prepare(&self.shared.folder, self.host.clock.wall()) } else { Vec::new() };
        let program = watched.found.program.clone();
        let mut evidence = Vec::new();
        let mut failure = None;
        for file in files {
            let number = self.recorder.number();
            let orders = self.recorder.grew(number, file.bytes());
            let exceeded = orders.iter().any(|order| matches!(order, Order::Abort(_)));
            self.carry_out(orders.into_iter().filter(|order| !matches!(order, Order::Abort(_))).collect());
            let written = if exceeded { Ok(false) } else { file.write().map(|()| true) };
            match written {
                Ok(true) => {
                    self.kept(number, &file.path);
                    evidence.push(file.path);
                }
                Ok(false) => self.recorder.gave_up(number),
                Err(error) => {
                    self.recorder.gave_up(number);
                    failure = Some(error);
                }
            }
        }
        self.say(&Event::Ended { id, sentence, ending, grown, evidence: evidence.clone() });
        if let Some(error) = failure {
            self.say(&Event::Failed { id, action: "evidence".to_owned(), why: error.to_string() });
        }
        self.evidence.push((id, program, evidence));
        if self.evidence.len() > EVIDENCE {
            self.evidence.remove(0);
        }
    }

    /// Lets go of threads that have ended.
    fn reap(&mut self) {
        let done: Vec<Id> = self.posthumous.iter().filter(|(_, w)| w.is_over()).map(|(id, _)| *id).collect();
        for id in done {
            self.leaving.extend(self.posthumous.remove(&id));
        }
        let (over, going): (Vec<Worker>, Vec<Worker>) =
            std::mem::take(&mut self.leaving).into_iter().partition(Worker::is_over);
        self.leaving = going;
        over.into_iter().for_each(Worker::join);
    }

    /// Ends everything in order: what is under way is called off, what was opened is closed.
    fn end(&mut self, hear: &Receiver<(Id, Said)>) {
        let mut workers: Vec<Worker> = std::mem::take(&mut self.leaving);
        workers.extend(std::mem::take(&mut self.posthumous).into_values());
        workers.extend(std::mem::take(&mut self.targets).into_values().filter_map(|watched| watched.worker));
        for worker in &mut workers {
            worker.abort();
            worker.dismiss();
        }
        // What is whole counts, and a recording that is ended in order needs room to become so.
        let mut over = false;
        while !over {
            over = workers.iter().all(Worker::is_over);
            let first = hear.recv_timeout(TICK / 4).ok();
            for (_, said) in first.into_iter().chain(hear.try_iter()) {
                match said {
                    Said::Event(event) => self.say(&event),
                    Said::Kept(job, path) => self.kept(job, &path),
                    Said::Grew(job, bytes, answer) => self.grant(job, bytes, &answer),
                    _ => {}
                }
            }
        }
        workers.into_iter().for_each(Worker::join);
        self.uploads.wait(LAST_MOMENT, false, || false);
        self.hear_uploads(self.host.clock.now());
    }
}
