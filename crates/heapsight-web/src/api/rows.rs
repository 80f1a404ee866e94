//! Objects and references as rows of any table, and the order in which they come.

use axum::http::StatusCode;
use heapsight_analysis::Heap;
use heapsight_query::{
    listing::{self, Column, Order},
    object::weak_map_entry,
};
use heapsight_report::json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{library::HeapFile, reply::Refusal};

/// The order that a request asks for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    #[default]
    Retained,
    Shallow,
    Distance,
    Count,
    Id,
    Name,
}

/// Column and direction, in a query.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Sorted {
    #[serde(default)]
    pub(crate) sort: Sort,
    /// `asc` or `desc`; what is usual for the column by default.
    pub(crate) dir: Option<Direction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Asc,
    Desc,
}

impl Sorted {
    /// Whether large values come first.
    pub(crate) fn descending(self) -> bool {
        let usual = !matches!(self.sort, Sort::Name | Sort::Distance | Sort::Id);
        self.dir.map_or(usual, |dir| dir == Direction::Desc)
    }

    pub(crate) fn order(self) -> Order {
        let by = match self.sort {
            Sort::Retained | Sort::Count => Column::Retained,
            Sort::Shallow => Column::Shallow,
            Sort::Distance => Column::Distance,
            Sort::Id => Column::Id,
            Sort::Name => Column::Name,
        };
        Order { by, descending: self.descending() }
    }

    /// For the keys of a shelf.
    pub(crate) fn key(self) -> String {
        format!("{:?}{}", self.sort, u8::from(self.descending()))
    }
}

/// An object that a request names: by its place in the file, or by its id.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Named {
    ord: Option<u32>,
    id: Option<u64>,
}

impl Named {
    pub(crate) fn find(self, heap: &Heap) -> Result<u32, Refusal> {
        match (self.ord, self.id) {
            (Some(ord), _) if (ord as usize) < heap.snapshot.node_count() => Ok(ord),
            (Some(_), _) => Err(Refusal::missing("the snapshot has no such object")),
            (None, Some(id)) => by_id(heap, id),
            (None, None) => Ok(heap.snapshot.root),
        }
    }
}

pub(crate) fn by_id(heap: &Heap, id: u64) -> Result<u32, Refusal> {
    heap.find_id(id).ok_or_else(|| Refusal {
        status: StatusCode::NOT_FOUND,
        what: format!("the snapshot has no object @{id}"),
        hint: Some("ids hold within one process only".to_owned()),
    })
}

/// An object.
pub(crate) fn object(file: &HeapFile, ord: u32) -> Value {
    let row = listing::row(&file.heap, &file.code, ord);
    let mut value = json!({"ord": row.ord, "id": row.id, "type": row.kind, "class": row.class, "value": row.value,
        "distance": row.distance, "self_size": row.self_size, "retained_size": row.retained_size,
        "children": row.references});
    if row.detachedness == 2 {
        value["detached"] = true.into();
    }
    if row.place.is_some() {
        value["place"] = json::place(row.place.as_ref());
    }
    value
}

/// An object behind a reference.
pub(crate) fn behind(file: &HeapFile, edge: usize, ord: u32) -> Value {
    let heap = &file.heap;
    let mut value = object(file, ord);
    let name = heap.names().edge(edge);
    let name: String = if name.chars().nth(200).is_some() {
        name.chars().take(200).chain(['…']).collect()
    } else {
        name.into_owned()
    };
    value["edge"] = json!({"type": heap.snapshot.edge_type(edge), "name": name});
    if let Some(entry) = weak_map_entry(heap, edge) {
        value["edge"]["weak_map"] = json!({"table_id": entry.table_id});
    }
    value
}
