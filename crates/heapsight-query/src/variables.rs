//! Variables that no function can use any more, with what they keep alive.

use std::cmp::Reverse;

use heapsight_analysis::{
    Heap,
    dead_variables::{self, DeadScope},
    subtrees::Subtrees,
};
use heapsight_snapshot::Location;

use crate::classes::{ObjectRow, object_row};

/// A variable of a function or block that is dead in some of its contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadVariable {
    /// Its name.
    pub name: String,
    /// Name of the function that declares it; empty for one without a name, `None` where the function is not known.
    pub function: Option<String>,
    /// The script's address; empty where it has none.
    pub script: String,
    /// Where the function is, if one of its closures says so.
    pub location: Option<Location>,
    /// First character, and the one after the last, of the scope that declares the variable.
    pub characters: (i64, i64),
    /// Contexts in which it is dead.
    pub context_count: u64,
    /// What its values in these contexts retain together, whoever else holds them.
    pub retained_size: u64,
    /// Id of the context whose value retains most.
    pub context_id: u32,
    /// That value.
    pub value: ObjectRow,
}

/// A script whose contexts could not be looked at: the file does not say what its functions use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScript {
    /// The script's address; empty where it has none.
    pub name: String,
    /// Object id of the script.
    pub id: u32,
    /// Its contexts.
    pub context_count: u64,
}

/// The dead variables of a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadVariables {
    /// The variables, by retained size.
    pub variables: Vec<DeadVariable>,
    /// Contexts that have any of them.
    pub context_count: u64,
    /// Objects that they alone keep alive.
    pub kept_count: u64,
    /// Shallow sizes of these.
    pub kept_size: u64,
    /// Scripts that could not be looked at.
    pub unknown: Vec<UnknownScript>,
}

/// Finds the dead variables. `None` where the file does not record what functions use. Variables that a suspended
/// generator or async function can still use are left out.
pub fn dead_variables(heap: &Heap) -> Option<DeadVariables> {
    let found = dead_variables::dead_variables(heap)?;
    let subtrees = Subtrees::new(heap);
    let id = |ord: u32| heap.snapshot.nodes.id[ord as usize];
    let mut rows = DeadVariables::default();
    for scope in &found.scopes {
        // Name, value and context, so that what belongs to one variable stands together.
        let mut dead: Vec<(u32, u32, u32)> = Vec::new();
        for context in &found.contexts[scope.contexts.clone()] {
            let fields = found.fields[context.fields.clone()].iter().filter(|field| !field.resumable);
            let before = dead.len();
            dead.extend(fields.map(|field| (field.name, field.value, context.context)));
            rows.context_count += u64::from(dead.len() > before);
        }
        dead.sort_by_key(|&(name, value, _)| (name, Reverse(heap.retained.get(value))));
        for of_one in dead.chunk_by(|a, b| a.0 == b.0) {
            let mut values: Vec<u32> = of_one.iter().map(|&(_, value, _)| value).collect();
            let (name, value, context) = of_one[0];
            rows.variables.push(DeadVariable {
                name: heap.snapshot.strings.get(name).into_owned(),
                function: function(heap, scope),
                script: dead_variables::script_name(heap, scope.script),
                location: scope.closure.and_then(|closure| heap.snapshot.locations.of(closure)),
                characters: (scope.start, scope.end),
                context_count: of_one.len() as u64,
                retained_size: subtrees.retained(&mut values),
                context_id: id(context),
                value: object_row(heap, value),
            });
        }
    }
    (rows.kept_count, rows.kept_size) = dead_variables::kept_alone(heap, &found);
    rows.variables.sort_by(|a, b| {
        let sizes = (b.retained_size, b.context_count).cmp(&(a.retained_size, a.context_count));
        sizes.then_with(|| (&a.script, a.characters, &a.name).cmp(&(&b.script, b.characters, &b.name)))
    });
    rows.unknown = found
        .unknown
        .iter()
        .map(|script| UnknownScript {
            name: dead_variables::script_name(heap, script.script),
            id: id(script.script),
            context_count: script.context_count,
        })
        .collect();
    Some(rows)
}

/// What the file calls the function of a scope.
fn function(heap: &Heap, scope: &DeadScope) -> Option<String> {
    let of_function = scope.function.map(|function| dead_variables::function_name(heap, function));
    match (of_function, scope.name) {
        (Some(name), _) if !name.is_empty() => Some(name),
        (_, Some(node)) => Some(heap.names().node(node).into_owned()),
        (name, None) => name,
    }
}
