//! Answers as text: tables for people, CSV and Markdown of the same tables, and the JSON that other programs rely on.
//!
//! Nothing here computes or prints; every function gives a string or a value.

pub mod check;
pub mod export;
pub mod flame;
pub mod html;
pub mod json;
pub mod leak;
pub mod paint;
pub mod profile;
pub mod query;
pub mod suspects;
pub mod table;
pub mod text;
pub mod timeline;
pub mod units;
