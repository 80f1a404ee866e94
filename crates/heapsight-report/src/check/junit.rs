//! The answer as JUnit XML: one test case for each leak and for each limit of a class.
//!
//! The layout is that of the schema of Jenkins (`junit-10.xsd` of its xunit plugin), which GitLab and others read, too.

use super::{Checked, Item, Rule, Status};

/// When and how long the check ran.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `2026-11-21T18:00:00`, in UTC.
    pub started: String,
    /// Seconds.
    pub seconds: f64,
}

/// The file.
pub fn write(checked: &Checked<'_>, clock: &Clock) -> String {
    let items = checked.items();
    let has_leaks = items.iter().any(|item| item.rule == Rule::Leak);
    let tests = items.len() + usize::from(!has_leaks);
    let failures = checked.check.failures();
    let skipped = items.iter().filter(|item| item.status == Status::Known).count();
    let seconds = format!("{:.3}", clock.seconds);
    let sums = format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds}\""
    );
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    out += &format!(
        "<testsuites name=\"heapsight\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" time=\"{seconds}\">\n"
    );
    out += &format!(
        "  <testsuite name=\"heapsight check\" timestamp=\"{}\" hostname=\"localhost\" {sums}>\n    <properties>\n",
        escape(&clock.started)
    );
    let mut property = |name: &str, value: &str| {
        out += &format!("      <property name=\"{name}\" value=\"{}\"/>\n", escape(value));
    };
    property("result", &checked.heading());
    if let Some(heap) = checked.heap() {
        property("heap", &heap);
    }
    out += "    </properties>\n";
    if !has_leaks {
        out += "    <testcase classname=\"heapsight.leak\" name=\"no leaks\" time=\"0\"/>\n";
    }
    for item in &items {
        out += &case(item);
    }
    out += "    <system-out></system-out>\n    <system-err></system-err>\n  </testsuite>\n</testsuites>\n";
    out
}

fn case(item: &Item) -> String {
    let name = match (item.rule, item.location()) {
        (Rule::Leak, location) if !location.is_empty() => format!("{} ({location})", item.title),
        (Rule::Leak, _) => item.title.clone(),
        (Rule::Class, _) => format!("{} {}", item.title, item.limit),
    };
    let class = format!("heapsight.{}", item.rule.name());
    let open = format!("    <testcase classname=\"{class}\" name=\"{}\" time=\"0\"", escape(&name));
    match item.status {
        Status::Passed => format!("{open}/>\n"),
        Status::Known => {
            format!("{open}>\n      <skipped message=\"{}\"/>\n    </testcase>\n", escape(&item.message))
        }
        Status::Failed => format!(
            "{open}>\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>\n",
            item.rule.id(),
            escape(&item.message),
            escape(&item.details)
        ),
    }
}

/// Text for XML, in an element or an attribute. What no XML may have, escaped or not, is shown as Rust writes it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_default()),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_that_xml_forbids_is_left() {
        assert_eq!(
            escape("<a b='\"'>&\n\u{0}\u{1b}[0m\u{ffff}é"),
            "&lt;a b=&apos;&quot;&apos;&gt;&amp;&#10;\\u{0}\\u{1b}[0m\\u{ffff}é"
        );
    }
}
