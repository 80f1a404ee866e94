//! Summary: classes, and the objects of a class.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_analysis::{Heap, bits::BitSet, filters};
use heapsight_query::{
    classes::{self, ClassRow, SortBy, sort_rows},
    listing, selector,
};
use heapsight_report::text::Labels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Page,
    rows::{Sort, Sorted, object},
};
use crate::{
    library::HeapFile,
    reply::{Json, Refusal, Reply},
    server::App,
};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ask {
    class: Option<String>,
    filter: Option<String>,
    #[serde(default)]
    sort: Sort,
    dir: Option<super::rows::Direction>,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

impl Ask {
    fn page(&self) -> Page {
        Page { from: self.from, count: self.count }
    }

    fn sorted(&self) -> Sorted {
        Sorted { sort: self.sort, dir: self.dir }
    }

    fn filter(&self) -> Option<&str> {
        self.filter.as_deref().filter(|text| !text.is_empty())
    }

    fn pattern(&self) -> Result<Option<regex::Regex>, Refusal> {
        let text = self.class.as_deref().filter(|text| !text.is_empty());
        text.map(pattern).transpose()
    }
}

/// A pattern as users type it.
pub(crate) fn pattern(text: &str) -> Result<regex::Regex, Refusal> {
    selector::pattern(text).map_err(|error| {
        // The library draws a picture of the place; the last line says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Refusal::bad(format!("the pattern is no regular expression: {reason}"))
            .hint("text without slashes is taken as it is")
    })
}

/// The rows of the Summary. From the index while the file is still being opened.
pub(crate) async fn classes(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    let entry = app.library.entry(file)?;
    if ask.filter().is_none() && !entry.is_open() {
        let (library, early, asked) = (Arc::clone(&app.library), Arc::clone(&entry), ask.clone());
        let quick = app.blocking(move || {
            let Some(overview) = library.overview(&early) else { return Ok(None) };
            // The rest is needed soon.
            library.start(&early);
            let pattern = asked.pattern()?;
            let summary = classes::summary_of_overview(&overview, SortBy::Retained, None);
            Ok(Some(answer(
                &asked,
                summary.classes,
                pattern.as_ref(),
                summary.statistics.total,
                summary.nodes,
            )))
        });
        if let Some(value) = quick.await? {
            return Ok(Json(value));
        }
    }
    app.heap(file, move |file| {
        let pattern = ask.pattern()?;
        let rows = rows(file, ask.filter())?;
        let nodes = file.heap.snapshot.node_count() as u64;
        Ok(Json(answer(&ask, rows.to_vec(), pattern.as_ref(), file.heap.total_size(), nodes)))
    })
    .await
}

/// The rows under a filter, unsorted.
fn rows(file: &HeapFile, filter: Option<&str>) -> Result<Arc<Vec<ClassRow>>, Refusal> {
    let key = format!("summary {}", filter.unwrap_or_default());
    let bytes = |rows: &Vec<ClassRow>| rows.iter().map(|row| row.name.len() + row.key.len() + 120).sum();
    file.shelf.try_get(&key, bytes, || {
        Ok(match filter {
            None => classes::summary(&file.heap, None, SortBy::Retained, None).classes,
            Some(name) => {
                let passing = passing(file, name)?;
                classes::rows_where(&file.heap, |ord| passing.contains(ord as usize), SortBy::Retained)
            }
        })
    })
}

/// The objects that pass a named filter.
pub(crate) fn passing(file: &HeapFile, name: &str) -> Result<Arc<BitSet>, Refusal> {
    let filter = selector::filter(&file.heap, name).map_err(Refusal::bad)?;
    let bytes = |set: &BitSet| set.capacity() / 8;
    Ok(file.shelf.get(&format!("filter {name}"), bytes, || filters::passing(&file.heap, &filter)))
}

fn answer(
    ask: &Ask,
    mut rows: Vec<ClassRow>,
    pattern: Option<&regex::Regex>,
    total: u64,
    nodes: u64,
) -> Value {
    let all = rows.len();
    let labels: Vec<(String, String)> = {
        let labels = Labels::new(rows.iter().map(|row| row.name.as_str()));
        rows.iter().map(|row| (row.key.clone(), labels.of(&row.name, &row.key))).collect()
    };
    let labels: std::collections::HashMap<String, String> = labels.into_iter().collect();
    rows.retain(|row| pattern.is_none_or(|pattern| pattern.is_match(&row.name)));
    let sort = match ask.sort {
        Sort::Retained | Sort::Id => SortBy::Retained,
        Sort::Shallow => SortBy::Shallow,
        Sort::Distance => SortBy::Distance,
        Sort::Count => SortBy::Count,
        Sort::Name => SortBy::Name,
    };
    sort_rows(&mut rows, sort);
    // The order of each column is the usual one; the other is its reverse.
    let usual = Sorted { sort: ask.sort, dir: None }.descending();
    if ask.sorted().descending() != usual {
        rows.reverse();
    }
    let list: Vec<Value> = ask
        .page()
        .of(&rows)
        .iter()
        .map(|row| {
            json!({"key": row.key, "name": row.name, "label": labels.get(&row.key), "count": row.count,
                "distance": row.distance, "self_size": row.self_size, "retained_size": row.retained_size,
                "children": row.count})
        })
        .collect();
    let objects: u64 = rows.iter().map(|row| row.count).sum();
    let self_size: u64 = rows.iter().map(|row| row.self_size).fold(0, u64::saturating_add);
    json!({"total": rows.len(), "of": all, "objects": objects, "self_size": self_size, "total_size": total,
        "nodes": nodes, "rows": list})
}

/// The classes that a key names.
fn class(heap: &Heap, key: &str) -> Result<Vec<u32>, Refusal> {
    let table = &heap.classes.table;
    let by_key: Vec<u32> = (0..table.len() as u32).filter(|&c| table[c as usize].key() == key).collect();
    let found = if by_key.is_empty() {
        selector::classes_named(heap, key).map_err(|error| Refusal::bad(error.to_string()))?
    } else {
        by_key
    };
    if found.is_empty() {
        Err(Refusal::missing(format!("the snapshot has no class `{key}`")))
    } else {
        Ok(found)
    }
}

/// The objects of a class: `class` is its key.
pub(crate) async fn instances(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let name = ask.class.as_deref().ok_or_else(|| Refusal::bad("`class` says which class"))?;
        let filter = ask.filter();
        if ask.page().is_first() {
            let classes = class(&file.heap, name)?;
            let passing = filter.map(|filter| passing(file, filter)).transpose()?;
            let order = ask.sorted().order();
            let (first, total) =
                listing::first_instances(&file.heap, &classes, passing.as_deref(), order, ask.page().end());
            let rows: Vec<Value> = ask.page().of(&first).iter().map(|&ord| object(file, ord)).collect();
            return Ok(Json(json!({"total": total, "rows": rows})));
        }
        let key = format!("instances {} {} {name}", filter.unwrap_or_default(), ask.sorted().key());
        let objects = file.shelf.try_get(
            &key,
            |list: &Vec<u32>| list.len() * 4,
            || {
                let classes = class(&file.heap, name)?;
                let passing = filter.map(|filter| passing(file, filter)).transpose()?;
                Ok::<_, Refusal>(listing::instances(
                    &file.heap,
                    &classes,
                    passing.as_deref(),
                    ask.sorted().order(),
                ))
            },
        )?;
        let rows: Vec<Value> = ask.page().of(&objects).iter().map(|&ord| object(file, ord)).collect();
        Ok(Json(json!({"total": objects.len(), "rows": rows})))
    })
    .await
}
