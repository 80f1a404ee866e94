//! Sets of small integers, one bit each.

/// A fixed-size set of the numbers `0..len`.
#[derive(Clone, Debug, Default)]
pub struct BitSet {
    words: Vec<u64>,
    len: usize,
}

impl BitSet {
    /// The empty set of numbers below `len`.
    pub fn new(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// The set whose 64-number words are given.
    pub(crate) fn from_words(words: Vec<u64>, len: usize) -> Self {
        Self { words, len }
    }

    /// Numbers that the set can hold.
    pub fn capacity(&self) -> usize {
        self.len
    }

    /// Whether a number is in the set.
    #[inline]
    pub fn contains(&self, i: usize) -> bool {
        self.words[i >> 6] >> (i & 63) & 1 != 0
    }

    /// Adds a number; true if it was not in the set.
    #[inline]
    pub fn insert(&mut self, i: usize) -> bool {
        let word = &mut self.words[i >> 6];
        let bit = 1 << (i & 63);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes a number out.
    #[inline]
    pub fn remove(&mut self, i: usize) {
        self.words[i >> 6] &= !(1 << (i & 63));
    }

    /// How many numbers are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }
}

impl BitSet {
    /// The numbers of the set, ascending.
    pub fn iter(&self) -> Ones<'_> {
        Ones { words: &self.words, at: 0, word: self.words.first().copied().unwrap_or(0) }
    }
}

impl<'a> IntoIterator for &'a BitSet {
    type Item = usize;
    type IntoIter = Ones<'a>;
    fn into_iter(self) -> Ones<'a> {
        self.iter()
    }
}

/// The numbers of a set, ascending.
#[derive(Debug)]
pub struct Ones<'a> {
    words: &'a [u64],
    at: usize,
    word: u64,
}

impl Iterator for Ones<'_> {
    type Item = usize;
    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            self.at += 1;
            self.word = *self.words.get(self.at)?;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.at * 64 + bit)
    }
}
