//! Servers that fail, and files that change.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use heapsight_testkit::servers::{Fault, S3Server};
use heapsight_upload::{Kind, Outcome, Proof, Uploader, Verification};

use crate::{PATIENCE, Scratch, bytes, failed, finish, upload, verified};

const NAME: &str = "prod/a.heapsnapshot";

#[test]
fn every_request_may_fail_once_in_any_way() {
    for fault in [Fault::Status(500), Fault::Status(503), Fault::Status(429), Fault::Cut, Fault::Lost] {
        let (scratch, server) = (Scratch::new(), S3Server::start());
        let file = scratch.file("a.heapsnapshot", 200_000);
        // The first request of each kind, and of each part, fails.
        let mut failed = Vec::new();
        server.faults(move |seen| {
            let kind = (seen.operation, seen.part);
            if failed.contains(&kind) {
                return Fault::None;
            }
            failed.push(kind);
            fault
        });
        let mut config = scratch.s3(&server);
        config.delete_after = true;
        let reports = upload(config, &[&file]);
        verified(&reports[0]);
        assert!(reports[0].attempts > 3, "{fault:?}: {}", reports[0].attempts);
        assert_eq!(server.object(NAME).unwrap(), bytes(200_000), "{fault:?}");
        assert!(!file.exists() && scratch.queued().is_empty());
        // Parts that are there are not sent twice, but for those of which the answer was lost.
        let parts = server.count("UploadPart");
        assert!((8..=10).contains(&parts), "{fault:?}: {parts} requests for 4 parts");
    }
}

#[test]
fn waiting_doubles_and_is_spread() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 10);
    server.faults(|seen| if seen.operation == "PutObject" { Fault::Status(503) } else { Fault::None });
    let mut config = scratch.s3(&server);
    config.retry.attempts = Some(12);
    let reports = upload(config, &[&file]);
    let error = failed(&reports[0]);
    assert_eq!((error.kind, reports[0].attempts), (Kind::Passing, 12));
    assert!(error.to_string().contains("503 Service Unavailable: SlowDown"), "{error}");
    let waits = scratch.clock.waits();
    assert_eq!(waits.len(), 11);
    for (at, wait) in waits.iter().enumerate() {
        let whole = Duration::from_secs((1 << at).min(300));
        assert!(*wait >= whole / 2 && *wait <= whole, "{at}: {wait:?}");
    }
    // Given up is not forgotten: the file and the entry are there, and another process succeeds.
    assert_eq!(scratch.queued(), std::slice::from_ref(&file));
    server.faults(|_| Fault::None);
    verified(&finish(Uploader::start(scratch.s3(&server)).unwrap())[0]);
    assert!(scratch.queued().is_empty());
}

#[test]
fn one_that_fails_does_not_stop_the_others() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let files: Vec<_> = ["a", "b", "c"].iter().map(|name| scratch.file(name, 100_000)).collect();
    fs::create_dir(server.file("prod")).unwrap();
    fs::write(server.file("prod/a"), "another one").unwrap();
    let reports = upload(scratch.s3(&server), &[&files[0], &files[1], &files[2]]);
    assert_eq!(failed(&reports[0]).kind, Kind::Conflict);
    verified(&reports[1]);
    verified(&reports[2]);
}

#[test]
fn a_slow_server_is_waited_for_and_a_dead_one_is_not() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    server.faults(|_| Fault::Slow(Duration::from_millis(60)));
    let mut config = scratch.s3(&server);
    config.patience = Duration::from_secs(5);
    assert_eq!(upload(config, &[&file])[0].attempts, 1);
    let stalled = AtomicUsize::new(0);
    server.faults(
        move |_| {
            if stalled.fetch_add(1, Ordering::SeqCst) == 0 { Fault::Stall } else { Fault::None }
        },
    );
    let other = scratch.file("b.heapsnapshot", 10);
    let mut config = scratch.s3(&server);
    config.patience = Duration::from_millis(300);
    let reports = upload(config, &[&other]);
    verified(&reports[0]);
    assert_eq!(reports[0].attempts, 2);
}

#[test]
fn a_remote_object_that_differs_is_never_taken_for_the_file() {
    // Byte by byte: the server's answer is another one, twice, and what it has is not trusted until it is equal.
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    let altered = Arc::new(AtomicUsize::new(0));
    let count = altered.clone();
    server.faults(move |seen| {
        if seen.operation == "GetObject" && count.fetch_add(1, Ordering::SeqCst) < 2 {
            Fault::Altered
        } else {
            Fault::None
        }
    });
    let mut config = scratch.s3(&server);
    config.verification = Verification::ReadBack;
    config.delete_after = true;
    let reports = upload(config, &[&file]);
    assert_eq!(verified(&reports[0]), (Proof::ReadBack, false));
    assert_eq!(reports[0].attempts, 2, "{:?}", server.seen());
    assert!(altered.load(Ordering::SeqCst) >= 2 && !file.exists());

    // A server that stores other bytes, always: the file stays.
    let file = scratch.file("b.heapsnapshot", 200_000);
    let stored = server.file("prod/b.heapsnapshot");
    server.faults(move |seen| {
        if seen.operation == "HeadObject" && stored.exists() {
            let mut bytes = fs::read(&stored).unwrap();
            bytes[150_000] = crate::bytes(150_001)[150_000] ^ 1;
            fs::write(&stored, bytes).unwrap();
        }
        Fault::None
    });
    let mut config = scratch.s3(&server);
    config.verification = Verification::ReadBack;
    config.delete_after = true;
    config.retry.attempts = Some(3);
    let reports = upload(config, &[&file]);
    assert_eq!(failed(&reports[0]).kind, Kind::Differs);
    assert!(failed(&reports[0]).to_string().contains("not what was sent"));
    assert_eq!(fs::read(&file).unwrap(), bytes(200_000));
    assert_eq!(scratch.queued(), [file]);
}

#[test]
fn an_etag_that_says_nothing_is_no_proof_and_no_failure() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    // As of a bucket that is encrypted: it looks like an MD5.
    server.faults(|_| Fault::OtherTag);
    let reports = upload(scratch.s3(&server), &[&file]);
    assert_eq!(verified(&reports[0]), (Proof::ReadBack, false));
    assert_eq!(server.count("GetObject"), 4);
}

#[test]
fn a_file_that_changes_goes_up_as_it_is_in_the_end() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    let (path, parts) = (file.clone(), AtomicUsize::new(0));
    let changed: Vec<u8> = bytes(250_000).into_iter().rev().collect();
    let written = changed.clone();
    server.faults(move |seen| {
        // In the middle of the transfer the file is written anew.
        if seen.operation == "UploadPart" && parts.fetch_add(1, Ordering::SeqCst) == 2 {
            fs::write(&path, &written).unwrap();
        }
        Fault::None
    });
    let mut config = scratch.s3(&server);
    config.delete_after = true;
    let reports = upload(config, &[&file]);
    verified(&reports[0]);
    assert_eq!(server.object(NAME).unwrap(), changed);
    assert_eq!(reports[0].size, 250_000);
    assert!(!file.exists());
}

#[test]
fn a_file_that_becomes_shorter_is_not_given_up() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 400_000);
    let (path, cut) = (file.clone(), AtomicUsize::new(0));
    server.faults(move |seen| {
        if seen.operation == "UploadPart" && cut.fetch_add(1, Ordering::SeqCst) == 0 {
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        }
        Fault::None
    });
    let reports = upload(scratch.s3(&server), &[&file]);
    verified(&reports[0]);
    assert_eq!(server.object(NAME).unwrap(), bytes(100_000));
}

#[test]
fn what_was_verified_is_not_overwritten_by_a_later_file_of_that_name() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 1000);
    let mut config = scratch.s3(&server);
    config.delete_after = true;
    verified(&upload(config.clone(), &[&file])[0]);
    fs::write(&file, "another capture").unwrap();
    assert_eq!(failed(&upload(config, &[&file])[0]).kind, Kind::Conflict);
    assert_eq!(server.object(NAME).unwrap(), bytes(1000));
    assert!(file.exists());
}

#[test]
fn credentials_that_expire_cost_no_parts() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    server.faults(|seen| if seen.part == Some(3) { Fault::Expired } else { Fault::None });
    let mut config = scratch.s3(&server);
    config.parallel = 1;
    config.retry.attempts = Some(5);
    let error = failed(&upload(config.clone(), &[&file])[0]).clone();
    assert_eq!(error.kind, Kind::Permission, "{error}");
    let sent = server.count("UploadPart");
    server.faults(|_| Fault::None);
    verified(&finish(Uploader::start(config).unwrap())[0]);
    assert_eq!((sent, server.count("UploadPart") - sent), (3, 2));
}

#[test]
fn a_file_that_changes_after_the_verification_stays() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 100);
    let (path, heads) = (file.clone(), AtomicUsize::new(0));
    server.faults(move |seen| {
        // The last request of all.
        if seen.operation == "HeadObject" && heads.fetch_add(1, Ordering::SeqCst) == 1 {
            fs::OpenOptions::new().append(true).open(&path).unwrap();
            fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        Fault::None
    });
    let mut config = scratch.s3(&server);
    config.delete_after = true;
    let reports = upload(config, &[&file]);
    let Outcome::Verified { deleted: false, kept_because: Some(why), .. } = &reports[0].outcome else {
        panic!("{reports:?}")
    };
    assert!(why.contains("changed"), "{why}");
    assert!(file.exists());
}

#[test]
fn a_file_that_goes_is_said_and_forgotten() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 100);
    let path = file.clone();
    server.faults(move |_| {
        let _ = fs::remove_file(&path);
        Fault::Status(500)
    });
    let reports = upload(scratch.s3(&server), &[&file]);
    assert_eq!(failed(&reports[0]).kind, Kind::Local);
    assert!(scratch.queued().is_empty());
}

#[test]
fn a_store_that_forgot_an_upload_in_parts_gets_all_of_it() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    // The third part fails, so that the upload is under way.
    server.faults(|seen| if seen.part == Some(3) { Fault::Status(500) } else { Fault::None });
    let mut config = scratch.s3(&server);
    config.retry.attempts = Some(2);
    failed(&upload(config, &[&file])[0]);
    assert!(server.unfinished() > 0);
    let other = S3Server::start();
    // Another server knows nothing of it.
    verified(&finish(Uploader::start(scratch.s3(&other)).unwrap())[0]);
    assert_eq!(other.object(NAME).unwrap(), bytes(200_000));
}

#[test]
fn a_queue_that_cannot_be_written_stops_no_upload() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    let queue = scratch.path("queue");
    let place = queue.clone();
    server.faults(move |_| {
        // Where the next state would be written there is a folder now.
        for entry in fs::read_dir(&place).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "json") {
                let _ = fs::create_dir(entry.path().with_extension("tmp"));
            }
        }
        Fault::None
    });
    let handle = Uploader::start(scratch.s3(&server)).unwrap();
    handle.enqueue(&file).unwrap();
    assert!(handle.wait(PATIENCE));
    verified(&handle.reports()[0]);
    assert_eq!(server.object(NAME).unwrap(), bytes(200_000));
    // Enqueueing says that it cannot.
    let error = handle.enqueue(&file).unwrap_err();
    assert_eq!(error.kind, Kind::Queue);
    assert_eq!(handle.status().waiting, 0);
}

#[test]
fn stopping_takes_no_longer_than_it_may() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    server.faults(|seen| if seen.part == Some(2) { Fault::Stall } else { Fault::None });
    let mut config = scratch.s3(&server);
    config.parallel = 1;
    let handle = Uploader::start(config).unwrap();
    handle.enqueue(&file).unwrap();
    let until = Instant::now() + PATIENCE;
    while handle.status().current.is_none_or(|current| current.sent == 0) {
        assert!(Instant::now() < until, "{:?}", handle.status());
        std::thread::yield_now();
    }
    let begin = Instant::now();
    let status = handle.stop(Duration::from_millis(50));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!((status.waiting, status.uploaded), (1, 0));
    assert_eq!(scratch.queued(), std::slice::from_ref(&file));
    // The next one sends what is missing.
    server.faults(|_| Fault::None);
    let sent = server.count("UploadPart");
    verified(&finish(Uploader::start(scratch.s3(&server)).unwrap())[0]);
    assert_eq!(server.count("UploadPart") - sent, 3);
    assert_eq!(server.object(NAME).unwrap(), bytes(200_000));
}

#[test]
fn what_was_given_up_can_be_enqueued_again() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    // What is written there is damaged until somebody has repaired the store.
    let stored = server.file(NAME);
    server.faults(move |seen| {
        if seen.operation == "HeadObject" && stored.exists() {
            fs::write(&stored, "damaged").unwrap();
        }
        Fault::None
    });
    let mut config = scratch.s3(&server);
    config.retry.attempts = Some(2);
    let handle = Uploader::start(config).unwrap();
    handle.enqueue(&file).unwrap();
    assert!(handle.wait(PATIENCE));
    assert_eq!(failed(&handle.reports()[0]).kind, Kind::Differs);
    server.faults(|_| Fault::None);
    // The damaged object is no one else's.
    handle.enqueue(&file).unwrap();
    assert!(handle.wait(PATIENCE));
    verified(&handle.reports()[0]);
    assert_eq!(server.object(NAME).unwrap(), bytes(200_000));
    assert!(scratch.queued().is_empty());
}
