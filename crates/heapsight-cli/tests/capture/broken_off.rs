//! Captures that are ended in their middle, by whomever: the program goes on, and nothing is left.

use std::{fs, os::unix::process::ExitStatusExt as _, time::Instant};

use crate::{
    command::{Cli, Running},
    programs::{PATIENCE, Program, children, signal, until},
};

const METHODS: [&str; 2] = ["fork", "inspector"];

/// A snapshot that is certainly in its middle: the child stands still, or what it sends is not read.
fn in_the_middle(cli: &Cli, program: &Program, method: &str) -> Running {
    // Enough for a second of work.
    program.ask("ballast?150000");
    let mut running = cli.start(&["snapshot", &program.target(), "--method", method, "-o", "a.heapsnapshot"]);
    let begun = Instant::now();
    loop {
        let child = children(program.pid()).first().copied();
        let partial = || cli.files().iter().any(|name| name.ends_with(".partial"));
        match (method, child) {
            ("fork", Some(child)) => {
                signal(child, "STOP");
                break;
            }
            ("inspector", _) if partial() => break,
            _ => {}
        }
        assert!(begun.elapsed() < PATIENCE && running.is_running(), "{method}: {:?}", running.end());
    }
    running
}

#[test]
fn the_program_is_killed() {
    for method in METHODS {
        let mut program = Program::node(22);
        let cli = Cli::new();
        let running = in_the_middle(&cli, &program, method);
        let pid = program.pid();
        program.kill();
        let ended = running.end();
        ended.failed(&[&format!("process {pid}")]);
        assert_eq!(cli.files(), [""; 0], "{method}");
    }
}

#[test]
fn it_is_interrupted() {
    for method in METHODS {
        for name in ["INT", "TERM"] {
            let program = Program::node(24);
            let cli = Cli::new();
            let running = in_the_middle(&cli, &program, method);
            signal(running.pid(), name);
            let ended = running.end();
            assert_ne!(ended.code(), Some(0), "{method}: {ended:?}");
            assert!(ended.err.contains("the capture was called off"), "{method}: {ended:?}");
            assert_eq!(cli.files(), [""; 0], "{method}");
            program.is_as_before();
        }
    }
}

#[test]
fn heapsight_is_killed_and_the_next_run_tidies_up() {
    for method in METHODS {
        let program = Program::node(20);
        let cli = Cli::new();
        let running = in_the_middle(&cli, &program, method);
        let ended = running.kill();
        assert_eq!(ended.status.signal(), Some(9));
        // A child that a test has stopped notices nothing; as every child it is then let go on.
        for child in children(program.pid()) {
            signal(child, "CONT");
        }
        until("no child is left, also no zombie", || children(program.pid()).is_empty().then_some(()));
        // The inspector, which the killed one had opened, is closed by the process that had its connections, too.
        program.is_as_before();
        let taken = cli.snapshot(&program.target(), &["-o", "next.heapsnapshot"]);
        assert!(cli.markers("next.heapsnapshot") > 0, "{taken}");
        let left = cli.files();
        assert_eq!(left, ["next.heapsnapshot", "next.heapsnapshot.meta.json"], "{method}");
        assert!(fs::exists(cli.path().join("next.heapsnapshot")).unwrap());
        program.ask("count");
    }
}
