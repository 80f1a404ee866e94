//! `heapsight ps` on real processes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use heapsight_testkit::runtimes;
use serde_json::Value;

/// A Node.js that ends with its test.
struct Node(Child);

impl Node {
    fn start(major: u32, options: &[&str]) -> Self {
        let script = "process.stdin.on('end',()=>process.exit()).resume();console.log('ready')";
        let mut command = Command::new(runtimes::node(major));
        command.env_remove("NODE_OPTIONS").args(options).args(["-e", script, "two words", "\u{1b}[31m"]);
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut node = Self(child);
        let mut line = String::new();
        BufReader::new(node.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        node
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn heapsight(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heapsight"));
    command.args(args).env_clear().env("COLUMNS", "140").stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn all_processes_as_a_table_and_as_json() {
    let nodes = [Node::start(18, &[]), Node::start(26, &["--disable-sigusr1"])];
    let output = heapsight(&["ps"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("PID "), "{shown}");
    let line = |node: &Node| {
        let start = format!("{} ", node.pid());
        shown.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
    };
    assert!(line(&nodes[0]).contains("Node.js  18.20.8"), "{shown}");
    assert!(line(&nodes[0]).contains("fork, inspector, near-limit"), "{shown}");
    assert!(line(&nodes[1]).contains("26.10.0") && !line(&nodes[1]).contains("fork"), "{shown}");
    // Command lines of others cannot drive the terminal.
    assert!(!shown.contains('\u{1b}'));

    let json: Value = serde_json::from_slice(&heapsight(&["ps", "--json"]).stdout).unwrap();
    let of = |node: &Node| {
        let pid: u64 = node.pid().parse().unwrap();
        json["processes"].as_array().unwrap().iter().find(|p| p["pid"] == pid).unwrap()
    };
    assert_eq!(of(&nodes[0])["version"], "18.20.8");
    assert_eq!(of(&nodes[0])["sigusr1"], "opens");
    assert!(of(&nodes[0])["heap_size"].as_u64().unwrap() > 1 << 20);
    assert_eq!(of(&nodes[1])["sigusr1"], "blocked");
    let methods = of(&nodes[1])["methods"].as_array().unwrap();
    assert!(methods.len() == 4 && methods.iter().all(|m| m["works"] == false));
    assert!(json["unreadable_count"].is_u64());
    let csv = text(&heapsight(&["ps", "--format", "csv"]).stdout);
    assert!(csv.starts_with(
        "pid,runtime,version,heap_size,resident_size,workers,inspector,methods,container,command\n"
    ));
}

#[test]
fn one_process_with_reasons_and_costs() {
    let node = Node::start(22, &["--inspect=0"]);
    let output = heapsight(&["ps", &node.pid()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.starts_with(&format!("process {}: Node.js 22.23.3\n", node.pid())), "{shown}");
    for word in
        ["V8          12.4.", "inspector   yes it is open at 127.0.0.1:", "of pause", "--heapsnapshot-signal"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 140 || line.starts_with("command")), "{shown}");
    let json: Value = serde_json::from_slice(&heapsight(&["ps", &node.pid(), "--json"]).stdout).unwrap();
    let fork = &json["predictions"][0];
    assert_eq!((&fork["method"], &fork["verdict"]), (&Value::from("fork"), &Value::from("fine")));
    assert!(fork["memory"].as_u64().unwrap() > 1 << 20 && fork["pause_ms"].as_u64().unwrap() < 1000);

    let closed = Node::start(24, &["--permission"]);
    let output = heapsight(&["ps", &closed.pid()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("start it with --allow-inspector"));
}

#[test]
fn what_is_no_v8_process_is_an_error_with_a_hint() {
    let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = other.id().to_string();
    // It has become `cat` when it repeats what it is told.
    std::io::Write::write_all(other.stdin.as_mut().unwrap(), b"here\n").unwrap();
    let mut line = String::new();
    BufReader::new(other.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let output = heapsight(&["ps", &pid]);
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.starts_with(&format!("heapsight: process {pid} (cat) is no V8 program")), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
    let gone = heapsight(&["ps", &pid]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).contains(&format!("there is no process {pid}")));
    assert_eq!(heapsight(&["ps", "0"]).status.code(), Some(2));
    assert_eq!(heapsight(&["ps", "node"]).status.code(), Some(2));
}
