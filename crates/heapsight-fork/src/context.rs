//! The registers of the code that a signal has interrupted: which system call it makes, or was about to make.
//!
//! The layouts are the kernel's (`struct ucontext` of x86-64 and aarch64) and part of its interface.

use crate::syscall::number;
use core::ffi::c_void;

/// The registers in a handler's third argument.
#[derive(Clone, Copy, Debug)]
pub struct Registers(*mut usize);

/// Where the registers begin, in words: after flags, link and stack; on aarch64 also after the signal mask, padding and
/// the fault address.
#[cfg(target_arch = "x86_64")]
const FIRST: usize = 5;
#[cfg(target_arch = "aarch64")]
const FIRST: usize = 23;

/// `rdi`, `rsi`, `rdx`, `r10`; `rax`; `rax`; `rip`.
#[cfg(target_arch = "x86_64")]
mod place {
    pub(super) const ARGUMENTS: [usize; 4] = [8, 9, 12, 2];
    pub(super) const NUMBER: usize = 13;
    pub(super) const RESULT: usize = 13;
    pub(super) const NEXT: usize = 16;
}

/// `x0` to `x3`; `x8`; `x0`; `pc`.
#[cfg(target_arch = "aarch64")]
mod place {
    pub(super) const ARGUMENTS: [usize; 4] = [0, 1, 2, 3];
    pub(super) const NUMBER: usize = 8;
    pub(super) const RESULT: usize = 0;
    pub(super) const NEXT: usize = 32;
}

/// The instruction that makes a system call.
#[cfg(target_arch = "x86_64")]
const CALL: [u8; 2] = [0x0f, 0x05]; // syscall
#[cfg(target_arch = "aarch64")]
const CALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4]; // svc 0

impl Registers {
    /// From a handler's third argument.
    ///
    /// # Safety
    ///
    /// It must be what the kernel gave to a handler with `SA_SIGINFO` that still runs.
    pub unsafe fn of(context: *mut c_void) -> Self {
        // SAFETY: the registers are within the context.
        Self(unsafe { context.cast::<usize>().add(FIRST) })
    }

    fn get(self, index: usize) -> usize {
        // SAFETY: one of the registers above, of a context that is valid by `of`.
        unsafe { *self.0.add(index) }
    }

    /// One of the first four arguments of the system call.
    pub fn argument(self, index: usize) -> usize {
        place::ARGUMENTS.get(index).map_or(0, |&register| self.get(register))
    }

    /// Sets what the system call returns.
    pub fn set_result(self, result: isize) {
        // SAFETY: as in `get`.
        unsafe { *self.0.add(place::RESULT) = result as usize };
    }

    /// Whether the interrupted code will wait, when the handler returns, for another thread to wake it, without a limit
    /// of time.
    ///
    /// The kernel sets a system call that is to be made again back to its instruction.
    pub fn waits_for_ever(self) -> bool {
        const WAITS: [usize; 5] = [0, 6, 9, 11, 13]; // WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2
        let next = self.get(place::NEXT) as *const [u8; CALL.len()];
        // SAFETY: code that the processor is about to run can be read.
        let calls = unsafe { next.read_unaligned() } == CALL;
        let waits = self.get(place::NUMBER) == number::FUTEX && WAITS.contains(&(self.argument(1) & 0x7f));
        calls && waits && self.argument(3) == 0
    }
}
