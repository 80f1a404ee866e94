//! The configuration file (TOML), and how flags and file make up the settings: what a flag says holds.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::{
    settings::{Action, COOLDOWN, Rule, Settings, Subject},
    units::{parse_bytes, parse_time},
};

/// What a file, or the flags, say; the rest is not said. Values are as they are written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wishes {
    /// Watch all.
    pub all: Option<bool>,
    /// Watch one.
    pub pid: Option<u32>,
    /// Of these, those whose command line has this text.
    #[serde(rename = "match")]
    pub matching: Option<String>,
    /// Follow what a process starts and what replaces it.
    pub follow: Option<bool>,
    /// Where captures go.
    pub folder: Option<PathBuf>,
    /// How often the kernel is asked.
    pub every: Option<String>,
    /// How often the target is asked; `never`.
    pub heap_every: Option<String>,
    /// How often the rolling profile is read; `never`.
    pub profile_every: Option<String>,
    /// Bytes between two samples.
    pub interval: Option<String>,
    /// How much of the past is kept.
    pub window: Option<String>,
    /// Actions for a program in 24 hours.
    pub per_day: Option<u32>,
    /// Bytes of all captures.
    pub disk_budget: Option<String>,
    /// The time between two actions of a rule.
    pub cooldown: Option<String>,
    /// Where Prometheus may ask.
    pub metrics: Option<String>,
    /// How long an answer may take.
    pub timeout: Option<String>,
    /// Where captures go, and profiles.
    pub upload: Option<Vec<String>>,
    /// The rules.
    #[serde(rename = "rule")]
    pub rules: Vec<Wish>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wish {
    /// When.
    pub when: String,
    /// What; a snapshot if not said.
    #[serde(rename = "do")]
    pub actions: Option<Vec<String>>,
    /// The time between two actions of it.
    pub cooldown: Option<String>,
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong, with line and column and a picture of the place.
pub fn parse(text: &str) -> Result<Wishes, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

impl Wishes {
    /// These wishes, and those of `other` where these say nothing. Rules of both hold.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // A process that is named holds over `all` of the other, and the other way round.
        let names = self.all.is_some() || self.pid.is_some();
        Self {
            all: if names { self.all } else { other.all },
            pid: if names { self.pid } else { other.pid },
            matching: self.matching.or(other.matching),
            follow: self.follow.or(other.follow),
            folder: self.folder.or(other.folder),
            every: self.every.or(other.every),
            heap_every: self.heap_every.or(other.heap_every),
            profile_every: self.profile_every.or(other.profile_every),
            interval: self.interval.or(other.interval),
            window: self.window.or(other.window),
            per_day: self.per_day.or(other.per_day),
            disk_budget: self.disk_budget.or(other.disk_budget),
            cooldown: self.cooldown.or(other.cooldown),
            metrics: self.metrics.or(other.metrics),
            timeout: self.timeout.or(other.timeout),
            upload: self.upload.or(other.upload),
            rules: [other.rules, self.rules].concat(),
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// All that is wrong, each in words.
    pub fn settings(self) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = Settings::default();
        match (self.all, self.pid) {
            (Some(true), Some(_)) => problems.push("`all` and `pid` exclude each other".to_owned()),
            (Some(true), None) => settings.subject = Subject::All,
            (_, Some(0)) => problems.push("`pid` is no process id".to_owned()),
            (_, Some(pid)) => settings.subject = Subject::Process(pid),
            (_, None) => {
                problems.push("nothing is to be watched: name a process (TARGET, in the file `pid`), or all (--all, `all = true`)".to_owned());
            }
        }
        settings.matching = self.matching;
        settings.follow = self.follow.unwrap_or(settings.follow);
        settings.folder = self.folder.unwrap_or(settings.folder);
        settings.uploads = self.upload.unwrap_or_default();
        settings.per_day = self.per_day.unwrap_or(settings.per_day);
        let mut set = |name: &str, text: Option<String>, into: &mut dyn FnMut(&str) -> Result<(), String>| {
            if let Some(error) = text.and_then(|text| into(&text).err()) {
                problems.push(format!("`{name}`: {error}"));
            }
        };
        let mut cooldown = COOLDOWN;
        set("every", self.every, &mut |t| parse_time(t).map(|v| settings.every = v));
        set("heap-every", self.heap_every, &mut |t| never(t).map(|v| settings.heap_every = v));
        set("profile-every", self.profile_every, &mut |t| never(t).map(|v| settings.profile_every = v));
        set("interval", self.interval, &mut |t| parse_bytes(t).map(|v| settings.interval = v));
        set("window", self.window, &mut |t| parse_time(t).map(|v| settings.window = v));
        set("disk-budget", self.disk_budget, &mut |t| parse_bytes(t).map(|v| settings.disk_budget = v));
        set("timeout", self.timeout, &mut |t| parse_time(t).map(|v| settings.timeout = v));
        set("cooldown", self.cooldown, &mut |t| parse_time(t).map(|v| cooldown = v));
        set("metrics", self.metrics, &mut |t| address(t).map(|v| settings.metrics = Some(v)));
        for wish in self.rules {
            match wish.rule(cooldown) {
                Ok(rule) => settings.rules.push(rule),
                Err(error) => problems.push(error),
            }
        }
        problems.extend(settings.problems());
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

impl Wish {
    fn rule(self, cooldown: Duration) -> Result<Rule, String> {
        let cooldown = match &self.cooldown {
            None => cooldown,
            Some(text) => parse_time(text).map_err(|error| format!("`{}`: {error}", self.when))?,
        };
        match self.actions {
            Some(actions) => Rule::parse(&self.when, &actions, cooldown),
            None => Rule::parse(&self.when, &[Action::Snapshot.to_string()], cooldown),
        }
    }
}

/// A time, or `never`.
fn never(text: &str) -> Result<Option<Duration>, String> {
    if text.trim() == "never" { Ok(None) } else { parse_time(text).map(Some) }
}

/// `127.0.0.1:9464`, or a port of the loopback interface.
fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| format!("`{text}` is no address: it looks like 127.0.0.1:9464"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Condition;

    const FILE: &str = r#"
all = true
match = "server.js"
folder = "/var/lib/heapsight"
window = "5m"
profile-every = "never"
disk-budget = "2GiB"
cooldown = "30m"
metrics = "9464"
upload = ["s3://captures/{host}", "pyroscope+http://localhost:4040?name=shop&pid={pid}"]

[[rule]]
when = "rss > 80%"

[[rule]]
when = "log /var/log/app.log /heap out of/"
do = ["snapshot", "webhook http://127.0.0.1:9/hook"]
cooldown = "1h"
"#;

    #[test]
    fn a_file_and_flags_make_settings() {
        let problems = parse(FILE).unwrap().settings().unwrap_err();
        assert!(
            problems[0].contains("and none is kept (`profile-every`)") && problems.len() == 1,
            "{problems:?}"
        );
        let upload = Some(vec!["s3://captures/{host}".to_owned()]);
        let flags = Wishes { pid: Some(4711), window: Some("10m".into()), upload, ..Wishes::default() };
        let settings = flags.or(parse(FILE).unwrap()).settings().unwrap();
        assert_eq!(settings.subject, Subject::Process(4711));
        assert_eq!(settings.window, Duration::from_secs(600));
        assert_eq!((settings.profile_every, settings.disk_budget), (None, 2 << 30));
        assert_eq!(settings.uploads, ["s3://captures/{host}"]);
        assert_eq!(settings.metrics, Some("127.0.0.1:9464".parse().unwrap()));
        let rules = &settings.rules;
        assert_eq!((rules.len(), rules[0].cooldown.as_secs(), rules[1].cooldown.as_secs()), (2, 1800, 3600));
        assert_eq!(rules[0].actions, [Action::Snapshot]);
        assert!(matches!(rules[1].when, Condition::Line { .. }));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wishes = parse("every = \"soon\"\nmetrics = \"x\"\n[[rule]]\nwhen = \"rss\"\n").unwrap();
        let problems = wishes.settings().unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        let error = parse("all = true\nevry = \"1s\"\n").unwrap_err();
        assert!(error.contains("line 2") && error.contains("evry"), "{error}");
        assert!(parse("[[rule]]\nwhen = 5").is_err());
    }
}
