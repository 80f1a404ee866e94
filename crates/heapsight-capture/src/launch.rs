//! Programs that are started to be captured: `-- node app.js`, `-- npm start`.
//!
//! The program is started as it is, with one change: `NODE_OPTIONS` gets `--inspect-port=127.0.0.1:PORT`, with a port that
//! is free, and `--inspect-publish-uid=http`. Both do nothing until an inspector is opened, which happens later and by
//! SIGUSR1, as for any other process; then it takes that port instead of 9229, and prints no banner. This was chosen after
//! trying the alternatives on Node 16 to 26:
//!
//! - `--inspect` in `NODE_OPTIONS` opens a debugger in every Node process below the command: in npm itself, in build
//!   tools, in children; with banners in their output, and open for as long as they run. All want the same port.
//! - Port 0, any free port, breaks programs that use `cluster`: it finds `--inspect` in `NODE_OPTIONS` and gives its workers
//!   the port of the primary plus 1, 2 and so on; they end with "must be 0 or in range 1024 to 65535".
//! - Options on the command line reach only a command that is Node itself, and `child_process.fork` passes them on.
//! - Nothing at all leaves port 9229, which is often taken; Node then opens no inspector.
//!
//! Deno and Bun take no notice of these options. Programs that handle SIGUSR1 themselves, or disable it, need
//! [`Inspector::AtStart`].
//!
//! What is captured is often not the command but a process below it: `npm start` is npm (a Node program), a shell, and then
//! Node. [`Launched::find`] looks for it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    CaptureError, Kind, Result,
    subprocess::{Group, Process},
};

pub use crate::subprocess::{Exit, Pass};

/// Where a free port is looked for: below the range that the system takes ports of outgoing connections from, so that it
/// is still free when the inspector is opened, perhaps hours later.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How long a choice must stay the same: wrappers take a moment to start what they wrap.
const SETTLED: Duration = Duration::from_millis(250);

/// The same for a program in `node_modules`, which is more often a wrapper.
const SETTLED_TOOL: Duration = Duration::from_secs(1);

/// Until this age a process without a handler for SIGUSR1 is taken to be still starting (Node needs 50 to 250 ms).
const STARTED: Duration = Duration::from_secs(2);

/// What to try with a program that ends at once.
const ENDED: &str = "run it by itself to see why; what is captured must still run then: a server, or a program that takes its time";

/// SIGUSR1 in the masks of `/proc/PID/status`.
const SIGUSR1: u64 = 1 << (10 - 1);

/// How a launched program gets its inspector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inspector {
    /// When a capture opens it with SIGUSR1.
    #[default]
    OnDemand,
    /// At its start, in every Node process below the command: for programs that handle or disable SIGUSR1. Below a
    /// wrapper (npm, a shell), workers of `cluster` do not start then; see the module.
    AtStart,
    /// Nothing is changed.
    Untouched,
}

/// What to start and how.
#[derive(Debug)]
pub struct Options {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Its working directory; ours if there is none.
    pub folder: Option<PathBuf>,
    /// Our `NODE_OPTIONS`, which the program's are made from.
    pub node_options: OsString,
    /// How it gets its inspector.
    pub inspector: Inspector,
    /// Where its standard output goes.
    pub stdout: Pass,
    /// Where its standard error goes.
    pub stderr: Pass,
    /// A text to watch for in output that goes to a writer.
    pub watch: Option<String>,
    /// How long it may take to end after SIGTERM.
    pub grace: Duration,
}

impl Options {
    /// A command whose output goes where ours goes, with an inspector on demand and five seconds to end.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            folder: None,
            node_options: OsString::new(),
            inspector: Inspector::default(),
            stdout: Pass::Inherit,
            stderr: Pass::Inherit,
            watch: None,
            grace: Duration::from_secs(5),
        }
    }
}

/// The `NODE_OPTIONS` for a program, made from ours; nothing if they are to stay. Options of the user that concern the
/// inspector are left alone. `port` 0 is any.
fn node_options(ours: &OsStr, inspector: Inspector, port: u16) -> Option<OsString> {
    let option = match inspector {
        Inspector::OnDemand => "--inspect-port",
        Inspector::AtStart => "--inspect",
        Inspector::Untouched => return None,
    };
    if ours.to_string_lossy().contains("--inspect") {
        return None;
    }
    let mut options = OsString::from(format!("{option}=127.0.0.1:{port} --inspect-publish-uid=http"));
    if !ours.is_empty() {
        options.push(" ");
        options.push(ours);
    }
    Some(options)
}

/// A port on which nobody listens, of those that nobody else is given either; 0 if there is none.
fn free_port() -> u16 {
    let count = u64::from(PORTS.end - PORTS.start);
    let first = RandomState::new().hash_one(std::process::id()) % count;
    (0..64)
        .map(|step| PORTS.start + ((first + step * 97) % count) as u16)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or(0)
}

/// The process to capture from, among those of a launched command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The one that was chosen.
    pub pid: u32,
    /// Whether it handles SIGUSR1, so that an inspector can be opened.
    pub ready: bool,
    /// Other candidates: workers of a cluster, helpers, a second program. Package managers are not among them.
    pub others: Vec<u32>,
}

/// A program that was started. Dropping it ends it with everything that it started.
#[derive(Debug)]
pub struct Launched {
    group: Group,
    name: String,
    watch: Option<String>,
    started: Instant,
}

impl Launched {
    /// Starts a program in a process group of its own, with nothing on standard input. (A group of its own does not get
    /// the terminal's Ctrl-C, so that a capture can be ended in order first; and a program that reads from the terminal in
    /// the background would be stopped by the system.)
    ///
    /// # Errors
    /// There is no such program, or it cannot be started.
    pub fn start(options: Options) -> Result<Self> {
        let Some((program, arguments)) = options.command.split_first() else {
            return Err(CaptureError::new(Kind::Other, "cannot start a program", "none is given")
                .hint("name it after `--`, for example `-- node app.js`"));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(folder) = &options.folder {
            command.current_dir(folder);
        }
        // Started at once, processes of a wrapper would all want the one port.
        let wrapped = file_name(program) != "node" && options.inspector == Inspector::AtStart;
        let port = if wrapped { 0 } else { free_port() };
        if let Some(changed) = node_options(&options.node_options, options.inspector, port) {
            command.env("NODE_OPTIONS", changed);
        }
        let group =
            Group::start(command, options.stdout, options.stderr, options.watch.as_deref(), options.grace)?;
        Ok(Self {
            group,
            name: program.to_string_lossy().into_owned(),
            watch: options.watch,
            started: Instant::now(),
        })
    }

    /// The process id of the command itself, which is also that of its group.
    pub fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// How the command ended, if it has. What it started may still run.
    pub fn exited(&mut self) -> Option<Exit> {
        self.group.exited()
    }

    /// Waits for the command's end; nothing if the deadline passes or `stop` is set before.
    pub fn wait(&mut self, deadline: Option<Instant>, stop: &AtomicBool) -> Option<Exit> {
        self.group.wait(deadline, stop)
    }

    /// Waits until the text that [`Options::watch`] names has been printed, on either stream.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; [`Kind::Gone`]: the program ended without printing it; [`Kind::Interrupted`];
    /// [`Kind::Other`]: no text is watched for.
    pub fn wait_for_text(&mut self, timeout: Duration, stop: &AtomicBool) -> Result<()> {
        let Some(text) = &self.watch else {
            return Err(CaptureError::new(Kind::Other, "cannot wait for a text", "none is watched for"));
        };
        let what = format!("`{}` does not print `{text}`", self.name);
        if self.group.wait_for_text(Instant::now() + timeout, stop) {
            return Ok(());
        }
        if let Some(exit) = self.exited() {
            return Err(CaptureError::new(Kind::Gone, what, format!("it has ended ({exit})")).hint(ENDED));
        }
        if stop.load(Ordering::Relaxed) {
            return Err(CaptureError::new(Kind::Interrupted, what, "interrupted"));
        }
        Err(CaptureError::new(Kind::Timeout, what, format!("waited {} s", timeout.as_secs_f64())))
    }

    /// Finds the process to capture from: of those below the command that are V8 by `is_v8` (for example
    /// [`is_v8_by_name`]) the topmost that is neither a package manager nor a tool that only starts another program.
    /// Waits until there is one, until it has got past its start, and until the choice has been the same for a moment.
    ///
    /// # Errors
    /// [`Kind::Gone`]: the command ended before; [`Kind::Timeout`]: there is none, [`Kind::Interrupted`].
    pub fn find(
        &mut self,
        is_v8: &dyn Fn(u32) -> bool,
        timeout: Duration,
        stop: &AtomicBool,
    ) -> Result<Found> {
        let what = || format!("there is no V8 process below `{}`", self.name);
        let deadline = Instant::now() + timeout;
        let mut since = Instant::now();
        let mut last: Option<u32> = None;
        loop {
            let processes = self.group.processes();
            let choice = choose(&processes, is_v8);
            let now = Instant::now();
            if choice.as_ref().map(|choice| choice.pid) != last {
                last = choice.as_ref().map(|choice| choice.pid);
                since = now;
            }
            if let Some(choice) = choice {
                let ready = handles_sigusr1(choice.pid);
                let settled = if choice.tool { SETTLED_TOOL } else { SETTLED };
                let late = now >= deadline;
                if late || now - since >= if ready { settled } else { settled.max(STARTED) } {
                    return Ok(Found { pid: choice.pid, ready, others: choice.others });
                }
            } else if let Some(exit) = self.group.exited().filter(|_| processes.is_empty()) {
                let what = format!("`{}` ended ({exit}) before it could be captured", self.name);
                return Err(CaptureError::new(Kind::Gone, what, "").hint(ENDED));
            } else if now >= deadline {
                let seconds = self.started.elapsed().as_secs_f64();
                return Err(CaptureError::new(
                    Kind::Timeout,
                    what(),
                    format!("{seconds:.0} s after its start"),
                )
                .hint("name the process itself: `heapsight ps` lists all that can be captured"));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(CaptureError::new(Kind::Interrupted, what(), "interrupted"));
            }
            self.group.pause(Duration::from_millis(20));
        }
    }

    /// Ends the program and what it started: SIGTERM, then SIGKILL after the grace period. If it has already ended, this
    /// says how.
    pub fn end(mut self) -> Exit {
        self.group.end()
    }
}

/// Whether a process is V8 by the name of its executable; cheap, and right for runtimes that were not renamed.
pub fn is_v8_by_name(pid: u32) -> bool {
    let Ok(path) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    let name = file_name(path.as_os_str());
    // A binary that was replaced by an update.
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    let versioned = name
        .strip_prefix("node")
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || ".-".contains(c)));
    versioned || ["nodejs", "deno", "electron"].contains(&name)
}

fn file_name(path: &OsStr) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn handles_sigusr1(pid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & SIGUSR1 != 0)
}

/// What a Node process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// npm and its like: never what is meant, even while they have not started anything.
    Manager,
    /// Perhaps only there to start another program: meant if it starts none.
    Tool,
    /// A program.
    Program,
}

struct Choice {
    pid: u32,
    tool: bool,
    others: Vec<u32>,
}

fn choose(processes: &[Process], is_v8: &dyn Fn(u32) -> bool) -> Option<Choice> {
    let candidates: Vec<(Process, Role)> = processes
        .iter()
        .filter(|process| is_v8(process.pid))
        .map(|process| (*process, role(&arguments(process.pid))))
        .filter(|(_, role)| *role != Role::Manager)
        .collect();
    let above = |mut pid: u32, wanted: u32| {
        // As many steps as there are processes, so that a loop in what was read at different moments ends.
        for _ in processes {
            let Some(process) = processes.iter().find(|process| process.pid == pid) else { return false };
            pid = process.parent;
            if pid == wanted {
                return true;
            }
        }
        false
    };
    let starts_another = |(process, role): &(Process, Role)| {
        *role == Role::Tool && candidates.iter().any(|(other, _)| above(other.pid, process.pid))
    };
    let programs: Vec<&(Process, Role)> = candidates.iter().filter(|one| !starts_another(one)).collect();
    let topmost =
        |(process, _): &&&(Process, Role)| !programs.iter().any(|(other, _)| above(process.pid, other.pid));
    let (chosen, role) =
        programs.iter().filter(topmost).min_by_key(|(process, _)| (process.start, process.pid))?;
    let mut others: Vec<u32> =
        programs.iter().map(|(process, _)| process.pid).filter(|pid| *pid != chosen.pid).collect();
    others.sort_unstable();
    Some(Choice { pid: chosen.pid, tool: *role == Role::Tool, others })
}

/// The command line of a process; a title that was set by the program comes as one argument.
fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// What a Node process is for, by its command line.
fn role(arguments: &[String]) -> Role {
    const MANAGERS: [&str; 13] = [
        "npm",
        "npx",
        "npm-cli",
        "npx-cli",
        "npm-prefix",
        "yarn",
        "yarnpkg",
        "pnpm",
        "pnpx",
        "corepack",
        "bunx",
        "lerna",
        "turbo",
    ];
    // npm sets the title of its process: "npm start", "npm exec node app.js".
    let title = arguments.first().map(String::as_str).unwrap_or_default();
    if ["npm ", "npx ", "yarn ", "pnpm "].iter().any(|name| title.starts_with(name)) {
        return Role::Manager;
    }
    let Some((script, options)) = script(arguments) else { return Role::Program };
    let name = script.rsplit('/').next().unwrap_or_default();
    let stem =
        name.strip_suffix(".js").or(name.strip_suffix(".cjs")).or(name.strip_suffix(".mjs")).unwrap_or(name);
    // Yarn 2 and later are in the repository: .yarn/releases/yarn-4.1.0.cjs.
    if MANAGERS.contains(&stem) || (stem.starts_with("yarn-") && script.contains("/.yarn/")) {
        return Role::Manager;
    }
    // With these, Node starts itself a second time.
    let restarts = options.iter().any(|option| {
        ["--watch", "--watch-path", "--run", "--test"].contains(&option.split('=').next().unwrap_or_default())
    });
    if restarts || script.contains("/node_modules/") || script.starts_with("node_modules/") {
        return Role::Tool;
    }
    Role::Program
}

/// The script among the arguments of Node, and the options in front of it.
fn script(arguments: &[String]) -> Option<(&str, &[String])> {
    const WITH_VALUE: [&str; 10] = [
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
        "--title",
        "-e",
    ];
    let rest = arguments.get(1..)?;
    let mut index = 0;
    while let Some(argument) = rest.get(index) {
        if WITH_VALUE.contains(&argument.as_str()) {
            index += 1;
        } else if !argument.starts_with('-') {
            return Some((argument, &rest[..index]));
        }
        index += 1;
    }
    // Only options: what they say still counts.
    (!rest.is_empty()).then_some(("", rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(line: &str) -> Role {
        role(&line.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn roles_are_told_by_the_command_line() {
        for line in [
            "npm start",
            "npm exec node app.js",
            "node|/usr/lib/node_modules/npm/bin/npm-cli.js|start",
            "/usr/bin/node|/home/me/app/.yarn/releases/yarn-4.1.0.cjs|start",
            "node|/opt/yarn/bin/yarn.js|start",
            "node|--no-warnings|/x/corepack/dist/pnpm.js|start",
        ] {
            assert_eq!(role_of(line), Role::Manager, "{line}");
        }
        for line in [
            "node|/app/node_modules/.bin/nodemon|app.js",
            "node|node_modules/cross-env/bin.js|A=1|node|app.js",
            "node|--watch|app.js",
            "node|--watch-path=./src|app.js",
            "node|--run|start",
        ] {
            assert_eq!(role_of(line), Role::Tool, "{line}");
        }
        for line in [
            "node|app.js",
            "node|-r|./node_modules/x/register.js|app.js|--watch",
            "node",
            "node|-e|setInterval(()=>{},1)",
            "next-server (v14)",
            "my title",
            "node|npm.js.d/app.js",
        ] {
            assert_eq!(role_of(line), Role::Program, "{line}");
        }
    }

    #[test]
    fn the_users_options_stay() {
        let change = |ours: &str| node_options(OsStr::new(ours), Inspector::OnDemand, 20_001);
        let added = "--inspect-port=127.0.0.1:20001 --inspect-publish-uid=http";
        assert_eq!(change("").unwrap(), added);
        assert_eq!(change("--max-old-space-size=99").unwrap(), &*format!("{added} --max-old-space-size=99"));
        assert_eq!(change("--inspect=0.0.0.0:9229"), None);
        assert_eq!(node_options(OsStr::new(""), Inspector::Untouched, 1), None);
    }

    #[test]
    fn free_ports_are_not_taken() {
        let port = free_port();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(PORTS.contains(&port) && free_port() != port);
    }
}
