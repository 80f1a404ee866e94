//! Captures from Node.js and Deno: whole, exact, and of the right heap.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use heapsight_capture::{
    Kind,
    inspector::{Attachment, Phase, SamplingOptions, SnapshotOptions, TimelineOptions, attach, attach_url},
    target::Target,
};
use serde_json::Value;

use crate::programs::{
    APP, MAJORS, MARKERS, Program, Proxy, TIMEOUT, count, go_on, naive, patient, read, until,
};

fn snapshot(attachment: &mut Attachment, options: &SnapshotOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut phases = Vec::new();
    let captured = attachment
        .session()
        .heap_snapshot(options, &mut bytes, &mut |progress| {
            phases.push(progress.phase);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(captured.bytes, bytes.len() as u64);
    assert!(captured.built <= captured.stopped && captured.stopped <= captured.elapsed);
    assert!(phases.is_sorted_by_key(|phase| *phase as u8), "{phases:?}");
    bytes
}

#[test]
fn a_snapshot_is_what_the_target_sent_and_has_its_objects() {
    for major in MAJORS {
        let program = Program::node(major, &["--inspect"], APP);
        let url = program.url();
        let proxy = Proxy::to(&url);
        let mut attachment = attach_url(&proxy.url(&url), &patient()).unwrap();
        assert_eq!(attachment.identity().pid, program.pid());
        assert_eq!(attachment.identity().runtime, "node");
        assert!(attachment.identity().version.starts_with(&format!("{major}.")));
        let options = SnapshotOptions { gc: true, numeric_values: major > 16, ..SnapshotOptions::default() };
        let bytes = snapshot(&mut attachment, &options);
        assert!(bytes == naive(&proxy.messages()).as_bytes(), "Node.js {major}: other bytes than were sent");
        let snapshot = read(&bytes);
        assert_eq!(count(&snapshot, "HeapsightMarker"), MARKERS, "Node.js {major}");
    }
}

#[test]
fn a_process_is_captured_by_its_id_and_its_inspector_closed() {
    for (major, name) in
        [(16, "app.cjs"), (18, "app.mjs"), (20, "app.cjs"), (22, "app.mjs"), (24, "app.cjs"), (26, "app.mjs")]
    {
        let program = Program::file(major, &[], name, APP);
        let mut attachment = attach(&Target::Pid(program.pid()), &patient()).unwrap();
        assert!(attachment.opened());
        assert_eq!(
            count(&read(&snapshot(&mut attachment, &SnapshotOptions::default())), "HeapsightMarker"),
            MARKERS
        );
        let heap = attachment.session().heap_use(TIMEOUT).unwrap();
        assert!(
            heap.used > 1 << 20
                && heap.total >= heap.used
                && heap.limit > heap.total
                && heap.rss > heap.total,
            "{heap:?}"
        );
        assert_eq!(attachment.close().unwrap(), heapsight_capture::inspector::Closed::Closed);
        assert_eq!(heapsight_capture::process::sockets::listening(program.pid()).unwrap(), []);
    }
}

#[test]
fn deno_is_captured() {
    let script = "class HeapsightMarker{constructor(i){this.i=i;this.s='marker '+i}}\n\
        globalThis.kept=Array.from({length:1234},(_,i)=>new HeapsightMarker(i));setInterval(()=>{},1000);console.log('ready')";
    let program = Program::deno(&["--inspect=127.0.0.1:0"], script);
    let url = program.url();
    let mut attachment = attach_url(&url, &patient()).unwrap();
    assert_eq!((attachment.identity().pid, attachment.identity().runtime.as_str()), (program.pid(), "deno"));
    assert_eq!(
        count(&read(&snapshot(&mut attachment, &SnapshotOptions::default())), "HeapsightMarker"),
        MARKERS
    );
    let mut bytes = Vec::new();
    let options =
        TimelineOptions { duration: Some(Duration::from_millis(300)), ..TimelineOptions::default() };
    attachment.session().timeline(&options, &mut bytes, &mut go_on).unwrap();
    assert!(read(&bytes).traces.is_some());
    let scripts = attachment.session().script_urls(TIMEOUT).unwrap();
    assert!(scripts.iter().any(|script| script.url.ends_with("/app.mjs")));
    drop(attachment);
    // By its id: the inspector is open already and stays.
    let attachment = attach(&Target::Pid(program.pid()), &patient()).unwrap();
    assert!(!attachment.opened());
    drop(attachment);
    assert!(attach_url(&url, &patient()).is_ok());
}

#[test]
fn a_timeline_has_stacks_and_tells_of_its_objects_meanwhile() {
    const ALLOCATE: &str =
        "globalThis.all=[];setInterval(function allocateMany(){for(let i=0;i<50;i++)all.push({i})},5);";
    for major in MAJORS {
        let program = Program::node(major, &["--inspect"], &(ALLOCATE.to_owned() + APP));
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        for stacks in [true, false] {
            let mut bytes = Vec::new();
            let options = TimelineOptions { stacks, ..TimelineOptions::default() };
            let mut most = 0;
            let captured = attachment.session().timeline(&options, &mut bytes, &mut |progress| {
                most = most.max(progress.live.objects);
                let enough = progress.phase == Phase::Recording
                    && progress.live.intervals > 4
                    && progress.live.objects > 100;
                if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let captured = captured.unwrap();
            assert!(
                most > 100 && captured.live.objects >= most && captured.live.last_id > 0,
                "Node.js {major}: {most}, {:?}",
                captured.live
            );
            assert!(captured.live.bytes > captured.live.objects * 8);
            let snapshot = read(&bytes);
            assert!(snapshot.samples.len() > 4, "Node.js {major}: {} samples", snapshot.samples.len());
            let text = String::from_utf8(bytes).unwrap();
            // With stacks the function that allocates is in the table of functions.
            let functions =
                text.split_once("\"trace_function_infos\":[").unwrap().1.split_once(']').unwrap().0;
            assert_eq!(functions.contains(','), stacks, "Node.js {major}");
        }
    }
}

#[test]
fn a_timeline_that_is_called_off_while_it_is_collected_is_interrupted() {
    let program = Program::node(20, &["--inspect"], APP);
    let mut attachment = attach_url(&program.url(), &patient()).unwrap();
    let mut bytes = Vec::new();
    let error = attachment
        .session()
        .timeline(&TimelineOptions::default(), &mut bytes, &mut |_| ControlFlow::Break(()))
        .unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
    // The session goes on: what is left of it is not taken for something else.
    assert_eq!(attachment.session().evaluate("6*7", TIMEOUT).unwrap(), 42);
    assert_eq!(
        count(&read(&snapshot(&mut attachment, &SnapshotOptions::default())), "HeapsightMarker"),
        MARKERS
    );
}

const BUSY: &str = "globalThis.kept2=[];function allocateALot(){for(let i=0;i<300;i++)kept2.push(new Array(100).fill(i))}\
    setInterval(allocateALot,5);";

fn total(node: &Value) -> f64 {
    node["selfSize"].as_f64().unwrap() + node["children"].as_array().unwrap().iter().map(total).sum::<f64>()
}

#[test]
fn a_sampling_profile_can_be_read_while_it_runs_and_at_its_end() {
    for major in MAJORS {
        let program = Program::node(major, &["--inspect"], &(BUSY.to_owned() + APP));
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        let options = SamplingOptions {
            interval: 4096,
            depth: Some(64),
            include_major: true,
            ..SamplingOptions::default()
        };
        let mut sampling = attachment.session().sampling(&options, TIMEOUT).unwrap();
        assert!(!sampling.is_shared());
        assert!(
            !sampling.wait(Some(Duration::from_millis(300)), &mut |_| ControlFlow::Continue(())).unwrap()
        );
        let mut first = Vec::new();
        let bytes = sampling.profile_now(&mut first).unwrap();
        assert_eq!(bytes, first.len() as u64);
        assert!(
            sampling
                .wait(None, &mut |elapsed| {
                    if elapsed > Duration::from_millis(600) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .unwrap()
        );
        let mut last = Vec::new();
        sampling.stop(&mut last).unwrap();
        let (first, last): (Value, Value) =
            (serde_json::from_slice(&first).unwrap(), serde_json::from_slice(&last).unwrap());
        assert!(total(&last["head"]) > total(&first["head"]), "Node.js {major}");
        assert!(last.to_string().contains("allocateALot"), "Node.js {major}");
        // It is stopped: another one is the first again.
        assert!(!attachment.session().sampling(&options, TIMEOUT).unwrap().is_shared());
        // And so is one that was only dropped.
        assert!(!attachment.session().sampling(&options, TIMEOUT).unwrap().is_shared());
    }
}

#[test]
fn a_profiler_of_somebody_else_is_left_alone() {
    for major in [16, 20, 26] {
        let program = Program::node(major, &["--inspect"], &(BUSY.to_owned() + APP));
        let (mut theirs, mut ours) = (
            attach_url(&program.url(), &patient()).unwrap(),
            attach_url(&program.url(), &patient()).unwrap(),
        );
        let options = SamplingOptions { interval: 4096, ..SamplingOptions::default() };
        let mut running = theirs.session().sampling(&options, TIMEOUT).unwrap();
        let error = ours.session().sampling(&options, TIMEOUT).unwrap_err();
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.why.contains("another profiler"), "{error}");
        let shared = SamplingOptions { share: true, ..options };
        let mut sampling = ours.session().sampling(&shared, TIMEOUT).unwrap();
        assert!(sampling.is_shared());
        sampling.profile_now(&mut Vec::new()).unwrap();
        sampling.stop(&mut Vec::new()).unwrap();
        drop(ours);
        // All this may have taken less time than the program takes between two of its allocations.
        until("theirs goes on", || {
            let mut profile = Vec::new();
            running.profile_now(&mut profile).unwrap();
            String::from_utf8(profile).unwrap().contains("allocateALot").then_some(())
        });
    }
}

#[test]
fn what_would_hurt_is_refused() {
    let program = Program::node(26, &["--inspect"], APP);
    let mut attachment = attach_url(&program.url(), &patient()).unwrap();
    for options in [
        SamplingOptions { depth: Some(129), ..SamplingOptions::default() },
        SamplingOptions { depth: Some(0), ..SamplingOptions::default() },
        SamplingOptions { interval: 0, ..SamplingOptions::default() },
    ] {
        assert_eq!(attachment.session().sampling(&options, TIMEOUT).unwrap_err().kind, Kind::Refused);
    }
}

#[test]
fn javascript_is_evaluated_in_all_kinds_of_programs() {
    for (major, name) in [(16, "app.mjs"), (18, "app.cjs"), (22, "app.mjs"), (26, "app.cjs")] {
        let program = Program::file(major, &["--inspect"], name, APP);
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        let session = attachment.session();
        let mut value = |expression: &str| session.evaluate(expression, TIMEOUT).map_err(|e| e.why);
        assert_eq!(value("1+1").unwrap(), 2);
        assert_eq!(value("undefined").unwrap(), Value::Null);
        assert_eq!(value("-0").unwrap(), "-0");
        assert_eq!(value("10n").unwrap(), "10n");
        assert_eq!(value("({a:[1,{b:null}]})").unwrap(), serde_json::json!({"a": [1, {"b": null}]}));
        assert_eq!(value("Promise.resolve({x:1})").unwrap(), serde_json::json!({"x": 1}));
        assert_eq!(value("'\\ud83d'").unwrap(), "\u{FFFD}");
        assert_eq!(value("typeof require('v8').getHeapStatistics").unwrap(), "function");
        assert!(value("null.x").unwrap_err().starts_with("TypeError"));
        // One that is rejected before anybody waits for it would end the program.
        let rejected =
            value("new Promise((_, reject) => setTimeout(() => reject(new RangeError('far')), 50))")
                .unwrap_err();
        assert!(rejected.starts_with("RangeError: far"), "Node.js {major}: {rejected}: {}", program.fate());
        assert!(value("throw 'text'").unwrap_err().starts_with("text"));
        assert!(value("syntax error").unwrap_err().starts_with("SyntaxError"));
        let error = session.evaluate("new Promise(()=>{})", Duration::from_millis(300)).unwrap_err();
        assert_eq!((error.kind, error.why.as_str()), (Kind::Timeout, "a promise was not settled"));
        assert_eq!(
            session.call("No.such", &serde_json::json!({}), TIMEOUT).unwrap_err().kind,
            Kind::Unsupported
        );
        // Nothing that was evaluated is held.
        let mut bytes = Vec::new();
        session.evaluate("({leakedByEvaluation:1})", TIMEOUT).unwrap();
        session.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
        assert_eq!(count(&read(&bytes), "HeapsightMarker"), MARKERS);
    }
}

#[test]
fn scripts_have_their_urls() {
    for major in MAJORS {
        let script = format!("{APP}\n//# sourceMappingURL=app.cjs.map");
        let program = Program::node(major, &["--inspect"], &script);
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        let session = attachment.session();
        let mut bytes = Vec::new();
        session.heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
        let scripts = session.script_urls(TIMEOUT).unwrap();
        let app = scripts.iter().find(|script| script.url.ends_with("/app.cjs")).unwrap();
        assert!(app.source_map_url.ends_with("app.cjs.map") && app.length > 100 && !app.hash.is_empty());
        assert!(scripts.is_sorted_by_key(|script| script.id));
        // The script of the class is the one that the snapshot's locations name by number.
        let snapshot = read(&bytes);
        let located =
            (0..snapshot.locations.len()).any(|at| u64::from(snapshot.locations.at(at).script_id) == app.id);
        assert!(located, "Node.js {major}: nothing is located in script {}", app.id);
    }
}

#[test]
fn a_program_is_armed_for_its_heap_limit() {
    for (major, name) in [(16, "app.cjs"), (18, "app.mjs"), (20, "app.mjs"), (26, "app.cjs")] {
        let folder = tempfile::tempdir().unwrap();
        let option = format!("--diagnostic-dir={}", folder.path().display());
        let script = APP.to_owned()
            + "globalThis.grow=()=>{const a=[];setInterval(()=>{for(let i=0;i<2e4;i++)a.push({i,s:'x'+i})},1)};";
        let program = Program::file(major, &["--inspect", "--max-old-space-size=30", &option], name, &script);
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        let armed = attachment.session().arm_near_limit(1, TIMEOUT).unwrap();
        assert_eq!(armed.folder, folder.path());
        attachment.session().evaluate("grow()", TIMEOUT).unwrap();
        // It has its name from the start, and is written to the end before the program ends.
        crate::programs::until("a snapshot is written", || {
            (std::fs::read_dir(folder.path()).unwrap().count() > 0).then_some(())
        });
    }
}

#[test]
fn a_program_that_never_pauses_is_captured_where_v8_can_and_else_said_to_be_busy() {
    let script = APP.to_owned() + "setTimeout(()=>{console.log('spinning');for(;;);},50);";
    for (major, can) in [(16, true), (20, true), (22, false), (26, false)] {
        let program = Program::node(major, &[], &script);
        program.wait_for("spinning");
        let mut attachment = attach(&Target::Pid(program.pid()), &patient()).unwrap();
        assert!(attachment.opened());
        let options =
            SnapshotOptions { idle_within: Duration::from_millis(500), ..SnapshotOptions::default() };
        let mut bytes = Vec::new();
        let result = attachment.session().heap_snapshot(&options, &mut bytes, &mut go_on);
        if can {
            result.unwrap();
            assert_eq!(count(&read(&bytes), "HeapsightMarker"), MARKERS);
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.kind, Kind::Timeout);
            assert!(error.why.contains("without a pause"), "{error}");
        }
        // It is closed all the same.
        let begun = Instant::now();
        attachment.close().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(heapsight_capture::process::sockets::listening(program.pid()).unwrap(), []);
    }
}
