//! What a forked child does before JavaScript goes on in it: it becomes a process that can do nothing but write its
//! heap and end.
//!
//! - It dies with the thread that forked it, when nobody reads its output any more, and when it waits for a thread that
//!   it does not have.
//! - No signal runs a handler of the target. Those that mean a crash kill it, without a core dump.
//! - Every descriptor but the pipes is replaced by `/dev/null`. Else connections that the parent closes would stay open
//!   here; and plainly closed they would make libuv abort, which wakes its loop through one of them.
//! - The kernel kills it first when memory is short, and runs it last when processors are.
//! - `pthread_cond_signal` and `_broadcast` do nothing. V8's garbage collector wakes its worker threads, which do not
//!   exist here, and glibc would wait for them; so the thread that is left does all the work.
//! - A system call filter ([`filter`]) takes the rest.

use crate::{context::Registers, filter, fork::Pipes, process, syscall, syscall::number};
use core::{
    ffi::{c_int, c_void},
    sync::atomic::{AtomicI32, AtomicU32, Ordering},
};

/// How long the child waits for somebody to read, in milliseconds.
const READER_WITHIN: u64 = 10_000;
/// How often it looks at itself, in microseconds.
const LOOK_EVERY: u64 = 20_000;

const SIGALRM: c_int = 14;
const SA_SIGINFO: c_int = 4;
const SA_RESTART: c_int = 0x1000_0000;
/// Signals that keep their deadly meaning: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const CRASHES: [c_int; 7] = [4, 5, 6, 7, 8, 11, 31];

/// Where the child reports to, and what it writes to.
static STATUS: AtomicI32 = AtomicI32::new(-1);
static OUTPUT: AtomicI32 = AtomicI32::new(-1);
static CONFINED: AtomicU32 = AtomicU32::new(0);

/// The addresses of the functions that wake other threads.
#[derive(Clone, Copy, Debug)]
pub struct Wakers([usize; 2]);

impl Wakers {
    /// Looks them up; to be done before the fork, because the dynamic linker has locks.
    pub fn find() -> Option<Self> {
        let found =
            [c"pthread_cond_signal", c"pthread_cond_broadcast"].map(|name| process::symbol(name) as usize);
        (!found.contains(&0)).then_some(Self(found))
    }
}

/// Makes the child harmless and waits until somebody reads. Ends it where that fails.
///
/// # Safety
///
/// To be called once, in a child that was just forked by `parent` and whose signals are all blocked.
pub unsafe fn settle(pipes: &Pipes, parent: isize, wakers: Wakers) {
    STATUS.store(pipes.status[1], Ordering::Relaxed);
    OUTPUT.store(pipes.data[1], Ordering::Relaxed);
    // SAFETY: integers; 1 and 9 are PR_SET_PDEATHSIG and SIGKILL.
    unsafe { syscall::call(number::PRCTL, [1, 9, 0, 0, 0, 0]) };
    if syscall::getppid() != parent {
        syscall::exit(1);
    }
    // SAFETY: this process is the child.
    unsafe {
        quieten_signals();
        give_up_descriptors(&pipes.all());
        be_modest();
        if !wakers.0.into_iter().all(|address| disable(address)) {
            fail(b"the C library cannot be changed in the child");
        }
    }
    // Descriptor 2 is the report: V8's last words are the reason of a crash. It must never block.
    syscall::fcntl(pipes.status[1], 4, syscall::O_NONBLOCK);
    // SAFETY: the number 2 was given up above.
    unsafe { syscall::call(number::DUP3, [pipes.status[1] as usize, 2, 0, 0, 0, 0]) };

    let mut go = [0_u8];
    if syscall::poll(pipes.go[0], 1, READER_WITHIN) <= 0 || syscall::read(pipes.go[0], &mut go) != 1 {
        fail(b"nobody read in time");
    }
    for end in [pipes.data[0], pipes.status[0], pipes.go[0], pipes.go[1]] {
        // SAFETY: made for this child.
        unsafe { syscall::close(end) };
    }
    filter::DUPLICATE.store(syscall::fcntl(pipes.data[1], 0, 3) as i32, Ordering::Relaxed);
    // SAFETY: the handler makes system calls only; this process has one thread.
    unsafe {
        let every = [0, LOOK_EVERY, 0, LOOK_EVERY];
        if process::handle(SIGALRM, look as *const () as usize, SA_SIGINFO | SA_RESTART) {
            syscall::call(number::SETITIMER, [0, every.as_ptr() as usize, 0, 0, 0, 0]);
        }
        CONFINED.store(u32::from(filter::confine(pipes.data[1])), Ordering::Relaxed);
    }
    syscall::sigmask(0);
}

/// Ends the child when it has no reader: building the graph writes nothing for long, so no write would fail. And ends it
/// when it waits for another thread, because there is none: V8's background threads may have been in the middle of
/// something at the fork that the child wants them to finish. The next fork finds them elsewhere.
extern "C" fn look(_signal: c_int, _info: *mut c_void, context: *mut c_void) {
    const POLLERR: isize = 8;
    let seen = syscall::poll(OUTPUT.load(Ordering::Relaxed), 0, 0);
    if seen > 0 && seen & POLLERR != 0 {
        syscall::exit(1);
    }
    // SAFETY: this is a handler with `SA_SIGINFO`.
    if unsafe { Registers::of(context) }.waits_for_ever() {
        end(b"deadlock");
    }
}

/// Ends the child with a report: an empty one says that all was written.
///
/// The report is a NUL, `c` or `u` (confined by the filter or not), and the text. What precedes the NUL was written to
/// standard error.
pub fn end(text: &[u8]) -> ! {
    let status = STATUS.load(Ordering::Relaxed);
    let confined = CONFINED.load(Ordering::Relaxed) != 0;
    syscall::write(status, if confined { b"\0c" } else { b"\0u" });
    syscall::write(status, text);
    syscall::exit(usize::from(!text.is_empty()))
}

fn fail(text: &[u8]) -> ! {
    end(text)
}

/// Sets every signal to be ignored, or to kill where the child could not go on.
unsafe fn quieten_signals() {
    // As the kernel's `struct sigaction`: handler, flags, restorer, mask.
    for signal in 1..=64 {
        let ignored = !CRASHES.contains(&signal);
        let action = [usize::from(ignored), 0, 0, 0];
        // SAFETY: SIG_DFL and SIG_IGN run no code. Refused for SIGKILL and SIGSTOP.
        unsafe {
            syscall::call(number::RT_SIGACTION, [signal as usize, action.as_ptr() as usize, 0, 8, 0, 0]);
        }
    }
    let none = [0_u64; 2];
    // SAFETY: 4 is RLIMIT_CORE; a core dump would be the size of the target.
    unsafe { syscall::call(number::PRLIMIT64, [0, 4, none.as_ptr() as usize, 0, 0, 0]) };
}

/// Replaces every descriptor that is not in `keep` by `/dev/null`.
unsafe fn give_up_descriptors(keep: &[i32]) {
    let mut null = syscall::open(b"/dev/null\0", 2);
    if null < 0 {
        null = syscall::memfd();
    }
    if null < 0 {
        fail(b"/dev/null cannot be opened in the child");
    }
    let null = null as i32;
    let replace = |fd: i32| {
        if fd != null && !keep.contains(&fd) {
            // SAFETY: the descriptors of this child are its own; the parent's stay.
            unsafe { syscall::call(number::DUP3, [null as usize, fd as usize, syscall::O_CLOEXEC, 0, 0, 0]) };
        }
    };
    let folder = syscall::open(b"/proc/self/fd\0", syscall::O_DIRECTORY);
    if folder < 0 {
        // Without /proc: all numbers there can be.
        let mut limit = [0_u64; 2];
        // SAFETY: 7 is RLIMIT_NOFILE, to be filled.
        unsafe { syscall::call(number::PRLIMIT64, [0, 7, 0, limit.as_mut_ptr() as usize, 0, 0]) };
        for fd in 0..limit[0].min(1 << 20) as i32 {
            if syscall::fcntl(fd, 1, 0) >= 0 {
                replace(fd);
            }
        }
        return;
    }
    let folder = folder as i32;
    let mut buffer = [0_u8; 4096];
    loop {
        let filled = syscall::getdents(folder, &mut buffer);
        if filled <= 0 {
            break;
        }
        let mut rest = buffer.get(..filled as usize).unwrap_or(&[]);
        // `struct linux_dirent64`: 8 bytes inode, 8 offset, 2 length, 1 type, then the name.
        while let (Some(&[low, high]), Some(name)) = (rest.get(16..18), rest.get(19..)) {
            let digits = name.iter().take_while(|b| b.is_ascii_digit());
            let named = name.first().is_some_and(u8::is_ascii_digit);
            let fd = digits.fold(0_i32, |n, &b| n.wrapping_mul(10).wrapping_add(i32::from(b - b'0')));
            if named && fd != folder {
                replace(fd);
            }
            match rest.get(usize::from(u16::from_le_bytes([low, high]))..) {
                Some(next) if next.len() < rest.len() => rest = next,
                _ => break,
            }
        }
    }
    // SAFETY: opened above.
    unsafe { syscall::close(folder) };
}

/// First to be killed, last to be run.
unsafe fn be_modest() {
    let file = syscall::open(b"/proc/self/oom_score_adj\0", 1);
    if file >= 0 {
        syscall::write(file as i32, b"1000");
        // SAFETY: opened above.
        unsafe { syscall::close(file as i32) };
    }
    // SAFETY: integers; this process and the weakest priority.
    unsafe { syscall::call(number::SETPRIORITY, [0, 0, 19, 0, 0, 0]) };
}

/// Code that returns 0.
#[cfg(target_arch = "x86_64")]
const RETURN_ZERO: [u8; 3] = [0x31, 0xc0, 0xc3]; // xor eax, eax; ret
#[cfg(target_arch = "aarch64")]
const RETURN_ZERO: [u8; 8] = [0x00, 0x00, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6]; // mov w0, #0; ret

/// Makes a function of the process return 0 at once, in this process's private copy of its page.
unsafe fn disable(address: usize) -> bool {
    // 64 KiB is the largest page of both architectures, but the neighbours of a smaller one may be no memory.
    const PAGES: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];
    let protect = |page: usize, protection: usize| {
        let start = address & !(page - 1);
        let length = (address + RETURN_ZERO.len() - start).next_multiple_of(page);
        // SAFETY: the range holds the code of the function; nothing of it runs until it is executable again.
        unsafe { syscall::call(number::MPROTECT, [start, length, protection, 0, 0, 0]) == 0 }
    };
    let Some(page) = PAGES.into_iter().find(|&page| protect(page, 3)) else { return false };
    // SAFETY: writable since the line above; the code is longer than what is written.
    unsafe {
        core::ptr::copy_nonoverlapping(RETURN_ZERO.as_ptr(), address as *mut u8, RETURN_ZERO.len());
        flush(address);
    }
    protect(page, 5)
}

#[cfg(target_arch = "x86_64")]
unsafe fn flush(_address: usize) {}

/// Lets the instruction cache see what was written at `address`.
#[cfg(target_arch = "aarch64")]
unsafe fn flush(address: usize) {
    for line in [address, address + 4] {
        // SAFETY: cache maintenance of an address that is mapped.
        unsafe {
            core::arch::asm!(
                "dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb",
                in(reg) line, options(nostack),
            );
        }
    }
}
