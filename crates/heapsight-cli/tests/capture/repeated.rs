//! Several snapshots of one process, whose objects keep their ids.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    command::{Cli, files},
    programs::{MARKERS, Program, until},
};

/// The ids of the markers of a file.
fn ids(cli: &Cli, file: &str) -> BTreeSet<u64> {
    let answer = cli.json(&["summary", file, "--instances", "HeapsightMarker"]);
    answer["objects"].as_array().unwrap().iter().map(|object| object["id"].as_u64().unwrap()).collect()
}

#[test]
fn exactly_what_was_added_between_two_snapshots_is_in_their_difference() {
    for major in [20, 26] {
        let program = Program::node(major);
        let cli = Cli::new();
        let folder = cli.path().join("captures");
        std::fs::create_dir(&folder).unwrap();
        let args = [
            "snapshot",
            &program.target(),
            "--stable-ids",
            "--repeat",
            "2",
            "--every",
            "2s",
            "-o",
            "captures",
        ];
        let mut running = cli.start(&[&args[..], &["--json"]].concat());
        // The first is whole when the file beside it is there.
        let is_side = |name: &String| name.ends_with(".meta.json");
        until("the first snapshot is there", || files(&folder).iter().any(is_side).then_some(()));
        assert_eq!(program.ask("add?1000"), (MARKERS + 1000).to_string());
        assert_eq!(files(&folder).iter().filter(|name| is_side(name)).count(), 1, "it was added too late");
        assert!(running.is_running());
        let ended = running.end();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        let answer: Value = serde_json::from_str(&ended.out).unwrap();
        let taken = answer["captures"].as_array().unwrap();
        let file = |i: usize| taken[i]["file"].as_str().unwrap().to_owned();
        let (before, after) = (file(0), file(1));
        assert_eq!((taken.len(), &taken[1]["ids_comparable"]), (2, &true.into()), "{answer}");
        let spaces = [&before, &after].map(|file| cli.side_file(file)["id_space"].clone());
        assert!(spaces[0].is_string() || spaces[0].is_object(), "{spaces:?}");
        assert_eq!(spaces[0], spaces[1]);

        let diff = cli.json(&["diff", &before, &after, "--class", "HeapsightMarker"]);
        assert_eq!(diff["ids_comparable"], true);
        let class = &diff["classes"][0];
        assert_eq!(
            (&class["added_count"], &class["removed_count"]),
            (&1000.into(), &0.into()),
            "node {major}: {diff}"
        );
        let (before, after) = (ids(&cli, &before), ids(&cli, &after));
        assert!(before.is_subset(&after), "node {major}: a marker has another id");
        assert_eq!(after.len(), before.len() + 1000);
        program.is_as_before();
    }
}
