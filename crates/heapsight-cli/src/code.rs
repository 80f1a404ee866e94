//! The scripts of a capture, from its side file.

use std::path::Path;

use heapsight_analysis::Heap;
use heapsight_capture::output::Metadata;
use heapsight_query::code::{Code, Script};

/// What is known of the code of a capture. A side file that is missing, cannot be read or belongs to another capture
/// leaves what the snapshot says itself.
pub(crate) fn code_of(path: &Path, heap: &Heap) -> Code {
    let counts = (heap.snapshot.node_count() as u64, heap.snapshot.edge_count() as u64);
    let side = Metadata::of(path).ok().flatten().filter(|side| side.belongs_to(counts.0, counts.1));
    let Some(side) = side else { return Code::none() };
    Code::new(scripts(side))
}

/// The scripts that a side file names.
pub(crate) fn scripts(side: Metadata) -> Vec<Script> {
    let script = |s: heapsight_capture::output::Script| Script {
        id: s.id,
        url: s.url,
        source_map_url: s.source_map_url,
    };
    side.scripts.into_iter().map(script).collect()
}
