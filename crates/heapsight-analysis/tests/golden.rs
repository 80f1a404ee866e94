//! Every capture under `fixtures/`: the same numbers as DevTools for every node and every class.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use heapsight_analysis::{
    Heap, Silent, aggregates,
    allocations::AllocationProfile,
    contexts,
    dead_variables::{self, dead_variables},
    diff, duplicates,
    filters::{self, Filter},
    flags, timeline,
};
use heapsight_testkit::{digest, fixtures};
use serde_json::{Value, json};

fn open(name: &str) -> Heap {
    Heap::build(fixtures::snapshot(name), &Silent, &()).unwrap()
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
        assert_eq!(
            u64::from(heap.max_js_object_id()),
            golden["max_js_object_id"].as_u64().unwrap(),
            "{name}"
        );
        let id = |ord: u32| i64::from(snapshot.nodes.id[ord as usize]);
        check_digest(&name, &golden, "id", (0..n).map(id));
        check_digest(&name, &golden, "self_size", snapshot.nodes.self_size.iter().map(|s| s as i64));
        check_digest(&name, &golden, "detachedness", (0..n).map(|o| i64::from(heap.detached.of(o))));
        check_digest(&name, &golden, "distance", heap.distance.iter().map(|&d| i64::from(d)));
        check_digest(&name, &golden, "dominator_ordinal", heap.dominators.idom.iter().map(|&d| i64::from(d)));
        check_digest(&name, &golden, "dominator_id", heap.dominators.idom.iter().map(|&d| id(d)));
        check_digest(&name, &golden, "retained_size", heap.retained.iter().map(|s| s as i64));
        check_digest(&name, &golden, "flags", flags::flags(&heap).into_iter().map(i64::from));
        let keys = (0..n).map(|ord| heap.classes.class(ord).key());
        assert_eq!(digest::lines(keys), golden["hashes"]["class_keys_sha256"], "{name}: class keys");
    }
}

#[test]
fn every_class_has_devtools_numbers() {
    for name in fixtures::all() {
        let golden = fixtures::golden(&format!("{name}.summary"));
        let heap = open(&name);
        let interfaces: Vec<Value> =
            heap.classes.interfaces.iter().map(|i| json!([i.name, i.count])).collect();
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

#[test]
fn named_filters_pass_what_devtools_passes() {
    for name in ["chromium-156.0.8078.79.heapsnapshot", "node-22.23.3.heapsnapshot"] {
        let golden = fixtures::golden(&format!("{name}.filters"));
        let heap = open(name);
        for expected in golden["filters"].as_array().unwrap() {
            let filter = match expected["filter"].as_str() {
                None => None,
                Some("objectsRetainedByDetachedDomNodes") => Some(Filter::DetachedDomNodes),
                Some("objectsRetainedByContexts") => Some(Filter::Contexts),
                Some("objectsRetainedByConsole") => Some(Filter::Console),
                Some("objectsRetainedByEventHandlers") => Some(Filter::EventHandlers),
                Some("duplicatedStrings") => Some(Filter::DuplicatedStrings),
                Some("sharedNativeContext") => Some(Filter::SharedNativeContext),
                Some("noNativeContext") => Some(Filter::NoNativeContext),
                Some(context) => {
                    let index: u32 = context.strip_prefix("nativeContext_").unwrap().parse().unwrap();
                    Some(Filter::NativeContext(index / heap.snapshot.node_fields))
                }
            };
            let passing = filter.as_ref().map(|f| filters::passing(&heap, f));
            let mut rows = aggregates::aggregates(heap.inputs(), |ord| {
                passing.as_ref().is_none_or(|p| p.contains(ord as usize))
            });
            let what = format!("{name}: {:?}", expected["filter"]);
            assert_eq!(rows.len() as u64, expected["classes"].as_u64().unwrap(), "{what}");
            assert_eq!(
                rows.iter().map(|r| r.count).sum::<u64>(),
                expected["count"].as_u64().unwrap(),
                "{what}"
            );
            assert_eq!(
                rows.iter().map(|r| r.self_size).sum::<u64>(),
                expected["self"].as_u64().unwrap(),
                "{what}"
            );
            let key = |row: &aggregates::Aggregate| heap.classes.table[row.class as usize].key();
            rows.sort_by(|a, b| {
                let order = (b.retained_size, b.self_size).cmp(&(a.retained_size, a.self_size));
                order.then_with(|| key(a).cmp(&key(b)))
            });
            for (row, top) in rows.iter().zip(expected["top"].as_array().unwrap()) {
                let row = json!({"key": key(row), "name": heap.classes.table[row.class as usize].name,
                    "count": row.count, "distance": row.distance, "self": row.self_size,
                    "retained": row.retained_size});
                assert_eq!(&row, top, "{what}");
            }
        }
    }
}

#[test]
fn native_contexts_own_what_devtools_says() {
    for name in fixtures::all() {
        let golden = fixtures::golden(&format!("{name}.summary"));
        let heap = open(&name);
        check_digest(
            &name,
            &golden,
            "native_context",
            contexts::attribution(&heap).into_iter().map(i64::from),
        );
        let sizes = contexts::context_sizes(&heap);
        let expected = &golden["native_contexts"];
        assert_eq!(sizes.shared_size, expected["sharedSize"].as_u64().unwrap(), "{name}");
        assert_eq!(sizes.unattributed_size, expected["noAttributionSize"].as_u64().unwrap(), "{name}");
        let rows: Vec<Value> = sizes
            .contexts
            .iter()
            .map(|c| {
                json!({"nodeId": heap.snapshot.nodes.id[c.ord as usize],
                    "nodeIndex": c.ord * heap.snapshot.node_fields, "nodeName": heap.names().node(c.ord),
                    "attributedSize": c.attributed_size, "retainedSize": heap.retained.get(c.ord),
                    "selfSize": heap.snapshot.nodes.self_size.get(c.ord)})
            })
            .collect();
        assert_eq!(Value::from(rows), expected["nativeContexts"], "{name}");
    }
}

#[test]
fn the_comparison_is_devtools_comparison() {
    let (old, new) = (open("pairA.heapsnapshot"), open("pairB.heapsnapshot"));
    let golden = fixtures::golden("pairA-pairB.diff");
    let interfaces = &new.classes.interfaces;
    assert_eq!(interfaces.len() as u64, golden["interface_definitions"].as_u64().unwrap());
    let rows = diff::diff(&diff::census(&old, Some(interfaces)).unwrap(), &diff::census(&new, None).unwrap());
    let rows: Vec<Value> = rows
        .iter()
        .map(|r| {
            json!({"key": r.key, "name": r.name, "addedCount": r.added_count, "removedCount": r.removed_count,
                "countDelta": r.count_delta(), "addedSize": r.added_size, "removedSize": r.removed_size,
                "sizeDelta": r.size_delta()})
        })
        .collect();
    assert_eq!(rows.len(), golden["classes"].as_array().unwrap().len());
    for (row, expected) in rows.iter().zip(golden["classes"].as_array().unwrap()) {
        assert_eq!(row, expected);
    }
}

#[test]
fn duplicated_strings_are_devtools_groups() {
    let heap = open("pairB.heapsnapshot");
    let golden = fixtures::golden("pairB.dupes");
    let groups = duplicates::duplicates(&heap);
    assert_eq!(groups.len() as u64, golden["groups"].as_u64().unwrap());
    assert_eq!(groups.iter().map(|g| g.count).sum::<u64>(), golden["strings"].as_u64().unwrap());
    assert_eq!(groups.iter().map(|g| g.self_size).sum::<u64>(), golden["self"].as_u64().unwrap());
    for (group, expected) in groups.iter().zip(golden["top"].as_array().unwrap()) {
        let row = json!({"value": group.value, "count": group.count, "totalSelfSize": group.self_size,
            "totalRetainedSize": group.retained_size, "nodes": group.count, "truncated": group.truncated});
        assert_eq!(&row, expected);
    }
}

#[test]
fn allocation_rows_and_intervals_are_devtools_rows() {
    let mut with_traces = 0;
    for name in fixtures::all() {
        let golden = fixtures::golden(&format!("{name}.summary"));
        let heap = open(&name);
        let rows: Option<Vec<Value>> = AllocationProfile::new(&heap).map(|profile| {
            let strings = &heap.snapshot.strings;
            let functions = &heap.snapshot.traces.as_ref().unwrap().functions;
            let row = |top: &heapsight_analysis::allocations::AllocationTop| {
                let f = functions[top.function as usize];
                json!({"id": top.id, "name": strings.get(f.name), "scriptName": strings.get(f.script_name),
                    "scriptId": f.script_id, "line": f.line, "column": f.column, "count": top.allocated.count,
                    "size": top.allocated.size, "liveCount": top.allocated.live_count,
                    "liveSize": top.allocated.live_size, "hasChildren": top.function != 0})
            };
            profile.tops().iter().map(row).collect()
        });
        with_traces += usize::from(rows.is_some());
        assert_eq!(
            rows.map_or(Value::Null, Value::from),
            golden["allocation_tops"],
            "{name}: allocation tops"
        );
        let intervals = timeline::timeline(&heap);
        let samples = if intervals.is_empty() {
            Value::Null
        } else {
            let times: Vec<f64> = intervals.iter().map(|i| i.timestamp_us as f64 / 1000.0).collect();
            let ids: Vec<u64> = intervals.iter().map(|i| i.last_assigned_id).collect();
            let sizes: Vec<u64> = intervals.iter().map(|i| i.live_size).collect();
            json!({"timestamps": times, "lastAssignedIds": ids, "sizes": sizes})
        };
        let floats = |v: &Value| {
            let mut v = v.clone();
            if let Some(times) = v.get_mut("timestamps").and_then(Value::as_array_mut) {
                for time in times {
                    *time = json!(time.as_f64().unwrap());
                }
            }
            v
        };
        assert_eq!(floats(&samples), floats(&golden["samples"]), "{name}: samples");
    }
    assert!(with_traces >= 7);
}

#[test]
fn function_contexts_hold_what_devtools_says() {
    // From `getRetainedByContextSummary` of DevTools' engine on this file.
    let held = contexts::held_by_contexts(&open("pairB.heapsnapshot"));
    assert_eq!((held.context_count, held.held_count, held.held_size), (726, 10_764, 991_564));
    assert_eq!((held.other_count, held.other_size), (32_698, 2_154_671));
}

#[test]
fn dead_variables_are_devtools_dead_fields() {
    let mut scopes = 0;
    for name in fixtures::all() {
        let heap = open(&name);
        let Some(dead) = dead_variables(&heap) else {
            assert!(!name.starts_with("chromium") && name != "contexts.heapsnapshot", "{name} has scopes");
            continue;
        };
        let golden = fixtures::golden(&format!("{name}.contexts"));
        let snapshot = &heap.snapshot;
        let (index, id) = (|ord: u32| ord * snapshot.node_fields, |ord: u32| snapshot.nodes.id[ord as usize]);
        let field = |f: &dead_variables::DeadField| {
            json!({"name": snapshot.strings.get(f.name), "valueNodeIndex": index(f.value), "valueNodeId": id(f.value),
                "valueName": heap.names().node(f.value), "valueType": snapshot.node_type(f.value),
                "selfSize": snapshot.nodes.self_size.get(f.value), "retainedSize": heap.retained.get(f.value)})
        };
        let context = |c: &dead_variables::DeadContext| {
            let fields: Vec<Value> = dead.fields[c.fields.clone()].iter().map(field).collect();
            json!({"contextNodeIndex": index(c.context), "contextNodeId": id(c.context),
                "retainedSize": heap.retained.get(c.context), "deadFieldsRetainedSizeSum": c.dead_size,
                "deadFields": fields})
        };
        let scope = |s: &dead_variables::DeadScope| {
            let contexts: Vec<Value> = dead.contexts[s.contexts.clone()].iter().map(context).collect();
            let mut row = json!({"scopeInfoNodeIndex": index(s.scope_info), "scopeInfoNodeId": id(s.scope_info),
                "scriptNodeIndex": index(s.script), "scriptNodeId": id(s.script),
                "scriptName": dead_variables::script_name(&heap, s.script), "scopeStart": s.start,
                "scopeEnd": s.end, "contextFieldCount": s.field_count, "contexts": contexts});
            if let Some(name) = s.name {
                row["scopeName"] = heap.names().node(name).into();
            }
            row
        };
        let unknown = |s: &dead_variables::UnknownScript| {
            json!({"scriptNodeIndex": index(s.script), "scriptNodeId": id(s.script),
                "scriptName": dead_variables::script_name(&heap, s.script), "contextCount": s.context_count})
        };
        let analysis = json!({"scopes": dead.scopes.iter().map(scope).collect::<Vec<_>>(),
            "scriptsWithoutScopes": dead.unknown.iter().map(unknown).collect::<Vec<_>>()});
        assert_eq!(analysis, golden["analysis"], "{name}");
        scopes += dead.scopes.len();
        let held = contexts::held_by_contexts(&heap);
        let expected = json!({"contextCount": held.context_count, "retainedByContextSize": held.held_size,
            "retainedByContextCount": held.held_count, "notRetainedByContextSize": held.other_size,
            "notRetainedByContextCount": held.other_count, "totalSize": held.held_size + held.other_size});
        assert_eq!(expected, golden["retainedByContext"], "{name}");
    }
    assert_eq!(scopes, 9);
}
