//! Snapshots by the signal of `node --heapsnapshot-signal`: the program writes the file into a folder of its own, and it is
//! fetched from there.
//!
//! The file has its final name from the start and grows. It is whole when the program does not have it open any more and it
//! ends as a snapshot ends, which the verifying sink sees.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    Event, Monitor, SnapshotOptions, Taken, Taker,
    snapshot::{Finished, called_off, complete},
};
use crate::{
    CaptureError, Kind, Result,
    output::{self, CaptureKind},
    process::{self, methods::Method},
};

/// How often the folder is looked at.
const POLL: Duration = Duration::from_millis(50);

/// How long a file may stay as it is.
const STALLED: Duration = Duration::from_secs(120);

impl Taker {
    pub(super) fn by_signal(
        &self,
        options: &SnapshotOptions,
        stdout: Option<Box<dyn Write + Send>>,
        monitor: &Monitor<'_>,
    ) -> Result<Taken> {
        let unsupported = |why: &str| {
            CaptureError::new(Kind::Unsupported, format!("cannot signal {} for a snapshot", self.target), why)
        };
        let process = self.process().ok_or_else(|| unsupported("it is not a process of this machine"))?;
        if options.thread != 0 {
            return Err(
                unsupported("the signal is for the main thread").hint("use --method inspector for workers")
            );
        }
        let pid = process.status.pid;
        let Some((name, true)) = process.facts.snapshot_signal.clone() else {
            let reason = process.method(Method::Signal).map_or("", |capability| capability.reason.as_str());
            return Err(unsupported(reason));
        };
        let signal = number(&name).ok_or_else(|| unsupported("its signal is not known here"))?;
        let folder = folder(process);
        let before: BTreeSet<PathBuf> = snapshots(&folder, process.status.own_pid())?.into_iter().collect();
        let (started, begun) = (jiff::Timestamp::now(), Instant::now());
        // Between the look at the process and this the number could have gone to another one.
        if !process.status.is_current() {
            return Err(CaptureError::new(Kind::NotFound, format!("process {pid} has ended"), ""));
        }
        let target = Pid::from_raw(pid.cast_signed()).ok_or_else(|| unsupported("it has no process id"))?;
        kill_process(target, signal)
            .map_err(|e| CaptureError::io(format!("cannot send {name} to process {pid}"), &e.into()))?;
        monitor.say(Event::Doing("waiting for the program's file"));
        let file = wait(process, &folder, &before, self.options.timeout, monitor)?;
        monitor.say(Event::Doing("fetching"));
        let thread = options.thread;
        let how = self.sink_options(CaptureKind::Snapshot, thread, &options.output, 0);
        let mut sink = output::Sink::create(how, stdout)?;
        let failed = |error: &io::Error| CaptureError::io(format!("cannot read {}", file.display()), error);
        let mut source = File::open(&file).map_err(|e| failed(&e))?;
        let mut block = vec![0; 1 << 20];
        loop {
            let len = source.read(&mut block).map_err(|e| failed(&e))?;
            if len == 0 {
                break;
            }
            if monitor.stopped() {
                return Err(called_off());
            }
            sink.put(&block[..len])?;
            let bytes = sink.progress().bytes;
            monitor.say(Event::Progress { elapsed: begun.elapsed(), bytes, live: None });
        }
        let written = sink.finish()?;
        // What was asked for is ours now; the one in the program's folder would only fill its disk.
        if fs::remove_file(&file).is_err() {
            monitor.say(Event::Note(format!("{} could not be removed", file.display())));
        }
        let told = output::Process {
            pid,
            thread,
            thread_name: None,
            executable: Some(process.runtime.path.clone()),
            script: None,
        };
        let runtime = output::Runtime {
            name: process.runtime.kind.name().to_owned(),
            version: process.runtime.version.clone().unwrap_or_default(),
            versions: process.runtime.v8_version.iter().map(|v8| ("v8".to_owned(), v8.clone())).collect(),
        };
        let finished =
            Finished { written, started, elapsed: begun.elapsed(), pause: None, ids: None, sampling: None };
        complete(CaptureKind::Snapshot, "signal", told, runtime, Vec::new(), &options.output, finished)
    }
}

fn number(name: &str) -> Option<Signal> {
    Some(match name.trim_start_matches("SIG") {
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "CONT" => Signal::CONT,
        "WINCH" => Signal::WINCH,
        "PIPE" => Signal::PIPE,
        "ALRM" => Signal::ALARM,
        "VTALRM" => Signal::VTALARM,
        "PROF" => Signal::PROF,
        "IO" | "POLL" => Signal::IO,
        "PWR" => Signal::POWER,
        "URG" => Signal::URG,
        "TTIN" => Signal::TTIN,
        "TTOU" => Signal::TTOU,
        _ => return None,
    })
}

/// Where the program writes its snapshots, as it is reached from here.
fn folder(process: &process::Process) -> PathBuf {
    let pid = process.status.pid;
    let cwd = PathBuf::from(format!("/proc/{pid}/cwd"));
    let named = process.command.iter().enumerate().find_map(|(i, word)| {
        match word.strip_prefix("--diagnostic-dir") {
            Some("") => process.command.get(i + 1).cloned(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        }
    });
    match named {
        Some(dir) if Path::new(&dir).is_absolute() => {
            PathBuf::from(format!("/proc/{pid}/root")).join(dir.trim_start_matches('/'))
        }
        Some(dir) => cwd.join(dir),
        None => cwd,
    }
}

/// The snapshots of a process in a folder, by Node's pattern with the process id as the program knows it.
fn snapshots(folder: &Path, own_pid: u32) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| {
        CaptureError::io(format!("cannot look into the program's folder {}", folder.display()), &e)
    })?;
    let mark = format!(".{own_pid}.0.");
    let is_snapshot =
        |name: &str| name.starts_with("Heap.") && name.contains(&mark) && name.ends_with(".heapsnapshot");
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_snapshot))
        .map(|entry| entry.path())
        .collect())
}

fn wait(
    process: &process::Process,
    folder: &Path,
    before: &BTreeSet<PathBuf>,
    timeout: Duration,
    monitor: &Monitor<'_>,
) -> Result<PathBuf> {
    let pid = process.status.pid;
    let what = || format!("process {pid} wrote no snapshot");
    let begun = Instant::now();
    let mut last = (0, Instant::now());
    loop {
        if monitor.stopped() {
            return Err(called_off());
        }
        let new =
            snapshots(folder, process.status.own_pid())?.into_iter().find(|path| !before.contains(path));
        let Some(path) = new else {
            if !process.status.is_current() {
                return Err(CaptureError::new(Kind::Gone, what(), "it ended"));
            }
            if begun.elapsed() > timeout {
                return Err(CaptureError::new(
                    Kind::Timeout,
                    what(),
                    format!("waited {} s", timeout.as_secs()),
                )
                .hint(
                    "its event loop must be free to see the signal: use --method inspector for a busy one",
                ));
            }
            std::thread::sleep(POLL);
            continue;
        };
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.len() > 0 && !is_open(pid, &meta) {
            return Ok(path);
        }
        if meta.len() != last.0 {
            last = (meta.len(), Instant::now());
        }
        if !process.status.is_current() {
            let why = format!("it ended after {} bytes of {}", meta.len(), path.display());
            return Err(CaptureError::new(
                Kind::Gone,
                format!("the snapshot of process {pid} is not whole"),
                why,
            ));
        }
        if last.1.elapsed() > STALLED {
            let why = format!("{} stays at {} bytes", path.display(), meta.len());
            return Err(CaptureError::new(
                Kind::Timeout,
                format!("the snapshot of process {pid} does not end"),
                why,
            ));
        }
        monitor.say(Event::Progress { elapsed: begun.elapsed(), bytes: meta.len(), live: None });
        std::thread::sleep(POLL);
    }
}

/// Whether a process has a file open.
fn is_open(pid: u32, file: &fs::Metadata) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|open| open.dev() == file.dev() && open.ino() == file.ino())
}
