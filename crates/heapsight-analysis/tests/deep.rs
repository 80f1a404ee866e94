//! Graphs of ten million nodes in shapes that break careless algorithms: each is analysed in seconds, on threads with
//! little stack.
//!
//! Without optimisation the graphs are smaller and the clock is not looked at.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails loudly and says how long it took"
)]

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use heapsight_analysis::{Heap, Silent};
use heapsight_snapshot::{
    EdgeColumns, EdgeKind, KindTable, NodeColumns, NodeKind, SizeBuilder, Snapshot, StringTable,
};
use heapsight_testkit::builder::{EDGE_KINDS, NODE_KINDS};

const NODES: usize = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };
const LIMIT: Duration = Duration::from_secs(10);
const STACK: usize = 256 << 10;

/// One graph at a time: each takes a gigabyte.
static TURN: Mutex<()> = Mutex::new(());

/// A graph in which the root is node 0 and all others are of one kind and 16 bytes; `edges` gives the targets of a node.
fn snapshot<I: IntoIterator<Item = (EdgeKind, u32)>>(kind: NodeKind, edges: impl Fn(u32) -> I) -> Snapshot {
    let mut kinds = vec![kind.0; NODES];
    kinds[0] = NodeKind::SYNTHETIC.0;
    let mut sizes = SizeBuilder::new(NODES).unwrap();
    for ord in 1..NODES as u32 {
        sizes.put(ord, 16);
    }
    let (mut edge_kinds, mut to) = (Vec::new(), Vec::new());
    let mut first_edge = Vec::with_capacity(NODES + 1);
    for ord in 0..NODES as u32 {
        first_edge.push(to.len() as u32);
        for (kind, target) in edges(ord) {
            edge_kinds.push(kind.0);
            to.push(target);
        }
    }
    first_edge.push(to.len() as u32);
    let names = |kinds: &[&str]| KindTable::from_names(kinds.iter().map(|&k| k.to_owned()).collect());
    Snapshot {
        nodes: NodeColumns {
            kind: kinds.into(),
            name: vec![0; NODES].into(),
            id: (0..NODES as u32).map(|ord| 2 * ord + 1).collect::<Vec<_>>().into(),
            self_size: sizes.finish(),
            first_edge: first_edge.into(),
            trace_node: None,
            detachedness: Some(
                (0..NODES).map(|ord| if ord == 1 { 2 } else { 0 }).collect::<Vec<u8>>().into(),
            ),
        },
        edges: EdgeColumns { name: vec![0; to.len()].into(), kind: edge_kinds.into(), to: to.into() },
        // One string: `first"`, which is the name of everything.
        strings: StringTable::from_parts(b"\"first\"".to_vec().into(), vec![1, 7].into(), vec![]).unwrap(),
        node_kinds: names(&NODE_KINDS),
        edge_kinds: names(&EDGE_KINDS),
        node_fields: 7,
        ..Snapshot::default()
    }
}

/// Analyses a graph on threads with little stack.
fn heap(name: &str, snapshot: Snapshot) -> Heap {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).stack_size(STACK).build().unwrap();
    let start = Instant::now();
    let heap = pool.install(|| Heap::build(snapshot, &Silent, &())).unwrap();
    let took = start.elapsed();
    println!("{name}: {took:.1?}");
    assert!(cfg!(debug_assertions) || took < LIMIT, "{name} took {took:?}");
    assert_eq!(heap.retained.get(0), 16 * (NODES as u64 - 1), "{name}: the root retains everything");
    heap
}

/// The node before the next in a chain, or nothing at its end.
fn next(ord: u32) -> impl Iterator<Item = (EdgeKind, u32)> {
    ((ord as usize) < NODES - 1).then_some((EdgeKind::INTERNAL, ord + 1)).into_iter()
}

/// The root's edges to all nodes, in one order or the other.
fn all(ord: u32, backwards: bool) -> impl Iterator<Item = (EdgeKind, u32)> {
    let n = if ord == 0 { NODES as u32 } else { 1 };
    (1..n).map(move |i| (EdgeKind::ELEMENT, if backwards { n - i } else { i }))
}

fn in_turn(test: impl FnOnce()) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    test();
}

#[test]
fn a_chain() {
    in_turn(|| {
        for kind in [NodeKind::OBJECT, NodeKind::NATIVE, NodeKind::CONS_STRING] {
            let heap = heap(&format!("chain of {kind:?}"), snapshot(kind, next));
            let last = NODES as u32 - 1;
            assert_eq!(heap.dominators.idom[last as usize], last - 1);
            assert_eq!(heap.distance[last as usize], last as i32);
            assert_eq!(heap.retained.get(NODES as u32 / 2), 16 * (NODES as u64 - NODES as u64 / 2));
            assert_eq!(u32::from(heap.detached.of(last)), if kind == NodeKind::NATIVE { 2 } else { 0 });
            assert_eq!(heap.summary[0].retained_size, 16 * (NODES as u64 - 1));
            assert!(heap.names().node(1).len() < 2000);
        }
    });
}

#[test]
fn a_chain_of_backing_stores_of_one_object() {
    in_turn(|| {
        let mut snapshot = snapshot(NodeKind::ARRAY, next);
        snapshot.nodes.kind.to_mut().unwrap()[1] = NodeKind::OBJECT.0;
        let heap = heap("chain of arrays", snapshot);
        assert_eq!(heap.snapshot.nodes.self_size.get(1), 16 * (NODES as u64 - 1));
        assert_eq!(heap.snapshot.nodes.self_size.get(2), 0);
    });
}

#[test]
fn a_chain_whose_every_node_is_held_by_the_root_too() {
    in_turn(|| {
        for backwards in [false, true] {
            let edges = |ord| all(ord, backwards).chain(next(ord).filter(move |_| ord != 0));
            let heap = heap(
                &format!("chain with the root, backwards: {backwards}"),
                snapshot(NodeKind::OBJECT, edges),
            );
            assert!(heap.dominators.idom.iter().all(|&d| d == 0));
            assert!(heap.distance[1..].iter().all(|&d| d == 1));
        }
    });
}

#[test]
fn a_chain_linked_both_ways() {
    in_turn(|| {
        let back = |ord: u32| (ord > 1).then(|| (EdgeKind::PROPERTY, ord - 1));
        let ways = snapshot(NodeKind::OBJECT, |ord| back(ord).into_iter().chain(next(ord)));
        let heap = heap("chain linked both ways", ways);
        assert!(heap.dominators.idom[1..].iter().zip(0..).all(|(&d, up)| d == up));
    });
}

#[test]
fn a_chain_that_is_entered_at_its_end_and_walked_back() {
    in_turn(|| {
        // Root -> last and root -> first; every node points back to the one before and on to the one after.
        let last = NODES as u32 - 1;
        let edges = |ord: u32| {
            let root = (ord == 0).then_some((EdgeKind::ELEMENT, last));
            let back = (ord > 1).then(|| (EdgeKind::PROPERTY, ord - 1));
            root.into_iter().chain(back).chain(next(ord))
        };
        let heap = heap("chain entered at both ends", snapshot(NodeKind::OBJECT, edges));
        assert!(heap.dominators.idom.iter().all(|&d| d == 0), "each node is reached from either end");
    });
}

#[test]
fn a_star() {
    in_turn(|| {
        for backwards in [false, true] {
            let heap = heap(
                &format!("star, backwards: {backwards}"),
                snapshot(NodeKind::CLOSURE, |ord| all(ord, backwards)),
            );
            assert!(heap.dominators.idom.iter().all(|&d| d == 0));
            assert_eq!(heap.summary[0].count, NODES as u64 - 1);
        }
    });
}

#[test]
fn nothing_but_nodes_that_nobody_holds() {
    in_turn(|| {
        let heap = heap("no edges", snapshot(NodeKind::OBJECT, |_| []));
        assert_eq!(heap.dominators.unreachable as usize, NODES - 1);
        assert!(heap.distance[1..].iter().all(|&d| d == heapsight_analysis::distance::UNREACHABLE));
    });
}

#[test]
fn a_cycle_that_nobody_holds() {
    in_turn(|| {
        let edges = |ord: u32| {
            (ord > 0).then_some((EdgeKind::PROPERTY, if ord as usize == NODES - 1 { 1 } else { ord + 1 }))
        };
        let heap = heap("lost cycle", snapshot(NodeKind::OBJECT, edges));
        assert!(heap.dominators.idom.iter().all(|&d| d == 0));
        assert_eq!(heap.retained.get(5), 16);
    });
}

#[test]
fn a_name_that_stands_in_the_table_twenty_thousand_times() {
    in_turn(|| {
        let n = NODES / 500;
        let mut snapshot = snapshot(NodeKind::OBJECT, |ord| all(ord, false));
        let text = vec!["\"Object\""; n].join(",");
        let starts = (0..n as u32).map(|i| 9 * i + 1).chain([text.len() as u32]).collect::<Vec<_>>();
        snapshot.strings = StringTable::from_parts(text.into_bytes().into(), starts.into(), vec![]).unwrap();
        for (ord, name) in snapshot.nodes.name.to_mut().unwrap().iter_mut().enumerate() {
            *name = (ord % n) as u32;
        }
        assert_eq!(snapshot.strings.get(n as u32 - 1), "Object");
        let heap = heap("one name twenty thousand times", snapshot);
        assert_eq!(heap.classes.class(5).name, "Object");
    });
}

#[test]
fn objects_with_many_properties_of_the_same_empty_name() {
    in_turn(|| {
        let n = NODES as u32 / 100;
        let edges = |ord: u32| {
            let globals = (1..if ord == 0 { 3 } else { 1 }).map(|i| (EdgeKind::ELEMENT, i));
            globals.chain((0..if (1..3).contains(&ord) { n } else { 0 }).map(|_| (EdgeKind::PROPERTY, 3)))
        };
        let mut snapshot = snapshot(NodeKind::CLOSURE, edges);
        snapshot.nodes.kind.to_mut().unwrap()[1..3].fill(NodeKind::OBJECT.0);
        snapshot.strings =
            StringTable::from_parts(b"\"Object\",\"\"".to_vec().into(), vec![1, 10, 11].into(), vec![])
                .unwrap();
        snapshot.edges.name.to_mut().unwrap().fill(1);
        let heap = heap("objects of nameless properties", snapshot);
        assert_eq!(heap.classes.class(1).name, "{}");
    });
}
