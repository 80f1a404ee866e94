//! A snapshot without the texts of its values.
//!
//! The graph is in memory, as the reader has it, and is written out by the writer of `heapsight-snapshot`. That is for what can
//! be read once (standard input) or is unpacked slowly; a file that can be read again needs no such memory
//! ([`crate::stream`]).
//!
//! 1. Nodes, edges, ids, sizes and places stay; only string indices of nodes change.
//! 2. A string keeps its index for its use as a name. Where it is the text of a value as well, a marker is appended to the
//!    table, and the nodes refer to that. So edges, of which there are three times as many as nodes, are not touched.
//! 3. A string that nothing refers to becomes empty.
//!
//! Time O(N + E + text), on all threads where texts are looked at; memory, beside the snapshot's, that of the new strings
//! and five bytes a string.

use heapsight_snapshot::{NodeKind, Snapshot, StringTable, StringTableBuilder};
use rayon::prelude::*;
use regex::Regex;

use crate::{
    marker::Key,
    names::{Named, is_plain, is_plain_raw, is_weak_map, rewritten},
    uses::{self, Use},
};

/// Strings that a thread takes at a time.
pub(crate) const CHUNK: usize = 1 << 12;

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
    pub(crate) fn and(self, other: Self) -> Self {
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

/// Strings, the first of which has this index, and what they are used for.
pub(crate) struct Texts<'s> {
    pub(crate) strings: &'s StringTable,
    pub(crate) first: u32,
    /// Of all strings.
    pub(crate) used: &'s [Use],
    pub(crate) named: &'s Named,
}

/// The marker of a text.
pub(crate) struct Apart {
    string: u32,
    pub(crate) marker: Vec<u8>,
    is_name: bool,
}

/// A part of the new table.
#[derive(Default)]
pub(crate) struct Part {
    /// Texts as they stand in a file, one after the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Markers of texts whose string keeps its place for a name; also where that name became the same marker.
    pub(crate) apart: Vec<Apart>,
    pub(crate) replaced: Replaced,
}

impl Part {
    fn push(&mut self, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &[u8]> {
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
        let texts = Texts { strings: &snapshot.strings, first: 0, used: &used, named: &named };
        let chunks = (0..count).into_par_iter().step_by(CHUNK);
        chunks.map(|at| part(&texts, at, key, keep)).collect()
    };
    let aparts = || parts.iter().flat_map(|part| &part.apart).filter(|apart| !apart.is_name);
    let apart = aparts().count();
    if count + apart >= u32::MAX as usize {
        return Err(RedactError::TooManyStrings);
    }
    let bytes: usize = parts.iter().map(|part| part.bytes.len() + 4 * part.ends.len()).sum();
    let mut strings = StringTableBuilder::with_room(bytes + 24 * apart, count + apart);
    for part in &parts {
        part.items().for_each(|raw| strings.push_raw(raw));
    }
    let mut moved = vec![u32::MAX; if apart > 0 { count } else { 0 }];
    for Apart { string, marker, .. } in aparts() {
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

/// What becomes of the strings from `from` on, at most [`CHUNK`].
pub(crate) fn part(texts: &Texts<'_>, from: usize, key: &Key, keep: Option<&Regex>) -> Part {
    let Texts { strings, first, used, named } = *texts;
    let mark = |text: &str| key.of_text(text);
    let mut part = Part::default();
    let mut marker = Vec::new();
    for string in from as u32..(from + CHUNK).min(strings.len()) as u32 {
        let used_for = used.get((first + string) as usize).copied().unwrap_or_default();
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
        let is_text = used_for.is_payload() && !is_plain_raw(raw);
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
                if is_text {
                    let is_name = marker == new;
                    part.apart.push(Apart { string: first + string, marker: marker.clone(), is_name });
                }
            }
            _ => {
                part.replaced.names += 1;
                part.push(raw);
                if is_text {
                    let marker = marker.clone();
                    part.apart.push(Apart { string: first + string, marker, is_name: false });
                }
            }
        }
    }
    part
}
