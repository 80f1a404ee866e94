//! The inspector protocol: finding an inspector, opening and closing it, and what can be captured over it.
//!
//! [`attach()`] leads from a target to an [`Attachment`], which leaves the target as it was. In it is a [`Session`], the
//! conversation with one isolate, which has the captures: [`Session::heap_snapshot`], [`Session::timeline`],
//! [`Session::sampling`], [`Session::script_urls`].
//!
//! All of it is blocking; what a capture needs of threads it starts and ends itself.

mod attach;
mod capture;
mod endpoint;
mod escapes;
mod memory;
mod near_limit;
mod protocol;
mod sampling;
mod scripts;
mod session;
mod spool;
mod wire;
mod workers;

pub use attach::{AttachOptions, Attachment, Closed, attach, attach_url};
pub use capture::{Captured, LiveStats, Phase, Progress, SnapshotOptions, TimelineOptions, Watch};
pub use endpoint::{Endpoint, Listed, Server, Version, announced};
pub use memory::{EventLoop, IsolateMemory, Space};
pub use near_limit::Armed;
pub use protocol::{RemoteError, Route};
pub use sampling::{MAX_DEPTH, Sampling, SamplingOptions};
pub use scripts::Script;
pub use session::{HeapUse, Identity, Session, Thread};
