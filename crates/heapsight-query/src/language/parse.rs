//! From words to a tree. By hand, with a bound on depth, and types checked on the way.

use std::ops::Range;

use regex::Regex;

use super::{
    MAX_DEPTH, MAX_LENGTH, MAX_ORDER,
    ast::{Comparison, Condition, Operator, Order, Query, Value},
    error::QueryError,
    fields::{Field, Kind, nearest},
    lex::{Lexeme, Token, lex},
};

/// Words that begin a part of a query.
const CLAUSES: [&str; 5] = ["select", "where", "group", "order", "limit"];

type Result<T> = std::result::Result<T, QueryError>;

/// Understands a query, or says where it is wrong.
pub fn parse(text: &str) -> Result<Query> {
    if text.len() > MAX_LENGTH {
        return Err(QueryError::new(format!("the query is longer than {MAX_LENGTH} bytes"), 0..0));
    }
    let mut parser = Parser { lexemes: lex(text)?, at: 0, depth: 0 };
    let query = parser.query()?;
    check(&query, text)?;
    Ok(query)
}

/// What goes only with `group by`, and what does not.
fn check(query: &Query, text: &str) -> Result<()> {
    let whole = 0..text.len();
    let asked = query.select.iter().copied().chain(query.order_by.iter().map(|key| key.field));
    for field in asked {
        match query.group_by {
            None if field == Field::Count => {
                return Err(QueryError::new("`count` is a column of grouped queries", whole)
                    .hint("add `group by class`"));
            }
            Some(by) if ![by, Field::Count, Field::SelfSize, Field::Retained].contains(&field) => {
                return Err(QueryError::new(
                    format!("a query grouped by {} has no column `{}`", by.name(), field.name()),
                    whole,
                )
                .hint(format!("groups have {}, count, self and retained", by.name())));
            }
            _ => {}
        }
    }
    Ok(())
}

struct Parser {
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
}

impl Parser {
    /// The word in hand. The last one is the end and is never passed.
    fn here(&self) -> &Lexeme {
        &self.lexemes[self.at.min(self.lexemes.len() - 1)]
    }

    fn next(&mut self) -> Lexeme {
        let lexeme = self.here().clone();
        self.at += 1;
        lexeme
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.here().token, Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.here().token, Token::Sign(s) if s == sign);
        self.at += usize::from(found);
        found
    }

    fn is_end(&self) -> bool {
        self.here().token == Token::End
    }

    fn starts_clause(&self) -> bool {
        self.is_end() || CLAUSES.iter().any(|clause| self.is_word(clause))
    }

    /// Something else was expected here.
    fn expected(&self, what: &str) -> QueryError {
        let here = self.here();
        let found = match &here.token {
            Token::End => "the query ends".to_owned(),
            Token::Word(word) => format!("`{word}` stands"),
            Token::Number(_) => "a number stands".to_owned(),
            Token::Text(_) => "text stands".to_owned(),
            Token::Pattern(_) => "a pattern stands".to_owned(),
            Token::Sign(sign) => format!("`{sign}` stands"),
        };
        QueryError::new(format!("{found} where {what} is expected"), here.at.clone())
    }

    fn query(&mut self) -> Result<Query> {
        let mut query = Query::default();
        if self.take_word("select") {
            if !self.take_sign("*") {
                query.select = self.list(Self::field)?;
            }
            if self.take_word("where") && self.starts_clause() {
                return Err(self.expected("a condition"));
            }
        } else if self.take_word("where") && self.starts_clause() {
            return Err(self.expected("a condition"));
        }
        if !self.starts_clause() {
            query.condition = Some(self.any()?);
        }
        if self.take_word("group") {
            self.by()?;
            let at = self.here().at.clone();
            let field = self.field()?;
            if !field.groups() {
                return Err(QueryError::new(format!("objects cannot be grouped by `{}`", field.name()), at)
                    .hint("group by class, type, name, package, file or detached"));
            }
            query.group_by = Some(field);
        }
        if self.take_word("order") {
            self.by()?;
            let at = self.here().at.clone();
            query.order_by = self.list(Self::order)?;
            if query.order_by.len() > MAX_ORDER {
                return Err(QueryError::new(format!("an order has at most {MAX_ORDER} keys"), at));
            }
        }
        if self.take_word("limit") {
            let Lexeme { token, at } = self.next();
            let Token::Number(limit) = token else {
                self.at -= 1;
                return Err(self.expected("a number of rows"));
            };
            let limit = usize::try_from(limit).map_err(|_| QueryError::new("the limit is too large", at))?;
            query.limit = Some(limit);
        }
        if self.is_end() {
            return Ok(query);
        }
        let error = self.expected("`and`, `or`, `group by`, `order by`, `limit` or the end");
        Err(match &self.here().token {
            Token::Word(word) => match nearest(word, CLAUSES.into_iter().chain(["and", "or"])) {
                Some(near) if near != word.to_ascii_lowercase() => {
                    error.hint(format!("did you mean `{near}`?"))
                }
                _ => error.hint("the order is: select, conditions, group by, order by, limit"),
            },
            _ => error,
        })
    }

    fn by(&mut self) -> Result<()> {
        if self.take_word("by") { Ok(()) } else { Err(self.expected("`by`")) }
    }

    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut list = vec![one(self)?];
        while self.take_sign(",") {
            list.push(one(self)?);
        }
        Ok(list)
    }

    fn order(&mut self) -> Result<Order> {
        let natural = Order::natural(self.field()?);
        let descending = if self.take_word("desc") {
            true
        } else if self.take_word("asc") {
            false
        } else {
            natural.descending
        };
        Ok(Order { descending, ..natural })
    }

    fn field(&mut self) -> Result<Field> {
        let Token::Word(word) = &self.here().token else { return Err(self.expected("the name of a field")) };
        if let Some(field) = Field::named(word) {
            self.at += 1;
            // `age(round)` says in what it is counted; there is nothing else.
            if field == Field::Age && self.take_sign("(") && !(self.take_word("round") && self.take_sign(")"))
            {
                return Err(self.expected("`round)`: an age is counted in rounds"));
            }
            return Ok(field);
        }
        if CLAUSES.iter().any(|clause| self.is_word(clause)) {
            return Err(self.expected("the name of a field"));
        }
        let names = || Field::ALL.iter().map(|&(name, _)| name);
        let hint = match nearest(word, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("fields are {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err(QueryError::new(format!("objects have no field `{word}`"), self.here().at.clone()).hint(hint))
    }

    fn any(&mut self) -> Result<Condition> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition> {
        let mut parts = vec![self.one()?];
        while self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn one(&mut self) -> Result<Condition> {
        if self.depth >= MAX_DEPTH {
            let at = self.here().at.clone();
            return Err(QueryError::new(format!("conditions are nested more than {MAX_DEPTH} deep"), at));
        }
        self.depth += 1;
        let condition = self.inner();
        self.depth -= 1;
        condition
    }

    fn inner(&mut self) -> Result<Condition> {
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take_sign("(") {
            let condition = self.any()?;
            return if self.take_sign(")") { Ok(condition) } else { Err(self.expected("`)`")) };
        }
        let name_at = self.here().at.clone();
        let field = self.field()?;
        if field == Field::Count {
            return Err(QueryError::new("`count` is a column of groups, no field of objects", name_at)
                .hint("use it in `order by`"));
        }
        if self.take_word("in") {
            if !self.take_sign("(") {
                return Err(self.expected("`(`"));
            }
            let mut values = vec![self.value(field)?];
            while self.take_sign(",") {
                values.push(self.value(field)?);
            }
            return if self.take_sign(")") {
                Ok(Condition::OneOf(field, values))
            } else {
                Err(self.expected("`,` or `)`"))
            };
        }
        let sign_at = self.here().at.clone();
        let Some(operator) = self.operator() else {
            return if field.kind() == Kind::Flag {
                Ok(Condition::Is(field))
            } else {
                Err(self.expected("a comparison (==, !=, <, <=, >, >=, ~, !~ or in)"))
            };
        };
        fits(field, operator, sign_at)?;
        let value = match operator {
            Operator::Matches | Operator::MatchesNot => self.pattern()?,
            _ => self.value(field)?,
        };
        Ok(Condition::Compare(Comparison { field, operator, value }))
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match self.here().token {
            Token::Sign("==" | "=") => Operator::Equal,
            Token::Sign("!=") => Operator::NotEqual,
            Token::Sign("<") => Operator::Less,
            Token::Sign("<=") => Operator::AtMost,
            Token::Sign(">") => Operator::Greater,
            Token::Sign(">=") => Operator::AtLeast,
            Token::Sign("~") => Operator::Matches,
            Token::Sign("!~") => Operator::MatchesNot,
            _ => return None,
        };
        self.at += 1;
        Some(operator)
    }

    /// A value of a field's kind.
    fn value(&mut self, field: Field) -> Result<Value> {
        let value = match (field.kind(), &self.here().token) {
            (Kind::Number | Kind::Bytes, Token::Number(n)) => Value::Number(*n),
            (Kind::Text, Token::Text(text)) => Value::Text(text.clone()),
            (Kind::Flag, Token::Word(_)) if self.is_word("true") => Value::Flag(true),
            (Kind::Flag, Token::Word(_)) if self.is_word("false") => Value::Flag(false),
            (kind, token) => {
                let (what, example) = match kind {
                    Kind::Number => ("a number", format!("{} > 10", field.name())),
                    Kind::Bytes => ("a size", format!("{} > 1MB", field.name())),
                    Kind::Flag => ("`true` or `false`", field.name().to_owned()),
                    Kind::Text => ("text in quotes", format!("{} == \"Session\"", field.name())),
                };
                let error = self.expected(what);
                return Err(match (kind, token) {
                    (Kind::Text, Token::Word(word)) => error.hint(format!("did you mean \"{word}\"?")),
                    _ => error.hint(format!("for example: {example}")),
                });
            }
        };
        self.at += 1;
        Ok(value)
    }

    fn pattern(&mut self) -> Result<Value> {
        let (Token::Text(text) | Token::Pattern(text)) = &self.here().token else {
            return Err(self.expected("a regular expression").hint("for example: name ~ /^Bearer /"));
        };
        if let Err(error) = Regex::new(text) {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            return Err(QueryError::new(
                format!("this is no regular expression: {reason}"),
                self.here().at.clone(),
            ));
        }
        let value = Value::Text(text.clone());
        self.at += 1;
        Ok(value)
    }
}

fn one_or(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            several(parts)
        }
    }
}

/// Whether a comparison makes sense for a field.
fn fits(field: Field, operator: Operator, at: Range<usize>) -> Result<()> {
    let name = field.name();
    let matches = matches!(operator, Operator::Matches | Operator::MatchesNot);
    let hint = match field.kind() {
        Kind::Text if operator.is_order() => "text is compared with ==, !=, ~, !~ or in",
        Kind::Number | Kind::Bytes if matches => "numbers are compared with ==, !=, <, <=, >, >= or in",
        Kind::Flag if matches || operator.is_order() => "it is yes or no: write it alone, or behind `not`",
        _ => return Ok(()),
    };
    Err(QueryError::new(format!("`{name}` cannot be compared with `{}`", operator.sign()), at).hint(hint))
}
