//! Names of captures: Node's pattern, or what the user asks for; the extension decides the compression.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use super::partial::problem;
use crate::{CaptureError, Kind, Result};

/// What is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaptureKind {
    /// A heap snapshot.
    Snapshot,
    /// An allocation timeline: a snapshot with samples, and with stacks if they were recorded.
    Timeline,
    /// A sampling heap profile.
    Profile,
}

impl CaptureKind {
    /// The extension of its files, without a dot. DevTools opens a file by it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Snapshot => "heapsnapshot",
            Self::Timeline => "heaptimeline",
            Self::Profile => "heapprofile",
        }
    }

    /// Its name in messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Snapshot => "heap snapshot",
            Self::Timeline => "allocation timeline",
            Self::Profile => "sampling heap profile",
        }
    }
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip, for other tools.
    Gzip,
    /// Zstandard: several times faster than gzip, and smaller.
    Zstd,
}

impl Compression {
    /// What a name asks for by its last extension: `.gz` or `.zst`.
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("gz") {
            Some(Self::Gzip)
        } else if extension.eq_ignore_ascii_case("zst") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Its extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }
}

/// Node's pattern: `Heap.<yyyymmdd>.<hhmmss>.<pid>.<thread>.<seq>.<extension>`, with `time` in the local zone.
/// `thread` is 0 for the main thread, and Node's number of a worker otherwise; `sequence` has at least three digits.
pub fn default_name(
    kind: CaptureKind,
    compression: Option<Compression>,
    time: &jiff::Zoned,
    pid: u32,
    thread: u32,
    sequence: u32,
) -> String {
    let mut name =
        format!("Heap.{}.{pid}.{thread}.{sequence:03}.{}", time.strftime("%Y%m%d.%H%M%S"), kind.extension());
    if let Some(compression) = compression {
        name.push('.');
        name.push_str(compression.extension());
    }
    name
}

/// Where a capture is to go, once the file system has been asked.
#[derive(Debug)]
pub(super) enum Place {
    /// Standard output.
    Stdout,
    /// A default name in a folder.
    Folder(PathBuf),
    /// A file of this name.
    File(PathBuf),
    /// A pipe or a device, which is written in place.
    Special(PathBuf),
}

impl Place {
    /// Resolves what the user asks for; nothing is the current folder. A file that exists needs `force`.
    pub(super) fn resolve(path: Option<&Path>, force: bool) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Folder(PathBuf::from("."))) };
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let what = || format!("cannot write {}", path.display());
        let own = match path.symlink_metadata() {
            Ok(own) => own,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(problem(path, &error, 0, None));
            }
            Err(_) if ends_with_slash(path) => {
                return Err(CaptureError::new(Kind::Output, what(), "there is no such folder")
                    .hint("create the folder first"));
            }
            Err(_) => return Ok(Self::File(path.to_owned())),
        };
        let Ok(meta) = path.metadata() else {
            return Err(CaptureError::new(Kind::Output, what(), "it is a symbolic link to nothing")
                .hint("remove the link, or name the file itself"));
        };
        if meta.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if !meta.is_file() {
            return Ok(Self::Special(path.to_owned()));
        }
        if ends_with_slash(path) {
            return Err(CaptureError::new(Kind::Output, what(), "it is a file and not a folder"));
        }
        if !force {
            return Err(exists(path));
        }
        if own.is_symlink() {
            // The rename has to replace the file that is meant, and not the link (`/dev/stdout` is one).
            let real = path.canonicalize().map_err(|error| CaptureError::new(Kind::Output, what(), error))?;
            return Ok(Self::File(real));
        }
        Ok(Self::File(path.to_owned()))
    }
}

/// The error for a file that is there already.
pub(super) fn exists(path: &Path) -> CaptureError {
    CaptureError::new(Kind::Output, format!("cannot write {}", path.display()), "it exists")
        .hint("use --force to overwrite it, or choose another name with -o")
}

/// The folder of a file; `.` for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A name with something appended, whatever its encoding.
pub(super) fn with_suffix(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_nodes_pattern() {
        let time: jiff::Zoned = "2026-11-21T09:08:07+01:00[+01:00]".parse().unwrap();
        assert_eq!(
            default_name(CaptureKind::Snapshot, None, &time, 4711, 0, 1),
            "Heap.20261121.090807.4711.0.001.heapsnapshot"
        );
        assert_eq!(
            default_name(CaptureKind::Profile, Some(Compression::Zstd), &time, 1, 12, 1234),
            "Heap.20261121.090807.1.12.1234.heapprofile.zst"
        );
    }

    #[test]
    fn the_last_extension_decides_the_compression() {
        let of = |name: &str| Compression::of_name(Path::new(name));
        assert_eq!(of("a.heapsnapshot"), None);
        assert_eq!(of("a.heapsnapshot.zst"), Some(Compression::Zstd));
        assert_eq!(of("a.GZ"), Some(Compression::Gzip));
        assert_eq!(of("a.zst.heapsnapshot"), None);
        assert_eq!(of(".gz"), None);
    }
}
