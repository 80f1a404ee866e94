//! What other sites, other users and hostile clients send, and that none of it is answered.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::PathBuf,
    thread::JoinHandle,
    time::Duration,
};

use heapsight_query::code::Code;
use heapsight_testkit::builder::{Layout, SnapshotBuilder};
use heapsight_web::{Options, Server, Settings, Stopper};

/// A server with one small snapshot, until it is dropped.
struct Served {
    port: u16,
    token: String,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The status, the head and the body of an answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    fn start(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut graph = SnapshotBuilder::new();
        let global = graph.global("global", 64);
        graph.object(global, "secret", "Secret", 64);
        let file: PathBuf = folder.path().join("a.heapsnapshot");
        std::fs::write(&file, graph.graph().json(&Layout::node24())).unwrap();
        std::fs::write(folder.path().join("other.txt"), "not for you").unwrap();
        let settings = Settings { cache: None, threads: 1, code_of: |_, _| Code::none() };
        let mut options = Options::new(vec![file], settings);
        change(&mut options);
        let server = Server::bind(options).unwrap();
        let url = server.url();
        let (place, token) = url.split_once("/?token=").unwrap();
        let port = place.rsplit_once(':').unwrap().1.parse().unwrap();
        let stopper = server.stopper();
        let thread = std::thread::spawn(move || server.run().unwrap());
        Self { port, token: token.to_owned(), stopper, thread: Some(thread), folder }
    }

    /// Sends bytes and reads until the server has nothing more to say.
    fn raw(&self, text: &[u8], hang_up: bool) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A server that has refused may hang up before it has read all.
        let _ = stream.write_all(text);
        if hang_up {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn ask(&self, first: &str, fields: &[&str]) -> Answer {
        let host = format!("Host: 127.0.0.1:{}", self.port);
        let mut lines = vec![format!("{first} HTTP/1.1"), "Connection: close".to_owned()];
        if !fields.iter().any(|field| field.to_lowercase().starts_with("host:")) {
            lines.push(host);
        }
        lines.extend(fields.iter().map(|field| (*field).to_owned()));
        // What promises a body and sends none hangs up, or both would wait.
        let promises =
            fields.iter().any(|field| field.starts_with("Content-Length:") && !field.ends_with(" 0"));
        self.raw((lines.join("\r\n") + "\r\n\r\n").as_bytes(), promises)
    }

    fn cookie(&self) -> String {
        let entered = self.ask(&format!("GET /?token={}", self.token), &[]);
        assert_eq!(entered.status, 303);
        assert!(
            entered.head.contains("httponly") && entered.head.contains("samesite=strict"),
            "{}",
            entered.head
        );
        let line = entered.head.lines().find(|line| line.starts_with("set-cookie")).unwrap();
        format!("Cookie: {}", line.trim_start_matches("set-cookie: ").split(';').next().unwrap())
    }

    fn own(&self) -> String {
        format!("Origin: http://127.0.0.1:{}", self.port)
    }
}

#[test]
fn without_the_cookie_nothing_is_told() {
    let served = Served::start(|_| {});
    for path in
        ["/", "/f/0/summary", "/api/session", "/api/files", "/api/files/0/summary", "/assets/x/app.js"]
    {
        for cookie in ["Cookie: a=b", "Cookie: heapsight=00", "Cookie: heapsight-1=00"] {
            let answer = served.ask(&format!("GET {path}"), &[cookie]);
            assert_eq!(answer.status, 401, "{path}");
            assert!(
                !answer.body.contains("Secret") && !answer.body.contains("heapsnapshot"),
                "{}",
                answer.body
            );
        }
    }
    let wrong = format!("GET /?token={}", "0".repeat(64));
    assert_eq!(served.ask(&wrong, &[]).status, 401);
    assert_eq!(served.ask("GET /?token=", &[]).status, 401);
    // The cookie of another server on this machine.
    let other = Served::start(|_| {});
    assert_eq!(served.ask("GET /api/session", &[&other.cookie()]).status, 401);
    let renamed = other.cookie().replace(&format!("-{}=", other.port), &format!("-{}=", served.port));
    assert_eq!(served.ask("GET /api/session", &[&renamed]).status, 401);
    // The token is no cookie, and opens no question.
    let token = format!("Cookie: heapsight-{}={}", served.port, served.token);
    assert_eq!(served.ask("GET /api/session", &[&token]).status, 401);
    assert_eq!(served.ask(&format!("GET /api/session?token={}", served.token), &[]).status, 401);
}

#[test]
fn with_the_cookie_the_page_works_and_is_fenced_in() {
    let served = Served::start(|_| {});
    let cookie = served.cookie();
    let page = served.ask("GET /f/0/summary", &[&cookie]);
    assert_eq!(page.status, 200);
    for field in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-opener-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
    ] {
        assert!(page.head.contains(field), "{field}: {}", page.head);
    }
    assert!(!page.head.contains("access-control"), "{}", page.head);
    let summary = served.ask("GET /api/files/0/summary", &[&cookie]);
    assert!(summary.status == 200 && summary.body.contains("Secret"), "{}", summary.body);
}

#[test]
fn a_name_that_an_attacker_points_here_is_no_host() {
    let served = Served::start(|_| {});
    let cookie = served.cookie();
    let port = served.port;
    for host in [
        "Host: evil.example".to_owned(),
        format!("Host: evil.example:{port}"),
        format!("Host: 127.0.0.1.evil.example:{port}"),
        format!("Host: 10.0.0.1:{port}"),
        format!("Host: 127.0.0.1:{}", port.wrapping_add(1)),
        "Host: ".to_owned(),
    ] {
        let answer = served.ask("GET /api/session", &[&host, &cookie]);
        assert_eq!(answer.status, 421, "{host}");
        // Not even the token opens the page there.
        let entered = served.ask(&format!("GET /?token={}", served.token), &[&host]);
        assert_eq!(entered.status, 421, "{host}");
        assert!(!entered.head.contains("set-cookie"));
    }
    let twice = [format!("Host: 127.0.0.1:{port}"), "Host: evil.example".to_owned()];
    let answer = served.ask("GET /api/session", &[&twice[0], &twice[1], &cookie]);
    assert!(matches!(answer.status, 400 | 421), "{}", answer.status);
}

#[test]
fn other_sites_are_refused_even_with_the_cookie() {
    let served = Served::start(|_| {});
    let cookie = served.cookie();
    for origin in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:1",
        "Origin: https://localhost",
    ] {
        for first in ["GET /api/session", "POST /api/files?name=a.heapsnapshot", "POST /api/files/0/retry"] {
            assert_eq!(served.ask(first, &[origin, &cookie]).status, 403, "{first} {origin}");
        }
    }
    for site in ["cross-site", "same-site"] {
        let field = format!("Sec-Fetch-Site: {site}");
        assert_eq!(served.ask("GET /api/session", &[&field, &cookie]).status, 403);
    }
    // A form of another site sends no origin that is ours; a request that changes something must.
    assert_eq!(served.ask("POST /api/files/0/retry", &[&cookie]).status, 403);
    assert_eq!(served.ask("POST /api/files/0/retry", &[&cookie, &served.own()]).status, 200);
    assert_eq!(served.ask("OPTIONS /api/files", &["Origin: http://evil.example"]).status, 403);
}

#[test]
fn nothing_is_upgraded() {
    let served = Served::start(|_| {});
    let cookie = served.cookie();
    let own = served.own();
    let fields = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &cookie,
        &own,
    ];
    for path in ["/", "/api/session", "/api/files/0/events"] {
        let answer = served.ask(&format!("GET {path}"), &fields);
        assert_eq!(answer.status, 400, "{path}");
        assert!(!answer.head.contains("101 "), "{}", answer.head);
    }
    assert_ne!(served.ask("CONNECT 127.0.0.1:22", &[&cookie]).status, 200);
}

#[test]
fn no_path_leads_to_another_file() {
    let served = Served::start(|_| {});
    let cookie = served.cookie();
    let folder = served.folder.path().display().to_string();
    for path in [
        "/other.txt".to_owned(),
        "/../other.txt".to_owned(),
        "/assets/../../../../etc/passwd".to_owned(),
        "/assets/x/..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "/assets/x/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        format!("/assets/x/{folder}/other.txt"),
        format!("/api/files/..%2f..{folder}%2fother.txt/summary"),
        "/api/files/1/summary".to_owned(),
        "/api/files/-1/summary".to_owned(),
        "/api/files/18446744073709551616/summary".to_owned(),
        format!("/api/files/0/summary?path={folder}/other.txt"),
    ] {
        let answer = served.ask(&format!("GET {path}"), &[&cookie]);
        assert!(
            !answer.body.contains("not for you") && !answer.body.contains("root:"),
            "{path}: {}",
            answer.body
        );
        let is_page = answer.body.contains("<!doctype html>");
        assert!(is_page || answer.status >= 400 || path.contains("?path="), "{path}: {}", answer.status);
    }
    // A file that is dropped lands in a folder of the server's, whatever it is called.
    let own = served.own();
    for name in ["..%2f..%2fowned", "%2fetc%2fowned", "a%5c..%5cowned"] {
        let answer =
            served.ask(&format!("POST /api/files?name={name}"), &[&cookie, &own, "Content-Length: 0"]);
        assert!(
            answer.status == 200 && answer.body.contains("\"name\":\"owned\""),
            "{name}: {}",
            answer.body
        );
        assert!(answer.body.contains("heapsight-open-"), "{}", answer.body);
    }
    for name in ["", "..", ".bashrc", "%2f"] {
        let answer =
            served.ask(&format!("POST /api/files?name={name}"), &[&cookie, &own, "Content-Length: 0"]);
        assert_eq!(answer.status, 400, "{name}");
    }
}

#[test]
fn sizes_and_numbers_have_limits() {
    let served = Served::start(|_| {});
    let cookie = served.cookie();
    let own = served.own();
    // A body where none belongs is not read for ever.
    let huge = served.ask("POST /api/files/0/retry", &[&cookie, &own, "Content-Length: 99999999999999"]);
    assert!(huge.status == 200 || huge.status >= 400);
    // A file that does not arrive whole leaves nothing.
    let broken = served.ask("POST /api/files?name=b.heapsnapshot", &[&cookie, &own, "Content-Length: 1000"]);
    assert!(broken.status == 400 || broken.status == 0, "{}", broken.status);
    let files = served.ask("GET /api/files", &[&cookie]);
    assert!(!files.body.contains("b.heapsnapshot"), "{}", files.body);
    // Pages are bounded, and numbers that make no sense are refused.
    for query in ["count=18446744073709551615", "from=18446744073709551615", "from=99999999&count=500"] {
        assert_eq!(
            served.ask(&format!("GET /api/files/0/summary?{query}"), &[&cookie]).status,
            200,
            "{query}"
        );
    }
    for path in [
        "summary?count=-1",
        "summary?sort=evil",
        "summary?class=%2f(%2f",
        "instances",
        "instances?class=NoSuchClass",
        "object?id=99999999",
        "object?ord=4294967295",
        "retainers?ord=4294967295",
        "retainers",
        "retainers?id=1&ignore=x",
        "query?text=%28",
        "summary?filter=evil",
        "compare/7",
        "nothing",
    ] {
        let answer = served.ask(&format!("GET /api/files/0/{path}"), &[&cookie]);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    let head = "X-Long: ".to_owned() + &"a".repeat(1 << 20);
    assert!(matches!(served.ask("GET /api/session", &[&head, &cookie]).status, 0 | 431 | 400));
    let long = format!("GET /{}", "a".repeat(1 << 20));
    assert!(matches!(served.ask(&long, &[&cookie]).status, 0 | 414 | 431 | 400));
    assert!(matches!(served.raw(b"\x16\x03\x01\x02\x00\x01\x00", true).status, 0 | 400));
    // It still answers.
    assert_eq!(served.ask("GET /api/session", &[&cookie]).status, 200);
}

#[test]
fn it_ends_when_nobody_is_there() {
    let mut served = Served::start(|options| options.idle_timeout = Some(Duration::from_millis(300)));
    served.thread.take().unwrap().join().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", served.port)).is_err());
    served.thread = Some(std::thread::spawn(|| {}));
}

#[test]
fn a_port_that_is_taken_is_said() {
    let served = Served::start(|_| {});
    let settings = Settings { cache: None, threads: 1, code_of: |_, _| Code::none() };
    let mut options = Options::new(Vec::new(), settings);
    options.port = served.port;
    let error = Server::bind(options).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    assert!(error.hint().unwrap().contains("--port 0"));
}
