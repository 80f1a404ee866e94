//! The command as a user meets it: what it prints, where, and its exit code.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod cache;
mod check;
mod commands;
mod conversions;
mod errors;
mod mcp;
mod profile;
mod share;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A scratch folder with the command run in it.
struct Cli {
    dir: tempfile::TempDir,
}

impl Cli {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    /// The scratch folder.
    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the scratch folder.
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the scratch folder.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Unpacks a capture into the scratch folder.
    fn fixture(&self, name: &str) -> PathBuf {
        self.write(name, heapsight_testkit::fixtures::text(name))
    }

    /// The command, with an environment of its own: no index unless a test asks for one.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heapsight"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command.
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs the command and shows everything that a user sees.
    fn shown(&self, args: &[&str]) -> String {
        show(&self.run(args))
    }

    /// Runs the command for its JSON.
    fn json(&self, args: &[&str]) -> serde_json::Value {
        let form = if args.contains(&"--json") { &[][..] } else { &["--json"] };
        let output = self.run(&[args, form].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}\n{error}"))
    }
}

/// Exit code, standard output and standard error in one text.
fn show(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().map_or("killed by a signal".to_owned(), |code| code.to_string());
    format!("exit: {code}\n--- out\n{}--- err\n{}", text(&output.stdout), text(&output.stderr))
}
