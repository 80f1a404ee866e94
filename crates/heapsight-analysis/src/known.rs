//! Strings that have a meaning: names that V8 gives, and the names of WeakMap edges.
//!
//! One parallel pass over the string table finds them all; after that every test of a name is a comparison of indices.

use heapsight_snapshot::{Snapshot, StringTable};
use rayon::prelude::*;
use regex::bytes::Regex;
use rustc_hash::FxHashMap;

/// The indices of one literal: usually one, but some writers repeat strings.
#[derive(Clone, Debug)]
pub struct Literal {
    first: u32,
    /// Ascending.
    more: Vec<u32>,
}

impl Default for Literal {
    fn default() -> Self {
        Self { first: u32::MAX, more: Vec::new() }
    }
}

impl Literal {
    fn add(&mut self, index: u32) {
        if self.first == u32::MAX {
            self.first = index;
        } else {
            self.more.push(index);
        }
    }

    /// Whether a string index stands for this literal.
    #[inline]
    pub fn is(&self, index: u32) -> bool {
        index == self.first || (!self.more.is_empty() && self.more.binary_search(&index).is_ok())
    }
}

macro_rules! literals {
    ($($(#[$doc:meta])* $field:ident = $text:literal;)*) => {
        /// The literals that the analyses compare names with.
        #[derive(Clone, Debug, Default)]
        #[expect(missing_docs, reason = "each field is the text beside it")]
        pub struct Literals { $(pub $field: Literal,)* }

        const TEXTS: &[&str] = &[$($text),*];

        impl Literals {
            fn slots(&mut self) -> Vec<&mut Literal> { vec![$(&mut self.$field),*] }
        }
    };
}

literals! {
    empty = "";
    object = "Object";
    array = "Array";
    proto = "__proto__";
    elements = "elements";
    first = "first";
    second = "second";
    map = "map";
    native_context_edge = "native_context";
    native_context = "system / NativeContext";
    sloppy_function_map = "sloppy_function_map";
    map_descriptors = "(map descriptors)";
    document_dom_trees = "(Document DOM trees)";
    external_string_data = "system / ExternalStringData";
    array_buffer_data = "system / JSArrayBufferData";
    event_listener = "V8EventListener";
    code = "code";
    one = "1";
    truncated = "truncated";
    length = "length";
    hash = "hash";
    value = "value";
    bool_ = "bool";
    int = "int";
    true_ = "true";
    system_context = "system / Context";
    promise_reaction = "system / PromiseReaction";
    reactions_or_result = "reactions_or_result";
    events = "_events";
    target_events = "<symbol kEvents>";
    resource_store = "<symbol kResourceStore>";
    next = "next";
    table = "table";
    source = "source";
    scope_info = "scope_info";
    context = "context";
}

/// What the name of a WeakMap edge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakMapEdge {
    /// Equal for the two edges (from the table, from the key) of one entry.
    pub pair: u32,
    /// Object id of the table.
    pub table_id: u64,
}

/// Everything that is known of a snapshot's strings.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The literals.
    pub literals: Literals,
    weak_map_edges: FxHashMap<u32, WeakMapEdge>,
}

// The lengths fit in the bits of a number.
const _: () = {
    let mut at = 0;
    while at < TEXTS.len() {
        assert!(TEXTS[at].len() < 64);
        at += 1;
    }
};

/// What one part of the table holds: (string, literal), and candidates for WeakMap edges.
struct Found {
    literals: Vec<(u32, usize)>,
    weak: Vec<u32>,
}

impl Known {
    /// Looks through the string table. Linear in its size, on all threads.
    pub fn find(snapshot: &Snapshot) -> Self {
        let strings = &snapshot.strings;
        let wanted: FxHashMap<&[u8], usize> =
            TEXTS.iter().enumerate().map(|(i, t)| (t.as_bytes(), i)).collect();
        let longest = TEXTS.iter().map(|t| t.len()).max().unwrap_or(0);
        // The lengths of the literals that begin with a byte: most strings need no look into the map.
        let mut lengths = [0u64; 256];
        for text in TEXTS {
            lengths[usize::from(first_byte(text.as_bytes()))] |= 1 << text.len();
        }
        let chunk = 1 << 13;
        let found: Vec<Found> = (0..strings.len().div_ceil(chunk))
            .into_par_iter()
            .map(|c| {
                let mut literals = Vec::new();
                let mut weak = Vec::new();
                for index in (c * chunk) as u32..((c + 1) * chunk).min(strings.len()) as u32 {
                    let text = strings.wtf8(index);
                    let text: &[u8] = &text;
                    if text.len() <= longest {
                        if lengths[usize::from(first_byte(text))] >> text.len() & 1 == 1
                            && let Some(&slot) = wanted.get(text)
                        {
                            literals.push((index, slot));
                        }
                    } else if text[0].is_ascii_digit() && is_weak_map_candidate(text) {
                        weak.push(index);
                    }
                }
                Found { literals, weak }
            })
            .collect();
        let mut known = Self::default();
        let mut slots = known.literals.slots();
        for &(index, slot) in found.iter().flat_map(|f| &f.literals) {
            slots[slot].add(index);
        }
        known.weak_map_edges = weak_map_edges(strings, found.iter().flat_map(|f| f.weak.iter().copied()));
        known
    }

    /// What a string says as the name of an internal edge, if it names a WeakMap entry.
    #[inline]
    pub fn weak_map_edge(&self, name: u32) -> Option<WeakMapEdge> {
        if self.weak_map_edges.is_empty() { None } else { self.weak_map_edges.get(&name).copied() }
    }

    /// The ids of the tables that WeakMap entries name, ascending.
    pub fn weak_map_tables(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.weak_map_edges.values().map(|entry| entry.table_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether the snapshot has any WeakMap entry.
    pub fn has_weak_maps(&self) -> bool {
        !self.weak_map_edges.is_empty()
    }
}

fn first_byte(text: &[u8]) -> u8 {
    text.first().copied().unwrap_or_default()
}

fn is_weak_map_candidate(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    text[digits..].starts_with(b" / part of key (")
}

/// Parses the names as DevTools does (`tryParseWeakMapEdgeName`), whose `.` does not cross line ends.
fn weak_map_edges(
    strings: &StringTable,
    candidates: impl Iterator<Item = u32>,
) -> FxHashMap<u32, WeakMapEdge> {
    let mut edges = FxHashMap::default();
    let pattern = Regex::new(concat!(
        r"^[0-9]+( / part of key \((?-u:[^\n\r])*? @[0-9]+\) -> value \((?-u:[^\n\r])*? @[0-9]+\) ",
        r"pair in WeakMap \(table @([0-9]+)\))$"
    ));
    let Ok(pattern) = pattern else { return edges };
    let mut pairs: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    for index in candidates {
        let name = strings.wtf8(index);
        let Some(parts) = pattern.captures(&name) else { continue };
        let (Some(part), Some(table)) = (parts.get(1), parts.get(2)) else { continue };
        // U+2028 and U+2029 are line ends to JavaScript's regular expressions too.
        if memchr::memmem::find(part.as_bytes(), "\u{2028}".as_bytes()).is_some()
            || memchr::memmem::find(part.as_bytes(), "\u{2029}".as_bytes()).is_some()
        {
            continue;
        }
        let table_id = table
            .as_bytes()
            .iter()
            .fold(0u64, |v, d| v.saturating_mul(10).saturating_add(u64::from(d - b'0')));
        let next = pairs.len() as u32;
        let pair = *pairs.entry(part.as_bytes().to_vec()).or_insert(next);
        edges.insert(index, WeakMapEdge { pair, table_id });
    }
    edges
}
