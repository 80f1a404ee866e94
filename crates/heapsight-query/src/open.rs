//! From a path or a stream to a heap.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use heapsight_analysis::{
    Beside, Heap, Monitor, OutOfMemory,
    dominators::DominatorTree,
    phase,
    store::{self, Derived, Overview},
};
use heapsight_snapshot::{Problem, ReadError, ReadOptions, SizeColumn, Snapshot, index::IndexWriter};

use crate::{
    cache::{Cache, Identity, Pending},
    direct::DirectWriter,
};

/// Where a snapshot comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// Why a snapshot could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be opened.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The path is a folder.
    #[error("it is a directory")]
    Directory,
    /// It is not a sound snapshot.
    #[error("{0}")]
    Read(#[source] ReadError),
    /// It does not fit in memory.
    #[error("{0}")]
    Memory(#[source] OutOfMemory),
}

impl OpenError {
    /// What to try, where something is known to help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => Some("check the path"),
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("Node writes snapshots with mode 0600: read it as the user who made it")
            }
            Self::Io(_) => None,
            Self::Directory => Some("name a .heapsnapshot or .heaptimeline file in it"),
            Self::Read(error) => read_hint(&error.problem),
            Self::Memory(_) => Some("it takes about 85 bytes an object: use a machine with more memory"),
        }
    }
}

fn read_hint(problem: &Problem) -> Option<&'static str> {
    Some(match problem {
        Problem::Truncated | Problem::Empty | Problem::Compressed(_) | Problem::EdgesMissing { .. } => {
            "the capture was cut off: the process was killed or the disk was full while it was written; take it again, or save what is whole: heapsight repair IN OUT"
        }
        Problem::NotASnapshot(_) => {
            "heapsight reads .heapsnapshot and .heaptimeline files of Node.js, Deno, Bun and Chromium, also .gz and .zst"
        }
        Problem::OtherFormat(what) if what.contains("heap profile") => {
            "this command wants a heap snapshot or an allocation timeline; `heapsight profile top FILE` reads profiles"
        }
        Problem::OtherFormat(_) => "this command wants a heap snapshot or an allocation timeline",
        Problem::OutOfMemory { .. } => "it takes about 85 bytes an object: use a machine with more memory",
        _ => return None,
    })
}

/// How to open.
#[derive(Clone, Copy, Default)]
pub struct OpenOptions<'a> {
    /// Threads that parse; 0 is as many as there are cores.
    pub threads: usize,
    /// The index folder; `None` neither reads nor writes an index.
    pub cache: Option<&'a Cache>,
    /// Hears the bytes read and the length of the file, where that is known.
    pub progress: Option<&'a (dyn Fn(u64, Option<u64>) + Sync)>,
    /// Hears the phases.
    pub monitor: Option<&'a dyn Monitor>,
}

impl std::fmt::Debug for OpenOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("threads", &self.threads)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// Collects how long the phases took.
#[derive(Debug, Default)]
pub struct Timings(Mutex<Vec<(&'static str, Duration)>>);

impl Timings {
    /// The phases in the order in which they ended.
    pub fn list(&self) -> Vec<(&'static str, Duration)> {
        self.0.lock().map(|list| list.clone()).unwrap_or_default()
    }
}

impl Monitor for Timings {
    fn end(&self, phase: &'static str, took: Duration) {
        if let Ok(mut list) = self.0.lock() {
            list.push((phase, took));
        }
    }
}

struct Quiet;
impl Monitor for Quiet {}

/// The Summary of a file from its index, if there is one: a few milliseconds for a file of any size.
pub fn overview(source: &Source, options: OpenOptions<'_>) -> Option<Overview> {
    let (Source::Path(path), Some(cache)) = (source, options.cache) else { return None };
    let mut file = File::open(path).ok()?;
    if file.metadata().ok()?.len() < cache.min_file {
        return None;
    }
    let index = cache.find(&Identity::of(path, &mut file).ok()?)?;
    let monitor = options.monitor.unwrap_or(&Quiet);
    phase(monitor, "overview from index", || store::read_overview(&index)).ok()
}

/// Opens a snapshot: from its index where that is possible, else by reading it, leaving an index behind.
pub fn open(source: &Source, options: OpenOptions<'_>) -> Result<Heap, OpenError> {
    match source {
        Source::Stdin => read(io::stdin(), None, options, None),
        Source::Path(path) => open_path(path, options),
    }
}

fn open_path(path: &Path, options: OpenOptions<'_>) -> Result<Heap, OpenError> {
    let mut file = File::open(path).map_err(OpenError::Io)?;
    let meta = file.metadata().map_err(OpenError::Io)?;
    if meta.is_dir() {
        return Err(OpenError::Directory);
    }
    if !meta.is_file() {
        // A pipe or a device: its length says nothing, and it cannot be read twice.
        return read(file, None, options, None);
    }
    let cache = options.cache.filter(|cache| meta.len() >= cache.min_file);
    let identity = cache.and_then(|_| Identity::of(path, &mut file).ok());
    let cached = cache.zip(identity.as_ref());
    if let Some((cache, identity)) = cached
        && let Some(index) = cache.find(identity)
    {
        let monitor = options.monitor.unwrap_or(&Quiet);
        if let Ok(heap) = phase(monitor, "index", || store::read_heap(&index)) {
            return Ok(heap);
        }
    }
    read(file, Some(meta.len()), options, cached.map(|(cache, identity)| (cache, identity, path)))
}

fn read(
    source: impl Read + Send,
    len: Option<u64>,
    options: OpenOptions<'_>,
    cached: Option<(&Cache, &Identity, &Path)>,
) -> Result<Heap, OpenError> {
    let monitor = options.monitor.unwrap_or(&Quiet);
    let progress = |bytes: u64| {
        if let Some(progress) = options.progress {
            progress(bytes, len);
        }
    };
    let mut read_options = ReadOptions { len, progress: Some(&progress), ..ReadOptions::default() };
    if options.threads > 0 {
        read_options.threads = options.threads;
    }
    let snapshot =
        phase(monitor, "read", || heapsight_snapshot::read(source, read_options)).map_err(OpenError::Read)?;
    // What is written is known but for the strings' and the classes' small change.
    let about = snapshot.node_count() as u64 * 45
        + snapshot.edge_count() as u64 * 9
        + snapshot.strings.section_bytes();
    let pending = Mutex::new(cached.and_then(|(cache, identity, _)| cache.begin(identity, about)));
    let writing = Writing { pending, monitor, is_small: about <= SMALL_INDEX };
    let heap = Heap::build(snapshot, monitor, &writing).map_err(OpenError::Memory)?;
    let pending = writing.pending.into_inner().unwrap_or(None);
    if let Some(((cache, identity, path), mut index)) = cached.zip(pending) {
        phase(monitor, "results to index", || {
            if store::write_results(index.writer(), &heap).is_ok() {
                let still = || {
                    let now = File::open(path).and_then(|mut file| Identity::of(path, &mut file));
                    now.is_ok_and(|now| now == *identity)
                };
                if index.finish(still) {
                    cache.tidy();
                }
            }
        });
    }
    Ok(heap)
}

/// An index up to so many bytes ends in the page cache.
const SMALL_INDEX: u64 = 256 << 20;

/// An index in the making, written while the heap is analysed. What fails leaves none.
struct Writing<'a> {
    pending: Mutex<Option<Pending>>,
    monitor: &'a (dyn Monitor + 'a),
    is_small: bool,
}

impl Writing<'_> {
    fn write(&self, name: &'static str, part: impl FnOnce(&mut IndexWriter<DirectWriter>) -> io::Result<()>) {
        let Ok(mut slot) = self.pending.lock() else { return };
        if let Some(mut index) = slot.take() {
            let written = phase(self.monitor, name, || part(index.writer()));
            *slot = written.is_ok().then_some(index);
        }
    }
}

impl Beside for Writing<'_> {
    fn graph(&self, snapshot: &Snapshot) {
        self.write("graph to index", |out| store::write_graph(out, snapshot));
    }

    fn derived(&self, derived: Derived<'_>) {
        self.write("derived to index", |out| store::write_derived(out, derived));
    }

    fn dominators(&self, tree: &DominatorTree, retained: &SizeColumn) {
        self.write("dominators to index", |out| {
            if self.is_small {
                out.output().through_the_cache()?;
            }
            store::write_dominators(out, tree, retained)
        });
    }
}
