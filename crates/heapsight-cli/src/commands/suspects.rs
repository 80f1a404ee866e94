//! `heapsight suspects`.

use heapsight_query::suspects::suspects;
use heapsight_report::suspects as report;

use super::{Forms, write};
use crate::{Answer, args::leak::Suspects as Args, code::code_of, context::Context, failure::Failure};

/// Suspects that a person wants to see at first.
const MOST: usize = 10;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let found = suspects(&heap, &code_of(&args.file, &heap), args.share / 100.0);
    let title = crate::context::title(&args.file);
    write(
        context,
        Forms {
            json: &|| report::json(&found, args.top),
            text: &|| report::text(&found, &title, args.full, args.top.unwrap_or(MOST), context.style()),
            table: None,
        },
    )?;
    Ok(if found.findings.is_empty() { Answer::No } else { Answer::Yes })
}
