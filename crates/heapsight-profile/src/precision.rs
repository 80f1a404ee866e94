//! How far an estimate can be trusted.

use crate::profile::{Counts, Profile};

/// The relative standard error of a size that `samples` samples are behind: 1/√n, of which 1 is all of it. `None` for no
/// samples.
///
/// V8 takes samples as a Poisson process over the allocated bytes; of small objects, each sample stands for about one
/// interval. For objects larger than the interval the true error is smaller: these are nearly always sampled.
pub fn standard_error(samples: u64) -> Option<f64> {
    (samples > 0).then(|| 1.0 / (samples as f64).sqrt())
}

/// The relative standard error of a size in a profile: from the number of samples behind it where the profile has them,
/// else from the interval, if that is known: size/interval samples are expected behind a size. `None` where neither is
/// known.
pub fn error_of(profile: &Profile, size: u64, count: u64) -> Option<f64> {
    match (profile.counts, profile.interval) {
        (Counts::Samples, _) => standard_error(count),
        (_, Some(interval)) if size > 0 => Some((interval as f64 / size as f64).sqrt()),
        _ => None,
    }
}
