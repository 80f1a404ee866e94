//! What is pushed to Pyroscope.

use std::{fs, io::Read};

use heapsight_testkit::servers::{Recorder, Sent};
use heapsight_upload::{Environment, Kind, Proof, Uploader};

use crate::{Scratch, failed, upload, verified};

const PROFILE: &str = r#"{"head":{"callFrame":{"functionName":"(root)","scriptId":"0","url":"","lineNumber":-1,"columnNumber":-1},
"selfSize":0,"id":1,"children":[{"callFrame":{"functionName":"handle","scriptId":"7","url":"file:///srv/server.js","lineNumber":11,
"columnNumber":4},"selfSize":921600,"id":2,"children":[]}]},"samples":[{"size":460800,"nodeId":2,"ordinal":1},{"size":460800,"nodeId":2,"ordinal":2}]}"#;

const SIDE: &str = r#"{"capture":{"time":"2026-11-21T08:08:07Z","duration_ms":60000}}"#;

fn push(
    statuses: &[u16],
    variables: &[(&str, &str)],
    text: &str,
) -> (Vec<heapsight_upload::Report>, Vec<Sent>) {
    let (scratch, server) = (Scratch::new(), Recorder::start(statuses));
    let file = scratch.path("a.heapprofile");
    fs::write(&file, text).unwrap();
    fs::write(scratch.path("a.heapprofile.meta.json"), SIDE).unwrap();
    let to = format!("pyroscope+http://{}?name=shop.api&env=prod", server.address());
    let mut config = scratch.config(&to, Environment::new(variables.iter().copied()));
    config.retry.attempts = Some(5);
    let reports = upload(config, &[&file]);
    assert!(file.exists());
    (reports, server.sent())
}

#[test]
fn the_request_is_as_documented() {
    let (reports, sent) = push(&[], &[], PROFILE);
    assert_eq!(verified(&reports[0]), (Proof::Accepted, false));
    assert_eq!(sent.len(), 1);
    let request = &sent[0];
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.target,
        "/ingest?name=shop.api%7Benv%3Dprod%7D&from=1795248487&until=1795248547&format=pprof&spyName=heapsight"
    );
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("transfer-encoding"), None);
    // The body is a pprof profile in gzip, which this library's reader reads; that others do is a test of the command.
    let mut pprof = Vec::new();
    flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut pprof).unwrap();
    let names = [&b"inuse_space"[..], b"bytes", b"handle", b"file:///srv/server.js"];
    for name in names {
        assert!(pprof.windows(name.len()).any(|window| window == name), "{}", String::from_utf8_lossy(name));
    }
    assert!(!pprof.windows(7).any(|window| window == b"samples"), "Pyroscope would take it for CPU time");
    let profile = heapsight_profile::read(&request.body[..]).unwrap();
    assert_eq!(profile.nodes.self_size.iter().sum::<u64>(), 921_600);
}

#[test]
fn credentials_are_headers() {
    let basic = [("PYROSCOPE_BASIC_AUTH_USER", "u"), ("PYROSCOPE_BASIC_AUTH_PASSWORD", "p")];
    let (_, sent) = push(&[], &basic, PROFILE);
    assert_eq!(sent[0].header("authorization"), Some("Basic dTpw"));
    let token = [("PYROSCOPE_AUTH_TOKEN", "t"), ("PYROSCOPE_TENANT_ID", "team-7")];
    let (_, sent) = push(&[], &token, PROFILE);
    assert_eq!(sent[0].header("authorization"), Some("Bearer t"));
    assert_eq!(sent[0].header("x-scope-orgid"), Some("team-7"));
}

#[test]
fn a_busy_server_is_asked_again_and_one_that_refuses_is_not() {
    let (reports, sent) = push(&[503, 429], &[], PROFILE);
    assert_eq!((verified(&reports[0]), reports[0].attempts, sent.len()), ((Proof::Accepted, false), 3, 3));
    assert_eq!(sent[0].body, sent[2].body);
    for (status, kind) in [(401, Kind::Permission), (404, Kind::NotFound), (422, Kind::Destination)] {
        let (reports, sent) = push(&[status], &[("PYROSCOPE_AUTH_TOKEN", "hush")], PROFILE);
        let error = failed(&reports[0]);
        assert_eq!((error.kind, sent.len()), (kind, 1), "{error}");
        assert!(
            error.why.contains(&status.to_string()) && error.why.ends_with("no: said by the server"),
            "{error}"
        );
        assert!(!error.to_string().contains("hush"));
    }
}

#[test]
fn what_is_no_profile_is_not_pushed() {
    let (reports, sent) = push(&[], &[], r#"{"snapshot":{}}"#);
    assert_eq!((failed(&reports[0]).kind, sent.len()), (Kind::Local, 0));
    assert!(failed(&reports[0]).hint.as_ref().unwrap().contains("heapsight sample"));
}

#[test]
fn what_cannot_be_verified_is_not_removed() {
    let scratch = Scratch::new();
    let mut config = scratch.config("pyroscope+http://localhost:1?name=a", Environment::default());
    config.delete_after = true;
    assert_eq!(Uploader::start(config).unwrap_err().kind, Kind::Destination);
}
