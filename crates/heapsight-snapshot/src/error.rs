//! What can be wrong with a snapshot file.
//!
//! A [`ReadError`] ends the reading: it names the section, the byte offset (in the decompressed text) and the
//! rule that is broken. A [`Warning`] is damage that the rest of the file survives; warnings are counted by kind
//! and keep their first place, so that a file with a million bad rows costs no memory.

use std::{fmt, io};

/// The part of the file in which something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Section {
    /// Before or between the named parts.
    TopLevel,
    /// The `snapshot` object: counts and `meta`.
    Header,
    /// The `nodes` array.
    Nodes,
    /// The `edges` array.
    Edges,
    /// The `trace_function_infos` array.
    TraceFunctions,
    /// The `trace_tree` array.
    TraceTree,
    /// The `samples` array.
    Samples,
    /// The `locations` array.
    Locations,
    /// The `scopes` array.
    Scopes,
    /// The `scope_context_vars` array.
    ScopeVariables,
    /// The `scope_uses` array.
    ScopeUses,
    /// The `strings` array.
    Strings,
    /// A part that this version does not know.
    Unknown,
}

impl Section {
    /// All parts.
    pub const ALL: [Self; 13] = [
        Self::TopLevel,
        Self::Header,
        Self::Nodes,
        Self::Edges,
        Self::TraceFunctions,
        Self::TraceTree,
        Self::Samples,
        Self::Locations,
        Self::Scopes,
        Self::ScopeVariables,
        Self::ScopeUses,
        Self::Strings,
        Self::Unknown,
    ];

    /// The key of the part in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "top level",
            Self::Header => "snapshot",
            Self::Nodes => "nodes",
            Self::Edges => "edges",
            Self::TraceFunctions => "trace_function_infos",
            Self::TraceTree => "trace_tree",
            Self::Samples => "samples",
            Self::Locations => "locations",
            Self::Scopes => "scopes",
            Self::ScopeVariables => "scope_context_vars",
            Self::ScopeUses => "scope_uses",
            Self::Strings => "strings",
            Self::Unknown => "unknown section",
        }
    }
}

impl Section {
    /// The section that a key of the file begins.
    pub(crate) fn of_key(key: &[u8]) -> Self {
        match key {
            b"snapshot" => Self::Header,
            b"nodes" => Self::Nodes,
            b"edges" => Self::Edges,
            b"trace_function_infos" => Self::TraceFunctions,
            b"trace_tree" => Self::TraceTree,
            b"samples" => Self::Samples,
            b"locations" => Self::Locations,
            b"strings" => Self::Strings,
            b"scopes" => Self::Scopes,
            b"scope_context_vars" => Self::ScopeVariables,
            b"scope_uses" => Self::ScopeUses,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a file cannot be read as a snapshot.
#[derive(Debug, thiserror::Error)]
#[error("{section}, byte {offset}: {problem}")]
pub struct ReadError {
    /// The part being read.
    pub section: Section,
    /// Offset in the decompressed text, in bytes from its start.
    pub offset: u64,
    /// The broken rule.
    #[source]
    pub problem: Problem,
}

/// The rule that a file breaks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The source failed while being read.
    #[error("reading failed: {0}")]
    Io(#[source] io::Error),
    /// The compressed stream is damaged or ends early.
    #[error("the compressed data is damaged or truncated: {0}")]
    Compressed(#[source] io::Error),
    /// Nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// The text stops inside a part.
    #[error("the file ends here, it is truncated")]
    Truncated,
    /// Zero bytes where text should be.
    #[error("zero bytes stand where the text should go on")]
    Zeros,
    /// Not the beginning of a JSON object.
    #[error("this is not a heap snapshot: expected `{{\"snapshot\":`, found {0}")]
    NotASnapshot(String),
    /// Valid profile data of another kind.
    #[error("this is not a heap snapshot but {0}")]
    OtherFormat(&'static str),
    /// A character that JSON does not allow here.
    #[error("expected {expected}, found {found}")]
    Syntax {
        /// What the grammar wants.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The `snapshot` object is not what V8 writes.
    #[error("the header is not usable: {0}")]
    Header(String),
    /// A required section is absent.
    #[error("the file has no `{0}` section")]
    Missing(Section),
    /// A section before the one that describes its layout.
    #[error("section `{0}` stands before `{1}`, which it depends on")]
    Order(Section, Section),
    /// The same section twice.
    #[error("section `{0}` occurs twice")]
    Repeated(Section),
    /// A number that is negative, fractional or written with an exponent.
    #[error("expected an unsigned whole number, found {0}")]
    NotUnsigned(String),
    /// A number above what V8 can write there.
    #[error("{what} {value} is larger than the format allows ({limit})")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its value, saturated.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// An array whose length is not a whole number of rows.
    #[error("{count} numbers are no whole number of rows of {fields} fields")]
    PartialRow {
        /// Numbers found.
        count: u64,
        /// Fields of a row.
        fields: usize,
    },
    /// A type number outside of `meta`'s list.
    #[error("{what} type {value} is not in the header's list of {known} types")]
    UnknownType {
        /// `node` or `edge`.
        what: &'static str,
        /// The number.
        value: u64,
        /// How many types the header names.
        known: usize,
    },
    /// An edge that does not point to the start of a node.
    #[error("to_node {to} points into the middle of a node (a node has {fields} fields)")]
    MiddleOfNode {
        /// The number in the file.
        to: u64,
        /// Fields of a node.
        fields: usize,
    },
    /// An edge that points past the last node.
    #[error("to_node {to} points past the last node ({nodes} nodes of {fields} fields)")]
    PastLastNode {
        /// The number in the file.
        to: u64,
        /// Number of nodes.
        nodes: u64,
        /// Fields of a node.
        fields: usize,
    },
    /// The nodes' `edge_count`s exceed the edges.
    #[error("the nodes claim {claimed} edges, the section holds {found}")]
    EdgesMissing {
        /// Sum of all `edge_count`.
        claimed: u64,
        /// Rows of the edges section.
        found: u64,
    },
    /// More nodes or edges than 32-bit ordinals can number.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A root that is no node.
    #[error("root_index {0} is not the start of a node")]
    BadRoot(u64),
    /// Memory for what the file claims to hold could not be had.
    #[error("no memory for {bytes} bytes of columns")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
}

impl Problem {
    /// Puts the problem at its place.
    pub(crate) fn at(self, section: Section, offset: u64) -> ReadError {
        ReadError { section, offset, problem: self }
    }
}

/// What kind of damage a [`Warning`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// The header's `node_count` is not the number of rows.
    NodeCount,
    /// The header's `edge_count` is not the number of rows.
    EdgeCount,
    /// Edges after the last node's share.
    UnownedEdges,
    /// A name beyond the string table.
    StringIndex,
    /// A backslash sequence that JSON does not know.
    Escape,
    /// A raw control character inside a string.
    ControlCharacter,
    /// Bytes that are not UTF-8.
    Utf8,
    /// A location of something that is not a node.
    Location,
    /// A trace table that is not what its fields say.
    Trace,
    /// Samples that are not pairs.
    Samples,
    /// A section that is not known and was skipped.
    UnknownSection,
    /// Text after the closing brace.
    TrailingText,
    /// A detachedness above 3.
    Detachedness,
    /// A scope table that is not what its fields or the other tables say.
    Scope,
}

impl WarningKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::NodeCount,
        Self::EdgeCount,
        Self::UnownedEdges,
        Self::StringIndex,
        Self::Escape,
        Self::ControlCharacter,
        Self::Utf8,
        Self::Location,
        Self::Trace,
        Self::Samples,
        Self::UnknownSection,
        Self::TrailingText,
        Self::Detachedness,
        Self::Scope,
    ];

    /// A stable word for JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NodeCount => "node_count",
            Self::EdgeCount => "edge_count",
            Self::UnownedEdges => "unowned_edges",
            Self::StringIndex => "string_index",
            Self::Escape => "escape",
            Self::ControlCharacter => "control_character",
            Self::Utf8 => "utf8",
            Self::Location => "location",
            Self::Trace => "trace",
            Self::Samples => "samples",
            Self::UnknownSection => "unknown_section",
            Self::TrailingText => "trailing_text",
            Self::Detachedness => "detachedness",
            Self::Scope => "scope",
        }
    }
}

/// Damage that was survived, counted by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is.
    pub kind: WarningKind,
    /// Where it was seen first.
    pub section: Section,
    /// Byte offset of the first, where known.
    pub offset: Option<u64>,
    /// How often.
    pub count: u64,
    /// The first one in words.
    pub detail: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.section)?;
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        write!(f, ": {}", self.detail)?;
        if self.count > 1 {
            write!(f, " (and {} more)", self.count - 1)?;
        }
        Ok(())
    }
}

/// The warnings of one reading, one entry a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(Vec<Warning>);

impl Warnings {
    /// Counts a warning; the detail of the first is kept.
    pub fn add(
        &mut self,
        kind: WarningKind,
        section: Section,
        offset: Option<u64>,
        count: u64,
        detail: impl FnOnce() -> String,
    ) {
        if count == 0 {
            return;
        }
        match self.0.iter_mut().find(|w| w.kind == kind && w.section == section) {
            Some(warning) => warning.count += count,
            None => self.0.push(Warning { kind, section, offset, count, detail: detail() }),
        }
    }

    /// Takes in the warnings of another reading of the same file; what both have counts once.
    pub fn join(&mut self, other: Self) {
        for new in other.0 {
            match self.0.iter_mut().find(|w| w.kind == new.kind && w.section == new.section) {
                Some(warning) => warning.count = warning.count.max(new.count),
                None => self.0.push(new),
            }
        }
    }

    /// All entries, in the order in which their kinds were first met.
    pub fn as_slice(&self) -> &[Warning] {
        &self.0
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Shows a byte as a reader would name it.
pub(crate) fn show_byte(byte: Option<u8>) -> String {
    match byte {
        None => "the end of the file".to_owned(),
        Some(b) if b.is_ascii_graphic() => format!("`{}`", b as char),
        Some(b) => format!("byte 0x{b:02x}"),
    }
}
