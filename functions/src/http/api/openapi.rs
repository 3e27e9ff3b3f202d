//! Serves the OpenAPI 3.1 document of the service desk, `docs/openapi.json`.
//!
//! The tests build the document from the list of all operations, from the members of the request
//! bodies, and from the types of the response bodies. The server uses the same list to check
//! requests and to select handlers (decision 30).

use std::sync::OnceLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::app::request_scope;
use crate::http::scope;

/// The OpenAPI document, formatted for people.
pub const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// The OpenAPI document without white space, and its entity tag. Both are created at the first
/// request for the document.
static SERVED: OnceLock<(String, String)> = OnceLock::new();

/// Handles `GET /openapi.json`.
pub async fn document() -> Response {
    let (text, tag) = SERVED.get_or_init(|| {
        let document: Value = serde_json::from_str(DOCUMENT).expect("a test reads the document");
        let text = document.to_string();
        let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..32]);
        (text, tag)
    });
    let headers = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, "public, no-cache"),
        (header::CONTENT_TYPE, "application/json"),
    ];
    match request_scope::if_none_match() {
        Some(known) if scope::is_known(&known, tag) => {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        }
        _ => (headers, text.as_str()).into_response(),
    }
}
