//! What is wrong with a snapshot that could be read.

use heapsight_analysis::{Heap, distance::UNREACHABLE};

/// One kind of finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable word.
    pub code: &'static str,
    /// Whether it is damage, or only worth knowing.
    pub damage: bool,
    /// How often.
    pub count: u64,
    /// In words.
    pub detail: String,
}

/// Lists what was survived when the file was read, and what its graph does not have that a heap has.
pub fn validate(heap: &Heap) -> Vec<Finding> {
    let mut findings: Vec<Finding> = heap
        .snapshot
        .warnings
        .as_slice()
        .iter()
        .map(|w| Finding { code: w.kind.code(), damage: true, count: w.count, detail: w.to_string() })
        .collect();
    let mut ids: Vec<u32> = heap.snapshot.nodes.id.iter().copied().filter(|&id| id != 0).collect();
    ids.sort_unstable();
    let repeated = ids.windows(2).filter(|w| w[0] == w[1]);
    let count = repeated.clone().count() as u64;
    if let Some(example) = repeated.clone().next() {
        let detail = format!("nodes: object id @{} and {} more are used by several nodes", example[0], count - 1);
        let detail = if count == 1 { format!("nodes: object id @{} is used by several nodes", example[0]) } else { detail };
        findings.push(Finding { code: "duplicate_id", damage: true, count, detail });
    }
    let unreachable = u64::from(heap.dominators.unreachable);
    if unreachable > 0 {
        let detail = format!(
            "nodes: {unreachable} are not held by anything that the root holds (they count as children of the root)"
        );
        findings.push(Finding { code: "unreachable", damage: false, count: unreachable, detail });
    }
    let far = heap.distance.iter().filter(|&&d| d == UNREACHABLE).count() as u64;
    if far > 0 {
        let detail = format!("nodes: {far} have no distance: no path of edges that are not weak leads to them");
        findings.push(Finding { code: "no_distance", damage: false, count: far, detail });
    }
    findings
}
