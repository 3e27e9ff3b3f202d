//! Creates the error responses of the API `/v1` as problem details (RFC 9457). A response contains
//! the HTTP status, the reason, and the wrong parts of the request.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::attachment;
use domain::draft::{self, Draft};
use domain::permission::{Operation, Relation};
use domain::ticket::{FieldAt, Rejection, Ticket};
use events::PersonId;
use events::person::Language;
use infra::{Error, ExecuteError, policy};
use serde::Serialize;

use super::shape::{Flaw, quoted, step};
use crate::App;
use crate::app::administration::AdministrationError;
use crate::app::attachments::NotTaken;
use crate::app::erasure::NotErased;
#[cfg(test)]
use crate::app::itsm::applications::NotApplied;
use crate::app::people::Unnamed;
use crate::app::tickets::submit::SubmitError;
use crate::app::tickets::{NotOpened, NotRaised};
use crate::app::wording;

/// The value of the header `Retry-After`: the number of seconds after which the client may repeat
/// the request.
const RETRY_AFTER: &str = "1";

/// An error response of `/v1`.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// A word for the reason of the error. Each word belongs to one status.
    reason: &'static str,
    detail: String,
    /// The wrong parts of the request. Each entry contains the location of a wrong part and a
    /// description of the error.
    errors: Vec<Flaw>,
    /// The rejection of a ticket that caused this error. Its texts can contain ids of people;
    /// [`Problem::for_people`] replaces these ids by user names.
    rejection: Option<Box<Rejection>>,
    /// The value of the header `Allow`: the methods that the path accepts.
    allowed: String,
    /// The language of `detail`.
    language: Language,
    /// The number that another system gives to `reason`.
    code: Option<u32>,
    /// The operation that no permission policy permits to the caller.
    denied: Option<Operation>,
    /// Whether the response contains the header `WWW-Authenticate`. With this header, the server
    /// requests credentials from the client.
    challenges: bool,
}

/// The body of an error response (RFC 9457).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProblemBody {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the HTTP status.
    title: &'static str,
    status: u16,
    /// A word for the reason, for programs. Each status has its own words.
    reason: &'static str,
    /// The reason in a sentence, for people.
    detail: String,
    /// The number that the log platform gives to `reason`, for reasons that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// The wrong parts of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Flaw>,
    /// What the caller lacks, if the permission policies deny the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<PermissionBody>,
}

/// A denied operation, and what permits it (docs/permissions.md).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PermissionBody {
    /// The name of the operation in the policies.
    operation: &'static str,
    /// The relations to the object of the request of which the caller has none. One of them is sufficient.
    one_of: Vec<&'static str>,
    /// The names of the policies that permit the operation to a caller with one of these relations.
    policies: Vec<&'static str>,
}

impl From<Operation> for PermissionBody {
    fn from(operation: Operation) -> Self {
        let needs = policy::needs(operation);
        Self {
            operation: operation.key(),
            one_of: needs.one_of.into_iter().map(Relation::key).collect(),
            policies: needs.policies,
        }
    }
}

/// The reason of an error response to a request without credentials.
const NO_CREDENTIALS: &str = "no_credentials";
/// The reasons that belong to a status as a whole. Rejections of tickets have reasons of their own.
const REASONS: [(StatusCode, &str); 16] = [
    (StatusCode::BAD_REQUEST, "malformed"),
    (StatusCode::UNAUTHORIZED, "not_authenticated"),
    (StatusCode::FORBIDDEN, "not_permitted"),
    (StatusCode::NOT_FOUND, "not_found"),
    (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
    (StatusCode::CONFLICT, "conflict"),
    (StatusCode::GONE, "erased"),
    (StatusCode::PRECONDITION_FAILED, "version_changed"),
    (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
    (StatusCode::UNPROCESSABLE_ENTITY, "key_reused"),
    (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
    (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
];

fn reason_of(status: StatusCode) -> &'static str {
    let known = REASONS.iter().find(|(known, _)| *known == status);
    known.map_or("internal", |(_, reason)| reason)
}

/// Returns all reasons of error responses with the given status.
#[cfg(test)]
pub(super) fn reasons(status: StatusCode) -> std::collections::BTreeSet<&'static str> {
    let of_tickets = crate::app::wording::every_rejection()
        .into_iter()
        .map(Problem::from)
        .filter(|problem| problem.status == status)
        .map(|problem| problem.reason);
    let mut reasons: std::collections::BTreeSet<&str> = of_tickets.collect();
    reasons.insert(reason_of(status));
    if status == StatusCode::FORBIDDEN {
        reasons.insert(NO_CREDENTIALS);
    }
    let named = [
        (StatusCode::CONFLICT, NotApplied::HasApply(String::new())),
        (StatusCode::CONFLICT, NotApplied::SwitchedOff(String::new())),
        (StatusCode::NOT_FOUND, NotApplied::NotExists(String::new())),
    ];
    let named = named.iter().filter(|(known, _)| *known == status);
    reasons.extend(named.filter_map(|(_, reason)| Some(reason.named()?.0)));
    reasons
}

/// The result of a handler: a response or an error response.
pub(super) type ApiResult = Result<Response, Problem>;

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason_of(status),
            detail: detail.into(),
            errors: Vec::new(),
            rejection: None,
            allowed: String::new(),
            language: Language::English,
            code: None,
            denied: None,
            challenges: false,
        }
    }
    /// Creates an error response for one wrong member, parameter or header of the request.
    fn at(field: &str, status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            errors: vec![Flaw {
                field: field.to_owned(),
                detail: detail.clone(),
            }],
            ..Self::new(status, detail)
        }
    }
    /// Creates an error response with status 400 for one wrong member, parameter or header.
    pub(super) fn malformed(field: &str, detail: impl Into<String>) -> Self {
        Self::at(field, StatusCode::BAD_REQUEST, detail)
    }
    /// Creates an error response with status 400 for several wrong members. `errors` must not be
    /// empty.
    pub(super) fn flawed(errors: Vec<Flaw>) -> Self {
        let details: Vec<&str> = errors.iter().map(|flaw| flaw.detail.as_str()).collect();
        let detail = details.join("; ");
        Self {
            errors,
            ..Self::new(StatusCode::BAD_REQUEST, detail)
        }
    }
    /// Creates an error response with status 400 for a name that the directory does not list.
    /// `place` is the place of the name in words.
    pub(super) fn absent(field: &str, place: String, name: &str) -> Self {
        Self {
            reason: (&Rejection::UnknownPerson(PersonId::unknown(name))).into(),
            ..Self::malformed(
                field,
                format!(
                    "{place} names {}, who is not in the directory of the organization; check the spelling",
                    quoted(name)
                ),
            )
        }
    }
    /// Adds the place of a name that the directory does not list, if this is the reason of the
    /// error. A ticket does not know where the request contains the name.
    pub(super) fn naming(mut self, field: &str) -> Self {
        let is_absent = matches!(self.rejection.as_deref(), Some(Rejection::UnknownPerson(_)));
        if is_absent && self.errors.is_empty() {
            self.errors.push(Flaw {
                field: field.to_owned(),
                detail: self.detail.clone(),
            });
        }
        self
    }
    /// Creates an error response with status 404. `field` is the name of a member of the request.
    /// This member contains the id or name of an object, but the object does not exist.
    pub(super) fn unknown(field: &str, detail: impl Into<String>) -> Self {
        Self::at(field, StatusCode::NOT_FOUND, detail)
    }
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
    /// Creates an error response with status 401. The request contains an app code and a secret,
    /// but the code, the secret or the user is not valid.
    pub(super) fn unauthorized() -> Self {
        Self {
            challenges: true,
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "application code and secret (HTTP Basic), or the user, are missing or not valid",
            )
        }
    }
    /// Creates an error response with status 403. The request contains no app code or no app
    /// secret. `detail` is the error message.
    pub(super) fn no_credentials(detail: &str) -> Self {
        Self {
            challenges: true,
            reason: NO_CREDENTIALS,
            ..Self::new(StatusCode::FORBIDDEN, detail)
        }
    }
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }
    /// Creates an error response with status 403 for an operation that the permission policies deny to the caller.
    pub(super) fn denied(operation: Operation, detail: impl Into<String>) -> Self {
        Self {
            denied: Some(operation),
            ..Self::forbidden(detail)
        }
    }
    /// Creates an error response with status 409. The request is valid, but the current state of
    /// the desk or of a ticket does not allow the request.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }
    /// Creates an error response with status 409 for one member, which the current state of the desk does not allow.
    pub(super) fn conflict_at(field: &str, detail: impl Into<String>) -> Self {
        Self::at(field, StatusCode::CONFLICT, detail)
    }
    pub(super) fn method(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }
    /// Creates an error response with status 405. `allowed` contains the methods that the path
    /// accepts.
    pub(super) fn method_of(detail: impl Into<String>, allowed: &[&str]) -> Self {
        Self {
            allowed: allowed.join(", "),
            ..Self::method(detail)
        }
    }
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::at("body", StatusCode::PAYLOAD_TOO_LARGE, detail)
    }
    pub(super) fn media_type(detail: impl Into<String>) -> Self {
        Self::at("Content-Type", StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }
    /// Creates an error response with status 503. The server cannot check the member `field` now,
    /// for example because another system is not available.
    pub(super) fn unavailable(field: &str, detail: impl Into<String>) -> Self {
        Self::at(field, StatusCode::SERVICE_UNAVAILABLE, detail)
    }
    /// Creates an error response with status 416. The requested byte range is not within the file.
    pub(super) fn unsatisfiable(detail: impl Into<String>) -> Self {
        Self::at("Range", StatusCode::RANGE_NOT_SATISFIABLE, detail)
    }
    pub(super) fn key_reused() -> Self {
        Self::at(
            "Idempotency-Key",
            StatusCode::UNPROCESSABLE_ENTITY,
            "the idempotency key was used for another request",
        )
    }
    pub(super) fn stale(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }

    /// Sets the reason to a name of another system, with its number.
    pub(super) fn by_name(self, name: Option<(&'static str, u32)>) -> Self {
        match name {
            Some((reason, code)) => Self {
                reason,
                code: Some(code),
                ..self
            },
            None => self,
        }
    }
    /// Sets the language of `detail`.
    pub(super) fn in_language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Renames members in this error: if the JSON pointer of a member begins with `from`, the
    /// function replaces this beginning by `to`. Some checks use other member names than the
    /// request. The error response must contain the member names of the request.
    pub(super) fn moved(mut self, from: &str, to: &str) -> Self {
        for flaw in &mut self.errors {
            if let Some(rest) = flaw
                .field
                .strip_prefix(from)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            {
                flaw.field = format!("{to}{rest}");
            }
        }
        self
    }

    /// Replaces the ids of people by their user names in all texts of this error. If the user name
    /// of a person cannot be read, the text still contains the id of this person. If the language is
    /// Chinese and a ticket rejected the request, the texts of this error become Chinese.
    pub(super) async fn for_people(mut self, app: &App, language: Language) -> Self {
        let mut names = BTreeMap::new();
        let rejected = self.rejection.as_deref().into_iter();
        let people = rejected.flat_map(wording::rejection_people).cloned();
        for pid in people.collect::<Vec<_>>() {
            let Ok(name) = app.people.name(&pid).await else {
                continue;
            };
            self.detail = self.detail.replace(pid.as_str(), &name);
            for flaw in &mut self.errors {
                flaw.detail = flaw.detail.replace(pid.as_str(), &name);
            }
            names.insert(pid, name);
        }
        if let (Language::Chinese, Some(rejection)) = (language, &self.rejection) {
            let name = |pid: &PersonId| names.get(pid).cloned().unwrap_or_else(|| pid.0.clone());
            self.detail = wording::rejection(language, rejection, &name);
            match (&**rejection, &mut self.errors[..]) {
                (Rejection::FieldsMissing(keys), flaws) if !keys.is_empty() => {
                    for (key, flaw) in keys.iter().zip(flaws) {
                        let (key, name) = (key.clone(), key.clone());
                        let missing = Rejection::FieldEmpty(FieldAt { key, name });
                        flaw.detail = wording::rejection(language, &missing, &|_| String::new());
                    }
                }
                (_, [flaw]) => flaw.detail.clone_from(&self.detail),
                _ => {}
            }
            self.language = language;
        }
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            reason: self.reason,
            detail: self.detail,
            code: self.code,
            errors: self.errors,
            permission: self.denied.map(PermissionBody::from),
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/problem+json"),
        );
        if self.language == Language::Chinese {
            response.headers_mut().insert(
                header::CONTENT_LANGUAGE,
                header::HeaderValue::from_static("zh-CN"),
            );
        }
        if let Ok(allowed) = header::HeaderValue::try_from(self.allowed)
            && !allowed.is_empty()
        {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(
                header::RETRY_AFTER,
                header::HeaderValue::from_static(RETRY_AFTER),
            );
        }
        if self.challenges {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Basic realm=\"ledgerdesk\""),
            );
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
        if error.kind == infra::Kind::Stale {
            return Self::stale(error.to_string());
        }
        tracing::error!(%error, kind = ?error.kind, "request failed");
        if error.is_transient() {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "a service that this desk depends on is not available; repeat the request after a second",
            )
        } else {
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal error; give the request id (header X-Request-Id) to the operator",
            )
        }
    }
}

impl From<Unnamed> for Problem {
    fn from(unnamed: Unnamed) -> Self {
        match unnamed {
            Unnamed::Technical(error) => error.into(),
            Unnamed::InField { key, why } => {
                Self::malformed(&format!("/fields/{key}"), why.to_string())
            }
            wrong => Self::malformed("/fields", wrong.to_string()),
        }
    }
}

impl From<ExecuteError<Ticket>> for Problem {
    fn from(failure: ExecuteError<Ticket>) -> Self {
        match failure {
            ExecuteError::Technical(error) => error.into(),
            ExecuteError::Rejected(rejection) => rejection.into(),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let people = wording::rejection_people(&rejection);
        let names = || {
            people
                .iter()
                .map(|person| person.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let detail = match &rejection {
            Rejection::TargetsOutOfRange(_) => {
                format!("not within the allowed processors: {}", names())
            }
            Rejection::AlreadyDecided(_) => format!("already decided by {}", names()),
            Rejection::UnknownPerson(_) => format!(
                "{} is not in the directory of the organization; check the spelling",
                names()
            ),
            other => other.to_string(),
        };
        Self {
            reason: (&rejection).into(),
            rejection: Some(Box::new(rejection.clone())),
            ..Self::of_rejection(rejection, detail)
        }
    }
}

impl Problem {
    fn of_rejection(rejection: Rejection, detail: String) -> Self {
        match rejection {
            Rejection::Unknown => Self::not_found(detail),
            Rejection::NodeUnknown(_) => Self::unknown("/node", detail),
            Rejection::NotAllowed { .. }
            | Rejection::NotAllowedOnTicket(_)
            | Rejection::NotTheCreator
            | Rejection::NotTheRater
            | Rejection::MayNotRemind(_)
            | Rejection::MayNotSubmit { .. } => Self::forbidden(detail),
            Rejection::NotAllowedToSee(_) => Self::denied(Operation::TakePart, detail),
            Rejection::FieldsMissing(keys) if !keys.is_empty() => Self::flawed(
                keys.iter()
                    .map(|key| Flaw {
                        field: step("/fields", key),
                        detail: format!("`{key}` is required"),
                    })
                    .collect(),
            ),
            Rejection::FieldsMissing(_) => Self::malformed("/fields", detail),
            Rejection::OptionsUnavailable { at, .. } => {
                Self::unavailable(&step("/fields", &at.key), detail)
            }
            of_field if of_field.field_key().is_some() => {
                let key = of_field.field_key().unwrap_or_default();
                Self::malformed(&step("/fields", key), detail)
            }
            Rejection::MessageTooLong
            | Rejection::ReasonTooLong
            | Rejection::DeliverMessageMissing
            | Rejection::SuspendReasonMissing
            | Rejection::TerminateReasonMissing => Self::malformed("/message", detail),
            Rejection::RemarkUnknown(_) => Self::at("/parent", StatusCode::CONFLICT, detail),
            Rejection::TransitionUnknown { .. } => {
                Self::at("/transition", StatusCode::CONFLICT, detail)
            }
            Rejection::LinkedWithItself | Rejection::LinkedAlready(_) | Rejection::NotLinked(_) => {
                Self::at("/other", StatusCode::CONFLICT, detail)
            }
            Rejection::ChosenNodeUnknown { node, .. }
            | Rejection::ChosenProcessorsEmpty { node, .. } => {
                Self::at(&format!("/processors/{node}"), StatusCode::CONFLICT, detail)
            }
            Rejection::TextUnfit(_) => Self::malformed("/text", detail),
            Rejection::StarsUnfit(_) => Self::malformed("/stars", detail),
            Rejection::NotAnEnd(_) => Self::malformed("/status", detail),
            Rejection::NoProcessorGiven
            | Rejection::TargetKindNotAllowed
            | Rejection::TargetsOutOfRange(_) => Self::malformed("/to", detail),
            Rejection::ServiceUnknown(_) => Self::malformed("/service_id", detail),
            Rejection::UnknownPerson(_) => Self::new(StatusCode::BAD_REQUEST, detail),
            _ => Self::conflict(detail),
        }
    }
}

impl From<NotOpened> for Problem {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Refused(failure) => failure.into(),
            NotOpened::KeyReused => Self::key_reused(),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::NotOpened(reason) => reason.into(),
            SubmitError::NotRaised(reason) => reason.into(),
        }
    }
}

impl From<NotRaised> for Problem {
    fn from(failure: NotRaised) -> Self {
        let detail = failure.to_string();
        match failure {
            NotRaised::Technical(error) => error.into(),
            NotRaised::Unknown => Self::malformed("/from", detail),
            NotRaised::Ended => Self::conflict(detail),
            NotRaised::UnknownPerson => Self::forbidden(detail),
        }
    }
}

impl From<NotTaken> for Problem {
    fn from(failure: NotTaken) -> Self {
        let detail = failure.to_string();
        match failure {
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

impl From<NotErased> for Problem {
    fn from(failure: NotErased) -> Self {
        let detail = failure.to_string();
        match failure {
            NotErased::Technical(error) => error.into(),
            NotErased::Unfinished { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail),
            NotErased::Unknown(_) => Self::not_found(detail),
            NotErased::LastSuperuser(_) => Self::conflict(detail),
        }
    }
}

impl From<ExecuteError<Draft>> for Problem {
    fn from(failure: ExecuteError<Draft>) -> Self {
        let detail = failure.to_string();
        match failure {
            ExecuteError::Technical(error) => error.into(),
            ExecuteError::Rejected(draft::Rejection::NotTheOwner) => Self::not_found(detail),
            ExecuteError::Rejected(draft::Rejection::NotDue) => Self::conflict(detail),
            ExecuteError::Rejected(draft::Rejection::NameUnfit) => Self::malformed("/name", detail),
            ExecuteError::Rejected(draft::Rejection::TooManyFields) => {
                Self::malformed("/fields", detail)
            }
        }
    }
}

impl From<AdministrationError> for Problem {
    fn from(failure: AdministrationError) -> Self {
        let detail = failure.to_string();
        match failure {
            AdministrationError::Technical(error) => error.into(),
            AdministrationError::Unreadable(_) => Self::malformed("/workflow", detail),
            AdministrationError::SecretNamed(_) => Self::forbidden(detail),
            AdministrationError::KindUnknown(_) => Self::malformed("/key", detail),
            AdministrationError::ServiceUnknown(_)
            | AdministrationError::Workflow(
                domain::workflow::Rejection::VersionUnknown(_)
                | domain::workflow::Rejection::NoDraft,
            ) => Self::not_found(detail),
            AdministrationError::Catalog(domain::config::Rejection::CatalogUnknown(_)) => {
                Self::not_found(detail)
            }
            AdministrationError::Catalog(domain::config::Rejection::NameUnfit) => {
                Self::malformed("/name", detail)
            }
            AdministrationError::NameTaken(_)
            | AdministrationError::Catalog(domain::config::Rejection::NameTaken(_)) => {
                Self::at("/name", StatusCode::CONFLICT, detail)
            }
            AdministrationError::InUse { .. }
            | AdministrationError::Unsound(_)
            | AdministrationError::Catalog(_)
            | AdministrationError::Workflow(_) => Self::conflict(detail),
        }
    }
}
