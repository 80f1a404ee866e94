//! Namespaces of processes: whether they see the network and the process ids that we see, and how to reach a port that
//! only they see.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::procfs;
use crate::error::{CaptureError, Kind, Result};

/// Whether the process has our network: then its loopback is ours. False also where that cannot be known (a process of
/// another user).
pub fn same_network(pid: u32) -> bool {
    same(pid, "ns/net")
}

/// Whether the process has our PID namespace: then its `process.pid` is its id here. False also where that cannot be
/// known.
pub fn same_pid(pid: u32) -> bool {
    same(pid, "ns/pid")
}

/// Whether the process has our mount namespace: then its paths are ours. False also where that cannot be known; the
/// paths then begin at `/proc/PID/root`.
pub fn same_mount(pid: u32) -> bool {
    same(pid, "ns/mnt")
}

pub(super) fn same(pid: u32, file: &str) -> bool {
    let Ok(theirs) = procfs::link(pid, file) else { return false };
    procfs::link(std::process::id(), file).is_ok_and(|ours| ours == theirs)
}

/// Connects to an address as the process would: in its network namespace.
///
/// Where that is another than ours, a thread of its own enters it, connects, and ends; the stream stays in that
/// namespace and nothing else of this process ever is in it.
///
/// # Errors
/// [`Kind::Permission`] where the namespace may not be entered (that needs root, or `CAP_SYS_ADMIN`), else what the
/// system says of the connection.
pub fn connect(pid: u32, addr: SocketAddr, timeout: Duration) -> Result<TcpStream> {
    let what = || format!("cannot connect to {addr} of process {pid}");
    if same_network(pid) {
        return TcpStream::connect_timeout(&addr, timeout).map_err(|e| CaptureError::io(what(), &e));
    }
    connect_inside(pid, addr, timeout).map_err(|(at, error)| {
        let failure = CaptureError::io(what(), &error);
        match at {
            Step::Enter if failure.kind == Kind::Permission => CaptureError::new(
                Kind::Permission,
                what(),
                format!("it is in a network namespace of its own, which may not be entered: {error}"),
            )
            .hint(format!(
                "run heapsight as root; for a rootless container `nsenter --user --net --target {pid} heapsight ...`"
            )),
            Step::Enter if error.kind() == io::ErrorKind::NotFound => procfs::failure(pid, "ns/net", &error),
            Step::Enter | Step::Connect => failure,
        }
    })
}

/// What was being done when it failed.
#[derive(Clone, Copy)]
enum Step {
    Enter,
    Connect,
}

#[cfg(target_os = "linux")]
fn connect_inside(
    pid: u32,
    addr: SocketAddr,
    timeout: Duration,
) -> std::result::Result<TcpStream, (Step, io::Error)> {
    use std::{fs::File, os::fd::AsFd, thread};

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    let enter = |e: io::Error| (Step::Enter, e);
    let namespace = File::open(procfs::path(pid, "ns/net")).map_err(enter)?;
    let work = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|e| (Step::Enter, e.into()))?;
        TcpStream::connect_timeout(&addr, timeout).map_err(|e| (Step::Connect, e))
    };
    let thread = thread::Builder::new().name("namespace".to_owned()).spawn(work).map_err(enter)?;
    thread.join().unwrap_or_else(|_| Err(enter(io::Error::other("the thread for it ended"))))
}

#[cfg(not(target_os = "linux"))]
fn connect_inside(_: u32, _: SocketAddr, _: Duration) -> std::result::Result<TcpStream, (Step, io::Error)> {
    Err((Step::Enter, io::ErrorKind::Unsupported.into()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_has_its_own_namespaces() {
        let me = std::process::id();
        assert!(same_network(me) && same_pid(me) && same_mount(me));
        assert!(!same_network(u32::MAX) && !same_pid(u32::MAX));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = connect(me, listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = connect(u32::MAX, "127.0.0.1:9".parse().unwrap(), Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
    }
}
