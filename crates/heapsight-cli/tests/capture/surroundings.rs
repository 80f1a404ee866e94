//! Captures compared with V8's own, and captures where memory or the file system is tight.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use heapsight_testkit::runtimes;

use crate::{
    command::Cli,
    programs::{MAJORS, Program, children},
};

/// How many objects of each class a file has.
fn counts(cli: &Cli, file: &str) -> BTreeMap<String, i64> {
    let summary = cli.json(&["summary", file]);
    let rows = summary["classes"].as_array().unwrap();
    rows.iter().map(|c| (c["name"].as_str().unwrap().to_owned(), c["count"].as_i64().unwrap())).collect()
}

#[test]
fn a_capture_has_the_classes_of_v8s_own() {
    // What a capture makes itself: the addon's module, the console that the inspector lends to an evaluation, compiled
    // code, hidden classes and strings; and V8's own has the request during which it was taken.
    const ITS_OWN: i64 = 60;
    let cli = Cli::new();
    for major in MAJORS {
        let program = Program::node(major);
        let path = cli.path().join("v8.heapsnapshot");
        program.ask(&format!("write?{}", path.display()));
        let own = counts(&cli, "v8.heapsnapshot");
        for method in ["fork", "inspector"] {
            cli.snapshot(&program.target(), &["--method", method, "-o", "ours.heapsnapshot", "--force"]);
            let ours = counts(&cli, "ours.heapsnapshot");
            assert_eq!(ours["HeapsightMarker"], own["HeapsightMarker"], "Node.js {major}, {method}");
            for name in ours.keys().chain(own.keys()) {
                let of = |all: &BTreeMap<String, i64>| all.get(name).copied().unwrap_or(0);
                let (here, there) = (of(&ours), of(&own));
                // The engine's: `(compiled code)`, `(string)`, `system / Context`.
                let engine = name.starts_with('(') || name.starts_with("system / ");
                let room = if engine { ITS_OWN + there / 10 } else { ITS_OWN };
                assert!(
                    (here - there).abs() <= room,
                    "Node.js {major}, {method}: {name}: {here}, V8's own {there}"
                );
            }
        }
        fs::remove_file(path).unwrap();
    }
}

/// A control group with a limit of memory; removed in the end.
struct Group(PathBuf);

impl Group {
    /// Nothing where this user may make none.
    fn new(limit: u64) -> Option<Self> {
        let name = format!("heapsight-test-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let path = PathBuf::from(root).join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            if fs::write(group.0.join(file), limit.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Node.js below `sh`, which does something first and then becomes it.
fn node_after(first: &str) -> Command {
    let mut command = Command::new("sh");
    let node = runtimes::node(22);
    let script = format!("{first}; exec {} --inspect-port=127.0.0.1:0 \"$0\"", node.display());
    command.args(["-c", &script]);
    command
}

#[test]
fn the_child_is_ended_before_the_limit_of_its_control_group() {
    const MIB: u64 = 1 << 20;
    let Some(group) = Group::new(330 * MIB) else { return };
    let procs = group.0.join("cgroup.procs");
    let cli = Cli::new();
    {
        let program = Program::server(&mut node_after(&format!("echo $$ > {}", procs.display())), false);
        let target = program.target();
        // Too much for certain is refused before anything is done.
        let plan = cli.json(&["snapshot", &target, "--dry-run"]);
        assert_ne!(plan["methods"][0]["verdict"], "refuse", "{plan}");
        program.ask("ballast?150000");
        // What is estimated from outside is too little for a heap of small objects, so that the guard is put to the test.
        let ended = cli.run(&["snapshot", &target, "-o", "a.heapsnapshot"]);
        ended.failed(&["memory limit of 330 MiB"]);
        assert_eq!(cli.files(), [""; 0]);
        assert_eq!(children(program.pid()), [0; 0]);
        program.is_as_before();
        assert!(fs::read_to_string(&procs).unwrap().contains(&target));
    }
}

#[test]
fn a_program_with_a_root_that_is_read_only() {
    let probe = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -o bind,remount,ro /"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return;
    }
    let mut command = Command::new("unshare");
    let node = runtimes::node(22);
    let script =
        format!("mount -o bind,remount,ro / && exec {} --inspect-port=127.0.0.1:0 \"$0\"", node.display());
    command.args(["--mount", "sh", "-c", &script]);
    let program = Program::server(&mut command, false);
    let cli = Cli::new();
    let snapshot = cli.snapshot(&program.target(), &["-o", "a.heapsnapshot"]);
    assert_eq!(snapshot["method"], "fork", "{snapshot}");
    assert!(cli.markers("a.heapsnapshot") > 0);
    program.is_as_before();
}

#[test]
fn a_disk_that_is_full() {
    let cli = Cli::new();
    let disk = cli.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &[&str]| {
        let status = Command::new("mount").args(options).arg(&disk).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        return;
    }
    let _unmount = Unmount(&disk);
    let program = Program::node(22);
    let target = program.target();
    let file = disk.join("a.heapsnapshot");
    let to = file.to_str().unwrap();
    // What does not fit is known before, and what was wrongly thought to fit is cleaned up.
    cli.run(&["snapshot", &target, "-o", to]).failed(&["the disk has 1 MiB"]);
    for method in ["fork", "inspector"] {
        let ended = cli.run(&["snapshot", &target, "--method", method, "--force", "-o", to]);
        ended.failed(&[&format!("cannot write {to}: the disk is full, 1.0 MiB were written"), "make room"]);
        assert_eq!(fs::read_dir(&disk).unwrap().count(), 0, "{method}");
        assert_eq!(children(program.pid()), [0; 0]);
        program.is_as_before();
    }
}

/// Takes a disk away again.
struct Unmount<'p>(&'p Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
