//! Builders, oracles and fixtures for the tests of this workspace. Never part of the product.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test support fails loudly")]

pub mod builder;
pub mod digest;
pub mod fixtures;
pub mod generate;
pub mod oracle;
pub mod runtimes;
#[cfg(feature = "servers")]
pub mod servers;
