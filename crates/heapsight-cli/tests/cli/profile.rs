//! Sampling profiles: texts and JSON on the captured ones, errors on other files.

use std::fs;

use insta::assert_snapshot;

use crate::Cli;

/// Copies a profile of the fixtures into the scratch folder.
fn copied(cli: &Cli, name: &str) {
    cli.write(name, fs::read(heapsight_testkit::fixtures::dir().join(name)).unwrap());
}

#[test]
fn profiles_of_every_runtime() {
    let cli = Cli::new();
    let mut text = String::new();
    for name in [
        "chromium-156.0.8078.79",
        "deno-2.9.6",
        "node-14.21.3",
        "node-18.20.8",
        "node-22.23.3",
        "node-26.10.0",
    ] {
        let file = format!("{name}.heapprofile");
        copied(&cli, &file);
        text += &cli.shown(&["profile", "top", &file]);
        text += &cli.shown(&["profile", "tree", &file, "--no-internals"]);
        let json = cli.json(&["profile", "top", &file, "--json"]);
        let sum: u64 =
            json["functions"].as_array().unwrap().iter().map(|row| row["self_size"].as_u64().unwrap()).sum();
        assert_eq!(json["total_size"], sum);
    }
    assert_snapshot!("profile_runtimes", text);
}

#[test]
fn forms_of_profile_answers() {
    let cli = Cli::new();
    copied(&cli, "node-26.10.0.heapprofile");
    let file = "node-26.10.0.heapprofile";
    let mut text = String::new();
    for args in [
        &["profile", "--help"][..],
        &["profile", "top", "--help"],
        &["profile", "tree", "--help"],
        &["profile", "top", file, file, "--by", "file", "--format", "csv"],
        &["profile", "top", file, "--by", "package"],
        &["profile", "top", file, "--json", "--top", "1"],
        &["profile", "tree", file, "--json", "--depth", "2"],
    ] {
        text += &cli.shown(args);
    }
    assert_snapshot!("profile_forms", text);
}

#[test]
fn files_that_are_no_profiles() {
    let cli = Cli::new();
    cli.write("cut.heapprofile", "{\"head\":{\"callFrame\":{\"functionName\":\"(ro");
    cli.write("other.heapprofile", "{\"snapshot\":{}}");
    cli.write("empty.heapprofile", "");
    let mut text = String::new();
    for name in ["cut", "other", "empty", "missing"] {
        text += &cli.shown(&["profile", "top", &format!("{name}.heapprofile")]);
    }
    assert_snapshot!("profile_errors", text);
}
