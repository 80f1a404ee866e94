//! Places by the URL of a script, for files that name scripts and not numbers: sampling profiles.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Place, Script,
    files::{Budget, Mapped, map_of},
};

/// Scripts by URL, with their source maps.
#[derive(Debug, Default)]
pub struct Sources {
    maps: FxHashMap<String, Mapped>,
}

impl Sources {
    /// Reads the source maps of the scripts that are named. What is known of them, from the side file of a capture, says
    /// where their maps are; the others are asked themselves, if they are files of this machine.
    pub fn new<'u>(urls: impl IntoIterator<Item = &'u str>, known: Vec<Script>) -> Self {
        let mut known: FxHashMap<String, Script> =
            known.into_iter().map(|script| (script.url.clone(), script)).collect();
        let budget = Budget::default();
        let mut maps = FxHashMap::default();
        // A script has many functions, and is looked at once, whether it has a map or not.
        let mut seen = FxHashSet::default();
        for url in urls {
            if url.is_empty() || url.starts_with("node:") || !seen.insert(url) {
                continue;
            }
            let script = known.remove(url).unwrap_or_else(|| Script {
                id: 0,
                url: url.to_owned(),
                source_map_url: Some(String::new()),
            });
            if let Some(map) = map_of(&script, &budget) {
                maps.insert(url.to_owned(), map);
            }
        }
        Self { maps }
    }

    /// Where a place of a script is in what the author wrote; line and column count from 0. `None` without a source map.
    pub fn original(&self, url: &str, line: u32, column: u32) -> Option<Place> {
        let mapped = self.maps.get(url)?;
        let original = mapped.map.original(line, column)?;
        let generated = Place::in_script(url, line, column);
        let mut place = Place::in_script(&mapped.source(original.source), original.line, original.column);
        place.package = place.package.or_else(|| generated.package.clone());
        place.generated = Some(Box::new(generated));
        Some(place)
    }
}
