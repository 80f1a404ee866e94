//! The inside of JSON strings: finding where one ends, and decoding its escapes without parsing what is in it.
//!
//! A snapshot arrives as some thousand strings, each a piece of JSON text with its quotes escaped; V8 cuts the pieces
//! anywhere, also in the middle of an escape of the inner text. So pieces are decoded once and put together as bytes;
//! nothing here looks at the inner text. Linear in the bytes, a memory copy where there are no escapes.

use serde::de::DeserializeOwned;

/// A string that breaks the rules of JSON, with the offset where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape(pub(crate) usize);

/// Where the string that begins at `from` (behind its opening quote) has its closing quote.
pub(crate) fn string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Decodes the pieces of one text. Half a surrogate pair at the end of a piece waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The first half of a surrogate pair that the last piece ended with.
    high: Option<u16>,
}

impl Decoder {
    /// Appends the text of a piece, the inside of a JSON string, to `out`.
    ///
    /// # Errors
    /// An escape that JSON does not have, or that is cut off. `out` then has the bytes before it.
    pub(crate) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), BadEscape> {
        let mut at = 0;
        while at < piece.len() {
            let run = memchr::memchr(b'\\', &piece[at..]).unwrap_or(piece.len() - at);
            if run > 0 {
                self.finish(out);
                out.extend_from_slice(&piece[at..at + run]);
                at += run;
                continue;
            }
            let escape = *piece.get(at + 1).ok_or(BadEscape(at))?;
            let byte = match escape {
                b'"' | b'\\' | b'/' => escape,
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                b'u' => {
                    let unit = piece.get(at + 2..at + 6).and_then(hex).ok_or(BadEscape(at))?;
                    self.unit(unit, out);
                    at += 6;
                    continue;
                }
                _ => return Err(BadEscape(at)),
            };
            self.finish(out);
            out.push(byte);
            at += 2;
        }
        Ok(())
    }

    /// The text has ended: half a pair that waits will not be completed.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.high.take().is_some() {
            push(None, out);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        let high = self.high.take();
        if let (Some(high), 0xDC00..=0xDFFF) = (high, unit) {
            let code = 0x1_0000 + ((u32::from(high) & 0x3FF) << 10 | (u32::from(unit) & 0x3FF));
            push(char::from_u32(code), out);
            return;
        }
        if high.is_some() {
            push(None, out);
        }
        if (0xD800..0xDC00).contains(&unit) {
            self.high = Some(unit);
        } else {
            push(char::from_u32(u32::from(unit)), out);
        }
    }
}

fn push(character: Option<char>, out: &mut Vec<u8>) {
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |value: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit as u16)
    })
}

/// Parses JSON that may hold halves of surrogate pairs: names in a heap are UTF-16 and need not be text. Each half is
/// read as U+FFFD.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    serde_json::from_str(json).or_else(|error| {
        // The strict parser is right nearly always and several times faster.
        if json.contains("\\u") { serde_json::from_str(&without_halves(json)) } else { Err(error) }
    })
}

/// The same JSON with each escape of half a surrogate pair replaced.
fn without_halves(json: &str) -> String {
    let unit = |at: usize| -> Option<u16> {
        let escape = json.as_bytes().get(at..at + 6)?;
        (escape.starts_with(b"\\u")).then(|| hex(&escape[2..]))?
    };
    let mut out = String::with_capacity(json.len());
    let (mut at, mut copied) = (0, 0);
    while let Some(step) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += step;
        match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str(&json[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // A backslash that is escaped, or the escape of another character, which is ASCII if it is valid.
            _ => at += 2,
        }
    }
    out.push_str(&json[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&str]) -> Result<String, BadEscape> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.decode(piece.as_bytes(), &mut out)?;
        }
        decoder.finish(&mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn escapes_of_json() {
        assert_eq!(
            decoded(&[r#"a\"b\\c\/d\n\t\r\b\f\u00e9\u20AC"#]).unwrap(),
            "a\"b\\c/d\n\t\r\u{8}\u{c}\u{e9}\u{20ac}"
        );
        assert_eq!(decoded(&["", "plain", " \u{20ac}"]).unwrap(), "plain \u{20ac}");
        for bad in ["\\", "\\x", "\\u", "\\u12", "\\u12g4", "\\u+123"] {
            assert_eq!(decoded(&["ab", &format!("cd{bad}")]), Err(BadEscape(2)), "{bad}");
        }
    }

    #[test]
    fn an_escape_of_the_inner_text_may_be_cut_anywhere() {
        let inner = r#"["\ud83d\ude00 \\ \" \u0041",1]"#;
        let outer = serde_json::to_string(inner).unwrap();
        let outer = &outer[1..outer.len() - 1];
        for cut in 0..=outer.len() {
            // An outer escape is never cut: each piece is a JSON string of its own.
            let (left, right) = outer.split_at(cut);
            if decoded(&[left]).is_ok() {
                assert_eq!(decoded(&[left, right]).unwrap(), inner, "cut at {cut}");
            }
        }
    }

    #[test]
    fn pairs_of_surrogates_may_be_in_two_pieces_and_halves_are_replaced() {
        assert_eq!(decoded(&["\\ud83d\\ude00"]).unwrap(), "\u{1F600}");
        assert_eq!(decoded(&["x\\ud83d", "\\ude00y"]).unwrap(), "x\u{1F600}y");
        assert_eq!(decoded(&["\\ud83d", "y"]).unwrap(), "\u{FFFD}y");
        assert_eq!(decoded(&["\\ud83d", "\\n"]).unwrap(), "\u{FFFD}\n");
        assert_eq!(decoded(&["\\ud83d\\ud83d\\ude00"]).unwrap(), "\u{FFFD}\u{1F600}");
        assert_eq!(decoded(&["\\ude00\\ud83d"]).unwrap(), "\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn ends_of_strings() {
        let end = |text: &str| string_end(text.as_bytes(), 1);
        assert_eq!(end(r#""abc""#), Some(4));
        assert_eq!(end(r#""a\"c""#), Some(5));
        assert_eq!(end(r#""a\\"c""#), Some(4));
        assert_eq!((end("\"abc"), end("\"a\\"), end("\"a\\\""), end("\"")), (None, None, None, None));
    }

    #[test]
    fn json_with_halves_of_pairs() {
        let parsed = |json: &str| parse::<serde_json::Value>(json).map(|v| v.to_string()).ok();
        assert_eq!(parsed(r#"{"a":"\ud83d x"}"#).unwrap(), "{\"a\":\"\u{FFFD} x\"}");
        assert_eq!(parsed(r#"["\\\ude00\ud83d\ude00"]"#).unwrap(), "[\"\\\\\u{FFFD}\u{1F600}\"]");
        assert_eq!(parsed(r#"["\\ud83d"]"#).unwrap(), r#"["\\ud83d"]"#);
        assert_eq!(parsed(r#"["\ud83d"#), None);
        assert_eq!(parsed("[1]").unwrap(), "[1]");
    }
}
