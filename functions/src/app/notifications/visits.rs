//! Counts visits: a person who opens the ticket from the link in a message has read the notification. Only channel accounts
//! with the setting `count_visits` have such links. A link contains a signed token with the id of the delivery. The token
//! gives no right: the page of the ticket needs a login, and only a visit of the recipient counts. A mail gateway that opens
//! all links is not logged in, so it counts nothing.

use domain::notification::content::Content;
use domain::notification::delivery::Delivery;
use domain::notification::{Command, Notification};
use events::notification::{Read, Requested};
use events::{Meta, TicketSn};
use infra::channel::counts_visits;
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::signed_text;
use crate::App;
use crate::app::tickets::act::await_card;

/// The parameter of a link that contains the token.
pub const PARAMETER: &str = "visit";
/// What the tokens are used for, see [`signed_text`]. The text must never change.
const PURPOSE: &str = "visits of tickets";

/// Returns the content with the token in its link to the ticket, if the channel account counts visits. `delivery` is the
/// name of the stream of the delivery.
pub async fn linked(
    app: &App,
    requested: &Requested,
    account: &str,
    delivery: &str,
    mut content: Content,
) -> Result<Content, Error> {
    let page = format!("/tickets/{}", requested.ticket);
    if !requested.fact.concerns_ticket() || !content.link.url.ends_with(&page) {
        return Ok(content);
    }
    let defined = app.configuration.channel_account(account).await?;
    if defined.is_some_and(|defined| counts_visits(&defined)) {
        let token = signed_text::sign(&app.token_keys().await?.newest, PURPOSE, delivery);
        content.link.url = format!("{}?{PARAMETER}={token}", content.link.url);
    }
    Ok(content)
}

/// Stores that a person opened the page of a ticket from the link in a message. `meta` names the person. The first visit
/// counts, if the person has not read the notification before. Does nothing if the token is not valid, or if the message was
/// sent to another person or is about another ticket.
pub async fn record(app: &App, token: &str, ticket: &TicketSn, meta: Meta) -> Result<(), Error> {
    let keys = app.token_keys().await?;
    let Some(stream) = keys.first(|key| signed_text::read(key, PURPOSE, token)) else {
        return Ok(());
    };
    let delivery = app.ledger.load::<Delivery>(&stream).await?.aggregate.0;
    let Some(sent) = delivery.requested else {
        return Ok(());
    };
    if sent.ticket != *ticket || sent.person != meta.actor {
        return Ok(());
    }
    let read = Read {
        by: sent.person,
        account: sent.account,
    };
    let command_envelope = CommandEnvelope {
        stream: sent.notification,
        command_id: command_id(&["visit", &stream]),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Notification>(&command_envelope, &Command::Visit(read), &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    #[cfg(feature = "local")]
    if !outcome.repeated && !outcome.events.is_empty() {
        app.sending.engaged("read");
    }
    await_card(app, outcome.position).await;
    Ok(())
}
