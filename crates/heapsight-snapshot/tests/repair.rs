//! Real captures, cut off everywhere: what is whole is saved, and what was saved is sound.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::io::Write;

use heapsight_snapshot::{ReadOptions, Repaired, Section, Snapshot, read, repair, write};
use heapsight_testkit::{builder::SnapshotBuilder, fixtures};

fn repaired(text: &[u8]) -> Repaired {
    repair(text, ReadOptions::default()).unwrap()
}

fn again(snapshot: &Snapshot) -> Snapshot {
    let mut text = Vec::new();
    write(snapshot, &mut text, 2).unwrap();
    let read = read(&text[..], ReadOptions::default()).unwrap();
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    read
}

/// What is left has to be what stood at the same place of the whole file.
fn is_part(part: &Snapshot, whole: &Snapshot) {
    let (nodes, edges) = (part.node_count(), part.edge_count());
    assert_eq!(part.nodes.kind[..], whole.nodes.kind[..nodes]);
    assert_eq!(part.nodes.id[..], whole.nodes.id[..nodes]);
    assert_eq!(part.nodes.name[..], whole.nodes.name[..nodes]);
    assert_eq!(part.edges.to[..], whole.edges.to[..edges]);
    assert_eq!(part.edges.name[..], whole.edges.name[..edges]);
    for node in 0..nodes {
        let first = |s: &Snapshot| s.nodes.first_edge[node] as usize;
        assert_eq!(first(part), first(whole).min(edges));
        assert_eq!(part.nodes.self_size.get(node as u32), whole.nodes.self_size.get(node as u32));
        let (lost, name) =
            (part.strings.get(part.nodes.name[node]), whole.strings.get(whole.nodes.name[node]));
        assert!(lost == name || lost == format!("(lost name {})", part.nodes.name[node]), "{lost} {name}");
    }
}

fn offset_of(text: &[u8], section: &str) -> usize {
    let key = format!("\"{section}\":[");
    text.windows(key.len()).position(|part| part == key.as_bytes()).unwrap() + key.len()
}

#[test]
fn a_capture_that_is_cut_anywhere_keeps_what_is_whole() {
    for name in ["pairB.heapsnapshot", "node-22.23.3.heaptimeline", "chromium-156.0.8078.79.heapsnapshot"] {
        let text = fixtures::text(name);
        let whole = read(&text[..], ReadOptions::default()).unwrap();
        let mut places: Vec<usize> = (1..40).map(|i| text.len() * i / 40).collect();
        for section in
            ["nodes", "edges", "trace_function_infos", "trace_tree", "samples", "locations", "strings"]
        {
            let start = offset_of(&text, section);
            // Within the key, at the bracket, within the first rows.
            places
                .extend([start - 4, start, start + 1, start + 40].into_iter().filter(|&at| at < text.len()));
        }
        places.extend([text.len() - 1, text.len() - 2, text.len() - 5]);
        places.retain(|&at| at > offset_of(&text, "nodes") + 30);
        for at in places {
            let Repaired { snapshot, loss } = repaired(&text[..at]);
            let loss = loss.unwrap_or_else(|| panic!("{name} {at}: nothing lost"));
            assert!(loss.end.offset <= at as u64, "{name} {at}: {loss:?}");
            assert_eq!(loss.nodes, (whole.node_count() - snapshot.node_count()) as u64, "{name} {at}");
            assert_eq!(loss.edges, (whole.edge_count() - snapshot.edge_count()) as u64, "{name} {at}");
            let read = again(&snapshot);
            is_part(&read, &whole);
            if at > offset_of(&text, "edges") {
                assert_eq!(snapshot.node_count(), whole.node_count(), "{name} {at}");
            }
            if at > offset_of(&text, "strings") {
                assert_eq!(snapshot.edge_count(), whole.edge_count(), "{name} {at}");
                // Just behind the bracket no name is whole yet.
                assert!(loss.strings <= whole.strings.len() as u64);
            }
        }
    }
}

#[test]
fn packed_captures_that_are_cut_are_saved_too() {
    let text = fixtures::text("pairA.heapsnapshot");
    let whole = read(&text[..], ReadOptions::default()).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&text).unwrap();
    for packed in [gz.finish().unwrap(), zstd::encode_all(&text[..], 1).unwrap()] {
        for part in [3, 5, 8, 9] {
            let cut = &packed[..packed.len() * part / 10];
            assert!(read(cut, ReadOptions::default()).is_err());
            let Repaired { snapshot, loss } = repaired(cut);
            assert!(loss.is_some() && snapshot.node_count() > 1000);
            is_part(&again(&snapshot), &whole);
        }
    }
}

#[test]
fn zero_bytes_at_the_end_are_no_text() {
    let text = fixtures::text("pairA.heapsnapshot");
    let whole = read(&text[..], ReadOptions::default()).unwrap();
    for at in [text.len() / 4, text.len() / 2, text.len() - 1000] {
        let mut holed = text.clone();
        holed[at..].fill(0);
        let Repaired { snapshot, loss } = repaired(&holed);
        assert_eq!(loss.unwrap().end.problem.to_string(), "zero bytes stand where the text should go on");
        is_part(&again(&snapshot), &whole);
    }
}

#[test]
fn a_whole_file_loses_nothing() {
    for name in ["pairA.heapsnapshot", "bun-1.4.5.heapsnapshot", "node-22.23.3.heaptimeline"] {
        let text = fixtures::text(name);
        let Repaired { snapshot, loss } = repaired(&text);
        assert!(loss.is_none(), "{name}: {loss:?}");
        let (read, whole) = (again(&snapshot), read(&text[..], ReadOptions::default()).unwrap());
        is_part(&read, &whole);
        assert_eq!(read.node_count(), whole.node_count());
        assert_eq!(read.strings.len(), whole.strings.len());
        assert_eq!(read.samples, whole.samples);
        let stacks = |s: &Snapshot| s.traces.as_ref().map(|t| (t.functions.clone(), t.nodes.clone()));
        assert_eq!(stacks(&read), stacks(&whole));
    }
}

#[test]
fn what_has_no_whole_node_cannot_be_saved() {
    let text = fixtures::text("pairA.heapsnapshot");
    for at in [0, 1, 10, 500, offset_of(&text, "nodes"), offset_of(&text, "nodes") + 3] {
        assert!(repair(&text[..at], ReadOptions::default()).is_err(), "{at}");
    }
    let wrong = String::from_utf8(text).unwrap().replacen(",1,", ",x,", 1);
    assert!(repair(wrong.as_bytes(), ReadOptions::default()).is_err(), "only a missing end is mended");
}

#[test]
fn a_name_of_a_lie_takes_no_memory() {
    let mut graph = SnapshotBuilder::new();
    let node = graph.node("object", "A", 10);
    graph.edge(graph.root(), "element", 1u32, node);
    let text = String::from_utf8(graph.text()).unwrap();
    let edges = text.find("\"edges\"").unwrap();
    let rows = text[..edges].rfind("\n,").unwrap_or(text.find("\"nodes\":[").unwrap());
    let lie = format!("{}\n,3,4294967295,9,1,0,0,0\n,3", &text[..rows]);
    let Repaired { snapshot, loss } = repaired(lie.as_bytes());
    assert_eq!(loss.as_ref().unwrap().end.section, Section::Nodes);
    assert!(snapshot.strings.len() < 100, "{}", snapshot.strings.len());
}
