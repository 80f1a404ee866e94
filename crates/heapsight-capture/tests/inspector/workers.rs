//! Workers: found, told apart, and captured like the main thread.

use std::{ops::ControlFlow, time::Duration};

use heapsight_capture::{
    Kind,
    inspector::{Endpoint, Route, SamplingOptions, Session, SnapshotOptions, TimelineOptions, attach_url},
};

use crate::programs::{
    APP, MAJORS, MARKERS, Program, Proxy, TIMEOUT, count, go_on, naive, patient, read, until,
};

/// Two workers, the second of which has one itself.
const WORKERS: &str = "const {Worker,isMainThread,workerData,threadId}=require('worker_threads');\n\
    class InWorker{constructor(i){this.i=i;this.s='worker \\u00e9 '+i}}\n\
    if(isMainThread){process.stdin.on('end',()=>process.exit()).resume();let up=0;\
    const on=()=>{if(++up===3)console.log('ready')};\
    new Worker(__filename,{name:'alpha',workerData:{n:100}}).on('message',on);\
    new Worker(__filename,{workerData:{n:200,nest:1}}).on('message',on);}\n\
    else{const {parentPort}=require('worker_threads');\
    if(workerData.nest)new Worker(__filename,{name:'deep',workerData:{n:300}}).on('message',m=>parentPort.postMessage(m));\
    globalThis.kept=Array.from({length:workerData.n},(_,i)=>new InWorker(i));parentPort.on('message',()=>{});\
    globalThis.die=()=>process.exit();setInterval(()=>kept.length,1000);parentPort.postMessage(threadId);}";

#[test]
fn every_worker_is_captured_by_its_number() {
    for major in MAJORS {
        let program = Program::node(major, &["--inspect"], WORKERS);
        let url = program.url();
        let proxy = Proxy::to(&url);
        let mut attachment = attach_url(&proxy.url(&url), &patient()).unwrap();
        let threads = attachment.session().threads(TIMEOUT).unwrap();
        assert_eq!(threads.iter().map(|t| t.number).collect::<Vec<_>>(), [0, 1, 2, 3], "Node.js {major}");
        if major > 16 {
            assert!(threads[1].title.contains("alpha"), "{threads:?}");
        }
        for (number, objects) in [(1, 100), (2, 200), (3, 300)] {
            let mut session = attachment.session().thread(number, TIMEOUT).unwrap();
            assert!(matches!(session.route(), Route::Worker(_)));
            let id = session.evaluate("require('worker_threads').threadId", TIMEOUT).unwrap();
            assert_eq!(id, number);
            let mut bytes = Vec::new();
            session.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
            assert!(
                bytes == naive(&proxy.messages()).as_bytes(),
                "Node.js {major}: other bytes than were sent"
            );
            assert_eq!(count(&read(&bytes), "InWorker"), objects, "Node.js {major}, worker {number}");
        }
        // The main thread has none of them.
        let mut bytes = Vec::new();
        attachment.session().heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
        assert_eq!(count(&read(&bytes), "InWorker"), 0);
        let error = attachment.session().thread(9, TIMEOUT).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.why.contains("1, 2, 3"), "{error}");
    }
}

#[test]
fn a_worker_is_sampled_and_recorded_like_the_main_thread() {
    for major in [16, 26] {
        let program = Program::node(major, &["--inspect"], WORKERS);
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        let mut session = attachment.session().thread(2, TIMEOUT).unwrap();
        session
            .evaluate(
                "setInterval(function inTheWorker(){for(let i=0;i<500;i++)kept.push([i])},5),1",
                TIMEOUT,
            )
            .unwrap();
        let options = SamplingOptions { interval: 2048, ..SamplingOptions::default() };
        let mut sampling = session.sampling(&options, TIMEOUT).unwrap();
        sampling.wait(Some(Duration::from_millis(400)), &mut |_| ControlFlow::Continue(())).unwrap();
        let mut profile = Vec::new();
        sampling.stop(&mut profile).unwrap();
        assert!(String::from_utf8(profile).unwrap().contains("inTheWorker"));
        let mut bytes = Vec::new();
        let options =
            TimelineOptions { duration: Some(Duration::from_millis(300)), ..TimelineOptions::default() };
        let captured = session.timeline(&options, &mut bytes, &mut go_on).unwrap();
        assert!(captured.live.objects > 0 && read(&bytes).samples.len() > 1);
    }
}

#[test]
fn a_worker_that_ends_is_gone_and_the_others_are_not() {
    for major in [16, 20, 26] {
        let program = Program::node(major, &["--inspect"], WORKERS);
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        let mut session = attachment.session().thread(1, TIMEOUT).unwrap();
        let _ = session.evaluate("setTimeout(die,50),1", TIMEOUT);
        let error = until("the worker is gone", || session.evaluate("1", TIMEOUT).err());
        assert!(matches!(error.kind, Kind::Gone | Kind::Protocol), "Node.js {major}: {error}");
        assert_eq!(attachment.session().threads(TIMEOUT).unwrap().len(), 3);
    }
}

#[test]
fn workers_behind_flat_sessions_are_captured() {
    // Deno knows both ways; here the flat one is asked for by hand.
    let program = Program::node(24, &["--inspect", "--experimental-worker-inspection"], WORKERS);
    let endpoint = Endpoint::of_url(&program.url(), None, TIMEOUT).unwrap();
    let session = Session::connect(endpoint, TIMEOUT).unwrap();
    assert_eq!(session.threads(TIMEOUT).unwrap().len(), 4);
    let mut worker = session.thread(1, TIMEOUT).unwrap();
    let mut bytes = Vec::new();
    worker.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
    assert_eq!(count(&read(&bytes), "InWorker"), 100);
}

#[test]
fn workers_of_deno_are_captured() {
    let script = "const code=`class InWorker{constructor(i){this.i=i;this.s='w'+i}};\
        globalThis.kept=Array.from({length:100},(_,i)=>new InWorker(i));setInterval(()=>{},1000);postMessage(1)`;\
        const w=new Worker('data:application/javascript,'+encodeURIComponent(code),{type:'module'});\
        w.onmessage=()=>console.log('ready')";
    let program = Program::deno(&["--inspect=127.0.0.1:0"], script);
    let mut attachment = attach_url(&program.url(), &patient()).unwrap();
    let threads = attachment.session().threads(TIMEOUT).unwrap();
    assert_eq!(threads.len(), 2, "{threads:?}");
    let mut session = attachment.thread(1, TIMEOUT).unwrap();
    let mut bytes = Vec::new();
    session.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
    assert_eq!(count(&read(&bytes), "InWorker"), 100);
}

#[test]
fn threads_are_captured_side_by_side() {
    let program = Program::node(
        22,
        &["--inspect"],
        &(APP.to_owned()
            + "const {Worker}=require('worker_threads');\
        new Worker('class InWorker{constructor(i){this.i=i;this.s=\"w\"+i}};globalThis.kept=Array.from({length:50},(_,i)=>new InWorker(i));\
        setInterval(()=>{},1000)',{eval:true}).on('online',()=>console.log('online'));"),
    );
    program.wait_for("online");
    let mut attachment = attach_url(&program.url(), &patient()).unwrap();
    let mut worker = attachment.session().thread(1, TIMEOUT).unwrap();
    until("the worker has its objects", || {
        (worker.evaluate("globalThis.kept?.length", TIMEOUT).ok()? == 50).then_some(())
    });
    let mut of_worker = Vec::new();
    let mut of_main = Vec::new();
    std::thread::scope(|scope| {
        scope
            .spawn(|| worker.heap_snapshot(&SnapshotOptions::default(), &mut of_worker, &mut go_on).unwrap());
        attachment.session().heap_snapshot(&SnapshotOptions::default(), &mut of_main, &mut go_on).unwrap();
    });
    assert_eq!(count(&read(&of_worker), "InWorker"), 50);
    assert_eq!(count(&read(&of_main), "HeapsightMarker"), MARKERS);
}
