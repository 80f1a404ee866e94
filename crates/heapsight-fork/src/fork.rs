//! The fork itself, on the thread whose isolate is captured.

use crate::{
    child,
    child::Wakers,
    mappings::{Known, Lines, Mapping, Marked, Range},
    process,
    process::Profiler,
    syscall,
    syscall::number,
};
use core::{
    ffi::c_void,
    sync::atomic::{AtomicU64, Ordering},
};

/// The pipes between the child and whoever captures, each read end first.
///
/// The child keeps all ends until the reader has opened those it wants through `/proc/<child>/fd`; so no descriptor is
/// left in the parent, and no file is made.
#[derive(Debug)]
pub struct Pipes {
    /// The snapshot.
    pub data: [i32; 2],
    /// Standard error of the child, and its report.
    pub status: [i32; 2],
    /// One byte to the child: somebody reads.
    pub go: [i32; 2],
}

impl Pipes {
    fn new() -> Result<Self, isize> {
        const SET_PIPE_SIZE: usize = 1031;
        let mut made = [[-1; 2]; 3];
        for i in 0..made.len() {
            match syscall::pipe() {
                Ok(ends) => made[i] = ends,
                Err(error) => {
                    close_all(made.as_flattened());
                    return Err(error);
                }
            }
        }
        let [data, status, go] = made;
        // What the user's limits allow; the default is 64 KiB.
        for size in [1 << 20, 256 << 10] {
            if syscall::fcntl(data[1], SET_PIPE_SIZE, size) >= 0 {
                break;
            }
        }
        Ok(Self { data, status, go })
    }

    /// All ends.
    pub fn all(&self) -> [i32; 6] {
        let Self { data, status, go } = self;
        [data[0], data[1], status[0], status[1], go[0], go[1]]
    }
}

fn close_all(ends: &[i32]) {
    for &end in ends {
        if end >= 0 {
            // SAFETY: made by `Pipes::new`.
            unsafe { syscall::close(end) };
        }
    }
}

/// The mappings that are made inheritable for the fork and no longer than that.
struct Inheritable {
    /// Those that are marked again.
    ranges: *mut Range,
    count: usize,
}

/// Lazily backed, so only what is used costs memory; many times what the kernel allows a process by default.
const MOST_RANGES: usize = 1 << 20;
const RANGE_BYTES: usize = MOST_RANGES * size_of::<Range>();
const DONTFORK: usize = 10;
const DOFORK: usize = 11;

impl Inheritable {
    /// Makes all mappings inheritable. What was `known` to be marked shortly before is marked again afterwards; nothing
    /// known means that it is to be found out, which takes as long as a fork.
    fn make(known: &[f64]) -> Result<Self, isize> {
        // SAFETY: a fresh private mapping without reserve; no address is prescribed.
        let ranges = unsafe { syscall::call(number::MMAP, [0, RANGE_BYTES, 3, 0x4022, usize::MAX, 0]) };
        if (-4095..0).contains(&ranges) {
            return Err(ranges);
        }
        let mut this = Self { ranges: ranges as *mut Range, count: 0 };
        // On failure `this` takes back what was changed.
        if known.is_empty() {
            let mut marked = Marked::default();
            for_lines(b"/proc/self/smaps\0", |line| {
                if let Some(range) = marked.line(line) {
                    this.add(range);
                }
            })?;
            this.advise(DOFORK);
        } else {
            let mut known = Known::new(known);
            for_lines(b"/proc/self/maps\0", |line| {
                let Some(Mapping { range, private: true, anonymous: true }) = Mapping::parse(line) else {
                    return;
                };
                // Without effect where there is no mark. A mapping that V8 has made and marked since stays inheritable,
                // which costs later forks some time. Whoever tells V8's heap by the mark must know it by its address, too.
                advise(range, DOFORK);
                known.within(range, |marked| this.add(marked));
            })?;
        }
        Ok(this)
    }

    fn add(&mut self, range: Range) {
        // SAFETY: within the mapping of `make`; entries below `count` are initialised.
        unsafe {
            if self.count > 0 {
                let last = &mut *self.ranges.add(self.count - 1);
                if last.end == range.start {
                    last.end = range.end;
                    return;
                }
            }
            if self.count < MOST_RANGES {
                self.ranges.add(self.count).write(range);
                self.count += 1;
            }
        }
    }

    fn advise(&self, advice: usize) {
        for i in 0..self.count {
            // SAFETY: entries below `count` are initialised.
            advise(unsafe { *self.ranges.add(i) }, advice);
        }
    }
}

/// Says whether a child inherits a range.
fn advise(Range { start, end }: Range, advice: usize) {
    // SAFETY: neither content nor protection changes. A range that another thread has unmapped meanwhile is an error
    // without effect.
    unsafe { syscall::call(number::MADVISE, [start, end.saturating_sub(start), advice, 0, 0, 0]) };
}

/// Hands out the lines of a file.
fn for_lines(path: &[u8], mut found: impl FnMut(&[u8])) -> Result<(), isize> {
    let file = syscall::open(path, 0);
    if file < 0 {
        return Err(file);
    }
    let mut lines = Lines::default();
    let mut buffer = [0_u8; 16 << 10];
    let end = loop {
        let n = syscall::read(file as i32, &mut buffer);
        if n <= 0 {
            break n;
        }
        lines.feed(buffer.get(..n as usize).unwrap_or(&[]), &mut found);
    };
    // SAFETY: opened above.
    unsafe { syscall::close(file as i32) };
    if end < 0 { Err(end) } else { Ok(()) }
}

impl Drop for Inheritable {
    fn drop(&mut self) {
        self.advise(DONTFORK);
        // SAFETY: mapped by `make`, and no longer used.
        unsafe { syscall::call(number::MUNMAP, [self.ranges as usize, RANGE_BYTES, 0, 0, 0, 0]) };
    }
}

/// What JavaScript learns of a fork, as the elements of a `Float64Array`.
#[derive(Debug)]
pub struct Outcome<'a>(pub &'a mut [f64]);

impl Outcome<'_> {
    /// Elements of the array.
    pub const LENGTH: usize = 12;

    fn set(&mut self, index: usize, value: f64) {
        if let Some(element) = self.0.get_mut(index) {
            *element = value;
        }
    }
}

const EAGAIN: i32 = 11;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// Forks. Returns 0 in the child, and in the parent the child's process id in the parent's namespace or a negative error
/// number: `ENOSYS` if the C library has no functions that wake threads, `EOPNOTSUPP` if V8 hides those that give ids.
///
/// `known` has the ranges that were marked a moment ago, as [`Known`] takes them, or nothing.
///
/// `outcome` gets, in both: nanoseconds that the thread was stopped by all of this (0); of these for tracking (1), for
/// making the heap inheritable (2) and for the system call (3); the six ends of the [`Pipes`] (4 to 9) as their numbers
/// in the child; inheritable ranges (10); and whether the ids of objects are kept (11).
///
/// # Safety
///
/// To be called on a thread that runs an isolate. In the child only the captured isolate's own thread goes on.
pub unsafe fn fork(track: bool, known: &[f64], outcome: &mut Outcome<'_>) -> i32 {
    let begun = syscall::monotonic();
    if track && !Profiler::current().is_some_and(Profiler::track) {
        return -EOPNOTSUPP;
    }
    outcome.set(11, f64::from(u8::from(track)));
    let ready = syscall::monotonic();
    outcome.set(1, (ready - begun) as f64);

    let Some(wakers) = Wakers::find() else { return -ENOSYS };
    let pipes = match Pipes::new() {
        Ok(pipes) => pipes,
        Err(error) => return error as i32,
    };
    for (i, end) in pipes.all().into_iter().enumerate() {
        outcome.set(4 + i, f64::from(end));
    }
    let inheritable = match Inheritable::make(known) {
        Ok(inheritable) => inheritable,
        Err(error) => {
            close_all(&pipes.all());
            return error as i32;
        }
    };
    outcome.set(10, inheritable.count as f64);
    let prepared = syscall::monotonic();
    outcome.set(2, (prepared - ready) as f64);

    // No handler of the target may run in the child, and none in the thread that waits for it.
    let parent = syscall::getpid();
    let mask = syscall::sigmask(u64::MAX);
    // SAFETY: the child goes on in `settle`, which is made for it.
    let forked = unsafe { process::fork() };
    if forked == 0 {
        core::mem::forget(inheritable);
        // SAFETY: this is the child, and all signals are blocked.
        unsafe { child::settle(&pipes, parent, wakers) };
        return 0;
    }
    let error = process::error();
    outcome.set(3, (syscall::monotonic() - prepared) as f64);
    drop(inheritable);
    close_all(&pipes.all());
    let mut result = if forked > 0 { forked } else { -error };
    if forked > 0 && !process::spawn(reap, forked as usize) {
        // Nobody could wait for the child, and a zombie would stay.
        // SAFETY: the child was made above and is not waited for yet, so its id is its own.
        unsafe { syscall::call(number::KILL, [forked as usize, 9, 0, 0, 0, 0]) };
        let _ = syscall::wait(forked);
        result = -EAGAIN;
    }
    syscall::sigmask(mask);
    outcome.set(0, (syscall::monotonic() - begun) as f64);
    result
}

/// How the last children ended: process id in the upper half, wait status in the lower.
static ENDED: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A wait status that no process has: another part of the target has waited for the child.
const UNKNOWN: i32 = 0x7fff_ffff;

/// The thread that waits for a child, so that none stays as a zombie whoever else lives.
extern "C" fn reap(child: *mut c_void) -> *mut c_void {
    let child = child as usize as i32;
    let status = syscall::wait(child).unwrap_or(UNKNOWN);
    let slot = NEXT.fetch_add(1, Ordering::Relaxed) as usize % ENDED.len();
    if let Some(ended) = ENDED.get(slot) {
        ended.store((child as u64) << 32 | u64::from(status as u32), Ordering::Release);
    }
    core::ptr::null_mut()
}

/// The wait status of a child that has ended, or -1.
pub fn ended(child: i32) -> i32 {
    let last = ENDED.iter().map(|ended| ended.load(Ordering::Acquire));
    last.filter(|ended| (ended >> 32) as i32 == child).map(|ended| ended as u32 as i32).next().unwrap_or(-1)
}
