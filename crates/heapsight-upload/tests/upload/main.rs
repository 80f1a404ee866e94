//! Uploads to a real S3 server on the loopback interface, to folders, and to a server that stands for Pyroscope; with
//! faults, and with processes that are killed.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod crash;
mod faults;
mod pyroscope;
mod stores;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use heapsight_testkit::servers::S3Server;
use heapsight_upload::{
    Bell, Clock, Config, Destination, Environment, Handle, Outcome, Proof, Report, Uploader,
};

/// Nothing in these tests takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock on which waiting takes no time, and which remembers how long was waited.
#[derive(Default)]
struct Leap {
    now: Mutex<Duration>,
    waits: Mutex<Vec<Duration>>,
}

impl Leap {
    fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

impl Clock for Leap {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn wait(&self, bell: &Bell, limit: Duration) {
        if limit > Duration::from_secs(900) {
            // Nothing is to be tried; only the bell ends this.
            bell.wait(limit);
        } else if !bell.wait(Duration::ZERO) {
            self.waits.lock().unwrap().push(limit);
            *self.now.lock().unwrap() += limit;
        }
    }
}

/// A scratch folder with files and a queue.
struct Scratch {
    dir: tempfile::TempDir,
    clock: Arc<Leap>,
}

impl Scratch {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file with bytes that depend on the place, so that no two parts are equal.
    fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes(size)).unwrap();
        path
    }

    /// A configuration with small parts and a clock that leaps.
    fn config(&self, to: &str, environment: Environment) -> Config {
        let to: Destination = to.parse().unwrap();
        let mut config = Config::new(to, environment, self.path("queue"));
        config.part_size = 64 << 10;
        config.parallel = 2;
        config.patience = PATIENCE;
        config.clock = self.clock.clone();
        config
    }

    fn s3(&self, server: &S3Server) -> Config {
        self.config("s3://captures/prod", environment(server))
    }

    /// Entries in the queue.
    fn queued(&self) -> Vec<PathBuf> {
        heapsight_upload::waiting(&self.path("queue")).unwrap().into_iter().map(|(path, _)| path).collect()
    }
}

fn environment(server: &S3Server) -> Environment {
    Environment::new(server.environment())
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Uploads files and gives the reports.
fn upload(config: Config, files: &[&Path]) -> Vec<Report> {
    let handle = Uploader::start(config).unwrap();
    for file in files {
        handle.enqueue(file).unwrap();
    }
    finish(handle)
}

/// Waits for the end of all that is in the queue.
fn finish(handle: Handle) -> Vec<Report> {
    assert!(handle.wait(PATIENCE), "{:?}", handle.status());
    let reports = handle.reports();
    handle.stop(Duration::ZERO);
    reports
}

/// The proof, and whether it was found there, of a report that must be a success.
fn verified(report: &Report) -> (Proof, bool) {
    match &report.outcome {
        Outcome::Verified { proof, found, .. } => (*proof, *found),
        other => panic!("{}: {other:?}", report.path.display()),
    }
}

/// The failure of a report that must be one.
fn failed(report: &Report) -> &heapsight_upload::UploadError {
    match &report.outcome {
        Outcome::Failed(error) => error,
        other => panic!("{}: {other:?}", report.path.display()),
    }
}
