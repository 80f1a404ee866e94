//! How much memory a process may still take, and in which container it is: control groups of version 1 and 2.
//!
//! A limit of any ancestor holds for all below it, so the whole way up is read as far as it can be seen: through our own
//! mount of the hierarchy, else through the process' own (`/proc/PID/root`), which in a container begins at the
//! container.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::procfs;
use crate::error::Result;

/// Limits from here on mean "none": version 1 writes the largest multiple of a page.
const UNLIMITED: u64 = 1 << 62;

/// Levels that are walked; deeper hierarchies are not made by anyone.
const DEEPEST: usize = 64;

/// One control group and what it says of memory. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its folder, as we reach it.
    pub dir: PathBuf,
    /// `memory.max`: at this size the kernel kills.
    pub max: Option<u64>,
    /// `memory.high`: from this size on the kernel slows the processes down until they free memory.
    pub high: Option<u64>,
    /// What is charged, page cache included.
    pub current: u64,
    /// File pages that were not used lately: the kernel takes these back first.
    pub inactive_file: u64,
    /// `memory.oom.group`: the kernel kills all processes of the group together.
    pub oom_group: bool,
}

impl Level {
    /// What is charged and cannot be had back at once: what the kubelet calls the working set.
    pub fn working_set(&self) -> u64 {
        self.current.saturating_sub(self.inactive_file)
    }

    /// The smaller of both limits.
    pub fn limit(&self) -> Option<u64> {
        self.max.into_iter().chain(self.high).min()
    }

    /// What can still be taken up to the limit.
    pub fn headroom(&self) -> Option<u64> {
        self.limit().map(|limit| limit.saturating_sub(self.working_set()))
    }
}

/// The control groups of a process that count its memory, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// 1 or 2.
    pub version: u8,
    /// From the process' own group upwards. Empty where none is seen or the controller is off.
    pub levels: Vec<Level>,
}

impl Memory {
    /// The group that leaves least room; `None` where nothing is limited.
    pub fn tightest(&self) -> Option<&Level> {
        self.levels.iter().filter(|level| level.limit().is_some()).min_by_key(|level| level.headroom())
    }

    /// Reads the levels anew. What has gone meanwhile is left out.
    pub fn refresh(&mut self) {
        let version = self.version;
        self.levels.retain_mut(|known| match level(&known.dir, version) {
            Some(now) => {
                *known = now;
                true
            }
            None => false,
        });
    }

    /// Bytes that can still be taken before a limit is reached; `None` where nothing is limited.
    pub fn headroom(&self) -> Option<u64> {
        self.tightest()?.headroom()
    }

    /// Whether reaching a limit kills all processes of a group together, a forked child and its parent alike.
    pub fn kills_together(&self) -> bool {
        // The kernel looks from the victim's group up to the one whose limit was reached.
        let limited = self.levels.iter().rposition(|level| level.max.is_some());
        limited.is_some_and(|last| self.levels[..=last].iter().any(|level| level.oom_group))
    }
}

/// Reads the memory limits that hold for a process.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound) where there is no such process. A hierarchy that cannot be seen is no error
/// but has no levels.
pub fn memory(pid: u32) -> Result<Memory> {
    let groups = procfs::text(pid, "cgroup")?;
    let ours = mountinfo(std::process::id());
    let theirs = mountinfo(pid);
    let root = procfs::path(pid, "root");
    Ok(find(&groups, &[(Path::new("/"), ours.as_str()), (&root, theirs.as_str())]))
}

fn mountinfo(pid: u32) -> String {
    procfs::text(pid, "mountinfo").unwrap_or_default()
}

/// The first view of the hierarchy in which the process' group is: `views` are folders that are a root, with the mounts
/// below it.
fn find(groups: &str, views: &[(&Path, &str)]) -> Memory {
    let Some((version, path)) = memory_group(groups) else {
        return Memory { version: 2, levels: Vec::new() };
    };
    for (root, mounts) in views {
        for mount in cgroup_mounts(mounts, version) {
            let Some(below) = below(path, &mount.root) else { continue };
            let top = join(root, &mount.point);
            let levels = levels(&top, below, version);
            if !levels.is_empty() {
                return Memory { version, levels };
            }
        }
    }
    Memory { version, levels: Vec::new() }
}

/// Version and path of the group that counts memory, from `/proc/PID/cgroup`.
fn memory_group(groups: &str) -> Option<(u8, &str)> {
    let mut unified = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if controllers.split(',').any(|c| c == "memory") {
            return Some((1, path));
        }
        if controllers.is_empty() {
            unified = Some((2, path));
        }
    }
    unified
}

struct Mount {
    /// The group that is at the mount point.
    root: String,
    /// The mount point.
    point: String,
}

/// The mounts of a hierarchy in a text in the form of `/proc/PID/mountinfo`.
fn cgroup_mounts(text: &str, version: u8) -> Vec<Mount> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let kind = right.next()?;
        let options = right.nth(1).unwrap_or_default();
        let wanted = match version {
            1 => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
            _ => kind == "cgroup2",
        };
        let mut left = left.split(' ').skip(3);
        wanted.then_some(())?;
        Some(Mount { root: unescape(left.next()?), point: unescape(left.next()?) })
    };
    text.lines().filter_map(mount).collect()
}

/// The kernel writes blanks and backslashes in paths as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push_str(&rest[..at]);
        // A backslash that begins no code is itself.
        out.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    out + rest
}

/// The part of a group's path below the group that is mounted.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    if root == "/" {
        // Groups outside of our own cgroup namespace begin with `/..` and are not in this mount.
        return (!path.starts_with("/..")).then_some(path);
    }
    let rest = path.strip_prefix(root)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn join(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn levels(top: &Path, path: &str, version: u8) -> Vec<Level> {
    let mut dir = join(top, path);
    let mut levels = Vec::new();
    if !dir.is_dir() {
        // Another view of the hierarchy: what is above would be somebody else's.
        return levels;
    }
    for _ in 0..DEEPEST {
        // The root group of version 2 has no such files and no limit.
        levels.extend(level(&dir, version));
        if dir == top || !dir.starts_with(top) || !dir.pop() {
            break;
        }
    }
    levels
}

/// What a group says; `None` where it is not there or does not count memory.
pub(crate) fn level(dir: &Path, version: u8) -> Option<Level> {
    let read = |file: &str| fs::read_to_string(dir.join(file)).ok();
    // `max` is no number and so no limit.
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let limit = |file: &str| number(file).filter(|&limit| limit < UNLIMITED);
    let files = Files::of(version);
    let current = number(files.current)?;
    let stat = read("memory.stat").unwrap_or_default();
    Some(Level {
        dir: dir.to_owned(),
        max: limit(files.max),
        high: if version == 2 { limit("memory.high") } else { None },
        current,
        inactive_file: inactive_file(&stat, version),
        oom_group: version == 2 && number("memory.oom.group") == Some(1),
    })
}

/// The file in which a group counts its memory.
pub(crate) fn current_file(version: u8) -> &'static str {
    Files::of(version).current
}

struct Files {
    max: &'static str,
    current: &'static str,
}

impl Files {
    fn of(version: u8) -> Self {
        if version == 1 {
            Self { max: "memory.limit_in_bytes", current: "memory.usage_in_bytes" }
        } else {
            Self { max: "memory.max", current: "memory.current" }
        }
    }
}

pub(crate) fn inactive_file(stat: &str, version: u8) -> u64 {
    let name = if version == 1 { "total_inactive_file " } else { "inactive_file " };
    stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// `MemAvailable`: what programs can take before the machine swaps or kills, in bytes.
pub fn mem_available() -> Option<u64> {
    meminfo(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

pub(crate) fn meminfo(text: &str, name: &str) -> Option<u64> {
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    /// A pod of Kubernetes as version 2 shows it: the pod is limited, the container more so, with `memory.oom.group`.
    fn pod(top: &Path) {
        let pod = top.join("kubepods.slice/kubepods-pod1.slice");
        write(top, &[("cgroup.procs", "")]);
        write(
            &top.join("kubepods.slice"),
            &[("memory.current", "900000000\n"), ("memory.max", "max\n"), ("memory.high", "max\n")],
        );
        write(
            &pod,
            &[
                ("memory.current", "500000000\n"),
                ("memory.max", "536870912\n"),
                ("memory.stat", "anon 1\ninactive_file 1000000\nactive_file 5\n"),
            ],
        );
        write(
            &pod.join("cri-containerd-1.scope"),
            &[
                ("memory.current", "100000000\n"),
                ("memory.max", "268435456\n"),
                ("memory.oom.group", "1\n"),
                ("memory.stat", "inactive_file 4000000\n"),
            ],
        );
    }

    const GROUPS: &str = "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope\n";

    fn mounted(root: &str, point: &Path) -> String {
        format!(
            "1 2 0:1 / /proc rw - proc proc rw\n31 23 0:28 {root} {} rw,relatime shared:9 - cgroup2 cgroup rw\n",
            point.display()
        )
    }

    #[test]
    fn the_tightest_ancestor_counts() {
        let dir = tempfile::tempdir().unwrap();
        pod(dir.path());
        let mounts = mounted("/", dir.path());
        let memory = find(GROUPS, &[(Path::new("/"), &mounts)]);
        assert_eq!((memory.version, memory.levels.len()), (2, 3));
        let tightest = memory.tightest().unwrap();
        assert_eq!(tightest.max, Some(536_870_912));
        assert_eq!(memory.headroom(), Some(536_870_912 - 499_000_000));
        assert!(memory.kills_together());
        assert_eq!(memory.levels[0].working_set(), 96_000_000);
        assert_eq!(memory.levels[2].limit(), None);
    }

    #[test]
    fn memory_high_limits_as_well() {
        let dir = tempfile::tempdir().unwrap();
        pod(dir.path());
        let own = dir.path().join("kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope");
        write(&own, &[("memory.high", "110000000\n")]);
        let memory = find(GROUPS, &[(Path::new("/"), &mounted("/", dir.path()))]);
        assert_eq!(memory.headroom(), Some(14_000_000));
    }

    #[test]
    fn a_group_outside_of_our_view_is_seen_through_the_processs_own_mount() {
        let dir = tempfile::tempdir().unwrap();
        let container = dir.path().join("rootfs");
        write(&container.join("sys/fs/cgroup"), &[("memory.current", "1000\n"), ("memory.max", "5000\n")]);
        let ours = dir.path().join("ours");
        write(&ours, &[("memory.current", "7\n"), ("memory.max", "8\n")]);
        let theirs = mounted("/../other", Path::new("/sys/fs/cgroup"));
        let memory = find("0::/../other\n", &[(Path::new("/"), &mounted("/", &ours)), (&container, &theirs)]);
        assert_eq!(memory.headroom(), Some(4000));
        assert_eq!(memory.levels.len(), 1);
        assert!(!memory.kills_together());
    }

    #[test]
    fn version_1_beside_an_empty_version_2() {
        let dir = tempfile::tempdir().unwrap();
        write(
            &dir.path().join("docker/abc"),
            &[
                ("memory.usage_in_bytes", "3000\n"),
                ("memory.limit_in_bytes", "9000\n"),
                ("memory.stat", "inactive_file 1\ntotal_inactive_file 500\n"),
            ],
        );
        write(
            dir.path(),
            &[("memory.usage_in_bytes", "9\n"), ("memory.limit_in_bytes", "9223372036854771712\n")],
        );
        let mounts = format!("35 31 0:32 / {} rw - cgroup cgroup rw,memory\n", dir.path().display());
        let groups = "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n";
        let memory = find(groups, &[(Path::new("/"), &mounts)]);
        assert_eq!((memory.version, memory.headroom()), (1, Some(6500)));
        assert_eq!(memory.levels[1].max, None);
    }

    #[test]
    fn nothing_to_see_is_no_limit() {
        for groups in ["", "0::/a\n", "rubbish", "1:memory\n", "4:memory:/x\n"] {
            let memory = find(groups, &[(Path::new("/"), "rubbish - cgroup2\n")]);
            assert_eq!((memory.headroom(), memory.kills_together()), (None, false));
        }
        assert!(memory(std::process::id()).is_ok());
        assert!(mem_available().unwrap() > 0);
    }

    #[test]
    fn blanks_in_mount_points() {
        assert_eq!(unescape("/a\\040b\\134c\\d"), "/a b\\c\\d");
        assert_eq!(below("/a/b", "/a"), Some("/b"));
        assert_eq!(below("/ab", "/a"), None);
        assert_eq!(below("/../x", "/"), None);
    }
}
