//! The functions that must be the process's own: those of its C library and of its V8.
//!
//! The C library's are undefined symbols, which the dynamic linker binds when the addon is loaded. V8's are looked up
//! when they are wanted, because a build of Node.js may hide them.

use core::ffi::{CStr, c_char, c_int, c_void};

mod c {
    use super::{c_char, c_int, c_void};

    unsafe extern "C" {
        pub(super) fn fork() -> c_int;
        pub(super) fn __errno_location() -> *mut c_int;
        pub(super) fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
        pub(super) fn sigaction(
            signal: c_int,
            action: *const super::Action,
            before: *mut super::Action,
        ) -> c_int;
        pub(super) fn pthread_attr_init(attributes: *mut super::Attributes) -> c_int;
        pub(super) fn pthread_attr_setdetachstate(attributes: *mut super::Attributes, state: c_int) -> c_int;
        pub(super) fn pthread_attr_setstacksize(attributes: *mut super::Attributes, size: usize) -> c_int;
        pub(super) fn pthread_attr_destroy(attributes: *mut super::Attributes) -> c_int;
        pub(super) fn pthread_create(
            thread: *mut usize,
            attributes: *const super::Attributes,
            start: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> c_int;
        pub(super) fn pthread_detach(thread: usize) -> c_int;
    }
}

/// `struct sigaction` of glibc and musl, which agree on both architectures.
#[repr(C)]
#[derive(Debug)]
pub struct Action {
    /// A handler with `SA_SIGINFO`, or one of the kernel's constants.
    pub handler: usize,
    /// Signals blocked meanwhile.
    pub mask: [u64; 16],
    /// `SA_` flags.
    pub flags: c_int,
    /// The C library's.
    pub restorer: usize,
}

/// Room for a `pthread_attr_t`: 56 bytes with glibc on x86-64 and musl, 64 with glibc on aarch64.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Attributes([u8; 256]);

/// The C library's fork: unlike the bare system call it leaves the allocator's locks usable in the child.
///
/// # Safety
///
/// The child must not do what its missing threads would be needed for.
pub unsafe fn fork() -> i32 {
    // SAFETY: the caller's promise.
    unsafe { c::fork() }
}

/// The error number of the C library's last failure on this thread.
pub fn error() -> i32 {
    // SAFETY: both C libraries return the address of the thread's own number.
    unsafe { *c::__errno_location() }
}

/// The address of a symbol in the process, or null.
pub fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: the null handle is RTLD_DEFAULT, and the name ends with a NUL.
    unsafe { c::dlsym(core::ptr::null_mut(), name.as_ptr()) }
}

/// Sets the action of a signal; false if it cannot be set.
///
/// # Safety
///
/// The handler must be one that the flags promise, and safe to run at any instruction.
pub unsafe fn handle(signal: i32, handler: usize, flags: c_int) -> bool {
    let action = Action { handler, mask: [0; 16], flags, restorer: 0 };
    // SAFETY: the action is whole, and no earlier one is asked for.
    unsafe { c::sigaction(signal, &raw const action, core::ptr::null_mut()) == 0 }
}

/// Starts a detached thread with a small stack; false if there can be none.
pub fn spawn(start: extern "C" fn(*mut c_void) -> *mut c_void, argument: usize) -> bool {
    const DETACHED: c_int = 1;
    // Thread-local storage of the program is taken from the stack as well. Only pages that are used cost anything.
    const STACK: usize = 512 << 10;
    let argument = argument as *mut c_void;
    let mut thread = 0_usize;
    let mut attributes = Attributes([0; 256]);
    let attributes = &raw mut attributes;
    // SAFETY: the attributes have room and are initialised before they are used; `start` takes what it is given.
    unsafe {
        c::pthread_attr_init(attributes);
        c::pthread_attr_setdetachstate(attributes, DETACHED);
        c::pthread_attr_setstacksize(attributes, STACK);
        let small = c::pthread_create(&raw mut thread, attributes, start, argument);
        c::pthread_attr_destroy(attributes);
        if small == 0 {
            return true;
        }
        if c::pthread_create(&raw mut thread, core::ptr::null(), start, argument) == 0 {
            c::pthread_detach(thread);
            return true;
        }
    }
    false
}

/// V8's heap profiler of the isolate that runs on this thread.
#[derive(Clone, Copy, Debug)]
pub struct Profiler(*mut c_void);

impl Profiler {
    /// That of the current isolate, if V8's functions are to be found.
    pub fn current() -> Option<Self> {
        let current = symbol(c"_ZN2v87Isolate10GetCurrentEv");
        let profiler = symbol(c"_ZN2v87Isolate15GetHeapProfilerEv");
        if current.is_null() || profiler.is_null() {
            return None;
        }
        // SAFETY: `static v8::Isolate* v8::Isolate::GetCurrent()` and `v8::HeapProfiler* v8::Isolate::GetHeapProfiler()`:
        // plain pointers in and out, on a thread that runs an isolate.
        let profiler = unsafe {
            let current: extern "C" fn() -> *mut c_void = core::mem::transmute(current);
            let profiler: extern "C" fn(*mut c_void) -> *mut c_void = core::mem::transmute(profiler);
            let isolate = current();
            if isolate.is_null() {
                return None;
            }
            profiler(isolate)
        };
        (!profiler.is_null()).then_some(Self(profiler))
    }

    /// Gives an id to every object of the heap and keeps the ids from now on; false if V8 hides the function.
    ///
    /// Nothing is stopped afterwards: that would also end an allocation timeline that somebody else records.
    pub fn track(self) -> bool {
        let start = symbol(c"_ZN2v812HeapProfiler24StartTrackingHeapObjectsEb");
        if start.is_null() {
            return false;
        }
        // SAFETY: `void v8::HeapProfiler::StartTrackingHeapObjects(bool)` on the profiler that V8 gave us.
        unsafe {
            let start: extern "C" fn(*mut c_void, bool) = core::mem::transmute(start);
            start(self.0, false);
        }
        true
    }

    /// Forgets all ids and what keeping them costs; false if V8 hides the function.
    pub fn forget(self) -> bool {
        let clear = symbol(c"_ZN2v812HeapProfiler14ClearObjectIdsEv");
        if clear.is_null() {
            return false;
        }
        // SAFETY: `void v8::HeapProfiler::ClearObjectIds()` on the profiler that V8 gave us.
        unsafe {
            let clear: extern "C" fn(*mut c_void) = core::mem::transmute(clear);
            clear(self.0);
        }
        true
    }
}
