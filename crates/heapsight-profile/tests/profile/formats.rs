//! The formats of other tools, read back: what each keeps comes back, and what is broken is named.

use std::{fs, io};

use heapsight_profile::{
    Counts, Frame, Groups, NO_POSITION, Part, Profile, collapsed, csv, flat, inspector, pprof, read,
    speedscope, top,
};

use super::{Dice, fixtures, random, stacks, written};

type Write = fn(&Profile, &mut Vec<u8>) -> io::Result<()>;

/// A function as far as a format keeps it.
type Kept = (String, String, i32, i32);
type Keeps = fn(&Frame<'_>) -> Kept;

fn all_of(frame: &Frame<'_>) -> Kept {
    (frame.name.to_owned(), frame.url.to_owned(), frame.line, frame.column)
}

/// Speedscope has no column without a line.
fn of_speedscope(frame: &Frame<'_>) -> Kept {
    let (name, url, line, column) = all_of(frame);
    (name, url, line, if line == NO_POSITION { NO_POSITION } else { column })
}

/// Collapsed stacks keep the name of the file and the line; without a line the file belongs to the name.
fn of_collapsed(frame: &Frame<'_>) -> Kept {
    let file = if frame.url.starts_with("node:") { frame.url } else { frame.url.rsplit('/').next().unwrap() };
    let name = frame.name.replace(';', ":").replace('\n', " ");
    match (file, frame.line) {
        ("", _) => (name, String::new(), NO_POSITION, NO_POSITION),
        (_, NO_POSITION) => {
            let name = if name.is_empty() { "(anonymous)" } else { name.as_str() };
            (format!("{name} {file}"), String::new(), NO_POSITION, NO_POSITION)
        }
        (_, line) => (name, file.to_owned(), line, NO_POSITION),
    }
}

fn in_speedscope(profile: &Profile, out: &mut Vec<u8>) -> io::Result<()> {
    speedscope(profile, "app \"1\"", out)
}

const FORMATS: [(&str, Write, Keeps); 6] = [
    ("inspector", inspector, all_of),
    ("flat", flat, all_of),
    ("pprof", pprof, all_of),
    ("speedscope", in_speedscope, of_speedscope),
    ("collapsed", collapsed, of_collapsed),
    ("csv", csv, all_of),
];

/// The bytes of every stack, its frames as far as a format keeps them.
fn sizes(profile: &Profile, kept: Keeps) -> Vec<(Vec<Kept>, u64)> {
    let mut sizes: Vec<(Vec<Kept>, u64)> = stacks(profile)
        .into_iter()
        .filter(|(_, sums)| sums.0 > 0)
        .map(|(stack, sums)| (stack.iter().map(kept).collect(), sums.0))
        .collect();
    sizes.sort();
    // What only differed by what is not kept.
    sizes.dedup_by(|one, other| {
        let same = one.0 == other.0;
        other.1 += if same { one.1 } else { 0 };
        same
    });
    sizes
}

#[test]
fn every_format_gives_back_what_it_keeps() {
    let captured = fixtures().into_iter().map(|path| read(&fs::read(path).unwrap()[..]).unwrap());
    for profile in captured.chain((0..100).map(random)) {
        for (format, write, kept) in FORMATS {
            let bytes = written(|out| write(&profile, out));
            let again = read(&bytes[..]).unwrap_or_else(|error| panic!("{format}: {error}"));
            assert_eq!(sizes(&again, all_of), sizes(&profile, kept), "{format}");
            // What comes back loses nothing more.
            let bytes = written(|out| write(&again, out));
            assert_eq!(stacks(&read(&bytes[..]).unwrap()), stacks(&again), "{format}");
        }
        let counts = read(&written(|out| pprof(&profile, out))[..]).unwrap().counts;
        assert!(counts == profile.counts || profile.total_count() == 0);
        let table = written(|out| csv(&profile, out));
        let again = read(&table[..]).unwrap();
        assert_eq!(
            (again.counts, again.nodes.parent.clone()),
            (profile.counts, profile.nodes.parent.clone())
        );
        assert_eq!(stacks(&again), stacks(&profile));
        assert_eq!(written(|out| csv(&again, out)), table);
        let packed = zstd::encode_all(&table[..], 1).unwrap();
        assert_eq!(stacks(&read(&packed[..]).unwrap()), stacks(&profile));
    }
}

/// Names and self sizes of the functions that allocated, the largest first.
fn allocated(text: &str) -> Vec<(String, u64)> {
    let profile = read(text.as_bytes()).unwrap();
    assert_eq!(profile.counts, Counts::Nothing);
    let mut rows: Vec<(String, u64)> = top(&profile, &Groups::functions(&profile))
        .iter()
        .filter(|row| row.self_size > 0)
        .map(|row| (profile.frame(row.function).name.to_owned(), row.self_size))
        .collect();
    rows.sort_by(|one, other| (other.1, &one.0).cmp(&(one.1, &other.0)));
    rows
}

fn named<const N: usize>(rows: [(&str, u64); N]) -> Vec<(String, u64)> {
    rows.map(|(name, size)| (name.to_owned(), size)).to_vec()
}

#[test]
fn collapsed_stacks_of_other_tools_are_read() {
    let java = "[main tid=7];java/lang/Thread.run_[0];Shop.add_[j];java.util.HashMap$Node_[k] 524288\r\n\
        [main tid=7];java/lang/Thread.run_[0];Shop.add_[j];byte[]_[k] 1048576\r\n\r\n";
    assert_eq!(allocated(java), named([("byte[]_[k]", 1_048_576), ("java.util.HashMap$Node_[k]", 524_288)]));
    let native = "app;main;std::vector<int, std::allocator<int> >::push_back(int const&);operator new 4096\n\
        app;[unknown];[libc.so.6] 12";
    assert_eq!(allocated(native), named([("operator new", 4096), ("[libc.so.6]", 12)]));
    assert_eq!(allocated("\n{main};Shop\\{closure} 7\n"), named([("Shop\\{closure}", 7)]));
    // Equal stacks are added, wherever they stand; a first frame may be the root.
    assert_eq!(allocated("a;b 1\na 5\n(root);a;b 2\n(root) 9\n"), named([("(root)", 9), ("a", 5), ("b", 3)]));
    let json = "{\"$schema\": \"https://www.speedscope.app/file-format-schema.json\", \"profiles\": [\
        {\"type\": \"sampled\", \"name\": \"one\", \"unit\": \"none\", \"startValue\": 0, \"endValue\": 2, \
        \"samples\": [[0, 1], [0], [], [0, 2]], \"weights\": [3, 4, 5, 6]}], \
        \"shared\": {\"frames\": [{\"name\": \"main\", \"file\": \"app.py\", \"line\": 1}, {\"name\": \"grow\", \"col\": null}, \
        {\"name\": \"grow\"}]}, \"activeProfileIndex\": null, \"exporter\": \"py-spy\", \"name\": null}";
    assert_eq!(allocated(json), named([("grow", 9), ("(root)", 5), ("main", 4)]));
}

/// A file of speedscope with two frames.
fn two_frames(profiles: &str) -> String {
    format!("{{\"shared\":{{\"frames\":[{{\"name\":\"a\"}},{{\"name\":\"b\"}}]}},\"profiles\":[{profiles}]}}")
}

fn evented(unit: &str, events: &[(char, u64, u64)]) -> String {
    let events: Vec<String> = events
        .iter()
        .map(|(kind, frame, at)| format!("{{\"frame\":{frame},\"at\":{at},\"type\":\"{kind}\"}}"))
        .collect();
    let events = events.join(",");
    format!(
        "{{\"endValue\":20,\"events\":[{events}],\"name\":\"heap\",\"startValue\":2,\"type\":\"evented\",\"unit\":\"{unit}\"}}"
    )
}

const NESTED: [(char, u64, u64); 6] =
    [('O', 0, 3), ('O', 1, 5), ('C', 1, 9), ('O', 1, 10), ('C', 1, 11), ('C', 0, 14)];

#[test]
fn events_of_speedscope_are_put_into_a_tree() {
    let text = two_frames(&evented("bytes", &NESTED));
    // 2 + 1 + 3 in `a` itself, 4 + 1 in `b`, 1 before and 6 behind.
    assert_eq!(allocated(&text), named([("(root)", 7), ("a", 6), ("b", 5)]));
    let profile = read(text.as_bytes()).unwrap();
    assert_eq!((profile.nodes.len(), profile.part), (3, None));
}

#[test]
fn the_active_one_of_several_profiles_is_read() {
    let one = |unit, size: u64| evented(unit, &[('O', 0, 2), ('C', 0, 2 + size)]);
    let several = format!("{},{},{}", one("bytes", 4), one("milliseconds", 5), one("none", 6));
    let own = |text: &str| {
        let profile = read(text.as_bytes()).unwrap();
        let size = profile.nodes.self_size[1];
        (size, profile.part.map(|Part { name, number, of }| format!("{name} {number} {of}")))
    };
    assert_eq!(own(&two_frames(&several)), (4, Some("heap 1 3".into())));
    for (index, size) in [(0, 4), (2, 6)] {
        let member = format!("\"activeProfileIndex\":{index}");
        let text = two_frames(&several);
        let before = text.replacen('{', &format!("{{{member},"), 1);
        let behind = format!("{},{member}}}", &text[..text.len() - 1]);
        for text in [before, behind] {
            assert_eq!(own(&text), (size, Some(format!("heap {} 3", index + 1))));
        }
    }
    let second = two_frames(&several).replacen('{', "{\"activeProfileIndex\":1,", 1);
    let error = read(second.as_bytes()).unwrap_err().to_string();
    assert!(
        error.contains("profile 2 of 3, the active one, of this speedscope file is in milliseconds"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_with_a_speedscope_file_is_said() {
    let sampled = |samples: &str, weights: &str| {
        format!("{{\"type\":\"sampled\",\"unit\":\"bytes\",\"samples\":{samples},\"weights\":{weights}}}")
    };
    let events = |events: &[(char, u64, u64)]| two_frames(&evented("bytes", events));
    let profile = |text: &str| two_frames(&format!("{{{text}}}"));
    // What is wrong, and what stands where that was seen.
    let cases = [
        (events(&[('O', 0, 3), ('O', 1, 2)]), "the events are out of order", "{\"frame\":1,"),
        (
            events(&[('O', 0, 3), ('C', 1, 4)]),
            "the one that began last: the events are unbalanced",
            "{\"frame\":1,",
        ),
        (events(&[('C', 0, 3)]), "the one that began last: the events are unbalanced", "{\"frame\":0,"),
        (events(&[('O', 0, 3), ('O', 1, 3)]), "2 frames have begun and do not end", ",\"name\""),
        (events(&[('O', 2, 3), ('C', 2, 4)]), "there is no frame of this number", "2,\"at\":3"),
        (events(&[('X', 0, 3)]), "an event lacks its `type`, which is `O` or `C`", "{\"frame\":0,"),
        (two_frames(&sampled("[[0],[9]]", "[1,2]")), "there is no frame of this number", "9]]"),
        (two_frames(&sampled("[[-1]]", "[1]")), "-1 is no size, count or id", "-1]]"),
        (two_frames(&sampled("[[0],[1]]", "[1]")), "2 samples and 1 weights", "\"type\""),
        (profile("\"type\":\"sampled\",\"samples\":[]"), "no `samples` or no `weights`", "\"type\""),
        (profile("\"type\":\"evented\""), "an evented profile has no `events`", "\"type\""),
        (profile("\"type\":\"x\""), "is neither `evented` nor `sampled`", "\"type\""),
        (
            two_frames(&evented("seconds", &NESTED)),
            "the profile of this speedscope file is in seconds",
            "\"seconds\"",
        ),
        (two_frames(""), "this is a speedscope file without profiles, not a", ""),
        (
            events(&NESTED).replacen('{', "{\"activeProfileIndex\":7,", 1),
            "profile 8 of this speedscope file is the active one, and there are 1",
            "",
        ),
        (two_frames("") + "x", "expected the end of the file, found `x`", "x"),
    ];
    for (text, message, place) in cases {
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}, and not {message}: {text}");
        assert!(text[error.offset as usize..].starts_with(place), "{error}: {text}");
    }
}

const HEADER: &str = "id,parent_id,name,url,line,column,self_size,total_size,self_count\n";

#[test]
fn tables_come_back_in_any_order_of_their_branches() {
    // As a spreadsheet writes it: other line ends, quotes, branches in another order.
    let text = format!("{HEADER}1,,(root),,,,0,60,\n2,1,a,x.js,1,1,10,40,\n4,1,\"b \"\"c\"\", d\",,,,20,20,\n3,2,\"e\",x.js,9,,30,30,\n")
        .replace('\n', "\r\n");
    assert_eq!(allocated(&text), named([("e", 30), ("b \"c\", d", 20), ("a", 10)]));
    let profile = read(text.as_bytes()).unwrap();
    assert_eq!(profile.nodes.parent, [u32::MAX, 0, 1, 0]);
    let cases = [
        (
            "1,,(root),,,,0,5,\n2,1,a,,,,4,4,\n",
            "the rows add up to 4 bytes and the root to 5: rows are missing (at byte 98)",
        ),
        (
            "1,,(root),,,,0,5,\n3,2,a,,,,5,5,\n",
            "line 3: the row stands before its parent, or that is missing (at byte 84)",
        ),
        (
            "1,,(root),,,,0,5,\n1,1,a,,,,5,5,\n",
            "line 3: the row has an id that was there before (at byte 84)",
        ),
        (
            "1,,(root),,,,0,5,\n2,,a,,,,5,5,\n",
            "line 3: the row has no parent, and there is a root already (at byte 84)",
        ),
        (
            "1,,(root),,,,0,5,\n2,1,a,,0,,5,5,\n",
            "line 3: the row has no whole number as its line (at byte 84)",
        ),
        (
            "1,,(root),,,,0,5,\n\n2,1,a,,,,5E3,5,\n",
            "line 4: the row has no whole number as its self_size (at byte 85)",
        ),
        ("1,,(root),,,,0,5\n", "line 2: the row has 8 cells, and there are 9 columns (at byte 66)"),
        (
            "1,,\"(root),,,,0,5,\n",
            "the profile is cut off in the middle of a row of the call tree (at byte 85)",
        ),
        ("", "the profile is cut off in the middle of the call tree (at byte 66)"),
    ];
    for (rows, message) in cases {
        assert_eq!(read(format!("{HEADER}{rows}").as_bytes()).unwrap_err().to_string(), message);
    }
    let other = read(&b"id,parent_id,name\n"[..]).unwrap_err().to_string();
    assert!(other.contains("a table with other columns than those of a call tree"), "{other}");
}

#[test]
fn deep_stacks_in_every_format_overflow_nothing() {
    const DEPTH: u64 = 100_000;
    let frames = |separator: &str| {
        let frames: Vec<String> = (0..DEPTH).map(|n| (n % 2).to_string()).collect();
        frames.join(separator)
    };
    let mut rows = format!("{HEADER}1,,(root),,,,0,7,\n");
    let mut events = Vec::new();
    for n in 0..DEPTH {
        let own = if n + 1 == DEPTH { 7 } else { 0 };
        rows += &format!("{},{},f,,{},,{own},7,\n", n + 2, n + 1, n % 2 + 1);
        events.push(('O', n % 2, 2));
    }
    events.extend((0..DEPTH).rev().map(|n| ('C', n % 2, 9)));
    let samples = format!(
        "{{\"type\":\"sampled\",\"samples\":[[{}]],\"weights\":[7],\"unit\":\"bytes\"}}",
        frames(",")
    );
    for text in
        [format!("{} 7\n", frames(";")), rows, two_frames(&evented("bytes", &events)), two_frames(&samples)]
    {
        let profile = read(text.as_bytes()).unwrap();
        assert_eq!(profile.nodes.len() as u64, DEPTH + 1);
        assert_eq!(profile.nodes.self_size.last(), Some(&7));
    }
}

#[test]
fn files_that_are_cut_off_or_damaged_do_no_harm() {
    let mut dice = Dice(97);
    for profile in [random(7), random(8), read(&fs::read(&fixtures()[2]).unwrap()[..]).unwrap()] {
        for (format, write, _) in FORMATS {
            let whole = written(|out| write(&profile, out));
            let sound = |bytes: &[u8]| match read(bytes) {
                Ok(profile) => {
                    // Whatever was read holds together.
                    top(&profile, &Groups::functions(&profile));
                    Some(profile.total_size())
                }
                Err(error) => {
                    assert!(error.offset <= bytes.len() as u64 || format == "pprof", "{format}: {error}");
                    None
                }
            };
            for end in (0..whole.len()).step_by(97).chain(whole.len() - 3..whole.len() - 1) {
                let left = sound(&whole[..end]);
                // A line of collapsed stacks may end anywhere, and the last cell of a table.
                let fits = format == "collapsed" || (format == "csv" && left == Some(profile.total_size()));
                assert!(left.is_none() || fits, "{format}: cut off at {end}");
            }
            for _ in 0..1500 {
                let mut bad = whole.clone();
                for _ in 0..=dice.roll(3) {
                    let at = dice.roll(bad.len() as u64) as usize;
                    match dice.roll(3) {
                        0 => bad[at] = dice.roll(256) as u8,
                        1 => bad[at] = b"0129;,\":{}[] \n"[dice.roll(14) as usize],
                        _ => drop(bad.remove(at)),
                    }
                }
                sound(&bad);
            }
        }
    }
}
