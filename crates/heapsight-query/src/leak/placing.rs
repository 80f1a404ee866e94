//! Which line of the program a holder stands for.
//!
//! The container is held by a variable, a field of an object, or by the runtime. For a variable the place is a function
//! that sees it, best one that adds to it; for a field the class that owns it; where the runtime holds the members
//! (listeners, timers, promises), the function among them that the program made.

use std::cmp::Reverse;

use heapsight_analysis::{Heap, readable::ReadableTree};
use heapsight_snapshot::{EdgeKind, NodeKind};
use rustc_hash::FxHashSet;

use super::{
    naming::{Kind, exported_name, next_of_same},
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

/// Whether code is the program's own.
fn is_own(placed: &Placed) -> bool {
    placed.place.package.is_none() && !is_runtime(&placed.place)
}

impl Placing<'_> {
    /// The place of a holder: of its variable, or its owner's class; else of a function among its members, or of one of the
    /// program's that adds to something of that name.
    pub(crate) fn of(self, kind: Kind, ord: u32, slot: Option<usize>, examples: &[u32]) -> Option<Placed> {
        let members_first = matches!(kind, Kind::Listeners | Kind::Timers | Kind::Promise);
        let owners = self.owners(ord, slot);
        let placed = |found: &[(usize, Placed)], good: &dyn Fn(&Placed) -> bool| {
            found.iter().map(|(_, placed)| placed).find(|placed| good(placed)).cloned()
        };
        let nearest = owners.iter().find(|(_, placed)| !is_runtime(&placed.place));
        if !members_first
            && let Some((depth, placed)) = nearest
            && (is_own(placed) || *depth == 0)
        {
            return Some(placed.clone());
        }
        let members: Vec<(usize, Placed)> =
            self.members(examples).into_iter().map(|placed| (0, placed)).collect();
        placed(&members, &is_own)
            .or_else(|| self.of_name(&self.name(ord, slot)?, true))
            .or_else(|| placed(&owners, &is_own))
            .or_else(|| placed(&members, &|placed| !is_runtime(&placed.place)))
            .or_else(|| nearest.map(|(_, placed)| placed.clone()))
            .or_else(|| placed(&members, &|_| true))
            .or_else(|| placed(&owners, &|_| true))
    }

    /// The name of the field that has a container, if it is one.
    fn name(self, ord: u32, slot: Option<usize>) -> Option<String> {
        let is_field = |edge: &usize| self.heap.snapshot.edge_kind(*edge) == EdgeKind::PROPERTY;
        let of_owner = || owner(self.heap, self.tree, ord).map(|(_, edge)| edge).filter(is_field);
        let edge = slot.filter(is_field).or_else(of_owner)?;
        Some(self.heap.names().edge(edge).into_owned())
    }

    /// Places of the owners, the nearest first, with how far above they are.
    fn owners(self, ord: u32, slot: Option<usize>) -> Vec<(usize, Placed)> {
        let snapshot = &self.heap.snapshot;
        let mut found = Vec::new();
        if let Some(edge) = slot {
            if snapshot.edge_kind(edge) == EdgeKind::CONTEXT {
                found.extend(self.of_variable(ord, &self.heap.names().edge(edge)).map(|placed| (0, placed)));
            } else if snapshot.edge_kind(edge) == EdgeKind::PROPERTY && !next_of_same(self.heap, ord, slot) {
                found.extend(self.of_object(ord).map(|placed| (0, placed)));
            }
        }
        let mut at = ord;
        for depth in 0..DEPTH {
            let Some((parent, edge)) = owner(self.heap, self.tree, at) else { break };
            let exported = exported_name(self.heap, self.tree, at);
            let placed = match link(self.heap, edge, self.tree.parent[at as usize]) {
                _ if exported.is_some() => exported.and_then(|name| self.of_name(&name, false)),
                Link::Variable => self.of_variable(parent, &self.heap.names().edge(edge)),
                Link::Property | Link::Entry => self.of_object(parent),
                Link::Internal if snapshot.node_kind(parent) == NodeKind::CLOSURE => self.of_object(parent),
                _ => None,
            };
            found.extend(placed.map(|placed| (depth, placed)));
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
        self.best(&self.functions_of(context), |body| usage(body, variable, false)).map(|(_, placed)| placed)
    }

    /// A function of the program's own that adds to something of a name: a variable's, or a field's.
    fn of_name(self, name: &str, field: bool) -> Option<Placed> {
        let snapshot = &self.heap.snapshot;
        let closures = snapshot.locations.nodes.iter().copied();
        let own: Vec<u32> = closures
            .filter(|&ord| snapshot.node_kind(ord) == NodeKind::CLOSURE)
            .filter(|&ord| self.of_object(ord).is_some_and(|placed| is_own(&placed)))
            .take(FUNCTIONS)
            .collect();
        let (used, placed) = self.best(&own, |body| usage(body, name, field))?;
        (used == Use::Adds).then_some(placed)
    }

    /// Of functions the one that uses something most, of those that are inside of one another the inner one.
    fn best(self, closures: &[u32], used: impl Fn(&str) -> Use) -> Option<(Use, Placed)> {
        let mut best = None;
        let mut seen = FxHashSet::default();
        for &closure in closures {
            if let Some(location) = self.heap.snapshot.locations.of(closure)
                && !seen.insert(location)
            {
                continue;
            }
            let Some(placed) = self.of_object(closure) else { continue };
            let raw = placed.place.generated.as_deref().unwrap_or(&placed.place);
            let text = self.sources.text(&raw.url);
            let body = text.as_deref().and_then(|text| function_at(text, raw.line, raw.column));
            let used = body.map_or(Use::None, &used);
            let key = (used, Reverse((body.map_or(usize::MAX, str::len), placed.place.line)));
            if best.as_ref().is_none_or(|&(other, _)| key > other) {
                best = Some((key, placed));
            }
        }
        best.map(|((used, _), placed)| (used, placed))
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
                        if snapshot.edge_kind(edge) != EdgeKind::WEAK
                            && !shape
                            && !matches!(name, b"__proto__" | b"map" | b"constructor")
                        {
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
