//! A file of this machine while it is uploaded: what it is, and its bytes by place.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a file is, so that another one under its name is noticed: written anew, or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written last, in nanoseconds since 1970; 0 if the system does not say.
    pub(crate) modified_ns: u64,
    /// Its number in the file system; 0 where there is none.
    pub(crate) inode: u64,
}

impl Identity {
    fn of(meta: &fs::Metadata) -> Self {
        let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(meta);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            size: meta.len(),
            modified_ns: modified.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(0),
            inode,
        }
    }

    /// What is under a name now.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        if meta.is_file() { Ok(Self::of(&meta)) } else { Err(no_file()) }
    }
}

/// Whether two paths lead to the same file or folder, through whatever links and mounts.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    let number = |path: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    };
    #[cfg(not(unix))]
    let number = |path: &Path| path.canonicalize().ok();
    number(a).is_some_and(|a| number(b) == Some(a))
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no file")
}

/// An open file.
#[derive(Debug)]
pub(crate) struct LocalFile {
    file: Mutex<File>,
    identity: Identity,
}

impl LocalFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_file());
        }
        Ok(Self { identity: Identity::of(&meta), file: Mutex::new(file) })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn size(&self) -> u64 {
        self.identity.size
    }

    /// The bytes from `start` on, exactly `length` of them.
    pub(crate) fn read(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}
