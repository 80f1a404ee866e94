//! The `heapsight` command: the only crate that reads arguments and the environment, prints, and exits.
//!
//! Exit codes: 0 done; 1 the answer is "no" (nothing found, a file is damaged); 2 error or wrong usage. A closed pipe is
//! success.
#![expect(clippy::print_stderr, reason = "this is the crate that prints")]

mod args;
mod code;
mod commands;
mod context;
mod failure;
mod output;
mod recent;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;

/// What a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done.
    Yes,
    /// Nothing found, or a check failed.
    No,
}

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version go to standard output and are no errors; a closed pipe is none either.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match commands::run(args) {
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Yes) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Message { what, hint }) => {
            eprintln!("heapsight: {what}");
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(2)
        }
    }
}
