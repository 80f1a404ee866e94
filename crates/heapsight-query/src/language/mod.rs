//! A small language for questions about objects: `class == "Session" and retained > 1MB order by retained desc limit 20`.
//!
//! [`parse()`] turns text into a [`Query`] or says where it is wrong; a [`Query`] prints as text that means the same; and
//! [`evaluate()`] answers it. The language is total: every query ends, in time linear in the size of the heap, and there
//! is nothing in it that could fail once it is parsed. It is described in `docs/query.md`.

mod ast;
mod error;
mod evaluate;
mod fields;
mod lex;
mod parse;

pub use ast::{Comparison, Condition, Operator, Order, Query, Value};
pub use error::QueryError;
pub use evaluate::{Answer, Births, Cell, Row, asks_for_rounds, evaluate, evaluate_born};
pub use fields::{Field, Kind};
pub use lex::size;
pub use parse::parse;

/// Brackets and `not`s may be nested so deep.
pub const MAX_DEPTH: usize = 64;

/// Longest query in bytes.
pub const MAX_LENGTH: usize = 1 << 16;

/// Keys of an order.
pub const MAX_ORDER: usize = 3;

/// Rows without a `limit`.
pub const DEFAULT_LIMIT: usize = 100;
