//! How a command fails: one line that says what, where and why, and one that helps.

use std::io;

use heapsight_query::{OpenError, Source};
use heapsight_snapshot::Problem;

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
                Some("check the path; `-` reads standard input".to_owned())
            }
            OpenError::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Some("Node writes snapshots with mode 0600: read it as the user who made it".to_owned())
            }
            OpenError::Directory => Some("name a .heapsnapshot or .heaptimeline file in it".to_owned()),
            OpenError::Read(error) => read_hint(&error.problem),
            OpenError::Memory(_) => {
                Some("it takes about 85 bytes an object: use a machine with more memory".to_owned())
            }
            _ => None,
        };
        Self::Message { what: format!("cannot open {source}: {error}"), hint }
    }
}

fn read_hint(problem: &Problem) -> Option<String> {
    let text = match problem {
        Problem::Truncated | Problem::Empty | Problem::Compressed(_) | Problem::EdgesMissing { .. } => {
            "the capture was cut off: the process was killed or the disk was full while it was written; take it again"
        }
        Problem::NotASnapshot(_) => {
            "heapsight reads .heapsnapshot and .heaptimeline files of Node.js, Deno, Bun and Chromium, also .gz and .zst"
        }
        Problem::OtherFormat(_) => "this command wants a heap snapshot or an allocation timeline",
        Problem::OutOfMemory { .. } => "it takes about 85 bytes an object: use a machine with more memory",
        _ => return None,
    };
    Some(text.to_owned())
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
        Self::Message { what: error.to_string(), hint: error.hint }
    }
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
