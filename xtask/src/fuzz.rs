//! Fuzzing with the stable compiler: libFuzzer is a library, and the coverage that it wants is an LLVM pass.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::step;

/// The targets under `fuzz/fuzz_targets`, and what libFuzzer is told for each.
const TARGETS: [(&str, &[&str]); 3] = [
    ("read", &["-dict=read.dict", "-max_len=6000", "-rss_limit_mb=4000"]),
    ("analyse", &["-max_len=1500"]),
    ("share", &["-dict=read.dict", "-max_len=6000", "-rss_limit_mb=4000"]),
];

/// What makes the compiler count edges for libFuzzer: the flags that cargo-fuzz passes, without a sanitizer, which the
/// stable compiler does not have.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// Builds the targets and runs each for some seconds; a crash, a hang or memory out of proportion is an error.
pub(crate) fn run(root: &Path, seconds: u32, only: Option<&str>) -> Result<()> {
    let folder = root.join("fuzz");
    let host = host()?;
    // With a target named, the flags are for the targets alone and not for build scripts.
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--release", "--locked", "--target", &host])
        .current_dir(&folder)
        .env("RUSTFLAGS", FLAGS);
    step("fuzz targets", &mut build)?;
    for (target, options) in TARGETS.into_iter().filter(|(target, _)| only.is_none_or(|only| only == *target))
    {
        let corpus = folder.join("corpus").join(target);
        let artifacts = folder.join("artifacts").join(target);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mut run = Command::new(folder.join("target").join(&host).join("release").join(target));
        run.current_dir(&folder)
            .arg(&corpus)
            .arg(folder.join("seeds").join(target))
            .args(options)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=10", "-print_final_stats=1", "-verbosity=0"]);
        step(&format!("fuzz {target} for {seconds} s"), &mut run)
            .with_context(|| format!("the input is in {}", artifacts.display()))?;
    }
    Ok(())
}

/// The triple that this compiler builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("rustc -vV names no host"),
    }
}
