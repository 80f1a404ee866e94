//! Which nodes of the embedder hang in the page and which are detached from it.
//!
//! States: 0 unknown, 1 attached, 2 detached. States that the file gives are kept; others are inherited, first from
//! attached nodes, then from detached ones, through native nodes only (JavaScript is never crossed) and not over hidden,
//! invisible or weak edges. A native node that is detached is shown as `Detached <name>`. Old files without the field
//! have the prefix in the name already, and nothing is inherited.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `initDetachednessAndClassIndex` and `propagateDOMState`. Time O(N + E), and only
//! O(N) where no node has a state.

use heapsight_snapshot::{Column, EdgeKind, NodeKind, Snapshot};

use crate::bits::BitSet;

const ATTACHED: u8 = 1;
/// The state of a detached node.
pub const DETACHED: u8 = 2;

/// The states of all nodes.
#[derive(Debug, Default)]
pub struct Detachedness {
    /// Per node; absent where all are unknown.
    pub states: Option<Column<u8>>,
    /// Whether detached native nodes get the prefix, which old files have in the name.
    pub prefixes: bool,
}

impl Detachedness {
    /// The state of a node.
    #[inline]
    pub fn of(&self, ord: u32) -> u8 {
        self.states.as_ref().map_or(0, |states| states[ord as usize])
    }

    /// Whether a node is shown with the prefix.
    #[inline]
    pub fn is_prefixed(&self, snapshot: &Snapshot, ord: u32) -> bool {
        self.prefixes && self.of(ord) == DETACHED && snapshot.node_kind(ord) == NodeKind::NATIVE
    }
}

/// Computes the states. `None` if there is no memory for the column.
pub fn detachedness(snapshot: &mut Snapshot) -> Option<Detachedness> {
    let Some(given) = snapshot.nodes.detachedness.take() else {
        return Some(Detachedness { states: by_name(snapshot), prefixes: false });
    };
    if given.iter().all(|&state| state == 0) {
        return Some(Detachedness { states: None, prefixes: true });
    }
    let mut states = given;
    inherit(snapshot, states.to_mut()?);
    Some(Detachedness { states: Some(states), prefixes: true })
}

/// Old files: native nodes whose name says so.
fn by_name(snapshot: &Snapshot) -> Option<Column<u8>> {
    let mut states: Option<Vec<u8>> = None;
    for (ord, &kind) in snapshot.nodes.kind.iter().enumerate() {
        if NodeKind(kind) == NodeKind::NATIVE
            && snapshot.strings.wtf8(snapshot.nodes.name[ord]).starts_with(b"Detached ")
        {
            states.get_or_insert_with(|| vec![0; snapshot.node_count()])[ord] = DETACHED;
        }
    }
    states.map(Into::into)
}

fn inherit(snapshot: &Snapshot, states: &mut [u8]) {
    let native = |ord: usize| NodeKind(snapshot.nodes.kind[ord]) == NodeKind::NATIVE;
    let mut visited = BitSet::new(states.len());
    let mut attached = Vec::new();
    let mut detached = Vec::new();
    for (ord, &state) in states.iter().enumerate() {
        if state == 0 {
            continue;
        }
        visited.insert(ord);
        if native(ord) {
            match state {
                ATTACHED => attached.push(ord as u32),
                DETACHED => detached.push(ord as u32),
                _ => {}
            }
        }
    }
    for (mut stack, state) in [(attached, ATTACHED), (detached, DETACHED)] {
        while let Some(ord) = stack.pop() {
            for edge in snapshot.edges_of(ord) {
                if matches!(snapshot.edge_kind(edge), EdgeKind::HIDDEN | EdgeKind::INVISIBLE | EdgeKind::WEAK)
                {
                    continue;
                }
                let child = snapshot.edges.to[edge];
                if visited.insert(child as usize) && native(child as usize) {
                    states[child as usize] = state;
                    stack.push(child);
                }
            }
        }
    }
}
