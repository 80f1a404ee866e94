//! The tools for agents, over pipes as a client has them.

#![expect(clippy::needless_pass_by_value, reason = "calls read better with their arguments in place")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::{Value, json};

use crate::Cli;

/// A client that speaks the protocol line by line.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    number: u64,
}

impl Client {
    fn start(cli: &Cli, args: &[&str]) -> Self {
        let mut child = cli
            .command(&[&["mcp"], args].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut client = Self { child, input, output, number: 0 };
        let hello = client.ask(
            "initialize",
            &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "heapsight", "{hello}");
        assert!(hello["result"]["instructions"].as_str().unwrap().contains("summary"), "{hello}");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let id = self.number;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "{method}: the server has gone");
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// The text of a call, and whether it says that the call failed.
    fn call(&mut self, tool: &str, arguments: Value) -> (String, bool) {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        (text.to_owned(), result["isError"] == true)
    }

    fn text(&mut self, tool: &str, arguments: Value) -> String {
        let (text, failed) = self.call(tool, arguments);
        assert!(!failed, "{tool}: {text}");
        text
    }

    fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_agent_finds_its_way() {
    let cli = Cli::new();
    std::fs::create_dir(cli.file("captures")).unwrap();
    for name in ["pairA.heapsnapshot", "pairB.heapsnapshot"] {
        cli.write(&format!("captures/{name}"), heapsight_testkit::fixtures::text(name));
    }
    let mut client = Client::start(&cli, &["--allow", "captures"]);
    let tools = client.ask("tools/list", &json!({}));
    let names: Vec<&str> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    let wanted =
        ["files", "summary", "diff", "leak", "suspects", "show", "retainers", "strings", "packages", "query"];
    assert_eq!(names, wanted);
    for tool in tools["result"]["tools"].as_array().unwrap() {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    }
    let file = "pairB.heapsnapshot";
    assert!(client.text("files", json!({})).contains(file));
    let summary = client.text("summary", json!({"file": file, "class": "Leak"}));
    assert!(summary.contains("Leak") && summary.contains("1,200"), "{summary}");
    let few = client.text("summary", json!({"file": file, "limit": 2}));
    assert!(few.contains("more rows (a higher `limit` shows more)"), "{few}");
    let diff = client.text("diff", json!({"old": "pairA.heapsnapshot", "new": file, "class": "Leak"}));
    assert!(diff.contains("+200"), "{diff}");
    let query = client.text("query", json!({"file": file, "query": "class == \"Leak\" limit 1"}));
    assert!(query.contains("1,200 objects"), "{query}");
    let id = query.split_whitespace().find(|word| word.starts_with('@')).unwrap().to_owned();
    assert!(client.text("show", json!({"file": file, "id": id})).starts_with("Leak @"));
    let held = client.text("retainers", json!({"file": file, "target": "Leak"}));
    assert!(held.contains("1,200 objects held in 1 way"), "{held}");
    assert!(client.text("retainers", json!({"file": file, "target": id})).contains("Path 1"));
    let strings = client
        .text("strings", json!({"file": file, "pattern": "dup-string", "duplicates": true, "limit": 3}));
    assert!(strings.contains("dup-string"), "{strings}");
    assert!(client.text("packages", json!({"file": file})).contains("node:internal"));
    let leak = client.text("leak", json!({"files": ["pairA.heapsnapshot", file]}));
    assert!(leak.contains("1 round"), "{leak}");
    let suspects = client.text("suspects", json!({"file": file}));
    assert!(suspects.contains("in captures/pairB.heapsnapshot") || suspects.contains(file), "{suspects}");
    let (text, failed) = client.call("query", json!({"file": file, "query": "round == 1"}));
    assert!(failed && text.contains("only several snapshots say"), "{text}");
    // Bounded, whatever is asked for.
    let all = client.text("strings", json!({"file": file, "limit": 100_000}));
    assert!(all.len() < 200_000 && all.lines().count() <= 503, "{}", all.len());
    assert_eq!(client.end(), Some(0));
}

#[test]
fn an_agent_opens_only_what_it_may() {
    let cli = Cli::new();
    let inside = cli.fixture("pairB.heapsnapshot");
    cli.write("secret.heapsnapshot", heapsight_testkit::fixtures::text("pairA.heapsnapshot"));
    std::fs::create_dir(cli.file("captures")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(cli.file("secret.heapsnapshot"), cli.file("captures/link.heapsnapshot"))
        .unwrap();
    let mut client = Client::start(&cli, &[inside.to_str().unwrap(), "--allow", "captures"]);
    let secret = cli.file("secret.heapsnapshot");
    for path in [
        secret.to_str().unwrap(),
        "secret.heapsnapshot",
        "captures/../secret.heapsnapshot",
        "captures/link.heapsnapshot",
        "/etc/passwd",
        "",
        "captures",
    ] {
        for arguments in [json!({"file": path}), json!({"file": path, "class": "Leak"})] {
            let (text, failed) = client.call("summary", arguments);
            assert!(failed && text.contains("may not be opened"), "{path}: {text}");
        }
        let (text, failed) = client.call("leak", json!({"files": ["pairB.heapsnapshot", path]}));
        assert!(failed && text.contains("may not be opened"), "{path}: {text}");
    }
    assert!(!client.text("files", json!({})).contains("secret"));
    // What is wrong is said so that it can be mended, and the server goes on.
    for (tool, arguments, wanted) in [
        ("query", json!({"file": "pairB.heapsnapshot", "query": "clas == \"x\""}), "did you mean `class`?"),
        ("show", json!({"file": "pairB.heapsnapshot", "id": "@1x"}), "is not an object id"),
        ("show", json!({"file": "pairB.heapsnapshot"}), "`id` is missing"),
        ("summary", json!({"file": 7}), "`file` is no string"),
        ("summary", json!({"file": "pairB.heapsnapshot", "top": 3}), "takes no argument `top`"),
    ] {
        let (text, failed) = client.call(tool, arguments);
        assert!(failed && text.contains(wanted), "{text}");
    }
    let unknown = client.ask("tools/call", &json!({"name": "rm", "arguments": {}}));
    assert!(unknown["error"]["message"].as_str().unwrap().contains("no tool `rm`"), "{unknown}");
    assert!(client.text("summary", json!({"file": "pairB.heapsnapshot"})).contains("Leak"));
    assert_eq!(client.end(), Some(0));
    let nothing = cli.shown(&["mcp"]);
    assert!(nothing.contains("exit: 2") && nothing.contains("the agent may open nothing"), "{nothing}");
}
