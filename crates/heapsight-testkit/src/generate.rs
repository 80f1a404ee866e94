//! Random graphs that are as nasty as a snapshot can be.
//!
//! Everything that some rule looks at occurs often: every type of node and edge, groups of roots, shortcuts, documents,
//! WeakMap entries whole and in halves, detached nodes, backing stores in chains, plain objects, cycles that nothing
//! holds, edges of a node to itself and to the root, the same edge twice, sizes of zero and above 4 GiB, a root that is
//! not the first node. A graph follows from its seed alone; a test prints the seed when it fails.
//!
//! [`Rng::from_bytes`] takes the choices from bytes instead, for a fuzzer: when they run out, every choice is the first.

use std::collections::VecDeque;

use crate::builder::{EDGE_KINDS, EdgeName, Graph, NODE_KINDS, NodeOrd, SnapshotBuilder};

/// A source of choices: xorshift of a seed, or given bytes.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    bytes: Option<VecDeque<u8>>,
}

impl Rng {
    /// Choices that follow from a seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give similar graphs, and the state must not be zero.
        let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self { state: (mixed ^ (mixed >> 29)) | 1, bytes: None }
    }

    /// Choices that follow from bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: Some(bytes.iter().copied().collect()) }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        if let Some(bytes) = &mut self.bytes {
            let mut eight = [0; 8];
            for slot in &mut eight {
                *slot = bytes.pop_front().unwrap_or(0);
            }
            return u64::from_le_bytes(eight);
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        match &mut self.bytes {
            // One byte is enough for a choice, so that a small change of the input is a small change of the graph.
            Some(bytes) if limit <= 256 => usize::from(bytes.pop_front().unwrap_or(0)) % limit,
            _ => (self.any() % limit as u64) as usize,
        }
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        // Turned around, so that bytes that ran out mean "no".
        self.below(100) >= 100 - percent
    }

    /// One of a list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Puts a list in another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

/// What may occur in a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most nodes, at least 1.
    pub nodes: usize,
    /// Sizes of 4 GiB and more, which DevTools cannot add up.
    pub huge_sizes: bool,
    /// Objects that are called like the class of another type (`Function`, `(string)`), which DevTools confuses.
    pub misleading_names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 60, huge_sizes: true, misleading_names: true }
    }
}

impl Options {
    /// Only graphs in which DevTools itself does what it means to do.
    pub const fn for_devtools() -> Self {
        Self { nodes: 60, huge_sizes: false, misleading_names: false }
    }
}

/// The graph of a seed.
pub fn graph(seed: u64) -> Graph {
    graph_with(&mut Rng::new(seed), Options::default())
}

/// A graph of any choices.
pub fn graph_with(rng: &mut Rng, options: Options) -> Graph {
    let mut maker = Maker { rng, options, graph: SnapshotBuilder::without_root(), theme: Theme::Mixed };
    maker.theme =
        maker.rng.pick(&[Theme::Mixed, Theme::Stores, Theme::Page, Theme::PlainObjects, Theme::Links]);
    maker.nodes();
    maker.skeleton();
    maker.edges();
    maker.weak_maps();
    maker.repeat_and_mix();
    maker.tables();
    maker.graph.into_graph()
}

/// What a graph has most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    Mixed,
    /// Hidden nodes and arrays: who owns what.
    Stores,
    /// Native nodes: what is detached.
    Page,
    /// Objects made by `{}`: interfaces.
    PlainObjects,
    /// Few kinds and many edges: dominators.
    Links,
}

const OBJECT_NAMES: [&str; 12] = [
    "Object",
    "Object",
    "Array",
    "Foo",
    "Bar",
    "Foo",
    "",
    "<tag with space>",
    "Detached <p x>",
    "Detached Foo",
    "{a, b}",
    "system / NativeContext",
];
const MISLEADING_NAMES: [&str; 6] =
    ["Function", "RegExp", "(system)", "(string)", "(synthetic)", "(compiled code)"];
const NATIVE_NAMES: [&str; 14] = [
    "<div id=\"a\">",
    "<div>",
    "Detached <div id=\"a\">",
    "Detached <div>",
    "Detached ",
    "Detached Node",
    "Detached",
    "HTMLDivElement",
    "system / ExternalStringData",
    "system / ExternalStringData",
    "system / JSArrayBufferData",
    "V8EventListener",
    "(Document DOM trees)",
    "Object",
];
const HIDDEN_NAMES: [&str; 6] = [
    "system / NativeContext",
    "system / NativeContext / https://example.org/",
    "system / Context",
    "system / ExternalStringData",
    "(map descriptors)",
    "",
];
const ARRAY_NAMES: [&str; 4] = ["(map descriptors)", "(object elements)", "", "system / NativeContext"];
const SYNTHETIC_NAMES: [&str; 5] =
    ["(Document DOM trees)", "(GC roots)", "(Global handles)", "main / DevTools console", ""];
const OTHER_NAMES: [&str; 8] =
    ["Array", "Object", "f", "", "text", "\u{1f600} smile", "line\nend", "say \"hi\", {you}"];
const PROPERTY_NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "__proto__", "", "x,y", "\u{e9}t\u{e9}", "a"];
const LINK_NAMES: [&str; 22] = [
    "elements",
    "elements",
    "first",
    "second",
    "map",
    "native_context",
    "sloppy_function_map",
    "sloppy_function_map",
    "code",
    "1",
    "2",
    "4",
    "7",
    "10",
    "4th",
    " 4",
    "-5",
    "+7",
    "a",
    "__proto__",
    "",
    "12 / part of key",
];

struct Maker<'r> {
    rng: &'r mut Rng,
    options: Options,
    graph: SnapshotBuilder,
    theme: Theme,
}

impl Maker<'_> {
    fn nodes(&mut self) {
        let n = 1 + self.rng.below(self.options.nodes);
        let root = if self.rng.chance(30) { self.rng.below(n) } else { 0 };
        if self.rng.chance(20) {
            self.graph.without_detachedness();
        }
        for ord in 0..n {
            let is_root = ord == root;
            let kind = if is_root && self.rng.chance(90) { "synthetic" } else { self.node_kind() };
            let name = if is_root && self.rng.chance(80) { "" } else { self.node_name(kind) };
            let size = if is_root && self.rng.chance(80) { 0 } else { self.size() };
            self.graph.node(kind, name, size);
            if self.rng.chance(5) {
                let id = self.rng.below(2 * n) as u64;
                self.graph.id(ord, id);
            }
            let marked = if self.theme == Theme::Page { 25 } else { 5 };
            if self.graph.has_detachedness && self.rng.chance(marked) {
                let state = 1 + self.rng.below(2) as u32;
                self.graph.detachedness(ord, state);
            }
        }
        self.graph.set_root(root);
    }

    fn node_kind(&mut self) -> &'static str {
        let preferred: &[&'static str] = match self.theme {
            Theme::Stores => &["array", "hidden", "native", "object"],
            Theme::Page => &["native", "native", "native", "synthetic", "object"],
            Theme::Mixed | Theme::PlainObjects => &["object"],
            Theme::Links => &["object", "closure", "code", "array"],
        };
        if self.rng.chance(65) {
            return self.rng.pick(preferred);
        }
        match self.rng.below(NODE_KINDS.len() + 2) {
            i if i < NODE_KINDS.len() => NODE_KINDS[i],
            15 => "wasm object",
            _ => "kind of tomorrow",
        }
    }

    fn node_name(&mut self, kind: &str) -> &'static str {
        if self.options.misleading_names && matches!(kind, "object" | "native") && self.rng.chance(8) {
            return self.rng.pick(&MISLEADING_NAMES);
        }
        match kind {
            "object" if self.theme == Theme::PlainObjects && self.rng.chance(80) => "Object",
            "object" => self.rng.pick(&OBJECT_NAMES),
            "native" => self.rng.pick(&NATIVE_NAMES),
            "hidden" => self.rng.pick(&HIDDEN_NAMES),
            "array" => self.rng.pick(&ARRAY_NAMES),
            "synthetic" => self.rng.pick(&SYNTHETIC_NAMES),
            _ => self.rng.pick(&OTHER_NAMES),
        }
    }

    fn size(&mut self) -> u64 {
        match self.rng.below(20) {
            0..6 => 0,
            6..18 => 1 + self.rng.below(200) as u64,
            _ if !self.options.huge_sizes => 1 << self.rng.below(26),
            18 => u64::from(u32::MAX) - 2 + self.rng.below(5) as u64,
            _ => 1 << (31 + self.rng.below(12)),
        }
    }

    /// Hangs most nodes on the root in one way or another, so that not everything is unreachable.
    fn skeleton(&mut self) {
        let n = self.graph.nodes.len();
        let root = self.graph.root();
        let connected = self.rng.pick(&[95, 70, 30]);
        for ord in 0..n {
            if !self.rng.chance(connected) {
                continue;
            }
            let from = if self.rng.chance(25) { root } else { self.rng.below(n) };
            match (from == root, self.rng.below(3)) {
                (true, 0) => self.graph.edge(from, "shortcut", "1", ord),
                (false, 0) => self.graph.edge(from, "property", self.rng.pick(&PROPERTY_NAMES), ord),
                (true, _) | (false, 1) => self.graph.edge(from, "element", ord as u32, ord),
                (false, _) => self.graph.edge(from, "internal", "elements", ord),
            };
        }
    }

    fn edges(&mut self) {
        let n = self.graph.nodes.len();
        let most = if self.theme == Theme::Links { 4 * n } else { 2 * n };
        for _ in 0..self.rng.below(most + 1) {
            let from = self.rng.below(n);
            let to = match self.rng.below(20) {
                0 => from,
                1 => self.graph.root(),
                // Near, so that there are chains and not only a knot.
                2..9 => (from + 1 + self.rng.below(3)) % n,
                _ => self.rng.below(n),
            };
            self.edge(from, to);
        }
        if self.theme == Theme::PlainObjects {
            self.properties();
        }
    }

    fn edge(&mut self, from: NodeOrd, to: NodeOrd) {
        let kind = match self.rng.below(12) {
            i if i < EDGE_KINDS.len() => EDGE_KINDS[i],
            7 => "invisible",
            8 => "link of tomorrow",
            9 => "property",
            _ => "internal",
        };
        let name: EdgeName = match kind {
            "element" | "hidden" => (self.rng.below(12) as u32).into(),
            "property" | "context" => self.rng.pick(&PROPERTY_NAMES).into(),
            _ => self.rng.pick(&LINK_NAMES).into(),
        };
        self.graph.edge(from, kind, name, to);
    }

    /// Gives objects the same few sets of properties, in other orders, in part, and with names that are too long.
    fn properties(&mut self) {
        let n = self.graph.nodes.len();
        let long = ["long".repeat(10), "longer".repeat(12), "longest \u{1f600}".repeat(12)];
        let mut names: Vec<String> = PROPERTY_NAMES.iter().map(|&n| n.to_owned()).chain(long).collect();
        self.rng.shuffle(&mut names);
        for ord in 0..n {
            let count = self.rng.pick(&[0, 1, 2, 2, 3, 3, 6]);
            let from = self.rng.below(3);
            for i in 0..count {
                let name = names[(from + i) % names.len()].clone();
                let to = self.rng.below(n);
                self.graph.edge(ord, "property", name, to);
            }
        }
    }

    /// Entries of WeakMaps: whole, in halves, with the wrong table, with two pairs that look the same.
    fn weak_maps(&mut self) {
        if !self.rng.chance(50) {
            return;
        }
        let n = self.graph.nodes.len();
        for number in 0..self.rng.below(6) as u32 {
            let (table, key, value) = (self.rng.below(n), self.rng.below(n), self.rng.below(n));
            let other = self.rng.below(n);
            let named = self.graph.weak_map_edge_name(number, table, key, value);
            match self.rng.below(8) {
                0 => self.graph.edge(table, "internal", named, value),
                1 => self.graph.edge(key, "internal", named, value),
                2 => self.graph.edge(other, "internal", named, value),
                3 => self.graph.edge(table, "property", named, value),
                4 => self.graph.edge(table, "internal", named + " ", value),
                5 => {
                    self.graph.weak_map_entry(2 * number, table, key, value);
                    self.graph.weak_map_entry(2 * number + 7, table, key, value)
                }
                _ => self.graph.weak_map_entry(2 * number, table, key, value),
            };
        }
    }

    /// Writes some edges twice, and puts the edges of each node in another order.
    fn repeat_and_mix(&mut self) {
        let edges = self.graph.edges.len();
        if edges > 0 {
            for _ in 0..self.rng.below(4) {
                let edge = self.graph.edges[self.rng.below(edges)].clone();
                self.graph.edges.push(edge);
            }
        }
        if self.rng.chance(50) {
            self.rng.shuffle(&mut self.graph.edges);
        }
    }

    fn tables(&mut self) {
        let n = self.graph.nodes.len();
        for _ in 0..self.rng.below(n + 1) / 2 {
            let node = self.rng.below(n);
            let (script, line) = (self.rng.below(2) as u32, self.rng.below(2) as u32);
            self.graph.location(node, script, line, 7);
        }
        if self.rng.chance(40) {
            let bytes = self.size();
            self.graph.extra_native_bytes(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_follows_from_its_seed() {
        assert_eq!(graph(7), graph(7));
        assert_ne!(graph(7), graph(8));
        let bytes: Vec<u8> = (0..=255).collect();
        let from = |bytes: &[u8]| graph_with(&mut Rng::from_bytes(bytes), Options::default());
        assert_eq!(from(&bytes), from(&bytes));
        assert_eq!(from(&[]).nodes.len(), 1);
    }

    #[test]
    fn everything_that_a_rule_looks_at_occurs() {
        let graphs: Vec<Graph> = (0..500).map(graph).collect();
        let nodes = || graphs.iter().flat_map(|g| &g.nodes);
        let edges = || graphs.iter().flat_map(|g| g.edges.iter().map(move |e| (g, e)));
        for kind in NODE_KINDS {
            assert!(nodes().any(|n| n.kind == kind), "no node of type {kind}");
        }
        for kind in EDGE_KINDS {
            assert!(edges().any(|(g, e)| e.kind == kind && e.from == g.root), "no {kind} edge from a root");
            assert!(
                edges().any(|(g, e)| e.kind == kind && e.from != g.root),
                "no {kind} edge from elsewhere"
            );
        }
        assert!(
            nodes().any(|n| n.self_size > 1 << 32) && nodes().any(|n| n.self_size == u64::from(u32::MAX))
        );
        assert!(edges().any(|(_, e)| e.from == e.to) && edges().any(|(g, e)| e.to == g.root));
        assert!(edges().any(|(_, e)| e.text().contains("pair in WeakMap")));
        assert!(graphs.iter().any(|g| g.root != 0) && graphs.iter().any(|g| !g.has_detachedness));
        assert!(graphs.iter().any(|g| g.nodes.len() == 1));
    }
}
