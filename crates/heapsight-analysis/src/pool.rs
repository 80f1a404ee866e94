//! Scratch arrays that are used again.
//!
//! A fresh page costs more than all that is done with it afterwards: the kernel clears it, and on a virtual machine the
//! host finds it first. The analyses need a dozen arrays of one number a node, most of them for a moment, so they take
//! them from here and give them back.

use std::sync::{Mutex, PoisonError};

use heapsight_snapshot::Buffer;

/// Arrays of one number a node, and a little more.
#[derive(Debug)]
pub struct Pool {
    len: usize,
    free: Mutex<Vec<Buffer<u32>>>,
}

impl Pool {
    /// Arrays for a graph of `nodes` nodes: each has `nodes + 2` items.
    pub fn new(nodes: usize) -> Self {
        Self { len: nodes + 2, free: Mutex::new(Vec::new()) }
    }

    /// An array with anything in it.
    pub fn take(&self) -> Option<Buffer<u32>> {
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        used.or_else(|| Buffer::touched(self.len))
    }

    /// An array of zeros.
    pub fn take_zeroed(&self) -> Option<Buffer<u32>> {
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match used {
            Some(mut buffer) => {
                buffer.fill(0);
                Some(buffer)
            }
            None => Buffer::touched(self.len),
        }
    }

    /// Takes an array back.
    pub fn give(&self, buffer: Buffer<u32>) {
        if buffer.len() >= self.len {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}
