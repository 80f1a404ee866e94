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
    naming::{Kind, exported_name, is_dictionary, next_of_same},
    source::{Sources, Use, function_at, usage},
};
use crate::{
    code::{Code, Place},
    story::{Link, is_context, link, owner, weak_map_of},
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
pub(crate) fn is_own(placed: &Placed) -> bool {
    placed.place.package.is_none() && !is_runtime(&placed.place)
}

/// An owner's place.
struct Owner {
    /// How far above it is.
    depth: usize,
    placed: Placed,
    /// Whether it is the class of what has the container, or a function that adds to it, and not one that only sees it.
    sure: bool,
}

impl Placing<'_> {
    /// The place of a holder: of a function that adds to its variable, or its owner's class; else of a function among its
    /// members, or of one of the program's that adds to something of that name; else where it is declared.
    pub(crate) fn of(self, kind: Kind, ord: u32, slot: Option<usize>, examples: &[u32]) -> Option<Placed> {
        let members_first = matches!(kind, Kind::Listeners | Kind::Timers | Kind::Promise);
        let owners = self.owners(ord, slot);
        let placed = |found: &[Placed], good: &dyn Fn(&Placed) -> bool| {
            found.iter().find(|placed| good(placed)).cloned()
        };
        let nearest = owners.iter().find(|owner| !is_runtime(&owner.placed.place));
        if !members_first {
            if let Some((placed, _)) = self.direct(ord, slot) {
                return Some(placed);
            }
            if let Some(owned) = self.by_the_program(ord, slot) {
                // Of functions that a library keeps the program wants to know its own.
                if let Some(placed) = self.callbacks(slot, examples).or(owned.placed) {
                    return Some(placed);
                }
            }
            if let Some(Owner { depth, placed, sure }) = nearest
                && (is_own(placed) || *depth == 0)
            {
                if *sure {
                    return Some(placed.clone());
                }
                let name = self.name(ord, slot);
                return self
                    .callbacks(slot, examples)
                    .or_else(|| self.of_name(name.as_deref()?, true))
                    .or_else(|| self.declared_by_owner(ord, slot))
                    .or_else(|| Some(placed.clone()));
            }
        }
        let members: Vec<Placed> = self.members(examples);
        let above: Vec<Placed> = owners.iter().map(|owner| owner.placed.clone()).collect();
        placed(&members, &is_own)
            .or_else(|| self.of_name(&self.name(ord, slot)?, true))
            .or_else(|| self.declared_by_owner(ord, slot))
            .or_else(|| placed(&above, &is_own))
            .or_else(|| placed(&members, &|placed| !is_runtime(&placed.place)))
            .or_else(|| nearest.map(|owner| owner.placed.clone()))
            .or_else(|| placed(&members, &|_| true))
            .or_else(|| placed(&above, &|_| true))
    }

    /// The name of the field that has a container, if it is one.
    fn name(self, ord: u32, slot: Option<usize>) -> Option<String> {
        let is_field = |edge: &usize| self.heap.snapshot.edge_kind(*edge) == EdgeKind::PROPERTY;
        let of_owner = || owner(self.heap, self.tree, ord).map(|(_, edge)| edge).filter(is_field);
        let edge = slot.filter(|_| !is_dictionary(self.heap, ord)).filter(is_field).or_else(of_owner)?;
        Some(self.heap.names().edge(edge).into_owned())
    }

    /// A function of the program that has the container in a variable and adds to it, with the name of the variable.
    pub(crate) fn direct(self, ord: u32, slot: Option<usize>) -> Option<(Placed, String)> {
        const MOST: usize = 256;
        let snapshot = &self.heap.snapshot;
        let field = slot.is_some_and(|edge| match snapshot.edge_kind(edge) {
            EdgeKind::CONTEXT => true,
            EdgeKind::PROPERTY => !is_dictionary(self.heap, ord),
            _ => false,
        });
        if field || is_context(self.heap, ord) {
            return None;
        }
        let variables = self.heap.retainers().of(snapshot, ord).take(MOST);
        let variables = variables.filter(|retainer| snapshot.edge_kind(retainer.edge) == EdgeKind::CONTEXT);
        let mut found: Vec<(Placed, String)> = variables
            .filter_map(|retainer| {
                let name = self.heap.names().edge(retainer.edge).into_owned();
                let functions = self.functions_of(retainer.from);
                let (used, placed) = self.best(&functions, |body| usage(body, &name, false))?;
                (used == Use::Adds && is_own(&placed)).then_some((placed, name))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| a.place.cmp(&b.place));
        found.into_iter().next()
    }

    /// Places of the owners, the nearest first.
    fn owners(self, ord: u32, slot: Option<usize>) -> Vec<Owner> {
        let snapshot = &self.heap.snapshot;
        let names = self.heap.names();
        let mut found = Vec::new();
        let mut add = |depth: usize, placed: Option<(Use, Placed)>| {
            found.extend(placed.map(|(used, placed)| Owner { depth, placed, sure: used == Use::Adds }));
        };
        let class = |ord: u32| self.of_object(ord).map(|placed| (Use::Adds, placed));
        // The fields below the variable, as a script would write them; none where they cannot be written.
        let mut path = Some(String::new());
        if let Some(edge) = slot {
            if snapshot.edge_kind(edge) == EdgeKind::CONTEXT {
                add(0, self.of_variable(ord, &names.edge(edge), ""));
            } else if snapshot.edge_kind(edge) == EdgeKind::PROPERTY && !is_dictionary(self.heap, ord) {
                path = Some(format!(".{}", names.edge(edge)));
                if !next_of_same(self.heap, ord, slot) {
                    add(0, class(ord));
                }
            }
        }
        let mut at = ord;
        for depth in 0..DEPTH {
            let Some((parent, edge)) = owner(self.heap, self.tree, at) else { break };
            let exported = exported_name(self.heap, self.tree, at);
            let name = names.edge(edge);
            let link = link(self.heap, edge, self.tree.parent[at as usize]);
            let placed = match link {
                _ if exported.is_some() => {
                    exported.and_then(|name| self.of_name(&name, false)).map(|placed| (Use::Adds, placed))
                }
                Link::Variable => self.of_variable(parent, &name, path.as_deref().unwrap_or("")),
                Link::Property | Link::Entry => class(parent),
                Link::Internal if snapshot.node_kind(parent) == NodeKind::CLOSURE => class(parent),
                _ => None,
            };
            add(depth, placed);
            path = match link {
                Link::Property => path.map(|path| format!(".{name}{path}")),
                _ => None,
            };
            at = if link == Link::WeakMap { weak_map_of(self.heap, edge).unwrap_or(parent) } else { parent };
        }
        found
    }

    /// The place of a function, or of an object's class.
    pub(crate) fn of_object(self, ord: u32) -> Option<Placed> {
        let place = self.code.place(self.heap, ord)?;
        let names = self.heap.names();
        let what = if self.heap.snapshot.node_kind(ord) == NodeKind::CLOSURE {
            function_name(&names.raw(ord))
        } else {
            format!("class {}", self.heap.classes.class(ord).name)
        };
        Some(Placed { place, what })
    }

    /// A function that sees a variable of a context: one that adds to what is at a path below it, one that names it, else
    /// the first.
    fn of_variable(self, context: u32, variable: &str, path: &str) -> Option<(Use, Placed)> {
        let exact = format!("{variable}{path}");
        self.best(&self.functions_of(context), |body| {
            let used = usage(body, &exact, false);
            // What is added to other fields is not added to this one.
            if used == Use::Adds { used } else { usage(body, variable, false).min(Use::Reads) }
        })
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

    /// The function that most of the members are, if these are functions of the program.
    fn callbacks(self, slot: Option<usize>, examples: &[u32]) -> Option<Placed> {
        const MOST: usize = 16;
        let snapshot = &self.heap.snapshot;
        // A list that is replaced at each change is a member itself.
        let replaced = slot.map(|edge| snapshot.edges.to[edge]);
        let lists = examples.iter().copied().chain(replaced);
        let elements = lists
            .filter(|&ord| self.heap.classes.class(ord).name == "Array")
            .flat_map(|ord| snapshot.edges_of(ord))
            .filter(|&edge| snapshot.edge_kind(edge) == EdgeKind::ELEMENT);
        let elements: Vec<u32> = elements.take(MOST).map(|edge| snapshot.edges.to[edge]).collect();
        let examples = if elements.is_empty() { examples } else { &elements };
        let kind = |ord: &u32| snapshot.node_kind(*ord) == NodeKind::CLOSURE;
        let functions: Vec<u32> = examples.iter().copied().filter(kind).collect();
        let most = functions.len() * 2 > examples.len();
        most.then(|| self.members(&functions)).and_then(|found| found.into_iter().find(is_own))
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
    pub(crate) fn functions_of(self, context: u32) -> Vec<u32> {
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
