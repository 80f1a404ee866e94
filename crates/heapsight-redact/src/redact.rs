//! A snapshot without the texts of its values.
//!
//! The graph is in memory, as the reader has it, and is written out by the writer of `heapsight-snapshot`. Two passes over
//! the file would need less memory, but the strings come last in it, the rows that refer to them first, and what a string is
//! used for is known when all rows are; so the file would be unpacked and parsed twice, standard input would have to be kept
//! on a disk, with the secrets in it, and whatever a later version of V8 puts into a file would have to be passed on unseen.
//! What is written from columns is only what this version knows. It costs the memory of the columns, about six tenths of the
//! text (docs/performance.md), as every other command.
//!
//! 1. Nodes, edges, ids, sizes and places stay; only string indices of nodes change.
//! 2. A string keeps its index for its use as a name. Where it is the text of a value as well, a marker is appended to the
//!    table, and the nodes refer to that. So edges, of which there are three times as many as nodes, are not touched.
//! 3. A string that nothing refers to becomes empty.
//!
//! Time O(N + E + text), on all threads where texts are looked at; memory, beside the snapshot's, that of the new strings
//! and five bytes a string.

use heapsight_snapshot::{NodeKind, Snapshot, StringTableBuilder};
use rayon::prelude::*;
use regex::Regex;

use crate::{
    marker::Key,
    names::{Named, is_plain, is_weak_map, rewritten},
    uses::{self, Use},
};

/// Strings that a thread takes at a time.
const CHUNK: usize = 1 << 12;

/// What was replaced, in strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Texts of values.
    pub texts: u64,
    /// Names of properties that were taken for data, whole.
    pub keys: u64,
    /// Other names, in part.
    pub parts: u64,
    /// Names that stay.
    pub names: u64,
    /// Texts that were to be kept.
    pub kept: u64,
}

impl Replaced {
    fn and(self, other: Self) -> Self {
        Self {
            texts: self.texts + other.texts,
            keys: self.keys + other.keys,
            parts: self.parts + other.parts,
            names: self.names + other.names,
            kept: self.kept + other.kept,
        }
    }
}

/// Why nothing was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// The new strings would be more than can be numbered.
    #[error("the file would have more than 4,294,967,294 strings")]
    TooManyStrings,
    /// The names of the nodes cannot be written.
    #[error("no memory for the names of the nodes")]
    OutOfMemory,
}

/// A part of the new table.
#[derive(Default)]
struct Part {
    /// Texts as they stand in a file, one after the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Markers of texts whose string keeps its place for a name.
    apart: Vec<(u32, Vec<u8>)>,
    replaced: Replaced,
}

impl Part {
    fn push(&mut self, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.ends.push(self.bytes.len());
    }

    fn items(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter()).map(|(start, &end)| &self.bytes[start..end])
    }
}

/// Replaces the texts of values, and what is data among the names, by markers. Texts that match `keep` stay.
///
/// # Errors
/// There is too much to number or to hold; the snapshot is as it was.
pub fn redact(snapshot: &mut Snapshot, key: &Key, keep: Option<&Regex>) -> Result<Replaced, RedactError> {
    let used = uses::uses(snapshot);
    let count = used.len();
    let parts: Vec<Part> = {
        let named = Named::find(snapshot, &used);
        let chunks = (0..count).into_par_iter().step_by(CHUNK);
        chunks.map(|first| part(snapshot, &used, &named, first, key, keep)).collect()
    };
    let apart: usize = parts.iter().map(|part| part.apart.len()).sum();
    if count + apart >= u32::MAX as usize {
        return Err(RedactError::TooManyStrings);
    }
    let bytes: usize = parts.iter().map(|part| part.bytes.len() + 4 * part.ends.len()).sum();
    let mut strings = StringTableBuilder::with_room(bytes + 24 * apart, count + apart);
    for part in &parts {
        part.items().for_each(|raw| strings.push_raw(raw));
    }
    let mut moved = vec![u32::MAX; if apart > 0 { count } else { 0 }];
    for (string, marker) in parts.iter().flat_map(|part| &part.apart) {
        if let Some(slot) = moved.get_mut(*string as usize) {
            *slot = strings.len() as u32;
        }
        strings.push_raw(marker);
    }
    let old = &snapshot.strings;
    let nodes = &mut snapshot.nodes;
    let names = nodes.name.to_mut().ok_or(RedactError::OutOfMemory)?;
    names.par_iter_mut().zip(nodes.kind.par_iter()).for_each(|(name, &kind)| {
        let kind = NodeKind(kind);
        if let Some(&new) = moved.get(*name as usize)
            && new != u32::MAX
            && uses::is_payload(kind, || uses::is_text(kind, &old.wtf8(*name)))
        {
            *name = new;
        }
    });
    snapshot.strings = strings.finish();
    Ok(parts.iter().fold(Replaced::default(), |sum, part| sum.and(part.replaced)))
}

fn part(
    snapshot: &Snapshot,
    used: &[Use],
    named: &Named<'_>,
    first: usize,
    key: &Key,
    keep: Option<&Regex>,
) -> Part {
    let strings = &snapshot.strings;
    let mark = |text: &str| key.of_text(text);
    let mut part = Part::default();
    let mut marker = Vec::new();
    for string in first..(first + CHUNK).min(used.len()) {
        let (string, used_for) = (string as u32, used[string]);
        let raw = strings.raw(string);
        if !used_for.is_name() && !used_for.is_payload() {
            part.push(b"");
            continue;
        }
        // Most texts are of values alone and have no escapes; those are not looked at as text.
        let plain = raw.is_ascii() && !raw.contains(&b'\\');
        let text = || strings.get(string);
        if keep.is_some_and(|keep| keep.is_match(&text())) {
            part.replaced.kept += u64::from(used_for.is_payload());
            part.push(raw);
            continue;
        }
        let is_text = used_for.is_payload() && !matches!(raw, b"" | b"true" | b"false");
        if is_text {
            marker.clear();
            if plain {
                key.marker(raw, raw.len(), &mut marker);
            } else {
                key.marker(&strings.wtf8(string), text().chars().count(), &mut marker);
            }
            part.replaced.texts += 1;
        }
        if !used_for.is_name() {
            part.push(if is_text { &marker } else { raw });
            continue;
        }
        let name = text();
        let new = if is_weak_map(raw) {
            Some(named.rewritten(&name, used, &mark).unwrap_or_else(|| mark(&name)))
        } else {
            rewritten(&name, used_for, &mark).filter(|_| !is_plain(&name))
        };
        match new {
            Some(new) if new != name => {
                let new = serde_json::to_string(&new).unwrap_or_default();
                let new = new.get(1..new.len().saturating_sub(1)).unwrap_or_default().as_bytes();
                if crate::marker::is_marker(new) {
                    part.replaced.keys += 1;
                } else {
                    part.replaced.parts += 1;
                }
                part.push(new);
                if is_text && marker != new {
                    part.apart.push((string, marker.clone()));
                }
            }
            _ => {
                part.replaced.names += 1;
                part.push(raw);
                if is_text {
                    part.apart.push((string, marker.clone()));
                }
            }
        }
    }
    part
}
