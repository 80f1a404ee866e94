//! One object: its fields, a page at a time, and what else is known of it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_analysis::paths::dominator_chain;
use heapsight_query::{code, listing};
use heapsight_report::json;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Page,
    rows::{Direction, Named, Sort, Sorted, behind, object as row},
};
use crate::{
    library::HeapFile,
    reply::{Json, Reply},
    server::App,
};

/// References of an object from which on their order is kept.
const KEPT: usize = 1000;

/// Dominators that are listed.
const CHAIN: usize = 100;

/// Characters of a string that are shown whole.
const TEXT: usize = 20_000;

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Ask {
    ord: Option<u32>,
    id: Option<u64>,
    #[serde(default)]
    pub(crate) sort: Sort,
    pub(crate) dir: Option<Direction>,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

impl Ask {
    pub(crate) fn named(self) -> Named {
        serde_json::from_value(json!({"ord": self.ord, "id": self.id})).unwrap_or_default()
    }

    pub(crate) fn page(self) -> Page {
        Page { from: self.from, count: self.count }
    }

    pub(crate) fn sorted(self) -> Sorted {
        Sorted { sort: self.sort, dir: self.dir }
    }
}

/// What an object refers to: Containment, and what is below an object in any view.
pub(crate) async fn fields(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let ord = ask.named().find(&file.heap)?;
        let make = || listing::references(&file.heap, ord, ask.sorted().order());
        let edges = if file.heap.snapshot.edges_of(ord).len() < KEPT {
            Arc::new(make())
        } else {
            let key = format!("fields {ord} {}", ask.sorted().key());
            file.shelf.get(&key, |edges: &Vec<u32>| edges.len() * 4, make)
        };
        let rows: Vec<Value> = ask.page().of(&edges).iter().map(|&edge| reference(file, edge)).collect();
        Ok(Json(json!({"total": edges.len(), "rows": rows})))
    })
    .await
}

fn reference(file: &HeapFile, edge: u32) -> Value {
    behind(file, edge as usize, file.heap.snapshot.edges.to[edge as usize])
}

/// What is known of an object besides its fields and holders.
pub(crate) async fn object(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let ord = ask.named().find(heap)?;
        let mut value = row(file, ord);
        let chain = dominator_chain(heap, ord);
        value["dominators"] = chain.iter().take(CHAIN).map(|&ord| row(file, ord)).collect();
        value["dominator_count"] = chain.len().into();
        value["place"] = json::place(file.code.place(heap, ord).as_ref());
        value["class_key"] = heap.classes.class(ord).key().into();
        value["package"] = file.code.place(heap, ord).and_then(|place| place.package).into();
        value["in_code"] = code::location(heap, ord).is_some().into();
        if heap.snapshot.node_kind(ord).is_string() {
            let text = heap.names().node(ord);
            value["text"] = text.chars().take(TEXT).collect::<String>().into();
            value["text_length"] = text.chars().count().into();
        }
        value["allocation_stack"] = heapsight_query::object::allocation_stack(heap, ord).into();
        Ok(Json(value))
    })
    .await
}
