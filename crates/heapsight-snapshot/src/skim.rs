//! A snapshot read once and not held: its rows and strings pass by, a window at a time.
//!
//! Cost: the time of reading what is wanted, the rest passes at the speed of memory; memory a few MiB, whatever the size of
//! the snapshot.

use std::io::Read;

use crate::{
    EdgeWindow, NodeWindow, ReadOptions, StringTable,
    error::{Problem, ReadError, Section, Warnings},
    input::Input,
    reader::Reader,
    tables::functions,
};

/// Who looks at a snapshot that passes by. Rows come in the order of the file.
pub trait Skim: Send {
    /// Whether a section is of interest. Others are passed over, unread; and where strings are not, they end it.
    fn wants(&self, section: Section) -> bool;

    /// The next nodes.
    fn nodes(&mut self, _nodes: NodeWindow<'_>) {}

    /// The next edges. Not wanted without [`Skim::nodes`], or the number of nodes, see [`skim()`].
    fn edges(&mut self, _edges: EdgeWindow<'_>) {}

    /// The next strings; the first of them has this index.
    fn strings(&mut self, _first: u32, _strings: &StringTable) {}
}

/// What was counted on the way, of what was wanted.
#[derive(Debug, Default)]
pub struct Skimmed {
    /// Nodes.
    pub nodes: usize,
    /// Edges that a node claims.
    pub claimed_edges: u64,
    /// Edges that a node owns.
    pub edges: usize,
    /// Strings.
    pub strings: usize,
    /// The largest string index that a node has for its name.
    pub max_node_name: Option<u32>,
    /// The largest string index that an edge has for its name.
    pub max_edge_name: Option<u32>,
    /// String indices of functions and their scripts, and of variables.
    pub names: Vec<u32>,
    /// Whether the strings came after all else.
    pub strings_last: bool,
    /// Whether a section that was passed over, other than nodes and edges, has something else in it than numbers.
    pub odd: bool,
    /// Bytes of text so far.
    pub text_bytes: u64,
    /// Damage that leaves the rest sound.
    pub warnings: Warnings,
}

/// Reads a snapshot for somebody who looks at it once.
///
/// `before`: what an earlier look has counted, for one that does not want the nodes.
///
/// # Errors
/// As [`read`](crate::read()), for the sections that are wanted.
pub fn skim<'r>(
    source: impl Read + Send + 'r,
    options: ReadOptions<'r>,
    before: &Skimmed,
    by: &mut dyn Skim,
) -> Result<Skimmed, ReadError> {
    let mut input = Input::new(Box::new(source), options.len, options.progress)?;
    let wants_edges = by.wants(Section::Edges);
    let mut reader = Reader::for_skim(options.threads.max(1), by);
    (reader.nodes, reader.edge_sum) = (before.nodes, before.claimed_edges);
    reader.top_level(&mut input)?;
    let end = input.offset();
    let missing = |section| Problem::Missing(section).at(Section::TopLevel, end);
    let Some(header) = reader.header.take() else { return Err(missing(Section::Header)) };
    for section in [Section::Nodes, Section::Edges, Section::Strings] {
        if !reader.seen.contains(&section) {
            return Err(missing(section));
        }
    }
    let mut names = Vec::new();
    if header.trace_function_count > 0 && !reader.trace_functions.is_empty() {
        let found = functions(&reader.trace_functions, &header.trace_function_fields);
        names.extend(found.iter().flatten().flat_map(|function| [function.name, function.script_name]));
    }
    names.extend(reader.scopes.variables());
    Ok(Skimmed {
        nodes: reader.nodes,
        claimed_edges: reader.edge_sum,
        edges: if wants_edges { reader.edges } else { before.edges },
        strings: reader.strings.max(before.strings),
        max_node_name: reader.max_node_name.max(before.max_node_name),
        max_edge_name: reader.max_edge_name.max(before.max_edge_name),
        names,
        strings_last: reader.seen.last() == Some(&Section::Strings),
        odd: reader.odd || before.odd,
        text_bytes: end.max(before.text_bytes),
        warnings: reader.warnings,
    })
}
