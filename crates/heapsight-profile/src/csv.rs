//! The table of the call tree that [`csv`](crate::csv()) writes: a row a node.
//!
//! A parent stands before its children, as it was written; otherwise rows may come in any order. Read row by row; linear in
//! the bytes. The sum that the root's row tells shows whether rows are missing.

use std::borrow::Cow;

use memchr::memchr_iter;
use rustc_hash::FxHashMap;

use crate::{
    error::{Problem, ReadError},
    input::Input,
    profile::{Builder, Counts, Frame, NO_POSITION, Profile},
};

/// The columns; the last one says what its numbers count.
const COLUMNS: [&str; 9] =
    ["id", "parent_id", "name", "url", "line", "column", "self_size", "total_size", "self_count"];

/// The last column where objects are counted, and not samples.
const OBJECTS: &str = "self_objects";

const ROW: &str = "a row of the call tree";

/// Whether a text begins as the table does.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(b"id,parent_id,")
}

/// The first line.
pub(crate) fn header(counts: Counts) -> String {
    let mut columns = COLUMNS;
    if counts == Counts::Objects {
        columns[8] = OBJECTS;
    }
    columns.join(",")
}

/// A row, taken apart.
#[derive(Default)]
struct Row {
    /// As it stands in the file.
    raw: Vec<u8>,
    /// The cells one behind another, without quotes.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Its first line, from 1, and where that begins.
    line: u64,
    offset: u64,
    lines: u64,
}

impl Row {
    /// Reads the next row that is not empty; false at the end.
    fn next(&mut self, input: &mut Input<'_>) -> Result<bool, ReadError> {
        self.raw.clear();
        let mut quotes = 0;
        loop {
            let offset = input.offset();
            let Some(line) = input.line()? else {
                return if self.raw.is_empty() { Ok(false) } else { Err(Problem::Truncated(ROW).at(offset)) };
            };
            self.lines += 1;
            if self.raw.is_empty() {
                (self.line, self.offset) = (self.lines, offset);
                if line.trim_ascii().is_empty() {
                    continue;
                }
            }
            self.raw.extend_from_slice(line);
            quotes += memchr_iter(b'"', line).count();
            // A line break between quotes belongs to a cell.
            if quotes % 2 == 0 {
                self.take_apart();
                return Ok(true);
            }
            if self.raw.len() > Input::LONGEST {
                return Err(self.wrong("is longer than 64 MiB"));
            }
        }
    }

    fn take_apart(&mut self) {
        let row = self.raw.trim_ascii_end();
        self.text.clear();
        self.ends.clear();
        let (mut quoted, mut at) = (false, 0);
        while let Some(&byte) = row.get(at) {
            at += 1;
            match byte {
                b'"' if quoted && row.get(at) == Some(&b'"') => {
                    self.text.push(b'"');
                    at += 1;
                }
                b'"' => quoted = !quoted,
                b',' if !quoted => self.ends.push(self.text.len()),
                other => self.text.push(other),
            }
        }
        self.ends.push(self.text.len());
    }

    fn wrong(&self, what: &str) -> ReadError {
        Problem::Value(format!("line {}: the row {what}", self.line)).at(self.offset)
    }

    /// A cell; empty where there is none.
    fn cell(&self, column: usize) -> Cow<'_, str> {
        let start = column.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        let end = self.ends.get(column).copied().unwrap_or(start);
        String::from_utf8_lossy(&self.text[start..end])
    }

    /// A whole number, if the cell is not empty.
    fn number(&self, column: usize) -> Result<Option<u64>, ReadError> {
        let cell = self.cell(column);
        match cell.as_ref() {
            "" => Ok(None),
            text if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map(Some).map_err(|_| self.no_number(column))
            }
            _ => Err(self.no_number(column)),
        }
    }

    /// A whole number that must be there.
    fn needed(&self, column: usize) -> Result<u64, ReadError> {
        self.number(column)?.ok_or_else(|| self.no_number(column))
    }

    fn no_number(&self, column: usize) -> ReadError {
        self.wrong(&format!("has no whole number as its {}", COLUMNS[column]))
    }

    /// A line or column, which count from 1.
    fn position(&self, column: usize) -> Result<i32, ReadError> {
        match self.number(column)? {
            None => Ok(NO_POSITION),
            Some(n) => match i32::try_from(n) {
                Ok(n) if n > 0 => Ok(n - 1),
                _ => Err(self.no_number(column)),
            },
        }
    }
}

/// Reads the table.
pub(crate) fn read(input: &mut Input<'_>) -> Result<Profile, ReadError> {
    let mut row = Row::default();
    if !row.next(input)? {
        return Err(Problem::Empty.at(0));
    }
    let named = row.raw.trim_ascii_end();
    let counts = if named == header(Counts::Samples).as_bytes() {
        Counts::Samples
    } else if named == header(Counts::Objects).as_bytes() {
        Counts::Objects
    } else {
        return Err(Problem::Foreign("a table with other columns than those of a call tree").at(0));
    };
    let mut builder = Builder::new();
    let mut nodes: FxHashMap<u64, u32> = FxHashMap::default();
    let (mut total, mut has_counts) = (None, false);
    while row.next(input)? {
        if row.ends.len() != COLUMNS.len() {
            return Err(row.wrong(&format!(
                "has {} cells, and there are {} columns",
                row.ends.len(),
                COLUMNS.len()
            )));
        }
        let id = row.needed(0)?;
        let (size, below, count) = (row.needed(6)?, row.needed(7)?, row.number(8)?);
        let (line, column) = (row.position(4)?, row.position(5)?);
        let node = match row.number(1)? {
            None if total.is_some() => return Err(row.wrong("has no parent, and there is a root already")),
            None => {
                total = Some(below);
                Builder::ROOT
            }
            Some(parent) => {
                let Some(&parent) = nodes.get(&parent) else {
                    return Err(row.wrong("stands before its parent, or that is missing"));
                };
                let function =
                    builder.function(Frame { name: &row.cell(2), url: &row.cell(3), line, column });
                builder.append(parent, function)
            }
        };
        if nodes.insert(id, node).is_some() {
            return Err(row.wrong("has an id that was there before"));
        }
        builder.add(node, size, count.unwrap_or(0));
        has_counts |= count.is_some();
    }
    let (mut profile, _) = builder.finish();
    profile.counts = if has_counts { counts } else { Counts::Nothing };
    let sum = profile.total_size();
    match total {
        None => Err(Problem::Truncated("the call tree").at(input.offset())),
        Some(total) if total != sum => {
            let what = format!("the rows add up to {sum} bytes and the root to {total}: rows are missing");
            Err(Problem::Value(what).at(input.offset()))
        }
        Some(_) => Ok(profile),
    }
}
