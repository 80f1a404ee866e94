//! The queue on disk: a folder with one small file for each file that has to go up.
//!
//! Invariants:
//! 1. A file of the queue is written under another name, synced, renamed, and the folder synced: after a crash there is
//!    the old one, the new one, or none, never half of one.
//! 2. One process at a time: the folder is locked for as long as its queue is open, by a lock that ends with the process.
//! 3. Nothing in the folder makes the queue unusable: what cannot be read is set aside, and said.
//!
//! The files to upload are not copied: an entry has the path.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    entry::Entry,
    error::{Kind, Result, UploadError},
};

/// How the name of an entry ends.
const SUFFIX: &str = ".json";

/// An entry has a line for each part, ten thousand at most.
const MAX_BYTES: u64 = 16 << 20;

/// How bytes get into a file; tests have one that fails.
pub(crate) type Writes = fn(&mut File, &[u8]) -> io::Result<()>;

/// An open queue.
pub(crate) struct Queue {
    folder: PathBuf,
    writes: Writes,
    /// Locked as long as it is open.
    _lock: File,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue of a folder, which is made if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        Self::open_with(folder, std::io::Write::write_all)
    }

    /// The same, with another way to write.
    pub(crate) fn open_with(folder: &Path, writes: Writes) -> Result<Self> {
        let failed = |error: &io::Error| {
            UploadError::new(Kind::Queue, format!("cannot open the queue {}", folder.display()), error)
        };
        make_private(folder).map_err(|error| failed(&error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(|error| failed(&error))?;
        if !locked(&lock).map_err(|error| failed(&error))? {
            return Err(failed(&io::Error::other("another process has it open"))
                .hint("end that process, or name another folder"));
        }
        let queue = Self { folder: folder.to_owned(), writes, _lock: lock };
        for name in names(folder).map_err(|error| failed(&error))? {
            if Path::new(&name).extension().is_some_and(|extension| extension == "tmp") {
                // What a process was writing when it was killed.
                let _ = fs::remove_file(folder.join(name));
            }
        }
        Ok(queue)
    }

    /// All entries, oldest first, and the names of files that are none and were set aside.
    pub(crate) fn entries(&self) -> Result<(Vec<Entry>, Vec<String>)> {
        let (entries, bad) = read(&self.folder)?;
        for name in &bad {
            // Only the ending changes, so that somebody can look at it.
            let _ = fs::rename(self.folder.join(name), self.folder.join(format!("{name}.damaged")));
        }
        Ok((entries, bad))
    }

    /// Writes an entry; when this returns it survives whatever happens to the process or the machine.
    pub(crate) fn save(&self, entry: &Entry) -> Result<()> {
        let id = entry.id();
        let temporary = self.folder.join(format!("{id}.tmp"));
        let save = || -> io::Result<()> {
            let text = serde_json::to_vec(entry)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&temporary)?;
            (self.writes)(&mut file, &text)?;
            file.sync_all()?;
            fs::rename(&temporary, self.folder.join(format!("{id}{SUFFIX}")))?;
            self.sync()
        };
        save().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            UploadError::new(
                Kind::Queue,
                format!("cannot write to the queue {}", self.folder.display()),
                error,
            )
        })
    }

    /// Takes an entry out.
    pub(crate) fn remove(&self, entry: &Entry) -> Result<()> {
        let path = self.folder.join(format!("{}{SUFFIX}", entry.id()));
        let removed = match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed.and_then(|()| self.sync()).map_err(|error| {
            UploadError::new(
                Kind::Queue,
                format!("cannot write to the queue {}", self.folder.display()),
                error,
            )
        })
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }
}

/// Makes what was done to a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Paths and destinations of what waits in a folder, whoever has it open: for those who ask what could be resumed.
///
/// # Errors
/// The folder cannot be read.
pub fn waiting(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let (entries, _) = read(folder)?;
    Ok(entries.into_iter().map(|entry| (entry.path, entry.destination)).collect())
}

fn read(folder: &Path) -> Result<(Vec<Entry>, Vec<String>)> {
    let failed = |error: io::Error| {
        UploadError::new(Kind::Queue, format!("cannot read the queue {}", folder.display()), error)
    };
    let (mut entries, mut bad) = (Vec::new(), Vec::new());
    for name in names(folder).map_err(failed)? {
        let Some(id) = name.strip_suffix(SUFFIX) else { continue };
        let mut text = Vec::new();
        let read =
            File::open(folder.join(&name)).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
        match read {
            Ok(_) => match Entry::parse(&text) {
                Some(entry) if entry.id() == id => entries.push(entry),
                _ => bad.push(name),
            },
            // Somebody else has just taken it out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    entries.sort_by(|a, b| (a.added_ms, &a.path).cmp(&(b.added_ms, &b.path)));
    Ok((entries, bad))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Makes a folder that only its owner may look into.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Locks a file if nobody has; the lock goes with the process.
fn locked(file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use rustix::fs::{FlockOperation, flock};
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Identity;

    fn entry(path: &str, added_ms: u64) -> Entry {
        let identity = Identity { size: 10, modified_ns: 5, inode: 7 };
        Entry::new(path.into(), identity, "s3://bucket/p".into(), "a".into(), added_ms)
    }

    #[test]
    fn what_is_saved_is_there_again_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("queue");
        let queue = Queue::open(&folder).unwrap();
        queue.save(&entry("/b", 2)).unwrap();
        queue.save(&entry("/a", 1)).unwrap();
        let mut changed = entry("/b", 2);
        changed.begun = true;
        queue.save(&changed).unwrap();
        drop(queue);
        let queue = Queue::open(&folder).unwrap();
        assert_eq!(queue.entries().unwrap(), (vec![entry("/a", 1), changed.clone()], vec![]));
        queue.remove(&changed).unwrap();
        queue.remove(&changed).unwrap();
        assert_eq!(queue.entries().unwrap().0, [entry("/a", 1)]);
    }

    #[test]
    fn a_queue_is_open_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = Queue::open(folder.path()).unwrap();
        let error = Queue::open(folder.path()).unwrap_err();
        assert_eq!((error.kind, error.why.as_str()), (Kind::Queue, "another process has it open"));
        drop(first);
        Queue::open(folder.path()).unwrap();
    }

    #[test]
    fn what_is_no_entry_is_set_aside_and_what_was_half_written_goes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let queue = Queue::open(folder.path()).unwrap();
        queue.save(&entry("/a", 1)).unwrap();
        drop(queue);
        let good = fs::read(at(&format!("{}.json", entry("/a", 1).id()))).unwrap();
        fs::write(at("x.json"), &good).unwrap(); // not its name
        fs::write(at("cut.json"), &good[..good.len() / 2]).unwrap();
        fs::write(at("empty.json"), "").unwrap();
        fs::write(at("y.tmp"), "half").unwrap();
        fs::write(at("note.txt"), "somebody's").unwrap();
        let queue = Queue::open(folder.path()).unwrap();
        let (entries, mut bad) = queue.entries().unwrap();
        bad.sort();
        assert_eq!(
            (entries, bad),
            (vec![entry("/a", 1)], vec!["cut.json".into(), "empty.json".into(), "x.json".into()])
        );
        assert!(at("cut.json.damaged").exists() && at("note.txt").exists() && !at("y.tmp").exists());
        assert_eq!(queue.entries().unwrap().1, Vec::<String>::new());
    }

    #[test]
    fn a_full_disk_leaves_the_old_entry() {
        let folder = tempfile::tempdir().unwrap();
        Queue::open(folder.path()).unwrap().save(&entry("/a", 1)).unwrap();
        let queue = Queue::open_with(folder.path(), |file, bytes| {
            io::Write::write_all(file, &bytes[..bytes.len() / 2])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap();
        let mut changed = entry("/a", 1);
        changed.begun = true;
        let error = queue.save(&changed).unwrap_err();
        assert_eq!(error.kind, Kind::Queue);
        assert!(error.to_string().contains("no storage space"), "{error}");
        assert_eq!(queue.save(&entry("/b", 1)).unwrap_err().kind, Kind::Queue);
        assert_eq!(queue.entries().unwrap(), (vec![entry("/a", 1)], vec![]));
        assert_eq!(names(folder.path()).unwrap().len(), 2, "the entry and the lock");
    }
}
