//! From files on this machine to places where they survive it: object stores (S3, Google Cloud Storage, Azure, a folder)
//! and, for sampling profiles, Grafana Pyroscope.
//!
//! [`Uploader::start`] gives a [`Handle`]; [`Handle::enqueue`] returns when a file is in the queue durably, and a thread
//! does the rest: transfer, retry, verification. Whatever ends the process, the queue goes on where it was when it is
//! opened again.
//!
//! Invariants:
//! 1. A local file is removed only if that was asked for, and only after the remote object was found equal to it, by the
//!    checksum that the store has computed or by reading it back.
//! 2. What is enqueued stays in the queue until it is up and verified, or is found to be impossible. An entry is a small
//!    file that is replaced whole; there is no moment at which killing the process loses one.
//! 3. No object that someone else has written is overwritten, unless that was asked for.
//! 4. Credentials come from the caller, as pairs of the environment, and are neither stored nor shown.
//! 5. Nothing here prints, reads the environment, or panics on what a server answers.
//!
//! Memory: parts under way (part size times how many at once), and little else.

mod clock;
mod destination;
mod entry;
mod error;
mod http;
mod local;
mod pyroscope;
mod queue;
mod store;
mod transfer;
mod uploader;
mod verify;

pub use clock::{Bell, Clock, Monotonic};
pub use destination::{Destination, Environment};
pub use error::{Kind, Result, UploadError};
pub use queue::waiting;
pub use uploader::{Config, Handle, Outcome, Progress, Report, Retry, Status, Uploader};
pub use verify::{Proof, Verification};
