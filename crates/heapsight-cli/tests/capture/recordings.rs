//! Timelines, profiles, compression and streams, launched programs, and what is done without a capture.

use std::{
    fs,
    process::{Command, Stdio},
};

use heapsight_testkit::runtimes;
use serde_json::Value;

use crate::{
    command::{Cli, Ended, Running, files},
    programs::{MARKERS, Program, server, signal, until},
};

#[test]
fn a_timeline_for_a_time_under_load_and_during_a_command() {
    let program = Program::node(22);
    let cli = Cli::new();
    let churn = program.url("churn");
    let timeline = |file: &str, options: &[&str]| {
        let answer = cli.json(&[&["timeline", &program.target(), "-o", file], options].concat());
        assert_eq!(answer["captures"][0]["kind"], "heaptimeline", "{answer}");
        assert!(cli.markers(file) >= MARKERS);
        cli.side_file(file);
        program.is_as_before();
        answer
    };
    timeline("time.heaptimeline", &["--duration", "300ms"]);
    let loaded = timeline("load.heaptimeline", &["--load", &churn, "-n", "20", "-c", "2"]);
    assert_eq!((&loaded["load"]["requests"], &loaded["load"]["failed"]), (&20.into(), &0.into()), "{loaded}");
    let functions = cli.json(&["allocations", "load.heaptimeline"]);
    assert!(functions["functions"].as_array().unwrap().iter().any(|f| f["name"] == "churn"), "{functions}");
    let during = timeline("during.heaptimeline", &["--during", "exit 3"]);
    assert_eq!(during["during"]["exit_code"], 3);
}

#[test]
fn a_profile_for_a_time_under_load_and_during_a_command() {
    let program = Program::node(20);
    let cli = Cli::new();
    let churn = program.url("churn");
    let sample = |file: &str, options: &[&str]| {
        let common = ["sample", &program.target(), "--interval", "1KiB", "-o", file];
        let answer = cli.json(&[&common, options].concat());
        assert_eq!(answer["captures"][0]["kind"], "heapprofile", "{answer}");
        let profile: Value = serde_json::from_slice(&fs::read(cli.path().join(file)).unwrap()).unwrap();
        assert!(profile["head"]["callFrame"].is_object());
        cli.side_file(file);
        program.is_as_before();
        (answer, profile.to_string())
    };
    sample("time.heapprofile", &["--duration", "300ms"]);
    let (answer, profile) = sample("load.heapprofile", &["--load", &churn, "-n", "20", "-c", "2"]);
    assert_eq!((&answer["load"]["requests"], &answer["load"]["failed"]), (&20.into(), &0.into()), "{answer}");
    assert!(profile.contains("\"churn\""));
    let (answer, _) = sample("during.heapprofile", &["--during", "true"]);
    assert_eq!(answer["during"]["exit_code"], 0);
}

#[test]
fn profiles_again_and_again_of_which_the_last_are_kept() {
    let program = Program::node(24);
    let cli = Cli::new();
    let mut running = cli.start(&["sample", &program.target(), "--every", "200ms", "--keep", "2"]);
    let mut seen = std::collections::BTreeSet::new();
    until("four profiles were written", || {
        seen.extend(cli.files().into_iter().filter(|name| name.starts_with("Heap.")));
        (seen.len() >= 4).then_some(())
    });
    assert!(running.is_running());
    signal(running.pid(), "INT");
    let ended = running.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let left = cli.files();
    let profiles: Vec<&String> = left.iter().filter(|name| name.ends_with(".heapprofile")).collect();
    assert_eq!(profiles.len(), 2, "{left:?}");
    let sides = left.iter().filter(|name| name.ends_with(".meta.json")).count();
    assert_eq!(left.len(), 2 + sides, "{left:?}");
    cli.side_file(profiles[1]);
    program.is_as_before();
}

#[test]
fn compressed_files_and_a_stream_into_another_command() {
    let program = Program::node(24);
    let cli = Cli::new();
    let expected = {
        cli.snapshot(&program.target(), &["-o", "plain.heapsnapshot"]);
        cli.markers("plain.heapsnapshot")
    };
    for (file, magic) in [("a.heapsnapshot.zst", [0x28, 0xb5]), ("a.heapsnapshot.gz", [0x1f, 0x8b])] {
        let taken = cli.snapshot(&program.target(), &["-o", file]);
        assert!(taken["stored_bytes"].as_u64() < taken["bytes"].as_u64(), "{taken}");
        assert_eq!(fs::read(cli.path().join(file)).unwrap()[..2], magic);
        cli.side_file(file);
        assert_eq!(cli.markers(file), expected);
    }
    let before = cli.files();
    for method in ["fork", "inspector"] {
        let mut first =
            cli.command(&["snapshot", &program.target(), "--method", method, "-o", "-"]).spawn().unwrap();
        let stream = first.stdout.take().unwrap();
        let summary = cli
            .command(&["summary", "-", "--class", "HeapsightMarker", "--json"])
            .stdin(Stdio::from(stream))
            .output()
            .unwrap();
        let first = Running::new(first).end();
        assert_eq!(first.code(), Some(0), "{first:?}");
        let summary: Value = serde_json::from_str(&Ended::from(summary).out).unwrap();
        assert_eq!(summary["classes"][0]["count"], expected, "{method}");
    }
    assert_eq!(cli.files(), before);
    program.is_as_before();
}

#[test]
fn a_program_that_is_started_for_the_capture_ends_with_it() {
    let cli = Cli::new();
    // What is started here has nothing on its standard input.
    let script = server(false).replace("process.stdin.on('end', () => process.exit()).resume();", "");
    fs::write(cli.path().join("app.cjs"), script).unwrap();
    let node = runtimes::node(22);
    let args =
        ["snapshot", "--wait-for", "ready", "-o", "app.heapsnapshot", "--json", "--", node.to_str().unwrap()];
    let ended =
        Running::new(cli.command(&[&args[..], &["--inspect-port=0", "app.cjs"]].concat()).spawn().unwrap())
            .end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let answer: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(answer["captures"][0]["method"], "fork", "{answer}");
    assert!(cli.markers("app.heapsnapshot") >= MARKERS);
    let pid = answer["captures"][0]["pid"].as_u64().unwrap();
    until("the program has ended", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
}

#[test]
fn what_it_would_cost_is_told_and_nothing_is_done() {
    let program = Program::node(20);
    let cli = Cli::new();
    let plan = cli.json(&["snapshot", &program.target(), "--dry-run"]);
    assert_eq!(plan["chosen"], "fork", "{plan}");
    let methods = plan["methods"].as_array().unwrap();
    let names: Vec<&str> = methods.iter().map(|m| m["method"].as_str().unwrap()).collect();
    assert_eq!(names, ["fork", "inspector", "signal"]);
    assert!(methods[1]["pause_ms"].as_f64() > methods[0]["pause_ms"].as_f64(), "{plan}");
    assert!(methods[2]["obstacle"].as_str().unwrap().contains("--heapsnapshot-signal"), "{plan}");
    let text = cli.done(&["snapshot", &program.target(), "--dry-run"]);
    assert!(text.out.contains("fork *") && text.out.contains("nothing was done"), "{text:?}");
    assert_eq!(cli.files(), [""; 0]);
    assert!(!program.said().contains("Debugger"), "its inspector was opened");
    program.is_as_before();
}

#[test]
fn snapshots_near_the_heap_limit_are_armed() {
    for major in [18, 26] {
        let program = Program::node(major);
        let cli = Cli::new();
        let answer = cli.json(&["arm", &program.target(), "--near-limit", "2"]);
        assert_eq!((&answer["pid"], &answer["count"]), (&program.pid().into(), &2.into()), "{answer}");
        let folder = program.dir.path().canonicalize().unwrap();
        assert_eq!(answer["folder"], folder.to_str().unwrap());
        program.is_as_before();
    }
}

#[test]
fn the_signal_of_a_program_that_was_started_for_it() {
    for major in [16, 24] {
        let program = Program::node_with(major, &["--heapsnapshot-signal=SIGUSR2"]);
        let cli = Cli::new();
        let taken = cli.snapshot(&program.target(), &["--method", "signal", "-o", "signal.heapsnapshot"]);
        assert_eq!(taken["method"], "signal", "{taken}");
        assert!(cli.markers("signal.heapsnapshot") >= MARKERS);
        cli.side_file("signal.heapsnapshot");
        assert!(!program.said().contains("Debugger"), "its inspector was opened");
        // What the program wrote was fetched.
        assert_eq!(files(program.dir.path()), ["server.cjs"]);
        program.is_as_before();
    }
    let other = Program::node(24);
    Cli::new().fails(&["snapshot", &other.target(), "--method", "signal"], &["--heapsnapshot-signal"]);
}

#[test]
fn a_load_shows_what_a_snapshot_costs_the_requests() {
    let program = Program::server(Command::new(runtimes::node(24)).arg("--inspect-port=127.0.0.1:0"), false);
    let cli = Cli::new();
    let url = program.url("count");
    let args =
        ["snapshot", &program.target(), "-o", "a.heapsnapshot", "--load", &url, "-n", "2000", "-c", "2"];
    let ended = cli.done(&args);
    assert!(
        ended.out.contains("load: 2 000 requests") || ended.out.contains("load: 2,000 requests"),
        "{ended:?}"
    );
    assert!(ended.out.contains("0 failed") && ended.out.contains("stood still for"), "{ended:?}");
    program.is_as_before();
}
