//! Classes: what the Summary groups by.
//!
//! The class of a node has a name and, for objects of which V8 knows the constructor's place, a location; classes that
//! share a name and differ in the location stay apart. The public key is DevTools': `script,line,column,name`, or `,name`.
//!
//! One thing is done better than in DevTools: there, two classes of the same key that come from different strings (an
//! object called `Function` and the functions) overwrite each other in the Summary; here they are one class.
//!
//! Source: DevTools, `HeapSnapshot.ts`, `calculateObjectNames`, `classKeyInternal`. Time O(N + E), memory 4 bytes a node.

use heapsight_snapshot::{Column, Location, NodeKind};
use rustc_hash::FxHashMap;

use crate::{
    interfaces::{Interface, Shapes},
    names::Names,
    pool::Pool,
};

/// A class of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// The name that is shown.
    pub name: String,
    /// Where the constructor is, for objects.
    pub location: Option<Location>,
}

impl Class {
    /// The key by which classes of two snapshots are compared; the same as DevTools'.
    pub fn key(&self) -> String {
        match self.location {
            Some(Location { script_id, line, column }) => {
                format!("{script_id},{line},{column},{}", self.name)
            }
            None => format!(",{}", self.name),
        }
    }
}

/// The classes of all nodes.
#[derive(Debug, Default)]
pub struct Classes {
    /// Class of each node, an index into `table`.
    pub of: Column<u32>,
    /// The classes.
    pub table: Vec<Class>,
    /// The interfaces by which plain objects are classed.
    pub interfaces: Vec<Interface>,
}

impl Classes {
    /// The class of a node.
    pub fn class(&self, ord: u32) -> &Class {
        &self.table[self.of[ord as usize] as usize]
    }
}

/// Gives each node its class. Interfaces are inferred, or those of another snapshot are applied (for a comparison).
/// `None` if there is no memory for the column.
pub fn classes(names: Names<'_>, interfaces: Option<&[Interface]>, pool: &Pool) -> Option<Classes> {
    let snapshot = names.snapshot;
    let n = snapshot.node_count();
    let shapes = Shapes::find(names);
    let interfaces = interfaces.map_or_else(|| shapes.infer(names), <[_]>::to_vec);
    let matches = shapes.matches(names, &interfaces);
    let mut interner = Interner::default();
    let interface_names: Vec<u32> = interfaces.iter().map(|i| interner.name(i.name.as_bytes())).collect();
    let object = interner.name(b"Object");
    let shape_names: Vec<u32> =
        matches.iter().map(|m| m.map_or(object, |index| interface_names[index as usize])).collect();
    let kind_names: Vec<Option<u32>> = (0..snapshot.node_kinds.names().len())
        .map(|kind| {
            let kind = kind as u8;
            let name = match NodeKind(kind) {
                NodeKind::OBJECT | NodeKind::NATIVE => return None,
                NodeKind::HIDDEN => "(system)".to_owned(),
                NodeKind::CODE => "(compiled code)".to_owned(),
                NodeKind::CLOSURE => "Function".to_owned(),
                NodeKind::REGEXP => "RegExp".to_owned(),
                _ => format!("({})", snapshot.node_kinds.name(kind)),
            };
            Some(interner.name(name.as_bytes()))
        })
        .collect();
    // The class of a kind is made when its first node is met, so that the table has no empty classes.
    let mut kind_classes: Vec<u32> = vec![u32::MAX; kind_names.len()];
    let mut by_string: Vec<u32> = vec![u32::MAX; snapshot.strings.len()];
    let mut plain_objects = shapes.of_object.iter();
    let mut locations = 0;
    let location_nodes: &[u32] = &snapshot.locations.nodes;
    let mut of = pool.take()?;
    let kinds: &[u8] = &snapshot.nodes.kind;
    let column: &mut [u32] = &mut of[..n];
    for (ord, slot) in column.iter_mut().enumerate() {
        let kind = kinds[ord];
        let ord = ord as u32;
        if let Some(name) = kind_names.get(kind as usize).copied().flatten() {
            let class = &mut kind_classes[kind as usize];
            if *class == u32::MAX {
                *class = interner.class(name, None);
            }
            *slot = *class;
            continue;
        }
        if NodeKind(kind) == NodeKind::NATIVE {
            let string = snapshot.nodes.name[ord as usize];
            let name = if names.detached.is_prefixed(snapshot, ord) {
                interner.name(&class_name(&[b"Detached ", snapshot.strings.wtf8(string).as_ref()].concat()))
            } else {
                string_name(names, &mut interner, &mut by_string, string)
            };
            *slot = interner.class(name, None);
            continue;
        }
        let name = if names.is_plain_object(ord) {
            plain_objects.next().map_or(object, |&shape| shape_names[shape as usize])
        } else {
            string_name(names, &mut interner, &mut by_string, snapshot.nodes.name[ord as usize])
        };
        while location_nodes.get(locations).is_some_and(|&node| node < ord) {
            locations += 1;
        }
        let location =
            (location_nodes.get(locations) == Some(&ord)).then(|| snapshot.locations.at(locations));
        *slot = interner.class(name, location);
    }
    Some(Classes { of: of.freeze(n), table: interner.table(), interfaces })
}

/// The class name for a name of the file, looked up once a string.
fn string_name(names: Names<'_>, interner: &mut Interner, by_string: &mut [u32], string: u32) -> u32 {
    let Some(slot) = by_string.get_mut(string as usize) else { return interner.name(b"") };
    if *slot == u32::MAX {
        *slot = interner.name(&class_name(&names.snapshot.strings.wtf8(string)));
    }
    *slot
}

/// `<div id="a">` is of class `<div>`, and `Detached <div id="a">` of class `Detached <div>`.
fn class_name(name: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let from = match name {
        [b'<', ..] => 0,
        _ if name.starts_with(b"Detached <") => 10,
        _ => return name.into(),
    };
    match name[from..].iter().position(|&b| b == b' ') {
        Some(space) => [&name[..from + space], b">"].concat().into(),
        None => name.into(),
    }
}

#[derive(Default)]
struct Interner {
    /// By WTF-8 bytes, so that names with different lone surrogates stay apart.
    names: FxHashMap<Box<[u8]>, u32>,
    texts: Vec<String>,
    classes: FxHashMap<(u32, Option<Location>), u32>,
    list: Vec<(u32, Option<Location>)>,
    /// Class without location of each name, to save the hash for most nodes.
    plain: Vec<u32>,
    last: Option<((u32, Location), u32)>,
}

impl Interner {
    fn name(&mut self, name: &[u8]) -> u32 {
        if let Some(&index) = self.names.get(name) {
            return index;
        }
        let index = self.texts.len() as u32;
        self.names.insert(name.into(), index);
        self.texts.push(String::from_utf8_lossy(name).into_owned());
        self.plain.push(u32::MAX);
        index
    }

    fn class(&mut self, name: u32, location: Option<Location>) -> u32 {
        match location {
            None => {
                if self.plain[name as usize] == u32::MAX {
                    self.plain[name as usize] = self.list.len() as u32;
                    self.list.push((name, None));
                }
                self.plain[name as usize]
            }
            Some(location) => {
                if let Some((key, class)) = self.last
                    && key == (name, location)
                {
                    return class;
                }
                let next = self.list.len() as u32;
                let class = *self.classes.entry((name, Some(location))).or_insert(next);
                if class == next {
                    self.list.push((name, Some(location)));
                }
                self.last = Some(((name, location), class));
                class
            }
        }
    }

    fn table(&self) -> Vec<Class> {
        self.list
            .iter()
            .map(|&(name, location)| Class { name: self.texts[name as usize].clone(), location })
            .collect()
    }
}
