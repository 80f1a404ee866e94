//! The proof that a file has nothing in it of what it must not have.
//!
//! It does not ask whether the redaction was done right but what the file *has*. Everything in it is looked at:
//!
//! 1. **Outside of the strings** ([`Strays`]) there may be numbers, and the words of the format. A text anywhere else, a
//!    section of another name, anything after the end, is a leak. This reads the bytes itself, not with the reader.
//! 2. **Each string** of four and more characters has to be a marker, or a name of the original with at most markers in it.
//!    A text of the original that is no name there is a leak, whatever it looks like.
//! 3. **Each node** that is a text in the original has to have a marker for its name.
//! 4. The graph (types, ids, sizes, edges) has to be that of the original.
//!
//! What cannot be told: whether a *name* of the program is a secret. Names that look like data have to be gone, by the same
//! rules as in the redaction; others are kept on purpose. Texts that are also names are counted, so that nobody is surprised.
//!
//! The original is gone when the other file is read: of its strings only digests are kept. Memory for those is some fifty
//! bytes a string, and a bit a node.

use std::{
    hash::Hasher,
    io::{self, Read},
};

use heapsight_snapshot::{Snapshot, WarningKind};
use regex::Regex;
use rustc_hash::{FxHashSet, FxHasher};
use sha2::{Digest, Sha256};

use crate::{
    detect::{self, Kind},
    marker::{is_marker, without_markers},
    names::{Named, WeakMapName, is_plain, is_text_of_value, is_weak_map, rewritten},
    uses,
};

/// Texts of fewer characters say too little, and occur by accident.
const SHORTEST: usize = 4;

/// Leaks of which the place is remembered.
const SHOWN: usize = 20;

/// Texts outside of the strings that are remembered; a file has a few hundred names of types at most.
const STRAYS: usize = 4096;

/// Bytes of such a text that are remembered.
const STRAY_BYTES: usize = 4096;

/// Words of the format that are no section and no type.
const WORDS: [&str; 50] = [
    "snapshot",
    "meta",
    "node_fields",
    "node_types",
    "edge_fields",
    "edge_types",
    "trace_function_info_fields",
    "trace_node_fields",
    "sample_fields",
    "location_fields",
    "scope_fields",
    "scope_context_var_fields",
    "scope_use_fields",
    "node_count",
    "edge_count",
    "trace_function_count",
    "extra_native_bytes",
    "root_index",
    "nodes",
    "edges",
    "trace_function_infos",
    "trace_tree",
    "samples",
    "locations",
    "scopes",
    "scope_context_vars",
    "scope_uses",
    "strings",
    "type",
    "name",
    "id",
    "self_size",
    "trace_node_id",
    "detachedness",
    "name_or_index",
    "to_node",
    "string",
    "number",
    "node",
    "string_or_number",
    "function_id",
    "script_name",
    "script_id",
    "line",
    "column",
    "function_info_index",
    "count",
    "size",
    "children",
    "timestamp_us",
];

/// The other words.
const MORE_WORDS: [&str; 11] = [
    "last_assigned_id",
    "object_index",
    "script_node_index",
    "scope_id",
    "depth",
    "scope_context_vars_count",
    "scope_uses_count",
    "declaring_scope_id",
    "slot_index",
    "script_object_index",
    // A field that the redaction did not know.
    "~",
];

/// A digest of a text that no other text has.
fn digest(text: &[u8]) -> u128 {
    let bytes = Sha256::digest(text);
    bytes.iter().take(16).fold(0, |value, &byte| value << 8 | u128::from(byte))
}

/// What a redacted file may have, and must not have.
pub struct Expected {
    /// Texts of values that are no names.
    forbidden: FxHashSet<u128>,
    /// Names, with a tilde for each part that has to be a marker.
    names: FxHashSet<u128>,
    /// Texts that are to stay.
    kept: FxHashSet<u128>,
    /// Names of types.
    types: Vec<String>,
    /// Which nodes are texts.
    texts: Vec<bool>,
    graph: [u64; 5],
    /// Texts that are names as well, and stay as such.
    also_names: u64,
    forbidden_count: u64,
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected").field("forbidden", &self.forbidden_count).finish_non_exhaustive()
    }
}

/// Something that must not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where it is.
    pub place: String,
    /// What is wrong with it.
    pub why: &'static str,
    /// Its beginning, never all of it.
    pub shown: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Everything that must not be there.
    pub leaks: u64,
    /// The first of them.
    pub first: Vec<Leak>,
    /// Whether types, ids, sizes and edges are those of the original.
    pub same_graph: bool,
    /// Strings that were looked at.
    pub strings: u64,
    /// Texts of the original that were looked for.
    pub texts: u64,
    /// Texts of the original that are names as well, and stay as such.
    pub also_names: u64,
}

impl Outcome {
    /// Whether nothing is left, and the graph is whole.
    pub fn is_clean(&self) -> bool {
        self.leaks == 0 && self.same_graph
    }

    fn leak(&mut self, place: impl FnOnce() -> String, why: &'static str, text: &str) {
        self.leaks += 1;
        if self.first.len() < SHOWN {
            let shown = detect::mask(Kind::Random, text);
            self.first.push(Leak { place: place(), why, shown });
        }
    }
}

fn is_short(text: &str) -> bool {
    text.chars().take(SHORTEST).count() < SHORTEST
}

impl Expected {
    /// What a redaction of this snapshot may have. Texts that match `keep` may stay.
    pub fn of(original: &Snapshot, keep: Option<&Regex>) -> Self {
        let used = uses::uses(original);
        let named = Named::find(original, &used);
        let mark = |_: &str| "~".to_owned();
        let mut expected = Self {
            forbidden: FxHashSet::default(),
            names: FxHashSet::default(),
            kept: FxHashSet::default(),
            types: [original.node_kinds.names(), original.edge_kinds.names()].concat(),
            texts: Vec::new(),
            graph: graph(original),
            also_names: 0,
            forbidden_count: 0,
        };
        // Some writers repeat strings: one entry is the text of a value, another of the same text a name that stays.
        let mut staying = FxHashSet::default();
        for (string, &used_for) in used.iter().enumerate() {
            let text = original.strings.get(string as u32);
            let own = digest(&original.strings.wtf8(string as u32));
            if keep.is_some_and(|keep| keep.is_match(&text)) {
                expected.kept.insert(own);
                continue;
            }
            if used_for.is_name() {
                let new = if is_weak_map(original.strings.raw(string as u32)) {
                    let new = named.rewritten(&text, &used, &mark);
                    let shape = new.as_deref().map_or_else(|| "~".to_owned(), weak_shape);
                    expected.names.insert(digest(&without_markers(shape.as_bytes())));
                    new.filter(|new| *new != text)
                } else {
                    let new = rewritten(&text, used_for, &mark);
                    let wtf8 = original.strings.wtf8(string as u32);
                    expected
                        .names
                        .insert(digest(&without_markers(new.as_deref().map_or(&wtf8, str::as_bytes))));
                    new
                };
                if new.is_none() {
                    expected.also_names += u64::from(used_for.is_payload() && !is_short(&text));
                    staying.insert(own);
                    continue;
                }
            }
            if !is_short(&text) && !is_plain(&text) && (used_for.is_payload() || used_for.is_key()) {
                expected.forbidden.insert(own);
            }
        }
        let all = expected.forbidden.len();
        expected.forbidden.retain(|text| !staying.contains(text));
        expected.forbidden_count = expected.forbidden.len() as u64;
        expected.also_names += all as u64 - expected.forbidden_count;
        expected.texts = (0..original.node_count() as u32)
            .map(|node| {
                let name = original.strings.get(original.nodes.name[node as usize]);
                is_text_of_value(original.node_kind(node), &name)
            })
            .collect();
        expected
    }

    /// Holds a file against it: its text outside of the strings, and the snapshot that it is read as.
    pub fn compare(&self, strays: &Strays, file: &Snapshot) -> Outcome {
        let mut outcome = Outcome {
            same_graph: graph(file) == self.graph,
            strings: file.strings.len() as u64,
            texts: self.forbidden_count,
            also_names: self.also_names,
            ..Outcome::default()
        };
        for stray in &strays.found {
            let text: Option<String> = serde_json::from_str(&format!("\"{}\"", stray.text)).ok();
            if !self.types.contains(text.as_ref().unwrap_or(&stray.text)) {
                outcome.leak(|| format!("byte {}", stray.offset), stray.why, &stray.text);
            }
        }
        outcome.leaks += strays.more;
        for warning in file.warnings.as_slice() {
            if matches!(warning.kind, WarningKind::UnknownSection | WarningKind::TrailingText) {
                outcome.leak(|| warning.section.to_string(), "is not of the format", "");
            }
        }
        for string in 0..file.strings.len() as u32 {
            if let Some(why) = self.refuse(&file.strings.wtf8(string)) {
                let text = file.strings.get(string);
                outcome.leak(|| format!("string {string}"), why, &text);
            }
        }
        // Nodes of another graph are other nodes; that is said already.
        for (node, _) in self.texts.iter().enumerate().filter(|&(_, &is_text)| is_text) {
            let Some(&string) = file.nodes.name.get(node) else { break };
            let text = file.strings.get(string);
            let kept = || self.kept.contains(&digest(&file.strings.wtf8(string)));
            if !text.is_empty() && !is_marker(text.as_bytes()) && !is_short(&text) && !kept() {
                let id = file.nodes.id[node];
                outcome.leak(|| format!("object @{id}"), "is a text and has no marker for its name", &text);
            }
        }
        outcome
    }

    /// Why a string must not be there.
    fn refuse(&self, text: &[u8]) -> Option<&'static str> {
        let shown = String::from_utf8_lossy(text);
        if is_short(&shown) || is_plain(&shown) {
            return None;
        }
        let own = digest(text);
        if self.kept.contains(&own) {
            return None;
        }
        if self.forbidden.contains(&own) {
            return Some("is the text of a value of the original");
        }
        let shape = without_markers(text);
        if shape == b"~" || self.names.contains(&digest(&shape)) {
            return None;
        }
        if let Some(parts) = WeakMapName::parse(&shown) {
            let blank = without_markers(weak_shape(&shown).as_bytes());
            let known = |name: &str| self.refuse(name.as_bytes()).is_none();
            if self.names.contains(&digest(&blank)) && known(parts.key) && known(parts.value) {
                return None;
            }
        }
        Some("is neither a marker nor a name of the original")
    }
}

/// The name of an edge of a WeakMap entry without what its key and value are called.
fn weak_shape(name: &str) -> String {
    WeakMapName::parse(name).map_or_else(|| name.to_owned(), |parts| parts.with("~", "~"))
}

/// Digests of the columns that have to be the same.
fn graph(snapshot: &Snapshot) -> [u64; 5] {
    let of = |items: &mut dyn Iterator<Item = u64>| {
        let mut hasher = FxHasher::default();
        items.for_each(|item| hasher.write_u64(item));
        hasher.finish()
    };
    let (nodes, edges) = (&snapshot.nodes, &snapshot.edges);
    [
        of(&mut nodes
            .kind
            .iter()
            .zip(nodes.id.iter())
            .map(|(&kind, &id)| u64::from(kind) << 32 | u64::from(id))),
        of(&mut nodes.self_size.iter()),
        of(&mut nodes.first_edge.iter().map(|&first| first.into())),
        of(&mut edges
            .kind
            .iter()
            .zip(edges.to.iter())
            .map(|(&kind, &to)| u64::from(kind) << 32 | u64::from(to))),
        of(&mut snapshot.root.to_be_bytes().into_iter().map(u64::from)),
    ]
}

/// A text where none should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stray {
    offset: u64,
    text: String,
    why: &'static str,
}

/// All that a file has outside of its strings and is no number.
#[derive(Clone, Debug, Default)]
pub struct Strays {
    found: Vec<Stray>,
    /// How many more there are that are not kept.
    more: u64,
}

impl Strays {
    fn add(&mut self, offset: u64, text: &[u8], why: &'static str) {
        if self.found.len() < STRAYS {
            self.found.push(Stray { offset, text: String::from_utf8_lossy(text).into_owned(), why });
        } else {
            self.more += 1;
        }
    }

    /// Looks through an unpacked file.
    ///
    /// # Errors
    /// Those of the source.
    pub fn of(mut text: impl Read) -> io::Result<Self> {
        let mut scan = Scan::default();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = match text.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            buffer[..read].iter().for_each(|&byte| scan.byte(byte));
        }
        scan.end_word();
        Ok(scan.strays)
    }
}

/// Where the look through a file stands.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
struct Scan {
    offset: u64,
    depth: u32,
    /// Inside of quotes; whether the byte before was a backslash.
    quoted: bool,
    escaped: bool,
    /// The text of the quotes or of the word that the scan is in, as far as it is kept.
    word: Vec<u8>,
    /// The last key at the top level was `strings`.
    in_strings: bool,
    ended: bool,
    strays: Strays,
}

impl Scan {
    fn byte(&mut self, byte: u8) {
        self.offset += 1;
        if self.quoted {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.quoted = false;
                    self.end_text();
                    return;
                }
                _ => {}
            }
            // A text that is longer is a stray by its beginning.
            if self.word.len() < STRAY_BYTES && !self.is_string() {
                self.word.push(byte);
            }
            return;
        }
        if byte == b'"' {
            self.end_word();
            self.quoted = true;
            return;
        }
        let number = byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.');
        let between = matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'[' | b']' | b'{' | b'}');
        if self.ended && !byte.is_ascii_whitespace() || !number && !between {
            if self.word.len() < STRAY_BYTES {
                self.word.push(byte);
            }
            return;
        }
        if between {
            self.end_word();
        }
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.ended |= self.depth == 0;
            }
            _ => {}
        }
    }

    /// Whether the quotes are around one of the strings, which are looked at elsewhere.
    fn is_string(&self) -> bool {
        self.in_strings && self.depth == 2
    }

    fn end_text(&mut self) {
        if self.is_string() {
            return;
        }
        let text = std::mem::take(&mut self.word);
        if self.depth == 1 {
            self.in_strings = text == b"strings";
        }
        let known = |word: &&str| word.as_bytes() == text;
        if self.ended || !(WORDS.iter().any(known) || MORE_WORDS.iter().any(known)) {
            self.strays.add(self.offset, &text, "is a text outside of the strings");
        }
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            let word = std::mem::take(&mut self.word);
            self.strays.add(self.offset, &word, "is neither a number nor of the format");
        }
    }
}
