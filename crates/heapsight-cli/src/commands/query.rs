//! `heapsight query`.

use heapsight_analysis::Heap;
use heapsight_capture::output::Metadata;
use heapsight_query::language::{self, Births};
use heapsight_report::query;

use super::{Forms, examine::ids_fit, write};
use crate::{Answer, args::explain::Query as Args, code::code_of, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    if args.top.is_some() {
        return Err(Failure::new(
            "a query has no --top: it says itself how many rows",
            "end it with `limit 3`: heapsight query app.heapsnapshot 'class == \"Session\" limit 3'",
        ));
    }
    let files = context.without_side_files(&args.files);
    // Before the files are opened, which may take a while.
    let parsed = super::parsed_query(&args.query)?;
    let rounds = language::asks_for_rounds(&parsed);
    if rounds && files.len() < 2 {
        return Err(Failure::new(
            "when objects were born only several snapshots say",
            "give the snapshots of one process, oldest first: heapsight query 1.heapsnapshot 2.heapsnapshot 'round == 1'",
        ));
    }
    let Some((file, earlier)) = files.split_last() else {
        return Err(Failure::plain("a query needs a file"));
    };
    let mut heaps = Vec::with_capacity(files.len());
    // The earlier ones only say which ids there were.
    for path in earlier.iter().filter(|_| rounds).chain([file]) {
        let heap = context.open(path)?;
        context.note_damage(path, &heap.snapshot.warnings);
        heaps.push(heap);
    }
    if rounds {
        let sides: Vec<Option<Metadata>> =
            files.iter().map(|path| Metadata::of(path).ok().flatten()).collect();
        if !ids_fit(&sides, &heaps) {
            return Err(Failure::new(
                "the object ids of these files do not fit together, so that nothing says when objects were born",
                "take them in one conversation: `heapsight snapshot --stable-ids --repeat 4`, or `heapsight leak --keep`",
            ));
        }
    }
    let Some((heap, earlier)) = heaps.split_last() else {
        return Err(Failure::plain("a query needs a file"));
    };
    let births = rounds.then(|| Births::new(heap, &earlier.iter().collect::<Vec<&Heap>>()));
    let answer = language::evaluate_born(heap, &code_of(file, heap), &parsed, births.as_ref());
    write(
        context,
        Forms {
            json: &|| query::answer(&answer, &parsed.to_string()),
            text: &|| query::answer_text(&answer, context.style()),
            table: Some(&|| query::answer_table(&answer)),
        },
    )?;
    Ok(if answer.count == 0 { Answer::No } else { Answer::Yes })
}
