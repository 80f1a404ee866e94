//! One thread for each target: whatever talks to it, and may have to wait for it, happens here. It does one task after
//! the other and says what came of each; nothing of the target is touched elsewhere.
//!
//! The inspector is opened with the first task that needs it and closed when the thread ends, in order, or when it is not
//! to stay open. The folder remembers that it was opened *before* it is, so that a watcher that is killed leaves word.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind, Result,
    inspector::SamplingOptions,
    output::Quota,
    process,
    take::{
        Event as CaptureEvent, Monitor, Output, SampleOptions, Schedule, SnapshotOptions, Taken, Taker,
        TakerOptions, TimelineOptions,
    },
    target::Target,
};

use super::{Clock, event::Event, folder::Folder, tell};
use crate::{
    recorder::{HeapSample, Id, Job},
    settings::{Action, Settings},
};

/// How long the event loop may take to turn before that alone is the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the driver may take to answer, whatever else it does.
const ANSWER: Duration = Duration::from_secs(120);

/// How often a conversation is looked at in which nothing is asked.
const LOOK: Duration = Duration::from_secs(1);

/// Seconds in which a process may still be starting, on a machine that is busy.
const YOUNG: u64 = 60;

/// What a target's thread is to do.
#[derive(Debug)]
pub(super) enum Task {
    /// Connect, if that is not done, and ask for the heap.
    Heap,
    /// Read the rolling profile.
    Profile,
    /// Do the actions of a job. What was written before belongs to it.
    Job(Job, Vec<PathBuf>),
}

/// What it says. Each task ends with one that is [`Said::is_end`].
#[derive(Debug)]
pub(super) enum Said {
    Event(Event),
    Heap(HeapSample),
    /// The rolling profile, or nothing, and how long it took.
    Profile(Vec<u8>, Duration),
    /// The rolling profile as an action has written it.
    Sampled(Vec<u8>),
    /// V8 has begun a new profile.
    Restarted,
    /// Could not connect; `true`: trying again is no use.
    Refused(CaptureError, bool),
    /// The connection is lost.
    Lost(CaptureError),
    /// A job's output is about to have so many bytes. Answered when there is room for them, or none and it is called off.
    Grew(u64, u64, Sender<bool>),
    /// A job's output is whole.
    Kept(u64, PathBuf),
    Finished(u64),
}

impl Said {
    pub(super) fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Heap(_) | Self::Profile(..) | Self::Refused(..) | Self::Lost(_) | Self::Finished(_)
        )
    }
}

/// A target's thread, as the driver has it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: Id,
    tasks: Option<Sender<Task>>,
    abort: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Tasks that are not done.
    pub(super) busy: usize,
}

/// What all workers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) folder: Arc<Folder>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) said: Sender<(Id, Said)>,
}

impl Worker {
    /// Starts the thread of a target. `program` is its command line; `talks`: whether it has an inspector at all.
    pub(super) fn start(shared: Shared, id: Id, program: String, talks: bool) -> std::io::Result<Self> {
        let (tasks, receive) = channel();
        let abort = Arc::new(AtomicBool::new(false));
        let work = Work {
            shared,
            id,
            program,
            talks,
            abort: Arc::clone(&abort),
            taker: None,
            sampling: false,
            stored: BTreeMap::new(),
        };
        let thread = thread::Builder::new()
            .name(format!("watch-{}", id.pid))
            .stack_size(1 << 20)
            .spawn(move || work.run(&receive))?;
        Ok(Self { id, tasks: Some(tasks), abort, thread: Some(thread), busy: 0 })
    }

    pub(super) fn give(&mut self, task: Task) {
        // Here and not in the thread: whatever is called off after this is called off.
        if matches!(task, Task::Job(..)) {
            self.abort.store(false, Ordering::Relaxed);
        }
        if let Some(tasks) = &self.tasks
            && tasks.send(task).is_ok()
        {
            self.busy += 1;
        }
    }

    /// Calls off what is under way.
    pub(super) fn abort(&self) {
        self.abort.store(true, Ordering::Relaxed);
    }

    /// Tells it to end; what it opened it closes. It is not waited for.
    pub(super) fn dismiss(&mut self) {
        self.tasks = None;
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end.
    pub(super) fn join(mut self) {
        self.dismiss();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed, and its target's connection ended with it.
            let _ = thread.join();
        }
    }
}

/// The thread.
struct Work {
    shared: Shared,
    id: Id,
    program: String,
    talks: bool,
    abort: Arc<AtomicBool>,
    taker: Option<Taker>,
    sampling: bool,
    /// Bytes of the last capture of a kind as it is stored: the next one is taken to become as large.
    stored: BTreeMap<&'static str, u64>,
}

impl Work {
    fn run(mut self, tasks: &Receiver<Task>) {
        if !self.stays() {
            self.close_left_open();
        }
        loop {
            let task = match tasks.recv_timeout(LOOK) {
                Ok(task) => task,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(Err(error)) = self.taker.as_mut().map(Taker::look) {
                        self.leave();
                        self.say(Said::Lost(error));
                    }
                    continue;
                }
            };
            match task {
                Task::Heap => {
                    let answer = self.connected().and_then(Self::heap);
                    self.answer(answer.map(Said::Heap));
                }
                Task::Profile => {
                    // One that has just begun has nothing to say.
                    let begun = self.taker.is_none();
                    let answer = self.connected();
                    let since = Instant::now();
                    let answer =
                        if begun { answer.map(|_| Vec::new()) } else { answer.and_then(Self::profile) };
                    self.answer(answer.map(|bytes| Said::Profile(bytes, since.elapsed())));
                }
                Task::Job(job, files) => {
                    self.job(&job, files);
                    if !self.stays() {
                        self.leave();
                    }
                    self.say(Said::Finished(job.number));
                }
            }
        }
        self.leave();
        self.close_left_open();
    }

    fn say(&self, said: Said) {
        // Without a driver there is nobody to tell.
        let _ = self.shared.said.send((self.id, said));
    }

    /// Whether the connection is kept between tasks.
    fn stays(&self) -> bool {
        self.shared.settings.heap_every.is_some() || self.shared.settings.profile_every.is_some()
    }

    /// Says what came of a question; where the connection is lost it is let go, and tried again later.
    fn answer(&mut self, answer: Result<Said>) {
        match answer {
            Ok(said) => self.say(said),
            Err(error) if self.taker.is_none() => {
                // A young one may not have come to its handlers yet.
                let young = self.talks
                    && process::Status::read(self.id.pid)
                        .is_ok_and(|status| status.age().is_some_and(|age| age < YOUNG));
                let later = matches!(error.kind, Kind::Gone | Kind::Other | Kind::Refused | Kind::Timeout);
                let hopeless = !(later || young)
                    // It caught the signal and did nothing: that is its own handler, which is not to be called again.
                    || error.why.starts_with("SIGUSR1 had no effect");
                self.say(Said::Refused(error, hopeless));
            }
            Err(error) => {
                self.leave();
                self.say(Said::Lost(error));
            }
        }
    }

    /// Ends the conversation and closes what was opened.
    fn leave(&mut self) {
        self.sampling = false;
        let Some(taker) = self.taker.take() else { return };
        match taker.close() {
            Ok(_) => self.shared.folder.closed(self.id),
            // It closes when the target is free; the folder still knows, if it does not.
            Err(error) => self.say(Said::Event(Event::Note(error.to_string()))),
        }
    }

    /// Closes an inspector that was opened here, or by a watcher that was killed, and could not be closed then.
    fn close_left_open(&self) {
        let Shared { folder, settings, .. } = &self.shared;
        if !folder.is_opened(self.id) {
            return;
        }
        let pid = self.id.pid;
        let current = process::Status::read(pid).is_ok_and(|status| status.start_time == self.id.start_time);
        let open = current && process::look(pid).is_ok_and(|process| process.facts.inspector.is_some());
        if open {
            let options = TakerOptions { adopt: true, timeout: settings.timeout, ..TakerOptions::default() };
            let closed = Taker::new(Target::Pid(pid), options).and_then(|mut taker| {
                taker.identity()?;
                taker.close()
            });
            if closed.is_err() {
                return;
            }
        }
        folder.closed(self.id);
    }

    /// Connects, if that is not done.
    fn connected(&mut self) -> Result<&mut Self> {
        if self.taker.is_some() {
            return Ok(self);
        }
        let gone = || CaptureError::new(Kind::Gone, format!("process {} has ended", self.id.pid), "");
        let process = process::look(self.id.pid)?;
        if process.status.start_time != self.id.start_time {
            return Err(gone());
        }
        if !self.talks {
            return Err(CaptureError::new(Kind::Unsupported, "this runtime has no inspector of V8", ""));
        }
        let folder = &self.shared.folder;
        let adopt = folder.is_opened(self.id);
        // A socket that only may be an inspector's need not be one; then one is opened all the same.
        if !process.facts.inspector.is_some_and(|inspector| inspector.expected) {
            folder.opening(self.id);
        }
        // Who stays leaves the usual port to others, above all to the other workers of a cluster.
        let options = TakerOptions {
            timeout: self.shared.settings.timeout,
            adopt,
            free_port: self.stays(),
            ..TakerOptions::default()
        };
        let mut taker = Taker::new(Target::Pid(self.id.pid), options)?;
        let identity = taker.identity();
        let opened = taker.opened() == Some(true);
        let settled = match &identity {
            Ok(_) => !opened,
            Err(error) => !adopt && !may_open_later(error),
        };
        if settled {
            folder.closed(self.id);
        } else if opened {
            // Somebody else's who was killed: it is ours now.
            folder.opening(self.id);
        }
        identity?;
        let profile = if self.shared.settings.profile_every.is_some() {
            let sampling =
                SamplingOptions { interval: self.shared.settings.interval, ..SamplingOptions::default() };
            taker
                .begin_sampling(&SampleOptions { thread: 0, sampling })
                .map_err(|error| if error.why.is_empty() { error.what } else { error.why })
        } else {
            Err("it is not wanted".to_owned())
        };
        self.sampling = profile.is_ok();
        self.taker = Some(taker);
        if self.sampling {
            self.say(Said::Restarted);
        }
        if self.stays() {
            self.say(Said::Event(Event::Attached { id: self.id, opened, profile }));
        }
        Ok(self)
    }

    fn taker(&mut self) -> Result<&mut Taker> {
        self.taker.as_mut().ok_or_else(|| CaptureError::new(Kind::Gone, "the target is not connected", ""))
    }

    fn heap(&mut self) -> Result<HeapSample> {
        let timeout = self.shared.settings.timeout;
        let taker = self.taker()?;
        let mut session = taker.session(0)?;
        let memory = session.memory(timeout)?;
        let begun = Instant::now();
        let event_loop = session.event_loop(PATIENCE.min(timeout));
        let loop_delay = match event_loop {
            Ok(event_loop) => Some(Duration::from_secs_f64(event_loop.delay.clamp(0.0, 1e9) / 1e3)),
            Err(error) if error.kind == Kind::Timeout => Some(begun.elapsed()),
            Err(error) if error.kind == Kind::Protocol => None,
            Err(error) => return Err(error),
        };
        taker.give_back(0, session);
        Ok(HeapSample {
            used: memory.used,
            total: memory.total,
            limit: memory.limit,
            external: memory.external,
            spaces: memory.spaces.into_iter().map(|space| (space.name, space.used)).collect(),
            loop_delay,
        })
    }

    /// The rolling profile; empty where none is kept.
    fn profile(&mut self) -> Result<Vec<u8>> {
        let timeout = self.shared.settings.timeout;
        let mut bytes = Vec::new();
        if self.sampling {
            let taker = self.taker()?;
            let mut session = taker.session(0)?;
            session.sampled_so_far(timeout, &mut bytes)?;
            taker.give_back(0, session);
        }
        Ok(bytes)
    }

    fn job(&mut self, job: &Job, mut files: Vec<PathBuf>) {
        for action in &job.actions {
            if self.abort.load(Ordering::Relaxed) {
                return;
            }
            let done = match action {
                Action::Snapshot | Action::Sample(_) | Action::Timeline(_) => {
                    self.capture(job, action).map(|path| files.extend(path))
                }
                Action::Run(command) => tell::run(command, job, &self.program, &files, &self.abort)
                    .map(|how| self.done(action, how)),
                Action::Webhook(url) => {
                    tell::post(url, job, &self.program, &files, &self.abort).map(|how| self.done(action, how))
                }
            };
            // Called off, which was said.
            if done.is_err() && self.abort.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = done {
                let why = match &error.hint {
                    Some(hint) => format!("{error} (hint: {hint})"),
                    None => error.to_string(),
                };
                self.say(Said::Event(Event::Failed { id: self.id, action: action.to_string(), why }));
                // A connection that may be broken is made anew.
                if matches!(error.kind, Kind::Gone | Kind::Timeout | Kind::Protocol) && self.taker.is_some() {
                    self.leave();
                }
            }
        }
    }

    fn done(&self, action: &Action, how: String) {
        self.say(Said::Event(Event::Done { id: self.id, action: action.to_string(), how }));
    }

    /// Takes one capture.
    fn capture(&mut self, job: &Job, action: &Action) -> Result<Option<PathBuf>> {
        self.connected()?;
        let extension = match action {
            Action::Timeline(_) => "heaptimeline.zst",
            Action::Sample(_) => "heapprofile",
            _ => "heapsnapshot.zst",
        };
        let path = self.shared.folder.name(self.shared.clock.wall(), self.id.pid, extension);
        // Older captures make room before this one is written, and not while it is: beyond half of the budget they need
        // not, and are not asked to.
        let budget = self.shared.settings.disk_budget;
        let room = Arc::new(Room::of(self, job.number));
        let expected = self.stored.get(extension).copied().unwrap_or(0);
        if !room.has(expected.min((budget / 2).saturating_sub(2 * Room::ahead(budget)))) {
            return Ok(None);
        }
        let quota = Arc::clone(&room);
        let grant = move |bytes: u64| {
            if quota.has(bytes) {
                return Ok(());
            }
            Err(CaptureError::new(Kind::Output, "the capture was given up", "there is no room for it"))
        };
        let output = Output { path: Some(path.clone()), force: false, quota: Some(Quota(Arc::new(grant))) };
        let taken = self.take(action, &output);
        if taken.is_err() && path.is_file() {
            // It is whole, and what failed came after it: its side file.
            self.say(Said::Kept(job.number, path));
        }
        let Taken { written, metadata, pause, .. } = taken?;
        let Some(path) = written.path else { return Ok(None) };
        self.stored.insert(extension, written.stored_bytes);
        if self.sampling
            && matches!(action, Action::Sample(_))
            && let Ok(bytes) = std::fs::read(&path)
        {
            self.say(Said::Sampled(bytes));
        }
        self.say(Said::Kept(job.number, path.clone()));
        self.say(Said::Event(Event::Captured {
            id: self.id,
            path: path.clone(),
            kind: metadata.capture.kind,
            bytes: written.bytes,
            stored_bytes: written.stored_bytes,
            pause,
        }));
        Ok(Some(path))
    }
}

/// Room on the disk for a capture under way. It is asked for before the bytes are written.
struct Room {
    shared: Shared,
    id: Id,
    job: u64,
    /// Bytes that there is room for.
    granted: AtomicU64,
}

impl Room {
    fn of(work: &Work, job: u64) -> Self {
        Self { shared: work.shared.clone(), id: work.id, job, granted: AtomicU64::new(0) }
    }

    /// Bytes that are asked for at a time. As many stay free at the end, for the side file.
    fn ahead(limit: u64) -> u64 {
        (limit / 64).clamp(32 << 10, 8 << 20)
    }

    /// Waits until there is room for so many bytes; false: there is none.
    fn has(&self, bytes: u64) -> bool {
        let ahead = Self::ahead(self.shared.settings.disk_budget);
        if bytes + ahead <= self.granted.load(Ordering::Relaxed) {
            return true;
        }
        let (answer, room) = channel();
        let bytes = bytes + 2 * ahead;
        if self.shared.said.send((self.id, Said::Grew(self.job, bytes, answer))).is_err() {
            return false;
        }
        // The driver answers as long as there are threads.
        let granted = room.recv_timeout(ANSWER).unwrap_or(false);
        if granted {
            self.granted.store(bytes, Ordering::Relaxed);
        }
        granted
    }
}

impl Work {
    fn take(&mut self, action: &Action, output: &Output) -> Result<Taken> {
        let (shared, id, abort) = (self.shared.clone(), self.id, Arc::clone(&self.abort));
        let event = |event: CaptureEvent| {
            if let CaptureEvent::Note(text) = event {
                let note = Event::Note(format!("process {}: {text}", id.pid));
                let _ = shared.said.send((id, Said::Event(note)));
            }
        };
        let monitor = Monitor { event: &event, stop: &abort };
        let sampling = self.sampling;
        let interval = self.shared.settings.interval;
        let taker = self.taker()?;
        match action {
            Action::Timeline(time) => {
                let options = TimelineOptions { output: output.clone(), ..TimelineOptions::default() };
                taker.timeline(&options, None, &monitor, &mut For::new(*time))
            }
            // V8 has one sampler, and it runs already.
            Action::Sample(_) if sampling => taker.sampled_so_far(0, output),
            Action::Sample(time) => {
                let sampling = SamplingOptions { interval, ..SamplingOptions::default() };
                let sampler = taker.sampler(&SampleOptions { thread: 0, sampling })?;
                sampler.record(output, None, None, &monitor, &mut For::new(*time))
            }
            _ => {
                let options = SnapshotOptions {
                    stable_ids: true,
                    force: shared.settings.force,
                    output: output.clone(),
                    ..SnapshotOptions::default()
                };
                taker.snapshot(&options, None, &monitor)
            }
        }
    }
}

/// A recording for a time.
struct For {
    time: Duration,
    begun: Instant,
}

impl For {
    fn new(time: Duration) -> Self {
        Self { time, begun: Instant::now() }
    }
}

impl Schedule for For {
    fn started(&mut self) -> Result<()> {
        self.begun = Instant::now();
        Ok(())
    }

    fn over(&mut self) -> bool {
        self.begun.elapsed() >= self.time
    }
}

/// Whether an inspector that was asked for may open when its process is free: nobody is told then.
fn may_open_later(error: &CaptureError) -> bool {
    error.kind == Kind::Timeout && !error.why.starts_with("its port ")
}
