//! Fork snapshots in a row of a Node.js that is kept busy: `fork_soak [MAJOR] [COUNT]`, by default 200 of Node.js 20.
//!
//! The target allocates, compresses and hashes, and so does a worker; every fourth snapshot is the worker's. Each must be
//! whole and hold the objects that are known to be there, and in the end nothing may be left in the target.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "this is a measuring program")]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use heapsight_capture::fork::{Evaluate, Fork, Options, Progress, Report, Verdict};
use heapsight_snapshot::{ReadOptions, read};

#[path = "../tests/fork_node/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod fork_node;

use fork_node::{LOAD, Node, Worker, children};

fn main() {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u32>().unwrap());
    let (major, count) = (arguments.next().unwrap_or(20), arguments.next().unwrap_or(200));
    let mut node = Node::new(major);
    let pid = node.pid();
    node.value("keep(20000)");
    let mut worker = node.start_worker();
    worker.evaluate("keep(1000)", Duration::from_secs(60)).unwrap();
    worker.evaluate(LOAD, Duration::from_secs(60)).unwrap();
    node.value(LOAD);
    let (descriptors, threads, begun) = (node.descriptors(), node.threads(), Instant::now());
    let (mut reports, mut failures) = (Vec::<Report>::new(), 0);
    for turn in 0..count {
        let mut bytes = Vec::new();
        let mut fork = Fork::prepare(pid).unwrap();
        let watch = &mut |_: &Progress| Verdict::Continue;
        let in_worker = turn % 4 == 3;
        let mut worker = Worker(&mut node);
        let evaluator: &mut dyn Evaluate = if in_worker { &mut worker } else { &mut *worker.0 };
        match fork.capture(evaluator, &Options::default(), &mut bytes, watch) {
            Ok(report) => {
                let snapshot = read(&*bytes, ReadOptions::default()).unwrap();
                let name = snapshot.strings.find("Marker");
                let named = snapshot.nodes.name.iter().filter(|index| name.contains(index)).count();
                assert!(named >= if in_worker { 1000 } else { 20000 }, "{named} markers");
                reports.push(report);
                if (turn + 1) % 20 == 0 {
                    println!("{} of {count} after {} s", turn + 1, begun.elapsed().as_secs());
                }
            }
            Err(error) => {
                failures += 1;
                println!("{turn}: {error}");
            }
        }
    }
    let seconds = begun.elapsed().as_secs();
    let mut pauses: Vec<Duration> = reports.iter().map(|report| report.pause).collect();
    pauses.sort();
    let setbacks: Vec<&String> = reports.iter().flat_map(|report| &report.setbacks).collect();
    println!("node {major}: {} whole, {failures} failed, in {seconds} s", reports.len());
    println!("forks {}, of these ended early {}", reports.len() + setbacks.len(), setbacks.len());
    println!("most tries {:?}", reports.iter().map(|report| report.tries).max());
    let mut kinds: Vec<(&String, usize)> = Vec::new();
    for setback in setbacks {
        match kinds.iter_mut().find(|(kind, _)| *kind == setback) {
            Some((_, count)) => *count += 1,
            None => kinds.push((setback, 1)),
        }
    }
    for (kind, count) in kinds {
        println!("  {count} x {kind}");
    }
    if let (Some(median), Some(longest)) = (pauses.get(pauses.len() / 2), pauses.last()) {
        println!("pause: median {median:?}, longest {longest:?}");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    println!(
        "target: {resident}, {} children, {} threads ({threads} before)",
        children(pid).len(),
        node.threads()
    );
    let after = node.descriptors();
    let new: Vec<_> = after.difference(&descriptors).collect();
    println!("descriptors: {} before, {} after, new {new:?}", descriptors.len(), after.len());
    println!("turns of the target's loop: {}", node.value("turns"));
}
