//! Processes of this machine and what they are, as Linux' `/proc` tells it: nothing is run, stopped, signalled or
//! changed by looking.
//!
//! Elsewhere than on Linux everything here answers [`Kind::Unsupported`](crate::Kind::Unsupported).

mod arguments;
pub mod cgroup;
pub mod container;
pub mod executable;
pub mod namespaces;
mod procfs;
pub mod runtime;
pub mod sockets;
pub mod status;

pub use status::Status;

use crate::error::Result;

/// The command line of a process, word by word; empty for threads of the kernel and processes that have ended.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound) where there is no such process.
pub fn command(pid: u32) -> Result<Vec<String>> {
    let bytes = procfs::bytes(pid, "cmdline")?;
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}
