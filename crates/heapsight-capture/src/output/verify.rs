//! Whether a stream of JSON is a whole capture, found out while it passes.
//!
//! [`Verifier`] is a small push-down automaton over the bytes, fed in pieces of any size. It knows the sections of V8's
//! files, counts their entries, and keeps nothing but the header. Arrays of numbers are surveyed in blocks that the
//! compiler turns into vector instructions, and strings are searched eight bytes at a time; so it keeps up with a disk.
//! What it asserts: brackets and quotes match, nothing stands behind the last bracket, the sections that are needed are
//! there once, and node, edge and function counts of the header are the numbers that passed. It does not check what the
//! numbers refer to; that is the reader's work.

use std::fmt;

use serde::Deserialize;

use super::CaptureKind;

/// The header of a real snapshot has a few kilobytes; Chromium's has the most.
const MAX_HEADER: usize = 1 << 20;

/// Deeper nesting than any stack of calls.
const MAX_DEPTH: usize = 1 << 20;

/// How many entries each section had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes of the heap, or of the call tree of a profile (0: those are not counted).
    pub nodes: u64,
    /// Edges.
    pub edges: u64,
    /// Strings.
    pub strings: u64,
    /// Samples: of a timeline points in time, of a profile sampled objects.
    pub samples: u64,
    /// Functions of recorded stacks.
    pub trace_functions: u64,
    /// Source locations.
    pub locations: u64,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Bytes of the (unpacked) stream before it.
    pub offset: u64,
    /// The rule that is broken.
    pub rule: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.rule)
    }
}

impl std::error::Error for Flaw {}

/// What the automaton expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value.
    Value,
    /// A value or the end of an empty array.
    ValueOrEnd,
    /// A key or the end of an empty object.
    KeyOrEnd,
    /// A key.
    Key,
    /// The colon behind a key.
    Colon,
    /// A comma or the end.
    AfterValue,
    /// Text of a string.
    Text,
    /// The character behind a backslash.
    Escape,
    /// More of a number or of `true`, `false`, `null`.
    Scalar,
    /// Numbers and commas of a flat array.
    Numbers,
    /// White space only.
    Done,
}

/// Sections with a meaning, by the key in the outermost object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Header,
    Nodes,
    Edges,
    TraceFunctions,
    Samples,
    Locations,
    Strings,
    Head,
    Other,
}

/// How many sections have a count.
const SECTIONS: usize = Section::Other as usize;

impl Section {
    fn of_key(key: &[u8]) -> Self {
        match key {
            b"snapshot" => Self::Header,
            b"nodes" => Self::Nodes,
            b"edges" => Self::Edges,
            b"trace_function_infos" => Self::TraceFunctions,
            b"samples" => Self::Samples,
            b"locations" => Self::Locations,
            b"strings" => Self::Strings,
            b"head" => Self::Head,
            _ => Self::Other,
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Header => "snapshot",
            Self::Nodes => "nodes",
            Self::Edges => "edges",
            Self::TraceFunctions => "trace_function_infos",
            Self::Samples => "samples",
            Self::Locations => "locations",
            Self::Strings => "strings",
            Self::Head => "head",
            Self::Other => "another section",
        }
    }

    fn is_flat(self) -> bool {
        matches!(self, Self::Nodes | Self::Edges | Self::TraceFunctions | Self::Samples | Self::Locations)
    }
}

/// The part of the header that is checked.
#[derive(Debug, Deserialize)]
struct Header {
    meta: Meta,
    node_count: u64,
    edge_count: u64,
    #[serde(default)]
    trace_function_count: u64,
}

/// Names of the fields of a row.
#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(rename = "node_fields")]
    node: Vec<String>,
    #[serde(rename = "edge_fields")]
    edge: Vec<String>,
    #[serde(default, rename = "trace_function_info_fields")]
    trace_function_info: Vec<String>,
    #[serde(default, rename = "sample_fields")]
    sample: Vec<String>,
    #[serde(default, rename = "location_fields")]
    location: Vec<String>,
}

/// Verifies one stream. Feed all bytes, then ask for the result.
#[derive(Debug)]
pub struct Verifier {
    kind: CaptureKind,
    state: State,
    /// Open brackets: true is an object.
    open: Vec<bool>,
    /// The string being read is a key.
    in_key: bool,
    /// The last key of the outermost object, cut off after a few bytes.
    key: Vec<u8>,
    section: Section,
    first_key: bool,
    /// Entries of the array in the current section.
    entries: u64,
    /// Commas of the current flat array, and its last byte that is no white space.
    commas: u64,
    last: u8,
    /// Entries by section, once it has ended.
    counts: [Option<u64>; SECTIONS],
    header: Vec<u8>,
    scalar: Vec<u8>,
    offset: u64,
}

impl Verifier {
    /// For a stream of this kind.
    pub fn new(kind: CaptureKind) -> Self {
        Self {
            kind,
            state: State::Value,
            open: Vec::new(),
            in_key: false,
            key: Vec::new(),
            section: Section::Other,
            first_key: true,
            entries: 0,
            commas: 0,
            last: b'[',
            counts: [None; SECTIONS],
            header: Vec::new(),
            scalar: Vec::new(),
            offset: 0,
        }
    }

    /// Bytes fed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes. After an error the verifier is of no further use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Text => {
                    let rest = &bytes[at..];
                    let length = quote_or_backslash(rest).unwrap_or(rest.len());
                    self.keep(&rest[..length])?;
                    at += length;
                    if let Some(&byte) = bytes.get(at) {
                        if byte == b'\\' || !(self.in_key && self.open.len() == 1) {
                            self.keep(&[byte])?;
                        }
                        at += 1;
                        self.state = match byte {
                            b'\\' => State::Escape,
                            _ if self.in_key => State::Colon,
                            _ => State::AfterValue,
                        };
                    }
                }
                State::Numbers => at += self.numbers(&bytes[at..], at)?,
                _ => {
                    // A scalar ends with the byte behind it, which is then looked at again.
                    if self.step(bytes[at], at)? {
                        at += 1;
                    }
                }
            }
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// The counts of a stream that is whole; otherwise what is wrong with it.
    pub fn finish(self) -> Result<Counts, Flaw> {
        if self.state != State::Done {
            return Err(self.flaw(
                0,
                match (self.offset, self.open.len()) {
                    (0, _) => "the stream is empty".to_owned(),
                    (_, 0 | 1) => "the stream ends here, it is cut off".to_owned(),
                    _ => format!("the stream ends here, it is cut off in `{}`", self.section.key()),
                },
            ));
        }
        if self.kind == CaptureKind::Profile {
            if self.counts[Section::Head as usize].is_none() {
                return Err(self.flaw(0, "there is no `head`, so this is no sampling heap profile"));
            }
            return Ok(Counts { samples: self.entries_of(Section::Samples), ..Counts::default() });
        }
        for needed in [Section::Header, Section::Nodes, Section::Edges, Section::Strings] {
            if self.counts[needed as usize].is_none() {
                return Err(self.flaw(0, format!("the section `{}` is missing", needed.key())));
            }
        }
        let header: Header = serde_json::from_slice(&self.header)
            .map_err(|error| self.flaw(0, format!("the header cannot be read: {error}")))?;
        let rows = |section: Section, fields: &[String]| {
            let numbers = self.entries_of(section);
            let fields = fields.len() as u64;
            match numbers.checked_rem(fields) {
                Some(0) => Ok(numbers / fields),
                // A section that the header does not describe is not needed, nodes and edges apart.
                None if !matches!(section, Section::Nodes | Section::Edges) => Ok(0),
                _ => Err(self.flaw(
                    0,
                    format!("`{}` has {numbers} numbers, which are no whole rows of {fields}", section.key()),
                )),
            }
        };
        let counts = Counts {
            nodes: rows(Section::Nodes, &header.meta.node)?,
            edges: rows(Section::Edges, &header.meta.edge)?,
            strings: self.entries_of(Section::Strings),
            samples: rows(Section::Samples, &header.meta.sample)?,
            trace_functions: rows(Section::TraceFunctions, &header.meta.trace_function_info)?,
            locations: rows(Section::Locations, &header.meta.location)?,
        };
        for (section, said, found) in [
            (Section::Nodes, header.node_count, counts.nodes),
            (Section::Edges, header.edge_count, counts.edges),
            (Section::TraceFunctions, header.trace_function_count, counts.trace_functions),
        ] {
            if said != found {
                let key = section.key();
                return Err(self.flaw(0, format!("the header says {said} `{key}`, the stream had {found}")));
            }
        }
        if counts.nodes == 0 {
            return Err(self.flaw(0, "there are no nodes"));
        }
        if counts.strings == 0 {
            return Err(self.flaw(0, "there are no strings"));
        }
        Ok(counts)
    }

    fn entries_of(&self, section: Section) -> u64 {
        self.counts[section as usize].unwrap_or(0)
    }

    #[cold]
    fn flaw(&self, at: usize, rule: impl Into<String>) -> Flaw {
        Flaw { offset: self.offset + at as u64, rule: rule.into() }
    }

    /// Keeps what has to be kept: the header, and keys of the outermost object.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        if self.open.len() == 1 && self.in_key {
            // What stands between a key and its colon is no part of it.
            if !matches!(self.state, State::Text | State::Escape) {
                return Ok(());
            }
            let room = 32_usize.saturating_sub(self.key.len());
            self.key.extend_from_slice(&bytes[..bytes.len().min(room)]);
        } else if self.section == Section::Header {
            if self.header.len() + bytes.len() > MAX_HEADER {
                return Err(self.flaw(0, "the header is unreasonably long"));
            }
            self.header.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// One byte outside of strings and flat arrays; whether it was used up.
    fn step(&mut self, byte: u8, at: usize) -> Result<bool, Flaw> {
        if self.state == State::Scalar {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') {
                if self.scalar.len() >= 64 {
                    return Err(self.flaw(at, "this is no JSON: a number is too long"));
                }
                self.scalar.push(byte);
                self.keep(&[byte])?;
                return Ok(true);
            }
            if !is_scalar(&self.scalar) {
                return Err(self.unexpected(byte, at));
            }
            self.state = State::AfterValue;
            return Ok(false);
        }
        self.keep(&[byte])?;
        if self.state == State::Escape {
            self.state = State::Text;
            return Ok(true);
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(true);
        }
        match (self.state, byte) {
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') | (State::AfterValue, b']' | b'}') => {
                self.close(byte, at)?;
            }
            (State::Value | State::ValueOrEnd, _) => self.value(byte, at)?,
            (State::KeyOrEnd | State::Key, b'"') => {
                self.in_key = true;
                self.key.clear();
                self.state = State::Text;
            }
            (State::Colon, b':') => {
                self.in_key = false;
                self.state = State::Value;
                if self.open.len() == 1 {
                    self.enter(at)?;
                }
            }
            (State::AfterValue, b',') => {
                if self.open.len() == 1 {
                    self.section = Section::Other;
                }
                self.state = if self.open.last() == Some(&true) { State::Key } else { State::Value };
            }
            (State::Done, _) => return Err(self.flaw(at, "something stands behind the end")),
            _ => return Err(self.unexpected(byte, at)),
        }
        Ok(true)
    }

    #[cold]
    fn unexpected(&self, byte: u8, at: usize) -> Flaw {
        self.flaw(at, format!("this is no JSON: `{}` is not expected here", byte.escape_ascii()))
    }

    /// A key of the outermost object has been read.
    fn enter(&mut self, at: usize) -> Result<(), Flaw> {
        self.section = Section::of_key(&self.key);
        self.entries = 0;
        let snapshot = self.kind != CaptureKind::Profile;
        if snapshot && self.first_key && self.section != Section::Header {
            let found = self.key.escape_ascii();
            return Err(self.flaw(at, format!("this is no {}: it begins with `{found}`", self.kind.label())));
        }
        self.first_key = false;
        if let Some(Some(_)) = self.counts.get(self.section as usize) {
            return Err(self.flaw(at, format!("the section `{}` is there twice", self.section.key())));
        }
        Ok(())
    }

    /// The first byte of a value.
    fn value(&mut self, byte: u8, at: usize) -> Result<(), Flaw> {
        match self.open.len() {
            0 if byte != b'{' => {
                return Err(self.flaw(
                    at,
                    format!("this is no {}: it begins with `{}`", self.kind.label(), byte.escape_ascii()),
                ));
            }
            1 => {
                let wanted = match self.section {
                    Section::Header | Section::Head => b'{',
                    Section::Other => byte,
                    _ => b'[',
                };
                if byte != wanted {
                    return Err(self.unexpected(byte, at));
                }
            }
            2 if self.open.last() == Some(&false) => self.entries += 1,
            _ => {}
        }
        match byte {
            b'{' | b'[' => {
                if self.open.len() >= MAX_DEPTH {
                    return Err(self.flaw(at, "brackets are nested too deeply"));
                }
                self.open.push(byte == b'{');
                self.state = if byte == b'{' { State::KeyOrEnd } else { State::ValueOrEnd };
                if self.open.len() == 2 && self.section.is_flat() && self.kind != CaptureKind::Profile {
                    self.state = State::Numbers;
                    self.commas = 0;
                    self.last = b'[';
                }
            }
            b'"' => self.state = State::Text,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.scalar.clear();
                self.scalar.push(byte);
                self.state = State::Scalar;
            }
            _ => return Err(self.unexpected(byte, at)),
        }
        Ok(())
    }

    fn close(&mut self, byte: u8, at: usize) -> Result<(), Flaw> {
        if self.open.pop() != Some(byte == b'}') {
            return Err(self.unexpected(byte, at));
        }
        self.state = match self.open.len() {
            0 => State::Done,
            1 => {
                if let Some(count) = self.counts.get_mut(self.section as usize) {
                    *count = Some(self.entries);
                }
                // What follows belongs to no section; the header ends with its bracket.
                self.section = Section::Other;
                State::AfterValue
            }
            _ => State::AfterValue,
        };
        Ok(())
    }

    /// As much of a flat array as there is; returns how many bytes that was.
    fn numbers(&mut self, bytes: &[u8], at: usize) -> Result<usize, Flaw> {
        let end = memchr::memchr(b']', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let (commas, clean) = survey(part);
        if !clean {
            let place = part.iter().position(|&byte| strange(byte) != 0).unwrap_or(0);
            return Err(self.unexpected(part[place], at + place));
        }
        self.commas += commas;
        if let Some(&last) = part.iter().rev().find(|byte| !byte.is_ascii_whitespace()) {
            self.last = last;
        }
        let Some(end) = end else { return Ok(bytes.len()) };
        self.entries = match self.last {
            b'[' => 0,
            b'0'..=b'9' => self.commas + 1,
            _ => return Err(self.unexpected(b']', at + end)),
        };
        self.close(b']', at + end)?;
        Ok(end + 1)
    }
}

/// Zero for a byte that may stand in a flat array: `+ , - . /`, digits, white space. (That `/` and two controls pass
/// costs nothing.)
fn strange(byte: u8) -> u8 {
    // Saturating subtractions and minima are single vector instructions; comparisons with `&&` are branches.
    let number = byte.wrapping_sub(b'+').saturating_sub(b'9' - b'+');
    let control = byte.wrapping_sub(b'\t').saturating_sub(b'\r' - b'\t');
    number.min(control).min(byte ^ b' ')
}

/// The commas of a piece of a flat array, and whether everything in it belongs there.
///
/// Not inlined: as part of a larger function the loops are not vectorised, which costs nine tenths of the speed.
#[inline(never)]
fn survey(part: &[u8]) -> (u64, bool) {
    const BLOCK: usize = 64;
    let (blocks, rest) = part.as_chunks::<BLOCK>();
    let mut found = [0_u8; BLOCK];
    let mut commas = 0_u64;
    for block in blocks {
        let mut marks = [0_u8; BLOCK];
        for (mark, &byte) in marks.iter_mut().zip(block) {
            *mark = u8::from(byte == b',');
        }
        commas += u64::from(marks.iter().sum::<u8>());
        for (found, &byte) in found.iter_mut().zip(block) {
            *found |= strange(byte);
        }
    }
    let mut any = found.iter().fold(0, |any, found| any | found);
    for &byte in rest {
        commas += u64::from(byte == b',');
        any |= strange(byte);
    }
    (commas, any == 0)
}

/// Where the first quote or backslash is.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let words = bytes.chunks_exact(8);
    let tail = words.remainder();
    for (index, word) in words.enumerate() {
        let Ok(word) = word.try_into().map(u64::from_le_bytes) else { break };
        // A byte that is zero after the exclusive or sets its high bit; bytes above it may be wrong, the lowest is not.
        let quote = word ^ (LOW * b'"' as u64);
        let backslash = word ^ (LOW * b'\\' as u64);
        let found = ((quote.wrapping_sub(LOW) & !quote) | (backslash.wrapping_sub(LOW) & !backslash)) & HIGH;
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let place = tail.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(bytes.len() - tail.len() + place)
}

fn is_scalar(text: &[u8]) -> bool {
    match text {
        b"true" | b"false" | b"null" => true,
        _ => {
            text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte))
                && text.iter().any(u8::is_ascii_digit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"snapshot":{"meta":{"node_fields":["type","name","id"],"node_types":[["hidden"],"string"],
"edge_fields":["type","name_or_index","to_node"],"trace_function_info_fields":["a","b"],"sample_fields":["t","i"],
"location_fields":["o","s","l","c"]},"node_count":2,"edge_count":1,"trace_function_count":1},
"nodes":[9,1,1
,9,2,3],
"edges":[1,1,3],"trace_function_infos":[1,2],"trace_tree":[1,0,2,3,[4,5,6,7,[]]],"samples":[0,1,5,9],"locations":[0,1,2,3],
"scopes":[{"a":null}],
"strings":["<dummy>","a \"quoted\" ] one\\",""]}
"#;

    fn verify(kind: CaptureKind, text: &[u8], piece: usize) -> Result<Counts, Flaw> {
        let mut verifier = Verifier::new(kind);
        for piece in text.chunks(piece) {
            verifier.feed(piece)?;
        }
        verifier.finish()
    }

    #[test]
    fn a_whole_capture_passes_however_it_is_cut() {
        let wanted = Counts { nodes: 2, edges: 1, strings: 3, samples: 2, trace_functions: 1, locations: 1 };
        for piece in 1..=TINY.len() {
            assert_eq!(
                verify(CaptureKind::Timeline, TINY.as_bytes(), piece),
                Ok(wanted),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn white_space_may_stand_anywhere() {
        let value: serde_json::Value = serde_json::from_str(TINY).unwrap();
        let wanted = verify(CaptureKind::Snapshot, TINY.as_bytes(), 64).unwrap();
        let dense = value.to_string();
        let airy = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n\t ");
        for text in [dense, airy.clone(), format!("\n {airy}  \n\n")] {
            for piece in [1, 2, 7, 64, 1000] {
                assert_eq!(verify(CaptureKind::Snapshot, text.as_bytes(), piece), Ok(wanted), "{text}");
            }
        }
    }

    #[test]
    fn every_truncation_is_found() {
        let text = TINY.trim_end().as_bytes();
        for length in 0..text.len() {
            let flaw = verify(CaptureKind::Snapshot, &text[..length], 7).unwrap_err();
            assert_eq!(flaw.offset, length as u64, "{flaw}");
        }
    }

    #[test]
    fn every_gap_is_found() {
        // A chunk that got lost: whatever is cut out of the flat arrays, the counts tell.
        let text = TINY.as_bytes();
        let from = TINY.find("\"nodes\"").unwrap();
        let to = TINY.find("\"trace_tree\"").unwrap();
        for start in from..to {
            for length in 1..12.min(to - start) {
                let mut cut = text[..start].to_vec();
                cut.extend_from_slice(&text[start + length..]);
                // Losing digits of a number, or white space, changes no count; everything else must be found.
                if text[start..start + length].iter().all(|b| b.is_ascii_digit() || *b == b'\n') {
                    continue;
                }
                assert!(verify(CaptureKind::Snapshot, &cut, 64).is_err(), "{start}+{length}");
            }
        }
    }

    #[test]
    fn lies_are_found() {
        let lie = |from: &str, to: &str| {
            assert!(TINY.contains(from), "{from}");
            verify(CaptureKind::Snapshot, TINY.replace(from, to).as_bytes(), 50).unwrap_err().rule
        };
        assert_eq!(
            lie("\"node_count\":2", "\"node_count\":3"),
            "the header says 3 `nodes`, the stream had 2"
        );
        assert_eq!(
            lie("\"edge_count\":1", "\"edge_count\":0"),
            "the header says 0 `edges`, the stream had 1"
        );
        assert_eq!(
            lie("\"trace_function_count\":1", "\"trace_function_count\":9"),
            "the header says 9 `trace_function_infos`, the stream had 1"
        );
        assert_eq!(lie("9,2,3]", "9,2]"), "`nodes` has 5 numbers, which are no whole rows of 3");
        assert_eq!(lie("9,2,3]", "9,2,]"), "this is no JSON: `]` is not expected here");
        assert_eq!(lie("9,2,3]", "9,\0,3]"), "this is no JSON: `\\x00` is not expected here");
        assert_eq!(lie("\"edges\"", "\"nodes\""), "the section `nodes` is there twice");
        assert_eq!(lie("\"edges\"", "\"wedges\""), "the section `edges` is missing");
        assert_eq!(lie("\"snapshot\"", "\"error\""), "this is no heap snapshot: it begins with `error`");
        assert_eq!(lie("]}\n", "]]\n"), "this is no JSON: `]` is not expected here");
        assert_eq!(lie("]}\n", "]}\nx"), "something stands behind the end");
        assert_eq!(lie("null", "nul"), "this is no JSON: `}` is not expected here");
        assert!(lie("\"node_fields\"", "\"fields\"").starts_with("the header cannot be read: missing field"));
    }

    #[test]
    fn a_profile_has_a_head() {
        let text = br#"{"samples":[{"size":1.5,"nodeId":2}],"head":{"callFrame":{},"children":[{"id":1}]}}"#;
        assert_eq!(verify(CaptureKind::Profile, text, 3), Ok(Counts { samples: 1, ..Counts::default() }));
        assert!(verify(CaptureKind::Profile, br#"{"samples":[]}"#, 3).is_err());
        assert!(verify(CaptureKind::Profile, b"[]", 3).is_err());
        assert!(verify(CaptureKind::Profile, b"", 3).is_err());
        assert!(verify(CaptureKind::Profile, &text[..text.len() - 1], 3).is_err());
        assert!(verify(CaptureKind::Snapshot, text, 3).is_err());
    }

    #[test]
    fn a_deep_tree_is_no_problem_and_an_endless_one_is_refused() {
        let deep = |depth: usize| {
            let text = TINY.replace("[4,5,6,7,[]]", &("[".repeat(depth) + &"]".repeat(depth)));
            verify(CaptureKind::Timeline, text.as_bytes(), 4096)
        };
        assert!(deep(100_000).is_ok());
        assert!(deep(MAX_DEPTH).is_err());
    }

    #[test]
    fn only_what_belongs_to_numbers_passes() {
        for byte in 0..=255_u8 {
            let wanted = byte.is_ascii_digit() || b"+,-./ \t\n\x0b\x0c\r".contains(&byte);
            assert_eq!(strange(byte) == 0, wanted, "{byte}");
            for length in [1, 63, 64, 65, 200] {
                let mut part = vec![b','; length];
                part[length / 2] = byte;
                let commas = length as u64 - u64::from(byte != b',');
                assert_eq!(survey(&part), (commas, wanted), "{byte}");
            }
        }
    }

    #[test]
    fn quotes_are_found_at_every_place() {
        for place in 0..40 {
            for byte in [b'"', b'\\'] {
                let mut text = vec![b'!'; 40];
                text[place] = byte;
                // The neighbours of what is searched for, and bytes above ASCII, are nothing special.
                text[..place].fill([b'#', b'[', 0xa2, 0xdc][place % 4]);
                assert_eq!(quote_or_backslash(&text), Some(place));
            }
        }
        assert_eq!(quote_or_backslash(&[b'#'; 40]), None);
    }
}
