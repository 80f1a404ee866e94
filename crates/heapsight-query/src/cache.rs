//! The folder of indices: what makes a second opening quick.
//!
//! * An index belongs to one file in one state: its path, device, inode, length, times of change (of content and of
//!   inode, to the nanosecond), and a fingerprint of 64 places of its content. Anything else is a miss, and the snapshot is
//!   read again.
//! * Indices are written under a temporary name and renamed when whole, so several processes may write the same one: the
//!   last wins, and readers keep what they have mapped.
//! * The folder is bounded: after a write the indices that were used longest ago go until the rest fits. An index that
//!   does not fit alone, or that would take more than half of the disk's free space, is not written.
//! * Whatever fails here costs only the time that it would have saved.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use heapsight_analysis::store::STORE_VERSION;
use heapsight_snapshot::index::{Index, IndexWriter};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use crate::direct::DirectWriter;

/// Ending of an index.
const EXTENSION: &str = "hsindex";

/// Temporary files older than this were left by a process that died.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// A file that changed this short before it was looked at may have changed again in the same tick of the file system's
/// clock: it is not cached.
const RACY: Duration = Duration::from_millis(20);

/// Where indices are kept, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The folder; made when first needed.
    pub dir: PathBuf,
    /// Bytes that the folder may hold.
    pub limit: u64,
    /// Files smaller than this are read again: that is as quick.
    pub min_file: u64,
}

/// The state of a file that an index is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    key: Vec<u8>,
    name: String,
    changed: Option<SystemTime>,
}

impl Identity {
    /// Looks at an open file.
    pub(crate) fn of(path: &Path, file: &mut File) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let meta = file.metadata()?;
        let mut key = Vec::new();
        key.extend(STORE_VERSION.to_le_bytes());
        key.extend(env!("CARGO_PKG_VERSION").as_bytes());
        key.extend(path.as_os_str().as_encoded_bytes());
        key.push(0);
        key.extend(meta.len().to_le_bytes());
        if let Ok(modified) =
            meta.modified().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other))
        {
            key.extend(modified.as_nanos().to_le_bytes());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            for number in [meta.dev(), meta.ino(), meta.ctime() as u64, meta.ctime_nsec() as u64] {
                key.extend(number.to_le_bytes());
            }
        }
        key.extend(fingerprint(file, meta.len())?.to_le_bytes());
        let name = format!("{:032x}", xxh3_128(path.as_os_str().as_encoded_bytes()));
        Ok(Self { key, name, changed: meta.modified().ok() })
    }
}

/// A checksum of 64 places spread over the file.
fn fingerprint(file: &mut File, len: u64) -> io::Result<u64> {
    const PLACES: u64 = 64;
    const BYTES: usize = 4096;
    let mut hash = Xxh3Default::new();
    let mut buffer = vec![0; BYTES];
    for place in 0..PLACES {
        let at = len.saturating_sub(BYTES as u64) / (PLACES - 1) * place;
        file.seek(SeekFrom::Start(at))?;
        let read = Read::by_ref(file).take(BYTES as u64).read(&mut buffer)?;
        hash.update(&buffer[..read]);
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(hash.digest())
}

/// An index that is being written.
#[derive(Debug)]
pub(crate) struct Pending {
    writer: IndexWriter<DirectWriter>,
    temporary: Temporary,
    target: PathBuf,
}

/// Removes its file unless told to keep it.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Cache {
    fn path(&self, identity: &Identity) -> PathBuf {
        self.dir.join(&identity.name).with_extension(EXTENSION)
    }

    /// The index for a file, if there is one that fits.
    pub(crate) fn find(&self, identity: &Identity) -> Option<Index> {
        let path = self.path(identity);
        let mut file = File::open(&path).ok()?;
        let index = Index::open(&mut file, &identity.key).ok()?;
        // For the order in which indices go; a read-only folder just keeps the old order.
        let _ = OpenOptions::new().append(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(index)
    }

    /// Begins an index of about so many bytes; `None` if it cannot or should not be written.
    pub(crate) fn begin(&self, identity: &Identity, about: u64) -> Option<Pending> {
        let age = identity.changed.and_then(|t| SystemTime::now().duration_since(t).ok());
        if about > self.limit || age.is_some_and(|age| age < RACY) {
            return None;
        }
        make_dir(&self.dir).ok()?;
        if free_bytes(&self.dir).is_some_and(|free| about > free / 2) {
            return None;
        }
        for attempt in 0..16u32 {
            let clock =
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
            let name = format!("{}.{}.{clock}.{attempt}.tmp", identity.name, std::process::id());
            let path = self.dir.join(name);
            match DirectWriter::create(&path) {
                Ok(file) => {
                    let temporary = Temporary { path, keep: false };
                    let writer = IndexWriter::new(file, &identity.key).ok()?;
                    return Some(Pending { writer, temporary, target: self.path(identity) });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Removes what was used longest ago until the folder holds no more than it may, and what dead processes left.
    pub(crate) fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let now = SystemTime::now();
        let mut indices: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(meta) = entry.metadata() else { continue };
            let modified = meta.modified().unwrap_or(now);
            match path.extension().and_then(|e| e.to_str()) {
                Some(EXTENSION) => indices.push((modified, meta.len(), path)),
                Some("tmp") if now.duration_since(modified).is_ok_and(|age| age > ORPHAN_AGE) => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        indices.sort();
        let mut sum: u64 = indices.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in indices {
            if sum <= self.limit {
                break;
            }
            if fs::remove_file(path).is_ok() {
                sum -= len;
            }
        }
    }
}

impl Pending {
    pub(crate) fn writer(&mut self) -> &mut IndexWriter<DirectWriter> {
        &mut self.writer
    }

    /// Puts the index in its place, if the snapshot is still what it was.
    pub(crate) fn finish(self, still: impl FnOnce() -> bool) -> bool {
        let Self { writer, mut temporary, target } = self;
        let complete = writer.finish().and_then(|(file, header)| {
            file.finish()?;
            OpenOptions::new().write(true).open(&temporary.path)?.write_all(&header)
        });
        if complete.is_err() || !still() {
            return false;
        }
        temporary.keep = fs::rename(&temporary.path, target).is_ok();
        temporary.keep
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        // An index holds the strings of the heap.
        builder.mode(0o700);
    }
    builder.create(dir)
}

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
