//! A Node.js for the tests and the soak of fork snapshots, and the simplest way to evaluate JavaScript in it.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use heapsight_capture::{CaptureError, Kind, Result, fork::Evaluate};
use heapsight_testkit::runtimes;
use serde_json::Value;

/// A Node.js that evaluates each line of its standard input, a JSON string, and answers with a line of JSON. A line that
/// begins with `@` is evaluated in its worker.
pub(crate) struct Node {
    pub(crate) process: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    pub(crate) folder: tempfile::TempDir,
}

/// Runs in main thread and worker alike.
pub(crate) const SCRIPT: &str = r"
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

/// Keeps the thread pool and the garbage collector busy, and leaves some time to others.
pub(crate) const LOAD: &str = "\
(() => { const zlib = require('zlib'), crypto = require('crypto'); globalThis.turns = 0;
  const zip = () => zlib.gzip(Buffer.alloc(1 << 16, turns), () => setTimeout(zip, 5));
  const hash = () => crypto.pbkdf2('a', 'b', 500, 64, 'sha512', () => setTimeout(hash, 5));
  const churn = () => { turns++; const a = []; for (let i = 0; i < 20000; i++) a.push({ i, s: 'x' + i });
    globalThis.last = a; setTimeout(churn, 5); };
  zip(); zip(); hash(); hash(); churn(); })()";

impl Node {
    pub(crate) fn new(major: u32) -> Self {
        Self::with(major, "cjs", |_| {})
    }

    pub(crate) fn with(major: u32, extension: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let imports = match extension {
            "mjs" => {
                "import readline from 'node:readline'; import threads from 'node:worker_threads';\n\
                 import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);\n"
            }
            _ => "const readline = require('readline'); const threads = require('worker_threads');\n",
        };
        Self::run(major, |command, file| {
            let file = file.with_extension(extension);
            fs::write(&file, format!("{imports}{SCRIPT}")).unwrap();
            configure(command);
            command.arg(&file);
        })
    }

    /// With a command that `configure` completes; it gets a path for the script.
    pub(crate) fn run(major: u32, configure: impl FnOnce(&mut Command, &Path)) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        // Some tests run it as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(runtimes::node(major));
        configure(&mut command, &folder.path().join("target.cjs"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env_remove("NODE_OPTIONS")
            .env("TMPDIR", folder.path());
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = process.stdout.take().unwrap();
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

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let value = self.ask("", expression, Duration::from_secs(60)).unwrap();
        assert!(value["thrown"].is_null(), "{expression}: {value}");
        value
    }

    pub(crate) fn ask(&mut self, prefix: &str, expression: &str, timeout: Duration) -> Result<Value> {
        let gone =
            |why: &dyn std::fmt::Display| CaptureError::new(Kind::Gone, "the target does not answer", why);
        writeln!(self.input, "{prefix}{}", Value::from(expression)).map_err(|error| gone(&error))?;
        let answer = self.answers.recv_timeout(timeout).map_err(|error| gone(&error))?;
        serde_json::from_str(&answer).map_err(|error| gone(&error))
    }

    pub(crate) fn start_worker(&mut self) -> Worker<'_> {
        let file = self.folder.path().read_dir().unwrap().next().unwrap().unwrap().path();
        self.value(&format!("startWorker({:?})", file.to_str().unwrap()));
        assert_eq!(self.ask("@", "2 + 2", Duration::from_secs(60)).unwrap(), 4);
        Worker(self)
    }

    pub(crate) fn descriptors(&self) -> BTreeSet<(PathBuf, PathBuf)> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let entries = folder.map(|entry| entry.unwrap().path());
        entries.filter_map(|path| Some((path.clone(), fs::read_link(path).ok()?))).collect()
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }

    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
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

pub(crate) struct Worker<'n>(pub(crate) &'n mut Node);

impl Evaluate for Worker<'_> {
    fn evaluate(&mut self, expression: &str, timeout: Duration) -> Result<Value> {
        self.0.ask("@", expression, timeout)
    }
}

/// All processes whose parent is `of`, zombies included.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    numbers.filter(|&pid: &u32| parent(pid) == Some(of)).collect()
}

pub(crate) fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
