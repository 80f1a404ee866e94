//! What arrives, where nothing goes wrong.

use std::fs;

use heapsight_testkit::servers::{Fault, S3Server};
use heapsight_upload::{Kind, Outcome, Proof, Uploader, Verification};

use crate::{PATIENCE, Scratch, bytes, environment, failed, finish, upload, verified};

#[test]
fn files_of_all_sizes_arrive_byte_by_byte() {
    const PART: usize = 64 << 10;
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let sizes = [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 17];
    let files: Vec<_> =
        sizes.iter().map(|size| scratch.file(&format!("{size}.heapsnapshot"), *size)).collect();
    let files: Vec<_> = files.iter().map(std::path::PathBuf::as_path).collect();
    let reports = upload(scratch.s3(&server), &files);
    assert_eq!(reports.len(), sizes.len());
    for (report, size) in reports.iter().zip(sizes) {
        assert_eq!(verified(report), (Proof::Checksum, false), "{size}");
        assert_eq!(report.url, format!("s3://captures/prod/{size}.heapsnapshot"));
        assert_eq!((report.size, report.attempts), (size as u64, 1));
        assert_eq!(server.object(&format!("prod/{size}.heapsnapshot")).unwrap(), bytes(size), "{size}");
        assert!(report.path.exists());
    }
    // Those that are larger than a part went up in parts.
    assert_eq!((server.count("PutObject"), server.count("UploadPart")), (4, 2 + 3 + 4));
    assert_eq!(server.unfinished(), 0);
    assert_eq!(scratch.queued(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn google_is_spoken_to_as_it_documents() {
    let (scratch, server) = (Scratch::new(), S3Server::open_to_all());
    let files = [scratch.file("a.heapsnapshot", 200_000), scratch.file("b.heapprofile", 1000)];
    let environment = heapsight_upload::Environment::new(server.google_environment());
    let mut config = scratch.config("gs://captures/prod", environment);
    config.delete_after = true;
    let reports = upload(config, &[&files[0], &files[1]]);
    for report in &reports {
        assert!(!verified(report).1);
    }
    assert_eq!(server.object("prod/a.heapsnapshot").unwrap(), bytes(200_000));
    assert_eq!(server.object("prod/b.heapprofile").unwrap(), bytes(1000));
    assert_eq!((server.count("UploadPart"), server.count("PutObject")), (4, 1));
    assert!(!files[0].exists() && !files[1].exists());
}

#[test]
fn names_keep_what_names_can_have() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let name = "Heap 2026-11-21T14:25:02 (é) +x=1&y.heapsnapshot";
    let file = scratch.file(name, 10);
    let reports = upload(scratch.s3(&server), &[&file]);
    assert_eq!(verified(&reports[0]), (Proof::Checksum, false));
    assert_eq!(server.object(&format!("prod/{name}")).unwrap(), bytes(10));
    // Another name, with folders in it.
    let handle = Uploader::start(scratch.s3(&server)).unwrap();
    handle.enqueue_as(&file, "host-7/2026/a.heapsnapshot").unwrap();
    assert_eq!(verified(&finish(handle)[0]), (Proof::Checksum, false));
    assert!(server.object("prod/host-7/2026/a.heapsnapshot").is_some());
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    upload(scratch.s3(&server), &[&file]);
    let sent = server.count("UploadPart");
    assert_eq!(verified(&upload(scratch.s3(&server), &[&file])[0]), (Proof::Checksum, true));
    // With another size of parts the ETag says nothing, and it is read back.
    let mut config = scratch.s3(&server);
    config.part_size = 50_000;
    assert_eq!(verified(&upload(config, &[&file])[0]), (Proof::ReadBack, true));
    assert_eq!(server.count("UploadPart"), sent);
}

#[test]
fn a_file_is_no_copy_of_itself() {
    let scratch = Scratch::new();
    let file = scratch.file("a.heapsnapshot", 1000);
    let folder = file.parent().unwrap();
    let link = scratch.path("link");
    std::os::unix::fs::symlink(folder, &link).unwrap();
    for folder in [folder, &link] {
        let mut config =
            scratch.config(&format!("file://{}", folder.display()), heapsight_upload::Environment::default());
        config.delete_after = true;
        let handle = Uploader::start(config).unwrap();
        let error = handle.enqueue(&file).unwrap_err();
        assert_eq!(error.kind, Kind::Destination, "{error}");
        assert_eq!(finish(handle).len(), 0);
        assert_eq!(fs::read(&file).unwrap(), bytes(1000));
    }
    // A link that comes to lie there later is no copy either.
    let there = scratch.path("there");
    fs::create_dir(&there).unwrap();
    let mut config =
        scratch.config(&format!("file://{}", there.display()), heapsight_upload::Environment::default());
    config.delete_after = true;
    std::os::unix::fs::symlink(&file, there.join("b.heapsnapshot")).unwrap();
    let handle = Uploader::start(config).unwrap();
    assert!(handle.enqueue_as(&file, "b.heapsnapshot").is_err());
    drop(handle);
    assert!(file.exists());
}

#[test]
fn another_object_is_overwritten_only_if_that_is_wanted() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 1000);
    fs::create_dir(server.file("prod")).unwrap();
    for there in [vec![7; 1000], vec![7; 10]] {
        fs::write(server.file("prod/a.heapsnapshot"), &there).unwrap();
        let mut config = scratch.s3(&server);
        config.delete_after = true;
        let reports = upload(config, &[&file]);
        assert_eq!(failed(&reports[0]).kind, Kind::Conflict);
        assert_eq!(server.object("prod/a.heapsnapshot").unwrap(), there);
        assert!(file.exists());
    }
    // It is in the queue still, and goes when it may.
    assert_eq!(scratch.queued(), std::slice::from_ref(&file));
    let mut config = scratch.s3(&server);
    config.overwrite = true;
    verified(&upload(config, &[&file])[0]);
    assert_eq!(server.object("prod/a.heapsnapshot").unwrap(), bytes(1000));
}

#[test]
fn a_local_file_goes_when_its_copy_is_verified() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 200_000);
    let side = scratch.path("a.heapsnapshot.meta.json");
    fs::write(&side, "{}").unwrap();
    for verification in [Verification::Checksum, Verification::ReadBack] {
        let file = scratch.file("a.heapsnapshot", 200_000);
        let mut config = scratch.s3(&server);
        config.delete_after = true;
        config.verification = verification;
        let reports = upload(config, &[&file]);
        assert!(
            reports.iter().all(|report| matches!(report.outcome, Outcome::Verified { deleted: true, .. }))
        );
        assert!(!file.exists());
    }
    assert!(!file.exists() && !side.exists());
    assert_eq!(server.object("prod/a.heapsnapshot").unwrap(), bytes(200_000));
    assert_eq!(server.object("prod/a.heapsnapshot.meta.json").unwrap(), b"{}");
}

#[test]
fn a_folder_is_a_place_too() {
    let scratch = Scratch::new();
    let files = [scratch.file("a.heapsnapshot", 200_000), scratch.file("empty", 0)];
    let to = format!("file://{}/made/here", scratch.dir.path().display());
    let mut config = scratch.config(&to, heapsight_upload::Environment::default());
    config.delete_after = true;
    let reports = upload(config, &[&files[0], &files[1]]);
    for report in &reports {
        assert_eq!(verified(report), (Proof::ReadBack, false));
    }
    let there = scratch.path("made/here/a.heapsnapshot");
    assert_eq!(fs::read(&there).unwrap(), bytes(200_000));
    assert_eq!(fs::read(scratch.path("made/here/empty")).unwrap(), b"");
    assert!(!files[0].exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&there), mode(there.parent().unwrap())), (0o600, 0o700));
    }
    assert_eq!(fs::read_dir(scratch.path("made/here")).unwrap().count(), 2);
}

#[test]
fn what_is_wrong_with_a_destination_is_said() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 10);
    let mut tries = Vec::new();
    let mut attempt = |to: &str, environment| {
        let mut config = scratch.config(to, environment);
        config.queue = scratch.path(&format!("queue-{}", tries.len()));
        config.retry.attempts = Some(2);
        let error = failed(&upload(config, &[&file])[0]).clone();
        tries.push(error.to_string());
        error
    };
    // `s3s-fs` makes the bucket.
    server.faults(|seen| if seen.operation == "PutObject" { Fault::Status(404) } else { Fault::None });
    let error = attempt("s3://nothing/prod", environment(&server));
    server.faults(|_| Fault::None);
    assert_eq!((error.kind, error.hint.is_some()), (Kind::NotFound, true), "{error}");
    assert!(error.why.contains("404") && error.why.contains("NoSuchBucket"), "{error}");
    let with = |name: &'static str, value: &str| {
        let mut all = server.environment();
        all.retain(|(own, _)| *own != name);
        all.push((name, value.to_owned()));
        heapsight_upload::Environment::new(all)
    };
    let error = attempt("s3://captures", with("AWS_SECRET_ACCESS_KEY", "not-this-one"));
    assert_eq!((error.kind, error.hint.is_some()), (Kind::Permission, true), "{error}");
    assert!(error.why.contains("403") && error.why.contains("SignatureDoesNotMatch"), "{error}");
    let error = attempt("s3://captures", with("AWS_ALLOW_HTTP", "false"));
    assert_eq!(error.kind, Kind::Insecure);
    assert!(error.why.contains("without encryption") && error.hint.unwrap().contains("AWS_ALLOW_HTTP"));
    // Nobody listens there: a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = attempt("s3://captures", with("AWS_ENDPOINT_URL", &format!("http://{free}")));
    assert_eq!(error.kind, Kind::Passing, "{error}");
    assert!(error.why.contains("refused"), "{error}");
    for text in tries {
        assert!(
            !text.contains("very-secret") && !text.contains("not-this-one") && !text.contains("AKHEAP"),
            "{text}"
        );
    }
}

#[test]
fn files_can_be_asked_for_while_they_wait() {
    let (scratch, server) = (Scratch::new(), S3Server::start());
    let file = scratch.file("a.heapsnapshot", 10);
    let handle = Uploader::start(scratch.s3(&server)).unwrap();
    assert!(!handle.is_pending(&file));
    let error = handle.enqueue(&scratch.path("none")).unwrap_err();
    assert_eq!(error.kind, Kind::Local);
    assert_eq!(handle.enqueue(scratch.dir.path()).unwrap_err().kind, Kind::Local);
    let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
    let (held, closed) = (gate.clone(), gate.lock().unwrap());
    server.faults(move |_| {
        drop(held.lock().unwrap());
        Fault::None
    });
    handle.enqueue(&file).unwrap();
    handle.enqueue(&file).unwrap();
    assert!(handle.is_pending(&file));
    assert_eq!(handle.status().waiting, 1);
    drop(closed);
    assert!(handle.wait(PATIENCE));
    assert!(!handle.is_pending(&file));
    let status = handle.stop(PATIENCE);
    assert_eq!((status.uploaded, status.uploaded_bytes, status.waiting), (1, 10, 0));
}
