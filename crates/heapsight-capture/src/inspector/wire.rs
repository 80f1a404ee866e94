//! One WebSocket to an inspector: text messages in and out, each wait bounded.
//!
//! Messages may be as large as a whole sampling profile, which comes in one; so the limits are wide. Reading has its own
//! short timeout, after which a caller may look at its clock; a message that has come in part is kept.

use std::{
    io::ErrorKind,
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use tungstenite::{
    Error as WsError, HandshakeError, Message, Utf8Bytes, WebSocket,
    client::{IntoClientRequest as _, client_with_config},
    error::ProtocolError,
    protocol::WebSocketConfig,
};

use super::endpoint::{Endpoint, seconds};
use crate::{
    error::{CaptureError, Kind, Result},
    guard::Guarded,
};

/// The largest message that is accepted, in bytes.
const MOST: usize = 4 << 30;

/// How long a read waits before the caller gets to look around.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// How long the other side may refuse to take what we send; these are a few hundred bytes.
const SEND: Duration = Duration::from_secs(10);

/// A connection to one endpoint.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: WebSocket<TcpStream>,
    /// Ends it if we cannot.
    guarded: Option<Guarded>,
    name: String,
    /// Whether the connection has ended, so that nothing is waited for in vain.
    ended: bool,
}

impl Wire {
    /// Connects and upgrades.
    pub(crate) fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self> {
        let deadline = Instant::now() + timeout;
        let name = endpoint.server.address.to_string();
        let what = || format!("cannot open a WebSocket to {name}");
        let stream = endpoint.server.connect(timeout)?;
        let io = |e: &std::io::Error| CaptureError::io(what(), e);
        stream.set_nodelay(true).map_err(|e| io(&e))?;
        stream.set_write_timeout(Some(SEND)).map_err(|e| io(&e))?;
        stream.set_read_timeout(Some(TICK)).map_err(|e| io(&e))?;
        let request = endpoint
            .url()
            .into_client_request()
            .map_err(|e| CaptureError::new(Kind::Protocol, what(), format!("its path is no path: {e}")))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(256 << 10)
            .max_message_size(Some(MOST))
            .max_frame_size(Some(MOST));
        let guarded = Guarded::new(&stream);
        let mut attempt = client_with_config(request, stream, Some(config));
        loop {
            match attempt {
                Ok((socket, _)) => return Ok(Self { socket, guarded, name, ended: false }),
                Err(HandshakeError::Interrupted(waiting)) if Instant::now() < deadline => {
                    attempt = waiting.handshake();
                }
                Err(HandshakeError::Interrupted(_)) => {
                    return Err(CaptureError::new(
                        Kind::Timeout,
                        what(),
                        format!("connected, but no answer within {}", seconds(timeout)),
                    ));
                }
                Err(HandshakeError::Failure(WsError::Http(reply))) => {
                    return Err(CaptureError::new(
                        Kind::NotFound,
                        what(),
                        format!("it has no {} (status {})", endpoint.path, reply.status()),
                    )
                    .hint(
                        "the path is new each time that an inspector is opened; name HOST:PORT to look it up",
                    ));
                }
                Err(HandshakeError::Failure(WsError::Io(error))) => return Err(io(&error)),
                Err(HandshakeError::Failure(error)) => {
                    return Err(CaptureError::new(Kind::Protocol, what(), error));
                }
            }
        }
    }

    /// Who looks after it.
    pub(crate) fn guarded(&self) -> Option<&Guarded> {
        self.guarded.as_ref()
    }

    /// Where it leads.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the other side has ended it.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, text: String) -> Result<()> {
        if self.ended {
            return Err(self.gone("it has ended"));
        }
        self.socket.send(Message::text(text)).map_err(|e| self.failure(e))
    }

    /// The next message; `None` if there is none after [`TICK`].
    pub(crate) fn receive(&mut self) -> Result<Option<Utf8Bytes>> {
        if self.ended {
            return Err(self.gone("it has ended"));
        }
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(Some(text)),
                Ok(Message::Close(frame)) => {
                    let why = frame.filter(|f| !f.reason.is_empty()).map(|f| f.reason.to_string());
                    self.ended = true;
                    // The answer to it is owed, and not waited for.
                    let _ = self.socket.flush();
                    return Err(self.gone(why.as_deref().unwrap_or("the target closed it")));
                }
                Ok(_) => {}
                Err(WsError::Io(e)) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(WsError::Io(e)) if e.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
    }

    /// Ends the connection with the protocol's own word, and reads what is left of it until the other side has ended it too.
    pub(crate) fn close(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        if !self.ended && self.socket.close(None).is_err() {
            self.ended = true;
        }
        self.read_out(deadline);
    }

    /// Ends the line without a word, for a side that has nothing to send any more, and waits until it has ended it too.
    pub(crate) fn hang_up(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        if self.socket.get_ref().shutdown(Shutdown::Write).is_err() {
            self.ended = true;
        }
        self.read_out(deadline);
    }

    fn read_out(&mut self, deadline: Instant) {
        while !self.ended && Instant::now() < deadline {
            match self.socket.read() {
                Ok(_) => {}
                Err(WsError::Io(e))
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(_) => self.ended = true,
            }
        }
        self.ended = true;
    }

    fn gone(&self, why: &str) -> CaptureError {
        CaptureError::new(Kind::Gone, format!("the connection to {} ended", self.name), why)
    }

    fn failure(&mut self, error: WsError) -> CaptureError {
        match error {
            WsError::Io(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                CaptureError::new(
                    Kind::Timeout,
                    format!("cannot send to {}", self.name),
                    format!("it has taken nothing for {}", seconds(SEND)),
                )
            }
            WsError::Io(e) => {
                self.ended = true;
                self.gone(&e.to_string())
            }
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => {
                self.ended = true;
                self.gone("the target closed it or has exited")
            }
            other => {
                self.ended = true;
                CaptureError::new(Kind::Protocol, format!("{} does not speak the protocol", self.name), other)
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !self.ended {
            // A polite end, as far as it goes without waiting.
            let _ = self.socket.get_ref().set_write_timeout(Some(TICK));
            let _ = self.socket.close(None);
        }
        // Also for whoever else has it.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }
}
