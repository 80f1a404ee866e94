//! The string table: the section's bytes as they stand in the file, and where each string begins.
//!
//! Nothing is unescaped or copied until a string is asked for. Offsets are kept in 32 bits with a list of the places
//! where they pass a multiple of 4 GiB, so a table costs four bytes a string whatever its size.
//!
//! Two views are given. [`StringTable::get`] is for people: what is not Unicode becomes U+FFFD. [`StringTable::wtf8`]
//! is for comparing: lone surrogates, which Bun writes, stay apart from each other (WTF-8, as Rust's `OsStr` on Windows).

use std::{borrow::Cow, ops::Range};

use crate::{
    Column,
    error::{Problem, ReadError, Section, WarningKind, Warnings},
    input::Input,
};

/// The strings of a snapshot, by index.
#[derive(Debug, Default)]
pub struct StringTable {
    bytes: Column<u8>,
    /// Low 32 bits of the offset of each string's first byte, and of the end of the table.
    starts: Column<u32>,
    /// Indices at which the offset's high part grows by one.
    wraps: Vec<u32>,
}

impl StringTable {
    /// The table from its parts as an index stores them. `None` if they do not fit together.
    pub fn from_parts(bytes: Column<u8>, starts: Column<u32>, wraps: Vec<u32>) -> Option<Self> {
        let table = Self { bytes, starts, wraps };
        let end = table.starts.len().checked_sub(1).map_or(0, |last| table.offset(last));
        (table.wraps.is_sorted() && end <= table.bytes.len()).then_some(table)
    }

    /// The section's bytes, the offsets and the wraps: what an index stores.
    pub fn parts(&self) -> (&[u8], &[u32], &[u32]) {
        (&self.bytes, &self.starts, &self.wraps)
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn offset(&self, index: usize) -> usize {
        let low = self.starts[index] as usize;
        if self.wraps.is_empty() {
            return low;
        }
        let high = self.wraps.partition_point(|&wrap| wrap as usize <= index);
        low + (high << 32)
    }

    /// The bytes between the quotes as they stand in the file; empty for an index beyond the table.
    pub fn raw(&self, index: u32) -> &[u8] {
        let index = index as usize;
        if index >= self.len() {
            return &[];
        }
        let between = self.bytes.get(self.offset(index)..self.offset(index + 1)).unwrap_or_default();
        unquoted(between, index + 1 == self.len())
    }

    /// The string as text; broken escapes and lone surrogates become U+FFFD.
    pub fn get(&self, index: u32) -> Cow<'_, str> {
        text(self.raw(index))
    }

    /// The strings of a range as texts, as [`StringTable::get`] gives them; a range beyond the table is cut. For loops over
    /// many: the table's memory is found once.
    pub fn texts(&self, range: Range<u32>) -> impl Iterator<Item = Cow<'_, str>> {
        let len = self.len();
        let range = (range.start as usize).min(len)..(range.end as usize).min(len);
        let bytes: &[u8] = &self.bytes;
        let mut start = if range.is_empty() { 0 } else { self.offset(range.start) };
        let starts: &[u32] = &self.starts;
        range.map(move |index| {
            let end = if self.wraps.is_empty() { starts[index + 1] as usize } else { self.offset(index + 1) };
            let between = bytes.get(start..end).unwrap_or_default();
            start = end;
            text(unquoted(between, index + 1 == len))
        })
    }

    /// The string as WTF-8 bytes: different strings give different bytes.
    pub fn wtf8(&self, index: u32) -> Cow<'_, [u8]> {
        let raw = self.raw(index);
        if memchr::memchr(b'\\', raw).is_none() { Cow::Borrowed(raw) } else { Cow::Owned(unescape(raw)) }
    }

    /// The indices of a literal (usually one; some writers repeat strings). Linear in the number of strings.
    pub fn find(&self, literal: &str) -> Vec<u32> {
        (0..self.len() as u32).filter(|&i| self.is(i, literal)).collect()
    }

    /// Whether a string is this text.
    pub fn is(&self, index: u32, literal: &str) -> bool {
        self.wtf8(index).as_ref() == literal.as_bytes()
    }

    /// Bytes of the section in the file.
    pub fn section_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// A string without what stands behind it: up to the next string that is the closing quote, a comma, white space and the
/// opening quote, which is just before the next one's first byte.
#[inline]
fn unquoted(between: &[u8], last: bool) -> &[u8] {
    let before_next = if last { between } else { between.split_last().map_or(between, |(_, b)| b) };
    memchr::memrchr(b'"', before_next).map_or(before_next, |quote| &before_next[..quote])
}

fn text(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let wtf8 = unescape(raw);
    Cow::Owned(lossy(&wtf8))
}

/// Puts a table together.
#[derive(Debug, Default)]
pub struct StringTableBuilder {
    bytes: Vec<u8>,
    starts: Vec<u32>,
    wraps: Vec<u32>,
}

impl StringTableBuilder {
    /// An empty table with room for so many bytes and strings, as far as the memory can be had.
    pub fn with_room(bytes: usize, strings: usize) -> Self {
        let mut builder = Self::default();
        // Best effort: the table grows anyway.
        let _ = builder.bytes.try_reserve(bytes);
        let _ = builder.starts.try_reserve(strings + 1);
        builder
    }

    /// Number of strings so far.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Appends a string as it stands in a file: escaped, without its quotes.
    pub fn push_raw(&mut self, raw: &[u8]) {
        self.bytes.extend_from_slice(if self.starts.is_empty() { b"\"" } else { b",\n\"" });
        while self.bytes.len() >> 32 > self.wraps.len() {
            self.wraps.push(self.starts.len() as u32);
        }
        self.starts.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(raw);
        self.bytes.push(b'"');
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.push_raw(&escaped(text));
    }

    /// The finished table.
    pub fn finish(mut self) -> StringTable {
        let end = self.bytes.len();
        while end >> 32 > self.wraps.len() {
            self.wraps.push(self.starts.len() as u32);
        }
        if !self.starts.is_empty() {
            self.starts.push(end as u32);
        }
        StringTable { bytes: self.bytes.into(), starts: self.starts.into(), wraps: self.wraps }
    }
}

/// A text with the escapes that JSON asks for. What is not ASCII stays.
fn escaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            0..0x20 => out.extend(format!("\\u{byte:04X}").into_bytes()),
            byte => out.push(byte),
        }
    }
    out
}

/// Resolves JSON escapes. A pair of surrogates becomes one character, a lone one its three WTF-8 bytes; an invalid
/// escape stays as it stands.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (text, used) = escape(rest);
        match text {
            Some(code) => push_code_point(&mut out, code),
            None => out.extend_from_slice(&rest[..used]),
        }
        rest = &rest[used..];
    }
    out.extend_from_slice(rest);
    out
}

/// The code point of the escape at the start of the text and its length; `None` where it is invalid.
fn escape(text: &[u8]) -> (Option<u32>, usize) {
    let simple = |c: u8| (Some(u32::from(c)), 2);
    match text.get(1) {
        Some(b'n') => simple(b'\n'),
        Some(b't') => simple(b'\t'),
        Some(b'r') => simple(b'\r'),
        Some(b'b') => simple(8),
        Some(b'f') => simple(12),
        Some(&c @ (b'"' | b'\\' | b'/')) => simple(c),
        Some(b'u') => match hex4(text.get(2..6)) {
            None => (None, 2.min(text.len())),
            Some(high @ 0xd800..=0xdbff) => {
                if text.get(6) == Some(&b'\\')
                    && text.get(7) == Some(&b'u')
                    && let Some(low @ 0xdc00..=0xdfff) = hex4(text.get(8..12))
                {
                    return (Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 12);
                }
                (Some(high), 6)
            }
            Some(unit) => (Some(unit), 6),
        },
        _ => (None, 1),
    }
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    let mut value = 0;
    for &digit in digits? {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    Some(value)
}

fn push_code_point(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend([
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// WTF-8 as text: each lone surrogate becomes one U+FFFD.
fn lossy(wtf8: &[u8]) -> String {
    let mut out = String::with_capacity(wtf8.len());
    let mut rest = wtf8;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(text);
                return out;
            }
            Err(e) => {
                let (valid, bad) = rest.split_at(e.valid_up_to());
                out.push_str(&String::from_utf8_lossy(valid));
                out.push(char::REPLACEMENT_CHARACTER);
                let surrogate = matches!(bad, [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..]);
                let skip = if surrogate { 3 } else { e.error_len().unwrap_or(bad.len()) };
                rest = &bad[skip.min(bad.len())..];
            }
        }
    }
}

/// Reads the section from the opening bracket (already consumed) to the closing one.
pub(crate) fn read_strings(input: &mut Input<'_>, warnings: &mut Warnings) -> Result<StringTable, ReadError> {
    let mut reader = StringReader::new(input);
    if let Some(left) = input.len_hint.map(|len| len.saturating_sub(reader.base)) {
        let left = usize::try_from(left).unwrap_or(0);
        // Best effort: where this fails, growing step by step reports it.
        let _ = reader.bytes.try_reserve_exact(left.saturating_sub(reader.bytes.len()));
    }
    let table = reader.next(input, usize::MAX)?.unwrap_or_default();
    reader.damage.report(warnings);
    Ok(table)
}

/// Reads the section table by table, of a few MiB each: for those who do not hold the strings.
pub(crate) fn each_strings(
    input: &mut Input<'_>,
    warnings: &mut Warnings,
    mut each: impl FnMut(StringTable) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut reader = StringReader::new(input);
    while let Some(table) = reader.next(input, WINDOW)? {
        each(table)?;
    }
    reader.damage.report(warnings);
    Ok(())
}

/// Bytes that are read at a time.
const STEP: usize = 4 << 20;

/// Bytes of a table, where there may be several; the last string of it may be as long as it is.
const WINDOW: usize = 4 << 20;

const SECTION: Section = Section::Strings;

/// The section while it is read.
struct StringReader {
    /// What is read and not yet in a table.
    bytes: Vec<u8>,
    /// Offset in the text of the first of them.
    base: u64,
    starts: Vec<u32>,
    wraps: Vec<u32>,
    /// Strings in tables.
    before: usize,
    at: usize,
    /// After the last string that is closed.
    last_end: usize,
    /// Where the string begins that the scan is inside of.
    open: Option<usize>,
    expect_value: bool,
    finished: bool,
    damage: Damage,
}

impl StringReader {
    fn new(input: &mut Input<'_>) -> Self {
        let bytes = input.ahead.split_off(input.pos);
        let base = input.base + input.pos as u64;
        input.ahead.clear();
        input.pos = 0;
        input.base = base;
        Self {
            bytes,
            base,
            starts: Vec::new(),
            wraps: Vec::new(),
            before: 0,
            at: 0,
            last_end: 0,
            open: None,
            expect_value: true,
            finished: false,
            damage: Damage::default(),
        }
    }

    /// The next table, of `enough` bytes if there are so many; `None` after the last.
    fn next(&mut self, input: &mut Input<'_>, enough: usize) -> Result<Option<StringTable>, ReadError> {
        if self.finished {
            return Ok(None);
        }
        let end = self.scan(input, enough)?;
        let rest = self.bytes.split_off(end);
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut starts = std::mem::take(&mut self.starts);
        let mut wraps = std::mem::take(&mut self.wraps);
        self.damage.check_text(&bytes, self.base);
        self.base += end as u64;
        self.before += starts.len();
        (self.at, self.last_end) = (0, 0);
        if self.finished {
            if rest.first() == Some(&b']') {
                input.ahead.extend_from_slice(&rest);
            }
            input.base = self.base;
        } else {
            self.bytes = rest;
            bytes.shrink_to_fit();
        }
        while end >> 32 > wraps.len() {
            wraps.push(starts.len() as u32);
        }
        if !starts.is_empty() {
            starts.push(end as u32);
        }
        Ok(Some(StringTable { bytes: bytes.into(), starts: starts.into(), wraps }))
    }

    /// Reads on to the end of the section, or until enough bytes are scanned and no string is open; gives the end of
    /// what is scanned.
    fn scan(&mut self, input: &mut Input<'_>, enough: usize) -> Result<usize, ReadError> {
        loop {
            while self.at < self.bytes.len() {
                let (at, bytes) = (self.at, &self.bytes);
                if self.open.is_some() {
                    let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) else {
                        self.at = bytes.len();
                        break;
                    };
                    self.at += found;
                    if bytes[self.at] == b'"' {
                        self.open = None;
                        self.expect_value = false;
                        self.at += 1;
                        self.last_end = self.at;
                        if self.at >= enough {
                            return Ok(self.at);
                        }
                        continue;
                    }
                    // An escape is looked at whole, so a piece must not end inside of it.
                    if bytes.len() - self.at < 6 && !input.eof {
                        break;
                    }
                    self.at += self.damage.escape(&bytes[self.at..], self.base + self.at as u64);
                    self.at = self.at.min(bytes.len());
                    continue;
                }
                let offset = self.base + at as u64;
                let fail = |expected, found| Problem::Syntax { expected, found }.at(SECTION, offset);
                match bytes[at] {
                    b'"' if self.expect_value => {
                        self.at += 1;
                        while self.at >> 32 > self.wraps.len() {
                            self.wraps.push(self.starts.len() as u32);
                        }
                        if self.before + self.starts.len() >= u32::MAX as usize - 1 {
                            return Err(Problem::TooMany { what: "strings", limit: u64::from(u32::MAX) - 1 }
                                .at(SECTION, offset + 1));
                        }
                        self.starts.push(self.at as u32);
                        self.open = Some(self.at);
                    }
                    b',' if !self.expect_value => {
                        self.expect_value = true;
                        self.at += 1;
                    }
                    b']' if !self.expect_value || self.before + self.starts.len() == 0 => {
                        self.finished = true;
                        return Ok(at);
                    }
                    b' ' => self.at += 1,
                    b'\n' | b'\r' | b'\t' => {
                        self.damage.space += 1;
                        self.at += 1;
                    }
                    other if self.expect_value => {
                        return Err(fail("a string", crate::error::show_byte(Some(other))));
                    }
                    other => {
                        return Err(fail("`,` or `]` after a string", crate::error::show_byte(Some(other))));
                    }
                }
            }
            if input.eof {
                return self.cut_off(input.lenient);
            }
            if self.bytes.try_reserve(STEP).is_err() {
                return Err(Problem::OutOfMemory { bytes: self.bytes.len() as u64 }
                    .at(SECTION, self.base + self.at as u64));
            }
            input.base = self.base;
            input.read_into(&mut self.bytes, STEP, SECTION)?;
        }
    }

    /// The text ends in the middle of the section. A string that is closed is whole, whatever comes after it.
    fn cut_off(&mut self, lenient: bool) -> Result<usize, ReadError> {
        if !lenient {
            return Err(Problem::Truncated.at(SECTION, self.base + self.bytes.len() as u64));
        }
        let rest = &self.bytes[self.last_end..self.open.unwrap_or(self.bytes.len())];
        self.damage.space -= rest.iter().filter(|byte| matches!(byte, b'\n' | b'\r' | b'\t')).count() as u64;
        if self.open.is_some() {
            self.starts.pop();
        }
        self.wraps.truncate(self.last_end >> 32);
        self.finished = true;
        Ok(self.last_end)
    }
}

/// What is wrong inside of strings: counted, with the place of the first.
#[derive(Default)]
struct Damage {
    escapes: u64,
    first_escape: Option<u64>,
    /// Control characters that stand between the strings of the text in hand, where they are white space.
    space: u64,
    controls: u64,
    utf8: Option<u64>,
}

impl Damage {
    /// Length of the escape at the start of the text; counts it if invalid.
    fn escape(&mut self, text: &[u8], offset: u64) -> usize {
        let (code, used) = escape(text);
        // A surrogate pair is two escapes to the scan: the second is looked at on its own.
        let used = used.min(6);
        if code.is_none() {
            self.escapes += 1;
            self.first_escape.get_or_insert(offset);
            // The character after the backslash is part of the escape even where it is a quote.
            return used.max(2);
        }
        used
    }

    fn check_text(&mut self, bytes: &[u8], base: u64) {
        // Vector code counts them all; those outside of strings have been counted on the way.
        let all: u64 = bytes
            .chunks(192)
            .map(|chunk| u64::from(chunk.iter().map(|&b| u8::from(b < 0x20)).sum::<u8>()))
            .sum();
        self.controls += all.saturating_sub(std::mem::take(&mut self.space));
        if let Err(e) = std::str::from_utf8(bytes) {
            self.utf8.get_or_insert(base + e.valid_up_to() as u64);
        }
    }

    fn report(&self, warnings: &mut Warnings) {
        warnings.add(WarningKind::Escape, Section::Strings, self.first_escape, self.escapes, || {
            "invalid escape in a string, shown as it stands".to_owned()
        });
        warnings.add(WarningKind::ControlCharacter, Section::Strings, None, self.controls, || {
            "raw control character in a string, which JSON does not allow".to_owned()
        });
        if self.utf8.is_some() {
            warnings.add(WarningKind::Utf8, Section::Strings, self.utf8, 1, || {
                "bytes that are not UTF-8, shown as U+FFFD".to_owned()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(section: &str) -> Result<(StringTable, Warnings), ReadError> {
        let mut input = Input::new(Box::new(section.as_bytes()), None, None).unwrap();
        input.bump(Section::Strings).unwrap();
        let mut warnings = Warnings::default();
        let table = read_strings(&mut input, &mut warnings)?;
        assert_eq!(input.peek(Section::Strings).unwrap(), Some(b']'));
        Ok((table, warnings))
    }

    #[test]
    fn strings_are_what_json_says() {
        let text = r#"["", "a","quote \" backslash \\ slash \/" ,
            "\u00e9\uD83D\uDE00 \ud83d!", "\\", "\\\"", "caf\u00E9\n\t\b\f\r", "[,]"]"#;
        let (table, warnings) = table(text).unwrap();
        let all: Vec<_> = (0..table.len() as u32).map(|i| table.get(i).into_owned()).collect();
        assert_eq!(
            all,
            [
                "",
                "a",
                "quote \" backslash \\ slash /",
                "é😀 \u{fffd}!",
                "\\",
                "\\\"",
                "café\n\t\u{8}\u{c}\r",
                "[,]"
            ]
        );
        assert!(warnings.is_empty());
        assert_eq!(
            table.wtf8(3).as_ref(),
            "é😀 ".as_bytes().iter().copied().chain([0xed, 0xa0, 0xbd, b'!']).collect::<Vec<_>>()
        );
        assert_eq!(table.get(99), "");
        assert_eq!(table.find("a"), [1]);
    }

    #[test]
    fn lone_surrogates_stay_apart_for_comparing() {
        let (table, _) = table(r#"["x\ud83d","x\ud83e"]"#).unwrap();
        assert_eq!(table.get(0), table.get(1));
        assert_ne!(table.wtf8(0), table.wtf8(1));
    }

    #[test]
    fn damage_inside_strings_is_counted_and_the_rest_is_read() {
        let (table, warnings) = table(r#"["\q","\u12","\uZZZZ","ok"]"#).unwrap();
        assert_eq!(table.len(), 4);
        assert_eq!(table.get(0), "\\q");
        assert_eq!(table.get(1), "\\u12");
        assert_eq!(table.get(3), "ok");
        let warning = &warnings.as_slice()[0];
        assert_eq!((warning.kind, warning.count, warning.offset), (WarningKind::Escape, 3, Some(2)));
    }

    #[test]
    fn broken_tables_are_errors_with_their_place() {
        let error = |text: &str| table(text).unwrap_err().to_string();
        assert_eq!(error(r#"["a"#), "strings, byte 3: the file ends here, it is truncated");
        assert_eq!(error(r#"["a" 1]"#), "strings, byte 5: expected `,` or `]` after a string, found `1`");
        assert_eq!(error("[1]"), "strings, byte 1: expected a string, found `1`");
        assert_eq!(error(r#"["a",]"#), "strings, byte 5: expected a string, found `]`");
    }

    #[test]
    fn a_table_in_pieces_is_the_same() {
        struct Drip<'a>(&'a [u8]);
        impl std::io::Read for Drip<'_> {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                let n = self.0.len().min(buf.len()).min(3);
                buf[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let text = r#"["\uD83D\uDE00a\\\\","b\"","\u0041"]"#;
        let mut input = Input::new(Box::new(Drip(text.as_bytes())), None, None).unwrap();
        input.bump(Section::Strings).unwrap();
        let got = read_strings(&mut input, &mut Warnings::default()).unwrap();
        assert_eq!([got.get(0), got.get(1), got.get(2)], ["😀a\\\\", "b\"", "A"]);
    }
}
