//! Installs the programs whose heaps the capture tests take; see `heapsight_testkit::runtimes`.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};
use heapsight_testkit::runtimes;

/// Installs what is missing: Node.js, Deno, Bun and readers of profiles from the npm registry, Chromium from Debian.
pub(crate) fn install() -> Result<()> {
    let npm = runtimes::NODES
        .iter()
        .map(|version| ("node", *version))
        .chain([("deno", runtimes::DENO), ("bun", runtimes::BUN)])
        .chain(runtimes::READERS)
        .chain(runtimes::PAGE_TOOLS)
        .chain(runtimes::TEST_TOOLS)
        .chain([("node", runtimes::OLD_NODE)]);
    for (package, version) in npm {
        let prefix = runtimes::dir().join(format!("{package}-{version}"));
        if prefix.join("node_modules").join(package).exists() {
            continue;
        }
        std::fs::create_dir_all(&prefix)?;
        let mut command = Command::new("npm");
        command.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&prefix);
        super::step(&format!("{package} {version}"), command.arg(format!("{package}@{version}")))?;
    }
    if !Path::new("/usr/bin/chromium").exists() {
        debian(&["chromium"])?;
    }
    Ok(())
}

/// Installs Debian packages; needs root, as CI has it.
fn debian(packages: &[&str]) -> Result<()> {
    super::step("package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    if super::step(&packages.join(", "), &mut command).is_err() {
        bail!("cannot install {}: install it by hand and run this again", packages.join(", "));
    }
    Ok(())
}
