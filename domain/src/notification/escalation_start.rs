//! Decides in which stream an escalation starts, so that a chain runs at most once at a time for one stay of a ticket at a
//! node. Several events can request the same chain: the entry of the node, a changed priority, and the end of a
//! suspension. The requests arrive in any order, and each can arrive several times.

use events::{Moment, NodeId, TicketSn};

use super::escalation::{Escalation, Phase};

/// Maximum number of times that one chain starts for one stay of a ticket at a node. A chain starts again after it was
/// stopped, for example by a suspension.
pub const RUNS_MAX: u32 = 100;

/// One stay of a ticket at a node.
#[derive(Clone, Copy, Debug)]
pub struct Stay<'a> {
    pub ticket: &'a TicketSn,
    pub node: NodeId,
    pub round: u32,
}

/// The event that requests an escalation.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// The id of the event: the stream and the sequence, separated by a colon.
    pub id: &'a str,
    pub at: Moment,
    /// True if the priority of the ticket changed. Otherwise, the ticket entered the node or was resumed.
    pub is_priority_change: bool,
}

/// What a request finds in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The escalation starts in this stream.
    Free,
    /// The same request was already executed, or the chain already runs. Nothing starts.
    Taken,
    /// The chain still runs, but the ticket was suspended since its start. It must be stopped, and starts again in the
    /// next stream.
    Suspended,
    /// The chain was stopped. It starts again in the next stream.
    Ended,
}

/// Returns the name of the stream of an escalation. `run` counts the starts of the chain during the stay, beginning with
/// 1. The name contains the first half of a BLAKE3 hash.
pub fn stream(stay: Stay<'_>, chain: &str, run: u32) -> String {
    let (node, round) = (stay.node.0.to_string(), stay.round.to_string());
    let run = run.to_string();
    let mut hasher = blake3::Hasher::new();
    let parts = [stay.ticket.as_str(), &node, &round, chain, &run];
    for part in ["ledgerdesk.escalation.v1"].into_iter().chain(parts) {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    format!("escalation-{}", &hasher.finalize().to_hex()[..32])
}

/// Returns what a request finds in the stream with the state `state`.
pub fn place(state: &Escalation, cause: Cause<'_>) -> Place {
    let Some(started) = &state.started else {
        return Place::Free;
    };
    if started.cause == cause.id {
        return Place::Taken;
    }
    match &state.phase {
        // After the entry of the node, only the end of a suspension requests the chain without a changed priority.
        Phase::Waiting(..) if is_later(cause.id, &started.cause) && !cause.is_priority_change => {
            Place::Suspended
        }
        Phase::Waiting(..) => Place::Taken,
        // The request comes again after its views were deleted. The chain ran when the event happened.
        Phase::Exhausted
            if state
                .notified
                .last()
                .is_some_and(|step| step.at >= cause.at) =>
        {
            Place::Taken
        }
        Phase::New | Phase::Acknowledged(_) | Phase::Stopped(_) | Phase::Exhausted => Place::Ended,
    }
}

/// Returns true if the event `one` has a higher sequence in its stream than the event `other`.
fn is_later(one: &str, other: &str) -> bool {
    let sequence = |id: &str| -> Option<i64> { id.rsplit_once(':')?.1.parse().ok() };
    sequence(one) > sequence(other)
}

#[cfg(test)]
mod tests {
    use events::escalation::{EscalationEvent, Started, StopReason, Stopped};
    use events::escalation_chain::{Step, Target};

    use super::*;
    use crate::decider::{Decider as _, fold};
    use crate::notification::escalation::{Command, Position};

    fn started(cause: &str) -> EscalationEvent {
        let step = Step {
            wait_minutes: 0,
            notify: Target::Person("a".into()),
            accounts: Vec::new(),
            only_if: None,
            buzz: false,
        };
        Started {
            chain: "default".into(),
            version: 1,
            steps: vec![step],
            repeat: 0,
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "审批".into(),
            round: 1,
            cause: cause.into(),
            at: Moment(5),
            priority: "3".into(),
            due: Moment(5),
        }
        .into()
    }

    fn cause(id: &str, at: i64, is_priority_change: bool) -> Cause<'_> {
        Cause {
            id,
            at: Moment(at),
            is_priority_change,
        }
    }

    #[test]
    fn each_stay_chain_and_run_has_its_own_stream() {
        let (one, two) = (TicketSn::from("REQ1"), TicketSn::from("REQ2"));
        let name = |ticket, node, round, chain, run| {
            let node = NodeId(node);
            let stay = Stay {
                ticket,
                node,
                round,
            };
            stream(stay, chain, run)
        };
        let first = name(&one, 3, 1, "default", 1);
        assert_eq!(first, name(&one, 3, 1, "default", 1));
        for other in [
            name(&two, 3, 1, "default", 1),
            name(&one, 4, 1, "default", 1),
            name(&one, 3, 2, "default", 1),
            name(&one, 3, 1, "slow", 1),
            name(&one, 3, 1, "default", 2),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_running_chain_does_not_start_again() {
        let running: Escalation = fold(&[started("ticket-REQ1:5")]);
        assert_eq!(
            place(&Escalation::default(), cause("ticket-REQ1:5", 5, false)),
            Place::Free
        );
        for (id, is_priority_change, expected) in [
            ("ticket-REQ1:5", false, Place::Taken),
            ("ticket-REQ1:6", true, Place::Taken),
            ("ticket-REQ1:4", false, Place::Taken),
            ("ticket-REQ1:10", false, Place::Suspended),
        ] {
            let found = place(&running, cause(id, 10, is_priority_change));
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn a_stopped_chain_starts_again_after_another_event() {
        let reason = StopReason::PriorityChanged;
        let stopped: Escalation = fold(&[started("ticket-REQ1:5"), Stopped { reason }.into()]);
        let same = cause("ticket-REQ1:5", 5, false);
        assert_eq!(place(&stopped, same), Place::Taken);
        let later = cause("ticket-REQ1:9", 9, true);
        assert_eq!(place(&stopped, later), Place::Ended);
    }

    #[test]
    fn an_exhausted_chain_starts_again_only_after_a_later_event() {
        let mut history = vec![started("ticket-REQ1:5")];
        let notify = Command::Notify {
            position: Position { pass: 1, step: 1 },
            at: Moment(100),
            people: Ok(vec!["a".into()]),
        };
        let state: Escalation = fold(&history);
        history.extend(state.decide(&notify, &()).unwrap());
        let exhausted: Escalation = fold(&history);
        assert_eq!(exhausted.phase, Phase::Exhausted);
        let earlier = cause("ticket-REQ1:6", 100, true);
        assert_eq!(place(&exhausted, earlier), Place::Taken);
        let later = cause("ticket-REQ1:7", 101, true);
        assert_eq!(place(&exhausted, later), Place::Ended);
    }
}
