//! The questions that a page asks, one view a file. All are read with GET but those that change what the server knows.

mod compare;
mod dominators;
mod files;
mod jobs;
mod object;
mod parts;
mod processes;
mod profile;
mod retainers;
mod rows;
mod search;
mod summary;
mod timeline;

pub(crate) use parts::hop;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    PAGE,
    reply::{Json, Refusal, Reply},
    server::App,
};

/// All questions.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/session", get(session))
        .route("/alive", get(alive))
        .route(
            "/files",
            get(files::list).post(files::drop_file).layer(axum::extract::DefaultBodyLimit::disable()),
        )
        .route("/files/{file}", get(files::one))
        .route("/files/{file}/events", get(files::events))
        .route("/files/{file}/retry", post(files::retry))
        .route("/files/{file}/summary", get(summary::classes))
        .route("/files/{file}/instances", get(summary::instances))
        .route("/files/{file}/object", get(object::object))
        .route("/files/{file}/fields", get(object::fields))
        .route("/files/{file}/retainers", get(retainers::level))
        .route("/files/{file}/story", get(retainers::story))
        .route("/files/{file}/paths", get(retainers::paths))
        .route("/files/{file}/dominators", get(dominators::level))
        .route("/files/{file}/treemap", get(dominators::treemap))
        .route("/files/{file}/statistics", get(parts::statistics))
        .route("/files/{file}/strings", get(parts::strings))
        .route("/files/{file}/suspects", get(parts::suspects))
        .route("/files/{file}/packages", get(parts::packages))
        .route("/files/{file}/compare/{base}", get(compare::classes))
        .route("/files/{file}/compare/{base}/objects", get(compare::objects))
        .route("/files/{file}/search", get(search::search))
        .route("/files/{file}/query", get(search::query))
        .route("/files/{file}/timeline", get(timeline::bars))
        .route("/files/{file}/timeline/alive", get(timeline::alive))
        .route("/files/{file}/flame", get(profile::frames))
        .route("/files/{file}/table", get(profile::table))
        .route("/files/{file}/changes/{base}", get(profile::changes))
        .route("/trends", get(profile::trends))
        .route("/processes", get(processes::list))
        .route("/plan", get(processes::plan))
        .route("/jobs", get(jobs::list).post(jobs::begin))
        .route("/jobs/{job}", get(jobs::one))
        .route("/jobs/events", get(jobs::events))
        .route("/jobs/{job}/stop", post(jobs::stop))
        .route("/jobs/{job}/next", post(jobs::next))
        .fallback(missing)
}

/// Rows that are found without sorting the rest.
const FIRST: usize = 500;

async fn missing() -> Refusal {
    Refusal::missing("there is no such question")
}

/// A page says that it is open.
async fn alive() -> Json {
    Json(json!({}))
}

/// What the page needs to know at first.
async fn session(State(app): State<Arc<App>>) -> Reply {
    let filters = heapsight_query::selector::FILTERS.iter();
    Ok(Json(json!({
        "version": app.version,
        "read_only": app.read_only,
        "beat_ms": app.beat().as_millis() as u64,
        "target": app.target,
        "folder": app.jobs.folder().display().to_string(),
        "files": app.library.list().iter().map(|entry| entry.value()).collect::<Vec<_>>(),
        "filters": filters.map(|(name, what)| json!({"name": name, "what": what})).collect::<Vec<_>>(),
    })))
}

/// The part of a list that is asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Page {
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

impl Page {
    /// The rows of the part.
    pub(crate) fn of<T>(self, rows: &[T]) -> &[T] {
        let from = self.from.min(rows.len());
        let count = self.count.unwrap_or(100).min(PAGE);
        &rows[from..from.saturating_add(count).min(rows.len())]
    }

    /// Whether it is of the first rows, which are found without sorting the rest.
    pub(crate) fn is_first(self) -> bool {
        self.end() <= FIRST
    }

    /// Rows up to the end of the part.
    pub(crate) fn end(self) -> usize {
        self.from.saturating_add(self.count.unwrap_or(100).min(PAGE))
    }
}
