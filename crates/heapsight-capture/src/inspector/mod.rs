//! The inspector protocol.
