//! Digests over a column, as the golden files have them: so that every node of a capture is compared without keeping
//! its numbers.

use sha2::{Digest, Sha256};

/// Sum and exclusive or of a column, and the SHA-256 of its 64-bit little-endian stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDigest {
    /// Sum, as signed numbers.
    pub sum: String,
    /// Exclusive or of the 64-bit patterns.
    pub xor: String,
    /// SHA-256.
    pub sha256: String,
}

/// Digests a column.
pub fn column(values: impl Iterator<Item = i64>) -> ColumnDigest {
    let mut sum = 0i128;
    let mut xor = 0u64;
    let mut hash = Sha256::new();
    for value in values {
        sum += i128::from(value);
        xor ^= value as u64;
        hash.update((value as u64).to_le_bytes());
    }
    ColumnDigest { sum: sum.to_string(), xor: format!("0x{xor:016x}"), sha256: hex(&hash.finalize()) }
}

/// SHA-256 of lines.
pub fn lines(values: impl Iterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(value.as_bytes());
        hash.update(b"\n");
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").expect("a string takes everything");
        text
    })
}

impl ColumnDigest {
    /// The digest as a golden file has it.
    pub fn from_golden(value: &serde_json::Value) -> Self {
        let text = |key: &str| value[key].as_str().expect("digests are strings").to_owned();
        Self { sum: text("sum"), xor: text("xor"), sha256: text("sha256_u64le") }
    }
}
