//! What makes the target busy while it is captured: time, a command, or HTTP requests.

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use super::recording::Schedule;
use crate::{
    Result,
    load::{
        command::{During, Exit, Pass},
        http::{self, Load},
    },
};

/// What goes on during a capture, and decides how long a recording takes.
#[derive(Debug)]
pub struct Meanwhile {
    plan: Plan,
    begun: Option<Instant>,
    command: Option<During>,
    load: Option<Load>,
    exit: Option<Exit>,
}

#[derive(Debug)]
enum Plan {
    Time(Option<Duration>),
    Command(String),
    Load(Box<http::Options>),
}

impl Meanwhile {
    /// So long; or until it is stopped.
    pub fn time(duration: Option<Duration>) -> Self {
        Self::new(Plan::Time(duration))
    }

    /// While a shell command runs.
    pub fn command(command: impl Into<String>) -> Self {
        Self::new(Plan::Command(command.into()))
    }

    /// While these requests are made.
    pub fn load(options: http::Options) -> Self {
        Self::new(Plan::Load(Box::new(options)))
    }

    fn new(plan: Plan) -> Self {
        Self { plan, begun: None, command: None, load: None, exit: None }
    }

    /// Whether there is something to start.
    pub fn is_busy(&self) -> bool {
        !matches!(self.plan, Plan::Time(_))
    }

    /// The requests that are under way.
    pub fn requests(&self) -> Option<http::Progress> {
        self.load.as_ref().map(Load::progress)
    }

    /// Waits for the end of what was started, and says how it went; a load that is stopped reports what it has.
    pub fn finish(mut self, stop: &AtomicBool) -> (Option<Exit>, Option<http::Report>) {
        let exit = self.command.take().map(|mut command| {
            let exit = command.wait(None, stop);
            exit.unwrap_or_else(|| command.end())
        });
        (exit.or(self.exit), self.load.take().map(|load| load.wait(stop, |_| {})))
    }
}

impl Schedule for Meanwhile {
    fn started(&mut self) -> Result<()> {
        self.begun = Some(Instant::now());
        match &self.plan {
            Plan::Time(_) => {}
            // Its output is for people; what the capture prints may be for a program.
            Plan::Command(command) => {
                self.command = Some(During::start(command, Pass::Stderr, Pass::Inherit)?);
            }
            Plan::Load(options) => self.load = Some(Load::start(options, &AtomicBool::new(false))?),
        }
        Ok(())
    }

    fn over(&mut self) -> bool {
        let Some(begun) = self.begun else { return false };
        match &self.plan {
            Plan::Time(duration) => duration.is_some_and(|duration| begun.elapsed() >= duration),
            Plan::Command(_) => {
                self.exit = self.command.as_mut().and_then(During::exited);
                self.exit.is_some()
            }
            Plan::Load(_) => self.load.as_ref().is_none_or(Load::is_finished),
        }
    }
}
