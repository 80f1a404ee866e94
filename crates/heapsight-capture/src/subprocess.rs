//! A command in a process group of its own: its output passes through, and it ends with everything that it started.
//!
//! The group's id stays taken as long as its leader has not been waited for. So the leader is only looked at until all is
//! over, and a signal to the group can never reach a stranger. Descendants that left the group (pnpm gives each script
//! one of its own) are found by their parents, and identified by id and start time.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use memchr::memmem;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal,
        waitid,
    },
};

use crate::{CaptureError, Kind, Result};

/// How often a wait looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// How long the beginning of a line may wait for the rest of it.
const LINE_PATIENCE: Duration = Duration::from_millis(100);

/// A line longer than this passes in pieces.
const MAX_LINE: usize = 64 << 10;

/// How long processes may take to vanish after SIGKILL, and output to pass through after that.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Where the output of a command goes.
pub enum Pass {
    /// To where ours goes. It cannot be watched for a text then.
    Inherit,
    /// To where our standard error goes, also what is standard output: that is left to us. Nor can it be watched.
    Stderr,
    /// To this writer, whole lines at a time. If the writer fails, the rest is dropped and the command goes on.
    To(Box<dyn Write + Send>),
    /// Nowhere.
    Discard,
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inherit => "Inherit",
            Self::Stderr => "Stderr",
            Self::To(_) => "To",
            Self::Discard => "Discard",
        })
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it says that all went well.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code as shells pass it on: 128 and the number of a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// `exit code 3`, `signal 9`: what stands behind "it has ended".
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A running command and what it started.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    leader: Pid,
    handle: Option<OwnedFd>,
    pumps: Vec<Pump>,
    output: Arc<Output>,
    /// Descendants that were seen, with their start time.
    seen: HashMap<u32, u64>,
    grace: Duration,
    over: Option<Exit>,
    /// Set once the leader has been waited for: nothing may be sent to its id any more.
    reaped: bool,
}

/// What is known of the output.
#[derive(Debug, Default)]
struct Output {
    found: Mutex<bool>,
    changed: Condvar,
    stop: AtomicBool,
}

/// The thread that passes one stream through.
#[derive(Debug)]
struct Pump(JoinHandle<()>);

/// One line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: u32,
    /// Its parent.
    pub(crate) parent: u32,
    group: u32,
    /// Ticks since the boot.
    pub(crate) start: u64,
    zombie: bool,
}

impl Group {
    /// Starts a command in a group of its own, with nothing on standard input. `text` is looked for in what passes.
    pub(crate) fn start(
        mut command: Command,
        stdout: Pass,
        stderr: Pass,
        text: Option<&str>,
        grace: Duration,
    ) -> Result<Self> {
        let stdio = |pass: &Pass| match pass {
            Pass::Inherit => Stdio::inherit(),
            Pass::Stderr => Stdio::from(io::stderr()),
            Pass::To(_) => Stdio::piped(),
            Pass::Discard => Stdio::null(),
        };
        let failed = format!("cannot start `{}`", command.get_program().to_string_lossy());
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdio(&stdout))
            .stderr(stdio(&stderr))
            .spawn()
            .map_err(|error| CaptureError::io(failed.clone(), &error))?;
        let output = Arc::new(Output::default());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let Some(leader) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            let _ = child.kill();
            return Err(CaptureError::new(Kind::Other, failed, "the system gave it no process id"));
        };
        let handle = pidfd_open(leader, PidfdFlags::empty()).ok();
        // From here on dropping ends it.
        let mut group = Self {
            child,
            leader,
            handle,
            pumps: Vec::new(),
            output,
            seen: HashMap::new(),
            grace,
            over: None,
            reaped: false,
        };
        if let (Some(stream), Pass::To(writer)) = (out, stdout) {
            group.pump(stream, writer, text)?;
        }
        if let (Some(stream), Pass::To(writer)) = (err, stderr) {
            group.pump(stream, writer, text)?;
        }
        Ok(group)
    }

    fn pump(
        &mut self,
        stream: impl Read + AsFd + Send + 'static,
        writer: Box<dyn Write + Send>,
        text: Option<&str>,
    ) -> Result<()> {
        let output = Arc::clone(&self.output);
        let text = text.unwrap_or_default().as_bytes().to_vec();
        let thread = thread::Builder::new()
            .name("command-output".to_owned())
            .spawn(move || pass_through(stream, writer, &text, &output))
            .map_err(|error| {
                CaptureError::io("cannot start the thread that passes output through", &error)
            })?;
        self.pumps.push(Pump(thread));
        Ok(())
    }

    /// The id of the command itself.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the command ended, if it has. What it started may still run.
    pub(crate) fn exited(&mut self) -> Option<Exit> {
        if self.over.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            // An error says that somebody else waited for it, so that nothing is known but its end.
            self.over = match waitid(WaitId::Pid(self.leader), options) {
                Ok(None) => None,
                Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Code(1),
                }),
                Err(_) => Some(Exit::Code(1)),
            };
        }
        self.over
    }

    /// Waits until the command ends, until the time is over, or until `stop` is set; nothing in the last two cases.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>, stop: &AtomicBool) -> Option<Exit> {
        loop {
            if let Some(exit) = self.exited() {
                return Some(exit);
            }
            let left = deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()));
            if stop.load(Ordering::Relaxed) || left.is_zero() {
                return None;
            }
            self.pause(left.min(TICK));
        }
    }

    /// Sleeps, but not beyond the end of the command.
    pub(crate) fn pause(&self, time: Duration) {
        match &self.handle {
            Some(handle) => {
                let time =
                    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
                let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&time));
            }
            None => thread::sleep(time),
        }
    }

    /// Waits until the text has appeared; false if the time is over, the command has ended, or `stop` is set.
    pub(crate) fn wait_for_text(&mut self, deadline: Instant, stop: &AtomicBool) -> bool {
        loop {
            // The end is looked at before the output, so that the last words of a command count.
            let ended = self.exited().is_some() && self.pumps.iter().all(|pump| pump.0.is_finished());
            let found = self.output.found.lock().unwrap_or_else(PoisonError::into_inner);
            if *found {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if ended || stop.load(Ordering::Relaxed) || left.is_zero() {
                return false;
            }
            drop(self.output.changed.wait_timeout(found, left.min(TICK)));
        }
    }

    /// The command and all that it started and that still runs, parents first.
    pub(crate) fn processes(&mut self) -> Vec<Process> {
        let table = table();
        let by_pid: HashMap<u32, &Process> = table.iter().map(|process| (process.pid, process)).collect();
        self.seen.retain(|pid, start| by_pid.get(pid).is_some_and(|process| process.start == *start));
        let leader = self.pid();
        let mut members: Vec<Process> = Vec::new();
        let mut ids = HashSet::new();
        let mut add = |members: &mut Vec<Process>, process: &Process| {
            if ids.insert(process.pid) {
                members.push(*process);
            }
        };
        for process in &table {
            if process.pid == leader || process.group == leader || self.seen.contains_key(&process.pid) {
                add(&mut members, process);
            }
        }
        // Children of members, and theirs.
        let mut next = 0;
        while let Some(parent) = members.get(next).map(|member| member.pid) {
            for process in table.iter().filter(|process| process.parent == parent) {
                add(&mut members, process);
            }
            next += 1;
        }
        members.retain(|member| !member.zombie);
        self.seen.extend(members.iter().map(|member| (member.pid, member.start)));
        members
    }

    /// Ends everything: SIGTERM, and SIGKILL for what is left after the grace period. Returns how the command ended.
    pub(crate) fn end(&mut self) -> Exit {
        if self.reaped {
            return self.over.unwrap_or(Exit::Code(1));
        }
        self.signal_all(Signal::TERM);
        if !self.vanished_within(self.grace) {
            // What is killed cannot start anything, but what is not yet killed can.
            let deadline = Instant::now() + AFTERMATH;
            while Instant::now() < deadline {
                self.signal_all(Signal::KILL);
                if self.vanished_within(Duration::from_millis(100)) {
                    break;
                }
            }
        }
        self.output.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + AFTERMATH;
        for pump in self.pumps.drain(..) {
            // A writer that blocks must not hold us up; its thread is left to itself.
            while !pump.0.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            if pump.0.is_finished() {
                let _ = pump.0.join();
            }
        }
        // The main thread of a process may be gone while others are still ending; it can be waited for after the last.
        let exit = self.wait(Some(Instant::now() + AFTERMATH), &AtomicBool::new(false));
        self.reaped = true;
        let _ = self.child.try_wait();
        exit.unwrap_or(Exit::Signal(Signal::KILL.as_raw()))
    }

    fn vanished_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if self.processes().is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Signals the group as one, and each member that has left it.
    fn signal_all(&mut self, signal: Signal) {
        let members = self.processes();
        let leader = self.pid();
        if members.iter().any(|member| member.group == leader) {
            let _ = kill_process_group(self.leader, signal);
        }
        for member in members.iter().filter(|member| member.group != leader) {
            send(member, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal to exactly the process that was seen.
fn send(process: &Process, signal: Signal) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // The handle is of whoever has the id now; the start time tells whether that is the one.
    if read_stat(process.pid).is_some_and(|now| now.start == process.start) {
        let _ = pidfd_send_signal(&handle, signal);
    }
}

/// All processes that can be seen.
fn table() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read_stat)
        .collect()
}

fn read_stat(pid: u32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: u32, text: &str) -> Option<Process> {
    // The name is in parentheses and may itself have any character.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        zombie: matches!(fields.first(), Some(&("Z" | "X"))),
    })
}

/// Copies a stream until its end, whole lines at a time, and looks for a text in it.
fn pass_through(
    mut stream: impl Read + AsFd,
    mut writer: Box<dyn Write + Send>,
    text: &[u8],
    output: &Output,
) {
    let finder = memmem::Finder::new(text);
    let mut wanted = !text.is_empty();
    let mut dead = false;
    let mut line: Vec<u8> = Vec::new();
    let mut tail: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    let mut write = |bytes: &[u8]| {
        if !dead && !bytes.is_empty() {
            dead = writer.write_all(bytes).and_then(|()| writer.flush()).is_err();
        }
    };
    loop {
        let patience = Timespec { tv_sec: 0, tv_nsec: LINE_PATIENCE.as_nanos() as i64 };
        if let Ok(0) = poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&patience)) {
            write(&line);
            line.clear();
            // A stray process may hold the stream open after the command has ended.
            if output.stop.load(Ordering::Relaxed) {
                return;
            }
            continue;
        }
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let bytes = &buffer[..length];
        line.extend_from_slice(bytes);
        let whole = if line.len() > MAX_LINE {
            line.len()
        } else {
            memchr::memrchr(b'\n', &line).map_or(0, |newline| newline + 1)
        };
        write(&line[..whole]);
        line.drain(..whole);
        if wanted {
            tail.extend_from_slice(bytes);
            if finder.find(&tail).is_some() {
                wanted = false;
                // What was found has passed through as well.
                write(&line);
                line.clear();
                *output.found.lock().unwrap_or_else(PoisonError::into_inner) = true;
                output.changed.notify_all();
            }
            tail.drain(..tail.len().saturating_sub(text.len().saturating_sub(1)));
        }
    }
    write(&line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let text = "7 (a) b (c) S 3 5 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        let process = parse_stat(7, text).unwrap();
        assert_eq!((process.parent, process.group, process.start, process.zombie), (3, 5, 987_654, false));
        assert!(parse_stat(7, "7 (a) Z 3 5 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 9").unwrap().zombie);
        assert!(parse_stat(7, "").is_none() && parse_stat(7, "7 (a) S").is_none());
        assert!(table().iter().any(|process| process.pid == std::process::id()));
    }
}
