//! `heapsight upload`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use heapsight_report::{
    table::{Cell, Table},
    units,
};
use heapsight_upload::{
    Config, Destination, Environment, Handle, Outcome, Proof, Report, Status, UploadError, Uploader,
    Verification,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{Forms, capture, write};
use crate::{
    Answer,
    args::upload::{Upload as Args, Verify},
    context::Context,
    failure::Failure,
};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        Self::Message { what: error.to_string(), hint: error.hint }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let stop = capture::stop_on_signals()?;
    let base = args.queue.clone().or_else(default_base).ok_or_else(|| {
        Failure::new(
            "there is no folder for the queue: neither XDG_STATE_HOME nor HOME is set",
            "use --queue FOLDER",
        )
    })?;
    let mut done = Done::default();
    if args.resume {
        for folder in folders(&base) {
            resume(context, args, &folder, &stop, &mut done)?;
        }
        if done.reports.is_empty() && done.waiting == 0 && done.busy == 0 {
            context.note("nothing was broken off");
        }
    } else {
        // Each call has a queue of its own, so that several at a time do not wait for each other.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let folder = base.join(format!("{}-{}", since.as_millis(), std::process::id()));
        let to: Destination = args.to.as_deref().unwrap_or_default().parse()?;
        check(&args.files)?;
        let handle = Uploader::start(config(context, args, to.clone(), &folder))?;
        let enqueued = args.files.iter().try_for_each(|file| handle.enqueue(file));
        if let Err(error) = enqueued {
            drop(handle);
            clear(&folder);
            return Err(error.into());
        }
        follow(context, handle, &to, &stop, &mut done);
        clear(&folder);
    }
    done.reports.sort_by(|a, b| a.path.cmp(&b.path));
    answer(context, &done)?;
    if done.reports.iter().filter_map(failure).any(|error| error.kind != heapsight_upload::Kind::Local) {
        context.note("what did not go up is in the queue: `heapsight upload --resume` tries it again");
    }
    done.verdict(stop.load(Ordering::SeqCst))
}

/// Goes on with a queue, for each destination that is in it.
fn resume(
    context: &Context,
    args: &Args,
    folder: &Path,
    stop: &AtomicBool,
    done: &mut Done,
) -> Result<(), Failure> {
    let waiting = heapsight_upload::waiting(folder)?;
    let destinations: BTreeSet<&String> = waiting.iter().map(|(_, destination)| destination).collect();
    for destination in destinations {
        let to: Destination = destination.parse()?;
        match Uploader::start(config(context, args, to.clone(), folder)) {
            Ok(handle) => follow(context, handle, &to, stop, done),
            Err(error) if error.kind == heapsight_upload::Kind::Queue => {
                context.note(&error.to_string());
                done.busy += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    clear(folder);
    Ok(())
}

fn config(context: &Context, args: &Args, to: Destination, folder: &Path) -> Config {
    let mut config = Config::new(to, Environment::new(std::env::vars_os()), folder);
    config.delete_after = args.delete_after;
    config.overwrite = context.force();
    config.verification = match args.verify {
        Verify::Checksum => Verification::Checksum,
        Verify::ReadBack => Verification::ReadBack,
    };
    config.part_size = 8 << 20;
    config.parallel = usize::from(args.parallel);
    config.retry.attempts = Some(args.attempts);
    config.retry.most = Duration::from_secs(30);
    config
}

/// Files that go to one place must have names of their own, and all must be there before one goes.
fn check(files: &[PathBuf]) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    for file in files {
        let shown = file.display();
        let meta = fs::metadata(file).map_err(|error| {
            Failure::new(
                format!("cannot upload {shown}: {error}"),
                "check the path; nothing has been uploaded",
            )
        })?;
        if !meta.is_file() {
            return Err(Failure::new(
                format!("cannot upload {shown}: it is no file"),
                "name the files in it",
            ));
        }
        if !names.insert(file.file_name()) {
            return Err(Failure::new(
                format!("two files have the name {}", file.file_name().unwrap_or_default().display()),
                "upload them one after the other, with different prefixes",
            ));
        }
    }
    Ok(())
}

/// Waits until all is over, and shows how it goes.
fn follow(context: &Context, handle: Handle, to: &Destination, stop: &AtomicBool, done: &mut Done) {
    let bar = context.shows_progress().then(bar);
    let (mut size, mut over, mut said) = (0, 0, None);
    while !stop.load(Ordering::SeqCst) && !handle.wait(LOOK) {
        let status = handle.status();
        for report in handle.reports() {
            over += report.size;
            done.reports.push(report);
        }
        if let Some(bar) = &bar {
            show(bar, &status, over, &mut size);
        } else if let (Some(error), true) = (&status.last_error, status.retries > 0)
            && said.as_ref() != Some(error)
        {
            context.note(&format!("{error}; it is tried again"));
            said = Some(error.clone());
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    done.reports.extend(handle.reports());
    for name in handle.status().set_aside {
        context.note(&format!("{name} in the queue could not be read; it is named {name}.damaged now"));
    }
    // What is under way is written down; nobody who pressed Ctrl-C waits for more.
    let status = handle.stop(Duration::ZERO);
    done.waiting += status.waiting;
    done.destination = Some(to.to_string());
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let template = "{msg} {wide_bar:.cyan/dim} {bytes} of {total_bytes} ({bytes_per_sec}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, status: &Status, over: u64, size: &mut u64) {
    let Some(current) = &status.current else {
        if let (Some(error), Some(next)) = (&status.last_error, status.next_attempt) {
            bar.set_message(format!("{error}; again in {} s", next.as_secs() + 1));
            bar.tick();
        }
        return;
    };
    *size = (*size).max(over + current.size);
    bar.set_length(*size);
    bar.set_position(over + current.sent);
    let name = current.path.file_name().unwrap_or_default().display();
    bar.set_message(match status.waiting {
        0 | 1 => format!("uploading {name}"),
        more => format!("uploading {name} and {} more", more - 1),
    });
}

/// What has become of all files.
#[derive(Default)]
struct Done {
    destination: Option<String>,
    reports: Vec<Report>,
    /// Files that are still in a queue.
    waiting: usize,
    /// Queues that another process works on.
    busy: usize,
}

impl Done {
    fn verdict(&self, interrupted: bool) -> Result<Answer, Failure> {
        let failures: Vec<_> = self.reports.iter().filter_map(failure).collect();
        let files = |n: usize| units::number_of(n as u64, "file", "files");
        match failures[..] {
            [] if self.waiting == 0 => Ok(Answer::Yes),
            [] => {
                let why = if interrupted { "interrupted" } else { "broken off" };
                Err(Failure::new(
                    format!("{why}: {} did not go up", files(self.waiting)),
                    "`heapsight upload --resume` goes on where it was",
                ))
            }
            [error] => Err(Failure::Message { what: error.to_string(), hint: error.hint.clone() }),
            [first, ..] => Err(Failure::Message {
                what: format!("{} did not go up: {first}", files(failures.len())),
                hint: first.hint.clone(),
            }),
        }
    }
}

fn failure(report: &Report) -> Option<&UploadError> {
    if let Outcome::Failed(error) = &report.outcome { Some(error) } else { None }
}

fn answer(context: &Context, done: &Done) -> Result<(), Failure> {
    write(
        context,
        Forms {
            json: &|| {
                let files: Vec<Value> = done.reports.iter().map(report_json).collect();
                json!({"files": files, "waiting_count": done.waiting})
            },
            text: &|| {
                let up = done.reports.iter().filter(|report| failure(report).is_none());
                let (count, size) = up.fold((0, 0), |(count, size), report| (count + 1, size + report.size));
                if done.reports.is_empty() {
                    return String::new();
                }
                let all = units::number_of(done.reports.len() as u64, "file", "files");
                let files =
                    if count == done.reports.len() as u64 { all } else { format!("{count} of {all}") };
                let to = done.destination.as_deref().unwrap_or_default();
                let style = context.style();
                format!(
                    "{files} ({}) in {to}\n\n{}",
                    units::bytes(size),
                    table(done).text(style.width, style.paint)
                )
            },
            table: Some(&|| table(done)),
        },
    )
}

fn table(done: &Done) -> Table {
    let mut table = Table::new(&[
        ("File", "file"),
        ("Size", "size"),
        ("Result", "result"),
        ("Seconds", "seconds"),
        ("", "url"),
    ]);
    for report in &done.reports {
        table.row(vec![
            Cell::Text(report.path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
            Cell::Bytes(report.size),
            Cell::Text(result(report)),
            Cell::Text(format!("{:.1}", report.took.as_secs_f64())),
            Cell::Text(report.url.clone()),
        ]);
    }
    table
}

/// What became of a file, in words.
fn result(report: &Report) -> String {
    let Outcome::Verified { proof, found, deleted, kept_because } = &report.outcome else {
        return "not uploaded".to_owned();
    };
    let mut text = String::from(match (proof, found) {
        (Proof::Accepted, _) => "accepted",
        (Proof::Checksum, false) => "uploaded, checksum equal",
        (Proof::Checksum, true) => "was there, checksum equal",
        (Proof::ReadBack, false) => "uploaded, read back",
        (Proof::ReadBack, true) => "was there, read back",
    });
    if *deleted {
        text += ", removed here";
    }
    if let Some(why) = kept_because {
        text += &format!(", kept here: {why}");
    }
    text
}

fn report_json(report: &Report) -> Value {
    let mut value = json!({
        "file": report.path,
        "url": report.url,
        "size": report.size,
        "attempts": report.attempts,
        "duration_ms": report.took.as_millis() as u64,
    });
    match &report.outcome {
        Outcome::Verified { proof, found, deleted, kept_because } => {
            value["result"] = if *found { "present" } else { "uploaded" }.into();
            value["verified_by"] = match proof {
                Proof::Checksum => "checksum".into(),
                Proof::ReadBack => "read-back".into(),
                Proof::Accepted => Value::Null,
            };
            value["deleted"] = (*deleted).into();
            if let Some(why) = kept_because {
                value["kept_because"] = why.as_str().into();
            }
        }
        Outcome::Failed(error) => {
            value["result"] = "failed".into();
            value["error"] = error.to_string().into();
            value["hint"] = error.hint.clone().into();
        }
        _ => value["result"] = "other".into(),
    }
    value
}

/// Where queues are, if nothing else is said.
fn default_base() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(state.join("heapsight/uploads"))
}

/// The folder and the folders in it: each call that was broken off has left one.
fn folders(base: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = inside.filter(|path| path.is_dir()).collect();
    folders.sort();
    if base.is_dir() {
        folders.push(base.to_owned());
    }
    folders
}

/// Removes the queue of a call if nothing is left in it.
fn clear(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    if entries.flatten().all(|entry| entry.file_name() == "lock") {
        let _ = fs::remove_file(folder.join("lock"));
        let _ = fs::remove_dir(folder);
    }
}
