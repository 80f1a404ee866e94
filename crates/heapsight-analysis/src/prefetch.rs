//! Asks the processor to fetch what will be needed soon.
//!
//! Walks over the graph touch one cache line here and one there, and would wait for memory most of the time. The targets
//! of a node's edges are known when the node is entered, long before most of them are looked at.

/// Begins to fetch `slice[index]`; an index beyond the slice does nothing.
#[inline(always)]
#[expect(clippy::inline_always, reason = "one instruction")]
pub(crate) fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(item) = slice.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "the instruction has no safe form")]
        // SAFETY: the address is that of an element of a live slice; a prefetch reads nothing that the program can see.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}
