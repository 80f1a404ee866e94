//! What is wrong with a query, and where.

use std::ops::Range;

/// A query that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// What is wrong.
    pub message: String,
    /// What to try, if that is known.
    pub hint: Option<String>,
    /// Bytes of the text that it is about; empty at its end.
    pub at: Range<usize>,
}

impl QueryError {
    pub(super) fn new(message: impl Into<String>, at: Range<usize>) -> Self {
        Self { message: message.into(), hint: None, at }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The line of the text with a mark below the place. A long line is shown in part.
    pub fn picture(&self, text: &str) -> String {
        const BEFORE: usize = 50;
        const BEHIND: usize = 40;
        let start =
            (0..=self.at.start.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        let (before, rest) = text.split_at(start);
        let line: String = before.rsplit('\n').next().unwrap_or_default().into();
        let skipped = line.chars().count().saturating_sub(BEFORE);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut shown: String = line.chars().skip(skipped).map(plain).collect();
        let column = shown.chars().count();
        let len = self.at.end.saturating_sub(start);
        let marked = rest.char_indices().take_while(|&(i, c)| i < len && c != '\n').count();
        shown.extend(rest.chars().take_while(|&c| c != '\n').take(BEHIND).map(plain));
        let marks = "^".repeat(marked.clamp(1, BEHIND));
        format!("  {shown}\n  {}{marks}", " ".repeat(column))
    }
}
