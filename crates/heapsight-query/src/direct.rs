//! Writing a large file past the page cache.
//!
//! An index is as large as its snapshot and is not read soon. Written in the ordinary way it would push other files out of
//! memory, and finding pages for it takes the kernel longer than the disk does for the bytes. Where the file system can,
//! blocks go to the disk as they are; where it cannot, they are written in the ordinary way.

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
        let result = self.file.write_all(&self.block[..len]);
        #[cfg(target_os = "linux")]
        if self.direct && result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::InvalidInput) {
            // The disk wants another alignment: on in the ordinary way. A refused block has not moved the position.
            let flags = rustix::fs::fcntl_getfl(&self.file)?;
            rustix::fs::fcntl_setfl(&self.file, flags - rustix::fs::OFlags::DIRECT)?;
            self.direct = false;
            return self.write_block();
        }
        result?;
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stands_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, ALIGN, BLOCK - 1, BLOCK, 2 * BLOCK + 17] {
            let path = dir.path().join(len.to_string());
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut writer = DirectWriter::create(&path).unwrap();
            for part in bytes.chunks(100_003) {
                writer.write_all(part).unwrap();
            }
            writer.finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{len}");
            assert!(DirectWriter::create(&path).is_err(), "an existing file is left alone");
        }
    }
}
