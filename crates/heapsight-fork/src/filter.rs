//! What the child may still ask of the kernel: memory, time, and writing to descriptors that it has.
//!
//! Native addons of the target may have finalizers, and the garbage collection of a snapshot runs them in the child.
//! Their effects outside of the child's memory would be the parent's: a removed file, a message on a socket. A seccomp
//! filter refuses everything that is not listed here. Opening a file by path raises a signal instead, and the handler
//! gives a duplicate of the output for the output's own path and refuses all other paths; so even `/proc` is not needed.

use crate::{context::Registers, process, syscall, syscall::number};
use core::{
    ffi::{c_int, c_void},
    sync::atomic::{AtomicI32, Ordering},
};

/// An instruction of the kernel's packet filter language.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const TRAP: u32 = 0x0003_0000;
const REFUSE: u32 = 0x0005_0000 | 1; // with EPERM

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

const ALLOWED: [usize; 38] = [
    number::READ,
    number::WRITE,
    number::READV,
    number::WRITEV,
    number::CLOSE,
    number::FSTAT,
    number::LSEEK,
    number::MMAP,
    number::MPROTECT,
    number::PKEY_MPROTECT,
    number::MUNMAP,
    number::MREMAP,
    number::MADVISE,
    number::MINCORE,
    number::BRK,
    number::FUTEX,
    number::MEMBARRIER,
    number::RSEQ,
    number::RT_SIGACTION,
    number::RT_SIGPROCMASK,
    number::RT_SIGRETURN,
    number::SIGALTSTACK,
    number::RESTART_SYSCALL,
    number::SCHED_YIELD,
    number::SCHED_GETAFFINITY,
    number::GETCPU,
    number::GETPID,
    number::GETTID,
    number::GETRUSAGE,
    number::SYSINFO,
    number::GETRANDOM,
    number::PPOLL,
    number::NANOSLEEP,
    number::CLOCK_GETTIME,
    number::CLOCK_GETRES,
    number::GETTIMEOFDAY,
    number::EXIT,
    number::EXIT_GROUP,
];

const LENGTH: usize = 5 + 2 * (ALLOWED.len() + syscall::OPENS.len());

/// The whole filter. A number with the x32 bit set, or of another architecture, is on no list.
const FILTER: [Instruction; LENGTH] = {
    let refuse = Instruction { code: RETURN, if_true: 0, if_false: 0, value: REFUSE };
    let mut filter = [refuse; LENGTH];
    filter[0] = Instruction { code: LOAD, if_true: 0, if_false: 0, value: 4 };
    filter[1] = Instruction { code: EQUAL, if_true: 1, if_false: 0, value: ARCHITECTURE };
    // filter[2] refuses.
    filter[3] = Instruction { code: LOAD, if_true: 0, if_false: 0, value: 0 };
    let mut i = 0;
    while i < ALLOWED.len() + syscall::OPENS.len() {
        let (number, verdict) =
            if i < ALLOWED.len() { (ALLOWED[i], ALLOW) } else { (syscall::OPENS[i - ALLOWED.len()].0, TRAP) };
        filter[4 + 2 * i] = Instruction { code: EQUAL, if_true: 0, if_false: 1, value: number as u32 };
        filter[5 + 2 * i] = Instruction { code: RETURN, if_true: 0, if_false: 0, value: verdict };
        i += 1;
    }
    filter
};

static OUTPUT: AtomicI32 = AtomicI32::new(-1);

/// Refuses the calling process all but the above from now on. False if this kernel has no filters; then the process is
/// as free as before.
///
/// # Safety
///
/// For a process that has one thread and will do nothing but write to `output` and end.
pub unsafe fn confine(output: i32) -> bool {
    const SIGSYS: c_int = 31;
    const SA_SIGINFO: c_int = 4;
    const SET_NO_NEW_PRIVILEGES: usize = 38;
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const Instruction,
    }
    OUTPUT.store(output, Ordering::Relaxed);
    let program = Program { length: LENGTH as u16, filter: FILTER.as_ptr() };
    // SAFETY: the handler has the signature that SA_SIGINFO promises and only looks at what the kernel gives it; the
    // program is a constant, and 1 is SECCOMP_SET_MODE_FILTER.
    unsafe {
        process::handle(SIGSYS, opening as *const () as usize, SA_SIGINFO)
            && syscall::call(number::PRCTL, [SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0, 0]) == 0
            && syscall::call(number::SECCOMP, [1, 0, (&raw const program) as usize, 0, 0, 0]) == 0
    }
}

/// Answers a system call that wants to open a file.
extern "C" fn opening(_signal: c_int, info: *const c_int, context: *mut c_void) {
    const REFUSED: isize = -13; // EACCES
    let output = OUTPUT.load(Ordering::Relaxed);
    // SAFETY: the kernel fills both for SIGSYS: `si_syscall` is at byte 24 of `siginfo_t`.
    let (called, registers) = unsafe { (*info.add(6) as usize, Registers::of(context)) };
    let mut result = REFUSED;
    for &(number, argument) in &syscall::OPENS {
        if number == called {
            let path = registers.argument(argument) as *const u8;
            // SAFETY: the path is a string of the caller, and is read no further than its NUL.
            if !path.is_null() && is_output(&mut |i| unsafe { *path.add(i) }, output) {
                result = DUPLICATE.load(Ordering::Relaxed) as isize;
            }
        }
    }
    registers.set_result(result);
}

/// A duplicate of the output that was made before the filter, for the one who opens its path.
pub static DUPLICATE: AtomicI32 = AtomicI32::new(-1);

/// Whether a NUL-terminated path, read byte by byte, is `/proc/self/fd/` or `/dev/fd/` with the number `output`.
fn is_output(byte: &mut dyn FnMut(usize) -> u8, output: i32) -> bool {
    [b"/proc/self/fd/".as_slice(), b"/dev/fd/".as_slice()].into_iter().any(|prefix| {
        // Stops at the first difference, so nothing behind a NUL is read.
        if !prefix.iter().enumerate().all(|(i, &expected)| byte(i) == expected) {
            return false;
        }
        let mut number = 0_i32;
        for i in prefix.len()..prefix.len() + 10 {
            match byte(i) {
                digit @ b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(i32::from(digit - b'0')),
                end => return end == 0 && i > prefix.len() && number == output,
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(path: &[u8], output: i32) -> bool {
        is_output(&mut |i| path[i], output)
    }

    #[test]
    fn only_the_path_of_the_output_is_the_output() {
        assert!(opens(b"/proc/self/fd/27\0", 27));
        assert!(opens(b"/dev/fd/3\0", 3));
        for path in [
            &b"/proc/self/fd/28\0"[..],
            b"/proc/self/fd/\0",
            b"/proc/self/fd/27/\0",
            b"/proc/self/fd/270\0",
            b"/proc/self/fd/99999999999999\0",
            b"/etc/passwd\0",
            b"\0",
            b"/dev/f\0",
        ] {
            assert!(!opens(path, 27), "{path:?}");
        }
    }

    #[test]
    fn the_filter_judges_by_architecture_and_number() {
        let verdict = |architecture: u32, number: u32| {
            let (mut at, mut value) = (0, 0);
            loop {
                let instruction = FILTER[at];
                at += 1;
                match instruction.code {
                    LOAD => value = if instruction.value == 4 { architecture } else { number },
                    EQUAL if value == instruction.value => at += usize::from(instruction.if_true),
                    EQUAL => at += usize::from(instruction.if_false),
                    _ => return instruction.value,
                }
            }
        };
        for number in ALLOWED {
            assert_eq!(verdict(ARCHITECTURE, number as u32), ALLOW);
            assert_eq!(verdict(ARCHITECTURE ^ 1, number as u32), REFUSE);
            assert_eq!(verdict(ARCHITECTURE, number as u32 | 0x4000_0000), REFUSE);
        }
        for (number, _) in syscall::OPENS {
            assert_eq!(verdict(ARCHITECTURE, number as u32), TRAP);
        }
        for number in [number::KILL, number::SECCOMP, number::PRCTL, number::FCNTL, number::DUP3, 9999] {
            assert_eq!(verdict(ARCHITECTURE, number as u32), REFUSE);
        }
    }
}
