//! Lists of objects as a front end pages through them: whole orders that are made once and kept, and rows made from a part.
//!
//! An order is a list of ordinals, or of edge numbers, 4 bytes each. Ties are broken by object id and then by position, so
//! that the same question has the same answer. Time O(k log k) for k objects, on all cores; children in the dominator
//! tree are found by one pass over the nodes.

use std::cmp::Ordering;

use heapsight_analysis::{Heap, bits::BitSet, distance::UNREACHABLE};
use heapsight_snapshot::EdgeKind;
use rayon::prelude::*;

use crate::{
    classes::members,
    code::{Code, Place},
    object::preview,
};

/// Nodes that one thread looks through at a time.
const CHUNK: usize = 1 << 18;

/// Characters of a name that a list shows.
const NAME: usize = 400;

/// By what objects are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// Retained size.
    #[default]
    Retained,
    /// Shallow size.
    Shallow,
    /// Distance; what is not reached comes last.
    Distance,
    /// Object id.
    Id,
    /// The name that is shown; of references the name of the reference.
    Name,
}

/// A column and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub by: Column,
    /// Largest first.
    pub descending: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { by: Column::Retained, descending: true }
    }
}

/// A distance as a number that sorts.
fn far(heap: &Heap, ord: u32) -> i32 {
    match heap.distance[ord as usize] {
        UNREACHABLE => i32::MAX,
        distance => distance,
    }
}

fn directed(ordering: Ordering, descending: bool) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}

/// The number of an object in a column; of names there is none.
fn number(heap: &Heap, by: Column, ord: u32) -> u64 {
    match by {
        Column::Shallow => heap.snapshot.nodes.self_size.get(ord),
        Column::Distance => u64::from(far(heap, ord) as u32),
        Column::Id => u64::from(heap.snapshot.nodes.id[ord as usize]),
        Column::Retained | Column::Name => heap.retained.get(ord),
    }
}

/// How two objects stand to each other in an order; never equal.
fn compare(heap: &Heap, order: Order, a: u32, b: u32) -> Ordering {
    let ordering = match order.by {
        Column::Name => heap.names().node(a).cmp(&heap.names().node(b)),
        by => number(heap, by, a).cmp(&number(heap, by, b)),
    };
    let id = |ord: u32| (heap.snapshot.nodes.id[ord as usize], ord);
    directed(ordering, order.descending).then_with(|| id(a).cmp(&id(b)))
}

/// Sorts objects.
pub fn sort(heap: &Heap, objects: &mut [u32], order: Order) {
    objects.par_sort_unstable_by(|&a, &b| compare(heap, order, a, b));
}

/// The first `most` objects of parts, in order, and how many there are in all. Linear in the objects, on all cores: of each
/// part no more than its own first are kept.
fn first<P: Iterator<Item = u32> + Send>(
    heap: &Heap,
    parts: impl ParallelIterator<Item = P>,
    order: Order,
    most: usize,
) -> (Vec<u32>, usize) {
    let joined = |(mut list, all): (Vec<u32>, usize), (more, further): (Vec<u32>, usize)| {
        list.extend(more);
        (list, all + further)
    };
    let (mut objects, total) =
        parts.map(|part| first_of_part(heap, part, order, most)).reduce(|| (Vec::new(), 0), joined);
    sort(heap, &mut objects, order);
    objects.truncate(most);
    (objects, total)
}

/// The first of one part, in no order, and how many it has.
fn first_of_part(
    heap: &Heap,
    part: impl Iterator<Item = u32>,
    order: Order,
    most: usize,
) -> (Vec<u32>, usize) {
    match order.by {
        Column::Name => first_by(heap, part, order, most, |ord| heap.names().node(ord)),
        by => first_by(heap, part, order, most, |ord| number(heap, by, ord)),
    }
}

/// The same by a key. What is behind all that are kept is left at once, so that its key is all that is looked at.
fn first_by<K: Ord + Clone>(
    heap: &Heap,
    part: impl Iterator<Item = u32>,
    order: Order,
    most: usize,
    key: impl Fn(u32) -> K,
) -> (Vec<u32>, usize) {
    let most = most.max(1);
    let by_key = |a: &K, b: &K| directed(a.cmp(b), order.descending);
    let mut kept: Vec<(K, u32, u32)> = Vec::new();
    let whole =
        |a: &(K, u32, u32), b: &(K, u32, u32)| by_key(&a.0, &b.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2)));
    // The last of those that are kept, once there are enough.
    let mut bound: Option<(K, u32, u32)> = None;
    let mut all = 0;
    for ord in part {
        all += 1;
        let key = key(ord);
        if bound.as_ref().is_some_and(|bound| by_key(&key, &bound.0).is_gt()) {
            continue;
        }
        let candidate = (key, heap.snapshot.nodes.id[ord as usize], ord);
        if bound.as_ref().is_some_and(|bound| whole(&candidate, bound).is_gt()) {
            continue;
        }
        kept.push(candidate);
        if kept.len() >= most.saturating_mul(2) {
            bound = Some(kept.select_nth_unstable_by(most - 1, whole).1.clone());
            kept.truncate(most);
        }
    }
    (kept.into_iter().map(|(_, _, ord)| ord).collect(), all)
}

/// The first of a list of objects, in order.
pub fn first_of(heap: &Heap, objects: &[u32], order: Order, most: usize) -> Vec<u32> {
    first(heap, objects.par_chunks(CHUNK).map(|part| part.iter().copied()), order, most).0
}

/// The first members of classes that pass a filter, in order, and how many there are.
pub fn first_instances(
    heap: &Heap,
    classes: &[u32],
    passing: Option<&BitSet>,
    order: Order,
    most: usize,
) -> (Vec<u32>, usize) {
    let mut wanted = vec![false; heap.classes.table.len()];
    for &class in classes {
        wanted[class as usize] = true;
    }
    let sizes = &heap.snapshot.nodes.self_size;
    let wanted = &wanted;
    let sizes = sizes.view();
    let parts = heap.classes.of.par_chunks(CHUNK).enumerate().map(|(chunk, part)| {
        let first = (chunk * CHUNK) as u32;
        let members = part.iter().zip(first..).filter(|&(&class, _)| wanted[class as usize]);
        members.map(|(_, ord)| ord).filter(move |&ord| {
            sizes.get(ord) > 0 && passing.is_none_or(|passing| passing.contains(ord as usize))
        })
    });
    first(heap, parts, order, most)
}

/// The first of what an object immediately dominates, in order, and how many there are.
pub fn first_dominated(heap: &Heap, ord: u32, order: Order, most: usize) -> (Vec<u32>, usize) {
    first(heap, below(heap, ord), order, most)
}

/// The members of classes that pass a filter, in order.
pub fn instances(heap: &Heap, classes: &[u32], passing: Option<&BitSet>, order: Order) -> Vec<u32> {
    let mut objects = members(heap, classes);
    objects.retain(|&ord| passing.is_none_or(|passing| passing.contains(ord as usize)));
    sort(heap, &mut objects, order);
    objects
}

/// What an object immediately dominates, in parts.
fn below(heap: &Heap, ord: u32) -> impl ParallelIterator<Item = impl Iterator<Item = u32> + Send + '_> + '_ {
    let idom: &[u32] = &heap.dominators.idom;
    idom.par_chunks(CHUNK).enumerate().map(move |(chunk, part)| {
        let children = part.iter().zip((chunk * CHUNK) as u32..).filter(move |&(&up, _)| up == ord);
        // The root dominates itself.
        children.map(|(_, child)| child).filter(move |&child| child != ord)
    })
}

/// What an object immediately dominates, in order.
pub fn dominated(heap: &Heap, ord: u32, order: Order) -> Vec<u32> {
    let mut objects: Vec<u32> = below(heap, ord).flatten_iter().collect();
    sort(heap, &mut objects, order);
    objects
}

/// The references of an object that are shown, as edge numbers in order. By name, array elements go by their index.
pub fn references(heap: &Heap, ord: u32, order: Order) -> Vec<u32> {
    let snapshot = &heap.snapshot;
    let shown = |edge: &usize| snapshot.edge_kind(*edge) != EdgeKind::INVISIBLE;
    let mut edges: Vec<u32> = snapshot.edges_of(ord).filter(shown).map(|edge| edge as u32).collect();
    let to = |edge: u32| snapshot.edges.to[edge as usize];
    if order.by == Column::Name {
        let names = heap.names();
        edges.par_sort_by(|&a, &b| {
            let (one, other) = (names.edge(a as usize), names.edge(b as usize));
            let ordering = match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                _ => one.cmp(&other),
            };
            directed(ordering, order.descending).then(a.cmp(&b))
        });
        return edges;
    }
    edges.par_sort_unstable_by(|&a, &b| {
        let key = |edge: u32| match order.by {
            Column::Shallow => snapshot.nodes.self_size.get(to(edge)),
            Column::Distance => u64::from(far(heap, to(edge)) as u32),
            Column::Id => u64::from(snapshot.nodes.id[to(edge) as usize]),
            Column::Retained | Column::Name => heap.retained.get(to(edge)),
        };
        directed(key(a).cmp(&key(b)), order.descending).then(a.cmp(&b))
    });
    edges
}

/// An object as a row of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Ordinal.
    pub ord: u32,
    /// V8's object id.
    pub id: u32,
    /// V8's name of its type.
    pub kind: String,
    /// Its class.
    pub class: String,
    /// What is shown of it: a string's text, a function's name, else its name; bounded and never empty.
    pub value: String,
    /// Packed distance.
    pub distance: i32,
    /// Shallow size in bytes.
    pub self_size: u64,
    /// Retained size in bytes.
    pub retained_size: u64,
    /// References that are shown when it is opened.
    pub references: u64,
    /// 0 unknown, 1 attached, 2 detached.
    pub detachedness: u8,
    /// Of functions, where they stand.
    pub place: Option<Place>,
}

/// The row of an object. Constant time but for its references, which are counted.
pub fn row(heap: &Heap, code: &Code, ord: u32) -> Row {
    let snapshot = &heap.snapshot;
    let shown = |edge: &usize| snapshot.edge_kind(*edge) != EdgeKind::INVISIBLE;
    let mut value = preview(heap, ord);
    if value.is_empty() {
        value = if ord == snapshot.root { "(root)".to_owned() } else { "(unnamed)".to_owned() };
    }
    if let Some((end, _)) = value.char_indices().nth(NAME) {
        value.truncate(end);
        value.push('…');
    }
    let is_function = snapshot.node_kind(ord) == heapsight_snapshot::NodeKind::CLOSURE;
    Row {
        ord,
        id: snapshot.nodes.id[ord as usize],
        kind: snapshot.node_type(ord).to_owned(),
        class: heap.classes.class(ord).name.clone(),
        value,
        distance: heap.distance[ord as usize],
        self_size: snapshot.nodes.self_size.get(ord),
        retained_size: heap.retained.get(ord),
        references: snapshot.edges_of(ord).filter(shown).count() as u64,
        detachedness: heap.detached.of(ord),
        place: is_function.then(|| code.place(heap, ord)).flatten(),
    }
}

/// Bytes that objects take themselves.
pub fn sums(heap: &Heap, objects: &[u32]) -> u64 {
    objects.iter().map(|&ord| heap.snapshot.nodes.self_size.get(ord)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use heapsight_analysis::Silent;
    use heapsight_testkit::generate;

    use super::*;

    const ORDERS: [Column; 5] =
        [Column::Retained, Column::Shallow, Column::Distance, Column::Id, Column::Name];

    #[test]
    fn the_first_page_is_the_beginning_of_the_whole_order() {
        for seed in 0..30 {
            let heap = Heap::build(generate::graph(seed).snapshot(), &Silent, &()).unwrap();
            let root = heap.snapshot.root;
            let all: Vec<u32> = (0..heap.classes.table.len() as u32).collect();
            for by in ORDERS {
                for descending in [false, true] {
                    let order = Order { by, descending };
                    let whole = instances(&heap, &all, None, order);
                    let (page, total) = first_instances(&heap, &all, None, order, 7);
                    assert_eq!((&whole[..page.len()], whole.len()), (&page[..], total), "seed {seed}");
                    assert_eq!(first_of(&heap, &whole, order, 7), page);
                    let whole = dominated(&heap, root, order);
                    let (page, total) = first_dominated(&heap, root, order, 3);
                    assert_eq!((&whole[..page.len()], whole.len()), (&page[..], total), "seed {seed}");
                    assert!(!whole.contains(&root));
                }
            }
        }
    }

    #[test]
    fn references_by_name_go_by_number_where_they_are_numbers() {
        let mut graph = heapsight_testkit::builder::SnapshotBuilder::new();
        let global = graph.global("global", 8);
        let list = graph.object(global, "list", "Array", 16);
        for at in [10u32, 9, 100, 1] {
            let member = graph.node("object", "Member", 8);
            graph.edge(list, "element", at, member);
        }
        let heap = Heap::build(graph.snapshot(), &Silent, &()).unwrap();
        let order = Order { by: Column::Name, descending: false };
        let names: Vec<String> = references(&heap, list as u32, order)
            .into_iter()
            .map(|edge| heap.names().edge(edge as usize).into_owned())
            .collect();
        assert_eq!(names, ["1", "9", "10", "100"]);
    }
}
