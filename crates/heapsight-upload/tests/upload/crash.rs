//! Processes that are killed in the middle, and others that go on.
//!
//! The process is this test program, which is started again for one test of it. The server of the test kills it when it
//! has sent so many requests, with SIGKILL, so that nothing of it runs after that.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use heapsight_testkit::servers::{Fault, S3Server};
use heapsight_upload::{Config, Environment, Uploader};

use crate::{PATIENCE, Scratch, bytes, environment, finish, verified};

const VARIABLE: &str = "HEAPSIGHT_UPLOAD_TEST";

/// What the killed process does; in the other runs of this program nothing.
#[test]
fn the_process_that_is_killed() {
    let Ok(folder) = std::env::var(VARIABLE) else { return };
    let folder = Path::new(&folder);
    let to = fs::read_to_string(folder.join("to")).unwrap();
    let handle = Uploader::start(config(folder, &to, Environment::new(std::env::vars_os()))).unwrap();
    for name in ["a.heapsnapshot", "b.heapsnapshot"] {
        if folder.join(name).exists() {
            handle.enqueue(&folder.join(name)).unwrap();
        }
    }
    handle.wait(PATIENCE);
}

fn config(folder: &Path, to: &str, environment: Environment) -> Config {
    let mut config = Config::new(to.parse().unwrap(), environment, folder.join("queue"));
    config.part_size = 64 << 10;
    config.parallel = 2;
    config.delete_after = true;
    config.retry.first = Duration::from_millis(10);
    config
}

fn spawn(scratch: &Scratch, to: &str, variables: &[(&str, String)]) -> Child {
    fs::write(scratch.path("to"), to).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_process_that_is_killed", "--nocapture"])
        .env(VARIABLE, scratch.dir.path())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs the process with a server that kills it at a request; false if it ended by itself before that.
fn killed_at(scratch: &Scratch, server: &S3Server, request: usize, fault: Fault) -> bool {
    let child: Arc<Mutex<Option<Child>>> = Arc::default();
    let killer = child.clone();
    let begin = server.seen().len();
    server.faults(move |seen| {
        if seen.number - begin != request {
            return Fault::None;
        }
        // The child is there, since it has sent this.
        if let Some(child) = killer.lock().unwrap().as_mut() {
            child.kill().unwrap();
        }
        fault
    });
    {
        // Held, so that the server's thread waits for it.
        let mut place = child.lock().unwrap();
        *place = Some(spawn(scratch, "s3://captures/prod", &server.environment()));
    }
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "the process does not end");
        std::thread::sleep(Duration::from_millis(2));
    };
    server.faults(|_| Fault::None);
    server.settle();
    !status.success()
}

#[test]
fn killed_at_every_request_nothing_is_lost() {
    let mut kills = 0;
    // Killed before the request is done, with its connection cut, and after that.
    for fault in [Fault::Cut, Fault::None] {
        for request in 0.. {
            let (scratch, server) = (Scratch::new(), S3Server::start());
            let files = [scratch.file("a.heapsnapshot", 200_000), scratch.file("b.heapsnapshot", 1000)];
            let killed = killed_at(&scratch, &server, request, fault);
            if !killed {
                assert!(request > 8, "it ended by itself before request {request}");
                break;
            }
            kills += 1;
            // At this moment: each file is here, or it is there whole.
            for (file, size) in files.iter().zip([200_000, 1000]) {
                let name = format!("prod/{}", file.file_name().unwrap().to_str().unwrap());
                match fs::read(file) {
                    Ok(here) => assert_eq!(here, bytes(size), "request {request}"),
                    Err(_) => assert_eq!(server.object(&name).unwrap(), bytes(size), "request {request}"),
                }
            }
            let before = server.count("UploadPart");
            let queued = scratch.queued();
            // Another process goes on with what is in the queue.
            let reports = finish(
                Uploader::start(config(scratch.dir.path(), "s3://captures/prod", environment(&server)))
                    .unwrap(),
            );
            for report in &reports {
                verified(report);
            }
            for file in queued {
                let name = format!("prod/{}", file.file_name().unwrap().to_str().unwrap());
                let size = if name.ends_with("a.heapsnapshot") { 200_000 } else { 1000 };
                assert_eq!(server.object(&name).unwrap(), bytes(size), "request {request}");
                assert!(!file.exists(), "request {request}");
            }
            assert!(scratch.queued().is_empty());
            // Of 4 parts, at most those two are sent again that were under way.
            let again = server.count("UploadPart") - before;
            let there = before.saturating_sub(2);
            let seen = || server.seen();
            assert!(again <= 4 - there.min(4), "{fault:?} at {request}, {before} parts before: {:?}", seen());
        }
    }
    assert!(kills >= 18, "{kills}");
}

#[test]
fn killed_again_and_again_it_gets_there() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 1_000_000);
    // Each process is killed at its sixth request.
    let mut processes = 0;
    while killed_at(&scratch, &server, 5, Fault::Cut) {
        processes += 1;
        assert!(processes < 30);
    }
    assert_eq!(server.object("prod/a.heapsnapshot").unwrap(), bytes(1_000_000));
    assert!(!file.exists() && scratch.queued().is_empty());
    assert!(processes >= 3, "{processes}");
}

#[test]
fn a_folder_has_no_half_file_after_a_kill() {
    let scratch = Scratch::new();
    let size = 48 << 20;
    let there = scratch.path("there");
    let to = format!("file://{}", there.display());
    let mut halves = 0;
    for round in 0..6 {
        let _ = fs::remove_dir_all(&there);
        let file = scratch.file("a.heapsnapshot", size);
        let mut child = spawn(&scratch, &to, &[]);
        // Killed when so much is written under the other name.
        let staged = there.join("a.heapsnapshot#1");
        let until = Instant::now() + PATIENCE;
        let enough = (size as u64 / 6) * round;
        while child.try_wait().unwrap().is_none() && Instant::now() < until {
            if fs::metadata(&staged).is_ok_and(|meta| meta.len() > enough) {
                break;
            }
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        halves += usize::from(staged.exists());
        if let Ok(whole) = fs::read(there.join("a.heapsnapshot")) {
            assert_eq!(whole.len(), size);
        }
        let reports =
            finish(Uploader::start(config(scratch.dir.path(), &to, Environment::default())).unwrap());
        for report in &reports {
            verified(report);
        }
        assert!(fs::read(there.join("a.heapsnapshot")).unwrap() == bytes(size));
        assert_eq!(fs::read_dir(&there).unwrap().count(), 1, "nothing is left behind");
        assert!(!file.exists());
    }
    assert!(halves > 0, "no process was killed in the middle");
}
