//! Which line of the program a holder stands for.
//!
//! The container is held by a variable, a field of an object, or by the runtime. For a variable the place is a function
//! that sees it, best one that adds to it; for a field the class that owns it; where the runtime holds the members
//! (listeners, timers, promises), the function among them that the program made.

use heapsight_analysis::{Heap, readable::ReadableTree};
use heapsight_snapshot::{EdgeKind, NodeKind};
use rustc_hash::FxHashSet;

use super::{
    naming::{Kind, next_of_same},
    source::{Sources, Use, function_at, usage},
};
use crate::{
    code::{Code, Place},
    story::{Link, is_context, link, owner},
};

/// Owners that are asked for a place.
const DEPTH: usize = 12;

/// Functions of a context that are looked at.
const FUNCTIONS: usize = 4096;

/// A place and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where.
    pub place: Place,
    /// `function store`, `class MemoryStore`.
    pub what: String,
}

/// What places are found with.
#[derive(Clone, Copy)]
pub(crate) struct Placing<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) tree: &'a ReadableTree,
    pub(crate) code: &'a Code,
    pub(crate) sources: &'a Sources,
}

/// Whether code is the runtime's own.
pub(crate) fn is_runtime(place: &Place) -> bool {
    place.package.as_ref().is_some_and(|package| package.starts_with("node:"))
        || ["node:", "internal/", "ext:", "evaluate:"].iter().any(|scheme| place.url.starts_with(scheme))
}

impl Placing<'_> {
    /// The place of a holder: of its variable, or its owner's class; else of a function among its members.
    pub(crate) fn of(self, kind: Kind, ord: u32, slot: Option<usize>, examples: &[u32]) -> Option<Placed> {
        let members_first = matches!(kind, Kind::Listeners | Kind::Timers | Kind::Promise);
        let owners = self.owners(ord, slot);
        let of_owner = owners.iter().find(|placed| !is_runtime(&placed.place));
        let is_own = |placed: &Placed| placed.place.package.is_none() && !is_runtime(&placed.place);
        if !members_first
            && let Some(placed) = of_owner
            && (is_own(placed) || owners.first() == Some(placed))
        {
            return Some(placed.clone());
        }
        let of_members = self.members(examples);
        let own_member = of_members.iter().find(|placed| is_own(placed));
        own_member
            .or_else(|| owners.iter().find(|placed| is_own(placed)))
            .or_else(|| of_members.iter().find(|placed| !is_runtime(&placed.place)))
            .or(of_owner)
            .or_else(|| of_members.first())
            .or_else(|| owners.first())
            .cloned()
    }

    /// Places of the owners, the nearest first.
    fn owners(self, ord: u32, slot: Option<usize>) -> Vec<Placed> {
        let snapshot = &self.heap.snapshot;
        let mut found = Vec::new();
        if let Some(edge) = slot {
            if snapshot.edge_kind(edge) == EdgeKind::CONTEXT {
                found.extend(self.of_variable(ord, &self.heap.names().edge(edge)));
            } else if snapshot.edge_kind(edge) == EdgeKind::PROPERTY && !next_of_same(self.heap, ord, slot) {
                found.extend(self.of_object(ord));
            }
        }
        let mut at = ord;
        for _ in 0..DEPTH {
            let Some((parent, edge)) = owner(self.heap, self.tree, at) else { break };
            match link(self.heap, edge, self.tree.parent[at as usize]) {
                Link::Variable => found.extend(self.of_variable(parent, &self.heap.names().edge(edge))),
                Link::Property | Link::Entry => found.extend(self.of_object(parent)),
                Link::Internal if snapshot.node_kind(parent) == NodeKind::CLOSURE => {
                    found.extend(self.of_object(parent));
                }
                _ => {}
            }
            at = parent;
        }
        found
    }

    /// The place of a function, or of an object's class.
    fn of_object(self, ord: u32) -> Option<Placed> {
        let place = self.code.place(self.heap, ord)?;
        let names = self.heap.names();
        let what = if self.heap.snapshot.node_kind(ord) == NodeKind::CLOSURE {
            function_name(&names.raw(ord))
        } else {
            format!("class {}", self.heap.classes.class(ord).name)
        };
        Some(Placed { place, what })
    }

    /// A function that sees a variable of a context: one that adds to it, one that names it, else the first.
    fn of_variable(self, context: u32, variable: &str) -> Option<Placed> {
        let mut best: Option<(Use, u32, usize, Placed)> = None;
        let mut seen = FxHashSet::default();
        for closure in self.functions_of(context) {
            if let Some(location) = self.heap.snapshot.locations.of(closure)
                && !seen.insert(location)
            {
                continue;
            }
            let Some(placed) = self.of_object(closure) else { continue };
            let raw = placed.place.generated.as_deref().unwrap_or(&placed.place);
            let text = self.sources.text(&raw.url);
            let body = text.as_deref().and_then(|text| function_at(text, raw.line, raw.column));
            let used = body.map_or(Use::None, |body| usage(body, variable));
            // Of functions inside of one another, the inner one.
            let length = body.map_or(usize::MAX, str::len);
            let better = best.as_ref().is_none_or(|(use_, line, best_length, _)| {
                (used, std::cmp::Reverse((length, placed.place.line)))
                    > (*use_, std::cmp::Reverse((*best_length, *line)))
            });
            if better {
                best = Some((used, placed.place.line, length, placed));
            }
        }
        best.map(|(_, _, _, placed)| placed)
    }

    /// The functions that run in a context, or in one inside of it.
    fn functions_of(self, context: u32) -> Vec<u32> {
        let snapshot = &self.heap.snapshot;
        let retainers = self.heap.retainers();
        let mut contexts = vec![context];
        let mut functions = Vec::new();
        let mut at = 0;
        while at < contexts.len() && functions.len() < FUNCTIONS && contexts.len() < FUNCTIONS {
            for retainer in retainers.of(snapshot, contexts[at]).rev() {
                if snapshot.edge_kind(retainer.edge) != EdgeKind::INTERNAL {
                    continue;
                }
                let name = snapshot.strings.raw(snapshot.edges.name[retainer.edge]);
                if snapshot.node_kind(retainer.from) == NodeKind::CLOSURE && name == b"context" {
                    functions.push(retainer.from);
                } else if name == b"previous" && is_context(self.heap, retainer.from) {
                    contexts.push(retainer.from);
                }
            }
            at += 1;
        }
        functions
    }

    /// Places of functions among members, and right below them.
    fn members(self, examples: &[u32]) -> Vec<Placed> {
        let snapshot = &self.heap.snapshot;
        let mut found: Vec<(usize, Placed)> = Vec::new();
        let mut count = |placed: Placed| match found.iter_mut().find(|(_, other)| *other == placed) {
            Some((count, _)) => *count += 1,
            None => found.push((1, placed)),
        };
        for &member in examples {
            // The functions that are fewest steps away.
            let mut level = vec![member];
            'search: for _ in 0..4 {
                let mut next = Vec::new();
                let mut any = false;
                for &ord in &level {
                    if snapshot.node_kind(ord) == NodeKind::CLOSURE
                        && let Some(placed) = self.of_object(ord)
                        && !is_runtime(&placed.place)
                    {
                        count(placed);
                        any = true;
                        continue;
                    }
                    for edge in snapshot.edges_of(ord).take(64) {
                        let name = snapshot.strings.raw(snapshot.edges.name[edge]);
                        let to = snapshot.edges.to[edge];
                        let shape = matches!(
                            snapshot.node_kind(to),
                            NodeKind::CODE | NodeKind::OBJECT_SHAPE | NodeKind::SYNTHETIC
                        );
                        if snapshot.edge_kind(edge) != EdgeKind::WEAK && !shape && name != b"__proto__" {
                            next.push(to);
                        }
                    }
                }
                if any {
                    break 'search;
                }
                next.truncate(512);
                level = next;
            }
        }
        found.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        found.into_iter().map(|(_, placed)| placed).collect()
    }
}

/// `function store`.
fn function_name(name: &str) -> String {
    if name.is_empty() { "function (anonymous)".to_owned() } else { format!("function {name}") }
}
