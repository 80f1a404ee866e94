//! One table, four ways to write it.
//!
//! Cells keep what they are (bytes, a count, a distance), so that a person reads `610.2 MiB` where a program reads
//! `639829709`.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{
    paint::{Paint, plain},
    units,
};

/// A value in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text, aligned left.
    Text(String),
    /// Bytes.
    Bytes(u64),
    /// Bytes more or fewer.
    SignedBytes(i64),
    /// A count.
    Count(u64),
    /// A count more or fewer.
    SignedCount(i64),
    /// A part of a whole.
    Share(u64, u64),
    /// A packed distance.
    Distance(i32),
    /// An object id.
    Id(u32),
    /// Bytes that were estimated, with their relative error: no more digits are shown than they carry.
    Estimate(u64, Option<f64>),
    /// The relative error of an estimate.
    Error(Option<f64>),
    /// A moment of a recording, in microseconds.
    Moment(u64),
}

impl Cell {
    fn human(&self) -> String {
        match self {
            Self::Text(text) => plain(text),
            Self::Bytes(n) => units::bytes(*n),
            Self::SignedBytes(n) => units::signed_bytes(*n),
            Self::Count(n) => units::count(*n),
            Self::SignedCount(n) => units::signed_count(*n),
            Self::Share(part, whole) => units::percent(*part, *whole),
            Self::Distance(d) => units::distance(*d),
            Self::Id(id) => format!("@{id}"),
            Self::Estimate(n, error) => units::estimate(*n, *error),
            Self::Error(error) => units::error(*error),
            Self::Moment(us) => units::seconds(*us),
        }
    }

    fn raw(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes(n) | Self::Count(n) | Self::Estimate(n, _) | Self::Moment(n) => n.to_string(),
            Self::Error(error) => error.map(|error| format!("{error:.6}")).unwrap_or_default(),
            Self::SignedBytes(n) | Self::SignedCount(n) => n.to_string(),
            Self::Share(part, whole) => {
                if *whole == 0 {
                    "0".to_owned()
                } else {
                    format!("{:.6}", *part as f64 / *whole as f64)
                }
            }
            Self::Distance(d) => d.to_string(),
            Self::Id(id) => id.to_string(),
        }
    }
}

/// A table under construction.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heading for people, and name for programs.
    columns: Vec<(&'static str, &'static str)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns: heading for people, name for programs. A column without a heading is for programs only,
    /// one without a name for people only.
    pub fn new(columns: &[(&'static str, &'static str)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Columns that have a heading.
    fn columns_for_people(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&c| !self.columns[c].0.is_empty()).collect()
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.first().is_none_or(|row| matches!(row[column], Cell::Text(_)))
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For people: aligned, numbers to the right, the text column cut so that a row fits the width. Nothing where there
    /// are no rows.
    pub fn text(&self, width: usize, paint: Paint) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let columns = self.columns_for_people();
        let headings: Vec<String> = columns.iter().map(|&c| self.columns[c].0.to_owned()).collect();
        let shown: Vec<Vec<String>> =
            self.rows.iter().map(|row| columns.iter().map(|&c| row[c].human()).collect()).collect();
        let is_text = |at: usize| self.is_text(columns[at]);
        let widest = |at: usize| {
            let cells = shown.iter().map(|row| row[at].width());
            cells.chain([headings[at].width()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns.len()).map(widest).collect();
        let spacing = 2 * columns.len().saturating_sub(1);
        let over = (widths.iter().sum::<usize>() + spacing).saturating_sub(width);
        if over > 0
            && let Some(column) = (0..columns.len()).filter(|&c| is_text(c)).max_by_key(|&c| widths[c])
        {
            widths[column] = widths[column].saturating_sub(over).max(12);
        }
        let line = |cells: &[String]| {
            let mut line = String::new();
            for (at, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                let cell = cut(cell, width);
                let gap = " ".repeat(width.saturating_sub(cell.width()));
                line += if at == 0 { "" } else { "  " };
                line += &if is_text(at) { cell + &gap } else { gap + &cell };
            }
            line.trim_end().to_owned()
        };
        let mut out = paint.bold(&line(&headings)) + "\n";
        for row in &shown {
            out += &line(row);
            out.push('\n');
        }
        out
    }

    /// Comma-separated values (RFC 4180) with raw numbers.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let columns: Vec<usize> =
            (0..self.columns.len()).filter(|&c| !self.columns[c].1.is_empty()).collect();
        let names: Vec<String> = columns.iter().map(|&c| self.columns[c].1.to_owned()).collect();
        csv_line(&mut out, &names);
        for row in &self.rows {
            csv_line(&mut out, &columns.iter().map(|&c| row[c].raw()).collect::<Vec<_>>());
        }
        out
    }

    /// A GitHub table, as people read it.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let escape = |text: String| {
            text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "\\<").replace('`', "\\`")
        };
        let columns = self.columns_for_people();
        let mut out = line(columns.iter().map(|&c| self.columns[c].0.to_owned()).collect());
        out +=
            &line(columns.iter().map(|&c| if self.is_text(c) { "---" } else { "---:" }.to_owned()).collect());
        for row in &self.rows {
            out += &line(columns.iter().map(|&c| escape(row[c].human())).collect());
        }
        out
    }
}

/// Cuts text to a width, with a sign that it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push('…');
    out
}

/// Cuts text at its front, so that its end stays: a line number, say.
pub fn cut_front(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    let end: Vec<char> = text.chars().rev().take_while(fits).collect();
    if width == 0 { String::new() } else { std::iter::once('…').chain(end.into_iter().rev()).collect() }
}

/// Appends one line of comma-separated values.
pub fn csv_line(out: &mut String, cells: &[String]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        csv_cell(out, cell);
    }
    out.push('\n');
}

/// Appends one value, in quotes where it needs them.
pub fn csv_cell(out: &mut String, cell: &str) {
    if cell.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new(&[("Constructor", "name"), ("Objects", "count"), ("Retained", "retained_size")]);
        table.row(vec![Cell::Text("MemoryStore<a|b>".into()), Cell::Count(1000), Cell::Bytes(2048)]);
        table.row(vec![Cell::Text("日本, \"x\"".into()), Cell::Count(7), Cell::Bytes(17)]);
        table
    }

    #[test]
    fn columns_line_up_whatever_the_names_hold() {
        assert_eq!(
            table().text(80, Paint::default()),
            "Constructor       Objects  Retained\nMemoryStore<a|b>    1,000   2.0 KiB\n日本, \"x\"               7      17 B\n"
        );
        let narrow = table().text(32, Paint::default());
        assert!(narrow.lines().all(|line| line.width() <= 32), "{narrow}");
        assert!(narrow.contains('…'));
    }

    #[test]
    fn places_are_cut_at_their_front() {
        let place = "日本/application-server.js:1234";
        assert_eq!(cut_front(place, 40), place);
        assert_eq!(cut_front(place, 16), "…-server.js:1234");
        assert_eq!([cut_front(place, 1), cut_front(place, 0)], ["…", ""]);
    }

    #[test]
    fn programs_get_raw_numbers() {
        assert_eq!(
            table().csv(),
            "name,count,retained_size\nMemoryStore<a|b>,1000,2048\n\"日本, \"\"x\"\"\",7,17\n"
        );
        assert!(table().markdown().contains("| MemoryStore\\<a\\|b> | 1,000 | 2.0 KiB |"));
    }
}
