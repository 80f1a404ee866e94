//! Reading, questions and formats, against naive oracles and the files' own sums.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod formats;

use std::{collections::BTreeMap, fs, path::PathBuf};

use heapsight_profile::{
    Builder, Counts, Frame, Groups, Problem, Profile, ReadError, callers, compare, differences, filter, fold,
    heaviest, merge, read, series, top,
};
use serde_json::Value;

/// Pseudo-random numbers (xorshift), the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn frame(n: u64) -> Frame<'static> {
    const NAMES: [&str; 6] = ["a", "b", "", "d;e", "\"f\"\n", "日本"];
    const URLS: [&str; 4] = ["", "node:fs", "/srv/app/x.js", "/srv/node_modules/p/i.js"];
    let (name, url) = (NAMES[(n % 6) as usize], URLS[(n / 6 % 4) as usize]);
    Frame { name, url, line: (n % 3) as i32 - 1, column: (n % 2) as i32 }
}

/// A tree with recursion, in an order in which parents do not always stand beside their children.
fn random(seed: u64) -> Profile {
    let mut dice = Dice(seed * 7919 + 1);
    let mut builder = Builder::new();
    let mut nodes = vec![Builder::ROOT];
    for _ in 0..dice.roll(200) {
        let parent = nodes[dice.roll(nodes.len() as u64) as usize];
        let function = builder.function(frame(dice.roll(24)));
        let node = builder.child(parent, function);
        builder.add(node, dice.roll(5) * 100, dice.roll(3));
        nodes.push(node);
    }
    let (mut profile, _) = builder.finish();
    profile.counts = Counts::Objects;
    profile
}

/// Every stack with what it allocated, outermost first.
fn stacks(profile: &Profile) -> BTreeMap<Vec<Frame<'_>>, (u64, u64)> {
    let mut out = BTreeMap::new();
    for node in 0..profile.nodes.len() {
        let mut stack: Vec<_> = profile.stack(node as u32).collect();
        stack.reverse();
        let sums: &mut (u64, u64) = out.entry(stack).or_default();
        sums.0 += profile.nodes.self_size[node];
        sums.1 += profile.nodes.self_count[node];
    }
    out.retain(|_, sums| *sums != (0, 0));
    out
}

fn fixtures() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "heapprofile"))
        .collect();
    files.sort();
    assert!(files.len() >= 9);
    files
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    out
}

#[test]
fn totals_are_those_of_the_json() {
    for path in fixtures() {
        let bytes = fs::read(&path).unwrap();
        let profile = read(&bytes[..]).unwrap();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        let (mut size, mut count, mut open) = (0, 0usize, vec![&json["head"]]);
        while let Some(node) = open.pop() {
            size += node["selfSize"].as_u64().unwrap();
            count += 1;
            open.extend(node["children"].as_array().unwrap());
        }
        let samples = json["samples"].as_array().map_or(0, Vec::len);
        assert_eq!((profile.total_size(), profile.nodes.len()), (size, count), "{}", path.display());
        assert_eq!(profile.total_count() + profile.stray_samples, samples as u64);
        let again = written(|out| heapsight_profile::inspector(&profile, out));
        assert_eq!(stacks(&read(&again[..]).unwrap()), stacks(&profile));
    }
}

#[test]
fn tops_agree_with_a_walk_over_every_stack() {
    for seed in 0..200 {
        let profile = random(seed);
        let groups = [Groups::functions(&profile), Groups::files(&profile)];
        for (by_file, groups) in groups.iter().enumerate() {
            let key = |f: &Frame<'_>| if by_file == 1 { format!("{:?}", f.url) } else { format!("{f:?}") };
            let mut naive: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            for (stack, (size, _)) in stacks(&profile) {
                let Some(inner) = stack.last() else { continue };
                naive.entry(key(inner)).or_default().0 += size;
                let mut keys: Vec<_> = stack.iter().map(key).collect();
                keys.sort();
                keys.dedup();
                for key in keys {
                    naive.entry(key).or_default().1 += size;
                }
            }
            for row in top(&profile, groups) {
                let frame = profile.frame(row.function);
                // The root belongs to no file, as some of the functions do.
                if by_file == 1 && frame.url.is_empty() {
                    naive.remove(&key(&frame));
                    continue;
                }
                if frame.name == "(root)" {
                    continue;
                }
                let found = naive.remove(&key(&frame)).unwrap_or_default();
                assert_eq!((row.self_size, row.total_size), found, "{seed} {frame:?}");
            }
            assert!(naive.values().all(|sums| *sums == (0, 0)));
        }
    }
}

#[test]
fn callers_share_out_what_the_function_allocated() {
    for seed in 0..100 {
        let profile = random(seed);
        let rows = top(&profile, &Groups::functions(&profile));
        for row in
            rows.iter().filter(|row| profile.frame(row.function).name != "(root)" && row.total_size > 0)
        {
            let tree = callers(&profile, |function| function == row.function, 64);
            assert_eq!((tree[0].self_size, tree[0].total_size), (row.self_size, row.total_size));
            let mut below = vec![0u64; tree.len()];
            for caller in tree.iter().filter(|c| c.parent != u32::MAX) {
                below[caller.parent as usize] += caller.self_size;
            }
            assert!(tree.iter().zip(below).all(|(caller, below)| below <= caller.self_size));
        }
    }
}

#[test]
fn merging_folding_and_filtering_keep_the_sums() {
    for seed in 0..100 {
        let (one, other) = (random(seed), random(seed + 1000));
        let both = merge([&one, &other]);
        let mut naive = stacks(&one);
        for (stack, (size, count)) in stacks(&other) {
            let sums = naive.entry(stack).or_default();
            *sums = (sums.0 + size, sums.1 + count);
        }
        assert_eq!(stacks(&both), naive);

        let is_internal = |function| both.frame(function).url.starts_with("node:");
        let folded = fold(&both, is_internal);
        assert_eq!(folded.total_size(), both.total_size());
        assert!(folded.nodes.function.iter().all(|&f| !folded.frame(f).url.starts_with("node:")));
        let (with, without) = (filter(&both, is_internal, false), filter(&both, is_internal, true));
        assert_eq!(with.total_size() + without.total_size(), both.total_size());
        assert!(stacks(&with).keys().all(|stack| stack.iter().any(|f| f.url == "node:fs")));
        assert_eq!(stacks(&merge([&with, &without])), stacks(&both));
    }
}

#[test]
fn differences_and_comparisons_add_up() {
    for seed in 0..100 {
        let (before, after) = (random(seed), random(seed + 500));
        let rows = differences(&before, &after, |frame| format!("{frame:?}"));
        let sum: i64 = rows.iter().map(heapsight_profile::Change::self_delta).sum();
        assert_eq!(sum, after.total_size() as i64 - before.total_size() as i64);
        let both = compare(&before, &after);
        assert_eq!(both.before.iter().sum::<u64>(), before.total_size());
        assert_eq!(stacks(&both.tree), stacks(&after));
    }
}

#[test]
fn a_series_has_the_slope_of_a_straight_line() {
    let profiles: Vec<Profile> = (0..6)
        .map(|hour| {
            let mut builder = Builder::new();
            for (name, size) in
                [("leak", 1000 + 300 * hour), ("steady", 500), ("noise", [9, 1, 8, 2, 9, 3][hour as usize])]
            {
                let function = builder.function(Frame { name, url: "", line: 0, column: 0 });
                let node = builder.child(Builder::ROOT, function);
                builder.add(node, size, 1);
            }
            builder.finish().0
        })
        .collect();
    let rows = series(&profiles, |frame| frame.name.to_owned());
    assert_eq!((rows[0].key.as_str(), rows[0].slope), ("leak", 300.0));
    assert!(rows[0].grows_steadily() && rows[1..].iter().all(|row| !row.grows_steadily()));
}

#[test]
fn all_layouts_read_back_the_same() {
    for seed in 0..60 {
        let profile = random(seed);
        let samples = |profile: &Profile| (profile.counts, profile.samples.len());
        assert_eq!(samples(&merge([&profile])), samples(&profile));
        let sizes = |profile: &Profile| {
            let list = stacks(profile).into_iter().filter(|(_, sums)| sums.0 > 0);
            list.map(|(stack, sums)| (format!("{stack:?}"), sums.0)).collect::<Vec<_>>()
        };
        let inspector = written(|out| heapsight_profile::inspector(&profile, out));
        let flat = written(|out| heapsight_profile::flat(&profile, out));
        let pprof = written(|out| heapsight_profile::pprof(&profile, out));
        let mut zst = zstd::encode_all(&inspector[..], 1).unwrap();
        for bytes in [&inspector, &flat, &pprof, &zst] {
            assert_eq!(sizes(&read(&bytes[..]).unwrap()), sizes(&profile), "{seed}");
        }
        assert_eq!(stacks(&read(&pprof[..]).unwrap()), stacks(&profile));
        zst.truncate(zst.len() / 2);
        assert!(matches!(read(&zst[..]), Err(ReadError { .. })));
        let _: Value =
            serde_json::from_slice(&written(|out| heapsight_profile::speedscope(&profile, "x", out)))
                .unwrap();
    }
}

#[test]
fn speedscope_events_nest_and_add_up() {
    let profile = random(5);
    let json: Value =
        serde_json::from_slice(&written(|out| heapsight_profile::speedscope(&profile, "x", out))).unwrap();
    let (mut open, mut at) = (Vec::new(), 0);
    for event in json["profiles"][0]["events"].as_array().unwrap() {
        assert!(event["at"].as_u64().unwrap() >= at);
        at = event["at"].as_u64().unwrap();
        if event["type"] == "O" {
            open.push(event["frame"].clone());
        } else {
            assert_eq!(open.pop().as_ref(), Some(&event["frame"]));
        }
    }
    assert!(open.is_empty());
    assert_eq!(json["profiles"][0]["endValue"], profile.total_size());
}

#[test]
fn a_hundred_thousand_frames_overflow_nothing() {
    let mut text =
        String::from("{\"head\":{\"callFrame\":{\"functionName\":\"(root)\"},\"selfSize\":0,\"children\":[");
    for n in 0..100_000 {
        text += &format!(
            "{{\"callFrame\":{{\"functionName\":\"f{}\",\"url\":\"x.js\"}},\"selfSize\":1,\"children\":[",
            n % 7
        );
    }
    text += &"]}".repeat(100_001);
    text.push('}');
    let profile = read(text.as_bytes()).unwrap();
    assert_eq!(profile.total_size(), 100_000);
    let rows = top(&profile, &Groups::functions(&profile));
    assert_eq!(rows.iter().map(|row| row.total_size).max(), Some(100_000));
    assert!(callers(&profile, |_| true, 10).len() < 1000);
    assert_eq!(merge([&profile, &profile]).total_size(), 200_000);
    assert_eq!(fold(&profile, |function| function % 2 == 1).total_size(), 100_000);
    assert_eq!(compare(&profile, &profile).tree.nodes.len(), 100_001);
    assert_eq!(heaviest(&profile, |frame| frame.name == "f3", 5, 8).len(), 5);
    let totals = profile.nodes.totals(&profile.nodes.self_size);
    assert_eq!(heapsight_profile::branches(&profile, &totals, u32::MAX, 8, 1).len(), 100_000);
    let bounds = heapsight_profile::Bounds { share: 0.0005, levels: 500, frames: 20_000 };
    assert_eq!(heapsight_profile::flame(&profile, bounds).frames.len(), 501);
    for write in [heapsight_profile::inspector::<Vec<u8>>, heapsight_profile::flat::<Vec<u8>>] {
        let again = written(|out| write(&profile, out));
        assert_eq!(read(&again[..]).unwrap().nodes.len(), 100_001);
    }
    written(|out| heapsight_profile::speedscope(&profile, "deep", out));
    // One line a stack would be five billion frames.
    assert!(heapsight_profile::collapsed(&profile, &mut Vec::new()).is_err());
    assert!(heapsight_profile::pprof(&profile, &mut Vec::new()).is_err());
}

#[test]
fn wherever_a_file_is_cut_off_the_error_says_so() {
    let bytes = fs::read(&fixtures()[2]).unwrap();
    for end in 0..bytes.len() - 1 {
        let error = read(&bytes[..end]).unwrap_err();
        let fits = match error.problem {
            Problem::Truncated(_) => error.offset as usize == end,
            Problem::Empty => end == 0,
            _ => false,
        };
        assert!(fits, "{end}: {error}");
    }
}

#[test]
fn any_byte_may_be_wrong() {
    let json = fs::read(&fixtures()[2]).unwrap();
    let mut pprof = Vec::new();
    let packed = written(|out| heapsight_profile::pprof(&random(3), out));
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut pprof).unwrap();
    let mut dice = Dice(42);
    for bytes in [json, pprof] {
        for _ in 0..4000 {
            let mut bad = bytes.clone();
            let at = dice.roll(bad.len() as u64) as usize;
            bad[at] = dice.roll(256) as u8;
            if let Ok(profile) = read(&bad[..]) {
                // Whatever was read holds together.
                top(&profile, &Groups::functions(&profile));
            }
        }
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    let cases: [(&str, &str); 9] = [
        (
            "{\"snapshot\":{}}",
            "this is a heap snapshot or an allocation timeline, not a sampling heap profile (at byte 1)",
        ),
        ("{\"nodes\":[],\"startTime\":1}", "this is a CPU profile, not a sampling heap profile (at byte 12)"),
        ("{}", "this is JSON without a `head`, not a sampling heap profile (at byte 0)"),
        ("[1]", "this is a JSON list, not a sampling heap profile (at byte 0)"),
        ("", "the file is empty (at byte 0)"),
        (
            "hello",
            "this is neither JSON, pprof nor collapsed stacks, not a sampling heap profile (at byte 0)",
        ),
        (
            "P 1\nHi",
            "line 2 is no stack: it does not end with a blank and a whole number of bytes (at byte 4)",
        ),
        ("{\"$schema\":\"x\"}", "this is JSON without a `head`, not a sampling heap profile (at byte 0)"),
        ("{\"head\":{\"selfSize\":-4}}", "-4 is no size, count or id (at byte 20)"),
    ];
    for (text, message) in cases {
        assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), message);
    }
}

#[test]
fn the_flat_layout_counts_lines_from_one() {
    let text = r#"{"head":{"functionName":"(root)","scriptId":0,"lineNumber":0,"columnNumber":0,"url":"","selfSize":0,"children":[
        {"functionName":"grow","scriptId":7,"lineNumber":12,"columnNumber":3,"url":"/srv/a.js","selfSize":64,"children":[]}]}}"#;
    let profile = read(text.as_bytes()).unwrap();
    let rows = top(&profile, &Groups::functions(&profile));
    let grow = rows.iter().find(|row| row.self_size > 0).unwrap();
    assert_eq!(profile.frame(grow.function).position(), (Some(12), Some(3)));
    assert_eq!((profile.counts, profile.total_size()), (Counts::Nothing, 64));
}

#[test]
fn the_heaviest_stacks_are_those_of_the_code_that_is_wanted() {
    let mut builder = Builder::new();
    let mut at = Builder::ROOT;
    for (name, url, size) in [
        ("main", "/srv/app.js", 10),
        ("insert", "/srv/node_modules/store/i.js", 100),
        ("alloc", "node:buffer", 1000),
    ] {
        let function = builder.function(Frame { name, url, line: 4, column: 0 });
        at = builder.child(at, function);
        builder.add(at, size, 1);
    }
    let (profile, _) = builder.finish();
    let own = heaviest(&profile, |frame| frame.url == "/srv/app.js", 3, 8);
    assert_eq!((own.len(), own[0].size, own[0].count, own[0].frames[0].name), (1, 1110, 3, "main"));
    let store = heaviest(&profile, |frame| frame.url.contains("/store/"), 3, 8);
    assert_eq!((store[0].size, store[0].frames.len(), store[0].frames[1].name), (1100, 2, "main"));
}
