//! Containers by the way they are held: what can be compared where object ids cannot.
//!
//! On the tree of readable ways, objects that are reached by the same names through objects of the same classes are of one
//! *way*, in whatever snapshot. For each way this counts its objects, what these hold, and the bytes below. Array indices,
//! keys of Maps and of dictionaries do not tell ways apart, nor do the nodes of a list.
//!
//! Time O(N + E), memory 32 bytes a node while it runs.

use std::hash::{BuildHasher, Hasher};

use heapsight_snapshot::{EdgeKind, NodeKind};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{
    Heap,
    growth::{DICTIONARY, is_list_node, is_member, is_store},
    readable::{NONE, ReadableTree},
};

/// What is held in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Objects that are held like this.
    pub objects: u64,
    /// Objects right below them.
    pub members: u64,
    /// Bytes below them and of themselves.
    pub size: u64,
    /// The object that has most right below it.
    pub ord: u32,
    /// How many that is.
    pub most: u64,
    /// Whether these are nodes of a list.
    pub list: bool,
    /// Whether V8's own tables lead there.
    pub engine: bool,
}

/// The ways of a heap by a number that is the same for the same way in any snapshot.
pub fn ways(heap: &Heap, tree: &ReadableTree) -> FxHashMap<u64, Way> {
    let snapshot = &heap.snapshot;
    let n = snapshot.node_count();
    let class_hash: Vec<u64> = heap.classes.table.iter().map(|class| hash(class.name.as_bytes())).collect();
    let mut names: FxHashMap<u32, u64> = FxHashMap::default();
    let mut of = vec![0u64; n];
    let mut size: Vec<u64> = snapshot.nodes.self_size.iter().collect();
    let mut members = vec![0u32; n];
    let mut engine = crate::bits::BitSet::new(n);
    let mut list = crate::bits::BitSet::new(n);
    for &ord in &tree.order {
        let at = ord as usize;
        let (edge, parent) = (tree.edge[at], tree.parent[at]);
        if edge == NONE {
            continue;
        }
        let (edge, up) = (edge as usize, parent as usize);
        let kind = snapshot.node_kind(ord);
        if engine.contains(up) || matches!(kind, NodeKind::CODE | NodeKind::OBJECT_SHAPE) {
            engine.insert(at);
        }
        let class = heap.classes.of[at];
        if class == heap.classes.of[up] && is_list_node(heap, ord) && is_list_node(heap, parent) {
            of[at] = of[up];
            list.insert(at);
            continue;
        }
        let edge_kind = snapshot.edge_kind(edge);
        let name = snapshot.edges.name[edge];
        let is_entry = edge_kind.has_numeric_name()
            || is_store(snapshot, parent)
            || (edge_kind == EdgeKind::INTERNAL && heap.known.weak_map_edge(name).is_some())
            || (edge_kind == EdgeKind::PROPERTY && snapshot.edges_of(parent).len() > DICTIONARY);
        let mut hasher = FxBuildHasher.build_hasher();
        hasher.write_u64(of[up]);
        // The names of plain objects' classes depend on how many objects there are.
        let plain = heap.names().is_plain_object(ord);
        hasher.write_u64(if plain { 0 } else { class_hash[class as usize] });
        hasher.write_u8(edge_kind.0);
        if !is_entry {
            let name = names.entry(name).or_insert_with(|| hash(snapshot.strings.raw(name)));
            hasher.write_u64(*name);
        }
        of[at] = hasher.finish();
    }
    // From the leaves up. Members of a store are its owner's.
    for &ord in tree.order.iter().rev() {
        let at = ord as usize;
        let parent = tree.parent[at];
        if parent == NONE {
            continue;
        }
        let up = parent as usize;
        size[up] = size[up].saturating_add(size[at]);
        let more = if is_store(snapshot, ord) { members[at] } else { u32::from(is_member(snapshot, ord)) };
        members[up] = members[up].saturating_add(more);
    }
    let mut ways: FxHashMap<u64, Way> = FxHashMap::default();
    for &ord in &tree.order {
        let at = ord as usize;
        if !is_member(snapshot, ord) || ord == snapshot.root {
            continue;
        }
        let way = ways.entry(of[at]).or_insert(Way { ord, ..Way::default() });
        way.objects += 1;
        way.members += u64::from(members[at]);
        way.engine |= engine.contains(at);
        way.list |= list.contains(at);
        // Of a list the first node has all below it.
        if !list.contains(at) {
            way.size = way.size.saturating_add(size[at]);
        }
        if u64::from(members[at]) > way.most {
            way.most = u64::from(members[at]);
            way.ord = ord;
        }
    }
    ways
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxBuildHasher.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
