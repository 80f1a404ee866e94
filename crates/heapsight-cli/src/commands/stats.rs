//! `heapsight stats`.

use heapsight_analysis::contexts::{context_sizes, held_by_contexts};
use heapsight_query::variables::dead_variables;
use heapsight_report::{
    json,
    table::{Cell, Table},
    text, units,
};
use serde_json::{Value, json};

use super::{Forms, write};
use crate::{Answer, args::Stats as Args, context::Context, failure::Failure};

/// Dead variables that people are shown.
const MOST_VARIABLES: usize = 10;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let sizes = context_sizes(&heap);
    let held = held_by_contexts(&heap);
    let dead = dead_variables(&heap);
    let total = heap.total_size();
    let contexts = || {
        let mut table = Table::new(&[("Native context", "name"), ("Size", "size"), ("%", "share")]);
        for c in &sizes.contexts {
            let name = format!("{} @{}", heap.names().node(c.ord), heap.snapshot.nodes.id[c.ord as usize]);
            table.row(vec![
                Cell::Text(name),
                Cell::Bytes(c.attributed_size),
                Cell::Share(c.attributed_size, total),
            ]);
        }
        for (name, size) in [("shared by several", sizes.shared_size), ("of none", sizes.unattributed_size)] {
            table.row(vec![Cell::Text(name.to_owned()), Cell::Bytes(size), Cell::Share(size, total)]);
        }
        table
    };
    write(
        context,
        Forms {
            json: &|| {
                let contexts: Vec<Value> = sizes
                    .contexts
                    .iter()
                    .map(|c| {
                        json!({"id": heap.snapshot.nodes.id[c.ord as usize], "name": heap.names().node(c.ord),
                        "attributed_size": c.attributed_size, "retained_size": heap.retained.get(c.ord),
                        "self_size": heap.snapshot.nodes.self_size.get(c.ord)})
                    })
                    .collect();
                json!({"nodes": heap.snapshot.node_count(), "edges": heap.snapshot.edge_count(),
                "strings": heap.snapshot.strings.len(), "classes": heap.summary.len(), "total_size": total,
                "max_js_object_id": heap.max_js_object_id(),
                "statistics": json::statistics(&heap.statistics),
                "function_contexts": {"count": held.context_count, "held_count": held.held_count,
                    "held_size": held.held_size, "other_count": held.other_count, "other_size": held.other_size},
                "dead_variables": json::dead_variables(dead.as_ref()),
                "native_contexts": {"contexts": contexts, "shared_size": sizes.shared_size,
                    "unattributed_size": sizes.unattributed_size}})
            },
            text: &|| {
                let style = context.style();
                format!(
                    "{}\n{}, {}, {}, {}\n\n{}\n{}\n{} alone keep {} in {} alive\n{}",
                    style.paint.accent(&crate::context::title(&args.file)),
                    units::number_of(heap.snapshot.node_count() as u64, "object", "objects"),
                    units::number_of(heap.snapshot.edge_count() as u64, "reference", "references"),
                    units::number_of(heap.snapshot.strings.len() as u64, "name", "names"),
                    units::number_of(heap.summary.len() as u64, "class", "classes"),
                    text::statistics_table(&heap.statistics).text(style.width, style.paint),
                    contexts().text(style.width, style.paint),
                    units::number_of(held.context_count, "function context", "function contexts"),
                    units::bytes(held.held_size),
                    units::number_of(held.held_count, "object", "objects"),
                    text::dead_variables(dead.as_ref(), MOST_VARIABLES, style),
                )
            },
            table: Some(&|| text::statistics_table(&heap.statistics)),
        },
    )?;
    Ok(Answer::Yes)
}
