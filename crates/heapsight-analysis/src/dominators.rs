//! Dominators by Lengauer and Tarjan, and what follows from them.
//!
//! Thomas Lengauer and Robert Endre Tarjan, "A fast algorithm for finding dominators in a flowgraph", ACM TOPLAS 1(1),
//! 1979; the variant with path compression and without balancing, O(E log N) for any graph. Nothing recurses: a chain of
//! ten million nodes is as good as any other graph.
//!
//! How it is laid out:
//! * All arrays are indexed by depth-first number (1 is the root, 0 is none), so that work runs along them.
//! * An edge `v -> w` with `v` numbered below `w` (tree and forward edges) proposes `v` itself as semidominator of `w`;
//!   that is noted while the edge is passed in the depth-first search. Only the others (cross and back edges) need to be
//!   kept as predecessors.
//! * Vertices are taken in descending order, so "linked" is "numbered at or above the one in hand", and the parent array
//!   serves as the forest's ancestor array.
//! * `label` of a vertex not yet linked is free, and heads its bucket; `dom` of a vertex in a bucket is free, and links
//!   the bucket.
//!
//! Nodes that the root does not reach are treated as DevTools treats them: (a) those that no essential edge reaches are
//! children of the root, as if it had an edge to each; (b) what is left (cycles, and what hangs off them) has the root as
//! dominator, each node by itself, and its edges influence nobody.
//!
//! Memory while it runs: 24 bytes a node, and 4 for each cross or back edge.

use heapsight_snapshot::{Buffer, Column, SizeBuilder, SizeColumn, Snapshot};

use crate::bits::BitSet;

/// The dominator tree.
#[derive(Debug, Default)]
pub struct DominatorTree {
    /// Immediate dominator of each node, by ordinal; the root has itself.
    pub idom: Column<u32>,
    /// All ordinals, each node before those that it dominates, each subtree in one run (preorder).
    pub preorder: Column<u32>,
    /// How many nodes the root does not reach over essential edges.
    pub unreachable: u32,
}

/// The tree in depth-first numbers, before the sizes are known.
#[derive(Debug)]
pub struct NumberedTree {
    /// Ordinal of each number; 0 is unused.
    vertex: Buffer<u32>,
    /// Immediate dominator of each number.
    dom: Buffer<u32>,
    unreachable: u32,
}

/// Finds the dominators of all nodes. `None` if there is no memory.
pub fn dominators(snapshot: &Snapshot, essential: &BitSet) -> Option<NumberedTree> {
    let search = Search::run(snapshot, essential)?;
    let n = snapshot.node_count();
    let unreachable = search.unreachable;
    let reached = search.reached;
    let Search { number, vertex, parent, semi, first_pred, .. } = search;
    let preds = predecessors(snapshot, essential, &number, reached, first_pred)?;
    drop(number);
    let dom = lengauer_tarjan(n, reached, parent, semi, &preds)?;
    Some(NumberedTree { vertex, dom, unreachable })
}

/// Depth-first search over essential edges.
struct Search {
    /// Number of each ordinal; 0 for what was not reached.
    number: Buffer<u32>,
    vertex: Buffer<u32>,
    parent: Buffer<u32>,
    /// The best semidominator that tree and forward edges propose.
    semi: Buffer<u32>,
    /// How many cross and back edges enter each number.
    first_pred: Buffer<u32>,
    /// The last number that takes part in the search for dominators.
    reached: u32,
    unreachable: u32,
}

impl Search {
    fn run(snapshot: &Snapshot, essential: &BitSet) -> Option<Self> {
        let n = snapshot.node_count();
        let mut search = Self {
            number: Buffer::dense(n)?,
            vertex: Buffer::dense(n + 1)?,
            parent: Buffer::dense(n + 1)?,
            semi: Buffer::dense(n + 1)?,
            first_pred: Buffer::dense(n + 2)?,
            reached: 0,
            unreachable: 0,
        };
        search.from(snapshot, essential, snapshot.root, 0);
        search.unreachable = n as u32 - search.reached;
        if search.unreachable > 0 {
            let held = held_by_essential(snapshot, essential);
            for ord in 0..n as u32 {
                if search.number[ord as usize] == 0 && !held.contains(ord as usize) {
                    search.from(snapshot, essential, ord, 1);
                }
            }
        }
        let mut last = search.reached;
        if (last as usize) < n {
            for ord in 0..n as u32 {
                if search.number[ord as usize] == 0 {
                    last += 1;
                    search.vertex[last as usize] = ord;
                }
            }
        }
        Some(search)
    }

    fn from(&mut self, snapshot: &Snapshot, essential: &BitSet, start: u32, parent: u32) {
        let first: &[u32] = &snapshot.nodes.first_edge;
        let to: &[u32] = &snapshot.edges.to;
        let number: &mut [u32] = &mut self.number;
        let vertex: &mut [u32] = &mut self.vertex;
        let parents: &mut [u32] = &mut self.parent;
        let semi: &mut [u32] = &mut self.semi;
        let preds: &mut [u32] = &mut self.first_pred;
        let mut last = self.reached + 1;
        number[start as usize] = last;
        vertex[last as usize] = start;
        parents[last as usize] = parent;
        // The root is its own semidominator; a start below it counts as a child of the root.
        semi[last as usize] = parent.max(1);
        // Edges still to be passed of each node on the path: (next, end, number of the node).
        let mut path: Vec<(u32, u32, u32)> = Vec::new();
        let mut top = (first[start as usize], first[start as usize + 1], last);
        loop {
            let (mut edge, end, v) = top;
            let mut child = None;
            while edge < end {
                let this = edge as usize;
                edge += 1;
                if !essential.contains(this) {
                    continue;
                }
                let w = to[this];
                let seen = number[w as usize];
                if seen == 0 {
                    child = Some(w);
                    break;
                }
                if seen > v {
                    // A forward edge: w is below v.
                    let semi = &mut semi[seen as usize];
                    *semi = v.min(*semi);
                } else {
                    preds[seen as usize] += 1;
                }
            }
            if let Some(w) = child {
                last += 1;
                number[w as usize] = last;
                vertex[last as usize] = w;
                parents[last as usize] = v;
                semi[last as usize] = v;
                path.push((edge, end, v));
                top = (first[w as usize], first[w as usize + 1], last);
            } else if let Some(back) = path.pop() {
                top = back;
            } else {
                break;
            }
        }
        self.reached = last;
    }
}

/// Nodes that some essential edge points to, from wherever.
fn held_by_essential(snapshot: &Snapshot, essential: &BitSet) -> BitSet {
    let mut held = BitSet::new(snapshot.node_count());
    for (edge, &target) in snapshot.edges.to.iter().enumerate() {
        if essential.contains(edge) {
            held.insert(target as usize);
        }
    }
    held
}

/// Sources of the cross and back edges of each number.
struct Predecessors {
    /// Where the list of each number begins; one more at the end.
    first: Buffer<u32>,
    sources: Buffer<u32>,
}

fn predecessors(
    snapshot: &Snapshot,
    essential: &BitSet,
    number: &[u32],
    reached: u32,
    mut first: Buffer<u32>,
) -> Option<Predecessors> {
    let mut sum = 0u32;
    for slot in &mut first[..] {
        let count = *slot;
        *slot = sum;
        sum += count;
    }
    let mut sources = Buffer::<u32>::dense(sum as usize)?;
    {
        let first: &mut [u32] = &mut first;
        let sources: &mut [u32] = &mut sources;
        let to: &[u32] = &snapshot.edges.to;
        let first_edge: &[u32] = &snapshot.nodes.first_edge;
        for (ord, &v) in number.iter().enumerate() {
            if v == 0 || v > reached {
                continue;
            }
            for edge in first_edge[ord] as usize..first_edge[ord + 1] as usize {
                if !essential.contains(edge) {
                    continue;
                }
                let w = number[to[edge] as usize];
                if w < v && w != 0 {
                    let slot = &mut first[w as usize];
                    sources[*slot as usize] = v;
                    *slot += 1;
                }
            }
        }
        // Each list's begin has become its end, which is the begin of the next: shift back by one.
        first.copy_within(0..first.len() - 1, 1);
        first[0] = 0;
    }
    Some(Predecessors { first, sources })
}

/// The forest of the paper with its path compression.
struct Forest<'a> {
    ancestor: &'a mut [u32],
    label: &'a mut [u32],
    semi: &'a mut [u32],
    stack: Vec<u32>,
}

impl Forest<'_> {
    /// `EVAL`: the vertex of least semidominator on the path from `v` up to, not including, the root of its tree.
    /// Vertices from `linked` on are linked.
    #[inline]
    fn eval(&mut self, v: u32, linked: u32) -> u32 {
        let up = self.ancestor[v as usize];
        if up >= linked {
            self.compress(v, linked);
        }
        self.label[v as usize]
    }

    fn compress(&mut self, mut v: u32, linked: u32) {
        // All vertices on the path whose ancestor is itself below a root.
        while self.ancestor[v as usize] >= linked {
            self.stack.push(v);
            v = self.ancestor[v as usize];
        }
        let mut best = self.label[v as usize];
        let mut best_semi = self.semi[best as usize];
        let root = self.ancestor[v as usize];
        while let Some(w) = self.stack.pop() {
            let own = self.label[w as usize];
            let own_semi = self.semi[own as usize];
            if best_semi < own_semi {
                self.label[w as usize] = best;
            } else {
                best = own;
                best_semi = own_semi;
            }
            self.ancestor[w as usize] = root;
        }
    }
}

fn lengauer_tarjan(
    n: usize,
    reached: u32,
    mut ancestor: Buffer<u32>,
    mut semi: Buffer<u32>,
    preds: &Predecessors,
) -> Option<Buffer<u32>> {
    let mut dom = Buffer::<u32>::dense(n + 1)?;
    let mut label = Buffer::<u32>::dense(n + 1)?;
    let mut forest =
        Forest { ancestor: &mut ancestor, label: &mut label, semi: &mut semi, stack: Vec::new() };
    {
        let dom: &mut [u32] = &mut dom;
        let first: &[u32] = &preds.first;
        let sources: &[u32] = &preds.sources;
        for w in (2..=reached).rev() {
            let parent = forest.ancestor[w as usize];
            let mut best = forest.semi[w as usize];
            for &v in &sources[first[w as usize] as usize..first[w as usize + 1] as usize] {
                let u = forest.eval(v, w + 1);
                best = best.min(forest.semi[u as usize]);
            }
            forest.semi[w as usize] = best;
            if best == parent {
                dom[w as usize] = parent;
            } else {
                dom[w as usize] = forest.label[best as usize];
                forest.label[best as usize] = w;
            }
            forest.label[w as usize] = w;
            // A start of its own (a node held by nothing) has the root as parent, which has no bucket to empty that
            // would not be emptied by its other children.
            let mut v = std::mem::take(&mut forest.label[parent as usize]);
            while v != 0 {
                let next = dom[v as usize];
                let u = forest.eval(v, w);
                dom[v as usize] =
                    if forest.semi[u as usize] < forest.semi[v as usize] { u } else { parent };
                v = next;
            }
        }
        for w in 2..=reached {
            if dom[w as usize] != forest.semi[w as usize] {
                dom[w as usize] = dom[dom[w as usize] as usize];
            }
        }
        dom[1] = 1;
        for w in reached as usize + 1..=n {
            dom[w] = 1;
        }
    }
    Some(dom)
}

impl NumberedTree {
    /// Adds up the sizes along the tree: what would be freed with each node. Consumes the numbering.
    pub fn finish(self, sizes: &SizeColumn) -> Option<(DominatorTree, SizeColumn)> {
        let n = self.vertex.len() - 1;
        let vertex: &[u32] = &self.vertex;
        let dom: &[u32] = &self.dom;
        let (preorder, (retained, idom)) = rayon::join(
            || preorder(vertex, dom),
            || {
                let retained = retained(vertex, dom, sizes);
                let idom = Buffer::<u32>::dense(n).map(|mut idom| {
                    let column: &mut [u32] = &mut idom;
                    for v in 1..=n {
                        column[vertex[v] as usize] = vertex[dom[v] as usize];
                    }
                    idom.freeze(n)
                });
                (retained, idom)
            },
        );
        let tree = DominatorTree { idom: idom?, preorder: preorder?, unreachable: self.unreachable };
        Some((tree, retained?))
    }
}

fn retained(vertex: &[u32], dom: &[u32], sizes: &SizeColumn) -> Option<SizeColumn> {
    let n = vertex.len() - 1;
    let mut sum = Buffer::<u64>::dense(n + 1)?;
    let sum: &mut [u64] = &mut sum;
    for v in 1..=n {
        sum[v] = sizes.get(vertex[v]);
    }
    let mut retained = SizeBuilder::new(n)?;
    for v in (2..=n).rev() {
        let own = sum[v];
        let up = &mut sum[dom[v] as usize];
        *up = up.saturating_add(own);
        retained.put(vertex[v], own);
    }
    retained.put(vertex[1], sum[1]);
    Some(retained.finish())
}

/// A dominator has a lower number than what it dominates, so one pass down counts the subtrees and one pass up deals
/// out their places.
fn preorder(vertex: &[u32], dom: &[u32]) -> Option<Column<u32>> {
    let n = vertex.len() - 1;
    let mut next = Buffer::<u32>::dense(n + 1)?;
    let next: &mut [u32] = &mut next;
    for v in (2..=n).rev() {
        next[dom[v] as usize] += next[v] + 1;
    }
    // `next[v]`: first the number of nodes below v, then the place after the last child placed so far.
    let mut order = Buffer::<u32>::dense(n)?;
    let places: &mut [u32] = &mut order;
    places[0] = vertex[1];
    next[1] = 1;
    for v in 2..=n {
        let below = next[v];
        let place = next[dom[v] as usize];
        next[dom[v] as usize] = place + below + 1;
        next[v] = place + 1;
        places[place as usize] = vertex[v];
    }
    Some(order.freeze(n))
}
