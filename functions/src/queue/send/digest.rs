//! Creates the delivery of a digest. A digest is one message to a person about several notifications.

use domain::intent::SendDigest;
use domain::notification::delivery::{Command, Delivery};
use events::delivery::{InThread, OfDigest, Requested};
use events::digest::Flushed;
use events::{Meta, Personal};
use infra::ledger::command_id;
use infra::{CommandEnvelope, Error};

use super::{REPORT_MS, Sender, attempt, runner, sender};
use crate::App;
use crate::app::notifications::{digest_message, notify, preferences, templates};

/// Creates the delivery of a digest and makes its first attempt. `id` is the id of the queue message: a second call with
/// the same `id` creates no second delivery.
pub(super) async fn start(app: &App, id: &str, send: SendDigest) -> Result<(), Error> {
    let SendDigest {
        digest,
        flushed,
        cause,
        correlation,
    } = send;
    let (now, expires) = (app.ledger.clock.now(), flushed.expires.plus_ms(-REPORT_MS));
    let (Some(first), true) = (flushed.lines.first(), now < expires) else {
        // The notifications end at their own deadlines.
        return Ok(());
    };
    let preferences = preferences::read(app, &flushed.person).await?;
    let (person, language) = (&flushed.person, preferences.language);
    let Sender {
        channel,
        repetition,
        address,
    } = sender(app, &flushed.account, &preferences).await?;
    let shows_titles = templates::shows_titles(app, &channel, language).await?;
    let content = digest_message::content(app, &flushed, language, shows_titles).await?;
    let zone = notify::zone(app, preferences.zone.as_deref());
    let content =
        templates::apply_to_digest(app, person, &channel, language, &zone, content).await?;
    let content = serde_json::to_value(content).unwrap_or_default();
    let requested = Requested {
        notification: flushed.notifications.first().cloned().unwrap_or_default(),
        ticket: first.ticket.clone(),
        person: flushed.person.clone(),
        account: flushed.account.clone(),
        channel,
        to: Personal::new(flushed.person.clone(), address),
        content: Personal::new(flushed.person.clone(), content),
        repetition,
        due: now,
        expires,
        is_tagged: true,
        // A digest about one ticket belongs to the thread of this ticket.
        thread: is_of_one_ticket(&flushed).then_some(InThread::Reply),
        digest: Some(OfDigest {
            digest,
            notifications: flushed.notifications,
        }),
    };
    let stream = format!("delivery-{id}");
    let command_envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["send", id]),
        meta: Meta::system(correlation, cause),
    };
    let command = Command::Request(Box::new(requested));
    runner::open::<Delivery>(&app.ledger, &command_envelope, &command).await?;
    attempt(app, &stream).await
}

/// Returns true if all notifications of a digest are about the same ticket.
fn is_of_one_ticket(flushed: &Flushed) -> bool {
    let mut tickets = flushed.lines.iter().map(|line| &line.ticket);
    let first = tickets.next();
    flushed.more == 0 && tickets.all(|ticket| Some(ticket) == first)
}
