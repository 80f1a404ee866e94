//! Numbers for Prometheus: the page, and the little server that shows it on the loopback interface.
//!
//! The server answers one connection after the other, with what was put in its window last; it never holds up the
//! watcher, reads at most 8 KiB of a request and waits at most two seconds for them.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use heapsight_capture::{CaptureError, Kind, Result};

use crate::recorder::Recorder;

const HEAD: usize = 8 << 10;

const PATIENCE: Duration = Duration::from_secs(2);

/// How long a page is good enough.
const FRESH: Duration = Duration::from_secs(1);

/// How uploads to a destination go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Its URL.
    pub destination: String,
    /// Files that have to go up.
    pub waiting: u64,
    /// Files that are up.
    pub uploaded: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were given up.
    pub failed: u64,
    /// Attempts that failed and were followed by another one.
    pub retries: u64,
}

/// The page, in Prometheus' text format 0.0.4.
pub fn page(recorder: &Recorder, uploads: &[Numbers]) -> String {
    let mut page = Page(String::with_capacity(4096));
    let (used, limit, captures) = recorder.disk();
    let counters = recorder.counters();
    let views: Vec<_> = recorder.views().collect();
    page.head("heapsight_watched_processes", "gauge", "Processes that are watched.");
    page.value("heapsight_watched_processes", &[], views.len() as f64);
    page.head(
        "heapsight_captures_bytes",
        "gauge",
        "Bytes of all captures on the disk, and what is being written.",
    );
    page.value("heapsight_captures_bytes", &[], used as f64);
    page.head("heapsight_captures_limit_bytes", "gauge", "The disk budget.");
    page.value("heapsight_captures_limit_bytes", &[], limit as f64);
    page.head("heapsight_captures", "gauge", "Captures on the disk.");
    page.value("heapsight_captures", &[], captures as f64);
    page.head("heapsight_captures_total", "counter", "Captures that were written.");
    page.value("heapsight_captures_total", &[], counters.captures as f64);
    page.head("heapsight_rules_total", "counter", "How often a rule acted.");
    for (rule, count) in recorder.rules().zip(&counters.acted) {
        page.value("heapsight_rules_total", &[("rule", rule)], *count as f64);
    }
    page.head("heapsight_skipped_total", "counter", "How often a rule fired and nothing was done.");
    page.value("heapsight_skipped_total", &[], counters.skipped as f64);
    page.head("heapsight_ended_total", "counter", "Processes that ended while they were watched.");
    page.value("heapsight_ended_total", &[], counters.ended as f64);
    let mut upload = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Numbers) -> u64| {
        if !uploads.is_empty() {
            page.head(name, kind, help);
        }
        for numbers in uploads {
            page.value(name, &[("destination", &numbers.destination)], value(numbers) as f64);
        }
    };
    upload("heapsight_uploads_waiting", "gauge", "Files that have to go up.", &|n| n.waiting);
    upload("heapsight_uploaded_total", "counter", "Files that went up.", &|n| n.uploaded);
    upload("heapsight_uploaded_bytes_total", "counter", "Their bytes.", &|n| n.bytes);
    upload("heapsight_uploads_failed_total", "counter", "Files that could not go up.", &|n| n.failed);
    upload(
        "heapsight_upload_retries_total",
        "counter",
        "Attempts that failed and were followed by another one.",
        &|n| n.retries,
    );
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&crate::recorder::View<'_>) -> Option<f64>| {
        page.head(name, "gauge", help);
        for view in &views {
            if let Some(value) = value(view) {
                page.value(name, &[("pid", &view.id.pid.to_string()), ("program", view.program)], value);
            }
        }
    };
    let group = |view: &crate::recorder::View<'_>| view.sample.group.clone();
    gauge("heapsight_rss_bytes", "Resident memory.", &|v| Some(v.sample.rss as f64));
    gauge("heapsight_rss_growth_bytes_per_second", "The line through it in the window.", &|v| v.growth);
    gauge("heapsight_limit_seconds", "When a limit is reached at this rate.", &|v| {
        v.limit_in.map(|t| t.as_secs_f64())
    });
    gauge("heapsight_cgroup_bytes", "Working set of the control group.", &|v| Some(group(v)?.used as f64));
    gauge("heapsight_cgroup_limit_bytes", "Its limit.", &|v| Some(group(v)?.limit? as f64));
    gauge("heapsight_cgroup_oom_kills", "Processes of it that the kernel killed.", &|v| {
        Some(group(v)?.oom_kill as f64)
    });
    gauge(
        "heapsight_memory_pressure_ratio",
        "Part of ten seconds in which somebody waited for memory.",
        &|v| group(v)?.pressure,
    );
    gauge("heapsight_heap_used_bytes", "Objects in V8's heap of the main thread.", &|v| {
        Some(v.heap?.used as f64)
    });
    gauge("heapsight_heap_total_bytes", "Committed to it.", &|v| Some(v.heap?.total as f64));
    gauge("heapsight_heap_limit_bytes", "The limit that ends the program.", &|v| Some(v.heap?.limit as f64));
    gauge("heapsight_external_bytes", "Memory outside of the heap that its objects hold.", &|v| {
        Some(v.heap?.external as f64)
    });
    gauge("heapsight_loop_delay_seconds", "How late the event loop was.", &|v| {
        Some(v.heap?.loop_delay?.as_secs_f64())
    });
    page.head("heapsight_heap_space_bytes", "gauge", "Objects by space of the heap.");
    for view in &views {
        for (space, bytes) in view.heap.map(|heap| heap.spaces.as_slice()).unwrap_or_default() {
            let pid = view.id.pid.to_string();
            let labels = [("pid", pid.as_str()), ("program", view.program), ("space", space)];
            page.value("heapsight_heap_space_bytes", &labels, *bytes as f64);
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// What the server and the watcher share.
#[derive(Debug, Default)]
struct Window {
    page: Mutex<(Option<Instant>, String)>,
    /// Somebody has asked lately: without that no page is made.
    wanted: AtomicBool,
    stop: AtomicBool,
}

/// The server. It ends with this.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    window: Arc<Window>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// [`Kind::Refused`]: it is no address of the loopback interface; [`Kind::Other`]: the port is taken.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let what = format!("cannot show metrics at {address}");
        if !address.ip().is_loopback() {
            return Err(CaptureError::new(Kind::Refused, what, "it is no address of the loopback interface"));
        }
        let listener = TcpListener::bind(address).map_err(|e| {
            CaptureError::new(Kind::Other, &what, e).hint("choose another port with --metrics")
        })?;
        let address = listener.local_addr().map_err(|e| CaptureError::io(&what, &e))?;
        let window = Arc::new(Window::default());
        window.wanted.store(true, Ordering::Relaxed);
        let shared = Arc::clone(&window);
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                for stream in listener.incoming() {
                    if shared.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Whoever hangs up does not want to know.
                    let _ = stream.and_then(|stream| answer(stream, &shared));
                }
            })
            .map_err(|e| CaptureError::io(&what, &e))?;
        Ok(Self { address, window, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a page in the window, if the one that is there is not good enough and somebody looks.
    pub fn show(&self, page: impl FnOnce() -> String) {
        let mut window = self.window.page.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = window.0.is_some_and(|made| made.elapsed() < FRESH);
        if !fresh && self.window.wanted.swap(false, Ordering::Relaxed) {
            *window = (Some(Instant::now()), page());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.window.stop.store(true, Ordering::Relaxed);
        // Wakes it.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, window: &Window) -> std::io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > HEAD {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    let (status, body) = match (words.next(), words.next()) {
        // A page of a browser that has had its name led here.
        _ if !is_meant(&line) => ("403 Forbidden", "ask for localhost or 127.0.0.1\n".to_owned()),
        (Some("GET" | "HEAD"), Some("/metrics")) => ("200 OK", fresh(window, deadline)),
        (Some("GET" | "HEAD"), _) => ("404 Not Found", "the numbers are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if !line.starts_with("HEAD ") {
        stream.write_all(body.as_bytes())?;
    }
    Ok(())
}

/// Whether whoever asks calls this machine by a name that only it has.
fn is_meant(head: &str) -> bool {
    let host = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let Some(host) = host else { return true };
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(n, _)| n);
    name == "localhost"
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A page that is not old; the last one where the watcher does not make one in time.
fn fresh(window: &Window, deadline: Instant) -> String {
    window.wanted.store(true, Ordering::Relaxed);
    loop {
        {
            let page = window.page.lock().unwrap_or_else(PoisonError::into_inner);
            if page.0.is_some_and(|made| made.elapsed() < FRESH) || Instant::now() >= deadline {
                return page.1.clone();
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        recorder::{Id, Sample},
        settings::Settings,
    };

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    #[test]
    fn the_page_is_shown_on_the_loopback_interface_alone() {
        assert_eq!(Server::start("0.0.0.0:0".parse().unwrap()).unwrap_err().kind, Kind::Refused);
        let server = Server::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut recorder = Recorder::new(&Settings::default(), Vec::new(), Duration::ZERO);
        let id = Id { pid: 7, start_time: 1 };
        recorder.found(Duration::ZERO, id, "node \"app\".js");
        recorder.sampled(Duration::ZERO, id, &Sample { rss: 4096, group: None });
        server.show(|| page(&recorder, &[]));
        let reply = ask(server.address(), "GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\n\r\n");
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(
            reply.contains("\nheapsight_rss_bytes{pid=\"7\",program=\"node \\\"app\\\".js\"} 4096\n"),
            "{reply}"
        );
        for (host, status) in
            [("evil.example", 403), ("[::1]:9464", 200), ("127.0.0.1", 200), ("127.0.0.1.x", 403)]
        {
            let reply = ask(server.address(), &format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n"));
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {reply}");
        }
        assert!(ask(server.address(), "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(server.address(), "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        let address = server.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err(), "it has ended");
    }
}
