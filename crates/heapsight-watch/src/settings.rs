//! What is watched for and what is then done: plain data, and the words for it that flags and the file share.
//!
//! A condition is a short sentence: `rss > 1.5GiB`, `heap > 85%`, `rss grows 100MiB/10m`, `limit in 10m`, `cgroup oom`,
//! `pressure > 20%`, `loop-delay > 500ms`, `end`, `restart`, `signal`, `every 6h`, `log /var/log/app.log /out of memory/`.
//! An action is one, too: `snapshot`, `sample 30s`, `timeline 30s`, `run CMD`, `webhook URL`.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use heapsight_upload::Destination;

use crate::units::{self, parse_bytes, parse_share, parse_time};

/// What can be measured and limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Resident memory of the process.
    Rss,
    /// Bytes in use in the V8 heap of the main thread.
    Heap,
    /// Memory outside of the heap that its objects hold.
    External,
}

impl Quantity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rss => "rss",
            Self::Heap => "heap",
            Self::External => "external",
        }
    }
}

/// A limit: in bytes, or as a part of what ends the program (of the control group for `rss`, of V8's heap for `heap`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many bytes.
    Bytes(u64),
    /// So much of the limit, of one.
    Share(f64),
}

/// What a control group tells of (`memory.events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// It was slowed down at `memory.high`.
    High,
    /// It ran into `memory.max`.
    Max,
    /// The kernel killed a process of it.
    Oom,
}

/// When to act.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// A quantity is above a limit.
    Above(Quantity, Amount),
    /// It grows by so many bytes in a time, by the line through what was measured in it.
    Grows(Quantity, u64, Duration),
    /// The line leads to the limit of the control group, or of the heap, within a time.
    LimitIn(Duration),
    /// The control group of the process had an event.
    Group(GroupEvent),
    /// Processes of the group waited for memory for so much of the last ten seconds (`memory.pressure`, some).
    Pressure(f64),
    /// What was to run next in the event loop had to wait so long.
    LoopDelay(Duration),
    /// A process has ended. There is nothing left to capture; commands and webhooks are told of the evidence.
    End,
    /// A program that had ended is there again.
    Restart,
    /// Again and again.
    Every(Duration),
    /// The watcher got SIGUSR2.
    Signal,
    /// A line that matches was written to a file.
    Line {
        /// The file.
        file: PathBuf,
        /// A regular expression.
        pattern: String,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// A heap snapshot, by a fork where that works.
    Snapshot,
    /// A sampling profile: the rolling one, or one recorded for so long.
    Sample(Duration),
    /// An allocation timeline. Slows the target.
    Timeline(Duration),
    /// A shell command.
    Run(String),
    /// A POST request with what happened as JSON.
    Webhook(String),
}

/// When to do what.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    /// When.
    pub when: Condition,
    /// What, one after the other.
    pub actions: Vec<Action>,
    /// After it has acted for a program it does not for so long; see [`Rule::pause`].
    pub cooldown: Duration,
}

/// Which processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One, with what it starts and what replaces it.
    Process(u32),
    /// All V8 programs that may be looked at.
    All,
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Which processes.
    pub subject: Subject,
    /// Of these, those whose command line has this text.
    pub matching: Option<String>,
    /// Follow what a process starts, and what replaces it. Without, the watch ends with the process.
    pub follow: bool,
    /// Where captures go.
    pub folder: PathBuf,
    /// How often the kernel is asked.
    pub every: Duration,
    /// How often the target is asked for its heap; `None` leaves its inspector alone until something is captured.
    pub heap_every: Option<Duration>,
    /// How often the rolling profile is read; `None` keeps none.
    pub profile_every: Option<Duration>,
    /// Bytes between two samples of it, on average.
    pub interval: u64,
    /// How much of the past is kept as evidence and for the prediction.
    pub window: Duration,
    /// How often all rules together may act for a program in 24 hours.
    pub per_day: u32,
    /// Bytes that the captures in the folder may have.
    pub disk_budget: u64,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Where Prometheus may ask; loopback only.
    pub metrics: Option<SocketAddr>,
    /// How long each answer of a target may take.
    pub timeout: Duration,
    /// Capture although it is predicted to hurt the target.
    pub force: bool,
    /// URLs where captures go, or where profiles are pushed to; [`HOST`] in them is the name of this machine.
    pub uploads: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            subject: Subject::All,
            matching: None,
            follow: true,
            folder: PathBuf::from("heapsight-watch"),
            every: Duration::from_secs(1),
            heap_every: Some(Duration::from_secs(15)),
            profile_every: Some(Duration::from_secs(30)),
            interval: 512 << 10,
            window: Duration::from_secs(600),
            per_day: 6,
            disk_budget: 5 << 30,
            rules: Vec::new(),
            metrics: None,
            timeout: Duration::from_secs(30),
            force: false,
            uploads: Vec::new(),
        }
    }
}

/// What stands for the name of this machine in the URL of an upload.
pub const HOST: &str = "{host}";

/// The time between two actions of a rule, unless it says otherwise.
pub const COOLDOWN: Duration = Duration::from_secs(600);

impl Settings {
    /// What is wrong, or will not do what it says; in words, with the setting's name.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |bad: bool, text: String| {
            if bad {
                problems.push(text);
            }
        };
        let short = Duration::from_millis(50);
        check(self.every < short, "`every` is less than 50ms: that would cost more than it shows".to_owned());
        check(self.heap_every.is_some_and(|t| t < short), "`heap-every` is less than 50ms".to_owned());
        check(self.profile_every.is_some_and(|t| t < short), "`profile-every` is less than 50ms".to_owned());
        check(
            self.window < self.every * 6,
            "`window` is less than 6 times `every`: nothing could be predicted".to_owned(),
        );
        check(self.per_day == 0, "`per-day` is 0: nothing would ever be captured".to_owned());
        check(
            self.disk_budget < 1 << 20,
            "`disk-budget` is less than 1MiB: no capture has room in it".to_owned(),
        );
        check(self.interval < 4096, "`interval` is less than 4KiB: that slows the target by half".to_owned());
        check(
            self.metrics.is_some_and(|address| !address.ip().is_loopback()),
            "`metrics` is no address of the loopback interface: anybody could read it".to_owned(),
        );
        for url in &self.uploads {
            match url.replace(HOST, "host").parse::<Destination>() {
                Ok(to) => check(
                    !to.keeps_files() && self.profile_every.is_none(),
                    format!("`{url}`: profiles go there, and none is kept (`profile-every`)"),
                ),
                Err(error) => check(true, format!("`{url}`: {error}")),
            }
        }
        for rule in &self.rules {
            let heap = match &rule.when {
                Condition::Above(what, _) | Condition::Grows(what, ..) => *what != Quantity::Rss,
                Condition::LoopDelay(_) => true,
                _ => false,
            };
            check(
                heap && self.heap_every.is_none(),
                format!(
                    "`{}` needs what only the program itself knows, and that is not asked (`heap-every` is never, or \
                     --no-inspector)",
                    rule.text
                ),
            );
            check(
                matches!(rule.when, Condition::Above(Quantity::External, Amount::Share(_))),
                format!("`{}`: `external` has no limit of its own, name a size", rule.text),
            );
            check(rule.actions.is_empty(), format!("`{}` does nothing", rule.text));
            check(
                rule.when == Condition::End && rule.actions.iter().any(Action::is_capture),
                format!(
                    "`{}`: a process that has ended cannot be captured (evidence is kept in any case); name run CMD or \
                     webhook URL with --do",
                    rule.text
                ),
            );
        }
        problems
    }
}

impl Rule {
    /// How long it rests after it has acted. What happens by itself, at a distance that the user chose, needs no rest.
    pub fn pause(&self) -> Duration {
        if matches!(self.when, Condition::Every(_)) { Duration::ZERO } else { self.cooldown }
    }

    /// Reads a condition and actions.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(when: &str, actions: &[String], cooldown: Duration) -> Result<Self, String> {
        let actions = actions.iter().map(|action| Action::parse(action)).collect::<Result<_, _>>()?;
        Ok(Self { text: when.trim().to_owned(), when: Condition::parse(when)?, actions, cooldown })
    }
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // `rss>80MiB` is as clear as `rss > 80MiB`.
        let end = text.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let rest = rest.trim();
        let within = |error: String| format!("`{text}`: {error}");
        let above = || {
            rest.strip_prefix('>')
                .map(str::trim)
                .ok_or_else(|| within(format!("it is written {}", Self::form(word))))
        };
        let nothing = |condition: Self| {
            if rest.is_empty() { Ok(condition) } else { Err(within(format!("nothing follows `{word}`"))) }
        };
        match word {
            "rss" | "heap" | "external" => {
                let what = match word {
                    "rss" => Quantity::Rss,
                    "heap" => Quantity::Heap,
                    _ => Quantity::External,
                };
                if let Some(growth) = rest.strip_prefix("grows") {
                    let (bytes, time) = growth
                        .split_once('/')
                        .ok_or_else(|| within("growth is written 100MiB/10m".to_owned()))?;
                    return Ok(Self::Grows(
                        what,
                        parse_bytes(bytes).map_err(within)?,
                        parse_time(time.trim()).map_err(within)?,
                    ));
                }
                let limit = above()?;
                let amount = if limit.ends_with('%') {
                    Amount::Share(parse_share(limit).map_err(within)?)
                } else {
                    if limit.ends_with(|c: char| c.is_ascii_digit()) {
                        return Err(within(format!(
                            "`{limit}` needs a unit: {limit}MiB, {limit}GiB or {limit}%"
                        )));
                    }
                    Amount::Bytes(parse_bytes(limit).map_err(within)?)
                };
                Ok(Self::Above(what, amount))
            }
            "limit" => {
                let time =
                    rest.strip_prefix("in").ok_or_else(|| within("a time follows `limit in`".to_owned()))?;
                parse_time(time).map(Self::LimitIn).map_err(within)
            }
            "cgroup" => match rest {
                "high" => Ok(Self::Group(GroupEvent::High)),
                "max" => Ok(Self::Group(GroupEvent::Max)),
                "oom" => Ok(Self::Group(GroupEvent::Oom)),
                _ => Err(within("`high`, `max` or `oom` follows `cgroup`".to_owned())),
            },
            "pressure" => parse_share(above()?).map(Self::Pressure).map_err(within),
            "loop-delay" => parse_time(above()?).map(Self::LoopDelay).map_err(within),
            "end" => nothing(Self::End),
            "restart" => nothing(Self::Restart),
            "signal" => nothing(Self::Signal),
            "every" => parse_time(rest).map(Self::Every).map_err(within),
            "log" => line(rest).map_err(within),
            _ => Err(format!(
                "`{text}` is no condition: one begins with rss, heap, external, limit, cgroup, pressure, loop-delay, end, \
                 restart, signal, every or log"
            )),
        }
    }
}

impl Condition {
    /// How a condition about an amount is written.
    fn form(word: &str) -> &'static str {
        match word {
            "rss" => "`rss > 1.5GiB`, `rss > 80%` or `rss grows 100MiB/10m`",
            "heap" => "`heap > 1GiB`, `heap > 85%` or `heap grows 100MiB/10m`",
            "external" => "`external > 500MiB` or `external grows 100MiB/10m`",
            "pressure" => "`pressure > 20%`",
            _ => "`loop-delay > 500ms`",
        }
    }

    /// Whether only a limit of the control group makes it possible.
    pub(crate) fn needs_group_limit(&self) -> bool {
        matches!(self, Self::Above(Quantity::Rss, Amount::Share(_)) | Self::Group(_))
    }
}

/// `FILE /PATTERN/`.
fn line(text: &str) -> Result<Condition, String> {
    let wrong = || "a file and a pattern between slashes follow `log`".to_owned();
    let (file, pattern) = text.split_once(" /").ok_or_else(wrong)?;
    let pattern = pattern.trim_end().strip_suffix('/').filter(|p| !p.is_empty()).ok_or_else(wrong)?;
    regex::Regex::new(pattern).map_err(|error| {
        let error = error.to_string();
        error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    if file.trim().is_empty() {
        return Err(wrong());
    }
    Ok(Condition::Line { file: PathBuf::from(file.trim()), pattern: pattern.to_owned() })
}

impl Action {
    /// Reads an action.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let time = || {
            if rest.is_empty() {
                return Ok(Duration::from_secs(30));
            }
            parse_time(rest).map_err(|error| format!("`{text}`: {error}"))
        };
        match word {
            "snapshot" if rest.is_empty() => Ok(Self::Snapshot),
            "sample" => time().map(Self::Sample),
            "timeline" => time().map(Self::Timeline),
            "run" if !rest.is_empty() => Ok(Self::Run(rest.to_owned())),
            "webhook" if rest.starts_with("http://") => Ok(Self::Webhook(rest.to_owned())),
            "webhook" if rest.starts_with("https://") => Err(format!(
                "`{text}`: requests are made without TLS; use an http:// address, or `run curl ... {rest}`"
            )),
            _ => Err(format!(
                "`{text}` is no action: it is snapshot, sample TIME, timeline TIME, run CMD or webhook URL"
            )),
        }
    }
}

impl Action {
    /// Whether it needs the process.
    fn is_capture(&self) -> bool {
        matches!(self, Self::Snapshot | Self::Sample(_) | Self::Timeline(_))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot => f.write_str("snapshot"),
            Self::Sample(time) => write!(f, "sample {}", units::time(*time)),
            Self::Timeline(time) => write!(f, "timeline {}", units::time(*time)),
            Self::Run(command) => write!(f, "run {command}"),
            Self::Webhook(url) => write!(f, "webhook {url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_read() {
        use Condition as C;
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let cases = [
            ("rss > 1.5GiB", C::Above(Quantity::Rss, Amount::Bytes(3 << 29))),
            ("heap > 85%", C::Above(Quantity::Heap, Amount::Share(0.85))),
            ("external>300MB", C::Above(Quantity::External, Amount::Bytes(300_000_000))),
            ("rss grows 100MiB/10m", C::Grows(Quantity::Rss, 100 << 20, minutes(10))),
            ("limit in 10m", C::LimitIn(minutes(10))),
            ("cgroup oom", C::Group(GroupEvent::Oom)),
            ("pressure > 20%", C::Pressure(0.2)),
            ("loop-delay > 500ms", C::LoopDelay(Duration::from_millis(500))),
            ("end", C::End),
            ("restart", C::Restart),
            ("signal", C::Signal),
            ("every 6h", C::Every(minutes(360))),
            (
                "log /var/log/my app.log /out of (memory|luck)/",
                C::Line { file: "/var/log/my app.log".into(), pattern: "out of (memory|luck)".into() },
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(Condition::parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_says_what_one_is() {
        for bad in [
            "",
            "rss",
            "rss >",
            "rss > x",
            "rss > 80",
            "rss > 0%",
            "heap < 5",
            "rss grows 5MiB",
            "limit 10m",
            "cgroup",
            "cgroup low",
            "pressure > 5",
            "every",
            "every 0s",
            "restart now",
            "log x",
            "log /x /(/",
            "log  /x/",
            "memory > 5",
        ] {
            assert!(Condition::parse(bad).is_err(), "{bad}");
        }
        for bad in
            ["", "snapshot 5", "sample x", "run", "webhook", "webhook ftp://x", "webhook https://x", "dump"]
        {
            assert!(Action::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert_eq!(Settings::default().problems(), [""; 0]);
        let mut settings = Settings {
            heap_every: None,
            per_day: 0,
            metrics: Some("0.0.0.0:9".parse().unwrap()),
            ..Settings::default()
        };
        settings.rules.push(Rule::parse("heap > 80%", &[], COOLDOWN).unwrap());
        let problems = settings.problems().join("\n");
        for word in ["per-day", "loopback", "`heap > 80%` needs", "does nothing"] {
            assert!(problems.contains(word), "{word}: {problems}");
        }
    }
}
