//! Opens, returns and withdraws applications in the API `/v1`. An application is a request for approval that an
//! external ITSM system decides. A person reads and withdraws the applications that the person opened. Superusers read
//! and withdraw all.

use axum::http::Method;
use domain::itsm::application::{Application, Status, subject_key};
use domain::permission::{Operation as Permission, Relations};
use domain::ticket::MESSAGE_MAX;
use events::app::Scope;
use events::person::Language;
use events::{Moment, PersonId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::admin::{CardList, page_of, stream_of};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Time, WorkOutcome, created, not_empty, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, CREATED, Call, Key, Operation, PAGE, PAGE_SIZE, Parameter, Resource, get, list,
    post, segments,
};
use super::shape::{FORM, Member, Shape, optional, quoted, required, step};
use crate::App;
use crate::app::itsm::applications::{self, FIELDS_BYTES_MAX, FIELDS_MAX, NotApplied, SUBJECT_MAX};
use crate::app::permissions;
use crate::app::tickets::await_card;
use crate::app::wording;

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/applications",
        "lists the applications of the user, or all applications for superusers, by their expiry, latest first",
        &[
            ("state", Asks::Word(&["all", "open"])),
            KIND_OF,
            SUBJECT_OF,
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<ApplicationPage>(),
    post(
        "/v1/applications",
        "applies for an approval at an external ITSM; a subject has at most one open or granted application of a kind",
        &[KIND, SUBJECT, FIELDS],
    )
    .answering(CREATED)
    .keyed(Key::Accepted)
    .returning::<ShownApplication>(),
    get("/v1/applications/{application}", "shows an application")
        .returning::<ShownApplication>(),
    post(
        "/v1/applications/{application}/withdraw",
        "withdraws an application, and its ticket at the external ITSM",
        &[REASON],
    )
    .returning::<ShownApplication>(),
];

const REASON: Member = required("reason", Shape::Text);
const KIND_OF: Parameter = ("kind", Asks::Text);
const SUBJECT_OF: Parameter = ("subject", Asks::Text);
const KIND: Member = required("kind", Shape::Text);
const SUBJECT: Member = required("subject", Shape::Text);
const FIELDS: Member = optional("fields", FORM);

/// One page of the applications.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ApplicationPage {
    count: u64,
    applications: Vec<ShownApplication>,
}

/// A request for approval at an external ITSM.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Application"))]
struct ShownApplication {
    id: String,
    #[cfg_attr(test, schemars(schema_with = "schema::application_status"))]
    status: &'static str,
    /// The status in the language of the request. A kind can have its own Chinese texts.
    status_text: String,
    /// The ticket of this desk whose node requested the application. Null if a person applied over the API.
    ticket: Option<String>,
    node: Option<i64>,
    /// The name of the kind of application.
    kind: Option<String>,
    /// The user who applied over the API.
    applicant: Option<String>,
    /// The id of the object for which the user applied.
    subject: Option<String>,
    /// The values with which the user applied. Null if they were erased, or if a node requested the application.
    fields: Option<Map<String, Value>>,
    /// The ticket number at the external ITSM. The text is empty until the desk knows the number.
    external: String,
    /// The page of the ticket at the external ITSM, as soon as the desk has read it.
    ticket_url: Option<String>,
    /// The same page, without a frame.
    iframe_ticket_url: Option<String>,
    /// What was wrong with the last response, callback or consequence.
    problem: Option<String>,
    /// The code of the problem, if the log platform has one: 504 for a callback with an invalid token.
    problem_code: Option<u32>,
    /// The ticket that the desk opened after the approval was granted.
    opened: Option<String>,
    /// What the desk does next, or null if the application has ended.
    step: Option<&'static str>,
    attempts: u32,
    next_attempt: Option<Time>,
    expires: Option<Time>,
    outcome: Option<WorkOutcome>,
    /// The reason why the approval is no longer needed. Null if it is still needed.
    withdrawal: Option<String>,
    is_closed: bool,
}

/// The operations on applications, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match (&call.method, &segments(&call.path)[1..]) {
            (_, [id, _]) => withdraw(call.request, id).await,
            (_, [id]) => one(call.request, id).await,
            (&Method::POST, _) => apply(call.request).await,
            _ => all(call.request).await,
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    let is_open = request.asked_for("state") == Some("open");
    let person = request.app.people.find(request.user()?).await?;
    let reads_all = may_on_all(&request, Permission::ReadOperations, &person).await?;
    let subject = match (request.asked_for("kind"), request.asked_for("subject")) {
        (Some(kind), Some(subject)) if !is_open => Some(subject_key(kind, subject)),
        (None, None) => None,
        (Some(_), Some(_)) => {
            let detail = "`state=open` cannot be combined with `subject`: a subject has at most one open application";
            return Err(Problem::malformed("state", detail));
        }
        (kind, _) => {
            let missing = if kind.is_some() { "subject" } else { "kind" };
            let detail = format!("`{missing}` is required: `kind` and `subject` belong together");
            return Err(Problem::malformed(missing, detail));
        }
    };
    let list = match subject {
        Some(subject) if reads_all => CardList::below("subject", &subject),
        Some(subject) => CardList::below("applicant", &format!("{person}|{subject}")),
        None if reads_all && is_open => CardList::whole("open"),
        None if reads_all => CardList::whole("application"),
        None if is_open => CardList::below("applicant", &format!("{person}|open")),
        None => CardList::below("applicant", &format!("{person}|all")),
    };
    let (count, cards) = page_of(&request, &list, |stream, card: &Application| {
        (stream.to_owned(), card.clone())
    })
    .await?;
    let mut applications = Vec::with_capacity(cards.len());
    for (stream, card) in cards {
        applications.push(shown(&request, &stream, &card).await?);
    }
    Ok(ok(&ApplicationPage {
        count,
        applications,
    }))
}

async fn apply(request: Asked) -> ApiResult {
    let person = request.actor().await?;
    let subject = request.required("subject")?;
    let subject = subject.trim();
    if subject.is_empty()
        || subject.chars().count() > SUBJECT_MAX
        || subject.chars().any(char::is_control)
    {
        return Err(Problem::malformed(
            "/subject",
            format!(
                "`subject` must have 1 to {SUBJECT_MAX} characters, without control characters"
            ),
        ));
    }
    let fields = match request.body.get("fields") {
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    };
    if fields.len() > FIELDS_MAX || Value::from(fields.clone()).to_string().len() > FIELDS_BYTES_MAX
    {
        return Err(Problem::malformed(
            "/fields",
            format!("`fields` has more than {FIELDS_MAX} members or {FIELDS_BYTES_MAX} bytes"),
        ));
    }
    let asked = applications::Request {
        kind: request.required("kind")?,
        applicant: person.clone(),
        app: request.caller.app.clone(),
        subject: subject.to_owned(),
        fields,
        key: request.idempotency_key.clone(),
    };
    let meta = request.meta(person);
    match Box::pin(applications::apply(&request.app, asked, &meta)).await {
        Ok((stream, application)) => Ok(created(&shown(&request, &stream, &application).await?)),
        Err(not_applied) => Err(refused(&request, not_applied)),
    }
}

fn refused(request: &Asked, not_applied: NotApplied) -> Problem {
    let name = not_applied.named();
    let detail = wording::not_applied(request.language, &not_applied);
    let problem = match not_applied {
        NotApplied::Technical(error) => return error.into(),
        NotApplied::KeyReused => return Problem::key_reused(),
        NotApplied::HasApply(_) | NotApplied::SwitchedOff(_) => Problem::conflict(detail),
        NotApplied::NotExists(_) => Problem::unknown("/kind", detail),
        NotApplied::NotASender { .. } => Problem::forbidden(detail),
        NotApplied::Field(wrong) => Problem::malformed(&step("/fields", &wrong.key), detail),
    };
    problem.by_name(name).in_language(request.language)
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let (stream, application, _) = loaded(&request, id, Permission::ReadOperations).await?;
    Ok(ok(&shown(&request, &stream, &application).await?))
}

async fn may_on_all(
    request: &Asked,
    operation: Permission,
    person: &PersonId,
) -> Result<bool, Problem> {
    Ok(permissions::may(&request.app, operation, person, Relations::NONE).await?)
}

/// Reads an application. Returns an error if the user neither opened the application nor may execute the operation on
/// all applications.
async fn loaded(
    request: &Asked,
    id: &str,
    operation: Permission,
) -> Result<(String, Application, PersonId), Problem> {
    let missing = || Problem::not_found(format!("there is no application {}", quoted(id)));
    let person = request.app.people.find(request.user()?).await?;
    let may_all = may_on_all(request, operation, &person).await?;
    let stream = stream_of("application", id).ok_or_else(missing);
    let state = match &stream {
        Ok(stream) => {
            request
                .app
                .ledger
                .load::<Application>(stream)
                .await?
                .aggregate
                .0
        }
        Err(_) => Application::default(),
    };
    let is_own = state
        .applied
        .as_ref()
        .is_some_and(|applied| applied.applicant == person);
    if !is_own && !may_all {
        // The answer does not show whether the application exists.
        return Err(Problem::denied(
            operation,
            "only the applicant and superusers may do this",
        ));
    }
    if state.expires().is_none() {
        return Err(missing());
    }
    Ok((stream?, state, person))
}

async fn withdraw(request: Asked, id: &str) -> ApiResult {
    let (stream, application, person) =
        loaded(&request, id, Permission::ChangeConfiguration).await?;
    let reason = request.required("reason")?;
    if reason.chars().count() > MESSAGE_MAX {
        return Err(Problem::malformed(
            "/reason",
            format!("`reason` is longer than {MESSAGE_MAX} characters"),
        ));
    }
    if !application.is_open() {
        return Err(Problem::conflict("the application has already ended"));
    }
    let app = &request.app;
    let command_id = app.ledger.fresh_id();
    let meta = request.meta(person);
    let position = applications::withdraw(app, &stream, command_id, meta, &reason).await?;
    await_card(app, position).await;
    let state = app.ledger.load::<Application>(&stream).await?.aggregate.0;
    Ok(ok(&shown(&request, &stream, &state).await?))
}

/// Returns the state of an application in the language of the request. A kind can have its own Chinese texts.
async fn status_text(
    app: &App,
    language: Language,
    application: &Application,
) -> Result<String, Problem> {
    let status = application.status();
    if language == Language::Chinese {
        let kind = app
            .configuration
            .application_kind(application.kind())
            .await?;
        let own = kind.map(|kind| match status {
            Status::Applying => kind.states.applying,
            Status::Granted => kind.states.granted,
            Status::Refused => kind.states.refused,
            _ => String::new(),
        });
        if let Some(text) = own.filter(|text| !text.is_empty()) {
            return Ok(text);
        }
    }
    Ok(wording::application(language, status.into()).to_owned())
}

async fn shown(
    request: &Asked,
    stream: &str,
    application: &Application,
) -> Result<ShownApplication, Problem> {
    let at = |at: Moment| time(&request.app, at);
    let requested = application.requested.as_ref();
    let applied = application.applied.as_ref();
    let applicant = match applied {
        Some(applied) => Some(request.app.people.name(&applied.applicant).await?),
        None => None,
    };
    let link = |name: &str| application.links.get(name).cloned();
    Ok(ShownApplication {
        id: applications::id_of(stream).to_owned(),
        status: application.status().into(),
        status_text: status_text(&request.app, request.language, application).await?,
        ticket: requested.map(|one| one.ticket.to_string()),
        node: requested.map(|one| one.node.0),
        kind: not_empty(application.kind()),
        applicant,
        subject: applied.map(|one| one.subject.clone()),
        fields: applied.and_then(|one| one.fields.value.as_object().cloned()),
        external: application.external.clone(),
        ticket_url: link("ticket_url"),
        iframe_ticket_url: link("iframe_ticket_url"),
        problem: not_empty(&application.problem)
            .map(|problem| wording::application_problem(request.language, &problem)),
        problem_code: applications::problem_code(&application.problem),
        opened: application.opened.as_ref().map(ToString::to_string),
        step: application.is_open().then(|| application.step.name()),
        attempts: application.attempts.made,
        next_attempt: application.is_open().then(|| at(application.attempts.due)),
        expires: application.expires().map(at),
        outcome: application.outcome.clone().map(WorkOutcome::from),
        withdrawal: application.withdrawal.clone(),
        is_closed: application.is_closed,
    })
}
