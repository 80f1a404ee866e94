//! Profiles in the formats of other tools: what is written, and what is read of it again.

use std::fs;

use insta::assert_snapshot;

use crate::{Cli, profile::copied};

const FILE: &str = "node-26.10.0.heapprofile";

/// Outputs of every format but the inspector's.
const OUTPUTS: [&str; 5] =
    ["app.flat.heapprofile", "app.pb.gz", "app.speedscope.json", "app.collapsed.txt", "app.csv"];

#[test]
fn profiles_in_every_format() {
    let cli = Cli::new();
    copied(&cli, FILE);
    let mut text = cli.shown(&["convert", "--help"]);
    for file in OUTPUTS {
        text += &cli.shown(&["convert", FILE, file, "--no-internals"]);
        if file != "app.pb.gz" {
            text += &format!("--- {file}\n{}\n", fs::read_to_string(cli.file(file)).unwrap().trim_end());
        }
    }
    text += &cli.shown(&["convert", FILE, "app.txt"]);
    text += &cli.shown(&["convert", FILE, "app.csv"]);
    text += &cli.shown(&["convert", FILE, "b.csv", "--json"]);
    assert_snapshot!("convert", text);
}

#[test]
fn what_was_written_answers_as_what_it_was_made_of() {
    let cli = Cli::new();
    copied(&cli, FILE);
    let sizes = |file: &str, by: &str| {
        let answer = cli.json(&["profile", "top", file, "--by", by, "--json"]);
        let rows = answer[if by == "file" { "files" } else { "functions" }].as_array().unwrap().clone();
        let row = |row: &serde_json::Value| (row["name"].clone(), row["self_size"].clone());
        (
            answer["total_size"].clone(),
            rows.iter().filter(|row| row["self_size"] != 0).map(row).collect::<Vec<_>>(),
        )
    };
    let mut text = String::new();
    for file in OUTPUTS {
        text += &cli.shown(&["convert", FILE, file]);
        assert_eq!(sizes(file, "function"), sizes(FILE, "function"), "{file}");
        // And on to any other format.
        let back = format!("{file}.heapprofile");
        text += &cli.shown(&["convert", file, &back]);
        assert_eq!(sizes(&back, "function"), sizes(FILE, "function"), "{file}");
        text += &cli.shown(&["profile", "top", file, "--top", "3"]);
    }
    // Every question takes every format, compressed ones and standard input too.
    let [_, pprof, speedscope, collapsed, csv] = OUTPUTS;
    fs::write(
        cli.file("c.gz.txt"),
        zstd::encode_all(&fs::read(cli.file(collapsed)).unwrap()[..], 1).unwrap(),
    )
    .unwrap();
    for args in [
        &["profile", "tree", "c.gz.txt", "--no-internals"][..],
        &["profile", "callers", csv, "--function", "churn"],
        &["profile", "diff", csv, FILE],
        &["profile", "diff", collapsed, pprof, csv, "--by", "file", "--top", "2"],
        &["profile", "merge", csv, FILE, "-o", "sum.csv"],
        &["profile", "filter", speedscope, "--function", "loopA", "-o", "part.speedscope.json"],
        &["profile", "flame", collapsed, "-o", "c.svg"],
    ] {
        text += &cli.shown(args);
    }
    assert_snapshot!("convert_back", text);
}

#[test]
fn of_several_profiles_the_active_one_is_named() {
    let cli = Cli::new();
    let profile = |name: &str, weight: u64| {
        format!(
            "{{\"type\":\"sampled\",\"name\":\"{name}\",\"unit\":\"bytes\",\"startValue\":0,\"endValue\":{weight},\
             \"samples\":[[0]],\"weights\":[{weight}]}}"
        )
    };
    let (one, other) = (profile("main", 100), profile("\\u001b[31mworker 1", 2000));
    let text = format!(
        "{{\"profiles\":[{one},{other}],\"shared\":{{\"frames\":[{{\"name\":\"grow\"}}]}},\"activeProfileIndex\":1}}"
    );
    cli.write("two.json", text);
    assert_snapshot!("convert_parts", cli.shown(&["profile", "top", "two.json"]));
}
