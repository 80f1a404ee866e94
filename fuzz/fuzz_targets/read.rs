//! Any bytes through the reader; what it accepts must be fit for every analysis.
#![no_main]

use heapsight_analysis::{
    Heap, Silent,
    dead_variables::{dead_variables, kept_alone},
};
use heapsight_snapshot::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The length is known for files and unknown for pipes, and neither may be trusted.
    let len = (bytes.len() % 4 != 0).then_some(bytes.len() as u64);
    let threads = 1 + usize::from(bytes.len() % 8 == 0);
    let Ok(snapshot) = heapsight_snapshot::read(bytes, ReadOptions { threads, len, progress: None }) else {
        return;
    };
    assert_eq!(snapshot.nodes.first_edge.len(), snapshot.node_count() + 1);
    assert!(snapshot.scopes.as_ref().is_none_or(|scopes| scopes.is_sound(snapshot.node_count())));
    for string in 0..=snapshot.strings.len() as u32 {
        let _ = (snapshot.strings.get(string), snapshot.strings.wtf8(string));
    }
    let Ok(heap) = Heap::build(snapshot, &Silent, &()) else { return };
    let names = heap.names();
    for ord in 0..heap.snapshot.node_count() as u32 {
        let _ = (names.node(ord), heap.classes.class(ord).key(), heap.snapshot.locations.of(ord));
        assert!(heap.retainers().of(&heap.snapshot, ord).count() == heap.retainers().count(ord));
    }
    if let Some(dead) = dead_variables(&heap) {
        assert_eq!(dead.scopes.iter().map(|s| s.contexts.len()).sum::<usize>(), dead.contexts.len());
        assert_eq!(dead.contexts.iter().map(|c| c.fields.len()).sum::<usize>(), dead.fields.len());
        let _ = kept_alone(&heap, &dead);
    }
    for edge in 0..heap.snapshot.edge_count() {
        let _ = names.edge(edge);
    }
});
