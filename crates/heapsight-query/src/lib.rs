//! What every front end asks of a heap.
//!
//! [`open()`] gives a heap for a path or a stream, from the index of an earlier opening where there is one. The functions of
//! the other modules turn its columns into rows in the user's words: plain data with public fields, sorted, filtered and
//! cut to the page that is asked for. Nothing here prints, and nothing reads arguments or the environment.

pub mod cache;
pub mod check;
pub mod classes;
pub mod code;
pub mod compare;
mod direct;
pub mod language;
pub mod leak;
pub mod listing;
pub mod object;
mod open;
pub mod packages;
pub mod portrait;
pub mod selector;
pub mod story;
pub mod strings;
pub mod suspects;
pub mod timeline;
pub mod tree;
pub mod validate;
pub mod variables;

pub use cache::Cache;
pub use open::{OpenError, OpenOptions, Source, Timings, open, overview};
