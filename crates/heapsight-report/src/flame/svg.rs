//! A flame graph as an SVG image that zooms, searches and tells sizes when it is opened in a browser, and is a still
//! picture elsewhere.
//!
//! Places are in percent of the width, so that it fills the window; texts are cut for 1,200 pixels and, in a browser,
//! again for the window.

use std::fmt::Write as _;

use super::{Picture, escaped};

const STYLE: &str = include_str!("../../assets/flame-svg.css");
const SCRIPT: &str = include_str!("../../assets/flame-svg.js");

/// Pixels: width where there is no window, height of a frame, of the head, of a letter.
const WIDTH: f64 = 1200.0;
const ROW: u32 = 18;
const HEAD: u32 = 70;
const LETTER: f64 = 7.25;

/// Draws a picture. One element a frame.
pub fn svg(picture: &Picture<'_>) -> String {
    let all = picture.total().max(1) as f64;
    let height = HEAD + picture.flame.levels() * ROW + 14;
    let mut out = String::with_capacity(picture.flame.frames.len() * 300 + STYLE.len() + SCRIPT.len() + 2000);
    let title = escaped(&picture.title);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"heapsight-flame\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"12\">\n<title>{title}</title>\n<style><![CDATA[\n{STYLE}]]></style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head\" x=\"8\" y=\"22\">{title}</text>\n"
    );
    let mut line = picture.summary();
    if let Some(left_out) = picture.left_out() {
        line += &format!("; {left_out}");
    }
    let _ = write!(
        out,
        "<text class=\"line\" x=\"8\" y=\"42\">{}</text>\n<text class=\"line\" id=\"told\" x=\"8\" y=\"60\"/>\n\
         <text class=\"button\" id=\"reset\" x=\"100%\" dx=\"-230\" y=\"22\" text-anchor=\"end\" tabindex=\"0\" role=\"button\">\
         Reset zoom</text>\n\
         <foreignObject id=\"finder\" x=\"100%\" y=\"4\" width=\"220\" height=\"28\" transform=\"translate(-226,0)\">\
         <input xmlns=\"http://www.w3.org/1999/xhtml\" type=\"search\" id=\"search\" placeholder=\"Search\" \
         aria-label=\"Search functions and files\"/></foreignObject>\n<g id=\"frames\">\n",
        escaped(&line)
    );
    for frame in &picture.flame.frames {
        let width = picture.flame.totals[frame.node as usize] as f64 / all;
        let x = frame.start as f64 / all * 100.0;
        let y = HEAD + frame.depth * ROW;
        let (name, place) = picture.label(frame.node);
        let label = if place.is_empty() { name } else { format!("{name} {place}") };
        let room = (width * WIDTH / LETTER) as usize;
        let _ = writeln!(
            out,
            "<g class=\"f {}\"><title>{}</title><rect x=\"{x:.4}%\" y=\"{y}\" width=\"{:.4}%\" height=\"{}\"/>\
             <text x=\"{x:.4}%\" dx=\"3\" y=\"{}\">{}</text></g>",
            picture.colour(frame.node),
            escaped(&picture.told(frame.node)),
            width * 100.0,
            ROW - 1,
            y + 13,
            escaped(&cut(&label, room)),
        );
    }
    let _ = write!(out, "</g>\n<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>\n");
    out
}

/// Cuts a label to so many letters; what is too short to say anything is left out.
fn cut(label: &str, letters: usize) -> String {
    if label.chars().count() <= letters {
        return label.to_owned();
    }
    if letters < 4 {
        return String::new();
    }
    let mut out: String = label.chars().take(letters - 1).collect();
    out.push('…');
    out
}
