//! Chromium and Bun.

use std::{ops::ControlFlow, process::Command, time::Duration};

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
