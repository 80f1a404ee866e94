//! Edges that count for retention.
//!
//! Not essential are, in this order: the edge from a WeakMap's table to a value (the one from the key stays); weak edges;
//! edges of a node to itself; and, unless they come from the root, shortcuts and edges from what the page does not own
//! to what it owns. *The page* owns what is reached from the global objects and the documents over edges that are not
//! weak.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `computeIsEssentialEdge` and `markPageOwnedNodes`.

use std::rc::Rc;

use heapsight_snapshot::{EdgeKind, Snapshot};

use crate::{bits::BitSet, known::Known, ownership::is_document_dom_trees};

/// Whether an edge of the root leads to a global object (a shortcut) or to the documents (an element).
pub fn is_page_root(snapshot: &Snapshot, known: &Known, edge: usize) -> bool {
    match snapshot.edge_kind(edge) {
        EdgeKind::SHORTCUT => true,
        EdgeKind::ELEMENT => is_document_dom_trees(snapshot, known, snapshot.edges.to[edge]),
        _ => false,
    }
}

/// The rules for one snapshot.
#[derive(Debug)]
pub struct Rules<'a> {
    snapshot: &'a Snapshot,
    known: &'a Known,
    kinds: &'a [u8],
    /// The tables of WeakMaps; `None` if there is not one.
    tables: Option<Rc<BitSet>>,
    /// `None` while the walk is inside of the page, where every source is the page's.
    page_owned: Option<BitSet>,
    /// Inside of the page: targets that the page owns though no essential edge led there.
    pub(crate) skipped: Vec<u32>,
}

/// What the rules ask of the node that an edge comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    ord: u32,
    is_root: bool,
    page_owned: bool,
    is_table: bool,
}

impl<'a> Rules<'a> {
    /// Rules for a walk from the page's roots, before anything else is known.
    pub(crate) fn in_page(snapshot: &'a Snapshot, known: &'a Known) -> Self {
        Self {
            snapshot,
            known,
            kinds: &snapshot.edges.kind,
            tables: known.has_weak_maps().then(|| Rc::new(tables(snapshot, known))),
            page_owned: None,
            skipped: Vec::new(),
        }
    }

    /// Rules for the rest of the graph.
    pub(crate) fn with_page(&self, page_owned: BitSet) -> Self {
        Self { page_owned: Some(page_owned), tables: self.tables.clone(), skipped: Vec::new(), ..*self }
    }

    #[inline]
    pub(crate) fn source(&self, ord: u32) -> Source {
        Source {
            ord,
            is_root: ord == self.snapshot.root,
            page_owned: self.page_owned.as_ref().is_none_or(|owned| owned.contains(ord as usize)),
            is_table: self.tables.as_ref().is_some_and(|tables| tables.contains(ord as usize)),
        }
    }

    /// Whether an edge of a node counts.
    pub(crate) fn is_essential(&mut self, ord: u32, edge: usize) -> bool {
        self.is_essential_from(self.source(ord), edge, self.snapshot.edges.to[edge])
    }

    #[inline]
    pub(crate) fn is_essential_from(&mut self, source: Source, edge: usize, target: u32) -> bool {
        let kind = EdgeKind(self.kinds[edge]);
        if kind == EdgeKind::WEAK || target == source.ord {
            return false;
        }
        if (kind == EdgeKind::INTERNAL && source.is_table && self.is_from_table(source.ord, edge))
            || (kind == EdgeKind::SHORTCUT && !source.is_root)
        {
            if self.page_owned.is_none() {
                self.skipped.push(target);
            }
            return false;
        }
        match &self.page_owned {
            None => {
                if target == self.snapshot.root {
                    // The root is the page's own then, and with it all that it holds.
                    self.skipped.push(target);
                }
                true
            }
            Some(owned) => source.is_root || source.page_owned || !owned.contains(target as usize),
        }
    }

    /// Whether an internal edge is the one from a WeakMap's table to a value.
    #[cold]
    fn is_from_table(&self, source: u32, edge: usize) -> bool {
        self.known
            .weak_map_edge(self.snapshot.edges.name[edge])
            .is_some_and(|entry| u64::from(self.snapshot.nodes.id[source as usize]) == entry.table_id)
    }
}

/// The nodes that a WeakMap entry names as its table. Linear in the nodes, so that the walk need not look at the names
/// of all internal edges.
fn tables(snapshot: &Snapshot, known: &Known) -> BitSet {
    let ids = known.weak_map_tables();
    let mut tables = BitSet::new(snapshot.node_count());
    let (Some(&least), Some(&most)) = (ids.first(), ids.last()) else { return tables };
    for (ord, &id) in snapshot.nodes.id.iter().enumerate() {
        let id = u64::from(id);
        if (least..=most).contains(&id) && ids.binary_search(&id).is_ok() {
            tables.insert(ord);
        }
    }
    tables
}
