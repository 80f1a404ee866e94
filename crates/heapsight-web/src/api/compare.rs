//! Comparison with another open snapshot.

use std::{cmp::Reverse, sync::Arc};

use axum::extract::{Path, Query, State};
use heapsight_analysis::diff::{ClassDiff, changed_nodes};
use heapsight_query::{
    compare::{self, Comparison},
    listing,
};
use heapsight_report::text::Labels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Page,
    rows::{Direction, Sorted, object},
    summary::pattern,
};
use crate::{
    library::{Content, HeapFile},
    reply::{Json, Refusal, Reply},
    server::App,
};

/// The columns of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    Name,
    New,
    Deleted,
    Delta,
    Alloc,
    Freed,
    #[default]
    Size,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ask {
    class: Option<String>,
    #[serde(default)]
    sort: Sort,
    dir: Option<Direction>,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

fn heaps<'a>(new: &'a Content, old: &'a Content) -> Result<(&'a HeapFile, &'a HeapFile), Refusal> {
    match (new, old) {
        (Content::Heap(new), Content::Heap(old)) => Ok((new, old)),
        _ => Err(Refusal::bad("only heaps can be compared here")),
    }
}

fn compared(new: &HeapFile, old: &HeapFile, base: usize) -> Result<Arc<Comparison>, Refusal> {
    let bytes = |all: &Comparison| all.classes.iter().map(|row| row.name.len() + row.key.len() + 120).sum();
    Ok(new
        .shelf
        .try_get(&format!("compared {base}"), bytes, || compare::compare(&old.heap, &new.heap, None))?)
}

/// The classes in which something changed.
pub(crate) async fn classes(
    State(app): State<Arc<App>>,
    Path((file, base)): Path<(usize, usize)>,
    Query(ask): Query<Ask>,
) -> Reply {
    let old = app.library.content(base).await?;
    let new = app.library.content(file).await?;
    app.blocking(move || {
        let (new, old) = heaps(&new, &old)?;
        let text = ask.class.as_deref().filter(|text| !text.is_empty());
        let pattern = text.map(pattern).transpose()?;
        let all = compared(new, old, base)?;
        let labels = Labels::new(all.classes.iter().map(|row| row.name.as_str()));
        let mut rows: Vec<&ClassDiff> = all
            .classes
            .iter()
            .filter(|row| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&row.name)))
            .collect();
        // Ties go by what DevTools sorts by: bytes added, and then the key.
        match ask.sort {
            Sort::Name => rows.sort_by(|a, b| (&a.name, &a.key).cmp(&(&b.name, &b.key))),
            Sort::New => rows.sort_by_key(|row| Reverse(row.added_count)),
            Sort::Deleted => rows.sort_by_key(|row| Reverse(row.removed_count)),
            Sort::Delta => rows.sort_by_key(|row| Reverse(row.count_delta())),
            Sort::Alloc => rows.sort_by_key(|row| Reverse(row.added_size)),
            Sort::Freed => rows.sort_by_key(|row| Reverse(row.removed_size)),
            Sort::Size => rows.sort_by_key(|row| Reverse(row.size_delta())),
        }
        let usual = if ask.sort == Sort::Name { Direction::Asc } else { Direction::Desc };
        if ask.dir.is_some_and(|dir| dir != usual) {
            rows.reverse();
        }
        let sum = |of: &dyn Fn(&ClassDiff) -> i64| rows.iter().map(|row| of(row)).sum::<i64>();
        let page = Page { from: ask.from, count: ask.count };
        let list: Vec<Value> = page
            .of(&rows)
            .iter()
            .map(|row| {
                json!({"key": row.key, "name": row.name, "label": labels.of(&row.name, &row.key),
                    "added_count": row.added_count, "removed_count": row.removed_count,
                    "count_delta": row.count_delta(), "added_size": row.added_size,
                    "removed_size": row.removed_size, "size_delta": row.size_delta(),
                    "children": row.added_count + row.removed_count})
            })
            .collect();
        // Side files know; without them the ids themselves are looked at.
        let comparable = match (&old.side, &new.side) {
            (Some(old), Some(new)) => old.ids_comparable(new),
            _ => all.ids.comparable(),
        };
        Ok(Json(json!({"total": rows.len(), "ids_comparable": comparable,
            "added_size": sum(&|row| row.added_size as i64), "removed_size": sum(&|row| row.removed_size as i64),
            "size_delta": sum(&ClassDiff::size_delta), "count_delta": sum(&ClassDiff::count_delta), "rows": list})))
    })
    .await
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Changed {
    class: String,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

/// The objects of a class that are new, then those that went.
pub(crate) async fn objects(
    State(app): State<Arc<App>>,
    Path((file, base)): Path<(usize, usize)>,
    Query(ask): Query<Changed>,
) -> Reply {
    let old = app.library.content(base).await?;
    let new = app.library.content(file).await?;
    app.blocking(move || {
        let (new, old) = heaps(&new, &old)?;
        let bytes = |both: &(Vec<u32>, Vec<u32>)| (both.0.len() + both.1.len()) * 4;
        let both = new.shelf.try_get(&format!("changed {base} {}", ask.class), bytes, || {
            let (before, after) = compare::censuses(&old.heap, &new.heap)?;
            let mut changed = changed_nodes(&before, &after, &ask.class);
            let order = Sorted::default().order();
            listing::sort(&new.heap, &mut changed.added, order);
            listing::sort(&old.heap, &mut changed.removed, order);
            Ok::<_, Refusal>((changed.added, changed.removed))
        })?;
        let marked: Vec<(bool, u32)> =
            both.0.iter().map(|&ord| (true, ord)).chain(both.1.iter().map(|&ord| (false, ord))).collect();
        let page = Page { from: ask.from, count: ask.count };
        let rows: Vec<Value> = page
            .of(&marked)
            .iter()
            .map(|&(added, ord)| {
                let mut value = object(if added { new } else { old }, ord);
                value["added"] = added.into();
                value
            })
            .collect();
        Ok(Json(json!({"total": marked.len(), "rows": rows})))
    })
    .await
}
