//! Opens, withdraws and concludes applications. An application is a request for approval in an external ITSM.
//!
//! A person applies over the API for a subject, such as a collector of logs. The id of the application is computed from
//! the application kind, the subject and a round number. The ledger accepts each id only once. Therefore two requests
//! at the same time open one application.

use domain::itsm::application::{
    Application, Command, NOT_EXISTS, Rejection, Status, TOKEN_ILLEGAL_NAME, subject_key,
};
use domain::placeholder::{Variables, fill_json, placeholders};
use events::application::{Applied, Closed};
use events::application_kind::Defined;
use events::workflow::service_task::Pair;
use events::{AppCode, Entry, Meta, Moment, PersonId, Personal};
use infra::commit::hex;
use infra::itsm;
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::{Map, Value};

use super::opening::{Failure, NewTicket, open_ticket};
use crate::App;
use crate::app::cards::CardList;
use crate::app::tickets::{Key, await_card};

/// Number of milliseconds in one day.
const DAY_MS: i64 = 24 * 3_600_000;
/// Maximum number of characters in the subject of an application.
pub const SUBJECT_MAX: usize = 200;
/// Maximum number of fields of an application, and of bytes in the JSON text of all fields.
pub const FIELDS_MAX: usize = 200;
pub const FIELDS_BYTES_MAX: usize = 64 << 10;
/// The placeholders for which an application over the API always has a value.
const OWN_VALUES: [&str; 3] = ["kind", "subject", "applicant"];

/// A request of a person for an approval.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: String,
    pub applicant: PersonId,
    pub app: AppCode,
    /// The id of the object for which the approval is needed.
    pub subject: String,
    pub fields: Map<String, Value>,
    /// The idempotency key of the request.
    pub key: Option<String>,
}

/// The reason why an application was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    /// The member is the stream of the open or granted application.
    #[error("the subject already has an open or granted application: {}", id_of(.0))]
    HasApply(String),
    #[error("{0}")]
    NotExists(String),
    #[error("application kind {0} is switched off")]
    SwitchedOff(String),
    #[error("the app {app} may not apply for the kind {kind}")]
    NotASender { app: AppCode, kind: String },
    #[error("{}", .0.reason)]
    Field(WrongField),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error(transparent)]
    Technical(#[from] Error),
}

impl NotApplied {
    /// Returns the name and the code of the reason, if the log platform has a name for it
    /// (requirements/external-itsm.md, error handling). For the applicant, a kind that is switched off does not exist.
    pub fn named(&self) -> Option<(&'static str, u32)> {
        match self {
            Self::HasApply(_) => Some(("CollectItsmHasApply", 502)),
            Self::NotExists(_) | Self::SwitchedOff(_) => Some((NOT_EXISTS, 503)),
            _ => None,
        }
    }
}

/// Returns the code of the problem of an application, if the log platform has a name for it
/// (requirements/external-itsm.md, error handling). The text of the problem begins with this name.
pub fn problem_code(problem: &str) -> Option<u32> {
    problem.starts_with(TOKEN_ILLEGAL_NAME).then_some(504)
}

/// A field of an application that has a wrong value, or no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {key}: {reason}")]
pub struct WrongField {
    pub key: String,
    pub reason: String,
}

/// Returns the time at which an application of a kind with the given number of days expires.
pub fn expiry(now: Moment, days: u16) -> Moment {
    now.plus_ms(i64::from(days) * DAY_MS)
}

/// Returns the id of an application. The id is the part of the stream name after `application-`.
pub fn id_of(stream: &str) -> &str {
    stream.trim_start_matches("application-")
}

/// Opens an application for a person. Returns its stream and its state. If the same request with the same idempotency
/// key has already opened an application, the function returns this application.
pub async fn apply(
    app: &App,
    request: Request,
    meta: &Meta,
) -> Result<(String, Application), NotApplied> {
    let kind = usable_kind(app, &request).await?;
    let applicant = app.people.name(&request.applicant).await?;
    let fields = Value::Object(request.fields);
    fields_of_person(&kind, &request.subject, &applicant, &fields).map_err(NotApplied::Field)?;
    let secret = app.keys().await?.fingerprint;
    let hash = |text: String| {
        let hash = blake3::keyed_hash(&secret, text.as_bytes());
        hash.to_hex()[..32].to_owned()
    };
    let key = match &request.key {
        Some(key) => hash(format!("{}\0{}\0{key}", request.app, request.applicant)),
        None => String::new(),
    };
    let content = hash(fields.to_string());
    let list = CardList::below("subject", &subject_key(&kind.name, &request.subject));
    let known = app
        .views
        .count("application", list.index, &list.from, &list.to)
        .await?;
    // The view can be behind the ledger, so rounds above the known ones can exist. Each round is read.
    let mut round = u32::try_from(known).unwrap_or(u32::MAX).max(1);
    loop {
        let stream = stream_of(&kind.name, &request.subject, round);
        let state = app.ledger.load::<Application>(&stream).await?.aggregate.0;
        if let Some(applied) = &state.applied {
            if !key.is_empty() && applied.key == key {
                return if applied.content == content {
                    Ok((stream, state))
                } else {
                    Err(NotApplied::KeyReused)
                };
            }
            if matches!(state.status(), Status::Applying | Status::Granted) {
                return Err(NotApplied::HasApply(stream));
            }
            round = round.saturating_add(1);
            continue;
        }
        let now = app.ledger.clock.now();
        let applied = Applied {
            kind: kind.name.clone(),
            applicant: request.applicant.clone(),
            app: Some(request.app.clone()),
            subject: request.subject.clone(),
            round,
            key: key.clone(),
            content: content.clone(),
            fields: Personal::new(request.applicant.clone(), fields.clone()),
            cause: meta.correlation.clone(),
            due: now,
            expires: expiry(now, kind.days),
        };
        let envelope = CommandEnvelope {
            stream: stream.clone(),
            command_id: app.ledger.fresh_id(),
            meta: meta.clone(),
        };
        let command = Command::Apply(Box::new(applied));
        match app
            .ledger
            .execute::<Application>(&envelope, &command, &NoContext)
            .await
        {
            Ok(outcome) => return Ok((stream, outcome.state)),
            // Another request opened this round at the same time. It is read next.
            Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => {}
            Err(failure) => return Err(failure.unexpected().into()),
        }
    }
}

/// Returns the application kind of a request. Returns an error if the kind does not exist or is switched off, or if the
/// app may not use it.
async fn usable_kind(app: &App, request: &Request) -> Result<Defined, NotApplied> {
    let Some(kind) = app.configuration.application_kind(&request.kind).await? else {
        return Err(NotApplied::NotExists(format!(
            "application kind {:?} does not exist",
            request.kind
        )));
    };
    let integration = app.configuration.integration(&kind.integration).await?;
    let codec = integration
        .defined
        .as_ref()
        .and_then(|defined| itsm::find(&defined.kind));
    if codec.is_none() {
        return Err(NotApplied::NotExists(format!(
            "application kind {} has no external ITSM: integration {} does not exist",
            kind.name, kind.integration
        )));
    }
    if !kind.is_enabled {
        return Err(NotApplied::SwitchedOff(kind.name));
    }
    if !kind.senders.is_empty() && !kind.senders.contains(&request.app) {
        return Err(NotApplied::NotASender {
            app: request.app.clone(),
            kind: kind.name,
        });
    }
    Ok(kind)
}

fn stream_of(kind: &str, subject: &str, round: u32) -> String {
    let id = command_id(&["application", kind, subject, &round.to_string()]);
    format!("application-{}", hex(&id))
}

/// Returns the names and values of the fields for the external ticket of an application that a workflow node requested.
/// The application kind and the node (in `own`) define these fields. If both define the same field, the value of the
/// node is used.
pub fn fields_of_node(
    kind: &Defined,
    own: &[Pair],
    variables: &Variables,
) -> Result<Vec<(String, Value)>, String> {
    let of_kind = kind
        .fields
        .iter()
        .filter(|pair| own.iter().all(|own| own.key != pair.key));
    filled(of_kind.chain(own), variables).map_err(|wrong| wrong.to_string())
}

/// Returns the names and values of the fields for the external ticket of an application over the API. A field that the
/// application kind defines has the value of the kind, in which placeholders are replaced. All other values of the
/// person are added as fields.
///
/// The placeholders are the keys of the values of the person, and `kind`, `subject` and `applicant`.
pub fn fields_of_person(
    kind: &Defined,
    subject: &str,
    applicant: &str,
    fields: &Value,
) -> Result<Vec<(String, Value)>, WrongField> {
    let wrong = |key: &str, reason: &str| WrongField {
        key: key.to_owned(),
        reason: reason.to_owned(),
    };
    let Value::Object(given) = fields else {
        return Err(wrong("", "the values of the application were erased"));
    };
    let missing = |key: &&String| given.get(*key).is_none_or(is_empty);
    if let Some(key) = kind.required.iter().find(missing) {
        return Err(wrong(key, &format!("`{key}` is required")));
    }
    let variables = variables_of_person(kind, subject, applicant, given);
    let mut all = filled(kind.fields.iter(), &variables)?;
    let used: Vec<String> = kind
        .fields
        .iter()
        .flat_map(|pair| placeholders(&pair.value))
        .collect();
    let is_own = |key: &str| kind.fields.iter().any(|pair| pair.key == key);
    let further = given
        .iter()
        .filter(|(key, _)| !is_own(key) && !used.contains(key));
    all.extend(further.map(|(key, value)| (key.clone(), value.clone())));
    Ok(all)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn variables_of_person(
    kind: &Defined,
    subject: &str,
    applicant: &str,
    given: &Map<String, Value>,
) -> Variables {
    let mut variables: Variables = given.clone().into_iter().collect();
    let own = [kind.name.as_str(), subject, applicant];
    variables.extend(
        OWN_VALUES
            .iter()
            .zip(own)
            .map(|(key, value)| ((*key).to_owned(), Value::from(value))),
    );
    variables
}

/// Replaces the placeholders in fields. A value that consists of only one placeholder keeps the type of the variable,
/// such as a number.
fn filled<'a>(
    pairs: impl Iterator<Item = &'a Pair>,
    variables: &Variables,
) -> Result<Vec<(String, Value)>, WrongField> {
    pairs
        .map(|pair| {
            let value = fill_json(&Value::String(pair.value.clone()), variables);
            match value {
                Ok(value) => Ok((pair.key.clone(), value)),
                Err(reason) => Err(WrongField {
                    key: pair.key.clone(),
                    reason,
                }),
            }
        })
        .collect()
}

/// Does the consequence of a granted application without a ticket: opens the configured ticket for the applicant. A
/// repeated call returns the number of the same ticket. If the ticket cannot be opened, the result contains the reason.
pub async fn carry_out(
    app: &App,
    stream: &str,
    application: &Application,
) -> Result<Closed, Error> {
    let done = Closed {
        recorded: true,
        ..Closed::default()
    };
    let Some(applied) = &application.applied else {
        return Ok(done);
    };
    let kind = app.configuration.application_kind(&applied.kind).await?;
    let Some((kind, consequence)) = kind.and_then(|kind| {
        let consequence = kind.consequence.clone()?;
        Some((kind, consequence))
    }) else {
        return Ok(done);
    };
    let not_done = |problem: String| Closed {
        problem,
        ..Closed::default()
    };
    let applicant = app.people.name(&applied.applicant).await?;
    let Value::Object(given) = &applied.fields.value else {
        return Ok(not_done("the values of the application were erased".into()));
    };
    let mut variables = variables_of_person(&kind, &applied.subject, &applicant, given);
    variables.insert("external".into(), application.external.clone().into());
    for (name, url) in &application.links {
        variables.insert(name.clone(), url.clone().into());
    }
    let form = match filled(consequence.fields.iter(), &variables) {
        Ok(fields) => fields,
        Err(wrong) => return Ok(not_done(wrong.to_string())),
    };
    let id = id_of(stream).to_owned();
    let ticket = NewTicket {
        service: consequence.service,
        creator: applied.applicant.clone(),
        form: form
            .into_iter()
            .map(|(key, value)| Entry::new(key, value))
            .collect(),
        tag: id.clone(),
        key: Key {
            // A colon is in no code of a registered app.
            app: "application:".into(),
            key: id.clone(),
            request: id,
        },
    };
    let meta = |creator: &PersonId| Meta {
        actor: creator.clone(),
        ..Meta::system(application.cause(), stream)
    };
    match open_ticket(app, ticket, meta).await {
        Ok((sn, position)) => {
            await_card(app, position).await;
            Ok(Closed {
                opened: Some(sn),
                ..done
            })
        }
        Err(Failure::Technical(error)) => Err(error),
        Err(Failure::Refused(refused)) => Ok(not_done(if refused.field.is_empty() {
            refused.reason
        } else {
            format!("field {}: {}", refused.field, refused.reason)
        })),
    }
}

/// Stores that an approval is no longer needed. The desk then withdraws the ticket in the external ITSM. An
/// application that has ended does not change. `stream` is the stream of the application. Returns the position of
/// the commit, or `None` if nothing changed.
pub async fn withdraw(
    app: &App,
    stream: &str,
    command_id: [u8; 16],
    meta: Meta,
    reason: &str,
) -> Result<Option<i64>, Error> {
    let envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta,
    };
    let command = Command::Withdraw {
        reason: reason.to_owned(),
        at: app.ledger.clock.now(),
    };
    app.ledger
        .execute::<Application>(&envelope, &command, &NoContext)
        .await
        .map(|outcome| outcome.position)
        .map_err(ExecuteError::unexpected)
}

#[cfg(test)]
mod tests {
    use events::workflow::Condition;
    use serde_json::json;

    use super::*;

    fn kind() -> Defined {
        let pair = |key: &str, value: &str| Pair {
            key: key.into(),
            value: value.into(),
        };
        Defined {
            name: "log_collection".into(),
            integration: "company".into(),
            service: Some(18),
            discovery: None,
            fields: vec![
                pair("title", "采集 ${subject}"),
                pair("days", "${log_keep_days}"),
            ],
            required: vec!["log_keep_days".into()],
            senders: Vec::new(),
            consequence: None,
            states: events::application_kind::StateTexts::default(),
            granted: Condition::default(),
            days: 14,
            is_enabled: true,
        }
    }

    #[test]
    fn the_fields_of_a_person_are_checked_and_keep_their_types() {
        let fields = |given: Value| fields_of_person(&kind(), "c-1", "lisi", &given);
        assert_eq!(
            fields(json!({ "log_keep_days": 7, "reason": "audit", "title": "other" })).unwrap(),
            [
                ("title".to_owned(), json!("采集 c-1")),
                ("days".to_owned(), json!(7)),
                ("reason".to_owned(), json!("audit")),
            ],
            "the value of the kind replaces the value of the person"
        );
        for missing in [
            json!({}),
            json!({ "log_keep_days": " " }),
            json!({ "log_keep_days": null }),
        ] {
            let wrong = fields(missing).unwrap_err();
            assert_eq!(wrong.key, "log_keep_days");
        }
        assert!(fields(Value::Null).is_err(), "erased values");
        let mut without = kind();
        without.required.clear();
        let wrong = fields_of_person(&without, "c-1", "lisi", &json!({})).unwrap_err();
        assert_eq!(wrong.key, "days");
    }

    #[test]
    fn each_round_of_a_subject_has_its_own_stream() {
        let first = stream_of("k", "s", 1);
        assert_eq!(first.len(), "application-".len() + 32);
        assert_ne!(first, stream_of("k", "s", 2));
        assert_ne!(first, stream_of("k", "s1", 1));
    }
}
