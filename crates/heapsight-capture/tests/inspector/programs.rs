//! Programs to capture from, and what stands between them and the client.

use std::{
    io::{BufRead as _, BufReader, Cursor, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    ops::ControlFlow,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::inspector::{AttachOptions, Progress, announced};
use heapsight_snapshot::{NodeKind, ReadOptions, Snapshot};
use heapsight_testkit::runtimes;
use tempfile::TempDir;
use tungstenite::{Message, WebSocket, protocol::Role};

pub(crate) const MAJORS: [u32; 6] = [16, 18, 20, 22, 24, 26];
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// So many objects of a class keep a program's heap recognisable.
pub(crate) const MARKERS: usize = 1234;

/// Keeps the markers, says so, and ends with standard input, so that none outlives its test.
pub(crate) const APP: &str = "class HeapsightMarker{constructor(i){this.i=i;this.s='marker \\u00e9 \\u{1F600} '+i}}\n\
    globalThis.kept=Array.from({length:1234},(_,i)=>new HeapsightMarker(i));\n\
    process.stdin.on('end',()=>process.exit()).resume();console.log('ready');\n";

/// A program that ends with its test.
pub(crate) struct Program {
    child: Mutex<Child>,
    command: String,
    input: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    dir: Option<TempDir>,
}

impl Program {
    /// Starts a program and waits until it has said a word.
    pub(crate) fn start(command: &mut Command, word: &str) -> Self {
        let program = Self::launch(command);
        program.wait_for(word);
        program
    }

    /// Starts a program.
    pub(crate) fn launch(command: &mut Command) -> Self {
        command
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    *said.lock().unwrap() += &(line + "\n");
                }
            });
        }
        Self {
            input: child.stdin.take(),
            child: Mutex::new(child),
            command: format!("{command:?}"),
            said,
            dir: None,
        }
    }

    /// Node with options that runs a CommonJS file; any free port for its inspector.
    pub(crate) fn node(major: u32, options: &[&str], script: &str) -> Self {
        Self::file(major, options, "app.cjs", script)
    }

    /// Node with options that runs a file of that name.
    pub(crate) fn file(major: u32, options: &[&str], name: &str, script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), script).unwrap();
        let mut command = Command::new(runtimes::node(major));
        command.arg("--inspect-port=127.0.0.1:0").args(options).arg(name).current_dir(dir.path());
        let mut program = Self::start(&mut command, "ready");
        program.dir = Some(dir);
        program
    }

    /// Deno with options that runs a module.
    pub(crate) fn deno(options: &[&str], script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.mjs"), script).unwrap();
        let mut command = Command::new(runtimes::deno());
        command.arg("run").arg("-A").args(options).arg("app.mjs").current_dir(dir.path());
        command.env("DENO_NO_UPDATE_CHECK", "1").env("DENO_DIR", dir.path());
        let mut program = Self::start(&mut command, "ready");
        program.dir = Some(dir);
        program
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn wait_for(&self, word: &str) {
        until(&format!("the program says `{word}`"), || self.said().contains(word).then_some(()));
    }

    /// The URL of the inspector that it has opened.
    pub(crate) fn url(&self) -> String {
        until("the inspector is announced", || self.said().lines().find_map(announced).map(str::to_owned))
    }

    /// Writes to its standard input.
    pub(crate) fn tell(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// How it ended, for messages.
    pub(crate) fn fate(&self) -> String {
        let mut child = self.child.lock().unwrap();
        format!("{:?}, {:?}, it said {}", self.command, child.try_wait(), self.said())
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for a condition.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "it did not happen that {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Options with room for a busy machine.
pub(crate) fn patient() -> AttachOptions {
    AttachOptions {
        timeout: TIMEOUT,
        open_within: TIMEOUT,
        close_within: TIMEOUT,
        ..AttachOptions::default()
    }
}

/// A watcher that lets everything go on.
pub(crate) fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Reads a snapshot; it must be whole and without damage.
pub(crate) fn read(bytes: &[u8]) -> Snapshot {
    let snapshot = heapsight_snapshot::read(bytes, ReadOptions::default()).unwrap();
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings.as_slice());
    snapshot
}

/// How many objects have this constructor.
pub(crate) fn count(snapshot: &Snapshot, class: &str) -> usize {
    let names = snapshot.strings.find(class);
    let nodes = 0..snapshot.node_count() as u32;
    let is = |n: &u32| {
        snapshot.node_kind(*n) == NodeKind::OBJECT && names.contains(&snapshot.nodes.name[*n as usize])
    };
    // A class's prototype object has its name too, and no property of its own but `constructor`.
    let instance = |n: &u32| {
        snapshot.edges_of(*n).any(|e| {
            snapshot.edge_string(e).is_some_and(|s| {
                snapshot.edge_kind(e) == heapsight_snapshot::EdgeKind::PROPERTY && snapshot.strings.is(s, "s")
            })
        })
    };
    nodes.filter(is).filter(instance).count()
}

/// The bytes of one connection.
type Record = Arc<Mutex<Vec<u8>>>;

/// Stands between client and target: remembers what the target sent, and may cut the line.
pub(crate) struct Proxy {
    pub port: u16,
    /// One text for each connection.
    recorded: Arc<Mutex<Vec<Record>>>,
    cut_after: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy to the address of a URL.
    pub(crate) fn to(url: &str) -> Self {
        let authority = url.strip_prefix("ws://").unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            recorded: Arc::default(),
            cut_after: Arc::new(AtomicU64::new(u64::MAX)),
            ended: Arc::default(),
        };
        let (recorded, cut, ended) =
            (Arc::clone(&proxy.recorded), Arc::clone(&proxy.cut_after), Arc::clone(&proxy.ended));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let target = TcpStream::connect(&authority).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), target.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                let (record, cut) = (Arc::default(), Arc::clone(&cut));
                recorded.lock().unwrap().push(Arc::clone(&record));
                thread::spawn(move || answers(target, client, &record, &cut));
            }
        });
        proxy
    }

    /// The URL through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        let path = url.strip_prefix("ws://").unwrap().split_once('/').unwrap().1;
        format!("ws://127.0.0.1:{}/{path}", self.port)
    }

    /// Cuts the line when the target has sent so many bytes.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// The messages that the target sent over the last connection.
    pub(crate) fn messages(&self) -> Vec<String> {
        let last = Arc::clone(self.recorded.lock().unwrap().last().unwrap());
        let bytes = last.lock().unwrap().clone();
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let mut socket =
            WebSocket::from_raw_socket(Replay(Cursor::new(bytes[head..].to_vec())), Role::Client, None);
        let mut messages = Vec::new();
        while let Ok(message) = socket.read() {
            if let Message::Text(text) = message {
                messages.push(text.to_string());
            }
        }
        messages
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn answers(mut target: TcpStream, mut client: TcpStream, recorded: &Mutex<Vec<u8>>, cut: &AtomicU64) {
    let mut block = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let read = match target.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        total += read as u64;
        recorded.lock().unwrap().extend_from_slice(&block[..read]);
        if total > cut.load(Ordering::SeqCst) || client.write_all(&block[..read]).is_err() {
            let _ = target.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Recorded bytes as a stream; what is written to it is lost.
struct Replay(Cursor<Vec<u8>>);

impl Read for Replay {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Replay {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the simplest of clients would have put together from these messages.
pub(crate) fn naive(messages: &[String]) -> String {
    let mut text = String::new();
    for message in messages {
        let mut value: serde_json::Value = serde_json::from_str(message).unwrap();
        if value["method"] == "NodeWorker.receivedMessageFromWorker" {
            value = serde_json::from_str(value["params"]["message"].as_str().unwrap()).unwrap();
        }
        if value["method"] == "HeapProfiler.addHeapSnapshotChunk" {
            text += value["params"]["chunk"].as_str().unwrap();
        }
    }
    text
}

/// A folder of a browser's own.
pub(crate) fn scratch() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}
