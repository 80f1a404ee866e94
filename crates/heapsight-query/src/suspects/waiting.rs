//! What waits, and was perhaps forgotten: promises that are not settled, timers, stores of asynchronous contexts, domains.
//!
//! V8 writes of a promise what it was resolved with, or the reactions that wait for it, if this is an object. Of a promise
//! without either it is not known whether it was settled; a thousand of them in one place are worth a word all the same.
//!
//! Stores of AsyncLocalStorage are found by what keeps them: up to Node.js 22 each promise, timer and other resource has
//! the store as a property (`kResourceStore`); from 24 on there is an AsyncContextFrame for each set of stores.

use heapsight_analysis::{Heap, bits::BitSet, readable::NONE, subtrees::Subtrees};
use heapsight_snapshot::{EdgeKind, NodeKind};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Finding, Found, Pattern, finding,
    gather::{Gathering, Set, gather},
};
use crate::leak::placing::{Placing, is_runtime};
use crate::story::counted;

/// So many timers, waiters or contexts at one time.
const MANY: u64 = 1000;

/// Classes of the stores that are listed.
const CLASSES: usize = 8;

/// The sets of nodes, found in one pass.
struct Sets {
    reactions: BitSet,
    /// Promises of which neither a result nor a reaction is known.
    silent: BitSet,
    timers: BitSet,
    domains: BitSet,
    frames: BitSet,
    stores: BitSet,
    /// What chains of what waits lead through.
    through: BitSet,
}

impl Sets {
    fn new(heap: &Heap) -> Self {
        let snapshot = &heap.snapshot;
        let literals = &heap.known.literals;
        let n = snapshot.node_count();
        let named = |name: &str| -> BitSet {
            let mut set = BitSet::new(heap.classes.table.len());
            for (class, row) in heap.classes.table.iter().enumerate() {
                if row.name == name {
                    set.insert(class);
                }
            }
            set
        };
        let (promise, timeout, domain) = (named("Promise"), named("Timeout"), named("Domain"));
        let (frame, immediate) = (named("AsyncContextFrame"), named("Immediate"));
        let set = || BitSet::new(n);
        let mut sets = Self {
            reactions: set(),
            silent: set(),
            timers: set(),
            domains: set(),
            frames: set(),
            stores: set(),
            through: set(),
        };
        for ord in 0..n as u32 {
            let at = ord as usize;
            match snapshot.node_kind(ord) {
                NodeKind::OBJECT => {}
                kind if !kind.is_string() && literals.promise_reaction.is(snapshot.nodes.name[at]) => {
                    sets.reactions.insert(at);
                    sets.through.insert(at);
                    continue;
                }
                _ => continue,
            }
            let class = heap.classes.of[at] as usize;
            let is_promise = promise.contains(class);
            let mut has_result = false;
            for edge in snapshot.edges_of(ord) {
                let (name, to) = (snapshot.edges.name[edge], snapshot.edges.to[edge]);
                match snapshot.edge_kind(edge) {
                    EdgeKind::INTERNAL => has_result |= is_promise && literals.reactions_or_result.is(name),
                    EdgeKind::PROPERTY if literals.resource_store.is(name) && is_value(heap, to) => {
                        sets.stores.insert(to as usize);
                    }
                    // The prototype of a class is called like its objects.
                    EdgeKind::PROPERTY if is_promise && snapshot.strings.is(name, "constructor") => {
                        has_result = true;
                    }
                    _ => {}
                }
            }
            let mut is_through = is_promise;
            if is_promise && !has_result {
                sets.silent.insert(at);
            }
            for (classes, members) in
                [(&timeout, &mut sets.timers), (&domain, &mut sets.domains), (&frame, &mut sets.frames)]
            {
                if classes.contains(class) {
                    members.insert(at);
                    is_through = true;
                }
            }
            if is_through || immediate.contains(class) {
                sets.through.insert(at);
            }
        }
        sets
    }
}

/// Whether a node is something that a program can have as a store, and not `undefined` or another of V8's own.
fn is_value(heap: &Heap, ord: u32) -> bool {
    let kind = heap.snapshot.node_kind(ord);
    kind.is_string() || matches!(kind, NodeKind::OBJECT | NodeKind::CLOSURE)
}

/// What is said of a gathering.
struct Told {
    pattern: Pattern,
    /// What the members are, where they have no container in common.
    noun: &'static str,
    why: String,
}

/// What to do about promises.
const SETTLE: &str =
    "settle them, or give up on them after some time, and take them out of where they are kept";

/// What to do about stores.
const STORES: &str = "promises, timers and other resources that were made in `run` or after `enterWith` keep the store until \
                      they are done and gone: end them, or start what lives long outside of the context";

/// Looks for all of them.
pub(super) fn find(placing: Placing<'_>) -> Vec<Finding> {
    let sets = Sets::new(placing.heap);
    let mut search = Search { placing, through: &sets.through, subtrees: None, list: Vec::new() };
    search.add(&sets.reactions, true, |gathering| {
        let n = counted(gathering.count);
        let why = if gathering.head {
            format!(
                "{n} reactions wait for one promise that is not settled: each `await`, `then` or `Promise.race` on a promise \
                 that lives long adds one, which stays until that promise is settled, with all that it holds. Wait for a \
                 promise that is settled with each piece of work, or for an event that can be unsubscribed from"
            )
        } else {
            format!("{n} reactions (`await`, `then`) wait for promises that are not settled: {SETTLE}")
        };
        Told { pattern: Pattern::Promises, noun: "promises", why }
    });
    search.add(&sets.silent, true, |gathering| {
        let n = counted(gathering.count);
        let why = format!(
            "{n} promises are kept and have no result: they are pending, or were settled with nothing or a number. {}{}",
            SETTLE[..1].to_uppercase(),
            &SETTLE[1..]
        );
        Told { pattern: Pattern::Promises, noun: "promises", why }
    });
    search.add(&sets.timers, false, |gathering| {
        let n = counted(gathering.count);
        let why = format!(
            "{n} timers have not run out and were not cleared: keep what `setInterval` and `setTimeout` return and clear it \
             (`clearInterval`, `clearTimeout`) when it is no longer needed; until then a timer keeps all that its function uses"
        );
        Told { pattern: Pattern::Timers, noun: "timers", why }
    });
    search.add(&sets.stores, false, |gathering| {
        let why =
            format!("{} stores of AsyncLocalStorage are kept alive: {STORES}", counted(gathering.count));
        Told { pattern: Pattern::AsyncContext, noun: "stores of AsyncLocalStorage", why }
    });
    search.add(&sets.frames, false, |gathering| {
        let n = counted(gathering.count);
        let why =
            format!("{n} asynchronous contexts with stores of AsyncLocalStorage are kept alive: {STORES}");
        Told { pattern: Pattern::AsyncContext, noun: "stores of AsyncLocalStorage", why }
    });
    search.add(&sets.domains, false, |gathering| {
        let n = counted(gathering.count);
        let why = format!(
            "{n} domains are alive: each promise, timer and emitter that was made in a domain keeps it, and its listeners keep \
             what they use. Let go of what was made in a domain when its work is done, or use AsyncLocalStorage instead"
        );
        Told { pattern: Pattern::AsyncContext, noun: "domains", why }
    });
    search.list
}

struct Search<'a> {
    placing: Placing<'a>,
    through: &'a BitSet,
    subtrees: Option<Subtrees<'a>>,
    list: Vec<Finding>,
}

impl Search<'_> {
    /// Adds the places where many of a set are.
    fn add(&mut self, members: &BitSet, heads: bool, tell: impl Fn(&Gathering) -> Told) {
        if (members.count() as u64) < MANY {
            return;
        }
        let (heap, tree) = (self.placing.heap, self.placing.tree);
        for gathering in gather(heap, tree, Set { members, through: self.through, heads, least: MANY }) {
            let told = tell(&gathering);
            let id = heap.snapshot.nodes.id[gathering.ord as usize];
            // Who waits for a promise has a promise of its own, which is no second finding.
            if self.list.iter().any(|other| other.id == id && other.pattern == told.pattern) {
                continue;
            }
            let subtrees = self.subtrees.get_or_insert_with(|| Subtrees::new(heap));
            let is_most = gathering.count * 2 >= members.count() as u64;
            let mut holders = if gathering.scattered { Vec::new() } else { vec![gathering.ord] };
            if is_most {
                holders.extend(members.iter().map(|ord| ord as u32));
            }
            let retained_size = subtrees.retained(&mut holders);
            let parts = if is_most && told.pattern == Pattern::AsyncContext {
                classes_of_stores(heap, members)
            } else {
                Vec::new()
            };
            let found = Found {
                count: gathering.count,
                retained_size,
                parts,
                why: told.why,
                examples: self.with_holders(&gathering.examples),
            };
            let mut finding = finding(self.placing, gathering.ord, None, told.pattern, found);
            if finding.place.as_ref().is_none_or(|placed| is_runtime(&placed.place)) {
                // Of what has no function of the program's the class says something.
                let stores = gathering.examples.iter().flat_map(|&ord| stores_of(heap, ord));
                let mut classes = stores.filter_map(|ord| self.placing.of_object(ord));
                finding.place = classes.find(|placed| !is_runtime(&placed.place)).or(finding.place);
            }
            if gathering.scattered || told.pattern == Pattern::Timers {
                told.noun.clone_into(&mut finding.title);
            }
            self.list.push(finding);
        }
    }

    /// Members, and the promises, timers and other resources that keep them: their functions say where they are from.
    fn with_holders(&self, members: &[u32]) -> Vec<u32> {
        let holders = members.iter().filter_map(|&ord| {
            let parent = self.placing.tree.parent[ord as usize];
            let is_resource = parent != NONE
                && (self.through.contains(parent as usize)
                    || self.placing.heap.snapshot.node_kind(parent) == NodeKind::OBJECT);
            is_resource.then_some(parent)
        });
        let mut all: Vec<u32> = members.iter().copied().chain(holders).collect();
        let mut seen = FxHashSet::default();
        all.retain(|&ord| seen.insert(ord));
        all
    }
}

/// The classes of stores, or of what contexts have as stores: how many, and what they retain. The largest first.
fn classes_of_stores(heap: &Heap, members: &BitSet) -> Vec<(String, u64, u64)> {
    let mut classes: FxHashMap<u32, (u64, u64)> = FxHashMap::default();
    for store in members.iter().flat_map(|member| stores_of(heap, member as u32)) {
        let of = classes.entry(heap.classes.of[store as usize]).or_default();
        *of = (of.0 + 1, of.1.saturating_add(heap.retained.get(store)));
    }
    let mut list: Vec<(String, u64, u64)> = classes
        .into_iter()
        .map(|(class, (count, size))| (heap.classes.table[class as usize].name.clone(), count, size))
        .collect();
    list.sort_by(|a, b| (b.2, b.1, &a.0).cmp(&(a.2, a.1, &b.0)));
    list.truncate(CLASSES);
    list
}

/// The stores in the table of a frame, which has the AsyncLocalStorage of each before it; anything else is itself a store.
fn stores_of(heap: &Heap, ord: u32) -> impl Iterator<Item = u32> {
    let snapshot = &heap.snapshot;
    let table = (heap.classes.class(ord).name == "AsyncContextFrame")
        .then(|| {
            snapshot.edges_of(ord).find(|&edge| {
                snapshot.edge_kind(edge) == EdgeKind::INTERNAL
                    && heap.known.literals.table.is(snapshot.edges.name[edge])
            })
        })
        .flatten()
        .map(|edge| snapshot.edges.to[edge]);
    let entries = table.into_iter().flat_map(|table| snapshot.edges_of(table));
    let stores = entries
        .map(|edge| snapshot.edges.to[edge])
        .filter(|&to| is_value(heap, to) && heap.classes.class(to).name != "AsyncLocalStorage");
    stores.chain(table.is_none().then_some(ord))
}
