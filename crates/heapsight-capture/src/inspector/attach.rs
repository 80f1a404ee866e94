//! Getting at the inspector of a running program, and leaving as we came.
//!
//! For a process: an inspector that is open already is used and left open. Else `SIGUSR1` opens one, and it is sent only
//! to a runtime that is known to catch it: to any other process it is fatal. Which port opened is seen from the
//! process' own sockets, whatever its options and whoever else has port 9229. Before anything is captured, whatever
//! answers there must say that it is that process (`process.pid`, in its own PID namespace).
//!
//! What was opened is closed when the [`Attachment`] is closed or dropped, also on errors and interruptions, and it is
//! looked at whether the port is gone. Who is killed cannot do that: the next one does, which knows by a mark in the program
//! (`Symbol.for('heapsight.opened')` of `process`) that it was not opened by its people. Only one Heapsight at a time may do this to a process, or one would close the
//! other's; that is kept by the name of an abstract socket, which ends with its process however that ends.
//!
//! All programs that are not told otherwise open the same port, 9229. So nobody is told to open one that is taken, which
//! Node.js would only complain of; it is waited for, in turn. Who stays for long moves ([`AttachOptions::free_port`]): the
//! inspector is closed, and opened again at a port that the system chooses; `process.debugPort` says what it said before.
//!
//! What closes an inspector from outside, measured with Node.js 16 to 26 and Deno 2.9: `process._debugEnd()`, by a timer
//! that runs when the evaluation has been answered and nobody is connected any more. A program that never returns to
//! its event loop is told once more, and then closes it within the evaluation, without an answer.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    endpoint::{Endpoint, Server, bun, seconds},
    session::{Identity, Session},
    workers::Workers,
};
use crate::{
    error::{CaptureError, Kind, Result},
    process::{
        self, Process, Status, executable,
        methods::{Method, SIGUSR1},
        namespaces, sockets,
    },
    target::Target,
};

/// How often `/proc` is looked at while something is waited for.
const POLL: Duration = Duration::from_millis(10);

/// After this long without a new port, the ports that were there before are asked.
const NOTHING_NEW: Duration = Duration::from_millis(500);

/// How long a socket may take to say whether it is an inspector.
const PROBE: Duration = Duration::from_secs(2);

/// How many sockets of a program are asked at most.
const PROBES: usize = 16;

/// How often one socket is asked at most.
const ASKED: u32 = 20;

/// Closes the inspector a moment after the evaluation has been answered, when nobody is connected any more.
const CLOSE_SOON: &str =
    "(setTimeout(()=>{delete process[Symbol.for('heapsight.opened')];process._debugEnd()},100),1)";

/// How long closing is waited for before it is asked for once more.
const SOON: Duration = Duration::from_millis(1500);

/// Closes it at once; the connection ends without an answer.
const CLOSE_NOW: &str = "(delete process[Symbol.for('heapsight.opened')],process._debugEnd())";

/// Which opening of the inspector was ours, by the path of its WebSocket, which no other has. Whoever is killed before it
/// can close what it opened leaves that to the next one, which finds it here.
const OURS: &str = "(process[Symbol.for('heapsight.opened')]??'')";

/// How long what a killed one of us had to do may take ([`crate::guard`]).
const AFTER_A_KILL: Duration = Duration::from_millis(1500);

/// How often a port that is taken is looked at.
const TAKEN: Duration = Duration::from_millis(200);

/// The port of an inspector that is not told another one.
const DEFAULT_PORT: u16 = 9229;

/// Has the inspector open at any port the next time, and without a word to the workers of a cluster: Node.js tells each of
/// them to open its own (`NODE_DEBUG_ENABLED`), and one would take the port that is free now. The port until now is the
/// answer.
///
/// Whatever happens to us, the program is as it was after half a minute.
const ANY_PORT: &str = "(s=>{\
    if(!process[s]){\
        const port=process.debugPort,own=Object.getOwnPropertyDescriptor(process,'emit'),before=process.emit;\
        const quiet=function(name,message){\
            return name==='internalMessage'&&message?.cmd==='NODE_DEBUG_ENABLED'?false:before.apply(this,arguments)};\
        const undo=()=>{\
            if(process[s]?.undo!==undo)return;\
            process.debugPort=port;\
            if(process.emit===quiet){if(own)Object.defineProperty(process,'emit',own);else delete process.emit}\
            delete process[s]};\
        Object.defineProperty(process,s,{value:{port,undo},configurable:true});\
        process.debugPort=0;\
        process.emit=quiet;\
        setTimeout(undo,30000).unref?.()}\
    return process[s].port})(Symbol.for('heapsight.debugPort'))";

/// Puts that back.
const OLD_PORT: &str = "(s=>{process[s]?.undo();return 1})(Symbol.for('heapsight.debugPort'))";

/// How to attach.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Which page, where there are several: its id, or a part of its title or URL.
    pub page: Option<String>,
    /// The process id that must answer, as this machine has it; for processes that were named by it that is checked
    /// anyway.
    pub pid: Option<u32>,
    /// How long each answer may take, and a process that has just started to be ready.
    pub timeout: Duration,
    /// How long an inspector may take to open; not longer than `timeout`.
    pub open_within: Duration,
    /// How long closing may take.
    pub close_within: Duration,
    /// An inspector of the process that is open already was opened by us, by one who was killed before it could close it:
    /// it is closed at the end.
    pub adopt: bool,
    /// An inspector that is opened moves to a port that nobody waits for: for those who stay attached.
    pub free_port: bool,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            page: None,
            pid: None,
            timeout: Duration::from_secs(10),
            open_within: Duration::from_secs(10),
            close_within: Duration::from_secs(10),
            adopt: false,
            free_port: false,
        }
    }
}

/// A program whose inspector is at hand.
#[derive(Debug)]
pub struct Attachment {
    session: Session,
    identity: Identity,
    process: Option<Process>,
    opened: Option<Opened>,
}

/// An inspector that we opened.
#[derive(Debug)]
struct Opened {
    status: Status,
    /// Where it listens, as the process has it.
    listens: SocketAddr,
    server: Server,
    close_within: Duration,
    /// The right to do so.
    lock: Option<Name>,
    /// Who may have opened theirs for it.
    workers: Workers,
}

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was open before and still is.
    LeftOpen,
    /// It was opened by us, and is closed.
    Closed,
    /// The process has ended.
    Ended,
}

/// Attaches to a target. Processes are proved to be the ones that were named.
///
/// # Errors
/// [`Kind::NotFound`]: no such process, port or page. [`Kind::Unsupported`]: no V8, Bun, or a process whose inspector
/// cannot be opened, with the reason. [`Kind::Permission`]. [`Kind::Timeout`]: the inspector does not open, or the thread
/// behind it does not answer. [`Kind::Refused`]: another Heapsight is at work there. [`Kind::Protocol`]: another process
/// than the named one answers.
pub fn attach(target: &Target, options: &AttachOptions) -> Result<Attachment> {
    match target {
        Target::Pid(pid) => attach_pid(*pid, options),
        Target::Address { host, port } => {
            attach_endpoint(Endpoint::find(host, *port, options.page.as_deref(), options.timeout)?, options)
        }
        Target::Url(url) => attach_url(url, options),
    }
}

/// Attaches to a WebSocket: one that a program which was just launched has announced, see
/// [`announced`](super::announced).
///
/// # Errors
/// As [`attach`].
pub fn attach_url(url: &str, options: &AttachOptions) -> Result<Attachment> {
    attach_endpoint(Endpoint::of_url(url, options.page.as_deref(), options.timeout)?, options)
}

fn attach_endpoint(endpoint: Endpoint, options: &AttachOptions) -> Result<Attachment> {
    let mut session = Session::connect(endpoint, options.timeout)?;
    let identity = session.identify(options.timeout)?;
    let process = options.pid.map(process::look).transpose()?;
    if let Some(process) = &process {
        prove(&process.status, &identity, &session)?;
        session.set_process(&process.status);
    }
    Ok(Attachment { session, identity, process, opened: None })
}

/// Attaches to a process.
fn attach_pid(pid: u32, options: &AttachOptions) -> Result<Attachment> {
    let mut process = process::look(pid)?;
    // A process in its first moments is looked at again when it has its handlers.
    let status = &process.status;
    if (status.forked || !status.catches(SIGUSR1)) && process.facts.inspector.is_none() {
        wait_until_started(&process.status, options.timeout);
        process = process::look(pid)?;
    }
    if process.runtime.kind == executable::Kind::Bun {
        return Err(bun(&format!("cannot capture process {pid}")));
    }
    let inside = (!namespaces::same_network(pid)).then_some(pid);
    // Taken before looking: else another Heapsight's inspector would be taken for one that stays.
    let lock = sole(&process.status)?;
    let at = |address: SocketAddr| Server { address: reachable(address), inside };
    if let Some(open) = process.facts.inspector
        && at(open.addr).version(PROBE.min(options.timeout)).is_ok_and(|version| version.is_some())
    {
        if options.adopt {
            return attach_opened(process, open.addr, at(open.addr), (lock, Workers::default()), options);
        }
        return attach_open(process, open.addr, at(open.addr), lock, options);
    }
    if let Some(capability) = process.method(Method::Inspector).filter(|capability| !capability.works) {
        return Err(CaptureError::new(
            Kind::Unsupported,
            format!("cannot open the inspector of process {pid}"),
            &capability.reason,
        )
        .hint(if process.facts.permission_model {
            "start the program with --allow-inspector beside --permission, or use the signal of --heapsnapshot-signal"
        } else {
            "start the program with --inspect=127.0.0.1:0 to have its inspector open"
        }));
    }
    if !process.status.catches(SIGUSR1) || process.status.blocks(SIGUSR1) {
        return Err(CaptureError::new(
            Kind::Unsupported,
            format!("cannot open the inspector of process {pid}"),
            "SIGUSR1, which opens it, is not caught by the process: it would do nothing, or end it",
        )
        .hint("start the program with --inspect, and without --disable-sigusr1"));
    }
    if !publishes_url(&process) {
        return Err(CaptureError::new(
            Kind::Unsupported,
            format!("cannot open the inspector of process {pid}"),
            "it would print its URL to standard error only (--inspect-publish-uid), and could not be closed again",
        )
        .hint("open it with `kill -USR1` and name the ws:// URL that the program then prints"));
    }
    if let Some(pid) = inside {
        check_loopback(pid)?;
    }
    let workers = Workers::of(pid);
    let (listens, ours) = {
        let port = wanted_port(&process).unwrap_or(DEFAULT_PORT);
        let _turn = free(&process, port, options)?;
        open(&process, &at, options)?
    };
    if !ours && !options.adopt {
        return attach_open(process, listens, at(listens), lock, options);
    }
    let attachment = attach_opened(process, listens, at(listens), (lock, workers), options)?;
    if options.free_port { move_away(attachment, &at, options) } else { Ok(attachment) }
}

/// Waits until a port is free. Others who wait for it are held up as long as the answer lives.
fn free(process: &Process, port: u16, options: &AttachOptions) -> Result<Option<Name>> {
    if port == 0 {
        return Ok(None);
    }
    let pid = process.status.pid;
    let within = options.open_within.min(options.timeout);
    let deadline = Instant::now() + within;
    let wanted = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    loop {
        let turn = Name::take(format!("heapsight-opens-{port}"));
        let taken = match &turn {
            Err(()) => true,
            Ok(_) => sockets::owner(wanted, pid).is_some_and(|owner| owner != pid),
        };
        match turn {
            Ok(turn) if !taken => return Ok(turn),
            _ if Instant::now() >= deadline => return Err(not_opened(process, within, false)),
            // The turn is given up meanwhile: another one may have waited for another reason.
            turn => drop(turn),
        }
        thread::sleep(TAKEN);
    }
}

/// Closes the inspector that was just opened and opens it at a port of the system's choice.
fn move_away(
    mut attachment: Attachment,
    at: &dyn Fn(SocketAddr) -> Server,
    options: &AttachOptions,
) -> Result<Attachment> {
    // A program in which this is not possible keeps its port.
    let port = attachment.session.evaluate(ANY_PORT, options.timeout).ok().and_then(|port| port.as_u64());
    let old = |attachment: &mut Attachment| attachment.session.evaluate(OLD_PORT, options.timeout);
    let Some(process) = attachment.process.clone().filter(|_| port.is_some_and(|port| port != 0)) else {
        // It is at such a port already.
        old(&mut attachment)?;
        return Ok(attachment);
    };
    let Some(mut opened) = attachment.opened.take() else { return Ok(attachment) };
    // The workers' stay until the end.
    let workers = std::mem::take(&mut opened.workers);
    opened.close(Some(&mut attachment.session))?;
    let lock = opened.lock.take();
    let (listens, _) = open(&process, at, options)?;
    let mut attachment = attach_opened(process, listens, at(listens), (lock, workers), options)?;
    old(&mut attachment)?;
    Ok(attachment)
}

/// Attaches to an inspector of a process that we opened. Every way out closes it.
fn attach_opened(
    process: Process,
    listens: SocketAddr,
    server: Server,
    (lock, workers): (Option<Name>, Workers),
    options: &AttachOptions,
) -> Result<Attachment> {
    let pid = process.status.pid;
    let mut opened = Opened {
        status: process.status.clone(),
        listens,
        server,
        close_within: options.close_within,
        lock,
        workers,
    };
    let begin = || -> Result<(Session, Identity)> {
        let endpoint = Endpoint::choose(server, options.page.as_deref(), options.timeout)?;
        let mut session = Session::connect(endpoint, options.timeout)?;
        session.set_process(&process.status);
        let identity = session.identify(options.timeout).map_err(|error| blocked(error, pid))?;
        prove(&process.status, &identity, &session)?;
        // A program that does not let itself be marked is attached to all the same.
        let _ = session.evaluate(&mark(&session.endpoint().path), options.timeout);
        Ok((session, identity))
    };
    match begin() {
        Ok((session, identity)) => {
            opened.bequeath(&session);
            Ok(Attachment { session, identity, process: Some(process), opened: Some(opened) })
        }
        Err(error) => {
            // A thread that did not answer will not do so now; what is asked of it stays asked.
            opened.close_within = opened.close_within.min(Duration::from_secs(2));
            let _ = opened.close(None);
            Err(error)
        }
    }
}

/// Attaches to an inspector of a process that is open already. It stays open, unless one of us opened it.
fn attach_open(
    process: Process,
    listens: SocketAddr,
    server: Server,
    lock: Option<Name>,
    options: &AttachOptions,
) -> Result<Attachment> {
    let endpoint = Endpoint::choose(server, options.page.as_deref(), options.timeout)?;
    let mut session = Session::connect(endpoint, options.timeout)?;
    let pid = process.status.pid;
    session.set_process(&process.status);
    let identity = session.identify(options.timeout).map_err(|error| blocked(error, pid))?;
    prove(&process.status, &identity, &session)?;
    let is_process = identity.pid != 0;
    let ours = is_process
        && session.evaluate(OURS, options.timeout).is_ok_and(|path| path == session.endpoint().path.as_str());
    // The right to it is kept only by who will close it: others do no harm to one that stays.
    let opened = ours.then(|| Opened {
        status: process.status.clone(),
        listens,
        server,
        close_within: options.close_within,
        lock,
        workers: Workers::default(),
    });
    if let Some(opened) = &opened {
        opened.bequeath(&session);
    }
    Ok(Attachment { session, identity, process: Some(process), opened })
}

/// Marks the inspector at a path as opened by us.
fn mark(path: &str) -> String {
    format!(
        "(Object.defineProperty(process,Symbol.for('heapsight.opened'),{{value:{},configurable:true}}),1)",
        json!(path)
    )
}

fn blocked(error: CaptureError, pid: u32) -> CaptureError {
    if error.kind != Kind::Timeout {
        return error;
    }
    let stopped = Status::read(pid).is_ok_and(|status| status.is_stopped());
    let why = if stopped {
        "the process is stopped (SIGSTOP or a debugger)"
    } else {
        "its inspector answers, but its main thread does not: it is blocked in a native call (execSync, a \
            synchronous read, a long regular expression), or held by another debugger"
    };
    CaptureError::new(Kind::Timeout, format!("process {pid} does not evaluate anything"), why)
        .hint("try again when it is free; `heapsight ps` shows whether it is stopped")
}

/// Whether what answers is the process that was named.
fn prove(status: &Status, identity: &Identity, session: &Session) -> Result<()> {
    if identity.pid == 0 || identity.pid == status.own_pid() {
        // Pages have no process id; their port is a socket of the browser's process.
        return Ok(());
    }
    Err(CaptureError::new(
        Kind::Protocol,
        format!("process {} is not what answers at {}", status.pid, session.endpoint().server.address),
        format!(
            "it says that it is process {}, and process {} calls itself {}",
            identity.pid,
            status.pid,
            status.own_pid()
        ),
    )
    .hint("name the target by its process id alone"))
}

fn wait_until_started(status: &Status, timeout: Duration) {
    const YOUNG: u64 = 3;
    let deadline = Instant::now() + timeout.min(Duration::from_secs(YOUNG));
    while Instant::now() < deadline && status.age().is_some_and(|age| age < YOUNG) {
        match Status::read(status.pid) {
            Ok(now) if now.forked || !now.catches(SIGUSR1) => thread::sleep(POLL),
            _ => return,
        }
    }
}

/// Whether anything can be reached in the network namespace of a process. Where its loopback is down its inspector could
/// be opened, and neither used nor closed.
fn check_loopback(pid: u32) -> Result<()> {
    // The port does not matter: without a loopback no port is refused, it is unreachable.
    let probe = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9);
    match namespaces::connect(pid, probe, PROBE) {
        Err(error) if error.kind == Kind::Permission => Err(error),
        Err(error) if error.why.contains("unreachable") => Err(CaptureError::new(
            Kind::Unsupported,
            format!("cannot reach the inspector of process {pid}"),
            "the loopback interface of its network namespace is down",
        )
        .hint(format!("`nsenter --net --target {pid} ip link set lo up` brings it up"))),
        _ => Ok(()),
    }
}

/// Where a socket of all addresses is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Opens the inspector of a process. Gives where it listens and whether it is new.
fn open(
    process: &Process,
    at: &dyn Fn(SocketAddr) -> Server,
    options: &AttachOptions,
) -> Result<(SocketAddr, bool)> {
    let pid = process.status.pid;
    let before: HashSet<SocketAddr> = sockets::listening(pid)?.into_iter().collect();
    let begun = Instant::now();
    signal(&process.status)?;
    let mut asked: HashMap<SocketAddr, u32> = HashMap::new();
    let is_inspector = |address: SocketAddr| {
        at(address).version(PROBE.min(options.timeout)).map(|version| version.is_some())
    };
    loop {
        let now = sockets::listening(pid)?;
        let new = now.iter().filter(|address| !before.contains(address));
        for &address in new.take(PROBES) {
            // It may listen before it answers; so it is asked again.
            let times = asked.entry(address).or_default();
            *times += 1;
            if *times > ASKED {
                continue;
            }
            match is_inspector(address) {
                Ok(true) => return Ok((address, true)),
                Err(error) if error.kind == Kind::Permission => return Err(error),
                _ => {}
            }
        }
        if begun.elapsed() >= NOTHING_NEW {
            // It may have been open at a port that nobody would guess (`inspector.open(port)`).
            for address in process::methods::inspector_candidates(process)?.into_iter().take(PROBES) {
                if before.contains(&address)
                    && asked.insert(address, 1).is_none()
                    && is_inspector(address).unwrap_or(false)
                {
                    return Ok((address, false));
                }
            }
        }
        let within = options.open_within.min(options.timeout);
        if begun.elapsed() >= within {
            return Err(not_opened(process, within, true));
        }
        if !process.status.is_current() {
            return Err(CaptureError::new(
                Kind::Gone,
                format!("process {pid} ended while its inspector was opened"),
                "",
            ));
        }
        thread::sleep(POLL);
    }
}

/// Why no port opened, as far as can be told from outside; `asked`: the process was told to.
fn not_opened(process: &Process, waited: Duration, asked: bool) -> CaptureError {
    let pid = process.status.pid;
    let what = format!("the inspector of process {pid} did not open within {}", seconds(waited));
    let port = wanted_port(process).unwrap_or(DEFAULT_PORT);
    let wanted = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    match sockets::owner(wanted, pid) {
        Some(owner) if owner != pid => {
            let name = Status::read(owner).map(|status| format!(" ({})", status.name)).unwrap_or_default();
            CaptureError::new(
                Kind::Timeout,
                what,
                if asked {
                    format!(
                        "its port {port} is taken by process {owner}{name}; the program says so on its standard error"
                    )
                } else {
                    format!("its port {port} is taken by process {owner}{name}")
                },
            )
            .hint("close the inspector of the other process, or start this one with --inspect-port=0")
        }
        _ if !asked => {
            CaptureError::new(Kind::Timeout, what, format!("its port {port} was others' all the time"))
                .hint("try again; they open inspectors of other processes at it, one after the other")
        }
        _ => CaptureError::new(
            Kind::Timeout,
            what,
            "SIGUSR1 had no effect: the program has a handler of its own for it, which swallows it, or its main thread \
                is blocked in a native call, or the permission model forbids an inspector",
        )
        .hint(
            "start the program with --inspect=127.0.0.1:0, or call `require('inspector').open()` in it; where it was only \
                blocked, its inspector opens when it is free, and stays open",
        ),
    }
}

/// The words of its `NODE_OPTIONS` and of its command line, which hold over them.
fn words(process: &Process) -> Vec<String> {
    let environ = std::fs::read(format!("/proc/{}/environ", process.status.pid)).unwrap_or_default();
    let variable = environ.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"NODE_OPTIONS="));
    let variable = String::from_utf8_lossy(variable.unwrap_or_default()).into_owned();
    variable.split_whitespace().map(str::to_owned).chain(process.command.iter().cloned()).collect()
}

/// The port that its options tell it to take.
fn wanted_port(process: &Process) -> Option<u16> {
    const NAMES: [&str; 5] =
        ["--inspect-port", "--inspect", "--inspect-brk", "--inspect-wait", "--debug-port"];
    let port = |word: &String| {
        let (name, value) = word.split_once('=')?;
        NAMES.contains(&name).then(|| value.rsplit(':').next()?.parse().ok()).flatten()
    };
    words(process).iter().rev().find_map(port)
}

/// Whether its inspector would tell its URL over HTTP. What cannot be looked up cannot be closed either.
fn publishes_url(process: &Process) -> bool {
    let words = words(process);
    let option = words.iter().rev().find_map(|word| word.strip_prefix("--inspect-publish-uid="));
    option.is_none_or(|value| value.split(',').any(|place| place == "http"))
}

/// Sends `SIGUSR1` to the very process that was looked at, while it still catches it.
#[cfg(target_os = "linux")]
fn signal(status: &Status) -> Result<()> {
    use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

    let pid = status.pid;
    let what = || format!("cannot send SIGUSR1 to process {pid}");
    let gone = || CaptureError::new(Kind::NotFound, format!("process {pid} has ended"), "");
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    // A descriptor cannot pass to another process that gets the same id; what it names is checked after it is open.
    let descriptor = pidfd_open(raw, PidfdFlags::empty());
    let now = Status::read(pid)?;
    if now.start_time != status.start_time {
        return Err(gone());
    }
    // Another program than the one that was looked at may have other handlers.
    if now.forked != status.forked || !now.catches(SIGUSR1) || now.is_zombie() {
        return Err(CaptureError::new(Kind::Unsupported, what(), "the process no longer catches it"));
    }
    let sent = match descriptor {
        Ok(descriptor) => pidfd_send_signal(descriptor, Signal::USR1),
        // Linux before 5.3.
        Err(_) => kill_process(raw, Signal::USR1),
    };
    sent.map_err(|error| {
        let failure = CaptureError::io(what(), &error.into());
        match failure.kind {
            Kind::Permission => {
                failure.hint(format!("run heapsight as the user of process {pid}, or as root"))
            }
            _ => failure,
        }
    })
}

#[cfg(not(target_os = "linux"))]
fn signal(status: &Status) -> Result<()> {
    Err(CaptureError::new(
        Kind::Unsupported,
        format!("cannot open the inspector of process {}", status.pid),
        "that is done on Linux only",
    )
    .hint("start the program with --inspect and name its HOST:PORT as the target"))
}

impl Attachment {
    /// The conversation with the main thread; [`Session::thread`] leads to the others.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// A conversation with one thread; 0 is the main thread, others as [`Session::threads`] numbers them.
    ///
    /// Deno (2.9) sends what its workers answer to whichever connection came first, so there the connection to a worker
    /// takes that place, and one worker can be talked to at a time.
    ///
    /// # Errors
    /// As [`Session::thread`].
    pub fn thread(&mut self, number: u32, timeout: Duration) -> Result<Session> {
        if self.identity.runtime != "deno" || number == 0 {
            return self.session.thread(number, timeout);
        }
        self.session.end(timeout.min(PROBE));
        let worker = self.session.thread(number, timeout);
        self.session = self.session.sibling(timeout)?;
        worker
    }

    /// Who answered.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The process, where the target was named as one.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether the inspector was opened by this, and will be closed.
    pub fn opened(&self) -> bool {
        self.opened.is_some()
    }

    /// Closes what was opened, and looks whether it is closed.
    ///
    /// # Errors
    /// [`Kind::Timeout`] where it is still open: the thread that must close it is blocked. It closes when that is free.
    pub fn close(mut self) -> Result<Closed> {
        self.end()
    }

    fn end(&mut self) -> Result<Closed> {
        match self.opened.take() {
            None => Ok(Closed::LeftOpen),
            Some(opened) => opened.close(Some(&mut self.session)),
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Nobody is left to be told; `close` tells.
        let _ = self.end();
    }
}

impl Opened {
    /// Leaves the closing to another one, should we be killed. Nobody else of us attaches before that is done.
    fn bequeath(&self, session: &Session) {
        #[cfg(target_os = "linux")]
        session.farewell(CLOSE_SOON, self.lock.as_ref().map(Name::descriptor));
        #[cfg(not(target_os = "linux"))]
        let _ = session;
    }

    /// In order: what is left of a capture is read, the closing is asked for, the connection is ended, and then the
    /// inspector closes with nobody connected. Node.js may crash where it closes while it has something to send.
    fn close(&self, session: Option<&mut Session>) -> Result<Closed> {
        let closed = self.close_own(session);
        self.close_workers();
        closed
    }

    /// What the workers of a cluster opened because this was, unless somebody uses it.
    fn close_workers(&self) {
        for (status, listens) in self.workers.opened() {
            let server = Server { address: reachable(listens), ..self.server };
            let is_inspector = server.version(PROBE).is_ok_and(|version| version.is_some());
            if let (true, Ok(lock)) = (is_inspector, sole(status)) {
                let workers = Workers::default();
                let status = status.clone();
                let opened = Self { status, listens, server, close_within: PROBE, lock, workers };
                // One that is busy closes it when it is free.
                let _ = opened.close_own(None);
            }
        }
    }

    fn close_own(&self, session: Option<&mut Session>) -> Result<Closed> {
        let deadline = Instant::now() + self.close_within;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut settled = true;
        match session {
            Some(session) if !session.has_ended() => {
                settled = session.settle(left());
                // Where V8 is not done it is asked all the same, and answers when it is.
                Self::ask(session, CLOSE_SOON, left());
                session.end(left().min(PROBE));
            }
            _ => self.ask_anew(CLOSE_SOON, left()),
        }
        if let Some(closed) = self.wait(left().min(SOON)) {
            return Ok(closed);
        }
        if settled {
            // Its event loop does not turn, or somebody has replaced its timers: it is closed within the evaluation.
            self.ask_anew(CLOSE_NOW, left());
        }
        if let Some(closed) = self.wait(left()) {
            return Ok(closed);
        }
        let pid = self.status.pid;
        Err(CaptureError::new(
            Kind::Timeout,
            format!("the inspector of process {pid} is still open at {}", self.listens),
            format!("its main thread has been busy for {}", seconds(self.close_within)),
        )
        .hint("it closes by itself as soon as the process is free again: that was asked of it"))
    }

    fn ask(session: &mut Session, expression: &str, within: Duration) {
        if let Ok(id) = session.start("Runtime.evaluate", &json!({"expression": expression, "silent": true}))
        {
            let _ = session.answer(id, "Runtime.evaluate", within, |_, _| Ok(()), |_| Ok(()));
        }
    }

    /// Over a new connection, where the old one has ended.
    fn ask_anew(&self, expression: &str, within: Duration) {
        let within = within.min(PROBE);
        let session = Endpoint::choose(self.server, None, within).and_then(|at| Session::connect(at, within));
        if let Ok(mut session) = session {
            Self::ask(&mut session, expression, within);
            session.end(within);
        }
    }

    /// Waits until the port is gone.
    fn wait(&self, timeout: Duration) -> Option<Closed> {
        let deadline = Instant::now() + timeout;
        loop {
            if !self.status.is_current() {
                return Some(Closed::Ended);
            }
            if sockets::listening(self.status.pid).is_ok_and(|all| !all.contains(&self.listens)) {
                return Some(Closed::Closed);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(POLL);
        }
    }
}

/// The right to open and close the inspector of a process; nothing where the system has no such thing.
fn sole(status: &Status) -> Result<Option<Name>> {
    let begun = Instant::now();
    loop {
        // The start time makes it one name for the process in every PID namespace.
        match Name::take(format!("heapsight-attached-{}-{}", status.start_time, status.own_pid())) {
            Ok(name) => return Ok(name),
            Err(()) if begun.elapsed() < AFTER_A_KILL => thread::sleep(POLL),
            Err(()) => break,
        }
    }
    Err(CaptureError::new(
        Kind::Refused,
        format!("another heapsight is attached to process {}", status.pid),
        "two would close each other's inspector",
    )
    .hint("wait until it is done; a `heapsight watch` captures by itself: SIGUSR2 to it, with `--on signal`"))
}

/// A name that one process has at a time: that of an abstract socket, of which nothing stays behind.
#[derive(Debug)]
struct Name {
    #[cfg(target_os = "linux")]
    socket: std::os::unix::net::UnixListener,
}

impl Name {
    /// Takes it, unless another one has it; `None` where the system has no such thing.
    #[cfg(target_os = "linux")]
    fn take(name: String) -> std::result::Result<Option<Self>, ()> {
        use std::os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixListener},
        };
        let Ok(address) = SocketAddr::from_abstract_name(name) else { return Ok(None) };
        match UnixListener::bind_addr(&address) {
            Ok(socket) => Ok(Some(Self { socket })),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(()),
            Err(_) => Ok(None),
        }
    }

    #[cfg(target_os = "linux")]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd as _;
        self.socket.as_fd()
    }

    #[cfg(not(target_os = "linux"))]
    fn take(_: String) -> std::result::Result<Option<Self>, ()> {
        Ok(None)
    }
}
