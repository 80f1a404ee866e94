//! What stands in place of a text: a marker.
//!
//! A marker is a tilde, fifteen consonants, and tildes up to the length class of the text, which is the next power of two
//! of its characters, sixteen at least: `~kvwbhnmqdtrcfzx`, or with sixteen tildes more for a text of 17 to 32 characters. The
//! consonants are a keyed digest of the text (64 bits of SHA-256 over key and text; twenty letters carry 4.3 bits each).
//!
//! 1. Equal texts have equal markers under one key. Different texts have different ones but for a collision: among ten
//!    million texts one is to be expected once in 370,000 files.
//! 2. Without the key nobody can tell whether a text that he guesses belongs to a marker, or whether markers of two files
//!    are of one text. The key is made anew for each file, and forgotten.
//! 3. There are no vowels and no digits in a marker, so that it is no word and no number by accident.

use sha2::{Digest, Sha256};

/// What a marker begins and is filled up with.
pub(crate) const TILDE: u8 = b'~';

/// The digits of the digest.
const LETTERS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";

/// How many there are.
const DIGITS: usize = 15;

/// Characters of the shortest marker.
const SHORTEST: usize = DIGITS + 1;

/// A secret under which markers are made. It cannot be shown or taken out.
#[derive(Clone)]
pub struct Key(Sha256);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// A key from the system's random numbers.
    ///
    /// # Errors
    /// The system gives none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self::of(&bytes))
    }

    /// The key of these bytes: for tests, which want the same markers each time.
    pub fn of(bytes: &[u8; 32]) -> Self {
        // The key takes a whole block of the digest, so that its part of the work is done once.
        let mut block = [0; 64];
        block[..32].copy_from_slice(bytes);
        Self(Sha256::new_with_prefix(block))
    }

    /// Appends the marker of a text of so many characters.
    pub fn marker(&self, text: &[u8], characters: usize, out: &mut Vec<u8>) {
        let digest = self.0.clone().chain_update(text).finalize();
        let mut value = digest.iter().take(8).fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        out.push(TILDE);
        for _ in 0..DIGITS {
            out.push(LETTERS[(value % 20) as usize]);
            value /= 20;
        }
        let length = characters.max(SHORTEST).next_power_of_two();
        out.resize(out.len() + length - SHORTEST, TILDE);
    }

    /// The marker of a text.
    pub fn of_text(&self, text: &str) -> String {
        let mut out = Vec::new();
        self.marker(text.as_bytes(), text.chars().count(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

/// The length of the marker at the start of a text, if there is one.
pub(crate) fn leading_marker(text: &[u8]) -> Option<usize> {
    let (head, rest) = text.split_at_checked(SHORTEST)?;
    let (&first, letters) = head.split_first()?;
    if first != TILDE || !letters.iter().all(|letter| LETTERS.contains(letter)) {
        return None;
    }
    // Of two markers side by side the first ends where the other's tilde and letters begin.
    let tildes = rest.iter().take_while(|&&byte| byte == TILDE).count();
    let follows = |end: usize| leading_letters(&text[end..]);
    let end = SHORTEST + tildes;
    if end.is_power_of_two() {
        return Some(end);
    }
    (tildes > 0 && follows(end - 1) && (end - 1).is_power_of_two()).then_some(end - 1)
}

fn leading_letters(text: &[u8]) -> bool {
    text.get(1..SHORTEST).is_some_and(|letters| letters.iter().all(|letter| LETTERS.contains(letter)))
}

/// Whether a text is one marker and nothing else.
pub fn is_marker(text: &[u8]) -> bool {
    leading_marker(text) == Some(text.len())
}

/// Whether a text is markers and nothing else: a concatenated string has one for each of its parts.
pub(crate) fn only_markers(text: &[u8]) -> bool {
    !text.is_empty() && without_markers(text).iter().all(|&byte| byte == TILDE)
}

/// The text with each marker in it shortened to one tilde: what is left when markers are taken as equal.
pub(crate) fn without_markers(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        out.push(first);
        rest = leading_marker(rest).map_or(after, |len| &rest[len..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_have_the_length_class_of_their_text() {
        let key = Key::of(&[7; 32]);
        for (length, class) in [(1, 16), (16, 16), (17, 32), (33, 64), (1024, 1024), (1025, 2048)] {
            let marker = key.of_text(&"x".repeat(length));
            assert_eq!(marker.len(), class, "{marker}");
            assert!(is_marker(marker.as_bytes()), "{marker}");
        }
        assert_eq!(key.of_text("é".repeat(16).as_str()).len(), 16);
    }

    #[test]
    fn equal_texts_are_equal_under_one_key_and_under_no_other() {
        let (one, other) = (Key::random().unwrap(), Key::random().unwrap());
        assert_eq!(one.of_text("a secret"), one.of_text("a secret"));
        assert_ne!(one.of_text("a secret"), one.of_text("a secret!"));
        assert_ne!(one.of_text("a secret"), other.of_text("a secret"));
        assert!(!format!("{one:?}").contains(char::is_numeric));
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        let marker = Key::of(&[1; 32]).of_text("x");
        for text in ["", "~", "~~~~~~~~~~~~~~~~", &marker[1..], &format!("{marker}~"), &format!("{marker} ")]
        {
            assert!(!is_marker(text.as_bytes()), "{text}");
        }
        assert!(!is_marker(marker.to_uppercase().as_bytes()));
    }

    #[test]
    fn markers_within_a_text_are_found() {
        let key = Key::of(&[1; 32]);
        let (short, long) = (key.of_text("x"), key.of_text(&"y".repeat(40)));
        let text = format!("a~{short}{long}/{long}{short} {short}");
        assert_eq!(without_markers(text.as_bytes()), b"a~~~/~~ ~");
        assert_eq!(without_markers(b"~ ~~x"), b"~ ~~x");
    }
}
