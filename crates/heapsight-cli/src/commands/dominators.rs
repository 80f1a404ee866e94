//! `heapsight dominators`.

use heapsight_query::tree::{TreeOptions, dominator_tree};
use heapsight_report::{json, text};

use super::{Forms, write};
use crate::{Answer, args::Dominators as Args, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let start = match &args.object {
        Some(text) => super::object(&heap, text)?,
        None => heap.snapshot.root,
    };
    let total = heap.total_size();
    let share = (args.min / 100.0).clamp(0.0, 1.0);
    let options = TreeOptions {
        depth: usize::from(args.depth),
        most: args.top,
        min_size: (heap.retained.get(start) as f64 * share) as u64,
        by_class: args.by_class,
    };
    let tree = dominator_tree(&heap, start, options);
    write(
        context,
        Forms {
            json: &|| json::branch(&tree),
            text: &|| text::branch(&tree, total, context.style()),
            table: None,
        },
    )?;
    Ok(Answer::Yes)
}
