//! A column of byte sizes.
//!
//! Nearly every size of a heap is below 4 GiB, so sizes are kept in 32 bits, and the few larger ones beside them in a
//! list sorted by ordinal: half the memory of 64-bit columns, and no wrap.

use crate::{Buffer, Column};

/// Stands in the 32-bit column where the true size is in the list of large ones.
const LARGE: u32 = u32::MAX;

/// Sizes in bytes, one for each node.
#[derive(Debug, Default)]
pub struct SizeColumn {
    low: Column<u32>,
    /// `(ordinal, size)`, ascending by ordinal, exactly the positions that hold [`LARGE`].
    large: Vec<(u32, u64)>,
}

impl SizeColumn {
    /// Builds the column from its two parts as an index stores them. `None` if they do not belong together.
    pub fn from_parts(low: Column<u32>, large: Vec<(u32, u64)>) -> Option<Self> {
        let sorted = large.windows(2).all(|w| w[0].0 < w[1].0);
        let known = large.iter().all(|&(ord, _)| low.get(ord as usize) == Some(&LARGE));
        (sorted && known).then_some(Self { low, large })
    }

    /// Number of sizes.
    pub fn len(&self) -> usize {
        self.low.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.low.is_empty()
    }

    /// The size of a node in bytes.
    #[inline]
    pub fn get(&self, ord: u32) -> u64 {
        self.view().get(ord)
    }

    /// The sizes for a loop: finds the column's memory once.
    #[inline]
    pub fn view(&self) -> Sizes<'_> {
        Sizes { low: &self.low, large: &self.large }
    }

    /// Replaces the size of a node.
    ///
    /// Linear in the number of sizes above 4 GiB, of which there are few.
    pub fn set(&mut self, ord: u32, size: u64) {
        let at = self.large.binary_search_by_key(&ord, |&(o, _)| o);
        let low = if size >= u64::from(LARGE) {
            match at {
                Ok(at) => self.large[at].1 = size,
                Err(at) => self.large.insert(at, (ord, size)),
            }
            LARGE
        } else {
            if let Ok(at) = at {
                self.large.remove(at);
            }
            size as u32
        };
        if let Some(slot) = self.low.to_mut().and_then(|low| low.get_mut(ord as usize)) {
            *slot = low;
        }
    }

    /// All sizes in ordinal order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let view = self.view();
        (0..view.low.len() as u32).map(move |ord| view.get(ord))
    }

    /// The 32-bit column, for passes that write it whole; positions that hold `u32::MAX` are in [`Self::large`].
    pub fn low(&self) -> &[u32] {
        &self.low
    }

    /// The 32-bit column and the list of large sizes, for passes that move sizes about.
    pub fn low_mut(&mut self) -> Option<&mut [u32]> {
        self.low.to_mut()
    }

    /// The sizes of 4 GiB - 1 and more, ascending by ordinal.
    pub fn large(&self) -> &[(u32, u64)] {
        &self.large
    }
}

/// A column of sizes at hand.
#[derive(Clone, Copy, Debug)]
pub struct Sizes<'a> {
    low: &'a [u32],
    large: &'a [(u32, u64)],
}

impl Sizes<'_> {
    /// The size of a node in bytes.
    #[inline]
    pub fn get(self, ord: u32) -> u64 {
        let low = self.low[ord as usize];
        if low == LARGE { self.get_large(ord) } else { u64::from(low) }
    }

    #[cold]
    fn get_large(self, ord: u32) -> u64 {
        match self.large.binary_search_by_key(&ord, |&(o, _)| o) {
            Ok(at) => self.large[at].1,
            Err(_) => u64::from(LARGE),
        }
    }
}

/// Collects sizes in any order and makes the column.
#[derive(Debug)]
pub struct SizeBuilder {
    low: Buffer<u32>,
    len: usize,
    large: Vec<(u32, u64)>,
}

impl SizeBuilder {
    /// Room for `len` sizes, all zero. `None` if there is no memory.
    pub fn new(len: usize) -> Option<Self> {
        Some(Self::over(Buffer::zeroed(len)?, len))
    }

    /// A column of `len` sizes over an array that has room for them; each must be put.
    pub fn over(low: Buffer<u32>, len: usize) -> Self {
        let len = len.min(low.len());
        Self { low, len, large: Vec::new() }
    }

    /// Sets a size; each ordinal at most once.
    #[inline]
    pub fn put(&mut self, ord: u32, size: u64) {
        if size >= u64::from(LARGE) {
            self.low[ord as usize] = LARGE;
            self.large.push((ord, size));
        } else {
            self.low[ord as usize] = size as u32;
        }
    }

    /// The 32-bit array, for whoever asks the processor to fetch a place of it.
    pub fn low(&self) -> &[u32] {
        &self.low
    }

    /// The finished column.
    pub fn finish(self) -> SizeColumn {
        let Self { low, len, mut large } = self;
        large.sort_unstable();
        SizeColumn { low: low.freeze(len), large }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_above_four_gib_do_not_wrap() {
        let mut builder = SizeBuilder::new(4).unwrap();
        builder.put(3, u64::from(u32::MAX));
        builder.put(1, 1 << 40);
        builder.put(0, 7);
        let mut column = builder.finish();
        assert_eq!(column.iter().collect::<Vec<_>>(), [7, 1 << 40, 0, u64::from(u32::MAX)]);
        column.set(1, 5);
        column.set(2, 1 << 33);
        assert_eq!(column.iter().collect::<Vec<_>>(), [7, 5, 1 << 33, u64::from(u32::MAX)]);
    }
}
