//! `heapsight watch`: flags and file to settings; what happens to lines.

use std::{
    fs,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use heapsight_capture::{
    take::{Taker, TakerOptions},
    target::Target,
};
use heapsight_upload::Environment;
use heapsight_watch::{
    Control, Event, Host, Settings, SystemClock,
    config::{self, Wish, Wishes},
    settings::{Action, Subject},
    units,
};
use serde_json::json;

use super::capture;
use crate::{
    Answer,
    args::{Format, watch::Watch as Args},
    context::Context,
    failure::Failure,
};

/// How often signals are passed on.
const TICK: Duration = Duration::from_millis(100);

pub(super) fn run(context: &Context, args: Args) -> Result<Answer, Failure> {
    let form = context.format();
    if !matches!(form, Format::Text | Format::Json) {
        return Err(Failure::new("what happens has no CSV or Markdown form", "use --json or --format text"));
    }
    if context.output_path().is_some_and(|path| path == std::path::Path::new("-")) {
        return Err(Failure::new("captures do not go to standard output", "name a folder: -o captures"));
    }
    let check = args.check_config;
    let settings = Settings { force: context.force(), ..settings(context, args)? };
    if check {
        return checked(form, &settings);
    }
    if settings.rules.is_empty() {
        context.note("no rules (--on): only the end of a process is kept as evidence");
    }
    let whole = |action: &Action| matches!(action, Action::Snapshot | Action::Timeline(_));
    if settings.rules.iter().any(|rule| rule.actions.iter().any(whole)) {
        context.warn_of_secrets();
    }
    let stop = capture::stop_on_signals()?;
    let poke = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR2, Arc::clone(&poke))?;
    let control = Control::default();
    let closed = AtomicBool::new(false);
    let event = |event: &Event| {
        if say(form, event).is_err() {
            closed.store(true, Ordering::Relaxed);
        }
    };
    let host = Host {
        event: &event,
        clock: Arc::new(SystemClock::default()),
        environment: Environment::new(std::env::vars_os()),
    };
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Whoever reads what happens has gone: nobody is left to watch for.
                if stop.load(Ordering::Relaxed) || closed.load(Ordering::Relaxed) {
                    control.stop.store(true, Ordering::Relaxed);
                }
                if poke.swap(false, Ordering::Relaxed) {
                    control.poke.store(true, Ordering::Relaxed);
                }
                thread::sleep(TICK);
            }
        });
        let result = heapsight_watch::run(settings, &control, &host);
        over.store(true, Ordering::Relaxed);
        result
    });
    result?;
    Ok(Answer::Yes)
}

/// One line of what happened.
fn say(form: Format, event: &Event) -> io::Result<()> {
    let now = jiff::Zoned::now();
    let line = if form == Format::Json {
        let mut value = json!({"time": now.timestamp().to_string()});
        if let (Some(value), Some(rest)) = (value.as_object_mut(), event.json().as_object()) {
            value.extend(rest.clone());
        }
        format!("{value}\n")
    } else {
        format!("{} {event}\n", now.strftime("%Y-%m-%d %H:%M:%S"))
    };
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

fn settings(context: &Context, args: Args) -> Result<Settings, Failure> {
    let file = match &args.config {
        None => Wishes::default(),
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| Failure::plain(format!("cannot read {}: {error}", path.display())))?;
            config::parse(&text).map_err(|error| {
                Failure::new(
                    format!("{} is wrong: {error}", path.display()),
                    "docs/commands/watch.md has all settings",
                )
            })?
        }
    };
    let pid = args.target.as_deref().map(process).transpose()?;
    let never = || args.looks.no_inspector.then(|| "never".to_owned());
    let actions = (!args.rules.actions.is_empty()).then_some(args.rules.actions);
    let rules = args
        .rules
        .on
        .into_iter()
        .map(|when| Wish { when, actions: actions.clone(), cooldown: None })
        .collect();
    let flags = Wishes {
        all: args.all.then_some(true),
        pid,
        matching: args.matching,
        follow: args.no_follow.then_some(false),
        folder: context.output_path().map(std::path::Path::to_owned),
        every: args.looks.every,
        heap_every: args.looks.heap_every.or_else(never),
        profile_every: args.looks.profile_every.or_else(never),
        interval: args.looks.interval,
        window: args.looks.window,
        per_day: args.rules.per_day,
        disk_budget: args.rules.disk_budget,
        cooldown: args.rules.cooldown,
        metrics: args.looks.metrics,
        timeout: args.looks.timeout,
        upload: (!args.uploads.is_empty()).then_some(args.uploads),
        rules,
    };
    flags.or(file).settings().map_err(|problems| {
        Failure::new(
            format!("the settings are wrong: {}", problems.join("\n  ")),
            "`heapsight watch --help` has the words of conditions and actions",
        )
    })
}

/// The process that a target is. The inspector of an address is asked whose it is.
fn process(text: &str) -> Result<u32, Failure> {
    let target = Target::parse(text)?;
    if let Target::Pid(pid) = target {
        return Ok(pid);
    }
    let mut taker = Taker::new(target, TakerOptions::default())?;
    taker.identity()?;
    let pid = taker.process().map(|process| process.status.pid);
    taker.close()?;
    pid.ok_or_else(|| {
        Failure::new(
            format!("cannot watch {text}: it is no process of this machine"),
            "run heapsight where the process is, and name its process id",
        )
    })
}

/// Says what the settings mean.
fn checked(form: Format, settings: &Settings) -> Result<Answer, Failure> {
    let time = |time: Option<Duration>| time.map_or_else(|| "never".to_owned(), units::time);
    let subject = match settings.subject {
        Subject::Process(pid) => format!("process {pid}"),
        Subject::All => "all V8 programs".to_owned(),
    };
    if form == Format::Json {
        let rules: Vec<_> = settings
            .rules
            .iter()
            .map(|rule| {
                let actions: Vec<String> = rule.actions.iter().map(ToString::to_string).collect();
                json!({"when": rule.text, "do": actions, "cooldown_ms": rule.pause().as_millis() as u64})
            })
            .collect();
        let value = json!({"sound": true, "folder": settings.folder, "rules": rules, "per_day": settings.per_day,
            "disk_budget": settings.disk_budget, "uploads": settings.uploads, "window_ms": settings.window.as_millis() as u64});
        writeln!(io::stdout(), "{value:#}")?;
        return Ok(Answer::Yes);
    }
    let mut text = format!("the settings are sound\n  watches   {subject}");
    if let Some(matching) = &settings.matching {
        text.push_str(&format!(" whose command line has `{matching}`"));
    }
    text.push_str(&format!(
        "\n  looks     the kernel every {}, heap every {}, profile every {}; window {}\n  keeps     in {}, {} at most, \
         {} actions a day for a program\n",
        units::time(settings.every),
        time(settings.heap_every),
        time(settings.profile_every),
        units::time(settings.window),
        settings.folder.display(),
        units::bytes(settings.disk_budget),
        settings.per_day
    ));
    text.push_str(&format!(
        "  samples   one allocation in {}; answers within {}\n",
        units::bytes(settings.interval),
        units::time(settings.timeout)
    ));
    if let Some(address) = settings.metrics {
        text.push_str(&format!("  metrics   at http://{address}/metrics\n"));
    }
    if !settings.follow {
        text.push_str("  ends      with the process\n");
    }
    for url in &settings.uploads {
        text.push_str(&format!("  uploads   to {url}\n"));
    }
    for rule in &settings.rules {
        let actions: Vec<String> = rule.actions.iter().map(ToString::to_string).collect();
        let pause = rule.pause();
        let then =
            if pause.is_zero() { String::new() } else { format!(" (then not for {})", units::time(pause)) };
        text.push_str(&format!("  on        {}: {}{then}\n", rule.text, actions.join(", ")));
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(Answer::Yes)
}
