//! The page of `heapsight open`: a server on the loopback interface, and what it serves.
//!
//! `server.rs` listens and ends, `guard.rs` decides who is let in, `library.rs` has the files, `api/` answers one view a
//! file, `jobs.rs` has what takes its time, `assets.rs` the page itself. Nothing is analysed here: every answer comes from
//! `heapsight-query`, `heapsight-profile` or `heapsight-capture`.
//!
//! * The server opens no file but those that it was given when it started, that a page has sent to it, or that a capture
//!   of its own has written. No request names a path.
//! * Whatever runs for long runs on a thread of its own, so many at a time; what waits for it is a task.
//! * Rows are given out by pages of at most [`PAGE`].

mod api;
mod assets;
mod guard;
mod jobs;
mod library;
mod reply;
mod server;
mod shelf;

pub use library::{CodeOf, Settings};
pub use server::{Options, Server, Stopper, WebError};

/// Rows that one request may ask for.
pub const PAGE: usize = 500;
