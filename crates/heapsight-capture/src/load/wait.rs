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
pub fn url(
    url: &str,
    timeout: Duration,
    mut launched: Option<&mut Launched>,
    stop: &AtomicBool,
) -> Result<u16> {
    checked_url(url)?;
    let what = || format!("{url} does not answer");
    let deadline = Instant::now() + timeout;
    let mut last: Option<String> = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let why = match agent(left.clamp(Duration::from_millis(10), TRY)).get(url).call() {
            Ok(response) if response.status().as_u16() < 500 => return Ok(response.status().as_u16()),
            Ok(response) => format!("it answers with status {}", response.status().as_u16()),
            Err(error) => match (reason(&error), last) {
                // The last try has too little time; what was seen before says more.
                (Failure::Timeout, Some(last)) if left < TRY => last,
                (failure, _) => failure.to_string(),
            },
        };
        if let Some(exit) = launched.as_mut().and_then(|launched| launched.exited()) {
            return Err(CaptureError::new(Kind::Gone, what(), format!("the program has ended, {exit}")));
        }
        if stop.load(Ordering::Relaxed) {
            return Err(CaptureError::new(Kind::Interrupted, what(), "interrupted"));
        }
        if Instant::now() >= deadline {
            let seconds = timeout.as_secs_f64();
            return Err(CaptureError::new(Kind::Timeout, what(), format!("{why}, after {seconds} s"))
                .hint("check the address, and that the program listens on it"));
        }
        last = Some(why);
        thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
    }
}
