//! `heapsight repair`.

use std::{io::Read, path::Path};

use heapsight_report::units;
use heapsight_snapshot::{Loss, ReadError, ReadOptions, Repaired, Snapshot};
use serde_json::{Value, json};

use super::packed::{Counted, Packed};
use crate::{
    Answer,
    args::{Format, share::Repair as Args},
    context::Context,
    failure::Failure,
    output::Output,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    if context.output_path().is_some() {
        return Err(Failure::new("-o does not apply here", "name the output after the input: repair IN OUT"));
    }
    if !matches!(context.format(), Format::Text | Format::Json) {
        return Err(Failure::new("this answer is no table: it has no CSV or Markdown form", "use --json"));
    }
    let to_stdout = args.out == Path::new("-");
    if !to_stdout {
        Output::check(&args.out, context.force())?;
    }
    let repaired = context.read(&args.input, repaired).map_err(|(source, error)| {
        let failure = Failure::open(&source, &error);
        let Failure::Message { what, .. } = failure else { return failure };
        let what = what.replacen("cannot open", "cannot repair", 1);
        Failure::new(what, "the header and one object have to be whole; only a missing end can be mended")
    })?;
    let mut output = Packed::open(context, &args.out)?;
    let mut counted = Counted::new(context, &args.out, &mut output, repaired.snapshot.text_bytes);
    heapsight_snapshot::write(&repaired.snapshot, &mut counted, context.workers())?;
    drop(counted);
    output.finish()?;
    let text = || shown(&args.out, &repaired.snapshot, repaired.loss.as_ref());
    if to_stdout {
        context.note(text().trim_end());
        return Ok(Answer::Yes);
    }
    super::say_written(context, &|| value(&args.out, &repaired.snapshot, repaired.loss.as_ref()), &text)?;
    Ok(Answer::Yes)
}

fn value(out: &Path, snapshot: &Snapshot, loss: Option<&Loss>) -> Value {
    json!({
        "file": out,
        "nodes": snapshot.node_count(),
        "edges": snapshot.edge_count(),
        "strings": snapshot.strings.len(),
        "lost": loss.map(|loss| json!({
            "section": loss.end.section.name(),
            "offset": loss.end.offset,
            "why": loss.end.problem.to_string(),
            "nodes": loss.nodes,
            "edges": loss.edges,
            "nodes_without_edges": loss.nodes_without_edges,
            "strings": loss.strings,
            "sections": loss.sections.iter().map(|section| section.name()).collect::<Vec<_>>(),
        })),
    })
}

fn shown(out: &Path, snapshot: &Snapshot, loss: Option<&Loss>) -> String {
    let count = units::count;
    let name = if out == Path::new("-") { "standard output".to_owned() } else { out.display().to_string() };
    let mut text = format!(
        "wrote {name}\n  {} objects, {} references, {} strings\n",
        count(snapshot.node_count() as u64),
        count(snapshot.edge_count() as u64),
        count(snapshot.strings.len() as u64),
    );
    let Some(loss) = loss else {
        text.push_str("  nothing was lost: the file was whole\n");
        return text;
    };
    text.push_str(&format!("  it was cut off in {}\n", loss.end));
    let mut lost = |number: u64, of: u64, what: &str| {
        if number > 0 {
            text.push_str(&format!("  lost: {} of {} {what}\n", count(number), count(number + of)));
        }
    };
    lost(loss.nodes, snapshot.node_count() as u64, "objects");
    lost(loss.edges, snapshot.edge_count() as u64, "references");
    let names = (snapshot.strings.len() as u64).saturating_sub(loss.strings);
    lost(loss.strings, names, "names, which are shown as (lost name N)");
    if loss.nodes_without_edges > 0 {
        let nodes = units::number_of(loss.nodes_without_edges, "object lacks", "objects lack");
        text.push_str(&format!("  {nodes} references: retained sizes and paths are those of what is left\n"));
    }
    if !loss.sections.is_empty() {
        let names: Vec<&str> = loss.sections.iter().map(|section| section.name()).collect();
        text.push_str(&format!("  nothing came of: {}\n", names.join(", ")));
    }
    text
}

/// Reads what is whole. For options of any lifetime, which the generic function by itself is not.
fn repaired(source: Box<dyn Read + Send>, options: ReadOptions<'_>) -> Result<Repaired, ReadError> {
    heapsight_snapshot::repair(source, options)
}
