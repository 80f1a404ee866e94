//! What a view shows of an item: its name in parts, and a cell for each column.

use heapsight_report::units;

/// How a part of a name stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// The name of a reference.
    Edge,
    /// Ids and the like.
    Dim,
    /// Where it is in the code: left out first.
    Place,
    /// What is new.
    New,
    /// What went, or is wrong.
    Gone,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Not known.
    Nothing,
    /// A count.
    Count(u64),
    /// A count more or fewer.
    SignedCount(i64),
    /// A size, and the whole that it is a part of (0: of nothing).
    Bytes(u64, u64),
    /// Bytes more or fewer.
    SignedBytes(i64),
    /// A packed distance.
    Distance(i32),
    /// Text.
    Text(String),
}

impl Cell {
    /// The text.
    pub fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Count(n) => units::count(*n),
            Self::SignedCount(n) => units::signed_count(*n),
            Self::Bytes(n, _) => units::bytes(*n),
            Self::SignedBytes(n) => units::signed_bytes(*n),
            Self::Distance(packed) => units::distance(*packed),
            Self::Text(text) => text.clone(),
        }
    }

    /// The part of the whole, from 0 to 1.
    pub fn share(&self) -> Option<f64> {
        match self {
            Self::Bytes(n, whole) if *whole > 0 => Some((*n as f64 / *whole as f64).min(1.0)),
            _ => None,
        }
    }
}

/// A row as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its name, in parts.
    pub name: Vec<(String, Tone)>,
    /// A cell for each column but the first.
    pub cells: Vec<Cell>,
    /// Whether there is anything below it.
    pub opens: bool,
}

/// How wide a column is, and when it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub title: String,
    /// Columns of the screen that its values need.
    pub width: u16,
    /// Which columns go first where there is no room: those with the largest number. The one with 0 stays.
    pub rank: u8,
    /// Whether a percentage, and a bar, stand beside the value where there is room.
    pub is_part: bool,
    /// Whether values are text, which begins on the left.
    pub is_text: bool,
    /// Whether the rows can be sorted by it.
    pub sorts: bool,
}

impl Column {
    /// A column of numbers.
    pub fn new(title: &str, width: u16, rank: u8) -> Self {
        Self { title: title.to_owned(), width, rank, is_part: false, is_text: false, sorts: true }
    }

    /// The same with percentages and bars.
    #[must_use]
    pub fn of_whole(self) -> Self {
        Self { is_part: true, ..self }
    }

    /// The same, of text.
    #[must_use]
    pub fn of_text(self) -> Self {
        Self { is_text: true, ..self }
    }

    /// The same in an order that is given.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self { sorts: false, ..self }
    }
}
