//! Where code stands: from a closure, or an object of a class, to file, line, column and package.
//!
//! A snapshot says of closures, and of objects whose constructor is a function of the program, in which script, line and
//! column the function begins, the script by number only. [`Code`] knows the scripts of one capture by number: from the
//! side file that the capture left, and else from the snapshot itself, which has the URL of each script whose functions
//! are alive.

mod package;
mod place;

use std::sync::OnceLock;

use heapsight_analysis::{Heap, dead_variables::script_name};
use heapsight_snapshot::{EdgeKind, Location, NodeKind, Snapshot};
use rustc_hash::FxHashMap;

pub use package::package_of;
pub use place::Place;

/// A script of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its number in the locations of the snapshot.
    pub id: u64,
    /// Its URL or path; empty for one without.
    pub url: String,
    /// Where its source map is, if it has one: a URL, relative to the script's. Of a `data:` URL the beginning is enough.
    pub source_map_url: Option<String>,
}

/// The scripts of one capture. Places are asked for with the heap of that capture.
#[derive(Debug, Default)]
pub struct Code {
    scripts: FxHashMap<u64, Script>,
    /// Scripts that only the snapshot names; found when one is asked for first.
    of_heap: OnceLock<FxHashMap<u64, Script>>,
}

impl Code {
    /// Knows nothing but what the snapshot says itself.
    pub fn none() -> Self {
        Self::default()
    }

    /// Knows these scripts.
    pub fn new(scripts: Vec<Script>) -> Self {
        let scripts = scripts.into_iter().map(|script| (script.id, script)).collect();
        Self { scripts, of_heap: OnceLock::new() }
    }

    /// Where a closure stands, or the constructor of an object. `None` for what is no code of a script that is known by
    /// name. Linear in the number of the object's references; the first call may go over all locations once.
    pub fn place(&self, heap: &Heap, node: u32) -> Option<Place> {
        self.at(heap, location(heap, node)?)
    }

    /// What a location of the snapshot means.
    pub fn at(&self, heap: &Heap, location: Location) -> Option<Place> {
        let script = self.script(heap, u64::from(location.script_id)).filter(|s| !s.url.is_empty())?;
        Some(Place::in_script(&script.url, location.line, location.column))
    }

    /// The script of a number.
    fn script(&self, heap: &Heap, id: u64) -> Option<&Script> {
        self.scripts
            .get(&id)
            .filter(|script| !script.url.is_empty())
            .or_else(|| self.of_heap.get_or_init(|| scripts_of(heap)).get(&id))
    }
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

/// The constructor of an object: what its map says, or its prototype.
fn constructor(heap: &Heap, node: u32) -> Option<u32> {
    let snapshot = &heap.snapshot;
    let closure = |ord: &u32| snapshot.node_kind(*ord) == NodeKind::CLOSURE;
    let literals = &heap.known.literals;
    let named = |kind: EdgeKind, name: &heapsight_analysis::known::Literal| {
        let is = |&e: &usize| snapshot.edge_kind(e) == kind && name.is(snapshot.edges.name[e]);
        snapshot.edges_of(node).find(is).map(|e| snapshot.edges.to[e])
    };
    named(EdgeKind::INTERNAL, &literals.map)
        .and_then(|map| snapshot.internal_edge(map, "constructor"))
        .filter(closure)
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

/// The scripts that the functions of a heap name. Linear in the number of locations.
fn scripts_of(heap: &Heap) -> FxHashMap<u64, Script> {
    let snapshot = &heap.snapshot;
    let locations = &snapshot.locations;
    let mut scripts = FxHashMap::default();
    for (position, &ord) in locations.nodes.iter().enumerate() {
        let id = u64::from(locations.script_ids[position]);
        if snapshot.node_kind(ord) != NodeKind::CLOSURE || scripts.contains_key(&id) {
            continue;
        }
        let script = snapshot
            .internal_edge(ord, "shared")
            .and_then(|function| snapshot.internal_edge(function, "script"));
        if let Some(script) = script {
            let name = snapshot.internal_edge(script, "name").filter(|&n| snapshot.node_kind(n).is_string());
            // Later versions of V8 name the node of the script as well.
            let url = name.map_or_else(|| script_name(heap, script), |n| heap.names().node(n).into_owned());
            if !url.is_empty() {
                scripts.insert(id, Script { id, url, source_map_url: None });
            }
        }
    }
    scripts
}
