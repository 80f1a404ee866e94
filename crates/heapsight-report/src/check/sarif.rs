//! The answer as SARIF 2.1.0 (OASIS), for code scanning: what failed, and what is known, with the line that it stands for.
//!
//! Files in the working folder are relative to it (`%SRCROOT%`), so that an alert stands beside the line in the repository.
//! The fingerprint of a result says nothing of lines and sizes: it stays the same while the program around it changes.

use heapsight_query::code::Place;
use serde_json::{Value, json};

use super::{Checked, Item, Rule, Status};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What a fingerprint is called; the number counts up when it is made of something else.
const FINGERPRINT: &str = "heapsightLeak/v1";

/// The file.
pub fn write(checked: &Checked<'_>) -> Value {
    let items = checked.items();
    let results: Vec<Value> = items
        .iter()
        .filter(|item| item.status != Status::Passed)
        .map(|item| result(item, checked.script))
        .collect();
    let rule = |rule: Rule, name: &str, short: &str, full: &str| {
        json!({
            "id": rule.id(),
            "name": name,
            "shortDescription": {"text": short},
            "fullDescription": {"text": full},
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["memory", "performance"]},
        })
    };
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Heapsight",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": [
                    rule(Rule::Leak, "Leak", "Memory leak",
                        "Something holds objects of every round of work, in the last as in the first, and gains more than it may."),
                    rule(Rule::Class, "ClassGrowth", "Growth of a class",
                        "There are more objects of a class after each round of work than its limit allows."),
                ],
            }},
            "automationDetails": {"id": "heapsight/check/"},
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

/// The fingerprint of a class's limit.
pub(super) fn fingerprint_of_class(name: &str) -> String {
    format!("class/{name}")
}

fn result(item: &Item, script: Option<&str>) -> Value {
    let index = match item.rule {
        Rule::Leak => 0,
        Rule::Class => 1,
    };
    let mut value = json!({
        "ruleId": item.rule.id(),
        "ruleIndex": index,
        "level": if item.status == Status::Failed { "error" } else { "note" },
        "message": {"text": format!("{}\n\n{}", item.message, item.details.trim_end())},
        "locations": [location(item, script)],
        "partialFingerprints": {FINGERPRINT: item.fingerprint},
    });
    if item.status == Status::Known {
        value["suppressions"] =
            json!([{"kind": "external", "status": "accepted", "justification": "recorded as known"}]);
    }
    value
}

/// Where it stands; without a place of its own at the beginning of the program.
fn location(item: &Item, script: Option<&str>) -> Value {
    let logical = json!([{"fullyQualifiedName": item.title, "kind": "variable"}]);
    let physical = match (&item.place, script) {
        (Some(place), _) => Some(json!({
            "artifactLocation": artifact(place, item.file.as_deref()),
            "region": {"startLine": place.line.max(1), "startColumn": place.column.max(1)},
        })),
        (None, Some(script)) => Some(json!({
            "artifactLocation": in_folder(script),
            "region": {"startLine": 1},
        })),
        (None, None) => None,
    };
    let mut value = json!({"logicalLocations": logical});
    if let Some(physical) = physical {
        value["physicalLocation"] = physical;
    }
    value
}

fn artifact(place: &Place, file: Option<&str>) -> Value {
    match file {
        Some(file) => in_folder(file),
        None if place.url.starts_with('/') => json!({"uri": format!("file://{}", encode(&place.url))}),
        None => json!({"uri": encode(&place.url)}),
    }
}

fn in_folder(file: &str) -> Value {
    // A colon in the first part of a relative path would make it a scheme.
    let uri = encode(file);
    let colon = uri.split('/').next().is_some_and(|first| first.contains(':'));
    json!({"uri": if colon { format!("./{uri}") } else { uri }, "uriBaseId": "%SRCROOT%"})
}

/// A path as a part of a URI.
fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"/-._~:@!$&'()*+,;=".contains(&byte) => {
                out.push(char::from(byte));
            }
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(encode("src/my app/störe#1.js"), "src/my%20app/st%C3%B6re%231.js");
        assert_eq!(in_folder("a:b/c.js")["uri"], "./a:b/c.js");
        assert_eq!(encode("webpack://app/./src/a.ts"), "webpack://app/./src/a.ts");
    }
}
