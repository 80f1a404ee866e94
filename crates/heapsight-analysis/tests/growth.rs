//! Births, readable ways and holders on random graphs, beside naive versions of them.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeMap;

use heapsight_analysis::{
    Heap, Silent,
    growth::{births, holders, is_member, is_store, survivors},
    readable::{Avoid, NONE, ReadableTree},
};
use heapsight_snapshot::EdgeKind;
use heapsight_testkit::{
    builder::{Graph, SnapshotBuilder},
    generate::{self, Rng},
};

fn heap(graph: &Graph) -> Heap {
    Heap::build(graph.snapshot(), &Silent, &()).unwrap()
}

/// Whether a way may use an edge of a random graph; the only rule that is not about costs.
fn is_way(heap: &Heap, from: u32, edge: usize) -> bool {
    let snapshot = &heap.snapshot;
    let from_table = || {
        let entry = heap.known.weak_map_edge(snapshot.edges.name[edge]);
        entry.is_some_and(|entry| entry.table_id == u64::from(snapshot.nodes.id[from as usize]))
    };
    match snapshot.edge_kind(edge) {
        EdgeKind::WEAK => false,
        EdgeKind::SHORTCUT | EdgeKind::INVISIBLE => from == snapshot.root,
        EdgeKind::INTERNAL => from == snapshot.root || !from_table(),
        _ => true,
    }
}

#[test]
fn ways_reach_what_can_be_reached_and_parents_come_first() {
    for seed in 0..1500 {
        let heap = heap(&generate::graph(seed));
        let snapshot = &heap.snapshot;
        let n = snapshot.node_count();
        let tree = ReadableTree::new(&heap, Avoid::default());
        let mut reached = vec![false; n];
        let mut stack = vec![snapshot.root];
        reached[snapshot.root as usize] = true;
        while let Some(ord) = stack.pop() {
            for edge in snapshot.edges_of(ord) {
                let to = snapshot.edges.to[edge];
                if is_way(&heap, ord, edge) && !std::mem::replace(&mut reached[to as usize], true) {
                    stack.push(to);
                }
            }
        }
        let mut place = vec![usize::MAX; n];
        for (at, &ord) in tree.order.iter().enumerate() {
            assert_eq!(place[ord as usize], usize::MAX, "seed {seed}: node {ord} twice");
            place[ord as usize] = at;
            let (edge, parent) = (tree.edge[ord as usize], tree.parent[ord as usize]);
            assert_eq!(edge == NONE, ord == snapshot.root, "seed {seed}: node {ord}");
            if edge != NONE {
                assert_eq!(snapshot.edges.to[edge as usize], ord);
                assert!(snapshot.edges_of(parent).contains(&(edge as usize)));
                assert!(place[parent as usize] < at, "seed {seed}: node {ord} before its parent");
                assert!(is_way(&heap, parent, edge as usize));
            }
        }
        let found: Vec<bool> = place.iter().map(|&at| at != usize::MAX).collect();
        assert_eq!(found, reached, "seed {seed}");
    }
}

#[test]
fn each_survivor_counts_once_where_it_hangs() {
    for seed in 0..1500 {
        // Rounds are drawn: snapshots of a random graph without some of its ids.
        let mut rng = Rng::new(seed ^ 0x5eed);
        let last = heap(&generate::graph(seed));
        let n = last.snapshot.node_count();
        let mut births: Vec<u8> = (0..n).map(|_| rng.pick(&[0, 0, 1, 2, 3])).collect();
        let drawn = births.clone();
        let new = survivors(&births);
        let tree = ReadableTree::new(&last, Avoid { new: Some(&new), foreign: None });
        let found = holders(&last, &mut births, 3, &tree);
        assert_eq!(births[last.snapshot.root as usize], 0);

        // Naively: for each node its own walk up to the nearest old object that is no store.
        let mut sizes = [0u64; 3];
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        let mut tops = 0;
        for &ord in &tree.order {
            if ord == last.snapshot.root || drawn[ord as usize] == 0 {
                continue;
            }
            sizes[drawn[ord as usize] as usize - 1] += last.snapshot.nodes.self_size.get(ord);
            if is_member(&last.snapshot, ord) {
                *counts.entry(drawn[ord as usize]).or_default() += 1;
                let mut up = tree.parent[ord as usize];
                while is_store(&last.snapshot, up) && drawn[up as usize] != 0 && up != last.snapshot.root {
                    up = tree.parent[up as usize];
                }
                tops += u64::from(drawn[up as usize] == 0 || up == last.snapshot.root);
            }
        }
        let sum = |round: usize| found.iter().map(|holder| holder.sizes[round]).sum::<u64>();
        assert_eq!([sum(0), sum(1), sum(2)], sizes, "seed {seed}");
        for round in 0..3 {
            let of_classes: u64 =
                found.iter().flat_map(|holder| &holder.classes).map(|class| class.counts[round]).sum();
            let expected = counts.get(&(round as u8 + 1)).copied().unwrap_or(0);
            assert_eq!(of_classes, expected, "seed {seed}, round {round}");
        }
        let members: u64 = found.iter().map(heapsight_analysis::growth::Holder::count).sum();
        assert_eq!(members, tops, "seed {seed}");
        for holder in &found {
            assert_eq!(births[holder.ord as usize], 0, "seed {seed}: a holder is old");
        }
    }
}

#[test]
fn objects_are_born_in_the_first_snapshot_that_has_them() {
    let snapshot = |ids: &[u64]| {
        let mut graph = SnapshotBuilder::new();
        let all = graph.global("All", 8);
        graph.id(all, 11);
        for (at, &id) in ids.iter().enumerate() {
            let kind = if id % 2 == 0 { "native" } else { "object" };
            let node = graph.node(kind, "Thing", 16);
            graph.id(node, id);
            graph.edge(all, "element", at as u32, node);
        }
        heap(&graph)
    };
    let series = [
        snapshot(&[21, 23]),
        snapshot(&[21, 23, 31, 2]),
        snapshot(&[21, 31, 41, 2]),
        snapshot(&[21, 31, 41, 51, 2]),
    ];
    let [first, second, third, last] = &series;
    let mut found = births(last, &[first, second, third]);
    let by_id: BTreeMap<u32, u8> =
        last.snapshot.nodes.id.iter().copied().zip(found.iter().copied()).collect();
    assert_eq!([21, 31, 41, 51].map(|id| by_id[&id]), [0, 1, 2, 3], "{by_id:?}");
    // A native was born with what holds it.
    let tree = ReadableTree::new(last, Avoid::default());
    holders(last, &mut found, 3, &tree);
    let native = last.find_id(2).unwrap();
    assert_eq!(found[native as usize], 0);
}
