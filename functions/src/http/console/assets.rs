//! Serves the style sheet and the JavaScript file of the console. The name of each file contains the hash of
//! its content, so browsers can store the files for a long time.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::App;

/// A static file of the console: the style sheet or the JavaScript file.
struct Asset {
    /// The URL path of the file. The path contains a hash of the file content.
    path: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = blake3::hash(content.as_bytes()).to_hex();
        Self {
            path: format!("/assets/{name}-{}.{extension}", &hash[..16]),
            kind,
            content,
        }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "console",
        "css",
        "text/css; charset=utf-8",
        include_str!("../../console/assets/console.css"),
    )
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "console",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../../console/assets/console.js"),
    )
});

/// Returns the URL path of the style sheet.
pub(super) fn style() -> &'static str {
    &STYLE.path
}

/// Returns the URL path of the JavaScript file.
pub(super) fn script() -> &'static str {
    &SCRIPT.path
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    let Some(asset) = [&*STYLE, &*SCRIPT]
        .into_iter()
        .find(|asset| asset.path == path)
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_at_most_20_kilobytes() {
        assert!(SCRIPT.content.len() <= 20_000, "{}", SCRIPT.content.len());
    }
}
