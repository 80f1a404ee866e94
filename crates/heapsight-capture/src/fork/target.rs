//! The process that is to be forked, and how it can be given the addon.
//!
//! Source: proc(5), memfd_create(2), namespaces(7).

use std::{
    fs,
    io::{self, BufRead, BufReader, Write as _},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::Path,
};

use rustix::fs::{MemfdFlags, SealFlags};

use super::ADDON;
use crate::{CaptureError, Kind, Result};

/// What one line of `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// The letter of its state: `R` running, `S` waiting, `Z` a zombie ...
    pub(super) state: u8,
    /// Its parent.
    pub(super) parent: u32,
    /// Clock ticks of processor time.
    pub(super) ticks: u64,
    /// Clock ticks after the system's start when it was started; with the number this is its identity.
    pub(super) started: u64,
}

impl Stat {
    /// Of a process by its number.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected /proc/PID/stat"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The command stands in parentheses and may hold anything, so fields are counted from the last one.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let mut fields = fields.skip(9);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let started = fields.nth(6)?.parse().ok()?;
        Some(Self { state, parent, ticks: user + system, started })
    }
}

/// The last number of a process's `NSpid`: what it calls itself.
pub(super) fn own_number(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

/// The process that is to be forked.
#[derive(Debug)]
pub(super) struct Target {
    /// Its number here.
    pub(super) pid: u32,
    /// Its number in its own namespace.
    pub(super) own: u32,
    /// When it was started.
    pub(super) started: u64,
    /// Whether it sees our `/proc/PID` under the same number.
    shares_numbers: bool,
    /// Whether its user is ours.
    same_user: bool,
}

impl Target {
    /// Looks a process up and says no where the method cannot work.
    pub(super) fn find(pid: u32) -> Result<Self> {
        let what = || format!("cannot fork process {pid}");
        if ADDON.is_empty() {
            return Err(CaptureError::new(
                Kind::Unsupported,
                what(),
                "the method exists on Linux, x86-64 and aarch64",
            )
            .hint("use `--method inspector`"));
        }
        let stat = Stat::of(pid).map_err(|error| CaptureError::io(what(), &error))?;
        let own = own_number(pid).unwrap_or(pid);
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid"));
        let theirs = namespace(&pid.to_string()).map_err(|error| {
            let error = CaptureError::io(what(), &error);
            if error.kind == Kind::Permission {
                return error.hint("run heapsight as the user of the process, or as root");
            }
            error
        })?;
        check_architecture(pid)?;
        let shares_numbers = namespace("self").is_ok_and(|ours| ours == theirs);
        let user = |pid: &str| fs::metadata(format!("/proc/{pid}")).map(|metadata| metadata.uid());
        let same_user = match (user("self"), user(&pid.to_string())) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            _ => false,
        };
        Ok(Self { pid, own, started: stat.started, shares_numbers, same_user })
    }

    /// Whether it still runs and is no other by the same number.
    pub(super) fn lives(&self) -> bool {
        Stat::of(self.pid)
            .is_ok_and(|stat| stat.started == self.started && !matches!(stat.state, b'Z' | b'X'))
    }

    /// The mappings that a child would not inherit, as the addon takes them: by turns the pages in between and its pages.
    /// Nothing if they cannot be read; the addon finds out for itself then.
    ///
    /// This is read here because it takes the kernel as long as a fork, and the target need not be stopped for it.
    pub(super) fn marked(&self) -> Vec<u64> {
        let file = fs::File::open(format!("/proc/{}/smaps", self.pid));
        file.and_then(|file| marked(BufReader::new(file))).unwrap_or_default()
    }

    /// The addon as a file that exists nowhere but in our own descriptors, and its path for the target; nothing where the
    /// target could not open it.
    pub(super) fn lend(&self) -> Option<Lent> {
        if !(self.shares_numbers && self.same_user) {
            return None;
        }
        Lent::new().ok()
    }
}

/// The addon in memory; the path is good while this lives.
#[derive(Debug)]
pub(super) struct Lent {
    /// The path for a target that sees our process.
    pub(super) path: String,
    _file: fs::File,
}

impl Lent {
    fn new() -> io::Result<Self> {
        let name = "heapsight-fork";
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Newer kernels may be set to refuse one without the seal, older ones do not know it.
        let file = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create(name, flags))?;
        let mut file = fs::File::from(file);
        file.write_all(ADDON)?;
        // The seal is a courtesy to the target: what it maps does not change.
        let _ = rustix::fs::fcntl_add_seals(
            &file,
            SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
        );
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok(Self { path, _file: file })
    }
}

fn marked(smaps: impl BufRead) -> io::Result<Vec<u64>> {
    const PAGE: u64 = 4096;
    let mut pages = Vec::new();
    let mut end_before = 0;
    let mut mapping = None;
    for line in smaps.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let marked = flags.split(' ').any(|flag| flag == "dc");
            if let (true, Some((start, end))) = (marked, mapping.take()) {
                pages.extend([(start - end_before) / PAGE, (end - start) / PAGE]);
                end_before = end;
            }
        } else if let Some((start, end)) = private_mapping(&line)
            && start >= end_before
            && start < end
        {
            mapping = Some((start, end));
        }
    }
    Ok(pages)
}

/// The addresses of a mapping that has no file and is not shared, from its first line.
fn private_mapping(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split(' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let private = fields.next()?.ends_with('p');
    let anonymous = fields.nth(2)? == "0";
    (private && anonymous).then_some((start, end))
}

/// Refuses programs of another architecture than the addon's: an emulated or a 32-bit one.
fn check_architecture(pid: u32) -> Result<()> {
    let machine = |path: &Path| -> Option<[u8; 3]> {
        use io::Read as _;
        let mut header = [0; 20];
        fs::File::open(path).ok()?.read_exact(&mut header).ok()?;
        (header.starts_with(b"\x7fELF")).then_some([header[4], header[18], header[19]])
    };
    let addon = [ADDON[4], ADDON[18], ADDON[19]];
    match machine(Path::new(&format!("/proc/{pid}/exe"))) {
        Some(theirs) if theirs != addon => Err(CaptureError::new(
            Kind::Unsupported,
            format!("cannot fork process {pid}"),
            "its program is for another architecture than heapsight",
        )
        .hint("use `--method inspector`, or the heapsight of that architecture")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_command_is_called() {
        let text = "71 (a) b) R (x) S 42 71 71 0 -1 4194560 1 2 3 4 50 7 0 0 20 0 11 0 123456 99 1 2 3";
        let stat = Stat::parse(text);
        assert_eq!(stat, Some(Stat { state: b'S', parent: 42, ticks: 57, started: 123_456 }));
        for broken in ["", "71 (a", "71 (a) ", "71 (a) S x", "71 (a) S 1 2 3"] {
            assert_eq!(Stat::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn marked_mappings_are_counted_in_pages() {
        let text = "\
00002000-00004000 rw-p 00000000 00:00 0 \nRss: 8 kB\nVmFlags: rd wr dc nr\n\
00004000-00005000 rw-p 00000000 00:00 0\nVmFlags: rd wr\n\
00005000-00006000 rw-s 00000000 00:00 0\nVmFlags: dc\n\
00006000-00007000 rw-p 00000000 08:01 77 /lib/dc\nVmFlags: dc\n\
0000a000-00014000 ---p 00000000 00:00 0 [anon:v8]\nVmFlags: mr dc\n\
nonsense\n00014000-00013000 rw-p 0 0:0 0\nVmFlags: dc\n";
        assert_eq!(marked(text.as_bytes()).unwrap(), [2, 2, 6, 10]);
    }

    #[test]
    fn this_process_lives_and_has_a_number() {
        let pid = std::process::id();
        assert!(Stat::of(pid).is_ok());
        assert!(own_number(pid).is_some());
    }
}
