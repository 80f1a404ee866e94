//! A gate: the leaks of a verdict, and the growth of classes, against limits.
//!
//! A leak passes if it gains no more than the limit, or if it is known and does not gain much more than it did. A class
//! passes if the number of its objects has not grown, between the first snapshot and the last, by more than its limit for
//! each round. Between two snapshots in the middle it may.

use std::path::Path;

use heapsight_analysis::Heap;
use regex::Regex;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    code::{Code, Place},
    leak::{Suspect, Verdict},
};

/// Growth between two runs that says nothing: tables of Maps grow by doubling, and pages are not filled evenly.
const SLACK: f64 = 64.0;

/// For what growth is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Per {
    /// A round of work.
    #[default]
    Round,
    /// A request.
    Request,
}

impl Per {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::Request => "request",
        }
    }
}

/// What one leak may gain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrowthLimit {
    /// Bytes.
    pub bytes: u64,
    /// For each of these.
    pub per: Per,
}

/// How a number stands to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Below it.
    Less,
    /// Below it, or equal.
    AtMost,
    /// Equal.
    Equal,
}

impl Relation {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
        }
    }
}

/// Which classes a limit is for.
#[derive(Clone, Debug)]
enum Classes {
    /// All of this name.
    Named(String),
    /// All whose name matches.
    Matching(Regex),
}

/// How many more objects of a class there may be after each round.
#[derive(Clone, Debug)]
pub struct ClassLimit {
    /// The class, as it was written.
    pub name: String,
    /// How growth stands to the number.
    pub relation: Relation,
    /// Objects a round.
    pub objects: i64,
    classes: Classes,
}

impl ClassLimit {
    /// Reads `NAME<=N`, `NAME<N` or `NAME=N`; the name may be a regular expression between slashes.
    ///
    /// # Errors
    /// In words, if it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form =
            || "a limit looks like `Session<=0`: a class, then <=, < or =, then objects a round".to_owned();
        let at = text.rfind(['<', '=']).ok_or_else(form)?;
        let (name, relation) = match text[..at].strip_suffix('<') {
            Some(name) if text[at..].starts_with('=') => (name, Relation::AtMost),
            _ if text[at..].starts_with('=') => {
                (text[..at].strip_suffix('=').unwrap_or(&text[..at]), Relation::Equal)
            }
            _ => (&text[..at], Relation::Less),
        };
        let name = name.trim();
        let objects = text[at + 1..].trim().parse().map_err(|_| form())?;
        if name.is_empty() || name.ends_with('>') && relation == Relation::Equal {
            return Err(form());
        }
        let expression = name.strip_prefix('/').and_then(|name| name.strip_suffix('/'));
        let classes = match expression.filter(|expression| !expression.is_empty()) {
            Some(expression) => Classes::Matching(Regex::new(expression).map_err(|error| {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("`{name}` is no regular expression: {reason}")
            })?),
            None => Classes::Named(name.to_owned()),
        };
        Ok(Self { name: name.to_owned(), relation, objects, classes })
    }

    /// Whether it is for a class of this name.
    fn is_for(&self, class: &str) -> bool {
        match &self.classes {
            Classes::Named(name) => name == class,
            Classes::Matching(pattern) => pattern.is_match(class),
        }
    }

    /// Whether the objects of all rounds together are within the limit.
    fn holds(&self, grown: i64, rounds: i64) -> bool {
        let most = self.objects.saturating_mul(rounds);
        match self.relation {
            Relation::Less => grown < most,
            Relation::AtMost => grown <= most,
            Relation::Equal => grown == most,
        }
    }
}

/// What may grow.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What one leak may gain.
    pub growth: GrowthLimit,
    /// What classes may gain.
    pub classes: Vec<ClassLimit>,
    /// Percentage by which a known leak may gain more than it did.
    pub tolerance: f64,
}

/// A leak that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Which one: [`LeakCheck::fingerprint`].
    pub fingerprint: String,
    /// Its name, for people.
    pub title: String,
    /// Its file, for people.
    pub file: Option<String>,
    /// Bytes that it gained in a round.
    pub per_round: f64,
    /// Bytes that it gained for a request, if they were counted.
    pub per_request: Option<f64>,
}

/// How a leak stands to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It gains more than it may, and is not known.
    New,
    /// It is known, and gains more than it did.
    Worse,
    /// It is known.
    Known,
    /// It gains no more than it may.
    Within,
}

impl State {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Worse => "worse",
            Self::Known => "known",
            Self::Within => "within",
        }
    }

    /// Whether the gate closes.
    pub fn fails(self) -> bool {
        matches!(self, Self::New | Self::Worse)
    }
}

/// Growth of a known leak, for each of what can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded {
    /// Bytes that it gains now.
    pub now: f64,
    /// Bytes that it gained then.
    pub then: f64,
    /// For each of these: a request, if both times they were counted.
    pub per: Per,
}

/// A leak against the limits.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakCheck {
    /// Which suspect of the verdict.
    pub suspect: usize,
    /// What names it in other runs too: a digest of what it is, of its name and of its file, without line and numbers.
    pub fingerprint: String,
    /// The file from the working folder, if it is in it.
    pub file: Option<String>,
    /// How it stands.
    pub state: State,
    /// Bytes that it gains for each of what the limit is for.
    pub growth: f64,
    /// What it gained when it was recorded, if it is known.
    pub known: Option<Recorded>,
}

/// A class against its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassCheck {
    /// Which limit.
    pub limit: usize,
    /// Objects in each snapshot.
    pub counts: Vec<u64>,
    /// Where the class stands.
    pub place: Option<Place>,
    /// Objects gained in a round, on average.
    pub growth: f64,
    /// Whether the gate closes.
    pub failed: bool,
}

impl ClassCheck {
    /// Whether any snapshot has an object of it.
    pub fn is_found(&self) -> bool {
        self.counts.iter().any(|&n| n > 0)
    }
}

/// The answer of the gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// The leaks of the verdict, in its order.
    pub leaks: Vec<LeakCheck>,
    /// The limits of classes, in their order.
    pub classes: Vec<ClassCheck>,
    /// Leaks that are known and were not found.
    pub gone: Vec<Known>,
}

impl Check {
    /// What closes the gate.
    pub fn failures(&self) -> usize {
        let leaks = self.leaks.iter().filter(|leak| leak.state.fails()).count();
        leaks + self.classes.iter().filter(|class| class.failed).count()
    }

    /// What would be recorded as known.
    pub fn baseline(&self, verdict: &Verdict) -> Vec<Known> {
        let rates = Rates::of(verdict);
        self.leaks
            .iter()
            .filter_map(|leak| {
                let suspect = verdict.suspects.get(leak.suspect)?;
                Some(Known {
                    fingerprint: leak.fingerprint.clone(),
                    title: suspect.title.clone(),
                    file: leak.file.clone(),
                    per_round: rates.growth(suspect, Per::Round).unwrap_or(0.0),
                    per_request: rates.growth(suspect, Per::Request),
                })
            })
            .collect()
    }
}

/// Judges a verdict. `heaps` are those that it was made of, `code` that of the last, `root` the folder to which files are
/// relative. `None` if growth for a request is asked for and requests were not counted.
pub fn check(
    verdict: &Verdict,
    heaps: &[Heap],
    code: &Code,
    limits: &Limits,
    known: &[Known],
    root: &Path,
) -> Option<Check> {
    let rates = Rates::of(verdict);
    let per = limits.growth.per;
    if per == Per::Request && rates.requests.is_none() {
        return None;
    }
    let mut times: FxHashMap<u128, u32> = FxHashMap::default();
    let mut left: Vec<&Known> = known.iter().collect();
    let mut leaks = Vec::with_capacity(verdict.suspects.len());
    for (at, suspect) in verdict.suspects.iter().enumerate() {
        let file = suspect.place.as_ref().and_then(|placed| relative(&placed.place.url, root));
        let digest = digest(suspect, file.as_deref());
        let time = times.entry(digest).or_insert(0);
        *time += 1;
        let fingerprint = format!("{digest:032x}:{time}");
        let growth = rates.growth(suspect, per).unwrap_or(0.0);
        let before = left.iter().position(|known| known.fingerprint == fingerprint).map(|at| left.remove(at));
        let known = before.map(|known| {
            let a_request = rates.growth(suspect, Per::Request).zip(known.per_request);
            let a_round = (rates.growth(suspect, Per::Round).unwrap_or(0.0), known.per_round);
            let per = if a_request.is_some() { Per::Request } else { Per::Round };
            let (now, then) = a_request.unwrap_or(a_round);
            Recorded { now, then, per }
        });
        let state = match known {
            _ if growth <= limits.growth.bytes as f64 => State::Within,
            None => State::New,
            Some(Recorded { now, then, per }) => {
                let slack = if per == Per::Round { SLACK } else { 1.0 };
                let most = then * (1.0 + limits.tolerance / 100.0) + slack;
                if now > most { State::Worse } else { State::Known }
            }
        };
        leaks.push(LeakCheck { suspect: at, fingerprint, file, state, growth, known });
    }
    let classes = limits.classes.iter().enumerate();
    Some(Check {
        leaks,
        classes: classes.map(|(at, limit)| class_check(at, limit, heaps, code)).collect(),
        gone: left.into_iter().cloned().collect(),
    })
}

/// What growth is divided by.
struct Rates {
    rounds: f64,
    requests: Option<f64>,
}

impl Rates {
    fn of(verdict: &Verdict) -> Self {
        let requests: Option<u64> = verdict.rounds.iter().map(|round| round.requests).sum();
        Self {
            rounds: verdict.rounds.len().max(1) as f64,
            requests: requests.filter(|&n| n > 0).map(|n| n as f64),
        }
    }

    /// Bytes that a suspect gains.
    fn growth(&self, suspect: &Suspect, per: Per) -> Option<f64> {
        let of = match per {
            Per::Round => Some(self.rounds),
            Per::Request => self.requests,
        };
        of.map(|of| suspect.size_growth() as f64 / of)
    }
}

/// What a leak is, apart from where exactly it stands and how much it gains.
fn digest(suspect: &Suspect, file: Option<&str>) -> u128 {
    let url = suspect.place.as_ref().map(|placed| placed.place.url.as_str()).unwrap_or_default();
    // Where packages are installed differs from machine to machine, and so do folders elsewhere.
    let file = match url.rfind("node_modules/") {
        Some(at) => &url[at..],
        None => file.unwrap_or_else(|| url.rsplit(['/', '\\']).next().unwrap_or_default()),
    };
    // Object ids in a name are of one process.
    let mut title = String::with_capacity(suspect.title.len());
    for (at, part) in suspect.title.split('@').enumerate() {
        if at > 0 {
            title.push('@');
        }
        title += if at > 0 { part.trim_start_matches(|c: char| c.is_ascii_digit()) } else { part };
    }
    xxh3_128(format!("{}\0{title}\0{file}", suspect.kind.name()).as_bytes())
}

/// A path from a folder, with slashes; `None` for what is not in it.
pub fn relative(url: &str, root: &Path) -> Option<String> {
    let path = Path::new(url).strip_prefix(root).ok()?;
    let parts: Option<Vec<&str>> = path.components().map(|part| part.as_os_str().to_str()).collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
}

fn class_check(at: usize, limit: &ClassLimit, heaps: &[Heap], code: &Code) -> ClassCheck {
    let of = |heap: &Heap| -> (u64, Option<u32>) {
        let rows =
            heap.summary.iter().filter(|row| limit.is_for(&heap.classes.table[row.class as usize].name));
        let mut rows: Vec<_> = rows.map(|row| (row.count, row.class)).collect();
        rows.sort_unstable();
        (rows.iter().map(|row| row.0).sum(), rows.last().map(|row| row.1))
    };
    let found: Vec<(u64, Option<u32>)> = heaps.iter().map(of).collect();
    let counts: Vec<u64> = found.iter().map(|(count, _)| *count).collect();
    let place = heaps.last().zip(found.last().and_then(|(_, class)| *class)).and_then(|(heap, class)| {
        let member = heap.classes.of.iter().position(|&of| of == class)?;
        code.place(heap, member as u32)
    });
    let (first, last) = (counts.first().copied().unwrap_or(0), counts.last().copied().unwrap_or(0));
    let grown = i64::try_from(last).unwrap_or(i64::MAX) - i64::try_from(first).unwrap_or(i64::MAX);
    let rounds = heaps.len().saturating_sub(1).max(1) as i64;
    ClassCheck {
        limit: at,
        counts,
        place,
        growth: grown as f64 / rounds as f64,
        failed: !limit.holds(grown, rounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_classes_are_read() {
        let read = |text: &str| {
            ClassLimit::parse(text).map(|limit| (limit.name.clone(), limit.relation, limit.objects))
        };
        assert_eq!(read("Session<=0"), Ok(("Session".to_owned(), Relation::AtMost, 0)));
        assert_eq!(read("Session < 10"), Ok(("Session".to_owned(), Relation::Less, 10)));
        assert_eq!(read("Session==3"), Ok(("Session".to_owned(), Relation::Equal, 3)));
        assert_eq!(read("Session = -2"), Ok(("Session".to_owned(), Relation::Equal, -2)));
        // Names of classes may have the signs in them.
        assert_eq!(read("a<=b<=1"), Ok(("a<=b".to_owned(), Relation::AtMost, 1)));
        assert_eq!(read("/^(Map|Set)$/<=5"), Ok(("/^(Map|Set)$/".to_owned(), Relation::AtMost, 5)));
        for wrong in ["", "Session", "Session<=", "<=0", "Session<=x", "Session>=0", "/(/<=0", "Session<=1.5"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let limit = ClassLimit::parse("/^Se/<=0").unwrap();
        assert!(limit.is_for("Session") && !limit.is_for("(string)"));
        assert!(!ClassLimit::parse("Sess<=0").unwrap().is_for("Session"));
    }

    #[test]
    fn a_limit_of_a_class_is_for_each_round() {
        let limit = |text: &str| ClassLimit::parse(text).unwrap();
        assert!(limit("A<=0").holds(0, 3) && limit("A<=0").holds(-5, 3) && !limit("A<=0").holds(1, 3));
        assert!(limit("A<=10").holds(30, 3) && !limit("A<=10").holds(31, 3));
        assert!(limit("A<10").holds(29, 3) && !limit("A<10").holds(30, 3));
        assert!(limit("A=1").holds(3, 3) && !limit("A=1").holds(2, 3) && limit("A=0").holds(0, 3));
    }

    #[test]
    fn paths_are_relative_to_the_folder_that_they_are_in() {
        let root = Path::new("/srv/app");
        assert_eq!(relative("/srv/app/src/a.js", root).as_deref(), Some("src/a.js"));
        for elsewhere in ["/srv/application/a.js", "/srv/app", "node:fs", "https://x.test/a.js", ""] {
            assert_eq!(relative(elsewhere, root), None, "{elsewhere}");
        }
    }
}
