//! A place in a source file, as people write it.

use std::fmt;

use super::package::package_of;

/// Where code stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path or URL of the file; paths are without `file://`.
    pub url: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The npm package that the file belongs to, or the runtime's module (`node:fs`); `None` for the program's own files.
    pub package: Option<String>,
    /// Where a source map led here: the place in the file that runs.
    pub generated: Option<Box<Place>>,
}

impl Place {
    /// A place in a script as the runtime knows it; line and column count from 0.
    pub(crate) fn in_script(url: &str, line: u32, column: u32) -> Self {
        let url = shown(url);
        let package = package_of(&url);
        Self { url, line: line.saturating_add(1), column: column.saturating_add(1), package, generated: None }
    }

    /// The name of the file without its folders.
    pub fn file(&self) -> &str {
        self.url.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(&self.url)
    }

    /// File and line: `store.js:41`. Modules of the runtime keep their whole name.
    pub fn short(&self) -> String {
        let file = if self.url.starts_with("node:") { &self.url } else { self.file() };
        format!("{file}:{}", self.line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.url, self.line, self.column)
    }
}

/// A URL as people are shown it: the path of a file, everything else as it is.
pub fn shown(url: &str) -> String {
    match url.strip_prefix("file://") {
        Some(path) => {
            let path = decoded(path);
            // `file:///C:/...`
            match path.as_bytes() {
                [b'/', drive, b':', ..] if drive.is_ascii_alphabetic() => path[1..].to_owned(),
                _ => path,
            }
        }
        None => url.to_owned(),
    }
}

/// Text without percent signs; what is no escape, or gives no text, stays.
pub(super) fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (bytes[at], digit(at + 1), digit(at + 2)) {
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_editors_write_them() {
        let place = Place::in_script("file:///srv/my%20app/st%C3%B6re.js", 40, 6);
        assert_eq!(place.to_string(), "/srv/my app/störe.js:41:7");
        assert_eq!(place.short(), "störe.js:41");
        assert_eq!(Place::in_script("node:internal/timers", 0, 0).short(), "node:internal/timers:1");
        assert_eq!(Place::in_script("", u32::MAX, u32::MAX).to_string(), format!(":{0}:{0}", u32::MAX));
        assert_eq!(shown("file:///C:/app/a.js"), "C:/app/a.js");
        assert_eq!(shown("https://example.test/a%20b.js"), "https://example.test/a%20b.js");
        for odd in ["%", "%4", "%zz", "100%", "%ff"] {
            assert_eq!(decoded(odd), odd);
        }
    }
}
