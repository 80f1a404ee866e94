//! Dominators: what keeps how much alive, as a tree.

use super::{List, single_columns};
use crate::{
    source::{Ask, Source},
    tree::Item,
};

pub(super) fn list(source: &mut Source, ask: &Ask) -> List {
    let columns = single_columns("Object");
    let (items, sum) = if let Some(ord) = ask.target {
        (vec![Item::Dominated(ord)], format!("What {} keeps alive", source.called(ord)))
    } else {
        let root = source.heap().snapshot.root;
        (source.below(Item::Dominated(root), ask), "What keeps how much alive, from the root".to_owned())
    };
    List { items, columns, sum, empty: "The root dominates nothing.".to_owned(), ..List::default() }
}
