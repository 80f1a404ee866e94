//! How much of glibc's arenas is in use: a walk over the headers of their chunks, in the memory of another process.
//!
//! An arena is chunk after chunk. The size of a chunk stands in front of it, and its lowest bit says whether the chunk
//! before is in use. What is free and still resident is what the allocator has not given back: fragmentation. Small chunks
//! that a thread keeps for itself (tcache, fast bins) count as in use; they are at most some 10 KiB a thread.
//!
//! Only read, never stopped: the program goes on meanwhile, so a walk may meet a chunk that is just being changed. Then it
//! begins again, and in the end says that it does not know.
//!
//! Source: glibc, `malloc/malloc.c` and `malloc/arena.c` (2.26 to 2.41).

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::procfs;

/// A mapping of an arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Resident bytes of it.
    pub(super) resident: u64,
    /// The one that grows by `brk`.
    pub(super) is_main: bool,
}

/// Bits of a size that are no size: previous in use, mapped, not of the main arena.
const IN_USE: u64 = 1;
const MAPPED: u64 = 2;
const NOT_MAIN: u64 = 4;
/// No such bit: chunks with or without the mark.
const ANY: u64 = 1 << 63;

/// Chunks are multiples of this, and no smaller than two of it.
const ALIGNMENT: u64 = 16;

/// How often a walk is tried.
const TRIES: u32 = 3;

/// Spans that are walked: the largest. The others have little.
const MOST_SPANS: usize = 64;

/// More than glibc's records at the beginning of a span.
const RECORDS: u64 = 0x1000;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// Bytes in use of the main arena, and of all others; `None` if the memory may not be read, or is not glibc's.
pub(super) fn in_use(pid: u32, spans: &[Span]) -> Option<(u64, u64)> {
    let memory = File::open(procfs::path(pid, "mem")).ok()?;
    let read = |buffer: &mut [u8], at: u64| memory.read_at(buffer, at);
    let mut order: Vec<&Span> = spans.iter().filter(|span| span.resident > 0).collect();
    order.sort_by_key(|span| (std::cmp::Reverse(span.resident), span.start));
    let (walked, rest) = order.split_at(order.len().min(MOST_SPANS));
    let (mut main, mut others) = (0, 0);
    for span in walked {
        let used = (0..TRIES).find_map(|_| span_in_use(&read, span))?;
        *(if span.is_main { &mut main } else { &mut others }) += used.min(span.resident);
    }
    // Of what is not walked nothing can be said: it counts as in use.
    Some((main, others + rest.iter().map(|span| span.resident).sum::<u64>()))
}

/// Bytes in use of one span.
fn span_in_use(read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>, span: &Span) -> Option<u64> {
    if span.is_main {
        // `brk` begins at a page; the first chunk's header at its first word.
        return walk(read, span.start, span.end, 0);
    }
    // A span begins with the records of glibc, whose sizes differ by version: the first place from which chunks follow
    // one another to the end is the right one. From a wrong one a walk ends after a few chunks.
    let mut first_word = [0; 8];
    if read(&mut first_word, span.start).ok()? < first_word.len() {
        return None;
    }
    // It points to the arena's own record: in another span, if this one was added to it when that was full. Then there
    // is no such record here, and the first chunk may be a free one, which does not carry the mark.
    let is_added = !(span.start..span.end).contains(&u64::from_le_bytes(first_word));
    let (records, mark) = if is_added { (0x50, ANY) } else { (RECORDS, NOT_MAIN) };
    (0x20..records)
        .step_by(ALIGNMENT as usize)
        .find_map(|offset| walk(read, span.start + offset, span.end, mark))
}

/// Follows the chunks from a place to the end of a span.
fn walk(read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>, start: u64, end: u64, arena: u64) -> Option<u64> {
    let mut window = Window { read, bytes: Vec::new(), start: 0 };
    let (mut at, mut used, mut last) = (start, 0u64, 0u64);
    let mut chunks = 0u64;
    while at + ALIGNMENT <= end {
        let size = window.word(at + 8)?;
        let length = size & !(ALIGNMENT - 1);
        if length == 0 && chunks > 0 {
            // Beyond the top: nothing was ever here.
            break;
        }
        if length == ALIGNMENT && end - at == 2 * ALIGNMENT && chunks > 0 {
            // A span that was full when its arena got another one ends with a post that keeps chunks from growing over it.
            used += if size & IN_USE == 0 { 0 } else { last };
            return Some(used);
        }
        // Free chunks of a thread's arena do not carry its mark; the first one, which is in use, does.
        let foreign = arena != ANY && size & NOT_MAIN != arena && (arena == 0 || chunks == 0);
        let wrong = foreign || size & MAPPED != 0 || size & 8 != 0;
        if wrong || length < 2 * ALIGNMENT || at.checked_add(length).is_none_or(|next| next > end) {
            return None;
        }
        // This bit is about the chunk before.
        if size & IN_USE != 0 {
            used += last;
        }
        last = length;
        at += length;
        chunks += 1;
    }
    // The last chunk is the top, which is free.
    (chunks > 1).then_some(used)
}

/// A part of the memory that was read.
struct Window<'r> {
    read: &'r dyn Fn(&mut [u8], u64) -> io::Result<usize>,
    bytes: Vec<u8>,
    start: u64,
}

impl Window<'_> {
    /// The number at an address.
    fn word(&mut self, at: u64) -> Option<u64> {
        let inside = |window: &Self| {
            let offset = usize::try_from(at.checked_sub(window.start)?).ok()?;
            Some(u64::from_le_bytes(window.bytes.get(offset..offset + 8)?.try_into().ok()?))
        };
        if let Some(word) = inside(self) {
            return Some(word);
        }
        self.bytes.resize(BLOCK, 0);
        let length = (self.read)(&mut self.bytes, at).ok()?;
        self.bytes.truncate(length);
        self.start = at;
        inside(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x10_0000;

    /// An arena at an address: the sizes of its chunks, the last of which is the top, and which of them are free.
    fn arena(offset: u64, arena: u64, chunks: &[(u64, bool)]) -> Vec<u8> {
        let mut bytes = vec![0u8; offset as usize];
        if offset > 0 {
            // The arena's record is in the same span, or elsewhere if there is no room for it.
            let record = if offset > 0x50 { BASE + 0x30 } else { BASE / 2 };
            bytes[..8].copy_from_slice(&record.to_le_bytes());
        }
        let mut before_in_use = true;
        for &(size, is_free) in chunks {
            let at = bytes.len();
            bytes.resize(at + size as usize, 0xff);
            let header = size | arena | u64::from(before_in_use);
            bytes[at + 8..at + 16].copy_from_slice(&header.to_le_bytes());
            before_in_use = !is_free;
        }
        bytes
    }

    fn used(bytes: &[u8], is_main: bool) -> Option<u64> {
        let read = |buffer: &mut [u8], at: u64| {
            let from = &bytes[((at - BASE) as usize).min(bytes.len())..];
            let length = from.len().min(buffer.len());
            buffer[..length].copy_from_slice(&from[..length]);
            Ok(length)
        };
        let end = BASE + bytes.len() as u64;
        span_in_use(&read, &Span { start: BASE, end, resident: end - BASE, is_main })
    }

    #[test]
    fn what_is_in_use_is_counted() {
        let chunks = [(0x290, false), (0x40, true), (0x30, false), (0x2_0000, false), (0x1000, true)];
        assert_eq!(used(&arena(0, 0, &chunks), true), Some(0x290 + 0x30 + 0x2_0000));
        // Behind the records of a thread's arena.
        assert_eq!(used(&arena(0x8d0, NOT_MAIN, &chunks), false), Some(0x290 + 0x30 + 0x2_0000));
    }

    #[test]
    fn a_span_that_was_added_may_begin_with_a_free_chunk() {
        let mut bytes = arena(0x30, 0, &[(0x290, true), (0x4000, false), (0x1000, true)]);
        assert_eq!(used(&bytes, false), Some(0x4000));
        bytes[..8].copy_from_slice(&(BASE + 0x30).to_le_bytes());
        assert_eq!(used(&bytes, false), None);
    }

    #[test]
    fn a_full_span_ends_with_a_post() {
        for (is_free, expected) in [(true, 0x290), (false, 0x290 + 0x4000)] {
            let mut bytes = arena(0x30, NOT_MAIN, &[(0x290, false), (0x4000, is_free)]);
            bytes.extend([0; 8]);
            bytes.extend((ALIGNMENT | u64::from(!is_free)).to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(IN_USE.to_le_bytes());
            assert_eq!(used(&bytes, false), Some(expected));
        }
    }

    #[test]
    fn what_is_no_arena_is_not_known() {
        assert_eq!(used(&[0xff; 4096], true), None);
        assert_eq!(used(&[0; 4096], true), None);
        assert_eq!(used(&[], true), None);
        let mut cut = arena(0, 0, &[(0x290, false), (0x4000, false), (0x100, true)]);
        cut.truncate(0x1000);
        assert_eq!(used(&cut, true), None);
    }
}
