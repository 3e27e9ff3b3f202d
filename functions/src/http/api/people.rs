//! Implements the operation of the API `/v1` that erases a person.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use infra::{Error, Kind};

use super::admin::superuser;
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, post, segments};
use super::shape::{Member, Shape, optional};
use crate::app::erasure;
use crate::registry::is_configuration;

const DRY_RUN: Member = optional("dry_run", Shape::Flag);

const OPERATIONS: &[Operation] = &[post(
    "/v1/people/{person}/forget",
    "erases a person, by user name or person id, and reports the remaining data; with dry_run only reports; for superusers",
    &[DRY_RUN],
)];

/// All operations on people, and the function that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { people(call.request, &call.method, &segments(&call.path)[1..]).await })
}

/// Executes `POST /v1/people/{person}/forget`, which erases a person. `{person}` is a user name or a person
/// id. Only superusers may erase people.
async fn people(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    match (method, parts) {
        (&Method::POST, [person, "forget"]) => {
            superuser(&request).await?;
            let is_dry_run = request.flag("dry_run", false)?;
            let (app, person) = (request.app.clone(), (*person).to_owned());
            // The erasure runs in a separate task, so that it is completed even if the client disconnects.
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
