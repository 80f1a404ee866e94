//! Finding and reading a script's source map.
//!
//! A map is where the script says: inside of it, or in a file that is named relative to it; else beside the script with
//! `.map` behind the name. Nothing is fetched: scripts and maps that are no files of this machine have none here. What cannot
//! be read, is no regular file or too long costs the mapping and nothing else.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Script,
    map::{SourceMap, data_url, mapping_url},
    place::shown,
};

/// Longest script or map that is read.
const MAX_BYTES: u64 = 256 << 20;

/// Bytes that are read for all scripts of a capture together.
const MAX_TOTAL: u64 = 1 << 30;

/// A script's map, and to what its sources are relative.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) map: SourceMap,
    /// Path or URL of the map's file.
    base: String,
}

/// How much has been read.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicU64);

impl Budget {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let path = Path::new(path);
        if !path.is_absolute() {
            // Relative to what is not known.
            return None;
        }
        // Asked before it is opened: opening a pipe would wait for somebody who writes.
        let len = path.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        if len > MAX_BYTES || self.0.fetch_add(len, Ordering::Relaxed).saturating_add(len) > MAX_TOTAL {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// The map of a script. `source_map_url` that is `None` means none, one that is empty that the script must be asked.
pub(super) fn map_of(script: &Script, budget: &Budget) -> Option<Mapped> {
    let named = script.source_map_url.as_deref()?;
    let path = shown(&script.url);
    if let Some(text) = data_url(named) {
        return SourceMap::parse(&text).map(|map| Mapped { map, base: path });
    }
    let owned;
    let mut url = named;
    if named.is_empty() || named.starts_with("data:") {
        let text = budget.read(&path)?;
        owned = mapping_url(&text)?.to_owned();
        url = &owned;
        if let Some(text) = data_url(url) {
            return SourceMap::parse(&text).map(|map| Mapped { map, base: path });
        }
    }
    [resolve(&path, url), format!("{path}.map")].into_iter().find_map(|base| {
        let map = SourceMap::parse(&budget.read(&base)?)?;
        Some(Mapped { map, base })
    })
}

impl Mapped {
    /// The path or URL of a source.
    pub(super) fn source(&self, source: &str) -> String {
        resolve(&self.base, source)
    }
}

/// What `url` means in a file: itself if it stands alone, else a path beside the file.
fn resolve(file: &str, url: &str) -> String {
    let has_scheme = url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    if has_scheme {
        return shown(url);
    }
    let url = super::place::decoded(url);
    if url.starts_with('/') {
        return normal(&url);
    }
    let folder = file.rfind('/').map_or("", |at| &file[..=at]);
    normal(&format!("{folder}{url}"))
}

/// A path without `.` and `..` where that can be.
fn normal(path: &str) -> String {
    let (head, path) = match path.find("://") {
        // The host of a URL is no folder that `..` leaves.
        Some(at) => {
            let end = path[at + 3..].find('/').map_or(path.len(), |slash| at + 3 + slash);
            path.split_at(end)
        }
        None => ("", path),
    };
    let root = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => drop(parts.pop()),
            ".." if root => {}
            part => parts.push(part),
        }
    }
    format!("{head}{}{}", if root { "/" } else { "" }, parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together() {
        for (file, url, wanted) in [
            ("/app/dist/a.js", "a.js.map", "/app/dist/a.js.map"),
            ("/app/dist/a.js.map", "../src/a.ts", "/app/src/a.ts"),
            ("/app/a.js", "../../../x.ts", "/x.ts"),
            ("/app/a.js", "/other/x.ts", "/other/x.ts"),
            ("/app/a.js", "file:///other/x%20y.ts", "/other/x y.ts"),
            ("/app/a.js", "webpack://shop/./src/x.ts", "webpack://shop/./src/x.ts"),
            ("https://example.test/js/a.js", "../x.ts", "https://example.test/x.ts"),
            ("https://example.test/js/a.js", "../../../x.ts", "https://example.test/x.ts"),
            ("a.js", "../x.ts", "../x.ts"),
        ] {
            assert_eq!(resolve(file, url), wanted, "{url} in {file}");
        }
    }

    #[test]
    fn maps_are_read_from_where_they_are() {
        const MAP: &str = r#"{"version":3,"sources":["../src/a.ts"],"mappings":"AACA"}"#;
        let folder = tempfile::tempdir().unwrap();
        let dist = folder.path().join("dist");
        std::fs::create_dir(&dist).unwrap();
        let url = format!("file://{}", dist.join("a.js").display());
        let find = |source_map_url: Option<&str>| {
            let script =
                Script { id: 1, url: url.clone(), source_map_url: source_map_url.map(str::to_owned) };
            let mapped = map_of(&script, &Budget::default())?;
            let original = mapped.map.original(0, 9)?;
            Some((mapped.source(original.source), original.line))
        };
        let wanted = Some((folder.path().join("src/a.ts").display().to_string(), 1));
        assert_eq!(find(Some("a.js.map")), None, "neither script nor map");
        let inline = format!("x()\n//# sourceMappingURL=data:application/json,{}", MAP.replace('"', "%22"));
        std::fs::write(dist.join("a.js"), &inline).unwrap();
        assert_eq!(find(Some("data:application/json,")), wanted, "cut off in the side file");
        assert_eq!(find(Some("")), wanted, "not known");
        assert_eq!(find(None), None, "known to have none");
        std::fs::write(dist.join("a.js"), "x()\n//# sourceMappingURL=maps/a.map\n").unwrap();
        std::fs::write(dist.join("a.js.map"), MAP).unwrap();
        assert_eq!(find(Some("maps/a.map")), wanted, "beside the script");
        assert_eq!(find(Some("")), wanted);
        std::fs::write(dist.join("a.js.map"), "{").unwrap();
        assert_eq!(find(Some("a.js.map")), None);
        assert_eq!(find(Some("https://example.test/a.map")), None);
    }

    #[test]
    fn only_so_much_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.js");
        File::create(&long).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(Budget::default().read(&long.display().to_string()), None);
        let small = folder.path().join("small.js");
        std::fs::write(&small, "x").unwrap();
        let budget = Budget(AtomicU64::new(MAX_TOTAL - 1));
        assert_eq!(budget.read(&small.display().to_string()), Some(b"x".to_vec()));
        assert_eq!(budget.read(&small.display().to_string()), None);
        assert_eq!(Budget::default().read(&folder.path().display().to_string()), None, "a folder");
        assert_eq!(Budget::default().read("small.js"), None, "a path without a root");
    }
}
