//! What is whole in a snapshot that was cut off, as a snapshot that is sound.
//!
//! A capture that was killed, or whose disk became full, stops somewhere: in the middle of a number, of a string, of a
//! compressed block, or in zero bytes where a file system lost the end. V8 writes nodes, edges, the smaller tables and the
//! strings in this order, so what is missing follows from where the text ends:
//!
//! 1. in the nodes: the nodes that are whole stay, without edges; no name is known;
//! 2. in the edges: all nodes stay; those after the last whole edge have no edges. No name is known;
//! 3. in a small table or before the strings: the graph is whole. A table of rows keeps its whole rows, the tree of stacks
//!    and the table of scopes are dropped. No name is known;
//! 4. in the strings: everything but the names that did not come any more.
//!
//! A name that is not known becomes `(lost name 4711)`, with the number that it has in the file: equal names stay equal, so
//! classes are still told apart. Nothing is guessed. Only a missing end is mended; a file that is wrong in its middle is
//! an error, as it is for [`read`](crate::read).
//!
//! Cost: that of reading, and a copy of the strings.

use std::io::Read;

use crate::{
    ReadError, ReadOptions, Section, Snapshot, StringTableBuilder,
    reader::{Remains, read_remains},
};

/// A snapshot that is sound again, and what it lacks.
#[derive(Debug)]
pub struct Repaired {
    /// What was whole.
    pub snapshot: Snapshot,
    /// What was lost; `None` if the text was whole.
    pub loss: Option<Loss>,
}

/// What a snapshot that was cut off lacks.
#[derive(Debug)]
pub struct Loss {
    /// Where the text ends, and why.
    pub end: ReadError,
    /// Nodes that the header promised and that are not whole.
    pub nodes: u64,
    /// Edges that the header promised and that are not whole.
    pub edges: u64,
    /// Nodes that have lost edges, all or some.
    pub nodes_without_edges: u64,
    /// Names that are in use and not known.
    pub strings: u64,
    /// Parts of which nothing came, and that a file of this kind has.
    pub sections: Vec<Section>,
}

/// Reads what is whole of a snapshot or timeline, plain or compressed, that may stop anywhere.
///
/// # Errors
/// Not even the header and one node are whole, or something is wrong that is no missing end.
pub fn repair<'r>(source: impl Read + Send + 'r, options: ReadOptions<'r>) -> Result<Repaired, ReadError> {
    let Remains {
        mut snapshot,
        end,
        sections,
        promised_nodes,
        promised_edges,
        claimed_edges,
        stripped_nodes,
        max_name,
    } = read_remains(source, options)?;
    let known = snapshot.strings.len();
    let functions = snapshot.traces.iter().flat_map(|traces| &traces.functions);
    let scopes = snapshot.scopes.iter().flat_map(|scopes| scopes.variables.iter().copied());
    let small: Vec<u32> = functions.flat_map(|f| [f.name, f.script_name]).chain(scopes).collect();
    let named = small.iter().copied().max().max(max_name);
    // A table of strings that came whole is not made longer: its indices beyond the end are damage that was there before.
    // Every string of V8's but the first is somebody's name, so there are no more others than rows, whatever a row says.
    let most = known + snapshot.node_count() + snapshot.edge_count() + small.len() + 1;
    let wanted = if end.is_some() { named.map_or(0, |max| max as usize + 1).min(most) } else { known };
    let lost = wanted.saturating_sub(known);
    if lost > 0 {
        let bytes = snapshot.strings.section_bytes() as usize + 24 * lost;
        let mut strings = StringTableBuilder::with_room(bytes, wanted);
        (0..known as u32).for_each(|index| strings.push_raw(snapshot.strings.raw(index)));
        (known..wanted).for_each(|index| strings.push(&format!("(lost name {index})")));
        snapshot.strings = strings.finish();
    }
    let loss = end.map(|end| {
        let kept = snapshot.edge_count() as u64;
        let nodes = snapshot.node_count() as u64;
        Loss {
            nodes: promised_nodes.saturating_sub(nodes),
            edges: promised_edges.max(claimed_edges).saturating_sub(kept),
            nodes_without_edges: stripped_nodes,
            strings: lost as u64,
            sections: [Section::Edges, Section::Locations, Section::Strings]
                .into_iter()
                .filter(|section| !sections.contains(section))
                .collect(),
            end,
        }
    });
    Ok(Repaired { snapshot, loss })
}
