//! Reports as a browser shows them: that they work, ask nobody for anything, and take text for text.

use std::{path::Path, process::Command, time::Duration};

use heapsight_capture::{
    inspector::{AttachOptions, Attachment, attach},
    target::Target,
};
use heapsight_testkit::{
    builder::{Layout, SnapshotBuilder},
    runtimes,
};
use serde_json::{Value, json};

use crate::{
    command::Cli,
    programs::{Program, until},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Notes whatever goes wrong in a page, from its first moment on. What the policy stops is a violation of it.
const WATCH: &str = "globalThis.wrong = [];
    addEventListener('error', (event) => wrong.push('error: ' + event.message), true);
    addEventListener('unhandledrejection', (event) => wrong.push('rejection: ' + event.reason));
    addEventListener('securitypolicyviolation', (event) => wrong.push('policy: ' + event.blockedURI));
    for (const level of ['error', 'warn']) {
        const say = console[level].bind(console);
        console[level] = (...words) => { wrong.push(level + ': ' + words.join(' ')); say(...words); };
    }";

/// A browser with one page.
pub(crate) struct Browser {
    pub(crate) attachment: Attachment,
    _program: Program,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(runtimes::chromium());
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]);
        command.args(["--disable-component-update", "--disable-sync", "--remote-debugging-port=0"]);
        command.args(["--user-data-dir=data", "--window-size=1000,900"]);
        let program = Program::start(&mut command, "page.html", "<title>Empty</title>");
        let address = program.inspector();
        let (host, port) = address.rsplit_once(':').unwrap();
        let target = Target::Address { host: host.to_owned(), port: port.parse().unwrap() };
        let mut attachment = until("the page is there", || {
            let options = AttachOptions { timeout: PATIENCE, ..AttachOptions::default() };
            let attachment = attach(&target, &options).ok()?;
            (attachment.identity().title == "Empty").then_some(attachment)
        });
        let session = attachment.session();
        session.call("Page.enable", &json!({}), PATIENCE).unwrap();
        session.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": WATCH}), PATIENCE).unwrap();
        Self { attachment, _program: program }
    }

    pub(crate) fn open(&mut self, file: &Path) {
        let url = format!("file://{}", file.display());
        self.attachment.session().call("Page.navigate", &json!({"url": url}), PATIENCE).unwrap();
        let there = format!("location.href === {} && document.readyState === 'complete'", json!(url));
        until("the report is loaded", || (self.ask(&there) == true).then_some(()));
    }

    /// The value of an expression.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let asked = self.attachment.session().evaluate(expression, PATIENCE);
        asked.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn text(&mut self, selector: &str) -> String {
        let found = self.ask(&format!("document.querySelector({}).textContent", json!(selector)));
        found.as_str().unwrap().to_owned()
    }

    /// Texts of a column, from above.
    fn column(&mut self, table: &str, at: u32) -> Vec<String> {
        let cells = format!(
            "[...document.querySelectorAll('#{table} tbody td:nth-child({at})')].map((cell) => cell.textContent)"
        );
        serde_json::from_value(self.ask(&cells)).unwrap()
    }

    fn click(&mut self, selector: &str) {
        self.ask(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// Nothing went wrong, nothing was asked for, nothing is there that was not in the file's template.
    fn is_quiet(&mut self) {
        assert_eq!(self.ask("wrong"), json!([]));
        assert_eq!(
            self.ask("performance.getEntriesByType('resource').map((entry) => entry.name)"),
            json!([])
        );
        assert_eq!(
            self.ask("document.querySelectorAll('img, iframe, link, object, embed, [src]').length"),
            0
        );
        assert_eq!(self.ask("document.querySelectorAll('script').length"), 2);
    }
}

fn numbers(texts: &[String]) -> Vec<u64> {
    texts.iter().map(|text| text.replace(',', "").parse().unwrap()).collect()
}

#[test]
fn a_report_works_in_a_browser() {
    let cli = Cli::new();
    let mut command = cli.command(&["leak", "--demo", "--quiet", "--report", "report.html"]);
    assert!(command.env("PATH", "/nowhere").output().unwrap().status.success());
    let mut browser = Browser::start();
    browser.open(&cli.path().join("report.html"));
    browser.is_quiet();
    assert_eq!(browser.text("h1"), "1 leak found in 4 snapshots");
    assert_eq!(browser.text("#leaks h3"), "MemoryStore.sessions");
    assert!(browser.text("#leaks .leak").contains("/srv/demo/store.js:11"));
    assert_eq!(browser.ask("document.querySelectorAll('#growth svg rect.bar.old').length"), 4);

    // Tables sort both ways, and filter.
    assert_eq!(browser.column("class-table", 1)[0], "Function");
    let objects = "#class-table th:nth-child(2) button";
    browser.click(objects);
    let most = numbers(&browser.column("class-table", 2));
    assert!(most.is_sorted_by(|a, b| a >= b) && most[0] > 10_000, "{most:?}");
    assert_eq!(browser.ask("document.querySelector('#class-table th:nth-child(2)').ariaSort"), "descending");
    browser.click(objects);
    let fewest = numbers(&browser.column("class-table", 2));
    assert!(fewest.is_sorted() && fewest[0] < most[0], "{fewest:?}");
    browser.ask(
        "{ const filter = document.querySelector('#classes input'); filter.value = 'sess';
           filter.dispatchEvent(new Event('input')); }",
    );
    let names = browser.column("class-table", 1);
    assert!(names.contains(&"Session".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| name.to_lowercase().contains("sess")), "{names:?}");

    // The map goes in and out, and what it draws stays inside of it.
    let cells = browser.ask("document.querySelectorAll('.map .cell').length").as_u64().unwrap();
    assert!((20..2000).contains(&cells), "{cells}");
    assert_eq!(
        browser.ask(
            "(() => { const map = document.querySelector('.map').getBoundingClientRect();
               return [...document.querySelectorAll('.map .cell')].every((cell) => {
                 const box = cell.getBoundingClientRect();
                 return box.left >= map.left - 1 && box.right <= map.right + 1 && box.bottom <= map.bottom + 1; }); })()"
        ),
        true
    );
    let first = browser.text(".map .l1.go .tag b");
    browser.click(".map .l1.go");
    assert_eq!(browser.text(".crumbs [aria-current]"), first);
    assert_eq!(browser.ask("document.querySelectorAll('.crumbs button').length"), 2);
    browser.click(".crumbs button");
    assert_eq!(browser.text(".crumbs [aria-current]"), "whole heap");
    // Deeper at once by a click inside, one level at a time by the keyboard.
    browser.click(".map .l1 .l2 .l2.go, .map .l1 .l2.go");
    assert_eq!(browser.ask("document.querySelectorAll('.crumbs button').length"), 3);
    let press = |key: &str| {
        format!(
            "{{ const at = document.querySelector('.map .l1.go'); at.focus();
                at.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})); }}"
        )
    };
    browser.ask(&press("Enter"));
    assert_eq!(browser.ask("document.querySelectorAll('.crumbs button').length"), 4);
    for _ in 0..3 {
        browser.ask(
            "document.querySelector('.map').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))",
        );
    }
    assert_eq!(browser.text(".crumbs [aria-current]"), "whole heap");

    // Both themes.
    let paper = "getComputedStyle(document.body).backgroundColor";
    let before = browser.ask(paper);
    browser.click("#theme");
    assert_ne!(browser.ask(paper), before);

    // Narrow as a telephone, nothing makes the page wider.
    let narrow = json!({"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": false});
    let session = browser.attachment.session();
    session.call("Emulation.setDeviceMetricsOverride", &narrow, PATIENCE).unwrap();
    let root = "document.documentElement";
    assert_eq!(
        browser.ask(&format!("innerWidth === 360 && {root}.scrollWidth === {root}.clientWidth")),
        true
    );
    browser.is_quiet();

    // The watch sees what a page should not do, and the policy stops it.
    browser.ask("document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png' }))");
    browser
        .ask("document.body.append(Object.assign(document.createElement('script'), { text: 'owned = 1' }))");
    let stopped = until("the policy has stopped them", || {
        let wrong = browser.ask("wrong.filter((what) => what.startsWith('policy'))");
        (wrong.as_array().unwrap().len() == 2).then_some(wrong)
    });
    assert!(stopped[0].as_str().unwrap().contains("http://127.0.0.1:9/x.png"), "{stopped}");
    assert_eq!(browser.ask("typeof owned"), "undefined");
}

/// Names that would be more than text where somebody forgets that they are text.
const HOSTILE: [&str; 4] = [
    "</script><script>owned=1</script>",
    "<img src=x onerror=\"owned = 1\">",
    "<!--<script>",
    "\"]}');owned = 1;('\u{2028}\u{202e}\u{0}&amp;",
];

#[test]
fn names_stay_names_in_a_report() {
    let cli = Cli::new();
    for round in 0..4u32 {
        let mut graph = SnapshotBuilder::new();
        let global = graph.global("Window / <b>page</b>", 64);
        let held = graph.object(global, HOSTILE[1], "Array", 64);
        let store = graph.node("array", "", 800);
        graph.edge(held, "internal", "elements", store);
        for at in 0..50 * (round + 1) {
            let member = graph.node("object", HOSTILE[0], 400);
            graph.edge(store, "internal", at.to_string(), member);
            graph.edge(held, "element", at, member);
            for name in HOSTILE {
                let text = graph.node("string", name, 64);
                graph.edge(member, "property", name, text);
            }
        }
        let text = graph.graph().json(&Layout::node24());
        std::fs::write(cli.path().join(format!("{round}.heapsnapshot")), text).unwrap();
    }
    let files = ["0.heapsnapshot", "1.heapsnapshot", "2.heapsnapshot", "3.heapsnapshot"];
    cli.done(&[&["report"], &files[..], &["-n", "50", "-o", "report.html"]].concat());
    let mut browser = Browser::start();
    browser.open(&cli.path().join("report.html"));
    browser.is_quiet();
    assert_eq!(browser.text("h1"), "1 leak found in 4 snapshots");
    assert!(browser.text("#leaks h3").contains(HOSTILE[1]));
    let classes = browser.column("class-table", 1);
    assert!(classes.contains(&HOSTILE[0].to_owned()), "{classes:?}");
    let strings = browser.column("string-table", 1);
    assert!(HOSTILE[..3].iter().all(|name| strings.contains(&(*name).to_owned())), "{strings:?}");
    assert_eq!(browser.ask("typeof owned"), "undefined");
    assert_eq!(
        browser.ask("document.querySelectorAll('b').length"),
        browser.ask("document.querySelectorAll('.tag > b, .share b').length")
    );

    // In the other forms, too.
    for (option, file) in [("--junit", "a.xml"), ("--sarif", "a.sarif"), ("--markdown", "a.md")] {
        let ended = cli.run(&[&["check"], &files[..], &["-n", "50", option, file]].concat());
        assert_eq!(ended.code(), Some(1), "{ended:?}");
    }
    let read = |name: &str| std::fs::read_to_string(cli.path().join(name)).unwrap();
    let text = read("a.xml");
    let xml = roxmltree::Document::parse(&text).unwrap();
    let case = xml.descendants().find(|node| node.has_tag_name("testcase")).unwrap();
    assert!(case.attribute("name").unwrap().contains(HOSTILE[1]));
    let sarif: Value = serde_json::from_str(&read("a.sarif")).unwrap();
    assert!(sarif["runs"][0]["results"][0]["message"]["text"].as_str().unwrap().contains(HOSTILE[1]));
    let page = read("a.md");
    let (outside, _) = page.split_once("```text").unwrap();
    let row = outside.lines().find(|line| line.starts_with("| ❌")).unwrap();
    assert!(row.contains(&format!("leak `Window / <b>page</b>.{}`", HOSTILE[1])), "{row}");
    let summary = outside.lines().find(|line| line.contains("<summary>")).unwrap();
    assert!(summary.contains("&lt;img") && !summary.contains("<img"), "{summary}");
}
