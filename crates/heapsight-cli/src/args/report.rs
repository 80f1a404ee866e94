//! The command line of `report`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Write a report: one HTML file with verdict, charts, a map of the heap, and tables that sort
///
/// Of one snapshot the report shows where the bytes are, the dominator tree as a map, suspects, classes, equal strings and
/// packages; of several snapshots of one process also what leaks and what grows. The file needs nothing else and makes no
/// request to the network. It quotes text from the heap, which may be secret.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight report app.heapsnapshot -o report.html
  heapsight report 1.heapsnapshot 2.heapsnapshot 3.heapsnapshot -n 1000 -o report.html
  heapsight leak 4711 --load http://localhost:3000/ --report report.html     hunt, and write a report of it")]
pub(crate) struct Report {
    /// Snapshots of one process, oldest first, or a single one
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Requests between each two of them
    #[arg(short = 'n', long, value_name = "N", value_parser = super::whole::<u64>(1, None))]
    pub(crate) requests: Option<u64>,
    /// A sampling profile of the last round: says where what leaks was allocated
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}
