//! `heapsight allocations`.

use heapsight_analysis::{
    Heap,
    allocations::{AllocationProfile, AllocationTop, Caller},
    timeline::timeline,
};
use heapsight_query::object::function_place;
use heapsight_report::{
    paint::plain,
    table::{Cell, Table},
    text, units,
};
use serde_json::{Value, json};

use super::{Forms, write};
use crate::{
    Answer,
    args::{AllocationSort, Allocations as Args},
    context::Context,
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    if args.intervals {
        return intervals(context, args, &heap);
    }
    let Some(profile) = AllocationProfile::new(&heap) else {
        return Err(Failure::new(
            format!("{} records no allocations", args.file.display()),
            "record an allocation timeline with stacks (trackAllocations); a plain snapshot has none",
        ));
    };
    let mut tops = profile.tops();
    match args.sort {
        AllocationSort::Size => {}
        AllocationSort::Count => tops.sort_by_key(|t| std::cmp::Reverse(t.allocated.count)),
        AllocationSort::LiveSize => tops.sort_by_key(|t| std::cmp::Reverse(t.allocated.live_size)),
        AllocationSort::LiveCount => tops.sort_by_key(|t| std::cmp::Reverse(t.allocated.live_count)),
    }
    if let Some(function) = &args.callers {
        return callers(context, &heap, &profile, &tops, function);
    }
    let rows = context.rows(args.top.top);
    let table = || {
        let mut table = Table::new(&[
            ("Row", "id"),
            ("Function", "function"),
            ("Allocations", "count"),
            ("Size", "size"),
            ("Alive", "live_count"),
            ("Size alive", "live_size"),
        ]);
        for top in tops.iter().take(rows) {
            table.row(vec![
                Cell::Count(u64::from(top.id)),
                Cell::Text(place(&heap, top.function)),
                Cell::Count(top.allocated.count),
                Cell::Bytes(top.allocated.size),
                Cell::Count(top.allocated.live_count),
                Cell::Bytes(top.allocated.live_size),
            ]);
        }
        table
    };
    write(
        context,
        Forms {
            json: &|| {
                let rows: Vec<Value> = tops.iter().take(rows).map(|top| top_json(&heap, top)).collect();
                json!({"functions": rows})
            },
            text: &|| {
                let style = context.style();
                let sum = |f: &dyn Fn(&AllocationTop) -> u64| tops.iter().map(f).sum::<u64>();
                let title = format!(
                    "{} ({}); {} alive at the end name their stack ({})",
                    units::number_of(sum(&|t| t.allocated.count), "allocation", "allocations"),
                    units::bytes(sum(&|t| t.allocated.size)),
                    units::number_of(sum(&|t| t.allocated.live_count), "object", "objects"),
                    units::bytes(sum(&|t| t.allocated.live_size)),
                );
                let mut text =
                    format!("{}\n\n{}", style.paint.accent(&title), table().text(style.width, style.paint));
                if sum(&|t| t.allocated.live_count) == 0 {
                    text += "No living object names its stack: this runtime did not record them.\n";
                }
                text
            },
            table: Some(&table),
        },
    )?;
    Ok(if tops.is_empty() { Answer::No } else { Answer::Yes })
}

fn place(heap: &Heap, function: u32) -> String {
    let Some(f) = heap.snapshot.traces.as_ref().and_then(|t| t.functions.get(function as usize)) else {
        return "?".to_owned();
    };
    let strings = &heap.snapshot.strings;
    function_place(&strings.get(f.name), &strings.get(f.script_name), f.line, f.column)
}

fn function_json(heap: &Heap, function: u32) -> Value {
    let f = heap
        .snapshot
        .traces
        .as_ref()
        .and_then(|t| t.functions.get(function as usize))
        .copied()
        .unwrap_or_default();
    let strings = &heap.snapshot.strings;
    json!({"name": strings.get(f.name), "script_name": strings.get(f.script_name), "script_id": f.script_id,
        "line": f.line, "column": f.column})
}

fn with_sizes(mut value: Value, a: heapsight_analysis::allocations::Allocated) -> Value {
    value["count"] = a.count.into();
    value["size"] = a.size.into();
    value["live_count"] = a.live_count.into();
    value["live_size"] = a.live_size.into();
    value
}

fn top_json(heap: &Heap, top: &AllocationTop) -> Value {
    let mut value = function_json(heap, top.function);
    value["id"] = top.id.into();
    with_sizes(value, top.allocated)
}

fn callers(
    context: &Context,
    heap: &Heap,
    profile: &AllocationProfile<'_>,
    tops: &[AllocationTop],
    wanted: &str,
) -> Result<Answer, Failure> {
    let strings = &heap.snapshot.strings;
    let name = |top: &AllocationTop| {
        let functions = heap.snapshot.traces.as_ref().map(|t| &t.functions);
        functions.and_then(|f| f.get(top.function as usize)).map(|f| strings.get(f.name)).unwrap_or_default()
    };
    let row = wanted.parse::<u32>().ok();
    let Some(top) = tops.iter().find(|top| row == Some(top.id) || name(top) == wanted) else {
        return Err(Failure::new(
            format!("no function `{wanted}` allocated anything"),
            "`heapsight allocations FILE` lists the functions with the numbers of their rows",
        ));
    };
    let tree = profile.callers(top.function);
    write(
        context,
        Forms {
            json: &|| caller_json(heap, &tree),
            text: &|| caller_text(context, heap, &tree),
            table: None,
        },
    )?;
    Ok(Answer::Yes)
}

/// The tree as nested JSON, built from the last entry to the first: a caller stands behind what it calls.
fn caller_json(heap: &Heap, tree: &[Caller]) -> Value {
    let mut values: Vec<Value> = tree
        .iter()
        .map(|caller| {
            let mut value = with_sizes(function_json(heap, caller.function), caller.allocated);
            value["callers"] = json!([]);
            value
        })
        .collect();
    for at in (1..tree.len()).rev() {
        let value = values[at].take();
        if let Some(list) = values[tree[at].callee as usize]["callers"].as_array_mut() {
            list.insert(0, value);
        }
    }
    values.swap_remove(0)
}

fn caller_text(context: &Context, heap: &Heap, tree: &[Caller]) -> String {
    let style = context.style();
    let mut out = format!("{}\n", style.paint.bold("      Size     Alive  Function and its callers"));
    let mut stack = vec![(0u32, 0usize)];
    while let Some((at, depth)) = stack.pop() {
        let caller = &tree[at as usize];
        out += &format!(
            "{:>10} {:>9}  {}{}\n",
            units::bytes(caller.allocated.size),
            units::bytes(caller.allocated.live_size),
            "  ".repeat(depth.min(40)),
            plain(&place(heap, caller.function)),
        );
        stack.extend(caller.callers.iter().rev().map(|&c| (c, depth + 1)));
    }
    out
}

fn intervals(context: &Context, args: &Args, heap: &Heap) -> Result<Answer, Failure> {
    let intervals = timeline(heap);
    if intervals.is_empty() {
        return Err(Failure::new(
            format!("{} is no timeline: it has no samples", args.file.display()),
            "record an allocation timeline",
        ));
    }
    let rows = context.rows(args.top.top);
    let table = || {
        let mut table = Table::new(&[
            ("Until", "timestamp_us"),
            ("Last id", "last_assigned_id"),
            ("Alive", "live_count"),
            ("Size alive", "live_size"),
        ]);
        for i in intervals.iter().take(rows) {
            table.row(vec![
                Cell::Moment(i.timestamp_us),
                Cell::Count(i.last_assigned_id),
                Cell::Count(i.live_count),
                Cell::Bytes(i.live_size),
            ]);
        }
        table
    };
    write(
        context,
        Forms {
            json: &|| {
                let list: Vec<Value> = intervals
                    .iter()
                    .map(|i| {
                        json!({"timestamp_us": i.timestamp_us, "last_assigned_id": i.last_assigned_id,
                        "live_count": i.live_count, "live_size": i.live_size})
                    })
                    .collect();
                json!({"intervals": list})
            },
            text: &|| {
                let style = context.style();
                let rest = text::left_out(intervals.len(), rows, "interval", "intervals", style);
                table().text(style.width, style.paint) + &rest
            },
            table: Some(&table),
        },
    )?;
    Ok(Answer::Yes)
}
