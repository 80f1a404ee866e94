//! The command at work, and what it says happened.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
};

use serde_json::Value;

use crate::{
    command::{Cli, Running},
    programs::{signal, until},
};

/// `heapsight watch` in a scratch folder; captures go into `captures` there.
pub(crate) struct Watcher {
    running: Option<Running>,
    log: PathBuf,
    pub(crate) folder: PathBuf,
}

/// Looks often, so that the tests are quick.
const QUICK: [&str; 8] =
    ["--every", "100ms", "--heap-every", "300ms", "--profile-every", "300ms", "--timeout", "20s"];

impl Watcher {
    /// Watches with quick looks.
    pub(crate) fn start(cli: &Cli, args: &[&str]) -> Self {
        Self::start_with(cli, &[args, &QUICK].concat())
    }

    /// Watches as the arguments say.
    pub(crate) fn start_with(cli: &Cli, args: &[&str]) -> Self {
        Self::start_in(cli, args, &[])
    }

    /// Watches with quick looks, and with variables of the environment.
    pub(crate) fn with_store(cli: &Cli, args: &[&str], variables: &[(&'static str, String)]) -> Self {
        Self::start_in(cli, &[args, &QUICK].concat(), variables)
    }

    fn start_in(cli: &Cli, args: &[&str], variables: &[(&'static str, String)]) -> Self {
        let log = cli.path().join(format!("events-{}", cli.files().len()));
        let args = [&["watch", "-o", "captures", "--json"], args].concat();
        let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
        let child = cli
            .command(&args)
            .envs(variables)
            .stdout(Stdio::from(File::create(&log).unwrap()))
            .spawn()
            .unwrap();
        Self { running: Some(Running::new(child)), log, folder: cli.path().join("captures") }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().pid()
    }

    /// What happened so far; the last line may be half written.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All of a kind.
    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// Waits for one of a kind that fits.
    pub(crate) fn await_that(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let what = format!("`{kind}` is told: {}", self.log.display());
        until(&what, || {
            let running = self.running.as_mut().unwrap().is_running();
            let found = self.all(kind).into_iter().find(|event| fits(event));
            assert!(
                found.is_some() || running,
                "it has ended: {:?} {:?}",
                self.events(),
                self.running.take().unwrap().end()
            );
            found
        })
    }

    /// Waits for one of a kind.
    pub(crate) fn await_event(&mut self, kind: &str) -> Value {
        self.await_that(kind, |_| true)
    }

    /// Tells it to end, and waits until it has, in order.
    pub(crate) fn end(mut self) -> Vec<Value> {
        signal(self.pid(), "INT");
        let ended = self.running.take().unwrap().end();
        assert_eq!(ended.code(), Some(0), "{ended:?} {:?}", self.events());
        self.events()
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.running.take().unwrap().kill();
    }

    /// The captures by name.
    pub(crate) fn captures(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|name| name.starts_with("watch-") && !name.ends_with(".meta.json")).collect();
        names.sort();
        names
    }
}
