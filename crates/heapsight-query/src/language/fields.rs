//! What can be asked of an object.

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number,
    /// Bytes: a number that may have a unit.
    Bytes,
    /// Text.
    Text,
    /// Yes or no.
    Flag,
}

/// A field of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// V8's object id.
    Id,
    /// Class (constructor).
    Class,
    /// Name; of a string, its text.
    Name,
    /// V8's node type.
    Type,
    /// Shallow size.
    SelfSize,
    /// Retained size.
    Retained,
    /// Steps from the roots, V8's own roots behind the program's; nothing where nothing leads there.
    Distance,
    /// Whether it is a detached DOM node.
    Detached,
    /// References from it.
    Edges,
    /// References to it.
    Retainers,
    /// npm package that it belongs to.
    Package,
    /// Source file that it belongs to.
    File,
    /// Where its function or its class's constructor stands.
    Source,
    /// Of several snapshots: the round in which it was born.
    Round,
    /// Of several snapshots: the rounds that it has been there since.
    Age,
    /// In a grouped query: objects of the group.
    Count,
}

impl Field {
    /// All fields, by their names in the language.
    pub const ALL: [(&'static str, Self); 16] = [
        ("id", Self::Id),
        ("class", Self::Class),
        ("name", Self::Name),
        ("type", Self::Type),
        ("self", Self::SelfSize),
        ("retained", Self::Retained),
        ("distance", Self::Distance),
        ("detached", Self::Detached),
        ("edges", Self::Edges),
        ("retainers", Self::Retainers),
        ("package", Self::Package),
        ("file", Self::File),
        ("source", Self::Source),
        ("round", Self::Round),
        ("age", Self::Age),
        ("count", Self::Count),
    ];

    /// Other names by which people know a field.
    const ALIASES: [(&'static str, Self); 9] = [
        ("shallow", Self::SelfSize),
        ("self_size", Self::SelfSize),
        ("shallow_size", Self::SelfSize),
        ("retained_size", Self::Retained),
        ("constructor", Self::Class),
        ("references", Self::Edges),
        ("retainer_count", Self::Retainers),
        ("location", Self::Source),
        ("born", Self::Round),
    ];

    /// The field of a name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let of = |list: &[(&'static str, Self)]| {
            list.iter().find(|(text, _)| text.eq_ignore_ascii_case(name)).map(|&(_, field)| field)
        };
        of(&Self::ALL).or_else(|| of(&Self::ALIASES))
    }

    /// The name in the language, and in JSON.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }

    /// What its values are.
    pub fn kind(self) -> Kind {
        match self {
            Self::SelfSize | Self::Retained => Kind::Bytes,
            Self::Id
            | Self::Distance
            | Self::Edges
            | Self::Retainers
            | Self::Round
            | Self::Age
            | Self::Count => Kind::Number,
            Self::Class | Self::Name | Self::Type | Self::Package | Self::File | Self::Source => Kind::Text,
            Self::Detached => Kind::Flag,
        }
    }

    /// Whether objects can be put together by it.
    pub(super) fn groups(self) -> bool {
        matches!(
            self,
            Self::Class | Self::Type | Self::Package | Self::File | Self::Name | Self::Detached | Self::Round
        )
    }
}

/// The name that a wrong one was most likely meant to be.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase();
    if wrong.len() > 2
        && let Some(longer) = names.clone().find(|name| name.starts_with(&wrong))
    {
        return Some(longer);
    }
    let (edits, name) = names.map(|name| (edits(&wrong, name), name)).min()?;
    (edits <= 1 + name.len() / 4).then_some(name)
}

/// Letters to change, add or leave out to make one word of another.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(40).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed() {
        let near = |wrong| nearest(wrong, Field::ALL.iter().map(|&(name, _)| name));
        assert_eq!(near("retaind"), Some("retained"));
        assert_eq!(near("clas"), Some("class"));
        assert_eq!(near("dist"), Some("distance"));
        assert_eq!(near("Packages"), Some("package"));
        assert_eq!(near("frobnicate"), None);
        assert_eq!(near(""), None);
        assert_eq!(Field::named("Shallow").map(Field::name), Some("self"));
    }
}
