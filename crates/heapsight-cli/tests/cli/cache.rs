//! The index: quick when it fits, never wrong, never in the way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, SystemTime},
};

use crate::{Cli, show};

const FILE: &str = "node-22.23.3.heapsnapshot";

/// Runs with an index folder of the test's own, for files of any size.
fn run(cli: &Cli, args: &[&str]) -> Output {
    run_with(cli, args, &cli.file("cache"), u64::MAX >> 1)
}

fn run_with(cli: &Cli, args: &[&str], dir: &Path, limit: u64) -> Output {
    let mut command = cli.command(args);
    command
        .env("HEAPSIGHT_CACHE_DIR", dir)
        .env("HEAPSIGHT_CACHE_BYTES", limit.to_string())
        .env("HEAPSIGHT_CACHE_FROM_BYTES", "0");
    command.output().unwrap()
}

fn indices(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut list: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    list.sort();
    list
}

/// A capture that has been there for a while: a file that changed this very moment is not cached.
fn fixture(cli: &Cli, name: &str) -> PathBuf {
    let path = cli.fixture(name);
    age(&path);
    path
}

fn age(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
}

fn used_index(output: &Output) -> bool {
    let error = String::from_utf8_lossy(&output.stderr);
    error.contains("ms  index") || error.contains("ms  overview from index")
}

/// Commands whose answers must be the same from the index.
const QUESTIONS: [&[&str]; 7] = [
    &["summary", FILE, "--json", "--timings"],
    &["summary", FILE, "--filter", "contexts", "--json", "--timings"],
    &["stats", FILE, "--json", "--timings"],
    &["strings", FILE, "--duplicates", "--json", "--timings"],
    &["retainers", FILE, "Dog", "--json", "--timings"],
    &["dominators", FILE, "--json", "--timings"],
    &["export", FILE, "--nodes", "-", "--timings"],
];

#[test]
fn answers_from_the_index_are_the_same() {
    let cli = Cli::new();
    fixture(&cli, FILE);
    let fresh: Vec<Vec<u8>> = QUESTIONS.iter().map(|args| cli.run(args).stdout).collect();
    assert!(!used_index(&run(&cli, QUESTIONS[0])));
    for (args, expected) in QUESTIONS.iter().zip(&fresh) {
        let output = run(&cli, args);
        assert!(used_index(&output), "{args:?}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == *expected, "{args:?}");
    }
    assert!(!used_index(&run(&cli, &["summary", FILE, "--no-cache", "--timings"])));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&cli.file("cache")), 0o700);
        assert_eq!(mode(&indices(&cli.file("cache"))[0]), 0o600);
    }
}

#[test]
fn a_timeline_keeps_its_traces_and_samples() {
    let cli = Cli::new();
    let name = "node-22.23.3.heaptimeline";
    fixture(&cli, name);
    let questions: [&[&str]; 2] = [
        &["allocations", name, "--json", "--timings"],
        &["allocations", name, "--intervals", "--json", "--timings"],
    ];
    for args in questions {
        let first = run(&cli, args);
        let second = run(&cli, args);
        assert!(used_index(&second) && first.stdout == second.stdout, "{args:?}");
    }
}

#[test]
fn a_page_keeps_its_scopes() {
    let cli = Cli::new();
    fixture(&cli, "contexts.heapsnapshot");
    let question = ["stats", "contexts.heapsnapshot", "--json", "--timings"];
    let first = run(&cli, &question);
    let second = run(&cli, &question);
    assert!(used_index(&second) && first.stdout == second.stdout);
    assert!(String::from_utf8_lossy(&second.stdout).contains("\"function\": \"leaky\""));
}

#[test]
fn a_changed_file_is_read_again() {
    let cli = Cli::new();
    let path = fixture(&cli, FILE);
    run(&cli, QUESTIONS[0]);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    // Another snapshot under the name, of the same length and with the time of the old one set.
    let mut text = fs::read(&path).unwrap();
    let at = text.len() - 10_000;
    let digit = text[at..].iter().position(u8::is_ascii_lowercase).unwrap() + at;
    text[digit] = if text[digit] == b'x' { b'y' } else { b'x' };
    fs::write(&path, &text).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert!(!used_index(&run(&cli, QUESTIONS[0])));
    // Another file at the path.
    fs::remove_file(&path).unwrap();
    fixture(&cli, "pairA.heapsnapshot");
    fs::rename(cli.file("pairA.heapsnapshot"), &path).unwrap();
    let expected = cli.run(QUESTIONS[0]).stdout;
    let output = run(&cli, QUESTIONS[0]);
    assert!(!used_index(&output) && output.stdout == expected);
}

#[test]
fn a_damaged_index_is_made_again() {
    let cli = Cli::new();
    fixture(&cli, FILE);
    let question = QUESTIONS[6];
    let expected = cli.run(question).stdout;
    run(&cli, question);
    let [index] = &indices(&cli.file("cache"))[..] else { panic!("one index") };
    let whole = fs::read(index).unwrap();
    let step = whole.len() / 23;
    let damaged = (0..23).map(|i| {
        let mut bytes = whole.clone();
        bytes[i * step + 70] ^= 0x10;
        bytes
    });
    let truncated = [0, 1, 63, 64, whole.len() / 2, whole.len() - 1].map(|len| whole[..len].to_vec());
    let foreign = [b"something else".to_vec(), vec![0; 4096]];
    for bytes in damaged.chain(truncated).chain(foreign) {
        fs::write(index, &bytes).unwrap();
        let output = run(&cli, question);
        assert!(output.status.success() && output.stdout == expected, "{}", show(&output));
    }
    // Whatever it was, a good one is there again.
    assert!(used_index(&run(&cli, question)));
}

#[test]
fn several_processes_at_once_are_safe() {
    let cli = Cli::new();
    fixture(&cli, FILE);
    let expected = cli.run(QUESTIONS[2]).stdout;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| (0..3).map(|_| run(&cli, QUESTIONS[2])).collect::<Vec<_>>()))
            .collect();
        for output in workers.into_iter().flat_map(|w| w.join().unwrap()) {
            assert!(output.status.success() && output.stdout == expected, "{}", show(&output));
        }
    });
    let left = indices(&cli.file("cache"));
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_the_index() {
    let cli = Cli::new();
    fixture(&cli, FILE);
    let expected = cli.run(QUESTIONS[0]).stdout;
    cli.write("a-file", "");
    // A file in place of the folder, a folder that cannot be made, and one on a file system without room for files.
    for dir in [cli.file("a-file"), PathBuf::from("/proc/heapsight"), PathBuf::from("/sys/heapsight")] {
        let output = run_with(&cli, QUESTIONS[0], &dir, u64::MAX >> 1);
        assert!(output.status.success() && output.stdout == expected, "{}", show(&output));
    }
}

#[test]
fn the_folder_is_bounded() {
    let cli = Cli::new();
    let names = ["pairA.heapsnapshot", "pairB.heapsnapshot", "node-14.21.3.heapsnapshot"];
    for name in names {
        fixture(&cli, name);
        run(&cli, &["summary", name]);
    }
    let dir = cli.file("cache");
    let sizes: Vec<u64> = indices(&dir).iter().map(|p| fs::metadata(p).unwrap().len()).collect();
    assert_eq!(sizes.len(), 3);
    // Room for two: of the three the one that was used longest ago goes.
    let limit = sizes.iter().sum::<u64>() - 1;
    run(&cli, &["summary", "pairA.heapsnapshot"]);
    fixture(&cli, FILE);
    run_with(&cli, &["summary", FILE], &dir, limit);
    let sum: u64 = indices(&dir).iter().map(|p| fs::metadata(p).unwrap().len()).sum();
    assert!(sum <= limit, "{sum} of {limit}");
    assert!(used_index(&run(&cli, &["summary", FILE, "--timings"])), "the newest stays");
    // None at all where not even one has room.
    let dir = cli.file("tiny");
    run_with(&cli, &["summary", FILE], &dir, 1000);
    assert!(indices(&dir).is_empty());
}

#[test]
fn what_dead_processes_left_is_cleaned_up() {
    let cli = Cli::new();
    fixture(&cli, FILE);
    let dir = cli.file("cache");
    fs::create_dir(&dir).unwrap();
    for (name, age_seconds) in [("old.1.tmp", 7200), ("young.1.tmp", 60)] {
        fs::write(dir.join(name), "x").unwrap();
        let file = fs::OpenOptions::new().write(true).open(dir.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age_seconds)).unwrap();
    }
    run(&cli, QUESTIONS[0]);
    let left: Vec<String> =
        indices(&dir).iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(left.contains(&"young.1.tmp".to_owned()) && !left.contains(&"old.1.tmp".to_owned()), "{left:?}");
}
