//! The folder of the captures: their names, who may write there, what is remembered from one watcher to the next.
//!
//! Names are `watch-<number>-<time>-<pid>.<kind>`. The number counts up over all watchers of the folder, so that what is
//! oldest does not depend on a clock. Nothing else in the folder is ever touched.
//!
//! Four things are remembered in `.heapsight-watch.json`, which is replaced whole: what was done in the last day (or a
//! watcher that is restarted could act again and again), the last number, and whose inspectors were opened here and not
//! closed yet: a watcher that was killed could not close them, so the next one does; and which captures have been
//! uploaded, or each watcher would compare all of them again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use heapsight_capture::{
    CaptureError, Kind, Result,
    output::{Metadata, clean_stale, replace},
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::recorder::{Id, Kept};

const LOCK: &str = ".heapsight-watch.lock";
const STATE: &str = ".heapsight-watch.json";
const PREFIX: &str = "watch-";

/// More than any state has.
const MOST: u64 = 16 << 20;

/// What is remembered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    format: String,
    version: u32,
    /// The machine's boot: process ids and start times mean nothing in another.
    boot_id: String,
    number: u64,
    /// Program, and when it acted in seconds since 1970.
    acted: Vec<(String, u64)>,
    opened: Vec<Opened>,
    /// By destination, the names of captures that have arrived there.
    uploaded: BTreeMap<String, BTreeSet<String>>,
}

/// An inspector that was opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Opened {
    pid: u32,
    start_time: u64,
}

/// The folder, which is this watcher's alone while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    state: Mutex<State>,
    /// Something has changed that could not be written.
    unwritten: AtomicBool,
    _lock: File,
}

impl Folder {
    /// Opens the folder, makes it if need be, and removes what killed watchers left half written.
    ///
    /// # Errors
    /// [`Kind::Output`]: it cannot be made or written to. [`Kind::Refused`]: another watcher has it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error: &std::io::Error| {
            CaptureError::new(Kind::Output, format!("cannot keep captures in {}", path.display()), error)
                .hint("name another folder with -o")
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed(&e))?;
        let path = path.canonicalize().map_err(|e| failed(&e))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|e| failed(&e))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(CaptureError::new(
                Kind::Refused,
                format!("another heapsight watch keeps its captures in {}", path.display()),
                "two would remove each other's",
            )
            .hint("name another folder with -o"));
        }
        clean_stale(&path);
        let mut state = read(&path.join(STATE)).unwrap_or_default();
        if state.boot_id != boot_id() {
            state.opened.clear();
        }
        (state.format, state.version, state.boot_id) = ("heapsight-watch".to_owned(), 1, boot_id());
        let folder = Self { path, state: Mutex::new(state), unwritten: AtomicBool::new(false), _lock: lock };
        folder.clear_sides();
        let captures = folder.captures();
        let last = captures.last().map_or(0, |(number, _)| *number);
        let names: BTreeSet<&str> =
            captures.iter().filter_map(|(_, kept)| kept.path.file_name()?.to_str()).collect();
        folder.change(|state| {
            state.number = state.number.max(last);
            state.uploaded.values_mut().for_each(|known| known.retain(|name| names.contains(name.as_str())));
            state.uploaded.retain(|_, known| !known.is_empty());
        });
        Ok(folder)
    }

    /// The captures that are there, oldest first.
    pub(super) fn kept(&self) -> Vec<Kept> {
        self.captures().into_iter().map(|(_, kept)| kept).collect()
    }

    fn captures(&self) -> Vec<(u64, Kept)> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let mut captures: Vec<(u64, Kept)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let name = name.to_str()?;
                let number = name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()?;
                // A side file belongs to its capture, and goes with it; one that is alone counts for itself.
                let path = entry.path();
                if let Some(whole) = name.strip_suffix(".meta.json")
                    && self.path.join(whole).symlink_metadata().is_ok()
                {
                    return None;
                }
                Some((number, Kept { bytes: size(&path), path }))
            })
            .collect();
        captures.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
        captures
    }

    /// Removes side files of captures that a killed watcher was about to remove with them.
    fn clear_sides(&self) {
        for (_, kept) in self.captures() {
            if kept.path.to_string_lossy().ends_with(".meta.json") {
                let _ = fs::remove_file(kept.path);
            }
        }
    }

    /// A name that no capture has, for a kind: `heapsnapshot.zst`.
    pub(super) fn name(&self, wall: SystemTime, pid: u32, extension: &str) -> PathBuf {
        let mut number = 0;
        self.change(|state| {
            state.number += 1;
            number = state.number;
        });
        let time = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let time = time.strftime("%Y%m%dT%H%M%SZ");
        self.path.join(format!("{PREFIX}{number:06}-{time}-{pid}.{extension}"))
    }

    /// What was done in the last day, by another watcher: program, and how long ago. A time to come counts as now.
    pub(super) fn acted(&self, wall: SystemTime) -> Vec<(String, Duration)> {
        let now = seconds(wall);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |at: &u64| Duration::from_secs(now.saturating_sub(*at));
        state.acted.iter().map(|(program, at)| (program.clone(), age(at))).collect()
    }

    /// Remembers what was done in the last day.
    pub(super) fn remember(&self, wall: SystemTime, acted: &[(String, Duration)]) {
        let now = seconds(wall);
        self.change(|state| {
            state.acted = acted
                .iter()
                .map(|(program, age)| (program.clone(), now.saturating_sub(age.as_secs())))
                .collect();
        });
    }

    /// An inspector is about to be opened here.
    pub(super) fn opening(&self, id: Id) {
        let opened = Opened { pid: id.pid, start_time: id.start_time };
        self.change(|state| {
            if !state.opened.contains(&opened) {
                state.opened.push(opened);
            }
        });
    }

    /// It was not, or is closed again.
    pub(super) fn closed(&self, id: Id) {
        self.change(|state| state.opened.retain(|o| (o.pid, o.start_time) != (id.pid, id.start_time)));
    }

    /// Whether an inspector that is open was opened here, maybe by a watcher that was killed.
    pub(super) fn is_opened(&self, id: Id) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.opened.iter().any(|o| (o.pid, o.start_time) == (id.pid, id.start_time))
    }

    /// All of these.
    pub(super) fn opened(&self) -> Vec<Id> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.opened.iter().map(|o| Id { pid: o.pid, start_time: o.start_time }).collect()
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A capture has arrived at a destination.
    pub(super) fn uploaded(&self, destination: &str, name: &str) {
        self.change(|state| {
            state.uploaded.entry(destination.to_owned()).or_default().insert(name.to_owned());
        });
    }

    /// Whether it had arrived there.
    pub(super) fn is_uploaded(&self, destination: &str, name: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.uploaded.get(destination).is_some_and(|known| known.contains(name))
    }

    /// A capture is removed. That is written with the next change; the next watcher finds it by itself.
    pub(super) fn forget(&self, name: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for names in state.uploaded.values_mut() {
            names.remove(name);
        }
    }

    /// Changes what is remembered. That it cannot be written (a full disk) is no reason to stop; see [`Folder::catch_up`].
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        self.write(&state);
    }

    /// Writes what could not be written before.
    pub(super) fn catch_up(&self) {
        if self.unwritten.load(Ordering::Relaxed) {
            self.write(&self.state.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// With the state locked, so that what is older never replaces what is newer.
    fn write(&self, state: &State) {
        let written =
            serde_json::to_vec(state).is_ok_and(|bytes| replace(&self.path.join(STATE), &bytes).is_ok());
        self.unwritten.store(!written, Ordering::Relaxed);
    }
}

/// A capture's bytes, with those of its side file.
pub(super) fn size(path: &Path) -> u64 {
    let of = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    of(path) + of(&Metadata::path_of(path))
}

/// Removes a capture and its side file.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let _ = fs::remove_file(Metadata::path_of(path));
    Ok(())
}

fn read(path: &Path) -> Option<State> {
    if fs::metadata(path).ok()?.len() > MOST {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_outlives_the_watcher() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("captures");
        let id = Id { pid: 7, start_time: 9 };
        let wall = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let first = Folder::open(&path).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err().kind, Kind::Refused);
        first.opening(id);
        first.remember(wall, &[("a".to_owned(), Duration::from_secs(60))]);
        let name = first.name(wall, 7, "heapsnapshot.zst");
        assert!(name.ends_with("watch-000001-19700112T134640Z-7.heapsnapshot.zst"), "{name:?}");
        drop(first);
        let second = Folder::open(&path).unwrap();
        assert!(second.is_opened(id));
        // The clock was set back: what is to come counts as now.
        assert_eq!(second.acted(UNIX_EPOCH), [("a".to_owned(), Duration::ZERO)]);
        assert_eq!(second.acted(wall), [("a".to_owned(), Duration::from_secs(60))]);
        second.closed(id);
        assert!(second.name(wall, 7, "x").to_str().unwrap().contains("watch-000002-"));
        drop(second);
        assert_eq!(Folder::open(&path).unwrap().opened(), []);
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let state = dir.path().join(STATE);
        fs::remove_file(&state).unwrap();
        // As on a full disk, nothing takes its place.
        fs::create_dir_all(state.join("in the way")).unwrap();
        folder.opening(Id { pid: 7, start_time: 9 });
        folder.catch_up();
        assert!(state.is_dir());
        fs::remove_dir_all(&state).unwrap();
        folder.catch_up();
        assert_eq!(read(&state).unwrap().opened, [Opened { pid: 7, start_time: 9 }]);
    }

    #[test]
    fn captures_are_counted_by_number_and_nothing_else_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, length: usize| fs::write(dir.path().join(name), vec![0; length]).unwrap();
        write("watch-000010-x-7.heapsnapshot.zst", 100);
        write("watch-000010-x-7.heapsnapshot.zst.meta.json", 11);
        write("watch-000009-x-7.heapprofile", 50);
        write("Heap.2026.heapsnapshot", 1000);
        write(".heapsight-1-00.partial", 7);
        let folder = Folder::open(dir.path()).unwrap();
        let kept: Vec<u64> = folder.kept().iter().map(|kept| kept.bytes).collect();
        assert_eq!(kept, [50, 111]);
        assert!(!dir.path().join(".heapsight-1-00.partial").exists());
        remove(&folder.kept()[1].path).unwrap();
        assert_eq!(folder.kept().len(), 1);
        assert!(dir.path().join("Heap.2026.heapsnapshot").exists());
        assert!(!dir.path().join("watch-000010-x-7.heapsnapshot.zst.meta.json").exists());
    }
}
