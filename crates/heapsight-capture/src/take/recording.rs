//! Recordings: allocation timelines and sampling profiles, for as long as the caller says.

use std::{
    io::Write,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use super::{
    Event, Monitor, Output, Taken, Taker,
    snapshot::{Finished, complete, doing},
};
use crate::{
    Result,
    inspector::{self, Phase, Session},
    output::{self, CaptureKind, Written},
};

/// What goes on while something is recorded.
pub trait Schedule {
    /// The recording has begun.
    ///
    /// # Errors
    /// What is to happen meanwhile cannot be started. The recording is abandoned.
    fn started(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether it is to end; asked about ten times a second.
    fn over(&mut self) -> bool;

    /// A profile was written, and the recording goes on.
    fn kept(&mut self, profile: &Written) {
        let _ = profile;
    }
}

/// How a timeline is recorded.
#[derive(Clone, Debug, Default)]
pub struct TimelineOptions {
    /// The isolate: 0 is the main thread.
    pub thread: u32,
    /// Without the stacks of allocations, which costs less.
    pub no_stacks: bool,
    /// Where it goes.
    pub output: Output,
}

/// How a sampling profile is recorded.
#[derive(Clone, Debug, Default)]
pub struct SampleOptions {
    /// The isolate: 0 is the main thread.
    pub thread: u32,
    /// Interval, depth and so on.
    pub sampling: inspector::SamplingOptions,
}

impl Taker {
    /// Records an allocation timeline until `schedule` says so or the monitor stops it, which ends it in order, too.
    ///
    /// # Errors
    /// Those of the inspector and of the output.
    pub fn timeline(
        &mut self,
        options: &TimelineOptions,
        stdout: Option<Box<dyn Write + Send>>,
        monitor: &Monitor<'_>,
        schedule: &mut dyn Schedule,
    ) -> Result<Taken> {
        monitor.say(Event::Doing("attaching"));
        let mut session = self.session(options.thread)?;
        let begun = Instant::now();
        let began = jiff::Timestamp::now();
        let mut sink = output::Sink::create(
            self.sink_options(CaptureKind::Timeline, options.thread, &options.output, 0),
            stdout,
        )?;
        let how = inspector::TimelineOptions {
            stacks: !options.no_stacks,
            ..inspector::TimelineOptions::default()
        };
        let mut phase = None;
        let mut failure = None;
        let captured = session.timeline(&how, &mut sink, &mut |progress| {
            if phase != Some(progress.phase) {
                if phase.is_none() {
                    failure = schedule.started().err();
                }
                phase = Some(progress.phase);
                monitor.say(Event::Doing(doing(progress.phase)));
            }
            let live = Some(progress.live);
            monitor.say(Event::Progress { elapsed: progress.elapsed, bytes: progress.received, live });
            // A stop while it records ends it in order; what was recorded is kept.
            let over = failure.is_some() || monitor.stopped() || schedule.over();
            if progress.phase == Phase::Recording && over {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let written = sink.finish()?;
        let finished = Finished {
            written,
            started: began,
            elapsed: begun.elapsed(),
            pause: Some(captured.stopped),
            ids: None,
            sampling: None,
        };
        self.finish(session, CaptureKind::Timeline, "inspector", options.thread, &options.output, finished)
    }

    /// Begins to sample.
    ///
    /// # Errors
    /// Those of the inspector; another profiler is running and is not to be shared.
    pub fn sampler(&mut self, options: &SampleOptions) -> Result<Sampler<'_>> {
        let session = self.session(options.thread)?;
        Ok(Sampler { taker: self, session, options: options.clone() })
    }

    /// Begins to sample and goes on to other captures of the same isolate; [`Taker::end_sampling`] writes the profile.
    /// The end of the conversation ends the sampling, too.
    ///
    /// # Errors
    /// As [`Session::sampling`].
    pub fn begin_sampling(&mut self, options: &SampleOptions) -> Result<()> {
        let timeout = self.options.timeout;
        let mut session = self.session(options.thread)?;
        let started = session.start_sampling(&options.sampling, timeout);
        self.give_back(options.thread, session);
        started.map(|_| ())
    }

    /// Ends what [`Taker::begin_sampling`] began, and writes the profile.
    ///
    /// # Errors
    /// Those of the inspector and of the output.
    pub fn end_sampling(&mut self, thread: u32, output: &Output) -> Result<Taken> {
        self.write_sampling(thread, output, Session::stop_sampling)
    }

    /// Writes the profile of what [`Taker::begin_sampling`] began, and goes on.
    ///
    /// # Errors
    /// Those of the inspector and of the output.
    pub fn sampled_so_far(&mut self, thread: u32, output: &Output) -> Result<Taken> {
        self.write_sampling(thread, output, Session::sampled_so_far)
    }

    fn write_sampling(
        &mut self,
        thread: u32,
        output: &Output,
        write: impl FnOnce(&mut Session, Duration, &mut dyn Write) -> Result<u64>,
    ) -> Result<Taken> {
        let timeout = self.options.timeout;
        let (begun, started) = (Instant::now(), jiff::Timestamp::now());
        let mut session = self.session(thread)?;
        let mut sink =
            output::Sink::create(self.sink_options(CaptureKind::Profile, thread, output, 0), None)?;
        write(&mut session, timeout, &mut sink)?;
        let written = sink.finish()?;
        let finished =
            Finished { written, started, elapsed: begun.elapsed(), pause: None, ids: None, sampling: None };
        self.finish(session, CaptureKind::Profile, "inspector", thread, output, finished)
    }
}

/// A target that is about to be sampled, or is.
#[derive(Debug)]
pub struct Sampler<'t> {
    taker: &'t mut Taker,
    session: Session,
    options: SampleOptions,
}

impl Sampler<'_> {
    /// Samples, writes a profile whenever `every` has passed, and a last one at the end.
    ///
    /// # Errors
    /// Those of the inspector and of the output. Sampling is stopped then, too.
    pub fn record(
        self,
        output: &Output,
        every: Option<Duration>,
        stdout: Option<Box<dyn Write + Send>>,
        monitor: &Monitor<'_>,
        schedule: &mut dyn Schedule,
    ) -> Result<Taken> {
        let Self { taker, mut session, options } = self;
        let timeout = taker.options.timeout;
        let keeps_collected = taker.identity()?.keeps_collected();
        let (process, runtime) = taker.described(options.thread, session.thread_info().title.clone())?;
        let begun = Instant::now();
        let began = jiff::Timestamp::now();
        let sink = |stdout| {
            output::Sink::create(taker.sink_options(CaptureKind::Profile, options.thread, output, 0), stdout)
        };
        // What cannot be written should not be recorded.
        let mut last = match every {
            None => Some(sink(stdout)?),
            Some(_) => None,
        };
        let mut sampling = session.sampling(&options.sampling, timeout)?;
        // Of another's profiler neither is known.
        let sampled = (!sampling.is_shared()).then_some(output::Sampled {
            interval: options.sampling.interval,
            collected: Some(
                keeps_collected && options.sampling.include_major && options.sampling.include_minor,
            ),
        });
        schedule.started()?;
        monitor.say(Event::Doing("sampling"));
        loop {
            let mut over = false;
            sampling.wait(every, &mut |elapsed| {
                monitor.say(Event::Progress { elapsed, bytes: 0, live: None });
                over = monitor.stopped() || schedule.over();
                if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if over || every.is_none() {
                break;
            }
            let mut sink = sink(None)?;
            sampling.profile_now(&mut sink)?;
            let finished = Finished {
                written: sink.finish()?,
                started: began,
                elapsed: begun.elapsed(),
                pause: None,
                ids: None,
                sampling: sampled.clone(),
            };
            // A profile has the scripts' names in it.
            let (process, runtime) = (process.clone(), runtime.clone());
            let kind = CaptureKind::Profile;
            let taken = complete(kind, "inspector", process, runtime, Vec::new(), output, finished)?;
            schedule.kept(&taken.written);
        }
        let mut sink = match last.take() {
            Some(sink) => sink,
            None => sink(None)?,
        };
        sampling.stop(&mut sink)?;
        let written = sink.finish()?;
        let finished = Finished {
            written,
            started: began,
            elapsed: begun.elapsed(),
            pause: None,
            ids: None,
            sampling: sampled,
        };
        taker.finish(session, CaptureKind::Profile, "inspector", options.thread, output, finished)
    }
}
