//! From text to columns: the order of the sections, and the rows of nodes and edges.
//!
//! Invariants of a snapshot that is returned:
//! 1. every column of the nodes has the same length N <= 2^32 - 2, of the edges E <= 2^32 - 2;
//! 2. `first_edge` has N + 1 ascending items, the last is at most E;
//! 3. every `to` is below N, every kind is in the tables, `root` is below N;
//! 4. names may lie beyond the string table (a warning); they read as empty strings.

use std::io::Read;

use crate::{
    Buffer, Snapshot, Traces,
    edges::{EdgeBuffers, EdgeRows, Target, parse_any_edges, parse_edges},
    error::{Problem, ReadError, Section, WarningKind, Warnings, show_byte},
    header::Header,
    input::Input,
    nodes::{NodeBuffers, NodeRows, parse_nodes},
    numbers::{NumberError, Numbers},
    rows::{Growth, Rows, read_rows},
    scopes::RawScopes,
    skim::Skim,
    strings::{each_strings, read_strings},
    tables::{Locations, TraceNode, functions, samples},
};

/// The most nodes or edges that ordinals of 32 bits can number.
const MAX_ROWS: u64 = u32::MAX as u64 - 1;

/// Rows that are held at a time by those who do not hold all.
pub(crate) const WINDOW: usize = 1 << 18;

/// How to read.
#[derive(Clone, Copy)]
pub struct ReadOptions<'a> {
    /// Threads that parse; 0 is taken as 1.
    pub threads: usize,
    /// Bytes that the source will give, where that is known and it is not compressed. Bounds the first allocation.
    pub len: Option<u64>,
    /// Called now and then, from any of the threads, with the bytes of text read so far.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
}

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads, len: None, progress: None }
    }
}

impl std::fmt::Debug for ReadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOptions")
            .field("threads", &self.threads)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Reads a snapshot or timeline, plain or compressed with gzip or Zstandard.
///
/// # Errors
/// The first broken rule of the format, with section and byte offset. Damage that leaves the rest sound is in
/// [`Snapshot::warnings`] instead.
pub fn read<'r>(source: impl Read + Send + 'r, options: ReadOptions<'r>) -> Result<Snapshot, ReadError> {
    let mut input = Input::new(Box::new(source), options.len, options.progress)?;
    let mut reader = Reader { threads: options.threads.max(1), ..Reader::default() };
    reader.top_level(&mut input)?;
    reader.finish(&input)
}

/// What is whole in a snapshot that was cut off, and where it ends.
pub(crate) struct Remains {
    pub(crate) snapshot: Snapshot,
    /// Where the text ends, and why; `None` if it is whole.
    pub(crate) end: Option<ReadError>,
    pub(crate) sections: Vec<Section>,
    pub(crate) promised_nodes: u64,
    pub(crate) promised_edges: u64,
    /// Edges that the whole nodes claim.
    pub(crate) claimed_edges: u64,
    /// Nodes of which an edge or more did not come.
    pub(crate) stripped_nodes: u64,
    /// The largest string index in use, if any is.
    pub(crate) max_name: Option<u32>,
}

/// Reads as much as is whole of a snapshot whose text may stop anywhere: rows that are whole, strings that are closed.
///
/// # Errors
/// The header is not whole, there is no node, or something is wrong that is no missing end.
pub(crate) fn read_remains<'r>(
    source: impl Read + Send + 'r,
    options: ReadOptions<'r>,
) -> Result<Remains, ReadError> {
    let mut input = Input::new(Box::new(source), options.len, options.progress)?;
    input.lenient = true;
    let mut reader = Reader { threads: options.threads.max(1), ..Reader::default() };
    let end = match reader.top_level(&mut input) {
        Ok(()) => None,
        Err(error) if matches!(error.problem, Problem::Truncated) && reader.header.is_some() => {
            let problem = input.cut.take().unwrap_or(Problem::Truncated);
            Some(problem.at(error.section, error.offset))
        }
        Err(mut error) => {
            if let (Problem::Truncated, Some(problem)) = (&error.problem, input.cut.take()) {
                error.problem = problem;
            }
            return Err(error);
        }
    };
    let (promised_nodes, promised_edges) =
        reader.header.as_ref().map_or((0, 0), |header| (header.node_count, header.edge_count));
    let claimed_edges = reader.edge_sum;
    let sections = reader.seen.clone();
    let max_name = reader.max_node_name.max(reader.max_edge_name);
    let mut snapshot = reader.finish(&input)?;
    // Nodes after the last whole edge have none; the one whose edges were cut has those that are left.
    let edges = snapshot.edge_count() as u32;
    let loses = |span: &[u32]| span[1] > edges && span[1] > span[0];
    let stripped_nodes = snapshot.nodes.first_edge.windows(2).filter(|span| loses(span)).count() as u64;
    if let Some(first_edge) = snapshot.nodes.first_edge.to_mut() {
        for first in first_edge.iter_mut() {
            *first = edges.min(*first);
        }
    }
    Ok(Remains {
        snapshot,
        end,
        sections,
        promised_nodes,
        promised_edges,
        claimed_edges,
        stripped_nodes,
        max_name,
    })
}

#[derive(Default)]
pub(crate) struct Reader<'s> {
    threads: usize,
    /// Who takes the rows instead of the snapshot.
    skim: Option<&'s mut dyn Skim>,
    pub(crate) header: Option<Header>,
    pub(crate) seen: Vec<Section>,
    node_offset: u64,
    snapshot: Snapshot,
    pub(crate) warnings: Warnings,
    /// Nodes, edges and strings so far.
    pub(crate) nodes: usize,
    pub(crate) edges: usize,
    pub(crate) strings: usize,
    pub(crate) edge_sum: u64,
    pub(crate) max_node_name: Option<u32>,
    pub(crate) max_edge_name: Option<u32>,
    pub(crate) trace_functions: Vec<u64>,
    raw_locations: Vec<Buffer<u32>>,
    location_rows: usize,
    pub(crate) scopes: RawScopes,
    /// What is left is of no interest.
    done: bool,
    /// A section that was passed over has something else in it than numbers.
    pub(crate) odd: bool,
}

impl<'s> Reader<'s> {
    pub(crate) fn for_skim(threads: usize, skim: &'s mut dyn Skim) -> Self {
        Self { threads, skim: Some(skim), ..Self::default() }
    }

    pub(crate) fn top_level(&mut self, input: &mut Input<'_>) -> Result<(), ReadError> {
        const TOP: Section = Section::TopLevel;
        match input.peek_token(TOP)? {
            Some(b'{') => input.pos += 1,
            None => return Err(Problem::Empty.at(TOP, input.offset())),
            found => return Err(Problem::NotASnapshot(show_byte(found)).at(TOP, input.offset())),
        }
        if input.peek_token(TOP)? == Some(b'}') {
            return Err(Problem::Missing(Section::Header).at(TOP, input.offset()));
        }
        loop {
            input.peek_token(TOP)?;
            let key_offset = input.offset();
            let key = input.key(TOP)?;
            input.expect(b':', "`:` after a key", TOP)?;
            self.section(input, &key, key_offset)?;
            if self.done {
                return Ok(());
            }
            match input.peek_token(TOP)? {
                Some(b',') => input.pos += 1,
                Some(b'}') => {
                    input.pos += 1;
                    break;
                }
                None => return Err(Problem::Truncated.at(TOP, input.offset())),
                found => return Err(input.syntax("`,` or `}` after a section", found, TOP)),
            }
        }
        let offset = input.offset();
        if input.peek_token(TOP)?.is_some() {
            self.warnings.add(WarningKind::TrailingText, TOP, Some(offset), 1, || {
                "text after the end of the snapshot, ignored".to_owned()
            });
        }
        Ok(())
    }

    fn section(&mut self, input: &mut Input<'_>, key: &[u8], key_offset: u64) -> Result<(), ReadError> {
        let section = Section::of_key(key);
        if section == Section::Unknown {
            if self.seen.is_empty() {
                return Self::other_format(input, key, key_offset);
            }
            self.warnings.add(WarningKind::UnknownSection, section, Some(key_offset), 1, || {
                format!("section `{}` is not known, skipped", String::from_utf8_lossy(key))
            });
            return input.skip_value(section);
        }
        if self.seen.contains(&section) {
            return Err(Problem::Repeated(section).at(section, key_offset));
        }
        self.seen.push(section);
        if section == Section::Header {
            let offset = input.offset();
            input.peek_token(section)?;
            let text = input.capture_value(section)?;
            self.header = Some(Header::parse(&text).map_err(|p| p.at(section, offset))?);
            return Ok(());
        }
        input.expect(b'[', "`[`", section)?;
        if let Some(skim) = &self.skim
            && !skim.wants(section)
        {
            if section == Section::Strings {
                self.done = true;
                return Ok(());
            }
            if matches!(section, Section::Nodes | Section::Edges) {
                // Whoever holds nothing looks at them in another pass.
                input.skip_array(section, false)?;
            } else {
                self.odd |= !input.skip_numbers(section, section == Section::TraceTree)?;
            }
            return input.expect(b']', "`]`", section);
        }
        match section {
            Section::Strings => self.strings(input)?,
            Section::TraceTree => return self.trace_tree(input, key_offset),
            _ => {
                let Some(header) = self.header.take() else {
                    return Err(Problem::Order(section, Section::Header).at(section, key_offset));
                };
                let result = match section {
                    Section::Nodes => self.nodes(input, &header),
                    Section::Edges => self.edges(input, &header, key_offset),
                    Section::Locations => self.locations(input, &header),
                    Section::Samples => {
                        let fields = header.sample_fields.len();
                        self.numbers(input, section, fields).map(|numbers| {
                            self.snapshot.samples =
                                samples(&numbers, &header.sample_fields, &mut self.warnings);
                        })
                    }
                    Section::Scopes | Section::ScopeVariables | Section::ScopeUses => {
                        self.scopes.read(input, section, &header, &mut self.warnings)
                    }
                    _ => self.numbers(input, section, header.trace_function_fields.len()).map(|numbers| {
                        self.trace_functions = numbers;
                    }),
                };
                self.header = Some(header);
                result?;
            }
        }
        input.expect(b']', "`]`", section)
    }

    /// The first key is not a snapshot's: says what the file is instead, if that is known.
    fn other_format(input: &mut Input<'_>, key: &[u8], offset: u64) -> Result<(), ReadError> {
        let what = match key {
            b"head" => "a sampling heap profile (.heapprofile)",
            b"nodes" | b"edges" => {
                return Err(Problem::Order(Section::Nodes, Section::Header).at(Section::Nodes, offset));
            }
            b"startTime" | b"endTime" => "a CPU profile",
            b"version" if input.peek_token(Section::TopLevel)?.is_some_and(|b| b.is_ascii_digit()) => {
                "a snapshot in another engine's format (WebKit's begins with `version`)"
            }
            b"samples" => "a heap profile or CPU profile",
            b"traceEvents" => "a trace",
            _ => {
                let found = format!("the key `{}`", String::from_utf8_lossy(key));
                return Err(Problem::NotASnapshot(found).at(Section::TopLevel, offset));
            }
        };
        Err(Problem::OtherFormat(what).at(Section::TopLevel, offset))
    }

    fn strings(&mut self, input: &mut Input<'_>) -> Result<(), ReadError> {
        let Some(skim) = &mut self.skim else {
            self.snapshot.strings = read_strings(input, &mut self.warnings)?;
            return Ok(());
        };
        let strings = &mut self.strings;
        each_strings(input, &mut self.warnings, |table| {
            let first = *strings;
            *strings += table.len();
            skim.strings(first as u32, &table);
            Ok(())
        })
    }

    fn nodes(&mut self, input: &mut Input<'_>, header: &Header) -> Result<(), ReadError> {
        const SECTION: Section = Section::Nodes;
        self.node_offset = input.offset();
        let layout = header.nodes;
        let growth = Growth::new(input, layout.fields, header.node_count);
        let mut room = if self.skim.is_some() { WINDOW } else { growth.first() };
        let mut columns = NodeBuffers::new(room, &layout).ok_or_else(|| no_memory(room, SECTION, input))?;
        let mut done = 0;
        let mut large = Vec::new();
        let mut edge_sum = 0u64;
        let mut traced = false;
        loop {
            let kinds = &header.node_kinds;
            let parse = |text: &[u8], rows: NodeRows<'_>, first: usize| match layout.fields {
                5 => parse_nodes::<5>(text, rows, &layout, kinds, first),
                6 => parse_nodes::<6>(text, rows, &layout, kinds, first),
                7 => parse_nodes::<7>(text, rows, &layout, kinds, first),
                _ => parse_nodes::<64>(text, rows, &layout, kinds, first),
            };
            let rows = columns.rows_from(if self.skim.is_some() { 0 } else { done });
            let outcome = read_rows(input, SECTION, layout.fields, rows, done, self.threads, &parse)?;
            done += outcome.rows;
            for stats in outcome.stats {
                large.extend(stats.large);
                traced |= stats.traced;
                edge_sum = edge_sum.saturating_add(stats.edges);
                self.max_node_name = self.max_node_name.max(Some(stats.max_name));
                self.warnings.add(WarningKind::Detachedness, SECTION, None, stats.odd_detachedness, || {
                    "detachedness above 3, its low two bits are used".to_owned()
                });
            }
            if done as u64 > MAX_ROWS {
                return Err(Problem::TooMany { what: "nodes", limit: MAX_ROWS }.at(SECTION, input.offset()));
            }
            if let Some(skim) = &mut self.skim {
                skim.nodes(columns.window(outcome.rows));
            }
            if outcome.finished {
                break;
            }
            if self.skim.is_some() && outcome.rows > 0 {
                // The window is free again.
                continue;
            }
            room = growth.after(room);
            columns = columns.grown(room).ok_or_else(|| no_memory(room, SECTION, input))?;
        }
        if done == 0 {
            let problem = Problem::Header("the snapshot has no nodes".into());
            return Err(problem.at(SECTION, input.offset()));
        }
        if done as u64 != header.node_count {
            self.warnings.add(WarningKind::NodeCount, Section::Header, None, 1, || {
                format!("the header promises {} nodes, the file has {done}", header.node_count)
            });
        }
        self.edge_sum = edge_sum;
        self.nodes = done;
        if self.skim.is_none() {
            self.snapshot.nodes = columns.freeze(done, large, traced);
        }
        Ok(())
    }

    fn edges(&mut self, input: &mut Input<'_>, header: &Header, key_offset: u64) -> Result<(), ReadError> {
        const SECTION: Section = Section::Edges;
        if !self.seen.contains(&Section::Nodes) {
            return Err(Problem::Order(SECTION, Section::Nodes).at(SECTION, key_offset));
        }
        let layout = header.edges;
        let target = Target { fields: header.nodes.fields as u64, nodes: self.nodes as u64 };
        let growth = Growth::new(input, layout.fields, header.edge_count);
        let mut room = if self.skim.is_some() { WINDOW } else { growth.first() };
        let mut columns = EdgeBuffers::new(room).ok_or_else(|| no_memory(room, SECTION, input))?;
        let mut done = 0;
        loop {
            let kinds = &header.edge_kinds;
            let standard = layout.fields == 3 && (layout.kind, layout.name, layout.to) == (0, 1, 2);
            let parse = |text: &[u8], rows: EdgeRows<'_>, _: usize| match (standard, target.fields) {
                (true, 5) => parse_edges::<5>(text, rows, kinds, target),
                (true, 6) => parse_edges::<6>(text, rows, kinds, target),
                (true, 7) => parse_edges::<7>(text, rows, kinds, target),
                _ => parse_any_edges(text, rows, &layout, kinds, target),
            };
            let rows = columns.rows_from(if self.skim.is_some() { 0 } else { done });
            let outcome = read_rows(input, SECTION, layout.fields, rows, done, self.threads, &parse)?;
            done += outcome.rows;
            self.max_edge_name = outcome.stats.into_iter().max().unwrap_or(None).max(self.max_edge_name);
            if done as u64 > MAX_ROWS {
                return Err(Problem::TooMany { what: "edges", limit: MAX_ROWS }.at(SECTION, input.offset()));
            }
            if let Some(skim) = &mut self.skim {
                skim.edges(columns.window(outcome.rows));
            }
            if outcome.finished {
                break;
            }
            if self.skim.is_some() && outcome.rows > 0 {
                continue;
            }
            room = growth.after(room);
            columns = columns.grown(room).ok_or_else(|| no_memory(room, SECTION, input))?;
        }
        if done as u64 != header.edge_count {
            self.warnings.add(WarningKind::EdgeCount, Section::Header, None, 1, || {
                format!("the header promises {} edges, the file has {done}", header.edge_count)
            });
        }
        if self.edge_sum > done as u64 && !input.lenient {
            let problem = Problem::EdgesMissing { claimed: self.edge_sum, found: done as u64 };
            return Err(problem.at(SECTION, input.offset()));
        }
        if self.edge_sum < done as u64 {
            let extra = done as u64 - self.edge_sum;
            self.warnings.add(WarningKind::UnownedEdges, SECTION, None, extra, || {
                "an edge that belongs to no node, ignored".to_owned()
            });
            done = self.edge_sum as usize;
        }
        self.edges = done;
        if self.skim.is_none() {
            self.snapshot.edges = columns.freeze(done);
        }
        Ok(())
    }

    fn locations(&mut self, input: &mut Input<'_>, header: &Header) -> Result<(), ReadError> {
        const SECTION: Section = Section::Locations;
        let fields = &header.location_fields;
        let at = |name: &str| fields.iter().position(|f| f == name);
        let (Some(object), Some(script), Some(line), Some(column)) =
            (at("object_index"), at("script_id"), at("line"), at("column"))
        else {
            let numbers = self.numbers(input, SECTION, fields.len())?;
            self.warnings.add(WarningKind::Location, SECTION, None, u64::from(!numbers.is_empty()), || {
                "locations whose fields the header does not name, ignored".to_owned()
            });
            return Ok(());
        };
        let growth = Growth::new(input, fields.len(), u64::MAX);
        let wanted = [object, script, line, column];
        let mut done = 0;
        let mut room = growth.first();
        let make = |room| (0..4).map(|_| Buffer::zeroed(room)).collect::<Option<Vec<_>>>();
        let mut columns: Vec<Buffer<u32>> = make(room).ok_or_else(|| no_memory(room, SECTION, input))?;
        let n_fields = fields.len();
        loop {
            let parse =
                |text: &[u8], rows: TableRows<'_>, _: usize| parse_table(text, rows, n_fields, wanted);
            let mut parts = columns.iter_mut().map(|c| &mut c[done..]);
            let mut part = || parts.next().unwrap_or_default();
            let rows = TableRows([part(), part(), part(), part()]);
            let outcome = read_rows(input, SECTION, n_fields, rows, done, self.threads, &parse)?;
            done += outcome.rows;
            if outcome.finished {
                break;
            }
            room = growth.after(room);
            columns = columns
                .iter()
                .map(|c| c.grown(room))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| no_memory(room, SECTION, input))?;
        }
        self.raw_locations = columns;
        self.location_rows = done;
        Ok(())
    }

    /// A small table of numbers, as it is.
    fn numbers(
        &mut self,
        input: &mut Input<'_>,
        section: Section,
        fields: usize,
    ) -> Result<Vec<u64>, ReadError> {
        struct Free<'a>(&'a mut [u64], usize);
        impl Rows for Free<'_> {
            fn len(&self) -> usize {
                self.0.len() / self.1
            }
            fn split_front(self, rows: usize) -> (Self, Self) {
                let (front, rest) = self.0.split_at_mut(rows * self.1);
                (Self(front, self.1), Self(rest, self.1))
            }
        }
        let fields = fields.max(1);
        let growth = Growth::new(input, fields, u64::MAX);
        let mut room = growth.first();
        let mut all = Buffer::<u64>::zeroed(room.saturating_mul(fields))
            .ok_or_else(|| no_memory(room, section, input))?;
        let mut done = 0;
        let parse = |text: &[u8], rows: Free<'_>, _: usize| {
            let mut numbers = Numbers::new(text);
            for slot in rows.0.iter_mut() {
                *slot = numbers.next()?;
            }
            numbers.finish()
        };
        loop {
            let rows = Free(&mut all[done * fields..], fields);
            let outcome = read_rows(input, section, fields, rows, done, self.threads, &parse)?;
            done += outcome.rows;
            if outcome.finished {
                return Ok(all[..done * fields].to_vec());
            }
            room = growth.after(room);
            all = all.grown(room * fields).ok_or_else(|| no_memory(room, section, input))?;
        }
    }

    /// The tree `[id, function, count, size, [children]]`, nested to any depth, without recursion. The opening bracket
    /// is consumed.
    fn trace_tree(&mut self, input: &mut Input<'_>, key_offset: u64) -> Result<(), ReadError> {
        const SECTION: Section = Section::TraceTree;
        let Some(header) = self.header.as_ref() else {
            return Err(Problem::Order(SECTION, Section::Header).at(SECTION, key_offset));
        };
        let fields = &header.trace_node_fields;
        let at = |name: &str| fields.iter().position(|f| f == name);
        let (id, function) = (at("id"), at("function_info_index"));
        let (count, size, children) = (at("count"), at("size"), at("children"));
        let (Some(id), Some(function), Some(count), Some(size), Some(children)) =
            (id, function, count, size, children)
        else {
            let mut depth = 1;
            while depth > 0 {
                match input.bump(SECTION)? {
                    b'[' => depth += 1,
                    b']' => depth -= 1,
                    _ => {}
                }
            }
            return Ok(());
        };
        let number = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
        let mut nodes: Vec<TraceNode> = Vec::new();
        // For each open bracket: the node whose children these are, and the field that comes next.
        let mut open: Vec<(Option<u32>, usize)> = vec![(None, 0)];
        while let Some(&mut (parent, ref mut field)) = open.last_mut() {
            let place = *field % fields.len();
            match input.peek_token(SECTION)? {
                Some(b'[') if place == children => {
                    input.pos += 1;
                    *field += 1;
                    let this = (nodes.len() as u32).checked_sub(1);
                    open.push((this, 0));
                }
                Some(b']') => {
                    if place != 0 {
                        let count = *field as u64;
                        return Err(
                            Problem::PartialRow { count, fields: fields.len() }.at(SECTION, input.offset())
                        );
                    }
                    input.pos += 1;
                    open.pop();
                }
                Some(b',') => input.pos += 1,
                Some(b'0'..=b'9') if place != children => {
                    let mut value = 0u64;
                    while let Some(digit @ b'0'..=b'9') = input.peek(SECTION)? {
                        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
                        input.pos += 1;
                    }
                    if place == 0 {
                        // Children stand after their node's other numbers, so the last node is the one in hand: V8
                        // writes `children` last, and no other order is accepted below.
                        nodes.push(TraceNode { parent, ..TraceNode::default() });
                    }
                    *field += 1;
                    if let Some(node) = nodes.last_mut() {
                        match place {
                            p if p == id => node.id = number(value),
                            p if p == function => node.function = number(value),
                            p if p == count => node.count = value,
                            p if p == size => node.size = value,
                            _ => {}
                        }
                    }
                }
                None => return Err(Problem::Truncated.at(SECTION, input.offset())),
                found => return Err(input.syntax("a number or a list of children", found, SECTION)),
            }
        }
        if children + 1 != fields.len() && !nodes.is_empty() {
            self.warnings.add(WarningKind::Trace, SECTION, None, 1, || {
                "the children are not the last field of a trace node, ignored".to_owned()
            });
            nodes.clear();
        }
        self.snapshot.traces.get_or_insert_default().nodes = nodes;
        Ok(())
    }

    fn finish(mut self, input: &Input<'_>) -> Result<Snapshot, ReadError> {
        let end = input.offset();
        let Some(header) = self.header.take() else {
            return Err(Problem::Missing(Section::Header).at(Section::TopLevel, end));
        };
        for section in [Section::Nodes, Section::Edges, Section::Strings] {
            if !self.seen.contains(&section) && !input.lenient {
                return Err(Problem::Missing(section).at(Section::TopLevel, end));
            }
        }
        let mut snapshot = self.snapshot;
        let mut warnings = self.warnings;
        let fields = header.nodes.fields as u64;
        let root = header.root_index / fields;
        if !header.root_index.is_multiple_of(fields) || root >= snapshot.node_count() as u64 {
            return Err(Problem::BadRoot(header.root_index).at(Section::Header, 0));
        }
        snapshot.root = root as u32;
        snapshot.node_fields = header.nodes.fields as u32;
        snapshot.extra_native_bytes = header.extra_native_bytes;
        check_names(&snapshot, self.max_node_name, self.max_edge_name, &mut warnings);
        snapshot.locations = locations(
            &self.raw_locations,
            self.location_rows,
            header.nodes.fields as u32,
            snapshot.node_count(),
            &mut warnings,
        );
        snapshot.scopes = self
            .scopes
            .finish(fields, snapshot.node_count() as u64, snapshot.strings.len() as u32, &mut warnings)
            .map_err(|problem| problem.at(Section::Scopes, end))?;
        snapshot.traces = traces(&header, &self.trace_functions, snapshot.traces.take(), &mut warnings);
        snapshot.node_kinds = header.node_kinds;
        snapshot.edge_kinds = header.edge_kinds;
        snapshot.warnings = warnings;
        snapshot.text_bytes = end;
        Ok(snapshot)
    }
}

fn no_memory(rows: usize, section: Section, input: &Input<'_>) -> ReadError {
    Problem::OutOfMemory { bytes: (rows as u64).saturating_mul(17) }.at(section, input.offset())
}

/// Counts names beyond the string table. Costs nothing where there are none.
fn check_names(snapshot: &Snapshot, node: Option<u32>, edge: Option<u32>, warnings: &mut Warnings) {
    let known = snapshot.strings.len() as u32;
    let detail =
        |what, row: usize, name| format!("{what} {row} has name {name}, but there are only {known} strings");
    if node.is_some_and(|max| max >= known) {
        let bad = |&(_, &name): &(usize, &u32)| name >= known;
        let names = || snapshot.nodes.name.iter().enumerate().filter(bad);
        warnings.add(WarningKind::StringIndex, Section::Nodes, None, names().count() as u64, || {
            names().next().map(|(row, name)| detail("node", row, name)).unwrap_or_default()
        });
    }
    if edge.is_some_and(|max| max >= known) {
        let bad = |&e: &usize| snapshot.edge_string(e).is_some_and(|name| name >= known);
        let edges = || (0..snapshot.edge_count()).filter(bad);
        warnings.add(WarningKind::StringIndex, Section::Edges, None, edges().count() as u64, || {
            edges().next().map(|e| detail("edge", e, &snapshot.edges.name[e])).unwrap_or_default()
        });
    }
}

/// Sorts locations by node; of several for one node the last counts, as in DevTools.
/// The locations by node, of several for one node the last. V8 writes them nearly in order.
///
/// A bit for each node that has one, counted up, says where its row goes: linear, whatever the order.
fn locations(
    raw: &[Buffer<u32>],
    rows: usize,
    fields: u32,
    nodes: usize,
    warnings: &mut Warnings,
) -> Locations {
    let [objects, scripts, lines, columns] = raw else { return Locations::default() };
    let node = |index: u32| {
        let node = (index / fields) as usize;
        (index.is_multiple_of(fields) && node < nodes).then_some(node)
    };
    let mut located = vec![0u64; nodes.div_ceil(64)];
    let mut bad = 0;
    for &index in &objects[..rows] {
        match node(index) {
            Some(node) => located[node / 64] |= 1 << (node % 64),
            None => bad += 1,
        }
    }
    warnings.add(WarningKind::Location, Section::Locations, None, bad, || {
        "a location of something that is not a node, ignored".to_owned()
    });
    let mut count = 0;
    let before: Vec<u32> = located
        .iter()
        .map(|word| {
            let before = count;
            count += word.count_ones();
            before
        })
        .collect();
    let column = || vec![0u32; count as usize];
    let [mut out_nodes, mut out_scripts, mut out_lines, mut out_columns] = std::array::from_fn(|_| column());
    for row in 0..rows {
        let Some(node) = node(objects[row]) else { continue };
        let (word, bit) = (node / 64, node % 64);
        let at = (before[word] + (located[word] & ((1 << bit) - 1)).count_ones()) as usize;
        out_nodes[at] = node as u32;
        out_scripts[at] = scripts[row];
        out_lines[at] = lines[row];
        out_columns[at] = columns[row];
    }
    Locations {
        nodes: out_nodes.into(),
        script_ids: out_scripts.into(),
        lines: out_lines.into(),
        columns: out_columns.into(),
    }
}

fn traces(header: &Header, infos: &[u64], tree: Option<Traces>, warnings: &mut Warnings) -> Option<Traces> {
    let mut traces = tree.unwrap_or_default();
    if header.trace_function_count == 0 || infos.is_empty() {
        return None;
    }
    let Some(functions) = functions(infos, &header.trace_function_fields) else {
        warnings.add(WarningKind::Trace, Section::TraceFunctions, None, 1, || {
            "trace functions whose fields the header does not name, ignored".to_owned()
        });
        return None;
    };
    traces.functions = functions;
    let known = traces.functions.len() as u32;
    let bad = traces.nodes.iter().filter(|n| n.function >= known).count();
    if bad > 0 {
        warnings.add(WarningKind::Trace, Section::TraceTree, None, bad as u64, || {
            "a trace node of a function that is not listed, shown as the first function".to_owned()
        });
        for node in traces.nodes.iter_mut().filter(|n| n.function >= known) {
            node.function = 0;
        }
    }
    Some(traces)
}

struct TableRows<'a>([&'a mut [u32]; 4]);

impl Rows for TableRows<'_> {
    fn len(&self) -> usize {
        self.0[0].len()
    }

    fn split_front(self, rows: usize) -> (Self, Self) {
        let [a, b, c, d] = self.0.map(|column| column.split_at_mut(rows));
        (Self([a.0, b.0, c.0, d.0]), Self([a.1, b.1, c.1, d.1]))
    }
}

/// Keeps four fields of each row.
fn parse_table(
    text: &[u8],
    TableRows(columns): TableRows<'_>,
    fields: usize,
    wanted: [usize; 4],
) -> Result<(), NumberError> {
    let mut numbers = Numbers::new(text);
    let mut row = vec![0u64; fields];
    for i in 0..columns[0].len() {
        for slot in &mut row {
            *slot = numbers.next()?;
        }
        for (k, &field) in wanted.iter().enumerate() {
            // A number that no script has; such a row is dropped later or shows a place that does not exist.
            columns[k][i] = u32::try_from(row[field]).unwrap_or(u32::MAX);
        }
    }
    numbers.finish()
}
