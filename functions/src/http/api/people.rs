//! Implements the operations of the API `/v1` on people: erases the personal data of a person, invites a person to use
//! the console, and closes the account of a person.

use axum::http::Method;
use events::app::Scope;
use infra::{Error, Kind};
use serde::Serialize;

use super::admin::changes_configuration;
use super::problem::{ApiResult, Problem};
use super::reply::{Time, done, ok, time};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, post, segments};
use super::shape::{Member, Shape, optional, quoted};
use crate::app::erasure::Report;
use crate::app::people::one_name;
use crate::app::{erasure, logins};
use crate::registry::is_configuration;

const DRY_RUN: Member = optional("dry_run", Shape::Flag);

const OPERATIONS: &[Operation] = &[
    post(
        "/v1/people/{person}/forget",
        "erases a person, by user name or person id, and reports the remaining data; with dry_run only reports; for superusers",
        &[DRY_RUN],
    )
    .returning::<ErasureReport>(),
    post(
        "/v1/people/{person}/invitation",
        "returns a link on which this person sets the password for the console; valid once; for superusers",
        &[],
    )
    .returning::<Invitation>(),
    delete(
        "/v1/people/{person}/account",
        "closes the account of this person for the console and ends all its sessions; for superusers",
    ),
];

/// The data that an erasure removes, and the data that remains.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ErasureReport {
    /// The id of the person.
    person: String,
    /// False after a dry run.
    erased: bool,
    /// The event streams with values of the person. These values become unreadable.
    sealed: Vec<String>,
    /// The event streams that contain the id of the person.
    named: Vec<String>,
    /// The ids of the files of the person. Their content is deleted.
    files: Vec<String>,
    /// The number of removed values in the key store.
    secrets: u64,
    /// The number of cards and drafts with a value of the person.
    documents: u64,
    remaining: Vec<RemainingData>,
}

/// One kind of personal data that an erasure does not remove.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RemainingData {
    kind: &'static str,
    /// The number of objects. The member is absent if the number is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    streams: Vec<String>,
}

/// The link on which a person sets the password for the console.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Invitation {
    link: String,
    expires: Time,
}

/// All operations on people, and the function that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Admin,
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
            Ok(ok(&shown(report?)))
        }
        (&Method::POST, [person, "invitation"]) => {
            let meta = changes_configuration(&request).await?;
            let link = logins::invite(&request.app, user_name(person)?, meta).await?;
            let app = &request.app;
            let url = format!("{}{}", app.settings.site, link.path);
            Ok(ok(&Invitation {
                link: url,
                expires: time(app, link.expires),
            }))
        }
        (&Method::DELETE, [person, "account"]) => {
            let meta = changes_configuration(&request).await?;
            if logins::close(&request.app, user_name(person)?, meta).await? {
                Ok(done())
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

fn shown(report: Report) -> ErasureReport {
    let files = report.files.iter().map(ToString::to_string);
    let remaining = report.remaining.into_iter().map(|data| RemainingData {
        kind: data.kind,
        count: data.count,
        detail: data.detail,
        streams: data.streams,
    });
    ErasureReport {
        person: report.person.0,
        erased: report.erased,
        sealed: report.sealed,
        named: report.named,
        files: files.collect(),
        secrets: report.secrets,
        documents: report.documents,
        remaining: remaining.collect(),
    }
}

fn user_name(person: &str) -> Result<&str, Problem> {
    one_name(person)
        .ok_or_else(|| Problem::not_found(format!("{} is not a user name", quoted(person))))
}
