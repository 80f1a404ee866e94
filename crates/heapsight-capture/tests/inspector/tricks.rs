//! A server that speaks the protocol and plays tricks: odd chunks, interleaved events, errors, cut lines.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    ops::ControlFlow,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind,
    inspector::{
        AttachOptions, Captured, Endpoint, Phase, SamplingOptions, Session, SnapshotOptions, TimelineOptions,
        attach_url,
    },
};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::programs::{TIMEOUT, go_on, patient};

type Socket = WebSocket<TcpStream>;

/// Serves one conversation; gives its URL.
fn serve(script: impl FnOnce(&mut Socket) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/session", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection without a handshake only looks whether somebody is there.
            if let Ok(mut socket) = tungstenite::accept(stream) {
                script(&mut socket);
                return;
            }
        }
    });
    url
}

fn send(socket: &mut Socket, message: impl Into<String>) {
    let _ = socket.send(Message::text(message.into()));
}

/// Answers what is usual until a method is called; gives the id of that call and its parameters.
fn called(socket: &mut Socket, method: &str) -> (u64, Value) {
    loop {
        let Ok(message) = socket.read() else { return (0, Value::Null) };
        let Message::Text(text) = message else { continue };
        let call: Value = serde_json::from_str(&text).unwrap();
        let id = call["id"].as_u64().unwrap();
        if call["method"] == method {
            return (id, call["params"].clone());
        }
        let result = match call["method"].as_str().unwrap() {
            "Runtime.evaluate" => {
                let identity = r#"{"pid":7,"runtime":"node","version":"20.1.2","v8":"11.3.244"}"#;
                json!({"result": {"type": "string", "value": identity}})
            }
            _ => json!({}),
        };
        send(socket, json!({"id": id, "result": result}).to_string());
    }
}

fn chunk(escaped: &str) -> String {
    format!(r#"{{"method":"HeapProfiler.addHeapSnapshotChunk","params":{{"chunk":"{escaped}"}}}}"#)
}

fn done(socket: &mut Socket, id: u64) {
    send(socket, json!({"id": id, "result": {}}).to_string());
    // Until the client goes, so that nothing is lost.
    while socket.read().is_ok() {}
}

const SNAPSHOT: &str = "HeapProfiler.takeHeapSnapshot";

fn capture(url: &str, options: &SnapshotOptions) -> (Result<Captured, CaptureError>, Vec<u8>) {
    let mut attachment = attach_url(url, &patient()).unwrap();
    let mut bytes = Vec::new();
    let result = attachment.session().heap_snapshot(options, &mut bytes, &mut go_on);
    (result, bytes)
}

#[test]
fn chunks_are_put_together_whatever_comes_between_them_and_wherever_they_are_cut() {
    let url = serve(|socket| {
        let (id, params) = called(socket, SNAPSHOT);
        assert_eq!(params["reportProgress"], false);
        for message in [
            r#"{"method":"HeapProfiler.reportHeapSnapshotProgress","params":{"done":1,"total":2}}"#
                .to_owned(),
            // The inner text is cut inside of its own escapes.
            chunk(r#"{\"strings\":[\"\\"#),
            r#"{"method":"HeapProfiler.lastSeenObjectId","params":{"lastSeenObjectId":5,"timestamp":1.5}}"#
                .to_owned(),
            chunk(r#"\" \\u00"#),
            r#"{"method":"HeapProfiler.heapStatsUpdate","params":{"statsUpdate":[0,1,2]}}"#.to_owned(),
            json!({"id": 999, "result": {"not": "ours"}}).to_string(),
            json!({"id": 998, "error": {"code": -1, "message": "not ours either"}}).to_string(),
            chunk(r"e9\n\ud83d"),
            r#"{"method":"Runtime.consoleAPICalled","params":{"args":["addHeapSnapshotChunk","\ud83d"]}}"#
                .to_owned(),
            chunk(r"\ude00\u00e9\udc00x"),
            // As another serializer would write it.
            r#" { "params" : { "chunk" : "\"]}" } , "method" : "HeapProfiler.addHeapSnapshotChunk" } "#
                .to_owned(),
        ] {
            send(socket, message);
        }
        let _ = socket.send(Message::Ping(vec![1, 2, 3].into()));
        done(socket, id);
    });
    let (result, bytes) = capture(&url, &SnapshotOptions::default());
    let captured = result.unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "{\"strings\":[\"\\\" \\u00e9\n\u{1F600}\u{e9}\u{FFFD}x\"]}"
    );
    assert_eq!((captured.live.last_id, captured.live.objects), (5, 1));
}

#[test]
fn errors_of_the_target_are_told_in_its_words() {
    let url = serve(|socket| {
        let (id, _) = called(socket, SNAPSHOT);
        send(socket, chunk("abc"));
        send(
            socket,
            json!({"id": id, "error": {"code": -32000, "message": "Failed to take heap snapshot"}})
                .to_string(),
        );
        while socket.read().is_ok() {}
    });
    let (result, _) = capture(&url, &SnapshotOptions::default());
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Protocol);
    assert_eq!(
        error.to_string(),
        "`HeapProfiler.takeHeapSnapshot` failed: -32000 Failed to take heap snapshot"
    );
}

#[test]
fn a_snapshot_without_a_chunk_is_none() {
    let url = serve(|socket| {
        let (id, _) = called(socket, SNAPSHOT);
        done(socket, id);
    });
    let (result, _) = capture(&url, &SnapshotOptions::default());
    assert_eq!(result.unwrap_err().kind, Kind::Incomplete);
}

#[test]
fn a_line_that_is_cut_is_gone_and_says_how_much_had_come() {
    for polite in [true, false] {
        let url = serve(move |socket| {
            let _ = called(socket, SNAPSHOT);
            send(socket, chunk("0123456789"));
            if polite {
                let _ = socket.close(None);
                while socket.read().is_ok() {}
            }
        });
        let (result, _) = capture(&url, &SnapshotOptions::default());
        let error = result.unwrap_err();
        assert_eq!(error.kind, Kind::Gone);
        assert!(error.why.ends_with("after 10 bytes of the capture"), "{error}");
    }
}

#[test]
fn silence_ends_with_a_clear_word() {
    for (chunks, word) in [(0, "V8 has sent nothing yet"), (1, "nothing more has come")] {
        let url = serve(move |socket| {
            let _ = called(socket, SNAPSHOT);
            for _ in 0..chunks {
                send(socket, chunk("0123456789"));
            }
            while socket.read().is_ok() {}
        });
        let options = SnapshotOptions {
            build_within: Duration::from_millis(200),
            stalled_after: Duration::from_millis(200),
            ..SnapshotOptions::default()
        };
        let error = capture(&url, &options).0.unwrap_err();
        assert_eq!(error.kind, Kind::Timeout);
        assert!(
            error.why.contains(word) && error.what.contains(&format!("{} bytes", chunks * 10)),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_protocol_is_an_error() {
    for bad in ["nonsense", r#"{"method":"HeapProfiler.addHeapSnapshotChunk","params":{}}"#, &chunk(r"\x")] {
        let bad = bad.to_owned();
        let url = serve(move |socket| {
            let (id, _) = called(socket, SNAPSHOT);
            send(socket, bad);
            done(socket, id);
        });
        assert_eq!(capture(&url, &SnapshotOptions::default()).0.unwrap_err().kind, Kind::Protocol);
    }
}

/// Takes nothing before it is told to.
struct Stuck(mpsc::Receiver<()>, u64);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv_timeout(TIMEOUT);
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_is_stuck_does_not_make_the_target_wait() {
    const CHUNKS: u64 = 900;
    let (all_sent, sent) = mpsc::channel();
    let url = serve(move |socket| {
        let (id, _) = called(socket, SNAPSHOT);
        let message = chunk(&"0123456789".repeat(10_000));
        for _ in 0..CHUNKS {
            send(socket, message.clone());
        }
        send(socket, json!({"id": id, "result": {}}).to_string());
        all_sent.send(()).unwrap();
        while socket.read().is_ok() {}
    });
    let (go, stuck) = mpsc::channel();
    let mut sink = Stuck(stuck, 0);
    let mut attachment = attach_url(&url, &patient()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    attachment.session().set_spool_dir(dir.path());
    let mut go = Some(go);
    let mut writing = 0;
    let captured = attachment
        .session()
        .heap_snapshot(&SnapshotOptions::default(), &mut sink, &mut |progress| {
            if progress.phase == Phase::Writing && go.is_some() {
                // All has come while the sink has taken nothing, 90 MB of it.
                assert_eq!((progress.received, progress.written), (CHUNKS * 100_000, 0));
                writing += 1;
                go = None;
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    sent.recv_timeout(TIMEOUT).unwrap();
    assert_eq!((captured.bytes, sink.1, writing), (CHUNKS * 100_000, CHUNKS * 100_000, 1));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_sink_that_fails_ends_the_capture_and_a_watcher_that_breaks_calls_it_off() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let endless = |socket: &mut Socket| {
        let _ = called(socket, SNAPSHOT);
        let message = chunk(&"0123456789".repeat(10_000));
        while socket.send(Message::text(message.clone())).is_ok() {}
    };
    let mut attachment = attach_url(&serve(endless), &patient()).unwrap();
    let error =
        attachment.session().heap_snapshot(&SnapshotOptions::default(), &mut Full, &mut go_on).unwrap_err();
    assert_eq!(error.kind, Kind::Output);
    assert!(error.why.contains("No space left"), "{error}");
    let mut attachment = attach_url(&serve(endless), &patient()).unwrap();
    let mut bytes = Vec::new();
    let error = attachment
        .session()
        .heap_snapshot(&SnapshotOptions::default(), &mut bytes, &mut |progress| match progress.phase {
            Phase::Receiving => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
}

#[test]
fn a_profile_of_a_hundred_megabytes_comes_in_one_message() {
    let url = serve(|socket| {
        let (id, _) = called(socket, "HeapProfiler.getSamplingProfile");
        let error = json!({"code": -32000, "message": "V8 sampling heap profiler was not started."});
        send(socket, json!({"id": id, "error": error}).to_string());
        let (id, params) = called(socket, "HeapProfiler.startSampling");
        assert_eq!(params["samplingInterval"], 524_288);
        assert_eq!(params["stackDepth"], Value::Null);
        send(socket, json!({"id": id, "result": {}}).to_string());
        let (id, _) = called(socket, "HeapProfiler.stopSampling");
        let name = "x".repeat(100 << 20);
        send(
            socket,
            format!(r#"{{"id":{id},"result":{{"profile":{{"head":{{"n":"{name}\ud83d"}},"samples":[]}}}}}}"#),
        );
        while socket.read().is_ok() {}
    });
    let mut session = Session::connect(Endpoint::of_url(&url, None, TIMEOUT).unwrap(), TIMEOUT).unwrap();
    let mut bytes = Vec::new();
    let sampling = session.sampling(&SamplingOptions::default(), TIMEOUT).unwrap();
    assert_eq!(sampling.stop(&mut bytes).unwrap(), bytes.len() as u64);
    // As it was sent, half a pair of surrogates included.
    assert!(bytes.starts_with(br#"{"head":{"n":"xxx"#) && bytes.ends_with(br#"x\ud83d"},"samples":[]}"#));
}

#[test]
fn a_timeline_ends_with_its_target() {
    let url = serve(|socket| {
        let (id, _) = called(socket, "HeapProfiler.startTrackingHeapObjects");
        send(socket, json!({"id": id, "result": {}}).to_string());
        send(socket, r#"{"method":"HeapProfiler.heapStatsUpdate","params":{"statsUpdate":[0,1,2]}}"#);
    });
    let mut attachment = attach_url(&url, &patient()).unwrap();
    let mut bytes = Vec::new();
    let error =
        attachment.session().timeline(&TimelineOptions::default(), &mut bytes, &mut go_on).unwrap_err();
    assert_eq!(error.kind, Kind::Gone);
    assert!(error.why.contains("while allocations were recorded"), "{error}");
}

#[test]
fn a_program_that_is_starting_is_not_given_the_command_line_api() {
    let (tell, told) = mpsc::channel();
    let url = serve(move |socket| {
        for starts in [true, true, false] {
            let (id, params) = evaluated(socket);
            tell.send(params["includeCommandLineAPI"].clone()).unwrap();
            send(socket, json!({"id": id, "result": {"result": {"value": starts}}}).to_string());
        }
        let (id, params) = evaluated(socket);
        tell.send(params["includeCommandLineAPI"].clone()).unwrap();
        let identity = r#"{"pid":7,"runtime":"node","version":"18.20.8"}"#;
        send(socket, json!({"id": id, "result": {"result": {"value": identity}}}).to_string());
        while socket.read().is_ok() {}
    });
    let attachment = attach_url(&url, &patient()).unwrap();
    assert_eq!(attachment.identity().version, "18.20.8");
    let asked: Vec<Value> = told.try_iter().collect();
    assert_eq!(asked, [Value::Null, Value::Null, Value::Null, json!(true)]);
}

/// The next call of `Runtime.evaluate`.
fn evaluated(socket: &mut Socket) -> (u64, Value) {
    loop {
        let Ok(Message::Text(text)) = socket.read() else { continue };
        let call: Value = serde_json::from_str(&text).unwrap();
        if call["method"] == "Runtime.evaluate" {
            return (call["id"].as_u64().unwrap(), call["params"].clone());
        }
    }
}

#[test]
fn no_answer_is_a_timeout_and_a_late_one_is_not_taken_for_the_next() {
    let (late, wait) = mpsc::channel::<()>();
    let url = serve(move |socket| {
        let (first, _) = called(socket, "Test.first");
        let _ = wait.recv();
        send(socket, json!({"id": first, "result": {"number": 1}}).to_string());
        let (second, _) = called(socket, "Test.second");
        done(socket, second);
    });
    let mut session = Session::connect(Endpoint::of_url(&url, None, TIMEOUT).unwrap(), TIMEOUT).unwrap();
    let error = session.call("Test.first", &json!({}), Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(error.what.contains("`Test.first`"), "{error}");
    late.send(()).unwrap();
    assert_eq!(session.call("Test.second", &json!({}), TIMEOUT).unwrap(), json!({}));
}

/// Answers HTTP requests by their path.
fn http(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
    use std::io::Read as _;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = vec![0; 4096];
            let Ok(read) = stream.read(&mut bytes) else { continue };
            let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let _ = stream.write_all(answer(&request).as_bytes());
        }
    });
    port
}

fn reply(body: &str) -> String {
    format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn requests_name_an_address_and_only_the_path_of_a_url_is_taken() {
    let (requests, seen) = mpsc::channel();
    let port = http(move |request| {
        requests.send(request.to_owned()).unwrap();
        reply(
            r#"[{"type":"node","id":"x","title":"t","url":"u","webSocketDebuggerUrl":"ws://evil.example:1/the-path"}]"#,
        )
    });
    let endpoint = Endpoint::find("localhost", port, None, TIMEOUT).unwrap();
    assert_eq!(endpoint.url(), format!("ws://127.0.0.1:{port}/the-path"));
    let request = seen.recv().unwrap();
    assert!(request.starts_with("GET /json/list HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains(&format!("\r\nHost: 127.0.0.1:{port}\r\n")) && !request.contains("Origin"),
        "{request}"
    );
}

#[test]
fn what_is_no_inspector_is_said_to_be_none() {
    let find = |port| Endpoint::find("127.0.0.1", port, None, Duration::from_millis(500)).unwrap_err();
    let html = http(|_| reply("<html>"));
    assert!(find(html).why.contains("no inspector"));
    let not_found = http(|_| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned());
    assert!(find(not_found).why.contains("status 404"));
    let other = http(|_| "SSH-2.0-OpenSSH_9.9\r\n".to_owned());
    let error = find(other);
    assert_eq!(error.kind, Kind::Protocol);
    assert!(error.why.contains("no HTTP server"), "{error}");
    let stderr_only =
        http(|_| "HTTP/1.0 400 Bad Request\r\n\r\nWebSockets request was expected\r\n".to_owned());
    assert!(find(stderr_only).hint.unwrap().contains("ws:// URL"));
    // Who takes the connection and says nothing does not hold us.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    assert_eq!(find(silent.local_addr().unwrap().port()).kind, Kind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let port = silent.local_addr().unwrap().port();
    let mute = attach_url(
        &format!("ws://127.0.0.1:{port}/x"),
        &AttachOptions { timeout: Duration::from_millis(300), ..patient() },
    );
    assert_eq!(mute.unwrap_err().kind, Kind::Timeout);
    drop(silent);
    assert_eq!(find(port).kind, Kind::NotFound);
    let refused = attach_url(&format!("ws://127.0.0.1:{not_found}/x"), &patient()).unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound);
    assert!(refused.why.contains("status 404"), "{refused}");
}
