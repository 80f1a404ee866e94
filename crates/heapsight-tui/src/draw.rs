//! The screen, drawn from the state. Without colour everything is said by bold, dim and reversed text.

use heapsight_report::units::percent;
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    layout::{BAR, GAP, PERCENT, Slot, bar, cut, fit, left, right, slots},
    row::{Cell, Tone},
    state::{Areas, Over, State},
    tree::{Item, Place},
    views::{View, help, summary, timeline},
};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// Lines of the picture of a recording, with the line below it.
const CHART: u16 = 8;

/// Lines from which on there is a picture.
const TALL: u16 = 20;

/// Whether and how to mark what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether there is colour.
    pub colour: bool,
}

impl Theme {
    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }

    fn accent(self) -> Style {
        self.coloured(BOLD, Color::Cyan)
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Edge => self.coloured(Style::new(), Color::Cyan),
            Tone::Dim | Tone::Place => DIM,
            Tone::New => self.coloured(BOLD, Color::Green),
            Tone::Gone => self.coloured(BOLD, Color::Red),
        }
    }
}

/// Draws all of it, and notes where what can be clicked was drawn.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, theme: Theme) {
    let area = frame.area();
    let line = |y: u16| Rect { x: 0, y, width: area.width, height: u16::from(y < area.height) };
    let chart = if state.view() == View::Timeline && area.height >= TALL { CHART } else { 0 };
    let warning = heapsight_report::text::broken(&state.pane().list.warning, usize::from(area.width));
    // Of a small screen something is left for the rows.
    let warned = (warning.len() as u16).min(area.height / 3);
    let headings = 2 + warned + chart;
    let body =
        Rect { y: (headings + 1).min(area.height), height: area.height.saturating_sub(headings + 2), ..area };
    state.set_height(usize::from(body.height));
    let mut areas = Areas { rows: headings + 1, ..Areas::default() };
    frame.render_widget(tabs(state, theme, area.width, &mut areas), line(0));
    frame.render_widget(sum(state, theme, area.width), line(1));
    for (at, row) in warning.into_iter().take(usize::from(warned)).enumerate() {
        let style = theme.coloured(BOLD, Color::Red);
        frame.render_widget(Line::from(Span::styled(row, style)), line(2 + at as u16));
    }
    if chart > 0 {
        picture(
            frame,
            state,
            theme,
            Rect { y: 2 + warned, height: chart.min(area.height.saturating_sub(2)), ..area },
        );
    }
    if state.tree().is_empty() {
        let text = if state.is_stale() { "Working…" } else { state.pane().list.empty.as_str() };
        frame.render_widget(Paragraph::new(text.to_owned()).wrap(Wrap { trim: true }), body);
    } else {
        let slots = slots(&state.pane().list.columns, area.width);
        frame.render_widget(heading(state, theme, &slots, headings, &mut areas), line(headings));
        rows(frame, state, theme, &slots, body);
    }
    match &state.over {
        Some(Over::Help(from)) => show_help(frame, theme, *from),
        Some(Over::Choice(at)) => show_choice(frame, state, theme, *at),
        _ => {}
    }
    foot(frame, state, theme, line(area.height.saturating_sub(1)));
    state.areas = areas;
}

fn tabs(state: &State, theme: Theme, width: u16, areas: &mut Areas) -> Line<'static> {
    let views = state.views();
    let names: Vec<String> =
        views.iter().enumerate().map(|(at, view)| format!("{} {}", at + 1, view.title())).collect();
    let all: usize = names.iter().map(String::len).sum();
    let width = usize::from(width);
    let pad = usize::from(all + 3 * names.len() <= width);
    let short = all + names.len() > width;
    let mut spans = Vec::new();
    let mut x = 0u16;
    for (at, (&view, name)) in views.iter().zip(&names).enumerate() {
        let is_here = view == state.view();
        let name = if short && !is_here { (at + 1).to_string() } else { name.clone() };
        let text = format!("{0}{name}{0}", " ".repeat(pad));
        let wide = text.width() as u16;
        areas.tabs.push((x, x + wide, view));
        x += wide + 1;
        let style = if is_here { theme.accent().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    }
    let help = "? help";
    if usize::from(x) + help.len() < width {
        spans.push(Span::raw(" ".repeat(width - usize::from(x) - help.len())));
        spans.push(Span::styled(help, DIM));
    }
    Line::from(spans)
}

/// What is said of the rows, and which file it is.
fn sum(state: &State, theme: Theme, width: u16) -> Line<'static> {
    let pane = state.pane();
    let mut parts = Vec::new();
    match state.view() {
        View::Summary => parts.extend(summary::filter(pane.ask.choice).map(str::to_owned)),
        View::Comparison => {
            let bases = state.view().choices(&state.source).map(|(_, bases)| bases).unwrap_or_default();
            parts.extend(bases.into_iter().nth(pane.ask.choice));
        }
        _ => {}
    }
    if !pane.ask.text.is_empty() {
        parts.push(format!("“{}”", heapsight_report::paint::plain(&pane.ask.text)));
    }
    if state.is_stale() {
        parts.push("working…".to_owned());
    } else if !pane.list.sum.is_empty() {
        parts.push(pane.list.sum.clone());
    }
    let said = parts.join(" · ");
    let file = state.source.file().name.clone();
    let width = usize::from(width);
    let left_over = width.saturating_sub(said.width());
    if left_over >= file.width() + 3 {
        let gap = " ".repeat(left_over - file.width());
        return Line::from(vec![
            Span::styled(said, BOLD),
            Span::raw(gap),
            Span::styled(file, theme.tone(Tone::Dim)),
        ]);
    }
    Line::from(Span::styled(cut(&said, width), BOLD))
}

fn heading(state: &State, theme: Theme, slots: &[Slot], y: u16, areas: &mut Areas) -> Line<'static> {
    let pane = state.pane();
    areas.headings.0 = y;
    let mut spans = Vec::new();
    let mut x = 0;
    for slot in slots {
        let Some(column) = pane.list.columns.get(slot.column) else { continue };
        let is_sorted = column.sorts && pane.ask.column == slot.column;
        let usual_down = slot.column != 0 && column.title != "Distance";
        let arrow = if usual_down == pane.ask.reversed { "▲" } else { "▼" };
        let title = if is_sorted { format!("{}{arrow}", column.title) } else { column.title.clone() };
        let style = if is_sorted { theme.accent() } else { BOLD };
        let gap = if slot.column == 0 { 0 } else { GAP };
        let width = usize::from(slot.width);
        let text = if slot.column == 0 {
            left(&format!("  {title}"), width)
        } else if column.is_text {
            left(&title, width)
        } else {
            let number = usize::from(column.width);
            format!("{}{}", right(&title, number), " ".repeat(width.saturating_sub(number)))
        };
        areas.headings.1.push((x + gap, x + gap + slot.width, slot.column));
        x += gap + slot.width;
        spans.push(Span::raw(" ".repeat(usize::from(gap))));
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn rows(frame: &mut Frame<'_>, state: &State, theme: Theme, slots: &[Slot], body: Rect) {
    let tree = state.tree();
    for (at, place) in tree.on_screen().iter().enumerate() {
        let is_selected = tree.top() + at == tree.selected();
        let mut line = one_row(state, theme, slots, place);
        if is_selected {
            // One look for the whole row: colours and dim parts would be lost on the reversed ground.
            line = Line::from(line.spans.into_iter().map(|span| span.content).collect::<String>());
            line = line.style(Style::new().add_modifier(Modifier::REVERSED));
        }
        let place = Rect { y: body.y + at as u16, height: 1, ..body };
        frame.render_widget(Paragraph::new(line), place);
    }
}

fn one_row(state: &State, theme: Theme, slots: &[Slot], place: &Place) -> Line<'static> {
    let row = state.row(place);
    let columns = &state.pane().list.columns;
    let mut spans = Vec::new();
    for slot in slots {
        let width = usize::from(slot.width);
        if slot.column == 0 {
            // Deep rows keep room for their names.
            let indent = (place.depth * 2).min(width / 3);
            let mark = match (place.is_open, row.opens) {
                (true, _) => "▾ ",
                (false, true) => "▸ ",
                (false, false) => "  ",
            };
            spans.push(Span::raw(format!("{}{mark}", " ".repeat(indent))));
            let room = width.saturating_sub(indent + 2);
            let mut used = 0;
            for (text, tone) in fit(row.name.clone(), room) {
                used += text.width();
                spans.push(Span::styled(text, theme.tone(tone)));
            }
            spans.push(Span::raw(" ".repeat(room.saturating_sub(used))));
            continue;
        }
        let cell = row.cells.get(slot.column - 1).unwrap_or(&Cell::Nothing);
        let Some(column) = columns.get(slot.column) else { continue };
        spans.push(Span::raw(" ".repeat(usize::from(GAP))));
        let text = cell.text();
        if column.is_text {
            spans.push(Span::raw(left(&text, width)));
            continue;
        }
        let style = match cell {
            Cell::SignedBytes(n) | Cell::SignedCount(n) if *n > 0 => theme.coloured(Style::new(), Color::Red),
            Cell::SignedBytes(n) | Cell::SignedCount(n) if *n < 0 => {
                theme.coloured(Style::new(), Color::Green)
            }
            _ => Style::new(),
        };
        spans.push(Span::styled(right(&text, usize::from(column.width)), style));
        if slot.percent {
            let text = match cell {
                Cell::Bytes(n, whole) if *whole > 0 => percent(*n, *whole),
                _ => String::new(),
            };
            spans.push(Span::styled(right(&text, usize::from(PERCENT)), DIM));
        }
        if slot.bar {
            let inside = usize::from(BAR) - 2;
            let text = cell.share().map(|share| bar(share, inside)).unwrap_or_default();
            let style = theme.coloured(Style::new(), Color::Cyan);
            spans.push(Span::styled(format!("  {}", left(&text, inside)), style));
        }
    }
    Line::from(spans)
}

/// A recording: what is alive of each moment, and as much again as was allocated and is gone.
fn picture(frame: &mut Frame<'_>, state: &State, theme: Theme, area: Rect) {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = usize::from(area.width);
    let lines = usize::from(area.height.saturating_sub(1));
    let bars = timeline::bars(&state.source, columns);
    let intervals = state.source.intervals();
    let (count, size) = intervals
        .iter()
        .fold((0u64, 0u64), |(n, s), one| (n + one.live_count, s.saturating_add(one.live_size)));
    // Of what is gone only the number is known: it is drawn as large as what is alive is on average.
    let each = if count > 0 { size as f64 / count as f64 } else { 0.0 };
    let height =
        |bar: &timeline::Bar| (bar.live_size as f64, bar.live_size as f64).0.max(bar.allocated as f64 * each);
    let most = bars.iter().map(height).fold(1.0, f64::max);
    let scaled = |value: f64| (value / most * (lines * 8) as f64).round() as usize;
    for at in 0..lines {
        let floor = (lines - 1 - at) * 8;
        let mut spans = Vec::with_capacity(columns);
        for bar in &bars {
            let (live, all) = (scaled(bar.live_size as f64), scaled(height(bar)));
            let (text, style) = if live > floor {
                (EIGHTHS[(live - floor).min(8)], theme.coloured(Style::new(), Color::Cyan))
            } else if all > floor {
                ('░', DIM)
            } else {
                (' ', Style::new())
            };
            spans.push(Span::styled(text.to_string(), style));
        }
        frame.render_widget(
            Paragraph::new(Line::from(spans)),
            Rect { y: area.y + at as u16, height: 1, ..area },
        );
    }
    let mut axis = vec![' '; columns];
    let long = intervals.last().map_or(0, |last| last.to_us);
    let mut write = |at: usize, text: &str| {
        for (place, c) in axis.iter_mut().skip(at).zip(text.chars()) {
            *place = c;
        }
    };
    let end = timeline::seconds(long);
    write(0, "0 s");
    write(columns.saturating_sub(end.chars().count()), &end);
    let legend = "█ alive  ░ gone since";
    write(columns.saturating_sub(legend.chars().count()) / 2, legend);
    let selected = state.tree().current().and_then(|place| match place.item {
        Item::Interval(at) => intervals.get(at as usize),
        _ => None,
    });
    if let (Some(one), true) = (selected, long > 0) {
        let at = timeline::column(one.to_us, long, columns);
        // Half a label would be read as a number of its own.
        for (text, begin) in [("0 s", 0), (end.as_str(), columns.saturating_sub(end.chars().count()))] {
            if (begin..begin + text.chars().count()).contains(&at) {
                write(begin, &" ".repeat(text.chars().count()));
            }
        }
        write(at, "▲");
    }
    let axis: String = axis.into_iter().collect();
    frame.render_widget(Paragraph::new(axis), Rect { y: area.y + lines as u16, height: 1, ..area });
}

fn foot(frame: &mut Frame<'_>, state: &State, theme: Theme, area: Rect) {
    let width = usize::from(area.width);
    if let Some(Over::Input { text, cursor, .. }) = &state.over {
        let label = format!("{}: ", state.view().prompt().unwrap_or_default());
        let room = width.saturating_sub(label.width() + 1);
        // The end with the cursor stays in sight.
        let skip = (cursor + 1).saturating_sub(room);
        let shown: String = text.chars().skip(skip).collect();
        let x = label.width()
            + text.chars().skip(skip).take(cursor - skip.min(*cursor)).collect::<String>().width();
        let line = Line::from(vec![Span::styled(label, theme.accent()), Span::raw(shown)]);
        frame.render_widget(Paragraph::new(line), area);
        frame.set_cursor_position((area.x + (x as u16).min(area.width.saturating_sub(1)), area.y));
        return;
    }
    let line = match (&state.note, &state.over) {
        (Some(note), _) => Span::styled(cut(&heapsight_report::paint::plain(note), width), BOLD),
        (None, Some(Over::Help(_))) => Span::styled("↑↓ scroll  any other key leaves", DIM),
        (None, Some(_)) => Span::styled("↑↓ Enter choose  Esc leave", DIM),
        (None, None) => Span::styled(cut(hints(state.view()), width), DIM),
    };
    frame.render_widget(Paragraph::new(Line::from(line)), area);
}

fn hints(view: View) -> &'static str {
    match view {
        View::Timeline => "↑↓ interval  → its classes  Tab views  ? help  q quit",
        View::Summary => "→ open  r retainers  d dominators  / class  f filter  s sort  ? help  q quit",
        View::Comparison => "→ open  r retainers  / class  f base  s sort  ? help  q quit",
        View::Dominators => "→ open  r retainers  d from here  s sort  b back  ? help  q quit",
        View::Retainers => "→ open  Enter go there  i ignore  d dominators  b back  ? help  q quit",
        View::Strings => "→ open  r retainers  / text  f duplicates or largest  ? help  q quit",
        View::Search => "/ search  → open  r retainers  d dominators  s sort  b back  ? help  q quit",
    }
}

/// A frame in the middle of the screen, as large as its lines.
fn window(frame: &mut Frame<'_>, theme: Theme, title: &str, lines: Vec<Line<'static>>) {
    let all = frame.area();
    let wide = lines.iter().map(Line::width).max().unwrap_or(0).max(title.width() + 2) as u16 + 4;
    let width = wide.min(all.width);
    let height = (lines.len() as u16 + 2).min(all.height.saturating_sub(1));
    let area = Rect { x: (all.width - width) / 2, y: (all.height.saturating_sub(height)) / 2, width, height };
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(Span::styled(format!(" {title} "), theme.accent()));
    let inside = Rect {
        x: area.x + 2.min(width),
        y: area.y + 1.min(height),
        width: width.saturating_sub(4),
        height: height.saturating_sub(2),
    };
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), inside);
}

fn show_help(frame: &mut Frame<'_>, theme: Theme, from: usize) {
    let lines = help::KEYS.iter().map(|(key, what)| {
        Line::from(vec![Span::styled(left(key, 15), theme.accent()), Span::raw((*what).to_owned())])
    });
    let room = usize::from(frame.area().height.saturating_sub(3)).max(1);
    let from = from.min(help::KEYS.len().saturating_sub(room));
    window(frame, theme, "Keys", lines.skip(from).collect());
}

fn show_choice(frame: &mut Frame<'_>, state: &State, theme: Theme, at: usize) {
    let Some((title, all)) = state.view().choices(&state.source) else { return };
    let lines = all.iter().enumerate().map(|(place, text)| {
        let line = Line::from(format!("{} {text}", place + 1));
        if place == at { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
    });
    let room = usize::from(frame.area().height.saturating_sub(3)).max(1);
    window(frame, theme, title, lines.skip((at + 1).saturating_sub(room)).collect());
}
