//! The `snapshot` object: counts and the layout of every array, always by field name.
//!
//! V8 has added, moved and dropped fields in nearly every major version, and `node_types` is not always as long as
//! `node_fields` (Node 14 and 24), so nothing here is taken by position.

use serde_json::Value;

use crate::{
    error::Problem,
    kinds::{EDGE_KINDS, KindTable, NODE_KINDS},
};

/// More fields than this in a row are refused (V8 has 7 at most).
const MAX_FIELDS: usize = 64;

/// What the header says, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub(crate) node_count: u64,
    pub(crate) edge_count: u64,
    pub(crate) trace_function_count: u64,
    pub(crate) extra_native_bytes: u64,
    pub(crate) root_index: u64,
    pub(crate) nodes: NodeLayout,
    pub(crate) edges: EdgeLayout,
    pub(crate) node_kinds: KindTable,
    pub(crate) edge_kinds: KindTable,
    pub(crate) trace_function_fields: Vec<String>,
    pub(crate) trace_node_fields: Vec<String>,
    pub(crate) sample_fields: Vec<String>,
    pub(crate) location_fields: Vec<String>,
    pub(crate) scope_fields: Vec<String>,
    pub(crate) scope_variable_fields: Vec<String>,
    pub(crate) scope_use_fields: Vec<String>,
}

/// Positions of the fields of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeLayout {
    pub(crate) fields: usize,
    pub(crate) kind: usize,
    pub(crate) name: usize,
    pub(crate) id: usize,
    pub(crate) self_size: usize,
    pub(crate) edge_count: usize,
    pub(crate) trace_node: Option<usize>,
    pub(crate) detachedness: Option<usize>,
}

/// Positions of the fields of an edge.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EdgeLayout {
    pub(crate) fields: usize,
    pub(crate) kind: usize,
    pub(crate) name: usize,
    pub(crate) to: usize,
}

fn strings(meta: &Value, key: &str) -> Vec<String> {
    let list = meta.get(key).and_then(Value::as_array);
    list.map(|list| list.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect())
        .unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    // A count that is no whole number is as good as none: the arrays rule.
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn required(fields: &[String], list: &str, name: &str) -> Result<usize, Problem> {
    fields
        .iter()
        .position(|f| f == name)
        .ok_or_else(|| Problem::Header(format!("`meta.{list}` has no field `{name}`")))
}

fn kinds(
    meta: &Value,
    key: &str,
    position: usize,
    known: &[&str],
    known_table: &str,
) -> Result<KindTable, Problem> {
    let listed: Option<Vec<String>> = meta
        .get(key)
        .and_then(|types| types.get(position))
        .and_then(Value::as_array)
        .map(|names| names.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect());
    let listed = listed
        .ok_or_else(|| Problem::Header(format!("`meta.{key}` does not list the {known_table} types")))?;
    KindTable::new(known, &listed)
        .ok_or_else(|| Problem::Header(format!("`meta.{key}` lists more than 255 {known_table} types")))
}

impl Header {
    /// Reads the text of the object.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Problem> {
        let value: Value =
            serde_json::from_slice(text).map_err(|e| Problem::Header(format!("it is not JSON: {e}")))?;
        let meta = value.get("meta").ok_or_else(|| Problem::Header("it has no `meta`".into()))?;
        let node_fields = strings(meta, "node_fields");
        let edge_fields = strings(meta, "edge_fields");
        if node_fields.is_empty() || edge_fields.is_empty() {
            return Err(Problem::Header("`meta` does not list `node_fields` and `edge_fields`".into()));
        }
        if node_fields.len() > MAX_FIELDS || edge_fields.len() > MAX_FIELDS {
            return Err(Problem::Header(format!("a row has more than {MAX_FIELDS} fields")));
        }
        for list in [
            "trace_function_info_fields",
            "trace_node_fields",
            "sample_fields",
            "location_fields",
            "scope_fields",
            "scope_context_var_fields",
            "scope_use_fields",
        ] {
            if strings(meta, list).len() > MAX_FIELDS {
                return Err(Problem::Header(format!("`meta.{list}` has more than {MAX_FIELDS} fields")));
            }
        }
        let node = |name| required(&node_fields, "node_fields", name);
        let optional = |name: &str| node_fields.iter().position(|f| f == name);
        let nodes = NodeLayout {
            fields: node_fields.len(),
            kind: node("type")?,
            name: node("name")?,
            id: node("id")?,
            self_size: node("self_size")?,
            edge_count: node("edge_count")?,
            trace_node: optional("trace_node_id"),
            detachedness: optional("detachedness"),
        };
        let edge = |name| required(&edge_fields, "edge_fields", name);
        let edges = EdgeLayout {
            fields: edge_fields.len(),
            kind: edge("type")?,
            name: edge("name_or_index")?,
            to: edge("to_node")?,
        };
        Ok(Self {
            node_count: number(&value, "node_count"),
            edge_count: number(&value, "edge_count"),
            trace_function_count: number(&value, "trace_function_count"),
            extra_native_bytes: number(&value, "extra_native_bytes"),
            root_index: number(&value, "root_index"),
            nodes,
            edges,
            node_kinds: kinds(meta, "node_types", nodes.kind, &NODE_KINDS, "node")?,
            edge_kinds: kinds(meta, "edge_types", edges.kind, &EDGE_KINDS, "edge")?,
            trace_function_fields: strings(meta, "trace_function_info_fields"),
            trace_node_fields: strings(meta, "trace_node_fields"),
            sample_fields: strings(meta, "sample_fields"),
            location_fields: strings(meta, "location_fields"),
            scope_fields: strings(meta, "scope_fields"),
            scope_variable_fields: strings(meta, "scope_context_var_fields"),
            scope_use_fields: strings(meta, "scope_use_fields"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#"{"meta":{"node_fields":["id","edge_count","type","self_size","name"],
        "node_types":["number","number",["object","from the future"],"number","string"],
        "edge_fields":["to_node","type","name_or_index"],
        "edge_types":["node",["weak","element"],"string_or_number"]},"node_count":3}"#;

    #[test]
    fn fields_are_found_by_name_in_any_order() {
        let header = Header::parse(META.as_bytes()).unwrap();
        assert_eq!((header.nodes.kind, header.nodes.id, header.nodes.name), (2, 0, 4));
        assert_eq!((header.edges.kind, header.edges.name, header.edges.to), (1, 2, 0));
        assert_eq!(header.nodes.trace_node, None);
        assert_eq!(header.node_kinds.raw(0), Some(crate::NodeKind::OBJECT.0));
        assert_eq!(header.node_kinds.name(header.node_kinds.raw(1).unwrap()), "from the future");
        assert_eq!(header.edge_kinds.raw(0), Some(crate::EdgeKind::WEAK.0));
        assert_eq!(header.edge_kinds.raw(2), None);
        assert_eq!((header.node_count, header.edge_count), (3, 0));
    }

    #[test]
    fn a_missing_field_is_named() {
        let text = META.replace("self_size", "size");
        let error = Header::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("`meta.node_fields` has no field `self_size`"), "{error}");
        assert!(Header::parse(b"{\"meta\":1}").is_err());
        assert!(Header::parse(b"{").is_err());
    }
}
