//! Unsigned decimal numbers at memory speed.
//!
//! Eight bytes are looked at together: the first byte that is no digit is found with one mask and one bit scan, and the
//! digits before it become a value with three multiplications, without a branch on their count. Only numbers of more
//! than eight digits, white space in unusual places and errors leave that path. (Mula, Lemire: "Parsing series of
//! integers with SIMD", and Lemire's `parse_eight_digits_unrolled`, describe the arithmetic.)

use crate::error::{Problem, show_byte};

/// Zero bytes that must follow the text, so that eight bytes can be loaded at its end.
pub(crate) const PADDING: usize = 8;

/// A broken rule at a position of the text in hand.
#[derive(Debug)]
pub(crate) struct NumberError {
    pub(crate) pos: usize,
    pub(crate) problem: Problem,
}

/// The value of eight digits, one a byte, the first in the lowest byte.
#[inline]
pub(crate) fn eight_digits(digits: u64) -> u64 {
    let v = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (v & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((v >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    high.wrapping_add(low) >> 32
}

/// The value of the digits at the start of eight bytes of text, and how many they are. No digits have the value 0.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of `next`")]
fn leading_digits(text: u64) -> (u64, u32) {
    let digits = text ^ 0x3030_3030_3030_3030;
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the high bytes, zeros enter below: the number is always read as eight digits.
    (eight_digits(digits << (64 - 8 * count)), count)
}

/// Where the rows of a table take their numbers from.
pub(crate) trait RowSource: Sized {
    /// Why there is no row, or why it is refused.
    type Error;

    /// Passes the first `count` rows of `fields` numbers (at most `F`) to `each`, with their position, and checks that
    /// nothing is left. What `each` finds wrong gets its place.
    fn rows<const F: usize>(
        self,
        fields: usize,
        count: usize,
        each: impl FnMut(usize, &[u64; F]) -> Result<(), Problem>,
    ) -> Result<(), Self::Error>;
}

impl RowSource for Numbers<'_> {
    type Error = NumberError;

    fn rows<const F: usize>(
        mut self,
        fields: usize,
        count: usize,
        mut each: impl FnMut(usize, &[u64; F]) -> Result<(), Problem>,
    ) -> Result<(), NumberError> {
        let mut row = [0; F];
        for i in 0..count {
            for slot in row.iter_mut().take(fields) {
                *slot = self.next()?;
            }
            each(i, &row).map_err(|problem| self.fail(problem))?;
        }
        self.finish()
    }
}

/// Walks numbers separated by commas.
pub(crate) struct Numbers<'t> {
    /// Text and [`PADDING`].
    padded: &'t [u8],
    end: usize,
    pos: usize,
}

impl<'t> Numbers<'t> {
    /// `padded` is the text followed by [`PADDING`] bytes.
    pub(crate) fn new(padded: &'t [u8]) -> Self {
        Self { padded, end: padded.len().saturating_sub(PADDING), pos: 0 }
    }

    #[cfg(test)]
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// The next number and the comma (or newline and comma) after it; at the end of the text nothing follows.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over rows is this function, a few billion times")]
    pub(crate) fn next(&mut self) -> Result<u64, NumberError> {
        let Some(text) = self.eight(self.pos) else { return self.next_slowly() };
        let (value, count) = leading_digits(text);
        if count == 0 {
            return self.next_slowly();
        }
        if count == 8 {
            return self.next_long(value);
        }
        self.pos += count as usize;
        self.comma(text >> (8 * count))?;
        Ok(value)
    }

    /// Eight bytes of the text or its padding.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of `next`")]
    fn eight(&self, pos: usize) -> Option<u64> {
        let bytes = self.padded.get(pos..pos + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// A number of eight digits and more, of which the first eight are known.
    #[inline]
    fn next_long(&mut self, first: u64) -> Result<u64, NumberError> {
        const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
        let (Some(text), start) = (self.eight(self.pos + 8), self.pos) else { return self.next_slowly() };
        let (rest, count) = leading_digits(text);
        if count == 8 {
            // Longer than anything that fits a column.
            return self.next_slowly();
        }
        self.pos = start + 8 + count as usize;
        self.comma(text >> (8 * count))?;
        Ok(first * POWERS[count as usize] + rest)
    }

    /// Consumes what separates two numbers. `next` holds the text at the position, as far as it is at hand: the padding is
    /// zeros, so a comma in it is one of the text.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of `next`")]
    fn comma(&mut self, next: u64) -> Result<(), NumberError> {
        if next as u8 == b',' {
            self.pos += 1;
            return Ok(());
        }
        if next as u16 == u16::from_le_bytes(*b"\n,") {
            self.pos += 2;
            return Ok(());
        }
        self.comma_slowly()
    }

    #[cold]
    fn comma_slowly(&mut self) -> Result<(), NumberError> {
        self.skip_space();
        if self.pos >= self.end {
            return Ok(());
        }
        match self.padded[self.pos] {
            b',' => {
                self.pos += 1;
                Ok(())
            }
            b'.' | b'e' | b'E' => Err(self.fail(Problem::NotUnsigned(self.word()))),
            other => Err(self.fail(Problem::Syntax {
                expected: "`,` or `]` after a number",
                found: show_byte(Some(other)),
            })),
        }
    }

    #[cold]
    fn next_slowly(&mut self) -> Result<u64, NumberError> {
        self.skip_space();
        let start = self.pos;
        let mut value = 0u64;
        while let Some(digit) = self.digit() {
            value = value.saturating_mul(10).saturating_add(digit);
            self.pos += 1;
        }
        if self.pos == start {
            let found = self.padded[..self.end].get(self.pos).copied();
            return Err(match found {
                Some(b'-' | b'+' | b'.') => self.fail(Problem::NotUnsigned(self.word())),
                found => self.fail(Problem::Syntax { expected: "a number", found: show_byte(found) }),
            });
        }
        self.comma(0)?;
        Ok(value)
    }

    fn digit(&self) -> Option<u64> {
        let byte = *self.padded[..self.end].get(self.pos)?;
        byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
    }

    fn skip_space(&mut self) {
        while self.pos < self.end && matches!(self.padded[self.pos], b' ' | b'\t' | b'\n' | b'\r') {
            self.pos += 1;
        }
    }

    /// The number-like word around the position, for a message.
    fn word(&self) -> String {
        let text = &self.padded[..self.end];
        let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        let start = self.pos - text[..self.pos].iter().rev().take(24).take_while(|b| part(b)).count();
        let end = self.pos + text[self.pos..].iter().take(24).take_while(|b| part(b)).count();
        format!("`{}`", String::from_utf8_lossy(&text[start..end]))
    }

    pub(crate) fn fail(&self, problem: Problem) -> NumberError {
        NumberError { pos: self.pos, problem }
    }

    /// Checks that nothing but white space is left.
    pub(crate) fn finish(mut self) -> Result<(), NumberError> {
        self.skip_space();
        if self.pos < self.end {
            let found = show_byte(Some(self.padded[self.pos]));
            return Err(self.fail(Problem::Syntax { expected: "the end of a row", found }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<u64>, String> {
        let mut padded = text.as_bytes().to_vec();
        padded.extend([0; PADDING]);
        let mut numbers = Numbers::new(&padded);
        let mut out = Vec::new();
        while numbers.pos() < numbers.end {
            out.push(numbers.next().map_err(|e| format!("{}: {}", e.pos, e.problem))?);
        }
        numbers.finish().map_err(|e| e.problem.to_string())?;
        Ok(out)
    }

    #[test]
    fn every_length_of_number_is_read() {
        let mut expected = Vec::new();
        let mut value = 0u64;
        for digit in (1..=9).chain(0..=9) {
            value = value.wrapping_mul(10) + digit;
            expected.push(value);
            expected.push(value / 7);
        }
        let text = expected.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(all(&text).unwrap(), expected);
        assert_eq!(all(&text.replace(',', "\n,")).unwrap(), expected);
        assert_eq!(all(&format!(" {} ", text.replace(',', " ,\r\n\t"))).unwrap(), expected);
        assert_eq!(all("99999999999999999999999").unwrap(), [u64::MAX]);
        assert_eq!(all("007,00000000000000001").unwrap(), [7, 1]);
    }

    #[test]
    fn what_is_no_unsigned_number_is_refused_at_its_place() {
        for (text, place) in [("1,-2", 2), ("1,2.5", 3), ("3e5", 1), ("1,,2", 2), ("1 2", 2), ("\"a\"", 0)] {
            let error = all(text).unwrap_err();
            assert!(error.starts_with(&format!("{place}: ")), "{text}: {error}");
        }
        assert_eq!(all("1,-27").unwrap_err(), "2: expected an unsigned whole number, found `-27`");
    }
}
