//! Where rows come from: the open files, and the answers of the query layer that are still needed.
//!
//! Orders are lists of numbers; a row is made when it is on the screen. Nothing is computed here that the query layer and
//! the analyses do not compute.

use std::collections::HashMap;

use heapsight_analysis::{Heap, bits::BitSet, filters, paths};
use heapsight_query::{
    classes::ClassRow,
    code::Code,
    compare::Comparison,
    language::Answer,
    listing::{self, Column as By, Order},
    object::weak_map_entry,
    selector,
    strings::Duplicates,
    timeline::{Interval, Recording},
};
use heapsight_report::paint::plain;
use heapsight_snapshot::Column as Numbers;
use regex::Regex;

use crate::{
    row::{Cell, Row, Tone},
    tree::Item,
    views,
};

/// Characters of the name of a reference.
const EDGE: usize = 200;

/// Strings of a group of equal ones that are looked up.
pub(crate) const GROUP: usize = 10_000;

/// A file that is open.
#[derive(Debug)]
pub struct Opened {
    /// Its name without folders.
    pub name: String,
    /// What is in it.
    pub heap: Heap,
    /// What is known of its code.
    pub code: Code,
}

/// How a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// What was typed.
    pub text: String,
    /// Which of the choices of the view: a filter, a base, a kind of strings.
    pub choice: usize,
    /// The column to sort by, from 0.
    pub column: usize,
    /// The other way around.
    pub reversed: bool,
    /// The object that it is about.
    pub target: Option<u32>,
}

/// The open files and what was asked of them.
#[derive(Debug)]
pub struct Source {
    /// The files, oldest first. The last one is shown.
    files: Vec<Opened>,
    /// Rows of the Summary as they are shown, with their labels.
    pub(crate) classes: Vec<(ClassRow, String)>,
    /// The rows of each filter before the class filter.
    pub(crate) summaries: HashMap<String, Vec<ClassRow>>,
    /// The objects that pass the filter of the Summary.
    pub(crate) passing: Option<(String, BitSet)>,
    /// The Comparison with each base.
    pub(crate) compared: HashMap<usize, Comparison>,
    /// The rows of it that are shown: places in the Comparison and labels.
    pub(crate) changed: Vec<(usize, String)>,
    /// Which file is the base.
    pub(crate) base: usize,
    /// Equal strings.
    pub(crate) duplicates: Option<(String, Duplicates)>,
    /// The answer to the query.
    pub(crate) answer: Option<Answer>,
    /// What the search found.
    pub(crate) found: Option<(String, Vec<u32>)>,
    /// The recording, if the file is one.
    pub(crate) recording: Option<Recording>,
    /// Classes that are alive of intervals.
    pub(crate) alive: Vec<ClassRow>,
    /// Objects that are taken to hold nothing.
    pub(crate) ignored: Vec<u32>,
    /// Distances without them.
    pub(crate) without: Option<Numbers<i32>>,
}

impl Source {
    /// Takes files, oldest first. `None` if there is none.
    pub fn new(files: Vec<Opened>) -> Option<Self> {
        let recording = heapsight_query::timeline::recording(&files.last()?.heap);
        Some(Self {
            base: files.len().saturating_sub(2),
            files,
            classes: Vec::new(),
            summaries: HashMap::new(),
            passing: None,
            compared: HashMap::new(),
            changed: Vec::new(),
            duplicates: None,
            answer: None,
            found: None,
            recording,
            alive: Vec::new(),
            ignored: Vec::new(),
            without: None,
        })
    }

    /// All files, oldest first.
    pub fn files(&self) -> &[Opened] {
        &self.files
    }

    /// The file that is shown.
    pub fn file(&self) -> &Opened {
        // `new` takes no empty list.
        &self.files[self.files.len() - 1]
    }

    /// The heap that is shown.
    pub fn heap(&self) -> &Heap {
        &self.file().heap
    }

    /// Whether it is a recording.
    pub fn is_timeline(&self) -> bool {
        self.recording.is_some()
    }

    /// The intervals of the recording.
    pub fn intervals(&self) -> &[Interval] {
        self.recording.as_ref().map_or(&[], |recording| &recording.intervals)
    }

    /// The bytes of all objects.
    pub fn total(&self) -> u64 {
        self.heap().total_size()
    }

    fn base(&self) -> &Opened {
        self.files.get(self.base).unwrap_or_else(|| self.file())
    }

    /// The object that a row is about, if it is one of the file that is shown.
    pub fn object(&self, item: Item) -> Option<u32> {
        let edges = &self.heap().snapshot.edges;
        match item {
            Item::Object(ord) | Item::Dominated(ord) | Item::Added(ord) => Some(ord),
            Item::Field(edge) => edges.to.get(edge as usize).copied(),
            Item::Holder(edge) => Some(holder(self.heap(), edge)),
            Item::Group(at) => {
                let (_, duplicates) = self.duplicates.as_ref()?;
                duplicates.groups.get(at as usize).map(|group| group.example)
            }
            Item::Answer(at) => {
                let answer = self.answer.as_ref().filter(|answer| answer.groups.is_none())?;
                answer.rows.get(at as usize).map(|row| row.ord)
            }
            _ => None,
        }
    }

    /// The rows below a row.
    pub fn below(&mut self, item: Item, ask: &Ask) -> Vec<Item> {
        let order = order(ask);
        match item {
            Item::Class(at) => views::summary::instances(self, at, order),
            Item::Object(ord) | Item::Added(ord) => fields(self.heap(), ord, order, Item::Field),
            Item::Field(edge) => {
                let to = self.heap().snapshot.edges.to.get(edge as usize).copied();
                to.map(|to| fields(self.heap(), to, order, Item::Field)).unwrap_or_default()
            }
            Item::Removed(ord) => fields(&self.base().heap, ord, Order::default(), Item::OldField),
            Item::OldField(edge) => {
                let heap = &self.base().heap;
                let to = heap.snapshot.edges.to.get(edge as usize).copied();
                to.map(|to| fields(heap, to, Order::default(), Item::OldField)).unwrap_or_default()
            }
            Item::Holder(edge) => self.holders(holder(self.heap(), edge)),
            Item::Dominated(ord) => {
                listing::dominated(self.heap(), ord, order).into_iter().map(Item::Dominated).collect()
            }
            Item::Changed(at) => views::comparison::objects(self, at),
            Item::Group(at) => views::strings::members(self, at),
            Item::Answer(_) => match self.object(item) {
                Some(ord) => fields(self.heap(), ord, Order::default(), Item::Field),
                None => Vec::new(),
            },
            Item::Interval(at) => views::timeline::classes(self, at),
            Item::Alive(_) => Vec::new(),
        }
    }

    /// Who holds an object, nearest to the roots first; without those that are ignored.
    pub fn holders(&self, ord: u32) -> Vec<Item> {
        let heap = self.heap();
        let distance: &[i32] = self.without.as_ref().map_or(&heap.distance, |column| column);
        let list = paths::holders(heap, distance, ord, false);
        let kept = list.into_iter().filter(|holder| !self.ignored.contains(&holder.from));
        kept.map(|holder| Item::Holder(holder.edge as u32)).collect()
    }

    /// The distance of an object, without what is ignored.
    pub fn distance(&self, ord: u32) -> i32 {
        let column: &[i32] = self.without.as_ref().map_or(&self.heap().distance, |column| column);
        column.get(ord as usize).copied().unwrap_or(heapsight_analysis::distance::UNREACHABLE)
    }

    /// What is shown of a row.
    pub fn row(&self, item: Item) -> Row {
        match item {
            Item::Class(at) => views::summary::class(self, at),
            Item::Object(ord) => self.sized(object(self.file(), ord)),
            Item::Field(edge) => self.sized(behind(self.file(), edge)),
            Item::Dominated(ord) => {
                let mut row = self.sized(object(self.file(), ord));
                // What retains no more than itself dominates nothing that has a size.
                row.opens = self.heap().retained.get(ord) > self.heap().snapshot.nodes.self_size.get(ord);
                row
            }
            Item::Holder(edge) => self.holder(edge),
            Item::Changed(at) => views::comparison::class(self, at),
            Item::Added(ord) => views::comparison::object(object(self.file(), ord), Some(true)),
            Item::Removed(ord) => views::comparison::object(object(self.base(), ord), Some(false)),
            Item::OldField(edge) => views::comparison::object(behind(self.base(), edge), None),
            Item::Group(at) => views::strings::group(self, at),
            Item::Answer(at) => views::search::answer(self, at),
            Item::Interval(at) => views::timeline::interval(self, at),
            Item::Alive(at) => views::timeline::class(self, at),
        }
    }

    fn sized(&self, (mut row, of): (Row, Object)) -> Row {
        let total = self.total();
        row.cells = vec![
            Cell::Distance(of.distance),
            Cell::Nothing,
            Cell::Bytes(of.self_size, total),
            Cell::Bytes(of.retained_size, total),
        ];
        row
    }

    fn holder(&self, edge: u32) -> Row {
        let heap = self.heap();
        let from = holder(heap, edge);
        let (row, of) = object(self.file(), from);
        let mut name = edge_name(heap, edge);
        name.push((" in ".to_owned(), Tone::Dim));
        name.extend(row.name);
        let distance = self.distance(from);
        let mut row = self.sized((Row { name, opens: distance > 0, ..row }, of));
        if let Some(cell) = row.cells.first_mut() {
            *cell = Cell::Distance(distance);
        }
        row
    }

    /// The name of an object on one line: `Session @4711`.
    pub fn called(&self, ord: u32) -> String {
        object(self.file(), ord).0.name.into_iter().map(|(text, _)| text).collect()
    }

    /// Takes an object to hold nothing, or no object any more.
    pub fn ignore(&mut self, ord: Option<u32>) {
        match ord {
            Some(ord) if !self.ignored.contains(&ord) => self.ignored.push(ord),
            Some(_) => {}
            None => self.ignored.clear(),
        }
        self.without = None;
        if !self.ignored.is_empty() {
            let heap = self.heap();
            let mut set = BitSet::new(heap.snapshot.node_count());
            for &ord in &self.ignored {
                set.insert(ord as usize);
            }
            self.without = heapsight_analysis::distance::distances_without(&heap.snapshot, &heap.known, &set);
        }
    }

    /// Finds the objects that pass a filter, unless they are known.
    pub(crate) fn pass(&mut self, name: &str) -> Result<(), String> {
        if self.passing.as_ref().is_none_or(|(known, _)| known != name) {
            let filter = selector::filter(self.heap(), name)?;
            self.passing = Some((name.to_owned(), filters::passing(self.heap(), &filter)));
        }
        Ok(())
    }
}

/// The order in which objects below a row are wanted: the columns of objects are those of the Summary.
fn order(ask: &Ask) -> Order {
    let (by, descending) = match ask.column {
        0 => (By::Name, false),
        1 => (By::Distance, false),
        3 => (By::Shallow, true),
        _ => (By::Retained, true),
    };
    Order { by, descending: descending != ask.reversed }
}

/// A pattern as users type it; nothing typed is no pattern.
pub(crate) fn pattern(text: &str) -> Result<Option<Regex>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    selector::pattern(text).map(Some).map_err(|error| {
        // The library draws a picture of the place; the last line says what is wrong.
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the pattern is no regular expression: {reason}")
    })
}

fn fields(heap: &Heap, ord: u32, order: Order, item: fn(u32) -> Item) -> Vec<Item> {
    listing::references(heap, ord, order).into_iter().map(item).collect()
}

/// The object that an edge starts from.
fn holder(heap: &Heap, edge: u32) -> u32 {
    heapsight_analysis::retainers::source_of(&heap.snapshot, edge as usize)
}

/// The numbers of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) distance: i32,
    pub(crate) self_size: u64,
    pub(crate) retained_size: u64,
}

/// `Session @4711`.
fn object(file: &Opened, ord: u32) -> (Row, Object) {
    let row = listing::row(&file.heap, &file.code, ord);
    let mut name = vec![(plain(&row.value), Tone::Plain)];
    if row.detachedness == 2 && !row.value.starts_with("Detached") {
        name.push((" detached".to_owned(), Tone::Gone));
    }
    name.push((format!(" @{}", row.id), Tone::Dim));
    if let Some(place) = &row.place {
        name.push((format!(" {}", plain(&place.short())), Tone::Place));
    }
    let numbers =
        Object { distance: row.distance, self_size: row.self_size, retained_size: row.retained_size };
    (Row { name, cells: Vec::new(), opens: row.references > 0 }, numbers)
}

fn edge_name(heap: &Heap, edge: u32) -> Vec<(String, Tone)> {
    let kind = heap.snapshot.edge_type(edge as usize);
    let name = plain(&heap.names().edge(edge as usize));
    let name = match name.char_indices().nth(EDGE) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    };
    let shown = match kind {
        "element" | "hidden" => format!("[{name}]"),
        _ if name.is_empty() => "\"\"".to_owned(),
        _ => name,
    };
    let mut parts = vec![(shown, Tone::Edge)];
    if weak_map_entry(heap, edge as usize).is_some() {
        parts.push((" (entry of a WeakMap)".to_owned(), Tone::Dim));
    }
    parts
}

/// `cache :: Map @4711`.
fn behind(file: &Opened, edge: u32) -> (Row, Object) {
    let to = file.heap.snapshot.edges.to.get(edge as usize).copied().unwrap_or(file.heap.snapshot.root);
    let (row, numbers) = object(file, to);
    let mut name = edge_name(&file.heap, edge);
    name.push((" :: ".to_owned(), Tone::Dim));
    name.extend(row.name);
    (Row { name, ..row }, numbers)
}
