//! What a capture would cost, said before it is made; and a guard that ends it before memory runs out.
//!
//! Costs are per node of the heap graph (an object, string, number, code or hidden object). Measured on Node.js 20 and 24
//! with a heap of 162 MB: V8's snapshot takes 550 bytes of memory and 6 us of a stopped process a node, and 72 bytes in
//! the file. A fork snapshot takes the same memory, but in a child that is charged to the same control group and gone
//! afterwards; the process itself stops for the fork, 0.22 us a resident page (measured: 3 ms at 60 MB, 9 ms at 200 MB,
//! 52 ms at 800 MB, 110 ms at 2 GB).
//!
//! How many nodes there are is known only to V8. From outside, the resident bytes of its heaps are divided by the bytes
//! of a node: 70 to 97 in freshly started programs, 40 in a heap of small objects, which is the worst that is usual.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    path::Path,
    time::Duration,
};

use crate::{
    error::Result,
    process::{
        Process,
        cgroup::{self, Memory},
        methods::Method,
    },
};

/// Bytes of heap for each node, where nothing more is known.
pub const HEAP_BYTES_PER_NODE: u64 = 70;
/// The same in heaps of small objects.
pub const HEAP_BYTES_PER_SMALL_NODE: u64 = 40;
/// Extra memory at the peak of a snapshot, a node.
pub const MEMORY_PER_NODE: u64 = 550;
/// Bytes of the file, a node.
pub const FILE_PER_NODE: u64 = 72;
/// How much smaller a compressed file is at least: zstd makes a sixth to a ninth of snapshots, gzip a fifth to a seventh.
const COMPRESSION: u64 = 4;
/// How long V8 stops its process, a node, in nanoseconds.
pub const PAUSE_PER_NODE_NS: u64 = 6000;
/// How long V8 takes to give ids that stay (`--stable-ids`), a node, in nanoseconds.
pub const STABLE_IDS_PER_NODE_NS: u64 = 600;
/// How long a fork stops its process, a resident page of 4 KiB, in nanoseconds.
pub const FORK_PER_PAGE_NS: u64 = 220;
/// What a fork takes however small the process is.
const FORK_BASE: Duration = Duration::from_millis(3);
/// A pause that users notice.
const NOTICED: Duration = Duration::from_secs(1);
/// A pause that health checks notice: Kubernetes restarts after 3 failures, 10 s apart.
const UNHEALTHY: Duration = Duration::from_secs(10);
/// What a capture should leave of memory at least, if it had so much to begin with.
const LEAVE: u64 = 64 << 20;

/// How many nodes a heap has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// Most likely.
    pub likely: u64,
    /// At most, in any usual heap.
    pub most: u64,
}

impl Nodes {
    /// A number that was counted.
    pub fn exactly(count: u64) -> Self {
        Self { likely: count, most: count }
    }

    /// An estimate from the resident bytes of the heap.
    pub fn of_heap(bytes: u64) -> Self {
        Self { likely: bytes / HEAP_BYTES_PER_NODE, most: bytes / HEAP_BYTES_PER_SMALL_NODE }
    }
}

/// What a prediction is made from. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// How many nodes the heap has.
    pub nodes: Nodes,
    /// Resident memory of the process.
    pub rss: u64,
    /// Of that what it does not share with files; what it rewrites after a fork is copied.
    pub rss_anon: u64,
    /// Room up to the tightest limit of its control groups; `None` without a limit.
    pub headroom: Option<u64>,
    /// That limit.
    pub limit: Option<u64>,
    /// Whether reaching it kills the process together with a child (`memory.oom.group`).
    pub kills_together: bool,
    /// Memory that the machine has left.
    pub mem_available: Option<u64>,
    /// Free space where the file goes; `None` where it goes to no disk.
    pub disk_free: Option<u64>,
    /// Whether the file is compressed.
    pub compressed: bool,
    /// Whether objects are to keep their ids from one snapshot to the next.
    pub stable_ids: bool,
}

impl Conditions {
    /// Gathers them for a process. `nodes` is its number of nodes if it was counted; `output` is the file to be.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) where the process has ended.
    pub fn gather(
        process: &Process,
        nodes: Option<u64>,
        output: Option<&Path>,
        stable_ids: bool,
    ) -> Result<Self> {
        let memory = cgroup::memory(process.status.pid)?;
        let tightest = memory.tightest();
        // Where the heap cannot be told from the rest, all of the memory might be it.
        let heap = process.heap_bytes.unwrap_or(process.status.rss_anon);
        Ok(Self {
            nodes: nodes.map_or_else(|| Nodes::of_heap(heap), Nodes::exactly),
            rss: process.status.vm_rss,
            rss_anon: process.status.rss_anon,
            headroom: memory.headroom(),
            limit: tightest.and_then(cgroup::Level::limit),
            kills_together: memory.kills_together(),
            mem_available: cgroup::mem_available(),
            disk_free: output.and_then(disk_free),
            compressed: output.is_some_and(|path| {
                path.extension().is_some_and(|extension| extension == "zst" || extension == "gz")
            }),
            stable_ids,
        })
    }
}

/// Free bytes for this user on the disk where a file is to be.
fn disk_free(output: &Path) -> Option<u64> {
    let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    free_at(folder)
}

#[cfg(unix)]
fn free_at(folder: &Path) -> Option<u64> {
    let fs = rustix::fs::statvfs(folder).ok()?;
    // File systems of the kernel (/proc, /sys) have no blocks at all; why they take no file is found when it is written.
    (fs.f_blocks > 0).then(|| fs.f_bavail.saturating_mul(fs.f_frsize))
}

#[cfg(not(unix))]
fn free_at(_: &Path) -> Option<u64> {
    None
}

/// Whether a capture should be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing speaks against it.
    Fine,
    /// It will be noticed, or might be tight.
    Warn,
    /// It would most likely get the process killed, or not be whole.
    Refuse,
}

impl Verdict {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// What a capture by one method would cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The method.
    pub method: Method,
    /// How long the process stops.
    pub pause: Duration,
    /// Extra memory at the peak.
    pub memory: u64,
    /// Who pays for it, in words.
    pub charged_to: String,
    /// Size of the snapshot, uncompressed.
    pub file: u64,
    /// Whether to do it.
    pub verdict: Verdict,
    /// Why, worst first; empty if nothing speaks against it.
    pub reasons: Vec<String>,
    /// What to do instead, where it is refused.
    pub instead: Option<String>,
}

/// Predicts all methods for a process.
///
/// # Errors
/// As [`Conditions::gather`].
pub fn predict(
    process: &Process,
    nodes: Option<u64>,
    output: Option<&Path>,
    stable_ids: bool,
) -> Result<Vec<Prediction>> {
    let conditions = Conditions::gather(process, nodes, output, stable_ids)?;
    Ok(Method::ALL.iter().map(|&method| prediction(method, &conditions)).collect())
}

/// Predicts one method.
pub fn prediction(method: Method, at: &Conditions) -> Prediction {
    let memory = memory_for(method, at, at.nodes.likely);
    let worst = memory_for(method, at, at.nodes.most);
    let compression = if at.compressed { COMPRESSION } else { 1 };
    let file = at.nodes.likely.saturating_mul(FILE_PER_NODE) / compression;
    let pause = pause(method, at);
    let mut said: Vec<(Verdict, String)> = Vec::new();
    for (room, whose) in [
        (at.headroom, "the container's memory limit"),
        (at.mem_available, "the memory that the machine has left"),
    ] {
        let Some(room) = room else { continue };
        if memory > room {
            said.push((
                Verdict::Refuse,
                format!("it needs about {} and {whose} leaves {}", size(memory), size(room)),
            ));
        } else if worst.saturating_add(LEAVE.min(room / 4)) > room {
            said.push((
                Verdict::Warn,
                format!("it needs {} to {} and {whose} leaves {}", size(memory), size(worst), size(room)),
            ));
        }
    }
    if at.kills_together
        && method == Method::Fork
        && said.iter().any(|(verdict, _)| *verdict >= Verdict::Warn)
    {
        said.push((
            Verdict::Warn,
            "at its limit the kernel kills the whole group (memory.oom.group), the process with the child; heapsight \
             ends the child before"
                .to_owned(),
        ));
    }
    if let Some(free) = at.disk_free {
        if file > free {
            said.push((
                Verdict::Refuse,
                format!("the file takes about {} and the disk has {}", size(file), size(free)),
            ));
        } else if at.nodes.most.saturating_mul(FILE_PER_NODE) / compression > free {
            said.push((
                Verdict::Warn,
                format!("the file might take more than the {} of the disk", size(free)),
            ));
        }
    }
    if pause >= UNHEALTHY {
        let text = format!("it stops the process for about {}; health checks may restart it", seconds(pause));
        said.push((Verdict::Warn, text));
    } else if pause >= NOTICED {
        said.push((
            Verdict::Warn,
            format!("it stops the process for about {}; requests wait", seconds(pause)),
        ));
    }
    said.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    let verdict = said.first().map_or(Verdict::Fine, |(verdict, _)| *verdict);
    Prediction {
        method,
        pause,
        memory,
        charged_to: charged_to(method, at),
        file,
        verdict,
        reasons: said.into_iter().map(|(_, reason)| reason).collect(),
        instead: (verdict == Verdict::Refuse).then(|| {
            "take a sampling profile (`heapsight sample`), which needs next to nothing; --force captures all the same"
                .to_owned()
        }),
    }
}

/// Extra memory for a number of nodes.
fn memory_for(method: Method, at: &Conditions, nodes: u64) -> u64 {
    let graph = nodes.saturating_mul(MEMORY_PER_NODE);
    match method {
        // Pages that the process rewrites while the child reads them are there twice: the young generation and what a
        // collection marks or moves; a quarter of all and 32 MB at most of what is usual.
        Method::Fork => graph.saturating_add((at.rss_anon / 4 + (32 << 20)).min(at.rss_anon)),
        Method::Inspector | Method::Signal | Method::NearLimit => graph,
    }
}

fn pause(method: Method, at: &Conditions) -> Duration {
    let nodes = at.nodes.likely;
    match method {
        Method::Fork => {
            let pages = at.rss / 4096;
            let ids = if at.stable_ids { nodes.saturating_mul(STABLE_IDS_PER_NODE_NS) } else { 0 };
            FORK_BASE + Duration::from_nanos(pages.saturating_mul(FORK_PER_PAGE_NS).saturating_add(ids))
        }
        Method::Inspector | Method::Signal | Method::NearLimit => {
            Duration::from_nanos(nodes.saturating_mul(PAUSE_PER_NODE_NS))
        }
    }
}

fn charged_to(method: Method, at: &Conditions) -> String {
    let limit =
        at.limit.map_or_else(String::new, |limit| format!(", under the same limit of {}", size(limit)));
    match method {
        Method::Fork => format!("a child process that is gone afterwards{limit}"),
        _ => format!("the process itself, where most of it stays{limit}"),
    }
}

/// A size for people, in the units of all of Heapsight's output.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

fn seconds(pause: Duration) -> String {
    let seconds = pause.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

/// Watches the memory that a child of the target takes, so that the child can be ended before the kernel ends both.
///
/// Ask [`Guard::check`] every 50 ms or so: it reads two or three small files, 20 to 100 us together.
#[derive(Debug)]
pub struct Guard {
    groups: Vec<Watched>,
    /// The machine's memory and what is to be left of it.
    machine: Option<(File, u64)>,
    buffer: String,
}

#[derive(Debug)]
struct Watched {
    current: File,
    stat: Option<File>,
    version: u8,
    limit: u64,
    floor: u64,
}

impl Guard {
    /// A guard for a process. Limits that it has now hold for the whole capture.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) where the process has ended.
    pub fn new(pid: u32) -> Result<Self> {
        let memory = cgroup::memory(pid)?;
        let available = cgroup::mem_available();
        let file = File::open("/proc/meminfo").ok();
        let machine = file.zip(available).map(|(file, available)| (file, floor(available)));
        Ok(Self { groups: watched(&memory), machine, buffer: String::new() })
    }

    /// Why the child must be ended now; `None` while there is enough memory.
    pub fn check(&mut self) -> Option<String> {
        for group in &self.groups {
            let Some(current) = number(&group.current, &mut self.buffer) else { continue };
            let mut room = group.limit.saturating_sub(current);
            // Only when it looks tight is it worth to see how much the kernel can take back.
            if room < group.floor
                && let Some(stat) = &group.stat
                && read(stat, &mut self.buffer).is_ok()
            {
                let file = cgroup::inactive_file(&self.buffer, group.version);
                room = group.limit.saturating_sub(current.saturating_sub(file));
            }
            if room < group.floor {
                return Some(format!(
                    "the container's memory limit of {} has {} left, and {} are kept free for the process",
                    size(group.limit),
                    size(room),
                    size(group.floor)
                ));
            }
        }
        let (file, floor) = self.machine.as_ref()?;
        read(file, &mut self.buffer).ok()?;
        let room = cgroup::meminfo(&self.buffer, "MemAvailable:")?;
        (room < *floor).then(|| {
            format!("the machine has {} of memory left, and {} are kept free", size(room), size(*floor))
        })
    }
}

/// What is kept free: 64 MiB, or a quarter of what there was where that is less.
fn floor(room: u64) -> u64 {
    LEAVE.min(room / 4)
}

fn watched(memory: &Memory) -> Vec<Watched> {
    let (current, version) = (cgroup::current_file(memory.version), memory.version);
    let watched = |level: &cgroup::Level| {
        Some(Watched {
            current: File::open(level.dir.join(current)).ok()?,
            stat: File::open(level.dir.join("memory.stat")).ok(),
            version,
            limit: level.limit()?,
            floor: floor(level.headroom()?),
        })
    };
    memory.levels.iter().filter_map(watched).collect()
}

fn number(file: &File, buffer: &mut String) -> Option<u64> {
    read(file, buffer).ok()?;
    buffer.trim().parse().ok()
}

/// Reads a file of the kernel anew: each begins with what is so now.
fn read(mut file: &File, buffer: &mut String) -> io::Result<()> {
    buffer.clear();
    file.rewind()?;
    file.take(1 << 16).read_to_string(buffer).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn conditions() -> Conditions {
        Conditions {
            nodes: Nodes::exactly(1_000_000),
            rss: 200 * MIB,
            rss_anon: 160 * MIB,
            headroom: None,
            limit: None,
            kills_together: false,
            mem_available: Some(16 << 30),
            disk_free: Some(100 << 30),
            compressed: false,
            stable_ids: false,
        }
    }

    #[test]
    fn costs_of_a_million_nodes() {
        let fork = prediction(Method::Fork, &conditions());
        assert_eq!((fork.verdict, fork.file), (Verdict::Fine, 72_000_000));
        assert!((10..=20).contains(&fork.pause.as_millis()), "{:?}", fork.pause);
        assert!((550_000_000..650_000_000).contains(&fork.memory));
        assert!(fork.charged_to.contains("child"));
        let stable = prediction(Method::Fork, &Conditions { stable_ids: true, ..conditions() });
        assert_eq!(stable.pause.abs_diff(fork.pause).as_millis(), 600);
        let inspector = prediction(Method::Inspector, &conditions());
        assert_eq!((inspector.pause.as_secs(), inspector.memory), (6, 550_000_000));
        assert_eq!(inspector.verdict, Verdict::Warn);
        assert!(inspector.reasons[0].contains("6.0 s"), "{:?}", inspector.reasons);
    }

    #[test]
    fn what_would_kill_is_refused_and_what_might_is_warned_of() {
        let in_container = |headroom| Conditions {
            headroom: Some(headroom),
            limit: Some(1 << 30),
            kills_together: true,
            ..conditions()
        };
        for method in Method::ALL {
            let refused = prediction(method, &in_container(500 * MIB));
            assert_eq!(refused.verdict, Verdict::Refuse);
            assert!(refused.reasons[0].contains("limit leaves 500 MiB"), "{:?}", refused.reasons);
            assert!(refused.instead.unwrap().contains("heapsight sample"));
        }
        let tight = prediction(Method::Fork, &in_container(640 * MIB));
        assert_eq!(tight.verdict, Verdict::Warn);
        assert!(tight.reasons.iter().any(|r| r.contains("memory.oom.group")));
        assert_eq!(prediction(Method::Fork, &in_container(900 * MIB)).verdict, Verdict::Fine);
        let machine = Conditions { mem_available: Some(100 * MIB), ..conditions() };
        assert_eq!(prediction(Method::Fork, &machine).verdict, Verdict::Refuse);
        let disk = Conditions { disk_free: Some(MIB), ..conditions() };
        let disk = prediction(Method::Fork, &disk);
        assert_eq!(disk.verdict, Verdict::Refuse);
        assert!(disk.reasons[0].contains("disk"));
        let file = prediction(Method::Fork, &conditions()).file;
        let small = Conditions { disk_free: Some(file / 2), compressed: true, ..conditions() };
        assert!(prediction(Method::Fork, &small).verdict < Verdict::Refuse);
    }

    #[test]
    fn estimates_have_a_worst_case() {
        let nodes = Nodes::of_heap(280_000_000);
        assert_eq!((nodes.likely, nodes.most), (4_000_000, 7_000_000));
        let at = Conditions { nodes, headroom: Some(3 << 30), limit: Some(4 << 30), ..conditions() };
        assert_eq!(prediction(Method::Inspector, &at).verdict, Verdict::Warn);
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let at = Conditions {
            nodes: Nodes::exactly(u64::MAX),
            rss: u64::MAX,
            rss_anon: u64::MAX,
            stable_ids: true,
            ..conditions()
        };
        for method in Method::ALL {
            assert_eq!(prediction(method, &at).verdict, Verdict::Refuse);
        }
    }

    #[test]
    fn the_guard_speaks_before_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let current = |mib: u64| write("memory.current", &format!("{}\n", mib * MIB));
        write("memory.max", &format!("{}\n", 512 * MIB));
        write("memory.stat", &format!("anon 1\ninactive_file {}\n", 20 * MIB));
        current(200);
        let level = cgroup::level(dir.path(), 2).unwrap();
        let memory = Memory { version: 2, levels: vec![level] };
        let mut guard = Guard { groups: watched(&memory), machine: None, buffer: String::new() };
        assert_eq!(guard.groups.len(), 1);
        assert_eq!(guard.check(), None);
        current(460);
        assert_eq!(guard.check(), None, "the page cache is taken back first");
        current(480);
        let reason = guard.check().unwrap();
        assert!(reason.contains("512 MiB has 52 MiB left"), "{reason}");
        current(300);
        assert_eq!(guard.check(), None);
    }

    #[test]
    fn a_guard_of_this_process() {
        let mut guard = Guard::new(std::process::id()).unwrap();
        assert!(guard.machine.is_some());
        assert_eq!(guard.check(), None);
        guard.machine.as_mut().unwrap().1 = u64::MAX;
        assert!(guard.check().unwrap().contains("machine"));
        assert!(Guard::new(u32::MAX).is_err());
    }
}
