//! An output that is packed as its name says, for commands that write snapshots.

use std::{
    io::{self, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use indicatif::ProgressBar;

use crate::{context::Context, failure::Failure, output::Output};

/// Level of Zstandard and of gzip: on snapshots the next ones cost more than they save.
const LEVEL: u8 = 1;

/// A file, or standard output.
pub(super) enum Packed {
    Plain(Output),
    Gzip(GzEncoder<Output>),
    Zstd(zstd::stream::write::Encoder<'static, Output>),
}

impl Packed {
    /// Opens the output; a file appears under its name when it is finished.
    pub(super) fn open(context: &Context, path: &Path) -> Result<Self, Failure> {
        let output = context.output_to(path)?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        Ok(match extension.as_deref() {
            Some("gz") => Self::Gzip(GzEncoder::new(output, Compression::new(LEVEL.into()))),
            Some("zst") => Self::Zstd(zstd::stream::write::Encoder::new(output, LEVEL.into())?),
            _ => Self::Plain(output),
        })
    }

    /// Completes the output.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Plain(output) => output,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        }
        .finish()
    }
}

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
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
