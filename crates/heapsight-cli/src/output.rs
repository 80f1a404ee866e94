//! Where an answer goes: standard output, or a file that appears under its name when it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// An open output.
pub(crate) enum Output {
    Stdout(BufWriter<io::Stdout>),
    File { writer: BufWriter<File>, temporary: PathBuf, target: PathBuf },
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
        Ok(Self::File { writer: BufWriter::with_capacity(1 << 16, file), temporary, target: path.to_owned() })
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
        if let Self::File { writer, temporary, target } = &mut self {
            writer.get_ref().sync_all().or_else(|e| if temporary == target { Ok(()) } else { Err(e) })?;
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
            Self::File { writer, .. } => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(writer) => writer.flush(),
            Self::File { writer, .. } => writer.flush(),
        }
    }
}
