//! Files, lines and packages of real programs: CommonJS, ES modules and bundles with source maps.

use std::{fmt::Write as _, fs, path::Path};

use heapsight_testkit::runtimes;
use serde_json::{Value, json};

use crate::command::Cli;

/// A compiled file: classes and functions of two sources in one line.
const BUNDLE: &str = "class NAME{constructor(i){this.text='s'.repeat(50)+i}}exports.make=function makeNAME(i){return new NAME(i)};";

fn vlq(out: &mut String, number: i64) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut rest = number.unsigned_abs() << 1 | u64::from(number < 0);
    loop {
        let more = rest >> 5 != 0;
        out.push(char::from(DIGITS[(rest & 31 | u64::from(more) << 5) as usize]));
        rest >>= 5;
        if !more {
            break;
        }
    }
}

/// The source map of a bundle: the class is from line 10 of the first source, the function from line 20 of the second.
fn map(bundle: &str, sources: [&str; 2]) -> Value {
    let mut mappings = String::new();
    let mut last = [0i64; 4];
    for (mark, source, line, column) in
        [("class", 0, 9, 0), ("constructor", 0, 10, 2), ("exports.make", 1, 18, 0), ("function", 1, 19, 7)]
    {
        let now = [bundle.find(mark).unwrap() as i64, source, line, column];
        mappings += if mappings.is_empty() { "" } else { "," };
        for (now, last) in now.iter().zip(last) {
            vlq(&mut mappings, now - last);
        }
        last = now;
    }
    json!({"version": 3, "sources": sources, "sourcesContent": ["", null], "names": [], "mappings": mappings})
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain(&[0, 0]).take(3).fold(0u32, |word, &byte| word << 8 | u32::from(byte));
        for at in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * at) & 63) as usize]);
            out.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

/// A program of many files. It keeps 300 objects of each class.
fn project(dir: &Path) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("node_modules/alpha/package.json", r#"{"name":"alpha","main":"lib/index.js"}"#);
    write(
        "node_modules/alpha/lib/index.js",
        "'use strict';\nclass Alpha {\n  constructor(i) { this.text = 'a'.repeat(100) + i; }\n}\n\
         const kept = new Map();\nexports.keep = function keepAlpha(i) { kept.set(i, new Alpha(i)); };\n",
    );
    write(
        "node_modules/@scope/beta/package.json",
        r#"{"name":"@scope/beta","type":"module","exports":"./index.js"}"#,
    );
    write(
        "node_modules/@scope/beta/index.js",
        "class Beta { constructor(i) { this.text = 'b'.repeat(100) + i; } }\nconst kept = [];\n\
         export function keepBeta(i) { kept.push(new Beta(i)); }\n",
    );
    let outer = BUNDLE.replace("NAME", "Outer");
    write("dist/outer.cjs", &format!("{outer}\n//# sourceMappingURL=outer.cjs.map\n"));
    let sources = ["../src/outer.ts", "webpack://app/./node_modules/gamma/index.ts"];
    write("dist/outer.cjs.map", &map(&outer, sources).to_string());
    let inner = BUNDLE.replace("NAME", "Inner");
    let inline = base64(map(&inner, ["../src/inner.ts", "../src/make.ts"]).to_string().as_bytes());
    write(
        "dist/inner.cjs",
        &format!("{inner}\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,{inline}\n"),
    );
    let broken = BUNDLE.replace("NAME", "Broken");
    write("dist/broken.cjs", &format!("{broken}\n//# sourceMappingURL=broken.cjs.map\n"));
    write("dist/broken.cjs.map", "{\"version\":3");
    write(
        "app.mjs",
        "import alpha from 'alpha';\nimport { keepBeta } from '@scope/beta';\n\
         import outer from './dist/outer.cjs';\nimport inner from './dist/inner.cjs';\nimport broken from './dist/broken.cjs';\n\
         class Own { constructor(i) { this.text = 'o'.repeat(100) + i; } }\n\
         globalThis.kept = [];\n\
         for (let i = 0; i < 300; i++) { alpha.keep(i); keepBeta(i);\n\
           kept.push(new Own(i), outer.make(i), inner.make(i), broken.make(i)); }\n\
         globalThis.handle = function handle() { return kept; };\n\
         setInterval(handle, 1000);\nconsole.log('ready');\nsetTimeout(() => process.exit(), 60000);\n",
    );
}

fn captured(major: u32) -> Cli {
    let cli = Cli::new();
    project(cli.path());
    let node = runtimes::node(major);
    let node = node.to_str().unwrap();
    cli.done(&["snapshot", "-o", "app.heapsnapshot", "--wait-for", "ready", "--", node, "app.mjs"]);
    cli
}

/// `file:line` below the project's folder, and the package, of the first object that a query finds.
fn source(cli: &Cli, file: &str, query: &str) -> (String, Value) {
    let answer = cli.json(&["query", file, &format!("select id where {query} limit 1")]);
    let id = answer["rows"].get(0).unwrap_or_else(|| panic!("{query}: {answer}"))["id"].clone();
    let object = cli.json(&["show", file, &format!("@{id}")]);
    let place = &object["location"];
    let url = place["url"].as_str().unwrap_or_else(|| panic!("{query}: {object}")).to_owned();
    let root = cli.path().canonicalize().unwrap();
    let url = url.strip_prefix(&format!("{}/", root.display())).unwrap_or(&url).to_owned();
    (format!("{url}:{}:{}", place["line"], place["column"]), place["package"].clone())
}

fn check_places(cli: &Cli, file: &str) {
    for (query, wanted, package) in [
        ("class == \"Alpha\"", "node_modules/alpha/lib/index.js:3:14", json!("alpha")),
        (
            "type == \"closure\" and name == \"keepAlpha\"",
            "node_modules/alpha/lib/index.js:6:34",
            json!("alpha"),
        ),
        ("class == \"Beta\"", "node_modules/@scope/beta/index.js:1:25", json!("@scope/beta")),
        ("class == \"Own\"", "app.mjs:6:24", json!(null)),
        ("type == \"closure\" and name == \"handle\"", "app.mjs:10:36", json!(null)),
        ("class == \"Outer\"", "src/outer.ts:11:3", json!(null)),
        (
            "type == \"closure\" and name == \"makeOuter\"",
            "webpack://app/./node_modules/gamma/index.ts:20:8",
            json!("gamma"),
        ),
        ("class == \"Inner\"", "src/inner.ts:11:3", json!(null)),
        ("type == \"closure\" and name == \"makeInner\"", "src/make.ts:20:8", json!(null)),
        ("class == \"Broken\"", "dist/broken.cjs:1:25", json!(null)),
    ] {
        let found = source(cli, file, query);
        assert_eq!((found.0.as_str(), found.1), (wanted, package), "{query}");
    }
}

#[test]
fn functions_and_classes_stand_where_they_were_written() {
    let cli = captured(22);
    check_places(&cli, "app.heapsnapshot");
    // Without the side file the snapshot names its scripts, and these name their maps.
    fs::rename(cli.path().join("app.heapsnapshot"), cli.path().join("other.heapsnapshot")).unwrap();
    check_places(&cli, "other.heapsnapshot");
    let shown = cli.done(&["search", "other.heapsnapshot", "/^makeInner$/"]).out;
    assert!(shown.contains("src/make.ts:20:8"), "{shown}");
    let shown = cli.done(&["retainers", "other.heapsnapshot", "Alpha"]).out;
    assert!(shown.contains("index.js:6"), "{shown}");
    // Without the files there is the place in the file that ran.
    fs::remove_dir_all(cli.path().join("dist")).unwrap();
    let made = source(&cli, "other.heapsnapshot", "class == \"Inner\"").0;
    assert_eq!(made, "dist/inner.cjs:1:24");
}

#[test]
fn scripts_have_names_in_every_version() {
    for major in [16, 20, 24, 26] {
        let cli = captured(major);
        check_places(&cli, "app.heapsnapshot");
        fs::rename(cli.path().join("app.heapsnapshot"), cli.path().join("other.heapsnapshot")).unwrap();
        check_places(&cli, "other.heapsnapshot");
    }
}

#[test]
fn packages_have_what_they_keep() {
    let cli = captured(22);
    let answer = cli.json(&["packages", "app.heapsnapshot"]);
    let rows = answer["packages"].as_array().unwrap();
    let sum: u64 = rows.iter().map(|row| row["self_size"].as_u64().unwrap()).sum();
    assert_eq!(answer["total_size"], sum, "each byte is counted once");
    let of = |package: Value| {
        let row = rows.iter().find(|row| row["package"] == package && row["attributed"] == true);
        let row = row.unwrap_or_else(|| panic!("{package}: {answer}"));
        (row["self_size"].as_u64().unwrap(), row["retained_size"].as_u64().unwrap())
    };
    // 300 objects, each with a string of more than a hundred characters (a `repeat` is a tree of pieces until it is used).
    for package in [json!("alpha"), json!("@scope/beta"), json!(null)] {
        let (size, retained) = of(package.clone());
        assert!((300 * 60..1_000_000).contains(&size), "{package}: {size}");
        assert!(retained >= 300 * 60, "{package}: {retained}");
    }
    let files = cli.json(&["packages", "app.heapsnapshot", "--files"]);
    let names: String = files["files"].as_array().unwrap().iter().fold(String::new(), |mut all, row| {
        let _ = writeln!(all, "{} {}", row["file"], row["package"]);
        all
    });
    for wanted in [
        "alpha/lib/index.js\" \"alpha\"",
        "beta/index.js\" \"@scope/beta\"",
        "src/inner.ts\" null",
        "app.mjs\" null",
    ] {
        assert!(names.contains(wanted), "{wanted}: {names}");
    }
    let own = cli.json(&[
        "query",
        "app.heapsnapshot",
        "package == \"alpha\" and class == \"Alpha\" group by package",
    ]);
    assert_eq!(own["rows"][0]["count"], 300, "{own}");
}
