//! Files that are damaged, that lie, or that are something else: an error that says where, or a snapshot with a warning,
//! in little time and memory, and never a panic.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails loudly")]

#[path = "bad_input/scopes.rs"]
mod scopes;
#[path = "bad_input/sources.rs"]
mod sources;

use std::{
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use heapsight_snapshot::{Problem, ReadError, ReadOptions, Scopes, Snapshot, WarningKind, read};

/// Three nodes, three edges and one row of every other table.
const WHOLE: &str = r#"{"snapshot":{"meta":{"node_fields":["type","name","id","self_size","edge_count","trace_node_id","detachedness"],"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic"],"string","number","number","number","number","number"],"edge_fields":["type","name_or_index","to_node"],"edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],"trace_function_info_fields":["function_id","name","script_name","script_id","line","column"],"trace_node_fields":["id","function_info_index","count","size","children"],"sample_fields":["timestamp_us","last_assigned_id"],"location_fields":["object_index","script_id","line","column"],"scope_fields":["script_node_index","scope_id","depth","scope_context_vars_count","scope_uses_count"],"scope_context_var_fields":["name"],"scope_use_fields":["declaring_scope_id","slot_index"]},"node_count":3,"edge_count":3,"trace_function_count":1},
"nodes":[9,1,1,0,2,0,0
,3,2,3,16,1,1,0
,8,3,5,32,0,0,2
],
"edges":[1,1,7
,2,4,14
,6,5,0
],
"trace_function_infos":[0,6,7,1,2,3
],
"trace_tree":[1,0,0,0,[2,0,1,16,[]]],
"samples":[0,1
,1000,5
],
"locations":[7,1,2,3
],
"scopes":[7,-2,0,1,0,7,12,1,2,1],"scope_context_vars":[6,2,3],"scope_uses":[-2,0],
"strings":["<dummy>",
"",
"Window",
"caf\u00e9 \"bar\" \ud83d\ude00",
"property",
"link",
"f",
"file:///s.js"]}"#;

fn open(text: &[u8]) -> Result<Snapshot, ReadError> {
    read(text, ReadOptions { threads: 1, len: Some(text.len() as u64), progress: None })
}

/// Goes through everything that a snapshot promises.
fn check(snapshot: &Snapshot) {
    let (n, e) = (snapshot.node_count(), snapshot.edge_count());
    let nodes = &snapshot.nodes;
    assert_eq!((nodes.name.len(), nodes.id.len(), nodes.self_size.len()), (n, n, n));
    assert!(nodes.trace_node.as_ref().is_none_or(|c| c.len() == n));
    assert!(nodes.detachedness.as_ref().is_none_or(|c| c.len() == n && c.iter().all(|&d| d < 4)));
    assert_eq!(nodes.first_edge.len(), n + 1);
    assert!(nodes.first_edge.is_sorted());
    assert!(nodes.first_edge[n] as usize <= e);
    assert_eq!((snapshot.edges.kind.len(), snapshot.edges.name.len()), (e, e));
    assert!(snapshot.edges.to.iter().all(|&to| (to as usize) < n));
    assert!(nodes.kind.iter().all(|&k| (k as usize) < snapshot.node_kinds.names().len()));
    assert!(snapshot.edges.kind.iter().all(|&k| (k as usize) < snapshot.edge_kinds.names().len()));
    assert!((snapshot.root as usize) < n);
    assert!(snapshot.locations.nodes.is_sorted_by(|a, b| a < b));
    assert!(snapshot.locations.nodes.iter().all(|&ord| (ord as usize) < n));
    for string in (0..=snapshot.strings.len() as u32).chain([u32::MAX]) {
        let _ = (snapshot.strings.get(string), snapshot.strings.wtf8(string));
    }
    for name in nodes.name.iter().chain(&snapshot.edges.name[..]) {
        let _ = snapshot.strings.get(*name);
    }
    if let Some(scopes) = &snapshot.scopes {
        assert!(scopes.is_sound(n));
    }
    if let Some(traces) = &snapshot.traces {
        for (position, node) in traces.nodes.iter().enumerate() {
            assert!(node.parent.is_none_or(|parent| (parent as usize) < position));
            assert!((node.function as usize) < traces.functions.len());
        }
    }
}

/// A changed file: `to` stands in place of `from`, and `¦` in it marks the byte that the error must name.
struct Change {
    text: Vec<u8>,
    mark: Option<usize>,
}

fn change(from: &str, to: &str) -> Change {
    let (before, after) = WHOLE.split_once(from).unwrap_or_else(|| panic!("{from:?} is not in the file"));
    let mark = to.find('¦').map(|at| before.len() + at);
    Change { text: format!("{before}{}{after}", to.replace('¦', "")).into_bytes(), mark }
}

/// Asserts that a change is refused with a message, at its mark.
fn refused(from: &str, to: &str, section: &str, message: &str) {
    let Change { text, mark } = change(from, to);
    let place = mark.expect("a change that is refused has a mark");
    let options = |threads, len| ReadOptions { threads, len, progress: None };
    for options in
        [options(1, Some(text.len() as u64)), options(2, Some(text.len() as u64)), options(2, None)]
    {
        let error = read(&text[..], options).map(|_| ()).expect_err(to);
        assert_eq!(error.to_string(), format!("{section}, byte {place}: {message}"), "{from:?} -> {to:?}");
    }
}

/// Asserts that a change is survived, with warnings of some kinds.
fn survived(from: &str, to: &str, kinds: &[WarningKind]) -> Snapshot {
    let snapshot = open(&change(from, to).text).unwrap_or_else(|e| panic!("{from:?} -> {to:?}: {e}"));
    check(&snapshot);
    let found: Vec<WarningKind> = snapshot.warnings.as_slice().iter().map(|w| w.kind).collect();
    assert_eq!(found, kinds, "{from:?} -> {to:?}: {:?}", snapshot.warnings);
    snapshot
}

#[test]
fn the_whole_file_is_sound() {
    let snapshot = survived("Window", "Window", &[]);
    assert_eq!((snapshot.node_count(), snapshot.edge_count(), snapshot.strings.len()), (3, 3, 8));
    assert_eq!(snapshot.strings.get(3), "café \"bar\" 😀");
    let traces = snapshot.traces.as_ref().unwrap();
    assert_eq!((traces.functions.len(), traces.nodes.len(), snapshot.samples.len()), (1, 2, 2));
    assert_eq!(snapshot.locations.len(), 1);
    let scopes = snapshot.scopes.as_ref().unwrap();
    assert_eq!((&scopes.ids[..], &scopes.scripts[..]), (&[-2, 12][..], &[1, 1][..]));
    assert_eq!(scopes.parents[..], [Scopes::NONE, 0]);
    assert_eq!(
        (scopes.variables_of(0), scopes.variables_of(1), &scopes.variables[..]),
        (0..1, 1..3, &[6, 2, 3][..])
    );
    assert_eq!((scopes.uses_of(0), scopes.uses_of(1)), (0..0, 0..1));
    assert_eq!((&scopes.use_scopes[..], &scopes.use_slots[..]), (&[-2][..], &[0][..]));
}

// ---- truncated and mutated -------------------------------------------------------------------------------------

/// Gives a byte at a time.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.len().min(buf.len()).min(1);
        buf[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn a_file_that_ends_early_is_refused_at_its_last_byte() {
    for len in 0..WHOLE.len() {
        let text = &WHOLE.as_bytes()[..len];
        let whole_len = ReadOptions { threads: 2, len: Some(WHOLE.len() as u64), progress: None };
        let unknown_len = ReadOptions { threads: 1, len: None, progress: None };
        for result in [open(text), read(text, whole_len), read(Drip(text), unknown_len)] {
            let error = result.map(|_| ()).expect_err("the closing brace is missing");
            assert!(matches!(error.problem, Problem::Truncated | Problem::Empty), "{len}: {error}");
            assert_eq!(error.offset, len as u64, "{error}");
        }
    }
}

#[test]
fn text_after_the_end_is_ignored_with_a_warning() {
    for (after, kinds) in
        [("\n \r\t", &[][..]), ("x", &[WarningKind::TrailingText]), ("{}", &[WarningKind::TrailingText])]
    {
        let text = format!("{WHOLE}{after}");
        for snapshot in [open(text.as_bytes()), read(Drip(text.as_bytes()), ReadOptions::default())] {
            let snapshot = snapshot.unwrap();
            check(&snapshot);
            let found: Vec<WarningKind> = snapshot.warnings.as_slice().iter().map(|w| w.kind).collect();
            assert_eq!(found, kinds, "{after:?}");
        }
    }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % limit
    }
}

/// Damages a text in one place or a few.
fn mutate(rng: &mut Rng, text: &mut Vec<u8>) {
    const TOKENS: [&[u8]; 16] = [
        b"-1",
        b"1e9",
        b".5",
        b"4294967295",
        b"4294967296",
        b"18446744073709551616",
        b"[",
        b"]",
        b"{",
        b"}",
        b",,",
        b"\"",
        b"\\",
        b"\\u",
        b"\xff",
        b"null",
    ];
    for _ in 0..=rng.below(3) {
        if text.is_empty() {
            return;
        }
        let at = rng.below(text.len());
        let to = (at + 1 + rng.below(24)).min(text.len());
        match rng.below(7) {
            0 => text[at] ^= 1 << rng.below(8),
            1 => text[at] = rng.below(256) as u8,
            2 => drop(text.drain(at..to)),
            3 => drop(text.splice(at..at, TOKENS[rng.below(TOKENS.len())].iter().copied())),
            4 => drop(text.splice(at..to, TOKENS[rng.below(TOKENS.len())].iter().copied())),
            5 => {
                let part = text[at..to].to_vec();
                let into = rng.below(text.len());
                drop(text.splice(into..into, part));
            }
            // Another number: the damage that leaves most of the file readable.
            _ => {
                if let Some(digit) = text[at..].iter().position(u8::is_ascii_digit) {
                    text[at + digit] = b'0' + rng.below(10) as u8;
                }
            }
        }
    }
}

#[test]
fn no_mutation_of_a_file_makes_the_reader_panic() {
    let start = Instant::now();
    let mut read_anyway = 0;
    for seed in 1..=30_000 {
        let mut rng = Rng(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut text = WHOLE.as_bytes().to_vec();
        mutate(&mut rng, &mut text);
        let threads = 1 + usize::from(seed % 16 == 0);
        let len = (seed % 2 == 0).then_some(text.len() as u64);
        let begin = Instant::now();
        let result = std::panic::catch_unwind(|| {
            if let Ok(snapshot) = read(&text[..], ReadOptions { threads, len, progress: None }) {
                check(&snapshot);
                return true;
            }
            false
        });
        read_anyway += usize::from(result.unwrap_or_else(|_| panic!("seed {seed} panics")));
        assert!(begin.elapsed() < Duration::from_secs(2), "seed {seed} took {:?}", begin.elapsed());
    }
    assert!(
        read_anyway > 1000,
        "only {read_anyway} were readable: the mutations are too coarse to test much"
    );
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn every_single_bit_flip_is_an_error_or_a_sound_snapshot() {
    for at in 0..WHOLE.len() {
        for bit in 0..8 {
            let mut text = WHOLE.as_bytes().to_vec();
            text[at] ^= 1 << bit;
            if let Ok(snapshot) = open(&text) {
                check(&snapshot);
            }
        }
    }
}

// ---- not a snapshot ----------------------------------------------------------------------------------------------

#[test]
fn what_is_no_snapshot_is_called_by_its_name() {
    let message = |text: &[u8]| open(text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(message(b""), "top level, byte 0: the file is empty");
    assert_eq!(message(b" \n"), "top level, byte 2: the file is empty");
    let not = |found: &str| format!("this is not a heap snapshot: expected `{{\"snapshot\":`, found {found}");
    assert_eq!(message(b"hello"), format!("top level, byte 0: {}", not("`h`")));
    assert_eq!(message(b"[1]"), format!("top level, byte 0: {}", not("`[`")));
    assert_eq!(message(b"\x7fELF"), format!("top level, byte 0: {}", not("byte 0x7f")));
    // A byte-order mark is passed over.
    assert_eq!(message(b"\xef\xbb\xbf{}"), "top level, byte 4: the file has no `snapshot` section");
    assert_eq!(message(b"{\"a\":1}"), format!("top level, byte 1: {}", not("the key `a`")));
    assert_eq!(message(b"{}"), "top level, byte 1: the file has no `snapshot` section");
    assert_eq!(message(b"{1:2}"), "top level, byte 1: expected a key in quotes, found `1`");
    assert_eq!(message(b"{\"snapshot\" 1}"), "top level, byte 12: expected `:` after a key, found `1`");
    for (text, what) in [
        ("{\"head\":{\"callFrame\":{}}}", "a sampling heap profile (.heapprofile)"),
        ("{\"traceEvents\":[]}", "a trace"),
        ("{\"startTime\":1}", "a CPU profile"),
        (
            "{\"version\":3,\"type\":\"Inspector\"}",
            "a snapshot in another engine's format (WebKit's begins with `version`)",
        ),
    ] {
        assert_eq!(
            message(text.as_bytes()),
            format!("top level, byte 1: this is not a heap snapshot but {what}")
        );
    }
    let long = format!("{{\"{}\":1}}", "k".repeat(5000));
    assert_eq!(message(long.as_bytes()), "top level, byte 2: expected a key, found one of over 4,096 bytes");
}

#[test]
fn a_header_that_cannot_be_used_is_refused() {
    let cannot = |why: &str| format!("the header is not usable: {why}");
    for (from, to, why) in [
        ("\"snapshot\":{\"meta\":", "\"snapshot\":¦{\"mate\":", "it has no `meta`"),
        (
            "\"snapshot\":{\"meta\":",
            "\"snapshot\":¦{\"meta\":3,\"a\":",
            "`meta` does not list `node_fields` and `edge_fields`",
        ),
        (
            "{\"meta\":{\"node_fields\":[\"type\"",
            "¦{\"meta\":{\"node_fields\":[\"tip\"",
            "`meta.node_fields` has no field `type`",
        ),
    ] {
        refused(from, to, "snapshot", &cannot(why));
    }
    // The header is looked at as a whole, so these name its first byte.
    let header = WHOLE.find(":{").unwrap() + 1;
    for (from, to, why) in [
        ("\"to_node\"]", "\"tonode\"]", "`meta.edge_fields` has no field `to_node`"),
        ("\"edge_types\":[[", "\"edge_types\":[7,[", "`meta.edge_types` does not list the edge types"),
        ("\"node_types\":", "\"node_typos\":", "`meta.node_types` does not list the node types"),
    ] {
        let error = open(&change(from, to).text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("snapshot, byte {header}: {}", cannot(why)));
    }
    let many = format!("\"edge_fields\":[{}", "\"x\",".repeat(65));
    let error = open(&change("\"edge_fields\":[", &many).text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("snapshot, byte {header}: {}", cannot("a row has more than 64 fields")));
    let kinds = (0..300).map(|i| format!("\"kind {i}\"")).collect::<Vec<_>>().join(",") + ",";
    let many = format!("\"node_types\":[[{kinds}");
    let error = open(&change("\"node_types\":[[", &many).text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("snapshot, byte {header}: {}", cannot("`meta.node_types` lists more than 255 node types"))
    );
    let error =
        open(&change("\"node_count\":3", "\"node_count\":03").text).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("snapshot, byte {header}: {}", cannot("it is not JSON: "))),
        "{error}"
    );
    let huge = format!("\"node_count\":\"{}\"", " ".repeat(17 << 20));
    let error = open(&change("\"node_count\":3", &huge).text).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("snapshot, byte "), "{error}");
    let deep = format!("\"a\":{}{},\"node_count\":3", "[".repeat(100_000), "]".repeat(100_000));
    let error = open(&change("\"node_count\":3", &deep).text).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("snapshot, byte {header}: {}", cannot("it is not JSON: recursion"))),
        "{error}"
    );
}

// ---- numbers -------------------------------------------------------------------------------------------------------

#[test]
fn numbers_that_are_not_unsigned_and_whole_are_refused_at_their_place() {
    let unsigned = |found: &str| format!("expected an unsigned whole number, found `{found}`");
    for (from, to, section, found) in [
        ("[9,1,1,0", "[9,1,1,¦-16", "nodes", "-16"),
        ("[9,1,1,0", "[9,1,1,0¦.5", "nodes", "0.5"),
        ("[9,1,1,0", "[9,1,1,1¦e3", "nodes", "1e3"),
        ("[9,1,1,0", "[9,1,1,1¦E+3", "nodes", "1E+3"),
        ("[9,1,1,0", "[9,1,1,¦+1", "nodes", "+1"),
        ("[9,1,1,0", "[9,1,1,12345678901¦.5", "nodes", "12345678901.5"),
        ("\"edges\":[1,1,7", "\"edges\":[1,¦-1,7", "edges", "-1"),
        ("\"edges\":[1,1,7", "\"edges\":[1,1,7¦.0", "edges", "7.0"),
        ("_infos\":[0,6", "_infos\":[0,¦-6", "trace_function_infos", "-6"),
        (",1000,5", ",1¦e3,5", "samples", "1e3"),
        ("\"locations\":[7", "\"locations\":[¦-7", "locations", "-7"),
    ] {
        refused(from, to, section, &unsigned(found));
    }
    let syntax = "expected a number or a list of children, found ";
    refused("\"trace_tree\":[1,", "\"trace_tree\":[¦-1,", "trace_tree", &format!("{syntax}`-`"));
    refused("\"trace_tree\":[1,", "\"trace_tree\":[1¦.5,", "trace_tree", &format!("{syntax}`.`"));
}

#[test]
fn rows_that_are_not_numbers_and_commas_are_refused_at_their_place() {
    let number = |found: &str| format!("expected a number, found {found}");
    let after = |found: &str| format!("expected `,` or `]` after a number, found {found}");
    for (from, to, section, message) in [
        ("[9,1,1,0", "[9,1,¦x1,0", "nodes", number("`x`")),
        ("[9,1,1,0", "[9,1,¦null,0", "nodes", number("`n`")),
        ("[9,1,1,0", "[9,1,¦\"1\",0", "nodes", number("`\"`")),
        ("[9,1,1,0", "[9,1,1 ¦0,0", "nodes", after("`0`")),
        ("[9,1,1,0", "[9,1,1¦x,0", "nodes", after("`x`")),
        ("\"edges\":[1,1,7", "\"edges\":[1,1,7 ¦\u{1}", "edges", after("byte 0x01")),
        ("\"edges\":[", "\"edges\":[¦[", "edges", number("`[`")),
        (",1000,5\n]", ",1000,5\n¦}]", "samples", after("`}`")),
        ("\"nodes\":[", "\"nodes\":¦{", "nodes", "expected `[`, found `{`".to_owned()),
        ("\"edges\":[", "\"edges\":¦null,\"x\":[", "edges", "expected `[`, found `n`".to_owned()),
        ("\"strings\":[", "\"strings\":¦\"", "strings", "expected `[`, found `\"`".to_owned()),
    ] {
        refused(from, to, section, &message);
    }
    let rows =
        |count: u64, fields: usize| format!("{count} numbers are no whole number of rows of {fields} fields");
    refused("32,0,0,2\n]", "32,0,0\n¦]", "nodes", &rows(20, 7));
    refused("32,0,0,2\n]", "32,0,0,2,\n¦]", "nodes", &rows(22, 7));
    refused("[9,1,1,0,2,0,0\n,3,2,3,16,1,1,0\n,8,3,5,32,0,0,2\n]", "[,¦]", "nodes", &rows(2, 7));
    refused(",6,5,0\n]", ",6,5\n¦]", "edges", &rows(8, 3));
    refused(",1000,5\n]", ",1000\n¦]", "samples", &rows(3, 2));
    refused("[7,1,2,3\n]", "[7,1,2\n¦]", "locations", &rows(3, 4));
    refused("[0,6,7,1,2,3\n]", "[0,6,7,1,2\n¦]", "trace_function_infos", &rows(5, 6));
    refused(",16,[]]]", ",16¦]]", "trace_tree", &rows(4, 5));
}

#[test]
fn numbers_beyond_the_format_are_refused_after_their_row() {
    let large =
        |what: &str, value: &str| format!("{what} {value} is larger than the format allows (4294967295)");
    let saturated = "18446744073709551615";
    for (from, to, section, message) in [
        ("[9,1,1,0,2,0,0\n,", "[9,4294967296,1,0,2,0,0\n,¦", "nodes", large("name", "4294967296")),
        ("[9,1,1,0,2,0,0\n,", "[9,1,4294967296,0,2,0,0\n,¦", "nodes", large("id", "4294967296")),
        ("[9,1,1,0,2,0,0\n,", "[9,1,1,0,4294967296,0,0\n,¦", "nodes", large("edge_count", "4294967296")),
        ("[9,1,1,0,2,0,0\n,", "[9,1,1,0,2,99999999999,0\n,¦", "nodes", large("trace_node_id", "99999999999")),
        ("[9,1,1,0,2,0,0\n,", "[9,1,99999999999999999999999999,0,2,0,0\n,¦", "nodes", large("id", saturated)),
        ("[1,1,7\n,", "[1,4294967296,7\n,¦", "edges", large("name_or_index", "4294967296")),
    ] {
        refused(from, to, section, &message);
    }
    let unknown = |what: &str, value: &str, known: usize| {
        format!("{what} type {value} is not in the header's list of {known} types")
    };
    refused("[9,1,1,0,2,0,0\n,", "[10,1,1,0,2,0,0\n,¦", "nodes", &unknown("node", "10", 10));
    refused(
        "[9,1,1,0,2,0,0\n,",
        "[99999999999999999999,1,1,0,2,0,0\n,¦",
        "nodes",
        &unknown("node", saturated, 10),
    );
    refused(",6,5,0\n]", ",7,5,0\n¦]", "edges", &unknown("edge", "7", 7));
}

#[test]
fn a_size_may_be_as_large_as_64_bits_and_stays_so() {
    for (size, kept) in
        [("4294967295", u64::from(u32::MAX)), ("4294967296", 1 << 32), ("99999999999999999999", u64::MAX)]
    {
        let snapshot = survived("[9,1,1,0,", &format!("[9,1,1,{size},"), &[]);
        assert_eq!(snapshot.nodes.self_size.get(0), kept);
    }
}

// ---- edges, names and places that point nowhere --------------------------------------------------------------------

#[test]
fn edges_that_do_not_point_to_a_node_are_refused() {
    let middle = |to: u64| format!("to_node {to} points into the middle of a node (a node has 7 fields)");
    let past = |to: u64| format!("to_node {to} points past the last node (3 nodes of 7 fields)");
    refused("[1,1,7\n,", "[1,1,8\n,¦", "edges", &middle(8));
    refused("[1,1,7\n,", "[1,1,21\n,¦", "edges", &past(21));
    refused("[1,1,7\n,", "[1,1,22\n,¦", "edges", &middle(22));
    refused(",6,5,0\n]", ",6,5,30064771072\n¦]", "edges", &past(30_064_771_072));
    refused(",6,5,0\n]", ",6,5,18446744073709551615\n¦]", "edges", &middle(u64::MAX));
}

#[test]
fn more_edges_claimed_than_present_are_refused_and_fewer_are_survived() {
    let missing = |claimed: u64| format!("the nodes claim {claimed} edges, the section holds 3");
    let text = |from: &str, to: &str| open(&change(from, to).text).map(|_| ()).unwrap_err();
    let end = |text: &[u8]| String::from_utf8_lossy(text).find("],\n\"trace_function_infos").unwrap();
    for (count, claimed) in [("3", 4), ("4294967295", 4_294_967_296)] {
        let to = format!("[9,1,1,0,{count},");
        let place = end(&change("[9,1,1,0,2,", &to).text);
        assert_eq!(
            text("[9,1,1,0,2,", &to).to_string(),
            format!("edges, byte {place}: {}", missing(claimed))
        );
    }
    let snapshot = survived("[9,1,1,0,2,", "[9,1,1,0,0,", &[WarningKind::UnownedEdges]);
    assert_eq!((snapshot.edge_count(), &snapshot.nodes.first_edge[..]), (1, &[0, 0, 1, 1][..]));
    assert_eq!(snapshot.warnings.as_slice()[0].count, 2);
}

#[test]
fn a_root_that_is_no_node_is_refused() {
    for index in [1, 21, 22, u64::MAX] {
        let to = format!("\"root_index\":{index},\"node_count\":3");
        let error = open(&change("\"node_count\":3", &to).text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("snapshot, byte 0: root_index {index} is not the start of a node"));
    }
    assert_eq!(survived("\"node_count\":3", "\"node_count\":3,\"root_index\":14", &[]).root, 2);
}

#[test]
fn names_and_places_that_do_not_exist_are_survived() {
    let snapshot = survived("[9,1,1,0,2,", "[9,8,1,0,2,", &[WarningKind::StringIndex]);
    assert_eq!(snapshot.strings.get(snapshot.nodes.name[0]), "");
    assert_eq!(snapshot.warnings.as_slice()[0].detail, "node 0 has name 8, but there are only 8 strings");
    survived(",2,4,14", ",2,4294967295,14", &[WarningKind::StringIndex]);
    // An element's name is a number, which may be anything.
    survived("[1,1,7\n", "[1,4294967295,7\n", &[]);
    for place in ["8", "21", "4294967295", "99999999999"] {
        let snapshot =
            survived("\"locations\":[7,", &format!("\"locations\":[{place},"), &[WarningKind::Location]);
        assert!(snapshot.locations.is_empty());
    }
    survived("[1,0,0,0,[2,0,1", "[1,0,0,0,[2,9,1", &[WarningKind::Trace]);
    survived("32,0,0,2\n", "32,0,0,7\n", &[WarningKind::Detachedness]);
}

// ---- counts that lie -------------------------------------------------------------------------------------------------

#[test]
fn counts_that_lie_are_corrected_with_a_warning() {
    for (from, count, kinds) in [
        ("\"node_count\":3", "2", &[WarningKind::NodeCount][..]),
        ("\"node_count\":3", "0", &[WarningKind::NodeCount]),
        ("\"node_count\":3", "18446744073709551615", &[WarningKind::NodeCount]),
        ("\"node_count\":3", "-3", &[WarningKind::NodeCount]),
        ("\"node_count\":3", "3.5", &[WarningKind::NodeCount]),
        ("\"node_count\":3", "\"3\"", &[WarningKind::NodeCount]),
        ("\"edge_count\":3", "1", &[WarningKind::EdgeCount]),
        ("\"edge_count\":3", "0", &[WarningKind::EdgeCount]),
        ("\"edge_count\":3", "18446744073709551615", &[WarningKind::EdgeCount]),
        ("\"trace_function_count\":1", "18446744073709551615", &[]),
    ] {
        let (key, _) = from.split_once(':').unwrap();
        let snapshot = survived(from, &format!("{key}:{count}"), kinds);
        assert_eq!((snapshot.node_count(), snapshot.edge_count()), (3, 3), "{key}: {count}");
    }
}

/// A header that promises more than there is, in front of many small rows.
fn lying(nodes: u64, edges: u64) -> Vec<u8> {
    let node_rows = ",2,2,3,16,0,0,0".repeat(50_000);
    let edge_rows = ",6,5,0".repeat(50_000);
    let text = WHOLE
        .replace(
            "\"node_count\":3,\"edge_count\":3",
            &format!("\"node_count\":{nodes},\"edge_count\":{edges}"),
        )
        .replace(",8,3,5,32,0,0,2", &format!(",8,3,5,32,50000,0,2{node_rows}"))
        .replace(",6,5,0\n]", &format!(",6,5,0{edge_rows}]"));
    text.into_bytes()
}

/// Runs a test in a process of its own, because the peak of memory is that of a whole process, and asserts the peak.
fn with_little_memory(test: &str, work: impl FnOnce()) {
    const CHILD: &str = "HEAPSIGHT_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().unwrap();
        let child = std::process::Command::new(this)
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    work();
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 100 << 10, "the peak is {kib} KiB");
    }
}

#[test]
fn counts_that_lie_cost_no_memory() {
    with_little_memory("counts_that_lie_cost_no_memory", || {
        for count in [0, 1, 1 << 24, 1 << 32, 1 << 62, u64::MAX] {
            let text = lying(count, count);
            for (threads, len) in [(1, None), (2, None), (2, Some(text.len() as u64)), (1, Some(u64::MAX))] {
                // A length that lies as well is the caller's fault, and still no reason to fail otherwise.
                match read(&text[..], ReadOptions { threads, len, progress: None }) {
                    Ok(snapshot) => assert_eq!(snapshot.node_count(), 50_003),
                    Err(error) => assert!(matches!(error.problem, Problem::OutOfMemory { .. }), "{error}"),
                }
            }
        }
    });
}

#[test]
fn a_header_without_end_costs_no_memory() {
    with_little_memory("a_header_without_end_costs_no_memory", || {
        for start in ["{\"snapshot\":{\"meta\":[", "{\"snapshot\":{\"meta\":\""] {
            let source = start.as_bytes().chain(io::repeat(b'7').take(400 << 20));
            let error = read(source, ReadOptions::default()).map(|_| ()).unwrap_err();
            assert!(
                error.to_string().ends_with("the header is not usable: it is larger than 16 MiB"),
                "{error}"
            );
        }
    });
}

// ---- sections --------------------------------------------------------------------------------------------------------

/// The text of a section with its key, from the file.
fn section(key: &str) -> &'static str {
    let start = WHOLE.find(&format!("\"{key}\":")).unwrap();
    let rest = &WHOLE[start..];
    let end = rest.find(",\n\"").filter(|_| key != "strings").unwrap_or(rest.len() - 1);
    &rest[..end]
}

fn with_sections(keys: &[&str]) -> String {
    format!("{{{}}}", keys.iter().map(|k| section(k)).collect::<Vec<_>>().join(",\n"))
}

#[test]
fn sections_may_stand_in_any_order_that_can_be_understood() {
    for keys in [
        [
            "snapshot",
            "nodes",
            "edges",
            "strings",
            "locations",
            "samples",
            "trace_tree",
            "trace_function_infos",
        ],
        [
            "strings",
            "snapshot",
            "locations",
            "samples",
            "nodes",
            "trace_function_infos",
            "trace_tree",
            "edges",
        ],
    ] {
        let snapshot = open(with_sections(&keys).as_bytes()).unwrap();
        check(&snapshot);
        assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
        assert_eq!((snapshot.samples.len(), snapshot.locations.len()), (2, 1));
        assert_eq!(snapshot.traces.unwrap().nodes.len(), 2);
    }
}

#[test]
fn sections_before_what_they_depend_on_are_refused() {
    for (keys, section, place, depends) in [
        (&["nodes", "snapshot", "edges", "strings"][..], "nodes", "nodes", "snapshot"),
        (&["edges", "snapshot", "nodes", "strings"], "edges", "edges", "snapshot"),
        (&["snapshot", "edges", "nodes", "strings"], "edges", "edges", "nodes"),
        (&["strings", "samples", "snapshot", "nodes", "edges"], "samples", "samples", "snapshot"),
        (&["strings", "locations", "snapshot", "nodes", "edges"], "locations", "locations", "snapshot"),
        (&["strings", "trace_tree", "snapshot", "nodes", "edges"], "trace_tree", "trace_tree", "snapshot"),
    ] {
        let text = with_sections(keys);
        let place = text.find(&format!("\"{place}\":")).unwrap();
        let error = open(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        let expected = format!("section `{section}` stands before `{depends}`, which it depends on");
        assert_eq!(error, format!("{section}, byte {place}: {expected}"));
    }
}

#[test]
fn sections_that_occur_twice_are_refused() {
    let keys = [
        "snapshot",
        "nodes",
        "edges",
        "trace_function_infos",
        "trace_tree",
        "samples",
        "locations",
        "strings",
    ];
    for key in keys {
        let text = with_sections(&[&keys[..], &[key]].concat());
        let place = text.rfind(&format!("\"{key}\":")).unwrap();
        let error = open(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("{key}, byte {place}: section `{key}` occurs twice"));
    }
}

#[test]
fn required_sections_that_are_missing_are_named_and_others_are_not_missed() {
    let required = ["snapshot", "nodes", "edges", "strings"];
    check(&open(with_sections(&required).as_bytes()).unwrap());
    for missing in ["nodes", "edges", "strings"] {
        let keys: Vec<&str> =
            required.into_iter().filter(|&k| k != missing && (k, missing) != ("edges", "nodes")).collect();
        let text = with_sections(&keys);
        let error = open(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("top level, byte {}: the file has no `{missing}` section", text.len()));
    }
    let text = with_sections(&["strings"]);
    let error = open(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("top level, byte {}: the file has no `snapshot` section", text.len()));
    let empty = change("[9,1,1,0,2,0,0\n,3,2,3,16,1,1,0\n,8,3,5,32,0,0,2\n]", "[ \n¦]");
    let error = open(&empty.text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("nodes, byte {}: the header is not usable: the snapshot has no nodes", empty.mark.unwrap())
    );
}

#[test]
fn unknown_sections_are_passed_over_however_deep_they_are() {
    let deep = format!("{}1{}", "[{\"a\":".repeat(1_000_000), "}]".repeat(1_000_000));
    for value in ["null", "-1.5e300", "\"]}\\\"\"", "{\"nodes\":[\"]\"]}", &deep] {
        survived(
            "\"edges\":",
            &format!("\"from the future\":{value},\"edges\":"),
            &[WarningKind::UnknownSection],
        );
    }
    let tree = format!("{}2,0,1,1,[]{}", "2,0,1,1,[".repeat(1_000_000), "]".repeat(1_000_000));
    let snapshot = survived("[1,0,0,0,[2,0,1,16,[]]]", &format!("[{tree}]"), &[]);
    assert_eq!(snapshot.traces.unwrap().nodes.len(), 1_000_001);
}

// ---- strings -----------------------------------------------------------------------------------------------------------

#[test]
fn damage_inside_of_strings_is_survived() {
    let shown = |to: &str, kinds: &[WarningKind]| {
        survived("\"Window\"", &format!("\"{to}\""), kinds).strings.get(2).into_owned()
    };
    assert_eq!(shown("\\q\\x41", &[WarningKind::Escape]), "\\q\\x41");
    assert_eq!(shown("\\u12", &[WarningKind::Escape]), "\\u12");
    assert_eq!(shown("\\uD83D", &[]), "\u{fffd}");
    assert_eq!(shown("\\uDE00\\uD83D", &[]), "\u{fffd}\u{fffd}");
    assert_eq!(shown("\\uD83D\\n", &[]), "\u{fffd}\n");
    let first = open(&change("\"Window\"", "\"Win\\dow\"").text).unwrap().warnings.as_slice()[0].to_string();
    let place = WHOLE.find("Window").unwrap() + 3;
    assert_eq!(first, format!("strings, byte {place}: invalid escape in a string, shown as it stands"));
}

#[test]
fn raw_control_characters_in_strings_are_survived_with_a_warning() {
    let snapshot = survived("\"Window\"", "\"a\u{1}\n\0b\"", &[WarningKind::ControlCharacter]);
    assert_eq!(snapshot.strings.get(2), "a\u{1}\n\0b");
}

#[test]
fn bytes_that_are_not_utf8_are_survived_with_a_warning() {
    for bad in [&b"\xff"[..], b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80"] {
        let text = WHOLE.as_bytes();
        let place = WHOLE.find("Window").unwrap() + 3;
        let text = [&text[..place], bad, &text[place..]].concat();
        let snapshot = open(&text).unwrap();
        check(&snapshot);
        let warning = &snapshot.warnings.as_slice()[0];
        assert_eq!((warning.kind, warning.offset), (WarningKind::Utf8, Some(place as u64)));
        assert!(snapshot.strings.get(2).contains('\u{fffd}'), "{bad:?}: {}", snapshot.strings.get(2));
        assert!(snapshot.strings.get(2).ends_with("dow"));
    }
}

#[test]
fn broken_string_tables_are_refused_at_their_place() {
    for (to, message) in [
        ("¦7", "expected a string, found `7`"),
        ("¦null", "expected a string, found `n`"),
        ("\"a\" ¦\"b\"", "expected `,` or `]` after a string, found `\"`"),
        ("\"a\"¦:1", "expected `,` or `]` after a string, found `:`"),
        ("\"a\",¦,\"b\"", "expected a string, found `,`"),
        ("¦[\"a\"]", "expected a string, found `[`"),
    ] {
        refused("\"Window\"", to, "strings", message);
    }
    refused("\"file:///s.js\"]}", "\"s\",¦]}", "strings", "expected a string, found `]`");
}

#[test]
fn a_string_of_a_hundred_megabytes_is_a_string() {
    let start = Instant::now();
    let long = "0123456789".repeat(10_000_000);
    let text = WHOLE.replace("Window", &long);
    for len in [None, Some(text.len() as u64)] {
        let snapshot = read(text.as_bytes(), ReadOptions { len, ..ReadOptions::default() }).unwrap();
        assert_eq!(snapshot.strings.get(2).len(), long.len());
        assert_eq!(snapshot.strings.get(7), "file:///s.js");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

// ---- sources -----------------------------------------------------------------------------------------------------------

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_in_one_part_or_several_are_read() {
    let (front, back) = WHOLE.as_bytes().split_at(1000);
    let parts: [Vec<u8>; 4] = [
        gz(WHOLE.as_bytes()),
        zst(WHOLE.as_bytes()),
        [gz(front), gz(back)].concat(),
        [zst(front), zst(back)].concat(),
    ];
    for bytes in parts {
        let snapshot = open(&bytes).unwrap();
        check(&snapshot);
        assert!(snapshot.warnings.is_empty());
        assert_eq!((snapshot.node_count(), snapshot.text_bytes), (3, WHOLE.len() as u64));
    }
}

#[test]
fn compressed_files_that_end_early_are_refused() {
    for whole in [gz(WHOLE.as_bytes()), zst(WHOLE.as_bytes())] {
        for len in 4..whole.len() {
            let error =
                open(&whole[..len]).map(|_| ()).expect_err("the end of the compressed data is missing");
            assert!(matches!(error.problem, Problem::Compressed(_)), "{len} of {}: {error}", whole.len());
            assert!(error.offset <= WHOLE.len() as u64, "{error}");
            assert!(error.to_string().contains("the compressed data is damaged or truncated: "), "{error}");
        }
        for len in 0..4 {
            assert!(open(&whole[..len]).is_err());
        }
    }
}

#[test]
fn compressed_files_with_a_flipped_bit_are_never_read_as_something_else() {
    for whole in [gz(WHOLE.as_bytes()), zst(WHOLE.as_bytes())] {
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                // Bits of the container that do not matter leave the same text; the checksum finds the others.
                if let Ok(snapshot) = open(&bytes) {
                    check(&snapshot);
                    assert_eq!(snapshot.text_bytes, WHOLE.len() as u64);
                    assert_eq!(snapshot.strings.get(2), "Window");
                }
            }
        }
    }
}
