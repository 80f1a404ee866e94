//! Whatever happens at whatever moment: no verified capture is lost, no half file has a final name, nothing is left.
//!
//! `cargo test -p heapsight-watch --test soak -- 600` runs for ten minutes; without a number, as in the suite, for a few
//! seconds. A watcher (this program again) watches a Node.js that leaks, and captures it every second. At random moments,
//! the watcher or the target is killed, the disk is filled, the target's inspector is closed under the watcher's hands, the
//! webhook's receiver and the store of the uploads go and come, and the calendar jumps. After each of these, and at the end,
//! all files are read: what was captured is whole, here or in the store.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program of its own, that fails loudly")]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use heapsight_capture::{
    output::{CaptureKind, Verifier},
    process::{self, sockets},
};
use heapsight_testkit::{
    runtimes,
    servers::{Fault, S3Server},
};
use heapsight_upload::Environment;
use heapsight_watch::{
    Clock, Control, Event, Host, Settings, SystemClock,
    settings::{Rule, Subject},
};
use serde_json::Value;

const TARGET: &str = "
class Session { constructor(i) { this.i = i; this.data = new Array(50).fill(i); } }
const store = [];
setInterval(() => { for (let i = 0; i < 20; i++) store.push(new Session(i)); if (store.length > 20000) store.length = 0; }, 20);
process.stdin.on('data', () => require('inspector').close()).on('end', () => process.exit());
console.log('ready');
";

/// Bytes of the disk, and of the captures on it.
const DISK: u64 = 24 << 20;
const BUDGET: u64 = 6 << 20;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "guard") {
        return heapsight_capture::guard::run();
    }
    heapsight_capture::guard::install(|| {
        let mut command = Command::new("/proc/self/exe");
        command.arg("guard");
        command
    });
    if let [first, rest @ ..] = arguments.as_slice()
        && first == "watcher"
    {
        return watcher(rest);
    }
    let seconds = arguments.iter().find_map(|word| word.parse().ok()).unwrap_or(14);
    Soak::new().run(Duration::from_secs(seconds));
}

// The watcher.

/// A clock whose calendar jumps as a file says.
struct Jumping {
    system: SystemClock,
    file: PathBuf,
}

impl Clock for Jumping {
    fn now(&self) -> Duration {
        self.system.now()
    }

    fn wall(&self) -> SystemTime {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let seconds: i64 = text.trim().parse().unwrap_or(0);
        let jump = Duration::from_secs(seconds.unsigned_abs());
        let jumped = if seconds < 0 {
            self.system.wall().checked_sub(jump)
        } else {
            self.system.wall().checked_add(jump)
        };
        jumped.unwrap_or(UNIX_EPOCH)
    }
}

fn watcher(arguments: &[String]) {
    let [pid, folder, jumps, hook] = arguments else { panic!("{arguments:?}") };
    let rule = |when: &str, actions: &[&str]| {
        let actions: Vec<String> = actions.iter().map(|&action| action.to_owned()).collect();
        Rule::parse(when, &actions, Duration::from_secs(2)).unwrap()
    };
    let hook = format!("webhook {hook}");
    let settings = Settings {
        subject: Subject::Process(pid.parse().unwrap()),
        folder: folder.into(),
        every: Duration::from_millis(100),
        heap_every: Some(Duration::from_millis(400)),
        profile_every: Some(Duration::from_millis(400)),
        interval: 16 << 10,
        window: Duration::from_secs(10),
        per_day: 1_000_000,
        disk_budget: BUDGET,
        timeout: Duration::from_secs(5),
        rules: vec![
            rule("every 1s", &["snapshot", &hook, "run true"]),
            rule("rss > 1MiB", &["sample 200ms"]),
            rule("restart", &["snapshot"]),
            rule("end", &["run true"]),
        ],
        uploads: vec!["s3://captures/soak".to_owned()],
        ..Settings::default()
    };
    let control = Arc::new(Control::default());
    let told = Arc::clone(&control);
    thread::spawn(move || {
        // The end of its input is the order to end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.stop.store(true, Ordering::Relaxed);
    });
    let event = |event: &Event| {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", event.json());
        let _ = out.flush();
    };
    let clock = Jumping { system: SystemClock::default(), file: jumps.into() };
    let host = Host { event: &event, clock: Arc::new(clock), environment: Environment::new(env::vars_os()) };
    if let Err(error) = heapsight_watch::run(settings, &control, &host) {
        println!("{}", serde_json::json!({"event": "error", "text": error.to_string()}));
    }
    heapsight_capture::guard::end();
}

// The soak.

struct Soak {
    _dir: tempfile::TempDir,
    disk: Disk,
    script: PathBuf,
    jumps: PathBuf,
    hook: Hook,
    store: S3Server,
    /// The network to the store is cut.
    cut: Arc<AtomicBool>,
    target: Option<Process>,
    watcher: Option<Process>,
    /// What watchers said, all of them.
    said: Arc<Mutex<Vec<Value>>>,
    /// How much of it was said before the watcher of now was started.
    heard: usize,
    begun: Instant,
    dice: u64,
    faults: BTreeMap<&'static str, u32>,
}

/// A process of ours. Killed and reaped when it is dropped.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    fn start(command: &mut Command, errors: &Path, mut line: impl FnMut(&str) + Send + 'static) -> Self {
        let errors = fs::File::create(errors).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let (input, out) = (child.stdin.take(), child.stdout.take().unwrap());
        let reader = thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|text| line(&text));
        });
        Self { child, input, reader: Some(reader) }
    }

    /// Ends it in order; says whether that worked.
    fn end(mut self, within: Duration) -> bool {
        self.input = None;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A small disk of its own, if this user may mount one; else a folder, which is not filled.
struct Disk {
    path: PathBuf,
    mounted: bool,
}

impl Disk {
    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        let size = format!("size={DISK}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("no disk can be mounted by this user: it is not filled");
        }
        Self { path, mounted }
    }

    fn captures(&self) -> PathBuf {
        self.path.join("captures")
    }

    fn fill(&self) {
        let ballast = fs::File::create(self.path.join("ballast"));
        if let Ok(mut file) = ballast.map_err(|_| ()) {
            let block = vec![7; 64 << 10];
            while self.mounted && file.write_all(&block).is_ok() {}
        }
    }

    fn empty(&self) {
        let _ = fs::remove_file(self.path.join("ballast"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// Receives webhooks, or is away.
struct Hook {
    url: String,
    away: Arc<AtomicBool>,
    heard: Arc<Mutex<u32>>,
}

impl Hook {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (away, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let (is_away, count) = (Arc::clone(&away), Arc::clone(&heard));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                // Whoever is away hangs up in the middle of the request.
                if is_away.load(Ordering::Relaxed) {
                    continue;
                }
                let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
                let mut request = [0; 8192];
                let _ = stream.read(&mut request);
                let _ = stream
                    .write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                *count.lock().unwrap() += 1;
            }
        });
        Self { url, away, heard }
    }
}

impl Soak {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("target.cjs");
        fs::write(&script, TARGET).unwrap();
        let seed = env::var("SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed =
            seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
        println!("SOAK_SEED={seed}");
        let (store, cut) = (S3Server::start(), Arc::new(AtomicBool::new(false)));
        let is_cut = Arc::clone(&cut);
        store.faults(move |_| if is_cut.load(Ordering::Relaxed) { Fault::Cut } else { Fault::None });
        Self {
            disk: Disk::new(dir.path().join("disk")),
            jumps: dir.path().join("jumps"),
            _dir: dir,
            script,
            hook: Hook::new(),
            store,
            cut,
            target: None,
            watcher: None,
            said: Arc::default(),
            heard: 0,
            begun: Instant::now(),
            dice: seed | 1,
            faults: BTreeMap::new(),
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % n
    }

    fn start_target(&mut self) {
        let ready = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ready);
        let mut command = Command::new(runtimes::node(22));
        command.arg("--inspect-port=127.0.0.1:0").arg(&self.script).env_remove("NODE_OPTIONS");
        self.target = Some(Process::start(&mut command, &self.jumps.with_extension("target"), move |_| {
            told.store(true, Ordering::Relaxed);
        }));
        until("the target is ready", || ready.load(Ordering::Relaxed));
    }

    fn start_watcher(&mut self) {
        let pid = self.target.as_ref().unwrap().child.id().to_string();
        let (said, begun) = (Arc::clone(&self.said), self.begun);
        self.heard = said.lock().unwrap().len();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["watcher", &pid]).arg(self.disk.captures()).arg(&self.jumps).arg(&self.hook.url);
        command.envs(self.store.environment());
        self.watcher =
            Some(Process::start(&mut command, &self.jumps.with_extension("watcher"), move |line| {
                if let Ok(mut value) = serde_json::from_str::<Value>(line) {
                    value["at"] = begun.elapsed().as_secs_f64().into();
                    said.lock().unwrap().push(value);
                }
            }));
    }

    fn run(mut self, time: Duration) {
        self.start_target();
        self.start_watcher();
        // Something is there before the first fault.
        self.await_capture();
        let names = [
            "kill -9 of the watcher",
            "kill -9 of the target",
            "disk full",
            "connection cut",
            "clock jump",
            "webhook away",
            "network cut",
        ];
        let mut round = 0;
        while self.begun.elapsed() < time {
            let which = if round < names.len() { round } else { self.below(names.len() as u64) as usize };
            round += 1;
            let at = self.begun.elapsed().as_secs_f64();
            self.said.lock().unwrap().push(serde_json::json!({"fault": names[which], "at": at}));
            *self.faults.entry(names[which]).or_default() += 1;
            match which {
                0 => {
                    self.watcher = None;
                    self.check();
                    self.start_watcher();
                }
                1 => {
                    // A watcher that was just started would find nobody of that name, and say so, as it should.
                    self.await_watching();
                    self.target = None;
                    thread::sleep(Duration::from_millis(self.below(400)));
                    self.start_target();
                }
                2 => {
                    self.disk.fill();
                    thread::sleep(Duration::from_millis(500 + self.below(1500)));
                    self.check();
                    self.disk.empty();
                }
                3 => {
                    // Reading anything it closes its inspector.
                    if let Some(input) = self.target.as_mut().and_then(|target| target.input.as_mut()) {
                        let _ = input.write_all(b"cut\n");
                    }
                }
                4 => {
                    let year = 366 * 86400;
                    let jump = self.below(2 * year) as i64 - year as i64;
                    fs::write(&self.jumps, jump.to_string()).unwrap();
                }
                6 => {
                    let cut = self.cut.load(Ordering::Relaxed);
                    self.cut.store(!cut, Ordering::Relaxed);
                }
                _ => {
                    let away = self.hook.away.load(Ordering::Relaxed);
                    self.hook.away.store(!away, Ordering::Relaxed);
                }
            }
            thread::sleep(Duration::from_millis(self.below(1500)));
            self.check();
            self.both_live(names[which]);
        }
        let elapsed = self.begun.elapsed();
        self.finish(elapsed);
    }

    /// What is told of a failure: the target's status (the last field of `/proc/PID/stat` is its exit code), what it and
    /// the watchers said last, and what the folder remembers.
    fn fate(&self) -> String {
        let pid = self.target.as_ref().map_or(0, |target| target.child.id());
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let said = fs::read_to_string(self.jumps.with_extension("target")).unwrap_or_default();
        let said: Vec<&str> = said.lines().rev().take(30).collect();
        let events = self.said.lock().unwrap();
        let events: Vec<String> = events.iter().rev().take(60).rev().map(Value::to_string).collect();
        let state =
            fs::read_to_string(self.disk.captures().join(".heapsight-watch.json")).unwrap_or_default();
        let state = state.split("\"uploaded\"").next().unwrap_or_default();
        format!("{stat}{}\n{}\n{state}", said.join("\n"), events.join("\n"))
    }

    /// Neither has ended but by our hand.
    fn both_live(&mut self, fault: &str) {
        let ended = |process: &mut Option<Process>| process.as_mut()?.child.try_wait().unwrap();
        let (target, watcher) = (ended(&mut self.target), ended(&mut self.watcher));
        let errors = fs::read_to_string(self.jumps.with_extension("watcher")).unwrap_or_default();
        assert!(
            target.is_none() && watcher.is_none(),
            "after {fault}: the target has ended: {target:?}, the watcher: {watcher:?} {errors}\n{}",
            self.fate()
        );
    }

    /// Waits until the watcher has found the target that it was started for.
    fn await_watching(&self) {
        let found = |event: &Value| event["event"] == "watching";
        until("the watcher has found its target", || {
            self.said.lock().unwrap()[self.heard..].iter().any(found)
        });
    }

    /// Waits until a capture comes that was not there.
    fn await_capture(&self) {
        let count = || self.said.lock().unwrap().iter().filter(|event| event["event"] == "captured").count();
        let before = count();
        until("something is captured", || count() > before);
    }

    /// All captures on the disk.
    fn captures(&self) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = fs::read_dir(self.disk.captures())
            .map(|list| list.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        names.sort();
        names.retain(|path| number(path).is_some() && !path.to_string_lossy().ends_with(".meta.json"));
        names
    }

    /// All that has a final name is whole, all that was said to be captured is here or in the store,
    /// and the budget holds.
    fn check(&self) {
        // Before the folder: what is said now is there, and what is removed later is said later.
        let said: Vec<Value> = self.said.lock().unwrap().clone();
        let files = |value: &Value| value["file"].as_str().map(PathBuf::from);
        let names = self.captures();
        let mut bytes = 0;
        for path in &names {
            // It may be removed while it is read.
            match whole(path) {
                Ok(length) => bytes += length,
                Err(_) if !path.exists() => {}
                Err(why) => panic!("{} is not whole: {why}", path.display()),
            }
        }
        assert!(bytes <= BUDGET, "{bytes} bytes of captures, {BUDGET} allowed");
        for path in said.iter().filter(|event| event["event"] == "captured").filter_map(files) {
            if path.exists() {
                continue;
            }
            // It went for newer ones; then it is in the store.
            let name = path.file_name().unwrap().to_str().unwrap();
            let copy = self.store.file(&format!("soak/{name}"));
            if let Err(why) = whole(&copy) {
                panic!("{} is lost: not here, and in the store: {why}", path.display());
            }
        }
        let errors: Vec<&Value> = said.iter().filter(|event| event["event"] == "error").collect();
        assert!(errors.is_empty(), "{errors:?}: {}", self.fate());
    }

    /// In the end a watcher in peace captures again, and leaves nothing behind.
    fn finish(mut self, elapsed: Duration) {
        self.disk.empty();
        self.hook.away.store(false, Ordering::Relaxed);
        self.cut.store(false, Ordering::Relaxed);
        self.watcher = None;
        self.start_watcher();
        self.await_capture();
        // All that is left here goes up, too.
        let uploaded = |path: &Path| {
            let key = format!("soak/{}", path.file_name().unwrap().to_str().unwrap());
            self.store.object(&key).is_some_and(|copy| fs::read(path).is_ok_and(|own| own == copy))
        };
        for path in self.captures() {
            until(&format!("{} is uploaded", path.display()), || uploaded(&path) || !path.exists());
        }
        let pid = self.target.as_ref().unwrap().child.id();
        let ended = self.watcher.take().unwrap().end(Duration::from_secs(30));
        assert!(ended, "the watcher did not end in order");
        self.check();
        let partial = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".partial");
        let left: Vec<_> = fs::read_dir(self.disk.captures()).unwrap().flatten().filter(partial).collect();
        assert!(left.is_empty(), "half files are left: {left:?}");
        until("the target has no child", || children(pid) == 0);
        let closed = || sockets::listening(pid).is_ok_and(|all| all.is_empty());
        let is_closed = happens(closed);
        let open = sockets::listening(pid);
        assert!(is_closed, "the target's inspector is still open at {open:?}: {}", self.fate());
        let status = process::Status::read(pid).unwrap();
        assert!(status.is_current() && !status.is_stopped(), "the target goes on");
        let said = self.said.lock().unwrap();
        let count = |name: &str| said.iter().filter(|event| event["event"] == name).count();
        println!(
            "{} s: {} captured, {} uploaded, {} removed, {} failed, {} ends seen, {} webhooks; {:?}",
            elapsed.as_secs(),
            count("captured"),
            count("uploaded"),
            count("removed"),
            count("failed"),
            count("ended"),
            self.hook.heard.lock().unwrap(),
            self.faults
        );
        assert!(count("captured") > 1, "{said:?}");
    }
}

/// The number of a capture.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("watch-")?.split('-').next()?.parse().ok()
}

/// Reads a file to its end; gives its length.
fn whole(path: &Path) -> Result<u64, String> {
    let text = |error: std::io::Error| error.to_string();
    let bytes = fs::read(path).map_err(text)?;
    let name = path.to_string_lossy();
    let kind = if name.contains(".heapsnapshot") {
        CaptureKind::Snapshot
    } else if name.ends_with(".heapprofile") {
        CaptureKind::Profile
    } else {
        serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string())?;
        return Ok(bytes.len() as u64);
    };
    let mut verifier = Verifier::new(kind);
    let unpacked =
        if name.ends_with(".zst") { zstd::decode_all(&bytes[..]).map_err(text)? } else { bytes.clone() };
    verifier.feed(&unpacked).and_then(|()| verifier.finish()).map_err(|flaw| flaw.to_string())?;
    Ok(bytes.len() as u64)
}

fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(happens(condition), "it did not happen that {what}");
}

/// Waits for it, but not for ever.
fn happens(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// How many processes have this parent.
fn children(of: u32) -> usize {
    let parent = |pid: u32| process::Status::read(pid).ok().map(|status| status.ppid);
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent(pid) == Some(of)).count()
}
