//! What to capture from, as users write it: a process id, the address of an inspector, or its WebSocket URL.

use std::fmt;

use crate::{CaptureError, Kind, Result};

/// What to capture from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process of this machine.
    Pid(u32),
    /// An inspector's host and port; the host may be a name, or an IPv6 address without brackets.
    Address {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The WebSocket URL of one inspector target.
    Url(String),
}

impl Target {
    /// Reads `4711`, `localhost:9229`, `[::1]:9229`, `:9229`, `http://localhost:9229` or `ws://...`.
    ///
    /// # Errors
    ///
    /// The text is none of these.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = |why: &str| {
            CaptureError::new(Kind::NotFound, format!("`{text}` is no target"), why).hint(
                "a target is a process id (`heapsight ps` lists them), HOST:PORT, a ws:// URL, or `-- node app.js`",
            )
        };
        if text.starts_with("ws://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if text.starts_with("wss://") || text.starts_with("https://") {
            return Err(wrong("inspectors are reached without TLS only; forward the port instead"));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(pid) if pid > 0 => Ok(Self::Pid(pid)),
                _ => Err(wrong("it is out of the range of process ids")),
            };
        }
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.split('/').next().unwrap_or_default();
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(wrong("it is neither a number nor HOST:PORT"));
        };
        let Some(port) = port.parse().ok().filter(|&port: &u16| port > 0) else {
            return Err(wrong("what follows the colon is no port"));
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6,
            None if host.contains(':') => return Err(wrong("an IPv6 address takes brackets: [::1]:9229")),
            None if host.is_empty() => "127.0.0.1",
            None => host,
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
        if !host.bytes().all(fits) {
            return Err(wrong("what precedes the colon is no host"));
        }
        Ok(Self::Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Address { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Address { host, port } => write!(f, "{host}:{port}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Target {
        Target::Address { host: host.to_owned(), port }
    }

    #[test]
    fn all_ways_to_name_a_target() {
        assert_eq!(Target::parse(" 4711").unwrap(), Target::Pid(4711));
        assert_eq!(Target::parse("localhost:9229").unwrap(), address("localhost", 9229));
        assert_eq!(Target::parse(":9229").unwrap(), address("127.0.0.1", 9229));
        assert_eq!(Target::parse("http://10.0.0.5:9229/json").unwrap(), address("10.0.0.5", 9229));
        assert_eq!(Target::parse("[::1]:9229").unwrap(), address("::1", 9229));
        assert_eq!(Target::parse("[::1]:9229").unwrap().to_string(), "[::1]:9229");
        assert!(matches!(Target::parse("ws://127.0.0.1:9229/x").unwrap(), Target::Url(_)));
    }

    #[test]
    fn what_is_no_target_says_what_one_is() {
        for text in [
            "",
            "0",
            "99999999999",
            "app.js",
            "host:",
            "host:0",
            "host:70000",
            "::1:9229",
            "wss://x",
            "a b:1",
        ] {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.what, format!("`{text}` is no target"));
            assert!(error.hint.is_some());
        }
    }
}
