//! What can go wrong with a capture: what failed, why, and what to try.

use std::{fmt, io};

/// The kind of a failure, for programs that decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// There is no such process, port or thread.
    NotFound,
    /// The process is no V8 program, or one that cannot be captured so.
    Unsupported,
    /// The system refuses.
    Permission,
    /// The target does not answer in time.
    Timeout,
    /// The target or the connection ended during the capture.
    Gone,
    /// The target answered with an error, or with what was not expected.
    Protocol,
    /// The capture would hurt the target, and was not forced.
    Refused,
    /// A file could not be written, or exists.
    Output,
    /// What arrived is no whole capture.
    Incomplete,
    /// It was interrupted.
    Interrupted,
    /// Anything else.
    Other,
}

/// A failure: `what`: `why`, and what to try.
#[derive(Clone, Debug)]
pub struct CaptureError {
    /// Its kind.
    pub kind: Kind,
    /// What failed, with its object: "cannot open the inspector of process 4711".
    pub what: String,
    /// Why, in the words of the system or the target; may be empty.
    pub why: String,
    /// What to try.
    pub hint: Option<String>,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, CaptureError>;

impl CaptureError {
    /// A failure without a hint.
    pub fn new(kind: Kind, what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { kind, what: what.into(), why: why.to_string(), hint: None }
    }

    /// A failure of the system; the kind follows from the error.
    pub fn io(what: impl Into<String>, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::Permission,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Kind::Timeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Kind::Gone,
            _ => Kind::Other,
        };
        Self::new(kind, what, error)
    }

    /// The sink of a capture failed. One of this crate says itself what happened; of any other it is said as `what`.
    pub(crate) fn sink(what: impl Into<String>, error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(own) => own.clone(),
            None => Self { kind: Kind::Output, ..Self::io(what, error) },
        }
    }

    /// A process is no more, though nobody here has ended it.
    pub(crate) fn ended(pid: u32) -> Self {
        Self::new(
            Kind::Gone,
            format!("process {pid} has ended during the capture"),
            "it was killed, or exited, or crashed",
        )
        .hint("`dmesg` tells whether the kernel killed it for want of memory")
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for CaptureError {}
