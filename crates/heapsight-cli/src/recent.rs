//! The files that were opened in a page last, which its start page offers again.
//!
//! They are kept in the cache folder, as paths with NUL between, the last one first. What fails here costs only the offer.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Files that are remembered.
const MOST: usize = 20;

/// A list longer than this was not written here.
const BYTES: u64 = 1 << 20;

/// The files that were opened last and are still there, the last one first.
pub(crate) fn files(cache: &Path) -> Vec<PathBuf> {
    listed(cache).into_iter().filter(|path| path.is_file()).collect()
}

/// Remembers files as the last ones that were opened.
pub(crate) fn remember(cache: &Path, opened: &[PathBuf]) {
    let opened = opened.iter().filter_map(|path| path.canonicalize().ok());
    let mut seen = HashSet::new();
    let kept = opened.chain(listed(cache)).filter(|path| seen.insert(path.clone())).take(MOST);
    let names: Vec<PathBuf> = kept.collect();
    let names: Vec<&[u8]> = names.iter().map(|path| path.as_os_str().as_bytes()).collect();
    let _ = write(cache, &names.join(&0));
}

fn listed(cache: &Path) -> Vec<PathBuf> {
    let path = list(cache);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > BYTES) {
        return Vec::new();
    }
    let text = fs::read(path).unwrap_or_default();
    let names = text.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect()
}

fn list(cache: &Path) -> PathBuf {
    cache.join("recent")
}

/// Writes the list whole or not at all; other users do not read it.
fn write(cache: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(cache)?;
    let mut file = tempfile::NamedTempFile::new_in(cache)?;
    file.write_all(bytes)?;
    file.persist(list(cache))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_come_first_and_what_is_gone_is_not_offered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let file = |name: &str| {
            let path = dir.path().canonicalize().unwrap().join(name);
            fs::write(&path, "").unwrap();
            path
        };
        assert!(files(&cache).is_empty());
        let (a, b, c) = (file("a"), file("b\nb"), file("c"));
        remember(&cache, &[a.clone(), b.clone()]);
        remember(&cache, &[c.clone(), dir.path().join("nowhere"), a.clone()]);
        assert_eq!(files(&cache), [c.clone(), a.clone(), b.clone()]);
        fs::remove_file(&a).unwrap();
        assert_eq!(files(&cache), [c, b]);
        for n in 0..30 {
            remember(&cache, &[file(&n.to_string())]);
        }
        assert_eq!(files(&cache).len(), MOST);
    }
}
