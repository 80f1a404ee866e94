//! The line through what was measured: how fast it grows and when it reaches a limit.
//!
//! At most [`POINTS`] points are kept, evenly spaced over the window; a fit is one pass over them.

use std::{collections::VecDeque, time::Duration};

/// Points of a window.
const POINTS: u32 = 120;

/// With fewer no line is drawn.
const FEWEST: usize = 6;

/// How much of what was measured the line must explain (the coefficient of determination) before it is believed.
const BELIEVED: f64 = 0.6;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Bytes a second.
    pub(crate) slope: f64,
    /// Where it is now, in bytes.
    pub(crate) now: f64,
    /// How much of the variance it explains, up to 1.
    pub(crate) fit: f64,
    /// The time that it was drawn over.
    pub(crate) span: Duration,
}

impl Line {
    /// Whether it says something: it grows, and what was measured is near it.
    pub(crate) fn grows(&self) -> bool {
        self.slope > 0.0 && self.fit >= BELIEVED
    }

    /// How long until it reaches a limit; `None` if it does not, or not in a year.
    pub(crate) fn reaches(&self, limit: u64) -> Option<Duration> {
        if !self.grows() {
            return None;
        }
        let seconds = (limit as f64 - self.now).max(0.0) / self.slope;
        (seconds < 366.0 * 86400.0).then(|| Duration::from_secs_f64(seconds))
    }
}

/// What was measured in a window.
#[derive(Clone, Debug)]
pub(crate) struct Trend {
    window: Duration,
    points: VecDeque<(Duration, f64)>,
}

impl Trend {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, points: VecDeque::new() }
    }

    /// Adds what was measured at a time, which does not go back.
    pub(crate) fn push(&mut self, at: Duration, value: u64) {
        let due = self.points.back().is_none_or(|(last, _)| at >= *last + self.window / POINTS);
        if due {
            self.points.push_back((at, value as f64));
        }
        while self.points.front().is_some_and(|(first, _)| at.saturating_sub(*first) > self.window) {
            self.points.pop_front();
        }
    }

    /// The line of least squares; `None` before `share` of the window has been seen.
    pub(crate) fn line(&self, share: f64) -> Option<Line> {
        let (&(first, _), &(last, _)) = (self.points.front()?, self.points.back()?);
        let span = last.saturating_sub(first);
        if self.points.len() < FEWEST || span.as_secs_f64() < self.window.as_secs_f64() * share {
            return None;
        }
        let n = self.points.len() as f64;
        let x = |at: Duration| at.saturating_sub(first).as_secs_f64();
        let mean_x = self.points.iter().map(|&(at, _)| x(at)).sum::<f64>() / n;
        let mean_y = self.points.iter().map(|&(_, y)| y).sum::<f64>() / n;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for &(at, y) in &self.points {
            let (dx, dy) = (x(at) - mean_x, y - mean_y);
            xx += dx * dx;
            xy += dx * dy;
            yy += dy * dy;
        }
        if xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let fit = if yy > 0.0 { (xy * xy / (xx * yy)).min(1.0) } else { 0.0 };
        Some(Line { slope, now: mean_y + slope * (x(last) - mean_x), fit, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(values: impl IntoIterator<Item = u64>) -> Trend {
        let mut trend = Trend::new(Duration::from_secs(600));
        for (second, value) in values.into_iter().enumerate() {
            trend.push(Duration::from_secs(second as u64), value);
        }
        trend
    }

    #[test]
    fn a_straight_leak_is_predicted_to_the_second() {
        let line = trend((0..600).map(|s| 1000 + s * 50)).line(0.5).unwrap();
        assert!((line.slope - 50.0).abs() < 1e-9 && line.fit > 0.999, "{line:?}");
        let left = line.reaches(line.now as u64 + 5000).unwrap().as_secs_f64();
        assert!((left - 100.0).abs() < 1.0, "{left}");
        assert_eq!(line.reaches(10), Some(Duration::ZERO));
    }

    #[test]
    fn the_teeth_of_a_collector_are_no_leak_and_do_not_hide_one() {
        let teeth = |s: u64| (s % 20) * 1_000_000;
        let flat = trend((0..600).map(|s| 50_000_000 + teeth(s))).line(0.5).unwrap();
        assert!(!flat.grows(), "{flat:?}");
        let leak = trend((0..600).map(|s| 50_000_000 + teeth(s) + s * 200_000)).line(0.5).unwrap();
        assert!(leak.grows() && (leak.slope - 200_000.0).abs() < 20_000.0, "{leak:?}");
    }

    #[test]
    fn too_little_says_nothing_and_the_past_is_forgotten() {
        assert_eq!(trend(0..5).line(0.0), None);
        assert_eq!(trend(0..100).line(0.5), None);
        let mut trend = trend((0..600).map(|s| s * 1000));
        for second in 600..1300 {
            trend.push(Duration::from_secs(second), 600_000);
        }
        let line = trend.line(0.5).unwrap();
        assert!(!line.grows() && trend.points.len() <= POINTS as usize + 1, "{line:?}");
    }
}
