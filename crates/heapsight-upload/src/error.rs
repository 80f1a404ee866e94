//! What can go wrong with an upload: what failed, why, and what to try; and what an object store's errors mean.
//!
//! Messages have no credentials in them: URLs are shown without their query, and of an answer only the code and the
//! message that the service gives for people.

use std::{error::Error, fmt, io};

use object_store::client::{HttpError, HttpErrorKind};

/// The kind of a failure, for programs that decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The server cannot be reached, broke off, or is too busy: worth trying again.
    Passing,
    /// The server refuses: no credentials, wrong ones, or ones that do not allow it.
    Permission,
    /// There is no such bucket or service, or it is in another region.
    NotFound,
    /// The connection would not be encrypted, or its other end is not known to be who it should be.
    Insecure,
    /// An object of that name exists and is another one.
    Conflict,
    /// What is there after the upload is not what was sent.
    Differs,
    /// The local file is gone, or is none that can be uploaded so.
    Local,
    /// The queue cannot be read or written.
    Queue,
    /// The destination or its configuration makes no sense.
    Destination,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether the same attempt may succeed later without anybody doing anything.
    pub(crate) fn passes(self) -> bool {
        matches!(self, Self::Passing | Self::Differs | Self::Queue | Self::Other)
    }
}

/// A failure: `what`: `why`, and what to try.
#[derive(Clone, Debug)]
pub struct UploadError {
    /// Its kind.
    pub kind: Kind,
    /// What failed, with its object: "cannot upload a.heapsnapshot to s3://captures".
    pub what: String,
    /// Why, in the words of the system or the server; may be empty.
    pub why: String,
    /// What to try.
    pub hint: Option<String>,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, UploadError>;

impl UploadError {
    /// A failure without a hint.
    pub fn new(kind: Kind, what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { kind, what: what.into(), why: why.to_string(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure of the local file.
    pub(crate) fn local(what: impl Into<String>, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Kind::Local,
            io::ErrorKind::PermissionDenied => Kind::Permission,
            // It became shorter while it was read, the disk has a fault, there are too many open files.
            _ => Kind::Passing,
        };
        Self::new(kind, what, error)
    }

    /// A failure of the store.
    pub(crate) fn store(what: impl Into<String>, error: &object_store::Error) -> Self {
        const CREDENTIALS: &str = "check the credentials in the environment, and what they allow";
        let found = Found::of(error);
        let code = found.code.as_deref().unwrap_or_default();
        let (kind, hint) = match error {
            _ if found.insecure => (Kind::Insecure, None),
            _ if ABOUT_CREDENTIALS.contains(&code) && code != "RequestTimeTooSkewed" => {
                (Kind::Permission, Some(CREDENTIALS))
            }
            _ if matches!(
                code,
                "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed"
            ) =>
            {
                (Kind::NotFound, Some("check AWS_REGION, which is to be the region of the bucket"))
            }
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                let skewed = code == "RequestTimeTooSkewed";
                (Kind::Permission, Some(if skewed { "set the clock of this machine" } else { CREDENTIALS }))
            }
            object_store::Error::NotFound { .. } => {
                (Kind::NotFound, Some("check the name of the bucket or container; it is not made here"))
            }
            object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
                (Kind::Destination, None)
            }
            _ => match found.kind {
                Some(
                    HttpErrorKind::Connect
                    | HttpErrorKind::Request
                    | HttpErrorKind::Timeout
                    | HttpErrorKind::Interrupted,
                ) => (Kind::Passing, None),
                _ if found.status.is_some_and(|status| status >= 500 || status == 429 || status == 408) => {
                    (Kind::Passing, None)
                }
                // Whoever gives out credentials gives none.
                _ if matches!(found.status, Some(401 | 403)) => (Kind::Permission, Some(CREDENTIALS)),
                _ => (Kind::Other, None),
            },
        };
        let error = Self::new(kind, what, found.why);
        match hint.or(found.hint) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl Error for UploadError {}

/// A response that is a failure of the server or of the request, as the HTTP service hands it to the store, which would
/// make text of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The status of the response.
    pub(crate) status: u16,
    /// Its body, or the beginning of it.
    pub(crate) body: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&said(self.status, &self.body))
    }
}

impl Error for Refusal {}

/// What a response says, in a line.
pub(crate) fn said(status: u16, body: &str) -> String {
    let name = ureq::http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    let mut text = format!("the server answered {status} {name}").trim_end().to_owned();
    match (element(body, "Code"), element(body, "Message")) {
        (Some(code), Some(message)) => text += &format!(": {code}: {}", line(message)),
        (Some(one), None) | (None, Some(one)) => text += &format!(": {}", line(one)),
        (None, None) if !body.trim().is_empty() && !body.trim_start().starts_with('<') => {
            text += &format!(": {}", line(body));
        }
        (None, None) => {}
    }
    text
}

/// The first line of a text, of a length that fits, without what could drive a terminal.
fn line(text: &str) -> String {
    let first = text.trim().lines().next().unwrap_or_default();
    let clean: String = first.chars().filter(|c| !c.is_control()).take(200).collect();
    clean.trim_end_matches('.').to_owned()
}

/// The text of an element of XML, if it is there.
fn element<'t>(xml: &'t str, name: &str) -> Option<&'t str> {
    let begin = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let end = xml[begin..].find('<')? + begin;
    Some(&xml[begin..end]).filter(|text| !text.is_empty())
}

/// What is in the chain of an error of the store.
struct Found {
    status: Option<u16>,
    code: Option<String>,
    kind: Option<HttpErrorKind>,
    insecure: bool,
    why: String,
    hint: Option<&'static str>,
}

/// What stands before the status in an answer that the store has made text of.
const STATUS: &str = "status code: ";

impl Found {
    fn of(error: &object_store::Error) -> Self {
        let mut found =
            Self { status: None, code: None, kind: None, insecure: false, why: String::new(), hint: None };
        let mut at: Option<&(dyn Error + 'static)> = Some(error);
        let mut deepest = String::new();
        // Chains are short; the limit is for those that are not.
        for _ in 0..16 {
            let Some(link) = at else { break };
            if let Some(refusal) = link.downcast_ref::<Refusal>() {
                found.status = Some(refusal.status);
                found.code = element(&refusal.body, "Code").map(str::to_owned);
                found.why = refusal.to_string();
                return found;
            }
            if let Some(http) = link.downcast_ref::<HttpError>() {
                found.kind = Some(http.kind());
            }
            if let Some(transport) = link.downcast_ref::<crate::http::TransportError>() {
                found.insecure = transport.insecure();
                found.why = transport.to_string();
                found.hint = transport.hint();
                return found;
            }
            deepest = link.to_string();
            at = link.source();
        }
        // An answer that the store has made text of: its status, and a body of XML.
        if let Some(place) = deepest.find(STATUS) {
            let rest = &deepest[place + STATUS.len()..];
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(status) = digits.parse() {
                found.status = Some(status);
                found.code = element(rest, "Code").map(str::to_owned);
                let body = rest.split_once(": ").map_or("", |(_, body)| body);
                found.why = said(status, body);
                return found;
            }
        }
        found.why = line(&deepest);
        found
    }
}

/// Codes that are about who asks and not about what.
const ABOUT_CREDENTIALS: [&str; 6] = [
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// Whether an error may mean that the store does not know an upload in parts, or its parts. Services say so in different
/// ways.
pub(crate) fn may_be_forgotten(error: &object_store::Error) -> bool {
    let found = Found::of(error);
    let refused =
        found.status.is_some_and(|status| (400..500).contains(&status) && status != 408 && status != 429);
    refused && found.code.is_some_and(|code| !ABOUT_CREDENTIALS.contains(&code.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_clean_line() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce\u{1b}[2J your rate.\nx</Message></Error>";
        assert_eq!(
            said(503, xml),
            "the server answered 503 Service Unavailable: SlowDown: Please reduce[2J your rate"
        );
        assert_eq!(said(502, "<html>x</html>"), "the server answered 502 Bad Gateway");
        assert_eq!(said(500, "plain\nmore"), "the server answered 500 Internal Server Error: plain");
        assert_eq!(said(999, ""), "the server answered 999");
    }
}
