//! The command line of `tui`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Look at a snapshot in the terminal, also over ssh: Summary, Comparison, Dominators, Retainers, Strings, Search
///
/// The last file is shown; Comparison says what changed since one of the others. A recording has its Timeline, too. Works
/// at 80 columns, without colour (--color never, NO_COLOR), by keyboard or mouse; ? lists the keys.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight tui app.heapsnapshot
  heapsight tui before.heapsnapshot after.heapsnapshot      with what changed between them
  heapsight tui app.heaptimeline                            what was allocated when
  ssh server -t heapsight tui app.heapsnapshot

Without a terminal, `heapsight summary`, `diff`, `retainers` and the others print the same.")]
pub(crate) struct Tui {
    /// Snapshots or timelines, oldest first; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}
