//! What is written reads back as the same snapshot.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use heapsight_snapshot::{ReadOptions, Snapshot, StringTableBuilder, read, write};
use heapsight_testkit::{
    builder::{Layout, read as read_text},
    fixtures, generate,
};

fn written(snapshot: &Snapshot, threads: usize) -> Vec<u8> {
    let mut text = Vec::new();
    write(snapshot, &mut text, threads).unwrap();
    text
}

fn same(before: &Snapshot, after: &Snapshot) {
    let (a, b) = (&before.nodes, &after.nodes);
    assert_eq!((&a.kind[..], &a.name[..], &a.id[..]), (&b.kind[..], &b.name[..], &b.id[..]));
    assert!(a.self_size.iter().eq(b.self_size.iter()));
    assert_eq!(a.first_edge[..], b.first_edge[..]);
    assert_eq!(a.trace_node.as_deref(), b.trace_node.as_deref());
    assert_eq!(a.detachedness.as_deref(), b.detachedness.as_deref());
    let (a, b) = (&before.edges, &after.edges);
    assert_eq!((&a.kind[..], &a.name[..], &a.to[..]), (&b.kind[..], &b.name[..], &b.to[..]));
    assert_eq!(before.strings.len(), after.strings.len());
    for string in 0..before.strings.len() as u32 {
        assert_eq!(before.strings.raw(string), after.strings.raw(string));
    }
    let kinds = |s: &Snapshot| (s.node_kinds.names().to_vec(), s.edge_kinds.names().to_vec());
    assert_eq!(kinds(before), kinds(after));
    assert_eq!((before.root, before.extra_native_bytes), (after.root, after.extra_native_bytes));
    let (a, b) = (&before.locations, &after.locations);
    assert_eq!((&a.nodes[..], &a.script_ids[..]), (&b.nodes[..], &b.script_ids[..]));
    assert_eq!((&a.lines[..], &a.columns[..]), (&b.lines[..], &b.columns[..]));
    assert_eq!(before.samples, after.samples);
    let stacks = |s: &Snapshot| s.traces.as_ref().map(|t| (t.functions.clone(), t.nodes.clone()));
    assert_eq!(stacks(before), stacks(after));
    assert_eq!(before.scopes.is_some(), after.scopes.is_some());
    if let (Some(a), Some(b)) = (&before.scopes, &after.scopes) {
        assert_eq!(
            (&a.scripts[..], &a.ids[..], &a.parents[..]),
            (&b.scripts[..], &b.ids[..], &b.parents[..])
        );
        assert_eq!((&a.first_variable[..], &a.variables[..]), (&b.first_variable[..], &b.variables[..]));
        assert_eq!((&a.first_use[..], &a.use_scopes[..]), (&b.first_use[..], &b.use_scopes[..]));
        assert_eq!(a.use_slots[..], b.use_slots[..]);
    }
}

#[test]
fn captures_of_all_runtimes_read_back_the_same() {
    for name in fixtures::all() {
        let before = read_text(&fixtures::text(&name)).unwrap();
        let text = written(&before, 2);
        assert_eq!(text, written(&before, 1), "{name}: the text does not depend on threads");
        let after = read_text(&text).unwrap();
        assert!(after.warnings.is_empty(), "{name}: {:?}", after.warnings);
        same(&before, &after);
        assert_eq!(written(&after, 3), text, "{name}");
    }
}

#[test]
fn random_graphs_in_any_layout_read_back_the_same() {
    for seed in 0..300 {
        let graph = generate::graph(seed);
        let before = read_text(&graph.json(&Layout::adverse(seed))).unwrap();
        let after = read_text(&written(&before, 1 + seed as usize % 3)).unwrap();
        same(&before, &after);
    }
}

#[test]
fn many_blocks_are_in_order_whatever_the_threads() {
    // A row of nodes has seven numbers: a million of them are many blocks.
    let rows = (1..150_000).fold(String::new(), |rows, i| rows + &format!("3,0,{i},{},0,0,0\n,", i % 977));
    let text = fixtures::text("pairA.heapsnapshot");
    let text = String::from_utf8(text).unwrap();
    let end = text.find("],\n\"edges\"").or_else(|| text.find("]\n,\"edges\"")).unwrap();
    let grown = format!("{},{}{}", text[..end].trim_end(), rows.trim_end_matches(['\n', ',']), &text[end..]);
    let before = read(grown.as_bytes(), ReadOptions::default()).unwrap();
    assert!(before.node_count() > 150_000);
    let one = written(&before, 1);
    for threads in [2, 3, 8] {
        assert!(one == written(&before, threads), "{threads} threads");
    }
    same(&before, &read_text(&one).unwrap());
}

#[test]
fn an_output_that_fails_ends_the_writing() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let snapshot = read_text(&fixtures::text("pairB.heapsnapshot")).unwrap();
    for room in [0, 100, 3_000, 1_000_000, 2_000_000] {
        let error = write(&snapshot, &mut Full(room), 4).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{room}");
    }
}

#[test]
fn a_table_that_is_put_together_is_escaped() {
    let mut strings = StringTableBuilder::default();
    assert!(strings.is_empty());
    let texts = ["", "a", "quote \" backslash \\", "line\nbell\u{7}", "é😀"];
    for text in texts {
        strings.push(text);
    }
    strings.push_raw(b"\\u0041");
    assert_eq!(strings.len(), 6);
    let table = strings.finish();
    assert_eq!(table.len(), 6);
    for (index, text) in texts.iter().chain([&"A"]).enumerate() {
        assert_eq!(table.get(index as u32), *text);
    }
    assert!(StringTableBuilder::default().finish().is_empty());
}
