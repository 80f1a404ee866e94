//! Fork snapshots: a child of the target writes its heap while the target goes on.
//!
//! The target is stopped for the fork alone, and the memory and time of a snapshot are spent in a child that can do
//! nothing but write it. The part that runs inside the target is the crate `heapsight-fork`, which the build script has
//! put into this one; `load.js` loads it. How JavaScript is evaluated there is not known here ([`Evaluate`]).
//!
//! In order: [`Fork::prepare`] looks at the process from outside. [`Fork::capture`] lets the addon be loaded, unless an
//! earlier capture has, evaluates the fork, opens the child's pipes through `/proc`, tells the child to go on, and copies
//! what it writes while a second thread watches it. A child that hangs or crashes (locks of threads that it does not
//! have) is killed, and the fork is tried again.
//!
//! Whatever happens, nothing is left: the child ends when nobody reads, a thread in the target waits for it, and the
//! addon is lent as a file in memory or written and removed within one evaluation. What stays in the target are some 20
//! KiB of code and a property of `process` under a symbol.

mod child;
mod copy;
mod script;
mod target;

use std::{
    fs::File,
    io::{self, Seek as _, Write},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{child::Child, copy::Copied, target::Target};
use crate::{CaptureError, Kind, Result};

/// The addon; empty where there is none.
static ADDON: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/heapsight_fork.node"));

/// The addon, for packages that bring it along to where it is loaded; empty where there is none.
pub fn addon() -> &'static [u8] {
    ADDON
}

/// Evaluates JavaScript in the isolate that is to be captured, on its thread.
pub trait Evaluate {
    /// The value of an expression in the global scope, as JSON (`returnByValue`), with the command line API (that is where
    /// ES modules of older versions have a `require`).
    ///
    /// # Errors
    ///
    /// If it throws, or if there is no answer within `timeout`.
    fn evaluate(&mut self, expression: &str, timeout: Duration) -> Result<Value>;
}

/// Where a snapshot goes.
pub trait Sink: Write {
    /// Forgets all that was written, because the capture is tried again. False if that cannot be done; the capture fails
    /// then instead.
    ///
    /// # Errors
    ///
    /// If forgetting fails.
    fn restart(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> io::Result<bool> {
        self.clear();
        Ok(true)
    }
}

impl Sink for File {
    fn restart(&mut self) -> io::Result<bool> {
        self.set_len(0)?;
        self.rewind()?;
        Ok(true)
    }
}

/// How a capture is to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Gives every object an id in the target before the fork, and lets V8 keep the ids, so that later captures can be
    /// compared with this one by id. Stops the target for a garbage collection and some 0.3 to 0.6 microseconds a node.
    ///
    /// The last capture of a series does better without: what was given an id before has it there too
    /// ([`Report::known_ids`]), and new objects get ids that no earlier object had.
    pub stable_ids: bool,
    /// How long the target may take to evaluate an expression: its event loop may be busy.
    pub answer_within: Duration,
    /// A child that for this long neither writes nor computes hangs.
    pub stalled_after: Duration,
    /// How long the child may take in all, if there is a limit.
    pub timeout: Option<Duration>,
    /// How often the fork is tried. Each try stops the target for as long as the first; the usual reason is noticed within
    /// some 20 ms.
    pub tries: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stable_ids: false,
            answer_within: Duration::from_secs(30),
            stalled_after: Duration::from_secs(10),
            timeout: None,
            tries: 10,
        }
    }
}

/// How far a capture is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Since the child was found.
    pub elapsed: Duration,
    /// Bytes of the snapshot so far. The graph is built before the first, which takes most of the time.
    pub bytes: u64,
    /// The child's process id.
    pub child: u32,
    /// Processor time of the child, in the kernel's ticks of 10 ms.
    pub processor_time: Duration,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// What the watcher of a capture decides.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Kill the child; the capture fails with this error.
    Stop(CaptureError),
}

/// Sees the progress of a capture about every 50 ms, on a thread of its own, also while the sink is slow.
pub type Watch<'a> = dyn FnMut(&Progress) -> Verdict + Send + 'a;

/// What a capture was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// `process.version` of the target.
    pub version: String,
    /// The child's process id.
    pub child: u32,
    /// How often it was forked.
    pub tries: u32,
    /// Why the tries before the last failed.
    pub setbacks: Vec<String>,
    /// How long the captured thread was stopped, measured in the target; `tracking` included.
    pub pause: Duration,
    /// How long giving ids took.
    pub tracking: Duration,
    /// How long making the heap inheritable took.
    pub preparing: Duration,
    /// How long the system call took.
    pub forking: Duration,
    /// Bytes of the snapshot.
    pub bytes: u64,
    /// From the fork to the last byte.
    pub elapsed: Duration,
    /// Whether the objects keep their ids in later captures of this isolate.
    pub stable_ids: bool,
    /// Whether the objects of earlier captures with stable ids have the same ids in this one.
    pub known_ids: bool,
    /// Whether the kernel had system call filters, so that the child could do nothing but write.
    pub confined: bool,
}

/// A process that can be forked.
#[derive(Debug)]
pub struct Fork {
    target: Target,
}

/// Why one try did not succeed.
enum Failure {
    /// It would not the next time either.
    Final(CaptureError),
    /// It is a matter of luck.
    Once(CaptureError),
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        Self::Final(error)
    }
}

impl Fork {
    /// Looks at a process, without touching it.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`], [`Kind::Permission`], and [`Kind::Unsupported`] where the method does not work: another system
    /// or architecture.
    pub fn prepare(pid: u32) -> Result<Self> {
        Ok(Self { target: Target::find(pid)? })
    }

    /// Has the addon loaded into the isolate, if it is not yet. The version of Node.js.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] with the reason: no Node.js, too old a one, `--no-addons`, the permission model, no place from
    /// which the addon could be loaded. [`Kind::Protocol`] if the evaluator belongs to another process.
    pub fn load(&mut self, evaluator: &mut dyn Evaluate, options: &Options) -> Result<String> {
        let what = || format!("cannot load the addon of the fork method into process {}", self.target.pid);
        let unsupported = |why: &str| {
            CaptureError::new(Kind::Unsupported, what(), why)
                .hint("use `--method inspector`, which stops the process for the whole snapshot")
        };
        let lent = self.target.lend();
        let mut answer = Value::Null;
        // First what needs no file; then the addon itself is sent along, to be written to some folder for a moment.
        for with_bytes in [false, true] {
            let path = lent.as_ref().map(|lent| lent.path.as_str());
            let bytes = with_bytes.then_some(ADDON);
            answer = script::answer(&evaluator.evaluate(&script::load(path, bytes), options.answer_within)?);
            if let Some(why) = answer["unsupported"].as_str() {
                return Err(unsupported(why));
            }
            if answer["pid"].as_u64() != Some(u64::from(self.target.own)) {
                let why = format!("the inspector belongs to another process ({})", answer["pid"]);
                return Err(CaptureError::new(Kind::Protocol, what(), why));
            }
            if answer["loaded"] == true {
                return Ok(answer["version"].as_str().unwrap_or_default().to_owned());
            }
        }
        let failures: Vec<&str> =
            answer["failures"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        Err(unsupported(&failures.join("; ")))
    }

    /// Writes a snapshot of the evaluator's isolate to `sink`.
    ///
    /// When this returns the child is gone.
    ///
    /// # Errors
    ///
    /// Those of [`Fork::load`]; that of `watch`; [`Kind::Output`] if the sink fails; [`Kind::Gone`] if the target or the
    /// child ends meanwhile; [`Kind::Timeout`]; [`Kind::Incomplete`] if all tries failed or the end is missing.
    pub fn capture(
        &mut self,
        evaluator: &mut dyn Evaluate,
        options: &Options,
        sink: &mut dyn Sink,
        watch: &mut Watch<'_>,
    ) -> Result<Report> {
        let version = self.load(evaluator, options)?;
        let (mut attempt, mut stalls) = (1, 0);
        let mut setbacks = Vec::new();
        loop {
            let error = match self.attempt(evaluator, options, sink, watch, attempt) {
                Ok(report) => return Ok(Report { version, setbacks, ..report }),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Once(error)) => error,
            };
            stalls += u32::from(error.kind == Kind::Timeout);
            if attempt >= options.tries || stalls >= MOST_STALLS {
                let hint =
                    "try again, or use `--method inspector`, which stops the process for the whole snapshot";
                let why = format!("{}: {} ({attempt} tries)", error.what, error.why);
                return Err(CaptureError::new(Kind::Incomplete, self.failed(), why).hint(hint));
            }
            match sink.restart() {
                Ok(true) => {}
                Ok(false) => return Err(error),
                Err(why) => return Err(output_error(&why)),
            }
            // What the target's threads were busy with takes milliseconds.
            thread::sleep(PAUSE_BETWEEN_TRIES * attempt);
            attempt += 1;
            setbacks.push(error.why);
        }
    }

    /// Lets V8 forget the ids of objects that captures with [`Options::stable_ids`] have made it keep, and the cost of
    /// keeping them. False if this build of Node.js does not show the function, or if no capture was made.
    ///
    /// # Errors
    ///
    /// Those of the evaluator.
    pub fn forget_ids(&mut self, evaluator: &mut dyn Evaluate, options: &Options) -> Result<bool> {
        Ok(evaluator.evaluate(&script::forget(), options.answer_within)? == 1)
    }

    fn failed(&self) -> String {
        format!("the fork snapshot of process {} failed", self.target.pid)
    }

    fn attempt(
        &self,
        evaluator: &mut dyn Evaluate,
        options: &Options,
        sink: &mut dyn Sink,
        watch: &mut Watch<'_>,
        attempt: u32,
    ) -> std::result::Result<Report, Failure> {
        let fork = script::fork(options.stable_ids, &self.target.marked());
        let answer = script::answer(&evaluator.evaluate(&fork, options.answer_within)?);
        let begun = Instant::now();
        let numbers: Vec<f64> =
            answer["numbers"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let (Some(number), &[pause, tracking, preparing, forking, data, _, status, _, _, go, _, tracked]) =
            (answer["child"].as_i64(), numbers.as_slice())
        else {
            return Err(CaptureError::new(
                Kind::Protocol,
                self.failed(),
                format!("unexpected answer {answer}"),
            )
            .into());
        };
        if number <= 0 {
            return Err(self.refused(-number).into());
        }
        let gone = |error: &io::Error| {
            let error = CaptureError::io(
                format!("cannot open the pipes of the child of process {}", self.target.pid),
                error,
            );
            match error.kind {
                Kind::Permission => {
                    Failure::Final(error.hint("run heapsight as the user of the process, or as root"))
                }
                _ => Failure::Once(error),
            }
        };
        let child = Child::find(&self.target, number as u32).map_err(|error| gone(&error))?;
        let pipes = child.open(data as i32, status as i32, go as i32).map_err(|error| gone(&error))?;
        let copied = copy::run(&child, pipes, options, sink, watch, attempt);
        child.wait(Duration::from_secs(5));
        let nanoseconds = |value: f64| Duration::from_nanos(value as u64);
        let Copied { bytes, whole, status } = copied?;
        match status.report {
            Some((confined, why)) if why.is_empty() && whole => Ok(Report {
                version: String::new(),
                child: child.pid,
                tries: attempt,
                setbacks: Vec::new(),
                pause: nanoseconds(pause),
                tracking: nanoseconds(tracking),
                preparing: nanoseconds(preparing),
                forking: nanoseconds(forking),
                bytes,
                elapsed: begun.elapsed(),
                stable_ids: tracked != 0.0,
                known_ids: answer["kept"] == true,
                confined,
            }),
            Some((_, why)) if why.is_empty() => {
                let why = format!("its end is missing after {bytes} bytes");
                Err(CaptureError::new(Kind::Incomplete, self.failed(), why).into())
            }
            Some((_, why)) if why == "nobody read in time" => {
                Err(Failure::Once(CaptureError::new(Kind::Timeout, self.failed(), why)))
            }
            Some((_, why)) if why == "deadlock" => {
                let why = "the child waited for a thread of the target that was busy at the fork";
                Err(Failure::Once(CaptureError::new(Kind::Other, self.failed(), why)))
            }
            Some((_, why)) => Err(CaptureError::new(Kind::Protocol, self.failed(), why).into()),
            None => Err(self.died(evaluator, number, &status.last_words)),
        }
    }

    /// What it means that the target could not fork.
    fn refused(&self, error: i64) -> CaptureError {
        const EOPNOTSUPP: i64 = 95;
        const ENOSYS: i64 = 38;
        match error {
            EOPNOTSUPP => CaptureError::new(
                Kind::Unsupported,
                format!("cannot keep the ids of objects in process {}", self.target.pid),
                "this build of Node.js does not show the functions of V8 that are needed",
            )
            .hint("leave `--stable-ids` away and compare by class"),
            ENOSYS => CaptureError::new(
                Kind::Unsupported,
                self.failed(),
                "its C library is not one that can be used",
            )
            .hint("use `--method inspector`"),
            _ => {
                let why = io::Error::from_raw_os_error(i32::try_from(error).unwrap_or_default());
                CaptureError::new(Kind::Other, format!("process {} cannot fork", self.target.pid), why).hint(
                    "look at its limits of memory, processes and open files, or use `--method inspector`",
                )
            }
        }
    }

    /// What it means that a child ended without a report.
    fn died(&self, evaluator: &mut dyn Evaluate, number: i64, last_words: &str) -> Failure {
        if !self.target.lives() {
            return CaptureError::ended(self.target.pid).into();
        }
        let mut status = -1;
        // The thread that has waited for the child says so a moment after the child is gone.
        for _ in 0..20 {
            let ended = evaluator.evaluate(&script::ended(number), Duration::from_secs(2));
            status = ended.ok().and_then(|value| value.as_i64()).unwrap_or(UNKNOWN);
            if status != -1 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut why = match (status, status & 0x7f, status >> 8 & 0xff) {
            (-1 | UNKNOWN, ..) => "the child ended early".to_owned(),
            (_, 0, code) => format!("the child ended early with status {code}"),
            (_, signal, _) => format!("the child was ended by signal {signal}"),
        };
        if !last_words.is_empty() {
            why = format!("{why}: {last_words}");
        }
        let error = CaptureError::new(Kind::Gone, self.failed(), why);
        if status > 0 && status & 0x7f == 9 {
            let hint = "when memory is short the kernel kills the child first: capture where there is more, or take a \
                        sampling profile";
            return Failure::Final(error.hint(hint));
        }
        if last_words.contains("out of memory") {
            return Failure::Final(error);
        }
        Failure::Once(error)
    }
}

/// Before the second try; more before later ones.
const PAUSE_BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Tries that end by a time limit are long ones.
const MOST_STALLS: u32 = 3;

/// What the addon has for a child that another part of the target has waited for.
const UNKNOWN: i64 = 0x7fff_ffff;

fn output_error(why: &io::Error) -> CaptureError {
    CaptureError::new(Kind::Output, "the snapshot could not be written", why)
}
