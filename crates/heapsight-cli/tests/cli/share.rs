//! `redact`, `scan` and `repair`: files, streams, exit codes.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Output, Stdio},
};

use insta::assert_snapshot;

use crate::Cli;

const B: &str = "pairB.heapsnapshot";

/// Runs the command with something on its standard input.
fn piped(cli: &Cli, args: &[&str], input: &[u8]) -> Output {
    let mut command = cli.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

#[test]
fn help() {
    let cli = Cli::new();
    for command in ["redact", "scan", "repair"] {
        assert_snapshot!(format!("help_{command}"), cli.shown(&[command, "--help"]));
    }
}

#[test]
fn texts() {
    let cli = Cli::new();
    cli.fixture(B);
    let text = fs::read(cli.file(B)).unwrap();
    cli.write("cut.heapsnapshot", &text[..text.len() / 2]);
    let cases: &[(&str, &[&str])] = &[
        ("redact", &["redact", B, "shared.heapsnapshot"]),
        ("redact_exists", &["redact", B, "shared.heapsnapshot"]),
        ("redact_verify", &["redact", "--verify", "shared.heapsnapshot", "--against", B]),
        ("redact_one", &["redact"]),
        ("redact_pattern", &["redact", B, "x", "--keep", "("]),
        ("redact_nothing", &["redact", "nothing", "x"]),
        ("redact_cut", &["redact", "cut.heapsnapshot", "x"]),
        ("repair", &["repair", "cut.heapsnapshot", "whole.heapsnapshot"]),
        ("repair_whole", &["repair", B, "again.heapsnapshot"]),
        ("repair_exists", &["repair", "cut.heapsnapshot", "whole.heapsnapshot"]),
        ("scan_nothing", &["scan", "shared.heapsnapshot"]),
    ];
    for (name, args) in cases {
        assert_snapshot!(*name, cli.shown(args));
    }
    assert!(!cli.file("x").exists());
}

#[test]
fn a_redacted_file_is_private_and_packed_as_its_name_says() {
    let cli = Cli::new();
    cli.fixture(B);
    let before = cli.json(&["summary", B]);
    for out in ["a.heapsnapshot", "b.heapsnapshot.gz", "c.heapsnapshot.zst"] {
        assert_eq!(cli.run(&["redact", B, out]).status.code(), Some(0));
        let bytes = fs::read(cli.file(out)).unwrap();
        let start = match out.rsplit('.').next() {
            Some("gz") => &[0x1f, 0x8b][..],
            Some("zst") => &[0x28, 0xb5, 0x2f, 0xfd],
            _ => b"{\"snapshot\":",
        };
        assert!(bytes.starts_with(start), "{out}");
        assert_eq!(fs::metadata(cli.file(out)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(cli.run(&["validate", out]).status.code(), Some(0));
        assert_eq!(cli.json(&["summary", out]), before, "{out}");
        assert_eq!(cli.run(&["redact", "--verify", out, "--against", B]).status.code(), Some(0));
    }
    // Nothing half done is left.
    assert_eq!(fs::read_dir(cli.path()).unwrap().count(), 4);
    assert_eq!(cli.run(&["redact", B, "a.heapsnapshot", "--force"]).status.code(), Some(0));
}

#[test]
fn redaction_and_repair_work_on_streams() {
    let cli = Cli::new();
    cli.fixture(B);
    let text = fs::read(cli.file(B)).unwrap();
    let output = piped(&cli, &["redact", "-", "-"], &zstd::encode_all(&text[..], 1).unwrap());
    assert_eq!(output.status.code(), Some(0));
    cli.write("out.heapsnapshot", &output.stdout);
    let verified = cli.run(&["redact", "--verify", "out.heapsnapshot", "--against", B]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let output = piped(&cli, &["repair", "-", "-"], &text[..text.len() - 9]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("it was cut off in strings"));
    cli.write("repaired.heapsnapshot", &output.stdout);
    assert_eq!(cli.run(&["validate", "repaired.heapsnapshot"]).status.code(), Some(0));
}

#[test]
fn verify_says_no_where_something_is_left() {
    let cli = Cli::new();
    cli.fixture(B);
    assert_eq!(cli.run(&["redact", B, "shared.heapsnapshot"]).status.code(), Some(0));
    let shared = fs::read_to_string(cli.file("shared.heapsnapshot")).unwrap();
    let at = shared.rfind("\"~").unwrap() + 1;
    cli.write("leak.heapsnapshot", format!("{}dup-string-value-here-not-internalized 4\"]}}", &shared[..at]));
    let no = cli.run(&["redact", "--verify", "leak.heapsnapshot", "--against", B]);
    let shown = String::from_utf8_lossy(&no.stdout).into_owned();
    assert_eq!(no.status.code(), Some(1), "{shown}");
    assert!(shown.contains("NOT clean") && !shown.contains("not-internalized"), "{shown}");
    let json = cli.json(&["redact", "--verify", "leak.heapsnapshot", "--against", B]);
    assert_eq!((&json["clean"], &json["same_graph"]), (&false.into(), &true.into()), "{json}");
    // Another file altogether.
    cli.fixture("pairA.heapsnapshot");
    let json = cli.json(&["redact", "--verify", "shared.heapsnapshot", "--against", "pairA.heapsnapshot"]);
    assert_eq!((&json["clean"], &json["same_graph"]), (&false.into(), &false.into()), "{json}");
    // What is to be kept has to be said both times.
    assert_eq!(cli.run(&["redact", B, "kept.heapsnapshot", "--keep", "^dup-"]).status.code(), Some(0));
    for (keep, code) in [(&[][..], 1), (&["--keep", "^dup-"], 0)] {
        let args = [&["redact", "--verify", "kept.heapsnapshot", "--against", B], keep].concat();
        assert_eq!(cli.run(&args).status.code(), Some(code));
    }
}

#[test]
fn profiles_lose_what_is_data_in_their_names() {
    let cli = Cli::new();
    let profile = r#"{"head":{"callFrame":{"functionName":"(root)","scriptId":"0","url":"","lineNumber":-1,"columnNumber":-1},"selfSize":0,"id":1,"children":[{"callFrame":{"functionName":"handle","scriptId":"7","url":"https://a.example/x.js?token=abcdefgh","lineNumber":3,"columnNumber":1},"selfSize":4096,"id":2,"children":[]}]},"samples":[]}"#;
    cli.write("a.heapprofile", profile);
    let done = cli.run(&["redact", "a.heapprofile", "b.heapprofile"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let text = fs::read_to_string(cli.file("b.heapprofile")).unwrap();
    assert!(
        text.contains("https://a.example/x.js?~") && text.contains("handle") && !text.contains("abcdefgh")
    );
    let size = |file| cli.json(&["profile", "top", file])["total_size"].clone();
    assert_eq!(size("a.heapprofile"), size("b.heapprofile"));
}

#[test]
fn what_is_scanned_is_shown_in_part() {
    let cli = Cli::new();
    let mut graph = heapsight_testkit::builder::SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let config = graph.object(global, "config", "Config", 24);
    let token = format!("ghp_{}", "Zx81Kq0vLw72Yb35Tn94Rc66Hd58Jf20Gs13");
    let secrets = [
        ("password", "correct horse battery"),
        ("github", &token),
        ("contact", "ada@analytical.org"),
        ("card", "4111 1111 1111 1111"),
    ];
    for (name, value) in secrets {
        let text = graph.node("string", value, 40);
        graph.edge(config, "property", name, text);
    }
    cli.write("a.heapsnapshot", graph.text());
    let shown = cli.shown(&["scan", "a.heapsnapshot"]);
    assert_snapshot!("scan", shown);
    let json = cli.json(&["scan", "a.heapsnapshot"]);
    assert_eq!(json["count"], 4, "{json}");
    for (_, secret) in secrets {
        assert!(!shown.contains(secret) && !json.to_string().contains(secret), "{secret}");
    }
    assert_eq!(json["secrets"][0]["holder"], "global.config: Config → .github", "{json}");
}
