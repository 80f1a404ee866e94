//! Search by displayed name, as in DevTools: what has no size of its own is left out.
//!
//! Each string is matched once, and each list of property names that plain objects have; so an object costs two or three
//! numbers that are read in order.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `search`. Time O(strings + nodes + properties of plain objects), on all cores.

use heapsight_snapshot::{EdgeKind, NodeKind};
use rayon::prelude::*;
use regex::Regex;
use rustc_hash::FxHashMap;

use crate::{Heap, names::Names};

/// Strings that one thread matches at a time.
const STRINGS: usize = 1 << 14;

/// Nodes that one thread looks at at a time.
const NODES: usize = 1 << 17;

/// Objects with more properties are matched one by one: they are dictionaries, and hardly two are alike.
const PROPERTIES: usize = 64;

/// The nodes whose displayed name matches, ascending.
pub fn search(heap: &Heap, pattern: &Regex) -> Vec<u32> {
    let strings = &heap.snapshot.strings;
    let mut matching = vec![false; strings.len()];
    matching.par_chunks_mut(STRINGS).enumerate().for_each(|(chunk, part)| {
        // An expression that threads share makes them wait for its scratch memory.
        let pattern = pattern.clone();
        let first = (chunk * STRINGS) as u32;
        let texts = strings.texts(first..first + part.len() as u32);
        for (matches, text) in part.iter_mut().zip(texts) {
            *matches = pattern.is_match(&text);
        }
    });
    let nodes = &heap.snapshot.nodes;
    let sizes = nodes.self_size.view();
    let (named, kinds): (&[u32], &[u8]) = (&nodes.name, &nodes.kind);
    let names = heap.names();
    let object = &names.known.literals.object;
    let parts: Vec<Vec<u32>> = named
        .par_chunks(NODES)
        .zip(kinds.par_chunks(NODES))
        .enumerate()
        .map(|(chunk, (named, kinds))| {
            let pattern = pattern.clone();
            let mut plain = PlainObjects::new(names, &pattern);
            let (mut text, mut stack) = (String::new(), Vec::new());
            let mut found = Vec::new();
            for ((&name, &kind), ord) in named.iter().zip(kinds).zip((chunk * NODES) as u32..) {
                if sizes.get(ord) == 0 {
                    continue;
                }
                let matches = match NodeKind(kind) {
                    NodeKind::OBJECT if object.is(name) => plain.matches(ord),
                    NodeKind::CONS_STRING => {
                        text.clear();
                        names.cons_string_into(ord, &mut text, &mut stack);
                        pattern.is_match(&text)
                    }
                    NodeKind::NATIVE if heap.detached.is_prefixed(&heap.snapshot, ord) => {
                        pattern.is_match(&names.node(ord))
                    }
                    _ => matching.get(name as usize).copied().unwrap_or_else(|| pattern.is_match("")),
                };
                if matches {
                    found.push(ord);
                }
            }
            found
        })
        .collect();
    parts.concat()
}

/// Whether names of plain objects match, which are made of their properties' names: remembered by these.
struct PlainObjects<'a> {
    names: Names<'a>,
    pattern: &'a Regex,
    first_edge: &'a [u32],
    kinds: &'a [u8],
    named: &'a [u32],
    known: FxHashMap<Box<[u32]>, bool>,
    /// The properties of the object at hand, and of the one before: neighbours are often alike.
    properties: Vec<u32>,
    last: Vec<u32>,
    last_matches: Option<bool>,
}

impl<'a> PlainObjects<'a> {
    fn new(names: Names<'a>, pattern: &'a Regex) -> Self {
        let (nodes, edges) = (&names.snapshot.nodes, &names.snapshot.edges);
        Self {
            names,
            pattern,
            first_edge: &nodes.first_edge,
            kinds: &edges.kind,
            named: &edges.name,
            known: FxHashMap::default(),
            properties: Vec::new(),
            last: Vec::new(),
            last_matches: None,
        }
    }

    fn matches(&mut self, ord: u32) -> bool {
        let edges = self.first_edge[ord as usize] as usize..self.first_edge[ord as usize + 1] as usize;
        let (kinds, named) = (&self.kinds[edges.clone()], &self.named[edges]);
        let proto = &self.names.known.literals.proto;
        self.properties.clear();
        for (&kind, &name) in kinds.iter().zip(named) {
            if EdgeKind(kind) == EdgeKind::PROPERTY && !proto.is(name) {
                if self.properties.len() == PROPERTIES {
                    return self.pattern.is_match(&self.names.node(ord));
                }
                self.properties.push(name);
            }
        }
        if self.properties == self.last
            && let Some(matches) = self.last_matches
        {
            return matches;
        }
        let matches = if let Some(&matches) = self.known.get(self.properties.as_slice()) {
            matches
        } else {
            let matches = self.pattern.is_match(&self.names.node(ord));
            self.known.insert(self.properties.as_slice().into(), matches);
            matches
        };
        std::mem::swap(&mut self.last, &mut self.properties);
        self.last_matches = Some(matches);
        matches
    }
}

#[cfg(test)]
mod tests {
    use heapsight_testkit::generate;

    use super::*;
    use crate::Silent;

    #[test]
    fn each_object_is_found_by_the_name_that_is_shown() {
        let patterns = ["", "^$", "[a-c]", "(?i)OBJECT", ", ", "^\\{", "x.*y|\u{fffd}", "Detached", "\\d"];
        for seed in 0..200 {
            let heap = Heap::build(generate::graph(seed).snapshot(), &Silent, &()).unwrap();
            for pattern in patterns {
                let pattern = Regex::new(pattern).unwrap();
                let shown = |&ord: &u32| {
                    heap.snapshot.nodes.self_size.get(ord) > 0 && pattern.is_match(&heap.names().node(ord))
                };
                let expected: Vec<u32> = (0..heap.snapshot.node_count() as u32).filter(shown).collect();
                assert_eq!(search(&heap, &pattern), expected, "seed {seed}, {pattern}");
            }
        }
    }
}
