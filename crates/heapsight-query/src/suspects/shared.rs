//! Variables that are kept because functions share a context: one function needs little of it and lives, another used the
//! large variable and is gone.
//!
//! V8 gives all functions that are made in one run of a function one context, with all variables that any of them uses. So
//! a small function keeps the large variable of its neighbour. Which function uses what only Chromium writes; here the
//! scripts are read, where they are at hand. Whatever is not sure is no finding: a function whose text is missing, `eval`,
//! a suspended generator or async function.
//!
//! Time O(contexts and their variables), and the text of the functions of a few contexts.

use std::cmp::Reverse;

use heapsight_analysis::filters::function_context_names;
use heapsight_snapshot::{EdgeKind, NodeKind};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Finding, Found, Pattern, finding, patterns::TEXT};
use crate::leak::{
    Placed,
    placing::{Placing, is_own},
    source::{Use, function_at, usage},
};

/// Bytes of a value below which it does not count.
const SMALL: u64 = 1 << 10;

/// Variables that are looked at.
const CANDIDATES: usize = 16;

/// Contexts of each that are looked at.
const CONTEXTS: usize = 8;

/// Functions of a context, beyond which their text is not read.
const FUNCTIONS: usize = 32;

/// One variable of the contexts of one function.
#[derive(Default)]
struct Variable {
    retained_size: u64,
    count: u64,
    /// Some of the edges from context to value, with the context.
    examples: Vec<(u32, usize)>,
}

/// Finds them.
pub(super) fn find(placing: Placing<'_>, least: u64) -> Vec<Finding> {
    let mut variables: Vec<((u32, u32), Variable)> = variables(placing).into_iter().collect();
    variables.retain(|(_, variable)| variable.retained_size >= least.min(TEXT));
    variables.sort_by_key(|(key, variable)| (Reverse(variable.retained_size), *key));
    variables.truncate(CANDIDATES);
    variables.into_iter().filter_map(|(_, variable)| judged(placing, &variable)).collect()
}

/// Variables with values that only their contexts keep, by scope and name.
fn variables(placing: Placing<'_>) -> FxHashMap<(u32, u32), Variable> {
    let heap = placing.heap;
    let snapshot = &heap.snapshot;
    let literals = &heap.known.literals;
    let names = function_context_names(heap);
    let mut variables: FxHashMap<(u32, u32), Variable> = FxHashMap::default();
    for ord in 0..snapshot.node_count() as u32 {
        let name = snapshot.nodes.name[ord as usize] as usize;
        if name >= names.capacity() || !names.contains(name) || heap.retained.get(ord) < SMALL {
            continue;
        }
        let mut scope = None;
        for edge in snapshot.edges_of(ord) {
            let to = snapshot.edges.to[edge];
            if snapshot.edge_kind(edge) != EdgeKind::CONTEXT
                || heap.dominators.idom[to as usize] != ord
                || heap.retained.get(to) < SMALL
                || !is_name(snapshot.strings.raw(snapshot.edges.name[edge]))
            {
                continue;
            }
            let scope = *scope.get_or_insert_with(|| {
                let is_scope = |edge: &usize| literals.scope_info.is(snapshot.edges.name[*edge]);
                snapshot.edges_of(ord).find(is_scope).map_or(ord, |edge| snapshot.edges.to[edge])
            });
            let variable = variables.entry((scope, snapshot.edges.name[edge])).or_default();
            variable.retained_size = variable.retained_size.saturating_add(heap.retained.get(to));
            variable.count += 1;
            if variable.examples.len() < CONTEXTS {
                variable.examples.push((ord, edge));
            }
        }
    }
    variables
}

/// Whether a variable has a name that a script would write.
fn is_name(raw: &[u8]) -> bool {
    raw != b"this"
        && raw != b"arguments"
        && raw.first().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, b'_' | b'$'))
        && raw.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$'))
}

/// The finding, if no function of any of the examples uses the variable.
fn judged(placing: Placing<'_>, variable: &Variable) -> Option<Finding> {
    let heap = placing.heap;
    let &(context, edge) = variable.examples.first()?;
    let name = heap.names().edge(edge).into_owned();
    let mut seen = FxHashSet::default();
    let mut keeper = None;
    for &(context, _) in &variable.examples {
        for function in keepers(placing, context)? {
            // Functions of one place have one text.
            if seen.insert(heap.snapshot.locations.of(function)?) {
                let placed = without(placing, function, &name)?;
                keeper = keeper.or(Some(placed));
            }
        }
    }
    let keeper = keeper?;
    let why = format!(
        "no function that is alive uses variable {name}: {} ({}) was made in the same run of the function around it, shares \
         its context, and keeps it alive ({} contexts). Set {name} to `null` when it has been used, or make the function \
         that lives long where the variable is out of sight",
        keeper.what,
        keeper.place.short(),
        variable.count
    );
    let found = Found {
        count: variable.count,
        retained_size: variable.retained_size,
        parts: Vec::new(),
        why,
        examples: Vec::new(),
    };
    let mut finding = finding(placing, context, Some(edge), Pattern::SharedContext, found);
    finding.title = name;
    finding.place = Some(keeper);
    Some(finding)
}

/// The functions that keep a context; `None` where something else may use it, or there are too many to read.
fn keepers(placing: Placing<'_>, context: u32) -> Option<Vec<u32>> {
    let functions = placing.functions_of(context);
    (!functions.is_empty() && functions.len() <= FUNCTIONS && !is_resumable(placing, context))
        .then_some(functions)
}

/// Where a function of the program stands that does not use a variable; `None` where it does, or that is not known.
fn without(placing: Placing<'_>, function: u32, variable: &str) -> Option<Placed> {
    let placed = placing.of_object(function).filter(is_own)?;
    let raw = placed.place.generated.as_deref().unwrap_or(&placed.place);
    let text = placing.sources.text(&raw.url)?;
    let body = function_at(&text, raw.line, raw.column)?;
    let uses = usage(body, variable, false) != Use::None || usage(body, "eval", false) != Use::None;
    (!uses).then_some(placed)
}

/// Whether a suspended generator or async function runs in a context, or in one inside of it.
fn is_resumable(placing: Placing<'_>, context: u32) -> bool {
    const MOST: usize = 4096;
    let heap = placing.heap;
    let snapshot = &heap.snapshot;
    let mut contexts = vec![context];
    let mut at = 0;
    while at < contexts.len() && at < MOST {
        for retainer in heap.retainers().of(snapshot, contexts[at]) {
            if snapshot.edge_kind(retainer.edge) != EdgeKind::INTERNAL {
                continue;
            }
            let name = snapshot.strings.raw(snapshot.edges.name[retainer.edge]);
            if name == b"previous" {
                contexts.push(retainer.from);
            } else if name == b"context" && snapshot.node_kind(retainer.from) == NodeKind::OBJECT {
                return true;
            }
        }
        at += 1;
    }
    at == MOST
}
