//! Verdicts against limits, and what a report shows of random heaps.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::Path;

use heapsight_analysis::{Heap, Silent};
use heapsight_query::{
    check::{Check, ClassLimit, GrowthLimit, Known, Limits, Per, State, check},
    code::Code,
    leak::{Round, Verdict, leak},
    portrait::portrait,
    tree::Branch,
};
use heapsight_testkit::{builder::SnapshotBuilder, generate};

const ROUNDS: u32 = 3;

/// Snapshots of a program with a list for each of these numbers: it gains so many items in each round.
fn series(lists: &[u32]) -> Vec<Heap> {
    let heap = |round: u32| {
        let mut graph = SnapshotBuilder::new();
        let global = graph.global("Window", 32);
        graph.id(global, 3);
        for (number, &each) in lists.iter().enumerate() {
            let base = 1_000_000 * (number as u64 + 1);
            let list = graph.object(global, &format!("list{number}"), "Array", 16);
            graph.id(list, base + 1);
            let elements = graph.node("array", "", 8);
            graph.id(elements, base + 3);
            graph.edge(list, "internal", "elements", elements);
            for at in 0..each * (round + 1) {
                let item = graph.node("object", &format!("Item{number}"), 100);
                graph.id(item, base + 101 + 2 * u64::from(at));
                graph.edge(elements, "internal", at, item);
                graph.edge(list, "element", at, item);
            }
        }
        Heap::build(graph.snapshot(), &Silent, &()).unwrap()
    };
    (0..=ROUNDS).map(heap).collect()
}

fn verdict(heaps: &[Heap], requests: Option<u64>) -> Verdict {
    let rounds = vec![Round { requests, seconds: None }; ROUNDS as usize];
    leak(heaps, &rounds, &Code::none(), true)
}

fn limits(bytes: u64, per: Per, classes: &[&str]) -> Limits {
    let classes = classes.iter().map(|text| ClassLimit::parse(text).unwrap()).collect();
    Limits { growth: GrowthLimit { bytes, per }, classes, tolerance: 25.0 }
}

fn judged(heaps: &[Heap], limits: &Limits, known: &[Known]) -> (Verdict, Check) {
    let verdict = verdict(heaps, Some(100));
    let check = check(&verdict, heaps, &Code::none(), limits, known, Path::new("/")).unwrap();
    (verdict, check)
}

fn states(check: &Check) -> Vec<State> {
    check.leaks.iter().map(|leak| leak.state).collect()
}

#[test]
fn a_leak_fails_above_the_limit() {
    // 10,000 and 5,000 bytes a round, of items alone.
    let heaps = series(&[100, 50]);
    for (bytes, per, wanted) in [
        (0, Per::Round, [State::New, State::New]),
        (5_000, Per::Round, [State::New, State::Within]),
        (10_000, Per::Round, [State::Within, State::Within]),
        (9_999, Per::Round, [State::New, State::Within]),
        (50, Per::Request, [State::New, State::Within]),
        (100, Per::Request, [State::Within, State::Within]),
    ] {
        let (_, check) = judged(&heaps, &limits(bytes, per, &[]), &[]);
        assert_eq!(states(&check), wanted, "{bytes} a {}", per.name());
        let failures = wanted.iter().filter(|state| state.fails()).count();
        assert_eq!(check.failures(), failures);
    }
    let uncounted = verdict(&heaps, None);
    let per_request = limits(0, Per::Request, &[]);
    assert!(check(&uncounted, &heaps, &Code::none(), &per_request, &[], Path::new("/")).is_none());
}

#[test]
fn what_is_recorded_is_known_until_it_is_worse() {
    let strict = limits(0, Per::Round, &[]);
    let (verdict, first) = judged(&series(&[100, 50]), &strict, &[]);
    let known = first.baseline(&verdict);
    assert_eq!(known.len(), 2);
    assert_ne!(known[0].fingerprint, known[1].fingerprint);
    assert_eq!((known[0].per_round, known[0].per_request), (10_000.0, Some(100.0)));

    let again = |lists: &[u32]| judged(&series(lists), &strict, &known).1;
    assert_eq!(states(&again(&[100, 50])), [State::Known, State::Known]);
    // A quarter more passes, a third more does not.
    assert_eq!(states(&again(&[125, 50])), [State::Known, State::Known]);
    assert_eq!(states(&again(&[133, 50])), [State::Worse, State::Known]);
    // One that is repaired is told of, one that is new fails.
    let repaired = again(&[100]);
    assert_eq!((repaired.failures(), repaired.gone.len()), (0, 1));
    assert_eq!(repaired.gone[0], known[1]);
    let third = again(&[100, 50, 70]);
    assert_eq!(third.failures(), 1);
    assert_eq!(states(&third), [State::Known, State::New, State::Known]);
}

#[test]
fn objects_of_a_class_are_counted_whatever_holds_them() {
    let heaps = series(&[100, 50]);
    let wanted = [
        ("Item0<=100", false, 100.0),
        ("Item0<=99", true, 100.0),
        ("Item0<100", true, 100.0),
        ("/^Item/<=150", false, 150.0),
        ("/^Item/<=149", true, 150.0),
        ("Item1=50", false, 50.0),
        ("Item=0", false, 0.0),
        ("Array<=0", false, 0.0),
    ];
    let names: Vec<&str> = wanted.iter().map(|row| row.0).collect();
    let (_, check) = judged(&heaps, &limits(u64::MAX, Per::Round, &names), &[]);
    for (class, (name, failed, growth)) in check.classes.iter().zip(wanted) {
        assert_eq!((class.failed, class.growth), (failed, growth), "{name}");
        assert_eq!(class.is_found(), name != "Item=0", "{name}");
    }
    assert_eq!(check.classes[0].counts, [100, 200, 300, 400]);
}

/// Each branch is made of itself, of its children, and of what is not shown.
fn adds_up(tree: &Branch) -> usize {
    let mut open = vec![tree];
    let mut count = 0;
    while let Some(branch) = open.pop() {
        count += 1;
        let below: u64 = branch.children.iter().map(|child| child.retained_size).sum();
        assert_eq!(branch.retained_size, branch.self_size + below + branch.more.1, "{branch:?}");
        open.extend(&branch.children);
    }
    count
}

#[test]
fn the_tree_of_a_report_adds_up_and_is_bounded() {
    for seed in 0..40 {
        let heap = Heap::build(generate::graph(seed).snapshot(), &Silent, &()).unwrap();
        let portrait = portrait(&[heap], &Code::none()).unwrap().unwrap();
        adds_up(&portrait.tree);
        assert!(portrait.growth.is_empty() && portrait.sittings.len() == 1);
    }
    // Many classes of objects of one size on two levels: none may stay, because all would be too many.
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("Window", 32);
    for at in 0..3000 {
        graph.object(global, &format!("p{at}"), &format!("Class{at}"), 100);
    }
    let large = graph.object(global, "large", "Large", 40_000);
    graph.object(large, "inner", "Inner", 30_000);
    let heap = Heap::build(graph.snapshot(), &Silent, &()).unwrap();
    let portrait = portrait(&[heap], &Code::none()).unwrap().unwrap();
    assert!((3..=2000).contains(&adds_up(&portrait.tree)));
    assert!(portrait.classes.len() <= 500 && portrait.class_count >= 3000);
}
