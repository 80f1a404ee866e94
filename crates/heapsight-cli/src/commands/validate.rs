//! `heapsight validate`.

use heapsight_query::validate::validate;
use heapsight_report::{json, text};

use super::{Forms, write};
use crate::{Answer, args::Validate as Args, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    let findings = validate(&heap);
    write(
        context,
        Forms {
            json: &|| json::findings(&findings),
            text: &|| text::findings(&findings, context.style()),
            table: None,
        },
    )?;
    Ok(if findings.iter().any(|f| f.damage) { Answer::No } else { Answer::Yes })
}
