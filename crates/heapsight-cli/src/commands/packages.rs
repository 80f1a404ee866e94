//! `heapsight packages`.

use heapsight_query::packages::{attribution, shares};
use heapsight_report::query;

use super::{Forms, write};
use crate::{Answer, args::explain::Packages as Args, code::code_of, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let of = attribution(&heap, &code_of(&args.file, &heap));
    let rows = shares(&heap, &of, args.files);
    let (total, most) = (heap.total_size(), context.rows(args.top.top));
    write(
        context,
        Forms {
            json: &|| query::shares(&rows, total, args.files, args.top.top),
            text: &|| query::shares_text(&rows, total, args.files, most, context.style()),
            table: Some(&|| query::shares_table(&rows, total, args.files, most)),
        },
    )?;
    Ok(if rows.iter().all(|row| row.nobody) { Answer::No } else { Answer::Yes })
}
