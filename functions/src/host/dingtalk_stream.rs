//! Keeps the connections over which DingTalk reports messages and pressed buttons (the stream mode) to a desk on one machine.
//! Each account with the setting `stream` has one connection. A cloud function cannot keep a connection.
//!
//! A message is stored before the desk answers it. DingTalk repeats a message without an answer, so a lost connection loses
//! nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use infra::channel::dingtalk_stream::{self, Frame, ack, frame, is_streamed};
use infra::http::origin;
use infra::http::socket::{Part, Socket};
use infra::inbound::Refusal;
use infra::{Error, Kind};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::App;
use crate::app::notifications::accounts;
use crate::app::notifications::inbound::{self, NotReceived};

/// Time between two checks whether an account was added, changed or removed.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(10);
/// The time without a frame of DingTalk after which the desk sends a ping.
const SILENT: Duration = Duration::from_mins(1);
/// Number of pings without a response after which the desk opens a new connection.
const PINGS_MAX: u32 = 2;
/// Maximum time to send an answer.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest pause before a new connection, in milliseconds.
const PAUSE_MS: u64 = 500;
/// The longest pause before a new connection, in milliseconds (5 minutes).
const PAUSE_MAX_MS: u64 = 300_000;
/// Time for which a connection must be open, so that the next pause is the shortest one.
const LIVED: Duration = Duration::from_mins(1);

/// Keeps a connection for each account with the setting `stream`. Runs until its task is aborted.
pub async fn run(app: App) {
    let mut running: HashMap<String, (String, AbortHandle)> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        match wanted(&app).await {
            Ok(wanted) => {
                running.retain(|name, (settings, task)| {
                    let is_same = wanted.get(name).is_some_and(|one| *one == *settings);
                    let is_kept = is_same && !task.is_finished();
                    if !is_kept {
                        task.abort();
                    }
                    is_kept
                });
                for (name, settings) in wanted {
                    running.entry(name).or_insert_with_key(|name| {
                        let task = tasks.spawn(connected(app.clone(), name.clone()));
                        (settings, task)
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the accounts with the setting `stream`");
            }
        }
        while tasks.try_join_next().is_some() {}
        sleep(ACCOUNTS_EVERY).await;
    }
}

/// Returns the enabled accounts with the setting `stream`, with their settings as text.
async fn wanted(app: &App) -> Result<BTreeMap<String, String>, Error> {
    let mut wanted = BTreeMap::new();
    for name in app.configuration.channel_account_names().await? {
        let defined = app.configuration.channel_account(&name).await?;
        let defined = defined.filter(|one| one.is_enabled && is_streamed(one));
        if let Some(defined) = defined {
            wanted.insert(name, serde_json::to_string(&defined).unwrap_or_default());
        }
    }
    Ok(wanted)
}

/// Opens a connection again and again. The pause grows after each connection that was open for a short time only, also if
/// DingTalk asked for another connection. A connection that was open for longer makes the pause short again.
async fn connected(app: App, account: String) {
    let mut failures = 0_u32;
    loop {
        let ended = session(&app, &account).await;
        failures = ended.failures_after(failures);
        if let Some(reason) = ended.reason {
            tracing::warn!(account, reason, failures, "no connection to DingTalk");
        }
        let mut random = [0; 8];
        app.ledger.rng.fill(&mut random);
        sleep(pause(failures, u64::from_le_bytes(random))).await;
    }
}

/// Returns the pause after the given number of failures in succession: a random part of a time that doubles.
fn pause(failures: u32, random: u64) -> Duration {
    let longest = PAUSE_MS.saturating_mul(1 << failures.min(20));
    let longest = longest.min(PAUSE_MAX_MS);
    Duration::from_millis(PAUSE_MS + random % longest)
}

/// The end of a connection.
struct Ended {
    /// The time for which the connection was open. `None` if it was not opened.
    open: Option<Duration>,
    /// The reason as an English text. `None` if DingTalk asked for another connection.
    reason: Option<String>,
}

impl Ended {
    /// Returns the number of failures in succession after this end. `before` is the number before it.
    fn failures_after(&self, before: u32) -> u32 {
        let has_lived = self.open.is_some_and(|open| open >= LIVED);
        match (has_lived, &self.reason) {
            (true, None) => 0,
            (true, Some(_)) => 1,
            (false, _) => before.saturating_add(1),
        }
    }
}

/// Opens a connection, and answers what arrives until the connection ends.
async fn session(app: &App, account: &str) -> Ended {
    match open(app, account).await {
        Err(reason) => Ended {
            open: None,
            reason: Some(reason),
        },
        Ok(mut socket) => {
            let since = Instant::now();
            let reason = answering(app, account, &mut *socket).await.err();
            Ended {
                open: Some(since.elapsed()),
                reason,
            }
        }
    }
}

async fn open(app: &App, account: &str) -> Result<Box<dyn Socket>, String> {
    let defined = app.configuration.channel_account(account).await;
    let defined = defined.map_err(|error| error.to_string())?;
    let defined = defined.ok_or_else(|| "the account does not exist".to_owned())?;
    let secret = accounts::secret(app, account).await;
    let secret = secret.map_err(|error| error.to_string())?;
    let request = dingtalk_stream::open(&defined, &secret)?;
    let response = {
        let slot = app.targets.enter(&origin(&request.url));
        let _slot = slot.ok_or_else(|| "too many requests to DingTalk are open".to_owned())?;
        app.http.send(&request).await
    };
    let response = response.map_err(|error| error.to_string())?;
    let url = dingtalk_stream::opened(&response)?;
    let socket = app.http.connect(url.as_str()).await?;
    tracing::info!(account, "connected to DingTalk");
    Ok(socket)
}

/// Answers what arrives. Returns `Ok` if DingTalk asks for another connection, and the reason if the connection ended.
async fn answering(app: &App, account: &str, socket: &mut dyn Socket) -> Result<(), String> {
    let mut pings = 0;
    loop {
        let Ok(part) = timeout(SILENT, socket.next()).await else {
            if pings == PINGS_MAX {
                return Err("DingTalk did not respond to pings".into());
            }
            pings += 1;
            in_time(socket.ping()).await?;
            continue;
        };
        pings = 0;
        let text = match part? {
            Part::Text(text) => text,
            Part::Alive => continue,
            Part::Closed => return Err("DingTalk closed the connection".into()),
        };
        let answer = match frame(&text) {
            Ok(Frame::Disconnect) => return Ok(()),
            Ok(Frame::Ping(answer) | Frame::Other(Some(answer))) => answer,
            Ok(Frame::Other(None)) => continue,
            Ok(Frame::Callback { topic, id, data }) => {
                stored(app, account, &topic, &id, &data).await
            }
            Err(reason) => {
                tracing::warn!(account, reason, "a frame of DingTalk is ignored");
                continue;
            }
        };
        in_time(socket.send(answer)).await?;
    }
}

async fn in_time(sent: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let sent = timeout(SEND_TIMEOUT, sent).await;
    sent.unwrap_or_else(|_| Err("an answer was not sent in time".into()))
}

/// Stores a message or the press of a button. Returns the answer to its frame.
async fn stored(app: &App, account: &str, topic: &str, id: &str, data: &str) -> String {
    match inbound::receive_streamed(app, account, topic, id, data.as_bytes()).await {
        Ok(answer) => {
            let response = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
            ack(id, 200, &json!({ "response": response }).to_string())
        }
        Err(reason) => {
            tracing::warn!(%reason, account, "a message of DingTalk was not accepted");
            // DingTalk must not repeat a message that is stored as unreadable.
            let is_stored = matches!(&reason, NotReceived::Refused(Refusal::Unreadable(_)));
            let is_busy = matches!(&reason, NotReceived::Technical(error) if matches!(error.kind, Kind::Limited { .. }));
            let code = match (is_stored, is_busy) {
                (true, _) => 200,
                (false, true) => 429,
                (false, false) => 500,
            };
            ack(id, code, "{}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_each_failure_and_is_bounded() {
        let longest = |failures| pause(failures, u64::MAX).max(pause(failures, 299_999));
        assert!(pause(0, u64::MAX) < Duration::from_millis(2 * PAUSE_MS));
        for failures in [0, 1, 5, 9, 10, 100, u32::MAX] {
            let bound = Duration::from_millis(PAUSE_MS + PAUSE_MAX_MS);
            assert!(longest(failures) < bound, "{failures}");
            assert!(pause(failures, 0) >= Duration::from_millis(PAUSE_MS));
        }
        assert!(longest(10) > longest(1));
    }

    #[test]
    fn only_a_connection_that_lived_makes_the_pause_short_again() {
        let ended = |open, reason: Option<&str>| Ended {
            open,
            reason: reason.map(str::to_owned),
        };
        let asked = |open| ended(Some(open), None);
        let short = LIVED.saturating_sub(Duration::from_millis(1));
        let mut failures = 0;
        for expected in 1..=20 {
            failures = asked(short).failures_after(failures);
            assert_eq!(failures, expected, "DingTalk asks again and again");
        }
        assert_eq!(pause(failures, u64::MAX), pause(u32::MAX, u64::MAX));
        assert_eq!(asked(LIVED).failures_after(failures), 0);
        let lost = Some("the connection was lost");
        assert_eq!(ended(Some(LIVED), lost).failures_after(failures), 1);
        assert_eq!(
            ended(Some(Duration::ZERO), lost).failures_after(failures),
            21
        );
        assert_eq!(ended(None, lost).failures_after(u32::MAX), u32::MAX);
    }
}
