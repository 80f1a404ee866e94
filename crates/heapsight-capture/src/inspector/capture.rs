//! Heap snapshots and allocation timelines over an inspector: chunks from the connection to a sink, exactly as V8 wrote
//! them, and what may be known of the target meanwhile.
//!
//! The sink is written by another thread than the one that reads the connection (`spool`), so that a slow disk does not
//! make the target keep the rest in its memory. A capture is whole when the answer to its call has come; what comes
//! without it is reported as [`Kind::Gone`] with the bytes that had come.

use std::{
    collections::HashMap,
    io::Write,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::json;

use super::{
    endpoint::seconds,
    escapes::{Decoder, parse},
    protocol::bad_escape,
    session::{Happening, Session},
    spool::Spool,
};
use crate::error::{CaptureError, Kind, Result};

/// How often a watcher is called.
const WATCH: Duration = Duration::from_millis(100);

/// How full a block is before it is handed on, in bytes.
const FULL: usize = 512 << 10;

/// How to take a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// Collects garbage before. V8 does so itself at the beginning of a snapshot; twice finds what finalizers free.
    pub gc: bool,
    /// Numbers are captured with their values (Node.js 16 and later).
    pub numeric_values: bool,
    /// Objects that V8 and the runtime keep for themselves are named as what they are.
    pub expose_internals: bool,
    /// How long V8 may build the graph before the first byte: it is silent until then.
    pub build_within: Duration,
    /// How long nothing may come once bytes have come.
    pub stalled_after: Duration,
    /// How long the event loop may be busy before the snapshot begins, where V8 waits for it (V8 12 and later).
    pub idle_within: Duration,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            gc: false,
            numeric_values: false,
            expose_internals: false,
            build_within: Duration::from_secs(30 * 60),
            stalled_after: Duration::from_secs(120),
            idle_within: Duration::from_secs(30),
        }
    }
}

/// How to record an allocation timeline.
#[derive(Clone, Debug)]
pub struct TimelineOptions {
    /// With the stack of each allocation: that makes the program some ten times slower while it lasts, without three.
    pub stacks: bool,
    /// When it ends by itself; else it ends when the watcher says so.
    pub duration: Option<Duration>,
    /// As for snapshots.
    pub snapshot: SnapshotOptions,
}

impl Default for TimelineOptions {
    fn default() -> Self {
        Self { stacks: true, duration: None, snapshot: SnapshotOptions::default() }
    }
}

/// What a capture is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Allocations are recorded; the program runs. A watcher that breaks ends the recording in order.
    Recording,
    /// V8 builds the graph; the program stands still. A watcher that breaks abandons the capture.
    Building,
    /// Bytes are coming.
    Receiving,
    /// All have come; the sink takes what is left.
    Writing,
}

/// How far a capture is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Since it began.
    pub elapsed: Duration,
    /// Bytes that have come.
    pub received: u64,
    /// Bytes that the sink has taken.
    pub written: u64,
    /// What a recording has seen so far.
    pub live: LiveStats,
}

/// What V8 tells while it records allocations: objects that were allocated since it began and are alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveStats {
    /// Intervals of about 50 ms so far.
    pub intervals: u64,
    /// Objects of all intervals that are alive.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The last object id that was given out.
    pub last_id: u64,
}

/// Looks at a capture about ten times a second and may end it.
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// A capture that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Bytes that the sink has taken.
    pub bytes: u64,
    /// From the call until the last byte had come: about how long the program stood still. For a timeline only the end
    /// of it, after the recording.
    pub stopped: Duration,
    /// From the call until the first byte.
    pub built: Duration,
    /// In all.
    pub elapsed: Duration,
    /// What a recording had seen at its end.
    pub live: LiveStats,
}

impl Session {
    /// Takes a heap snapshot of this isolate. The program stands still meanwhile, and needs several times its heap in
    /// memory; it cannot be called off: V8 finishes also what nobody reads.
    ///
    /// # Errors
    /// [`Kind::Timeout`] where the event loop is blocked and the snapshot would not begin; [`Kind::Gone`] with the number
    /// of bytes that had come; [`Kind::Output`] where the sink fails; [`Kind::Interrupted`] where the watcher breaks.
    pub fn heap_snapshot(
        &mut self,
        options: &SnapshotOptions,
        sink: &mut (dyn Write + Send),
        watch: &mut Watch<'_>,
    ) -> Result<Captured> {
        let quick = Duration::from_secs(10).max(options.idle_within);
        let identity = self.identify(quick)?;
        if identity.v8_major() >= 12 && !self.event_loop_turns(options.idle_within)? {
            return Err(CaptureError::new(
                Kind::Timeout,
                "cannot take a heap snapshot",
                format!(
                    "JavaScript has run without a pause for {}, and this version of V8 ({}) begins a snapshot only in the event loop",
                    seconds(options.idle_within),
                    identity.v8
                ),
            )
            .hint("wait until the program is free again, or take a sampling profile, which needs no pause"));
        }
        if options.gc {
            self.collect_garbage(options.build_within)?;
        }
        self.call("HeapProfiler.enable", &json!({}), quick)?;
        let started = Instant::now();
        let params = json!({
            // Crashes some versions of Node.js 16 and 18, and says nothing that is needed.
            "reportProgress": false,
            "captureNumericValue": options.numeric_values,
            "exposeInternals": options.expose_internals,
        });
        self.receive(
            "HeapProfiler.takeHeapSnapshot",
            &params,
            options,
            started,
            LiveStats::default(),
            sink,
            watch,
        )
    }

    /// Records allocations until the watcher breaks or the time is over, then takes a snapshot with what was recorded.
    ///
    /// # Errors
    /// As [`Session::heap_snapshot`]; a watcher that breaks after the recording calls it off.
    pub fn timeline(
        &mut self,
        options: &TimelineOptions,
        sink: &mut (dyn Write + Send),
        watch: &mut Watch<'_>,
    ) -> Result<Captured> {
        let quick = Duration::from_secs(10).max(options.snapshot.idle_within);
        self.call("HeapProfiler.enable", &json!({}), quick)?;
        if options.snapshot.gc {
            self.collect_garbage(options.snapshot.build_within)?;
        }
        let started = Instant::now();
        // It walks the whole heap to give every object its id before it answers.
        let params = json!({"trackAllocations": options.stacks});
        self.call("HeapProfiler.startTrackingHeapObjects", &params, options.snapshot.build_within)?;
        let mut live = Live::default();
        let mut seen = Instant::now();
        let recorded = self.drive(
            None,
            |_| Ok(()),
            |happening| {
                if let Happening::Event(method, params) = happening {
                    live.event(method, params);
                }
                if options.duration.is_some_and(|duration| started.elapsed() >= duration) {
                    return Ok(ControlFlow::Break(()));
                }
                if seen.elapsed() < WATCH {
                    return Ok(ControlFlow::Continue(()));
                }
                seen = Instant::now();
                Ok(watch(&Progress {
                    phase: Phase::Recording,
                    elapsed: started.elapsed(),
                    received: 0,
                    written: 0,
                    live: live.stats,
                }))
            },
        );
        recorded.map_err(|error| before_bytes(error, "while allocations were recorded"))?;
        let params = json!({"reportProgress": false});
        self.receive(
            "HeapProfiler.stopTrackingHeapObjects",
            &params,
            &options.snapshot,
            started,
            live.stats,
            sink,
            watch,
        )
    }

    /// Collects garbage. The program stands still meanwhile.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn collect_garbage(&mut self, timeout: Duration) -> Result<()> {
        self.call("HeapProfiler.collectGarbage", &json!({}), timeout).map(drop)
    }

    /// Calls what answers with chunks, and passes them on.
    #[expect(clippy::too_many_arguments, reason = "private, and all of them are needed")]
    fn receive(
        &mut self,
        method: &str,
        params: &serde_json::Value,
        options: &SnapshotOptions,
        started: Instant,
        stats: LiveStats,
        sink: &mut (dyn Write + Send),
        watch: &mut Watch<'_>,
    ) -> Result<Captured> {
        let called = Instant::now();
        let id = self.start_capture(method, params)?;
        let dir = self.spool_dir().to_owned();
        let spool = Spool::new(&dir);
        let mut live = Live { stats, ..Live::default() };
        let mut times = (Duration::ZERO, Duration::ZERO);
        let (result, failure) = spool.run(sink, |spool| {
            let mut chunks = Chunks { spool, decoder: Decoder::default(), block: spool.block(), received: 0 };
            let mut seen = Instant::now();
            let progress = |phase, received, live: &Live| Progress {
                phase,
                elapsed: started.elapsed(),
                received,
                written: spool.written(),
                live: live.stats,
            };
            let answer = self.drive(
                Some((id, method)),
                |_| Ok(()),
                |happening| {
                    match happening {
                        Happening::Chunk(chunk) => {
                            if chunks.received == 0 {
                                times.0 = called.elapsed();
                            }
                            chunks.take(chunk)?;
                        }
                        Happening::Event(method, params) => live.event(method, params),
                        Happening::Nothing(idle) => {
                            let (limit, doing) = if chunks.received == 0 {
                                (options.build_within, "V8 has sent nothing yet")
                            } else {
                                (options.stalled_after, "nothing more has come")
                            };
                            if idle >= limit {
                                return Err(CaptureError::new(
                                    Kind::Timeout,
                                    format!("`{method}` did not end: {} bytes had come", chunks.received),
                                    format!("{doing} for {}", seconds(limit)),
                                ));
                            }
                        }
                    }
                    if spool.has_failed() {
                        return Ok(ControlFlow::Break(()));
                    }
                    if seen.elapsed() < WATCH {
                        return Ok(ControlFlow::Continue(()));
                    }
                    seen = Instant::now();
                    let phase = if chunks.received == 0 { Phase::Building } else { Phase::Receiving };
                    Ok(watch(&progress(phase, chunks.received, &live)))
                },
            );
            times.1 = called.elapsed();
            let received = chunks.received;
            let answer = answer.map_err(|error| match error.kind {
                Kind::Gone => before_bytes(error, &format!("after {received} bytes of the capture")),
                _ => error,
            })?;
            let interrupted = || CaptureError::new(Kind::Interrupted, "the capture was called off", "");
            if answer.is_none() {
                // The failure of the sink is reported by the caller, instead of this.
                return Err(interrupted());
            }
            if received == 0 {
                return Err(CaptureError::new(
                    Kind::Incomplete,
                    format!("`{method}` gave no snapshot"),
                    "the target said that it was done, and had sent nothing",
                ));
            }
            chunks.finish();
            while !spool.drained(WATCH) {
                if watch(&progress(Phase::Writing, received, &live)).is_break() {
                    return Err(interrupted());
                }
            }
            Ok(received)
        });
        if let Some(error) = failure {
            let what = format!("cannot write the capture behind byte {}", spool.written());
            return Err(CaptureError::sink(what, &error));
        }
        Ok(Captured {
            bytes: result?,
            built: times.0,
            stopped: times.1,
            elapsed: started.elapsed(),
            live: live.stats,
        })
    }
}

fn before_bytes(error: CaptureError, when: &str) -> CaptureError {
    let why = if error.why.is_empty() { when.to_owned() } else { format!("{}, {when}", error.why) };
    CaptureError { why, ..error }
}

/// The text of a snapshot on its way to the sink.
struct Chunks<'s, 'd> {
    spool: &'s Spool<'d>,
    decoder: Decoder,
    block: Vec<u8>,
    received: u64,
}

impl Chunks<'_, '_> {
    fn take(&mut self, chunk: &str) -> Result<()> {
        let before = self.block.len();
        self.decoder.decode(chunk.as_bytes(), &mut self.block).map_err(bad_escape)?;
        self.received += (self.block.len() - before) as u64;
        if self.block.len() >= FULL {
            let full = std::mem::replace(&mut self.block, self.spool.block());
            self.spool.push(full);
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.decoder.finish(&mut self.block);
        self.spool.push(std::mem::take(&mut self.block));
    }
}

/// Folds what V8 tells of its intervals. It repeats an interval only when its numbers have changed.
#[derive(Default)]
struct Live {
    stats: LiveStats,
    intervals: HashMap<u64, (u64, u64)>,
}

impl Live {
    fn event(&mut self, method: &str, params: &str) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Update {
            stats_update: Vec<u64>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Last {
            last_seen_object_id: u64,
        }
        match method {
            "HeapProfiler.heapStatsUpdate" => {
                let Ok(Update { stats_update }) = parse(params) else { return };
                for triple in stats_update.chunks_exact(3) {
                    let (count, size) = (triple[1], triple[2]);
                    let (old_count, old_size) =
                        self.intervals.insert(triple[0], (count, size)).unwrap_or_default();
                    self.stats.objects = self.stats.objects.saturating_add(count).saturating_sub(old_count);
                    self.stats.bytes = self.stats.bytes.saturating_add(size).saturating_sub(old_size);
                }
                self.stats.intervals = self.intervals.len() as u64;
            }
            "HeapProfiler.lastSeenObjectId" => {
                if let Ok(Last { last_seen_object_id }) = parse(params) {
                    self.stats.last_id = last_seen_object_id;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_replaced_by_their_newer_numbers() {
        let mut live = Live::default();
        live.event("HeapProfiler.heapStatsUpdate", r#"{"statsUpdate":[0,10,1000,1,5,50]}"#);
        live.event("HeapProfiler.heapStatsUpdate", r#"{"statsUpdate":[0,4,400,2,1,8,9]}"#);
        live.event("HeapProfiler.lastSeenObjectId", r#"{"lastSeenObjectId":77,"timestamp":1.5}"#);
        live.event("HeapProfiler.heapStatsUpdate", "{}");
        live.event("Other.event", "[]");
        assert_eq!(live.stats, LiveStats { intervals: 3, objects: 10, bytes: 458, last_id: 77 });
    }
}
