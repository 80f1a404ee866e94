//! Names as DevTools shows them.
//!
//! Most nodes show the name that the file gives. A concatenated string shows its text, put together from its parts; a
//! plain object shows its property names. Lengths are counted in UTF-16 units, as JavaScript counts them.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `JSHeapSnapshotNode.name`, `consStringName`, `#plainObjectName`,
//! `formatPropertyName`, `JSHeapSnapshotEdge.name`.

use std::borrow::Cow;

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot};

use crate::{detached::Detachedness, distance::leading_integer, known::Known};

/// A concatenated string is shown until it has this many UTF-16 units.
const CONS_LENGTH: usize = 1024;

/// Parts of a concatenated string that are looked at. DevTools has no such limit and needs minutes for chains of a
/// million empty parts.
const CONS_STEPS: usize = 1 << 16;

/// A plain object's name stops growing here.
const PLAIN_OBJECT_LENGTH: usize = 100;

/// Length in UTF-16 units.
pub fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// What the names are made from.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The nodes and strings.
    pub snapshot: &'a Snapshot,
    /// The literals.
    pub known: &'a Known,
    /// Which nodes have the prefix.
    pub detached: &'a Detachedness,
}

impl<'a> Names<'a> {
    /// The name of a node as DevTools shows it.
    pub fn node(self, ord: u32) -> Cow<'a, str> {
        match self.snapshot.node_kind(ord) {
            NodeKind::CONS_STRING => Cow::Owned(self.cons_string(ord)),
            NodeKind::OBJECT if self.is_plain_object(ord) => Cow::Owned(self.plain_object(ord)),
            _ => self.raw(ord),
        }
    }

    /// The name in the file, with the prefix of detached native nodes.
    pub fn raw(self, ord: u32) -> Cow<'a, str> {
        let name = self.snapshot.strings.get(self.snapshot.nodes.name[ord as usize]);
        if self.detached.is_prefixed(self.snapshot, ord) {
            return Cow::Owned(format!("Detached {name}"));
        }
        name
    }

    /// Whether a node is an object made by `{}`.
    #[inline]
    pub fn is_plain_object(self, ord: u32) -> bool {
        self.snapshot.node_kind(ord) == NodeKind::OBJECT
            && self.known.literals.object.is(self.snapshot.nodes.name[ord as usize])
    }

    /// The name of an edge as DevTools shows it.
    pub fn edge(self, edge: usize) -> Cow<'a, str> {
        let name = self.snapshot.edges.name[edge];
        match self.snapshot.edge_kind(edge) {
            kind if kind.has_numeric_name() => Cow::Owned(name.to_string()),
            EdgeKind::SHORTCUT => {
                let text = self.snapshot.strings.get(name);
                match leading_integer(&text) {
                    Some(number) => Cow::Owned(number.to_string()),
                    None => text,
                }
            }
            _ => self.snapshot.strings.get(name),
        }
    }

    fn cons_string(self, ord: u32) -> String {
        let mut text = String::new();
        self.cons_string_into(ord, &mut text, &mut Vec::new());
        text
    }

    /// Appends the text of a concatenated string; `stack` is scratch memory.
    pub(crate) fn cons_string_into(self, ord: u32, text: &mut String, stack: &mut Vec<u32>) {
        let snapshot = self.snapshot;
        let mut length = 0;
        stack.clear();
        stack.push(ord);
        let mut steps = 0;
        while let Some(ord) = stack.pop() {
            steps += 1;
            if length >= CONS_LENGTH || steps > CONS_STEPS {
                break;
            }
            if snapshot.node_kind(ord) != NodeKind::CONS_STRING {
                let part = snapshot.strings.get(snapshot.nodes.name[ord as usize]);
                length += utf16_len(&part);
                text.push_str(&part);
                continue;
            }
            let (first, second) = self.cons_parts(ord);
            stack.extend(second);
            stack.extend(first);
        }
    }

    /// The two parts of a concatenated string.
    pub fn cons_parts(self, ord: u32) -> (Option<u32>, Option<u32>) {
        let (mut first, mut second) = (None, None);
        for edge in self.snapshot.edges_of(ord) {
            if self.snapshot.edge_kind(edge) != EdgeKind::INTERNAL {
                continue;
            }
            let name = self.snapshot.edges.name[edge];
            let target = self.snapshot.edges.to[edge];
            if self.known.literals.first.is(name) {
                first = Some(target);
            } else if self.known.literals.second.is(name) {
                second = Some(target);
            }
            if first.is_some() && second.is_some() {
                break;
            }
        }
        (first, second)
    }

    /// `{first, second, …, last but one, last}`: names from both ends in turn.
    fn plain_object(self, ord: u32) -> String {
        let mut range = self.snapshot.edges_of(ord);
        let mut start = String::from("{");
        let mut end = String::from("}");
        let (mut start_length, mut end_length) = (1, 1);
        let mut from_end = false;
        while !range.is_empty() {
            let edge = if from_end { range.end - 1 } else { range.start };
            let is_property = self.snapshot.edge_kind(edge) == EdgeKind::PROPERTY
                && !self.known.literals.proto.is(self.snapshot.edges.name[edge]);
            if is_property {
                let name = self.edge(edge);
                let name = format_property_name(&name);
                let length = utf16_len(&name);
                if start_length > 1 && start_length + end_length + length > PLAIN_OBJECT_LENGTH {
                    break;
                }
                if from_end {
                    if end_length > 1 {
                        end.insert_str(0, ", ");
                        end_length += 2;
                    }
                    end.insert_str(0, &name);
                    end_length += length;
                } else {
                    if start_length > 1 {
                        start.push_str(", ");
                        start_length += 2;
                    }
                    start.push_str(&name);
                    start_length += length;
                }
            }
            if from_end {
                range.end -= 1;
            } else {
                range.start += 1;
            }
            if is_property {
                from_end = !from_end;
            }
        }
        if !range.is_empty() {
            start.push_str(", …");
        }
        if end_length > 1 {
            start.push_str(", ");
        }
        start.push_str(&end);
        start
    }
}

/// A property name, in quotes where it would be hard to read without.
pub fn format_property_name(name: &str) -> Cow<'_, str> {
    if !name.contains([',', '\'', '"', '{', '}']) {
        return Cow::Borrowed(name);
    }
    // As JavaScript's JSON.stringify writes it.
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c if (c as u32) < 0x20 => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}
