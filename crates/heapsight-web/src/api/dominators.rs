//! Dominators: the tree level by level, and a map of what retains how much.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_query::{
    listing,
    tree::{Branch, TreeOptions, dominator_tree},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{object::Ask, rows::object};
use crate::{
    reply::{Json, Reply},
    server::App,
};

/// Levels of a map.
const LEVELS: usize = 4;

/// Children of a cell of a map.
const CELLS: usize = 40;

/// What an object immediately dominates.
pub(crate) async fn level(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let ord = ask.named().find(heap)?;
        let order = ask.sorted().order();
        let (list, total) = if ask.page().is_first() {
            let (first, total) = listing::first_dominated(heap, ord, order, ask.page().end());
            (Arc::new(first), total)
        } else {
            let key = format!("dominated {ord} {}", ask.sorted().key());
            let bytes = |list: &Vec<u32>| list.len() * 4;
            let all = file.shelf.get(&key, bytes, || listing::dominated(heap, ord, order));
            let total = all.len();
            (all, total)
        };
        let rows: Vec<Value> = ask
            .page()
            .of(&list)
            .iter()
            .map(|&ord| {
                let mut value = object(file, ord);
                // What retains no more than itself dominates nothing that has a size.
                let alone = heap.retained.get(ord) == heap.snapshot.nodes.self_size.get(ord);
                value["children"] = u64::from(!alone).into();
                value
            })
            .collect();
        Ok(Json(json!({"total": total, "rows": rows})))
    })
    .await
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Map {
    id: Option<u64>,
    #[serde(default)]
    by_class: bool,
}

/// A part of the tree, as nested areas.
pub(crate) async fn treemap(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Map>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let start = match ask.id {
            Some(id) => super::rows::by_id(heap, id)?,
            None => heap.snapshot.root,
        };
        let key = format!("map {start} {}", ask.by_class);
        let value = file.shelf.get(
            &key,
            |value: &String| value.len(),
            || {
                let options = TreeOptions {
                    depth: LEVELS,
                    most: CELLS,
                    min_size: heap.retained.get(start) / 2000,
                    by_class: ask.by_class,
                };
                cell(&dominator_tree(heap, start, options)).to_string()
            },
        );
        Ok(Json(serde_json::from_str(&value).unwrap_or_default()))
    })
    .await
}

/// The depth is bounded by [`LEVELS`].
fn cell(branch: &Branch) -> Value {
    let label: String = branch.object.label.chars().take(80).collect();
    json!({"id": branch.object.id, "ord": branch.object.ord, "label": label, "class": branch.class,
        "count": branch.count, "self_size": branch.self_size, "retained_size": branch.retained_size,
        "more": branch.more.1, "more_count": branch.more.0,
        "children": branch.children.iter().map(cell).collect::<Vec<_>>()})
}
