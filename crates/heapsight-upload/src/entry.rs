//! What has to go up, and how far it is: an entry of the queue, as JSON of a file of its own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::local::Identity;

/// The value of `format`.
const FORMAT: &str = "heapsight-upload";

/// The value of `format_version`; counted up when a field changes its meaning.
const FORMAT_VERSION: u32 = 1;

/// A file that has to go up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts, as the file has them")]
pub(crate) struct Entry {
    format: String,
    format_version: u32,
    /// The file, an absolute path.
    pub(crate) path: PathBuf,
    /// What the file was when it was enqueued, or when its transfer began anew.
    pub(crate) identity: Identity,
    /// Where it goes, a URL without credentials.
    pub(crate) destination: String,
    /// Its name there, below what the URL names.
    pub(crate) name: String,
    /// When it was enqueued, in milliseconds since 1970: the order of the queue.
    pub(crate) added_ms: u64,
    /// Whether the local file goes when the remote one is verified.
    pub(crate) delete_after: bool,
    /// Whether an object of another content may be overwritten.
    pub(crate) overwrite: bool,
    /// Whether something may have been written there by this entry; what is there is then ours to overwrite.
    pub(crate) begun: bool,
    /// Whether what is there was found equal to the file.
    pub(crate) verified: bool,
    /// An upload in parts that is under way.
    pub(crate) multipart: Option<Multipart>,
}

/// An upload in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Multipart {
    /// The store's id of it.
    pub(crate) id: String,
    /// Bytes of a part.
    pub(crate) part_size: u64,
    /// What the store calls each part that is there.
    pub(crate) parts: Vec<Option<String>>,
}

impl Entry {
    pub(crate) fn new(
        path: PathBuf,
        identity: Identity,
        destination: String,
        name: String,
        added_ms: u64,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            path,
            identity,
            destination,
            name,
            added_ms,
            delete_after: false,
            overwrite: false,
            begun: false,
            verified: false,
            multipart: None,
        }
    }

    /// Reads an entry; nothing if it is none, or of a later version.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(text).ok()?;
        let sound =
            entry.format == FORMAT && entry.format_version <= FORMAT_VERSION && entry.path.is_absolute();
        sound.then_some(entry)
    }

    /// What names the entry: the same file to the same place is the same entry.
    pub(crate) fn id(&self) -> String {
        Self::id_of(&self.path, &self.destination, &self.name)
    }

    pub(crate) fn id_of(path: &Path, destination: &str, name: &str) -> String {
        // No part has a zero byte in it, so that they cannot be mistaken for others.
        let key = [path.as_os_str().as_encoded_bytes(), destination.as_bytes(), name.as_bytes()].join(&0);
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&key))
    }

    /// Forgets what went up: the file is another one now.
    pub(crate) fn begin_anew(&mut self, identity: Identity) {
        self.identity = identity;
        // What was verified is worth as much as somebody else's.
        self.begun &= !self.verified;
        self.verified = false;
        self.multipart = None;
    }

    /// Bytes that are up, of an upload in parts.
    pub(crate) fn sent(&self) -> u64 {
        let Some(multipart) = &self.multipart else { return 0 };
        let there = multipart.parts.iter().enumerate().filter(|(_, part)| part.is_some());
        there.map(|(at, _)| multipart.length(at, self.identity.size)).sum()
    }
}

impl Multipart {
    /// Bytes of a part of a file of `size`.
    pub(crate) fn length(&self, part: usize, size: u64) -> u64 {
        let start = self.part_size.saturating_mul(part as u64);
        size.saturating_sub(start).min(self.part_size)
    }
}
