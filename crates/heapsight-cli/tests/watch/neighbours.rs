//! Processes that others use, too.

use std::process::Command;

use heapsight_testkit::runtimes;

use crate::{
    command::Cli,
    programs::{Program, listening, signal, until},
    watcher::Watcher,
};

/// Samples itself, and says whether it still does.
const SELF_SAMPLING: &str = "
const { Session } = require('inspector');
const session = new Session();
session.connect();
session.post('HeapProfiler.enable');
session.post('HeapProfiler.startSampling', { samplingInterval: 4096 }, () => console.log('ready'));
globalThis.kept = [];
setInterval(() => { for (let i = 0; i < 50; i++) kept.push({ i, text: 'x' + i }); }, 20);
process.on('SIGUSR2', () => session.post('HeapProfiler.getSamplingProfile', (error, answer) =>
  console.log(error ? 'stopped' : 'samples ' + answer.profile.samples.length)));
process.stdin.on('end', () => process.exit()).resume();
";

#[test]
fn a_process_that_another_profiler_samples_is_not_disturbed() {
    for major in [18, 24] {
        let mut command = Command::new(runtimes::node(major));
        let program = Program::start(command.arg("--inspect-port=127.0.0.1:0"), "app.cjs", SELF_SAMPLING);
        until("it samples itself", || program.said().contains("ready").then_some(()));
        let before = listening(program.pid());
        let cli = Cli::new();
        let mut watcher = Watcher::start(&cli, &[&program.target(), "--on", "rss > 1MiB"]);
        let attached = watcher.await_event("attached");
        assert_eq!(attached["profile"], false, "{attached}");
        assert!(attached["why"].as_str().unwrap().contains("another profiler"), "{attached}");
        watcher.await_event("captured");
        watcher.end();
        until("its inspector is closed", || (listening(program.pid()) == before).then_some(()));
        signal(program.pid(), "USR2");
        let answer = until("it answers", || {
            program
                .said()
                .lines()
                .find(|line| line.starts_with("samples ") || *line == "stopped")
                .map(str::to_owned)
        });
        let samples: u32 = answer.strip_prefix("samples ").expect("its sampling goes on").parse().unwrap();
        assert!(samples > 0, "node {major}");
    }
}

#[test]
fn an_inspector_that_was_open_stays_open() {
    let program = Program::node_with(26, &["--inspect=127.0.0.1:0"]);
    let address = program.inspector();
    let cli = Cli::new();
    // It may be named by that, too.
    let mut watcher = Watcher::start(&cli, &[&address, "--on", "rss > 1MiB"]);
    let attached = watcher.await_event("attached");
    assert_eq!((&attached["pid"], &attached["opened"]), (&program.pid().into(), &false.into()), "{attached}");
    watcher.await_event("captured");
    watcher.end();
    program.is_as_before();
}

#[test]
fn a_runtime_without_an_inspector_of_v8_is_watched_from_outside() {
    let program = Program::server(Command::new(runtimes::bun()).arg("run"), true);
    let cli = Cli::new();
    let mut watcher = Watcher::start(&cli, &[&program.target(), "--on", "rss > 1MiB", "--do", "run true"]);
    let refused = watcher.await_event("not-attached");
    assert!(refused["again_ms"].is_null(), "{refused}");
    watcher.await_event("done");
    watcher.end();
    program.is_as_before();
}
