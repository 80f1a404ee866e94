//! Where an answer goes: standard output, or a file that appears under its name when it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::mpsc::{self, SyncSender},
    thread::{self, JoinHandle},
};

use crate::failure::Failure;

/// An open output.
pub(crate) enum Output {
    Stdout(BufWriter<io::Stdout>),
    File { writer: BufWriter<File>, temporary: PathBuf, target: PathBuf, ahead: Ahead },
}

/// Brings a large file to the disk while it is written, or all of it would be waited for at the end.
#[derive(Default)]
pub(crate) struct Ahead {
    bytes: usize,
    thread: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl Ahead {
    /// Bytes that are worth it.
    const PIECE: usize = 32 << 20;

    fn wrote(&mut self, file: &File, bytes: usize) {
        self.bytes += bytes;
        if self.bytes < Self::PIECE {
            return;
        }
        self.bytes = 0;
        if self.thread.is_none() {
            self.thread = Self::start(file);
        }
        if let Some((wake, _)) = &self.thread {
            // It is at it.
            let _ = wake.try_send(());
        }
    }

    /// Nothing where there is no thread to be had: then the end takes longer.
    fn start(file: &File) -> Option<(SyncSender<()>, JoinHandle<io::Result<()>>)> {
        let file = file.try_clone().ok()?;
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("to-disk".to_owned()).spawn(move || {
            // The system tells of an error once only.
            woken.into_iter().try_for_each(|()| file.sync_data())
        });
        Some((wake, thread.ok()?))
    }

    fn end(&mut self) -> io::Result<()> {
        let Some((wake, thread)) = self.thread.take() else { return Ok(()) };
        drop(wake);
        thread.join().unwrap_or(Ok(()))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Without a finish nothing becomes of the file.
        let _ = self.end();
    }
}

impl Output {
    /// Opens standard output (`-` or nothing), or a file, which must not exist unless `force` is set.
    pub(crate) fn open(path: Option<&Path>, force: bool) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(BufWriter::with_capacity(1 << 16, io::stdout())));
        };
        Self::check(path, force)?;
        let shown = path.display();
        let special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = if special {
            // A pipe or a device cannot be replaced by a rename.
            path.to_owned()
        } else {
            path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(!special);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Answers quote the heap, which holds secrets.
            options.mode(0o600);
        }
        let file = options.open(&temporary).map_err(|e| {
            Failure::new(
                format!("cannot write {shown}: {e}"),
                "check that the folder exists and may be written to",
            )
        })?;
        let writer = BufWriter::with_capacity(1 << 16, file);
        Ok(Self::File { writer, temporary, target: path.to_owned(), ahead: Ahead::default() })
    }

    /// Refuses a file that exists, unless `force` is set: for those who write late.
    pub(crate) fn check(path: &Path, force: bool) -> Result<(), Failure> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(Failure::new(
                format!("cannot write {}: it exists", path.display()),
                "use --force to overwrite it",
            ));
        }
        Ok(())
    }

    /// Completes the output: a file gets its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        if let Self::File { writer, temporary, target, ahead } = &mut self {
            let durable = ahead.end().and_then(|()| writer.get_ref().sync_all());
            durable.or_else(|e| if temporary == target { Ok(()) } else { Err(e) })?;
            if temporary != target {
                fs::rename(&*temporary, &*target)?;
            }
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::File { temporary, target, .. } = self
            && temporary != target
        {
            // After a success the name is gone already.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(writer) => writer.write(bytes),
            Self::File { writer, ahead, .. } => {
                let written = writer.write(bytes)?;
                ahead.wrote(writer.get_ref(), written);
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(writer) => writer.flush(),
            Self::File { writer, .. } => writer.flush(),
        }
    }
}
