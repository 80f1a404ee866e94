//! Sampling heap profiles: from bytes to a call tree in columns, questions to it, and the formats it can be written in.
//!
//! A profile says of sampled allocations, by the stack that made them, how many bytes of them are alive (or were
//! allocated, if the recording included what was collected). Its sizes are estimates: V8 picks about one allocation in
//! each interval of bytes and scales what it picked.
//!
//! Everything here is iterative: a stack of a hundred thousand frames costs memory and no stack. Nothing prints, and no
//! input makes it panic.

mod callers;
mod collapse;
mod collapsed;
mod compare;
mod csv;
mod error;
mod flame;
mod heaviest;
mod input;
mod json;
mod pprof;
mod precision;
mod profile;
mod read;
mod reshape;
mod speedscope;
mod strings;
mod top;
mod tree;
mod wire;
mod write;

pub use callers::{Caller, callers};
pub use collapse::{filter, fold, rename};
pub use compare::{Change, Comparison, Trend, compare, differences, series};
pub use error::{Problem, ReadError};
pub use flame::{Bounds, Flame, FlameFrame, flame};
pub use heaviest::{Stack, heaviest};
pub use precision::{error_of, standard_error};
pub use profile::{
    Builder, Counts, Frame, Function, Merge, NO_POSITION, Nodes, Part, Profile, Sample, merge,
};
pub use read::read;
pub use reshape::{grouped, inverted};
pub use strings::Strings;
pub use top::{Groups, Row, top};
pub use tree::{Branch, branches};
pub use write::{Called, TooDeep, collapsed, csv, flat, inspector, pprof, pprof_called, speedscope};
