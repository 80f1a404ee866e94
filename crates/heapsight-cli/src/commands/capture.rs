//! What the captures share: the target, the program that is started for it, progress, Ctrl-C, and the report.

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use heapsight_capture::{
    launch::{self, Launched},
    load::{
        command::{Exit, Pass},
        http,
        wait::{self, WaitFor},
    },
    take::{Event, Meanwhile, Monitor, Taken, Taker, TakerOptions},
    target::Target,
};
use heapsight_report::units;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    args::{
        Format,
        capture::{From as TargetArgs, Meanwhile as MeanwhileArgs},
    },
    context::Context,
    failure::Failure,
};

/// What comes sooner after the first signal is the same wish once more: `timeout` and `npx` pass on what the terminal has
/// sent already.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Ctrl-C and SIGTERM: the first ends a capture in order, a later one at once.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    told.store(true, Ordering::Relaxed);
                }
                Some(first) if first.elapsed() < SAME_WISH => {}
                Some(_) => signal_hook::low_level::exit(128 + signal),
            }
        }
    })?;
    Ok(stop)
}

/// A target that can be captured from, and the program that was started for it.
pub(super) struct Subject {
    pub(super) taker: Taker,
    /// Ended when this is dropped.
    launched: Option<Launched>,
}

impl Subject {
    /// A failure in the light of what became of the program that was started here: where it has ended by itself, that is
    /// what the user wants to know.
    pub(super) fn explained(&mut self, failure: Failure) -> Failure {
        let Some(exit) = self.launched.as_mut().and_then(Launched::exited) else { return failure };
        let Failure::Message { what, .. } = failure else { return failure };
        Failure::new(
            format!("the program that was started has ended ({exit}): {what}"),
            "a short program is captured while it runs: --wait-for TEXT|URL begins later, --duration ends sooner",
        )
    }
}

/// What a command makes, which says where the output of a program goes that it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makes {
    /// A file: standard output is the program's, unless the file goes there.
    File,
    /// An answer on standard output: the program's goes to standard error.
    Answer,
    /// A picture of the whole terminal: the program's output would spoil it.
    Screen,
}

/// Finds the target, or starts it, and waits until it is ready.
pub(super) fn subject(
    context: &Context,
    args: &TargetArgs,
    makes: Makes,
    stop: &AtomicBool,
) -> Result<Subject, Failure> {
    let wait_for = args.wait_for.as_deref().map(WaitFor::parse).transpose()?;
    let mut launched = None;
    let target = if let Some(text) = &args.named {
        Target::parse(text)?
    } else {
        let mut options = launch::Options::new(args.command.iter());
        options.node_options = std::env::var_os("NODE_OPTIONS").unwrap_or_default();
        if let Some(WaitFor::Text(text)) = &wait_for {
            options.watch = Some(text.clone());
            let shown = || -> Box<dyn Write + Send> {
                if makes == Makes::Screen { Box::new(io::sink()) } else { Box::new(io::stderr()) }
            };
            options.stdout = Pass::To(shown());
            options.stderr = Pass::To(shown());
        } else {
            match makes {
                Makes::File if !answer_on_stdout(context) => {}
                Makes::File | Makes::Answer => options.stdout = Pass::Stderr,
                Makes::Screen => (options.stdout, options.stderr) = (Pass::Discard, Pass::Discard),
            }
        }
        let mut program = Launched::start(options)?;
        let found = program.find(&launch::is_v8_by_name, args.timeout, stop)?;
        launched = Some(program);
        Target::Pid(found.pid)
    };
    match &wait_for {
        Some(WaitFor::Url(url)) => {
            wait::url_told(url, args.timeout, launched.as_mut(), stop, &context.teller())?;
        }
        Some(WaitFor::Text(_)) => match &mut launched {
            Some(program) => program.wait_for_text(args.timeout, stop)?,
            None => {
                return Err(Failure::new(
                    "only the output of a program that is started here can be waited for",
                    "start it with `-- node app.js`, or wait for a URL",
                ));
            }
        },
        None => {}
    }
    let options = TakerOptions { page: page(&args.thread), timeout: args.timeout, ..TakerOptions::default() };
    let taker = Taker::new(target, options)?;
    Ok(Subject { taker, launched })
}

/// What `--thread` names if it is no thread: a page of a browser.
fn page(thread: &str) -> Option<String> {
    let is_thread = thread == "main" || thread == "all" || thread.parse::<u32>().is_ok();
    (!is_thread).then(|| thread.to_owned())
}

/// The isolates that `--thread` names.
pub(super) fn threads(taker: &mut Taker, args: &TargetArgs) -> Result<Vec<u32>, Failure> {
    Ok(match args.thread.as_str() {
        "all" => taker.threads()?.iter().map(|thread| thread.number).collect(),
        other => vec![other.parse().unwrap_or(0)],
    })
}

/// The one isolate of a recording.
pub(super) fn thread(args: &TargetArgs) -> Result<u32, Failure> {
    if args.thread == "all" {
        return Err(Failure::new(
            "a recording is of one isolate",
            "name main or the number of a worker; `heapsight snapshot --thread all` takes all",
        ));
    }
    Ok(args.thread.parse().unwrap_or(0))
}

/// What is to go on meanwhile.
pub(super) fn meanwhile(
    context: &Context,
    during: &MeanwhileArgs,
    timeout: Duration,
) -> Result<Meanwhile, Failure> {
    Ok(match (&during.during, &during.load) {
        (Some(command), _) => Meanwhile::command(command.clone()),
        (None, Some(url)) => {
            Meanwhile::load(load_options(context, url, during.requests, during.connections, timeout)?)
        }
        (None, None) => Meanwhile::time(during.duration),
    })
}

/// A load of so many requests over so many connections.
pub(super) fn load_options(
    context: &Context,
    url: &str,
    requests: u64,
    connections: usize,
    timeout: Duration,
) -> Result<http::Options, Failure> {
    let connections = u32::try_from(connections).unwrap_or(u32::MAX);
    if connections == 0 || connections > http::MAX_CONNECTIONS || requests == 0 {
        return Err(Failure::new(
            "a load has at least one request and one connection",
            format!("use -n 1000 -c 5; at most {} connections", http::MAX_CONNECTIONS),
        ));
    }
    let mut options = http::Options::new(url.to_owned());
    options.requests = Some(requests);
    options.connections = connections;
    options.ready_within = timeout;
    options.told = http::Told::new(context.teller());
    Ok(options)
}

/// Whether standard output has what a program reads: the answer in JSON, or the capture itself.
fn answer_on_stdout(context: &Context) -> bool {
    to_stdout(context) || context.format() != Format::Text
}

/// Whether the capture itself goes to standard output.
pub(super) fn to_stdout(context: &Context) -> bool {
    context.capture_output().path.as_deref() == Some(Path::new("-"))
}

/// Standard output for a capture, if it goes there.
pub(super) fn stdout(context: &Context) -> Option<Box<dyn Write + Send>> {
    to_stdout(context).then(|| Box::new(io::stdout()) as Box<dyn Write + Send>)
}

/// Shows what happens: a line with bytes and rate on a terminal, notes in any case.
pub(super) struct Display<'c> {
    context: &'c Context,
    bar: Option<ProgressBar>,
    doing: Mutex<(String, Instant)>,
    /// What longer work this is part of.
    step: Mutex<String>,
}

impl<'c> Display<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        let bar = context.shows_progress().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { context, bar, doing: Mutex::new((String::new(), Instant::now())), step: Mutex::default() }
    }

    pub(super) fn hear(&self, event: Event) {
        match event {
            Event::Step(text) => {
                if let Some(bar) = &self.bar {
                    bar.set_message(text.clone());
                }
                *self.step.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
            Event::Doing(text) => {
                let step = self.step.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let text = if step.is_empty() { text.to_owned() } else { format!("{step}: {text}") };
                if let Some(bar) = &self.bar {
                    bar.set_message(text.clone());
                }
                *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = (text, Instant::now());
            }
            Event::Progress { elapsed, bytes, live } => {
                let Some(bar) = &self.bar else { return };
                let (doing, since) = self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let mut text = format!("{doing}, {:.0} s", elapsed.as_secs_f64());
                if bytes > 0 {
                    let rate = bytes as f64 / since.elapsed().as_secs_f64().max(0.1);
                    text.push_str(&format!(", {} ({}/s)", units::bytes(bytes), units::bytes(rate as u64)));
                }
                if let Some(live) = live.filter(|live| live.intervals > 0) {
                    let objects = units::count(live.objects);
                    text.push_str(&format!(", alive: {objects} objects, {}", units::bytes(live.bytes)));
                }
                bar.set_message(text);
            }
            Event::Note(text) => match &self.bar {
                Some(bar) => bar.suspend(|| self.context.note(&text)),
                None => self.context.note(&text),
            },
            _ => {}
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Runs something with a display and the flag of Ctrl-C.
pub(super) fn watched<T>(
    context: &Context,
    stop: &AtomicBool,
    work: impl FnOnce(&Monitor<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let display = Display::new(context);
    let event = |event: Event| display.hear(event);
    let result = work(&Monitor { event: &event, stop });
    display.end();
    result
}

/// Waits, unless interrupted.
pub(super) fn pause(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Says what was captured, and what the load saw.
pub(super) fn report(
    context: &Context,
    taken: &[Taken],
    outcome: (Option<Exit>, Option<http::Report>),
) -> Result<(), Failure> {
    // A profile has names alone.
    if taken.iter().any(|taken| taken.metadata.capture.kind != "heapprofile") {
        context.warn_of_secrets();
    }
    let (exit, load) = outcome;
    if context.format() == Format::Json {
        let mut value = json!({"captures": taken.iter().map(taken_json).collect::<Vec<_>>()});
        if let Some(load) = &load {
            value["load"] = load_json(load);
        }
        if let Some(exit) = exit {
            value["during"] = json!({"exit_code": exit.code()});
        }
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        return say(context, &text);
    }
    let mut text = String::new();
    for taken in taken {
        text.push_str(&taken_text(taken));
    }
    if let Some(load) = &load {
        text.push_str(&load_text(load));
    }
    if let Some(exit) = exit.filter(|exit| !exit.success()) {
        text.push_str(&format!("the command of --during ended with {exit}\n"));
    }
    say(context, &text)
}

fn say(context: &Context, text: &str) -> Result<(), Failure> {
    if to_stdout(context) {
        io::stderr().write_all(text.as_bytes())?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn taken_json(taken: &Taken) -> Value {
    let (metadata, written) = (&taken.metadata, &taken.written);
    json!({
        "file": written.path,
        "kind": metadata.capture.kind,
        "method": metadata.capture.method,
        "pid": metadata.process.pid,
        "thread": metadata.process.thread,
        "thread_name": metadata.process.thread_name,
        "runtime": metadata.runtime.name,
        "version": metadata.runtime.version,
        "bytes": written.bytes,
        "stored_bytes": written.stored_bytes,
        "nodes": written.counts.nodes,
        "edges": written.counts.edges,
        "pause_ms": taken.pause.map(milliseconds),
        "elapsed_ms": milliseconds(taken.elapsed),
        "ids_comparable": metadata.id_space.is_some(),
    })
}

fn taken_text(taken: &Taken) -> String {
    let (metadata, written) = (&taken.metadata, &taken.written);
    let name =
        written.path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    let mut size = units::bytes(written.bytes);
    if written.stored_bytes != written.bytes {
        size.push_str(&format!(" ({} compressed)", units::bytes(written.stored_bytes)));
    }
    let mut text = format!("wrote {name}\n  {size}");
    if written.counts.nodes > 0 {
        let (nodes, edges) = (written.counts.nodes, written.counts.edges);
        text.push_str(&format!(", {} objects, {} references", units::count(nodes), units::count(edges)));
    }
    text.push_str(&format!(", in {}\n  ", time(taken.elapsed)));
    match taken.pause {
        Some(pause) => text.push_str(&format!(
            "the program stood still for {}, method {}\n",
            time(pause),
            metadata.capture.method
        )),
        None => text.push_str(&format!("method {}\n", metadata.capture.method)),
    }
    let (process, runtime) = (&metadata.process, &metadata.runtime);
    let runtime = match runtime.name.as_str() {
        "node" => format!("Node.js {}", runtime.version),
        "deno" => format!("Deno {}", runtime.version),
        other => format!("{other} {}", runtime.version),
    };
    let thread = match (&process.thread_name, process.thread) {
        (_, 0) => "main thread".to_owned(),
        (Some(name), number) => format!("thread {number}, {name}"),
        (None, number) => format!("thread {number}"),
    };
    let of = if process.pid > 0 { format!("process {}, ", process.pid) } else { String::new() };
    text.push_str(&format!("  {of}{}, {thread}\n", runtime.trim()));
    text
}

fn load_json(load: &http::Report) -> Value {
    json!({
        "requests": load.requests,
        "failed": load.failed,
        "slow": load.slow,
        "unfinished": load.unfinished,
        "duration_ms": milliseconds(load.duration),
        "requests_per_second": (load.throughput() * 10.0).round() / 10.0,
        "latency_ms": {
            "p50": milliseconds(load.latency.p50),
            "p90": milliseconds(load.latency.p90),
            "p99": milliseconds(load.latency.p99),
            "p99_9": milliseconds(load.latency.p999),
            "max": milliseconds(load.latency.max),
        },
    })
}

fn load_text(load: &http::Report) -> String {
    let mut failures = String::new();
    for (why, count) in &load.failures {
        failures.push_str(&format!(", {why}: {}", units::count(*count)));
    }
    format!(
        "load: {} requests in {}, {:.0} a second; {} failed{failures}; {} took over 1 s\n  \
         50 % {}   90 % {}   99 % {}   99.9 % {}   longest {}\n",
        units::count(load.requests),
        time(load.duration),
        load.throughput(),
        units::count(load.failed),
        units::count(load.slow),
        time(load.latency.p50),
        time(load.latency.p90),
        time(load.latency.p99),
        time(load.latency.p999),
        time(load.latency.max),
    )
}

/// A time for people: `4.2 ms`, `310 ms`, `12.3 s`, `2 min 5 s`.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_that_they_carry() {
        let shown = [0.0042, 0.31, 12.34, 125.0].map(|s| time(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["4.2 ms", "310 ms", "12.3 s", "2 min 5 s"]);
    }
}
