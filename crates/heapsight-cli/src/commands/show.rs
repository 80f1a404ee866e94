//! `heapsight show`.

use heapsight_query::object;
use heapsight_report::{json, text};

use super::{Forms, write};
use crate::{Answer, args::Show as Args, code::code_of, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let ord = super::object(&heap, &args.object)?;
    let object = object::object(&heap, &code_of(&args.file, &heap), ord, args.weak);
    write(
        context,
        Forms {
            json: &|| json::object(&object),
            text: &|| text::object(&object, context.rows(args.top.top), heap.total_size(), context.style()),
            table: None,
        },
    )?;
    Ok(Answer::Yes)
}
