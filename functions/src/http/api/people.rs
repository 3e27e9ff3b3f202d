//! Erases people over `/v1`.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use infra::{Error, Kind};

use super::admin::superuser;
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use crate::app::erasure;
use crate::registry::is_configuration;

/// Handles `POST /v1/people/{person}/forget`, for superusers. `person` is a user name or a person
/// id.
pub(super) async fn people(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    match (method, parts) {
        (&Method::POST, [person, "forget"]) => {
            superuser(&request).await?;
            let is_dry_run = request.flag("dry_run", false)?;
            let (app, person) = (request.app.clone(), (*person).to_owned());
            // A separate task, so that the erasure does not stop when the client disconnects.
            let erasing = tokio::spawn(async move {
                if is_dry_run {
                    erasure::survey(&app, &person, is_configuration, &|_| {}).await
                } else {
                    erasure::erase(&app, &person, is_configuration, &|_| {}).await
                }
            });
            let report = erasing.await.map_err(|error| {
                Error::because(
                    Kind::Unavailable,
                    "the erasure of a person stopped early",
                    error,
                )
            })?;
            Ok(Json(report?).into_response())
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}
