//! Arguments of `heapsight profile` and `heapsight convert`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::{Top, percent};

/// Who allocates: sampling heap profiles by function, as trees, compared and merged
///
/// Reads the profiles of the inspector, of `heapsight sample`, of `node --heap-prof` and of npm `heap-profile`, heap profiles
/// of pprof, speedscope files of bytes, collapsed stacks, and the tables that `convert` writes; plain, gzip or Zstandard.
/// Sizes in them are estimates: the answers say from how many samples.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile top app.heapprofile
  heapsight profile tree app.heapprofile --no-internals")]
pub(crate) struct Profile {
    #[command(subcommand)]
    pub(crate) question: Question,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    Top(ProfileTop),
    Tree(Tree),
    Callers(Callers),
    Flame(Flame),
    Diff(ProfileDiff),
    Merge(Merge),
    Filter(Filter),
}

/// What is read, and how.
#[derive(Debug, ClapArgs)]
pub(crate) struct Files {
    /// Profiles; several are added up; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) view: View,
}

/// How functions are shown.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct View {
    /// Fold the runtime's own functions (`node:...`) into the functions that called them
    #[arg(long)]
    pub(crate) no_internals: bool,
    /// Show the code that ran, not what source maps lead to
    #[arg(long)]
    pub(crate) no_source_maps: bool,
}

/// What rows stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Functions
    Function,
    /// Source files
    File,
    /// npm packages
    Package,
}

/// Order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileSort {
    /// Bytes that the function allocated itself
    #[value(name = "self")]
    Own,
    /// Bytes that were allocated while it was on the stack
    Total,
    /// Samples (in pprof: objects) behind the self size
    Count,
}

/// The functions, files or packages that allocated the most
///
/// Self size is what a function allocated itself; total size is what was allocated while it was on the stack, recursion
/// counted once. The standard error of a size is 1/√n of n samples.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile top app.heapprofile
  heapsight profile top app.heapprofile --by package --sort total
  heapsight profile top 1.heapprofile 2.heapprofile --no-internals --json")]
pub(crate) struct ProfileTop {
    #[command(flatten)]
    pub(crate) input: Files,
    /// What rows stand for
    #[arg(long, value_enum, default_value_t = By::Function, value_name = "WHAT")]
    pub(crate) by: By,
    /// Order of the rows
    #[arg(long, value_enum, default_value_t = ProfileSort::Own, value_name = "COLUMN")]
    pub(crate) sort: ProfileSort,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// The call tree from the outermost functions down
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile tree app.heapprofile
  heapsight profile tree app.heapprofile --depth 20 --min 5 --no-internals")]
pub(crate) struct Tree {
    #[command(flatten)]
    pub(crate) input: Files,
    /// Levels to print
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = super::whole::<u32>(1, Some(1000)))]
    pub(crate) depth: u32,
    /// Callees of each function to print
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) top: usize,
    /// Leave out what has less than this part of all bytes, in percent
    #[arg(long, default_value_t = 0.5, value_name = "PERCENT", value_parser = percent)]
    pub(crate) min: f64,
}

/// Who calls what allocates: the inverted tree, heaviest functions first
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile callers app.heapprofile
  heapsight profile callers app.heapprofile --function parse --depth 20")]
pub(crate) struct Callers {
    #[command(flatten)]
    pub(crate) input: Files,
    /// Only functions whose name contains this text, in any case; `/.../` is a regular expression
    #[arg(long, value_name = "PATTERN")]
    pub(crate) function: Option<String>,
    /// Levels of callers
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = super::whole::<u32>(1, Some(64)))]
    pub(crate) depth: u32,
    /// Functions, and callers of each, to print
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) top: usize,
}

/// A flame graph: an SVG image or a page, by the name of the output
///
/// Both are one file that a browser opens from the disk and that loads nothing: click a frame to zoom, type to search, point
/// at a frame for its sizes. The page can also be inverted (who called what allocated), and colours by npm package. With
/// --diff, frames are as wide as they are now; red grew since the older profile, blue shrank, and grey is what chance
/// explains.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile flame app.heapprofile -o app.svg
  heapsight profile flame app.heapprofile --no-internals -o app.html
  heapsight profile flame tuesday.heapprofile --diff monday.heapprofile -o grew.html")]
pub(crate) struct Flame {
    #[command(flatten)]
    pub(crate) input: Files,
    /// Colour by what changed since this older profile
    #[arg(long, value_name = "OLD")]
    pub(crate) diff: Option<PathBuf>,
    /// Levels to draw
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = super::whole::<u32>(1, Some(4096)))]
    pub(crate) depth: u32,
}

/// What grew from one profile to another, or steadily over a series
///
/// Of two profiles, the differences of the self sizes; one is beyond chance if it is more than two standard errors. Of
/// three and more, oldest first, the slope of the straight line through the self sizes, in bytes from one profile to the
/// next; what grows steadily comes first.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile diff monday.heapprofile tuesday.heapprofile
  heapsight profile diff hourly/*.heapprofile --by package")]
pub(crate) struct ProfileDiff {
    /// Profiles, oldest first
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) view: View,
    /// What rows stand for
    #[arg(long, value_enum, default_value_t = By::Function, value_name = "WHAT")]
    pub(crate) by: By,
    #[command(flatten)]
    pub(crate) top: Top,
}

/// One profile that is the sum of several
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile merge hourly/*.heapprofile -o day.heapprofile
  heapsight profile merge one.heapprofile two.pb.gz -o both.heapprofile")]
pub(crate) struct Merge {
    #[command(flatten)]
    pub(crate) input: Files,
}

/// A profile of the stacks in which certain functions stand
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight profile filter app.heapprofile --package express -o express.heapprofile
  heapsight profile filter app.heapprofile --function /^parse/ --without -o rest.heapprofile")]
pub(crate) struct Filter {
    #[command(flatten)]
    pub(crate) input: Files,
    /// Functions whose name contains this text, in any case; `/.../` is a regular expression
    #[arg(long, value_name = "PATTERN", required_unless_present_any = ["file", "package"])]
    pub(crate) function: Option<String>,
    /// Functions of files whose path or URL contains this text; likewise
    #[arg(long, value_name = "PATTERN")]
    pub(crate) file: Option<String>,
    /// Functions of this npm package, or module of the runtime
    #[arg(long, value_name = "NAME")]
    pub(crate) package: Option<String>,
    /// The other stacks instead
    #[arg(long)]
    pub(crate) without: bool,
}

/// A profile in the format of another tool, by the name of the output
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight convert app.heapprofile app.pb.gz
  heapsight convert app.pb.gz app.heapprofile
  heapsight convert app.heapprofile app.speedscope.json
  heapsight convert stacks.txt app.heapprofile

Names of outputs:
  .heapprofile         the inspector's layout, for DevTools
  .flat.heapprofile    the layout of npm heap-profile
  .pb.gz               pprof
  .speedscope.json     speedscope
  .collapsed.txt       collapsed stacks, for flame graph tools
  .csv                 the call tree, one row a node")]
pub(crate) struct Convert {
    /// Profile; `-` is standard input
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Output; its name says the format
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) view: View,
}
