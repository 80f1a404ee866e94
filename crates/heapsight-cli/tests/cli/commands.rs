//! Every command on a real capture: its text, its JSON, its table forms.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::Cli;

const B: &str = "pairB.heapsnapshot";
const TIMELINE: &str = "node-22.23.3.heaptimeline";

#[test]
fn help_of_every_command() {
    let cli = Cli::new();
    assert_snapshot!("help", cli.shown(&["--help"]));
    for command in [
        "summary",
        "diff",
        "show",
        "retainers",
        "dominators",
        "stats",
        "strings",
        "allocations",
        "search",
        "packages",
        "query",
        "mcp",
        "open",
        "export",
        "validate",
        "top",
        "rss",
        "upload",
    ] {
        assert_snapshot!(format!("help_{command}"), cli.shown(&[command, "--help"]));
    }
}

#[test]
fn texts_of_the_commands() {
    let cli = Cli::new();
    for name in
        ["pairA.heapsnapshot", B, TIMELINE, "chromium-156.0.8078.79.heapsnapshot", "contexts.heapsnapshot"]
    {
        cli.fixture(name);
    }
    let chromium = "chromium-156.0.8078.79.heapsnapshot";
    let cases: &[(&str, &[&str])] = &[
        ("summary", &["summary", B, "--top", "12"]),
        ("summary_sorted", &["summary", B, "--sort", "count", "--top", "3"]),
        ("summary_class", &["summary", B, "--class", "leak"]),
        ("summary_regex", &["summary", B, "--class", "/^(Map|Set)$/"]),
        ("summary_filter", &["summary", B, "--filter", "duplicated-strings"]),
        ("summary_detached", &["summary", chromium, "--filter", "detached", "--top", "5"]),
        ("summary_instances", &["summary", B, "--instances", "Leak", "--top", "3"]),
        ("summary_csv", &["summary", B, "--top", "3", "--format", "csv"]),
        ("summary_markdown", &["summary", B, "--top", "3", "--format", "markdown"]),
        ("diff", &["diff", "pairA.heapsnapshot", B, "--top", "8"]),
        ("diff_objects", &["diff", "pairA.heapsnapshot", B, "--objects", "Leak", "--top", "2"]),
        ("diff_series", &["diff", "pairA.heapsnapshot", B, B, "--top", "4"]),
        ("diff_same", &["diff", B, B]),
        ("diff_other_process", &["diff", "pairA.heapsnapshot", chromium, "--top", "2"]),
        ("diff_by_class", &["diff", "pairA.heapsnapshot", B, "--by-class", "--top", "4"]),
        ("retainers_class", &["retainers", B, "Leak"]),
        ("dominators", &["dominators", B, "--depth", "3", "--top", "3"]),
        ("dominators_by_class", &["dominators", B, "--depth", "2", "--top", "3", "--by-class"]),
        ("packages", &["packages", B, "--top", "6"]),
        ("packages_files", &["packages", B, "--files", "--top", "4"]),
        ("query", &["query", B, "class == \"Leak\" and retained > 100 limit 3"]),
        ("query_groups", &["query", B, "self > 1KB group by package limit 4"]),
        (
            "query_select",
            &[
                "query",
                B,
                "select id, name, source where type == \"closure\" and package == \"node:fs\" limit 3",
            ],
        ),
        ("query_csv", &["query", B, "class == \"Leak\" order by id limit 2", "--format", "csv"]),
        ("query_wrong", &["query", B, "class == \"Leak\" and retaind > 1MB"]),
        ("query_nothing", &["query", B, "class == \"Nobody\""]),
        ("stats", &["stats", B]),
        ("stats_none_dead", &["stats", chromium]),
        ("stats_dead_variables", &["stats", "contexts.heapsnapshot"]),
        ("strings", &["strings", B, "--top", "4"]),
        ("strings_duplicates", &["strings", B, "--duplicates", "--top", "4"]),
        ("strings_pattern", &["strings", B, "--pattern", "dup-string"]),
        ("allocations", &["allocations", TIMELINE]),
        ("allocations_callers", &["allocations", TIMELINE, "--callers", "churn"]),
        ("allocations_intervals", &["allocations", TIMELINE, "--intervals", "--top", "5"]),
        ("search", &["search", B, "leak", "--top", "3"]),
        ("validate", &["validate", B]),
    ];
    for (name, args) in cases {
        assert_snapshot!(*name, cli.shown(args));
    }
}

#[test]
fn dead_variables_of_stats() {
    let cli = Cli::new();
    let name = "contexts.heapsnapshot";
    cli.fixture(name);
    let dead = cli.json(&["stats", name, "--json"])["dead_variables"].clone();
    assert_eq!(dead["variable_count"], dead["variables"].as_array().unwrap().len());
    assert_eq!((&dead["context_count"], &dead["kept_size"]), (&json!(23), &json!(102_156)));
    let big = &dead["variables"][0];
    let value = big["value"]["id"].clone();
    assert_eq!(
        (&big["name"], &big["function"], &big["context_count"]),
        (&json!("big"), &json!("leaky"), &json!(12))
    );
    assert_eq!((&big["script_location"]["line"], &big["retained_size"]), (&json!(6), &json!(96_768)));
    let context = cli.json(&["show", name, &format!("@{}", big["context_id"]), "--json"]);
    let edges = context["edges"].as_array().unwrap();
    assert!(edges.iter().any(|e| e["type"] == "context" && e["name"] == "big" && e["to_id"] == value));
    // A suspended async function will use it when it goes on.
    assert!(dead["variables"].as_array().unwrap().iter().all(|v| v["name"] != "before"));
    cli.fixture(B);
    assert_eq!(cli.json(&["stats", B, "--json"])["dead_variables"], Value::Null);
}

/// The id of some object of a class.
fn some(cli: &Cli, class: &str) -> String {
    let list = cli.json(&["summary", B, "--instances", class, "--top", "1", "--json"]);
    format!("@{}", list["objects"][0]["id"])
}

#[test]
fn one_object_and_its_paths() {
    let cli = Cli::new();
    cli.fixture(B);
    let leak = some(&cli, "Leak");
    assert_snapshot!("show", cli.shown(&["show", B, &leak]));
    assert_snapshot!("retainers", cli.shown(&["retainers", B, &leak]));
    let shown = cli.json(&["show", B, &leak, "--json"]);
    assert_eq!(shown["class"], "Leak");
    assert_eq!(shown["type"], "object");
    let keep = &shown["retainers"][0];
    let holder = format!("@{}", keep["from_id"]);
    // Without its holder nothing holds it: the answer is no.
    let ignored = cli.run(&["retainers", B, &leak, "--ignore", &holder]);
    assert_eq!(ignored.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&ignored.stdout).contains("without the ignored objects it would be freed")
    );
    let dominator = shown["dominators"][0]["id"].clone();
    assert_eq!(shown["dominator_id"], dominator);
}

#[test]
fn the_value_of_a_weak_map_names_its_key_and_table() {
    let cli = Cli::new();
    cli.fixture(B);
    let values = cli.json(&["summary", B, "--class", "{val}", "--json"]);
    assert_eq!(values["classes"], json!([]), "a single object makes no interface");
    let found = cli.json(&["search", B, "/^.val.$/", "--json"]);
    let value = format!("@{}", found["objects"][0]["id"]);
    let shown = cli.json(&["show", B, &value, "--json"]);
    let entries: Vec<&Value> =
        shown["retainers"].as_array().unwrap().iter().filter(|r| r["weak_map"].is_object()).collect();
    assert!(!entries.is_empty(), "{shown:#}");
    assert!(entries[0]["weak_map"]["key_id"].is_u64() && entries[0]["weak_map"]["table_id"].is_u64());
    let text = cli.shown(&["retainers", B, &value]);
    assert!(text.contains("in WeakMap table @"), "{text}");
    // Without its key the table alone does not hold it, and without its table the key does not.
    for part in ["key_id", "table_id"] {
        let part = format!("@{}", entries[0]["weak_map"][part]);
        let output = cli.run(&["retainers", B, &value, "--ignore", &part]);
        assert_eq!(output.status.code(), Some(1), "{}", crate::show(&output));
    }
    // The two edges of one entry say the same, and are shown once.
    assert_eq!(text.matches("in WeakMap table @").count(), 1, "{text}");
}

#[test]
fn json_is_what_other_programs_rely_on() {
    let cli = Cli::new();
    for name in ["pairA.heapsnapshot", B] {
        cli.fixture(name);
    }
    let golden = heapsight_testkit::fixtures::golden("pairB.heapsnapshot.summary");
    let summary = cli.json(&["summary", B, "--json"]);
    assert_eq!(summary["nodes"], golden["node_count"]);
    assert_eq!(summary["edges"], golden["edge_count"]);
    assert_eq!(summary["total_size"], golden["total_size"]);
    assert_eq!(summary["statistics"]["v8_heap"]["js_arrays"], golden["statistics"]["v8heap"]["jsArrays"]);
    let classes = summary["classes"].as_array().unwrap();
    assert_eq!(classes.len(), golden["classes"].as_array().unwrap().len());
    for expected in golden["classes"].as_array().unwrap() {
        let row = classes.iter().find(|c| c["key"] == expected["key"]).unwrap();
        for (ours, theirs) in [
            ("name", "name"),
            ("count", "count"),
            ("distance", "distance"),
            ("self_size", "self"),
            ("retained_size", "retained"),
        ] {
            assert_eq!(row[ours], expected[theirs], "{row}");
        }
    }
    let diff = cli.json(&["diff", "pairA.heapsnapshot", B, "--json"]);
    let golden = heapsight_testkit::fixtures::golden("pairA-pairB.diff");
    assert_eq!(diff["ids_comparable"], true);
    for (row, expected) in
        diff["classes"].as_array().unwrap().iter().zip(golden["classes"].as_array().unwrap())
    {
        for (ours, theirs) in [
            ("key", "key"),
            ("name", "name"),
            ("added_count", "addedCount"),
            ("removed_count", "removedCount"),
            ("count_delta", "countDelta"),
            ("added_size", "addedSize"),
            ("removed_size", "removedSize"),
            ("size_delta", "sizeDelta"),
        ] {
            assert_eq!(row[ours], expected[theirs], "{row}");
        }
    }
}

#[test]
fn every_node_and_edge_is_exported() {
    let cli = Cli::new();
    cli.fixture(B);
    let output = cli.run(&["export", B, "--nodes", "nodes.csv", "--edges", "edges.csv"]);
    assert!(output.status.success(), "{}", crate::show(&output));
    let nodes = std::fs::read_to_string(cli.file("nodes.csv")).unwrap();
    let golden = heapsight_testkit::fixtures::golden("pairB.heapsnapshot.summary");
    assert_eq!(
        nodes.lines().next().unwrap(),
        "id,type,name,class,self_size,retained_size,distance,dominator_id,detachedness"
    );
    let root = format!("1,synthetic,,(synthetic),0,{},100000000,1,0", golden["total_size"]);
    assert_eq!(nodes.lines().nth(1).unwrap(), root);
    // Names may hold line ends, in quotes.
    let rows = records(&nodes);
    assert_eq!(rows.len() as u64 - 1, golden["node_count"].as_u64().unwrap());
    assert!(rows.iter().all(|row| row.len() == 9));
    let edges = records(&std::fs::read_to_string(cli.file("edges.csv")).unwrap());
    assert_eq!(edges.len() as u64 - 1, golden["edge_count"].as_u64().unwrap());
    assert!(edges.iter().all(|row| row.len() == 4));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(cli.file("nodes.csv")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A minimal reader of comma-separated values, as RFC 4180 has them.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let row = rows.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                row.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\n' if !quoted => rows.push(vec![String::new()]),
            c => row.last_mut().unwrap().push(c),
        }
    }
    rows.pop();
    rows
}

#[test]
fn compressed_files_and_standard_input_are_the_same_snapshot() {
    let cli = Cli::new();
    let plain = cli.fixture(B);
    let expected = cli.run(&["summary", B, "--json"]).stdout;
    let zst = heapsight_testkit::fixtures::path(B);
    assert_eq!(cli.run(&["summary", zst.to_str().unwrap(), "--json"]).stdout, expected);
    for input in [&plain, &zst] {
        let mut command = cli.command(&["summary", "-", "--json"]);
        let output = command.stdin(std::fs::File::open(input).unwrap()).output().unwrap();
        assert_eq!(output.stdout, expected);
    }
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let cli = Cli::new();
    cli.fixture(TIMELINE);
    let one = cli.run(&["export", TIMELINE, "--nodes", "-", "--threads", "1"]).stdout;
    for threads in ["2", "7"] {
        assert!(cli.run(&["export", TIMELINE, "--nodes", "-", "--threads", threads]).stdout == one);
    }
}
