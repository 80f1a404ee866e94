//! Arming a running program: V8 writes a snapshot when the heap is nearly full.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{escapes::parse, protocol::malformed, session::Session};
use crate::error::{CaptureError, Kind, Result};

/// A program that will write snapshots near its heap limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Armed {
    /// How many it writes at most.
    pub count: u32,
    /// Where: its `--diagnostic-dir`, else its working directory; as the program sees it.
    pub folder: PathBuf,
}

impl Session {
    /// Makes the program write up to `count` snapshots when its heap is nearly full (`v8.setHeapSnapshotNearHeapLimit`).
    /// That is for the isolate of this session, cannot be taken back, and the first call holds: Node.js ignores further
    /// ones in silence, and says nothing about `--heapsnapshot-near-heap-limit` either.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where the program has no such function (Node.js before 16.18, others than Node.js).
    pub fn arm_near_limit(&mut self, count: u32, timeout: Duration) -> Result<Armed> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            missing: bool,
            #[serde(default)]
            folder: PathBuf,
        }
        let expression = format!(
            "(()=>{{const p=globalThis.process;if(!p?.versions?.node||p.versions.deno)return '{{\"missing\":true}}';\
            const v=p.getBuiltinModule?p.getBuiltinModule('v8'):require('v8');\
            if(typeof v.setHeapSnapshotNearHeapLimit!=='function')return '{{\"missing\":true}}';\
            const o=[...(p.env.NODE_OPTIONS??'').split(/\\s+/),...p.execArgv];let f='';\
            o.forEach((w,i)=>{{if(w==='--diagnostic-dir')f=o[i+1]??f;\
            else if(w.startsWith('--diagnostic-dir='))f=w.slice(17)}});\
            v.setHeapSnapshotNearHeapLimit({});return JSON.stringify({{folder:(p.getBuiltinModule?\
            p.getBuiltinModule('path'):require('path')).resolve(f)}})}})()",
            count.max(1)
        );
        let text = self.evaluate(&expression, timeout)?;
        let answer: Answer = parse(text.as_str().unwrap_or_default()).map_err(|e| malformed(&e))?;
        if answer.missing {
            return Err(CaptureError::new(
                Kind::Unsupported,
                "cannot arm the program for its heap limit",
                "it has no `v8.setHeapSnapshotNearHeapLimit`, which is in Node.js since 16.18 and 18.10",
            )
            .hint("start Node.js with --heapsnapshot-near-heap-limit=N instead, or take sampling profiles"));
        }
        Ok(Armed { count: count.max(1), folder: answer.folder })
    }
}
