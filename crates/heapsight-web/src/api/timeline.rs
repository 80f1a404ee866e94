//! A timeline: its bars, and what is alive of a part of it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_query::timeline::{self, Recording};
use heapsight_report::timeline as report;
use serde::Deserialize;
use serde_json::json;

use crate::{
    library::HeapFile,
    reply::{Json, Refusal, Reply},
    server::App,
};

/// Stacks and objects that are listed.
const LISTED: usize = 50;

/// Classes that are listed.
const CLASSES: usize = 200;

fn recording(file: &HeapFile) -> Result<Arc<Recording>, Refusal> {
    file.shelf.try_get(
        "recording",
        |r: &Recording| r.intervals.len() * 64,
        || {
            timeline::recording(&file.heap).ok_or_else(|| {
                Refusal::failed("the file is no timeline").hint("record one on the start page")
            })
        },
    )
}

/// Bars.
pub(crate) async fn bars(State(app): State<Arc<App>>, Path(file): Path<usize>) -> Reply {
    app.heap(file, |file| {
        let recording = recording(file)?;
        let mut value = report::recording(&recording);
        value["summary"] = report::summary(&recording).into();
        Ok(Json(value))
    })
    .await
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Part {
    from_us: u64,
    to_us: u64,
}

/// What is alive of what was allocated between two times.
pub(crate) async fn alive(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(part): Query<Part>,
) -> Reply {
    app.heap(file, move |file| {
        let recording = recording(file)?;
        let intervals = recording.within(part.from_us, part.to_us);
        let Some((first, last)) = intervals.first().zip(intervals.last()) else {
            return Ok(Json(
                json!({"live_count": 0, "live_size": 0, "class_count": 0, "classes": [], "objects": [],
                "stacks": []}),
            ));
        };
        let alive = timeline::alive(&file.heap, first.first_id, last.last_id, LISTED);
        let mut value = report::alive(&file.heap, &alive, Some(CLASSES));
        // By this filter the Summary shows the same objects.
        value["filter"] = format!("ids:{}..{}", first.first_id, last.last_id).into();
        Ok(Json(value))
    })
    .await
}
