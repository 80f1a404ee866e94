//! `heapsight open`: serves the page and starts a browser.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use heapsight_capture::target::Target;
use heapsight_web::{Options, Server, Settings, WebError};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{Answer, args::open::Open as Args, code::code_of, context::Context, failure::Failure, recent};

/// Captures of the current folder that are offered.
const NEARBY: usize = 30;

pub(super) fn run(context: &Context, args: Args) -> Result<Answer, Failure> {
    context.refuse_form(
        "`heapsight open FILE` prints the address of a page; the other commands print answers",
    )?;
    let (files, target) = named(args.files);
    for file in &files {
        let found = std::fs::metadata(file);
        let wrong = match &found {
            Err(error) => Some(error.to_string()),
            Ok(meta) if meta.is_dir() => Some("it is a directory".to_owned()),
            Ok(_) => no_capture(file),
        };
        if let Some(why) = wrong {
            return Err(Failure::new(
                format!("cannot open {}: {why}", file.display()),
                "name snapshots, timelines or profiles; without any the page shows what can be captured",
            ));
        }
    }
    let start_page = files.is_empty() && target.is_none();
    let cache = context.cache().map(|cache| cache.dir.clone());
    let known = cache.as_deref().filter(|_| start_page).map(recent::files).unwrap_or_default();
    let settings = Settings { cache: context.cache().cloned(), threads: context.threads(), code_of };
    let options = Options {
        listen: args.listen,
        port: args.port,
        read_only: args.read_only,
        idle_timeout: args.idle_timeout,
        folder: std::env::current_dir().unwrap_or_else(|_| ".".into()),
        nearby: if start_page { captures_here() } else { Vec::new() },
        recent: known,
        target,
        ..Options::new(files.clone(), settings)
    };
    let server = Server::bind(options).map_err(|error| failure(&error))?;
    server.warm();
    if let Some(cache) = cache.filter(|_| !files.is_empty()) {
        recent::remember(&cache, &files);
    }
    if !args.listen.is_loopback() {
        context.note(&format!(
            "the page is served to other machines on {}, without encryption: whoever has its address, or reads the network, reads the heap",
            args.listen
        ));
    }
    // Before the address: whoever has read it may end this.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    context.note("Ctrl-C ends it");
    let stopper = server.stopper();
    let handle = signals.handle();
    let watcher = thread::spawn(move || {
        if signals.forever().next().is_some() {
            stopper.stop();
        }
    });
    if !args.no_browser {
        start_browser(context, &server.url_for_browser());
    }
    let ended = server.run();
    handle.close();
    let _ = watcher.join();
    ended.map_err(|error| failure(&error))?;
    Ok(Answer::Yes)
}

/// Why a file is certainly no capture; what may be one is looked at by the page.
fn no_capture(path: &Path) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.ends_with(".meta.json") {
        return Some("it is the side file of a capture, which is read with it".to_owned());
    }
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head)).ok()?;
    // Stacks and tables of other tools begin with anything.
    if [".txt", ".csv", ".collapsed", ".folded"].iter().any(|end| name.ends_with(end)) {
        return None;
    }
    // Half a character may stand at the end; what is no text is packed, or pprof.
    let text = match str::from_utf8(&head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if text.starts_with('{') || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    Some("this is no heap snapshot, no timeline and no profile".to_owned())
}

/// Files, or the one target that is named in their place.
fn named(names: Vec<PathBuf>) -> (Vec<PathBuf>, Option<String>) {
    if let [name] = names.as_slice()
        && !name.exists()
        && let Some(text) = name.to_str()
        && Target::parse(text).is_ok()
    {
        return (Vec::new(), Some(text.to_owned()));
    }
    (names, None)
}

/// Captures in the current folder, the newest first.
fn captures_here() -> Vec<PathBuf> {
    let is_capture = |name: &str| {
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        [".heapsnapshot", ".heaptimeline", ".heapprofile"].iter().any(|end| name.ends_with(end))
    };
    let entries = std::fs::read_dir(".").into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_capture))
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((meta.modified().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().take(NEARBY).map(|(_, path)| path).collect()
}

fn failure(error: &WebError) -> Failure {
    match error.hint() {
        Some(hint) => Failure::new(error.to_string(), hint),
        None => Failure::plain(error.to_string()),
    }
}

/// Starts the user's browser; where there is none, the address that was printed is enough.
fn start_browser(context: &Context, url: &str) {
    let named = std::env::var_os("BROWSER").filter(|name| !name.is_empty());
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = named.unwrap_or_else(|| OsString::from(usual));
    let mut command = Command::new(&program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(mut child) => {
            // Whoever starts browsers ends at once or stays with it; either way somebody must wait.
            thread::spawn(move || child.wait());
        }
        Err(error) => context.note(&format!(
            "no browser was started ({}: {error}): open the address above yourself",
            program.display()
        )),
    }
}
