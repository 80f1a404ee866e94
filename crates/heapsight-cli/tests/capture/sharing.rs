//! Captures of real processes, redacted: what was planted in the process is nowhere in the file.

use std::{fs, path::Path};

use crate::{
    command::Cli,
    programs::{Program, until},
};

/// Two secrets in one: a word that no program has, and a form that a scan knows. Put together here, so that no scanner
/// takes this file for a leak.
fn planted() -> (&'static str, String) {
    ("qzPlanted", format!("ghp_{}", "Zx81Kq0vLw72Yb35Tn94Rc66Hd58Jf20Gs13"))
}

/// The text of a file, unpacked.
fn text_of(cli: &Cli, file: &str) -> String {
    let packed = fs::read(cli.path().join(file)).unwrap();
    let text = if Path::new(file).extension().is_some_and(|extension| extension == "zst") {
        zstd::decode_all(&packed[..]).unwrap()
    } else {
        packed
    };
    String::from_utf8(text).unwrap()
}

fn shares(cli: &Cli, file: &str) {
    let (word, token) = planted();
    assert!(text_of(cli, file).contains(&token), "{file}: the token is in the heap");
    let found = cli.json(&["scan", file]);
    let kinds: Vec<&str> =
        found["secrets"].as_array().unwrap().iter().map(|s| s["kind"].as_str().unwrap()).collect();
    for kind in ["token", "email"] {
        assert!(kinds.contains(&kind), "{file}: {kind}: {found}");
    }
    let shown = found.to_string();
    assert!(!shown.contains(&token) && !shown.contains(&format!("{word}@mail.example.org")), "{shown}");
    let shared = format!("shared-{file}.zst");
    cli.done(&["redact", file, &shared]);
    let side = cli.side_file(&shared);
    assert_eq!(side["capture"]["bytes"], text_of(cli, &shared).len(), "{side}");
    cli.done(&["redact", "--verify", &shared, "--against", file]);
    cli.done(&["validate", &shared]);
    let text = text_of(cli, &shared);
    assert!(
        !text.contains(word),
        "{file}: {:?}",
        text.find(word).map(|at| &text[at.saturating_sub(80)..at + 40])
    );
    assert!(!text.contains(&token[..12]), "{file}");
    assert!(text.contains("\"HeapsightMarker\"") && text.contains("\"password\""), "{file}");
    let nothing = cli.run(&["scan", &shared]);
    assert_eq!(nothing.code(), Some(1), "{nothing:?}");
    let before = cli.json(&["summary", file]);
    let after = cli.json(&["summary", &shared]);
    for number in ["nodes", "edges", "total_size"] {
        assert_eq!(before[number], after[number], "{file}");
    }
}

#[test]
fn nothing_that_was_planted_is_left_in_captures_of_node() {
    let (word, token) = planted();
    for major in [18, 20, 22, 24, 26] {
        let program = Program::node(major);
        program.ask(&format!("plant?{word},{token}"));
        let cli = Cli::new();
        let taken = cli.run(&["snapshot", &program.target(), "-o", "a.heapsnapshot"]);
        assert_eq!(taken.code(), Some(0), "{taken:?}");
        assert!(taken.err.contains("passwords and customers' data"), "node {major}: {taken:?}");
        let again = cli.done(&["snapshot", &program.target(), "-o", "b.heapsnapshot"]);
        assert!(!again.err.contains("passwords"), "it is said once: {again:?}");
        shares(&cli, "a.heapsnapshot");
    }
}

#[test]
fn a_timeline_is_shared_too() {
    let (word, token) = planted();
    let program = Program::node(22);
    let cli = Cli::new();
    program.ask(&format!("plant?{word},{token}"));
    cli.done(&["timeline", &program.target(), "--duration", "1s", "-o", "a.heaptimeline", "--quiet"]);
    shares(&cli, "a.heaptimeline");
    let question = ["allocations", "shared-a.heaptimeline.zst", "--top", "3"];
    assert_eq!(cli.json(&question), cli.json(&["allocations", "a.heaptimeline", "--top", "3"]));
}

#[test]
fn a_capture_that_is_killed_can_be_repaired() {
    let mut program = Program::node(20);
    program.ask("ballast?200000");
    let cli = Cli::new();
    // V8 writes in place, and is killed in the middle of it.
    let path = cli.path().join("killed.heapsnapshot");
    program.tell(&format!("write?{}", path.display()));
    let size = || fs::metadata(&path).map_or(0, |meta| meta.len());
    until("some of the file is written", || (size() > 4 << 20).then_some(()));
    program.kill();
    assert_eq!(cli.run(&["summary", "killed.heapsnapshot"]).code(), Some(2));
    let repaired = cli.json(&["repair", "killed.heapsnapshot", "repaired.heapsnapshot"]);
    assert!(repaired["nodes"].as_u64().unwrap() > 10_000, "{repaired}");
    assert!(!repaired["lost"].is_null(), "{repaired}");
    cli.done(&["validate", "repaired.heapsnapshot"]);
    assert_eq!(cli.json(&["summary", "repaired.heapsnapshot"])["nodes"], repaired["nodes"]);
}
