//! The part of a fork snapshot that runs inside the captured process: an N-API addon that forks it and makes the child
//! harmless.
//!
//! The parent is stopped while [`fork`] makes its heap inheritable, forks and takes that back. The child gives up all
//! that it shares with the parent ([`child`]), waits until somebody reads, and returns to JavaScript, which writes the
//! heap snapshot to the one descriptor that is left and ends the process.
//!
//! Built as an addon (`--cfg heapsight_addon`) this is one file for glibc and musl: it links to no library, makes its
//! system calls itself, and finds the few functions that must be the process's own ([`process`]) in the process.
//! Otherwise it is a library that nobody calls, so that the compiler, the lints and the tests see it.
//!
//! **Invariant:** between the fork and `_exit` the child takes no lock and allocates nothing here. Threads of the parent
//! that held a lock at the fork do not exist in the child.

#![no_std]
#![expect(unsafe_code, reason = "this crate is system calls and foreign functions")]

#[cfg(test)]
extern crate std;

pub mod child;
pub mod context;
pub mod filter;
pub mod fork;
pub mod mappings;
pub mod napi;
pub mod process;
pub mod syscall;

/// Called by Node.js when the addon is loaded: fills `exports`.
///
/// # Safety
///
/// To be called by the N-API runtime alone, with its environment and the module's exports.
#[cfg(heapsight_addon)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: napi::Env, exports: napi::Value) -> napi::Value {
    // SAFETY: both come from the runtime that calls us.
    unsafe { napi::register(env, exports) }
}

/// Ends the process: there is no state in which the addon could go on, and nobody to tell. Nothing here panics.
#[cfg(heapsight_addon)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    syscall::exit(70)
}
