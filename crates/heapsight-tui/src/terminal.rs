//! The terminal: taken, drawn on, heard, and given back as it was found on every way out, a panic among them.

use std::{
    io::{self, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use heapsight_report::{paint::plain, units::bytes};
use ratatui::{
    DefaultTerminal,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEvent, KeyEventKind,
            KeyModifiers, MouseButton, MouseEventKind,
        },
        execute,
    },
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Gauge, Paragraph},
};

use crate::{
    draw::{Theme, draw},
    layout::cut,
    source::{Opened, Source},
    state::{Effect, Key, State},
};

/// How often signals are looked at while no key is pressed.
const TICK: Duration = Duration::from_millis(50);

/// How often the progress is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Time in which what was asked for may come before it is said that it takes a while.
const SOON: Duration = Duration::from_millis(150);

/// How far the opening of the files is.
#[derive(Debug, Default)]
pub struct Progress {
    /// What is being done, in words.
    what: Mutex<String>,
    /// Bytes read, and all there are; 0 where that is not known.
    done: AtomicU64,
    all: AtomicU64,
}

impl Progress {
    /// Says what is being done now.
    pub fn say(&self, what: impl Into<String>) {
        if let Ok(mut place) = self.what.lock() {
            *place = what.into();
        }
        self.read(0, None);
    }

    /// Says how many bytes were read, of how many.
    pub fn read(&self, done: u64, all: Option<u64>) {
        self.done.store(done, Ordering::Relaxed);
        self.all.store(all.unwrap_or(0), Ordering::Relaxed);
    }

    fn now(&self) -> (String, u64, u64) {
        let what = self.what.lock().map(|what| what.clone()).unwrap_or_default();
        (what, self.done.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed))
    }
}

/// How the terminal UI ended.
#[derive(Debug)]
pub enum End<E> {
    /// The user has seen enough.
    Quit,
    /// A file could not be opened.
    NotOpened(E),
    /// The terminal failed.
    Terminal(io::Error),
}

/// How it is shown.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whether there is colour.
    pub theme: Theme,
    /// Set when the program is to end: by a signal.
    pub stop: Arc<AtomicBool>,
    /// Whether `!` panics: for the test that the terminal is given back then, too.
    pub panics: bool,
}

/// The terminal while it is ours.
struct Terminal(DefaultTerminal);

impl Terminal {
    fn open() -> io::Result<Self> {
        // Whoever panics gives back the mouse before the screen, which `try_init` sees to.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        let terminal = ratatui::try_init().map(Self).inspect_err(|_| ratatui::restore())?;
        execute!(io::stdout(), EnableMouseCapture)?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was found. It may be given back twice.
pub fn restore() {
    // Whoever ends has nothing to do about a terminal that is gone. The cursor was hidden while it was drawn on.
    let _ = execute!(io::stdout(), DisableMouseCapture, Show);
    let _ = ratatui::try_restore();
    let _ = io::stdout().flush();
}

/// Opens files on a thread of its own while it draws how far that is, and then shows them until the user quits.
///
/// # Errors
///
/// What `open` says if a file cannot be opened; what went wrong with the terminal.
pub fn run<E: Send + 'static>(
    look: &Look,
    open: impl FnOnce(&Progress) -> Result<Vec<Opened>, E> + Send + 'static,
) -> End<E> {
    let mut terminal = match Terminal::open() {
        Ok(terminal) => terminal,
        Err(error) => return End::Terminal(error),
    };
    let files = match opening(&mut terminal, look, open) {
        Ok(Some(Ok(files))) => files,
        Ok(Some(Err(error))) => return End::NotOpened(error),
        Ok(None) => return End::Quit,
        Err(error) => return End::Terminal(error),
    };
    let Some(source) = Source::new(files) else { return End::Quit };
    match views(&mut terminal, look, State::new(source)) {
        Ok(()) => End::Quit,
        Err(error) => End::Terminal(error),
    }
}

type Files<E> = Option<Result<Vec<Opened>, E>>;

/// `None` if the user did not want to wait. The thread then goes on until the process ends.
fn opening<E: Send + 'static>(
    terminal: &mut Terminal,
    look: &Look,
    open: impl FnOnce(&Progress) -> Result<Vec<Opened>, E> + Send + 'static,
) -> io::Result<Files<E>> {
    let progress = Arc::new(Progress::default());
    let (send, receive) = mpsc::channel();
    let theirs = Arc::clone(&progress);
    thread::Builder::new().name("open".to_owned()).spawn(move || {
        // Nobody listens any more if the user has quit.
        let _ = send.send(open(&theirs));
    })?;
    let begun = Instant::now();
    loop {
        match receive.recv_timeout(if begun.elapsed() < SOON { TICK } else { Duration::ZERO }) {
            Ok(result) => return Ok(Some(result)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // It has panicked, which was said.
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(None),
        }
        if look.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if begun.elapsed() >= SOON {
            terminal.0.draw(|frame| waiting(frame, &progress, begun.elapsed()))?;
        }
        let until = Instant::now() + FRAME;
        while event::poll(until.saturating_duration_since(Instant::now()).min(TICK))? {
            if matches!(heard(&event::read()?), Heard::Key(Key::Char('q') | Key::Esc) | Heard::End) {
                return Ok(None);
            }
        }
        match receive.try_recv() {
            Ok(result) => return Ok(Some(result)),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(None),
        }
    }
}

/// The screen while files are opened.
pub(crate) fn waiting(frame: &mut ratatui::Frame<'_>, progress: &Progress, elapsed: Duration) {
    let (what, done, all) = progress.now();
    let area = frame.area();
    let width = area.width.saturating_sub(4).min(72);
    let x = (area.width - width) / 2;
    let y = area.height.saturating_sub(4) / 2;
    let line = |at: u16| Rect { x, y: y + at, width, height: u16::from(y + at < area.height) };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let dim = Style::new().add_modifier(Modifier::DIM);
    let what = cut(&plain(&what), usize::from(width));
    frame.render_widget(Paragraph::new(Line::from(Span::styled(what, bold))), line(0));
    if all > 0 {
        let label = format!("{} of {}", bytes(done), bytes(all));
        let ratio = (done as f64 / all as f64).clamp(0.0, 1.0);
        let gauge = Gauge::default()
            .ratio(ratio)
            .label(label)
            .gauge_style(Style::new().add_modifier(Modifier::REVERSED))
            .use_unicode(false);
        frame.render_widget(gauge, line(1));
    } else {
        let text = if done > 0 { format!("{} so far", bytes(done)) } else { String::new() };
        frame.render_widget(Paragraph::new(text), line(1));
    }
    let text = format!("{} s, q quits", elapsed.as_secs());
    frame.render_widget(Paragraph::new(Line::from(Span::styled(text, dim))), line(2));
}

/// What an event means.
enum Heard {
    Nothing,
    Key(Key),
    /// The size changed, or the screen is to be drawn anew.
    Anew,
    End,
}

fn views(terminal: &mut Terminal, look: &Look, mut state: State) -> io::Result<()> {
    let mut is_new = true;
    loop {
        if is_new {
            terminal.0.draw(|frame| draw(frame, &mut state, look.theme))?;
            if state.is_stale() {
                state.settle();
                terminal.0.draw(|frame| draw(frame, &mut state, look.theme))?;
            }
        }
        is_new = false;
        if look.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !event::poll(TICK)? {
            continue;
        }
        // Keys that came while rows were made are all taken before it is drawn again.
        loop {
            match heard(&event::read()?) {
                Heard::Nothing => {}
                Heard::Key(key) => {
                    is_new = true;
                    assert!(!(look.panics && key == Key::Char('!')), "a panic was asked for");
                    if state.press(key) == Effect::Quit {
                        return Ok(());
                    }
                }
                Heard::Anew => {
                    is_new = true;
                    terminal.0.clear()?;
                }
                Heard::End => return Ok(()),
            }
            if !event::poll(Duration::ZERO)? {
                break;
            }
        }
    }
}

fn heard(event: &Event) -> Heard {
    match event {
        Event::Resize(..) => Heard::Anew,
        Event::Key(KeyEvent {
            code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, ..
        }) => pressed(*code, *modifiers),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => Heard::Key(Key::Click(mouse.column, mouse.row)),
            MouseEventKind::ScrollDown => Heard::Key(Key::Wheel(true)),
            MouseEventKind::ScrollUp => Heard::Key(Key::Wheel(false)),
            _ => Heard::Nothing,
        },
        _ => Heard::Nothing,
    }
}

fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Heard {
    if modifiers.contains(KeyModifiers::CONTROL) {
        return match code {
            KeyCode::Char('c') => Heard::End,
            KeyCode::Char('l') => Heard::Anew,
            KeyCode::Char('u') => Heard::Key(Key::Clear),
            // What many terminals send for Backspace.
            KeyCode::Char('h') => Heard::Key(Key::Backspace),
            _ => Heard::Nothing,
        };
    }
    Heard::Key(match code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Char(letter) => Key::Char(letter),
        _ => return Heard::Nothing,
    })
}
