//! The edges backwards: who holds a node.
//!
//! The lists run from the last edge of the file to the first, as DevTools' do; that order breaks ties when they are
//! sorted. Time O(N + E), memory 4 bytes a node and 4 an edge.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `buildRetainers`.

use heapsight_snapshot::Snapshot;

/// Edges by their target.
#[derive(Debug)]
pub struct Retainers {
    first: Vec<u32>,
    edges: Vec<u32>,
}

/// One edge that holds a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retainer {
    /// The holder's ordinal.
    pub from: u32,
    /// The edge's number.
    pub edge: usize,
}

impl Retainers {
    /// Turns the edges around.
    pub(crate) fn build(snapshot: &Snapshot) -> Self {
        let n = snapshot.node_count();
        let to: &[u32] = &snapshot.edges.to;
        let mut first = vec![0u32; n + 2];
        for &target in to {
            first[target as usize + 2] += 1;
        }
        for i in 2..first.len() {
            first[i] += first[i - 1];
        }
        let mut edges = vec![0u32; to.len()];
        for (edge, &target) in to.iter().enumerate().rev() {
            let slot = &mut first[target as usize + 1];
            edges[*slot as usize] = edge as u32;
            *slot += 1;
        }
        first.pop();
        Self { first, edges }
    }

    /// How many edges point to a node.
    pub fn count(&self, ord: u32) -> usize {
        (self.first[ord as usize + 1] - self.first[ord as usize]) as usize
    }

    /// The edges that point to a node, from the last of the file to the first.
    pub fn of<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        ord: u32,
    ) -> impl DoubleEndedIterator<Item = Retainer> + 'a {
        let range = self.first[ord as usize] as usize..self.first[ord as usize + 1] as usize;
        self.edges[range]
            .iter()
            .map(|&edge| Retainer { from: source_of(snapshot, edge as usize), edge: edge as usize })
    }
}

/// The node that an edge starts from. Logarithmic.
pub fn source_of(snapshot: &Snapshot, edge: usize) -> u32 {
    snapshot.nodes.first_edge.partition_point(|&first| first as usize <= edge).saturating_sub(1) as u32
}

/// The edges that point to one node, found by one pass over all edges: cheaper than turning them all around for a single
/// question. From the last of the file to the first.
pub fn retainers_of_one(snapshot: &Snapshot, ord: u32) -> Vec<Retainer> {
    use rayon::prelude::*;
    const CHUNK: usize = 1 << 20;
    let mut edges: Vec<usize> = snapshot
        .edges
        .to
        .par_chunks(CHUNK)
        .enumerate()
        .flat_map_iter(|(chunk, targets)| {
            targets
                .iter()
                .enumerate()
                .filter(move |&(_, &target)| target == ord)
                .map(move |(i, _)| chunk * CHUNK + i)
                .collect::<Vec<_>>()
        })
        .collect();
    edges.reverse();
    edges.into_iter().map(|edge| Retainer { from: source_of(snapshot, edge), edge }).collect()
}
