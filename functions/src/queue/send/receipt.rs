//! Requests receipts from providers: whether a person has read a message that the provider has accepted.

use domain::attempt::Verdict;
use domain::notification::delivery::{Command, Delivery, End, MESSAGE};
use domain::notification::receipt::{HAS_RECEIPT, ReceiptReport, ReceiptState, Reported};
use events::delivery::Requested;
use events::{Meta, channel_account};
use infra::Error;
use infra::channel::{Channel, Response};
use infra::http::origin;
use infra::ledger::command_id;

use super::hidden::Hidden;
use super::{Credentials, credentials, limited_update, usable};
use crate::App;
use crate::queue::runner;

/// Notes in the verdict of a sent message that its provider reports receipts.
pub(super) fn expect(
    codec: &dyn Channel,
    account: &channel_account::Defined,
    verdict: &mut Verdict,
) {
    if let Verdict::Succeeded { outputs, .. } = verdict
        && let Some(message) = outputs.get(MESSAGE)
        && codec.receipt_request(account, "", message).is_some()
    {
        outputs.insert(HAS_RECEIPT.to_owned(), String::new());
    }
}

/// Requests the receipt of the message of a delivery. Does nothing before the time of the request. A request that fails counts
/// as a request without a receipt, so the number of requests is bounded.
pub(super) async fn poll(app: &App, stream: &str) -> Result<(), Error> {
    let delivery = app.ledger.load::<Delivery>(stream).await?.aggregate.0;
    let (Some(requested), Some(ReceiptState::Scheduled { poll, due })) =
        (&delivery.requested, delivery.receipt)
    else {
        return Ok(());
    };
    if due > app.ledger.clock.now() {
        return Ok(());
    }
    let Some(reported) = ask(app, stream, poll, &delivery, requested).await? else {
        return Ok(());
    };
    let command = Command::RecordReceipt(ReceiptReport {
        poll,
        reported,
        at: app.ledger.clock.now(),
    });
    let meta = Meta::system(&*requested.notification, &*requested.notification);
    let id = command_id(&["receipt", stream, &poll.to_string()]);
    app.must_execute::<Delivery>(stream, id, meta, &command)
        .await
        .map(drop)
}

/// Sends one request for a receipt. Returns `None` if another worker sends it.
async fn ask(
    app: &App,
    stream: &str,
    poll: u32,
    delivery: &Delivery,
    requested: &Requested,
) -> Result<Option<Result<Reported, String>>, Error> {
    let failed = |reason: &str| Ok(Some(Err(reason.to_owned())));
    let Ok((account, codec)) = usable(app, &requested.account).await? else {
        return failed("the channel account cannot send now");
    };
    let message = match &delivery.end {
        Some(End::Succeeded(sent)) => Some(sent.message.as_str()),
        _ => None,
    };
    let (Some(to), Some(message)) = (requested.to.value.as_str(), message) else {
        return failed("the address was erased");
    };
    let Ok(Credentials { secret, granted }) = credentials(app, codec, &account, to).await? else {
        return failed("the provider grants no access token");
    };
    let token = granted.as_ref().map(|granted| granted.token.value.as_str());
    let request = codec.receipt_request(&account, token.unwrap_or_default(), message);
    let request = match request {
        Some(Ok(request)) => request,
        Some(Err(reason)) => return failed(&reason),
        None => return failed("the channel has no receipts"),
    };
    let target = origin(&request.url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(runner::busy(&target));
    };
    // The lease is the exclusive right of one worker to send the request.
    if !runner::lease(app, &format!("{stream}/receipt"), poll).await? {
        return Ok(None);
    }
    if limited_update(app, &account).await?.is_some() {
        return failed("the account has reached its limit");
    }
    let response = app.http.send(&request).await;
    let answer = Response::Http(response.clone());
    if codec.refuses_token(&answer) {
        app.tokens.discard(&account.name).await;
    }
    let reported = match &response {
        Ok(response) => codec.receipt(to, response),
        Err(error) => Err(error.to_string()),
    };
    let hidden = Hidden::new(to, &secret, token.unwrap_or_default());
    Ok(Some(reported.map_err(|reason| hidden.removed(&reason))))
}
