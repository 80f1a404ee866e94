//! What a process starts, and what replaces it.

use std::process::Command;

use heapsight_testkit::runtimes;

use crate::{
    command::Cli,
    programs::{Program, children, listening, signal, until},
    watcher::Watcher,
};

/// As people write it: all of its processes would open the same port.
const CLUSTER: &str = "
const cluster = require('cluster');
if (cluster.isPrimary ?? cluster.isMaster) {
  cluster.fork(); cluster.fork();
  cluster.on('exit', () => cluster.fork());
  console.log('ready');
  process.stdin.on('end', () => process.exit()).resume();
} else {
  setInterval(() => {}, 1000);
  process.on('disconnect', () => process.exit());
}
";

#[test]
fn the_workers_of_a_cluster_and_those_that_replace_them() {
    for major in [18, 24] {
        let mut command = Command::new(runtimes::node(major));
        let program = Program::start(&mut command, "cluster.cjs", CLUSTER);
        until("it runs", || program.said().contains("ready").then_some(()));
        let cli = Cli::new();
        let mut watcher = Watcher::start(&cli, &[&program.target(), "--on", "restart", "--do", "snapshot"]);
        let pids = |watcher: &Watcher| -> Vec<u32> {
            watcher.all("attached").iter().map(|event| event["pid"].as_u64().unwrap() as u32).collect()
        };
        until("all three are watched", || (pids(&watcher).len() == 3).then_some(()));
        let worker = pids(&watcher)[1];
        assert_ne!(worker, program.pid());
        signal(worker, "KILL");
        let ended = watcher.await_event("ended");
        assert_eq!(ended["pid"], worker, "{ended}");
        let fired = watcher.await_event("fired");
        assert!(fired["why"].as_str().unwrap().contains("it is back"), "{fired}");
        let captured = watcher.await_event("captured");
        assert_eq!(captured["pid"], fired["pid"], "node {major}: {captured}");
        assert!(captured["pid"] != worker && captured["pid"] != program.pid());
        watcher.end();
        let all = children(program.pid());
        assert_eq!(all.len(), 2);
        assert!(
            all.into_iter().chain([program.pid()]).all(|pid| listening(pid).is_empty()),
            "none is left open"
        );
    }
}

#[test]
fn a_program_that_comes_back_is_followed_and_one_that_is_not_to_be_ends_the_watch() {
    let cli = Cli::new();
    let script = cli.path().join("app.cjs");
    std::fs::write(
        &script,
        "setInterval(() => {}, 1000); process.stdin.on('end', () => process.exit()).resume();",
    )
    .unwrap();
    let start = || {
        let mut command = Command::new(runtimes::node(22));
        command
            .arg("--inspect-port=127.0.0.1:0")
            .arg(&script)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut first = start();
    let mut watcher = Watcher::start(&cli, &[&first.id().to_string(), "--on", "restart"]);
    watcher.await_event("attached");
    first.kill().unwrap();
    first.wait().unwrap();
    watcher.await_event("ended");
    let mut second = start();
    let back = watcher.await_that("watching", |event| event["pid"] == second.id());
    assert_eq!(back["runtime"], "Node.js 22.23.3", "{back}");
    let captured = watcher.await_event("captured");
    assert_eq!(captured["pid"], second.id());
    watcher.end();
    let mut watcher = Watcher::start(&cli, &[&second.id().to_string(), "--no-follow"]);
    watcher.await_event("attached");
    second.kill().unwrap();
    second.wait().unwrap();
    watcher.await_event("ended");
    // It ends by itself.
    let pid = watcher.pid();
    until("the watch has ended", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |s| s.contains(") Z "))
            .then_some(())
    });
}

#[test]
fn all_programs_with_a_text_in_their_command_line() {
    // The title takes the place of the command line.
    let text = format!("heapsight-title-{}", std::process::id());
    let (one, other) = (Program::node_with(20, &[&format!("--title={text}")]), Program::node(26));
    let cli = Cli::new();
    let mut watcher = Watcher::start(&cli, &["--all", "--match", &text]);
    watcher.await_that("attached", |event| event["pid"] == one.pid());
    let watching = watcher.all("watching");
    assert!(watching.iter().all(|event| event["pid"] == one.pid()), "{watching:?}");
    watcher.end();
    one.is_as_before();
    other.is_as_before();
}
