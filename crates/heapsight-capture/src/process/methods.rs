//! Which ways of capturing would work for a process, and why not: judged from outside, before anything is done to it.
//!
//! Measured on Node.js 16 to 26, Deno 2, Bun 1 and Chromium 156:
//! - `SIGUSR1` opens the inspector where `SigCgt` has it. A program's own handler has it as well and swallows it; that
//!   cannot be seen. With `--disable-sigusr1` and under the permission model it is blocked and does nothing. Neither
//!   caught nor blocked (the handler was taken off, Bun, other programs), it ends the process.
//! - While Node starts, the signal is blocked or not yet caught: what a process says in its first seconds may change.
//! - The inspector listens in a thread, and so an event loop, of its own; the program's own servers are in others.

use std::net::{IpAddr, SocketAddr};

use super::{
    arguments::{Arguments, inspector_address},
    executable::Kind,
    namespaces, procfs,
    runtime::Runtime,
    sockets::{self, Tables},
    status::Status,
};

/// `SIGUSR1` on all that Linux runs Node.js on.
pub const SIGUSR1: u32 = 10;

/// `CAP_DAC_OVERRIDE`: rights of files do not matter.
const DAC_OVERRIDE: u32 = 1;

/// A program that is older than this has its signal handlers, in seconds.
const STARTED: u64 = 5;

/// A way of capturing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// A forked child writes its copy of the heap; the process goes on.
    Fork,
    /// `HeapProfiler.takeHeapSnapshot` over the inspector.
    Inspector,
    /// The signal of `--heapsnapshot-signal`.
    Signal,
    /// `v8.setHeapSnapshotNearHeapLimit`: when the heap is nearly full.
    NearLimit,
}

impl Method {
    /// All of them, the gentlest first.
    pub const ALL: [Self; 4] = [Self::Fork, Self::Inspector, Self::Signal, Self::NearLimit];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Inspector => "inspector",
            Self::Signal => "signal",
            Self::NearLimit => "near-limit",
        }
    }
}

/// Whether a method would work for a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Which.
    pub method: Method,
    /// Whether it would work, as far as can be told.
    pub works: bool,
    /// Why, or why not and what to do about it.
    pub reason: String,
}

/// What `SIGUSR1` would do to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usr1 {
    /// It is caught: it opens the inspector, unless a handler of the program's own takes it.
    Opens,
    /// It is blocked: it does nothing.
    Blocked,
    /// It is ignored.
    Ignored,
    /// It would end the process. Never send it.
    Fatal,
    /// The process is too young to tell: it is not caught, or not yet. Look again in a second; do not send it.
    Starting,
}

/// An inspector that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspector {
    /// Where it listens, in the network of the process.
    pub addr: SocketAddr,
    /// Whether its port is the one that the process was told. Else it is the likeliest of its sockets; what answers there
    /// proves it.
    pub expected: bool,
}

/// What is known of a process when its methods are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Its id.
    pub pid: u32,
    /// Its runtime.
    pub kind: Kind,
    /// The first number of its version.
    pub major: Option<u32>,
    /// Which of Chromium's or Electron's processes it is.
    pub role: Option<String>,
    /// Whether it has the processor of this executable, and fork snapshots know it.
    pub machine_known: bool,
    /// `--permission` or `--experimental-permission`.
    pub permission_model: bool,
    /// `--no-addons`.
    pub no_addons: bool,
    /// Where an inspector is open already.
    pub inspector: Option<Inspector>,
    /// Whether the inspector's address can be reached: same network, or the right to enter the other one.
    pub reachable: bool,
    /// What `SIGUSR1` would do.
    pub usr1: Usr1,
    /// Whether we may send it signals.
    pub may_signal: bool,
    /// Whose it is.
    pub uid: u32,
    /// Whether it is stopped (`SIGSTOP`, a debugger) and answers nothing.
    pub stopped: bool,
    /// The signal of `--heapsnapshot-signal`: its name, and whether it is caught.
    pub snapshot_signal: Option<(String, bool)>,
    /// Why it cannot write into the folder where it would put its snapshots; `None` where it can.
    pub folder_problem: Option<String>,
    /// Of a renderer: process id and inspector of its browser.
    pub browser: Option<(u32, Option<Inspector>)>,
}

impl Facts {
    /// Gathers what `/proc` says. `command` are the options of its command line, `variable` those of `NODE_OPTIONS`.
    pub(crate) fn gather(
        status: &Status,
        runtime: &Runtime,
        command: &Arguments,
        variable: &Arguments,
        tables: &mut Tables,
    ) -> Self {
        let pid = status.pid;
        let options =
            if runtime.single_executable { variable.clone() } else { variable.clone().and(command.clone()) };
        let snapshot_signal = options.value("--heapsnapshot-signal").map(|name| {
            let caught = signal_number(name).is_some_and(|number| status.catches(number));
            (name.to_owned(), caught)
        });
        let folder_problem = snapshot_signal.as_ref().and_then(|_| folder_problem(status, &options));
        let machine = match std::env::consts::ARCH {
            "x86_64" => 62,
            "aarch64" => 183,
            _ => 0,
        };
        Self {
            pid,
            kind: runtime.kind,
            major: runtime.major(),
            role: runtime.role.clone(),
            machine_known: machine != 0 && machine == runtime.machine,
            permission_model: options.has("--permission") || options.has("--experimental-permission"),
            no_addons: options.has("--no-addons"),
            inspector: inspector(pid, runtime, &options, tables),
            reachable: namespaces::same_network(pid) || may_enter_networks(),
            usr1: usr1(status, &options, status.age()),
            may_signal: may_signal(pid),
            uid: status.uid,
            stopped: status.is_stopped(),
            snapshot_signal,
            folder_problem,
            browser: None,
        }
    }
}

/// What `SIGUSR1` would do to a process of an age in seconds.
fn usr1(status: &Status, options: &Arguments, age: Option<u64>) -> Usr1 {
    let young = age.is_some_and(|age| age < STARTED);
    // The handlers are its parent's. Before it starts its program it has none, and the signal would end it.
    if status.forked && young {
        return Usr1::Starting;
    }
    if status.catches(SIGUSR1) {
        // Even caught it stays pending while the main thread blocks it; no runtime does that for long.
        return if status.blocks(SIGUSR1) { Usr1::Blocked } else { Usr1::Opens };
    }
    let told = ["--disable-sigusr1", "--permission", "--experimental-permission"];
    let told = status.blocks(SIGUSR1) && told.iter().any(|option| options.has(option));
    if !told && young {
        return Usr1::Starting;
    }
    if status.blocks(SIGUSR1) {
        Usr1::Blocked
    } else if status.ignores(SIGUSR1) {
        Usr1::Ignored
    } else {
        Usr1::Fatal
    }
}

/// Whether the system would let us send a signal; none is sent.
#[cfg(target_os = "linux")]
fn may_signal(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};

    i32::try_from(pid).ok().and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn may_signal(_: u32) -> bool {
    false
}

/// Whether we may enter network namespaces of others (`CAP_SYS_ADMIN`).
fn may_enter_networks() -> bool {
    const SYS_ADMIN: u32 = 21;
    Status::read(std::process::id()).is_ok_and(|own| own.has_capability(SYS_ADMIN))
}

/// The number of a signal by its name, on x86-64 and aarch64.
fn signal_number(name: &str) -> Option<u32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let short = name.strip_prefix("SIG")?;
    NAMES.iter().position(|known| *known == short).map(|at| at as u32 + 1)
}

/// Why a process cannot write into its diagnostic folder. Node ends when it cannot: an exception in a signal's handler.
fn folder_problem(status: &Status, options: &Arguments) -> Option<String> {
    let named = options.value("--diagnostic-dir").or_else(|| options.value("--report-dir"));
    let cwd = procfs::path(status.pid, "cwd");
    let (folder, shown) = match named {
        Some(dir) if dir.starts_with('/') => {
            (procfs::path(status.pid, "root").join(dir.trim_start_matches('/')), dir.to_owned())
        }
        Some(dir) => (cwd.join(dir), dir.to_owned()),
        None => {
            let shown = procfs::link(status.pid, "cwd").map(|p| p.to_string_lossy().into_owned());
            (cwd, shown.unwrap_or_default())
        }
    };
    let Ok(meta) = std::fs::metadata(&folder) else { return Some(format!("{shown} is not there")) };
    if !meta.is_dir() {
        return Some(format!("{shown} is no folder"));
    }
    if read_only(&folder) {
        return Some(format!("{shown} is on a file system that is mounted read-only"));
    }
    (!may_write(&meta, status)).then(|| format!("its user ({}) may not write into {shown}", status.euid))
}

#[cfg(unix)]
fn may_write(meta: &std::fs::Metadata, status: &Status) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let mode = meta.mode();
    let needed = if meta.uid() == status.euid {
        0o300
    } else if meta.gid() == status.gid || status.groups.contains(&meta.gid()) {
        0o030
    } else {
        0o003
    };
    mode & needed == needed || status.has_capability(DAC_OVERRIDE)
}

#[cfg(not(unix))]
fn may_write(_: &std::fs::Metadata, _: &Status) -> bool {
    true
}

#[cfg(target_os = "linux")]
fn read_only(folder: &std::path::Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

#[cfg(not(target_os = "linux"))]
fn read_only(_: &std::path::Path) -> bool {
    false
}

/// Where an inspector of a process is open, as far as its sockets tell: the port that it was told (9229 if none), else a
/// socket of another thread than the program's main one.
fn inspector(pid: u32, runtime: &Runtime, options: &Arguments, tables: &mut Tables) -> Option<Inspector> {
    let listening = sockets::listening_descriptors(pid, tables).ok()?;
    if listening.is_empty() {
        return None;
    }
    let by_port = |host: &str, port: u16| {
        let on_host = |addr: &SocketAddr| {
            let host: Option<IpAddr> = host.parse().ok();
            host.is_none_or(|host| host.is_unspecified() || addr.ip() == host || addr.ip().is_unspecified())
        };
        listening.iter().find(|(addr, _)| port != 0 && addr.port() == port && on_host(addr))
    };
    if runtime.role.is_some() {
        let wanted: u16 = options.value("--remote-debugging-port")?.parse().ok()?;
        if let Some((addr, _)) = by_port("127.0.0.1", wanted) {
            return Some(Inspector { addr: *addr, expected: true });
        }
        let (addr, _) = listening.iter().find(|(addr, _)| wanted == 0 && addr.ip().is_loopback())?;
        return Some(Inspector { addr: *addr, expected: false });
    }
    let (host, port) = inspector_address(options);
    if runtime.kind != Kind::Node {
        return by_port(&host, port).map(|(addr, _)| Inspector { addr: *addr, expected: true });
    }
    // Node's loops in order: one of its start-up, the platform's, the main thread's; then the inspector's and workers'.
    let loops = sockets::event_loops(pid).unwrap_or_default();
    let of_main = |fd: &u32| loops.get(2).is_some_and(|main| main.contains(fd));
    let elsewhere = |fd: &u32| loops.iter().skip(3).any(|other| other.contains(fd));
    if let Some((addr, _)) = by_port(&host, port).filter(|(_, fd)| !of_main(fd)) {
        return Some(Inspector { addr: *addr, expected: true });
    }
    let mut candidates = listening.iter().filter(|(_, fd)| elsewhere(fd) && !of_main(fd));
    let host: Option<IpAddr> = host.parse().ok();
    let (addr, _) =
        candidates.clone().find(|(addr, _)| Some(addr.ip()) == host).or_else(|| candidates.next())?;
    Some(Inspector { addr: *addr, expected: false })
}

/// All addresses at which the inspector of a Node.js process may be, the likeliest first: the one that it was told, then
/// sockets of other threads than the main one, then the rest.
///
/// # Errors
/// As [`sockets::listening`].
pub fn inspector_candidates(process: &super::Process) -> crate::Result<Vec<SocketAddr>> {
    let mut all = sockets::listening(process.status.pid)?;
    if let Some(first) = process.facts.inspector {
        all.sort_by_key(|addr| *addr != first.addr);
    }
    Ok(all)
}

/// Judges all methods by what is known.
pub fn judge(facts: &Facts) -> Vec<Capability> {
    Method::ALL.iter().map(|&method| judge_one(facts, method)).collect()
}

fn judge_one(facts: &Facts, method: Method) -> Capability {
    let verdict = match method {
        Method::Fork => fork(facts),
        Method::Inspector => inspector_works(facts),
        Method::Signal => signal(facts),
        Method::NearLimit => near_limit(facts),
    };
    let (works, reason) = match verdict {
        Ok(reason) => (true, reason),
        Err(reason) => (false, reason),
    };
    Capability { method, works, reason }
}

type Verdict = Result<String, String>;

fn inspector_works(facts: &Facts) -> Verdict {
    let pid = facts.pid;
    if facts.kind == Kind::Bun {
        return Err("Bun has JavaScriptCore instead of V8, and its inspector takes no heap snapshots; call \
            Bun.generateHeapSnapshot(\"v8\") in the program and write what it returns to a .heapsnapshot file, which \
            Heapsight reads"
            .to_owned());
    }
    if facts.stopped {
        return Err(format!("the process is stopped and answers nothing; continue it (kill -CONT {pid})"));
    }
    let open = |inspector: Inspector, of: &str| {
        if facts.reachable {
            Ok(format!("it is open at {}{of}", inspector.addr))
        } else {
            Err(format!(
                "it is open at {}{of} in another network namespace, which may not be entered; run heapsight as root",
                inspector.addr
            ))
        }
    };
    if let Some(role) = &facts.role
        && role != "browser"
    {
        return match facts.browser {
            Some((browser, Some(inspector))) if role == "renderer" => {
                open(inspector, &format!(" of the browser, process {browser}"))
            }
            _ if role == "renderer" => {
                Err("pages are captured through their browser, whose DevTools port is closed; \
                start it with --remote-debugging-port=9222"
                    .to_owned())
            }
            _ => Err(format!("this {role} process has no page; capture a renderer")),
        };
    }
    if let Some(inspector) = facts.inspector {
        return open(inspector, "");
    }
    match facts.kind {
        Kind::Chromium => {
            return Err(
                "the DevTools port is closed; start the browser with --remote-debugging-port=9222".to_owned()
            );
        }
        Kind::Embedder => {
            return Err(
                "this program has V8 but no inspector that is known; if it can open one, name its HOST:PORT \
                as the target"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if facts.permission_model && facts.usr1 != Usr1::Opens {
        return Err("the permission model (--permission) keeps the inspector closed; start it with --allow-inspector \
            (Node.js 24 and later) or without --permission"
            .to_owned());
    }
    match facts.usr1 {
        Usr1::Opens if !facts.may_signal => Err(not_ours(facts)),
        Usr1::Opens if !facts.reachable => {
            Err("SIGUSR1 would open it in another network namespace, which may not be \
            entered; run heapsight as root"
                .to_owned())
        }
        Usr1::Opens => {
            Ok("it is closed; SIGUSR1 opens it, unless the program has a handler of its own".to_owned())
        }
        Usr1::Blocked => {
            Err("it is closed and SIGUSR1 is blocked (--disable-sigusr1, or the permission model); start \
            it with --inspect=127.0.0.1:0 or without that option"
                .to_owned())
        }
        Usr1::Ignored => {
            Err("it is closed and the process ignores SIGUSR1; start it with --inspect=127.0.0.1:0"
                .to_owned())
        }
        Usr1::Fatal => {
            Err("it is closed and SIGUSR1 would end the process, which has no handler for it; start it with \
            --inspect=127.0.0.1:0"
                .to_owned())
        }
        Usr1::Starting => {
            Err("the process was started a moment ago and does not take SIGUSR1 yet; try again in a second"
                .to_owned())
        }
    }
}

fn not_ours(facts: &Facts) -> String {
    format!("the process may not be signalled; run heapsight as its user (id {}) or as root", facts.uid)
}

/// What all methods need that are for Node.js alone.
fn node_alone(facts: &Facts, what: &str) -> Result<(), String> {
    if facts.kind == Kind::Node {
        Ok(())
    } else {
        Err(format!("{what} is for Node.js alone; this is {}", facts.kind.name()))
    }
}

fn fork(facts: &Facts) -> Verdict {
    node_alone(facts, "a fork snapshot")?;
    if let Some(major) = facts.major.filter(|major| *major < 16) {
        return Err(format!("a fork snapshot needs Node.js 16 or later; this is {major}"));
    }
    if !facts.machine_known {
        return Err(
            "fork snapshots are made on x86-64 and aarch64, by a heapsight of the same processor".to_owned()
        );
    }
    if facts.permission_model {
        return Err(
            "the permission model (--permission) lets no addon and no file be used; use the inspector with \
            --allow-inspector"
                .to_owned(),
        );
    }
    if facts.no_addons {
        return Err("--no-addons lets no addon be loaded; use the inspector".to_owned());
    }
    inspector_works(facts).map_err(|reason| format!("the addon is loaded over the inspector: {reason}"))?;
    Ok("a forked child writes the snapshot while the process goes on".to_owned())
}

fn signal(facts: &Facts) -> Verdict {
    node_alone(facts, "--heapsnapshot-signal")?;
    let Some((name, caught)) = &facts.snapshot_signal else {
        return Err("it was not started with --heapsnapshot-signal=SIGUSR2".to_owned());
    };
    if facts.stopped {
        return Err(format!(
            "the process is stopped and answers nothing; continue it (kill -CONT {})",
            facts.pid
        ));
    }
    if !caught {
        return Err(format!(
            "it was started with --heapsnapshot-signal={name} but does not catch that signal now"
        ));
    }
    if !facts.may_signal {
        return Err(not_ours(facts));
    }
    if let Some(problem) = &facts.folder_problem {
        return Err(format!("{name} would end the process: {problem}; start it with --diagnostic-dir=/tmp"));
    }
    Ok(format!(
        "{name} makes it write a snapshot; it stops meanwhile, and cannot while its event loop is blocked"
    ))
}

fn near_limit(facts: &Facts) -> Verdict {
    node_alone(facts, "v8.setHeapSnapshotNearHeapLimit")?;
    if let Some(major) = facts.major.filter(|major| *major < 18) {
        return Err(format!("it needs Node.js 18 or later; this is {major}"));
    }
    if facts.permission_model {
        return Err("the permission model (--permission) lets no file be written".to_owned());
    }
    inspector_works(facts).map_err(|reason| format!("it is armed over the inspector: {reason}"))?;
    Ok("`heapsight arm` makes it write a snapshot when the heap is nearly full; it stops then".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            pid: 4711,
            kind: Kind::Node,
            major: Some(20),
            role: None,
            machine_known: true,
            permission_model: false,
            no_addons: false,
            inspector: None,
            reachable: true,
            usr1: Usr1::Opens,
            may_signal: true,
            uid: 1000,
            stopped: false,
            snapshot_signal: None,
            folder_problem: None,
            browser: None,
        }
    }

    fn works(facts: &Facts) -> Vec<&'static str> {
        judge(facts).iter().filter(|c| c.works).map(|c| c.method.name()).collect()
    }

    fn reason(facts: &Facts, method: Method) -> String {
        judge_one(facts, method).reason
    }

    #[test]
    fn a_usual_node_can_be_captured_in_all_ways_but_the_signal() {
        assert_eq!(works(&facts()), ["fork", "inspector", "near-limit"]);
        let with_flag = Facts { snapshot_signal: Some(("SIGUSR2".into(), true)), ..facts() };
        assert_eq!(works(&with_flag), ["fork", "inspector", "signal", "near-limit"]);
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let none: [&str; 0] = [];
        let closed = |usr1| Facts { usr1, ..facts() };
        for (facts, word) in [
            (closed(Usr1::Blocked), "--disable-sigusr1"),
            (closed(Usr1::Fatal), "would end the process"),
            (closed(Usr1::Starting), "try again in a second"),
            (closed(Usr1::Ignored), "ignores"),
            (Facts { permission_model: true, ..closed(Usr1::Blocked) }, "--allow-inspector"),
            (Facts { may_signal: false, ..facts() }, "as root"),
            (Facts { reachable: false, ..facts() }, "namespace"),
            (Facts { stopped: true, ..facts() }, "kill -CONT 4711"),
            (Facts { kind: Kind::Bun, ..facts() }, "generateHeapSnapshot"),
            (Facts { kind: Kind::Embedder, ..facts() }, "HOST:PORT"),
        ] {
            assert_eq!(works(&facts), none, "{facts:?}");
            assert!(
                reason(&facts, Method::Inspector).contains(word),
                "{}",
                reason(&facts, Method::Inspector)
            );
        }
    }

    #[test]
    fn an_open_inspector_needs_no_signal() {
        let inspector = Some(Inspector { addr: "127.0.0.1:9229".parse().unwrap(), expected: true });
        let facts = Facts { usr1: Usr1::Fatal, may_signal: false, inspector, ..facts() };
        assert_eq!(works(&facts), ["fork", "inspector", "near-limit"]);
        assert!(reason(&facts, Method::Inspector).contains("127.0.0.1:9229"));
    }

    #[test]
    fn fork_snapshots_have_conditions() {
        for (facts, word) in [
            (Facts { major: Some(14), ..facts() }, "16"),
            (Facts { machine_known: false, ..facts() }, "aarch64"),
            (Facts { no_addons: true, ..facts() }, "--no-addons"),
            (Facts { kind: Kind::Deno, ..facts() }, "Deno"),
        ] {
            let verdict = judge_one(&facts, Method::Fork);
            assert!(!verdict.works && verdict.reason.contains(word), "{}", verdict.reason);
            assert!(judge_one(&facts, Method::Inspector).works);
        }
    }

    #[test]
    fn a_signal_that_would_end_the_process_is_not_proposed() {
        let flag = |caught| Some(("SIGUSR2".to_owned(), caught));
        let folder = Facts {
            snapshot_signal: flag(true),
            folder_problem: Some("/app is on a file system that is mounted read-only".into()),
            ..facts()
        };
        assert!(!works(&folder).contains(&"signal"));
        assert!(reason(&folder, Method::Signal).contains("would end the process"));
        assert!(!works(&Facts { snapshot_signal: flag(false), ..facts() }).contains(&"signal"));
        assert_eq!(signal_number("SIGUSR2"), Some(12));
        assert_eq!(signal_number("SIGUSR1"), Some(SIGUSR1));
        assert_eq!(signal_number("SIGSYS"), Some(31));
        assert_eq!(signal_number("USR2"), None);
    }

    #[test]
    fn pages_are_captured_through_their_browser() {
        let inspector = Inspector { addr: "127.0.0.1:9222".parse().unwrap(), expected: true };
        let page =
            Facts { kind: Kind::Chromium, role: Some("renderer".into()), usr1: Usr1::Fatal, ..facts() };
        assert!(
            works(&page).is_empty() && reason(&page, Method::Inspector).contains("--remote-debugging-port")
        );
        let page = Facts { browser: Some((7, Some(inspector))), ..page };
        assert_eq!(works(&page), ["inspector"]);
        assert!(reason(&page, Method::Inspector).contains("process 7"));
        let gpu = Facts { role: Some("gpu-process".into()), ..page };
        assert!(works(&gpu).is_empty());
    }
}
