//! Handles channel accounts (configured senders of messages) in the API `/v1`. Superusers see the definition and the state
//! of each account, define new versions, and stop or start accounts in an emergency. An account is never deleted, because
//! deliveries name it. No request and no response contains a secret.

use axum::http::Method;
use events::app::Scope;
use serde::Serialize;
use serde_json::Value;

use super::admin::{changes_configuration, reads_operations};
use super::problem::{ApiResult, Problem};
use super::reply::{Time, not_empty, ok, time};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, post, put, segments};
use super::shape::{COUNT, Member, Shape, optional, quoted, required};
use super::stored_definitions::define;
#[cfg(test)]
use super::stored_definitions::definition_schema;
use crate::app::notifications::accounts::{self, Account, Switch};
use crate::app::notifications::definition_documents;
use crate::app::notifications::definitions::DefinitionKind;

/// Maximum length of the reason of a stop, in characters.
const REASON_MAX: usize = 400;

const REASON: Member = optional("reason", Shape::Text);
const ACCOUNT: &[Member] = &[
    required("channel", Shape::Text),
    optional("is_enabled", Shape::Flag),
    optional("per_minute", COUNT),
    optional(
        "repetition",
        Shape::Words(&["at_most_once", "at_least_once"]),
    ),
    optional("settings", Shape::Map(&Shape::Any)),
];

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/channel-accounts",
        "lists channel accounts with their states; for superusers",
    )
    .returning::<ChannelAccounts>(),
    get(
        "/v1/channel-accounts/{account}",
        "shows a channel account with its state; for superusers",
    )
    .returning::<ShownAccount>(),
    put(
        "/v1/channel-accounts/{account}",
        "defines a new version of a channel account, which sends the next messages; the server of a secret cannot change; for superusers",
        ACCOUNT,
    )
    .returning::<ShownAccount>(),
    post(
        "/v1/channel-accounts/{account}/stop",
        "stops a channel account; its deliveries wait unless another account can send; for superusers",
        &[REASON],
    )
    .returning::<ShownAccount>(),
    post(
        "/v1/channel-accounts/{account}/start",
        "starts a stopped channel account; for superusers",
        &[],
    )
    .returning::<ShownAccount>(),
    post(
        "/v1/channels/{channel}/stop",
        "stops all accounts that a channel has now; for superusers",
        &[REASON],
    )
    .returning::<ChannelAccounts>(),
    post(
        "/v1/channels/{channel}/start",
        "starts all stopped accounts of a channel; for superusers",
        &[],
    )
    .returning::<ChannelAccounts>(),
];

/// Channel accounts with their states.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChannelAccounts {
    channel_accounts: Vec<ShownAccount>,
}

/// A channel account with its state.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ChannelAccount")
)]
struct ShownAccount {
    name: String,
    channel: String,
    state: AccountState,
    /// True if most of the last messages failed, and the account has not recovered.
    is_degraded: bool,
    /// The end of the pause after failures. Then one message tests the account.
    paused_until: Option<Time>,
    /// The number of failures since the last success.
    failures: u32,
    /// The reason of the stop, or of the last failure.
    reason: Option<String>,
    /// The time of a success, at most one minute before the last one.
    last_success: Option<Time>,
    /// The name of the secret in the key store that the account needs. Null if the account needs none.
    secret: Option<String>,
    /// Whether the key store has this secret. Null if the account needs none, or if the function that answers requests may
    /// not read it (on AWS). `ledgerdesk doctor` shows it then.
    has_secret: Option<bool>,
    /// The members that a change of the account takes.
    #[cfg_attr(test, schemars(schema_with = "account_schema"))]
    definition: Value,
}

#[cfg(test)]
fn account_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    definition_schema(ACCOUNT)
}

/// The state of a channel account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum AccountState {
    Working,
    /// The desk waits after failures.
    Paused,
    /// A person stopped the account.
    Stopped,
    /// The definition of the account switches it off.
    Disabled,
}

/// The operations on channel accounts, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match segments(&call.path).as_slice() {
            ["channel-accounts"] => all(request).await,
            ["channel-accounts", name] if call.method == Method::PUT => {
                define(&request, DefinitionKind::Account, name).await?;
                one(&request, name).await
            }
            ["channel-accounts", name] => {
                reads_operations(&request).await?;
                one(&request, name).await
            }
            ["channel-accounts", name, verb] => switch_account(request, name, verb).await,
            ["channels", channel, verb] => switch_channel(request, channel, verb).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let accounts = accounts::all(&request.app).await?;
    Ok(ok(&page(&request, &accounts).await?))
}

async fn one(request: &Asked, name: &str) -> ApiResult {
    let account = accounts::one(&request.app, name).await?;
    let account = account.ok_or_else(|| {
        Problem::not_found(format!("there is no channel account {}", quoted(name)))
    })?;
    Ok(ok(&shown(request, &account).await?))
}

async fn switch_account(request: Asked, name: &str, verb: &str) -> ApiResult {
    let meta = changes_configuration(&request).await?;
    let wanted = wanted(&request, verb)?;
    if accounts::one(&request.app, name).await?.is_some() {
        accounts::switch(&request.app, name, &wanted, meta).await?;
    }
    one(&request, name).await
}

async fn switch_channel(request: Asked, channel: &str, verb: &str) -> ApiResult {
    let meta = changes_configuration(&request).await?;
    let wanted = wanted(&request, verb)?;
    let app = &request.app;
    let switched = accounts::switch_channel(app, channel, &wanted, &meta).await?;
    if switched.is_empty() {
        let detail = format!("the channel {} has no accounts", quoted(channel));
        return Err(Problem::not_found(detail));
    }
    Ok(ok(&page(&request, &switched).await?))
}

fn wanted(request: &Asked, verb: &str) -> Result<Switch, Problem> {
    if verb == "start" {
        return Ok(Switch::Start);
    }
    let reason = request.text("reason")?.unwrap_or_default();
    if reason.chars().count() > REASON_MAX {
        return Err(Problem::malformed(
            "/reason",
            format!("`reason` must have at most {REASON_MAX} characters"),
        ));
    }
    Ok(Switch::Stop { reason })
}

async fn page(request: &Asked, accounts: &[Account]) -> Result<ChannelAccounts, Problem> {
    let mut channel_accounts = Vec::new();
    for account in accounts {
        channel_accounts.push(shown(request, account).await?);
    }
    Ok(ChannelAccounts { channel_accounts })
}

async fn shown(request: &Asked, account: &Account) -> Result<ShownAccount, Problem> {
    let at = |at| time(&request.app, at);
    let paused_until = account.paused_until();
    let (state, reason) = match &account.stopped {
        Some(stopped) => (AccountState::Stopped, &stopped.reason),
        None if !account.defined.is_enabled => (AccountState::Disabled, &account.breaker.reason),
        None if paused_until.is_some() => (AccountState::Paused, &account.breaker.reason),
        None => (AccountState::Working, &account.breaker.reason),
    };
    let defined = &account.defined;
    Ok(ShownAccount {
        name: defined.name.clone(),
        channel: defined.channel.clone(),
        state,
        is_degraded: account.degraded.is_some(),
        paused_until: paused_until.map(at),
        failures: account.breaker.count,
        reason: not_empty(reason),
        last_success: account.breaker.succeeded.map(at),
        secret: accounts::secret_name(defined),
        has_secret: accounts::has_secret(&request.app, defined).await?,
        definition: definition_documents::account(defined),
    })
}
