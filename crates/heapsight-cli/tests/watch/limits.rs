//! The limits of what is done and kept, and what outlives a watcher that was killed.

use std::fs;

use crate::{
    command::Cli,
    programs::{Program, children, listening, signal, until},
    watcher::Watcher,
};

fn bytes(watcher: &Watcher) -> u64 {
    let list = fs::read_dir(&watcher.folder).unwrap().flatten();
    let captures = list.filter(|entry| !entry.file_name().to_string_lossy().starts_with(".heapsight-watch"));
    captures.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

#[test]
fn the_oldest_captures_make_room_and_a_program_has_so_many_a_day() {
    // Three captures, of which none has more than a half.
    const BUDGET: u64 = 3 << 20;
    let program = Program::node(24);
    let cli = Cli::new();
    let args = [&program.target()[..], "--on", "every 200ms", "--per-day", "4", "--disk-budget", "3MiB"];
    let mut watcher = Watcher::start(&cli, &args);
    watcher.await_event("attached");
    let skipped = until("the day is over", || {
        let used = bytes(&watcher);
        assert!(used <= BUDGET, "{used} bytes");
        watcher.all("skipped").into_iter().next()
    });
    assert!(skipped["why"].as_str().unwrap().contains("24 hours"), "{skipped}");
    until("the last is done", || (watcher.all("captured").len() == 4).then_some(()));
    let removed = watcher.all("removed").len();
    assert!(removed > 0, "{:?}", watcher.events());
    assert_eq!(watcher.captures().len(), watcher.all("captured").len() - removed);
    // Another watcher does not begin the day anew.
    watcher.end();
    let mut second = Watcher::start(&cli, &args);
    second.await_event("skipped");
    assert_eq!(second.all("fired"), [serde_json::Value::Null; 0]);
    second.end();
    program.is_as_before();
}

#[test]
fn a_watcher_that_is_killed_leaves_the_program_as_it_was() {
    // Also in the first moments of a conversation, where a program that loses the other end may crash.
    for major in [18, 22, 26] {
        let program = Program::node(major);
        let cli = Cli::new();
        for number in 0..6 {
            let mut watcher = Watcher::start(&cli, &[&program.target()]);
            assert_eq!(watcher.await_event("attached")["opened"], true, "{major} {number}");
            std::thread::sleep(std::time::Duration::from_millis(number * 7));
            watcher.kill();
            program.is_as_before();
        }
    }
}

/// Watches a program without a word, and is killed with the process that would end its connections.
fn killed_with_its_guard(cli: &Cli, program: &Program) {
    let quiet = ["--heap-every", "1h", "--profile-every", "never", "--every", "100ms"];
    let target = program.target();
    let mut watcher = Watcher::start_with(cli, &[&[&target[..]], &quiet[..]].concat());
    watcher.await_event("attached");
    std::thread::sleep(std::time::Duration::from_millis(300));
    for child in children(watcher.pid()) {
        signal(child, "KILL");
    }
    watcher.kill();
}

#[test]
fn what_a_killed_watcher_opened_the_next_one_closes() {
    let program = Program::node(22);
    let before = listening(program.pid());
    let cli = Cli::new();
    killed_with_its_guard(&cli, &program);
    assert_ne!(listening(program.pid()), before, "nobody could close it");
    let mut second = Watcher::start(&cli, &[&program.target()]);
    let attached = second.await_event("attached");
    assert_eq!((&attached["opened"], &attached["profile"]), (&true.into(), &true.into()), "{attached}");
    second.end();
    program.is_as_before();
    // Also one that watches another process.
    killed_with_its_guard(&cli, &program);
    let other = Program::node(20);
    let mut fourth = Watcher::start(&cli, &[&other.target()]);
    fourth.await_event("attached");
    fourth.end();
    program.is_as_before();
    other.is_as_before();
    // What it could not write down either is known to the program itself, and to any command.
    killed_with_its_guard(&cli, &program);
    assert_ne!(listening(program.pid()), before);
    fs::remove_file(cli.path().join("captures/.heapsight-watch.json")).unwrap();
    cli.snapshot(&program.target(), &[]);
    program.is_as_before();
}

#[test]
fn the_same_signal_twice_is_one_wish() {
    let program = Program::node(20);
    let cli = Cli::new();
    let mut watcher = Watcher::start(&cli, &[&program.target(), "--on", "every 200ms"]);
    watcher.await_event("captured");
    // As `timeout` sends it: to the command, and to its group.
    signal(watcher.pid(), "INT");
    watcher.end();
    program.is_as_before();
    let partial = |name: &String| name.ends_with(".partial");
    assert!(!watcher_files(&cli).iter().any(partial));
}

/// All files in the folder of the captures.
fn watcher_files(cli: &Cli) -> Vec<String> {
    let files = fs::read_dir(cli.path().join("captures")).unwrap();
    files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_folder_has_one_watcher() {
    let program = Program::node(24);
    let cli = Cli::new();
    let mut watcher = Watcher::start(&cli, &[&program.target()]);
    watcher.await_event("attached");
    cli.run(&["watch", &program.target(), "-o", "captures"]).failed(&["another heapsight watch"]);
    watcher.end();
    program.is_as_before();
}
