//! V8 heap snapshots and allocation timelines as columns.
//!
//! [`read`] takes the text of a `.heapsnapshot` or `.heaptimeline` file (plain, gzip or Zstandard) from any stream and
//! gives a [`Snapshot`]: one array for each field of the nodes and of the edges, indexed by *ordinal* (0, 1, 2 ... in the
//! order of the file). Raw positions in the file's flat arrays never leave the reader.
//!
//! [`write()`] makes the text of a snapshot again, and [`repair()`] reads what is whole in one that was cut off. Who needs
//! a snapshot only once, and not as a whole, looks at it as it passes by ([`skim()`]), or writes it anew on the way
//! ([`rewrite()`]).
//!
//! This crate knows no graph algorithm, opens no path by itself and does not panic on any input. It computes nothing
//! that the file does not say.
//!
//! Cost: time linear in the bytes of the file, on as many threads as asked for; memory 17 bytes a node, 9 bytes an
//! edge, 4 bytes a string, and the bytes of the strings section.
//!
//! Sources for the format: V8's `src/profiler/heap-snapshot-generator.cc` (`HeapSnapshotJSONSerializer`) and the
//! loader of Chrome DevTools (`HeapSnapshotLoader.ts`).

mod buffer;
mod edges;
mod ends;
mod error;
mod header;
pub mod index;
mod input;
mod kinds;
mod nodes;
mod numbers;
mod reader;
mod repair;
mod rewrite;
mod rows;
mod scopes;
mod sizes;
mod skim;
mod snapshot;
mod strings;
mod tables;
mod writer;

pub use buffer::{Buffer, Column};
pub use edges::EdgeWindow;
pub use error::{Problem, ReadError, Section, Warning, WarningKind, Warnings};
pub use input::{Compression, unpacked};
pub use kinds::{EdgeKind, KindTable, NodeKind};
pub use nodes::NodeWindow;
pub use reader::{ReadOptions, read};
pub use repair::{Loss, Repaired, repair};
pub use rewrite::{Out, Rewrite, RewriteError, rewrite};
pub use scopes::Scopes;
pub use sizes::{SizeBuilder, SizeColumn, Sizes};
pub use skim::{Skim, Skimmed, skim};
pub use snapshot::{EdgeColumns, NodeColumns, Snapshot};
pub use strings::{StringTable, StringTableBuilder};
pub use tables::{Location, Locations, Sample, TraceFunction, TraceNode, Traces};
pub use writer::write;
