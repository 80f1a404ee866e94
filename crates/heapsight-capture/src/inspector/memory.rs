//! How an isolate spends its memory and its time, in its own words: `process.memoryUsage`, `v8.getHeapStatistics`,
//! `v8.getHeapSpaceStatistics`, `performance.eventLoopUtilization`.

use std::time::Duration;

use serde::Deserialize;

use super::{escapes::parse, protocol::malformed, session::Session};
use crate::error::Result;

/// A space of a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Space {
    /// V8's name: `old_space`, `new_space`, `large_object_space` ...
    pub name: String,
    /// Bytes of objects.
    pub used: u64,
    /// Bytes that are committed to the space.
    pub size: u64,
    /// Bytes that are resident; V8's own count.
    pub physical: u64,
}

/// The memory of an isolate, in bytes. 0 where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IsolateMemory {
    /// Resident memory of the whole process.
    pub rss: u64,
    /// Bytes of objects, dead ones that were not collected included.
    pub used: u64,
    /// Bytes that are committed to the heap.
    pub total: u64,
    /// The limit that ends the program when it is reached.
    pub limit: u64,
    /// Memory outside of the heap that its objects hold.
    pub external: u64,
    /// Of that, contents of ArrayBuffers.
    pub array_buffers: u64,
    /// What V8 itself has from the allocator.
    pub malloced: u64,
    /// The spaces of the heap.
    pub spaces: Vec<Space>,
}

const MEMORY: &str = "(()=>{const p=globalThis.process;if(!p?.memoryUsage)return '{}';let v;\
    try{v=p.getBuiltinModule?p.getBuiltinModule('v8'):require('v8')}catch{}\
    const h=v?v.getHeapStatistics():{},m=p.memoryUsage();\
    const s=(v?.getHeapSpaceStatistics?.()??[]).map(s=>({name:s.space_name,used:s.space_used_size,\
    size:s.space_size,physical:s.physical_space_size}));\
    return JSON.stringify({rss:m.rss,used:h.used_heap_size??m.heapUsed,total:h.total_heap_size??m.heapTotal,\
    limit:h.heap_size_limit,external:m.external,array_buffers:m.arrayBuffers,malloced:h.malloced_memory,spaces:s})})()";

/// How an event loop has been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EventLoop {
    /// How long something that was to run next had to wait, in milliseconds.
    pub delay: f64,
    /// Milliseconds in which it waited for events, since it began; 0 where the runtime does not say.
    pub idle: f64,
    /// Milliseconds in which it worked.
    pub active: f64,
}

const EVENT_LOOP: &str = "(()=>{const p=globalThis.process;const {performance:h}=p.getBuiltinModule?\
    p.getBuiltinModule('perf_hooks'):require('perf_hooks');const u=h.eventLoopUtilization?.()??{},t=h.now();\
    return new Promise(r=>setImmediate(()=>r(JSON.stringify({delay:h.now()-t,idle:u.idle,active:u.active}))))})()";

impl Session {
    /// How the event loop of this thread is, measured once. Leaves nothing behind.
    ///
    /// # Errors
    /// As [`Session::evaluate`]; [`crate::Kind::Timeout`] where the loop does not turn in time.
    pub fn event_loop(&mut self, timeout: Duration) -> Result<EventLoop> {
        let text = self.evaluate(EVENT_LOOP, timeout)?;
        parse(text.as_str().unwrap_or_default()).map_err(|e| malformed(&e))
    }

    /// How the isolate of this session spends its memory. All 0 for pages of browsers.
    ///
    /// # Errors
    /// As [`Session::evaluate`].
    pub fn memory(&mut self, timeout: Duration) -> Result<IsolateMemory> {
        let text = self.evaluate(MEMORY, timeout)?;
        parse(text.as_str().unwrap_or_default()).map_err(|e| malformed(&e))
    }
}
