//! What all commands share: how to open, how to write, how wide.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heapsight_analysis::{Heap, Monitor, store::Overview};
use heapsight_query::{Cache, OpenOptions, Source, Timings};
use heapsight_report::{paint::Paint, text::Style, units};
use heapsight_snapshot::Warnings;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    args::{Format, Global, When},
    failure::Failure,
    output::Output,
};

/// Bytes that the index folder may hold, unless the environment says otherwise.
const CACHE_LIMIT: u64 = 16 << 30;

/// Files below this size are read as quickly as their index.
const CACHE_FROM: u64 = 8 << 20;

/// Rows that a person wants to see at first.
const ROWS: usize = 30;

/// The options of every command, resolved.
pub(crate) struct Context {
    global: Global,
    cache: Option<Cache>,
    start: Instant,
    timings: Timings,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let cache = if global.no_cache { None } else { cache_from_environment() };
        if global.threads > 0 {
            // Fails only if a pool exists, which is not the case yet.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(global.threads).build_global();
        }
        Self { global, cache, start: Instant::now(), timings: Timings::default() }
    }

    /// Refuses options that this command would have to ignore.
    pub(crate) fn refuse_form(&self, instead: &str) -> Result<(), Failure> {
        if self.global.json || self.global.format.is_some() || self.global.output.is_some() {
            return Err(Failure::new("--json, --format and --output do not apply here", instead));
        }
        Ok(())
    }

    /// The form of the answer.
    pub(crate) fn format(&self) -> Format {
        if self.global.json { Format::Json } else { self.global.format.unwrap_or(Format::Text) }
    }

    /// Rows to print.
    pub(crate) fn rows(&self, top: Option<usize>) -> usize {
        top.unwrap_or(if self.format() == Format::Text { ROWS } else { usize::MAX })
    }

    /// Width and colour of the output.
    pub(crate) fn style(&self) -> Style {
        let terminal = self.global.output.is_none() && io::stdout().is_terminal();
        let on = match self.global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        let columns = || std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let width = if terminal { terminal_width().or_else(columns) } else { columns() };
        Style { width: width.unwrap_or(120).clamp(40, 400), paint: Paint { on } }
    }

    /// The output of the command.
    pub(crate) fn output(&self) -> Result<Output, Failure> {
        Output::open(self.global.output.as_deref(), self.global.force)
    }

    /// The name of the output, if it is a file.
    pub(crate) fn output_path(&self) -> Option<&Path> {
        self.global.output.as_deref()
    }

    /// An output that an option of its own names.
    pub(crate) fn output_to(&self, path: &Path) -> Result<Output, Failure> {
        Output::open(Some(path), self.global.force)
    }

    /// The unfiltered Summary from the index, if there is one.
    pub(crate) fn overview(&self, path: &Path) -> Option<Overview> {
        let options = OpenOptions {
            cache: self.cache.as_ref(),
            monitor: Some(&self.timings),
            ..OpenOptions::default()
        };
        heapsight_query::overview(&source(path), options)
    }

    /// Opens a snapshot with progress on a terminal.
    pub(crate) fn open(&self, path: &Path) -> Result<Heap, Failure> {
        let source = source(path);
        let label = match &source {
            Source::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Source::Stdin => source.to_string(),
        };
        let show = !self.global.quiet && io::stderr().is_terminal();
        let progress = Progress { bar: show.then(Progress::new_bar), label, timings: &self.timings };
        let hear = |bytes: u64, len: Option<u64>| progress.read(bytes, len);
        let options = OpenOptions {
            threads: self.global.threads,
            cache: self.cache.as_ref(),
            progress: Some(&hear),
            monitor: Some(&progress),
        };
        let result = heapsight_query::open(&source, options);
        if let Some(bar) = &progress.bar {
            bar.finish_and_clear();
        }
        result.map_err(|error| Failure::open(&source, &error))
    }

    /// The index folder.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Threads to use; 0 is one for each core.
    pub(crate) fn threads(&self) -> usize {
        self.global.threads
    }

    /// Where a capture goes: `-o`, which for captures names the file and not the answer.
    pub(crate) fn capture_output(&self) -> heapsight_capture::take::Output {
        heapsight_capture::take::Output { path: self.global.output.clone(), force: self.global.force }
    }

    /// Whether to overwrite, and to do what is advised against.
    pub(crate) fn force(&self) -> bool {
        self.global.force
    }

    /// Whether progress is shown.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.global.quiet && io::stderr().is_terminal()
    }

    /// Says on standard error what the user should know and need not read.
    #[expect(clippy::print_stderr, reason = "notes are for people")]
    pub(crate) fn note(&self, text: &str) {
        if !self.global.quiet {
            eprintln!("note: {text}");
        }
    }

    /// Notes the damage that was survived.
    pub(crate) fn note_damage(&self, path: &Path, warnings: &Warnings) {
        let count = warnings.as_slice().len() as u64;
        if count > 0 {
            let kinds = units::number_of(count, "kind", "kinds");
            self.note(&format!("the snapshot has {kinds} of damage: heapsight validate {}", path.display()));
        }
    }

    /// Prints the phases if asked to.
    #[expect(clippy::print_stderr, reason = "timings are for people")]
    pub(crate) fn print_timings(&self) {
        if !self.global.timings {
            return;
        }
        for (phase, took) in self.timings.list() {
            eprintln!("{:>9.1} ms  {phase}", took.as_secs_f64() * 1000.0);
        }
        eprintln!("{:>9.1} ms  total", self.start.elapsed().as_secs_f64() * 1000.0);
        if let Some(peak) = peak_memory() {
            eprintln!("{:>12}  peak resident memory", units::bytes(peak));
        }
    }
}

/// What a person sees while a large file is opened: first the bytes, then the phases.
struct Progress<'a> {
    bar: Option<ProgressBar>,
    label: String,
    timings: &'a Timings,
}

impl Progress<'_> {
    fn new_bar() -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn style(bar: &ProgressBar, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
    }

    fn read(&self, bytes: u64, len: Option<u64>) {
        let Some(bar) = &self.bar else { return };
        if let (Some(len), None) = (len, bar.length()) {
            bar.set_length(len);
            Self::style(
                bar,
                "{msg} {wide_bar:.cyan/dim} {bytes} of {total_bytes} ({bytes_per_sec}, {eta} left)",
            );
        }
        bar.set_position(bytes);
    }
}

impl Monitor for Progress<'_> {
    fn begin(&self, phase: &'static str) {
        let Some(bar) = &self.bar else { return };
        if phase == "read" {
            Self::style(bar, "{msg} {spinner} {bytes} ({bytes_per_sec})");
            bar.set_message(format!("reading {}", self.label));
        } else {
            Self::style(bar, "{msg} {spinner} {elapsed}");
            bar.set_message(format!("analysing {}: {phase}", self.label));
        }
    }

    fn end(&self, phase: &'static str, took: Duration) {
        self.timings.end(phase, took);
    }
}

/// A file as a heading names it.
pub(crate) fn title(path: &Path) -> String {
    source(path).to_string()
}

fn source(path: &Path) -> Source {
    if path == Path::new("-") { Source::Stdin } else { Source::Path(path.to_owned()) }
}

fn cache_from_environment() -> Option<Cache> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let dir = variable("HEAPSIGHT_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("heapsight")))
        .or_else(|| variable("HOME").map(|dir| dir.join(".cache/heapsight")))?;
    Some(Cache {
        dir,
        limit: number("HEAPSIGHT_CACHE_BYTES", CACHE_LIMIT),
        min_file: number("HEAPSIGHT_CACHE_FROM_BYTES", CACHE_FROM),
    })
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// The most memory that the process has had resident.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
