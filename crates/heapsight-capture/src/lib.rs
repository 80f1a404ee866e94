//! Captures from running V8 processes: which there are ([`process`]), how they are talked to ([`inspector`], [`fork`]),
//! what is written ([`output`]), and what makes them busy meanwhile ([`load`]).
//!
//! Nothing here prints or analyses. Whatever a capture opens in its target it closes again, on every way out.

pub mod error;
pub mod fork;
pub mod guard;
pub mod inspector;
pub mod launch;
pub mod load;
pub mod output;
pub mod preflight;
pub mod process;
mod subprocess;
pub mod take;
pub mod target;

pub use error::{CaptureError, Kind, Result};
