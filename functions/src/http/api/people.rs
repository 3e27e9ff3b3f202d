//! Implements the operations of the API `/v1` on people: erases the personal data of a person, invites a person to use
//! the console, and closes the account of a person.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use infra::{Error, Kind};
use serde_json::json;

use super::admin::changes_configuration;
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, post, segments};
use super::shape::{Member, Shape, optional, quoted};
use super::time;
use crate::app::people::one_name;
use crate::app::{erasure, logins};
use crate::registry::is_configuration;

const DRY_RUN: Member = optional("dry_run", Shape::Flag);

const OPERATIONS: &[Operation] = &[
    post(
        "/v1/people/{person}/forget",
        "erases a person, by user name or person id, and reports the remaining data; with dry_run only reports; for superusers",
        &[DRY_RUN],
    ),
    post(
        "/v1/people/{person}/invitation",
        "returns a link on which this person sets the password for the console; valid once; for superusers",
        &[],
    ),
    delete(
        "/v1/people/{person}/account",
        "closes the account of this person for the console and ends all its sessions; for superusers",
    ),
];

/// All operations on people, and the function that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { people(call.request, &call.method, &segments(&call.path)[1..]).await })
}

/// Executes an operation on a person. Only superusers may execute these operations. The path contains the person. For
/// the erasure of personal data, the path contains a user name or a person id. For the other operations, the path
/// contains a user name.
async fn people(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    match (method, parts) {
        (&Method::POST, [person, "forget"]) => {
            changes_configuration(&request).await?;
            let is_dry_run = request.flag("dry_run", false)?;
            let (app, person) = (request.app.clone(), (*person).to_owned());
            // The erasure of the personal data runs in a separate task. The erasure is therefore completed even if the
            // client disconnects.
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
        (&Method::POST, [person, "invitation"]) => {
            let meta = changes_configuration(&request).await?;
            let link = logins::invite(&request.app, user_name(person)?, meta).await?;
            let app = &request.app;
            let url = format!("{}{}", app.settings.site, link.path);
            let body = json!({ "link": url, "expires": time(app, link.expires) });
            Ok(Json(body).into_response())
        }
        (&Method::DELETE, [person, "account"]) => {
            let meta = changes_configuration(&request).await?;
            if logins::close(&request.app, user_name(person)?, meta).await? {
                Ok(StatusCode::NO_CONTENT.into_response())
            } else {
                Err(Problem::not_found(format!(
                    "{} has no account",
                    quoted(person)
                )))
            }
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

fn user_name(person: &str) -> Result<&str, Problem> {
    one_name(person)
        .ok_or_else(|| Problem::not_found(format!("{} is not a user name", quoted(person))))
}
