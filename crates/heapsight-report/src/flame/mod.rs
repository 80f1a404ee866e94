//! Flame graphs of sampling profiles: what each frame is called, its colour, and what grew.
//!
//! Two pictures are made of one list of frames: an interactive SVG (`svg.rs`) and a page of its own (`html.rs`). Both are
//! one file that loads nothing.

mod html;
mod svg;

use heapsight_profile::{Bounds, Comparison, Counts, Flame, Profile, error_of, flame, standard_error};
use heapsight_query::packages::PROGRAM;

pub use self::{html::html, svg::svg};
use crate::{
    profile::{function_name, package, place},
    units::{bytes, error, estimate, number_of, percent, signed_bytes},
};

/// Hues that packages are told apart by.
const HUES: u64 = 12;

/// Shades of a difference.
const SHADES: f64 = 5.0;

/// A picture of a profile, or of what changed since an earlier one.
#[derive(Debug)]
pub struct Picture<'p> {
    profile: &'p Profile,
    flame: Flame,
    counts: Vec<u64>,
    before: Option<Before>,
    title: String,
    levels: u32,
}

/// Totals of the earlier profile.
#[derive(Debug)]
struct Before {
    sizes: Vec<u64>,
    counts: Option<Vec<u64>>,
    own: Vec<u64>,
    own_counts: Option<Vec<u64>>,
    /// The largest difference of a frame that is drawn.
    largest: u64,
    /// Bytes of stacks that are no more.
    gone: u64,
}

impl<'p> Picture<'p> {
    /// Lays a profile out.
    pub fn new(profile: &'p Profile, title: &str, bounds: Bounds) -> Self {
        let flame = flame(profile, bounds);
        let counts = profile.nodes.totals(&profile.nodes.self_count);
        Self { profile, flame, counts, before: None, title: title.to_owned(), levels: bounds.levels }
    }

    /// Lays out the later profile of two, coloured by what grew.
    pub fn difference(comparison: &'p Comparison, title: &str, bounds: Bounds) -> Self {
        let mut picture = Self::new(&comparison.tree, title, bounds);
        let nodes = &comparison.tree.nodes;
        let sizes = nodes.totals(&comparison.before);
        let change = |node: usize| sizes[node].abs_diff(picture.flame.totals[node]);
        let drawn = picture.flame.frames.iter().skip(1).map(|frame| frame.node as usize);
        let largest = drawn.map(change).max().unwrap_or(0);
        let gone = (0..nodes.len())
            .filter(|&node| picture.flame.totals[node] == 0)
            .fold(0u64, |sum, node| sum.saturating_add(comparison.before[node]));
        let counts = comparison.before_count.as_ref().map(|counts| nodes.totals(counts));
        picture.before = Some(Before {
            sizes,
            counts,
            own: comparison.before.clone(),
            own_counts: comparison.before_count.clone(),
            largest,
            gone,
        });
        picture
    }

    /// Whether it is a picture of a difference.
    pub fn is_difference(&self) -> bool {
        self.before.is_some()
    }

    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Frames that are drawn, those that are too narrow, and those that are too deep.
    pub fn frames(&self) -> (u64, u64, u64) {
        (self.flame.frames.len() as u64, self.flame.narrow, self.flame.deep)
    }

    /// All bytes.
    pub fn total(&self) -> u64 {
        self.flame.totals.first().copied().unwrap_or(0)
    }

    /// How much, how well it is known, and what changed, in a line.
    pub fn summary(&self) -> String {
        let (size, count) = (self.total(), self.counts.first().copied().unwrap_or(0));
        let known = error_of(self.profile, size, count);
        let mut out = estimate(size, known);
        if self.profile.counts == Counts::Samples {
            out += &format!(" {}, estimated from {}", error(known), number_of(count, "sample", "samples"));
        } else {
            out += ", estimated";
        }
        if let Some(before) = &self.before {
            let then = before.sizes.first().copied().unwrap_or(0);
            out += &format!("; {} since the earlier profile", signed_bytes(delta(then, size)));
            if before.gone > 0 {
                out += &format!("; {} of it were on stacks that are no more", bytes(before.gone));
            }
            out += ". Red grew, blue shrank, grey is no more than chance";
        }
        out
    }

    /// What is left out, in a line; `None` if nothing is.
    pub fn left_out(&self) -> Option<String> {
        let (_, narrow, deep) = self.frames();
        let mut parts = Vec::new();
        if narrow > 0 {
            parts.push(format!("{} too narrow to be seen", number_of(narrow, "frame", "frames")));
        }
        if deep > 0 {
            let frames = number_of(deep, "frame", "frames");
            parts.push(format!("{frames} deeper than {}", number_of(self.levels.into(), "level", "levels")));
        }
        (!parts.is_empty()).then(|| format!("left out: {}", parts.join(", ")))
    }

    /// Name and place of the function of a node.
    fn label(&self, node: u32) -> (String, String) {
        if node == 0 {
            return ("all".to_owned(), String::new());
        }
        let frame = self.profile.frame(self.profile.nodes.function[node as usize]);
        (function_name(frame.name).to_owned(), place(&frame))
    }

    /// What is said about a frame: name, place, sizes.
    fn told(&self, node: u32) -> String {
        let at = node as usize;
        let (name, place) = self.label(node);
        let frame = self.profile.frame(self.profile.nodes.function[at]);
        let (size, own) = (self.flame.totals[at], self.profile.nodes.self_size[at]);
        let known = error_of(self.profile, size, self.counts[at]);
        let mut out = name;
        if !place.is_empty() {
            out += &format!("  {place}");
        }
        out += &format!("\n{} ({}) in all", estimate(size, known), percent(size, self.total()));
        if own > 0 && node > 0 {
            let known = error_of(self.profile, own, self.profile.nodes.self_count[at]);
            out += &format!(", {} by itself", estimate(own, known));
        }
        if let Some(known) = known {
            out += &format!(", {}", error(Some(known)));
        }
        if let Some(before) = &self.before {
            out += &format!("\n{} since before", signed_bytes(delta(before.sizes[at], size)));
            if !self.is_certain(at) {
                out += ", which chance explains";
            }
        }
        if node > 0 {
            out += &format!("\n{}", package(frame.url));
        }
        out
    }

    /// Whether a difference is beyond two standard errors; where that cannot be told it counts as if it were.
    fn is_certain(&self, node: usize) -> bool {
        let Some(before) = &self.before else { return true };
        let Some(counts) = &before.counts else { return true };
        let part = |size: u64, count: u64| standard_error(count).map_or(0.0, |error| error * size as f64);
        let now = part(self.flame.totals[node], self.counts[node]);
        let then = part(before.sizes[node], counts[node]);
        delta(before.sizes[node], self.flame.totals[node]).unsigned_abs() as f64 > 2.0 * now.hypot(then)
    }

    /// The class of the colour of a frame: what grew (`g1` to `g5`), shrank (`s1` to `s5`), or neither (`n`); else whose it
    /// is.
    fn colour(&self, node: u32) -> String {
        let at = node as usize;
        let Some(before) = &self.before else {
            if node == 0 {
                return "pn".to_owned();
            }
            return colour_of(&package(self.profile.frame(self.profile.nodes.function[at]).url));
        };
        let change = delta(before.sizes[at], self.flame.totals[at]);
        if change == 0 || !self.is_certain(at) {
            return "n".to_owned();
        }
        let shade = (change.unsigned_abs() as f64 / before.largest.max(1) as f64).sqrt() * SHADES;
        format!("{}{}", if change > 0 { 'g' } else { 's' }, shade.ceil().clamp(1.0, SHADES))
    }
}

/// The class of the colour of a package: the program's own code, the runtime's, nobody's, or one of the hues.
fn colour_of(package: &str) -> String {
    if package == PROGRAM {
        return "pp".to_owned();
    }
    if package == crate::query::NOBODY {
        return "pn".to_owned();
    }
    if ["node:", "ext:", "bun:"].iter().any(|runtime| package.starts_with(runtime)) {
        return "pr".to_owned();
    }
    // FNV-1a: the same package has the same colour in every picture.
    let hash = package.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("p{}", (hash >> 32) % HUES)
}

fn delta(before: u64, after: u64) -> i64 {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}

/// Text for XML and HTML, also within attributes. What XML cannot hold is shown as a replacement character.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapsight_profile::{Builder, Frame, NO_POSITION, compare};

    const BOUNDS: Bounds = Bounds { share: 0.0, levels: 512, frames: 1000 };

    /// A profile of stacks `a;b` with bytes and samples.
    fn profile(stacks: &[(&str, u64, u64)]) -> Profile {
        let mut builder = Builder::new();
        for (stack, size, count) in stacks {
            let mut at = Builder::ROOT;
            for name in stack.split(';') {
                let url = "/srv/app.js";
                let function = builder.function(Frame { name, url, line: NO_POSITION, column: NO_POSITION });
                at = builder.child(at, function);
            }
            builder.add(at, *size, *count);
        }
        let mut profile = builder.finish().0;
        profile.counts = Counts::Samples;
        profile
    }

    #[test]
    fn names_cannot_break_out_of_either_picture() {
        let evil = "</title></script><script>alert(1)</script>&\"']]>\u{1}";
        let profile = profile(&[(evil, 100, 10)]);
        let picture = Picture::new(&profile, evil, BOUNDS);
        let svg = svg(&picture);
        // The one script is the picture's own.
        assert_eq!(svg.matches("<script").count(), 1);
        assert_eq!(svg.matches("]]>").count(), 2, "one of the style, one of the script");
        assert!(!svg.contains('\u{1}') && svg.contains("&lt;script&gt;alert(1)"));
        let html = html(&picture);
        assert_eq!(html.matches("<script").count(), 2, "data and code");
        assert!(!html.contains("alert(1)</script>"));
    }

    #[test]
    fn colours_of_a_difference_tell_chance_from_growth() {
        let before = profile(&[("steady", 1000, 1000), ("grew", 1000, 1000), ("shrank", 4000, 4000)]);
        let after = profile(&[("steady", 1010, 1010), ("grew", 9000, 9000), ("shrank", 1000, 1000)]);
        let both = compare(&before, &after);
        let picture = Picture::difference(&both, "x", BOUNDS);
        let colours: Vec<(String, String)> = (0..both.tree.nodes.len() as u32)
            .map(|node| (picture.label(node).0, picture.colour(node)))
            .collect();
        let of = |name: &str| colours.iter().find(|(n, _)| n == name).unwrap().1.as_str();
        assert_eq!([of("steady"), of("grew"), of("shrank")], ["n", "g5", "s4"]);
        assert!(picture.summary().contains("+4.9 KiB since the earlier profile"), "{}", picture.summary());
    }

    #[test]
    fn what_is_no_more_is_told() {
        let both = compare(&profile(&[("a;old", 2048, 2), ("b", 1, 1)]), &profile(&[("b", 1, 1)]));
        let summary = Picture::difference(&both, "x", BOUNDS).summary();
        assert!(summary.contains("2.0 KiB of it were on stacks that are no more"), "{summary}");
    }
}
