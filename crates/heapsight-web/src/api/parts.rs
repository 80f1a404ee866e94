//! Where the bytes are: statistics, strings, packages, suspects.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_analysis::contexts::{context_sizes, held_by_contexts};
use heapsight_query::{packages, story::Hop, strings, suspects, variables::dead_variables};
use heapsight_report::{json, query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, rows::object, summary::pattern};
use crate::{
    reply::{Json, Reply},
    server::App,
};

/// The share of the heap from which on something is suspected for its size alone.
const SHARE: f64 = 0.05;

/// Dead variables that are listed.
const VARIABLES: usize = 50;

/// A hop of a story.
pub(crate) fn hop(hop: &Hop) -> Value {
    match hop {
        Hop::Step(text) => json!({"text": text}),
        Hop::Library(name, count) => json!({"library": name, "count": count}),
    }
}

pub(crate) async fn statistics(State(app): State<Arc<App>>, Path(file): Path<usize>) -> Reply {
    app.heap(file, |file| {
        let heap = &file.heap;
        let text = file.shelf.get("statistics", |text: &String| text.len(), || {
            let sizes = context_sizes(heap);
            let held = held_by_contexts(heap);
            let mut dead = dead_variables(heap);
            if let Some(dead) = &mut dead {
                dead.variables.truncate(VARIABLES);
            }
            let contexts: Vec<Value> = sizes
                .contexts
                .iter()
                .map(|context| {
                    json!({"id": heap.snapshot.nodes.id[context.ord as usize], "name": heap.names().node(context.ord),
                        "size": context.attributed_size})
                })
                .collect();
            json!({"nodes": heap.snapshot.node_count(), "edges": heap.snapshot.edge_count(),
                "names": heap.snapshot.strings.len(), "classes": heap.summary.len(), "total_size": heap.total_size(),
                "statistics": json::statistics(&heap.statistics),
                "held_by_functions": {"count": held.context_count, "held_count": held.held_count,
                    "held_size": held.held_size},
                "dead_variables": json::dead_variables(dead.as_ref()),
                "contexts": contexts, "shared_size": sizes.shared_size, "unattributed_size": sizes.unattributed_size})
            .to_string()
        });
        Ok(Json(serde_json::from_str(&text).unwrap_or_default()))
    })
    .await
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Strings {
    #[serde(default)]
    duplicates: bool,
    pattern: Option<String>,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

/// The largest strings, or groups of equal ones.
pub(crate) async fn strings(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Strings>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let text = ask.pattern.as_deref().filter(|text| !text.is_empty());
        let pattern = text.map(pattern).transpose()?;
        let page = Page { from: ask.from, count: ask.count };
        if ask.duplicates {
            let bytes =
                |all: &strings::Duplicates| all.groups.iter().map(|group| group.value.len() + 80).sum();
            let all = file.shelf.get(&format!("duplicates {}", text.unwrap_or_default()), bytes, || {
                strings::duplicate_strings(heap, pattern.as_ref())
            });
            let rows: Vec<Value> = page
                .of(&all.groups)
                .iter()
                .map(|group| {
                    let value: String = group.value.chars().take(200).collect();
                    json!({"value": value, "count": group.count, "self_size": group.self_size,
                        "retained_size": group.retained_size})
                })
                .collect();
            return Ok(Json(
                json!({"total": all.groups.len(), "strings": all.strings, "self_size": all.self_size,
                "wasted": all.wasted, "rows": rows}),
            ));
        }
        let (list, count, bytes) = strings::largest(heap, pattern.as_ref(), page.end());
        let rows: Vec<Value> = page.of(&list).iter().map(|row| object(file, row.ord)).collect();
        Ok(Json(json!({"total": count, "self_size": bytes, "rows": rows})))
    })
    .await
}

pub(crate) async fn suspects(State(app): State<Arc<App>>, Path(file): Path<usize>) -> Reply {
    app.heap(file, |file| {
        let text = file.shelf.get(
            "suspects",
            |text: &String| text.len(),
            || {
                let found = suspects::suspects(&file.heap, &file.code, SHARE);
                let mut value = heapsight_report::suspects::json(&found, None);
                if let Some(list) = value["suspects"].as_array_mut() {
                    for (suspect, finding) in list.iter_mut().zip(&found.findings) {
                        suspect["story"] = finding.story.iter().map(hop).collect();
                    }
                }
                value.to_string()
            },
        );
        Ok(Json(serde_json::from_str(&text).unwrap_or_default()))
    })
    .await
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Packages {
    #[serde(default)]
    files: bool,
}

pub(crate) async fn packages(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Packages>,
) -> Reply {
    app.heap(file, move |file| {
        let key = format!("packages {}", ask.files);
        let text = file.shelf.get(
            &key,
            |text: &String| text.len(),
            || {
                let attribution = packages::attribution(&file.heap, &file.code);
                let rows = packages::shares(&file.heap, &attribution, ask.files);
                query::shares(&rows, file.heap.total_size(), ask.files, None).to_string()
            },
        );
        Ok(Json(serde_json::from_str(&text).unwrap_or_default()))
    })
    .await
}
