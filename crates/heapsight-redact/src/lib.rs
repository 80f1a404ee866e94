//! Snapshots that can be shared: without secrets, and with a proof of it.
//!
//! [`redact()`] replaces the texts of all values, and what is data among the names, by markers; the graph, ids, sizes, classes,
//! names and places stay, so every analysis says the same; [`Survey`] does so without holding the file. `verify` compares a file with the one that it was made from,
//! and finds any text that should not be there. [`scan()`] looks for what is likely to be a secret, and never shows it whole.
//!
//! This crate opens no path, prints nothing, and keeps no key. It computes nothing about the graph but what a string is used
//! for.

pub mod detect;
mod marker;
mod names;
mod profile;
mod redact;
mod scan;
mod stream;
mod uses;
mod verify;

pub use marker::{Key, is_marker};
pub use names::redact_place;
pub use profile::redact_profile;
pub use redact::{RedactError, Replaced, redact};
pub use scan::{Finding, scan};
pub use stream::{StreamError, Survey};
pub use verify::{Expected, Leak, Outcome, Strays};
