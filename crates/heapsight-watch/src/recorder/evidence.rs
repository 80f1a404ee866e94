//! What is said of a program that has ended: how, how large it was, and what had grown.

use std::time::Duration;

use super::{HeapSample, Sample};
use crate::units;

/// How large the old generation may be, of its limit, before the end is blamed on that.
const FULL: f64 = 0.9;

/// How a process ended, as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel killed a process of its control group, or of the machine, for want of memory at that moment.
    Oom,
    /// Its heap was near the limit at which V8 ends a program.
    HeapLimit,
    /// Not known.
    Unknown,
}

impl Cause {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oom => "oom-kill",
            Self::HeapLimit => "heap-limit",
            Self::Unknown => "unknown",
        }
    }
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How.
    pub cause: Cause,
    /// Its resident memory when it was last seen.
    pub rss: u64,
    /// The most that it was seen with.
    pub peak: u64,
    /// What its heap was when it was last asked.
    pub heap: Option<HeapSample>,
}

/// A function whose allocations that are alive have grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// Its name; empty for an anonymous one.
    pub name: String,
    /// Its file.
    pub url: String,
    /// Line and column, from 1.
    pub line: Option<u32>,
    /// Likewise.
    pub column: Option<u32>,
    /// Bytes more than at the beginning of the window.
    pub bytes: u64,
    /// The standard error of that.
    pub error: Option<u64>,
}

impl Ending {
    pub(super) fn of(last: &Sample, peak: u64, heap: Option<HeapSample>, oom_killed: bool) -> Self {
        let full = heap.as_ref().is_some_and(is_full);
        let cause = match (oom_killed, full) {
            (true, _) => Cause::Oom,
            (false, true) => Cause::HeapLimit,
            (false, false) => Cause::Unknown,
        };
        Self { cause, rss: last.rss, peak: peak.max(last.rss), heap }
    }

    /// One sentence: "killed by the kernel for want of memory (OOM) at 1.9 GiB; in the last 10 minutes `Session`, at
    /// store.js:41, grew by 300 MiB".
    pub fn sentence(&self, grown: &[Grown], window: Duration) -> String {
        let size = units::bytes(self.rss);
        let mut text = match (self.cause, &self.heap) {
            (Cause::Oom, _) => format!("killed by the kernel for want of memory (OOM) at {size}"),
            (Cause::HeapLimit, Some(heap)) => format!(
                "ended at {size} with {} of old objects of at most {}, where V8 ends a program",
                units::bytes(heap.old_used()),
                units::bytes(heap.old_limit())
            ),
            _ => format!("ended at {size}"),
        };
        if let Some(first) = grown.first() {
            text.push_str(&format!(
                "; in the last {} {first} grew by {}",
                units::time(window),
                units::bytes(first.bytes)
            ));
        }
        text
    }
}

/// Whether a heap was so full that V8 may have ended the program. What ends it is the limit of old objects.
fn is_full(heap: &HeapSample) -> bool {
    heap.old_limit() > 0 && heap.old_used() as f64 >= heap.old_limit() as f64 * FULL
}

impl std::fmt::Display for Grown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.is_empty() { "(anonymous)" } else { &self.name };
        write!(f, "what `{name}` allocates")?;
        if !self.url.is_empty() {
            write!(f, " (at {}", self.url.rsplit('/').next().unwrap_or_default())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            write!(f, ")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_how_and_what_grew() {
        let last = Sample { rss: 2_040_109_466, ..Sample::default() };
        let grown = Grown {
            name: "Session".into(),
            url: "file:///srv/app/store.js".into(),
            line: Some(41),
            column: Some(3),
            bytes: 300 << 20,
            error: None,
        };
        let window = Duration::from_secs(600);
        let killed = Ending::of(&last, 0, None, true);
        assert_eq!(
            killed.sentence(std::slice::from_ref(&grown), window),
            "killed by the kernel for want of memory (OOM) at 1.9 GiB; in the last 10 minutes what `Session` allocates \
             (at store.js:41) grew by 300 MiB"
        );
        let heap = HeapSample { used: 95, limit: 100, ..HeapSample::default() };
        let full = Ending::of(&last, 0, Some(heap.clone()), false);
        assert!(full.sentence(&[], window).contains("where V8 ends a program"));
        // Of 108 MiB the old generation has 60, and 57 of these are in use.
        let spaces = vec![("new_space".to_owned(), 10 << 20), ("old_space".to_owned(), 57 << 20)];
        let small = HeapSample { used: 67 << 20, limit: 108 << 20, spaces, ..HeapSample::default() };
        assert_eq!(Ending::of(&last, 0, Some(small), false).cause, Cause::HeapLimit);
        let calm = Ending::of(&last, 5, Some(HeapSample { used: 50, ..heap }), false);
        assert_eq!(calm.sentence(&[], window), "ended at 1.9 GiB");
    }
}
