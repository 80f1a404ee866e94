//! `heapsight query`.

use heapsight_query::language;
use heapsight_report::query;

use super::{Forms, write};
use crate::{Answer, args::explain::Query as Args, code::code_of, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    // Before the file is opened, which may take a while.
    let parsed = super::parsed_query(&args.query)?;
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let answer = language::evaluate(&heap, &code_of(&args.file, &heap), &parsed);
    write(
        context,
        Forms {
            json: &|| query::answer(&answer, &parsed.to_string()),
            text: &|| query::answer_text(&answer, context.style()),
            table: Some(&|| query::answer_table(&answer)),
        },
    )?;
    Ok(if answer.count == 0 { Answer::No } else { Answer::Yes })
}
