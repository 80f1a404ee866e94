//! Waiting until a target is ready: until a URL answers, or until a launched process says a text.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::http::{Failure, agent, checked_url, reason};
use crate::{CaptureError, Kind, Result, launch::Launched};

/// Pause between two tries of a URL.
const PAUSE: Duration = Duration::from_millis(50);

/// How long one try may take, so that a stop is heard.
const TRY: Duration = Duration::from_secs(2);

/// A wait longer than this is told of.
const SILENT: Duration = Duration::from_secs(2);

/// How long a load waits for an answer that is no error of the server, once it answers.
const FAILING: Duration = Duration::from_secs(3);

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Until a GET of this URL is answered with a status below 500.
    Url(String),
    /// Until this text appears in the output of a launched process.
    Text(String),
}

impl WaitFor {
    /// What begins like a URL is one; everything else is a text.
    ///
    /// # Errors
    /// The text is empty, or the URL is none that can be asked (see [`super::http`]).
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(CaptureError::new(Kind::Other, "cannot wait for an empty text", ""));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            checked_url(text)?;
            return Ok(Self::Url(text.to_owned()));
        }
        Ok(Self::Text(text.to_owned()))
    }
}

/// Waits until a URL answers with a status below 500, which it returns. `launched` is a process that is to answer: its
/// end ends the wait.
///
/// # Errors
/// [`Kind::Timeout`]: there is no such answer in time; [`Kind::Gone`]: the process has ended; [`Kind::Interrupted`].
pub fn url(url: &str, timeout: Duration, launched: Option<&mut Launched>, stop: &AtomicBool) -> Result<u16> {
    url_told(url, timeout, launched, stop, &|_| {})
}

/// The same; what it waits for is told once, if it takes longer than a moment.
///
/// # Errors
/// As [`url`].
pub fn url_told(
    url: &str,
    timeout: Duration,
    launched: Option<&mut Launched>,
    stop: &AtomicBool,
    told: &dyn Fn(&str),
) -> Result<u16> {
    wait(url, &Patience { within: timeout, failing: timeout }, launched, stop, told)
}

/// The same for what is to be asked again and again: where nothing but errors comes for a while, nothing else is waited
/// for, as such a load would be none.
///
/// # Errors
/// As [`url`]; [`Kind::Protocol`]: it answers, but with errors.
pub(super) fn for_load(url: &str, within: Duration, stop: &AtomicBool, told: &dyn Fn(&str)) -> Result<u16> {
    wait(url, &Patience { within, failing: FAILING }, None, stop, told)
}

/// How long it is waited.
struct Patience {
    /// For an answer.
    within: Duration,
    /// For a better one, where all that come are errors of the server.
    failing: Duration,
}

fn wait(
    url: &str,
    patience: &Patience,
    mut launched: Option<&mut Launched>,
    stop: &AtomicBool,
    told: &dyn Fn(&str),
) -> Result<u16> {
    checked_url(url)?;
    let what = || format!("{url} does not answer");
    let begun = Instant::now();
    let deadline = begun + patience.within;
    let mut last: Option<Seen> = None;
    // Since when every answer is an error.
    let mut failing: Option<Instant> = None;
    let mut is_told = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let seen = match agent(left.clamp(Duration::from_millis(10), TRY)).get(url).call() {
            Ok(response) if response.status().as_u16() < 500 => return Ok(response.status().as_u16()),
            Ok(response) => Seen::Status(response.status().as_u16()),
            Err(error) => match (reason(&error), last) {
                // The last try has too little time; what was seen before says more.
                (Failure::Timeout, Some(last)) if left < TRY => last,
                (failure, _) => Seen::Nothing(failure),
            },
        };
        if let Some(exit) = launched.as_mut().and_then(|launched| launched.exited()) {
            return Err(CaptureError::new(Kind::Gone, what(), format!("the program has ended ({exit})")));
        }
        if stop.load(Ordering::Relaxed) {
            return Err(CaptureError::new(Kind::Interrupted, what(), "interrupted"));
        }
        let now = Instant::now();
        match seen {
            Seen::Status(status) => {
                let since = *failing.get_or_insert(now);
                let over = now >= deadline;
                if over || now - since >= patience.failing {
                    let kind = if over { Kind::Timeout } else { Kind::Protocol };
                    let what = format!("{url} answers with status {status}");
                    let seconds = (if over { patience.within } else { patience.failing }).as_secs_f64();
                    let why = format!("nothing better came within {seconds} s");
                    return Err(CaptureError::new(kind, what, why).hint(
                        "something listens there, and says that it fails: check the path, and what the program logs",
                    ));
                }
            }
            Seen::Nothing(failure) => {
                failing = None;
                if now >= deadline {
                    let why = format!("{failure}, after {} s", patience.within.as_secs_f64());
                    return Err(CaptureError::new(Kind::Timeout, what(), why)
                        .hint("check the address, and that the program listens on it"));
                }
            }
        }
        if !is_told && now - begun >= SILENT {
            is_told = true;
            let seconds = patience.within.as_secs_f64();
            told(&match seen {
                Seen::Status(status) => {
                    let seconds = patience.failing.as_secs_f64().min(seconds);
                    format!(
                        "waiting up to {seconds} s until {url} answers with a status below 500 (now: {status})"
                    )
                }
                Seen::Nothing(failure) => {
                    format!("waiting up to {seconds} s until {url} answers (so far: {failure})")
                }
            });
        }
        last = Some(seen);
        thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
    }
}

/// What came of a try.
#[derive(Clone, Copy)]
enum Seen {
    /// An error of the server.
    Status(u16),
    Nothing(Failure),
}
