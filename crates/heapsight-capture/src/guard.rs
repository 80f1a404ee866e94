//! What is left to do when this process is killed.
//!
//! Node.js crashes, in a few of a hundred cases, when the other end of an inspector's connection is gone at the moment in
//! which it has something to send: its thread for the inspector writes to a socket that it has just let go of
//! (`WsHandler::OnEof` and `WsHandler::Write` in `src/inspector_socket.cc`, Node.js 22.23). So nobody may be gone so: a
//! second process has all connections too, and if this one ends without having ended them, however it ends, that one
//! waits until nothing comes any more, asks for the inspector to be closed if we had opened it, and hangs up as the
//! protocol has it.
//!
//! That process is started with the first connection ([`install`] says how), is in a group of its own, so that what is
//! sent to ours does not reach it, and ends with ours. Whoever kills both is back where he was before. Where it cannot be
//! started captures go on without.

use std::{fmt, process::Command, sync::OnceLock};

/// How the second process is started: a command that calls [`run`].
static START: OnceLock<fn() -> Command> = OnceLock::new();

/// Says how to start the process that calls [`run`]; without, there is none. Its standard streams are set here.
pub fn install(start: fn() -> Command) {
    // Whoever comes first.
    let _ = START.set(start);
}

/// A connection that is looked after.
pub(crate) struct Guarded {
    id: u64,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("id", &self.id).finish()
    }
}

#[cfg(target_os = "linux")]
pub use linux::{end, run};

/// There is no such process here.
#[cfg(not(target_os = "linux"))]
pub fn run() {}

/// There is no such process here.
#[cfg(not(target_os = "linux"))]
pub fn end() {}

#[cfg(not(target_os = "linux"))]
impl Guarded {
    pub(crate) fn new(_: &std::net::TcpStream) -> Option<Self> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeMap,
        io::{ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _},
        mem::MaybeUninit,
        net::TcpStream,
        os::fd::{AsFd, BorrowedFd, OwnedFd},
        os::unix::process::CommandExt as _,
        process::{Child, Stdio},
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicU64, Ordering},
        },
        thread,
        time::{Duration, Instant},
    };

    use rustix::{
        io::Errno,
        net::{
            AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
            SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
        },
    };

    use super::{Guarded, START};

    /// What a message is about: a connection (with it), what is asked last (with what is held until then), and that a
    /// connection has ended.
    const ADD: u8 = 0;
    const FAREWELL: u8 = 1;
    const REMOVE: u8 = 2;

    /// The longest message.
    const MOST: usize = 4096;

    /// Nothing more comes when nothing has come for so long.
    const QUIET: Duration = Duration::from_millis(150);

    /// How long that is waited for: a snapshot that nobody wants any more is sent to its end.
    const SILENCE_WITHIN: Duration = Duration::from_secs(60);

    /// How long an answer is waited for.
    const ANSWER_WITHIN: Duration = Duration::from_secs(5);

    /// How long the answer to hanging up is waited for.
    const END_WITHIN: Duration = Duration::from_secs(2);

    /// Hanging up, as a client does it: masked, with a mask of zeros.
    const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

    /// The way to the second process.
    enum Way {
        NotYet,
        Open(OwnedFd, Child),
        None,
    }

    /// How long the end of the second process is waited for.
    const REAP_WITHIN: Duration = Duration::from_secs(2);

    static WAY: Mutex<Way> = Mutex::new(Way::NotYet);
    static NEXT: AtomicU64 = AtomicU64::new(0);

    fn start() -> Option<Way> {
        let mut command = START.get()?();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).ok()?;
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        command.arg0("heapsight").current_dir("/").env_clear().process_group(0);
        // It ends when our end of the way is closed, which is at the latest when we end.
        Some(Way::Open(ours, command.spawn().ok()?))
    }

    /// Ends the second process, when no connection is left. Where nobody waits for orphans, in a container whose first
    /// process is the program, a zombie would stay otherwise.
    pub fn end() {
        let way = std::mem::replace(&mut *WAY.lock().unwrap_or_else(PoisonError::into_inner), Way::None);
        let Way::Open(socket, mut child) = way else { return };
        drop(socket);
        let begun = Instant::now();
        while begun.elapsed() < REAP_WITHIN && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Tells the second process; whether it could be told.
    fn tell(kind: u8, id: u64, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> bool {
        let mut way = WAY.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*way, Way::NotYet) {
            *way = start().unwrap_or(Way::None);
        }
        let Way::Open(socket, _) = &*way else { return false };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return false;
        }
        let head = [&[kind][..], &id.to_le_bytes()].concat();
        let parts = [IoSlice::new(&head), IoSlice::new(bytes)];
        // One that does not read is no reason to wait.
        sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_ok()
    }

    impl Guarded {
        /// Has a connection looked after.
        pub(crate) fn new(stream: &TcpStream) -> Option<Self> {
            START.get()?;
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            tell(ADD, id, &[], &[stream.as_fd()]).then_some(Self { id })
        }

        /// What is asked before hanging up, if it comes to that, and what is held until it is done.
        pub(crate) fn farewell(&self, text: &str, held: Option<BorrowedFd<'_>>) {
            let frame = frame(text);
            if frame.len() < MOST {
                tell(FAREWELL, self.id, &frame, held.as_slice());
            }
        }
    }

    impl Drop for Guarded {
        fn drop(&mut self) {
            tell(REMOVE, self.id, &[], &[]);
        }
    }

    /// A text as a client sends it, with a mask of zeros.
    fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81];
        match u16::try_from(text.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 0x7e);
                frame.extend(length.unwrap_or(u16::MAX).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        frame
    }

    /// A connection of the first process.
    #[derive(Default)]
    struct Watched {
        stream: Option<TcpStream>,
        farewell: Vec<u8>,
        held: Option<OwnedFd>,
    }

    /// The second process: takes in connections from its standard input until that ends, and then ends them.
    pub fn run() {
        let mut all: BTreeMap<u64, Watched> = BTreeMap::new();
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [0; MOST + 16];
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let received =
                match recvmsg(rustix::stdio::stdin(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                    Ok(received) => received.bytes,
                    Err(Errno::INTR) => continue,
                    Err(_) => break,
                };
            let descriptor = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut all) => all.next(),
                _ => None,
            });
            let Some(([kind], rest)) = bytes.get(..received).and_then(|bytes| bytes.split_first_chunk())
            else {
                break;
            };
            let Some((id, rest)) = rest.split_first_chunk() else { break };
            let id = u64::from_le_bytes(*id);
            match *kind {
                ADD => all.entry(id).or_default().stream = descriptor.map(TcpStream::from),
                FAREWELL => {
                    let watched = all.entry(id).or_default();
                    (watched.farewell, watched.held) = (rest.to_vec(), descriptor);
                }
                _ => drop(all.remove(&id)),
            }
        }
        let threads: Vec<_> = all
            .into_values()
            .filter_map(|watched| thread::Builder::new().spawn(move || watched.leave()).ok())
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
    }

    impl Watched {
        /// Hangs up, and lets go of what was held until then.
        fn leave(self) {
            if let Some(stream) = &self.stream {
                hang_up(stream, &self.farewell);
            }
            drop(self.held);
        }
    }

    /// Hangs up when nothing is under way.
    fn hang_up(stream: &TcpStream, farewell: &[u8]) {
        let mut out = stream;
        match hush(stream, QUIET, SILENCE_WITHIN) {
            Hush::Gone => return,
            Hush::Quiet if !farewell.is_empty() => {
                if out.write_all(farewell).is_err() {
                    return;
                }
                // The answer, and then at once: what was asked for happens a moment after it.
                if matches!(first(stream, ANSWER_WITHIN), Hush::Gone) {
                    return;
                }
            }
            // Who wants to end waits for the answer to that.
            Hush::Quiet | Hush::End => {}
        }
        if out.write_all(&CLOSE).is_ok() {
            let begun = Instant::now();
            while begun.elapsed() < END_WITHIN && !matches!(first(stream, END_WITHIN), Hush::Gone) {}
        }
    }

    /// What a connection has come to.
    enum Hush {
        /// Nothing comes.
        Quiet,
        /// The other side wants to end it.
        End,
        /// It has ended.
        Gone,
    }

    /// Whether the other side ends the connection with what it has sent last. Where frames begin is not known here; but text
    /// has no such bytes.
    fn is_end(bytes: &[u8]) -> bool {
        // Without a status (Node.js), or with one (Deno).
        bytes.ends_with(&[0x88, 0]) || matches!(bytes, [.., 0x88, 2, _, _])
    }

    /// Reads until nothing comes, or the other side wants to end.
    fn hush(stream: &TcpStream, quiet: Duration, within: Duration) -> Hush {
        let begun = Instant::now();
        loop {
            let bytes = match read(stream, quiet) {
                Ok(bytes) => bytes,
                Err(hush) => return hush,
            };
            if is_end(&bytes) {
                return Hush::End;
            }
            if begun.elapsed() >= within {
                return Hush::Quiet;
            }
        }
    }

    /// What comes first; nothing is quiet.
    fn first(stream: &TcpStream, within: Duration) -> Hush {
        match read(stream, within) {
            Ok(bytes) if is_end(&bytes) => Hush::End,
            Ok(_) => Hush::Quiet,
            Err(hush) => hush,
        }
    }

    fn read(mut stream: &TcpStream, within: Duration) -> Result<Vec<u8>, Hush> {
        let mut bytes = vec![0; 64 << 10];
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(within));
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return Err(Hush::Gone),
                Ok(length) => {
                    bytes.truncate(length);
                    return Ok(bytes);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Hush::Quiet),
                    _ => return Err(Hush::Gone),
                },
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_end_is_known_by_its_bytes() {
            assert!(is_end(&[b'}', 0x88, 0]) && is_end(&[0x88, 2, 3, 0xe8]));
            assert!(!is_end(b"{}") && !is_end(&[]) && !is_end(&[0x88]));
        }

        #[test]
        fn texts_are_framed_as_clients_do() {
            assert_eq!(frame("ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
            let long = frame(&"x".repeat(300));
            assert_eq!(long[..8], [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
            assert_eq!(long.len(), 308);
        }
    }
}
