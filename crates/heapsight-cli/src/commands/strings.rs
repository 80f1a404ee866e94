//! `heapsight strings`.

use heapsight_query::strings;
use heapsight_report::{json, text, units};
use serde_json::{Value, json};

use super::{Forms, pattern, write};
use crate::{Answer, args::Strings as Args, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let matching = pattern(args.pattern.as_deref())?;
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let rows = context.rows(args.top.top);
    let style = context.style();
    if args.duplicates {
        let duplicates = strings::duplicate_strings(&heap, matching.as_ref());
        write(
            context,
            Forms {
                json: &|| json::duplicates(&duplicates, args.top.top),
                text: &|| {
                    format!(
                        "{}\n{} in {} of equal text take {}; keeping one of each would save {}\n\n{}{}",
                        style.paint.accent(&crate::context::title(&args.file)),
                        units::number_of(duplicates.strings, "string", "strings"),
                        units::number_of(duplicates.groups.len() as u64, "group", "groups"),
                        units::bytes(duplicates.self_size),
                        units::bytes(duplicates.wasted),
                        text::duplicates_table(&duplicates, rows).text(style.width, style.paint),
                        text::left_out(duplicates.groups.len(), rows, "group", "groups", style),
                    )
                },
                table: Some(&|| text::duplicates_table(&duplicates, rows)),
            },
        )?;
        return Ok(if duplicates.groups.is_empty() { Answer::No } else { Answer::Yes });
    }
    let (list, all, size) = strings::largest(&heap, matching.as_ref(), rows);
    let kinds = strings::by_kind(&heap);
    write(
        context,
        Forms {
            json: &|| {
                let kinds: Vec<Value> = kinds
                    .iter()
                    .map(|(kind, count, size)| json!({"type": kind, "count": count, "self_size": size}))
                    .collect();
                let kinds = if matching.is_none() { Value::from(kinds) } else { Value::Null };
                json!({"count": all, "self_size": size, "types": kinds,
                "strings": list.iter().map(json::object_row).collect::<Vec<_>>()})
            },
            text: &|| {
                let kinds: Vec<String> = kinds
                    .iter()
                    .map(|(kind, count, size)| {
                        format!("{kind} {} ({})", units::count(*count), units::bytes(*size))
                    })
                    .collect();
                let of_kinds =
                    if matching.is_none() { format!(": {}", kinds.join(", ")) } else { String::new() };
                format!(
                    "{}\n{}, {}{of_kinds}\n\n{}{}",
                    style.paint.accent(&crate::context::title(&args.file)),
                    units::number_of(all, "string", "strings"),
                    units::bytes(size),
                    text::objects_table(&list, heap.total_size()).text(style.width, style.paint),
                    text::left_out(all as usize, list.len(), "string", "strings", style),
                )
            },
            table: Some(&|| text::objects_table(&list, heap.total_size())),
        },
    )?;
    Ok(if all == 0 { Answer::No } else { Answer::Yes })
}
