//! `heapsight retainers`.

use heapsight_analysis::{
    Heap,
    bits::BitSet,
    distance::{UNREACHABLE, distances_without},
    paths,
};
use heapsight_query::{classes::members, object, selector::Selector};
use heapsight_report::{json, text, units};
use heapsight_snapshot::NodeKind;
use serde_json::{Value, json};

use super::{Forms, write};
use crate::{Answer, args::Retainers as Args, code::code_of, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let heap = context.open(&args.file)?;
    context.note_damage(&args.file, &heap.snapshot.warnings);
    let mut ignored = BitSet::new(heap.snapshot.node_count());
    for text in &args.ignore {
        ignored.insert(super::object(&heap, text)? as usize);
    }
    let without;
    let distance: &[i32] = if args.ignore.is_empty() {
        &heap.distance
    } else {
        without = distances_without(&heap.snapshot, &heap.known, &ignored)
            .ok_or(heapsight_analysis::OutOfMemory)?;
        &without
    };
    let most = args.top;
    match Selector::parse(&args.target) {
        Selector::Object(_) => of_object(context, args, &heap, distance, most),
        Selector::Class(_) if args.weak => {
            Err(Failure::new("--weak shows the holders of one object", "name an object: @ID"))
        }
        Selector::Class(name) => of_class(context, args, &heap, distance, &name),
    }
}

fn of_object(
    context: &Context,
    args: &Args,
    heap: &Heap,
    distance: &[i32],
    most: usize,
) -> Result<Answer, Failure> {
    let ord = super::object(heap, &args.target)?;
    let code = code_of(&args.file, heap);
    let mut paths = object::object_paths(heap, distance, ord, most, args.weak);
    for path in &mut paths {
        object::locate(heap, &code, path);
    }
    let place = (heap.snapshot.node_kind(ord) == NodeKind::CLOSURE).then(|| code.place(heap, ord)).flatten();
    let reached = distance[ord as usize] != UNREACHABLE;
    write(
        context,
        Forms {
            json: &|| {
                json!({"id": heap.snapshot.nodes.id[ord as usize], "reachable": reached,
                "location": json::place(place.as_ref()), "paths": paths.iter().map(|p| json::path(p)).collect::<Vec<Value>>()})
            },
            text: &|| {
                let style = context.style();
                let row = heapsight_query::classes::object_row(heap, ord);
                let place = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
                let title = format!("{} @{}{place}", heapsight_report::paint::plain(&row.label), row.id);
                let mut out = format!(
                    "{}, retains {}\n",
                    style.paint.accent(&heapsight_report::table::cut(&title, style.width)),
                    units::bytes(row.retained_size)
                );
                if paths.is_empty() {
                    out += if args.ignore.is_empty() {
                        "Nothing holds it but weak references, or nodes that nothing holds (--weak shows them).\n"
                    } else {
                        "Nothing else holds it: without the ignored objects it would be freed.\n"
                    };
                }
                for (at, path) in paths.iter().enumerate() {
                    let hops = units::number_of(path.len() as u64 - 1, "step", "steps");
                    out += &format!(
                        "\n{}\n{}",
                        style.paint.bold(&format!("Path {} ({hops})", at + 1)),
                        text::path(path, style)
                    );
                }
                out
            },
            table: None,
        },
    )?;
    Ok(if paths.is_empty() { Answer::No } else { Answer::Yes })
}

fn of_class(
    context: &Context,
    args: &Args,
    heap: &Heap,
    distance: &[i32],
    name: &str,
) -> Result<Answer, Failure> {
    let classes = super::classes(heap, name)?;
    let members = members(heap, &classes);
    let groups = paths::path_groups(heap, distance, &members);
    let most = args.top;
    let code = code_of(&args.file, heap);
    let steps = |group: &paths::PathGroup| {
        let mut steps = object::path_steps(heap, &group.example);
        object::locate(heap, &code, &mut steps);
        steps
    };
    write(
        context,
        Forms {
            json: &|| {
                let groups: Vec<Value> = groups
                    .iter()
                    .take(most)
                    .map(|g| {
                        json!({"count": g.count, "self_size": g.self_size, "retained_size": g.retained_size,
                        "path": json::path(&steps(g))})
                    })
                    .collect();
                let keys: Vec<String> =
                    classes.iter().map(|&c| heap.classes.table[c as usize].key()).collect();
                json!({"classes": keys, "count": members.len(), "group_count": groups.len(), "groups": groups})
            },
            text: &|| {
                let style = context.style();
                let names: Vec<&str> =
                    classes.iter().map(|&c| heap.classes.table[c as usize].name.as_str()).collect();
                let mut out = format!(
                    "{}\n",
                    style.paint.accent(&format!(
                        "{} of {}, held in {}",
                        units::number_of(members.len() as u64, "object", "objects"),
                        names.join(", "),
                        units::number_of(groups.len() as u64, "way", "ways")
                    ))
                );
                for (at, group) in groups.iter().take(most).enumerate() {
                    let title = format!(
                        "Way {}: {}, shallow size {}",
                        at + 1,
                        units::number_of(group.count, "object", "objects"),
                        units::bytes(group.self_size)
                    );
                    out += &format!("\n{}\n{}", style.paint.bold(&title), text::path(&steps(group), style));
                }
                if groups.len() > most {
                    let rest = units::number_of((groups.len() - most) as u64, "other way", "other ways");
                    out += &format!(
                        "\n{}\n",
                        style.paint.dim(&format!("… and {rest} (--top {} shows all)", groups.len()))
                    );
                }
                out
            },
            table: None,
        },
    )?;
    Ok(if members.is_empty() { Answer::No } else { Answer::Yes })
}
