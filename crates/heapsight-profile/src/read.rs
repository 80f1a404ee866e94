//! From bytes to a profile, whatever the layout and the compression.

use std::io::{BufReader, Cursor, Read};

use crate::{
    error::{Problem, ReadError},
    input::Input,
    json, pprof,
    profile::Profile,
};

/// Reads a profile: the inspector's layout, the flat one of npm `heap-profile`, or pprof; plain, gzip or Zstandard, which
/// is recognised by the content and not by a name. Linear in the bytes; JSON is read as a stream.
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
    if pprof::looks_like(input.head(4)?) {
        return pprof::read(input.rest()?);
    }
    match input.peek()? {
        None => Err(Problem::Empty.at(0)),
        Some(b'{') => json::read(&mut input),
        Some(b'[') => Err(Problem::Foreign("a JSON list").at(0)),
        Some(_) => Err(Problem::Foreign("neither JSON nor pprof").at(input.offset())),
    }
}
