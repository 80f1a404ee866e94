//! The inspector protocol.

pub mod endpoint;
mod escapes;
pub mod protocol;
mod spool;
mod wire;
