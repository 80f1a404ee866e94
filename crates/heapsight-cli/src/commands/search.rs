//! `heapsight search`.

use heapsight_analysis::search::search;
use heapsight_query::{
    classes::{ObjectRow, object_row},
    code::Place,
    selector,
};
use heapsight_report::{json, text, units};
use heapsight_snapshot::NodeKind;
use serde_json::json;

use super::{Forms, bad_pattern, write};
use crate::{Answer, args::Search as Args, code::code_of, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let pattern = selector::pattern(&args.pattern).map_err(|e| bad_pattern(&e))?;
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let found = search(&heap, &pattern);
    let mut shown = found.clone();
    shown.sort_by_key(|&ord| (std::cmp::Reverse(heap.retained.get(ord)), ord));
    shown.truncate(context.rows(args.top.top));
    let code = code_of(&args.file, &heap);
    let place =
        |ord| (heap.snapshot.node_kind(ord) == NodeKind::CLOSURE).then(|| code.place(&heap, ord)).flatten();
    let list: Vec<_> = shown.into_iter().map(|ord| (object_row(&heap, ord), place(ord))).collect();
    let row = |(row, place): &(ObjectRow, Option<Place>)| {
        let mut value = json::object_row(row);
        value["location"] = json::place(place.as_ref());
        value
    };
    write(
        context,
        Forms {
            json: &|| json!({"count": found.len(), "objects": list.iter().map(row).collect::<Vec<_>>()}),
            text: &|| {
                let style = context.style();
                let title = units::number_of(found.len() as u64, "object", "objects");
                let title = style.paint.accent(&format!("{title} with a name like `{}`", args.pattern));
                let table = text::found_table(&list, heap.total_size()).text(style.width, style.paint);
                let rest = text::left_out(found.len(), list.len(), "object", "objects", style);
                format!("{title}\n{}{table}{rest}", if list.is_empty() { "" } else { "\n" })
            },
            table: Some(&|| text::found_table(&list, heap.total_size())),
        },
    )?;
    Ok(if found.is_empty() { Answer::No } else { Answer::Yes })
}
