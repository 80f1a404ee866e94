//! The captures as a user meets them: the whole command on real processes, in good and bad conditions.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod bad;
mod broken_off;
mod code;
mod command;
mod hunts;
mod leaks;
mod live;
mod matrix;
mod patterns;
mod pictures;
mod programs;
mod recordings;
mod repeated;
mod reports;
mod sharing;
mod surroundings;
