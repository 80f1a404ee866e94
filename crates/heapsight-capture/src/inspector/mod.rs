//! The inspector protocol.

mod escapes;
pub mod protocol;
