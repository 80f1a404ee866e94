//! The command line of `redact`, `scan` and `repair`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Top;

/// Make a file that can be shared: without the texts of values, with the same graph, sizes, classes and names
///
/// Texts of strings, regular expressions and numbers become markers such as `~kvwbhnmqdtrcfzx`. Equal texts have equal
/// markers within one file; markers of two files have nothing in common. Names of constructors, functions, properties and
/// files stay, except those that are data: e-mail addresses and tokens as keys of objects, queries of URLs, attributes of
/// elements. Every other command gives the same numbers for the new file, and DevTools opens it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight redact app.heapsnapshot shared.heapsnapshot.zst
  heapsight redact app.heapsnapshot shared.heapsnapshot --keep '^https://api\\.'
  heapsight redact --verify shared.heapsnapshot --against app.heapsnapshot
  zstd -dc app.heapsnapshot.zst | heapsight redact - - > shared.heapsnapshot

Exit codes: 0 done, with --verify: nothing is left; 1 something is left, or the graphs differ; 2 error or wrong usage.")]
pub(crate) struct Redact {
    /// Snapshot, timeline or sampling profile; `-` is standard input
    #[arg(value_name = "IN", required_unless_present = "verify")]
    pub(crate) input: Option<PathBuf>,
    /// The file to write, packed if its name ends in .gz or .zst; `-` is standard output
    #[arg(value_name = "OUT", required_unless_present = "verify")]
    pub(crate) out: Option<PathBuf>,
    /// Keep texts that match this regular expression, whole
    #[arg(long, value_name = "REGEX")]
    pub(crate) keep: Option<String>,
    /// Prove that this file has no text of the one that it was made from
    #[arg(long, value_name = "OUT", requires = "against", conflicts_with_all = ["input", "out"])]
    pub(crate) verify: Option<PathBuf>,
    /// The file that the other was made from
    #[arg(long, value_name = "IN", requires = "verify")]
    pub(crate) against: Option<PathBuf>,
}

/// Find likely secrets in a snapshot: tokens, keys, passwords, card numbers, e-mail addresses
///
/// By the form of what is known (tokens of some forty vendors, private keys, signed tokens, credentials in URLs and
/// headers), by the name that holds a text (`password`, `apiKey`), and by what looks random. A secret is never shown whole.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight scan app.heapsnapshot
  heapsight scan app.heapsnapshot --json
  ! heapsight scan shared.heapsnapshot     fails if something is found

Exit codes: 0 something was found, 1 nothing was found, 2 error or wrong usage.")]
pub(crate) struct Scan {
    /// Snapshot or timeline; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// Save what is whole of a snapshot that was cut off: by a kill, or a full disk
///
/// Nodes, edges and strings that are whole stay; what is lost is said. A name whose string is lost becomes
/// `(lost name 4711)`, equal names stay equal. The new file is sound and opens everywhere; but retained sizes are those of
/// what is left.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight repair cut.heapsnapshot repaired.heapsnapshot
  heapsight repair cut.heapsnapshot.gz - | heapsight summary -

Exit codes: 0 done, also if nothing was lost; 2 nothing can be saved, or wrong usage.")]
pub(crate) struct Repair {
    /// The snapshot or timeline that was cut off, also packed; `-` is standard input
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The file to write, packed if its name ends in .gz or .zst; `-` is standard output
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
}
