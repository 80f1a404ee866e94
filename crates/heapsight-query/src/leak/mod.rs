//! Naming a leak from snapshots of one process: what grows with the work, what holds it, and where that is in the code.
//!
//! Snapshots are taken around rounds of work. What holds something of every round, in the last as in the first, is a
//! suspect; all else that grew is set aside, with the reason. Suspects are ranked by bytes.

mod allocated;
mod by_way;
mod declaring;
mod entries;
mod limit;
pub(crate) mod naming;
pub(crate) mod placing;
pub(crate) mod source;
mod swelling;

use heapsight_analysis::{
    Heap,
    bits::BitSet,
    growth::{self, ClassGrowth, Holder},
    readable::{Avoid, NONE, ReadableTree},
    trend::{Trend, trend},
};
use heapsight_snapshot::{EdgeKind, NodeKind};

pub use allocated::{Allocated, Frame, Sampled, Stack, StackFrame};
pub use naming::Kind;
pub use placing::Placed;

use crate::{
    code::Code,
    story::{self, Hop, Step, short_class},
};
use placing::{Placing, is_runtime};
use source::Sources;

/// Suspects that are told of; what is smaller is set aside.
const SUSPECTS: usize = 20;

/// What was set aside and is worth a line.
const ASIDE: usize = 12;

/// Growth below this is not worth a line.
const WORTH: u64 = 512;

/// The work between two snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Round {
    /// Requests, if they were counted.
    pub requests: Option<u64>,
    /// Time between the snapshots, if it is known.
    pub seconds: Option<f64>,
}

/// A class of what a holder gained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The class.
    pub class: String,
    /// How many of them survived, by round.
    pub counts: Vec<u64>,
    /// Their shallow sizes.
    pub size: u64,
}

/// Something that grows with the work.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Its name: `MemoryStore.sessions`.
    pub title: String,
    /// What the container is.
    pub kind: Kind,
    /// The container's class.
    pub class: String,
    /// The container's object id.
    pub id: u32,
    /// How many containers that are held alike grow.
    pub holders: u64,
    /// The place in the code.
    pub place: Option<Placed>,
    /// Members gained in each round; empty where bytes are all that is known, as of an array of numbers.
    pub counts: Vec<u64>,
    /// What is counted, if it is not members: the class.
    pub counted: Option<String>,
    /// Members gained for each request.
    pub per_request: Option<f64>,
    /// Bytes gained, by round.
    pub sizes: Vec<u64>,
    /// What the container retains now.
    pub retained_size: u64,
    /// What was gained, the largest part first.
    pub parts: Vec<Part>,
    /// The way to the container, told.
    pub story: Vec<Hop>,
    /// The whole way.
    pub way: Vec<Step>,
    /// Where what it gained was allocated, if that was recorded and something fits.
    pub allocated: Option<Allocated>,
    /// Why it is a suspect.
    pub why: String,
}

impl Suspect {
    /// Members gained.
    pub fn count_growth(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Bytes gained.
    pub fn size_growth(&self) -> u64 {
        self.sizes.iter().sum()
    }
}

/// Something that grew and is no suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its name.
    pub title: String,
    /// What it is.
    pub kind: Kind,
    /// Members gained in each round.
    pub counts: Vec<u64>,
    /// Bytes gained.
    pub size: u64,
    /// The rule that set it aside.
    pub reason: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The work between the snapshots.
    pub rounds: Vec<Round>,
    /// Whether objects were compared by id; else by the way they are held.
    pub by_id: bool,
    /// Total size of each snapshot.
    pub totals: Vec<u64>,
    /// What leaks, the worst first.
    pub suspects: Vec<Suspect>,
    /// What grew and does not leak, the largest first.
    pub set_aside: Vec<SetAside>,
    /// Bytes of all survivors.
    pub survived: u64,
}

/// Looks for what leaks in snapshots of one program, oldest first. `rounds` is the work between each two of them, `by_id`
/// whether object ids mean the same objects in all of them; `code` is that of the last.
pub fn leak(heaps: &[Heap], rounds: &[Round], code: &Code, by_id: bool) -> Verdict {
    leak_sampled(heaps, rounds, code, by_id, &Sampled::default())
}

/// As [`leak`], with what was sampled in the last round: suspects say where they were allocated.
pub fn leak_sampled(
    heaps: &[Heap],
    rounds: &[Round],
    code: &Code,
    by_id: bool,
    sampled: &Sampled,
) -> Verdict {
    let mut verdict = Verdict {
        rounds: rounds.to_vec(),
        by_id,
        totals: heaps.iter().map(Heap::total_size).collect(),
        ..Verdict::default()
    };
    let Some((last, earlier)) = heaps.split_last() else { return verdict };
    if earlier.is_empty() {
        return verdict;
    }
    if !by_id {
        let foreign = foreign_functions(last, code);
        let tree = ReadableTree::new(last, Avoid { new: None, foreign: Some(&foreign) });
        let found = by_way::found(heaps, rounds, code, &tree);
        let sources = Sources::default();
        tell(&mut verdict, Placing { heap: last, tree: &tree, code, sources: &sources }, sampled, found);
        return verdict;
    }
    let earlier: Vec<&Heap> = earlier.iter().collect();
    let mut births = growth::births(last, &earlier);
    let new = growth::survivors(&births);
    let foreign = foreign_functions(last, code);
    let tree = ReadableTree::new(last, Avoid { new: Some(&new), foreign: Some(&foreign) });
    let holders = growth::holders(last, &mut births, earlier.len(), &tree);
    verdict.survived = holders.iter().map(Holder::size).sum();
    let sources = Sources::default();
    let placing = Placing { heap: last, tree: &tree, code, sources: &sources };
    let mut engine = SetAside {
        title: "V8's own tables".to_owned(),
        kind: Kind::Object,
        counts: vec![0; earlier.len()],
        size: 0,
        reason: "compiled code, hidden classes, feedback: the engine's".to_owned(),
    };
    let mut rejected: Vec<(Holder, &'static str)> = Vec::new();
    let mut accepted: Vec<(Suspicion, u64)> = Vec::new();
    for holder in growth::joined(holders, |holder| judge(last, holder, rounds).is_ok()) {
        // What has gained no object of the program has gained code and feedback.
        if holder.engine || holder.classes.is_empty() {
            engine.size += holder.size();
            engine.counts.iter_mut().zip(&holder.members).for_each(|(sum, n)| *sum += n);
            continue;
        }
        if holder.size() < WORTH {
            continue;
        }
        let size = holder.size();
        let judged = judge(last, &holder, rounds)
            .and_then(|evidence| Suspicion::of_holder(heaps, &holder, evidence, rounds));
        match judged {
            Ok(suspicion) => accepted.push((suspicion, size)),
            Err(reason) => rejected.push((holder, reason)),
        }
    }
    accepted.extend(swelling::found(heaps, &births, &accepted, &mut rejected));
    let mut limited: Vec<SetAside> = Vec::new();
    accepted.retain(|(suspicion, size)| {
        let aside = not_full(placing, suspicion, *size);
        let claimed = aside.is_none();
        limited.extend(aside);
        claimed
    });
    tell(&mut verdict, placing, sampled, accepted);
    verdict.set_aside.extend(limited);
    for (holder, reason) in rejected.iter().take(ASIDE) {
        let named = naming::name(last, &tree, holder.ord, slot(holder));
        let nobody = matches!(last.snapshot.node_kind(holder.ord), NodeKind::SYNTHETIC);
        let title = if nobody { "handles, the stack, the string table".to_owned() } else { named.title };
        let (counts, size) = (holder.members.clone(), holder.size());
        let reason = (*reason).to_owned();
        verdict.set_aside.push(SetAside { title, kind: named.kind, counts, size, reason });
    }
    if engine.size >= WORTH {
        verdict.set_aside.push(engine);
    }
    verdict.set_aside.sort_by_key(|aside| std::cmp::Reverse(aside.size));
    verdict
}

/// Sets aside a container with a declared limit that it has not reached.
fn not_full(placing: Placing<'_>, suspicion: &Suspicion, size: u64) -> Option<SetAside> {
    let ord = suspicion.ord;
    let entries = entries::entries(placing.heap, ord)?;
    let limit = limit::declared(placing, ord).filter(|limit| limit.most > entries)?;
    let named = naming::name(placing.heap, placing.tree, ord, suspicion.slot);
    let called = if limit.name.is_empty() { String::new() } else { format!("{} ", limit.name) };
    let reason = format!(
        "it has {} entries and a limit ({called}{}): a cache that is not full; rounds that fill it show more",
        story::counted(entries),
        limit.most
    );
    Some(SetAside { title: named.title, kind: named.kind, counts: suspicion.counts.clone(), size, reason })
}

/// Names the suspects, the largest first.
fn tell(verdict: &mut Verdict, placing: Placing<'_>, sampled: &Sampled, mut found: Vec<(Suspicion, u64)>) {
    found.sort_by_key(|(suspicion, size)| (std::cmp::Reverse(*size), suspicion.ord));
    let told = found.iter().take(SUSPECTS);
    verdict.suspects =
        told.map(|(suspicion, _)| suspect(placing, suspicion, sampled, &verdict.rounds)).collect();
}

/// A container that leaks, before it has a name.
struct Suspicion {
    ord: u32,
    slot: Option<usize>,
    /// How many containers are held alike.
    holders: u64,
    /// Some of them.
    alike: Vec<u32>,
    /// Members gained by round; empty where bytes are all that is known.
    counts: Vec<u64>,
    /// The class that is counted, if not the members.
    class: Option<u32>,
    /// Bytes gained by round.
    sizes: Vec<u64>,
    classes: Vec<ClassGrowth>,
    examples: Vec<u32>,
}

/// Why what has steady survivors is set aside all the same.
const TURNOVER: &str = "as many go as come: a queue, or a cache that is full";

impl Suspicion {
    /// A holder whose survivors are steady is a suspect if it has more from snapshot to snapshot, too: of a queue, or of a
    /// cache that drops the oldest, there are survivors of every round as long as it is larger than the rounds together.
    fn of_holder(
        heaps: &[Heap],
        holder: &Holder,
        evidence: Evidence,
        rounds: &[Round],
    ) -> Result<Self, &'static str> {
        let mut suspicion = Self {
            ord: holder.ord,
            slot: slot(holder),
            holders: holder.holders,
            alike: holder.alike.clone(),
            counts: evidence.counts,
            class: evidence.class,
            sizes: holder.sizes.clone(),
            classes: holder.classes.clone(),
            examples: holder.examples.clone(),
        };
        let gained =
            (holder.holders as usize <= growth::ALIKE).then(|| entries::gained_alike(heaps, &holder.alike));
        let gained = gained.flatten();
        if let Some(gained) = gained {
            let entries: Vec<u64> = gained.iter().map(|&n| u64::try_from(n).unwrap_or(0)).collect();
            if judge_counts(&entries, rounds) == Trend::Steady {
                suspicion.counts = entries;
                suspicion.class = None;
                return Ok(suspicion);
            }
            if suspicion.class.is_none() {
                return Err(TURNOVER);
            }
        }
        let example = match suspicion.class {
            Some(class) => holder.classes.iter().find(|part| part.class == class).map(|part| part.nearest),
            None => suspicion.examples.first().copied(),
        };
        if let Some(example) = example {
            let more = entries::more_alike(heaps, example);
            let survived = holder.classes.iter().find(|part| {
                part.class == heaps.last().map_or(u32::MAX, |heap| heap.classes.of[example as usize])
            });
            let survived = survived.map_or(&suspicion.counts, |part| &part.counts);
            let few = more.iter().zip(survived).filter(|&(&more, &n)| (more as f64) < n as f64 * 0.4).count();
            if few * 2 >= more.len().max(1) || more.last().is_some_and(|&more| more <= 0) {
                return Err(TURNOVER);
            }
        }
        Ok(suspicion)
    }
}

/// What shows that a holder leaks.
struct Evidence {
    /// Survivors by round.
    counts: Vec<u64>,
    /// The class that is counted, if not the members.
    class: Option<u32>,
}

/// Whether a holder leaks, and else why not.
fn judge(heap: &Heap, holder: &Holder, rounds: &[Round]) -> Result<Evidence, &'static str> {
    let kind = heap.snapshot.node_kind(holder.ord);
    if matches!(kind, NodeKind::SYNTHETIC) || holder.ord == heap.snapshot.root {
        return Err("held by no object of the program");
    }
    let of_members = judge_counts(&holder.members, rounds);
    if of_members == Trend::Steady {
        return Ok(Evidence { counts: holder.members.clone(), class: None });
    }
    // Of the classes that grow steadily, one that grows as most of them do: there is one of each for a request.
    let steady: Vec<&ClassGrowth> =
        holder.classes.iter().filter(|class| judge_counts(&class.counts, rounds) == Trend::Steady).collect();
    let alike = |class: &ClassGrowth| steady.iter().filter(|other| other.counts == class.counts).count();
    if let Some(class) = steady.iter().max_by_key(|class| (alike(class), class.size)) {
        return Ok(Evidence { counts: class.counts.clone(), class: Some(class.class) });
    }
    Err(match of_members {
        Trend::Slowing => "gains less in each round: a cache that fills, or something that warms up",
        Trend::Stopped => "nothing stayed of some round: replaced, or under way",
        Trend::Uneven => {
            "by leaps, not with the work: if the rounds were not alike, more of them tell (--rounds), or their requests (-n)"
        }
        Trend::Few | Trend::Steady => "too few to tell",
    })
}

/// Counts against requests, and against time.
fn judge_counts(counts: &[u64], rounds: &[Round]) -> Trend {
    let requests: Option<Vec<f64>> = rounds.iter().map(|r| r.requests.map(|n| n as f64)).collect();
    let seconds: Option<Vec<f64>> = rounds.iter().map(|r| r.seconds).collect();
    let by_requests = trend(counts, requests.as_deref(), requests.is_some());
    match (by_requests, &seconds) {
        (Trend::Uneven, Some(seconds)) => trend(counts, Some(seconds), false),
        _ => by_requests,
    }
}

/// The functions of libraries and the runtime.
pub(crate) fn foreign_functions(heap: &Heap, code: &Code) -> BitSet {
    let snapshot = &heap.snapshot;
    let mut set = BitSet::new(snapshot.node_count());
    let mut of_script: rustc_hash::FxHashMap<u32, bool> = rustc_hash::FxHashMap::default();
    let locations = &snapshot.locations;
    for (at, &ord) in locations.nodes.iter().enumerate() {
        let script = locations.script_ids[at];
        let foreign = *of_script.entry(script).or_insert_with(|| {
            code.place(heap, ord).is_none_or(|place| place.package.is_some() || is_runtime(&place))
        });
        if foreign {
            set.insert(ord as usize);
        }
    }
    set
}

fn slot(holder: &Holder) -> Option<usize> {
    (holder.slot != NONE).then_some(holder.slot as usize)
}

/// The place of a suspect; where that is the runtime's, or only declares who keeps functions, the program's function that
/// allocates what is kept.
fn allocator_instead(place: Option<Placed>, kind: Kind, allocated: Option<&Allocated>) -> Option<Placed> {
    let keeps = matches!(kind, Kind::Listeners | Kind::Timers | Kind::Promise);
    let good = |placed: &Placed| {
        !is_runtime(&placed.place) && (!keeps || !placed.what.starts_with(declaring::DECLARES))
    };
    if place.as_ref().is_some_and(good) {
        return place;
    }
    let own = |frame: &&Frame| frame.place.package.is_none() && !is_runtime(&frame.place);
    let frame = allocated.and_then(|allocated| allocated.frames.iter().find(own));
    frame
        .map(|frame| Placed { place: frame.place.clone(), what: format!("function {}", frame.name) })
        .or(place)
}

fn suspect(placing: Placing<'_>, suspicion: &Suspicion, sampled: &Sampled, rounds: &[Round]) -> Suspect {
    let heap = placing.heap;
    let Suspicion { ord, slot, .. } = *suspicion;
    let named = naming::name(heap, placing.tree, ord, slot);
    let way = story::way(heap, placing.tree, placing.code, ord);
    // Pieces of a text that grows are no members.
    let is_text = suspicion.holders == 1
        && slot.is_some_and(|edge| {
            let value = heap.snapshot.edges.to[edge];
            heap.snapshot.node_kind(value).is_string() && heap.snapshot.edge_kind(edge) != EdgeKind::INTERNAL
        })
        && suspicion.class.is_some_and(|class| {
            let nearest = suspicion.classes.iter().find(|part| part.class == class).map(|part| part.nearest);
            nearest.is_some_and(|ord| heap.snapshot.node_kind(ord).is_string())
        });
    let (counts, counted) = if is_text { (&[][..], None) } else { (&suspicion.counts[..], suspicion.class) };
    let kind = if is_text { Kind::Text } else { named.kind };
    let requests: Option<u64> = rounds.iter().map(|round| round.requests).sum();
    let gained: u64 = if is_text { 0 } else { suspicion.counts.iter().sum() };
    let per_request = requests.filter(|&n| n > 0 && gained > 0).map(|n| gained as f64 / n as f64);
    let parts = suspicion
        .classes
        .iter()
        .map(|class| Part {
            class: short_class(&heap.classes.table[class.class as usize].name),
            counts: class.counts.clone(),
            size: class.size,
        })
        .collect();
    let rounds_text = match rounds.len() {
        1 => "the only round".to_owned(),
        n => format!("{n} of {n} rounds"),
    };
    let why = match per_request {
        Some(rate) => format!("{rate:.2} a request in {rounds_text}"),
        None if gained == 0 => "it takes more from round to round".to_owned(),
        None if rounds.len() == 1 => "they stayed of the only round".to_owned(),
        None => format!("about as many in each round, in {rounds_text}"),
    };
    // Whoever declared it believes in it.
    let passed = entries::entries(heap, ord)
        .and_then(|entries| limit::declared(placing, ord).filter(|limit| limit.most <= entries));
    let why = match passed {
        Some(limit) if limit.name.is_empty() => format!("{why}; its limit ({}) does not hold", limit.most),
        Some(limit) => format!("{why}; its limit ({} {}) does not hold", limit.name, limit.most),
        None => why,
    };
    let place = placing.of(named.kind, ord, slot, &suspicion.examples);
    let title = match named.kind {
        Kind::Listeners | Kind::Timers => None,
        Kind::Promise => placing.chain(ord),
        _ => placing.by_the_program(ord, slot).map(|owned| owned.title).or_else(|| {
            // A variable of the program says more than a class without a name.
            let nameless = ["Object", "(anonymous)", "{", "(synthetic)"];
            let is_nameless = nameless.iter().any(|head| named.title.starts_with(head));
            is_nameless.then(|| placing.direct(ord, slot)).flatten().map(|(_, name)| name)
        }),
    };
    let allocated = allocated::found(placing, suspicion, place.as_ref(), sampled);
    let place = allocator_instead(place, named.kind, allocated.as_ref());
    Suspect {
        title: title.unwrap_or(named.title),
        kind,
        class: heap.classes.class(ord).name.clone(),
        id: heap.snapshot.nodes.id[ord as usize],
        holders: suspicion.holders,
        place,
        counts: counts.to_vec(),
        counted: counted.map(|class| heap.classes.table[class as usize].name.clone()),
        per_request,
        sizes: suspicion.sizes.clone(),
        retained_size: heap.retained.get(ord),
        parts,
        story: story::tell(heap, &way),
        way,
        allocated,
        why,
    }
}
