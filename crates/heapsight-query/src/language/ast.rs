//! A query as a tree, and as text again.

use std::fmt;

use super::fields::{Field, Kind};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Query {
    /// Columns; empty for those that fit most questions.
    pub select: Vec<Field>,
    /// Which objects; all without.
    pub condition: Option<Condition>,
    /// By what objects are put together.
    pub group_by: Option<Field>,
    /// Order of the rows; by retained size without.
    pub order_by: Vec<Order>,
    /// Most rows.
    pub limit: Option<usize>,
}

/// A key of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The field.
    pub field: Field,
    /// Largest first.
    pub descending: bool,
}

/// What an object must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of them; two or more.
    All(Vec<Condition>),
    /// Any of them; two or more.
    Any(Vec<Condition>),
    /// Not so.
    Not(Box<Condition>),
    /// A field and a value.
    Compare(Comparison),
    /// A field that is one of several values.
    OneOf(Field, Vec<Value>),
    /// A field that is yes or no.
    Is(Field),
}

/// A field compared with a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field.
    pub field: Field,
    /// How.
    pub operator: Operator,
    /// With what.
    pub value: Value,
}

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `~`: a regular expression matches somewhere.
    Matches,
    /// `!~`
    MatchesNot,
}

impl Operator {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Matches => "~",
            Self::MatchesNot => "!~",
        }
    }

    /// Whether it has to do with greater and less.
    pub(super) fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Greater | Self::AtLeast)
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, a size in bytes, or an id.
    Number(u64),
    /// Text, or a regular expression.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Flag(yes) => write!(f, "{yes}"),
            Self::Text(text) => {
                f.write_str("\"")?;
                for c in text.chars() {
                    match c {
                        '"' => f.write_str("\\\"")?,
                        '\\' => f.write_str("\\\\")?,
                        '\n' => f.write_str("\\n")?,
                        '\t' => f.write_str("\\t")?,
                        '\r' => f.write_str("\\r")?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
        }
    }
}

impl Condition {
    /// How strongly it binds: what binds less needs brackets within what binds more.
    fn strength(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::All(_) => 1,
            _ => 2,
        }
    }
}

/// Within what it stands decides whether it needs brackets.
fn within(f: &mut fmt::Formatter<'_>, part: &Condition, strength: u8) -> fmt::Result {
    if part.strength() < strength { write!(f, "({part})") } else { write!(f, "{part}") }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let word = if matches!(self, Self::All(_)) { " and " } else { " or " };
                for (at, part) in parts.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { word })?;
                    // One level more, so that `(a and b) and c` keeps its brackets and its shape.
                    within(f, part, self.strength() + 1)?;
                }
                Ok(())
            }
            Self::Not(part) => {
                f.write_str("not ")?;
                within(f, part, 2)
            }
            Self::Compare(Comparison { field, operator, value }) => {
                write!(f, "{} {} {value}", field.name(), operator.sign())
            }
            Self::OneOf(field, values) => {
                write!(f, "{} in (", field.name())?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Is(field) => f.write_str(field.name()),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if !self.select.is_empty() {
            let names: Vec<&str> = self.select.iter().map(|field| field.name()).collect();
            parts.push(format!("select {}", names.join(", ")));
            if self.condition.is_some() {
                parts.push("where".to_owned());
            }
        }
        parts.extend(self.condition.as_ref().map(ToString::to_string));
        parts.extend(self.group_by.map(|field| format!("group by {}", field.name())));
        if !self.order_by.is_empty() {
            let keys: Vec<String> = self.order_by.iter().map(ToString::to_string).collect();
            parts.push(format!("order by {}", keys.join(", ")));
        }
        parts.extend(self.limit.map(|limit| format!("limit {limit}")));
        f.write_str(&parts.join(" "))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field.name(), if self.descending { "desc" } else { "asc" })
    }
}

impl Order {
    /// The order that is meant where none is given: numbers largest first, text by the alphabet.
    pub(super) fn natural(field: Field) -> Self {
        let numbers = matches!(field.kind(), Kind::Number | Kind::Bytes);
        Self {
            field,
            descending: numbers && !matches!(field, Field::Id | Field::Distance | Field::Round | Field::Age),
        }
    }
}
