//! What is known of real processes from outside: every runtime, every obstacle.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]
#![expect(clippy::print_stderr, reason = "a test that the machine does not allow says so")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use heapsight_capture::{
    Kind,
    preflight::{self, Guard, Verdict},
    process::{
        self, Process, Status, cgroup,
        executable::Kind as Runs,
        methods::{Method, Usr1},
        namespaces, sockets,
    },
};
use heapsight_testkit::runtimes;

const MAJORS: [u32; 6] = [16, 18, 20, 22, 24, 26];

/// A program that says so when it is ready and ends with its standard input, so that none outlives its test.
const READY: &str = "process.stdin.on('end',()=>process.exit()).resume();console.log('ready');";

/// A child process that ends with its test.
struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<Box<dyn Read + Send>>,
}

impl Target {
    /// Starts a program and waits until it has said a word.
    fn start(command: &mut Command, word: &str) -> Self {
        let mut target = Self::launch(command);
        target.wait_for(word);
        target
    }

    fn launch(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let input = child.stdin.take();
        let output: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Node with options, and a script that says `ready` at its end.
    fn node(major: u32, options: &[&str], script: &str) -> Self {
        let mut command = Command::new(runtimes::node(major));
        command.env_remove("NODE_OPTIONS").args(options).arg("-e").arg(format!("{script};{READY}"));
        Self::start(&mut command, "ready")
    }

    /// Reads lines until one has a word, and returns it.
    fn wait_for(&mut self, word: &str) -> String {
        for _ in 0..1000 {
            let mut line = String::new();
            let got = self.output.read_line(&mut line).unwrap();
            assert!(got > 0, "the program ended before it said `{word}`");
            if line.contains(word) {
                return line;
            }
        }
        panic!("the program never said `{word}`");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn look(&self) -> Process {
        process::look(self.pid()).unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition.
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn works(process: &Process) -> Vec<&'static str> {
    process.methods.iter().filter(|m| m.works).map(|m| m.method.name()).collect()
}

fn reason(process: &Process, method: Method) -> &str {
    &process.method(method).unwrap().reason
}

fn version(major: u32) -> &'static str {
    runtimes::NODES.iter().find(|v| v.split('.').next() == Some(&major.to_string())).unwrap()
}

fn is_root() -> bool {
    Status::read(std::process::id()).unwrap().euid == 0
}

#[test]
fn every_node_is_known_with_its_version_and_methods() {
    for major in MAJORS {
        let target = Target::node(major, &[], "");
        let found = target.look();
        assert_eq!(found.runtime.kind, Runs::Node);
        assert_eq!(found.runtime.version.as_deref(), Some(version(major)));
        assert!(found.runtime.v8_version.as_deref().unwrap().contains("-node."), "{found:?}");
        assert!(!found.runtime.deleted && !found.runtime.single_executable);
        assert_eq!(found.workers, Some(0), "{major}");
        assert_eq!(found.container, None);
        assert_eq!((found.facts.inspector, found.facts.usr1), (None, Usr1::Opens));
        let expected: &[&str] =
            if major < 18 { &["fork", "inspector"] } else { &["fork", "inspector", "near-limit"] };
        assert_eq!(works(&found), expected, "{major}");
        let heap = found.heap_bytes.unwrap();
        assert!((2 << 20..60 << 20).contains(&heap), "node {major}: {heap}");
        assert!(heap < found.status.vm_rss);
    }
}

#[test]
fn the_heap_is_estimated_from_outside() {
    // 40 MB in the heap; 40 MB of buffers beside it do not count.
    let script = "globalThis.a=[];for(let i=0;i<1e6;i++)a.push({i});globalThis.b=Buffer.alloc(40e6,1);\
        console.log('used',process.memoryUsage().heapUsed)";
    for major in MAJORS {
        let mut command = Command::new(runtimes::node(major));
        command.arg("-e").arg(format!("{script};{READY}"));
        let mut target = Target::launch(&mut command);
        let used: u64 = target.wait_for("used").trim().strip_prefix("used ").unwrap().parse().unwrap();
        target.wait_for("ready");
        let heap = target.look().heap_bytes.unwrap();

        // Young generations and free space of pages are resident as well.
        assert!(heap > used * 8 / 10 && heap < used + (60 << 20), "node {major}: {heap} of {used}");
    }
}

#[test]
fn workers_are_counted() {
    let script = "const {Worker}=require('worker_threads');let n=0;\
        const one=o=>new Worker('setInterval(()=>{},1e3);require(\"worker_threads\").parentPort.postMessage(1)',\
        {eval:true,...o}).on('message',()=>++n==3&&console.log('all online'));\
        one({});one({name:'named'});one({});require('fs').readFile(process.execPath,()=>{})";
    for major in MAJORS {
        for options in [&[][..], &["--inspect=0"]] {
            let mut target = Target::node(major, options, script);
            target.wait_for("all online");
            let found = target.look();
            assert_eq!(found.workers, Some(3), "node {major} {options:?}");
            assert_eq!(found.facts.inspector.is_some(), !options.is_empty());
        }
    }
}

#[test]
fn a_renamed_and_deleted_executable_is_still_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my-app");
    fs::copy(runtimes::node(20), &path).unwrap();
    let script = format!("process.title='backend';{READY}");
    let target = Target::start(Command::new(&path).arg("-e").arg(script), "ready");
    let found = target.look();
    assert_eq!((found.runtime.kind, found.runtime.version.as_deref()), (Runs::Node, Some(version(20))));
    assert_eq!(found.runtime.path, path.to_string_lossy());
    assert_eq!(found.command, ["backend"]);
    fs::remove_file(&path).unwrap();
    let found = target.look();
    assert_eq!(found.runtime.version.as_deref(), Some(version(20)));
    assert!(found.runtime.deleted);
    assert_eq!(found.runtime.path, path.to_string_lossy());
}

#[test]
fn other_runtimes_are_known_and_told_apart() {
    let deno = Target::start(
        Command::new(runtimes::deno()).arg("eval").arg("setInterval(()=>{},1e3);console.log('ready')"),
        "ready",
    );
    let found = deno.look();
    assert_eq!((found.runtime.kind, found.runtime.version.as_deref()), (Runs::Deno, Some(runtimes::DENO)));
    assert_eq!(found.workers, Some(0));
    assert!(found.heap_bytes.unwrap() > 1 << 20);
    assert!(!works(&found).contains(&"fork"));
    until("SIGUSR1 of Deno", || (works(&deno.look()) == ["inspector"]).then_some(()));

    let bun = Target::start(
        Command::new(runtimes::bun()).arg("-e").arg("setInterval(()=>{},1e3);console.log('ready')"),
        "ready",
    );
    let found = bun.look();
    assert_eq!((found.runtime.kind, found.runtime.version.as_deref()), (Runs::Bun, Some(runtimes::BUN)));
    assert!(works(&found).is_empty());
    assert!(reason(&found, Method::Inspector).contains("generateHeapSnapshot"));

    let other = Target::launch(Command::new("cat").arg("-"));
    let error = until("cat", || process::look(other.pid()).err().filter(|e| e.what.contains("(cat)")));
    assert_eq!(error.kind, Kind::Unsupported);
}

#[test]
fn a_worker_of_deno_is_counted() {
    let script = "const w=new Worker('data:application/javascript,setInterval(()=>{},1e3);postMessage(1)',\
        {type:'module'});w.onmessage=()=>console.log('ready')";
    let target = Target::start(Command::new(runtimes::deno()).arg("eval").arg(script), "ready");
    assert_eq!(target.look().workers, Some(1));
}

/// Chromium with one page that has a worker; ends with all its processes.
struct Browser {
    child: Child,
    profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let page = profile.path().join("page.html");
        fs::write(
            &page,
            "<script>new Worker(URL.createObjectURL(new Blob(['setInterval(()=>{},1e3)'])))</script>",
        )
        .unwrap();
        let mut command = Command::new(runtimes::chromium());
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-port=0",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("file://{}", page.display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The start script has replaced itself by the browser; its processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_processes_of_chromium() {
    let browser = Browser::start();
    let port: u16 = until("the DevTools port", || {
        let text = fs::read_to_string(browser.profile.path().join("DevToolsActivePort")).ok()?;
        text.lines().next()?.parse().ok()
    });
    let page = until("a page with a worker", || {
        let list = process::list().unwrap().processes;
        list.into_iter().find(|p| {
            p.facts.browser.is_some_and(|(pid, _)| pid == browser.child.id()) && p.workers == Some(1)
        })
    });
    assert_eq!((page.runtime.kind, page.runtime.role.as_deref()), (Runs::Chromium, Some("renderer")));
    let version = page.runtime.version.clone().unwrap();
    assert_eq!(version.split('.').count(), 4, "{version}");
    assert!(page.runtime.major().unwrap() > 100);
    assert_eq!(works(&page), ["inspector"]);
    assert!(reason(&page, Method::Inspector).contains(&format!("127.0.0.1:{port}")));
    assert_eq!(process::look(page.status.pid).unwrap().methods, page.methods);
    let main = process::look(browser.child.id()).unwrap();
    assert_eq!(main.runtime.role.as_deref(), Some("browser"));
    assert_eq!(main.facts.inspector.unwrap().addr, SocketAddr::from(([127, 0, 0, 1], port)));
}

#[test]
fn signals_that_would_do_nothing_or_harm_are_known() {
    for major in [22, 24, 26] {
        let target = Target::node(major, &["--disable-sigusr1"], "");
        let found = target.look();
        assert_eq!((works(&found), found.facts.usr1), (vec![], Usr1::Blocked));
        assert!(reason(&found, Method::Fork).contains("--disable-sigusr1"));

        let target = Target::node(major, &["--permission"], "");
        let found = target.look();
        assert_eq!((works(&found), found.facts.usr1), (vec![], Usr1::Blocked));
        assert!(reason(&found, Method::Inspector).contains("--allow-inspector"));
    }
    for major in [24, 26] {
        let target = Target::node(major, &["--permission", "--allow-inspector"], "");
        assert_eq!(works(&target.look()), ["inspector"]);
    }
    let target = Target::node(20, &["--experimental-permission"], "");
    assert!(works(&target.look()).is_empty());
    for major in MAJORS {
        // A handler of the program's own looks like Node's. One that was taken off leaves the signal deadly.
        let target = Target::node(major, &[], "process.on('SIGUSR1',()=>{})");
        assert_eq!(target.look().facts.usr1, Usr1::Opens);
        let target =
            Target::node(major, &[], "const f=()=>{};process.on('SIGUSR1',f);process.off('SIGUSR1',f)");
        assert_ne!(target.look().facts.usr1, Usr1::Opens);
    }
}

#[test]
fn options_of_the_environment_count_and_those_of_the_script_do_not() {
    let mut command = Command::new(runtimes::node(22));
    command.env("NODE_OPTIONS", "--no-addons --heapsnapshot-signal=SIGUSR2").arg("-e").arg(READY);
    let target = Target::start(command.arg("--").arg("--permission"), "ready");
    let found = target.look();
    assert_eq!(works(&found), ["inspector", "signal", "near-limit"]);
    assert!(reason(&found, Method::Fork).contains("--no-addons"));
}

#[test]
fn a_snapshot_signal_needs_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    for major in MAJORS {
        let target = Target::node(major, &["--heapsnapshot-signal", "SIGUSR2"], "");
        assert!(works(&target.look()).contains(&"signal"), "{major}");
    }
    let gone = dir.path().join("gone");
    let option = format!("--diagnostic-dir={}", gone.display());
    let target = Target::node(20, &["--heapsnapshot-signal=SIGUSR2", &option], "");
    let found = target.look();
    assert!(!works(&found).contains(&"signal"));
    assert!(reason(&found, Method::Signal).contains("is not there"), "{}", reason(&found, Method::Signal));
    fs::create_dir(&gone).unwrap();
    assert!(works(&target.look()).contains(&"signal"));
}

#[test]
fn open_inspectors_are_found_at_any_port() {
    // The program's own servers, one of them a worker's, do not confuse.
    let servers = "require('http').createServer(()=>{}).listen(0,'127.0.0.1');\
        require('net').createServer(()=>{}).listen(0,'0.0.0.0')";
    for major in MAJORS {
        let script = format!("{servers};console.log(require('inspector').url())");
        for option in ["--inspect=0", "--inspect=127.0.0.1:0"] {
            let mut command = Command::new(runtimes::node(major));
            command.arg(option).arg("-e").arg(format!("{script};{READY}"));
            let mut target = Target::launch(&mut command);
            let url = target.wait_for("ws://");
            target.wait_for("ready");
            let addr: SocketAddr = url.split('/').nth(2).unwrap().parse().unwrap();
            let found = target.look();
            assert_eq!(found.facts.inspector.unwrap().addr, addr, "node {major}");
            assert!(reason(&found, Method::Inspector).contains(&addr.to_string()));
            let listening = sockets::listening(target.pid()).unwrap();
            assert!(listening.len() == 3 && listening.contains(&addr), "{listening:?}");
            assert_eq!(sockets::owner(addr, target.pid()), Some(target.pid()));
        }
        // One that the program opens itself, with no option to tell where.
        let mut target = Target::node(major, &[], &format!("require('inspector').open(0);{script}"));
        let _ = &mut target;
        let found = target.look().facts.inspector.unwrap();
        assert!(!found.expected && sockets::listening(target.pid()).unwrap().contains(&found.addr));
    }
    let target = Target::node(24, &[], servers);
    assert_eq!(target.look().facts.inspector, None);
}

#[test]
fn a_port_that_another_process_has_is_known() {
    let mut command = Command::new(runtimes::node(20));
    let script = "const s=require('net').createServer().listen(0,'127.0.0.1',()=>console.log('port',s.address().port))";
    let mut owner = Target::launch(command.arg("-e").arg(format!("{script};{READY}")));
    let port = owner.wait_for("port").trim().strip_prefix("port ").unwrap().to_owned();
    let target = Target::node(20, &[&format!("--inspect={port}")], "");
    assert_eq!(target.look().facts.inspector, None);
    let addr: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    assert_eq!(sockets::owner(addr, target.pid()), Some(owner.pid()));
}

#[test]
fn a_process_that_has_ended_is_no_process() {
    let mut child = Command::new(runtimes::node(20)).arg("-e").arg("").spawn().unwrap();
    let pid = child.id();
    let before = Status::read(pid).unwrap();
    until("its end", || Status::read(pid).unwrap().is_zombie().then_some(()));
    assert!(!before.is_current());
    assert_eq!(process::look(pid).unwrap_err().kind, Kind::NotFound);
    child.wait().unwrap();
    assert_eq!(Status::read(pid).unwrap_err().kind, Kind::NotFound);
    assert_eq!(process::look(pid).unwrap_err().kind, Kind::NotFound);
    assert_eq!(sockets::listening(pid).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_thread_is_no_process() {
    let target = Target::node(20, &[], "");
    let tasks = fs::read_dir(format!("/proc/{}/task", target.pid())).unwrap();
    let thread = tasks
        .map(|t| t.unwrap().file_name().to_str().unwrap().parse::<u32>().unwrap())
        .find(|&t| t != target.pid())
        .unwrap();
    let error = process::look(thread).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.to_string().contains(&format!("thread of process {}", target.pid())), "{error}");
}

#[test]
fn a_stopped_process_is_told() {
    let target = Target::node(20, &[], "");
    let signal = |name: &str| {
        let done = Command::new("kill").arg(name).arg(target.pid().to_string()).status().unwrap();
        assert!(done.success());
    };
    signal("-STOP");
    until("the stop", || Status::read(target.pid()).unwrap().is_stopped().then_some(()));
    let found = target.look();
    signal("-CONT");
    assert!(works(&found).is_empty());
    assert!(reason(&found, Method::Fork).contains("kill -CONT"));
}

#[test]
fn the_list_has_all_and_not_ourselves() {
    let targets: Vec<Target> = [18, 22, 26].iter().map(|&major| Target::node(major, &[], "")).collect();
    let list = process::list().unwrap();
    let pids: Vec<u32> = list.processes.iter().map(|p| p.status.pid).collect();
    assert!(targets.iter().all(|t| pids.contains(&t.pid())));
    assert!(pids.is_sorted() && !pids.contains(&std::process::id()));
}

/// A target in network and PID namespaces of its own; `None` where the kernel or our rights do not allow it.
fn apart(options: &[&str], script: &str) -> Option<Target> {
    let mut command = Command::new("unshare");
    // The loopback of a new network namespace is down until `ip` sets it up.
    command
        .args([
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            "ip link set lo up && exec \"$0\" \"$@\"",
        ])
        .arg(runtimes::node(22))
        .args(options)
        .arg("-e")
        .arg(format!("{script};{READY}"));
    let mut target = Target::launch(&mut command);
    let mut line = String::new();
    for _ in 0..10 {
        line.clear();
        if target.output.read_line(&mut line).unwrap() == 0 {
            eprintln!("skipped: no namespaces of its own for a process here");
            return None;
        }
        if line.starts_with("ready") {
            break;
        }
    }
    Some(target)
}

/// The only child of a process.
fn child_of(pid: u32) -> u32 {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_process_in_namespaces_of_its_own_is_reached() {
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let script = "require('http').createServer((q,s)=>s.end('from inside')).listen(8123,'127.0.0.1')";
    let Some(target) = apart(&["--inspect=127.0.0.1:9300"], script) else { return };
    let pid = child_of(target.pid());
    let status = Status::read(pid).unwrap();
    assert_eq!((status.own_pid(), status.ns_pids.len()), (1, 2));
    assert!(!namespaces::same_network(pid) && !namespaces::same_pid(pid));
    let found = process::look(pid).unwrap();
    assert_eq!(found.facts.inspector.unwrap().addr, "127.0.0.1:9300".parse().unwrap());
    assert!(works(&found).contains(&"inspector"));
    assert_eq!(found.container.unwrap().engine, "container");
    let addr: SocketAddr =
        until("the server", || sockets::listening(pid).unwrap().into_iter().find(|a| a.port() == 8123));
    let before = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut stream = namespaces::connect(pid, addr, Duration::from_secs(10)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("from inside"), "{text}");
    // This thread is where it was, and the port is not there for it.
    assert_eq!(fs::read_link("/proc/thread-self/ns/net").unwrap(), before);
    let refused =
        namespaces::connect(pid, "127.0.0.1:1".parse().unwrap(), Duration::from_secs(10)).unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
}

/// An executable copy of a test's program that another user may run, in a folder that everybody may enter.
fn for_everybody() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("node");
    fs::copy(runtimes::node(20), &path).unwrap();
    (dir, path)
}

#[test]
fn what_a_user_may_not_do_is_known_for_each_folder() {
    use std::os::unix::process::CommandExt;
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let (dir, node) = for_everybody();
    let start = |cwd: &Path| {
        let mut command = Command::new(&node);
        command.current_dir(cwd).uid(65534).gid(65534);
        Target::start(command.arg("--heapsnapshot-signal=SIGUSR2").arg("-e").arg(READY), "ready")
    };
    // The folder is root's: the signal's handler would throw.
    let found = start(dir.path()).look();
    assert!(!works(&found).contains(&"signal"));
    assert!(reason(&found, Method::Signal).contains("may not write"), "{}", reason(&found, Method::Signal));
    assert!(works(&start(Path::new("/tmp")).look()).contains(&"signal"));
}

/// A control group with a memory limit; `None` where none can be made.
struct Group {
    dir: PathBuf,
}

impl Group {
    fn limited(bytes: u64) -> Option<Self> {
        let name = format!("heapsight-test-{}", std::process::id());
        for (parent, limit) in
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
        {
            let group = Self { dir: Path::new(parent).join(&name) };
            // Without the controller there is no such file, and dropping takes the folder away again.
            if fs::create_dir(&group.dir).is_ok()
                && group.dir.join(limit).exists()
                && fs::write(group.dir.join(limit), bytes.to_string()).is_ok()
            {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process may take a moment to leave.
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.dir.exists() && fs::remove_dir(&self.dir).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_guard_sees_a_real_limit_come_near() {
    const MIB: u64 = 1 << 20;
    let Some(group) = Group::limited(400 * MIB) else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let script = "const kept=[];process.stdin.on('data',d=>{for(const n of String(d).trim().split('\\n'))\
        kept.push(Buffer.alloc(n*1048576,1));console.log('has '+kept.length)})";
    let mut target = Target::node(22, &[], script);
    fs::write(group.dir.join("cgroup.procs"), target.pid().to_string()).unwrap();
    let memory = cgroup::memory(target.pid()).unwrap();
    assert_eq!(memory.tightest().unwrap().max, Some(400 * MIB));
    assert!(memory.headroom().unwrap() <= 400 * MIB);
    let mut guard = Guard::new(target.pid()).unwrap();
    assert_eq!(guard.check(), None);
    let mut allocate = |mib: u32, word: &str| {
        writeln!(target.input.as_mut().unwrap(), "{mib}").unwrap();
        target.wait_for(word);
    };
    allocate(150, "has 1");
    assert_eq!(guard.check(), None);
    allocate(210, "has 2");
    let reason = guard.check().unwrap();
    assert!(reason.contains("limit of 400 MiB"), "{reason}");
    // What is left is not enough for a snapshot of a million nodes.
    let process = target.look();
    for prediction in preflight::predict(&process, Some(1_000_000), None, false).unwrap() {
        assert_eq!(prediction.verdict, Verdict::Refuse, "{prediction:?}");
    }
    drop(target);
}

#[test]
fn a_program_with_node_inside_takes_options_from_the_environment_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.js"), READY).unwrap();
    fs::write(dir.path().join("config.json"), "{\"main\":\"main.js\",\"output\":\"app\"}").unwrap();
    let built = Command::new(runtimes::node(26))
        .args(["--build-sea", "config.json"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(built.success());
    let target = Target::start(Command::new(dir.path().join("app")).arg("--permission"), "ready");
    let found = target.look();
    assert_eq!((found.runtime.kind, found.runtime.version.as_deref()), (Runs::Node, Some(version(26))));
    assert!(found.runtime.single_executable);
    assert_eq!(works(&found), ["fork", "inspector", "near-limit"]);
}
