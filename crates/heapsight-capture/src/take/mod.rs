//! Whole captures: from a target to a verified file, its side file, and what it cost.
//!
//! [`Taker`] holds what several captures of one target share. Methods, output and inspector are put together here and
//! nowhere else; whoever wants a capture (the command line, a leak hunt, a page) asks here.

mod meanwhile;
mod recording;
mod signal;
mod snapshot;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub use self::{
    meanwhile::Meanwhile,
    recording::{SampleOptions, Sampler, Schedule, TimelineOptions},
    snapshot::{Choice, Plan, Planned, SnapshotOptions},
};
use crate::{
    CaptureError, Kind, Result,
    fork::Fork,
    inspector::{self, AttachOptions, Attachment, Closed, Identity, LiveStats, Session, Thread},
    output::{Metadata, Quota, Written},
    process::{self, Process},
    target::Target,
};

/// What happens while a capture is taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// What longer work goes on: "round 2 of 3". Captures do not say it; who takes several of them does.
    Step(String),
    /// What is done now, in a few words: "V8 builds the graph".
    Doing(&'static str),
    /// How far it is.
    Progress {
        /// Since the capture began.
        elapsed: Duration,
        /// Bytes of the capture so far.
        bytes: u64,
        /// What a recording has seen so far.
        live: Option<LiveStats>,
    },
    /// Something that the user should know: a fallback, a warning.
    Note(String),
}

/// Hears [`Event`]s, from several threads, and may call the capture off.
pub struct Monitor<'a> {
    /// Hears what happens.
    pub event: &'a (dyn Fn(Event) + Sync),
    /// Set to call it off: a recording ends in order, everything else is abandoned.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Monitor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Monitor<'_> {
    fn say(&self, event: Event) {
        (self.event)(event);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Where a capture goes.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// A file, a folder, or `-`; nothing is a default name in the current folder.
    pub path: Option<PathBuf>,
    /// Overwrite a file that exists.
    pub force: bool,
    /// Grants the room on the disk.
    pub quota: Option<Quota>,
}

/// A capture that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The file and what is in it.
    pub written: Written,
    /// How it was taken; also beside the file.
    pub metadata: Metadata,
    /// How long the captured thread stood still.
    pub pause: Option<Duration>,
    /// In all.
    pub elapsed: Duration,
}

/// How a target is approached.
#[derive(Clone, Debug)]
pub struct TakerOptions {
    /// Which page, where there are several.
    pub page: Option<String>,
    /// How long each answer may take.
    pub timeout: Duration,
    /// See [`AttachOptions::adopt`].
    pub adopt: bool,
    /// See [`AttachOptions::free_port`].
    pub free_port: bool,
}

impl Default for TakerOptions {
    fn default() -> Self {
        Self { page: None, timeout: Duration::from_secs(30), adopt: false, free_port: false }
    }
}

/// A target that captures are taken from. The inspector is opened when it is first needed and closed with this.
#[derive(Debug)]
pub struct Taker {
    target: Target,
    options: TakerOptions,
    process: Option<Process>,
    attached: Option<Attached>,
}

/// What the inspector is needed for.
#[derive(Debug)]
struct Attached {
    attachment: Attachment,
    fork: Option<Fork>,
    /// Conversations by thread. They are kept, because V8 forgets the ids of all objects of an isolate whenever somebody
    /// who talks to it hangs up.
    sessions: BTreeMap<u32, Session>,
    /// Tells this connection from others: as long as it holds, ids do.
    connection: u32,
}

impl Taker {
    /// Looks at a target without touching it.
    ///
    /// # Errors
    /// There is no such process, or it is no V8 program.
    pub fn new(target: Target, options: TakerOptions) -> Result<Self> {
        let process = match target {
            Target::Pid(pid) => Some(process::look(pid)?),
            Target::Address { .. } | Target::Url(_) => None,
        };
        Ok(Self { target, options, process, attached: None })
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The process, where it is one of this machine. For an address that is known once it was attached to.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Who answers; opens the inspector if need be.
    ///
    /// # Errors
    /// As [`inspector::attach`].
    pub fn identity(&mut self) -> Result<Identity> {
        Ok(self.attach()?.attachment.identity().clone())
    }

    /// Whether the inspector was opened by this, and will be closed; `None` before it was needed.
    pub fn opened(&self) -> Option<bool> {
        self.attached.as_ref().map(|attached| attached.attachment.opened())
    }

    /// The isolates of the target, the main thread first.
    ///
    /// # Errors
    /// As [`inspector::attach`].
    pub fn threads(&mut self) -> Result<Vec<Thread>> {
        let timeout = self.options.timeout;
        self.attach()?.attachment.session().threads(timeout)
    }

    /// A conversation with one isolate, which is the caller's; 0 is the main thread. [`Taker::give_back`] keeps it for the
    /// next.
    ///
    /// # Errors
    /// As [`inspector::attach`]; there is no such thread.
    pub fn session(&mut self, thread: u32) -> Result<Session> {
        let timeout = self.options.timeout;
        let attached = self.attach()?;
        if let Some(session) = attached.sessions.remove(&thread).filter(|session| !session.has_ended()) {
            return Ok(session);
        }
        if attached.attachment.identity().runtime == "deno" && thread > 0 {
            // See [`Attachment::thread`].
            attached.sessions.clear();
        }
        attached.attachment.thread(thread, timeout)
    }

    /// Looks at conversations in which nothing is asked, see [`Session::look`]. For those who stay attached, every second.
    ///
    /// # Errors
    /// [`Kind::Gone`]: one has ended.
    pub fn look(&mut self) -> Result<()> {
        let Some(attached) = &mut self.attached else { return Ok(()) };
        attached.attachment.session().look()?;
        attached.sessions.values_mut().try_for_each(Session::look)
    }

    /// Keeps a conversation for the next capture, so that objects keep their ids.
    pub fn give_back(&mut self, thread: u32, session: Session) {
        if let Some(attached) = &mut self.attached {
            attached.sessions.insert(thread, session);
        }
    }

    /// Ends the conversation, and closes the inspector if it was opened here.
    ///
    /// # Errors
    /// It is still open.
    pub fn close(mut self) -> Result<Closed> {
        let Some(Attached { attachment, sessions, .. }) = self.attached.take() else {
            return Ok(Closed::LeftOpen);
        };
        drop(sessions);
        attachment.close()
    }

    fn attach(&mut self) -> Result<&mut Attached> {
        if self.attached.is_none() {
            let options = AttachOptions {
                page: self.options.page.clone(),
                timeout: self.options.timeout,
                adopt: self.options.adopt,
                free_port: self.options.free_port,
                ..AttachOptions::default()
            };
            let attachment = inspector::attach(&self.target, &options)?;
            if self.process.is_none() {
                self.process = local_process(&self.target, attachment.identity().pid);
            }
            let connection = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |now| (now.as_millis() as u32) | 1);
            self.attached = Some(Attached { attachment, fork: None, sessions: BTreeMap::new(), connection });
        }
        self.attached
            .as_mut()
            .ok_or_else(|| CaptureError::new(Kind::Other, format!("cannot attach to {}", self.target), ""))
    }
}

/// The process behind an inspector that was named by its address, if it is one of this machine: the one with that id that
/// listens there.
fn local_process(target: &Target, pid: u32) -> Option<Process> {
    let authority = match target {
        Target::Pid(_) => return None,
        Target::Address { host, port } => (host.clone(), *port),
        Target::Url(url) => match Target::parse(url.strip_prefix("ws://")?).ok()? {
            Target::Address { host, port } => (host, port),
            _ => return None,
        },
    };
    let loopback = authority.0 == "localhost"
        || authority.0.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let listens = || process::sockets::listening(pid).unwrap_or_default();
    let here = pid > 0
        && loopback
        && process::namespaces::same_network(pid)
        && listens().iter().any(|socket| socket.port() == authority.1);
    here.then(|| process::look(pid).ok()).flatten()
}
