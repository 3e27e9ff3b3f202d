//! Executes the steps of an API call. An automatic workflow node makes this call. Each step sends a
//! request and stores the result of the attempt. The last step also stores the final result in the
//! ticket.
//!
//! The API call is closed only after the ticket contains the result. If the process crashes
//! earlier, the deadline of the API call starts the step again. Each request has the header
//! `Idempotency-Key`. The receiver can therefore detect a repeated request.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::api_call::{ApiCall, Command, POLICY, Rejection};
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::ticket::NodeResult;
use events::workflow::service_task::ServiceTask;
use infra::Error;
use infra::http::{HttpError, RESPONSE_BYTES_MAX};
use infra::provider;

use crate::App;
use crate::app::outbound::{self, Described};
use crate::app::tickets::service_task::{self, Awaiting};
use crate::queue::runner::{self, Outgoing, Prepared, Start};

/// Makes the next attempt of an API call: sends a request and stores the result. Does nothing
/// before the time of this attempt. `stream` is the name of the event stream of the API call.
pub async fn step(app: &App, stream: &str) -> Result<(), Error> {
    runner::run::<ApiCall>(app, stream).await
}

#[async_trait]
impl Outgoing for ApiCall {
    fn attempts(&self) -> Option<Attempts> {
        self.is_open().then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.cause)
    }

    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        self.interrupted().map(|verdict| (verdict, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        _stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        prepare(app, self).await
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

    /// Stores the result of the API call in its ticket, and then closes the API call.
    ///
    /// If the ticket no longer waits for this result, the API call is closed nevertheless. The
    /// closing event shows that the ticket did not accept the result.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        let (Some(requested), Some(answered)) = (&self.requested, &self.answered) else {
            return Ok(());
        };
        if self.closed {
            return Ok(());
        }
        let result = NodeResult {
            node: requested.node,
            round: requested.round,
            attempt: requested.attempt,
            succeeded: answered.succeeded,
            outputs: answered.outputs.clone(),
            task: answered.task.clone(),
            reason: answered.reason.clone(),
        };
        let meta = runner::meta(self);
        let recorded =
            service_task::record_result(app, &requested.ticket, result, &meta, stream).await?;
        runner::close(app, stream, self, &Command::Close { recorded }).await
    }
}

/// Prepares the next HTTP request of an API call. If no request can be sent, returns a verdict (the
/// result of the attempt, such as failure) instead.
async fn prepare<'a>(app: &App, call: &'a ApiCall) -> Result<Prepared<'a, ApiCall>, Error> {
    let failed = |reason: String| {
        let outputs = BTreeMap::new();
        Ok(Prepared::Verdict(
            Verdict::Failed {
                reason: reason.into(),
                outputs,
            },
            POLICY,
        ))
    };
    let Some(requested) = &call.requested else {
        return failed("the API call is not requested".into());
    };
    let awaiting = Awaiting {
        ticket: &requested.ticket,
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
    };
    let (card, kind, service_task) = match service_task::awaited(app, &awaiting).await? {
        Ok(awaited) => awaited,
        Err(reason) => return failed(reason.into()),
    };
    let variables = service_task::variables(app, &card, &requested.inputs).await?;
    let Some(provider) = provider::find(&service_task) else {
        return failed("no provider does this service task".into());
    };
    let planned = match provider.request(&service_task, call, &variables) {
        Ok(planned) => planned,
        Err(reason) => return failed(reason),
    };
    let secret = match &service_task {
        ServiceTask::Request(request) => request.secret.as_str(),
        ServiceTask::Task(task) => task.secret.as_str(),
        ServiceTask::Application(_) | ServiceTask::Mission(_) => {
            return failed("the service task is no API call".into());
        }
    };
    // A repeated request has the same idempotency key as the first request. Two kinds of requests
    // have an additional text in their keys. The first kind asks for the progress of an API call.
    // The second kind is a later step of a task in the BlueKing standard operations platform
    // (SOPS).
    let key = match (&service_task, call.step.as_str()) {
        (_, "") => requested.key.clone(),
        (ServiceTask::Request(_), _) => format!("{}-{}", requested.key, call.polls),
        (_, step) => format!("{}-{step}", requested.key),
    };
    let body = planned.body_text();
    let described = Described {
        method: planned.method,
        url: planned.url,
        headers: [("Idempotency-Key".to_owned(), key)]
            .into_iter()
            .chain(planned.headers)
            .collect(),
        body,
        secret,
        timeout_ms: planned.timeout_ms,
        response_bytes_max: RESPONSE_BYTES_MAX,
    };
    let request = match outbound::request(&*app.ledger.keys, described).await? {
        Ok(request) => request,
        Err(reason) => {
            // This request cannot be built, for example because a secret is missing. The desk
            // handles this error like a missing response. If the request asks for the progress of a
            // task, the desk repeats the request later. If the request creates a task, the API call
            // fails immediately. The reason then names the missing secret.
            let response = Err(HttpError::Unknown(reason));
            let (verdict, policy) = provider.verdict(&service_task, kind, call, &response);
            return Ok(Prepared::Verdict(verdict, policy));
        }
    };
    Ok(Prepared::Request {
        request,
        start: provider.is_once(call).then(|| -> Start<'static, ApiCall> {
            Box::new(|attempt, until| Command::Begin { attempt, until })
        }),
        judge: Box::new(move |response| provider.verdict(&service_task, kind, call, response)),
    })
}
