//! One attempt of a callback (reference/bk-itsm.md 10): call, judge the answer, record it. The delivery's id goes along as `Idempotency-Key`.

use domain::delivery::{Command, Delivery, Outcome, Progress, Rejection};
use domain::views::ticket_card::TicketCard;
use events::delivery::Requested;
use events::{Meta, Moment};
use infra::caller::{ANSWER_BYTES_MAX, Answer, CALLBACK_TIMEOUT, Call};
use infra::ledger::{NoLookups, command_id};
use infra::store::commit::hex;
use infra::{Error, Failure, Wish};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::claimed;
use crate::http::blueking::render;
use crate::queue::token;
use crate::{App, desk};

/// Makes the attempt that is due, if one is.
pub(super) async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
    let delivery = app.ledger.load::<Delivery>(stream).await?.aggregate.0;
    let Some(requested) = delivery.requested.clone().filter(|_| delivery.is_open()) else { return Ok(()) };
    let now = app.ledger.clock.now();
    let due = match delivery.progress {
        Progress::Retrying { next } => next,
        _ => requested.due,
    };
    if due > now {
        return Ok(());
    }
    let attempt = delivery.attempts + 1;
    if !claimed(&*app.views, stream, attempt.into(), now, hex(&app.ledger.fresh_id())).await? {
        return Ok(());
    }
    let outcome = match call(app, stream, &requested, now).await? {
        Some(call) => judge(app.caller.call(&call).await),
        None => Outcome::Refused { status: None, reason: "the ticket or the receiver's address is gone".into() },
    };
    if let Outcome::Refused { status, reason } = &outcome {
        // A single failure passes often: a receiver restarts. A repeated one needs a person, who finds the rest by `audit show`.
        if attempt > 1 {
            tracing::warn!(stream, attempt, status, reason, "a receiver does not accept its callback");
        } else {
            tracing::debug!(stream, attempt, status, reason, "a receiver did not accept its callback yet");
        }
    }
    app.crash.pass("during-callback");
    let meta = Meta::system(requested.cause.clone(), requested.cause);
    let wish = Wish { command_id: command_id(&["attempt", stream, &attempt.to_string()]), stream: stream.to_owned(), meta };
    let command = Command::Record { attempt, outcome, at: app.ledger.clock.now() };
    match app.ledger.execute::<Delivery>(&wish, &command, &NoLookups).await {
        Ok(_) | Err(Failure::Rejected(Rejection::NotDue(_))) => Ok(()),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}

async fn call(app: &App, stream: &str, requested: &Requested, now: Moment) -> Result<Option<Call>, Error> {
    let Some(card) = desk::card(app, &requested.ticket).await? else { return Ok(None) };
    let body = body(app, &card, now).await?;
    let Some(kept) = app.ledger.keys.secret(&requested.callback.secret).await? else { return Ok(None) };
    let Receiver { url, headers } =
        serde_json::from_slice(&kept).map_err(|_| Error::corrupt(format!("secret {} is not a receiver", requested.callback.secret)))?;
    let id = ("Idempotency-Key".to_owned(), stream.trim_start_matches("delivery-").to_owned());
    let headers = std::iter::once(id).chain(headers).collect();
    Ok(Some(Call { method: "POST".into(), url, headers, body: body.to_string().into_bytes(), timeout: CALLBACK_TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX }))
}

/// What the key store holds of a callback: both parts may be secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// The body of a callback, key for key as documented; `updated_by` is never empty because receivers refuse that.
async fn body(app: &App, card: &TicketCard, now: Moment) -> Result<Value, Error> {
    let ticket = &card.ticket;
    let Some(opened) = &ticket.opened else { return Ok(Value::Null) };
    let updated = Timestamp::from_millisecond(card.updated_at.0).unwrap_or_default().to_zoned_datetime(app.settings.zone.clone());
    Ok(json!({
        "sn": opened.sn,
        "title": ticket.title(),
        "ticket_url": render::ticket_url(&app.settings, opened.id),
        "current_status": ticket.status_key(),
        "updated_by": format!(",{},", render::updated_by(app, card).await?),
        "update_at": updated.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        "approve_result": ticket.approve_result.unwrap_or(false),
        "token": token::sign(&app.keys().await?.token, &card.app.clone().unwrap_or_default(), &opened.sn, now.plus_ms(token::VALID_MS)),
        "last_approver": app.people.names(&ticket.last_approvers).await?,
    }))
}

/// Delivered is a 2xx whose JSON has `code` 0 or 200, or `result` true (decision 10 of reference/bk-itsm.md 17).
fn judge(answered: Result<Answer, String>) -> Outcome {
    let refused = |status, reason| Outcome::Refused { status, reason };
    match answered {
        Err(reason) => refused(None, reason),
        Ok(Answer { status, .. }) if !(200..300).contains(&status) => refused(Some(status), format!("answered {status}")),
        Ok(Answer { status, body }) => match serde_json::from_slice::<Value>(&body) {
            Ok(answer) if answer["result"] == true || answer["code"] == 0 || answer["code"] == 200 => Outcome::Taken { status },
            // Only a number is kept of what a stranger answered.
            Ok(answer) => refused(Some(status), answer["code"].as_i64().map_or_else(|| "answered no code".into(), |code| format!("answered code {code}"))),
            Err(_) => refused(Some(status), "answered something that is not JSON".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_receiver_that_says_yes_has_got_it() {
        let answer = |status, body: &str| judge(Ok(Answer { status, body: body.into() }));
        for taken in [answer(200, r#"{"code":0}"#), answer(201, r#"{"code":200}"#), answer(200, r#"{"result":true}"#)] {
            assert!(matches!(taken, Outcome::Taken { .. }));
        }
        for refused in [answer(500, r#"{"code":0}"#), answer(200, r#"{"code":1}"#), answer(200, "ok"), answer(302, ""), judge(Err("timeout".into()))] {
            assert!(matches!(refused, Outcome::Refused { .. }));
        }
    }
}
