//! What a snapshot leaves out and belongs beside it: which script has which number. Locations in snapshots, timelines
//! and profiles name scripts by number; only the debugger knows their URLs.
//!
//! Enabling V8's debugger for a moment costs about 30 microseconds a script and nothing afterwards: a loop over hot code
//! was as fast before, during and after (Node.js 16 to 26). The garbage that it leaves is why this is done after a
//! snapshot and not before.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{escapes::parse, session::Session};
use crate::error::Result;

/// A script that an isolate has compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its number in this isolate, as locations have it.
    pub id: u64,
    /// Its URL or path; empty for code without one (`eval`).
    pub url: String,
    /// V8's hash of its text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Where its source map is, or the whole map as a `data:` URL; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_map_url: String,
    /// Its length, in UTF-16 code units.
    #[serde(default)]
    pub length: u64,
    /// Whether it is an ES module.
    #[serde(default)]
    pub module: bool,
}

impl Session {
    /// The scripts of this isolate, by number.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn script_urls(&mut self, timeout: Duration) -> Result<Vec<Script>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Parsed {
            script_id: String,
            #[serde(default)]
            url: String,
            #[serde(default)]
            hash: String,
            #[serde(default, rename = "sourceMapURL")]
            source_map_url: String,
            #[serde(default)]
            length: u64,
            #[serde(default)]
            is_module: bool,
        }
        let mut scripts = Vec::new();
        let id = self.start("Debugger.enable", &json!({}))?;
        let result = self.answer(
            id,
            "Debugger.enable",
            timeout,
            |method, params| {
                if matches!(method, "Debugger.scriptParsed" | "Debugger.scriptFailedToParse")
                    && let Ok(script) = parse::<Parsed>(params)
                {
                    scripts.extend(script.script_id.parse().ok().map(|id| Script {
                        id,
                        url: script.url,
                        hash: script.hash,
                        source_map_url: script.source_map_url,
                        length: script.length,
                        module: script.is_module,
                    }));
                }
                Ok(())
            },
            |_| Ok(()),
        );
        // Also after a failure: it must not stay on.
        let disabled = self.call("Debugger.disable", &json!({}), timeout);
        result?;
        disabled?;
        scripts.sort_by_key(|script| script.id);
        scripts.dedup_by_key(|script| script.id);
        Ok(scripts)
    }
}
