//! The uploader: a thread that works off the queue, and the handle to it.
//!
//! One file at a time, in the order in which they came; one that fails waits for its next attempt while others go. What
//! went wrong for a passing reason is tried again after 1, 2, 4 ... seconds, up to minutes, and as often as it takes,
//! unless a number is set; an attempt that got parts across begins to count anew. All waiting is on a [`Clock`].

use std::{
    collections::{VecDeque, hash_map::RandomState},
    fs,
    hash::BuildHasher,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::future::{Either, select};
use tokio::{runtime, sync::Notify};

use crate::{
    clock::{Bell, Clock, Monotonic},
    destination::{Destination, Environment, Place},
    entry::Entry,
    error::{Kind, Result, UploadError},
    local::Identity,
    pyroscope::Pusher,
    queue::{Queue, sync_folder},
    store::Remote,
    transfer::{Delivered, How, Watch, deliver},
    verify::{Proof, Verification},
};

/// What the side file of a capture has after the name of the capture.
pub(crate) const SIDE_FILE: &str = ".meta.json";

/// Reports that are kept for whoever asks; older ones go.
const MOST_REPORTS: usize = 10_000;

/// What to upload to, and how.
#[derive(Clone)]
pub struct Config {
    /// Where files go.
    pub destination: Destination,
    /// Credentials, endpoints, proxies.
    pub environment: Environment,
    /// The folder of the queue; it is made if it is not there.
    pub queue: PathBuf,
    /// Whether a file goes when its copy is verified.
    pub delete_after: bool,
    /// Whether another object of the same name may be overwritten.
    pub overwrite: bool,
    /// How copies are verified.
    pub verification: Verification,
    /// Bytes of a part, at least 5 MiB for S3; each part under way is in memory.
    pub part_size: u64,
    /// Parts under way at once.
    pub parallel: usize,
    /// How long nothing may move on a connection.
    pub patience: Duration,
    /// When to try again.
    pub retry: Retry,
    /// What waits.
    pub clock: Arc<dyn Clock>,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Before the second attempt; doubled before each further one.
    pub first: Duration,
    /// At most.
    pub most: Duration,
    /// Attempts in a row that get nothing across until a file is given up (it stays in the queue). Nothing: never.
    pub attempts: Option<u32>,
}

impl Config {
    /// For a process that stays: little memory, never gives up.
    pub fn new(destination: Destination, environment: Environment, queue: impl Into<PathBuf>) -> Self {
        Self {
            destination,
            environment,
            queue: queue.into(),
            delete_after: false,
            overwrite: false,
            verification: Verification::default(),
            part_size: 5 << 20,
            parallel: 1,
            patience: Duration::from_secs(60),
            retry: Retry { first: Duration::from_secs(1), most: Duration::from_secs(300), attempts: None },
            clock: Arc::new(Monotonic::new()),
        }
    }
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Where it is.
    pub url: String,
    /// Bytes of the file.
    pub size: u64,
    /// Attempts that it took.
    pub attempts: u32,
    /// How long it took, from the beginning of the first attempt.
    pub took: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It is there, and is equal.
    Verified {
        /// How that is known.
        proof: Proof,
        /// Nothing had to be sent.
        found: bool,
        /// The local file was removed.
        deleted: bool,
        /// Why it was not, if it should have been.
        kept_because: Option<String>,
    },
    /// It is not, and will not be tried again by this uploader.
    Failed(UploadError),
}

/// How it goes.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Files that have to go up, the one under way included.
    pub waiting: usize,
    /// The file under way.
    pub current: Option<Progress>,
    /// Files that went up, verified.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Local files that were removed after that.
    pub deleted: u64,
    /// Files that were given up.
    pub failed: u64,
    /// Attempts that failed and were followed by another one.
    pub retries: u64,
    /// What went wrong last; nothing after a success.
    pub last_error: Option<String>,
    /// Why the queue cannot be written, if it cannot; uploads go on, and what they got across is forgotten in a crash.
    pub queue_error: Option<String>,
    /// How long until the next attempt, if nothing is under way.
    pub next_attempt: Option<Duration>,
    /// Files in the folder of the queue that could not be read and were set aside.
    pub set_aside: Vec<String>,
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The file.
    pub path: PathBuf,
    /// Bytes that are there.
    pub sent: u64,
    /// Bytes of the file.
    pub size: u64,
}

/// Starts uploads.
#[derive(Clone, Copy, Debug)]
pub struct Uploader;

impl Uploader {
    /// Opens the queue and goes on with what is in it.
    ///
    /// # Errors
    /// The queue cannot be opened, or the destination cannot be what is configured. Whether a server answers is not
    /// looked at.
    pub fn start(config: Config) -> Result<Handle> {
        let target = match &config.destination.place {
            Place::Store { service, url } => {
                Target::Store(Remote::service(*service, url, &config.environment, config.patience)?)
            }
            Place::Folder(folder) => Target::Store(Remote::folder(folder)?),
            Place::Pyroscope(_) if config.delete_after => {
                let what = format!("cannot remove what is pushed to {}", config.destination);
                return Err(UploadError::new(Kind::Destination, what, "a profile there cannot be verified")
                    .hint("without --delete-after the file stays"));
            }
            Place::Pyroscope(application) => {
                Target::Pyroscope(Pusher::new(application, &config.environment, config.patience))
            }
        };
        let queue = Queue::open(&config.queue)?;
        let (entries, set_aside) = queue.entries()?;
        let own = config.destination.to_string();
        let mut jobs: Vec<_> =
            entries.into_iter().filter(|entry| entry.destination == own).map(Job::new).collect();
        for job in &mut jobs {
            job.entry.overwrite |= config.overwrite;
        }
        let last_added = jobs.iter().map(|job| job.entry.added_ms).max().unwrap_or(0);
        let status = Status { set_aside, ..Status::default() };
        let state = State { jobs, last_added, status, ..State::default() };
        let shared = Arc::new(Shared {
            config,
            queue,
            state: Mutex::new(state),
            changed: Condvar::new(),
            bell: Bell::default(),
            abort: Notify::new(),
        });
        let failed = |error: &io::Error| UploadError::new(Kind::Other, "cannot start the uploader", error);
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(shared.config.parallel.max(1) + 2)
            .thread_keep_alive(Duration::from_secs(1))
            .build()
            .map_err(|error| failed(&error))?;
        let worker = Worker { shared: shared.clone(), target, runtime };
        let thread = std::thread::Builder::new()
            .name("upload".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| failed(&error))?;
        Ok(Handle { shared, thread: Mutex::new(Some(thread)) })
    }
}

/// An uploader that runs; it ends with its handle, and what is not up stays in the queue.
pub struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    /// Puts a file into the queue, under its own name, with its side file if it has one. When this returns, it will go up
    /// whatever happens; the file must stay where it is until then. One that is in the queue already is not put there
    /// twice.
    ///
    /// # Errors
    /// There is no such file, it is in the destination itself, or the queue cannot be written. Nothing has changed then.
    pub fn enqueue(&self, path: &Path) -> Result<()> {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name else {
            let what = format!("cannot upload {}", path.display());
            return Err(UploadError::new(Kind::Local, what, "its name is not UTF-8"));
        };
        self.enqueue_as(path, name)
    }

    /// The same under another name, which may have folders in it.
    ///
    /// # Errors
    /// As [`Handle::enqueue`].
    pub fn enqueue_as(&self, path: &Path, name: &str) -> Result<()> {
        if self.shared.config.destination.keeps_files() && !name.ends_with(SIDE_FILE) {
            let mut side = path.as_os_str().to_owned();
            side.push(SIDE_FILE);
            let side = PathBuf::from(side);
            if side.is_file() {
                self.shared.enqueue(&side, &format!("{name}{SIDE_FILE}"))?;
            }
        }
        self.shared.enqueue(path, name)
    }

    /// Whether a file is still to go up, so that it must not be removed.
    pub fn is_pending(&self, path: &Path) -> bool {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let state = self.shared.lock();
        state.jobs.iter().any(|job| job.entry.path == path)
            || state.current.as_ref().is_some_and(|c| c.path == path)
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        let mut status = state.status.clone();
        status.waiting = state.jobs.len() + usize::from(state.current.is_some());
        status.current.clone_from(&state.current);
        if status.current.is_none() {
            let now = self.shared.config.clock.now();
            status.next_attempt = state.jobs.iter().map(|job| job.due.saturating_sub(now)).min();
        }
        status
    }

    /// What became of files since this was asked last.
    pub fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.shared.lock().reports).into()
    }

    /// Waits until all files are up or given up, at most for `limit`, and says whether they are.
    pub fn wait(&self, limit: Duration) -> bool {
        let idle = |state: &mut State| state.over || (state.jobs.is_empty() && state.current.is_none());
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| !idle(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        idle(&mut state)
    }

    /// Goes on with what can be tried at once, for `limit` at most, then ends. What is not up stays in the queue.
    pub fn stop(self, limit: Duration) -> Status {
        self.end(limit);
        self.status()
    }

    fn end(&self, limit: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let mut state = self.shared.lock();
        state.stopping = true;
        self.shared.bell.ring();
        let until = Instant::now() + limit;
        while !state.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.aborted = true;
        drop(state);
        self.shared.abort.notify_one();
        self.shared.bell.ring();
        // The worker stands nowhere but where these wake it, or reads a part of a file.
        let _ = thread.join();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// What handle and worker share.
struct Shared {
    config: Config,
    queue: Queue,
    state: Mutex<State>,
    /// Notified whenever the state has changed.
    changed: Condvar,
    /// Wakes the worker.
    bell: Bell,
    /// Breaks off what is under way.
    abort: Notify,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    current: Option<Progress>,
    /// The id of the entry under way.
    current_id: String,
    /// When the entry that came last did, in milliseconds since 1970: what the order goes by.
    last_added: u64,
    /// What is under way was enqueued again: the file may have changed.
    again: Option<Entry>,
    /// What was given up and is in the queue still.
    given_up: Vec<Entry>,
    status: Status,
    reports: VecDeque<Report>,
    stopping: bool,
    aborted: bool,
    over: bool,
}

/// An entry of the queue and when it is to be tried.
struct Job {
    /// Of the entry; to make it takes its time.
    id: String,
    entry: Entry,
    due: Duration,
    /// Attempts in a row that got nothing across.
    failures: u32,
    attempts: u32,
    began: Option<Duration>,
}

impl Job {
    fn new(entry: Entry) -> Self {
        let id = entry.id();
        Self { id, entry, due: Duration::ZERO, failures: 0, attempts: 0, began: None }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What a thread that panicked leaves is no worse than what it found.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, path: &Path, name: &str) -> Result<()> {
        let what = || format!("cannot upload {}", path.display());
        let absolute = std::path::absolute(path).map_err(|error| UploadError::local(what(), &error))?;
        if absolute.to_str().is_none() {
            return Err(UploadError::new(Kind::Local, what(), "its path is not UTF-8"));
        }
        let identity = Identity::at(&absolute).map_err(|error| UploadError::local(what(), &error))?;
        if self.config.destination.has(&absolute, name) {
            let why =
                format!("it is that very file in {}, and no copy would be made", self.config.destination);
            return Err(UploadError::new(Kind::Destination, what(), why).hint("name another folder"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let destination = self.config.destination.to_string();
        let mut state = self.lock();
        // Two of one millisecond, or of a clock that was set back, come in their order all the same.
        let added = now.max(state.last_added + 1);
        let mut entry = Entry::new(absolute, identity, destination, name.to_owned(), added);
        entry.delete_after = self.config.delete_after;
        entry.overwrite = self.config.overwrite;
        let id = entry.id();
        if state.jobs.iter().any(|job| job.id == id) {
            // An attempt looks at the file anew.
            return Ok(());
        }
        if state.current.is_some() && state.current_id == id {
            state.again = Some(entry);
            return Ok(());
        }
        if let Some(at) = state.given_up.iter().position(|given_up| given_up.id() == id) {
            // How far that one got is worth knowing, above all that what is there is its own.
            let mut given_up = state.given_up.remove(at);
            (given_up.delete_after, given_up.overwrite) = (entry.delete_after, entry.overwrite);
            entry = given_up;
        }
        // With the lock held, so that the worker does not write the same entry; it is a small file.
        self.queue.save(&entry)?;
        state.last_added = added;
        state.jobs.push(Job::new(entry));
        drop(state);
        self.bell.ring();
        Ok(())
    }

    /// Keeps an entry; a queue that cannot be written does not stop an upload.
    fn save(&self, entry: &Entry) {
        let saved = self.queue.save(entry);
        self.lock().status.queue_error = saved.err().map(|error| error.to_string());
    }
}

/// Where the worker brings files.
enum Target {
    Store(Remote),
    Pyroscope(Pusher),
}

struct Worker {
    shared: Arc<Shared>,
    target: Target,
    runtime: runtime::Runtime,
}

/// Says that the worker has ended, in whatever way.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

/// What the worker does next.
enum Next {
    Job(Box<Job>),
    Wait(Duration),
    End,
}

impl Worker {
    fn run(self) {
        let clock = self.shared.config.clock.clone();
        let over = Over(self.shared.clone());
        loop {
            match self.next(clock.now()) {
                Next::Job(job) => self.attempt(*job),
                Next::Wait(limit) => clock.wait(&self.shared.bell, limit),
                Next::End => break,
            }
        }
        // A request that is under way ends by itself, on a thread that nobody waits for.
        self.runtime.shutdown_background();
        drop(over);
    }

    fn next(&self, now: Duration) -> Next {
        let mut state = self.shared.lock();
        if state.aborted {
            return Next::End;
        }
        let due = |job: &Job| job.due <= now;
        let first = (0..state.jobs.len())
            .filter(|&at| due(&state.jobs[at]))
            .min_by_key(|&at| (state.jobs[at].entry.added_ms, &state.jobs[at].entry.path));
        if let Some(at) = first {
            let job = state.jobs.remove(at);
            state.current_id.clone_from(&job.id);
            state.current = Some(Progress {
                path: job.entry.path.clone(),
                sent: job.entry.sent(),
                size: job.entry.identity.size,
            });
            return Next::Job(Box::new(job));
        }
        if state.stopping {
            return Next::End;
        }
        let next = state.jobs.iter().map(|job| job.due.saturating_sub(now)).min();
        Next::Wait(next.unwrap_or(Duration::from_secs(3600)))
    }

    fn attempt(&self, mut job: Job) {
        let config = &self.shared.config;
        let now = config.clock.now();
        let began = *job.began.get_or_insert(now);
        job.attempts += 1;
        let before = job.entry.sent();
        let url = config.destination.url_of(&job.entry.name);
        let Some(result) = self.deliver(&mut job.entry, &url) else {
            // Broken off: what is across is written down.
            return self.put_back(job);
        };
        let took = config.clock.now().saturating_sub(began);
        let report = |job: &Job, outcome| Report {
            path: job.entry.path.clone(),
            url: url.clone(),
            size: job.entry.identity.size,
            attempts: job.attempts,
            took,
            outcome,
        };
        match result {
            Ok(delivered) => {
                let outcome = self.finish(&mut job.entry, delivered);
                self.over(&job.entry, report(&job, outcome));
            }
            Err(error) => {
                job.failures = if job.entry.sent() > before { 0 } else { job.failures + 1 };
                let patient = config.retry.attempts.is_none_or(|most| job.failures < most);
                let again = match error.kind {
                    Kind::Local | Kind::Conflict | Kind::Destination => false,
                    // What a person has to see to may be seen to, if there is time.
                    kind if kind.passes() => patient,
                    _ => config.retry.attempts.is_none(),
                };
                if again {
                    job.due = config.clock.now() + self.pause(job.failures);
                    let mut state = self.shared.lock();
                    state.status.retries += 1;
                    state.status.last_error = Some(error.to_string());
                    drop(state);
                    self.put_back(job);
                } else {
                    let refused =
                        error.kind == Kind::Destination && matches!(self.target, Target::Pyroscope(_));
                    if error.kind == Kind::Local || refused {
                        // It is gone, or is nothing that can go there: there is nothing to keep.
                        let _ = self.shared.queue.remove(&job.entry);
                    } else {
                        self.shared.lock().given_up.push(job.entry.clone());
                    }
                    self.over(&job.entry, report(&job, Outcome::Failed(error)));
                }
            }
        }
    }

    /// One attempt; nothing if it was broken off.
    fn deliver(&self, entry: &mut Entry, url: &str) -> Option<Result<Delivered>> {
        let gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        if entry.verified && fs::symlink_metadata(&entry.path).is_err_and(gone) {
            // The process was killed between the removal of the file and that of the entry.
            return Some(Ok(Delivered { proof: Proof::Checksum, found: true }));
        }
        let abort = pin!(self.shared.abort.notified());
        match &self.target {
            Target::Store(remote) => {
                let config = &self.shared.config;
                let how = How {
                    part_size: config.part_size.max(1),
                    parallel: config.parallel,
                    verification: config.verification,
                };
                let work = pin!(deliver(remote, url, entry, how, &*self.shared));
                match self.runtime.block_on(select(work, abort)) {
                    Either::Left((result, _)) => Some(result),
                    Either::Right(_) => None,
                }
            }
            Target::Pyroscope(pusher) => {
                let (pusher, path) = (pusher.clone(), entry.path.clone());
                let push = async move { tokio::task::spawn_blocking(move || pusher.push(&path)).await };
                let pushed = match self.runtime.block_on(select(pin!(push), abort)) {
                    Either::Left((pushed, _)) => pushed,
                    Either::Right(_) => return None,
                };
                let pushed = pushed.unwrap_or_else(|error| {
                    Err(UploadError::new(Kind::Other, "cannot push a profile", error))
                });
                Some(pushed.map(|_| Delivered { proof: Proof::Accepted, found: false }))
            }
        }
    }

    /// What is left to do when a file is there and verified.
    fn finish(&self, entry: &mut Entry, delivered: Delivered) -> Outcome {
        let (mut deleted, mut kept_because) = (false, None);
        // Looked at once more: links can have been changed since.
        if entry.delete_after && self.shared.config.destination.has(&entry.path, &entry.name) {
            kept_because = Some("what is there is the very same file".to_owned());
        } else if entry.delete_after {
            if !entry.verified {
                entry.verified = true;
                self.shared.save(entry);
            }
            match remove(entry) {
                Ok(()) => deleted = true,
                Err(error) => kept_because = Some(error.to_string()),
            }
        }
        let removed = self.shared.queue.remove(entry);
        let mut state = self.shared.lock();
        state.status.queue_error = removed.err().map(|error| error.to_string());
        Outcome::Verified { proof: delivered.proof, found: delivered.found, deleted, kept_because }
    }

    /// Nothing more is done about a file.
    fn over(&self, entry: &Entry, report: Report) {
        let mut state = self.shared.lock();
        match &report.outcome {
            Outcome::Verified { deleted, .. } => {
                state.status.uploaded += 1;
                state.status.uploaded_bytes += report.size;
                state.status.deleted += u64::from(*deleted);
                state.status.last_error = None;
            }
            Outcome::Failed(error) => {
                state.status.failed += 1;
                state.status.last_error = Some(error.to_string());
            }
        }
        state.reports.push_back(report);
        if state.reports.len() > MOST_REPORTS {
            state.reports.pop_front();
        }
        state.current = None;
        if let Some(again) = state.again.take()
            && again.identity != entry.identity
        {
            // Held, as when a file is enqueued.
            let saved = self.shared.queue.save(&again);
            state.status.queue_error = saved.err().map(|error| error.to_string());
            state.jobs.push(Job::new(again));
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    fn put_back(&self, job: Job) {
        let mut state = self.shared.lock();
        state.current = None;
        state.again = None;
        state.jobs.push(job);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How long to wait after so many failures in a row: doubled each time, and less by up to a half, so that many that
    /// failed together do not come back together.
    fn pause(&self, failures: u32) -> Duration {
        let Retry { first, most, .. } = self.shared.config.retry;
        let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most);
        let chance = RandomState::new().hash_one(failures) as f64 / u64::MAX as f64;
        whole.mul_f64(0.5 + chance / 2.0)
    }
}

/// Removes a file whose copy is verified, if it is still the one that was verified.
fn remove(entry: &Entry) -> io::Result<()> {
    match Identity::at(&entry.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(identity) if identity != entry.identity => Err(io::Error::other("it has changed since")),
        Ok(_) => {
            fs::remove_file(&entry.path)?;
            entry.path.parent().map_or(Ok(()), sync_folder)
        }
    }
}

impl Watch for Shared {
    fn save(&self, entry: &Entry) {
        Self::save(self, entry);
    }

    fn sent(&self, bytes: u64) {
        if let Some(current) = &mut self.lock().current {
            current.sent = bytes;
        }
        self.changed.notify_all();
    }
}
