//! From the child's pipe to the sink, with a second thread that watches.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{
    Failure, Options, Progress, Sink, Verdict, Watch,
    child::{Child, Pipes},
    output_error,
};
use crate::{CaptureError, Kind};

/// How often the child is looked at.
const EVERY: Duration = Duration::from_millis(50);
/// The kernel's unit of processor time in `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);
/// Last words that are kept; a stack trace is longer and says no more.
const LAST_WORDS: usize = 64 << 10;

/// What came out of the pipes.
#[derive(Debug)]
pub(super) struct Copied {
    /// Bytes of the snapshot.
    pub(super) bytes: u64,
    /// Whether they end as a snapshot does.
    pub(super) whole: bool,
    /// What the child said.
    pub(super) status: Status,
}

/// What the child said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Whether it was confined, and what went wrong; empty if nothing did. Nothing if it ended without a report.
    pub(super) report: Option<(bool, String)>,
    /// What it wrote to standard error, in one line.
    pub(super) last_words: String,
}

impl Status {
    fn parse(bytes: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (words, report) = match bytes.iter().rposition(|&byte| byte == 0) {
            Some(at) => (&bytes[..at], bytes.get(at + 1..).and_then(<[u8]>::split_first)),
            None => (bytes, None),
        };
        // V8 says why it gives up in a line of its own, between traces of heap and stack.
        let words = text(words);
        let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let reason =
            lines().find(|line| line.contains("FATAL") || line.contains("Fatal")).or_else(|| lines().next());
        Self {
            report: report.map(|(&confined, why)| (confined == b'c', text(why))),
            last_words: reason.unwrap_or_default().to_owned(),
        }
    }
}

struct Shared {
    bytes: AtomicU64,
    /// The sink has the word; the child waits for us, not we for it.
    writing: AtomicBool,
}

/// Copies until the child has ended.
pub(super) fn run(
    child: &Child,
    mut pipes: Pipes,
    options: &Options,
    sink: &mut dyn Sink,
    watch: &mut Watch<'_>,
    attempt: u32,
) -> Result<Copied, Failure> {
    let shared = Shared { bytes: AtomicU64::new(0), writing: AtomicBool::new(false) };
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let shared = &shared;
        let watcher = scope.spawn(move || observe(child, options, watch, attempt, shared, &ended));
        let copied = copy(child, &mut pipes.data, sink, shared);
        if copied.is_err() {
            child.kill();
        }
        let status = drain(child, &mut pipes.status);
        drop(done);
        // A panic of the caller's closure is the caller's.
        let stopped = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(failure) = stopped {
            return Err(failure);
        }
        let tail = copied.map_err(|error| output_error(&error))?;
        let bytes = shared.bytes.load(Ordering::Relaxed);
        Ok(Copied { bytes, whole: is_end(&tail), status: Status::parse(&status) })
    })
}

/// Whether the last bytes are those of a snapshot: the strings' bracket and the object's, with white space.
fn is_end(tail: &[u8]) -> bool {
    let mut last = tail.iter().rev().filter(|byte| !byte.is_ascii_whitespace());
    last.next() == Some(&b'}') && last.next() == Some(&b']')
}

/// Waits for something to read; false when the child has ended and nothing is left.
fn readable(child: &Child, pipe: &File) -> io::Result<bool> {
    loop {
        let alive = child.lives();
        let time = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut entry = [PollFd::new(pipe, PollFlags::IN)];
        match rustix::event::poll(&mut entry, Some(&time)) {
            Ok(0) if !alive => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// One read; nothing at the end.
fn read(child: &Child, pipe: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match pipe.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !readable(child, pipe)? {
                    return Ok(0);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Copies the snapshot and returns its last bytes. Errors are the sink's: a pipe that cannot be read is at its end.
fn copy(child: &Child, pipe: &mut File, sink: &mut dyn Sink, shared: &Shared) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    let mut tail = Vec::new();
    loop {
        let n = read(child, pipe, &mut buffer).unwrap_or(0);
        if n == 0 {
            sink.flush()?;
            return Ok(tail);
        }
        shared.writing.store(true, Ordering::Relaxed);
        let written = sink.write_all(&buffer[..n]);
        shared.writing.store(false, Ordering::Relaxed);
        written?;
        shared.bytes.fetch_add(n as u64, Ordering::Relaxed);
        tail.extend_from_slice(&buffer[n.saturating_sub(16)..n]);
        tail.drain(..tail.len().saturating_sub(16));
    }
}

/// Reads what the child said, until it has ended.
fn drain(child: &Child, pipe: &mut File) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = read(child, pipe, &mut buffer) {
        said.extend_from_slice(&buffer[..n]);
        said.drain(..said.len().saturating_sub(LAST_WORDS));
    }
    said
}

/// Watches until the copying is done; what to fail with, if the child was killed.
fn observe(
    child: &Child,
    options: &Options,
    watch: &mut Watch<'_>,
    attempt: u32,
    shared: &Shared,
    ended: &mpsc::Receiver<()>,
) -> Option<Failure> {
    let begun = Instant::now();
    let mut seen = (0, 0);
    let mut moved = begun;
    while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let bytes = shared.bytes.load(Ordering::Relaxed);
        // After its end what is left in the pipe is copied; the caller may still stop that.
        let stat = child.stat();
        let ticks = stat.map_or(seen.1, |stat| stat.ticks);
        let progress = Progress {
            elapsed: begun.elapsed(),
            bytes,
            child: child.pid,
            processor_time: TICK * u32::try_from(ticks).unwrap_or(u32::MAX),
            attempt,
        };
        if let Verdict::Stop(error) = watch(&progress) {
            child.kill();
            return Some(error.into());
        }
        // One that is ready to run and gets no processor does not hang, nor does one that waits for memory from the disk.
        let waits = stat.is_some_and(|stat| matches!(stat.state, b'S' | b'T' | b't'));
        if (bytes, ticks) != seen || !waits || shared.writing.load(Ordering::Relaxed) {
            seen = (bytes, ticks);
            moved = Instant::now();
        }
        let what = || format!("the fork snapshot by process {} was given up", child.pid);
        if moved.elapsed() >= options.stalled_after {
            child.kill();
            let why = format!("it neither wrote nor computed for {} s", options.stalled_after.as_secs_f32());
            return Some(Failure::Once(CaptureError::new(Kind::Timeout, what(), why)));
        }
        if options.timeout.is_some_and(|timeout| progress.elapsed >= timeout) {
            child.kill();
            let why = format!("it took longer than {} s", progress.elapsed.as_secs());
            return Some(
                CaptureError::new(Kind::Timeout, what(), why).hint("allow more with `--timeout`").into(),
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_follows_the_last_words() {
        let status = Status::parse(
            b"\n#\n# Fatal error in , line 0\n<--- Last few GCs --->\nFATAL ERROR: out of memory\n\0u",
        );
        assert_eq!(status.report, Some((false, String::new())));
        assert_eq!(status.last_words, "FATAL ERROR: out of memory");
        assert_eq!(
            Status::parse(b"\0cENOENT: no such file").report,
            Some((true, "ENOENT: no such file".to_owned()))
        );
        assert_eq!(
            Status::parse(b"some words\n"),
            Status { report: None, last_words: "some words".to_owned() }
        );
        assert_eq!(Status::parse(b""), Status::default());
        assert_eq!(Status::parse(b"\0").report, None);
    }

    #[test]
    fn a_snapshot_ends_with_two_brackets() {
        assert!(is_end(b"\"x\"]\n}\n"));
        assert!(is_end(b"]}"));
        assert!(!is_end(b"\"x\"]"));
        assert!(!is_end(b"}"));
    }
}
