//! The smaller tables: source locations, allocation traces, timeline samples.

use crate::{
    Column,
    error::{Section, WarningKind, Warnings},
};

/// A place in a source file as V8 numbers it: line and column count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 0.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
}

/// Source locations of closures and of objects' constructors, ascending by node.
#[derive(Debug, Default)]
pub struct Locations {
    /// Ordinals, strictly ascending.
    pub nodes: Column<u32>,
    /// Script of each.
    pub script_ids: Column<u32>,
    /// Line of each, from 0.
    pub lines: Column<u32>,
    /// Column of each, from 0.
    pub columns: Column<u32>,
}

impl Locations {
    /// Number of nodes that have a location.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node has one.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The entry at a position of the table.
    pub fn at(&self, position: usize) -> Location {
        Location {
            script_id: self.script_ids[position],
            line: self.lines[position],
            column: self.columns[position],
        }
    }

    /// The location of a node. Logarithmic in the size of the table.
    pub fn of(&self, ord: u32) -> Option<Location> {
        self.nodes.binary_search(&ord).ok().map(|position| self.at(position))
    }
}

/// The functions of the allocation traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFunction {
    /// String index of the function's name.
    pub name: u32,
    /// String index of the script's name.
    pub script_name: u32,
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 1; 0 if it is not known.
    pub line: u32,
    /// Column, from 1; 0 if it is not known.
    pub column: u32,
}

/// A node of the tree of allocation stacks; parents stand before their children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceNode {
    /// The `trace_node_id` by which heap nodes refer to it.
    pub id: u32,
    /// Index into the functions.
    pub function: u32,
    /// Objects allocated here.
    pub count: u64,
    /// Bytes allocated here.
    pub size: u64,
    /// Position of the caller; `None` for the root.
    pub parent: Option<u32>,
}

/// Who allocated: functions, and the tree of stacks in the file's order (depth first).
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// The functions.
    pub functions: Vec<TraceFunction>,
    /// The tree.
    pub nodes: Vec<TraceNode>,
}

/// One tick of an allocation timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Microseconds since the recording began.
    pub timestamp_us: u64,
    /// The largest object id given out until then.
    pub last_assigned_id: u64,
}

/// Picks fields by name out of rows of numbers.
pub(crate) fn samples(numbers: &[u64], fields: &[String], warnings: &mut Warnings) -> Vec<Sample> {
    let time = fields.iter().position(|f| f == "timestamp_us");
    let id = fields.iter().position(|f| f == "last_assigned_id");
    let (Some(time), Some(id)) = (time, id) else {
        if !numbers.is_empty() {
            warnings.add(WarningKind::Samples, Section::Samples, None, 1, || {
                "samples without the fields `timestamp_us` and `last_assigned_id`, ignored".to_owned()
            });
        }
        return Vec::new();
    };
    numbers
        .chunks_exact(fields.len())
        .map(|row| Sample { timestamp_us: row[time], last_assigned_id: row[id] })
        .collect()
}

pub(crate) fn functions(numbers: &[u64], fields: &[String]) -> Option<Vec<TraceFunction>> {
    let at = |name: &str| fields.iter().position(|f| f == name);
    let (name, script_name) = (at("name")?, at("script_name")?);
    let (script_id, line, column) = (at("script_id")?, at("line")?, at("column")?);
    let number = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
    let rows = numbers.chunks_exact(fields.len());
    Some(
        rows.map(|row| TraceFunction {
            name: number(row[name]),
            script_name: number(row[script_name]),
            script_id: number(row[script_id]),
            line: number(row[line]),
            column: number(row[column]),
        })
        .collect(),
    )
}
