//! Processes the messages of the queue `automate`. There are two kinds of messages. For the first kind, the
//! desk creates the API call of an automatic workflow node. For the second kind, the desk searches for an
//! automation rule (a rule that runs a script) that applies to a waiting workflow node.
//!
//! The name of the event stream of an API call contains the message id. The message id depends only on the
//! event that causes the API call. If the same message arrives again, the stream already exists, and the desk
//! does not create a second API call.

pub mod api_call;
pub mod execution;

use domain::api_call::{ApiCall, Command};
use domain::intent::{self, Intent};
use events::Meta;
use events::api_call::Requested;
use infra::ledger::command_id;
use infra::queue::Message;
use infra::{CommandEnvelope, Error, Ledger};

use super::{runner, wrong_queue};
use crate::App;
use crate::app::automation::evaluate_rules;

/// Executes an intent (a request for work) from a message. Creates an API call or an execution (a script run), and
/// makes its first attempt.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::StartApiCall(call) => {
            open(&app.ledger, message, *call).await?;
            api_call::step(app, &stream(message)).await
        }
        Intent::EvaluateRules(evaluate) => {
            match evaluate_rules::evaluate(app, &message.id, *evaluate).await? {
                Some(stream) => execution::step(app, &stream).await,
                None => Ok(()),
            }
        }
        _ => Err(wrong_queue(message)),
    }
}

fn stream(message: &Message) -> String {
    format!("api_call-{}", message.id)
}

/// Creates an API call from an intent (a request for work). The first attempt is due immediately.
pub async fn open(
    ledger: &Ledger,
    message: &Message,
    call: intent::StartApiCall,
) -> Result<(), Error> {
    let intent::StartApiCall {
        ticket,
        node,
        name,
        round,
        attempt,
        cause,
        key,
        inputs,
        task,
        correlation,
    } = call;
    let command_envelope = CommandEnvelope {
        stream: stream(message),
        command_id: command_id(&["automate", &message.id]),
        meta: Meta::system(correlation, cause.clone()),
    };
    let requested = Requested {
        ticket,
        node,
        name,
        round,
        attempt,
        cause,
        key,
        inputs,
        task,
        due: ledger.clock.now(),
    };
    runner::open::<ApiCall>(ledger, &command_envelope, &Command::Request(requested)).await
}
