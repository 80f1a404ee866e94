//! Source maps: from a position in the file that runs to the one that was written.
//!
//! Source: ECMA-426, "Source map format specification", with index maps (`sections`) and the prefix `)]}'`. Of a map only
//! what says where code stands is kept, 20 bytes a mapping; the sources' text is passed over. What breaks the rules gives no
//! map. Time O(bytes of the map · log), memory of the order of its bytes. Nothing here opens a file.

use serde::Deserialize;

/// A mapping; lines and columns from 0, columns in UTF-16 code units, as V8 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mapping {
    line: u32,
    column: u32,
    /// Index of the source, [`NO_SOURCE`] where a stretch of the file was written by the compiler.
    source: u32,
    source_line: u32,
    source_column: u32,
}

const NO_SOURCE: u32 = u32::MAX;

/// A decoded map.
#[derive(Debug, Default)]
pub(super) struct SourceMap {
    /// URLs as the map has them, below its `sourceRoot`.
    sources: Vec<String>,
    /// Ascending by line and column.
    mappings: Vec<Mapping>,
}

/// A position in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Original<'a> {
    /// The source's URL as the map has it.
    pub(super) source: &'a str,
    /// From 0.
    pub(super) line: u32,
    /// From 0.
    pub(super) column: u32,
}

#[derive(Deserialize)]
struct Raw {
    sources: Option<Vec<Option<String>>>,
    #[serde(rename = "sourceRoot")]
    source_root: Option<String>,
    mappings: Option<String>,
    sections: Option<Vec<Section>>,
}

#[derive(Deserialize)]
struct Section {
    offset: Offset,
    /// One that lies in another file (`url`) has none here.
    map: Option<Plain>,
}

/// A map without sections: sections do not nest.
#[derive(Deserialize)]
struct Plain {
    sources: Option<Vec<Option<String>>>,
    #[serde(rename = "sourceRoot")]
    source_root: Option<String>,
    mappings: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Offset {
    line: u32,
    column: u32,
}

impl SourceMap {
    /// Decodes a map; `None` if it is none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        // Some servers put a line in front that makes the text useless as a script.
        let text = match text.strip_prefix(b")]}'") {
            Some(rest) => &rest[rest.iter().position(|&byte| byte == b'\n')?..],
            None => text,
        };
        let raw: Raw = serde_json::from_slice(text).ok()?;
        let mut map = Self::default();
        if let Some(sections) = raw.sections {
            for section in sections {
                if let Some(plain) = section.map {
                    map.add(plain, section.offset)?;
                }
            }
        } else {
            let Raw { sources, source_root, mappings, .. } = raw;
            map.add(Plain { sources, source_root, mappings }, Offset { line: 0, column: 0 })?;
        }
        // Within a line the rules allow any order.
        map.mappings.sort_by_key(|m| (m.line, m.column));
        (!map.mappings.is_empty()).then_some(map)
    }

    fn add(&mut self, plain: Plain, offset: Offset) -> Option<()> {
        let first = u32::try_from(self.sources.len()).ok()?;
        let root = plain.source_root.unwrap_or_default();
        let sources = plain.sources.unwrap_or_default();
        let count = u32::try_from(sources.len()).ok().filter(|count| first.checked_add(*count).is_some())?;
        self.sources.extend(sources.into_iter().map(|source| {
            let source = source.unwrap_or_default();
            if root.is_empty() || source.is_empty() {
                source
            } else {
                format!("{}/{source}", root.trim_end_matches('/'))
            }
        }));
        self.decode(&plain.mappings.unwrap_or_default(), offset, first, count)
    }

    /// The numbers of `mappings`, of which each but the column is relative to the one before.
    fn decode(&mut self, text: &str, offset: Offset, first: u32, count: u32) -> Option<()> {
        let (mut source, mut source_line, mut source_column) = (0i64, 0i64, 0i64);
        for (number, line) in text.split(';').enumerate() {
            let mut column = if number == 0 { i64::from(offset.column) } else { 0 };
            let line_number = u32::try_from(number).ok()?.checked_add(offset.line)?;
            for segment in line.split(',').filter(|segment| !segment.is_empty()) {
                let (numbers, len) = segment_numbers(segment)?;
                column += numbers[0];
                let mut mapping = Mapping {
                    line: line_number,
                    column: u32::try_from(column).ok()?,
                    source: NO_SOURCE,
                    source_line: 0,
                    source_column: 0,
                };
                if len >= 4 {
                    source += numbers[1];
                    source_line += numbers[2];
                    source_column += numbers[3];
                    let index = u32::try_from(source).ok().filter(|&index| index < count)?;
                    mapping.source = first + index;
                    mapping.source_line = u32::try_from(source_line).ok()?;
                    mapping.source_column = u32::try_from(source_column).ok()?;
                }
                self.mappings.push(mapping);
            }
        }
        Some(())
    }

    /// Where a position comes from: by the last mapping of its line that is not behind it.
    pub(super) fn original(&self, line: u32, column: u32) -> Option<Original<'_>> {
        let behind = self.mappings.partition_point(|m| (m.line, m.column) <= (line, column));
        let mapping = self.mappings[..behind].last().filter(|m| m.line == line)?;
        let source = self.sources.get(mapping.source as usize).filter(|source| !source.is_empty())?;
        Some(Original { source, line: mapping.source_line, column: mapping.source_column })
    }
}

/// The one, four or five numbers of a segment in base 64 with variable length; each fits in 32 bits and a sign.
fn segment_numbers(segment: &str) -> Option<([i64; 5], usize)> {
    let mut numbers = [0i64; 5];
    let mut len = 0;
    let (mut value, mut shift) = (0u64, 0);
    for byte in segment.bytes() {
        let digit = u64::from(base64_digit(byte)?);
        if shift > 30 {
            return None;
        }
        value |= (digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 {
            let size = (value >> 1) as i64;
            *numbers.get_mut(len)? = if value & 1 == 1 { -size } else { size };
            len += 1;
            (value, shift) = (0, 0);
        }
    }
    (shift == 0 && matches!(len, 1 | 4 | 5)).then_some((numbers, len))
}

fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// The content of a `data:` URL; `None` if there is none in it, or it is broken.
pub(super) fn data_url(url: &str) -> Option<Vec<u8>> {
    let (kind, content) = url.strip_prefix("data:")?.split_once(',')?;
    if content.is_empty() {
        return None;
    }
    if !kind.ends_with(";base64") {
        return Some(super::place::decoded(content).into_bytes());
    }
    let mut bytes = Vec::with_capacity(content.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for byte in content.trim_end_matches('=').bytes() {
        bits = (bits << 6 | u32::from(base64_digit(byte)?)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// The URL of the last `sourceMappingURL` comment of a script.
pub(super) fn mapping_url(script: &[u8]) -> Option<&str> {
    const MARK: &[u8] = b"sourceMappingURL=";
    let at = memchr::memmem::rfind(script, MARK)?;
    let before = script[..at].trim_ascii_end();
    if !(before.ends_with(b"//#") || before.ends_with(b"//@") || before.ends_with(b"/*#")) {
        return None;
    }
    let rest = &script[at + MARK.len()..];
    let end = rest.iter().position(|&byte| byte.is_ascii_whitespace() || byte == b'*').unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok().filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"version":3,"file":"a.js","sourceRoot":"src/","sources":["a.ts",null,"b.ts"],
        "sourcesContent":["x\ny",null],"names":["n"],"mappings":"AAAA;IACIA,EAEK,IAAI;;AEHT"}"#;

    #[test]
    fn positions_are_found() {
        let map = SourceMap::parse(PLAIN.as_bytes()).unwrap();
        let at = |line, column| map.original(line, column).map(|o| (o.source.to_owned(), o.line, o.column));
        let of_a = |line, column| Some(("src/a.ts".to_owned(), line, column));
        assert_eq!(at(0, 0), of_a(0, 0));
        assert_eq!(at(0, 99), of_a(0, 0));
        assert_eq!(at(1, 3), None, "left of the first mapping");
        assert_eq!(at(1, 4), of_a(1, 4));
        assert_eq!(at(1, 7), of_a(3, 9));
        assert_eq!(at(2, 0), None, "no mapping in the line");
        assert_eq!(at(3, 5).unwrap().0, "src/b.ts");
        assert_eq!(at(9, 0), None);
        let guarded = format!(")]}}'\n{PLAIN}");
        assert_eq!(SourceMap::parse(guarded.as_bytes()).unwrap().mappings, map.mappings);
    }

    #[test]
    fn sections_are_put_together() {
        let text = format!(
            r#"{{"version":3,"sections":[{{"offset":{{"line":0,"column":10}},"map":{PLAIN}}},
            {{"offset":{{"line":100,"column":0}},"map":{{"version":3,"sources":["c.ts"],"mappings":"AACA"}}}},
            {{"offset":{{"line":200,"column":0}},"url":"later.map"}}]}}"#
        );
        let map = SourceMap::parse(text.as_bytes()).unwrap();
        assert_eq!(map.original(0, 5), None);
        assert_eq!(map.original(0, 10).unwrap().source, "src/a.ts");
        assert_eq!(map.original(1, 4).unwrap().line, 1, "an offset in columns is of the first line only");
        let c = map.original(100, 3).unwrap();
        assert_eq!((c.source, c.line), ("c.ts", 1));
    }

    #[test]
    fn what_is_no_map_gives_none() {
        let mappings = |text: &str| format!(r#"{{"version":3,"sources":["a"],"mappings":"{text}"}}"#);
        assert!(SourceMap::parse(mappings("AAAA").as_bytes()).is_some());
        // Nothing, half a number, a number too long, two numbers, no digit, a source that is not there, before the start.
        for bad in ["", ";;;", "g", "ggggggggA", "AA", "AAAAAA", "A!AA", "ACAA", "D", "AADA"] {
            assert!(SourceMap::parse(mappings(bad).as_bytes()).is_none(), "{bad}");
        }
        for bad in ["", "{", "[]", "null", "{}", ")]}'", r#"{"sections":[{}]}"#, r#"{"mappings":3}"#] {
            assert!(SourceMap::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        let far = r#"{"sections":[{"offset":{"line":4294967295,"column":0},"map":{"sources":["a"],"mappings":";AAAA"}}]}"#;
        assert!(SourceMap::parse(far.as_bytes()).is_none());
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut text = PLAIN.as_bytes().to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % text.len();
                text[at] = b"AZaz09+/gD,;\"{}[]:-1"[(seed >> 20) as usize % 20];
            }
            if let Some(map) = SourceMap::parse(&text) {
                map.original(1, 5);
            }
        }
    }

    #[test]
    fn urls_are_found_and_unpacked() {
        assert_eq!(mapping_url(b"x\n//# sourceMappingURL=a.js.map\n"), Some("a.js.map"));
        assert_eq!(mapping_url(b"x /*# sourceMappingURL=a.css.map */"), Some("a.css.map"));
        assert_eq!(mapping_url(b"//# sourceMappingURL=old\n//@ sourceMappingURL=new"), Some("new"));
        assert_eq!(mapping_url(b"let s = 'sourceMappingURL=x'"), None);
        assert_eq!(mapping_url(b"//# sourceMappingURL="), None);
        assert_eq!(
            data_url("data:application/json;charset=utf-8;base64,eyJhIjoxfQ==").unwrap(),
            br#"{"a":1}"#
        );
        assert_eq!(data_url("data:application/json,%7B%7D").unwrap(), b"{}");
        for bad in ["data:application/json;base64,", "data:;base64,a!", "a.map", "data:"] {
            assert_eq!(data_url(bad), None, "{bad}");
        }
    }
}
