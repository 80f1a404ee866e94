//! An analysed heap in an index file, and back.
//!
//! Everything that a second opening needs is stored: the graph, the strings, and what [`Heap::build`] computed. The small
//! things (classes, the Summary, statistics, header fields) are one section of JSON, so that the Summary can be had
//! without touching the columns.

use std::io::{self, Write};

use heapsight_snapshot::{
    Column, EdgeColumns, KindTable, Location, Locations, NodeColumns, Sample, Scopes, Section, SizeColumn,
    Snapshot, StringTable, TraceFunction, TraceNode, Traces, Warning, WarningKind, Warnings,
    index::{Damaged, Index, IndexWriter},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Heap,
    aggregates::Aggregate,
    classes::{Class, Classes},
    detached::Detachedness,
    dominators::DominatorTree,
    interfaces::Interface,
    known::Known,
    statistics::Statistics,
};

/// Counts up whenever a stored number would come out differently: an index of another version is not used.
pub const STORE_VERSION: u32 = 3;

/// What is known while the dominators are still searched for.
#[derive(Clone, Copy, Debug)]
pub struct Derived<'a> {
    /// The shallow sizes.
    pub self_sizes: &'a SizeColumn,
    /// Detached or attached.
    pub detached: &'a Detachedness,
    /// Packed distances.
    pub distance: &'a Column<i32>,
    /// Classes.
    pub classes: &'a Classes,
}

/// The part of a heap that the Summary needs.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Number of nodes.
    pub nodes: u64,
    /// Number of edges.
    pub edges: u64,
    /// Bytes of text that the snapshot has.
    pub text_bytes: u64,
    /// Bytes by kind; the total among them.
    pub statistics: Statistics,
    /// The classes.
    pub classes: Vec<Class>,
    /// The unfiltered Summary.
    pub summary: Vec<Aggregate>,
    /// Damage that was survived when the snapshot was read.
    pub warnings: Warnings,
}

/// Name; script, line and column.
type StoredClass = (String, Option<(u32, u32, u32)>);

#[derive(Serialize, Deserialize)]
struct Meta {
    nodes: u64,
    edges: u64,
    root: u32,
    extra_native_bytes: u64,
    node_fields: u32,
    text_bytes: u64,
    unreachable: u32,
    prefixes: bool,
    node_kinds: Vec<String>,
    edge_kinds: Vec<String>,
    samples: Vec<(u64, u64)>,
    statistics: [u64; 8],
    classes: Vec<StoredClass>,
    summary: Vec<(u32, u64, u64, u64, i32)>,
    warnings: Vec<StoredWarning>,
}

#[derive(Serialize, Deserialize)]
struct StoredWarning {
    kind: String,
    section: String,
    offset: Option<u64>,
    count: u64,
    detail: String,
}

impl StoredWarning {
    fn new(warning: &Warning) -> Self {
        Self {
            kind: warning.kind.code().to_owned(),
            section: warning.section.name().to_owned(),
            offset: warning.offset,
            count: warning.count,
            detail: warning.detail.clone(),
        }
    }

    fn add_to(&self, warnings: &mut Warnings) -> Result<(), Damaged> {
        let kind = WarningKind::ALL.into_iter().find(|k| k.code() == self.kind).ok_or(Damaged)?;
        let section = Section::ALL.into_iter().find(|s| s.name() == self.section).ok_or(Damaged)?;
        warnings.add(kind, section, self.offset, self.count, || self.detail.clone());
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct StoredInterface {
    name: String,
    properties: Vec<String>,
    count: u64,
}

/// Writes the graph as it was read.
pub fn write_graph<W: Write>(out: &mut IndexWriter<W>, snapshot: &Snapshot) -> io::Result<()> {
    let nodes = &snapshot.nodes;
    out.column("node kind", &nodes.kind)?;
    out.column("node name", &nodes.name)?;
    out.column("node id", &nodes.id)?;
    out.column("first edge", &nodes.first_edge)?;
    if let Some(column) = &nodes.trace_node {
        out.column("trace node", column)?;
    }
    out.column("edge kind", &snapshot.edges.kind)?;
    out.column("edge name", &snapshot.edges.name)?;
    out.column("edge to", &snapshot.edges.to)?;
    let (bytes, starts, wraps) = snapshot.strings.parts();
    out.bytes("strings", bytes)?;
    out.column("string starts", starts)?;
    out.column("string wraps", wraps)?;
    let locations = &snapshot.locations;
    out.column("location node", &locations.nodes)?;
    out.column("location script", &locations.script_ids)?;
    out.column("location line", &locations.lines)?;
    out.column("location column", &locations.columns)?;
    if let Some(traces) = &snapshot.traces {
        let functions: Vec<u32> = traces
            .functions
            .iter()
            .flat_map(|f| [f.name, f.script_name, f.script_id, f.line, f.column])
            .collect();
        out.column("trace functions", &functions)?;
        let parent = |node: &TraceNode| node.parent.map_or(u64::MAX, u64::from);
        let tree: Vec<u64> = traces
            .nodes
            .iter()
            .flat_map(|n| [u64::from(n.id), u64::from(n.function), n.count, n.size, parent(n)])
            .collect();
        out.column("trace tree", &tree)?;
    }
    if let Some(scopes) = &snapshot.scopes {
        out.column("scope script", &scopes.scripts)?;
        out.column("scope id", &scopes.ids)?;
        out.column("scope parent", &scopes.parents)?;
        out.column("scope first variable", &scopes.first_variable)?;
        out.column("scope first use", &scopes.first_use)?;
        out.column("scope variable", &scopes.variables)?;
        out.column("scope use scope", &scopes.use_scopes)?;
        out.column("scope use slot", &scopes.use_slots)?;
    }
    Ok(())
}

/// Writes what is known before the dominators are.
pub fn write_derived<W: Write>(out: &mut IndexWriter<W>, derived: Derived<'_>) -> io::Result<()> {
    let Derived { self_sizes, detached, distance, classes } = derived;
    write_sizes(out, "self size", self_sizes)?;
    if let Some(column) = &detached.states {
        out.column("detachedness", column)?;
    }
    out.column("distance", distance)?;
    out.column("class", &classes.of)?;
    let interfaces: Vec<StoredInterface> = classes
        .interfaces
        .iter()
        .map(|i| StoredInterface {
            name: i.name.clone(),
            properties: i.properties.iter().map(ToString::to_string).collect(),
            count: i.count,
        })
        .collect();
    out.bytes("interfaces", &serde_json::to_vec(&interfaces)?)
}

/// Writes the dominators and the retained sizes.
pub fn write_dominators<W: Write>(
    out: &mut IndexWriter<W>,
    tree: &DominatorTree,
    retained: &SizeColumn,
) -> io::Result<()> {
    out.column("dominator", &tree.idom)?;
    out.column("preorder", &tree.preorder)?;
    write_sizes(out, "retained size", retained)
}

/// Writes what is known when everything is computed.
pub fn write_results<W: Write>(out: &mut IndexWriter<W>, heap: &Heap) -> io::Result<()> {
    let snapshot = &heap.snapshot;
    let s = heap.statistics;
    let place = |l: Location| (l.script_id, l.line, l.column);
    let meta = Meta {
        nodes: snapshot.node_count() as u64,
        edges: snapshot.edge_count() as u64,
        root: snapshot.root,
        extra_native_bytes: snapshot.extra_native_bytes,
        node_fields: snapshot.node_fields,
        text_bytes: snapshot.text_bytes,
        unreachable: heap.dominators.unreachable,
        prefixes: heap.detached.prefixes,
        node_kinds: snapshot.node_kinds.names().to_vec(),
        edge_kinds: snapshot.edge_kinds.names().to_vec(),
        samples: snapshot.samples.iter().map(|s| (s.timestamp_us, s.last_assigned_id)).collect(),
        statistics: [
            s.total,
            s.native_total,
            s.typed_arrays,
            s.v8_heap_total,
            s.code,
            s.strings,
            s.js_arrays,
            s.system,
        ],
        classes: heap.classes.table.iter().map(|c| (c.name.clone(), c.location.map(place))).collect(),
        summary: heap
            .summary
            .iter()
            .map(|r| (r.class, r.count, r.self_size, r.retained_size, r.distance))
            .collect(),
        warnings: snapshot.warnings.as_slice().iter().map(StoredWarning::new).collect(),
    };
    out.bytes("meta", &serde_json::to_vec(&meta)?)
}

fn write_sizes<W: Write>(out: &mut IndexWriter<W>, name: &str, sizes: &SizeColumn) -> io::Result<()> {
    out.column(name, sizes.low())?;
    let large: Vec<u64> = sizes.large().iter().flat_map(|&(ord, size)| [u64::from(ord), size]).collect();
    out.column(&format!("{name} large"), &large)
}

fn read_sizes(index: &Index, name: &str) -> Result<SizeColumn, Damaged> {
    let large: Column<u64> = index.column(&format!("{name} large"))?;
    let pair = |pair: &[u64]| u32::try_from(pair[0]).map(|ord| (ord, pair[1])).map_err(|_| Damaged);
    let large = large.chunks_exact(2).map(pair).collect::<Result<Vec<_>, _>>()?;
    SizeColumn::from_parts(index.column(name)?, large).ok_or(Damaged)
}

fn read_meta(index: &Index) -> Result<Meta, Damaged> {
    serde_json::from_slice(index.bytes("meta")?).map_err(|_| Damaged)
}

impl Meta {
    fn class_table(&self) -> Vec<Class> {
        let place = |&(script_id, line, column): &(u32, u32, u32)| Location { script_id, line, column };
        self.classes
            .iter()
            .map(|(name, location)| Class { name: name.clone(), location: location.as_ref().map(place) })
            .collect()
    }

    fn aggregates(&self) -> Vec<Aggregate> {
        let row = |&(class, count, self_size, retained_size, distance): &(u32, u64, u64, u64, i32)| {
            Aggregate { class, count, self_size, retained_size, distance }
        };
        self.summary.iter().map(row).collect()
    }

    fn warnings(&self) -> Result<Warnings, Damaged> {
        let mut warnings = Warnings::default();
        for warning in &self.warnings {
            warning.add_to(&mut warnings)?;
        }
        Ok(warnings)
    }

    fn statistics(&self) -> Statistics {
        let [total, native_total, typed_arrays, v8_heap_total, code, strings, js_arrays, system] =
            self.statistics;
        Statistics { total, native_total, typed_arrays, v8_heap_total, code, strings, js_arrays, system }
    }
}

/// The Summary alone: reads a few kilobytes.
pub fn read_overview(index: &Index) -> Result<Overview, Damaged> {
    let meta = read_meta(index)?;
    let overview = Overview {
        nodes: meta.nodes,
        edges: meta.edges,
        text_bytes: meta.text_bytes,
        statistics: meta.statistics(),
        classes: meta.class_table(),
        summary: meta.aggregates(),
        warnings: meta.warnings()?,
    };
    let known = |row: &Aggregate| (row.class as usize) < overview.classes.len();
    if overview.summary.iter().all(known) { Ok(overview) } else { Err(Damaged) }
}

/// The whole heap. All checksums are verified, on all threads, and the lengths and links that the analyses rely on.
pub fn read_heap(index: &Index) -> Result<Heap, Damaged> {
    let meta = read_meta(index)?;
    let interfaces: Vec<StoredInterface> =
        serde_json::from_slice(index.bytes("interfaces")?).map_err(|_| Damaged)?;
    let u32_names = [
        "node name",
        "node id",
        "first edge",
        "edge name",
        "edge to",
        "class",
        "dominator",
        "preorder",
        "string starts",
        "string wraps",
        "location node",
        "location script",
        "location line",
        "location column",
    ];
    // Checking is what takes the time; it is done side by side, and each column is then taken from the list.
    let mut columns = u32_names
        .par_iter()
        .map(|name| index.column::<u32>(name))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter();
    let mut next = || columns.next().ok_or(Damaged);
    let mut nodes = NodeColumns { name: next()?, id: next()?, first_edge: next()?, ..NodeColumns::default() };
    let mut edges = EdgeColumns { name: next()?, to: next()?, ..EdgeColumns::default() };
    let (class, idom, preorder) = (next()?, next()?, next()?);
    let (starts, wraps) = (next()?, next()?);
    let locations = Locations { nodes: next()?, script_ids: next()?, lines: next()?, columns: next()? };
    let (sizes, kinds) = rayon::join(
        || Ok((read_sizes(index, "self size")?, read_sizes(index, "retained size")?)),
        || Ok((index.column("node kind")?, index.column("edge kind")?)),
    );
    let (self_size, retained): (SizeColumn, SizeColumn) = sizes?;
    (nodes.kind, edges.kind) = kinds?;
    nodes.self_size = self_size;
    if index.has("trace node") {
        nodes.trace_node = Some(index.column("trace node")?);
    }
    let states = if index.has("detachedness") { Some(index.column("detachedness")?) } else { None };
    let strings = StringTable::from_parts(index.column("strings")?, starts, wraps.to_vec()).ok_or(Damaged)?;
    let sample = |&(timestamp_us, last_assigned_id): &(u64, u64)| Sample { timestamp_us, last_assigned_id };
    let snapshot = Snapshot {
        nodes,
        edges,
        strings,
        root: meta.root,
        extra_native_bytes: meta.extra_native_bytes,
        node_fields: meta.node_fields,
        node_kinds: KindTable::from_names(meta.node_kinds.clone()),
        edge_kinds: KindTable::from_names(meta.edge_kinds.clone()),
        locations,
        traces: read_traces(index)?,
        scopes: read_scopes(index)?,
        samples: meta.samples.iter().map(sample).collect(),
        text_bytes: meta.text_bytes,
        warnings: meta.warnings()?,
    };
    let known = Known::find(&snapshot);
    let heap = Heap {
        known,
        detached: Detachedness { states, prefixes: meta.prefixes },
        distance: index.column("distance")?,
        dominators: DominatorTree { idom, preorder, unreachable: meta.unreachable },
        retained,
        classes: Classes {
            of: class,
            table: meta.class_table(),
            interfaces: interfaces
                .into_iter()
                .map(|i| Interface {
                    name: i.name,
                    properties: i.properties.into_iter().map(Into::into).collect(),
                    count: i.count,
                })
                .collect(),
        },
        summary: meta.aggregates(),
        statistics: meta.statistics(),
        snapshot,
        ..Heap::default()
    };
    if lengths_agree(&heap, &meta) { Ok(heap) } else { Err(Damaged) }
}

fn read_scopes(index: &Index) -> Result<Option<Scopes>, Damaged> {
    if !index.has("scope id") {
        return Ok(None);
    }
    Ok(Some(Scopes {
        scripts: index.column("scope script")?,
        ids: index.column("scope id")?,
        parents: index.column("scope parent")?,
        first_variable: index.column("scope first variable")?,
        first_use: index.column("scope first use")?,
        variables: index.column("scope variable")?,
        use_scopes: index.column("scope use scope")?,
        use_slots: index.column("scope use slot")?,
    }))
}

fn read_traces(index: &Index) -> Result<Option<Traces>, Damaged> {
    if !index.has("trace functions") {
        return Ok(None);
    }
    let functions: Column<u32> = index.column("trace functions")?;
    let tree: Column<u64> = index.column("trace tree")?;
    let number = |v: u64| u32::try_from(v).map_err(|_| Damaged);
    let function = |f: &[u32]| TraceFunction {
        name: f[0],
        script_name: f[1],
        script_id: f[2],
        line: f[3],
        column: f[4],
    };
    let functions: Vec<TraceFunction> = functions.chunks_exact(5).map(function).collect();
    let nodes = tree
        .chunks_exact(5)
        .map(|n| {
            let parent = if n[4] == u64::MAX { None } else { Some(number(n[4])?) };
            Ok(TraceNode { id: number(n[0])?, function: number(n[1])?, count: n[2], size: n[3], parent })
        })
        .collect::<Result<Vec<_>, Damaged>>()?;
    Ok(Some(Traces { functions, nodes }))
}

fn lengths_agree(heap: &Heap, meta: &Meta) -> bool {
    let (n, e) = (meta.nodes as usize, meta.edges as usize);
    let snapshot = &heap.snapshot;
    let nodes = &snapshot.nodes;
    let per_node = [
        nodes.kind.len(),
        nodes.name.len(),
        nodes.id.len(),
        nodes.self_size.len(),
        heap.distance.len(),
        heap.dominators.idom.len(),
        heap.dominators.preorder.len(),
        heap.retained.len(),
        heap.classes.of.len(),
        heap.detached.states.as_ref().map_or(n, |c| c.len()),
        nodes.trace_node.as_ref().map_or(n, |c| c.len()),
    ];
    let per_edge = [snapshot.edges.kind.len(), snapshot.edges.name.len(), snapshot.edges.to.len()];
    let locations = &snapshot.locations;
    let per_location = [locations.script_ids.len(), locations.lines.len(), locations.columns.len()];
    n > 0
        && per_node.iter().all(|&len| len == n)
        && per_edge.iter().all(|&len| len == e)
        && per_location.iter().all(|&len| len == locations.len())
        && snapshot.scopes.as_ref().is_none_or(|scopes| scopes.is_sound(n))
        && nodes.first_edge.len() == n + 1
        && nodes.first_edge.last().is_some_and(|&last| last as usize <= e)
        && (meta.root as usize) < n
        && heap.summary.iter().all(|row| (row.class as usize) < heap.classes.table.len())
}
