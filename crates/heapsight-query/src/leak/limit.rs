//! Caches with a declared limit: what grows steadily because it is far from full yet.
//!
//! A cache of 5,000 entries that gains 300 a round looks like a leak for 16 rounds. Snapshots have no small numbers, so
//! the limit is looked for where the program declares it: `new Cache({ max: 5000 })`, a number that its constructor calls a
//! limit, or a comparison of the container's size with a number. The reading is rough: where nothing is found nothing is
//! known. A limit that the container has passed is none.

use heapsight_analysis::Heap;
use heapsight_snapshot::{EdgeKind, NodeKind};
use rustc_hash::FxHashSet;

use super::placing::{Placing, is_runtime};
use crate::story::owner;

/// Owners above a container that may declare its limit.
const DEPTH: usize = 3;

/// Scripts that are read.
const SCRIPTS: usize = 512;

/// What classes of libraries are called that drop entries by themselves.
const CACHES: &[&str] = &["cache", "lru", "lfu", "memo"];

/// A declared limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Entries.
    pub(super) most: u64,
    /// How it is called: `maxEntries`.
    pub(super) name: String,
}

/// The limit that the program declares for a container, if it is found.
pub(super) fn declared(placing: Placing<'_>, ord: u32) -> Option<Limit> {
    let Placing { heap, tree, .. } = placing;
    let own = own_scripts(placing);
    let mut at = ord;
    for _ in 0..DEPTH {
        let (parent, edge) = owner(heap, tree, at)?;
        let kind = heap.snapshot.edge_kind(edge);
        let mut drops = false;
        if at == ord && matches!(kind, EdgeKind::PROPERTY | EdgeKind::CONTEXT) {
            let name = heap.names().edge(edge).into_owned();
            for text in scripts_near(placing, parent, &own) {
                drops |= takes_out(&text, &name);
                if let Some(limit) = compared(&text, &name).filter(|_| drops) {
                    return Some(limit);
                }
            }
        }
        if let Some(class) = class_of(heap, parent) {
            let place = placing.code.place(heap, parent)?;
            let place = place.generated.as_deref().cloned().unwrap_or(place);
            // Other things have limits, too: a class of the program must take entries out of this very container.
            let called = |name: &str| CACHES.iter().any(|word| name.to_ascii_lowercase().contains(word));
            let is_cache = match &place.package {
                None => drops,
                Some(package) => called(&class) || called(package),
            };
            if !is_cache {
                return None;
            }
            // Classes of libraries may be minified, and are imported under other names.
            if let Some(owned) = place.package.as_ref().and_then(|_| placing.by_the_program(ord, None)) {
                let name: String = owned.title.chars().take_while(|&c| is_word(c)).collect();
                let found = own.iter().find_map(|url| made_for(&placing.sources.text(url)?, &name));
                if found.is_some() {
                    return found;
                }
            }
            let text = placing.sources.text(&place.url);
            let parameters = text.and_then(|text| constructor_parameters(&text, &class)).unwrap_or_default();
            return own.iter().find_map(|url| made(&placing.sources.text(url)?, &class, &parameters));
        }
        at = parent;
    }
    None
}

/// The class of an object that is made by `new`.
fn class_of(heap: &Heap, ord: u32) -> Option<String> {
    let class = &heap.classes.class(ord).name;
    let named = heap.snapshot.node_kind(ord) == NodeKind::OBJECT
        && !class.is_empty()
        && class.chars().all(is_word)
        && !matches!(class.as_str(), "Object" | "Array" | "Map" | "Set" | "Module");
    named.then(|| class.clone())
}

/// The scripts of the program.
fn own_scripts(placing: Placing<'_>) -> Vec<String> {
    let locations = &placing.heap.snapshot.locations;
    let mut seen = FxHashSet::default();
    let mut urls = Vec::new();
    for (at, &ord) in locations.nodes.iter().enumerate() {
        if urls.len() >= SCRIPTS {
            break;
        }
        if placing.heap.snapshot.node_kind(ord) != NodeKind::CLOSURE || !seen.insert(locations.script_ids[at])
        {
            continue;
        }
        let Some(place) = placing.code.place(placing.heap, ord) else { continue };
        let place = place.generated.as_deref().cloned().unwrap_or(place);
        if place.package.is_none() && !is_runtime(&place) {
            urls.push(place.url);
        }
    }
    urls
}

/// The text of the class that an object is of, or of the functions that share a context.
fn scripts_near(placing: Placing<'_>, parent: u32, own: &[String]) -> Vec<std::rc::Rc<str>> {
    let of = |ord: u32| {
        let place = placing.code.place(placing.heap, ord)?;
        Some(place.generated.as_deref().cloned().unwrap_or(place).url)
    };
    let near = of(parent).or_else(|| placing.functions_of(parent).into_iter().find_map(of));
    near.filter(|url| own.contains(url)).and_then(|url| placing.sources.text(&url)).into_iter().collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether a name is that of a limit.
fn is_limit(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["max", "limit", "capacity", "bound"].iter().any(|word| name.contains(word))
        && !["age", "ttl", "time", "ms", "wait", "delay", "retries", "length"]
            .iter()
            .any(|word| name.contains(word))
        || matches!(name.as_str(), "size" | "cachesize")
}

/// The number at the beginning of a text: `5000`, `5_000`, `1e4`, `10 * 1000`; or of a constant of that name.
fn number(text: &str, script: &str) -> Option<u64> {
    let text = text.trim_start();
    let word: String = text.chars().take_while(|&c| is_word(c)).collect();
    let after = text[word.len()..].trim_start();
    let value = if word.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = word.replace('_', "");
        match digits.split_once(['e', 'E']) {
            Some((base, power)) => {
                base.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(power.parse().ok()?)?)?
            }
            None => digits.parse().ok()?,
        }
    } else {
        constant(script, &word)?
    };
    match after.strip_prefix('*').filter(|rest| !rest.starts_with('*')) {
        Some(rest) => value.checked_mul(number(rest, "")?),
        None if after.starts_with(['.', '(', '[', '+', '-', '/']) => None,
        None => Some(value),
    }
}

/// The value of `const NAME = 5000` in a script.
fn constant(script: &str, name: &str) -> Option<u64> {
    if name.is_empty() {
        return None;
    }
    words(script, name).find_map(|(before, after)| {
        let value = after.trim_start().strip_prefix('=')?;
        let declared = ["const", "let", "var", "static"].iter().any(|word| before.trim_end().ends_with(word));
        (declared && value.trim_start().starts_with(|c: char| c.is_ascii_digit()))
            .then(|| number(value, ""))?
    })
}

/// What stands before and after each place of a word.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
    text.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let whole =
            !before.chars().next_back().is_some_and(is_word) && !after.chars().next().is_some_and(is_word);
        whole.then_some((before, after))
    })
}

/// The text in brackets at the beginning of a text.
fn in_brackets(text: &str) -> Option<&str> {
    const LONGEST: usize = 4096;
    let inner = text.trim_start().strip_prefix('(')?;
    let mut depth = 1;
    for (at, c) in inner.char_indices().take(LONGEST) {
        depth += i32::from(matches!(c, '(' | '{' | '[')) - i32::from(matches!(c, ')' | '}' | ']'));
        if depth == 0 {
            return Some(&inner[..at]);
        }
    }
    None
}

/// Pieces between commas that are in no brackets.
fn pieces(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut list) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        depth += i32::from(matches!(c, '(' | '{' | '[')) - i32::from(matches!(c, ')' | '}' | ']'));
        if c == ',' && depth == 0 {
            list.push(text[from..at].trim());
            from = at + 1;
        }
    }
    list.push(text[from..].trim());
    list
}

/// The names of the parameters of a class's constructor, or of a function that is called by `new`.
fn constructor_parameters(text: &str, class: &str) -> Option<Vec<String>> {
    let (before, after) = words(text, class)
        .find(|(before, _)| ["class", "function"].iter().any(|word| before.trim_end().ends_with(word)))?;
    let parameters = if before.trim_end().ends_with("function") {
        in_brackets(after)?
    } else {
        in_brackets(words(after, "constructor").next()?.1)?
    };
    let name = |piece: &str| piece.chars().take_while(|&c| is_word(c)).collect();
    Some(pieces(parameters).into_iter().map(name).collect())
}

/// The limit that is given where the object of a variable or field is made: `cache = new Lru({ max: 5000 })`.
fn made_for(text: &str, name: &str) -> Option<Limit> {
    if name.is_empty() {
        return None;
    }
    words(text, name).find_map(|(_, after)| {
        let class = after.trim_start().strip_prefix([':', '='])?.trim_start().strip_prefix("new ")?;
        let end = class.find('(')?;
        let class = class.get(..end).filter(|class| !class.is_empty() && class.chars().all(is_word))?;
        made(after.get(..after.find('(')? + 4096).unwrap_or(after), class, &[])
    })
}

/// The limit that is given where an object of a class is made.
fn made(text: &str, class: &str, parameters: &[String]) -> Option<Limit> {
    words(text, class).find_map(|(before, after)| {
        if !before.trim_end().ends_with("new") {
            return None;
        }
        let given = in_brackets(after)?;
        let positional = pieces(given).into_iter().zip(parameters).find_map(|(piece, name)| {
            let most = is_limit(name).then(|| number(piece, text))??;
            Some(Limit { most, name: name.clone() })
        });
        positional.or_else(|| {
            let options = given.trim_start().strip_prefix('{')?;
            pieces(options.trim_end().strip_suffix('}')?).into_iter().find_map(|piece| {
                let (name, value) = piece.split_once(':')?;
                let most = is_limit(name.trim()).then(|| number(value, text))??;
                Some(Limit { most, name: name.trim().to_owned() })
            })
        })
    })
}

/// Whether a script takes entries out of a container.
fn takes_out(text: &str, name: &str) -> bool {
    let takes = ["delete(", "shift(", "pop(", "splice("];
    words(text, name.trim_start_matches('#')).any(|(_, after)| {
        after.strip_prefix('.').is_some_and(|rest| takes.iter().any(|call| rest.starts_with(call)))
    })
}

/// The number that the size of a container is compared with.
fn compared(text: &str, name: &str) -> Option<Limit> {
    words(text, name.trim_start_matches('#')).find_map(|(_, after)| {
        let rest = after.strip_prefix(".size").or_else(|| after.strip_prefix(".length"))?.trim_start();
        let value = rest.trim_start_matches(['>', '=']);
        let most = rest.starts_with(['>', '=']).then(|| number(value, text))??;
        let called: String = value.trim_start().chars().take_while(|&c| is_word(c)).collect();
        let name = if called.starts_with(|c: char| c.is_ascii_digit()) { String::new() } else { called };
        (most > 1).then_some(Limit { most, name })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(limit: Option<Limit>) -> String {
        limit.map_or_else(|| "none".to_owned(), |limit| format!("{} {}", limit.name, limit.most))
    }

    #[test]
    fn numbers_are_read_as_scripts_write_them() {
        let script = "const MAX = 2_000;\nlet ttl = 5;";
        assert_eq!(number(" 5000)", ""), Some(5000));
        assert_eq!(number("5_000,", ""), Some(5000));
        assert_eq!(number("1e4", ""), Some(10_000));
        assert_eq!(number("10 * 1000", ""), Some(10_000));
        assert_eq!(number("MAX", script), Some(2000));
        for none in ["", "x", "MIN", "5.5", "max()", "1e99"] {
            assert_eq!(number(none, script), None, "{none}");
        }
    }

    #[test]
    fn limits_are_found_where_objects_are_made() {
        let class = "export class Lru {\n  #map = new Map();\n  constructor(name, max = 10) {\n  }\n}\n";
        let parameters = constructor_parameters(class, "Lru").unwrap_or_default();
        assert_eq!(parameters, ["name", "max"]);
        assert_eq!(told(made("const a = new Lru('x', 200);", "Lru", &parameters)), "max 200");
        let options = "const c = new LRUCache({ ttl: 60 * 1000, max: 5000 });";
        assert_eq!(told(made(options, "LRUCache", &[])), "max 5000");
        assert_eq!(told(made_for("const c = new L({ max: 5000 });", "c")), "max 5000");
        assert_eq!(made_for("const c = make({ max: 5000 });", "c"), None);
        assert_eq!(made("new LRUCache({ maxAge: 5000 })", "LRUCache", &[]), None);
        assert_eq!(made("LRUCache({ max: 5 })", "LRUCache", &[]), None);
    }

    #[test]
    fn limits_are_found_where_sizes_are_compared() {
        let text =
            "const MAX = 500;\nif (cache.size > MAX) cache.delete(first);\nif (log.length > 9) send(log);";
        assert_eq!(told(compared(text, "cache")), "MAX 500");
        assert!(takes_out(text, "cache") && !takes_out(text, "log"));
        let rows = "if (this.#rows.length >= 100) this.#rows.shift();";
        assert_eq!(told(compared(rows, "#rows")), " 100");
        assert_eq!(compared("if (q.length > 0) q.shift();", "q"), None);
    }
}
