//! Types of nodes and edges, numbered the same whatever order a file's `meta` lists them in.

/// The type of a node. Types that this version does not know follow the known ones, in the header's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKind(pub u8);

/// V8's names of node types, in the order of the constants of [`NodeKind`].
pub(crate) const NODE_KINDS: [&str; 16] = [
    "hidden",
    "array",
    "string",
    "object",
    "code",
    "closure",
    "regexp",
    "number",
    "native",
    "synthetic",
    "concatenated string",
    "sliced string",
    "symbol",
    "bigint",
    "object shape",
    "wasm object",
];

impl NodeKind {
    /// V8's own bookkeeping.
    pub const HIDDEN: Self = Self(0);
    /// Backing store of an object, array, map or table.
    pub const ARRAY: Self = Self(1);
    /// A flat string.
    pub const STRING: Self = Self(2);
    /// A JavaScript object.
    pub const OBJECT: Self = Self(3);
    /// Bytecode, machine code, function info.
    pub const CODE: Self = Self(4);
    /// A function.
    pub const CLOSURE: Self = Self(5);
    /// A regular expression.
    pub const REGEXP: Self = Self(6);
    /// A number stored in the heap.
    pub const NUMBER: Self = Self(7);
    /// Memory of the embedder (C++).
    pub const NATIVE: Self = Self(8);
    /// A node made for the snapshot, a group of roots.
    pub const SYNTHETIC: Self = Self(9);
    /// A string made of two.
    pub const CONS_STRING: Self = Self(10);
    /// A part of another string.
    pub const SLICED_STRING: Self = Self(11);
    /// A symbol.
    pub const SYMBOL: Self = Self(12);
    /// A big integer.
    pub const BIGINT: Self = Self(13);
    /// A hidden class (V8's map) and its tables.
    pub const OBJECT_SHAPE: Self = Self(14);
    /// An object of WebAssembly.
    pub const WASM_OBJECT: Self = Self(15);

    /// Whether it is one of the three kinds of strings.
    pub const fn is_string(self) -> bool {
        matches!(self, Self::STRING | Self::CONS_STRING | Self::SLICED_STRING)
    }
}

/// The type of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKind(pub u8);

/// V8's names of edge types, in the order of the constants of [`EdgeKind`].
pub(crate) const EDGE_KINDS: [&str; 8] =
    ["context", "element", "property", "internal", "hidden", "shortcut", "weak", "invisible"];

impl EdgeKind {
    /// A variable of a function's context.
    pub const CONTEXT: Self = Self(0);
    /// An array element; its name is a number.
    pub const ELEMENT: Self = Self(1);
    /// A named property.
    pub const PROPERTY: Self = Self(2);
    /// A link that JavaScript cannot see.
    pub const INTERNAL: Self = Self(3);
    /// A link for which V8 has only a number.
    pub const HIDDEN: Self = Self(4);
    /// A shortcut past internal nodes; at the root it marks the global objects.
    pub const SHORTCUT: Self = Self(5);
    /// A link that does not keep its target alive.
    pub const WEAK: Self = Self(6);
    /// A link that DevTools never shows.
    pub const INVISIBLE: Self = Self(7);

    /// Whether `name_or_index` is a number of its own (else an index into the strings).
    #[inline]
    pub const fn has_numeric_name(self) -> bool {
        matches!(self, Self::ELEMENT | Self::HIDDEN)
    }
}

/// A file's numbering of types: raw number to our number, and the names of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindTable {
    /// Index: the file's number.
    from_raw: Vec<u8>,
    /// Index: our number.
    names: Vec<String>,
}

impl KindTable {
    pub(crate) fn new(known: &[&str], listed: &[String]) -> Option<Self> {
        let mut names: Vec<String> = known.iter().map(|&s| s.to_owned()).collect();
        let mut from_raw = Vec::with_capacity(listed.len());
        for name in listed {
            let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            from_raw.push(u8::try_from(at).ok()?);
        }
        Some(Self { from_raw, names })
    }

    /// Our number for the file's number.
    #[inline]
    pub(crate) fn raw(&self, raw: u64) -> Option<u8> {
        usize::try_from(raw).ok().and_then(|raw| self.from_raw.get(raw)).copied()
    }

    /// How many types the file lists.
    pub(crate) fn listed(&self) -> usize {
        self.from_raw.len()
    }

    /// V8's name of the type.
    pub fn name(&self, kind: u8) -> &str {
        self.names.get(kind as usize).map_or("?", String::as_str)
    }

    /// All names, by our number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The table for names as an index stores them.
    pub fn from_names(names: Vec<String>) -> Self {
        Self { from_raw: Vec::new(), names }
    }
}
