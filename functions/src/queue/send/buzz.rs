//! Makes a sent message urgent, if it belongs to a step of an escalation with `buzz`. The message then makes a sound on the
//! device of the person. The desk sends this request once for each message and stores its result.

use domain::attempt::Verdict;
use domain::notification::Notification;
use domain::notification::content::Content;
use domain::notification::delivery::{Command, Delivery};
use domain::notification::escalation::Escalation;
use events::Meta;
use events::delivery::{Buzzed, FailureClass, Requested};
use events::escalation::EscalationEvent;
use events::notification::Fact;
use infra::Error;
use infra::channel::{Outgoing as Message, Response};
use infra::http::origin;
use infra::ledger::command_id;

use super::hidden::Hidden;
use super::{Credentials, credentials, instance, limited_update, usable};
use crate::App;
use crate::app::history::history_from;
use crate::queue::runner;

/// The number of the only attempt.
const ATTEMPT: u32 = 1;

/// Makes the sent message of a delivery urgent, if its step requires this. A second call does nothing.
pub(super) async fn after(app: &App, delivery: &Delivery, stream: &str) -> Result<(), Error> {
    let (Some(requested), Some(message)) = (&delivery.requested, delivery.sent_message()) else {
        return Ok(());
    };
    let codec = infra::channel::find(&requested.channel);
    let account = app.configuration.channel_account(&requested.account);
    let (Some(codec), Some(account)) = (codec, account.await?) else {
        return Ok(());
    };
    if delivery.is_buzzed
        || !codec.buzzes(&account)
        || app.ledger.clock.now() >= requested.expires
        || !is_wanted(app, requested).await?
    {
        return Ok(());
    }
    let Some(verdict) = ask(app, stream, requested, message).await? else {
        return Ok(());
    };
    let command = Command::Buzz(buzzed(&verdict));
    let meta = Meta::system(&*requested.notification, &*requested.notification);
    let id = command_id(&["buzz", stream]);
    app.must_execute::<Delivery>(stream, id, meta, &command)
        .await
        .map(drop)
}

/// Returns true if the message belongs to a step of an escalation with `buzz`.
async fn is_wanted(app: &App, requested: &Requested) -> Result<bool, Error> {
    let loaded = app.ledger.load::<Notification>(&requested.notification);
    let Some(notified) = loaded.await?.aggregate.0.requested else {
        return Ok(false);
    };
    let Some((stream, sequence)) = notified.cause.rsplit_once(':') else {
        return Ok(false);
    };
    if notified.fact != Fact::EscalationStep {
        return Ok(false);
    }
    let from = sequence.parse().unwrap_or(1);
    let history = history_from::<EscalationEvent>(&app.ledger, stream, from).await?;
    let Some(EscalationEvent::StepNotified(step)) = history.first().map(|one| &one.event) else {
        return Ok(false);
    };
    let state = app.ledger.load::<Escalation>(stream).await?.aggregate.0;
    let steps = state.started.map(|started| started.steps);
    let index = usize::try_from(step.step).unwrap_or_default();
    let index = index.checked_sub(1);
    let mut found = steps
        .iter()
        .zip(index)
        .filter_map(|(steps, at)| steps.get(at));
    Ok(found.any(|step| step.buzz))
}

/// Sends the request. Returns `None` if another worker sends it or has sent it.
async fn ask(
    app: &App,
    stream: &str,
    requested: &Requested,
    message: &str,
) -> Result<Option<Verdict>, Error> {
    let refused = |reason: &str| {
        let verdict = Verdict::refused(FailureClass::Permanent, "", reason);
        Ok(Some(verdict))
    };
    let (account, codec) = match usable(app, &requested.account).await? {
        Ok(usable) => usable,
        Err(verdict) => return Ok(Some(verdict)),
    };
    let content = serde_json::from_value::<Content>(requested.content.value.clone()).ok();
    let (Some(to), Some(content)) = (requested.to.value.as_str(), content) else {
        return refused("the address or the content was erased");
    };
    let Credentials { secret, granted } = match credentials(app, codec, &account, to).await? {
        Ok(credentials) => credentials,
        Err(verdict) => return Ok(Some(verdict)),
    };
    let token = granted.as_ref().map(|granted| granted.token.value.as_str());
    let hidden = Hidden::new(to, &secret, token.unwrap_or_default());
    let instance = instance(app).await?;
    let outgoing = Message {
        account: &account,
        secret: &secret,
        to,
        content: &content,
        id: stream.trim_start_matches("delivery-"),
        tag: "",
        token: token.unwrap_or_default(),
        reply_to: None,
        unsubscribe: None,
        instance: &instance,
        requested: requested.due,
        now: app.ledger.clock.now(),
        thread: None,
    };
    let request = match codec.buzz(&outgoing, message) {
        Ok(request) => request,
        Err(reason) => return refused(&reason),
    };
    let target = origin(&request.url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(runner::busy(&target));
    };
    // Without a turn, the message of the queue comes again. The buzz is the last means of a chain, so it is not omitted.
    if limited_update(app, &account).await?.is_some() {
        return Err(runner::busy(&target));
    }
    // The lease is the exclusive right of one worker to send the request.
    if !runner::lease(app, &format!("{stream}/buzz"), ATTEMPT).await? {
        return Ok(None);
    }
    let response = Response::Http(app.http.send(&request).await);
    if codec.refuses_token(&response) {
        app.tokens.discard(&account.name).await;
    }
    let mut verdict = codec.buzz_verdict(&response);
    hidden.remove_from(&mut verdict);
    Ok(Some(verdict))
}

/// Returns the event with the result of the request.
fn buzzed(verdict: &Verdict) -> Buzzed {
    let (class, code, reason) = match verdict {
        Verdict::Succeeded { .. } => (None, "", ""),
        Verdict::Refused {
            class,
            code,
            reason,
        } => (Some(*class), code.as_str(), &**reason),
        Verdict::Throttled { reason, .. } => (Some(FailureClass::Throttled), "", &**reason),
        Verdict::Failed { reason, .. } => (Some(FailureClass::Permanent), "", &**reason),
        Verdict::Unknown { reason } => (Some(FailureClass::Unknown), "", &**reason),
        Verdict::Retry { reason, .. } => (Some(FailureClass::Transient), "", &**reason),
        Verdict::Poll { .. } => (Some(FailureClass::Permanent), "", "no result"),
    };
    Buzzed {
        class,
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}
