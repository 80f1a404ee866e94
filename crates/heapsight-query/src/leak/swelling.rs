//! Suspects that gain bytes and no members: arrays of numbers, strings, buffers that are replaced by larger ones.

use heapsight_analysis::{
    Heap,
    growth::Holder,
    swelling::{Slot, gains, slot_sizes, swellings},
    trend::{grows_by_bytes, grows_by_leaps},
};
use heapsight_snapshot::EdgeKind;

use super::{Suspicion, slot};

/// Bytes that are worth a look.
const LEAST: u64 = 4096;

/// Values of variables and fields that are looked at in each snapshot.
const SLOTS: usize = 64;

/// An object that gains bytes has fewer members than one for so many bytes, or it is judged by these.
const BYTES_A_MEMBER: u64 = 512;

/// Finds them among what was rejected by its members, and among old objects.
pub(super) fn found(
    heaps: &[Heap],
    births: &[u8],
    accepted: &[(Suspicion, u64)],
    rejected: &mut Vec<(Holder, &'static str)>,
) -> Vec<(Suspicion, u64)> {
    let Some(last) = heaps.last() else { return Vec::new() };
    let mut list = Vec::new();
    // Values that are replaced: the holder is old, what its slot leads to is new.
    let replaced: Vec<(usize, Slot)> = rejected
        .iter()
        .enumerate()
        .filter(|(_, (holder, _))| holder.size() >= LEAST && holder.holders == 1)
        .filter_map(|(at, (holder, _))| {
            let edge = slot(holder)?;
            let named = matches!(last.snapshot.edge_kind(edge), EdgeKind::CONTEXT | EdgeKind::PROPERTY);
            let is_new = births[last.snapshot.edges.to[edge] as usize] != 0;
            (named && is_new).then_some((at, Slot { ord: holder.ord, edge }))
        })
        .take(SLOTS)
        .collect();
    let slots: Vec<Slot> = replaced.iter().map(|&(_, slot)| slot).collect();
    let mut taken = Vec::new();
    for ((at, slot), sizes) in replaced.iter().zip(slot_sizes(heaps, &slots)) {
        let gains = gains(&sizes);
        if grows_by_bytes(&gains, LEAST) {
            taken.push(*at);
            list.push(suspicion(slot.ord, Some(slot.edge), gains));
        }
    }
    for at in taken.into_iter().rev() {
        rejected.remove(at);
    }
    for swelling in swellings(heaps, births, LEAST) {
        let gains = swelling.gains();
        let sum: u64 = gains.iter().sum();
        let judged = accepted.iter().any(|(suspicion, _)| suspicion.alike.contains(&swelling.ord))
            || list.iter().any(|(suspicion, _): &(Suspicion, u64)| suspicion.ord == swelling.ord)
            || rejected
                .iter()
                .any(|(holder, _)| holder.ord == swelling.ord && holder.count() > sum / BYTES_A_MEMBER);
        // What a weak collection holds is held by its keys.
        let class = &last.classes.class(swelling.ord).name;
        let weak = class.starts_with("Weak") || class == "FinalizationRegistry";
        if !judged && !weak && grows_by_leaps(&gains, LEAST) {
            list.push(suspicion(swelling.ord, None, gains));
        }
    }
    list
}

fn suspicion(ord: u32, slot: Option<usize>, sizes: Vec<u64>) -> (Suspicion, u64) {
    let size = sizes.iter().sum();
    let suspicion = Suspicion {
        ord,
        slot,
        holders: 1,
        alike: vec![ord],
        counts: Vec::new(),
        class: None,
        sizes,
        classes: Vec::new(),
        examples: Vec::new(),
    };
    (suspicion, size)
}
