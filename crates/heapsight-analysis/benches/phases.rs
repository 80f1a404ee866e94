//! The phases of an opening, on a real capture: `cargo bench -p heapsight-analysis`.
//!
//! End-to-end figures beside the peers are in `benchsuite/`; these are for seeing what a change does to one phase.
#![expect(clippy::expect_used, reason = "benchmarks fail loudly")]

use divan::{Bencher, counter::BytesCount};
use heapsight_analysis::{Heap, Silent, aggregates, diff, duplicates, filters};
use heapsight_snapshot::ReadOptions;
use heapsight_testkit::fixtures;

const CAPTURE: &str = "node-26.10.0.heapsnapshot";

fn main() {
    divan::main();
}

fn heap() -> Heap {
    Heap::build(fixtures::snapshot(CAPTURE), &Silent, &()).expect("fixtures are sound")
}

#[divan::bench(args = [1, 2])]
fn read(bencher: Bencher<'_, '_>, threads: usize) {
    let text = fixtures::text(CAPTURE);
    let options = ReadOptions { threads, len: Some(text.len() as u64), ..ReadOptions::default() };
    bencher.counter(BytesCount::of_slice(&text)).bench(|| heapsight_snapshot::read(&text[..], options));
}

#[divan::bench]
fn build(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| fixtures::snapshot(CAPTURE))
        .bench_values(|snapshot| Heap::build(snapshot, &Silent, &()));
}

#[divan::bench]
fn summary(bencher: Bencher<'_, '_>) {
    let heap = heap();
    bencher.bench(|| aggregates::aggregates(heap.inputs(), |_| true));
}

#[divan::bench]
fn filter_contexts(bencher: Bencher<'_, '_>) {
    let heap = heap();
    bencher.bench(|| filters::passing(&heap, &filters::Filter::Contexts));
}

#[divan::bench]
fn duplicated_strings(bencher: Bencher<'_, '_>) {
    let heap = heap();
    bencher.bench(|| duplicates::duplicates(&heap));
}

#[divan::bench]
fn census(bencher: Bencher<'_, '_>) {
    let heap = heap();
    bencher.bench(|| diff::census(&heap, None));
}
