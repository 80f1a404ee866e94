//! From a query to its answer: one pass over the columns, on all threads, keeping no more rows than are asked for.
//!
//! What a condition says of classes, types, packages and files is decided once for each of them; then it is a look-up for an
//! object. Within `and` and `or` what is cheap is tested first. Time O(N · conditions + matches · log limit); names of
//! objects are made only for those that pass everything else.

use std::{cmp::Reverse, collections::BinaryHeap, sync::OnceLock};

use heapsight_analysis::{Heap, bits::BitSet, distance::Distance, growth::births};
use rayon::prelude::*;
use regex::Regex;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    DEFAULT_LIMIT, MAX_ORDER,
    ast::{Condition, Operator, Order, Query, Value},
    fields::Field,
};
use crate::{
    code::Code,
    packages::{Attribution, PROGRAM, SourceFile, attribution},
};

/// Objects of one piece of work.
const CHUNK: u32 = 1 << 16;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A count or another number.
    Number(u64),
    /// A size.
    Bytes(u64),
    /// An object id.
    Id(u32),
    /// A packed distance.
    Distance(i32),
    /// Text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// Not known.
    Nothing,
}

/// An object of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its ordinal.
    pub ord: u32,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<Field>,
    /// Objects that match.
    pub count: u64,
    /// Their shallow sizes.
    pub self_size: u64,
    /// The first of them, or the first groups.
    pub rows: Vec<Row>,
    /// Groups that there are, in a grouped query.
    pub groups: Option<u64>,
}

/// When the objects of the last of several snapshots were born.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Births {
    /// The round of each node: 0 was there in the first snapshot; `None` for natives, whose ids mean nothing.
    rounds: Vec<Option<u8>>,
    /// Rounds between the snapshots.
    last: u64,
}

impl Births {
    /// Compares a snapshot with earlier ones of the same process, oldest first, by object id.
    pub fn new(last: &Heap, earlier: &[&Heap]) -> Self {
        let rounds = births(last, earlier).into_iter().map(|round| (round != u8::MAX).then_some(round));
        Self { rounds: rounds.collect(), last: earlier.len() as u64 }
    }

    fn round(&self, ord: u32) -> Option<u64> {
        self.rounds.get(ord as usize).copied().flatten().map(u64::from)
    }
}

/// Answers a query. The rounds of objects are not known.
pub fn evaluate(heap: &Heap, code: &Code, query: &Query) -> Answer {
    evaluate_born(heap, code, query, None)
}

/// Answers a query about the last of several snapshots.
pub fn evaluate_born(heap: &Heap, code: &Code, query: &Query, births: Option<&Births>) -> Answer {
    let world = World { heap, code, births, attribution: OnceLock::new() };
    // Fields that need a column of their own get it before the threads ask for it.
    let asked = fields_of(query);
    if asked.contains(&Field::Retainers) {
        heap.retainers();
    }
    let test = query.condition.as_ref().map(|condition| Test::new(&world, condition));
    match query.group_by {
        Some(field) => grouped(&world, query, test.as_ref(), field),
        None => listed(&world, query, test.as_ref()),
    }
}

/// Whether a query asks when objects were born, which several snapshots say.
pub fn asks_for_rounds(query: &Query) -> bool {
    let fields = fields_of(query);
    fields.contains(&Field::Round)
        || fields.contains(&Field::Age)
        || matches!(query.group_by, Some(Field::Round | Field::Age))
}

fn fields_of(query: &Query) -> FxHashSet<Field> {
    let mut fields: FxHashSet<Field> = query.select.iter().copied().collect();
    fields.extend(query.order_by.iter().map(|key| key.field));
    let mut open: Vec<&Condition> = query.condition.iter().collect();
    while let Some(condition) = open.pop() {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => open.extend(parts),
            Condition::Not(part) => open.push(part),
            Condition::Compare(comparison) => drop(fields.insert(comparison.field)),
            Condition::OneOf(field, _) | Condition::Is(field) => drop(fields.insert(*field)),
        }
    }
    fields
}

/// Where values come from.
struct World<'a> {
    heap: &'a Heap,
    code: &'a Code,
    births: Option<&'a Births>,
    attribution: OnceLock<Attribution>,
}

impl World<'_> {
    fn attribution(&self) -> &Attribution {
        self.attribution.get_or_init(|| attribution(self.heap, self.code))
    }

    /// A number; nothing for a distance where nothing leads.
    fn number(&self, ord: u32, field: Field) -> Option<u64> {
        let heap = self.heap;
        Some(match field {
            Field::Id => u64::from(heap.snapshot.nodes.id[ord as usize]),
            Field::SelfSize => heap.snapshot.nodes.self_size.get(ord),
            Field::Retained => heap.retained.get(ord),
            Field::Edges => heap.snapshot.edges_of(ord).len() as u64,
            Field::Retainers => heap.retainers().count(ord) as u64,
            Field::Distance => match Distance::unpack(heap.distance[ord as usize]) {
                Distance::Unreachable => return None,
                _ => u64::try_from(heap.distance[ord as usize]).ok()?,
            },
            Field::Round => self.births?.round(ord)?,
            Field::Age => self.births.and_then(|births| births.last.checked_sub(births.round(ord)?))?,
            _ => return None,
        })
    }

    /// Text; nothing where it is not known.
    fn text(&self, ord: u32, field: Field) -> Option<String> {
        let heap = self.heap;
        match field {
            Field::Class => Some(heap.classes.class(ord).name.clone()),
            Field::Name => Some(heap.names().node(ord).into_owned()),
            Field::Type => Some(heap.snapshot.node_type(ord).to_owned()),
            Field::Package | Field::File => {
                let of = self.attribution();
                let file = of.files.get(of.of[ord as usize] as usize)?;
                Some(if field == Field::File { file.url.clone() } else { package(file).to_owned() })
            }
            Field::Source => self.code.place(heap, ord).map(|place| place.to_string()),
            _ => None,
        }
    }

    fn is_detached(&self, ord: u32) -> bool {
        self.heap.detached.of(ord) == 2
    }

    fn cell(&self, ord: u32, field: Field) -> Cell {
        match field {
            Field::Id => Cell::Id(self.heap.snapshot.nodes.id[ord as usize]),
            Field::Distance => Cell::Distance(self.heap.distance[ord as usize]),
            Field::Detached => Cell::Flag(self.is_detached(ord)),
            Field::SelfSize | Field::Retained => self.number(ord, field).map_or(Cell::Nothing, Cell::Bytes),
            Field::Edges | Field::Retainers | Field::Round | Field::Age | Field::Count => {
                self.number(ord, field).map_or(Cell::Nothing, Cell::Number)
            }
            Field::Class | Field::Name | Field::Type | Field::Package | Field::File | Field::Source => {
                self.text(ord, field).map_or(Cell::Nothing, Cell::Text)
            }
        }
    }

    /// Whether an object counts: it has a size of its own, as in the summary.
    fn counts(&self, ord: u32) -> bool {
        self.heap.snapshot.nodes.self_size.get(ord) > 0
    }
}

/// The package of a file; all of the program's own are one.
fn package(file: &SourceFile) -> &str {
    file.package.as_deref().unwrap_or(PROGRAM)
}

/// A test of text. What is not known is equal to nothing and matches nothing.
enum TextTest {
    Matches(Regex),
    OneOf(FxHashSet<String>),
    Never,
}

impl TextTest {
    fn holds(&self, text: Option<&str>) -> bool {
        text.is_some_and(|text| match self {
            Self::Matches(pattern) => pattern.is_match(text),
            Self::OneOf(texts) => texts.contains(text),
            Self::Never => false,
        })
    }
}

/// A condition made ready. Depth is that of the condition, which is bounded.
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// By class: an answer for each.
    Class(Vec<bool>),
    /// By node type.
    Type(Vec<bool>),
    /// By file, and for what belongs to none.
    File(Vec<bool>),
    /// A number within bounds, both included.
    Range(Field, u64, u64),
    Numbers(Field, FxHashSet<u64>),
    Flag(bool),
    Text(Field, TextTest),
}

impl Test {
    fn new(world: &World<'_>, condition: &Condition) -> Self {
        let several = |parts: &[Condition]| {
            let mut tests: Vec<Self> = parts.iter().map(|part| Self::new(world, part)).collect();
            // Nothing here has an effect, so the order is free.
            tests.sort_by_key(Self::cost);
            tests
        };
        match condition {
            Condition::All(parts) => Self::All(several(parts)),
            Condition::Any(parts) => Self::Any(several(parts)),
            Condition::Not(part) => Self::Not(Box::new(Self::new(world, part))),
            Condition::Is(_) => Self::Flag(true),
            Condition::OneOf(field, values) => Self::one_of(world, *field, values),
            Condition::Compare(comparison) => {
                let (field, value) = (comparison.field, &comparison.value);
                match (comparison.operator, value) {
                    (Operator::Equal, _) => Self::one_of(world, field, std::slice::from_ref(value)),
                    (Operator::NotEqual, _) => {
                        Self::Not(Box::new(Self::one_of(world, field, std::slice::from_ref(value))))
                    }
                    (Operator::Matches, Value::Text(text)) => Self::text(world, field, pattern(text)),
                    (Operator::MatchesNot, Value::Text(text)) => {
                        Self::Not(Box::new(Self::text(world, field, pattern(text))))
                    }
                    (operator, Value::Number(n)) => Self::range(field, operator, *n),
                    // The parser lets nothing else through.
                    _ => Self::Any(Vec::new()),
                }
            }
        }
    }

    fn range(field: Field, operator: Operator, n: u64) -> Self {
        let bounds = match operator {
            Operator::Less => n.checked_sub(1).map(|max| (0, max)),
            Operator::AtMost => Some((0, n)),
            Operator::Greater => n.checked_add(1).map(|min| (min, u64::MAX)),
            Operator::AtLeast => Some((n, u64::MAX)),
            _ => None,
        };
        bounds.map_or(Self::Any(Vec::new()), |(min, max)| Self::Range(field, min, max))
    }

    fn one_of(world: &World<'_>, field: Field, values: &[Value]) -> Self {
        let numbers: FxHashSet<u64> =
            values.iter().filter_map(|v| if let Value::Number(n) = v { Some(*n) } else { None }).collect();
        let texts: FxHashSet<String> = values
            .iter()
            .filter_map(|v| if let Value::Text(text) = v { Some(text.clone()) } else { None })
            .collect();
        if !texts.is_empty() {
            return Self::text(world, field, TextTest::OneOf(texts));
        }
        if !numbers.is_empty() {
            return Self::Numbers(field, numbers);
        }
        let flags = |wanted: bool| values.contains(&Value::Flag(wanted));
        match (flags(true), flags(false)) {
            (true, true) => Self::All(Vec::new()),
            (yes, _) => Self::Flag(yes),
        }
    }

    fn text(world: &World<'_>, field: Field, test: TextTest) -> Self {
        let heap = world.heap;
        match field {
            Field::Class => {
                Self::Class(heap.classes.table.iter().map(|class| test.holds(Some(&class.name))).collect())
            }
            Field::Type => {
                let kinds = &heap.snapshot.node_kinds;
                Self::Type((0..=u8::MAX).map(|kind| test.holds(Some(kinds.name(kind)))).collect())
            }
            Field::Package | Field::File => {
                let of = world.attribution();
                let text = |file: &'_ SourceFile| {
                    if field == Field::File { file.url.clone() } else { package(file).to_owned() }
                };
                let known = of.files.iter().map(|file| test.holds(Some(&text(file))));
                Self::File(known.collect())
            }
            _ => Self::Text(field, test),
        }
    }

    fn cost(&self) -> u8 {
        match self {
            Self::Class(_) | Self::Type(_) | Self::File(_) | Self::Flag(_) => 0,
            Self::Range(..) | Self::Numbers(..) => 1,
            Self::Not(test) => test.cost(),
            Self::All(tests) | Self::Any(tests) => tests.iter().map(Self::cost).max().unwrap_or(0),
            Self::Text(Field::Source, _) => 4,
            Self::Text(..) => 3,
        }
    }

    fn holds(&self, world: &World<'_>, ord: u32) -> bool {
        let heap = world.heap;
        let listed = |answers: &[bool], at: usize| answers.get(at).copied().unwrap_or(false);
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(world, ord)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(world, ord)),
            Self::Not(test) => !test.holds(world, ord),
            Self::Class(answers) => listed(answers, heap.classes.of[ord as usize] as usize),
            Self::Type(answers) => listed(answers, usize::from(heap.snapshot.nodes.kind[ord as usize])),
            Self::File(answers) => listed(answers, world.attribution().of[ord as usize] as usize),
            Self::Range(field, min, max) => {
                world.number(ord, *field).is_some_and(|n| (*min..=*max).contains(&n))
            }
            Self::Numbers(field, numbers) => world.number(ord, *field).is_some_and(|n| numbers.contains(&n)),
            Self::Flag(wanted) => world.is_detached(ord) == *wanted,
            Self::Text(Field::Name, test) => test.holds(Some(&heap.names().node(ord))),
            Self::Text(field, test) => test.holds(world.text(ord, *field).as_deref()),
        }
    }
}

fn pattern(text: &str) -> TextTest {
    // The parser has tried it already.
    Regex::new(text).map_or(TextTest::Never, TextTest::Matches)
}

/// What rows are sorted by. What is not known comes last either way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Text(String),
    TextDown(Reverse<String>),
    Last,
}

impl Key {
    fn new(cell: Cell, descending: bool) -> Self {
        let number = |n: u64| Self::Number(if descending { !n } else { n });
        match cell {
            Cell::Number(n) | Cell::Bytes(n) => number(n),
            Cell::Id(id) => number(u64::from(id)),
            Cell::Distance(d) => u64::try_from(d).map_or(Self::Last, number),
            Cell::Flag(yes) => number(u64::from(yes)),
            Cell::Text(text) if descending => Self::TextDown(Reverse(text)),
            Cell::Text(text) => Self::Text(text),
            Cell::Nothing => Self::Last,
        }
    }
}

type Keys = [Key; MAX_ORDER];

/// A row's keys, and what breaks ties.
type Ranked = (Keys, u32, u32);

fn no_keys() -> Keys {
    [const { Key::Number(0) }; MAX_ORDER]
}

/// What one thread has found.
#[derive(Default)]
struct Found {
    /// The worst of the best is at the top.
    best: BinaryHeap<Ranked>,
    count: u64,
    self_size: u64,
}

impl Found {
    fn add(&mut self, row: Ranked, limit: usize) {
        if self.best.len() < limit {
            self.best.push(row);
        } else if let Some(mut worst) = self.best.peek_mut()
            && row < *worst
        {
            *worst = row;
        }
    }

    fn join(mut self, other: Self, limit: usize) -> Self {
        for row in other.best {
            self.add(row, limit);
        }
        self.count += other.count;
        self.self_size = self.self_size.saturating_add(other.self_size);
        self
    }
}

fn listed(world: &World<'_>, query: &Query, test: Option<&Test>) -> Answer {
    let heap = world.heap;
    let n = heap.snapshot.node_count() as u32;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let order =
        if query.order_by.is_empty() { &[Order::natural(Field::Retained)][..] } else { &query.order_by };
    let found = (0..n.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let mut found = Found::default();
            for ord in chunk * CHUNK..n.min((chunk + 1).saturating_mul(CHUNK)) {
                if !world.counts(ord) || !test.is_none_or(|test| test.holds(world, ord)) {
                    continue;
                }
                found.count += 1;
                found.self_size = found.self_size.saturating_add(heap.snapshot.nodes.self_size.get(ord));
                let mut keys = no_keys();
                for (key, order) in keys.iter_mut().zip(order) {
                    *key = Key::new(world.cell(ord, order.field), order.descending);
                }
                found.add((keys, heap.snapshot.nodes.id[ord as usize], ord), limit);
            }
            found
        })
        .reduce(Found::default, |a, b| a.join(b, limit));
    let columns = if query.select.is_empty() { default_columns(query) } else { query.select.clone() };
    let row = |(_, _, ord): Ranked| Row {
        ord,
        cells: columns.iter().map(|&field| world.cell(ord, field)).collect(),
    };
    let rows = found.best.into_sorted_vec().into_iter().map(row).collect();
    Answer { rows, columns, count: found.count, self_size: found.self_size, groups: None }
}

/// The columns that fit most questions, and what the query is about.
fn default_columns(query: &Query) -> Vec<Field> {
    let mut columns =
        vec![Field::Id, Field::Class, Field::Name, Field::Distance, Field::SelfSize, Field::Retained];
    let asked = fields_of(query);
    // Class and type need no column of their own if the question has fixed them, but a reader may not think of that.
    let more = Field::ALL.iter().map(|&(_, field)| field).filter(|f| asked.contains(f) && *f != Field::Count);
    for field in more {
        if !columns.contains(&field) {
            columns.insert(3, field);
        }
    }
    columns
}

/// Sums of a group.
#[derive(Clone, Default)]
struct Sums {
    /// An object of the group.
    example: u32,
    count: u64,
    self_size: u64,
    retained: u64,
    /// Where the subtree of its last topmost object ends in the preorder.
    end: usize,
}

fn grouped(world: &World<'_>, query: &Query, test: Option<&Test>, by: Field) -> Answer {
    let heap = world.heap;
    let n = heap.snapshot.node_count() as u32;
    let parts: Vec<Vec<u32>> = (0..n.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            (chunk * CHUNK..n.min((chunk + 1).saturating_mul(CHUNK)))
                .filter(|&ord| world.counts(ord) && test.is_none_or(|test| test.holds(world, ord)))
                .collect()
        })
        .collect();
    let mut passing = BitSet::new(n as usize);
    for ord in parts.into_iter().flatten() {
        passing.insert(ord as usize);
    }
    let groups = sums(world, &passing, by);
    let mut answer = Answer {
        columns: if query.select.is_empty() {
            vec![by, Field::Count, Field::SelfSize, Field::Retained]
        } else {
            query.select.clone()
        },
        groups: Some(groups.len() as u64),
        count: groups.iter().map(|g| g.count).sum(),
        self_size: groups.iter().map(|g| g.self_size).fold(0, u64::saturating_add),
        ..Answer::default()
    };
    let cell = |group: &Sums, field: Field| match field {
        Field::Count => Cell::Number(group.count),
        Field::SelfSize => Cell::Bytes(group.self_size),
        Field::Retained => Cell::Bytes(group.retained),
        field => world.cell(group.example, field),
    };
    let default = [Order::natural(Field::Retained), Order::natural(by)];
    let order = if query.order_by.is_empty() { &default[..] } else { &query.order_by };
    let mut ranked: Vec<Ranked> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| {
            let mut keys = no_keys();
            for (key, order) in keys.iter_mut().zip(order) {
                *key = Key::new(cell(group, order.field), order.descending);
            }
            (keys, heap.snapshot.nodes.id[group.example as usize], at as u32)
        })
        .collect();
    ranked.sort_unstable();
    ranked.truncate(query.limit.unwrap_or(DEFAULT_LIMIT));
    answer.rows = ranked
        .into_iter()
        .map(|(_, _, at)| {
            let group = &groups[at as usize];
            Row {
                ord: group.example,
                cells: answer.columns.iter().map(|&field| cell(group, field)).collect(),
            }
        })
        .collect();
    answer
}

/// Adds up the groups in one walk through the dominator tree, so that what one object of a group retains for another is
/// counted once.
fn sums(world: &World<'_>, passing: &BitSet, by: Field) -> Vec<Sums> {
    let heap = world.heap;
    let (idom, preorder) = (&heap.dominators.idom, &heap.dominators.preorder);
    let mut len = vec![1u32; preorder.len()];
    for &ord in preorder.iter().rev() {
        let up = idom[ord as usize];
        if up != ord {
            len[up as usize] = len[up as usize].saturating_add(len[ord as usize]);
        }
    }
    let mut groups: Vec<Sums> = Vec::new();
    let mut of_number: FxHashMap<u64, usize> = FxHashMap::default();
    let mut of_text: FxHashMap<String, usize> = FxHashMap::default();
    for (at, &ord) in preorder.iter().enumerate() {
        if !passing.contains(ord as usize) {
            continue;
        }
        let next = groups.len();
        let number = match by {
            Field::Class => Some(u64::from(heap.classes.of[ord as usize])),
            Field::Type => Some(u64::from(heap.snapshot.nodes.kind[ord as usize])),
            Field::File => Some(u64::from(world.attribution().of[ord as usize])),
            Field::Detached => Some(u64::from(world.is_detached(ord))),
            Field::Round => Some(world.number(ord, by).unwrap_or(u64::MAX)),
            _ => None,
        };
        let group = match number {
            // Classes that differ only in their place have one name, and one group.
            Some(number) if by == Field::Class => *of_number.entry(number).or_insert_with(|| {
                let name = heap.classes.class(ord).name.clone();
                *of_text.entry(name).or_insert(next)
            }),
            Some(number) => *of_number.entry(number).or_insert(next),
            // No name begins with a zero, so that what is not known is a group of its own.
            None => *of_text.entry(world.text(ord, by).unwrap_or_else(|| "\0".to_owned())).or_insert(next),
        };
        if group == next {
            groups.push(Sums { example: ord, ..Sums::default() });
        }
        let sums = &mut groups[group];
        let size = heap.snapshot.nodes.self_size.get(ord);
        sums.count += 1;
        sums.self_size = sums.self_size.saturating_add(size);
        if at >= sums.end {
            sums.end = at + len[ord as usize] as usize;
            sums.retained = sums.retained.saturating_add(heap.retained.get(ord));
        }
    }
    groups
}
