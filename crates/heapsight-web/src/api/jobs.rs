//! What takes its time: begun, watched, ended.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    jobs::Wanted,
    reply::{Json, Refusal, Reply},
    server::App,
};

/// How often progress is told.
const BEAT: Duration = Duration::from_millis(150);

pub(crate) fn read_only() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "this page captures nothing: it was started with --read-only")
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Reply {
    let jobs: Vec<Value> = app.jobs.list().iter().map(|job| job.value()).collect();
    Ok(Json(json!({"jobs": jobs})))
}

/// Begins a job.
pub(crate) async fn begin(State(app): State<Arc<App>>, body: Bytes) -> Reply {
    if app.read_only {
        return Err(read_only());
    }
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad(format!("the job is not understood: {error}")))?;
    let job = app.jobs.begin(&app, wanted)?;
    Ok(Json(job.value()))
}

pub(crate) async fn one(State(app): State<Arc<App>>, Path(job): Path<usize>) -> Reply {
    Ok(Json(app.jobs.get(job)?.value()))
}

/// Ends a recording in order; calls off all else.
pub(crate) async fn stop(State(app): State<Arc<App>>, Path(job): Path<usize>) -> Reply {
    let job = app.jobs.get(job)?;
    job.stop();
    Ok(Json(job.value()))
}

/// The work of a round is done: the hunt goes on.
pub(crate) async fn next(State(app): State<Arc<App>>, Path(job): Path<usize>) -> Reply {
    let job = app.jobs.get(job)?;
    job.go_on();
    Ok(Json(job.value()))
}

/// Tells of all jobs, and then of each that has changed, as long as somebody listens. One stream for all: a browser opens
/// few connections to one server.
pub(crate) async fn events(State(app): State<Arc<App>>) -> impl IntoResponse {
    let changes = app.jobs.watch();
    let told: Vec<u64> = Vec::new();
    let events =
        stream::unfold((changes, app, told, true), |(mut changes, app, mut told, first)| async move {
            if !first {
                tokio::time::sleep(BEAT).await;
                changes.changed().await.ok()?;
            }
            let _ = *changes.borrow_and_update();
            let mut news = Vec::new();
            for (at, job) in app.jobs.list().iter().enumerate() {
                let version = job.version();
                if told.get(at) != Some(&version) {
                    news.push(job.value());
                    match told.get_mut(at) {
                        Some(slot) => *slot = version,
                        None => told.push(version),
                    }
                }
            }
            let event = Event::default().data(json!({"jobs": news}).to_string());
            Some((Ok::<_, Infallible>(event), (changes, app, told, false)))
        });
    Sse::new(events).keep_alive(KeepAlive::default())
}
