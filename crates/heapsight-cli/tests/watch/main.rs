//! The flight recorder as a user meets it: the command on real processes that leak, end, come back and are used by others.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[path = "../capture/command.rs"]
mod command;
#[path = "../capture/programs.rs"]
#[expect(dead_code, reason = "the tests of captures use more of it")]
mod programs;

mod ends;
mod follows;
mod limits;
mod neighbours;
mod rules;
mod uploads;
mod watcher;
