//! The text of a snapshot as a stream: decompression, and a cursor for what stands between the number arrays.
//!
//! Reading is by plain `read`, not by mapping the file: a file that somebody truncates meanwhile is an error here, not
//! a signal. The cursor keeps what it has read ahead in `ahead`; the number arrays are taken from the same place in
//! large pieces (see `rows`).

use std::{
    io::{self, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    ReadOptions,
    ends::is_numbers,
    error::{Problem, ReadError, Section, show_byte},
};

/// Bytes that the cursor reads at a time.
const STEP: usize = 256 << 10;

/// The largest header that is accepted; V8's is below 4 KiB.
const MAX_HEADER: usize = 16 << 20;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Plain text.
    None,
    /// gzip, by its two magic bytes.
    Gzip,
    /// Zstandard, by its four magic bytes.
    Zstd,
}

impl Compression {
    /// Recognises the compression by the first bytes of a file.
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// The text of a file, unpacked, for whoever reads it otherwise than as a snapshot.
///
/// # Errors
/// The source fails, or is not what its first bytes say.
pub fn unpacked<'r>(
    source: impl Read + Send + 'r,
    options: ReadOptions<'r>,
) -> Result<impl Read + Send + 'r, ReadError> {
    Ok(Input::new(Box::new(source), options.len, options.progress)?.source)
}

/// A source that remembers whether it failed.
struct Watched<R> {
    source: R,
    failed: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.source.read(buffer);
        if result.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::Interrupted) {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// A source of snapshot text with its read-ahead.
pub(crate) struct Input<'r> {
    source: Box<dyn Read + Send + 'r>,
    compressed: bool,
    /// Set when the source itself failed, so that its failure is not taken for damage of what it holds.
    source_failed: Arc<AtomicBool>,
    /// Bytes read and not yet consumed start at `pos`.
    pub(crate) ahead: Vec<u8>,
    pub(crate) pos: usize,
    /// Offset in the text of `ahead[0]`.
    pub(crate) base: u64,
    pub(crate) eof: bool,
    /// Length of the text where it is known beforehand (plain files).
    pub(crate) len_hint: Option<u64>,
    progress: Option<&'r (dyn Fn(u64) + Sync)>,
    /// Whether the text may stop anywhere: then a source that fails, or a zero byte, is its end.
    pub(crate) lenient: bool,
    /// Why the text ended where it did, if not by itself.
    pub(crate) cut: Option<Problem>,
}

impl<'r> Input<'r> {
    /// Starts reading; recognises compression by the first bytes.
    pub(crate) fn new(
        mut source: Box<dyn Read + Send + 'r>,
        len_hint: Option<u64>,
        progress: Option<&'r (dyn Fn(u64) + Sync)>,
    ) -> Result<Self, ReadError> {
        let source_failed = Arc::new(AtomicBool::new(false));
        let mut head = Vec::with_capacity(4);
        source
            .by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(|e| Problem::Io(e).at(Section::TopLevel, 0))?;
        let compression = Compression::detect(&head);
        // A byte-order mark says nothing that UTF-8 needs.
        let mark = if head.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
        let head = io::Cursor::new(head.split_off(mark));
        // Only what is unpacked is watched: plain text then goes from the file into our memory without a detour.
        let watched = |source| Watched { source, failed: Arc::clone(&source_failed) };
        let (source, len_hint): (Box<dyn Read + Send + 'r>, _) = match compression {
            Compression::None => (Box::new(head.chain(source)), len_hint),
            Compression::Gzip => {
                let whole = head.chain(watched(source));
                let decoder = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(STEP, whole));
                (Box::new(decoder), None)
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(head.chain(watched(source)))
                    .map_err(|e| Problem::Compressed(e).at(Section::TopLevel, 0))?;
                // Frames written with --long up to the format's own maximum.
                decoder.window_log_max(31).map_err(|e| Problem::Compressed(e).at(Section::TopLevel, 0))?;
                (Box::new(decoder), None)
            }
        };
        Ok(Self {
            source,
            compressed: compression != Compression::None,
            source_failed,
            ahead: Vec::new(),
            pos: 0,
            base: mark as u64,
            eof: false,
            len_hint,
            progress,
            lenient: false,
            cut: None,
        })
    }

    /// Offset in the text of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// Appends up to `want` bytes of the source to `text`; sets `eof` at the end.
    pub(crate) fn read_into(
        &mut self,
        text: &mut Vec<u8>,
        want: usize,
        section: Section,
    ) -> Result<(), ReadError> {
        let before = text.len();
        let result = (&mut self.source).take(want as u64).read_to_end(text);
        let read = text.len() - before;
        match result {
            Ok(_) => {
                if read < want {
                    self.eof = true;
                }
            }
            Err(e) => {
                let offset = self.base + text.len() as u64;
                let problem = if self.compressed && !self.source_failed.load(Ordering::Relaxed) {
                    Problem::Compressed(e)
                } else {
                    Problem::Io(e)
                };
                if !self.lenient {
                    return Err(problem.at(section, offset));
                }
                self.eof = true;
                self.cut = Some(problem);
            }
        }
        if self.lenient
            && let Some(zero) = memchr::memchr(0, &text[before..])
        {
            // A file system that lost the end of a file after a crash puts zeros in its place.
            text.truncate(before + zero);
            self.eof = true;
            self.cut = Some(Problem::Zeros);
        }
        if let Some(progress) = self.progress {
            progress(self.base + text.len() as u64);
        }
        Ok(())
    }

    /// Makes sure that a byte is ahead; false at the end of the text.
    fn fill(&mut self, section: Section) -> Result<bool, ReadError> {
        if self.pos < self.ahead.len() {
            return Ok(true);
        }
        if self.eof {
            return Ok(false);
        }
        self.base += self.ahead.len() as u64;
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.clear();
        self.pos = 0;
        let result = self.read_into(&mut ahead, STEP, section);
        self.ahead = ahead;
        result?;
        Ok(!self.ahead.is_empty())
    }

    /// The next byte, not consumed.
    pub(crate) fn peek(&mut self, section: Section) -> Result<Option<u8>, ReadError> {
        Ok(if self.fill(section)? { Some(self.ahead[self.pos]) } else { None })
    }

    /// The next byte, consumed; the end of the text is an error.
    pub(crate) fn bump(&mut self, section: Section) -> Result<u8, ReadError> {
        match self.peek(section)? {
            Some(byte) => {
                self.pos += 1;
                Ok(byte)
            }
            None => Err(Problem::Truncated.at(section, self.offset())),
        }
    }

    /// Skips white space and shows the next byte.
    pub(crate) fn peek_token(&mut self, section: Section) -> Result<Option<u8>, ReadError> {
        loop {
            match self.peek(section)? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pos += 1,
                other => return Ok(other),
            }
        }
    }

    /// Skips white space and consumes the byte that must come now.
    pub(crate) fn expect(
        &mut self,
        wanted: u8,
        expected: &'static str,
        section: Section,
    ) -> Result<(), ReadError> {
        match self.peek_token(section)? {
            Some(byte) if byte == wanted => {
                self.pos += 1;
                Ok(())
            }
            None => Err(Problem::Truncated.at(section, self.offset())),
            found => Err(self.syntax(expected, found, section)),
        }
    }

    pub(crate) fn syntax(&self, expected: &'static str, found: Option<u8>, section: Section) -> ReadError {
        Problem::Syntax { expected, found: show_byte(found) }.at(section, self.offset())
    }

    /// Reads a short string such as a key; escapes are kept as they stand.
    pub(crate) fn key(&mut self, section: Section) -> Result<Vec<u8>, ReadError> {
        self.expect(b'"', "a key in quotes", section)?;
        let start = self.offset();
        let mut key = Vec::new();
        loop {
            match self.bump(section)? {
                b'"' => return Ok(key),
                b'\\' => {
                    key.push(b'\\');
                    key.push(self.bump(section)?);
                }
                byte => key.push(byte),
            }
            if key.len() > 4096 {
                let found = "one of over 4,096 bytes".to_owned();
                return Err(Problem::Syntax { expected: "a key", found }.at(section, start));
            }
        }
    }

    /// Passes over one JSON value of any kind, feeding its bytes to `each`. Iterative: depth costs nothing.
    fn walk_value(&mut self, section: Section, mut each: impl FnMut(u8) -> bool) -> Result<(), ReadError> {
        let mut depth = 0usize;
        let mut any = false;
        loop {
            let Some(byte) = self.peek(section)? else {
                if any && depth == 0 {
                    return Ok(());
                }
                return Err(Problem::Truncated.at(section, self.offset()));
            };
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    if depth == 0 {
                        // The bracket belongs to whoever holds this value.
                        return if any { Ok(()) } else { Err(self.syntax("a value", Some(byte), section)) };
                    }
                    depth -= 1;
                }
                b',' if depth == 0 => {
                    return if any { Ok(()) } else { Err(self.syntax("a value", Some(byte), section)) };
                }
                b'"' => {
                    self.pos += 1;
                    let mut go_on = each(b'"');
                    while go_on {
                        let inner = self.bump(section)?;
                        go_on = each(inner);
                        match inner {
                            b'\\' => go_on &= each(self.bump(section)?),
                            b'"' => break,
                            _ => {}
                        }
                    }
                    if !go_on {
                        return Err(self.too_large(section));
                    }
                    any = true;
                    if depth == 0 {
                        return Ok(());
                    }
                    continue;
                }
                _ => {}
            }
            any |= !byte.is_ascii_whitespace();
            self.pos += 1;
            if !each(byte) {
                return Err(self.too_large(section));
            }
            if depth == 0 && matches!(byte, b'}' | b']') {
                return Ok(());
            }
        }
    }

    /// Passes over an array of numbers whose opening bracket is consumed, up to the closing one, which is not. If
    /// `nested`, there are arrays in it. What it holds is not looked at.
    ///
    /// # Errors
    /// The text ends before.
    pub(crate) fn skip_array(&mut self, section: Section, nested: bool) -> Result<(), ReadError> {
        self.pass_array(section, nested, |_, _| Ok(()))
    }

    /// The same; says whether there are numbers in it and nothing else.
    pub(crate) fn skip_numbers(&mut self, section: Section, nested: bool) -> Result<bool, ReadError> {
        let mut good = true;
        self.pass_array(section, nested, |text, _| {
            good = good && is_number_text(text, nested);
            Ok(())
        })?;
        Ok(good)
    }

    /// The same; `each` gets its text piece by piece, in which there are numbers and nothing else.
    ///
    /// # Errors
    /// There is anything else in it; those of `each`.
    pub(crate) fn numbers(
        &mut self,
        section: Section,
        nested: bool,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        self.pass_array(section, nested, |text, offset| {
            if is_number_text(text, nested) {
                each(text);
                return Ok(());
            }
            let other = text.iter().position(|&byte| !is_number_text(&[byte], nested)).unwrap_or(0);
            let found = show_byte(text.get(other).copied());
            Err(Problem::Syntax { expected: "a number", found }.at(section, offset + other as u64))
        })
    }

    fn pass_array(
        &mut self,
        section: Section,
        nested: bool,
        mut each: impl FnMut(&[u8], u64) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut depth = 0usize;
        loop {
            if !self.fill(section)? {
                return Err(Problem::Truncated.at(section, self.offset()));
            }
            let text = &self.ahead[self.pos..];
            let close = if nested {
                memchr::memchr2_iter(b'[', b']', text).find(|&at| match (text[at], depth) {
                    (b'[', _) => {
                        depth += 1;
                        false
                    }
                    (_, 0) => true,
                    _ => {
                        depth -= 1;
                        false
                    }
                })
            } else {
                memchr::memchr(b']', text)
            };
            let text = &text[..close.unwrap_or(text.len())];
            each(text, self.base + self.pos as u64)?;
            self.pos += text.len();
            if close.is_some() {
                return Ok(());
            }
        }
    }

    fn too_large(&self, section: Section) -> ReadError {
        Problem::Header("it is larger than 16 MiB".into()).at(section, self.offset())
    }

    /// Passes over one value.
    pub(crate) fn skip_value(&mut self, section: Section) -> Result<(), ReadError> {
        self.walk_value(section, |_| true)
    }

    /// The text of one value, at most 16 MiB.
    pub(crate) fn capture_value(&mut self, section: Section) -> Result<Vec<u8>, ReadError> {
        let mut text = Vec::new();
        self.walk_value(section, |byte| {
            text.push(byte);
            text.len() <= MAX_HEADER
        })?;
        Ok(text)
    }
}

/// Whether a text is as the inside of an array of numbers.
fn is_number_text(text: &[u8], nested: bool) -> bool {
    is_numbers(text, |byte| {
        matches!(byte, b'-' | b' ' | b'\r' | b'\t') || nested && matches!(byte, b'[' | b']')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input<'_> {
        Input::new(Box::new(text.as_bytes()), None, None).unwrap()
    }

    #[test]
    fn values_of_any_kind_are_passed_over() {
        for value in ["1", "null", "\"a]\\\"}\"", "[1,[2,{\"x\":\"]\"}]]", "{\"a\":{}}", "-1.5e9"] {
            let text = format!("{value},next");
            let mut it = input(&text);
            it.skip_value(Section::Unknown).unwrap();
            assert_eq!(it.peek(Section::Unknown).unwrap(), Some(b','), "{value}");
        }
    }

    #[test]
    fn a_value_a_million_deep_needs_no_stack() {
        let text = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        input(&text).skip_value(Section::Unknown).unwrap();
    }

    #[test]
    fn compressed_text_is_recognised() {
        use std::io::Write;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"{\"a\":1}").unwrap();
        let gz = gz.finish().unwrap();
        let zst = zstd::encode_all(&b"{\"a\":1}"[..], 1).unwrap();
        for bytes in [gz, zst] {
            let mut it = Input::new(Box::new(&bytes[..]), Some(9), None).unwrap();
            assert_eq!(it.capture_value(Section::Header).unwrap(), b"{\"a\":1}");
            assert_eq!(it.len_hint, None);
        }
    }
}
