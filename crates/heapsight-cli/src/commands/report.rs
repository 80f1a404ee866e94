//! `heapsight report`, and the reports of `leak` and `check`.

use std::io::{self, IsTerminal, Write};

use heapsight_query::portrait::portrait;
use heapsight_report::html::{self, Page};

use super::examine::{Examined, compare};
use crate::{
    Answer,
    args::{Format, report::Report as Args},
    context::Context,
    failure::Failure,
    output::Output,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    if context.format() != Format::Text {
        return Err(Failure::new(
            "a report is HTML",
            "`heapsight leak --json`, `summary --json` and the others give the same to programs",
        ));
    }
    if context.output_path().is_none() && io::stdout().is_terminal() {
        return Err(Failure::new("a report is nothing for a terminal", "name a file: -o report.html"));
    }
    let output = context.output()?;
    write_to(
        output,
        &compare(context, &context.without_side_files(&args.files), args.profile.as_deref(), args.requests)?,
    )?;
    Ok(Answer::Yes)
}

/// Writes the report of what was examined.
pub(super) fn write_to(mut output: Output, examined: &Examined) -> Result<(), Failure> {
    let Examined { names, heaps, sides, code, verdict, program, .. } = examined;
    let Some(portrait) = portrait(heaps, code)? else {
        return Err(Failure::plain("there is no snapshot to report on"));
    };
    let times: Vec<Option<String>> =
        sides.iter().map(|side| side.as_ref().map(|side| side.capture.time.clone())).collect();
    let page = html::page(&Page {
        program,
        names,
        times: &times,
        verdict: (heaps.len() > 1).then_some(verdict),
        portrait: &portrait,
    });
    output.write_all(page.as_bytes())?;
    output.finish()
}
