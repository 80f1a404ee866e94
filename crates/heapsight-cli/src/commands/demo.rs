//! `heapsight leak --demo`: a small web server that leaks, or what was captured from it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

use tempfile::TempDir;

use crate::failure::Failure;

const SERVER: [(&str, &str); 2] =
    [("server.js", include_str!("../../demo/server.js")), ("store.js", include_str!("../../demo/store.js"))];

/// Snapshots of the server on Node.js 22, one behind the other: before, and after each of three rounds of 200 requests.
/// (They have much in common, and are packed with a window that spans them: `zstd --ultra -22 --long=27`.)
const SNAPSHOTS: &[u8] = include_bytes!("../../demo/rounds.heapsnapshots.zst");

/// Their sizes.
const SIZES: [u64; 4] = [6_535_933, 6_867_219, 7_122_785, 7_384_283];

/// The window that they were packed with, as a power of two.
const WINDOW: u32 = 27;

/// Requests between two of the snapshots.
pub(super) const REQUESTS: u64 = 200;

/// The server on disk, and how it is started.
pub(super) struct Server {
    pub(super) command: Vec<OsString>,
    pub(super) url: String,
    /// Goes with the server.
    pub(super) folder: TempDir,
}

/// Whether there is a Node.js to run the server.
pub(super) fn has_node() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("node").is_file())
}

/// Writes the server, for a port that is free.
pub(super) fn server() -> Result<Server, Failure> {
    let folder = folder()?;
    for (name, text) in SERVER {
        let path = folder.path().join(name);
        fs::write(&path, text).map_err(|error| cannot(&format!("write {}", path.display()), &error))?;
    }
    // It is free a moment later, too: the system hands out others first.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| cannot("find a free port", &error))?.port();
    let script = folder.path().join(SERVER[0].0);
    Ok(Server {
        command: vec!["node".into(), script.into(), port.to_string().into()],
        url: format!("http://127.0.0.1:{port}/"),
        folder,
    })
}

/// Writes the snapshots.
pub(super) fn snapshots() -> Result<(Vec<PathBuf>, TempDir), Failure> {
    let folder = folder()?;
    let unpack = || -> io::Result<Vec<PathBuf>> {
        let mut packed = zstd::Decoder::new(SNAPSHOTS)?;
        packed.window_log_max(WINDOW)?;
        let mut files = Vec::new();
        for (turn, size) in SIZES.into_iter().enumerate() {
            let path = folder.path().join(format!("round-{turn}.heapsnapshot"));
            io::copy(&mut packed.by_ref().take(size), &mut File::create(&path)?)?;
            files.push(path);
        }
        Ok(files)
    };
    let files = unpack().map_err(|error| cannot("unpack the snapshots of the demonstration", &error))?;
    Ok((files, folder))
}

fn folder() -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("heapsight-demo-").tempdir();
    folder.map_err(|error| cannot("make a folder for the demonstration", &error))
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {what}: {error}"), "TMPDIR names another folder for what is temporary")
}
