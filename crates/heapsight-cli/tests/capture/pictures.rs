//! Flame graphs in a real browser: zoom, search and inversion work from a file, and nothing is blocked or loaded. And
//! what is converted, in the tools that it is for.

use std::process::Command;

use heapsight_testkit::runtimes;
use serde_json::{Value, json};

use crate::{
    command::Cli,
    programs::{PATIENCE, until},
    reports::Browser,
};

/// `handle` calls `Session` (900 KiB) and `parse` (90 KiB); `tick` calls `Session` too (10 KiB).
const PROFILE: &str = r#"{"head":{"callFrame":{"functionName":"(root)","scriptId":"0","url":"","lineNumber":-1,"columnNumber":-1},
"selfSize":0,"id":1,"children":[
{"callFrame":{"functionName":"handle","scriptId":"1","url":"/srv/app.js","lineNumber":1,"columnNumber":1},"selfSize":0,"id":2,"children":[
{"callFrame":{"functionName":"Session","scriptId":"1","url":"/srv/store.js","lineNumber":4,"columnNumber":1},"selfSize":921600,"id":3,"children":[]},
{"callFrame":{"functionName":"parse<b>","scriptId":"2","url":"/srv/node_modules/qs/qs.js","lineNumber":9,"columnNumber":1},"selfSize":92160,"id":4,"children":[]}]},
{"callFrame":{"functionName":"tick","scriptId":"1","url":"/srv/app.js","lineNumber":20,"columnNumber":1},"selfSize":0,"id":5,"children":[
{"callFrame":{"functionName":"Session","scriptId":"1","url":"/srv/store.js","lineNumber":4,"columnNumber":1},"selfSize":10240,"id":6,"children":[]}]}]}}"#;

/// The width of the window, which a picture fills.
fn resize(browser: &mut Browser, width: u32) {
    let size = json!({"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": false});
    browser.attachment.session().call("Emulation.setDeviceMetricsOverride", &size, PATIENCE).unwrap();
}

const HANDS: &str = "globalThis.click = (label) => { const all = [...document.querySelectorAll('.f')]; \
    const one = all.find((e) => (e.querySelector?.('text') ?? e).textContent.startsWith(label)); \
    one.dispatchEvent(new MouseEvent('click', { bubbles: true })); }; \
    globalThis.type = (text) => { const s = document.getElementById('search'); s.value = text; \
    s.dispatchEvent(new Event('input', { bubbles: true })); return document.getElementById('told').textContent; }; 1";

#[test]
fn flame_graphs_work_in_a_browser_opened_as_files() {
    let cli = Cli::new();
    std::fs::write(cli.path().join("app.heapprofile"), PROFILE).unwrap();
    for file in ["flame.svg", "flame.html"] {
        cli.done(&["profile", "flame", "app.heapprofile", "-o", file]);
    }
    let mut browser = Browser::start();
    for (file, width) in [("flame.svg", 1200), ("flame.html", 1200), ("flame.svg", 420), ("flame.html", 420)]
    {
        resize(&mut browser, width);
        browser.open(&cli.path().join(file));
        browser.ask(HANDS);
        let shown = "[...document.querySelectorAll('.f:not(.off)')].length";
        assert_eq!(browser.ask(shown), 6, "{file}");
        // Words of a heap stay words.
        assert_eq!(browser.ask("document.querySelectorAll('b').length"), 0);
        let told = browser.ask("type('session')").as_str().unwrap().to_owned();
        assert!(told.starts_with("2 frames found") && told.contains("91"), "{file}: {told}");
        assert_eq!(browser.ask("document.querySelectorAll('.found').length"), 2, "{file}");
        assert_eq!(browser.ask("type('')"), "", "{file}");
        // Zoom into `handle`: `tick` and what it calls are gone, `handle` is as wide as the picture.
        browser.ask("click('handle')");
        assert_eq!(browser.ask(shown), 4, "{file}");
        browser.ask("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))");
        assert_eq!(browser.ask(shown), 6, "{file}");
        // Nothing sticks out to the side.
        assert_eq!(browser.ask("document.documentElement.scrollWidth <= innerWidth"), true, "{file} {width}");
    }
    // The page inverted: what allocated first, then who called it.
    browser.ask("document.getElementById('inverted').click()");
    let labels = browser.ask(
        "[...document.querySelectorAll('.f')].map((e) => (e.textContent || e.getAttribute('aria-label')).split(' ')[0] + e.ariaLevel).join()",
    );
    assert_eq!(labels, "all1,Session2,handle3,tick3,parse<b>2,handle3");
    // The policy lets the page's own style and script work, and no other.
    let blocked = "new Promise((done) => { addEventListener('securitypolicyviolation', (e) => done(e.violatedDirective)); \
        const s = document.createElement('script'); s.textContent = 'globalThis.evil = 1'; document.body.append(s); })";
    assert_eq!(browser.ask(blocked), "script-src-elem");
    assert_eq!(browser.ask("typeof evil"), "undefined");
    assert_ne!(browser.ask("getComputedStyle(document.querySelector('#chart')).position"), "static");
    // Light and dark.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let before = browser.ask(ground);
    browser.ask("document.getElementById('theme').click()");
    assert_ne!(browser.ask(ground), before);
}

#[test]
fn what_is_converted_opens_in_the_tools_that_it_is_for() {
    let cli = Cli::new();
    std::fs::write(cli.path().join("app.heapprofile"), PROFILE).unwrap();
    for file in ["app.pb.gz", "app.speedscope.json", "app.collapsed.txt", "again.heapprofile"] {
        cli.done(&["convert", "app.heapprofile", file]);
    }
    // pprof, by the reader that Datadog's and Google's agents for Node.js use.
    let script = "const {Profile} = require(process.argv[1]); const text = (p, n) => p.stringTable.strings[Number(n)]; \
        const p = Profile.decode(require('zlib').gunzipSync(require('fs').readFileSync('app.pb.gz'))); \
        const names = new Map(p.function.map((f) => [String(f.id), text(p, f.name)])); \
        const at = new Map(p.location.map((l) => [String(l.id), l.line.map((l) => names.get(String(l.functionId)))])); \
        const types = p.sampleType.map((t) => text(p, t.type)); const space = types.findIndex((t) => t.includes('space')); \
        console.log(JSON.stringify(p.sample.map((s) => [s.locationId.flatMap((l) => at.get(String(l))), Number(s.value[space])])));";
    let read = Command::new(runtimes::node(22))
        .args(["-e", script])
        .arg(runtimes::reader("pprof-format"))
        .current_dir(cli.path())
        .output()
        .unwrap();
    let stacks: Value = serde_json::from_slice(&read.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&read.stderr)));
    assert_eq!(
        stacks,
        json!([
            [["Session", "handle"], 921_600],
            [["parse<b>", "handle"], 92_160],
            [["Session", "tick"], 10_240]
        ])
    );
    // speedscope: the page of its package, which is given a file as its command does it. It reads three of the formats.
    let mut browser = Browser::start();
    let page = runtimes::reader("speedscope").join("dist/release/index.html");
    for (number, (file, shown)) in [
        ("app.speedscope.json", "app.heapprofile"),
        ("app.collapsed.txt", "app.collapsed.txt"),
        ("again.heapprofile", "again.heapprofile"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = std::fs::read_to_string(cli.path().join(file)).unwrap();
        let text = serde_json::to_string(&text).unwrap();
        let loads = format!("speedscope.loadFileFromBase64('{file}', btoa({text}))");
        let script = cli.path().join(format!("load{number}.js"));
        std::fs::write(&script, loads).unwrap();
        // Another query, so that the page is loaded anew.
        let url = format!("file://{}?{number}#localProfilePath={}", page.display(), script.display());
        browser.attachment.session().call("Page.navigate", &json!({"url": url}), PATIENCE).unwrap();
        let title = until("speedscope has read the file", || {
            let title =
                browser.attachment.session().evaluate("document.title", PATIENCE).ok()?.as_str()?.to_owned();
            title.contains(shown).then_some(title)
        });
        assert!(title.contains("speedscope"), "{title}");
        assert_eq!(browser.ask("document.body.innerText.includes('went wrong')"), false, "{file}");
    }
}
