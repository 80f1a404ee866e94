//! `heapsight diff`.

use std::path::Path;

use heapsight_analysis::{Heap, diff::changed_nodes};
use heapsight_capture::output::Metadata;
use heapsight_query::{
    classes::{ObjectRow, object_row},
    compare::{self, Count, Matching},
};
use heapsight_report::{json, text, units};
use serde_json::json;

use super::{Forms, classes, pattern, write};
use crate::{
    Answer,
    args::{Diff as Args, Format},
    context::Context,
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let class = pattern(args.class.as_deref())?;
    let rows = context.rows(args.top.top);
    if args.files.len() > 2 || args.by_class {
        return series(context, args, class.as_ref(), rows);
    }
    let [old_path, new_path] = [&args.files[0], &args.files[1]];
    if !ids_fit(old_path, new_path) {
        context.note(
            "the object ids of these captures do not fit together (`heapsight snapshot --stable-ids --repeat 2` takes \
             two whose ids do)",
        );
        // For programs the form of the answer stays what it is; they have the note.
        if context.format() == Format::Text && args.objects.is_none() {
            return series(context, args, class.as_ref(), rows);
        }
    }
    let old = context.open(old_path)?;
    let new = context.open(new_path)?;
    context.note_damage(old_path, &old.snapshot.warnings);
    context.note_damage(new_path, &new.snapshot.warnings);
    if let Some(name) = &args.objects {
        return objects(context, (&old, &new), name, rows);
    }
    let comparison = compare::compare(&old, &new, class.as_ref())?;
    write(
        context,
        Forms {
            json: &|| json::comparison(&comparison, args.top.top),
            text: &|| {
                let (old, new) = (name(old_path), name(new_path));
                text::comparison(&comparison, rows, (&old, &new), class.is_some(), context.style())
            },
            table: Some(&|| text::comparison_table(&comparison, rows)),
        },
    )?;
    Ok(if comparison.classes.is_empty() { Answer::No } else { Answer::Yes })
}

/// Whether the side files of two captures, if they have any, say that their ids can be compared.
fn ids_fit(old: &Path, new: &Path) -> bool {
    let side = |path: &Path| Metadata::of(path).ok().flatten();
    match (side(old), side(new)) {
        (Some(old), Some(new)) => old.ids_comparable(&new),
        _ => true,
    }
}

fn name(path: &Path) -> String {
    crate::context::title(path)
}

fn series(
    context: &Context,
    args: &Args,
    class: Option<&regex::Regex>,
    rows: usize,
) -> Result<Answer, Failure> {
    // The last snapshot's interfaces class all of them, so it is opened first; one is in memory at a time.
    let matching = if args.by_class || args.files.len() == 2 { Matching::Name } else { Matching::Key };
    let mut counts: Vec<Count> = Vec::new();
    let mut interfaces = None;
    for path in args.files.iter().rev() {
        let heap = context.open(path)?;
        context.note_damage(path, &heap.snapshot.warnings);
        counts.push(compare::count(&heap, interfaces.as_deref(), matching)?);
        interfaces.get_or_insert_with(|| heap.classes.interfaces.clone());
    }
    counts.reverse();
    let growth = compare::growth(&counts, class);
    let files: Vec<String> = args.files.iter().map(|path| name(path)).collect();
    write(
        context,
        Forms {
            json: &|| json::growth(&files, &growth, args.top.top),
            text: &|| text::growth(&files, &growth, rows, context.style()),
            table: Some(&|| text::growth_table(&growth, rows)),
        },
    )?;
    Ok(if growth.is_empty() { Answer::No } else { Answer::Yes })
}

fn objects(
    context: &Context,
    (old, new): (&Heap, &Heap),
    name: &str,
    rows: usize,
) -> Result<Answer, Failure> {
    let (before, after) = compare::censuses(old, new)?;
    let found = classes(new, name).or_else(|e| classes(old, name).map_err(|_| e))?;
    let heap = if classes(new, name).is_ok() { new } else { old };
    let mut added = Vec::new();
    let mut removed = Vec::new();
    for class in found {
        let changed = changed_nodes(&before, &after, &heap.classes.table[class as usize].key());
        added.extend(changed.added.into_iter().map(|ord| object_row(new, ord)));
        removed.extend(changed.removed.into_iter().map(|ord| object_row(old, ord)));
    }
    for list in [&mut added, &mut removed] {
        list.sort_by_key(|row| (std::cmp::Reverse(row.retained_size), row.id));
    }
    write(
        context,
        Forms {
            json: &|| {
                json!({"added": added.iter().take(rows).map(json::object_row).collect::<Vec<_>>(),
                "removed": removed.iter().take(rows).map(json::object_row).collect::<Vec<_>>(),
                "added_count": added.len(), "removed_count": removed.len()})
            },
            text: &|| {
                let style = context.style();
                let part = |title: &str, list: &[ObjectRow], total: u64| {
                    let shown = &list[..rows.min(list.len())];
                    let title =
                        format!("{} {title}", units::number_of(list.len() as u64, "object", "objects"));
                    let table = text::objects_table(shown, total).text(style.width, style.paint);
                    let rest = text::left_out(list.len(), rows, "object", "objects", style);
                    let gap = if shown.is_empty() { "" } else { "\n" };
                    format!("{}\n{gap}{table}{rest}", style.paint.accent(&title))
                };
                let (added, removed) =
                    (part("added", &added, new.total_size()), part("gone", &removed, old.total_size()));
                format!("{added}\n{removed}")
            },
            table: None,
        },
    )?;
    Ok(if added.is_empty() && removed.is_empty() { Answer::No } else { Answer::Yes })
}
