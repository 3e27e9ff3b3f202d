//! Chooses the thread of a message. All messages about a ticket in one conversation of a chat are in one thread: the first
//! one is the root, and the later ones answer it. The stream of the thread names the delivery of the root, and the
//! stream of this delivery contains the id of the message at the provider.

use domain::attempt::Verdict;
use domain::notification::chat_thread::{self, ChatThread, Command};
use domain::notification::delivery::{Delivery, End, LOST_ROOT};
use events::channel_account::Defined;
use events::chat_thread::{RootReason, Rooted};
use events::delivery::Requested;
use events::{Meta, Moment};
use infra::channel::{Channel, Conversation, Response};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;

/// Time for which a message waits for the root of its thread, in milliseconds. Afterwards, the message is sent outside of
/// the thread.
const WAIT_MAX_MS: i64 = 60_000;
/// Pause in milliseconds before the desk checks again whether the root was sent.
const WAIT_MS: i64 = 2_000;
/// Pause in milliseconds before a message is sent again because its thread does not exist any more.
const LOST_MS: i64 = 1_000;
/// Maximum number of roots that one attempt replaces. Other deliveries can replace the root at the same time.
const ROUNDS_MAX: usize = 3;

/// The thread of a ticket in one conversation.
struct Place<'a> {
    stream: String,
    requested: &'a Requested,
    /// True if the conversation belongs to one person, whose address can change.
    is_of_person: bool,
}

/// Returns the thread of a message. Returns `None` if the message or its channel has no threads.
fn place_of<'a>(
    account: &Defined,
    codec: &dyn Channel,
    requested: &'a Requested,
) -> Option<Place<'a>> {
    let to = requested.to.value.as_str()?;
    requested.thread?;
    let (conversation, is_of_person) = match codec.conversation(account, to) {
        Conversation::WithoutThreads => return None,
        Conversation::OfPerson => (requested.person.as_str(), true),
        Conversation::Shared(id) => (id, false),
    };
    Some(Place {
        stream: chat_thread::stream(&account.name, &requested.ticket, conversation),
        requested,
        is_of_person,
    })
}

/// Returns the id of the root that the message of a delivery answers. Returns `None` if the message is a root itself, or
/// belongs to no thread. Returns a verdict (the result of the attempt) as the inner `Err` if the root is just being sent.
pub(super) async fn root_of(
    app: &App,
    account: &Defined,
    codec: &dyn Channel,
    delivery: &Delivery,
    stream: &str,
) -> Result<Result<Option<String>, Verdict>, Error> {
    let place = delivery.requested.as_ref();
    let Some(place) = place.and_then(|requested| place_of(account, codec, requested)) else {
        return Ok(Ok(None));
    };
    let loaded = app.ledger.load::<ChatThread>(&place.stream).await?;
    let mut root = loaded.aggregate.0.root;
    for _ in 0..ROUNDS_MAX {
        let because = match &root {
            None => RootReason::First,
            Some(root) if root == stream => return Ok(Ok(None)),
            Some(root) => match state(app, &place, delivery, root).await? {
                State::Sent(message) => return Ok(Ok(Some(message))),
                State::Open if place.requested.due.plus_ms(WAIT_MAX_MS) > now(app) => {
                    return Ok(Err(Verdict::Throttled {
                        reason: "the first message of the thread is just being sent".into(),
                        after_ms: WAIT_MS,
                    }));
                }
                State::Open => return Ok(Ok(None)),
                State::Unusable(because) => because,
            },
        };
        root = replace(app, &place, root, stream, because).await?;
    }
    Ok(Ok(None))
}

/// Makes a delivery the root of its thread, if its message was sent outside of the thread, because the root does not exist
/// any more. A second call does nothing.
pub(super) async fn keep_root(app: &App, delivery: &Delivery, stream: &str) -> Result<(), Error> {
    let (Some(requested), Some(End::Succeeded(sent))) = (&delivery.requested, &delivery.end) else {
        return Ok(());
    };
    if sent.lost_root.is_empty() {
        return Ok(());
    }
    let account = app.configuration.channel_account(&requested.account);
    let codec = infra::channel::find(&requested.channel);
    let (Some(account), Some(codec)) = (account.await?, codec) else {
        return Ok(());
    };
    let Some(place) = place_of(&account, codec, requested) else {
        return Ok(());
    };
    let loaded = app.ledger.load::<ChatThread>(&place.stream).await?;
    let Some(root) = loaded.aggregate.0.root.filter(|root| root != stream) else {
        return Ok(());
    };
    let of_root = app.ledger.load::<Delivery>(&root).await?.aggregate.0;
    if message(&of_root) == Some(sent.lost_root.as_str()) {
        replace(app, &place, Some(root), stream, RootReason::Lost).await?;
    }
    Ok(())
}

/// Returns the verdict for a response to a message in a thread, if the thread does not exist any more. `root` is the id of
/// the root.
pub(super) fn lost(codec: &dyn Channel, root: &str, response: &Response) -> Option<Verdict> {
    codec.refuses_thread(response).then(|| Verdict::Retry {
        reason: reason(root).into(),
        after_ms: Some(LOST_MS),
    })
}

/// Notes in the verdict of a sent message that the provider sent it outside of the thread with the root `root`.
pub(super) fn note_left(
    codec: &dyn Channel,
    root: &str,
    response: &Response,
    verdict: &mut Verdict,
) {
    if let Verdict::Succeeded { outputs, .. } = verdict
        && codec.left_thread(response)
    {
        outputs.insert(LOST_ROOT.to_owned(), root.to_owned());
    }
}

/// Returns the reason of a failed attempt whose thread does not exist any more.
fn reason(root: &str) -> String {
    format!("the first message of the thread does not exist any more ({root})")
}

/// The state of the root of a thread.
enum State {
    /// The provider accepted the root. The text is its id.
    Sent(String),
    /// The root is just being sent.
    Open,
    /// Another message must be the root.
    Unusable(RootReason),
}

async fn state(
    app: &App,
    place: &Place<'_>,
    delivery: &Delivery,
    root: &str,
) -> Result<State, Error> {
    let of_root = app.ledger.load::<Delivery>(root).await?.aggregate.0;
    let address = of_root.requested.as_ref().map(|one| &one.to.value);
    if place.is_of_person && address != Some(&place.requested.to.value) {
        return Ok(State::Unusable(RootReason::Moved));
    }
    if of_root.is_open() {
        return Ok(State::Open);
    }
    let Some(id) = message(&of_root) else {
        return Ok(State::Unusable(RootReason::Failed));
    };
    // The last attempt of this delivery has found out that the root does not exist any more.
    let failure = delivery.last_failure.as_ref();
    if failure.is_some_and(|failure| failure.reason == reason(id)) {
        return Ok(State::Unusable(RootReason::Lost));
    }
    Ok(State::Sent(id.to_owned()))
}

/// Returns the id of the sent message at the provider.
fn message(delivery: &Delivery) -> Option<&str> {
    match &delivery.end {
        Some(End::Succeeded(sent)) if !sent.message.is_empty() => Some(sent.message.as_str()),
        _ => None,
    }
}

/// Makes the delivery with the given stream the root of the thread. If another delivery has replaced the root `replaces`,
/// does nothing. Returns the current root.
async fn replace(
    app: &App,
    place: &Place<'_>,
    replaces: Option<String>,
    stream: &str,
    because: RootReason,
) -> Result<Option<String>, Error> {
    let requested = place.requested;
    let command = Command {
        root: Rooted {
            account: requested.account.clone(),
            ticket: requested.ticket.clone(),
            delivery: stream.to_owned(),
            because,
        },
        replaces,
    };
    let command_envelope = CommandEnvelope {
        stream: place.stream.clone(),
        command_id: app.ledger.fresh_id(),
        meta: Meta::system(&*requested.notification, &*requested.notification),
    };
    let outcome = app
        .ledger
        .execute::<ChatThread>(&command_envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(outcome.state.root)
}

fn now(app: &App) -> Moment {
    app.ledger.clock.now()
}
