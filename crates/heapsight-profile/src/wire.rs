//! The wire format of protocol buffers, as far as pprof needs it.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use crate::error::{Problem, ReadError};

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'b> {
    /// A varint or a fixed-width number.
    Number(u64),
    /// Bytes: a text, a message, or packed numbers.
    Bytes(&'b [u8]),
}

impl<'b> Value<'b> {
    pub(crate) fn number(self) -> u64 {
        if let Self::Number(n) = self { n } else { 0 }
    }

    pub(crate) fn bytes(self) -> &'b [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

/// Goes over the fields of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'b> {
    bytes: &'b [u8],
    pos: usize,
    /// Offset of the message in the file.
    base: u64,
}

impl<'b> Message<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, pos: 0, base: 0 }
    }

    /// The message inside a field that was just read.
    pub(crate) fn inside(&self, bytes: &'b [u8]) -> Self {
        Self { bytes, pos: 0, base: self.offset() - bytes.len() as u64 }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    fn cut_off(&self) -> ReadError {
        Problem::Truncated("a pprof message").at(self.offset())
    }

    fn varint(&mut self) -> Result<u64, ReadError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.pos).ok_or_else(|| self.cut_off())?;
            self.pos += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Problem::Value("a number has more than 64 bits".into()).at(self.offset()))
    }

    fn take(&mut self, length: u64) -> Result<&'b [u8], ReadError> {
        let end = usize::try_from(length).ok().and_then(|length| self.pos.checked_add(length));
        let bytes = end.and_then(|end| self.bytes.get(self.pos..end)).ok_or_else(|| self.cut_off())?;
        self.pos += bytes.len();
        Ok(bytes)
    }

    /// The next field: its number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'b>)>, ReadError> {
        if self.pos >= self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let little = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(little(self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Number(little(self.take(4)?)),
            _ => {
                let found = format!("wire type {}", tag & 7);
                let problem = Problem::Syntax { expected: "a field of protocol buffers", found };
                return Err(problem.at(self.offset()));
            }
        };
        Ok(Some((tag >> 3, value)))
    }

    /// Appends the numbers of a repeated field, which may come packed or one by one.
    pub(crate) fn numbers(&self, value: Value<'b>, out: &mut Vec<u64>) -> Result<(), ReadError> {
        match value {
            Value::Number(n) => out.push(n),
            Value::Bytes(bytes) => {
                let mut packed = self.inside(bytes);
                while packed.pos < packed.bytes.len() {
                    out.push(packed.varint()?);
                }
            }
        }
        Ok(())
    }
}

/// Appends a varint.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that is a number; 0 is what is not written.
pub(crate) fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        varint(out, field << 3);
        varint(out, value);
    }
}

/// Appends a field that is bytes.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
