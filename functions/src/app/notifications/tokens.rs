//! Gets and stores the access tokens of channel accounts (configured senders of messages). A token is only in the memory of
//! this process, because everybody who knows it can send messages. At most one worker of the process asks a provider for
//! the token of an account at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use domain::attempt::Verdict;
use events::Moment;
use events::channel_account::Defined;
use infra::channel::{Access, Channel, Token};
use infra::http::{HttpRequest, origin};
use infra::ledger::command_id;

use crate::App;

/// A token is replaced this time before it expires, in milliseconds, so that it does not expire during a request. A token
/// with a short lifetime is replaced after half of its lifetime.
const EARLY_MS: i64 = 200_000;

/// The stored token of one account. `None` until the account needs a token.
type Slot = Arc<tokio::sync::Mutex<Option<Stored>>>;

/// The access tokens of all channel accounts. There are never more tokens than accounts.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<HashMap<String, Slot>>);

#[derive(Debug)]
struct Stored {
    /// A hash of the settings and the secret of the account. A token of earlier settings is not used.
    made_with: [u8; 16],
    token: Arc<Token>,
    replaced_at: Moment,
}

/// An access token, and whether the provider issued it for this attempt.
#[derive(Clone, Debug)]
pub struct Granted {
    pub token: Arc<Token>,
    /// True if the token is new. If the provider refuses a new token, the credentials of the account are wrong.
    pub is_new: bool,
}

impl Tokens {
    fn slot(&self, account: &str) -> Slot {
        let mut slots = self.0.lock().expect("no holder panics");
        slots.entry(account.to_owned()).or_default().clone()
    }

    /// Removes the token of an account because the provider refused it.
    pub async fn discard(&self, account: &str) {
        *self.slot(account).lock().await = None;
    }
}

/// Returns the access token of an account. Returns `None` if its channel needs no token. If the provider grants no token,
/// returns the verdict (the result of the attempt to send a message).
pub async fn granted(
    app: &App,
    codec: &dyn Channel,
    account: &Defined,
    secret: &str,
) -> Result<Option<Granted>, Verdict> {
    let now = app.ledger.clock.now();
    let settings = serde_json::to_string(account).unwrap_or_default();
    let made_with = command_id(&["token", &settings, secret]);
    let slot = app.tokens.slot(&account.name);
    let mut stored = slot.lock().await;
    if let Some(stored) = &*stored
        && stored.made_with == made_with
        && now < stored.replaced_at
    {
        return Ok(Some(Granted {
            token: stored.token.clone(),
            is_new: false,
        }));
    }
    // An operator can correct the secret, so another attempt follows.
    let access = codec.access(account, secret, now).map_err(Verdict::retry)?;
    let token = match access {
        Access::Free => return Ok(None),
        Access::Made(token) => token,
        Access::Asked(request) => ask(app, codec, &request).await?,
    };
    let lifetime = token.lifetime_ms.max(0);
    let used_for = (lifetime - EARLY_MS).max(lifetime / 2);
    let token = Arc::new(token);
    *stored = Some(Stored {
        made_with,
        token: token.clone(),
        replaced_at: now.plus_ms(used_for),
    });
    Ok(Some(Granted {
        token,
        is_new: true,
    }))
}

async fn ask(app: &App, codec: &dyn Channel, request: &HttpRequest) -> Result<Token, Verdict> {
    let target = origin(&request.url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(Verdict::retry(format!(
            "{target} has its maximum of concurrent requests"
        )));
    };
    codec.token(&app.http.send(request).await)
}
