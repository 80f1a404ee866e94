//! Search by name, and queries.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_analysis::search;
use heapsight_query::{language, listing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Page,
    rows::{Direction, Sort, Sorted, by_id, object},
    summary::pattern,
};
use crate::{
    reply::{Json, Refusal, Reply},
    server::App,
};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ask {
    text: String,
    #[serde(default)]
    sort: Sort,
    dir: Option<Direction>,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

/// Objects whose name matches; `@ID` is one object.
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let text = ask.text.trim();
        if text.is_empty() {
            return Ok(Json(json!({"total": 0, "rows": []})));
        }
        if let Some(id) = text.strip_prefix('@').and_then(|id| id.parse().ok()) {
            let ord = by_id(heap, id)?;
            return Ok(Json(json!({"total": 1, "self_size": heap.snapshot.nodes.self_size.get(ord),
                "rows": [object(file, ord)]})));
        }
        let pattern = pattern(text)?;
        let sorted = Sorted { sort: ask.sort, dir: ask.dir };
        let bytes = |list: &Vec<u32>| list.len() * 4;
        let page = Page { from: ask.from, count: ask.count };
        let found = file.shelf.get(&format!("search {text}"), bytes, || search::search(heap, &pattern));
        let shown = if page.is_first() {
            Arc::new(listing::first_of(heap, &found, sorted.order(), page.end()))
        } else {
            file.shelf.get(&format!("found {} {text}", sorted.key()), bytes, || {
                let mut found = found.to_vec();
                listing::sort(heap, &mut found, sorted.order());
                found
            })
        };
        let rows: Vec<Value> = page.of(&shown).iter().map(|&ord| object(file, ord)).collect();
        Ok(Json(json!({"total": found.len(), "self_size": listing::sums(heap, &found), "rows": rows})))
    })
    .await
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Asked {
    text: String,
}

/// The answer to a query.
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Asked>,
) -> Reply {
    app.heap(file, move |file| {
        let query = language::parse(&ask.text).map_err(|error| {
            let refusal = Refusal::bad(format!("the query is wrong: {error}\n{}", error.picture(&ask.text)));
            let hint = error.hint.clone();
            refusal.hint(
                hint.unwrap_or_else(|| "for example: class == \"Map\" order by retained desc".to_owned()),
            )
        })?;
        if language::asks_for_rounds(&query) {
            return Err(Refusal::bad("`round` and `age` are for several snapshots")
                .hint("`heapsight query A B C QUERY` knows them"));
        }
        let answer = language::evaluate(&file.heap, &file.code, &query);
        let mut value = heapsight_report::query::answer(&answer, &ask.text);
        let table = heapsight_report::query::columns(&answer);
        value["columns"] = table.iter().map(|(title, name)| json!({"title": title, "name": name})).collect();
        if answer.groups.is_none()
            && let Some(rows) = value["rows"].as_array_mut()
        {
            for (row, of) in rows.iter_mut().zip(&answer.rows) {
                row["ord"] = of.ord.into();
                row["object_id"] = file.heap.snapshot.nodes.id[of.ord as usize].into();
            }
        }
        Ok(Json(value))
    })
    .await
}
