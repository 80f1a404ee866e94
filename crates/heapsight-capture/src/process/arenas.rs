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

/// A part of the main arena that is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Bytes in use; not all of them need be resident.
    pub(super) used: u64,
    /// Resident bytes of it.
    pub(super) resident: u64,
}

/// How large a piece is at least: the allocator takes so much more than it needs (`M_TOP_PAD`), older ones 1 MiB in all.
const PIECE: u64 = 128 << 10;

/// Bits of a size that are no size: previous in use, mapped, not of the main arena.
const IN_USE: u64 = 1;
/// How large a span of a thread's arena may become, and how it is aligned (`HEAP_MAX_SIZE` on machines of 64 bits).
pub(super) const HEAP: u64 = 64 << 20;

/// Of the system. Where pages are larger nothing is found between them.
const PAGE: u64 = 4096;
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

/// Spans of threads' arenas that the kernel shows as one mapping with their neighbours: full ones that lie side by side, and
/// what is mapped right below one. Each tells itself, by the record that it begins with.
pub(super) fn merged(pid: u32, blocks: &[Span]) -> Vec<Span> {
    let (Ok(memory), Ok(pagemap)) =
        (File::open(procfs::path(pid, "mem")), File::open(procfs::path(pid, "pagemap")))
    else {
        return Vec::new();
    };
    let read = |buffer: &mut [u8], at: u64| memory.read_at(buffer, at);
    let mut all = Vec::new();
    for block in blocks.iter().filter(|block| block.resident > 0) {
        let found = merged_in(&read, block);
        if let Some(resident) =
            Some(&found).filter(|f| !f.is_empty()).and_then(|_| Resident::of(&pagemap, block))
        {
            all.extend(
                found.into_iter().map(|span| Span { resident: resident.bytes(span.start, span.end), ..span }),
            );
        }
    }
    all
}

fn merged_in(read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>, block: &Span) -> Vec<Span> {
    let mut at = block.start.next_multiple_of(HEAP);
    let mut spans = Vec::new();
    while at < block.end {
        if let Some(end) = record(read, at).filter(|end| *end <= block.end) {
            spans.push(Span { start: at, end, resident: 0, is_main: false });
        }
        at += HEAP;
    }
    spans
}

/// The end of the span that begins here, from its record: its arena, the span before it, its size, the size that it had
/// at most (`heap_info`).
fn record(read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>, at: u64) -> Option<u64> {
    let mut record = [0; 32];
    if read(&mut record, at).ok()? < record.len() {
        return None;
    }
    let word = |from: usize| u64::from_le_bytes(record[from..from + 8].try_into().unwrap_or_default());
    let (arena, before, size, most) = (word(0), word(8), word(16), word(24));
    let is_size = |size: u64| size > 0 && size <= HEAP && size.is_multiple_of(PAGE);
    // The arena's own record stands in its first span, right behind the one of the span.
    let is_arena = arena > HEAP && arena.is_multiple_of(ALIGNMENT) && (0x20..PAGE).contains(&(arena % HEAP));
    (is_arena && before.is_multiple_of(HEAP) && is_size(size) && is_size(most) && size <= most)
        .then(|| at + size)
}

/// The pieces of the main arena among other mappings; empty where it could grow in its own place, or where nothing can be
/// said. Reads the first words of each resident page that belongs to no block, and what is in the pieces.
pub(super) fn pieces(pid: u32, main: Option<&Span>, others: &[Span]) -> Vec<Piece> {
    let (Ok(memory), Ok(pagemap)) =
        (File::open(procfs::path(pid, "mem")), File::open(procfs::path(pid, "pagemap")))
    else {
        return Vec::new();
    };
    let read = |buffer: &mut [u8], at: u64| memory.read_at(buffer, at);
    if main.is_none_or(|main| !is_closed(&read, main)) {
        return Vec::new();
    }
    let mut all = Vec::new();
    for span in others.iter().filter(|span| span.resident >= PIECE / 4) {
        let Some(resident) = Resident::of(&pagemap, span) else { continue };
        let mut found = pieces_of(&read, span, &|page| resident.has(page));
        for piece in &mut found {
            piece.resident = resident.bytes(piece.start, piece.end);
        }
        all.append(&mut found);
    }
    all
}

/// Whether a span ends with the post that is set where an arena goes on elsewhere.
fn is_closed(read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>, span: &Span) -> bool {
    let mut post = [0; 2 * ALIGNMENT as usize];
    let at = span.end.saturating_sub(2 * ALIGNMENT);
    let Ok(length) = read(&mut post, at) else { return false };
    let size = |from: usize| {
        post.get(from..from + 8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
    };
    let is_post = |from| size(from).is_some_and(|size| size & !IN_USE == ALIGNMENT);
    length == post.len() && is_post(8) && is_post(24)
}

/// Pieces in one mapping. Chunks that are mappings of their own say how long they are; of what else is there, every page
/// may be the beginning of a piece.
fn pieces_of(
    read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>,
    span: &Span,
    is_resident: &dyn Fn(u64) -> bool,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = span.start;
    while at < span.end {
        let mut header = [0; 16];
        let known = is_resident(at) && read(&mut header, at).is_ok_and(|length| length == header.len());
        let [_, size] = [0, 8].map(|from| {
            header
                .get(from..from + 8)
                .map_or(0, |word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        });
        let length = size & !(ALIGNMENT - 1);
        let fits = at.checked_add(length).is_some_and(|end| end <= span.end);
        if known && size & (ALIGNMENT - 1) == MAPPED && length >= PAGE && length.is_multiple_of(PAGE) && fits
        {
            at += length;
            continue;
        }
        if known
            && size & (ALIGNMENT - 1) == IN_USE
            && fits
            && let Some((end, used)) = walk_piece(read, at, span.end)
        {
            pieces.push(Piece { start: at, end, used, resident: 0 });
            at = end;
            continue;
        }
        at += PAGE;
    }
    pieces
}

/// Follows the chunks of a piece, and of those that follow it at once; gives their end and what is in use. One ends with a
/// post, or with the arena's top, behind which a page begins that is none of its.
fn walk_piece(
    read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>,
    start: u64,
    limit: u64,
) -> Option<(u64, u64)> {
    let mut window = Window { read, bytes: Vec::new(), start: 0 };
    let (mut at, mut used, mut last) = (start, 0u64, 0u64);
    while at < limit {
        let size = window.word(at + 8)?;
        let length = size & !(ALIGNMENT - 1);
        let is_own =
            size & (NOT_MAIN | MAPPED | 8) == 0 && at.checked_add(length).is_some_and(|next| next <= limit);
        if is_own && length == ALIGNMENT {
            let second = window.word(at + ALIGNMENT + 8)?;
            at += 2 * ALIGNMENT;
            if second & !IN_USE != ALIGNMENT || !at.is_multiple_of(PAGE) {
                return None;
            }
            used += if size & IN_USE == 0 { 0 } else { last };
            last = 0;
            continue;
        }
        if !is_own || length < 2 * ALIGNMENT {
            if !at.is_multiple_of(PAGE) {
                return None;
            }
            // What came last was a post, or the top, which is free.
            break;
        }
        if size & IN_USE != 0 {
            used += last;
        }
        last = length;
        at += length;
    }
    (at - start >= PIECE).then_some((at, used))
}

/// Which pages of a mapping are resident.
struct Resident {
    start: u64,
    pages: Vec<bool>,
}

impl Resident {
    fn of(pagemap: &File, span: &Span) -> Option<Self> {
        const PRESENT: u8 = 0x80;
        let pages = usize::try_from(span.end.checked_sub(span.start)? / PAGE).ok()?;
        let mut entries = vec![0; pages.checked_mul(8)?];
        pagemap.read_exact_at(&mut entries, span.start / PAGE * 8).ok()?;
        Some(Self {
            start: span.start,
            pages: entries.chunks_exact(8).map(|entry| entry[7] & PRESENT != 0).collect(),
        })
    }

    fn has(&self, address: u64) -> bool {
        let page = address.checked_sub(self.start).and_then(|offset| usize::try_from(offset / PAGE).ok());
        page.and_then(|page| self.pages.get(page)).is_some_and(|present| *present)
    }

    fn bytes(&self, start: u64, end: u64) -> u64 {
        (start..end).step_by(PAGE as usize).filter(|&page| self.has(page)).count() as u64 * PAGE
    }
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

    /// A mapping in which pages are found.
    fn found(bytes: &[u8]) -> Vec<(u64, u64, u64)> {
        let read = |buffer: &mut [u8], at: u64| {
            let from = &bytes[((at - BASE) as usize).min(bytes.len())..];
            let length = from.len().min(buffer.len());
            buffer[..length].copy_from_slice(&from[..length]);
            Ok(length)
        };
        let end = BASE + bytes.len() as u64;
        let span = Span { start: BASE, end, resident: end - BASE, is_main: false };
        let pieces = pieces_of(&read, &span, &|_| true);
        pieces.into_iter().map(|piece| (piece.start - BASE, piece.end - BASE, piece.used)).collect()
    }

    #[test]
    fn spans_that_lie_side_by_side_are_told_apart() {
        let records =
            |arena: u64, before: u64, size: u64| [arena, before, size, size].map(u64::to_le_bytes).concat();
        let at = 5 * HEAP;
        let whole = [records(at + 0x30, 0, HEAP), records(at + 0x30, at, 0x21000), records(7, 8, 9)];
        let read = |buffer: &mut [u8], from: u64| {
            let record = whole.get(((from - at) / HEAP) as usize).filter(|_| from.is_multiple_of(HEAP));
            let record = record.map_or(&[][..], |record| record);
            buffer[..record.len()].copy_from_slice(record);
            Ok(record.len())
        };
        let block = Span { start: at - 0x5000, end: at + 3 * HEAP, resident: 1, is_main: false };
        let spans: Vec<(u64, u64)> =
            merged_in(&read, &block).iter().map(|span| (span.start, span.end)).collect();
        assert_eq!(spans, [(at, at + HEAP), (at + HEAP, at + HEAP + 0x21000)]);
        // What it says does not fit in.
        let short = Span { end: at + HEAP / 2, ..block };
        assert_eq!(merged_in(&read, &short).len(), 0);
    }

    #[test]
    fn pieces_of_the_main_arena_are_found_among_blocks() {
        let block = |pages: usize| {
            let mut bytes = vec![0xff; pages * PAGE as usize];
            bytes[..16].fill(0);
            bytes[8..16].copy_from_slice(&((pages as u64 * PAGE) | MAPPED).to_le_bytes());
            bytes
        };
        let post = |in_use: bool| {
            let mut bytes = vec![0; 32];
            bytes[8..16].copy_from_slice(&(ALIGNMENT | u64::from(in_use)).to_le_bytes());
            bytes[24..].copy_from_slice(&(ALIGNMENT | IN_USE).to_le_bytes());
            bytes
        };
        // The newest, which has the top; a block; something else; two older ones, which end with a post; a block.
        let mut bytes =
            arena(0, 0, &[(0x10_0000, false), (0x4_0000, true), (0x2_0000, false), (0xa_0000, true)]);
        let first = bytes.len() as u64;
        bytes.extend(block(80));
        bytes.extend([7; 3 * PAGE as usize]);
        let second = bytes.len() as u64;
        let mut older = arena(0, 0, &[(0x8_0000, false), (0x8_0000, true), (0x1_0000 - 32, false)]);
        older.extend(post(true));
        bytes.extend(&older);
        bytes.extend(&older);
        let end = bytes.len() as u64;
        bytes.extend(block(40));
        let expected = [(0, first, 0x12_0000), (second, end, 2 * (0x9_0000 - 32))];
        assert_eq!(found(&bytes), expected);
        // What is smaller, or does not end with a page, is none.
        assert_eq!(found(&arena(0, 0, &[(0x1_0000, false), (0x0_f000, true)])), []);
        let mut odd = arena(0, 0, &[(0x10_0000, false), (0x100, true)]);
        odd.resize(0x10_1000, 0);
        assert_eq!(found(&odd), []);
        assert_eq!(found(&[0; 0x4000]), []);
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
