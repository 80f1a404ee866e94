//! Load and launched programs against real servers, shells and runtimes.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::{
    Kind,
    launch::{self, Exit, Inspector, Launched, Pass, is_v8_by_name},
    load::{
        command::During,
        http::{Failure, Load, Options, Told},
        wait::{self, WaitFor},
    },
};
use heapsight_testkit::runtimes;

static NEVER: AtomicBool = AtomicBool::new(false);

/// Waits for a condition with a deadline.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A small HTTP server whose paths misbehave.
struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    end: AtomicBool,
    connections: AtomicU64,
    requests: Mutex<HashMap<String, u64>>,
    /// Requests of `/gate` wait while it is closed.
    closed: Mutex<bool>,
    opened: Condvar,
    /// Requests that wait at the gate.
    waiting: AtomicU64,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.end.load(Ordering::Relaxed) {
                    break;
                }
                let state = Arc::clone(&shared);
                state.connections.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || drop(state.serve(stream.unwrap())));
            }
        });
        Self { address, state }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn count(&self, path: &str) -> u64 {
        self.state.requests.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    fn gate(&self, closed: bool) {
        *self.state.closed.lock().unwrap() = closed;
        self.state.opened.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.end.store(true, Ordering::Relaxed);
        self.gate(false);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            while !matches!(line.as_str(), "\r\n" | "") {
                line.clear();
                lines.read_line(&mut line)?;
            }
            let count = {
                let mut requests = self.requests.lock().unwrap();
                let count = requests.entry(path.clone()).or_default();
                *count += 1;
                *count
            };
            let (path, first) = match path.strip_prefix("/then") {
                // The first request finds the server ready.
                Some(rest) => (rest.to_owned(), count == 1),
                None => (path, false),
            };
            match path.as_str() {
                _ if first => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
                "/gate" => {
                    self.waiting.fetch_add(1, Ordering::SeqCst);
                    let mut closed = self.closed.lock().unwrap();
                    while *closed {
                        closed = self.opened.wait(closed).unwrap();
                    }
                    drop(closed);
                    self.waiting.fetch_sub(1, Ordering::SeqCst);
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
                }
                "/chunked" => stream.write_all(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n",
                )?,
                "/elsewhere" => stream
                    .write_all(b"HTTP/1.1 302 Found\r\nLocation: /target\r\nContent-Length: 0\r\n\r\n")?,
                "/404" => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
                "/503" => stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?,
                "/drop" => return Ok(()),
                "/cut" => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok"),
                "/garbage" => return stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
                "/warming" if count < 3 => {
                    stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?;
                }
                _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
            }
        }
    }
}

#[test]
fn all_requests_are_made_over_kept_connections() {
    let server = Server::start();
    let options = Options { requests: Some(500), connections: 5, ..Options::new(server.url("/")) };
    let mut calls = 0;
    let report = Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| calls += 1);
    assert_eq!(
        (report.requests, report.failed, report.unfinished, report.slow),
        (500, 0, 0, 0),
        "{report:?}"
    );
    assert_eq!(report.body_bytes, 1000);
    assert!(report.throughput() > 0.0 && report.latency.p50 > Duration::ZERO);
    assert!(report.latency.p50 <= report.latency.p99 && report.latency.p99 <= report.latency.max);
    // One request to see that it answers, on a connection of its own.
    assert_eq!(server.count("/"), 501);
    assert_eq!(server.state.connections.load(Ordering::Relaxed), 6);
    assert!(calls > 0);
}

#[test]
fn fewer_requests_than_connections_are_no_more() {
    let server = Server::start();
    let options = Options { requests: Some(3), connections: 50, ..Options::new(server.url("/")) };
    assert_eq!(Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| ()).requests, 3);
    assert_eq!(server.count("/"), 4);
}

#[test]
fn a_duration_ends_it() {
    let server = Server::start();
    let options = Options {
        duration: Some(Duration::from_millis(200)),
        connections: 2,
        ..Options::new(server.url("/"))
    };
    let start = Instant::now();
    let report =
        Load::start(&options, &NEVER).unwrap().wait(&NEVER, |progress| assert_eq!(progress.total, None));
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(report.requests > 0 && report.failed == 0, "{report:?}");
}

#[test]
fn failures_are_told_apart() {
    let server = Server::start();
    for (path, failure, answered) in [
        ("/then/404", Failure::ClientStatus, true),
        ("/then/503", Failure::ServerStatus, true),
        ("/then/drop", Failure::Closed, false),
        ("/then/cut", Failure::Closed, false),
        ("/then/garbage", Failure::Protocol, false),
    ] {
        let options = Options { requests: Some(4), ..Options::new(server.url(path)) };
        let report = Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| ());
        assert_eq!(report.failures.get(&failure), Some(&4), "{path}: {report:?}");
        assert_eq!((report.requests, report.failed), (4, 4), "{path}: {report:?}");
        assert_eq!(report.latency.max > Duration::ZERO, answered, "{path}: {report:?}");
    }
    server.gate(true);
    let options = Options {
        requests: Some(2),
        timeout: Duration::from_millis(50),
        ..Options::new(server.url("/then/gate"))
    };
    let report = Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| ());
    assert_eq!(report.failures.get(&Failure::Timeout), Some(&2), "{report:?}");
}

#[test]
fn a_server_that_goes_away_is_no_connection() {
    let server = Server::start();
    let options =
        Options { duration: Some(Duration::from_secs(20)), ..Options::new(server.url("/then/drop")) };
    let load = Load::start(&options, &NEVER).unwrap();
    let address = server.address;
    drop(server);
    until("refused", || TcpStream::connect(address).is_err());
    let failed = load.progress().failed;
    until("failures", || load.progress().failed > failed + 2);
    let report = load.stop();
    assert!(report.failures.get(&Failure::Connect).is_some_and(|count| *count > 0), "{report:?}");
}

#[test]
fn answers_in_pieces_and_redirects_are_answers() {
    let server = Server::start();
    for (path, bytes) in [("/chunked", 8), ("/elsewhere", 0)] {
        let options = Options { requests: Some(10), ..Options::new(server.url(path)) };
        let report = Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| ());
        assert_eq!((report.requests, report.failed, report.body_bytes), (10, 0, 10 * bytes), "{report:?}");
    }
    assert_eq!(server.count("/target"), 0);
    // All on one connection, and one for each look whether it answers.
    assert_eq!(server.state.connections.load(Ordering::Relaxed), 4);
}

#[test]
fn a_stall_shows_while_it_lasts_and_in_the_report() {
    let server = Server::start();
    let options = Options {
        requests: Some(60),
        connections: 3,
        slow: Duration::from_millis(150),
        ..Options::new(server.url("/gate"))
    };
    server.gate(false);
    let mut load =
        Load::start(&Options { requests: None, duration: Some(Duration::from_secs(60)), ..options }, &NEVER)
            .unwrap();
    until("requests", || load.progress().requests > 10);
    let before = load.lap();
    assert!(before.requests > 10 && before.failed == 0, "{before:?}");
    server.gate(true);
    until("all wait", || server.state.waiting.load(Ordering::SeqCst) == 3);
    until("a stall", || load.progress().waiting > Duration::from_millis(300));
    server.gate(false);
    // When none waits for long any more, all that did have ended.
    until("the stall is over", || load.progress().waiting < Duration::from_millis(150));
    let during = load.lap();
    assert!(during.slow >= 3, "{during:?}");
    assert!(during.latency.max >= Duration::from_millis(300), "{during:?}");
    let total = load.stop();
    assert!(total.requests >= before.requests + during.requests && total.slow >= during.slow, "{total:?}");
    assert_eq!(total.failed, 0, "{total:?}");
}

#[test]
fn a_stop_does_not_wait_for_a_stalled_server() {
    let server = Server::start();
    let options = Options { requests: Some(1000), connections: 4, ..Options::new(server.url("/then/gate")) };
    server.gate(true);
    let load = Load::start(&options, &NEVER).unwrap();
    until("all wait", || server.state.waiting.load(Ordering::SeqCst) == 4);
    let start = Instant::now();
    let stop = AtomicBool::new(true);
    let report = load.wait(&stop, |_| ());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((report.requests, report.unfinished), (0, 4), "{report:?}");
}

#[test]
fn requests_are_numbered_where_the_url_says_so() {
    let server = Server::start();
    let options = Options {
        requests: Some(20),
        connections: 3,
        first: 101,
        ..Options::new(server.url("/item?id={n}&again={n}"))
    };
    assert_eq!(Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| ()).requests, 20);
    for number in 101..=120 {
        // The first is asked for twice: it is the one that was waited for.
        let times = if number == 101 { 2 } else { 1 };
        assert_eq!(server.count(&format!("/item?id={number}&again={number}")), times, "{number}");
    }
}

#[test]
fn it_begins_when_the_url_answers() {
    let server = Server::start();
    let options = Options { requests: Some(1), ..Options::new(server.url("/warming")) };
    assert_eq!(Load::start(&options, &NEVER).unwrap().wait(&NEVER, |_| ()).failed, 0);
    assert_eq!(server.count("/warming"), 4);

    let within = |path: &str| {
        let ready_within = Duration::from_millis(1500);
        Load::start(&Options { requests: Some(1), ready_within, ..Options::new(server.url(path)) }, &NEVER)
            .unwrap_err()
    };
    let error = within("/503");
    assert_eq!(error.kind, Kind::Timeout);
    assert!(error.what.ends_with("/503 answers with status 503"), "{error}");
    assert_eq!(error.why, "nothing better came within 1.5 s");
    // A load of errors would be none: it is not waited for as long as for an answer.
    let begun = Instant::now();
    let long = Options { requests: Some(1), ..Options::new(server.url("/503")) };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let told = Told::new(move |text: &str| hears.lock().unwrap().push(text.to_owned()));
    let error = Load::start(&Options { told, ..long }, &NEVER).unwrap_err();
    assert_eq!(error.kind, Kind::Protocol);
    assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
    let heard = heard.lock().unwrap();
    assert!(heard.len() == 1 && heard[0].ends_with("a status below 500 (now: 503)"), "{heard:?}");
    let error = within("/drop");
    assert!(error.why.starts_with("connection closed"), "{error}");

    let stop = AtomicBool::new(true);
    let error = wait::url(&server.url("/503"), Duration::from_secs(60), None, &stop).unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
    assert_eq!(wait::url(&server.url("/404"), Duration::from_secs(60), None, &NEVER).unwrap(), 404);
}

#[test]
fn options_are_checked() {
    for (options, word) in [
        (Options::new("http://127.0.0.1:1/"), "neither"),
        (Options { requests: Some(1), connections: 0, ..Options::new("http://127.0.0.1:1/") }, "connections"),
        (
            Options { requests: Some(1), connections: 5000, ..Options::new("http://127.0.0.1:1/") },
            "connections",
        ),
        (Options { requests: Some(1), ..Options::new("https://127.0.0.1:1/") }, "TLS"),
        (Options { requests: Some(1), ..Options::new("127.0.0.1:1") }, "http://"),
    ] {
        let error = Load::start(&options, &NEVER).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(WaitFor::parse("http://localhost:1/x").unwrap(), WaitFor::Url("http://localhost:1/x".into()));
    assert_eq!(WaitFor::parse("listening on").unwrap(), WaitFor::Text("listening on".into()));
    assert!(WaitFor::parse("").is_err() && WaitFor::parse("https://x").is_err());
}

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn pass(&self) -> Pass {
        Pass::To(Box::new(self.clone()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The first line that begins so, without its beginning.
    fn after(&self, beginning: &str) -> Option<String> {
        let text = self.text();
        let end = text.rfind('\n')?;
        text[..end].lines().find_map(|line| line.strip_prefix(beginning)).map(str::to_owned)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a process runs. One that waits to be noticed by its parent does not.
fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| {
        let state = text[text.rfind(')').unwrap() + 1..].split_ascii_whitespace().next().unwrap().to_owned();
        state != "Z" && state != "X"
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[test]
fn a_command_passes_its_output_and_its_exit() {
    let (out, err) = (Shared::default(), Shared::default());
    let mut during =
        During::start("printf 'one\\ntwo'; echo three >&2; cat; exit 3", out.pass(), err.pass()).unwrap();
    let exit = during.wait(Some(soon()), &NEVER).unwrap();
    assert_eq!((exit, exit.code(), exit.success()), (Exit::Code(3), 3, false));
    assert_eq!(during.end(), Exit::Code(3));
    assert_eq!((out.text(), err.text()), ("one\ntwo".to_owned(), "three\n".to_owned()));
    for (command, code) in [("kill -9 $$", 137), ("no-such-program-here", 127), ("true", 0)] {
        let mut during = During::start(command, Pass::Discard, Pass::Discard).unwrap();
        assert_eq!(during.wait(Some(soon()), &NEVER).unwrap().code(), code, "{command}");
    }
}

/// No test by itself: another test runs it in a process of its own, to see its streams.
#[test]
fn command_with_our_standard_error() {
    if std::env::var_os("HEAPSIGHT_TEST_STDERR").is_some() {
        let mut during = During::start("echo quiet", Pass::Stderr, Pass::Inherit).unwrap();
        during.wait(Some(soon()), &NEVER).unwrap();
    }
}

#[test]
fn output_can_be_kept_off_our_standard_output() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "command_with_our_standard_error", "--nocapture"])
        .env("HEAPSIGHT_TEST_STDERR", "1")
        .output()
        .unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("quiet"));
    assert!(!String::from_utf8(output.stdout).unwrap().contains("quiet"));
}

#[test]
fn a_wait_ends_with_its_deadline_and_with_a_stop() {
    let mut during = During::start("sleep 1000", Pass::Discard, Pass::Discard).unwrap();
    assert_eq!(during.wait(Some(Instant::now() + Duration::from_millis(20)), &NEVER), None);
    assert_eq!(during.wait(None, &AtomicBool::new(true)), None);
    assert_eq!(during.end(), Exit::Signal(15));
}

#[test]
fn a_command_ends_with_everything_it_started() {
    // A child, one that ignores SIGTERM, and one in a session of its own.
    let command = "sleep 1000 & echo pid $!; sh -c 'trap \"\" TERM; echo deaf $$; sleep 1000; sleep 1000' & \
                   setsid sh -c 'echo away $$; sleep 1000; true' & wait";
    let out = Shared::default();
    let during = During::start(command, out.pass(), Pass::Discard).unwrap();
    let shell = during.pid();
    until("the children", || ["pid ", "deaf ", "away "].iter().all(|line| out.after(line).is_some()));
    let pids: Vec<u32> =
        ["pid ", "deaf ", "away "].iter().map(|line| out.after(line).unwrap().parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| runs(*pid)));
    let start = Instant::now();
    drop(during);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for pid in pids {
        assert!(!runs(pid), "{pid}");
    }
    assert!(!Path::new(&format!("/proc/{shell}")).exists());
}

#[test]
fn a_writer_that_fails_does_not_end_the_command() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let command = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 5";
    let mut during = During::start(command, Pass::To(Box::new(Broken)), Pass::Discard).unwrap();
    assert_eq!(during.wait(Some(soon()), &NEVER), Some(Exit::Code(5)));
}

#[test]
fn lines_of_two_streams_are_not_mixed() {
    let both = Shared::default();
    let command = "i=0; while [ $i -lt 500 ]; do printf 'out of '; echo stdout; printf 'err of ' >&2; echo stderr >&2; \
                   i=$((i+1)); done";
    let mut during = During::start(command, both.pass(), both.pass()).unwrap();
    assert!(during.wait(Some(soon()), &NEVER).unwrap().success());
    during.end();
    let text = both.text();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().all(|line| line == "out of stdout" || line == "err of stderr"), "{text}");
}

/// A folder with programs.
fn programs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file(
        "app.js",
        "const server = require('http').createServer((request, response) => response.end('ok'));
         server.listen(0, '127.0.0.1', () => {
           console.log('pid ' + process.pid);
           console.log('options ' + process.env.NODE_OPTIONS);
           console.log('listening on http://127.0.0.1:' + server.address().port + '/');
         });",
    );
    file("deaf.js", "process.on('SIGTERM', () => console.log('no')); require('./app.js');");
    file(
        "cluster.js",
        "const cluster = require('cluster');
         if (cluster.isMaster) {
           cluster.fork(); cluster.fork();
           let up = 0;
           cluster.on('listening', () => { if (++up === 2) console.log('listening'); });
         } else require('http').createServer(() => {}).listen(0, '127.0.0.1');",
    );
    // What cross-env, nodemon and their like do.
    file(
        "node_modules/tool/bin.js",
        "require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit' });",
    );
    folder
}

fn node_app(major: u32, before: &[&str], script: &str) -> Vec<String> {
    let mut command = vec![runtimes::node(major).display().to_string()];
    command.extend(before.iter().map(ToString::to_string));
    command.push(script.to_owned());
    command
}

fn start(folder: &tempfile::TempDir, command: &[String], out: &Shared, watch: &str) -> Launched {
    Launched::start(launch::Options {
        folder: Some(folder.path().to_owned()),
        stdout: out.pass(),
        stderr: out.pass(),
        watch: Some(watch.to_owned()),
        ..launch::Options::new(command)
    })
    .unwrap()
}

fn wait_and_find(launched: &mut Launched) -> launch::Found {
    let time = Duration::from_secs(30);
    launched.wait_for_text(time, &NEVER).unwrap();
    launched.find(&is_v8_by_name, time, &NEVER).unwrap()
}

/// Ports on which a process listens, by its descriptors and `/proc/PID/net/tcp`.
fn ports(pid: u32) -> Vec<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    fs::read_to_string(format!("/proc/{pid}/net/tcp"))
        .unwrap()
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A") && sockets.iter().any(|inode| fields[9] == inode))
        .map(|fields| u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn node_is_found_and_its_inspector_takes_a_free_port_silently() {
    let folder = programs();
    for major in [16, 18, 20, 22, 24, 26] {
        let out = Shared::default();
        let mut launched = start(&folder, &node_app(major, &[], "app.js"), &out, "listening on");
        let found = wait_and_find(&mut launched);
        assert_eq!((found.pid, found.ready, found.others.len()), (launched.pid(), true, 0), "Node {major}");
        assert_eq!(out.after("pid ").unwrap(), found.pid.to_string());
        let own = ports(found.pid);
        assert_eq!(own.len(), 1, "Node {major}");
        let pid = rustix::process::Pid::from_raw(found.pid as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        until("an inspector", || ports(found.pid).len() == 2);
        assert!(!ports(found.pid).contains(&9229), "Node {major}");
        assert!(!out.text().contains("Debugger"), "Node {major}: {}", out.text());
        assert_eq!(launched.end(), Exit::Signal(15), "Node {major}");
    }
}

#[test]
fn an_inspector_at_the_start_can_be_had() {
    let folder = programs();
    let out = Shared::default();
    let mut launched = Launched::start(launch::Options {
        folder: Some(folder.path().to_owned()),
        stdout: out.pass(),
        inspector: Inspector::AtStart,
        node_options: "--max-old-space-size=128".into(),
        watch: Some("listening on".to_owned()),
        ..launch::Options::new(node_app(20, &[], "app.js"))
    })
    .unwrap();
    let found = wait_and_find(&mut launched);
    assert_eq!(ports(found.pid).len(), 2);
    let options = out.after("options ").unwrap();
    assert!(options.ends_with(" --max-old-space-size=128"), "{options}");
}

#[test]
fn the_program_below_wrappers_is_found() {
    let folder = programs();
    let node = runtimes::node(20).display().to_string();
    fs::write(
        folder.path().join("package.json"),
        format!(r#"{{"name":"app","version":"1.0.0","scripts":{{"start":"{node} app.js && true"}}}}"#),
    )
    .unwrap();
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    for command in [
        strings(&["/bin/sh", "-c", &format!("{node} app.js; true")]),
        strings(&["npm", "start"]),
        node_app(22, &["--watch"], "app.js"),
        [node_app(20, &[], "node_modules/tool/bin.js"), strings(&["app.js"])].concat(),
        [node_app(20, &[], "node_modules/tool/bin.js"), strings(&["node_modules/tool/bin.js", "app.js"])]
            .concat(),
    ] {
        let out = Shared::default();
        let mut launched = start(&folder, &command, &out, "listening on");
        let found = wait_and_find(&mut launched);
        assert_eq!(out.after("pid ").unwrap(), found.pid.to_string(), "{command:?}");
        assert!(
            found.ready && found.pid != launched.pid() && found.others.is_empty(),
            "{command:?}: {found:?}"
        );
        let all = [found.pid, launched.pid()];
        drop(launched);
        assert!(!all.iter().any(|pid| runs(*pid)), "{command:?}");
    }
}

#[test]
fn of_a_cluster_the_primary_is_chosen_and_the_workers_are_named() {
    let folder = programs();
    let out = Shared::default();
    for major in [16, 24, 26] {
        let mut launched = start(&folder, &node_app(major, &[], "cluster.js"), &out, "listening");
        let found = wait_and_find(&mut launched);
        assert_eq!(found.pid, launched.pid());
        assert_eq!(found.others.len(), 2, "{found:?}");
        drop(launched);
        assert!(!found.others.iter().any(|pid| runs(*pid)));
    }
}

#[test]
fn deno_is_found() {
    let folder = programs();
    fs::rename(folder.path().join("app.js"), folder.path().join("app.cjs")).unwrap();
    let out = Shared::default();
    let command = [runtimes::deno().display().to_string(), "run".into(), "-A".into(), "app.cjs".into()];
    let mut launched = start(&folder, &command, &out, "listening on");
    let found = wait_and_find(&mut launched);
    assert_eq!((found.pid, found.ready), (launched.pid(), true));
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_after_its_grace() {
    let folder = programs();
    let out = Shared::default();
    let mut launched = Launched::start(launch::Options {
        folder: Some(folder.path().to_owned()),
        stdout: out.pass(),
        watch: Some("listening on".to_owned()),
        grace: Duration::from_millis(300),
        ..launch::Options::new(node_app(20, &[], "deaf.js"))
    })
    .unwrap();
    launched.wait_for_text(Duration::from_secs(30), &NEVER).unwrap();
    assert_eq!(launched.end(), Exit::Signal(9));
    assert!(out.text().ends_with("no\n"), "{}", out.text());
}

#[test]
fn a_url_is_waited_for_while_its_program_lives() {
    let folder = programs();
    let out = Shared::default();
    let mut launched = start(&folder, &node_app(20, &[], "app.js"), &out, "listening on");
    launched.wait_for_text(Duration::from_secs(30), &NEVER).unwrap();
    let url = out.after("listening on ").unwrap();
    assert_eq!(wait::url(&url, Duration::from_secs(30), Some(&mut launched), &NEVER).unwrap(), 200);
    drop(launched);

    let command = node_app(20, &["-e"], "process.exit(7)");
    let mut launched = start(&folder, &command, &out, "nothing");
    let error = wait::url(&url, Duration::from_secs(30), Some(&mut launched), &NEVER).unwrap_err();
    assert_eq!(error.kind, Kind::Gone);
    assert_eq!(error.why, "the program has ended (exit code 7)");
}

#[test]
fn programs_that_do_not_come_up_are_named() {
    let folder = programs();
    let out = Shared::default();
    let time = Duration::from_secs(30);
    let error = Launched::start(launch::Options::new(["no-such-program-here"])).unwrap_err();
    assert_eq!((error.kind, &*error.what), (Kind::NotFound, "cannot start `no-such-program-here`"));
    assert!(Launched::start(launch::Options::new([""; 0])).is_err());

    let mut launched = start(&folder, &node_app(20, &["-e"], "process.exit(7)"), &out, "listening");
    let error = launched.wait_for_text(time, &NEVER).unwrap_err();
    assert_eq!((error.kind, &*error.why), (Kind::Gone, "it has ended (exit code 7)"));
    let error = launched.find(&is_v8_by_name, time, &NEVER).unwrap_err();
    assert_eq!(error.kind, Kind::Gone);
    assert!(error.to_string().ends_with("` ended (exit code 7) before it could be captured"), "{error}");
    assert_eq!(launched.end(), Exit::Code(7));

    let mut launched = start(&folder, &["sleep".into(), "1000".into()], &out, "listening");
    let short = Duration::from_millis(50);
    assert_eq!(launched.wait_for_text(short, &NEVER).unwrap_err().kind, Kind::Timeout);
    assert_eq!(launched.find(&is_v8_by_name, short, &NEVER).unwrap_err().kind, Kind::Timeout);
    let stop = AtomicBool::new(true);
    assert_eq!(launched.wait_for_text(time, &stop).unwrap_err().kind, Kind::Interrupted);
    assert_eq!(launched.find(&is_v8_by_name, time, &stop).unwrap_err().kind, Kind::Interrupted);
}

#[test]
fn a_text_is_found_across_writes_and_in_a_line_without_end() {
    let out = Shared::default();
    let script = "printf rea; sleep 0.2; printf 'dy at '; sleep 0.2; printf port; sleep 1000";
    let mut launched = Launched::start(launch::Options {
        stdout: out.pass(),
        watch: Some("ready at port".to_owned()),
        ..launch::Options::new(["/bin/sh", "-c", script])
    })
    .unwrap();
    launched.wait_for_text(Duration::from_secs(30), &NEVER).unwrap();
    assert_eq!(out.text(), "ready at port");
}
