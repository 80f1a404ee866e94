//! `heapsight rss`.

mod verdict;

use heapsight_capture::{
    inspector::{Identity, IsolateMemory},
    process::{
        Runtime,
        memory::{Memory, memory},
    },
    take::Taker,
};
use heapsight_report::{
    paint::plain,
    table::{Cell, Table},
    text::Style,
    units,
};
use serde_json::{Value, json};

use self::verdict::{Facts, Verdict, judge, physical};
use super::{Forms, capture, write};
use crate::{Answer, args::capture::Rss as Args, context::Context, failure::Failure};

/// Workers that are asked.
const MOST_WORKERS: usize = 64;

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let stop = capture::stop_on_signals()?;
    let mut subject = capture::subject(context, &args.target, capture::Makes::Answer, &stop)?;
    let taker = &mut subject.taker;
    let mut facts = Facts::default();
    let mut identity = None;
    let mut unasked = args.no_inspector.then(|| "as --no-inspector says".to_owned());
    if !args.no_inspector {
        match ask(taker, args) {
            Ok((who, isolates)) => (identity, facts.isolates) = (Some(who), isolates),
            // What the kernel tells is better than nothing.
            Err(error) if taker.process().is_some() => unasked = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    let pid = taker.process().map(|process| process.status.pid);
    let mut refused = None;
    if let Some(process) = taker.process() {
        match memory(process.status.pid, &process.runtime) {
            Ok(memory) => facts.memory = Some(memory),
            Err(error) if facts.isolates.is_empty() => return Err(error.into()),
            Err(error) => refused = Some(error.to_string()),
        }
    }
    let name = identity.as_ref().map_or_else(
        || taker.process().map(|process| shown(&process.runtime)).unwrap_or_default(),
        Identity::to_string,
    );
    subject.taker.close()?;
    let target = pid.map_or_else(|| args.target.named.clone().unwrap_or_default(), |pid| pid.to_string());
    let verdict = judge(&facts, &target);
    let answer = Answered { pid, name, facts, verdict, unasked, refused };
    write(
        context,
        Forms {
            json: &|| answer.json(),
            text: &|| answer.text(context.style()),
            table: Some(&|| answer.parts()),
        },
    )?;
    Ok(Answer::Yes)
}

/// A runtime as the kernel's files tell it.
fn shown(runtime: &Runtime) -> String {
    let version = runtime.version.as_deref().unwrap_or_default();
    format!("{} {version}", runtime.label()).trim_end().to_owned()
}

/// Asks every isolate.
fn ask(taker: &mut Taker, args: &Args) -> heapsight_capture::Result<(Identity, Vec<(u32, IsolateMemory)>)> {
    let identity = taker.identity()?;
    let mut isolates = Vec::new();
    for thread in taker.threads()?.iter().take(MOST_WORKERS + 1) {
        let mut session = match taker.session(thread.number) {
            Ok(session) => session,
            // A worker may end meanwhile.
            Err(_) if thread.number > 0 => continue,
            Err(error) => return Err(error),
        };
        match session.memory(args.target.timeout) {
            Ok(memory) => isolates.push((thread.number, memory)),
            Err(_) if thread.number > 0 => {}
            Err(error) => return Err(error),
        }
        taker.give_back(thread.number, session);
    }
    Ok((identity, isolates))
}

struct Answered {
    pid: Option<u32>,
    name: String,
    facts: Facts,
    verdict: Verdict,
    /// Why the inspector was not asked.
    unasked: Option<String>,
    /// Why the mappings are not known.
    refused: Option<String>,
}

impl Answered {
    /// The rows of the resident memory; they add up to it.
    fn rows(memory: &Memory) -> Vec<(&'static str, &'static str, u64)> {
        let mut rows =
            vec![("V8 heap", "js_heap", memory.js_heap), ("machine code of V8", "code", memory.code)];
        match memory.arenas_in_use {
            Some(used) => {
                let used = used.min(memory.arenas);
                rows.push(("malloc, in use", "arenas_in_use", used));
                rows.push(("malloc, free and not given back", "arenas_free", memory.arenas - used));
            }
            None => rows.push(("malloc", "arenas", memory.arenas)),
        }
        rows.extend([
            ("buffers and other large blocks", "large_blocks", memory.large_blocks),
            ("stacks of threads", "stacks", memory.stacks),
            ("files: executable, libraries", "files", memory.files),
            ("shared memory", "shared", memory.shared),
        ]);
        rows
    }

    fn parts(&self) -> Table {
        let mut table = Table::new(&[("Part", "part"), ("Resident", "size"), ("%", "share")]);
        for (name, _, size) in self.facts.memory.iter().flat_map(Self::rows) {
            table.row(vec![
                Cell::Text(name.to_owned()),
                Cell::Bytes(size),
                Cell::Share(size, self.facts.rss()),
            ]);
        }
        table
    }

    fn isolates(&self) -> Table {
        let mut table = Table::new(&[
            ("Isolate", "isolate"),
            ("Objects", "used"),
            ("Resident", "physical"),
            ("Limit", "limit"),
            ("External", "external"),
            ("ArrayBuffers", "array_buffers"),
            ("V8's malloc", "malloced"),
        ]);
        for (number, isolate) in &self.facts.isolates {
            let name = if *number == 0 { "main thread".to_owned() } else { format!("worker {number}") };
            table.row(vec![
                Cell::Text(name),
                Cell::Bytes(isolate.used),
                Cell::Bytes(physical(isolate)),
                Cell::Bytes(isolate.limit),
                Cell::Bytes(isolate.external),
                Cell::Bytes(isolate.array_buffers),
                Cell::Bytes(isolate.malloced),
            ]);
        }
        table
    }

    fn spaces(isolate: &IsolateMemory) -> Table {
        let mut table = Table::new(&[
            ("Space", "name"),
            ("Objects", "used"),
            ("Committed", "size"),
            ("Resident", "physical"),
        ]);
        for space in isolate.spaces.iter().filter(|space| space.size > 0) {
            table.row(vec![
                Cell::Text(space.name.clone()),
                Cell::Bytes(space.used),
                Cell::Bytes(space.size),
                Cell::Bytes(space.physical),
            ]);
        }
        table
    }

    fn text(&self, style: Style) -> String {
        let what = self.pid.map_or_else(|| "the target".to_owned(), |pid| format!("process {pid}"));
        let heading = format!("Memory of {what}, {}", plain(&self.name));
        let mut out = format!("{}\n", style.paint.accent(heading.trim_end_matches([',', ' '])));
        out += &format!("{} resident", units::bytes(self.facts.rss()));
        if let Some(memory) = self.facts.memory.as_ref().filter(|memory| memory.swapped > 0) {
            out += &format!(", {} in the swap", units::bytes(memory.swapped));
        }
        out += "\n\n";
        let table = |table: Table| table.text(style.width, style.paint);
        match (&self.facts.memory, &self.refused) {
            (Some(memory), _) => {
                out += &table(self.parts());
                let stacks = units::number_of(memory.stack_count.into(), "stack", "stacks");
                let arenas = units::number_of(u64::from(memory.extra_arenas) + 1, "arena", "arenas");
                out += &format!("{stacks} of threads, {arenas} of malloc\n");
            }
            (None, Some(why)) => out += &format!("Its mappings are not known: {why}\n"),
            (None, None) => out += "It runs elsewhere: its mappings are not known\n",
        }
        if let Some(why) = &self.unasked {
            out += &format!("\nV8 was not asked ({why}): this is from the mappings alone\n");
        } else {
            out += "\n";
            out += &table(self.isolates());
            if let Some((_, main)) = self.facts.isolates.first() {
                out += "\n";
                out += &table(Self::spaces(main));
            }
            if let Some(native) = self.facts.native() {
                out += &format!(
                    "\nThe allocator has {} in use that neither V8 nor a buffer accounts for\n",
                    units::bytes(native)
                );
            }
        }
        out += &format!("\n{}\n", style.paint.bold(&self.verdict.words));
        for text in &self.verdict.tries {
            out += &format!("  try: {text}\n");
        }
        out
    }

    fn json(&self) -> Value {
        let facts = &self.facts;
        let parts = facts.memory.as_ref().map(|memory| {
            let mut value = json!({});
            for (_, name, size) in Self::rows(memory) {
                value[name] = size.into();
            }
            value["stack_count"] = memory.stack_count.into();
            value["arena_count"] = (memory.extra_arenas + 1).into();
            value
        });
        let isolates: Vec<Value> = facts
            .isolates
            .iter()
            .map(|(number, isolate)| {
                let spaces: Vec<Value> = isolate
                    .spaces
                    .iter()
                    .map(|s| json!({"name": s.name, "used": s.used, "size": s.size, "physical": s.physical}))
                    .collect();
                json!({"thread": number, "used": isolate.used, "total": isolate.total,
                    "physical": physical(isolate), "limit": isolate.limit, "external": isolate.external,
                    "array_buffers": isolate.array_buffers, "malloced": isolate.malloced, "spaces": spaces})
            })
            .collect();
        json!({"pid": self.pid, "runtime": self.name, "rss": facts.rss(),
            "swapped": facts.memory.as_ref().map(|memory| memory.swapped), "parts": parts, "isolates": isolates,
            "native": facts.native(), "inspector": self.unasked.is_none(), "unasked": self.unasked,
            "verdict": {"cause": self.verdict.cause.name(), "size": self.verdict.size, "words": self.verdict.words,
                "tries": self.verdict.tries}})
    }
}

#[cfg(test)]
mod tests {
    use heapsight_capture::inspector::Space;
    use heapsight_report::paint::Paint;
    use insta::assert_snapshot;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A process of Node.js that holds buffers, with one worker.
    fn facts() -> Facts {
        let memory = Memory {
            rss: 347 * MIB,
            swapped: 2 * MIB,
            js_heap: 4 * MIB,
            code: 28 << 10,
            arenas: 2 * MIB,
            arenas_in_use: Some(1_700_000),
            extra_arenas: 7,
            extra_arenas_free: Some(90_000),
            large_blocks: 301 * MIB,
            stacks: 124 << 10,
            stack_count: 8,
            files: 39 * MIB,
            shared: 0,
        };
        let space = |name: &str, used| Space { name: name.to_owned(), used, size: used * 2, physical: used };
        let isolate = IsolateMemory {
            rss: 346 * MIB,
            used: 3 * MIB,
            total: 5 * MIB,
            limit: 4 << 30,
            external: 300 * MIB,
            array_buffers: 299 * MIB,
            malloced: 147_000,
            spaces: vec![
                space("new_space", 255_000),
                space("old_space", 2_700_000),
                space("shared_space", 0),
            ],
        };
        let worker = IsolateMemory { used: MIB / 2, total: MIB, limit: 2 << 30, ..IsolateMemory::default() };
        Facts { memory: Some(memory), isolates: vec![(0, isolate), (1, worker)] }
    }

    fn answered(facts: Facts) -> Answered {
        let verdict = judge(&facts, "4711");
        let name = "Node.js 22.23.3 (V8 12.4.254.21-node.57)".to_owned();
        Answered { pid: Some(4711), name, facts, verdict, unasked: None, refused: None }
    }

    fn text(answered: &Answered) -> String {
        answered.text(Style { width: 100, paint: Paint::default() })
    }

    #[test]
    fn an_answer_in_all_its_forms() {
        let answered = answered(facts());
        let json = serde_json::to_string_pretty(&answered.json()).unwrap();
        let table = answered.parts();
        assert_snapshot!([text(&answered), table.csv(), table.markdown(), json].join("\n"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut blind = Facts { isolates: Vec::new(), ..facts() };
        if let Some(memory) = &mut blind.memory {
            (memory.arenas_in_use, memory.extra_arenas_free) = (None, None);
        }
        let blind = Answered { unasked: Some("as --no-inspector says".to_owned()), ..answered(blind) };
        let away = Answered { pid: None, ..answered(Facts { memory: None, ..facts() }) };
        let refused = Some("cannot read /proc/4711/smaps: Permission denied".to_owned());
        let refused = Answered { refused, ..answered(Facts { memory: None, ..facts() }) };
        assert_snapshot!([text(&blind), text(&away), text(&refused)].join("\n"));
    }
}
