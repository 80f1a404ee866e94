//! The file of known leaks: JSON that is checked in beside the program.

use heapsight_query::check::Known;
use serde_json::{Value, json};

/// What the file says that it is.
const FORMAT: &str = "heapsight-baseline";

/// The version that is written, and the newest that is read.
const VERSION: u64 = 1;

/// The text of the file. Growth is rounded to bytes, so that a new recording of the same differs in few lines.
pub fn write(leaks: &[Known]) -> String {
    let leaks: Vec<Value> = leaks.iter().map(known).collect();
    let value = json!({"format": FORMAT, "version": VERSION, "leaks": leaks});
    format!("{value:#}\n")
}

/// A known leak.
pub(super) fn known(leak: &Known) -> Value {
    json!({
        "title": leak.title,
        "file": leak.file,
        "fingerprint": leak.fingerprint,
        "growth_per_round": leak.per_round.round() as u64,
        "growth_per_request": leak.per_request.map(|bytes| (bytes * 10.0).round() / 10.0),
    })
}

/// Reads the file.
///
/// # Errors
/// In words, if it is none, or one of a later version.
pub fn read(text: &str) -> Result<Vec<Known>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    if value["format"] != FORMAT {
        return Err(format!("it is no file of known leaks: `format` is not `{FORMAT}`"));
    }
    match value["version"].as_u64() {
        Some(1..=VERSION) => {}
        Some(version) => return Err(format!("it has version {version}; this program reads {VERSION}")),
        None => return Err("it has no version".to_owned()),
    }
    let leaks = value["leaks"].as_array().ok_or("it has no list of leaks")?;
    let known = |leak: &Value| {
        let word = |name: &str| leak[name].as_str().map(str::to_owned);
        let number = |name: &str| leak[name].as_f64().filter(|n| n.is_finite() && *n >= 0.0);
        Some(Known {
            fingerprint: word("fingerprint")?,
            title: word("title").unwrap_or_default(),
            file: word("file"),
            per_round: number("growth_per_round")?,
            per_request: number("growth_per_request"),
        })
    };
    let wrong = |at: usize| format!("leak {} has no fingerprint or no growth", at + 1);
    leaks.iter().enumerate().map(|(at, leak)| known(leak).ok_or_else(|| wrong(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let known = |n: f64, file: Option<&str>, per_request| Known {
            fingerprint: format!("{n}:1"),
            title: "a \"b\"\n".to_owned(),
            file: file.map(str::to_owned),
            per_round: n,
            per_request,
        };
        let leaks = [known(1024.0, Some("src/a.js"), Some(5.1)), known(0.0, None, None)];
        assert_eq!(read(&write(&leaks)).unwrap(), leaks);
        assert_eq!(read(&write(&[])).unwrap(), []);
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (text, why) in [
            ("", "no JSON"),
            ("[]", "no file of known leaks"),
            (r#"{"format":"heapsight-baseline"}"#, "no version"),
            (r#"{"format":"heapsight-baseline","version":2}"#, "version 2"),
            (r#"{"format":"heapsight-baseline","version":1}"#, "no list"),
            (r#"{"format":"heapsight-baseline","version":1,"leaks":[{"title":"a"}]}"#, "leak 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
