//! The text of scripts, for the question which function uses a variable.
//!
//! A snapshot says which functions share a context but not which of them uses which variable (Chromium 156 does, Node.js
//! does not). Where the file of a script is at hand, its text tells. The reading is rough: words and brackets, no syntax.

use std::{cell::RefCell, fs, io::Read as _, path::Path, rc::Rc};

use rustc_hash::FxHashMap;

/// Longer files are bundles of something else; reading them is not worth the time.
const MOST: u64 = 32 << 20;

/// How a piece of a script uses a variable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// It does not name it.
    #[default]
    None,
    /// It names it.
    Reads,
    /// It assigns to it, or calls something on it that adds.
    Adds,
}

/// The scripts that have been read.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: RefCell<FxHashMap<String, Option<Rc<str>>>>,
}

impl Sources {
    /// The text of a file; `None` where there is none, or it is no text.
    pub(crate) fn text(&self, url: &str) -> Option<Rc<str>> {
        if let Some(text) = self.files.borrow().get(url) {
            return text.clone();
        }
        let text = read(Path::new(url)).map(Rc::from);
        self.files.borrow_mut().insert(url.to_owned(), text.clone());
        text
    }
}

fn read(path: &Path) -> Option<String> {
    if !path.is_absolute() {
        return None;
    }
    let file = fs::File::open(path).ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > MOST {
        return None;
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The text from a place (line and column from 1) to the end of the function that begins there: to the bracket that closes
/// its body, or for an arrow without one to the end of the statement.
pub(crate) fn function_at(text: &str, line: u32, column: u32) -> Option<&str> {
    let mut rest = text;
    for _ in 1..line {
        rest = &rest[rest.find('\n')? + 1..];
    }
    let start = rest.char_indices().nth(column.saturating_sub(1) as usize)?.0;
    let rest = &rest[start..];
    let mut words = Words::default();
    let (mut depth, mut body) = (0i32, false);
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|&(_, c)| c);
        let before = words.last;
        if !words.is_code(c, next, &mut depth) {
            continue;
        }
        match c {
            '{' | '(' | '[' => {
                // After these there is an object, and no body.
                body |= c == '{' && depth == 0 && !matches!(before, '?' | ':' | ',' | '=' | '&' | '|');
                depth += 1;
            }
            '}' | ')' | ']' => {
                depth -= 1;
                if depth < 0 || (depth == 0 && c == '}' && body) {
                    return Some(&rest[..at + c.len_utf8()]);
                }
            }
            ';' if depth == 0 => return Some(&rest[..at]),
            _ => {}
        }
    }
    Some(rest)
}

/// What is not code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Quote(char),
    Template,
    LineComment,
    Comment,
    /// A regular expression; `true` inside of a class of characters.
    Regex(bool),
}

/// Tells code from strings, comments, templates and regular expressions, character by character.
#[derive(Default)]
struct Words {
    text: Option<Text>,
    escaped: bool,
    /// The second character of a sign of two.
    skip: bool,
    /// The depths at which the code in a template began.
    templates: Vec<i32>,
    /// The last character of code that is no space, and the word that it ends.
    last: char,
    word: String,
}

impl Words {
    /// Whether a character is code. Of code in a template the brackets are counted here.
    fn is_code(&mut self, c: char, next: Option<char>, depth: &mut i32) -> bool {
        if std::mem::take(&mut self.skip) {
            return false;
        }
        if let Some(text) = self.text {
            self.inside(text, c, next, depth);
            return false;
        }
        let text = match c {
            '\'' | '"' => Some(Text::Quote(c)),
            '`' => Some(Text::Template),
            '/' if next == Some('/') => Some(Text::LineComment),
            '/' if next == Some('*') => Some(Text::Comment),
            '/' if self.before_regex() => Some(Text::Regex(false)),
            _ => None,
        };
        if text.is_some() {
            self.skip = matches!(text, Some(Text::Comment));
            self.text = text;
            if !matches!(text, Some(Text::Comment | Text::LineComment)) {
                self.last = c;
                self.word.clear();
            }
            return false;
        }
        if c == '}' && self.templates.last() == Some(&(*depth - 1)) {
            self.templates.pop();
            *depth -= 1;
            self.text = Some(Text::Template);
            return false;
        }
        if !c.is_whitespace() {
            if !is_word(c) || !is_word(self.last) || self.word.is_empty() {
                self.word.clear();
            }
            if is_word(c) {
                self.word.push(c);
            }
            self.last = c;
        } else if is_word(self.last) {
            // The next word is another one.
            self.last = if self.ends_word() { '(' } else { 'a' };
            self.word.clear();
        }
        true
    }

    /// A character of what is not code.
    fn inside(&mut self, text: Text, c: char, next: Option<char>, depth: &mut i32) {
        let escaped = std::mem::take(&mut self.escaped);
        let comment = matches!(text, Text::Comment | Text::LineComment);
        if escaped || (c == '\\' && !comment) {
            self.escaped = !escaped;
            return;
        }
        match (text, c) {
            (Text::Quote(_) | Text::LineComment | Text::Regex(_), '\n')
            | (Text::Template, '`')
            | (Text::Regex(false), '/') => self.text = None,
            (Text::Quote(quote), _) if c == quote => self.text = None,
            (Text::Template, '$') if next == Some('{') => {
                self.skip = true;
                self.text = None;
                self.last = '(';
                self.templates.push(*depth);
                *depth += 1;
            }
            (Text::Comment, '*') if next == Some('/') => {
                self.skip = true;
                self.text = None;
            }
            (Text::Regex(_), '[') => self.text = Some(Text::Regex(true)),
            (Text::Regex(true), ']') => self.text = Some(Text::Regex(false)),
            _ => {}
        }
    }

    /// Whether the last word is one after which an expression begins.
    fn ends_word(&self) -> bool {
        const WORDS: &[&str] = &[
            "return", "typeof", "case", "in", "of", "void", "throw", "new", "await", "yield", "else", "do",
            "delete",
        ];
        WORDS.contains(&self.word.as_str())
    }

    /// Whether a slash begins a regular expression, and does not divide.
    fn before_regex(&self) -> bool {
        if is_word(self.last) {
            self.ends_word()
        } else {
            !matches!(self.last, ')' | ']' | '}' | '"' | '\'' | '`' | '/')
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// How a piece of a script uses a variable, or, with `field`, a field of whatever has one of that name.
pub(crate) fn usage(text: &str, variable: &str, field: bool) -> Use {
    const ADDING: &[&str] = &[
        "push",
        "set",
        "add",
        "unshift",
        "append",
        "on",
        "once",
        "addListener",
        "addEventListener",
        "enqueue",
        "insert",
        "concat",
        "then",
        "splice",
        "prependListener",
    ];
    let mut best = Use::None;
    for (at, _) in text.match_indices(variable) {
        let before = text[..at].chars().next_back();
        let after = text[at + variable.len()..].trim_start();
        let joined = text[at + variable.len()..].chars().next().is_some_and(is_word);
        if joined || before.is_some_and(|c| is_word(c) || (c == '.' && !field)) {
            continue;
        }
        best = best.max(Use::Reads);
        let assigned = |rest: &str| {
            let rest = rest.trim_start();
            (rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>"))
                || ["+=", "??=", "||=", "&&="].iter().any(|op| rest.starts_with(op))
        };
        if assigned(after) {
            if !takes_away(after, variable) {
                return Use::Adds;
            }
            continue;
        }
        // Calls and assignments to what it leads to: `v.a.push(`, `v[k] = `, `v[k].push(`.
        let mut rest = after;
        for _ in 0..6 {
            if let Some(inner) = rest.strip_prefix('[') {
                let mut depth = 1;
                let end = inner.find(|c| {
                    depth += i32::from(c == '[') - i32::from(c == ']');
                    depth == 0
                });
                let Some(end) = end else { break };
                rest = inner[end + 1..].trim_start();
            } else if let Some(inner) = rest.strip_prefix("?.").or_else(|| rest.strip_prefix('.')) {
                let inner = inner.trim_start();
                let word = &inner[..inner.find(|c| !is_word(c)).unwrap_or(inner.len())];
                rest = inner[word.len()..].trim_start();
                if rest.starts_with('(') && ADDING.contains(&word) {
                    return Use::Adds;
                }
            } else {
                break;
            }
            if assigned(rest) {
                return Use::Adds;
            }
        }
    }
    best
}

/// Whether what is assigned is empty, or less than what was there: `= []`, `= null`, `= list.next`, `= list.filter(`.
fn takes_away(after: &str, variable: &str) -> bool {
    const EMPTY: &[&str] = &[
        "[]",
        "{}",
        "null",
        "undefined",
        "''",
        "\"\"",
        "``",
        "0",
        "new Map()",
        "new Set()",
        "new WeakMap()",
        "void 0",
    ];
    let Some(value) = after.trim_start().strip_prefix('=') else { return false };
    let value = value.trim_start();
    let ends = |rest: &str| {
        let rest = rest.trim_start_matches([' ', '\t']);
        rest.is_empty() || rest.starts_with([';', '\n', ',', ')', '}'])
    };
    if EMPTY.iter().any(|empty| value.strip_prefix(empty).is_some_and(ends)) {
        return true;
    }
    let Some(field) = value.strip_prefix(variable).and_then(|rest| rest.strip_prefix('.')) else {
        return false;
    };
    !field.starts_with("concat")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_end_at_their_bracket() {
        let text = "const a = 1;\nserver((req, res) => {\n  if (x) { y('}') }\n});\nlater();\n";
        assert_eq!(function_at(text, 2, 8), Some("(req, res) => {\n  if (x) { y('}') }\n}"));
        let arrow = "const f = (x) => list.push(x);\nother();";
        assert_eq!(function_at(arrow, 1, 11), Some("(x) => list.push(x)"));
        assert_eq!(function_at(text, 99, 1), None);
        for body in [
            "() => { /* } */ a }",
            "() => { // }'`\n a }",
            "() => { return /[}/]}'/.test(a) }",
            "() => { return b / 2 / c }",
            "() => `${ { a: `}` }.a } }`",
            "() => { return `a ${b ? `}` : '}'} }` + `}` }",
            "(a, { b } = {}) => { b }",
            "() => a ? { b } : { c }",
            "function () { if (a) { b } else { c } }",
        ] {
            assert_eq!(function_at(&format!("{body}; d()"), 1, 1), Some(body), "{body}");
        }
    }

    #[test]
    fn what_adds_is_told_from_what_reads() {
        assert_eq!(usage("list.push(1)", "list", false), Use::Adds);
        assert_eq!(usage("cache[key] = value", "cache", false), Use::Adds);
        assert_eq!(usage("(byTag[tag] ||= []).push(1)", "byTag", false), Use::Adds);
        assert_eq!(usage("users.get(i).history", "users", false), Use::Reads);
        assert_eq!(usage("if (list == 3) other.list.push(1)", "list", false), Use::Reads);
        assert_eq!(usage("if (list == 3) other.list.push(1)", "list", true), Use::Adds);
        assert_eq!(usage("listing.push(1)", "list", false), Use::None);
        assert_eq!(usage("log += 'x'", "log", false), Use::Adds);
        assert_eq!(usage("if (x) head = { next: head };", "head", false), Use::Adds);
        assert_eq!(usage("list = list.concat(x);", "list", false), Use::Adds);
        for less in ["head = head.next;", "list = list.filter(old);", "list = [];", "this.list = null\n"] {
            assert_eq!(
                usage(less, if less.contains("list") { "list" } else { "head" }, true),
                Use::Reads,
                "{less}"
            );
        }
    }
}
