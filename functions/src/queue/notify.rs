//! Processes the messages of the queue `notify`. A message creates a notification for one person, adds a notification
//! to a digest, stores in a notification that one of its deliveries ended or that its message came back, suppresses an
//! address that a provider reported as wrong, marks notifications as outdated, or starts or ends an escalation or the
//! reminders of a node. Other messages execute the commands that people send from chats.

use domain::intent::Intent;
use events::Meta;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;
use crate::app::notifications::{
    addresses, digests, escalations, inbound, notify, progress, reminders, returned, subscribers,
};

/// Executes the intent (a request for work) of one message from this queue.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::Notify(request) => notify::request(app, &message.id, *request).await,
        Intent::NotifyOperators(about) => {
            notify::request_for_operators(app, &message.id, *about).await
        }
        Intent::NotifySubscribers(request) => {
            Box::pin(subscribers::notify_matching(app, &message.id, *request)).await
        }
        Intent::AddToDigest(request) => digests::add(app, &message.id, *request).await,
        Intent::StartReminders(start) => reminders::start(app, *start).await,
        Intent::MarkOutdated(mark) => progress::mark(app, &message.id, *mark).await,
        Intent::StartEscalation(start) => escalations::start(app, &message.id, *start).await,
        Intent::CheckEscalations {
            ticket,
            cause,
            correlation,
        } => {
            let meta = Meta::system(correlation, cause);
            escalations::check(app, &message.id, &ticket, meta).await
        }
        Intent::EndDelivery {
            notification,
            ended,
            cause,
            correlation,
        } => {
            let meta = Meta::system(correlation, cause);
            notify::end_delivery(app, &message.id, &notification, ended, meta).await
        }
        Intent::ReportBounce(report) => returned::record(app, &message.id, *report).await,
        Intent::SuppressAddress {
            delivery,
            code,
            at,
            cause,
            correlation,
            ..
        } => {
            let meta = Meta::system(correlation, cause);
            addresses::suppress(app, &message.id, &delivery, &code, at, meta).await
        }
        Intent::HandleInbound {
            inbound: stream,
            subject,
            cause,
            ..
        } if inbound::is_subject(&subject) => {
            Box::pin(inbound::handle(app, &stream, &subject, &cause)).await
        }
        _ => Err(wrong_queue(message)),
    }
}
