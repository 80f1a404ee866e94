//! `heapsight upload` as a user meets it, with a real S3 server on the loopback interface.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use heapsight_testkit::{
    runtimes,
    servers::{Fault, Recorder, S3Server},
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

struct Cli {
    dir: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Cli {
    fn new(variables: Vec<(&'static str, String)>) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), variables }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of a size, of the bytes that its place gives.
    fn file(&self, name: &str, size: usize) -> Vec<u8> {
        let bytes: Vec<u8> =
            (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heapsight"));
        command.arg("upload").args(args).current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env("COLUMNS", "100");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs the command for its JSON, and says how it ended.
    fn json(&self, args: &[&str]) -> (Value, Option<i32>, String) {
        let output = self.run(&[args, &["--json"]].concat());
        let error = text(&output.stderr);
        let value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}\n{error}"));
        (value, output.status.code(), error)
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Folders of calls that were broken off.
    fn queues(&self) -> usize {
        fs::read_dir(self.path(".local/state/heapsight/uploads")).map_or(0, Iterator::count)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < limit, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn files_go_up_and_are_removed_when_that_is_asked_for() {
    let server = S3Server::start();
    let cli = Cli::new(server.environment());
    let large = cli.file("app.heapsnapshot.zst", 20 << 20);
    cli.file("app.heapsnapshot.zst.meta.json", 100);
    let small = cli.file("b.heapprofile", 1000);
    let files = ["app.heapsnapshot.zst", "b.heapprofile", "--to", "s3://captures/prod"];
    let (value, code, error) = cli.json(&files);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let files_of = |value: &Value| {
        let files = value["files"].as_array().unwrap().iter();
        let pick = |file: &Value| {
            json!([file["url"], file["size"], file["result"], file["verified_by"], file["deleted"]])
        };
        files.map(pick).collect::<Vec<_>>()
    };
    let expected = |result: &str, deleted: bool| {
        [
            json!(["s3://captures/prod/app.heapsnapshot.zst", 20 << 20, result, "checksum", deleted]),
            json!(["s3://captures/prod/app.heapsnapshot.zst.meta.json", 100, result, "checksum", deleted]),
            json!(["s3://captures/prod/b.heapprofile", 1000, result, "checksum", deleted]),
        ]
    };
    assert_eq!(files_of(&value), expected("uploaded", false));
    assert_eq!(server.object("prod/app.heapsnapshot.zst").unwrap(), large);
    assert_eq!(server.object("prod/b.heapprofile").unwrap(), small);
    assert_eq!(cli.queues(), 0);
    // Again: they are there, and go here.
    let sent = server.count("UploadPart");
    let output = cli.run(&[&files[..], &["--delete-after"]].concat());
    let shown = text(&output.stdout);
    assert!(shown.starts_with("3 files (20.0 MiB) in s3://captures/prod\n"), "{shown}");
    assert_eq!(shown.matches("was there, checksum equal, removed here").count(), 3, "{shown}");
    assert_eq!(server.count("UploadPart"), sent);
    assert!(!cli.path("app.heapsnapshot.zst").exists() && !cli.path("b.heapprofile").exists());
}

#[test]
fn a_call_that_is_broken_off_is_resumed() {
    for kill in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let server = S3Server::start();
        let cli = Cli::new(server.environment());
        let bytes = cli.file("app.heapsnapshot", 40 << 20);
        // The third part hangs.
        server.faults(|seen| if seen.part == Some(3) { Fault::Stall } else { Fault::None });
        let args = ["app.heapsnapshot", "--to", "s3://captures", "--delete-after", "--parallel", "1"];
        let child = cli.spawn(&args);
        until("two parts are there", || server.count("UploadPart") >= 3);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, kill).unwrap();
        let output = child.wait_with_output().unwrap();
        if kill == rustix::process::Signal::INT {
            assert_eq!(output.status.code(), Some(2));
            let error = text(&output.stderr);
            assert!(
                error.starts_with(
                    "heapsight: interrupted: 1 file did not go up\nhint: `heapsight upload --resume`"
                ),
                "{error}"
            );
        }
        assert!(cli.path("app.heapsnapshot").exists() && server.object("app.heapsnapshot").is_none());
        assert_eq!(cli.queues(), 1);
        server.faults(|_| Fault::None);
        let sent = server.count("UploadPart");
        let (value, code, _) = cli.json(&["--resume"]);
        assert_eq!((code, &value["files"][0]["result"]), (Some(0), &json!("uploaded")));
        assert_eq!(server.count("UploadPart") - sent, 3, "of five parts two were there");
        assert_eq!(server.object("app.heapsnapshot").unwrap(), bytes);
        assert!(!cli.path("app.heapsnapshot").exists());
        assert_eq!(cli.queues(), 0);
        let output = cli.run(&["--resume"]);
        assert_eq!(
            (output.status.code(), text(&output.stderr).as_str()),
            (Some(0), "note: nothing was broken off\n")
        );
    }
}

#[test]
fn what_goes_wrong_is_said_and_nothing_secret_with_it() {
    let server = S3Server::start();
    let cli = Cli::new(server.environment());
    cli.file("a.heapsnapshot", 1000);
    fs::create_dir(cli.path("other")).unwrap();
    cli.file("other/a.heapsnapshot", 1001);
    let secret = server.environment()[1].1.clone();
    let cases: &[(&[&str], &str)] = &[
        (&["none.heapsnapshot", "--to", "s3://captures"], "cannot upload none.heapsnapshot: No such file"),
        (&["other", "--to", "s3://captures"], "cannot upload other: it is no file"),
        (
            &["a.heapsnapshot", "other/a.heapsnapshot", "--to", "s3://captures"],
            "two files have the name a.heapsnapshot",
        ),
        (&["a.heapsnapshot", "--to", "/var/captures"], "cannot upload there: it is no URL"),
        (
            &["a.heapsnapshot", "--to", "s3://k:secret@captures"],
            "cannot upload there: the URL has a password in it",
        ),
        (
            &["a.heapsnapshot", "--to", "pyroscope+http://localhost:1?name=a", "--delete-after"],
            "cannot remove what is pushed to pyroscope+http://localhost:1?name=a: a profile there cannot be verified",
        ),
    ];
    for (args, message) in cases {
        let output = cli.run(args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(
            error.starts_with(&format!("heapsight: {message}")) && error.contains("\nhint: "),
            "{args:?}: {error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(server.seen().is_empty());
    assert_eq!(cli.queues(), 0);
    // A server that refuses: the file is named, is in the answer, and stays in a queue.
    server.faults(|_| Fault::Status(500));
    let args = ["a.heapsnapshot", "--to", "s3://captures", "--attempts", "1"];
    let (value, code, error) = cli.json(&args);
    assert_eq!((code, &value["files"][0]["result"]), (Some(2), &json!("failed")));
    assert!(error.contains("the server answered 500 Internal Server Error"), "{error}");
    let debug = format!("{value}{error}");
    assert!(!debug.contains(&secret) && !debug.contains("AKHEAPSIGHT"));
    for entry in walk(&cli.path(".local")) {
        assert!(!text(&fs::read(&entry).unwrap()).contains(&secret), "{}", entry.display());
    }
    assert_eq!(cli.queues(), 1);
    server.faults(|_| Fault::None);
    assert_eq!(cli.json(&["--resume"]).1, Some(0));
    // Another file of that name.
    let (value, code, error) = cli.json(&["other/a.heapsnapshot", "--to", "s3://captures"]);
    assert_eq!((code, &value["files"][0]["result"]), (Some(2), &json!("failed")));
    assert!(
        error.contains("there is another object of that name\nhint: use another prefix, or --force"),
        "{error}"
    );
    let (_, code, _) = cli.json(&["--resume", "--force"]);
    assert_eq!((code, server.object("a.heapsnapshot").unwrap().len()), (Some(0), 1001));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![folder.to_owned()] };
    entries.flat_map(|entry| walk(&entry.unwrap().path())).collect()
}

const PROFILE: &str = r#"{"head":{"callFrame":{"functionName":"(root)","scriptId":"0","url":"","lineNumber":-1,"columnNumber":-1},
"selfSize":0,"id":1,"children":[{"callFrame":{"functionName":"handle","scriptId":"7","url":"file:///srv/server.js","lineNumber":11,
"columnNumber":4},"selfSize":10240,"id":2,"children":[{"callFrame":{"functionName":"Session","scriptId":"7","url":"file:///srv/server.js",
"lineNumber":3,"columnNumber":13},"selfSize":921600,"id":3,"children":[]}]}]},"samples":[{"size":921600,"nodeId":3,"ordinal":1},
{"size":10240,"nodeId":2,"ordinal":2}]}"#;

#[test]
fn a_profile_that_is_pushed_is_read_by_another_library() {
    let server = Recorder::start(&[503]);
    let cli = Cli::new(vec![("PYROSCOPE_TENANT_ID", "team-7".to_owned())]);
    fs::write(cli.path("app.heapprofile"), PROFILE).unwrap();
    let to = format!("pyroscope+http://{}?name=shop&env=prod", server.address());
    let (value, code, error) = cli.json(&["app.heapprofile", "--to", &to]);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.starts_with("note: cannot push "), "{error}");
    assert!(
        error.ends_with("503 Service Unavailable: no: said by the server; it is tried again\n"),
        "{error}"
    );
    let file = &value["files"][0];
    assert_eq!(
        (&file["result"], &file["verified_by"], &file["attempts"]),
        (&json!("uploaded"), &Value::Null, &json!(2))
    );
    let sent = server.sent();
    let request = &sent[1];
    assert!(request.target.starts_with("/ingest?name=shop%7Benv%3Dprod%7D&from="), "{}", request.target);
    assert_eq!(request.header("x-scope-orgid"), Some("team-7"));
    fs::write(cli.path("pushed.pb.gz"), &request.body).unwrap();
    // The reader that Grafana's agent for Node.js writes with.
    let script = "const {Profile} = require(process.argv[1]); const text = (p, n) => p.stringTable.strings[Number(n)]; \
        const p = Profile.decode(require('zlib').gunzipSync(require('fs').readFileSync('pushed.pb.gz'))); \
        const names = new Map(p.function.map((f) => [String(f.id), text(p, f.name)])); \
        const at = new Map(p.location.map((l) => [String(l.id), l.line.map((l) => names.get(String(l.functionId)))])); \
        console.log(JSON.stringify({types: p.sampleType.map((t) => [text(p, t.type), text(p, t.unit)]), \
        time: Number(p.timeNanos) > 0, \
        stacks: p.sample.map((s) => [s.locationId.flatMap((l) => at.get(String(l))), s.value.map(Number)])}));";
    let read = Command::new(runtimes::node(22))
        .args(["-e", script])
        .arg(runtimes::reader("pprof-format"))
        .current_dir(cli.dir.path())
        .output()
        .unwrap();
    let read: Value =
        serde_json::from_slice(&read.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&read.stderr)));
    assert_eq!(
        read,
        json!({
            "types": [["inuse_space", "bytes"]],
            "time": true,
            "stacks": [[["handle"], [10240]], [["Session", "handle"], [921_600]]],
        })
    );
}
