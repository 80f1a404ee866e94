//! A file that appears under its name when it is whole: written under a temporary name in the same folder, then renamed.
//!
//! The temporary file is `.heapsight-<pid>-<random>.partial`, made with `O_EXCL` and mode 0600. Its writer holds a lock on
//! it (`flock`), which the kernel drops however the writer ends. So [`clean_stale`] can tell what a killed writer left
//! behind from what is being written, also when the writer is in another PID namespace.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with, statvfs},
    io::Errno,
};

use super::name::{exists, folder_of};
use crate::{CaptureError, Kind, Result};

const PREFIX: &str = ".heapsight-";
const SUFFIX: &str = ".partial";

/// How many entries of a folder are looked at for stale files: cleaning is a courtesy and must not take long.
const MAX_ENTRIES: usize = 100_000;

/// A file under its temporary name; dropping it removes it.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    committed: bool,
}

impl Partial {
    /// Creates a temporary file beside `target`.
    pub(super) fn create(target: &Path) -> Result<Self> {
        let folder = folder_of(target);
        // A cleaner may take the file between its creation and its lock; so the lock is tried on a few files.
        for _ in 0..16 {
            let random = RandomState::new().hash_one(std::process::id());
            let path = folder.join(format!("{PREFIX}{}-{random:016x}{SUFFIX}", std::process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(problem(target, &error, 0, None)),
            };
            let locked = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => false,
                // A file system without locks: nothing is cleaned there either.
                Ok(()) | Err(_) => file.metadata().is_ok_and(|meta| meta.nlink() > 0),
            };
            let partial = Self { file, path, committed: false };
            if locked {
                return Ok(partial);
            }
        }
        Err(CaptureError::new(
            Kind::Output,
            format!("cannot write {}", target.display()),
            format!("no temporary file could be made in {}", folder.display()),
        ))
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name. Without `force` nothing is ever overwritten; `Ok(false)` says that the name is taken.
    pub(super) fn commit(&mut self, target: &Path, force: bool) -> Result<bool> {
        let result = if force { fs::rename(&self.path, target) } else { rename_new(&self.path, target) };
        match result {
            Ok(()) => {
                self.committed = true;
                // The name is durable only when the folder is; a folder that cannot be synchronised is no failure.
                let _ = File::open(folder_of(target)).and_then(|folder| folder.sync_all());
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(problem(target, &error, 0, None)),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Renames without overwriting.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without the flag (NFS, some FUSE): a second name is made only where there is none.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::hard_link(from, to) {
            Ok(()) => {
                let _ = fs::remove_file(from);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // No links either (FAT): what is left is to look first.
            Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        other => other.map_err(io::Error::from),
    }
}

/// Writes a small file whole or not at all, mode 0600, and replaces what has its name.
///
/// # Errors
/// [`Kind::Output`]: the disk is full, the folder is not there or may not be written to.
pub fn replace(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = Partial::create(target)?;
    io::Write::write_all(&mut &partial.file, bytes)
        .and_then(|()| partial.file.sync_all())
        .map_err(|error| problem(target, &error, 0, Some(bytes.len() as u64)))?;
    if partial.commit(target, true)? { Ok(()) } else { Err(exists(target)) }
}

/// Removes temporary files that killed writers of the same user left in a folder; returns how many. Files that are being
/// written are left alone, and nothing that goes wrong here is an error.
pub fn clean_stale(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let own = rustix::process::geteuid().as_raw();
    let mut removed = 0;
    for entry in entries.take(MAX_ENTRIES).flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !name.starts_with(PREFIX.as_bytes()) || !name.ends_with(SUFFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        if !entry.metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == own) {
            continue;
        }
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let Ok(file) = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(&path)
        else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            // The name may meanwhile belong to another file, or to the finished one.
            && same_file(&file, &path)
            && fs::remove_file(&path).is_ok()
        {
            removed += 1;
        }
    }
    removed
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

/// Bytes that an unprivileged user may still write to the file system of a folder or file.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let found = if path.is_dir() { path } else { folder_of(path) };
    let stat = statvfs(found).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// A failure to write `target` in words: `written` bytes are in the file, and `expected` is an estimate of all.
pub(super) fn problem(target: &Path, error: &io::Error, written: u64, expected: Option<u64>) -> CaptureError {
    let what = format!("cannot write {}", target.display());
    let folder = folder_of(target).display();
    let full = |place: &str| {
        let mut why = format!("{place} is full");
        if written > 0 || expected.is_some() {
            why.push_str(&format!(", {} were written", bytes(written)));
        }
        if let Some(expected) = expected {
            why.push_str(&format!(" of about {}", bytes(expected)));
        }
        CaptureError::new(Kind::Output, &what, why)
            .hint("make room, choose another folder with -o, or end the name in .zst to compress the capture")
    };
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC) => full("the disk"),
        Some(Errno::DQUOT) => full("the disk quota"),
        Some(Errno::FBIG) => CaptureError::new(
            Kind::Output,
            what,
            format!(
                "the file became too large for the file system or the limit of the user ({})",
                bytes(written)
            ),
        )
        .hint(
            "see `ulimit -f`, choose another folder with -o, or end the name in .zst to compress the capture",
        ),
        Some(Errno::ACCESS | Errno::PERM) => {
            CaptureError::new(Kind::Output, what, format!("no permission to write in {folder}"))
                .hint("choose another folder with -o")
        }
        Some(Errno::ROFS) => {
            CaptureError::new(Kind::Output, what, format!("the file system of {folder} is read-only"))
                .hint("choose another folder with -o, or stream to standard output with -o -")
        }
        Some(Errno::NOENT) => CaptureError::new(Kind::Output, what, format!("there is no folder {folder}"))
            .hint("create the folder first"),
        Some(Errno::NOTDIR) => CaptureError::new(Kind::Output, what, format!("{folder} is not a folder")),
        Some(Errno::ISDIR) => CaptureError::new(Kind::Output, what, "it is a folder"),
        Some(Errno::NAMETOOLONG) => CaptureError::new(Kind::Output, what, "the name is too long"),
        Some(Errno::PIPE) => CaptureError::new(Kind::Gone, what, "its reader has gone"),
        _ => CaptureError::new(Kind::Output, what, error),
    }
}

/// A number of bytes for people, in binary units as everywhere in Heapsight.
pub(super) fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", units[unit]) }
}
