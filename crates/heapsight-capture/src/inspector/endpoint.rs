//! Where an inspector is: from a host and port, or a URL, to the address and path of one WebSocket.
//!
//! Inspectors accept only requests whose `Host` is `localhost` or an IP address, so the address that was connected to is
//! sent, whatever name led to it; and no `Origin`, which Chromium refuses. Of the `webSocketDebuggerUrl` in a list only
//! the path is taken: its host and port are the ones that the target sees, not the ones that lead here through a
//! forwarded port.
//!
//! Sources: Node.js' `src/inspector_socket_server.cc`; measured with Node.js 16 to 26, Deno 2.9, Bun 1.4 and
//! Chromium 156.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::escapes::parse;
use crate::{
    error::{CaptureError, Kind, Result},
    process::namespaces,
};

/// The longest reply that is read; a browser with thousands of pages has a few megabytes.
const MOST_REPLY: usize = 16 << 20;

/// An address that can be connected to, as seen from here or from within a process' network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    /// The process in whose network namespace that is; `None` for our own.
    pub inside: Option<u32>,
}

impl Server {
    /// Opens a connection.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where nothing listens; [`Kind::Timeout`]; else as [`namespaces::connect`].
    pub fn connect(&self, timeout: Duration) -> Result<TcpStream> {
        if let Some(pid) = self.inside {
            return namespaces::connect(pid, self.address, timeout);
        }
        TcpStream::connect_timeout(&self.address, timeout).map_err(|error| {
            let what = format!("cannot connect to {}", self.address);
            match error.kind() {
                ErrorKind::ConnectionRefused => {
                    CaptureError::new(Kind::NotFound, what, "nothing listens there").hint(
                        "start the program with --inspect, or name its process id: its inspector is then opened and closed",
                    )
                }
                ErrorKind::TimedOut | ErrorKind::WouldBlock => CaptureError::new(
                    Kind::Timeout,
                    what,
                    format!("no answer within {}", seconds(timeout)),
                ),
                _ => CaptureError::io(what, &error),
            }
        })
    }

    /// What this inspector says of itself at `/json/version`; `None` where the answer is no inspector's.
    ///
    /// # Errors
    /// Only where there is no answer.
    pub fn version(&self, timeout: Duration) -> Result<Option<Version>> {
        let reply = self.get("/json/version", timeout)?;
        let version = (reply.status == 200).then(|| parse::<Version>(&reply.body).ok()).flatten();
        Ok(version.filter(|v| !v.browser.is_empty()))
    }

    /// What can be connected to here.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for Bun and for inspectors that do not tell; [`Kind::Protocol`] where something else than
    /// an inspector answers.
    pub fn list(&self, timeout: Duration) -> Result<Vec<Listed>> {
        let what = || format!("cannot list what can be inspected at {}", self.address);
        let reply = self.get("/json/list", timeout)?;
        if reply.status == 200
            && let Ok(list) = parse(&reply.body)
        {
            return Ok(list);
        }
        match self.version(timeout) {
            Ok(Some(version)) if version.browser.starts_with("Bun") => Err(bun(&what())),
            Ok(Some(_)) => Err(no_list(&what())),
            // With --inspect-publish-uid=stderr Node.js answers this to everything.
            _ if reply.body.contains("WebSockets request was expected") => Err(no_list(&what())),
            _ => Err(CaptureError::new(
                Kind::Protocol,
                what(),
                format!("what answers there is no inspector (status {} to /json/list)", reply.status),
            )
            .hint("name the port of the inspector, not that of the application")),
        }
    }

    /// One request of HTTP.
    fn get(&self, path: &str, timeout: Duration) -> Result<Reply> {
        let deadline = Instant::now() + timeout;
        let mut stream = self.connect(timeout)?;
        let failed = |error: &std::io::Error| {
            let what = format!("cannot ask {} for {path}", self.address);
            match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => CaptureError::new(
                    Kind::Timeout,
                    what,
                    format!("connected, but no answer within {}", seconds(timeout)),
                ),
                _ => CaptureError::io(what, error),
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.set_write_timeout(Some(timeout)).map_err(|e| failed(&e))?;
        stream.write_all(request.as_bytes()).map_err(|e| failed(&e))?;
        let mut bytes = Vec::new();
        let mut block = vec![0; 64 << 10];
        loop {
            if let Some(reply) = Reply::parse(&bytes, false) {
                return Ok(reply);
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).map_err(|e| failed(&e))?;
            let read = match stream.read(&mut block) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Some servers reset the connection behind their reply.
                Err(error) if error.kind() == ErrorKind::ConnectionReset && !bytes.is_empty() => 0,
                Err(error) => return Err(failed(&error)),
            };
            if read == 0 || bytes.len() + read > MOST_REPLY || Instant::now() >= deadline {
                return Reply::parse(&bytes, true).ok_or_else(|| {
                    CaptureError::new(
                        Kind::Protocol,
                        format!("cannot ask {} for {path}", self.address),
                        "what answers there is no HTTP server",
                    )
                    .hint("name the port of the inspector, not that of the application")
                });
            }
            bytes.extend_from_slice(&block[..read]);
        }
    }
}

fn no_list(what: &str) -> CaptureError {
    CaptureError::new(
        Kind::Unsupported,
        what,
        "this inspector keeps its URL for itself (--inspect-publish-uid)",
    )
    .hint("name the ws:// URL that the program printed to its standard error when the inspector was opened")
}

/// The failure of everything with Bun.
pub(crate) fn bun(what: &str) -> CaptureError {
    CaptureError::new(Kind::Unsupported, what, "this is Bun, whose inspector has no heap profiler of V8")
        .hint("in the program, `Bun.write(\"app.heapsnapshot\", Bun.generateHeapSnapshot(\"v8\"))` writes a snapshot that Heapsight reads")
}

pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 10.0).round() / 10.0)
}

/// What `/json/version` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Program and version: `node.js/v20.20.2`, `Chrome/156.0.8078.79`, `Deno/2.9.6`, `Bun`.
    #[serde(default, rename = "Browser")]
    pub browser: String,
    /// Version of V8, where it says so.
    #[serde(default, rename = "V8-Version")]
    pub v8: String,
}

/// One entry of `/json/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// `node`, `page`, `iframe`, `worker`, `service_worker`, `browser_ui` ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Title of the page, or name of the program.
    pub title: String,
    /// URL of the page, or path of the program.
    pub url: String,
    /// URL of its WebSocket, with the host and port that the target itself sees.
    #[serde(rename = "webSocketDebuggerUrl")]
    pub socket: String,
}

impl Listed {
    /// The path of its WebSocket.
    fn path(&self) -> Option<&str> {
        let rest = self.socket.split_once("://").map_or(self.socket.as_str(), |(_, rest)| rest);
        rest.find('/').map(|at| &rest[at..]).filter(|path| path.len() > 1)
    }

    /// Whether this is what users mean when they do not say.
    fn is_program(&self) -> bool {
        let own = ["devtools://", "chrome-extension://"].iter().any(|scheme| self.url.starts_with(scheme));
        matches!(self.kind.as_str(), "node" | "page" | "deno" | "") && !own
    }

    fn matches(&self, wanted: &str) -> bool {
        let lower = wanted.to_lowercase();
        self.id == wanted
            || self.title.to_lowercase().contains(&lower)
            || self.url.to_lowercase().contains(&lower)
    }

    fn shown(&self) -> String {
        format!("{} `{}` {}", self.kind, self.title, self.url)
    }
}

/// One WebSocket of an inspector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub server: Server,
    /// The path of the WebSocket.
    pub path: String,
    /// What the list says of it; empty where a URL was given.
    pub listed: Listed,
}

impl Endpoint {
    /// Finds the WebSocket at a host and port. `wanted` chooses among several pages by id, or by a part of title or URL.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where nothing listens or nothing matches; [`Kind::Other`] where several match; else as
    /// [`Server::list`].
    pub fn find(host: &str, port: u16, wanted: Option<&str>, timeout: Duration) -> Result<Self> {
        first_that_works(host, port, |server| Self::choose(server, wanted, timeout))
    }

    /// The WebSocket of a URL: `ws://HOST:PORT/PATH`. Without a path it is looked for as [`Endpoint::find`] does.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for what is no such URL, and where nothing listens.
    pub fn of_url(url: &str, wanted: Option<&str>, timeout: Duration) -> Result<Self> {
        let bad = |why: &str| {
            CaptureError::new(Kind::NotFound, format!("`{url}` is no WebSocket of an inspector"), why)
                .hint("it has the form ws://HOST:PORT/PATH")
        };
        let rest = url.strip_prefix("ws://").ok_or_else(|| bad("it does not begin with ws://"))?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let port: u16 = port.parse().map_err(|_| bad("its port is none"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || port == 0 {
            return Err(bad("it has no host or port"));
        }
        if path.len() <= 1 {
            return Self::find(host, port, wanted, timeout);
        }
        first_that_works(host, port, |server| {
            server.connect(timeout)?;
            Ok(Self { server, path: path.to_owned(), listed: Listed::default() })
        })
    }

    /// Chooses among what a server lists.
    ///
    /// # Errors
    /// As [`Endpoint::find`].
    pub fn choose(server: Server, wanted: Option<&str>, timeout: Duration) -> Result<Self> {
        let list = server.list(timeout)?;
        let all: Vec<&Listed> = list.iter().filter(|l| l.path().is_some()).collect();
        let what = || match wanted {
            Some(wanted) => format!("cannot find `{wanted}` at {}", server.address),
            None => format!("cannot choose what to capture at {}", server.address),
        };
        let mut candidates: Vec<&Listed> = match wanted {
            Some(wanted) => all.iter().copied().filter(|l| l.matches(wanted)).collect(),
            None => all.iter().copied().filter(|l| l.is_program()).collect(),
        };
        // What is hidden in the interface of a browser is chosen only where nothing else matches.
        if candidates.iter().any(|l| l.is_program()) {
            candidates.retain(|l| l.is_program());
        }
        match candidates.as_slice() {
            [one] => {
                Ok(Self { server, path: one.path().unwrap_or_default().to_owned(), listed: (*one).clone() })
            }
            [] => Err(CaptureError::new(
                Kind::NotFound,
                what(),
                if all.is_empty() {
                    "it lists nothing".to_owned()
                } else {
                    format!("it has {}", shown(&all))
                },
            )),
            several => {
                Err(CaptureError::new(Kind::Other, what(), format!("there are several: {}", shown(several)))
                    .hint("choose one with --thread and a part of its title or URL"))
            }
        }
    }

    /// The URL, with the address that is connected to.
    pub fn url(&self) -> String {
        format!("ws://{}{}", self.server.address, self.path)
    }
}

/// Tries the addresses of a name in order: it may stand for `::1` and 127.0.0.1, and the inspector be at one of them.
fn first_that_works(host: &str, port: u16, look: impl Fn(Server) -> Result<Endpoint>) -> Result<Endpoint> {
    let what = || format!("cannot connect to {host} port {port}");
    let found = (host, port).to_socket_addrs().map_err(|error| {
        CaptureError::new(Kind::NotFound, what(), format!("the name `{host}` is not known: {error}"))
    })?;
    let mut failure = None;
    for address in found {
        match look(Server { address, inside: None }) {
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Timeout) => {
                failure.get_or_insert(error);
            }
            other => return other,
        }
    }
    Err(failure.unwrap_or_else(|| CaptureError::new(Kind::NotFound, what(), "the name has no address")))
}

fn shown(list: &[&Listed]) -> String {
    const MOST: usize = 10;
    let mut text = list.iter().take(MOST).map(|l| l.shown()).collect::<Vec<_>>().join(", ");
    if list.len() > MOST {
        text += &format!(" and {} more", list.len() - MOST);
    }
    text
}

/// The WebSocket URL in a line that a program writes to its standard error when its inspector opens: `Debugger listening
/// on ws://...` (Node.js, Deno) or `DevTools listening on ws://...` (Chromium). `None` for any other line.
pub fn announced(line: &str) -> Option<&str> {
    let (before, rest) = line.split_at_checked(line.find("ws://")?)?;
    before.trim_end().ends_with("listening on").then(|| rest.split_whitespace().next())?
}

/// A reply of HTTP.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    body: String,
}

impl Reply {
    /// The reply, if it is whole. `end` is whether the connection has ended, which ends a reply without a length.
    fn parse(bytes: &[u8], end: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(bytes).ok()? else { return None };
        let header = |name: &str| {
            let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        let rest = &bytes[head..];
        let body = if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            dechunked(rest)?
        } else {
            match header("content-length").and_then(|v| v.parse::<usize>().ok()) {
                Some(len) => rest.get(..len).or(end.then_some(rest))?.to_vec(),
                None => end.then(|| rest.to_vec())?,
            }
        };
        Some(Self { status: response.code?, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

fn dechunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((head, len))) = httparse::parse_chunk_size(bytes) else {
            return None;
        };
        if len == 0 {
            return Some(body);
        }
        let len = usize::try_from(len).ok()?;
        body.extend_from_slice(bytes.get(head..head.checked_add(len)?)?);
        bytes = bytes.get(head + len + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_said_to_be_none() {
        for bad in
            ["", "localhost:9229", "ws://", "ws://:9229/x", "ws://a:x/y", "ws://a:0/y", "ws://a:70000/y"]
        {
            let error = Endpoint::of_url(bad, None, Duration::from_secs(1)).unwrap_err();
            assert!(error.what.contains("is no WebSocket"), "{bad}: {error}");
        }
    }

    #[test]
    fn replies_with_and_without_a_length() {
        let reply = |text: &str, end| Reply::parse(text.as_bytes(), end).map(|r| (r.status, r.body));
        let whole = Some((200, "[]".to_owned()));
        assert_eq!(reply("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]", false), whole);
        assert_eq!(reply("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n[]", false), None);
        assert_eq!(reply("HTTP/1.0 200 OK\r\n\r\n[]", false), None);
        assert_eq!(reply("HTTP/1.0 200 OK\r\n\r\n[]", true), whole);
        assert_eq!(
            reply(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n",
                false
            ),
            whole
        );
        assert_eq!(
            reply(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\nffffffffffffffff\r\n",
                true
            ),
            None
        );
        assert_eq!(reply("SSH-2.0-OpenSSH", true), None);
    }

    #[test]
    fn lines_that_announce_an_inspector() {
        let url = "ws://127.0.0.1:9229/abc";
        assert_eq!(announced(&format!("Debugger listening on {url}")), Some(url));
        assert_eq!(announced(&format!("DevTools listening on {url}\r")), Some(url));
        assert_eq!(announced(&format!("see {url}")), None);
        assert_eq!(announced("Debugger listening on"), None);
    }

    #[test]
    fn the_path_is_all_that_is_taken_of_a_url() {
        let path = |socket: &str| {
            Listed { socket: socket.to_owned(), ..Listed::default() }.path().map(str::to_owned)
        };
        assert_eq!(path("ws://evil:1/uuid").as_deref(), Some("/uuid"));
        assert_eq!(path("ws://h:1/devtools/page/A?x=1").as_deref(), Some("/devtools/page/A?x=1"));
        assert_eq!((path("ws://h:1/"), path("ws://h:1"), path("")), (None, None, None));
    }
}
