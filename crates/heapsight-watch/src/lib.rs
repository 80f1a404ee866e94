//! The flight recorder: watches V8 processes from outside, captures before it is too late, and keeps evidence of their
//! end.
//!
//! [`recorder`] decides and touches nothing; [`driver`] looks, captures and writes, and decides
//! nothing. [`settings`] are the words between both and the user, [`config`] reads them
//! from a file.
//!
//! Everything that touches a target goes through `heapsight-capture`, whose invariants hold. Nothing here prints.

pub mod config;
pub mod driver;
pub mod metrics;
pub mod recorder;
pub mod settings;
pub mod units;

pub use driver::{Clock, Control, Event, Host, SystemClock, run};
pub use settings::Settings;
