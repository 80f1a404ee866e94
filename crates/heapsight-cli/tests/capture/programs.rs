//! The programs that are captured: a small HTTP server that keeps recognisable objects and does what it is told.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use heapsight_testkit::runtimes;
use tempfile::TempDir;

pub(crate) const MAJORS: [u32; 6] = [16, 18, 20, 22, 24, 26];

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The objects that a program keeps from its start.
pub(crate) const MARKERS: u64 = 5000;

/// The objects of its worker.
pub(crate) const IN_WORKER: u64 = 700;

const SERVER: &str = r"
class HeapsightMarker { constructor(i) { this.text = 'marker ' + i; } }
const kept = globalThis.kept = [];
const add = (n) => { for (let i = 0; i < n; i++) kept.push(new HeapsightMarker(kept.length)); return kept.length; };
add(5000);
const inWorker = `class HeapsightMarker { constructor(i) { this.text = 'in worker ' + i; } }
  globalThis.kept = []; for (let i = 0; i < 700; i++) kept.push(new HeapsightMarker(i));
  require('worker_threads').parentPort.on('message', () => {}).postMessage('up');`;
const routes = {
  count: () => kept.length,
  add: (n) => add(+n),
  ballast: (n) => { globalThis.ballast = []; for (let i = 0; i < +n; i++) ballast.push({ i, text: 'b' + i }); return n; },
  churn: () => { const all = []; for (let i = 0; i < 2000; i++) all.push(new HeapsightMarker(i)); globalThis.last = all; return 1; },
  write: (path) => { v8.writeHeapSnapshot(path); return path; },
  plant: (words) => {
    const [word, token] = words.split(',');
    const dictionary = {};
    for (let i = 0; i < 40; i++) dictionary[word + 'k' + i] = { i };
    const key = {};
    globalThis.planted = {
      password: word + '!7 horse', token: 'Bearer ' + token, list: [word + '-in-a-list'], joined: 'x'.repeat(30) + word,
      map: new Map([[word + '-key', word + '-value']]), set: new Set([word + '-member']), pattern: new RegExp(word + '+'),
      mails: { [word + '@mail.example.org']: 1 }, dictionary, weak: new WeakMap([[key, word + '-held-weakly']]), key,
      environment: { ...process.env, SECRET: word + '-env' }, error: new Error(word), sliced: (word + token).repeat(3).slice(5),
      closure: ((text) => () => text)(word + '-captured'), symbol: Symbol(word), url: new URL('http://h/?' + word),
    };
    return 1;
  },
  worker: () => new Promise((up) => new threads.Worker(inWorker, { eval: true }).on('message', up)),
  block: (ms) => { setTimeout(() => { const end = Date.now() + +ms; while (Date.now() < end); }, 5); return ms; },
};
const server = http.createServer((request, response) => {
  const [name, word] = request.url.slice(1).split('?');
  Promise.resolve().then(() => (routes[name] || routes.count)(word)).then(
    (value) => response.end(String(value)),
    (error) => { response.statusCode = 500; response.end(String(error)); });
});
server.listen(0, '127.0.0.1', () => console.log('ready ' + server.address().port));
process.stdin.on('end', () => process.exit()).resume();
";

/// The server as a module, or else in CommonJS.
pub(crate) fn server(module: bool) -> String {
    let imports = ["http", "v8", "threads"].map(|name| {
        let package = if name == "threads" { "worker_threads" } else { name };
        if module {
            format!("import {name} from 'node:{package}';\n")
        } else {
            format!("const {name} = require('{package}');\n")
        }
    });
    imports.concat() + SERVER
}

/// A program that ends with its test.
pub(crate) struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
    /// Where it runs.
    pub(crate) dir: TempDir,
    listened: BTreeSet<String>,
    port: u16,
}

impl Program {
    /// The server in Node.js.
    pub(crate) fn node(major: u32) -> Self {
        Self::node_with(major, &[])
    }

    /// The server in Node.js with options.
    pub(crate) fn node_with(major: u32, options: &[&str]) -> Self {
        Self::server(
            Command::new(runtimes::node(major)).arg("--inspect-port=127.0.0.1:0").args(options),
            false,
        )
    }

    /// The server as an ES module in Node.js.
    pub(crate) fn module(major: u32) -> Self {
        Self::server(Command::new(runtimes::node(major)).arg("--inspect-port=127.0.0.1:0"), true)
    }

    /// The server with a command that lacks the file.
    pub(crate) fn server(command: &mut Command, module: bool) -> Self {
        let name = if module { "server.mjs" } else { "server.cjs" };
        let mut program = Self::start(command, name, &server(module));
        let port = until("the server listens", || {
            Some(program.said().lines().find_map(|line| line.strip_prefix("ready "))?.parse().unwrap())
        });
        program.port = port;
        program.listened = listening(program.pid());
        program
    }

    /// A command with a file, in a folder of its own.
    pub(crate) fn start(command: &mut Command, name: &str, text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        command
            .arg(name)
            .current_dir(dir.path())
            .env_remove("NODE_OPTIONS")
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env("DENO_DIR", dir.path().join("deno"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    *said.lock().unwrap() += &(line + "\n");
                }
            });
        }
        Self { child, said, dir, listened: BTreeSet::new(), port: 0 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its process id as an argument.
    pub(crate) fn target(&self) -> String {
        self.pid().to_string()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The address of the inspector that it has announced.
    pub(crate) fn inspector(&self) -> String {
        until("the inspector is announced", || {
            let said = self.said();
            let at = said.find("ws://")? + "ws://".len();
            said[at..].split_once('/').map(|(address, _)| address.to_owned())
        })
    }

    /// Where the server is reached.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Tells the server to do something.
    pub(crate) fn ask(&self, path: &str) -> String {
        let reply = self.reply(path).unwrap_or_else(|error| {
            // The line has the state, and at its end how the program ended.
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
            panic!("{path}: {error}; the program: {stat}it said:\n{}", self.said())
        });
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path}: {reply}");
        body.to_owned()
    }

    fn reply(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /{path} HTTP/1.0\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    }

    /// Asks for something whose answer nobody waits for.
    pub(crate) fn tell(&self, path: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /{path} HTTP/1.0\r\n\r\n").unwrap();
    }

    /// It goes on as if nothing had been: it answers, no port is open that was not, no child is left.
    pub(crate) fn is_as_before(&self) {
        self.ask("count");
        until("the inspector is closed", || (listening(self.pid()) == self.listened).then_some(()));
        until("no child is left", || children(self.pid()).is_empty().then_some(()));
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for a condition.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "it did not happen that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The addresses at which a process listens, as the kernel writes them.
pub(crate) fn listening(pid: u32) -> BTreeSet<String> {
    let sockets: BTreeSet<PathBuf> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect();
    let tables =
        ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default());
    let listens = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let inode = Path::new("").join(format!("socket:[{}]", words.get(9)?));
        (words[3] == "0A" && sockets.contains(&inode)).then(|| words[1].to_owned())
    };
    tables.iter().flat_map(|table| table.lines()).filter_map(listens).collect()
}

/// The processes whose parent is this one, zombies included.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let numbers =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    numbers.filter(|&pid| parent(pid) == Some(of)).collect()
}

/// Sends a signal to a process that a test has started, or to a child of one.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(sent.success());
}
