//! One object: its fields with their values, who holds it, what dominates it.

use heapsight_analysis::{
    Heap,
    known::WeakMapEdge,
    paths::{self, Step, dominator_chain, holders},
    retainers::Retainer,
};
use heapsight_snapshot::{EdgeKind, Location, NodeKind};

use crate::{
    classes::{ObjectRow, object_row},
    code::{Code, Place},
};

/// Characters of a string that a preview shows.
const PREVIEW: usize = 60;

/// A reference from the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// V8's name of the edge type.
    pub kind: String,
    /// The name that is shown.
    pub name: String,
    /// The object that it refers to.
    pub to: ObjectRow,
    /// Its value in short: a string's text, a number where the file has it, a class.
    pub value: String,
}

/// A reference to the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// V8's name of the edge type.
    pub kind: String,
    /// The name that is shown.
    pub name: String,
    /// The object that holds.
    pub from: ObjectRow,
    /// If it is an entry of a WeakMap: the ids of its key and its table, which hold it together.
    pub weak_map: Option<(Option<u64>, u64)>,
}

/// Everything about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its row.
    pub row: ObjectRow,
    /// V8's name of its type.
    pub kind: String,
    /// Its class.
    pub class: String,
    /// Its immediate dominator's id.
    pub dominator_id: u32,
    /// 0 unknown, 1 attached, 2 detached.
    pub detachedness: u8,
    /// Where its constructor, or the function, is in the source.
    pub location: Option<Location>,
    /// The same in words, where the script is known.
    pub place: Option<Place>,
    /// What it refers to, in the order of the file.
    pub fields: Vec<Field>,
    /// What refers to it, nearest to the roots first; weak ones only if asked for.
    pub holders: Vec<Holder>,
    /// Its dominators, from the immediate one up.
    pub dominators: Vec<ObjectRow>,
    /// The stack that allocated it, where a timeline recorded that: functions as `name (script:line:column)`.
    pub allocation_stack: Vec<String>,
}

/// Looks at an object. Linear in the number of edges.
pub fn object(heap: &Heap, code: &Code, ord: u32, weak: bool) -> Object {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    let fields = snapshot
        .edges_of(ord)
        .filter(|&e| snapshot.edge_kind(e) != EdgeKind::INVISIBLE)
        .map(|e| Field {
            kind: snapshot.edge_type(e).to_owned(),
            name: names.edge(e).into_owned(),
            to: object_row(heap, snapshot.edges.to[e]),
            value: preview(heap, snapshot.edges.to[e]),
        })
        .collect();
    let holders = holders(heap, &heap.distance, ord, weak).into_iter().map(|r| holder(heap, r)).collect();
    Object {
        row: object_row(heap, ord),
        kind: snapshot.node_type(ord).to_owned(),
        class: heap.classes.class(ord).name.clone(),
        dominator_id: snapshot.nodes.id[heap.dominators.idom[ord as usize] as usize],
        detachedness: heap.detached.of(ord),
        location: snapshot.locations.of(ord),
        place: code.place(heap, ord),
        fields,
        holders,
        dominators: dominator_chain(heap, ord).into_iter().map(|o| object_row(heap, o)).collect(),
        allocation_stack: allocation_stack(heap, ord),
    }
}

fn holder(heap: &Heap, retainer: Retainer) -> Holder {
    let snapshot = &heap.snapshot;
    let entry = weak_map_entry(heap, retainer.edge);
    Holder {
        kind: snapshot.edge_type(retainer.edge).to_owned(),
        name: heap.names().edge(retainer.edge).into_owned(),
        from: object_row(heap, retainer.from),
        weak_map: entry.map(|entry| (key_id(&heap.names().edge(retainer.edge)), entry.table_id)),
    }
}

/// What a WeakMap edge says, if an edge is one.
pub fn weak_map_entry(heap: &Heap, edge: usize) -> Option<WeakMapEdge> {
    (heap.snapshot.edge_kind(edge) == EdgeKind::INTERNAL)
        .then(|| heap.known.weak_map_edge(heap.snapshot.edges.name[edge]))
        .flatten()
}

/// The key's id in `12 / part of key (K @5) -> value (V @7) pair in WeakMap (table @9)`.
fn key_id(name: &str) -> Option<u64> {
    let key = &name[..name.find(") -> value (")?];
    key[key.rfind('@')? + 1..].parse().ok()
}

/// A value in a few words.
pub fn preview(heap: &Heap, ord: u32) -> String {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    match snapshot.node_kind(ord) {
        kind if kind.is_string() => {
            let text = names.node(ord);
            let mut short: String = text.chars().take(PREVIEW).flat_map(char::escape_debug).collect();
            if text.chars().nth(PREVIEW).is_some() {
                short.push('…');
            }
            format!("\"{short}\"")
        }
        NodeKind::NUMBER => match snapshot.internal_edge(ord, "value") {
            Some(value) => names.node(value).into_owned(),
            None => names.node(ord).into_owned(),
        },
        NodeKind::CLOSURE => format!("ƒ {}()", names.node(ord)),
        NodeKind::OBJECT | NodeKind::NATIVE | NodeKind::REGEXP | NodeKind::SYMBOL | NodeKind::BIGINT => {
            names.node(ord).into_owned()
        }
        _ => match names.node(ord) {
            name if name.is_empty() => heap.classes.class(ord).name.clone(),
            name => name.into_owned(),
        },
    }
}

/// The stack that allocated an object, where a timeline recorded that: functions as `name (script:line:column)`.
pub fn allocation_stack(heap: &Heap, ord: u32) -> Vec<String> {
    let id = heap.snapshot.nodes.trace_node.as_ref().map_or(0, |column| column[ord as usize]);
    let (Some(traces), true) = (&heap.snapshot.traces, id != 0) else { return Vec::new() };
    let Some(profile) = heapsight_analysis::allocations::AllocationProfile::new(heap) else {
        return Vec::new();
    };
    let strings = &heap.snapshot.strings;
    profile
        .stack(id)
        .into_iter()
        .filter_map(|f| traces.functions.get(f as usize))
        .map(|f| function_place(&strings.get(f.name), &strings.get(f.script_name), f.line, f.column))
        .collect()
}

/// `name (script:line:column)` with line and column counted from 1, as editors count.
pub fn function_place(name: &str, script: &str, line: u32, column: u32) -> String {
    let name = if name.is_empty() { "(anonymous)" } else { name };
    if script.is_empty() {
        return name.to_owned();
    }
    format!("{name} ({script}:{}:{})", line.saturating_add(1), column.saturating_add(1))
}

/// One step of a way from a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStep {
    /// V8's name of the edge type; empty for the first step.
    pub kind: String,
    /// The edge's name.
    pub edge: String,
    /// The object that it leads to.
    pub object: ObjectRow,
    /// The object's class.
    pub class: String,
    /// If the edge is an entry of a WeakMap: the ids of its key and its table.
    pub weak_map: Option<(Option<u64>, u64)>,
    /// Of a closure, where it stands; see [`locate`].
    pub place: Option<Place>,
}

/// Says of the closures of a path where they stand.
pub fn locate(heap: &Heap, code: &Code, steps: &mut [PathStep]) {
    for step in steps {
        if heap.snapshot.node_kind(step.object.ord) == NodeKind::CLOSURE {
            step.place = code.place(heap, step.object.ord);
        }
    }
}

/// A path in words.
pub fn path_steps(heap: &Heap, path: &[Step]) -> Vec<PathStep> {
    path.iter()
        .map(|step| {
            let names = heap.names();
            let name = step.edge.map(|e| names.edge(e).into_owned()).unwrap_or_default();
            PathStep {
                kind: step.edge.map(|e| heap.snapshot.edge_type(e).to_owned()).unwrap_or_default(),
                weak_map: step
                    .edge
                    .and_then(|e| weak_map_entry(heap, e))
                    .map(|entry| (key_id(&name), entry.table_id)),
                edge: name,
                object: object_row(heap, step.ord),
                class: heap.classes.class(step.ord).name.clone(),
                place: None,
            }
        })
        .collect()
}

/// Shortest paths to one object that differ in the last holder.
pub fn object_paths(heap: &Heap, distance: &[i32], ord: u32, most: usize, weak: bool) -> Vec<Vec<PathStep>> {
    paths::distinct_paths(heap, distance, ord, most, weak).iter().map(|path| path_steps(heap, path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_weak_map_entry_is_found_in_its_name() {
        assert_eq!(key_id("1 / part of key (K @5) -> value (V @7) pair in WeakMap (table @9)"), Some(5));
    }
}
