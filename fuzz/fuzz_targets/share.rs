//! Any bytes through redaction and repair: what can be read can be redacted, written, read again and proved clean, held or
//! not; what is saved of the rest is sound.
#![no_main]

use heapsight_redact::{Expected, Key, Strays, Survey, redact, scan};
use heapsight_snapshot::{ReadOptions, Snapshot};
use libfuzzer_sys::fuzz_target;

fn options() -> ReadOptions<'static> {
    ReadOptions { threads: 1, len: None, progress: None }
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let mut text = Vec::new();
    heapsight_snapshot::write(snapshot, &mut text, 1).unwrap();
    text
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(repaired) = heapsight_snapshot::repair(bytes, options()) {
        let again = heapsight_snapshot::read(&written(&repaired.snapshot)[..], options()).unwrap();
        assert_eq!(again.node_count(), repaired.snapshot.node_count());
        assert_eq!(again.edge_count(), repaired.snapshot.edge_count());
    }
    let streamed = streamed(bytes);
    let Ok(original) = heapsight_snapshot::read(bytes, options()) else { return };
    let Ok(mut redacted) = heapsight_snapshot::read(bytes, options()) else { return };
    let _ = scan(&original);
    redact(&mut redacted, &Key::of(&[7; 32]), None).unwrap();
    let text = written(&redacted);
    let outcome = Expected::of(&original, None)
        .compare(&Strays::of(&text[..]).unwrap(), &heapsight_snapshot::read(&text[..], options()).unwrap());
    assert!(outcome.is_clean(), "{outcome:?}");
    if let Some(streamed) = streamed {
        let streamed = heapsight_snapshot::read(&streamed.unwrap()[..], options()).unwrap();
        assert_eq!(streamed.nodes.kind[..], redacted.nodes.kind[..]);
        for (&one, &other) in streamed.nodes.name.iter().zip(redacted.nodes.name.iter()) {
            assert_eq!(streamed.strings.wtf8(one), redacted.strings.wtf8(other));
        }
    }
});

/// The same without holding the file; `None` for a file that has to be held.
fn streamed(bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let mut survey = Survey::first(bytes, options(), None).ok()?;
    survey.second(bytes, options()).ok()?;
    if survey.needs_third() {
        survey.third(bytes, options()).ok()?;
    }
    let mut out = Vec::new();
    let written = survey.is_usual().then(|| survey.write(bytes, options(), &mut out, (&Key::of(&[7; 32]), None)))?;
    Some(written.map(|_| out).map_err(|error| error.to_string()))
}
