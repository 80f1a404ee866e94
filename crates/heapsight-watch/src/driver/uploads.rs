//! Captures go to stores, and the rolling profile to Pyroscope, as they come.
//!
//! Invariants: a capture that is taken in stays in its folder until it is verified at every store, over as many watchers
//! as it takes; what could not even be put into a queue, because the disk is full, is tried again. Profiles that wait to be
//! pushed are few: where the server is away the newest ones are left out, and nothing is kept for it.
//!
//! Each destination has a queue of its own in the folder, named by its URL: who changes where captures go gets what waits
//! for the old place when that is named again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use heapsight_capture::{
    CaptureError, Kind, Result,
    output::{Metadata, replace},
};
use heapsight_upload::{
    Config, Destination, Environment, Handle, Outcome, Report, Status, UploadError, Uploader,
};
use serde_json::json;

use super::{
    event::Event,
    folder::{self, Folder},
};
use crate::{metrics::Numbers, recorder::Id, settings::HOST};

/// Folder of the queues, and of the profiles that wait to be pushed.
const QUEUES: &str = ".heapsight-watch-uploads";
const PROFILES: &str = "profiles";

/// Profiles that wait to be pushed to a server, at most.
const WAITING: usize = 32;

/// When what could not be put into a queue is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// A reading of the rolling profile.
#[derive(Debug)]
pub(super) struct Reading<'r> {
    pub(super) id: Id,
    pub(super) runtime: &'r str,
    pub(super) bytes: &'r [u8],
}

/// What came of uploads.
#[derive(Debug)]
pub(super) enum News {
    Event(Event),
    /// It is verified at every store, or is gone: it need not stay here.
    Arrived(PathBuf),
}

/// A destination.
#[derive(Debug)]
struct Place {
    url: String,
    handle: Handle,
    /// What went wrong last, as it was said.
    said: Option<String>,
}

#[derive(Debug)]
struct Owed {
    path: PathBuf,
    store: usize,
    at: Duration,
}

/// All destinations.
#[derive(Debug)]
pub(super) struct Uploads {
    folder: Arc<Folder>,
    stores: Vec<Place>,
    servers: Vec<Place>,
    /// Captures that are not at all stores yet: the stores, by number, and the files that are missing there, which are the
    /// capture and its side file.
    waiting: BTreeMap<PathBuf, BTreeMap<usize, BTreeSet<PathBuf>>>,
    /// Captures that a store's queue could not take, and when it is tried again.
    owed: Vec<Owed>,
    /// Where profiles wait.
    profiles: PathBuf,
    number: u64,
    /// When the profile of a process was pushed last.
    pushed: BTreeMap<Id, SystemTime>,
    /// Why a server refused a profile, as it was said last.
    refusal: Option<String>,
    news: Vec<News>,
}

impl Uploads {
    /// Opens the queues; what is in them goes on.
    ///
    /// # Errors
    /// A queue cannot be opened, or a destination cannot be what is configured.
    pub(super) fn start(urls: &[String], environment: &Environment, folder: &Arc<Folder>) -> Result<Self> {
        let base = folder.path().join(QUEUES);
        let profiles = base.join(PROFILES);
        let (mut stores, mut servers) = (Vec::new(), Vec::new());
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        for url in urls {
            let url = url.replace(HOST, host.trim());
            let destination: Destination = url.parse().map_err(failed)?;
            if destination.is_folder(folder.path()) {
                let what = format!("cannot upload captures to {destination}");
                return Err(CaptureError::new(Kind::Output, what, "they are kept in that very folder")
                    .hint("name another folder, or another one with -o"));
            }
            let files = destination.keeps_files();
            let url = destination.to_string();
            let queue = base.join(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(url.as_bytes())));
            let config = Config::new(destination, environment.clone(), queue);
            let place = Place { handle: Uploader::start(config).map_err(failed)?, url, said: None };
            if files { stores.push(place) } else { servers.push(place) }
        }
        if !servers.is_empty() {
            fs::create_dir_all(&profiles)
                .map_err(|error| CaptureError::io(format!("cannot make {}", profiles.display()), &error))?;
        }
        let mut uploads = Self {
            folder: Arc::clone(folder),
            stores,
            servers,
            waiting: BTreeMap::new(),
            owed: Vec::new(),
            profiles,
            number: 0,
            pushed: BTreeMap::new(),
            refusal: None,
            news: Vec::new(),
        };
        uploads.clear_profiles();
        Ok(uploads)
    }

    /// Takes a capture in, for all stores that do not have it. Whether it must stay here for that.
    pub(super) fn take(&mut self, path: &Path, now: Duration) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
        let mut files = BTreeSet::from([path.to_owned()]);
        files.extend(Some(Metadata::path_of(path)).filter(|side| side.is_file()));
        let mut missing = BTreeMap::new();
        for (number, store) in self.stores.iter().enumerate() {
            if self.folder.is_uploaded(&store.url, name) {
                continue;
            }
            missing.insert(number, files.clone());
            if let Err(error) = store.handle.enqueue(path) {
                self.owed.push(Owed { path: path.to_owned(), store: number, at: now + AGAIN });
                self.news.push(News::Event(Event::NotUploaded {
                    path: path.to_owned(),
                    url: format!("{}/{name}", store.url),
                    why: error.to_string(),
                    again: Some(AGAIN),
                }));
            }
        }
        let stays = !missing.is_empty();
        if stays {
            self.waiting.insert(path.to_owned(), missing);
        }
        stays
    }

    /// Pushes a reading of the rolling profile to all servers that keep up.
    pub(super) fn push(&mut self, reading: &Reading<'_>, wall: SystemTime) {
        let Reading { id, runtime, bytes } = *reading;
        let pid = id.pid;
        let ready = |place: &&Place| place.handle.status().waiting < WAITING;
        if !self.servers.iter().any(|place| ready(&place)) {
            return;
        }
        // What the reading says is true at its end; it stands for the time since the one before.
        let since = self.pushed.insert(id, wall).filter(|since| *since <= wall).unwrap_or(wall);
        let span = wall.duration_since(since).unwrap_or_default();
        let Ok(time) = jiff::Timestamp::try_from(since) else { return };
        self.number += 1;
        let path = self.profiles.join(format!("{}-{pid}.heapprofile", self.number));
        let about = json!({
            "capture": {"kind": "heapprofile", "time": time.to_string(), "duration_ms": span.as_secs_f64() * 1e3},
            "process": {"pid": pid},
            "runtime": {"name": runtime},
        });
        // Without room for it there is none for its entry in the queue either, and the next reading says the same and more.
        let written = replace(&Metadata::path_of(&path), about.to_string().as_bytes())
            .and_then(|()| replace(&path, bytes));
        let queues = self.servers.iter().filter(ready).map(|place| place.handle.enqueue(&path));
        let taken = written.is_ok() && queues.flatten().count() > 0;
        if !taken {
            // Whatever of it is there is in nobody's way.
            let _ = folder::remove(&path);
        }
    }

    /// A process has ended.
    pub(super) fn forget(&mut self, id: Id) {
        self.pushed.remove(&id);
    }

    /// What came of it since this was asked last.
    pub(super) fn news(&mut self, now: Duration) -> Vec<News> {
        self.pay(now);
        for number in 0..self.stores.len() {
            let Some(store) = self.stores.get_mut(number) else { continue };
            let reports = store.handle.reports();
            self.news.extend(store.troubles());
            for report in reports {
                self.reported(number, &report);
            }
        }
        for number in 0..self.servers.len() {
            let Some(server) = self.servers.get_mut(number) else { continue };
            let reports = server.handle.reports();
            self.news.extend(server.troubles());
            for report in reports {
                if let Outcome::Failed(error) = &report.outcome
                    && self.refusal.as_ref() != Some(&error.why)
                {
                    // Each reading would say it again.
                    self.refusal = Some(error.why.clone());
                    let text = format!("a profile was not pushed: {}", hinted(error));
                    self.news.push(News::Event(Event::Note(text)));
                }
                if !self.servers.iter().any(|place| place.handle.is_pending(&report.path)) {
                    let _ = folder::remove(&report.path);
                }
            }
        }
        std::mem::take(&mut self.news)
    }

    /// A store says what became of a file.
    fn reported(&mut self, store: usize, report: &Report) {
        let path = capture_of(&report.path);
        match &report.outcome {
            Outcome::Verified { .. } if path == report.path => {
                self.news.push(News::Event(Event::Uploaded {
                    path: path.clone(),
                    url: report.url.clone(),
                    bytes: report.size,
                }));
            }
            Outcome::Failed(error) => {
                self.news.push(News::Event(Event::NotUploaded {
                    path: report.path.clone(),
                    url: report.url.clone(),
                    why: hinted(error),
                    again: None,
                }));
                // Whoever has removed it here did not want it.
                if report.path.symlink_metadata().is_ok() {
                    return;
                }
            }
            _ => {}
        }
        self.settle(store, &path, &report.path);
    }

    /// A file of a capture need not stay for a store any more.
    fn settle(&mut self, store: usize, path: &Path, file: &Path) {
        let Some(missing) = self.waiting.get_mut(path) else { return };
        let Some(files) = missing.get_mut(&store) else { return };
        files.remove(file);
        if !files.is_empty() {
            return;
        }
        missing.remove(&store);
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some(place), Some(name)) = (self.stores.get(store), name) {
            self.folder.uploaded(&place.url, name);
        }
        if missing.is_empty() {
            self.waiting.remove(path);
            self.news.push(News::Arrived(path.to_owned()));
        }
    }

    /// Tries again what a queue could not take.
    fn pay(&mut self, now: Duration) {
        let (due, later): (Vec<Owed>, Vec<Owed>) =
            std::mem::take(&mut self.owed).into_iter().partition(|owed| now >= owed.at);
        self.owed = later;
        for owed in due {
            let Some(store) = self.stores.get(owed.store) else { continue };
            if store.handle.enqueue(&owed.path).is_ok() {
                continue;
            }
            if owed.path.symlink_metadata().is_ok() {
                self.owed.push(Owed { at: now + AGAIN, ..owed });
            } else {
                self.settle(owed.store, &owed.path, &Metadata::path_of(&owed.path));
                self.settle(owed.store, &owed.path, &owed.path);
            }
        }
    }

    /// Numbers for Prometheus.
    pub(super) fn numbers(&self) -> Vec<Numbers> {
        let numbers = |place: &Place| {
            let Status { waiting, uploaded, uploaded_bytes, failed, retries, .. } = place.handle.status();
            let (destination, waiting) = (place.url.clone(), waiting as u64);
            Numbers { destination, waiting, uploaded, bytes: uploaded_bytes, failed, retries }
        };
        self.places().map(numbers).collect()
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.stores.iter().chain(&self.servers)
    }

    /// Waits for a while until all is up, or, where that is not `everything`, for what can be tried at once.
    pub(super) fn wait(&self, limit: Duration, everything: bool, stop: impl Fn() -> bool) {
        let begun = Instant::now();
        let busy = |place: &Place| {
            let status = place.handle.status();
            let soon = status.current.is_some() || status.next_attempt.is_some_and(|time| time.is_zero());
            if everything { status.waiting > 0 } else { soon }
        };
        while begun.elapsed() < limit && !stop() && self.places().any(busy) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a watcher that was killed left and nobody waits for.
    fn clear_profiles(&mut self) {
        let Ok(entries) = fs::read_dir(&self.profiles) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let number = path.file_name().and_then(|name| name.to_str()?.split('-').next()?.parse().ok());
            self.number = self.number.max(number.unwrap_or(0));
            if !self.servers.iter().any(|place| place.handle.is_pending(&capture_of(&path))) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Place {
    /// What goes wrong and is tried again, if it was not said yet.
    fn troubles(&mut self) -> Option<News> {
        let status = self.handle.status();
        let error = status.queue_error.or(status.last_error.filter(|_| status.waiting > 0));
        if error == self.said {
            return None;
        }
        self.said.clone_from(&error);
        error.map(|error| News::Event(Event::Note(format!("{error}; it is tried again"))))
    }
}

/// The capture that a file is, or is the side file of.
fn capture_of(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".meta.json"));
    name.map_or_else(|| path.to_owned(), |name| path.with_file_name(name))
}

fn hinted(error: &UploadError) -> String {
    match &error.hint {
        Some(hint) => format!("{error} (hint: {hint})"),
        None => error.to_string(),
    }
}

fn failed(error: UploadError) -> CaptureError {
    let kind = if error.kind == heapsight_upload::Kind::Queue { Kind::Output } else { Kind::Refused };
    let failure = CaptureError::new(kind, error.what, error.why);
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
