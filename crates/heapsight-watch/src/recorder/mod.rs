//! The recorder: what was measured goes in, what is to be done comes out. It reads no clock, no file and no socket, so a
//! year of it runs in a second.
//!
//! Invariants: [`Recorder`] orders nothing that its gate or its budget refuses; of all that it orders one job runs at a
//! time, whatever fires, so that captures of many processes never add up on a machine; every queue is bounded. Time is
//! given with each call and does not go back; the wall clock is not looked at.

mod budget;
mod evidence;
mod gate;
mod trend;

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    budget::Kept,
    evidence::{Cause, Ending, Grown},
};
use self::{
    budget::{Budget, Room},
    gate::{Gate, Refused},
    trend::Trend,
};
use crate::{
    settings::{Action, Amount, Condition, GroupEvent, Quantity, Rule, Settings},
    units,
};

/// Jobs that may wait. Beyond that a firing is dropped, and counted.
const WAITING: usize = 32;

/// How long the end of a program is remembered, to tell that it came back.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How often it is said that a rule may not act any more.
const TOLD: Duration = Duration::from_secs(3600);

/// How long before an end was noticed what replaces it may have been found.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Ended programs that are remembered.
const ENDED: usize = 1024;

/// How much of the window must be seen before the limit is predicted.
const EARLY: f64 = 0.05;

/// How much of its time a rule of growth must have seen.
const HALF: f64 = 0.5;

/// The number of a rule that is none: evidence, which is taken whenever a program ends.
const EVIDENCE: usize = usize::MAX;

/// A process for good: its id and when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The process id.
    pub pid: u32,
    /// Clock ticks since the machine started.
    pub start_time: u64,
}

/// What the kernel says of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Resident memory, in bytes.
    pub rss: u64,
    /// Its control group, where memory is counted.
    pub group: Option<Group>,
}

/// What a control group says of memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The working set, in bytes.
    pub used: u64,
    /// The tightest limit.
    pub limit: Option<u64>,
    /// How often it was slowed down at `memory.high`.
    pub high: u64,
    /// How often it ran into its limit.
    pub max: u64,
    /// How many processes were killed.
    pub oom_kill: u64,
    /// How much of the last ten seconds somebody waited for memory, of one.
    pub pressure: Option<f64>,
}

/// What a target says of its main thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeapSample {
    /// Bytes of objects.
    pub used: u64,
    /// Bytes that are committed.
    pub total: u64,
    /// V8's limit (`heap_size_limit`): that of old objects, and room for young ones.
    pub limit: u64,
    /// Outside of the heap.
    pub external: u64,
    /// The spaces: name and bytes of objects.
    pub spaces: Vec<(String, u64)>,
    /// How long something that was to run next had to wait.
    pub loop_delay: Option<Duration>,
}

/// Of V8's limit so much is for young objects (three semi-spaces of 16 MiB); `--max-old-space-size` is the rest.
const YOUNG: u64 = 48 << 20;

impl HeapSample {
    /// Bytes of old objects.
    pub fn old_used(&self) -> u64 {
        let young = self.spaces.iter().filter(|(name, _)| name.starts_with("new_"));
        self.used.saturating_sub(young.map(|(_, bytes)| bytes).sum())
    }

    /// How many there may be before V8 ends the program; 0 where that is not known.
    pub fn old_limit(&self) -> u64 {
        if self.limit > 2 * YOUNG { self.limit - YOUNG } else { self.limit }
    }
}

/// Something that happens to no process in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stimulus {
    /// The watcher got its signal.
    Signal,
    /// A line matched; the number of the rule.
    Line(usize),
}

/// What is to be done for a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// The process.
    pub id: Id,
    /// The rule, as it was written.
    pub rule: String,
    /// Why: `rss is 1.6 GiB, above 1.5 GiB`.
    pub why: String,
    /// What.
    pub actions: Vec<Action>,
}

/// What the recorder wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Begin a job; exactly one [`Recorder::finished`] answers it.
    Begin(Job),
    /// Give a job up: there is no room for what it writes.
    Abort(u64),
    /// Remove a capture and what lies beside it, unless that must not be; then [`Recorder::not_removed`].
    Remove(PathBuf),
    /// A process has ended: keep what there is of it.
    Evidence {
        /// Which.
        id: Id,
        /// How.
        ending: Ending,
        /// Whether files may be written for it; else it is only said.
        keep: bool,
    },
    /// Say that a rule fired and nothing was done, and why.
    Skip {
        /// The process.
        id: Id,
        /// The rule.
        rule: String,
        /// Why it fired, and why nothing was done.
        why: String,
    },
}

/// Numbers for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often each rule has acted.
    pub acted: Vec<u64>,
    /// How often a rule fired and nothing was done.
    pub skipped: u64,
    /// How often something was written.
    pub captures: u64,
    /// How many processes ended.
    pub ended: u64,
}

/// What is known of a process.
#[derive(Clone, Debug)]
struct Watched {
    program: String,
    /// When it was found.
    since: Duration,
    /// It stands for one of the program that ended.
    is_back: bool,
    last: Sample,
    peak: u64,
    heap: Option<HeapSample>,
    /// For the prediction: of the group's working set and of the heap.
    group: Trend,
    used: Trend,
    rss: Trend,
    /// Of the rules of growth.
    growth: BTreeMap<usize, Trend>,
    /// When it was said of a rule that it may not act today.
    told: BTreeMap<usize, Duration>,
}

/// A process as metrics show it.
#[derive(Clone, Debug)]
pub struct View<'r> {
    /// Which.
    pub id: Id,
    /// Its program.
    pub program: &'r str,
    /// What the kernel said last.
    pub sample: &'r Sample,
    /// What it said itself last.
    pub heap: Option<&'r HeapSample>,
    /// Bytes a second that its resident memory grows.
    pub growth: Option<f64>,
    /// When a limit is reached.
    pub limit_in: Option<Duration>,
}

/// The recorder. See the module.
#[derive(Clone, Debug)]
pub struct Recorder {
    rules: Vec<Rule>,
    window: Duration,
    watched: BTreeMap<Id, Watched>,
    /// Programs that ended, and when.
    ended: VecDeque<(String, Duration)>,
    gate: Gate,
    budget: Budget,
    waiting: VecDeque<Job>,
    running: Option<Job>,
    next: u64,
    /// When each rule of the clock is due.
    due: BTreeMap<usize, Duration>,
    counters: Counters,
}

impl Recorder {
    /// A recorder that knows no process yet. `kept` are the captures that are in the folder, oldest first.
    pub fn new(settings: &Settings, kept: Vec<Kept>, now: Duration) -> Self {
        let due = settings.rules.iter().enumerate().filter_map(|(number, rule)| match rule.when {
            Condition::Every(time) => Some((number, now + time)),
            _ => None,
        });
        Self {
            due: due.collect(),
            rules: settings.rules.clone(),
            window: settings.window,
            watched: BTreeMap::new(),
            ended: VecDeque::new(),
            gate: Gate::new(settings.per_day),
            budget: Budget::new(settings.disk_budget, kept),
            waiting: VecDeque::new(),
            running: None,
            next: 1,
            counters: Counters { acted: vec![0; settings.rules.len()], ..Counters::default() },
        }
    }

    /// Counts what another watcher did before, so that a restart does not begin the day anew.
    pub fn restore(&mut self, now: Duration, program: &str, age: Duration) {
        self.gate.restore(now, program, age);
    }

    /// What was done in the last 24 hours: program, and how long ago.
    pub fn acted(&self, now: Duration) -> Vec<(String, Duration)> {
        self.gate.acted(now).map(|(program, age)| (program.to_owned(), age)).collect()
    }

    /// A process is there.
    pub fn found(&mut self, now: Duration, id: Id, program: &str) -> Vec<Order> {
        let growth = self.rules.iter().enumerate().filter_map(|(number, rule)| match rule.when {
            Condition::Grows(.., time) => Some((number, Trend::new(time))),
            _ => None,
        });
        let watched = Watched {
            program: program.to_owned(),
            since: now,
            is_back: false,
            last: Sample::default(),
            peak: 0,
            heap: None,
            group: Trend::new(self.window),
            used: Trend::new(self.window),
            rss: Trend::new(self.window),
            growth: growth.collect(),
            told: BTreeMap::new(),
        };
        self.watched.insert(id, watched);
        self.ended.retain(|(_, at)| now.saturating_sub(*at) < REMEMBERED);
        let Some(before) = self.ended.iter().position(|(ended, _)| ended == program) else {
            return Vec::new();
        };
        let Some((_, at)) = self.ended.remove(before) else { return Vec::new() };
        self.is_back(now, id, at)
    }

    /// A process replaces one that ended at a time.
    fn is_back(&mut self, now: Duration, id: Id, at: Duration) -> Vec<Order> {
        if let Some(watched) = self.watched.get_mut(&id) {
            watched.is_back = true;
        }
        let why = format!("it is back {} after it ended", units::time(now.saturating_sub(at)));
        self.fire_all(now, id, |condition| (*condition == Condition::Restart).then(|| why.clone()))
    }

    /// The kernel was asked for a process.
    pub fn sampled(&mut self, now: Duration, id: Id, sample: &Sample) -> Vec<Order> {
        let Some(watched) = self.watched.get_mut(&id) else { return Vec::new() };
        let first = watched.peak == 0;
        let before = std::mem::replace(&mut watched.last, sample.clone());
        watched.peak = watched.peak.max(sample.rss);
        watched.rss.push(now, sample.rss);
        if let Some(group) = &sample.group {
            watched.group.push(now, group.used);
        }
        for (number, trend) in &mut watched.growth {
            if let Condition::Grows(Quantity::Rss, ..) = self.rules[*number].when {
                trend.push(now, sample.rss);
            }
        }
        let before = before.group.filter(|_| !first);
        self.judge(now, id, |watched, number, condition| {
            let group = sample.group.as_ref();
            match condition {
                Condition::Above(Quantity::Rss, amount) => {
                    above("rss", sample.rss, *amount, group.and_then(|g| g.limit))
                }
                Condition::Grows(what @ Quantity::Rss, bytes, time) => {
                    watched.grows(number, *what, *bytes, *time)
                }
                Condition::LimitIn(time) => watched.limit_in_words(*time),
                Condition::Group(event) => {
                    let count = |group: &Group| match event {
                        GroupEvent::High => (group.high, "was slowed down at memory.high"),
                        GroupEvent::Max => (group.max, "ran into its limit"),
                        GroupEvent::Oom => (group.oom_kill, "lost a process to the kernel (OOM)"),
                    };
                    let (before, (now, text)) = (count(before.as_ref()?).0, count(group?));
                    (now > before).then(|| format!("its control group {text}"))
                }
                Condition::Pressure(limit) => {
                    let pressure = group?.pressure?;
                    (pressure > *limit).then(|| {
                        format!("memory pressure is {:.0} %, above {:.0} %", pressure * 100.0, limit * 100.0)
                    })
                }
                _ => None,
            }
        })
    }

    /// A target was asked for its heap.
    pub fn heap(&mut self, now: Duration, id: Id, heap: &HeapSample) -> Vec<Order> {
        let Some(watched) = self.watched.get_mut(&id) else { return Vec::new() };
        watched.used.push(now, heap.old_used());
        for (number, trend) in &mut watched.growth {
            match self.rules[*number].when {
                Condition::Grows(Quantity::Heap, ..) => trend.push(now, heap.used),
                Condition::Grows(Quantity::External, ..) => trend.push(now, heap.external),
                _ => {}
            }
        }
        watched.heap = Some(heap.clone());
        self.judge(now, id, |watched, number, condition| match condition {
            // A part of the limit is one of that which ends the program: of old objects.
            Condition::Above(Quantity::Heap, amount @ Amount::Share(_)) => {
                above("heap", heap.old_used(), *amount, Some(heap.old_limit()))
            }
            Condition::Above(Quantity::Heap, amount) => above("heap", heap.used, *amount, None),
            Condition::Above(Quantity::External, amount) => above("external", heap.external, *amount, None),
            Condition::Grows(what, bytes, time) if *what != Quantity::Rss => {
                watched.grows(number, *what, *bytes, *time)
            }
            Condition::LimitIn(time) => watched.limit_in_words(*time),
            Condition::LoopDelay(limit) => {
                let delay = heap.loop_delay.filter(|delay| delay > limit)?;
                Some(format!("its event loop was {} late, above {}", units::time(delay), units::time(*limit)))
            }
            _ => None,
        })
    }

    /// A process is no more. `oom_killed`: the kernel killed one of its group at that moment. A stop in order of the
    /// watcher is no end of a process.
    pub fn ended(&mut self, now: Duration, id: Id, oom_killed: bool) -> Vec<Order> {
        let Some(watched) = self.watched.get(&id) else { return Vec::new() };
        if watched.peak == 0 {
            // It ended before it was looked at: as a rule a child of a program between its fork and its exec, which was
            // never another program.
            self.left(id);
            return Vec::new();
        }
        self.counters.ended += 1;
        // What waited for it has nothing to capture any more.
        self.waiting.retain(|job| job.id != id);
        let mut orders = self.judge(now, id, |watched, _, condition| match condition {
            Condition::End => Some(format!("it ended at {}", units::bytes(watched.last.rss))),
            Condition::Group(GroupEvent::Oom) if oom_killed => {
                Some(format!("the kernel killed it (OOM) at {}", units::bytes(watched.last.rss)))
            }
            _ => None,
        });
        let Some(watched) = self.watched.remove(&id) else { return Vec::new() };
        // What replaces it may have been found before its end was noticed.
        let replaced = self.watched.iter().find(|(_, other)| {
            !other.is_back && other.program == watched.program && now.saturating_sub(other.since) < AT_ONCE
        });
        match replaced.map(|(id, _)| *id) {
            Some(other) => orders.extend(self.is_back(now, other, now)),
            None => self.ended.push_back((watched.program.clone(), now)),
        }
        while self.ended.len() > ENDED {
            self.ended.pop_front();
        }
        let ending = Ending::of(&watched.last, watched.peak, watched.heap, oom_killed);
        // A program in a crash loop ends often; its evidence has a count of its own.
        let keep = self.gate.admit(now, &evidence_of(&watched.program), EVIDENCE, Duration::ZERO).is_ok();
        orders.insert(0, Order::Evidence { id, ending, keep });
        orders
    }

    /// A process is not watched any more, although it goes on.
    pub fn left(&mut self, id: Id) {
        self.watched.remove(&id);
        self.waiting.retain(|job| job.id != id);
    }

    /// Something happened to all.
    pub fn stimulus(&mut self, now: Duration, stimulus: Stimulus) -> Vec<Order> {
        let ids: Vec<Id> = self.watched.keys().copied().collect();
        let mut orders = Vec::new();
        for id in ids {
            orders.extend(self.judge(now, id, |_, number, condition| match (stimulus, condition) {
                (Stimulus::Signal, Condition::Signal) => Some("the watcher was told to".to_owned()),
                (Stimulus::Line(rule), Condition::Line { file, .. }) if rule == number => {
                    Some(format!("a line of {} matched", file.display()))
                }
                _ => None,
            }));
        }
        orders
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Vec<Order> {
        let due: Vec<usize> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(number, _)| *number).collect();
        let mut orders = Vec::new();
        for number in due {
            let Condition::Every(time) = self.rules[number].when else { continue };
            // After a long pause it is due once, not as often as it was missed.
            self.due.insert(number, now + time);
            let ids: Vec<Id> = self.watched.keys().copied().collect();
            for id in ids {
                let why = format!("{} have passed", units::time(time));
                orders.extend(self.judge(now, id, |_, rule, _| (rule == number).then(|| why.clone())));
            }
        }
        orders
    }

    /// What a job writes has this many bytes, or is about to have.
    pub fn grew(&mut self, job: u64, bytes: u64) -> Vec<Order> {
        let room = self.budget.grow(job, bytes);
        let mut orders = removals(&room);
        if room.exceeded {
            orders.push(Order::Abort(job));
        }
        orders
    }

    /// A job, or evidence under the number of one that is none, has a whole and verified file.
    pub fn kept(&mut self, job: u64, kept: Kept) -> Vec<Order> {
        self.counters.captures += 1;
        removals(&self.budget.keep(job, kept))
    }

    /// A number for what is written without a job.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// What was written under a number is gone.
    pub fn gave_up(&mut self, job: u64) {
        self.budget.drop_job(job);
    }

    /// A job is done, or has failed, or was given up.
    pub fn finished(&mut self, job: u64) -> Vec<Order> {
        self.budget.drop_job(job);
        if self.running.as_ref().is_some_and(|running| running.number == job) {
            self.running = None;
        }
        self.begin().into_iter().collect()
    }

    /// A capture must not be removed until [`Recorder::unpin`]; to be said before it is [`Recorder::kept`].
    pub fn pin(&mut self, path: PathBuf) {
        self.budget.pin(path);
    }

    /// It may be removed again.
    pub fn unpin(&mut self, path: &Path) {
        self.budget.unpin(path);
    }

    /// How many captures must not be removed.
    pub fn pinned(&self) -> usize {
        self.budget.pinned()
    }

    /// A file that was to be removed is still there.
    pub fn not_removed(&mut self, kept: Kept) {
        self.budget.not_removed(kept);
    }

    /// Makes the room that the budget wants, for what was there before; and tries again what could not be removed.
    pub fn trim(&mut self) -> Vec<Order> {
        removals(&self.budget.trim())
    }

    /// Bytes on the disk, what may be, and how many captures.
    pub fn disk(&self) -> (u64, u64, usize) {
        (self.budget.used(), self.budget.limit(), self.budget.captures())
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The rules, as they were written, in the order of [`Counters::acted`].
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.text.as_str())
    }

    /// Whether a job is under way.
    pub fn running(&self) -> Option<&Job> {
        self.running.as_ref()
    }

    /// The processes.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.watched.iter().map(|(id, watched)| View {
            id: *id,
            program: &watched.program,
            sample: &watched.last,
            heap: watched.heap.as_ref(),
            growth: watched.rss.line(EARLY).map(|line| line.slope),
            limit_in: watched.limit_in().map(|(time, _)| time),
        })
    }

    fn fire_all(&mut self, now: Duration, id: Id, why: impl Fn(&Condition) -> Option<String>) -> Vec<Order> {
        self.judge(now, id, |_, _, condition| why(condition))
    }

    /// Asks all rules about a process, and fires those that say why.
    fn judge(
        &mut self,
        now: Duration,
        id: Id,
        why: impl Fn(&Watched, usize, &Condition) -> Option<String>,
    ) -> Vec<Order> {
        let Some(watched) = self.watched.get(&id) else { return Vec::new() };
        let fired: Vec<(usize, String)> = self
            .rules
            .iter()
            .enumerate()
            .filter_map(|(number, rule)| Some((number, why(watched, number, &rule.when)?)))
            .collect();
        let mut orders: Vec<Order> =
            fired.into_iter().filter_map(|(number, why)| self.fire(now, id, number, why)).collect();
        orders.extend(self.begin());
        orders
    }

    fn fire(&mut self, now: Duration, id: Id, number: usize, why: String) -> Option<Order> {
        let rule = self.rules.get(number)?.clone();
        let watched = self.watched.get_mut(&id)?;
        let cooldown = rule.pause();
        let full = self.waiting.len() >= WAITING;
        let admitted = if full { Ok(()) } else { self.gate.admit(now, &watched.program, number, cooldown) };
        match admitted {
            Ok(()) if !full => {
                self.counters.acted[number] += 1;
                let job = Job { number: self.next, id, rule: rule.text, why, actions: rule.actions };
                self.next += 1;
                self.waiting.push_back(job);
                None
            }
            Ok(()) => {
                self.counters.skipped += 1;
                Some(Order::Skip {
                    id,
                    rule: rule.text,
                    why: format!("{why}; {WAITING} captures wait already"),
                })
            }
            // It has acted a moment ago, for the very same.
            Err(Refused::Cooldown) => None,
            Err(Refused::Day) => {
                // Not at every look.
                if watched.told.get(&number).is_some_and(|told| now.saturating_sub(*told) < TOLD) {
                    return None;
                }
                watched.told.insert(number, now);
                self.counters.skipped += 1;
                let why = format!("{why}; it has acted as often as it may in 24 hours");
                Some(Order::Skip { id, rule: rule.text, why })
            }
        }
    }

    /// Begins the next job, if none is under way.
    fn begin(&mut self) -> Option<Order> {
        if self.running.is_some() {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.running = Some(job.clone());
        Some(Order::Begin(job))
    }
}

/// The name under which evidence of a program is counted.
fn evidence_of(program: &str) -> String {
    format!("{program}\0evidence")
}

fn removals(room: &Room) -> Vec<Order> {
    room.remove.iter().cloned().map(Order::Remove).collect()
}

/// Whether a quantity is above a limit, in words.
fn above(name: &str, value: u64, amount: Amount, limit: Option<u64>) -> Option<String> {
    let (bytes, shown) = match amount {
        Amount::Bytes(bytes) => (bytes, units::bytes(bytes)),
        Amount::Share(share) => {
            let limit = limit.filter(|limit| *limit > 0)?;
            let bytes = (limit as f64 * share) as u64;
            (bytes, format!("{:.0} % of {}", share * 100.0, units::bytes(limit)))
        }
    };
    (value > bytes).then(|| format!("{name} is {}, above {shown}", units::bytes(value)))
}

impl Watched {
    fn grows(&self, rule: usize, what: Quantity, bytes: u64, time: Duration) -> Option<String> {
        let line = self.growth.get(&rule)?.line(HALF)?;
        let grown = line.slope * time.as_secs_f64();
        (line.grows() && grown >= bytes as f64).then(|| {
            format!(
                "{} grows {} in {}, {} or more",
                what.name(),
                units::bytes(grown as u64),
                units::time(time),
                units::bytes(bytes)
            )
        })
    }

    /// When the first of the limits is reached, and which that is.
    fn limit_in(&self) -> Option<(Duration, &'static str)> {
        let group = self.last.group.as_ref().and_then(|group| {
            Some((self.group.line(EARLY)?.reaches(group.limit?)?, "the limit of its control group"))
        });
        let heap = self.heap.as_ref().filter(|heap| heap.limit > 0).and_then(|heap| {
            Some((self.used.line(EARLY)?.reaches(heap.old_limit())?, "the limit of its heap"))
        });
        group.into_iter().chain(heap).min()
    }

    fn limit_in_words(&self, within: Duration) -> Option<String> {
        let (time, what) = self.limit_in()?;
        (time < within).then(|| format!("it reaches {what} in {} at this rate", units::time(time)))
    }
}
