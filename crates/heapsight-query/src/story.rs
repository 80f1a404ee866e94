//! Stories: the way from a root to an object as a person would tell it.
//!
//! A way is made of edges, many of which are V8's own: the table of a Map, the elements of an array, the context of a
//! function. A story has the object that is meant, and names the variable or the property by which it goes on. What happens
//! inside of a library is one hop. The whole way is kept beside it.

use heapsight_analysis::{
    Heap,
    growth::is_store,
    readable::{NONE, ReadableTree},
};
use heapsight_snapshot::{EdgeKind, NodeKind};

use crate::{
    code::{Code, Place},
    leak::naming,
};

/// Hops of a library that are told one by one all the same.
const SHORT: usize = 2;

/// How a step names the object that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The first step.
    Root,
    /// A property.
    Property,
    /// An element of an array, an entry of a Map or a Set, a property of an object that is used as a dictionary.
    Entry,
    /// A variable of a function's context.
    Variable,
    /// The value of a WeakMap, held by its key.
    WeakMap,
    /// What JavaScript cannot see.
    Internal,
}

/// A step of the whole way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How it is named.
    pub link: Link,
    /// The name of the edge; empty for the first step.
    pub edge: String,
    /// What is shown of the object.
    pub name: String,
    /// V8's object id.
    pub id: u32,
    /// The object's class.
    pub class: String,
    /// Where the function stands, or the constructor of the object.
    pub place: Option<Place>,
    /// The ordinal.
    pub ord: u32,
    /// A backing store or another inside of the step before.
    pub inside: bool,
}

/// A hop of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// A step: what is said of it.
    Step(String),
    /// Steps in a library, or in the runtime.
    Library(String, usize),
}

/// The way to an object on a tree, from the root on.
pub fn way(heap: &Heap, tree: &ReadableTree, code: &Code, ord: u32) -> Vec<Step> {
    let snapshot = &heap.snapshot;
    let mut steps = Vec::new();
    let edges = tree.way(ord);
    for (at, &edge) in edges.iter().enumerate() {
        let edge = edge as usize;
        let target = snapshot.edges.to[edge];
        let parent = tree.parent[target as usize];
        if at == 0 && snapshot.node_kind(target) == NodeKind::SYNTHETIC {
            continue;
        }
        let mut step = step(heap, code, Some((edge, parent)), target);
        if step.link == Link::WeakMap
            && let Some(map) = weak_map_of(heap, edge)
        {
            step.edge = naming::title(heap, tree, map);
        }
        if steps.is_empty() {
            step.link = Link::Root;
            step.edge = String::new();
        }
        steps.push(step);
    }
    if steps.is_empty() {
        steps.push(step(heap, code, None, ord));
    }
    steps
}

fn step(heap: &Heap, code: &Code, edge: Option<(usize, u32)>, ord: u32) -> Step {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    let (link, name) = match edge {
        None => (Link::Root, String::new()),
        Some((edge, parent)) => (link(heap, edge, parent), names.edge(edge).into_owned()),
    };
    let name = if link == Link::WeakMap { "(WeakMap)".to_owned() } else { name };
    Step {
        link,
        edge: name,
        name: crate::object::preview(heap, ord),
        id: snapshot.nodes.id[ord as usize],
        class: heap.classes.class(ord).name.clone(),
        place: code.place(heap, ord),
        ord,
        inside: is_store(snapshot, ord),
    }
}

/// What an edge is to a person.
pub fn link(heap: &Heap, edge: usize, parent: u32) -> Link {
    let snapshot = &heap.snapshot;
    match snapshot.edge_kind(edge) {
        EdgeKind::CONTEXT => Link::Variable,
        EdgeKind::PROPERTY => Link::Property,
        EdgeKind::ELEMENT => Link::Entry,
        EdgeKind::INTERNAL if heap.known.weak_map_edge(snapshot.edges.name[edge]).is_some() => Link::WeakMap,
        EdgeKind::INTERNAL | EdgeKind::HIDDEN if is_store(snapshot, parent) => Link::Entry,
        _ => Link::Internal,
    }
}

/// The WeakMap whose entry an edge from key to value is.
pub fn weak_map_of(heap: &Heap, edge: usize) -> Option<u32> {
    let snapshot = &heap.snapshot;
    let entry = heap.known.weak_map_edge(snapshot.edges.name[edge])?;
    let table = heap.find_id(entry.table_id)?;
    let holds = |edge: usize| snapshot.strings.is(snapshot.edges.name[edge], "table");
    heap.retainers().of(snapshot, table).find(|retainer| holds(retainer.edge)).map(|retainer| retainer.from)
}

/// Whether an object is a context of a function.
pub fn is_context(heap: &Heap, ord: u32) -> bool {
    heap.known.literals.system_context.is(heap.snapshot.nodes.name[ord as usize])
        || heap.snapshot.strings.raw(heap.snapshot.nodes.name[ord as usize]).starts_with(b"system / Context")
}

/// The name of a class in a few words: of an inferred interface only the beginning, of a global object not what kind of
/// global it is, as newer versions of V8 say.
pub fn short_class(class: &str) -> String {
    const LENGTH: usize = 40;
    let class = class.strip_suffix(" (global*)").unwrap_or(class);
    if class.chars().count() <= LENGTH {
        return class.to_owned();
    }
    let mut short: String = class.chars().take(LENGTH).collect();
    short.push('…');
    if class.starts_with('{') {
        short.push('}');
    }
    short
}

/// What a step says of its object.
fn label(heap: &Heap, step: &Step) -> String {
    let snapshot = &heap.snapshot;
    let ord = step.ord;
    match snapshot.node_kind(ord) {
        NodeKind::CLOSURE => {
            let name = heap.names().raw(ord);
            let name = if name.is_empty() { "(anonymous)".to_owned() } else { name.into_owned() };
            match &step.place {
                Some(place) => format!("function {name} ({})", place.short()),
                None => format!("function {name}"),
            }
        }
        _ if is_context(heap, ord) => "context".to_owned(),
        NodeKind::OBJECT => short_class(&step.class),
        _ => short_class(&step.name),
    }
}

/// Tells a way.
pub fn tell(heap: &Heap, steps: &[Step]) -> Vec<Hop> {
    // What is inside of the step before is not told; its name goes to what it leads to.
    let told: Vec<&Step> = steps.iter().filter(|step| !step.inside).collect();
    let mut hops = Vec::new();
    let mut at = 0;
    while at < told.len() {
        let step = told[at];
        let library = library_of(step);
        if let Some(library) = &library {
            // As far as it goes on in the same library, or in what is nobody's.
            let mut end = at;
            for (next, step) in told.iter().enumerate().skip(at) {
                match library_of(step) {
                    Some(other) if other == *library => end = next,
                    Some(_) => break,
                    None if step.place.is_some() => break,
                    None => {}
                }
            }
            // The last steps are told: they are what is asked for.
            let last = told.len().saturating_sub(2);
            if end >= at + SHORT && at > 0 && end < last {
                hops.push(Hop::Library(library.clone(), end + 1 - at));
                at = end + 1;
                continue;
            }
        }
        let label = label(heap, step);
        let text = match step.link {
            _ if hops.is_empty() && !matches!(step.link, Link::Variable | Link::Property) => label,
            Link::Variable => format!("variable {}: {label}", step.edge),
            Link::Property => format!(".{}: {label}", step.edge),
            Link::Entry => format!("[…]: {label}"),
            Link::WeakMap => format!("value in WeakMap {}: {label}", step.edge),
            Link::Internal if is_context(heap, step.ord) => {
                at += 1;
                continue;
            }
            Link::Root | Link::Internal => label,
        };
        hops.push(Hop::Step(text));
        at += 1;
    }
    folded(&hops)
}

/// A story in which what is said again and again, as of the nodes of a chain, is said once.
fn folded(hops: &[Hop]) -> Vec<Hop> {
    /// Hops that make up one link of a chain.
    const PERIOD: usize = 6;
    let mut told = Vec::with_capacity(hops.len().min(64));
    let mut at = 0;
    'hops: while at < hops.len() {
        for period in 1..=PERIOD.min((hops.len() - at) / 2) {
            let (one, rest) = hops[at..].split_at(period);
            let times = rest.chunks_exact(period).take_while(|chunk| *chunk == one).count();
            if times * period >= 4 {
                told.extend_from_slice(one);
                told.push(Hop::Step(format!("(the same {times} times more)")));
                at += (times + 1) * period;
                continue 'hops;
            }
        }
        told.push(hops[at].clone());
        at += 1;
    }
    told
}

/// The library that a step's code belongs to.
fn library_of(step: &Step) -> Option<String> {
    step.place.as_ref().and_then(|place| place.package.clone())
}

/// The nearest step above an object that is no inside: its owner. `None` at a root.
pub fn owner(heap: &Heap, tree: &ReadableTree, ord: u32) -> Option<(u32, usize)> {
    let mut at = ord;
    // A store in a store, and so on; ways end.
    loop {
        let edge = tree.edge[at as usize];
        if edge == NONE {
            return None;
        }
        let parent = tree.parent[at as usize];
        if !is_store(&heap.snapshot, parent) {
            return Some((parent, edge as usize));
        }
        at = parent;
    }
}

/// A count in words, its thousands apart.
pub(crate) fn counted(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_told_once() {
        let hops = |names: &[&str]| names.iter().map(|&name| Hop::Step(name.to_owned())).collect::<Vec<_>>();
        let chain = ["a", "p", "r", "p", "r", "p", "r", "p", "b", "b"];
        let told = hops(&["a", "p", "r", "(the same 2 times more)", "p", "b", "b"]);
        assert_eq!(folded(&hops(&chain)), told);
        assert_eq!(folded(&hops(&["a", "b"])), hops(&["a", "b"]));
        assert_eq!(folded(&hops(&["n"; 100])), hops(&["n", "(the same 99 times more)"]));
        assert_eq!(folded(&[]), Vec::new());
    }
}
