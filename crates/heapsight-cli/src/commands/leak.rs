//! `heapsight leak`.

use heapsight_report::leak::{self as report, Subject};

use super::{
    Forms,
    examine::{Examined, examine},
    write,
};
use crate::{Answer, args::leak::Leak as Args, context::Context, failure::Failure, output::Output};

/// Leaks that a person wants to see at first.
const MOST: usize = 5;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    if let Some(path) = &args.report {
        // Before a hunt, which takes its time.
        Output::check(path, context.force())?;
    }
    let examined = examine(context, &args.rounds)?;
    if let Some(path) = &args.report {
        super::report::write_to(context.output_to(path)?, &examined)?;
    }
    let Examined { verdict, program, .. } = &examined;
    let folder = std::env::current_dir().ok().map(|folder| folder.display().to_string());
    let subject = Subject { program: program.clone(), full: args.full, folder };
    write(
        context,
        Forms {
            json: &|| report::json(verdict, &subject),
            text: &|| report::text(verdict, &subject, args.top.unwrap_or(MOST), context.style()),
            table: None,
        },
    )?;
    Ok(Answer::Yes)
}
