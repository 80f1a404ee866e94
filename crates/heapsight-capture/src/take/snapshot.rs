//! A heap snapshot by the gentlest method that works: what each would cost is predicted first, and what would get the
//! target killed is not done.

use std::{
    io::{self, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{Event, Monitor, Output, Taken, Taker};
use crate::{
    CaptureError, Kind, Result,
    fork::{self, Fork},
    inspector::{self, HeapUse, Phase, Session},
    output::{self, CaptureKind, IdSpace, Metadata},
    preflight::{self, Conditions, Guard, HEAP_BYTES_PER_NODE, Nodes, Prediction, Verdict},
    process::methods::Method,
};

/// Which method is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Fork where that works, else the inspector.
    #[default]
    Auto,
    /// This one or none.
    Only(Method),
}

/// How a snapshot is taken.
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    /// By which method.
    pub method: Choice,
    /// The isolate: 0 is the main thread.
    pub thread: u32,
    /// Collect garbage first. (V8 does so itself at the beginning of a snapshot; twice finds what finalizers free.)
    pub gc: bool,
    /// Objects keep their ids from one fork snapshot to the next.
    pub stable_ids: bool,
    /// Do it although it is predicted to hurt the target.
    pub force: bool,
    /// Where it goes.
    pub output: Output,
}

/// What a snapshot would cost, and which method would be taken.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bytes in use in the heap, where the target could be asked.
    pub heap: Option<HeapUse>,
    /// Estimated number of nodes.
    pub nodes: u64,
    /// The methods that would work, with their costs, and the others with the reason why not.
    pub methods: Vec<Planned>,
    /// The one that would be taken.
    pub chosen: Option<Method>,
}

/// One method of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The method.
    pub method: Method,
    /// Why it does not work.
    pub obstacle: Option<String>,
    /// What it would cost, where it works.
    pub prediction: Option<Prediction>,
}

impl Taker {
    /// What a snapshot would cost by each method. Asks a target whose inspector is open already for the size of its heap,
    /// and leaves others alone.
    ///
    /// # Errors
    /// The target has ended.
    pub fn plan(&mut self, options: &SnapshotOptions) -> Result<Plan> {
        let heap = if self.attached.is_some() || self.process.is_none() {
            let mut session = self.session(options.thread)?;
            let heap = session.heap_use(self.options.timeout)?;
            self.give_back(options.thread, session);
            Some(heap)
        } else {
            None
        };
        let path = options.output.path.as_deref();
        let (conditions, capabilities) = match &self.process {
            Some(process) => {
                let used = heap.filter(|heap| heap.used > 0).map(|heap| heap.used / HEAP_BYTES_PER_NODE);
                let mut at = Conditions::gather(process, used, path, options.stable_ids)?;
                if let Some(heap) = heap.filter(|heap| heap.used > 0) {
                    at.nodes = Nodes::of_heap(heap.used);
                }
                (Some(at), process.methods.clone())
            }
            None => (None, Vec::new()),
        };
        let mut methods = Vec::new();
        for method in [Method::Fork, Method::Inspector, Method::Signal] {
            let capability = capabilities.iter().find(|capability| capability.method == method);
            let obstacle = match capability {
                // What is attached already needs no more than that.
                Some(_) if method == Method::Inspector && self.attached.is_some() => None,
                Some(capability) => (!capability.works).then(|| capability.reason.clone()),
                // Something far away: only its inspector is at hand.
                None if method == Method::Inspector => None,
                None => Some("the process is not on this machine, or not known to be".to_owned()),
            };
            let prediction = match (&obstacle, &conditions) {
                (None, Some(at)) => Some(preflight::prediction(method, at)),
                _ => None,
            };
            methods.push(Planned { method, obstacle, prediction });
        }
        let usable = |planned: &&Planned| {
            let wanted = match options.method {
                Choice::Auto => planned.method != Method::Signal,
                Choice::Only(method) => planned.method == method,
            };
            let refused = planned.prediction.as_ref().is_some_and(|p| p.verdict == Verdict::Refuse);
            wanted && planned.obstacle.is_none() && (!refused || options.force)
        };
        let chosen = methods.iter().find(usable).map(|planned| planned.method);
        let nodes = conditions.map_or_else(
            || heap.map_or(0, |heap| Nodes::of_heap(heap.used).likely),
            |conditions| conditions.nodes.likely,
        );
        Ok(Plan { heap, nodes, methods, chosen })
    }

    /// Takes a snapshot. `stdout` is where `-` leads.
    ///
    /// # Errors
    /// [`Kind::Refused`] with what to do instead where it would hurt the target; [`Kind::Unsupported`] where the method
    /// that was asked for does not work; those of the method and of the output.
    pub fn snapshot(
        &mut self,
        options: &SnapshotOptions,
        stdout: Option<Box<dyn Write + Send>>,
        monitor: &Monitor<'_>,
    ) -> Result<Taken> {
        let signal = options.method == Choice::Only(Method::Signal);
        if !signal {
            monitor.say(Event::Doing("attaching"));
            self.attach()?;
        }
        let plan = self.plan(options)?;
        let Some(method) = plan.chosen else { return Err(self.refusal(&plan, options)) };
        if let Some(prediction) =
            plan.methods.iter().find(|p| p.method == method).and_then(|p| p.prediction.as_ref())
        {
            for reason in &prediction.reasons {
                monitor.say(Event::Note(reason.clone()));
            }
        }
        let mut stdout = stdout;
        match method {
            Method::Fork => match self.by_fork(options, &plan, &mut stdout, monitor) {
                Err(error) if error.kind == Kind::Unsupported && options.method == Choice::Auto => {
                    let next = Choice::Only(Method::Inspector);
                    let options = SnapshotOptions { method: next, ..options.clone() };
                    monitor.say(Event::Note(format!("{error}; taking it over the inspector, in place")));
                    let plan = self.plan(&options)?;
                    if plan.chosen.is_none() {
                        return Err(self.refusal(&plan, &options));
                    }
                    self.by_inspector(&options, &plan, stdout, monitor)
                }
                result => result,
            },
            Method::Signal => self.by_signal(options, stdout, monitor),
            Method::Inspector | Method::NearLimit => self.by_inspector(options, &plan, stdout, monitor),
        }
    }

    /// Why nothing was chosen.
    fn refusal(&self, plan: &Plan, options: &SnapshotOptions) -> CaptureError {
        let what = format!("cannot take a heap snapshot of {}", self.target);
        let asked = |method: Method| match options.method {
            Choice::Auto => method != Method::Signal,
            Choice::Only(only) => only == method,
        };
        let asked: Vec<&Planned> = plan.methods.iter().filter(|p| asked(p.method)).collect();
        let refused =
            asked.iter().filter_map(|p| p.prediction.as_ref()).find(|p| p.verdict == Verdict::Refuse);
        if let Some(prediction) = refused {
            let why = prediction.reasons.first().cloned().unwrap_or_default();
            let instead = prediction.instead.clone();
            return CaptureError::new(Kind::Refused, what, why)
                .hint(instead.unwrap_or_else(|| "--force does it all the same".to_owned()));
        }
        let why: Vec<String> = asked
            .iter()
            .filter_map(|p| Some(format!("{}: {}", p.method.name(), p.obstacle.as_ref()?)))
            .collect();
        CaptureError::new(Kind::Unsupported, what, why.join("; ")).hint(format!(
            "see `heapsight ps{}`",
            match self.process() {
                Some(process) => format!(" {}", process.status.pid),
                None => String::new(),
            }
        ))
    }

    fn by_inspector(
        &mut self,
        options: &SnapshotOptions,
        plan: &Plan,
        stdout: Option<Box<dyn Write + Send>>,
        monitor: &Monitor<'_>,
    ) -> Result<Taken> {
        let timeout = self.options.timeout;
        let started = jiff::Timestamp::now();
        let begun = Instant::now();
        let mut session = self.session(options.thread)?;
        let mut sink = output::Sink::create(
            self.sink_options(CaptureKind::Snapshot, options.thread, &options.output, plan.nodes),
            stdout,
        )?;
        let how = inspector::SnapshotOptions {
            gc: options.gc,
            idle_within: timeout,
            ..inspector::SnapshotOptions::default()
        };
        let mut phase = None;
        let captured = session.heap_snapshot(&how, &mut sink, &mut |progress| {
            if phase != Some(progress.phase) {
                phase = Some(progress.phase);
                monitor.say(Event::Doing(doing(progress.phase)));
            }
            monitor.say(Event::Progress { elapsed: progress.elapsed, bytes: progress.received, live: None });
            monitor.flow()
        })?;
        let written = sink.finish()?;
        let ids = self.id_space(options.thread);
        self.finish(
            session,
            CaptureKind::Snapshot,
            "inspector",
            options.thread,
            &options.output,
            Finished {
                written,
                started,
                elapsed: begun.elapsed(),
                pause: Some(captured.stopped),
                ids,
                sampling: None,
            },
        )
    }

    fn by_fork(
        &mut self,
        options: &SnapshotOptions,
        plan: &Plan,
        stdout: &mut Option<Box<dyn Write + Send>>,
        monitor: &Monitor<'_>,
    ) -> Result<Taken> {
        let timeout = self.options.timeout;
        let Some(pid) = self.process().map(|process| process.status.pid) else {
            let what = format!("cannot fork {}", self.target);
            return Err(CaptureError::new(Kind::Unsupported, what, "it is not a process of this machine"));
        };
        let started = jiff::Timestamp::now();
        let begun = Instant::now();
        let mut session = self.session(options.thread)?;
        let mut fork = match self.attached.as_mut().and_then(|attached| attached.fork.take()) {
            Some(fork) => fork,
            None => Fork::prepare(pid)?,
        };
        let how = fork::Options {
            stable_ids: options.stable_ids,
            answer_within: timeout,
            ..fork::Options::default()
        };
        // Before anything is written: where this does not work, another method gets the output.
        fork.load(&mut session, &how)?;
        if options.gc {
            session.collect_garbage(timeout)?;
        }
        let sink_options =
            self.sink_options(CaptureKind::Snapshot, options.thread, &options.output, plan.nodes);
        let mut sink = Restartable::new(sink_options, stdout.take())?;
        monitor.say(Event::Doing("the child builds the graph"));
        let guard = Mutex::new(Guard::new(pid)?);
        let report = fork.capture(&mut session, &how, &mut sink, &mut |progress| {
            monitor.say(Event::Progress { elapsed: progress.elapsed, bytes: progress.bytes, live: None });
            if monitor.stopped() {
                return fork::Verdict::Stop(called_off());
            }
            let tight = guard.lock().ok().and_then(|mut guard| guard.check());
            match tight.filter(|_| !options.force) {
                Some(why) => fork::Verdict::Stop(too_tight(pid, plan, &why)),
                None => fork::Verdict::Continue,
            }
        });
        if let Some(attached) = &mut self.attached {
            attached.fork = Some(fork);
        }
        let report = report.map_err(|error| sink.failure.take().unwrap_or(error))?;
        let written = sink.finish()?;
        let ids = if report.stable_ids { self.id_space(options.thread) } else { None };
        self.finish(
            session,
            CaptureKind::Snapshot,
            "fork",
            options.thread,
            &options.output,
            Finished {
                written,
                started,
                elapsed: begun.elapsed(),
                pause: Some(report.pause),
                ids,
                sampling: None,
            },
        )
    }

    /// Where the ids of this connection's captures come from.
    fn id_space(&self, thread: u32) -> Option<IdSpace> {
        let status = &self.process()?.status;
        Some(IdSpace::of_process(status.pid, status.start_time, thread, self.attached.as_ref()?.connection))
    }

    pub(super) fn sink_options(
        &self,
        kind: CaptureKind,
        thread: u32,
        output: &Output,
        nodes: u64,
    ) -> output::Options {
        let pid = match (&self.process, &self.attached) {
            (Some(process), _) => process.status.pid,
            (None, Some(attached)) => attached.attachment.identity().pid,
            (None, None) => 0,
        };
        output::Options {
            path: output.path.clone(),
            force: output.force,
            expected_bytes: (nodes > 0).then_some(nodes * preflight::FILE_PER_NODE),
            quota: output.quota.clone(),
            ..output::Options::new(kind, pid, thread)
        }
    }

    /// Writes the side file and puts the answer together.
    pub(super) fn finish(
        &mut self,
        mut session: Session,
        kind: CaptureKind,
        method: &str,
        thread: u32,
        output: &Output,
        finished: Finished,
    ) -> Result<Taken> {
        // The capture is whole: that the scripts' names cannot be had does not take it away.
        let scripts = session.script_urls(self.options.timeout).unwrap_or_default();
        let title = session.thread_info().title.clone();
        self.give_back(thread, session);
        let (process, runtime) = self.described(thread, title)?;
        let scripts = scripts
            .into_iter()
            .map(|script| output::Script::new(script.id, script.url, script.source_map_url))
            .collect();
        complete(kind, method, process, runtime, scripts, output, finished)
    }

    /// What a side file says of the program.
    pub(super) fn described(
        &mut self,
        thread: u32,
        title: String,
    ) -> Result<(output::Process, output::Runtime)> {
        let identity = self.identity()?;
        let process = output::Process {
            pid: self.process().map_or(identity.pid, |process| process.status.pid),
            thread,
            thread_name: Some(title).filter(|title| !title.is_empty()),
            executable: self.process().map(|process| process.runtime.path.clone()),
            script: Some(identity.script.clone()).filter(|script| !script.is_empty()),
        };
        let runtime = output::Runtime {
            name: identity.runtime.clone(),
            version: identity.version.clone(),
            versions: [("v8".to_owned(), identity.v8.clone())].into(),
        };
        Ok((process, runtime))
    }
}

/// What a method knows at its end.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) written: output::Written,
    pub(super) started: jiff::Timestamp,
    pub(super) elapsed: Duration,
    pub(super) pause: Option<Duration>,
    pub(super) ids: Option<IdSpace>,
    pub(super) sampling: Option<output::Sampled>,
}

pub(super) fn complete(
    kind: CaptureKind,
    method: &str,
    process: output::Process,
    runtime: output::Runtime,
    scripts: Vec<output::Script>,
    output: &Output,
    finished: Finished,
) -> Result<Taken> {
    let Finished { written, started, elapsed, pause, ids, sampling } = finished;
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let captured = output::Captured {
        kind: kind.extension().to_owned(),
        method: method.to_owned(),
        time: started.to_string(),
        pause_ms: pause.map(milliseconds),
        duration_ms: Some(milliseconds(elapsed)),
        bytes: written.bytes,
        nodes: written.counts.nodes,
        edges: written.counts.edges,
        sampling,
    };
    let metadata = Metadata::new(captured, process, runtime, ids, scripts);
    if let Some(path) = &written.path {
        metadata.write(path, output.force)?;
    }
    Ok(Taken { written, metadata, pause, elapsed })
}

pub(super) fn called_off() -> CaptureError {
    CaptureError::new(Kind::Interrupted, "the capture was called off", "")
}

fn too_tight(pid: u32, plan: &Plan, why: &str) -> CaptureError {
    let what = format!("the snapshot of process {pid} was ended, and the process goes on");
    let needed = plan
        .methods
        .iter()
        .filter_map(|planned| planned.prediction.as_ref())
        .map(|prediction| prediction.memory >> 20)
        .next()
        .unwrap_or(0);
    CaptureError::new(Kind::Refused, what, why)
        .hint(format!("it would take about {needed} MiB in all: raise the limit, or take a sampling profile (`heapsight sample {pid}`)"))
}

pub(super) fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Recording => "recording",
        Phase::Building => "V8 builds the graph, the program stands still",
        Phase::Receiving => "receiving",
        Phase::Writing => "writing",
    }
}

/// An output that can begin anew, because a fork may be tried again.
#[derive(Debug)]
struct Restartable {
    options: output::Options,
    sink: Option<output::Sink>,
    once: bool,
    failure: Option<CaptureError>,
}

impl Restartable {
    fn new(options: output::Options, stdout: Option<Box<dyn Write + Send>>) -> Result<Self> {
        let once = stdout.is_some();
        let sink = output::Sink::create(options.clone(), stdout)?;
        Ok(Self { options, sink: Some(sink), once, failure: None })
    }

    fn finish(self) -> Result<output::Written> {
        match self.sink {
            Some(sink) => sink.finish(),
            None => Err(CaptureError::new(Kind::Output, "cannot write the capture", "its output is gone")),
        }
    }
}

impl Write for Restartable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(sink) = &mut self.sink else { return Err(io::ErrorKind::BrokenPipe.into()) };
        // The sink's own words say more than an error number; they are kept for the end.
        sink.put(bytes).map_err(|error| {
            let number = io::Error::other(error.to_string());
            self.failure = Some(error);
            number
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fork::Sink for Restartable {
    fn restart(&mut self) -> io::Result<bool> {
        if self.once {
            return Ok(false);
        }
        self.sink = None;
        self.sink = Some(
            output::Sink::create(self.options.clone(), None).map_err(|e| io::Error::other(e.to_string()))?,
        );
        Ok(true)
    }
}
