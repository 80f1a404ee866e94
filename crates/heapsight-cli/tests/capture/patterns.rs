//! The patterns of `suspects` in programs that have each mistake, and in programs alike that do not have it.

use std::{fs, ops::ControlFlow, process::Command};

use heapsight_capture::{
    inspector::{AttachOptions, SnapshotOptions, attach},
    target::Target,
};
use heapsight_testkit::runtimes;
use serde_json::{Value, json};

use crate::{
    command::Cli,
    programs::{MAJORS, PATIENCE, Program, until},
    reports::Browser,
};

/// Writes a snapshot when what has been begun has settled, and ends; a program that says when has `later`.
const WRITE: &str = r"
globalThis.write = () => setImmediate(() => setImmediate(() => {
  require('v8').writeHeapSnapshot('app.heapsnapshot'); process.exit(); }));
require('./app.cjs');
if (!globalThis.later) setTimeout(write, 10);
";

/// A mistake.
struct Mistake {
    pattern: &'static str,
    /// The line that is meant has `/* here */`.
    program: &'static str,
    title: &'static str,
    /// At least, and at most.
    count: (u64, u64),
    /// The same without the mistake.
    twin: &'static str,
}

/// The suspects of a program that has run in a version of Node.js, and the line that it marks.
fn suspects(major: u32, program: &str) -> (Vec<Value>, Option<u64>) {
    let cli = Cli::new();
    fs::write(cli.path().join("app.cjs"), program).unwrap();
    fs::write(cli.path().join("write.cjs"), WRITE).unwrap();
    let mut command = Command::new(runtimes::node(major));
    let run = command.args(["--no-warnings", "write.cjs"]).current_dir(cli.path()).env_remove("NODE_OPTIONS");
    let ended = run.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let line = program.lines().position(|line| line.contains("/* here */")).map(|at| at as u64 + 1);
    (of_file(&cli), line)
}

fn of_file(cli: &Cli) -> Vec<Value> {
    let ended = cli.run(&["suspects", "app.heapsnapshot", "--json"]);
    assert!(ended.code() < Some(2), "{ended:?}");
    let answer: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    answer["suspects"].as_array().unwrap().clone()
}

/// Checks a mistake and its twin in some versions.
fn check(majors: &[u32], mistake: &Mistake) {
    let of = |found: &Vec<Value>| -> Vec<Value> {
        found.iter().filter(|suspect| suspect["pattern"] == mistake.pattern).cloned().collect()
    };
    for &major in majors {
        let (found, line) = suspects(major, mistake.program);
        let named = of(&found);
        assert_eq!(named.len(), 1, "{} in Node.js {major}: {found:#?}", mistake.pattern);
        let suspect = &named[0];
        assert_eq!(suspect["title"], mistake.title, "{} in Node.js {major}", mistake.pattern);
        let (least, most) = mistake.count;
        let count = suspect["count"].as_u64().unwrap();
        assert!((least..=most).contains(&count), "{} in Node.js {major}: {count}", mistake.pattern);
        if line.is_some() {
            let location = &suspect["location"];
            assert!(
                location["url"].as_str().is_some_and(|url| url.ends_with("app.cjs")),
                "{major}: {suspect:#}"
            );
            assert_eq!(
                location["line"].as_u64(),
                line,
                "{} in Node.js {major}: {suspect:#}",
                mistake.pattern
            );
        }
        let (found, _) = suspects(major, mistake.twin);
        assert_eq!(of(&found), Vec::<Value>::new(), "{} without it in Node.js {major}", mistake.pattern);
    }
}

/// The oldest, one between and the newest.
const SOME: [u32; 3] = [18, 20, 26];

#[test]
fn programs_without_a_mistake_have_no_suspect() {
    for major in MAJORS {
        for (name, program) in [("an empty program", ""), ("a server", SERVER), ("a bounded cache", BOUNDED)]
        {
            let (found, _) = suspects(major, program);
            assert_eq!(found, Vec::<Value>::new(), "{name} in Node.js {major}");
        }
    }
}

const SERVER: &str = "const http = require('http');
const server = http.createServer((request, response) => response.end('hi'));
globalThis.later = true;
let left = 200;
server.listen(0, '127.0.0.1', function ask() {
  if (!left--) return write();
  http.get({ port: server.address().port, host: '127.0.0.1' }, (answer) => answer.resume().on('end', ask));
});";

const BOUNDED: &str = "const cache = new Map();
globalThis.user = function user(id) {
  if (!cache.has(id)) cache.set(id, { id, name: 'user ' + id });
  if (cache.size > 300) cache.delete(cache.keys().next().value);
};
for (let i = 0; i < 20000; i++) user(i);";

#[test]
fn listeners_that_are_added_again_and_again() {
    let mistake = Mistake {
        pattern: "listeners",
        program: "const { EventEmitter } = require('events');
const feed = globalThis.feed = new EventEmitter().setMaxListeners(0);
function subscribe(i) {
  feed.on('tick', () => i); /* here */
}
for (let i = 0; i < 400; i++) subscribe(i);
for (let i = 0; i < 3; i++) feed.on('end', () => i);",
        title: "global.feed listeners of \"tick\"",
        count: (400, 400),
        twin: "const { EventEmitter } = require('events');
const feeds = globalThis.feeds = [];
for (let i = 0; i < 200; i++) {
  feeds.push(new EventEmitter());
  for (let k = 0; k < 5; k++) feeds[i].on('tick', () => i);
}",
    };
    check(&SOME, &mistake);
}

#[test]
fn listeners_of_a_signal_that_lives_long() {
    let mistake = Mistake {
        pattern: "listeners",
        program: "const shutdown = globalThis.shutdown = new AbortController();
function watch(i) {
  shutdown.signal.addEventListener('abort', () => i); /* here */
}
for (let i = 0; i < 400; i++) watch(i);",
        title: "AbortController.#signal listeners of \"abort\"",
        count: (400, 400),
        twin: "const shutdown = globalThis.shutdown = new AbortController();
for (let i = 0; i < 400; i++) {
  const f = () => i;
  shutdown.signal.addEventListener('abort', f);
  shutdown.signal.removeEventListener('abort', f);
}",
    };
    check(&[20, 22, 26], &mistake);
}

#[test]
fn promises_that_wait() {
    let mistake = Mistake {
        pattern: "promises",
        program: "const gates = globalThis.gates = [];
async function handle(i) { /* here */
  await new Promise((resolve) => gates.push(resolve));
  return i;
}
for (let i = 0; i < 2000; i++) handle(i);",
        title: "global.gates",
        count: (2000, 2000),
        twin: "const gates = globalThis.gates = [];
async function handle(i) {
  await new Promise((resolve) => { gates.push(i); resolve(); });
  return i;
}
for (let i = 0; i < 2000; i++) handle(i);",
    };
    check(&SOME, &mistake);
}

#[test]
fn promises_that_a_map_holds_and_nobody_waits_for() {
    let mistake = Mistake {
        pattern: "promises",
        program: "const inflight = new Map();
globalThis.request = function request(i) { /* here */
  inflight.set(i, new Promise(() => {}));
};
for (let i = 0; i < 3000; i++) request(i);",
        title: "inflight",
        count: (3000, 3005),
        twin: "const answers = new Map();
globalThis.request = function request(i) {
  answers.set(i, Promise.resolve({ i }));
};
for (let i = 0; i < 3000; i++) request(i);",
    };
    check(&SOME, &mistake);
}

#[test]
fn a_promise_that_thousands_wait_for() {
    let mistake = Mistake {
        pattern: "promises",
        program: "const shutdown = globalThis.shutdown = new Promise(() => {});
async function work(i) {
  await Promise.race([shutdown, Promise.resolve({ i })]);
}
let all = [];
for (let i = 0; i < 2000; i++) all.push(work(i));
Promise.all(all).then(() => { all = null; });",
        title: "global.shutdown",
        count: (2000, 2000),
        twin: "const kept = globalThis.kept = [];
for (let i = 0; i < 2000; i++) kept.push(Promise.race([Promise.resolve({ i })]));",
    };
    check(&SOME, &mistake);
    let (found, _) = suspects(22, mistake.program);
    assert!(found[0]["why"].as_str().unwrap().contains("`Promise.race`"), "{found:#?}");
}

#[test]
fn stores_of_contexts_that_promises_keep() {
    let mistake = Mistake {
        pattern: "async-context",
        program: "const { AsyncLocalStorage } = require('async_hooks');
const requests = new AsyncLocalStorage();
class Session { constructor(i) { this.i = i; } }
const jobs = globalThis.jobs = [];
function begin(i) { /* here */
  jobs.push(new Promise(() => {}).then(() => i), new Promise((resolve) => resolve));
  const job = new Promise(() => {});
  job.then(() => i);
  jobs.push(job);
}
globalThis.begin = begin;
for (let i = 0; i < 3000; i++) requests.run(new Session(i), () => begin(i));",
        title: "global.jobs",
        count: (3000, 3000),
        twin: "const { AsyncLocalStorage } = require('async_hooks');
const requests = new AsyncLocalStorage();
const jobs = globalThis.jobs = [];
requests.run({ one: 'store' }, () => {
  for (let i = 0; i < 3000; i++) jobs.push(new Promise(() => {}).then(() => i));
});",
    };
    let unmarked = mistake.program.replace(" /* here */", "");
    let mistake = Mistake { program: unmarked.leak(), ..mistake };
    check(&[18, 20, 22, 24, 26], &mistake);
    // The promises are a mistake of their own, and the classes of the stores are told.
    let (found, _) = suspects(20, mistake.program);
    assert!(
        found.iter().any(|suspect| suspect["pattern"] == "promises" && suspect["title"] == "global.jobs")
    );
    for major in [20, 26] {
        let (found, _) = suspects(major, mistake.program);
        let contexts = found.iter().find(|suspect| suspect["pattern"] == "async-context").unwrap();
        assert_eq!(contexts["parts"][0]["class"], "Session", "{contexts:#}");
        assert_eq!(contexts["parts"][0]["count"], 3000, "{contexts:#}");
    }
}

#[test]
fn domains_that_live_on() {
    let mistake = Mistake {
        pattern: "async-context",
        program: "const domain = require('domain');
const kept = globalThis.kept = [];
globalThis.serve = function serve(i) { /* here */
  const own = domain.create();
  own.on('error', () => i);
  kept.push(own);
};
for (let i = 0; i < 1500; i++) serve(i);",
        title: "global.kept",
        count: (1500, 1500),
        twin: "const domain = require('domain');
for (let i = 0; i < 1500; i++) domain.create().run(() => {});",
    };
    check(&SOME, &mistake);
}

#[test]
fn timers_that_nobody_clears() {
    let interval = Mistake {
        pattern: "timers",
        program: "class Session {
  constructor(i) {
    this.i = i;
    setInterval(() => this.ping(), 60000).unref(); /* here */
  }
  ping() {}
}
for (let i = 0; i < 3000; i++) new Session(i);",
        title: "timers",
        count: (3000, 3000),
        twin: "for (let i = 0; i < 3000; i++) clearInterval(setInterval(() => i, 60000));",
    };
    check(&SOME, &interval);
    let timeouts = Mistake {
        program: "function retry(i) {
  setTimeout(() => i, 600000 + (i % 7)).unref(); /* here */
}
for (let i = 0; i < 3000; i++) retry(i);",
        twin: "for (let i = 0; i < 3000; i++) setTimeout(() => i, 0);",
        ..interval
    };
    check(&SOME, &timeouts);
}

#[test]
fn a_context_that_is_shared_with_a_large_variable() {
    let mistake = Mistake {
        pattern: "shared-context",
        program: "const kept = globalThis.kept = [];
function handler(i) {
  const large = new Array(20000).fill(i);
  const total = () => large.length; // it's `used` here only: }
  total();
  return () => i; /* here */
}
for (let i = 0; i < 100; i++) kept.push(handler(i));",
        title: "large",
        count: (100, 100),
        twin: "const kept = globalThis.kept = [];
function handler(i) {
  const large = new Array(20000).fill(i);
  const total = () => /[}]/.test(i) ? `}` : large.length;
  total();
  return () => { if (/[}'\"]/.test(i)) return '}'; return i > 0 ? `${large.length}` : i; };
}
for (let i = 0; i < 100; i++) kept.push(handler(i));
async function wait(i) {
  const big = new Array(20000).fill(i);
  const small = () => i;
  kept.push(small);
  await new Promise((resolve) => kept.push(resolve));
  return (() => big.length)() + small();
}
for (let i = 0; i < 100; i++) wait(i);",
    };
    check(&SOME, &mistake);
}

#[test]
fn caches_without_a_bound() {
    let cache = Mistake {
        pattern: "accumulation",
        program: "const cache = new Map();
globalThis.user = function user(id) { /* here */
  if (!cache.has(id)) cache.set(id, { id, name: 'user ' + id });
};
for (let i = 0; i < 20000; i++) user(i);",
        title: "cache",
        count: (20_000, 20_000),
        twin: BOUNDED,
    };
    check(&SOME, &cache);
    let object = Mistake {
        program: "const pages = {};
globalThis.page = function page(url) { /* here */
  return pages[url] ||= { url, text: '<p>' + url };
};
for (let i = 0; i < 20000; i++) page('/p/' + i);",
        title: "pages",
        ..cache
    };
    check(&SOME, &object);
    let array = Mistake {
        program: "class Log { /* here */
  constructor() { this.lines = []; }
  write(i) { this.lines.push({ i, at: new Date(i) }); }
}
const log = globalThis.log = new Log();
for (let i = 0; i < 20000; i++) log.write(i);",
        title: "Log.lines",
        ..object
    };
    let unmarked = array.program.replace(" /* here */", "");
    check(&SOME, &Mistake { program: unmarked.leak(), ..array });
}

#[test]
fn equal_strings() {
    let mistake = Mistake {
        pattern: "duplicate-strings",
        program: "const rows = globalThis.rows = [];
for (let i = 0; i < 8000; i++) rows.push(JSON.parse(`{\"agent\":\"${'Mozilla/5.0 (X11; Linux x86_64) '.repeat(5)}${i % 3}\"}`));",
        title: "equal strings",
        count: (8000, 12_000),
        twin: "const rows = globalThis.rows = [];
for (let i = 0; i < 8000; i++) rows.push(JSON.parse(`{\"agent\":\"${'Mozilla/5.0 (X11; Linux x86_64) '.repeat(5)}${i}\"}`));",
    };
    check(&SOME, &mistake);
}

#[test]
fn text_of_scripts_that_are_compiled_again_and_again() {
    let mistake = Mistake {
        pattern: "source-text",
        program: "const kept = globalThis.kept = [];
for (let i = 0; i < 60; i++) kept.push(new Function(`return ${i}; // ${'pad '.repeat(12000)}`));",
        title: "source text",
        count: (60, 66),
        twin: "const kept = globalThis.kept = [];
const make = new Function(`return () => 1; // ${'pad '.repeat(12000)}`);
for (let i = 0; i < 60; i++) kept.push(make());",
    };
    check(&SOME, &mistake);
}

#[test]
fn what_the_console_keeps() {
    let text = "class Row { constructor(i) { this.i = i; this.list = [i, i + 1]; } }
globalThis.log = (n) => { for (let i = 0; i < n; i++) console.log(new Row(i)); };
setTimeout(() => process.exit(), 60000);";
    for major in [18, 26] {
        let mut command = Command::new(runtimes::node(major));
        let program = Program::start(command.arg("--inspect=127.0.0.1:0"), "app.cjs", text);
        let address = program.inspector();
        let (host, port) = address.rsplit_once(':').unwrap();
        let target = Target::Address { host: host.to_owned(), port: port.parse().unwrap() };
        let options = AttachOptions { timeout: PATIENCE / 4, ..AttachOptions::default() };
        let mut attachment = until("the program is there", || {
            attach(&target, &options).map_err(|error| eprintln!("Node.js {major}: {error}")).ok()
        });
        for (logged, is_found) in [(0, false), (900, true)] {
            let cli = Cli::new();
            let session = attachment.session();
            session.call("Runtime.enable", &json!({}), PATIENCE).unwrap();
            session.evaluate(&format!("log({logged})"), PATIENCE).unwrap();
            let file = json!(cli.path().join("app.heapsnapshot").to_str().unwrap());
            let write = format!("process.mainModule.require('v8').writeHeapSnapshot({file})");
            session.evaluate(&write, PATIENCE).unwrap();
            let found = of_file(&cli);
            let console: Vec<&Value> =
                found.iter().filter(|suspect| suspect["pattern"] == "console").collect();
            assert_eq!(console.len(), usize::from(is_found), "Node.js {major}: {found:#?}");
            if let Some(console) = console.first() {
                assert!(console["count"].as_u64().unwrap() >= 900, "{console:#}");
            }
        }
    }
}

#[test]
fn a_page_with_detached_parts_and_dead_variables() {
    let mut browser = Browser::start();
    let page = |cli: &Cli, browser: &mut Browser, script: &str| {
        let html = cli.path().join("page.html");
        fs::write(&html, format!("<title>Page</title><main></main><script>{script}</script>")).unwrap();
        browser.open(&html);
        let file = cli.path().join("app.heapsnapshot");
        let mut bytes = Vec::new();
        let session = browser.attachment.session();
        let options = SnapshotOptions { gc: true, ..SnapshotOptions::default() };
        session.heap_snapshot(&options, &mut bytes, &mut |_| ControlFlow::Continue(())).unwrap();
        fs::write(&file, bytes).unwrap();
        of_file(cli)
    };
    let of = |found: &[Value], pattern: &str| -> Option<Value> {
        found.iter().find(|suspect| suspect["pattern"] == pattern).cloned()
    };
    let cli = Cli::new();
    let bad = "globalThis.rows = []; const main = document.querySelector('main');
for (let i = 0; i < 500; i++) { const row = document.createElement('div'); row.textContent = 'row ' + i; main.append(row); rows.push(row); }
main.replaceChildren();
globalThis.kept = [];
function handler(i) { const large = new Array(20000).fill(i); const total = () => large.length; total(); return () => i; }
for (let i = 0; i < 50; i++) kept.push(handler(i));";
    let found = page(&cli, &mut browser, bad);
    let detached = of(&found, "detached-dom").unwrap_or_else(|| panic!("{found:#?}"));
    assert!(detached["count"].as_u64().unwrap() >= 500, "{detached:#}");
    let dead = of(&found, "dead-variable").or_else(|| of(&found, "shared-context"));
    let dead = dead.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!((&dead["title"], &dead["count"]), (&json!("large"), &json!(50)), "{dead:#}");
    let good = "const main = document.querySelector('main');
for (let i = 0; i < 500; i++) { const row = document.createElement('div'); row.textContent = 'row ' + i; main.append(row); }
globalThis.kept = [];
function handler(i) { const large = new Array(20000).fill(i); return () => large.length + i; }
for (let i = 0; i < 50; i++) kept.push(handler(i));";
    let found = page(&Cli::new(), &mut browser, good);
    for pattern in ["detached-dom", "dead-variable", "shared-context"] {
        assert_eq!(of(&found, pattern), None);
    }
}
