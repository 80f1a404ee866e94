//! What the kernel says of a process in `/proc/PID/status` and `/proc/PID/stat`.

use super::procfs;
use crate::error::{CaptureError, Kind, Result};

/// The state of a process at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The process id, as this process sees it.
    pub pid: u32,
    /// The process that this is a thread of; equal to `pid` for a process.
    pub tgid: u32,
    /// Name of the main thread (at most 15 bytes). It says nothing reliable: Node 24 calls it `MainThread`.
    pub name: String,
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// The parent's process id; 0 if it is outside of this PID namespace.
    pub ppid: u32,
    /// `R` running, `S` sleeping, `D` waiting for a disk, `T` stopped, `t` traced, `Z` ended and not reaped.
    pub state: char,
    /// Number of threads.
    pub threads: u32,
    /// The process id in each PID namespace, from the reader's own to the process' own.
    pub ns_pids: Vec<u32>,
    /// Resident memory, in bytes.
    pub vm_rss: u64,
    /// Resident memory that is no file's and not shared, in bytes.
    pub rss_anon: u64,
    /// Signals with a handler, one bit each (signal 1 is bit 0).
    pub sig_caught: u64,
    /// Signals that the main thread blocks.
    pub sig_blocked: u64,
    /// Signals that are ignored.
    pub sig_ignored: u64,
    /// Effective capabilities, one bit each.
    pub capabilities: u64,
    /// When it started, in clock ticks since the machine did. With the process id it names a process for good.
    pub start_time: u64,
}

impl Status {
    /// Reads the state of a process.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is none, [`Kind::Unsupported`] elsewhere than on Linux.
    pub fn read(pid: u32) -> Result<Self> {
        // The id could pass to another process between two reads: the start time before and after must be one.
        for _ in 0..4 {
            let start_time = start_time(pid)?;
            let text = procfs::text(pid, "status")?;
            if self::start_time(pid)? == start_time {
                return parse(pid, &text, start_time).ok_or_else(|| {
                    CaptureError::new(
                        Kind::Other,
                        format!("cannot read /proc/{pid}/status"),
                        "it has not the fields that Linux 4.1 and later write",
                    )
                });
            }
        }
        Err(CaptureError::new(Kind::Gone, format!("process {pid} ended"), "another one has its id now"))
    }

    /// Whether the process has a handler for a signal.
    pub fn catches(&self, signal: u32) -> bool {
        bit(self.sig_caught, signal)
    }

    /// Whether the main thread blocks a signal: it stays pending and does nothing.
    pub fn blocks(&self, signal: u32) -> bool {
        bit(self.sig_blocked, signal)
    }

    /// Whether the process ignores a signal.
    pub fn ignores(&self, signal: u32) -> bool {
        bit(self.sig_ignored, signal)
    }

    /// Whether a capability is effective; see `linux/capability.h` for the numbers.
    pub fn has_capability(&self, number: u32) -> bool {
        self.capabilities.checked_shr(number).is_some_and(|bits| bits & 1 == 1)
    }

    /// Whether it has ended and waits for its parent to notice.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether it is stopped, by a signal or a debugger, and will answer nothing.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// Its process id in its own PID namespace: what it calls itself (`process.pid`).
    pub fn own_pid(&self) -> u32 {
        self.ns_pids.last().copied().unwrap_or(self.pid)
    }

    /// Whether the process that was read is still there and alive, and its id has not passed to another.
    pub fn is_current(&self) -> bool {
        stat(self.pid)
            .is_ok_and(|(state, start)| start == self.start_time && !matches!(state, 'Z' | 'X' | 'x'))
    }
}

/// When a process started, in clock ticks since the machine did.
///
/// # Errors
/// As [`Status::read`].
pub fn start_time(pid: u32) -> Result<u64> {
    stat(pid).map(|(_, start)| start)
}

fn stat(pid: u32) -> Result<(char, u64)> {
    let text = procfs::text(pid, "stat")?;
    parse_stat(&text).ok_or_else(|| {
        CaptureError::new(
            Kind::Other,
            format!("cannot read /proc/{pid}/stat"),
            "it is not as Linux writes it",
        )
    })
}

/// State and start time. The name is in brackets and may itself hold brackets and spaces.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3 and the start time field 22 of proc(5).
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn bit(mask: u64, signal: u32) -> bool {
    signal > 0 && mask.checked_shr(signal - 1).is_some_and(|bits| bits & 1 == 1)
}

fn parse(pid: u32, text: &str, start_time: u64) -> Option<Status> {
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let number = |name: &str| field(name)?.split_ascii_whitespace().next()?.parse::<u32>().ok();
    let numbers = |name: &str| -> Option<Vec<u32>> {
        field(name)?.split_ascii_whitespace().map(|n| n.parse().ok()).collect()
    };
    let mask = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    // Threads of the kernel and processes that have ended have no memory and so no such lines.
    let memory = |name: &str| {
        field(name).and_then(|v| v.strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    let uids = numbers("Uid")?;
    Some(Status {
        pid,
        tgid: number("Tgid")?,
        name: field("Name")?.to_owned(),
        uid: *uids.first()?,
        euid: *uids.get(1)?,
        gid: *numbers("Gid")?.first()?,
        groups: numbers("Groups").unwrap_or_default(),
        ppid: number("PPid")?,
        state: field("State")?.chars().next()?,
        threads: number("Threads")?,
        ns_pids: numbers("NSpid").unwrap_or_else(|| vec![pid]),
        vm_rss: memory("VmRSS"),
        rss_anon: memory("RssAnon"),
        sig_caught: mask("SigCgt")?,
        sig_blocked: mask("SigBlk")?,
        sig_ignored: mask("SigIgn")?,
        capabilities: mask("CapEff").unwrap_or(0),
        start_time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "Name:\tnode-Main) Thread\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\nPid:\t4711\n\
        PPid:\t1\nTracerPid:\t0\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t100\t100\t100\nGroups:\t4 27 \nNSpid:\t4711\t12\t1\n\
        VmRSS:\t   51200 kB\nRssAnon:\t   20480 kB\nThreads:\t11\nSigBlk:\t0000000000000200\n\
        SigIgn:\t0000000000001000\nSigCgt:\t0000000100004602\nCapEff:\t0000000000000020\n";

    #[test]
    fn the_fields_of_status() {
        let status = parse(4711, NODE, 99).unwrap();
        assert_eq!((status.uid, status.euid, status.gid, status.ppid), (1000, 1001, 100, 1));
        assert_eq!(status.groups, [4, 27]);
        assert_eq!((status.name.as_str(), status.state, status.threads), ("node-Main) Thread", 'S', 11));
        assert_eq!((status.vm_rss, status.rss_anon), (50 << 20, 20 << 20));
        assert_eq!((status.ns_pids.as_slice(), status.own_pid()), ([4711, 12, 1].as_slice(), 1));
        assert!(status.catches(10) && status.catches(2) && status.catches(33) && !status.catches(12));
        assert!(status.blocks(10) && status.ignores(13) && !status.ignores(10));
        assert!(status.has_capability(5) && !status.has_capability(21));
        assert!(!status.catches(0) && !status.catches(65) && !status.catches(u32::MAX));
    }

    #[test]
    fn a_process_that_has_ended_has_no_memory() {
        let text = NODE.replace("VmRSS", "X").replace("RssAnon", "X").replace("S (sleeping)", "Z (zombie)");
        let status = parse(4711, &text, 99).unwrap();
        assert_eq!(status.vm_rss, 0);
        assert!(status.is_zombie());
    }

    #[test]
    fn names_with_brackets_do_not_shift_the_fields_of_stat() {
        let rest = "S 1 4711 4711 0 -1 4194304 100 0 0 0 10 20 0 0 20 0 11 0 123456 1000000 500";
        for name in ["node", "a) R 1 (b", ") ) )"] {
            assert_eq!(parse_stat(&format!("4711 ({name}) {rest}")), Some(('S', 123_456)));
        }
        assert_eq!(parse_stat("4711 (node"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_itself_and_no_other() {
        let status = Status::read(std::process::id()).unwrap();
        assert!(status.is_current() && status.vm_rss > 0 && status.tgid == status.pid);
        assert!(!Status { start_time: status.start_time + 1, ..status }.is_current());
        assert_eq!(Status::read(u32::MAX).unwrap_err().kind, Kind::NotFound);
    }
}
