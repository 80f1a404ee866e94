//! The query language: what it understands, what it says of mistakes, and its answers against the most obvious ones.

use heapsight_analysis::{Heap, Silent};
use heapsight_query::{
    code::Code,
    language::{Answer, Births, Cell, Field, MAX_DEPTH, asks_for_rounds, evaluate, evaluate_born, parse},
};
use heapsight_testkit::{
    builder::SnapshotBuilder,
    generate::{self, Rng},
};

#[test]
fn queries_read_as_they_are_written() {
    for (text, wanted) in [
        ("", ""),
        ("class == \"Session\"", "class == \"Session\""),
        ("CLASS = 'Session' AND retained > 1.5 KiB", "class == \"Session\" and retained > 1536"),
        ("self >= 1MB or retained < 2_000 B", "self >= 1000000 or retained < 2000"),
        ("not (detached or edges > 3) and id == @7", "not (detached or edges > 3) and id == 7"),
        ("not not detached", "not not detached"),
        ("(a_b == 1)", "objects have no field `a_b`"),
        ("((detached))", "detached"),
        ("a == 1 or", "objects have no field `a`"),
        ("id == 1 and (id == 2 or id == 3) and id == 4", "id == 1 and (id == 2 or id == 3) and id == 4"),
        ("id == 1 or id == 2 and id == 3", "id == 1 or id == 2 and id == 3"),
        ("name ~ /a\\/b\\d/", "name ~ \"a/b\\\\d\""),
        ("name !~ \"x\" limit 5", "name !~ \"x\" limit 5"),
        ("type in (\"array\", 'string')", "type in (\"array\", \"string\")"),
        ("detached == false", "detached == false"),
        ("order by retained, class asc, id", "order by retained desc, class asc, id asc"),
        ("select id, shallow where detached", "select id, self where detached"),
        ("select * where detached", "detached"),
        ("select id", "select id"),
        (
            "retained > 0 group by class order by count limit 3",
            "retained > 0 group by class order by count desc limit 3",
        ),
        ("name == \"a\\n\\\"b\\\"\\\\\"", "name == \"a\\n\\\"b\\\"\\\\\""),
    ] {
        let shown = parse(text).map_or_else(|error| error.message, |query| query.to_string());
        assert_eq!(shown, wanted, "{text}");
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let shown = |text: &str| {
        let error = parse(text).unwrap_err();
        format!("{error}\n{}\n{}", error.picture(text), error.hint.clone().unwrap_or_default())
    };
    for (text, wanted) in [
        (
            "retaind > 1MB",
            "objects have no field `retaind`\n  retaind > 1MB\n  ^^^^^^^\ndid you mean `retained`?",
        ),
        (
            "class == Session",
            "`Session` stands where text in quotes is expected\n  class == Session\n           ^^^^^^^\ndid you mean \"Session\"?",
        ),
        (
            "retained > 1 and\n(class > \"A\")",
            "`class` cannot be compared with `>`\n  (class > \"A\")\n         ^\ntext is compared with ==, !=, ~, !~ or in",
        ),
        (
            "retained >",
            "the query ends where a size is expected\n  retained >\n            ^\nfor example: retained > 1MB",
        ),
        (
            "self > 1XB",
            "`XB` is no unit\n  self > 1XB\n         ^^^\nunits are B, KB, MB, GB (powers of 1,000) and KiB, MiB, GiB (powers of 1,024)",
        ),
        ("id == 1 && id == 2", "`&` means nothing here\n  id == 1 && id == 2\n          ^\nwrite `and`"),
        (
            "detached limt 3",
            "`limt` stands where `and`, `or`, `group by`, `order by`, `limit` or the end is expected\n  detached limt 3\n           ^^^^\ndid you mean `limit`?",
        ),
        ("name == \"x", "the text has no closing quote\n  name == \"x\n          ^\n"),
        (
            "group by id",
            "objects cannot be grouped by `id`\n  group by id\n           ^^\ngroup by class, type, name, package, file or detached",
        ),
        (
            "count > 3",
            "`count` is a column of groups, no field of objects\n  count > 3\n  ^^^^^\nuse it in `order by`",
        ),
        (
            "id == 99999999999999999999",
            "this is no number, or too large a one\n  id == 99999999999999999999\n        ^^^^^^^^^^^^^^^^^^^^\n",
        ),
    ] {
        assert_eq!(shown(text), wanted, "{text}");
    }
    assert!(parse("name ~ /(/").unwrap_err().message.starts_with("this is no regular expression: "));
    assert!(parse("order by count").unwrap_err().hint.unwrap().contains("group by"));
    let deep = |n: usize| format!("{}detached{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(MAX_DEPTH - 1)).is_ok());
    assert!(parse(&deep(MAX_DEPTH + 1)).is_err());
    assert!(parse(&"not ".repeat(10_000)).is_err());
    assert!(parse(&"x".repeat(1 << 20)).is_err());
}

/// Pieces of which queries are made, and some of which they are not.
const PIECES: [&str; 52] = [
    "class",
    "name",
    "type",
    "self",
    "retained",
    "distance",
    "detached",
    "edges",
    "retainers",
    "id",
    "count",
    "package",
    "source",
    "file",
    "==",
    "!=",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "~",
    "!~",
    "(",
    ")",
    ",",
    "and",
    "or",
    "not",
    "in",
    "select",
    "where",
    "group",
    "order",
    "by",
    "limit",
    "asc",
    "desc",
    "*",
    "\"a\"",
    "'b\\''",
    "/x\\d/",
    "1",
    "2.5MB",
    "@7",
    "true",
    "false",
    "ä",
    "\\",
    "\"",
    "/",
    "1.2.3",
];

#[test]
fn no_text_makes_it_panic_and_what_is_understood_survives_printing() {
    let mut understood = 0;
    for seed in 0..60_000 {
        let mut rng = Rng::new(seed);
        let text = if seed % 2 == 0 {
            let words: Vec<&str> = (0..rng.below(14)).map(|_| rng.pick(&PIECES)).collect();
            words.join(if rng.chance(90) { " " } else { "" })
        } else {
            condition(&mut rng, 4)
                + rng.pick(&["", " limit 3", " order by self", " group by type", " group by class limit 0"])
        };
        match parse(&text) {
            Ok(query) => {
                understood += 1;
                let printed = query.to_string();
                assert_eq!(parse(&printed), Ok(query), "{text} -> {printed}");
            }
            Err(error) => {
                assert!(error.at.start <= error.at.end && error.at.end <= text.len(), "{text}: {error:?}");
                assert!(!error.picture(&text).is_empty());
            }
        }
    }
    assert!(understood > 25_000, "{understood}");
}

/// A condition that makes sense.
fn condition(rng: &mut Rng, depth: usize) -> String {
    match if depth == 0 { 0 } else { rng.below(6) } {
        1 => format!("({} and {})", condition(rng, depth - 1), condition(rng, depth - 1)),
        2 => format!("({} or {})", condition(rng, depth - 1), condition(rng, depth - 1)),
        3 => format!("not {}", condition(rng, depth - 1)),
        4 => format!("{} in ({}, {})", rng.pick(&["id", "self", "edges"]), rng.below(20), rng.below(20)),
        5 => rng
            .pick(&[
                "detached",
                "class ~ /a/",
                "type == \"string\"",
                "name != \"x\"",
                "type in (\"array\", \"object\")",
            ])
            .to_owned(),
        _ => {
            let field = rng.pick(&["id", "self", "retained", "distance", "edges", "retainers"]);
            let sign = rng.pick(&["==", "!=", "<", "<=", ">", ">="]);
            format!("{field} {sign} {}", rng.below(60))
        }
    }
}

/// An object's value as a number, in the most obvious way.
fn number(heap: &Heap, ord: u32, field: &str) -> Option<u64> {
    let snapshot = &heap.snapshot;
    Some(match field {
        "id" => u64::from(snapshot.nodes.id[ord as usize]),
        "self" => snapshot.nodes.self_size.get(ord),
        "retained" => heap.retained.get(ord),
        "edges" => snapshot.edges_of(ord).count() as u64,
        "retainers" => snapshot.edges.to.iter().filter(|&&to| to == ord).count() as u64,
        _ => return u64::try_from(heap.distance[ord as usize]).ok(),
    })
}

fn ids(answer: &Answer) -> Vec<u64> {
    let id = |cell: &Cell| if let Cell::Id(id) = cell { u64::from(*id) } else { u64::MAX };
    answer.rows.iter().map(|row| id(&row.cells[0])).collect()
}

#[test]
fn answers_are_those_of_the_naive_computation() {
    let mut found = 0;
    for seed in 0..1500 {
        let heap = Heap::build(generate::graph(seed).snapshot(), &Silent, &()).unwrap();
        let mut rng = Rng::new(seed);
        let field = rng.pick(&["id", "self", "retained", "distance", "edges", "retainers"]);
        let bound = rng.below(60) as u64;
        let kind = heap.snapshot.node_type(rng.below(heap.snapshot.node_count()) as u32).to_owned();
        let order = rng.pick(&["retained", "self", "edges"]);
        let limit = rng.below(8);
        let query = format!(
            "select id, self where ({field} > {bound} or type == \"{kind}\") and not detached order by {order} desc limit {limit}"
        );
        let answer = evaluate(&heap, &Code::none(), &parse(&query).unwrap());
        let mut wanted: Vec<u32> = (0..heap.snapshot.node_count() as u32)
            .filter(|&ord| heap.snapshot.nodes.self_size.get(ord) > 0)
            .filter(|&ord| {
                number(&heap, ord, field).is_some_and(|n| n > bound) || heap.snapshot.node_type(ord) == kind
            })
            .filter(|&ord| heap.detached.of(ord) != 2)
            .collect();
        assert_eq!(answer.count, wanted.len() as u64, "seed {seed}: {query}");
        wanted.sort_by_key(|&ord| {
            (std::cmp::Reverse(number(&heap, ord, order)), heap.snapshot.nodes.id[ord as usize], ord)
        });
        wanted.truncate(limit);
        let wanted: Vec<u64> =
            wanted.iter().map(|&o| u64::from(heap.snapshot.nodes.id[o as usize])).collect();
        assert_eq!(ids(&answer), wanted, "seed {seed}: {query}");
        found += wanted.len();
    }
    assert!(found > 1000, "{found}");
}

#[test]
fn groups_are_those_of_the_summary() {
    for seed in 0..500 {
        let heap = Heap::build(generate::graph(seed).snapshot(), &Silent, &()).unwrap();
        let query = parse("group by class order by class limit 100000").unwrap();
        let answer = evaluate(&heap, &Code::none(), &query);
        assert_eq!(answer.columns, [Field::Class, Field::Count, Field::SelfSize, Field::Retained]);
        // Classes of one name at several places are one group here; their counts and shallow sizes add up.
        let mut names: Vec<&str> =
            heap.summary.iter().map(|row| heap.classes.table[row.class as usize].name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(answer.rows.len(), names.len(), "seed {seed}");
        for (row, name) in answer.rows.iter().zip(names) {
            let of_name =
                heap.summary.iter().filter(|row| heap.classes.table[row.class as usize].name == name);
            let classes: Vec<_> = of_name.collect();
            let (count, size) =
                classes.iter().fold((0, 0), |sum, row| (sum.0 + row.count, sum.1 + row.self_size));
            assert_eq!(
                row.cells[..3],
                [Cell::Text(name.to_owned()), Cell::Number(count), Cell::Bytes(size)],
                "seed {seed}"
            );
            if let [only] = classes[..] {
                assert_eq!(row.cells[3], Cell::Bytes(only.retained_size), "seed {seed}: {name}");
            }
        }
    }
}

#[test]
fn of_several_snapshots_objects_have_rounds() {
    let snapshot = |count: u64| {
        let mut graph = SnapshotBuilder::new();
        let global = graph.global("Window", 32);
        graph.id(global, 3);
        for at in 0..count {
            let node = graph.object(global, &format!("s{at}"), "Session", 64);
            graph.id(node, 101 + 2 * at);
        }
        Heap::build(graph.snapshot(), &Silent, &()).unwrap()
    };
    let heaps = [snapshot(5), snapshot(7), snapshot(10)];
    let births = Births::new(&heaps[2], &[&heaps[0], &heaps[1]]);
    let ask = |text: &str| {
        let query = parse(text).unwrap();
        assert!(asks_for_rounds(&query), "{text}");
        evaluate_born(&heaps[2], &Code::none(), &query, Some(&births))
    };
    for (text, count) in [
        ("class == 'Session' and round == 0", 5),
        ("class == 'Session' and born == 1", 2),
        ("class == 'Session' and age(round) == 0", 3),
        ("class == 'Session' and age >= 1", 7),
        ("class == 'Session' and age( ROUND ) == 2", 5),
    ] {
        assert_eq!(ask(text).count, count, "{text}");
    }
    let groups = ask("class == 'Session' group by round order by round");
    let cells: Vec<&[Cell]> = groups.rows.iter().map(|row| &row.cells[..2]).collect();
    assert_eq!(
        cells,
        [5, 2, 3]
            .iter()
            .enumerate()
            .map(|(round, &count)| { [Cell::Number(round as u64), Cell::Number(count)] })
            .collect::<Vec<_>>()
    );
    // One snapshot does not say; nothing is equal to what is not known.
    assert_eq!(evaluate(&heaps[2], &Code::none(), &parse("round == 0").unwrap()).count, 0);
    assert!(!asks_for_rounds(&parse("class == 'round'").unwrap()));
    assert!(parse("age(days) == 1").is_err() && parse("age(round == 1").is_err());
    assert_eq!(parse("age(round) = 1").unwrap().to_string(), "age == 1");
}
