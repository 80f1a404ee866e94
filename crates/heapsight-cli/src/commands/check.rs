//! `heapsight check`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use heapsight_query::check::{self, Known, Limits, relative};
use heapsight_report::{
    check::{self as report, Checked, baseline, junit, markdown, sarif},
    leak::Subject,
};
use jiff::Timestamp;

use super::{
    Forms,
    examine::{Examined, examine},
    write,
};
use crate::{Answer, args::check::Check as Args, context::Context, failure::Failure, output::Output};

/// Leaks that a person wants to see described.
const MOST: usize = 5;

/// Where GitHub Actions wants the page of a job.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let (begun, started) = (Instant::now(), Timestamp::now());
    // What can go wrong without a hunt goes wrong before it.
    refuse_what_exists(context, args)?;
    let known = match &args.limits.baseline {
        Some(path) => read_baseline(path)?,
        None => Vec::new(),
    };
    let summary = step_summary(context, args);
    let examined = examine(context, &args.rounds)?;
    let root = std::env::current_dir().unwrap_or_default();
    let limits = Limits {
        growth: args.limits.max_growth,
        classes: args.limits.class.clone(),
        tolerance: args.limits.tolerance,
    };
    let Examined { verdict, heaps, code, program, .. } = &examined;
    let judge = |known: &[Known]| {
        check::check(verdict, heaps, code, &limits, known, &root).ok_or_else(|| {
            Failure::new(
                report::no_requests(limits.growth.per),
                "--load counts them, and -n N says how many a round makes; or give --max-growth without /request",
            )
        })
    };
    let mut judged = judge(&known)?;
    if let Some(path) = &args.limits.write_baseline {
        let known = judged.baseline(verdict);
        write_file(context, path, &baseline::write(&known))?;
        judged = judge(&baseline::read(&baseline::write(&known)).map_err(Failure::plain)?)?;
    }
    let subject = Subject { program: program.clone(), ..Subject::default() };
    let script = examined.script().and_then(|script| relative(script, &root));
    let checked = Checked {
        verdict,
        check: &judged,
        limits: &limits,
        subject: &subject,
        root: &root,
        script: script.as_deref(),
    };
    if let Some(path) = &args.files.junit {
        let clock = junit::Clock {
            started: started.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            seconds: begun.elapsed().as_secs_f64(),
        };
        write_file(context, path, &junit::write(&checked, &clock))?;
    }
    if let Some(path) = &args.files.sarif {
        write_file(context, path, &format!("{:#}\n", sarif::write(&checked)))?;
    }
    if let Some(path) = &args.files.report {
        super::report::write_to(context.output_to(path)?, &examined)?;
    }
    if let Some(path) = &summary {
        append(path, &markdown::write(&checked))?;
    }
    let answer = if checked.passed() { Answer::Yes } else { Answer::No };
    if let Some(path) = &args.files.markdown {
        write_file(context, path, &markdown::write(&checked))?;
        if path == Path::new("-") {
            return Ok(answer);
        }
    }
    write(
        context,
        Forms {
            json: &|| report::json(&checked),
            text: &|| report::text(&checked, args.top.unwrap_or(MOST), context.style()),
            table: Some(&|| report::table(&checked)),
        },
    )?;
    Ok(answer)
}

/// A hunt takes its time: it is not made for files that cannot be written then.
fn refuse_what_exists(context: &Context, args: &Args) -> Result<(), Failure> {
    let files = &args.files;
    let all = [&args.limits.write_baseline, &files.junit, &files.sarif, &files.markdown, &files.report];
    let named = all.into_iter().flatten().map(PathBuf::as_path).chain(context.output_path());
    for path in named.filter(|path| *path != Path::new("-")) {
        Output::check(path, context.force())?;
    }
    Ok(())
}

fn read_baseline(path: &Path) -> Result<Vec<Known>, Failure> {
    let hint = "`heapsight check ... --write-baseline FILE` records what leaks now";
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display()), hint))?;
    baseline::read(&text)
        .map_err(|why| Failure::new(format!("cannot use the known leaks of {}: {why}", path.display()), hint))
}

/// The page of the job, if one is asked for and there is one.
fn step_summary(context: &Context, args: &Args) -> Option<PathBuf> {
    if !args.files.step_summary {
        return None;
    }
    let path = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty());
    if path.is_none() {
        context.note(&format!("there is no page of a job: {STEP_SUMMARY} is not set"));
    }
    path.map(PathBuf::from)
}

/// Other steps of the job write there, too.
fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let open = fs::OpenOptions::new().append(true).create(true).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let what = format!("cannot add to {}: {error}", path.display());
        Failure::new(what, format!("{STEP_SUMMARY} names that file; without --step-summary it is left alone"))
    })
}

fn write_file(context: &Context, path: &Path, text: &str) -> Result<(), Failure> {
    let mut output = context.output_to(path)?;
    output.write_all(text.as_bytes())?;
    output.finish()
}
