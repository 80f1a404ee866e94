//! The four functions that JavaScript sees, by Node-API.

use crate::{child, fork, process::Profiler};
use core::{
    ffi::{c_char, c_void},
    ptr,
};

/// `napi_env`.
pub type Env = *mut c_void;
/// `napi_value`.
pub type Value = *mut c_void;
type Info = *mut c_void;
type Callback = unsafe extern "C" fn(Env, Info) -> Value;

mod node {
    use super::{Callback, Env, Info, Value, c_char, c_void};

    unsafe extern "C" {
        pub(super) fn napi_create_function(
            env: Env,
            name: *const c_char,
            length: usize,
            callback: Callback,
            data: *mut c_void,
            result: *mut Value,
        ) -> i32;
        pub(super) fn napi_set_named_property(
            env: Env,
            object: Value,
            name: *const c_char,
            value: Value,
        ) -> i32;
        pub(super) fn napi_get_cb_info(
            env: Env,
            info: Info,
            count: *mut usize,
            arguments: *mut Value,
            this: *mut Value,
            data: *mut *mut c_void,
        ) -> i32;
        pub(super) fn napi_get_value_double(env: Env, value: Value, result: *mut f64) -> i32;
        pub(super) fn napi_create_double(env: Env, value: f64, result: *mut Value) -> i32;
        pub(super) fn napi_get_value_string_utf8(
            env: Env,
            value: Value,
            buffer: *mut c_char,
            size: usize,
            result: *mut usize,
        ) -> i32;
        pub(super) fn napi_get_typedarray_info(
            env: Env,
            array: Value,
            kind: *mut i32,
            length: *mut usize,
            data: *mut *mut c_void,
            buffer: *mut Value,
            offset: *mut usize,
        ) -> i32;
    }
}

/// Puts the functions into `exports`.
///
/// # Safety
///
/// `env` and `exports` must come from the runtime.
pub unsafe fn register(env: Env, exports: Value) -> Value {
    let functions: [(&core::ffi::CStr, Callback); 4] =
        [(c"fork", fork_), (c"end", end), (c"ended", ended), (c"forget", forget)];
    for (name, callback) in functions {
        let mut function = ptr::null_mut();
        // SAFETY: the names end with a NUL, and the values are the runtime's.
        unsafe {
            if node::napi_create_function(
                env,
                name.as_ptr(),
                usize::MAX,
                callback,
                ptr::null_mut(),
                &raw mut function,
            ) == 0
            {
                node::napi_set_named_property(env, exports, name.as_ptr(), function);
            }
        }
    }
    exports
}

/// The first three arguments of a call; `undefined` where there are fewer.
unsafe fn arguments(env: Env, info: Info) -> [Value; 3] {
    let mut values = [ptr::null_mut(); 3];
    let mut count = values.len();
    // SAFETY: room for `count` values.
    unsafe {
        node::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            values.as_mut_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
        );
    }
    values
}

/// Where the elements of a `Float64Array` are, and how many.
unsafe fn elements(env: Env, array: Value) -> Option<(*mut f64, usize)> {
    const FLOAT64: i32 = 8;
    let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
    // SAFETY: anything but a typed array is an error.
    let found = unsafe {
        node::napi_get_typedarray_info(
            env,
            array,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    (found == 0 && kind == FLOAT64 && !data.is_null()).then_some((data.cast(), length))
}

unsafe fn number(env: Env, value: Value) -> f64 {
    let mut result = 0.0;
    // SAFETY: anything but a number leaves the zero.
    unsafe { node::napi_get_value_double(env, value, &raw mut result) };
    result
}

unsafe fn give(env: Env, value: i32) -> Value {
    let mut result = ptr::null_mut();
    // SAFETY: on failure the null is `undefined`.
    unsafe { node::napi_create_double(env, f64::from(value), &raw mut result) };
    result
}

/// `fork(track, outcome, known)`: see [`fork::fork`]; -22 where `outcome` is no `Float64Array` of its length.
unsafe extern "C" fn fork_(env: Env, info: Info) -> Value {
    // SAFETY: the runtime keeps the arrays alive during the call, and nobody else writes to them meanwhile.
    unsafe {
        let [track, outcome, known] = arguments(env, info);
        let track = number(env, track) != 0.0;
        let Some((outcome, fork::Outcome::LENGTH)) = elements(env, outcome) else { return give(env, -22) };
        let known = elements(env, known);
        let outcome = core::slice::from_raw_parts_mut(outcome, fork::Outcome::LENGTH);
        let known = known.map_or(&[][..], |(data, length)| core::slice::from_raw_parts(data, length));
        give(env, fork::fork(track, known, &mut fork::Outcome(outcome)))
    }
}

/// `end(text)`: ends the child. Never returns.
unsafe extern "C" fn end(env: Env, info: Info) -> Value {
    let mut text = [0_u8; 1024];
    let mut length = 0;
    // SAFETY: at most the size of the buffer is written, a NUL included.
    unsafe {
        let [value, ..] = arguments(env, info);
        if node::napi_get_value_string_utf8(env, value, text.as_mut_ptr().cast(), text.len(), &raw mut length)
            != 0
        {
            child::end(b"unknown error");
        }
    }
    child::end(text.get(..length).unwrap_or(&[]))
}

/// `ended(child)`: see [`fork::ended`].
unsafe extern "C" fn ended(env: Env, info: Info) -> Value {
    // SAFETY: the values are the runtime's.
    unsafe {
        let [child, ..] = arguments(env, info);
        give(env, fork::ended(number(env, child) as i32))
    }
}

/// `forget()`: 1 if V8 has forgotten the ids of objects, 0 if it cannot.
unsafe extern "C" fn forget(env: Env, _info: Info) -> Value {
    let forgotten = Profiler::current().is_some_and(Profiler::forget);
    // SAFETY: the values are the runtime's.
    unsafe { give(env, i32::from(forgotten)) }
}
