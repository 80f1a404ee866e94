//! What goes wrong, and what the user is told.

use std::{fs, path::Path, process::Stdio};

use insta::assert_snapshot;

use crate::{Cli, show};

const B: &str = "pairB.heapsnapshot";
const OTHER: &str = "node-22.23.3.heapsnapshot";

#[test]
fn errors_say_what_failed_where_why_and_what_to_try() {
    let cli = Cli::new();
    let text = heapsight_testkit::fixtures::text(B);
    cli.write("truncated.heapsnapshot", &text[..text.len() / 2]);
    cli.write("empty.heapsnapshot", "");
    cli.write("text.heapsnapshot", "hello");
    cli.write("profile.heapsnapshot", r#"{"head":{"callFrame":{}}}"#);
    cli.write("foreign.json", r#"{"a":1}"#);
    fs::create_dir(cli.file("folder")).unwrap();
    let mut gz = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    gz.extend([1, 2, 3]);
    cli.write("broken.gz", gz);
    for name in [B, "pairA.heapsnapshot", OTHER] {
        cli.fixture(name);
    }
    cli.write("server.js", "const http = require('http');\n");
    let cases: &[(&str, &[&str])] = &[
        ("missing_file", &["summary", "none.heapsnapshot"]),
        ("folder", &["summary", "folder"]),
        ("truncated", &["summary", "truncated.heapsnapshot"]),
        ("empty", &["summary", "empty.heapsnapshot"]),
        ("not_json", &["summary", "text.heapsnapshot"]),
        ("other_format", &["summary", "profile.heapsnapshot"]),
        ("foreign_json", &["summary", "foreign.json"]),
        ("broken_gzip", &["summary", "broken.gz"]),
        ("no_such_object", &["show", B, "@2"]),
        ("not_an_id", &["show", B, "Leak"]),
        ("no_such_class", &["retainers", B, "Nothing"]),
        ("no_such_filter", &["summary", B, "--filter", "nothing"]),
        ("bad_regex", &["summary", B, "--class", "/(/"]),
        ("no_traces", &["allocations", B]),
        ("no_timeline", &["allocations", B, "--intervals"]),
        ("no_table", &["validate", B, "--format", "csv"]),
        ("one_file_for_diff", &["diff", B]),
        ("unknown_command", &["sumary", B]),
        ("unknown_option", &["summary", B, "--tops", "3"]),
        ("nothing", &[]),
        ("nothing_found", &["search", B, "no such name anywhere"]),
        ("leak_of_two_processes", &["leak", "pairA.heapsnapshot", OTHER, B]),
        ("leak_of_a_stranger_first", &["leak", OTHER, "pairA.heapsnapshot", B]),
        ("query_top", &["query", B, "class == \"Leak\"", "--top", "3"]),
        ("number_too_small", &["snapshot", "1", "--repeat", "0"]),
        ("number_too_large", &["dominators", B, "--depth", "99"]),
        ("open_no_capture", &["open", "server.js", "--no-browser"]),
    ];
    for (name, args) in cases {
        assert_snapshot!(format!("error_{name}"), cli.shown(args));
    }
}

#[test]
fn what_lies_beside_captures_is_left_out() {
    let cli = Cli::new();
    for name in ["pairA.heapsnapshot", B] {
        cli.fixture(name);
    }
    cli.write("pairA.heapsnapshot.meta.json", "{}");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    fs::copy(fixtures.join("node-22.23.3.heapprofile"), cli.file("last-round.heapprofile")).unwrap();
    let all = ["last-round.heapprofile", "pairA.heapsnapshot", "pairA.heapsnapshot.meta.json", B];
    let shown = cli.shown(&[&["leak"], &all[..]].concat());
    assert!(shown.starts_with("exit: 0"), "{shown}");
    assert!(shown.contains("note: 1 side file (….meta.json) among the files left out"), "{shown}");
    assert!(
        shown.contains("note: last-round.heapprofile is taken for a profile of the last round"),
        "{shown}"
    );
    assert!(shown.contains("1 round\n"), "{shown}");
    let shown = cli.shown(&["diff", "pairA.heapsnapshot", "pairA.heapsnapshot.meta.json", B, "--top", "1"]);
    assert!(shown.starts_with("exit: 0") && shown.contains("1 side file"), "{shown}");
}

#[test]
fn an_output_that_exists_is_only_overwritten_by_force() {
    let cli = Cli::new();
    cli.fixture(B);
    cli.write("out.json", "precious");
    let refused = cli.shown(&["summary", B, "--json", "-o", "out.json"]);
    assert!(refused.starts_with("exit: 2") && refused.contains("hint: use --force"), "{refused}");
    assert_eq!(fs::read_to_string(cli.file("out.json")).unwrap(), "precious");
    let forced = cli.run(&["summary", B, "--json", "-o", "out.json", "--force"]);
    assert!(forced.status.success() && forced.stdout.is_empty());
    assert!(fs::read_to_string(cli.file("out.json")).unwrap().starts_with('{'));
    // A failure leaves nothing under the name, and nothing beside it.
    cli.write("broken.heapsnapshot", "{");
    assert_eq!(cli.run(&["export", "broken.heapsnapshot", "--nodes", "nodes.csv"]).status.code(), Some(2));
    let mut left: Vec<_> = fs::read_dir(cli.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["broken.heapsnapshot", "out.json", B]);
}

#[test]
fn a_closed_pipe_is_success() {
    let cli = Cli::new();
    cli.fixture(B);
    let mut child = cli
        .command(&["export", B, "--edges", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_full_disk_is_an_error() {
    // Linux has a device that is always full.
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let cli = Cli::new();
    cli.fixture(B);
    let mut command = cli.command(&["export", B, "--nodes", "-"]);
    let output =
        command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .starts_with("heapsight: cannot write the output: No space left")
    );
}

#[test]
fn damage_that_can_be_survived_is_listed() {
    let cli = Cli::new();
    let text = String::from_utf8(heapsight_testkit::fixtures::text(B)).unwrap();
    let node_count = text.replacen("\"node_count\":46373", "\"node_count\":7", 1);
    let escapes = node_count.replacen("\"(GC roots)\"", "\"\\q(GC roots)\"", 1);
    cli.write("damaged.heapsnapshot", escapes);
    assert_snapshot!("validate_damaged", cli.shown(&["validate", "damaged.heapsnapshot"]));
    let summary = cli.run(&["summary", "damaged.heapsnapshot", "--top", "1"]);
    assert_eq!(summary.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&summary.stderr).contains("heapsight validate damaged.heapsnapshot"));
}

#[test]
fn names_from_a_snapshot_cannot_drive_the_terminal() {
    let cli = Cli::new();
    let text = String::from_utf8(heapsight_testkit::fixtures::text(B)).unwrap();
    let evil = text.replacen("\"Leak\"", "\"\\u001b[2JLeak\\u0007\"", 1);
    assert_ne!(evil, text);
    cli.write("evil.heapsnapshot", evil);
    let shown = cli.run(&["summary", "evil.heapsnapshot", "--class", "Leak"]).stdout;
    assert!(!shown.contains(&0x1b) && !shown.contains(&7));
    assert!(String::from_utf8_lossy(&shown).contains("\\u{1b}[2JLeak"));
}
