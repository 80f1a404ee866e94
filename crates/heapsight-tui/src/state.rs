//! What is on the screen, apart from how, and what each key does. No terminal is needed for it.

use std::collections::BTreeMap;

use crate::{
    row::{Cell, Column, Row},
    source::{Ask, Source},
    tree::{Item, Place, Tree},
    views::{List, View, object_columns},
};

/// Holders of holders that are opened at once.
const UNFOLD: usize = 6;

/// Places that `b` goes back to.
const HISTORY: usize = 200;

/// Rows that one turn of the wheel moves.
const WHEEL: isize = 3;

/// A key or a movement of the mouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Ctrl-U: empties what is typed.
    Clear,
    /// A letter.
    Char(char),
    /// A click: column and row of the screen.
    Click(u16, u16),
    /// The wheel, down or up.
    Wheel(bool),
}

/// What the caller has to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Draw what is there now.
    Draw,
    /// End.
    Quit,
}

/// Where what can be clicked was drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// The line of the views: first column, column after the last, view.
    pub tabs: Vec<(u16, u16, View)>,
    /// The line of headings, and their columns of the screen: first, after the last, which.
    pub headings: (u16, Vec<(u16, u16, usize)>),
    /// The first line of rows.
    pub rows: u16,
}

/// One view with its rows.
#[derive(Debug, Default)]
pub(crate) struct Pane {
    pub(crate) ask: Ask,
    pub(crate) tree: Tree,
    pub(crate) list: List,
    /// Whether the rows are to be made.
    stale: bool,
    /// The row to select once they are made.
    wanted: usize,
}

/// Where somebody was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    view: View,
    target: Option<u32>,
    selected: usize,
}

/// What lies over the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The keys, from this line on.
    Help(usize),
    /// A choice, and which of it is marked.
    Choice(usize),
    /// A line that is typed: the text, the cursor in characters, and what was there before.
    Input { text: String, cursor: usize, before: String },
}

/// All of it.
#[derive(Debug)]
pub struct State {
    pub(crate) source: Source,
    pub(crate) view: View,
    pub(crate) panes: BTreeMap<View, Pane>,
    pub(crate) over: Option<Over>,
    /// What went wrong, or what there is to say.
    pub(crate) note: Option<String>,
    history: Vec<Spot>,
    pub(crate) areas: Areas,
}

impl State {
    /// Begins with the Summary, or with the Timeline of a recording. The rows are made by [`Self::settle`].
    pub fn new(source: Source) -> Self {
        let pane = |view: View| {
            let ask = Ask { column: view.first_column(), ..Ask::default() };
            (view, Pane { ask, stale: true, ..Pane::default() })
        };
        Self {
            view: if source.is_timeline() { View::Timeline } else { View::Summary },
            source,
            panes: View::ALL.into_iter().map(pane).collect(),
            over: None,
            note: None,
            history: Vec::new(),
            areas: Areas::default(),
        }
    }

    /// The view that is shown.
    pub fn view(&self) -> View {
        self.view
    }

    /// The views of this file, in order.
    pub fn views(&self) -> Vec<View> {
        View::ALL.into_iter().filter(|&view| view != View::Timeline || self.source.is_timeline()).collect()
    }

    /// The rows of the view.
    pub fn tree(&self) -> &Tree {
        &self.pane().tree
    }

    pub(crate) fn pane(&self) -> &Pane {
        // There is a pane for each view.
        &self.panes[&self.view]
    }

    fn pane_mut(&mut self) -> &mut Pane {
        self.panes.entry(self.view).or_default()
    }

    /// Whether rows have to be made, which may take a moment.
    pub fn is_stale(&self) -> bool {
        self.pane().stale
    }

    /// Makes the rows that are missing.
    pub fn settle(&mut self) {
        if !self.is_stale() {
            return;
        }
        let view = self.view;
        let Some(pane) = self.panes.get_mut(&view) else { return };
        pane.stale = false;
        match view.list(&mut self.source, &pane.ask) {
            Ok(list) => {
                let height = pane.tree.height();
                pane.tree = Tree::new(list.items.clone());
                pane.tree.set_height(height);
                pane.list = List { items: Vec::new(), ..list };
                if view == View::Retainers || (view == View::Dominators && pane.ask.target.is_some()) {
                    self.unfold();
                }
                let pane = self.pane_mut();
                let wanted = std::mem::take(&mut pane.wanted);
                pane.tree.select(wanted);
            }
            Err(error) => {
                if pane.list.columns.is_empty() || view == View::Search {
                    pane.list.sum = String::new();
                    pane.list.empty.clone_from(&error);
                    pane.tree = Tree::default();
                }
                self.note = Some(error);
            }
        }
    }

    /// Opens the first rows one in another: the nearest way to a root, or what an object dominates.
    fn unfold(&mut self) {
        for _ in 0..UNFOLD {
            let Some(place) = self.tree().current() else { return };
            match place.item {
                Item::Holder(_) => {
                    let near =
                        self.source.object(place.item).is_none_or(|ord| self.source.distance(ord) <= 1);
                    if near {
                        return;
                    }
                }
                Item::Dominated(_) if place.depth == 0 => {}
                _ => return,
            }
            self.open();
            self.pane_mut().tree.step(1);
        }
    }

    /// What is shown of a row, with a cell for each column but the first.
    pub(crate) fn row(&self, place: &Place) -> Row {
        let mut row = self.source.row(place.item);
        if matches!(place.item, Item::Object(_) | Item::Field(_)) {
            // Objects are below rows of any kind: they have a value where a column of theirs stands.
            let known = object_columns("");
            let cell = |title: &str| {
                let at = known.iter().skip(1).position(|column| column.title == title);
                at.and_then(|at| row.cells.get(at).cloned()).unwrap_or(Cell::Nothing)
            };
            row.cells = self.pane().list.columns.iter().skip(1).map(|column| cell(&column.title)).collect();
        }
        row
    }

    /// Tells how many rows the screen has.
    pub fn set_height(&mut self, height: usize) {
        for pane in self.panes.values_mut() {
            pane.tree.set_height(height);
        }
    }

    /// What a key does.
    pub fn press(&mut self, key: Key) -> Effect {
        self.settle();
        self.note = None;
        match self.over.take() {
            Some(Over::Help(from)) => self.press_help(key, from),
            Some(Over::Choice(at)) => self.press_choice(key, at),
            Some(Over::Input { text, cursor, before }) => self.press_input(key, text, cursor, before),
            None => return self.press_rows(key),
        }
        Effect::Draw
    }

    fn press_help(&mut self, key: Key, from: usize) {
        let last = crate::views::help::KEYS.len().saturating_sub(1);
        self.over = match key {
            Key::Down | Key::Char('j') | Key::Wheel(true) => Some(Over::Help((from + 1).min(last))),
            Key::Up | Key::Char('k') | Key::Wheel(false) => Some(Over::Help(from.saturating_sub(1))),
            _ => None,
        };
    }

    fn press_choice(&mut self, key: Key, at: usize) {
        let count = self.view.choices(&self.source).map_or(0, |(_, all)| all.len());
        let last = count.saturating_sub(1);
        let chosen = match key {
            Key::Up | Key::Char('k') | Key::Wheel(false) => Err(at.saturating_sub(1)),
            Key::Down | Key::Char('j' | 'f') | Key::Wheel(true) => Err((at + 1).min(last)),
            Key::Home => Err(0),
            Key::End => Err(last),
            Key::Char(digit @ '1'..='9') => {
                let place = digit as usize - '1' as usize;
                if place < count { Ok(place) } else { Err(at) }
            }
            Key::Enter | Key::Char(' ') => Ok(at),
            _ => return,
        };
        match chosen {
            Err(at) => self.over = Some(Over::Choice(at)),
            Ok(place) => {
                let pane = self.pane_mut();
                pane.ask.choice = place;
                pane.stale = true;
            }
        }
    }

    fn press_input(&mut self, key: Key, mut text: String, mut cursor: usize, before: String) {
        let byte =
            |text: &str, cursor: usize| text.char_indices().nth(cursor).map_or(text.len(), |(at, _)| at);
        match key {
            Key::Enter => {
                self.ask_text(text);
                // What is wrong with it was not to be seen while it was typed.
                self.pane_mut().stale = true;
                return;
            }
            Key::Esc => {
                self.ask_text(before);
                return;
            }
            Key::Char(c) if !c.is_control() => {
                text.insert(byte(&text, cursor), c);
                cursor += 1;
            }
            Key::Backspace if cursor > 0 => {
                cursor -= 1;
                text.remove(byte(&text, cursor));
            }
            Key::Clear => {
                text.clear();
                cursor = 0;
            }
            Key::Left => cursor = cursor.saturating_sub(1),
            Key::Right => cursor = (cursor + 1).min(text.chars().count()),
            Key::Home => cursor = 0,
            Key::End => cursor = text.chars().count(),
            _ => {}
        }
        // Lists of classes are short enough to be filtered while one types.
        if matches!(self.view, View::Summary | View::Comparison) {
            self.ask_text(text.clone());
        }
        self.over = Some(Over::Input { text, cursor, before });
    }

    fn ask_text(&mut self, text: String) {
        let pane = self.pane_mut();
        if pane.ask.text != text {
            pane.ask.text = text;
            pane.stale = true;
        }
    }

    fn press_rows(&mut self, key: Key) -> Effect {
        let page = self.tree().height().saturating_sub(1).max(1) as isize;
        match key {
            Key::Char('q') => return Effect::Quit,
            Key::Up | Key::Char('k') => self.pane_mut().tree.step(-1),
            Key::Down | Key::Char('j') => self.pane_mut().tree.step(1),
            Key::PageUp => self.pane_mut().tree.step(-page),
            Key::PageDown => self.pane_mut().tree.step(page),
            Key::Home | Key::Char('g') => self.pane_mut().tree.select(0),
            Key::End | Key::Char('G') => self.pane_mut().tree.select(usize::MAX),
            Key::Wheel(down) => self.pane_mut().tree.scroll(if down { WHEEL } else { -WHEEL }),
            Key::Right | Key::Char('l') => {
                if self.tree().current().is_some_and(|place| place.is_open) {
                    self.pane_mut().tree.step(1);
                } else {
                    self.open();
                }
            }
            Key::Left | Key::Char('h') => {
                let tree = &mut self.pane_mut().tree;
                if tree.current().is_some_and(|place| place.is_open) {
                    tree.close();
                } else {
                    tree.to_parent();
                }
            }
            Key::Char(' ') => self.toggle(),
            Key::Enter => self.enter(),
            Key::Char('?') => self.over = Some(Over::Help(0)),
            Key::Tab | Key::BackTab => {
                let views = self.views();
                let at = views.iter().position(|&view| view == self.view).unwrap_or(0);
                let step = if key == Key::Tab { 1 } else { views.len() - 1 };
                if let Some(&view) = views.get((at + step) % views.len()) {
                    self.go(view);
                }
            }
            Key::Char(digit @ '1'..='9') => {
                if let Some(&view) = self.views().get(digit as usize - '1' as usize) {
                    self.go(view);
                }
            }
            Key::Char('r') => self.about(View::Retainers),
            Key::Char('d') => self.about(View::Dominators),
            Key::Char('i') => self.ignore(),
            Key::Char('I') => {
                self.source.ignore(None);
                self.panes.entry(View::Retainers).or_default().stale = true;
            }
            Key::Char('s') => self.sort(),
            Key::Char('S') => {
                let pane = self.pane_mut();
                if pane.list.columns.iter().any(|column| column.sorts) {
                    pane.ask.reversed = !pane.ask.reversed;
                    pane.stale = true;
                }
            }
            Key::Char('/') => self.type_text(),
            Key::Char('f') => match self.view.choices(&self.source) {
                Some((_, all)) if !all.is_empty() => {
                    self.over = Some(Over::Choice(self.pane().ask.choice.min(all.len() - 1)));
                }
                _ => self.note = Some("there is nothing to choose here".to_owned()),
            },
            Key::Char('b') | Key::Backspace => self.back(),
            Key::Esc => {
                if self.pane().ask.text.is_empty() || self.view == View::Search {
                    self.back();
                } else {
                    self.ask_text(String::new());
                }
            }
            Key::Click(x, y) => self.click(x, y),
            Key::Clear | Key::Char(_) => {}
        }
        Effect::Draw
    }

    /// Opens the selected row.
    fn open(&mut self) {
        let Some(place) = self.tree().current() else { return };
        if place.is_open || !self.source.row(place.item).opens {
            return;
        }
        let view = self.view;
        let Some(pane) = self.panes.get_mut(&view) else { return };
        let items = self.source.below(place.item, &pane.ask);
        if items.is_empty() {
            self.note = Some(match place.item {
                Item::Holder(_) => "nothing holds it but weak references, or V8 itself".to_owned(),
                _ => "there is nothing below it".to_owned(),
            });
        }
        pane.tree.open(items);
    }

    fn toggle(&mut self) {
        if self.tree().current().is_some_and(|place| place.is_open) {
            self.pane_mut().tree.close();
        } else {
            self.open();
        }
    }

    fn enter(&mut self) {
        match self.tree().current().map(|place| place.item) {
            Some(Item::Field(_) | Item::Holder(_) | Item::Answer(_)) => self.about(View::Retainers),
            Some(_) => self.toggle(),
            None if self.view == View::Search => self.type_text(),
            None => {}
        }
    }

    /// Shows a view of the selected object.
    fn about(&mut self, view: View) {
        let Some(place) = self.tree().current() else {
            self.note = Some("nothing is selected".to_owned());
            return;
        };
        match (self.source.object(place.item), place.item) {
            (Some(ord), _) => {
                self.remember();
                self.show(view, Some(ord));
            }
            (None, Item::Removed(_) | Item::OldField(_)) => {
                self.note = Some("this object went: only the older file has it".to_owned());
            }
            (None, _) => self.note = Some("select an object: → opens a class".to_owned()),
        }
    }

    fn show(&mut self, view: View, target: Option<u32>) {
        self.view = view;
        let pane = self.pane_mut();
        if pane.ask.target != target {
            pane.ask.target = target;
            pane.stale = true;
        }
    }

    fn ignore(&mut self) {
        if self.view != View::Retainers {
            self.note = Some("i is for Retainers: as if the selected object did not hold it".to_owned());
            return;
        }
        let Some(place) = self.tree().current() else { return };
        if let Some(ord) = self.source.object(place.item) {
            self.source.ignore(Some(ord));
            self.pane_mut().stale = true;
        }
    }

    fn sort(&mut self) {
        let pane = self.pane_mut();
        let count = pane.list.columns.len();
        let is_sorted = |column: &Column| column.sorts && !column.title.is_empty();
        let next = (1..=count)
            .map(|step| (pane.ask.column + step) % count)
            .find(|&at| pane.list.columns.get(at).is_some_and(is_sorted));
        match next {
            Some(at) => self.sort_by(at),
            None => self.note = Some("these rows have an order of their own".to_owned()),
        }
    }

    fn sort_by(&mut self, column: usize) {
        let pane = self.pane_mut();
        pane.ask.reversed = pane.ask.column == column && !pane.ask.reversed;
        pane.ask.column = column;
        pane.stale = true;
    }

    fn type_text(&mut self) {
        if self.view.prompt().is_none() {
            self.note = Some("there is nothing to filter here; Search is another view".to_owned());
            return;
        }
        let text = self.pane().ask.text.clone();
        self.over = Some(Over::Input { cursor: text.chars().count(), before: text.clone(), text });
    }

    fn remember(&mut self) {
        let pane = self.pane();
        let spot = Spot { view: self.view, target: pane.ask.target, selected: pane.tree.selected() };
        if self.history.last() != Some(&spot) {
            self.history.push(spot);
        }
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
    }

    fn go(&mut self, view: View) {
        if view == self.view {
            // The Dominators of one object are left by asking for all.
            if view == View::Dominators && self.pane().ask.target.is_some() {
                self.remember();
                self.show(view, None);
            }
            return;
        }
        self.remember();
        let target = if view == View::Retainers {
            let selected = self.tree().current().and_then(|place| self.source.object(place.item));
            selected.or(self.panes.get(&view).and_then(|pane| pane.ask.target))
        } else {
            self.panes.get(&view).and_then(|pane| pane.ask.target)
        };
        self.show(view, target);
        if view == View::Search && self.pane().ask.text.is_empty() {
            self.type_text();
        }
    }

    fn back(&mut self) {
        let Some(spot) = self.history.pop() else {
            self.note = Some("this is where you began; q quits".to_owned());
            return;
        };
        self.show(spot.view, spot.target);
        let pane = self.pane_mut();
        if pane.stale {
            pane.wanted = spot.selected;
        } else {
            pane.tree.select(spot.selected);
        }
    }

    fn click(&mut self, x: u16, y: u16) {
        let within = |&&(from, to, _): &&(u16, u16, View)| (from..to).contains(&x);
        if y == 0 {
            if let Some(&(_, _, view)) = self.areas.tabs.iter().find(within) {
                self.go(view);
            }
            return;
        }
        if y == self.areas.headings.0 {
            let column = self.areas.headings.1.iter().find(|(from, to, _)| (*from..*to).contains(&x));
            if let Some(&(_, _, at)) = column
                && self.pane().list.columns.get(at).is_some_and(|column| column.sorts)
            {
                self.sort_by(at);
            }
            return;
        }
        let Some(line) = y.checked_sub(self.areas.rows) else { return };
        let tree = self.tree();
        let row = tree.top() + usize::from(line);
        if usize::from(line) >= tree.height() || row >= tree.len() {
            return;
        }
        if row == tree.selected() {
            self.toggle();
        } else {
            self.pane_mut().tree.select(row);
        }
    }
}
