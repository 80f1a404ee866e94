//! The tree grid that every view is: rows that can be opened, one of them selected, some of them on the screen.
//!
//! Nothing is kept for a row that has not been opened but its place in the list of its parent. A list is an order of items
//! as the query layer gives it; what is shown of an item is asked for when it is on the screen. So a class of a million
//! objects can be opened: it is a list of a million items, and thirty rows.

use std::collections::BTreeMap;

/// Levels that can be opened one in another. Objects refer to each other in circles, so there is always one more.
pub const MAX_DEPTH: usize = 200;

/// What a row is about: which of its numbers means what, the source knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A row of the Summary, by its place.
    Class(u32),
    /// An object, by its ordinal; below it are its fields.
    Object(u32),
    /// A reference, by its edge; below it are the fields of the object that it leads to.
    Field(u32),
    /// A reference backwards: the holder, by its edge; below it are those who hold the holder.
    Holder(u32),
    /// An object of the dominator tree; below it is what it dominates.
    Dominated(u32),
    /// A row of the Comparison, by its place.
    Changed(u32),
    /// An object that is new since the base.
    Added(u32),
    /// An object of the base that went.
    Removed(u32),
    /// A reference in the base.
    OldField(u32),
    /// Equal strings, by their place.
    Group(u32),
    /// A row of the answer to a query, by its place.
    Answer(u32),
    /// An interval of a recording, by its place.
    Interval(u32),
    /// A class that is alive of an interval: its place among all that were asked for.
    Alive(u32),
}

/// The rows below one row: all that there are, and which of them are open.
#[derive(Debug, Default)]
struct Rows {
    items: Vec<Item>,
    open: BTreeMap<usize, Rows>,
    /// Rows on the screen if it were high enough: the items and whatever is open below them.
    visible: usize,
}

impl Rows {
    fn new(items: Vec<Item>) -> Self {
        Self { visible: items.len(), items, open: BTreeMap::new() }
    }
}

/// A row, as far as the tree knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is about.
    pub item: Item,
    /// Levels above it.
    pub depth: usize,
    /// Whether the rows below it are shown.
    pub is_open: bool,
}

/// The tree.
#[derive(Debug, Default)]
pub struct Tree {
    root: Rows,
    selected: usize,
    top: usize,
    height: usize,
}

impl Tree {
    /// A tree of these rows, all closed, the first of them selected.
    pub fn new(items: Vec<Item>) -> Self {
        Self { root: Rows::new(items), selected: 0, top: 0, height: 1 }
    }

    /// Rows that there are, open ones counted with what is below them.
    pub fn len(&self) -> usize {
        self.root.visible
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.root.visible == 0
    }

    /// Rows of the first level.
    pub fn roots(&self) -> &[Item] {
        &self.root.items
    }

    /// The selected row, counted from the first.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// The first row on the screen.
    pub fn top(&self) -> usize {
        self.top
    }

    /// Rows of the screen.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Tells how many rows the screen has.
    pub fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        self.follow();
    }

    /// The way to a row: its place in the list of each level. `None` beyond the last row.
    fn way(&self, row: usize) -> Option<Vec<usize>> {
        if row >= self.root.visible {
            return None;
        }
        let mut way = Vec::new();
        let (mut rows, mut rest) = (&self.root, row);
        loop {
            // Rows before an open one are its place in the list and whatever is open before it.
            let mut inside = None;
            let mut shift = 0;
            for (&at, below) in &rows.open {
                if rest <= at + shift {
                    break;
                }
                if rest <= at + shift + below.visible {
                    inside = Some((at, below, rest - at - shift - 1));
                    break;
                }
                shift += below.visible;
            }
            let Some((at, below, left)) = inside else {
                way.push(rest - shift);
                return Some(way);
            };
            way.push(at);
            (rows, rest) = (below, left);
        }
    }

    /// The list that a way ends in, and the place in it.
    fn list<'a>(&'a self, way: &[usize]) -> Option<(&'a Rows, usize)> {
        let (&last, above) = way.split_last()?;
        let mut rows = &self.root;
        for at in above {
            rows = rows.open.get(at)?;
        }
        Some((rows, last))
    }

    /// A row.
    pub fn place(&self, row: usize) -> Option<Place> {
        let way = self.way(row)?;
        let (rows, last) = self.list(&way)?;
        let item = *rows.items.get(last)?;
        Some(Place { item, depth: way.len() - 1, is_open: rows.open.contains_key(&last) })
    }

    /// The selected row.
    pub fn current(&self) -> Option<Place> {
        self.place(self.selected)
    }

    /// The rows on the screen.
    pub fn on_screen(&self) -> Vec<Place> {
        (self.top..self.root.visible.min(self.top + self.height)).filter_map(|row| self.place(row)).collect()
    }

    /// Shows rows below the selected one. Nothing happens if it is open already or too deep.
    pub fn open(&mut self, items: Vec<Item>) {
        let Some(way) = self.way(self.selected) else { return };
        if items.is_empty() || way.len() > MAX_DEPTH {
            return;
        }
        let added = items.len();
        let Some((&last, above)) = way.split_last() else { return };
        if self.list(&way).is_none_or(|(rows, last)| rows.open.contains_key(&last)) {
            return;
        }
        let mut rows = &mut self.root;
        rows.visible += added;
        for at in above {
            let Some(below) = rows.open.get_mut(at) else { return };
            rows = below;
            rows.visible += added;
        }
        rows.open.insert(last, Rows::new(items));
    }

    /// Hides what is below the selected row.
    pub fn close(&mut self) {
        let Some(way) = self.way(self.selected) else { return };
        let Some((rows, last)) = self.list(&way) else { return };
        let Some(gone) = rows.open.get(&last).map(|below| below.visible) else { return };
        let Some((&last, above)) = way.split_last() else { return };
        let mut rows = &mut self.root;
        rows.visible -= gone;
        for at in above {
            let Some(below) = rows.open.get_mut(at) else { return };
            rows = below;
            rows.visible -= gone;
        }
        rows.open.remove(&last);
        self.follow();
    }

    /// Selects the row that the selected one is below, if there is one.
    pub fn to_parent(&mut self) -> bool {
        let Some(way) = self.way(self.selected) else { return false };
        let Some((_, above)) = way.split_last() else { return false };
        if above.is_empty() {
            return false;
        }
        let mut row = 0;
        let mut rows = &self.root;
        for (level, &at) in above.iter().enumerate() {
            let before: usize = rows.open.range(..at).map(|(_, below)| below.visible).sum();
            row += at + before + usize::from(level > 0);
            let Some(below) = rows.open.get(&at) else { break };
            rows = below;
        }
        self.select(row);
        true
    }

    /// Selects a row, or the last one.
    pub fn select(&mut self, row: usize) {
        self.selected = row.min(self.root.visible.saturating_sub(1));
        self.follow();
    }

    /// Moves the selection by rows.
    pub fn step(&mut self, by: isize) {
        self.select(self.selected.saturating_add_signed(by));
    }

    /// Moves the rows under the screen; the selection stays on it.
    pub fn scroll(&mut self, by: isize) {
        let last = self.root.visible.saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(by).min(last);
        self.selected = self.selected.clamp(self.top, (self.top + self.height).saturating_sub(1));
        self.selected = self.selected.min(self.root.visible.saturating_sub(1));
    }

    /// Brings the selection onto the screen.
    fn follow(&mut self) {
        self.selected = self.selected.min(self.root.visible.saturating_sub(1));
        if self.selected < self.top {
            self.top = self.selected;
        } else if self.selected >= self.top + self.height {
            self.top = self.selected + 1 - self.height;
        }
        self.top = self.top.min(self.root.visible.saturating_sub(self.height));
    }
}
