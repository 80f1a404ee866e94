//! `heapsight timeline show`.

use std::{io::Write as _, path::Path};

use heapsight_query::timeline::{Recording, alive, recording};
use heapsight_report::timeline as report;

use crate::{
    Answer,
    args::capture::TimelineShow as Args,
    commands::{Forms, write},
    context::{Context, title},
    failure::Failure,
};

/// Objects and stacks that are listed.
const LISTED: usize = 8;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let Some(recording) = recording(&heap) else {
        return Err(Failure::new(
            format!("{} is no timeline: it has no samples", args.file.display()),
            "record an allocation timeline: `heapsight timeline PID`",
        ));
    };
    let title = title(&args.file);
    let name = context.output_path().and_then(Path::extension);
    if name.is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        let mut output = context.output()?;
        output.write_all(report::bars_svg(&recording, &title).as_bytes())?;
        output.finish()?;
        return Ok(answer(&recording));
    }
    let most = context.rows(args.top.top);
    let part = (args.from.is_some() || args.to.is_some()).then(|| {
        let (from, to) = (args.from.unwrap_or(0), args.to.unwrap_or(u64::MAX));
        let intervals = recording.within(from, to);
        let ids = intervals.first().zip(intervals.last());
        let part = ids.map(|(first, last)| alive(&heap, first.first_id, last.last_id, LISTED));
        (part.unwrap_or_default(), from, to.min(recording.duration_us()))
    });
    let table = || match &part {
        Some((part, ..)) => report::alive_table(part, most),
        None => report::intervals_table(&recording.intervals),
    };
    write(
        context,
        Forms {
            json: &|| {
                let mut value = report::recording(&recording);
                if let Some((part, from, to)) = &part {
                    value["selection"] = report::alive(&heap, part, args.top.top);
                    value["selection"]["from_us"] = (*from).into();
                    value["selection"]["to_us"] = (*to).into();
                }
                value
            },
            text: &|| {
                let style = context.style();
                let mut text = report::bars_text(&recording, &title, style);
                if let Some((part, from, to)) = &part {
                    let [from, to] = [from, to].map(|&us| format!("{:.2} s", us as f64 / 1e6));
                    text += &report::alive_text(&heap, part, &from, &to, most, style);
                }
                text
            },
            table: Some(&table),
        },
    )?;
    Ok(match &part {
        Some((part, ..)) if part.count == 0 => Answer::No,
        _ => answer(&recording),
    })
}

/// Whether anything was allocated.
fn answer(recording: &Recording) -> Answer {
    if recording.sums().0 == 0 { Answer::No } else { Answer::Yes }
}
