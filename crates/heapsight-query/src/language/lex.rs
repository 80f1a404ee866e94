//! From text to words.

use std::ops::Range;

use super::error::QueryError;

/// A word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    /// A number with its unit taken in.
    Number(u64),
    /// Text in quotes.
    Text(String),
    /// An expression between slashes.
    Pattern(String),
    /// A sign.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// A word and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) at: Range<usize>,
}

const SIGNS: [&str; 13] = ["==", "!=", "<=", ">=", "!~", "=", "<", ">", "~", "(", ")", ",", "*"];

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Cuts a text into words. The last one is the end.
pub(super) fn lex(text: &str) -> Result<Vec<Lexeme>, QueryError> {
    let mut lexemes: Vec<Lexeme> = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let start = at;
        let rest = &text[start..];
        let token = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            at += len;
            Token::Word(rest[..len].to_owned())
        } else if first.is_ascii_digit() || first == '@' {
            number(rest, &mut at)?
        } else if first == '"' || first == '\'' {
            quoted(rest, first, &mut at)?
        } else if first == '/' {
            let after_tilde = lexemes.last().is_some_and(|l| matches!(l.token, Token::Sign("~" | "!~")));
            if !after_tilde {
                return Err(QueryError::new("a pattern between slashes stands behind `~` only", at..at + 1)
                    .hint("write `name ~ /text/`"));
            }
            pattern(rest, &mut at)?
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            let error = QueryError::new(format!("`{first}` means nothing here"), at..at + first.len_utf8());
            return Err(match first {
                '&' => error.hint("write `and`"),
                '|' => error.hint("write `or`"),
                '!' => error.hint("write `not`"),
                '-' => error.hint("no field has negative values"),
                _ => error,
            });
        };
        lexemes.push(Lexeme { token, at: start..at });
    }
    lexemes.push(Lexeme { token: Token::End, at: text.len()..text.len() });
    Ok(lexemes)
}

/// `4711`, `@4711`, `1_000_000`, `1.5 MB`.
fn number(rest: &str, at: &mut usize) -> Result<Token, QueryError> {
    let start = *at;
    let id = rest.starts_with('@');
    let digits = &rest[usize::from(id)..];
    let len = digits.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(digits.len());
    let (digits, behind) = digits.split_at(len);
    let unit_len = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
    let mut unit = &behind[..unit_len];
    let mut end = start + usize::from(id) + len + unit_len;
    if unit.is_empty() && !id {
        // The unit may stand apart, if it is one.
        let apart = behind.trim_start();
        let word =
            &apart[..apart.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(apart.len())];
        if UNITS.iter().any(|(name, _)| name.eq_ignore_ascii_case(word)) {
            unit = word;
            end += behind.len() - apart.len() + word.len();
        }
    }
    let span = start..end;
    let factor = match unit {
        "" => 1,
        unit => match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some(&(_, factor)) if !id => factor,
            _ => {
                return Err(QueryError::new(format!("`{unit}` is no unit"), span)
                    .hint("units are B, KB, MB, GB (powers of 1,000) and KiB, MiB, GiB (powers of 1,024)"));
            }
        },
    };
    let value = scaled(&digits.replace('_', ""), factor)
        .ok_or_else(|| QueryError::new("this is no number, or too large a one", span))?;
    *at = end;
    Ok(Token::Number(value))
}

/// A size as it is written in a query: `4711`, `64KiB`, `1.5 MB`. `None` for what is none.
pub fn size(text: &str) -> Option<u64> {
    match lex(text.trim()).ok()?.as_slice() {
        [Lexeme { token: Token::Number(bytes), at }, _] if *at == (0..text.trim().len()) => {
            (!text.contains('@')).then_some(*bytes)
        }
        _ => None,
    }
}

/// A decimal number times a factor, as a whole number.
fn scaled(digits: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole: u64 = whole.parse().ok()?;
    // More than nine digits change nothing in a byte of a gigabyte.
    let kept = &fraction[..fraction.len().min(9)];
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let parts: u64 = kept.parse().ok()?;
    let of = 10u128.pow(kept.len() as u32);
    let part = u128::from(parts) * u128::from(factor) / of;
    whole.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
}

fn quoted(rest: &str, quote: char, at: &mut usize) -> Result<Token, QueryError> {
    let start = *at;
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        if c == quote {
            *at = start + i + 1;
            return Ok(Token::Text(text));
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => text.push('\n'),
            Some((_, 't')) => text.push('\t'),
            Some((_, 'r')) => text.push('\r'),
            // Everything else stands for itself, so that patterns need fewer backslashes: `\d` keeps its own.
            Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
            Some((_, c)) => text.extend(['\\', c]),
            None => break,
        }
    }
    Err(QueryError::new("the text has no closing quote", start..start + 1))
}

fn pattern(rest: &str, at: &mut usize) -> Result<Token, QueryError> {
    let start = *at;
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '/' => {
                *at = start + i + 1;
                return Ok(Token::Pattern(text));
            }
            '\\' => match chars.next() {
                Some((_, '/')) => text.push('/'),
                Some((_, c)) => text.extend(['\\', c]),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(QueryError::new("the pattern has no closing slash", start..start + 1))
}
