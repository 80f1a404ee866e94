//! Whether counts of equal rounds of work grow as a leak does.
//!
//! A leak keeps something of every request, or of every second: so much a round, in the last one as in the first. A cache
//! that fills gains less in each round, a pool nothing once it is warm, and what is under way when the last snapshot is
//! taken shows in the last round alone.
//!
//! Rounds need not be equal: a round's count is divided by its work, which is its requests or its seconds.

/// What the counts of a holder say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// About so much for the same work in every round.
    Steady,
    /// Less and less: a cache that fills, code that warms up.
    Slowing,
    /// Nothing in some round.
    Stopped,
    /// By leaps.
    Uneven,
    /// Too few to tell.
    Few,
}

/// Fewer in a round are by chance.
pub const FEW: u64 = 4;

/// Members a unit of work below which growth is a trickle that many things cause.
const TRICKLE: f64 = 0.015;

/// Rounds may differ by this factor.
const SPREAD: f64 = 0.6;

/// The last round has what is under way as well: so many times the others, and so many more.
const UNDER_WAY: (f64, f64) = (2.5, 60.0);

/// Judges counts, one a round, oldest first. `work` is what each round did; `None` where that is not known, and the rounds
/// are taken to be alike. `each` says whether the work is counted in requests, of which a leak keeps a good part.
pub fn trend(counts: &[u64], work: Option<&[f64]>, each: bool) -> Trend {
    let Some((&last, early)) = counts.split_last() else { return Trend::Few };
    let weight = |round: usize| work.and_then(|w| w.get(round)).copied().filter(|&w| w > 0.0).unwrap_or(1.0);
    let rate = |round: usize| counts[round] as f64 / weight(round);
    if early.is_empty() {
        // One round alone says little: only what is plain counts.
        return if last < 5 * FEW || (each && rate(0) < 4.0 * TRICKLE) { Trend::Few } else { Trend::Steady };
    }
    if counts.iter().all(|&c| c < FEW) {
        return Trend::Few;
    }
    if counts.contains(&0) {
        return Trend::Stopped;
    }
    if counts.iter().any(|&c| c < FEW) {
        return Trend::Few;
    }
    let rounds = 0..counts.len();
    let least = rounds.clone().map(rate).fold(f64::INFINITY, f64::min);
    let most = (0..early.len()).map(rate).fold(0.0, f64::max);
    // Less in each round than in the one before, by more than chance: two standard deviations of a Poisson process.
    let falls = rounds.clone().skip(1).all(|k| rate(k) <= rate(k - 1) * 1.02);
    let (first, end) = (counts[0] as f64, rate(counts.len() - 1) * weight(0));
    if falls && end < first * 0.9 && first - end > 2.0 * (first + end).sqrt() {
        return Trend::Slowing;
    }
    if least < most * SPREAD {
        return Trend::Uneven;
    }
    if rate(counts.len() - 1) * weight(0) > most * weight(0) * UNDER_WAY.0 + UNDER_WAY.1 {
        return Trend::Uneven;
    }
    if each && least < TRICKLE {
        return Trend::Few;
    }
    Trend::Steady
}

/// Whether something that is replaced by a larger one keeps growing: by about so many bytes in each round.
pub fn grows_by_bytes(gains: &[u64], least: u64) -> bool {
    let (Some((_, early)), sum) = (gains.split_last(), gains.iter().sum::<u64>()) else { return false };
    let most = early.iter().copied().max().unwrap_or(0);
    sum >= least && gains.len() > 1 && gains.iter().all(|&gain| gain as f64 > most as f64 * SPREAD / 1.5)
}

/// Whether the room that a container takes keeps growing. Room grows by leaps, each larger than the one before: by half
/// for an array, to the double for a Map. So a round without growth says nothing, but all must not be in one.
pub fn grows_by_leaps(gains: &[u64], least: u64) -> bool {
    let sum: u64 = gains.iter().sum();
    let grew = gains.iter().filter(|&&gain| gain > 0).count();
    let most = gains.iter().copied().max().unwrap_or(0);
    let (last, before) = match gains {
        [.., before, last] => (*last, *before),
        _ => return false,
    };
    let goes_on = last > 0 || (before > 0 && before >= gains[0]);
    sum >= least && goes_on && grew >= 2 && grew + 1 >= gains.len() && most as f64 <= sum as f64 * 0.75
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_keeps_something_of_every_round() {
        assert_eq!(trend(&[307, 307, 307], None, false), Trend::Steady);
        assert_eq!(trend(&[31, 29, 36], Some(&[307.0; 3]), true), Trend::Steady);
        assert_eq!(trend(&[100, 220, 90], Some(&[1.0, 2.0, 1.0]), false), Trend::Steady);
        assert_eq!(trend(&[50], None, false), Trend::Steady);
    }

    #[test]
    fn what_does_not_is_none() {
        assert_eq!(trend(&[0, 0, 400], None, false), Trend::Stopped);
        assert_eq!(trend(&[500, 0, 0], None, false), Trend::Stopped);
        assert_eq!(trend(&[1000, 820, 670], None, false), Trend::Slowing);
        assert_eq!(trend(&[1000, 300, 900], None, false), Trend::Uneven);
        assert_eq!(trend(&[20, 20, 400], None, false), Trend::Uneven);
        assert_eq!(trend(&[2, 3, 2], None, false), Trend::Few);
        assert_eq!(trend(&[10, 10, 10], Some(&[1000.0; 3]), true), Trend::Few);
        assert_eq!(trend(&[], None, false), Trend::Few);
    }

    #[test]
    fn bytes_grow_in_every_round_or_by_leaps() {
        assert!(grows_by_bytes(&[15_000, 14_000, 16_000], 4096));
        assert!(!grows_by_bytes(&[15_000, 14_000, 0], 4096));
        assert!(!grows_by_bytes(&[50_000, 14_000, 3_000], 4096));
        assert!(grows_by_leaps(&[24_000, 36_000, 54_000], 4096));
        assert!(grows_by_leaps(&[24_000, 0, 48_000], 4096));
        assert!(!grows_by_leaps(&[0, 24_000, 0], 4096));
        assert!(!grows_by_leaps(&[48_000, 0, 0], 4096));
    }
}
