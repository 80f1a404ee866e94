//! Where the memory of real programs is, and which of their functions allocate, live.

use std::process::Command;

use heapsight_testkit::runtimes;
use serde_json::Value;

use crate::{
    command::Cli,
    programs::{Program, listening, until},
};

/// The versions that these answers are checked with.
const VERSIONS: [u32; 5] = [18, 20, 22, 24, 26];

/// A program that says `ready` when it has done its work, and ends with its standard input.
fn program(major: u32, text: &str) -> Program {
    let text = format!("{text}\nprocess.stdin.on('end',()=>process.exit()).resume();\n");
    Program::start(Command::new(runtimes::node(major)).arg("--inspect-port=127.0.0.1:0"), "app.cjs", &text)
}

fn ready(program: &Program) {
    until("the program is ready", || program.said().contains("ready").then_some(()));
}

/// What `rss` says, checked for what must hold of any answer.
fn rss(cli: &Cli, program: &Program, options: &[&str]) -> Value {
    let answer = cli.json(&[&["rss", &program.target()], options].concat());
    let parts = answer["parts"].as_object().unwrap();
    let sum: u64 = parts
        .iter()
        .filter(|(name, _)| !name.ends_with("count"))
        .map(|(_, size)| size.as_u64().unwrap())
        .sum();
    assert_eq!(answer["rss"], sum, "{answer}");
    answer
}

fn cause(answer: &Value) -> &str {
    answer["verdict"]["cause"].as_str().unwrap()
}

const BUFFERS: &str =
    "globalThis.kept=[];for(let i=0;i<220;i++)kept.push(Buffer.alloc(1<<20,1));console.log('ready');";
const OBJECTS: &str =
    "globalThis.kept=[];for(let i=0;i<1500000;i++)kept.push({i,next:{i}});console.log('ready');";
/// Small blocks of the allocator, of which one in a hundred stays: the others cannot be given back.
const HOLES: &str = "let all=[];for(let i=0;i<16000;i++)all.push(Buffer.allocUnsafeSlow(16000).fill(1));\
    globalThis.kept=all.filter((_,i)=>i%100===0);all=null;\
    const v8=require('v8');v8.setFlagsFromString('--expose-gc');const gc=require('vm').runInNewContext('gc');\
    let n=0;const t=setInterval(()=>{gc();if(++n===4){clearInterval(t);console.log('ready')}},100);";
const WORKERS: &str = "const {Worker}=require('worker_threads');let up=0;\
    for(let i=0;i<6;i++)new Worker(`globalThis.kept=[];for(let i=0;i<250000;i++)kept.push({i,n:{i}});\
    require('worker_threads').parentPort.on('message',()=>{}).postMessage(1)`,{eval:true})\
    .on('message',()=>{if(++up===6)console.log('ready')});";

#[test]
fn the_cause_of_much_memory_is_named() {
    let cli = Cli::new();
    for major in [18, 26] {
        let idle = program(major, "console.log('ready');");
        ready(&idle);
        let before = listening(idle.pid());
        let answer = rss(&cli, &idle, &[]);
        assert_eq!(cause(&answer), "nothing", "{major}: {answer}");
        assert!(answer["parts"]["files"].as_u64() > Some(10 << 20), "{answer}");
        assert!(answer["isolates"][0]["spaces"].as_array().unwrap().iter().any(|s| s["name"] == "old_space"));
        assert_eq!(listening(idle.pid()), before);
        drop(idle);
        for (text, wanted, blind) in [
            (BUFFERS, "buffers", "buffers_or_native"),
            (OBJECTS, "js_heap", "js_heap"),
            (WORKERS, "workers", "js_heap"),
        ] {
            let program = program(major, text);
            ready(&program);
            let before = listening(program.pid());
            let answer = rss(&cli, &program, &["--no-inspector"]);
            assert_eq!(cause(&answer), blind, "{major}: {answer}");
            assert_eq!((&answer["inspector"], &answer["isolates"]), (&false.into(), &Value::Array(vec![])));
            let answer = rss(&cli, &program, &[]);
            assert_eq!(cause(&answer), wanted, "{major}: {answer}");
            assert_eq!(answer["isolates"].as_array().unwrap().len(), if wanted == "workers" { 7 } else { 1 });
            assert_eq!(listening(program.pid()), before, "the inspector is closed");
        }
    }
}

/// Says how many MiB the memory that the kernel calls its heap can grow by.
const ROOM: &str = "{const lines=require('fs').readFileSync('/proc/self/maps','utf8').split('\\n');\
    const at=lines.findIndex(line=>line.endsWith('[heap]'));const address=text=>parseInt(text,16);\
    console.log('room',(address(lines[at+1])-address(lines[at].split('-')[1]))/2**20|0,'MiB')}";

/// A program with [`HOLES`] whose main arena can grow in its place, or cannot: where V8's code lies right above that, which is
/// chance (one Node.js 18 in six), the allocator takes its memory in pieces elsewhere.
fn with_holes(major: u32, grows: bool) -> Program {
    for _ in 0..150 {
        let program = program(major, &format!("{ROOM}{HOLES}"));
        let room: u64 = until("it says how it is", || {
            let said = program.said();
            let (_, rest) = said.split_once("room ")?;
            rest.split_once(" MiB")?.0.parse().ok()
        });
        if (room > 300) == grows {
            ready(&program);
            return program;
        }
    }
    panic!("no heap of Node.js {major} was so")
}

#[test]
fn what_the_allocator_does_not_give_back_is_told_from_what_is_in_use() {
    let cli = Cli::new();
    for (major, grows) in [(18, true), (18, false), (22, true), (26, true)] {
        let program = with_holes(major, grows);
        let answer = rss(&cli, &program, &[]);
        // The allocator's own headers may be read by whoever may trace the process.
        let Some(free) = answer["parts"]["arenas_free"].as_u64() else {
            panic!("the memory of {major} cannot be read: {answer}")
        };
        assert!(free > 100 << 20, "{major} {grows}: {answer}");
        assert_eq!(cause(&answer), "fragmentation", "{major}: {answer}");
        // It is the main thread's arena: fewer of them would not help.
        let advice = |answer: &Value| answer["verdict"]["tries"][0].as_str().unwrap().to_owned();
        assert!(advice(&answer).contains("jemalloc"), "{major}: {answer}");
    }
    let in_worker =
        HOLES.replace("console.log('ready')", "require('worker_threads').parentPort.postMessage(1)");
    let text = format!(
        "new (require('worker_threads').Worker)({},{{eval:true}}).on('message',()=>console.log('ready'));",
        serde_json::to_string(&in_worker).unwrap()
    );
    let program = program(22, &text);
    ready(&program);
    let answer = rss(&cli, &program, &[]);
    assert!(answer["parts"]["arenas_free"].as_u64() > Some(100 << 20), "{answer}");
    assert_eq!(cause(&answer), "fragmentation", "{answer}");
    let advice = answer["verdict"]["tries"][0].as_str().unwrap();
    assert!(advice.contains("MALLOC_ARENA_MAX"), "{answer}");
}

#[test]
fn memory_of_native_code_is_told_from_buffers() {
    // A database in memory: its pages are malloc's, and V8 knows nothing of them.
    const DATABASE: &str = "const {DatabaseSync}=require('node:sqlite');const db=globalThis.db=new DatabaseSync(':memory:');\
        db.exec('create table t(x)');const add=db.prepare('insert into t values(randomblob(1000000))');\
        for(let i=0;i<200;i++)add.run();console.log('ready');";
    let cli = Cli::new();
    for major in [24, 26] {
        let program = program(major, DATABASE);
        ready(&program);
        let answer = rss(&cli, &program, &[]);
        assert_eq!(cause(&answer), "native", "{major}: {answer}");
        let blind = rss(&cli, &program, &["--no-inspector"]);
        assert_eq!(cause(&blind), "buffers_or_native", "{major}: {blind}");
    }
}

const CHURN: &str = "let sink;function churn(){for(let i=0;i<4000;i++)sink={i,text:'churned '+i}}\
    function keep(){(globalThis.kept??=[]).push(new Array(2000).fill(1.5))}\
    function tick(){churn();keep()}setInterval(tick,5);console.log('ready');";

#[test]
fn functions_that_allocate_are_seen_live() {
    let cli = Cli::new();
    for major in VERSIONS {
        let program = program(major, CHURN);
        ready(&program);
        let before = listening(program.pid());
        let lines = |options: &[&str]| -> Vec<Value> {
            let fixed = ["top", &program.target(), "--every", "400ms", "--interval", "8KiB", "--json"];
            let ended = cli.done(&[&fixed, options].concat());
            ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let size = |answer: &Value, name: &str| -> u64 {
            let functions = answer["functions"].as_array().unwrap();
            functions.iter().find(|f| f["name"] == name).map_or(0, |f| f["self_size"].as_u64().unwrap())
        };
        let all = lines(&["-n", "3"]);
        assert_eq!(all.len(), 3);
        let last = &all[2];
        assert_eq!(last["collected"], major >= 20);
        let churns = size(last, "churn") > 2 * size(last, "keep");
        assert!(churns == (major >= 20) && size(last, "keep") > 0, "{major}: {last}");
        assert!(last["rate"].as_f64() > Some(1e6) && last["loop_delay_ms"].as_f64().is_some(), "{last}");
        assert!(last["rss"].as_u64() > Some(10 << 20) && last["loop_busy"].as_f64().is_some());
        let live = lines(&["--live", "-n", "3"]);
        assert!(size(&live[2], "keep") > 2 * size(&live[2], "churn"), "{major}: {}", live[2]);
        // No trace: the inspector is closed, the profiler stopped, so it can be started anew.
        until("the inspector is closed", || (listening(program.pid()) == before).then_some(()));
        let text = cli.done(&["top", &program.target(), "--once", "--every", "300ms"]).out;
        assert!(text.contains("allocates ") && text.contains("Function"), "{text}");
    }
}

#[test]
fn what_stays_is_told_from_what_is_freed() {
    let leaky = "globalThis.kept=[];function remember(){kept.push(new Array(1000).fill(1.5))}\
        setInterval(remember,2);console.log('ready');";
    let churning = "let sink;function churn(){for(let i=0;i<3000;i++)sink={i,text:'churned '+i}}\
        setInterval(churn,5);console.log('ready');";
    let cli = Cli::new();
    for major in VERSIONS {
        let sampled = |text: &str, name: &str, options: &[&str]| {
            let program = program(major, text);
            ready(&program);
            let file = format!("{name}-{major}.heapprofile");
            let fixed =
                ["sample", &program.target(), "--interval", "4KiB", "--duration", "800ms", "-o", &file];
            cli.done(&[&fixed, options].concat());
            let side = cli.side_file(&file);
            assert_eq!(side["capture"]["sampling"]["interval"], 4096, "{side}");
            // Exit code 1 where nothing is alive.
            cli.run(&["profile", "top", &file]).out
        };
        let stays = sampled(leaky, "leaky", &[]);
        assert!(stays.contains("is still alive: it stays") && stays.contains("remember"), "{major}: {stays}");
        let freed = sampled(churning, "churning", &[]);
        assert!(freed.contains("has been collected"), "{major}: {freed}");
        let all = sampled(churning, "all", &["--include-collected", "major,minor"]);
        // Older ones ignore the wish, and the tool is not taken in by that.
        let kept = all.contains("all that was allocated, with what has been collected since");
        assert_eq!(kept, major >= 20, "{major}: {all}");
        assert!(!kept || all.contains("churn"), "{major}: {all}");
    }
}
