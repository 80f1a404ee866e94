//! The built-in HTTP load: GET requests over connections that are kept alive, with their latencies.
//!
//! It is a closed loop like ApacheBench's: each connection sends its next request when the last one is answered. So a
//! pause of the target shows as one long request for each connection and as a gap in the throughput, and not as the
//! thousands of late requests that an open loop would count. Only `http://`: what is measured runs on this machine or
//! behind a port-forward, and TLS would be another library.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::wait;
use crate::{CaptureError, Kind, Result};

/// The most connections, each of which is a thread.
pub const MAX_CONNECTIONS: u32 = 1024;

/// The longest that a load runs, whatever is asked for.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a wait looks at the clock and tells its progress.
const TICK: Duration = Duration::from_millis(50);

/// Pause after a failed request, so that a target that is gone is not asked a hundred thousand times a second.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// What is asked how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `http://` URL. `{n}` in it becomes the number of the request.
    pub url: String,
    /// The number of the first request.
    pub first: u64,
    /// How many requests; nothing is as many as fit into the duration.
    pub requests: Option<u64>,
    /// How long; nothing is until all requests are done.
    pub duration: Option<Duration>,
    /// How many connections at a time, at least one.
    pub connections: u32,
    /// Header lines to add.
    pub headers: Vec<(String, String)>,
    /// How long a request may take before it has failed.
    pub timeout: Duration,
    /// How long the URL may take until it answers for the first time.
    pub ready_within: Duration,
    /// Requests that take longer than this are counted.
    pub slow: Duration,
    /// Hears what is waited for, if it takes longer than a moment.
    pub told: Told,
}

/// Whoever wants to hear something, if anybody.
#[derive(Clone, Default)]
pub struct Told(Option<Arc<Hear>>);

type Hear = dyn Fn(&str) + Send + Sync;

impl Told {
    /// Somebody.
    pub fn new(hear: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    fn tell(&self, text: &str) {
        if let Some(hear) = &self.0 {
            hear(text);
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Told(somebody)" } else { "Told(nobody)" })
    }
}

impl Options {
    /// One connection, neither count nor duration, 2 minutes for a request, 30 s to be ready, slow is over 1 s.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            first: 1,
            requests: None,
            duration: None,
            connections: 1,
            headers: Vec::new(),
            timeout: Duration::from_secs(120),
            ready_within: Duration::from_secs(30),
            slow: Duration::from_secs(1),
            told: Told::default(),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer did.
    Closed,
    /// It took too long.
    Timeout,
    /// The answer was no HTTP.
    Protocol,
    /// A status of 400 to 499.
    ClientStatus,
    /// A status of 500 or above.
    ServerStatus,
    /// Something else.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Closed => "connection closed",
            Self::Timeout => "timed out",
            Self::Protocol => "not HTTP",
            Self::ClientStatus => "status 4xx",
            Self::ServerStatus => "status 5xx",
            Self::Other => "other",
        })
    }
}

/// What a load, or a part of one, came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The failed ones by reason.
    pub failures: BTreeMap<Failure, u64>,
    /// Requests that took longer than the threshold, failed ones too.
    pub slow: u64,
    /// Requests that were under way when the load was stopped; they are in no other number.
    pub unfinished: u64,
    /// Bytes of the answers' bodies.
    pub body_bytes: u64,
    /// From the first request to the last answer, or the time of the part.
    pub duration: Duration,
    /// Latencies of the requests that were answered, whatever the status.
    pub latency: Latency,
}

impl Report {
    /// Requests a second that did not fail.
    pub fn throughput(&self) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 { (self.requests - self.failed) as f64 / seconds } else { 0.0 }
    }
}

/// Latencies from the sending of a request to the last byte of its answer, to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half of the requests took at most this.
    pub p50: Duration,
    /// 90 %.
    pub p90: Duration,
    /// 99 %.
    pub p99: Duration,
    /// 99.9 %.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
    /// The arithmetic mean.
    pub mean: Duration,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// How many there will be, if that is known.
    pub total: Option<u64>,
    /// Since the first request.
    pub elapsed: Duration,
    /// How long the oldest request that is under way has been waiting: the pause of the target, while it lasts.
    pub waiting: Duration,
}

/// A running load. Dropping it stops it.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    workers: Vec<(ureq::Agent, JoinHandle<()>)>,
    total: Option<u64>,
    started: Instant,
    /// Everything up to the last [`Load::lap`].
    before: Numbers,
    lap_started: Instant,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Requests that may still begin.
    left: AtomicU64,
    /// The number of the next request.
    next: AtomicU64,
    deadline: Instant,
    slow: Duration,
    /// One for each connection, so that they never wait for each other.
    slots: Vec<Mutex<Slot>>,
}

#[derive(Debug)]
struct Slot {
    numbers: Numbers,
    /// When the request that is under way began.
    since: Option<Instant>,
    last_end: Instant,
}

/// Counters that can be added up.
#[derive(Clone, Debug)]
struct Numbers {
    requests: u64,
    failures: BTreeMap<Failure, u64>,
    slow: u64,
    body_bytes: u64,
    /// Microseconds.
    latencies: Option<Histogram<u64>>,
}

impl Numbers {
    fn new() -> Self {
        // Three digits can always be had; without a histogram there would be no latencies, and all else.
        let latencies = Histogram::new(3).ok();
        Self { requests: 0, failures: BTreeMap::new(), slow: 0, body_bytes: 0, latencies }
    }

    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.slow += other.slow;
        self.body_bytes += other.body_bytes;
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
        if let (Some(own), Some(other)) = (&mut self.latencies, &other.latencies) {
            // Histograms that resize take any value.
            let _ = own.add(other);
        }
    }

    fn report(&self, duration: Duration, unfinished: u64) -> Report {
        let latency = self.latencies.as_ref().filter(|all| !all.is_empty()).map(|all| {
            let at = |percent: f64| Duration::from_micros(all.value_at_percentile(percent).min(all.max()));
            Latency {
                p50: at(50.0),
                p90: at(90.0),
                p99: at(99.0),
                p999: at(99.9),
                max: Duration::from_micros(all.max()),
                mean: Duration::from_secs_f64(all.mean() / 1e6),
            }
        });
        Report {
            requests: self.requests,
            failed: self.failed(),
            failures: self.failures.clone(),
            slow: self.slow,
            unfinished,
            body_bytes: self.body_bytes,
            duration,
            latency: latency.unwrap_or_default(),
        }
    }
}

impl Load {
    /// Waits until the URL answers, then starts the requests and returns.
    ///
    /// # Errors
    /// The URL is none that can be asked; neither count nor duration is given; the URL does not answer in time;
    /// interrupted.
    pub fn start(options: &Options, stop: &AtomicBool) -> Result<Self> {
        let first = numbered(&options.url, options.first);
        checked_url(&first)?;
        let refused = |why: &str| CaptureError::new(Kind::Other, "cannot start the load", why);
        if options.requests.is_none() && options.duration.is_none() {
            return Err(
                refused("neither a number of requests nor a duration is given").hint("use -n or --duration")
            );
        }
        if !(1..=MAX_CONNECTIONS).contains(&options.connections) {
            return Err(
                refused(&format!("the number of connections must be 1 to {MAX_CONNECTIONS}")).hint("use -c")
            );
        }
        wait::for_load(&first, options.ready_within, stop, &|text| options.told.tell(text))?;
        let connections = options.requests.map_or(options.connections, |n| {
            u32::try_from(n).unwrap_or(u32::MAX).clamp(1, options.connections)
        });
        let started = Instant::now();
        let slot = || Mutex::new(Slot { numbers: Numbers::new(), since: None, last_end: started });
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            left: AtomicU64::new(options.requests.unwrap_or(u64::MAX)),
            next: AtomicU64::new(options.first),
            deadline: started + options.duration.unwrap_or(MAX_DURATION).min(MAX_DURATION),
            slow: options.slow,
            slots: (0..connections).map(|_| slot()).collect(),
        });
        let mut load = Self {
            shared: Arc::clone(&shared),
            workers: Vec::new(),
            total: options.requests,
            started,
            before: Numbers::new(),
            lap_started: started,
        };
        for index in 0..connections as usize {
            let agent = agent(options.timeout);
            let worker = Worker {
                shared: Arc::clone(&shared),
                index,
                agent: agent.clone(),
                url: options.url.clone(),
                headers: options.headers.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("load-{index}"))
                .stack_size(256 << 10)
                .spawn(move || worker.run())
                .map_err(|error| CaptureError::io("cannot start a thread of the load", &error))?;
            load.workers.push((agent, thread));
        }
        Ok(load)
    }

    /// Whether all requests have ended.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(|(_, thread)| thread.is_finished())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let now = Instant::now();
        let mut progress = Progress {
            requests: self.before.requests,
            failed: self.before.failed(),
            total: self.total,
            elapsed: now - self.started,
            waiting: Duration::ZERO,
        };
        for slot in &self.shared.slots {
            let slot = lock(slot);
            progress.requests += slot.numbers.requests;
            progress.failed += slot.numbers.failed();
            if let Some(since) = slot.since {
                progress.waiting = progress.waiting.max(now.saturating_duration_since(since));
            }
        }
        progress
    }

    /// What ended since the last lap, or since the start: to tell the time of a capture from the time before and after.
    /// A request counts where it ends.
    pub fn lap(&mut self) -> Report {
        let now = Instant::now();
        let duration = now - self.lap_started;
        self.lap_started = now;
        self.take_lap().report(duration, 0)
    }

    fn take_lap(&mut self) -> Numbers {
        let mut lap = Numbers::new();
        for slot in &self.shared.slots {
            lap.add(&std::mem::replace(&mut lock(slot).numbers, Numbers::new()));
        }
        self.before.add(&lap);
        lap
    }

    /// Waits until all requests have ended, or `stop` is set, and reports on the whole load. `progress` is called every
    /// 50 ms.
    pub fn wait(self, stop: &AtomicBool, mut progress: impl FnMut(&Progress)) -> Report {
        while !self.is_finished() && !stop.load(Ordering::Relaxed) {
            progress(&self.progress());
            thread::sleep(TICK);
        }
        self.stop()
    }

    /// Stops at once and reports on the whole load. Requests that are under way are broken off.
    pub fn stop(mut self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut unfinished = 0;
        let mut last_end = self.started;
        for slot in &self.shared.slots {
            let slot = lock(slot);
            unfinished += u64::from(slot.since.is_some());
            last_end = last_end.max(slot.last_end);
        }
        let end = if unfinished > 0 { Instant::now() } else { last_end };
        for (agent, _) in &self.workers {
            agent.clone().shutdown();
        }
        for (_, thread) in self.workers.drain(..) {
            // A connection that is being made cannot be broken off; its thread is left to end by itself.
            let deadline = Instant::now() + Duration::from_millis(200);
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
        self.take_lap();
        self.before.report(end - self.started, unfinished)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for (agent, _) in &self.workers {
            agent.clone().shutdown();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Worker {
    shared: Arc<Shared>,
    index: usize,
    agent: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
}

impl Worker {
    fn run(self) {
        let Some(slot) = self.shared.slots.get(self.index) else { return };
        while self.may_begin() {
            let start = Instant::now();
            lock(slot).since = Some(start);
            let result = self.request();
            let end = Instant::now();
            let took = end - start;
            let mut slot = lock(slot);
            // A request that was broken off by a stop is counted by it, as unfinished.
            if self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
            slot.since = None;
            slot.last_end = end;
            let numbers = &mut slot.numbers;
            numbers.requests += 1;
            numbers.slow += u64::from(took > self.shared.slow);
            let failure = match result {
                Ok((status, bytes)) => {
                    numbers.body_bytes += bytes;
                    if let Some(latencies) = &mut numbers.latencies {
                        // The saturating kind does not resize: it would cut long latencies off.
                        let _ = latencies.record(took.as_micros() as u64);
                    }
                    match status {
                        0..400 => None,
                        400..500 => Some(Failure::ClientStatus),
                        _ => Some(Failure::ServerStatus),
                    }
                }
                Err(failure) => Some(failure),
            };
            if let Some(failure) = failure {
                *numbers.failures.entry(failure).or_default() += 1;
                let answered = matches!(failure, Failure::ClientStatus | Failure::ServerStatus);
                drop(slot);
                if !answered {
                    thread::sleep(AFTER_FAILURE);
                }
            }
        }
    }

    fn may_begin(&self) -> bool {
        !self.shared.stop.load(Ordering::Relaxed)
            && Instant::now() < self.shared.deadline
            && self
                .shared
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    /// One request and its whole answer: status and length of the body.
    fn request(&self) -> std::result::Result<(u16, u64), Failure> {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.get(numbered(&self.url, number).as_ref());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|error| reason(&error))?;
        let length = io::copy(&mut response.body_mut().as_reader(), &mut io::sink())
            .map_err(|error| io_reason(&error))?;
        Ok((response.status().as_u16(), length))
    }
}

/// A client with one connection that follows no redirects, uses no proxy, and takes every status as an answer.
pub(super) fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .no_delay(true)
        .timeout_global(Some(timeout))
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(MAX_DURATION)
        .user_agent(concat!("heapsight/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The URL of a request.
fn numbered(url: &str, number: u64) -> Cow<'_, str> {
    if url.contains("{n}") { url.replace("{n}", &number.to_string()).into() } else { url.into() }
}

/// Whether a URL can be asked.
pub(super) fn checked_url(url: &str) -> Result<()> {
    let refused = |why: &str| CaptureError::new(Kind::Other, format!("cannot ask `{url}`"), why);
    let lower = url.to_ascii_lowercase();
    if lower.starts_with("https://") {
        return Err(refused("the built-in load speaks no TLS")
            .hint("use the http:// address, or run a tool of your choice with --during"));
    }
    if !lower.starts_with("http://") {
        return Err(refused("it is no http:// URL").hint("for example http://127.0.0.1:3000/"));
    }
    match url.parse::<ureq::http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Ok(_) => Err(refused("it names no host")),
        Err(error) => Err(refused(&error.to_string())),
    }
}

/// A failure by its kind.
pub(super) fn reason(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Failure::Connect,
        ureq::Error::Timeout(_) => Failure::Timeout,
        ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
            Failure::Protocol
        }
        ureq::Error::Io(error) => io_reason(error),
        _ => Failure::Other,
    }
}

fn io_reason(error: &io::Error) -> Failure {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return reason(inner);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Failure::Connect,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Failure::Closed,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::Timeout,
        _ => Failure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_can_be_asked_pass() {
        for url in ["http://127.0.0.1:3000/", "http://localhost", "HTTP://[::1]:80/a?b=c"] {
            checked_url(url).unwrap();
        }
        for url in [
            "https://localhost/",
            "localhost:3000",
            "",
            "http://",
            "http:///x",
            "file:///etc/passwd",
            "http://a b/",
        ] {
            assert!(checked_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn numbers_add_up() {
        let mut one = Numbers::new();
        let mut other = Numbers::new();
        for micros in 1..=1000_u64 {
            let part = if micros % 2 == 0 { &mut one } else { &mut other };
            part.requests += 1;
            part.latencies.as_mut().unwrap().record(micros * 1000).unwrap();
        }
        *other.failures.entry(Failure::Timeout).or_default() += 3;
        one.add(&other);
        let report = one.report(Duration::from_secs(2), 1);
        assert_eq!((report.requests, report.failed, report.unfinished), (1000, 3, 1));
        let near = |found: Duration, millis: u64| found.as_millis().abs_diff(u128::from(millis)) <= 1;
        assert!(near(report.latency.p50, 500) && near(report.latency.p90, 900), "{report:?}");
        assert!(near(report.latency.p99, 990) && near(report.latency.p999, 999), "{report:?}");
        assert!(near(report.latency.max, 1000) && near(report.latency.mean, 500), "{report:?}");
        assert!((report.throughput() - 498.5).abs() < 1e-9);
    }
}
