//! From a program, or from its snapshots, to a verdict: what `leak` and `check` share.

use std::path::{Path, PathBuf};

use heapsight_analysis::Heap;
use heapsight_capture::{output::Metadata, target::Target};
use heapsight_query::{
    code::Code,
    compare::IdCheck,
    leak::{self, Round, Sampled, Stack, StackFrame, Verdict},
};
use tempfile::TempDir;

use super::{
    demo,
    hunt::{self, Hunted},
};
use crate::{
    args::leak::Rounds as Args,
    code::{code_of, scripts},
    context::Context,
    failure::Failure,
};

/// Snapshots with work between them, and what they say.
pub(super) struct Examined {
    /// What the files are called, oldest first; those of a hunt may be gone.
    pub(super) names: Vec<String>,
    /// What is in them.
    pub(super) heaps: Vec<Heap>,
    /// What their side files say.
    pub(super) sides: Vec<Option<Metadata>>,
    /// The code of the last.
    pub(super) code: Code,
    /// What leaks.
    pub(super) verdict: Verdict,
    /// The program in words: `server.js (pid 4711, Node.js 22.23.3)`; empty if nothing is known.
    pub(super) program: String,
    /// The code of a demonstration is looked at as long as the verdict is.
    _folder: Option<TempDir>,
}

impl Examined {
    /// The script that the program runs, if that is known.
    pub(super) fn script(&self) -> Option<&str> {
        self.sides.iter().flatten().next_back()?.process.script.as_deref()
    }
}

/// Hunts, or opens what was captured before, and says what leaks.
pub(super) fn examine(context: &Context, args: &Args) -> Result<Examined, Failure> {
    if args.demo {
        return demonstrate(context, args);
    }
    if is_hunt(args) {
        // The snapshots go when they have been looked at.
        let hunted = &hunt::hunt(context, args)?;
        return look(context, &hunted.files, hunted.profile.as_deref(), |_| hunted.rounds.clone());
    }
    let Captures { files, profile } = Captures::among(context, &args.named);
    if files.len() < 2 {
        return Err(Failure::new(
            "one snapshot does not show what grows",
            "give at least two of one process, oldest first; `heapsight suspects FILE` looks at one",
        ));
    }
    compare(context, &files, args.profile.as_deref().or(profile.as_deref()), args.requests)
}

/// What is to be compared of all that `series/*` stands for.
struct Captures {
    /// The snapshots.
    files: Vec<PathBuf>,
    /// The profile of the last round that a hunt keeps beside its snapshots.
    profile: Option<PathBuf>,
}

impl Captures {
    fn among(context: &Context, named: &[PathBuf]) -> Self {
        let is_profile = |path: &PathBuf| {
            let name = path.to_string_lossy();
            [".heapprofile", ".heapprofile.gz", ".heapprofile.zst"].iter().any(|end| name.ends_with(end))
        };
        let all = context.without_side_files(named);
        let (profiles, files): (Vec<PathBuf>, Vec<PathBuf>) = all.iter().cloned().partition(is_profile);
        match profiles.as_slice() {
            // A single profile among snapshots is that of the last round.
            [profile] if files.len() > 1 => {
                context.note(&format!("{} is taken for a profile of the last round", profile.display()));
                Self { files, profile: Some(profile.clone()) }
            }
            // Whoever names several gets to know that they are no snapshots.
            _ => Self { files: all, profile: None },
        }
    }
}

/// Opens snapshots that were taken before, of which there may be one only.
pub(super) fn compare(
    context: &Context,
    files: &[PathBuf],
    profile: Option<&Path>,
    requests: Option<u64>,
) -> Result<Examined, Failure> {
    look(context, files, profile, |sides| {
        sides.windows(2).map(|pair| Round { requests, seconds: seconds(pair) }).collect()
    })
}

/// Hunts in a server of our own; without Node.js, in snapshots of it.
fn demonstrate(context: &Context, args: &Args) -> Result<Examined, Failure> {
    let mut args = args.clone();
    let requests = *args.requests.get_or_insert(demo::REQUESTS);
    if demo::has_node() {
        let server = demo::server()?;
        context.note("hunting in a small web server of heapsight's own: it is started, loaded and ended");
        args.command.clone_from(&server.command);
        args.hunt.wait_for = Some(server.url.clone());
        args.hunt.load = Some(server.url.clone());
        let Hunted { files, rounds, profile, .. } = &hunt::hunt(context, &args)?;
        let examined = look(context, files, profile.as_deref(), |_| rounds.clone())?;
        return Ok(Examined { _folder: Some(server.folder), ..examined });
    }
    context.note("there is no `node` on the PATH: looking at snapshots that were taken of the server of the demonstration");
    let (files, _folder) = demo::snapshots()?;
    let rounds = vec![Round { requests: Some(requests), seconds: None }; files.len() - 1];
    look(context, &files, None, |_| rounds)
}

/// Whether the words name a program instead of files.
fn is_hunt(args: &Args) -> bool {
    let is_target = |name: &Path| {
        !name.exists() && name.to_str().is_some_and(|text| text != "-" && Target::parse(text).is_ok())
    };
    !args.command.is_empty() || args.hunt.has_rounds() || (args.named.len() == 1 && is_target(&args.named[0]))
}

/// Opens snapshots, compares them and says what leaks.
fn look(
    context: &Context,
    files: &[PathBuf],
    profile: Option<&Path>,
    rounds: impl FnOnce(&[Option<Metadata>]) -> Vec<Round>,
) -> Result<Examined, Failure> {
    let sides: Vec<Option<Metadata>> = files.iter().map(|path| Metadata::of(path).ok().flatten()).collect();
    let mut heaps = Vec::with_capacity(files.len());
    for path in files {
        let heap = context.open(path)?;
        context.note_damage(path, &heap.snapshot.warnings);
        heaps.push(heap);
    }
    let by_id = of_one_process(files, &sides, &heaps)?;
    let rounds = rounds(&sides);
    let code = match (files.last(), heaps.last()) {
        (Some(path), Some(heap)) => code_of(path, heap),
        _ => Code::none(),
    };
    let sampled = profile.map_or_else(|| Ok(Sampled::default()), |path| sampled(context, path))?;
    let verdict = leak::leak_sampled(&heaps, &rounds, &code, by_id, &sampled);
    let program = sides.iter().flatten().next_back().map(program).unwrap_or_default();
    let names = files.iter().map(|path| called(path)).collect();
    Ok(Examined { names, heaps, sides, code, verdict, program, _folder: None })
}

/// The stacks of a sampling profile.
fn sampled(context: &Context, path: &Path) -> Result<Sampled, Failure> {
    let profile = super::profile::read(context, path)?;
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

/// How two snapshots belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kin {
    /// Object ids mean the same objects.
    Ids,
    /// They are of one process, which numbered its objects anew in between.
    Process,
    /// They are of two processes, or nothing says that they are of one.
    None,
}

fn kin(sides: [Option<&Metadata>; 2], heaps: [&Heap; 2]) -> Kin {
    let by_look = || if IdCheck::new(heaps[0], heaps[1]).comparable() { Kin::Ids } else { Kin::None };
    let [Some(old), Some(new)] = sides else { return by_look() };
    if old.ids_comparable(new) {
        return Kin::Ids;
    }
    if old.process.pid == 0 || new.process.pid == 0 {
        // Of a process elsewhere nothing is known but its ids, which nobody vouches for.
        return if by_look() == Kin::Ids { Kin::Process } else { Kin::None };
    }
    let told = |side: &Metadata| (side.process.clone(), side.runtime.version.clone());
    let born = |side: &Metadata| side.id_space.as_ref().map(|ids| (ids.boot_id.clone(), ids.process_start));
    let ((old_process, old_version), (new_process, new_version)) = (told(old), told(new));
    let same = (old_process.pid, old_process.thread, old_process.script, old_version)
        == (new_process.pid, new_process.thread, new_process.script, new_version);
    let twice = born(old).zip(born(new)).is_some_and(|(old, new)| old != new);
    if same && !twice { Kin::Process } else { Kin::None }
}

/// Whether the object ids of all mean the same objects. Where not, they are at least of one process.
///
/// # Errors
/// One is of another process: what grows cannot be told from such, and certainly not that nothing does.
pub(super) fn of_one_process<P: AsRef<Path>>(
    files: &[P],
    sides: &[Option<Metadata>],
    heaps: &[Heap],
) -> Result<bool, Failure> {
    let kin =
        |old: usize, new: usize| kin([sides[old].as_ref(), sides[new].as_ref()], [&heaps[old], &heaps[new]]);
    let mut by_id = true;
    for new in 1..heaps.len() {
        let old = new - 1;
        match kin(old, new) {
            Kin::Ids => {}
            Kin::Process => by_id = false,
            Kin::None => {
                // Where the others belong together, the first of them is the stranger and not the second.
                let first = old == 0 && heaps.len() > 2 && kin(1, 2) != Kin::None && kin(0, 2) == Kin::None;
                let (stranger, other) = if first { (old, new) } else { (new, old) };
                return Err(strangers([stranger, other].map(|at| (files[at].as_ref(), sides[at].as_ref()))));
            }
        }
    }
    Ok(by_id)
}

fn strangers([(stranger, its), (other, of)]: [(&Path, Option<&Metadata>); 2]) -> Failure {
    let (stranger, other) = (stranger.display(), other.display());
    let threads = |its: &Metadata, of: &Metadata| {
        its.process.pid == of.process.pid && its.process.thread != of.process.thread
    };
    let what = match (its, of) {
        (Some(its), Some(of)) if threads(its, of) => {
            format!(
                "{stranger} is of another thread than {other}: {} and {}",
                its.process.thread, of.process.thread
            )
        }
        (Some(its), Some(of)) if its.process.pid > 0 && of.process.pid > 0 => {
            format!("{stranger} is of another process than {other}: {} and {}", program(its), program(of))
        }
        _ => format!(
            "{stranger} does not look like a snapshot of the process of {other}: their object ids do not fit together"
        ),
    };
    Failure::new(
        format!("cannot tell what grows: {what}"),
        "leave it out, or take all of one process: `heapsight leak PID`, or `heapsight snapshot PID --stable-ids \
         --repeat 4`; two processes are compared by `heapsight diff --by-class`",
    )
}

/// Whether object ids mean the same objects: as the side files say, and else as the ids look.
pub(super) fn ids_fit(sides: &[Option<Metadata>], heaps: &[Heap]) -> bool {
    sides.windows(2).zip(heaps.windows(2)).all(|(sides, heaps)| match sides {
        [Some(old), Some(new)] => old.ids_comparable(new),
        _ => IdCheck::new(&heaps[0], &heaps[1]).comparable(),
    })
}

/// The time between two captures, if their side files say when they were taken.
fn seconds(pair: &[Option<Metadata>]) -> Option<f64> {
    let [Some(old), Some(new)] = pair else { return None };
    let seconds = new.seconds_since(old)?;
    (seconds > 0.0).then_some(seconds)
}

/// A file without its folders.
fn called(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
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
    let worker = match side.process.thread {
        0 => String::new(),
        thread => format!(", worker thread {thread}"),
    };
    format!("{script} (pid {}, {name} {}{worker})", side.process.pid, side.runtime.version)
}
