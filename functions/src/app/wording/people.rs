//! Lists the people whose names occur in the texts about events and rejections of a ticket. With these lists, the web
//! console can read all names before the texts are written.

use domain::ticket::Rejection;
use events::ticket::{Tested, TicketEvent};
use events::{Entry, PersonId};
use serde_json::Value;

use super::details;

/// Returns all people whose names the timeline can show for an event, without repetition. The result contains
/// the acting person.
pub fn people(event: &TicketEvent) -> Vec<&PersonId> {
    let mut people: Vec<&PersonId> = match event {
        TicketEvent::Opened(opened) => std::iter::once(&opened.creator)
            .chain(&opened.agent)
            .collect(),
        TicketEvent::NodeEntered(entered) => entered.processors.iter().collect(),
        TicketEvent::NodeClaimed(claimed) => vec![&claimed.by],
        TicketEvent::NodeAssigned(assigned) => with(&assigned.by, &assigned.processors),
        TicketEvent::NodeTransferred(transferred) => {
            let mut people = with(&transferred.by, &transferred.processors);
            people.extend(&transferred.replaces);
            people
        }
        TicketEvent::VoteCast(vote) => vec![&vote.by],
        TicketEvent::NodeCompleted(completed) => vec![&completed.by],
        TicketEvent::TransitionTaken(taken) => taken.by.iter().collect(),
        TicketEvent::Suspended(suspended) => vec![&suspended.by],
        TicketEvent::Resumed(resumed) => vec![&resumed.by],
        TicketEvent::Withdrawn(withdrawn) => vec![&withdrawn.by],
        TicketEvent::Terminated(terminated) => vec![&terminated.by],
        TicketEvent::NodeRetried(retried) => vec![&retried.by],
        TicketEvent::NodeSkipped(skipped) => vec![&skipped.by],
        TicketEvent::NodeReassigned(reassigned) => with(&reassigned.by, &reassigned.processors),
        TicketEvent::Closed(closed) => vec![&closed.by],
        TicketEvent::FieldsChanged(changed) => vec![&changed.by],
        TicketEvent::RemarkAdded(added) => with(&added.by, &added.mentions),
        TicketEvent::FollowersChanged(changed) => with(&changed.by, &changed.people),
        TicketEvent::Rated(rated) => vec![&rated.by],
        TicketEvent::Reminded(reminded) => with(&reminded.by, &reminded.people),
        TicketEvent::Linked(linked) => vec![&linked.by],
        TicketEvent::Unlinked(unlinked) => vec![&unlinked.by],
        TicketEvent::Acknowledged(acknowledged) => vec![&acknowledged.by],
        TicketEvent::Escalated(escalated) => with(&escalated.by, &escalated.processors),
        TicketEvent::RowImported(_)
        | TicketEvent::TransitionMissing(_)
        | TicketEvent::Finished(_)
        | TicketEvent::BranchesStarted(_)
        | TicketEvent::BranchJoined(_)
        | TicketEvent::NodeResultReceived(_)
        | TicketEvent::NodeFailed(_)
        | TicketEvent::ProcessorsMissing(_)
        | TicketEvent::StatusSet(_)
        | TicketEvent::PriorityChanged(_) => Vec::new(),
    };
    people.sort();
    people.dedup();
    people
}

fn with<'a>(by: &'a PersonId, others: &'a [PersonId]) -> Vec<&'a PersonId> {
    std::iter::once(by).chain(others).collect()
}

/// Returns the people whose person ids occur in the form values, output values and tested conditions of an
/// event, without repetition. The timeline shows the names of these people instead of the ids.
pub fn people_in_values(event: &TicketEvent) -> Vec<PersonId> {
    let mut people = match event {
        TicketEvent::VoteCast(vote) => in_form(&vote.form),
        TicketEvent::NodeCompleted(completed) => {
            let mut people = in_form(&completed.form);
            people.extend(in_texts(completed.outputs.values()));
            people
        }
        TicketEvent::FieldsChanged(changed) => in_form(&changed.form),
        TicketEvent::TransitionTaken(taken) => in_trace(&taken.tested),
        TicketEvent::TransitionMissing(missing) => in_trace(&missing.tested),
        TicketEvent::NodeResultReceived(received) => in_texts(received.outputs.values()),
        TicketEvent::NodeRetried(retried) => in_texts(retried.inputs.values()),
        TicketEvent::NodeSkipped(skipped) => in_texts(skipped.outputs.values()),
        TicketEvent::Opened(_)
        | TicketEvent::RowImported(_)
        | TicketEvent::NodeEntered(_)
        | TicketEvent::NodeClaimed(_)
        | TicketEvent::NodeAssigned(_)
        | TicketEvent::NodeTransferred(_)
        | TicketEvent::Suspended(_)
        | TicketEvent::Resumed(_)
        | TicketEvent::Withdrawn(_)
        | TicketEvent::Terminated(_)
        | TicketEvent::Finished(_)
        | TicketEvent::BranchesStarted(_)
        | TicketEvent::BranchJoined(_)
        | TicketEvent::NodeFailed(_)
        | TicketEvent::NodeReassigned(_)
        | TicketEvent::ProcessorsMissing(_)
        | TicketEvent::StatusSet(_)
        | TicketEvent::Closed(_)
        | TicketEvent::PriorityChanged(_)
        | TicketEvent::RemarkAdded(_)
        | TicketEvent::FollowersChanged(_)
        | TicketEvent::Rated(_)
        | TicketEvent::Reminded(_)
        | TicketEvent::Linked(_)
        | TicketEvent::Unlinked(_)
        | TicketEvent::Acknowledged(_)
        | TicketEvent::Escalated(_) => Vec::new(),
    };
    people.sort();
    people.dedup();
    people
}

fn in_form(form: &[Entry]) -> Vec<PersonId> {
    form.iter()
        .flat_map(|entry| in_value(entry.read()))
        .collect()
}

fn in_value(value: &Value) -> Vec<PersonId> {
    match value {
        Value::String(text) => ids_in(text),
        Value::Array(items) => items.iter().flat_map(in_value).collect(),
        Value::Object(members) => members.values().flat_map(in_value).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn in_texts<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<PersonId> {
    texts.flat_map(|text| ids_in(text)).collect()
}

fn in_trace(trace: &[Tested]) -> Vec<PersonId> {
    trace
        .iter()
        .flat_map(|tested| {
            let expected = details::clause_parts(&tested.clause).map_or("", |parts| parts.2);
            [ids_in(expected), ids_in(&tested.found)].concat()
        })
        .collect()
}

/// If a text consists of one or more person ids with commas between the ids, returns these ids. Otherwise,
/// returns an empty list.
pub(super) fn ids_in(text: &str) -> Vec<PersonId> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.iter().all(|part| PersonId::is_id(part)) {
        parts.into_iter().map(PersonId::from).collect()
    } else {
        Vec::new()
    }
}

/// Returns the people whose names the text of a rejection contains.
pub fn rejection_people(rejection: &Rejection) -> Vec<&PersonId> {
    match rejection {
        Rejection::NotAllowed { by, .. }
        | Rejection::UnknownPerson(by)
        | Rejection::NotAllowedOnTicket(by)
        | Rejection::NotAllowedToSee(by)
        | Rejection::MayNotRemind(by)
        | Rejection::MayNotSubmit { by, .. } => vec![by],
        Rejection::TargetsOutOfRange(people) | Rejection::AlreadyDecided(people) => {
            people.iter().collect()
        }
        Rejection::Exists
        | Rejection::Unknown
        | Rejection::ServiceUnknown(_)
        | Rejection::ServiceDisabled(_)
        | Rejection::ServiceNotInCatalog(_)
        | Rejection::ChosenNodeUnknown { .. }
        | Rejection::ChosenProcessorsEmpty { .. }
        | Rejection::FieldsMissing(_)
        | Rejection::FieldUnknown(_)
        | Rejection::FieldTwice(_)
        | Rejection::FieldEmpty(_)
        | Rejection::OptionUnknown(_)
        | Rejection::OptionsMissing(_)
        | Rejection::OptionsUnavailable { .. }
        | Rejection::FileUnfit { .. }
        | Rejection::ReadOnly(_)
        | Rejection::TitleTooLong
        | Rejection::FieldInvalid { .. }
        | Rejection::Ended
        | Rejection::Suspended
        | Rejection::NodeUnknown(_)
        | Rejection::NodeFinished(_)
        | Rejection::NotClaimable(_)
        | Rejection::NotDistributable(_)
        | Rejection::NoProcessorGiven
        | Rejection::TargetKindNotAllowed
        | Rejection::DeliverNotAllowed(_)
        | Rejection::NotDeliverable
        | Rejection::DeliverMessageMissing
        | Rejection::TerminateNotAllowed(_)
        | Rejection::TerminateReasonMissing
        | Rejection::SuspendReasonMissing
        | Rejection::MessageTooLong
        | Rejection::ReasonTooLong
        | Rejection::NotInProcess
        | Rejection::NotSuspended
        | Rejection::NotTheCreator
        | Rejection::NotRevocable
        | Rejection::AlreadyEnded
        | Rejection::HandledAlready
        | Rejection::TooManyRounds(_)
        | Rejection::NotImported
        | Rejection::IsChild
        | Rejection::NotFailed(_)
        | Rejection::TransitionUnknown { .. }
        | Rejection::NotAnApproval(_)
        | Rejection::ResultNotExpected
        | Rejection::RemindingOff
        | Rejection::NotAnEnd(_)
        | Rejection::TextUnfit(_)
        | Rejection::RemarkUnknown(_)
        | Rejection::TooMany(_)
        | Rejection::NotFinished
        | Rejection::RatedAlready
        | Rejection::NotTheRater
        | Rejection::StarsUnfit(_)
        | Rejection::LinkedWithItself
        | Rejection::LinkedAlready(_)
        | Rejection::NotLinked(_)
        | Rejection::NotEscalatable(_)
        | Rejection::NoEscalationTarget
        | Rejection::NotEditable(_)
        | Rejection::NoAgency => Vec::new(),
    }
}
