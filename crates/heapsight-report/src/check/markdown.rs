//! The answer as Markdown in GitHub's dialect, for the page of a job or a comment.

use super::{Checked, Item, Status};

/// Leaks whose details are given.
const DETAILS: usize = 10;

/// The page.
pub fn write(checked: &Checked<'_>) -> String {
    let mark = if checked.passed() { "✅" } else { "❌" };
    let mut out = format!("## {mark} Heapsight: {}\n\n", text(&checked.heading()));
    if let Some(heap) = checked.heap() {
        out += &format!("Heap: {}\n\n", text(&heap));
    }
    let items = checked.items();
    if !items.is_empty() {
        out += "| | What | Growth | Limit | Where |\n| --- | --- | ---: | ---: | --- |\n";
        for item in &items {
            let mark = match item.status {
                Status::Failed => "❌",
                Status::Known => "➖ known",
                Status::Passed => "✅",
            };
            let location = item.location();
            let location = if location.is_empty() { String::new() } else { cell(&location) };
            out += &format!(
                "| {mark} | {} {} | {} | {} | {location} |\n",
                item.rule.name(),
                cell(&item.title),
                text(&item.growth),
                text(&item.limit),
            );
        }
        out.push('\n');
    }
    for item in items.iter().filter(|item| item.status == Status::Failed).take(DETAILS) {
        out += &details(item);
    }
    for known in &checked.check.gone {
        out += &format!(
            "- {} is recorded as known and was not found\n",
            cell(&crate::paint::plain(&known.title))
        );
    }
    out
}

fn details(item: &Item) -> String {
    let body = item.details.trim_end();
    // Longer than any row of grave accents in it.
    let fence = "`".repeat(longest(body, '`').max(2) + 1);
    let summary = format!("{}: {}", item.title, item.growth);
    format!(
        "<details><summary>{}</summary>\n\n{fence}text\n{body}\n{fence}\n\n</details>\n\n",
        html(&summary)
    )
}

/// Words among Markdown.
fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A name as code in a cell of a table.
fn cell(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let fence = "`".repeat(longest(&name, '`') + 1);
    let apart = if name.starts_with('`') || name.ends_with('`') { " " } else { "" };
    format!("{fence}{apart}{}{apart}{fence}", name.replace('|', "\\|"))
}

fn html(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['\n', '\r'], " ")
}

/// The longest row of a character.
fn longest(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut row = 0;
    for c in text.chars() {
        row = if c == wanted { row + 1 } else { 0 };
        longest = longest.max(row);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        assert_eq!(cell("a|b`c"), "``a\\|b`c``");
        assert_eq!(cell("`"), "`` ` ``");
        assert_eq!(
            text("<img src=x onerror=y> *a* [b](c)"),
            "&lt;img src=x onerror=y&gt; \\*a\\* \\[b\\](c)"
        );
        assert_eq!(html("<b>\n"), "&lt;b&gt; ");
    }
}
