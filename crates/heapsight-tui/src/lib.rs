//! The terminal UI of heaps: the views of the page of `heapsight open`, by keyboard and mouse over ssh.
//!
//! `state.rs` is what is on the screen and what keys do, `tree.rs` the tree grid that every view is, `views/` has one file a
//! view, `source.rs` asks the query layer for rows, `draw.rs` and `layout.rs` draw them, and `terminal.rs` alone knows a
//! terminal. Nothing is computed here: every number comes from `heapsight-query` and the analyses below it.
//!
//! * Rows are made when they are on the screen; lists are orders of numbers.
//! * Every text from a file is made harmless before it is drawn: a control character never reaches the terminal.
//! * Only [`terminal`] touches the terminal, and it gives it back however it ends.

pub mod draw;
mod layout;
pub mod row;
pub mod source;
pub mod state;
pub mod terminal;
pub mod tree;
mod views;

pub use views::View;
