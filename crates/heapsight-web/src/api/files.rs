//! The files: which there are, how far they are, and one that is dropped on the page.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    library::Origin,
    reply::{Json, Refusal, Reply},
    server::App,
};

/// The largest file that may be dropped.
const MOST: u64 = 16 << 30;

/// How often progress is told.
const BEAT: Duration = Duration::from_millis(100);

pub(crate) async fn list(State(app): State<Arc<App>>) -> Reply {
    Ok(Json(json!({"files": app.library.list().iter().map(|entry| entry.value()).collect::<Vec<_>>()})))
}

pub(crate) async fn one(State(app): State<Arc<App>>, Path(file): Path<usize>) -> Reply {
    Ok(Json(app.library.entry(file)?.value()))
}

/// Tries again to open a file that could not be opened.
pub(crate) async fn retry(State(app): State<Arc<App>>, Path(file): Path<usize>) -> Reply {
    let entry = app.library.entry(file)?;
    app.library.start(&entry);
    Ok(Json(entry.value()))
}

/// Opens a file and tells how far it is, until it is open or cannot be opened.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
) -> Result<impl IntoResponse, Refusal> {
    let entry = app.library.entry(file)?;
    if !entry.watch().borrow().is_final() {
        app.library.start(&entry);
    }
    let state = entry.watch();
    // The first state at once, then a change at most every beat; the last is an answer of its own.
    let events = stream::unfold((state, entry, true, false), |(mut state, entry, first, done)| async move {
        if done {
            return None;
        }
        if !first {
            tokio::time::sleep(BEAT).await;
            state.changed().await.ok()?;
        }
        let done = state.borrow_and_update().is_final();
        let event = Event::default().data(entry.value().to_string());
        Some((Ok::<_, Infallible>(event), (state, entry, false, done)))
    });
    Ok(Sse::new(events))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dropped {
    name: String,
}

/// Takes a file that was dropped on the page. It is kept in a folder of the server's own until the server ends.
pub(crate) async fn drop_file(
    State(app): State<Arc<App>>,
    Query(dropped): Query<Dropped>,
    body: Body,
) -> Reply {
    // Only the last part, and of that only what names of captures have: no path leads anywhere else.
    let last = dropped.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(120).collect();
    if name.is_empty() || name.starts_with('.') {
        return Err(Refusal::bad("the file needs a name"));
    }
    let path = app.dropped.next_path(&name).map_err(|error| cannot_keep(&error))?;
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&path).await.map_err(|error| cannot_keep(&error))?;
    let mut bytes = 0u64;
    let mut parts = body.into_data_stream();
    let mut failure = None;
    while let Some(part) = parts.next().await {
        let Ok(part) = part else {
            failure = Some(Refusal::bad("the file did not arrive whole"));
            break;
        };
        bytes += part.len() as u64;
        if bytes > MOST {
            failure = Some(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the file is larger than 16 GiB"));
            break;
        }
        if let Err(error) = file.write_all(&part).await {
            failure = Some(cannot_keep(&error));
            break;
        }
    }
    if failure.is_none()
        && let Err(error) = file.flush().await
    {
        failure = Some(cannot_keep(&error));
    }
    if let Some(failure) = failure {
        let _ = tokio::fs::remove_file(&path).await;
        return Err(failure);
    }
    Ok(Json(app.library.add(&path, &name, Origin::Dropped)?.value()))
}

fn cannot_keep(error: &std::io::Error) -> Refusal {
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, format!("the file cannot be kept: {error}"))
        .hint("start `heapsight open` with the path of the file instead")
}
