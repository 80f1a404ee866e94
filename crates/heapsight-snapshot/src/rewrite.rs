//! A snapshot written anew while it is read, with other strings and nothing held of it.
//!
//! Arrays of numbers pass as they are, but for the names of the nodes; it is seen to that there are only numbers in them. Of the
//! header what is known passes; sections that are not known, and keys of the header, are left out. Rows of nodes are made
//! by all threads. Cost: time linear in the text, most of it copying; memory a few MiB and the header.

use std::io::{self, Read, Write};

use serde_json::Value;

use crate::{
    NodeKind, ReadOptions, StringTable,
    ends::QuickNumbers,
    error::{Problem, ReadError, Section},
    header::Header,
    input::Input,
    nodes::too_large,
    numbers::{NumberError, Numbers, RowSource},
    reader::WINDOW,
    rows::{Rows, read_rows},
    strings::each_strings,
    writer::{Text, number},
};

/// Bytes of text that are written at a time.
const FLUSH: usize = 1 << 20;

/// What becomes of names and strings.
pub trait Rewrite: Sync {
    /// The string index of the name of a node that had this one. Called by several threads.
    fn node_name(&self, kind: NodeKind, name: u32) -> u32;

    /// The next strings, of which the first has this index, as they shall stand in the file: [`Out::push`] once for each.
    fn strings(&mut self, first: u32, strings: &StringTable, out: &mut Out<'_>);

    /// Strings that come after all.
    fn more(&mut self, out: &mut Out<'_>);
}

/// The section of strings while it is written.
pub struct Out<'w> {
    to: &'w mut dyn Write,
    text: Vec<u8>,
    any: bool,
    failed: Option<io::Error>,
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Out<'_> {
    /// Writes a string as it stands in a file: escaped, without its quotes.
    pub fn push(&mut self, raw: &[u8]) {
        self.text.extend_from_slice(if self.any { b",\n\"" } else { b"\"" });
        self.text.extend_from_slice(raw);
        self.text.push(b'"');
        self.any = true;
        if self.text.len() >= FLUSH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.to.write_all(&self.text).err();
        }
        self.text.clear();
    }
}

/// Why a snapshot was not written anew.
#[derive(Debug)]
pub enum RewriteError {
    /// What was read.
    Read(ReadError),
    /// What was written to.
    Write(io::Error),
}

impl From<ReadError> for RewriteError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<io::Error> for RewriteError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// Writes a snapshot with other names and strings. Meant for text that was read before: what is wrong with it beyond
/// its form is not looked for.
///
/// Gives the number of its nodes and of its strings, before those that were added.
///
/// # Errors
/// Those of the two sides.
pub fn rewrite<'r>(
    source: impl Read + Send + 'r,
    options: ReadOptions<'r>,
    out: &mut dyn Write,
    by: &mut (impl Rewrite + ?Sized),
) -> Result<(usize, usize), RewriteError> {
    const TOP: Section = Section::TopLevel;
    let mut input = Input::new(Box::new(source), options.len, options.progress)?;
    let mut header = None;
    let (mut nodes, mut strings) = (0, 0);
    let mut seen = Vec::new();
    input.expect(b'{', "`{`", TOP)?;
    loop {
        let key_offset = input.offset();
        let key = input.key(TOP)?;
        input.expect(b':', "`:` after a key", TOP)?;
        let section = Section::of_key(&key);
        if section != Section::Unknown {
            if seen.contains(&section) {
                return Err(Problem::Repeated(section).at(section, key_offset).into());
            }
            if !seen.is_empty() {
                out.write_all(b",\n")?;
            }
            out.write_all(if seen.is_empty() { b"{\"" } else { b"\"" })?;
            out.write_all(&key)?;
            out.write_all(b"\":")?;
            seen.push(section);
        }
        match section {
            Section::Unknown => input.skip_value(section)?,
            Section::Header => {
                let offset = input.offset();
                input.peek_token(section)?;
                let text = input.capture_value(section)?;
                let parsed = Header::parse(&text).map_err(|problem| problem.at(section, offset))?;
                out.write_all(&known(&text))?;
                header = Some(parsed);
            }
            _ => {
                input.expect(b'[', "`[`", section)?;
                out.write_all(b"[")?;
                match (section, &header) {
                    (Section::Nodes, Some(header)) => {
                        nodes = write_nodes(&mut input, header, options.threads, out, by)?;
                    }
                    (Section::Strings, _) => strings = write_strings(&mut input, out, by)?,
                    (_, None) => {
                        return Err(Problem::Order(section, Section::Header).at(section, key_offset).into());
                    }
                    _ => {
                        let mut failed = Ok(());
                        input.numbers(section, section == Section::TraceTree, |text| {
                            if failed.is_ok() {
                                failed = out.write_all(text);
                            }
                        })?;
                        failed?;
                    }
                }
                input.expect(b']', "`]`", section)?;
                out.write_all(b"]")?;
            }
        }
        match input.peek_token(TOP)? {
            Some(b',') => input.pos += 1,
            Some(b'}') => break,
            None => return Err(Problem::Truncated.at(TOP, input.offset()).into()),
            found => return Err(input.syntax("`,` or `}` after a section", found, TOP).into()),
        }
    }
    out.write_all(b"}\n")?;
    Ok((nodes, strings))
}

/// The header with the keys that are known, of it and of its `meta`. Fields that are not known keep their place without
/// their name.
fn known(text: &[u8]) -> Vec<u8> {
    const KEYS: [&str; 6] =
        ["meta", "node_count", "edge_count", "trace_function_count", "extra_native_bytes", "root_index"];
    const LISTS: [&str; 11] = [
        "node_fields",
        "node_types",
        "edge_fields",
        "edge_types",
        "trace_function_info_fields",
        "trace_node_fields",
        "sample_fields",
        "location_fields",
        "scope_fields",
        "scope_context_var_fields",
        "scope_use_fields",
    ];
    const FIELDS: [&str; 29] = [
        "type",
        "name",
        "id",
        "self_size",
        "edge_count",
        "trace_node_id",
        "detachedness",
        "name_or_index",
        "to_node",
        "function_id",
        "script_name",
        "script_id",
        "line",
        "column",
        "function_info_index",
        "count",
        "size",
        "children",
        "timestamp_us",
        "last_assigned_id",
        "object_index",
        "script_object_index",
        "script_node_index",
        "scope_id",
        "depth",
        "scope_context_vars_count",
        "scope_uses_count",
        "declaring_scope_id",
        "slot_index",
    ];
    let mut value: Value = serde_json::from_slice(text).unwrap_or_default();
    if let Some(header) = value.as_object_mut() {
        header.retain(|key, value| KEYS.contains(&key.as_str()) && (key == "meta" || value.is_number()));
        if let Some(meta) = header.get_mut("meta").and_then(Value::as_object_mut) {
            meta.retain(|key, value| LISTS.contains(&key.as_str()) && value.is_array());
            for (_, list) in meta.iter_mut().filter(|(key, _)| key.ends_with("_fields")) {
                for field in list.as_array_mut().into_iter().flatten() {
                    if !field.as_str().is_some_and(|name| FIELDS.contains(&name)) {
                        *field = Value::from("~");
                    }
                }
            }
        }
    }
    serde_json::to_vec(&value).unwrap_or_default()
}

/// Room for rows that are text again at once.
struct Room(usize);

impl Rows for Room {
    fn len(&self) -> usize {
        self.0
    }

    fn split_front(self, rows: usize) -> (Self, Self) {
        (Self(rows), Self(self.0 - rows))
    }
}

fn write_nodes(
    input: &mut Input<'_>,
    header: &Header,
    threads: usize,
    out: &mut dyn Write,
    by: &(impl Rewrite + ?Sized),
) -> Result<usize, RewriteError> {
    const SECTION: Section = Section::Nodes;
    let layout = &header.nodes;
    let parse = |text: &[u8], rows: Room, _: usize| match layout.fields {
        5 => node_rows::<5>(text, rows.0, header, by),
        6 => node_rows::<6>(text, rows.0, header, by),
        7 => node_rows::<7>(text, rows.0, header, by),
        _ => node_rows::<64>(text, rows.0, header, by),
    };
    let mut done = 0;
    let mut room = WINDOW;
    loop {
        let outcome = read_rows(input, SECTION, layout.fields, Room(room), done, threads.max(1), &parse)?;
        for (piece, text) in outcome.stats.iter().enumerate() {
            if done + piece > 0 {
                out.write_all(b",\n")?;
            }
            out.write_all(text.as_bytes())?;
        }
        done += outcome.rows;
        if outcome.finished {
            return Ok(done);
        }
        if outcome.rows == 0 {
            room = room.saturating_mul(2);
        }
    }
}

/// The text of rows, without the last comma.
fn node_rows<const F: usize>(
    text: &[u8],
    rows: usize,
    header: &Header,
    by: &(impl Rewrite + ?Sized),
) -> Result<Text, NumberError> {
    let mut out = Text::with_room(text.len() + text.len() / 8);
    if rows_from::<F, _>(QuickNumbers::new(text), rows, header, by, &mut out).is_err() {
        out.clear();
        rows_from::<F, _>(Numbers::new(text), rows, header, by, &mut out)?;
    }
    out.pop();
    Ok(out)
}

fn rows_from<const F: usize, S: RowSource>(
    source: S,
    rows: usize,
    header: &Header,
    by: &(impl Rewrite + ?Sized),
    out: &mut Text,
) -> Result<(), S::Error> {
    let layout = &header.nodes;
    let fields = if F == 64 { layout.fields } else { F };
    source.rows(fields, rows, |_, row: &[u64; F]| {
        let raw = row[layout.kind];
        let Some(kind) = header.node_kinds.raw(raw) else {
            return Err(Problem::UnknownType { what: "node", value: raw, known: header.node_kinds.listed() });
        };
        let name = u32::try_from(row[layout.name]).map_err(|_| too_large("name", row[layout.name]))?;
        let new = by.node_name(NodeKind(kind), name);
        for (field, &value) in row.iter().take(fields).enumerate() {
            number(out, if field == layout.name { u64::from(new) } else { value });
        }
        Ok(())
    })
}

fn write_strings(
    input: &mut Input<'_>,
    out: &mut dyn Write,
    by: &mut (impl Rewrite + ?Sized),
) -> Result<usize, RewriteError> {
    let mut out = Out { to: out, text: Vec::with_capacity(FLUSH + FLUSH / 4), any: false, failed: None };
    let mut count = 0;
    each_strings(input, &mut crate::Warnings::default(), |table| {
        by.strings(count as u32, &table, &mut out);
        count += table.len();
        Ok(())
    })?;
    by.more(&mut out);
    out.flush();
    match out.failed {
        None => Ok(count),
        Some(error) => Err(error.into()),
    }
}
