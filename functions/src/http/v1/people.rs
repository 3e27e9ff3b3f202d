//! People over `/v1`: erasing one.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use infra::{Error, Kind};

use super::admin::superuser;
use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::erasure;

/// `POST /v1/people/{person}/forget`, for superusers: `person` is a user name or a person id.
pub(super) async fn people(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    match (method, parts) {
        (&Method::POST, [person, "forget"]) => {
            superuser(&asked).await?;
            let is_dry_run = asked.flag("dry_run", false)?;
            let (app, person) = (asked.app.clone(), (*person).to_owned());
            // A task of its own: an erasure does not stop halfway because the client hangs up.
            let erasing =
                tokio::spawn(
                    async move { if is_dry_run { erasure::survey(&app, &person, &|_| {}).await } else { erasure::erase(&app, &person, &|_| {}).await } },
                );
            let report = erasing.await.map_err(|error| Error::because(Kind::Unavailable, "erasing a person broke off", error))?;
            Ok(Json(report?).into_response())
        }
        _ => Err(Problem::method(format!("{method} is not for this path"))),
    }
}
