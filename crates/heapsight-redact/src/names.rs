//! What becomes of a name: it stays, or a part of it, or all of it, becomes a marker.
//!
//! Names are what a program and its runtime call their things, and a report is of no use without them. They may still have
//! data in them, so each is looked at once:
//!
//! 1. a key of a dictionary ([`crate::uses`]), and a name of a property that looks like data, is replaced whole;
//! 2. of an element of a page (`<input value=...>`) only the tag stays;
//! 3. of a URL what follows `?` or `#`, and of a `data:` URL all data, is replaced;
//! 4. what looks like a secret in any other name is replaced, the rest stays;
//! 5. V8 puts the names of key and value into the name of the edge of a WeakMap entry. They become what the nodes are called
//!    now.

use std::sync::LazyLock;

use heapsight_snapshot::{NodeKind, Snapshot, StringTable};
use regex::Regex;
use rustc_hash::FxHashMap;

use crate::{
    detect::{self, Kind},
    marker,
    uses::{self, Use},
};

/// Makes a marker of a text.
pub(crate) type Mark<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// The name without what is data in it; `None` if it stays as it is.
pub(crate) fn rewritten(name: &str, used: Use, mark: Mark<'_>) -> Option<String> {
    // The marker of an earlier redaction is made anew, so that the two files cannot be linked.
    let is_marker = marker::is_marker(name.as_bytes());
    if is_marker || used.is_key() || (used.is_property() && detect::is_data_like(name)) {
        return Some(mark(name));
    }
    if let Some(at) = attributes(name) {
        let (tag, rest) = name.split_at(at);
        let (rest, close) = rest.strip_suffix('>').map_or((rest, ""), |rest| (rest, ">"));
        return (!rest.is_empty()).then(|| format!("{tag}{}{close}", mark(rest)));
    }
    if let Some(at) = url_data(name) {
        let (place, data) = name.split_at(at);
        let place = without_secrets(place, mark).unwrap_or_else(|| place.to_owned());
        return (!data.is_empty()).then(|| format!("{place}{}", mark(data)));
    }
    without_secrets(name, mark)
}

/// The place of a script without what is data in it. Markers would have to be those of the file, whose key is gone; the
/// data is left out.
pub fn redact_place(place: &str) -> String {
    rewritten(place, Use::default(), &|_| "~".to_owned()).unwrap_or_else(|| place.to_owned())
}

/// Where the attributes of an element begin, after the space that follows its tag.
fn attributes(name: &str) -> Option<usize> {
    let element = name.strip_prefix("Detached ").unwrap_or(name);
    let tag = element.strip_prefix('<')?;
    // Symbols have such names too: `<symbol kState>`.
    if tag.starts_with("symbol") || !tag.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let space = tag.find(' ')?;
    Some(name.len() - tag.len() + space + 1)
}

/// Where the part of a URL begins that is data and no place.
fn url_data(name: &str) -> Option<usize> {
    static URL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:[a-z][a-z0-9+.-]*:/|/)[^\s?#]*[?#]|\bdata:[^,\s]*,").ok());
    // An origin comes after what V8 calls the object: `Window / https://host/?q=1`.
    if !(name.contains("://") || name.contains("data:")) {
        return None;
    }
    URL.as_ref()?.find(name).map(|found| found.end())
}

fn without_secrets(name: &str, mark: Mark<'_>) -> Option<String> {
    // Digests in the names of files are of the build and not of the data.
    let is_path = name.contains('/') || name.contains('\\');
    let mut out = String::new();
    let mut done = 0;
    for hit in detect::secrets(name) {
        if hit.kind == Kind::Random && is_path {
            continue;
        }
        let (Some(before), Some(secret)) = (name.get(done..hit.start), name.get(hit.start..hit.end)) else {
            continue;
        };
        out.push_str(before);
        out.push_str(&mark(secret));
        done = hit.end;
    }
    if done == 0 {
        return None;
    }
    out.push_str(name.get(done..).unwrap_or_default());
    Some(out)
}

/// The name of an edge of a WeakMap entry, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WeakMapName<'t> {
    /// Number of the entry, and what follows it.
    head: &'t str,
    pub(crate) key: &'t str,
    key_id: &'t str,
    pub(crate) value: &'t str,
    value_id: &'t str,
    /// What follows the value.
    tail: &'t str,
}

const KEY: &str = " / part of key (";
const VALUE: &str = ") -> value (";
const TABLE: &str = ") pair in WeakMap (table @";

impl<'t> WeakMapName<'t> {
    /// Takes a name apart, as DevTools reads it (`tryParseWeakMapEdgeName`).
    pub(crate) fn parse(name: &'t str) -> Option<Self> {
        let number = name.find(KEY).filter(|&at| at > 0 && name[..at].bytes().all(|b| b.is_ascii_digit()))?;
        let (head, rest) = name.split_at(number + KEY.len());
        let (rest, tail) = rest.split_at(rest.rfind(TABLE)?);
        let id = tail[TABLE.len()..].strip_suffix(')')?;
        if !is_number(id) {
            return None;
        }
        let (value_part, value_id) = rest.rsplit_once(" @").filter(|(_, id)| is_number(id))?;
        let middle = value_part.match_indices(VALUE).find_map(|(at, _)| {
            let (key, key_id) = value_part[..at].rsplit_once(" @")?;
            is_number(key_id).then_some((key, key_id, &value_part[at + VALUE.len()..]))
        });
        let (key, key_id, value) = middle?;
        Some(Self { head, key, key_id, value, value_id, tail })
    }

    /// The name with other names of key and value.
    pub(crate) fn with(&self, key: &str, value: &str) -> String {
        let Self { head, key_id, value_id, tail, .. } = self;
        format!("{head}{key} @{key_id}{VALUE}{value} @{value_id}{tail}")
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a name is to be taken apart by [`WeakMapName`].
pub(crate) fn is_weak_map(raw: &[u8]) -> bool {
    raw.len() > KEY.len() + TABLE.len()
        && raw[0].is_ascii_digit()
        && raw.windows(KEY.len()).take(24).any(|part| part == KEY.as_bytes())
}

/// The nodes that WeakMap entries name, and what they are called.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// By object id: what it is, and the string of its name; `None` as long as there is no such node.
    by_id: FxHashMap<u32, Option<(NodeKind, u32)>>,
    /// Names of those that may have one which is no text of a value.
    texts: FxHashMap<u32, String>,
}

impl Named {
    /// Finds the nodes. A pass over the strings, and if there are such edges, one over the nodes.
    pub(crate) fn find(snapshot: &Snapshot, used: &[Use]) -> Self {
        let mut named = Self::default();
        for (string, used) in used.iter().enumerate() {
            if used.is_name() && is_weak_map(snapshot.strings.raw(string as u32)) {
                named.wants(&snapshot.strings.get(string as u32));
            }
        }
        if named.any() {
            let nodes = &snapshot.nodes;
            for ((&kind, &name), &id) in nodes.kind.iter().zip(nodes.name.iter()).zip(nodes.id.iter()) {
                named.meets(id, NodeKind(kind), name);
            }
            named.reads(0, &snapshot.strings);
        }
        named
    }

    /// Takes up the nodes that the name of an edge names.
    pub(crate) fn wants(&mut self, name: &str) {
        for id in WeakMapName::parse(name).iter().flat_map(|name| [name.key_id, name.value_id]) {
            self.by_id.extend(id.parse::<u32>().map(|id| (id, None)));
        }
    }

    /// Whether any node is named.
    pub(crate) fn any(&self) -> bool {
        !self.by_id.is_empty()
    }

    /// Looks whether a node is one of them.
    pub(crate) fn meets(&mut self, id: u32, kind: NodeKind, name: u32) {
        let Some(slot) = self.by_id.get_mut(&id) else { return };
        *slot = Some((kind, name));
        if !uses::is_payload(kind, || false) {
            self.texts.entry(name).or_default();
        }
    }

    /// Looks for their names among strings, of which the first has this index.
    pub(crate) fn reads(&mut self, first: u32, strings: &StringTable) {
        for at in 0..strings.len() as u32 {
            if let Some(text) = self.texts.get_mut(&(first + at)) {
                *text = strings.get(at).into_owned();
            }
        }
    }

    /// What a node is called now that V8 called `name` in the name of an edge.
    fn now(&self, id: &str, name: &str, used: &[Use], mark: Mark<'_>) -> String {
        let node = id.parse::<u32>().ok().and_then(|id| *self.by_id.get(&id)?);
        let Some((kind, string)) = node else { return mark(name) };
        let text = self.texts.get(&string).filter(|_| !uses::is_payload(kind, || false));
        let text = text
            .filter(|&text| text == name && !uses::is_payload(kind, || uses::is_text(kind, text.as_bytes())));
        let Some(text) = text else {
            return if is_plain(name) { name.to_owned() } else { mark(name) };
        };
        let used = used.get(string as usize).copied().unwrap_or_default();
        // A node is no property, whatever its name is used for elsewhere; but its name has one text.
        rewritten(text, used, mark).unwrap_or_else(|| text.clone())
    }

    /// The name of an edge of a WeakMap entry, with what its key and value are called now.
    pub(crate) fn rewritten(&self, name: &str, used: &[Use], mark: Mark<'_>) -> Option<String> {
        let parts = WeakMapName::parse(name)?;
        let key = self.now(parts.key_id, parts.key, used, mark);
        let value = self.now(parts.value_id, parts.value, used, mark);
        Some(parts.with(&key, &value))
    }
}

/// Texts of values that say nothing: nothing at all, and the two that V8 uses for marks of its own.
pub(crate) fn is_plain(text: &str) -> bool {
    matches!(text, "" | "true" | "false")
}

/// The same of a text as it stands in a file.
pub(crate) fn is_plain_raw(raw: &[u8]) -> bool {
    matches!(raw, b"" | b"true" | b"false")
}

/// Whether the name of a node has to be a marker: it is the text of a value.
pub(crate) fn is_text_of_value(kind: NodeKind, name: &str) -> bool {
    uses::is_payload(kind, || uses::is_text(kind, name.as_bytes())) && !is_plain(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, used: Use) -> String {
        rewritten(name, used, &|text| format!("[{text}]")).unwrap_or_else(|| name.to_owned())
    }

    #[test]
    fn names_of_the_program_stay() {
        for name in [
            "Session",
            "get [kIsNodeError]",
            "/srv/app/node_modules/express/lib/router/index.js",
            "system / Map",
            "<symbol kState>",
            "Window / https://app.example",
            "file:///srv/main.3f2a9c1b7d6e5f4a3b2c.js",
            "node:fs",
            "<div>",
            "(code for a?b)",
            "data",
            "webpack:///./src/a.ts",
        ] {
            assert_eq!(shown(name, Use::default()), name);
        }
    }

    #[test]
    fn what_is_data_in_a_name_goes() {
        let shown = |name| shown(name, Use::default());
        assert_eq!(shown("<input type=text value=\"x\">"), "<input [type=text value=\"x\"]>");
        assert_eq!(shown("Detached <a href=x>"), "Detached <a [href=x]>");
        assert_eq!(shown("Window / https://a.example/p?q=1#x"), "Window / https://a.example/p?[q=1#x]");
        assert_eq!(shown("data:text/javascript;base64,QUJD"), "data:text/javascript;base64,[QUJD]");
        assert_eq!(shown("bound ada@analytical.org"), "bound [ada@analytical.org]");
        assert_eq!(shown("https://u:hunter2@a.example/x.js"), "https://u:[hunter2]@a.example/x.js");
    }

    #[test]
    fn edges_of_weak_maps_are_taken_apart() {
        let name = "12 / part of key (Key @7) -> value (a) -> value (b @9 @11) pair in WeakMap (table @3)";
        let parts = WeakMapName::parse(name).unwrap();
        assert_eq!((parts.key, parts.value), ("Key", "a) -> value (b @9"));
        assert_eq!(parts.with(parts.key, parts.value), name);
        assert!(is_weak_map(name.as_bytes()));
        for other in [
            "",
            "12",
            " / part of key (",
            "1 / part of key (a @1) -> value (b @2) pair in WeakMap (table @x)",
        ] {
            assert_eq!(WeakMapName::parse(other), None, "{other}");
        }
    }
}
