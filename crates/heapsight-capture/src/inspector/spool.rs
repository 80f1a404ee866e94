//! What stands between a target that sends and a sink that may be slow.
//!
//! A target never waits for its client: what the client does not read stays in the target's memory, hundreds of
//! megabytes of it. So the thread that reads the connection never waits for the sink. It hands blocks to a thread that
//! writes; what that thread has not taken is kept in memory up to [`MEMORY`], beyond it in a file without a name (it
//! is gone with this process, however that ends). Where no such file can be made or written, memory takes all: better
//! ours than the target's.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How much is kept in memory before the file is used, in bytes.
pub(crate) const MEMORY: usize = 64 << 20;

/// What the writer takes from the file at once.
const BLOCK: usize = 1 << 20;

/// Blocks on their way from the connection to the sink.
pub(crate) struct Spool<'a> {
    state: Mutex<State>,
    changed: Condvar,
    dir: &'a Path,
    memory: usize,
}

#[derive(Default)]
struct State {
    /// The oldest blocks.
    blocks: VecDeque<Vec<u8>>,
    /// What came behind them.
    overflow: Option<Overflow>,
    /// What came behind what is in the file, which could not take it.
    younger: VecDeque<Vec<u8>>,
    /// Bytes in both queues.
    in_memory: usize,
    /// The file cannot be had; it is not tried again.
    no_file: bool,
    /// Nothing more will come.
    ended: bool,
    /// What is left is not to be written.
    dropped: bool,
    failure: Option<io::Error>,
    written: u64,
    spare: Vec<Vec<u8>>,
}

struct Overflow {
    file: Arc<File>,
    read: u64,
    end: u64,
}

impl State {
    fn backlog(&self) -> u64 {
        self.in_memory as u64 + self.overflow.as_ref().map_or(0, |o| o.end - o.read)
    }
}

enum Work {
    Block(Vec<u8>),
    InFile(Arc<File>, u64, usize),
    Done,
}

impl<'a> Spool<'a> {
    /// A spool that makes its file, if it needs one, in `dir`.
    pub(crate) fn new(dir: &'a Path) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), dir, memory: MEMORY }
    }

    /// Runs `produce` on this thread, which pushes, while another thread writes to `sink`. What `produce` leaves behind
    /// is written before this returns, unless it fails. Gives what it gave, and the failure of the sink if it had one.
    pub(crate) fn run<T>(
        &self,
        sink: &mut (dyn Write + Send),
        produce: impl FnOnce(&Self) -> crate::Result<T>,
    ) -> (crate::Result<T>, Option<io::Error>) {
        std::thread::scope(|scope| {
            let writer =
                std::thread::Builder::new().name("spool".to_owned()).spawn_scoped(scope, || self.write(sink));
            let writer = match writer {
                Ok(writer) => writer,
                Err(error) => {
                    let failure = crate::CaptureError::io("cannot start a thread that writes", &error);
                    return (Err(failure), None);
                }
            };
            // Also where it panics: the writer must end or the scope never does.
            let end = EndOnDrop(self);
            let result = produce(self);
            {
                let mut state = self.lock();
                state.ended = true;
                state.dropped |= result.is_err();
            }
            drop(end);
            let _ = writer.join();
            (result, self.lock().failure.take())
        })
    }

    /// Hands over a block; never waits for the sink.
    pub(crate) fn push(&self, block: Vec<u8>) {
        if block.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.failure.is_some() {
            return;
        }
        let full = state.in_memory + block.len() > self.memory;
        if (full || state.overflow.is_some()) && self.spill(&mut state, &block) {
            state.keep(block);
        } else {
            state.in_memory += block.len();
            let queue = if state.overflow.is_some() { &mut state.younger } else { &mut state.blocks };
            queue.push_back(block);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// An empty block, used before if possible.
    pub(crate) fn block(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    /// Bytes that wait for the sink.
    #[cfg(test)]
    fn backlog(&self) -> u64 {
        self.lock().backlog()
    }

    /// Bytes that the sink has taken.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Whether the sink has failed, so that all else is in vain.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// Waits until the sink has taken everything, at most `timeout`; says whether it has.
    pub(crate) fn drained(&self, timeout: Duration) -> bool {
        let state = self.lock();
        let more = |s: &mut State| s.backlog() > 0 && s.failure.is_none();
        let (state, _) =
            self.changed.wait_timeout_while(state, timeout, more).unwrap_or_else(PoisonError::into_inner);
        state.backlog() == 0 || state.failure.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a block to the file; says whether that went well.
    fn spill(&self, state: &mut State, block: &[u8]) -> bool {
        if state.no_file {
            return false;
        }
        if state.overflow.is_none() {
            state.overflow =
                nameless(self.dir).ok().map(|file| Overflow { file: Arc::new(file), read: 0, end: 0 });
        }
        let written = state.overflow.as_mut().is_some_and(|overflow| {
            let written = overflow.file.write_all_at(block, overflow.end).is_ok();
            overflow.end += if written { block.len() as u64 } else { 0 };
            written
        });
        state.no_file = !written;
        // A file that took nothing would never be read to its end.
        state.overflow = state.overflow.take().filter(|o| o.read < o.end);
        written
    }

    fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            if state.dropped || state.failure.is_some() {
                return Work::Done;
            }
            if let Some(block) = state.blocks.pop_front() {
                return Work::Block(block);
            }
            if let Some(o) = &state.overflow {
                let len = (o.end - o.read).min(BLOCK as u64) as usize;
                return Work::InFile(Arc::clone(&o.file), o.read, len);
            }
            if state.ended {
                return Work::Done;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, sink: &mut (dyn Write + Send)) {
        let mut buffer = Vec::new();
        loop {
            let (result, len) = match self.next() {
                Work::Done => break,
                Work::Block(block) => {
                    let (result, len) = (sink.write_all(&block), block.len());
                    let mut state = self.lock();
                    state.in_memory -= len;
                    state.keep(block);
                    (result, len)
                }
                Work::InFile(file, at, len) => {
                    buffer.resize(len, 0);
                    let result = file.read_exact_at(&mut buffer, at).and_then(|()| sink.write_all(&buffer));
                    let mut state = self.lock();
                    let done = state.overflow.as_mut().is_some_and(|o| {
                        o.read += len as u64;
                        o.read == o.end
                    });
                    if done {
                        // The space is given back; if there is need again, there is a new file.
                        state.overflow = None;
                        let state = &mut *state;
                        state.blocks.append(&mut state.younger);
                    }
                    (result, len)
                }
            };
            let mut state = self.lock();
            match result {
                Ok(()) => state.written += len as u64,
                Err(error) => state.failure = Some(error),
            }
            drop(state);
            self.changed.notify_all();
        }
        let failure = sink.flush().err();
        let mut state = self.lock();
        if state.failure.is_none() && !state.dropped {
            state.failure = failure;
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    fn keep(&mut self, mut block: Vec<u8>) {
        if self.spare.len() < 4 {
            block.clear();
            self.spare.push(block);
        }
    }
}

struct EndOnDrop<'s, 'a>(&'s Spool<'a>);

impl Drop for EndOnDrop<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        // Where it comes here with a panic, nothing has said that the rest is wanted.
        state.dropped |= !state.ended;
        state.ended = true;
        drop(state);
        self.0.changed.notify_all();
    }
}

/// A file without a name, that only we can read.
fn nameless(dir: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let mode = Mode::RUSR | Mode::WUSR;
    #[cfg(target_os = "linux")]
    if let Ok(file) = open(dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        return Ok(file.into());
    }
    // File systems without such files: it loses its name at once.
    let path = dir.join(format!(".heapsight-spool-{}", std::process::id()));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = open(&path, flags, mode)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A sink that waits for leave before each write.
    struct Slow(mpsc::Receiver<()>, Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn number(n: u32) -> Vec<u8> {
        n.to_le_bytes().repeat(300)
    }

    fn spooled(memory: usize, dir: &Path) -> (Vec<u8>, u64) {
        let (leave, wait) = mpsc::channel();
        let mut sink = Slow(wait, Vec::new());
        let mut spool = Spool::new(dir);
        spool.memory = memory;
        let (result, failure) = spool.run(&mut sink, |spool| {
            for n in 0..500 {
                spool.push(number(n));
            }
            let backlog = spool.backlog();
            // Half is taken, more comes, then all is taken.
            for _ in 0..3 {
                leave.send(()).unwrap();
            }
            for n in 500..600 {
                spool.push(number(n));
            }
            drop(leave);
            while !spool.drained(Duration::from_millis(1)) {}
            Ok(backlog)
        });
        assert!(failure.is_none());
        (sink.1, result.unwrap())
    }

    #[test]
    fn a_slow_sink_gets_everything_in_order_from_memory_and_file() {
        let expected: Vec<u8> = (0..600).flat_map(number).collect();
        let dir = tempfile::tempdir().unwrap();
        for memory in [0, 1200, 10_000, MEMORY] {
            let (got, backlog) = spooled(memory, dir.path());
            assert!(got == expected, "with {memory} bytes of memory");
            assert_eq!(backlog, 500 * 1200);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn where_there_is_no_file_memory_takes_all() {
        let (got, _) = spooled(1000, Path::new("/nonexistent"));
        assert_eq!(got.len(), 600 * 1200);
    }

    #[test]
    fn a_sink_that_fails_ends_the_writing_and_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let spool = Spool::new(Path::new("/tmp"));
        let (result, failure) = spool.run(&mut Full, |spool| {
            spool.push(number(1));
            while !spool.has_failed() {
                std::thread::yield_now();
            }
            spool.push(number(2));
            Ok(spool.drained(Duration::from_secs(10)))
        });
        assert!(result.unwrap());
        assert_eq!(failure.unwrap().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_a_failed_capture_left_is_not_written() {
        let mut sink = Vec::new();
        let spool = Spool::new(Path::new("/tmp"));
        let (result, failure) = spool.run(&mut sink, |_| -> crate::Result<()> {
            Err(crate::CaptureError::new(crate::Kind::Gone, "x", "y"))
        });
        assert!(result.is_err() && failure.is_none() && sink.is_empty());
    }
}
