//! Sampling heap profiles: about one allocation in each so many bytes, with its stack, as long as it is alive.
//!
//! V8 has one such profiler for an isolate, shared by everybody who is connected: a second start is ignored in silence,
//! and anyone's stop ends it for all. So it is asked first whether one runs, and one that was not started here is at
//! most read.

use std::{
    io::Write,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    protocol::malformed,
    session::{Happening, Session},
};
use crate::error::{CaptureError, Kind, Result};

/// The deepest stacks that may be asked for: in Node.js 26 and Deno 2.9 a tree of 148 levels ends the program.
pub const MAX_DEPTH: u32 = 128;

/// How to sample.
#[derive(Clone, Debug)]
pub struct SamplingOptions {
    /// Bytes between two samples, on average. 512 KiB costs less than can be measured, 4 KiB about a third of the speed.
    pub interval: u64,
    /// Frames of a stack, at most [`MAX_DEPTH`]; V8's own number if not said. Versions before V8 14 ignore it.
    pub depth: Option<u32>,
    /// Keeps samples of objects that a full collection has freed (V8 11 and later).
    pub include_major: bool,
    /// Keeps samples of objects that died young (V8 11 and later).
    pub include_minor: bool,
    /// Where another profiler runs already, reads that one and leaves it running, instead of refusing.
    pub share: bool,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self { interval: 512 << 10, depth: None, include_major: false, include_minor: false, share: false }
    }
}

/// A sampling profiler that runs. It is stopped when this is dropped, if it was started here.
#[derive(Debug)]
pub struct Sampling<'s> {
    session: &'s mut Session,
    started: Instant,
    foreign: bool,
    running: bool,
    timeout: Duration,
}

impl Session {
    /// Starts to sample. `timeout` is for each single answer of the target.
    ///
    /// # Errors
    /// [`Kind::Refused`] where another profiler runs already and is not to be shared, or for stacks that would end the
    /// program; else as [`Session::call`].
    pub fn sampling(&mut self, options: &SamplingOptions, timeout: Duration) -> Result<Sampling<'_>> {
        let foreign = self.start_sampling(options, timeout)?;
        Ok(Sampling { session: self, started: Instant::now(), foreign, running: true, timeout })
    }

    /// Starts to sample and goes on to other things; [`Session::stop_sampling`] ends it, and so does the end of the
    /// session. Says whether another profiler was running, and is shared.
    ///
    /// # Errors
    /// As [`Session::sampling`].
    pub fn start_sampling(&mut self, options: &SamplingOptions, timeout: Duration) -> Result<bool> {
        let what = "cannot start a sampling profile";
        if options.depth.is_some_and(|depth| depth == 0 || depth > MAX_DEPTH) {
            return Err(CaptureError::new(
                Kind::Refused,
                what,
                format!("stacks must have 1 to {MAX_DEPTH} frames: deeper ones end Node.js 26 and Deno 2.9"),
            ));
        }
        if options.interval == 0 {
            return Err(CaptureError::new(Kind::Refused, what, "the interval must be at least one byte"));
        }
        let foreign = match self.profile("HeapProfiler.getSamplingProfile", timeout, &mut std::io::sink()) {
            Ok(_) => true,
            Err(error) if error.kind == Kind::Protocol && error.why.contains("was not started") => false,
            Err(error) => return Err(error),
        };
        if foreign && !options.share {
            return Err(CaptureError::new(
                Kind::Refused,
                what,
                "another profiler samples this isolate already (an APM agent, or DevTools), and V8 has only one",
            )
            .hint("share it to read its profile and leave it running, or stop the other one first"));
        }
        if !foreign {
            self.call("HeapProfiler.enable", &json!({}), timeout)?;
            let mut params = json!({
                "samplingInterval": options.interval,
                "includeObjectsCollectedByMajorGC": options.include_major,
                "includeObjectsCollectedByMinorGC": options.include_minor,
            });
            if let Some(depth) = options.depth {
                params["stackDepth"] = json!(depth);
            }
            self.call("HeapProfiler.startSampling", &params, timeout)?;
        }
        Ok(foreign)
    }

    /// Ends what [`Session::start_sampling`] began and writes the profile. Gives the number of bytes.
    ///
    /// # Errors
    /// As [`Sampling::profile_now`].
    pub fn stop_sampling(&mut self, timeout: Duration, sink: &mut dyn Write) -> Result<u64> {
        self.profile("HeapProfiler.stopSampling", timeout, sink)
    }

    /// Writes the profile of what [`Session::start_sampling`] began, and goes on. Gives the number of bytes.
    ///
    /// # Errors
    /// As [`Sampling::profile_now`].
    pub fn sampled_so_far(&mut self, timeout: Duration, sink: &mut dyn Write) -> Result<u64> {
        self.profile("HeapProfiler.getSamplingProfile", timeout, sink)
    }

    /// Calls what answers with a profile and writes that, byte for byte.
    fn profile(&mut self, method: &str, timeout: Duration, sink: &mut dyn Write) -> Result<u64> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            profile: &'a RawValue,
        }
        let id = self.start(method, &json!({}))?;
        self.answer(
            id,
            method,
            timeout,
            |_, _| Ok(()),
            |result| {
                let answer: Answer<'_> = serde_json::from_str(result).map_err(|e| malformed(&e))?;
                let text = answer.profile.get();
                sink.write_all(text.as_bytes())
                    .and_then(|()| sink.flush())
                    .map_err(|error| CaptureError::sink("cannot write the profile", &error))?;
                Ok(text.len() as u64)
            },
        )
    }
}

impl Sampling<'_> {
    /// Whether the profiler was running before, and will go on.
    pub fn is_shared(&self) -> bool {
        self.foreign
    }

    /// Since when it was started here, or found.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits while the target is sampled: until `duration` is over or `watch`, called every 50 ms with the time since the
    /// start, breaks. Says whether it broke.
    ///
    /// # Errors
    /// [`Kind::Gone`] where the target ends.
    pub fn wait(
        &mut self,
        duration: Option<Duration>,
        watch: &mut dyn FnMut(Duration) -> ControlFlow<()>,
    ) -> Result<bool> {
        let (began, started) = (Instant::now(), self.started);
        let mut broke = false;
        self.session.drive(
            None,
            |_| Ok(()),
            |_: Happening<'_>| {
                broke = watch(started.elapsed()).is_break();
                let over = duration.is_some_and(|duration| began.elapsed() >= duration);
                Ok(if broke || over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            },
        )?;
        Ok(broke)
    }

    /// Writes the profile so far, as JSON, and goes on sampling. Gives the number of bytes.
    ///
    /// # Errors
    /// [`Kind::Output`] where the sink fails; else as [`Session::call`].
    pub fn profile_now(&mut self, sink: &mut dyn Write) -> Result<u64> {
        self.session.profile("HeapProfiler.getSamplingProfile", self.timeout, sink)
    }

    /// Stops, unless another profiler is shared, and writes the profile. Gives the number of bytes.
    ///
    /// # Errors
    /// As [`Sampling::profile_now`].
    pub fn stop(mut self, sink: &mut dyn Write) -> Result<u64> {
        if self.foreign {
            return self.profile_now(sink);
        }
        self.running = false;
        self.session.stop_sampling(self.timeout, sink)
    }

    /// The session that it runs in, for other calls meanwhile.
    pub fn session(&mut self) -> &mut Session {
        self.session
    }
}

impl Drop for Sampling<'_> {
    fn drop(&mut self) {
        if self.running && !self.foreign && !self.session.has_ended() {
            // The answer is not waited for: nobody wants the profile.
            let _ = self.session.start("HeapProfiler.stopSampling", &json!({}));
        }
    }
}
