//! What a process is: the runtime in its executable or in a library that it has mapped, which of Chromium's processes it
//! is, how large its V8 heaps are and how many workers it has. All from outside.

use std::fs::File;

use super::{
    arguments::Arguments,
    executable::{Build, Cache, Kind},
    procfs, sockets,
};
use crate::error::Result;

/// A runtime in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Which.
    pub kind: Kind,
    /// Its version: `20.20.2`; `None` where the executable does not tell.
    pub version: Option<String>,
    /// The version of its V8: `11.3.244.8-node.38`, where the executable tells.
    pub v8_version: Option<String>,
    /// A program of its own with Node.js inside.
    pub single_executable: bool,
    /// Of Chromium and Electron: `browser`, `renderer`, `gpu-process`, `utility`, `zygote`.
    pub role: Option<String>,
    /// The executable or library that it was found in, as the process names it.
    pub path: String,
    /// Whether that file has been deleted or replaced since (an upgrade while it runs).
    pub deleted: bool,
    /// `e_machine` of the file: 62 is x86-64, 183 is aarch64.
    pub machine: u16,
}

impl Runtime {
    /// The first number of the version.
    pub fn major(&self) -> Option<u32> {
        self.version.as_deref()?.split('.').next()?.parse().ok()
    }

    /// What a person calls it: `Node.js`, `Chromium renderer`.
    pub fn label(&self) -> String {
        match &self.role {
            Some(role) => format!("{} {role}", self.kind.name()),
            None => self.kind.name().to_owned(),
        }
    }
}

/// The runtime of a process; `None` for what has none.
///
/// # Errors
/// [`Kind::Permission`](crate::Kind::Permission) for a process of another user, [`Kind::NotFound`](crate::Kind::NotFound)
/// where there is no such process or it has ended.
pub fn runtime(pid: u32) -> Result<Option<Runtime>> {
    find(pid, &super::command(pid)?, &mut Cache::default())
}

pub(crate) fn find(pid: u32, command: &[String], cache: &mut Cache) -> Result<Option<Runtime>> {
    procfs::supported()?;
    let path = procfs::link(pid, "exe")?;
    let failure = |e: &std::io::Error| procfs::failure(pid, "exe", e);
    // The link opens the very file that runs, whatever has its name now and whatever namespace it is in.
    let file = File::open(procfs::path(pid, "exe")).map_err(|e| failure(&e))?;
    let build = cache.build(&file).map_err(|e| failure(&e))?;
    if build.kind.is_some() {
        return Ok(from_build(build, &path.to_string_lossy(), command));
    }
    // A small program may have its runtime in a library.
    let maps = procfs::text(pid, "maps")?;
    for library in libraries(&maps) {
        let Some(file) = open_mapped(pid, library) else { continue };
        let Ok(build) = cache.build(&file) else { continue };
        if build.kind.is_some() {
            return Ok(from_build(build, library.path, command));
        }
    }
    Ok(None)
}

fn from_build(build: Build, path: &str, command: &[String]) -> Option<Runtime> {
    let kind = build.kind?;
    let role = matches!(kind, Kind::Chromium | Kind::Electron).then(|| {
        Arguments::of_chromium(command).value("--type").map_or_else(|| "browser".to_owned(), str::to_owned)
    });
    let name = path.strip_suffix(" (deleted)");
    Some(Runtime {
        kind,
        version: build.version,
        v8_version: build.v8_version,
        single_executable: build.single_executable,
        role,
        path: name.unwrap_or(path).to_owned(),
        deleted: name.is_some(),
        machine: build.machine,
    })
}

/// A mapped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapped<'a> {
    range: &'a str,
    inode: u64,
    path: &'a str,
}

/// The mapped libraries whose names promise V8, each once.
fn libraries(maps: &str) -> Vec<Mapped<'_>> {
    let mut found: Vec<Mapped<'_>> = Vec::new();
    for line in maps.lines() {
        let Some(mapped) = mapped(line) else { continue };
        let path = mapped.path.strip_suffix(" (deleted)").unwrap_or(mapped.path);
        let name = path.rsplit('/').next().unwrap_or_default();
        let promises = name.contains(".so") || name.strip_suffix(".node").is_some();
        let promises = promises
            && ["libnode", "libv8", "libcef", "mini_racer", "libelectron"]
                .iter()
                .any(|part| name.contains(part));
        if promises && found.iter().all(|f| f.path != mapped.path) {
            found.push(mapped);
        }
    }
    found
}

/// The file in a line of `/proc/PID/maps`.
fn mapped(line: &str) -> Option<Mapped<'_>> {
    let at = line.find(" /")?;
    let mut fields = line[..at].split_ascii_whitespace();
    let range = fields.next()?;
    let inode = fields.nth(3)?.parse().ok()?;
    Some(Mapped { range, inode, path: &line[at + 1..] })
}

/// Opens a mapped file: the very one by `map_files` (root only), else what has its path if it is the same inode.
fn open_mapped(pid: u32, mapped: Mapped<'_>) -> Option<File> {
    if let Ok(file) = File::open(procfs::path(pid, &format!("map_files/{}", mapped.range))) {
        return Some(file);
    }
    let file = procfs::open_inside(pid, mapped.path).ok()?;
    same_inode(&file, mapped.inode).then_some(file)
}

#[cfg(unix)]
fn same_inode(file: &File, inode: u64) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().is_ok_and(|meta| meta.ino() == inode)
}

#[cfg(not(unix))]
fn same_inode(_: &File, _: u64) -> bool {
    false
}

/// Resident bytes of a process' V8 heaps, all isolates together; an upper estimate of the objects, since it has free
/// space of pages and garbage in it.
///
/// From Node.js 18 on V8 excludes its heap from forks (`VmFlags: dc` in `smaps`), and nothing else in these processes
/// is. Node.js 16 does not, and pages that V8 makes while the process is forked for a snapshot lose the mark; all are
/// anonymous mappings at random addresses, begun at a multiple of 256 KiB.
/// `None` for runtimes that do neither (Chromium, Bun) and where `smaps` may not be read.
pub fn heap_bytes(pid: u32, runtime: &Runtime) -> Option<u64> {
    if !matches!(runtime.kind, Kind::Node | Kind::Deno | Kind::Electron | Kind::Embedder) {
        return None;
    }
    let text = procfs::text(pid, "smaps").ok()?;
    let bytes = heap_of(&text, runtime.kind == Kind::Node);
    (bytes > 0).then_some(bytes)
}

/// The size of V8's pages, to which they are aligned.
const PAGE: u64 = 256 << 10;

/// glibc's arenas and mappings without a wish begin here and above; V8 asks for random places below.
const MMAP_AREA: u64 = 0x7e00_0000_0000;

/// The sum over the mappings of a text in the form of `/proc/PID/smaps` that are V8's.
fn heap_of(smaps: &str, by_alignment: bool) -> u64 {
    let mut total = 0;
    let mut rss = 0;
    let mut likely = false;
    for line in smaps.lines() {
        if let Some(value) = line.strip_prefix("Rss:") {
            rss = value.trim().strip_suffix("kB").and_then(|v| v.trim().parse::<u64>().ok()).unwrap_or(0)
                * 1024;
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let excluded = flags.split_ascii_whitespace().any(|flag| flag == "dc");
            if excluded || (by_alignment && likely) {
                total += rss;
            }
        } else if let Some((start, rest)) = line.split_once('-')
            && let Ok(start) = u64::from_str_radix(start, 16)
        {
            // An anonymous mapping has five fields, the last of which is inode 0.
            let anonymous = rest.trim_end().ends_with(" 0") && rest.split_ascii_whitespace().count() == 5;
            likely = anonymous && may_be_page(start);
            rss = 0;
        }
    }
    total
}

/// Whether a mapping begins where V8's pages do. In a process of Node.js none but them does.
pub(super) fn may_be_page(start: u64) -> bool {
    start.is_multiple_of(PAGE) && start < MMAP_AREA
}

/// How many isolates besides the main one a process has, as far as threads and descriptors tell: Node's and Deno's
/// workers, a page's dedicated, shared and service workers. `None` where that cannot be told.
///
/// A worker of Node has an event loop (`eventpoll`) of its own and a stack of 4 MiB. A process has three loops before
/// the first worker, and one more while its inspector is open.
pub fn workers(pid: u32, runtime: &Runtime, inspector_open: bool) -> Option<u32> {
    match runtime.kind {
        Kind::Node => {
            let loops =
                (sockets::event_loops(pid)?.len() as u32).saturating_sub(3 + u32::from(inspector_open));
            Some(loops.min(small_stacks(&procfs::text(pid, "maps").ok()?)))
        }
        Kind::Deno => Some(named(pid, |name| {
            name.strip_prefix("worker-").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })),
        Kind::Chromium | Kind::Electron => Some(named(pid, |name| {
            ["DedicatedWorker", "SharedWorker", "ServiceWorker"].iter().any(|known| name.starts_with(known))
        })),
        Kind::Bun | Kind::Embedder => None,
    }
}

/// Stacks of 4 MiB above a guard: writable anonymous mappings of that size after one that allows nothing.
fn small_stacks(maps: &str) -> u32 {
    const STACK: u64 = 4 << 20;
    let mut guard_end = None;
    let mut count = 0;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else {
            continue;
        };
        let anonymous = fields.nth(2) == Some("0");
        // The guard may be taken off the stack's own size.
        let stack = end.saturating_sub(start) <= STACK && end.saturating_sub(start) >= STACK - (64 << 10);
        count += u32::from(rights == "rw-p" && anonymous && stack && guard_end == Some(start));
        guard_end = (rights == "---p").then_some(end);
    }
    count
}

fn named(pid: u32, wanted: impl Fn(&str) -> bool) -> u32 {
    let Ok(list) = std::fs::read_dir(procfs::path(pid, "task")) else { return 0 };
    let names = list.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok());
    names.filter(|name| wanted(name.trim_end())).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00401000 r--p 00000000 fe:00 99                                 /usr/bin/node
Rss:                 400 kB
VmFlags: rd mr mw me
16d8e40000-16d9038000 rw-p 00000000 00:00 0
Size:               2016 kB
Rss:                2016 kB
VmFlags: rd wr mr mw me dc ac sd
16e0000000-16e0040000 rw-p 00000000 00:00 0
Rss:                  84 kB
VmFlags: rd wr mr mw me ac sd
16e0041000-16e0081000 rw-p 00000000 00:00 0
Rss:                   8 kB
VmFlags: rd wr mr mw me dc
7f0000040000-7f0000080000 rw-p 00000000 00:00 0
Rss:                1000 kB
VmFlags: rd wr mr mw me ac sd
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
Rss:                 100 kB
VmFlags: rd wr mr mw me gd ac
";

    #[test]
    fn the_heap_is_what_forks_leave_out() {
        assert_eq!(heap_of(SMAPS, false), 2024 * 1024);
        assert_eq!(heap_of(SMAPS, true), 2108 * 1024);
        assert_eq!(heap_of("", false), 0);
        assert_eq!(heap_of("Rss: x\nVmFlags: dc\nRss: 18446744073709551615 GB", false), 0);
    }

    #[test]
    fn stacks_of_workers() {
        let maps = "\
7f0000000000-7f0000001000 ---p 00000000 00:00 0
7f0000001000-7f0000401000 rw-p 00000000 00:00 0
7f0000401000-7f0000402000 ---p 00000000 00:00 0
7f0000402000-7f0000c02000 rw-p 00000000 00:00 0
7f0001000000-7f0001400000 rw-p 00000000 00:00 0
7f0002000000-7f0002001000 ---p 00000000 00:00 0
7f0002001000-7f0002400000 rw-p 00000000 00:00 0
rubbish
";
        assert_eq!(small_stacks(maps), 2);
    }

    #[test]
    fn libraries_with_a_runtime() {
        let maps = "\
7f00-7f10 r--p 00000000 fe:00 12 /usr/lib/libc.so.6
7f10-7f20 r--p 00000000 fe:00 77                         /usr/lib/x86_64-linux-gnu/libnode.so.115
7f20-7f30 r-xp 00001000 fe:00 77                         /usr/lib/x86_64-linux-gnu/libnode.so.115
7f30-7f40 r-xp 00001000 fe:00 78                         /opt/a b/libnode.so.115 (deleted)
7f40-7f50 rw-p 00000000 00:00 0
7f50-7f60 r-xp 00001000 fe:00 79                         /opt/libnode/readme
7f60-7f70 rw-p 00000000 00:00 0                          [heap]
";
        let found = libraries(maps);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            Mapped { range: "7f10-7f20", inode: 77, path: "/usr/lib/x86_64-linux-gnu/libnode.so.115" }
        );
        assert_eq!(found[1].path, "/opt/a b/libnode.so.115 (deleted)");
    }

    #[test]
    fn this_process_has_no_runtime() {
        assert_eq!(runtime(std::process::id()).unwrap(), None);
    }
}
