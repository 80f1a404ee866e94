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

/// The word that makes this the process which ends the connections of another one, see `heapsight_capture::guard`.
const GUARD: &str = "__guard";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == GUARD) {
        heapsight_capture::guard::run();
        return ExitCode::SUCCESS;
    }
    heapsight_capture::guard::install(|| {
        let mut command = std::process::Command::new("/proc/self/exe");
        command.arg(GUARD);
        command
    });
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version go to standard output and are no errors; a closed pipe is none either.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let answer = commands::run(args);
    heapsight_capture::guard::end();
    match answer {
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
