//! The views, one file each: what their columns are, which rows they have, and what is said above them.

pub(crate) mod comparison;
pub(crate) mod dominators;
pub(crate) mod help;
pub(crate) mod retainers;
pub(crate) mod search;
pub(crate) mod strings;
pub(crate) mod summary;
pub(crate) mod timeline;

use crate::{
    row::Column,
    source::{Ask, Source},
    tree::Item,
};

/// A view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// What was allocated when.
    Timeline,
    /// Classes and their objects.
    Summary,
    /// What changed since another file.
    Comparison,
    /// What keeps how much alive.
    Dominators,
    /// Who holds an object.
    Retainers,
    /// Equal strings, and the largest.
    Strings,
    /// By name, id, pattern or query.
    Search,
}

/// The rows of a view, and what is said of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) items: Vec<Item>,
    pub(crate) columns: Vec<Column>,
    /// One line above the rows.
    pub(crate) sum: String,
    /// What has to be known before the rows are believed, below that line; it is broken where the screen ends.
    pub(crate) warning: String,
    /// Said where there are no rows.
    pub(crate) empty: String,
}

impl View {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 7] = [
        Self::Timeline,
        Self::Summary,
        Self::Comparison,
        Self::Dominators,
        Self::Retainers,
        Self::Strings,
        Self::Search,
    ];

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Timeline => "Timeline",
            Self::Summary => "Summary",
            Self::Comparison => "Comparison",
            Self::Dominators => "Dominators",
            Self::Retainers => "Retainers",
            Self::Strings => "Strings",
            Self::Search => "Search",
        }
    }

    /// The column that it is sorted by at first, counted from 0.
    pub(crate) fn first_column(self) -> usize {
        match self {
            Self::Summary | Self::Dominators | Self::Search => 4,
            Self::Comparison => 6,
            Self::Strings => 3,
            Self::Timeline | Self::Retainers => 0,
        }
    }

    /// What `/` asks for; nothing where nothing can be typed.
    pub(crate) fn prompt(self) -> Option<&'static str> {
        match self {
            Self::Summary | Self::Comparison => Some("Class filter"),
            Self::Strings => Some("Text filter"),
            Self::Search => Some("Search"),
            _ => None,
        }
    }

    /// What `f` offers, with the heading of the choice.
    pub(crate) fn choices(self, source: &Source) -> Option<(&'static str, Vec<String>)> {
        match self {
            Self::Summary => Some(("Which objects", summary::filters())),
            Self::Comparison => Some(("Compared with", comparison::bases(source))),
            Self::Strings => Some(("Which strings", vec!["Duplicates".to_owned(), "Largest".to_owned()])),
            _ => None,
        }
    }

    /// The rows.
    pub(crate) fn list(self, source: &mut Source, ask: &Ask) -> Result<List, String> {
        match self {
            Self::Timeline => Ok(timeline::list(source)),
            Self::Summary => summary::list(source, ask),
            Self::Comparison => comparison::list(source, ask),
            Self::Dominators => Ok(dominators::list(source, ask)),
            Self::Retainers => Ok(retainers::list(source, ask)),
            Self::Strings => strings::list(source, ask),
            Self::Search => search::list(source, ask),
        }
    }
}

/// The columns that objects have.
pub(crate) fn object_columns(title: &str) -> Vec<Column> {
    vec![
        Column::new(title, 0, 0),
        Column::new("Distance", 9, 4),
        Column::new("Objects", 10, 3),
        Column::new("Shallow size", 13, 2).of_whole(),
        Column::new("Retained size", 14, 0).of_whole(),
    ]
}

/// The same without a count.
pub(crate) fn single_columns(title: &str) -> Vec<Column> {
    let mut columns = object_columns(title);
    if let Some(count) = columns.get_mut(2) {
        // A column without a title is not shown.
        *count = Column::new("", 0, 9).fixed();
    }
    columns
}
