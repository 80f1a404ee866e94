//! Whether what is there is what was sent.
//!
//! The size must be equal, and then one of two proofs holds:
//! - the store's ETag is the MD5 of the local file (S3: of an object that went up whole; of one in parts, the MD5 of the
//!   MD5s of its parts). The store has computed it of the bytes that it received.
//! - all bytes, read back, are those of the local file. For stores whose ETag is no such sum, and whenever it differs: an
//!   ETag of an encrypted bucket looks like an MD5 and is none.
//!
//! Both read the local file anew, so that they are about what is there now.

use std::sync::Arc;

use md5::{Digest, Md5};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path::Path};

use crate::local::LocalFile;

/// How to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verification {
    /// By the store's checksum where it has one, else by reading back.
    #[default]
    Checksum,
    /// By reading back all of it.
    ReadBack,
}

/// What proved that the remote object is the local file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The checksum that the store has computed.
    Checksum,
    /// All bytes.
    ReadBack,
    /// The server took it, which is all that is known of a profile that was pushed.
    Accepted,
}

/// Why it is not known whether the remote object is the local file.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// The store does not answer.
    Store(object_store::Error),
    /// The local file cannot be read.
    Local(std::io::Error),
}

/// The proof that an object is a file; nothing if it is another one.
pub(crate) async fn prove(
    store: &Arc<dyn ObjectStore>,
    place: &Path,
    remote: &ObjectMeta,
    file: &Arc<LocalFile>,
    part_size: u64,
    how: Verification,
) -> Result<Option<Proof>, Unknown> {
    if remote.size != file.size() {
        return Ok(None);
    }
    let tag = remote.e_tag.as_deref().and_then(Tag::parse);
    if let (Verification::Checksum, Some(tag)) = (how, tag) {
        let file = file.clone();
        // Reading and summing takes its time; the thread that waits for the network goes on.
        let equal = tokio::task::spawn_blocking(move || tag.is_of(&file, part_size))
            .await
            .map_err(|error| Unknown::Local(std::io::Error::other(error)))?
            .map_err(Unknown::Local)?;
        if equal {
            return Ok(Some(Proof::Checksum));
        }
    }
    let mut start = 0;
    while start < remote.size {
        let length = part_size.min(remote.size - start);
        let options = GetOptions {
            // All of it is to be of one object.
            if_match: remote.e_tag.clone(),
            range: Some(GetRange::Bounded(start..start + length)),
            ..GetOptions::default()
        };
        let there = match store.get_opts(place, options).await {
            Ok(answer) => answer.bytes().await.map_err(Unknown::Store)?,
            Err(error) => return Err(Unknown::Store(error)),
        };
        if there != file.read(start, length).map_err(Unknown::Local)? {
            return Ok(None);
        }
        start += length;
    }
    Ok(Some(Proof::ReadBack))
}

/// An ETag that may be an MD5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    sum: [u8; 16],
    /// Parts, if it is of their sums.
    parts: Option<u64>,
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches('"');
        let (sum, parts) = match text.split_once('-') {
            Some((sum, parts)) => (sum, Some(parts.parse().ok()?)),
            None => (text, None),
        };
        if sum.len() != 32 || !sum.is_ascii() {
            return None;
        }
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&sum[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self { sum: bytes, parts })
    }

    fn is_of(self, file: &LocalFile, part_size: u64) -> std::io::Result<bool> {
        let parts = file.size().div_ceil(part_size).max(1);
        if self.parts.is_some_and(|own| own != parts) {
            return Ok(false);
        }
        let (mut whole, mut sums) = (Md5::new(), Md5::new());
        for part in 0..parts {
            let start = part * part_size;
            let bytes = file.read(start, part_size.min(file.size() - start))?;
            if self.parts.is_some() {
                sums.update(Md5::digest(&bytes));
            } else {
                whole.update(&bytes);
            }
        }
        let sum = if self.parts.is_some() { sums } else { whole }.finalize();
        Ok(sum[..] == self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_sums_are_known_from_others() {
        let md5 = Tag::parse("\"900150983cd24fb0d6963f7d28e17f72\"").unwrap();
        assert_eq!(md5.parts, None);
        assert_eq!(Tag::parse("900150983cd24fb0d6963f7d28e17f72-3").unwrap().parts, Some(3));
        for other in
            ["", "\"0x8DB\"", "900150983cd24fb0d6963f7d28e17f7z", "ä00150983cd24fb0d6963f7d28e17f7", "a-b"]
        {
            assert_eq!(Tag::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_tag_is_of_one_file_and_one_part_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let file = LocalFile::open(&path).unwrap();
        let whole = Tag::parse("900150983cd24fb0d6963f7d28e17f72").unwrap();
        assert!(whole.is_of(&file, 2).unwrap() && whole.is_of(&file, 100).unwrap());
        // `md5(md5("ab") + md5("c"))`
        let sums = Md5::digest([Md5::digest("ab"), Md5::digest("c")].concat());
        let hex = sums.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let parts = Tag::parse(&format!("{hex}-2")).unwrap();
        assert!(parts.is_of(&file, 2).unwrap());
        assert!(!parts.is_of(&file, 1).unwrap() && !parts.is_of(&file, 3).unwrap());
        std::fs::write(&path, "abd").unwrap();
        let changed = LocalFile::open(&path).unwrap();
        assert!(!whole.is_of(&changed, 2).unwrap() && !parts.is_of(&changed, 2).unwrap());
    }
}
