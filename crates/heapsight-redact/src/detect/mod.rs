//! What looks like a secret, or like data of a person, in a text.
//!
//! Three kinds of evidence: the form of what is known (tokens of vendors, keys, e-mail addresses; `rules.rs` has the
//! table), a test of what the form says (`checks.rs`: the digits of a card number add up, the head of a JWT can be decoded),
//! and for what has no form, that it looks random. A finding is a part of the text; it is shown by [`mask`] and never whole.
//!
//! Time linear in the text: one automaton looks for all forms at once, and only those that are there are looked for again.

mod checks;
mod rules;

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

pub use rules::Kind;
use rules::RULES;

/// Only so much of a text is looked at: V8 cuts strings at 1,024 characters, and what is longer is looked at in parts.
const PART: usize = 1 << 16;

/// How far parts overlap, so that what lies across their border is found.
const OVERLAP: usize = 1 << 10;

/// A part of a text that looks like a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What it looks like.
    pub kind: Kind,
    /// Whose it is, in words.
    pub what: &'static str,
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

struct Compiled {
    set: RegexSet,
    each: Vec<Regex>,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    // Borders of words are those of ASCII: the automaton knows no others.
    let patterns: Vec<String> = RULES.iter().map(|rule| rule.pattern.replace(r"\b", r"(?-u:\b)")).collect();
    // The table is a constant; a test compiles each of its patterns by itself.
    let set = RegexSet::new(&patterns).unwrap_or_else(|_| RegexSet::empty());
    let each = patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
    Compiled { set, each }
});

/// Finds what looks like a secret; of overlapping findings the most telling one stays. Ascending by place.
pub fn secrets(text: &str) -> Vec<Hit> {
    // The shortest secret that is known has six characters.
    if text.len() < 6 || crate::marker::only_markers(text.as_bytes()) {
        return Vec::new();
    }
    let mut hits = Vec::new();
    let mut start = 0;
    loop {
        let end = floor(text, (start + PART).min(text.len()));
        part(&text[start..end], start, &mut hits);
        if end == text.len() {
            break;
        }
        start = floor(text, end - OVERLAP);
    }
    // The order of the table is that of how much a rule tells.
    hits.sort_by_key(|&(rank, hit)| (rank, hit.start));
    let mut kept: Vec<Hit> = Vec::new();
    for (_, hit) in hits {
        if kept.iter().all(|other| hit.end <= other.start || other.end <= hit.start) {
            kept.push(hit);
        }
    }
    kept.sort_by_key(|hit| hit.start);
    kept
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn part(text: &str, base: usize, hits: &mut Vec<(usize, Hit)>) {
    let Compiled { set, each } = &*COMPILED;
    for rank in set.matches(text) {
        let (Some(rule), Some(regex)) = (RULES.get(rank), each.get(rank)) else { continue };
        for found in regex.captures_iter(text) {
            // Where a rule has a group, that is the secret, and the rest is what it is known by.
            let Some(secret) = found.get(1).or_else(|| found.get(0)) else { continue };
            if !(rule.check)(secret.as_str())
                || crate::marker::leading_marker(secret.as_str().as_bytes()).is_some()
            {
                continue;
            }
            let end = if rule.kind == Kind::PrivateKey { text.len() } else { secret.end() };
            let hit = Hit { kind: rule.kind, what: rule.what, start: base + secret.start(), end: base + end };
            hits.push((rank, hit));
        }
    }
}

/// Whether a name is one for a thing that is secret: `password`, `dbPassword`, `api_key`, `Authorization` ...
pub fn names_a_secret(name: &str) -> bool {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?xi) (?: ^|[_.\-]|[a-z] )
            (?: pass(?:word|wd|phrase|code) | pwd | secret | (?:api|access|secret|private|signing|encryption)[_-]?key
              | (?:access|refresh|auth|bearer|session|id|csrf|api)[_-]?token | authorization | cookie | credentials?
              | connection[_-]?string | cvv | cvc | ssn | otp )
            (?:[_-]?(?:value|string|hash))? $",
        )
        .ok()
    });
    let token = name.eq_ignore_ascii_case("token") || name.ends_with("_TOKEN") || name.ends_with("_KEY");
    token || NAME.as_ref().is_some_and(|regex| regex.is_match(name))
}

/// Whether a value beside such a name can be a secret, and is not a word of the program.
pub fn can_be_a_secret(value: &str) -> bool {
    let len = value.chars().count();
    if !(4..=4096).contains(&len) || crate::marker::only_markers(value.as_bytes()) {
        return false;
    }
    // `function`, `session_token`, `kToken`: names of the program. A password that is a plain word is taken for one too,
    // unless it is longer than those are.
    let word = value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_' || b == b'-');
    let code = value.contains(['(', '{', '\n']) || value.starts_with("Symbol");
    !code && (!word || len > 24 || checks::entropy(value.as_bytes()) > 3.6)
}

/// Whether a name of a property looks like data: a number, an id, a digest, or what [`secrets`] finds.
pub fn is_data_like(name: &str) -> bool {
    static DATA: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?x) [0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}
            | (?: ^|[^0-9A-Za-z.] ) \+? [0-9](?:[\ \-./]?[0-9]){8,}
            | (?: ^|[^0-9.] ) (?:[0-9]{1,3}\.){3}[0-9]{1,3} (?: [^0-9.]|$ )",
        )
        .ok()
    });
    if name.len() < 6 {
        return false;
    }
    DATA.as_ref().is_some_and(|regex| regex.is_match(name))
        || !secrets(name).is_empty()
        || tokens(name).any(|token| checks::is_hex_id(token) || checks::is_random(token, 16))
}

/// Words of letters and digits.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| token.len() >= 16)
}

/// A name as it may be shown: what looks like a secret in it is masked.
pub fn hidden(name: &str) -> String {
    let mut out = String::new();
    let mut done = 0;
    for hit in secrets(name) {
        let (Some(before), Some(secret)) = (name.get(done..hit.start), name.get(hit.start..hit.end)) else {
            continue;
        };
        out.push_str(before);
        out.push_str(&mask(hit.kind, secret));
        done = hit.end;
    }
    out.push_str(name.get(done..).unwrap_or_default());
    out
}

/// A secret as it may be shown: its first characters, at most four and at most a quarter, and how long it is. Of a card
/// number the last four digits, of an e-mail address the first character and the end of the domain.
pub fn mask(kind: Kind, secret: &str) -> String {
    let shown: Vec<char> = secret.chars().collect();
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    match kind {
        Kind::Card => {
            let digits: Vec<char> = shown.iter().copied().filter(char::is_ascii_digit).collect();
            let last: String = digits.iter().skip(digits.len().saturating_sub(4)).collect();
            format!("…{last} ({} digits)", digits.len())
        }
        Kind::Email => {
            let first: String = shown.iter().take(1).map(|&c| plain(c)).collect();
            let end = secret.rsplit_once('.').map_or("", |(_, end)| end);
            format!("{first}…@….{end} ({} characters)", shown.len())
        }
        _ => {
            let count = 4.min(shown.len() / 4);
            let first: String = shown.iter().take(count).map(|&c| plain(c)).collect();
            format!("{first}… ({} characters)", shown.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        secrets(text).iter().map(|hit| hit.kind).collect()
    }

    #[test]
    fn every_rule_compiles_and_has_a_word() {
        assert_eq!(COMPILED.each.len(), RULES.len());
        assert_eq!(COMPILED.set.len(), RULES.len());
        for rule in RULES {
            assert!(!rule.what.is_empty() && Regex::new(rule.pattern).is_ok(), "{}", rule.what);
        }
    }

    #[test]
    fn tokens_of_vendors_are_found_by_their_form() {
        // Put together here, so that no scanner takes this file for a leak.
        let body = "Zx81Kq0vLw72Yb35Tn94Rc66Hd58Jf20Gs13";
        for (start, len) in [
            ("ghp_", 36),
            ("github_pat_", 30),
            ("glpat-", 20),
            ("xoxb-", 24),
            ("sk_live_", 24),
            ("npm_", 36),
            ("AIza", 35),
            ("sk-proj-", 32),
            ("sk-ant-", 32),
            ("hvs.", 28),
            ("whsec_", 32),
        ] {
            let token = format!("{start}{}", &body[..len]);
            for text in [token.clone(), format!("key={token};"), format!("Bearer {token}")] {
                let hits = secrets(&text);
                assert!(
                    hits.iter().any(|h| h.kind == Kind::Token && text[h.start..h.end].contains(&token)),
                    "{text}: {hits:?}"
                );
            }
        }
        assert_eq!(kinds(&format!("AKIA{}", "Q7RZ5JX2M4KD8WPN")), [Kind::Token]);
        assert_eq!(kinds("AKIA is a prefix"), []);
    }

    #[test]
    fn keys_and_signed_tokens_are_found() {
        assert_eq!(kinds("x -----BEGIN RSA PRIVATE KEY-----\nMIIE"), [Kind::PrivateKey]);
        assert_eq!(kinds("-----BEGIN CERTIFICATE-----\nMIIE"), []);
        let jwt = ["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJzdWIiOiIxMjM0NSJ9", "c2lnbmF0dXJl"].join(".");
        assert_eq!(kinds(&jwt), [Kind::Jwt]);
        assert_eq!(kinds("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0dXJl"), [], "the head is no JSON");
    }

    #[test]
    fn data_of_persons_is_found() {
        assert_eq!(kinds("write to ada.lovelace@analytical.org!"), [Kind::Email]);
        assert_eq!(kinds("icon@2x.png pkg@1.2.3 git@"), []);
        assert_eq!(kinds("4111 1111 1111 1111"), [Kind::Card]);
        assert_eq!(kinds("card 5500005555555559."), [Kind::Card]);
        assert_eq!(kinds("4111 1111 1111 1112"), [], "its digits do not add up");
        assert_eq!(kinds("1700000000000 0000000000000000"), []);
        assert_eq!(kinds("DE89 3704 0044 0532 0130 00"), [Kind::Iban]);
    }

    #[test]
    fn passwords_are_found_by_what_stands_around_them() {
        let hit = |text: &str| secrets(text).first().map(|h| (h.kind, text[h.start..h.end].to_owned()));
        let url = "postgres://app:hunter2@db:5432/x";
        assert_eq!(hit(url), Some((Kind::Password, "hunter2".into())));
        assert_eq!(hit("https://host:8080/a@b"), None);
        assert_eq!(hit("user=x&password=c0rrect"), Some((Kind::Password, "c0rrect".into())));
        assert_eq!(hit("password: string"), None);
        assert_eq!(hit("Basic YWxpY2U6c2VjcmV0"), Some((Kind::Authorization, "YWxpY2U6c2VjcmV0".into())));
        assert_eq!(hit("Basic authentication"), None);
    }

    #[test]
    fn what_looks_random_is_found_and_code_is_not() {
        assert_eq!(kinds("k8Jq2LmZx0vR7tYb4NwQe9Ps"), [Kind::Random]);
        for text in [
            "DataViewPrototypeGetBigInt64",
            "Uint8ArrayPrototypeToBase64",
            "getOwnPropertyDescriptorsOfTypedArray2",
            "00000000000000000000000000000000",
            "/srv/app/node_modules/x/lib",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            "MAX_SAFE_INTEGER_OF_THE_ENGINE_1",
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
    }

    #[test]
    fn names_of_properties_that_are_data() {
        for name in [
            "ada@analytical.org",
            "6f1ed002-ab5d-4f3c-9d3c-0d1b2a3c4d5e",
            "+49 30 1234567",
            "user:123456789",
            "10.0.0.17",
            "d41d8cd98f00b204e9800998ecf8427e",
            "k8Jq2LmZx0vR7tYb4NwQe9Ps",
        ] {
            assert!(is_data_like(name), "{name}");
        }
        for name in [
            "sessions",
            "UV_FS_SYMLINK_JUNCTION",
            "getUint32",
            "1.2.3",
            "ERR_HTTP2_HEADERS_SENT",
            "__proto__",
            "utf16le",
            "kIncomingMessageBytesReadSoFar",
            "<symbol kState>",
            "application/x-www-form-urlencoded",
            "sha512-256",
        ] {
            assert!(!is_data_like(name), "{name}");
        }
    }

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "dbPassword",
            "DB_PASSWORD",
            "api_key",
            "apiKey",
            "Authorization",
            "clientSecret",
            "token",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["passwords_are_hashed", "tokenizer", "keyboard", "author", "cookieJar", "compass"] {
            assert!(!names_a_secret(name), "{name}");
        }
        assert!(can_be_a_secret("hunter2") && can_be_a_secret("correct horse"));
        assert!(!can_be_a_secret("string") && !can_be_a_secret("abc") && !can_be_a_secret("function () { }"));
    }

    #[test]
    fn nothing_is_shown_whole() {
        assert_eq!(mask(Kind::Token, "ghp_0123456789abcdef"), "ghp_… (20 characters)");
        assert_eq!(mask(Kind::Password, "hunter2"), "h… (7 characters)");
        assert_eq!(mask(Kind::Password, "abc"), "… (3 characters)");
        assert_eq!(mask(Kind::Card, "4111 1111 1111 1111"), "…1111 (16 digits)");
        assert_eq!(mask(Kind::Email, "ada@analytical.org"), "a…@….org (18 characters)");
    }

    #[test]
    fn a_secret_across_the_border_of_two_parts_is_found_once() {
        for at in [PART - 20, PART - 5, PART + 3] {
            let text = format!("{} ada@analytical.org {}", "x".repeat(at), "y ".repeat(PART));
            let hits = secrets(&text);
            assert_eq!(hits.len(), 1, "{at}");
            assert_eq!(&text[hits[0].start..hits[0].end], "ada@analytical.org");
        }
    }
}
