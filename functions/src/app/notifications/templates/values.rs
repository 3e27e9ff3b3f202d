//! Collects the values of the variables of notification templates for one ticket and one person.

use std::sync::Arc;

use domain::notification::content::one_line;
use domain::views::ticket_card::TicketCard;
use events::notification::{Matter, Requested};
use events::person::Language;
use events::workflow::FieldKind;
use events::{PersonId, TicketSn};
use infra::Error;
use jiff::tz::TimeZone;

use super::engine::Values;
use crate::App;
use crate::app::notifications::definitions::DEFAULT_POLICY;
use crate::app::notifications::message::{minute, priority};
use crate::app::notifications::ticket_context::{TicketContext, joined, readable};
use crate::app::wording;

/// The name of the desk in messages if the notification policy contains no name.
const SYSTEM_NAME: &str = "Ledgerdesk";
/// The key of the form field that contains the description of a ticket. If a form has no field with this key, the first
/// text field with several lines is the description.
const DESCRIPTION: &str = "description";

/// The ticket and the person of one message.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub ticket: &'a TicketSn,
    pub card: &'a TicketCard,
    /// The person who gets the message.
    pub person: &'a PersonId,
    /// The name of the workflow node to which the fact belongs. The name is empty without a node.
    pub node: &'a str,
    /// The key of the ticket priority. The key is empty if the ticket has no priority.
    pub priority: &'a str,
    pub language: Language,
    pub zone: &'a TimeZone,
}

/// Returns the values of all variables that have a value. Encrypted values of the ticket are absent, because the message
/// is encrypted with the key of another person.
pub async fn values(app: &App, source: Source<'_>) -> Result<Arc<Values>, Error> {
    let ticket = &source.card.ticket;
    let site = app.settings.site.trim_end_matches('/');
    let opened = ticket.opened.as_ref();
    let priority = if source.priority.is_empty() {
        String::new()
    } else {
        priority(app, source.priority).await?
    };
    let status = if opened.is_some() {
        wording::ticket_status(source.language, ticket.status_key())
    } else {
        String::new()
    };
    let of_ticket = [
        ("ticket.id", source.ticket.0.clone()),
        ("ticket.title", readable(source.card, "title")),
        ("ticket.priority", priority),
        ("ticket.description", description(app, source.card).await?),
        ("ticket.status", status),
        (
            "ticket.service",
            opened
                .map(|opened| opened.service_name.clone())
                .unwrap_or_default(),
        ),
        ("ticket.node", source.node.to_owned()),
        ("ticket.url", format!("{site}/tickets/{}", source.ticket)),
    ];
    let context = TicketContext::of(source.card);
    let of_context = [
        (
            "context.related_cis",
            joined(&context.related_cis, source.language),
        ),
        (
            "context.impacted_services",
            joined(&context.impacted_services, source.language),
        ),
        ("context.sla_deadline", context.sla_deadline),
    ];
    let mut values = general(app, source.person, source.zone).await?;
    values.extend(known(of_ticket));
    values.extend(known(of_context));
    Ok(Arc::new(values))
}

/// Returns the values of the variables for a message about a channel account or an escalation chain. The variables of a
/// ticket have no values.
pub async fn of_no_ticket(
    app: &App,
    requested: &Requested,
    zone: &TimeZone,
) -> Result<Arc<Values>, Error> {
    let mut values = general(app, &requested.person, zone).await?;
    let variable = match requested.fact.matter() {
        Matter::Chain => "chain.name",
        Matter::Account | Matter::Ticket => "account.name",
    };
    values.extend(known([(variable, requested.name.clone())]));
    Ok(Arc::new(values))
}

/// Returns the values of the variables that do not concern a ticket. `person` is the person who gets the message.
pub async fn general(app: &App, person: &PersonId, zone: &TimeZone) -> Result<Values, Error> {
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let policy = policy.0.as_ref();
    let name = policy.map(|policy| policy.system_name.clone());
    let name = name.filter(|name| !name.is_empty());
    let email = policy.map(|policy| policy.support_email.clone());
    let site = app.settings.site.trim_end_matches('/');
    let values = [
        ("assignee.name", app.people.name(person).await?),
        (
            "system.name",
            name.unwrap_or_else(|| SYSTEM_NAME.to_owned()),
        ),
        ("system.url", site.to_owned()),
        ("system.support_email", email.unwrap_or_default()),
        ("system.current_time", minute(app.ledger.clock.now(), zone)),
    ];
    Ok(known(values).collect())
}

/// Returns the values that are not empty, each in one line.
fn known<const N: usize>(
    values: [(&'static str, String); N],
) -> impl Iterator<Item = (&'static str, String)> {
    let values = values.map(|(name, value)| (name, one_line(&value)));
    values.into_iter().filter(|(_, value)| !value.is_empty())
}

/// Returns the description of a ticket.
async fn description(app: &App, card: &TicketCard) -> Result<String, Error> {
    let described = readable(card, DESCRIPTION);
    let Some(opened) = card.ticket.opened.as_ref().filter(|_| described.is_empty()) else {
        return Ok(described);
    };
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let fields = workflow
        .iter()
        .flat_map(|deployed| &deployed.definition.fields);
    let texts = fields.filter(|field| field.kind == FieldKind::Text);
    let mut found = texts.map(|field| readable(card, &field.key));
    Ok(found.find(|text| !text.is_empty()).unwrap_or_default())
}
