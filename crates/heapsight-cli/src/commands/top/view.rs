//! The screen of `heapsight top`, drawn from its state.

use heapsight_profile::{Frame as Function, error_of};
use heapsight_report::{
    paint::plain,
    profile::{Key, function_name, place as place_of},
    table::{cut, cut_front},
    units::{bytes, error, estimate, percent},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Row as TableRow, Table, TableState},
};

use super::state::{Page, State};
use crate::args::capture::LiveSort;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(4), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    let lines: Vec<Line<'_>> = head_lines(state).into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines), head);
    match &state.page {
        Page::Functions => functions(frame, state, body),
        Page::Callers(of) => callers(frame, state, of, body),
    }
    let hints = match (&state.trouble, &state.page) {
        (Some(trouble), _) => Span::styled(plain(trouble), BOLD),
        (None, Page::Functions) => {
            Span::styled("s self  t total  r rate  ↑↓ Enter callers  l live/all  p pause  q quit", DIM)
        }
        (None, Page::Callers(_)) => Span::styled("Esc back  p pause  q quit", DIM),
    };
    frame.render_widget(Paragraph::new(Line::from(hints)), foot);
}

/// What is said above the functions; also in batch mode.
pub(super) fn head_lines(state: &State) -> [String; 3] {
    let (sight, memory) = (&state.sight, &state.sight.memory);
    let what = if sight.is_all { "all that was allocated" } else { "what is alive of it" };
    let paused = if state.is_paused { "  PAUSED" } else { "" };
    let seconds = sight.elapsed.as_secs();
    let first =
        format!("{}  sampled for {}:{:02}, {what}{paused}", plain(&state.title), seconds / 60, seconds % 60);
    let delay = match sight.event_loop {
        Some(event_loop) => format!("loop delay {:.1} ms", event_loop.delay),
        None => "the event loop does not turn".to_owned(),
    };
    let busy = state.busy.map(|busy| format!(", busy {:.0} %", busy * 100.0)).unwrap_or_default();
    let second = format!(
        "allocates {}/s  RSS {}  heap {} of {}  external {}  {delay}{busy}",
        estimate(state.rate as u64, Some(0.1)),
        bytes(memory.rss),
        bytes(memory.used),
        bytes(memory.total),
        bytes(memory.external),
    );
    let spaces: Vec<String> = memory
        .spaces
        .iter()
        .filter(|space| space.used > 0)
        .map(|space| {
            let name = space.name.trim_end_matches("_space").replace("_object", "").replace('_', " ");
            format!("{name} {}", bytes(space.used))
        })
        .collect();
    [first, second, spaces.join("  ")]
}

/// A signed rate in words.
pub(super) fn rate(bytes_a_second: f64) -> String {
    if bytes_a_second.abs() < 1.0 {
        return String::new();
    }
    let sign = if bytes_a_second < 0.0 { "-" } else { "" };
    format!("{sign}{}", estimate(bytes_a_second.abs() as u64, Some(0.1)))
}

/// Name and place of a function.
pub(super) fn name(key: &Key) -> (String, String) {
    let function = Function { name: &key.0, url: &key.1, line: key.2, column: key.3 };
    (plain(function_name(&key.0)), plain(&place_of(&function)))
}

/// Columns of numbers at the left of the functions: headings, widths, and what a row has there.
const NUMBERS: [(&str, u16); 5] = [("Self", 10), ("±", 6), ("%", 6), ("A second", 10), ("Total", 10)];

/// Below these widths there is no room for how sure a number is, and for shares.
const WIDE: u16 = 90;
const NARROW: u16 = 70;

/// Blanks between two columns.
const GAP: u16 = 2;

fn functions(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let total = state.sight.profile.total_size();
    let is_shown = |heading: &str| match heading {
        "±" => area.width >= WIDE,
        "%" => area.width >= NARROW,
        _ => true,
    };
    let numbers: Vec<(usize, &str, u16)> = NUMBERS
        .iter()
        .enumerate()
        .filter(|(_, (heading, _))| is_shown(heading))
        .map(|(at, &(heading, width))| (at, heading, width))
        .collect();
    let taken: u16 = numbers.iter().map(|&(_, _, width)| width + GAP).sum();
    let names: Vec<(String, String)> = state.rows.iter().map(|row| name(&row.key)).collect();
    let widest = |of: fn(&(String, String)) -> &str| {
        names.iter().map(|name| Span::raw(of(name)).width()).max().unwrap_or(0)
    };
    let room = usize::from(area.width.saturating_sub(taken));
    let (for_name, for_place) =
        shared(room.saturating_sub(usize::from(GAP)), widest(|name| &name.0), widest(|name| &name.1));
    let rows = state.rows.iter().zip(&names).map(|(row, (name, place))| {
        let cells = [
            estimate(row.self_size, row.error),
            error(row.error),
            percent(row.self_size, total),
            rate(row.rate),
            estimate(row.total_size, row.total_error),
        ];
        let numbers = numbers.iter().map(|&(at, _, width)| right(&cells[at], usize::from(width)));
        TableRow::new(numbers.chain([cut(name, for_name), cut_front(place, for_place)]).collect::<Vec<_>>())
    });
    let sorted = match state.sort {
        LiveSort::Own => "Self",
        LiveSort::Rate => "A second",
        LiveSort::Total => "Total",
    };
    let headings = numbers.iter().map(|&(_, heading, _)| {
        let style = if heading == sorted { BOLD.add_modifier(Modifier::UNDERLINED) } else { BOLD };
        Line::from(Span::styled(heading, style)).right_aligned()
    });
    let texts = ["Function", "Place"].map(|heading| Line::from(Span::styled(heading, BOLD)));
    let widths = numbers
        .iter()
        .map(|&(_, _, width)| Constraint::Length(width))
        .chain([Constraint::Length(for_name as u16), Constraint::Fill(1)]);
    let table = Table::new(rows, widths)
        .header(TableRow::new(headings.chain(texts).collect::<Vec<_>>()))
        .column_spacing(GAP)
        .row_highlight_style(CHOSEN);
    let mut place = TableState::new().with_selected(Some(state.chosen));
    frame.render_stateful_widget(table, area, &mut place);
}

/// Shares the room between names and places that are so wide at most: where both do not fit, neither gets less than half
/// for the sake of the other.
fn shared(room: usize, names: usize, places: usize) -> (usize, usize) {
    let names = names.max("Function".len());
    if names + places <= room {
        return (names, room - names);
    }
    let half = room / 2;
    if names <= half {
        (names, room - names)
    } else if places <= room - half {
        (room - places, places)
    } else {
        (half, room - half)
    }
}

fn callers(frame: &mut Frame<'_>, state: &State, of: &Key, area: Rect) {
    let (name, place) = name(of);
    let heading = format!("      Self       Total  Who called {name} {place}");
    let mut lines = vec![Line::from(Span::styled(heading.trim_end().to_owned(), BOLD))];
    let profile = &state.sight.profile;
    let (all_size, all_count) = (profile.total_size(), profile.total_count());
    // How many samples stand behind a total is not counted: about as many as behind as many bytes elsewhere.
    let about = |size: u64| {
        let count = (size as f64 * all_count as f64 / all_size.max(1) as f64).round() as u64;
        error_of(profile, size, count.max(1))
    };
    let row = state.rows.iter().find(|row| row.key == *of);
    for caller in state.callers(of).iter().take(usize::from(area.height).saturating_sub(1)) {
        let function = profile.frame(caller.function);
        let (name, place) = (function_name(function.name), place_of(&function));
        let total_error = match row {
            Some(row) if row.total_size == caller.total_size => row.total_error,
            _ => about(caller.total_size),
        };
        lines.push(Line::from(format!(
            "{:>10}  {:>10}  {}{} {}",
            estimate(caller.self_size, error_of(profile, caller.self_size, caller.self_count)),
            estimate(caller.total_size, total_error),
            "  ".repeat(caller.depth as usize),
            plain(name),
            plain(&place),
        )));
    }
    if lines.len() == 1 {
        lines.push(Line::from("nothing that it allocated is alive any more"));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use heapsight_capture::inspector::{EventLoop, IsolateMemory, Space};
    use heapsight_profile::{Builder, Counts, NO_POSITION, Profile, Sample};
    use insta::assert_snapshot;
    use ratatui::{Terminal, backend::TestBackend};

    use super::super::state::{Action, Press, Sight};
    use super::*;

    /// A profile of stacks with samples of 64 KiB.
    fn profile(stacks: &[(&str, u64)]) -> Profile {
        let mut builder = Builder::new();
        let mut samples = Vec::new();
        for &(stack, count) in stacks {
            let mut at = Builder::ROOT;
            for (line, name) in stack.split(';').enumerate() {
                let frame =
                    Function { name, url: "/srv/shop/app.js", line: line as i32, column: NO_POSITION };
                let function = builder.function(frame);
                at = builder.child(at, function);
            }
            builder.add(at, count << 16, count);
            samples.push(Sample { node: at, size: 1 << 16, ordinal: count });
        }
        let mut profile = builder.finish().0;
        (profile.counts, profile.samples, profile.interval) = (Counts::Samples, samples, Some(1 << 16));
        profile
    }

    fn sight(seconds: u64, stacks: &[(&str, u64)]) -> Sight {
        let space = |name: &str, used| Space { name: name.to_owned(), used, size: used * 2, physical: used };
        Sight {
            profile: profile(stacks),
            memory: IsolateMemory {
                rss: 120 << 20,
                used: 30 << 20,
                total: 44 << 20,
                limit: 2 << 30,
                external: 3 << 20,
                spaces: vec![
                    space("new_space", 1 << 20),
                    space("old_space", 24 << 20),
                    space("new_large_object_space", 0),
                ],
                ..IsolateMemory::default()
            },
            event_loop: Some(EventLoop {
                delay: 1.25,
                idle: 600.0 * seconds as f64,
                active: 400.0 * seconds as f64,
            }),
            elapsed: Duration::from_secs(seconds),
            is_all: true,
        }
    }

    /// A program of which two refreshes were seen.
    pub(in super::super) fn state() -> State {
        let mut state = State::new("process 4711, Node.js 22.23.3, main thread".to_owned(), LiveSort::Own);
        state.see(sight(1, &[("tick;handle;Session", 40), ("tick;handle;parse\u{1b}[31m", 10), ("tick", 1)]));
        state.see(sight(2, &[("tick;handle;Session", 41), ("tick;handle;parse\u{1b}[31m", 90), ("tick", 1)]));
        state
    }

    fn screen(state: &State, width: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, 12)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_at_three_widths() {
        let shown: String = [60, 80, 120].map(|width| screen(&state(), width)).join("\n");
        assert_snapshot!(shown);
    }

    #[test]
    fn names_and_places_share_the_room() {
        assert_eq!(shared(60, 8, 20), (8, 52));
        assert_eq!(shared(60, 100, 100), (30, 30));
        assert_eq!(shared(60, 100, 20), (40, 20));
        assert_eq!(shared(60, 20, 100), (20, 40));
        let mut state = state();
        for row in &mut state.rows {
            row.key.0.insert_str(0, "aFunctionWithANameThatIsLongerThanAnybodyReads_");
            row.key.1 = "/srv/shop/an-application-with-a-name-that-is-very-long.service.js".to_owned();
        }
        let shown = screen(&state, 120);
        let rows = shown.lines().filter(|row| row.contains("aFunction"));
        assert!(
            rows.clone().count() > 1
                && rows.clone().all(|row| row.contains("…-a-name") || row.contains(".js:"))
        );
        assert!(rows.clone().all(|row| row.matches('…').count() == 2), "{shown}");
    }

    #[test]
    fn keys_sort_open_callers_pause_and_quit() {
        let mut state = state();
        let mut shown = String::new();
        for press in [Press::Letter('r'), Press::Down, Press::Enter] {
            assert_eq!(state.key(press), Action::Nothing);
        }
        shown += &screen(&state, 80);
        assert_eq!(state.key(Press::Back), Action::Nothing);
        state.key(Press::Letter('p'));
        state.see(sight(3, &[("other", 1)]));
        shown += &screen(&state, 80);
        assert_snapshot!(shown);
        assert_eq!(state.key(Press::Letter('l')), Action::Nothing, "not while it is paused");
        state.key(Press::Letter('p'));
        assert_eq!(state.key(Press::Letter('l')), Action::Switch);
        assert_eq!(state.key(Press::Letter('q')), Action::Quit);
        assert_eq!(state.key(Press::Back), Action::Quit);
    }

    #[test]
    fn the_chosen_function_stays_chosen() {
        let mut state = state();
        state.key(Press::Down);
        assert_eq!(state.rows[state.chosen].key.0, "Session");
        state.see(sight(3, &[("tick;handle;Session", 400), ("tick;handle;parse", 90)]));
        assert_eq!(state.rows[state.chosen].key.0, "Session");
        state.see(sight(4, &[]));
        assert_eq!((state.rows.len(), state.chosen), (0, 0));
        screen(&state, 80);
        state.key(Press::Enter);
    }

    #[test]
    fn rates_begin_anew_when_the_sampling_does() {
        let mut state = state();
        let parse =
            |state: &State| state.rows.iter().find(|row| row.key.0.starts_with("parse")).unwrap().rate;
        assert!((parse(&state) - 80.0 * 65_536.0).abs() < 1.0);
        assert!((state.busy.unwrap() - 0.4).abs() < 1e-9);
        state.see(Sight { is_all: false, ..sight(1, &[("parse", 5)]) });
        assert!((parse(&state) - 5.0 * 65_536.0).abs() < 1.0);
        assert_eq!(state.busy, None);
    }
}
