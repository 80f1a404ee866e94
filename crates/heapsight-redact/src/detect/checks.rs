//! What the form of a text alone does not say: digits that add up, heads that can be decoded, letters that look random.

/// Accepts everything: for rules whose form says enough.
pub(super) fn any(_: &str) -> bool {
    true
}

/// Whether digits, among spaces and hyphens, are those of a payment card: a known beginning, its length, and a sum that
/// is right (Luhn, ISO/IEC 7812-1).
pub(super) fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let number = |len: usize| digits.iter().take(len).fold(0, |value, digit| value * 10 + digit);
    let lengths: &[usize] = match (number(2), number(4)) {
        (40..=49, _) => &[13, 16, 19],
        (51..=55 | 64 | 65, _) | (_, 2221..=2720 | 6011 | 3528..=3589) => &[16],
        (34 | 37, _) => &[15],
        (36 | 38, _) | (_, 3000..=3059) => &[14],
        (62, _) => &[16, 17, 18, 19],
        _ => return false,
    };
    let varied = digits.iter().any(|digit| Some(digit) != digits.last()) && digits.len() > 12;
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    lengths.contains(&digits.len()) && varied && sum.is_multiple_of(10)
}

/// Whether an account number has the right check digits (ISO 13616: the remainder by 97 is 1).
pub(super) fn is_iban(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    if !(15..=34).contains(&plain.len()) {
        return false;
    }
    let (head, body) = plain.split_at(4);
    let mut rest = 0;
    for c in body.iter().chain(head) {
        let Some(value) = c.to_digit(36) else { return false };
        rest = if value < 10 { rest * 10 + value } else { rest * 100 + value } % 97;
    }
    rest == 1
}

/// Whether the end of an address is that of a domain and not of a file.
pub(super) fn is_email(text: &str) -> bool {
    const FILES: [&str; 18] = [
        "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "mjs", "cjs", "ts", "tsx", "jsx", "css",
        "json", "html", "map", "node",
    ];
    let end = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    !FILES.contains(&end.as_str())
}

/// Whether the first part of a JWT is JSON that names an algorithm (RFC 7515).
pub(super) fn is_jwt(text: &str) -> bool {
    let head = text.split('.').next().and_then(decode);
    head.and_then(|head| serde_json::from_slice::<serde_json::Value>(&head).ok())
        .is_some_and(|head| head.get("alg").is_some_and(serde_json::Value::is_string))
}

/// Whether credentials of basic authentication decode to a name and a password (RFC 7617).
pub(super) fn is_basic(text: &str) -> bool {
    decode(text.trim_end_matches('=')).is_some_and(|plain| {
        plain.contains(&b':') && plain.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte >= 0x80)
    })
}

/// Base 64 in either alphabet, without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// Whether a value behind `password=` is one, and not a word of code.
pub(super) fn is_assigned(text: &str) -> bool {
    let code = text.contains(['(', ')', '{', '}', '[', ']', '<', '>', '$', '`', '.']);
    let types =
        ["string", "undefined", "null", "true", "false", "number", "required", "function", "password"];
    !code
        && !types.contains(&text.to_ascii_lowercase().as_str())
        && text.bytes().any(|b| !b.is_ascii_lowercase())
}

/// Whether a text of letters and digits has nothing of a word: see [`is_random`].
pub(super) fn is_random_24(text: &str) -> bool {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { text.len() >= 32 && is_hex_id(text) } else { is_random(text, 24) }
}

/// Whether digits of base 16 look like a digest or an id.
pub(super) fn is_hex_id(text: &str) -> bool {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    hex && text.len() >= 16 && digits >= 3 && digits < text.len() && entropy(text.as_bytes()) > 2.8
}

/// Whether a text of at least so many letters and digits looks drawn by chance: upper case, lower case and digits, many
/// changes between them, digits in more than one place, no word, and few letters twice. Of what is drawn by chance one in eight
/// (of 24 characters) is not taken for such; names as `Uint8ArrayPrototypeToBase64` are not either.
pub(super) fn is_random(text: &str, least: usize) -> bool {
    let class = |byte: u8| match byte {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    if text.len() < least {
        return false;
    }
    let bytes = text.as_bytes();
    let mut counts = [0usize; 4];
    for &byte in bytes {
        counts[class(byte)] += 1;
    }
    let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    // Two random characters are of different classes in six of ten cases; words in camel case in one of four.
    let mixed = counts[0] >= 2 && counts[1] >= 2 && changes * 10 >= bytes.len() * 4;
    let runs = || bytes.chunk_by(|&a, &b| class(a) == class(b));
    let digits = runs().filter(|run| run.first().is_some_and(u8::is_ascii_digit)).count();
    let word = runs().any(|run| run.len() >= 7 && run.first().is_some_and(u8::is_ascii_lowercase));
    mixed && digits >= 2 && !word && entropy(bytes) > 3.5
}

/// Bits of information in a character, from how often each occurs (Shannon).
pub(super) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for &byte in text {
        counts[usize::from(byte)] += 1;
    }
    let all = text.len().max(1) as f64;
    counts
        .into_iter()
        .filter(|&count| count > 0)
        .map(|count| {
            let part = f64::from(count) / all;
            -part * part.log2()
        })
        .sum()
}
