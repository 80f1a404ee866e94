//! A file of named columns that is mapped into memory: what an opened snapshot leaves behind for the next time.
//!
//! The container knows nothing of what it holds. Layout, all numbers little-endian:
//! * 64 bytes: magic, format version, offset and length of the table, checksum of the table, the key's checksum;
//! * the sections, each at a multiple of 64 bytes, large ones of 4096 (so that a writer may pass whole pages on);
//! * the table: the key, and for each section its name, offset, length and checksum (XXH3, 64 bits).
//!
//! A file is written under another name and renamed when it is whole, so one that is found is whole or damaged from
//! outside. Every section is checked against its checksum before it is used; what does not fit is [`Damaged`], and the
//! caller reads the snapshot again. Only little-endian machines read and write it (others are told that it is damaged).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    sync::Arc,
};

use bytemuck::Pod;
use memmap2::Mmap;
use xxhash_rust::xxh3::xxh3_64;

use crate::Column;

const MAGIC: &[u8; 16] = b"heapsight index\n";

/// Counts up whenever the meaning of the container changes.
const CONTAINER_VERSION: u32 = 1;

const HEADER_BYTES: usize = 64;
const ALIGN: u64 = 64;
/// A page, for sections from [`LARGE`] bytes on.
const LARGE_ALIGN: u64 = 4096;
const LARGE: usize = 1 << 20;

/// The index cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// Bytes at the start of the file that are written last.
pub type Header = [u8; HEADER_BYTES];

/// Writes an index, section by section, from the front to the end.
#[derive(Debug)]
pub struct IndexWriter<W: Write> {
    out: W,
    at: u64,
    table: Vec<u8>,
}

impl<W: Write> IndexWriter<W> {
    /// Begins a file; `key` says of what it is the index.
    pub fn new(mut out: W, key: &[u8]) -> io::Result<Self> {
        out.write_all(&[0; HEADER_BYTES])?;
        let mut table = Vec::new();
        put_bytes(&mut table, key);
        Ok(Self { out, at: HEADER_BYTES as u64, table })
    }

    /// Where it is written to. What is written past the index does not belong to it.
    pub fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes a column.
    pub fn column<T: Pod>(&mut self, name: &str, items: &[T]) -> io::Result<()> {
        self.bytes(name, bytemuck::cast_slice(items))
    }

    /// Writes bytes.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let align = if bytes.len() >= LARGE { LARGE_ALIGN } else { ALIGN };
        let padding = self.at.next_multiple_of(align) - self.at;
        self.out.write_all(&[0; LARGE_ALIGN as usize][..padding as usize])?;
        self.at += padding;
        put_bytes(&mut self.table, name.as_bytes());
        for number in [self.at, bytes.len() as u64, xxh3_64(bytes)] {
            self.table.extend(number.to_le_bytes());
        }
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the table. The file is an index once the header that is returned stands at its start.
    pub fn finish(mut self) -> io::Result<(W, Header)> {
        self.out.write_all(&self.table)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(CONTAINER_VERSION.to_le_bytes());
        header.extend(u32::from(cfg!(target_endian = "big")).to_le_bytes());
        for number in [self.at, self.table.len() as u64, xxh3_64(&self.table)] {
            header.extend(number.to_le_bytes());
        }
        let check = xxh3_64(&header);
        header.extend(check.to_le_bytes());
        let mut block = [0; HEADER_BYTES];
        block[..header.len()].copy_from_slice(&header);
        Ok((self.out, block))
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

/// An index, mapped. Sections are checked when they are taken.
#[derive(Debug)]
pub struct Index {
    map: Arc<Mmap>,
    sections: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: usize,
    len: usize,
    check: u64,
}

impl Index {
    /// Maps a file that must be the index for `key`.
    pub fn open(file: &mut File, key: &[u8]) -> Result<Self, Damaged> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(|_| Damaged)?;
        let number = |at: usize| -> Result<u64, Damaged> {
            Ok(u64::from_le_bytes(header.get(at..at + 8).ok_or(Damaged)?.try_into().map_err(|_| Damaged)?))
        };
        let version = u64::from(CONTAINER_VERSION) | u64::from(cfg!(target_endian = "big")) << 32;
        if header[..16] != MAGIC[..] || number(16)? != version || number(48)? != xxh3_64(&header[..48]) {
            return Err(Damaged);
        }
        let (offset, len, check) = (number(24)?, number(32)?, number(40)?);
        let map = Arc::new(map(file).map_err(|_| Damaged)?);
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok()).ok_or(Damaged)?;
        let table = range.0.checked_add(range.1).and_then(|end| map.get(range.0..end)).ok_or(Damaged)?;
        if xxh3_64(table) != check {
            return Err(Damaged);
        }
        let mut rest = table;
        if take_bytes(&mut rest)? != key {
            return Err(Damaged);
        }
        let mut sections = BTreeMap::new();
        while !rest.is_empty() {
            let name = String::from_utf8(take_bytes(&mut rest)?.to_vec()).map_err(|_| Damaged)?;
            let mut next = || -> Result<u64, Damaged> {
                let (number, tail) = rest.split_at_checked(8).ok_or(Damaged)?;
                rest = tail;
                Ok(u64::from_le_bytes(number.try_into().map_err(|_| Damaged)?))
            };
            let (offset, len, check) = (next()?, next()?, next()?);
            let offset = usize::try_from(offset).map_err(|_| Damaged)?;
            let len = usize::try_from(len).map_err(|_| Damaged)?;
            if offset.checked_add(len).is_none_or(|end| end > map.len()) {
                return Err(Damaged);
            }
            sections.insert(name, Entry { offset, len, check });
        }
        Ok(Self { map, sections })
    }

    /// Whether there is a section of this name.
    pub fn has(&self, name: &str) -> bool {
        self.sections.contains_key(name)
    }

    /// The checked bytes of a section.
    pub fn bytes(&self, name: &str) -> Result<&[u8], Damaged> {
        let entry = self.sections.get(name).ok_or(Damaged)?;
        let bytes = self.map.get(entry.offset..entry.offset + entry.len).ok_or(Damaged)?;
        if xxh3_64(bytes) == entry.check { Ok(bytes) } else { Err(Damaged) }
    }

    /// A checked section as a column over the mapped file.
    pub fn column<T: Pod>(&self, name: &str) -> Result<Column<T>, Damaged> {
        let len = self.bytes(name)?.len();
        if !len.is_multiple_of(size_of::<T>()) {
            return Err(Damaged);
        }
        let offset = self.sections[name].offset;
        Column::mapped(Arc::clone(&self.map), offset, len / size_of::<T>()).ok_or(Damaged)
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (len, tail) = rest.split_at_checked(4).ok_or(Damaged)?;
    let len = u32::from_le_bytes(len.try_into().map_err(|_| Damaged)?) as usize;
    let (bytes, tail) = tail.split_at_checked(len).ok_or(Damaged)?;
    *rest = tail;
    Ok(bytes)
}

#[expect(unsafe_code, reason = "mapping a file has no safe form")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the file lies in the cache folder, was renamed there when complete and is never written to again: a newer
    // index replaces the name, not the bytes. Somebody who truncates it by hand while it is mapped ends the process with
    // SIGBUS, as with any mapped file.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(key: &[u8]) -> Vec<u8> {
        let mut writer = IndexWriter::new(Vec::new(), key).unwrap();
        writer.bytes("meta", b"hello").unwrap();
        writer.column("numbers", &[1u32, 2, 3]).unwrap();
        writer.column::<u64>("empty", &[]).unwrap();
        let (mut bytes, header) = writer.finish().unwrap();
        bytes[..header.len()].copy_from_slice(&header);
        bytes
    }

    fn open(bytes: &[u8], key: &[u8]) -> Result<Index, Damaged> {
        let path = std::env::temp_dir().join(format!(
            "heapsight-index-test-{}-{}",
            std::process::id(),
            xxh3_64(bytes)
        ));
        std::fs::write(&path, bytes).unwrap();
        let index = Index::open(&mut File::open(&path).unwrap(), key);
        std::fs::remove_file(&path).unwrap();
        index
    }

    fn read_all(index: &Index) -> Result<(), Damaged> {
        if index.bytes("meta")? != b"hello" || index.column::<u32>("numbers")?.as_slice() != [1, 2, 3] {
            return Err(Damaged);
        }
        index.column::<u64>("empty").map(|_| ())
    }

    #[test]
    fn what_is_written_is_read() {
        let index = open(&written(b"key"), b"key").unwrap();
        read_all(&index).unwrap();
        assert_eq!(index.bytes("other"), Err(Damaged));
        assert!(index.column::<u64>("numbers").is_err());
        assert!(open(&written(b"key"), b"other").is_err());
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_goes_unnoticed() {
        let good = written(b"key");
        let mut unused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            if open(&bad, b"key").is_ok_and(|index| read_all(&index).is_ok()) {
                // Only padding may change unseen.
                unused += 1;
                assert_eq!(good[at], 0, "byte {at}");
            }
        }
        assert!(unused < 200, "{unused}");
        for len in 0..good.len() {
            assert!(open(&good[..len], b"key").is_err(), "{len}");
        }
    }
}
