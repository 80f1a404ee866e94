//! Processes of this machine and what they are, as Linux' `/proc` tells it: nothing is run, stopped, signalled or
//! changed by looking.
//!
//! Elsewhere than on Linux everything here answers [`Kind::Unsupported`](crate::Kind::Unsupported).

pub mod cgroup;
pub mod container;
pub mod namespaces;
mod procfs;
pub mod sockets;
pub mod status;

pub use status::Status;
