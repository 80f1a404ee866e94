//! Leaks named from snapshots that real programs write themselves.

use serde_json::Value;

use crate::{
    command::Cli,
    programs::{MARKERS, Program},
};

/// Four snapshots of a program that does something between each two of them.
fn verdict(program: &Program, work: &str) -> Value {
    let cli = Cli::new();
    let files = ["0", "1", "2", "3"].map(|name| format!("{}/{name}.heapsnapshot", cli.path().display()));
    for file in &files {
        for _ in 0..5 {
            program.ask(work);
        }
        program.ask(&format!("write?{file}"));
    }
    let mut args = vec!["leak"];
    args.extend(files.iter().map(String::as_str));
    cli.json(&[&args[..], &["-n", "5"]].concat())
}

#[test]
fn an_array_that_grows_is_named_with_the_function_that_adds_to_it() {
    for major in [18, 26] {
        let program = Program::node(major);
        assert_eq!(program.ask("count"), MARKERS.to_string());
        let answer = verdict(&program, "add?60");
        let suspects = answer["suspects"].as_array().unwrap();
        assert_eq!((suspects.len(), &answer["by_id"]), (1, &true.into()), "node {major}: {answer:#}");
        let suspect = &suspects[0];
        assert_eq!(suspect["counts"], serde_json::json!([300, 300, 300]), "node {major}: {suspect:#}");
        assert_eq!(
            (&suspect["rank"], &suspect["class"], &suspect["kind"]),
            (&1.into(), &"Array".into(), &"Array".into())
        );
        let mut parts = suspect["parts"].as_array().unwrap().iter();
        assert!(parts.any(|part| part["class"] == "HeapsightMarker" && part["counts"][2] == 300));
        let location = &suspect["location"];
        assert!(location["url"].as_str().unwrap().ends_with("server.cjs"), "node {major}: {suspect:#}");
        let line = location["line"].as_u64().unwrap() as usize;
        let text = crate::programs::server(false);
        assert!(text.lines().nth(line - 1).unwrap().starts_with("const add ="), "node {major}: line {line}");
    }
}

#[test]
fn what_is_replaced_again_and_again_is_no_leak() {
    let program = Program::node(22);
    let answer = verdict(&program, "churn");
    assert_eq!(answer["suspects"], serde_json::json!([]), "{answer:#}");
}
