//! Variables of function contexts that no function can use any more: what they hold is kept for nothing.
//!
//! A context holds the captured variables of all closures that were made in one run of a function or block, and lives as
//! long as one of them. The tables of [`Scopes`] say in which scopes a variable is used. It is *used* in a context if a
//! closure of such a scope, or of one around it (which could make such a closure), has that context in its chain.
//! Otherwise it is dead.
//!
//! Two things are as in DevTools although more could be said: scopes with negative ids (the outermost of a script, whose
//! variables other scripts can use) are left out; and a generator or async function that is suspended is no closure. What
//! such a function still uses is marked [`DeadField::resumable`], so that nobody is told to look for it.
//!
//! Source: DevTools, `ContextAnalyzer.ts`. Chains of contexts become intervals of numbers (contexts inside of a chain have
//! an interval inside of its), so that "one of these closures has the context in its chain" is one binary search.
//! Time O(N + E + S log S) for S scopes, variables and uses, and for each variable of a context the number of functions
//! around its uses that have closures, times log of these; memory 1 byte a string and 36 bytes a context, and a few numbers
//! for each row of the tables and each closure.

use std::{cmp::Reverse, ops::Range};

use heapsight_snapshot::{EdgeKind, NodeKind, Scopes, Snapshot};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Heap, bits::BitSet, distance::leading_integer, filters::retained_by};

/// Stands for "none".
const NONE: u32 = u32::MAX;

/// What V8 notes as the place at which a finished generator goes on.
const FINISHED: i64 = -1;

/// A variable of one context that no closure can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadField {
    /// String index of its name.
    pub name: u32,
    /// The edge from the context to the value.
    pub edge: usize,
    /// Its value.
    pub value: u32,
    /// Whether a suspended generator or async function can still use it. DevTools does not look at these.
    pub resumable: bool,
}

/// A context with dead variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadContext {
    /// The context.
    pub context: u32,
    /// Sum of the retained sizes of the dead variables' values: what several hold together counts for each.
    pub dead_size: u64,
    /// Its dead variables, the one that retains most first; positions in [`DeadVariables::fields`].
    pub fields: Range<usize>,
}

/// A scope some of whose contexts have dead variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadScope {
    /// The node that describes the scope (`system / ScopeInfo`).
    pub scope_info: u32,
    /// The node of the script.
    pub script: u32,
    /// The node that names the scope, where there is one.
    pub name: Option<u32>,
    /// First character of the scope in the script.
    pub start: i64,
    /// The character after its last.
    pub end: i64,
    /// How many variables a context of it has.
    pub field_count: usize,
    /// Its contexts with dead variables, the one whose dead variables retain most first; positions in
    /// [`DeadVariables::contexts`].
    pub contexts: Range<usize>,
    /// The function that the scope is in or is of (`system / SharedFunctionInfo`), where it is known.
    pub function: Option<u32>,
    /// A closure of that function, where there is one.
    pub closure: Option<u32>,
}

/// A script of which the file does not say what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownScript {
    /// The node of the script.
    pub script: u32,
    /// Contexts that could not be looked at.
    pub context_count: u64,
}

/// The dead variables of a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadVariables {
    /// Scopes, the one with the worst context first.
    pub scopes: Vec<DeadScope>,
    /// The contexts of all scopes.
    pub contexts: Vec<DeadContext>,
    /// The variables of all contexts.
    pub fields: Vec<DeadField>,
    /// Scripts without scopes, in the order of the file.
    pub unknown: Vec<UnknownScript>,
}

/// Finds the dead variables. `None` where the file does not record scopes.
pub fn dead_variables(heap: &Heap) -> Option<DeadVariables> {
    let scopes = heap.snapshot.scopes.as_ref()?;
    let graph = Graph { heap, snapshot: &heap.snapshot, words: Word::of_strings(&heap.snapshot) };
    let scan = graph.scan();
    let chains = Chains::new(&scan.contexts, |context| graph.internal(context, Word::Previous));
    let lookup = Lookup::new(scopes);
    let closures = Live::new(scopes, &lookup, &chains, &scan.closures);
    let suspended = Live::new(scopes, &lookup, &chains, &scan.suspended);
    let uses = Uses::new(scopes, &lookup);
    let (found, unknown) = graph.correlate(&scan, scopes, &lookup);
    let mut dead = DeadVariables { unknown, ..DeadVariables::default() };
    for found in &found {
        let mut fields = graph.fields(scopes, found);
        for field in &mut fields {
            if let Some(variable) = field.variable {
                field.closures = closures.functions_using(scopes, &uses, variable);
                field.suspended = suspended.functions_using(scopes, &uses, variable);
            }
        }
        graph.classify(found, &fields, &chains, &closures, &suspended, &mut dead);
    }
    let contexts = &dead.contexts;
    dead.scopes.sort_by_key(|scope| worst_first(heap, &contexts[scope.contexts.start]));
    dead.unknown.sort_by_key(|script| script.script);
    graph.name_functions(&mut dead.scopes);
    Some(dead)
}

/// What only the dead variables keep alive, suspended functions' aside: number of objects and their shallow sizes.
/// Time O(N + E).
pub fn kept_alone(heap: &Heap, dead: &DeadVariables) -> (u64, u64) {
    let mut edges = BitSet::new(heap.snapshot.edge_count());
    for field in dead.fields.iter().filter(|field| !field.resumable) {
        edges.insert(field.edge);
    }
    let sizes = &heap.snapshot.nodes.self_size;
    retained_by(heap, |_, edge, _| edges.contains(edge))
        .iter()
        .map(|ord| sizes.get(ord as u32))
        .filter(|&size| size > 0)
        .fold((0, 0), |(count, sum), size| (count + 1, u64::saturating_add(sum, size)))
}

/// What a script is called: its URL, or else what a comment in it says; empty if neither is known.
pub fn script_name(heap: &Heap, script: u32) -> String {
    let raw = heap.names().raw(script);
    match raw.strip_prefix("system / Script / ") {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => {
            let comment = heap.snapshot.internal_edge(script, "source_url");
            comment.map(|node| heap.names().node(node).into_owned()).unwrap_or_default()
        }
    }
}

/// What a function is called (`system / SharedFunctionInfo / name`); empty for one without a name.
pub fn function_name(heap: &Heap, function: u32) -> String {
    let raw = heap.names().raw(function);
    raw.strip_prefix("system / SharedFunctionInfo / ").unwrap_or_default().to_owned()
}

/// DevTools' order of contexts.
fn worst_first(heap: &Heap, context: &DeadContext) -> (Reverse<u64>, Reverse<u64>, u32) {
    (Reverse(context.dead_size), Reverse(heap.retained.get(context.context)), context.context)
}

/// Names of nodes and edges that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Other,
    ScriptNode,
    ContextNode,
    FunctionNode,
    ScopeInfoNode,
    IntNode,
    Value,
    Shared,
    Context,
    Script,
    ScopeId,
    ScopeInfo,
    Previous,
    Start,
    End,
    FunctionName,
    OuterScopeInfo,
    NameOrScopeInfo,
    Function,
    Continuation,
}

impl Word {
    fn of(text: &[u8]) -> Self {
        match text {
            b"system / ScopeInfo" => Self::ScopeInfoNode,
            b"system / Context" => Self::ContextNode,
            b"int" => Self::IntNode,
            b"value" => Self::Value,
            b"shared" => Self::Shared,
            b"context" => Self::Context,
            b"script" => Self::Script,
            b"scope_id" => Self::ScopeId,
            b"scope_info" => Self::ScopeInfo,
            b"previous" => Self::Previous,
            b"start_position" => Self::Start,
            b"end_position" => Self::End,
            b"function_name" => Self::FunctionName,
            b"outer_scope_info" => Self::OuterScopeInfo,
            b"name_or_scope_info" => Self::NameOrScopeInfo,
            b"function" => Self::Function,
            b"continuation" => Self::Continuation,
            _ if text.starts_with(b"system / Context / ") => Self::ContextNode,
            _ if text.starts_with(b"system / Script") => Self::ScriptNode,
            _ if text.starts_with(b"system / SharedFunctionInfo") => Self::FunctionNode,
            _ => Self::Other,
        }
    }

    fn of_strings(snapshot: &Snapshot) -> Vec<Self> {
        let strings = &snapshot.strings;
        (0..strings.len() as u32).into_par_iter().map(|index| Self::of(&strings.wtf8(index))).collect()
    }
}

/// A closure, or a suspended generator: where its code stands and what it can reach.
struct Closure {
    script: u32,
    scope_id: i32,
    context: u32,
}

/// What one pass over all nodes finds.
#[derive(Default)]
struct Scan {
    /// All contexts, ascending.
    contexts: Vec<u32>,
    closures: Vec<Closure>,
    suspended: Vec<Closure>,
    /// Script of a description of a scope, where a function says it; `NONE` for a search that failed.
    script_of: FxHashMap<u32, u32>,
}

/// A scope that has contexts.
struct Found {
    scope_info: u32,
    script: u32,
    /// Row of the table.
    scope: usize,
    contexts: Vec<u32>,
}

/// A variable as the first context of its scope names it.
struct Field {
    name: u32,
    /// The first of that name among the scope's variables.
    variable: Option<usize>,
    /// Functions with closures, and with suspended generators, around its uses.
    closures: Vec<u32>,
    suspended: Vec<u32>,
}

struct Graph<'a> {
    heap: &'a Heap,
    snapshot: &'a Snapshot,
    /// By string.
    words: Vec<Word>,
}

impl Graph<'_> {
    fn word(&self, string: u32) -> Word {
        self.words.get(string as usize).copied().unwrap_or(Word::Other)
    }

    /// What the name of a node says.
    fn node(&self, ord: u32) -> Word {
        match self.word(self.snapshot.nodes.name[ord as usize]) {
            Word::Other => Word::Other,
            _ if self.heap.detached.is_prefixed(self.snapshot, ord) => Word::Other,
            word => word,
        }
    }

    /// The target of the first internal edge of a name.
    fn internal(&self, ord: u32, word: Word) -> Option<u32> {
        let snapshot = self.snapshot;
        snapshot
            .edges_of(ord)
            .find(|&e| {
                snapshot.edge_kind(e) == EdgeKind::INTERNAL && self.word(snapshot.edges.name[e]) == word
            })
            .map(|e| snapshot.edges.to[e])
    }

    /// A whole number that V8 wrote into a node.
    fn int(&self, ord: u32, word: Word) -> Option<i64> {
        let int = self.internal(ord, word)?;
        if self.snapshot.node_kind(int) != NodeKind::NUMBER || self.node(int) != Word::IntNode {
            return None;
        }
        let value = self.internal(int, Word::Value)?;
        leading_integer(&self.heap.names().raw(value)).map(|number| number as i64)
    }

    fn scope_id(&self, ord: u32) -> Option<i32> {
        self.int(ord, Word::ScopeId).and_then(|id| i32::try_from(id).ok())
    }

    fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        for ord in 0..self.snapshot.node_count() as u32 {
            match self.node(ord) {
                Word::ScriptNode => {}
                Word::ContextNode => scan.contexts.push(ord),
                word => match self.snapshot.node_kind(ord) {
                    NodeKind::CLOSURE => {
                        let parts = self.internal(ord, Word::Shared).zip(self.internal(ord, Word::Context));
                        scan.closures
                            .extend(parts.and_then(|(shared, context)| self.closure(shared, context)));
                    }
                    _ if word == Word::FunctionNode => {
                        let scope_info = self.internal(ord, Word::NameOrScopeInfo);
                        let script = self.internal(ord, Word::Script);
                        if let (Some(scope_info), Some(script)) = (scope_info, script)
                            && self.node(scope_info) == Word::ScopeInfoNode
                            && self.node(script) == Word::ScriptNode
                        {
                            scan.script_of.insert(scope_info, script);
                        }
                    }
                    NodeKind::OBJECT => scan.suspended.extend(self.suspended(ord)),
                    _ => {}
                },
            }
        }
        scan
    }

    fn closure(&self, shared: u32, context: u32) -> Option<Closure> {
        let script = self.internal(shared, Word::Script)?;
        Some(Closure { script, scope_id: self.scope_id(shared)?, context })
    }

    /// The generator object of a generator or async function that can go on.
    fn suspended(&self, ord: u32) -> Option<Closure> {
        self.internal(ord, Word::Continuation)?;
        if self.int(ord, Word::Continuation) == Some(FINISHED) {
            return None;
        }
        let function = self.internal(ord, Word::Function)?;
        let context = self.internal(ord, Word::Context)?;
        self.closure(self.internal(function, Word::Shared)?, context)
    }

    /// Puts contexts to the rows of the table that describe them.
    fn correlate(&self, scan: &Scan, scopes: &Scopes, lookup: &Lookup) -> (Vec<Found>, Vec<UnknownScript>) {
        let mut found: Vec<Found> = Vec::new();
        let mut place: FxHashMap<u32, usize> = FxHashMap::default();
        let mut unknown: Vec<UnknownScript> = Vec::new();
        let mut place_of_unknown: FxHashMap<u32, usize> = FxHashMap::default();
        let mut script_of = scan.script_of.clone();
        let known: FxHashSet<u32> = scopes.scripts.iter().copied().collect();
        for &context in &scan.contexts {
            let Some(scope_info) = self.internal(context, Word::ScopeInfo) else { continue };
            if let Some(&at) = place.get(&scope_info) {
                found[at].contexts.push(context);
                continue;
            }
            let Some(id) = self.int(scope_info, Word::ScopeId) else { continue };
            let script = self.script_of(&mut script_of, scope_info);
            if script == NONE {
                continue;
            }
            if !known.contains(&script) {
                let next = unknown.len();
                let at = *place_of_unknown.entry(script).or_insert(next);
                if at == next {
                    unknown.push(UnknownScript { script, context_count: 0 });
                }
                unknown[at].context_count += 1;
                continue;
            }
            let id = u32::try_from(id).ok().and_then(|id| i32::try_from(id).ok());
            let Some(scope) = id.and_then(|id| lookup.row(script, id)) else { continue };
            place.insert(scope_info, found.len());
            found.push(Found { scope_info, script, scope, contexts: vec![context] });
        }
        (found, unknown)
    }

    /// The script of a scope: that of the nearest function around of which one is known.
    fn script_of(&self, known: &mut FxHashMap<u32, u32>, scope_info: u32) -> u32 {
        let mut way = Vec::new();
        let mut at = Some(scope_info);
        let mut script = NONE;
        while let Some(ord) = at {
            if let Some(&found) = known.get(&ord) {
                script = found;
                break;
            }
            // Whoever comes here again goes in a circle, or knows the answer.
            known.insert(ord, NONE);
            way.push(ord);
            at = self.internal(ord, Word::OuterScopeInfo);
        }
        for ord in way {
            known.insert(ord, script);
        }
        script
    }

    fn context_edges(&self, context: u32) -> impl Iterator<Item = usize> {
        let snapshot = self.snapshot;
        snapshot.edges_of(context).filter(|&e| snapshot.edge_kind(e) == EdgeKind::CONTEXT)
    }

    /// The variables of a scope's contexts. The first context names those of all.
    fn fields(&self, scopes: &Scopes, found: &Found) -> Vec<Field> {
        let strings = &self.snapshot.strings;
        let mut by_name = FxHashMap::default();
        for variable in scopes.variables_of(found.scope) {
            by_name.entry(strings.wtf8(scopes.variables[variable])).or_insert(variable);
        }
        let names = found.contexts.first().into_iter().flat_map(|&first| self.context_edges(first));
        names
            .map(|edge| {
                let name = self.snapshot.edges.name[edge];
                let variable = by_name.get(&strings.wtf8(name)).copied();
                Field { name, variable, closures: Vec::new(), suspended: Vec::new() }
            })
            .collect()
    }

    fn classify(
        &self,
        found: &Found,
        fields: &[Field],
        chains: &Chains<'_>,
        closures: &Live,
        suspended: &Live,
        dead: &mut DeadVariables,
    ) {
        let retained = &self.heap.retained;
        let first_context = dead.contexts.len();
        for &context in &found.contexts {
            let first_field = dead.fields.len();
            let inside = chains.interval(context);
            for (field, edge) in fields.iter().zip(self.context_edges(context)) {
                if field.variable.is_none() || closures.any(&field.closures, &inside) {
                    continue;
                }
                let resumable = suspended.any(&field.suspended, &inside);
                let value = self.snapshot.edges.to[edge];
                dead.fields.push(DeadField { name: field.name, edge, value, resumable });
            }
            let here = &mut dead.fields[first_field..];
            if here.is_empty() {
                continue;
            }
            here.sort_by_key(|field| Reverse(retained.get(field.value)));
            let dead_size = here.iter().fold(0u64, |sum, f| sum.saturating_add(retained.get(f.value)));
            dead.contexts.push(DeadContext { context, dead_size, fields: first_field..dead.fields.len() });
        }
        if dead.contexts.len() == first_context {
            return;
        }
        dead.contexts[first_context..].sort_by_key(|context| worst_first(self.heap, context));
        let scope_info = found.scope_info;
        dead.scopes.push(DeadScope {
            scope_info,
            script: found.script,
            name: self.internal(scope_info, Word::FunctionName),
            start: self.int(scope_info, Word::Start).unwrap_or(0),
            end: self.int(scope_info, Word::End).unwrap_or(0),
            field_count: fields.len(),
            contexts: first_context..dead.contexts.len(),
            function: None,
            closure: None,
        });
    }

    /// Finds the functions of scopes: that of the scope itself, or of the nearest around; and a closure of each, whose
    /// place may be known.
    fn name_functions(&self, scopes: &mut [DeadScope]) {
        if scopes.is_empty() {
            return;
        }
        let mut function_of: FxHashMap<u32, u32> = FxHashMap::default();
        let mut closure_of: FxHashMap<u32, u32> = FxHashMap::default();
        for ord in 0..self.snapshot.node_count() as u32 {
            if self.snapshot.node_kind(ord) == NodeKind::CLOSURE {
                if let Some(shared) = self.internal(ord, Word::Shared) {
                    closure_of.entry(shared).or_insert(ord);
                }
            } else if self.node(ord) == Word::FunctionNode
                && let Some(scope_info) = self.internal(ord, Word::NameOrScopeInfo)
            {
                function_of.entry(scope_info).or_insert(ord);
            }
        }
        for scope in scopes {
            let mut at = Some(scope.scope_info);
            let mut seen = FxHashSet::default();
            while let Some(ord) = at {
                scope.function = function_of.get(&ord).copied();
                if scope.function.is_some() || !seen.insert(ord) {
                    break;
                }
                at = self.internal(ord, Word::OuterScopeInfo);
            }
            scope.closure = scope.function.and_then(|function| closure_of.get(&function)).copied();
        }
    }
}

/// Rows of the table by script and id; of several the last.
struct Lookup(FxHashMap<(u32, i32), u32>);

impl Lookup {
    fn new(scopes: &Scopes) -> Self {
        let keys = scopes.scripts.iter().copied().zip(scopes.ids.iter().copied());
        Self(keys.zip(0..).collect())
    }

    fn row(&self, script: u32, id: i32) -> Option<usize> {
        self.0.get(&(script, id)).map(|&row| row as usize)
    }
}

/// The scopes in which each variable is used.
struct Uses {
    /// By variable, and one more.
    first: Vec<u32>,
    scopes: Vec<u32>,
}

impl Uses {
    fn new(scopes: &Scopes, lookup: &Lookup) -> Self {
        let mut first = vec![0u32; scopes.variables.len() + 1];
        for (variable, _) in Self::resolved(scopes, lookup) {
            first[variable] += 1;
        }
        let mut sum = 0;
        for slot in &mut first {
            sum += std::mem::replace(slot, sum);
        }
        let mut users = vec![0; sum as usize];
        let mut next = first.clone();
        for (variable, user) in Self::resolved(scopes, lookup) {
            users[next[variable] as usize] = user;
            next[variable] += 1;
        }
        Self { first, scopes: users }
    }

    /// Pairs of a variable and a scope that uses it, both as positions in the tables.
    fn resolved(scopes: &Scopes, lookup: &Lookup) -> impl Iterator<Item = (usize, u32)> {
        (0..scopes.len()).flat_map(move |row| {
            let script = scopes.scripts[row];
            let user = lookup.row(script, scopes.ids[row]).unwrap_or(row) as u32;
            scopes.uses_of(row).filter_map(move |at| {
                let declares = lookup.row(script, scopes.use_scopes[at])?;
                let variables = scopes.variables_of(declares);
                let slot = scopes.use_slots[at] as usize;
                (slot < variables.len()).then_some((variables.start + slot, user))
            })
        })
    }

    fn of(&self, variable: usize) -> &[u32] {
        &self.scopes[self.first[variable] as usize..self.first[variable + 1] as usize]
    }
}

/// Functions that have closures, and where in the chains of contexts these begin.
struct Live {
    /// By row of the table: the nearest row, itself or around, whose function has closures.
    nearest: Vec<u32>,
    /// By row: the function, `NONE` if it has no closures.
    function: Vec<u32>,
    /// By function, and one more.
    first: Vec<u32>,
    /// Numbers of contexts, ascending within a function.
    points: Vec<u32>,
}

impl Live {
    fn new(scopes: &Scopes, lookup: &Lookup, chains: &Chains<'_>, closures: &[Closure]) -> Self {
        let mut pairs: Vec<(u32, u32)> = closures
            .iter()
            .filter_map(|c| Some((lookup.row(c.script, c.scope_id)? as u32, chains.point(c.context)?)))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut live = Self {
            nearest: Vec::with_capacity(scopes.len()),
            function: vec![NONE; scopes.len()],
            first: Vec::new(),
            points: Vec::with_capacity(pairs.len()),
        };
        for (row, point) in pairs {
            let slot = &mut live.function[row as usize];
            if *slot == NONE {
                *slot = live.first.len() as u32;
                live.first.push(live.points.len() as u32);
            }
            live.points.push(point);
        }
        live.first.push(live.points.len() as u32);
        for row in 0..scopes.len() {
            // An id that occurs twice has its closures at its last row.
            let last = lookup.row(scopes.scripts[row], scopes.ids[row]).unwrap_or(row);
            live.function[row] = live.function[last];
            let parent = scopes.parents[row];
            live.nearest.push(match live.function[row] {
                NONE if parent == Scopes::NONE => NONE,
                NONE => live.nearest[parent as usize],
                _ => row as u32,
            });
        }
        live
    }

    /// The functions that use a variable, or are around such a function.
    fn functions_using(&self, scopes: &Scopes, uses: &Uses, variable: usize) -> Vec<u32> {
        let mut functions = Vec::new();
        let mut seen = FxHashSet::default();
        for &user in uses.of(variable) {
            let mut row = self.nearest[user as usize];
            // Whoever was met before has met all around.
            while row != NONE && seen.insert(row) {
                functions.push(self.function[row as usize]);
                let parent = scopes.parents[row as usize];
                row = if parent == Scopes::NONE { NONE } else { self.nearest[parent as usize] };
            }
        }
        functions
    }

    /// Whether a closure of one of the functions has its context in an interval.
    fn any(&self, functions: &[u32], inside: &Range<u32>) -> bool {
        functions.iter().any(|&function| {
            let span = self.first[function as usize] as usize..self.first[function as usize + 1] as usize;
            let points = &self.points[span];
            let at = points.partition_point(|&point| point < inside.start);
            points.get(at).is_some_and(|&point| point < inside.end)
        })
    }
}

/// Contexts as a forest by their edges `previous`: each has a number, and an interval that holds the numbers of those
/// whose chain it is in.
struct Chains<'s> {
    /// Ascending.
    contexts: &'s [u32],
    point: Vec<u32>,
    start: Vec<u32>,
    end: Vec<u32>,
}

impl<'s> Chains<'s> {
    fn new(contexts: &'s [u32], previous: impl Fn(u32) -> Option<u32>) -> Self {
        let n = contexts.len();
        let place = |ord| contexts.binary_search(&ord).ok().map(|at| at as u32);
        let up: Vec<u32> =
            contexts.iter().map(|&context| previous(context).and_then(place).unwrap_or(NONE)).collect();
        // From the ends of chains inwards; what is not reached goes in circles.
        let mut below = vec![0u32; n];
        for &up in up.iter().filter(|&&up| up != NONE) {
            below[up as usize] += 1;
        }
        let mut order: Vec<u32> = (0..n as u32).filter(|&at| below[at as usize] == 0).collect();
        let mut size = vec![1u32; n];
        let mut done = 0;
        while let Some(&at) = order.get(done) {
            done += 1;
            let up = up[at as usize];
            if up != NONE {
                size[up as usize] += size[at as usize];
                below[up as usize] -= 1;
                if below[up as usize] == 0 {
                    order.push(up);
                }
            }
        }
        let mut chains = Self { contexts, point: vec![NONE; n], start: vec![0; n], end: vec![0; n] };
        // `next` is the first number that is free below each context.
        let (mut next, mut free) = (vec![0; n], 0);
        for first in 0..n {
            if below[first] == 0 || chains.point[first] != NONE {
                continue;
            }
            // A circle: all are in the chain of each, and so have one interval.
            let start = free;
            let mut at = first;
            while chains.point[at] == NONE {
                chains.point[at] = free;
                next[at] = free + 1;
                free += size[at];
                at = up[at] as usize;
            }
            while chains.end[at] == 0 {
                (chains.start[at], chains.end[at]) = (start, free);
                at = up[at] as usize;
            }
        }
        for &at in order.iter().rev() {
            let cursor =
                if up[at as usize] == NONE { &mut free } else { &mut next[up[at as usize] as usize] };
            let start = *cursor;
            *cursor += size[at as usize];
            let at = at as usize;
            (chains.point[at], chains.start[at], chains.end[at]) = (start, start, start + size[at]);
            next[at] = start + 1;
        }
        chains
    }

    /// The number of a context; `None` for what is no context.
    fn point(&self, context: u32) -> Option<u32> {
        self.contexts.binary_search(&context).ok().map(|at| self.point[at])
    }

    /// The numbers of those that have a context in their chain.
    fn interval(&self, context: u32) -> Range<u32> {
        self.contexts.binary_search(&context).map_or(0..0, |at| self.start[at]..self.end[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_intervals_and_circles_are_one() {
        // 1 <- 2 <- 3, 1 <- 4; 5 and 6 in a circle with 7 below; 8 before itself.
        let up = [(2, 1), (3, 2), (4, 1), (5, 6), (6, 5), (7, 6), (8, 8)];
        let contexts = [1, 2, 3, 4, 5, 6, 7, 8];
        let chains = Chains::new(&contexts, |c| up.iter().find(|u| u.0 == c).map(|u| u.1));
        for &context in &contexts {
            for &from in &contexts {
                let mut chain = vec![from];
                while let Some(&(_, next)) = up.iter().find(|u| u.0 == chain[chain.len() - 1])
                    && !chain.contains(&next)
                {
                    chain.push(next);
                }
                let inside =
                    chains.point(from).is_some_and(|point| chains.interval(context).contains(&point));
                assert_eq!(inside, chain.contains(&context), "{context} in the chain of {from}");
            }
        }
        assert_eq!((chains.point(9), chains.interval(9)), (None, 0..0));
    }
}
