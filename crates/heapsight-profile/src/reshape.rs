//! A call tree turned around, or put together by what functions belong to. Linear in the frames of all stacks.

use crate::profile::{Builder, Frame, NO_POSITION, Profile};

/// Stacks from what allocated to who called it: the root's children are the functions that allocated themselves.
pub fn inverted(profile: &Profile) -> Profile {
    let mut builder = Builder::new();
    for node in 0..profile.nodes.len() as u32 {
        let (size, count) = own(profile, node);
        if size == 0 && count == 0 {
            continue;
        }
        let mut at = Builder::ROOT;
        for frame in profile.stack(node) {
            let function = builder.function(frame);
            at = builder.child(at, function);
        }
        builder.add(at, size, count);
    }
    finished(builder, profile)
}

/// Frames that follow each other and have one name by `name` become one frame with that name.
pub fn grouped(profile: &Profile, name: impl Fn(Frame<'_>) -> String) -> Profile {
    let names: Vec<String> =
        (0..profile.functions.len() as u32).map(|function| name(profile.frame(function))).collect();
    let mut builder = Builder::new();
    // For each node the node that it became, and its function there; a parent stands before its children.
    let mut became: Vec<(u32, u32)> = Vec::with_capacity(profile.nodes.len());
    for node in 0..profile.nodes.len() {
        let parent = became.get(profile.nodes.parent[node] as usize).copied();
        let place = match parent {
            None => (Builder::ROOT, u32::MAX),
            Some((above, of)) => {
                let text = names.get(profile.nodes.function[node] as usize).map_or("", String::as_str);
                let function =
                    builder.function(Frame { name: text, url: "", line: NO_POSITION, column: NO_POSITION });
                if function == of { (above, of) } else { (builder.child(above, function), function) }
            }
        };
        became.push(place);
        let (size, count) = own(profile, node as u32);
        builder.add(place.0, size, count);
    }
    finished(builder, profile)
}

fn own(profile: &Profile, node: u32) -> (u64, u64) {
    let of = |column: &[u64]| column.get(node as usize).copied().unwrap_or(0);
    (of(&profile.nodes.self_size), of(&profile.nodes.self_count))
}

fn finished(builder: Builder, like: &Profile) -> Profile {
    Profile { counts: like.counts, interval: like.interval, ..builder.finish().0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(profile: &Profile) -> Vec<(String, u64)> {
        let nodes = 0..profile.nodes.len() as u32;
        let own = nodes.filter(|&node| profile.nodes.self_size[node as usize] > 0);
        let mut list: Vec<(String, u64)> = own
            .map(|node| {
                let mut names: Vec<&str> = profile.stack(node).map(|frame| frame.name).collect();
                names.reverse();
                (names.join(" "), profile.nodes.self_size[node as usize])
            })
            .collect();
        list.sort();
        list
    }

    fn profile() -> Profile {
        let mut builder = Builder::new();
        for (stack, size) in [("a b c", 5), ("d c", 3), ("a", 1)] {
            let mut at = Builder::ROOT;
            for name in stack.split(' ') {
                let function =
                    builder.function(Frame { name, url: "", line: NO_POSITION, column: NO_POSITION });
                at = builder.child(at, function);
            }
            builder.add(at, size, 1);
        }
        builder.finish().0
    }

    #[test]
    fn what_allocated_comes_first_in_an_inverted_tree() {
        let expected = [("a", 1), ("c b a", 5), ("c d", 3)].map(|(stack, size)| (stack.to_owned(), size));
        assert_eq!(stacks(&inverted(&profile())), expected);
    }

    #[test]
    fn neighbours_with_one_name_become_one() {
        let name = |frame: Frame<'_>| if frame.name == "c" { "y" } else { "x" }.to_owned();
        let expected = [("x", 1), ("x y", 8)].map(|(stack, size)| (stack.to_owned(), size));
        assert_eq!(stacks(&grouped(&profile(), name)), expected);
    }
}
