//! A redacted capture has DevTools' numbers: every node's by the digests of the goldens, every class's, every difference's.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeMap;

use heapsight_analysis::{Heap, Silent, aggregates, diff, duplicates, flags};
use heapsight_redact::{Key, redact};
use heapsight_testkit::{builder::read, digest, fixtures};
use serde_json::Value;

fn open(name: &str, redacted: bool) -> Heap {
    let mut snapshot = fixtures::snapshot(name);
    if redacted {
        redact(&mut snapshot, &Key::of(&[3; 32]), None).unwrap();
        let mut text = Vec::new();
        heapsight_snapshot::write(&snapshot, &mut text, 2).unwrap();
        snapshot = read(&text).unwrap();
    }
    Heap::build(snapshot, &Silent, &()).unwrap()
}

fn check(name: &str, golden: &Value, column: &str, values: impl Iterator<Item = i64>) {
    let expected = digest::ColumnDigest::from_golden(&golden["hashes"][column]);
    assert_eq!(digest::column(values), expected, "{name}: column {column}");
}

/// Name, count, shallow and retained size of each class.
fn classes(heap: &Heap) -> Vec<(String, u64, u64, u64)> {
    let mut list: Vec<_> = aggregates::aggregates(heap.inputs(), |_| true)
        .into_iter()
        .map(|row| {
            let class = &heap.classes.table[row.class as usize];
            (class.key(), row.count, row.self_size, row.retained_size)
        })
        .collect();
    list.sort();
    list
}

#[test]
fn every_node_and_class_has_devtools_numbers() {
    for name in fixtures::all() {
        let golden = fixtures::golden(&format!("{name}.summary"));
        let heap = open(&name, true);
        let snapshot = &heap.snapshot;
        let n = snapshot.node_count() as u32;
        let id = |ord: u32| i64::from(snapshot.nodes.id[ord as usize]);
        assert_eq!(heap.total_size(), golden["total_size"].as_u64().unwrap(), "{name}");
        check(&name, &golden, "id", (0..n).map(id));
        check(&name, &golden, "self_size", snapshot.nodes.self_size.iter().map(|s| s as i64));
        check(&name, &golden, "detachedness", (0..n).map(|o| i64::from(heap.detached.of(o))));
        check(&name, &golden, "distance", heap.distance.iter().map(|&d| i64::from(d)));
        check(&name, &golden, "dominator_ordinal", heap.dominators.idom.iter().map(|&d| i64::from(d)));
        check(&name, &golden, "retained_size", heap.retained.iter().map(|s| s as i64));
        check(&name, &golden, "flags", flags::flags(&heap).into_iter().map(i64::from));
        let (before, after) = (classes(&open(&name, false)), classes(&heap));
        // A class of plain objects is called by its properties; where these are data, it is called otherwise.
        let named = |row: &&(String, u64, u64, u64)| !row.0.contains('~');
        let renamed = after.iter().filter(|row| !named(row)).count();
        assert!(renamed <= 2 && before.len() == after.len(), "{name}: {renamed}");
        for row in after.iter().filter(named) {
            assert!(before.binary_search(row).is_ok(), "{name}: {row:?}");
        }
    }
}

#[test]
fn differences_and_equal_strings_are_the_same() {
    let rows = |redacted| {
        let (old, new) = (open("pairA.heapsnapshot", redacted), open("pairB.heapsnapshot", redacted));
        let census = |heap| diff::census(heap, None).unwrap();
        let rows: BTreeMap<String, String> = diff::diff(&census(&old), &census(&new))
            .iter()
            .map(|row| (row.key.clone(), format!("{row:?}")))
            .collect();
        let groups: Vec<_> = duplicates::duplicates(&new)
            .into_iter()
            .map(|group| (group.retained_size, group.count, group.self_size, group.example))
            .collect();
        (rows, groups)
    };
    let ((rows_before, groups_before), (rows_after, groups_after)) = (rows(false), rows(true));
    assert_eq!(rows_before, rows_after);
    let sorted = |mut groups: Vec<_>| {
        groups.sort_unstable();
        groups
    };
    assert_eq!(sorted(groups_before), sorted(groups_after));
}
