//! Which mappings a forked child would lack: those that V8 has marked "do not copy on fork" (`MADV_DONTFORK`), which are
//! its heap.
//!
//! `/proc/self/smaps` says it (`dc`), but the kernel counts every page of the process to write it: as long as the fork
//! itself takes. `/proc/self/maps` is written at once and does not say it. So who captures reads `smaps` beforehand, from
//! outside, and what it found is compared with `maps` at the fork ([`Known`]); without that, `smaps` is read here.

/// A range of addresses, its end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: usize,
    /// First address behind.
    pub end: usize,
}

/// Cuts a file that is read in pieces into lines. Of long lines, which are paths of mapped files, only the beginning is
/// kept.
#[derive(Debug)]
pub struct Lines {
    line: [u8; 256],
    length: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { line: [0; 256], length: 0 }
    }
}

impl Lines {
    /// Takes the next piece and hands out the lines that it completes.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(&[u8])) {
        for &byte in piece {
            if byte == b'\n' {
                found(self.line.get(..self.length).unwrap_or(&[]));
                self.length = 0;
            } else if let Some(slot) = self.line.get_mut(self.length) {
                *slot = byte;
                self.length += 1;
            }
        }
    }
}

/// Reads the lines of `smaps`.
#[derive(Debug, Default)]
pub struct Marked {
    mapping: Option<Range>,
}

impl Marked {
    /// Takes the next line; the range that a child would lack, where the line says so of one.
    pub fn line(&mut self, line: &[u8]) -> Option<Range> {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            let has = |flag: &[u8]| flags.split(|&b| b == b' ').any(|f| f == flag);
            let mapping = self.mapping.take()?;
            // Device memory keeps its mark: `io` and `pf` are ranges that the kernel would refuse to change.
            return (has(b"dc") && !has(b"io") && !has(b"pf")).then_some(mapping);
        }
        if let Some(mapping) = Mapping::parse(line) {
            self.mapping = mapping.private.then_some(mapping.range);
        }
        None
    }
}

/// A line of `maps`, or the first of a mapping in `smaps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it is.
    pub range: Range,
    /// Whether changes are the process's own.
    pub private: bool,
    /// Whether there is no file behind it.
    pub anonymous: bool,
}

impl Mapping {
    /// Nothing if this is another line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let (start, rest) = hexadecimal(line)?;
        let (end, rest) = hexadecimal(rest.strip_prefix(b"-")?)?;
        let mut fields = rest.strip_prefix(b" ")?.split(|&b| b == b' ');
        let private = fields.next()?.get(3) == Some(&b'p');
        // After offset and device.
        let anonymous = fields.nth(2) == Some(b"0");
        Some(Self { range: Range { start, end }, private, anonymous })
    }
}

/// The ranges that were marked a moment ago, in order: by turns the number of 4 KiB pages since the end of the last, and
/// the number of its pages.
#[derive(Debug)]
pub struct Known<'a> {
    pages: &'a [f64],
    current: Range,
}

impl<'a> Known<'a> {
    /// From numbers as above.
    pub fn new(pages: &'a [f64]) -> Self {
        Self { pages, current: Range { start: 0, end: 0 } }
    }

    /// What of `range` was marked. Ranges must be asked for in order.
    pub fn within(&mut self, range: Range, mut found: impl FnMut(Range)) {
        const PAGE: usize = 4096;
        loop {
            let Range { start, end } = self.current;
            if start.max(range.start) < end.min(range.end) {
                found(Range { start: start.max(range.start), end: end.min(range.end) });
            }
            if end >= range.end {
                return; // and goes on with the same for the next
            }
            let [gap, length, rest @ ..] = self.pages else { return };
            self.pages = rest;
            let start = end.saturating_add((*gap as usize).saturating_mul(PAGE));
            self.current =
                Range { start, end: start.saturating_add((*length as usize).saturating_mul(PAGE)) };
        }
    }
}

fn hexadecimal(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(text.len());
    if digits == 0 || digits > 16 {
        return None;
    }
    let (number, rest) = text.split_at_checked(digits)?;
    let value = number.iter().fold(0_usize, |value, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            _ => (b | 0x20) - b'a' + 10,
        };
        value << 4 | digit as usize
    });
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TEXT: &str = "\
00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/a place with dc in it
Size:                328 kB
VmFlags: rd ex mr mw me
1e0000000000-1e0000040000 rw-p 00000000 00:00 0
Size:                256 kB
Rss:                 256 kB
VmFlags: rd wr mr mw me dc nr
1e0000040000-1e0000080000 rw-s 00000000 00:00 0
VmFlags: rd wr sh mr mw me dc
1e0000080000-1e00000c0000 rw-p 00000000 00:00 0
VmFlags: rd wr io dc
ffffffffff600000-ffffffffff601000 ---p 00000000 00:00 0 [vsyscall]
VmFlags: dc
";

    fn range(start: usize, end: usize) -> Range {
        Range { start, end }
    }

    fn marked(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<Range> {
        let (mut lines, mut marked) = (Lines::default(), Marked::default());
        let mut ranges = Vec::new();
        pieces.for_each(|piece| lines.feed(&piece, |line| ranges.extend(marked.line(line))));
        ranges
    }

    #[test]
    fn private_mappings_that_are_not_copied_are_found_however_the_file_is_cut() {
        let expected =
            [range(0x1e00_0000_0000, 0x1e00_0004_0000), range(0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000)];
        for size in [1, 2, 7, 64, 4096] {
            assert_eq!(marked(TEXT.as_bytes().chunks(size).map(Vec::from)), expected, "pieces of {size}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_read() {
        let text = std::format!("7f00-7f10 rw-p 0 0:0 0 /{}\nVmFlags: dc\n", "x".repeat(5000));
        assert_eq!(marked([text.into_bytes()].into_iter()), [range(0x7f00, 0x7f10)]);
    }

    #[test]
    fn mappings_say_whether_they_are_private_and_whether_there_is_a_file() {
        let parsed: Vec<Mapping> = TEXT.lines().filter_map(|line| Mapping::parse(line.as_bytes())).collect();
        let kinds: Vec<(bool, bool)> =
            parsed.iter().map(|mapping| (mapping.private, mapping.anonymous)).collect();
        assert_eq!(kinds, [(true, false), (true, true), (false, true), (true, true), (true, true)]);
    }

    #[test]
    fn known_ranges_are_cut_to_the_mappings_of_now() {
        const PAGE: usize = 4096;
        // Pages 2 to 4, 4 to 6 (adjacent), 10 to 20.
        let pages = [2.0, 2.0, 0.0, 2.0, 4.0, 10.0];
        let mut known = Known::new(&pages);
        let mut seen = Vec::new();
        // Grown, split, split again, unknown, shrunken, unknown.
        for (start, end) in [(1, 3), (3, 5), (5, 8), (8, 9), (9, 12), (12, 13), (15, 30), (40, 50)] {
            known.within(range(start * PAGE, end * PAGE), |found| {
                seen.push((found.start / PAGE, found.end / PAGE));
            });
        }
        assert_eq!(seen, [(2, 3), (3, 4), (4, 5), (5, 6), (10, 12), (12, 13), (15, 20)]);
    }
}
