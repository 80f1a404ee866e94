//! Arguments of the commands that explain more than one object: packages, queries, tools for agents.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Top;

/// Whose memory it is: bytes by npm package, or by source file
///
/// An object belongs to the file of its function or class, or else to what alone keeps it alive. Each byte is counted
/// once: the sizes add up to the heap. The retained size is what would go with all that belongs to a package.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight packages app.heapsnapshot
  heapsight packages app.heapsnapshot --files --top 10
  heapsight packages app.heapsnapshot --json

(program) is the program's own files, (nobody) what no file can be named for.")]
pub(crate) struct Packages {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// One row a source file
    #[arg(long)]
    pub(crate) files: bool,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Objects that fit a condition, or sums of them
///
/// A query is: select COLUMNS where CONDITIONS group by FIELD order by FIELDS limit N; each part may be left out. Fields are
/// id, class, name, type, self, retained, distance, detached, edges, retainers, package, file and source; of several
/// snapshots of one process also round, in which an object was born, and age, the rounds since.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight query app.heapsnapshot 'class == \"Session\" and retained > 1MB order by retained desc limit 20'
  heapsight query app.heapsnapshot 'type == \"closure\" and package == \"express\" limit 5'
  heapsight query app.heapsnapshot 'name ~ /^Bearer / and not detached'
  heapsight query app.heapsnapshot 'class in (\"Map\", \"Set\") group by package'
  heapsight query app.heapsnapshot 'select id, source, retained where type == \"closure\"'
  heapsight query 1.heapsnapshot 2.heapsnapshot 3.heapsnapshot 'class == \"Session\" and age(round) == 1'
  heapsight query series/*.heapsnapshot 'class == \"Session\" group by round'

Exit code 1 if nothing fits.")]
pub(crate) struct Query {
    /// Snapshot or timeline; `-` is standard input. Of several, oldest first, the objects of the last are asked for
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The query
    #[expect(clippy::struct_field_names, reason = "it is called so on the command line")]
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// What other commands have, so that it can be said what stands in its place.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub(crate) top: Option<String>,
}

/// Answer a coding agent's questions over standard input and output (Model Context Protocol)
///
/// The agent can open the files that are named here, and those in folders that are allowed. Answers are bounded in rows and
/// characters.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight mcp app.heapsnapshot
  heapsight mcp --allow ./captures

As a client is configured for it:
  {\"mcpServers\": {\"heapsight\": {\"command\": \"heapsight\", \"args\": [\"mcp\", \"--allow\", \"/srv/captures\"]}}}")]
pub(crate) struct Mcp {
    /// Snapshots or timelines that may be opened
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A folder whose files may be opened; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) allow: Vec<PathBuf>,
}
