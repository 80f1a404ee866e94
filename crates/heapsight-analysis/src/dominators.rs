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
//! * Few objects have most of the edges: hidden classes, and what every function or array refers to. Such a hub's
//!   predecessors are not listed. Each vertex has a bit for each hub that it has a cross or back edge to; when its
//!   semidominator is known it is proposed to those hubs, and the bits go up to the parent, for as long as that is
//!   numbered above the hub. That is what `EVAL` of all its predecessors would have found.
//!
//! Nodes that the root does not reach are treated as DevTools treats them: (a) those that no essential edge reaches are
//! children of the root, as if it had an edge to each; (b) what is left (cycles, and what hangs off them) has the root as
//! dominator, each node by itself, and its edges influence nobody.
//!
//! Memory while it runs: 28 bytes a node, and 4 for each cross or back edge that does not enter a hub; the arrays come from the pool and go back
//! to it.

use heapsight_snapshot::{Buffer, Column, EdgeKind, SizeBuilder, SizeColumn, Snapshot};
use rustc_hash::FxHashMap;

use crate::{
    Monitor,
    bits::BitSet,
    essential::{Rules, is_page_root},
    known::Known,
    phase,
    pool::Pool,
    prefetch::prefetch,
};

/// Predecessors that are placed together.
const BATCH: usize = 64;

/// Edges of a node whose targets are asked for when the node is entered, and steps by which other loops ask ahead.
const AHEAD: usize = 16;

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
pub fn dominators(
    snapshot: &Snapshot,
    known: &Known,
    pool: &Pool,
    monitor: &dyn Monitor,
) -> Option<NumberedTree> {
    let search = phase(monitor, "depth-first search", || Search::run(snapshot, known, pool))?;
    let unreachable = search.unreachable;
    let reached = search.reached;
    let Search { number, vertex, parent, semi, first_pred, cross, hubs, .. } = search;
    let preds = phase(monitor, "predecessors", || {
        predecessors(snapshot, &cross, &number, first_pred, hubs.numbered(&number))
    })?;
    drop(cross);
    let dom = phase(monitor, "semidominators", || {
        lengauer_tarjan(snapshot.node_count(), reached, parent, semi, preds, number, pool)
    })?;
    Some(NumberedTree { vertex, dom, unreachable })
}

/// Depth-first search over essential edges.
///
/// Which edges are essential depends on which nodes the page owns, and that is what a walk from the page's roots finds.
/// So the search goes there first: all that it reaches is the page's, every edge on the way is essential unless its kind
/// forbids it, and no walk of its own is needed for the page.
struct Search {
    /// Number of each ordinal; 0 for what was not reached.
    number: Buffer<u32>,
    vertex: Buffer<u32>,
    parent: Buffer<u32>,
    /// The best semidominator that tree and forward edges propose.
    semi: Buffer<u32>,
    /// How many cross and back edges enter each number that is not a hub.
    first_pred: Buffer<u32>,
    /// The cross and back edges that do not enter a hub.
    cross: BitSet,
    /// Those that do.
    hubs: Hubs,
    /// The last number that takes part in the search for dominators.
    reached: u32,
    unreachable: u32,
}

/// Walks from one start after another.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    rules: Rules<'a>,
    number: &'a mut [u32],
    vertex: &'a mut [u32],
    parent: &'a mut [u32],
    semi: &'a mut [u32],
    preds: &'a mut [u32],
    cross: &'a mut BitSet,
    hubs: &'a mut Hubs,
    last: u32,
    /// Edges still to be passed of each node on the path: (next, end, number of the node).
    path: Vec<(u32, u32, u32)>,
}

impl Search {
    fn run(snapshot: &Snapshot, known: &Known, pool: &Pool) -> Option<Self> {
        let n = snapshot.node_count();
        let mut search = Self {
            number: pool.take_zeroed()?,
            vertex: pool.take()?,
            parent: pool.take()?,
            semi: pool.take()?,
            first_pred: pool.take_zeroed()?,
            cross: BitSet::new(snapshot.edge_count()),
            hubs: Hubs::find(snapshot, pool)?,
            reached: 0,
            unreachable: 0,
        };
        let mut walk = Walk {
            snapshot,
            rules: Rules::in_page(snapshot, known),
            number: &mut search.number,
            vertex: &mut search.vertex,
            parent: &mut search.parent,
            semi: &mut search.semi,
            preds: &mut search.first_pred,
            cross: &mut search.cross,
            hubs: &mut search.hubs,
            last: 0,
            path: Vec::new(),
        };
        walk.visit(snapshot.root, 0);
        let from_root = || snapshot.edges_of(snapshot.root);
        let is_page_root = |&edge: &usize| is_page_root(snapshot, known, edge);
        for edge in from_root().filter(is_page_root) {
            walk.pass_root_edge(edge);
        }
        let page_owned = walk.page_owned();
        walk.rules = walk.rules.with_page(page_owned);
        for edge in from_root().filter(|edge| !is_page_root(edge)) {
            walk.pass_root_edge(edge);
        }
        let unreachable = n as u32 - walk.last;
        if unreachable > 0 {
            let held = walk.held();
            for ord in 0..n as u32 {
                if walk.number[ord as usize] == 0 && !held.contains(ord as usize) {
                    walk.visit(ord, 1);
                    walk.run(ord);
                }
            }
        }
        let reached = walk.last;
        let mut last = reached;
        if (last as usize) < n {
            for ord in 0..n as u32 {
                if search.number[ord as usize] == 0 {
                    last += 1;
                    search.vertex[last as usize] = ord;
                }
            }
        }
        search.reached = reached;
        search.unreachable = unreachable;
        Some(search)
    }
}

impl Walk<'_> {
    /// Gives the next number.
    #[inline]
    fn visit(&mut self, ord: u32, parent: u32) {
        self.last += 1;
        self.number[ord as usize] = self.last;
        self.vertex[self.last as usize] = ord;
        self.parent[self.last as usize] = parent;
        // The root is its own semidominator.
        self.semi[self.last as usize] = parent.max(1);
    }

    /// Passes one edge of the root, which has number 1, and all that it leads to.
    fn pass_root_edge(&mut self, edge: usize) {
        let target = self.snapshot.edges.to[edge];
        if target == self.snapshot.root {
            // A root that is a page root itself: all that it holds is the page's.
            self.rules.skipped.push(target);
        }
        if !self.rules.is_essential(self.snapshot.root, edge) {
            return;
        }
        match self.number[target as usize] {
            0 => {
                self.visit(target, 1);
                self.run(target);
            }
            seen => self.semi[seen as usize] = 1,
        }
    }

    /// Numbers what is reached from `start`, which has the last number.
    fn run(&mut self, start: u32) {
        let first: &[u32] = &self.snapshot.nodes.first_edge;
        let to: &[u32] = &self.snapshot.edges.to;
        let mut top = (first[start as usize], first[start as usize + 1], self.last);
        let mut source = self.rules.source(start);
        loop {
            let (mut edge, end, v) = top;
            let mut child = None;
            while edge < end {
                let this = edge as usize;
                edge += 1;
                let w = to[this];
                if !self.rules.is_essential_from(source, this, w) {
                    continue;
                }
                let seen = self.number[w as usize];
                if seen == 0 {
                    child = Some(w);
                    break;
                }
                if seen > v {
                    // A forward edge: w is below v.
                    let semi = &mut self.semi[seen as usize];
                    *semi = v.min(*semi);
                } else if let Some(hub) = self.hubs.bit(w) {
                    self.hubs.marks[v as usize] |= hub;
                } else {
                    self.cross.insert(this);
                    self.preds[seen as usize] += 1;
                }
            }
            if let Some(w) = child {
                self.path.push((edge, end, v));
                self.visit(w, v);
                top = (first[w as usize], first[w as usize + 1], self.last);
                source = self.rules.source(w);
                for &target in &to[top.0 as usize..(top.1 as usize).min(top.0 as usize + AHEAD)] {
                    prefetch(self.number, target as usize);
                    prefetch(first, target as usize);
                }
            } else if let Some(back) = self.path.pop() {
                top = back;
                source = self.rules.source(self.vertex[back.2 as usize]);
            } else {
                return;
            }
        }
    }

    /// What the page owns, once the search from its roots is done.
    fn page_owned(&mut self) -> BitSet {
        let words = self
            .number
            .chunks(64)
            .map(|chunk| chunk.iter().enumerate().fold(0u64, |word, (i, &v)| word | u64::from(v != 0) << i))
            .collect();
        let mut owned = BitSet::from_words(words, self.number.len());
        owned.remove(self.snapshot.root as usize);
        let mut stack = std::mem::take(&mut self.rules.skipped);
        stack.retain(|&target| owned.insert(target as usize));
        while let Some(ord) = stack.pop() {
            for edge in self.snapshot.edges_of(ord) {
                let target = self.snapshot.edges.to[edge];
                if self.snapshot.edge_kind(edge) != EdgeKind::WEAK && owned.insert(target as usize) {
                    stack.push(target);
                }
            }
        }
        owned
    }

    /// Nodes that some essential edge points to, from wherever.
    fn held(&mut self) -> BitSet {
        let snapshot = self.snapshot;
        let mut held = BitSet::new(snapshot.node_count());
        for ord in 0..snapshot.node_count() as u32 {
            for edge in snapshot.edges_of(ord) {
                if self.rules.is_essential(ord, edge) {
                    held.insert(snapshot.edges.to[edge] as usize);
                }
            }
        }
        held
    }
}

/// Which vertices have cross or back edges to the nodes with the most edges.
struct Hubs {
    /// Ordinal and bit of each hub, at the place that its ordinal's low bits say.
    table: Vec<(u32, u32)>,
    /// By number: the bits of the hubs that it has an edge to.
    marks: Buffer<u32>,
}

/// The same, once the hubs have numbers.
struct NumberedHubs {
    /// Number and bit of each, the highest number last.
    hubs: Vec<(u32, u32)>,
    marks: Buffer<u32>,
}

impl Hubs {
    /// A bit in a `u32` for each.
    const MOST: usize = 32;
    /// Edges that are looked at.
    const SAMPLE: usize = 1 << 16;
    /// Edges of the sample that make a hub.
    const LEAST: u32 = 3;
    /// Where the table stops growing; hubs that still fall on one place are no hubs then.
    const TABLE: usize = 1 << 12;

    /// The most common targets in a sample of the edges.
    fn find(snapshot: &Snapshot, pool: &Pool) -> Option<Self> {
        let to: &[u32] = &snapshot.edges.to;
        let mut seen = FxHashMap::<u32, u32>::default();
        for &target in to.iter().step_by((to.len() / Self::SAMPLE).max(1)) {
            *seen.entry(target).or_default() += 1;
        }
        let mut hubs: Vec<(u32, u32)> =
            seen.into_iter().filter(|&(_, count)| count >= Self::LEAST).map(|(ord, n)| (n, ord)).collect();
        hubs.sort_unstable_by(|a, b| b.cmp(a));
        hubs.truncate(Self::MOST);
        let mut size = 64;
        let mut table = vec![(u32::MAX, 0); size];
        for (bit, &(_, ord)) in hubs.iter().enumerate() {
            while table[ord as usize & (size - 1)].0 != u32::MAX && size < Self::TABLE {
                size *= 2;
                let mut next = vec![(u32::MAX, 0); size];
                for entry in table.into_iter().filter(|entry| entry.0 != u32::MAX) {
                    next[entry.0 as usize & (size - 1)] = entry;
                }
                table = next;
            }
            let slot = &mut table[ord as usize & (size - 1)];
            if slot.0 == u32::MAX {
                *slot = (ord, 1 << bit);
            }
        }
        Some(Self { table, marks: pool.take_zeroed()? })
    }

    /// The bit of a node that is a hub.
    #[inline]
    fn bit(&self, ord: u32) -> Option<u32> {
        let (hub, bit) = self.table[ord as usize & (self.table.len() - 1)];
        (hub == ord).then_some(bit)
    }

    fn numbered(self, number: &[u32]) -> NumberedHubs {
        let hubs = self.table.into_iter().filter(|&(ord, _)| ord != u32::MAX);
        let mut hubs: Vec<(u32, u32)> = hubs.map(|(ord, bit)| (number[ord as usize], bit)).collect();
        hubs.sort_unstable();
        NumberedHubs { hubs, marks: self.marks }
    }
}

/// Sources of the cross and back edges of each number that is not a hub.
struct Predecessors {
    /// Where the list of each number begins; one more at the end.
    first: Buffer<u32>,
    sources: Buffer<u32>,
    /// Who has edges to the others.
    hubs: NumberedHubs,
}

fn predecessors(
    snapshot: &Snapshot,
    edges: &BitSet,
    number: &[u32],
    mut first: Buffer<u32>,
    hubs: NumberedHubs,
) -> Option<Predecessors> {
    let mut sum = 0u32;
    for slot in &mut first[..] {
        let count = *slot;
        *slot = sum;
        sum += count;
    }
    let mut sources = Buffer::<u32>::zeroed(sum as usize)?;
    {
        let first: &mut [u32] = &mut first;
        let sources: &mut [u32] = &mut sources;
        let to: &[u32] = &snapshot.edges.to;
        let first_edge: &[u32] = &snapshot.nodes.first_edge;
        let mut ord = 0;
        // Edges in hand, each step's memory asked for while the step before runs over the others.
        let mut batch = [(0u32, 0u32); BATCH];
        let mut edges = edges.into_iter();
        loop {
            let mut len = 0;
            for (slot, edge) in batch.iter_mut().zip(&mut edges) {
                while first_edge[ord + 1] as usize <= edge {
                    ord += 1;
                }
                *slot = (to[edge], number[ord]);
                prefetch(number, slot.0 as usize);
                len += 1;
            }
            if len == 0 {
                break;
            }
            for (target, _) in &mut batch[..len] {
                *target = number[*target as usize];
                prefetch(first, *target as usize);
            }
            for &(w, v) in &batch[..len] {
                let slot = &mut first[w as usize];
                sources[*slot as usize] = v;
                *slot += 1;
            }
        }
        // Each list's begin has become its end, which is the begin of the next: shift back by one.
        first.copy_within(0..first.len() - 1, 1);
        first[0] = 0;
    }
    Some(Predecessors { first, sources, hubs })
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
    preds: Predecessors,
    mut dom: Buffer<u32>,
    pool: &Pool,
) -> Option<Buffer<u32>> {
    let NumberedHubs { mut hubs, mut marks } = preds.hubs;
    let mut label = pool.take_zeroed()?;
    let mut forest =
        Forest { ancestor: &mut ancestor, label: &mut label, semi: &mut semi, stack: Vec::new() };
    {
        let dom: &mut [u32] = &mut dom;
        let first: &[u32] = &preds.first;
        let sources: &[u32] = &preds.sources;
        let marks: &mut [u32] = &mut marks;
        // Hubs numbered below the vertex in hand, and the least semidominator proposed to each.
        let mut below = u32::MAX;
        let mut proposed = [u32::MAX; Hubs::MOST];
        for w in (2..=reached).rev() {
            let parent = forest.ancestor[w as usize];
            let mut best = forest.semi[w as usize];
            let mine = &sources[first[w as usize] as usize..first[w as usize + 1] as usize];
            for (i, &v) in mine.iter().enumerate() {
                if let Some(&ahead) = mine.get(i + 8) {
                    prefetch(forest.ancestor, ahead as usize);
                    prefetch(forest.label, ahead as usize);
                }
                let u = forest.eval(v, w + 1);
                best = best.min(forest.semi[u as usize]);
            }
            if let Some((_, bit)) = hubs.pop_if(|hub| hub.0 == w) {
                below &= !bit;
                best = best.min(proposed[bit.trailing_zeros() as usize]);
            }
            let mark = marks[w as usize] & below;
            if mark != 0 {
                marks[parent as usize] |= mark;
                let mut rest = mark;
                while rest != 0 {
                    let slot = &mut proposed[rest.trailing_zeros() as usize];
                    *slot = best.min(*slot);
                    rest &= rest - 1;
                }
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
                dom[v as usize] = if forest.semi[u as usize] < forest.semi[v as usize] { u } else { parent };
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
    for buffer in [ancestor, semi, label, preds.first, preds.sources, marks] {
        pool.give(buffer);
    }
    Some(dom)
}

impl NumberedTree {
    /// Adds up the sizes along the tree: what would be freed with each node. Consumes the numbering.
    pub fn finish(self, n: usize, sizes: &SizeColumn, pool: &Pool) -> Option<(DominatorTree, SizeColumn)> {
        let vertex: &[u32] = &self.vertex[..=n];
        let dom: &[u32] = &self.dom[..=n];
        let ((preorder, idom), retained) = rayon::join(
            || rayon::join(|| preorder(vertex, dom, pool), || idom(vertex, dom, pool)),
            || retained(vertex, dom, sizes, pool),
        );
        let tree = DominatorTree { idom: idom?, preorder: preorder?, unreachable: self.unreachable };
        Some((tree, retained?))
    }
}

/// From numbers to ordinals.
fn idom(vertex: &[u32], dom: &[u32], pool: &Pool) -> Option<Column<u32>> {
    let n = vertex.len() - 1;
    let mut idom = pool.take()?;
    {
        let column: &mut [u32] = &mut idom[..n];
        for v in 1..=n {
            if let Some(&ahead) = vertex.get(v + AHEAD) {
                prefetch(column, ahead as usize);
                prefetch(vertex, dom[v + AHEAD] as usize);
            }
            column[vertex[v] as usize] = vertex[dom[v] as usize];
        }
    }
    Some(idom.freeze(n))
}

fn retained(vertex: &[u32], dom: &[u32], sizes: &SizeColumn, pool: &Pool) -> Option<SizeColumn> {
    let n = vertex.len() - 1;
    let sizes = sizes.view();
    let mut sum = RunningSizes { low: pool.take()?, large: FxHashMap::default() };
    for v in 1..=n {
        sum.set(v as u32, sizes.get(vertex[v]));
    }
    let mut retained = SizeBuilder::over(pool.take()?, n);
    for v in (2..=n as u32).rev() {
        if let Some(ahead) = (v as usize).checked_sub(AHEAD) {
            prefetch(&sum.low, dom[ahead] as usize);
            prefetch(retained.low(), vertex[ahead] as usize);
        }
        let own = sum.get(v);
        let up = dom[v as usize];
        sum.set(up, sum.get(up).saturating_add(own));
        retained.put(vertex[v as usize], own);
    }
    retained.put(vertex[1], sum.get(1));
    pool.give(sum.low);
    Some(retained.finish())
}

/// Sums of sizes in 32 bits, with those that outgrow them in a map.
struct RunningSizes {
    low: Buffer<u32>,
    large: FxHashMap<u32, u64>,
}

impl RunningSizes {
    #[inline]
    fn get(&self, v: u32) -> u64 {
        match self.low[v as usize] {
            u32::MAX => self.large.get(&v).copied().unwrap_or(u64::from(u32::MAX)),
            low => u64::from(low),
        }
    }

    #[inline]
    fn set(&mut self, v: u32, size: u64) {
        if size >= u64::from(u32::MAX) {
            self.low[v as usize] = u32::MAX;
            self.large.insert(v, size);
        } else {
            self.low[v as usize] = size as u32;
        }
    }
}

/// A dominator has a lower number than what it dominates, so one pass down counts the subtrees and one pass up deals
/// out their places.
fn preorder(vertex: &[u32], dom: &[u32], pool: &Pool) -> Option<Column<u32>> {
    let n = vertex.len() - 1;
    let mut scratch = pool.take_zeroed()?;
    let mut order = pool.take()?;
    {
        let next: &mut [u32] = &mut scratch;
        for v in (2..=n).rev() {
            prefetch(next, dom[v.saturating_sub(AHEAD)] as usize);
            next[dom[v] as usize] += next[v] + 1;
        }
        // `next[v]`: first the number of nodes below v, then the place after the last child placed so far.
        let places: &mut [u32] = &mut order;
        places[0] = vertex[1];
        next[1] = 1;
        for v in 2..=n {
            if let Some(&ahead) = dom.get(v + AHEAD) {
                prefetch(next, ahead as usize);
            }
            let below = next[v];
            let place = next[dom[v] as usize];
            next[dom[v] as usize] = place + below + 1;
            next[v] = place + 1;
            places[place as usize] = vertex[v];
        }
    }
    pool.give(scratch);
    Some(order.freeze(n))
}
