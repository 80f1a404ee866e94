//! Verdicts on small series of snapshots with known leaks, and on random ones.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use heapsight_analysis::{Heap, Silent};
use heapsight_query::{
    code::Code,
    leak::{Kind, Round, Verdict, leak},
    suspects::{Pattern, suspects},
};
use heapsight_testkit::{
    builder::{NodeOrd, SnapshotBuilder},
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
    let reasons: Vec<&str> = verdict.set_aside.iter().map(|aside| aside.reason).collect();
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
