//! `heapsight summary`.

use heapsight_analysis::filters;
use heapsight_query::{
    classes::{self, SortBy, Summary},
    selector,
};
use heapsight_report::{json, text, units};
use serde_json::json;

use super::{Forms, pattern, write};
use crate::{
    Answer,
    args::{Sort, Summary as Args},
    context::Context,
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let class = pattern(args.class.as_deref())?;
    let sort = match args.sort {
        Sort::Retained => SortBy::Retained,
        Sort::Shallow => SortBy::Shallow,
        Sort::Count => SortBy::Count,
        Sort::Distance => SortBy::Distance,
        Sort::Name => SortBy::Name,
    };
    if args.filter.is_none()
        && args.instances.is_none()
        && let Some(overview) = context.overview(&args.file)
    {
        context.note_damage(&args.file, &overview.warnings);
        return print(context, args, &classes::summary_of_overview(&overview, sort, class.as_ref()));
    }
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let filter = args.filter.as_deref().map(|name| selector::filter(&heap, name)).transpose();
    let filter = filter.map_err(|what| Failure::new(what, "`heapsight summary --help` lists the filters"))?;
    if let Some(name) = &args.instances {
        let table = super::classes(&heap, name)?;
        let passing = filter.as_ref().map(|filter| filters::passing(&heap, filter));
        let rows = context.rows(args.top.top);
        let (list, all) = classes::instances(&heap, &table, passing.as_ref(), rows);
        let names: Vec<&str> = table.iter().map(|&c| heap.classes.table[c as usize].name.as_str()).collect();
        write(
            context,
            Forms {
                json: &|| {
                    let classes: Vec<_> =
                        table.iter().map(|&c| heap.classes.table[c as usize].key()).collect();
                    json!({"classes": classes, "count": all,
                    "objects": list.iter().map(json::object_row).collect::<Vec<_>>()})
                },
                text: &|| {
                    let style = context.style();
                    let title = format!(
                        "{} of {}",
                        units::number_of(all as u64, "object", "objects"),
                        names.join(", ")
                    );
                    let table = text::objects_table(&list, heap.total_size()).text(style.width, style.paint);
                    let rest = text::left_out(all, list.len(), "object", "objects", style);
                    format!("{}\n\n{table}{rest}", style.paint.accent(&title))
                },
                table: Some(&|| text::objects_table(&list, heap.total_size())),
            },
        )?;
        return Ok(if all == 0 { Answer::No } else { Answer::Yes });
    }
    print(context, args, &classes::summary(&heap, filter.as_ref(), sort, class.as_ref()))
}

fn print(context: &Context, args: &Args, summary: &Summary) -> Result<Answer, Failure> {
    let rows = context.rows(args.top.top);
    let mut title = crate::context::title(&args.file);
    let selected = args.filter.is_some() || args.class.is_some();
    if let Some(filter) = &args.filter {
        title += &format!(", filter {filter}");
    }
    write(
        context,
        Forms {
            json: &|| json::summary(summary, args.top.top),
            text: &|| text::summary(summary, rows, &title, selected, context.style()),
            table: Some(&|| text::summary_table(summary, rows)),
        },
    )?;
    Ok(if summary.classes.is_empty() { Answer::No } else { Answer::Yes })
}
