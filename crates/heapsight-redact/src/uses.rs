//! What each string of a snapshot is used for: as the text of a value, as a name, or both.
//!
//! V8 keeps one table of strings for everything, and each string is in it once. So the text of the string value `"name"`
//! and the name of a property `name` are one entry, and only the node or edge that refers to it says what is meant:
//!
//! - **payload**: names of nodes that are strings, regular expressions, or of a type that is not known; names of numbers, if
//!   they have digits;
//! - **names**: names of all other nodes (constructors, functions, scripts, V8's own), of edges, of the functions of
//!   allocation stacks, and of variables in scopes.
//!
//! Property names may be data as well: an object that is used as a dictionary has e-mail addresses or session ids for
//! names. What looks like such is found by its text ([`crate::detect`]). What does not is found here, by the graph. V8 keeps
//! the properties of such an object in a hash table, which refers to its keys; and a name that the *program* uses is
//! referred to by code as well (constant pools, scopes) or by the shape of an object. So the names of a dictionary that
//! nothing else knows, are data, if they are many and the greater part of that object.
//!
//! Source: V8's `src/profiler/heap-snapshot-generator.cc` (`AddEntry`, `ExtractPropertyReferences`, `TagObject`); found to
//! hold in Node.js 14 to 26. Bun writes no such hash tables. Time O(N + E), memory a byte a string.

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot, StringTable};
use rustc_hash::{FxHashMap, FxHashSet};

/// The fewest properties of an object that is taken for a dictionary.
pub(crate) const MANY: usize = 16;

/// What a string is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use(u8);

impl Use {
    pub(crate) const PAYLOAD: u8 = 1;
    pub(crate) const NAME: u8 = 2;
    pub(crate) const PROPERTY: u8 = 4;
    pub(crate) const KEY: u8 = 8;

    /// Of these bits.
    pub(crate) fn of(bits: u8) -> Self {
        Self(bits)
    }

    /// The text of a value.
    pub(crate) fn is_payload(self) -> bool {
        self.0 & Self::PAYLOAD != 0
    }

    /// A name of something.
    pub(crate) fn is_name(self) -> bool {
        self.0 & Self::NAME != 0
    }

    /// A name of a property.
    pub(crate) fn is_property(self) -> bool {
        self.0 & Self::PROPERTY != 0
    }

    /// A key of a dictionary, which nothing of the program knows.
    pub(crate) fn is_key(self) -> bool {
        self.0 & Self::KEY != 0
    }
}

/// Whether the name of a node of this type is the text of a value; `name` gives it where that matters.
pub(crate) fn is_payload(kind: NodeKind, name: impl FnOnce() -> bool) -> bool {
    match kind {
        NodeKind::STRING | NodeKind::REGEXP => true,
        // V8 writes what they are and not what they say; Bun writes their text. The names of V8's are told by their text.
        NodeKind::CONS_STRING | NodeKind::SLICED_STRING | NodeKind::NUMBER | NodeKind::BIGINT => name(),
        kind => kind > NodeKind::WASM_OBJECT,
    }
}

/// Whether a name of a number, or of a string of strings, is a text and not V8's word for what it is.
pub(crate) fn is_text(kind: NodeKind, name: &[u8]) -> bool {
    match kind {
        NodeKind::CONS_STRING => name != b"(concatenated string)",
        NodeKind::SLICED_STRING => name != b"(sliced string)",
        NodeKind::NUMBER | NodeKind::BIGINT => name.iter().any(u8::is_ascii_digit),
        _ => true,
    }
}

/// Finds the uses of all strings.
pub(crate) fn uses(snapshot: &Snapshot) -> Vec<Use> {
    let strings = &snapshot.strings;
    let mut uses = vec![Use::default(); strings.len()];
    let mut mark = |string: u32, bits: u8| {
        if let Some(slot) = uses.get_mut(string as usize) {
            slot.0 |= bits;
        }
    };
    let nodes = &snapshot.nodes;
    // Millions of numbers are called `heap number`.
    let mut texts: FxHashMap<(NodeKind, u32), bool> = FxHashMap::default();
    for (&kind, &name) in nodes.kind.iter().zip(nodes.name.iter()) {
        let kind = NodeKind(kind);
        let is_text = || *texts.entry((kind, name)).or_insert_with(|| is_text(kind, &strings.wtf8(name)));
        let payload = is_payload(kind, is_text);
        mark(name, if payload { Use::PAYLOAD } else { Use::NAME });
    }
    let edges = &snapshot.edges;
    for (&kind, &name) in edges.kind.iter().zip(edges.name.iter()) {
        let kind = EdgeKind(kind);
        if !kind.has_numeric_name() {
            let property = if kind == EdgeKind::PROPERTY { Use::PROPERTY } else { 0 };
            mark(name, Use::NAME | property);
        }
    }
    for function in snapshot.traces.iter().flat_map(|traces| &traces.functions) {
        mark(function.name, Use::NAME);
        mark(function.script_name, Use::NAME);
    }
    for &name in snapshot.scopes.iter().flat_map(|scopes| scopes.variables.iter()) {
        mark(name, Use::NAME);
    }
    for key in dictionary_keys(snapshot) {
        mark(key, Use::KEY);
    }
    uses
}

/// The string of a literal; more than one entry of it is of no account here.
fn literal(strings: &StringTable, text: &str) -> Option<u32> {
    (0..strings.len() as u32).find(|&index| strings.raw(index) == text.as_bytes())
}

/// Names of properties that are keys of dictionaries and that nothing of the program knows.
fn dictionary_keys(snapshot: &Snapshot) -> Vec<u32> {
    let strings = &snapshot.strings;
    let Some(properties) = literal(strings, "properties") else { return Vec::new() };
    let Some(object) = literal(strings, "Object") else { return Vec::new() };
    let nodes = &snapshot.nodes;
    let is_string = |node: u32| snapshot.node_kind(node) == NodeKind::STRING;
    let mut known: Option<Vec<bool>> = None;
    let mut keys = Vec::new();
    for node in 0..snapshot.node_count() as u32 {
        if snapshot.node_kind(node) != NodeKind::OBJECT || nodes.name[node as usize] != object {
            continue;
        }
        let mine = snapshot.edges_of(node);
        if mine.len() < MANY {
            continue;
        }
        let named = |&edge: &usize| snapshot.edge_kind(edge) == EdgeKind::PROPERTY;
        let is_store = |&edge: &usize| {
            snapshot.edge_kind(edge) == EdgeKind::INTERNAL && snapshot.edges.name[edge] == properties
        };
        let Some(store) = mine.clone().find(is_store).map(|edge| snapshot.edges.to[edge]) else { continue };
        let in_table: FxHashSet<u32> = snapshot
            .edges_of(store)
            .map(|edge| snapshot.edges.to[edge])
            .filter(|&to| is_string(to))
            .map(|to| nodes.name[to as usize])
            .collect();
        if in_table.len() < MANY {
            continue;
        }
        let known = known.get_or_insert_with(|| known_to_code(snapshot));
        let names: FxHashSet<u32> = mine.filter(named).map(|edge| snapshot.edges.name[edge]).collect();
        let unknown: Vec<u32> = names
            .iter()
            .copied()
            .filter(|&name| in_table.contains(&name) && !known.get(name as usize).is_some_and(|&k| k))
            .collect();
        if unknown.len() * 2 >= names.len() {
            keys.extend(unknown);
        }
    }
    keys
}

/// Whether what a node refers to is known to the program: it is code, or the shape of objects. Node.js 14 has no type for
/// shapes: all that is V8's own is called `system` there.
pub(crate) fn is_code(kind: NodeKind, is_system: bool) -> bool {
    matches!(kind, NodeKind::CODE | NodeKind::OBJECT_SHAPE) || kind == NodeKind::HIDDEN && is_system
}

/// Which strings code or the shapes of objects refer to.
///
/// What calls have seen (feedback vectors) is left out: it remembers the last key that a dictionary was asked for.
fn known_to_code(snapshot: &Snapshot) -> Vec<bool> {
    let nodes = &snapshot.nodes;
    let mut known = vec![false; snapshot.strings.len()];
    let system = literal(&snapshot.strings, "system");
    let mut feedback: Vec<Option<bool>> = vec![None; snapshot.strings.len()];
    for node in 0..snapshot.node_count() as u32 {
        let kind = snapshot.node_kind(node);
        let name = nodes.name[node as usize];
        if !is_code(kind, Some(name) == system) {
            continue;
        }
        let remembers = match feedback.get_mut(name as usize) {
            Some(slot) => *slot.get_or_insert_with(|| {
                let text = snapshot.strings.raw(name);
                text.windows(7).any(|part| part == b"eedback")
            }),
            None => false,
        };
        if remembers {
            continue;
        }
        for edge in snapshot.edges_of(node) {
            let to = snapshot.edges.to[edge];
            if snapshot.node_kind(to) == NodeKind::STRING
                && let Some(slot) = known.get_mut(nodes.name[to as usize] as usize)
            {
                *slot = true;
            }
        }
    }
    known
}
