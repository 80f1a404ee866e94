//! Files of captures: names, compression, verification, renaming.
//!
//! A capture goes into a [`Sink`], which is a [`std::io::Write`]. The bytes are verified as they pass, compressed if the
//! name says so, and written to a temporary file beside the target, all on a thread of their own: whoever reads from the
//! target process only appends to a queue. [`Sink::finish`] gives the file its name when it is whole, and only then.
//!
//! Nothing is kept of the data; the memory is the queue ([`Options::buffer_bytes`]) and the header of the capture.

mod meta;
mod name;
mod partial;
mod sink;
mod verify;

pub use meta::{Captured, IdSpace, Metadata, Process, Runtime, Sampled, Script, Tool};
pub use name::{CaptureKind, Compression, default_name};
pub use partial::{clean_stale, free_bytes, replace};
pub use sink::{Options, Progress, Quota, Sink, Written};
pub use verify::{Counts, Flaw, Verifier};
