//! One real sample per event type and version, never edited. They prove that old events still read, and they are the golden
//! histories from which snapshots take their fingerprint.

use crate::{Fact, Raw};

macro_rules! samples {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../samples/", $name, ".json")))),*] };
}

/// File name (`type.v<version>`) and text of every sample, each aggregate in the order of a life.
pub const ALL: &[(&str, &str)] = samples! {
    "app.registered.v1"
    "attachment.begun.v1"
    "attachment.received.v1"
    "attachment.attached.v1"
    "attachment.kept.v1"
    "attachment.discarded.v1"
    "attachment.removed.v1"
    "call.requested.v1"
    "call.began.v1"
    "call.attempt_failed.v1"
    "call.waiting.v1"
    "call.answered.v1"
    "call.closed.v1"
    "catalog.added.v1"
    "catalog.service_placed.v1"
    "catalog.changed.v1"
    "catalog.removed.v1"
    "delivery.requested.v1"
    "delivery.attempt_failed.v1"
    "delivery.delivered.v1"
    "delivery.given_up.v1"
    "delivery.collected.v1"
    "dictionary.defined.v1"
    "draft.saved.v1"
    "draft.discarded.v1"
    "field.defined.v1"
    "intake.reserved.v1"
    "ledger.continued.v1"
    "numbers.block_issued.v1"
    "role.defined.v1"
    "service.defined.v1"
    "workflow.drafted.v1"
    "workflow.deployed.v1"
    "workflow.removed.v1"
    "workflow.closed.v1"
    "ticket.opened.v1"
    "ticket.node_entered.v1"
    "ticket.node_distributed.v1"
    "ticket.node_claimed.v1"
    "ticket.node_delivered.v1"
    "ticket.suspended.v1"
    "ticket.resumed.v1"
    "ticket.vote_cast.v1"
    "ticket.node_completed.v1"
    "ticket.line_taken.v1"
    "ticket.line_missing.v1"
    "ticket.forked.v1"
    "ticket.branch_joined.v1"
    "ticket.call_answered.v1"
    "ticket.node_failed.v1"
    "ticket.node_retried.v1"
    "ticket.node_skipped.v1"
    "ticket.node_reassigned.v1"
    "ticket.node_unattended.v1"
    "ticket.status_set.v1"
    "ticket.closed.v1"
    "ticket.field_changed.v1"
    "ticket.prioritised.v1"
    "ticket.remarked.v1"
    "ticket.followed.v1"
    "ticket.rated.v1"
    "ticket.reminded.v1"
    "ticket.linked.v1"
    "ticket.unlinked.v1"
    "ticket.acknowledged.v1"
    "ticket.escalated.v1"
    "ticket.observed.v1"
    "ticket.withdrawn.v1"
    "ticket.terminated.v1"
    "ticket.finished.v1"
};

/// The samples of one aggregate as today's events, oldest versions included.
pub fn history<F: Fact>() -> Vec<F> {
    let of_aggregate = |name: &&(&str, &str)| name.0.split('.').next() == Some(F::AGGREGATE);
    ALL.iter()
        .filter(of_aggregate)
        .map(|(name, text)| {
            let raw: Raw<'_> = serde_json::from_str(text).unwrap_or_else(|error| panic!("sample {name} is not an event: {error}"));
            F::read(&raw).unwrap_or_else(|error| panic!("sample {name}: {error}"))
        })
        .collect()
}
