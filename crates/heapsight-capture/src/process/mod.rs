//! Processes of this machine and what they are, as Linux' `/proc` tells it: nothing is run, stopped, signalled or
//! changed by looking.
//!
//! Elsewhere than on Linux everything here answers [`Kind::Unsupported`].

mod arenas;
mod arguments;
pub mod cgroup;
pub mod container;
pub mod executable;
pub mod memory;
pub mod methods;
pub mod namespaces;
pub(crate) mod procfs;
pub mod runtime;
pub mod sockets;
pub mod status;

use self::{
    arguments::Arguments,
    container::Container,
    executable::Cache,
    methods::{Capability, Facts, Method},
};
pub use self::{runtime::Runtime, status::Status};
use crate::error::{CaptureError, Kind, Result};

/// A process with a JavaScript engine.
#[derive(Clone, Debug)]
pub struct Process {
    /// What the kernel says of it.
    pub status: Status,
    /// What it is.
    pub runtime: Runtime,
    /// Its command line; only its title where it has set one.
    pub command: Vec<String>,
    /// Resident bytes of its V8 heaps, all isolates together; see [`runtime::heap_bytes`].
    pub heap_bytes: Option<u64>,
    /// Its isolates besides the main one; see [`runtime::workers`].
    pub workers: Option<u32>,
    /// The container that it is in.
    pub container: Option<Container>,
    /// What its methods are judged by.
    pub facts: Facts,
    /// Which methods would work, and why not; in the order of [`Method::ALL`].
    pub methods: Vec<Capability>,
}

impl Process {
    /// What is known of one method.
    pub fn method(&self, method: Method) -> Option<&Capability> {
        self.methods.iter().find(|capability| capability.method == method)
    }

    fn judge(&mut self) {
        self.methods = methods::judge(&self.facts);
    }
}

/// The processes of the machine.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Those with a JavaScript engine, by ascending id, without our own.
    pub processes: Vec<Process>,
    /// Processes that may not be looked at: those of other users.
    pub unreadable: usize,
}

/// All processes with a JavaScript engine. Helpers of Chromium and Electron that run no script (GPU, network, zygotes)
/// are left out.
///
/// # Errors
/// [`Kind::Unsupported`] elsewhere than on Linux. Processes that end meanwhile are left out.
pub fn list() -> Result<List> {
    let own = std::process::id();
    let mut cache = Caches::default();
    let mut list = List::default();
    for pid in procfs::pids()? {
        if pid == own {
            continue;
        }
        // Without one it is a thread of the kernel, or has ended.
        let Ok(command) = command(pid) else { continue };
        if command.is_empty() {
            continue;
        }
        match look_with(pid, command, &mut cache) {
            Ok(Some(process)) if is_helper(&process.runtime) => {}
            Ok(found) => list.processes.extend(found),
            Err(error) if error.kind == Kind::Permission => list.unreadable += 1,
            Err(_) => {}
        }
    }
    let browsers: Vec<(u32, Option<methods::Inspector>)> = list
        .processes
        .iter()
        .filter(|p| p.runtime.role.as_deref() == Some("browser"))
        .map(|p| (p.status.pid, p.facts.inspector))
        .collect();
    for process in &mut list.processes {
        if process.runtime.role.as_deref().is_some_and(|role| role != "browser") {
            let known = |pid: u32| browsers.iter().find(|(browser, _)| *browser == pid).copied();
            process.facts.browser = ancestor(process.status.ppid, known);
            process.judge();
        }
    }
    Ok(list)
}

/// One process.
///
/// # Errors
/// [`Kind::NotFound`] where there is none, [`Kind::Permission`] for one of another user, [`Kind::Unsupported`] for one
/// without a JavaScript engine, and elsewhere than on Linux.
pub fn look(pid: u32) -> Result<Process> {
    let status = Status::read(pid)?;
    if status.tgid != pid {
        return Err(CaptureError::new(
            Kind::NotFound,
            format!("{pid} is no process"),
            format!("it is a thread of process {}", status.tgid),
        )
        .hint(format!("name process {}", status.tgid)));
    }
    if status.is_zombie() {
        return Err(CaptureError::new(
            Kind::NotFound,
            format!("process {pid} has ended"),
            "its parent has not noticed",
        ));
    }
    let mut cache = Caches::default();
    let found = look_with(pid, command(pid)?, &mut cache)?;
    let mut process = found.ok_or_else(|| {
        CaptureError::new(
            Kind::Unsupported,
            format!("process {pid} ({}) is no V8 program", status.name),
            "neither its executable nor a library of it has V8",
        )
        .hint("`heapsight ps` lists the processes that can be captured")
    })?;
    if process.runtime.role.as_deref().is_some_and(|role| role != "browser") {
        let kind = process.runtime.kind;
        process.facts.browser = ancestor(process.status.ppid, |pid| {
            let browser = look_with(pid, command(pid).ok()?, &mut cache).ok()??;
            let is = browser.runtime.kind == kind && browser.runtime.role.as_deref() == Some("browser");
            is.then_some((pid, browser.facts.inspector))
        });
        process.judge();
    }
    Ok(process)
}

/// The nearest of a process and its parents of which something is known.
fn ancestor<T>(mut pid: u32, mut known: impl FnMut(u32) -> Option<T>) -> Option<T> {
    // Zygotes are between a renderer and its browser.
    for _ in 0..8 {
        if pid <= 1 {
            return None;
        }
        if let Some(found) = known(pid) {
            return Some(found);
        }
        pid = Status::read(pid).ok()?.ppid;
    }
    None
}

/// Whether it is a process of Chromium or Electron that runs no script.
fn is_helper(runtime: &Runtime) -> bool {
    runtime.role.as_deref().is_some_and(|role| !matches!(role, "browser" | "renderer"))
}

/// What is read once for all processes.
#[derive(Default)]
struct Caches {
    builds: Cache,
    tables: sockets::Tables,
}

fn look_with(pid: u32, command: Vec<String>, cache: &mut Caches) -> Result<Option<Process>> {
    let Some(runtime) = runtime::find(pid, &command, &mut cache.builds)? else { return Ok(None) };
    let status = Status::read(pid)?;
    let variable = environment(pid, "NODE_OPTIONS").map(|v| Arguments::of_variable(&v)).unwrap_or_default();
    let words = match runtime.kind {
        executable::Kind::Deno => Arguments::of_subcommand(&command),
        executable::Kind::Chromium | executable::Kind::Electron => Arguments::of_chromium(&command),
        _ => Arguments::of_command(&command),
    };
    let facts = Facts::gather(&status, &runtime, &words, &variable, &mut cache.tables);
    let workers = runtime::workers(pid, &runtime, facts.inspector.is_some());
    let mut process = Process {
        heap_bytes: runtime::heap_bytes(pid, &runtime),
        container: container::container(pid).unwrap_or_default(),
        methods: Vec::new(),
        status,
        runtime,
        command,
        workers,
        facts,
    };
    process.judge();
    Ok(Some(process))
}

/// The command line of a process, word by word; empty for threads of the kernel and processes that have ended.
///
/// # Errors
/// [`Kind::NotFound`] where there is no such process.
pub fn command(pid: u32) -> Result<Vec<String>> {
    let bytes = procfs::bytes(pid, "cmdline")?;
    // A title that was set by the program is padded with zeros.
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Ok(Vec::new());
    }
    Ok(bytes[..end].split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// A variable of the environment that a process was started with.
fn environment(pid: u32, name: &str) -> Option<String> {
    let bytes = procfs::bytes(pid, "environ").ok()?;
    let value =
        bytes.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}
