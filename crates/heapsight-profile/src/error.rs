//! Why a file cannot be read as a profile.

use std::io;

use thiserror::Error;

/// What is wrong, and at which byte of the (unpacked) text.
#[derive(Debug, Error)]
#[error("{problem} (at byte {offset})")]
pub struct ReadError {
    /// What is wrong.
    pub problem: Problem,
    /// Offset from the beginning of the text, after decompression.
    pub offset: u64,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum Problem {
    /// The source failed.
    #[error("{0}")]
    Io(io::Error),
    /// The compressed stream is damaged or cut off.
    #[error("the compressed data is damaged or cut off: {0}")]
    Compressed(io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// The text ends too early.
    #[error("the profile is cut off in the middle of {0}")]
    Truncated(&'static str),
    /// Something else stands where the format wants a certain thing.
    #[error("expected {expected}, found {found}")]
    Syntax {
        /// What the format wants.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// It is a file of another kind.
    #[error("this is {0}, not a sampling heap profile")]
    Foreign(&'static str),
    /// A number that no profile can have.
    #[error("{0}")]
    Value(String),
}

impl Problem {
    pub(crate) fn at(self, offset: u64) -> ReadError {
        ReadError { problem: self, offset }
    }
}

/// A byte as an error message shows it.
pub(crate) fn show_byte(byte: Option<u8>) -> String {
    match byte {
        None => "the end of the file".to_owned(),
        Some(byte) if byte.is_ascii_graphic() => format!("`{}`", byte as char),
        Some(byte) => format!("byte 0x{byte:02x}"),
    }
}
