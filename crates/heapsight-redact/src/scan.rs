//! What in a snapshot is likely to be a secret.
//!
//! Three places are looked at: every string by its own text; strings that are made of two, whose parts may say nothing; and
//! strings that a property or variable holds whose name is that of a secret (`password`, `apiKey`). Markers of a redaction
//! are never found. Names (of properties, functions, files) are looked at as well, but not for what only looks random.
//!
//! Time O(N + E + text), texts on all threads; memory four bytes a string, and what is found.

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    detect::{self, Hit, Kind},
    uses::{self, Use},
};

/// Strings that a thread takes at a time.
const CHUNK: usize = 1 << 10;

/// As much of a string that is made of two is looked at.
const FLAT: usize = 8 << 10;

/// A string that is likely to be, or to have in it, a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it looks like.
    pub kind: Kind,
    /// Whose it is, in words.
    pub what: &'static str,
    /// Its beginning and its length, never all of it.
    pub shown: String,
    /// The name of the property or variable that holds it, where that is what it is known by.
    pub beside: Option<String>,
    /// The first node that has it, or holds it by that name; `None` for a name that no node has.
    pub node: Option<u32>,
    /// How many nodes have it.
    pub count: u64,
    /// Whether it is a name and no value.
    pub in_name: bool,
}

/// What names one secret: its string, where in it (of one that is made of two, its node), and what it looks like.
type Secret = (u32, usize, Kind);

/// Finds what is likely to be a secret, the most telling first.
pub fn scan(snapshot: &Snapshot) -> Vec<Finding> {
    let used = uses::uses(snapshot);
    let mut found: FxHashMap<Secret, Finding> = FxHashMap::default();
    let by_text: Vec<(u32, Hit, String)> = (0..used.len())
        .into_par_iter()
        .step_by(CHUNK)
        .flat_map_iter(|first| {
            let used = &used;
            (first..(first + CHUNK).min(used.len())).flat_map(move |string| of_string(snapshot, used, string))
        })
        .collect();
    for (string, hit, shown) in by_text {
        let in_name = !used[string as usize].is_payload();
        let finding =
            Finding { kind: hit.kind, what: hit.what, shown, beside: None, node: None, count: 0, in_name };
        found.entry((string, hit.start, hit.kind)).or_insert(finding);
    }
    let told: FxHashSet<u32> = found.keys().map(|&(string, ..)| string).collect();
    for (string, finding) in beside_names(snapshot) {
        // All that are made of two have one name.
        let made = finding.node.filter(|&node| snapshot.node_kind(node) == NodeKind::CONS_STRING);
        if made.is_some() || !told.contains(&string) {
            found.entry((string, made.unwrap_or(0) as usize, Kind::Password)).or_insert(finding);
        }
    }
    count(snapshot, &mut found);
    let mut list: Vec<Finding> = found.into_values().collect();
    list.extend(joined(snapshot));
    list.sort_by(|a, b| {
        let key = |f: &Finding| (f.in_name, f.kind, f.node);
        key(a).cmp(&key(b)).then_with(|| a.shown.cmp(&b.shown))
    });
    list
}

fn of_string(snapshot: &Snapshot, used: &[Use], string: usize) -> Vec<(u32, Hit, String)> {
    let use_of = used[string];
    if !use_of.is_payload() && !use_of.is_name() {
        return Vec::new();
    }
    let text = snapshot.strings.get(string as u32);
    let only_name = !use_of.is_payload();
    detect::secrets(&text)
        .into_iter()
        .filter(|hit| !(only_name && hit.kind == Kind::Random))
        .map(|hit| {
            (string as u32, hit, detect::mask(hit.kind, text.get(hit.start..hit.end).unwrap_or_default()))
        })
        .collect()
}

/// Strings that are held under the name of a secret.
fn beside_names(snapshot: &Snapshot) -> Vec<(u32, Finding)> {
    let strings = &snapshot.strings;
    let secret: Vec<bool> = (0..strings.len() as u32)
        .into_par_iter()
        .map(|string| {
            let raw = strings.raw(string);
            (3..=64).contains(&raw.len()) && raw.is_ascii() && detect::names_a_secret(&strings.get(string))
        })
        .collect();
    let mut list = Vec::new();
    for edge in 0..snapshot.edge_count() {
        let kind = snapshot.edge_kind(edge);
        if kind != EdgeKind::PROPERTY && kind != EdgeKind::CONTEXT {
            continue;
        }
        let name = snapshot.edges.name[edge];
        let node = snapshot.edges.to[edge];
        if !secret.get(name as usize).is_some_and(|&is| is) || !snapshot.node_kind(node).is_string() {
            continue;
        }
        let text = flat(snapshot, node);
        if detect::can_be_a_secret(&text) {
            let finding = Finding {
                kind: Kind::Password,
                what: "value of a secret's name",
                shown: detect::mask(Kind::Password, &text),
                beside: Some(strings.get(name).into_owned()),
                node: Some(node),
                count: 1,
                in_name: false,
            };
            list.push((snapshot.nodes.name[node as usize], finding));
        }
    }
    list
}

/// Finds the nodes of what was found by text.
fn count(snapshot: &Snapshot, found: &mut FxHashMap<Secret, Finding>) {
    let mut nodes: FxHashMap<u32, (Option<u32>, u64)> = FxHashMap::default();
    for &(string, ..) in found.keys() {
        nodes.insert(string, (None, 0));
    }
    let mut wanted = vec![false; snapshot.strings.len()];
    for &string in nodes.keys() {
        if let Some(slot) = wanted.get_mut(string as usize) {
            *slot = true;
        }
    }
    for (node, &name) in snapshot.nodes.name.iter().enumerate() {
        if wanted.get(name as usize).is_some_and(|&is| is)
            && let Some((first, count)) = nodes.get_mut(&name)
        {
            first.get_or_insert(node as u32);
            *count += 1;
        }
    }
    // A name that no node has is that of an edge: its holder is shown.
    let owners = edge_owners(snapshot, &nodes);
    for (&(string, ..), finding) in found.iter_mut() {
        let Some(&(first, count)) = nodes.get(&string) else { continue };
        if finding.beside.is_none() {
            finding.node = first.or_else(|| owners.get(&string).copied());
            finding.count = count.max(1);
        }
    }
}

fn edge_owners(snapshot: &Snapshot, nodes: &FxHashMap<u32, (Option<u32>, u64)>) -> FxHashMap<u32, u32> {
    let mut owners = FxHashMap::default();
    if nodes.values().all(|(first, _)| first.is_some()) {
        return owners;
    }
    for node in 0..snapshot.node_count() as u32 {
        for edge in snapshot.edges_of(node) {
            if let Some(name) = snapshot.edge_string(edge)
                && nodes.get(&name).is_some_and(|(first, _)| first.is_none())
            {
                owners.entry(name).or_insert(node);
            }
        }
    }
    owners
}

/// Secrets of strings that are made of two, which no part of them shows by itself: because it has not all of the secret,
/// or not what the secret is known by.
fn joined(snapshot: &Snapshot) -> Vec<Finding> {
    let is_cons = |node: u32| snapshot.node_kind(node) == NodeKind::CONS_STRING;
    let mut inner = vec![false; snapshot.node_count()];
    let all = || (0..snapshot.node_count() as u32).filter(|&node| is_cons(node));
    for node in all() {
        for edge in snapshot.edges_of(node) {
            inner[snapshot.edges.to[edge] as usize] = true;
        }
    }
    let outer: Vec<u32> = all().filter(|&node| !inner[node as usize]).collect();
    let mut findings: Vec<Finding> = outer
        .into_par_iter()
        .flat_map_iter(|node| {
            let (text, borders) = leaves(snapshot, node);
            let hits = detect::secrets(&text);
            let shown_by_part = |hit: &Hit| {
                // The part that the secret begins in.
                let next = borders.partition_point(|&border| border <= hit.start);
                let start = next.checked_sub(1).map_or(0, |at| borders[at]);
                let end = borders.get(next).copied().unwrap_or(text.len());
                let part = text.get(start..end).unwrap_or_default();
                hit.end <= end
                    && detect::secrets(part)
                        .iter()
                        .any(|one| (start + one.start, start + one.end) == (hit.start, hit.end))
            };
            hits.into_iter()
                .filter(|hit| !shown_by_part(hit))
                .map(|hit| Finding {
                    kind: hit.kind,
                    what: hit.what,
                    shown: detect::mask(hit.kind, text.get(hit.start..hit.end).unwrap_or_default()),
                    beside: None,
                    node: Some(node),
                    count: 1,
                    in_name: false,
                })
                .collect::<Vec<_>>()
        })
        .collect();
    findings.dedup_by(|a, b| (a.kind, &a.shown) == (b.kind, &b.shown));
    findings
}

/// The text of a string node, put together where it is made of two, as far as it is looked at.
fn flat(snapshot: &Snapshot, node: u32) -> String {
    leaves(snapshot, node).0
}

/// The text of a string node, and where its parts meet.
fn leaves(snapshot: &Snapshot, node: u32) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut borders = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if text.len() >= FLAT || borders.len() + open.len() >= FLAT {
            break;
        }
        let kind = snapshot.node_kind(node);
        let name = snapshot.strings.get(snapshot.nodes.name[node as usize]);
        if kind == NodeKind::CONS_STRING && !uses::is_text(kind, name.as_bytes()) {
            let part =
                |name| snapshot.internal_edge(node, name).filter(|&to| snapshot.node_kind(to).is_string());
            open.extend(["second", "first"].into_iter().filter_map(part));
        } else if uses::is_text(kind, name.as_bytes()) {
            text.push_str(&name);
            borders.push(text.len());
        }
    }
    (text, borders)
}

#[cfg(test)]
mod tests {
    use heapsight_testkit::builder::SnapshotBuilder;

    use super::*;

    /// What is found in a heap whose one text is put together from parts.
    fn found(parts: &[&str]) -> Vec<(&'static str, String)> {
        let mut graph = SnapshotBuilder::new();
        let config = graph.global("config", 24);
        let mut text = graph.node("string", parts[0], 24);
        for part in &parts[1..] {
            let next = graph.node("string", part, 24);
            let both = graph.node("concatenated string", "(concatenated string)", 32);
            graph.edge(both, "internal", "first", text);
            graph.edge(both, "internal", "second", next);
            text = both;
        }
        graph.edge(config, "property", "database", text);
        scan(&graph.snapshot()).into_iter().map(|finding| (finding.what, finding.shown)).collect()
    }

    #[test]
    fn a_secret_is_found_however_its_text_is_put_together() {
        let whole = found(&["postgres://shop:hunter2@db.internal/shop"]);
        assert_eq!(whole.len(), 1, "{whole:?}");
        let ways: [&[&str]; 4] = [
            &["postgres://shop:", "hunter2", "@db.internal/shop"],
            &["postgres://shop:hun", "ter2@db.internal/shop"],
            &["postgres:", "//shop:hunter2@db.internal/shop"],
            // One part shows it by itself: it is told once.
            &["url ", "postgres://shop:hunter2@db.internal/shop", " end"],
        ];
        for parts in ways {
            // A part alone may look like something else: `ter2@db.internal` is an address.
            let passwords = found(parts).into_iter().filter(|(what, _)| *what == whole[0].0);
            assert_eq!(passwords.collect::<Vec<_>>(), whole, "{parts:?}");
        }
    }
}
