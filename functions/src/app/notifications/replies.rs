//! Sends answers to the messages that people send from chats: to an address in the message, or through the channel account.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use domain::intent::{Intent, Work, effect_id};
use domain::notification::content::Content;
use events::channel_account::Defined;
use infra::Error;
use infra::channel::{self, Answering, Channel};
use infra::http::{HttpRequest, Url, origin};
use infra::inbound::{Inbound, Place, ReplyTo};
use infra::keys::seal::{NONCE_BYTES, open_bytes, seal_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inbound::{self, Stored};
use super::{accounts, tokens};
use crate::App;

/// Maximum time to send an answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of the response to an answer, in bytes.
const RESPONSE_BYTES_MAX: usize = 4_096;

/// Sends an answer to the address in the message. The address must belong to the platform, or to the host of the channel
/// account. A failure is only logged, because the command is already done.
pub(super) async fn send(
    app: &App,
    platform: &dyn Inbound,
    account: Option<&Defined>,
    to: &ReplyTo,
    text: &str,
) {
    let has_expired = to.until.is_some_and(|until| until < app.ledger.clock.now());
    if has_expired || !may_receive(platform, account, &to.url) {
        tracing::warn!(
            platform = platform.name(),
            has_expired,
            "no answer is sent to a chat message"
        );
        return;
    }
    let request = HttpRequest {
        method: "POST".into(),
        url: to.url.clone(),
        headers: Vec::new(),
        body: platform.reply(text).to_string().into_bytes(),
        timeout: REPLY_TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    };
    let Some(_slot) = app.targets.enter(&origin(&to.url)) else {
        tracing::warn!(
            platform = platform.name(),
            "an answer to a chat message was not sent, because too many requests are open"
        );
        return;
    };
    if app.http.send(&request).await.is_err() {
        tracing::warn!(
            platform = platform.name(),
            "an answer to a chat message was not sent"
        );
    }
}

/// An answer that a channel account sends.
#[derive(Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) text: String,
    /// The new content of the message with the pressed button. `None` if the message must not change.
    pub(super) content: Option<Content>,
}

/// Requests that the account sends an answer. Only the queue `send` may use the secrets of channel accounts. The answer is
/// encrypted, because it contains texts of a ticket. `inbound` is the name of the stream of the message.
pub(super) async fn request(
    app: &App,
    inbound: &str,
    account: &str,
    reply: &Reply,
) -> Result<(), Error> {
    let keys = app.keys().await?;
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.rng.fill(&mut nonce);
    let plain = serde_json::to_vec(reply).unwrap_or_default();
    let sealed = seal_bytes(&keys.files, nonce, &purpose(inbound), &plain);
    let intent = Intent::SendAnswer {
        inbound: inbound.to_owned(),
        account: account.to_owned(),
        sealed: STANDARD_NO_PAD.encode(sealed),
    };
    let id = effect_id("send_answer", inbound, account);
    let queue = intent.queue();
    let body = serde_json::to_vec(&Work::Intent(intent)).unwrap_or_default();
    let now = app.ledger.clock.now();
    app.queue.put(queue, &id, &body, now).await
}

/// Sends an answer that was requested with the function `request`.
pub async fn deliver(app: &App, inbound: &str, account: &str, sealed: &str) -> Result<(), Error> {
    let keys = app.keys().await?;
    let plain = STANDARD_NO_PAD.decode(sealed).ok();
    let plain = plain.and_then(|sealed| open_bytes(&keys.files, &purpose(inbound), &sealed).ok());
    let reply = plain.and_then(|plain| serde_json::from_slice::<Reply>(&plain).ok());
    let reply = reply.ok_or_else(|| Error::corrupt(format!("the answer to {inbound}")))?;
    let Stored {
        platform, message, ..
    } = inbound::stored(app, inbound).await?;
    let (Some(platform), Some(place)) = (infra::inbound::find(&platform), &message.place) else {
        return Ok(());
    };
    let through = Through {
        platform,
        user: &message.user,
        place,
        reply: &reply,
        id: inbound.trim_start_matches("inbound-"),
    };
    through.send(app, account).await;
    Ok(())
}

/// Returns the text that binds an encrypted answer to its message.
fn purpose(inbound: &str) -> String {
    format!("answer to {inbound}")
}

/// An answer with its place at the platform.
struct Through<'a> {
    platform: &'a dyn Inbound,
    /// The id of the person on the platform.
    user: &'a str,
    place: &'a Place,
    reply: &'a Reply,
    /// An id of the answer: 32 hexadecimal digits.
    id: &'a str,
}

impl Through<'_> {
    /// Sends the answer. A failure is only logged, because the command is already done. If the access token is refused, the
    /// answer is sent once more with a new token.
    async fn send(&self, app: &App, account: &str) {
        if let Err(reason) = self.sent(app, account).await {
            tracing::warn!(account, reason, "an answer to a chat message was not sent");
        }
    }

    async fn sent(&self, app: &App, account: &str) -> Result<(), String> {
        let defined = app.configuration.channel_account(account).await;
        let defined = defined.map_err(|error| error.to_string())?;
        let codec = defined.as_ref().and_then(|one| self.codec(one));
        let (Some(defined), Some(codec)) = (&defined, codec) else {
            return Ok(());
        };
        let waits = accounts::waits(app, account).await;
        if waits.map_err(|error| error.to_string())?.is_some() {
            return Err("the account is stopped or paused".into());
        }
        let secret = accounts::secret(app, account).await;
        let secret = secret.map_err(|error| error.to_string())?;
        if let Sent::TokenRefused = self.attempt(app, codec, defined, &secret).await? {
            app.tokens.discard(account).await;
            self.attempt(app, codec, defined, &secret).await?;
        }
        Ok(())
    }

    /// Returns the channel of an account that sends to people of the platform.
    fn codec(&self, account: &Defined) -> Option<&'static dyn Channel> {
        let codec = channel::find(&account.channel)?;
        let is_same = codec.address_kind() == self.platform.address_kind();
        (account.is_enabled && is_same).then_some(codec)
    }

    async fn attempt(
        &self,
        app: &App,
        codec: &dyn Channel,
        account: &Defined,
        secret: &str,
    ) -> Result<Sent, String> {
        let granted = tokens::granted(app, codec, account, secret).await;
        let granted = granted.map_err(|_| "the provider granted no access token".to_owned())?;
        let token = granted.as_ref().map(|granted| granted.token.value.as_str());
        let request = codec.answer(&Answering {
            account,
            secret,
            token: token.unwrap_or_default(),
            user: self.user,
            place: self.place,
            text: &self.reply.text,
            content: self.reply.content.as_ref(),
            id: self.id,
        })?;
        let Some(mut request) = request else {
            return Ok(Sent::Done);
        };
        request.timeout = REPLY_TIMEOUT;
        let slot = app.targets.enter(&origin(&request.url));
        let _slot = slot.ok_or_else(|| "too many requests are open".to_owned())?;
        let response = channel::Response::Http(app.http.send(&request).await);
        if codec.refuses_token(&response) && granted.is_some_and(|one| !one.is_new) {
            return Ok(Sent::TokenRefused);
        }
        match response {
            channel::Response::Http(Ok(response)) if response.is_success() => Ok(Sent::Done),
            channel::Response::Http(Ok(response)) => Err(format!(
                "the provider answered with HTTP status {}",
                response.status
            )),
            channel::Response::Http(Err(error)) => Err(error.to_string()),
            channel::Response::Mail(_) => Ok(Sent::Done),
        }
    }
}

/// The result of an attempt to send an answer.
enum Sent {
    Done,
    TokenRefused,
}

/// Returns true if answers may be sent to an address.
fn may_receive(platform: &dyn Inbound, account: Option<&Defined>, url: &str) -> bool {
    let Ok(url) = url.parse::<Url>() else {
        return false;
    };
    let is_of_platform = url.scheme() == "https"
        && url.port().is_none()
        && platform.reply_host().is_some()
        && url.host_str() == platform.reply_host();
    let own = account.and_then(|account| account.settings.get("url"));
    let own = own.and_then(Value::as_str).map(str::parse::<Url>);
    let is_own = own.is_some_and(|own| own.is_ok_and(|own| own.origin() == url.origin()));
    is_of_platform || is_own
}
