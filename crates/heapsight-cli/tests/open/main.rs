//! The page of `heapsight open` in a real browser, by scripts: each is a suite of node:test that starts the command and
//! drives Chromium by playwright-core. Files that the command writes are opened in Chromium's DevTools. Types of the page are checked by TypeScript.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use heapsight_testkit::runtimes;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// One suite at a time: each has a browser, and waits that a machine with several of them would not keep.
static TURN: Mutex<()> = Mutex::new(());

/// Runs one suite.
fn suite(name: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(runtimes::node(22))
        .args(["--test", "--test-reporter=spec", "--test-force-exit", "--test-timeout=300000"])
        .arg(here("tests/open").join(name))
        .current_dir(scratch.path())
        .env("HEAPSIGHT", env!("CARGO_BIN_EXE_heapsight"))
        .env("HEAPSIGHT_CACHE_DIR", scratch.path().join("cache"))
        .env("CHROMIUM", runtimes::chromium())
        .env("NODE_BINARY", runtimes::node(22))
        .env("PLAYWRIGHT", runtimes::reader("playwright-core"))
        .env("AXE", runtimes::reader("axe-core"))
        .env("FIXTURES", here("../../fixtures"))
        .env("SCRATCH", scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn views_of_snapshots() {
    suite("snapshots.mjs");
}

#[test]
fn a_live_process() {
    suite("live.mjs");
}

#[test]
fn what_goes_wrong_is_said() {
    suite("troubles.mjs");
}

#[test]
fn what_is_written_opens_in_devtools() {
    suite("devtools.mjs");
}

#[test]
fn types_of_the_page_are_right() {
    let ui = here("../heapsight-web/ui");
    let compiler = runtimes::reader("typescript").join("bin/tsc");
    let output = Command::new(runtimes::node(22)).arg(compiler).arg("-p").arg(&ui).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
