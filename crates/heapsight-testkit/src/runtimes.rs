//! Programs whose heaps the capture tests take: Node.js from 16 to 26, Deno and Bun, each from its npm package at a
//! pinned version, and Debian's Chromium; and npm packages that read what is written for other tools. `cargo xtask runtimes` installs them; the tests need it to have run.

use std::path::{Path, PathBuf};

/// The versions of Node.js that capture is tested with, by npm package `node`.
pub const NODES: [&str; 6] = ["16.20.2", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0"];

/// The version of Deno, by npm package `deno`.
pub const DENO: &str = "2.9.6";

/// The version of Bun, by npm package `bun`.
pub const BUN: &str = "1.4.5";

/// npm packages that read what Heapsight writes for other tools: name and version.
pub const READERS: [(&str, &str); 2] = [("pprof-format", "2.3.2"), ("speedscope", "1.25.0")];

/// npm packages that test the page: one drives the browser, one looks for what keeps people out, one checks types.
pub const PAGE_TOOLS: [(&str, &str); 3] =
    [("playwright-core", "1.65.1"), ("axe-core", "4.14.1"), ("typescript", "7.0.2")];

/// npm packages that test ours: two test runners whose examples are run, and the types that ours are checked with.
pub const TEST_TOOLS: [(&str, &str); 3] =
    [("jest", "30.5.2"), ("vitest", "5.1.2"), ("@types/node", "26.6.7")];

/// The version of Node.js that only `heap-profile` is tested with: older than any that can be forked.
pub const OLD_NODE: &str = "14.21.3";

/// Where the runtimes are kept: `target/runtimes/<package>-<version>/`, each an npm prefix.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/runtimes")
}

/// The binary of a major version of Node.js.
pub fn node(major: u32) -> PathBuf {
    let version = NODES
        .iter()
        .chain([&OLD_NODE])
        .find(|version| version.split('.').next() == Some(&major.to_string()))
        .unwrap_or_else(|| panic!("Node.js {major} is not among the versions of the tests"));
    installed(dir().join(format!("node-{version}/node_modules/node/bin/node")))
}

/// The binary of Deno.
pub fn deno() -> PathBuf {
    installed(dir().join(format!("deno-{DENO}/node_modules/@deno/linux-x64-glibc/deno")))
}

/// The binary of Bun.
pub fn bun() -> PathBuf {
    installed(dir().join(format!("bun-{BUN}/node_modules/bun/bin/bun.exe")))
}

/// The folder of one of the [`READERS`], [`PAGE_TOOLS`] or [`TEST_TOOLS`].
pub fn reader(package: &str) -> PathBuf {
    let (_, version) = READERS
        .iter()
        .chain(&PAGE_TOOLS)
        .chain(&TEST_TOOLS)
        .find(|(name, _)| *name == package)
        .unwrap_or_else(|| panic!("{package} is not among the packages of the tests"));
    installed(dir().join(format!("{package}-{version}/node_modules/{package}")))
}

/// Chromium.
pub fn chromium() -> PathBuf {
    installed(PathBuf::from("/usr/bin/chromium"))
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `cargo xtask runtimes`", path.display());
    path.canonicalize().unwrap_or(path)
}
