//! The side file of a capture, `<name>.meta.json`: what a snapshot does not say itself.
//!
//! A `.heapsnapshot` has the ids of scripts but not their URLs, and nothing about the process that it was taken from. The
//! side file has both, and says whether object ids can be compared with those of another capture. Its layout is described
//! in `docs/file-formats.md`; fields may be added, its version is counted up when one changes its meaning.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    name::{exists, with_suffix},
    partial::replace,
};
use crate::{CaptureError, Kind, Result};

/// The value of `format`.
const FORMAT: &str = "heapsight-capture";

/// The value of `format_version`.
const FORMAT_VERSION: u32 = 1;

/// What is appended to the name of the capture.
const SUFFIX: &str = ".meta.json";

/// A side file has a line for each script; a hundred thousand of them are far below this.
const MAX_BYTES: u64 = 256 << 20;

/// Source maps inside of the script (`data:` URLs) are as long as the program; only this much of a URL is kept.
const MAX_URL: usize = 4096;

/// The side file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    format: String,
    format_version: u32,
    /// What took the capture.
    pub tool: Tool,
    /// The capture.
    pub capture: Captured,
    /// The process that it was taken from.
    pub process: Process,
    /// The runtime of the process.
    pub runtime: Runtime,
    /// Where the object ids come from; nothing if they can be compared with no other capture.
    pub id_space: Option<IdSpace>,
    /// The scripts that the runtime knew, by ascending id.
    pub scripts: Vec<Script>,
}

/// What took a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How and when a capture was taken, and what it has: by its counts a file is known to belong to its side file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// `heapsnapshot`, `heaptimeline` or `heapprofile`.
    pub kind: String,
    /// `fork`, `inspector`, `signal` and so on.
    pub method: String,
    /// When it began, RFC 3339 in UTC.
    pub time: String,
    /// How long the thread stood still, in milliseconds, if it was measured.
    pub pause_ms: Option<f64>,
    /// How long the capture took, in milliseconds.
    pub duration_ms: Option<f64>,
    /// Unpacked size in bytes.
    pub bytes: u64,
    /// Number of nodes.
    pub nodes: u64,
    /// Number of edges.
    pub edges: u64,
    /// Of a sampling profile: how it was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampled>,
}

/// How a profile was sampled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// Bytes between two samples, on average.
    pub interval: u64,
    /// Whether samples of what was collected were kept; `null` where another profiler was shared.
    pub collected: Option<bool>,
}

/// The process of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its id as the capturing tool saw it.
    pub pid: u32,
    /// The thread: 0 is the main thread.
    pub thread: u32,
    /// Title of the thread, if it has one.
    pub thread_name: Option<String>,
    /// Its executable.
    pub executable: Option<String>,
    /// Its first script.
    pub script: Option<String>,
}

/// The runtime of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// `node`, `deno`, `chromium` and so on.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Versions of its parts, `v8` above all.
    pub versions: BTreeMap<String, String>,
}

/// Where object ids come from. Ids of two captures can be compared if and only if all fields are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdSpace {
    /// The system's boot id, so that captures of two machines or boots are told apart.
    pub boot_id: String,
    /// When the process started, in clock ticks since the boot (`/proc/PID/stat`).
    pub process_start: u64,
    /// The process.
    pub pid: u32,
    /// The thread: each isolate counts for itself.
    pub thread: u32,
    /// Counts up whenever the runtime began to number its objects anew.
    pub epoch: u32,
}

/// One script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its id in `locations` of the snapshot.
    pub id: u64,
    /// Its URL or path; may be empty (`eval`).
    pub url: String,
    /// The URL of its source map; of one inside of the script itself, only the beginning.
    pub source_map_url: Option<String>,
}

impl Script {
    /// A script as the inspector describes it; an empty source map URL is none.
    pub fn new(id: u64, url: impl Into<String>, source_map_url: impl Into<String>) -> Self {
        let cut = |mut text: String| {
            if text.len() > MAX_URL {
                let end = (0..=MAX_URL).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
                text.truncate(end);
            }
            text
        };
        let mut map = cut(source_map_url.into());
        if map.starts_with("data:") {
            // The kind is of use, the content is in the script.
            map.truncate(map.find(',').map_or(map.len(), |comma| comma + 1));
        }
        Self { id, url: cut(url.into()), source_map_url: Some(map).filter(|map| !map.is_empty()) }
    }
}

impl Metadata {
    /// The side file of a capture by this version of the tool.
    pub fn new(
        capture: Captured,
        process: Process,
        runtime: Runtime,
        id_space: Option<IdSpace>,
        mut scripts: Vec<Script>,
    ) -> Self {
        scripts.sort_by_key(|script| script.id);
        scripts.dedup_by_key(|script| script.id);
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            tool: Tool { name: "heapsight".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            capture,
            process,
            runtime,
            id_space,
            scripts,
        }
    }

    /// The name of the side file of a capture.
    pub fn path_of(capture: &Path) -> PathBuf {
        with_suffix(capture, SUFFIX)
    }

    /// Writes the side file of `capture`, mode 0600, whole or not at all. One that is left from an earlier capture is
    /// replaced; something else of that name only with `force`.
    ///
    /// # Errors
    /// It cannot be written, or exists and is no side file. Returns its path otherwise.
    pub fn write(&self, capture: &Path, force: bool) -> Result<PathBuf> {
        let path = Self::path_of(capture);
        if !force && path.symlink_metadata().is_ok() && read(&path).is_err() {
            return Err(exists(&path));
        }
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| {
            CaptureError::new(Kind::Other, format!("cannot write {}", path.display()), error)
        })?;
        text.push(b'\n');
        replace(&path, &text)?;
        Ok(path)
    }

    /// Reads the side file of `capture`; nothing if there is none. It is also found if the capture was packed or unpacked
    /// after it was taken, by the other names that it would have had.
    ///
    /// # Errors
    /// There is one but it cannot be read.
    pub fn of(capture: &Path) -> Result<Option<Self>> {
        let mut names = vec![capture.to_owned()];
        let packed = capture.extension().is_some_and(|extension| extension == "zst" || extension == "gz");
        if packed {
            names.push(capture.with_extension(""));
        } else {
            names.extend([".zst", ".gz"].map(|suffix| with_suffix(capture, suffix)));
        }
        for name in names {
            let path = Self::path_of(&name);
            match read(&path) {
                Ok(metadata) => return Ok(Some(metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(CaptureError::new(
                        Kind::Other,
                        format!("cannot read {}", path.display()),
                        error,
                    ));
                }
            }
        }
        Ok(None)
    }

    /// Whether a snapshot of so many nodes and edges can be the one that this was written for. (A name that was used
    /// again by another program leaves the old side file behind.)
    pub fn belongs_to(&self, nodes: u64, edges: u64) -> bool {
        self.capture.nodes == nodes && self.capture.edges == edges
    }

    /// Whether object ids of two captures mean the same objects.
    pub fn ids_comparable(&self, other: &Self) -> bool {
        self.id_space.is_some() && self.id_space == other.id_space
    }

    /// Seconds from the beginning of an older capture to that of this one, if both times can be read.
    pub fn seconds_since(&self, older: &Self) -> Option<f64> {
        let time = |side: &Self| side.capture.time.parse::<jiff::Timestamp>().ok();
        Some(time(self)?.duration_since(time(older)?).as_secs_f64())
    }

    /// The script of an id in `locations`.
    pub fn script(&self, id: u64) -> Option<&Script> {
        let place = self.scripts.binary_search_by_key(&id, |script| script.id).ok()?;
        self.scripts.get(place)
    }
}

impl IdSpace {
    /// The id space of a thread of a process of this machine. `process_start` is field 22 of `/proc/PID/stat`.
    pub fn of_process(pid: u32, process_start: u64, thread: u32, epoch: u32) -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot_id: boot_id.trim().to_owned(), process_start, pid, thread, epoch }
    }
}

fn read(path: &Path) -> io::Result<Metadata> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(invalid("it is no file".to_owned()));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(invalid("it is unreasonably long".to_owned()));
    }
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    if value["format"] != FORMAT {
        return Err(invalid("it is not written by Heapsight".to_owned()));
    }
    if value["format_version"].as_u64() > Some(u64::from(FORMAT_VERSION)) {
        return Err(invalid("it is of a later version of Heapsight".to_owned()));
    }
    let mut metadata: Metadata = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    metadata.scripts.sort_by_key(|script| script.id);
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn example() -> Metadata {
        Metadata::new(
            Captured {
                kind: "heapsnapshot".into(),
                method: "fork".into(),
                time: "2026-11-21T08:08:07Z".into(),
                pause_ms: Some(4.5),
                duration_ms: None,
                bytes: 10,
                nodes: 2,
                edges: 1,
                sampling: None,
            },
            Process {
                pid: 4711,
                thread: 0,
                thread_name: None,
                executable: None,
                script: Some("app.js".into()),
            },
            Runtime { name: "node".into(), version: "20.20.2".into(), versions: BTreeMap::new() },
            Some(IdSpace::of_process(4711, 99, 0, 1)),
            vec![Script::new(7, "file:///b.js", "b.js.map"), Script::new(3, "file:///a.js", "")],
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("a.heapsnapshot.zst");
        assert_eq!(Metadata::of(&capture).unwrap(), None);
        let path = example().write(&capture, false).unwrap();
        assert_eq!(path, folder.path().join("a.heapsnapshot.zst.meta.json"));
        assert_eq!(Metadata::of(&capture).unwrap(), Some(example()));
        // Unpacked later.
        assert_eq!(Metadata::of(&folder.path().join("a.heapsnapshot")).unwrap(), Some(example()));
        assert_eq!(example().script(3).unwrap().url, "file:///a.js");
        assert_eq!(example().script(4), None);
        // A second capture of that name replaces it.
        example().write(&capture, false).unwrap();
    }

    #[test]
    fn ids_are_comparable_only_within_a_space() {
        let one = example();
        let mut other = example();
        assert!(one.ids_comparable(&other));
        other.id_space = Some(IdSpace::of_process(4711, 99, 0, 2));
        assert!(!one.ids_comparable(&other));
        other.id_space = None;
        assert!(!other.ids_comparable(&other));
    }

    #[test]
    fn foreign_files_are_neither_read_nor_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("a.heapsnapshot");
        let side = Metadata::path_of(&capture);
        for text in ["", "{}", "[]", "{\"format\":\"heapsight-capture\",\"format_version\":2}"] {
            fs::write(&side, text).unwrap();
            assert!(Metadata::of(&capture).is_err(), "{text}");
            assert_eq!(example().write(&capture, false).unwrap_err().why, "it exists");
        }
        example().write(&capture, true).unwrap();
        assert_eq!(Metadata::of(&capture).unwrap(), Some(example()));
    }

    #[test]
    fn later_fields_do_not_matter() {
        let mut value = serde_json::to_value(example()).unwrap();
        value["later"] = 1.into();
        value["capture"]["later"] = 1.into();
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("a.heapsnapshot");
        fs::write(Metadata::path_of(&capture), value.to_string()).unwrap();
        assert_eq!(Metadata::of(&capture).unwrap(), Some(example()));
    }

    #[test]
    fn inline_source_maps_are_cut() {
        let script = Script::new(1, "a", format!("data:application/json;base64,{}", "A".repeat(9000)));
        assert_eq!(script.source_map_url.unwrap(), "data:application/json;base64,");
        assert!(Script::new(1, "ä".repeat(9000), "").url.len() <= MAX_URL);
    }
}
