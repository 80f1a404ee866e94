//! The files: those that were given when the server started, that a page has sent, that a capture has written.
//!
//! A file has a number, and no request can name another. It is read when it is first asked for, on a thread of its own
//! that says how far it is; so many files are kept in memory, and of more the one that was used longest ago is closed. What
//! goes wrong is the file's state, which is told to whoever asks until the file changes or somebody tries again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;
use heapsight_analysis::{Heap, Monitor, store::Overview};
use heapsight_capture::output::Metadata;
use heapsight_profile::Profile;
use heapsight_query::{Cache, OpenError, OpenOptions, Source, code::Code};
use heapsight_snapshot::Problem;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{reply::Refusal, shelf::Shelf};

/// Files that are kept in memory. An opened file takes memory of about its own size.
const OPEN: usize = 4;

/// Files that a server knows.
const FILES: usize = 200;

/// Bytes of results that are kept for one open file.
const SHELF: usize = 48 << 20;

/// What says where the code of a capture stands.
pub type CodeOf = fn(&Path, &Heap) -> Code;

/// How files are opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The index folder.
    pub cache: Option<Cache>,
    /// Threads that parse; 0 is as many as there are cores.
    pub threads: usize,
    /// Finds the scripts of a capture.
    pub code_of: CodeOf,
}

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Named on the command line.
    Given,
    /// Lies in the folder in which the server was started.
    Nearby,
    /// Shown by another server before.
    Recent,
    /// Dropped on the page.
    Dropped,
    /// Captured by this server.
    Captured,
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Nearby => "nearby",
            Self::Recent => "recent",
            Self::Dropped => "dropped",
            Self::Captured => "captured",
        }
    }
}

/// How far a file is.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Not in memory.
    Closed,
    /// Being read or analysed.
    Opening {
        /// Bytes read.
        bytes: u64,
        /// Bytes of the file.
        len: Option<u64>,
        /// What is being done.
        phase: &'static str,
    },
    /// In memory.
    Open,
    /// Cannot be opened.
    Failed {
        /// Why.
        what: String,
        /// What to try.
        hint: Option<String>,
    },
}

impl State {
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Closed => json!({"state": "closed"}),
            Self::Opening { bytes, len, phase } => {
                json!({"state": "opening", "bytes": bytes, "length": len, "phase": phase})
            }
            Self::Open => json!({"state": "open"}),
            Self::Failed { what, hint } => json!({"state": "failed", "what": what, "hint": hint}),
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Open | Self::Failed { .. })
    }
}

/// A heap in memory.
pub(crate) struct HeapFile {
    pub(crate) heap: Heap,
    pub(crate) code: Code,
    /// What the side file of a capture says.
    pub(crate) side: Option<Metadata>,
    pub(crate) shelf: Shelf,
}

/// A sampling profile in memory.
pub(crate) struct ProfileFile {
    pub(crate) profile: Profile,
}

/// What a file holds.
pub(crate) enum Content {
    Heap(Box<HeapFile>),
    Profile(Box<ProfileFile>),
}

/// When a file was written, and its length.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// A file.
pub(crate) struct Entry {
    pub(crate) id: usize,
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) origin: Origin,
    state: watch::Sender<State>,
    content: Mutex<Option<(Arc<Content>, Stamp)>>,
    overview: Mutex<Option<(Arc<Overview>, Stamp)>>,
    /// When it was used last, on the library's clock.
    used: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    /// What a page is told.
    pub(crate) fn value(&self) -> Value {
        let stamp = stamp(&self.path);
        let modified = stamp.and_then(|(time, _)| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let mut value = self.state.borrow().value();
        value["id"] = self.id.into();
        value["name"] = self.name.clone().into();
        value["path"] = self.path.display().to_string().into();
        value["origin"] = self.origin.name().into();
        value["size"] = stamp.map(|stamp| stamp.1).into();
        value["modified_ms"] = modified.map(|time| time.as_millis() as u64).into();
        value["gone"] = stamp.is_none().into();
        if let Some((content, _)) = &*locked(&self.content) {
            match &**content {
                Content::Heap(file) => {
                    let snapshot = &file.heap.snapshot;
                    value["kind"] = if snapshot.samples.is_empty() { "snapshot" } else { "timeline" }.into();
                    value["nodes"] = snapshot.node_count().into();
                    value["edges"] = snapshot.edge_count().into();
                    value["total_size"] = file.heap.total_size().into();
                    value["damage"] = snapshot.warnings.as_slice().len().into();
                }
                Content::Profile(file) => {
                    value["kind"] = "profile".into();
                    value["total_size"] = file.profile.total_size().into();
                }
            }
        } else {
            value["kind"] = kind_by_name(&self.name).into();
        }
        value
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn is_open(&self) -> bool {
        locked(&self.content).is_some()
    }

    /// What is in memory, unless the file has changed since; a file that is gone is shown from memory.
    fn current(&self) -> Option<Arc<Content>> {
        let mut content = locked(&self.content);
        let (kept, then) = content.as_ref()?;
        let now = stamp(&self.path);
        if now.is_none() || now == *then {
            return Some(Arc::clone(kept));
        }
        *content = None;
        drop(content);
        self.state.send_replace(State::Closed);
        None
    }

    fn fail(&self, what: String, hint: Option<String>) {
        self.state.send_replace(State::Failed { what, hint });
    }
}

fn kind_by_name(name: &str) -> &'static str {
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let is_converted =
        [".pb", ".speedscope.json", ".collapsed.txt", ".csv"].iter().any(|end| plain.ends_with(end));
    if name.contains(".heapprofile") || is_converted {
        "profile"
    } else if name.contains(".heaptimeline") {
        "timeline"
    } else {
        "snapshot"
    }
}

/// Tells an entry's state while its file is read.
struct Teller<'a>(&'a Entry);

impl Monitor for Teller<'_> {
    fn begin(&self, name: &'static str) {
        self.0.state.send_modify(|state| {
            if let State::Opening { phase, .. } = state {
                *phase = name;
            }
        });
    }

    fn end(&self, _: &'static str, _: Duration) {}
}

/// All files.
pub(crate) struct Library {
    settings: Settings,
    entries: Mutex<Vec<Arc<Entry>>>,
    clock: AtomicU64,
    /// One file is read at a time: reading one uses all cores.
    reading: Mutex<()>,
}

impl Library {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, entries: Mutex::default(), clock: AtomicU64::new(1), reading: Mutex::default() }
    }

    /// Makes a file known; one that is known already keeps its number.
    pub(crate) fn add(&self, path: &Path, name: &str, origin: Origin) -> Result<Arc<Entry>, Refusal> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut entries = locked(&self.entries);
        if let Some(known) = entries.iter().find(|entry| entry.path == path) {
            return Ok(Arc::clone(known));
        }
        if entries.len() >= FILES {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("{FILES} files are known already"))
                .hint("start `heapsight open` again"));
        }
        let entry = Arc::new(Entry {
            id: entries.len(),
            path,
            name: name.to_owned(),
            origin,
            state: watch::Sender::new(State::Closed),
            content: Mutex::default(),
            overview: Mutex::default(),
            used: AtomicU64::new(0),
        });
        entries.push(Arc::clone(&entry));
        Ok(entry)
    }

    pub(crate) fn list(&self) -> Vec<Arc<Entry>> {
        locked(&self.entries).clone()
    }

    pub(crate) fn entry(&self, id: usize) -> Result<Arc<Entry>, Refusal> {
        let found = locked(&self.entries).get(id).cloned();
        found.ok_or_else(|| Refusal::missing(format!("there is no file {id}")).hint("go to the start page"))
    }

    /// Begins to open a file, unless it is open or being opened.
    pub(crate) fn start(self: &Arc<Self>, entry: &Arc<Entry>) {
        let mut starts = false;
        entry.state.send_modify(|state| {
            if !matches!(state, State::Opening { .. } | State::Open) {
                starts = true;
                *state = State::Opening { bytes: 0, len: None, phase: "waiting" };
            }
        });
        if !starts {
            return;
        }
        let (library, opened) = (Arc::clone(self), Arc::clone(entry));
        let thread = std::thread::Builder::new().name("open".to_owned());
        if thread.spawn(move || library.read(&opened)).is_err() {
            entry.fail("there can be no more threads".to_owned(), None);
        }
    }

    /// The content of a file, as soon as it is there.
    pub(crate) async fn content(self: &Arc<Self>, id: usize) -> Result<Arc<Content>, Refusal> {
        let entry = self.entry(id)?;
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut state = entry.watch();
        let mut first = true;
        loop {
            if let Some(content) = entry.current() {
                return Ok(content);
            }
            let failure = match &*state.borrow_and_update() {
                State::Failed { what, hint } => Some((what.clone(), hint.clone())),
                _ => None,
            };
            match failure {
                Some((what, hint)) => return Err(Refusal { hint, ..Refusal::failed(what) }),
                // Closed behind our back, or never opened.
                None if first || matches!(*state.borrow(), State::Closed) => self.start(&entry),
                None => {}
            }
            first = false;
            if state.changed().await.is_err() {
                return Err(Refusal::failed("the server ends"));
            }
        }
    }

    /// The Summary from the index of a file that is not open yet.
    pub(crate) fn overview(&self, entry: &Entry) -> Option<Arc<Overview>> {
        let now = stamp(&entry.path);
        if let Some((overview, then)) = &*locked(&entry.overview)
            && *then == now
        {
            return Some(Arc::clone(overview));
        }
        let options = OpenOptions { cache: self.settings.cache.as_ref(), ..OpenOptions::default() };
        let overview = Arc::new(heapsight_query::overview(&Source::Path(entry.path.clone()), options)?);
        *locked(&entry.overview) = Some((Arc::clone(&overview), now));
        Some(overview)
    }

    fn read(&self, entry: &Entry) {
        let _alone = locked(&self.reading);
        self.make_room(entry);
        let then = stamp(&entry.path);
        let content = if kind_by_name(&entry.name) == "profile" {
            read_profile(entry)
        } else {
            match self.read_heap(entry) {
                // A profile by another name.
                Err(OpenError::Read(error)) if matches!(error.problem, Problem::OtherFormat(_)) => {
                    read_profile(entry).map_err(|(_, hint)| (OpenError::Read(error).to_string(), hint))
                }
                Err(error) => Err((error.to_string(), error.hint().map(str::to_owned))),
                Ok(content) => Ok(content),
            }
        };
        match content {
            Ok(content) => {
                *locked(&entry.content) = Some((Arc::new(content), then));
                entry.state.send_replace(State::Open);
            }
            Err((what, hint)) => entry.fail(format!("cannot open {}: {what}", entry.name), hint),
        }
    }

    /// Reads a snapshot without keeping it.
    pub(crate) fn read_apart(&self, path: &Path) -> Result<(Heap, Code), Refusal> {
        let _alone = locked(&self.reading);
        let options = OpenOptions {
            threads: self.settings.threads,
            cache: self.settings.cache.as_ref(),
            ..OpenOptions::default()
        };
        let heap = heapsight_query::open(&Source::Path(path.to_owned()), options).map_err(|error| {
            let hint = error.hint().map(str::to_owned);
            Refusal { hint, ..Refusal::failed(format!("cannot open {}: {error}", path.display())) }
        })?;
        let code = (self.settings.code_of)(path, &heap);
        Ok((heap, code))
    }

    fn read_heap(&self, entry: &Entry) -> Result<Content, OpenError> {
        let hear = |read: u64, all: Option<u64>| {
            entry.state.send_modify(|state| {
                if let State::Opening { bytes, len, .. } = state {
                    (*bytes, *len) = (read, all);
                }
            });
        };
        let teller = Teller(entry);
        let options = OpenOptions {
            threads: self.settings.threads,
            cache: self.settings.cache.as_ref(),
            progress: Some(&hear),
            monitor: Some(&teller),
        };
        let heap = heapsight_query::open(&Source::Path(entry.path.clone()), options)?;
        let code = (self.settings.code_of)(&entry.path, &heap);
        let side = Metadata::of(&entry.path).ok().flatten();
        Ok(Content::Heap(Box::new(HeapFile { heap, code, side, shelf: Shelf::new(SHELF) })))
    }

    /// Closes files, those used longest ago first, until there is room for one more.
    fn make_room(&self, but: &Entry) {
        let entries = self.list();
        let mut open: Vec<&Arc<Entry>> =
            entries.iter().filter(|entry| entry.id != but.id && entry.is_open()).collect();
        open.sort_by_key(|entry| entry.used.load(Ordering::Relaxed));
        let over = (open.len() + 1).saturating_sub(OPEN);
        for entry in open.into_iter().take(over) {
            *locked(&entry.content) = None;
            entry.state.send_replace(State::Closed);
        }
    }
}

fn read_profile(entry: &Entry) -> Result<Content, (String, Option<String>)> {
    let file = fs::File::open(&entry.path).map_err(|error| (error.to_string(), None))?;
    let profile = heapsight_profile::read(std::io::BufReader::new(file)).map_err(|error| {
        let hint =
            "it should be a .heapprofile, pprof, a speedscope file or collapsed stacks, plain or compressed";
        (error.to_string(), Some(hint.to_owned()))
    })?;
    Ok(Content::Profile(Box::new(ProfileFile { profile })))
}
