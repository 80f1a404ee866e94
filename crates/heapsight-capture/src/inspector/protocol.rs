//! The inspector protocol without input and output: what to send for a call, and what a message that came means.
//!
//! A message is told apart by its method or its id, never by when it comes. Isolates other than the main one are
//! reached through it in one of two ways ([`Route`]): Node.js wraps their messages into strings of its own messages
//! (`NodeWorker`), everybody else adds a field `sessionId` (`Target`, flat). [`Core`] does both, so that whoever calls
//! does not see which thread it talks to.
//!
//! Chunks of snapshots are never parsed as JSON documents: their text is handed out as it is, still escaped, for
//! [`Decoder`]. Everything else is rare and small, or is one large raw value.
//!
//! Sources: the Chrome DevTools Protocol, domains `HeapProfiler`, `Runtime`, `Target`; Node.js' `NodeWorker` in
//! `src/inspector/node_protocol.pdl`.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::escapes::{BadEscape, Decoder, parse, string_end};
use crate::error::{CaptureError, Kind, Result};

/// How each chunk that V8 sends begins.
const CHUNK_HEAD: &str = r#"{"method":"HeapProfiler.addHeapSnapshotChunk","params":{"chunk":""#;
const CHUNK: &str = "HeapProfiler.addHeapSnapshotChunk";
const FROM_WORKER: &str = "NodeWorker.receivedMessageFromWorker";

/// Which isolate is talked to over a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// The one that the address leads to: the main thread, or a page.
    #[default]
    Main,
    /// A worker of Node.js, by the session that `NodeWorker.attachedToWorker` named.
    Worker(String),
    /// A target by the session that `Target.attachedToTarget` named.
    Target(String),
}

/// The error that the other side answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// Its number: -32601 is an unknown method, -32000 nearly everything else.
    pub code: i64,
    /// Its words.
    pub message: String,
}

impl RemoteError {
    /// What the method is called that no such target has.
    pub(crate) fn is_unknown_method(&self) -> bool {
        self.code == -32601
    }

    /// As the failure of a call.
    pub(crate) fn failure(&self, method: &str) -> CaptureError {
        let why = format!("{} {}", self.code, self.message);
        if self.is_unknown_method() {
            let domain = method.split('.').next().unwrap_or(method);
            return CaptureError::new(Kind::Unsupported, format!("the target has no `{method}`"), why)
                .hint(format!("only V8's own inspector has the domain {domain}; Bun's has not"));
        }
        if self.message.starts_with("Cannot find context") {
            // Node.js has let go of the program's context and waits for the inspector to leave.
            return CaptureError::new(Kind::Gone, "the program has come to its end", why);
        }
        CaptureError::new(Kind::Protocol, format!("`{method}` failed"), why)
    }
}

/// What a message means to the one who talks to one isolate.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// A piece of a snapshot, the inside of a JSON string.
    Chunk(&'a str),
    /// Something happened; the parameters are JSON.
    Event { method: String, params: &'a str },
    /// The answer to the call with this id: the result as JSON.
    Reply { id: u64, result: std::result::Result<&'a str, RemoteError> },
    /// Of another isolate, or of no consequence.
    Other,
}

/// The state of one conversation with one isolate.
#[derive(Debug, Default)]
pub(crate) struct Core {
    route: Route,
    last_id: u64,
    /// The message inside of a worker's message.
    inner: String,
}

/// The fields that messages have. Values stay raw: most are not for us.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, rename = "sessionId")]
    session: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow, rename = "sessionId")]
    session: &'a RawValue,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct ChunkParams<'a> {
    #[serde(borrow)]
    chunk: &'a RawValue,
}

impl Core {
    /// Whom it is with.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// Talks to another isolate from now on. Ids go on, so that late answers are not taken for new ones.
    pub(crate) fn set_route(&mut self, route: Route) {
        self.route = route;
    }

    /// The message of a call, and its id.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> (u64, String) {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": params});
        let text = match &self.route {
            Route::Main => message.to_string(),
            Route::Target(session) => {
                message["sessionId"] = json!(session);
                message.to_string()
            }
            // The envelope has the same id: an error that answers it is an error of the call.
            Route::Worker(session) => json!({
                "id": id,
                "method": "NodeWorker.sendMessageToWorker",
                "params": {"sessionId": session, "message": message.to_string()},
            })
            .to_string(),
        };
        (id, text)
    }

    /// What a message means.
    ///
    /// # Errors
    /// [`Kind::Protocol`] for what is no message of the protocol.
    pub(crate) fn receive<'a>(&'a mut self, text: &'a str) -> Result<Incoming<'a>> {
        if let Some((chunk, session)) = plain_chunk(text) {
            let ours = match &self.route {
                Route::Main => session.is_none(),
                Route::Target(wanted) => session == Some(wanted),
                Route::Worker(_) => false,
            };
            return Ok(if ours { Incoming::Chunk(chunk) } else { Incoming::Other });
        }
        let envelope = Envelope::parse(text)?;
        let session = envelope.session.map(string).transpose()?;
        match (&self.route, session) {
            (Route::Main, None) => envelope.meaning(),
            (Route::Target(wanted), Some(session)) if *wanted == session => envelope.meaning(),
            (Route::Worker(wanted), None) if envelope.is(FROM_WORKER) => {
                let carried: Carried<'a> = envelope.params()?;
                if string(carried.session)? != *wanted {
                    return Ok(Incoming::Other);
                }
                self.inner.clear();
                let mut bytes = std::mem::take(&mut self.inner).into_bytes();
                let mut decoder = Decoder::default();
                decoder.decode(inside(carried.message)?.as_bytes(), &mut bytes).map_err(bad_escape)?;
                decoder.finish(&mut bytes);
                self.inner = String::from_utf8(bytes).map_err(|e| malformed(&e))?;
                match plain_chunk(&self.inner) {
                    Some((chunk, None)) => Ok(Incoming::Chunk(chunk)),
                    _ => Envelope::parse(&self.inner)?.meaning(),
                }
            }
            // What comes outside of the session of a worker or target: answers are of its envelope and count only where
            // they are errors; events (attached, detached) are for whoever keeps the list.
            (Route::Worker(_) | Route::Target(_), None) => Ok(match envelope.meaning()? {
                Incoming::Reply { result: Ok(_), .. } | Incoming::Chunk(_) => Incoming::Other,
                other => other,
            }),
            _ => Ok(Incoming::Other),
        }
    }
}

impl<'a> Envelope<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| malformed(&e))
    }

    fn is(&self, method: &str) -> bool {
        // Method names have nothing to escape.
        self.method.is_some_and(|raw| raw.get().trim_matches('"') == method)
    }

    fn params<T: Deserialize<'a>>(&self) -> Result<T> {
        let params = self.params.map_or("{}", RawValue::get);
        serde_json::from_str(params).map_err(|e| malformed(&e))
    }

    fn meaning(self) -> Result<Incoming<'a>> {
        if self.is(CHUNK) {
            let params: ChunkParams<'a> = self.params()?;
            return Ok(Incoming::Chunk(inside(params.chunk)?));
        }
        if let Some(method) = self.method {
            return Ok(Incoming::Event {
                method: string(method)?,
                params: self.params.map_or("{}", RawValue::get),
            });
        }
        let Some(id) = self.id else { return Ok(Incoming::Other) };
        let result = match self.error {
            Some(error) => {
                let body: ErrorBody = parse(error.get()).map_err(|e| malformed(&e))?;
                let detail = body.data.as_str().map(|data| format!(": {data}")).unwrap_or_default();
                Err(RemoteError { code: body.code, message: body.message + &detail })
            }
            None => Ok(self.result.map_or("{}", RawValue::get)),
        };
        Ok(Incoming::Reply { id, result })
    }
}

/// The chunk in a message that is written as V8 writes it, and its flat session; `None` for any other message.
fn plain_chunk(text: &str) -> Option<(&str, Option<&str>)> {
    if !text.starts_with(CHUNK_HEAD) {
        return None;
    }
    let end = string_end(text.as_bytes(), CHUNK_HEAD.len())?;
    let chunk = &text[CHUNK_HEAD.len()..end];
    match &text[end + 1..] {
        "}}" => Some((chunk, None)),
        tail => {
            let session = tail.strip_prefix(r#"},"sessionId":""#)?.strip_suffix(r#""}"#)?;
            let plain = !session.contains(['"', '\\']);
            plain.then_some((chunk, Some(session)))
        }
    }
}

/// The text between the quotes of a string.
fn inside(raw: &RawValue) -> Result<&str> {
    let text = raw.get();
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| malformed(&"a string is expected"))
}

fn string(raw: &RawValue) -> Result<String> {
    parse(raw.get()).map_err(|e| malformed(&e))
}

pub(crate) fn malformed(why: &dyn std::fmt::Display) -> CaptureError {
    CaptureError::new(Kind::Protocol, "a message of the target is not of the inspector protocol", why)
}

pub(crate) fn bad_escape(BadEscape(at): BadEscape) -> CaptureError {
    malformed(&format!("a string has a bad escape at byte {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core_of(route: Route) -> Core {
        let mut core = Core::default();
        core.set_route(route);
        core
    }

    fn meaning(core: &mut Core, text: &str) -> String {
        match core.receive(text) {
            Ok(Incoming::Chunk(chunk)) => format!("chunk {chunk}"),
            Ok(Incoming::Event { method, params }) => format!("event {method} {params}"),
            Ok(Incoming::Reply { id, result }) => format!("reply {id} {result:?}"),
            Ok(Incoming::Other) => "other".to_owned(),
            Err(error) => format!("error {error}"),
        }
    }

    #[test]
    fn chunks_are_told_by_their_method_however_they_are_written() {
        let mut core = Core::default();
        let plain = r#"{"method":"HeapProfiler.addHeapSnapshotChunk","params":{"chunk":"a\"}}\\"}}"#;
        assert_eq!(meaning(&mut core, plain), r#"chunk a\"}}\\"#);
        let spaced =
            r#"{ "params": {"x": [1], "chunk": "a\n"}, "method": "HeapProfiler.addHeapSnapshotChunk" }"#;
        assert_eq!(meaning(&mut core, spaced), r"chunk a\n");
        let more = r#"{"method":"HeapProfiler.addHeapSnapshotChunk","params":{"chunk":"ab","last":true}}"#;
        assert_eq!(meaning(&mut core, more), "chunk ab");
        let quoted =
            r#"{"method":"HeapProfiler.other","params":{"chunk":"HeapProfiler.addHeapSnapshotChunk"}}"#;
        assert!(meaning(&mut core, quoted).starts_with("event HeapProfiler.other"));
        assert!(meaning(&mut core, &plain[..plain.len() - 2]).starts_with("error"));
    }

    #[test]
    fn answers_and_errors() {
        let mut core = Core::default();
        let (id, text) = core.request("Runtime.enable", &json!({}));
        assert_eq!((id, text.as_str()), (1, r#"{"id":1,"method":"Runtime.enable","params":{}}"#));
        assert_eq!(meaning(&mut core, r#"{"id":1,"result":{"a":1}}"#), r#"reply 1 Ok("{\"a\":1}")"#);
        let error = core.receive(r#"{"error":{"code":-32000,"message":"no \ud83d"},"id":7}"#);
        let Ok(Incoming::Reply { id: 7, result: Err(error) }) = error else { panic!("{error:?}") };
        assert_eq!(error.failure("X.y").to_string(), "`X.y` failed: -32000 no \u{FFFD}");
        let gone = RemoteError { code: -32000, message: "Cannot find context with specified id".into() };
        assert_eq!(gone.failure("Runtime.evaluate").kind, Kind::Gone);
        assert_eq!(meaning(&mut core, r#"{"method":"A.b"}"#), "event A.b {}");
        assert_eq!(meaning(&mut core, "{}"), "other");
        for bad in ["", "[]", "nonsense", r#"{"id":"x"}"#, r#"{"id":1,"error":3}"#, r#"{"method":4}"#] {
            assert!(meaning(&mut core, bad).starts_with("error"), "{bad}");
        }
    }

    #[test]
    fn a_worker_speaks_through_strings() {
        let mut core = core_of(Route::Worker("3".to_owned()));
        let (_, text) = core.request("A.b", &json!({"x": "\""}));
        let sent: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(sent["method"], "NodeWorker.sendMessageToWorker");
        assert_eq!(sent["params"]["sessionId"], "3");
        assert_eq!(sent["params"]["message"], r#"{"id":1,"method":"A.b","params":{"x":"\""}}"#);
        let wrapped = |session: &str, inner: &str| {
            json!({"method": FROM_WORKER, "params": {"sessionId": session, "message": inner}}).to_string()
        };
        let chunk = format!(r#"{CHUNK_HEAD}\"a\\n\u00e9"}}}}"#);
        assert_eq!(meaning(&mut core, &wrapped("3", &chunk)), r#"chunk \"a\\n\u00e9"#);
        assert_eq!(meaning(&mut core, &wrapped("4", &chunk)), "other");
        assert_eq!(meaning(&mut core, &chunk), "other");
        assert_eq!(meaning(&mut core, &wrapped("3", r#"{"id":1,"result":{}}"#)), r#"reply 1 Ok("{}")"#);
        assert_eq!(meaning(&mut core, r#"{"id":1,"result":{}}"#), "other");
        assert!(meaning(&mut core, r#"{"id":1,"error":{"code":-1,"message":"m"}}"#).contains("Err"));
        assert!(meaning(&mut core, &wrapped("3", "nonsense")).starts_with("error"));
        let detached = r#"{"method":"NodeWorker.detachedFromWorker","params":{"sessionId":"3"}}"#;
        assert!(meaning(&mut core, detached).starts_with("event NodeWorker.detached"));
    }

    #[test]
    fn a_target_speaks_with_a_session() {
        let mut core = core_of(Route::Target("S".to_owned()));
        let (_, text) = core.request("A.b", &json!({}));
        assert_eq!(text, r#"{"id":1,"method":"A.b","params":{},"sessionId":"S"}"#);
        let chunk = |tail: &str| format!(r#"{CHUNK_HEAD}a\"}},\"sessionId\":\"S\"}}"}}{tail}"#);
        let body = r#"chunk a\"},\"sessionId\":\"S\"}"#;
        assert_eq!(meaning(&mut core, &chunk(r#","sessionId":"S"}"#)), body);
        assert_eq!(meaning(&mut core, &chunk(r#", "sessionId" : "S" }"#)), body);
        assert_eq!(meaning(&mut core, &chunk(r#","sessionId":"T"}"#)), "other");
        assert_eq!(meaning(&mut core, &chunk("}")), "other");
        assert_eq!(meaning(&mut Core::default(), &chunk(r#","sessionId":"S"}"#)), "other");
        assert_eq!(meaning(&mut core, r#"{"id":1,"result":{},"sessionId":"S"}"#), r#"reply 1 Ok("{}")"#);
        assert_eq!(meaning(&mut core, r#"{"id":1,"result":{},"sessionId":"T"}"#), "other");
    }
}
