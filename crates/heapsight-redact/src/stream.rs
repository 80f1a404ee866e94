//! A file without the texts of its values, made without holding it.
//!
//! What [`redact()`](crate::redact()) does with a snapshot in memory, in passes over a file that can be read again:
//!
//! 1. nodes and strings: what each node is and what it is called, which strings mean something to us;
//! 2. edges, and all else that refers to names: what each string is used for, and which names are keys of dictionaries;
//! 3. where a dictionary's table came before the dictionary: those tables once more;
//! 4. the file is written anew as it is read ([`rewrite()`]): nodes with other names, strings with other texts, and all other
//!    numbers as they stand.
//!
//! The result is that of the other way, object by object and name by name: tests compare them. Where the name of a property becomes
//! a marker that is also that of a value, the table has it twice: the nodes are written before that is known.
//!
//! Time O(N + E + text), each row is parsed once (nodes twice), the rest is copying. Memory: nine bytes a node, two a
//! string and four more while the file is written, and what the names of dictionaries and WeakMaps take; about an eighth of
//! the text.

use std::io::{self, Read, Write};

use heapsight_snapshot::{
    EdgeKind, EdgeWindow, NodeKind, NodeWindow, Out, ReadError, ReadOptions, Rewrite, RewriteError, Section,
    Skim, Skimmed, StringTable, Warnings, rewrite, skim,
};
use rayon::prelude::*;
use regex::Regex;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    marker::Key,
    names::{Named, is_plain_raw, is_weak_map},
    redact::{CHUNK, RedactError, Replaced, Texts, part},
    uses::{self, MANY, Use},
};

/// What is known of a string.
#[derive(Clone, Copy, Default)]
struct Mark(u16);

impl Mark {
    const PAYLOAD: u16 = Use::PAYLOAD as u16;
    const NAME: u16 = Use::NAME as u16;
    const PROPERTY: u16 = Use::PROPERTY as u16;
    const KEY: u16 = Use::KEY as u16;
    /// The name of a node of this kind; when the strings are known, one whose text is that of a value.
    const CONS: u16 = 16;
    const SLICED: u16 = 32;
    const NUMBER: u16 = 64;
    /// Code or the shape of an object refers to it.
    const KNOWN: u16 = 128;
    /// What calls have seen is called so.
    const FEEDBACK: u16 = 256;
    /// Stays as it is, whatever it is used for.
    const STAYS: u16 = 512;

    fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// The bit of a kind of nodes whose names are texts of values, or may be.
    fn of(kind: NodeKind) -> u16 {
        match kind {
            NodeKind::CONS_STRING => Self::CONS,
            NodeKind::SLICED_STRING => Self::SLICED,
            NodeKind::NUMBER | NodeKind::BIGINT => Self::NUMBER,
            kind if uses::is_payload(kind, || false) => Self::PAYLOAD,
            _ => Self::NAME,
        }
    }

    fn is_payload(self) -> bool {
        self.has(Self::PAYLOAD | Self::CONS | Self::SLICED | Self::NUMBER)
    }

    fn used(self) -> Use {
        let bits = self.0 as u8 & (Use::NAME | Use::PROPERTY | Use::KEY);
        Use::of(if self.is_payload() { bits | Use::PAYLOAD } else { bits })
    }
}

/// An object that may be a dictionary.
struct Candidate {
    /// How many names its properties have.
    names: usize,
    /// The names themselves until its table was seen; then those that are in the table as well.
    found: Vec<u32>,
    is_done: bool,
}

/// What is learnt of a file before it is written anew.
pub struct Survey {
    counted: Skimmed,
    warnings: Warnings,
    kinds: Vec<u8>,
    names: Vec<u32>,
    edge_counts: Vec<u32>,
    marks: Vec<Mark>,
    properties: Option<u32>,
    object: Option<u32>,
    system: Option<u32>,
    named: Named,
    candidates: Vec<Candidate>,
    /// The candidates whose table a node is: one, in a file of V8's.
    tables: FxHashMap<u32, Vec<u32>>,
    /// Candidates whose table came before them.
    late: Vec<(u32, u32)>,
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").field("counted", &self.counted).finish_non_exhaustive()
    }
}

/// The first pass.
struct First<'k> {
    survey: Survey,
    keep: Option<&'k Regex>,
}

impl Skim for First<'_> {
    fn wants(&self, section: Section) -> bool {
        matches!(section, Section::Nodes | Section::Strings)
    }

    fn nodes(&mut self, nodes: NodeWindow<'_>) {
        let survey = &mut self.survey;
        survey.kinds.extend_from_slice(nodes.kind);
        survey.names.extend_from_slice(nodes.name);
        survey.edge_counts.extend_from_slice(nodes.edge_count);
        if let Some(&max) = nodes.name.iter().max()
            && max as usize >= survey.marks.len()
            // One that no file can have enough strings for is found out later.
            && (max as usize) < survey.kinds.len().saturating_mul(64) + (1 << 20)
        {
            survey.marks.resize(max as usize + 1, Mark::default());
        }
        for (&kind, &name) in nodes.kind.iter().zip(nodes.name) {
            if let Some(mark) = survey.marks.get_mut(name as usize) {
                mark.0 |= Mark::of(NodeKind(kind));
            }
        }
    }

    fn strings(&mut self, first: u32, strings: &StringTable) {
        let survey = &mut self.survey;
        let end = first as usize + strings.len();
        if survey.marks.len() < end {
            survey.marks.resize(end, Mark::default());
        }
        let keep = self.keep;
        let looked: Vec<(Mark, bool)> = survey.marks[first as usize..end]
            .par_iter()
            .with_min_len(CHUNK)
            .enumerate()
            .map(|(at, &mark)| looked_at(mark, strings, at as u32, keep))
            .collect();
        for (at, (mark, is_of_weak_map)) in looked.into_iter().enumerate() {
            let index = first + at as u32;
            survey.marks[index as usize] = mark;
            let raw = strings.raw(at as u32);
            for (literal, found) in [
                (&b"properties"[..], &mut survey.properties),
                (b"Object", &mut survey.object),
                (b"system", &mut survey.system),
            ] {
                if raw == literal {
                    found.get_or_insert(index);
                }
            }
            if is_of_weak_map {
                survey.named.wants(&strings.get(at as u32));
            }
        }
    }
}

/// A string's mark when its text is known, and whether it is the name of an edge of a WeakMap entry.
fn looked_at(mut mark: Mark, strings: &StringTable, at: u32, keep: Option<&Regex>) -> (Mark, bool) {
    let raw = strings.raw(at);
    for (bit, kind) in [
        (Mark::CONS, NodeKind::CONS_STRING),
        (Mark::SLICED, NodeKind::SLICED_STRING),
        (Mark::NUMBER, NodeKind::NUMBER),
    ] {
        if mark.has(bit) && !uses::is_text(kind, &strings.wtf8(at)) {
            mark.0 = mark.0 & !bit | Mark::NAME;
        }
    }
    if raw.windows(7).any(|part| part == b"eedback") {
        mark.0 |= Mark::FEEDBACK;
    }
    if is_plain_raw(raw) || keep.is_some_and(|keep| keep.is_match(&strings.get(at))) {
        mark.0 |= Mark::STAYS;
    }
    (mark, is_weak_map(raw))
}

/// What the edges of the node in hand are looked at for.
#[derive(Default)]
struct InHand {
    node: usize,
    /// Edges of it that have not come.
    left: u32,
    /// It may be a dictionary: names of its properties, and its table.
    object: Option<(Vec<u32>, Option<u32>)>,
    /// It is the table of a candidate: the keys in it.
    table: Option<FxHashSet<u32>>,
    /// What it refers to is known to code.
    is_code: bool,
}

/// The second pass, and the third.
struct Second<'s> {
    survey: &'s mut Survey,
    in_hand: InHand,
    begun: bool,
    /// Only tables are looked for.
    again: bool,
}

impl Second<'_> {
    fn begin(&mut self, node: usize) {
        let survey = &*self.survey;
        let (kind, name) = (NodeKind(survey.kinds[node]), survey.names[node]);
        let count = survey.edge_counts[node];
        let table = survey.tables.contains_key(&(node as u32)).then(FxHashSet::default);
        self.in_hand = InHand { node, left: count, table, ..InHand::default() };
        if self.again {
            return;
        }
        let is_object = kind == NodeKind::OBJECT && Some(name) == survey.object;
        if is_object && count as usize >= MANY {
            self.in_hand.object = Some((Vec::new(), None));
        }
        let remembers = survey.marks.get(name as usize).is_some_and(|mark| mark.has(Mark::FEEDBACK));
        self.in_hand.is_code = uses::is_code(kind, Some(name) == survey.system) && !remembers;
    }

    fn part(&mut self, edges: EdgeWindow<'_>) {
        let survey = &mut *self.survey;
        let InHand { object, table, is_code, .. } = &mut self.in_hand;
        if object.is_none() && table.is_none() && !*is_code {
            return;
        }
        for ((&kind, &name), &to) in edges.kind.iter().zip(edges.name).zip(edges.to) {
            let kind = EdgeKind(kind);
            if let Some((names, store)) = object {
                if kind == EdgeKind::PROPERTY {
                    names.push(name);
                } else if kind == EdgeKind::INTERNAL && Some(name) == survey.properties {
                    store.get_or_insert(to);
                }
            }
            let to = to as usize;
            let (Some(&kind), Some(&text)) = (survey.kinds.get(to), survey.names.get(to)) else { continue };
            if NodeKind(kind) != NodeKind::STRING {
                continue;
            }
            if let Some(keys) = table {
                keys.insert(text);
            }
            if *is_code && let Some(mark) = survey.marks.get_mut(text as usize) {
                mark.0 |= Mark::KNOWN;
            }
        }
    }

    fn end(&mut self) {
        let InHand { node, object, table, .. } = std::mem::take(&mut self.in_hand);
        let survey = &mut *self.survey;
        if let Some((mut names, Some(store))) = object {
            names.sort_unstable();
            names.dedup();
            let candidate = survey.candidates.len() as u32;
            survey.candidates.push(Candidate { names: names.len(), found: names, is_done: false });
            if store as usize > node {
                survey.tables.entry(store).or_default().push(candidate);
            } else {
                survey.late.push((store, candidate));
            }
        }
        let Some(keys) = table else { return };
        for of in survey.tables.remove(&(node as u32)).unwrap_or_default() {
            let Some(candidate) = survey.candidates.get_mut(of as usize) else { continue };
            candidate.is_done = true;
            if keys.len() < MANY {
                candidate.found = Vec::new();
            } else {
                candidate.found.retain(|name| keys.contains(name));
                candidate.found.shrink_to_fit();
            }
        }
    }
}

impl Skim for Second<'_> {
    fn wants(&self, section: Section) -> bool {
        match section {
            Section::Nodes | Section::Strings => !self.again && self.survey.named.any(),
            Section::Edges => true,
            Section::TraceFunctions | Section::Scopes | Section::ScopeVariables | Section::ScopeUses => {
                !self.again
            }
            _ => false,
        }
    }

    fn nodes(&mut self, nodes: NodeWindow<'_>) {
        for ((&kind, &name), &id) in nodes.kind.iter().zip(nodes.name).zip(nodes.id) {
            self.survey.named.meets(id, NodeKind(kind), name);
        }
    }

    fn edges(&mut self, edges: EdgeWindow<'_>) {
        if !self.again {
            for (&kind, &name) in edges.kind.iter().zip(edges.name) {
                let kind = EdgeKind(kind);
                if !kind.has_numeric_name()
                    && let Some(mark) = self.survey.marks.get_mut(name as usize)
                {
                    mark.0 |= Mark::NAME | if kind == EdgeKind::PROPERTY { Mark::PROPERTY } else { 0 };
                }
            }
        }
        let len = edges.kind.len();
        let mut at = 0;
        while at < len {
            while self.in_hand.left == 0 {
                if self.begun {
                    self.in_hand.node += 1;
                }
                self.begun = true;
                let node = self.in_hand.node;
                // Edges that no node owns.
                if node >= self.survey.kinds.len() {
                    self.in_hand.node = node - 1;
                    return;
                }
                self.begin(node);
            }
            let take = (self.in_hand.left as usize).min(len - at);
            let span = at..at + take;
            self.part(EdgeWindow {
                kind: &edges.kind[span.clone()],
                name: &edges.name[span.clone()],
                to: &edges.to[span],
            });
            at += take;
            self.in_hand.left -= take as u32;
            if self.in_hand.left == 0 {
                let node = self.in_hand.node;
                self.end();
                self.in_hand.node = node;
            }
        }
    }

    fn strings(&mut self, first: u32, strings: &StringTable) {
        self.survey.named.reads(first, strings);
    }
}

impl Survey {
    /// The first pass over a file.
    ///
    /// # Errors
    /// As [`read`](heapsight_snapshot::read()).
    pub fn first<'r>(
        source: impl Read + Send + 'r,
        options: ReadOptions<'r>,
        keep: Option<&Regex>,
    ) -> Result<Self, ReadError> {
        let survey = Self {
            counted: Skimmed::default(),
            warnings: Warnings::default(),
            kinds: Vec::new(),
            names: Vec::new(),
            edge_counts: Vec::new(),
            marks: Vec::new(),
            properties: None,
            object: None,
            system: None,
            named: Named::default(),
            candidates: Vec::new(),
            tables: FxHashMap::default(),
            late: Vec::new(),
        };
        let mut first = First { survey, keep };
        let mut counted = skim(source, options, &Skimmed::default(), &mut first)?;
        let mut survey = first.survey;
        survey.warnings = std::mem::take(&mut counted.warnings);
        survey.marks.truncate(counted.strings);
        survey.counted = counted;
        Ok(survey)
    }

    /// The second pass.
    ///
    /// # Errors
    /// As [`read`](heapsight_snapshot::read()).
    pub fn second<'r>(
        &mut self,
        source: impl Read + Send + 'r,
        options: ReadOptions<'r>,
    ) -> Result<(), ReadError> {
        let strings = self.counted.strings;
        let before = std::mem::take(&mut self.counted);
        let mut second = Second { survey: self, in_hand: InHand::default(), begun: false, again: false };
        let mut counted = skim(source, options, &before, &mut second)?;
        counted.strings_last = before.strings_last;
        for name in std::mem::take(&mut counted.names) {
            if let Some(mark) = self.marks.get_mut(name as usize) {
                mark.0 |= Mark::NAME;
            }
        }
        self.warnings.join(std::mem::take(&mut counted.warnings));
        self.counted = Skimmed { strings, ..counted };
        // Nodes without an edge have not been looked at; they are no tables.
        self.tables.clear();
        for (store, candidate) in std::mem::take(&mut self.late) {
            self.tables.entry(store).or_default().push(candidate);
        }
        Ok(())
    }

    /// Whether the file is to be passed over once more before it is written.
    pub fn needs_third(&self) -> bool {
        !self.tables.is_empty()
    }

    /// The third pass.
    ///
    /// # Errors
    /// As [`read`](heapsight_snapshot::read()).
    pub fn third<'r>(
        &mut self,
        source: impl Read + Send + 'r,
        options: ReadOptions<'r>,
    ) -> Result<(), ReadError> {
        let before = std::mem::take(&mut self.counted);
        let mut third = Second { survey: self, in_hand: InHand::default(), begun: false, again: true };
        skim(source, options, &before, &mut third)?;
        self.counted = before;
        Ok(())
    }

    /// Whether the file is as V8 writes it; else it has to be held to be redacted: sections in another order, names that no
    /// string has, a table with something else in it than numbers.
    pub fn is_usual(&self) -> bool {
        let strings = self.counted.strings;
        let known = |max: Option<u32>| max.is_none_or(|max| (max as usize) < strings);
        !self.counted.odd
            && self.counted.strings_last
            && known(self.counted.max_node_name)
            && known(self.counted.max_edge_name)
    }

    /// What is wrong with the file and leaves the rest sound.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Nodes and edges.
    pub fn counts(&self) -> (u64, u64) {
        (self.counted.nodes as u64, self.counted.edges as u64)
    }

    /// Bytes of the text.
    pub fn text_bytes(&self) -> u64 {
        self.counted.text_bytes
    }

    /// Writes the file without the texts of values.
    ///
    /// # Errors
    /// Those of the two sides; the file is not the one that was surveyed.
    pub fn write<'r>(
        mut self,
        source: impl Read + Send + 'r,
        options: ReadOptions<'r>,
        out: &mut dyn Write,
        (key, keep): (&Key, Option<&Regex>),
    ) -> Result<Replaced, StreamError> {
        for candidate in std::mem::take(&mut self.candidates) {
            let is_known =
                |name: &u32| self.marks.get(*name as usize).is_some_and(|mark| mark.has(Mark::KNOWN));
            let unknown: Vec<u32> = candidate.found.into_iter().filter(|name| !is_known(name)).collect();
            if candidate.is_done && unknown.len() * 2 >= candidate.names {
                for name in unknown {
                    if let Some(mark) = self.marks.get_mut(name as usize) {
                        mark.0 |= Mark::KEY;
                    }
                }
            }
        }
        (self.kinds, self.names, self.edge_counts) = (Vec::new(), Vec::new(), Vec::new());
        let count = self.marks.len();
        let is_apart = |mark: &Mark| mark.is_payload() && mark.has(Mark::NAME) && !mark.has(Mark::STAYS);
        let mut moved = Vec::new();
        let apart = self.marks.iter().filter(|mark| is_apart(mark)).count();
        if count + apart >= u32::MAX as usize {
            return Err(StreamError::Redact(RedactError::TooManyStrings));
        }
        if apart > 0 {
            let mut next = count as u32;
            moved.extend(self.marks.iter().map(|mark| {
                if !is_apart(mark) {
                    return u32::MAX;
                }
                next += 1;
                next - 1
            }));
        }
        let used: Vec<Use> = self.marks.iter().map(|mark| mark.used()).collect();
        let mut redaction = Redaction {
            marks: &self.marks,
            moved,
            used,
            named: &self.named,
            key,
            keep,
            apart: Vec::new(),
            replaced: Replaced::default(),
        };
        let (nodes, strings) = rewrite(source, options, out, &mut redaction)?;
        if (nodes, strings) != (self.counted.nodes, count) || redaction.apart.len() != apart {
            return Err(StreamError::Changed);
        }
        Ok(redaction.replaced)
    }
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// What was read.
    #[error("{0}")]
    Read(ReadError),
    /// What was written to.
    #[error("{0}")]
    Write(io::Error),
    /// What it should say.
    #[error("{0}")]
    Redact(RedactError),
    /// Somebody else writes to it.
    #[error("the file changed while it was read")]
    Changed,
}

impl From<RewriteError> for StreamError {
    fn from(error: RewriteError) -> Self {
        match error {
            RewriteError::Read(error) => Self::Read(error),
            RewriteError::Write(error) => Self::Write(error),
        }
    }
}

struct Redaction<'s> {
    marks: &'s [Mark],
    /// Where the marker of a text is whose string keeps its place for a name; `u32::MAX`: at the same place. Empty if there is
    /// no such text.
    moved: Vec<u32>,
    used: Vec<Use>,
    named: &'s Named,
    key: &'s Key,
    keep: Option<&'s Regex>,
    apart: Vec<Vec<u8>>,
    replaced: Replaced,
}

impl Rewrite for Redaction<'_> {
    fn node_name(&self, kind: NodeKind, name: u32) -> u32 {
        let is_payload = || self.marks.get(name as usize).is_some_and(|mark| mark.has(Mark::of(kind)));
        match self.moved.get(name as usize) {
            Some(&new) if new != u32::MAX && Mark::of(kind) != Mark::NAME && is_payload() => new,
            _ => name,
        }
    }

    fn strings(&mut self, first: u32, strings: &StringTable, out: &mut Out<'_>) {
        let texts = Texts { strings, first, used: &self.used, named: self.named };
        let (key, keep) = (self.key, self.keep);
        let chunks = (0..strings.len()).into_par_iter().step_by(CHUNK);
        let parts: Vec<_> = chunks.map(|at| part(&texts, at, key, keep)).collect();
        for part in parts {
            part.items().for_each(|raw| out.push(raw));
            self.replaced = self.replaced.and(part.replaced);
            self.apart.extend(part.apart.into_iter().map(|apart| apart.marker));
        }
    }

    fn more(&mut self, out: &mut Out<'_>) {
        self.apart.iter().for_each(|marker| out.push(marker));
    }
}
