//! From bytes to a profile, whatever the layout and the compression.

use std::io::{BufReader, Cursor, Read};

use crate::{
    collapsed, csv,
    error::{Problem, ReadError},
    input::Input,
    json, pprof,
    profile::Profile,
};

/// Bytes at the beginning that say what a text is.
const HEAD: usize = 64;

/// Reads a profile: the inspector's layout, the flat one of npm `heap-profile`, pprof, speedscope, collapsed stacks, or the
/// table of the call tree; plain, gzip or Zstandard, which is recognised by the content and not by a name. Linear in the
/// bytes; all but pprof is read as a stream.
///
/// # Errors
///
/// The source fails, the file is cut off or of another kind.
pub fn read<'r>(mut source: impl Read + 'r) -> Result<Profile, ReadError> {
    let mut head = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut head).map_err(|e| Problem::Io(e).at(0))?;
    let (gzip, zstd) = (head.starts_with(&[0x1f, 0x8b]), head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    let whole = Cursor::new(head).chain(source);
    let source: Box<dyn Read + 'r> = if gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(128 << 10, whole)))
    } else if zstd {
        let mut decoder =
            zstd::stream::read::Decoder::new(whole).map_err(|e| Problem::Compressed(e).at(0))?;
        decoder.window_log_max(31).map_err(|e| Problem::Compressed(e).at(0))?;
        Box::new(decoder)
    } else {
        Box::new(whole)
    };
    let mut input = Input::new(source, gzip || zstd);
    if input.head(3)? == [0xef, 0xbb, 0xbf] {
        input.skip(3);
    }
    let head = input.head(HEAD)?;
    if pprof::looks_like(head) {
        return pprof::read(input.rest()?);
    }
    if csv::looks_like(head) {
        return csv::read(&mut input);
    }
    let text = head.trim_ascii_start();
    if text.is_empty() && input.peek()?.is_none() {
        return Err(Problem::Empty.at(0));
    }
    if is_json(input.head(HEAD)?.trim_ascii_start()) {
        json::read(&mut input)
    } else {
        collapsed::read(&mut input)
    }
}

/// Whether a text begins as a JSON object does. Names of functions may begin with a brace, too: `{closure}`.
fn is_json(text: &[u8]) -> bool {
    matches!(text, [b'{'] | [b'{', b'"' | b'}' | b' ' | b'\t' | b'\r' | b'\n', ..])
}
