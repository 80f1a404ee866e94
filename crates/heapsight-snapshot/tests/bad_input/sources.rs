//! Sources that fail.

use super::*;

/// Gives some bytes and then fails.
struct Failing<'a> {
    text: &'a [u8],
    interrupted: bool,
}

impl Read for Failing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.text.is_empty() {
            return Err(io::Error::other("the disk is gone"));
        }
        let n = self.text.len().min(buf.len()).min(500);
        buf[..n].copy_from_slice(&self.text[..n]);
        self.text = &self.text[n..];
        Ok(n)
    }
}

#[test]
fn a_source_that_fails_is_reported_with_the_place_it_came_to() {
    for len in 0..=WHOLE.len() {
        let source = Failing { text: &WHOLE.as_bytes()[..len], interrupted: false };
        let error =
            read(source, ReadOptions { threads: 2, len: None, progress: None }).map(|_| ()).unwrap_err();
        assert!(matches!(error.problem, Problem::Io(_)), "{len}: {error}");
        assert!(error.to_string().ends_with("reading failed: the disk is gone"), "{error}");
        // The format of the file is guessed from its first four bytes, before any text is looked at.
        assert_eq!(error.offset, if len < 4 { 0 } else { len as u64 }, "{error}");
    }
}

#[test]
fn a_source_that_fails_is_not_called_damaged_data_when_it_is_compressed() {
    for whole in [gz(WHOLE.as_bytes()), zst(WHOLE.as_bytes())] {
        let source = Failing { text: &whole[..whole.len() / 2], interrupted: false };
        let error =
            read(source, ReadOptions { threads: 1, len: None, progress: None }).map(|_| ()).unwrap_err();
        assert!(error.to_string().ends_with("reading failed: the disk is gone"), "{error}");
        assert!(matches!(error.problem, Problem::Io(_)), "{error}");
    }
}

#[test]
fn a_folder_is_not_a_snapshot() {
    let Ok(folder) = std::fs::File::open(env!("CARGO_MANIFEST_DIR")) else {
        return; // Some systems refuse already to open it.
    };
    let error = read(folder, ReadOptions::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error.problem, Problem::Io(_)), "{error}");
    assert!(error.to_string().starts_with("top level, byte 0: reading failed: "), "{error}");
}
