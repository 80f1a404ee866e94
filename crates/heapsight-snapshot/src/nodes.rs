//! The `nodes` array: its columns under construction, and the parser of its rows.

use crate::{
    Buffer, NodeColumns, SizeColumn,
    ends::QuickNumbers,
    error::Problem,
    header::NodeLayout,
    kinds::KindTable,
    numbers::{NumberError, Numbers, RowSource},
    rows::Rows,
};

pub(crate) struct NodeBuffers {
    kind: Buffer<u8>,
    name: Buffer<u32>,
    id: Buffer<u32>,
    self_size: Buffer<u32>,
    /// `edge_count` of node n at n + 1 until the columns are frozen.
    first_edge: Buffer<u32>,
    trace_node: Option<Buffer<u32>>,
    detachedness: Option<Buffer<u8>>,
}

pub(crate) struct NodeRows<'a> {
    kind: &'a mut [u8],
    name: &'a mut [u32],
    id: &'a mut [u32],
    self_size: &'a mut [u32],
    edge_count: &'a mut [u32],
    trace_node: Option<&'a mut [u32]>,
    detachedness: Option<&'a mut [u8]>,
}

impl NodeBuffers {
    pub(crate) fn new(room: usize, layout: &NodeLayout) -> Option<Self> {
        Some(Self {
            kind: Buffer::zeroed(room)?,
            name: Buffer::zeroed(room)?,
            id: Buffer::zeroed(room)?,
            self_size: Buffer::zeroed(room)?,
            first_edge: Buffer::zeroed(room.checked_add(1)?)?,
            // Mostly zeros, which cost no memory as long as nothing is written.
            trace_node: layout.trace_node.map_or(Some(None), |_| Buffer::zeroed(room).map(Some))?,
            detachedness: layout.detachedness.map_or(Some(None), |_| Buffer::zeroed(room).map(Some))?,
        })
    }

    pub(crate) fn grown(self, room: usize) -> Option<Self> {
        Some(Self {
            kind: self.kind.grown(room)?,
            name: self.name.grown(room)?,
            id: self.id.grown(room)?,
            self_size: self.self_size.grown(room)?,
            first_edge: self.first_edge.grown(room.checked_add(1)?)?,
            trace_node: match self.trace_node {
                Some(column) => Some(column.grown(room)?),
                None => None,
            },
            detachedness: match self.detachedness {
                Some(column) => Some(column.grown(room)?),
                None => None,
            },
        })
    }

    pub(crate) fn rows_from(&mut self, row: usize) -> NodeRows<'_> {
        NodeRows {
            kind: &mut self.kind[row..],
            name: &mut self.name[row..],
            id: &mut self.id[row..],
            self_size: &mut self.self_size[row..],
            edge_count: &mut self.first_edge[row + 1..],
            trace_node: self.trace_node.as_mut().map(|c| &mut c[row..]),
            detachedness: self.detachedness.as_mut().map(|c| &mut c[row..]),
        }
    }

    /// The first rows.
    pub(crate) fn window(&self, rows: usize) -> NodeWindow<'_> {
        NodeWindow {
            kind: &self.kind[..rows],
            name: &self.name[..rows],
            id: &self.id[..rows],
            edge_count: &self.first_edge[1..=rows],
        }
    }

    /// Ends the construction; the column of allocation stacks stays only if some node has one.
    pub(crate) fn freeze(mut self, rows: usize, mut large: Vec<(u32, u64)>, traced: bool) -> NodeColumns {
        let mut sum = 0u32;
        for slot in &mut self.first_edge[..=rows] {
            // The sum of all was checked against the number of edges, or will be before anybody sees this.
            sum = sum.saturating_add(*slot);
            *slot = sum;
        }
        large.sort_unstable();
        let self_size = SizeColumn::from_parts(self.self_size.freeze(rows), large).unwrap_or_default();
        NodeColumns {
            kind: self.kind.freeze(rows),
            name: self.name.freeze(rows),
            id: self.id.freeze(rows),
            self_size,
            first_edge: self.first_edge.freeze(rows + 1),
            trace_node: self.trace_node.filter(|_| traced).map(|c| c.freeze(rows)),
            detachedness: self.detachedness.map(|c| c.freeze(rows)),
        }
    }
}

impl Rows for NodeRows<'_> {
    fn len(&self) -> usize {
        self.kind.len()
    }

    fn split_front(self, rows: usize) -> (Self, Self) {
        let (kind, kind_rest) = self.kind.split_at_mut(rows);
        let (name, name_rest) = self.name.split_at_mut(rows);
        let (id, id_rest) = self.id.split_at_mut(rows);
        let (self_size, self_size_rest) = self.self_size.split_at_mut(rows);
        let (edge_count, edge_count_rest) = self.edge_count.split_at_mut(rows);
        let (trace_node, trace_node_rest) = self.trace_node.map(|c| c.split_at_mut(rows)).unzip();
        let (detachedness, detachedness_rest) = self.detachedness.map(|c| c.split_at_mut(rows)).unzip();
        (
            Self { kind, name, id, self_size, edge_count, trace_node, detachedness },
            Self {
                kind: kind_rest,
                name: name_rest,
                id: id_rest,
                self_size: self_size_rest,
                edge_count: edge_count_rest,
                trace_node: trace_node_rest,
                detachedness: detachedness_rest,
            },
        )
    }
}

/// Some rows of nodes, in the order of the file, for those who do not hold them all.
#[derive(Clone, Copy, Debug)]
pub struct NodeWindow<'a> {
    /// What they are, as in [`NodeColumns`].
    pub kind: &'a [u8],
    /// String indices of their names.
    pub name: &'a [u32],
    /// Object ids.
    pub id: &'a [u32],
    /// How many edges each has.
    pub edge_count: &'a [u32],
}

/// What a piece of nodes yields beside its rows.
pub(crate) struct NodeStats {
    pub(crate) large: Vec<(u32, u64)>,
    pub(crate) edges: u64,
    pub(crate) max_name: u32,
    pub(crate) odd_detachedness: u64,
    /// Whether any node names its allocation stack.
    pub(crate) traced: bool,
}

#[cold]
pub(crate) fn too_large(what: &'static str, value: u64) -> Problem {
    Problem::TooLarge { what, value, limit: u64::from(u32::MAX) }
}

/// Parses rows of `F` fields; `F` = 64 stands for any number of fields.
pub(crate) fn parse_nodes<const F: usize>(
    text: &[u8],
    mut rows: NodeRows<'_>,
    layout: &NodeLayout,
    kinds: &KindTable,
    first_row: usize,
) -> Result<NodeStats, NumberError> {
    match nodes_from::<F, _>(QuickNumbers::new(text), &mut rows, layout, kinds, first_row) {
        Ok(stats) => Ok(stats),
        Err(_) => nodes_from::<F, _>(Numbers::new(text), &mut rows, layout, kinds, first_row),
    }
}

fn nodes_from<const F: usize, S: RowSource>(
    source: S,
    rows: &mut NodeRows<'_>,
    layout: &NodeLayout,
    kinds: &KindTable,
    first_row: usize,
) -> Result<NodeStats, S::Error> {
    let mut stats =
        NodeStats { large: Vec::new(), edges: 0, max_name: 0, odd_detachedness: 0, traced: false };
    let NodeRows { kind, name, id, self_size, edge_count, trace_node, detachedness } = rows;
    let fields = if F == 64 { layout.fields } else { F };
    let len = kind.len();
    let (name, id) = (&mut name[..len], &mut id[..len]);
    let (self_size, edge_count) = (&mut self_size[..len], &mut edge_count[..len]);
    source.rows(fields, len, |i, row: &[u64; F]| {
        let raw = row[layout.kind];
        let Some(known) = kinds.raw(raw) else {
            return Err(Problem::UnknownType { what: "node", value: raw, known: kinds.listed() });
        };
        kind[i] = known;
        let string = row[layout.name];
        name[i] = u32::try_from(string).map_err(|_| too_large("name", string))?;
        stats.max_name = stats.max_name.max(name[i]);
        let object = row[layout.id];
        id[i] = u32::try_from(object).map_err(|_| too_large("id", object))?;
        let size = row[layout.self_size];
        self_size[i] = if size >= u64::from(u32::MAX) {
            stats.large.push(((first_row + i) as u32, size));
            u32::MAX
        } else {
            size as u32
        };
        let edges = row[layout.edge_count];
        edge_count[i] = u32::try_from(edges).map_err(|_| too_large("edge_count", edges))?;
        stats.edges += edges;
        if let (Some(column), Some(field)) = (trace_node.as_mut(), layout.trace_node)
            && row[field] != 0
        {
            let trace = row[field];
            stats.traced = true;
            column[i] = u32::try_from(trace).map_err(|_| too_large("trace_node_id", trace))?;
        }
        if let (Some(column), Some(field)) = (detachedness.as_mut(), layout.detachedness)
            && row[field] != 0
        {
            stats.odd_detachedness += u64::from(row[field] > 3);
            column[i] = (row[field] & 3) as u8;
        }
        Ok(())
    })?;
    Ok(stats)
}
