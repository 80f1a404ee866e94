//! An allocation timeline as bars: for the terminal, as an image, as JSON; and what is alive of a part of it.

use std::fmt::Write as _;

use heapsight_analysis::Heap;
use heapsight_query::{
    object::function_place,
    timeline::{Alive, Interval, LiveStack, Recording},
};
use serde_json::{Value, json};

use crate::{
    flame::escaped,
    paint::plain,
    table::{Cell, Table},
    text::{Style, left_out, objects_table},
    units::{bytes, count, number_of, percent, seconds},
};

/// Rows of a chart in the terminal.
const HEIGHT: u64 = 6;

/// The most columns of a chart.
const WIDEST: usize = 100;

/// Lines of a stack that people see.
const FRAMES: usize = 8;

/// A column of a chart: some intervals together.
#[derive(Clone, Copy, Debug, Default)]
struct Bar {
    allocated: u64,
    live_count: u64,
    live_size: u64,
}

/// Puts intervals into columns of equal time; an interval counts where it ends.
fn bars(recording: &Recording, columns: usize) -> Vec<Bar> {
    let columns = columns.max(1);
    let mut out = vec![Bar::default(); columns];
    let duration = u128::from(recording.duration_us().max(1));
    // V8's ticks are not quite equal: where each interval has a column, it gets its own.
    let own = columns == recording.intervals.len();
    for (place, interval) in recording.intervals.iter().enumerate() {
        let middle = u128::from(interval.from_us / 2 + interval.to_us / 2);
        let by_time = (middle * columns as u128 / duration).min(columns as u128 - 1) as usize;
        let at = if own { place } else { by_time };
        out[at].allocated += interval.allocated_count;
        out[at].live_count += interval.live_count;
        out[at].live_size = out[at].live_size.saturating_add(interval.live_size);
    }
    out
}

/// One line about a recording. V8 looks at the heap about every 50 ms; what has come and gone in between is in no number.
pub fn summary(recording: &Recording) -> String {
    let (allocated, live, size) = recording.sums();
    format!(
        "{}: V8 looked every 50 ms and saw {}, {} of them alive at the end ({}, {})",
        seconds(recording.duration_us()),
        number_of(allocated, "new object", "new objects"),
        count(live),
        percent(live, allocated),
        bytes(size),
    )
}

/// A chart of two heights a column, the lower one dark.
fn chart(values: &[(u64, u64)], label: impl Fn(u64) -> String, width: usize, style: Style) -> String {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().map(|&(all, dark)| all.max(dark)).max().unwrap_or(0).max(1);
    let eighths = |value: u64| {
        let exact = u128::from(value) * u128::from(HEIGHT * 8);
        // What is there is seen, however little.
        (exact.div_ceil(u128::from(highest))) as u64
    };
    let mut out = String::new();
    for row in (0..HEIGHT).rev() {
        let heading = if row + 1 == HEIGHT { label(highest) } else { String::new() };
        let mut line = String::new();
        for &(all, dark) in values {
            let (all, dark) = (eighths(all).saturating_sub(row * 8), eighths(dark).saturating_sub(row * 8));
            line.push(match (all, dark) {
                (_, dark) if dark > 0 => EIGHTHS[dark.min(8) as usize],
                (0, _) => ' ',
                _ => '░',
            });
        }
        let line = if style.paint.on { painted(&line, style) } else { line };
        out += &format!("{heading:>width$} │{}\n", line.trim_end());
    }
    out += &format!("{:>width$} └{}\n", "0", "─".repeat(values.len()));
    out
}

/// Colours what is alive, and dims what is not.
fn painted(line: &str, style: Style) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| (c == '░') != (first == '░')).unwrap_or(rest.len());
        let part = &rest[..end];
        out += &if first == '░' { style.paint.dim(part) } else { style.paint.accent(part) };
        rest = &rest[end..];
    }
    out
}

/// The bars for people.
pub fn bars_text(recording: &Recording, title: &str, style: Style) -> String {
    let heading = style.paint.accent(&format!("Timeline of {title}"));
    let mut out = format!("{heading}\n{}\n", summary(recording));
    if recording.intervals.is_empty() {
        out += "The file has one moment only: this runtime does not say when objects were allocated.\n";
        return out;
    }
    let label = 10;
    let room = style.width.saturating_sub(label + 3).min(WIDEST);
    let bars = bars(recording, recording.intervals.len().min(room));
    // Few intervals are drawn several columns wide.
    let wide = (room / bars.len().max(1)).clamp(1, 3);
    let stretched = |value: &dyn Fn(&Bar) -> (u64, u64)| -> Vec<(u64, u64)> {
        bars.iter().flat_map(|bar| std::iter::repeat_n(value(bar), wide)).collect()
    };
    let columns = bars.len() * wide;
    out += &format!("\n{}\n", style.paint.bold("Objects: ░ seen, █ alive at the end"));
    out += &chart(&stretched(&|bar| (bar.allocated, bar.live_count)), count, label, style);
    out += &format!("{}\n", style.paint.bold("Bytes alive"));
    out += &chart(&stretched(&|bar| (0, bar.live_size)), bytes, label, style);
    let end = seconds(recording.duration_us());
    out += &format!("{:>label$}  0 s{end:>width$}\n", "", width = columns.saturating_sub(3));
    out
}

/// The bars as an image of 960 pixels, two charts one below the other.
pub fn bars_svg(recording: &Recording, title: &str) -> String {
    const STYLE: &str = include_str!("../assets/timeline.css");
    const LEFT: f64 = 86.0;
    const WIDTH: f64 = 860.0;
    const CHART: f64 = 130.0;
    let bars = bars(recording, recording.intervals.len().clamp(1, 430));
    let step = WIDTH / bars.len() as f64;
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"400\" \
         viewBox=\"0 0 960 400\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{0}</title>\n\
         <style><![CDATA[\n{STYLE}]]></style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head\" x=\"12\" y=\"24\">{0}</text>\n<text class=\"line\" x=\"12\" y=\"44\">{1}</text>\n",
        escaped(&format!("Timeline of {title}")),
        escaped(&summary(recording)),
    );
    let most = |value: &dyn Fn(&Bar) -> u64| bars.iter().map(value).max().unwrap_or(0).max(1);
    let count_top = most(&|bar| bar.allocated.max(bar.live_count));
    let size_top = most(&|bar| bar.live_size);
    let charts: [(f64, &str, String); 2] = [
        (78.0, "Objects: light seen, dark alive at the end", count(count_top)),
        (238.0, "Bytes alive", bytes(size_top)),
    ];
    for (top, name, label) in &charts {
        let base = top + CHART;
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<text class=\"line\" x=\"{LEFT}\" y=\"{}\">{name}</text>\n\
             <text class=\"line\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>\n\
             <text class=\"line\" x=\"{}\" y=\"{base}\" text-anchor=\"end\">0</text>\n\
             <path class=\"axis\" d=\"M{LEFT} {top}V{base}H{}\"/>\n",
            top - 6.0,
            LEFT - 6.0,
            top + 10.0,
            LEFT - 6.0,
            LEFT + WIDTH,
        );
    }
    let duration = recording.duration_us();
    for (at, bar) in bars.iter().enumerate() {
        let x = LEFT + step * at as f64;
        let until = (duration as f64 * (at + 1) as f64 / bars.len() as f64) as u64;
        let told = format!(
            "until {}: {} seen, {} alive, {}",
            seconds(until),
            number_of(bar.allocated, "object", "objects"),
            count(bar.live_count),
            bytes(bar.live_size)
        );
        let _ = writeln!(out, "<g><title>{told}</title>");
        let heights = [
            ("all", charts[0].0, bar.allocated, count_top),
            ("alive", charts[0].0, bar.live_count, count_top),
            ("alive", charts[1].0, bar.live_size, size_top),
        ];
        for (class, top, value, highest) in heights.into_iter().filter(|&(_, _, value, _)| value > 0) {
            let height = (value as f64 / highest as f64 * CHART).max(1.0);
            let y = top + CHART - height;
            let width = (step - 0.5).max(0.5);
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"/>"
            );
        }
        let _ = writeln!(out, "</g>");
    }
    let _ = write!(
        out,
        "<text class=\"line\" x=\"{LEFT}\" y=\"388\">0 s</text>\n\
         <text class=\"line\" x=\"{}\" y=\"388\" text-anchor=\"end\">{}</text>\n</svg>\n",
        LEFT + WIDTH,
        seconds(duration)
    );
    out
}

/// The intervals as a table.
pub fn intervals_table(intervals: &[Interval]) -> Table {
    let mut table = Table::new(&[
        ("", "from_us"),
        ("Until", "to_us"),
        ("Seen", "allocated_count"),
        ("Alive", "live_count"),
        ("Size alive", "live_size"),
    ]);
    for i in intervals {
        table.row(vec![
            Cell::Moment(i.from_us),
            Cell::Moment(i.to_us),
            Cell::Count(i.allocated_count),
            Cell::Count(i.live_count),
            Cell::Bytes(i.live_size),
        ]);
    }
    table
}

/// The recording as JSON.
pub fn recording(recording: &Recording) -> Value {
    let (allocated, live, size) = recording.sums();
    let list: Vec<Value> = recording
        .intervals
        .iter()
        .map(|i| {
            json!({"from_us": i.from_us, "to_us": i.to_us, "allocated_count": i.allocated_count,
                "live_count": i.live_count, "live_size": i.live_size,
                "first_id": i.first_id, "last_id": i.last_id})
        })
        .collect();
    json!({"duration_us": recording.duration_us(), "allocated_count": allocated, "live_count": live,
        "live_size": size, "older_count": recording.older_count, "older_size": recording.older_size,
        "intervals": list})
}

/// A frame of a stack: name, script, line and column, counted from 1.
fn function(heap: &Heap, index: u32) -> (String, String, u32, u32) {
    let functions = heap.snapshot.traces.as_ref().map(|traces| &traces.functions);
    let f = functions.and_then(|list| list.get(index as usize)).copied().unwrap_or_default();
    let text = |number| heap.snapshot.strings.get(number).into_owned();
    (text(f.name), text(f.script_name), f.line, f.column)
}

/// What is alive of a part of a recording, as JSON.
pub fn alive(heap: &Heap, part: &Alive, most: Option<usize>) -> Value {
    let most = most.unwrap_or(usize::MAX);
    let classes: Vec<Value> = part
        .classes
        .iter()
        .take(most)
        .map(|row| {
            json!({"name": row.name, "key": row.key, "count": row.count, "self_size": row.self_size,
                "retained_size": row.retained_size})
        })
        .collect();
    let objects: Vec<Value> = part
        .objects
        .iter()
        .map(|row| {
            json!({"id": row.id, "name": row.name, "class": heap.classes.class(row.ord).name,
                "self_size": row.self_size, "retained_size": row.retained_size})
        })
        .collect();
    let frames = |stack: &LiveStack| -> Vec<Value> {
        let frame = |&index: &u32| {
            let (name, script, line, column) = function(heap, index);
            json!({"name": name, "script_name": script, "line": line, "column": column})
        };
        stack.functions.iter().map(frame).collect()
    };
    let stacks: Vec<Value> = part
        .stacks
        .iter()
        .map(|stack| json!({"live_count": stack.count, "live_size": stack.size, "frames": frames(stack)}))
        .collect();
    json!({"live_count": part.count, "live_size": part.size, "class_count": part.classes.len(),
        "classes": classes, "objects": objects, "stacks": stacks})
}

/// The classes of what is alive.
pub fn alive_table(part: &Alive, most: usize) -> Table {
    let mut table = Table::new(&[
        ("Constructor", "name"),
        ("", "key"),
        ("Objects", "count"),
        ("Shallow", "self_size"),
        ("Retained", "retained_size"),
    ]);
    for row in part.classes.iter().take(most) {
        table.row(vec![
            Cell::Text(row.name.clone()),
            Cell::Text(row.key.clone()),
            Cell::Count(row.count),
            Cell::Bytes(row.self_size),
            Cell::Bytes(row.retained_size),
        ]);
    }
    table
}

/// What is alive of a part of a recording, for people.
pub fn alive_text(heap: &Heap, part: &Alive, from: &str, to: &str, most: usize, style: Style) -> String {
    let what = format!(
        "Allocated from {from} to {to} and alive: {}, {}",
        number_of(part.count, "object", "objects"),
        bytes(part.size)
    );
    let mut out = format!("\n{}\n", style.paint.accent(&what));
    if part.count == 0 {
        return out;
    }
    out += "\n";
    out += &alive_table(part, most).text(style.width, style.paint);
    out += &left_out(part.classes.len(), most.min(part.classes.len()), "class", "classes", style);
    out += &format!("\n{}\n", style.paint.bold("Largest objects"));
    out += &objects_table(&part.objects, heap.statistics.total).text(style.width, style.paint);
    if part.stacks.is_empty() {
        out += "\nThe file does not say in which functions they were allocated.\n";
        return out;
    }
    out += &format!("\n{}\n", style.paint.bold("Allocated in"));
    for stack in &part.stacks {
        out += &format!("{:>10}  {}\n", bytes(stack.size), number_of(stack.count, "object", "objects"));
        for &index in stack.functions.iter().take(FRAMES) {
            let (name, script, line, column) = function(heap, index);
            out += &format!("            {}\n", plain(&function_place(&name, &script, line, column)));
        }
        if stack.functions.len() > FRAMES {
            let more = number_of((stack.functions.len() - FRAMES) as u64, "caller", "callers");
            out += &format!("            {}\n", style.paint.dim(&format!("… {more} more")));
        }
    }
    out
}
