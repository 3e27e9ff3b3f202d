//! Problem details (RFC 9457): what is wrong, where, and who has to act.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::attachment;
use domain::draft::{self, Draft};
use domain::ticket::{Rejection, Ticket};
use infra::{Error, Failure};
use serde_json::json;

use crate::attachments::NotTaken;
use crate::desk::{NotOpened, NotRaised};
use crate::people::Unnamed;
use crate::setup::NotSetUp;

/// Seconds after which it is worth asking again.
const RETRY_AFTER: &str = "1";

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// The member of the request that is wrong, as a JSON pointer or parameter name.
    field: Option<String>,
}

/// What a handler gives back.
pub(super) type Answer = Result<Response, Problem>;

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None }
    }
    /// The request itself is wrong at this place.
    pub(super) fn malformed(field: &str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into(), field: Some(field.to_owned()) }
    }
    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "application code and secret (HTTP Basic), or the user, are missing or not valid")
    }
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }
    /// The rule says no.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }
    pub(super) fn method(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }
    /// The request may be right; who would have to say so does not answer.
    pub(super) fn unavailable(field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
    /// No such part of a file can be answered.
    pub(super) fn unsatisfiable(detail: impl Into<String>) -> Self {
        Self { field: Some("Range".into()), ..Self::new(StatusCode::RANGE_NOT_SATISFIABLE, detail) }
    }
    pub(super) fn stale(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(field) = &self.field {
            body["errors"] = json!([{ "field": field, "detail": self.detail }]);
        }
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"ledgerdesk\""));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if error.kind == infra::Kind::TooLarge {
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
        }
        if matches!(error.kind, infra::Kind::Limited { .. }) {
            return Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string());
        }
        tracing::error!(%error, kind = ?error.kind, "a request failed");
        if error.is_passing() {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "something this desk needs does not answer; try again")
        } else {
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "this desk cannot do that now; its operator can see why")
        }
    }
}

impl From<Unnamed> for Problem {
    fn from(unnamed: Unnamed) -> Self {
        match unnamed {
            Unnamed::Technical(error) => error.into(),
            wrong => Self::malformed("/fields", wrong.to_string()),
        }
    }
}

impl From<Failure<Ticket>> for Problem {
    fn from(failure: Failure<Ticket>) -> Self {
        match failure {
            Failure::Technical(error) => error.into(),
            Failure::Rejected(rejection) => rejection.into(),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::Unknown => Self::not_found(detail),
            Rejection::NodeUnknown(_) => Self { field: Some("node".into()), ..Self::not_found(detail) },
            Rejection::NotAllowed { .. }
            | Rejection::NotAllowedOnTicket(_)
            | Rejection::NotAllowedToSee(_)
            | Rejection::NotTheCreator
            | Rejection::NotTheRater
            | Rejection::MayNotRemind(_)
            | Rejection::MayNotSubmit { .. } => Self::forbidden(detail),
            Rejection::FieldsMissing(keys) => Self::malformed(&format!("/fields/{}", keys.first().map_or("", String::as_str)), detail),
            Rejection::FieldUnknown(key) | Rejection::FieldTwice(key) | Rejection::OptionsMissing(key) | Rejection::NotEditable(key) => {
                Self::malformed(&format!("/fields/{key}"), detail)
            }
            Rejection::FieldEmpty(at)
            | Rejection::OptionUnknown(at)
            | Rejection::FieldInvalid { at, .. }
            | Rejection::FileUnfit { at, .. }
            | Rejection::ReadOnly(at) => Self::malformed(&format!("/fields/{}", at.key), detail),
            Rejection::OptionsUnavailable { at, .. } => Self::unavailable(&format!("/fields/{}", at.key), detail),
            Rejection::TitleTooLong => Self::malformed("/fields/title", detail),
            Rejection::MessageTooLong | Rejection::DeliverMessageMissing | Rejection::TerminateReasonMissing => Self::malformed("/message", detail),
            Rejection::TextUnfit(_) => Self::malformed("/text", detail),
            Rejection::StarsUnfit(_) => Self::malformed("/stars", detail),
            Rejection::NotAnEnd(_) => Self::malformed("/status", detail),
            Rejection::NobodyNamed | Rejection::TargetKindNotAllowed | Rejection::TargetsOutOfRange(_) => Self::malformed("/to", detail),
            Rejection::ServiceUnknown(_) => Self::malformed("/service_id", detail),
            _ => Self::conflict(detail),
        }
    }
}

impl From<NotOpened> for Problem {
    fn from(not_opened: NotOpened) -> Self {
        match not_opened {
            NotOpened::Refused(failure) => failure.into(),
            NotOpened::KeyReused => Self {
                field: Some("Idempotency-Key".into()),
                ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "the idempotency key was used for another request")
            },
        }
    }
}

impl From<NotRaised> for Problem {
    fn from(not: NotRaised) -> Self {
        let detail = not.to_string();
        match not {
            NotRaised::Technical(error) => error.into(),
            NotRaised::Unknown => Self::malformed("/from", detail),
            NotRaised::Over => Self::conflict(detail),
            NotRaised::Stranger => Self::forbidden(detail),
        }
    }
}

impl From<NotTaken> for Problem {
    fn from(not: NotTaken) -> Self {
        let detail = not.to_string();
        match not {
            NotTaken::Technical(error) => error.into(),
            NotTaken::Refused(attachment::Rejection::Unknown) => Self::not_found(detail),
            NotTaken::Refused(attachment::Rejection::NameUnfit) => Self::malformed("/name", detail),
            NotTaken::Refused(_) | NotTaken::PartMissing(_) => Self::conflict(detail),
            NotTaken::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            NotTaken::PartUnfit { .. } => Self::malformed("body", detail),
            NotTaken::Erased => Self::new(StatusCode::GONE, detail),
            NotTaken::DiskFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, detail),
        }
    }
}

impl From<Failure<Draft>> for Problem {
    fn from(failure: Failure<Draft>) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::Technical(error) => error.into(),
            Failure::Rejected(draft::Rejection::NotTheOwner) => Self::not_found(detail),
            Failure::Rejected(draft::Rejection::NotDue) => Self::conflict(detail),
            Failure::Rejected(draft::Rejection::NameUnfit) => Self::malformed("/name", detail),
            Failure::Rejected(draft::Rejection::TooManyFields) => Self::malformed("/fields", detail),
        }
    }
}

impl From<NotSetUp> for Problem {
    fn from(not: NotSetUp) -> Self {
        let detail = not.to_string();
        match not {
            NotSetUp::Technical(error) => error.into(),
            NotSetUp::Unreadable(_) => Self::malformed("/workflow", detail),
            NotSetUp::SecretNamed(_) => Self::forbidden(detail),
            NotSetUp::KindUnknown(_) => Self::malformed("/key", detail),
            NotSetUp::ServiceUnknown(_) | NotSetUp::Workflow(domain::workflow::Rejection::VersionUnknown(_) | domain::workflow::Rejection::NoDraft) => {
                Self::not_found(detail)
            }
            NotSetUp::Catalog(domain::config::Rejection::CatalogUnknown(_)) => Self::not_found(detail),
            NotSetUp::Catalog(domain::config::Rejection::NameUnfit) => Self::malformed("/name", detail),
            NotSetUp::InUse { .. } | NotSetUp::NameTaken(_) | NotSetUp::Unsound(_) | NotSetUp::Catalog(_) | NotSetUp::Workflow(_) => Self::conflict(detail),
        }
    }
}
