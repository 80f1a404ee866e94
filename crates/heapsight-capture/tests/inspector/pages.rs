//! Chromium and Bun.

use std::{io::Write as _, net::TcpStream, ops::ControlFlow, process::Command, time::Duration};

use heapsight_capture::{
    Kind,
    inspector::{AttachOptions, Endpoint, SamplingOptions, SnapshotOptions, TimelineOptions, attach},
    target::Target,
};
use heapsight_testkit::runtimes;

use crate::programs::{Program, TIMEOUT, count, go_on, patient, read, scratch, until};

const PAGE: &str = "<title>Alpha page</title><script>class OnPage{constructor(i){this.i=i;this.s='p'+i}};\
    window.kept=Array.from({length:321},(_,i)=>new OnPage(i));\
    window.w=new Worker(URL.createObjectURL(new Blob(['class InWorker{constructor(i){this.i=i;this.s=\"w\"+i}};\
    self.kept=Array.from({length:77},(_,i)=>new InWorker(i));setInterval(()=>{},100)'])),{name:'beta'})</script>";

#[test]
fn pages_of_chromium_are_captured() {
    let (_dir, path) = scratch();
    std::fs::write(path.join("alpha.html"), PAGE).unwrap();
    std::fs::write(path.join("gamma.html"), "<title>Gamma page</title>").unwrap();
    let mut command = Command::new(runtimes::chromium());
    let options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ];
    command.args(options).args(["--disable-sync", "--remote-debugging-port=0"]);
    command.arg(format!("--user-data-dir={}", path.join("data").display()));
    command.arg(format!("file://{}", path.join("alpha.html").display()));
    let program = Program::launch(&mut command);
    let url = program.url();
    let port: u16 = url.strip_prefix("ws://127.0.0.1:").unwrap().split('/').next().unwrap().parse().unwrap();
    let target = Target::Address { host: "localhost".to_owned(), port };
    let mut attachment = until("the page is there", || {
        let attachment = attach(&target, &patient()).ok()?;
        attachment.identity().title.contains("Alpha").then_some(attachment)
    });
    let identity = attachment.identity().clone();
    assert_eq!(
        (identity.pid, identity.runtime.as_str(), identity.title.as_str()),
        (0, "chrome", "Alpha page")
    );
    assert!(identity.v8_major() > 10 && identity.to_string().starts_with("Chromium "));
    let session = attachment.session();
    assert!(session.heap_use(TIMEOUT).unwrap().used > 0);
    let mut bytes = Vec::new();
    session.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
    assert_eq!(count(&read(&bytes), "OnPage"), 321);

    let mut worker = until("the worker is there", || {
        let threads = session.threads(TIMEOUT).unwrap();
        (threads.len() == 2 && threads[1].title == "beta").then(|| session.thread(1, TIMEOUT).unwrap())
    });
    until("the worker has its objects", || {
        (worker.evaluate("self.kept?.length", TIMEOUT).ok()? == 77).then_some(())
    });
    let mut bytes = Vec::new();
    worker.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
    assert_eq!(count(&read(&bytes), "InWorker"), 77);

    let mut bytes = Vec::new();
    let options =
        TimelineOptions { duration: Some(Duration::from_millis(300)), ..TimelineOptions::default() };
    session.timeline(&options, &mut bytes, &mut go_on).unwrap();
    assert!(read(&bytes).traces.is_some());
    let mut sampling = session.sampling(&SamplingOptions::default(), TIMEOUT).unwrap();
    sampling.wait(Some(Duration::from_millis(50)), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(sampling.stop(&mut Vec::new()).unwrap() > 10);
    assert!(session.script_urls(TIMEOUT).unwrap().iter().any(|script| script.url.ends_with("/alpha.html")));

    // With a second page one must be chosen.
    let gamma = format!("PUT /json/new?file://{} HTTP/1.1", path.join("gamma.html").display());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{gamma}\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let error = until("there are two pages", || attach(&target, &patient()).err());
    assert_eq!(error.kind, Kind::Other);
    assert!(
        error.why.contains("Alpha page") && error.hint.as_deref().unwrap().contains("--thread"),
        "{error:?}"
    );
    let chosen = |page: &str| attach(&target, &AttachOptions { page: Some(page.to_owned()), ..patient() });
    assert_eq!(chosen("alpha PAGE").unwrap().identity().title, "Alpha page");
    assert!(
        until("the other page is loaded", || chosen("gamma.html").ok())
            .identity()
            .script
            .ends_with("gamma.html")
    );
    assert_eq!(chosen("nothing like it").unwrap_err().kind, Kind::NotFound);
    // The browser by its process id: the port is proved by whose socket it is.
    let by_pid =
        attach(&Target::Pid(program.pid()), &AttachOptions { page: Some("Alpha".to_owned()), ..patient() });
    assert!(!by_pid.unwrap().opened());
}

#[test]
fn bun_is_told_apart_and_how_it_can_be_captured() {
    let (_dir, path) = scratch();
    std::fs::write(path.join("app.js"), "setInterval(()=>{},1000);console.log('ready')").unwrap();
    let mut command = Command::new(runtimes::bun());
    command.arg("--inspect=127.0.0.1:0/heapsight").arg(path.join("app.js"));
    let program = Program::start(&mut command, "ready");
    let url = until("the inspector is announced", || {
        let said = program.said();
        let at = said.find("ws://")?;
        Some(said[at..].split(|c: char| c.is_whitespace() || c == '\u{1b}').next()?.to_owned())
    });
    let port: u16 = url
        .strip_prefix("ws://")
        .unwrap()
        .split(['/'])
        .next()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let targets = [
        Target::Address { host: "127.0.0.1".to_owned(), port },
        Target::Url(url.replace("localhost", "127.0.0.1")),
        Target::Pid(program.pid()),
    ];
    for target in targets {
        let error = attach(&target, &patient()).unwrap_err();
        assert_eq!(error.kind, Kind::Unsupported, "{target}: {error}");
        let all = format!("{error} {}", error.hint.clone().unwrap_or_default());
        assert!(all.contains("Bun") && all.contains("generateHeapSnapshot(\"v8\")"), "{target}: {all}");
    }
    assert!(program.is_alive(), "SIGUSR1 would have killed it");
    let error = Endpoint::find("127.0.0.1", port, None, TIMEOUT).unwrap_err();
    assert!(error.why.contains("Bun"), "{error}");
}
