//! Changes applications (requests for approval in an external ITSM) on behalf of people and of tickets.

use domain::itsm::application::{Application, Command};
use events::Meta;
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;

/// Stores that an approval is no longer needed. The desk then withdraws the ticket in the external ITSM. An
/// application that has ended does not change. `stream` is the stream of the application. Returns the position of
/// the commit, or `None` if nothing changed.
pub async fn withdraw(
    app: &App,
    stream: &str,
    command_id: [u8; 16],
    meta: Meta,
    reason: &str,
) -> Result<Option<i64>, Error> {
    let envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta,
    };
    let command = Command::Withdraw {
        reason: reason.to_owned(),
        at: app.ledger.clock.now(),
    };
    app.ledger
        .execute::<Application>(&envelope, &command, &NoContext)
        .await
        .map(|outcome| outcome.position)
        .map_err(ExecuteError::unexpected)
}
