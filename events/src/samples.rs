//! Contains one sample event for each event type and version. After a release, a sample never changes.
//!
//! The samples prove that the program can still read old events. All samples of one aggregate together are a
//! valid sequence of events. The fingerprint of the snapshots (stored states of aggregates) is computed from
//! this sequence.

use crate::{Event, Raw};

macro_rules! samples {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../samples/", $name, ".json")))),*] };
}

/// The name (`<type>.v<version>`) and the JSON text of each sample. The samples of one aggregate are in an
/// order in which the events could happen.
pub const ALL: &[(&str, &str)] = samples! {
    "app.registered.v1"
    "application.requested.v1"
    "application.attempt_started.v1"
    "application.attempt_failed.v1"
    "application.poll_scheduled.v1"
    "application.hinted.v1"
    "application.completed.v1"
    "application.expired.v1"
    "application.closed.v1"
    "application_kind.defined.v1"
    "attachment.upload_started.v1"
    "attachment.uploaded.v1"
    "attachment.attached.v1"
    "attachment.retained.v1"
    "attachment.discarded.v1"
    "attachment.content_deleted.v1"
    "api_call.requested.v1"
    "api_call.attempt_started.v1"
    "api_call.attempt_failed.v1"
    "api_call.poll_scheduled.v1"
    "api_call.completed.v1"
    "api_call.closed.v1"
    "catalog.category_added.v1"
    "catalog.service_placed.v1"
    "catalog.category_changed.v1"
    "catalog.category_removed.v1"
    "catalog.service_named.v1"
    "callback.requested.v1"
    "callback.attempt_failed.v1"
    "callback.succeeded.v1"
    "callback.failed.v1"
    "callback.collected.v1"
    "case.received.v1"
    "case.refused.v1"
    "case.process_requested.v1"
    "case.bound.v1"
    "case.updated.v1"
    "case.identified.v1"
    "dictionary.defined.v1"
    "dispatch.requested.v1"
    "dispatch.poll_scheduled.v1"
    "dispatch.offered.v1"
    "dispatch.offer_repeated.v1"
    "dispatch.accepted.v1"
    "dispatch.lease_renewed.v1"
    "dispatch.work_released.v1"
    "dispatch.suspected.v1"
    "dispatch.cancel_requested.v1"
    "dispatch.attempt_failed.v1"
    "dispatch.outdated_result_received.v1"
    "dispatch.completed.v1"
    "dispatch.expired.v1"
    "dispatch.closed.v1"
    "draft.saved.v1"
    "draft.discarded.v1"
    "field.defined.v1"
    "idempotency_key.reserved.v1"
    "ledger.continued.v1"
    "inbound.received.v1"
    "integration.defined.v1"
    "number_sequence.block_issued.v1"
    "reaction.activated.v1"
    "robot.defined.v1"
    "robot.reserved.v1"
    "robot.reservation_kept.v1"
    "robot.release_started.v1"
    "robot.quarantined.v1"
    "robot.freed.v1"
    "role.defined.v1"
    "service.defined.v1"
    "site.defined.v1"
    "task_type.defined.v1"
    "workflow.draft_saved.v1"
    "workflow.deployed.v1"
    "workflow.version_removed.v1"
    "workflow.availability_changed.v1"
    "ticket.opened.v1"
    "ticket.node_entered.v1"
    "ticket.node_assigned.v1"
    "ticket.node_claimed.v1"
    "ticket.node_transferred.v1"
    "ticket.suspended.v1"
    "ticket.resumed.v1"
    "ticket.vote_cast.v1"
    "ticket.node_completed.v1"
    "ticket.transition_taken.v1"
    "ticket.transition_missing.v1"
    "ticket.branches_started.v1"
    "ticket.branch_joined.v1"
    "ticket.node_result_received.v1"
    "ticket.node_failed.v1"
    "ticket.node_retried.v1"
    "ticket.node_skipped.v1"
    "ticket.node_reassigned.v1"
    "ticket.processors_missing.v1"
    "ticket.status_set.v1"
    "ticket.closed.v1"
    "ticket.fields_changed.v1"
    "ticket.priority_changed.v1"
    "ticket.remark_added.v1"
    "ticket.followers_changed.v1"
    "ticket.rated.v1"
    "ticket.reminded.v1"
    "ticket.linked.v1"
    "ticket.unlinked.v1"
    "ticket.acknowledged.v1"
    "ticket.escalated.v1"
    "ticket.row_imported.v1"
    "ticket.withdrawn.v1"
    "ticket.terminated.v1"
    "ticket.finished.v1"
};

/// Returns the sample events of one aggregate in their current versions. A sample of an old version is
/// converted first.
pub fn history<F: Event>() -> Vec<F> {
    let of_aggregate = |name: &&(&str, &str)| name.0.split('.').next() == Some(F::AGGREGATE);
    ALL.iter()
        .filter(of_aggregate)
        .map(|(name, text)| {
            let raw: Raw<'_> = serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("sample {name} is not an event: {error}"));
            F::read(&raw).unwrap_or_else(|error| panic!("sample {name}: {error}"))
        })
        .collect()
}
