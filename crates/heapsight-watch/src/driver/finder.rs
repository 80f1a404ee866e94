//! Which processes are to be watched: the one that was named with what it starts and what replaces it, or all.
//!
//! A look at `/proc` reads a line of each process; only one that is new, or young and has another command line than
//! before (a shell that becomes the program), is looked at more closely. A child that has been forked and has started no
//! program yet looks like its parent in all, and is none: it is left until it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use heapsight_capture::process::{self, Process, executable};

use crate::{
    recorder::Id,
    settings::{Settings, Subject},
};

/// Clock ticks in which a process may still become another program: a minute of 100 a second.
const YOUNG: u64 = 6000;

/// How much earlier than it was noticed a process may have ended, in clock ticks.
const SLACK: u64 = 500;

/// `PF_FORKNOEXEC` of Linux' `include/linux/sched.h`.
const FORKED: u64 = 0x40;

/// Bytes of a command line that tell programs apart.
const COMMAND: usize = 400;

/// A process that is to be watched.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: Id,
    /// Its command line: what makes it the same program when it is back.
    pub(super) program: String,
    /// `Node.js 20.20.2`.
    pub(super) runtime: String,
    /// Whether it has an inspector that can be talked to at all.
    pub(super) talks: bool,
}

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    id: Id,
    parent: u32,
    alive: bool,
    /// Forked, and no program started since.
    forked: bool,
}

/// What a process was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    command: Vec<String>,
    forked: bool,
}

/// The process that was named.
#[derive(Clone, Debug)]
struct Named {
    id: Id,
    program: String,
    uid: u32,
    /// When it was first seen to be gone, in clock ticks since the machine started.
    gone: Option<u64>,
}

/// Why a process is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// All are watched.
    Any,
    /// One that is watched has started it.
    Child,
    /// It may be the one that was named, come back.
    Replacement,
}

/// Looks for processes.
#[derive(Debug)]
pub(super) struct Finder {
    subject: Subject,
    matching: Option<String>,
    follow: bool,
    /// The process that was named, or what replaced it.
    named: Option<Named>,
    /// What was looked at and is not to be watched.
    others: BTreeMap<Id, Seen>,
    /// What was there at the last look.
    there: BTreeSet<Id>,
}

impl Finder {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            subject: settings.subject.clone(),
            matching: settings.matching.clone(),
            follow: settings.follow,
            named: None,
            others: BTreeMap::new(),
            there: BTreeSet::new(),
        }
    }

    /// The process that was named, at the beginning.
    ///
    /// # Errors
    /// There is none, or it is no V8 program.
    pub(super) fn named(&mut self) -> heapsight_capture::Result<Option<Found>> {
        let Subject::Process(pid) = self.subject else { return Ok(None) };
        let process = process::look(pid)?;
        let found = found(&process);
        self.named =
            Some(Named { id: found.id, program: found.program.clone(), uid: process.status.uid, gone: None });
        Ok(Some(found))
    }

    /// The processes that are new. `watched` are those that are known; children of `forking` are looked at another time.
    pub(super) fn look(&mut self, watched: &BTreeSet<Id>, forking: Option<u32>) -> Vec<Found> {
        if !self.follow && self.subject != Subject::All {
            // Nothing is looked for, so nothing is missed.
            self.there.clone_from(watched);
            return Vec::new();
        }
        let lines: Vec<Line> = pids().into_iter().filter_map(line).filter(|line| line.alive).collect();
        let there: BTreeSet<Id> = lines.iter().map(|line| line.id).collect();
        self.others.retain(|id, _| there.contains(id));
        let parents: BTreeMap<u32, u32> = lines.iter().map(|line| (line.id.pid, line.parent)).collect();
        let known: BTreeSet<u32> = watched.iter().map(|id| id.pid).collect();
        let now = lines.iter().map(|line| line.id.start_time).max().unwrap_or(0).max(uptime());
        let own = std::process::id();
        if let Some(named) = &mut self.named {
            named.gone = if there.contains(&named.id) { None } else { named.gone.or(Some(now)) };
        }
        let mut all = Vec::new();
        for line in lines {
            let passing = line.id.pid == own || forking == Some(line.parent);
            let becoming = line.forked && is_young(&line, now);
            if passing || becoming || watched.contains(&line.id) || self.is_settled(&line, now) {
                continue;
            }
            let gone = self.named.as_ref().and_then(|named| named.gone);
            let role = match self.subject {
                Subject::All => Role::Any,
                Subject::Process(_) if descends(line.id.pid, &parents, &known) => Role::Child,
                // What was there before is another one of the kind.
                Subject::Process(_) if gone.is_some_and(|gone| line.id.start_time + SLACK >= gone) => {
                    Role::Replacement
                }
                Subject::Process(_) => continue,
            };
            let Some(found) = self.closer(&line, role) else {
                let command = process::command(line.id.pid).unwrap_or_default();
                self.others.insert(line.id, Seen { command, forked: line.forked });
                continue;
            };
            if let (Role::Replacement, Some(named)) = (role, &mut self.named) {
                (named.id, named.gone) = (found.id, None);
            }
            all.push(found);
        }
        self.there = there;
        all
    }

    /// Whether a process was there at the last look.
    pub(super) fn is_alive(&self, id: Id) -> bool {
        self.there.contains(&id)
    }

    /// Whether a process has been looked at and will be no other.
    fn is_settled(&self, line: &Line, now: u64) -> bool {
        let Some(seen) = self.others.get(&line.id) else { return false };
        seen.forked == line.forked
            && (!is_young(line, now) || process::command(line.id.pid).is_ok_and(|now| now == seen.command))
    }

    /// Whether it is to be watched.
    fn closer(&self, line: &Line, role: Role) -> Option<Found> {
        let process = process::look(line.id.pid).ok()?;
        // Node.js always starts as a program of its own: a copy of one is the child that writes a snapshot.
        let copy = process.status.forked && process.runtime.kind == executable::Kind::Node;
        if copy
            || process.status.start_time != line.id.start_time
            || process.runtime.role.as_deref().is_some_and(|role| role != "browser")
        {
            return None;
        }
        let found = found(&process);
        let fits = match (role, &self.named) {
            (Role::Replacement, Some(named)) => {
                process.status.uid == named.uid && found.program == named.program
            }
            (Role::Replacement, None) => false,
            (Role::Any | Role::Child, _) => true,
        };
        let matches = self.matching.as_deref().is_none_or(|text| found.program.contains(text));
        (fits && matches).then_some(found)
    }
}

fn is_young(line: &Line, now: u64) -> bool {
    now.saturating_sub(line.id.start_time) < YOUNG
}

fn found(process: &Process) -> Found {
    // The workers of a cluster get ports of their own for their inspectors, and are one program all the same.
    let words = process.command.iter().map(String::as_str);
    let words: Vec<&str> = words.filter(|word| !word.starts_with("--inspect")).collect();
    let mut program = words.join(" ");
    if program.len() > COMMAND {
        let end = (0..=COMMAND).rev().find(|&end| program.is_char_boundary(end)).unwrap_or(0);
        program.truncate(end);
    }
    let version = process.runtime.version.as_deref().unwrap_or_default();
    Found {
        id: Id { pid: process.status.pid, start_time: process.status.start_time },
        program,
        runtime: format!("{} {version}", process.runtime.label()).trim_end().to_owned(),
        talks: matches!(
            process.runtime.kind,
            executable::Kind::Node
                | executable::Kind::Deno
                | executable::Kind::Electron
                | executable::Kind::Embedder
        ),
    }
}

/// Whether a process has one of `known` above it.
fn descends(pid: u32, parents: &BTreeMap<u32, u32>, known: &BTreeSet<u32>) -> bool {
    let mut at = pid;
    for _ in 0..64 {
        match parents.get(&at) {
            Some(parent) if known.contains(parent) => return true,
            Some(&parent) if parent > 1 && parent != at => at = parent,
            _ => return false,
        }
    }
    false
}

fn pids() -> Vec<u32> {
    let Ok(list) = fs::read_dir("/proc") else { return Vec::new() };
    list.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn line(pid: u32) -> Option<Line> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// What is used of it. The name is in brackets and may hold brackets itself.
fn parse(pid: u32, text: &str) -> Option<Line> {
    let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace();
    let alive = !matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    // Flags and start time are fields 9 and 22 of proc(5); two of those after the name are gone.
    let flags: u64 = fields.nth(4)?.parse().ok()?;
    let start_time = fields.nth(12)?.parse().ok()?;
    Some(Line { id: Id { pid, start_time }, parent, alive, forked: flags & FORKED != 0 })
}

/// Clock ticks since the machine started.
fn uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|seconds| seconds.parse::<f64>().ok())
        .map_or(0, |seconds| (seconds * 100.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_whatever_the_name() {
        let rest = "S 7 4711 4711 0 -1 4194304 100 0 0 0 10 20 0 0 20 0 11 0 123456 1000000 500";
        for name in ["node", "a) R 1 (b"] {
            let line = parse(4711, &format!("4711 ({name}) {rest}")).unwrap();
            let id = Id { pid: 4711, start_time: 123_456 };
            assert_eq!(line, Line { id, parent: 7, alive: true, forked: false });
            let line = parse(4711, &format!("4711 ({name}) {}", rest.replace("4194304", "4194368"))).unwrap();
            assert_eq!(line, Line { id, parent: 7, alive: true, forked: true });
        }
        assert_eq!(parse(1, "1 (x"), None);
        let own = std::process::id();
        let status = process::Status::read(own).unwrap();
        assert_eq!(line(own).unwrap().id.start_time, status.start_time);
        assert_eq!(line(own).unwrap().parent, status.ppid);
    }

    /// A program that starts children all the time: each looks like it for a moment, by name, command line and signals.
    #[test]
    fn a_child_is_found_when_it_has_become_its_own_program() {
        const SPAWNS: &str = "const { spawn } = require('child_process');
            const more = () => spawn(process.execPath, ['-e', '0', 'child'], { stdio: 'ignore' }).on('exit', more);
            for (let i = 0; i < 3; i++) more();
            process.stdin.on('end', () => process.exit()).resume();";
        let mut parent = std::process::Command::new(heapsight_testkit::runtimes::node(22))
            .args(["-e", SPAWNS, "parent"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let settings = crate::config::Wishes { pid: Some(parent.id()), ..Default::default() };
        let mut finder = Finder::new(&settings.settings().unwrap());
        let named = loop {
            if let Ok(Some(named)) = finder.named()
                && named.program.ends_with("parent")
            {
                break named;
            }
        };
        let watched = BTreeSet::from([named.id]);
        let (mut found, begun) = (0, std::time::Instant::now());
        while begun.elapsed() < std::time::Duration::from_secs(4) {
            for one in finder.look(&watched, None) {
                assert!(one.program.ends_with("-e 0 child"), "{one:?}");
                found += 1;
            }
        }
        assert!(found > 10, "{found}");
        drop(parent.stdin.take());
        parent.wait().unwrap();
    }

    #[test]
    fn descent_is_found_and_a_circle_ends() {
        let parents = BTreeMap::from([(10, 9), (9, 8), (8, 1), (20, 21), (21, 20)]);
        let known = BTreeSet::from([8]);
        assert!(descends(10, &parents, &known) && !descends(8, &parents, &known));
        assert!(!descends(20, &parents, &known) && !descends(99, &parents, &known));
    }
}
