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
    let mut repeated = ids.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]);
    if let Some(example) = repeated.next() {
        let count = 1 + repeated.count() as u64;
        let detail = match count {
            1 => format!("nodes: object id @{example} is used by several nodes"),
            _ => format!("nodes: object id @{example} and {} more are used by several nodes", count - 1),
        };
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
        let detail =
            format!("nodes: {far} have no distance: no path of edges that are not weak leads to them");
        findings.push(Finding { code: "no_distance", damage: false, count: far, detail });
    }
    findings
}
