//! `heapsight snapshot`.

use std::{sync::atomic::Ordering, time::Duration};

use heapsight_capture::{
    process::methods::Method as By,
    take::{Choice, Plan, Planned, Schedule, SnapshotOptions},
};
use heapsight_report::{
    table::{Cell, Table},
    units,
};
use serde_json::{Value, json};

use super::{Forms, capture, write};
use crate::{
    Answer,
    args::capture::{Method, Snapshot as Args},
    context::Context,
    failure::Failure,
};

/// How long a load runs before and after the snapshot at least, so that its pause stands out.
const AROUND: Duration = Duration::from_millis(500);

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let stop = capture::stop_on_signals()?;
    if args.meanwhile.duration.is_some() {
        return Err(Failure::new("a snapshot has no duration", "use --repeat N --every TIME for several"));
    }
    let mut subject = capture::subject(context, &args.target, capture::Makes::File, &stop)?;
    let taker = &mut subject.taker;
    let method = match args.method {
        Method::Auto => Choice::Auto,
        Method::Fork => Choice::Only(By::Fork),
        Method::Inspector => Choice::Only(By::Inspector),
        Method::Signal => Choice::Only(By::Signal),
    };
    let mut options = SnapshotOptions {
        method,
        thread: 0,
        gc: args.gc,
        stable_ids: args.stable_ids,
        force: context.force(),
        output: context.capture_output(),
    };
    if args.dry_run {
        let plan = taker.plan(&options)?;
        show(context, &plan)?;
        return Ok(if plan.chosen.is_some() { Answer::Yes } else { Answer::No });
    }
    let threads = if method == Choice::Only(By::Signal) && args.target.thread == "main" {
        // Nothing is opened for a signal.
        vec![0]
    } else {
        capture::threads(taker, &args.target)?
    };
    let several = threads.len() > 1 || args.repeat > 1;
    let is_file = |path: &std::path::PathBuf| !path.is_dir();
    if several && options.output.path.as_ref().is_some_and(is_file) {
        return Err(Failure::new(
            "several snapshots do not go into one file",
            "name a folder that exists: -o captures/",
        ));
    }
    let mut meanwhile = capture::meanwhile(context, &args.meanwhile, args.target.timeout)?;
    let mut taken = Vec::new();
    capture::watched(context, &stop, |monitor| {
        if meanwhile.is_busy() {
            meanwhile.started()?;
            capture::pause(AROUND, &stop);
        }
        for round in 0..args.repeat {
            if round > 0 {
                capture::pause(args.every.unwrap_or_default(), &stop);
            }
            for &thread in &threads {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                options.thread = thread;
                taken.push(taker.snapshot(&options, capture::stdout(context), monitor)?);
            }
        }
        Ok(())
    })
    .map_err(|failure| subject.explained(failure))?;
    subject.taker.close()?;
    capture::report(context, &taken, meanwhile.finish(&stop))?;
    Ok(Answer::Yes)
}

/// Prints a plan.
fn show(context: &Context, plan: &Plan) -> Result<(), Failure> {
    let table = || {
        let mut table = Table::new(&[
            ("Method", "method"),
            ("Stops for", "pause"),
            ("Extra memory", "memory"),
            ("File", "file"),
            ("Verdict", "verdict"),
            // For people it stands below the table, where a sentence is not cut.
            ("", "reason"),
        ]);
        for planned in &plan.methods {
            let text = |text: &str| Cell::Text(text.to_owned());
            let chosen = if plan.chosen == Some(planned.method) { " *" } else { "" };
            let mut cells = vec![Cell::Text(format!("{}{chosen}", planned.method.name()))];
            match (&planned.prediction, &planned.obstacle) {
                (Some(p), _) => {
                    cells.extend([
                        Cell::Text(capture::time(p.pause)),
                        Cell::Bytes(p.memory),
                        Cell::Bytes(p.file),
                        text(p.verdict.name()),
                        text(&why(planned)),
                    ]);
                }
                (None, Some(_)) => {
                    cells.extend([text(""), text(""), text(""), text("no"), text(&why(planned))]);
                }
                (None, None) => {
                    cells.extend([text(""), text(""), text(""), text("fine"), text(&why(planned))]);
                }
            }
            table.row(cells);
        }
        table
    };
    write(
        context,
        Forms {
            json: &|| plan_json(plan),
            text: &|| {
                let style = context.style();
                let mut text = table().text(style.width, style.paint) + "\n";
                for planned in &plan.methods {
                    text.push_str(&format!("{}: {}\n", planned.method.name(), why(planned)));
                }
                let nodes = units::count(plan.nodes);
                text.push_str(&match plan.chosen {
                    Some(method) => format!(
                        "about {nodes} objects; {} would be taken (*), nothing was done\n",
                        method.name()
                    ),
                    None => format!("about {nodes} objects; no snapshot would be taken\n"),
                });
                text
            },
            table: Some(&table),
        },
    )
}

/// Why a method would be taken or not, in one sentence.
fn why(planned: &Planned) -> String {
    match (&planned.prediction, &planned.obstacle) {
        (Some(prediction), _) => match prediction.reasons.as_slice() {
            [] => format!("the memory is that of {}", prediction.charged_to),
            reasons => reasons.join("; "),
        },
        (None, Some(obstacle)) => obstacle.clone(),
        (None, None) => "what it costs cannot be told from here".to_owned(),
    }
}

fn plan_json(plan: &Plan) -> Value {
    let methods: Vec<Value> = plan
        .methods
        .iter()
        .map(|planned| {
            let mut value = json!({"method": planned.method.name(), "obstacle": planned.obstacle});
            if let Some(p) = &planned.prediction {
                value["pause_ms"] = json!(p.pause.as_secs_f64() * 1e3);
                value["memory"] = json!(p.memory);
                value["charged_to"] = json!(p.charged_to);
                value["file"] = json!(p.file);
                value["verdict"] = json!(p.verdict.name());
                value["reasons"] = json!(p.reasons);
                value["instead"] = json!(p.instead);
            }
            value
        })
        .collect();
    json!({"nodes": plan.nodes, "chosen": plan.chosen.map(By::name), "methods": methods})
}
