//! The captures under `fixtures/` and DevTools' results for them under `fixtures/golden/`.

use std::path::PathBuf;

/// The folder of the fixtures.
pub fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The path of a capture, compressed: `node-22.23.3.heapsnapshot`.
pub fn path(name: &str) -> PathBuf {
    dir().join(format!("{name}.zst"))
}

/// The text of a capture.
pub fn text(name: &str) -> Vec<u8> {
    let path = path(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    zstd::decode_all(&bytes[..]).expect("fixtures are whole")
}

/// A capture as a snapshot.
pub fn snapshot(name: &str) -> heapsight_snapshot::Snapshot {
    heapsight_snapshot::read(&text(name)[..], heapsight_snapshot::ReadOptions::default())
        .expect("fixtures are sound")
}

/// DevTools' result for a capture: `golden("node-22.23.3.heapsnapshot.summary")`.
pub fn golden(name: &str) -> serde_json::Value {
    let path = dir().join("golden").join(format!("{name}.json"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).expect("goldens are JSON")
}

/// All captures with a golden summary.
pub fn all() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir().join("golden"))
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".summary.json").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() > 20, "goldens are missing");
    names
}
