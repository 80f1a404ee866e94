//! The recorder on a virtual clock: what fires and what does not, and a year of triggers that never exceeds the budget.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    time::Duration,
};

use heapsight_watch::{
    Settings,
    recorder::{Cause, Group, HeapSample, Id, Job, Kept, Order, Recorder, Sample, Stimulus},
    settings::Rule,
};

const MIB: u64 = 1 << 20;
const START: Duration = Duration::from_secs(400 * 86400);

fn seconds(n: u64) -> Duration {
    START + Duration::from_secs(n)
}

fn id(pid: u32) -> Id {
    Id { pid, start_time: u64::from(pid) * 10 }
}

fn settings(rules: &[&str]) -> Settings {
    let actions = ["snapshot".to_owned()];
    let cooldown = Duration::from_secs(600);
    let rules = rules.iter().map(|rule| Rule::parse(rule, &actions, cooldown).unwrap()).collect();
    Settings { rules, ..Settings::default() }
}

fn recorder(rules: &[&str]) -> Recorder {
    let mut recorder = Recorder::new(&settings(rules), Vec::new(), START);
    recorder.found(START, id(1), "node server.js");
    recorder
}

#[expect(clippy::unnecessary_wraps, reason = "as a sample has it")]
fn group(used: u64, limit: u64) -> Option<Group> {
    Some(Group { used, limit: Some(limit), ..Group::default() })
}

fn rss(mib: u64) -> Sample {
    Sample { rss: mib * MIB, group: None }
}

fn begun(orders: &[Order]) -> Vec<&Job> {
    orders.iter().filter_map(|order| if let Order::Begin(job) = order { Some(job) } else { None }).collect()
}

fn why(orders: &[Order]) -> Vec<&str> {
    begun(orders).iter().map(|job| job.why.as_str()).collect()
}

#[test]
fn a_limit_fires_once_and_again_after_its_cooldown() {
    let mut recorder = recorder(&["rss > 100MiB"]);
    assert_eq!(recorder.sampled(seconds(1), id(1), &rss(99)), []);
    let orders = recorder.sampled(seconds(2), id(1), &rss(101));
    assert_eq!(why(&orders), ["rss is 101 MiB, above 100 MiB"]);
    let job = begun(&orders)[0].number;
    for second in 3..600 {
        assert_eq!(recorder.sampled(seconds(second), id(1), &rss(200)), []);
    }
    assert_eq!(recorder.finished(job), []);
    assert_eq!(begun(&recorder.sampled(seconds(602), id(1), &rss(200))).len(), 1);
}

#[test]
fn a_share_of_the_heap_is_one_of_what_ends_the_program() {
    // `--max-old-space-size=128`: V8 says 176 MiB, of which 48 are for young objects.
    let heap = |old: u64, young: u64| HeapSample {
        used: (old + young) * MIB,
        limit: 176 * MIB,
        spaces: vec![("old_space".to_owned(), old * MIB), ("new_space".to_owned(), young * MIB)],
        ..HeapSample::default()
    };
    let mut shares = recorder(&["heap > 85%"]);
    assert_eq!(shares.heap(seconds(1), id(1), &heap(105, 40)), []);
    let orders = shares.heap(seconds(2), id(1), &heap(110, 2));
    assert_eq!(why(&orders), ["heap is 110 MiB, above 85 % of 128 MiB"]);
    // 1 MiB in two seconds: 113 of 128 after 146 seconds.
    let mut limit = recorder(&["limit in 30s"]);
    let first = (0..300)
        .find(|&second| !begun(&limit.heap(seconds(second), id(1), &heap(40 + second / 2, 1))).is_empty());
    assert!(first.is_some_and(|second| (140..=150).contains(&second)), "{first:?}");
}

#[test]
fn shares_are_of_the_limit_of_the_group_and_of_the_heap() {
    let mut recorder = recorder(&["rss > 80%", "heap > 90%"]);
    let sample = |mib| Sample { rss: mib * MIB, group: group(1, 100 * MIB) };
    assert_eq!(recorder.sampled(seconds(1), id(1), &sample(79)), []);
    let orders = recorder.sampled(seconds(2), id(1), &sample(81));
    assert_eq!(why(&orders), ["rss is 81.0 MiB, above 80 % of 100 MiB"]);
    recorder.finished(begun(&orders)[0].number);
    let heap = HeapSample { used: 95, limit: 100, ..HeapSample::default() };
    assert_eq!(begun(&recorder.heap(seconds(3), id(1), &heap)).len(), 1);
    // Without a limit a share of it says nothing.
    let mut free = Recorder::new(&settings(&["rss > 1%"]), Vec::new(), START);
    free.found(START, id(1), "x");
    assert_eq!(free.sampled(seconds(1), id(1), &rss(4000)), []);
}

#[test]
fn growth_and_the_time_to_the_limit_are_by_the_line() {
    let mut recorder = recorder(&["rss grows 100MiB/10m", "limit in 5m"]);
    let mut fired = BTreeMap::new();
    for second in 0..1200 {
        let used = (100 << 20) + second * 300 * 1024;
        let sample = Sample { rss: used, group: group(used, 512 * MIB) };
        for job in begun(&recorder.sampled(seconds(second), id(1), &sample)) {
            fired.entry(job.rule.clone()).or_insert((second, job.why.clone()));
            recorder.finished(job.number);
        }
    }
    // 300 KiB a second are 175 MiB in ten minutes, and 412 MiB take 1,406 seconds; five minutes earlier it is 1,106.
    let (at, why) = &fired["rss grows 100MiB/10m"];
    assert!((300..320).contains(at), "{fired:?}");
    assert!(why.starts_with("rss grows 176 MiB in 10 minutes"), "{why}");
    let (at, why) = &fired["limit in 5m"];
    assert!((1090..1125).contains(at), "{fired:?}");
    assert!(why.starts_with("it reaches the limit of its control group in"), "{why}");
}

#[test]
fn events_of_the_group_count_from_when_they_were_first_seen() {
    let mut recorder = recorder(&["cgroup max", "cgroup high", "pressure > 20%"]);
    let sample = |max, high, pressure| Sample {
        rss: MIB,
        group: Some(Group { max, high, pressure: Some(pressure), ..Group::default() }),
    };
    assert_eq!(recorder.sampled(seconds(1), id(1), &sample(7, 9, 0.1)), []);
    let orders = recorder.sampled(seconds(2), id(1), &sample(8, 9, 0.1));
    assert_eq!(why(&orders), ["its control group ran into its limit"]);
    recorder.finished(begun(&orders)[0].number);
    assert_eq!(
        why(&recorder.sampled(seconds(3), id(1), &sample(8, 9, 0.25))),
        ["memory pressure is 25 %, above 20 %"]
    );
}

#[test]
fn an_end_leaves_evidence_and_a_program_that_is_back_is_known() {
    let mut recorder = recorder(&["restart", "cgroup oom"]);
    recorder.sampled(seconds(1), id(1), &rss(700));
    recorder.sampled(seconds(2), id(1), &rss(650));
    let orders = recorder.ended(seconds(3), id(1), true);
    let Order::Evidence { ending, keep: true, .. } = &orders[0] else { panic!("{orders:?}") };
    assert_eq!((ending.cause, ending.rss, ending.peak), (Cause::Oom, 650 * MIB, 700 * MIB));
    assert_eq!(why(&orders), ["the kernel killed it (OOM) at 650 MiB"]);
    recorder.finished(begun(&orders)[0].number);
    assert_eq!(recorder.found(seconds(5), id(2), "node other.js"), []);
    let orders = recorder.found(seconds(6), id(3), "node server.js");
    assert_eq!(why(&orders), ["it is back 3 s after it ended"]);
    recorder.finished(begun(&orders)[0].number);
    recorder.sampled(seconds(7), id(3), &rss(600));
    // A child of the program that was never looked at, between its fork and its exec, is no program that ends.
    recorder.found(seconds(8), id(9), "node server.js");
    assert_eq!(recorder.ended(seconds(8), id(9), false), []);
    assert_eq!(recorder.found(seconds(700), id(4), "node server.js"), [], "it came back once");
    // What replaces it may be found before its end is noticed.
    assert_eq!(recorder.found(seconds(701), id(5), "node server.js"), []);
    let orders = recorder.ended(seconds(702), id(3), false);
    assert_eq!(begun(&orders).iter().map(|job| job.id).collect::<Vec<_>>(), [id(4)]);
}

#[test]
fn workers_of_a_cluster_share_a_count_and_only_one_job_runs() {
    let mut recorder = recorder(&["rss > 1MiB", "signal"]);
    recorder.found(START, id(2), "node server.js");
    recorder.found(START, id(3), "node other.js");
    assert_eq!(begun(&recorder.sampled(seconds(1), id(1), &rss(5))).len(), 1);
    assert_eq!(recorder.sampled(seconds(1), id(2), &rss(5)), [], "another of the same program acts");
    assert_eq!(recorder.sampled(seconds(1), id(3), &rss(5)), [], "it waits");
    assert_eq!(recorder.stimulus(seconds(2), Stimulus::Signal), []);
    let order: Vec<u32> = (1..4)
        .flat_map(|job| recorder.finished(job))
        .map(|order| match order {
            Order::Begin(job) => job.id.pid,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [3, 1, 3]);
}

#[test]
fn a_process_that_ends_is_not_captured_any_more() {
    let mut recorder = recorder(&["signal"]);
    recorder.found(START, id(2), "node other.js");
    let orders = recorder.stimulus(seconds(1), Stimulus::Signal);
    let job = begun(&orders)[0].number;
    recorder.ended(seconds(2), id(2), false);
    assert_eq!(recorder.finished(job), []);
    assert_eq!(recorder.sampled(seconds(3), id(2), &rss(5)), []);
}

#[test]
fn the_day_is_counted_over_restarts_of_the_watcher() {
    let settings = Settings { per_day: 2, ..settings(&["signal"]) };
    let mut first = Recorder::new(&settings, Vec::new(), START);
    first.found(START, id(1), "x");
    for second in [1, 1000] {
        let orders = first.stimulus(seconds(second), Stimulus::Signal);
        first.finished(begun(&orders)[0].number);
    }
    let acted = first.acted(seconds(1001));
    let mut second = Recorder::new(&settings, Vec::new(), START);
    for (program, age) in &acted {
        second.restore(START, program, *age);
    }
    second.found(START, id(1), "x");
    let orders = second.stimulus(seconds(1), Stimulus::Signal);
    assert!(matches!(&orders[..], [Order::Skip { why, .. }] if why.contains("24 hours")), "{orders:?}");
    assert_eq!(second.stimulus(seconds(2), Stimulus::Signal), [], "it is said once");
    assert_eq!(begun(&second.stimulus(seconds(86400), Stimulus::Signal)).len(), 1);
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A disk that checks the budget at every byte.
#[derive(Default)]
struct Disk {
    files: BTreeMap<PathBuf, u64>,
    order: VecDeque<PathBuf>,
    /// Still to be uploaded.
    pinned: VecDeque<PathBuf>,
    partial: u64,
    most: u64,
    removed: u64,
}

impl Disk {
    fn carry_out(&mut self, orders: Vec<Order>, jobs: &mut Vec<Job>, aborted: &mut bool) {
        for order in orders {
            match order {
                Order::Begin(job) => jobs.push(job),
                Order::Abort(_) => *aborted = true,
                Order::Remove(path) => {
                    let free = self.order.iter().position(|path| !self.pinned.contains(path));
                    assert_eq!(
                        free.and_then(|at| self.order.remove(at)),
                        Some(path.clone()),
                        "the oldest goes first"
                    );
                    self.files.remove(&path).unwrap();
                    self.removed += 1;
                }
                Order::Skip { .. } | Order::Evidence { .. } => {}
            }
        }
    }

    fn check(&mut self, limit: u64) {
        let used = self.files.values().sum::<u64>() + self.partial;
        assert!(used <= limit, "{used} bytes, {limit} allowed");
        self.most = self.most.max(used);
    }
}

/// 10,000 triggers in a year, at random, of 20 programs that crash and come back, with captures of all sizes, some of them
/// larger than the whole budget, and uploads that are late: at no byte is the budget exceeded, at no time more is done in 24
/// hours than may be, and what is removed is the oldest of what is uploaded.
#[test]
fn ten_thousand_triggers_in_a_year_never_exceed_the_budget() {
    const TRIGGERS: u64 = 10_000;
    const YEAR: u64 = 365 * 86400;
    const PER_DAY: usize = 4;
    let limit = 1000 * MIB;
    let mut settings = settings(&["signal", "rss > 100MiB", "every 6h", "restart"]);
    (settings.per_day, settings.disk_budget) = (PER_DAY as u32, limit);
    let mut recorder = Recorder::new(&settings, Vec::new(), START);
    let mut dice = Dice(7);
    let (mut disk, mut jobs, mut aborted) = (Disk::default(), Vec::new(), false);
    let mut acted: BTreeMap<String, VecDeque<Duration>> = BTreeMap::new();
    let mut alive: BTreeMap<u32, Id> = BTreeMap::new();
    let (mut done, mut too_large, mut next_pid, mut at) = (0, 0, 100, 0);
    let name = |program: u32| format!("node app{program}.js");
    for _ in 0..TRIGGERS {
        at += 1 + dice.below(2 * YEAR / TRIGGERS);
        let now = seconds(at);
        let program = dice.below(20) as u32;
        let orders = match (dice.below(5), alive.get(&program).copied()) {
            (_, None) => {
                next_pid += 1;
                alive.insert(program, id(next_pid));
                recorder.found(now, id(next_pid), &name(program))
            }
            (0, Some(id)) => {
                alive.remove(&program);
                recorder.ended(now, id, false)
            }
            (1, _) => recorder.stimulus(now, Stimulus::Signal),
            (2, _) => recorder.tick(now),
            (_, Some(id)) => recorder.sampled(now, id, &rss(150)),
        };
        disk.carry_out(orders, &mut jobs, &mut aborted);
        while let Some(job) = jobs.pop() {
            let owner =
                alive.iter().find(|(_, id)| **id == job.id).map(|(program, _)| name(*program)).unwrap();
            let times = acted.entry(owner).or_default();
            times.push_back(now);
            done += 1;
            let mut size = MIB * (1 + dice.below(300));
            if dice.below(40) == 0 {
                size = limit + MIB * dice.below(500);
            }
            (aborted, disk.partial) = (false, 0);
            while disk.partial < size {
                let next = size.min(disk.partial + MIB * (1 + dice.below(20)));
                let orders = recorder.grew(job.number, next);
                disk.carry_out(orders, &mut jobs, &mut aborted);
                if aborted {
                    break;
                }
                disk.partial = next;
                disk.check(limit);
            }
            let bytes = std::mem::take(&mut disk.partial);
            if aborted {
                too_large += 1;
            } else {
                let path = PathBuf::from(format!("watch-{done:06}"));
                recorder.pin(path.clone());
                disk.pinned.push_back(path.clone());
                disk.files.insert(path.clone(), bytes);
                disk.order.push_back(path.clone());
                let orders = recorder.kept(job.number, Kept { path, bytes });
                disk.carry_out(orders, &mut jobs, &mut aborted);
            }
            disk.check(limit);
            let orders = recorder.finished(job.number);
            disk.carry_out(orders, &mut jobs, &mut aborted);
        }
        // Uploads are late, for days at times.
        while !disk.pinned.is_empty() && dice.below(10) < if at / 86400 % 30 < 5 { 1 } else { 8 } {
            let path = disk.pinned.pop_front().unwrap();
            recorder.unpin(&path);
        }
    }
    for times in acted.values() {
        for (first, after) in times.iter().zip(times.iter().skip(PER_DAY)) {
            assert!(
                after.saturating_sub(*first) >= Duration::from_secs(86400),
                "more than {PER_DAY} in a day"
            );
        }
    }
    assert!(at > YEAR * 9 / 10 && done > 2000 && too_large > 20, "{at} {done} {too_large}");
    assert!(disk.removed > 1000 && disk.most > limit / 2, "{} {}", disk.removed, disk.most);
}
