//! Fork snapshots of real processes: Node.js from 16 to 26, its main thread and its workers, in good and bad conditions.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind, Result,
    fork::{Evaluate, Fork, Options, Progress, Report, Sink, Verdict},
};
use heapsight_snapshot::{NodeKind, ReadOptions, Snapshot, read};
use heapsight_testkit::runtimes;
use serde_json::Value;

const MAJORS: [u32; 6] = [16, 18, 20, 22, 24, 26];

/// A Node.js that evaluates each line of its standard input, a JSON string, and answers with a line of JSON. A line that
/// begins with `@` is evaluated in its worker.
struct Node {
    process: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    folder: tempfile::TempDir,
}

/// Runs in main thread and worker alike.
const SCRIPT: &str = r"
class Marker { constructor(i) { this.tag = 'tag of a marker'; this.number = i; } }
globalThis.Marker = Marker;
globalThis.kept = [];
globalThis.keep = (n) => { for (let i = 0; i < n; i++) kept.push(new Marker(i)); return kept.length; };
globalThis.require = require;
const answer = (line) => {
  try { const value = (0, eval)(JSON.parse(line)); return JSON.stringify(value === undefined ? null : value); }
  catch (error) { return JSON.stringify({ thrown: String(error && error.stack) }); }
};
if (threads.isMainThread) {
  let worker;
  globalThis.startWorker = (file) => {
    worker = new threads.Worker(file);
    worker.on('message', (text) => process.stdout.write(text + '\n'));
  };
  globalThis.stopWorker = () => { worker.terminate(); };
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    if (line[0] === '@') worker.postMessage(line.slice(1));
    else process.stdout.write(answer(line) + '\n');
  });
} else {
  threads.parentPort.on('message', (line) => threads.parentPort.postMessage(answer(line)));
}
";

/// Keeps the thread pool and the garbage collector busy.
const LOAD: &str = "\
(() => { const zlib = require('zlib'), crypto = require('crypto'); globalThis.turns = 0;
  const zip = () => zlib.gzip(Buffer.alloc(1 << 18, turns), () => setImmediate(zip));
  const hash = () => crypto.pbkdf2('a', 'b', 3000, 64, 'sha512', () => setImmediate(hash));
  const churn = () => { turns++; const a = []; for (let i = 0; i < 20000; i++) a.push({ i, s: 'x' + i });
    globalThis.last = a; setImmediate(churn); };
  zip(); zip(); hash(); hash(); churn(); })()";

impl Node {
    fn new(major: u32) -> Self {
        Self::with(major, "cjs", |_| {})
    }

    fn with(major: u32, extension: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let imports = match extension {
            "mjs" => {
                "import readline from 'node:readline'; import threads from 'node:worker_threads';\n\
                 import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);\n"
            }
            _ => "const readline = require('readline'); const threads = require('worker_threads');\n",
        };
        let script = folder.path().join(format!("target.{extension}"));
        fs::write(&script, format!("{imports}{SCRIPT}")).unwrap();
        let mut command = Command::new(runtimes::node(major));
        command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).env_remove("NODE_OPTIONS");
        command.env("TMPDIR", folder.path());
        configure(&mut command);
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output: ChildStdout = process.stdout.take().unwrap();
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut node = Self { process, input, answers, folder };
        assert_eq!(node.value("1 + 1"), 2);
        node
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn value(&mut self, expression: &str) -> Value {
        let value = self.ask("", expression, Duration::from_secs(60)).unwrap();
        assert!(value["thrown"].is_null(), "{expression}: {value}");
        value
    }

    fn ask(&mut self, prefix: &str, expression: &str, timeout: Duration) -> Result<Value> {
        let gone =
            |why: &dyn std::fmt::Display| CaptureError::new(Kind::Gone, "the target does not answer", why);
        writeln!(self.input, "{prefix}{}", Value::from(expression)).map_err(|error| gone(&error))?;
        let answer = self.answers.recv_timeout(timeout).map_err(|error| gone(&error))?;
        serde_json::from_str(&answer).map_err(|error| gone(&error))
    }

    fn start_worker(&mut self) -> Worker<'_> {
        let file = self.folder.path().read_dir().unwrap().next().unwrap().unwrap().path();
        self.value(&format!("startWorker({:?})", file.to_str().unwrap()));
        assert_eq!(self.ask("@", "2 + 2", Duration::from_secs(60)).unwrap(), 4);
        Worker(self)
    }

    fn descriptors(&self) -> BTreeSet<(PathBuf, PathBuf)> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let entries = folder.map(|entry| entry.unwrap().path());
        entries.filter_map(|path| Some((path.clone(), fs::read_link(path).ok()?))).collect()
    }

    /// All processes whose parent this is, zombies included.
    fn children(&self) -> Vec<u32> {
        let numbers =
            fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
        numbers.filter(|&pid: &u32| parent(pid) == Some(self.pid())).collect()
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Evaluate for Node {
    fn evaluate(&mut self, expression: &str, timeout: Duration) -> Result<Value> {
        self.ask("", expression, timeout)
    }
}

struct Worker<'n>(&'n mut Node);

impl Evaluate for Worker<'_> {
    fn evaluate(&mut self, expression: &str, timeout: Duration) -> Result<Value> {
        self.0.ask("@", expression, timeout)
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} within 20 s");
        thread::sleep(Duration::from_millis(2));
    }
}

fn capture(evaluator: &mut dyn Evaluate, pid: u32, options: &Options) -> (Report, Snapshot) {
    let mut bytes = Vec::new();
    let mut fork = Fork::prepare(pid).unwrap();
    let report = fork.capture(evaluator, options, &mut bytes, &mut |_: &Progress| Verdict::Continue).unwrap();
    assert_eq!(report.bytes, bytes.len() as u64);
    assert!(report.confined);
    (report, read(&*bytes, ReadOptions::default()).unwrap())
}

/// The ids of the instances of `Marker`.
fn markers(snapshot: &Snapshot) -> BTreeSet<u32> {
    let tag = snapshot.strings.find("tag");
    let name = snapshot.strings.find("Marker");
    let instance = |&node: &u32| {
        snapshot.node_kind(node) == NodeKind::OBJECT
            && name.contains(&snapshot.nodes.name[node as usize])
            && snapshot
                .edges_of(node)
                .any(|edge| snapshot.edge_string(edge).is_some_and(|s| tag.contains(&s)))
    };
    let nodes = 0..snapshot.node_count() as u32;
    nodes.filter(instance).map(|node| snapshot.nodes.id[node as usize]).collect()
}

#[test]
fn every_version_is_captured_whole_and_nothing_is_left() {
    for major in MAJORS {
        for extension in ["cjs", "mjs"] {
            let mut node = Node::with(major, extension, |_| {});
            node.value("keep(5000)");
            let (before, files) = (node.descriptors(), node.files());
            let pid = node.pid();
            let (report, snapshot) = capture(&mut node, pid, &Options::default());
            assert_eq!(markers(&snapshot).len(), 5000, "node {major} {extension}");
            assert!(report.version.starts_with(&format!("v{major}.")));
            assert_eq!((report.tries, report.stable_ids), (1, false));
            assert!(report.pause < Duration::from_secs(2), "{report:?}");
            eprintln!("node {major} {extension}: {report:?}");
            let threads = node.threads();
            let (second, _) = capture(&mut node, pid, &Options::default());
            assert_ne!(second.child, report.child);
            assert_eq!(node.descriptors(), before, "node {major}: descriptors");
            assert_eq!(node.children(), [0; 0], "node {major}: children");
            assert_eq!(node.files(), files, "node {major}: files");
            until("the thread that waits ends", || node.threads() <= threads);
            assert_eq!(node.value("kept.length"), 5000);
        }
    }
}
