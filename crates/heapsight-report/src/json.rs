//! The JSON that other programs rely on: names are fixed, sizes are integers in bytes, nothing is prose.

use heapsight_query::{
    classes::{ObjectRow, Summary},
    code::Place,
    compare::{Comparison, Growth},
    object::{Object, PathStep},
    strings::Duplicates,
    tree::Branch,
    validate::Finding,
    variables::DeadVariables,
};
use heapsight_snapshot::Location;
use serde_json::{Value, json};

/// `summary --json`.
pub fn summary(summary: &Summary, most: Option<usize>) -> Value {
    let classes: Vec<Value> = summary
        .classes
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|c| {
            json!({"name": c.name, "key": c.key, "count": c.count, "distance": c.distance,
                "self_size": c.self_size, "retained_size": c.retained_size})
        })
        .collect();
    json!({
        "nodes": summary.nodes,
        "edges": summary.edges,
        "total_size": summary.statistics.total,
        "statistics": statistics(&summary.statistics),
        "class_count": summary.classes.len(),
        "classes": classes,
    })
}

/// `statistics` of `summary --json` and `stats --json`.
pub fn statistics(s: &heapsight_analysis::statistics::Statistics) -> Value {
    json!({
        "total": s.total,
        "native": {"total": s.native_total, "typed_arrays": s.typed_arrays},
        "v8_heap": {"total": s.v8_heap_total, "code": s.code, "strings": s.strings, "js_arrays": s.js_arrays,
            "system": s.system},
    })
}

/// `dead_variables` of `stats --json`; null where the file does not record what functions use.
pub fn dead_variables(dead: Option<&DeadVariables>) -> Value {
    let Some(dead) = dead else { return Value::Null };
    let variables: Vec<Value> = dead
        .variables
        .iter()
        .map(|v| {
            json!({"name": v.name, "function": v.function, "script_name": v.script, "script_location": location(v.location),
                "start": v.characters.0, "end": v.characters.1, "context_count": v.context_count,
                "retained_size": v.retained_size, "context_id": v.context_id, "value": object_row(&v.value)})
        })
        .collect();
    let unknown: Vec<Value> = dead
        .unknown
        .iter()
        .map(|s| json!({"id": s.id, "script_name": s.name, "context_count": s.context_count}))
        .collect();
    json!({"variable_count": dead.variables.len(), "context_count": dead.context_count,
        "kept_count": dead.kept_count, "kept_size": dead.kept_size, "variables": variables, "unknown_scripts": unknown})
}

fn location(location: Option<Location>) -> Value {
    location.map_or(Value::Null, |l| json!({"script_id": l.script_id, "line": l.line, "column": l.column}))
}

/// Where code stands, as editors count: line and column from 1.
pub fn place(place: Option<&Place>) -> Value {
    let position = |p: &Place| json!({"url": p.url, "line": p.line, "column": p.column});
    place.map_or(Value::Null, |p| {
        let mut value = position(p);
        value["package"] = p.package.clone().into();
        value["generated"] = p.generated.as_deref().map_or(Value::Null, position);
        value
    })
}

/// One object of a list.
pub fn object_row(row: &ObjectRow) -> Value {
    json!({"id": row.id, "name": row.name, "distance": row.distance, "self_size": row.self_size,
        "retained_size": row.retained_size})
}

/// `diff A B --json`.
pub fn comparison(comparison: &Comparison, most: Option<usize>) -> Value {
    let classes: Vec<Value> = comparison
        .classes
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|c| {
            json!({"name": c.name, "key": c.key, "added_count": c.added_count, "removed_count": c.removed_count,
                "count_delta": c.count_delta(), "added_size": c.added_size, "removed_size": c.removed_size,
                "size_delta": c.size_delta()})
        })
        .collect();
    let sum = |f: &dyn Fn(&heapsight_analysis::diff::ClassDiff) -> i64| {
        comparison.classes.iter().map(f).sum::<i64>()
    };
    json!({
        "ids_comparable": comparison.ids.comparable(),
        "added_count": sum(&|c| c.added_count as i64),
        "removed_count": sum(&|c| c.removed_count as i64),
        "added_size": sum(&|c| c.added_size as i64),
        "removed_size": sum(&|c| c.removed_size as i64),
        "size_delta": sum(&|c| c.size_delta()),
        "classes": classes,
    })
}

/// `diff A B C ... --json`.
pub fn growth(files: &[String], rows: &[Growth], most: Option<usize>) -> Value {
    let classes: Vec<Value> = rows
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|r| {
            json!({"name": r.name, "key": r.key, "counts": r.counts, "sizes": r.sizes,
                "count_delta": r.count_delta(), "size_delta": r.size_delta(),
                "grows_every_time": r.grows_every_time()})
        })
        .collect();
    json!({"files": files, "classes": classes})
}

/// `show FILE @ID --json`.
pub fn object(object: &Object) -> Value {
    let edges: Vec<Value> = object
        .fields
        .iter()
        .map(|f| json!({"type": f.kind, "name": f.name, "to_id": f.to.id, "to_name": f.to.name, "value": f.value}))
        .collect();
    let retainers: Vec<Value> = object
        .holders
        .iter()
        .map(|h| {
            let mut value = json!({"type": h.kind, "name": h.name, "from_id": h.from.id, "from_name": h.from.name,
                "distance": h.from.distance});
            if let Some((key, table)) = h.weak_map {
                value["weak_map"] = json!({"key_id": key, "table_id": table});
            }
            value
        })
        .collect();
    json!({
        "id": object.row.id,
        "type": object.kind,
        "name": object.row.name,
        "class": object.class,
        "self_size": object.row.self_size,
        "retained_size": object.row.retained_size,
        "distance": object.row.distance,
        "dominator_id": object.dominator_id,
        "detachedness": object.detachedness,
        "script_location": location(object.location),
        "location": place(object.place.as_ref()),
        "edges": edges,
        "retainers": retainers,
        "dominators": object.dominators.iter().map(object_row).collect::<Vec<_>>(),
        "allocation_stack": object.allocation_stack,
    })
}

/// One way from a root.
pub fn path(steps: &[PathStep]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|s| {
            let mut value = json!({"type": s.kind, "edge": s.edge, "id": s.object.id, "name": s.object.name,
                "class": s.class, "distance": s.object.distance});
            if let Some((key, table)) = s.weak_map {
                value["weak_map"] = json!({"key_id": key, "table_id": table});
            }
            if s.place.is_some() {
                value["location"] = place(s.place.as_ref());
            }
            value
        })
        .collect();
    Value::from(steps)
}

/// A part of the dominator tree.
pub fn branch(branch: &Branch) -> Value {
    json!({
        "id": branch.object.id,
        "name": branch.object.name,
        "class": branch.class,
        "count": branch.count,
        "self_size": branch.self_size,
        "retained_size": branch.retained_size,
        "children": branch.children.iter().map(self::branch).collect::<Vec<_>>(),
        "more": {"count": branch.more.0, "retained_size": branch.more.1},
    })
}

/// `strings --duplicates --json`.
pub fn duplicates(duplicates: &Duplicates, most: Option<usize>) -> Value {
    let groups: Vec<Value> = duplicates
        .groups
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|g| {
            json!({"value": g.value, "count": g.count, "self_size": g.self_size, "retained_size": g.retained_size,
                "truncated": g.truncated})
        })
        .collect();
    json!({"group_count": duplicates.groups.len(), "string_count": duplicates.strings,
        "self_size": duplicates.self_size, "wasted_size": duplicates.wasted, "groups": groups})
}

/// `validate --json`.
pub fn findings(findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|f| json!({"code": f.code, "damage": f.damage, "count": f.count, "detail": f.detail}))
        .collect();
    json!({"sound": findings.iter().all(|f| !f.damage), "findings": list})
}
