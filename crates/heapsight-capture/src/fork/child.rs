//! The child as it looks from outside: found, proved to be the target's, opened, and killed if need be.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal};

use super::target::{Stat, Target, own_number};

/// A child of the target. Killed when this is dropped; a child that has ended is not harmed by that.
#[derive(Debug)]
pub(super) struct Child {
    /// Its number here.
    pub(super) pid: u32,
    started: u64,
    /// So that no other process by the same number is ever hit; kernels before 5.3 have none.
    handle: Option<OwnedFd>,
}

/// The ends of the child's pipes that are ours.
#[derive(Debug)]
pub(super) struct Pipes {
    /// The snapshot.
    pub(super) data: File,
    /// Last words and report.
    pub(super) status: File,
}

impl Child {
    /// Finds the child by its number in the target's namespace.
    pub(super) fn find(target: &Target, number: u32) -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the child is not among the processes here");
        let is_child = |pid: u32| Stat::of(pid).is_ok_and(|stat| stat.parent == target.pid);
        let pid = if target.pid == target.own {
            number
        } else {
            let numbers =
                fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            let mut candidates = numbers.filter(|&pid: &u32| is_child(pid));
            candidates.find(|&pid| own_number(pid) == Some(number)).ok_or_else(missing)?
        };
        let handle = Pid::from_raw(pid as i32)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // Looked at after the handle was taken: what is true of the number now is true of the handle.
        let stat = Stat::of(pid)?;
        if stat.parent != target.pid || stat.started < target.started {
            return Err(missing());
        }
        Ok(Self { pid, started: stat.started, handle })
    }

    /// Opens our ends and tells the child to go on.
    pub(super) fn open(&self, data: i32, status: i32, go: i32) -> io::Result<Pipes> {
        let path = |fd: i32| format!("/proc/{}/fd/{fd}", self.pid);
        let read = |fd: i32| {
            let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
            OpenOptions::new().read(true).custom_flags(flags).open(path(fd))
        };
        let (data, status) = (read(data)?, read(status)?);
        OpenOptions::new().write(true).open(path(go))?.write_all(&[1])?;
        Ok(Pipes { data, status })
    }

    /// Its state, while it is there.
    pub(super) fn stat(&self) -> Option<Stat> {
        Stat::of(self.pid).ok().filter(|stat| stat.started == self.started)
    }

    /// Whether it can still write.
    pub(super) fn lives(&self) -> bool {
        self.stat().is_some_and(|stat| !matches!(stat.state, b'Z' | b'X'))
    }

    /// Kills it.
    pub(super) fn kill(&self) {
        // Errors mean that it is gone.
        if let Some(handle) = &self.handle {
            let _ = rustix::process::pidfd_send_signal(handle, Signal::KILL);
        } else if self.lives()
            && let Some(pid) = Pid::from_raw(self.pid as i32)
        {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Waits until the target has waited for it, so that no zombie is seen after a capture.
    pub(super) fn wait(&self, at_most: Duration) {
        let begun = Instant::now();
        while self.stat().is_some() && begun.elapsed() < at_most {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
