//! Where a capture is written: a queue in front of a thread that verifies, compresses and writes.

use std::{
    collections::VecDeque,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{
    CaptureKind, Compression, Counts, Verifier,
    name::{Place, default_name, exists, folder_of},
    partial::{Partial, bytes, clean_stale, problem},
};
use crate::{CaptureError, Kind, Result};

/// Bytes that are handed to the writing thread at a time.
const PIECE: usize = 256 << 10;

/// How many sequence numbers are tried for a default name.
const MAX_SEQUENCE: u32 = 9_999;

/// Level of Zstandard: on snapshots level 1 is not only faster than level 3 but also packs better (296 MB to 28 and 37).
const ZSTD_LEVEL: i32 = 1;

/// Level of gzip: the other levels are slower than V8 serialises.
const GZIP_LEVEL: u32 = 1;

/// What a capture is and where it goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is captured; it decides the default extension, and what the stream must look like.
    pub kind: CaptureKind,
    /// What the user asked for: a file, a folder (a default name in it), `-` (standard output); nothing is a default name
    /// in the current folder.
    pub path: Option<PathBuf>,
    /// Overwrite a file that exists.
    pub force: bool,
    /// The process for the default name, as it is known here.
    pub pid: u32,
    /// Its thread for the default name: 0 is the main thread.
    pub thread: u32,
    /// How a default name, or standard output, is to be packed; names of files say it themselves.
    pub compression: Option<Compression>,
    /// An estimate of the unpacked size in bytes, for the message when the disk is full.
    pub expected_bytes: Option<u64>,
    /// How many bytes may wait to be written before the caller is held up. What does not wait here waits in the target
    /// process, so it is better large than small; a disk that keeps up uses a few pieces of it.
    pub buffer_bytes: usize,
    /// Grants the room on the disk.
    pub quota: Option<Quota>,
}

/// Whoever grants the room on the disk: asked, on the thread that writes, before a file has so many bytes, and waited for.
/// An error ends the capture.
#[derive(Clone)]
pub struct Quota(pub Arc<dyn Fn(u64) -> Result<()> + Send + Sync>);

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quota")
    }
}

impl Options {
    /// A default name in the current folder, and a buffer of 512 MiB.
    pub fn new(kind: CaptureKind, pid: u32, thread: u32) -> Self {
        Self {
            kind,
            path: None,
            force: false,
            pid,
            thread,
            compression: None,
            expected_bytes: None,
            buffer_bytes: 512 << 20,
            quota: None,
        }
    }
}

/// A capture that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its file; nothing for standard output.
    pub path: Option<PathBuf>,
    /// Bytes that came from the target.
    pub bytes: u64,
    /// Bytes that were written: fewer if they were compressed.
    pub stored_bytes: u64,
    /// What the stream had.
    pub counts: Counts,
}

/// How far a capture is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken from the target.
    pub bytes: u64,
    /// Bytes of the file or the stream.
    pub stored_bytes: u64,
}

/// A writer for one capture. Dropping it without [`Sink::finish`] removes what was written.
#[derive(Debug)]
pub struct Sink {
    options: Options,
    /// The name to be; nothing for standard output.
    target: Option<PathBuf>,
    /// Set when the name is a default one, which may be counted up.
    default_in: Option<(PathBuf, jiff::Zoned, u32)>,
    in_place: bool,
    piece: Vec<u8>,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<Option<(Medium, Counts)>>>,
}

/// What the caller and the writing thread share.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
    taken: AtomicU64,
    stored: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Used pieces for reuse.
    spare: Vec<Vec<u8>>,
    /// Nothing follows.
    closed: bool,
    /// What follows is not wanted any more.
    aborted: bool,
    failure: Option<CaptureError>,
}

/// What is written to.
enum Medium {
    Temporary(Partial),
    InPlace(File),
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Temporary(_) => "Temporary",
            Self::InPlace(_) => "InPlace",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Write for Medium {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Temporary(partial) => partial.file().write(bytes),
            Self::InPlace(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Temporary(_) | Self::InPlace(_) => Ok(()),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

impl Sink {
    /// Opens the place for a capture, and cleans up what killed writers left in its folder. `stdout` is written to if the
    /// path is `-`.
    ///
    /// # Errors
    /// The file exists and is not to be overwritten; its folder does not exist or cannot be written to; the path is `-`
    /// and there is no `stdout`.
    pub fn create(options: Options, stdout: Option<Box<dyn Write + Send>>) -> Result<Self> {
        let mut default_in = None;
        let mut compression = options.compression;
        let (medium, target) = match Place::resolve(options.path.as_deref(), options.force)? {
            Place::Stdout => {
                let stream = stdout.ok_or_else(|| {
                    CaptureError::new(Kind::Output, "cannot write to standard output", "it is not available")
                })?;
                (Medium::Stream(stream), None)
            }
            Place::Special(path) => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .map_err(|error| problem(&path, &error, 0, options.expected_bytes))?;
                compression = Compression::of_name(&path).or(compression);
                (Medium::InPlace(file), Some(path))
            }
            Place::File(path) => {
                clean_stale(folder_of(&path));
                compression = Compression::of_name(&path);
                (Medium::Temporary(Partial::create(&path)?), Some(path))
            }
            Place::Folder(folder) => {
                clean_stale(&folder);
                let now = jiff::Zoned::now();
                let mut sequence = last_sequence(&options, &folder, &now);
                let path = next_name(&options, &folder, &now, &mut sequence)?;
                let partial = Partial::create(&path)?;
                default_in = Some((folder, now, sequence));
                (Medium::Temporary(partial), Some(path))
            }
        };
        let in_place = !matches!(medium, Medium::Temporary(_));
        let shared = Arc::new(Shared::default());
        let work = Work {
            shared: Arc::clone(&shared),
            verifier: Verifier::new(options.kind),
            kind: options.kind,
            shown: target.clone().unwrap_or_else(|| PathBuf::from("standard output")),
            expected: options.expected_bytes.filter(|_| compression.is_none()),
            quota: options.quota.clone(),
        };
        let worker = thread::Builder::new()
            .name("capture-writer".to_owned())
            .spawn(move || work.run(medium, compression))
            .map_err(|error| CaptureError::io("cannot start the thread that writes the capture", &error))?;
        Ok(Self {
            options,
            target,
            default_in,
            in_place,
            piece: Vec::with_capacity(PIECE),
            shared,
            worker: Some(worker),
        })
    }

    /// The name that the file will have; nothing for standard output. A default name may still be counted up.
    pub fn path(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// How far the capture is.
    pub fn progress(&self) -> Progress {
        Progress {
            bytes: self.shared.taken.load(Ordering::Relaxed),
            stored_bytes: self.shared.stored.load(Ordering::Relaxed),
        }
    }

    /// Takes the next bytes of the capture, as `write_all` does, with errors in words.
    ///
    /// # Errors
    /// What was taken before could not be written, or is no capture. The capture can be given up then.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let length = bytes.len().min(PIECE - self.piece.len());
            let (now, later) = bytes.split_at(length);
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() >= PIECE {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// Gives the piece at hand to the writing thread.
    fn hand_over(&mut self) -> Result<()> {
        let mut queue = self.shared.lock();
        while queue.bytes >= self.options.buffer_bytes.max(PIECE) && queue.failure.is_none() {
            queue = self.shared.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &queue.failure {
            return Err(failure.clone());
        }
        let mut next = queue.spare.pop().unwrap_or_else(|| Vec::with_capacity(PIECE));
        next.clear();
        let piece = std::mem::replace(&mut self.piece, next);
        self.shared.taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
        queue.bytes += piece.len();
        queue.pieces.push_back(piece);
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Ends the capture: everything is written and durable, the stream was verified, and the file has its name.
    ///
    /// # Errors
    /// The stream is no whole capture ([`Kind::Incomplete`]); the disk is full, or writing failed otherwise; the name was
    /// taken meanwhile. No file is left then.
    pub fn finish(mut self) -> Result<Written> {
        if !self.piece.is_empty() {
            self.hand_over()?;
        }
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        let result = self.worker.take().and_then(|worker| worker.join().ok()).flatten();
        let Some((mut medium, counts)) = result else {
            return Err(self.shared.lock().failure.clone().unwrap_or_else(|| {
                CaptureError::new(Kind::Other, "cannot write the capture", "the writing thread ended early")
            }));
        };
        if let Medium::Temporary(partial) = &mut medium {
            self.commit(partial)?;
        }
        let progress = self.progress();
        Ok(Written {
            path: self.target.clone(),
            bytes: progress.bytes,
            stored_bytes: progress.stored_bytes,
            counts,
        })
    }

    /// Gives the file its name, the next one if a default name was taken meanwhile.
    fn commit(&mut self, partial: &mut Partial) -> Result<()> {
        let Some(mut target) = self.target.clone() else { return Ok(()) };
        while !partial.commit(&target, self.options.force && self.default_in.is_none())? {
            let Some((folder, time, sequence)) = &mut self.default_in else { return Err(exists(&target)) };
            target = next_name(&self.options, folder, time, sequence)?;
        }
        self.target = Some(target);
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.hand_over().map_err(io::Error::other) }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let Some(worker) = self.worker.take() else { return };
        {
            let mut queue = self.shared.lock();
            queue.aborted = true;
            queue.pieces.clear();
        }
        self.shared.filled.notify_one();
        // A pipe may hold up the thread for as long as its reader likes; only a file has something to clean up.
        if !self.in_place {
            let _ = worker.join();
        }
    }
}

/// The highest sequence number that a capture of this kind, process and second has in a folder. A new one counts on from
/// there and not from the first gap, so that names keep the order of the captures when older ones are removed.
fn last_sequence(options: &Options, folder: &Path, time: &jiff::Zoned) -> u32 {
    let first = default_name(options.kind, None, time, options.pid, options.thread, 1);
    let end = format!("001.{}", options.kind.extension());
    let Some(start) = first.strip_suffix(&end) else { return 0 };
    let sequence = |name: &str| -> Option<u32> {
        let (sequence, rest) = name.strip_prefix(start)?.split_once('.')?;
        sequence.parse().ok().filter(|_| rest.starts_with(options.kind.extension()))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| sequence(entry.file_name().to_str()?)).max().unwrap_or(0)
}

/// The next default name that is free.
fn next_name(options: &Options, folder: &Path, time: &jiff::Zoned, sequence: &mut u32) -> Result<PathBuf> {
    while *sequence < MAX_SEQUENCE {
        *sequence += 1;
        let name =
            default_name(options.kind, options.compression, time, options.pid, options.thread, *sequence);
        // `./name` would be an odd thing to print.
        let path = if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) };
        if path.symlink_metadata().is_err() {
            return Ok(path);
        }
    }
    Err(CaptureError::new(
        Kind::Output,
        format!("cannot write to {}", folder.display()),
        "all names for this process and second are taken",
    ))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing thread.
struct Work {
    shared: Arc<Shared>,
    verifier: Verifier,
    kind: CaptureKind,
    shown: PathBuf,
    expected: Option<u64>,
    quota: Option<Quota>,
}

/// Why the thread stops early.
enum Stop {
    Aborted,
    Failed(CaptureError),
}

impl Work {
    fn run(mut self, medium: Medium, compression: Option<Compression>) -> Option<(Medium, Counts)> {
        let counted = Counted { medium, shared: Arc::clone(&self.shared), quota: self.quota.clone() };
        let result = match compression {
            None => self.pump(counted, Ok),
            Some(Compression::Gzip) => self.pump(
                flate2::write::GzEncoder::new(counted, flate2::Compression::new(GZIP_LEVEL)),
                flate2::write::GzEncoder::finish,
            ),
            Some(Compression::Zstd) => zstd::Encoder::new(counted, ZSTD_LEVEL)
                .and_then(|mut encoder| encoder.include_checksum(true).map(|()| encoder))
                .map_err(|error| self.failed(&error))
                .and_then(|encoder| self.pump(encoder, zstd::Encoder::finish)),
        };
        match result.and_then(|medium| self.verdict().map(|counts| (medium, counts))) {
            Ok(finished) => Some(finished),
            Err(stop) => {
                let mut queue = self.shared.lock();
                if let Stop::Failed(failure) = stop {
                    queue.failure = Some(failure);
                }
                queue.pieces = VecDeque::new();
                drop(queue);
                self.shared.emptied.notify_all();
                None
            }
        }
    }

    /// Writes all pieces, ends the compression, and makes the file durable.
    fn pump<W: Write>(
        &mut self,
        mut writer: W,
        finish: impl FnOnce(W) -> io::Result<Counted>,
    ) -> std::result::Result<Medium, Stop> {
        while let Some(mut piece) = self.next()? {
            self.verifier.feed(&piece).map_err(|flaw| Stop::Failed(not_whole(self.kind, &flaw)))?;
            writer.write_all(&piece).map_err(|error| self.failed(&error))?;
            piece.clear();
            let mut queue = self.shared.lock();
            if queue.spare.len() < 8 {
                queue.spare.push(piece);
            }
        }
        let mut medium = finish(writer).map_err(|error| self.failed(&error))?.medium;
        medium.flush().map_err(|error| self.failed(&error))?;
        if let Medium::Temporary(partial) = &medium {
            partial.file().sync_all().map_err(|error| self.failed(&error))?;
        }
        Ok(medium)
    }

    /// The next piece; nothing at the end.
    fn next(&self) -> std::result::Result<Option<Vec<u8>>, Stop> {
        let mut queue = self.shared.lock();
        loop {
            if queue.aborted {
                return Err(Stop::Aborted);
            }
            if let Some(piece) = queue.pieces.pop_front() {
                queue.bytes -= piece.len();
                drop(queue);
                self.shared.emptied.notify_one();
                return Ok(Some(piece));
            }
            if queue.closed {
                return Ok(None);
            }
            queue = self.shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn failed(&self, error: &io::Error) -> Stop {
        if let Some(refused) = error.get_ref().and_then(|inner| inner.downcast_ref::<CaptureError>()) {
            return Stop::Failed(refused.clone());
        }
        let stored = self.shared.stored.load(Ordering::Relaxed);
        Stop::Failed(problem(&self.shown, error, stored, self.expected))
    }

    fn verdict(&mut self) -> std::result::Result<Counts, Stop> {
        let verifier = std::mem::replace(&mut self.verifier, Verifier::new(self.kind));
        verifier.finish().map_err(|flaw| Stop::Failed(not_whole(self.kind, &flaw)))
    }
}

fn not_whole(kind: CaptureKind, flaw: &super::Flaw) -> CaptureError {
    CaptureError::new(
        Kind::Incomplete,
        format!("the {} that arrived is not whole, after {}", kind.label(), bytes(flaw.offset)),
        flaw,
    )
    .hint("nothing was kept; take the capture again")
}

/// Counts what reaches the medium.
struct Counted {
    medium: Medium,
    shared: Arc<Shared>,
    quota: Option<Quota>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(Quota(grant)) = &self.quota {
            let stored = self.shared.stored.load(Ordering::Relaxed);
            grant(stored + bytes.len() as u64).map_err(io::Error::other)?;
        }
        let written = self.medium.write(bytes)?;
        self.shared.stored.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.flush()
    }
}
