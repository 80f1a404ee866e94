//! The lexical scopes of scripts: which scope declares which variables of contexts, and which scope uses them.
//!
//! Three tables: `scopes` (depth first within each script), `scope_context_vars` (the variables of one scope after
//! those of the scope before), and `scope_uses` likewise. Scope ids are signed: V8 gives -2 to the outermost scope of
//! a script and -1 to a wrapped function. V8 writes the tables since version 15.6 (Chromium 156); nobody else does.
//!
//! Sources: the tables' fields in `meta` (`scope_fields`, `scope_context_var_fields`, `scope_use_fields`), and DevTools,
//! `ContextAnalyzer.ts`, `parseEmbeddedScopes`. Time and memory linear in the rows.

use std::ops::Range;

use crate::{
    Column,
    error::{Problem, ReadError, Section, WarningKind, Warnings, show_byte},
    header::Header,
    input::Input,
};

/// The scopes of all scripts, and their variables and uses: columns by scope, by variable, and by use.
///
/// Invariants: parents stand before their children and are of the same script; scripts are nodes; `first_variable` and
/// `first_use` ascend from 0 to the number of variables and uses. Names may lie beyond the string table, and uses may
/// name scopes and slots that do not exist.
#[derive(Debug, Default)]
pub struct Scopes {
    /// Ordinal of the script's node.
    pub scripts: Column<u32>,
    /// V8's id of the scope, which is unique within a script.
    pub ids: Column<i32>,
    /// The scope around, [`Scopes::NONE`] for the outermost.
    pub parents: Column<u32>,
    /// First variable of each scope, and at the end the number of variables.
    pub first_variable: Column<u32>,
    /// First use of each scope, and at the end the number of uses.
    pub first_use: Column<u32>,
    /// String index of each variable's name.
    pub variables: Column<u32>,
    /// Of each use: id of the scope, in the same script, that declares the variable.
    pub use_scopes: Column<i32>,
    /// Of each use: position of the variable among those of its scope.
    pub use_slots: Column<u32>,
}

impl Scopes {
    /// Stands for "no scope".
    pub const NONE: u32 = u32::MAX;

    /// Number of scopes.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no scope.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The variables that a scope declares.
    pub fn variables_of(&self, scope: usize) -> Range<usize> {
        self.first_variable[scope] as usize..self.first_variable[scope + 1] as usize
    }

    /// The uses that stand in a scope itself.
    pub fn uses_of(&self, scope: usize) -> Range<usize> {
        self.first_use[scope] as usize..self.first_use[scope + 1] as usize
    }

    /// Whether the columns keep their promises for a snapshot of `nodes` nodes.
    pub fn is_sound(&self, nodes: usize) -> bool {
        let rows = self.len();
        let spans = |first: &[u32], len: usize| {
            first.len() == rows + 1
                && first.first() == Some(&0)
                && first.is_sorted()
                && first.last().is_some_and(|&last| last as usize == len)
        };
        self.scripts.len() == rows
            && self.parents.len() == rows
            && self.scripts.iter().all(|&script| (script as usize) < nodes)
            && self
                .parents
                .iter()
                .enumerate()
                .all(|(row, &parent)| parent == Self::NONE || (parent as usize) < row)
            && spans(&self.first_variable, self.variables.len())
            && spans(&self.first_use, self.use_scopes.len())
            && self.use_slots.len() == self.use_scopes.len()
    }
}

/// A row of `scopes` as it stands in the file.
struct RawScope {
    script: i64,
    id: i32,
    depth: u32,
    variables: u32,
    uses: u32,
}

/// The tables as they stand in the file; they mean something when all are read.
#[derive(Default)]
pub(crate) struct RawScopes {
    /// `None` until the section has come.
    scopes: Option<Vec<RawScope>>,
    variables: Vec<u32>,
    uses: Vec<(i32, u32)>,
}

impl RawScopes {
    /// The string indices of all variables so far.
    pub(crate) fn variables(&self) -> impl Iterator<Item = u32> {
        self.variables.iter().copied()
    }

    /// Reads one of the three tables; the opening bracket is consumed, the closing one is not.
    pub(crate) fn read(
        &mut self,
        input: &mut Input<'_>,
        section: Section,
        header: &Header,
        warnings: &mut Warnings,
    ) -> Result<(), ReadError> {
        let fields = match section {
            Section::Scopes => &header.scope_fields,
            Section::ScopeVariables => &header.scope_variable_fields,
            _ => &header.scope_use_fields,
        };
        let at = |name: &str| fields.iter().position(|f| f == name);
        let mut any = false;
        let known = match section {
            Section::Scopes => {
                let found = (at("script_node_index"), at("scope_id"), at("depth"));
                let counts = (at("scope_context_vars_count"), at("scope_uses_count"));
                if let ((Some(script), Some(id), Some(depth)), (Some(variables), Some(uses))) =
                    (found, counts)
                {
                    let list = self.scopes.get_or_insert_default();
                    rows(input, section, fields.len(), |row| {
                        let row = RawScope {
                            script: row[script],
                            id: scope_id("scope_id", row[id])?,
                            depth: unsigned(row[depth])?,
                            variables: unsigned(row[variables])?,
                            uses: unsigned(row[uses])?,
                        };
                        push(list, row)
                    })?;
                    true
                } else {
                    false
                }
            }
            Section::ScopeVariables => {
                if let Some(name) = at("name") {
                    let list = &mut self.variables;
                    rows(input, section, fields.len(), |row| push(list, unsigned(row[name])?))?;
                    true
                } else {
                    false
                }
            }
            _ => {
                if let (Some(scope), Some(slot)) = (at("declaring_scope_id"), at("slot_index")) {
                    let list = &mut self.uses;
                    rows(input, section, fields.len(), |row| {
                        // A slot that no scope has is like a use of nothing.
                        let slot = u32::try_from(row[slot]).unwrap_or(u32::MAX);
                        push(list, (scope_id("declaring_scope_id", row[scope])?, slot))
                    })?;
                    true
                } else {
                    false
                }
            }
        };
        if !known {
            rows(input, section, fields.len().max(1), |_| {
                any = true;
                Ok(())
            })?;
            warnings.add(WarningKind::Scope, section, None, u64::from(any), || {
                "scopes whose fields the header does not name, ignored".to_owned()
            });
        }
        Ok(())
    }

    /// Puts the tables together. `None` if the file has none.
    pub(crate) fn finish(
        self,
        fields: u64,
        nodes: u64,
        strings: u32,
        warnings: &mut Warnings,
    ) -> Result<Option<Scopes>, Problem> {
        let Some(rows) = self.scopes else { return Ok(None) };
        let mut scripts = column(rows.len())?;
        let mut ids = column(rows.len())?;
        let mut parents = column(rows.len())?;
        let (mut first_variable, mut first_use) = (column(rows.len() + 1)?, column(rows.len() + 1)?);
        let mut variables: Vec<u32> = column(self.variables.len())?;
        let (mut use_scopes, mut use_slots) = (column(self.uses.len())?, column(self.uses.len())?);
        let mut open: Vec<u32> = Vec::new();
        let mut script_of_open = None;
        let (mut next_variable, mut next_use) = (0u64, 0u64);
        let (mut no_script, mut no_parent, mut bad_names) = (0, 0, 0);
        for row in &rows {
            let mine = part(&self.variables, &mut next_variable, row.variables);
            let uses = part(&self.uses, &mut next_use, row.uses);
            let index = u64::try_from(row.script).ok();
            let Some(script) = index.filter(|i| i.is_multiple_of(fields) && i / fields < nodes) else {
                no_script += 1;
                continue;
            };
            if script_of_open != Some(script) {
                script_of_open = Some(script);
                open.clear();
            }
            no_parent += u64::from(row.depth as usize > open.len());
            open.truncate(row.depth as usize);
            scripts.push((script / fields) as u32);
            parents.push(open.last().copied().unwrap_or(Scopes::NONE));
            open.push(ids.len() as u32);
            ids.push(row.id);
            first_variable.push(variables.len() as u32);
            first_use.push(use_scopes.len() as u32);
            bad_names += mine.iter().filter(|&&name| name >= strings).count() as u64;
            variables.extend_from_slice(mine);
            use_scopes.extend(uses.iter().map(|&(scope, _)| scope));
            use_slots.extend(uses.iter().map(|&(_, slot)| slot));
        }
        first_variable.push(variables.len() as u32);
        first_use.push(use_scopes.len() as u32);
        warnings.add(WarningKind::Scope, Section::Scopes, None, no_script, || {
            "a scope of something that is not a node, ignored".to_owned()
        });
        warnings.add(WarningKind::Scope, Section::Scopes, None, no_parent, || {
            "a scope deeper than the one before it allows, taken as inside of that".to_owned()
        });
        for (section, claimed, found) in [
            (Section::ScopeVariables, next_variable, self.variables.len() as u64),
            (Section::ScopeUses, next_use, self.uses.len() as u64),
        ] {
            warnings.add(WarningKind::Scope, section, None, claimed.abs_diff(found), || {
                format!("the scopes claim {claimed} rows, the section holds {found}")
            });
        }
        warnings.add(WarningKind::StringIndex, Section::ScopeVariables, None, bad_names, || {
            format!("a variable has a name beyond the {strings} strings")
        });
        Ok(Some(Scopes {
            scripts: scripts.into(),
            ids: ids.into(),
            parents: parents.into(),
            first_variable: first_variable.into(),
            first_use: first_use.into(),
            variables: variables.into(),
            use_scopes: use_scopes.into(),
            use_slots: use_slots.into(),
        }))
    }
}

/// The next `count` rows, as far as there are any.
fn part<'t, T>(table: &'t [T], next: &mut u64, count: u32) -> &'t [T] {
    let len = table.len() as u64;
    let start = (*next).min(len) as usize;
    *next = next.saturating_add(u64::from(count));
    &table[start..(*next).min(len) as usize]
}

fn out_of_memory<T>(rows: usize) -> Problem {
    Problem::OutOfMemory { bytes: (rows as u64).saturating_mul(size_of::<T>() as u64) }
}

fn column<T>(len: usize) -> Result<Vec<T>, Problem> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| out_of_memory::<T>(len))?;
    Ok(list)
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Problem> {
    if list.len() >= u32::MAX as usize - 1 {
        return Err(Problem::TooMany { what: "rows of a scope table", limit: u64::from(u32::MAX) - 1 });
    }
    list.try_reserve(1).map_err(|_| out_of_memory::<T>(list.len()))?;
    list.push(item);
    Ok(())
}

/// A count or index; one that is larger than any table reads as the largest.
fn unsigned(value: i64) -> Result<u32, Problem> {
    if value < 0 {
        return Err(Problem::NotUnsigned(format!("`{value}`")));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

fn scope_id(what: &'static str, value: i64) -> Result<i32, Problem> {
    let limit = i32::MAX as u64;
    i32::try_from(value).map_err(|_| Problem::TooLarge { what, value: value.unsigned_abs(), limit })
}

/// Hands out each row of a table of signed numbers. A row's problem stands at its first byte.
fn rows(
    input: &mut Input<'_>,
    section: Section,
    fields: usize,
    mut each: impl FnMut(&[i64]) -> Result<(), Problem>,
) -> Result<(), ReadError> {
    let mut row = vec![0; fields];
    let (mut place, mut count) = (0, 0u64);
    if input.peek_token(section)? == Some(b']') {
        return Ok(());
    }
    let mut start = input.offset();
    loop {
        row[place] = integer(input, section)?;
        place += 1;
        count += 1;
        if place == fields {
            each(&row).map_err(|problem| problem.at(section, start))?;
            place = 0;
        }
        match input.peek_token(section)? {
            Some(b',') => input.pos += 1,
            Some(b']') if place == 0 => return Ok(()),
            Some(b']') => return Err(Problem::PartialRow { count, fields }.at(section, input.offset())),
            None => return Err(Problem::Truncated.at(section, input.offset())),
            found => return Err(input.syntax("`,` or `]`", found, section)),
        }
        input.peek_token(section)?;
        if place == 0 {
            start = input.offset();
        }
    }
}

/// A whole number with or without a sign, saturated.
fn integer(input: &mut Input<'_>, section: Section) -> Result<i64, ReadError> {
    let negative = input.peek_token(section)? == Some(b'-');
    if negative {
        input.pos += 1;
    }
    let mut value: Option<i64> = None;
    loop {
        match input.peek(section)? {
            Some(digit @ b'0'..=b'9') => {
                let digit = i64::from(digit - b'0');
                value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                input.pos += 1;
            }
            None => return Err(Problem::Truncated.at(section, input.offset())),
            found => {
                let wrong = value.is_none() || matches!(found, Some(b'.' | b'e' | b'E'));
                if wrong {
                    return Err(Problem::Syntax { expected: "a whole number", found: show_byte(found) }
                        .at(section, input.offset()));
                }
                return Ok(value.map_or(0, |v| if negative { -v } else { v }));
            }
        }
    }
}
