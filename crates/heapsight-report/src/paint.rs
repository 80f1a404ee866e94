//! Colour, where it is wanted.

/// Whether and how to mark text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    /// Whether the output takes colour.
    pub on: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What grew, or is wrong.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What shrank.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// The tool's own colour.
    pub fn accent(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// Text from a snapshot, safe for a terminal: control characters are shown as escapes.
pub fn plain(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
