//! `heapsight scan`.

use heapsight_analysis::Heap;
use heapsight_query::object::object_paths;
use heapsight_redact::{Finding, detect};
use heapsight_report::{
    table::{Cell, Table},
    text, units,
};
use serde_json::{Value, json};

use super::{Forms, write};
use crate::{Answer, args::share::Scan as Args, context::Context, failure::Failure};

/// Findings of which the holders are looked for: each is a search through what holds them.
const WITH_HOLDER: usize = 200;

/// Last steps of the way to a holder that are shown.
const STEPS: usize = 3;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let findings = context.phase("scan", || heapsight_redact::scan(&heap.snapshot));
    let rows = context.rows(args.top.top).min(findings.len());
    let shown: Vec<(&Finding, String)> = findings[..rows]
        .iter()
        .enumerate()
        .map(|(at, finding)| (finding, if at < WITH_HOLDER { holder(&heap, finding) } else { String::new() }))
        .collect();
    let table = || {
        let mut table = Table::new(&[
            ("Looks like", "kind"),
            ("Shown in part", "shown"),
            ("Objects", "count"),
            ("Object", "id"),
            ("Held by", "holder"),
        ]);
        for (finding, holder) in &shown {
            let id = finding.node.map(|node| format!("@{}", heap.snapshot.nodes.id[node as usize]));
            table.row(vec![
                Cell::Text(what(finding)),
                Cell::Text(finding.shown.clone()),
                Cell::Count(finding.count),
                Cell::Text(id.unwrap_or_default()),
                Cell::Text(holder.clone()),
            ]);
        }
        table
    };
    write(
        context,
        Forms {
            json: &|| {
                let list: Vec<Value> =
                    shown.iter().map(|(finding, holder)| value(&heap, finding, holder)).collect();
                json!({"count": findings.len(), "secrets": list})
            },
            text: &|| {
                let style = context.style();
                let title = match findings.len() {
                    0 => "nothing that looks like a secret".to_owned(),
                    n => units::number_of(n as u64, "likely secret", "likely secrets"),
                };
                let title = style.paint.accent(&title);
                if findings.is_empty() {
                    return format!("{title}\n");
                }
                let rest = text::left_out(findings.len(), shown.len(), "finding", "findings", style);
                format!("{title}\n\n{}{rest}", table().text(style.width, style.paint))
            },
            table: Some(&table),
        },
    )?;
    Ok(if findings.is_empty() { Answer::No } else { Answer::Yes })
}

fn what(finding: &Finding) -> String {
    match (&finding.beside, finding.in_name) {
        (Some(name), _) => format!("value of `{}`", detect::hidden(name)),
        (None, true) => format!("{} (in a name)", finding.what),
        (None, false) => finding.what.to_owned(),
    }
}

fn value(heap: &Heap, finding: &Finding, holder: &str) -> Value {
    json!({
        "kind": finding.kind.code(),
        "what": finding.what,
        "shown": finding.shown,
        "beside": finding.beside.as_deref().map(detect::hidden),
        "in_name": finding.in_name,
        "count": finding.count,
        "id": finding.node.map(|node| heap.snapshot.nodes.id[node as usize]),
        "holder": Some(holder).filter(|holder| !holder.is_empty()),
    })
}

/// The end of the shortest way to the text, in classes and names; what looks like a secret in them is not shown.
fn holder(heap: &Heap, finding: &Finding) -> String {
    let Some(node) = finding.node else { return String::new() };
    let paths = object_paths(heap, &heap.distance, node, 1, false);
    let Some(path) = paths.first() else { return String::new() };
    let from = path.len().saturating_sub(STEPS + 1);
    let mut text = String::new();
    for (at, step) in path.iter().enumerate().skip(from) {
        if at > from {
            let edge = detect::hidden(&step.edge);
            text.push_str(&match step.kind.as_str() {
                "element" | "hidden" => format!("[{edge}]"),
                "context" => format!(" variable {edge}"),
                _ => format!(".{edge}"),
            });
        }
        // The last object is the text itself.
        if at + 1 < path.len() {
            let class = detect::hidden(&step.class);
            text.push_str(&if at == from { class } else { format!(": {class} → ") });
        }
    }
    text
}
