//! The whole graph as comma-separated values, written as it is produced.

use std::io::{self, Write};

use heapsight_analysis::Heap;

use crate::table::csv_cell;

/// Writes one row a node, in ordinal order.
pub fn nodes(heap: &Heap, out: &mut impl Write) -> io::Result<()> {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    out.write_all(b"id,type,name,class,self_size,retained_size,distance,dominator_id,detachedness\n")?;
    let mut line = String::new();
    for ord in 0..snapshot.node_count() as u32 {
        line.clear();
        let id = |ord: u32| snapshot.nodes.id[ord as usize];
        push(&mut line, id(ord));
        line.push(',');
        csv_cell(&mut line, snapshot.node_type(ord));
        line.push(',');
        csv_cell(&mut line, &names.node(ord));
        line.push(',');
        csv_cell(&mut line, &heap.classes.class(ord).name);
        line.push(',');
        push(&mut line, snapshot.nodes.self_size.get(ord));
        line.push(',');
        push(&mut line, heap.retained.get(ord));
        line.push(',');
        push(&mut line, heap.distance[ord as usize]);
        line.push(',');
        push(&mut line, id(heap.dominators.idom[ord as usize]));
        line.push(',');
        push(&mut line, heap.detached.of(ord));
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

/// Writes one row an edge, in the order of the file.
pub fn edges(heap: &Heap, out: &mut impl Write) -> io::Result<()> {
    let snapshot = &heap.snapshot;
    let names = heap.names();
    out.write_all(b"from_id,type,name,to_id\n")?;
    let mut line = String::new();
    for ord in 0..snapshot.node_count() as u32 {
        for edge in snapshot.edges_of(ord) {
            line.clear();
            push(&mut line, snapshot.nodes.id[ord as usize]);
            line.push(',');
            csv_cell(&mut line, snapshot.edge_type(edge));
            line.push(',');
            csv_cell(&mut line, &names.edge(edge));
            line.push(',');
            push(&mut line, snapshot.nodes.id[snapshot.edges.to[edge] as usize]);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
    }
    out.flush()
}

fn push(line: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = write!(line, "{value}");
}
