//! `heapsight ps`.

use heapsight_capture::{
    preflight::{self, Prediction},
    process::{self, List, Process, Status, cgroup, methods::Usr1, namespaces},
};
use heapsight_report::{
    paint::plain,
    table::{Cell, Table},
    text::Style,
    units,
};
use serde_json::{Value, json};

use super::{Forms, write};
use crate::{Answer, args::Ps as Args, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    match args.pid {
        Some(pid) => one(context, pid),
        None => all(context),
    }
}

fn all(context: &Context) -> Result<Answer, Failure> {
    let list = process::list()?;
    write(
        context,
        Forms {
            json: &|| {
                let processes: Vec<Value> = list.processes.iter().map(process_json).collect();
                json!({"processes": processes, "unreadable_count": list.unreadable})
            },
            text: &|| {
                if list.processes.is_empty() {
                    return "no V8 processes\n".to_owned();
                }
                let style = context.style_of_lists();
                table(&list).text(style.width, style.paint)
            },
            table: Some(&|| table(&list)),
        },
    )?;
    if list.unreadable > 0 {
        context.note(&unreadable(list.unreadable as u64));
    }
    Ok(if list.processes.is_empty() { Answer::No } else { Answer::Yes })
}

fn one(context: &Context, pid: u32) -> Result<Answer, Failure> {
    let process = process::look(pid)?;
    let predictions = preflight::predict(&process, None, None, false)?;
    write(
        context,
        Forms {
            json: &|| {
                let mut value = process_json(&process);
                value["predictions"] = predictions.iter().map(prediction_json).collect();
                value
            },
            text: &|| details(&process, &predictions, context.style()),
            table: Some(&|| methods_table(&process)),
        },
    )?;
    Ok(if process.methods.iter().any(|m| m.works) { Answer::Yes } else { Answer::No })
}

/// Why processes are missing.
fn unreadable(count: u64) -> String {
    let processes = units::number_of(count, "process", "processes");
    let were = if count == 1 { "was" } else { "were" };
    if Status::read(std::process::id()).is_ok_and(|own| own.euid == 0) {
        return format!("{processes} {were} not looked at: with more rights than root has here");
    }
    let users = if count == 1 { "another user" } else { "other users" };
    format!("{processes} of {users} {were} not looked at: run as root to see all")
}

fn table(list: &List) -> Table {
    // A column in which nobody has anything takes no room.
    let contained = list.processes.iter().any(|p| p.container.is_some());
    let mut table = Table::new(&[
        ("PID", "pid"),
        ("Runtime", "runtime"),
        ("Version", "version"),
        ("Heap", "heap_size"),
        ("RSS", "resident_size"),
        ("Workers", "workers"),
        ("Inspector", "inspector"),
        ("Capture", "methods"),
        (if contained { "Container" } else { "" }, "container"),
        ("Command", "command"),
    ]);
    for p in &list.processes {
        let text = |text: Option<String>| Cell::Text(text.unwrap_or_default());
        let methods: Vec<&str> = p.methods.iter().filter(|m| m.works).map(|m| m.method.name()).collect();
        table.row(vec![
            Cell::Text(p.status.pid.to_string()),
            Cell::Text(p.runtime.label()),
            text(p.runtime.version.clone()),
            p.heap_bytes.map_or_else(|| text(None), Cell::Bytes),
            Cell::Bytes(p.status.vm_rss),
            p.workers.map_or_else(|| text(None), |n| Cell::Count(n.into())),
            text(p.facts.inspector.map(|i| i.addr.to_string())),
            text((!methods.is_empty()).then(|| methods.join(", "))),
            text(p.container.as_ref().map(process::container::Container::label)),
            Cell::Text(short_command(p)),
        ]);
    }
    table
}

/// The command line without the folder of the program.
fn short_command(process: &Process) -> String {
    let mut words = process.command.clone();
    if let Some(first) = words.first_mut() {
        // Chromium writes all of its options in the first word; a title may hold anything.
        let end = first.find(' ').unwrap_or(first.len());
        let start = first[..end].rfind('/').map_or(0, |slash| slash + 1);
        first.drain(..start);
    }
    words.join(" ")
}

fn methods_table(process: &Process) -> Table {
    let mut table = Table::new(&[("Method", "method"), ("Works", "works"), ("Why", "reason")]);
    for m in &process.methods {
        let works = if m.works { "yes" } else { "no" };
        table.row(vec![
            Cell::Text(m.method.name().to_owned()),
            Cell::Text(works.to_owned()),
            Cell::Text(m.reason.clone()),
        ]);
    }
    table
}

/// One process for people: what it is, and each method with its reason and what it would cost.
fn details(process: &Process, predictions: &[Prediction], style: Style) -> String {
    let p = process;
    let runtime = &p.runtime;
    let version = runtime.version.as_deref().unwrap_or("of an unknown version");
    let mut out = format!(
        "{}: {} {version}{}\n",
        style.paint.accent(&format!("process {}", p.status.pid)),
        runtime.label(),
        if runtime.single_executable { ", single executable" } else { "" },
    );
    let mut line = |name: &str, value: String| out += &format!("{name:<12}{}\n", plain(&value));
    line("command", short_command(p));
    let deleted = if runtime.deleted { " (deleted or replaced since)" } else { "" };
    line("executable", format!("{}{deleted}", runtime.path));
    if let Some(v8) = &runtime.v8_version {
        line("V8", v8.clone());
    }
    if let Some(heap) = p.heap_bytes {
        line("heap", format!("{} resident, all isolates", units::bytes(heap)));
    }
    line("memory", format!("{} resident", units::bytes(p.status.vm_rss)));
    if let Ok(memory) = cgroup::memory(p.status.pid)
        && let Some(level) = memory.tightest()
        && let (Some(limit), Some(headroom)) = (level.limit(), level.headroom())
    {
        let together = if memory.kills_together() { "; the kernel kills the whole group" } else { "" };
        line("limit", format!("{}, {} left{together}", units::bytes(limit), units::bytes(headroom)));
    }
    if let Some(workers) = p.workers {
        line("workers", units::count(workers.into()));
    }
    if let Some(inspector) = p.facts.inspector {
        line("inspector", inspector.addr.to_string());
    }
    if let Some(container) = &p.container {
        line("container", format!("{}, process {} inside", container.label(), p.status.own_pid()));
    }
    for m in &p.methods {
        let works = if m.works { style.paint.green("yes") } else { style.paint.red("no ") };
        let mut text = m.reason.clone();
        if m.works
            && let Some(cost) = predictions.iter().find(|cost| cost.method == m.method)
        {
            text += &format!("; {}", costs(cost));
        }
        out += &format!("\n{:<12}{works} ", m.method.name());
        out += &wrapped(&plain(&text), 16, style.width);
    }
    out.push('\n');
    out
}

fn costs(cost: &Prediction) -> String {
    let pause = cost.pause.as_secs_f64();
    let pause = if pause < 1.0 { format!("{:.0} ms", pause * 1000.0) } else { format!("{pause:.1} s") };
    let mut text = format!(
        "about {pause} of pause, a file of {}, {} of extra memory in {}",
        units::bytes(cost.file),
        units::bytes(cost.memory),
        cost.charged_to
    );
    for reason in &cost.reasons {
        text += &format!(". {}: {reason}", cost.verdict.name());
    }
    text
}

/// Text broken at blanks, with all lines but the first moved in.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut used = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > indent && used + 1 + length > width {
            out += &format!("\n{:indent$}", "");
            used = indent;
        }
        if used > indent {
            out.push(' ');
            used += 1;
        }
        out += word;
        used += length;
    }
    out
}

fn process_json(p: &Process) -> Value {
    let methods: Vec<Value> = p
        .methods
        .iter()
        .map(|m| json!({"method": m.method.name(), "works": m.works, "reason": m.reason}))
        .collect();
    let container =
        p.container.as_ref().map(|c| json!({"engine": c.engine, "id": c.id, "name": c.name, "pod": c.pod}));
    let inspector = p.facts.inspector.map(|i| json!({"address": i.addr.to_string(), "expected": i.expected}));
    let memory = cgroup::memory(p.status.pid).ok();
    let limit = memory.as_ref().and_then(|memory| {
        let tightest = memory.tightest()?;
        Some(json!({"limit": tightest.limit(), "headroom": tightest.headroom(),
            "kills_together": memory.kills_together()}))
    });
    let sigusr1 = match p.facts.usr1 {
        Usr1::Opens => "opens",
        Usr1::Blocked => "blocked",
        Usr1::Ignored => "ignored",
        Usr1::Fatal => "fatal",
        Usr1::Starting => "starting",
    };
    json!({
        "pid": p.status.pid,
        "inner_pid": p.status.own_pid(),
        "parent_pid": p.status.ppid,
        "uid": p.status.uid,
        "runtime": p.runtime.kind.name(),
        "role": p.runtime.role,
        "version": p.runtime.version,
        "v8_version": p.runtime.v8_version,
        "executable": p.runtime.path,
        "executable_deleted": p.runtime.deleted,
        "single_executable": p.runtime.single_executable,
        "command": p.command,
        "heap_size": p.heap_bytes,
        "resident_size": p.status.vm_rss,
        "thread_count": p.status.threads,
        "workers": p.workers,
        "inspector": inspector,
        "sigusr1": sigusr1,
        "same_network": namespaces::same_network(p.status.pid),
        "container": container,
        "memory_limit": limit,
        "methods": methods,
    })
}

fn prediction_json(p: &Prediction) -> Value {
    json!({
        "method": p.method.name(),
        "pause_ms": p.pause.as_millis() as u64,
        "memory": p.memory,
        "file_size": p.file,
        "verdict": p.verdict.name(),
        "reasons": p.reasons,
    })
}
