//! Interfaces of plain objects: `{id, name}` in place of a hundred thousand times `Object`.
//!
//! Objects with the same property edges in the same order have one *shape*. Everything that DevTools computes for each
//! object follows from its shape, so it is computed once a shape: which interface it proposes, and which accepted
//! interface it matches best.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `inferInterfaceDefinitions` and `applyInterfaceDefinitions`. Time O(N + edges of
//! plain objects) and, for each shape, the interfaces that share its rarest properties.

use std::hash::Hasher;

use heapsight_snapshot::{EdgeKind, Snapshot};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::{
    known::Known,
    names::{Names, format_property_name, utf16_len},
};

/// A name stops growing here, but for its first property.
const MAX_NAME_LENGTH: usize = 120;

/// An interface needs this many objects, and one in [`MIN_PROPORTION`] of all.
const MIN_COUNT: u64 = 2;
const MIN_PROPORTION: f64 = 1000.0;

/// An interface that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `{a, b}`.
    pub name: String,
    /// The property names, unformatted.
    pub properties: Vec<Box<str>>,
    /// Objects that begin with these properties in this order.
    pub count: u64,
}

/// The shapes of all plain objects.
#[derive(Debug, Default)]
pub struct Shapes {
    /// Shape of each plain object, in the order of their ordinals.
    pub of_object: Vec<u32>,
    /// One object of each shape.
    example: Vec<u32>,
    /// Objects of each shape.
    count: Vec<u64>,
}

impl Shapes {
    /// Finds the shapes.
    pub fn find(names: Names<'_>) -> Self {
        let Names { snapshot, .. } = names;
        let mut shapes = Self::default();
        // Candidates by hash of the sequence of names; shapes of the same hash are chained.
        let mut by_hash: FxHashMap<u64, u32> = FxHashMap::default();
        let mut next_same: Vec<u32> = Vec::new();
        for ord in 0..snapshot.node_count() as u32 {
            if !names.is_plain_object(ord) {
                continue;
            }
            let mut hasher = FxHasher::default();
            for name in property_names(snapshot, ord) {
                hasher.write_u32(name);
            }
            let first = *by_hash.entry(hasher.finish()).or_insert(shapes.example.len() as u32);
            let mut shape = first;
            loop {
                let Some(&example) = shapes.example.get(shape as usize) else {
                    shapes.example.push(ord);
                    shapes.count.push(0);
                    next_same.push(u32::MAX);
                    break;
                };
                if property_names(snapshot, ord).eq(property_names(snapshot, example)) {
                    break;
                }
                let next = next_same[shape as usize];
                if next == u32::MAX {
                    let new = shapes.example.len() as u32;
                    next_same[shape as usize] = new;
                    shape = new;
                } else {
                    shape = next;
                }
            }
            shapes.count[shape as usize] += 1;
            shapes.of_object.push(shape);
        }
        shapes
    }

    /// The interfaces that enough objects share, best first.
    pub fn infer(&self, names: Names<'_>) -> Vec<Interface> {
        let mut candidates: Vec<Interface> = Vec::new();
        let mut by_name: FxHashMap<String, usize> = FxHashMap::default();
        for (shape, &example) in self.example.iter().enumerate() {
            let (name, properties) = candidate(names, example);
            if properties.is_empty() {
                continue;
            }
            let next = candidates.len();
            let at = *by_name.entry(name.clone()).or_insert(next);
            if at == next {
                candidates.push(Interface { name, properties, count: 0 });
            }
            candidates[at].count += self.count[shape];
        }
        // Shapes are numbered by first appearance, so this order is the one in which the names were first seen.
        candidates.sort_by_key(|c| std::cmp::Reverse(c.count));
        let total = self.of_object.len() as f64;
        let enough = |c: &Interface| c.count >= MIN_COUNT && c.count as f64 >= total / MIN_PROPORTION;
        let accepted = candidates.iter().take_while(|c| enough(c)).count();
        candidates.truncate(accepted);
        candidates
    }

    /// The best matching interface of each shape: the one with the most properties, of several the first.
    pub fn matches(&self, names: Names<'_>, interfaces: &[Interface]) -> Vec<Option<u32>> {
        let matcher = Matcher::new(interfaces);
        self.example.iter().map(|&example| matcher.best(names, example)).collect()
    }
}

/// The property edges of an object, as string indices, in the order of the file.
fn property_names(snapshot: &Snapshot, ord: u32) -> impl Iterator<Item = u32> + '_ {
    let range = snapshot.edges_of(ord);
    let kinds = &snapshot.edges.kind[range.clone()];
    let names = &snapshot.edges.name[range];
    kinds.iter().zip(names).filter(|&(&kind, _)| EdgeKind(kind) == EdgeKind::PROPERTY).map(|(_, &name)| name)
}

/// The interface that an object proposes.
fn candidate(names: Names<'_>, ord: u32) -> (String, Vec<Box<str>>) {
    let Names { snapshot, known: Known { literals, .. }, .. } = names;
    let mut name = String::from("{");
    let mut length = 1;
    let mut properties = Vec::new();
    for string in property_names(snapshot, ord) {
        if literals.proto.is(string) {
            continue;
        }
        let property = snapshot.strings.get(string);
        let formatted = format_property_name(&property);
        let more = utf16_len(&formatted);
        if length > 1 && length + more > MAX_NAME_LENGTH {
            break;
        }
        if length != 1 {
            name.push_str(", ");
            length += 2;
        }
        name.push_str(&formatted);
        length += more;
        properties.push(property.into());
    }
    name.push('}');
    (name, properties)
}

/// Finds interfaces by the property that the fewest of them have.
struct Matcher<'a> {
    interfaces: &'a [Interface],
    /// For each interface its properties and how often it lists them.
    needed: Vec<FxHashMap<&'a str, u32>>,
    /// Interfaces to try for an object that has the property.
    by_rarest: FxHashMap<&'a str, Vec<u32>>,
}

impl<'a> Matcher<'a> {
    fn new(interfaces: &'a [Interface]) -> Self {
        let mut users: FxHashMap<&str, u32> = FxHashMap::default();
        for interface in interfaces {
            for property in interface.properties.iter().map(AsRef::as_ref).collect::<FxHashSet<&str>>() {
                *users.entry(property).or_default() += 1;
            }
        }
        let count = |interface: &'a Interface| {
            let mut needed: FxHashMap<&str, u32> = FxHashMap::default();
            for property in &interface.properties {
                *needed.entry(property).or_default() += 1;
            }
            needed
        };
        let needed = interfaces.iter().map(count).collect();
        let mut by_rarest: FxHashMap<&str, Vec<u32>> = FxHashMap::default();
        for (index, interface) in interfaces.iter().enumerate() {
            if let Some(rarest) = interface.properties.iter().min_by_key(|p| users[&***p]) {
                by_rarest.entry(rarest).or_default().push(index as u32);
            }
        }
        Self { interfaces, needed, by_rarest }
    }

    fn best(&self, names: Names<'_>, ord: u32) -> Option<u32> {
        let mut own: FxHashMap<Box<str>, u32> = FxHashMap::default();
        for string in property_names(names.snapshot, ord) {
            *own.entry(names.snapshot.strings.get(string).into()).or_default() += 1;
        }
        let mut best: Option<u32> = None;
        for property in own.keys() {
            for &index in self.by_rarest.get(&**property).into_iter().flatten() {
                let properties = &self.interfaces[index as usize].properties;
                let better = best.is_none_or(|b| {
                    let current = self.interfaces[b as usize].properties.len();
                    properties.len() > current || (properties.len() == current && index < b)
                });
                let contains = |(property, &needed): (&&str, &u32)| {
                    own.get(*property).is_some_and(|&count| count >= needed)
                };
                if better && self.needed[index as usize].iter().all(contains) {
                    best = Some(index);
                }
            }
        }
        best
    }
}
