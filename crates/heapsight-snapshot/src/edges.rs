//! The `edges` array: its columns under construction, and the parsers of its rows.

use crate::{
    Buffer, EdgeColumns, EdgeKind,
    ends::QuickNumbers,
    error::Problem,
    header::EdgeLayout,
    kinds::KindTable,
    numbers::{NumberError, Numbers, RowSource},
    rows::Rows,
};

pub(crate) struct EdgeBuffers {
    kind: Buffer<u8>,
    name: Buffer<u32>,
    to: Buffer<u32>,
}

pub(crate) struct EdgeRows<'a> {
    kind: &'a mut [u8],
    name: &'a mut [u32],
    to: &'a mut [u32],
}

impl EdgeBuffers {
    pub(crate) fn new(room: usize) -> Option<Self> {
        Some(Self { kind: Buffer::zeroed(room)?, name: Buffer::zeroed(room)?, to: Buffer::zeroed(room)? })
    }

    pub(crate) fn grown(self, room: usize) -> Option<Self> {
        Some(Self { kind: self.kind.grown(room)?, name: self.name.grown(room)?, to: self.to.grown(room)? })
    }

    pub(crate) fn rows_from(&mut self, row: usize) -> EdgeRows<'_> {
        EdgeRows { kind: &mut self.kind[row..], name: &mut self.name[row..], to: &mut self.to[row..] }
    }

    /// The first rows.
    pub(crate) fn window(&self, rows: usize) -> EdgeWindow<'_> {
        EdgeWindow { kind: &self.kind[..rows], name: &self.name[..rows], to: &self.to[..rows] }
    }

    pub(crate) fn freeze(self, rows: usize) -> EdgeColumns {
        EdgeColumns { kind: self.kind.freeze(rows), name: self.name.freeze(rows), to: self.to.freeze(rows) }
    }
}

/// Some rows of edges, in the order of the file, for those who do not hold them all.
#[derive(Clone, Copy, Debug)]
pub struct EdgeWindow<'a> {
    /// What they are, as in [`EdgeColumns`].
    pub kind: &'a [u8],
    /// Name (a string index) or number, by kind.
    pub name: &'a [u32],
    /// Ordinal of the node that each points to.
    pub to: &'a [u32],
}

impl Rows for EdgeRows<'_> {
    fn len(&self) -> usize {
        self.kind.len()
    }

    fn split_front(self, rows: usize) -> (Self, Self) {
        let (kind, kind_rest) = self.kind.split_at_mut(rows);
        let (name, name_rest) = self.name.split_at_mut(rows);
        let (to, to_rest) = self.to.split_at_mut(rows);
        (Self { kind, name, to }, Self { kind: kind_rest, name: name_rest, to: to_rest })
    }
}

/// What `to_node` may be.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) fields: u64,
    pub(crate) nodes: u64,
}

impl Target {
    #[cold]
    fn refuse(self, to: u64) -> Problem {
        let fields = self.fields as usize;
        if to.is_multiple_of(self.fields) {
            Problem::PastLastNode { to, nodes: self.nodes, fields }
        } else {
            Problem::MiddleOfNode { to, fields }
        }
    }
}

/// Parses `type,name_or_index,to_node` where a node has `F` fields; the division is by a constant.
pub(crate) fn parse_edges<const F: u64>(
    text: &[u8],
    mut rows: EdgeRows<'_>,
    kinds: &KindTable,
    target: Target,
) -> Result<Option<u32>, NumberError> {
    match edges_from::<F, _>(QuickNumbers::new(text), &mut rows, kinds, target) {
        Ok(max_name) => Ok(max_name),
        Err(_) => edges_from::<F, _>(Numbers::new(text), &mut rows, kinds, target),
    }
}

fn edges_from<const F: u64, S: RowSource>(
    source: S,
    rows: &mut EdgeRows<'_>,
    kinds: &KindTable,
    target: Target,
) -> Result<Option<u32>, S::Error> {
    let len = rows.kind.len();
    let (kind, name, to) = (&mut rows.kind[..len], &mut rows.name[..len], &mut rows.to[..len]);
    let mut max_name = None;
    source.rows(3, len, |i, &[raw, string, index]| {
        store_edge(kinds, (raw, string), (&mut kind[i], &mut name[i]), &mut max_name)?;
        if index % F != 0 || index / F >= target.nodes {
            return Err(target.refuse(index));
        }
        to[i] = (index / F) as u32;
        Ok(())
    })?;
    Ok(max_name)
}

/// Parses edges of any layout.
pub(crate) fn parse_any_edges(
    text: &[u8],
    EdgeRows { kind, name, to }: EdgeRows<'_>,
    layout: &EdgeLayout,
    kinds: &KindTable,
    target: Target,
) -> Result<Option<u32>, NumberError> {
    let mut max_name = None;
    Numbers::new(text).rows(layout.fields, kind.len(), |i, row: &[u64; 64]| {
        let out = (&mut kind[i], &mut name[i]);
        store_edge(kinds, (row[layout.kind], row[layout.name]), out, &mut max_name)?;
        let index = row[layout.to];
        if !index.is_multiple_of(target.fields) || index / target.fields >= target.nodes {
            return Err(target.refuse(index));
        }
        to[i] = (index / target.fields) as u32;
        Ok(())
    })?;
    Ok(max_name)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the body of the loop over edges")]
fn store_edge(
    kinds: &KindTable,
    (raw, string): (u64, u64),
    (kind, name): (&mut u8, &mut u32),
    max_name: &mut Option<u32>,
) -> Result<(), Problem> {
    let Some(known) = kinds.raw(raw) else {
        return Err(Problem::UnknownType { what: "edge", value: raw, known: kinds.listed() });
    };
    *kind = known;
    *name = u32::try_from(string).map_err(|_| crate::nodes::too_large("name_or_index", string))?;
    if !EdgeKind(known).has_numeric_name() {
        *max_name = (*max_name).max(Some(*name));
    }
    Ok(())
}
