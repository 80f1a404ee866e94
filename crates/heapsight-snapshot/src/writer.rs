//! From columns to text: a snapshot as V8 would write it.
//!
//! The layout is V8's of today: the header with `meta`, then the arrays in V8's order, the strings last. Fields that the
//! columns do not have (`trace_node_id`, `detachedness`) are left out, and so is whatever the reader passed over: unknown
//! fields and sections, edges that no node owned. What is written reads back as the same snapshot.
//!
//! Rows become text in blocks, each made by whichever thread is free and written in order by the caller's thread. A thread
//! takes an empty buffer before it takes the number of a block, so the block that is waited for always has a buffer, and
//! there are never more than twice as many buffers as threads, however slow the output is. Cost: time O(text), memory one
//! MiB a buffer.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use serde_json::{Map, Value, json};

use crate::{Scopes, Snapshot, TraceNode};

/// Numbers that are made text at a time.
const BLOCK_NUMBERS: usize = 1 << 17;

/// Decimal digits of a number and its comma, at most.
const LONGEST: usize = 21;

/// Writes a snapshot or timeline. `threads` make the text beside the thread that writes; 0 is taken as 1.
///
/// # Errors
/// Those of the output.
pub fn write(snapshot: &Snapshot, out: &mut (impl Write + ?Sized), threads: usize) -> io::Result<()> {
    let threads = threads.max(1);
    let layout = Layout::of(snapshot);
    out.write_all(b"{\"snapshot\":")?;
    serde_json::to_writer(&mut *out, &layout.header(snapshot))?;
    out.write_all(b",\n\"nodes\":[")?;
    let sizes = snapshot.nodes.self_size.view();
    rows(out, snapshot.node_count(), layout.node_fields, threads, |text, node| {
        let nodes = &snapshot.nodes;
        let first = &nodes.first_edge;
        number(text, u64::from(nodes.kind[node]));
        number(text, u64::from(nodes.name[node]));
        number(text, u64::from(nodes.id[node]));
        number(text, sizes.get(node as u32));
        number(text, u64::from(first[node + 1] - first[node]));
        if let Some(trace) = &nodes.trace_node {
            number(text, u64::from(trace[node]));
        }
        if let Some(detachedness) = &nodes.detachedness {
            number(text, u64::from(detachedness[node]));
        }
    })?;
    out.write_all(b"],\n\"edges\":[")?;
    let fields = layout.node_fields as u64;
    rows(out, snapshot.edge_count(), 3, threads, |text, edge| {
        let edges = &snapshot.edges;
        number(text, u64::from(edges.kind[edge]));
        number(text, u64::from(edges.name[edge]));
        number(text, u64::from(edges.to[edge]) * fields);
    })?;
    out.write_all(b"],\n\"trace_function_infos\":[")?;
    let functions = snapshot.traces.as_ref().map(|t| t.functions.as_slice()).unwrap_or_default();
    rows(out, functions.len(), 6, 1, |text, row| {
        let f = functions[row];
        let values = [row as u32, f.name, f.script_name, f.script_id, f.line, f.column];
        for value in values {
            number(text, value.into());
        }
    })?;
    out.write_all(b"],\n\"trace_tree\":[")?;
    trace_tree(out, snapshot.traces.as_ref().map(|t| t.nodes.as_slice()).unwrap_or_default())?;
    out.write_all(b"],\n\"samples\":[")?;
    rows(out, snapshot.samples.len(), 2, 1, |text, row| {
        number(text, snapshot.samples[row].timestamp_us);
        number(text, snapshot.samples[row].last_assigned_id);
    })?;
    out.write_all(b"],\n\"locations\":[")?;
    let locations = &snapshot.locations;
    rows(out, locations.len(), 4, threads, |text, row| {
        let place = locations.at(row);
        number(text, u64::from(locations.nodes[row]) * fields);
        number(text, place.script_id.into());
        number(text, place.line.into());
        number(text, place.column.into());
    })?;
    if let Some(scopes) = &snapshot.scopes {
        write_scopes(out, scopes, fields)?;
    }
    out.write_all(b"],\n\"strings\":[")?;
    out.write_all(snapshot.strings.parts().0)?;
    out.write_all(b"]}\n")
}

/// Which fields the rows have.
struct Layout {
    node_fields: usize,
    names: Vec<&'static str>,
}

impl Layout {
    fn of(snapshot: &Snapshot) -> Self {
        let mut names = vec!["type", "name", "id", "self_size", "edge_count"];
        if snapshot.nodes.trace_node.is_some() {
            names.push("trace_node_id");
        }
        if snapshot.nodes.detachedness.is_some() {
            names.push("detachedness");
        }
        Self { node_fields: names.len(), names }
    }

    fn header(&self, snapshot: &Snapshot) -> Value {
        let mut node_types = vec![json!(snapshot.node_kinds.names()), json!("string")];
        node_types.resize(self.node_fields, json!("number"));
        let mut meta = Map::new();
        meta.insert("node_fields".into(), json!(self.names));
        meta.insert("node_types".into(), Value::Array(node_types));
        meta.insert("edge_fields".into(), json!(["type", "name_or_index", "to_node"]));
        meta.insert("edge_types".into(), json!([snapshot.edge_kinds.names(), "string_or_number", "node"]));
        let function = ["function_id", "name", "script_name", "script_id", "line", "column"];
        meta.insert("trace_function_info_fields".into(), json!(function));
        let trace = ["id", "function_info_index", "count", "size", "children"];
        meta.insert("trace_node_fields".into(), json!(trace));
        meta.insert("sample_fields".into(), json!(["timestamp_us", "last_assigned_id"]));
        meta.insert("location_fields".into(), json!(["object_index", "script_id", "line", "column"]));
        if snapshot.scopes.is_some() {
            let scope =
                ["script_node_index", "scope_id", "depth", "scope_context_vars_count", "scope_uses_count"];
            meta.insert("scope_fields".into(), json!(scope));
            meta.insert("scope_context_var_fields".into(), json!(["name"]));
            meta.insert("scope_use_fields".into(), json!(["declaring_scope_id", "slot_index"]));
        }
        let mut header = json!({
            "meta": meta,
            "node_count": snapshot.node_count(),
            "edge_count": snapshot.edge_count(),
            "trace_function_count": snapshot.traces.as_ref().map_or(0, |traces| traces.functions.len()),
            "extra_native_bytes": snapshot.extra_native_bytes,
        });
        if snapshot.root != 0 {
            header["root_index"] = json!(u64::from(snapshot.root) * self.node_fields as u64);
        }
        header
    }
}

/// Text that is made of numbers. Digits are written where they stay: copying a few bytes of each number costs more than
/// making them.
pub(crate) struct Text {
    /// What is there, and room behind it.
    bytes: Vec<u8>,
    len: usize,
}

impl Text {
    pub(crate) fn with_room(room: usize) -> Self {
        Self { bytes: vec![0; room.max(LONGEST)], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.make_room();
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub(crate) fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    #[inline]
    fn make_room(&mut self) {
        if self.bytes.len() - self.len < LONGEST {
            self.bytes.resize(2 * self.bytes.len() + LONGEST, 0);
        }
    }
}

/// Appends a number and a comma.
#[inline]
pub(crate) fn number(text: &mut Text, mut value: u64) {
    text.make_room();
    let Some(place) = text.bytes.get_mut(text.len..text.len + LONGEST) else { return };
    if value < 10 {
        place[0] = b'0' + value as u8;
        place[1] = b',';
        text.len += 2;
        return;
    }
    let digits = value.ilog10() as usize + 1;
    let place = &mut place[..=digits];
    place[digits] = b',';
    let mut at = digits;
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        place[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        let pair = value as usize * 2;
        place[at - 2..at].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        place[at - 1] = b'0' + value as u8;
    }
    text.len += digits + 1;
}

/// `00` to `99`.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut i = 0;
    while i < 100 {
        pairs[2 * i] = b'0' + (i / 10) as u8;
        pairs[2 * i + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    pairs
};

/// Writes the rows of an array without its brackets. `row` appends the numbers of a row, each with a comma after it.
fn rows(
    out: &mut (impl Write + ?Sized),
    count: usize,
    fields: usize,
    threads: usize,
    row: impl Fn(&mut Text, usize) + Sync,
) -> io::Result<()> {
    let size = (BLOCK_NUMBERS / fields.max(1)).max(1);
    let blocks = count.div_ceil(size);
    let make = |text: &mut Text, block: usize| {
        for at in block * size..((block + 1) * size).min(count) {
            row(text, at);
        }
        if block + 1 == blocks {
            // The comma after the last number.
            text.pop();
        }
    };
    if blocks <= 1 || threads <= 1 {
        let mut text = Text::with_room(0);
        for block in 0..blocks {
            text.clear();
            make(&mut text, block);
            out.write_all(text.as_bytes())?;
        }
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    let (give, empty) = mpsc::channel::<Text>();
    let empty = Mutex::new(empty);
    let (done, made) = mpsc::channel();
    for _ in 0..2 * threads {
        // The other end lives as long as this function.
        let _ = give.send(Text::with_room(BLOCK_NUMBERS * 8));
    }
    std::thread::scope(|scope| {
        let (next, empty, make) = (&next, &empty, &make);
        for _ in 0..threads {
            let done = done.clone();
            scope.spawn(move || {
                loop {
                    let taken = empty.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(mut text) = taken else { return };
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    if block >= blocks {
                        return;
                    }
                    text.clear();
                    make(&mut text, block);
                    if done.send((block, text)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        let mut result = Ok(());
        for (block, text) in made {
            early.insert(block, text);
            while let Some(text) = early.remove(&wanted) {
                wanted += 1;
                if result.is_ok() {
                    result = out.write_all(text.as_bytes());
                }
                if result.is_err() {
                    // Nobody needs the rest.
                    next.store(blocks, Ordering::Relaxed);
                }
                let _ = give.send(text);
            }
        }
        drop(give);
        result
    })
}

/// Writes the tree of stacks, whose nodes stand depth first, without recursion.
fn trace_tree(out: &mut (impl Write + ?Sized), nodes: &[TraceNode]) -> io::Result<()> {
    let mut text = Text::with_room(0);
    // The nodes whose list of children is open.
    let mut open: Vec<u32> = Vec::new();
    let mut first = true;
    for (position, node) in nodes.iter().enumerate() {
        while open.last().copied() != node.parent && open.pop().is_some() {
            text.push(b']');
            first = false;
        }
        if !first {
            text.push(b',');
        }
        for value in [u64::from(node.id), u64::from(node.function), node.count, node.size] {
            number(&mut text, value);
        }
        text.push(b'[');
        open.push(position as u32);
        first = true;
        if text.len > 1 << 16 {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    for _ in &open {
        text.push(b']');
    }
    out.write_all(text.as_bytes())
}

/// Writes the three tables of scopes; the bracket before them is open.
fn write_scopes(out: &mut (impl Write + ?Sized), scopes: &Scopes, fields: u64) -> io::Result<()> {
    let signed = |text: &mut Text, value: i32| {
        if value < 0 {
            text.push(b'-');
        }
        number(text, value.unsigned_abs().into());
    };
    let mut depths: Vec<u32> = Vec::with_capacity(scopes.len());
    for &parent in scopes.parents.iter() {
        depths.push(depths.get(parent as usize).map_or(0, |depth| depth + 1));
    }
    out.write_all(b"],\n\"scopes\":[")?;
    rows(out, scopes.len(), 5, 1, |text, scope| {
        number(text, u64::from(scopes.scripts[scope]) * fields);
        signed(text, scopes.ids[scope]);
        number(text, depths[scope].into());
        number(text, scopes.variables_of(scope).len() as u64);
        number(text, scopes.uses_of(scope).len() as u64);
    })?;
    out.write_all(b"],\n\"scope_context_vars\":[")?;
    rows(out, scopes.variables.len(), 1, 1, |text, row| number(text, scopes.variables[row].into()))?;
    out.write_all(b"],\n\"scope_uses\":[")?;
    rows(out, scopes.use_scopes.len(), 2, 1, |text, row| {
        signed(text, scopes.use_scopes[row]);
        number(text, scopes.use_slots[row].into());
    })
}
