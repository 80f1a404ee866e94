//! Compiles `heapsight-fork`, the part of a fork snapshot that runs in the target, so that the binary carries it inside.
//!
//! It is one file that links to no library, made by the compiler and linker that make everything else. On systems where
//! there is no fork method the file is empty.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=the addon of the fork method was not built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let out = PathBuf::from(variable("OUT_DIR")?).join("heapsight_fork.node");
    let sources = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../heapsight-fork/src");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", sources.display());

    let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
    let supported = variable("CARGO_CFG_TARGET_OS")? == "linux"
        && (architecture == "x86_64" || architecture == "aarch64")
        && variable("CARGO_CFG_TARGET_POINTER_WIDTH")? == "64";
    if !supported {
        return fs::write(&out, []).map_err(|error| format!("{}: {error}", out.display()));
    }

    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(&compiler);
    command.args(["--edition", "2024", "--crate-name", "heapsight_fork", "--crate-type", "cdylib"]);
    command.args(["--cfg", "heapsight_addon", "--cap-lints", "allow", "--target", &variable("TARGET")?]);
    // `-crt-static`: there is no shared library in a statically linked C library's world, and this one has none.
    for option in ["panic=abort", "opt-level=s", "lto=fat", "codegen-units=1", "strip=symbols", "debuginfo=0"]
    {
        command.args(["-C", option]);
    }
    command.args(["-C", "target-feature=-crt-static"]);
    let mut bare = false;
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        // Compilers as linkers take the linker's own options in a wrapping.
        let name = Path::new(&linker).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        bare = name.ends_with("ld") || name.contains("lld");
        let mut option = OsString::from("linker=");
        option.push(linker);
        command.arg("-C").arg(option);
    }
    // Never unloaded: its thread may still wait for a child when the worker that loaded it ends. All symbols at once:
    // the child could not wait for the dynamic linker's lock.
    let options = ["-z", "nodelete", "-z", "now", "--gc-sections", "--build-id=none", "--hash-style=both"];
    let wrapped = format!("-Wl,{}", options.join(","));
    let arguments = if bare { options.to_vec() } else { vec![wrapped.as_str()] };
    for argument in [&["-nostdlib"], arguments.as_slice()].concat() {
        command.arg("-C").arg(format!("link-arg={argument}"));
    }
    command.arg("-o").arg(&out).arg(sources.join("lib.rs"));
    let output = command.output().map_err(|error| format!("{}: {error}", compiler.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).replace('\n', " | "));
    }
    Ok(())
}
