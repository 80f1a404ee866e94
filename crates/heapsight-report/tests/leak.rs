//! The verdict on a leak as people read it, at 80 columns, and its JSON.

use heapsight_query::{
    code::Place,
    leak::{Allocated, Frame, Kind, Part, Placed, Round, SetAside, Suspect, Verdict},
    story::{Hop, Link, Step},
};
use heapsight_report::{
    leak::{Subject, json, text},
    paint::Paint,
    text::Style,
};

const NARROW: Style = Style { width: 80, paint: Paint { on: false } };

fn place(url: &str, line: u32, column: u32, package: Option<&str>) -> Place {
    Place { url: url.to_owned(), line, column, package: package.map(str::to_owned), generated: None }
}

fn hop(text: &str) -> Hop {
    Hop::Step(text.to_owned())
}

fn step(link: Link, edge: &str, name: &str, id: u32, place: Option<Place>) -> Step {
    let class = name.split(' ').next().unwrap_or_default().to_owned();
    let (edge, name) = (edge.to_owned(), name.to_owned());
    Step { link, edge, name, id, class, place, ord: 0, inside: false }
}

const MEMORY: &str = "/srv/shop/node_modules/express-session/session/memory.js";

/// express-session's store, as of Node's own exercise.
fn sessions() -> Suspect {
    let part =
        |class: &str, each: u64, size: u64| Part { class: class.to_owned(), counts: vec![each; 3], size };
    let frame = |name: &str, place: Place| Frame { name: name.to_owned(), place };
    Suspect {
        title: "MemoryStore.sessions".to_owned(),
        kind: Kind::Dictionary,
        class: "Object".to_owned(),
        id: 10_235,
        holders: 1,
        place: Some(Placed {
            place: place(MEMORY, 40, 21, Some("express-session")),
            what: "class MemoryStore".to_owned(),
        }),
        counts: vec![1000; 3],
        counted: None,
        per_request: Some(1.0),
        sizes: vec![296_000; 3],
        retained_size: 1_300_000,
        parts: vec![
            part("(string)", 4000, 700_000),
            part("Cookie", 1000, 96_000),
            part("{cookie, views}", 1000, 52_000),
            part("(number)", 1000, 16_000),
            part("Date", 1000, 15_000),
            part("Array", 1000, 9_000),
        ],
        story: vec![
            hop("TCP"),
            hop(".<symbol owner_symbol>: Server"),
            hop("._events: Object"),
            Hop::Library("express".to_owned(), 7),
            hop("variable store: MemoryStore"),
            hop(".sessions: Object"),
        ],
        way: vec![
            step(Link::Root, "", "global", 3, None),
            step(Link::Property, "app", "function app", 5, Some(place("/srv/shop/app.js", 9, 13, None))),
            step(Link::Internal, "context", "system / Context", 7, None),
            step(
                Link::Variable,
                "store",
                "MemoryStore",
                9,
                Some(place(MEMORY, 40, 21, Some("express-session"))),
            ),
            step(Link::Property, "sessions", "Object", 10_235, None),
        ],
        allocated: Some(Allocated {
            frames: vec![
                frame("MemoryStore.set", place(MEMORY, 120, 38, Some("express-session"))),
                frame(
                    "Session.save",
                    place(
                        "/srv/shop/node_modules/express-session/session/session.js",
                        71,
                        45,
                        Some("express-session"),
                    ),
                ),
                frame("(anonymous)", place("/srv/shop/app.js", 21, 10, None)),
            ],
            size: 250_000,
            count: 61,
            exact: false,
        }),
        why: "1.00 a request in 3 of 3 rounds".to_owned(),
    }
}

/// A chain of promises, of which only the bytes and the class are told.
fn chain() -> Suspect {
    let mut way = vec![step(Link::Root, "", "AuditFile", 21, None)];
    for at in 0..40 {
        way.push(step(Link::Entry, "reactions", "Promise", 31 + 4 * at, None));
        way.push(step(Link::Entry, "2", "PromiseReaction", 33 + 4 * at, None));
    }
    Suspect {
        title: "AuditFile.last".to_owned(),
        kind: Kind::Promise,
        class: "Promise".to_owned(),
        id: 31,
        holders: 3,
        place: Some(Placed {
            place: place("/srv/shop/audit-file.js", 30, 32, None),
            what: "function (anonymous)".to_owned(),
        }),
        counted: Some("Promise".to_owned()),
        story: vec![hop("AuditFile"), hop("[…]: Promise"), hop("(the same 39 times more)")],
        way,
        allocated: Some(Allocated {
            frames: vec![Frame {
                name: "AuditFile.append".to_owned(),
                place: place("/srv/shop/audit-file.js", 29, 9, None),
            }],
            size: 64,
            count: 1000,
            exact: true,
        }),
        parts: vec![Part { class: "Promise".to_owned(), counts: vec![1000; 3], size: 280_000 }],
        sizes: vec![93_333; 3],
        ..sessions()
    }
}

/// A text that grows: bytes are all that is known.
fn transcript() -> Suspect {
    Suspect {
        title: "Transcript.text".to_owned(),
        kind: Kind::Text,
        class: "Transcript".to_owned(),
        place: None,
        counts: Vec::new(),
        counted: None,
        per_request: None,
        sizes: vec![189_500, 190_200, 188_700],
        parts: Vec::new(),
        allocated: None,
        why: "it takes more from round to round".to_owned(),
        ..sessions()
    }
}

fn aside(title: &str, counts: [u64; 3], size: u64, reason: &str) -> SetAside {
    SetAside {
        title: title.to_owned(),
        kind: Kind::Map,
        counts: counts.to_vec(),
        size,
        reason: reason.to_owned(),
    }
}

fn verdict(suspects: Vec<Suspect>) -> Verdict {
    Verdict {
        rounds: vec![Round { requests: Some(1000), seconds: Some(2.5) }; 3],
        by_id: true,
        totals: vec![5_200_000, 6_100_000, 6_500_000, 7_000_000],
        suspects,
        set_aside: Vec::new(),
        survived: 0,
    }
}

fn subject() -> Subject {
    Subject { program: "app.js (pid 4711, Node.js 22.23.3)".to_owned(), ..Subject::default() }
}

#[test]
fn one_leak() {
    insta::assert_snapshot!(text(&verdict(vec![sessions()]), &subject(), 5, NARROW));
}

#[test]
fn one_leak_in_full_from_the_folder_of_the_program() {
    let subject = Subject { full: true, folder: Some("/srv/shop".to_owned()), ..subject() };
    insta::assert_snapshot!(text(&verdict(vec![chain(), sessions()]), &subject, 5, NARROW));
}

#[test]
fn several_leaks_of_which_some_are_not_shown() {
    let verdict = verdict(vec![sessions(), transcript(), chain()]);
    insta::assert_snapshot!(text(&verdict, &subject(), 2, NARROW));
}

#[test]
fn no_leak_but_what_was_set_aside_and_why() {
    let few = "too few to tell";
    let verdict = Verdict {
        set_aside: vec![
            aside(
                "V8's own tables",
                [265, 0, 0],
                1_100_000,
                "compiled code, hidden classes, feedback: the engine's",
            ),
            aside(
                "Cache.map",
                [307; 3],
                124_300,
                "it has 1228 entries and a limit (maxEntries 2000): a cache that is not full; rounds that fill it show more",
            ),
            aside("randomFillSync", [0, 0, 0], 15_800, few),
            aside("a name that is much too long for a line of a table", [0, 0, 2], 8200, few),
        ],
        ..verdict(Vec::new())
    };
    insta::assert_snapshot!(text(&verdict, &subject(), 5, NARROW));
}

#[test]
fn no_leak_and_nothing_that_grew() {
    insta::assert_snapshot!(text(&verdict(Vec::new()), &Subject::default(), 5, NARROW));
}

#[test]
fn of_files_that_do_not_fit_and_of_one_round() {
    let mut verdict = Verdict { by_id: false, ..verdict(vec![transcript()]) };
    verdict.rounds = vec![Round::default()];
    insta::assert_snapshot!(text(&verdict, &Subject::default(), 5, NARROW));
}

#[test]
fn as_json() {
    let mut verdict = verdict(vec![sessions(), transcript()]);
    verdict.set_aside.push(aside("Cache.map", [307; 3], 124_300, "not full"));
    insta::assert_snapshot!(format!("{:#}", json(&verdict, &subject())));
}
