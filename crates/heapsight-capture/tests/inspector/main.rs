//! Captures over the inspector: against a server that plays tricks, and from every runtime.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod attach;
mod captures;
mod pages;
mod programs;
mod tricks;
mod workers;
