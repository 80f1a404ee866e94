//! Retainers: who holds an object, level by level; the ways from the roots; and the way as a person would tell it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use heapsight_analysis::{
    Heap, OutOfMemory,
    bits::BitSet,
    distance::{UNREACHABLE, distances_without},
    paths::holders,
    readable::{Avoid, ReadableTree},
    retainers::Retainer,
};
use heapsight_query::{object, story};
use heapsight_report::json;
use heapsight_snapshot::Column;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Page,
    rows::{behind, by_id, object as row},
};
use crate::{
    library::HeapFile,
    reply::{Json, Refusal, Reply},
    server::App,
};

/// Objects that can be left out at a time.
const IGNORED: usize = 50;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ask {
    ord: Option<u32>,
    id: Option<u64>,
    /// Ids of objects that are taken not to hold anything, with commas between.
    #[serde(default)]
    ignore: String,
    #[serde(default)]
    weak: bool,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

impl Ask {
    fn find(&self, heap: &Heap) -> Result<u32, Refusal> {
        match (self.ord, self.id) {
            (Some(ord), _) if (ord as usize) < heap.snapshot.node_count() => Ok(ord),
            (None, Some(id)) => by_id(heap, id),
            _ => Err(Refusal::missing("the snapshot has no such object")),
        }
    }

    fn ignored(&self, heap: &Heap) -> Result<Vec<u32>, Refusal> {
        let ids = self.ignore.split(',').map(str::trim).filter(|text| !text.is_empty()).take(IGNORED);
        let mut list = Vec::new();
        for id in ids {
            let id = id
                .trim_start_matches('@')
                .parse()
                .map_err(|_| Refusal::bad(format!("`{id}` is no object id")))?;
            list.push(by_id(heap, id)?);
        }
        list.sort_unstable();
        list.dedup();
        Ok(list)
    }
}

/// The distances, without what is ignored.
enum Distances<'a> {
    All(&'a [i32]),
    Without(Arc<Column<i32>>),
}

impl Distances<'_> {
    fn of<'a>(file: &'a HeapFile, ignored: &[u32]) -> Result<Distances<'a>, Refusal> {
        let heap = &file.heap;
        if ignored.is_empty() {
            return Ok(Distances::All(&heap.distance));
        }
        let mut set = BitSet::new(heap.snapshot.node_count());
        for &ord in ignored {
            set.insert(ord as usize);
        }
        let bytes = |column: &Column<i32>| column.len() * 4;
        let made = file.shelf.try_get(&format!("without {ignored:?}"), bytes, || {
            distances_without(&heap.snapshot, &heap.known, &set).ok_or(OutOfMemory)
        })?;
        Ok(Distances::Without(made))
    }

    fn get(&self) -> &[i32] {
        match self {
            Self::All(column) => column,
            Self::Without(column) => column,
        }
    }
}

/// Who holds an object.
pub(crate) async fn level(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let ord = ask.find(heap)?;
        let ignored = ask.ignored(heap)?;
        let distances = Distances::of(file, &ignored)?;
        let key = format!("holders {ord} {} {ignored:?}", ask.weak);
        let list = file.shelf.get(
            &key,
            |list: &Vec<Retainer>| list.len() * 16,
            || {
                let mut list = holders(heap, distances.get(), ord, ask.weak);
                list.retain(|holder| ignored.binary_search(&holder.from).is_err());
                list
            },
        );
        let page = Page { from: ask.from, count: ask.count };
        let rows: Vec<Value> = page
            .of(&list)
            .iter()
            .map(|holder| {
                let mut value = behind(file, holder.edge, holder.from);
                value["distance"] = distances.get()[holder.from as usize].into();
                // Holders can be opened as long as there are any.
                value["children"] = u64::from(holder.from != heap.snapshot.root).into();
                value
            })
            .collect();
        let reachable = distances.get()[ord as usize] != UNREACHABLE;
        Ok(Json(json!({"total": list.len(), "reachable": reachable, "rows": rows})))
    })
    .await
}

/// Ways from the roots, whole, that differ in the last holder.
pub(crate) async fn paths(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let ord = ask.find(heap)?;
        let distances = Distances::of(file, &ask.ignored(heap)?)?;
        let most = ask.count.unwrap_or(5).min(20);
        let mut paths = object::object_paths(heap, distances.get(), ord, most, ask.weak);
        for path in &mut paths {
            object::locate(heap, &file.code, path);
        }
        let reachable = distances.get()[ord as usize] != UNREACHABLE;
        Ok(Json(json!({"reachable": reachable, "paths": paths.iter().map(|path| json::path(path)).collect::<Vec<_>>()})))
    })
    .await
}

/// The way to an object as a person would tell it, and the whole of it.
pub(crate) async fn story(
    State(app): State<Arc<App>>,
    Path(file): Path<usize>,
    Query(ask): Query<Ask>,
) -> Reply {
    app.heap(file, move |file| {
        let heap = &file.heap;
        let ord = ask.find(heap)?;
        let bytes = |tree: &ReadableTree| (tree.edge.len() + tree.parent.len() + tree.order.len()) * 4;
        let tree = file.shelf.get("readable", bytes, || ReadableTree::new(heap, Avoid::default()));
        let way = story::way(heap, &tree, &file.code, ord);
        let hops: Vec<Value> = story::tell(heap, &way).iter().map(super::parts::hop).collect();
        let steps: Vec<Value> = way
            .iter()
            .map(|step| {
                let mut value = row(file, step.ord);
                value["by"] = step.edge.clone().into();
                value["inside"] = step.inside.into();
                value["place"] = json::place(step.place.as_ref());
                value
            })
            .collect();
        Ok(Json(json!({"story": hops, "way": steps})))
    })
    .await
}
