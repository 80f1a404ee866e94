//! Snapshots of every runtime by every method: whole, with the same objects as V8's own, and nothing left behind.

use std::process::Command;

use heapsight_testkit::runtimes;

use crate::{
    command::Cli,
    programs::{IN_WORKER, MAJORS, MARKERS, Program, until},
};

/// Captures by both methods and compares with what V8 writes itself.
fn both_methods(major: u32, program: &Program) {
    let cli = Cli::new();
    let own = cli.path().join("own.heapsnapshot");
    program.ask(&format!("write?{}", own.display()));
    let expected = cli.markers("own.heapsnapshot");
    // V8 counts the prototype with its class.
    assert!((MARKERS..=MARKERS + 1).contains(&expected), "node {major}: {expected}");
    for method in ["fork", "inspector"] {
        let file = format!("{method}.heapsnapshot");
        let taken = cli.snapshot(&program.target(), &["--method", method, "-o", &file]);
        assert_eq!((&taken["method"], &taken["runtime"]), (&method.into(), &"node".into()), "{taken}");
        assert!(
            taken["version"].as_str().unwrap().trim_start_matches('v').starts_with(&major.to_string()),
            "{taken}"
        );
        assert_eq!(cli.markers(&file), expected, "node {major}, {method}");
        let side = cli.side_file(&file);
        assert_eq!(side["capture"]["nodes"], taken["nodes"]);
        assert_eq!(side["process"]["pid"], program.pid());
        let urls = side["scripts"].as_array().unwrap();
        assert!(urls.iter().any(|script| script["url"].as_str().unwrap().contains("/server.")), "{side}");
        program.is_as_before();
    }
    assert_eq!(cli.files().len(), 5, "{:?}", cli.files());
}

#[test]
fn every_version_of_node_by_both_methods() {
    for major in MAJORS {
        both_methods(major, &Program::node(major));
    }
}

#[test]
fn servers_that_are_modules() {
    for major in [16, 26] {
        both_methods(major, &Program::module(major));
    }
}

#[test]
fn worker_threads_alone_and_all_threads_into_a_folder() {
    for major in [18, 24] {
        let program = Program::node(major);
        program.ask("worker");
        let cli = Cli::new();
        let alone = |method: &str| {
            let file = format!("{method}.heapsnapshot");
            let taken = cli.snapshot(&program.target(), &["--thread", "1", "--method", method, "-o", &file]);
            assert_eq!((&taken["thread"], &taken["method"]), (&1.into(), &method.into()), "{taken}");
            cli.side_file(&file);
            cli.markers(&file)
        };
        let (forked, inspected) = (alone("fork"), alone("inspector"));
        assert_eq!(forked, inspected, "node {major}");
        assert!((IN_WORKER..=IN_WORKER + 1).contains(&forked), "node {major}: {forked}");
        std::fs::create_dir(cli.path().join("all")).unwrap();
        let answer = cli.json(&["snapshot", &program.target(), "--thread", "all", "-o", "all"]);
        let counts: Vec<u64> = answer["captures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|taken| cli.markers(taken["file"].as_str().unwrap()))
            .collect();
        let extra = forked - IN_WORKER;
        assert_eq!(counts, [MARKERS + extra, IN_WORKER + extra], "node {major}");
        program.is_as_before();
    }
}

#[test]
fn deno_by_the_address_of_its_inspector() {
    let program =
        Program::server(Command::new(runtimes::deno()).args(["run", "-A", "--inspect=127.0.0.1:0"]), true);
    let cli = Cli::new();
    let taken = cli.snapshot(&program.inspector(), &["-o", "deno.heapsnapshot"]);
    assert_eq!((&taken["runtime"], &taken["method"]), (&"deno".into(), &"inspector".into()), "{taken}");
    let count = cli.markers("deno.heapsnapshot");
    assert!((MARKERS..=MARKERS + 1).contains(&count), "{count}");
    cli.side_file("deno.heapsnapshot");
    // What was open stays open.
    program.is_as_before();
}

#[test]
fn a_page_of_chromium_by_the_address_of_its_inspector() {
    let page = "<title>Alpha</title><script>class HeapsightMarker{constructor(i){this.text='m'+i}};\
        window.kept=Array.from({length:5000},(_,i)=>new HeapsightMarker(i))</script>";
    let mut command = Command::new(runtimes::chromium());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync", "--remote-debugging-port=0"]);
    command.arg("--user-data-dir=data");
    let program = Program::start(&mut command, "page.html", page);
    let cli = Cli::new();
    let taken = until("the page is loaded", || {
        let ended =
            cli.run(&["snapshot", &program.inspector(), "-o", "page.heapsnapshot", "--force", "--json"]);
        if ended.code() != Some(0) {
            return None;
        }
        let answer: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        (cli.markers("page.heapsnapshot") >= MARKERS).then(|| answer["captures"][0].clone())
    });
    assert_eq!(taken["method"], "inspector", "{taken}");
    assert!(cli.markers("page.heapsnapshot") <= MARKERS + 1);
    cli.side_file("page.heapsnapshot");
}

#[test]
fn bun_is_refused_with_what_to_do_instead() {
    let program = Program::server(Command::new(runtimes::bun()).arg("run"), true);
    let cli = Cli::new();
    cli.fails(&["snapshot", &program.target()], &["Bun", "generateHeapSnapshot(\"v8\")"]);
    program.is_as_before();
}
