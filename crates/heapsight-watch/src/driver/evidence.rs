//! The files that are kept of a process that has ended: its last rolling profile, and what is known of its end.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use heapsight_capture::{
    Result,
    output::{self, CaptureKind, replace},
};
use serde_json::json;

use super::{event::ended_json, folder::Folder};
use crate::recorder::{Ending, Grown, Id};

/// What is known.
#[derive(Debug)]
pub(super) struct Testimony<'a> {
    pub(super) id: Id,
    pub(super) program: &'a str,
    pub(super) runtime: &'a str,
    pub(super) sentence: &'a str,
    pub(super) ending: &'a Ending,
    pub(super) grown: &'a [Grown],
    pub(super) window: Duration,
    pub(super) profile: &'a [u8],
}

/// A file that is to be written.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) path: PathBuf,
    contents: Vec<u8>,
    is_profile: bool,
}

impl Testimony<'_> {
    /// The files, with names and contents.
    pub(super) fn prepare(&self, folder: &Folder, wall: SystemTime) -> Vec<Evidence> {
        let mut value = json!({
            "format": "heapsight-evidence",
            "version": 1,
            "pid": self.id.pid,
            "program": self.program,
            "runtime": self.runtime,
            "time": jiff::Timestamp::try_from(wall).map(|time| time.to_string()).ok(),
            "sentence": self.sentence,
            "window_ms": self.window.as_millis() as u64,
            "ending": ended_json(self.ending, self.grown),
        });
        let mut files = Vec::new();
        if !self.profile.is_empty() {
            let path = folder.name(wall, self.id.pid, "heapprofile");
            value["profile"] = json!(path.file_name().map(|name| name.to_string_lossy()));
            files.push(Evidence { path, contents: self.profile.to_vec(), is_profile: true });
        }
        let mut text = format!("{value:#}");
        text.push('\n');
        let path = folder.name(wall, self.id.pid, "evidence.json");
        files.push(Evidence { path, contents: text.into_bytes(), is_profile: false });
        files
    }
}

impl Evidence {
    pub(super) fn bytes(&self) -> u64 {
        self.contents.len() as u64
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self) -> Result<()> {
        if !self.is_profile {
            return replace(&self.path, &self.contents);
        }
        let options = output::Options {
            path: Some(self.path.clone()),
            ..output::Options::new(CaptureKind::Profile, 0, 0)
        };
        let mut sink = output::Sink::create(options, None)?;
        sink.put(&self.contents)?;
        sink.finish().map(|_| ())
    }
}
