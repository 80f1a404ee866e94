//! A conversation with one isolate: calls and their answers, JavaScript evaluated there, the threads beside it, and who
//! it is.
//!
//! A session has a connection of its own, also that of a worker: so the threads of a program can be captured side by
//! side, and the end of one session ends whatever it had started in the target. Nothing waits for ever: every call has a
//! time limit, and says in words what was waited for.
//!
//! What is evaluated is evaluated at once, in the middle of whatever JavaScript runs there: V8 handles it like an
//! interrupt. So also a program that never returns to its event loop answers, as long as it is not inside a native
//! function. Only a promise needs the event loop.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    endpoint::{Endpoint, bun, seconds},
    escapes::parse,
    protocol::{Core, Incoming, RemoteError, Route, malformed},
    wire::{TICK, Wire},
};
use crate::{
    error::{CaptureError, Kind, Result},
    fork::Evaluate,
    process::Status,
};

/// Where overflowing captures go if nobody says otherwise: on a disk rather than in memory.
const SPOOL_DIR: &str = "/var/tmp";

/// How long a program may take to fall silent before the line to it ends.
const SILENT_WITHIN: Duration = Duration::from_millis(250);

/// How long a runtime's own start is waited for.
const STARTS_WITHIN: Duration = Duration::from_secs(1);

/// How often it is asked whether that is over.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Whether this runs in the middle of the start of Node.js, before any code of the program: told by the functions of
/// Node.js on the stack. Needs nothing but the language.
const IS_STARTING: &str = "(()=>{const E=Error,l=E.stackTraceLimit;\
    try{E.stackTraceLimit=100;const s=String(new E().stack);\
    return /\\binternal\\/(options|bootstrap\\/|main\\/|process\\/pre_execution)|process\\.emit \\(.*events[^\\n]*$/.test(s)&&\
    !/\\binternal\\/(modules\\/|timers|process\\/(execution|promises))/.test(s)}\
    catch{return false}finally{try{E.stackTraceLimit=l}catch{}}})()";

/// A conversation with one isolate of a running program.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    core: Core,
    endpoint: Endpoint,
    thread: Thread,
    spool_dir: PathBuf,
    /// The process behind it, where that is known to be one of this machine.
    process: Option<Status>,
    /// A capture that was begun and whose answer has not come.
    unanswered: Option<u64>,
    /// The program is past its runtime's own start, or that was waited for in vain.
    started: bool,
    /// It is Node.js on the other side.
    is_node: bool,
    /// Domains that are enabled, and may send what nobody asked for.
    enabled: Vec<String>,
}

/// A thread with an isolate of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// 0 is the main thread. For workers of Node.js it is `worker.threadId`, elsewhere they are counted.
    pub number: u32,
    /// Its title as the inspector has it: `[worker 1] name`; empty for the main thread.
    pub title: String,
    /// The file or URL that it runs; may be empty.
    pub url: String,
    /// `worker`, `service_worker`, `iframe` ...; empty for the main thread.
    pub kind: String,
}

/// Something that comes while an answer is waited for.
pub(crate) enum Happening<'a> {
    Chunk(&'a str),
    Event(&'a str, &'a str),
    /// Nothing has come, for this long.
    Nothing(Duration),
}

/// What a waiting caller says to it: go on, or wait no longer.
pub(crate) type Handled = Result<ControlFlow<()>>;

impl Session {
    /// Connects to an endpoint. Nothing is sent to the program by that.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where nothing listens or the path is not there, [`Kind::Timeout`].
    pub fn connect(endpoint: Endpoint, timeout: Duration) -> Result<Self> {
        let wire = Wire::open(&endpoint, timeout)?;
        let thread = Thread { url: endpoint.listed.url.clone(), ..Thread::default() };
        Ok(Self {
            wire,
            core: Core::default(),
            endpoint,
            thread,
            spool_dir: PathBuf::from(SPOOL_DIR),
            process: None,
            unanswered: None,
            started: false,
            is_node: false,
            enabled: Vec::new(),
        })
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Which thread it talks to.
    pub fn thread_info(&self) -> &Thread {
        &self.thread
    }

    /// How its messages reach the isolate.
    pub fn route(&self) -> &Route {
        self.core.route()
    }

    /// Whether the other side has ended the connection.
    pub fn has_ended(&self) -> bool {
        self.wire.has_ended()
    }

    /// What is evaluated if we end without having ended this, and what is held until then. See [`crate::guard`].
    #[cfg(target_os = "linux")]
    pub(super) fn farewell(&self, expression: &str, held: Option<std::os::fd::BorrowedFd<'_>>) {
        let Some(guarded) = self.wire.guarded() else { return };
        let call = json!({"id": u32::MAX >> 1, "method": "Runtime.evaluate", "params": {"expression": expression, "silent": true}});
        guarded.farewell(&call.to_string(), held);
    }

    /// Where a capture that comes faster than its sink takes it may keep a file without a name; `/var/tmp` if not said.
    pub fn set_spool_dir(&mut self, dir: impl Into<PathBuf>) {
        self.spool_dir = dir.into();
    }

    /// Says which process is behind it, so that its end is told as such.
    pub(crate) fn set_process(&mut self, status: &Status) {
        self.process = Some(status.clone());
    }

    pub(crate) fn spool_dir(&self) -> &Path {
        &self.spool_dir
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// [`Kind::Protocol`] where the target answers with an error, [`Kind::Unsupported`] where it has no such method,
    /// [`Kind::Timeout`], [`Kind::Gone`].
    pub fn call(&mut self, method: &str, params: &Value, timeout: Duration) -> Result<Value> {
        self.call_as(method, params, timeout)
    }

    pub(crate) fn call_as<T: for<'a> Deserialize<'a> + serde::de::DeserializeOwned>(
        &mut self,
        method: &str,
        params: &Value,
        timeout: Duration,
    ) -> Result<T> {
        let id = self.start(method, params)?;
        self.answer(id, method, timeout, |_, _| Ok(()), |result| parse(result).map_err(|e| malformed(&e)))
    }

    /// Sends a call without waiting for its answer.
    pub(crate) fn start(&mut self, method: &str, params: &Value) -> Result<u64> {
        if let Some(domain) = method.strip_suffix(".enable") {
            self.enabled.push(domain.to_owned());
        }
        let (id, text) = self.core.request(method, params);
        self.wire.send(text).map_err(|error| self.why_gone(error))?;
        Ok(id)
    }

    /// Sends the call of a capture. Whoever leaves before its answer has come leaves a target that goes on sending; see
    /// [`Session::settle`].
    pub(crate) fn start_capture(&mut self, method: &str, params: &Value) -> Result<u64> {
        let id = self.start(method, params)?;
        self.unanswered = Some(id);
        Ok(id)
    }

    /// Reads what is left of a capture that was called off. Says whether all has come.
    pub(crate) fn settle(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.unanswered.is_some() && !self.wire.has_ended() {
            let read = self.drive(None, |_| Ok(()), |_| Ok(ControlFlow::Break(())));
            if read.is_err() || Instant::now() >= deadline {
                break;
            }
        }
        self.unanswered.is_none()
    }

    /// Looks whether anything has come, above all the wish of the other side to end the connection: Node.js waits for the
    /// answer to that where a program closes its inspector itself.
    ///
    /// # Errors
    /// [`Kind::Gone`]: it has ended.
    pub fn look(&mut self) -> Result<()> {
        self.drive(None, |_| Ok(()), |_| Ok(ControlFlow::Break(()))).map(drop)
    }

    /// Ends the connection and waits until the other side has ended it too.
    ///
    /// Node.js (16 to 26, measured) crashes where a WebSocket's own way to end meets the end of its inspector: if our frame
    /// comes in the moment when the program calls `inspector.close()`, 30 of 100 times. It does not if just the line ends; but
    /// that it does not bear while it has something to send. So it is brought to silence first, and then the line ends;
    /// where that is not to be had, the frame is sent.
    pub(crate) fn end(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        let left = || deadline.saturating_duration_since(Instant::now());
        if self.wire.has_ended() {
            return;
        }
        if self.falls_silent(left().min(SILENT_WITHIN)) {
            self.wire.hang_up(left());
        } else {
            self.wire.close(left());
        }
    }

    /// Whether nothing comes any more.
    fn falls_silent(&mut self, within: Duration) -> bool {
        if !self.is_node || *self.core.route() != Route::Main || self.unanswered.is_some() {
            return false;
        }
        let deadline = Instant::now() + within;
        for domain in std::mem::take(&mut self.enabled) {
            if self.start(&format!("{domain}.disable"), &json!({})).is_err() {
                return false;
            }
        }
        // Answers come in the order of the questions: after this one, all has come.
        let left = deadline.saturating_duration_since(Instant::now());
        self.call("Runtime.disable", &json!({}), left).is_ok()
    }

    /// Waits for the answer to a call.
    pub(crate) fn answer<T>(
        &mut self,
        id: u64,
        method: &str,
        timeout: Duration,
        mut event: impl FnMut(&str, &str) -> Result<()>,
        reply: impl FnOnce(&str) -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        let answer = self.drive(Some((id, method)), reply, |happening| {
            if let Happening::Event(method, params) = happening {
                event(method, params)?;
            }
            Ok(if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        answer.ok_or_else(|| self.no_answer(method, timeout))
    }

    /// Reads what comes until the answer to a call is there, or until `on` breaks (then `None`). `on` is called at least
    /// every [`TICK`].
    pub(crate) fn drive<T>(
        &mut self,
        call: Option<(u64, &str)>,
        reply: impl FnOnce(&str) -> Result<T>,
        mut on: impl FnMut(Happening<'_>) -> Handled,
    ) -> Result<Option<T>> {
        let mut idle = Duration::ZERO;
        let session = self.thread_session().map(str::to_owned);
        loop {
            let Some(text) = self.wire.receive().map_err(|error| self.why_gone(error))? else {
                idle += TICK;
                if on(Happening::Nothing(idle))?.is_break() {
                    return Ok(None);
                }
                continue;
            };
            idle = Duration::ZERO;
            let incoming = self.core.receive(&text)?;
            if let Incoming::Reply { id, .. } = &incoming
                && self.unanswered == Some(*id)
            {
                self.unanswered = None;
            }
            let happening = match incoming {
                Incoming::Chunk(chunk) => Happening::Chunk(chunk),
                Incoming::Event { method, params } => {
                    let method = method.as_str();
                    if let Some(gone) = ended(session.as_deref(), method, params) {
                        return Err(gone);
                    }
                    if on(Happening::Event(method, params))?.is_break() {
                        return Ok(None);
                    }
                    continue;
                }
                Incoming::Reply { id, result } => match call {
                    Some((wanted, method)) if wanted == id => {
                        return match result {
                            Ok(result) => reply(result).map(Some),
                            Err(error) => Err(self.refusal(&error, method)),
                        };
                    }
                    // Late, or of a call whose answer nobody waits for.
                    _ => Happening::Nothing(idle),
                },
                Incoming::Other => Happening::Nothing(idle),
            };
            if on(happening)?.is_break() {
                return Ok(None);
            }
        }
    }

    /// A connection that ends because its process did is told so.
    fn why_gone(&self, error: CaptureError) -> CaptureError {
        let Some(status) = self.process.as_ref().filter(|_| error.kind == Kind::Gone) else { return error };
        // Its sockets are closed a moment before it counts as ended.
        let deadline = Instant::now() + Duration::from_millis(500);
        while status.is_current() {
            if Instant::now() >= deadline {
                return error;
            }
            thread::sleep(Duration::from_millis(5));
        }
        CaptureError::ended(status.pid)
    }

    fn thread_session(&self) -> Option<&str> {
        match self.core.route() {
            Route::Main => None,
            Route::Worker(session) | Route::Target(session) => Some(session),
        }
    }

    fn refusal(&self, error: &RemoteError, method: &str) -> CaptureError {
        // Bun knows the domain Runtime, and its answer to others is its own.
        if error.is_unknown_method() && error.message.contains("domain was not found") {
            return bun(&format!("cannot use `{method}` at {}", self.wire.name()));
        }
        error.failure(method)
    }

    fn no_answer(&self, method: &str, timeout: Duration) -> CaptureError {
        CaptureError::new(
            Kind::Timeout,
            format!("no answer to `{method}` from {} within {}", self.wire.name(), seconds(timeout)),
            "the inspector accepts connections, but the thread behind it is blocked in a native call, or stopped",
        )
        .hint("wait until it is free again; a debugger that holds it at a breakpoint, or SIGSTOP, does the same")
    }

    /// Evaluates JavaScript and gives its value. What is no JSON comes as text (`NaN`, `1n`), what has no value as null.
    /// A promise is waited for.
    ///
    /// The expression has V8's command line API: in Node.js that is a `require`, also where the program is an ES module. A
    /// program that is just starting is waited for first, a second at most: Node.js 18 stops for ever where it installs
    /// that API while it reads its own options (`GetCLIOptions` holds a mutex, and `new Module` reads them again).
    ///
    /// # Errors
    /// [`Kind::Protocol`] with the exception's own text if it throws or rejects; else as [`Session::call`].
    pub fn evaluate(&mut self, expression: &str, timeout: Duration) -> Result<Value> {
        const GROUP: &str = "heapsight";
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        if !self.started {
            self.wait_for_start(timeout)?;
        }
        // Waiting for promises at once would need the event loop even where there is none.
        let params = json!({"expression": expression, "includeCommandLineAPI": true, "objectGroup": GROUP, "silent": true});
        let first: Evaluated = self.call_as("Runtime.evaluate", &params, timeout)?;
        if first.object().is_none() {
            return first.value();
        }
        let value = self.settled(first, left).and_then(|settled| self.by_value(settled, left()));
        // Else it would be found in the next snapshot, held by the inspector.
        self.start("Runtime.releaseObjectGroup", &json!({"objectGroup": GROUP}))?;
        value
    }

    fn wait_for_start(&mut self, timeout: Duration) -> Result<()> {
        let begun = Instant::now();
        let params = json!({"expression": IS_STARTING, "returnByValue": true, "silent": true});
        loop {
            let starting: Evaluated = self.call_as("Runtime.evaluate", &params, timeout)?;
            // An answer that is none says nothing about the start.
            if starting.value().is_ok_and(|value| value != true)
                || begun.elapsed() >= STARTS_WITHIN.min(timeout)
            {
                self.started = true;
                return Ok(());
            }
            thread::sleep(ASK_AGAIN);
        }
    }

    /// What a promise becomes; anything else is that already.
    fn settled(&mut self, evaluated: Evaluated, left: impl Fn() -> Duration) -> Result<Evaluated> {
        match evaluated.object() {
            Some(object) if evaluated.result.subtype == "promise" => {
                let params = json!({"promiseObjectId": object});
                self.call_as("Runtime.awaitPromise", &params, left()).map_err(|error| match error.kind {
                    Kind::Timeout => CaptureError { why: "a promise was not settled".to_owned(), ..error },
                    _ => error,
                })
            }
            _ => Ok(evaluated),
        }
    }

    fn by_value(&mut self, evaluated: Evaluated, timeout: Duration) -> Result<Value> {
        let Some(object) = evaluated.object() else { return evaluated.value() };
        let function = "function(){return this}";
        let params = json!({"objectId": object, "functionDeclaration": function, "returnByValue": true, "silent": true});
        self.call_as::<Evaluated>("Runtime.callFunctionOn", &params, timeout)?.value()
    }

    /// Whether the event loop of this thread turns within a time. Snapshots of V8 12 and later (Node.js 22) begin only
    /// when it does.
    ///
    /// # Errors
    /// As [`Session::call`], except that time running out is the answer `false`.
    pub fn event_loop_turns(&mut self, within: Duration) -> Result<bool> {
        let expression = "new Promise(r=>(globalThis.setImmediate??setTimeout)(()=>r(1)))";
        match self.evaluate(expression, within) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::Timeout => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The main thread and its workers, by number.
    ///
    /// To see its workers this attaches to them for a moment, over a connection of its own.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn threads(&self, timeout: Duration) -> Result<Vec<Thread>> {
        let mut session = self.sibling(timeout)?;
        let mut threads = vec![Thread { url: self.endpoint.listed.url.clone(), ..Thread::default() }];
        threads.extend(session.attach_workers(timeout)?.into_iter().map(|(thread, _)| thread));
        Ok(threads)
    }

    /// A session with another thread: 0 is the main thread, others as [`Session::threads`] numbers them.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is no such thread; else as [`Session::call`].
    pub fn thread(&self, number: u32, timeout: Duration) -> Result<Session> {
        let mut session = self.sibling(timeout)?;
        if number == 0 {
            return Ok(session);
        }
        let workers = session.attach_workers(timeout)?;
        let Some((thread, route)) = workers.iter().find(|(thread, _)| thread.number == number).cloned()
        else {
            let numbers: Vec<String> = workers.iter().map(|(t, _)| t.number.to_string()).collect();
            let what = match &self.process {
                Some(status) => format!("process {} has no thread {number}", status.pid),
                None => format!("there is no thread {number} at {}", self.wire.name()),
            };
            let (why, hint) = match numbers.as_slice() {
                [] => (
                    "it has no workers".to_owned(),
                    "--thread main, the default, is its only thread".to_owned(),
                ),
                [one] => (
                    format!("it has one worker, thread {one}"),
                    format!("--thread {one} is that worker, --thread main the main thread"),
                ),
                _ => (
                    format!("its workers are the threads {}", numbers.join(", ")),
                    "name one of these with --thread, or main for the main thread".to_owned(),
                ),
            };
            return Err(CaptureError::new(Kind::NotFound, what, why).hint(hint));
        };
        // The others are let go: an inspector on a thread is not wholly free.
        for (_, other) in workers.iter().filter(|(other, _)| other.number != number) {
            let (method, id) = match other {
                Route::Worker(id) => ("NodeWorker.detach", id),
                Route::Target(id) => ("Target.detachFromTarget", id),
                Route::Main => continue,
            };
            session.start(method, &json!({"sessionId": id}))?;
        }
        session.core.set_route(route);
        session.thread = thread;
        Ok(session)
    }

    pub(crate) fn sibling(&self, timeout: Duration) -> Result<Session> {
        let mut session = Self::connect(self.endpoint.clone(), timeout)?;
        session.spool_dir.clone_from(&self.spool_dir);
        session.process.clone_from(&self.process);
        session.is_node = self.is_node;
        Ok(session)
    }

    /// Attaches to all workers and gives them, by number.
    fn attach_workers(&mut self, timeout: Duration) -> Result<Vec<(Thread, Route)>> {
        let ways = [
            ("NodeWorker.enable", json!({"waitForDebuggerOnStart": false})),
            (
                "Target.setAutoAttach",
                json!({"autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true}),
            ),
        ];
        let mut found = Vec::new();
        for (method, params) in ways {
            let id = self.start(method, &params)?;
            let mut keep = |method: &str, params: &str| {
                found.extend(attached(method, params));
                Ok(())
            };
            match self.answer(id, method, timeout, &mut keep, |_| Ok(())) {
                Err(error) if error.kind == Kind::Unsupported => continue,
                other => other?,
            }
            // Deno tells of its workers only after its answer.
            let deadline = Instant::now() + timeout.min(Duration::from_secs(2));
            self.drive(
                None,
                |_| Ok(()),
                |happening| {
                    let quiet = matches!(happening, Happening::Nothing(idle) if idle >= TICK);
                    if let Happening::Event(method, params) = happening {
                        keep(method, params)?;
                    }
                    let end = quiet || Instant::now() >= deadline;
                    Ok(if end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                },
            )?;
            break;
        }
        let mut next = 1 + found.iter().map(|(thread, _)| thread.number).max().unwrap_or(0);
        for (thread, _) in &mut found {
            if thread.number == 0 {
                thread.number = next;
                next += 1;
            }
        }
        found.sort_by_key(|(thread, _)| thread.number);
        Ok(found)
    }

    /// Who is on the other side.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for Bun; else as [`Session::call`].
    pub fn identify(&mut self, timeout: Duration) -> Result<Identity> {
        let text = self.evaluate(IDENTITY, timeout)?;
        let mut identity: Identity =
            parse(text.as_str().unwrap_or("{}")).map_err(|e| malformed(&format!("identity: {e}")))?;
        if identity.runtime == "bun" {
            return Err(bun(&format!("cannot capture from {}", self.wire.name())));
        }
        self.is_node = identity.runtime == "node";
        if identity.runtime.is_empty() {
            let version = self.endpoint.server.version(timeout).ok().flatten().unwrap_or_default();
            let (name, number) = version.browser.split_once('/').unwrap_or(("V8", ""));
            identity.runtime = name.to_lowercase();
            number.clone_into(&mut identity.version);
            identity.v8 = version.v8;
        }
        Ok(identity)
    }

    /// How large the heap is and how large it may become.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn heap_use(&mut self, timeout: Duration) -> Result<HeapUse> {
        let text = self.evaluate(HEAP_USE, timeout)?;
        let mut heap: HeapUse =
            parse(text.as_str().unwrap_or("{}")).map_err(|e| malformed(&format!("heap statistics: {e}")))?;
        if heap.used == 0 {
            // Pages have no such module; every V8 has this.
            let usage = self.call("Runtime.getHeapUsage", &json!({}), timeout)?;
            let size = |name: &str| usage[name].as_f64().unwrap_or(0.0) as u64;
            heap.used = size("usedSize");
            heap.total = size("totalSize");
        }
        Ok(heap)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(SILENT_WITHIN);
    }
}

impl Evaluate for Session {
    fn evaluate(&mut self, expression: &str, timeout: Duration) -> Result<Value> {
        Session::evaluate(self, expression, timeout)
    }
}

/// Whether an event says that the isolate that is talked to is no more.
fn ended(session: Option<&str>, method: &str, params: &str) -> Option<CaptureError> {
    let detached = match method {
        "NodeWorker.detachedFromWorker" | "Target.detachedFromTarget" => {
            let params: Value = parse(params).ok()?;
            session.is_some_and(|session| params["sessionId"] == session)
        }
        "Inspector.targetCrashed" | "Inspector.detached" => true,
        _ => false,
    };
    let what = if session.is_some() { "the worker" } else { "the page" };
    detached.then(|| CaptureError::new(Kind::Gone, format!("{what} that was captured has ended"), ""))
}

/// The worker that an event tells of.
fn attached(method: &str, params: &str) -> Option<(Thread, Route)> {
    let params: Value = parse(params).ok()?;
    let session = params["sessionId"].as_str()?.to_owned();
    let (info, route) = match method {
        "NodeWorker.attachedToWorker" => (&params["workerInfo"], Route::Worker(session)),
        "Target.attachedToTarget" => (&params["targetInfo"], Route::Target(session)),
        _ => return None,
    };
    let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    let title = text("title");
    Some((Thread { number: number(&title), title, url: text("url"), kind: text("type") }, route))
}

/// The number in the titles that Node.js and Deno give: `Worker 1`, `[worker 1] name`, `worker [1]`. 0 where there is
/// none.
fn number(title: &str) -> u32 {
    let lower = title.to_ascii_lowercase();
    let digits = ["worker ", "[worker ", "worker ["].iter().filter_map(|head| {
        let rest = lower.strip_prefix(head)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        // A browser's worker may be called anything: `worker 1 of 2` has no number.
        let whole = rest.len() == end || (head.contains('[') && rest[end..].starts_with(']'));
        if whole { rest[..end].parse().ok() } else { None }
    });
    digits.max().unwrap_or(0)
}

/// The answer to an evaluation.
#[derive(Deserialize)]
struct Evaluated {
    result: Remote,
    #[serde(rename = "exceptionDetails")]
    exception: Option<Value>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Remote {
    subtype: String,
    value: Option<Value>,
    unserializable_value: Option<String>,
    object_id: Option<String>,
}

impl Evaluated {
    /// The object that has to be asked for its value.
    fn object(&self) -> Option<&str> {
        let plain = self.exception.is_some() || self.result.value.is_some();
        if plain { None } else { self.result.object_id.as_deref() }
    }

    fn value(self) -> Result<Value> {
        if let Some(exception) = self.exception {
            let thrown = &exception["exception"];
            let text = thrown["description"].as_str().or_else(|| thrown["value"].as_str());
            let text = text.map(str::to_owned).or_else(|| thrown.get("value").map(Value::to_string));
            let text = text.unwrap_or_else(|| exception["text"].as_str().unwrap_or("no message").to_owned());
            return Err(CaptureError::new(
                Kind::Protocol,
                "JavaScript that was evaluated in the target threw",
                text,
            ));
        }
        Ok(self
            .result
            .value
            .or_else(|| self.result.unserializable_value.map(Value::String))
            .unwrap_or(Value::Null))
    }
}

/// A program that runs V8, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// `process.pid`: in the program's own PID namespace. 0 for pages.
    pub pid: u32,
    /// `node`, `deno`, `electron`, `chrome` ...
    pub runtime: String,
    /// Its version: `20.20.2`.
    pub version: String,
    /// The version of V8 in it; may be empty.
    pub v8: String,
    /// `x64`, `arm64` ...; empty for pages.
    pub arch: String,
    /// `linux` ...; empty for pages.
    pub platform: String,
    /// `process.title`, or the title of the page.
    pub title: String,
    /// The script that it was started with, or the URL of the page; may be empty.
    pub script: String,
    /// Its working directory; empty for pages.
    pub cwd: String,
}

impl Identity {
    /// The major version of V8; 0 where it is not known.
    pub fn v8_major(&self) -> u32 {
        self.v8.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

impl Identity {
    /// Whether its V8 can keep samples of what was collected. V8 10 and older (Node.js 18) ignore the wish in silence.
    pub fn keeps_collected(&self) -> bool {
        self.v8_major() >= 11
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.runtime.as_str() {
            "node" => "Node.js",
            "deno" => "Deno",
            "electron" => "Electron",
            "chrome" => "Chromium",
            other => other,
        };
        write!(f, "{name} {}", self.version)?;
        if !self.v8.is_empty() {
            write!(f, " (V8 {})", self.v8)?;
        }
        Ok(())
    }
}

const IDENTITY: &str = "(()=>{const t=f=>{try{return f()??undefined}catch{}};const p=globalThis.process,v=p?.versions??{};\
    const r=globalThis.Bun?'bun':globalThis.Deno?'deno':v.electron?'electron':v.node?'node':'';\
    return JSON.stringify({pid:t(()=>p.pid),runtime:r,version:v[r]??t(()=>globalThis.Deno.version.deno),v8:v.v8,\
    arch:t(()=>p.arch),platform:t(()=>p.platform),title:t(()=>p?p.title:document.title),\
    script:t(()=>p?p.argv[1]:location.href),cwd:t(()=>p.cwd())})})()";

const HEAP_USE: &str = "(()=>{const p=globalThis.process;if(!p?.versions?.v8)return '{}';let v;\
    try{v=p.getBuiltinModule?p.getBuiltinModule('v8'):require('v8')}catch{}\
    const h=v?v.getHeapStatistics():{},m=p.memoryUsage();\
    return JSON.stringify({used:h.used_heap_size??m.heapUsed,total:h.total_heap_size??m.heapTotal,\
    limit:h.heap_size_limit,external:h.external_memory??m.external,rss:m.rss})})()";

/// How much memory a heap takes, in bytes. 0 where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HeapUse {
    /// In objects, dead ones that were not collected included.
    pub used: u64,
    /// Reserved for objects.
    pub total: u64,
    /// The limit that ends the program when it is reached.
    pub limit: u64,
    /// Outside of the heap, held by its objects.
    pub external: u64,
    /// Resident memory of the whole process.
    pub rss: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_titles_of_workers() {
        for (title, expected) in [
            ("Worker 2", 2),
            ("[worker 12] name", 12),
            ("[worker 3]", 3),
            ("worker [1]", 1),
            ("", 0),
            ("worker", 0),
            ("worker x", 0),
            ("worker 1 of 2", 0),
            ("wk 5", 0),
            ("[worker 99999999999] x", 0),
        ] {
            assert_eq!(number(title), expected, "{title}");
        }
    }

    #[test]
    fn values_and_exceptions() {
        let value = |json: &str| parse::<Evaluated>(json).unwrap().value();
        assert_eq!(value(r#"{"result":{"type":"number","value":3}}"#).unwrap(), 3);
        assert_eq!(value(r#"{"result":{"type":"undefined"}}"#).unwrap(), Value::Null);
        assert_eq!(value(r#"{"result":{"type":"bigint","unserializableValue":"1n"}}"#).unwrap(), "1n");
        let thrown = |details: &str| {
            value(&format!(r#"{{"result":{{}},"exceptionDetails":{details}}}"#)).unwrap_err().why
        };
        assert_eq!(
            thrown(r#"{"text":"Uncaught","exception":{"description":"TypeError: x"}}"#),
            "TypeError: x"
        );
        assert_eq!(thrown(r#"{"text":"Uncaught","exception":{"value":"text"}}"#), "text");
        assert_eq!(thrown(r#"{"text":"Uncaught","exception":{"value":4}}"#), "4");
        assert_eq!(thrown(r#"{"text":"Uncaught"}"#), "Uncaught");
    }
}
