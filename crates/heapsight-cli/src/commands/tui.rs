//! `heapsight tui`: from files and the environment to the terminal UI.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use heapsight_analysis::Monitor;
use heapsight_tui::{
    draw::Theme,
    source::Opened,
    terminal::{self, End, Look, Progress},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    Answer,
    args::tui::Tui as Args,
    code::code_of,
    context::{Context, Opener, title},
    failure::Failure,
};

/// Time in which a signal is heard by whoever draws, unless a question takes longer.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    context.refuse_form("`heapsight summary`, `diff` and the others have them")?;
    let reads_stdin = args.files.iter().filter(|path| *path == Path::new("-")).count();
    if reads_stdin > 1 {
        return Err(Failure::plain("standard input can be one file only"));
    }
    let is_terminal = io::stdout().is_terminal() && (reads_stdin == 1 || io::stdin().is_terminal());
    if !is_terminal {
        let file = args.files.last().map(|path| path.display().to_string()).unwrap_or_default();
        return Err(Failure::new(
            "there is no terminal to draw on",
            format!("`heapsight summary {file}` prints the same; over ssh give it a terminal: ssh -t"),
        ));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Err(Failure::new(
            "the terminal says that it cannot move its cursor (TERM=dumb)",
            "`heapsight summary` prints without that",
        ));
    }
    // What cannot be opened at all is said before the screen is taken.
    for path in args.files.iter().filter(|path| *path != Path::new("-")) {
        Opener::look(path)?;
    }
    let stop = stop_on_signals()?;
    let panics = cfg!(debug_assertions) && std::env::var_os("HEAPSIGHT_TUI_PANICS").is_some();
    let look = Look { theme: Theme { colour: context.style().paint.on }, stop, panics };
    let (opener, files) = (context.opener(), args.files.clone());
    match terminal::run(&look, move |progress| open(&opener, &files, progress)) {
        End::Quit => Ok(Answer::Yes),
        End::NotOpened(failure) => Err(failure),
        End::Terminal(error) => Err(Failure::new(
            format!("cannot use the terminal: {error}"),
            "`heapsight summary` prints the same without it",
        )),
    }
}

/// Whether to stop. Whoever is busy with a long question when a signal comes is not waited for: the terminal is given back
/// and the process ends.
#[expect(clippy::exit, reason = "a long question cannot be stopped in another way")]
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&stop);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            theirs.store(true, Ordering::Relaxed);
            thread::sleep(GRACE);
            terminal::restore();
            std::process::exit(128 + signal);
        }
    })?;
    Ok(stop)
}

/// Tells the progress of one file.
struct Heard<'a> {
    progress: &'a Progress,
    name: &'a str,
}

impl Monitor for Heard<'_> {
    fn begin(&self, phase: &'static str) {
        self.progress.say(if phase == "read" {
            format!("Reading {}", self.name)
        } else {
            format!("Analysing {}: {phase}", self.name)
        });
    }
}

fn open(opener: &Opener, files: &[PathBuf], progress: &Progress) -> Result<Vec<Opened>, Failure> {
    let mut opened = Vec::with_capacity(files.len());
    for path in files {
        let name = path.file_name().map_or_else(|| title(path), |name| name.to_string_lossy().into_owned());
        let name = if path == Path::new("-") { title(path) } else { name };
        progress.say(format!("Opening {name}"));
        let heard = Heard { progress, name: &name };
        let hear = |bytes: u64, all: Option<u64>| progress.read(bytes, all);
        let heap = opener.open(path, &hear, &heard)?;
        let code = code_of(path, &heap);
        opened.push(Opened { name: heapsight_report::paint::plain(&name), heap, code });
    }
    Ok(opened)
}
