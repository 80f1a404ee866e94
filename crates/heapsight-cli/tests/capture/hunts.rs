//! `heapsight leak` in running programs.

use std::{fs, net::TcpListener, path::Path, process::Command};

use heapsight_testkit::runtimes;
use serde_json::Value;

use crate::{
    command::{Cli, Ended, Running},
    programs::Program,
};

/// The first suspect's title, file, and members gained in each round.
fn first(answer: &Value) -> (String, String, Vec<u64>) {
    let suspect = &answer["suspects"][0];
    let url = suspect["location"]["url"].as_str().unwrap_or_default();
    let file = Path::new(url).file_name().map(|name| name.to_string_lossy().into_owned());
    (
        suspect["title"].as_str().unwrap().to_owned(),
        file.unwrap_or_default(),
        suspect["counts"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect(),
    )
}

fn answer(ended: &Ended) -> Value {
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Runs a command with its own place for what is temporary, of which nothing must be left.
fn run(cli: &Cli, command: &mut Command) -> Ended {
    let scratch = cli.path().join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let ended = Running::new(command.env("TMPDIR", &scratch).spawn().unwrap()).end();
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{ended:?}");
    ended
}

#[test]
fn the_demonstration_hunts_in_a_server_or_in_snapshots() {
    for node in [Some(18), Some(24), None] {
        let cli = Cli::new();
        let mut command = cli.command(&["leak", "--demo", "-n", "200", "--json"]);
        let path = node.map(|major| runtimes::node(major).parent().unwrap().to_owned());
        let ended = run(&cli, command.env("PATH", path.as_deref().unwrap_or(Path::new("/nowhere"))));
        assert_eq!(ended.err.contains("there is no `node`"), node.is_none(), "{ended:?}");
        let answer = answer(&ended);
        let (title, file, counts) = first(&answer);
        assert_eq!((title.as_str(), file.as_str()), ("MemoryStore.sessions", "store.js"), "{answer}");
        // One request more looks whether the URL answers.
        assert!(counts.iter().all(|&count| count == 200 || count == 201), "{counts:?}");
        assert_eq!(answer["suspects"].as_array().unwrap().len(), 1, "{answer}");
        // Nobody sampled what the snapshots were taken of.
        let allocated = &answer["suspects"][0]["allocated_in"];
        assert_eq!(allocated.is_object(), node.is_some(), "{answer}");
        if node.is_some() {
            // The object, its entry in the map and what its constructor makes are allocated one in the other; which of these
            // most samples are of is chance.
            let place = |frame: &Value| (frame["function"].clone(), frame["location"]["line"].clone());
            let places = [("Session", 4), ("MemoryStore.set", 18), ("session", 14)];
            let places = places.map(|(name, line)| (Value::from(name), Value::from(line)));
            assert!(places.contains(&place(allocated)), "{allocated}");
            let stack: Vec<_> = allocated["stack"].as_array().unwrap().iter().map(place).collect();
            assert!(stack.contains(&places[2]), "{allocated}");
            assert!(allocated["exact"] == false && allocated["count"].as_u64() > Some(1), "{allocated}");
        }
    }
}

#[test]
fn a_running_program_is_hunted_in_and_left_as_it_was() {
    let program = Program::node(22);
    let cli = Cli::new();
    let target = program.target();
    let add = program.url("add?3");
    let load = ["--load", add.as_str(), "-n", "60", "-c", "3", "--rounds", "2", "--json"];
    let ended = run(&cli, &mut cli.command(&[&["leak", target.as_str()], &load[..]].concat()));
    // The program keeps them in a global variable as well.
    let (title, _, counts) = first(&answer(&ended));
    assert_eq!(title, "global.kept", "{ended:?}");
    assert!(counts.iter().all(|count| (180..=183).contains(count)), "{counts:?}");
    program.is_as_before();

    // Where nothing happens nothing leaks; the snapshots are kept where that is asked for.
    let quiet = ["--duration", "300ms", "--rounds", "2", "--keep", "kept", "--json"];
    let ended = run(&cli, &mut cli.command(&[&["leak", target.as_str()], &quiet[..]].concat()));
    assert_eq!(answer(&ended)["suspects"].as_array().unwrap().len(), 0, "{ended:?}");
    for turn in 0..=2 {
        assert!(cli.markers(&format!("kept/round-{turn}.heapsnapshot")) > 0);
    }
    program.is_as_before();
}

#[test]
fn a_hunt_that_cannot_be_says_why() {
    let program = Program::node(20);
    let cli = Cli::new();
    let target = program.target();
    cli.fails(&["leak", &target], &["nothing says what a round of work is"]);
    cli.fails(&["leak", &target, "--during", "exit 3"], &["the command of --during failed"]);
    cli.fails(&["leak", &target, "--interactive"], &["standard input has ended"]);
    let broken = program.url("write?/nowhere/at/all");
    cli.fails(&["leak", &target, "--load", &broken, "-n", "5", "--timeout", "2s"], &["status 500"]);
    cli.fails(&["leak", "one.heapsnapshot"], &["one snapshot does not show what grows"]);
    program.is_as_before();
}

/// The server of the demonstration in the working folder, with other numbers of process, port and objects each time.
#[test]
fn a_gate_knows_a_leak_again_and_points_into_the_working_folder() {
    let cli = Cli::new();
    for name in ["server.js", "store.js"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name);
        fs::copy(path, cli.path().join(name)).unwrap();
    }
    let check = |major: u32, options: &[&str]| {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.unwrap().port().to_string();
        let (url, node) = (format!("http://127.0.0.1:{port}/"), runtimes::node(major));
        let hunt = ["check", "--load", &url, "-n", "60", "--rounds", "2", "--json"];
        let program = ["--", node.to_str().unwrap(), "server.js", &port];
        run(&cli, &mut cli.command(&[&hunt[..], options, &program[..]].concat()))
    };
    let first = check(22, &["--sarif", "first.sarif", "--report", "first.html"]);
    assert_eq!(first.code(), Some(1), "{first:?}");
    let answer: Value = serde_json::from_str(&first.out).unwrap();
    let leak = &answer["leaks"][0];
    assert_eq!((&leak["state"], &leak["file"]), (&"new".into(), &"store.js".into()), "{leak:#}");
    let sarif = fs::read_to_string(cli.path().join("first.sarif")).unwrap();
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], serde_json::json!({"uri": "store.js", "uriBaseId": "%SRCROOT%"}));
    let line = place["region"]["startLine"].as_u64().unwrap() as usize;
    let text = fs::read_to_string(cli.path().join("store.js")).unwrap();
    assert!(text.lines().nth(line - 1).unwrap().contains("class MemoryStore"), "line {line}");
    assert!(fs::metadata(cli.path().join("first.html")).unwrap().len() > 50_000);

    let recorded = check(22, &["--write-baseline", "leaks.json"]);
    assert_eq!(recorded.code(), Some(0), "{recorded:?}");
    // Other versions of Node.js need other bytes for the same.
    let known = check(24, &["--baseline", "leaks.json", "--tolerance", "100"]);
    assert_eq!(known.code(), Some(0), "{known:?}");
    let answer: Value = serde_json::from_str(&known.out).unwrap();
    assert_eq!(answer["leaks"][0]["state"], "known", "{answer:#}");
}
