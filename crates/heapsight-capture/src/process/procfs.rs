//! Reading `/proc`: bounded, with errors that say which process and what to do.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::PathBuf,
};

use crate::error::{CaptureError, Kind, Result};

/// More than any text of `/proc` has; `smaps` of a process with 65,530 mappings is about 60 MB.
const MOST: u64 = 256 << 20;

/// The path of a file of a process.
pub(crate) fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// Whether there is a `/proc` as this module reads it.
pub(crate) fn supported() -> Result<()> {
    if cfg!(target_os = "linux") {
        return Ok(());
    }
    Err(CaptureError::new(
        Kind::Unsupported,
        "cannot look at processes on this system",
        "Heapsight reads Linux' /proc",
    )
    .hint("start the program with --inspect and name its HOST:PORT as the target"))
}

/// The bytes of a file of a process.
pub(crate) fn bytes(pid: u32, file: &str) -> Result<Vec<u8>> {
    supported()?;
    bytes_io(pid, file).map_err(|error| failure(pid, file, &error))
}

/// The same with the system's own error.
pub(crate) fn bytes_io(pid: u32, file: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path(pid, file))?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file of a process; bytes that are no UTF-8 are replaced.
pub(crate) fn text(pid: u32, file: &str) -> Result<String> {
    let bytes = bytes(pid, file)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Where a link of a process leads.
pub(crate) fn link(pid: u32, file: &str) -> Result<PathBuf> {
    supported()?;
    fs::read_link(path(pid, file)).map_err(|error| failure(pid, file, &error))
}

/// The ids of all processes that `/proc` shows, ascending.
pub(crate) fn pids() -> Result<Vec<u32>> {
    supported()?;
    let list =
        fs::read_dir("/proc").map_err(|e| CaptureError::io("cannot list the processes in /proc", &e))?;
    let mut pids: Vec<u32> =
        list.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Why something of a process cannot be read, in words.
pub(crate) fn failure(pid: u32, file: &str, error: &io::Error) -> CaptureError {
    // A process that ends while one of its files is read answers ESRCH.
    let gone = error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
    if gone {
        return CaptureError::new(Kind::NotFound, format!("there is no process {pid}"), "")
            .hint("`heapsight ps` lists the processes that can be captured");
    }
    let failure = CaptureError::io(format!("cannot read /proc/{pid}/{file}"), error);
    if failure.kind == Kind::Permission {
        return failure.hint(format!("run heapsight as the user of process {pid}, or as root"));
    }
    failure
}

/// Opens a regular file in the file system of a process, as the process would find it: symbolic links of a container
/// cannot lead out of it, and a FIFO in its place does not block.
#[cfg(target_os = "linux")]
pub(crate) fn open_inside(pid: u32, path: &str) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

    let root =
        open(self::path(pid, "root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(root, path.trim_start_matches('/'), flags, Mode::empty(), resolve)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn open_inside(_: u32, _: &str) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
