//! What is on the screen after which keys, at 80, 120 and 200 columns, and that no keys break it.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::fmt::Write as _;

use heapsight_query::{OpenOptions, code::Code, open};
use heapsight_testkit::{fixtures, generate::Rng};
use heapsight_tui::{
    View,
    draw::{Theme, draw},
    source::{Opened, Source},
    state::{Effect, Key, State},
};
use ratatui::{Terminal, backend::TestBackend, style::Color};

/// The state with files, as it is at first.
fn state(files: &[&str]) -> State {
    let files = files.iter().map(|name| {
        let source = heapsight_query::Source::Path(fixtures::path(name));
        let heap = open(&source, OpenOptions::default()).unwrap();
        Opened { name: (*name).to_owned(), heap, code: Code::none() }
    });
    let mut state = State::new(Source::new(files.collect()).unwrap());
    state.settle();
    state
}

fn pair() -> State {
    state(&["pairA.heapsnapshot", "pairB.heapsnapshot"])
}

fn terminal(width: u16, height: u16) -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(width, height)).unwrap()
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    state.settle();
    let mut terminal = terminal(width, height);
    terminal.draw(|frame| draw(frame, state, Theme { colour: false })).unwrap();
    terminal.backend().to_string()
}

/// Letters are keys; `→` `←` `↑` `↓` are arrows, `~` is Enter, `\x1b` Escape.
fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        let key = match key {
            '→' => Key::Right,
            '←' => Key::Left,
            '↑' => Key::Up,
            '↓' => Key::Down,
            '~' => Key::Enter,
            '\x1b' => Key::Esc,
            other => Key::Char(other),
        };
        assert_eq!(state.press(key), Effect::Draw, "{key:?}");
        state.settle();
    }
}

/// The screen after each group of keys.
fn story(mut state: State, width: u16, height: u16, groups: &[&str]) -> String {
    let mut out = screen(&mut state, width, height);
    for keys in groups {
        press(&mut state, keys);
        write!(out, "\n{keys:?}\n{}", screen(&mut state, width, height)).unwrap();
    }
    out
}

/// Every view in turn.
const VIEWS: [&str; 9] = [
    "/leak~→↓→↓",
    "d",
    "b",
    "r",
    "2↓↓→↓→",
    "3↓→↓",
    "5→↓→",
    "6class == \"Map\" and retained > 1KB~→",
    "6/^Buffer$/",
];

#[test]
fn views_at_80_columns() {
    let groups = [
        "/leak~→↓→↓",
        "d",
        "b",
        "r",
        "2↓↓→↓→",
        "3↓→↓",
        "5→↓→",
        "f2",
        "6class == \"Map\" and retained > 1KB~→",
    ];
    insta::assert_snapshot!(story(pair(), 80, 16, &groups));
}

#[test]
fn views_at_120_columns() {
    let groups = ["/leak~→↓→↓", "r", "2↓↓→↓→", "3↓→↓", "5→↓→", "f2", "6@15~→"];
    insta::assert_snapshot!(story(pair(), 120, 16, &groups));
}

#[test]
fn views_at_200_columns() {
    let groups = ["↓→↓→↓", "r", "2↓↓→↓→", "3↓→↓", "5→↓→"];
    insta::assert_snapshot!(story(pair(), 200, 14, &groups));
}

#[test]
fn a_recording_has_its_picture() {
    let shown = |width| story(state(&["node-24.21.0.heaptimeline"]), width, 24, &["G↑→", "2"]);
    insta::assert_snapshot!([80, 120].map(shown).join("\n"));
}

#[test]
fn help_choices_and_what_is_typed() {
    insta::assert_snapshot!(story(pair(), 80, 24, &["?", "\x1bf", "6~//(/", "~", "\x1b4", "4x"]));
}

#[test]
fn a_single_file_has_nothing_to_compare_with() {
    let mut state = state(&["pairA.heapsnapshot"]);
    press(&mut state, "2");
    assert!(screen(&mut state, 80, 10).contains("a comparison needs a second snapshot"));
    assert!(!state.views().contains(&View::Timeline));
}

#[test]
fn a_warning_is_read_whole() {
    let strangers = || state(&["node-24.21.0.heapsnapshot", "pairA.heapsnapshot"]);
    insta::assert_snapshot!([60, 120].map(|width| story(strangers(), width, 12, &["2", "↓"])).join("\n"));
}

#[test]
fn back_leads_where_one_was() {
    let mut state = pair();
    press(&mut state, "/leak~→↓↓r");
    assert_eq!(state.view(), View::Retainers);
    press(&mut state, "↓d");
    assert_eq!(state.view(), View::Dominators);
    press(&mut state, "b");
    assert_eq!((state.view(), state.tree().selected()), (View::Retainers, 1));
    press(&mut state, "b");
    assert_eq!((state.view(), state.tree().selected()), (View::Summary, 2));
    press(&mut state, "b");
    assert_eq!(state.press(Key::Char('q')), Effect::Quit);
}

#[test]
fn what_is_ignored_does_not_hold() {
    let mut state = pair();
    press(&mut state, "/leak~→↓r");
    let before = screen(&mut state, 120, 20);
    press(&mut state, "gi");
    let without = screen(&mut state, 120, 20);
    assert!(without.contains("as if") && without != before, "{without}");
    press(&mut state, "I");
    assert_eq!(screen(&mut state, 120, 20), before);
}

#[test]
fn the_mouse_selects_opens_sorts_and_changes_views() {
    let mut state = pair();
    screen(&mut state, 120, 20);
    press(&mut state, "");
    state.press(Key::Click(5, 6));
    assert_eq!(state.tree().selected(), 3);
    let rows = state.tree().len();
    state.press(Key::Click(5, 6));
    assert!(state.tree().len() > rows, "a second click opens");
    state.press(Key::Wheel(true));
    assert_eq!(state.tree().top(), 3);
    state.press(Key::Click(3, 2));
    state.settle();
    assert!(screen(&mut state, 120, 20).contains("Constructor▲"));
    state.press(Key::Click(20, 0));
    assert_eq!(state.view(), View::Comparison);
}

#[test]
fn colour_is_used_only_where_it_is_wanted() {
    let mut state = pair();
    press(&mut state, "2");
    let mut colours = |colour| {
        let mut terminal = terminal(120, 20);
        terminal.draw(|frame| draw(frame, &mut state, Theme { colour })).unwrap();
        let cells = terminal.backend().buffer().content.iter();
        cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colours(false), 0);
    assert!(colours(true) > 0);
}

/// Control characters of names would move the cursor of whoever looks.
#[test]
fn no_control_character_reaches_the_screen() {
    let mut state = pair();
    for keys in VIEWS {
        press(&mut state, keys);
        let shown = screen(&mut state, 200, 50);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
    }
}

#[test]
fn random_keys_break_nothing() {
    const KEYS: [Key; 34] = [
        Key::Up,
        Key::Down,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::Right,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
        Key::Backspace,
        Key::Clear,
        Key::Char('r'),
        Key::Char('d'),
        Key::Char('b'),
        Key::Char('i'),
        Key::Char('I'),
        Key::Char('s'),
        Key::Char('S'),
        Key::Char('f'),
        Key::Char('/'),
        Key::Char('?'),
        Key::Char('1'),
        Key::Char('5'),
        Key::Char('6'),
        Key::Char('a'),
        Key::Char('@'),
        Key::Wheel(true),
        Key::Wheel(false),
        Key::Click(9, 9),
    ];
    for (seed, mut state) in [(1, pair()), (2, state(&["node-24.21.0.heaptimeline"]))] {
        let mut dice = Rng::new(seed);
        for turn in 0..400 {
            let key = KEYS[dice.below(KEYS.len())];
            state.press(key);
            let (width, height) = (dice.below(220) as u16 + 1, dice.below(60) as u16 + 1);
            screen(&mut state, width, height);
            let tree = state.tree();
            assert!(
                tree.is_empty() || tree.place(tree.selected()).is_some(),
                "seed {seed}, turn {turn}: after {key:?} no row is selected"
            );
        }
    }
}
