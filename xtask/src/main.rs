//! Developer chores: `cargo xtask --help`.
#![expect(clippy::print_stdout, reason = "this crate talks to developers")]

mod fuzz;
mod npm;
mod runtimes;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

/// Chores of the Heapsight workspace.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that CI runs: formatting, lints, documentation, all tests, and a minute of each fuzz target
    Test {
        /// Seconds for each fuzz target
        #[arg(long, default_value_t = 60)]
        fuzz_seconds: u32,
    },
    /// House rules: module headers, licences of dependencies, one version of each
    Tidy,
    /// Build and run the fuzz targets
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only this target
        target: Option<String>,
    },
    /// Install the programs whose heaps the capture tests take: Node.js 16 to 26, Deno, Bun, Chromium
    Runtimes,
    /// Build and pack the npm packages, with the platform package of this machine
    Npm {
        /// Folder of the tarballs
        #[arg(long, default_value = "target/npm")]
        out: PathBuf,
        /// A binary that is built already, instead of a static release build
        #[arg(long, requires = "addon")]
        binary: Option<PathBuf>,
        /// The addon of that build: heapsight_fork.node in the output of heapsight-capture's build script
        #[arg(long, requires = "binary")]
        addon: Option<PathBuf>,
    },
    /// Rewrite the golden output of the command line tests
    Goldens,
    /// Measure against the peers (needs Node.js and npm): see benchsuite/README.md
    Bench {
        /// Arguments for benchsuite/benchsuite.py
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Test { fuzz_seconds } => test(fuzz_seconds),
        Task::Tidy => tidy::run(&root()),
        Task::Fuzz { seconds, target } => fuzz::run(&root(), seconds, target.as_deref()),
        Task::Runtimes => runtimes::install(),
        Task::Npm { out, binary, addon } => npm::pack(&root(), &out, binary.as_deref(), addon.as_deref()),
        Task::Goldens => {
            step("golden output", cargo().args(["test", "-p", "heapsight-cli"]).env("INSTA_UPDATE", "always"))
        }
        Task::Bench { args } => {
            step("release build", cargo().args(["build", "--release", "--locked"]))?;
            step(
                "benchsuite",
                Command::new("python3").arg("benchsuite/benchsuite.py").args(args).current_dir(root()),
            )
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs this.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command, names it, and says how long it took.
fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    let status = command.status().with_context(|| format!("{name}: cannot start {command:?}"))?;
    println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

fn test(fuzz_seconds: u32) -> Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run(&root())?;
    let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step("lints", cargo().args(lints))?;
    runtimes::install()?;
    step("tests", cargo().args(["test", "--workspace", "--locked"]))?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"];
    step("documentation", cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    if fuzz_seconds > 0 {
        fuzz::run(&root(), fuzz_seconds, None)?;
    }
    println!("all steps passed");
    Ok(())
}
