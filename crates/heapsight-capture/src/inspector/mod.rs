//! The inspector protocol: finding an inspector, opening and closing it, and what can be captured over it.
//!
//! [`Address`] and [`Endpoint`] say where an inspector is; [`Session`] is a conversation with one isolate over it and has
//! the captures: [`Session::heap_snapshot`], [`Session::timeline`], [`Session::sampling`], [`Session::script_urls`].
//!
//! All of it is blocking; what a capture needs of threads it starts and ends itself.

mod capture;
mod endpoint;
mod escapes;
mod protocol;
mod sampling;
mod scripts;
mod session;
mod spool;
mod wire;

pub use capture::{Captured, LiveStats, Phase, Progress, SnapshotOptions, TimelineOptions, Watch};
pub use endpoint::{Address, Endpoint, Listed, Server, Version, announced};
pub use protocol::{RemoteError, Route};
pub use sampling::{MAX_DEPTH, Sampling, SamplingOptions};
pub use scripts::Script;
pub use session::{HeapUse, Identity, Session, Thread};
