//! `heapsight export`.

use std::path::Path;

use heapsight_report::export;

use crate::{Answer, args::Export as Args, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    context.refuse_form("name the files with --nodes and --edges; the form is CSV")?;
    let stdout = |path: &Option<std::path::PathBuf>| path.as_deref() == Some(Path::new("-"));
    if stdout(&args.nodes) && stdout(&args.edges) {
        return Err(Failure::new(
            "nodes and edges cannot both go to standard output",
            "give one of them a file",
        ));
    }
    // Outputs are opened first: a name that is taken should not cost the reading of a large file.
    let nodes = args.nodes.as_deref().map(|path| context.output_to(path)).transpose()?;
    let edges = args.edges.as_deref().map(|path| context.output_to(path)).transpose()?;
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    if let Some(mut output) = nodes {
        export::nodes(&heap, &mut output)?;
        output.finish()?;
    }
    if let Some(mut output) = edges {
        export::edges(&heap, &mut output)?;
        output.finish()?;
    }
    Ok(Answer::Yes)
}
