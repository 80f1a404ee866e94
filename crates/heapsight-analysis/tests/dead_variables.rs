//! Dead variables of function contexts: the rules one by one, and random heaps against the rules said naively.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::{HashMap, HashSet};

use heapsight_analysis::{
    Heap, Silent,
    dead_variables::{DeadVariables, UnknownScript, dead_variables, function_name, kept_alone, script_name},
};
use heapsight_testkit::{
    builder::{Graph, Layout, NodeOrd, SnapshotBuilder, read},
    generate::Rng,
};

/// A page with one script.
struct Page {
    graph: SnapshotBuilder,
    global: NodeOrd,
    script: NodeOrd,
}

impl Page {
    fn new() -> Self {
        let mut graph = SnapshotBuilder::new();
        let global = graph.global("Window", 8);
        let script = graph.node("code", "system / Script / https://x.test/a.js", 8);
        graph.edge(global, "internal", "script", script);
        Self { graph, global, script }
    }

    /// A description of a scope.
    fn scope_info(&mut self, id: i64) -> NodeOrd {
        let info = self.graph.node("code", "system / ScopeInfo", 8);
        self.graph.int(info, "scope_id", id);
        info
    }

    /// A function of the script: its shared part, with a scope of its own or without.
    fn function(&mut self, name: &str, id: i64, scope_info: Option<NodeOrd>) -> NodeOrd {
        let shared = self.graph.node("code", &format!("system / SharedFunctionInfo / {name}"), 8);
        let script = self.script;
        self.graph.edge(self.global, "internal", name, shared).edge(shared, "internal", "script", script);
        self.graph.int(shared, "scope_id", id);
        if let Some(info) = scope_info {
            self.graph.edge(shared, "internal", "name_or_scope_info", info);
        }
        shared
    }

    /// A context with an object of 100 bytes for each variable.
    fn context(&mut self, info: NodeOrd, previous: Option<NodeOrd>, variables: &[&str]) -> NodeOrd {
        let context = self.graph.node("object", "system / Context / scope @1", 10);
        self.graph.edge(context, "internal", "scope_info", info);
        if let Some(previous) = previous {
            self.graph.edge(context, "internal", "previous", previous);
        }
        for variable in variables {
            let value = self.graph.node("object", "Value", 100);
            self.graph.edge(context, "context", *variable, value);
        }
        context
    }

    /// A closure that the program holds.
    fn closure(&mut self, shared: NodeOrd, context: NodeOrd) -> NodeOrd {
        let closure = self.graph.node("closure", "f", 16);
        let name = format!("closure {closure}");
        self.graph.edge(self.global, "property", name, closure);
        self.graph.edge(closure, "internal", "shared", shared).edge(closure, "internal", "context", context);
        closure
    }

    /// A generator object that the program holds.
    fn generator(&mut self, closure: NodeOrd, context: NodeOrd, continuation: i64) {
        let generator = self.graph.node("object", "Generator", 16);
        self.graph.edge(self.global, "property", "generator", generator);
        self.graph.edge(generator, "internal", "function", closure);
        self.graph.edge(generator, "internal", "context", context);
        self.graph.int(generator, "continuation", continuation);
    }

    fn heap(&self) -> Heap {
        Heap::build(self.graph.snapshot(), &Silent, &()).unwrap()
    }

    /// Context, name, and whether a suspended function can use it.
    fn dead(&self) -> Vec<(NodeOrd, String, bool)> {
        flat(&self.heap())
    }
}

fn flat(heap: &Heap) -> Vec<(NodeOrd, String, bool)> {
    let dead = dead_variables(heap).unwrap();
    let fields = |fields: std::ops::Range<usize>| dead.fields[fields].iter();
    dead.contexts
        .iter()
        .flat_map(|c| {
            fields(c.fields.clone())
                .map(|f| (c.context as usize, heap.snapshot.strings.get(f.name).into_owned(), f.resumable))
        })
        .collect()
}

/// `outer` with `a` and `b` in its context, of which its inner function uses `a`; scopes 10 and 20.
fn outer_and_inner(page: &mut Page) -> (NodeOrd, NodeOrd, NodeOrd) {
    let script = page.script;
    page.graph.scope(script, -2, 0, &[], &[]);
    page.graph.scope(script, 10, 1, &["a", "b"], &[]).scope(script, 20, 2, &[], &[(10, 0)]);
    let info = page.scope_info(10);
    let outer = page.function("outer", 10, Some(info));
    let inner = page.function("inner", 20, None);
    (info, outer, inner)
}

#[test]
fn what_no_closure_uses_is_dead() {
    let mut page = Page::new();
    let (info, outer, inner) = outer_and_inner(&mut page);
    let context = page.context(info, None, &["a", "b"]);
    page.closure(inner, context);
    assert_eq!(page.dead(), [(context, "b".to_owned(), false)]);
    let heap = page.heap();
    let dead = dead_variables(&heap).unwrap();
    let scope = &dead.scopes[0];
    assert_eq!((scope.scope_info as usize, scope.script as usize, scope.field_count), (info, page.script, 2));
    assert_eq!((scope.function, scope.closure, scope.name), (Some(outer as u32), None, None));
    assert_eq!(function_name(&heap, outer as u32), "outer");
    assert_eq!(script_name(&heap, page.script as u32), "https://x.test/a.js");
    assert_eq!((dead.contexts[0].dead_size, kept_alone(&heap, &dead)), (100, (1, 100)));
}

#[test]
fn a_closure_uses_only_the_contexts_of_its_chain() {
    let mut page = Page::new();
    let (info, _, inner) = outer_and_inner(&mut page);
    let used = page.context(info, None, &["a", "b"]);
    let other = page.context(info, None, &["a", "b"]);
    page.closure(inner, used);
    let keeper = page.function("keeper", 30, None);
    page.closure(keeper, other);
    assert_eq!(
        page.dead(),
        [(other, "a".to_owned(), false), (other, "b".to_owned(), false), (used, "b".to_owned(), false)]
    );
}

#[test]
fn a_closure_around_the_use_can_make_the_user() {
    let mut page = Page::new();
    let script = page.script;
    page.graph.scope(script, 10, 0, &["a"], &[]).scope(script, 20, 1, &["c"], &[]);
    page.graph.scope(script, 30, 2, &[], &[(10, 0)]).scope(script, 40, 1, &[], &[]);
    let info = page.scope_info(10);
    let inner_info = page.scope_info(20);
    page.function("outer", 10, Some(info));
    let middle = page.function("middle", 20, Some(inner_info));
    let sibling = page.function("sibling", 40, None);
    let outer_context = page.context(info, None, &["a"]);
    let context = page.context(inner_info, Some(outer_context), &["c"]);
    page.closure(sibling, outer_context);
    assert_eq!(page.dead(), [(outer_context, "a".to_owned(), false), (context, "c".to_owned(), false)]);
    page.closure(middle, context);
    assert_eq!(page.dead(), [(context, "c".to_owned(), false)], "the chain leads on to the outer context");
}

#[test]
fn a_suspended_function_can_go_on_and_a_finished_one_cannot() {
    for (continuation, resumable) in [(3, true), (-1, false)] {
        let mut page = Page::new();
        let (info, outer, _) = outer_and_inner(&mut page);
        page.graph.scopes.as_mut().unwrap()[1].uses = vec![(10, 1)];
        let context = page.context(info, None, &["a", "b"]);
        let closure = page.closure(outer, page.global);
        page.generator(closure, context, continuation);
        let expected = [(context, "a".to_owned(), resumable), (context, "b".to_owned(), resumable)];
        assert_eq!(page.dead(), expected, "the inner function could be made, the outer uses `b` itself");
        let heap = page.heap();
        let dead = dead_variables(&heap).unwrap();
        assert_eq!(kept_alone(&heap, &dead), if resumable { (0, 0) } else { (2, 200) });
    }
}

#[test]
fn the_variables_of_a_script_itself_are_left_out() {
    let mut page = Page::new();
    let script = page.script;
    page.graph.scope(script, -2, 0, &["a"], &[]);
    let info = page.scope_info(-2);
    page.function("", -2, Some(info));
    let context = page.context(info, None, &["a"]);
    page.graph.edge(page.global, "internal", "context", context);
    assert_eq!(page.dead(), []);
    // But a function that has them around it is used by whoever makes it: the script, while it runs.
    let mut page = Page::new();
    let (info, _, _) = outer_and_inner(&mut page);
    let top = page.function("", -2, None);
    let context = page.context(info, None, &["a"]);
    page.closure(top, context);
    assert_eq!(page.dead(), []);
}

#[test]
fn variables_that_the_table_does_not_know_are_left_out() {
    let mut page = Page::new();
    let (info, ..) = outer_and_inner(&mut page);
    let context = page.context(info, None, &["this", "b"]);
    page.graph.edge(page.global, "internal", "context", context);
    assert_eq!(page.dead(), [(context, "b".to_owned(), false)]);
}

#[test]
fn a_script_without_scopes_is_counted() {
    let mut page = Page::new();
    let other = page.graph.node("code", "system / Script", 8);
    page.graph.edge(page.global, "internal", "other", other).scope(other, 1, 0, &[], &[]);
    let comment = page.graph.node("string", "named.js", 8);
    page.graph.edge(other, "internal", "source_url", comment);
    let info = page.scope_info(10);
    page.function("outer", 10, Some(info));
    let around = page.scope_info(20);
    page.graph.edge(around, "internal", "outer_scope_info", info);
    for info in [info, around] {
        let context = page.context(info, None, &["a"]);
        page.graph.edge(page.global, "internal", format!("context {context}"), context);
    }
    let heap = page.heap();
    let unknown = vec![UnknownScript { script: page.script as u32, context_count: 2 }];
    assert_eq!(dead_variables(&heap), Some(DeadVariables { unknown, ..DeadVariables::default() }));
    assert_eq!(script_name(&heap, other as u32), "named.js");
}

#[test]
fn a_file_without_tables_says_nothing() {
    let page = Page::new();
    assert_eq!(dead_variables(&page.heap()), None);
}

#[test]
fn circles_and_long_chains_end() {
    let mut page = Page::new();
    let (info, _, inner) = outer_and_inner(&mut page);
    page.graph.edge(info, "internal", "outer_scope_info", info);
    let mut last = page.context(info, None, &["a", "b"]);
    let first = last;
    for _ in 0..100_000 {
        last = page.context(info, Some(last), &[]);
    }
    page.closure(inner, last);
    assert_eq!(page.dead(), [(first, "b".to_owned(), false)]);
    page.graph.edge(first, "internal", "previous", last);
    assert_eq!(page.dead(), [(first, "b".to_owned(), false)]);
}

// ---- random heaps against the rules said naively ---------------------------------------------------------------

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn random(rng: &mut Rng) -> Graph {
    let mut page = Page::new();
    let mut scripts = vec![page.script];
    if rng.chance(50) {
        scripts.push(page.graph.node("code", "system / Script / b.js", 8));
    }
    let ids = 1 + rng.below(6);
    for &script in &scripts {
        let mut depth = 0;
        for _ in 0..rng.below(8) {
            let variables: Vec<&str> = (0..rng.below(4)).map(|_| rng.pick(&NAMES)).collect();
            let uses: Vec<(i32, u32)> =
                (0..rng.below(4)).map(|_| (rng.below(ids) as i32, rng.below(4) as u32)).collect();
            page.graph.scope(script, rng.below(ids) as i32, depth, &variables, &uses);
            depth = rng.below(depth as usize + 2) as u32;
        }
    }
    page.graph.scopes.get_or_insert_default();
    let infos: Vec<NodeOrd> = (0..=rng.below(5)).map(|_| page.scope_info(rng.below(ids) as i64)).collect();
    for &info in &infos {
        if rng.chance(40) {
            page.graph.edge(info, "internal", "outer_scope_info", rng.pick(&infos));
        }
    }
    let mut functions = Vec::new();
    for _ in 0..=rng.below(5) {
        page.script = rng.pick(&scripts);
        let info = rng.chance(70).then(|| rng.pick(&infos));
        functions.push(page.function("f", rng.below(ids) as i64, info));
    }
    let mut contexts = Vec::new();
    for _ in 0..=rng.below(8) {
        let variables: Vec<&str> = NAMES.into_iter().filter(|_| rng.chance(50)).collect();
        contexts.push(page.context(rng.pick(&infos), None, &variables));
    }
    for &context in &contexts {
        if rng.chance(70) {
            page.graph.edge(context, "internal", "previous", rng.pick(&contexts));
        }
    }
    for _ in 0..rng.below(6) {
        let closure = page.closure(rng.pick(&functions), rng.pick(&contexts));
        if rng.chance(30) {
            page.generator(closure, rng.pick(&contexts), if rng.chance(30) { -1 } else { 1 });
        }
    }
    page.graph.into_graph()
}

fn naive(graph: &Graph) -> HashSet<(NodeOrd, String, bool)> {
    let edges = graph.edges_by_node();
    let internal = |from: NodeOrd, name: &str| {
        let mut list = edges[from].iter().map(|&e| &graph.edges[e]);
        list.find(|e| e.kind == "internal" && e.text() == name).map(|e| e.to)
    };
    let int = |from: NodeOrd, name: &str| {
        let text = internal(internal(from, name)?, "value")?;
        graph.nodes[text].name.parse::<i64>().ok()
    };
    let named = |prefix: &'static str| {
        (0..graph.nodes.len()).filter(move |&ord| graph.nodes[ord].name.starts_with(prefix))
    };
    let chain = |from: NodeOrd| {
        let mut chain = vec![];
        let mut at = Some(from);
        while let Some(context) = at.filter(|&c| graph.nodes[c].name.starts_with("system / Context"))
            && !chain.contains(&context)
        {
            chain.push(context);
            at = internal(context, "previous");
        }
        chain
    };
    // The last row of an id is its scope; its parent is the last row above it that is less deep.
    let rows = graph.scopes.as_ref().unwrap();
    let row_of =
        |script: NodeOrd, id: i64| rows.iter().rposition(|r| r.script == script && i64::from(r.id) == id);
    let around = |row: usize| {
        let mut list = vec![row];
        let mut at = row;
        while let Some(up) = (0..at).rev().find(|&up| rows[up].depth < rows[at].depth) {
            list.push(up);
            at = up;
        }
        list
    };
    // Who can run, in which contexts: script, scope id, chain.
    let part = |shared: NodeOrd, context: NodeOrd| {
        Some((internal(shared, "script")?, int(shared, "scope_id")?, chain(context)))
    };
    let of_kind =
        |kind: &'static str| (0..graph.nodes.len()).filter(move |&ord| graph.nodes[ord].kind == kind);
    let closures: Vec<_> =
        of_kind("closure").filter_map(|c| part(internal(c, "shared")?, internal(c, "context")?)).collect();
    let suspended: Vec<_> = of_kind("object")
        .filter(|&g| int(g, "continuation").is_some_and(|at| at != -1))
        .filter_map(|g| part(internal(internal(g, "function")?, "shared")?, internal(g, "context")?))
        .collect();
    let mut script_of = HashMap::new();
    for shared in named("system / SharedFunctionInfo") {
        if let Some(info) = internal(shared, "name_or_scope_info") {
            script_of.insert(info, internal(shared, "script").unwrap());
        }
    }
    let mut names: HashMap<NodeOrd, Vec<String>> = HashMap::new();
    let mut dead = HashSet::new();
    for context in named("system / Context") {
        let info = internal(context, "scope_info").unwrap();
        let mut seen = vec![];
        let mut at = Some(info);
        while let Some(i) = at.filter(|i| !script_of.contains_key(i) && !seen.contains(i)) {
            seen.push(i);
            at = internal(i, "outer_scope_info");
        }
        let Some(&script) = at.and_then(|i| script_of.get(&i)) else { continue };
        let Some(scope) = row_of(script, int(info, "scope_id").unwrap()) else { continue };
        let fields: Vec<_> =
            edges[context].iter().map(|&e| &graph.edges[e]).filter(|e| e.kind == "context").collect();
        let names = names.entry(info).or_insert_with(|| fields.iter().map(|e| e.text()).collect());
        for name in names.iter().take(fields.len()) {
            let Some(slot) = rows[scope].variables.iter().position(|v| v == name) else { continue };
            let can_use = |who: &[(NodeOrd, i64, Vec<NodeOrd>)]| {
                rows.iter().any(|user| {
                    user.script == script
                        && user
                            .uses
                            .iter()
                            .any(|&(id, at)| at as usize == slot && row_of(script, id.into()) == Some(scope))
                        && around(row_of(script, user.id.into()).unwrap()).iter().any(|&row| {
                            let id = i64::from(rows[row].id);
                            who.iter()
                                .any(|(s, i, chain)| *s == script && *i == id && chain.contains(&context))
                        })
                })
            };
            if !can_use(&closures) {
                dead.insert((context, name.clone(), can_use(&suspended)));
            }
        }
    }
    dead
}

#[test]
fn random_heaps_have_the_dead_variables_of_the_rules() {
    let mut total = 0;
    for seed in 0..1500 {
        let graph = random(&mut Rng::new(seed));
        let layout = if seed % 2 == 0 { Layout::default() } else { Layout::adverse(seed) };
        let heap = Heap::build(read(&graph.json(&layout)).unwrap(), &Silent, &()).unwrap();
        let found = flat(&heap);
        let expected = naive(&graph);
        assert_eq!(found.len(), expected.len(), "seed {seed}");
        assert_eq!(found.into_iter().collect::<HashSet<_>>(), expected, "seed {seed}");
        total += expected.len();
    }
    assert!(total > 1000, "{total}");
}
