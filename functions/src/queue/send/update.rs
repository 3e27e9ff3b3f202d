//! Updates sent messages in place. An update shows how far the work is, and removes the buttons that do not fit any
//! more. It uses the limits of its account, and it never sends a new message.

use domain::attempt::Verdict;
use domain::notification::Notification;
use domain::notification::action::Action;
use domain::notification::content::Content;
use domain::notification::delivery::{Command, Delivery};
use domain::notification::message_update::{EXPIRES_MS, RequestUpdate, Update, UpdateReport};
use domain::ticket::Ticket;
use events::delivery::{FailureClass, Progress, Requested};
use events::{Meta, Moment, PersonId, channel_account};
use infra::Error;
use infra::channel::{Channel, Outgoing as Message, Response, Updates};
use infra::http::{HttpRequest, origin};
use infra::ledger::command_id;

use super::hidden::Hidden;
use super::{Credentials, credentials, instance, limited_update, usable};
use crate::App;
use crate::app::notifications::actions::Sent;
use crate::app::notifications::templates::formats;
use crate::app::notifications::{accounts, actions, preferences, progress};
use crate::app::tickets;
use crate::queue::runner;

/// Requests an update of the message that a delivery has sent, and makes the first attempt. `id` identifies this call. The
/// update shows what happened at the time `at`. If this time is too long ago, for example because the desk reads all events
/// again after a loss of the views, the message stays as it is.
pub(super) async fn request(
    app: &App,
    id: &str,
    stream: &str,
    (to, by, at): (Progress, Option<PersonId>, Option<Moment>),
    meta: Meta,
) -> Result<(), Error> {
    let delivery = load(app, stream).await?;
    let Some(requested) = &delivery.requested else {
        return Ok(());
    };
    let account = app.configuration.channel_account(&requested.account);
    let account = account.await?;
    let codec = infra::channel::find(&requested.channel);
    let updates = match (&account, codec) {
        (Some(account), Some(codec)) => codec.updates(account),
        _ => Updates::Never,
    };
    let is_possible = match updates {
        Updates::Never => false,
        // The only update of the message is kept for the state after which no button fits.
        Updates::Once => delivery.updates == 0 && to != Progress::Acknowledged,
        Updates::Always => true,
    };
    if !is_possible {
        return Ok(());
    }
    let now = app.ledger.clock.now();
    let at = at.unwrap_or(now);
    if at.plus_ms(EXPIRES_MS) < now {
        tracing::info!(
            stream,
            "a message is not updated, because the event is older than 6 hours"
        );
        return Ok(());
    }
    let command = Command::RequestUpdate(RequestUpdate {
        to,
        by,
        at,
        now,
        age_max_ms: codec.and_then(Channel::update_age_max_ms),
    });
    app.must_execute::<Delivery>(stream, command_id(&["update", id]), meta, &command)
        .await?;
    attempt(app, stream).await
}

/// Makes the next attempt to update the message of a delivery. Does nothing before the time of this attempt.
pub(super) async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
    let delivery = load(app, stream).await?;
    let (Some(requested), Some((update, due))) = (&delivery.requested, delivery.open_update())
    else {
        return Ok(());
    };
    if due > app.ledger.clock.now() {
        return Ok(());
    }
    let attempt = update.attempts + 1;
    let verdict = match prepare(app, stream, &delivery, requested, update).await? {
        Ok(prepared) => {
            let target = origin(&prepared.request.url);
            let Some(_slot) = app.targets.enter(&target) else {
                return Err(runner::busy(&target));
            };
            // The lease is the exclusive right of one worker to make the attempt.
            let name = format!("{stream}/update/{:?}", update.to);
            if !runner::lease(app, &name, attempt).await? {
                return Ok(());
            }
            match admit(app, &prepared.account).await? {
                Some(verdict) => verdict,
                None => send(app, prepared).await?,
            }
        }
        Err(verdict) => verdict,
    };
    let at = app.ledger.clock.now();
    let command = Command::RecordUpdate(UpdateReport {
        to: update.to,
        attempt,
        verdict,
        at,
    });
    let meta = Meta::system(&*requested.notification, &*requested.notification);
    let number = format!("{:?}/{attempt}", update.to);
    let id = command_id(&["update", stream, &number]);
    app.must_execute::<Delivery>(stream, id, meta, &command)
        .await
        .map(drop)
}

/// The request for one attempt, with the data for its verdict.
struct Prepared {
    request: HttpRequest,
    account: channel_account::Defined,
    codec: &'static dyn Channel,
    hidden: Hidden,
}

/// Creates the request for the next attempt. If no request can be sent, returns the verdict (the result of the
/// attempt) as the inner `Err`.
async fn prepare(
    app: &App,
    stream: &str,
    delivery: &Delivery,
    requested: &Requested,
    update: &Update,
) -> Result<Result<Prepared, Verdict>, Error> {
    let refused = |reason: &str| Ok(Err(Verdict::refused(FailureClass::Permanent, "", reason)));
    let (account, codec) = match usable(app, &requested.account).await? {
        Ok(usable) => usable,
        Err(verdict) => return Ok(Err(verdict)),
    };
    let content = serde_json::from_value::<Content>(requested.content.value.clone()).ok();
    let (Some(to), Some(content)) = (requested.to.value.as_str(), content) else {
        return refused("the address or the content was erased");
    };
    let Some(message) = delivery.sent_message() else {
        return refused("the provider returned no id of the message");
    };
    if codec.updates(&account) == Updates::Once && content.actions.is_empty() {
        return refused("the message has no buttons");
    }
    let (content, state) = updated(app, requested, update, content).await?;
    let Credentials { secret, granted } = match credentials(app, codec, &account, to).await? {
        Ok(credentials) => credentials,
        Err(verdict) => return Ok(Err(verdict)),
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
    let request = match codec.update(&outgoing, message, &state) {
        Ok(request) => request,
        Err(reason) => return refused(&reason),
    };
    Ok(Ok(Prepared {
        request,
        account,
        codec,
        hidden,
    }))
}

/// Returns the new content of a message, and a short text that shows how far the work is. After an acknowledgement,
/// the message has the buttons that its person can still use. After all later states, it has none.
async fn updated(
    app: &App,
    requested: &Requested,
    update: &Update,
    mut content: Content,
) -> Result<(Content, String), Error> {
    let language = preferences::read(app, &requested.person).await?.language;
    let by = match &update.by {
        Some(by) => Some(app.people.name(by).await?),
        None => None,
    };
    let state = progress::wording(update.to, by.as_deref(), language);
    progress::show(&mut content, &state, language);
    content.actions = Vec::new();
    if update.to == Progress::Acknowledged {
        let loaded = app.ledger.load::<Notification>(&requested.notification);
        let card = tickets::card(app, &requested.ticket).await?;
        if let (Some(fact), Some(mut card)) = (loaded.await?.aggregate.0.requested, card) {
            let stream = requested.ticket.stream();
            card.ticket = app.ledger.load::<Ticket>(&stream).await?.aggregate.0;
            let to = requested.to.value.as_str().unwrap_or_default();
            let sent = Sent {
                notification: &requested.notification,
                account: &requested.account,
                is_shared: actions::is_shared(app, &requested.account, to).await?,
            };
            content.actions = actions::offered(app, sent, &fact, &card, language).await?;
            // A claim acknowledges the node too, but the ticket would still accept the acknowledgement.
            let acknowledge = Action::Acknowledge.name();
            content.actions.retain(|action| action.name != acknowledge);
        }
    }
    let content = if formats::has_own_body(&requested.channel) {
        content
    } else {
        content.flattened()
    };
    Ok((content, state))
}

/// Counts the update in the limits of its account. Returns a verdict (the result of the attempt) if the update must
/// wait.
async fn admit(app: &App, account: &channel_account::Defined) -> Result<Option<Verdict>, Error> {
    match accounts::admit(app, &account.name).await? {
        Some(verdict) => Ok(Some(verdict)),
        None => limited_update(app, account).await,
    }
}

async fn send(app: &App, prepared: Prepared) -> Result<Verdict, Error> {
    let Prepared {
        request,
        account,
        codec,
        hidden,
    } = prepared;
    let response = app.http.send(&request).await;
    let answer = Response::Http(response.clone());
    let mut verdict = codec.update_verdict(&answer);
    if codec.refuses_token(&answer) {
        app.tokens.discard(&account.name).await;
        verdict = Verdict::retry("the access token is not valid any more");
    }
    hidden.remove_from(&mut verdict);
    runner::delay(&mut verdict, &response, app.ledger.clock.now());
    if let Err(error) = accounts::note(app, &account.name, &verdict).await {
        tracing::warn!(%error, "the result of an update is not counted");
    }
    Ok(verdict)
}

async fn load(app: &App, stream: &str) -> Result<Delivery, Error> {
    Ok(app.ledger.load::<Delivery>(stream).await?.aggregate.0)
}
