//! Which frames of a call tree a flame graph draws, and where.
//!
//! A frame is as wide as its total size, the heaviest child stands leftmost. What is too narrow to be seen and what is too
//! deep to be drawn is left out and counted, so that a picture is bounded whatever the tree.

use std::cmp::Reverse;

use crate::profile::Profile;

/// What is drawn at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Frames with less than this part of all bytes are left out.
    pub share: f64,
    /// Levels below the root.
    pub levels: u32,
    /// Frames in all: the lightest are left out.
    pub frames: usize,
}

/// A frame that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlameFrame {
    /// The node of the call tree.
    pub node: u32,
    /// Its parent in the list of drawn frames; `u32::MAX` for the root.
    pub parent: u32,
    /// Levels above it.
    pub depth: u32,
    /// Bytes to the left of it.
    pub start: u64,
}

/// A flame graph as numbers.
#[derive(Clone, Debug, Default)]
pub struct Flame {
    /// The frames, each behind its parent and in front of its lighter siblings.
    pub frames: Vec<FlameFrame>,
    /// Total size of every node of the call tree.
    pub totals: Vec<u64>,
    /// Frames that are left out because they are too narrow.
    pub narrow: u64,
    /// Frames that are left out because they are too deep.
    pub deep: u64,
}

impl Flame {
    /// Levels that are drawn, the root included.
    pub fn levels(&self) -> u32 {
        self.frames.iter().map(|frame| frame.depth + 1).max().unwrap_or(0)
    }
}

/// Lays out a call tree. Sorting apart, linear in its nodes.
pub fn flame(profile: &Profile, bounds: Bounds) -> Flame {
    let nodes = &profile.nodes;
    let totals = nodes.totals(&nodes.self_size);
    let mut flame = Flame { totals, ..Flame::default() };
    let totals = &flame.totals;
    let Some(&all) = totals.first() else { return flame };
    let mut depth = vec![0u32; nodes.len()];
    let mut least = ((all as f64 * bounds.share).ceil() as u64).max(1);
    let mut candidates: Vec<u64> = Vec::new();
    for node in 1..nodes.len() {
        depth[node] = depth[nodes.parent[node] as usize].saturating_add(1);
        if totals[node] == 0 {
            continue;
        }
        if depth[node] > bounds.levels {
            flame.deep += 1;
        } else if totals[node] < least {
            flame.narrow += 1;
        } else {
            candidates.push(totals[node]);
        }
    }
    if candidates.len() > bounds.frames {
        // All that is as light as the first that does not fit goes: what is left does not depend on the order of nodes.
        let (_, &mut first_out, _) =
            candidates.select_nth_unstable_by_key(bounds.frames, |&size| Reverse(size));
        least = first_out.saturating_add(1);
        flame.narrow += candidates.iter().filter(|&&size| size < least).count() as u64;
    }
    let ends = nodes.ends();
    let mut open = vec![FlameFrame { node: 0, parent: u32::MAX, depth: 0, start: 0 }];
    let mut children: Vec<u32> = Vec::new();
    while let Some(frame) = open.pop() {
        let here = flame.frames.len() as u32;
        flame.frames.push(frame);
        if frame.depth >= bounds.levels {
            continue;
        }
        children.clear();
        let mut child = frame.node + 1;
        while child < ends[frame.node as usize] {
            if totals[child as usize] >= least {
                children.push(child);
            }
            child = ends[child as usize];
        }
        children.sort_by_key(|&child| (Reverse(totals[child as usize]), child));
        let mut start = frame.start;
        let first = open.len();
        for &node in &children {
            open.push(FlameFrame { node, parent: here, depth: frame.depth + 1, start });
            start = start.saturating_add(totals[node as usize]);
        }
        open[first..].reverse();
    }
    flame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Builder, Frame, NO_POSITION};

    fn frame(name: &str) -> Frame<'_> {
        Frame { name, url: "", line: NO_POSITION, column: NO_POSITION }
    }

    #[test]
    fn a_stack_of_a_hundred_thousand_frames_is_drawn_as_deep_as_asked() {
        let mut builder = Builder::new();
        let f = builder.function(frame("f"));
        let mut at = Builder::ROOT;
        for _ in 0..100_000 {
            at = builder.child(at, f);
        }
        builder.add(at, 1000, 1);
        let flame = flame(&builder.finish().0, Bounds { share: 0.001, levels: 512, frames: 1000 });
        assert_eq!((flame.frames.len(), flame.levels(), flame.deep, flame.narrow), (513, 513, 99_488, 0));
    }

    #[test]
    fn the_lightest_frames_are_left_out_and_counted() {
        let mut builder = Builder::new();
        for at in 0..1000u32 {
            let name = format!("f{at}");
            let function = builder.function(frame(&name));
            let node = builder.child(Builder::ROOT, function);
            builder.add(node, u64::from(at), 1);
        }
        let profile = builder.finish().0;
        let all = Bounds { share: 0.0, levels: 10, frames: 5000 };
        let drawn = flame(&profile, all);
        assert_eq!((drawn.frames.len(), drawn.narrow), (1000, 0), "what allocated nothing is not there");
        let few = flame(&profile, Bounds { frames: 100, ..all });
        assert_eq!((few.frames.len(), few.narrow), (101, 899));
        // Heaviest first, side by side.
        assert_eq!((few.frames[1].start, few.frames[2].start), (0, 999));
        let share = flame(&profile, Bounds { share: 0.001, ..all });
        assert_eq!(share.narrow, 499);
        assert_eq!(share.frames.len() as u64 + share.narrow, 1000);
    }
}
