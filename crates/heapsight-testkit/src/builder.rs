//! Tiny graphs put together by name, and the text that V8 would write for them.
//!
//! ```
//! use heapsight_testkit::builder::SnapshotBuilder;
//!
//! let mut graph = SnapshotBuilder::new();
//! let a = graph.node("object", "A", 10);
//! let b = graph.node("string", "hello", 20);
//! graph.edge(graph.root(), "element", 1, a);
//! graph.edge(a, "property", "b", b);
//! let snapshot = graph.snapshot();
//! assert_eq!((snapshot.node_count(), snapshot.edge_count()), (3, 2));
//! ```
//!
//! A [`SnapshotBuilder`] is a [`Graph`] with convenient methods; [`Graph::json`] writes it in any [`Layout`]. All layouts
//! of one graph mean the same snapshot. Object ids are 1, 3, 5 ... unless given.

use std::{
    collections::HashMap,
    fmt::Write as _,
    ops::{Deref, DerefMut},
};

use heapsight_snapshot::{ReadError, ReadOptions, Snapshot};
use serde_json::{Value, json};

use crate::generate::Rng;

/// A node of a [`Graph`]: its position among the nodes, which is its ordinal in the snapshot.
pub type NodeOrd = usize;

/// A node as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// V8's name of the type; a name that V8 does not have is added to the header's list.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Object id.
    pub id: u64,
    /// Shallow size as V8 reports it.
    pub self_size: u64,
    /// 0 unknown, 1 attached, 2 detached.
    pub detachedness: u32,
    /// Node of the allocation tree.
    pub trace_node: u32,
}

/// `name_or_index` of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EdgeName {
    /// A name.
    Text(String),
    /// A number: for types `element` and `hidden` as it is, for others its decimal digits are the name.
    Index(u32),
}

impl From<&str> for EdgeName {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for EdgeName {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for EdgeName {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

/// An edge as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node that it belongs to.
    pub from: NodeOrd,
    /// V8's name of the type.
    pub kind: String,
    /// Name or index.
    pub name: EdgeName,
    /// The node that it points to.
    pub to: NodeOrd,
}

impl Edge {
    /// Whether the file has a number in place of the name.
    pub fn has_numeric_name(&self) -> bool {
        matches!(self.kind.as_str(), "element" | "hidden")
    }

    /// The name as text.
    pub fn text(&self) -> String {
        match &self.name {
            EdgeName::Text(text) => text.clone(),
            EdgeName::Index(index) => index.to_string(),
        }
    }
}

/// A source location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeOrd,
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 0.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
}

/// A function of the allocation traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Name.
    pub name: String,
    /// Name of the script.
    pub script_name: String,
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 0.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
}

/// A node of the tree of allocation stacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceTree {
    /// The `trace_node_id` of heap nodes.
    pub id: u32,
    /// Index into the functions.
    pub function: u32,
    /// Objects allocated here.
    pub count: u64,
    /// Bytes allocated here.
    pub size: u64,
    /// The functions called from here.
    pub children: Vec<TraceTree>,
}

/// A lexical scope of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The script's node.
    pub script: NodeOrd,
    /// V8's id, unique within the script.
    pub id: i32,
    /// 0 for the script's outermost scope.
    pub depth: u32,
    /// Names of the variables that it declares in contexts.
    pub variables: Vec<String>,
    /// Variables that are used in it: id of the declaring scope, position among its variables.
    pub uses: Vec<(i32, u32)>,
}

/// A whole snapshot in plain lists: what the oracles of [`crate::oracle`] work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The nodes, by ordinal.
    pub nodes: Vec<Node>,
    /// The edges. Those of one node count in the order in which they stand here.
    pub edges: Vec<Edge>,
    /// The root.
    pub root: NodeOrd,
    /// Locations, in the order of the file.
    pub locations: Vec<Place>,
    /// Ticks of a timeline: microseconds, last object id.
    pub samples: Vec<(u64, u64)>,
    /// Functions of the allocation traces.
    pub functions: Vec<Function>,
    /// Root of the tree of allocation stacks.
    pub traces: Option<TraceTree>,
    /// Lexical scopes, depth first within each script; `None` leaves the tables and their fields out.
    pub scopes: Option<Vec<Scope>>,
    /// Bytes outside of the heap; `None` leaves the field out of the header.
    pub extra_native_bytes: Option<u64>,
    /// Whether nodes have the field `detachedness` (since Node 16). Without it the states of the nodes are not written,
    /// and names that begin with `Detached ` count instead.
    pub has_detachedness: bool,
}

impl Graph {
    /// The edges of each node, as positions in `edges`, in the order of the file.
    pub fn edges_by_node(&self) -> Vec<Vec<usize>> {
        let mut lists = vec![Vec::new(); self.nodes.len()];
        for (position, edge) in self.edges.iter().enumerate() {
            lists[edge.from].push(position);
        }
        lists
    }

    /// The text in the layout of Node 22.
    pub fn text(&self) -> Vec<u8> {
        self.json(&Layout::default())
    }

    /// The graph as the reader sees it.
    pub fn snapshot(&self) -> Snapshot {
        read(&self.text()).expect("the builder writes sound snapshots")
    }

    /// The text in a layout.
    pub fn json(&self, layout: &Layout) -> Vec<u8> {
        Writer::new(self, layout).write().into_bytes()
    }
}

/// Reads a text with one thread.
pub fn read(text: &[u8]) -> Result<Snapshot, ReadError> {
    let options = ReadOptions { threads: 1, len: Some(text.len() as u64), progress: None };
    heapsight_snapshot::read(text, options)
}

/// Puts a graph together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotBuilder {
    graph: Graph,
}

impl Default for SnapshotBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl SnapshotBuilder {
    /// A graph with nothing but a root: synthetic, nameless, of size 0, as V8 makes it.
    pub fn new() -> Self {
        let mut builder = Self::without_root();
        builder.node("synthetic", "", 0);
        builder
    }

    /// A graph with nothing; the first node is the root until [`SnapshotBuilder::set_root`] says otherwise.
    pub fn without_root() -> Self {
        Self {
            graph: Graph {
                nodes: Vec::new(),
                edges: Vec::new(),
                root: 0,
                locations: Vec::new(),
                samples: Vec::new(),
                functions: Vec::new(),
                traces: None,
                scopes: None,
                extra_native_bytes: None,
                has_detachedness: true,
            },
        }
    }

    /// The root.
    pub fn root(&self) -> NodeOrd {
        self.graph.root
    }

    /// Makes a node the root.
    pub fn set_root(&mut self, node: NodeOrd) -> &mut Self {
        self.graph.root = node;
        self
    }

    /// Adds a node.
    pub fn node(&mut self, kind: &str, name: &str, self_size: u64) -> NodeOrd {
        let ord = self.graph.nodes.len();
        self.graph.nodes.push(Node {
            kind: kind.to_owned(),
            name: name.to_owned(),
            id: 2 * ord as u64 + 1,
            self_size,
            detachedness: 0,
            trace_node: 0,
        });
        ord
    }

    /// Adds an object that the root holds by an element edge: a global of the program.
    pub fn global(&mut self, name: &str, self_size: u64) -> NodeOrd {
        let ord = self.node("object", name, self_size);
        let index = self.graph.edges.iter().filter(|e| e.from == self.graph.root).count() as u32 + 1;
        self.edge(self.graph.root, "element", index, ord);
        ord
    }

    /// Adds an object that another holds by a property.
    pub fn object(&mut self, from: NodeOrd, property: &str, name: &str, self_size: u64) -> NodeOrd {
        let ord = self.node("object", name, self_size);
        self.edge(from, "property", property, ord);
        ord
    }

    /// Adds an edge.
    pub fn edge(&mut self, from: NodeOrd, kind: &str, name: impl Into<EdgeName>, to: NodeOrd) -> &mut Self {
        self.graph.edges.push(Edge { from, kind: kind.to_owned(), name: name.into(), to });
        self
    }

    /// Adds the two edges of a WeakMap entry: from the table and from the key to the value.
    pub fn weak_map_entry(&mut self, number: u32, table: NodeOrd, key: NodeOrd, value: NodeOrd) -> &mut Self {
        let name = self.graph.weak_map_edge_name(number, table, key, value);
        self.edge(table, "internal", name, value);
        let name = self.graph.weak_map_edge_name(number + 1, table, key, value);
        self.edge(key, "internal", name, value)
    }

    /// Gives a node another object id.
    pub fn id(&mut self, node: NodeOrd, id: u64) -> &mut Self {
        self.graph.nodes[node].id = id;
        self
    }

    /// Gives a node a state: 1 attached, 2 detached.
    pub fn detachedness(&mut self, node: NodeOrd, state: u32) -> &mut Self {
        self.graph.nodes[node].detachedness = state;
        self
    }

    /// Says where a node was allocated.
    pub fn trace_node(&mut self, node: NodeOrd, id: u32) -> &mut Self {
        self.graph.nodes[node].trace_node = id;
        self
    }

    /// Gives a node a source location: script, line, column.
    pub fn location(&mut self, node: NodeOrd, script_id: u32, line: u32, column: u32) -> &mut Self {
        self.graph.locations.push(Place { node, script_id, line, column });
        self
    }

    /// Adds a tick of a timeline.
    pub fn sample(&mut self, timestamp_us: u64, last_assigned_id: u64) -> &mut Self {
        self.graph.samples.push((timestamp_us, last_assigned_id));
        self
    }

    /// Adds a function of the allocation traces and gives its index.
    pub fn function(&mut self, name: &str, script_name: &str, script_id: u32, line: u32, column: u32) -> u32 {
        let (name, script_name) = (name.to_owned(), script_name.to_owned());
        self.graph.functions.push(Function { name, script_name, script_id, line, column });
        self.graph.functions.len() as u32 - 1
    }

    /// Sets the tree of allocation stacks.
    pub fn traces(&mut self, root: TraceTree) -> &mut Self {
        self.graph.traces = Some(root);
        self
    }

    /// Adds a lexical scope of a script: the depth says which of those before it is around it.
    pub fn scope(
        &mut self,
        script: NodeOrd,
        id: i32,
        depth: u32,
        variables: &[&str],
        uses: &[(i32, u32)],
    ) -> &mut Self {
        let variables = variables.iter().map(|&name| name.to_owned()).collect();
        let scope = Scope { script, id, depth, variables, uses: uses.to_vec() };
        self.graph.scopes.get_or_insert_default().push(scope);
        self
    }

    /// Adds a number as V8 writes one inside of a node: an internal edge to a node `int`, whose `value` is a string.
    pub fn int(&mut self, from: NodeOrd, name: &str, value: i64) -> &mut Self {
        let int = self.node("number", "int", 0);
        let text = self.node("string", &value.to_string(), 0);
        self.edge(int, "internal", "value", text);
        self.edge(from, "internal", name, int)
    }

    /// Sets the bytes outside of the heap.
    pub fn extra_native_bytes(&mut self, bytes: u64) -> &mut Self {
        self.graph.extra_native_bytes = Some(bytes);
        self
    }

    /// Leaves the field `detachedness` out, as Node 14 does.
    pub fn without_detachedness(&mut self) -> &mut Self {
        self.graph.has_detachedness = false;
        self
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph, moved out.
    pub fn into_graph(self) -> Graph {
        self.graph
    }
}

impl Deref for SnapshotBuilder {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        &self.graph
    }
}

impl DerefMut for SnapshotBuilder {
    fn deref_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }
}

impl Graph {
    /// The name of an edge of a WeakMap entry, as V8 writes it; the number in front differs between the two edges.
    pub fn weak_map_edge_name(&self, number: u32, table: NodeOrd, key: NodeOrd, value: NodeOrd) -> String {
        let shown = |ord: NodeOrd| format!("{} @{}", self.nodes[ord].name, self.nodes[ord].id);
        format!(
            "{number} / part of key ({}) -> value ({}) pair in WeakMap (table @{})",
            shown(key),
            shown(value),
            self.nodes[table].id
        )
    }
}

/// How a snapshot is written. Every layout means the same graph.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they have nothing to do with each other")]
pub struct Layout {
    /// Each row of nodes, edges and locations on a line of its own (Node up to 22), or all on one (Node 24).
    pub lines: bool,
    /// Nodes have the field `trace_node_id` (Node up to 22, and timelines).
    pub trace_node_id: bool,
    /// The seed by which fields of rows, types of nodes and edges and strings are put in another order, and fields and
    /// types that nobody knows are put between them.
    pub shuffle: Option<u64>,
    /// The same string stands in the table several times, as Bun writes it.
    pub repeated_strings: bool,
    /// Sections that nobody knows stand between the known ones.
    pub unknown_sections: bool,
    /// All characters but plain ones are escaped, with white space around tokens.
    pub escapes: bool,
    /// A slash is written `\/`, as some JSON writers do.
    pub escaped_slashes: bool,
}

impl Default for Layout {
    /// Node 22.
    fn default() -> Self {
        Self {
            lines: true,
            trace_node_id: true,
            shuffle: None,
            repeated_strings: false,
            unknown_sections: false,
            escapes: false,
            escaped_slashes: false,
        }
    }
}

impl Layout {
    /// Node 24 and later, Chrome since 2024.
    pub fn node24() -> Self {
        Self { lines: false, trace_node_id: false, ..Self::default() }
    }

    /// Everything that V8 never does and a reader must not mind.
    pub fn adverse(seed: u64) -> Self {
        Self {
            lines: seed.is_multiple_of(2),
            trace_node_id: seed.is_multiple_of(3),
            shuffle: Some(seed),
            repeated_strings: true,
            unknown_sections: true,
            escapes: true,
            ..Self::default()
        }
    }
}

/// V8's node types in V8's order.
pub const NODE_KINDS: [&str; 15] = [
    "hidden",
    "array",
    "string",
    "object",
    "code",
    "closure",
    "regexp",
    "number",
    "native",
    "synthetic",
    "concatenated string",
    "sliced string",
    "symbol",
    "bigint",
    "object shape",
];

/// V8's edge types in V8's order.
pub const EDGE_KINDS: [&str; 7] =
    ["context", "element", "property", "internal", "hidden", "shortcut", "weak"];
const FUTURE: &str = "from the future";

struct Writer<'g> {
    graph: &'g Graph,
    layout: &'g Layout,
    rng: Option<Rng>,
    strings: Vec<String>,
    known: HashMap<String, Vec<u32>>,
    turn: usize,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g Graph, layout: &'g Layout) -> Self {
        let rng = layout.shuffle.map(Rng::new);
        // V8's table begins with a string that nothing refers to.
        let strings = vec!["<dummy>".to_owned()];
        Self { graph, layout, rng, strings, known: HashMap::new(), turn: 0 }
    }

    fn string(&mut self, text: &str) -> u64 {
        let copies = if self.layout.repeated_strings { 3 } else { 1 };
        if !self.known.contains_key(text) {
            let first = self.strings.len() as u32;
            self.strings.extend((0..copies).map(|_| text.to_owned()));
            self.known.insert(text.to_owned(), (first..first + copies).collect());
        }
        self.turn += 1;
        let places = &self.known[text];
        u64::from(places[self.turn % places.len()])
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        if let Some(rng) = &mut self.rng {
            rng.shuffle(list);
        }
    }

    /// Field names with their types, shuffled and with unknown ones if so asked.
    fn fields(&mut self, fields: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
        let mut fields = fields.to_vec();
        if self.rng.is_some() {
            fields.push((FUTURE, json!("number")));
            fields.push(("and another", json!("string")));
        }
        self.shuffle(&mut fields);
        fields
    }

    fn kinds(&mut self, known: &[&str], used: impl Iterator<Item = String>) -> Vec<String> {
        let mut kinds: Vec<String> = known.iter().map(|&k| k.to_owned()).collect();
        for kind in used {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if self.rng.is_some() {
            kinds.insert(0, "unused type".to_owned());
        }
        self.shuffle(&mut kinds);
        kinds
    }

    fn write(mut self) -> String {
        let graph = self.graph;
        let node_kinds = self.kinds(&NODE_KINDS, graph.nodes.iter().map(|n| n.kind.clone()));
        let edge_kinds = self.kinds(&EDGE_KINDS, graph.edges.iter().map(|e| e.kind.clone()));
        let number = || json!("number");
        let mut fields = vec![
            ("type", json!(node_kinds)),
            ("name", json!("string")),
            ("id", number()),
            ("self_size", number()),
            ("edge_count", number()),
        ];
        if self.layout.trace_node_id || graph.nodes.iter().any(|n| n.trace_node != 0) {
            fields.push(("trace_node_id", number()));
        }
        if graph.has_detachedness {
            fields.push(("detachedness", number()));
        }
        let node_fields = self.fields(&fields);
        let edge_fields = self.fields(&[
            ("type", json!(edge_kinds)),
            ("name_or_index", json!("string_or_number")),
            ("to_node", json!("node")),
        ]);
        let location_fields = self.fields(&[
            ("object_index", Value::Null),
            ("script_id", Value::Null),
            ("line", Value::Null),
            ("column", Value::Null),
        ]);
        let nodes = self.nodes(&node_fields, &node_kinds);
        let edges = self.edges(&edge_fields, &edge_kinds, node_fields.len());
        let locations = self.locations(&location_fields, node_fields.len());
        let functions: Vec<Vec<u64>> = graph
            .functions
            .iter()
            .enumerate()
            .map(|(i, f)| {
                let (name, script) = (self.string(&f.name), self.string(&f.script_name));
                vec![i as u64, name, script, f.script_id.into(), f.line.into(), f.column.into()]
            })
            .collect();
        let samples: Vec<Vec<u64>> = graph.samples.iter().map(|&(time, id)| vec![time, id]).collect();
        // Fields of tables that are not written, too: no choice of the layout depends on what the graph has.
        let scope_fields = self.fields(&[
            ("script_node_index", Value::Null),
            ("scope_id", Value::Null),
            ("depth", Value::Null),
            ("scope_context_vars_count", Value::Null),
            ("scope_uses_count", Value::Null),
        ]);
        let variable_fields = self.fields(&[("name", Value::Null)]);
        let use_fields = self.fields(&[("declaring_scope_id", Value::Null), ("slot_index", Value::Null)]);
        let scopes = self.scopes(&scope_fields, &variable_fields, &use_fields, node_fields.len());
        let names =
            |fields: &[(&'static str, Value)]| fields.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let types = |fields: Vec<(&str, Value)>| fields.into_iter().map(|(_, kind)| kind).collect::<Vec<_>>();
        let mut header = json!({
            "meta": {
                "node_fields": names(&node_fields), "node_types": types(node_fields.clone()),
                "edge_fields": names(&edge_fields), "edge_types": types(edge_fields),
                "trace_function_info_fields":
                    ["function_id", "name", "script_name", "script_id", "line", "column"],
                "trace_node_fields": ["id", "function_info_index", "count", "size", "children"],
                "sample_fields": ["timestamp_us", "last_assigned_id"],
                "location_fields": names(&location_fields),
            },
            "node_count": graph.nodes.len(),
            "edge_count": graph.edges.len(),
            "trace_function_count": graph.functions.len(),
        });
        if graph.scopes.is_some() {
            header["meta"]["scope_fields"] = json!(names(&scope_fields));
            header["meta"]["scope_context_var_fields"] = json!(names(&variable_fields));
            header["meta"]["scope_use_fields"] = json!(names(&use_fields));
        }
        if let Some(bytes) = graph.extra_native_bytes {
            header["extra_native_bytes"] = bytes.into();
        }
        if graph.root != 0 {
            header["root_index"] = (graph.root * node_fields.len()).into();
        }
        let mut text = format!("{{\"snapshot\":{header}");
        self.rows(&mut text, "nodes", &nodes);
        self.unknown(&mut text, "gc_history", "[[1,2,{\"a\":[]}],\"]}\"]");
        self.rows(&mut text, "edges", &edges);
        self.rows(&mut text, "trace_function_infos", &functions);
        text.push_str(",\n\"trace_tree\":[");
        if let Some(root) = &graph.traces {
            trace_tree(&mut text, root);
        }
        text.push(']');
        self.unknown(&mut text, "embedder", "{\"nodes\":[1,2],\"x\":null}");
        self.rows(&mut text, "samples", &samples);
        self.rows(&mut text, "locations", &locations);
        if graph.scopes.is_some() {
            let mut tables =
                ["scopes", "scope_context_vars", "scope_uses"].into_iter().zip(scopes).collect::<Vec<_>>();
            self.shuffle(&mut tables);
            for (key, rows) in &tables {
                self.rows(&mut text, key, rows);
            }
        }
        text.push_str(",\n\"strings\":[");
        for (i, string) in self.strings.iter().enumerate() {
            if i > 0 {
                text.push_str(if self.layout.escapes { " ,\t" } else { ",\n" });
            }
            quote(&mut text, string, self.layout);
        }
        text.push_str("]}");
        text
    }

    fn nodes(&mut self, fields: &[(&str, Value)], kinds: &[String]) -> Vec<Vec<u64>> {
        let graph = self.graph;
        let owned = graph.edges_by_node();
        (0..graph.nodes.len())
            .map(|ord| {
                let node = &graph.nodes[ord];
                let name = self.string(&node.name);
                let value = |field: &str| match field {
                    "type" => position(kinds, &node.kind),
                    "name" => name,
                    "id" => node.id,
                    "self_size" => node.self_size,
                    "edge_count" => owned[ord].len() as u64,
                    "trace_node_id" => node.trace_node.into(),
                    "detachedness" => node.detachedness.into(),
                    _ => 7_777_777_777,
                };
                fields.iter().map(|(field, _)| value(field)).collect()
            })
            .collect()
    }

    fn edges(&mut self, fields: &[(&str, Value)], kinds: &[String], node_fields: usize) -> Vec<Vec<u64>> {
        let graph = self.graph;
        let mut rows = Vec::with_capacity(graph.edges.len());
        for position_of_edge in graph.edges_by_node().into_iter().flatten() {
            let edge = &graph.edges[position_of_edge];
            let name = match &edge.name {
                EdgeName::Index(index) if edge.has_numeric_name() => u64::from(*index),
                EdgeName::Text(text) if edge.has_numeric_name() => {
                    panic!("an edge of type {} has a number, not the name {text:?}", edge.kind)
                }
                _ => self.string(&edge.text()),
            };
            let value = |field: &str| match field {
                "type" => position(kinds, &edge.kind),
                "name_or_index" => name,
                "to_node" => (edge.to * node_fields) as u64,
                _ => 3,
            };
            rows.push(fields.iter().map(|(field, _)| value(field)).collect());
        }
        rows
    }

    fn locations(&mut self, fields: &[(&str, Value)], node_fields: usize) -> Vec<Vec<u64>> {
        let rows = self.graph.locations.iter().map(|place| {
            let value = |field: &str| match field {
                "object_index" => (place.node * node_fields) as u64,
                "script_id" => place.script_id.into(),
                "line" => place.line.into(),
                "column" => place.column.into(),
                _ => 0,
            };
            fields.iter().map(|(field, _)| value(field)).collect()
        });
        rows.collect()
    }

    /// The rows of the three scope tables.
    fn scopes(
        &mut self,
        scope_fields: &[(&str, Value)],
        variable_fields: &[(&str, Value)],
        use_fields: &[(&str, Value)],
        node_fields: usize,
    ) -> [Vec<Vec<i64>>; 3] {
        let graph = self.graph;
        let mut tables: [Vec<Vec<i64>>; 3] = Default::default();
        for scope in graph.scopes.iter().flatten() {
            let value = |field: &str| match field {
                "script_node_index" => (scope.script * node_fields) as i64,
                "scope_id" => scope.id.into(),
                "depth" => scope.depth.into(),
                "scope_context_vars_count" => scope.variables.len() as i64,
                "scope_uses_count" => scope.uses.len() as i64,
                _ => -9,
            };
            tables[0].push(scope_fields.iter().map(|(field, _)| value(field)).collect());
            for variable in &scope.variables {
                let name = self.string(variable) as i64;
                let value = |field: &str| if field == "name" { name } else { 5 };
                tables[1].push(variable_fields.iter().map(|(field, _)| value(field)).collect());
            }
            for &(declaring, slot) in &scope.uses {
                let value = |field: &str| match field {
                    "declaring_scope_id" => declaring.into(),
                    "slot_index" => slot.into(),
                    _ => 1,
                };
                tables[2].push(use_fields.iter().map(|(field, _)| value(field)).collect());
            }
        }
        tables
    }

    fn rows<N: std::fmt::Display>(&self, text: &mut String, key: &str, rows: &[Vec<N>]) {
        let space = if self.layout.escapes { " \r\n\t" } else { "" };
        let _ = write!(text, ",\n\"{key}\"{space}:{space}[{space}");
        for (i, row) in rows.iter().enumerate() {
            if self.layout.lines && i > 0 {
                text.push('\n');
            }
            for (j, number) in row.iter().enumerate() {
                if i + j > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{number}");
            }
        }
        if self.layout.lines && !rows.is_empty() {
            text.push('\n');
        }
        text.push(']');
    }

    fn unknown(&self, text: &mut String, key: &str, value: &str) {
        if self.layout.unknown_sections {
            let _ = write!(text, ",\n\"{key}\":{value}");
        }
    }
}

fn position(kinds: &[String], kind: &str) -> u64 {
    kinds.iter().position(|k| k == kind).expect("all kinds in use are listed") as u64
}

fn trace_tree(text: &mut String, node: &TraceTree) {
    let _ = write!(text, "{},{},{},{},[", node.id, node.function, node.count, node.size);
    for (i, child) in node.children.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        trace_tree(text, child);
    }
    text.push(']');
}

/// Writes a JSON string. V8 escapes what is not ASCII; others write the characters themselves, so that half of the strings
/// here are written that way.
fn quote(text: &mut String, string: &str, layout: &Layout) {
    let plain_unicode = !layout.escapes && string.len().is_multiple_of(2);
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '/' if layout.escaped_slashes => text.push_str("\\/"),
            ' '..='~' => text.push(c),
            '\u{80}'.. if plain_unicode => text.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04X}");
                }
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_v8_writes() {
        let mut graph = SnapshotBuilder::new();
        let a = graph.global("A\n\u{e9}", 16);
        graph.edge(a, "weak", "w", graph.root()).detachedness(a, 2);
        let text = String::from_utf8(graph.text()).unwrap();
        assert!(text.contains("\"nodes\":[9,1,1,0,1,0,0\n,3,2,3,16,1,0,2\n]"), "{text}");
        assert!(text.contains("\"edges\":[1,1,7\n,6,3,0\n]"), "{text}");
        assert!(text.ends_with("\"strings\":[\"<dummy>\",\n\"\",\n\"A\\né\",\n\"w\"]}"), "{text}");
        serde_json::from_str::<Value>(&text).unwrap();
    }

    #[test]
    fn every_layout_is_json_and_the_same_snapshot() {
        let mut graph = SnapshotBuilder::without_root();
        let a = graph.node("object", "Ünï \u{1f600} \"\\/", 1 << 40);
        let root = graph.node("synthetic", "", 0);
        let b = graph.node("kind of tomorrow", "", 3);
        graph
            .set_root(root)
            .edge(root, "shortcut", "12", a)
            .edge(a, "element", 4, b)
            .edge(a, "property", "p", a);
        graph.location(a, 1, 2, 3).sample(5, 6).extra_native_bytes(9).id(b, 40).trace_node(b, 2);
        graph.function("f", "s.js", 1, 2, 3);
        let leaf = TraceTree { id: 2, function: 0, count: 1, size: 2, children: vec![] };
        graph.traces(TraceTree { id: 1, children: vec![leaf], ..TraceTree::default() });
        graph.scope(b, -2, 0, &["v", "w"], &[]).scope(b, 7, 1, &["x"], &[(-2, 1), (7, 0)]);
        let layouts = [Layout::default(), Layout::node24(), Layout::adverse(1), Layout::adverse(6)];
        for layout in layouts {
            let text = graph.json(&layout);
            serde_json::from_slice::<Value>(&text).unwrap();
            let snapshot = read(&text).unwrap();
            let name = |string| snapshot.strings.get(string).into_owned();
            assert_eq!(name(snapshot.nodes.name[a]), graph.nodes[a].name);
            assert_eq!(snapshot.nodes.self_size.get(a as u32), 1 << 40);
            assert_eq!(snapshot.root, root as u32);
            assert_eq!(snapshot.node_type(b as u32), "kind of tomorrow");
            assert_eq!(&snapshot.edges.to[..], [b as u32, a as u32, a as u32], "{layout:?}");
            assert_eq!(snapshot.edge_type(2), "shortcut");
            assert_eq!(name(snapshot.edges.name[1]), "p");
            assert_eq!(snapshot.nodes.id[b], 40);
            assert_eq!(snapshot.locations.of(a as u32).unwrap().column, 3);
            assert_eq!(snapshot.traces.as_ref().unwrap().nodes[1].parent, Some(0));
            assert_eq!(snapshot.nodes.trace_node.as_ref().unwrap()[b], 2);
            assert_eq!((snapshot.samples.len(), snapshot.extra_native_bytes), (1, 9));
            let scopes = snapshot.scopes.as_ref().unwrap();
            assert_eq!((&scopes.ids[..], &scopes.scripts[..]), (&[-2, 7][..], &[b as u32; 2][..]));
            assert_eq!((scopes.variables_of(1), name(scopes.variables[2])), (2..3, "x".to_owned()));
            assert_eq!((&scopes.use_scopes[..], &scopes.use_slots[..]), (&[-2, 7][..], &[1, 0][..]));
        }
    }
}
