//! Real captures, redacted: nothing of their texts is left, everything else is as it was, and whatever is put back is found.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::HashMap;

use heapsight_redact::{Expected, Key, Outcome, Replaced, Strays, Survey, is_marker, redact, scan};
use heapsight_snapshot::{NodeKind, ReadOptions, Snapshot, read};
use heapsight_testkit::{
    builder::{SnapshotBuilder, read as read_text},
    fixtures,
    generate::{self, Rng},
};
use regex::Regex;

/// The same key each time, so that a failure can be looked into.
fn key() -> Key {
    Key::of(b"a key of tests, thirty-two bytes")
}

fn text_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut text = Vec::new();
    heapsight_snapshot::write(snapshot, &mut text, 2).unwrap();
    text
}

/// What both ways make of a file, which must be the same.
fn redacted(text: &[u8], keep: Option<&Regex>) -> Vec<u8> {
    let mut snapshot = read_text(text).unwrap();
    let replaced = redact(&mut snapshot, &key(), keep).unwrap();
    let (streamed, also_replaced) = streamed(text, keep);
    assert_eq!(replaced, also_replaced);
    same(&snapshot, &read_text(&streamed).unwrap());
    assert!(streamed.len() < 2 * text.len() + 4096, "{} {}", streamed.len(), text.len());
    streamed
}

/// The same without holding the file.
fn streamed(text: &[u8], keep: Option<&Regex>) -> (Vec<u8>, Replaced) {
    let mut survey = Survey::first(text, ReadOptions::default(), keep).unwrap();
    survey.second(text, ReadOptions::default()).unwrap();
    if survey.needs_third() {
        survey.third(text, ReadOptions::default()).unwrap();
    }
    assert!(survey.is_usual());
    let mut out = Vec::new();
    let replaced = survey.write(text, ReadOptions::default(), &mut out, (&key(), keep)).unwrap();
    (out, replaced)
}

/// Two snapshots are one, number by number and name by name.
fn same(one: &Snapshot, other: &Snapshot) {
    assert_eq!(one.nodes.kind[..], other.nodes.kind[..]);
    assert_eq!(one.nodes.id[..], other.nodes.id[..]);
    assert_eq!(one.nodes.first_edge[..], other.nodes.first_edge[..]);
    assert_eq!(one.edges.kind[..], other.edges.kind[..]);
    assert_eq!(one.edges.name[..], other.edges.name[..]);
    assert_eq!(one.edges.to[..], other.edges.to[..]);
    assert_eq!(one.samples, other.samples);
    assert_eq!(one.locations.nodes[..], other.locations.nodes[..]);
    assert_eq!(one.traces.as_ref().map(|t| t.nodes.len()), other.traces.as_ref().map(|t| t.nodes.len()));
    for (node, (&a, &b)) in one.nodes.name.iter().zip(other.nodes.name.iter()).enumerate() {
        assert_eq!(one.strings.wtf8(a), other.strings.wtf8(b), "node {node}");
    }
    for edge in 0..one.edge_count() {
        let (Some(a), Some(b)) = (one.edge_string(edge), other.edge_string(edge)) else { continue };
        assert_eq!(one.strings.wtf8(a), other.strings.wtf8(b), "edge {edge}");
    }
    let common = one.strings.len().min(other.strings.len()) as u32;
    assert!((0..common / 2).all(|string| one.strings.raw(string) == other.strings.raw(string)));
}

fn verified(file: &[u8], original: &[u8], keep: Option<&Regex>) -> Outcome {
    let expected = Expected::of(&read_text(original).unwrap(), keep);
    let strays = Strays::of(file).unwrap();
    expected.compare(&strays, &read(file, ReadOptions::default()).unwrap())
}

/// Every capture but the timelines, which are as long again and have no other strings.
fn captures() -> Vec<String> {
    fixtures::all()
        .into_iter()
        .filter(|name| name.ends_with("heapsnapshot") || name.contains("-22."))
        .collect()
}

#[test]
fn captures_have_no_text_left_and_the_same_graph() {
    for name in captures() {
        let original = fixtures::text(&name);
        let file = redacted(&original, None);
        let outcome = verified(&file, &original, None);
        assert!(outcome.is_clean(), "{name}: {outcome:?}");
        assert!(outcome.texts > 200, "{name}: {outcome:?}");
        let (before, after) = (read_text(&original).unwrap(), read_text(&file).unwrap());
        assert!(after.warnings.is_empty(), "{name}: {:?}", after.warnings);
        for ord in 0..before.node_count() as u32 {
            let name_of = |s: &Snapshot| s.strings.get(s.nodes.name[ord as usize]).into_owned();
            if before.node_kind(ord) == NodeKind::STRING {
                let (old, new) = (name_of(&before), name_of(&after));
                assert!(
                    is_marker(new.as_bytes()) || ["", "true", "false"].contains(&old.as_str()),
                    "{old} {new}"
                );
            }
        }
        assert_eq!(before.locations.nodes[..], after.locations.nodes[..], "{name}");
        assert_eq!(before.samples, after.samples, "{name}");
    }
}

#[test]
fn an_original_is_not_clean() {
    for name in captures() {
        let original = fixtures::text(&name);
        let outcome = verified(&original, &original, None);
        assert!(!outcome.is_clean() && outcome.leaks > 200, "{name}: {outcome:?}");
    }
}

#[test]
fn equal_texts_stay_equal_within_a_file_and_cannot_be_linked_between_two() {
    let text = fixtures::text("pairB.heapsnapshot");
    let before = read_text(&text).unwrap();
    let mut one = read_text(&text).unwrap();
    let mut other = read_text(&text).unwrap();
    redact(&mut one, &Key::random().unwrap(), None).unwrap();
    redact(&mut other, &Key::random().unwrap(), None).unwrap();
    let mut markers: HashMap<u32, (u32, String)> = HashMap::new();
    let mut seen = HashMap::new();
    for ord in 0..before.node_count() {
        if before.node_kind(ord as u32) != NodeKind::STRING {
            continue;
        }
        let new = one.nodes.name[ord];
        let marker = one.strings.get(new).into_owned();
        let known = markers.entry(before.nodes.name[ord]).or_insert_with(|| (new, marker.clone()));
        assert_eq!(known.0, new, "one text has one marker");
        let owner = *seen.entry(marker.clone()).or_insert(before.nodes.name[ord]);
        assert_eq!(owner, before.nodes.name[ord], "one marker has one text");
        if is_marker(marker.as_bytes()) {
            assert!(other.strings.find(&marker).is_empty());
        }
    }
    assert!(markers.len() > 1000);
}

/// A file with everything that needs care.
fn careful() -> SnapshotBuilder {
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let conf = graph.object(global, "conf", "Config", 10);
    for (property, value) in
        [("password", "correct horse battery"), ("name", "name"), ("empty", ""), ("on", "true")]
    {
        let text = graph.node("string", value, 20);
        graph.edge(conf, "property", property, text);
    }
    let regexp = graph.node("regexp", "^alice-[0-9]+$", 20);
    graph.edge(conf, "property", "pattern", regexp);
    graph.int(conf, "limit", 123_456_789);
    let cons = graph.node("concatenated string", "(concatenated string)", 20);
    let first = graph.node("string", "ada.lovelace@anal", 20);
    let second = graph.node("string", "ytical.org", 20);
    graph.edge(cons, "internal", "first", first).edge(cons, "internal", "second", second);
    graph.edge(conf, "property", "mail", cons);
    let by_mail = graph.object(conf, "byMail", "Object", 10);
    graph.object(by_mail, "ada.lovelace@analytical.org", "User", 10);
    let session = graph.node("string", "weakly held text", 20);
    let key = graph.object(conf, "key", "Key", 10);
    let table = graph.node("array", "", 10);
    graph.edge(conf, "property", "table", table).weak_map_entry(1, table, key, session);
    let script = graph.node("code", "https://app.example/main.js?token=abcdef", 10);
    graph.edge(conf, "internal", "script", script);
    let input = graph.node("native", "<input value=\"4711 secret\">", 10);
    graph.edge(conf, "property", "input", input);
    graph
}

#[test]
fn what_is_data_among_names_goes_and_the_program_stays() {
    let original = careful().text();
    let file = redacted(&original, None);
    let text = String::from_utf8(file.clone()).unwrap();
    for gone in [
        "correct horse",
        "alice",
        "123456789",
        "anal",
        "ytical",
        "weakly",
        "token=",
        "4711",
        "secret",
        "lovelace",
    ] {
        assert!(!text.contains(gone), "{gone}");
    }
    for kept in [
        "\"password\"",
        "\"Config\"",
        "\"byMail\"",
        "(concatenated string)",
        "\"name\"",
        "\"true\"",
        "\"limit\"",
        "https://app.example/main.js?~",
        "<input ~",
        "part of key (Key @",
        ") -> value (~",
        "pair in WeakMap (table @",
    ] {
        assert!(text.contains(kept), "{kept}");
    }
    assert!(verified(&file, &original, None).is_clean());
    // Redacting again changes every marker, and the first file's are texts then.
    let again = redacted_with(&file, &Key::of(&[9; 32]));
    assert!(verified(&again, &file, None).is_clean());
    assert!(!verified(&file, &file, None).is_clean());
}

fn redacted_with(text: &[u8], key: &Key) -> Vec<u8> {
    let mut snapshot = read_text(text).unwrap();
    redact(&mut snapshot, key, None).unwrap();
    text_of(&snapshot)
}

#[test]
fn texts_that_are_to_be_kept_stay_and_verify_knows() {
    let original = careful().text();
    let keep = Regex::new("^weakly held").unwrap();
    let file = redacted(&original, Some(&keep));
    assert!(String::from_utf8_lossy(&file).contains("\"weakly held text\""));
    assert!(verified(&file, &original, Some(&keep)).is_clean());
    assert!(!verified(&file, &original, None).is_clean());
}

#[test]
fn keys_of_a_dictionary_that_no_code_knows_are_data() {
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let users = graph.object(global, "users", "Object", 10);
    let store = graph.node("array", "(object properties)", 10);
    graph.edge(users, "internal", "properties", store);
    let pool = graph.node("code", "(constant pool)", 10);
    graph.edge(global, "internal", "code", pool);
    let feedback = graph.node("code", "system / FeedbackVector", 10);
    graph.edge(global, "internal", "feedback", feedback);
    for i in 0..30u32 {
        let name = format!("person{}", (b'a' + i as u8) as char);
        graph.object(users, &name, "User", 10);
        let key = graph.node("string", &name, 10);
        graph.edge(store, "internal", i, key);
        match i {
            0..5 => drop(graph.edge(pool, "internal", i, key)),
            5..9 => drop(graph.edge(feedback, "internal", i, key)),
            _ => {}
        }
    }
    let original = graph.text();
    let mut snapshot = read_text(&original).unwrap();
    let replaced = redact(&mut snapshot, &key(), None).unwrap();
    assert_eq!(replaced.keys, 25, "what code knows stays, what it has seen does not");
    let text = String::from_utf8(text_of(&snapshot)).unwrap();
    assert!(text.contains("\"persona\"") && !text.contains("\"personf\"") && !text.contains("\"personz\""));
    assert!(verified(text.as_bytes(), &original, None).is_clean());
    // Key and property are one text, and stay so.
    let edge = snapshot.edges_of(users as u32).last().unwrap();
    let key = snapshot.edges_of(store as u32).last().unwrap();
    assert_eq!(snapshot.edges.name[edge], snapshot.nodes.name[snapshot.edges.to[key] as usize]);
}

#[test]
fn tables_of_dictionaries_may_come_before_them() {
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let store = graph.node("array", "(object properties)", 10);
    graph.edge(global, "internal", "first", store);
    let users = graph.object(global, "users", "Object", 10);
    let others = graph.object(global, "others", "Object", 10);
    for object in [users, others] {
        graph.edge(object, "internal", "properties", store);
    }
    for i in 0..20u8 {
        let name = format!("person{}", (b'a' + i) as char);
        graph.object(users, &name, "User", 10);
        graph.object(others, &name, "User", 10);
        let key = graph.node("string", &name, 10);
        graph.edge(store, "internal", u32::from(i), key);
    }
    let original = graph.text();
    let mut survey = Survey::first(&original[..], ReadOptions::default(), None).unwrap();
    survey.second(&original[..], ReadOptions::default()).unwrap();
    assert!(survey.needs_third());
    let file = redacted(&original, None);
    assert!(!String::from_utf8_lossy(&file).contains("person"));
}

#[test]
fn files_of_many_windows_are_the_same_either_way() {
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let mut rng = Rng::new(7);
    for i in 0..90_000 {
        let list = graph.node("array", "", 16);
        graph.edge(global, "element", i, list);
        for k in 0..3 {
            let text = match rng.below(4) {
                0 => "value".to_owned(),
                1 => format!("field{k}"),
                _ => format!("text {} of {}", rng.any(), "x".repeat(rng.below(60))),
            };
            let kind = rng.pick(&["string", "concatenated string", "object", "number"]);
            let node = graph.node(kind, &text, 20);
            graph.edge(list, "property", format!("field{k}").as_str(), node);
            graph.edge(list, "internal", "elements", node);
        }
    }
    // An object whose edges are in more than one window.
    let wide = graph.object(global, "wide", "Object", 10);
    let table = graph.node("array", "(object properties)", 10);
    graph.edge(wide, "internal", "properties", table);
    for i in 0..300_000u32 {
        let key = format!("k{}", rng.any());
        let text = if i % 3 == 0 { graph.node("string", &key, 20) } else { table };
        graph.edge(wide, "property", key.as_str(), text);
        graph.edge(table, "internal", i, text);
    }
    let original = graph.text();
    assert!(original.len() > 20 << 20);
    let file = redacted(&original, None);
    assert!(verified(&file, &original, None).is_clean());
}

#[test]
fn a_text_that_the_table_has_twice_is_a_name_where_it_is_one() {
    let mut graph = SnapshotBuilder::new();
    let global = graph.global("global", 8);
    let secret = graph.node("string", "said as a value", 20);
    graph.edge(global, "property", "said as a name!", secret);
    let original = String::from_utf8(graph.text()).unwrap().replace("said as a name!", "said as a value");
    let file = redacted(original.as_bytes(), None);
    assert_eq!(String::from_utf8_lossy(&file).matches("said as a value").count(), 1);
    let outcome = verified(&file, original.as_bytes(), None);
    assert!(outcome.is_clean() && outcome.also_names == 1, "{outcome:?}");
    // The object itself must have its marker all the same.
    assert!(!verified(original.as_bytes(), original.as_bytes(), None).is_clean());
}

#[test]
fn what_is_not_as_usual_is_held() {
    let first = |text: &[u8]| {
        let mut survey = Survey::first(text, ReadOptions::default(), None).unwrap();
        let first = survey.is_usual();
        survey.second(text, ReadOptions::default()).unwrap();
        first && survey.is_usual()
    };
    let text = String::from_utf8(careful().text()).unwrap();
    assert!(first(text.as_bytes()));
    // A section after the strings, and a name that no string has.
    let end = text.trim_end().strip_suffix('}').unwrap();
    assert!(!first(format!("{end},\"samples\":[]}}").replace("\"samples\":[],", "").as_bytes()));
    let name = text.find("\"nodes\":[").unwrap() + "\"nodes\":[".len();
    let mut odd = text.clone();
    let from = name + odd[name..].find(',').unwrap() + 1;
    let to = from + odd[from..].find(',').unwrap();
    odd.replace_range(from..to, "999999");
    assert!(!first(odd.as_bytes()));
    // The reader looks at no tree of stacks whose fields it does not know.
    let odd = text.replace("\"trace_node_fields\":[\"id\"", "\"trace_node_fields\":[\"ID\"");
    let odd = odd.replace("\"trace_tree\":[]", "\"trace_tree\":[1.5,\"what\"]");
    assert!(odd.contains("1.5") && odd.contains("\"ID\"") && read_text(odd.as_bytes()).is_ok());
    assert!(!first(odd.as_bytes()));
}

#[test]
fn damaged_files_are_the_same_either_way_or_refused() {
    let whole = careful().text();
    let mut rng = Rng::new(11);
    let (mut read, mut held) = (0, 0);
    for seed in 0..6000 {
        let mut text = whole.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(text.len());
            match rng.below(4) {
                0 => text[at] = rng.pick(b"0123456789,[]\"{}:\\ \n"),
                1 => drop(text.remove(at)),
                2 => text.insert(at, b'0' + rng.below(10) as u8),
                _ => {
                    if let Some(digit) = text[at..].iter().position(u8::is_ascii_digit) {
                        text[at + digit] = b'0' + rng.below(10) as u8;
                    }
                }
            }
        }
        let survey = || {
            let mut survey = Survey::first(&text[..], ReadOptions::default(), None).ok()?;
            survey.second(&text[..], ReadOptions::default()).ok()?;
            if survey.needs_third() {
                survey.third(&text[..], ReadOptions::default()).ok()?;
            }
            Some(survey)
        };
        let survey = survey();
        let Ok(mut snapshot) = read_text(&text) else {
            // It must not do harm, and what it writes is no snapshot either.
            if let Some(survey) = survey.filter(Survey::is_usual) {
                let mut out = Vec::new();
                let _ = survey.write(&text[..], ReadOptions::default(), &mut out, (&key(), None));
                assert!(read_text(&out).is_err(), "seed {seed}");
            }
            continue;
        };
        read += 1;
        let survey = survey.unwrap_or_else(|| panic!("seed {seed}: one way reads it, the other does not"));
        if !survey.is_usual() {
            held += 1;
            continue;
        }
        redact(&mut snapshot, &key(), None).unwrap();
        let mut out = Vec::new();
        survey.write(&text[..], ReadOptions::default(), &mut out, (&key(), None)).unwrap();
        same(&snapshot, &read_text(&out).unwrap());
    }
    assert!(read > 1000 && held > 10, "{read} {held}");
}

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let text = String::from_utf8(careful().text()).unwrap();
    let mut survey = Survey::first(text.as_bytes(), ReadOptions::default(), None).unwrap();
    survey.second(text.as_bytes(), ReadOptions::default()).unwrap();
    let other = text.replace("\"strings\":[", "\"strings\":[\"one more\",");
    let mut out = Vec::new();
    let error = survey.write(other.as_bytes(), ReadOptions::default(), &mut out, (&key(), None)).unwrap_err();
    assert_eq!(error.to_string(), "the file changed while it was read");
    // Where numbers are expected, a text does not pass.
    let mut survey = Survey::first(text.as_bytes(), ReadOptions::default(), None).unwrap();
    survey.second(text.as_bytes(), ReadOptions::default()).unwrap();
    let other = text.replace("\"edges\":[", "\"edges\":[\"a secret\",");
    let mut out = Vec::new();
    let error = survey.write(other.as_bytes(), ReadOptions::default(), &mut out, (&key(), None)).unwrap_err();
    assert!(error.to_string().contains("expected a number"), "{error}");
    assert!(!String::from_utf8(out).unwrap().contains("secret"));
}

/// Puts a text of the original back into a redacted file, in one of many ways.
fn plant(rng: &mut Rng, file: &[u8], secret: &str) -> (String, Vec<u8>) {
    let text = String::from_utf8(file.to_vec()).unwrap();
    let json = serde_json::to_string(secret).unwrap();
    let inner = &json[1..json.len() - 1];
    let strings = text.find("\"strings\":[").unwrap() + "\"strings\":[".len();
    // A string of the table, chosen by where it stands.
    let at = strings + rng.below(text.len() - strings - 40);
    let quote = at + text[at..].find(",\n\"").unwrap_or(0) + 2;
    let end = quote + 1 + text[quote + 1..].find('"').unwrap_or(0);
    let whole = |new: &str| format!("{}{new}{}", &text[..quote], &text[end + 1..]);
    let escaped = secret.encode_utf16().fold(String::new(), |text, unit| text + &format!("\\u{unit:04x}"));
    let (how, text) = match rng.below(10) {
        0 => ("in place of a string", whole(&json)),
        1 => ("escaped", whole(&format!("\"{escaped}\""))),
        2 => ("at the end of a string", format!("{}{inner}{}", &text[..end], &text[end..])),
        3 => ("at the beginning of a string", format!("{}{inner}{}", &text[..=quote], &text[quote + 1..])),
        4 => (
            "in a section of its own",
            text.replacen("\"nodes\":", &format!("\"notes\":[{json}],\n\"nodes\":"), 1),
        ),
        5 => ("in the header", text.replacen("\"meta\":", &format!("\"title\":{json},\"meta\":"), 1)),
        6 => ("as a key of the header", text.replacen("\"meta\":", &format!("{json}:1,\"meta\":"), 1)),
        7 => ("as a type", text.replacen("\"object shape\"", &json, 1)),
        8 => ("after the end", format!("{text}{secret}")),
        _ => ("at the end of the table", format!("{},{json}]}}\n", text.trim_end().trim_end_matches("]}"))),
    };
    (how.to_owned(), text.into_bytes())
}

#[test]
fn a_secret_that_is_put_back_is_found_in_100_of_100_files() {
    let mut rng = Rng::new(7);
    let mut found = 0;
    let mut ways = std::collections::BTreeMap::new();
    for round in 0..100 {
        // Every other one is a word that may stand in names as well, and four characters long.
        let letters = |rng: &mut Rng| -> String {
            let len = [4, 5, 8, 24][rng.below(4)];
            (0..len).map(|_| rng.pick(&['a', 'e', 'K', '7', 'z', '_', 'ü', ' ', '"'])).collect()
        };
        let mut graph = generate::graph(round);
        let secret = loop {
            let secret = letters(&mut rng);
            let names = graph.nodes.iter().map(|node| &node.name);
            if !names
                .chain(graph.edges.iter().map(edge_text).collect::<Vec<_>>().iter())
                .any(|n| *n == secret)
            {
                break secret;
            }
        };
        let id = 1_000_001;
        let text = heapsight_testkit::builder::Node {
            kind: "string".into(),
            name: secret.clone(),
            id,
            self_size: 24,
            detachedness: 0,
            trace_node: 0,
        };
        graph.nodes.push(text);
        let original = graph.text();
        let file = redacted(&original, None);
        let clean = verified(&file, &original, None);
        assert!(clean.is_clean(), "round {round}: {clean:?}");
        let (how, planted) = plant(&mut rng, &file, &secret);
        *ways.entry(how.clone()).or_insert(0) += 1;
        // What is no snapshot any more is an error, and not clean either.
        let caught = match read(&planted[..], ReadOptions::default()) {
            Ok(_) => !verified(&planted, &original, None).is_clean(),
            Err(_) => true,
        };
        assert!(caught, "round {round}: {secret:?} {how}");
        found += usize::from(caught);
    }
    assert_eq!(found, 100);
    assert!(ways.len() == 10, "{ways:?}");
}

fn edge_text(edge: &heapsight_testkit::builder::Edge) -> String {
    edge.text()
}

#[test]
fn secrets_are_found_where_they_are_and_not_after_a_redaction() {
    let mut graph = careful();
    let token = format!("ghp_{}", "Zx81Kq0vLw72Yb35Tn94Rc66Hd58Jf20Gs13");
    let root = graph.root();
    let text = graph.node("string", &format!("Authorization: token {token}"), 60);
    graph.edge(root, "element", 9u32, text);
    let original = graph.text();
    let findings = scan(&read_text(&original).unwrap());
    let list: Vec<String> = findings
        .iter()
        .map(|f| format!("{} {} {:?} {}", f.kind.code(), f.shown, f.beside, f.in_name))
        .collect();
    let has = |part: &str| assert!(list.iter().any(|line| line.starts_with(part)), "{part}: {list:#?}");
    has("token ghp_… (40 characters) None false");
    has("password corr… (21 characters) Some(\"password\") false");
    has("email a…@….org (27 characters) None true");
    has("email a…@….org (27 characters) None false");
    assert!(!format!("{list:?}").contains("horse"));
    assert_eq!(scan(&read_text(&redacted(&original, None)).unwrap()), []);
}

#[test]
fn captures_have_nothing_to_scan_after_a_redaction() {
    for name in captures() {
        let findings = scan(&read_text(&redacted(&fixtures::text(&name), None)).unwrap());
        assert_eq!(findings, [], "{name}");
    }
}
