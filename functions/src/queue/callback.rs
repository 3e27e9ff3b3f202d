//! Processes the messages of the queue `callback`. Each message creates a callback, which is then
//! sent to its receiver (reference/bk-itsm.md 10).
//!
//! The name of the event stream of a callback contains the message id. The message id depends only
//! on the event that causes the callback. If the same message arrives again, the stream already
//! exists, and the desk does not create a second callback.
//!
//! Each attempt sends the callback id in the header `Idempotency-Key`. The result of each attempt
//! is stored.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::attempt::{Attempts, Report, Verdict};
use domain::callback::{Callback, Command, POLICY, Rejection};
use domain::intent::Intent;
use domain::views::ticket_card::TicketCard;
use events::callback::Requested;
use events::{Meta, Moment};
use infra::http::{CALLBACK_TIMEOUT, HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};
use infra::ledger::command_id;
use infra::queue::Message;
use infra::{CommandEnvelope, Error, Ledger};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::runner::{self, Outgoing, Prepared};
use super::wrong_queue;
use crate::App;
use crate::app::callback_token;
use crate::app::outbound::Receiver;
use crate::app::tickets;
use crate::app::tickets::display;

/// Executes an intent (a request for work) from a message. Creates the callback and makes its first
/// attempt.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    open(&app.ledger, message, intent).await?;
    attempt(app, &stream(message)).await
}

fn stream(message: &Message) -> String {
    format!("callback-{}", message.id)
}

/// Creates a callback from an intent (a request for work). The first attempt is due immediately.
pub async fn open(ledger: &Ledger, message: &Message, intent: Intent) -> Result<(), Error> {
    let Intent::SendCallback {
        ticket,
        cause,
        app,
        callback,
        correlation,
    } = intent
    else {
        return Err(wrong_queue(message));
    };
    let command_envelope = CommandEnvelope {
        stream: stream(message),
        command_id: command_id(&["callback", &message.id]),
        meta: Meta::system(correlation, cause.clone()),
    };
    let requested = Requested {
        ticket,
        cause,
        app,
        callback,
        due: ledger.clock.now(),
    };
    runner::open::<Callback>(ledger, &command_envelope, &Command::Request(requested)).await
}

/// Makes the next attempt to send a callback, if this attempt is already due. `stream` is the event
/// stream of the callback.
pub async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
    runner::run::<Callback>(app, stream).await
}

#[async_trait]
impl Outgoing for Callback {
    fn attempts(&self) -> Option<Attempts> {
        self.is_open().then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.cause)
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        let request = match &self.requested {
            Some(requested) => request(app, stream, requested).await?,
            None => None,
        };
        let attempt = self.attempts.next();
        let stream = stream.to_owned();
        Ok(match request {
            Some(request) => Prepared::Request {
                request,
                start: None,
                judge: Box::new(move |response| {
                    let verdict = verdict(response);
                    if let Verdict::Retry { reason, .. } = &verdict {
                        note(&stream, attempt, reason);
                    }
                    (verdict, POLICY)
                }),
            },
            None => Prepared::Verdict(
                Verdict::Retry {
                    reason: "the ticket or the address of the receiver does not exist".into(),
                    after_ms: None,
                },
                POLICY,
            ),
        })
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
}

/// Logs a failed attempt to send a callback.
///
/// The first failure is logged at debug level, because a restart of the receiver often causes this
/// failure. Later failures are logged as warnings, because an operator must check the receiver. The
/// command `audit show` prints the details.
fn note(stream: &str, attempt: u32, reason: &str) {
    if attempt > 1 {
        tracing::warn!(
            stream,
            attempt,
            reason,
            "receiver rejected its callback again"
        );
    } else {
        tracing::debug!(
            stream,
            attempt,
            reason,
            "receiver rejected the first attempt of its callback"
        );
    }
}

async fn request(
    app: &App,
    stream: &str,
    requested: &Requested,
) -> Result<Option<HttpRequest>, Error> {
    let now = app.ledger.clock.now();
    let Some(card) = tickets::card(app, &requested.ticket).await? else {
        return Ok(None);
    };
    let id = stream.trim_start_matches("callback-");
    let body = body(app, &card, id, now).await?;
    let Some(stored) = app.ledger.keys.secret(&requested.callback.secret).await? else {
        return Ok(None);
    };
    let Receiver { url, headers } = serde_json::from_slice(&stored).map_err(|_| {
        Error::corrupt(format!(
            "secret {} is not a receiver",
            requested.callback.secret
        ))
    })?;
    let id = ("Idempotency-Key".to_owned(), id.to_owned());
    let headers = std::iter::once(id).chain(headers).collect();
    Ok(Some(HttpRequest {
        method: "POST".into(),
        url,
        headers,
        body: body.to_string().into_bytes(),
        timeout: CALLBACK_TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    }))
}

/// Returns the JSON body of a callback about a ticket. Some receivers reject an empty `updated_by`.
/// This field therefore always has a value. `callback` is the id of the callback.
async fn body(app: &App, card: &TicketCard, callback: &str, now: Moment) -> Result<Value, Error> {
    let ticket = &card.ticket;
    let Some(opened) = &ticket.opened else {
        return Ok(Value::Null);
    };
    let updated = Timestamp::from_millisecond(card.updated_at.0)
        .unwrap_or_default()
        .to_zoned_datetime(app.settings.zone.clone());
    let token = callback_token::sign(
        &app.token_keys().await?.newest,
        &card.app.clone().unwrap_or_default(),
        &opened.sn,
        callback,
        now.plus_ms(callback_token::VALID_MS),
    );
    Ok(json!({
        "sn": opened.sn,
        "title": ticket.title(),
        "ticket_url": display::ticket_url(&app.settings, opened.id),
        "current_status": ticket.status_key(),
        "updated_by": format!(",{},", app.people.names(&display::updated_by(card)).await?),
        "update_at": updated.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        "approve_result": ticket.approve_result.unwrap_or(false),
        "token": token,
        "last_approver": app.people.names(&ticket.last_approvers).await?,
    }))
}

/// Returns the verdict (the result of an attempt to send a callback) for a response of the
/// receiver.
///
/// The callback succeeds if the status is 2xx and the JSON body contains a success value. A success
/// value is `code` 0 or 200, or `result` true (decision 10 of reference/bk-itsm.md 17). After any
/// other response, the verdict is `Retry`.
fn verdict(response: &Result<HttpResponse, HttpError>) -> Verdict {
    let retry = |reason| Verdict::Retry {
        reason,
        after_ms: None,
    };
    let response = match response {
        Ok(response) => response,
        Err(error) => return retry(error.to_string().into()),
    };
    if !response.is_success() {
        return retry(format!("response status {}", response.status).into());
    }
    match serde_json::from_slice::<Value>(&response.body) {
        Ok(answer) if answer["result"] == true || answer["code"] == 0 || answer["code"] == 200 => {
            Verdict::Succeeded {
                outputs: BTreeMap::new(),
                observed: None,
            }
        }
        // The reason of a failure is stored in the ledger, which must not contain text from the
        // receiver. The reason therefore contains only the number in `code`.
        Ok(answer) => retry(
            answer["code"]
                .as_i64()
                .map_or_else(
                    || "response without a code".into(),
                    |code| format!("response code {code}"),
                )
                .into(),
        ),
        Err(_) => retry("response is not JSON".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_response_counts_as_accepted() {
        let of = |status, body: &str| verdict(&Ok(HttpResponse::of(status, body.as_bytes())));
        for accepted in [
            of(200, r#"{"code":0}"#),
            of(201, r#"{"code":200}"#),
            of(200, r#"{"result":true}"#),
        ] {
            assert!(matches!(accepted, Verdict::Succeeded { .. }));
        }
        for rejected in [
            of(500, r#"{"code":0}"#),
            of(200, r#"{"code":1}"#),
            of(200, "ok"),
            of(302, ""),
            verdict(&Err(HttpError::Unknown("timeout".into()))),
            verdict(&Err(HttpError::NotSent("refused".into()))),
        ] {
            assert!(matches!(rejected, Verdict::Retry { .. }));
        }
    }
}
