//! Computes statistics of the whole desk: the numbers of tickets, decisions, API calls, callbacks and other
//! events.

use std::collections::BTreeMap;

use events::callback::CallbackEvent;
use events::ticket::TicketEvent;
use events::{AnyEvent, Event as _};
use serde::{Deserialize, Serialize};

use super::Projection;

/// The statistics of the whole desk. All numbers count the events from the start of the ledger (the store of
/// all events).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeskBoard {
    /// Number of opened tickets. Each key of the map is a service type (`request`, `change`, `event`,
    /// `question`).
    pub opened: BTreeMap<String, u64>,
    /// Number of ended tickets. Each key of the map is a final status (`FINISHED`, `TERMINATED`, `REVOKED`).
    pub ended: BTreeMap<String, u64>,
    pub passed: u64,
    pub rejected: u64,
    pub claimed: u64,
    pub distributed: u64,
    pub delivered: u64,
    pub sent_back: u64,
    pub suspended: u64,
    /// Number of times that parallel branches started, because a ticket reached a parallel gateway (the node
    /// at which the branches begin).
    pub forked: u64,
    /// Number of successful API calls. The next members are similar counters: failed API calls
    /// (`calls_failed`), API calls that a person repeated (`calls_retried`), and skipped nodes (`skipped`).
    pub calls_succeeded: u64,
    pub calls_failed: u64,
    pub calls_retried: u64,
    pub skipped: u64,
    /// Number of times that a ticket entered a node without processors (people who may act at the node).
    pub unattended: u64,
    pub remarks: u64,
    pub rated: u64,
    pub linked: u64,
    pub reminded: u64,
    pub escalated: u64,
    /// Number of rows that were imported from the logs of other systems.
    pub observed: u64,
    pub callbacks_requested: u64,
    pub callbacks_delivered: u64,
    pub callbacks_failed_attempts: u64,
    pub callbacks_given_up: u64,
}

impl Projection for DeskBoard {
    const VIEW: &'static str = "desk_board";
    const AGGREGATES: &'static [&'static str] = &[TicketEvent::AGGREGATE, CallbackEvent::AGGREGATE];

    fn fold(&mut self, event: &AnyEvent) {
        match event {
            AnyEvent::TicketEvent(event) => self.ticket(event),
            AnyEvent::CallbackEvent(event) => self.callback(event),
            _ => {}
        }
    }
}

impl DeskBoard {
    fn ticket(&mut self, event: &TicketEvent) {
        let mut end = |status: &str| *self.ended.entry(status.into()).or_default() += 1;
        match event {
            TicketEvent::Opened(opened) => {
                *self.opened.entry(opened.kind.key().into()).or_default() += 1;
            }
            TicketEvent::RowImported(_) => self.observed += 1,
            TicketEvent::Finished(_) => end("FINISHED"),
            TicketEvent::Terminated(_) => end("TERMINATED"),
            TicketEvent::Withdrawn(_) => end("REVOKED"),
            TicketEvent::VoteCast(vote) if vote.pass => self.passed += 1,
            TicketEvent::VoteCast(_) => self.rejected += 1,
            TicketEvent::NodeClaimed(_) => self.claimed += 1,
            TicketEvent::NodeAssigned(_) => self.distributed += 1,
            TicketEvent::NodeTransferred(_) => self.delivered += 1,
            TicketEvent::NodeEntered(entered) => self.sent_back += u64::from(entered.round > 1),
            TicketEvent::Suspended(_) => self.suspended += 1,
            TicketEvent::Closed(closed) => end(&closed.status),
            TicketEvent::BranchesStarted(_) => self.forked += 1,
            TicketEvent::NodeResultReceived(result) if result.succeeded => {
                self.calls_succeeded += 1;
            }
            TicketEvent::NodeResultReceived(_) => self.calls_failed += 1,
            TicketEvent::NodeRetried(_) => self.calls_retried += 1,
            TicketEvent::NodeSkipped(_) => self.skipped += 1,
            TicketEvent::ProcessorsMissing(_) => self.unattended += 1,
            TicketEvent::RemarkAdded(_) => self.remarks += 1,
            TicketEvent::Rated(_) => self.rated += 1,
            TicketEvent::Linked(_) => self.linked += 1,
            TicketEvent::Reminded(_) => self.reminded += 1,
            TicketEvent::Escalated(_) => self.escalated += 1,
            TicketEvent::NodeCompleted(_)
            | TicketEvent::TransitionTaken(_)
            | TicketEvent::TransitionMissing(_)
            | TicketEvent::Resumed(_)
            | TicketEvent::BranchJoined(_)
            | TicketEvent::NodeFailed(_)
            | TicketEvent::NodeReassigned(_)
            | TicketEvent::StatusSet(_)
            | TicketEvent::FieldsChanged(_)
            | TicketEvent::PriorityChanged(_)
            | TicketEvent::FollowersChanged(_)
            | TicketEvent::Unlinked(_)
            | TicketEvent::Acknowledged(_) => {}
        }
    }

    fn callback(&mut self, event: &CallbackEvent) {
        match event {
            CallbackEvent::Requested(_) => self.callbacks_requested += 1,
            CallbackEvent::AttemptFailed(_) => self.callbacks_failed_attempts += 1,
            CallbackEvent::Succeeded(_) => self.callbacks_delivered += 1,
            CallbackEvent::Failed(_) => self.callbacks_given_up += 1,
            CallbackEvent::Collected(_) | CallbackEvent::ResendRequested(_) => {}
        }
    }
}
