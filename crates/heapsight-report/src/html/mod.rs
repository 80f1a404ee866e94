//! A report as one HTML file, which needs nothing else.
//!
//! The file has a template, one style sheet and one script (`assets/`), all written by hand, and the data as JSON. Its
//! Content-Security-Policy allows that style and that script by their digests and nothing else: no request leaves the page,
//! and text from a heap is never more than text. The script puts every text in place as the content of a text node.

mod data;

use sha2::{Digest, Sha256};

pub use data::Page;

const TEMPLATE: &str = include_str!("../../assets/report.html");
const STYLE: &str = include_str!("../../assets/report.css");
const SCRIPT: &str = include_str!("../../assets/report.js");

/// The whole file.
pub fn page(page: &Page<'_>) -> String {
    let data = inert(&data::json(page).to_string());
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; \
         form-action 'none'",
        digest(SCRIPT),
        digest(STYLE)
    );
    // From the end to the beginning: what is put in is not looked at again.
    let mut out = String::with_capacity(TEMPLATE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = TEMPLATE;
    for (mark, text) in
        [("{policy}", policy.as_str()), ("{style}", STYLE), ("{data}", &data), ("{script}", SCRIPT)]
    {
        let Some((before, after)) = rest.split_once(mark) else { continue };
        out += before;
        out += text;
        rest = after;
    }
    out + rest
}

/// JSON that cannot end the element that it stands in, nor begin a comment there. These characters occur in strings only.
pub(crate) fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    for c in json.chars() {
        match c {
            '<' => out += "\\u003c",
            '>' => out += "\\u003e",
            '&' => out += "\\u0026",
            '\u{2028}' => out += "\\u2028",
            '\u{2029}' => out += "\\u2029",
            c => out.push(c),
        }
    }
    out
}

/// The digest of an inline element as a policy has it: SHA-256 in base 64.
pub(crate) fn digest(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in Sha256::digest(text.as_bytes()).chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_browsers() {
        // From the specification of Content Security Policy, level 3.
        assert_eq!(digest("alert('Hello, world.');"), "qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn data_is_only_data() {
        let hostile = serde_json::json!(["</script><img src=x onerror=alert(1)>", "<!--", "a&b\u{2028}"]);
        let text = inert(&hostile.to_string());
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(hostile));
    }

    #[test]
    fn the_template_has_each_place_once_and_in_order() {
        let places = ["{policy}", "{style}", "{data}", "{script}"].map(|mark| {
            assert_eq!(TEMPLATE.matches(mark).count(), 1, "{mark}");
            TEMPLATE.find(mark)
        });
        assert!(places.is_sorted());
        // What would end the element early, or load something.
        for asset in [STYLE, SCRIPT] {
            for wrong in ["</", "<!--", "@import", "url(", "http:", "https:", "innerHTML", "eval("] {
                let allowed = wrong == "http:" && asset.contains("http://www.w3.org/2000/svg");
                assert!(allowed || !asset.contains(wrong), "{wrong}");
            }
        }
    }
}
