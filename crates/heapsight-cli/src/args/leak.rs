//! The command line of `leak`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Name what leaks: what grows in every round, what holds it, and where that is in the code
///
/// Give snapshots of one process, oldest first, with equal work between each two of them: three rounds, so four snapshots,
/// are a good number. What holds something of every round is a leak; what fills, warms up or was under way is set aside,
/// with the reason.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight leak 1.heapsnapshot 2.heapsnapshot 3.heapsnapshot 4.heapsnapshot
  heapsight leak series/*.heapsnapshot --requests 1000          with growth per request
  heapsight leak series/*.heapsnapshot --full                   the whole way to each holder
  heapsight leak series/*.heapsnapshot --json

Exit code 0 whether something leaks or not, 2 if the question could not be answered.")]
pub(crate) struct Leak {
    /// Snapshots of one process, oldest first
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub(crate) files: Vec<PathBuf>,
    /// Requests between two snapshots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Show the whole way to each holder
    #[arg(long)]
    pub(crate) full: bool,
    /// Leaks to print [default: 5 for people, all for programs]
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
}
