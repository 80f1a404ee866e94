//! Sampling profiles: texts and JSON on the captured ones, errors on other files.

use std::fs;

use insta::assert_snapshot;

use crate::Cli;

/// A speedscope file of seconds.
const TIME: &str = r#"{"shared":{"frames":[{"name":"main"}]},"profiles":[{"type":"sampled","name":"cpu","unit":"seconds",
    "startValue":0,"endValue":1.5,"samples":[[0]],"weights":[1.5]}]}"#;

/// Copies a profile of the fixtures into the scratch folder.
pub(crate) fn copied(cli: &Cli, name: &str) {
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
fn callers_and_what_grew() {
    let cli = Cli::new();
    let files = ["node-22.23.3.heapprofile", "node-24.21.0.heapprofile", "node-26.10.0.heapprofile"];
    for file in files {
        copied(&cli, file);
    }
    let [one, other, last] = files;
    let mut text = String::new();
    for args in [
        &["profile", "callers", "--help"][..],
        &["profile", "callers", last],
        &["profile", "callers", last, "--function", "churn", "--depth", "2"],
        &["profile", "callers", last, "--function", "churn", "--depth", "2", "--json"],
        &["profile", "callers", last, "--function", "nobody"],
        &["profile", "diff", "--help"],
        &["profile", "diff", one, last],
        &["profile", "diff", one, last, "--by", "package", "--format", "csv"],
        &["profile", "diff", one, one],
        &["profile", "diff", one, other, last, "--no-internals"],
        &["profile", "diff", one, other, last, "--top", "1", "--json"],
        &["profile", "diff", one, other, last, "--top", "2", "--format", "markdown"],
        &["profile", "merge", "--help"],
        &["profile", "merge", one, last, "-o", "sum.heapprofile"],
        &["profile", "filter", "--help"],
        &["profile", "filter", last, "--package", "nobody", "-o", "none.heapprofile"],
    ] {
        text += &cli.shown(args);
    }
    assert_snapshot!("profile_questions", text);
}

#[test]
fn files_that_are_no_profiles() {
    let cli = Cli::new();
    cli.write("cut.heapprofile", "{\"head\":{\"callFrame\":{\"functionName\":\"(ro");
    cli.write("other.heapprofile", "{\"snapshot\":{}}");
    cli.write("empty.heapprofile", "");
    cli.write("prose.heapprofile", "Nothing grew by 5\nand nothing shrank.\n");
    cli.write("time.heapprofile", TIME);
    let mut text = String::new();
    for name in ["cut", "other", "empty", "prose", "time", "missing"] {
        text += &cli.shown(&["profile", "top", &format!("{name}.heapprofile")]);
    }
    assert_snapshot!("profile_errors", text);
}

#[test]
fn flame_graphs_say_what_they_left_out() {
    let cli = Cli::new();
    copied(&cli, "node-26.10.0.heapprofile");
    let file = "node-26.10.0.heapprofile";
    let mut text = String::new();
    for args in [
        &["profile", "flame", "--help"][..],
        &["profile", "flame", file, "-o", "a.svg"],
        &["profile", "flame", file, "-o", "a.svg"],
        &["profile", "flame", file, "-o", "a.html", "--json"],
        &["profile", "flame", file, "--depth", "2", "-o", "b.html"],
        &["profile", "flame", file, "--diff", file, "-o", "c.svg"],
        &["profile", "flame", file, "-o", "a.png"],
        &["profile", "flame", file],
        &["profile", "merge", file, file, "-o", "m.pb.gz"],
        &["profile", "merge", file, file, "-o", "m.heapprofile", "--json"],
        &["profile", "filter", file, "--function", "churn", "-o", "f.heapprofile"],
        &["profile", "filter", file, "--function", "churn", "--json"],
        &["profile", "diff", file, "m.heapprofile", "--json"],
    ] {
        text += &cli.shown(args);
    }
    assert_snapshot!("profile_pictures", text);
    let svg = fs::read_to_string(cli.file("a.svg")).unwrap();
    roxmltree::Document::parse(&svg).unwrap();
    assert_snapshot!("profile_svg", &svg[svg.find("<g id").unwrap()..svg.find("<script").unwrap()]);
}

#[test]
fn timelines_as_bars_and_by_time() {
    let cli = Cli::new();
    let mut text = cli.shown(&["timeline", "show", "--help"]);
    for (name, range) in [
        ("node-26.10.0", &["--from", "1.2s", "--to", "1.5s"][..]),
        ("node-26.10.0", &["--from", "100ms", "--to", "101ms"]),
        ("node-14.21.3", &["--from", "0"]),
        ("chromium-156.0.8078.79", &[]),
        ("deno-2.9.6", &[]),
    ] {
        let file = format!("{name}.heaptimeline");
        cli.fixture(&file);
        text += &cli.shown(&[&["timeline", "show", &file, "--top", "4"], range].concat());
    }
    cli.fixture("node-26.10.0.heapsnapshot");
    text += &cli.shown(&["timeline", "show", "node-26.10.0.heapsnapshot"]);
    text += &cli.shown(&["timeline", "show", "node-26.10.0.heaptimeline", "-o", "bars.svg"]);
    text += &cli.shown(&["timeline", "show", "node-26.10.0.heaptimeline", "--format", "csv"]);
    let markdown = cli.shown(&["timeline", "show", "node-26.10.0.heaptimeline", "--format", "markdown"]);
    text += &markdown.lines().take(7).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text += &cli.shown(&["timeline", "--no-stacks", "show"]);
    assert_snapshot!("timeline_show", text);
    let svg = fs::read_to_string(cli.file("bars.svg")).unwrap();
    roxmltree::Document::parse(&svg).unwrap();
    assert!(svg.contains("saw 26,143 new objects") && svg.matches("<title>").count() == 31, "{svg}");
    let json = cli.json(&["timeline", "show", "node-26.10.0.heaptimeline", "--from", "1s", "--json"]);
    let sum: u64 = json["intervals"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["to_us"].as_u64() >= Some(1_000_000))
        .map(|i| i["live_size"].as_u64().unwrap())
        .sum();
    assert_eq!(json["selection"]["live_size"], sum);
}
