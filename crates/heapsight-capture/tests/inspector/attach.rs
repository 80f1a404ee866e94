//! Other people's processes: reached only where it is safe, and left as they were.

use std::{
    net::TcpListener,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use heapsight_capture::{
    CaptureError, Kind,
    inspector::{AttachOptions, Attachment, Closed, Phase, SnapshotOptions, attach, attach_url},
    process::sockets,
    target::Target,
};
use heapsight_testkit::runtimes;

use crate::programs::{APP, MAJORS, MARKERS, Program, Proxy, TIMEOUT, count, go_on, patient, read, until};

fn by_pid(program: &Program) -> Result<Attachment, CaptureError> {
    attach(&Target::Pid(program.pid()), &patient())
}

fn hasty(program: &Program) -> CaptureError {
    let options = AttachOptions {
        timeout: Duration::from_secs(3),
        open_within: Duration::from_millis(1500),
        ..patient()
    };
    attach(&Target::Pid(program.pid()), &options).unwrap_err()
}

#[track_caller]
fn ports(program: &Program) -> Vec<std::net::SocketAddr> {
    sockets::listening(program.pid()).unwrap_or_else(|error| {
        thread::sleep(Duration::from_secs(1));
        panic!("{error}: {}", program.fate())
    })
}

#[test]
fn a_process_is_left_as_it_was_on_every_way_out() {
    for major in MAJORS {
        let program = Program::node(major, &[], APP);
        let attachment = by_pid(&program).unwrap();
        assert!(attachment.opened() && ports(&program).len() == 1);
        assert_eq!(attachment.identity().pid, program.pid());
        assert_eq!(attachment.close().unwrap(), Closed::Closed);
        assert_eq!(ports(&program), []);
        // Again, and dropped.
        drop(by_pid(&program).unwrap());
        assert_eq!(ports(&program), []);
        // A panic in between.
        let attachment = by_pid(&program).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _attachment = attachment;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(ports(&program), []);
        // In the middle of a snapshot that is called off.
        let mut attachment = by_pid(&program).unwrap();
        let mut bytes = Vec::new();
        let result = attachment
            .session()
            .heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut |_| ControlFlow::Break(()));
        // A small heap may be whole before the watcher is asked.
        if let Err(error) = result {
            assert_eq!(error.kind, Kind::Interrupted);
        }
        assert_eq!(attachment.close().unwrap(), Closed::Closed);
        assert_eq!(ports(&program), []);
        assert!(program.is_alive(), "Node.js {major}: {}", program.fate());
    }
}

#[test]
fn an_inspector_that_is_open_is_used_and_stays_open() {
    for (major, options, script) in [
        (16, vec!["--inspect"], APP.to_owned()),
        (20, vec!["--inspect=127.0.0.1:0"], APP.to_owned()),
        // One that was closed since was ours.
        (
            22,
            vec!["--inspect=127.0.0.1:0"],
            format!("process[Symbol.for('heapsight.opened')]='/before';{APP}"),
        ),
        // At a port that no option tells.
        (24, vec![], format!("require('inspector').open(0,'127.0.0.1');{APP}")),
        // With servers of the program's own beside it.
        (
            26,
            vec!["--inspect"],
            format!(
                "const h=require('http');for(let i=0;i<3;i++)h.createServer((q,r)=>r.end('{{}}')).listen(0,'127.0.0.1');{APP}"
            ),
        ),
    ] {
        let program = Program::node(major, &options, &script);
        let listening = 1 + script.matches("http").count() * 3;
        let before = until("all listen", || Some(ports(&program)).filter(|all| all.len() == listening));
        let attachment = by_pid(&program).unwrap();
        assert!(!attachment.opened(), "Node.js {major}");
        assert_eq!(attachment.close().unwrap(), Closed::LeftOpen);
        assert_eq!(ports(&program), before);
    }
}

#[test]
fn a_program_that_closes_its_inspector_while_we_leave_lives() {
    let script = format!("globalThis.closing=require('inspector');{APP}");
    for step in 0..60 {
        let major = MAJORS[step as usize % MAJORS.len()];
        let program = Program::node(major, &["--inspect=127.0.0.1:0"], &script);
        let mut attachment = attach_url(&program.url(), &patient()).unwrap();
        attachment.session().evaluate("setTimeout(()=>closing.close(),3),1", TIMEOUT).unwrap();
        thread::sleep(Duration::from_micros(1500 + 50 * step));
        assert_eq!(attachment.close().unwrap(), Closed::LeftOpen);
        until("the inspector is closed or the program dead", || {
            sockets::listening(program.pid()).map_or(true, |all| all.is_empty()).then_some(())
        });
        thread::sleep(Duration::from_millis(20));
        assert!(program.is_alive(), "{}", program.fate());
    }
}

#[test]
fn servers_of_the_program_are_not_taken_for_its_inspector() {
    let script = format!(
        "const h=require('http');for(let i=0;i<3;i++)h.createServer((q,r)=>r.end('[]')).listen(0,'127.0.0.1');\
        require('net').createServer(()=>{{}}).listen(0,'127.0.0.1');{APP}"
    );
    for major in [16, 22] {
        let program = Program::node(major, &[], &script);
        until("its servers listen", || (ports(&program).len() == 4).then_some(()));
        let attachment = by_pid(&program).unwrap();
        assert!(attachment.opened());
        assert_eq!(attachment.close().unwrap(), Closed::Closed);
        assert_eq!(ports(&program).len(), 4);
    }
}

#[test]
fn a_process_that_has_just_been_started_is_waited_for() {
    for major in MAJORS {
        let mut command = Command::new(runtimes::node(major));
        command.args(["--inspect-port=127.0.0.1:0", "-e", APP]);
        let program = Program::launch(&mut command);
        // Between fork and exec it is another program.
        let attachment = until("it can be attached to", || match by_pid(&program) {
            Ok(attachment) => Some(attachment),
            Err(error) => {
                assert_eq!(error.kind, Kind::Unsupported, "Node.js {major}: {error}");
                None
            }
        });
        drop(attachment);
        assert!(program.is_alive());
        program.wait_for("ready");
        assert_eq!(ports(&program), []);
    }
}

#[test]
fn a_port_that_another_process_has_is_told_with_its_owner() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for major in [16, 24] {
        let program = Program::node(major, &[&format!("--inspect-port=127.0.0.1:{port}")], APP);
        let error = hasty(&program);
        assert_eq!(error.kind, Kind::Timeout);
        let me = format!("its port {port} is taken by process {}", std::process::id());
        assert!(error.why.contains(&me), "Node.js {major}: {error}");
        assert!(program.is_alive());
    }
}

#[test]
fn who_stays_leaves_the_port_to_others_and_the_program_does_not_notice() {
    for major in MAJORS {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let option = format!("--inspect-port=127.0.0.1:{port}");
        let programs = [Program::node(major, &[&option], APP), Program::node(major, &[&option], APP)];
        let options = AttachOptions { free_port: true, ..patient() };
        // Both at once: they take turns.
        let mut attachments: Vec<Attachment> = std::thread::scope(|scope| {
            let both = programs
                .each_ref()
                .map(|program| scope.spawn(|| attach(&Target::Pid(program.pid()), &options).unwrap()));
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (program, attachment) in programs.iter().zip(&mut attachments) {
            assert!(attachment.opened() && ports(program).iter().all(|address| address.port() != port));
            let kept = "JSON.stringify([process.debugPort, Symbol.for('heapsight.debugPort') in process,
                Object.hasOwnProperty.call(process, 'emit')])";
            let value = attachment.session().evaluate(kept, TIMEOUT).unwrap();
            assert_eq!(value, format!("[{port},false,false]"), "Node.js {major}");
        }
        for (program, attachment) in programs.iter().zip(attachments) {
            assert_eq!(attachment.close().unwrap(), Closed::Closed);
            assert_eq!(ports(program), []);
            // Where it would have opened.
            let attachment = by_pid(program).unwrap();
            assert_eq!(ports(program)[0].port(), port);
            drop(attachment);
            assert!(program.is_alive());
        }
    }
}

/// The first of three ports that nobody has: a cluster counts its own up for its workers. Not of those that the system gives to
/// connections, of which one may have the next number.
fn three_ports() -> u16 {
    let first = 10_000 + (std::process::id() % 4096) as u16 * 5;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (first..32_000).step_by(5).find(|&port| (port..port + 3).all(is_free)).unwrap()
}

#[test]
fn what_the_workers_of_a_cluster_open_for_their_primary_is_closed_with_it() {
    const CLUSTER: &str = "const cluster=require('cluster');
        if(cluster.isPrimary??cluster.isMaster){
            let online=0;
            for(let i=0;i<2;i++)cluster.fork().on('message',()=>{if(++online===2)console.log('ready')});
            process.stdin.on('end',()=>process.exit()).resume();
        }else{process.send('online');setInterval(()=>{},1000);process.on('disconnect',()=>process.exit())}";
    for major in MAJORS {
        let port = three_ports();
        let program = Program::node(major, &[&format!("--inspect-port=127.0.0.1:{port}")], CLUSTER);
        let pid = program.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let workers: Vec<u32> = children.split(' ').filter_map(|child| child.trim().parse().ok()).collect();
        assert_eq!(workers.len(), 2);
        let open =
            || workers.iter().filter(|&&worker| !sockets::listening(worker).unwrap().is_empty()).count();
        for free_port in [false, true] {
            let options = AttachOptions { free_port, ..patient() };
            let attachment = attach(&Target::Pid(pid), &options).unwrap();
            until("Node.js has opened those of its workers", || (open() == 2).then_some(()));
            assert_eq!(attachment.close().unwrap(), Closed::Closed);
            assert_eq!(open(), 0, "Node.js {major}");
            assert_eq!(ports(&program), []);
        }
    }
}

#[test]
fn the_inspector_of_another_process_is_not_taken_for_that_of_the_named_one() {
    let other = Program::node(20, &["--inspect"], APP);
    let url = other.url();
    let port = url.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1.to_owned();
    let program = Program::node(20, &[&format!("--inspect-port=127.0.0.1:{port}")], APP);
    let error = hasty(&program);
    assert!(error.why.contains(&format!("is taken by process {}", other.pid())), "{error}");
    let error = attach_url(&url, &AttachOptions { pid: Some(program.pid()), ..patient() }).unwrap_err();
    assert_eq!(error.kind, Kind::Protocol);
    assert!(error.why.contains(&format!("it says that it is process {}", other.pid())), "{error}");
    attach_url(&url, &AttachOptions { pid: Some(other.pid()), ..patient() }).unwrap();
}

#[test]
fn a_handler_of_its_own_swallows_the_signal() {
    let script = format!("process.on('SIGUSR1',()=>console.log('mine'));{APP}");
    for major in [16, 26] {
        let program = Program::node(major, &[], &script);
        let error = hasty(&program);
        assert_eq!(error.kind, Kind::Timeout);
        assert!(
            error.why.contains("a handler of its own") && error.hint.is_some(),
            "Node.js {major}: {error}"
        );
        program.wait_for("mine");
        assert!(program.is_alive() && ports(&program).is_empty());
    }
}

#[test]
fn where_the_signal_would_do_nothing_or_harm_it_is_not_sent() {
    let cases: [(u32, &[&str]); 5] = [
        (22, &["--disable-sigusr1"]),
        (24, &["--disable-sigusr1"]),
        (26, &["--disable-sigusr1"]),
        (24, &["--permission", "--allow-fs-read=*"]),
        (26, &["--permission", "--allow-fs-read=*"]),
    ];
    for (major, options) in cases {
        let program = Program::node(major, options, APP);
        let error = hasty(&program);
        assert_eq!(error.kind, Kind::Unsupported, "Node.js {major} {options:?}: {error}");
        assert!(program.is_alive() && ports(&program).is_empty());
    }
    // Its handlers are taken off: the signal would end it.
    let script = format!("process.on('SIGUSR1',()=>{{}});process.removeAllListeners('SIGUSR1');{APP}");
    let program = Program::node(20, &[], &script);
    let error = hasty(&program);
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(program.is_alive());
    // Its URL would be known to nobody.
    let program = Program::node(20, &["--inspect-publish-uid=stderr"], APP);
    let error = hasty(&program);
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.why.contains("--inspect-publish-uid") && program.is_alive() && ports(&program).is_empty());
}

#[test]
fn what_is_no_v8_program_or_no_process_is_told() {
    assert_eq!(attach(&Target::Pid(u32::MAX), &patient()).unwrap_err().kind, Kind::NotFound);
    assert_eq!(attach(&Target::Pid(std::process::id()), &patient()).unwrap_err().kind, Kind::Unsupported);
}

#[test]
fn a_main_thread_in_a_native_call_is_said_to_be_blocked_and_closed_when_it_is_free() {
    // It blocks in the very turn of its event loop in which the inspector opens.
    let script = "const inspector=require('inspector');const {execSync}=require('child_process');\
        setImmediate(function look(){if(!inspector.url())return setImmediate(look);\
        execSync('head -c1',{stdio:['inherit','ignore','ignore']});console.log('free');setInterval(()=>{},1000)});\
        console.log('ready')";
    std::thread::scope(|scope| {
        for major in [16, 22, 26] {
            scope.spawn(move || {
                let mut program = Program::node(major, &[], script);
                let options = AttachOptions { timeout: Duration::from_secs(4), ..patient() };
                let error = attach(&Target::Pid(program.pid()), &options).unwrap_err();
                assert_eq!(error.kind, Kind::Timeout, "Node.js {major}: {error}: {}", program.fate());
                assert!(error.why.contains("native call"), "Node.js {major}: {error}");
                assert_eq!(ports(&program).len(), 1);
                program.tell("x");
                program.wait_for("free");
                until("the inspector is closed", || ports(&program).is_empty().then_some(()));
                assert!(program.is_alive());
            });
        }
    });
}

#[test]
fn only_one_of_us_is_attached_to_a_process() {
    let program = Program::node(22, &[], APP);
    let first = by_pid(&program).unwrap();
    let error = by_pid(&program).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.what.contains("another heapsight"), "{error}");
    drop(first);
    by_pid(&program).unwrap();
}

/// A heap whose snapshot takes a while to be sent.
const LARGE: &str = "globalThis.many=Array.from({length:200000},(_,i)=>({i,s:'text '+i}));";

#[test]
fn a_target_that_is_killed_in_the_middle_is_gone() {
    for major in [16, 26] {
        let program = Program::node(major, &[], &(LARGE.to_owned() + APP));
        let mut attachment = by_pid(&program).unwrap();
        let mut bytes = Vec::new();
        let error = attachment
            .session()
            .heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut |progress| {
                if progress.phase != Phase::Writing {
                    program.kill();
                }
                ControlFlow::Continue(())
            })
            .unwrap_err();
        assert_eq!(error.kind, Kind::Gone, "{error}");
        assert!(error.why.contains("bytes of the capture"), "{error}");
        assert_eq!(attachment.close().unwrap(), Closed::Ended);
    }
}

#[test]
fn a_line_that_is_cut_in_the_middle_is_gone_and_the_target_goes_on() {
    // Node.js 16 itself crashes now and then (SIGSEGV, 1 of 20 on a busy machine) when a connection is cut while it sends:
    // no client can keep it from that.
    for major in [20, 26] {
        let program = Program::node(major, &["--inspect"], &(LARGE.to_owned() + APP));
        let url = program.url();
        let proxy = Proxy::to(&url);
        let mut attachment = attach_url(&proxy.url(&url), &patient()).unwrap();
        proxy.cut_after(3 << 20);
        let mut bytes = Vec::new();
        let error = attachment
            .session()
            .heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on)
            .unwrap_err();
        assert_eq!(error.kind, Kind::Gone);
        assert!(error.why.contains("bytes of the capture"), "{error}");
        // And again, whole.
        let mut attachment = attach_url(&url, &patient()).unwrap_or_else(|error| {
            thread::sleep(Duration::from_secs(1));
            panic!("{error}: {}", program.fate())
        });
        let mut bytes = Vec::new();
        attachment.session().heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
        assert_eq!(count(&read(&bytes), "HeapsightMarker"), MARKERS);
        assert!(program.is_alive());
    }
}

/// Whether this machine lets us make namespaces.
fn may_unshare() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "ip", "link", "set", "lo", "up"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The process below `unshare` that runs a program.
fn inner(outer: u32, program: &Path) -> u32 {
    until("the program is started", || {
        let mut pid = outer;
        for _ in 0..4 {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            pid = children.split_whitespace().next()?.parse().ok()?;
            if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program) {
                return Some(pid);
            }
        }
        None
    })
}

#[test]
fn a_process_in_namespaces_of_its_own_is_reached() {
    if !may_unshare() {
        return;
    }
    // Alone in its network each has port 9229 for itself: so Deno, which takes no other, can be tested too.
    let deno = "console.log('ready');setInterval(()=>{},1000)";
    for (runtime, arguments) in [
        (runtimes::node(18), vec!["-e", APP]),
        (runtimes::node(26), vec!["-e", APP]),
        (runtimes::deno(), vec!["eval", deno]),
    ] {
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            "ip link set lo up && exec \"$@\"",
            "sh",
        ]);
        command.arg(&runtime).args(&arguments).env("DENO_NO_UPDATE_CHECK", "1");
        let program = Program::start(&mut command, "ready");
        let pid = inner(program.pid(), &runtime);
        let mut attachment = attach(&Target::Pid(pid), &patient()).unwrap();
        assert!(attachment.opened());
        assert_eq!(attachment.identity().pid, 1);
        assert_eq!(attachment.session().endpoint().server.inside, Some(pid));
        let mut bytes = Vec::new();
        attachment.session().heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut go_on).unwrap();
        read(&bytes);
        assert_eq!(attachment.session().threads(TIMEOUT).unwrap().len(), 1);
        assert_eq!(attachment.close().unwrap(), Closed::Closed);
        assert_eq!(sockets::listening(pid).unwrap(), []);
    }
}
