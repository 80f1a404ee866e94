//! How often may be acted: a pause after each action of a rule, and so many actions in 24 hours, for a program.
//!
//! Counted in time that does not jump. A program is what its command line says, so that a program that crashes and comes
//! back, and the workers of a cluster, share one count.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

const DAY: Duration = Duration::from_secs(86400);

/// Programs that are remembered; beyond that those are forgotten that acted least lately.
const PROGRAMS: usize = 4096;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The rule acted a moment ago.
    Cooldown,
    /// The program has had all of its day.
    Day,
}

/// Who acted when.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    per_day: usize,
    acted: BTreeMap<String, VecDeque<Duration>>,
    last: BTreeMap<(String, usize), Duration>,
}

impl Gate {
    pub(crate) fn new(per_day: u32) -> Self {
        Self { per_day: per_day as usize, acted: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// Counts what was done before this watcher was started.
    pub(crate) fn restore(&mut self, now: Duration, program: &str, age: Duration) {
        let acted = self.acted.entry(program.to_owned()).or_default();
        acted.push_back(now.saturating_sub(age));
        acted.make_contiguous().sort_unstable();
    }

    /// Whether a rule may act now; if so, it has.
    pub(crate) fn admit(
        &mut self,
        now: Duration,
        program: &str,
        rule: usize,
        cooldown: Duration,
    ) -> Result<(), Refused> {
        let key = (program.to_owned(), rule);
        if self.last.get(&key).is_some_and(|last| now.saturating_sub(*last) < cooldown) {
            return Err(Refused::Cooldown);
        }
        self.forget(now);
        let acted = self.acted.entry(program.to_owned()).or_default();
        if acted.len() >= self.per_day {
            return Err(Refused::Day);
        }
        acted.push_back(now);
        self.last.insert(key, now);
        Ok(())
    }

    /// What was done in the last 24 hours: program and how long ago.
    pub(crate) fn acted(&self, now: Duration) -> impl Iterator<Item = (&str, Duration)> {
        self.acted.iter().flat_map(move |(program, times)| {
            let recent = times.iter().map(move |time| now.saturating_sub(*time)).filter(|age| *age < DAY);
            recent.map(|age| (program.as_str(), age))
        })
    }

    fn forget(&mut self, now: Duration) {
        self.acted.retain(|_, times| {
            while times.front().is_some_and(|first| now.saturating_sub(*first) >= DAY) {
                times.pop_front();
            }
            !times.is_empty()
        });
        while self.last.len() > PROGRAMS {
            let Some(oldest) = self.last.iter().min_by_key(|(_, time)| **time).map(|(key, _)| key.clone())
            else {
                return;
            };
            self.last.remove(&oldest);
        }
        while self.acted.len() > PROGRAMS {
            // The count of none of them may be lost that could act again today; the one that acted first comes free first.
            let Some(oldest) = self.acted.iter().min_by_key(|(_, times)| times.back().copied()) else {
                return;
            };
            let oldest = oldest.0.clone();
            self.acted.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_rule_pauses_and_a_program_has_so_many_a_day() {
        let mut gate = Gate::new(3);
        let at = |hours: u32| HOUR * (1000 + hours);
        assert_eq!(gate.admit(at(0), "a", 0, HOUR), Ok(()));
        assert_eq!(gate.admit(at(0), "a", 0, HOUR), Err(Refused::Cooldown));
        assert_eq!(gate.admit(at(0), "a", 1, HOUR), Ok(()));
        assert_eq!(gate.admit(at(0), "b", 0, HOUR), Ok(()));
        assert_eq!(gate.admit(at(2), "a", 0, HOUR), Ok(()));
        assert_eq!(gate.admit(at(5), "a", 0, HOUR), Err(Refused::Day));
        assert_eq!(gate.admit(at(23), "a", 0, HOUR), Err(Refused::Day));
        assert_eq!(gate.admit(at(24), "a", 0, HOUR), Ok(()));
    }

    #[test]
    fn a_watcher_that_is_started_anew_has_not_forgotten() {
        let now = HOUR * 1000;
        let mut gate = Gate::new(2);
        gate.restore(now, "a", HOUR * 2);
        gate.restore(now, "a", HOUR * 23);
        assert_eq!(gate.admit(now, "a", 0, HOUR), Err(Refused::Day));
        assert_eq!(gate.admit(now + HOUR, "a", 0, HOUR), Ok(()));
        assert_eq!(gate.acted(now + HOUR).count(), 2);
    }
}
