//! Fork snapshots of real processes: Node.js from 16 to 26, its main thread and its workers, in good and bad conditions.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind, Result,
    fork::{Evaluate, Fork, Options, Progress, Report, Sink, Verdict},
    inspector::{AttachOptions, Closed, attach},
    target::Target,
};
use heapsight_snapshot::{NodeKind, ReadOptions, Snapshot, read};

use fork_node::{LOAD, Node, SCRIPT, children, parent};

mod fork_node;

const MAJORS: [u32; 6] = [16, 18, 20, 22, 24, 26];

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
        let extension = if major % 4 == 0 { "cjs" } else { "mjs" };
        let mut node = Node::with(major, extension, |_| {});
        node.value("keep(5000)");
        let (before, files, threads) = (node.descriptors(), node.files(), node.threads());
        let pid = node.pid();
        let (report, snapshot) = capture(&mut node, pid, &Options::default());
        assert_eq!(markers(&snapshot).len(), 5000, "node {major} {extension}");
        assert!(report.version.starts_with(&format!("v{major}.")));
        assert!(!report.stable_ids && report.pause > report.forking);
        let (second, _) = capture(&mut node, pid, &Options::default());
        assert_ne!(second.child, report.child);
        assert_eq!(node.descriptors(), before, "node {major}: descriptors");
        assert_eq!(children(pid), [0; 0], "node {major}: children");
        assert_eq!(node.files(), files, "node {major}: files");
        until("the threads that wait end", || node.threads() <= threads);
        assert_eq!(node.value("kept.length"), 5000);
    }
}

#[test]
fn a_worker_is_captured_by_forking_on_its_thread() {
    for major in MAJORS {
        let mut node = Node::with(major, if major % 4 == 0 { "mjs" } else { "cjs" }, |_| {});
        let pid = node.pid();
        let mut worker = node.start_worker();
        worker.evaluate("keep(700)", Duration::from_secs(60)).unwrap();
        let (_, snapshot) = capture(&mut worker, pid, &Options::default());
        assert_eq!(markers(&snapshot).len(), 700, "node {major}: worker");
        let (_, again) = capture(&mut worker, pid, &Options::default());
        assert_eq!(markers(&again).len(), 700, "node {major}: worker again");
        let (_, main) = capture(&mut node, pid, &Options::default());
        assert_eq!(markers(&main).len(), 0, "node {major}: main thread");
        node.value("stopWorker()");
        let (_, main) = capture(&mut node, pid, &Options::default());
        assert_eq!(markers(&main).len(), 0, "node {major}: after the worker");
    }
}

#[test]
fn stable_ids_stay_and_exactly_the_new_objects_are_added() {
    let options = Options { stable_ids: true, ..Options::default() };
    for major in MAJORS {
        let mut node = Node::new(major);
        let pid = node.pid();
        node.value("keep(4000)");
        let (report, before) = capture(&mut node, pid, &options);
        assert!(report.stable_ids && report.known_ids && report.tracking > Duration::ZERO);
        node.value("keep(321)");
        let (_, after) = capture(&mut node, pid, &options);
        let (before, after) = (markers(&before), markers(&after));
        assert_eq!((before.len(), after.len()), (4000, 4321), "node {major}");
        assert!(before.is_subset(&after), "node {major}");
        // The last of a series needs no ids given before it.
        node.value("keep(123)");
        let (report, last) = capture(&mut node, pid, &Options::default());
        assert!(report.known_ids && !report.stable_ids);
        let last = markers(&last);
        assert_eq!(last.len(), 4444, "node {major}");
        assert!(after.is_subset(&last), "node {major}");
        assert!(Fork::prepare(pid).unwrap().forget_ids(&mut node, &options).unwrap());
        let (report, _) = capture(&mut node, pid, &Options::default());
        assert!(!report.known_ids);
    }
}

/// Bytes of the target that a child of it would not inherit.
fn marked(node: &Node) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", node.pid())).unwrap();
    let mut size = 0;
    let mut marked = 0;
    for line in smaps.lines() {
        if let Some(rest) = line.strip_prefix("Size:") {
            size = rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
        } else if line.starts_with("VmFlags:") && line.split(' ').any(|flag| flag == "dc") {
            marked += size;
        }
    }
    marked
}

#[test]
fn what_v8_keeps_from_its_children_is_kept_from_them_again() {
    for major in [20, 24, 26] {
        let mut node = Node::new(major);
        node.value("keep(5000)");
        let before = marked(&node);
        assert!(before > 1 << 20, "node {major}");
        let pid = node.pid();
        capture(&mut node, pid, &Options::default());
        // V8 makes and frees some memory between any two moments.
        assert!(marked(&node) > before / 10 * 9, "node {major}: {} of {before}", marked(&node));
        // The addon finds out for itself where it is not told.
        drop(fork_by_hand(&mut node));
        assert!(marked(&node) > before / 10 * 9, "node {major}: {} of {before}", marked(&node));
    }
}

#[test]
fn the_inspector_evaluates_as_well() {
    let timeout = Duration::from_secs(60);
    let settings =
        AttachOptions { timeout, open_within: timeout, close_within: timeout, ..AttachOptions::default() };
    for major in MAJORS {
        // An ES module has no `require` of its own, and neither has its worker.
        let mut node = Node::with(major, "mjs", |command| {
            command.arg("--inspect-port=0").stderr(Stdio::null());
        });
        let mut worker = node.start_worker();
        worker.evaluate("keep(80); delete globalThis.require; 1", timeout).unwrap();
        node.value("keep(70); delete globalThis.require; 1");
        let pid = node.pid();
        let mut attachment = attach(&Target::Pid(pid), &settings).unwrap();
        let (_, main) = capture(attachment.session(), pid, &Options::default());
        assert_eq!(markers(&main).len(), 70, "node {major}");
        let threads = attachment.session().threads(timeout).unwrap();
        let mut session = attachment.session().thread(threads[1].number, timeout).unwrap();
        let (_, worker) = capture(&mut session, pid, &Options::default());
        assert_eq!(markers(&worker).len(), 80, "node {major}");
        drop(session);
        assert_eq!(attachment.close().unwrap(), Closed::Closed, "node {major}");
        assert_eq!(children(pid), [0; 0]);
    }
}

#[test]
fn a_busy_process_is_captured_and_goes_on() {
    for major in [20, 24] {
        let mut node = Node::new(major);
        let pid = node.pid();
        node.value("keep(1000)");
        node.value(LOAD);
        for _ in 0..4 {
            let turns = node.value("turns").as_u64().unwrap();
            let (_, snapshot) = capture(&mut node, pid, &Options::default());
            assert_eq!(markers(&snapshot).len(), 1000, "node {major}");
            assert!(node.value("turns").as_u64().unwrap() > turns);
        }
        assert_eq!(children(node.pid()), [0; 0]);
    }
}

/// Calls a function before the first bytes are taken, while the child must wait for the rest to be read.
struct AtFirst<F: FnMut()> {
    act: F,
    bytes: Vec<u8>,
    restarts: u32,
}

impl<F: FnMut()> AtFirst<F> {
    fn new(act: F) -> Self {
        Self { act, bytes: Vec::new(), restarts: 0 }
    }
}

impl<F: FnMut()> Write for AtFirst<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() && self.restarts == 0 {
            (self.act)();
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut()> Sink for AtFirst<F> {
    fn restart(&mut self) -> std::io::Result<bool> {
        self.restarts += 1;
        self.bytes.restart()
    }
}

/// Captures with something happening to the child, by its number, while it writes.
fn disturbed(node: &mut Node, options: &Options, act: impl Fn(u32)) -> (Result<Report>, Vec<u8>, u32) {
    let pid = node.pid();
    let mut sink = AtFirst::new(|| {
        let children = children(pid);
        assert_eq!(children.len(), 1);
        act(children[0]);
    });
    let mut fork = Fork::prepare(pid).unwrap();
    let result = fork.capture(node, options, &mut sink, &mut |_: &Progress| Verdict::Continue);
    assert_eq!(children(pid), [0; 0], "no child is left");
    (result, sink.bytes, sink.restarts)
}

/// Captures anew when a child ended by itself, as those do that wait for a thread that was busy at the fork: what was
/// done to that one was done to a child that was no more.
fn unless_busy(mut capture: impl FnMut() -> Result<Report>) -> Result<Report> {
    for _ in 0..10 {
        match capture() {
            Ok(report) if report.setbacks.iter().any(|why| why.contains("busy at the fork")) => {}
            result => return result,
        }
    }
    panic!("ten captures in turn met a busy thread");
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn a_child_that_is_killed_is_an_error_and_the_target_goes_on() {
    for major in [16, 20, 26] {
        let mut node = Node::new(major);
        node.value("keep(20000)");
        let kill = |child| signal(child, rustix::process::Signal::KILL);
        let error = unless_busy(|| disturbed(&mut node, &Options::default(), kill).0).unwrap_err();
        assert_eq!(
            (error.kind, error.why.as_str()),
            (Kind::Gone, "the child was ended by signal 9"),
            "node {major}"
        );
        assert_eq!(node.value("kept.length"), 20000);
    }
}

#[test]
fn a_child_that_stands_still_is_killed_and_forked_anew() {
    let mut node = Node::new(20);
    node.value("keep(20000)");
    let options = Options { stalled_after: Duration::from_millis(400), ..Options::default() };
    let stop = |child| signal(child, rustix::process::Signal::STOP);
    let (report, bytes, restarts) = disturbed(&mut node, &options, stop);
    assert_eq!((report.unwrap().tries, restarts), (2, 1));
    assert_eq!(markers(&read(&*bytes, ReadOptions::default()).unwrap()).len(), 20000);

    let once = Options { tries: 1, ..options };
    let error = disturbed(&mut node, &once, stop).0.unwrap_err();
    assert_eq!(error.kind, Kind::Incomplete);
    assert!(error.why.contains("neither wrote nor computed"), "{error}");
}

#[test]
fn signals_of_the_target_do_nothing_to_the_child_and_nothing_of_the_target_is_open_in_it() {
    use rustix::process::Signal;
    for major in [18, 24] {
        let mut node = Node::new(major);
        node.value("keep(20000); process.on('SIGTERM', () => {}); process.on('SIGHUP', () => {});");
        node.value(
            "require('net').createServer().listen(0, '127.0.0.1'); require('fs').openSync('/etc/hostname');",
        );
        let (report, bytes, _) = disturbed(&mut node, &Options::default(), |child| {
            for one in [
                Signal::INT,
                Signal::TERM,
                Signal::HUP,
                Signal::USR1,
                Signal::USR2,
                Signal::PIPE,
                Signal::CHILD,
            ] {
                signal(child, one);
            }
            let open: Vec<PathBuf> = fs::read_dir(format!("/proc/{child}/fd"))
                .unwrap()
                .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
                .filter(|link| link.to_str() != Some("/dev/null"))
                .collect();
            assert!(open.iter().all(|link| link.to_str().unwrap().starts_with("pipe:")), "{open:?}");
            // The output, its duplicate, the report and standard error.
            assert_eq!(open.iter().collect::<BTreeSet<_>>().len(), 2, "{open:?}");
            assert_eq!(fs::read_to_string(format!("/proc/{child}/oom_score_adj")).unwrap().trim(), "1000");
            let limits = fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"));
        });
        report.unwrap();
        assert_eq!(markers(&read(&*bytes, ReadOptions::default()).unwrap()).len(), 20000, "node {major}");
    }
}

#[test]
fn the_child_can_do_nothing_but_write_its_output() {
    for major in MAJORS {
        let mut node = Node::new(major);
        let victim = node.folder.path().join("victim");
        fs::write(&victim, "alive").unwrap();
        node.value(&format!("globalThis.victim = {:?}", victim.to_str().unwrap()));
        // What a finalizer could do, in the place of the function that the child calls.
        node.value(
            "(() => { const v8 = require('v8'), fs = require('fs'), children = require('child_process');
            const tries = {
              unlink: () => fs.unlinkSync(victim), rename: () => fs.renameSync(victim, victim + '2'),
              write: () => fs.writeFileSync(victim, 'dead'), append: () => fs.appendFileSync(victim, 'dead'),
              make: () => fs.mkdirSync(victim + '3'), link: () => fs.symlinkSync('a', victim + '4'),
              mode: () => fs.chmodSync(victim, 0), read: () => fs.readFileSync(victim),
              cut: () => fs.truncateSync(victim), kill: () => process.kill(process.ppid, 'SIGKILL'),
              itself: () => process.kill(process.pid, 'SIGKILL'), folder: () => process.chdir('/tmp'),
              spawn: () => { const r = children.spawnSync('/bin/true'); if (r.error) throw r.error; },
            };
            v8.writeHeapSnapshot = () => {
              const done = Object.keys(tries).filter((name) => { try { tries[name](); return true; } catch { return false; } });
              throw new Error('done: ' + done.join());
            }; })()",
        );
        let pid = node.pid();
        let mut fork = Fork::prepare(pid).unwrap();
        let mut sink = Vec::new();
        let watch = &mut |_: &Progress| Verdict::Continue;
        let error = fork.capture(&mut node, &Options::default(), &mut sink, watch).unwrap_err();
        assert_eq!((error.kind, error.why.as_str()), (Kind::Protocol, "done: "), "node {major}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "alive");
        assert_eq!(node.value("1"), 1);
        assert_eq!(children(pid), [0; 0]);
    }
}

#[test]
fn the_watcher_can_stop_a_capture_with_its_own_error() {
    let mut node = Node::new(22);
    node.value("keep(300000)");
    let pid = node.pid();
    let mut fork = Fork::prepare(pid).unwrap();
    let mut seen = Vec::new();
    let watch = &mut |progress: &Progress| {
        seen.push(progress.child);
        Verdict::Stop(CaptureError::new(Kind::Refused, "memory is short", ""))
    };
    let error = fork.capture(&mut node, &Options::default(), &mut Vec::new(), watch).unwrap_err();
    assert_eq!((error.kind, error.what.as_str()), (Kind::Refused, "memory is short"));
    assert_eq!(seen.len(), 1);
    assert_eq!(children(pid), [0; 0]);

    let limited = Options { timeout: Some(Duration::ZERO), ..Options::default() };
    let watch = &mut |_: &Progress| Verdict::Continue;
    let error = fork.capture(&mut node, &limited, &mut Vec::new(), watch).unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert_eq!(node.value("kept.length"), 300_000);
}

#[test]
fn a_sink_that_fails_ends_the_child() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Sink for Full {}
    let mut node = Node::new(20);
    let pid = node.pid();
    let watch = &mut |_: &Progress| Verdict::Continue;
    let error =
        Fork::prepare(pid).unwrap().capture(&mut node, &Options::default(), &mut Full, watch).unwrap_err();
    assert_eq!(error.kind, Kind::Output);
    assert_eq!(children(pid), [0; 0]);
    assert_eq!(node.value("1"), 1);
}

/// What the library does with the child's pipes, so that a test can do it wrongly.
fn fork_by_hand(node: &mut Node) -> (u32, fs::File) {
    let pid = node.pid();
    Fork::prepare(pid).unwrap().load(node, &Options::default()).unwrap();
    let place = "Object.getOwnPropertySymbols(process).find((s) => String(s).includes('heapsight.fork'))";
    let forked = node.value(&format!("process[{place}].fork(false, [])"));
    let child = u32::try_from(forked["child"].as_u64().unwrap()).unwrap();
    let path = |index: usize| format!("/proc/{child}/fd/{}", forked["numbers"][index]);
    let data = fs::File::open(path(4)).unwrap();
    fs::File::options().write(true).open(path(9)).unwrap().write_all(&[1]).unwrap();
    (child, data)
}

#[test]
fn a_child_without_a_reader_ends_and_is_waited_for() {
    for major in [16, 26] {
        let mut node = Node::new(major);
        node.value("keep(20000)");
        // In the middle of the output.
        // A child that waits for a thread that was busy at the fork ends by itself.
        let (child, data) = (0..10)
            .map(|_| fork_by_hand(&mut node))
            .find_map(|(child, mut data)| {
                let read = std::io::Read::read_exact(&mut data, &mut vec![0; 100_000]);
                read.is_ok().then_some((child, data))
            })
            .expect("ten forks in turn met a busy thread");
        drop(data);
        until("the child ends that nobody reads any more", || parent(child) != Some(node.pid()));
        // Before the first byte: the child builds the graph for long and writes nothing.
        node.value("keep(200000)");
        let (child, data) = fork_by_hand(&mut node);
        drop(data);
        until("the child ends that nobody reads", || parent(child) != Some(node.pid()));
        assert_eq!(node.value("kept.length"), 220_000);
        assert_eq!(children(node.pid()), [0; 0]);
    }
}

#[test]
fn the_child_dies_with_its_parent() {
    let mut node = Node::new(24);
    node.value("keep(50000)");
    let started = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        (!rest.starts_with(['Z', 'X'])).then(|| rest.split(' ').nth(19).map(str::to_owned)).flatten()
    };
    let (child, _data) = fork_by_hand(&mut node);
    let identity = started(child);
    assert!(identity.is_some());
    node.process.kill().unwrap();
    node.process.wait().unwrap();
    until("the child ends with its parent", || started(child) != identity);
}

#[test]
fn a_target_that_ends_meanwhile_is_said_to_be_gone() {
    let mut node = Node::new(20);
    node.value("keep(20000)");
    let pid = node.pid();
    let kill = |_| {
        signal(pid, rustix::process::Signal::KILL);
        // Nothing is read meanwhile, and the pipe holds a part only: so the child cannot be done before its parent is dead.
        until("the target is dead", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
        });
    };
    let error = disturbed(&mut node, &Options::default(), kill).0.unwrap_err();
    assert_eq!((error.kind, error.why.as_str()), (Kind::Gone, "it was killed, or exited, or crashed"));
}

fn load_error(node: &mut Node) -> CaptureError {
    let pid = node.pid();
    Fork::prepare(pid).unwrap().load(node, &Options::default()).unwrap_err()
}

#[test]
fn what_forbids_addons_is_said_and_is_unsupported() {
    let mut node = Node::with(20, "cjs", |command| {
        command.arg("--no-addons");
    });
    let error = load_error(&mut node);
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.why.contains("addons"), "{error}");

    for (major, flag) in [(20, "--experimental-permission"), (24, "--permission")] {
        let script = "let rest = ''; process.stdin.on('data', (data) => {
            const lines = (rest + data).split('\\n'); rest = lines.pop();
            for (const line of lines) process.stdout.write(JSON.stringify((0, eval)(JSON.parse(line))) + '\\n'); })";
        let mut node = Node::run(major, |command, file| {
            fs::write(file, script).unwrap();
            command.args([flag, "--allow-fs-read=*"]).arg(file).stderr(Stdio::null());
        });
        let error = load_error(&mut node);
        assert_eq!(error.kind, Kind::Unsupported, "{error}");
        assert!(error.why.contains("permission"), "{error}");
    }

    let mut node = Node::new(22);
    node.value("process.dlopen = () => {}; 1");
    let error = load_error(&mut node);
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.why.contains("without effect"), "{error}");
    node.value("delete process.dlopen; process.dlopen = undefined; 1");
    assert_eq!(load_error(&mut node).kind, Kind::Unsupported);
}

#[test]
fn the_wrong_process_is_recognised() {
    let mut node = Node::new(20);
    let mut other = Node::new(22);
    let error = Fork::prepare(other.pid()).unwrap().load(&mut node, &Options::default()).unwrap_err();
    assert_eq!(error.kind, Kind::Protocol, "{error}");
    assert_eq!(
        other.value("Object.getOwnPropertySymbols(process).length > 0 && Object.keys(process).includes('x')"),
        false
    );
    assert_eq!(Fork::prepare(u32::MAX >> 1).unwrap_err().kind, Kind::NotFound);
}

/// Other users and namespaces need root; elsewhere those tests have nothing to do.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn another_user_gets_the_addon_in_a_file_that_is_gone_at_once() {
    use std::os::unix::process::CommandExt as _;
    if !is_root() {
        return;
    }
    for major in [16, 24] {
        for extension in ["cjs", "mjs"] {
            let mut node = Node::with(major, extension, |command| {
                command.uid(65534).gid(65534);
            });
            // Its first choice, TMPDIR, is a folder that it may not write to.
            let (pid, files) = (node.pid(), node.files());
            node.value("keep(50)");
            let (_, snapshot) = capture(&mut node, pid, &Options::default());
            assert_eq!(markers(&snapshot).len(), 50);
            assert_eq!(node.files(), files);
            let left =
                fs::read_dir("/tmp").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let ours = left.filter(|name| name.starts_with(&format!("heapsight-{pid}-"))).count();
            assert_eq!(ours, 0);
        }
    }
}

#[test]
fn a_process_in_its_own_namespaces_is_captured() {
    if !is_root()
        || !Command::new("unshare").args(["--pid", "--fork", "true"]).status().is_ok_and(|s| s.success())
    {
        return;
    }
    let mut node = Node::run(20, |command, file| {
        fs::write(
            file,
            format!("const readline = require('readline'), threads = require('worker_threads'); {SCRIPT}"),
        )
        .unwrap();
        let program = command.get_program().to_owned();
        *command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program).arg(file);
    });
    let inner = children(node.pid())[0];
    assert_eq!(node.value("process.pid"), 1);
    node.value("keep(60)");
    let (report, snapshot) = capture(&mut node, inner, &Options::default());
    assert_eq!(markers(&snapshot).len(), 60);
    assert!(report.child > inner);
    assert_eq!(children(inner), [0; 0]);
}
