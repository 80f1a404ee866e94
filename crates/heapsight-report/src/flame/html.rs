//! A flame graph as a page of its own: zoom, search, the inverted graph, colours by package.
//!
//! The page has the drawn frames as columns of numbers and lays them out itself. Its policy allows the one script and the
//! one style that are in it, by their hashes, and no connection to anywhere.

use heapsight_profile::Counts;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::{Picture, colour_of, escaped};
use crate::{
    html::{digest, inert},
    profile::{function_name, package, place},
};

const STYLE: &str = include_str!("../../assets/flame.css");
const SCRIPT: &str = include_str!("../../assets/flame.js");

/// Makes the page.
pub fn html(picture: &Picture<'_>) -> String {
    let title = escaped(&picture.title);
    let summary = escaped(&picture.summary());
    let left_out = picture.left_out().map(|text| escaped(&text)).unwrap_or_default();
    let data = inert(&data(picture).to_string());
    let (script, style) = (digest(SCRIPT), digest(STYLE));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{script}'; \
         style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<p>{summary}</p>\n<p id=\"omitted\">{left_out}</p>\n\
         <div id=\"controls\"><input type=\"search\" id=\"search\" placeholder=\"Search functions, files, packages\" \
         aria-label=\"Search functions, files and packages\"><label><input type=\"checkbox\" id=\"inverted\"> Inverted: \
         who called it</label><button id=\"reset\" hidden>Reset zoom</button><button id=\"theme\">Light or dark</button></div>\n\
         <ul id=\"legend\" aria-label=\"Packages\"></ul>\n</header>\n\
         <main><p id=\"told\" aria-live=\"polite\">Point at a frame for its sizes; click it to zoom; Esc goes back.</p>\n\
         <div id=\"chart\" role=\"tree\" tabindex=\"0\" aria-label=\"Flame graph\"></div></main>\n\
         <noscript><p>The graph is drawn by a script, which this browser does not run.</p></noscript>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// What the script draws from: columns of the drawn frames, parents first.
fn data(picture: &Picture<'_>) -> Value {
    let profile = picture.profile;
    let nodes = &profile.nodes;
    let mut functions: Vec<Value> = Vec::new();
    let mut packages: Vec<(String, String)> = Vec::new();
    let mut package_numbers: FxHashMap<String, usize> = FxHashMap::default();
    let mut numbers: FxHashMap<u32, usize> = FxHashMap::default();
    let frames = &picture.flame.frames;
    let function: Vec<usize> = frames
        .iter()
        .map(|drawn| {
            let number = nodes.function[drawn.node as usize];
            *numbers.entry(number).or_insert_with(|| {
                let frame = profile.frame(number);
                let name = package(frame.url);
                let group = *package_numbers.entry(name).or_insert_with_key(|name| {
                    packages.push((name.clone(), colour_of(name)));
                    packages.len() - 1
                });
                let shown = if drawn.node == 0 { "all" } else { function_name(frame.name) };
                functions.push(json!([shown, place(&frame), group, frame.url]));
                functions.len() - 1
            })
        })
        .collect();
    let column = |values: &[u64]| -> Value {
        frames.iter().map(|drawn| values[drawn.node as usize]).collect::<Vec<u64>>().into()
    };
    let mut value = json!({
        "functions": functions,
        "packages": packages,
        "function": function,
        "parent": frames.iter().map(|drawn| i64::from(drawn.parent as i32)).collect::<Vec<i64>>(),
        "total": column(&picture.flame.totals),
        "own": column(&nodes.self_size),
    });
    if profile.counts == Counts::Samples {
        value["totalCount"] = column(&picture.counts);
        value["ownCount"] = column(&nodes.self_count);
    }
    if let Some(before) = &picture.before {
        value["totalBefore"] = column(&before.sizes);
        value["ownBefore"] = column(&before.own);
        if let (Some(totals), Some(own)) = (&before.counts, &before.own_counts) {
            value["totalCountBefore"] = column(totals);
            value["ownCountBefore"] = column(own);
        }
    }
    value
}
