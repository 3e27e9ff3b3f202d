//! Decides whether the desk may send a request to an integration now. Two rules apply to each integration: the limit
//! `per_minute`, and a pause after failures. The pause protects an external system that does not answer, or that has
//! rejected requests because of its own rate limit.

use events::integration::Defined;
use infra::Error;
use infra::http::{HttpError, HttpResponse};

use crate::App;
use crate::app::breaker::{self, Noted};
use crate::app::rate;

/// The reason why no request may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The time after which the caller can ask again, in milliseconds.
    pub after_ms: i64,
    pub reason: String,
}

/// Returns the name under which the requests to an integration are counted for its limit.
pub fn budget_of(integration: &str) -> String {
    format!("source/{integration}")
}

fn failures_of(integration: &str) -> String {
    format!("failures/{integration}")
}

/// Requests permission to send one request to an integration now. Returns `None` if the request may be sent.
pub async fn admit(app: &App, integration: &Defined) -> Result<Option<Wait>, Error> {
    let now = app.ledger.clock.now();
    if let Some(until) = breaker::admit(app, &failures_of(&integration.name)).await? {
        return Ok(Some(Wait {
            after_ms: (until.0 - now.0).max(1),
            reason: format!(
                "the desk sends no requests to {} for some time, because the last ones failed",
                integration.name
            ),
        }));
    }
    let Some(per_minute) = integration.per_minute else {
        return Ok(None);
    };
    let wait = rate::take(app, &budget_of(&integration.name), per_minute).await?;
    Ok(wait.map(|after_ms| Wait {
        after_ms,
        reason: format!("the limit `per_minute` of {per_minute} requests in one minute is reached"),
    }))
}

/// Notes the result of a request to an integration. An error, a status from 500 and the status 429 are failures.
pub async fn note(
    app: &App,
    integration: &Defined,
    response: &Result<HttpResponse, HttpError>,
) -> Result<(), Error> {
    let now = app.ledger.clock.now();
    let failed = |pause_ms| Noted::Failed {
        pause_ms,
        reason: "",
    };
    let noted = match response {
        Ok(response) if response.status == 429 || response.status == 503 => {
            failed(response.retry_after_ms(now.0))
        }
        Ok(response) if response.status >= 500 => failed(None),
        Ok(_) => Noted::Answered,
        Err(_) => failed(None),
    };
    breaker::note(app, &failures_of(&integration.name), noted).await
}
