//! Sends a test message of a template to the person who asks for it. A test message is a notification of a ticket with
//! one delivery. The cause of the notification is the event that drafted the version, so the delivery uses this version.

use domain::notification::content::Content;
use domain::notification::routing::{Decision, EXPIRES_MS};
use domain::notification::template::stream;
use domain::notification::{Command, Next, Notification};
use events::notification::{Mode, Requested, Role, Route, Routed};
use events::person::Language;
use events::{Meta, TicketSn};
use infra::channel::{self, Channel};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, ExecuteError};

use super::{TemplateError, fact_of, read, readable, version_of};
use crate::App;
use crate::app::notifications::preferences;

/// Returns the content with a subject that marks a test message.
pub(super) fn marked(content: Content, language: Language) -> Content {
    let mark = match language {
        Language::Chinese => "[测试]",
        Language::English => "[Test]",
    };
    Content {
        subject: format!("{mark} {}", content.subject),
        ..content
    }
}

/// Sends a test message about a ticket through a channel account. `version` is `None` for the newest version. Returns
/// the id of the notification, which shows the result of the delivery. Quiet hours do not delay the message.
pub async fn send_test(
    app: &App,
    key: &str,
    version: Option<u32>,
    account: &str,
    sn: &TicketSn,
    meta: Meta,
) -> Result<String, TemplateError> {
    let template = read(app, key).await?;
    let fact = fact_of(key).ok_or(TemplateError::NoTest)?;
    let (_, version) = version_of(&template, version)?;
    let defined = app.configuration.channel_account(account).await?;
    let defined = defined.ok_or_else(|| TemplateError::AccountUnknown(account.to_owned()))?;
    if !defined.is_enabled {
        return Err(TemplateError::AccountDisabled(account.to_owned()));
    }
    let kind = channel::find(&defined.channel).map_or("", Channel::address_kind);
    let preferences = preferences::read(app, &meta.actor).await?;
    let address = preferences.addresses.get(kind);
    if address.is_none_or(events::Personal::is_erased) {
        return Err(TemplateError::NoAddress(kind.to_owned()));
    }
    let card = readable(app, sn, &meta).await?;
    let mut current = card.ticket.current();
    let node = current.next();
    let now = app.ledger.clock.now();
    let priority = card.ticket.priority();
    let requested = Requested {
        person: meta.actor.clone(),
        fact,
        role: Role::Operator,
        ticket: sn.clone(),
        node: node.map(|(node, _)| node),
        name: if fact.concerns_ticket() {
            node.map_or_else(String::new, |(_, node_run)| node_run.name.clone())
        } else {
            account.to_owned()
        },
        round: node.map_or(0, |(_, node_run)| node_run.round),
        cause: format!("{}:{}", stream(key), version.sequence),
        at: now,
        priority: priority.map_or_else(String::new, |priority| priority.key.clone()),
        is_urgent: false,
        is_critical: false,
        accounts: Vec::new(),
        subscription: None,
        number: app
            .numbers
            .of_notification(now, &app.settings.zone, &meta)
            .await?,
    };
    let routed = Routed {
        routes: vec![Route {
            account: defined.name,
            channel: defined.channel,
            mode: Mode::Immediate,
            clause: None,
        }],
        skipped: Vec::new(),
        fallback: Vec::new(),
        fallback_due: None,
        expires: now.plus_ms(EXPIRES_MS),
        priority: None,
        experiment: None,
    };
    let id = blake3::hash(&app.ledger.fresh_id()).to_hex()[..32].to_owned();
    let command_envelope = CommandEnvelope {
        stream: format!("notification-{id}"),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let next = Next::Decided(Decision::Send(routed));
    let command = Command::Request(Box::new(requested), next);
    app.ledger
        .execute::<Notification>(&command_envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(id)
}
