//! An output that is packed as its name says, for commands that write snapshots. Packing and writing are done by a thread of
//! their own, so that what is written next is made meanwhile.

use std::{
    io::{self, Write},
    path::Path,
    sync::mpsc::{self, Receiver, SyncSender},
    thread::{self, JoinHandle},
};

use flate2::{Compression, write::GzEncoder};
use indicatif::ProgressBar;

use crate::{context::Context, failure::Failure, output::Output};

/// Level of Zstandard and of gzip: on snapshots the next ones cost more than they save.
const LEVEL: u8 = 1;

/// Bytes that are handed over at a time, and how many such blocks may wait.
const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 4;

/// A file, or standard output.
enum Packing {
    Plain(Output),
    Gzip(GzEncoder<Output>),
    Zstd(zstd::stream::write::Encoder<'static, Output>),
}

/// The other end of what a thread packs and writes.
pub(super) struct Packed {
    block: Vec<u8>,
    /// Blocks to be written, and blocks that are free again.
    full: Option<SyncSender<Vec<u8>>>,
    free: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<Packing>>>,
}

impl Packing {
    fn open(context: &Context, path: &Path) -> Result<Self, Failure> {
        let output = context.output_to(path)?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        Ok(match extension.as_deref() {
            Some("gz") => Self::Gzip(GzEncoder::new(output, Compression::new(LEVEL.into()))),
            Some("zst") => Self::Zstd(zstd::stream::write::Encoder::new(output, LEVEL.into())?),
            _ => Self::Plain(output),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Plain(output) => output,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        }
        .finish()
    }
}

impl Packed {
    /// Opens the output; a file appears under its name when it is finished.
    pub(super) fn open(context: &Context, path: &Path) -> Result<Self, Failure> {
        let mut packing = Packing::open(context, path)?;
        let (full, blocks) = mpsc::sync_channel::<Vec<u8>>(BLOCKS);
        let (back, free) = mpsc::channel();
        let thread = thread::Builder::new().name("pack".to_owned()).spawn(move || {
            for mut block in blocks {
                packing.write(&block)?;
                block.clear();
                // Nobody takes it any more at the end.
                let _ = back.send(block);
            }
            Ok(packing)
        })?;
        Ok(Self { block: Vec::with_capacity(BLOCK), full: Some(full), free, thread: Some(thread) })
    }

    /// Completes the output.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.hand_over()?;
        self.end()?.map_or(Ok(()), Packing::finish)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let next = self.free.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        let block = std::mem::replace(&mut self.block, next);
        if self.full.as_ref().is_some_and(|full| full.send(block).is_ok()) {
            return Ok(());
        }
        // The thread has ended, and says why.
        self.end().and(Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Waits until all is written.
    fn end(&mut self) -> io::Result<Option<Packing>> {
        self.full = None;
        let Some(thread) = self.thread.take() else { return Ok(None) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes panicked"))).map(Some)
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        // Without a finish nothing becomes of the file.
        let _ = self.end();
    }
}

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(BLOCK - self.block.len().min(BLOCK));
        self.block.extend_from_slice(&bytes[..take]);
        if self.block.len() >= BLOCK {
            self.hand_over()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}

/// Counts the bytes that pass, and shows them on a terminal.
pub(super) struct Counted<'w> {
    output: &'w mut Packed,
    pub(super) bytes: u64,
    bar: Option<ProgressBar>,
}

impl<'w> Counted<'w> {
    /// `about` is how many bytes there will be.
    pub(super) fn new(context: &Context, path: &Path, output: &'w mut Packed, about: u64) -> Self {
        Self { output, bytes: 0, bar: context.writing(path, about) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.bytes);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
