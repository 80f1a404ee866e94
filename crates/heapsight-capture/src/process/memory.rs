//! What the resident memory of a process consists of, as `/proc/PID/smaps` tells it, and how much of glibc's arenas is
//! in use, as the allocator's own headers tell it.
//!
//! Each mapping belongs to one part. V8's heap is told as [`super::runtime::heap_bytes`] does; stacks by the guard below
//! them; arenas by where glibc puts them. What is left of anonymous memory are single large blocks of the allocator,
//! which it gives back to the system when they are freed, and what the program maps itself.

use super::{Runtime, arenas, executable::Kind, procfs, runtime};
use crate::error::Result;

/// Resident bytes of a process by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub rss: u64,
    /// Pages that are in the swap.
    pub swapped: u64,
    /// V8's heaps, all isolates together, machine code left out.
    pub js_heap: u64,
    /// Machine code that V8 has made: anonymous and executable.
    pub code: u64,
    /// The allocator's arenas: `[heap]`, and the blocks of 64 MiB that glibc gives to threads.
    pub arenas: u64,
    /// How many arenas there are besides the main one.
    pub extra_arenas: u32,
    /// Other anonymous memory: large blocks of the allocator, buffers.
    pub large_blocks: u64,
    /// Stacks of threads.
    pub stacks: u64,
    /// How many stacks were seen.
    pub stack_count: u32,
    /// Mapped files: the executable, libraries, others.
    pub files: u64,
    /// Shared memory.
    pub shared: u64,
    /// Bytes of the arenas that are in use; `None` where that cannot be told.
    pub arenas_in_use: Option<u64>,
    /// Bytes that are free in arenas other than the main one; `None` where that cannot be told.
    pub extra_arenas_free: Option<u64>,
}

impl Memory {
    /// What looked like large blocks is of arenas.
    fn move_to_arenas(&mut self, bytes: u64) {
        let bytes = bytes.min(self.large_blocks);
        self.large_blocks -= bytes;
        self.arenas += bytes;
    }
}

/// What a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Heap,
    Code,
    MainArena,
    Arena,
    Large,
    Stack,
    File,
    Shared,
}

/// A mapping with what counts of it.
#[derive(Clone, Debug)]
struct Mapping {
    start: u64,
    end: u64,
    rights: [u8; 4],
    path: String,
    anonymous: bool,
    rss: u64,
    swap: u64,
    excluded: bool,
    grows: bool,
}

impl Mapping {
    fn is_guard(&self) -> bool {
        self.rights[..3] == *b"---"
    }
}

/// Looks at the memory of a process.
///
/// # Errors
/// [`crate::Kind::Permission`] for a process of another user, [`crate::Kind::NotFound`].
pub fn memory(pid: u32, runtime: &Runtime) -> Result<Memory> {
    let text = procfs::text(pid, "smaps")?;
    let by_alignment = runtime.kind == Kind::Node;
    let mappings = mappings(&text);
    let (mut memory, mut arenas, blocks) = parts(&mappings, by_alignment);
    let merged = arenas::merged(pid, &blocks);
    memory.extra_arenas += u32::try_from(merged.len()).unwrap_or(u32::MAX);
    memory.move_to_arenas(merged.iter().map(|span| span.resident).sum());
    arenas.extend(merged);
    if let Some((main, others)) = arenas::in_use(pid, &arenas) {
        let main_span = arenas.iter().find(|span| span.is_main);
        let pieces = arenas::pieces(pid, main_span, &blocks);
        memory.move_to_arenas(pieces.iter().map(|piece| piece.resident).sum());
        let main = main + pieces.iter().map(|piece| piece.used.min(piece.resident)).sum::<u64>();
        memory.arenas_in_use = Some(main + others);
        let resident: u64 = arenas.iter().filter(|span| !span.is_main).map(|span| span.resident).sum();
        memory.extra_arenas_free = Some(resident.saturating_sub(others));
    }
    Ok(memory)
}

/// Reads the text of `smaps`. What is no number counts as 0.
fn mappings(text: &str) -> Vec<Mapping> {
    let mut out: Vec<Mapping> = Vec::new();
    let kib = |value: &str| {
        value.trim().strip_suffix("kB").and_then(|v| v.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    for line in text.lines() {
        if let Some(last) = out.last_mut() {
            if let Some(value) = line.strip_prefix("Rss:") {
                last.rss = kib(value);
                continue;
            }
            if let Some(value) = line.strip_prefix("Swap:") {
                last.swap = kib(value);
                continue;
            }
            if let Some(flags) = line.strip_prefix("VmFlags:") {
                last.excluded = flags.split_ascii_whitespace().any(|flag| flag == "dc");
                last.grows = flags.split_ascii_whitespace().any(|flag| flag == "gd");
                continue;
            }
        }
        if let Some(mapping) = heading(line) {
            out.push(mapping);
        }
    }
    out
}

/// The first line of a mapping: `start-end rights offset device inode path`.
fn heading(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let rights: [u8; 4] = fields.next()?.as_bytes().try_into().ok()?;
    let inode = fields.nth(2)?;
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        rights,
        path: fields.collect::<Vec<_>>().join(" "),
        anonymous: inode == "0",
        rss: 0,
        swap: 0,
        excluded: false,
        grows: false,
    })
}

/// Sorts mappings into parts; also gives where the arenas are, and the large blocks.
fn parts(mappings: &[Mapping], by_alignment: bool) -> (Memory, Vec<arenas::Span>, Vec<arenas::Span>) {
    let mut memory = Memory::default();
    let (mut spans, mut blocks) = (Vec::new(), Vec::new());
    for (at, mapping) in mappings.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| mappings.get(at));
        let part = part(mapping, before, mappings.get(at + 1), by_alignment);
        memory.rss += mapping.rss;
        memory.swapped += mapping.swap;
        *match part {
            Part::Heap => &mut memory.js_heap,
            Part::Code => &mut memory.code,
            Part::MainArena | Part::Arena => &mut memory.arenas,
            Part::Large => &mut memory.large_blocks,
            Part::Stack => &mut memory.stacks,
            Part::File => &mut memory.files,
            Part::Shared => &mut memory.shared,
        } += mapping.rss;
        match part {
            Part::Stack => memory.stack_count += 1,
            Part::Arena => memory.extra_arenas += 1,
            _ => {}
        }
        let span = arenas::Span {
            start: mapping.start,
            end: mapping.end,
            resident: mapping.rss,
            is_main: part == Part::MainArena,
        };
        match part {
            Part::MainArena | Part::Arena => spans.push(span),
            Part::Large if mapping.rights[..2] == *b"rw" => blocks.push(span),
            _ => {}
        }
    }
    (memory, spans, blocks)
}

fn part(mapping: &Mapping, before: Option<&Mapping>, after: Option<&Mapping>, by_alignment: bool) -> Part {
    use arenas::HEAP as ARENA;
    match mapping.path.as_str() {
        "[heap]" => return Part::MainArena,
        "[stack]" => return Part::Stack,
        path if path.starts_with("/dev/shm/") || path.starts_with("/memfd:") || path.starts_with("/SYSV") => {
            return Part::Shared;
        }
        _ if mapping.rights[3] == b's' && mapping.anonymous => return Part::Shared,
        path if path.starts_with('/') => return Part::File,
        _ => {}
    }
    let executable = mapping.rights[2] == b'x';
    if mapping.excluded && !executable {
        return Part::Heap;
    }
    if executable {
        return Part::Code;
    }
    let touches = |end: Option<&Mapping>, guard_end: u64| {
        end.is_some_and(|other| other.is_guard() && other.anonymous && other.end == guard_end)
    };
    let size = mapping.end.saturating_sub(mapping.start);
    // An arena is aligned, and what it does not use yet stands behind it and allows nothing.
    let rest = after.filter(|other| other.is_guard() && other.start == mapping.end);
    let reserved = rest.map_or(mapping.end, |rest| rest.end);
    if mapping.start.is_multiple_of(ARENA) && reserved.checked_sub(mapping.start) == Some(ARENA) {
        return Part::Arena;
    }
    let follows_file = before.is_some_and(|other| other.path.starts_with('/') && other.end == mapping.start);
    if by_alignment && runtime::may_be_page(mapping.start) && !follows_file {
        return Part::Heap;
    }
    if mapping.grows || (touches(before, mapping.start) && (16 << 10..=16 << 20).contains(&size)) {
        return Part::Stack;
    }
    // The zeroed data of libraries is anonymous and follows their file.
    if follows_file {
        return Part::File;
    }
    Part::Large
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00401000 r--p 00000000 fe:00 99                                 /usr/bin/no de
Rss:                 400 kB
00401000-00402000 rw-p 00000000 00:00 0
Rss:                   4 kB
00500000-00600000 rw-p 00000000 00:00 0                                  [heap]
Rss:                1000 kB
Swap:                 12 kB
16d8e40000-16d9038000 rw-p 00000000 00:00 0
Rss:                2016 kB
VmFlags: rd wr mr mw me dc ac sd
16e0000000-16e0040000 rwxp 00000000 00:00 0
Rss:                  84 kB
VmFlags: rd wr mr mw me dc
7f0000000000-7f0000021000 rw-p 00000000 00:00 0
Rss:                 100 kB
VmFlags: rd wr mr mw me nr sd
7f0000021000-7f0004000000 ---p 00000000 00:00 0
7f0010000000-7f0010001000 ---p 00000000 00:00 0
7f0010001000-7f0010801000 rw-p 00000000 00:00 0
Rss:                  32 kB
7f0020000000-7f0030000000 rw-p 00000000 00:00 0
Rss:                9000 kB
7f0031000000-7f0031001000 rw-s 00000000 00:01 5                          /memfd:x (deleted)
Rss:                   4 kB
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
Rss:                  50 kB
VmFlags: rd wr mr mw me gd ac
rubbish
";

    #[test]
    fn every_mapping_is_one_part() {
        let (memory, spans, blocks) = parts(&mappings(SMAPS), false);
        let kib = |n: u64| n / 1024;
        assert_eq!(kib(memory.js_heap), 2016);
        assert_eq!(kib(memory.code), 84);
        assert_eq!((kib(memory.arenas), memory.extra_arenas), (1100, 1));
        assert_eq!((kib(memory.stacks), memory.stack_count), (82, 2));
        assert_eq!(kib(memory.large_blocks), 9000);
        assert_eq!((kib(memory.files), kib(memory.shared), kib(memory.swapped)), (404, 4, 12));
        assert_eq!((spans.len(), blocks.len()), (2, 1));
        // A page of V8 that another process would inherit is one all the same, and known by its address.
        let unmarked = SMAPS.replace("me dc ac sd", "me ac sd");
        assert_eq!(kib(parts(&mappings(&unmarked), true).0.js_heap), 2016);
        assert_eq!(kib(parts(&mappings(&unmarked), false).0.js_heap), 0);
        let sum = memory.js_heap
            + memory.code
            + memory.arenas
            + memory.stacks
            + memory.large_blocks
            + memory.files
            + memory.shared;
        assert_eq!(sum, memory.rss);
    }
}
