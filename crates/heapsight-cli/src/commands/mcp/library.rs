//! The files that an agent may open, and those that are open.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use heapsight_analysis::Heap;
use heapsight_query::{Cache, OpenOptions, Source, code::Code};

use crate::{code::code_of, failure::Failure};

/// Files that are kept open. An opened file takes memory of about its own size.
const OPEN: usize = 4;

/// Names that a refusal lists.
const LISTED: usize = 200;

/// An open file.
pub(super) struct Opened {
    /// Its path without links.
    pub(super) path: PathBuf,
    pub(super) heap: Heap,
    pub(super) code: Code,
    /// When it was written, and its length: a file that changes is opened again.
    state: Option<(SystemTime, u64)>,
}

/// What may be opened, and what is.
pub(super) struct Library {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    cache: Option<Cache>,
    threads: usize,
    /// Last used last.
    open: Mutex<Vec<Arc<Opened>>>,
}

impl Library {
    /// # Errors
    /// A name that is not there, or none at all.
    pub(super) fn new(
        files: &[PathBuf],
        folders: &[PathBuf],
        cache: Option<Cache>,
        threads: usize,
    ) -> Result<Self, Failure> {
        let real = |path: &PathBuf| {
            path.canonicalize().map_err(|e| {
                Failure::new(
                    format!("cannot open {}: {e}", path.display()),
                    "check the path; the agent can open only what is named here",
                )
            })
        };
        if files.is_empty() && folders.is_empty() {
            return Err(Failure::new(
                "the agent may open nothing",
                "name snapshots, or a folder with --allow DIR",
            ));
        }
        let files = files.iter().map(real).collect::<Result<_, _>>()?;
        let folders = folders.iter().map(real).collect::<Result<_, _>>()?;
        Ok(Self { files, folders, cache, threads, open: Mutex::default() })
    }

    /// The file of a path, if it may be opened. A bare name is looked for in what is allowed.
    pub(super) fn permitted(&self, path: &str) -> Result<PathBuf, Failure> {
        let refused = || {
            Failure::new(
                format!("{path} may not be opened, or is not there"),
                "the tool `files` lists what may be opened",
            )
        };
        let by_name =
            || self.list().into_iter().find(|file| file.file_name().is_some_and(|name| name == path));
        // Links are followed first, so that none leads out of a folder.
        let real = Path::new(path).canonicalize().ok().filter(|real| self.allows(real));
        real.or_else(by_name).filter(|real| real.is_file()).ok_or_else(refused)
    }

    fn allows(&self, real: &Path) -> bool {
        self.files.iter().any(|file| file == real)
            || self.folders.iter().any(|folder| real.starts_with(folder))
    }

    /// What may be opened: the files, and the captures that lie in the folders.
    pub(super) fn list(&self) -> Vec<PathBuf> {
        let mut list = self.files.clone();
        for folder in &self.folders {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let captures = entries.filter_map(|entry| entry.path().canonicalize().ok()).filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let is_capture = name.contains(".heapsnapshot") || name.contains(".heaptimeline");
                is_capture && !name.ends_with(".meta.json") && self.allows(path) && path.is_file()
            });
            list.extend(captures.take(LISTED));
        }
        list.sort();
        list.dedup();
        list.truncate(LISTED);
        list
    }

    /// An open file; opens it if it is not open or has changed.
    pub(super) fn get(&self, path: &str) -> Result<Arc<Opened>, Failure> {
        let path = self.permitted(path)?;
        let state = fs::metadata(&path).ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = open.iter().position(|file| file.path == path) {
            let file = open.remove(at);
            if file.state == state {
                open.push(Arc::clone(&file));
                return Ok(file);
            }
        }
        if open.len() >= OPEN {
            // Before the new one is read, so that no more than so many are in memory.
            open.remove(0);
        }
        let heap = self.read(&path)?;
        let file = Arc::new(Opened { code: code_of(&path, &heap), heap, path, state });
        open.push(Arc::clone(&file));
        Ok(file)
    }

    /// Opens a file that may be opened, without keeping it.
    pub(super) fn read(&self, path: &Path) -> Result<Heap, Failure> {
        let options =
            OpenOptions { threads: self.threads, cache: self.cache.as_ref(), ..OpenOptions::default() };
        let source = Source::Path(path.to_owned());
        heapsight_query::open(&source, options).map_err(|error| Failure::open(&source, &error))
    }
}
