//! Patterns that are known to leak, whatever their size is beside the heap.

use heapsight_analysis::{
    bits::BitSet,
    duplicates::DuplicateGroup,
    filters::{Filter, passing},
};
use heapsight_snapshot::{EdgeKind, NodeKind};

use super::{Finding, Found, Pattern, finding, listeners, shared, waiting};
use crate::story::counted;
use crate::{
    code::{Place, script_url},
    leak::{
        Placed,
        placing::{Placing, is_runtime},
    },
    strings::duplicate_strings,
    variables::dead_variables,
};

/// Bytes of equal strings, of source text, or of what a variable keeps that are worth a word.
pub(super) const TEXT: u64 = 1 << 20;

/// Bytes of equal strings that are worth a word in a small heap: the runtime has some hundred thousand of its own.
const COPIES: u64 = 256 << 10;

/// Bytes that the console or a detached document keeps that are worth a word; an inspector keeps some of its own.
const KEPT: u64 = 64 << 10;

/// Scripts, or groups of strings, that are listed.
const PARTS: usize = 8;

/// All patterns.
pub(super) fn find(placing: Placing<'_>, least: u64) -> Vec<Finding> {
    let scripts = Scripts::new(placing);
    let mut list = listeners::find(placing);
    list.extend(waiting::find(placing));
    list.extend(duplicates(placing, &scripts, least));
    list.extend(sources(placing, &scripts, least));
    let because = "kept alive by parts of a document that are no longer in it: let go of the variable, listener or cache \
                   that leads to them when they are removed";
    list.extend(filtered(placing, &Filter::DetachedDomNodes, Pattern::Detached, because));
    let because = "kept alive by the console of an inspector alone: what is logged while an inspector is attached stays \
                   until the console is cleared or the inspector leaves. The program itself does not leak them";
    list.extend(filtered(placing, &Filter::Console, Pattern::Console, because));
    match dead(placing, least) {
        Some(dead) => list.extend(dead),
        // The file does not say which function uses what; the scripts may.
        None => list.extend(shared::find(placing, least)),
    }
    list
}

/// The texts of scripts.
struct Scripts {
    /// The texts.
    texts: BitSet,
    /// Of the program and its libraries: script, text.
    list: Vec<(u32, u32)>,
}

impl Scripts {
    /// Finds the text of each script.
    fn new(placing: Placing<'_>) -> Self {
        let heap = placing.heap;
        let snapshot = &heap.snapshot;
        let mut scripts = Self { texts: BitSet::new(snapshot.node_count()), list: Vec::new() };
        for ord in 0..snapshot.node_count() as u32 {
            if !matches!(snapshot.node_kind(ord), NodeKind::CODE | NodeKind::HIDDEN) {
                continue;
            }
            for edge in snapshot.edges_of(ord) {
                let text = snapshot.edges.to[edge];
                let is_source = snapshot.edge_kind(edge) == EdgeKind::INTERNAL
                    && heap.known.literals.source.is(snapshot.edges.name[edge])
                    && snapshot.node_kind(text).is_string();
                if is_source && scripts.texts.insert(text as usize) && !of_runtime(&script_url(heap, ord)) {
                    scripts.list.push((ord, text));
                }
            }
        }
        scripts
    }
}

/// Whether a script is the runtime's.
fn of_runtime(url: &str) -> bool {
    is_runtime(&Place::in_script(url, 0, 0)) || url.starts_with("v8/") || url == "extensions::SafeBuiltins"
}

/// Equal strings.
fn duplicates(placing: Placing<'_>, scripts: &Scripts, least: u64) -> Option<Finding> {
    let mut all = duplicate_strings(placing.heap, None);
    // A text that two scripts have is a matter of scripts.
    all.groups.retain(|group| !scripts.texts.contains(group.example as usize));
    let wasted: u64 =
        all.groups.iter().map(|group| group.self_size - group.self_size / group.count.max(1)).sum();
    let count: u64 = all.groups.iter().map(|group| group.count).sum();
    // The text of which most is wasted is the one to begin with.
    let most = |group: &DuplicateGroup| group.self_size - group.self_size / group.count.max(1);
    all.groups.sort_by_key(|group| (std::cmp::Reverse(most(group)), group.example));
    let example = all.groups.first()?.example;
    if wasted < least.clamp(COPIES, TEXT) {
        return None;
    }
    let parts = all
        .groups
        .iter()
        .take(PARTS)
        .map(|group| (format!("{:?}", group.value), group.count, group.self_size))
        .collect();
    let texts = all.groups.len() as u64;
    let why = format!(
        "{} strings have only {} different texts. Keep one of each (a Map from text to text where they are parsed or \
         made), or a number or key in their place",
        counted(count),
        counted(texts)
    );
    let found = Found { count, retained_size: wasted, parts, why, examples: Vec::new() };
    let mut finding = finding(placing, example, None, Pattern::Duplicates, found);
    "equal strings".clone_into(&mut finding.title);
    Some(finding)
}

/// The text of scripts.
fn sources(placing: Placing<'_>, scripts: &Scripts, least: u64) -> Option<Finding> {
    let heap = placing.heap;
    let mut list: Vec<(u64, u32, u32)> =
        scripts.list.iter().map(|&(script, text)| (heap.retained.get(text), script, text)).collect();
    list.sort_unstable_by_key(|&(size, script, _)| (std::cmp::Reverse(size), script));
    let (_, script, text) = *list.first()?;
    let size = list.iter().fold(0u64, |sum, &(size, ..)| sum.saturating_add(size));
    if size < least.max(TEXT) {
        return None;
    }
    let name = |script: u32| {
        let url = script_url(heap, script);
        if url.is_empty() { "(script without a name)".to_owned() } else { url }
    };
    let count = list.len() as u64;
    let parts = list.iter().take(PARTS).map(|&(size, script, _)| (name(script), 1, size)).collect();
    let why = format!(
        "the text of {} scripts is kept for as long as one of their functions lives. Code that is compiled again and \
         again (`eval`, `new Function`, `vm`, `import` of ever new addresses) has a text each time: compile it once; of \
         bundles load what is needed",
        counted(count)
    );
    let found = Found { count, retained_size: size, parts, why, examples: Vec::new() };
    let mut finding = finding(placing, text, None, Pattern::Source, found);
    "source text".clone_into(&mut finding.title);
    let url = script_url(heap, script);
    finding.place = (!url.is_empty())
        .then(|| Placed { place: Place::in_script(&url, 0, 0), what: "the largest script".to_owned() });
    Some(finding)
}

/// What a filter lets pass, where that is worth a word.
fn filtered(placing: Placing<'_>, filter: &Filter, pattern: Pattern, because: &str) -> Option<Finding> {
    let snapshot = &placing.heap.snapshot;
    let set = passing(placing.heap, filter);
    let size: u64 = set.iter().map(|ord| snapshot.nodes.self_size.get(ord as u32)).sum();
    if size < KEPT {
        return None;
    }
    // Runtimes without documents call things of their own detached.
    if pattern == Pattern::Detached && !set.iter().any(|ord| is_document(placing, ord as u32)) {
        return None;
    }
    let largest = set.iter().max_by_key(|&ord| placing.heap.retained.get(ord as u32))?;
    let count = set.count() as u64;
    let why = format!("{} objects {because}", counted(count));
    let found = Found { count, retained_size: size, parts: Vec::new(), why, examples: Vec::new() };
    Some(finding(placing, largest as u32, None, pattern, found))
}

/// Whether a node is a part of a document: an element, its text.
fn is_document(placing: Placing<'_>, ord: u32) -> bool {
    let name = &placing.heap.classes.class(ord).name;
    let name = name.strip_prefix("Detached ").unwrap_or(name);
    name.starts_with('<') || name.starts_with("HTML") || name.starts_with("SVG")
}

/// Variables that no function can use any more, where the file says what functions use.
fn dead(placing: Placing<'_>, least: u64) -> Option<Vec<Finding>> {
    let dead = dead_variables(placing.heap)?;
    let large = dead.variables.iter().filter(|variable| variable.retained_size >= least.min(TEXT)).take(5);
    let list = large
        .filter_map(|variable| {
            let ord = placing.heap.find_id(u64::from(variable.context_id))?;
            let why = format!(
                "no function can use variable {} any more, but other functions that were made beside it keep its context \
                 alive: set it to `null` when it has been used, or make those functions elsewhere",
                variable.name
            );
            let found = Found {
                count: variable.context_count,
                retained_size: variable.retained_size,
                parts: Vec::new(),
                why,
                examples: Vec::new(),
            };
            let mut finding = finding(placing, ord, None, Pattern::DeadVariable, found);
            finding.title.clone_from(&variable.name);
            Some(finding)
        })
        .collect();
    Some(list)
}
