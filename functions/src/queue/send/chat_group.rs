//! Makes the requests that let the chat group of a ticket follow the ticket. Each request is one step of the group. The steps
//! use the limits of the account that owns the group.

mod people;
mod prepared;

use std::collections::BTreeMap;

use domain::attempt::Verdict;
use domain::intent::SyncChatGroup;
use domain::notification::chat_group::{
    self, ChatGroup, Command, Outcome, Rejection, Step, StepReport,
};
use events::chat_group::{LeftOut, LeftOutReason, Member, Requested};
use events::delivery::FailureClass;
use events::{Meta, channel_account};
use infra::channel::group::{self, Groups};
use infra::channel::{Channel, Response};
use infra::http::{HttpRequest, origin};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use self::people::Addressed;
use self::prepared::{Prepared, prepare};
use super::hidden::Hidden;
use super::limited_update;
use crate::App;
use crate::app::notifications::{accounts, chat_groups, erased_members};
use crate::queue::runner;

/// Maximum number of steps that one call makes. The deadline of the group continues with further steps.
const STEPS_MAX: usize = 30;
/// Additional time after the timeout of a request, in milliseconds. If no outcome is stored before the end of this time, the
/// attempt counts as interrupted.
const GRACE_MS: i64 = 30_000;
/// Pause in milliseconds before the next attempt to remove an erased person if the account cannot be used: two hours. The
/// attempts then end within one day.
const STOPPED_MS: i64 = 2 * 3_600_000;

/// Lets the chat group of a ticket follow the ticket after one of its events, and makes the steps that are due. `id`
/// identifies this call.
pub(super) async fn sync(app: &App, id: &str, sync: SyncChatGroup) -> Result<(), Error> {
    let stream = chat_group::stream(&sync.ticket);
    chat_groups::sync(app, id, sync).await?;
    advance(app, &stream).await
}

/// Makes the steps of a group that are due. Does nothing before the time of the next attempt.
pub(super) async fn advance(app: &App, stream: &str) -> Result<(), Error> {
    for _ in 0..STEPS_MAX {
        if !Box::pin(attempt(app, stream)).await? {
            break;
        }
    }
    Ok(())
}

/// A step, and its outcome.
type Made = (Step, Outcome);

/// Makes one attempt, and stores its outcome. Returns false if no attempt is due, or if another worker makes it.
async fn attempt(app: &App, stream: &str) -> Result<bool, Error> {
    let loaded = app.ledger.load::<ChatGroup>(stream).await?;
    let group = loaded.aggregate.0;
    let Some(requested) = &group.requested else {
        return Ok(false);
    };
    if group.attempts.due > app.ledger.clock.now() {
        return Ok(false);
    }
    let made = match (group.interrupted(), group.step()) {
        (Some(step), _) => {
            let verdict = Verdict::Unknown {
                reason: "the desk stopped during the attempt".into(),
            };
            Some(failed(requested, step, verdict))
        }
        (None, Some(step)) => make(app, stream, &group, requested, step).await?,
        (None, None) => return Ok(false),
    };
    let Some((step, outcome)) = made else {
        return Ok(false);
    };
    let attempt = group.attempts.next();
    let report = StepReport {
        attempt,
        outcome: patient(&step, outcome),
        step,
        at: app.ledger.clock.now(),
    };
    if let Some(secret) = group.destroyed(&report) {
        // If the desk stops before the report is stored, the next attempt finds no address and ends the removal.
        erased_members::destroy(app, secret).await?;
    }
    let id = command_id(&["chat_group", stream, &attempt.to_string()]);
    let command = Command::Record(Box::new(report));
    execute(app, stream, requested, id, &command).await
}

/// Executes a command of an attempt. Returns false if another worker makes, or has made, the attempt.
async fn execute(
    app: &App,
    stream: &str,
    requested: &Requested,
    id: [u8; 16],
    command: &Command,
) -> Result<bool, Error> {
    let cause = requested.ticket.stream();
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: id,
        meta: Meta::system(cause.clone(), cause),
    };
    let ledger = &app.ledger;
    let executed = ledger.execute::<ChatGroup>(&command_envelope, command, &NoContext);
    match executed.await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(Rejection::NotDue(_))) => Ok(false),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the outcome that is stored. After wrong credentials, the removal of an erased person waits until an operator has
/// corrected the account, because a person who is not removed stays a member.
fn patient(step: &Step, outcome: Outcome) -> Outcome {
    match (step, outcome) {
        (
            Step::RemoveErased(_),
            Outcome::Failed {
                verdict:
                    Verdict::Refused {
                        class: FailureClass::Credential,
                        reason,
                        ..
                    },
                may_repeat,
            },
        ) => Outcome::Failed {
            verdict: Verdict::Retry {
                reason,
                after_ms: Some(STOPPED_MS),
            },
            may_repeat,
        },
        (_, outcome) => outcome,
    }
}

/// Returns the outcome of a failed step. Only a message must not be sent again after an unknown result.
fn failed(requested: &Requested, step: Step, verdict: Verdict) -> Made {
    let may_repeat = match &step {
        Step::Send(_) => {
            let groups = infra::channel::find(&requested.channel).and_then(Channel::groups);
            groups.is_some_and(Groups::repeats_messages)
        }
        _ => true,
    };
    let outcome = Outcome::Failed {
        verdict,
        may_repeat,
    };
    (step, outcome)
}

/// Makes one step. Returns `None` if another worker makes the attempt.
async fn make(
    app: &App,
    stream: &str,
    group: &ChatGroup,
    requested: &Requested,
    step: Step,
) -> Result<Option<Made>, Error> {
    let number = group.attempts.next();
    if step == Step::Create && !group.may_create(app.ledger.clock.now()) {
        let verdict = Verdict::Unknown {
            reason: "the platform does not recognize a repetition of the creation any more".into(),
        };
        let is_taken = runner::lease(app, stream, number).await?;
        return Ok(is_taken.then(|| failed(requested, step, verdict)));
    }
    let prepared = match prepare(app, stream, group, requested, step).await? {
        Ok(prepared) => prepared,
        Err(made) => {
            // Without the lease, this outcome could replace the outcome of another worker that sends a request now.
            let is_taken = runner::lease(app, stream, number).await?;
            return Ok(is_taken.then_some(made));
        }
    };
    let request = match prepared.request(group, requested) {
        Ok(request) => request,
        // The settings or the secret of the account are wrong. An operator can correct the account, so another attempt
        // follows.
        Err(reason) => {
            let made = failed(requested, prepared.step, Verdict::retry(reason));
            let is_taken = runner::lease(app, stream, number).await?;
            return Ok(is_taken.then_some(made));
        }
    };
    let target = origin(&request.url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(runner::busy(&target));
    };
    // The lease is the exclusive right of one worker to make the attempt.
    if !runner::lease(app, stream, number).await? {
        return Ok(None);
    }
    if let Some(verdict) = admit(app, &prepared.account).await? {
        return Ok(Some(failed(requested, prepared.step, verdict)));
    }
    let started = match &prepared.step {
        Step::Create => Some(None),
        Step::Send(pending) => Some(Some(pending.number)),
        _ => None,
    };
    if let Some(message) = started {
        let timeout_ms = i64::try_from(request.timeout.as_millis()).unwrap_or(i64::MAX / 2);
        let now = app.ledger.clock.now();
        let recognized = prepared.groups.recognizes_ms();
        let command = Command::Begin {
            attempt: number,
            message,
            recognized_until: recognized
                .filter(|_| message.is_none())
                .map(|ms| now.plus_ms(ms)),
            until: now.plus_ms(timeout_ms + GRACE_MS),
        };
        // Each worker uses a random id, so the ledger rejects the command of a second worker.
        let id = app.ledger.fresh_id();
        if !execute(app, stream, requested, id, &command).await? {
            return Ok(None);
        }
    }
    send(app, group, requested, prepared, &request)
        .await
        .map(Some)
}

/// Sends the request of a step, and evaluates the response.
async fn send(
    app: &App,
    group: &ChatGroup,
    requested: &Requested,
    prepared: Prepared,
    request: &HttpRequest,
) -> Result<Made, Error> {
    let response = app.http.send(request).await;
    let mut outcome = prepared.outcome(group, requested, &response);
    if prepared
        .codec
        .refuses_token(&Response::Http(response.clone()))
    {
        app.tokens.discard(&prepared.account.name).await;
        if !prepared.has_new_token() {
            let verdict = Verdict::retry("the access token is not valid any more");
            outcome = group::Outcome::Failed(verdict);
        }
    }
    let account = prepared.account.name.clone();
    let (step, outcome) = match outcome {
        group::Outcome::Created { chat, is_named } => {
            let created = Outcome::Created {
                chat,
                is_named,
                members: prepared.people.members,
                left_out: prepared.people.left_out,
            };
            (prepared.step, created)
        }
        group::Outcome::Elsewhere { cursor } => (prepared.step, Outcome::Elsewhere { cursor }),
        group::Outcome::Done { message, refused } => {
            done(prepared.step, prepared.people, message, &refused)
        }
        group::Outcome::Failed(mut verdict) => {
            let owner = prepared.groups.owner(&prepared.account);
            let addresses = prepared.addresses.iter().map(String::as_str);
            for to in addresses.chain([owner, ""]) {
                let hidden = Hidden::new(to, &prepared.secret, prepared.token());
                hidden.remove_from(&mut verdict);
            }
            runner::delay(&mut verdict, &response, app.ledger.clock.now());
            warn(&prepared.account, &verdict);
            failed(requested, prepared.step, verdict)
        }
    };
    let noted = match &outcome {
        Outcome::Failed { verdict, .. } => verdict.clone(),
        _ => Verdict::succeeded(BTreeMap::new()),
    };
    // The outcome is stored even if it cannot be counted.
    if let Err(error) = accounts::note(app, &account, &noted).await {
        tracing::warn!(%error, "the result of a change of a chat group is not counted");
    }
    Ok((step, outcome))
}

/// Counts the request in the limits of its account. Returns a verdict if the request must wait.
async fn admit(app: &App, account: &channel_account::Defined) -> Result<Option<Verdict>, Error> {
    match accounts::admit(app, &account.name).await? {
        Some(verdict) => Ok(Some(verdict)),
        None => limited_update(app, account).await,
    }
}

/// Logs a failure that an operator must correct.
fn warn(account: &channel_account::Defined, verdict: &Verdict) {
    if let Verdict::Refused {
        class: class @ (FailureClass::Credential | FailureClass::Permanent),
        code,
        reason,
    } = verdict
    {
        tracing::warn!(
            account = account.name.as_str(),
            ?class,
            code,
            %reason,
            "a platform refused a change of a chat group"
        );
    }
}

/// Returns the outcome of a step that the platform made for all people except those with the addresses `refused`.
fn done(step: Step, people: Addressed, message: String, refused: &[String]) -> Made {
    let outcome = match &step {
        Step::Add(_) => {
            let is_refused = |member: &Member| {
                let address = people::address(member);
                address.is_some_and(|address| refused.iter().any(|one| one == address))
            };
            let mut left_out = people.left_out;
            let mut added = Vec::new();
            for member in people.members {
                if is_refused(&member) {
                    left_out.push(LeftOut {
                        person: member.person,
                        reason: LeftOutReason::Refused,
                    });
                } else {
                    added.push(member);
                }
            }
            Outcome::Synced {
                added,
                removed: Vec::new(),
                left_out,
            }
        }
        Step::Remove(gone) => Outcome::Synced {
            added: Vec::new(),
            removed: gone.clone(),
            left_out: Vec::new(),
        },
        _ => Outcome::Done { message },
    };
    (step, outcome)
}

#[cfg(test)]
mod tests {
    use events::{PersonId, Personal};

    use super::*;

    fn member(name: &str) -> Member {
        let person = PersonId(name.into());
        Member {
            address: Personal::new(person.clone(), format!("wx-{name}").into()),
            person,
        }
    }

    #[test]
    fn wrong_credentials_postpone_only_the_removal_of_an_erased_person() {
        let refused = || Outcome::Failed {
            verdict: Verdict::refused(FailureClass::Credential, "40014", "refused"),
            may_repeat: true,
        };
        let erased = Step::RemoveErased(PersonId("a".into()));
        let waits = Outcome::Failed {
            verdict: Verdict::Retry {
                reason: "refused".into(),
                after_ms: Some(STOPPED_MS),
            },
            may_repeat: true,
        };
        assert_eq!(patient(&erased, refused()), waits);
        assert_eq!(patient(&Step::Close, refused()), refused());
    }

    #[test]
    fn a_refused_person_is_left_out_and_the_others_are_members() {
        let people = Addressed {
            members: vec![member("a"), member("b")],
            left_out: Vec::new(),
        };
        let all = vec![PersonId("a".into()), PersonId("b".into())];
        let refused = ["wx-a".to_owned()];
        let (_, outcome) = done(Step::Add(all), people, String::new(), &refused);
        let expected = Outcome::Synced {
            added: vec![member("b")],
            removed: Vec::new(),
            left_out: vec![LeftOut {
                person: PersonId("a".into()),
                reason: LeftOutReason::Refused,
            }],
        };
        assert_eq!(outcome, expected);
    }
}
