fn main() {
    let p = std::env::args().nth(1).unwrap();
    let t = std::time::Instant::now();
    let f = std::fs::File::open(&p).unwrap();
    let len = f.metadata().unwrap().len();
    let s = heapsight_snapshot::read(f, heapsight_snapshot::ReadOptions { len: Some(len), ..Default::default() }).unwrap();
    println!("{:?} n {} e {} s {} w {:?}", t.elapsed(), s.node_count(), s.edge_count(), s.strings.len(), s.warnings);
}
