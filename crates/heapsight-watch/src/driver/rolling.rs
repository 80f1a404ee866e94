//! The rolling profile: what V8 says again and again of who allocated what is alive, kept outside of the target, so that
//! it outlives it.
//!
//! Of each reading the bytes by function are kept ([`SITES`] functions, a few kilobytes), and of the last one the
//! profile itself.

use std::{collections::VecDeque, time::Duration};

use heapsight_capture::{CaptureError, Kind, Result};

use crate::recorder::Grown;

/// Functions of a reading that are kept, those with most bytes.
const SITES: usize = 256;

/// Readings of a window; more often read ones are thinned out.
const READINGS: u32 = 40;

/// Functions that are named as grown.
const NAMED: usize = 5;

/// A function and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Site {
    name: String,
    url: String,
    line: Option<u32>,
    column: Option<u32>,
    bytes: u64,
    error: Option<u64>,
}

impl Site {
    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.url, self.line, self.column) == (&other.name, &other.url, other.line, other.column)
    }
}

/// The last readings.
#[derive(Debug)]
pub(super) struct Rolling {
    window: Duration,
    readings: VecDeque<(Duration, Vec<Site>)>,
    last: Vec<u8>,
}

impl Rolling {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, readings: VecDeque::new(), last: Vec::new() }
    }

    /// Takes a reading in.
    ///
    /// # Errors
    /// It is no profile.
    pub(super) fn push(&mut self, at: Duration, profile: Vec<u8>) -> Result<()> {
        let read = heapsight_profile::read(&profile[..]).map_err(|error| {
            CaptureError::new(Kind::Protocol, "the rolling profile cannot be read", error)
        })?;
        let groups = heapsight_profile::Groups::by(&read, |function| {
            let frame = read.frame(function);
            (frame.name, frame.url, frame.position())
        });
        let rows = heapsight_profile::top(&read, &groups);
        let sites = rows.iter().take(SITES).filter(|row| row.self_size > 0).map(|row| {
            let frame = read.frame(row.function);
            let (line, column) = frame.position();
            let error = heapsight_profile::error_of(&read, row.self_size, row.self_count);
            Site {
                name: frame.name.to_owned(),
                url: frame.url.to_owned(),
                line,
                column,
                bytes: row.self_size,
                error: error.map(|error| (error * row.self_size as f64) as u64),
            }
        });
        let sites = sites.collect();
        // The newest reading is replaced until it is far enough from the one before.
        let apart = self.window / READINGS;
        let before = self.readings.iter().rev().nth(1).map(|(time, _)| *time);
        if before.is_some_and(|before| self.readings.back().is_some_and(|(last, _)| *last < before + apart)) {
            self.readings.pop_back();
        }
        self.readings.push_back((at, sites));
        while self.readings.len() > 2
            && self.readings.get(1).is_some_and(|(time, _)| at.saturating_sub(*time) >= self.window)
        {
            self.readings.pop_front();
        }
        self.last = profile;
        Ok(())
    }

    /// The last profile, as V8 wrote it; empty before the first.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    /// V8 began anew, with nothing: what was before cannot be compared with what comes.
    pub(super) fn restart(&mut self, at: Duration) {
        self.readings.clear();
        self.readings.push_back((at, Vec::new()));
    }

    /// What grew in the window, beyond what sampling explains, most first; and the time between both readings.
    pub(super) fn grown(&self) -> (Vec<Grown>, Duration) {
        let (Some((from, before)), Some((to, after))) = (self.readings.front(), self.readings.back()) else {
            return (Vec::new(), Duration::ZERO);
        };
        let mut grown: Vec<Grown> = after
            .iter()
            .filter_map(|site| {
                let old = before.iter().find(|old| old.is_same(site));
                let bytes = site.bytes.saturating_sub(old.map_or(0, |old| old.bytes));
                let errors = site.error.map(|error| {
                    let old = old.and_then(|old| old.error).unwrap_or(0);
                    (error as f64).hypot(old as f64) as u64
                });
                // Beyond two standard errors.
                let certain = errors.is_none_or(|error| bytes > error.saturating_mul(2));
                (bytes > 0 && certain).then(|| Grown {
                    name: site.name.clone(),
                    url: site.url.clone(),
                    line: site.line,
                    column: site.column,
                    bytes,
                    error: errors,
                })
            })
            .collect();
        grown.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        grown.truncate(NAMED);
        (grown, to.saturating_sub(*from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A profile in which two functions have so many samples of 512 KiB.
    fn profile(session: usize, other: usize) -> Vec<u8> {
        let mut samples = Vec::new();
        for (node, count) in [(2, session), (3, other)] {
            for _ in 0..count {
                samples.push(format!(r#"{{"size":524288,"nodeId":{node},"ordinal":{}}}"#, samples.len() + 1));
            }
        }
        let frame = |name: &str, line: u32, size: usize, id: u32| {
            format!(
                r#"{{"callFrame":{{"functionName":"{name}","scriptId":"7","url":"file:///app/store.js","lineNumber":{line},"columnNumber":2}},"selfSize":{size},"id":{id},"children":[]}}"#
            )
        };
        format!(
            r#"{{"head":{{"callFrame":{{"functionName":"(root)","scriptId":"0","url":"","lineNumber":-1,"columnNumber":-1}},"selfSize":0,"id":1,"children":[{},{}]}},"samples":[{}]}}"#,
            frame("Session", 40, session * 524_288, 2),
            frame("other", 70, other * 524_288, 3),
            samples.join(",")
        )
        .into_bytes()
    }

    #[test]
    fn what_grew_in_the_window_is_named_with_its_place() {
        let mut rolling = Rolling::new(Duration::from_secs(600));
        let minute = |n: u64| Duration::from_secs(60 * n);
        for step in 0..30 {
            rolling.push(minute(step), profile(20 + step as usize * 60, 40)).unwrap();
        }
        let (grown, window) = rolling.grown();
        assert_eq!(window, minute(10));
        assert_eq!(grown.len(), 1, "{grown:?}");
        assert_eq!((grown[0].name.as_str(), grown[0].line), ("Session", Some(41)));
        assert_eq!(grown[0].bytes, 600 * 524_288);
        assert!(rolling.readings.len() <= READINGS as usize + 2);
        rolling.restart(minute(31));
        assert_eq!(rolling.grown().0, []);
        rolling.push(minute(32), profile(50, 0)).unwrap();
        assert_eq!((rolling.grown().0[0].bytes, rolling.grown().1), (50 * 524_288, minute(1)));
    }

    #[test]
    fn noise_is_no_growth_and_rubbish_is_refused() {
        let mut rolling = Rolling::new(Duration::from_secs(600));
        rolling.push(Duration::ZERO, profile(10, 40)).unwrap();
        rolling.push(Duration::from_secs(500), profile(13, 42)).unwrap();
        assert_eq!(rolling.grown().0, []);
        assert!(rolling.push(Duration::from_secs(501), b"{\"head\"".to_vec()).is_err());
    }
}
