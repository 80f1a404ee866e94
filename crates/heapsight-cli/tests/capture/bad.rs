//! What cannot be captured, and what is in the way: the error, its words, and a hint.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use heapsight_testkit::runtimes;

use crate::{
    command::{Cli, Running},
    programs::{Program, until},
};

#[test]
fn no_such_process_and_no_v8_program() {
    let cli = Cli::new();
    let mut other =
        Running::new(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let pid = other.pid().to_string();
    until("it has become `cat`", || {
        (fs::read_to_string(format!("/proc/{pid}/comm")).ok()? == "cat\n").then_some(())
    });
    assert!(other.is_running());
    for command in ["snapshot", "timeline", "sample", "arm"] {
        cli.fails(&[command, &pid], &[&format!("process {pid} (cat) is no V8 program")]);
        cli.fails(&[command, "4194305"], &["there is no process 4194305"]);
        cli.fails(&[command, "app.js"], &["`app.js` is no target"]);
    }
}

#[test]
fn an_output_that_exists_or_cannot_be_written() {
    let program = Program::node(22);
    let cli = Cli::new();
    let target = program.target();
    fs::write(cli.path().join("there"), "precious").unwrap();
    for command in [&["snapshot"][..], &["timeline", "--duration", "1s"], &["sample", "--duration", "1s"]] {
        let args = |file| [command, &[target.as_str(), "-o", file]].concat();
        cli.fails(&args("there"), &["cannot write there: it exists", "--force"]);
        cli.fails(&args("missing/file"), &["there is no folder missing"]);
        program.is_as_before();
    }
    assert_eq!(fs::read_to_string(cli.path().join("there")).unwrap(), "precious");
    cli.done(&["snapshot", &target, "-o", "there", "--force"]);
    assert!(cli.markers("there") > 0);
    cli.fails(&["snapshot", &target, "--repeat", "2", "-o", "several"], &["several snapshots", "one file"]);
    // For root, permissions do not hold; a folder of the kernel does.
    fs::create_dir(cli.path().join("closed")).unwrap();
    fs::set_permissions(cli.path().join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(cli.path().join("closed/probe"), "").is_err() {
        cli.fails(&["snapshot", &target, "-o", "closed/a"], &["no permission to write in closed"]);
    }
    cli.fails(&["snapshot", &target, "-o", "/proc/a.heapsnapshot"], &["cannot write /proc/a.heapsnapshot"]);
    program.is_as_before();
}

#[test]
fn inspectors_that_do_not_open() {
    let cli = Cli::new();
    for (options, words) in
        [(&["--permission"][..], "--allow-inspector"), (&["--disable-sigusr1"], "--disable-sigusr1")]
    {
        let program = Program::node_with(
            24,
            &[options, if options[0] == "--permission" { &["--allow-fs-read=*"] } else { &[] }].concat(),
        );
        for command in ["snapshot", "timeline", "sample", "arm"] {
            cli.fails(&[command, &program.target()], &[words]);
        }
        program.is_as_before();
    }
}

#[test]
fn a_handler_of_its_own_swallows_the_signal() {
    let text = "process.on('SIGUSR1',()=>console.log('swallowed'));process.stdin.on('end',()=>process.exit()).resume();console.log('up')";
    let program = Program::start(&mut Command::new(runtimes::node(20)), "app.cjs", text);
    until("it is up", || program.said().contains("up").then_some(()));
    Cli::new().fails(&["snapshot", &program.target()], &["did not open", "handler of its own"]);
    until("it has had the signal", || program.said().contains("swallowed").then_some(()));
}

#[test]
fn the_port_of_something_else() {
    let program = Program::node(24);
    let cli = Cli::new();
    let address = format!("127.0.0.1:{}", program.port());
    cli.fails(&["snapshot", &address], &["no inspector", "not that of the application"]);
    // A port that was free a moment ago, and to which nobody is led.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    cli.fails(&["snapshot", &free.to_string()], &["nothing listens there"]);
    program.is_as_before();
}

#[test]
fn an_event_loop_that_is_blocked() {
    let program = Program::node(20);
    let cli = Cli::new();
    // A regular expression holds the thread where not even the inspector interrupts it.
    program.ask("block?6000");
    let ended = cli.run(&["snapshot", &program.target(), "-o", "a.heapsnapshot", "--timeout", "500ms"]);
    if ended.code() == Some(0) {
        assert!(cli.markers("a.heapsnapshot") > 0, "an interrupt came through, and the capture is whole");
    } else {
        ended.failed(&[&format!("process {} ", program.pid())]);
        assert_eq!(cli.files(), [""; 0]);
    }
    program.is_as_before();
}

#[test]
fn two_captures_of_one_process_at_once() {
    let program = Program::node(24);
    let cli = Cli::new();
    let target = program.target();
    let first = cli.start(&[
        "sample",
        &target,
        "--during",
        "while [ ! -e go ]; do sleep 0.05; done",
        "-o",
        "a.heapprofile",
    ]);
    until("the first is attached", || program.said().contains("Debugger attached").then_some(()));
    until("the first writes", || cli.files().iter().any(|name| name.ends_with(".partial")).then_some(()));
    let second = cli.run(&["snapshot", &target, "-o", "b.heapsnapshot"]);
    second.failed(&["another heapsight is attached", "wait until it is done"]);
    fs::write(cli.path().join("go"), "").unwrap();
    let ended = first.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(cli.files(), ["a.heapprofile", "a.heapprofile.meta.json", "go"]);
    program.is_as_before();
}
