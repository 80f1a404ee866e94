//! Analyses of heap snapshots: pure functions over the columns of `heapsight-snapshot`.
//!
//! The numbers are those of Chrome DevTools (its `heap_snapshot_worker`); where that engine is limited by its own number
//! types, the right thing is done instead and said in the module. Everything is iterative, deterministic, and linear or
//! nearly so in nodes N and edges E; nothing is allocated for a single node.
//!
//! One file is one analysis. [`Heap::build`] runs those that every question needs, on two threads; the others are
//! functions over a [`Heap`].

pub mod aggregates;
pub mod allocations;
pub mod bits;
pub mod classes;
pub mod contexts;
pub mod dead_variables;
pub mod detached;
pub mod diff;
pub mod distance;
pub mod dominators;
pub mod duplicates;
pub mod essential;
pub mod filters;
pub mod flags;
pub mod growth;
mod heap;
pub mod interfaces;
pub mod known;
pub mod names;
pub mod ownership;
pub mod paths;
pub mod pool;
mod prefetch;
pub mod readable;
pub mod retainers;
pub mod search;
pub mod statistics;
pub mod store;
pub mod subtrees;
pub mod suspects;
pub mod swelling;
pub mod timeline;
pub mod trend;
pub mod ways;

pub use heap::{Beside, Heap, Monitor, OutOfMemory, Silent, phase};
