//! New lines of a file that others write: a log. A file that is replaced or cut off is begun anew; of a file that is
//! there at first only what comes is read.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use regex::bytes::Regex;

/// Bytes that are read at a look: what comes faster is read at the next.
const AT_ONCE: u64 = 1 << 20;

/// Bytes of a line that are looked at.
const LINE: usize = 16 << 10;

/// A file that is followed.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    pattern: Regex,
    /// Of the file that was read last: device and number, and how far.
    place: Option<(u64, u64, u64)>,
    begun: bool,
    rest: Vec<u8>,
}

impl Lines {
    pub(super) fn new(path: PathBuf, pattern: Regex) -> Self {
        Self { path, pattern, place: None, begun: false, rest: Vec::new() }
    }

    /// Whether a line has come that matches.
    pub(super) fn look(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.begun, true);
        // A FIFO in its place must not be waited for.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let Ok(mut file) = File::options().read(true).custom_flags(flags).open(&self.path) else {
            return false;
        };
        let Ok(meta) = file.metadata().map(|meta| (meta.is_file(), meta.dev(), meta.ino(), meta.len()))
        else {
            return false;
        };
        let (true, device, number, length) = meta else { return false };
        let from = match self.place {
            Some((d, n, at)) if (d, n) == (device, number) && at <= length => at,
            None if first => length,
            _ => {
                self.rest.clear();
                0
            }
        };
        let mut bytes = Vec::new();
        if from < length && file.seek(SeekFrom::Start(from)).is_ok() {
            let _ = file.take(AT_ONCE).read_to_end(&mut bytes);
        }
        self.place = Some((device, number, from + bytes.len() as u64));
        self.feed(&bytes)
    }

    fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut matched = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                matched |= self.pattern.is_match(&self.rest);
                self.rest.clear();
            }
        }
        matched
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn only_whole_new_lines_count_also_of_a_file_that_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        fs::write(&path, "heap is full\n").unwrap();
        let mut lines = Lines::new(path.clone(), Regex::new("heap is full").unwrap());
        assert!(!lines.look(), "what was there before");
        let append =
            |text: &str| fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(text.as_bytes());
        append("all well\nheap is f").unwrap();
        assert!(!lines.look());
        append("ull\n").unwrap();
        assert!(lines.look() && !lines.look());
        fs::rename(&path, dir.path().join("app.log.1")).unwrap();
        assert!(!lines.look());
        fs::write(&path, "heap is full\n").unwrap();
        assert!(lines.look() && !lines.look());
        fs::write(&path, "x\n").unwrap();
        assert!(!lines.look());
        let long = format!("{} heap is full\n", "x".repeat(LINE * 2));
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(long.as_bytes()).unwrap();
        assert!(!lines.look(), "beyond what is looked at");
    }
}
