//! Where code stands: from a closure, or an object of a class, to file, line, column and package.
//!
//! A snapshot says of closures, and of objects whose constructor is a function of the program, in which script, line and
//! column the function begins, the script by number only. [`Code`] knows the scripts of one capture by number: from the
//! side file that the capture left, and else from the snapshot itself, which has the URL of each script whose functions
//! are alive.

mod files;
mod map;
mod package;
mod place;
mod sources;

use std::sync::OnceLock;

use heapsight_analysis::{Heap, dead_variables::script_name};
use heapsight_snapshot::{EdgeKind, Location, NodeKind, Snapshot};
use rustc_hash::{FxHashMap, FxHashSet};

use files::{Budget, Mapped, map_of};

pub use package::package_of;
pub use place::{Place, shown};
pub use sources::Sources;

/// What V8 calls the reference from a compiled function to its script: now, and before version 12.
pub(crate) const SCRIPT_EDGES: [&str; 2] = ["script", "script_or_debug_info"];

/// A script of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its number in the locations of the snapshot.
    pub id: u64,
    /// Its URL or path; empty for one without.
    pub url: String,
    /// Where its source map is: a URL, relative to the script's. Of a `data:` URL the beginning is enough, the rest is in
    /// the script. `None` if it has no map, empty if that is not known.
    pub source_map_url: Option<String>,
}

/// A script and its map, which is read when it is needed first.
#[derive(Debug)]
struct Known {
    script: Script,
    map: OnceLock<Option<Mapped>>,
}

/// Scripts by number.
type Scripts = FxHashMap<u64, Known>;

/// The scripts of one capture. Places are asked for with the heap of that capture.
#[derive(Debug, Default)]
pub struct Code {
    scripts: Scripts,
    /// Scripts that only the snapshot names; found when one is asked for first.
    of_heap: OnceLock<Scripts>,
    budget: Budget,
}

impl Code {
    /// Knows nothing but what the snapshot says itself.
    pub fn none() -> Self {
        Self::default()
    }

    /// Knows these scripts.
    pub fn new(scripts: Vec<Script>) -> Self {
        Self { scripts: by_id(scripts), ..Self::default() }
    }

    /// Where a closure stands, or the constructor of an object. `None` for what is no code of a script that is known by
    /// name. Linear in the number of the object's references; the first call may go over all locations once, and the first
    /// for a script reads its source map.
    pub fn place(&self, heap: &Heap, node: u32) -> Option<Place> {
        self.at(heap, location(heap, node)?)
    }

    /// What a location of the snapshot means.
    pub fn at(&self, heap: &Heap, location: Location) -> Option<Place> {
        let known = self.known(heap, u64::from(location.script_id))?;
        let generated = Place::in_script(&known.script.url, location.line, location.column);
        let mapped = known.map.get_or_init(|| map_of(&known.script, &self.budget));
        let original =
            mapped.as_ref().and_then(|m| Some((m, m.map.original(location.line, location.column)?)));
        let Some((mapped, original)) = original else { return Some(generated) };
        let mut place = Place::in_script(&mapped.source(original.source), original.line, original.column);
        place.package = place.package.or_else(|| generated.package.clone());
        place.generated = Some(Box::new(generated));
        Some(place)
    }

    /// The script of a number, if it has a name.
    fn known(&self, heap: &Heap, id: u64) -> Option<&Known> {
        self.scripts
            .get(&id)
            .filter(|known| !known.script.url.is_empty())
            .or_else(|| self.of_heap.get_or_init(|| by_id(scripts_of(heap))).get(&id))
    }
}

fn by_id(scripts: Vec<Script>) -> Scripts {
    scripts.into_iter().map(|script| (script.id, Known { script, map: OnceLock::new() })).collect()
}

/// The location of a closure, or of an object's constructor. V8 writes one for most objects that have one; for the others
/// the constructor is looked for where the language has it, at the prototype.
pub fn location(heap: &Heap, node: u32) -> Option<Location> {
    let snapshot = &heap.snapshot;
    if (node as usize) >= snapshot.node_count() {
        return None;
    }
    snapshot.locations.of(node).or_else(|| {
        (snapshot.node_kind(node) == NodeKind::OBJECT)
            .then(|| constructor(heap, node))
            .flatten()
            .and_then(|closure| snapshot.locations.of(closure))
    })
}

/// The constructor of an object: its own if it is a prototype, or what its map or its prototype says.
fn constructor(heap: &Heap, node: u32) -> Option<u32> {
    let snapshot = &heap.snapshot;
    let closure = |ord: &u32| snapshot.node_kind(*ord) == NodeKind::CLOSURE;
    let literals = &heap.known.literals;
    let named = |kind: EdgeKind, name: &heapsight_analysis::known::Literal| {
        let is = |&e: &usize| snapshot.edge_kind(e) == kind && name.is(snapshot.edges.name[e]);
        snapshot.edges_of(node).find(is).map(|e| snapshot.edges.to[e])
    };
    // A prototype stands where its class does.
    let own = property(snapshot, node, "constructor").filter(closure);
    own.or_else(|| {
        named(EdgeKind::INTERNAL, &literals.map)
            .and_then(|map| snapshot.internal_edge(map, "constructor"))
            .filter(closure)
    })
    .or_else(|| {
        let prototype = named(EdgeKind::PROPERTY, &literals.proto)?;
        property(snapshot, prototype, "constructor").filter(closure)
    })
}

/// The value of a property.
fn property(snapshot: &Snapshot, ord: u32, name: &str) -> Option<u32> {
    snapshot
        .edges_of(ord)
        .find(|&e| {
            snapshot.edge_kind(e) == EdgeKind::PROPERTY && snapshot.strings.is(snapshot.edges.name[e], name)
        })
        .map(|e| snapshot.edges.to[e])
}

/// The scripts that the functions of a heap name. Whether they have source maps is not known. Linear in the number of
/// locations.
fn scripts_of(heap: &Heap) -> Vec<Script> {
    let snapshot = &heap.snapshot;
    let locations = &snapshot.locations;
    let mut seen = FxHashSet::default();
    let mut scripts = Vec::new();
    for (position, &ord) in locations.nodes.iter().enumerate() {
        let id = u64::from(locations.script_ids[position]);
        if snapshot.node_kind(ord) != NodeKind::CLOSURE || seen.contains(&id) {
            continue;
        }
        let script = snapshot
            .internal_edge(ord, "shared")
            .and_then(|function| SCRIPT_EDGES.iter().find_map(|name| snapshot.internal_edge(function, name)));
        let url = script.map(|script| script_url(heap, script)).unwrap_or_default();
        if !url.is_empty() {
            seen.insert(id);
            scripts.push(Script { id, url, source_map_url: Some(String::new()) });
        }
    }
    scripts
}

/// The URL or path of a script's node; empty if it has none.
pub fn script_url(heap: &Heap, script: u32) -> String {
    let snapshot = &heap.snapshot;
    // Before version 12 of V8 a script's node is called like the script and nothing else.
    let raw = heap.names().raw(script);
    if !raw.is_empty() && !raw.starts_with("system / ") && !raw.starts_with('(') {
        return raw.into_owned();
    }
    let url = script_name(heap, script);
    if !url.is_empty() {
        return url;
    }
    // Pieces of other strings are written without their text.
    let name = snapshot.internal_edge(script, "name").filter(|&n| snapshot.node_kind(n) == NodeKind::STRING);
    name.map(|n| heap.names().node(n).into_owned()).unwrap_or_default()
}
