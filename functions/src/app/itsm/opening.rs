//! Opens tickets that no person submits: for a record of another system, or as the consequence of a granted
//! application.

use std::collections::BTreeMap;

use domain::itsm::mapping::Unreadable;
use domain::ticket::{Open, Rejection, Ticket, form};
use events::case::Refused;
use events::{Entry, Meta, PersonId, ServiceId, TicketSn};
use infra::{Error, ExecuteError, Kind};

use crate::App;
use crate::app::people::Unnamed;
use crate::app::tickets::submit::{Submission, SubmitError, submit_without_wait};
use crate::app::tickets::{Key, NotOpened, NotRaised};

/// The reason why a ticket was not opened or changed.
pub(super) enum Failure {
    Refused(Refused),
    Technical(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Technical(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(Unreadable { field, reason }: Unreadable) -> Self {
        Self::Refused(Refused { field, reason })
    }
}

impl From<Unnamed> for Failure {
    fn from(unnamed: Unnamed) -> Self {
        let reason = unnamed.to_string();
        match unnamed {
            Unnamed::Technical(error) => Self::Technical(error),
            Unnamed::InField { key, .. } => refused(&key, reason),
            _ => refused("", reason),
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let field = rejection.field_key().unwrap_or_default().to_owned();
        match rejection {
            // Another system provides the options of a form field, and this system is not
            // available. A later attempt may succeed.
            Rejection::OptionsUnavailable { .. } => {
                Self::Technical(Error::new(Kind::Unavailable, rejection.to_string()))
            }
            // The reason is stored as plain text, so it must not contain a user name.
            Rejection::UnknownPerson(_) => refused(
                "",
                "a person in the form is not in the directory of the organization".into(),
            ),
            rejection => refused(&field, rejection.to_string()),
        }
    }
}

impl From<ExecuteError<Ticket>> for Failure {
    fn from(failure: ExecuteError<Ticket>) -> Self {
        match failure {
            ExecuteError::Rejected(rejection) => rejection.into(),
            ExecuteError::Technical(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(failure: SubmitError) -> Self {
        match failure {
            SubmitError::NotOpened(not_opened) => not_opened.into(),
            SubmitError::NotRaised(NotRaised::Technical(error)) => error.into(),
            SubmitError::NotRaised(reason) => refused("", reason.to_string()),
        }
    }
}

impl From<NotOpened> for Failure {
    fn from(failure: NotOpened) -> Self {
        match failure {
            NotOpened::Refused(failure) => failure.into(),
            NotOpened::KeyReused => refused("", failure.to_string()),
        }
    }
}

pub(super) fn refused(field: &str, reason: String) -> Failure {
    Failure::Refused(Refused {
        field: field.to_owned(),
        reason,
    })
}

/// A ticket that the desk opens.
pub(super) struct NewTicket {
    pub(super) service: ServiceId,
    pub(super) creator: PersonId,
    /// The values of the form, with user names instead of the ids of people. Missing values get their defaults.
    pub(super) form: Vec<Entry>,
    /// A text that the ticket keeps, and by which it can be found.
    pub(super) tag: String,
    /// The key that prevents a second ticket if the desk opens the ticket again.
    pub(super) key: Key,
}

/// Opens the ticket and returns its number. If a ticket with the same key exists, the function returns the number of
/// this ticket. `meta` returns the metadata of the commits for the creator of the ticket.
///
/// Also returns the position of the commit in the feed. The card of the ticket is possibly not stored yet.
pub(super) async fn open_ticket(
    app: &App,
    ticket: NewTicket,
    meta: impl Fn(&PersonId) -> Meta,
) -> Result<(TicketSn, Option<i64>), Failure> {
    let mut entries = ticket.form;
    let service = app.configuration.service(ticket.service).await?;
    if let Some(defined) = &service.0 {
        let workflow = app
            .configuration
            .workflow(defined.workflow, defined.workflow_version)
            .await?;
        if let Some(workflow) = workflow {
            let definition = &workflow.definition;
            app.people.form_in(definition, &mut entries, 1).await?;
            if let Some(submit) = definition.submit_node() {
                form::with_defaults(definition, submit, &mut entries, &Ticket::default());
            }
        }
    }
    let open = Open {
        service: ticket.service,
        creator: ticket.creator,
        form: entries,
        tag: ticket.tag,
        ..Open::default()
    };
    let submission = Submission {
        open,
        variables: BTreeMap::new(),
        receiver: None,
        key: Some(ticket.key),
    };
    let submitted = submit_without_wait(app, submission, |creator| meta(creator));
    let (opened, position) = Box::pin(submitted).await?;
    Ok((opened.sn, position))
}
