//! How a command fails: one line that says what, where and why, and one that helps.

use std::io;

use heapsight_capture::process::Status;
use heapsight_query::{OpenError, Source};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read the output has gone.
    BrokenPipe,
    /// Something to tell.
    Message {
        /// What failed, and why.
        what: String,
        /// What to try.
        hint: Option<String>,
    },
}

impl Failure {
    /// A failure with what to try.
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Message { what: what.into(), hint: Some(hint.into()) }
    }

    /// A failure that speaks for itself.
    pub(crate) fn plain(what: impl Into<String>) -> Self {
        Self::Message { what: what.into(), hint: None }
    }

    /// A failure to open a snapshot.
    pub(crate) fn open(source: &Source, error: &OpenError) -> Self {
        let hint = match error {
            OpenError::Io(e) if e.kind() == io::ErrorKind::NotFound => {
                Some("check the path; `-` reads standard input")
            }
            error => error.hint(),
        };
        Self::Message { what: format!("cannot open {source}: {error}"), hint: hint.map(str::to_owned) }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::plain(format!("cannot write the output: {error}"))
        }
    }
}

impl From<heapsight_capture::CaptureError> for Failure {
    fn from(error: heapsight_capture::CaptureError) -> Self {
        let what = error.to_string();
        let hint = error.hint.map(|hint| if is_root() { of_root(&hint) } else { hint });
        Self::Message { what, hint }
    }
}

fn is_root() -> bool {
    Status::read(std::process::id()).is_ok_and(|own| own.euid == 0)
}

/// A hint for whom is root already: what root may not, something else forbids.
fn of_root(hint: &str) -> String {
    if !hint.starts_with("run heapsight as") {
        return hint.to_owned();
    }
    "heapsight runs as root already: a container without the capability SYS_PTRACE, a user namespace or a security \
     module forbids it all the same; run heapsight where the process was started from, on the host or in its container"
        .to_owned()
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}

impl From<heapsight_analysis::OutOfMemory> for Failure {
    fn from(error: heapsight_analysis::OutOfMemory) -> Self {
        Self::plain(error.to_string())
    }
}
