//! The command line of `check`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use heapsight_query::{
    check::{ClassLimit, GrowthLimit, Per},
    language,
};

use super::leak::Rounds;

/// Fail when something leaks: a gate for continuous integration
///
/// Hunts as `heapsight leak` does, in a program that is started, in one that runs, or in snapshots, and holds what it finds
/// against limits. Without limits, any leak fails.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight check --load http://localhost:3000/ -n 500 -- node server.js
  heapsight check --load http://localhost:3000/ --max-growth 16KiB -- node server.js     so much a round
  heapsight check --load http://localhost:3000/ --max-growth 8B/request -- node server.js
  heapsight check 4711 --during 'npm run e2e' --class 'Session<=0' --class '/^(Http|Net)/<=2'
  heapsight check 1.heapsnapshot 2.heapsnapshot 3.heapsnapshot --junit junit.xml --sarif heapsight.sarif
  heapsight check ... --write-baseline leaks.json --force    record what leaks today
  heapsight check ... --baseline leaks.json                  fail on what is new or worse

Exit code 0 if everything is within the limits, 1 if a limit is exceeded, 2 if that could not be found out.")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// Leaks to describe [default: 5 for people, all for programs]
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) files: Files,
}

/// What may grow.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// What one leak may gain in a round, or with /request for each request: 16KiB, 8B/request
    #[arg(long, value_name = "SIZE[/request]", default_value = "0", value_parser = growth)]
    pub(crate) max_growth: GrowthLimit,
    /// How many more objects of a class there may be after each round: NAME<=N, also < and =; /PATTERN/<=N for several
    /// classes together. May be given several times
    #[arg(long, value_name = "NAME<=N", value_parser = ClassLimit::parse)]
    pub(crate) class: Vec<ClassLimit>,
    /// Known leaks: they fail only when they become worse
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Record what leaks now as known, and let it pass
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub(crate) write_baseline: Option<PathBuf>,
    /// By how much a known leak may gain more than was recorded
    #[arg(long, value_name = "PERCENT", default_value_t = 25.0, value_parser = tolerance)]
    pub(crate) tolerance: f64,
}

/// What else is written.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Files for continuous integration")]
pub(crate) struct Files {
    /// Write JUnit XML: a test for each leak and each limit
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write SARIF 2.1.0 for code scanning: each leak at its line
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,
    /// Write a summary in Markdown; `-` prints it instead of the answer
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write a report: one HTML file with charts and tables
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Add the summary in Markdown to the page of the job, which GITHUB_STEP_SUMMARY names
    #[arg(long)]
    pub(crate) step_summary: bool,
}

/// `16KiB`, `8B/request`.
fn growth(text: &str) -> Result<GrowthLimit, String> {
    let (size, per) = match text.split_once('/').map(|(size, per)| (size, per.trim())) {
        None => (text, Per::Round),
        Some((size, "round")) => (size, Per::Round),
        Some((size, "request")) => (size, Per::Request),
        Some((_, per)) => return Err(format!("growth is counted by /round or /request, not by `/{per}`")),
    };
    let bytes = language::size(size).ok_or("a size looks like 4096, 16KiB or 1.5MB")?;
    Ok(GrowthLimit { bytes, per })
}

/// A percentage, which may be more than a hundred.
fn tolerance(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.0..=100_000.0).contains(&number) { Ok(number) } else { Err("it must be 0 or more".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_for_a_round_unless_it_is_for_a_request() {
        let read = |text: &str| growth(text).map(|limit| (limit.bytes, limit.per));
        assert_eq!(read("0").unwrap(), (0, Per::Round));
        assert_eq!(read("16KiB").unwrap(), (16384, Per::Round));
        assert_eq!(read("1.5 MB / request").unwrap(), (1_500_000, Per::Request));
        for wrong in ["", "-1", "1KB/s", "KB", "1 2", "@4", "16kg"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
