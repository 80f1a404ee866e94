//! Builds and packs the npm packages: `heapsight`, `heap-profile`, and the platform package of this machine.
//!
//! The binary is linked statically, so that one package serves glibc and musl; the addon of fork snapshots does without a
//! C library anyway. Other platforms are packed on machines of theirs; `npm/pack.mjs` puts the packages together.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What is built and packed.
struct Built {
    binary: PathBuf,
    addon: PathBuf,
}

/// Packs into `out`.
pub(crate) fn pack(root: &Path, out: &Path, binary: Option<&Path>, addon: Option<&Path>) -> Result<()> {
    let built = match (binary, addon) {
        (Some(binary), Some(addon)) => Built { binary: binary.to_owned(), addon: addon.to_owned() },
        _ => build()?,
    };
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        (os, architecture) => bail!("there is no npm package for {os} on {architecture}"),
    };
    let mut command = Command::new("node");
    command.arg(root.join("npm/pack.mjs")).arg("--out").arg(out).args(["--platform", platform]);
    command.args(["--version", env!("CARGO_PKG_VERSION")]);
    command.arg("--binary").arg(built.binary).arg("--addon").arg(built.addon);
    super::step("npm packages", &mut command)
}

/// Builds the binary, statically; the addon is what the build script of `heapsight-capture` has left on the way.
fn build() -> Result<Built> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = super::cargo();
    command.args(["build", "--release", "--locked", "-p", "heapsight-cli", "--message-format", "json"]);
    command.args(["--target", &triple]);
    command.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    println!("== static release build");
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("the static release build failed ({})", output.status);
    }
    let (mut binary, mut addon) = (None, None);
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
        let package = message["package_id"].as_str().unwrap_or_default();
        match message["reason"].as_str() {
            Some("compiler-artifact") if message["executable"].is_string() => {
                binary = message["executable"].as_str().map(PathBuf::from);
            }
            Some("build-script-executed") if package.contains("heapsight-capture") => {
                addon =
                    message["out_dir"].as_str().map(|folder| Path::new(folder).join("heapsight_fork.node"));
            }
            _ => {}
        }
    }
    let (Some(binary), Some(addon)) = (binary, addon) else { bail!("cargo did not say where the build is") };
    Ok(Built { binary, addon })
}
