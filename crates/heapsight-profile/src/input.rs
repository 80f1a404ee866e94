//! A text as a stream of JSON tokens, or of lines. One of them is held at a time; nesting is the caller's business.

use std::{borrow::Cow, io::Read};

use memchr::{memchr, memchr2};

use crate::error::{Problem, ReadError, show_byte};

/// Bytes that are read at a time.
const STEP: usize = 256 << 10;

/// A source with what was read ahead of it.
pub(crate) struct Input<'r> {
    source: Box<dyn Read + 'r>,
    compressed: bool,
    /// Bytes not yet consumed start at `pos`.
    buffer: Vec<u8>,
    pos: usize,
    /// Offset in the text of `buffer[0]`.
    base: u64,
    eof: bool,
}

impl<'r> Input<'r> {
    /// The longest token or line that is accepted; a function name or a URL is far below it.
    pub(crate) const LONGEST: usize = 64 << 20;

    pub(crate) fn new(source: Box<dyn Read + 'r>, compressed: bool) -> Self {
        Self { source, compressed, buffer: Vec::new(), pos: 0, base: 0, eof: false }
    }

    /// Offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// Reads on, keeping what has not been consumed; false at the end of the text.
    fn more(&mut self) -> Result<bool, ReadError> {
        if self.eof {
            return Ok(false);
        }
        self.buffer.drain(..self.pos);
        self.base += self.pos as u64;
        self.pos = 0;
        let before = self.buffer.len();
        let result = (&mut self.source).take(STEP as u64).read_to_end(&mut self.buffer);
        match result {
            Ok(read) => {
                self.eof = read < STEP;
                Ok(self.buffer.len() > before)
            }
            Err(error) => {
                let offset = self.base + self.buffer.len() as u64;
                let problem = if self.compressed { Problem::Compressed(error) } else { Problem::Io(error) };
                Err(problem.at(offset))
            }
        }
    }

    /// The first bytes of the text, as many as there are up to `want`.
    pub(crate) fn head(&mut self, want: usize) -> Result<&[u8], ReadError> {
        while self.buffer.len() - self.pos < want && self.more()? {}
        let end = self.buffer.len().min(self.pos + want);
        Ok(&self.buffer[self.pos..end])
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Result<&[u8], ReadError> {
        while self.more()? {}
        Ok(&self.buffer[self.pos..])
    }

    /// Consumes bytes that were seen.
    pub(crate) fn skip(&mut self, count: usize) {
        self.pos = (self.pos + count).min(self.buffer.len());
    }

    /// The next line with its end, consumed; nothing at the end of the text.
    pub(crate) fn line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        let mut seen = 0;
        let length = loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.pos + seen..]) {
                break seen + at + 1;
            }
            seen = self.buffer.len() - self.pos;
            if seen > Self::LONGEST {
                return Err(Problem::Value("a line is longer than 64 MiB".into()).at(self.offset()));
            }
            if !self.more()? {
                break seen;
            }
        };
        let start = self.pos;
        self.pos += length;
        Ok((length > 0).then(|| &self.buffer[start..start + length]))
    }

    /// The next byte that is no white space, not consumed.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            match self.buffer.get(self.pos) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pos += 1,
                Some(&byte) => return Ok(Some(byte)),
                None => {
                    if !self.more()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// What is wrong when something else than `expected` comes.
    pub(crate) fn wrong(&mut self, expected: &'static str, within: &'static str) -> ReadError {
        match self.peek() {
            Ok(None) => Problem::Truncated(within).at(self.offset()),
            Ok(found) => Problem::Syntax { expected, found: show_byte(found) }.at(self.offset()),
            Err(error) => error,
        }
    }

    /// Consumes the byte if it comes next.
    pub(crate) fn took(&mut self, byte: u8) -> Result<bool, ReadError> {
        let is = self.peek()? == Some(byte);
        if is {
            self.pos += 1;
        }
        Ok(is)
    }

    /// Consumes the byte, which must come next.
    pub(crate) fn expect(
        &mut self,
        byte: u8,
        expected: &'static str,
        within: &'static str,
    ) -> Result<(), ReadError> {
        if self.took(byte)? { Ok(()) } else { Err(self.wrong(expected, within)) }
    }

    /// The text between quotes, escapes undone.
    pub(crate) fn string(&mut self, within: &'static str) -> Result<Cow<'_, str>, ReadError> {
        let (length, escaped) = self.quoted(within)?;
        let start = self.pos;
        self.pos += length + 1;
        let raw = &self.buffer[start..start + length];
        Ok(if escaped { Cow::Owned(unescaped(raw)) } else { String::from_utf8_lossy(raw) })
    }

    /// What a key means to the caller; escapes are left as they stand, since no key that is known has any.
    pub(crate) fn key<K>(
        &mut self,
        within: &'static str,
        known: impl Fn(&[u8]) -> K,
    ) -> Result<K, ReadError> {
        let (length, _) = self.quoted(within)?;
        let key = known(&self.buffer[self.pos..self.pos + length]);
        self.pos += length + 1;
        self.expect(b':', "`:` behind a key", within)?;
        Ok(key)
    }

    /// Consumes the opening quote and finds the closing one: how far it is, and whether there are escapes before it.
    fn quoted(&mut self, within: &'static str) -> Result<(usize, bool), ReadError> {
        self.expect(b'"', "a text in quotes", within)?;
        let mut seen = 0;
        let mut escaped = false;
        loop {
            match memchr2(b'"', b'\\', &self.buffer[self.pos + seen..]) {
                Some(at) if self.buffer[self.pos + seen + at] == b'"' => return Ok((seen + at, escaped)),
                // The byte behind a backslash is part of the escape, whatever it is.
                Some(at) if self.pos + seen + at + 1 < self.buffer.len() => {
                    escaped = true;
                    seen += at + 2;
                }
                found => {
                    seen = found.map_or(self.buffer.len() - self.pos, |at| seen + at);
                    if seen > Self::LONGEST {
                        return Err(Problem::Value("a text is longer than 64 MiB".into()).at(self.offset()));
                    }
                    if !self.more()? {
                        return Err(Problem::Truncated(within).at(self.base + self.buffer.len() as u64));
                    }
                }
            }
        }
    }

    /// A number, or `null` as nothing.
    pub(crate) fn number(&mut self, within: &'static str) -> Result<Option<f64>, ReadError> {
        self.peek()?;
        // A number has no end of its own: make sure that what follows it is here.
        if self.buffer.len() - self.pos < 64 {
            while self.buffer.len() - self.pos < 64 && self.more()? {}
        }
        let rest = &self.buffer[self.pos..];
        let is_part = |b: &&u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take(63).take_while(is_part).count();
        let text = &rest[..length];
        if length == 0 {
            if rest.starts_with(b"null") {
                self.pos += 4;
                return Ok(None);
            }
            return Err(self.wrong("a number", within));
        }
        let simple = length <= 15 && text.iter().all(u8::is_ascii_digit);
        let value = if simple {
            Some(text.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0')) as f64)
        } else {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
        };
        match value {
            Some(value) => {
                self.pos += length;
                Ok(Some(value))
            }
            None if self.pos + length == self.buffer.len() => {
                Err(Problem::Truncated(within).at(self.base + self.buffer.len() as u64))
            }
            None => Err(self.wrong("a number", within)),
        }
    }

    /// Passes over one value of any kind. Iterative: depth costs nothing.
    pub(crate) fn skip_value(&mut self, within: &'static str) -> Result<(), ReadError> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                None => return Err(Problem::Truncated(within).at(self.offset())),
                Some(b'"') => {
                    let (length, _) = self.quoted(within)?;
                    self.pos += length + 1;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.pos += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.pos += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.pos += 1;
                    continue;
                }
                Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'+' | b'.') => loop {
                    let byte = self.buffer.get(self.pos).copied();
                    match byte {
                        Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
                            self.pos += 1;
                        }
                        Some(_) => break,
                        None => {
                            if !self.more()? {
                                break;
                            }
                        }
                    }
                },
                Some(_) => return Err(self.wrong("a value", within)),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Undoes the escapes of JSON. Halves of surrogate pairs that stand alone become U+FFFD, as do bytes that are no UTF-8.
fn unescaped(raw: &[u8]) -> String {
    let hex = |at: usize| -> Option<u32> {
        let digits = std::str::from_utf8(raw.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let escape = raw.get(at + 1).copied().unwrap_or(b'\\');
        at += 2;
        let plain = match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let mut code = hex(at).unwrap_or(0xfffd);
                at += 4;
                if (0xd800..0xdc00).contains(&code)
                    && raw.get(at..at + 2) == Some(b"\\u")
                    && let Some(low) = hex(at + 2).filter(|low| (0xdc00..0xe000).contains(low))
                {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        };
        out.push(plain);
    }
    String::from_utf8_lossy(&out).into_owned()
}
