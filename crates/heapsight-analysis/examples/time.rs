struct M;
impl heapsight_analysis::Monitor for M {
    fn end(&self, p: &'static str, t: std::time::Duration) { println!("  {p:20} {t:?}"); }
}
fn main() {
    let p = std::env::args().nth(1).unwrap();
    let t = std::time::Instant::now();
    let f = std::fs::File::open(&p).unwrap();
    let len = f.metadata().unwrap().len();
    let s = heapsight_snapshot::read(f, heapsight_snapshot::ReadOptions { len: Some(len), ..Default::default() }).unwrap();
    println!("read {:?}", t.elapsed());
    let h = heapsight_analysis::Heap::build(s, &M, |_, _| {}).unwrap();
    println!("total {:?} {} {}", t.elapsed(), h.total_size(), h.summary.len());
    let sum: u64 = h.retained.iter().sum::<u64>(); println!("{sum}");
    if std::env::args().nth(2).is_some() {
      println!("retained sum {}", h.retained.iter().map(|x| x as i128).sum::<i128>());
      println!("distance {}", h.distance.iter().map(|&x| x as i128).sum::<i128>());
      println!("dom {}", h.dominators.idom.iter().map(|&x| x as i128).sum::<i128>());
    }
    std::process::exit(0);
}
