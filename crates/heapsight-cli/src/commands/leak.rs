//! `heapsight leak`.

use std::path::{Path, PathBuf};

use heapsight_analysis::Heap;
use heapsight_capture::{output::Metadata, target::Target};
use heapsight_query::{
    compare::IdCheck,
    leak::{self, Round, Sampled, Stack, StackFrame, Verdict},
};
use heapsight_report::leak::{self as report, Subject};

use super::{
    Forms, demo,
    hunt::{self, Hunted},
    write,
};
use crate::{
    Answer,
    args::leak::Leak as Args,
    code::{code_of, scripts},
    context::Context,
    failure::Failure,
};

/// Leaks that a person wants to see at first.
const MOST: usize = 5;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    if args.demo {
        return demonstrate(context, args);
    }
    if is_hunt(args) {
        let Hunted { files, rounds, profile, .. } = &hunt::hunt(context, args)?;
        return judged(context, args, files, profile.as_deref(), |_| rounds.clone());
    }
    if args.named.len() < 2 {
        return Err(Failure::new(
            "one snapshot does not show what grows",
            "give at least two of one process, oldest first; `heapsight suspects FILE` looks at one",
        ));
    }
    let of_time = |sides: &[Option<Metadata>]| -> Vec<Round> {
        sides.windows(2).map(|pair| Round { requests: args.requests, seconds: seconds(pair) }).collect()
    };
    judged(context, args, &args.named, args.profile.as_deref(), of_time)
}

/// Hunts in a server of our own; without Node.js, in snapshots of it.
fn demonstrate(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let mut args = args.clone();
    let requests = *args.requests.get_or_insert(demo::REQUESTS);
    if demo::has_node() {
        let server = demo::server()?;
        context.note("hunting in a small web server of heapsight's own: it is started, loaded and ended");
        args.command.clone_from(&server.command);
        args.hunt.wait_for = Some(server.url.clone());
        args.hunt.load = Some(server.url.clone());
        let Hunted { files, rounds, profile, .. } = &hunt::hunt(context, &args)?;
        let answer = judged(context, &args, files, profile.as_deref(), |_| rounds.clone());
        // The code is looked at for the verdict.
        drop(server.folder);
        return answer;
    }
    context.note("there is no `node` on the PATH: looking at snapshots that were taken of the server of the demonstration");
    let (files, _folder) = demo::snapshots()?;
    let rounds = vec![Round { requests: Some(requests), seconds: None }; files.len() - 1];
    judged(context, &args, &files, None, |_| rounds)
}

/// Whether the words name a program instead of files.
fn is_hunt(args: &Args) -> bool {
    let is_target = |name: &Path| {
        !name.exists() && name.to_str().is_some_and(|text| text != "-" && Target::parse(text).is_ok())
    };
    !args.command.is_empty() || args.hunt.has_rounds() || (args.named.len() == 1 && is_target(&args.named[0]))
}

/// Opens snapshots, compares them and says what leaks.
fn judged(
    context: &Context,
    args: &Args,
    files: &[PathBuf],
    profile: Option<&Path>,
    rounds: impl FnOnce(&[Option<Metadata>]) -> Vec<Round>,
) -> Result<Answer, Failure> {
    let sides: Vec<Option<Metadata>> = files.iter().map(|path| Metadata::of(path).ok().flatten()).collect();
    let mut heaps = Vec::with_capacity(files.len());
    for path in files {
        let heap = context.open(path)?;
        context.note_damage(path, &heap.snapshot.warnings);
        heaps.push(heap);
    }
    let rounds = rounds(&sides);
    let code = match (files.last(), heaps.last()) {
        (Some(path), Some(heap)) => code_of(path, heap),
        _ => heapsight_query::code::Code::none(),
    };
    let sampled = profile.map_or_else(|| Ok(Sampled::default()), sampled)?;
    let verdict = leak::leak_sampled(&heaps, &rounds, &code, ids_fit(&sides, &heaps), &sampled);
    let program = sides.iter().flatten().next_back().map(program).unwrap_or_default();
    answer(context, &verdict, &Subject { program, full: args.full }, args.top)
}

/// The stacks of a sampling profile.
fn sampled(path: &Path) -> Result<Sampled, Failure> {
    let profile = super::profile::read(path)?;
    let nodes = 0..profile.nodes.len();
    let stacks = nodes.filter(|&node| profile.nodes.self_size[node] > 0).map(|node| Stack {
        frames: profile.stack(node as u32).map(frame).collect(),
        size: profile.nodes.self_size[node],
        count: profile.nodes.self_count[node],
    });
    let known = Metadata::of(path).ok().flatten().map(scripts).unwrap_or_default();
    Ok(Sampled::new(stacks.collect(), known))
}

fn frame(frame: heapsight_profile::Frame<'_>) -> StackFrame {
    let number = |n: i32| u32::try_from(n).unwrap_or(0);
    StackFrame {
        name: frame.name.to_owned(),
        url: frame.url.to_owned(),
        line: number(frame.line),
        column: number(frame.column),
    }
}

/// Whether object ids mean the same objects: as the side files say, and else as the ids look.
pub(super) fn ids_fit(sides: &[Option<Metadata>], heaps: &[Heap]) -> bool {
    sides.windows(2).zip(heaps.windows(2)).all(|(sides, heaps)| match sides {
        [Some(old), Some(new)] => old.ids_comparable(new),
        _ => IdCheck::new(&heaps[0], &heaps[1]).comparable(),
    })
}

/// Writes a verdict.
fn answer(
    context: &Context,
    verdict: &Verdict,
    subject: &Subject,
    top: Option<usize>,
) -> Result<Answer, Failure> {
    write(
        context,
        Forms {
            json: &|| report::json(verdict, subject),
            text: &|| report::text(verdict, subject, top.unwrap_or(MOST), context.style()),
            table: None,
        },
    )?;
    Ok(Answer::Yes)
}

/// The time between two captures, if their side files say when they were taken.
fn seconds(pair: &[Option<Metadata>]) -> Option<f64> {
    let [Some(old), Some(new)] = pair else { return None };
    let seconds = new.seconds_since(old)?;
    (seconds > 0.0).then_some(seconds)
}

/// `server.js (pid 4711, Node.js 22.23.3)`.
fn program(side: &Metadata) -> String {
    let script =
        side.process.script.as_deref().or(side.process.executable.as_deref()).unwrap_or("the process");
    let script = Path::new(script).file_name().map_or(script.into(), |name| name.to_string_lossy());
    let name = match side.runtime.name.as_str() {
        "node" => "Node.js",
        "deno" => "Deno",
        "chromium" => "Chromium",
        other => other,
    };
    format!("{script} (pid {}, {name} {})", side.process.pid, side.runtime.version)
}
