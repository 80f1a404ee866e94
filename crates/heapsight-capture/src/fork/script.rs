//! The expressions that are evaluated in the target.
//!
//! Those with more to say than a number answer with JSON as text: for an object the inspector would have to ask twice, and
//! would hold it meanwhile.

use serde_json::Value;

use super::ADDON;

/// The value of a text that an expression has answered with; null for any other.
pub(super) fn answer(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Loads the addon from a path of the target, or from its bytes; see `load.js`.
pub(super) fn load(path: Option<&str>, addon: Option<&[u8]>) -> String {
    let string = |text: Option<String>| text.map_or("null".into(), |text| Value::from(text).to_string());
    let path = string(path.map(str::to_owned));
    let bytes = string(addon.map(base64));
    format!(
        "JSON.stringify({}({}, {path}, {bytes}))",
        include_str!("load.js").trim_end(),
        Value::from(place())
    )
}

/// Forks; see `load.js`, and `heapsight_fork::mappings::Known` for `known`.
pub(super) fn fork(track: bool, known: &[u64]) -> String {
    format!("JSON.stringify(process[Symbol.for('{}')].fork({track}, {known:?}))", place())
}

/// The wait status of a child that has ended, or -1.
pub(super) fn ended(child: i64) -> String {
    format!("process[Symbol.for('{}')].ended({child})", place())
}

/// Forgets the ids of objects: 1, or 0.
pub(super) fn forget() -> String {
    format!("(process[Symbol.for('{}')] || {{ forget: () => 0 }}).forget()", place())
}

/// The symbol under which the target keeps the addon: another version of it, or of `load.js`, is another symbol.
fn place() -> String {
    let bytes = ADDON.iter().chain(include_bytes!("load.js"));
    // FNV-1a.
    let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("heapsight.fork.{digest:016x}")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0_usize, |number, i| number << 8 | usize::from(*group.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * i) & 63];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_as_in_the_rfc() {
        let expected = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, encoded) in expected {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
