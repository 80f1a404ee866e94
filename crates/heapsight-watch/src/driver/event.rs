//! What happens, for whoever shows it: as a sentence and as JSON.

use std::{fmt, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{
    recorder::{Ending, Grown, Id, Job},
    units,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A process is watched from now on.
    Watching {
        /// Which.
        id: Id,
        /// Its command line.
        program: String,
        /// `Node.js 20.20.2`.
        runtime: String,
    },
    /// The target is connected to.
    Attached {
        /// Which.
        id: Id,
        /// Whether its inspector was opened for it.
        opened: bool,
        /// Whether its rolling profile is kept; else why not.
        profile: Result<(), String>,
    },
    /// The target cannot be asked; what the kernel says is watched all the same.
    NotAttached {
        /// Which.
        id: Id,
        /// Why.
        why: String,
        /// When it is tried again.
        again: Option<Duration>,
    },
    /// A rule acts.
    Fired(Job),
    /// A rule fired, and nothing is done.
    Skipped {
        /// The process.
        id: Id,
        /// The rule.
        rule: String,
        /// Why it fired, and why nothing is done.
        why: String,
    },
    /// A capture is whole, verified and under its name.
    Captured {
        /// The process.
        id: Id,
        /// The file.
        path: PathBuf,
        /// `heapsnapshot` and so on.
        kind: String,
        /// Bytes that the target sent.
        bytes: u64,
        /// Bytes of the file.
        stored_bytes: u64,
        /// How long the program stood still.
        pause: Option<Duration>,
    },
    /// An action is done that leaves no capture.
    Done {
        /// The process.
        id: Id,
        /// The action.
        action: String,
        /// How it went.
        how: String,
    },
    /// An action failed.
    Failed {
        /// The process.
        id: Id,
        /// The action.
        action: String,
        /// Why.
        why: String,
    },
    /// A capture was removed for a newer one.
    Removed(PathBuf),
    /// A capture is somewhere else, too, verified.
    Uploaded {
        /// The file.
        path: PathBuf,
        /// Where its copy is.
        url: String,
        /// Its bytes.
        bytes: u64,
    },
    /// A capture could not be brought away.
    NotUploaded {
        /// The file.
        path: PathBuf,
        /// Where to.
        url: String,
        /// Why.
        why: String,
        /// When it is tried again; never if it is no use.
        again: Option<Duration>,
    },
    /// A process has ended.
    Ended {
        /// Which.
        id: Id,
        /// How, and what had grown, in a sentence.
        sentence: String,
        /// How.
        ending: Ending,
        /// What had grown.
        grown: Vec<Grown>,
        /// The files that were kept of it.
        evidence: Vec<PathBuf>,
    },
    /// Where Prometheus may ask.
    Metrics(std::net::SocketAddr),
    /// Something that the user should know.
    Note(String),
}

impl Event {
    /// The same for programs: `event` is its kind.
    pub fn json(&self) -> Value {
        match self {
            Self::Watching { id, program, runtime } => {
                json!({"event": "watching", "pid": id.pid, "program": program, "runtime": runtime})
            }
            Self::Attached { id, opened, profile } => json!({"event": "attached", "pid": id.pid,
                "opened": opened, "profile": profile.is_ok(), "why": profile.as_ref().err()}),
            Self::NotAttached { id, why, again } => {
                json!({"event": "not-attached", "pid": id.pid, "why": why,
                "again_ms": again.map(|time| time.as_millis() as u64)})
            }
            Self::Fired(job) => json!({"event": "fired", "pid": job.id.pid, "rule": job.rule, "why": job.why,
                "actions": job.actions.iter().map(ToString::to_string).collect::<Vec<_>>()}),
            Self::Skipped { id, rule, why } => {
                json!({"event": "skipped", "pid": id.pid, "rule": rule, "why": why})
            }
            Self::Captured { id, path, kind, bytes, stored_bytes, pause } => json!({"event": "captured",
                "pid": id.pid, "file": path, "kind": kind, "bytes": bytes, "stored_bytes": stored_bytes,
                "pause_ms": pause.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)}),
            Self::Done { id, action, how } => {
                json!({"event": "done", "pid": id.pid, "action": action, "how": how})
            }
            Self::Failed { id, action, why } => {
                json!({"event": "failed", "pid": id.pid, "action": action, "why": why})
            }
            Self::Removed(path) => json!({"event": "removed", "file": path}),
            Self::Uploaded { path, url, bytes } => {
                json!({"event": "uploaded", "file": path, "url": url, "stored_bytes": bytes})
            }
            Self::NotUploaded { path, url, why, again } => {
                json!({"event": "not-uploaded", "file": path, "url": url, "why": why,
                "again_ms": again.map(|time| time.as_millis() as u64)})
            }
            Self::Ended { id, sentence, ending, grown, evidence } => {
                let mut value = ended_json(ending, grown);
                value["event"] = "ended".into();
                value["pid"] = id.pid.into();
                value["sentence"] = sentence.as_str().into();
                value["evidence"] = json!(evidence);
                value
            }
            Self::Metrics(address) => json!({"event": "metrics", "url": format!("http://{address}/metrics")}),
            Self::Note(text) => json!({"event": "note", "text": text}),
        }
    }
}

/// How a process ended, as JSON.
pub(super) fn ended_json(ending: &Ending, grown: &[Grown]) -> Value {
    let grown: Vec<Value> = grown
        .iter()
        .map(|g| {
            json!({"name": g.name, "url": g.url, "line": g.line, "column": g.column, "bytes": g.bytes,
                "error": g.error})
        })
        .collect();
    json!({"cause": ending.cause.name(), "rss": ending.rss, "peak_rss": ending.peak,
        "heap_used": ending.heap.as_ref().map(|h| h.used), "heap_limit": ending.heap.as_ref().map(|h| h.limit),
        "grown": grown})
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watching { id, program, runtime } => {
                write!(f, "process {}: watching {runtime}, {program}", id.pid)
            }
            Self::Attached { id, opened, profile } => {
                let how = if *opened { "its inspector was opened for it" } else { "its inspector was open" };
                match profile {
                    Ok(()) => write!(f, "process {}: rolling profile begun; {how}", id.pid),
                    Err(why) => write!(f, "process {}: connected, {how}; no rolling profile: {why}", id.pid),
                }
            }
            Self::NotAttached { id, why, again } => {
                write!(f, "process {}: only the kernel is asked: {why}", id.pid)?;
                match again {
                    Some(time) => write!(f, "; tried again in {}", units::time(*time)),
                    None => Ok(()),
                }
            }
            Self::Fired(job) => {
                let actions: Vec<String> = job.actions.iter().map(ToString::to_string).collect();
                write!(f, "process {}: {}: {}", job.id.pid, job.why, actions.join(", "))
            }
            Self::Skipped { id, why, .. } => write!(f, "process {}: {why}: nothing is done", id.pid),
            Self::Captured { id, path, bytes, stored_bytes, pause, .. } => {
                write!(f, "process {}: wrote {} ({}", id.pid, path.display(), units::bytes(*bytes))?;
                if stored_bytes != bytes {
                    write!(f, ", {} compressed", units::bytes(*stored_bytes))?;
                }
                match pause {
                    Some(pause) => write!(f, "); it stood still for {:.1} ms", pause.as_secs_f64() * 1e3),
                    None => write!(f, ")"),
                }
            }
            Self::Done { id, action, how } => write!(f, "process {}: {action}: {how}", id.pid),
            Self::Failed { id, action, why } => write!(f, "process {}: {action} failed: {why}", id.pid),
            Self::Removed(path) => write!(f, "removed {} for a newer one", path.display()),
            Self::Uploaded { url, bytes, .. } => write!(f, "uploaded {url} ({})", units::bytes(*bytes)),
            Self::NotUploaded { path, why, again, .. } => {
                write!(f, "not uploaded: {}: {why}", path.display())?;
                match again {
                    Some(time) => write!(f, "; tried again in {}", units::time(*time)),
                    None => write!(f, "; it is kept here"),
                }
            }
            Self::Ended { id, sentence, evidence, .. } => {
                write!(f, "process {}: {sentence}", id.pid)?;
                for path in evidence {
                    write!(f, "\n  {}", path.display())?;
                }
                Ok(())
            }
            Self::Metrics(address) => write!(f, "metrics at http://{address}/metrics"),
            Self::Note(text) => f.write_str(text),
        }
    }
}
