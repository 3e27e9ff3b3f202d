//! Implements `ledgerdesk audit callbacks`, which lists the callbacks of client apps with the reason of their last failed
//! attempt, and requests new attempts.

use clap::Args;
use domain::callback::{Callback, Command, Progress};
use events::callback::CallbackEvent;
use events::{Meta, aggregate_of};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, ExecuteError, Ledger};
use serde_json::{Value, json};

use super::{PAGE, bar, words};
use crate::app::history::history_from;
use crate::app::times;
use crate::cli::target::Target;
use crate::cli::{Change, CommandError};

#[derive(Clone, Debug, Default, Args)]
pub struct Callbacks {
    /// List only callbacks to this app.
    #[arg(long, value_name = "CODE")]
    pub app: Option<String>,
    /// List only callbacks that the receiver has not accepted.
    #[arg(long)]
    pub failing: bool,
    /// Start a new round of attempts for this callback.
    ///
    /// On this machine, stop the desk first, or use `POST /v1/callbacks/ID/resend`.
    #[arg(long, value_name = "ID")]
    pub resend: Vec<String>,
    #[command(flatten)]
    pub change: Change,
}

impl Callbacks {
    pub(super) async fn run(self, target: &Target, json: bool) -> Result<(), CommandError> {
        let change = self.change;
        if self.resend.is_empty() {
            return self.list(&target.read().await?, json).await;
        }
        if !change.dry_run {
            change.confirm(&format!("send {} callbacks again", self.resend.len()))?;
        }
        let ledger = target.write().await?.ledger;
        let mut states = Vec::new();
        for id in &self.resend {
            let stream = format!("callback-{id}");
            let state = ledger.load::<Callback>(&stream).await.map_err(words)?;
            if state.aggregate.0.requested.is_none() {
                return Err(CommandError::Usage(format!(
                    "--resend {id}: there is no such callback"
                )));
            }
            states.push(stream);
        }
        let mut resent = Vec::new();
        for stream in states {
            if !change.dry_run {
                let envelope = CommandEnvelope {
                    stream: stream.clone(),
                    command_id: ledger.fresh_id(),
                    meta: Meta::system("audit callbacks", stream.clone()),
                };
                let command = Command::Resend(ledger.clock.now());
                let executed = ledger.execute::<Callback>(&envelope, &command, &NoContext);
                executed
                    .await
                    .map_err(ExecuteError::unexpected)
                    .map_err(words)?;
            }
            resent.push(stream.trim_start_matches("callback-").to_owned());
        }
        crate::cli::print(json, &json!({ "resent": resent }), || {
            for id in &resent {
                println!("{id}: the desk sends this callback again as soon as it runs");
            }
        });
        Ok(())
    }

    async fn list(&self, ledger: &Ledger, json: bool) -> Result<(), CommandError> {
        let bar = bar(ledger.store.head().await.map_err(words)?.position);
        let (mut streams, mut position) = (Vec::new(), 0);
        loop {
            let page = ledger.store.feed(position, PAGE).await.map_err(words)?;
            let Some(last) = page.last() else { break };
            position = last.position;
            let first = page
                .iter()
                .filter(|placed| placed.commit.first == 1)
                .filter(|placed| aggregate_of(&placed.commit.stream) == "callback");
            streams.extend(first.map(|placed| placed.commit.stream.clone()));
            bar.set_position(position.unsigned_abs());
        }
        bar.finish_and_clear();
        let mut shown = Vec::new();
        for stream in streams {
            shown.extend(self.shown(ledger, &stream).await.map_err(words)?);
        }
        crate::cli::print(json, &json!({ "callbacks": shown }), || {
            println!(
                "{:<32}  {:<18} {:<16} {:<9} {:>8}  last failure",
                "callback", "ticket", "app", "state", "attempts"
            );
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            for one in &shown {
                println!(
                    "{:<32}  {:<18} {:<16} {:<9} {:>8}  {}",
                    text(&one["id"]),
                    text(&one["ticket"]),
                    text(&one["app"]),
                    text(&one["state"]),
                    one["attempts"],
                    text(&one["failure"])
                );
            }
        });
        Ok(())
    }

    /// Returns the shown members of a callback, or `None` if the options exclude the callback.
    async fn shown(&self, ledger: &Ledger, stream: &str) -> Result<Option<Value>, infra::Error> {
        let state = ledger.load::<Callback>(stream).await?.aggregate.0;
        let Some(requested) = &state.requested else {
            return Ok(None);
        };
        let app = requested.app.as_ref().map(|app| app.as_str().to_owned());
        let is_other = self.app.is_some() && self.app != app;
        if is_other || self.failing && state.progress == Progress::Succeeded {
            return Ok(None);
        }
        let mut failure = None;
        for envelope in history_from::<CallbackEvent>(ledger, stream, 0).await? {
            match envelope.event {
                CallbackEvent::AttemptFailed(failed) => failure = Some(failed.reason),
                CallbackEvent::Failed(failed) => failure = Some(failed.reason),
                _ => {}
            }
        }
        Ok(Some(json!({
            "id": stream.trim_start_matches("callback-"),
            "ticket": requested.ticket,
            "app": app,
            "host": requested.callback.host,
            "state": match state.progress {
                Progress::Open => "open",
                Progress::Succeeded => "succeeded",
                Progress::Failed => "failed",
            },
            "attempts": state.attempts.made,
            "next_attempt": state.is_open().then(|| times::rfc3339(state.attempts.due)),
            "failure": failure,
        })))
    }
}
