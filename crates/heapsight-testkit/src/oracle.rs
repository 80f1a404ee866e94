//! The numbers of DevTools, computed in the most obvious way.
//!
//! Nothing here is fast or clever: each function says one rule in the words of DevTools' semantics, over the plain lists
//! of a [`Graph`], and shares no code with the analyses that it checks. Costs go up to O(N^2 (N + E)): for graphs of at
//! most a hundred nodes.
//!
//! Source: DevTools, `HeapSnapshot.ts`; each function names the part that it follows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use weak_map::WeakMapName;

use crate::builder::{Edge, EdgeName, Graph, NodeOrd};

/// Distance of a node that nothing reaches.
pub const UNREACHABLE: i64 = -5;

/// Distance of the root where the program has roots of its own.
pub const SYSTEM: i64 = 100_000_000;

/// Every column that DevTools has, and the tables made from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oracle {
    /// 0 unknown, 1 attached, 2 detached.
    pub detachedness: Vec<u32>,
    /// Shallow sizes after backing stores went to their owners.
    pub self_sizes: Vec<u64>,
    /// Packed distances.
    pub distances: Vec<i64>,
    /// What the page owns.
    pub page_owned: Vec<bool>,
    /// By position in the graph's list of edges.
    pub essential: Vec<bool>,
    /// Immediate dominators; the root has itself.
    pub idom: Vec<NodeOrd>,
    /// How many nodes the root does not reach over essential edges.
    pub unreachable: usize,
    /// Retained sizes.
    pub retained: Vec<u64>,
    /// Public class keys.
    pub class_keys: Vec<String>,
    /// Accepted interfaces: name and number of objects.
    pub interfaces: Vec<(String, u64)>,
    /// The Summary, by public key.
    pub aggregates: BTreeMap<String, Aggregate>,
    /// Retained size of the root and the bytes outside of the heap.
    pub total_size: u64,
    /// Bytes by kind.
    pub statistics: Statistics,
}

/// A row of the Summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Members.
    pub count: u64,
    /// Sum of shallow sizes.
    pub self_size: u64,
    /// Retained by all members.
    pub retained: u64,
    /// Least distance.
    pub distance: i64,
}

/// Bytes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are DevTools'")]
pub struct Statistics {
    pub total: u64,
    pub native_total: u64,
    pub typed_arrays: u64,
    pub v8_heap_total: u64,
    pub code: u64,
    pub strings: u64,
    pub js_arrays: u64,
    pub system: u64,
}

impl Oracle {
    /// Computes everything, in DevTools' order.
    pub fn new(graph: &Graph) -> Self {
        let view = View::new(graph);
        let self_sizes = view.shallow_sizes();
        let distances = view.distances();
        let page_owned = view.page_owned();
        let essential: Vec<bool> =
            (0..graph.edges.len()).map(|e| view.is_essential(&page_owned, e)).collect();
        let (idom, unreachable) = view.dominators(&essential);
        let retained = view.retained(&idom, &self_sizes);
        let (definitions, classes) = view.classes();
        let aggregates = view.aggregates(&classes, &self_sizes, &retained, &distances, &idom);
        let total_size = retained[graph.root] + graph.extra_native_bytes.unwrap_or(0);
        let statistics = view.statistics(&self_sizes, total_size);
        Self {
            self_sizes,
            distances,
            page_owned,
            essential,
            idom,
            unreachable,
            retained,
            class_keys: classes,
            interfaces: definitions.into_iter().map(|d| (d.name, d.count)).collect(),
            aggregates,
            total_size,
            statistics,
            detachedness: view.states,
        }
    }
}

/// A graph with the names that DevTools works with after it has marked detached nodes.
struct View<'g> {
    graph: &'g Graph,
    edges: Vec<Vec<usize>>,
    states: Vec<u32>,
    raw_names: Vec<String>,
}

#[derive(Clone, Debug)]
struct Definition {
    name: String,
    properties: Vec<String>,
    count: u64,
}

impl<'g> View<'g> {
    fn new(graph: &'g Graph) -> Self {
        let mut view = Self {
            graph,
            edges: graph.edges_by_node(),
            states: vec![0; graph.nodes.len()],
            raw_names: graph.nodes.iter().map(|n| n.name.clone()).collect(),
        };
        view.mark_detached();
        view
    }

    fn ords(&self) -> std::ops::Range<NodeOrd> {
        0..self.graph.nodes.len()
    }

    fn kind(&self, ord: NodeOrd) -> &str {
        &self.graph.nodes[ord].kind
    }

    fn edges_of(&self, ord: NodeOrd) -> impl Iterator<Item = &'g Edge> {
        let graph = self.graph;
        self.edges[ord].iter().map(move |&position| &graph.edges[position])
    }

    /// `initDetachednessAndClassIndex`, `propagateDOMState`.
    fn mark_detached(&mut self) {
        let nodes = &self.graph.nodes;
        if !self.graph.has_detachedness {
            for (ord, node) in nodes.iter().enumerate() {
                if node.kind == "native" && node.name.starts_with("Detached ") {
                    self.states[ord] = 2;
                }
            }
            return;
        }
        let given: Vec<u32> = nodes.iter().map(|n| n.detachedness).collect();
        self.states.clone_from(&given);
        for state in [1, 2] {
            // Again and again until nothing changes: a native node of unknown state takes it from any native parent.
            loop {
                let mut changed = false;
                for edge in &self.graph.edges {
                    let passes = !matches!(edge.kind.as_str(), "hidden" | "invisible" | "weak");
                    let from_native = self.kind(edge.from) == "native" && self.states[edge.from] == state;
                    if passes && from_native && self.kind(edge.to) == "native" && self.states[edge.to] == 0 {
                        self.states[edge.to] = state;
                        changed = true;
                    }
                }
                if !changed {
                    break;
                }
            }
        }
        for ord in self.ords() {
            if self.kind(ord) == "native" && self.states[ord] == 2 {
                self.raw_names[ord] = format!("Detached {}", nodes[ord].name);
            }
        }
    }

    // ---- roots and shallow sizes -------------------------------------------------------------------------------

    fn is_document_dom_trees(&self, ord: NodeOrd) -> bool {
        self.kind(ord) == "synthetic" && self.raw_names[ord] == "(Document DOM trees)"
    }

    /// The root's children that belong to the program, in the order of the edges.
    fn user_roots(&self) -> Vec<NodeOrd> {
        let children = self.edges_of(self.graph.root).map(|e| e.to);
        children.filter(|&c| self.kind(c) != "synthetic" || self.is_document_dom_trees(c)).collect()
    }

    fn is_ownable(&self, ord: NodeOrd) -> bool {
        matches!(self.kind(ord), "hidden" | "array")
            || (self.kind(ord) == "native" && self.raw_names[ord] == "system / ExternalStringData")
    }

    /// `calculateShallowSizes`: for each ownable node, looks backwards through ownable nodes for those that own
    /// themselves.
    fn shallow_sizes(&self) -> Vec<u64> {
        let file: Vec<u64> = self.graph.nodes.iter().map(|n| n.self_size).collect();
        if self.user_roots().is_empty() {
            return file;
        }
        let mut sizes = file.clone();
        for ord in self.ords().filter(|&ord| self.is_ownable(ord)) {
            let mut owners = BTreeSet::new();
            let mut seen = BTreeSet::from([ord]);
            let mut todo = vec![ord];
            while let Some(at) = todo.pop() {
                for edge in self.graph.edges.iter().filter(|e| e.to == at && e.kind != "weak") {
                    if !self.is_ownable(edge.from) {
                        owners.insert(edge.from);
                    } else if seen.insert(edge.from) {
                        todo.push(edge.from);
                    }
                }
            }
            if let (1, Some(&owner)) = (owners.len(), owners.first())
                && self.kind(owner) != "synthetic"
                && owner != self.graph.root
            {
                sizes[owner] += file[ord];
                sizes[ord] = 0;
            }
        }
        sizes
    }

    // ---- distances ---------------------------------------------------------------------------------------------

    /// `calculateDistances`, `bfs`.
    fn distances(&self) -> Vec<i64> {
        let mut distances = vec![UNREACHABLE; self.graph.nodes.len()];
        let mut pending: BTreeSet<String> = BTreeSet::new();
        let starts = self.user_roots();
        for &start in &starts {
            distances[start] = 1;
        }
        let any = !starts.is_empty();
        self.breadth_first(starts.into(), &mut distances, &mut pending);
        distances[self.graph.root] = if any { SYSTEM } else { 0 };
        self.breadth_first([self.graph.root].into(), &mut distances, &mut pending);
        distances
    }

    fn breadth_first(
        &self,
        mut queue: VecDeque<NodeOrd>,
        distances: &mut [i64],
        pending: &mut BTreeSet<String>,
    ) {
        while let Some(ord) = queue.pop_front() {
            for edge in self.edges_of(ord) {
                if edge.kind == "weak"
                    || distances[edge.to] != UNREACHABLE
                    || !self.is_followed(edge, pending)
                {
                    continue;
                }
                distances[edge.to] = distances[ord] + 1;
                queue.push_back(edge.to);
            }
        }
    }

    fn is_followed(&self, edge: &Edge, pending: &mut BTreeSet<String>) -> bool {
        let source = edge.from;
        if self.kind(source) == "hidden"
            && self.raw_names[source] == "system / NativeContext"
            && edge_name(edge) == "sloppy_function_map"
        {
            return false;
        }
        if self.kind(source) == "array" && self.raw_names[source] == "(map descriptors)" {
            return match parse_int(&edge_name(edge)) {
                None => true,
                Some(index) => index < 2 || index % 3 != 1,
            };
        }
        if edge.kind == "internal"
            && let Some(weak_map) = WeakMapName::parse(&edge.text())
        {
            if pending.remove(&weak_map.duplicated_part) {
                return true;
            }
            pending.insert(weak_map.duplicated_part);
            return false;
        }
        true
    }

    // ---- dominators --------------------------------------------------------------------------------------------

    /// `markPageOwnedNodes`.
    fn page_owned(&self) -> Vec<bool> {
        let mut owned = vec![false; self.graph.nodes.len()];
        for edge in self.edges_of(self.graph.root) {
            if edge.kind == "shortcut" || (edge.kind == "element" && self.is_document_dom_trees(edge.to)) {
                owned[edge.to] = true;
            }
        }
        loop {
            let mut changed = false;
            for edge in &self.graph.edges {
                if owned[edge.from] && edge.kind != "weak" && !owned[edge.to] {
                    owned[edge.to] = true;
                    changed = true;
                }
            }
            if !changed {
                return owned;
            }
        }
    }

    /// `computeIsEssentialEdge`.
    fn is_essential(&self, page_owned: &[bool], edge: usize) -> bool {
        let edge = &self.graph.edges[edge];
        let weak_map = WeakMapName::parse(&edge.text());
        if edge.kind == "internal" && weak_map.is_some_and(|w| w.table_id == self.graph.nodes[edge.from].id) {
            return false;
        }
        if edge.kind == "weak" || edge.from == edge.to {
            return false;
        }
        if edge.from == self.graph.root {
            return true;
        }
        edge.kind != "shortcut" && (page_owned[edge.from] || !page_owned[edge.to])
    }

    /// Nodes reached from the root over a set of edges without entering one node.
    fn reached(&self, edges: &[(NodeOrd, NodeOrd)], without: Option<NodeOrd>) -> Vec<bool> {
        let mut reached = vec![false; self.graph.nodes.len()];
        if without == Some(self.graph.root) {
            return reached;
        }
        reached[self.graph.root] = true;
        let mut todo = vec![self.graph.root];
        while let Some(at) = todo.pop() {
            for &(_, to) in edges.iter().filter(|&&(from, _)| from == at) {
                if Some(to) != without && !reached[to] {
                    reached[to] = true;
                    todo.push(to);
                }
            }
        }
        reached
    }

    /// `calculateDominatorsAndRetainedSizes`, by the definition: `d` dominates `v` if `v` is not reached without `d`.
    fn dominators(&self, essential: &[bool]) -> (Vec<NodeOrd>, usize) {
        let root = self.graph.root;
        let mut edges: Vec<(NodeOrd, NodeOrd)> = self
            .graph
            .edges
            .iter()
            .zip(essential)
            .filter(|&(_, &e)| e)
            .map(|(e, _)| (e.from, e.to))
            .collect();
        let from_root = self.reached(&edges, None);
        let unreachable = from_root.iter().filter(|&&r| !r).count();
        // Case (a): no essential edge leads there at all.
        let held_by_nothing: Vec<NodeOrd> =
            self.ords().filter(|&v| !from_root[v] && edges.iter().all(|&(_, to)| to != v)).collect();
        edges.extend(held_by_nothing.iter().map(|&v| (root, v)));
        let reached = self.reached(&edges, None);
        let mut dominators: Vec<Vec<NodeOrd>> = vec![Vec::new(); self.graph.nodes.len()];
        for d in self.ords() {
            let without = self.reached(&edges, Some(d));
            for v in self.ords() {
                if v != d && reached[v] && !without[v] {
                    dominators[v].push(d);
                }
            }
        }
        // Of the proper dominators of a node the immediate one has the most dominators itself. Case (b) has the root.
        let idom = self
            .ords()
            .map(|v| dominators[v].iter().copied().max_by_key(|&d| dominators[d].len()).unwrap_or(root))
            .collect();
        (idom, unreachable)
    }

    fn retained(&self, idom: &[NodeOrd], sizes: &[u64]) -> Vec<u64> {
        let mut retained = vec![0; sizes.len()];
        for v in self.ords() {
            let mut at = v;
            retained[at] += sizes[v];
            while idom[at] != at {
                at = idom[at];
                retained[at] += sizes[v];
            }
        }
        retained
    }

    // ---- classes -----------------------------------------------------------------------------------------------

    fn is_plain_object(&self, ord: NodeOrd) -> bool {
        self.kind(ord) == "object" && self.raw_names[ord] == "Object"
    }

    fn property_names(&self, ord: NodeOrd) -> Vec<String> {
        self.edges_of(ord).filter(|e| e.kind == "property").map(Edge::text).collect()
    }

    /// `inferInterfaceDefinitions`.
    fn interfaces(&self) -> Vec<Definition> {
        let mut candidates: Vec<Definition> = Vec::new();
        let mut total = 0u64;
        for ord in self.ords().filter(|&ord| self.is_plain_object(ord)) {
            total += 1;
            let mut name = "{".to_owned();
            let mut properties = Vec::new();
            for property in self.property_names(ord) {
                if property == "__proto__" {
                    continue;
                }
                let formatted = format_property_name(&property);
                if utf16(&name) > 1 && utf16(&name) + utf16(&formatted) > 120 {
                    break;
                }
                if name != "{" {
                    name.push_str(", ");
                }
                name.push_str(&formatted);
                properties.push(property);
            }
            if properties.is_empty() {
                continue;
            }
            name.push('}');
            match candidates.iter_mut().find(|c| c.name == name) {
                Some(candidate) => candidate.count += 1,
                None => candidates.push(Definition { name, properties, count: 1 }),
            }
        }
        candidates.sort_by_key(|c| std::cmp::Reverse(c.count));
        let least = (total as f64 / 1000.0).max(2.0);
        candidates.into_iter().take_while(|c| c.count as f64 >= least).collect()
    }

    /// `applyInterfaceDefinitions` for one object.
    fn interface_of(&self, ord: NodeOrd, definitions: &[Definition]) -> Option<String> {
        let own = self.property_names(ord);
        let own = multiset(&own);
        let mut best: Option<&Definition> = None;
        for definition in definitions {
            let needed = multiset(&definition.properties);
            let matches =
                needed.iter().all(|(property, &count)| own.get(property).copied().unwrap_or(0) >= count);
            if matches && best.is_none_or(|b| definition.properties.len() > b.properties.len()) {
                best = Some(definition);
            }
        }
        best.map(|definition| definition.name.clone())
    }

    /// `calculateObjectNames`, `classKeyInternal`: the interfaces, and the public key of each node.
    fn classes(&self) -> (Vec<Definition>, Vec<String>) {
        let definitions = self.interfaces();
        let key = |ord: NodeOrd| {
            let name = match self.kind(ord) {
                "hidden" => "(system)".to_owned(),
                "code" => "(compiled code)".to_owned(),
                "closure" => "Function".to_owned(),
                "regexp" => "RegExp".to_owned(),
                "object" if self.is_plain_object(ord) => {
                    self.interface_of(ord, &definitions).unwrap_or_else(|| "Object".to_owned())
                }
                "object" | "native" => cut_tag(&self.raw_names[ord]),
                kind => format!("({kind})"),
            };
            let place = self.graph.locations.iter().rfind(|place| place.node == ord);
            match place {
                Some(p) if self.kind(ord) == "object" => {
                    format!("{},{},{},{name}", p.script_id, p.line, p.column)
                }
                _ => format!(",{name}"),
            }
        };
        let keys = self.ords().map(key).collect();
        (definitions, keys)
    }

    /// `buildAggregates`, `calculateClassesRetainedSize`.
    fn aggregates(
        &self,
        keys: &[String],
        sizes: &[u64],
        retained: &[u64],
        distances: &[i64],
        idom: &[NodeOrd],
    ) -> BTreeMap<String, Aggregate> {
        let mut rows: BTreeMap<String, Aggregate> = BTreeMap::new();
        for ord in self.ords().filter(|&ord| sizes[ord] != 0) {
            let empty = Aggregate { count: 0, self_size: 0, retained: 0, distance: i64::MAX };
            let row = rows.entry(keys[ord].clone()).or_insert(empty);
            row.count += 1;
            row.self_size += sizes[ord];
            row.distance = row.distance.min(distances[ord]);
            let mut above = ord;
            let mut nested = false;
            while idom[above] != above {
                above = idom[above];
                nested |= keys[above] == keys[ord] && sizes[above] != 0;
            }
            if !nested {
                row.retained += retained[ord];
            }
        }
        rows
    }

    /// `calculateStatistics`.
    fn statistics(&self, sizes: &[u64], total: u64) -> Statistics {
        let mut s = Statistics { total, ..Statistics::default() };
        s.native_total = self.graph.extra_native_bytes.unwrap_or(0);
        for ord in self.ords() {
            let size = sizes[ord];
            match self.kind(ord) {
                "hidden" => s.system += size,
                "native" => {
                    s.native_total += size;
                    if self.raw_names[ord] == "system / JSArrayBufferData" {
                        s.typed_arrays += size;
                    }
                }
                "code" => s.code += size,
                "string" | "concatenated string" | "sliced string" => s.strings += size,
                _ if self.raw_names[ord] == "Array" => {
                    s.js_arrays += size;
                    let elements =
                        self.edges_of(ord).find(|e| e.kind == "internal" && e.text() == "elements");
                    if let Some(elements) = elements
                        && self.graph.edges.iter().filter(|e| e.to == elements.to).count() == 1
                    {
                        s.js_arrays += sizes[elements.to];
                    }
                }
                _ => {}
            }
        }
        s.v8_heap_total = s.total - s.native_total;
        s
    }
}

fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

fn multiset(names: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

/// `formatPropertyName`: quoted as JSON where it would be hard to read.
fn format_property_name(name: &str) -> String {
    if name.chars().any(|c| ",'\"{}".contains(c)) {
        return serde_json::to_string(name).expect("text is JSON");
    }
    name.to_owned()
}

/// `<div id=a>` is of class `<div>`.
fn cut_tag(name: &str) -> String {
    let prefix = if name.starts_with('<') {
        0
    } else if name.starts_with("Detached <") {
        "Detached ".len()
    } else {
        return name.to_owned();
    };
    match name[prefix..].find(' ') {
        Some(space) => format!("{}>", &name[..prefix + space]),
        None => name.to_owned(),
    }
}

/// `JSHeapSnapshotEdge.name`.
fn edge_name(edge: &Edge) -> String {
    let text = edge.text();
    match (&edge.kind[..], &edge.name) {
        ("shortcut", EdgeName::Text(name)) => parse_int(name).map_or(text, |number| number.to_string()),
        _ => text,
    }
}

/// `parseInt(text, 10)`.
fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse::<i64>().ok().map(|number| sign * number)
}

/// The names of WeakMap edges, taken apart by hand.
mod weak_map {
    /// What such a name says.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct WeakMapName {
        /// Everything after the leading digits; the same for the two edges of an entry.
        pub(super) duplicated_part: String,
        /// Object id of the table.
        pub(super) table_id: u64,
    }

    impl WeakMapName {
        /// `tryParseWeakMapEdgeName`: digits, ` / part of key (`, anything, ` @`, digits, `) -> value (`, anything, ` @`,
        /// digits, `) pair in WeakMap (table @`, digits, `)`.
        pub(super) fn parse(name: &str) -> Option<Self> {
            let duplicated = name.trim_start_matches(|c: char| c.is_ascii_digit());
            if duplicated.len() == name.len() {
                return None;
            }
            let rest = duplicated.strip_prefix(" / part of key (")?;
            // The two inner parts may hold anything, so every way to split them is tried.
            for (at, middle) in rest.match_indices(") -> value (") {
                let (key, rest) = (&rest[..at], &rest[at + middle.len()..]);
                for (at, end) in rest.match_indices(") pair in WeakMap (table @") {
                    let (value, table) = (&rest[..at], &rest[at + end.len()..]);
                    let table = table.strip_suffix(')').filter(|t| is_number(t));
                    if let Some(table) = table
                        && is_shown(key)
                        && is_shown(value)
                    {
                        let table_id = table.parse().unwrap_or(u64::MAX);
                        return Some(Self { duplicated_part: duplicated.to_owned(), table_id });
                    }
                }
            }
            None
        }
    }

    fn is_number(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
    }

    /// A name without line ends and ` @id`.
    fn is_shown(text: &str) -> bool {
        text.rsplit_once(" @")
            .is_some_and(|(name, id)| is_number(id) && !name.contains(['\n', '\r', '\u{2028}', '\u{2029}']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::SnapshotBuilder;

    #[test]
    fn names_of_weak_map_edges_are_recognised() {
        let id = |name: &str| WeakMapName::parse(name).map(|w| w.table_id);
        assert_eq!(id("12 / part of key (K @5) -> value (V @7) pair in WeakMap (table @9)"), Some(9));
        assert_eq!(id("12 / part of key ( @5) -> value ( @7) pair in WeakMap (table @9)"), Some(9));
        assert_eq!(
            id("1 / part of key (a @1) -> value (b @5) -> value (V @7) pair in WeakMap (table @9)"),
            Some(9)
        );
        assert_eq!(id("12 / part of key (K\n @5) -> value (V @7) pair in WeakMap (table @9)"), None);
        assert_eq!(id("12 / part of key (K @5) -> value (V @7) pair in WeakMap (table @9) "), None);
        assert_eq!(id("x / part of key (K @5) -> value (V @7) pair in WeakMap (table @9)"), None);
    }

    #[test]
    fn numbers_are_read_from_the_front_of_names() {
        assert_eq!(
            [parse_int("12a"), parse_int(" -3"), parse_int("+7"), parse_int("a1"), parse_int("")],
            [Some(12), Some(-3), Some(7), None, None]
        );
    }

    #[test]
    fn a_small_heap_by_hand() {
        let mut graph = SnapshotBuilder::new();
        let a = graph.global("A", 10);
        let store = graph.node("array", "", 100);
        let b = graph.object(a, "b", "B", 20);
        let c = graph.object(b, "c", "C", 5);
        graph.edge(a, "internal", "elements", store).edge(a, "property", "c", c).edge(c, "weak", "w", 0);
        let oracle = Oracle::new(&graph);
        assert_eq!(oracle.self_sizes, [0, 110, 0, 20, 5]);
        assert_eq!(oracle.idom, [0, 0, 1, 1, 1]);
        assert_eq!(oracle.retained, [135, 135, 0, 20, 5]);
        assert_eq!(oracle.distances, [SYSTEM, 1, 2, 2, 2]);
        assert_eq!(
            oracle.aggregates[",A"],
            Aggregate { count: 1, self_size: 110, retained: 135, distance: 1 }
        );
    }
}
