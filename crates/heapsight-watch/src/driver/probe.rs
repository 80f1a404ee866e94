//! What the kernel says of a process, at little cost: its status, and the files of its control group, whose place is
//! looked up once a minute. Nothing of it touches the process.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use heapsight_capture::process::{
    Status,
    cgroup::{self, Memory},
};

use crate::recorder::{Group, Id, Sample};

/// A process may be moved to another group.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How long before its end a process may have been killed.
const JUST_NOW: Duration = Duration::from_secs(5);

/// What a look found.
#[derive(Debug)]
pub(super) enum Look {
    /// It lives.
    Lives(Sample),
    /// Its memory is gone, and it will be in a moment.
    Ends,
    /// It is no more. Whether the kernel killed one of its group a moment ago.
    Gone {
        /// Likewise.
        oom_killed: bool,
    },
}

/// Looks at one process.
#[derive(Debug)]
pub(super) struct Probe {
    id: Id,
    memory: Option<(Memory, Instant)>,
    /// Killed processes of its group, and of the machine, at the last look.
    killed: (Option<u64>, Option<u64>),
    /// When one more was seen. A large process takes its time to go.
    more_killed: Option<Instant>,
}

impl Probe {
    pub(super) fn new(id: Id) -> Self {
        let mut probe = Self { id, memory: None, killed: (None, None), more_killed: None };
        probe.group();
        probe.killed = probe.count_killed();
        probe
    }

    pub(super) fn look(&mut self) -> Look {
        self.count_more_killed();
        match Status::read(self.id.pid) {
            Ok(status) if status.start_time == self.id.start_time && !status.is_zombie() => {
                if status.vm_rss == 0 {
                    return Look::Ends;
                }
                Look::Lives(Sample { rss: status.vm_rss, group: self.group() })
            }
            _ => {
                // It may have happened since.
                self.count_more_killed();
                Look::Gone { oom_killed: self.more_killed.is_some_and(|at| at.elapsed() < JUST_NOW) }
            }
        }
    }

    fn count_more_killed(&mut self) {
        let (group, machine) = self.count_killed();
        let more = |now: Option<u64>, before: Option<u64>| now.zip(before).map(|(now, before)| now > before);
        // Where the group went with its last process, only the machine's count is left.
        if more(group, self.killed.0).or(more(machine, self.killed.1)) == Some(true) {
            self.more_killed = Some(Instant::now());
        }
        self.killed = (group.or(self.killed.0), machine);
    }

    /// What its control group says.
    fn group(&mut self) -> Option<Group> {
        match &mut self.memory {
            Some((memory, read)) if read.elapsed() < LOOK_AGAIN => memory.refresh(),
            memory => *memory = cgroup::memory(self.id.pid).ok().map(|found| (found, Instant::now())),
        }
        let (memory, _) = self.memory.as_ref()?;
        let own = memory.levels.first()?;
        let tightest = memory.tightest();
        // Usage is counted where the limit is.
        let at = tightest.unwrap_or(own);
        let events = Events::read(&own.dir, memory.version);
        Some(Group {
            used: at.working_set(),
            limit: tightest.and_then(cgroup::Level::limit),
            high: events.high,
            max: events.max,
            oom_kill: events.oom_kill,
            pressure: pressure(&own.dir),
        })
    }

    fn count_killed(&self) -> (Option<u64>, Option<u64>) {
        let group = self.memory.as_ref().and_then(|(memory, _)| {
            let own = memory.levels.first()?;
            Some(Events::read_if(&own.dir, memory.version)?.oom_kill)
        });
        (group, field(&fs::read_to_string("/proc/vmstat").unwrap_or_default(), "oom_kill"))
    }
}

/// `memory.events`, or what version 1 has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Events {
    high: u64,
    max: u64,
    oom_kill: u64,
}

impl Events {
    fn read(dir: &Path, version: u8) -> Self {
        Self::read_if(dir, version).unwrap_or_default()
    }

    fn read_if(dir: &Path, version: u8) -> Option<Self> {
        if version == 1 {
            let text = fs::read_to_string(dir.join("memory.oom_control")).ok()?;
            let failures = fs::read_to_string(dir.join("memory.failcnt")).unwrap_or_default();
            return Some(Self {
                high: 0,
                max: failures.trim().parse().unwrap_or(0),
                oom_kill: field(&text, "oom_kill").unwrap_or(0),
            });
        }
        let text = fs::read_to_string(dir.join("memory.events")).ok()?;
        let count = |name| field(&text, name).unwrap_or(0);
        Some(Self { high: count("high"), max: count("max"), oom_kill: count("oom_kill") })
    }
}

/// The number after a name, one of them a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// How much of the last ten seconds somebody waited for memory: in the group, else on the machine.
fn pressure(dir: &Path) -> Option<f64> {
    let text = fs::read_to_string(dir.join("memory.pressure"))
        .or_else(|_| fs::read_to_string("/proc/pressure/memory"));
    some_avg10(&text.ok()?)
}

fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
    Some(value.parse::<f64>().ok()? / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_pressure_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("memory.events", "low 0\nhigh 7\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n");
        assert_eq!(Events::read(dir.path(), 2), Events { high: 7, max: 12, oom_kill: 1 });
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
        write("memory.failcnt", "9\n");
        assert_eq!(Events::read(dir.path(), 1), Events { high: 0, max: 9, oom_kill: 3 });
        assert_eq!(Events::read_if(&dir.path().join("gone"), 2), None);
        let text = "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(0.125));
    }

    #[test]
    fn a_process_that_ended_is_gone_and_another_with_its_id_is_not_it() {
        let own = std::process::id();
        let status = Status::read(own).unwrap();
        let mut probe = Probe::new(Id { pid: own, start_time: status.start_time });
        assert!(matches!(probe.look(), Look::Lives(sample) if sample.rss > 0));
        let mut other = Probe::new(Id { pid: own, start_time: status.start_time + 1 });
        assert!(matches!(other.look(), Look::Gone { .. }));
    }
}
