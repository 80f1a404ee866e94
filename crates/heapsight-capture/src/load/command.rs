//! A shell command that runs while a capture is taken: `--during 'ab -n 1000 http://...'`.

use std::{
    process::Command,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use crate::{Result, subprocess::Group};

pub use crate::subprocess::{Exit, Pass};

/// How long the command may take to end in order after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// A running command. Dropping it ends it, with everything that it started.
#[derive(Debug)]
pub struct During(Group);

impl During {
    /// Gives a command to `sh -c`, in a process group of its own and with nothing on standard input.
    ///
    /// # Errors
    /// There is no shell, or no process can be started. A command that cannot be found is the shell's exit code 127.
    pub fn start(command: &str, stdout: Pass, stderr: Pass) -> Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command);
        Group::start(shell, stdout, stderr, None, GRACE).map(Self)
    }

    /// The process id of the shell, which is also that of the group.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// How the command ended, if it has.
    pub fn exited(&mut self) -> Option<Exit> {
        self.0.exited()
    }

    /// Waits for its end; nothing if the deadline passes or `stop` is set before.
    pub fn wait(&mut self, deadline: Option<Instant>, stop: &AtomicBool) -> Option<Exit> {
        self.0.wait(deadline, stop)
    }

    /// Ends the command and what it started: SIGTERM, after two seconds SIGKILL. Output that is still under way passes
    /// through first. If the command has already ended, this says how.
    pub fn end(mut self) -> Exit {
        self.0.end()
    }
}
