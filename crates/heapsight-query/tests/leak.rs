//! Verdicts on small series of snapshots with known leaks, and on random ones.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use heapsight_analysis::{Heap, Silent};
use heapsight_query::{
    code::{Code, Script},
    leak::{Kind, Round, Sampled, Stack, StackFrame, Verdict, leak, leak_sampled},
    suspects::{Pattern, suspects},
};
use heapsight_testkit::{
    builder::{NodeOrd, SnapshotBuilder, TraceTree},
    generate::Rng,
};

fn heap(graph: &SnapshotBuilder) -> Heap {
    Heap::build(graph.snapshot(), &Silent, &()).unwrap()
}

/// A graph whose nodes get ids of the caller's, so that several graphs can have the same objects.
struct Program {
    graph: SnapshotBuilder,
}

impl Program {
    fn new() -> Self {
        let mut graph = SnapshotBuilder::new();
        let root = graph.root();
        graph.id(root, 1);
        Self { graph }
    }

    fn object(&mut self, class: &str, id: u64, size: u64) -> NodeOrd {
        let node = self.graph.node("object", class, size);
        self.graph.id(node, id);
        node
    }

    fn global(&mut self, class: &str, id: u64) -> NodeOrd {
        let node = self.graph.global(class, 32);
        self.graph.id(node, id);
        node
    }
}

/// How a container changes from snapshot to snapshot: the ids of its members in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Leaks(u64),
    Fills,
    Replaces,
    Stays,
    Bounded,
    Queue,
}

impl Change {
    fn members(self, snapshot: u64) -> Vec<u64> {
        match self {
            Self::Leaks(each) => (0..each * (snapshot + 1)).collect(),
            Self::Fills => (0..[100, 160, 185, 190][snapshot as usize]).collect(),
            Self::Replaces => (snapshot * 100..snapshot * 100 + 100).collect(),
            Self::Stays => (0..100).collect(),
            // The newest 150 of what a leak would have.
            Self::Bounded => (snapshot * 100..snapshot * 100 + 150).collect(),
            // Longer than all rounds: something of every round is still there.
            Self::Queue => (snapshot * 100..snapshot * 100 + 350).collect(),
        }
    }
}

const SNAPSHOTS: u64 = 4;

/// A snapshot of a program with containers that change like this.
fn snapshot(changes: &[Change], at: u64) -> Heap {
    let mut program = Program::new();
    let global = program.global("Window", 3);
    for (container, change) in changes.iter().enumerate() {
        let base = 1_000_000 * (container as u64 + 1);
        let owner = program.object("Store", base + 1, 40);
        program.graph.edge(global, "property", format!("store{container}"), owner);
        let list = program.object("Array", base + 3, 16);
        program.graph.edge(owner, "property", "list", list);
        // The backing store is a new one each time.
        let elements = program.graph.node("array", "", 800);
        program.graph.id(elements, base + 900_001 + 2 * at);
        program.graph.edge(list, "internal", "elements", elements);
        for member in change.members(at) {
            let node = program.object("Item", base + 101 + 2 * member, 64);
            program.graph.edge(elements, "internal", member as u32, node);
            program.graph.edge(list, "element", member as u32, node);
        }
    }
    heap(&program.graph)
}

fn verdict(changes: &[Change], by_id: bool) -> Verdict {
    let heaps: Vec<Heap> = (0..SNAPSHOTS).map(|at| snapshot(changes, at)).collect();
    let rounds = vec![Round { requests: Some(100), seconds: None }; SNAPSHOTS as usize - 1];
    leak(&heaps, &rounds, &Code::none(), by_id)
}

#[test]
fn of_random_programs_exactly_the_leaks_are_named() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let all = [
            Change::Leaks(100),
            Change::Leaks(20),
            Change::Fills,
            Change::Replaces,
            Change::Stays,
            Change::Bounded,
            Change::Queue,
        ];
        let changes: Vec<Change> = (0..=rng.below(8)).map(|_| rng.pick(&all)).collect();
        for by_id in [true, false] {
            let verdict = verdict(&changes, by_id);
            let mut found: Vec<u32> = verdict.suspects.iter().map(|suspect| suspect.id).collect();
            found.sort_unstable();
            let leaks = |change: &Change| matches!(change, Change::Leaks(_));
            let planted = changes.iter().enumerate().filter(|(_, change)| leaks(change));
            let planted: Vec<u32> = planted.map(|(at, _)| 1_000_000 * (at as u32 + 1) + 3).collect();
            assert_eq!(found, planted, "seed {seed}, by id {by_id}: {changes:?}\n{verdict:#?}");
            for suspect in &verdict.suspects {
                let at = suspect.id as usize / 1_000_000 - 1;
                let Change::Leaks(each) = changes[at] else { unreachable!() };
                assert_eq!(suspect.counts, [each; 3], "seed {seed}");
                assert_eq!((suspect.kind, suspect.title.as_str()), (Kind::Array, "Store.list"));
            }
        }
    }
}

#[test]
fn what_is_set_aside_is_named_with_the_rule() {
    let verdict = verdict(&[Change::Fills, Change::Replaces], true);
    assert!(verdict.suspects.is_empty());
    let reasons: Vec<&str> = verdict.set_aside.iter().map(|aside| aside.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "nothing stayed of some round: replaced, or under way",
            "gains less in each round: a cache that fills, or something that warms up",
        ]
    );
}

#[test]
fn a_list_that_grows_at_its_end_belongs_to_whoever_holds_its_first_node() {
    let list = |length: u64| {
        let mut program = Program::new();
        let global = program.global("Window", 3);
        let queue = program.object("Queue", 5, 40);
        program.graph.edge(global, "property", "jobs", queue);
        let (mut before, mut name) = (queue, "head");
        for at in 0..length {
            let node = program.object("Job", 101 + 2 * at, 48);
            program.graph.edge(before, "property", name, node);
            (before, name) = (node, "next");
        }
        heap(&program.graph)
    };
    let heaps = [list(50), list(100), list(150), list(200)];
    for by_id in [true, false] {
        let verdict = leak(&heaps, &[Round::default(); 3], &Code::none(), by_id);
        let [suspect] = &verdict.suspects[..] else { panic!("{verdict:#?}") };
        assert_eq!(suspect.counts, [50, 50, 50], "by id {by_id}");
        assert_eq!(suspect.kind, if by_id { Kind::List } else { Kind::Object });
        if by_id {
            assert_eq!((suspect.title.as_str(), suspect.id), ("Queue.head", 5));
        }
    }
}

#[test]
fn a_text_that_is_replaced_by_a_longer_one_is_a_leak_of_its_variable() {
    let text = |at: u64| {
        let mut program = Program::new();
        let global = program.global("Window", 3);
        let handler = program.graph.node("closure", "handler", 64);
        program.graph.id(handler, 5).edge(global, "property", "onrequest", handler);
        let context = program.object("system / Context", 7, 40);
        program.graph.edge(handler, "internal", "context", context);
        let log = program.graph.node("string", "...", 20_000 * (at + 1));
        program.graph.id(log, 101 + 2 * at).edge(context, "context", "log", log);
        heap(&program.graph)
    };
    let heaps = [text(0), text(1), text(2), text(3)];
    let verdict = leak(&heaps, &[Round::default(); 3], &Code::none(), true);
    let [suspect] = &verdict.suspects[..] else { panic!("{verdict:#?}") };
    assert_eq!((suspect.title.as_str(), suspect.kind), ("log", Kind::Variable));
    assert_eq!((suspect.counts.len(), &suspect.sizes[..]), (0, &[20_000; 3][..]));
}

#[test]
fn one_snapshot_or_none_gives_no_suspects() {
    let none = leak(&[], &[], &Code::none(), true);
    assert!(none.suspects.is_empty() && none.set_aside.is_empty());
    let one = leak(&[snapshot(&[Change::Leaks(10)], 0)], &[], &Code::none(), true);
    assert!(one.suspects.is_empty());
}

#[test]
fn in_one_snapshot_memory_accumulates_where_the_retained_size_drops() {
    let mut program = Program::new();
    let global = program.global("Window", 3);
    let app = program.object("App", 5, 40);
    program.graph.edge(global, "property", "app", app);
    let cache = program.object("Cache", 7, 40);
    program.graph.edge(app, "property", "cache", cache);
    let map = program.object("Map", 9, 32);
    program.graph.edge(cache, "property", "entries", map);
    let table = program.graph.node("array", "", 4000);
    program.graph.id(table, 11).edge(map, "internal", "table", table);
    for at in 0..200u32 {
        let entry = program.object("Entry", 101 + 2 * u64::from(at), 500);
        program.graph.edge(table, "internal", 3 * at, entry);
    }
    let found = suspects(&heap(&program.graph), &Code::none(), 0.1);
    let [finding] = &found.findings[..] else { panic!("{found:#?}") };
    assert_eq!((finding.title.as_str(), finding.pattern), ("Cache.entries", Pattern::Accumulation));
    assert_eq!((finding.id, finding.count, finding.retained_size), (9, 200, 104_032));
    assert_eq!(finding.parts, [("Entry".to_owned(), 200, 100_000)]);
}

/// A store whose list gains sessions: `Session` stands at line 31 of store.js, its class's constructor at 3.
fn store_of_sessions(at: u64, traced: bool) -> Heap {
    let mut program = Program::new();
    let global = program.global("Window", 3);
    let store = program.object("Store", 5, 40);
    program.graph.edge(global, "property", "store", store);
    let list = program.object("Array", 7, 16);
    program.graph.edge(store, "property", "list", list);
    program.graph.location(store, 9, 30, 4);
    let script = program.graph.node("code", "/app/store.js", 100);
    let shared = program.graph.node("code", "Store", 50);
    let class = program.graph.node("closure", "Store", 64);
    program.graph.id(script, 11).id(shared, 13).id(class, 15).location(class, 9, 30, 4);
    program.graph.edge(global, "property", "Store", class).edge(class, "internal", "shared", shared);
    program.graph.edge(shared, "internal", "script", script);
    for member in 0..100 * (at + 1) {
        let node = program.object("Session", 101 + 2 * member, 100);
        program.graph.edge(list, "element", member as u32, node).location(node, 9, 2, 7);
        if traced {
            program.graph.trace_node(node, 3);
        }
    }
    if traced {
        let main = program.graph.function("main", "/app/main.js", 8, 7, 1);
        let add = program.graph.function("add", "/app/store.js", 9, 40, 2);
        let tree = TraceTree {
            function: main,
            count: 0,
            size: 0,
            id: 2,
            children: vec![TraceTree {
                function: add,
                count: 300,
                size: 30_000,
                id: 3,
                children: Vec::new(),
            }],
        };
        program.graph.traces(tree);
    }
    heap(&program.graph)
}

fn frame(name: &str, url: &str, line: u32, column: u32) -> StackFrame {
    StackFrame { name: name.to_owned(), url: url.to_owned(), line, column }
}

/// What is said of where the sessions were allocated, given these stacks.
fn allocated(stacks: Vec<Stack>) -> Option<(String, u64)> {
    let heaps: Vec<Heap> = (0..SNAPSHOTS).map(|at| store_of_sessions(at, false)).collect();
    let rounds = [Round { requests: Some(100), seconds: None }; 3];
    let sampled = Sampled::new(stacks, Vec::new());
    let verdict = leak_sampled(&heaps, &rounds, &Code::none(), true, &sampled);
    let [suspect] = &verdict.suspects[..] else { panic!("{verdict:#?}") };
    let allocated = suspect.allocated.as_ref()?;
    assert!(!allocated.exact);
    Some((allocated.frames[0].name.clone(), allocated.size))
}

#[test]
fn a_stack_that_runs_the_constructor_of_what_leaks_is_where_it_was_allocated() {
    let node = |name: &str| frame(name, "node:http", 10, 1);
    let handler = frame("handler", "file:///app/main.js", 5, 9);
    let stack = |frames: Vec<StackFrame>, size: u64, count: u64| Stack { frames, size, count };
    let session = frame("Session", "/app/store.js", 2, 7);
    let other = frame("render", "/app/views.js", 1, 1);
    let fits = stack(vec![node("emit"), session.clone(), handler.clone()], 8000, 8);
    let loud = stack(vec![other, handler.clone()], 40_000, 40);
    assert_eq!(allocated(vec![fits.clone(), loud.clone()]), Some(("Session".to_owned(), 8000)));
    // Of stacks that end in the same function all count.
    let again = stack(vec![session, frame("other", "/app/other.js", 1, 1)], 2000, 2);
    assert_eq!(allocated(vec![loud.clone(), fits, again]), Some(("Session".to_owned(), 10_000)));
    // Code of the file that has the holder.
    let near = stack(vec![frame("add", "/app/store.js", 40, 2), handler.clone()], 9000, 9);
    assert_eq!(allocated(vec![loud.clone(), near.clone()]), Some(("add".to_owned(), 9000)));
    // What is too little, too much, or one of two that fit alike, tells nothing.
    assert_eq!(allocated(vec![loud.clone()]), None);
    assert_eq!(allocated(vec![Stack { size: 400, count: 1, ..near }]), None);
    let alike = |name: &str| stack(vec![frame(name, "/app/views.js", 7, 7), handler.clone()], 9000, 9);
    assert_eq!(allocated(vec![alike("a")]), Some(("a".to_owned(), 9000)));
    let two = stack(vec![frame("b", "/app/lists.js", 7, 7)], 9000, 9);
    assert_eq!(allocated(vec![alike("a"), two]), None);
    assert_eq!(allocated(vec![stack(vec![node("emit")], 9000, 9)]), None, "the runtime alone");
    assert_eq!(allocated(Vec::new()), None);
}

#[test]
fn traces_say_exactly_where_it_was_allocated() {
    let heaps: Vec<Heap> = (0..SNAPSHOTS).map(|at| store_of_sessions(at, at == SNAPSHOTS - 1)).collect();
    let verdict = leak(&heaps, &[Round::default(); 3], &Code::none(), true);
    let [suspect] = &verdict.suspects[..] else { panic!("{verdict:#?}") };
    let allocated = suspect.allocated.as_ref().unwrap();
    assert_eq!((allocated.exact, allocated.count, allocated.size), (true, 400, 40_000));
    let names: Vec<String> =
        allocated.frames.iter().map(|frame| format!("{} {}", frame.name, frame.place.short())).collect();
    assert_eq!(names, ["add store.js:40", "main main.js:7"]);
}

/// Snapshots of a program whose script is this text: `cache`, an object of the class `Cache` at its first line, has a Map
/// in the field `map`, which gains 100 entries a round.
fn cache_of(script: &str) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.js");
    std::fs::write(&path, script).unwrap();
    let snapshot = |at: u64| {
        let mut program = Program::new();
        let global = program.global("Window", 3);
        let class = program.graph.node("closure", "Cache", 64);
        program.graph.id(class, 11).location(class, 9, 0, 0).edge(global, "property", "Cache", class);
        let cache = program.object("Cache", 5, 40);
        program.graph.location(cache, 9, 0, 0).edge(global, "property", "cache", cache);
        let map = program.object("Map", 7, 32);
        program.graph.edge(cache, "property", "map", map);
        let table = program.graph.node("array", "", 4000);
        program.graph.id(table, 900_001 + 2 * at).edge(map, "internal", "table", table);
        for member in 0..100 * (at + 1) {
            let (key, value) = (program.graph.node("string", "key", 24), program.object("Entry", 0, 64));
            program.graph.id(key, 100_001 + 4 * member).id(value, 100_003 + 4 * member);
            let position = 3 * member as u32;
            program.graph.edge(table, "internal", position, key).edge(table, "internal", position + 1, value);
        }
        heap(&program.graph)
    };
    let heaps: Vec<Heap> = (0..SNAPSHOTS).map(snapshot).collect();
    let url = path.display().to_string();
    let code = Code::new(vec![Script { id: 9, url, source_map_url: None }]);
    leak(&heaps, &[Round { requests: Some(100), seconds: None }; 3], &code, true)
}

#[test]
fn a_cache_that_declares_a_limit_is_no_leak_until_it_has_passed_it() {
    let class = "class Cache {\n  constructor(max) {\n    this.max = max;\n  }\n  set(k, v) {\n    \
                 if (this.map.size >= this.max) this.map.delete(first(this.map));\n    this.map.set(k, v);\n  }\n}\n";
    let roomy = cache_of(&format!("{class}const cache = new Cache(5000);\n"));
    assert!(roomy.suspects.is_empty(), "{roomy:#?}");
    let aside = roomy.set_aside.iter().find(|aside| aside.title == "Cache.map").unwrap();
    assert!(aside.reason.contains("400 entries and a limit (max 5000)"), "{aside:?}");
    assert_eq!(aside.counts, [100; 3]);

    let broken = cache_of(&format!("{class}const cache = new Cache(200);\n"));
    assert!(broken.suspects[0].why.contains("its limit (max 200) does not hold"), "{broken:#?}");
    // A limit of something else, or one that nothing enforces, says nothing.
    let idle = cache_of("class Cache {\n  constructor(max) {}\n}\nconst cache = new Cache(5000);\n");
    assert_eq!((idle.suspects.len(), idle.suspects[0].title.as_str()), (1, "Cache.map"));
    let compared = "class Cache {\n  set(k) { if (this.map.size > 1000) this.map.delete(k); }\n}\n";
    assert!(cache_of(compared).suspects.is_empty());
}

#[test]
fn what_a_weak_map_holds_is_called_by_the_weak_map() {
    let snapshot = |at: u64| {
        let mut program = Program::new();
        let global = program.global("Window", 3);
        let tenant = program.object("Tenant", 5, 40);
        program.graph.edge(global, "property", "tenant", tenant);
        let map = program.object("WeakMap", 7, 32);
        program.graph.edge(global, "property", "trails", map);
        let table = program.graph.node("array", "", 64);
        program.graph.id(table, 9).edge(map, "internal", "table", table);
        let list = program.object("Array", 11, 16);
        program.graph.weak_map_entry(1, table, tenant, list);
        for member in 0..100 * (at + 1) {
            let entry = program.object("Entry", 101 + 2 * member, 64);
            program.graph.edge(list, "element", member as u32, entry);
        }
        heap(&program.graph)
    };
    let heaps: Vec<Heap> = (0..SNAPSHOTS).map(snapshot).collect();
    let verdict = leak(&heaps, &[Round::default(); 3], &Code::none(), true);
    let [suspect] = &verdict.suspects[..] else { panic!("{verdict:#?}") };
    assert_eq!(suspect.title, "Window.trails[…]");
    assert_eq!(suspect.way.last().unwrap().edge, "Window.trails");
}

#[test]
fn containers_that_are_held_alike_count_their_entries_together() {
    let snapshot = |at: u64| {
        let mut program = Program::new();
        let global = program.global("Window", 3);
        let rooms = program.object("Array", 5, 40);
        program.graph.edge(global, "property", "rooms", rooms);
        for room in 0..3u64 {
            let map = program.object("Map", 11 + 2 * room, 32);
            let table = program.graph.node("array", "", 64);
            program.graph.id(table, 31 + 2 * room).edge(map, "internal", "table", table);
            program.graph.edge(rooms, "element", room as u32, map);
            for member in 0..50 * (at + 1) {
                let base = 1001 + 100_000 * room + 4 * member;
                let (key, value) =
                    (program.graph.node("string", "key", 24), program.object("Person", base + 2, 64));
                program.graph.id(key, base);
                let position = 3 * member as u32;
                program.graph.edge(table, "internal", position, key).edge(
                    table,
                    "internal",
                    position + 1,
                    value,
                );
            }
        }
        heap(&program.graph)
    };
    let heaps: Vec<Heap> = (0..SNAPSHOTS).map(snapshot).collect();
    let verdict = leak(&heaps, &[Round::default(); 3], &Code::none(), true);
    let [suspect] = &verdict.suspects[..] else { panic!("{verdict:#?}") };
    assert_eq!((suspect.holders, &suspect.counts[..]), (3, &[150; 3][..]));
}
