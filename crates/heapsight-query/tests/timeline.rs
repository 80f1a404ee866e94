//! Timelines against the results of DevTools' engine: intervals, and who allocated what is alive.

use std::collections::BTreeMap;

use heapsight_query::timeline::{alive, recording};
use heapsight_query::{OpenOptions, Source, open};
use heapsight_testkit::fixtures;
use serde_json::Value;

#[test]
fn what_is_alive_of_each_interval_is_what_devtools_says() {
    let mut seen = 0;
    for name in [
        "chromium-156.0.8078.79",
        "deno-2.9.6",
        "node-14.21.3",
        "node-18.20.8",
        "node-22.23.3",
        "node-24.21.0",
        "node-26.10.0",
    ] {
        let name = format!("{name}.heaptimeline");
        let golden = fixtures::dir().join(format!("golden/{name}.summary.json"));
        let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
        let path = fixtures::dir().join(format!("{name}.zst"));
        let heap = open(&Source::Path(path), OpenOptions::default()).unwrap();
        let recording = recording(&heap).unwrap();
        let numbers = |key: &str| -> Vec<u64> {
            golden["samples"][key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
        };
        let (sizes, ids) = (numbers("sizes"), numbers("lastAssignedIds"));
        assert_eq!(recording.older_size, sizes[0], "{name}");
        assert_eq!(recording.intervals.len() + 1, sizes.len());
        for (interval, (size, id)) in recording.intervals.iter().zip(sizes.iter().zip(&ids).skip(1)) {
            assert_eq!((interval.live_size, interval.last_id), (*size, *id), "{name}");
            let part = alive(&heap, interval.first_id, interval.last_id, 5);
            assert_eq!((part.size, part.count), (*size, interval.live_count), "{name}");
            assert_eq!(part.classes.iter().map(|row| row.self_size).sum::<u64>(), *size, "{name}");
            seen += part.count;
        }
        // All stacks together are the functions of DevTools' allocation view.
        let whole = alive(&heap, 0, u64::MAX, usize::MAX);
        let functions = &heap.snapshot.traces.as_ref().unwrap().functions;
        let mut by_name: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for stack in &whole.stacks {
            let function = &functions[stack.functions[0] as usize];
            let sums = by_name.entry(heap.snapshot.strings.get(function.name).into_owned()).or_default();
            *sums = (sums.0 + stack.count, sums.1 + stack.size);
        }
        let mut wanted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for top in golden["allocation_tops"].as_array().unwrap() {
            let live = (top["liveCount"].as_u64().unwrap(), top["liveSize"].as_u64().unwrap());
            if live.0 > 0 {
                let sums = wanted.entry(top["name"].as_str().unwrap().to_owned()).or_default();
                *sums = (sums.0 + live.0, sums.1 + live.1);
            }
        }
        assert_eq!(by_name, wanted, "{name}");
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn a_selection_takes_the_intervals_that_end_in_it() {
    let path = fixtures::dir().join("node-26.10.0.heaptimeline.zst");
    let heap = open(&Source::Path(path), OpenOptions::default()).unwrap();
    let recording = recording(&heap).unwrap();
    assert_eq!(recording.within(0, u64::MAX).len(), 30);
    let ends: Vec<u64> = recording.within(52_968, 152_090).iter().map(|i| i.to_us).collect();
    assert_eq!(ends, [52_968, 101_196, 152_090]);
    assert!(recording.within(152_091, 152_092).is_empty());
    assert!(recording.within(2, 1).is_empty());
}
