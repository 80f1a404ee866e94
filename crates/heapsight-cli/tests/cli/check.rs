//! `heapsight check`: exit codes, limits, known leaks, and the files for continuous integration.
//!
//! The snapshots are those of the demonstration, of a server that keeps one session for each request.

use std::{fs, process::Output};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{Cli, show};

const CLASSES: [&str; 6] = ["--class", "Session<=0", "--class", "/^(Map|Set)$/<=100", "--class", "Nope=0"];

/// The demonstration without Node.js, which looks at snapshots.
fn run(cli: &Cli, args: &[&str]) -> Output {
    let args = [&["check", "--demo", "--quiet", "--no-cache"], args].concat();
    cli.command(&args).env("PATH", "/nowhere").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn limits_decide_the_exit_code() {
    let cli = Cli::new();
    for (args, failed) in [
        (&[][..], 1),
        (&["--max-growth", "119KiB"], 0),
        (&["--max-growth", "607B/request"], 1),
        (&["--max-growth", "1GB", "--class", "Session<=200", "--class", "Session=201"], 1),
        (&["--max-growth", "1GB", "--class", "Session<=201", "--class", "Session=201"], 0),
    ] {
        let output = run(&cli, args);
        assert_eq!(code(&output), failed, "{args:?}: {}", show(&output));
    }
}

#[test]
fn what_is_said() {
    let cli = Cli::new();
    assert_snapshot!("check", show(&run(&cli, &CLASSES)));
    assert_snapshot!("check_passed", show(&run(&cli, &["--max-growth", "1MiB"])));
    assert_snapshot!("check_markdown", show(&run(&cli, &[&CLASSES[..], &["--markdown", "-"]].concat())));
    assert_snapshot!("check_table", show(&run(&cli, &[&CLASSES[..], &["--format", "csv"]].concat())));
    assert_snapshot!("help_check", cli.shown(&["check", "--help"]));
    assert_snapshot!("help_report", cli.shown(&["report", "--help"]));
    let found = answer(&run(&cli, &[&CLASSES[..], &["--json"]].concat()));
    assert_eq!(
        (&found["passed"], &found["failure_count"], &found["max_growth_per"]),
        (&json!(false), &json!(2), &json!("round"))
    );
    let leak = &found["leaks"][0];
    assert_eq!((&leak["state"], &leak["failed"]), (&json!("new"), &json!(true)));
    assert_eq!((&leak["title"], &leak["location"]["line"]), (&json!("MemoryStore.sessions"), &json!(11)));
    let class = &found["classes"][0];
    assert_eq!((&class["counts"], &class["growth"]), (&json!([201, 402, 603, 804]), &json!(201.0)));
    assert_eq!(class["location"]["line"], 4);
}

#[test]
fn known_leaks_pass_until_they_are_worse() {
    let cli = Cli::new();
    let written = run(&cli, &["--write-baseline", "leaks.json", "--json"]);
    assert_eq!((code(&written), &answer(&written)["leaks"][0]["state"]), (0, &json!("known")));
    let text = fs::read_to_string(cli.file("leaks.json")).unwrap();
    assert_snapshot!("check_baseline", text);
    let again = run(&cli, &["--baseline", "leaks.json"]);
    assert_eq!(code(&again), 0);
    assert_snapshot!("check_known", show(&again));

    // It gained less before: by a fifth it may grow, by a half it may not.
    for (before, failed, state) in [("506", 0, "known"), ("405", 1, "worse")] {
        cli.write("less.json", text.replace("607.3", before));
        let output = run(&cli, &["--baseline", "less.json", "--json"]);
        assert_eq!((code(&output), &answer(&output)["leaks"][0]["state"]), (failed, &json!(state)));
    }
    let tolerant = run(&cli, &["--baseline", "less.json", "--tolerance", "60"]);
    assert_eq!(code(&tolerant), 0, "{}", show(&tolerant));

    // Another one is no excuse, and is told of.
    cli.write("other.json", text.replace(":1\"", ":2\""));
    let output = run(&cli, &["--baseline", "other.json", "--json"]);
    assert_eq!((code(&output), answer(&output)["gone"].as_array().unwrap().len()), (1, 1));
}

#[test]
fn junit_has_a_test_for_each_leak_and_limit() {
    let cli = Cli::new();
    let output = run(&cli, &[&CLASSES[..], &["--junit", "junit.xml"]].concat());
    assert_eq!(code(&output), 1);
    let text = fs::read_to_string(cli.file("junit.xml")).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let suites = document.root_element();
    assert_eq!(suites.tag_name().name(), "testsuites");
    let suite = suites.children().find(roxmltree::Node::is_element).unwrap();
    let numbers = ["tests", "failures", "errors", "skipped"].map(|name| suite.attribute(name).unwrap());
    assert_eq!((suite.tag_name().name(), numbers), ("testsuite", ["4", "2", "0", "0"]));
    let cases: Vec<(String, bool)> = suite
        .children()
        .filter(|node| node.has_tag_name("testcase"))
        .map(|node| {
            let name =
                format!("{} {}", node.attribute("classname").unwrap(), node.attribute("name").unwrap());
            (name, node.children().any(|child| child.has_tag_name("failure")))
        })
        .collect();
    let wanted = [
        ("heapsight.leak MemoryStore.sessions (/srv/demo/store.js:11)", true),
        ("heapsight.class Session <= 0 a round", true),
        ("heapsight.class /^(Map|Set)$/ <= 100 a round", false),
        ("heapsight.class Nope = 0 a round", false),
    ];
    assert_eq!(cases, wanted.map(|(name, failed)| (name.to_owned(), failed)));
    let failure = suite.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert!(failure.text().unwrap().contains("kept alive by"));

    let known = run(&cli, &["--write-baseline", "leaks.json", "--junit", "known.xml"]);
    assert_eq!(code(&known), 0);
    let text = fs::read_to_string(cli.file("known.xml")).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("skipped")).count(), 1);
}

#[test]
fn sarif_points_at_lines() {
    let cli = Cli::new();
    assert_eq!(code(&run(&cli, &[&CLASSES[..], &["--sarif", "out.sarif"]].concat())), 1);
    let text = fs::read_to_string(cli.file("out.sarif")).unwrap();
    let sarif: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&sarif["version"], sarif["runs"].as_array().unwrap().len()), (&json!("2.1.0"), 1));
    let run_of = &sarif["runs"][0];
    let results = run_of["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let rule = &run_of["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!((&result["ruleId"], &result["level"]), (&rule["id"], &json!("error")));
        assert!(result["partialFingerprints"]["heapsightLeak/v1"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "file:///srv/demo/store.js");
    }
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["startLine"], 11);
}

#[test]
fn the_page_of_a_job_is_added_to() {
    let cli = Cli::new();
    let page = cli.write("page.md", "before\n");
    let args = ["check", "--demo", "--no-cache", "--step-summary"];
    let with = cli.command(&args).env("PATH", "/nowhere").env("GITHUB_STEP_SUMMARY", &page).output().unwrap();
    assert_eq!(code(&with), 1);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("before\n## ❌ Heapsight"), "{text}");
    let without = cli.command(&args).env("PATH", "/nowhere").output().unwrap();
    assert!(show(&without).contains("GITHUB_STEP_SUMMARY is not set"));
}

#[test]
fn what_cannot_be_done_is_said_before_the_hunt() {
    let cli = Cli::new();
    cli.write("there", "{}");
    for (args, why) in [
        (&["--junit", "there"][..], "cannot write there: it exists"),
        (&["--baseline", "nowhere.json"], "cannot read nowhere.json"),
        (&["--baseline", "there"], "no file of known leaks"),
        (&["--class", "Session"], "a limit looks like"),
        (&["--max-growth", "1MB/s"], "/round or /request"),
    ] {
        let output = run(&cli, args);
        let shown = show(&output);
        assert!(code(&output) == 2 && shown.contains(why), "{args:?}: {shown}");
    }
    for name in ["pairA.heapsnapshot", "pairB.heapsnapshot"] {
        cli.fixture(name);
    }
    let files = ["check", "pairA.heapsnapshot", "pairB.heapsnapshot", "--max-growth", "1B/request"];
    assert!(cli.shown(&files).contains("requests were not counted"));
}
