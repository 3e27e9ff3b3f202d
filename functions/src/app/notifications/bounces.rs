//! Stores reports about mails and short messages that the desk sent: a mail server or a gateway could not deliver the
//! message, or the recipient does not want it. Everybody can send a report about a mail. It must contain the id of the
//! delivery with its keyed tag, see [`delivery_tag`]. The recipient, the mail servers, and people who got a reply to the
//! mail or a copy of it know both. A gateway signs its reports, and they contain the same tag.
//!
//! A delivery from before the tags accepts a report with its id only, so that the reports about mails that were sent
//! before the upgrade still arrive. The events of such deliveries never change, so the number of these deliveries does
//! not grow.

use domain::notification::delivery::{Command, Delivery};
use events::Meta;
use events::delivery::{BounceKind, Bounced, FailureClass};
use infra::Error;
use infra::channel::{email, sms};
use infra::inbound::mail::{Report, ReportKind};
use infra::ledger::command_id;

use super::delivery_tag;
use crate::App;

/// The channel of short messages.
const SMS: &str = "sms";
/// The channel of mails.
pub(super) const CHANNEL: &str = "email";
/// The text that replaces mail addresses in a reason. Events are not encrypted, so they must not contain addresses.
const ADDRESS: &str = "<address>";

/// Stores one report in its delivery. `inbound` is the name of the stream of the report. A second call does nothing.
pub(super) async fn record(
    app: &App,
    inbound: &str,
    report: &Report,
    cause: &str,
) -> Result<(), Error> {
    let kind = match report.kind {
        ReportKind::Failed => BounceKind::Bounce,
        ReportKind::Complaint => BounceKind::Complaint,
        ReportKind::Other => return Ok(()),
    };
    let stream = format!("delivery-{}", report.delivery);
    let state = app.ledger.load::<Delivery>(&stream).await?.aggregate.0;
    let Some(requested) = state.requested.filter(|one| one.channel == CHANNEL) else {
        tracing::warn!(inbound, "a report about an unknown mail is ignored");
        return Ok(());
    };
    if !delivery_tag::is_genuine(app, &requested, report).await? {
        tracing::warn!(
            inbound,
            stream,
            "a report about a mail is refused, because its tag is wrong"
        );
        return Ok(());
    }
    let to = requested.to.value.as_str().unwrap_or_default();
    // A person can forward mails to another address. A report about that address gives no information about the
    // address of the person.
    let is_of_address = to.eq_ignore_ascii_case(&report.recipient);
    let class = match email::class_of_report(&report.status) {
        FailureClass::RecipientInvalid if !is_of_address => FailureClass::Permanent,
        class => class,
    };
    if kind == BounceKind::Complaint && !is_of_address {
        tracing::warn!(inbound, "a complaint about another address is ignored");
        return Ok(());
    }
    let words = report.reason.split_whitespace();
    let words = words.map(|word| if word.contains('@') { ADDRESS } else { word });
    let bounced = Bounced {
        kind,
        class,
        code: report.status.clone(),
        reason: words.collect::<Vec<_>>().join(" "),
        report: inbound.to_owned(),
    };
    store(app, inbound, &stream, bounced, cause).await
}

/// Stores the report of a gateway about one short message in its delivery. The signature of the gateway is already
/// checked, and `account` is the name of its account. A second call does nothing.
pub(super) async fn record_short_message(
    app: &App,
    inbound: &str,
    account: &str,
    report: &Report,
    cause: &str,
) -> Result<(), Error> {
    let stream = format!("delivery-{}", report.delivery);
    let state = app.ledger.load::<Delivery>(&stream).await?.aggregate.0;
    let requested = state.requested;
    let Some(requested) = requested.filter(|one| one.channel == SMS && one.account == account)
    else {
        tracing::warn!(
            inbound,
            "a report about an unknown short message is ignored"
        );
        return Ok(());
    };
    if !delivery_tag::is_genuine(app, &requested, report).await? {
        tracing::warn!(
            inbound,
            stream,
            "a report about a short message is refused, because its tag is wrong"
        );
        return Ok(());
    }
    let is_of_address = requested.to.value.as_str() == Some(report.recipient.as_str());
    let class = match sms::class_of_report(&report.status) {
        FailureClass::RecipientInvalid if !is_of_address => FailureClass::Permanent,
        class => class,
    };
    let bounced = Bounced {
        kind: BounceKind::Bounce,
        class,
        code: report.status.clone(),
        reason: report.reason.clone(),
        report: inbound.to_owned(),
    };
    store(app, inbound, &stream, bounced, cause).await
}

async fn store(
    app: &App,
    inbound: &str,
    stream: &str,
    bounced: Bounced,
    cause: &str,
) -> Result<(), Error> {
    let id = command_id(&["bounce", inbound, stream]);
    let meta = Meta::system(inbound, cause);
    app.must_execute::<Delivery>(stream, id, meta, &Command::Bounce(bounced))
        .await
        .map(drop)
}
