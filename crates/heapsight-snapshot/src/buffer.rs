//! Memory of the columns.
//!
//! [`Buffer`] is a zeroed array under construction: large ones live in an anonymous mapping. Pages of a mapping cost
//! memory only when they are written, so a buffer may be made for what a header promises and will hold what the file
//! really has. Huge pages are not asked for: the algorithms fetch ahead and take as long without, and in a virtual machine
//! whose host must find the memory first, the first touch of huge pages takes twice as long as that of ordinary ones.
//! [`Column`] is the finished, immutable array: a buffer, or a window into a mapped index file.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use bytemuck::Pod;
use memmap2::{Mmap, MmapMut};

/// Below this many bytes a plain vector is used.
const MAP_FROM_BYTES: usize = 1 << 20;

/// A zeroed, fixed-length array of plain numbers.
pub struct Buffer<T: Pod> {
    store: Store<T>,
}

enum Store<T: Pod> {
    Heap(Vec<T>),
    Map { map: MmapMut, len: usize, marker: PhantomData<T> },
}

impl<T: Pod> Buffer<T> {
    /// An array of `len` zeros. `None` if the memory cannot be had.
    pub fn zeroed(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<T>())?;
        if bytes < MAP_FROM_BYTES {
            let mut vec = Vec::new();
            vec.try_reserve_exact(len).ok()?;
            vec.resize(len, T::zeroed());
            return Some(Self { store: Store::Heap(vec) });
        }
        let map = MmapMut::map_anon(bytes).ok()?;
        Some(Self { store: Store::Map { map, len, marker: PhantomData } })
    }

    /// An array of `len` zeros of which every page is there already: for one that will be written all over, in no order.
    ///
    /// A page that is read before it is written is found twice, and the second time every other thread of the process is
    /// interrupted to forget the first. Pages that are asked for together are cheaper than one by one, too.
    pub fn touched(len: usize) -> Option<Self> {
        let mut buffer = Self::zeroed(len)?;
        let asked = match &buffer.store {
            Store::Heap(_) => true,
            #[cfg(target_os = "linux")]
            Store::Map { map, .. } => map.advise(memmap2::Advice::PopulateWrite).is_ok(),
            #[cfg(not(target_os = "linux"))]
            Store::Map { .. } => false,
        };
        if !asked {
            // Kernels before Linux 5.14, and other systems.
            buffer.fill(T::zeroed());
        }
        Some(buffer)
    }

    /// A longer copy of this array, the rest zero.
    pub(crate) fn grown(&self, len: usize) -> Option<Self> {
        let mut next = Self::zeroed(len)?;
        next[..self.len()].copy_from_slice(self);
        Some(next)
    }

    /// Ends the construction, keeping the first `len` items.
    pub fn freeze(self, len: usize) -> Column<T> {
        let len = len.min(self.len());
        Column { store: ColumnStore::Owned(self), len }
    }
}

impl Buffer<u32> {
    /// The same memory as signed numbers.
    pub fn into_signed(self) -> Buffer<i32> {
        let store = match self.store {
            Store::Heap(vec) => Store::Heap(bytemuck::allocation::cast_vec(vec)),
            Store::Map { map, len, .. } => Store::Map { map, len, marker: PhantomData },
        };
        Buffer { store }
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match &self.store {
            Store::Heap(vec) => vec,
            Store::Map { map, len, .. } => &bytemuck::cast_slice(&map[..])[..*len],
        }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.store {
            Store::Heap(vec) => vec,
            Store::Map { map, len, .. } => &mut bytemuck::cast_slice_mut(&mut map[..])[..*len],
        }
    }
}

impl<T: Pod> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer[{} x {}]", self.len(), std::any::type_name::<T>())
    }
}

impl<T: Pod> From<Vec<T>> for Buffer<T> {
    fn from(vec: Vec<T>) -> Self {
        Self { store: Store::Heap(vec) }
    }
}

/// A finished column: read only, owned or mapped.
pub struct Column<T: Pod> {
    store: ColumnStore<T>,
    len: usize,
}

enum ColumnStore<T: Pod> {
    Owned(Buffer<T>),
    Mapped { map: Arc<Mmap>, offset: usize },
}

impl<T: Pod> Column<T> {
    /// A window of `len` items at byte `offset` of a mapped file. `None` if it does not fit or is not aligned.
    pub(crate) fn mapped(map: Arc<Mmap>, offset: usize, len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<T>())?;
        let window = map.get(offset..offset.checked_add(bytes)?)?;
        bytemuck::try_cast_slice::<u8, T>(window).ok()?;
        Some(Self { store: ColumnStore::Mapped { map, offset }, len })
    }

    /// The items.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        match &self.store {
            ColumnStore::Owned(buffer) => &buffer[..self.len],
            ColumnStore::Mapped { map, offset } => {
                bytemuck::cast_slice(&map[*offset..*offset + self.len * size_of::<T>()])
            }
        }
    }

    /// The items for writing, where the column is owned; a mapped one is copied first. `None` if that needs memory
    /// that cannot be had.
    pub fn to_mut(&mut self) -> Option<&mut [T]> {
        if let ColumnStore::Mapped { .. } = self.store {
            let mut copy = Buffer::zeroed(self.len)?;
            copy.copy_from_slice(self.as_slice());
            self.store = ColumnStore::Owned(copy);
        }
        match &mut self.store {
            ColumnStore::Owned(buffer) => Some(&mut buffer[..self.len]),
            ColumnStore::Mapped { .. } => None,
        }
    }
}

impl<T: Pod> Deref for Column<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Pod> Default for Column<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T: Pod> From<Vec<T>> for Column<T> {
    fn from(vec: Vec<T>) -> Self {
        let len = vec.len();
        Self { store: ColumnStore::Owned(vec.into()), len }
    }
}

impl<T: Pod> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column[{} x {}]", self.len, std::any::type_name::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_small_buffers_hold_what_is_written() {
        for len in [0, 5, 1 << 20] {
            assert!(Buffer::<u32>::touched(len).unwrap().iter().all(|&x| x == 0));
            let mut buffer = Buffer::<u32>::zeroed(len).unwrap();
            assert!(buffer.iter().all(|&x| x == 0));
            for (i, x) in buffer.iter_mut().enumerate() {
                *x = i as u32;
            }
            let column = buffer.freeze(len / 2);
            assert_eq!(column.len(), len / 2);
            assert!(column.iter().enumerate().all(|(i, &x)| x == i as u32));
        }
    }
}
