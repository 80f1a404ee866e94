//! Whose memory it is: bytes by npm package and by source file.
//!
//! What is attributed to what:
//! * Some objects belong to a file by themselves: a closure, and an instance of a class of the program, to the file where
//!   the function or the constructor stands (before a source map was applied, the file that runs; [`Code`] says which was
//!   written); what V8 keeps of a script (its source text, compiled functions) to that script; a context, which holds
//!   variables of a function, to the file of the first closure that uses it.
//! * Everything else belongs to what its immediate dominator belongs to: a string, an array or a plain object to the file
//!   that alone keeps it alive.
//! * What no such object dominates is attributed to nobody, and so are the bytes that the header reports outside the heap.
//!
//! So each byte is counted once, and the sizes of all rows add up to the heap's. What a row *retains* is another question:
//! what would go if all that belongs to it went; those sizes overlap.
//!
//! Time O(N + E), memory 8 bytes a node.

use heapsight_analysis::Heap;
use heapsight_snapshot::{EdgeKind, Location, NodeKind};
use rustc_hash::FxHashMap;

use crate::code::{self, Code, Place, package_of, script_url};

/// What belongs to nobody.
pub const NOBODY: u32 = u32::MAX;

/// What the program's own files are called, which belong to no package.
pub const PROGRAM: &str = "(program)";

/// A source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Path or URL.
    pub url: String,
    /// The npm package, or the runtime's module; `None` for the program's own files.
    pub package: Option<String>,
}

/// To which file each object belongs.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// The files.
    pub files: Vec<SourceFile>,
    /// An index into `files` for each node, or [`NOBODY`].
    pub of: Vec<u32>,
}

/// Gives files their numbers.
struct Files<'a> {
    heap: &'a Heap,
    code: &'a Code,
    list: Vec<SourceFile>,
    by_url: FxHashMap<String, u32>,
    /// Places are asked for once: many objects share one.
    by_location: FxHashMap<Location, u32>,
}

impl Files<'_> {
    fn at(&mut self, location: Location) -> u32 {
        if let Some(&file) = self.by_location.get(&location) {
            return file;
        }
        let file = match self.code.at(self.heap, location) {
            Some(Place { url, package, .. }) => self.file(url, package),
            None => NOBODY,
        };
        self.by_location.insert(location, file);
        file
    }

    fn file(&mut self, url: String, package: Option<String>) -> u32 {
        if url.is_empty() {
            return NOBODY;
        }
        let next = self.list.len() as u32;
        let list = &mut self.list;
        *self.by_url.entry(url).or_insert_with_key(|url| {
            list.push(SourceFile { url: url.clone(), package });
            next
        })
    }
}

/// Says of each object whose it is.
pub fn attribution(heap: &Heap, code: &Code) -> Attribution {
    let snapshot = &heap.snapshot;
    let mut files = Files {
        heap,
        code,
        list: Vec::new(),
        by_url: FxHashMap::default(),
        by_location: FxHashMap::default(),
    };
    let mut of = vec![NOBODY; snapshot.node_count()];
    for (position, &ord) in snapshot.locations.nodes.iter().enumerate() {
        of[ord as usize] = files.at(snapshot.locations.at(position));
    }
    constructed(heap, &mut files, &mut of);
    compiled(heap, &mut files, &mut of);
    contexts(heap, &mut of);
    // A dominator stands before what it dominates.
    for &ord in &*heap.dominators.preorder {
        if of[ord as usize] == NOBODY {
            of[ord as usize] = of[heap.dominators.idom[ord as usize] as usize];
        }
    }
    Attribution { files: files.list, of }
}

/// Objects of which V8 wrote no location, by their constructors; once for each hidden class.
fn constructed(heap: &Heap, files: &mut Files<'_>, of: &mut [u32]) {
    let snapshot = &heap.snapshot;
    let map_edge = &heap.known.literals.map;
    let mut by_map: FxHashMap<u32, u32> = FxHashMap::default();
    for ord in 0..snapshot.node_count() as u32 {
        if of[ord as usize] != NOBODY || snapshot.node_kind(ord) != NodeKind::OBJECT {
            continue;
        }
        let is_map =
            |&e: &usize| snapshot.edge_kind(e) == EdgeKind::INTERNAL && map_edge.is(snapshot.edges.name[e]);
        let mut find = || code::location(heap, ord).map_or(NOBODY, |location| files.at(location));
        of[ord as usize] = match snapshot.edges_of(ord).find(is_map) {
            Some(edge) => *by_map.entry(snapshot.edges.to[edge]).or_insert_with(find),
            None => find(),
        };
    }
}

/// Scripts and their compiled functions.
fn compiled(heap: &Heap, files: &mut Files<'_>, of: &mut [u32]) {
    let snapshot = &heap.snapshot;
    let names: Vec<u32> = code::SCRIPT_EDGES.iter().flat_map(|name| snapshot.strings.find(name)).collect();
    let mut by_script: FxHashMap<u32, u32> = FxHashMap::default();
    for ord in 0..snapshot.node_count() as u32 {
        if snapshot.node_kind(ord) != NodeKind::CODE {
            continue;
        }
        let is_script = |&e: &usize| {
            snapshot.edge_kind(e) == EdgeKind::INTERNAL && names.contains(&snapshot.edges.name[e])
        };
        let Some(edge) = snapshot.edges_of(ord).find(is_script) else { continue };
        let script = snapshot.edges.to[edge];
        let file = *by_script.entry(script).or_insert_with(|| {
            let url = code::shown(&script_url(heap, script));
            let package = package_of(&url);
            files.file(url, package)
        });
        of[ord as usize] = file;
        of[script as usize] = file;
    }
}

/// Contexts, by the closures that use them; the ones around them are of the same script.
fn contexts(heap: &Heap, of: &mut [u32]) {
    let snapshot = &heap.snapshot;
    let is_context = |ord: u32| heap.known.literals.system_context.is(snapshot.nodes.name[ord as usize]);
    let (context, previous) = (snapshot.strings.find("context"), snapshot.strings.find("previous"));
    let target = |ord: u32, names: &[u32]| {
        snapshot
            .edges_of(ord)
            .find(|&e| snapshot.edge_kind(e) == EdgeKind::INTERNAL && names.contains(&snapshot.edges.name[e]))
            .map(|e| snapshot.edges.to[e])
    };
    for &ord in &*snapshot.locations.nodes {
        let file = of[ord as usize];
        if file == NOBODY || snapshot.node_kind(ord) != NodeKind::CLOSURE {
            continue;
        }
        let mut next = target(ord, &context);
        while let Some(at) = next.filter(|&at| is_context(at) && of[at as usize] == NOBODY) {
            of[at as usize] = file;
            next = target(at, &previous);
        }
    }
}

/// What belongs to one package, or to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The package: `None` for the program's own files, and where `nobody` is set.
    pub package: Option<String>,
    /// The file, where the question was about files.
    pub file: Option<String>,
    /// Whether this is what belongs to nobody.
    pub nobody: bool,
    /// Objects that have a size of their own.
    pub count: u64,
    /// Their shallow sizes; those of all rows add up to the size of the heap.
    pub self_size: u64,
    /// What would be freed with all of them.
    pub retained_size: u64,
}

/// The shares of packages, or of files, the largest first.
pub fn shares(heap: &Heap, attribution: &Attribution, by_file: bool) -> Vec<Share> {
    let empty =
        |package, file, nobody| Share { package, file, nobody, count: 0, self_size: 0, retained_size: 0 };
    // Row 0 is nobody's.
    let mut rows = vec![empty(None, None, true)];
    let mut row_of_package: FxHashMap<Option<&str>, u32> = FxHashMap::default();
    let row_of_file: Vec<u32> = attribution
        .files
        .iter()
        .map(|file| {
            let next = rows.len() as u32;
            let url = by_file.then(|| file.url.clone());
            let row =
                if by_file { next } else { *row_of_package.entry(file.package.as_deref()).or_insert(next) };
            if row == next {
                rows.push(empty(file.package.clone(), url, false));
            }
            row
        })
        .collect();
    sum(heap, attribution, &row_of_file, &mut rows);
    rows.retain(|row| row.count > 0 || row.self_size > 0);
    rows.sort_by(|a, b| {
        (b.self_size, b.retained_size, &a.package, &a.file).cmp(&(
            a.self_size,
            a.retained_size,
            &b.package,
            &b.file,
        ))
    });
    rows
}

/// Adds up the rows in one walk through the dominator tree.
fn sum(heap: &Heap, attribution: &Attribution, row_of_file: &[u32], rows: &mut [Share]) {
    let (idom, preorder) = (&heap.dominators.idom, &heap.dominators.preorder);
    let mut len = vec![1u32; preorder.len()];
    for &ord in preorder.iter().rev() {
        let up = idom[ord as usize];
        if up != ord {
            len[up as usize] = len[up as usize].saturating_add(len[ord as usize]);
        }
    }
    // Where the subtree of the row's last topmost node ends: what stands before that is counted with it.
    let mut ends = vec![0usize; rows.len()];
    for (at, &ord) in preorder.iter().enumerate() {
        let row = row_of_file.get(attribution.of[ord as usize] as usize).map_or(0, |&row| row as usize);
        let size = heap.snapshot.nodes.self_size.get(ord);
        let share = &mut rows[row];
        share.count += u64::from(size > 0);
        share.self_size = share.self_size.saturating_add(size);
        if at >= ends[row] {
            ends[row] = at + len[ord as usize] as usize;
            share.retained_size = share.retained_size.saturating_add(heap.retained.get(ord));
        }
    }
    let outside = heap.snapshot.extra_native_bytes;
    rows[0].self_size = rows[0].self_size.saturating_add(outside);
    // What belongs to nobody stands above everything: the root is part of it.
    rows[0].retained_size = rows[0].self_size;
}
