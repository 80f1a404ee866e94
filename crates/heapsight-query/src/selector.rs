//! What the user types to name objects, classes and filters.

use heapsight_analysis::{Heap, contexts, filters::Filter};
use regex::{Regex, RegexBuilder};

/// An object or a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `@123`: an object id.
    Object(u64),
    /// A class name, or a class key as DevTools has it.
    Class(String),
}

impl Selector {
    /// `@123` is an object, everything else a class.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('@').and_then(|id| id.parse().ok()) {
            Some(id) => Self::Object(id),
            None => Self::Class(text.to_owned()),
        }
    }
}

/// A pattern as users type it: a part of the name in any case, or `/regular expression/`.
pub fn pattern(text: &str) -> Result<Regex, regex::Error> {
    match text.strip_prefix('/').and_then(|t| t.strip_suffix('/')) {
        Some(expression) if !expression.is_empty() => Regex::new(expression),
        _ => RegexBuilder::new(&regex::escape(text)).case_insensitive(true).build(),
    }
}

/// The classes (indices of the table) that a text names: by key, else by exact name, else by pattern.
pub fn classes_named(heap: &Heap, text: &str) -> Result<Vec<u32>, regex::Error> {
    let table = &heap.classes.table;
    let matching = |test: &dyn Fn(&heapsight_analysis::classes::Class) -> bool| -> Vec<u32> {
        (0..table.len() as u32).filter(|&c| test(&table[c as usize])).collect()
    };
    let by_key = matching(&|class| class.key() == text);
    if !by_key.is_empty() {
        return Ok(by_key);
    }
    let by_name = matching(&|class| class.name == text);
    if !by_name.is_empty() {
        return Ok(by_name);
    }
    let pattern = pattern(text)?;
    Ok(matching(&|class| pattern.is_match(&class.name)))
}

/// The filters by the names that the command line has for them, with what they show.
pub const FILTERS: [(&str, &str); 7] = [
    ("detached", "objects kept alive by detached DOM nodes alone"),
    ("contexts", "objects kept alive by function contexts alone"),
    ("console", "objects kept alive by the DevTools console alone"),
    ("event-handlers", "objects kept alive by event handlers alone"),
    ("duplicated-strings", "strings that occur more than once"),
    ("shared-context", "objects reached from several native contexts"),
    ("no-context", "objects reached from no native context"),
];

/// A filter from its name: one of [`FILTERS`], or `context:@ID`, or `ids:MIN..MAX`.
pub fn filter(heap: &Heap, text: &str) -> Result<Filter, String> {
    if let Some(id) = text.strip_prefix("context:") {
        let id = id.strip_prefix('@').unwrap_or(id);
        let ord = id.parse().ok().and_then(|id| heap.find_id(id));
        let ord = ord.ok_or_else(|| format!("there is no object `@{id}`"))?;
        if !contexts::context_set(heap).contains(ord as usize) {
            return Err(format!("object @{id} is not a native context; `heapsight stats FILE` lists them"));
        }
        return Ok(Filter::NativeContext(ord));
    }
    if let Some((min, max)) = text.strip_prefix("ids:").and_then(|range| range.split_once("..")) {
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is not an object id"));
        return Ok(Filter::IdRange { min: number(min)?, max: number(max)? });
    }
    // DevTools' own names are accepted too.
    Ok(match text {
        "detached" | "objectsRetainedByDetachedDomNodes" => Filter::DetachedDomNodes,
        "contexts" | "objectsRetainedByContexts" => Filter::Contexts,
        "console" | "objectsRetainedByConsole" => Filter::Console,
        "event-handlers" | "objectsRetainedByEventHandlers" => Filter::EventHandlers,
        "duplicated-strings" | "duplicatedStrings" => Filter::DuplicatedStrings,
        "shared-context" | "sharedNativeContext" => Filter::SharedNativeContext,
        "no-context" | "noNativeContext" => Filter::NoNativeContext,
        _ => {
            let names: Vec<&str> = FILTERS.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "`{text}` is not a filter; there are {}, context:@ID and ids:MIN..MAX",
                names.join(", ")
            ));
        }
    })
}
