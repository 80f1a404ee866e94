//! Who a holder is, in the program's words: `MemoryStore.sessions`, variable `cache`, listeners of "data".

use heapsight_analysis::{
    Heap,
    growth::{DICTIONARY, is_store},
    readable::{NONE, ReadableTree},
};
use heapsight_snapshot::{EdgeKind, NodeKind};

use crate::story::{Link, is_context, link, owner, short_class, weak_map_of};

/// Names of a title that are put together.
const DEPTH: usize = 5;

/// What a holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Map.
    Map,
    /// A Set.
    Set,
    /// An array.
    Array,
    /// An object used as a dictionary.
    Dictionary,
    /// The listeners of an event.
    Listeners,
    /// Timers that the runtime keeps.
    Timers,
    /// A promise that waits, with what waits for it.
    Promise,
    /// A linked list.
    List,
    /// A variable of a function or module.
    Variable,
    /// A field of an object.
    Field,
    /// A string that grows.
    Text,
    /// Memory outside of the heap.
    Buffer,
    /// Detached parts of a document.
    Detached,
    /// Something else.
    Object,
}

impl Kind {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Map => "Map",
            Self::Set => "Set",
            Self::Array => "Array",
            Self::Dictionary => "object used as a dictionary",
            Self::Listeners => "event listeners",
            Self::Timers => "timers",
            Self::Promise => "promise",
            Self::List => "linked list",
            Self::Variable => "variable",
            Self::Field => "field",
            Self::Text => "string",
            Self::Buffer => "buffer",
            Self::Detached => "detached DOM",
            Self::Object => "object",
        }
    }

    /// What it holds: one, several.
    pub fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Map | Self::Dictionary => ("entry", "entries"),
            Self::Set | Self::Array => ("element", "elements"),
            Self::Listeners => ("listener", "listeners"),
            Self::Timers => ("timer", "timers"),
            Self::Promise => ("waiter", "waiters"),
            Self::List => ("node", "nodes"),
            _ => ("object", "objects"),
        }
    }
}

/// A holder by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its name.
    pub title: String,
    /// What it is.
    pub kind: Kind,
    /// The object that is the container.
    pub ord: u32,
}

/// Names the container `ord`; `slot` is the edge of it below which its members are, if that tells them from others.
pub(crate) fn name(heap: &Heap, tree: &ReadableTree, ord: u32, slot: Option<usize>) -> Named {
    let class = &heap.classes.class(ord).name;
    let slot_name = slot.map(|edge| heap.names().edge(edge).into_owned());
    if let Some(event) = listeners_of(heap, tree, ord, slot) {
        let title = format!("{} listeners of {event}", title(heap, tree, event_emitter(heap, tree, ord)));
        return Named { title, kind: Kind::Listeners, ord };
    }
    let kind = match class.as_str() {
        "Map" | "WeakMap" => Kind::Map,
        "Set" | "WeakSet" => Kind::Set,
        "Array" => Kind::Array,
        "TimersList" | "Timeout" | "ImmediateList" | "Immediate" => Kind::Timers,
        "Promise" => Kind::Promise,
        _ if is_context(heap, ord) => Kind::Variable,
        _ if class.starts_with("Detached ") => Kind::Detached,
        _ if heap.names().is_plain_object(ord) => Kind::Dictionary,
        _ => Kind::Object,
    };
    if kind == Kind::Timers {
        return Named { title: "timers".to_owned(), kind, ord };
    }
    let own = title(heap, tree, ord);
    // Of a field the class says more than the variable that has the object.
    let base = if has_name(heap, ord) { short_class(class) } else { own.clone() };
    match (kind, slot_name) {
        (Kind::Object | Kind::Dictionary, Some(_)) if next_of_same(heap, ord, slot) => {
            Named { title: own, kind: Kind::List, ord }
        }
        (Kind::Variable, Some(name)) => {
            Named { title: name, kind: if leads_to_list(heap, slot) { Kind::List } else { kind }, ord }
        }
        (Kind::Dictionary | Kind::Object, Some(name)) if leads_to_list(heap, slot) => {
            Named { title: format!("{base}.{name}"), kind: Kind::List, ord }
        }
        (Kind::Dictionary | Kind::Object, Some(name)) if is_field(heap, ord, slot) => {
            Named { title: format!("{base}.{name}"), kind: Kind::Field, ord }
        }
        _ => Named { title: own, kind, ord },
    }
}

/// Whether a slot leads to an object of the same class: the next of a list.
pub(crate) fn next_of_same(heap: &Heap, ord: u32, slot: Option<usize>) -> bool {
    let of = &heap.classes.of;
    slot.is_some_and(|edge| of[heap.snapshot.edges.to[edge] as usize] == of[ord as usize])
}

/// Whether a slot leads to the first node of a list: an object with a field that leads to another one of its class.
fn leads_to_list(heap: &Heap, slot: Option<usize>) -> bool {
    let snapshot = &heap.snapshot;
    let Some(first) = slot.map(|edge| snapshot.edges.to[edge]) else { return false };
    snapshot.node_kind(first) == NodeKind::OBJECT
        && !is_context(heap, first)
        && snapshot.edges_of(first).take(64).any(|edge| {
            let name = snapshot.edges.name[edge];
            snapshot.edge_kind(edge) == EdgeKind::PROPERTY
                && !heap.known.literals.proto.is(name)
                && snapshot.edges.to[edge] != first
                && next_of_same(heap, first, Some(edge))
        })
}

/// Whether an object has so many properties that these are keys.
pub(super) fn is_dictionary(heap: &Heap, ord: u32) -> bool {
    heap.snapshot.edges_of(ord).len() > DICTIONARY
}

/// Whether a slot is a field that has a meaning of its own, and not one of many keys.
fn is_field(heap: &Heap, ord: u32, slot: Option<usize>) -> bool {
    let snapshot = &heap.snapshot;
    slot.is_some_and(|edge| snapshot.edge_kind(edge) == EdgeKind::PROPERTY && !is_dictionary(heap, ord))
}

/// The event whose listeners an array (or an object `_events`) holds, as it is told.
fn listeners_of(heap: &Heap, tree: &ReadableTree, ord: u32, slot: Option<usize>) -> Option<String> {
    let names = heap.names();
    let is_events = |edge: usize| {
        let name = names.edge(edge);
        name == "_events" || name == "<symbol kEvents>" || name == "<symbol events>"
    };
    // An EventTarget has a Map of them, whose table is no event; its entries are.
    let event = |edge: usize| {
        if heap.snapshot.edge_kind(edge) == EdgeKind::PROPERTY {
            return format!("\"{}\"", names.edge(edge));
        }
        match slot.is_none().then(|| key_of(heap, tree, ord)).flatten() {
            Some(key) => format!("\"{key}\""),
            None => "all events".to_owned(),
        }
    };
    let (parent, edge) = owner(heap, tree, ord)?;
    if is_events(edge) {
        return Some(slot.map_or_else(|| "all events".to_owned(), event));
    }
    let (_, above) = owner(heap, tree, parent)?;
    is_events(above).then(|| event(edge))
}

/// The key of the entry of a Map that an object is the value of, if it is text: the table has it right before the value.
fn key_of(heap: &Heap, tree: &ReadableTree, ord: u32) -> Option<String> {
    let snapshot = &heap.snapshot;
    let (edge, table) = (tree.edge[ord as usize], tree.parent[ord as usize]);
    if edge == NONE || !is_store(snapshot, table) {
        return None;
    }
    let position = |edge: usize| heap.names().edge(edge).parse::<u64>().ok();
    let before = position(edge as usize)?.checked_sub(1)?;
    let key = snapshot.edges_of(table).find(|&edge| position(edge) == Some(before))?;
    let key = snapshot.edges.to[key];
    snapshot.node_kind(key).is_string().then(|| heap.names().node(key).into_owned())
}

/// The emitter above a listener array.
fn event_emitter(heap: &Heap, tree: &ReadableTree, ord: u32) -> u32 {
    let mut at = ord;
    for _ in 0..2 {
        let Some((parent, edge)) = owner(heap, tree, at) else { return at };
        let found = heap.names().edge(edge);
        at = parent;
        if found == "_events" || found.starts_with("<symbol") {
            return at;
        }
    }
    at
}

/// The name of an object by the way it is held: the nearest variable, or class with a name, and the fields from there.
pub(crate) fn title(heap: &Heap, tree: &ReadableTree, ord: u32) -> String {
    let snapshot = &heap.snapshot;
    let mut tail = String::new();
    let mut at = ord;
    for depth in 0..DEPTH {
        let class = &heap.classes.class(at).name;
        // An object of a class with a name begins a title, unless it is what is asked for.
        if (depth > 0 && has_name(heap, at)) || snapshot.node_kind(at) == NodeKind::CLOSURE {
            let name = match snapshot.node_kind(at) {
                NodeKind::CLOSURE => heap.names().raw(at).into_owned(),
                _ => short_class(class),
            };
            return join(&name, &tail);
        }
        let Some((parent, edge)) = owner(heap, tree, at) else { return join(&short_class(class), &tail) };
        let name = heap.names().edge(edge).into_owned();
        if let Some(exported) = exported_name(heap, tree, at) {
            return join(&exported, &tail);
        }
        match link(heap, edge, tree.parent[at as usize]) {
            Link::Variable => return join(&name, &tail),
            Link::Property if snapshot.edges_of(parent).len() > 24 && tail.is_empty() && depth > 0 => {
                tail = format!("[…]{tail}");
            }
            Link::Property => tail = format!(".{name}{tail}"),
            Link::WeakMap => {
                tail = format!("[…]{tail}");
                // Who has the WeakMap has its values, too: the key only says how long.
                at = weak_map_of(heap, edge).unwrap_or(parent);
                continue;
            }
            Link::Entry => tail = format!("[…]{tail}"),
            Link::Root | Link::Internal => return join(&short_class(class), &tail),
        }
        at = parent;
        if tree.edge[at as usize] == NONE || is_store(snapshot, at) {
            break;
        }
    }
    join(&short_class(&heap.classes.class(at).name), &tail)
}

/// The name of a variable that a module exports, if an object is its value. Exported variables are in cells, and the table
/// of the module's exports has the name right before the cell.
pub(super) fn exported_name(heap: &Heap, tree: &ReadableTree, ord: u32) -> Option<String> {
    let snapshot = &heap.snapshot;
    let cell = tree.parent[ord as usize];
    if cell == NONE || snapshot.strings.raw(snapshot.nodes.name[cell as usize]) != b"system / Cell" {
        return None;
    }
    let position = |edge: usize| heap.names().edge(edge).parse::<u64>().ok();
    heap.retainers().of(snapshot, cell).find_map(|retainer| {
        let before = position(retainer.edge)?.checked_sub(1)?;
        let mut edges = snapshot.edges_of(retainer.from);
        let name = edges.find(|&edge| position(edge) == Some(before)).map(|edge| snapshot.edges.to[edge])?;
        snapshot.node_kind(name).is_string().then(|| heap.names().node(name).into_owned())
    })
}

/// Whether an object's class says who it is.
fn has_name(heap: &Heap, ord: u32) -> bool {
    let class = &heap.classes.class(ord).name;
    heap.snapshot.node_kind(ord) == NodeKind::OBJECT
        && !class.starts_with('{')
        && !matches!(class.as_str(), "Object" | "Array" | "Map" | "Set" | "WeakMap" | "WeakSet")
        && !is_context(heap, ord)
}

fn join(head: &str, tail: &str) -> String {
    let head = if head.is_empty() { "(anonymous)" } else { head };
    format!("{head}{tail}")
}
