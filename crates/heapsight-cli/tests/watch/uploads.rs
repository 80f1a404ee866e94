//! Captures and profiles that are brought away.

use heapsight_testkit::servers::{Fault, Recorder, S3Server};
use serde_json::Value;

use crate::{
    command::Cli,
    programs::{Program, until},
    watcher::Watcher,
};

const URL: &str = "s3://captures/{host}";

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// What the store has of a capture, byte by byte.
fn copy(server: &S3Server, event: &Value) -> Vec<u8> {
    let name = event["file"].as_str().unwrap().rsplit('/').next().unwrap();
    server.object(&format!("{}/{name}", host())).unwrap()
}

#[test]
fn a_capture_goes_up_with_its_side_file_and_the_evidence_does() {
    let server = S3Server::start();
    let mut program = Program::node(24);
    let cli = Cli::new();
    let args = [&program.target(), "--on", "every 1s", "--per-day", "1", "--upload", URL];
    let mut watcher = Watcher::with_store(&cli, &args, &server.environment());
    let captured = watcher.await_event("captured");
    let uploaded = watcher.await_event("uploaded");
    assert_eq!(
        (&uploaded["file"], &uploaded["stored_bytes"]),
        (&captured["file"], &captured["stored_bytes"])
    );
    assert!(
        uploaded["url"].as_str().unwrap().starts_with(&format!("s3://captures/{}/watch-000001-", host()))
    );
    let file = captured["file"].as_str().unwrap();
    assert_eq!(copy(&server, &captured), std::fs::read(file).unwrap());
    let side = format!("{}/{}.meta.json", host(), file.rsplit('/').next().unwrap());
    assert!(server.object(&side).is_some());
    program.kill();
    let ended = watcher.await_event("ended");
    for file in ended["evidence"].as_array().unwrap() {
        watcher.await_that("uploaded", |event| event["file"] == *file);
    }
    watcher.end();
}

#[test]
fn while_the_network_is_cut_captures_stay_and_the_next_watcher_brings_them_away() {
    let server = S3Server::start();
    server.faults(|_| Fault::Cut);
    let program = Program::node(20);
    let cli = Cli::new();
    // Room for one and a half: the second capture has none while the first one must stay.
    let target = program.target();
    let args = [
        &target,
        "--on",
        "every 1s",
        "--cooldown",
        "1s",
        "--per-day",
        "1000",
        "--disk-budget",
        "1536KiB",
        "--upload",
        URL,
    ];
    let mut watcher = Watcher::with_store(&cli, &args, &server.environment());
    let first = watcher.await_event("captured");
    let failed = watcher.await_that("failed", |event| event["why"].as_str().unwrap().contains("disk budget"));
    assert!(failed["why"].as_str().unwrap().contains("wait to be uploaded"), "{failed}");
    watcher.await_that("note", |event| event["text"].as_str().unwrap().contains("it is tried again"));
    assert!(watcher.all("removed").is_empty() && watcher.all("uploaded").is_empty());
    watcher.kill();
    assert!(std::path::Path::new(first["file"].as_str().unwrap()).exists());

    server.faults(|_| Fault::None);
    let mut watcher = Watcher::with_store(&cli, &args, &server.environment());
    watcher.await_that("uploaded", |event| event["file"] == first["file"]);
    // Now it may go for newer ones.
    watcher.await_that("removed", |event| event["file"] == first["file"]);
    assert!(!copy(&server, &first).is_empty());
    watcher.end();
    program.is_as_before();
}

#[test]
fn the_rolling_profile_is_pushed_to_pyroscope_with_the_process_as_a_label() {
    let server = Recorder::start(&[503]);
    let program = Program::node(22);
    let cli = Cli::new();
    let url = format!("pyroscope+http://{}?name=shop&pid={{pid}}", server.address());
    let watcher = Watcher::start(&cli, &[&program.target(), "--upload", &url]);
    until("profiles are pushed", || (server.sent().len() >= 4).then_some(()));
    watcher.end();
    for sent in server.sent() {
        let target = format!("/ingest?name=shop%7Bpid%3D{}%7D&from=", program.pid());
        assert!(sent.method == "POST" && sent.target.starts_with(&target), "{}", sent.target);
        assert!(sent.body.starts_with(&[0x1f, 0x8b]), "a profile of pprof is packed");
    }
    let left = std::fs::read_dir(cli.path().join("captures/.heapsight-watch-uploads/profiles")).unwrap();
    let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert!(left.len() <= 2, "{left:?}");
    program.is_as_before();
}

#[test]
fn destinations_that_cannot_be_are_said_before_anything_is_watched() {
    let cli = Cli::new();
    for (url, why) in [
        ("ftp://a/b", "`ftp:` is no place that is known"),
        ("pyroscope+http://localhost", "does not name the application"),
    ] {
        let output = cli.run(&["watch", "--all", "--upload", url, "--check-config"]);
        output.failed(&[url, why]);
    }
}
