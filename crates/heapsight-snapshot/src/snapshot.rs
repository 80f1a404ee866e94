//! A snapshot in memory.

use std::ops::Range;

use crate::{
    Column, EdgeKind, KindTable, Locations, NodeKind, Sample, Scopes, SizeColumn, StringTable, Traces,
    Warnings,
};

/// The fields of the nodes, one array each, by ordinal.
#[derive(Debug, Default)]
pub struct NodeColumns {
    /// [`NodeKind`] of each node.
    pub kind: Column<u8>,
    /// String index of the name.
    pub name: Column<u32>,
    /// V8's object id, which DevTools shows as `@id`.
    pub id: Column<u32>,
    /// Shallow size in bytes, as the file has it until an analysis rewrites it.
    pub self_size: SizeColumn,
    /// First edge of each node, and at the end the number of edges: node `n` owns `first_edge[n]..first_edge[n + 1]`.
    pub first_edge: Column<u32>,
    /// Node of the allocation tree, 0 for none; absent where the file has no such field or only zeros.
    pub trace_node: Option<Column<u32>>,
    /// Detachedness as written (0 unknown, 1 attached, 2 detached); absent where the file has no such field.
    pub detachedness: Option<Column<u8>>,
}

/// The fields of the edges, one array each, by edge number.
#[derive(Debug, Default)]
pub struct EdgeColumns {
    /// [`EdgeKind`] of each edge.
    pub kind: Column<u8>,
    /// String index of the name, or the number itself where [`EdgeKind::has_numeric_name`].
    pub name: Column<u32>,
    /// Ordinal of the node that the edge points to.
    pub to: Column<u32>,
}

/// A heap snapshot or allocation timeline.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The nodes.
    pub nodes: NodeColumns,
    /// The edges.
    pub edges: EdgeColumns,
    /// The strings.
    pub strings: StringTable,
    /// Ordinal of the root.
    pub root: u32,
    /// Bytes outside of the heap that the header reports.
    pub extra_native_bytes: u64,
    /// Fields of a node in the file: `ordinal * node_fields` is what DevTools calls the node index.
    pub node_fields: u32,
    /// Names of the node types.
    pub node_kinds: KindTable,
    /// Names of the edge types.
    pub edge_kinds: KindTable,
    /// Source locations.
    pub locations: Locations,
    /// Allocation traces, if the header counts any functions.
    pub traces: Option<Traces>,
    /// Lexical scopes of scripts; `None` where the file does not record them.
    pub scopes: Option<Scopes>,
    /// Ticks of an allocation timeline.
    pub samples: Vec<Sample>,
    /// Damage that was survived.
    pub warnings: Warnings,
    /// Bytes of text read, decompressed.
    pub text_bytes: u64,
}

impl Snapshot {
    /// Number of nodes.
    #[inline]
    pub fn node_count(&self) -> usize {
        self.nodes.kind.len()
    }

    /// Number of edges.
    #[inline]
    pub fn edge_count(&self) -> usize {
        self.edges.to.len()
    }

    /// The edges of a node.
    #[inline]
    pub fn edges_of(&self, ord: u32) -> Range<usize> {
        let first = &self.nodes.first_edge;
        first[ord as usize] as usize..first[ord as usize + 1] as usize
    }

    /// The type of a node.
    #[inline]
    pub fn node_kind(&self, ord: u32) -> NodeKind {
        NodeKind(self.nodes.kind[ord as usize])
    }

    /// The type of an edge.
    #[inline]
    pub fn edge_kind(&self, edge: usize) -> EdgeKind {
        EdgeKind(self.edges.kind[edge])
    }

    /// V8's name of the node's type.
    pub fn node_type(&self, ord: u32) -> &str {
        self.node_kinds.name(self.nodes.kind[ord as usize])
    }

    /// V8's name of the edge's type.
    pub fn edge_type(&self, edge: usize) -> &str {
        self.edge_kinds.name(self.edges.kind[edge])
    }

    /// The string index of an edge's name, unless its name is a number.
    #[inline]
    pub fn edge_string(&self, edge: usize) -> Option<u32> {
        (!self.edge_kind(edge).has_numeric_name()).then(|| self.edges.name[edge])
    }

    /// The first edge of a node with this type and name, and its target.
    pub fn internal_edge(&self, ord: u32, name: &str) -> Option<u32> {
        self.edges_of(ord)
            .find(|&e| self.edge_kind(e) == EdgeKind::INTERNAL && self.strings.is(self.edges.name[e], name))
            .map(|e| self.edges.to[e])
    }
}
