//! What all commands share: how to open, how to write, how wide.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heapsight_analysis::{Heap, Monitor, store::Overview};
use heapsight_query::{Cache, OpenError, OpenOptions, Source, Timings};
use heapsight_report::{paint::Paint, text::Style, units};
use heapsight_snapshot::{ReadError, ReadOptions, Warnings};
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

    /// Reads a file as it is, without an analysis or an index, with progress on a terminal.
    pub(crate) fn read<T>(
        &self,
        path: &Path,
        work: impl FnOnce(Box<dyn Read + Send>, ReadOptions<'_>) -> Result<T, ReadError>,
    ) -> Result<T, (Source, OpenError)> {
        let source = source(path);
        let (stream, len): (Box<dyn Read + Send>, _) = match &source {
            Source::Stdin => (Box::new(io::stdin()), None),
            Source::Path(path) => {
                match File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta))) {
                    Ok((_, meta)) if meta.is_dir() => return Err((source, OpenError::Directory)),
                    Ok((file, meta)) => (Box::new(file), meta.is_file().then_some(meta.len())),
                    Err(error) => return Err((source, OpenError::Io(error))),
                }
            }
        };
        let label = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bar = self.shows_progress().then(Progress::new_bar);
        let progress = Progress { bar, label, timings: &self.timings };
        let hear = |bytes: u64| progress.read(bytes, len);
        let options = ReadOptions { threads: self.workers(), len, progress: Some(&hear) };
        let result = heapsight_analysis::phase(&progress, "read", || work(stream, options));
        if let Some(bar) = &progress.bar {
            bar.finish_and_clear();
        }
        result.map_err(|error| (source, OpenError::Read(error)))
    }

    /// A bar for what is written, on a terminal; `about` is how many bytes it will be.
    pub(crate) fn writing(&self, path: &Path, about: u64) -> Option<ProgressBar> {
        let bar = self.shows_progress().then(Progress::new_bar)?;
        bar.set_length(about);
        Progress::style(&bar, "{msg} {wide_bar:.cyan/dim} {bytes} ({bytes_per_sec}, {eta} left)");
        bar.set_message(format!("writing {}", path.file_name().unwrap_or_default().to_string_lossy()));
        Some(bar)
    }

    /// Does a part of the work that `--timings` shows.
    pub(crate) fn phase<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        heapsight_analysis::phase(&self.timings, name, work)
    }

    /// Threads to use, by number.
    pub(crate) fn workers(&self) -> usize {
        match self.global.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }

    /// What opens files elsewhere than on this thread.
    pub(crate) fn opener(&self) -> Opener {
        Opener { cache: self.cache.clone(), threads: self.global.threads }
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
        heapsight_capture::take::Output {
            path: self.global.output.clone(),
            force: self.global.force,
            ..heapsight_capture::take::Output::default()
        }
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

    /// Files without the side files of captures among them, which `series/*` names as well.
    pub(crate) fn without_side_files(&self, files: &[PathBuf]) -> Vec<PathBuf> {
        let is_side = |path: &PathBuf| path.to_string_lossy().ends_with(".meta.json");
        let skipped = files.iter().filter(|path| is_side(path)).count();
        if skipped == 0 || skipped == files.len() {
            return files.to_vec();
        }
        let side_files =
            units::number_of(skipped as u64, "side file (….meta.json)", "side files (….meta.json)");
        self.note(&format!("{side_files} among the files left out"));
        files.iter().filter(|path| !is_side(path)).cloned().collect()
    }

    /// What says something on standard error from wherever it is called, also while a line of progress stands there.
    #[expect(clippy::print_stderr, reason = "notes are for people")]
    pub(crate) fn teller(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let quiet = self.global.quiet;
        let clear = if self.shows_progress() { "\r\x1b[K" } else { "" };
        move |text| {
            if !quiet {
                eprintln!("{clear}note: {text}");
            }
        }
    }

    /// The same for what is not cut where it is piped.
    pub(crate) fn style_of_lists(&self) -> Style {
        let piped = self.global.output.is_some() || !io::stdout().is_terminal();
        let style = self.style();
        if piped && std::env::var_os("COLUMNS").is_none() {
            return Style { width: usize::MAX, ..style };
        }
        style
    }

    /// Says to each user once that what was captured has the program's secrets in it. That it was said is remembered by a
    /// file in the folder of indexes; where there is none (`--no-cache`), it is said each time.
    pub(crate) fn warn_of_secrets(&self) {
        let told = self.cache.as_ref().map(|cache| cache.dir.join("told-of-secrets"));
        if self.global.quiet || told.as_ref().is_some_and(|told| told.exists()) {
            return;
        }
        self.note(
            "a heap has every text of the program in it, passwords and customers' data too; before you share it: \
             heapsight redact IN OUT (this is said once)",
        );
        if let Some(told) = told {
            // If it cannot be remembered it is said again.
            let _ = std::fs::create_dir_all(told.parent().unwrap_or(&told));
            let _ = File::create(&told);
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

/// Opens snapshots on any thread, for those who show the progress themselves.
pub(crate) struct Opener {
    cache: Option<Cache>,
    threads: usize,
}

impl Opener {
    /// Whether there is a file that can be read; what is in it is not looked at.
    pub(crate) fn look(path: &Path) -> Result<(), Failure> {
        let error = match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(meta) if meta.is_dir() => OpenError::Directory,
            Ok(_) => return Ok(()),
            Err(error) => OpenError::Io(error),
        };
        Err(Failure::open(&source(path), &error))
    }

    /// Opens a snapshot. `hear` hears the bytes read and the length of the file, `monitor` the phases.
    pub(crate) fn open(
        &self,
        path: &Path,
        hear: &(dyn Fn(u64, Option<u64>) + Sync),
        monitor: &dyn Monitor,
    ) -> Result<Heap, Failure> {
        let options = OpenOptions {
            threads: self.threads,
            cache: self.cache.as_ref(),
            progress: Some(hear),
            monitor: Some(monitor),
        };
        let source = source(path);
        heapsight_query::open(&source, options).map_err(|error| Failure::open(&source, &error))
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
