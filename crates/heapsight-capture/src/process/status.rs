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
    /// Whether it was forked and has started no program since: a child on its way to its own program, which looks like its
    /// parent until then, or a copy that goes on as one.
    pub forked: bool,
}

impl Status {
    /// Reads the state of a process.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is none, [`Kind::Unsupported`] elsewhere than on Linux.
    pub fn read(pid: u32) -> Result<Self> {
        // The id could pass to another process between two reads: the start time before and after must be one.
        for _ in 0..4 {
            let before = stat(pid)?;
            let text = procfs::text(pid, "status")?;
            let after = stat(pid)?;
            // Nor may it start its program between them: its signals would be another's.
            if (after.start_time, after.forked) == (before.start_time, before.forked) {
                return parse(pid, &text, &after).ok_or_else(|| {
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
            .is_ok_and(|now| now.start_time == self.start_time && !matches!(now.state, 'Z' | 'X' | 'x'))
    }

    /// Whole seconds since it started, by the kernel's clock ticks of a hundred a second.
    pub fn age(&self) -> Option<u64> {
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
        Some((uptime as u64).saturating_sub(self.start_time / 100))
    }
}

/// When a process started, in clock ticks since the machine did.
///
/// # Errors
/// As [`Status::read`].
pub fn start_time(pid: u32) -> Result<u64> {
    stat(pid).map(|stat| stat.start_time)
}

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    forked: bool,
    start_time: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let text = procfs::text(pid, "stat")?;
    parse_stat(&text).ok_or_else(|| {
        CaptureError::new(
            Kind::Other,
            format!("cannot read /proc/{pid}/stat"),
            "it is not as Linux writes it",
        )
    })
}

/// The name is in brackets and may itself hold brackets and spaces.
fn parse_stat(text: &str) -> Option<Stat> {
    /// `PF_FORKNOEXEC` of Linux' `include/linux/sched.h`.
    const FORKED: u64 = 0x40;
    let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace();
    // State, flags and start time are fields 3, 9 and 22 of proc(5).
    let state = fields.next()?.chars().next()?;
    let flags: u64 = fields.nth(5)?.parse().ok()?;
    let start_time = fields.nth(12)?.parse().ok()?;
    Some(Stat { state, forked: flags & FORKED != 0, start_time })
}

fn bit(mask: u64, signal: u32) -> bool {
    signal > 0 && mask.checked_shr(signal - 1).is_some_and(|bits| bits & 1 == 1)
}

fn parse(pid: u32, text: &str, stat: &Stat) -> Option<Status> {
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
        start_time: stat.start_time,
        forked: stat.forked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "Name:\tnode-Main) Thread\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\nPid:\t4711\n\
        PPid:\t1\nTracerPid:\t0\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t100\t100\t100\nGroups:\t4 27 \nNSpid:\t4711\t12\t1\n\
        VmRSS:\t   51200 kB\nRssAnon:\t   20480 kB\nThreads:\t11\nSigBlk:\t0000000000000200\n\
        SigIgn:\t0000000000001000\nSigCgt:\t0000000100004602\nCapEff:\t0000000000000020\n";

    const STAT: Stat = Stat { state: 'S', forked: false, start_time: 99 };

    #[test]
    fn the_fields_of_status() {
        let status = parse(4711, NODE, &STAT).unwrap();
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
        let status = parse(4711, &text, &STAT).unwrap();
        assert_eq!(status.vm_rss, 0);
        assert!(status.is_zombie());
    }

    #[test]
    fn names_with_brackets_do_not_shift_the_fields_of_stat() {
        let rest = "S 1 4711 4711 0 -1 4194304 100 0 0 0 10 20 0 0 20 0 11 0 123456 1000000 500";
        for name in ["node", "a) R 1 (b", ") ) )"] {
            let stat = parse_stat(&format!("4711 ({name}) {rest}"));
            assert_eq!(stat, Some(Stat { state: 'S', forked: false, start_time: 123_456 }));
        }
        let forked = parse_stat("1 (a) R 1 1 1 0 -1 4194368 0 0 0 0 0 0 0 0 20 0 1 0 5");
        assert_eq!(forked, Some(Stat { state: 'R', forked: true, start_time: 5 }));
        assert_eq!(parse_stat("4711 (node"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_child_is_forked_until_it_starts_a_program() {
        use std::io::BufRead as _;
        // The part in brackets is a copy of the shell.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "( echo copy; read a; exec sh -c 'echo other; read b' ) ; :"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.id())).unwrap();
        let child = children.trim().parse().unwrap();
        assert!(Status::read(child).unwrap().forked && !Status::read(shell.id()).unwrap().forked);
        std::io::Write::write_all(&mut input, b"go\n").unwrap();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "copy\nother\n");
        assert!(!Status::read(child).unwrap().forked);
        drop(input);
        shell.wait().unwrap();
    }

    #[test]
    fn this_process_is_itself_and_no_other() {
        let status = Status::read(std::process::id()).unwrap();
        assert!(status.is_current() && status.vm_rss > 0 && status.tgid == status.pid);
        assert!(!Status { start_time: status.start_time + 1, ..status }.is_current());
        assert_eq!(Status::read(u32::MAX).unwrap_err().kind, Kind::NotFound);
    }
}
