//! Which runtime an executable file is, by what its compiler put in: read, never run (a container's program must not be
//! run by root).
//!
//! Measured on Node.js 16 to 26, Deno 2, Bun 1 and Chromium 156. All of them but Bun carry V8's table of flags, so its
//! help text for one flag is the mark of V8. `"node.js/" NODE_VERSION` is the answer of Node's inspector to
//! `/json/version`, and is in all builds that have one, those of distributions too. Only read-only data is searched:
//! 12 MB of a Node.js, 25 MB of a Deno, 20 MB of a Chromium.

use std::{
    collections::HashMap,
    fs::File,
    io,
    ops::{ControlFlow, Range},
};

use memchr::memmem::Finder;

/// What an executable or library is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Build {
    /// Which runtime; `None` for what has no V8 (and is not Bun).
    pub kind: Option<Kind>,
    /// The version of the runtime: `20.20.2`.
    pub version: Option<String>,
    /// The version of V8 where it is told: `11.3.244.8-node.38`.
    pub v8_version: Option<String>,
    /// A program of its own with Node.js inside (single-executable application): it takes Node's options from
    /// `NODE_OPTIONS` only.
    pub single_executable: bool,
    /// `e_machine` of the ELF header: 62 is x86-64, 183 is aarch64.
    pub machine: u16,
}

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Node.js, under whatever name.
    Node,
    /// Deno, also as a compiled program.
    Deno,
    /// Bun, which has `JavaScriptCore` instead of V8.
    Bun,
    /// Chromium, Chrome, and programs that embed them.
    Chromium,
    /// Electron.
    Electron,
    /// Another program with V8.
    Embedder,
}

impl Kind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "Node.js",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
            Self::Chromium => "Chromium",
            Self::Electron => "Electron",
            Self::Embedder => "V8",
        }
    }
}

/// V8 does not fit in less; what is smaller is not read.
const SMALLEST: u64 = 4 << 20;
/// Bytes read at once: two reads and their searches stay in the processor's cache.
const CHUNK: usize = 256 << 10;
/// Longer than every mark with its version.
const OVERLAP: usize = 128;
/// At most this much of one file is searched.
const MOST: u64 = 512 << 20;

/// The marks of V8 and Bun, backwards: else Heapsight's own executable would have them and be taken for a runtime.
const V8_BACKWARDS: &[u8] = b")setybM ni( ecaps dlo eht fo ezis xam";
const BUN_BACKWARDS: &[u8] = b"v-nub/daolnwod/sesaeler/";

const NODE: &[u8] = b"node.js/v";
const V8_OF_NODE: &[u8] = b"-node.";
const V8_OF_ELECTRON: &[u8] = b"-electron.";
const V8_OF_DENO: &[u8] = b"-rusty";
const ELECTRON: &[u8] = b" Electron/";
const DENO: &[u8] = b"Deno/";
const CHROMIUM: &[u8] = b"DevToolsActivePort";
const SEA: &[u8] = b"NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:";

/// Turns a mark round, at run time.
fn forwards(mark: &'static [u8]) -> Vec<u8> {
    std::hint::black_box(mark).iter().rev().copied().collect()
}

/// Executables that were looked at already, by device and inode: a hundred workers of one program are read once.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    known: HashMap<(u64, u64, u64), Build>,
}

impl Cache {
    /// What a file is.
    pub(crate) fn build(&mut self, file: &File) -> io::Result<Build> {
        let meta = file.metadata()?;
        let key = identity(&meta);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let found = if meta.is_file() && meta.len() >= SMALLEST {
            build(file, meta.len())?
        } else {
            Build::default()
        };
        self.known.insert(key, found.clone());
        Ok(found)
    }
}

#[cfg(unix)]
fn identity(meta: &std::fs::Metadata) -> (u64, u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (meta.dev(), meta.ino(), meta.len())
}

#[cfg(not(unix))]
fn identity(meta: &std::fs::Metadata) -> (u64, u64, u64) {
    (0, 0, meta.len())
}

/// What a file is that nothing is known of.
fn build(file: &File, len: u64) -> io::Result<Build> {
    let elf = Elf::read(file, len)?;
    let Some(elf) = elf else { return Ok(Build::default()) };
    let none = Build { machine: elf.machine, ..Build::default() };
    // First, in one go, whether it is anything at all; most programs are not.
    let mut v8 = false;
    let mut bun = None;
    let (v8_mark, bun_mark) = (forwards(V8_BACKWARDS), forwards(BUN_BACKWARDS));
    let mut marks = Marks::new(&[&v8_mark, &bun_mark]);
    scan(file, &elf.data, |chunk| {
        marks.each(chunk, |mark, _, after| {
            if mark == v8_mark {
                v8 = true;
                return ControlFlow::Break(());
            }
            bun = bun.take().or_else(|| version(after));
            ControlFlow::Continue(())
        })
    })?;
    if !v8 {
        let kind = bun.is_some().then_some(Kind::Bun);
        return Ok(Build { kind, version: bun, ..none });
    }
    let found = Found::search(file, &elf.data)?;
    let version_of = |versions: &[String]| best(versions);
    let (kind, version) = if !found.electron.is_empty() || found.v8_of_electron.is_some() {
        (Kind::Electron, version_of(&found.electron))
    } else if found.chromium {
        (Kind::Chromium, chromium_version(file, &elf.data)?)
    } else if !found.node.is_empty() || found.v8_of_node.is_some() {
        (Kind::Node, version_of(&found.node))
    } else if !found.deno.is_empty() {
        (Kind::Deno, version_of(&found.deno))
    } else {
        (Kind::Embedder, None)
    };
    let v8_version = found.v8_of_node.or(found.v8_of_electron).or(found.v8_of_deno);
    Ok(Build {
        kind: Some(kind),
        version,
        v8_version,
        single_executable: kind == Kind::Node && found.single_executable,
        ..none
    })
}

/// What the second search finds.
#[derive(Default)]
struct Found {
    node: Vec<String>,
    deno: Vec<String>,
    electron: Vec<String>,
    v8_of_node: Option<String>,
    v8_of_electron: Option<String>,
    v8_of_deno: Option<String>,
    chromium: bool,
    single_executable: bool,
}

impl Found {
    fn search(file: &File, data: &[Range<u64>]) -> io::Result<Self> {
        let mut found = Self::default();
        let mut marks =
            Marks::new(&[NODE, V8_OF_NODE, V8_OF_ELECTRON, V8_OF_DENO, ELECTRON, DENO, CHROMIUM, SEA]);
        scan(file, data, |chunk| {
            marks.each(chunk, |mark, before, after| found.take(mark, before, after))?;
            // Only Node.js builds its V8 under this name; what follows in its 50 MB changes nothing.
            if !found.node.is_empty() && found.v8_of_node.is_some() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn take(&mut self, mark: &[u8], before: &[u8], after: &[u8]) -> ControlFlow<()> {
        match mark {
            NODE => self.node.extend(version(after)),
            DENO => self.deno.extend(version(after)),
            ELECTRON => self.electron.extend(version(after)),
            CHROMIUM => self.chromium = true,
            SEA => self.single_executable |= after.first() == Some(&b'1'),
            V8_OF_NODE => put(&mut self.v8_of_node, v8_version(before, mark, after)),
            V8_OF_ELECTRON => put(&mut self.v8_of_electron, v8_version(before, mark, after)),
            V8_OF_DENO => put(&mut self.v8_of_deno, v8_version(before, mark, &[])),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn put(place: &mut Option<String>, value: Option<String>) {
    if place.is_none() {
        *place = value;
    }
}

/// `1.2.3`, with the tag of a pre-release (`-pre`, `-nightly20250101abc`, `-rc.1`), at the beginning of a text.
fn version(text: &[u8]) -> Option<String> {
    let mut end = 0;
    for part in 0..3 {
        let digits = text[end..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 6 {
            return None;
        }
        end += digits;
        if part < 2 {
            if text.get(end) != Some(&b'.') {
                return None;
            }
            end += 1;
        }
    }
    let tag = &text[end..];
    // A fourth number makes it something else: an address, or a version of Chromium.
    if tag.first() == Some(&b'.') && tag.get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if ["-pre", "-nightly", "-rc.", "-alpha", "-beta", "-canary", "-test", "-v8-canary"]
        .iter()
        .any(|known| tag.starts_with(known.as_bytes()))
    {
        end += 1 + tag[1..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            .count()
            .min(60);
    }
    String::from_utf8(text[..end].to_vec()).ok()
}

/// `11.3.244.8-node.38` around its mark `-node.`.
fn v8_version(before: &[u8], mark: &[u8], after: &[u8]) -> Option<String> {
    let numbers = before.iter().rev().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let numbers = std::str::from_utf8(&before[before.len() - numbers..]).ok()?;
    let parts: Vec<&str> = numbers.split('.').collect();
    let sound = parts.len() == 4 && parts.iter().all(|p| !p.is_empty() && p.len() < 6);
    let tail = after.iter().take_while(|b| b.is_ascii_digit()).count().min(6);
    let tail = std::str::from_utf8(&after[..tail]).ok()?;
    sound.then(|| format!("{numbers}{}{tail}", String::from_utf8_lossy(mark)))
}

/// The version that is there most often, and of those the highest: programs also quote versions of others.
fn best(versions: &[String]) -> Option<String> {
    let times = |v: &String| versions.iter().filter(|other| *other == v).count();
    versions.iter().max_by_key(|v| (times(v), numbers(v))).cloned()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect()
}

/// The version of Chromium: a text of its own, `156.0.8078.79`, between two zero bytes.
fn chromium_version(file: &File, data: &[Range<u64>]) -> io::Result<Option<String>> {
    const MARK: &[u8] = b".0.";
    let mut versions = Vec::new();
    let mut marks = Marks::new(&[MARK]);
    scan(file, data, |chunk| {
        marks.each(chunk, |_, before, after| {
            let major = before.iter().rev().take_while(|b| b.is_ascii_digit()).count();
            let start = before.len() - major;
            let rest = after.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            let bounded =
                start.checked_sub(1).and_then(|at| before.get(at)) == Some(&0) && after.get(rest) == Some(&0);
            let text = [&before[start..], MARK, &after[..rest]].concat();
            let parts: Vec<&[u8]> = text.split(|b| *b == b'.').collect();
            let lengths = [2..=3, 1..=1, 3..=5, 1..=4];
            if bounded && parts.len() == 4 && parts.iter().zip(lengths).all(|(p, len)| len.contains(&p.len()))
            {
                versions.extend(String::from_utf8(text).ok());
            }
            ControlFlow::Continue(())
        })
    })?;
    Ok(best(&versions))
}

/// Texts that are searched for together.
struct Marks<'a> {
    finders: Vec<(&'a [u8], Finder<'a>)>,
}

impl<'a> Marks<'a> {
    fn new(marks: &[&'a [u8]]) -> Self {
        Self { finders: marks.iter().map(|mark| (*mark, Finder::new(*mark))).collect() }
    }

    /// Calls `hear` with each mark that begins in the first part of a chunk, and the texts before and after it.
    fn each(
        &mut self,
        chunk: &Chunk<'_>,
        mut hear: impl FnMut(&'a [u8], &[u8], &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (mark, finder) in &self.finders {
            let mark: &'a [u8] = mark;
            for at in finder.find_iter(chunk.bytes) {
                if chunk.own.contains(&at) {
                    let before = &chunk.bytes[at.saturating_sub(OVERLAP / 2)..at];
                    let after = &chunk.bytes[at + mark.len()..];
                    hear(mark, before, &after[..after.len().min(OVERLAP / 2)])?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// A part of a file with what is before and after it.
struct Chunk<'a> {
    bytes: &'a [u8],
    /// Where marks may begin, so that each is heard of once.
    own: Range<usize>,
}

/// Reads ranges of a file in chunks that overlap, until `hear` has had enough.
fn scan(
    file: &File,
    ranges: &[Range<u64>],
    mut hear: impl FnMut(&Chunk<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK + 2 * OVERLAP];
    let mut budget = MOST;
    for range in ranges {
        let mut at = range.start;
        while at < range.end && budget > 0 {
            let from = at.saturating_sub(OVERLAP as u64).max(range.start);
            let to = range.end.min(at + (CHUNK + OVERLAP) as u64);
            let want = &mut buffer[..(to - from) as usize];
            let got = read_at(file, want, from)?;
            let own = (at - from) as usize..((at - from) as usize + CHUNK).min(got);
            if own.is_empty() || hear(&Chunk { bytes: &want[..got], own }).is_break() {
                return Ok(());
            }
            at += CHUNK as u64;
            budget = budget.saturating_sub(CHUNK as u64);
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset) {
            Ok(0) => break,
            Ok(n) => {
                got += n;
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is needed of an ELF file: its machine and where its read-only data is.
struct Elf {
    machine: u16,
    data: Vec<Range<u64>>,
}

impl Elf {
    /// `None` for what is no 64-bit little-endian ELF file.
    fn read(file: &File, len: u64) -> io::Result<Option<Self>> {
        let mut header = [0; 64];
        if read_at(file, &mut header, 0)? < header.len() || !header.starts_with(b"\x7fELF\x02\x01") {
            return Ok(None);
        }
        let machine = u16_at(&header, 18);
        let mut data = sections(file, &header, len)?;
        if data.is_empty() {
            // Stripped of its section headers: all of it.
            data.push(0..len);
        }
        Ok(Some(Self { machine, data }))
    }
}

/// The sections `.rodata`, `.rodata.*` and `.lrodata`.
fn sections(file: &File, header: &[u8], len: u64) -> io::Result<Vec<Range<u64>>> {
    let (start, size, count, names) =
        (u64_at(header, 40), usize::from(u16_at(header, 58)), u16_at(header, 60), u16_at(header, 62));
    if size < 64 || count > 4096 || names >= count {
        return Ok(Vec::new());
    }
    if start >= len {
        return Ok(Vec::new());
    }
    let mut table = vec![0; size * usize::from(count)];
    if read_at(file, &mut table, start)? < table.len() {
        return Ok(Vec::new());
    }
    let range = |section: &[u8]| {
        let start = u64_at(section, 24).min(len);
        start..start.saturating_add(u64_at(section, 32)).min(len)
    };
    let Some(strings) = table.chunks_exact(size).nth(usize::from(names)).map(range) else {
        return Ok(Vec::new());
    };
    let mut text = vec![0; (strings.end - strings.start).min(1 << 20) as usize];
    let got = read_at(file, &mut text, strings.start)?;
    text.truncate(got);
    let name = |section: &[u8]| {
        let from = text.get(u32_at(section, 0) as usize..).unwrap_or_default();
        &from[..from.iter().position(|b| *b == 0).unwrap_or(from.len())]
    };
    // Type 8 (SHT_NOBITS) has no bytes in the file.
    let wanted = |section: &&[u8]| {
        let name = name(section);
        u32_at(section, 4) != 8
            && (name == b".rodata" || name.starts_with(b".rodata.") || name == b".lrodata")
    };
    Ok(table.chunks_exact(size).filter(wanted).map(range).collect())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A file that is an ELF file as far as its first bytes go, with texts in it.
    fn file(texts: &[(usize, &[u8])]) -> File {
        let mut bytes = vec![0_u8; SMALLEST as usize + 100];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 183;
        for (at, text) in texts {
            bytes[*at..at + text.len()].copy_from_slice(text);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    fn is(texts: &[(usize, &[u8])]) -> (Option<Kind>, Option<String>, Option<String>) {
        let build = Cache::default().build(&file(texts)).unwrap();
        assert_eq!(build.machine, 183);
        (build.kind, build.version, build.v8_version)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn marks_across_the_borders_of_chunks_are_found_once() {
        for at in [1000, CHUNK - 10, CHUNK - 1, CHUNK, 2 * CHUNK - 5, SMALLEST as usize + 100 - 20] {
            let mut count = 0;
            let mut marks = Marks::new(&[b"node.js/v"]);
            let file = file(&[(at, b"node.js/v20.20.2")]);
            scan(&file, std::slice::from_ref(&(0..SMALLEST + 100)), |chunk| {
                marks.each(chunk, |_, _, after| {
                    assert_eq!(version(after), some("20.20.2"));
                    count += 1;
                    ControlFlow::Continue(())
                })
            })
            .unwrap();
            assert_eq!(count, 1, "{at}");
        }
    }

    #[test]
    fn runtimes_by_their_marks() {
        let (mark, bun) = (forwards(V8_BACKWARDS), forwards(BUN_BACKWARDS));
        let v8 = (5000, mark.as_slice());
        assert_eq!(
            is(&[v8, (9000, b"node.js/v20.20.2\0"), (CHUNK - 14, b"11.3.244.8-node.38\0")]),
            (Some(Kind::Node), some("20.20.2"), some("11.3.244.8-node.38"))
        );
        assert_eq!(
            is(&[v8, (9000, b"node.js/v27.0.0-nightly20261101abcdef\0")]).1,
            some("27.0.0-nightly20261101abcdef")
        );
        assert_eq!(
            is(&[
                v8,
                (9000, b"node.js/v22.1.0\0"),
                (9100, b"13.6.233.8-electron.0\0"),
                (9200, b"Chrome/142.0.7444.59 Electron/39.2.0\0"),
                (9300, CHROMIUM)
            ]),
            (Some(Kind::Electron), some("39.2.0"), some("13.6.233.8-electron.0"))
        );
        assert_eq!(
            is(&[
                v8,
                (9000, CHROMIUM),
                (9100, b"\x00153.0.8010.0\0"),
                (9200, b"\x00156.0.8078.79\0"),
                (9300, b"\x00156.0.8078.79\0"),
                (9400, b"\x00127.0.0.1\0")
            ])
            .1,
            some("156.0.8078.79")
        );
        assert_eq!(
            is(&[
                v8,
                (9000, b"xDeno/0.80.0y"),
                (9100, b"Deno/2.9.6Deno/2.9.6+e518"),
                (9200, b"15.0.245.2-rusty")
            ]),
            (Some(Kind::Deno), some("2.9.6"), some("15.0.245.2-rusty"))
        );
        assert_eq!(is(&[v8, (9200, b"15.0.245.2-rusty")]).0, Some(Kind::Embedder));
        assert_eq!(
            is(&[(9000, &bun), (9000 + bun.len(), b"1.4.5/bun.zip")]),
            (Some(Kind::Bun), some("1.4.5"), None)
        );
        assert_eq!(is(&[(9000, b"node.js/v20.20.2")]).0, None);
    }

    #[test]
    fn small_files_and_other_files_are_nothing() {
        let mut small = tempfile::tempfile().unwrap();
        small.write_all(b"\x7fELF\x02\x01").unwrap();
        assert_eq!(Cache::default().build(&small).unwrap(), Build::default());
        let mut text = tempfile::tempfile().unwrap();
        text.write_all(&vec![b'x'; SMALLEST as usize]).unwrap();
        assert_eq!(Cache::default().build(&text).unwrap(), Build::default());
    }

    #[test]
    fn broken_section_tables_do_not_matter() {
        let mut bytes = vec![0xff_u8; SMALLEST as usize];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        for count in [0_u16, 1, 3, 4096, u16::MAX] {
            for (start, size) in [(0_u64, 64_u16), (u64::MAX, 64), (SMALLEST - 1, 64), (64, 65), (0, 0)] {
                bytes[40..48].copy_from_slice(&start.to_le_bytes());
                bytes[58..60].copy_from_slice(&size.to_le_bytes());
                bytes[60..62].copy_from_slice(&count.to_le_bytes());
                bytes[62..64].copy_from_slice(&0_u16.to_le_bytes());
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                assert_eq!(Cache::default().build(&file).unwrap().kind, None);
            }
        }
    }

    #[test]
    fn versions() {
        for (text, expected) in [
            ("20.20.2\0", some("20.20.2")),
            ("20.20.2/node", some("20.20.2")),
            ("2.9.6Deno", some("2.9.6")),
            ("24.0.0-pre\0", some("24.0.0-pre")),
            ("24.0.0-x", some("24.0.0")),
            ("1.2", None),
            ("127.0.0.1", None),
            ("", None),
            ("1..2", None),
            ("9999999.1.1", None),
        ] {
            assert_eq!(version(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(v8_version(b"see ", b"-node.", b"js"), None);
        assert_eq!(v8_version(b"1.2.3", b"-node.", b"4"), None);
    }
}
