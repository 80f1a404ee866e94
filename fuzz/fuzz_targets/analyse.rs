//! Any bytes as the choices of the graph generator: the engine and the naive oracle agree on every column.
#![no_main]

use heapsight_testkit::generate::{Options, Rng, graph_with};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/heapsight-analysis/tests/compare/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod compare;

fuzz_target!(|bytes: &[u8]| {
    let graph = graph_with(&mut Rng::from_bytes(bytes), Options { nodes: 30, ..Options::default() });
    compare::check("these bytes", &graph);
});
