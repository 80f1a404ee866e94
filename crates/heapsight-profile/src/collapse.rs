//! From a profile to a smaller one: functions folded into their callers, stacks left out, functions under other names.

use crate::profile::{Builder, Frame, Profile};

/// Takes the nodes for which `keep` holds; what the others allocated is given to the nearest node above that is kept.
/// Only nodes for which `counted` holds count at all.
fn rebuilt(profile: &Profile, keep: impl Fn(usize) -> bool, counted: impl Fn(usize) -> bool) -> Profile {
    let mut builder = Builder::new();
    let functions: Vec<u32> =
        (0..profile.functions.len() as u32).map(|f| builder.function(profile.frame(f))).collect();
    let nodes = &profile.nodes;
    let mut here: Vec<u32> = Vec::with_capacity(nodes.len());
    for node in 0..nodes.len() {
        let above = here.get(nodes.parent[node] as usize).copied();
        let at = match above {
            None => Builder::ROOT,
            Some(above) if keep(node) => builder.child(above, functions[nodes.function[node] as usize]),
            Some(above) => above,
        };
        if counted(node) {
            builder.add(at, nodes.self_size[node], nodes.self_count[node]);
        }
        here.push(at);
    }
    let (mut out, places) = builder.finish();
    (out.counts, out.interval, out.stray_samples) = (profile.counts, profile.interval, profile.stray_samples);
    out.has_collected = profile.has_collected;
    out.samples.clone_from(&profile.samples);
    out.samples.retain(|sample| counted(sample.node as usize));
    for sample in &mut out.samples {
        sample.node = places[here[sample.node as usize] as usize];
    }
    out
}

/// Folds functions into their callers: they vanish from the stacks, and what they allocated counts to whoever called
/// them. The sum of all sizes stays.
pub fn fold(profile: &Profile, folded: impl Fn(u32) -> bool) -> Profile {
    let folded: Vec<bool> = (0..profile.functions.len() as u32).map(folded).collect();
    let mut out = rebuilt(profile, |node| !folded[profile.nodes.function[node] as usize], |_| true);
    out.samples_taken = profile.samples_taken;
    out
}

/// Takes the stacks in which a function stands that is wanted, whole; with `without`, the stacks in which none does.
pub fn filter(profile: &Profile, wanted: impl Fn(u32) -> bool, without: bool) -> Profile {
    let wanted: Vec<bool> = (0..profile.functions.len() as u32).map(wanted).collect();
    let nodes = &profile.nodes;
    let mut passes = vec![false; nodes.len()];
    for node in 0..nodes.len() {
        let above = passes.get(nodes.parent[node] as usize).copied().unwrap_or(false);
        passes[node] = above || wanted[nodes.function[node] as usize];
    }
    for passes in &mut passes {
        *passes ^= without;
    }
    // A node is needed if something below it counts.
    let mut needed = passes.clone();
    for node in (1..needed.len()).rev() {
        if needed[node] {
            needed[nodes.parent[node] as usize] = true;
        }
    }
    rebuilt(profile, |node| needed[node], |node| passes[node])
}

/// Gives functions other names and places, as source maps do. Functions that become the same are one afterwards.
pub fn rename(profile: &Profile, place: impl Fn(Frame<'_>) -> Option<(String, String, i32, i32)>) -> Profile {
    let mut builder = Builder::new();
    let functions: Vec<u32> = (0..profile.functions.len() as u32)
        .map(|function| {
            let frame = profile.frame(function);
            match place(frame) {
                Some((name, url, line, column)) => {
                    builder.function(Frame { name: &name, url: &url, line, column })
                }
                None => builder.function(frame),
            }
        })
        .collect();
    let nodes = &profile.nodes;
    let mut seen = vec![false; builder.functions().len()];
    if functions.iter().all(|&to| !std::mem::replace(&mut seen[to as usize], true)) {
        // All stay apart, so the tree stays as it is.
        let (mut out, _) = builder.finish();
        let (strings, list) = (std::mem::take(&mut out.strings), std::mem::take(&mut out.functions));
        let mut out = Profile { strings, functions: list, ..profile.clone() };
        for (node, function) in out.nodes.function.iter_mut().enumerate() {
            *function = if node == 0 { Builder::ROOT_FUNCTION } else { functions[*function as usize] };
        }
        return out;
    }
    let mut here: Vec<u32> = Vec::with_capacity(nodes.len());
    for node in 0..nodes.len() {
        let above = here.get(nodes.parent[node] as usize).copied();
        let at = above
            .map_or(Builder::ROOT, |above| builder.child(above, functions[nodes.function[node] as usize]));
        builder.add(at, nodes.self_size[node], nodes.self_count[node]);
        here.push(at);
    }
    let (mut out, places) = builder.finish();
    (out.counts, out.interval, out.stray_samples) = (profile.counts, profile.interval, profile.stray_samples);
    (out.samples_taken, out.has_collected) = (profile.samples_taken, profile.has_collected);
    out.samples.clone_from(&profile.samples);
    for sample in &mut out.samples {
        sample.node = places[here[sample.node as usize] as usize];
    }
    out
}
