//! What `heapsight top` shows, apart from how: the rows, the order, what is chosen, and what each key does.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use heapsight_capture::inspector::{EventLoop, IsolateMemory};
use heapsight_profile::{Caller, Frame, Groups, Profile, callers, error_of, top};
use heapsight_report::profile::{By, Key, key_of};

use crate::args::capture::LiveSort;

/// Levels of callers that are shown.
const DEPTH: u32 = 24;

/// What was seen at one refresh.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) profile: Profile,
    pub(super) memory: IsolateMemory,
    /// `None` where the loop did not turn in time, or the runtime has none.
    pub(super) event_loop: Option<EventLoop>,
    /// Since the sampling began.
    pub(super) elapsed: Duration,
    /// Whether what was collected is counted, too.
    pub(super) is_all: bool,
}

/// A function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) self_size: u64,
    pub(super) total_size: u64,
    pub(super) self_count: u64,
    /// Bytes a second since the last refresh; of live bytes it may be negative.
    pub(super) rate: f64,
    /// Relative standard errors of both sizes.
    pub(super) error: Option<f64>,
    pub(super) total_error: Option<f64>,
}

/// What is on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Functions,
    /// Who called this function.
    Callers(Key),
}

/// A key, as far as this program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    Enter,
    Back,
    Letter(char),
}

/// What the caller has to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Quit,
    /// Sample in the other way.
    Switch,
}

#[derive(Debug)]
pub(super) struct State {
    /// Whom it is about, in words.
    pub(super) title: String,
    pub(super) sort: LiveSort,
    pub(super) is_paused: bool,
    pub(super) page: Page,
    /// Place of the chosen row.
    pub(super) chosen: usize,
    pub(super) rows: Vec<Row>,
    pub(super) sight: Sight,
    /// Bytes a second of all functions together, collected or not.
    pub(super) rate: f64,
    /// Part of the time in which the event loop worked since the last refresh.
    pub(super) busy: Option<f64>,
    /// What is wrong, in words.
    pub(super) trouble: Option<String>,
    before: HashMap<Key, u64>,
    seen: Option<(Duration, EventLoop, u64)>,
}

impl State {
    pub(super) fn new(title: String, sort: LiveSort) -> Self {
        Self {
            title,
            sort,
            is_paused: false,
            page: Page::Functions,
            chosen: 0,
            rows: Vec::new(),
            sight: Sight::default(),
            rate: 0.0,
            busy: None,
            trouble: None,
            before: HashMap::new(),
            seen: None,
        }
    }

    /// Takes in what was seen; while paused nothing changes.
    pub(super) fn see(&mut self, sight: Sight) {
        if self.is_paused {
            return;
        }
        let samples = sight.profile.samples.iter().map(|sample| sample.ordinal).max().unwrap_or(0);
        let fresh = self.seen.is_none_or(|(elapsed, ..)| sight.elapsed < elapsed)
            || sight.is_all != self.sight.is_all;
        let (since, was, ordinal) = match self.seen {
            Some(seen) if !fresh => seen,
            _ => (Duration::ZERO, EventLoop::default(), 0),
        };
        if fresh {
            self.before.clear();
        }
        let seconds = (sight.elapsed.saturating_sub(since)).as_secs_f64().max(0.001);
        // Each sample that was taken stands for an interval of bytes, also if it is gone.
        self.rate =
            samples.saturating_sub(ordinal) as f64 * sight.profile.interval.unwrap_or(0) as f64 / seconds;
        let event_loop = sight.event_loop.unwrap_or(was);
        let (idle, active) = (event_loop.idle - was.idle, event_loop.active - was.active);
        self.busy = (!fresh && idle + active > 0.0).then(|| (active / (idle + active)).clamp(0.0, 1.0));
        self.seen = Some((sight.elapsed, event_loop, samples));

        let chosen = self.rows.get(self.chosen).map(|row| row.key.clone());
        let profile = &sight.profile;
        let root = profile.nodes.function.first().copied();
        self.rows = top(profile, &Groups::functions(profile))
            .into_iter()
            .filter(|row| Some(row.function) != root)
            .map(|row| {
                let key = key_of(By::Function, profile.frame(row.function));
                let before = self.before.get(&key).copied().unwrap_or(0);
                Row {
                    rate: (row.self_size as f64 - before as f64) / seconds,
                    key,
                    self_size: row.self_size,
                    total_size: row.total_size,
                    self_count: row.self_count,
                    error: error_of(profile, row.self_size, row.self_count),
                    total_error: error_of(profile, row.total_size, row.total_count),
                }
            })
            .collect();
        self.before = self.rows.iter().map(|row| (row.key.clone(), row.self_size)).collect();
        self.sight = sight;
        self.order();
        // The chosen function stays chosen wherever it goes; the first row is nobody's choice.
        if let Some(key) = chosen.filter(|_| self.chosen > 0) {
            self.chosen = self.rows.iter().position(|row| row.key == key).unwrap_or(self.chosen);
        }
        self.chosen = self.chosen.min(self.rows.len().saturating_sub(1));
    }

    fn order(&mut self) {
        match self.sort {
            LiveSort::Own => self.rows.sort_by_key(|row| Reverse((row.self_size, row.total_size))),
            LiveSort::Total => self.rows.sort_by_key(|row| Reverse((row.total_size, row.self_size))),
            LiveSort::Rate => self.rows.sort_by(|a, b| {
                b.rate.total_cmp(&a.rate).then(b.self_size.cmp(&a.self_size)).then_with(|| a.key.cmp(&b.key))
            }),
        }
    }

    /// The function of a page of callers, with its callers below.
    pub(super) fn callers(&self, of: &Key) -> Vec<Caller> {
        let profile = &self.sight.profile;
        let name = |function: u32| -> Frame<'_> { profile.frame(function) };
        let mut tree = callers(profile, |function| key_of(By::Function, name(function)) == *of, DEPTH);
        // Depth first, heaviest first, as it is read.
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); tree.len() + 1];
        for (at, caller) in tree.iter().enumerate() {
            lists[(caller.parent as usize).min(tree.len())].push(at as u32);
        }
        for list in &mut lists {
            list.sort_by_key(|&at| (tree[at as usize].total_size, tree[at as usize].self_size, Reverse(at)));
        }
        let mut open = lists[tree.len()].clone();
        let mut out = Vec::with_capacity(tree.len());
        while let Some(at) = open.pop() {
            out.push(tree[at as usize]);
            open.extend(&lists[at as usize]);
        }
        tree.clear();
        out
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: Press) -> Action {
        let last = self.rows.len().saturating_sub(1);
        match (key, &self.page) {
            (Press::Letter('l'), _) if !self.is_paused => {
                self.page = Page::Functions;
                return Action::Switch;
            }
            (Press::Letter('p' | ' '), _) => self.is_paused = !self.is_paused,
            (Press::Letter(letter @ ('s' | 't' | 'r')), _) => {
                self.sort = match letter {
                    's' => LiveSort::Own,
                    't' => LiveSort::Total,
                    _ => LiveSort::Rate,
                };
                self.chosen = 0;
                self.order();
            }
            (Press::Letter('q'), _) | (Press::Back, Page::Functions) => return Action::Quit,
            (Press::Back | Press::Enter, Page::Callers(_)) => self.page = Page::Functions,
            (Press::Enter, Page::Functions) => {
                if let Some(row) = self.rows.get(self.chosen) {
                    self.page = Page::Callers(row.key.clone());
                }
            }
            (Press::Up, _) => self.chosen = self.chosen.saturating_sub(1),
            (Press::Down, _) => self.chosen = (self.chosen + 1).min(last),
            (Press::PageUp, _) => self.chosen = self.chosen.saturating_sub(20),
            (Press::PageDown, _) => self.chosen = (self.chosen + 20).min(last),
            (Press::Home, _) => self.chosen = 0,
            (Press::Letter(_), _) => {}
        }
        Action::Nothing
    }
}
