//! Processes the messages of the queue `send`. A message creates a delivery, or makes the next attempt of a
//! delivery. A delivery sends one message to one person. A message can also change the chat group of a ticket. Only the
//! functions of this queue read the secrets of channel accounts (configured senders).

mod buzz;
mod chat_group;
mod digest;
mod hidden;
mod patience;
mod receipt;
mod threads;
mod update;

use std::time::Duration;

use async_trait::async_trait;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::intent::{Due, Intent};
use domain::notification::content::Content;
use domain::notification::delivery::{Command, Delivery, POLICY, Rejection};
use domain::notification::{Notification, Phase};
use events::delivery::{FailureClass, InThread, RECEIPT, Requested, UPDATE};
use events::person::PreferencesChanged;
use events::task_type::Repetition;
use events::{Meta, Personal, TicketSn, channel_account};
use infra::channel::{
    self, Channel, Mail, Outgoing as Message, Request, Response, TargetLimit, Thread,
};
use infra::commit::hex;
use infra::http::{HttpError, HttpResponse};
use infra::ledger::command_id;
use infra::queue;
use infra::{CommandEnvelope, Error};
use serde_json::Value;

use self::hidden::Hidden;
use super::runner::{self, Outgoing, Prepared, Sent, Start, Transport};
use super::wrong_queue;
use crate::App;
use crate::app::notifications::templates::{self, formats};
use crate::app::notifications::tokens::Granted;
use crate::app::notifications::{
    accounts, actions, delivery_tag, erased_members, feedback, health, message, notify,
    preferences, replies, reply_address, tokens, unsubscribe, visits,
};
use crate::app::rate::{self, Taken, Turn};
use crate::app::tickets;

/// The names of the secrets of channel accounts (configured senders of messages) begin with this text.
pub const CHANNEL: &str = accounts::SECRET;
/// Time in milliseconds between the expiry of a delivery and the expiry of its notification: 10 minutes. During this
/// time, the end of the last delivery can still be stored in the notification.
const REPORT_MS: i64 = 600_000;
/// Time in milliseconds after which no further attempt to send an urgent message starts: 30 minutes. Other accounts of the
/// fallback list have then sent the message, or operators have been informed.
const URGENT_MS: i64 = 30 * 60_000;
/// Number of hexadecimal digits in the id of a message that waits for its turn in the rate limit of its account.
const TURN_DIGITS: usize = 12;
/// Number of hexadecimal digits in the id with which the desk marks its messages.
const INSTANCE_DIGITS: usize = 16;
/// The name of the channel whose messages have a link to switch them off.
const EMAIL: &str = "email";

/// Executes the intent (a request for work) of one message from this queue. Creates a delivery and makes its
/// first attempt.
pub async fn execute(app: &App, message: &queue::Message, intent: Intent) -> Result<(), Error> {
    let intent = match intent {
        Intent::SendDigest(send) => return digest::start(app, &message.id, *send).await,
        Intent::SyncChatGroup(sync) => {
            return Box::pin(chat_group::sync(app, &message.id, *sync)).await;
        }
        Intent::UpdateMessage {
            delivery,
            to,
            by,
            at,
            cause,
            correlation,
            ..
        } => {
            let meta = Meta::system(correlation, cause);
            let request = update::request(app, &message.id, &delivery, (to, by, at), meta);
            return Box::pin(request).await;
        }
        Intent::SendAnswer {
            inbound,
            account,
            sealed,
        } => return replies::deliver(app, &inbound, &account, &sealed).await,
        intent => intent,
    };
    let Intent::StartDelivery {
        notification,
        account,
        cause,
        correlation,
    } = intent
    else {
        return Err(wrong_queue(message));
    };
    let stream = format!("delivery-{}", message.id);
    let Some(requested) = request(app, &notification, &account, &stream).await? else {
        return Ok(());
    };
    let command_envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["send", &message.id]),
        meta: Meta::system(correlation, cause),
    };
    let command = Command::Request(Box::new(requested));
    runner::open::<Delivery>(&app.ledger, &command_envelope, &command).await?;
    attempt(app, &stream).await
}

/// Continues a delivery at one of its deadlines.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    match due.deadline.as_str() {
        UPDATE => update::attempt(app, &due.stream).await,
        RECEIPT => receipt::poll(app, &due.stream).await,
        _ => attempt(app, &due.stream).await,
    }
}

/// Makes the steps of a chat group that are due, at the deadline of the group. At the deadline of an erased person, destroys
/// the address of this person first.
pub async fn fire_chat_group(app: &App, due: &Due) -> Result<(), Error> {
    if let Some(person) = events::chat_group::erased_at(&due.deadline) {
        erased_members::give_up(app, &due.stream, &person).await?;
    }
    Box::pin(chat_group::advance(app, &due.stream)).await
}

/// Makes the next attempt of the delivery in the given stream. Does nothing before the time of this attempt.
pub async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
    runner::run::<Delivery>(app, stream).await
}

/// Returns the event that creates a delivery. The event contains the address of the person and the finished
/// message. `stream` is the name of the stream of the delivery. Returns `None` if the notification does not wait for this
/// delivery.
async fn request(
    app: &App,
    notification: &str,
    account: &str,
    stream: &str,
) -> Result<Option<Requested>, Error> {
    let state = app
        .ledger
        .load::<Notification>(notification)
        .await?
        .aggregate
        .0;
    let (Some(fact), Some(routed)) = (&state.requested, &state.routed) else {
        return Ok(None);
    };
    let (now, expires) = (app.ledger.clock.now(), routed.expires.plus_ms(-REPORT_MS));
    if state.phase != Phase::Sending || now >= expires {
        return Ok(None);
    }
    let expires = if fact.is_urgent {
        expires.min(now.plus_ms(URGENT_MS))
    } else {
        expires
    };
    let preferences = preferences::read(app, &fact.person).await?;
    let zone = notify::zone(app, preferences.zone.as_deref());
    let card = tickets::card(app, &fact.ticket).await?.unwrap_or_default();
    let language = preferences.language;
    let mut content = message::content(app, fact, &card, language, &zone).await?;
    let Sender {
        channel,
        repetition,
        address,
    } = sender(app, account, &preferences).await?;
    let to = address.as_str().unwrap_or_default();
    let sent = actions::Sent {
        notification,
        account,
        is_shared: actions::is_shared(app, account, to).await?,
    };
    content.actions = actions::offered(app, sent, fact, &card, language).await?;
    let buttons = content.actions.len();
    let asks = feedback::offered(app, sent, fact, &channel, language, buttons).await?;
    content.actions.extend(asks);
    let content = templates::apply(app, fact, &card, &channel, language, &zone, content).await?;
    let content = visits::linked(app, fact, account, stream, content).await?;
    let content = serde_json::to_value(content).unwrap_or_default();
    Ok(Some(Requested {
        notification: notification.to_owned(),
        digest: None,
        ticket: if fact.fact.concerns_ticket() {
            fact.ticket.clone()
        } else {
            TicketSn::default()
        },
        person: fact.person.clone(),
        account: account.to_owned(),
        channel,
        to: Personal::new(fact.person.clone(), address),
        content: Personal::new(fact.person.clone(), content),
        repetition,
        due: now,
        expires,
        is_tagged: true,
        // A notification that concerns no ticket belongs to no thread.
        thread: fact.fact.concerns_ticket().then_some(if fact.is_urgent {
            InThread::Broadcast
        } else {
            InThread::Reply
        }),
    }))
}

/// The channel of an account, and the address of a person on this channel.
struct Sender {
    channel: String,
    repetition: Repetition,
    address: Value,
}

/// Returns the channel of the account `account`, and the address of the person with the given preferences.
async fn sender(
    app: &App,
    account: &str,
    preferences: &PreferencesChanged,
) -> Result<Sender, Error> {
    let defined = app.configuration.channel_account(account).await?;
    let (channel, repetition) = defined.map_or_else(
        || (String::new(), Repetition::AtMostOnce),
        |defined| (defined.channel, defined.repetition),
    );
    let kind = channel::find(&channel).map_or("", Channel::address_kind);
    let address = preferences.addresses.get(kind);
    let address = address
        .map(|address| address.value.clone())
        .unwrap_or_default();
    Ok(Sender {
        channel,
        repetition,
        address,
    })
}

#[async_trait]
impl Outgoing for Delivery {
    fn attempts(&self) -> Option<Attempts> {
        self.is_open().then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.notification)
    }

    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        let verdict = Verdict::Unknown {
            reason: "the desk stopped during the attempt".into(),
        };
        self.is_interrupted().then_some((verdict, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        match prepare(app, self, stream).await? {
            Ok(prepared) => Ok(prepared),
            Err(verdict) => Ok(Prepared::Verdict(verdict, POLICY)),
        }
    }

    /// Counts this message in the rate limits of the channel account (the configured sender). If a limit is reached, or if
    /// the account is paused after failures, the delivery waits. It fails instead if another account should send the
    /// message.
    async fn admit(&self, app: &App) -> Result<Option<(Verdict, Policy)>, Error> {
        let name = self.requested.as_ref().map(|requested| &requested.account);
        let Some(account) = app
            .configuration
            .channel_account(name.map_or("", String::as_str))
            .await?
        else {
            return Ok(None);
        };
        let verdict = match accounts::admit(app, &account.name).await? {
            Some(verdict) => Some(patience::ended(app, self, verdict).await?),
            None => limited(app, &account, self).await?,
        };
        Ok(verdict.map(|verdict| (verdict, POLICY)))
    }

    async fn policy(&self, app: &App, verdict: &Verdict, policy: Policy) -> Result<Policy, Error> {
        patience::policy(app, self, verdict, policy).await
    }

    /// Counts the result for the channel account (the configured sender), which is paused after several failures.
    async fn judged(&self, app: &App, verdict: &Verdict) -> Result<(), Error> {
        match &self.requested {
            Some(requested) => {
                #[cfg(feature = "local")]
                app.sending.count(
                    &requested.account,
                    verdict,
                    app.ledger.clock.now().0 - requested.due.0,
                );
                accounts::note(app, &requested.account, verdict).await?;
                match verdict {
                    Verdict::Retry { .. } | Verdict::Unknown { .. } => {
                        health::count_failure(app, requested).await
                    }
                    _ => Ok(()),
                }
            }
            None => Ok(()),
        }
    }

    /// Removes an access token that the provider does not accept any more.
    async fn learned(
        &self,
        app: &App,
        response: &Result<HttpResponse, HttpError>,
    ) -> Result<(), Error> {
        let Some(requested) = &self.requested else {
            return Ok(());
        };
        let response = Response::Http(response.clone());
        let codec = channel::find(&requested.channel);
        if codec.is_some_and(|codec| codec.refuses_token(&response)) {
            app.tokens.discard(&requested.account).await;
        }
        Ok(())
    }

    fn record(report: Report) -> Command {
        Command::Record(report)
    }

    fn is_repeated(rejection: &Rejection) -> bool {
        matches!(
            rejection,
            Rejection::AlreadyRequested | Rejection::NotDue(_)
        )
    }

    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        threads::keep_root(app, self, stream).await?;
        buzz::after(app, self, stream).await
    }
}

/// Creates the request for the next attempt of a delivery. If no request can be sent, returns the verdict
/// (the result of the attempt) as the inner `Err`.
async fn prepare<'a>(
    app: &'a App,
    delivery: &'a Delivery,
    stream: &str,
) -> Result<Result<Prepared<'a, Delivery>, Verdict>, Error> {
    let Some(requested) = &delivery.requested else {
        let reason = "the delivery is not requested";
        return Ok(Err(Verdict::refused(FailureClass::Permanent, "", reason)));
    };
    if app.ledger.clock.now() >= requested.expires {
        let reason = "the message is too old";
        return Ok(Err(Verdict::refused(FailureClass::Transient, "", reason)));
    }
    let (account, codec) = match usable(app, &requested.account).await? {
        Ok(usable) => usable,
        Err(verdict) => return Ok(Err(patience::ended(app, delivery, verdict).await?)),
    };
    let content = serde_json::from_value::<Content>(requested.content.value.clone()).ok();
    let (Some(to), Some(content)) = (requested.to.value.as_str(), content) else {
        let reason = "the address or the content was erased";
        return Ok(Err(Verdict::refused(
            FailureClass::RecipientInvalid,
            "",
            reason,
        )));
    };
    let content = if delivery.is_short {
        content.shortened()
    } else {
        content
    };
    let content = if formats::has_own_body(&requested.channel) {
        content
    } else {
        content.flattened()
    };
    let root = match threads::root_of(app, &account, codec, delivery, stream).await? {
        Ok(root) => root,
        Err(verdict) => return Ok(Err(verdict)),
    };
    let Credentials { secret, granted } = match credentials(app, codec, &account, to).await? {
        Ok(credentials) => credentials,
        Err(verdict) => return Ok(Err(verdict)),
    };
    let token = granted.as_ref().map(|granted| granted.token.value.as_str());
    let hidden = Hidden::new(to, &secret, token.unwrap_or_default());
    let reply_to = reply_to(app, &account, requested).await?;
    let unsubscribe = match requested.channel.as_str() {
        EMAIL => unsubscribe::address(app, requested).await?,
        _ => None,
    };
    let instance = instance(app).await?;
    let id = stream.trim_start_matches("delivery-");
    let tag = delivery_tag::tag(app, requested, id).await?;
    let message = Message {
        account: &account,
        secret: &secret,
        to,
        content: &content,
        id,
        tag: &tag,
        token: token.unwrap_or_default(),
        reply_to: reply_to.as_deref(),
        unsubscribe: unsubscribe.as_deref(),
        instance: &instance,
        requested: requested.due,
        now: app.ledger.clock.now(),
        thread: root.as_deref().map(|root| Thread {
            root,
            is_broadcast: requested.thread == Some(InThread::Broadcast),
        }),
    };
    let request = match codec.request(&message) {
        Ok(request) => request,
        // The settings or the secret of the channel account (the configured sender) are wrong. An operator can
        // correct the account, so another attempt follows.
        Err(reason) => return Ok(Err(Verdict::retry(reason))),
    };
    let begin: Start<'_, Delivery> = Box::new(|attempt, until| Command::Begin { attempt, until });
    let start = (requested.repetition == Repetition::AtMostOnce).then_some(begin);
    let to = to.to_owned();
    Ok(Ok(match request {
        Request::Http(request) => Prepared::Request {
            request,
            start,
            judge: Box::new(move |response| {
                let response = Response::Http(response.clone());
                if codec.refuses_token(&response) && granted.is_some_and(|one| !one.is_new) {
                    let reason = "the access token is not valid any more";
                    return (Verdict::retry(reason), POLICY);
                }
                let Some(root) = root else {
                    return judge(codec, &account, &to, &hidden, &response);
                };
                if let Some(verdict) = threads::lost(codec, &root, &response) {
                    return (verdict, POLICY);
                }
                let (mut verdict, policy) = judge(codec, &account, &to, &hidden, &response);
                threads::note_left(codec, &root, &response, &mut verdict);
                (verdict, policy)
            }),
        },
        Request::Mail(mail) => Prepared::Other {
            request: Box::new(Mailed {
                mail,
                codec,
                account,
                to,
                hidden,
            }),
            start,
        },
    }))
}

/// Returns the definition of an account and the codec of its channel. Returns a verdict (the result of an attempt) as
/// the inner `Err` if the account cannot send now.
async fn usable(
    app: &App,
    name: &str,
) -> Result<Result<(channel_account::Defined, &'static dyn Channel), Verdict>, Error> {
    let defined = app.configuration.channel_account(name).await?;
    let Some((account, codec)) =
        defined.and_then(|one| channel::find(&one.channel).map(|codec| (one, codec)))
    else {
        let reason = "the channel account is not defined";
        return Ok(Err(Verdict::refused(FailureClass::Permanent, "", reason)));
    };
    if !account.is_enabled {
        let reason = "the channel account is switched off";
        return Ok(Err(Verdict::refused(FailureClass::Permanent, "", reason)));
    }
    Ok(match accounts::waits(app, &account.name).await? {
        Some(verdict) => Err(verdict),
        None => Ok((account, codec)),
    })
}

/// The secret of an account, and its access token if the channel needs one.
struct Credentials {
    secret: String,
    granted: Option<Granted>,
}

/// Returns the credentials of an account. Returns a verdict (the result of an attempt) as the inner `Err` if the key store
/// has no secret for the account, or if the provider grants no access token. The account is then paused.
async fn credentials(
    app: &App,
    codec: &dyn Channel,
    account: &channel_account::Defined,
    to: &str,
) -> Result<Result<Credentials, Verdict>, Error> {
    let secret = accounts::secret(app, &account.name).await?;
    if accounts::lacks_secret(account, &secret) {
        let missing = accounts::missing_secret(&account.name);
        tracing::warn!(
            account = account.name.as_str(),
            reason = %missing,
            "a channel account cannot send messages"
        );
        let verdict = Verdict::refused(FailureClass::Credential, "", missing);
        accounts::note(app, &account.name, &verdict).await?;
        return Ok(Err(verdict));
    }
    Ok(match tokens::granted(app, codec, account, &secret).await {
        Ok(granted) => Ok(Credentials { secret, granted }),
        Err(mut verdict) => {
            Hidden::new(to, &secret, "").remove_from(&mut verdict);
            accounts::note(app, &account.name, &verdict).await?;
            Err(verdict)
        }
    })
}

/// Returns the address for replies to a message. Returns `None` if the account has no setting `reply_to`. All attempts to send
/// a message have the same address.
async fn reply_to(
    app: &App,
    account: &channel_account::Defined,
    requested: &Requested,
) -> Result<Option<String>, Error> {
    let mailbox = account
        .settings
        .get("reply_to")
        .and_then(serde_json::Value::as_str);
    let is_about_ticket = !requested.ticket.0.is_empty();
    let Some(mailbox) = mailbox.filter(|mailbox| !mailbox.is_empty() && is_about_ticket) else {
        return Ok(None);
    };
    let key = app.token_keys().await?.newest;
    Ok(reply_address::sign(
        &key,
        mailbox,
        &requested.ticket,
        &requested.person,
        requested.due,
    ))
}

/// Returns the id with which the desk marks its messages. The id does not change if other keys are rotated.
async fn instance(app: &App) -> Result<String, Error> {
    let key = app.keys().await?.fingerprint;
    let hash = blake3::keyed_hash(&key, b"instance of the desk in its messages").to_hex();
    Ok(hash.as_str().chars().take(INSTANCE_DIGITS).collect())
}

/// A mail with the data that the desk needs to evaluate the reply of the mail relay.
struct Mailed {
    mail: Mail,
    codec: &'static dyn Channel,
    account: channel_account::Defined,
    to: String,
    hidden: Hidden,
}

#[async_trait]
impl Transport for Mailed {
    fn target(&self) -> String {
        format!("smtp://{}:{}", self.mail.host, self.mail.port)
    }

    fn method(&self) -> &'static str {
        "MAIL"
    }

    fn timeout(&self) -> Duration {
        self.mail.timeout
    }

    async fn send(self: Box<Self>, app: &App) -> Sent {
        let reply = app.mailer.send(&self.mail).await;
        let code = reply.as_ref().ok().map(|reply| reply.code);
        let response = Response::Mail(reply);
        let (verdict, policy) = judge(self.codec, &self.account, &self.to, &self.hidden, &response);
        (code, verdict, policy)
    }
}

/// Counts one message in the rate limits of the channel account (the configured sender) and of the receiver, and returns
/// `None`. If a limit is already reached, returns a verdict (the result of the attempt) that postpones the attempt until
/// the turn of the message.
async fn limited(
    app: &App,
    account: &channel_account::Defined,
    delivery: &Delivery,
) -> Result<Option<Verdict>, Error> {
    let (Some(requested), Some(codec)) = (&delivery.requested, channel::find(&account.channel))
    else {
        return Ok(None);
    };
    let limits = codec.target_limits();
    if account.per_minute.is_none() && limits.is_empty() {
        return planned(app, account).await;
    }
    let turn = Turn {
        id: turn_id(requested),
        is_critical: is_critical(app, requested).await?,
        since: requested.due,
        is_new: delivery.attempts.made == 0,
    };
    let name = account.name.as_str();
    let to = requested.to.value.as_str().unwrap_or_default();
    let target = codec.target(account, to);
    let mut counted = None;
    if !limits.is_empty() {
        match rate::take_target(app, name, target, limits, &turn).await? {
            Taken::At(at) => counted = Some(at),
            Taken::Wait { after_ms, limit } => {
                return Ok(Some(throttled_by_receiver(limit, after_ms)));
            }
        }
    }
    let wait = match account.per_minute {
        Some(per_minute) => {
            let after_ms = rate::take_turn(app, name, per_minute, &turn).await?;
            after_ms.map(|after_ms| throttled(per_minute, after_ms))
        }
        None => None,
    };
    let wait = match wait {
        Some(verdict) => Some(verdict),
        None => planned(app, account).await?,
    };
    if let (Some(_), Some(at)) = (&wait, counted) {
        rate::give_back(app, name, target, limits, at).await?;
    }
    Ok(wait)
}

/// Counts one call in the plan of the account. If the plan allows no further call in this month, returns a verdict (the result
/// of the attempt) that postpones the attempt until the next month.
async fn planned(app: &App, account: &channel_account::Defined) -> Result<Option<Verdict>, Error> {
    let codec = channel::find(&account.channel);
    let Some(most) = codec.and_then(|codec| codec.calls_per_month(account)) else {
        return Ok(None);
    };
    let wait = rate::take_call(app, &account.name, most).await?;
    Ok(wait.map(|after_ms| Verdict::Throttled {
        reason: format!("the plan of the account allows {most} calls in one month").into(),
        after_ms,
    }))
}

/// Counts one update of a message, or one request for a receipt, in the limits of the channel account. If a limit is already
/// reached, returns a verdict (the result of the attempt) that postpones the attempt. Messages that wait for their turn go
/// first.
async fn limited_update(
    app: &App,
    account: &channel_account::Defined,
) -> Result<Option<Verdict>, Error> {
    if let Some(per_minute) = account.per_minute
        && let Some(after_ms) = rate::take(app, &account.name, per_minute).await?
    {
        return Ok(Some(throttled(per_minute, after_ms)));
    }
    planned(app, account).await
}

fn throttled(per_minute: u32, after_ms: i64) -> Verdict {
    Verdict::Throttled {
        reason: format!("the account may send {per_minute} messages in one minute").into(),
        after_ms,
    }
}

fn throttled_by_receiver(limit: TargetLimit, after_ms: i64) -> Verdict {
    let (most, seconds) = (limit.most, limit.period_ms / 1_000);
    Verdict::Throttled {
        reason: format!(
            "the account may send {most} messages to one receiver in {seconds} seconds"
        )
        .into(),
        after_ms,
    }
}

/// Returns a text that identifies a delivery among the deliveries of its account.
fn turn_id(requested: &Requested) -> String {
    let digest = requested.digest.as_ref();
    let digest = digest.map_or("", |of_digest| of_digest.digest.as_str());
    let due = requested.due.0.to_string();
    let mut id = hex(&command_id(&[
        "turn",
        &requested.notification,
        digest,
        &due,
    ]));
    id.truncate(TURN_DIGITS);
    id
}

/// Returns true if the message is about a critical ticket. A digest is not critical, because critical notifications do not
/// wait for a digest. An answer to a mail is not critical, because it belongs to no notification.
async fn is_critical(app: &App, requested: &Requested) -> Result<bool, Error> {
    if requested.digest.is_some() {
        return Ok(false);
    }
    let Some(notification) = requested.notifications().next() else {
        return Ok(false);
    };
    let loaded = app.ledger.load::<Notification>(notification);
    let fact = loaded.await?.aggregate.0.requested;
    Ok(fact.is_some_and(|fact| fact.is_critical))
}

/// Returns the verdict (the result of the attempt) for a response, and the policy for further attempts. The
/// verdict contains no addresses and no secrets.
fn judge(
    codec: &dyn Channel,
    account: &channel_account::Defined,
    to: &str,
    hidden: &Hidden,
    response: &Response,
) -> (Verdict, Policy) {
    let mut verdict = codec.verdict_for(account, to, response);
    hidden.remove_from(&mut verdict);
    receipt::expect(codec, account, &mut verdict);
    if let Verdict::Refused {
        class: class @ (FailureClass::Credential | FailureClass::Permanent),
        code,
        reason,
    } = &verdict
    {
        // The provider rejected the credentials or the message. An operator must correct such a failure, so the
        // desk logs a warning. A failure because of a wrong address concerns only one person, so the desk does
        // not log it here.
        tracing::warn!(
            account = account.name.as_str(),
            ?class,
            code,
            %reason,
            "a provider refused a message"
        );
    }
    (verdict, POLICY)
}
