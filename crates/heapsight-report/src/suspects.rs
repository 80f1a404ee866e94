//! The suspects of one snapshot, for people and for programs.

use heapsight_query::suspects::{Finding, Suspects};
use serde_json::{Value, json};

use crate::{
    json::place,
    leak::{full_way, holder, path, story, wrap},
    paint::plain,
    text::{Style, left_out},
    units::{bytes, count, number_of, percent},
};

/// Parts of a suspect that are listed.
const PARTS: usize = 4;

/// Columns of the words at the left.
const LEFT: usize = 16;

/// The suspects in words.
pub fn text(suspects: &Suspects, title: &str, full: bool, most: usize, style: Style) -> String {
    let n = suspects.findings.len();
    let found = match n {
        0 => "no suspects".to_owned(),
        n => number_of(n as u64, "suspect", "suspects"),
    };
    let heading = format!("{found} in {}, {}", plain(title), bytes(suspects.total_size));
    let mut out = style.paint.bold(&heading) + "\n";
    for (at, finding) in suspects.findings.iter().take(most).enumerate() {
        out.push('\n');
        out += &finding_text(at + 1, finding, suspects.total_size, full, style);
    }
    if n == 0 {
        out += &format!(
            "No object or class retains {} or more, and no known pattern was found.\n",
            bytes(suspects.least)
        );
    }
    out += &left_out(n, most, "suspect", "suspects", style);
    out
}

fn finding_text(rank: usize, finding: &Finding, total: u64, full: bool, style: Style) -> String {
    let paint = style.paint;
    let mut out = format!(
        "{}  {}  {} ({})\n",
        paint.accent(&format!("#{rank}")),
        paint.bold(&plain(&finding.title)),
        paint.red(&bytes(finding.retained_size)),
        percent(finding.retained_size, total),
    );
    let mut line = |what: &str, value: &str| {
        let indent = " ".repeat(4 + LEFT);
        for (at, row) in wrap(value, style.width.saturating_sub(4 + LEFT)).iter().enumerate() {
            out += &if at == 0 { format!("    {what:<LEFT$}{row}\n") } else { format!("{indent}{row}\n") };
        }
    };
    line("pattern", finding.pattern.name());
    line("why", &plain(&finding.why));
    if let Some(placed) = &finding.place {
        let package =
            placed.place.package.as_ref().map(|name| format!(", package {name}")).unwrap_or_default();
        line("where", &plain(&format!("{}  {}{package}", placed.place, placed.what)));
    }
    line("object", &plain(&format!("{}, {} @{}", finding.kind.name(), finding.class, finding.id)));
    if !finding.parts.is_empty() {
        let parts = finding.parts.iter().take(PARTS);
        let listed: Vec<String> =
            parts.map(|(class, n, size)| format!("{} × {class} ({})", count(*n), bytes(*size))).collect();
        let rest = finding.parts.len().saturating_sub(PARTS);
        let rest = if rest > 0 {
            format!(", {}", number_of(rest as u64, "other class", "other classes"))
        } else {
            String::new()
        };
        line("it holds", &plain(&format!("{}{rest}", listed.join(", "))));
    }
    if full {
        for (at, row) in full_way(&finding.way).iter().enumerate() {
            line(if at == 0 { "kept alive by" } else { "" }, &plain(row));
        }
    } else {
        line("kept alive by", &plain(&story(&finding.story)));
    }
    out
}

/// `suspects --json`.
pub fn json(suspects: &Suspects, most: Option<usize>) -> Value {
    let findings: Vec<Value> = suspects
        .findings
        .iter()
        .take(most.unwrap_or(usize::MAX))
        .enumerate()
        .map(|(at, finding)| finding_json(at + 1, finding))
        .collect();
    json!({"total_size": suspects.total_size, "least_size": suspects.least,
        "suspect_count": suspects.findings.len(), "suspects": findings})
}

fn finding_json(rank: usize, finding: &Finding) -> Value {
    let parts: Vec<Value> = finding
        .parts
        .iter()
        .map(|(class, count, size)| json!({"class": class, "count": count, "retained_size": size}))
        .collect();
    json!({
        "rank": rank,
        "title": finding.title,
        "pattern": finding.pattern.name(),
        "class": finding.class,
        "holder": holder(finding.kind, &finding.title),
        "kind": finding.kind.name(),
        "holder_id": finding.id,
        "location": place(finding.place.as_ref().map(|placed| &placed.place)),
        "location_of": finding.place.as_ref().map(|placed| &placed.what),
        "count": finding.count,
        "count_growth": Value::Null,
        "size_growth": Value::Null,
        "retained_size": finding.retained_size,
        "parts": parts,
        "path": path(&finding.way),
        "why": finding.why,
    })
}
