//! The end of a process, and what is kept of it.

use std::{fs, process::Command};

use heapsight_testkit::runtimes;
use serde_json::Value;

use crate::{
    command::Cli,
    programs::{Program, until},
    watcher::Watcher,
};

/// Leaks sessions that know their place in the code.
const LEAK: &str = "
class Session {
  constructor(i) {
    this.data = new Array(400).fill(i);
  }
}
const store = [];
globalThis.leak = (n) => { for (let i = 0; i < n; i++) store.push(new Session(i)); };
setInterval(leak, 10, 20);
console.log('ready');
process.stdin.on('end', () => process.exit()).resume();
";

fn leaking(major: u32, options: &[&str]) -> Program {
    let mut command = Command::new(runtimes::node(major));
    let program = Program::start(command.arg("--inspect-port=127.0.0.1:0").args(options), "leak.cjs", LEAK);
    until("it leaks", || program.said().contains("ready").then_some(()));
    program
}

/// Watches until several profiles have grown.
fn watch(cli: &Cli, program: &Program) -> Watcher {
    let args = [
        &program.target()[..],
        "--interval",
        "16KiB",
        "--on",
        "end",
        "--do",
        "run echo $HEAPSIGHT_FILES > told",
    ];
    let mut watcher = Watcher::start(cli, &args);
    watcher.await_event("attached");
    watcher
}

fn testimony(cli: &Cli, ended: &Value) -> (Value, String) {
    let files: Vec<&str> =
        ended["evidence"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    let [profile, evidence] = files[..] else { panic!("{ended}") };
    let top = cli.json(&["profile", "top", profile]);
    let names: Vec<&str> =
        top["functions"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Session") || names.contains(&"globalThis.leak"), "{top}");
    let evidence: Value = serde_json::from_slice(&fs::read(evidence).unwrap()).unwrap();
    assert_eq!(evidence["sentence"], ended["sentence"]);
    (evidence, ended["sentence"].as_str().unwrap().to_owned())
}

#[test]
fn a_killed_process_leaves_its_last_profile_and_what_had_grown() {
    for major in [18, 26] {
        let mut program = leaking(major, &[]);
        let cli = Cli::new();
        let mut watcher = watch(&cli, &program);
        let rss = || -> u64 {
            let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let first = rss();
        until("it has leaked 20 MB", || (rss() > first + 20_000).then_some(()));
        program.kill();
        let ended = watcher.await_event("ended");
        assert_eq!(ended["cause"], "unknown", "{ended}");
        let (evidence, sentence) = testimony(&cli, &ended);
        assert!(
            sentence.starts_with("ended at ") && sentence.contains("leak.cjs:"),
            "node {major}: {sentence}"
        );
        let grown = &evidence["ending"]["grown"][0];
        assert!(grown["bytes"].as_u64().unwrap() > 1 << 20, "{evidence}");
        // A rule of the end is told of the files.
        let told = until("the command has run", || {
            fs::read_to_string(cli.path().join("told")).ok().filter(|t| !t.is_empty())
        });
        assert!(told.contains(".heapprofile"), "{told}");
        assert_eq!(watcher.captures().len(), 2);
        watcher.end();
    }
}

#[test]
fn a_profile_is_kept_however_often_the_heap_is_asked() {
    let mut program = leaking(24, &[]);
    let cli = Cli::new();
    let target = program.target();
    let often =
        ["--every", "100ms", "--heap-every", "100ms", "--profile-every", "400ms", "--interval", "16KiB"];
    let args = [&[&target[..]], &often[..]].concat();
    let mut watcher = Watcher::start_with(&cli, &args);
    watcher.await_event("attached");
    std::thread::sleep(std::time::Duration::from_secs(3));
    program.kill();
    let ended = watcher.await_event("ended");
    testimony(&cli, &ended);
    watcher.end();
}

#[test]
fn a_heap_that_reaches_its_limit_is_told_by_it() {
    let program = leaking(22, &["--max-old-space-size=60"]);
    let cli = Cli::new();
    let mut watcher = watch(&cli, &program);
    let ended = watcher.await_event("ended");
    assert_eq!(ended["cause"], "heap-limit", "{ended} {}", program.said());
    let (_, sentence) = testimony(&cli, &ended);
    assert!(sentence.contains("where V8 ends a program"), "{sentence}");
    watcher.end();
}

/// A control group with a limit, if this user may make one.
struct Group(std::path::PathBuf);

impl Group {
    fn with_limit(bytes: u64) -> Option<Self> {
        let name = format!("heapsight-test-{}", std::process::id());
        for (top, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Self(std::path::Path::new(top).join(&name));
            if fs::create_dir(&group.0).is_err() {
                std::mem::forget(group);
                continue;
            }
            if fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_that_the_kernel_kills_for_want_of_memory_is_told_so() {
    // Making groups is a right of root; without it there is nothing that the kernel would kill.
    let Some(group) = Group::with_limit(160 << 20) else { return };
    let program = leaking(20, &[]);
    group.take(program.pid());
    let cli = Cli::new();
    let mut watcher = watch(&cli, &program);
    let ended = watcher.await_event("ended");
    assert_eq!(ended["cause"], "oom-kill", "{ended}");
    let (_, sentence) = testimony(&cli, &ended);
    assert!(sentence.starts_with("killed by the kernel for want of memory (OOM) at "), "{sentence}");
    assert!(sentence.contains("leak.cjs:"), "{sentence}");
    watcher.end();
    drop(program);
}
