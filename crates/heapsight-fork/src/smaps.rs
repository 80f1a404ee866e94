//! Which mappings a forked child would lack: those that `/proc/self/smaps` marks `dc` ("do not copy on fork").
//!
//! V8 marks its heap so (`MADV_DONTFORK`) since Node.js 18 or thereabouts. The file is read in pieces; the parser keeps
//! one line.

/// A range of addresses, its end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: usize,
    /// First address behind.
    pub end: usize,
}

/// Reads `smaps` piece by piece.
#[derive(Debug)]
pub struct Parser {
    line: [u8; 256],
    length: usize,
    mapping: Option<Range>,
}

impl Default for Parser {
    fn default() -> Self {
        Self { line: [0; 256], length: 0, mapping: None }
    }
}

impl Parser {
    /// Takes the next piece of the file and hands out each private mapping that a child would not have.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(Range)) {
        for &byte in piece {
            if byte != b'\n' {
                // Longer lines are paths of mapped files; their beginning is what counts.
                if let Some(slot) = self.line.get_mut(self.length) {
                    *slot = byte;
                    self.length += 1;
                }
                continue;
            }
            let line = self.line.get(..self.length).unwrap_or(&[]);
            if let Some(flags) = line.strip_prefix(b"VmFlags:") {
                let has = |flag: &[u8]| flags.split(|&b| b == b' ').any(|f| f == flag);
                // Device memory keeps its mark: `io` and `pf` are ranges that the kernel would refuse to change.
                if let Some(mapping) = self.mapping.take()
                    && has(b"dc")
                    && !has(b"io")
                    && !has(b"pf")
                {
                    found(mapping);
                }
            } else if let Some((range, private)) = mapping(line) {
                self.mapping = private.then_some(range);
            }
            self.length = 0;
        }
    }
}

/// The range of a line that begins a mapping, and whether it is private; nothing for any other line.
fn mapping(line: &[u8]) -> Option<(Range, bool)> {
    let (start, rest) = hexadecimal(line)?;
    let (end, rest) = hexadecimal(rest.strip_prefix(b"-")?)?;
    let permissions = rest.strip_prefix(b" ")?;
    Some((Range { start, end }, permissions.get(3) == Some(&b'p')))
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

    fn ranges(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<Range> {
        let mut parser = Parser::default();
        let mut ranges = Vec::new();
        pieces.for_each(|piece| parser.feed(&piece, |range| ranges.push(range)));
        ranges
    }

    #[test]
    fn private_mappings_that_are_not_copied_are_found_however_the_file_is_cut() {
        let expected = [
            Range { start: 0x1e00_0000_0000, end: 0x1e00_0004_0000 },
            Range { start: 0xffff_ffff_ff60_0000, end: 0xffff_ffff_ff60_1000 },
        ];
        for size in [1, 2, 7, 64, 4096] {
            assert_eq!(ranges(TEXT.as_bytes().chunks(size).map(Vec::from)), expected, "pieces of {size}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_read() {
        let text = std::format!("7f00-7f10 rw-p 0 0:0 0 /{}\nVmFlags: dc\n", "x".repeat(5000));
        assert_eq!(ranges([text.into_bytes()].into_iter()), [Range { start: 0x7f00, end: 0x7f10 }]);
    }
}
