//! Attribution and its sums on random graphs, against the most obvious computation; places of code without a side file.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use heapsight_analysis::{Heap, Silent};
use heapsight_query::{
    code::{Code, Script},
    packages::{self, NOBODY, attribution, shares},
};
use heapsight_snapshot::Snapshot;
use heapsight_testkit::{builder::SnapshotBuilder, generate};

const URLS: [&str; 4] = [
    "file:///srv/app.js",
    "file:///srv/node_modules/a/index.js",
    "file:///srv/node_modules/a/lib/more.js",
    "node:internal/timers",
];

fn heap_of(snapshot: Snapshot) -> Heap {
    Heap::build(snapshot, &Silent, &()).unwrap()
}

fn code() -> Code {
    let script =
        |(id, url): (usize, &&str)| Script { id: id as u64, url: (*url).to_owned(), source_map_url: None };
    Code::new(URLS.iter().enumerate().map(script).collect())
}

/// What an object dominates, itself among it, by climbing up from everybody.
fn dominated_by_any(heap: &Heap, of: &dyn Fn(u32) -> bool) -> u64 {
    let up = &heap.dominators.idom;
    let n = heap.snapshot.node_count() as u32;
    let is_below = |mut ord: u32| loop {
        if of(ord) {
            return true;
        }
        let next = up[ord as usize];
        if next == ord {
            return false;
        }
        ord = next;
    };
    (0..n).filter(|&ord| is_below(ord)).map(|ord| heap.snapshot.nodes.self_size.get(ord)).sum()
}

#[test]
fn the_sums_are_those_of_the_naive_computation() {
    let mut attributed = 0;
    for seed in 0..1500 {
        let mut graph = generate::graph(seed);
        let mut rng = generate::Rng::new(seed);
        graph.locations.clear();
        for node in 0..graph.nodes.len() {
            if rng.chance(30) {
                let script = rng.below(6) as u32;
                graph.locations.push(heapsight_testkit::builder::Place {
                    node,
                    script_id: script,
                    line: 0,
                    column: 0,
                });
            }
        }
        let heap = heap_of(graph.snapshot());
        let of = attribution(&heap, &code());
        let n = heap.snapshot.node_count() as u32;
        for ord in 0..n {
            let own = heap.snapshot.locations.of(ord).and_then(|l| URLS.get(l.script_id as usize));
            if let Some(url) = own {
                let file = &of.files[of.of[ord as usize] as usize];
                assert_eq!(file.url, url.trim_start_matches("file://"), "seed {seed}");
                attributed += 1;
            }
        }
        for by_file in [false, true] {
            let rows = shares(&heap, &of, by_file);
            let sum: u64 = rows.iter().map(|row| row.self_size).sum();
            let all: u64 = (0..n).map(|ord| heap.snapshot.nodes.self_size.get(ord)).sum();
            assert_eq!(sum, all + heap.snapshot.extra_native_bytes, "seed {seed}");
            for row in rows.iter().filter(|row| !row.nobody) {
                let belongs = |ord: u32| {
                    let file = of.of[ord as usize];
                    file != NOBODY && {
                        let file = &of.files[file as usize];
                        if by_file {
                            Some(&file.url) == row.file.as_ref()
                        } else {
                            file.package == row.package
                        }
                    }
                };
                let own: u64 =
                    (0..n).filter(|&o| belongs(o)).map(|o| heap.snapshot.nodes.self_size.get(o)).sum();
                assert_eq!(row.self_size, own, "seed {seed}: {row:?}");
                assert_eq!(row.retained_size, dominated_by_any(&heap, &belongs), "seed {seed}: {row:?}");
            }
        }
    }
    assert!(attributed > 1000, "the test is about something: {attributed}");
}

/// `global.make` is a closure of `/srv/app.js`; `global.box` an object of a class of package `a`.
fn program() -> SnapshotBuilder {
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let script = graph.node("code", "system / Script / file:///srv/app.js", 16);
    let source = graph.node("string", "function make() {}", 500);
    graph.edge(script, "internal", "source", source);
    let shared = graph.node("code", "(shared function info)", 32);
    graph.edge(shared, "internal", "script", script);
    let make = graph.node("closure", "make", 64);
    graph.edge(global, "property", "make", make).edge(make, "internal", "shared", shared);
    graph.location(make, 7, 2, 4);
    let context = graph.node("object", "system / Context", 40);
    graph.edge(make, "internal", "context", context);
    let kept = graph.node("string", "kept by a variable", 1000);
    graph.edge(context, "context", "text", kept);
    let class = graph.node("closure", "Box", 64);
    graph.edge(global, "property", "Box", class).location(class, 9, 0, 0);
    let prototype = graph.node("object", "Object", 24);
    graph.edge(prototype, "property", "constructor", class).edge(class, "property", "prototype", prototype);
    let item = graph.object(global, "box", "Box", 48);
    let map = graph.node("object shape", "system / Map", 80);
    graph.edge(item, "property", "__proto__", prototype).edge(item, "internal", "map", map);
    let inside = graph.node("array", "(object elements)", 2000);
    graph.edge(item, "internal", "elements", inside);
    graph
}

#[test]
fn the_snapshot_names_its_scripts_itself() {
    let heap = heap_of(program().snapshot());
    let node = |name: &str| {
        (0..heap.snapshot.node_count() as u32).find(|&ord| heap.names().node(ord) == name).unwrap()
    };
    let place = Code::none().place(&heap, node("make")).unwrap();
    assert_eq!((place.to_string().as_str(), place.package), ("/srv/app.js:3:5", None));
    assert_eq!(Code::none().place(&heap, node("Box")), None, "script 9 is not known");
    assert_eq!(Code::none().place(&heap, u32::MAX), None);
}

#[test]
fn an_object_stands_where_its_constructor_does() {
    let heap = heap_of(program().snapshot());
    let url = "file:///srv/node_modules/a/box.js".to_owned();
    let code = Code::new(vec![Script { id: 9, url, source_map_url: None }]);
    let item = (0..heap.snapshot.node_count() as u32)
        .find(|&o| heap.classes.class(o).name == "Box" && heap.snapshot.locations.of(o).is_none())
        .unwrap();
    assert_eq!(code.place(&heap, item).unwrap().short(), "box.js:1");
    let of = attribution(&heap, &code);
    let rows = shares(&heap, &of, false);
    let size = |package: Option<&str>| {
        rows.iter().find(|row| !row.nobody && row.package.as_deref() == package).unwrap().self_size
    };
    // The class and its prototype, the box and what is in it. Its map could be used by another, but nobody does.
    assert_eq!(size(Some("a")), 64 + 24 + 48 + 80 + 2000);
    // The function with its script and text, its context and what the variable holds.
    assert_eq!(size(None), 16 + 500 + 32 + 64 + 40 + 1000);
    assert_eq!(rows.iter().map(|row| row.self_size).sum::<u64>(), heap.total_size());
    assert!(packages::shares(&heap, &of, true).iter().any(|row| row.file.as_deref() == Some("/srv/app.js")));
}
