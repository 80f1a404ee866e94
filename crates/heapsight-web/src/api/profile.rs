//! Sampling profiles: frames of a flame graph, tables, differences, series.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_profile::{
    Bounds, Groups, Profile, differences, error_of, flame, grouped, inverted, series, standard_error, top,
};
use heapsight_report::profile::{self as report, By, function_name, key_of, package};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    library::{Content, ProfileFile},
    reply::{Json, Refusal, Reply},
    server::App,
};

/// What a flame graph draws.
const BOUNDS: Bounds = Bounds { share: 0.0002, levels: 200, frames: 6000 };

/// Rows of a table.
const ROWS: usize = 2000;

/// Files of a series.
const SERIES: usize = 50;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grouping {
    #[default]
    Function,
    File,
    Package,
}

impl Grouping {
    fn by(self) -> By {
        match self {
            Self::Function => By::Function,
            Self::File => By::File,
            Self::Package => By::Package,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Ask {
    #[serde(default)]
    by: Grouping,
    #[serde(default)]
    inverted: bool,
    /// Files of a series, with commas between.
    #[serde(default)]
    files: String,
}

/// The rows of an answer.
fn listed(answer: &mut Value, by: Grouping) -> &mut [Value] {
    let name = match by {
        Grouping::Function => "functions",
        Grouping::File => "files",
        Grouping::Package => "packages",
    };
    answer[name].as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

async fn asked<T: Send + 'static>(
    app: &Arc<App>,
    file: usize,
    ask: impl FnOnce(&ProfileFile) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let content = app.library.content(file).await?;
    app.blocking(move || ask(profile(&content)?)).await
}

fn profile(content: &Content) -> Result<&ProfileFile, Refusal> {
    match content {
        Content::Profile(profile) => Ok(profile),
        Content::Heap(_) => Err(Refusal::bad("the file is a heap, not a profile")),
    }
}

/// The frames that are drawn: name, file, line, package, depth, place, total and self size, and the errors of these.
pub(crate) async fn frames(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    asked(&app, file, move |file| {
        let mut shown: &Profile = &file.profile;
        let grouping = ask.by;
        let name = |frame: heapsight_profile::Frame<'_>| match grouping {
            Grouping::Package => package(frame.url),
            _ if frame.url.is_empty() => function_name(frame.name).to_owned(),
            _ => frame.url.to_owned(),
        };
        let own = match (grouping, ask.inverted) {
            (Grouping::Function, false) => None,
            (Grouping::Function, true) => Some(inverted(shown)),
            (_, false) => Some(grouped(shown, name)),
            (_, true) => Some(inverted(&grouped(shown, name))),
        };
        if let Some(own) = &own {
            shown = own;
        }
        let drawn = flame(shown, BOUNDS);
        let counts = shown.nodes.totals(&shown.nodes.self_count);
        let frames: Vec<Value> = drawn
            .frames
            .iter()
            .map(|frame| {
                let node = frame.node as usize;
                let function = shown.frame(shown.nodes.function[node]);
                json!([
                    if frame.depth == 0 { "all" } else { function_name(function.name) },
                    function.url,
                    function.position().0,
                    if frame.depth == 0 || grouping.by() == By::Package { String::new() } else { package(function.url) },
                    frame.depth,
                    frame.start,
                    drawn.totals[node],
                    shown.nodes.self_size[node],
                    error_of(&file.profile, drawn.totals[node], counts[node]),
                    error_of(&file.profile, shown.nodes.self_size[node], shown.nodes.self_count[node])
                ])
            })
            .collect();
        Ok(Json(json!({"total_size": shown.total_size(), "summary": report::summary(&file.profile), "frames": frames,
            "levels": drawn.levels(), "narrow": drawn.narrow, "deep": drawn.deep})))
    })
    .await
}

/// Who allocated.
pub(crate) async fn table(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    asked(&app, file, move |file| {
        let profile = &file.profile;
        let groups = match ask.by {
            Grouping::Function => Groups::functions(profile),
            Grouping::File => Groups::files(profile),
            Grouping::Package => Groups::by(profile, |function| package(profile.frame(function).url)),
        };
        let mut rows = top(profile, &groups);
        // The root is everything and nobody.
        let root = profile.nodes.function.first().copied();
        rows.retain(|row| row.self_size > 0 || Some(row.function) != root);
        let mut value = report::top(profile, &rows, ask.by.by(), Some(ROWS));
        for (shown, row) in listed(&mut value, ask.by).iter_mut().zip(&rows) {
            shown["total_error"] = error_of(profile, row.total_size, row.total_count).into();
        }
        value["summary"] = report::summary(profile).into();
        Ok(Json(value))
    })
    .await
}

/// What differs from another profile.
pub(crate) async fn changes(
    State(app): State<Arc<App>>,
    Path((file, base)): Path<(usize, usize)>,
    Query(ask): Query<Ask>,
) -> Reply {
    let old = app.library.content(base).await?;
    let new = app.library.content(file).await?;
    app.blocking(move || {
        let by = ask.by.by();
        let mut rows =
            differences(&profile(&old)?.profile, &profile(&new)?.profile, |frame| key_of(by, frame));
        // Who allocated nothing in either has no difference of its own.
        rows.retain(|row| row.self_size != (0, 0));
        let mut value = report::changes(&rows, by, Some(ROWS));
        for (shown, row) in listed(&mut value, ask.by).iter_mut().zip(&rows) {
            // Where the error can be told, the counts are samples.
            let known = |n: u64| row.self_error.and_then(|_| standard_error(n));
            shown["self_error_before"] = known(row.self_count.0).into();
            shown["self_error_after"] = known(row.self_count.1).into();
        }
        Ok(Json(value))
    })
    .await
}

/// How it grows over several profiles.
pub(crate) async fn trends(State(app): State<Arc<App>>, Query(ask): Query<Ask>) -> Reply {
    let mut contents = Vec::new();
    for id in ask.files.split(',').filter(|text| !text.is_empty()).take(SERIES) {
        let id = id.parse().map_err(|_| Refusal::bad(format!("`{id}` is no file")))?;
        contents.push(app.library.content(id).await?);
    }
    if contents.len() < 2 {
        return Err(Refusal::bad("a series has at least two profiles"));
    }
    app.blocking(move || {
        let by = ask.by.by();
        let profiles: Vec<Profile> = contents
            .iter()
            .map(|content| Ok(profile(content)?.profile.clone()))
            .collect::<Result<_, Refusal>>()?;
        let mut rows = series(&profiles, |frame| key_of(by, frame));
        rows.retain(|row| row.self_sizes.iter().any(|&size| size > 0));
        let mut value = report::trends(&rows, by, Some(ROWS));
        value["totals"] = profiles.iter().map(Profile::total_size).collect();
        Ok(Json(value))
    })
    .await
}
