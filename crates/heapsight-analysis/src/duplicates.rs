//! Strings that the heap holds more than once.
//!
//! Flat and concatenated strings of the same text are one group; a concatenated string that V8 has flattened (one part
//! is empty) is left out, because its text is counted where it went. Strings that the snapshot cuts off are only put
//! together if V8's length and hash agree as well, in files that record them.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `createDuplicatedStringsFilter`, `getDuplicateStrings`. Time O(strings + bytes of
//! their text), memory O(strings).

use std::hash::{BuildHasher, Hasher};

use heapsight_snapshot::NodeKind;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{Heap, bits::BitSet};

/// Equal strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateGroup {
    /// The text, as far as the snapshot has it.
    pub value: String,
    /// How many strings.
    pub count: u64,
    /// Sum of their shallow sizes.
    pub self_size: u64,
    /// Sum of their retained sizes.
    pub retained_size: u64,
    /// Whether the snapshot says that the text is cut off.
    pub truncated: bool,
    /// The first of them.
    pub example: u32,
}

#[derive(Default)]
struct Groups {
    /// Group of each string node that takes part, with the node.
    members: Vec<(u32, u32)>,
    sizes: Vec<u32>,
    truncated: Vec<bool>,
}

fn groups(heap: &Heap) -> Groups {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    let literals = &heap.known.literals;
    let mut groups = Groups::default();
    // Groups by hash of the text, and for texts of the same hash by the text itself, read again from one of its members.
    let mut by_text: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
    let mut texts: Vec<u32> = Vec::new();
    let mut by_string: Vec<u32> = vec![u32::MAX; snapshot.strings.len()];
    let mut by_truncated: FxHashMap<(u32, Option<i64>, Option<i64>), u32> = FxHashMap::default();
    let text_of = |ord: u32| match snapshot.node_kind(ord) {
        NodeKind::CONS_STRING => names.node(ord).into_owned().into_bytes(),
        _ => snapshot.strings.wtf8(snapshot.nodes.name[ord as usize]).into_owned(),
    };
    for (ord, &kind) in snapshot.nodes.kind.iter().enumerate() {
        let ord = ord as u32;
        let kind = NodeKind(kind);
        if !matches!(kind, NodeKind::STRING | NodeKind::CONS_STRING) || snapshot.nodes.self_size.get(ord) == 0
        {
            continue;
        }
        if kind == NodeKind::CONS_STRING && is_flat(heap, ord) {
            continue;
        }
        let string = snapshot.nodes.name[ord as usize];
        let known = if kind == NodeKind::STRING { by_string.get(string as usize).copied() } else { None };
        let text = match known {
            Some(text) if text != u32::MAX => text,
            _ => {
                let bytes = text_of(ord);
                let mut hasher = FxBuildHasher.build_hasher();
                hasher.write(&bytes);
                let same = by_text.entry(hasher.finish()).or_default();
                let found = same.iter().copied().find(|&t| text_of(texts[t as usize]) == bytes);
                let text = found.unwrap_or_else(|| {
                    texts.push(ord);
                    same.push(texts.len() as u32 - 1);
                    texts.len() as u32 - 1
                });
                if kind == NodeKind::STRING
                    && let Some(slot) = by_string.get_mut(string as usize)
                {
                    *slot = text;
                }
                text
            }
        };
        let truncated = internal_bool(heap, ord, &literals.truncated) == Some(true);
        let key = if truncated {
            (text, internal_int(heap, ord, &literals.length), internal_int(heap, ord, &literals.hash))
        } else {
            // No length is negative: this cannot be the key of a truncated one.
            (text, Some(i64::MIN), None)
        };
        let next = groups.sizes.len() as u32;
        let group = *by_truncated.entry(key).or_insert(next);
        if group == next {
            groups.sizes.push(0);
            groups.truncated.push(truncated);
        }
        groups.sizes[group as usize] += 1;
        groups.members.push((ord, group));
    }
    groups
}

/// The strings that are in a group of two and more.
pub fn duplicate_members(heap: &Heap) -> BitSet {
    let groups = groups(heap);
    let mut set = BitSet::new(heap.snapshot.node_count());
    for &(ord, group) in &groups.members {
        if groups.sizes[group as usize] > 1 {
            set.insert(ord as usize);
        }
    }
    set
}

/// The groups of two and more, by retained size, then in the order of the file.
pub fn duplicates(heap: &Heap) -> Vec<DuplicateGroup> {
    let groups = groups(heap);
    let mut place = vec![usize::MAX; groups.sizes.len()];
    let mut list: Vec<DuplicateGroup> = Vec::new();
    for &(ord, group) in &groups.members {
        let group = group as usize;
        if groups.sizes[group] < 2 {
            continue;
        }
        if place[group] == usize::MAX {
            place[group] = list.len();
            list.push(DuplicateGroup {
                value: heap.names().node(ord).into_owned(),
                count: 0,
                self_size: 0,
                retained_size: 0,
                truncated: groups.truncated[group],
                example: ord,
            });
        }
        let row = &mut list[place[group]];
        row.count += 1;
        row.self_size = row.self_size.saturating_add(heap.snapshot.nodes.self_size.get(ord));
        row.retained_size = row.retained_size.saturating_add(heap.retained.get(ord));
    }
    // DevTools lists groups of cut-off strings after the others where the sizes are equal.
    list.sort_by_key(|g| (std::cmp::Reverse(g.retained_size), g.truncated));
    list
}

fn is_flat(heap: &Heap, ord: u32) -> bool {
    let snapshot = &heap.snapshot;
    let literals = &heap.known.literals;
    snapshot.edges_of(ord).any(|edge| {
        let name = snapshot.edges.name[edge];
        snapshot.edge_kind(edge) == heapsight_snapshot::EdgeKind::INTERNAL
            && (literals.first.is(name) || literals.second.is(name))
            && heap.names().node(snapshot.edges.to[edge]).is_empty()
    })
}

fn internal(heap: &Heap, ord: u32, name: &crate::known::Literal) -> Option<u32> {
    let snapshot = &heap.snapshot;
    let mut edges = snapshot.edges_of(ord);
    let edge = edges.find(|&edge| {
        snapshot.edge_kind(edge) == heapsight_snapshot::EdgeKind::INTERNAL
            && name.is(snapshot.edges.name[edge])
    });
    edge.map(|edge| snapshot.edges.to[edge])
}

/// The text of the value node of a number node with this name: how V8 writes small values into a snapshot.
fn virtual_value<'a>(
    heap: &'a Heap,
    ord: u32,
    edge: &crate::known::Literal,
    kind: &crate::known::Literal,
) -> Option<std::borrow::Cow<'a, str>> {
    let snapshot = &heap.snapshot;
    let number = internal(heap, ord, edge)?;
    if snapshot.node_kind(number) != NodeKind::NUMBER || !kind.is(snapshot.nodes.name[number as usize]) {
        return None;
    }
    let value = internal(heap, number, &heap.known.literals.value)?;
    Some(heap.names().raw(value))
}

fn internal_bool(heap: &Heap, ord: u32, edge: &crate::known::Literal) -> Option<bool> {
    match virtual_value(heap, ord, edge, &heap.known.literals.bool_)?.as_ref() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn internal_int(heap: &Heap, ord: u32, edge: &crate::known::Literal) -> Option<i64> {
    let text = virtual_value(heap, ord, edge, &heap.known.literals.int)?;
    let digits: String = text.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    digits.parse().ok()
}
