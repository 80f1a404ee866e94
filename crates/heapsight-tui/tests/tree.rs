//! The tree grid against a plain list of rows, under random movements.

use heapsight_testkit::generate::Rng;
use heapsight_tui::tree::{Item, MAX_DEPTH, Tree};

/// The same tree as a list: items with their depth and whether they are open.
#[derive(Default)]
struct Plain(Vec<(Item, usize, bool)>);

impl Plain {
    fn end(&self, row: usize) -> usize {
        let depth = self.0[row].1;
        let below = self.0[row + 1..].iter().take_while(|(_, other, _)| *other > depth).count();
        row + 1 + below
    }

    fn open(&mut self, row: usize, items: &[Item]) {
        if !self.0[row].2 && !items.is_empty() {
            self.0[row].2 = true;
            let depth = self.0[row].1 + 1;
            self.0.splice(row + 1..=row, items.iter().map(|&item| (item, depth, false)));
        }
    }

    fn close(&mut self, row: usize) {
        if self.0[row].2 {
            let end = self.end(row);
            self.0.drain(row + 1..end);
            self.0[row].2 = false;
        }
    }

    fn parent(&self, row: usize) -> Option<usize> {
        (0..row).rev().find(|&above| self.0[above].1 < self.0[row].1)
    }
}

fn items(dice: &mut Rng, most: usize) -> Vec<Item> {
    (0..dice.below(most)).map(|_| Item::Object(dice.below(1000) as u32)).collect()
}

#[test]
fn a_tree_is_the_list_that_it_shows() {
    for seed in 0..200 {
        let mut dice = Rng::new(seed);
        let roots = items(&mut dice, 12);
        let mut plain = Plain(roots.iter().map(|&item| (item, 0, false)).collect());
        let mut tree = Tree::new(roots);
        for _ in 0..120 {
            let row = tree.selected();
            match dice.below(8) {
                0 | 1 => {
                    let below = items(&mut dice, 6);
                    if !plain.0.is_empty() {
                        plain.open(row, &below);
                    }
                    tree.open(below);
                }
                2 => {
                    if !plain.0.is_empty() {
                        plain.close(row);
                    }
                    tree.close();
                }
                3 => {
                    let parent = if plain.0.is_empty() { None } else { plain.parent(row) };
                    assert_eq!(tree.to_parent(), parent.is_some(), "seed {seed}");
                    assert_eq!(tree.selected(), parent.unwrap_or(row), "seed {seed}");
                }
                4 => tree.step(dice.below(9) as isize - 4),
                5 => tree.select(dice.below(80)),
                6 => tree.set_height(dice.below(12)),
                _ => tree.scroll(dice.below(9) as isize - 4),
            }
            assert_eq!(tree.len(), plain.0.len(), "seed {seed}");
            for (row, &(item, depth, is_open)) in plain.0.iter().enumerate() {
                let place = tree.place(row).unwrap();
                assert_eq!((place.item, place.depth, place.is_open), (item, depth, is_open), "seed {seed}");
            }
            assert_eq!(tree.place(plain.0.len()), None);
            assert!(tree.is_empty() || tree.selected() < tree.len(), "seed {seed}");
            let screen = tree.top()..tree.top() + tree.height();
            assert!(
                tree.is_empty() || screen.contains(&tree.selected()),
                "seed {seed}: selected is out of sight"
            );
            assert!(tree.on_screen().len() <= tree.height());
        }
    }
}

#[test]
fn there_is_an_end_to_how_deep_it_goes() {
    let mut tree = Tree::new(vec![Item::Object(0)]);
    for _ in 0..MAX_DEPTH * 2 {
        tree.open(vec![Item::Object(0)]);
        tree.step(1);
    }
    assert_eq!(tree.len(), MAX_DEPTH + 1);
}

#[test]
fn a_million_rows_are_a_list_and_no_more() {
    let mut tree = Tree::new((0..1_000_000).map(Item::Object).collect());
    tree.set_height(30);
    tree.select(999_999);
    tree.open(vec![Item::Field(1)]);
    tree.step(1);
    assert_eq!(tree.current().unwrap().item, Item::Field(1));
    assert_eq!(tree.on_screen().len(), 30);
}
