//! What grows from snapshot to snapshot of one process, and what holds it.
//!
//! With ids that mean the same objects in all snapshots, each object of the last one has a *birth round*: the first
//! snapshot that has it. What was born since the first snapshot and is still there has survived. Survivors are counted where
//! they hang: on the tree of readable ways (see [`crate::readable`]) each of them is below exactly one old object. A
//! backing store (elements of an array, table of a Map) belongs to its owner, new or old, and so does a linked list to
//! whoever holds its first node. Old objects that are held in the same way, as the histories of all users, count as one
//! *holder*.
//!
//! The members of a holder are the survivors right below it; where these do not tell (a linked list that grows at its
//! head, a list that is copied at each change), all survivors below it count by class.
//!
//! What V8 keeps for itself (code, hidden classes, feedback) is no member, and no holder of the program.
//!
//! Ids of natives are made anew for each snapshot, and those of memory outside of the heap may be given to something else
//! later: a native was born with what holds it.
//!
//! Time O(N + E), memory 22 bytes a node.

use std::{
    collections::hash_map::Entry,
    hash::{BuildHasher, Hasher},
};

use heapsight_snapshot::{EdgeKind, NodeKind, Snapshot};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{
    Heap,
    bits::BitSet,
    contexts::context_set,
    readable::{NONE, ReadableTree},
};

/// Objects with so many named properties are used as dictionaries: the names do not tell places apart.
pub const DICTIONARY: usize = 24;

/// Members of a holder that are kept as examples.
const EXAMPLES: usize = 16;

/// Old objects of a holder that are listed.
pub const ALIKE: usize = 256;

/// The birth round of a native before the tree says which it is.
const UNKNOWN: u8 = u8::MAX;

/// Most rounds that are told apart.
pub const MOST_ROUNDS: usize = 200;

/// The birth round of each node of the last snapshot: 0 is "was there in the first", `k` is "was not there before snapshot
/// `k`". `earlier` are the snapshots before it, oldest first. Natives have none yet. O(sum of the nodes).
pub fn births(last: &Heap, earlier: &[&Heap]) -> Vec<u8> {
    let nodes = &last.snapshot.nodes;
    let rounds = earlier.len().min(MOST_ROUNDS) as u8;
    let has_id = |snapshot: &Snapshot, ord: usize| {
        snapshot.nodes.id[ord] % 2 == 1 && snapshot.nodes.kind[ord] != NodeKind::NATIVE.0
    };
    let n = last.snapshot.node_count();
    let mut births: Vec<u8> =
        (0..n).map(|ord| if has_id(&last.snapshot, ord) { rounds } else { UNKNOWN }).collect();
    let most = nodes.id.iter().copied().max().unwrap_or(0) as usize;
    // From the newest to the oldest, so that the oldest has the last word.
    for (round, heap) in earlier.iter().enumerate().rev() {
        let mut seen = BitSet::new(most / 2 + 1);
        for (ord, &id) in heap.snapshot.nodes.id.iter().enumerate() {
            if id as usize <= most && has_id(&heap.snapshot, ord) {
                seen.insert(id as usize / 2);
            }
        }
        for (ord, birth) in births.iter_mut().enumerate() {
            if *birth != UNKNOWN && seen.contains(nodes.id[ord] as usize / 2) {
                *birth = round.min(MOST_ROUNDS) as u8;
            }
        }
    }
    births
}

/// The nodes that were not there in the first snapshot.
pub fn survivors(births: &[u8]) -> BitSet {
    let mut set = BitSet::new(births.len());
    for (ord, &birth) in births.iter().enumerate() {
        if birth != 0 && birth != UNKNOWN {
            set.insert(ord);
        }
    }
    set
}

/// Objects of a class that a holder gained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassGrowth {
    /// The class of one of them.
    pub class: u32,
    /// Survivors by birth round, the first round first.
    pub counts: Vec<u64>,
    /// Shallow size of all.
    pub size: u64,
    /// The one that is nearest to the holder.
    pub nearest: u32,
}

/// What holds survivors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The old object, or of several that are held alike the one that gained most.
    pub ord: u32,
    /// How many old objects these are.
    pub holders: u64,
    /// Some of them, in the order of the tree.
    pub alike: Vec<u32>,
    /// The edge of `ord` below which its first member is.
    pub slot: u32,
    /// Whether only V8's own tables lead to it, or it is one of them.
    pub engine: bool,
    /// Survivors right below, by birth round.
    pub members: Vec<u64>,
    /// Shallow sizes of all survivors below, by birth round; the growth of the backing store is in the last.
    pub sizes: Vec<u64>,
    /// All survivors below by class, the largest first.
    pub classes: Vec<ClassGrowth>,
    /// Members of the rounds before the last where there are such.
    pub examples: Vec<u32>,
}

impl Holder {
    /// Bytes that it gained.
    pub fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Takes over what another holder gained.
    fn join(&mut self, other: Self) {
        add(&mut self.members, &other.members);
        add(&mut self.sizes, &other.sizes);
        for class in other.classes {
            match self.classes.iter_mut().find(|mine| mine.class == class.class) {
                Some(mine) => {
                    add(&mut mine.counts, &class.counts);
                    mine.size = mine.size.saturating_add(class.size);
                }
                None => self.classes.push(class),
            }
        }
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
    }

    /// Members that it gained.
    pub fn count(&self) -> u64 {
        self.members.iter().sum()
    }
}

/// Adds the rounds of one holder to those of another.
fn add(sums: &mut [u64], more: &[u64]) {
    for (sum, n) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*n);
    }
}

/// Whether a node is the inside of another: a backing store, a cell.
pub fn is_store(snapshot: &Snapshot, ord: u32) -> bool {
    matches!(snapshot.node_kind(ord), NodeKind::ARRAY | NodeKind::HIDDEN)
}

/// Whether a node can be a member.
pub fn is_member(snapshot: &Snapshot, ord: u32) -> bool {
    !matches!(
        snapshot.node_kind(ord),
        NodeKind::ARRAY | NodeKind::HIDDEN | NodeKind::CODE | NodeKind::OBJECT_SHAPE | NodeKind::SYNTHETIC
    )
}

/// Finds what holds the survivors of `rounds` rounds, most bytes first. Natives get their birth rounds.
pub fn holders(heap: &Heap, births: &mut [u8], rounds: usize, tree: &ReadableTree) -> Vec<Holder> {
    let rounds = rounds.clamp(1, MOST_ROUNDS);
    let walk = Walk::new(heap, births, tree);
    let snapshot = &heap.snapshot;
    let mut groups: Vec<Group> = Vec::new();
    let mut by_key: FxHashMap<u64, u32> = FxHashMap::default();
    // The group of each old object that has survivors, and how many it has.
    let mut of_head: FxHashMap<(u32, u32), (u32, u64)> = FxHashMap::default();
    let mut by_class: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    let mut classes: Vec<ClassGrowth> = Vec::new();
    let mut class_group: Vec<u32> = Vec::new();
    for &ord in &tree.order {
        let at = ord as usize;
        let birth = births[at];
        if birth == 0 || ord == snapshot.root {
            continue;
        }
        let round = (birth as usize).min(rounds) - 1;
        let (head, slot) = (walk.head[at], walk.slot[at]);
        let slot_name = Walk::slot_name(heap, head, slot);
        let next = groups.len() as u32;
        let (group, in_head) = of_head.entry((head, slot_name)).or_insert_with(|| {
            let mut hasher = FxBuildHasher.build_hasher();
            hasher.write_u64(walk.way[head as usize]);
            hasher.write_u32(slot_name);
            (*by_key.entry(hasher.finish()).or_insert(next), 0)
        });
        if *group == next {
            groups.push(Group {
                holder: Holder {
                    ord: head,
                    holders: 0,
                    alike: Vec::new(),
                    slot,
                    engine: walk.engine.contains(head as usize),
                    members: vec![0; rounds],
                    sizes: vec![0; rounds],
                    classes: Vec::new(),
                    examples: Vec::new(),
                },
                most: 0,
            });
        }
        let of = &mut groups[*group as usize];
        of.holder.holders += u64::from(*in_head == 0);
        if *in_head == 0 && of.holder.alike.len() < ALIKE {
            of.holder.alike.push(head);
        }
        *in_head += 1;
        if *in_head > of.most {
            of.most = *in_head;
            (of.holder.ord, of.holder.slot) = (head, slot);
        }
        let size = snapshot.nodes.self_size.get(ord);
        of.holder.sizes[round] = of.holder.sizes[round].saturating_add(size);
        if !is_member(snapshot, ord) {
            continue;
        }
        if walk.is_top(births, tree, ord) {
            of.holder.members[round] += 1;
            let examples = &mut of.holder.examples;
            if examples.len() < EXAMPLES && (round + 1 < rounds || rounds == 1) {
                examples.push(ord);
            }
        }
        let class = heap.classes.of[at];
        let next = classes.len() as u32;
        let entry = *by_class.entry((*group, class)).or_insert(next);
        if entry == next {
            classes.push(ClassGrowth { class, counts: vec![0; rounds], size: 0, nearest: ord });
            class_group.push(*group);
        }
        let of = &mut classes[entry as usize];
        of.counts[round] += 1;
        of.size = of.size.saturating_add(size);
    }
    for (class, group) in classes.into_iter().zip(class_group) {
        groups[group as usize].holder.classes.push(class);
    }
    let mut list: Vec<Holder> = groups.into_iter().map(|group| group.holder).collect();
    for holder in &mut list {
        holder.classes.sort_by_key(|c| (std::cmp::Reverse((c.size, c.counts.iter().sum::<u64>())), c.class));
    }
    list.sort_by_key(|holder| (std::cmp::Reverse((holder.size(), holder.count())), holder.ord));
    list
}

/// Joins holders that are one object and were told apart by its fields, where they do not grow by themselves: a list that is
/// linked both ways is reached from both ends. Most bytes first.
pub fn joined(holders: Vec<Holder>, grows: impl Fn(&Holder) -> bool) -> Vec<Holder> {
    let mut list: Vec<Holder> = Vec::with_capacity(holders.len());
    let mut place: FxHashMap<u32, usize> = FxHashMap::default();
    for holder in holders {
        if grows(&holder) {
            list.push(holder);
            continue;
        }
        match place.entry(holder.ord) {
            Entry::Vacant(entry) => {
                entry.insert(list.len());
                list.push(holder);
            }
            Entry::Occupied(entry) => list[*entry.get()].join(holder),
        }
    }
    list.sort_by_key(|holder| (std::cmp::Reverse((holder.size(), holder.count())), holder.ord));
    list
}

struct Group {
    holder: Holder,
    /// Survivors of its representative.
    most: u64,
}

/// What is known of each node once the tree has been walked from the root down.
struct Walk {
    /// The old object that the node is below of; of an old one itself, or what it is the inside of.
    head: Vec<u32>,
    /// The edge of the head by which the way goes on, or [`NONE`].
    slot: Vec<u32>,
    /// How old nodes are held, as a number: equal for ways of the same names and classes.
    way: Vec<u64>,
    /// Nodes that only V8's own tables lead to.
    engine: BitSet,
    /// New backing stores of old objects.
    new_store: BitSet,
}

impl Walk {
    fn new(heap: &Heap, births: &mut [u8], tree: &ReadableTree) -> Self {
        let snapshot = &heap.snapshot;
        let n = snapshot.node_count();
        let contexts = context_set(heap);
        let mut walk = Self {
            head: (0..n as u32).collect(),
            slot: vec![NONE; n],
            way: vec![0; n],
            engine: BitSet::new(n),
            new_store: BitSet::new(n),
        };
        // For the nodes of lists: how many nodes of its class are above it, reached by the same name.
        let mut chain = vec![0u32; n];
        for &ord in &tree.order {
            let at = ord as usize;
            let (edge, parent) = (tree.edge[at], tree.parent[at]);
            if edge == NONE {
                births[at] = 0;
                continue;
            }
            let up = parent as usize;
            if births[at] == UNKNOWN {
                births[at] = births[up];
            }
            let kind = snapshot.node_kind(ord);
            let is_engine = matches!(kind, NodeKind::CODE | NodeKind::OBJECT_SHAPE);
            if is_engine || walk.engine.contains(up) {
                walk.engine.insert(at);
            }
            let head = walk.head[up];
            let is_inside =
                births[up] != 0 || head != parent || (is_store(snapshot, parent) && !contexts.contains(up));
            let slot = if is_inside && walk.slot[up] != NONE { walk.slot[up] } else { edge };
            if births[at] != 0 {
                walk.head[at] = head;
                walk.slot[at] = slot;
                if is_store(snapshot, ord) && (births[up] == 0 || walk.new_store.contains(up)) {
                    walk.new_store.insert(at);
                }
                continue;
            }
            walk.way[at] = walk.step(heap, parent, edge as usize, ord);
            if is_store(snapshot, ord) && !contexts.contains(at) {
                walk.head[at] = head;
                walk.slot[at] = slot;
                continue;
            }
            if births[up] == 0 && heap.classes.of[at] == heap.classes.of[up] && is_list_node(heap, ord) {
                let same = chain[up] == 0
                    || snapshot.edges.name[tree.edge[up] as usize] == snapshot.edges.name[edge as usize];
                chain[at] = if same { chain[up] + 1 } else { 1 };
                // Whoever holds the first node stands for the list.
                if chain[at] == 2 {
                    let first = tree.parent[up];
                    let holder = tree.parent[first as usize];
                    if holder != NONE {
                        let inside = is_store(snapshot, holder) && walk.slot[holder as usize] != NONE;
                        walk.head[at] = walk.head[holder as usize];
                        walk.slot[at] =
                            if inside { walk.slot[holder as usize] } else { tree.edge[first as usize] };
                    }
                } else if chain[at] > 2 {
                    (walk.head[at], walk.slot[at]) = (head, walk.slot[up]);
                }
            }
        }
        walk
    }

    /// How a node is held, given how its parent is.
    fn step(&self, heap: &Heap, parent: u32, edge: usize, ord: u32) -> u64 {
        let snapshot = &heap.snapshot;
        let mut hasher = FxBuildHasher.build_hasher();
        hasher.write_u64(self.way[parent as usize]);
        hasher.write_u32(heap.classes.of[ord as usize]);
        let kind = snapshot.edge_kind(edge);
        hasher.write_u8(kind.0);
        let is_entry = kind.has_numeric_name()
            || is_store(snapshot, parent)
            || (kind == EdgeKind::INTERNAL && heap.known.weak_map_edge(snapshot.edges.name[edge]).is_some())
            || (kind == EdgeKind::PROPERTY && snapshot.edges_of(parent).len() > DICTIONARY);
        if !is_entry {
            hasher.write_u32(snapshot.edges.name[edge]);
        }
        hasher.finish()
    }

    /// Whether a survivor is right below its old object: backing stores do not count.
    fn is_top(&self, births: &[u8], tree: &ReadableTree, ord: u32) -> bool {
        let parent = tree.parent[ord as usize];
        parent != NONE && (births[parent as usize] == 0 || self.new_store.contains(parent as usize))
    }

    /// The name of the slot where it tells what an object holds from what else it holds: a variable of a context, a field
    /// of an object that is no dictionary.
    fn slot_name(heap: &Heap, head: u32, slot: u32) -> u32 {
        let snapshot = &heap.snapshot;
        if slot == NONE {
            return NONE;
        }
        let edge = slot as usize;
        let tells = match snapshot.edge_kind(edge) {
            EdgeKind::CONTEXT => true,
            EdgeKind::PROPERTY => snapshot.edges_of(head).len() <= DICTIONARY,
            _ => false,
        };
        if tells { snapshot.edges.name[edge] } else { NONE }
    }
}

/// Whether nodes of this kind make up lists.
pub fn is_list_node(heap: &Heap, ord: u32) -> bool {
    let name = heap.snapshot.nodes.name[ord as usize];
    heap.snapshot.node_kind(ord) == NodeKind::OBJECT && !heap.known.literals.system_context.is(name)
}
