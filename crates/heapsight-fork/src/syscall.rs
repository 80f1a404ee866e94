//! System calls by number, for x86-64 and aarch64.
//!
//! Functions return what the kernel returns: a value, or a negative error number. Those that cannot break memory safety
//! are safe to call.

use core::arch::asm;

/// System call numbers that both architectures have.
#[cfg(target_arch = "x86_64")]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const FSTAT: usize = 5;
    pub const LSEEK: usize = 8;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const BRK: usize = 12;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGRETURN: usize = 15;
    pub const READV: usize = 19;
    pub const WRITEV: usize = 20;
    pub const SCHED_YIELD: usize = 24;
    pub const MREMAP: usize = 25;
    pub const MINCORE: usize = 27;
    pub const MADVISE: usize = 28;
    pub const NANOSLEEP: usize = 35;
    pub const SETITIMER: usize = 38;
    pub const GETPID: usize = 39;
    pub const EXIT: usize = 60;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const GETTIMEOFDAY: usize = 96;
    pub const GETRUSAGE: usize = 98;
    pub const SYSINFO: usize = 99;
    pub const GETPPID: usize = 110;
    pub const SIGALTSTACK: usize = 131;
    pub const SETPRIORITY: usize = 141;
    pub const PRCTL: usize = 157;
    pub const GETTID: usize = 186;
    pub const FUTEX: usize = 202;
    pub const SCHED_GETAFFINITY: usize = 204;
    pub const GETDENTS64: usize = 217;
    pub const RESTART_SYSCALL: usize = 219;
    pub const CLOCK_GETTIME: usize = 228;
    pub const CLOCK_GETRES: usize = 229;
    pub const CLOCK_NANOSLEEP: usize = 230;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const PPOLL: usize = 271;
    pub const DUP3: usize = 292;
    pub const PIPE2: usize = 293;
    pub const PRLIMIT64: usize = 302;
    pub const GETCPU: usize = 309;
    pub const SECCOMP: usize = 317;
    pub const GETRANDOM: usize = 318;
    pub const MEMFD_CREATE: usize = 319;
    pub const MEMBARRIER: usize = 324;
    pub const PKEY_MPROTECT: usize = 329;
    pub const RSEQ: usize = 334;
}

/// System call numbers that both architectures have.
#[cfg(target_arch = "aarch64")]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub mod number {
    pub const DUP3: usize = 24;
    pub const FCNTL: usize = 25;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const PIPE2: usize = 59;
    pub const GETDENTS64: usize = 61;
    pub const LSEEK: usize = 62;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const READV: usize = 65;
    pub const WRITEV: usize = 66;
    pub const PPOLL: usize = 73;
    pub const FSTAT: usize = 80;
    pub const EXIT: usize = 93;
    pub const EXIT_GROUP: usize = 94;
    pub const FUTEX: usize = 98;
    pub const NANOSLEEP: usize = 101;
    pub const SETITIMER: usize = 103;
    pub const CLOCK_GETTIME: usize = 113;
    pub const CLOCK_GETRES: usize = 114;
    pub const CLOCK_NANOSLEEP: usize = 115;
    pub const SCHED_GETAFFINITY: usize = 123;
    pub const SCHED_YIELD: usize = 124;
    pub const RESTART_SYSCALL: usize = 128;
    pub const KILL: usize = 129;
    pub const SIGALTSTACK: usize = 132;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGRETURN: usize = 139;
    pub const SETPRIORITY: usize = 140;
    pub const GETRUSAGE: usize = 165;
    pub const PRCTL: usize = 167;
    pub const GETCPU: usize = 168;
    pub const GETTIMEOFDAY: usize = 169;
    pub const GETPID: usize = 172;
    pub const GETPPID: usize = 173;
    pub const GETTID: usize = 178;
    pub const SYSINFO: usize = 179;
    pub const BRK: usize = 214;
    pub const MUNMAP: usize = 215;
    pub const MREMAP: usize = 216;
    pub const MMAP: usize = 222;
    pub const MPROTECT: usize = 226;
    pub const MINCORE: usize = 232;
    pub const MADVISE: usize = 233;
    pub const WAIT4: usize = 260;
    pub const PRLIMIT64: usize = 261;
    pub const SECCOMP: usize = 277;
    pub const GETRANDOM: usize = 278;
    pub const MEMFD_CREATE: usize = 279;
    pub const MEMBARRIER: usize = 283;
    pub const PKEY_MPROTECT: usize = 288;
    pub const RSEQ: usize = 293;
}

/// The numbers of system calls that open a file by path, and which argument the path is.
#[cfg(target_arch = "x86_64")]
pub const OPENS: [(usize, usize); 4] = [(2, 0), (85, 0), (number::OPENAT, 1), (437, 1)];

/// The numbers of system calls that open a file by path, and which argument the path is.
#[cfg(target_arch = "aarch64")]
pub const OPENS: [(usize, usize); 2] = [(number::OPENAT, 1), (437, 1)];

/// `O_CLOEXEC`.
pub const O_CLOEXEC: usize = 0o2_000_000;
/// `O_NONBLOCK`.
pub const O_NONBLOCK: usize = 0o4_000;
/// `O_DIRECTORY`.
#[cfg(target_arch = "x86_64")]
pub const O_DIRECTORY: usize = 0o200_000;
/// `O_DIRECTORY`.
#[cfg(target_arch = "aarch64")]
pub const O_DIRECTORY: usize = 0o40_000;

const AT_FDCWD: usize = -100_isize as usize;
const EINTR: isize = 4;

/// One system call.
///
/// # Safety
///
/// As the system call demands: pointers among the arguments must be valid for it, and it must not take away memory or
/// change behaviour that other code relies on.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the system call ABI; `rcx` and `r11` are what the instruction overwrites.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// One system call.
///
/// # Safety
///
/// As the system call demands: pointers among the arguments must be valid for it, and it must not take away memory or
/// change behaviour that other code relies on.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the system call ABI.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] => result,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack),
        );
    }
    result
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: `time` is a `struct timespec` to be filled.
    unsafe { call(number::CLOCK_GETTIME, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0] * 1_000_000_000 + time[1]
}

/// The process id in its own namespace.
pub fn getpid() -> isize {
    // SAFETY: no arguments.
    unsafe { call(number::GETPID, [0; 6]) }
}

/// The parent's process id.
pub fn getppid() -> isize {
    // SAFETY: no arguments.
    unsafe { call(number::GETPPID, [0; 6]) }
}

/// Ends the process at once, without handlers.
pub fn exit(status: usize) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(number::EXIT_GROUP, [status, 0, 0, 0, 0, 0]) };
    }
}

/// Opens `path`, which ends with a NUL.
pub fn open(path: &[u8], flags: usize) -> isize {
    if path.last() != Some(&0) {
        return -22;
    }
    // SAFETY: the path ends with a NUL within its slice.
    unsafe { call(number::OPENAT, [AT_FDCWD, path.as_ptr() as usize, flags | O_CLOEXEC, 0, 0, 0]) }
}

/// A nameless file in memory.
pub fn memfd() -> isize {
    // SAFETY: the name is a constant that ends with a NUL.
    unsafe { call(number::MEMFD_CREATE, [c"null".as_ptr() as usize, 1, 0, 0, 0, 0]) }
}

/// Closes `fd`.
///
/// # Safety
///
/// Nobody else may count on `fd`.
pub unsafe fn close(fd: i32) {
    // SAFETY: the caller's promise.
    unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// Reads once into `buffer`, again after signals.
pub fn read(fd: i32, buffer: &mut [u8]) -> isize {
    loop {
        // SAFETY: the buffer is ours to fill.
        let n =
            unsafe { call(number::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) };
        if n != -EINTR {
            return n;
        }
    }
}

/// Writes once from `bytes`, again after signals.
pub fn write(fd: i32, bytes: &[u8]) -> isize {
    loop {
        // SAFETY: the bytes are readable.
        let n = unsafe { call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) };
        if n != -EINTR {
            return n;
        }
    }
}

/// The entries of a folder as the kernel packs them.
pub fn getdents(fd: i32, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is ours to fill.
    unsafe { call(number::GETDENTS64, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }
}

/// A pipe whose ends, read and write, are 3 or higher and close on exec; or an error number.
pub fn pipe() -> Result<[i32; 2], isize> {
    let mut ends = [0_i32; 2];
    // SAFETY: `ends` is to be filled.
    let result = unsafe { call(number::PIPE2, [ends.as_mut_ptr() as usize, O_CLOEXEC, 0, 0, 0, 0]) };
    if result < 0 {
        return Err(result);
    }
    // A process that has closed its standard descriptors gets those numbers first; the child gives them away.
    for end in &mut ends {
        if *end < 3 {
            let higher = fcntl(*end, 1030, 3); // F_DUPFD_CLOEXEC
            if higher >= 0 {
                // SAFETY: the descriptor was made above.
                unsafe { close(*end) };
                *end = higher as i32;
            }
        }
    }
    Ok(ends)
}

/// `fcntl` with an integer argument.
pub fn fcntl(fd: i32, command: usize, argument: usize) -> isize {
    // SAFETY: used with commands that take an integer.
    unsafe { call(number::FCNTL, [fd as usize, command, argument, 0, 0, 0]) }
}

/// Waits until one of `events` is so on `fd`, at most `milliseconds`; what is so, 0 after the time, or an error.
pub fn poll(fd: i32, events: i16, milliseconds: u64) -> isize {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        revents: i16,
    }
    let mut entry = PollFd { fd, events, revents: 0 };
    let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    // SAFETY: one entry, a `struct timespec`, and no signal mask.
    let n = unsafe { call(number::PPOLL, [(&raw mut entry) as usize, 1, time.as_ptr() as usize, 0, 8, 0]) };
    if n > 0 { entry.revents as isize } else { n }
}

/// Replaces the calling thread's signal mask; the mask before.
pub fn sigmask(mask: u64) -> u64 {
    let mut before = 0_u64;
    // SAFETY: both masks are 8 bytes; 2 is SIG_SETMASK.
    unsafe {
        call(number::RT_SIGPROCMASK, [2, (&raw const mask) as usize, (&raw mut before) as usize, 8, 0, 0]);
    }
    before
}

/// Waits for the process `pid` to end: its wait status, or an error number.
pub fn wait(pid: i32) -> Result<i32, isize> {
    let mut status = 0_i32;
    loop {
        // SAFETY: `status` is to be filled.
        let result = unsafe { call(number::WAIT4, [pid as usize, (&raw mut status) as usize, 0, 0, 0, 0]) };
        match result {
            r if r == -EINTR => {}
            r if r < 0 => return Err(r),
            _ => return Ok(status),
        }
    }
}
