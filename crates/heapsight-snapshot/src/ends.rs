//! Where the numbers of a text end, sixty-four bytes at a time.
//!
//! Reading one number after the other is slow because each must be found before the next can be looked for. Here the
//! bytes are sorted first: one bit a byte says digit, comma, or newline, and a few operations on those words check that
//! the text is as V8 writes it (digits, then a comma, or a newline and a comma) and give the ends of all its numbers. What
//! is left is arithmetic on numbers of known places, which does not wait for anything. (The idea is that of Langdale and
//! Lemire, "Parsing gigabytes of JSON per second", VLDB Journal 28, 2019.)
//!
//! Text of any other form is not refused here: it is said to be odd, and [`Numbers`](crate::numbers::Numbers) reads it.

use crate::{
    error::Problem,
    numbers::{PADDING, RowSource, eight_digits},
};

/// Ends that are kept at hand.
const ROOM: usize = 2048;

/// Ends of one block, and the places that are written with the last of them.
const SLACK: usize = 64 + 8;

/// Fields of a row at most, whose ends may wait for the rest of the row.
const FIELDS: usize = 64;

/// The text is not as V8 writes it, or a number is longer than sixteen digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd;

/// Walks the numbers of a text that is as V8 writes it.
pub(crate) struct QuickNumbers<'t> {
    /// Text and [`PADDING`].
    padded: &'t [u8],
    text: &'t [u8],
    ends: [u32; FIELDS + ROOM + SLACK],
    len: usize,
    /// Where the next block begins.
    block: usize,
    /// What the byte before the block is.
    before: Kinds,
}

/// One bit a byte, the first byte in the lowest bit.
#[derive(Clone, Copy)]
struct Kinds {
    digits: u64,
    commas: u64,
    newlines: u64,
}

impl<'t> QuickNumbers<'t> {
    /// `padded` is the text followed by [`PADDING`] bytes.
    pub(crate) fn new(padded: &'t [u8]) -> Self {
        Self {
            padded,
            text: &padded[..padded.len().saturating_sub(PADDING)],
            ends: [0; FIELDS + ROOM + SLACK],
            len: 0,
            block: 0,
            // As after a comma: a number must begin.
            before: Kinds { digits: 0, commas: 1, newlines: 0 },
        }
    }

    /// Takes blocks until the room for ends is used or the text is over.
    fn scan(&mut self) -> Result<(), Odd> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt") {
            #[expect(unsafe_code, reason = "the processor is asked before its instructions are used")]
            // SAFETY: the processor has these instructions.
            return unsafe { self.scan_bmi() };
        }
        self.scan_any()
    }

    /// The same, finding and counting bits by instructions of their own.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,popcnt")]
    fn scan_bmi(&mut self) -> Result<(), Odd> {
        self.scan_any()
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "is compiled for two sets of instructions")]
    fn scan_any(&mut self) -> Result<(), Odd> {
        let text = self.text;
        if u32::try_from(text.len()).is_err() {
            return Err(Odd);
        }
        let mut before = self.before;
        let mut len = self.len;
        let mut start = self.block;
        while len < FIELDS + ROOM && start <= text.len() {
            let rest = &text[start..];
            let (kinds, valid) = if let Some(block) = rest.first_chunk::<64>() {
                (Kinds::of(block), u64::MAX)
            } else {
                // The block after the last byte has the end of the last number, if no comma follows it.
                let mut block = [0; 64];
                block[..rest.len()].copy_from_slice(rest);
                (Kinds::of(&block), (1 << rest.len()) - 1)
            };
            let Kinds { digits, commas, newlines } = kinds;
            let after_digit = digits << 1 | before.digits;
            let after_newline = newlines << 1 | before.newlines;
            let odd = (valid & !(digits | commas | newlines))
                | (commas & !(after_digit | after_newline))
                | (newlines & !after_digit)
                | (digits & after_newline);
            if odd != 0 {
                return Err(Odd);
            }
            let mut bits = !digits & after_digit;
            let end = len + bits.count_ones() as usize;
            // Eight at a time without a look at each: the places behind the last are written again by the next block.
            while len < end {
                if let Some(slots) = self.ends.get_mut(len..len + 8) {
                    for slot in slots {
                        *slot = (start as u32).wrapping_add(bits.trailing_zeros());
                        bits &= bits.wrapping_sub(1);
                    }
                }
                len += 8;
            }
            len = end;
            before = Kinds { digits: digits >> 63, commas: commas >> 63, newlines: newlines >> 63 };
            start += 64;
        }
        (self.len, self.block, self.before) = (len, start, before);
        Ok(())
    }
}

/// Whether there is nothing in a text but digits, commas and newlines, looked at by blocks; `else_good` is asked of the bytes of
/// blocks that have anything else.
pub(crate) fn is_numbers(text: &[u8], else_good: impl Fn(u8) -> bool) -> bool {
    let (blocks, rest) = text.as_chunks::<64>();
    let good = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b',' | b'\n') || else_good(*byte);
    blocks.iter().all(|block| {
        let Kinds { digits, commas, newlines } = Kinds::of(block);
        digits | commas | newlines == u64::MAX || block.iter().all(good)
    }) && rest.iter().all(good)
}

impl RowSource for QuickNumbers<'_> {
    type Error = Odd;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over rows is this function, a few billion times")]
    fn rows<const F: usize>(
        mut self,
        fields: usize,
        count: usize,
        mut each: impl FnMut(usize, &[u64; F]) -> Result<(), Problem>,
    ) -> Result<(), Odd> {
        let padded = self.padded;
        let fields = if F == FIELDS { fields.clamp(1, FIELDS) } else { F };
        let mut row = [0; F];
        let mut done = 0;
        // Where the next number begins.
        let mut start = 0;
        while done < count {
            self.scan()?;
            let whole = self.len / fields;
            if whole == 0 || whole > count - done {
                return Err(Odd);
            }
            for ends in self.ends[..whole * fields].chunks_exact(fields) {
                for (slot, &end) in row.iter_mut().zip(ends) {
                    let end = end as usize;
                    *slot = number(padded, start, end)?;
                    // A newline stands before the comma at the end of a row.
                    start = end + 1 + usize::from(*padded.get(end).ok_or(Odd)? == b'\n');
                }
                // What is wrong is found again, with its place, by the careful reader.
                each(done, &row).map_err(|_| Odd)?;
                done += 1;
            }
            self.ends.copy_within(whole * fields..self.len, 0);
            self.len -= whole * fields;
        }
        while self.len == 0 && self.block <= self.text.len() {
            self.scan()?;
        }
        if self.len == 0 { Ok(()) } else { Err(Odd) }
    }
}

/// The number between two positions, of which the second is the greater.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the loop over rows")]
fn number(padded: &[u8], start: usize, end: usize) -> Result<u64, Odd> {
    let count = end.wrapping_sub(start);
    let text = eight(padded, start)?;
    if count > 8 {
        return long_number(padded, text, start + 8, count - 8);
    }
    // Digits are moved to the high bytes, and what follows them out of the word.
    Ok(eight_digits((text ^ ZEROS) << (64 - 8 * count as u32)))
}

/// The number of which the first eight digits and the place of the others are known.
#[inline]
fn long_number(padded: &[u8], first: u64, start: usize, count: usize) -> Result<u64, Odd> {
    const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let power = POWERS.get(count).ok_or(Odd)?;
    let rest = eight_digits((eight(padded, start)? ^ ZEROS) << (64 - 8 * count as u32));
    Ok(eight_digits(first ^ ZEROS) * power + rest)
}

/// Eight times the digit 0.
const ZEROS: u64 = 0x3030_3030_3030_3030;

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the loop over rows")]
fn eight(padded: &[u8], pos: usize) -> Result<u64, Odd> {
    let bytes = padded.get(pos..pos + 8).and_then(|bytes| bytes.first_chunk()).ok_or(Odd)?;
    Ok(u64::from_le_bytes(*bytes))
}

impl Kinds {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of `scan`")]
    fn of(block: &[u8; 64]) -> Self {
        #[expect(unsafe_code, reason = "the instructions have no other form")]
        // SAFETY: SSE2 belongs to every x86-64.
        unsafe {
            Self::of_sse2(block)
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    fn of_sse2(block: &[u8; 64]) -> Self {
        use std::arch::x86_64::{
            __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_movemask_epi8, _mm_set1_epi8,
        };
        let lanes: &[[u8; 16]; 4] = bytemuck::cast_ref(block);
        let mut kinds = Self { digits: 0, commas: 0, newlines: 0 };
        for (i, lane) in lanes.iter().enumerate() {
            let lane: __m128i = bytemuck::cast(*lane);
            // Digits moved to the lowest ten of the signed bytes.
            let moved = _mm_add_epi8(lane, _mm_set1_epi8(0x80_u8.wrapping_sub(b'0').cast_signed()));
            let digits = _mm_cmpgt_epi8(_mm_set1_epi8(-128 + 10), moved);
            let commas = _mm_cmpeq_epi8(lane, _mm_set1_epi8(b','.cast_signed()));
            let newlines = _mm_cmpeq_epi8(lane, _mm_set1_epi8(b'\n'.cast_signed()));
            let bits = |mask: __m128i| u64::from(_mm_movemask_epi8(mask).cast_unsigned()) << (16 * i);
            kinds.digits |= bits(digits);
            kinds.commas |= bits(commas);
            kinds.newlines |= bits(newlines);
        }
        kinds
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(block: &[u8; 64]) -> Self {
        Self::of_any(block)
    }

    /// The same with ordinary words.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn of_any(block: &[u8; 64]) -> Self {
        const HIGH: u64 = 0x8080_8080_8080_8080;
        const ONES: u64 = 0x0101_0101_0101_0101;
        // The high bit of each byte that is below `limit` (at most 128), where no byte has its high bit set already.
        let below = |word: u64, limit: u64| !((word & !HIGH) + (128 - limit) * ONES) & !word & HIGH;
        // The high bits of the bytes, side by side.
        let gather = |high: u64| ((high >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56;
        let mut kinds = Self { digits: 0, commas: 0, newlines: 0 };
        let (words, _) = block.as_chunks::<8>();
        for (i, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let same = |byte: u8| below(word ^ (u64::from(byte) * ONES), 1);
            kinds.digits |= gather(below(word ^ (u64::from(b'0') * ONES), 10)) << (8 * i);
            kinds.commas |= gather(same(b',')) << (8 * i);
            kinds.newlines |= gather(same(b'\n')) << (8 * i);
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{nodes::too_large, numbers::Numbers};

    fn padded(text: &str) -> Vec<u8> {
        [text.as_bytes(), &[0; PADDING]].concat()
    }

    fn quick(text: &str) -> Result<Vec<u64>, Odd> {
        let padded = padded(text);
        let count = text.bytes().filter(|&b| b == b',').count() + usize::from(!text.ends_with(','));
        let mut list = Vec::new();
        QuickNumbers::new(&padded).rows(1, count, |_, &[value]| {
            list.push(value);
            Ok(())
        })?;
        Ok(list)
    }

    #[test]
    fn every_length_of_number_is_read() {
        let mut expected = Vec::new();
        let mut value = 0u64;
        for digit in (1..=9).chain(0..=6) {
            value = value * 10 + digit;
            expected.extend([value, value / 7, digit]);
        }
        let text = expected.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(quick(&text).unwrap(), expected);
        assert_eq!(quick(&text.replace(',', "\n,")).unwrap(), expected);
        assert_eq!(quick(&(text.clone() + ",")).unwrap(), expected);
        assert_eq!(quick(&(text + "\n")).unwrap(), expected);
        assert_eq!(quick("12345678901234567"), Err(Odd));
    }

    #[test]
    fn other_forms_are_odd() {
        for text in [
            "", ",", "1,,2", "1, 2", "-1", "1,2.5", "3e5", "1\n2", "1\n\n,2", ",1", "\n,1", "1,2 ", "1,a",
            "é",
        ] {
            assert_eq!(quick(text), Err(Odd), "{text:?}");
            let long = "7,".repeat(100) + text;
            assert!(text.is_empty() || quick(&long).is_err(), "{text:?}");
        }
        let some = padded("1,2,3,4");
        let rows = |fields, count| QuickNumbers::new(&some).rows(fields, count, |_, _: &[u64; 64]| Ok(()));
        assert_eq!(rows(2, 2), Ok(()));
        assert_eq!(rows(4, 1), Ok(()));
        assert_eq!(rows(2, 1), Err(Odd), "two numbers are left");
        assert_eq!(rows(3, 1), Err(Odd), "one number is left");
        assert_eq!(rows(2, 3), Err(Odd), "two numbers are missing");
        let refused = QuickNumbers::new(&some).rows(4, 1, |_, _: &[u64; 4]| Err(too_large("number", 4)));
        assert_eq!(refused, Err(Odd));
    }

    #[test]
    fn both_ways_to_sort_bytes_agree() {
        for byte in 0..=255u8 {
            for at in [0, 7, 8, 31, 63] {
                let mut block = [b'x'; 64];
                block[at] = byte;
                block[(at + 1) % 64] = b'5';
                let (a, b) = (Kinds::of(&block), Kinds::of_any(&block));
                assert_eq!(
                    (a.digits, a.commas, a.newlines),
                    (b.digits, b.commas, b.newlines),
                    "{byte} at {at}"
                );
            }
        }
    }

    /// Numbers that look random, the same ones each time.
    struct Choices(u64);

    impl Choices {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    #[test]
    fn what_is_read_is_what_the_careful_reader_reads() {
        let mut choices = Choices(7);
        for _ in 0..3_000 {
            let mut text = String::new();
            let count = 1 + choices.next() % 900;
            for i in 0..count {
                if i > 0 {
                    text += if choices.next().is_multiple_of(5) { "\n," } else { "," };
                }
                text += &(choices.next() % 10u64.pow((choices.next() % 17) as u32)).to_string();
            }
            text += ["", ",", "\n"][(choices.next() % 3) as usize];
            let padded = padded(&text);
            let mut careful = Numbers::new(&padded);
            let expected: Vec<u64> = (0..count).map(|_| careful.next().unwrap()).collect();
            assert_eq!(quick(&text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_read_that_the_careful_reader_refuses() {
        let mut choices = Choices(11);
        let mut sound = 0;
        for _ in 0..200_000 {
            let alphabet = &b"0123456789,,,,,\n "[..choices.next() as usize % 4 + 14];
            let len = choices.next() as usize % if choices.next().is_multiple_of(8) { 200 } else { 12 };
            let byte = |_| char::from(alphabet[choices.next() as usize % alphabet.len()]);
            let text: String = (0..len).map(byte).collect();
            if let Ok(list) = quick(&text) {
                sound += 1;
                let padded = padded(&text);
                let mut careful = Numbers::new(&padded);
                for value in list {
                    assert_eq!(careful.next().unwrap(), value, "{text:?}");
                }
                assert!(careful.finish().is_ok(), "{text:?}");
            }
        }
        assert!(sound > 1_000, "{sound}");
    }
}
