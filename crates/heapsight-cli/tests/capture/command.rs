//! The command, run in a scratch folder, and what it leaves there.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::programs::until;

/// A scratch folder with the command run in it.
pub(crate) struct Cli {
    dir: TempDir,
}

impl Cli {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The command with an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heapsight"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("COLUMNS", "120")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the command.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(self.command(args).spawn().unwrap())
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// Runs a command that must succeed.
    pub(crate) fn done(&self, args: &[&str]) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code(), Some(0), "{args:?}: {ended:?}");
        ended
    }

    /// The answer of a command in JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ended = self.done(&[args, &["--json"]].concat());
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{args:?}: {error}: {ended:?}"))
    }

    /// Takes a snapshot with more options; gives what the command says of it.
    pub(crate) fn snapshot(&self, target: &str, options: &[&str]) -> Value {
        let answer = self.json(&[&["snapshot", target], options].concat());
        assert_eq!(answer["captures"].as_array().unwrap().len(), 1, "{answer}");
        answer["captures"][0].clone()
    }

    /// Runs a command that must fail with these words and a hint, and leave nothing.
    pub(crate) fn fails(&self, args: &[&str], words: &[&str]) {
        let before = self.files();
        let ended = self.run(args);
        ended.failed(words);
        assert_eq!(self.files(), before, "{args:?} left something");
    }

    /// How many objects of the class that the programs keep a file has.
    pub(crate) fn markers(&self, file: &str) -> u64 {
        self.count(file, "HeapsightMarker")
    }

    /// How many objects a class of a file has.
    pub(crate) fn count(&self, file: &str, class: &str) -> u64 {
        let summary = self.json(&["summary", file, "--class", class]);
        let classes = summary["classes"].as_array().unwrap();
        classes.iter().filter(|c| c["name"] == class).map(|c| c["count"].as_u64().unwrap()).sum()
    }

    /// All files of the folder but the index, by name.
    pub(crate) fn files(&self) -> Vec<String> {
        files(self.path())
    }

    /// Checks a file and the one beside it; gives the latter.
    pub(crate) fn side_file(&self, file: &str) -> Value {
        let path = self.path().join(file);
        let side = PathBuf::from(format!("{}.meta.json", path.display()));
        for path in [&path, &side] {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        serde_json::from_slice(&fs::read(side).unwrap()).unwrap()
    }
}

/// The files of a folder by name, without the index of snapshots.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != ".cache").collect();
    names.sort();
    names
}

/// The command at work. Ended when it is dropped.
pub(crate) struct Running {
    child: Child,
    readers: Vec<thread::JoinHandle<Vec<u8>>>,
}

impl Running {
    pub(crate) fn new(mut child: Child) -> Self {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let streams: [Option<Box<dyn Read + Send>>; 2] =
            [out.map(|s| Box::new(s) as _), err.map(|s| Box::new(s) as _)];
        let read = |stream: Option<Box<dyn Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut stream) = stream {
                    let _ = stream.read_to_end(&mut bytes);
                }
                bytes
            })
        };
        Self { child, readers: streams.into_iter().map(read).collect() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let status = until("the command ends", || self.child.try_wait().unwrap());
        let texts: Vec<Vec<u8>> = self.readers.drain(..).map(|reader| reader.join().unwrap()).collect();
        let text = |i: usize| String::from_utf8_lossy(&texts[i]).into_owned();
        Ended { status, out: text(0), err: text(1) }
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// It failed with these words and a hint.
    pub(crate) fn failed(&self, words: &[&str]) {
        assert_eq!(self.code(), Some(2), "{self:?}");
        assert!(self.err.contains("heapsight: ") && self.err.contains("\nhint: "), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}`: {self:?}");
        }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: output.status, out: text(&output.stdout), err: text(&output.stderr) }
    }
}
