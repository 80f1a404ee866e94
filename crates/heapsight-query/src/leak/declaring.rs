//! Containers that belong to a library or to the runtime, by what the program calls them, and where it declares that.
//!
//! A memoizing function of a library has its results in the library's own Map of Maps; the program knows the function.
//! From the container the way goes up over fields until something of the program's has it: a variable, a field of its
//! class, what a module exports, a global. Where a variable of the library's is on the way, the program is too far off:
//! the library's class says more then.

use heapsight_analysis::{Heap, readable::NONE};
use heapsight_snapshot::{EdgeKind, NodeKind};

use super::{
    naming::{exported_name, is_dictionary},
    placing::{Placed, Placing, is_own, is_runtime},
};
use crate::{
    code::{Place, package_of},
    story::{Link, is_context, link, owner, short_class, weak_map_of},
};

/// Fields between what the program has and the container.
const DEPTH: usize = 8;

/// What is said of the place of a declaration.
pub(super) const DECLARES: &str = "declares ";

/// What the program calls a container of somebody else's.
pub(crate) struct Owned {
    /// Its name: `quote.cache…`.
    pub(crate) title: String,
    /// Where it is declared, if its script is at hand.
    pub(crate) placed: Option<Placed>,
}

impl Placing<'_> {
    /// What the program calls a container, if the nearest class on its way is not the program's.
    pub(crate) fn by_the_program(self, ord: u32, slot: Option<usize>) -> Option<Owned> {
        let heap = self.heap;
        let names = heap.names();
        let mut fields: Vec<String> = Vec::new();
        let mut foreign = false;
        let field = |edge: usize| heap.snapshot.edge_kind(edge) == EdgeKind::PROPERTY;
        let mut at = ord;
        if let Some(edge) = slot.filter(|&edge| field(edge) && !is_dictionary(heap, ord)) {
            fields.push(format!(".{}", names.edge(edge)));
        }
        for _ in 0..DEPTH {
            if is_context(heap, at) {
                return None;
            }
            if let Some(placed) = self.of_object(at) {
                if is_own(&placed) {
                    return None;
                }
                foreign = true;
            }
            let (parent, edge) = owner(heap, self.tree, at)?;
            let name = names.edge(edge).into_owned();
            if let Some(name) = exported_name(heap, self.tree, at) {
                // The table of a module does not say whose it is: a function of the program's that names it must.
                return foreign.then(|| Owned { title: told(&name, &fields), placed: None });
            }
            match link(heap, edge, self.tree.parent[at as usize]) {
                Link::Variable => {
                    let functions = self.functions_of(parent);
                    let own =
                        functions.iter().copied().find(|&f| self.of_object(f).is_some_and(|p| is_own(&p)));
                    let placed = self.declared_in_script_of(own?, &name);
                    return foreign.then(|| Owned { title: told(&name, &fields), placed });
                }
                Link::Property => {
                    if let Some(path) = exporting_file(heap, parent) {
                        let own = package_of(&path).is_none();
                        let placed = self.declared(&path, &name, true);
                        return (own && foreign).then(|| Owned { title: told(&name, &fields), placed });
                    }
                    if self.of_object(parent).is_some_and(|placed| is_own(&placed)) {
                        // A field of the program's own class: its class is found as the nearest that is no library's.
                        return None;
                    }
                    fields.push(if is_dictionary(heap, parent) {
                        "[…]".to_owned()
                    } else {
                        format!(".{name}")
                    });
                }
                Link::WeakMap => {
                    fields.push("[…]".to_owned());
                    at = weak_map_of(heap, edge)?;
                    continue;
                }
                Link::Entry => fields.push("[…]".to_owned()),
                Link::Root | Link::Internal => return None,
            }
            at = parent;
        }
        None
    }

    /// What a chain of promises is behind: the variable or field of the program that has its end, or else the nearest
    /// thing with a name on the way to its first.
    pub(crate) fn chain(self, first: u32) -> Option<String> {
        const CANDIDATES: usize = 16;
        const LONGEST: usize = 1 << 20;
        let (heap, tree) = (self.heap, self.tree);
        let snapshot = &heap.snapshot;
        let behind = |ord: u32| {
            let mut at = ord;
            for _ in 0..LONGEST {
                if at == first {
                    return true;
                }
                at = tree.parent[at as usize];
                if at == NONE {
                    return false;
                }
            }
            false
        };
        let class = heap.classes.of[first as usize];
        let promises =
            (0..snapshot.node_count() as u32).filter(|&ord| heap.classes.of[ord as usize] == class);
        let mut held: Vec<(u32, String)> = Vec::new();
        for ord in promises {
            let mut retainers = heap.retainers().of(snapshot, ord);
            let name = retainers.find_map(|retainer| {
                let name = || heap.names().edge(retainer.edge);
                match snapshot.edge_kind(retainer.edge) {
                    EdgeKind::CONTEXT => {
                        let mut functions = self.functions_of(retainer.from).into_iter();
                        functions
                            .any(|function| self.of_object(function).is_some_and(|placed| is_own(&placed)))
                            .then(|| name().into_owned())
                    }
                    EdgeKind::PROPERTY => {
                        let placed = self.of_object(retainer.from)?;
                        let class = short_class(&heap.classes.class(retainer.from).name);
                        is_own(&placed).then(|| format!("{class}.{}", name()))
                    }
                    _ => None,
                }
            });
            held.extend(name.map(|name| (ord, name)));
        }
        // The end is the youngest.
        held.sort_by_key(|&(ord, _)| std::cmp::Reverse(snapshot.nodes.id[ord as usize]));
        // The variable leads to it, too: what waits for it is on the chain.
        let on_chain = |ord: u32| heap.retainers().of(snapshot, ord).any(|retainer| behind(retainer.from));
        let end = held.into_iter().take(CANDIDATES).find(|&(ord, _)| on_chain(ord)).map(|(_, name)| name);
        end.or_else(|| {
            let mut at = first;
            for _ in 0..LONGEST {
                let (edge, parent) = (tree.edge[at as usize], tree.parent[at as usize]);
                if edge == NONE || parent == NONE {
                    return None;
                }
                let own = |function: &u32| self.of_object(*function).is_some_and(|placed| is_own(&placed));
                if snapshot.edge_kind(edge as usize) == EdgeKind::CONTEXT
                    && self.functions_of(parent).iter().any(own)
                {
                    return Some(heap.names().edge(edge as usize).into_owned());
                }
                if let Some(placed) = self.of_object(parent).filter(is_own)
                    && snapshot.edge_kind(edge as usize) == EdgeKind::PROPERTY
                    && snapshot.node_kind(parent) == NodeKind::OBJECT
                {
                    let class = placed.what.trim_start_matches("class ");
                    return Some(format!("{class}.{}", heap.names().edge(edge as usize)));
                }
                at = parent;
            }
            None
        })
    }

    /// Where what has a container is declared: the variable of the program, or the field of what a module exports.
    pub(crate) fn declared_by_owner(self, ord: u32, slot: Option<usize>) -> Option<Placed> {
        let heap = self.heap;
        let names = heap.names();
        if let Some(edge) = slot.filter(|&edge| heap.snapshot.edge_kind(edge) == EdgeKind::CONTEXT) {
            let function = self.functions_of(ord).into_iter().next()?;
            return self.declared_in_script_of(function, &names.edge(edge));
        }
        let mut at = ord;
        for _ in 0..DEPTH {
            let (parent, edge) = owner(heap, self.tree, at)?;
            let name = names.edge(edge);
            match link(heap, edge, self.tree.parent[at as usize]) {
                Link::Variable => {
                    let function = self.functions_of(parent).into_iter().next()?;
                    return self.declared_in_script_of(function, &name);
                }
                Link::Property => {
                    if let Some(path) = exporting_file(heap, parent).filter(|path| package_of(path).is_none())
                    {
                        return self.declared(&path, &name, true);
                    }
                }
                Link::Entry | Link::WeakMap => {}
                Link::Root | Link::Internal => return None,
            }
            at = parent;
        }
        None
    }

    /// Where a name is declared in the script that a function is of.
    fn declared_in_script_of(self, function: u32, name: &str) -> Option<Placed> {
        let placed = self.of_object(function).filter(|placed| !is_runtime(&placed.place))?;
        if placed.place.generated.is_some() {
            return None;
        }
        self.declared(&placed.place.url, name, false)
    }

    /// Where a name is declared in a file; `field` says that it may be a field of a literal.
    fn declared(self, path: &str, name: &str, field: bool) -> Option<Placed> {
        let text = self.sources.text(path)?;
        let (line, column) = declaration(&text, name, field)?;
        let place = Place::in_script(path, line, column);
        Some(Placed { place, what: format!("{DECLARES}{name}") })
    }
}

/// A name and at most one of the fields below it.
fn told(name: &str, fields: &[String]) -> String {
    let first = fields.last().map(String::as_str).unwrap_or_default();
    let more = if fields.len() > 1 { "…" } else { "" };
    format!("{name}{first}{more}")
}

/// The file of the CommonJS module whose exports an object is.
fn exporting_file(heap: &Heap, exports: u32) -> Option<String> {
    const MOST: usize = 64;
    let snapshot = &heap.snapshot;
    let named = |edge: usize, name: &str| {
        snapshot.edge_kind(edge) == EdgeKind::PROPERTY && snapshot.strings.is(snapshot.edges.name[edge], name)
    };
    let mut retainers = heap.retainers().of(snapshot, exports).take(MOST);
    let module =
        retainers.find(|r| named(r.edge, "exports") && heap.classes.class(r.from).name == "Module")?;
    let filename = snapshot.edges_of(module.from).find(|&edge| named(edge, "filename"))?;
    let text = snapshot.edges.to[filename];
    (snapshot.node_kind(text) == NodeKind::STRING).then(|| heap.names().node(text).into_owned())
}

/// Line and column, from 0, of the first declaration of a name: `const NAME`, `NAME = ` at the beginning of a statement,
/// `exports.NAME = `, and where it is a field also `NAME:`.
fn declaration(text: &str, name: &str, field: bool) -> Option<(u32, u32)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut as_field = None;
    for (at, _) in text.match_indices(name) {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        if after.chars().next().is_some_and(is_word) || before.chars().next_back().is_some_and(is_word) {
            continue;
        }
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let on_line = before[line_start..].trim_start();
        if on_line.starts_with("//") || on_line.starts_with('*') || on_line.starts_with("/*") {
            continue;
        }
        let position = || {
            let line = before.matches('\n').count() as u32;
            (line, before[line_start..].chars().count() as u32)
        };
        let word = before.trim_end().rsplit(|c: char| !is_word(c)).next().unwrap_or_default();
        let separate = before.ends_with(char::is_whitespace);
        if separate && matches!(word, "const" | "let" | "var" | "class" | "function" | "static") {
            return Some(position());
        }
        let rest = after.trim_start();
        let assigned = rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>");
        if assigned && (on_line.is_empty() || on_line == "exports." || on_line == "module.exports.") {
            return Some(position());
        }
        if field && as_field.is_none() && rest.starts_with(':') && !before.ends_with('.') {
            as_field = Some(position());
        }
    }
    as_field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_declared() {
        let text = "'use strict';\n// quote\nuse(quote);\nconst quote = memo();\nlet b;\nexports.list = [];\n\
                    module.exports = {\n  timings: [],\n};\nlookups = {};\nif (x) quotes = 1;\n";
        assert_eq!(declaration(text, "quote", false), Some((3, 6)));
        assert_eq!(declaration(text, "list", false), Some((5, 8)));
        assert_eq!(declaration(text, "timings", true), Some((7, 2)));
        assert_eq!(declaration(text, "timings", false), None);
        assert_eq!(declaration(text, "lookups", false), Some((9, 0)));
        assert_eq!(declaration(text, "quotes", false), None);
        assert_eq!(declaration("", "x", false), None);
    }
}
