//! The page: its files are in the binary.
//!
//! They are served below a folder that is named by a digest of all of them, so that a browser may keep them for ever and
//! never mixes those of two versions. There is no build step: what is served is what lies in `ui/`.

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderMap, Response, StatusCode, header},
    response::IntoResponse,
};
use sha2::{Digest, Sha256};

/// Name, content type and text of each file.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../ui/", $name)))),*]
    };
}

static FILES: &[(&str, &str)] = &files![
    "api.js",
    "app.js",
    "charts.js",
    "dom.js",
    "flame.js",
    "format.js",
    "grid.js",
    "style.css",
    "views/common.js",
    "views/comparison.js",
    "views/containment.js",
    "views/dominators.js",
    "views/hunt.js",
    "views/packages.js",
    "views/pane.js",
    "views/profile.js",
    "views/search.js",
    "views/start.js",
    "views/statistics.js",
    "views/strings.js",
    "views/summary.js",
    "views/suspects.js",
    "views/timeline.js",
];

static INDEX: &str = include_str!("../ui/index.html");
static ICON: &str = include_str!("../ui/icon.svg");

struct Bundle {
    /// Digest of all files: the folder.
    folder: String,
    by_name: HashMap<&'static str, &'static str>,
    page: String,
}

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.update(ICON.as_bytes());
    let folder = hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    // All modules at once: a browser would find out level by level which others each of them wants.
    let scripts = FILES.iter().filter(|(name, _)| kind(name).starts_with("text/javascript"));
    let preload: Vec<String> =
        scripts.map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"{{assets}}/{name}\">")).collect();
    let page =
        INDEX.replace("{preload}", &preload.join("\n")).replace("{assets}", &format!("/assets/{folder}"));
    let by_name = FILES.iter().copied().chain([("icon.svg", ICON)]).collect();
    Bundle { folder, by_name, page }
});

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A file of the page.
pub(crate) async fn asset(
    Path((folder, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    let found = BUNDLE.by_name.get(name.as_str()).filter(|_| folder == BUNDLE.folder);
    let Some(text) = found else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{folder}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let fields = [
        (header::CONTENT_TYPE, kind(&name)),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
        (header::ETAG, tag.as_str()),
    ];
    (fields, *text).into_response()
}

/// The page itself, the same for every view: the script looks at the address.
pub(crate) async fn page() -> Response<Body> {
    let fields = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (fields, BUNDLE.page.as_str()).into_response()
}
