//! House rules that no other tool checks.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Licences that a dependency may have; of a choice one is enough.
const LICENCES: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Lines that a file of code may have without a word in its header why.
const MAX_LINES: usize = 900;

/// Folders that only these crates may depend on: the direction of the data.
const LAYERS: [(&str, &[&str]); 10] = [
    ("heapsight-snapshot", &[]),
    ("heapsight-analysis", &["heapsight-snapshot"]),
    ("heapsight-query", &["heapsight-analysis", "heapsight-snapshot"]),
    ("heapsight-profile", &[]),
    ("heapsight-redact", &["heapsight-snapshot", "heapsight-profile"]),
    (
        "heapsight-report",
        &["heapsight-query", "heapsight-analysis", "heapsight-snapshot", "heapsight-profile"],
    ),
    (
        "heapsight-web",
        &[
            "heapsight-report",
            "heapsight-query",
            "heapsight-analysis",
            "heapsight-snapshot",
            "heapsight-profile",
            "heapsight-capture",
        ],
    ),
    ("heapsight-watch", &["heapsight-capture", "heapsight-profile", "heapsight-upload"]),
    ("heapsight-upload", &["heapsight-profile"]),
    ("heapsight-tui", &["heapsight-report", "heapsight-query", "heapsight-analysis", "heapsight-snapshot"]),
];

/// Checks all rules and lists every breach.
pub(crate) fn run(root: &Path) -> Result<()> {
    println!("== house rules");
    let mut breaches = Vec::new();
    for file in rust_files(root)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display();
        if !text.starts_with("//!") {
            breaches.push(format!("{shown}: has no `//!` header"));
        }
        if text.lines().count() > MAX_LINES {
            breaches.push(format!("{shown}: has more than {MAX_LINES} lines"));
        }
        if text.lines().any(|line| line.ends_with([' ', '\t'])) {
            breaches.push(format!("{shown}: has white space at the end of a line"));
        }
    }
    let metadata = metadata(root)?;
    breaches.extend(licences(&metadata));
    breaches.extend(layers(&metadata));
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("house rules are broken:\n  {}", breaches.join("\n  "))
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn licences(metadata: &Value) -> Vec<String> {
    let allowed = |expression: &str| {
        let choice = expression.replace(['(', ')'], "").replace('/', " OR ");
        choice.split(" OR ").any(|all| all.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
    };
    packages(metadata)
        .filter(|package| !allowed(package["license"].as_str().unwrap_or("")))
        .map(|package| format!("{}: licence {} is not on the list", package["name"], package["license"]))
        .collect()
}

fn layers(metadata: &Value) -> Vec<String> {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    let mut breaches = Vec::new();
    for package in packages(metadata) {
        let Some(allowed) = package["name"].as_str().and_then(|name| layers.get(name)) else { continue };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or("");
            let own = name.starts_with("heapsight-") && dependency["kind"].is_null();
            if own && !allowed.contains(&name) {
                breaches.push(format!("{}: must not depend on {name}", package["name"]));
            }
        }
    }
    breaches
}
