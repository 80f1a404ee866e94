//! `heapsight sample`.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};

use heapsight_capture::{
    inspector::SamplingOptions,
    output::{Metadata, Written},
    take::{Meanwhile, SampleOptions, Schedule},
};

use super::capture;
use crate::{
    Answer,
    args::capture::{Collected, Sample as Args},
    context::Context,
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let stop = capture::stop_on_signals()?;
    let thread = capture::thread(&args.target)?;
    let meanwhile = capture::meanwhile(context, &args.meanwhile, args.target.timeout)?;
    if args.every.is_some() && context.capture_output().path.is_some_and(|path| !path.is_dir()) {
        return Err(Failure::new(
            "several profiles do not go into one file",
            "name a folder that exists: -o profiles/",
        ));
    }
    let mut subject = capture::subject(context, &args.target, capture::Makes::File, &stop)?;
    if args.meanwhile.duration.is_none() && args.every.is_none() && !meanwhile.is_busy() {
        context.note("sampling until Ctrl-C; --duration 30s, --load or --during end it by themselves");
    }
    let options = SampleOptions {
        thread,
        sampling: SamplingOptions {
            interval: args.interval,
            depth: Some(args.depth),
            include_major: args.include_collected.contains(&Collected::Major),
            include_minor: args.include_collected.contains(&Collected::Minor),
            share: args.share,
        },
    };
    let mut series = Series { context, meanwhile, keep: args.keep, files: VecDeque::new() };
    let taken = capture::watched(context, &stop, |monitor| {
        let sampler = subject.taker.sampler(&options)?;
        let output = context.capture_output();
        Ok(sampler.record(&output, args.every, capture::stdout(context), monitor, &mut series)?)
    })
    .map_err(|failure| subject.explained(failure))?;
    subject.taker.close()?;
    series.kept(&taken.written);
    if let Some(path) = &taken.written.path {
        say_if_empty(context, path);
    }
    capture::report(context, &[taken], series.meanwhile.finish(&stop))?;
    Ok(Answer::Yes)
}

/// Says that a profile has nothing in it, and what would see more.
fn say_if_empty(context: &Context, path: &Path) {
    let Ok(profile) = super::profile::read(context, path) else { return };
    if profile.total_size() == 0 {
        context.note(
            "the profile is empty: of what was sampled nothing is alive. A longer time or a smaller --interval sees more, \
             and --include-collected major,minor also what has been collected (Node.js 20 and later)",
        );
    }
}

/// Profiles that are written again and again, of which some are kept.
struct Series<'c> {
    context: &'c Context,
    meanwhile: Meanwhile,
    keep: Option<usize>,
    files: VecDeque<PathBuf>,
}

impl Schedule for Series<'_> {
    fn started(&mut self) -> heapsight_capture::Result<()> {
        self.meanwhile.started()
    }

    fn over(&mut self) -> bool {
        self.meanwhile.over()
    }

    fn kept(&mut self, profile: &Written) {
        let Some(path) = &profile.path else { return };
        self.files.push_back(path.clone());
        while self.keep.is_some_and(|keep| self.files.len() > keep.max(1)) {
            let Some(oldest) = self.files.pop_front() else { return };
            if let Err(error) = fs::remove_file(&oldest) {
                self.context.note(&format!("cannot remove {}: {error}", oldest.display()));
            }
            let _ = fs::remove_file(Metadata::path_of(&oldest));
        }
    }
}
