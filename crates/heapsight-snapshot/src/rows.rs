//! Number arrays in parallel, from any stream.
//!
//! The text is taken off the stream in pieces by whichever thread is free. Under one lock a piece is read,
//! its commas are counted and it is cut after a whole number of rows; that says which rows it holds, so each thread then
//! parses its piece into its own part of the columns without waiting for anybody. Reading and counting are several times
//! faster than parsing, so two threads keep each other busy, and a compressed stream is parsed while it is unpacked.
//!
//! Columns grow with the data: what the header promises is never allocated before it has been seen (see [`Growth`]).

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    error::{Problem, ReadError, Section},
    input::Input,
    numbers::{NumberError, PADDING},
};

/// Bytes of a piece: few enough that a core's own cache holds them from reading to parsing.
const PIECE: usize = 256 << 10;

/// A row (or the white space around it) longer than this is refused.
const MAX_ROW: usize = 32 << 20;

/// Parts of columns that are filled by one thread.
pub(crate) trait Rows: Send + Sized {
    /// Rows that fit.
    fn len(&self) -> usize;
    /// Splits off the first `rows`.
    fn split_front(self, rows: usize) -> (Self, Self);
}

/// What came of one run over an array.
pub(crate) struct Outcome<S> {
    /// Rows that were parsed.
    pub(crate) rows: usize,
    /// Whether the closing bracket was reached; else the columns are full.
    pub(crate) finished: bool,
    /// What each piece yielded, in the order of the rows.
    pub(crate) stats: Vec<S>,
}

struct State<'i, 'r, R, S> {
    input: &'i mut Input<'r>,
    free: Option<R>,
    next_row: usize,
    finished: bool,
    full: bool,
    error: Option<ReadError>,
    stats: Vec<(usize, S)>,
}

/// A piece of text with the rows that it fills.
struct Piece<R> {
    rows: R,
    first_row: usize,
    base: u64,
}

/// Reads rows of `fields` numbers until the closing bracket or until the columns are full.
///
/// `parse` gets the text of whole rows followed by [`PADDING`] zero bytes, the columns' parts, and the number of the
/// first row. The error that is returned is the one nearest to the start of the file, whatever the threads did.
pub(crate) fn read_rows<R: Rows, S: Send>(
    input: &mut Input<'_>,
    section: Section,
    fields: usize,
    columns: R,
    first_row: usize,
    threads: usize,
    parse: &(impl Fn(&[u8], R, usize) -> Result<S, NumberError> + Sync),
) -> Result<Outcome<S>, ReadError> {
    let state = Mutex::new(State {
        input,
        free: Some(columns),
        next_row: first_row,
        finished: false,
        full: false,
        error: None,
        stats: Vec::new(),
    });
    let work = || {
        let mut text = Vec::with_capacity(PIECE + PIECE / 8);
        loop {
            let piece = {
                let mut state = lock(&state);
                if state.finished || state.full || state.error.is_some() {
                    return;
                }
                match next_piece(&mut state, &mut text, section, fields) {
                    Ok(Some(piece)) => piece,
                    Ok(None) => return,
                    Err(error) => {
                        keep_first(&mut state.error, error);
                        return;
                    }
                }
            };
            let base = piece.base;
            let first = piece.first_row;
            let result = parse(&text, piece.rows, first);
            let mut state = lock(&state);
            match result {
                Ok(stats) => state.stats.push((first, stats)),
                Err(e) => keep_first(&mut state.error, e.problem.at(section, base + e.pos as u64)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.error {
        return Err(error);
    }
    let mut stats = state.stats;
    stats.sort_by_key(|&(first, _)| first);
    Ok(Outcome {
        rows: state.next_row - first_row,
        finished: state.finished,
        stats: stats.into_iter().map(|(_, s)| s).collect(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep_first(kept: &mut Option<ReadError>, error: ReadError) {
    if kept.as_ref().is_none_or(|k| error.offset < k.offset) {
        *kept = Some(error);
    }
}

/// Takes the next rows off the stream into `text`; `None` when there are no more or the columns are full.
fn next_piece<R: Rows, S>(
    state: &mut State<'_, '_, R, S>,
    text: &mut Vec<u8>,
    section: Section,
    fields: usize,
) -> Result<Option<Piece<R>>, ReadError> {
    let input = &mut *state.input;
    text.clear();
    text.extend_from_slice(&input.ahead[input.pos..]);
    let base = input.base + input.pos as u64;
    input.ahead.clear();
    input.pos = 0;
    input.base = base;
    let mut searched = 0;
    let (cut, numbers, last) = loop {
        if text.len() < PIECE.max(searched + PIECE / 2) && !input.eof {
            let want = PIECE.max(searched + PIECE / 2) - text.len();
            input.read_into(text, want, section)?;
        }
        if let Some(close) = memchr::memchr(b']', &text[searched..]) {
            let close = searched + close;
            let blank = text[..close].iter().all(u8::is_ascii_whitespace);
            break (close, if blank { 0 } else { commas(&text[..close]) + 1 }, true);
        }
        let count = commas(text);
        let whole = count / fields * fields;
        if input.eof {
            if input.lenient {
                // A number is whole only if something comes after it.
                break (after_comma_from_end(text, count - whole), whole, true);
            }
            let offset = base + text.len() as u64;
            return Err(Problem::Truncated.at(section, offset));
        }
        if whole > 0 {
            break (after_comma_from_end(text, count - whole), whole, false);
        }
        searched = text.len();
        if text.len() > MAX_ROW {
            let found = "over 32 MiB without one".to_owned();
            return Err(Problem::Syntax { expected: "a row of numbers", found }.at(section, base));
        }
    };
    if numbers % fields != 0 {
        let count = (state.next_row * fields + numbers) as u64;
        return Err(Problem::PartialRow { count, fields }.at(section, base + cut as u64));
    }
    let rows = numbers / fields;
    let free = state.free.take();
    let room = free.as_ref().map_or(0, R::len);
    if rows > room {
        // Everything goes back; the caller makes longer columns and comes again.
        std::mem::swap(&mut input.ahead, text);
        state.free = free;
        state.full = true;
        return Ok(None);
    }
    if !last || text.get(cut) == Some(&b']') {
        input.ahead.extend_from_slice(&text[cut..]);
    }
    input.base = base + cut as u64;
    text.truncate(cut);
    text.extend([0; PADDING]);
    state.finished = last;
    let Some(free) = free else { return Ok(None) };
    let (mine, rest) = free.split_front(rows);
    state.free = Some(rest);
    let first_row = state.next_row;
    state.next_row += rows;
    if rows == 0 {
        return Ok(None);
    }
    Ok(Some(Piece { rows: mine, first_row, base }))
}

/// Counts commas; written so that the compiler makes vector code of it.
fn commas(text: &[u8]) -> usize {
    text.chunks(192).map(|chunk| usize::from(chunk.iter().map(|&b| u8::from(b == b',')).sum::<u8>())).sum()
}

/// The position after the comma that has exactly `later` commas behind it.
fn after_comma_from_end(text: &[u8], later: usize) -> usize {
    memchr::memrchr_iter(b',', text).nth(later).map_or(0, |at| at + 1)
}

/// How many rows to make room for next: at most what the rest of the text can hold where its length is known, else
/// what was promised but never more than twice what was seen.
pub(crate) struct Growth {
    promised: usize,
    bound: Option<usize>,
}

impl Growth {
    /// The first allocation where nothing is known but a promise.
    const FIRST: usize = 1 << 22;

    pub(crate) fn new(input: &Input<'_>, fields: usize, promised: u64) -> Self {
        let left = input.len_hint.map(|len| len.saturating_sub(input.offset()));
        // A number takes a digit and a separator; the last of the array has its bracket.
        let bound =
            left.map(|left| usize::try_from(left / (2 * fields.max(1)) as u64 + 1).unwrap_or(usize::MAX));
        Self { promised: usize::try_from(promised).unwrap_or(usize::MAX), bound }
    }

    pub(crate) fn first(&self) -> usize {
        self.promised.min(self.bound.unwrap_or(Self::FIRST))
    }

    /// Room for more than `rows`, which turned out to be too few.
    pub(crate) fn after(&self, rows: usize) -> usize {
        let doubled = rows.saturating_mul(2).max(Self::FIRST);
        let next = if self.promised > rows { doubled.min(self.promised) } else { doubled };
        self.bound.map_or(next, |bound| if bound > rows { next.min(bound) } else { next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Numbers;

    struct One<'a>(&'a mut [u32]);
    impl Rows for One<'_> {
        fn len(&self) -> usize {
            self.0.len() / 3
        }
        fn split_front(self, rows: usize) -> (Self, Self) {
            let (a, b) = self.0.split_at_mut(rows * 3);
            (Self(a), Self(b))
        }
    }

    fn read(text: &str, room: usize, threads: usize) -> Result<(Vec<u32>, bool), ReadError> {
        let mut input = Input::new(Box::new(text.as_bytes()), None, None).unwrap();
        let mut out = vec![0; room * 3];
        let parse = |text: &[u8], rows: One<'_>, _| {
            let mut numbers = Numbers::new(text);
            for slot in rows.0.iter_mut() {
                *slot = numbers.next()? as u32;
            }
            numbers.finish()
        };
        let outcome = read_rows(&mut input, Section::Edges, 3, One(&mut out), 0, threads, &parse)?;
        out.truncate(outcome.rows * 3);
        if outcome.finished {
            assert_eq!(input.peek(Section::Edges).unwrap(), Some(b']'));
        }
        Ok((out, outcome.finished))
    }

    #[test]
    fn rows_are_the_same_for_any_number_of_threads() {
        let values: Vec<u32> = (0..3_000_000u32).map(|i| i.wrapping_mul(2_654_435_761) >> (i % 31)).collect();
        let text = values.iter().map(u32::to_string).collect::<Vec<_>>().join(",") + "]}";
        for threads in [1, 2, 5] {
            assert_eq!(read(&text, 1_000_000, threads).unwrap(), (values.clone(), true));
        }
        let (_, finished) = read(&text, 999_999, 2).unwrap();
        assert!(!finished);
    }

    #[test]
    fn an_empty_array_has_no_rows() {
        assert_eq!(read("]", 1, 2).unwrap(), (vec![], true));
        assert_eq!(read(" \n ]", 1, 2).unwrap(), (vec![], true));
    }

    #[test]
    fn the_first_error_of_the_file_is_the_one_reported() {
        let mut text = "1,2,3,".repeat(1_000_000);
        text.replace_range(3_000_000..3_000_001, "x");
        text.replace_range(5_000_000..5_000_001, "y");
        for threads in [1, 2, 4] {
            let error = read(&(text.clone() + "]"), 2_000_000, threads).unwrap_err();
            assert_eq!(error.to_string(), "edges, byte 3000000: expected a number, found `x`");
        }
        assert_eq!(
            read("1,2,3,4]", 9, 1).unwrap_err().to_string(),
            "edges, byte 7: 4 numbers are no whole number of rows of 3 fields"
        );
        assert_eq!(
            read("1,2,3,4", 9, 1).unwrap_err().to_string(),
            "edges, byte 7: the file ends here, it is truncated"
        );
    }

    #[test]
    fn a_lying_header_gets_no_memory_before_its_data() {
        let stream = Input::new(Box::new(&b"[1"[..]), None, None).unwrap();
        let growth = Growth::new(&stream, 7, u64::MAX);
        assert_eq!(growth.first(), Growth::FIRST);
        assert_eq!(growth.after(Growth::FIRST), 2 * Growth::FIRST);
        let file = Input::new(Box::new(&b"[1"[..]), Some(1400), None).unwrap();
        assert!(Growth::new(&file, 7, u64::MAX).first() <= 101);
        assert_eq!(Growth::new(&file, 7, 5).first(), 5);
    }
}
