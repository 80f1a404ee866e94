//! What fires, and what is then done.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::Value;

use crate::{
    command::Cli,
    programs::{MARKERS, Program, signal, until},
    watcher::Watcher,
};

#[test]
fn every_version_of_node_is_captured_at_a_limit_and_left_as_it_was() {
    thread::scope(|scope| {
        // The oldest and the newest at once, and so on: there are two processors.
        for pair in [&[18, 26][..], &[20, 24], &[22]] {
            let both: Vec<_> = pair.iter().map(|&major| scope.spawn(move || at_a_limit(major))).collect();
            for one in both {
                one.join().unwrap();
            }
        }
    });
}

fn at_a_limit(major: u32) {
    let program = Program::node(major);
    let cli = Cli::new();
    let mut watcher = Watcher::start(
        &cli,
        &[&program.target(), "--on", "rss > 1MiB", "--do", "snapshot", "--do", "sample"],
    );
    let attached = watcher.await_event("attached");
    assert_eq!(
        (&attached["opened"], &attached["profile"]),
        (&true.into(), &true.into()),
        "node {major}: {attached}"
    );
    let fired = watcher.await_event("fired");
    assert!(fired["why"].as_str().unwrap().contains("above 1.0 MiB"), "{fired}");
    let snapshot = watcher.await_that("captured", |event| event["kind"] == "heapsnapshot");
    assert!(snapshot["pause_ms"].as_f64().unwrap() < 2000.0, "{snapshot}");
    let profile = watcher.await_that("captured", |event| event["kind"] == "heapprofile");
    watcher.end();
    let file = snapshot["file"].as_str().unwrap();
    assert!(cli.markers(file) >= MARKERS, "node {major}");
    let side = cli.side_file(file);
    assert_eq!(side["capture"]["method"], "fork", "node {major}");
    // Of a program that does nothing it may be empty.
    let profile = fs::read(profile["file"].as_str().unwrap()).unwrap();
    assert!(serde_json::from_slice::<Value>(&profile).unwrap()["head"].is_object());
    assert!(program.said().contains("Debugger"));
    program.is_as_before();
}

#[test]
fn a_signal_a_line_and_the_clock_and_who_is_told() {
    let program = Program::node(24);
    let cli = Cli::new();
    let log = cli.path().join("app.log");
    fs::write(&log, "an old error\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("webhook http://{}/hook", listener.local_addr().unwrap());
    let told = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        while !request.ends_with('}') {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).unwrap();
            request.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        request
    });
    let config = format!(
        "pid = {}\nper-day = 100\n[[rule]]\nwhen = \"signal\"\ndo = [\"timeline 300ms\", \"{hook}\"]\n\
         [[rule]]\nwhen = \"log {} /error/\"\ndo = [\"run echo $HEAPSIGHT_WHY > line; exit 3\"]\n\
         [[rule]]\nwhen = \"every 500ms\"\ndo = [\"run echo $HEAPSIGHT_PID >> clock\"]\n",
        program.pid(),
        log.display()
    );
    fs::write(cli.path().join("watch.toml"), config).unwrap();
    let mut watcher = Watcher::start(&cli, &["--config", "watch.toml"]);
    watcher.await_event("attached");
    assert!(watcher.all("fired").iter().all(|event| event["rule"] == "every 500ms"), "an old line counts");
    signal(watcher.pid(), "USR2");
    let timeline = watcher.await_that("captured", |event| event["kind"] == "heaptimeline");
    watcher.await_that("done", |event| event["action"].as_str().unwrap().starts_with("webhook"));
    let request = told.join().unwrap();
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["pid"], &body["rule"]), (&program.pid().into(), &"signal".into()), "{request}");
    assert_eq!(body["files"][0], timeline["file"]);
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"a new error\n").unwrap();
    let failed = watcher.await_event("failed");
    assert!(failed["why"].as_str().unwrap().contains('3'), "{failed}");
    assert!(fs::read_to_string(cli.path().join("line")).unwrap().contains("app.log matched"));
    let clock = until("the clock strikes twice", || {
        fs::read_to_string(cli.path().join("clock")).ok().filter(|text| text.lines().count() >= 2)
    });
    assert!(clock.starts_with(&format!("{}\n", program.pid())));
    watcher.end();
    program.is_as_before();
}

#[test]
fn numbers_for_prometheus_and_a_watch_without_the_inspector() {
    let program = Program::node(22);
    let cli = Cli::new();
    let args = [&program.target(), "--metrics", "0", "--no-inspector", "--every", "100ms", "--on", "signal"];
    let mut watcher = Watcher::start_with(&cli, &args);
    let url = watcher.await_event("metrics")["url"].as_str().unwrap().to_owned();
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let page = || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    };
    let label = format!("heapsight_rss_bytes{{pid=\"{}\"", program.pid());
    until("the process is on the page", || page().contains(&label).then_some(()));
    assert!(!page().contains("heapsight_heap_used_bytes{"), "it was asked");
    assert!(!program.said().contains("Debugger"), "its inspector was opened");
    signal(watcher.pid(), "USR2");
    watcher.await_event("captured");
    // It was opened for the capture alone.
    program.is_as_before();
    watcher.end();
}

#[test]
fn settings_are_checked_and_all_that_is_wrong_is_said() {
    let cli = Cli::new();
    let good = "all = true\nfolder = \"x\"\n[[rule]]\nwhen = \"rss > 80%\"\ncooldown = \"1h\"\n";
    fs::write(cli.path().join("good.toml"), good).unwrap();
    let said = cli.done(&["watch", "--config", "good.toml", "--check-config"]).out;
    assert!(said.starts_with("the settings are sound\n"), "{said}");
    assert!(said.contains("rss > 80%: snapshot (then not for 60 minutes)"), "{said}");
    assert_eq!(
        cli.json(&["watch", "--config", "good.toml", "--check-config"])["rules"][0]["when"],
        "rss > 80%"
    );
    fs::write(cli.path().join("bad.toml"), good.replace("rss > 80%", "rss < 5").replace("all", "every"))
        .unwrap();
    cli.fails(&["watch", "--config", "bad.toml", "--check-config"], &["every"]);
    let both = ["watch", "--on", "rss", "--metrics", "0.0.0.0:1", "--check-config"];
    cli.fails(&both, &["nothing is to be watched", "it is written", "loopback"]);
    cli.fails(&["watch", &std::process::id().to_string(), "-o", "y", "-q"], &["V8"]);
    assert_eq!(cli.files(), ["bad.toml", "good.toml"]);
}
