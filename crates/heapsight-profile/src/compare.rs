//! What changed between two profiles, and what grows over a series of them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::{
    precision::error_of,
    profile::{Builder, Counts, Frame, Profile},
    top::{Groups, top},
};

/// Two profiles over one tree.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The tree of both; its sizes are those of the later profile.
    pub tree: Profile,
    /// Self size of each node in the earlier profile.
    pub before: Vec<u64>,
    /// Count behind that, where both profiles count samples.
    pub before_count: Option<Vec<u64>>,
}

/// Puts two profiles over one tree, for a flame graph of the difference.
pub fn compare(before: &Profile, after: &Profile) -> Comparison {
    let mut builder = Builder::new();
    builder.add_profile(after);
    // The sizes of the earlier profile are kept beside the tree.
    let mut shape = before.clone();
    shape.nodes.self_size.fill(0);
    shape.nodes.self_count.fill(0);
    let here = builder.add_profile(&shape);
    let (mut tree, places) = builder.finish();
    (tree.counts, tree.interval) = (after.counts, after.interval);
    let moved = |column: &[u64]| {
        let mut out = vec![0u64; tree.nodes.len()];
        for (&value, &at) in column.iter().zip(&here) {
            let to = places[at as usize] as usize;
            out[to] = out[to].saturating_add(value);
        }
        out
    };
    let known = before.counts == Counts::Samples && after.counts == Counts::Samples;
    let sizes = moved(&before.nodes.self_size);
    let before_count = known.then(|| moved(&before.nodes.self_count));
    Comparison { tree, before: sizes, before_count }
}

/// What a group of functions allocated before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<K> {
    /// The group.
    pub key: K,
    /// Self sizes before and after.
    pub self_size: (u64, u64),
    /// Total sizes before and after.
    pub total_size: (u64, u64),
    /// Counts behind the self sizes.
    pub self_count: (u64, u64),
    /// Counts behind the total sizes.
    pub total_count: (u64, u64),
    /// The standard error of the difference of the self sizes, in bytes; `None` where it cannot be told.
    pub self_error: Option<f64>,
}

impl<K> Change<K> {
    /// Bytes more or fewer by itself.
    pub fn self_delta(&self) -> i64 {
        delta(self.self_size)
    }

    /// Bytes more or fewer in all.
    pub fn total_delta(&self) -> i64 {
        delta(self.total_size)
    }

    /// Whether the difference is more than sampling explains: beyond two standard errors. `None` where that cannot be told.
    pub fn is_certain(&self) -> Option<bool> {
        self.self_error.map(|error| self.self_delta().unsigned_abs() as f64 > 2.0 * error)
    }
}

fn delta((before, after): (u64, u64)) -> i64 {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}

/// The groups by how much their self sizes differ, what grew most first. `key` names the group of a function.
pub fn differences<K: Ord + Clone + std::hash::Hash>(
    before: &Profile,
    after: &Profile,
    key: impl Fn(Frame<'_>) -> K,
) -> Vec<Change<K>> {
    let mut rows: BTreeMap<K, Change<K>> = BTreeMap::new();
    let mut errors: FxHashMap<K, (Option<f64>, Option<f64>)> = FxHashMap::default();
    for (second, profile) in [before, after].into_iter().enumerate() {
        let groups = Groups::by(profile, |function| key(profile.frame(function)));
        for row in top(profile, &groups) {
            let key = key(profile.frame(row.function));
            let error = error_of(profile, row.self_size, row.self_count).map(|e| e * row.self_size as f64);
            let change = rows.entry(key.clone()).or_insert_with(|| Change {
                key: key.clone(),
                self_size: (0, 0),
                total_size: (0, 0),
                self_count: (0, 0),
                total_count: (0, 0),
                self_error: None,
            });
            let errors = errors.entry(key).or_default();
            let set =
                |pair: &mut (u64, u64), value| if second == 0 { pair.0 = value } else { pair.1 = value };
            set(&mut change.self_size, row.self_size);
            set(&mut change.total_size, row.total_size);
            set(&mut change.self_count, row.self_count);
            set(&mut change.total_count, row.total_count);
            if second == 0 { errors.0 = error } else { errors.1 = error }
        }
    }
    let mut rows: Vec<Change<K>> = rows.into_values().collect();
    for row in &mut rows {
        let (one, other) = errors.get(&row.key).copied().unwrap_or_default();
        // What is not there at all has no error that could be told; its absence is as certain as the other is.
        let one = if row.self_size.0 == 0 { Some(0.0) } else { one };
        let other = if row.self_size.1 == 0 { Some(0.0) } else { other };
        row.self_error = one.zip(other).map(|(a, b)| a.hypot(b));
    }
    rows.sort_by_key(|row| (std::cmp::Reverse((row.self_delta(), row.total_delta())), row.key.clone()));
    rows
}

/// How a group of functions grew over a series of profiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend<K> {
    /// The group.
    pub key: K,
    /// Self size in each profile.
    pub self_sizes: Vec<u64>,
    /// Total size in each profile.
    pub total_sizes: Vec<u64>,
    /// Bytes of self size more from one profile to the next: the slope of the least-squares line.
    pub slope: f64,
    /// The standard error of the slope; `None` for fewer than three profiles.
    pub slope_error: Option<f64>,
}

impl<K> Trend<K> {
    /// Whether it grows steadily: the slope is above zero by more than two standard errors.
    pub fn grows_steadily(&self) -> bool {
        self.slope > 0.0 && self.slope_error.is_some_and(|error| self.slope > 2.0 * error)
    }
}

/// The groups over a series, oldest profile first: those that grow steadily first, by slope. Linear in the nodes of all
/// profiles, and in groups times profiles.
pub fn series<K: Ord + Clone + std::hash::Hash>(
    profiles: &[Profile],
    key: impl Fn(Frame<'_>) -> K,
) -> Vec<Trend<K>> {
    let mut rows: BTreeMap<K, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    for (at, profile) in profiles.iter().enumerate() {
        let groups = Groups::by(profile, |function| key(profile.frame(function)));
        for row in top(profile, &groups) {
            let (own, total) = rows
                .entry(key(profile.frame(row.function)))
                .or_insert_with(|| (vec![0; profiles.len()], vec![0; profiles.len()]));
            own[at] = row.self_size;
            total[at] = row.total_size;
        }
    }
    let mut rows: Vec<Trend<K>> = rows
        .into_iter()
        .map(|(key, (self_sizes, total_sizes))| {
            let (slope, slope_error) = line(&self_sizes);
            Trend { key, self_sizes, total_sizes, slope, slope_error }
        })
        .collect();
    rows.sort_by(|a, b| {
        (b.grows_steadily().cmp(&a.grows_steadily()))
            .then(b.slope.total_cmp(&a.slope))
            .then_with(|| a.key.cmp(&b.key))
    });
    rows
}

/// Slope of the least-squares line over equally spaced values, and its standard error.
fn line(values: &[u64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    if values.len() < 2 {
        return (0.0, None);
    }
    let mean_x = (n - 1.0) / 2.0;
    let mean_y = values.iter().map(|&y| y as f64).sum::<f64>() / n;
    let (mut xx, mut xy) = (0.0, 0.0);
    for (x, &y) in values.iter().enumerate() {
        let dx = x as f64 - mean_x;
        xx += dx * dx;
        xy += dx * (y as f64 - mean_y);
    }
    let slope = xy / xx;
    let residual = |(x, &y): (usize, &u64)| {
        let expected = mean_y + slope * (x as f64 - mean_x);
        (y as f64 - expected).powi(2)
    };
    let squares: f64 = values.iter().enumerate().map(residual).sum();
    let error = (values.len() > 2).then(|| (squares / (n - 2.0) / xx).sqrt());
    (slope, error)
}
