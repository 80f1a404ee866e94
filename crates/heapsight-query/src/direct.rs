//! Writing a large file past the page cache.
//!
//! An index is as large as its snapshot and is not read soon. Written in the ordinary way it would push other files out of
//! memory, and finding pages for it takes the kernel longer than the disk does for the bytes. Where the file system can,
//! blocks go to the disk as they are; where it cannot, they are written in the ordinary way. Columns lie at the start of a
//! page in memory and in the file, so they go to the disk from where they are, without a copy.
//!
//! The end of a small file is written in the ordinary way: nothing is left to do meanwhile, and a copy into the page cache
//! is sooner done than the disk is.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use heapsight_snapshot::Buffer;

/// Bytes that are written together.
const BLOCK: usize = 4 << 20;

/// What positions and lengths must be a multiple of, on any disk in use.
const ALIGN: usize = 4096;

/// A new file that is written from the front to the end.
#[derive(Debug)]
pub(crate) struct DirectWriter {
    file: File,
    /// A mapping of its own, so its start is aligned.
    block: Buffer<u8>,
    filled: usize,
    written: u64,
    direct: bool,
}

impl DirectWriter {
    /// Makes a file that must not exist yet, readable by its owner alone.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let block = Buffer::zeroed(BLOCK).ok_or(io::ErrorKind::OutOfMemory)?;
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::OpenOptionsExt;
            let mut direct = options.clone();
            direct.custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
            match direct.open(path) {
                Ok(file) => return Ok(Self { file, block, filled: 0, written: 0, direct: true }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(e),
                // A file system without direct writing; some have made the file before they say so.
                Err(_) => drop(std::fs::remove_file(path)),
            }
        }
        Ok(Self { file: options.open(path)?, block, filled: 0, written: 0, direct: false })
    }

    fn write_block(&mut self) -> io::Result<()> {
        let len = self.filled.next_multiple_of(ALIGN);
        self.block[self.filled..len].fill(0);
        write_aligned(&mut self.file, &mut self.direct, &self.block[..len])?;
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// From here on bytes go into the page cache.
    pub(crate) fn through_the_cache(&mut self) -> io::Result<()> {
        if self.direct {
            if self.filled > 0 {
                // What follows must begin where this ends, so only whole pages go now.
                let whole = self.filled / ALIGN * ALIGN;
                write_aligned(&mut self.file, &mut self.direct, &self.block[..whole])?;
                self.written += whole as u64;
                self.block.copy_within(whole..self.filled, 0);
                self.filled -= whole;
            }
            ordinary(&self.file, &mut self.direct)?;
        }
        Ok(())
    }

    /// How many of these bytes can go to the disk from where they are.
    fn aligned(&self, bytes: &[u8]) -> usize {
        let fits = bytes.len() >= BLOCK
            && self.filled.is_multiple_of(ALIGN)
            && (bytes.as_ptr() as usize).is_multiple_of(ALIGN);
        // Not all at once: what fails is noticed early.
        if fits { bytes.len().min(8 * BLOCK) / ALIGN * ALIGN } else { 0 }
    }

    /// Writes what is left; the file has its length then.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.filled > 0 {
            self.write_block()?;
        }
        self.file.set_len(self.written)
    }
}

impl Write for DirectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let aligned = self.aligned(bytes);
        if aligned > 0 {
            if self.filled > 0 {
                self.write_block()?;
            }
            write_aligned(&mut self.file, &mut self.direct, &bytes[..aligned])?;
            self.written += aligned as u64;
            return Ok(aligned);
        }
        let len = bytes.len().min(BLOCK - self.filled);
        self.block[self.filled..self.filled + len].copy_from_slice(&bytes[..len]);
        self.filled += len;
        if self.filled == BLOCK {
            self.write_block()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        // A block is only written whole, or at the end.
        Ok(())
    }
}

/// Writes whole pages of memory at a multiple of a page in the file.
fn write_aligned(file: &mut File, direct: &mut bool, bytes: &[u8]) -> io::Result<()> {
    let result = file.write_all(bytes);
    #[cfg(target_os = "linux")]
    if *direct && result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::InvalidInput) {
        // The disk wants another alignment: on in the ordinary way. A refused block has not moved the position.
        ordinary(file, direct)?;
        return file.write_all(bytes);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = direct;
    result
}

/// Writes in the ordinary way from here on.
fn ordinary(file: &File, direct: &mut bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::fcntl_getfl(file)?;
        rustix::fs::fcntl_setfl(file, flags - rustix::fs::OFlags::DIRECT)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
    *direct = false;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stands_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, ALIGN, BLOCK - 1, BLOCK, 2 * BLOCK + 17] {
            // After so many parts the rest goes through the page cache.
            for direct_parts in [usize::MAX, 0, 1, 7, 50] {
                let path = dir.path().join(format!("{len}.{direct_parts}"));
                let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
                let mut writer = DirectWriter::create(&path).unwrap();
                for (number, part) in bytes.chunks(100_003).enumerate() {
                    if number == direct_parts {
                        writer.through_the_cache().unwrap();
                    }
                    writer.write_all(part).unwrap();
                }
                writer.finish().unwrap();
                assert!(std::fs::read(&path).unwrap() == bytes, "{len} {direct_parts}");
                assert!(DirectWriter::create(&path).is_err(), "an existing file is left alone");
            }
        }
    }

    #[test]
    fn pages_of_memory_are_written_from_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pages");
        let mut column = Buffer::<u8>::zeroed(3 * BLOCK + 5).unwrap();
        for (i, byte) in column.iter_mut().enumerate() {
            *byte = (i % 251) as u8;
        }
        let mut expected = Vec::new();
        let mut writer = DirectWriter::create(&path).unwrap();
        for parts in [&[0, 1][..], &[ALIGN, 7, 0], &[]] {
            // Small change before the column, then padding up to the next page.
            for &len in parts {
                writer.write_all(&vec![b'x'; len]).unwrap();
                expected.extend(vec![b'x'; len]);
            }
            let padding = expected.len().next_multiple_of(ALIGN) - expected.len();
            writer.write_all(&vec![0; padding]).unwrap();
            expected.extend(vec![0; padding]);
            assert!(writer.aligned(&column) > 0);
            writer.write_all(&column).unwrap();
            expected.extend(&column[..]);
        }
        writer.finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
