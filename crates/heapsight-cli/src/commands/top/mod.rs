//! `heapsight top`: one thread samples, one draws and hears keys. Every way out stops the sampling, closes the inspector
//! that was opened, and restores the terminal.

mod state;
mod view;

use std::{
    io::{self, IsTerminal as _, Write as _},
    ops::ControlFlow,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use heapsight_capture::{
    inspector::{SamplingOptions, Session},
    take::Taker,
};
use heapsight_report::{
    profile::{By, named_key},
    table::{Cell, Table},
    text::Style,
};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::{Value, json};

use self::state::{Action, Press, Sight, State};
use super::capture;
use crate::{
    Answer,
    args::{Format, capture::Live as Args},
    context::Context,
    failure::Failure,
};

/// How long the event loop may take to turn before it is said that it does not.
const PATIENCE: Duration = Duration::from_millis(900);

/// What is said of a V8 that does not know the wish.
const ALIVE_ONLY: &str = "this V8 forgets what is collected (Node.js before 20): counted is what is alive";

/// How often keys are looked at.
const TICK: Duration = Duration::from_millis(50);

/// What the sampling thread is to do.
struct Orders<'a> {
    every: Duration,
    timeout: Duration,
    interval: u64,
    /// Count what was collected, too.
    all: &'a AtomicBool,
    stop: &'a AtomicBool,
}

type Seen = Result<Sight, Failure>;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let stop = capture::stop_on_signals()?;
    let number = capture::thread(&args.target)?;
    let is_screen = args.count.is_none()
        && !args.once
        && context.format() == Format::Text
        && context.output_path().is_none()
        && io::stdout().is_terminal()
        && io::stdin().is_terminal();
    let makes = if is_screen { capture::Makes::Screen } else { capture::Makes::Answer };
    let mut subject = capture::subject(context, &args.target, makes, &stop)?;
    let title = titled(&mut subject.taker, &args.target.thread)?;
    let keeps_collected = subject.taker.identity()?.keeps_collected();
    if !keeps_collected && !args.alive {
        context.note(ALIVE_ONLY);
    }
    let mut session = subject.taker.session(number)?;
    let all = AtomicBool::new(keeps_collected && !args.alive);
    let orders = Orders {
        every: args.every,
        timeout: args.target.timeout,
        interval: args.interval,
        all: &all,
        stop: &stop,
    };
    let mut state = State::new(title, args.sort);
    let (send, receive) = channel();
    let shown = thread::scope(|scope| {
        let sampling = scope.spawn(|| sample(&mut session, &orders, &send));
        let shown = if is_screen {
            screen(&mut state, &receive, &orders, keeps_collected)
        } else {
            // Without a number it goes on until it is stopped.
            let most = if args.once { 1 } else { args.count.unwrap_or(u64::MAX) };
            batch(context, args, &mut state, &receive, &orders, most)
        };
        stop.store(true, Ordering::Relaxed);
        // Nothing can be done about a panic there; it has stopped, too.
        let _ = sampling.join();
        shown
    });
    subject.taker.give_back(number, session);
    let shown = shown.map_err(|failure| subject.explained(failure));
    subject.taker.close()?;
    shown?;
    Ok(if state.rows.is_empty() { Answer::No } else { Answer::Yes })
}

/// `process 4711, Node.js 22.23.3, main thread`.
fn titled(taker: &mut Taker, thread: &str) -> Result<String, Failure> {
    let identity = taker.identity()?;
    let runtime = identity.to_string();
    let runtime = runtime.split(" (V8").next().unwrap_or_default();
    let thread = if thread == "main" { "main thread".to_owned() } else { format!("thread {thread}") };
    let pid = taker.process().map_or(identity.pid, |process| process.status.pid);
    Ok(format!("process {pid}, {runtime}, {thread}"))
}

/// Samples until it is told to stop, and says what it sees after each interval.
fn sample(session: &mut Session, orders: &Orders<'_>, send: &Sender<Seen>) {
    while !orders.stop.load(Ordering::Relaxed) {
        // Whoever does not listen any more has a reason.
        if let Err(error) = sample_once(session, orders, send) {
            let _ = send.send(Err(error));
            return;
        }
    }
}

/// Samples in one way, until the other is wanted.
fn sample_once(session: &mut Session, orders: &Orders<'_>, send: &Sender<Seen>) -> Result<(), Failure> {
    let all = orders.all.load(Ordering::Relaxed);
    let options = SamplingOptions {
        interval: orders.interval,
        include_major: all,
        include_minor: all,
        ..SamplingOptions::default()
    };
    let over = || orders.stop.load(Ordering::Relaxed) || orders.all.load(Ordering::Relaxed) != all;
    let mut sampling = session.sampling(&options, orders.timeout)?;
    loop {
        sampling.wait(Some(orders.every), &mut |_| {
            if over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if over() {
            break;
        }
        let mut bytes = Vec::new();
        sampling.profile_now(&mut bytes)?;
        let elapsed = sampling.elapsed();
        let mut profile = heapsight_profile::read(&bytes[..])
            .map_err(|error| Failure::plain(format!("the profile of the target cannot be read: {error}")))?;
        profile.interval = Some(orders.interval);
        let session = sampling.session();
        let memory = session.memory(orders.timeout)?;
        let event_loop = session.event_loop(PATIENCE).ok();
        let sight = Sight { profile, memory, event_loop, elapsed, is_all: all };
        if send.send(Ok(sight)).is_err() {
            break;
        }
    }
    sampling.stop(&mut io::sink())?;
    Ok(())
}

/// A terminal that is given back as it was found, whatever happens. A panic restores it, too.
struct Terminal(ratatui::DefaultTerminal);

impl Terminal {
    fn open() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|error| {
            ratatui::restore();
            Failure::new(format!("cannot use the terminal: {error}"), "--once prints one table without it")
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn screen(
    state: &mut State,
    receive: &Receiver<Seen>,
    orders: &Orders<'_>,
    keeps_collected: bool,
) -> Result<(), Failure> {
    let mut terminal = Terminal::open()?;
    let terminal_failed = |error: io::Error| Failure::plain(format!("the terminal is gone: {error}"));
    while !orders.stop.load(Ordering::Relaxed) {
        terminal.0.draw(|frame| view::draw(frame, state)).map_err(terminal_failed)?;
        if event::poll(TICK).map_err(terminal_failed)?
            && let Some(press) = pressed(&event::read().map_err(terminal_failed)?)
        {
            match state.key(press) {
                Action::Nothing => {}
                Action::Quit => return Ok(()),
                Action::Switch if !keeps_collected => state.trouble = Some(ALIVE_ONLY.to_owned()),
                Action::Switch => {
                    orders.all.fetch_xor(true, Ordering::Relaxed);
                }
            }
        }
        for seen in receive.try_iter() {
            state.see(seen?);
        }
    }
    Ok(())
}

/// What a key means.
fn pressed(event: &Event) -> Option<Press> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return None };
    Some(match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Press::Letter('q'),
        KeyCode::Up | KeyCode::Char('k') => Press::Up,
        KeyCode::Down | KeyCode::Char('j') => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Press::Home,
        KeyCode::Enter | KeyCode::Right => Press::Enter,
        KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => Press::Back,
        KeyCode::Char(letter) => Press::Letter(letter.to_ascii_lowercase()),
        _ => return None,
    })
}

/// Prints `most` tables, or objects.
fn batch(
    context: &Context,
    args: &Args,
    state: &mut State,
    receive: &Receiver<Seen>,
    orders: &Orders<'_>,
    most: u64,
) -> Result<(), Failure> {
    let mut output = context.output()?;
    let mut count = 0;
    while count < most && !orders.stop.load(Ordering::Relaxed) {
        match receive.recv_timeout(TICK) {
            Ok(seen) => state.see(seen?),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        }
        count += 1;
        let text = match context.format() {
            Format::Json => format!("{}\n", answer(state, args.top.top)),
            Format::Text => {
                let gap = if count > 1 { "\n" } else { "" };
                format!("{gap}{}", text(state, context.rows(args.top.top), context.style()))
            }
            Format::Csv => table(state, context.rows(args.top.top)).csv(),
            Format::Markdown => table(state, context.rows(args.top.top)).markdown(),
        };
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    output.finish()
}

/// One refresh for people.
fn text(state: &State, most: usize, style: Style) -> String {
    let head = view::head_lines(state).join("\n");
    let rest = if state.rows.is_empty() { "nothing was sampled yet\n" } else { "" };
    format!("{head}\n\n{}{rest}", table(state, most).text(style.width, style.paint))
}

fn table(state: &State, most: usize) -> Table {
    let total = state.sight.profile.total_size();
    let mut table = Table::new(&[
        ("Self", "self_size"),
        ("±", "self_error"),
        ("%", "self_share"),
        ("A second", "rate"),
        ("Total", "total_size"),
        ("Function", "name"),
        ("Place", ""),
        ("", "url"),
        ("", "line"),
        ("", "column"),
    ]);
    for row in state.rows.iter().take(most) {
        let (name, place) = view::name(&row.key);
        table.row(vec![
            Cell::Estimate(row.self_size, row.error),
            Cell::Error(row.error),
            Cell::Share(row.self_size, total),
            if row.rate < 0.0 {
                Cell::SignedBytes(row.rate as i64)
            } else {
                Cell::Estimate(row.rate as u64, Some(0.1))
            },
            Cell::Estimate(row.total_size, row.total_error),
            Cell::Text(name),
            Cell::Text(place),
            Cell::Text(row.key.1.clone()),
            position(row.key.2),
            position(row.key.3),
        ]);
    }
    table
}

/// A line or column of the file's own, from 0 on, as people count.
fn position(n: i32) -> Cell {
    Cell::Text(if n < 0 { String::new() } else { (n + 1).to_string() })
}

/// One refresh as JSON.
fn answer(state: &State, most: Option<usize>) -> Value {
    let (sight, memory) = (&state.sight, &state.sight.memory);
    let functions: Vec<Value> = state
        .rows
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .map(|row| {
            let mut value = named_key(By::Function, &row.key);
            value["self_size"] = row.self_size.into();
            value["total_size"] = row.total_size.into();
            value["self_count"] = row.self_count.into();
            value["self_error"] = row.error.into();
            value["rate"] = row.rate.round().into();
            value
        })
        .collect();
    let spaces: Vec<Value> = memory
        .spaces
        .iter()
        .map(|s| json!({"name": s.name, "used": s.used, "size": s.size, "physical": s.physical}))
        .collect();
    json!({"elapsed_ms": sight.elapsed.as_millis() as u64, "collected": sight.is_all,
        "interval": sight.profile.interval, "total_size": sight.profile.total_size(), "rate": state.rate.round(),
        "rss": memory.rss, "heap_used": memory.used, "heap_total": memory.total, "heap_limit": memory.limit,
        "external": memory.external, "array_buffers": memory.array_buffers, "spaces": spaces,
        "loop_delay_ms": sight.event_loop.map(|event_loop| event_loop.delay), "loop_busy": state.busy,
        "row_count": state.rows.len(), "functions": functions})
}

#[cfg(test)]
mod tests {
    use heapsight_report::paint::Paint;
    use insta::assert_snapshot;

    use super::*;
    use crate::args::capture::LiveSort;

    #[test]
    fn a_refresh_without_a_terminal() {
        let state = view::tests::state();
        let style = Style { width: 100, paint: Paint::default() };
        let nothing = State::new("process 4711".to_owned(), LiveSort::Own);
        let table = table(&state, 2);
        let json = serde_json::to_string_pretty(&answer(&state, Some(1))).unwrap();
        let forms = [text(&state, 30, style), text(&nothing, 30, style), table.csv(), table.markdown(), json];
        assert_snapshot!(forms.join("\n"));
    }
}
