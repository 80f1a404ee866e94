//! Retainers: who holds an object, who holds these, and so on to the roots.

use super::{List, single_columns};
use crate::{
    row::Column,
    source::{Ask, Source},
};

pub(super) fn list(source: &mut Source, ask: &Ask) -> List {
    let columns: Vec<Column> = single_columns("Object").into_iter().map(Column::fixed).collect();
    let Some(ord) = ask.target else {
        let empty = "Select an object in another view and press r to see what keeps it alive.";
        return List { columns, empty: empty.to_owned(), ..List::default() };
    };
    let mut sum = format!("Who holds {}", source.called(ord));
    if !source.ignored.is_empty() {
        let names: Vec<String> = source.ignored.iter().map(|&ord| source.called(ord)).collect();
        sum += &format!(", as if {} did not (I counts again)", names.join(", "));
    }
    let empty = if source.ignored.is_empty() {
        "Nothing holds it but weak references, or V8 itself."
    } else {
        "Nothing else holds it: without the ignored objects it would be freed."
    };
    List { items: source.holders(ord), columns, sum, empty: empty.to_owned(), ..List::default() }
}
