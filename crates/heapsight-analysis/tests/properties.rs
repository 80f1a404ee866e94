//! Thousands of random graphs: the engine's columns are those of the naive oracles, and hang together.
//!
//! A failure prints the seed; `heapsight_testkit::generate::graph(seed)` is the graph.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod compare;

use compare::{check, check_columns, engine, heap, heap_of, ords};
use heapsight_analysis::Heap;
use heapsight_snapshot::ReadOptions;
use heapsight_testkit::{
    builder::{Edge, Graph, Layout, Place, SnapshotBuilder, read},
    generate::{self, Options, Rng},
    oracle::Oracle,
};

#[test]
fn the_engine_is_the_oracle_on_every_column() {
    for seed in 0..4000 {
        check(&format!("seed {seed}"), &generate::graph(seed));
    }
}

#[test]
fn the_engine_is_the_oracle_on_graphs_small_enough_to_read() {
    for seed in 0..6000 {
        let options = Options { nodes: 7, ..Options::default() };
        check(&format!("seed {seed}, 7 nodes"), &generate::graph_with(&mut Rng::new(seed), options));
    }
}

/// The engine's columns, compared with the oracle and given back, so that a test can show the numbers that matter.
#[test]
fn the_engine_is_the_oracle_on_graphs_with_more_hubs_than_have_a_bit() {
    for seed in 0..100 {
        let options = Options { nodes: 400, ..Options::default() };
        check(&format!("seed {seed}, 400 nodes"), &generate::graph_with(&mut Rng::new(seed), options));
    }
}

fn checked(graph: &SnapshotBuilder) -> Oracle {
    let expected = Oracle::new(graph);
    check_columns("by hand", &engine(&heap(graph), &expected), &expected);
    expected
}

#[test]
fn the_data_of_an_external_string_that_is_detached_has_another_name_and_keeps_its_size() {
    let mut graph = SnapshotBuilder::new();
    let owner = graph.global("Owner", 10);
    for state in [1, 2] {
        let data = graph.node("native", "system / ExternalStringData", 100);
        graph.edge(owner, "internal", "resource", data).detachedness(data, state);
    }
    assert_eq!(checked(&graph).self_sizes, [0, 110, 0, 100]);
}

#[test]
fn a_root_that_is_its_own_global_object_belongs_to_the_page_with_all_that_it_holds() {
    let mut graph = SnapshotBuilder::new();
    let held = graph.global("Held", 1);
    let both = graph.object(held, "x", "Both", 2);
    let lost = graph.node("object", "Lost", 4);
    graph.edge(lost, "property", "x", both);
    assert_eq!(checked(&graph).idom, [0, 0, 0, 0]);
    graph.edge(0, "shortcut", "self", 0);
    assert_eq!(
        checked(&graph).idom,
        [0, 0, held, 0],
        "the lost one is not the page's, so what it holds is not held"
    );
}

#[test]
fn a_root_that_is_its_own_document_belongs_to_the_page_with_all_that_it_holds() {
    let mut graph = SnapshotBuilder::without_root();
    graph.node("synthetic", "(Document DOM trees)", 0);
    let held = graph.global("Held", 1);
    let both = graph.object(held, "x", "Both", 2);
    let lost = graph.node("object", "Lost", 4);
    graph.edge(lost, "property", "x", both).edge(0, "element", 9, 0);
    assert_eq!(checked(&graph).idom, [0, 0, held, 0]);
}

#[test]
fn a_descriptor_may_have_a_number_with_a_sign() {
    for (name, followed) in
        [("7", false), ("+7", false), ("-7", true), ("8", true), ("7th", false), (" 7", false)]
    {
        let mut graph = SnapshotBuilder::new();
        graph.global("Program", 1);
        let descriptors = graph.node("array", "(map descriptors)", 8);
        let held = graph.node("code", "held", 8);
        graph.edge(0, "element", 2, descriptors).edge(descriptors, "internal", name, held);
        assert_eq!(checked(&graph).distances[held] >= 0, followed, "{name}");
    }
}

#[test]
fn the_root_retains_everything() {
    for seed in 0..2000 {
        let graph = generate::graph(seed);
        let heap = heap(&graph);
        let in_file: u64 = graph.nodes.iter().map(|n| n.self_size).sum();
        let shown: u64 = heap.snapshot.nodes.self_size.iter().sum();
        assert_eq!(shown, in_file, "seed {seed}: moving backing stores to their owners loses nothing");
        assert_eq!(heap.retained.get(heap.snapshot.root), in_file, "seed {seed}");
        assert_eq!(
            heap.summary.iter().map(|row| row.self_size).sum::<u64>(),
            in_file,
            "seed {seed}: Summary"
        );
    }
}

#[test]
fn the_preorder_has_every_node_after_its_dominator_and_every_subtree_in_one_run() {
    for seed in 0..2000 {
        let heap = heap(&generate::graph(seed));
        let n = heap.snapshot.node_count();
        let (idom, preorder) = (&heap.dominators.idom, &heap.dominators.preorder);
        let mut place = vec![usize::MAX; n];
        for (at, &ord) in preorder.iter().enumerate() {
            assert_eq!(place[ord as usize], usize::MAX, "seed {seed}: node {ord} stands there twice");
            place[ord as usize] = at;
        }
        assert_eq!(preorder.len(), n, "seed {seed}");
        assert_eq!(preorder[0], heap.snapshot.root, "seed {seed}");
        let mut subtree = vec![1; n];
        for &ord in preorder.iter().rev() {
            let up = idom[ord as usize];
            if ord == heap.snapshot.root {
                assert_eq!(up, ord, "seed {seed}: the root dominates itself");
            } else {
                assert!(
                    place[up as usize] < place[ord as usize],
                    "seed {seed}: node {ord} before its dominator"
                );
                subtree[up as usize] += subtree[ord as usize];
            }
        }
        for ord in 0..n {
            let run = &preorder[place[ord]..place[ord] + subtree[ord]];
            let retained: u64 = run.iter().map(|&o| heap.snapshot.nodes.self_size.get(o)).sum();
            assert_eq!(retained, heap.retained.get(ord as u32), "seed {seed}: subtree of node {ord}");
        }
    }
}

/// Asserts that two heaps show the same. Their tables of classes may be in different orders.
fn check_same(name: &str, ours: &Heap, expected: &Heap) {
    let nothing = Oracle::new(SnapshotBuilder::new().graph());
    check_columns(name, &engine(ours, &nothing), &engine(expected, &nothing));
    let names = |heap: &Heap| {
        let names = heap.names();
        let nodes = ords(heap).map(|ord| names.node(ord).into_owned());
        let edges = (0..heap.snapshot.edge_count()).map(|edge| names.edge(edge).into_owned());
        nodes.chain(edges).collect::<Vec<_>>()
    };
    assert_eq!(names(ours), names(expected), "{name}: names");
}

#[test]
fn the_layout_of_the_file_does_not_matter() {
    for seed in 0..1000 {
        let graph = generate::graph(seed);
        let expected = heap(&graph);
        for layout in [Layout::node24(), Layout::adverse(seed), Layout::adverse(seed + 1)] {
            let snapshot = read(&graph.json(&layout)).unwrap();
            check_same(&format!("seed {seed}, {layout:?}"), &heap_of(snapshot), &expected);
        }
    }
}

#[test]
fn the_way_a_writer_escapes_slashes_does_not_matter() {
    let layout = Layout { escaped_slashes: true, ..Layout::default() };
    for seed in 0..100 {
        let graph = generate::graph(seed);
        let snapshot = read(&graph.json(&layout)).unwrap();
        check_same(&format!("seed {seed}"), &heap_of(snapshot), &heap(&graph));
    }
}

#[test]
fn a_type_table_may_be_as_long_as_the_reader_allows() {
    // With the sixteen types that are known, one of which no node here has.
    for unknown in [200, 239, 240] {
        let mut graph = SnapshotBuilder::new();
        for i in 0..unknown {
            let node = graph.node(&format!("type {i}"), "", 8);
            graph.edge(0, "element", i, node);
        }
        let hidden = graph.node("hidden", "name", 8);
        graph.edge(0, "element", 0, hidden);
        assert_eq!(checked(&graph).class_keys[hidden], ",(system)");
    }
}

#[test]
fn sizes_that_add_up_to_more_than_64_bits_saturate() {
    for kind in heapsight_testkit::builder::NODE_KINDS {
        let mut graph = SnapshotBuilder::new();
        let owner = graph.global("Array", u64::MAX);
        for i in 0..3 {
            let node = graph.node(kind, "Array", u64::MAX - i);
            graph.edge(owner, "internal", "elements", node);
        }
        let heap = heap(&graph);
        assert_eq!(heap.total_size(), u64::MAX, "{kind}");
        assert_eq!(heap.retained.get(0), u64::MAX, "{kind}");
        let s = heap.statistics;
        let largest =
            [s.native_total - s.typed_arrays, s.code, s.strings, s.js_arrays, s.system].into_iter().max();
        assert_eq!(largest, Some(u64::MAX), "{kind}: {s:?}");
    }
}

/// Many random graphs side by side under one root: long enough for the reader to cut the text into pieces.
fn forest(seeds: std::ops::Range<u64>) -> Graph {
    let mut forest = SnapshotBuilder::new();
    for seed in seeds {
        let tree = generate::graph(seed);
        let base = forest.nodes.len();
        forest.edge(0, "element", base as u32, base + tree.root);
        forest.nodes.extend(tree.nodes);
        forest.edges.extend(tree.edges.into_iter().map(|e| Edge {
            from: e.from + base,
            to: e.to + base,
            ..e
        }));
        forest.locations.extend(tree.locations.into_iter().map(|p| Place { node: p.node + base, ..p }));
    }
    forest.into_graph()
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let text = forest(0..5000).text();
    assert!(text.len() > 6 << 20, "{} bytes are too few to be cut into pieces", text.len());
    let open = |threads, len| {
        heap_of(heapsight_snapshot::read(&text[..], ReadOptions { threads, len, progress: None }).unwrap())
    };
    let expected = open(1, Some(text.len() as u64));
    for threads in [2, 3, 8] {
        check_same(&format!("{threads} threads"), &open(threads, Some(text.len() as u64)), &expected);
        check_same(&format!("{threads} threads, length not known"), &open(threads, None), &expected);
    }
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    check_same("one thread for the analysis", &one.install(|| open(1, None)), &expected);
}
