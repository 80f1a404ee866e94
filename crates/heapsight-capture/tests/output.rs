//! Captures on their way to files: names, packing, verification, and everything that can be wrong with a disk.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind,
    output::{CaptureKind, Compression, Counts, Options, Sink, Verifier, Written, clean_stale},
};

/// The header of a snapshot as V8 13 writes it.
fn header(nodes: u64, edges: u64) -> String {
    format!(
        r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count","detachedness"],"node_types":[["hidden"],"string","number","number","number","number","number"],"edge_fields":["type","name_or_index","to_node"],"edge_types":[["context"],"string","node"],"trace_function_info_fields":["function_id"],"trace_node_fields":["id"],"sample_fields":["timestamp_us","last_assigned_id"],"location_fields":["object_index","script_id","line","column"]}},"node_count":{nodes},"edge_count":{edges},"trace_function_count":0,"extra_native_bytes":0}},
"nodes":["#
    )
}

const MIDDLE: &str = "],\n\"edges\":[";
const REST: &str = "],\n\"trace_function_infos\":[],\n\"trace_tree\":[],\n\"samples\":[],\n\"locations\":[0,1,2,3],\n\"strings\":[";

/// A snapshot of so many nodes, with as many edges and strings.
fn snapshot(count: u64) -> Vec<u8> {
    let list = |row: &dyn Fn(u64) -> String| (0..count).map(row).collect::<Vec<_>>().join(",");
    let mut text = header(count, count);
    text += &list(&|i| format!("9,{i},{},{},1,0", 2 * i + 1, i % 999));
    text += MIDDLE;
    text += &list(&|i| format!("1,{i},{}", 6 * i));
    text += REST;
    text += &list(&|i| format!("\"name of \\\"{i}\\\" ],\\u00e4\""));
    text += "]}";
    text.into_bytes()
}

fn options(path: &Path) -> Options {
    Options { path: Some(path.to_owned()), ..Options::new(CaptureKind::Snapshot, 4711, 0) }
}

fn write(options: Options, text: &[u8]) -> Result<Written, CaptureError> {
    let mut sink = Sink::create(options, None)?;
    for piece in text.chunks(10_000) {
        sink.put(piece)?;
    }
    sink.finish()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A stream that many may look at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_capture_is_written_whole_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    let text = snapshot(20_000);
    let written = write(options(&path), &text).unwrap();
    assert_eq!(written.path.as_deref(), Some(&*path));
    assert_eq!((written.bytes, written.stored_bytes), (text.len() as u64, text.len() as u64));
    let counts = Counts { nodes: 20_000, edges: 20_000, strings: 20_000, locations: 1, ..Counts::default() };
    assert_eq!(written.counts, counts);
    assert!(fs::read(&path).unwrap() == text);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["a.heapsnapshot"]);
}

#[test]
fn the_extension_packs() {
    let folder = tempfile::tempdir().unwrap();
    let text = snapshot(20_000);
    for name in ["a.heapsnapshot.gz", "a.heapsnapshot.zst"] {
        let path = folder.path().join(name);
        let written = write(options(&path), &text).unwrap();
        assert!(written.stored_bytes < written.bytes / 2, "{written:?}");
        assert_eq!(written.stored_bytes, path.metadata().unwrap().len());
        let file = fs::File::open(&path).unwrap();
        let mut unpacked = Vec::new();
        if name.ends_with("gz") {
            flate2::read::GzDecoder::new(file).read_to_end(&mut unpacked).unwrap();
        } else {
            zstd::Decoder::new(file).unwrap().read_to_end(&mut unpacked).unwrap();
        }
        assert!(unpacked == text, "{name}");
    }
}

#[test]
fn standard_output_is_a_stream_like_others() {
    let text = snapshot(1000);
    for compression in [None, Some(Compression::Zstd)] {
        let out = Shared::default();
        let mut sink =
            Sink::create(Options { compression, ..options(Path::new("-")) }, Some(Box::new(out.clone())))
                .unwrap();
        sink.write_all(&text).unwrap();
        let written = sink.finish().unwrap();
        assert_eq!(written.path, None);
        let bytes = out.0.lock().unwrap().clone();
        assert_eq!(written.stored_bytes, bytes.len() as u64);
        let unpacked = if compression.is_some() { zstd::decode_all(&*bytes).unwrap() } else { bytes };
        assert!(unpacked == text);
    }
    let error = Sink::create(options(Path::new("-")), None).unwrap_err();
    assert_eq!(error.kind, Kind::Output);
}

#[test]
fn a_reader_that_leaves_is_named() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(32))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink::create(options(Path::new("-")), Some(Box::new(Gone))).unwrap();
    sink.put(&snapshot(10)).unwrap();
    let error = sink.finish().unwrap_err();
    assert_eq!(error.kind, Kind::Gone);
    assert_eq!(error.to_string(), "cannot write standard output: its reader has gone");
}

#[test]
fn default_names_count_up() {
    let folder = tempfile::tempdir().unwrap();
    // Two that are open at once wish for one name; which gets it is decided when they are whole.
    let mut one = Sink::create(options(folder.path()), None).unwrap();
    let mut other = Sink::create(options(folder.path()), None).unwrap();
    one.put(&snapshot(1)).unwrap();
    other.put(&snapshot(1)).unwrap();
    let first = one.finish().unwrap().path.unwrap();
    let second = other.finish().unwrap().path.unwrap();
    let third = write(options(folder.path()), &snapshot(1)).unwrap().path.unwrap();
    assert!(first != second && second != third);
    for path in [&first, &second, &third] {
        let name = path.file_name().unwrap().to_str().unwrap();
        let parts: Vec<&str> = name.split('.').collect();
        assert_eq!((parts[0], parts[3], parts[4], parts[6]), ("Heap", "4711", "0", "heapsnapshot"), "{name}");
        assert_eq!((parts[1].len(), parts[2].len(), parts[5].len()), (8, 6, 3), "{name}");
    }
    assert_eq!(names(folder.path()).len(), 3);
}

#[test]
fn what_exists_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    fs::write(&path, "precious").unwrap();
    let error = Sink::create(options(&path), None).unwrap_err();
    assert_eq!((error.kind, &*error.why), (Kind::Output, "it exists"));
    assert!(error.hint.unwrap().contains("--force"));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let text = snapshot(3);
    // Also with force the old file stays until the new one is whole.
    let forced = || Options { force: true, ..options(&path) };
    assert_eq!(write(forced(), &text[..text.len() - 1]).unwrap_err().kind, Kind::Incomplete);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    write(forced(), &text).unwrap();
    assert!(fs::read(&path).unwrap() == text);
    assert_eq!(names(folder.path()), ["a.heapsnapshot"]);
}

#[test]
fn a_name_that_is_taken_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    let mut sink = Sink::create(options(&path), None).unwrap();
    sink.put(&snapshot(1)).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(sink.finish().unwrap_err().why, "it exists");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(names(folder.path()), ["a.heapsnapshot"]);
}

#[test]
fn links_lead_to_the_file_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let [link, file, nowhere] = ["link", "file", "nowhere"].map(|name| folder.path().join(name));
    fs::write(&file, "old").unwrap();
    symlink("file", &link).unwrap();
    symlink("missing", &nowhere).unwrap();
    assert_eq!(Sink::create(options(&link), None).unwrap_err().why, "it exists");
    write(Options { force: true, ..options(&link) }, &snapshot(1)).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(fs::read(&file).unwrap() == snapshot(1));
    assert_eq!(Sink::create(options(&nowhere), None).unwrap_err().why, "it is a symbolic link to nothing");
}

#[test]
fn places_that_cannot_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("file"), "").unwrap();
    let why = |path: PathBuf| Sink::create(options(&path), None).unwrap_err().why;
    assert_eq!(
        why(root.join("no/a.heapsnapshot")),
        format!("there is no folder {}", root.join("no").display())
    );
    assert_eq!(why(root.join("no/")), "there is no such folder");
    assert_eq!(why(root.join("file/a")), format!("{} is not a folder", root.join("file").display()));
    assert_eq!(why(root.join("x".repeat(300))), "the name is too long".to_owned());
}

#[test]
fn a_pipe_is_written_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.zst");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = path.clone();
    let reader = thread::spawn(move || zstd::decode_all(fs::File::open(reader).unwrap()).unwrap());
    let text = snapshot(20_000);
    let written = write(options(&path), &text).unwrap();
    assert!(reader.join().unwrap() == text);
    assert_eq!((written.path, names(folder.path())), (Some(path), vec!["pipe.zst".to_owned()]));
}

#[test]
fn a_full_device_is_named() {
    // Without a disk to fill: every write to this device fails as on a full disk.
    let error = write(options(Path::new("/dev/full")), &snapshot(10)).unwrap_err();
    assert_eq!(error.kind, Kind::Output);
    assert!(error.why.starts_with("the disk is full"), "{error}");
}

/// A file system of a test, unmounted at its end.
struct Mount(tempfile::TempDir);

impl Mount {
    /// Only root may mount; nothing otherwise.
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "heapsight-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .ok()?;
        status.success().then(|| Self(folder))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_and_left_clean() {
    let Some(mount) = Mount::new("size=1m") else { return };
    let path = mount.0.path().join("a.heapsnapshot");
    let text = snapshot(100_000);
    let expected_bytes = Some(text.len() as u64);
    let error = write(Options { expected_bytes, ..options(&path) }, &text).unwrap_err();
    assert_eq!(error.kind, Kind::Output);
    let wanted = "the disk is full, 1.0 MiB were written of about 6.";
    assert!(error.why.starts_with(wanted), "{error}");
    assert_eq!(names(mount.0.path()), <[&str; 0]>::default());
    // Packed it fits.
    write(options(&mount.0.path().join("a.heapsnapshot.zst")), &text).unwrap();
}

#[test]
fn a_folder_without_permission_is_named() {
    if let Some(mount) = Mount::new("ro") {
        let error = Sink::create(options(&mount.0.path().join("a.heapsnapshot")), None).unwrap_err();
        assert!(error.why.ends_with("is read-only"), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = Sink::create(options(&folder.path().join("a.heapsnapshot")), None).unwrap_err();
    assert!(error.why.starts_with("no permission to write in"), "{error}");
}

#[test]
fn nothing_is_left_of_what_is_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let text = snapshot(5000);
    let lie =
        |from: &str, to: &str| String::from_utf8(text.clone()).unwrap().replacen(from, to, 1).into_bytes();
    let mut gap = text.clone();
    gap.drain(30_000..40_000);
    let cases: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("cut off", text[..text.len() / 2].to_vec()),
        ("without its last byte", text[..text.len() - 1].to_vec()),
        ("with something behind", [&text[..], b"{}"].concat()),
        ("with a gap", gap),
        ("a page of an error", b"<html>502</html>".to_vec()),
        ("a reply of the protocol", br#"{"id":1,"result":{}}"#.to_vec()),
        ("more nodes than it says", lie("\"node_count\":5000", "\"node_count\":4999")),
        ("fewer edges than it says", lie("\"edge_count\":5000", "\"edge_count\":5001")),
    ];
    for (case, text) in cases {
        for name in ["a.heapsnapshot", "a.heapsnapshot.gz", "a.heapsnapshot.zst"] {
            let error = write(options(&folder.path().join(name)), &text).unwrap_err();
            assert_eq!(error.kind, Kind::Incomplete, "{case}: {error}");
            assert_eq!(names(folder.path()), <[&str; 0]>::default(), "{case}");
        }
    }
    // Dropped without a word.
    for length in [0, 100, text.len()] {
        let mut sink = Sink::create(options(&folder.path().join("a.heapsnapshot")), None).unwrap();
        sink.put(&text[..length]).unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(sink);
        assert_eq!(names(folder.path()), <[&str; 0]>::default());
    }
}

#[test]
fn the_wrong_kind_is_refused_as_soon_as_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Sink::create(options(&folder.path().join("a.heapsnapshot")), None).unwrap();
    let noise = vec![b'x'; 1 << 20];
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        assert!(Instant::now() < deadline, "not noticed");
        if let Err(error) = sink.put(&noise) {
            break error;
        }
    };
    assert_eq!(error.kind, Kind::Incomplete);
    assert!(error.why.contains("this is no heap snapshot: it begins with `x`"), "{error}");
    // `Write` says the same.
    let error = sink.write_all(&noise).unwrap_err();
    assert!(error.to_string().contains("begins with `x`"), "{error}");
}

#[test]
fn a_slow_medium_does_not_hold_up_the_caller() {
    struct Slow(std::sync::mpsc::Receiver<()>, Shared);
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let text = snapshot(200_000);
    let (open, gate) = std::sync::mpsc::channel();
    let out = Shared::default();
    let mut sink = Sink::create(options(Path::new("-")), Some(Box::new(Slow(gate, out.clone())))).unwrap();
    // All of it is taken before a single byte is written.
    sink.put(&text).unwrap();
    assert_eq!(sink.progress().stored_bytes, 0);
    drop(open);
    assert_eq!(sink.finish().unwrap().bytes, text.len() as u64);
    assert!(*out.0.lock().unwrap() == text);
}

#[test]
fn a_bounded_buffer_waits_and_loses_nothing() {
    let text = snapshot(200_000);
    let out = Shared::default();
    let tight = Options { buffer_bytes: 1, ..options(Path::new("-")) };
    let mut sink = Sink::create(tight, Some(Box::new(out.clone()))).unwrap();
    for piece in text.chunks(777) {
        sink.put(piece).unwrap();
    }
    sink.finish().unwrap();
    assert!(*out.0.lock().unwrap() == text);
}

/// Ends a child when the test fails.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HELPER: &str = "HEAPSIGHT_TEST_WRITER";

/// No test by itself: another test runs it in a process of its own, and kills that.
#[test]
fn writer_that_is_killed() {
    let Some(folder) = std::env::var_os(HELPER) else { return };
    let mut sink = Sink::create(options(&Path::new(&folder).join("killed.heapsnapshot")), None).unwrap();
    let text = snapshot(100_000);
    sink.put(&text[..text.len() / 2]).unwrap();
    // Until its end: the parent has the other side of standard input.
    let _ = io::stdin().read(&mut [0]);
}

#[test]
fn a_killed_writer_leaves_one_file_that_the_next_removes() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Guard(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_that_is_killed", "--nocapture"])
            .env(HELPER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let written = || {
        let size = |name: &String| folder.path().join(name).metadata().map_or(0, |meta| meta.len());
        names(folder.path()).iter().map(size).sum::<u64>()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while written() == 0 {
        assert!(Instant::now() < deadline, "the writer does not write");
        thread::sleep(Duration::from_millis(5));
    }
    // While it lives, nobody takes its file away, and others write beside it.
    assert_eq!(clean_stale(folder.path()), 0);
    let other = folder.path().join("other.heapsnapshot");
    write(options(&other), &snapshot(1)).unwrap();
    assert_eq!(names(folder.path()).len(), 2);
    writer.0.kill().unwrap();
    writer.0.wait().unwrap();
    let left = names(folder.path());
    assert!(left[0].starts_with(".heapsight-") && left[0].ends_with(".partial"), "{left:?}");
    assert_eq!(left.len(), 2);
    // What only looks like one is not touched.
    fs::create_dir(folder.path().join(".heapsight-1-0.partial")).unwrap();
    symlink("other.heapsnapshot", folder.path().join(".heapsight-2-0.partial")).unwrap();
    write(options(&folder.path().join("next.heapsnapshot")), &snapshot(1)).unwrap();
    let wanted =
        [".heapsight-1-0.partial", ".heapsight-2-0.partial", "next.heapsnapshot", "other.heapsnapshot"];
    assert_eq!(names(folder.path()), wanted);
}

#[test]
fn captures_of_all_runtimes_pass() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut seen = 0;
    for name in names(&fixtures) {
        let kind = if name.ends_with(".heapprofile") {
            CaptureKind::Profile
        } else if name.ends_with(".heapsnapshot.zst") {
            CaptureKind::Snapshot
        } else if name.ends_with(".heaptimeline.zst") {
            CaptureKind::Timeline
        } else {
            continue;
        };
        let mut text = fs::read(fixtures.join(&name)).unwrap();
        if kind != CaptureKind::Profile {
            text = zstd::decode_all(&*text).unwrap();
        }
        let verify = |text: &[u8]| {
            let mut verifier = Verifier::new(kind);
            // The size of V8's chunks up to Node 22.
            text.chunks(102_400).try_for_each(|piece| verifier.feed(piece))?;
            verifier.finish()
        };
        let counts = verify(&text).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        if kind != CaptureKind::Profile {
            assert!(
                counts.nodes > 1000 && counts.edges > counts.nodes && counts.strings > 1000,
                "{name}: {counts:?}"
            );
        }
        assert_eq!(
            kind == CaptureKind::Timeline,
            counts.samples > 0 && counts.nodes > 0,
            "{name}: {counts:?}"
        );
        let end = text.iter().rposition(|byte| *byte == b'}').unwrap();
        assert!(verify(&text[..end]).is_err(), "{name}");
        // A chunk that got lost.
        if kind == CaptureKind::Snapshot {
            let mut gap = text;
            gap.drain(204_800..307_200);
            assert!(verify(&gap).is_err(), "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 30, "{seen}");
}

/// 300 MB through the verifier and through the whole of a sink. It prints the rates and asserts none: the machine may be
/// busy.
#[test]
fn a_long_stream_keeps_its_pace() {
    // Repeated text, so that making it costs little: numbers and strings in the proportions of a real heap.
    let (blocks, rows) = (1700_u64, 2000_u64);
    let list = |row: &dyn Fn(u64) -> String| {
        let mut text = String::new();
        (0..rows).for_each(|i| text += &row(i));
        text
    };
    let nodes = list(&|i| format!("\n,9,{},{},{},2,0", i * 37, 2 * i + 1_000_001, i % 999));
    let edges = list(&|i| format!("\n,1,{},{}\n,3,{},{}", i * 91, i * 6007, i, i * 600));
    let strings = list(&|i| format!(",\n\"{i}: a string of usual length\""));
    let count = blocks * rows;
    // The first rows have no comma in front.
    let stream = |write: &mut dyn FnMut(&[u8])| {
        write(header(count, 2 * count).as_bytes());
        for (text, next, skip) in [(&nodes, MIDDLE, 2), (&edges, REST, 2), (&strings, "]}\n", 1)] {
            write(&text.as_bytes()[skip..]);
            (1..blocks).for_each(|_| write(text.as_bytes()));
            write(next.as_bytes());
        }
    };
    let mut bytes = 0;
    stream(&mut |text| bytes += text.len() as u64);
    assert!(bytes > 300_000_000, "{bytes}");
    let rate = |start: Instant| bytes as f64 / 1e6 / start.elapsed().as_secs_f64();

    let mut verifier = Verifier::new(CaptureKind::Snapshot);
    let start = Instant::now();
    stream(&mut |text| text.chunks(1 << 18).for_each(|piece| verifier.feed(piece).unwrap()));
    let counts = verifier.finish().unwrap();
    println!("verifier: {:.0} MB/s", rate(start));
    assert_eq!((counts.nodes, counts.edges, counts.strings), (count, 2 * count, count));

    let folder = tempfile::tempdir().unwrap();
    // gzip would take its ten seconds without saying more.
    for name in ["a.heapsnapshot", "a.heapsnapshot.zst"] {
        let mut sink = Sink::create(options(&folder.path().join(name)), None).unwrap();
        let start = Instant::now();
        stream(&mut |text| sink.put(text).unwrap());
        let taken = rate(start);
        let written = sink.finish().unwrap();
        println!(
            "{name}: taken at {taken:.0} MB/s, whole at {:.0} MB/s, {} bytes",
            rate(start),
            written.stored_bytes
        );
        assert_eq!(written.bytes, bytes);
        assert_eq!(written.counts, counts);
        fs::remove_file(written.path.unwrap()).unwrap();
    }
}
