//! A snapshot with everything that is computed when it is opened.

use std::{
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

use heapsight_snapshot::{Column, SizeColumn, Snapshot};

use crate::{
    aggregates::{Aggregate, Inputs, class_retained_sizes, class_sizes},
    classes::{Classes, classes},
    detached::{Detachedness, detachedness},
    distance::distances,
    dominators::{DominatorTree, NumberedTree, dominators},
    known::Known,
    names::Names,
    ownership::own_sizes,
    pool::Pool,
    retainers::Retainers,
    statistics::{Statistics, statistics},
    store::Derived,
};

/// The analysis ran out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not enough memory to analyse the snapshot")
    }
}

impl std::error::Error for OutOfMemory {}

/// Hears which phase begins and how long phases took. Phases run on two threads, so their times may overlap.
pub trait Monitor: Sync {
    /// A phase begins.
    fn begin(&self, phase: &'static str) {
        let _ = phase;
    }
    /// A phase ended.
    fn end(&self, phase: &'static str, took: Duration) {
        let _ = (phase, took);
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Monitor for Silent {}

/// Work that others do on the columns while the rest is computed: an index is written there.
pub trait Beside: Sync {
    /// The graph is read and its columns are final. Runs on a thread of its own beside everything else.
    fn graph(&self, snapshot: &Snapshot) {
        let _ = snapshot;
    }
    /// All but dominators and retained sizes is known. Runs after [`Beside::graph`] on the same thread, while those are
    /// finished.
    fn derived(&self, derived: Derived<'_>) {
        let _ = derived;
    }
    /// Dominators and retained sizes are known. Runs on a thread of its own while the Summary is made.
    fn dominators(&self, tree: &DominatorTree, retained: &SizeColumn) {
        let _ = (tree, retained);
    }
}

/// Nothing.
impl Beside for () {}

/// Times a phase.
pub fn phase<T>(monitor: &dyn Monitor, name: &'static str, work: impl FnOnce() -> T) -> T {
    monitor.begin(name);
    let start = Instant::now();
    let result = work();
    monitor.end(name, start.elapsed());
    result
}

/// Runs `aside` on a thread of its own while this one does the work. It mostly waits for the disk, so it is no loss that
/// there are more threads than cores. Where there cannot be one more, it is done afterwards.
fn at_once<T>(aside: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("beside".to_owned());
        let early = thread.spawn_scoped(scope, &aside).is_ok();
        let result = work();
        if !early {
            aside();
        }
        result
    })
}

/// What one thread knows before the other is done.
#[derive(Default)]
struct Early {
    own_sizes: OnceLock<SizeColumn>,
    /// Distances and classes; nothing if there was no memory for them.
    columns: OnceLock<Option<(Column<i32>, Classes)>>,
}

impl Early {
    fn derived(&self, detached: &Detachedness, beside: &dyn Beside) {
        if let (Some(self_sizes), Some(Some((distance, classes)))) =
            (self.own_sizes.get(), self.columns.get())
        {
            beside.derived(Derived { self_sizes, detached, distance, classes });
        }
    }
}

/// The dominators, with or without retained sizes.
enum Tree {
    Numbered(NumberedTree),
    Finished((DominatorTree, SizeColumn)),
}

/// A snapshot and its derived columns. `snapshot.nodes.self_size` holds the shallow sizes that are shown: backing stores
/// have given theirs to their owners.
#[derive(Debug, Default)]
pub struct Heap {
    /// The graph.
    pub snapshot: Snapshot,
    /// The meaning of its strings.
    pub known: Known,
    /// Detached or attached.
    pub detached: Detachedness,
    /// Packed distances, see [`crate::distance::Distance`].
    pub distance: Column<i32>,
    /// Dominators.
    pub dominators: DominatorTree,
    /// Retained sizes.
    pub retained: SizeColumn,
    /// Classes.
    pub classes: Classes,
    /// The unfiltered Summary, by class.
    pub summary: Vec<Aggregate>,
    /// Where the bytes are.
    pub statistics: Statistics,
    pub(crate) retainers: OnceLock<Retainers>,
}

impl Heap {
    /// Computes everything, letting `beside` see what is done already.
    pub fn build(
        mut snapshot: Snapshot,
        monitor: &dyn Monitor,
        beside: &dyn Beside,
    ) -> Result<Self, OutOfMemory> {
        let known = phase(monitor, "names", || Known::find(&snapshot));
        let detached = phase(monitor, "detachedness", || detachedness(&mut snapshot)).ok_or(OutOfMemory)?;
        let raw_sizes = std::mem::take(&mut snapshot.nodes.self_size);
        let pool = Pool::new(snapshot.node_count());
        let known_early = Early::default();
        let (tree, rest) = std::thread::scope(|scope| {
            let (snapshot, known, detached, pool) = (&snapshot, &known, &detached, &pool);
            let early = &known_early;
            let (ready, wait) = mpsc::channel();
            let thread = std::thread::Builder::new().name("beside".to_owned());
            let is_beside = thread.spawn_scoped(scope, move || {
                beside.graph(snapshot);
                // Nothing comes if there was no memory.
                if wait.recv().is_ok() {
                    early.derived(detached, beside);
                }
            });
            let result = rayon::join(
                || {
                    let tree = phase(monitor, "dominators", || dominators(snapshot, known, pool, monitor))?;
                    // Sizes are known for long, as a rule. This thread goes on with them while the other has work.
                    Some(match early.own_sizes.get() {
                        Some(own) => Tree::Finished(phase(monitor, "retained sizes", || {
                            tree.finish(snapshot.node_count(), own, pool)
                        })?),
                        None => Tree::Numbered(tree),
                    })
                },
                || {
                    let own = phase(monitor, "shallow sizes", || {
                        own_sizes(snapshot, known, detached, raw_sizes, pool)
                    })?;
                    let own = early.own_sizes.get_or_init(|| own);
                    let names = Names { snapshot, known, detached };
                    let (columns, statistics) = rayon::join(
                        || {
                            let distance = phase(monitor, "distances", || distances(snapshot, known, pool))?;
                            let classes = phase(monitor, "classes", || classes(names, None, pool))?;
                            Some((distance, classes))
                        },
                        || phase(monitor, "statistics", || statistics(names, own)),
                    );
                    let (distance, classes) = early.columns.get_or_init(|| columns).as_ref()?;
                    // If nobody waits, it is done below.
                    let _ = ready.send(());
                    let rows =
                        phase(monitor, "class sizes", || class_sizes(own, distance, classes, |_| true));
                    Some((statistics, rows))
                },
            );
            if is_beside.is_err() {
                beside.graph(snapshot);
                early.derived(detached, beside);
            }
            result
        });
        let (tree, (statistics, mut summary)) = (tree.ok_or(OutOfMemory)?, rest.ok_or(OutOfMemory)?);
        let own = known_early.own_sizes.into_inner().ok_or(OutOfMemory)?;
        let (distance, classes) = known_early.columns.into_inner().flatten().ok_or(OutOfMemory)?;
        let (dominators, retained) = match tree {
            Tree::Finished(done) => done,
            Tree::Numbered(tree) => {
                phase(monitor, "retained sizes", || tree.finish(snapshot.node_count(), &own, &pool))
                    .ok_or(OutOfMemory)?
            }
        };
        snapshot.nodes.self_size = own;
        let mut heap = Self {
            snapshot,
            known,
            detached,
            distance,
            dominators,
            retained,
            classes,
            statistics,
            ..Self::default()
        };
        at_once(
            || beside.dominators(&heap.dominators, &heap.retained),
            || {
                let rows = || {
                    for (row, retained) in
                        summary.iter_mut().zip(class_retained_sizes(heap.inputs(), |_| true))
                    {
                        row.retained_size = retained;
                    }
                };
                // Giving memory back takes its time, too.
                rayon::join(|| drop(pool), || phase(monitor, "summary", rows));
            },
        );
        summary.retain(|row| row.count > 0);
        heap.summary = summary;
        heap.statistics.close(heap.total_size(), heap.snapshot.extra_native_bytes);
        Ok(heap)
    }

    /// What the Summary is made from.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            self_sizes: &self.snapshot.nodes.self_size,
            retained: &self.retained,
            distance: &self.distance,
            classes: &self.classes,
            dominators: &self.dominators,
        }
    }

    /// Names as they are shown.
    pub fn names(&self) -> Names<'_> {
        Names { snapshot: &self.snapshot, known: &self.known, detached: &self.detached }
    }

    /// All bytes: what the root retains and what the header reports outside of the heap.
    pub fn total_size(&self) -> u64 {
        self.retained.get(self.snapshot.root).saturating_add(self.snapshot.extra_native_bytes)
    }

    /// The retainers of all nodes; built at the first call, O(N + E), 4 bytes an edge and 4 a node.
    pub fn retainers(&self) -> &Retainers {
        self.retainers.get_or_init(|| Retainers::build(&self.snapshot))
    }

    /// The node with an object id; of several the first. Linear in the number of nodes.
    pub fn find_id(&self, id: u64) -> Option<u32> {
        let id = u32::try_from(id).ok()?;
        self.snapshot.nodes.id.iter().position(|&i| i == id).map(|ord| ord as u32)
    }

    /// The largest id of a JavaScript object (ids of these are odd).
    pub fn max_js_object_id(&self) -> u32 {
        self.snapshot.nodes.id.iter().copied().filter(|id| id % 2 == 1).max().unwrap_or(0)
    }
}
