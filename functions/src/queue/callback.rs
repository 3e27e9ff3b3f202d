//! The queue `callback`: opens a callback, and makes its attempts (reference/bk-itsm.md 10).
//!
//! The stream of a callback has the effect id as its name, so a repeated intent is rejected as a
//! duplicate. An attempt sends the request with the callback id as `Idempotency-Key` and records the
//! outcome.

use domain::callback::{Callback, Command, Outcome, Progress, Rejection};
use domain::intent::Intent;
use domain::views::ticket_card::TicketCard;
use events::callback::Requested;
use events::{Meta, Moment};
use infra::http::{CALLBACK_TIMEOUT, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};
use infra::ledger::{NoContext, command_id};
use infra::queue::Message;
use infra::store::commit::hex;
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{take_lease, wrong_queue};
use crate::App;
use crate::app::callback_token;
use crate::app::outbound::Receiver;
use crate::app::tickets;
use crate::app::tickets::display;

/// Executes one intent: opens the callback and makes its first attempt.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    open(&app.ledger, message, intent).await?;
    attempt(app, &stream(message)).await
}

fn stream(message: &Message) -> String {
    format!("callback-{}", message.id)
}

/// Opens a callback from one intent; its first attempt is due at once.
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
    match ledger
        .execute::<Callback>(&command_envelope, &Command::Request(requested), &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Makes the attempt that is due; does nothing if none is.
pub async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
    let callback = app.ledger.load::<Callback>(stream).await?.aggregate.0;
    let Some(requested) = callback.requested.clone().filter(|_| callback.is_open()) else {
        return Ok(());
    };
    let now = app.ledger.clock.now();
    let due = match callback.progress {
        Progress::Retrying { next } => next,
        _ => requested.due,
    };
    if due > now {
        return Ok(());
    }
    let attempt = callback.attempts + 1;
    if !take_lease(
        &*app.views,
        stream,
        attempt.into(),
        now,
        hex(&app.ledger.fresh_id()),
    )
    .await?
    {
        return Ok(());
    }
    let outcome = match call(app, stream, &requested, now).await? {
        Some(call) => judge(app.http.call(&call).await),
        None => Outcome::Refused {
            status: None,
            reason: "the ticket or the address of the receiver does not exist".into(),
        },
    };
    if let Outcome::Refused { status, reason } = &outcome {
        // The first failure is often a restart of the receiver. Repeated failures need an operator,
        // who finds the details with `audit show`.
        if attempt > 1 {
            tracing::warn!(
                stream,
                attempt,
                status,
                reason,
                "receiver rejected its callback again"
            );
        } else {
            tracing::debug!(
                stream,
                attempt,
                status,
                reason,
                "receiver rejected the first attempt of its callback"
            );
        }
    }
    app.crash.pass("during-callback");
    let meta = Meta::system(requested.cause.clone(), requested.cause);
    let command_envelope = CommandEnvelope {
        command_id: command_id(&["attempt", stream, &attempt.to_string()]),
        stream: stream.to_owned(),
        meta,
    };
    let command = Command::Record {
        attempt,
        outcome,
        at: app.ledger.clock.now(),
    };
    match app
        .ledger
        .execute::<Callback>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::NotDue(_))) => Ok(()),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

async fn call(
    app: &App,
    stream: &str,
    requested: &Requested,
    now: Moment,
) -> Result<Option<HttpRequest>, Error> {
    let Some(card) = tickets::card(app, &requested.ticket).await? else {
        return Ok(None);
    };
    let body = body(app, &card, now).await?;
    let Some(stored) = app.ledger.keys.secret(&requested.callback.secret).await? else {
        return Ok(None);
    };
    let Receiver { url, headers } = serde_json::from_slice(&stored).map_err(|_| {
        Error::corrupt(format!(
            "secret {} is not a receiver",
            requested.callback.secret
        ))
    })?;
    let id = (
        "Idempotency-Key".to_owned(),
        stream.trim_start_matches("callback-").to_owned(),
    );
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

/// Returns the documented body of a callback; `updated_by` is never empty, because receivers reject
/// an empty one.
async fn body(app: &App, card: &TicketCard, now: Moment) -> Result<Value, Error> {
    let ticket = &card.ticket;
    let Some(opened) = &ticket.opened else {
        return Ok(Value::Null);
    };
    let updated = Timestamp::from_millisecond(card.updated_at.0)
        .unwrap_or_default()
        .to_zoned_datetime(app.settings.zone.clone());
    Ok(json!({
        "sn": opened.sn,
        "title": ticket.title(),
        "ticket_url": display::ticket_url(&app.settings, opened.id),
        "current_status": ticket.status_key(),
        "updated_by": format!(",{},", display::updated_by(app, card).await?),
        "update_at": updated.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        "approve_result": ticket.approve_result.unwrap_or(false),
        "token": callback_token::sign(&app.keys().await?.token, &card.app.clone().unwrap_or_default(), &opened.sn, now.plus_ms(callback_token::VALID_MS)),
        "last_approver": app.people.names(&ticket.last_approvers).await?,
    }))
}

/// Returns the outcome of an attempt.
///
/// Success is a 2xx status and JSON with `code` 0 or 200, or with `result` true (decision 10 of
/// reference/bk-itsm.md 17).
fn judge(answered: Result<HttpResponse, String>) -> Outcome {
    let refused = |status, reason| Outcome::Refused { status, reason };
    match answered {
        Err(reason) => refused(None, reason),
        Ok(HttpResponse { status, .. }) if !(200..300).contains(&status) => {
            refused(Some(status), format!("response status {status}"))
        }
        Ok(HttpResponse { status, body }) => match serde_json::from_slice::<Value>(&body) {
            Ok(answer)
                if answer["result"] == true || answer["code"] == 0 || answer["code"] == 200 =>
            {
                Outcome::Accepted { status }
            }
            // The event stores only a number, because the receiver controls the rest of the body.
            Ok(answer) => refused(
                Some(status),
                answer["code"].as_i64().map_or_else(
                    || "response without a code".into(),
                    |code| format!("response code {code}"),
                ),
            ),
            Err(_) => refused(Some(status), "response is not JSON".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_response_counts_as_accepted() {
        let answer = |status, body: &str| {
            judge(Ok(HttpResponse {
                status,
                body: body.into(),
            }))
        };
        for accepted in [
            answer(200, r#"{"code":0}"#),
            answer(201, r#"{"code":200}"#),
            answer(200, r#"{"result":true}"#),
        ] {
            assert!(matches!(accepted, Outcome::Accepted { .. }));
        }
        for refused in [
            answer(500, r#"{"code":0}"#),
            answer(200, r#"{"code":1}"#),
            answer(200, "ok"),
            answer(302, ""),
            judge(Err("timeout".into())),
        ] {
            assert!(matches!(refused, Outcome::Refused { .. }));
        }
    }
}
