//! Every capture under `fixtures/`: the same numbers as DevTools for every node and every class.

use heapsight_analysis::{Heap, Silent};
use heapsight_testkit::{digest, fixtures};
use serde_json::{Value, json};

fn open(name: &str) -> Heap {
    Heap::build(fixtures::snapshot(name), &Silent, |_, _| {}).unwrap()
}

fn check_digest(name: &str, golden: &Value, column: &str, values: impl Iterator<Item = i64>) {
    let expected = digest::ColumnDigest::from_golden(&golden["hashes"][column]);
    assert_eq!(digest::column(values), expected, "{name}: column {column}");
}

#[test]
fn every_node_has_devtools_numbers() {
    for name in fixtures::all() {
        let golden = fixtures::golden(&format!("{name}.summary"));
        let heap = open(&name);
        let snapshot = &heap.snapshot;
        let n = snapshot.node_count() as u32;
        assert_eq!(u64::from(n), golden["node_count"].as_u64().unwrap(), "{name}");
        assert_eq!(snapshot.edge_count() as u64, golden["edge_count"].as_u64().unwrap(), "{name}");
        assert_eq!(heap.total_size(), golden["total_size"].as_u64().unwrap(), "{name}");
        assert_eq!(u64::from(heap.max_js_object_id()), golden["max_js_object_id"].as_u64().unwrap(), "{name}");
        let id = |ord: u32| i64::from(snapshot.nodes.id[ord as usize]);
        check_digest(&name, &golden, "id", (0..n).map(id));
        check_digest(&name, &golden, "self_size", snapshot.nodes.self_size.iter().map(|s| s as i64));
        check_digest(&name, &golden, "detachedness", (0..n).map(|o| i64::from(heap.detached.of(o))));
        check_digest(&name, &golden, "distance", heap.distance.iter().map(|&d| i64::from(d)));
        check_digest(&name, &golden, "dominator_ordinal", heap.dominators.idom.iter().map(|&d| i64::from(d)));
        check_digest(&name, &golden, "dominator_id", heap.dominators.idom.iter().map(|&d| id(d)));
        check_digest(&name, &golden, "retained_size", heap.retained.iter().map(|s| s as i64));
        let keys = (0..n).map(|ord| heap.classes.class(ord).key());
        assert_eq!(digest::lines(keys), golden["hashes"]["class_keys_sha256"], "{name}: class keys");
    }
}

#[test]
fn every_class_has_devtools_numbers() {
    for name in fixtures::all() {
        let golden = fixtures::golden(&format!("{name}.summary"));
        let heap = open(&name);
        let interfaces: Vec<Value> = heap.classes.interfaces.iter().map(|i| json!([i.name, i.count])).collect();
        assert_eq!(Value::from(interfaces), golden["interface_definitions"], "{name}: interfaces");
        let mut rows: Vec<Value> = heap
            .summary
            .iter()
            .map(|row| {
                let class = &heap.classes.table[row.class as usize];
                json!({"key": class.key(), "name": class.name, "count": row.count, "distance": row.distance,
                       "self": row.self_size, "retained": row.retained_size})
            })
            .collect();
        let by_key = |a: &Value| a["key"].as_str().unwrap().to_owned();
        rows.sort_by_key(by_key);
        let mut expected = golden["classes"].as_array().unwrap().clone();
        expected.sort_by_key(by_key);
        assert_eq!(rows.len(), expected.len(), "{name}: number of classes");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{name}");
        }
        let s = heap.statistics;
        let statistics = json!({"total": s.total,
            "native": {"total": s.native_total, "typedArrays": s.typed_arrays},
            "v8heap": {"total": s.v8_heap_total, "code": s.code, "jsArrays": s.js_arrays, "strings": s.strings,
                       "system": s.system}});
        assert_eq!(statistics, golden["statistics"], "{name}: statistics");
    }
}
