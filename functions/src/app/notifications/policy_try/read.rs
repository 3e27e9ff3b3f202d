//! Reads the notifications of a period from the ledger, for the trial of a policy. The notifications are computed again
//! from the events of the tickets, so that the policy that was active then does not matter.

use std::collections::{BTreeMap, BTreeSet};

use domain::Decider as _;
use domain::intent::{Intent, Notify};
use domain::notification::imported::{Case, Columns, recipients};
use domain::reactions;
use domain::ticket::Ticket;
use events::notification::{Fact, NotificationEvent, Outcome, Requested, Role};
use events::ticket::{RowImported, TicketEvent};
use events::{Moment, PersonId, TicketSn, WorkflowId};
use infra::Error;
use infra::ledger::repository::{decode, envelopes};
use infra::store::Commit;

use super::{Options, Progress, TryError};
use crate::App;
use crate::app::notifications::notify::{self, not_needed, requested};

/// Maximum number of commits that one read of the feed or of a stream returns.
const PAGE: usize = 500;
/// Number of commits that a task decodes before the task lets other tasks run.
const COMMITS_AT_ONCE: usize = 16;
/// Maximum number of tickets in memory. Further tickets are read again from their streams.
const TICKETS_MAX: usize = 10_000;
/// Maximum number of imported cases.
const CASES_MAX: usize = 1_000_000;
/// The length of one day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;

/// One notification of the period.
pub(super) struct Found {
    pub(super) requested: Requested,
    /// True if the notification is for the operators whom the policy names. The person in `requested` then has no meaning.
    pub(super) is_for_operators: bool,
    /// The workflow version of the ticket. `None` if its settings do not apply.
    pub(super) workflow: Option<(WorkflowId, i64)>,
}

/// The notifications of a period.
pub(super) struct Period {
    pub(super) from: Moment,
    pub(super) to: Moment,
    /// The notifications in the order of their times.
    pub(super) found: Vec<Found>,
    /// Number of imported rows in the period, or before it, that were read.
    pub(super) rows: u64,
    /// Number of these rows without a person in one of the two columns.
    pub(super) rows_without_people: u64,
}

/// Reads all notifications of the period.
pub(super) async fn read(
    app: &App,
    options: &Options,
    progress: Progress,
) -> Result<Period, TryError> {
    let head = app.ledger.store.head().await?.position;
    let last = app.ledger.store.feed(head - 1, 1).await?;
    let last = last.first().map(|placed| placed.commit.at);
    // The times of imported rows are in their events, so the newest time is known only after all rows were read.
    let to = match (&options.imported, options.to) {
        (_, Some(to)) => Some(to),
        (None, None) => last,
        (Some(_), None) => None,
    };
    let mut reader = Reader {
        app,
        options,
        to,
        tickets: BTreeMap::new(),
        cases: BTreeMap::new(),
        for_operators: BTreeSet::new(),
        found: Vec::new(),
        rows: 0,
        rows_without_people: 0,
    };
    let mut position = 0;
    while position < head {
        let page = app.ledger.store.feed(position, PAGE).await?;
        for (at, placed) in page.iter().enumerate() {
            if at % COMMITS_AT_ONCE == COMMITS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            match events::aggregate_of(&placed.commit.stream) {
                "ticket" => reader.ticket(&placed.commit).await?,
                "notification" => reader.notification(&placed.commit).await?,
                _ => {}
            }
        }
        let Some(read) = page.last() else { break };
        position = read.position;
        progress(position, head);
    }
    let newest = reader.newest().or(last).unwrap_or_default();
    let to = to.unwrap_or(newest);
    let from = options.start(to);
    let mut found = reader.found;
    found.retain(|one| one.requested.at > from && one.requested.at <= to);
    // The order of the feed decides between notifications of the same time, so the result is always the same.
    found.sort_by_key(|one| one.requested.at);
    Ok(Period {
        from,
        to,
        found,
        rows: reader.rows,
        rows_without_people: reader.rows_without_people,
    })
}

struct Reader<'a> {
    app: &'a App,
    options: &'a Options,
    /// The end of the period. `None` if it is not known yet.
    to: Option<Moment>,
    tickets: BTreeMap<String, Ticket>,
    cases: BTreeMap<String, Case>,
    /// The causes and facts of the stored notifications for operators.
    for_operators: BTreeSet<(String, Fact)>,
    found: Vec<Found>,
    rows: u64,
    rows_without_people: u64,
}

impl Reader<'_> {
    /// Returns true if a time can be in the period.
    fn includes(&self, at: Moment) -> bool {
        self.to
            .is_none_or(|to| at <= to && at > self.options.start(to))
    }

    fn newest(&self) -> Option<Moment> {
        self.found.iter().map(|one| one.requested.at).max()
    }

    fn push(&mut self, found: Found) -> Result<(), TryError> {
        if !self.includes(found.requested.at) {
            return Ok(());
        }
        let max = self.options.notifications_max;
        if self.found.len() >= max {
            let newest = self.newest().unwrap_or_default();
            let from = self.options.start(newest);
            self.found.retain(|one| one.requested.at > from);
            // If little was removed, every further notification would search the whole list again.
            if self.found.len() > max / 2 {
                return Err(TryError::TooMany { max });
            }
        }
        self.found.push(found);
        Ok(())
    }

    /// Reads one commit of a ticket.
    async fn ticket(&mut self, commit: &Commit) -> Result<(), TryError> {
        if self.options.imported.is_none() && !self.includes(commit.at) {
            // A later commit of this ticket must not continue with an older state.
            self.tickets.remove(&commit.stream);
            return Ok(());
        }
        let decoded = decode::<TicketEvent>(commit)?;
        let is_imported = matches!(decoded.1.first(), Some((TicketEvent::RowImported(_), _)));
        if is_imported {
            for ((event, occurred_at), sequence) in decoded.1.iter().zip(commit.first..) {
                if let TicketEvent::RowImported(row) = event {
                    let id = format!("{}:{sequence}", commit.stream);
                    self.row(&commit.stream, row, occurred_at.unwrap_or(commit.at), &id)?;
                }
            }
            return Ok(());
        }
        let mut ticket = match self.tickets.remove(&commit.stream) {
            Some(ticket) => ticket,
            None => before(self.app, commit).await?,
        };
        let mut intents = Vec::new();
        for envelope in envelopes(commit, decoded) {
            ticket.evolve(&envelope.event);
            if self.includes(envelope.happened_at()) {
                intents.extend(reactions::notifications(&envelope, &ticket));
            }
        }
        let priority = ticket.priority().map(|priority| priority.key.clone());
        let priority = priority.unwrap_or_default();
        let opened = ticket.opened.as_ref();
        let workflow = opened.map(|opened| (opened.workflow, opened.workflow_version));
        for intent in intents {
            let (notify, is_for_operators) = match intent {
                Intent::Notify(notify) => (*notify, false),
                Intent::NotifyOperators(about) => (
                    Notify {
                        person: PersonId::system(),
                        role: Role::Operator,
                        accounts: Vec::new(),
                        about: *about,
                    },
                    true,
                ),
                _ => continue,
            };
            let requested = requested(notify, priority.clone());
            if not_needed(&requested, &ticket).is_none() {
                self.push(Found {
                    requested,
                    is_for_operators,
                    workflow,
                })?;
            }
        }
        drop_surplus(&mut self.tickets);
        self.tickets.insert(commit.stream.clone(), ticket);
        Ok(())
    }

    /// Reads one imported row. `id` is the id of its event.
    fn row(
        &mut self,
        stream: &str,
        row: &RowImported,
        at: Moment,
        id: &str,
    ) -> Result<(), TryError> {
        let Some(columns) = &self.options.imported else {
            return Ok(());
        };
        self.rows += 1;
        self.rows_without_people += u64::from(!columns.has_people(row));
        if self.cases.len() >= CASES_MAX && !self.cases.contains_key(stream) {
            return Err(TryError::TooMany { max: CASES_MAX });
        }
        let before = self
            .cases
            .insert(stream.to_owned(), Case::after(row, columns));
        for one in imported(before.as_ref(), row, columns, at, stream, id) {
            self.push(Found {
                requested: one,
                is_for_operators: false,
                workflow: None,
            })?;
        }
        Ok(())
    }

    /// Reads one commit of a notification. Only notifications without an event of a ticket are taken from here: steps
    /// of escalations, reminders of workflows, approvals of scripts, failed callbacks, accounts whose messages fail,
    /// urgent messages that no channel accepted, people without an address, and escalations and chains that reached
    /// no person.
    async fn notification(&mut self, commit: &Commit) -> Result<(), TryError> {
        if commit.first != 1 || !self.includes(commit.at) {
            return Ok(());
        }
        let (_, events) = decode::<NotificationEvent>(commit)?;
        if events.iter().any(|(event, _)| is_not_needed(event)) {
            return Ok(());
        }
        for (event, _) in events {
            let NotificationEvent::Requested(mut requested) = event else {
                continue;
            };
            let is_stored_only = matches!(
                requested.fact,
                Fact::CallbackFailed
                    | Fact::Unreached
                    | Fact::EscalationStep
                    | Fact::AccountDegraded
                    | Fact::StillWaiting
                    | Fact::ExecutionApproval
                    | Fact::EscalationExhausted
                    | Fact::AddressMissing
                    | Fact::ChainGap
            );
            let is_for_operators = requested.role == Role::Operator;
            let key = || (requested.cause.clone(), requested.fact);
            if is_stored_only && (!is_for_operators || self.for_operators.insert(key())) {
                let mut workflow = None;
                if requested.fact == Fact::StillWaiting {
                    // The old policy and the workflow chose the stored accounts.
                    requested.accounts.clear();
                    let opened = notify::ticket(self.app, &requested.ticket).await?.opened;
                    workflow = opened.map(|opened| (opened.workflow, opened.workflow_version));
                }
                self.push(Found {
                    requested,
                    is_for_operators,
                    workflow,
                })?;
            }
        }
        Ok(())
    }
}

/// Removes tickets from memory if there are too many. Ended tickets have few later events, so they are removed first.
fn drop_surplus(tickets: &mut BTreeMap<String, Ticket>) {
    if tickets.len() < TICKETS_MAX {
        return;
    }
    tickets.retain(|_, ticket| !ticket.status.is_over());
    // If little was removed, every further ticket would search the whole map again.
    if tickets.len() > TICKETS_MAX / 2 {
        tickets.clear();
    }
}

/// Returns true if the ticket did not need the notification from the beginning.
fn is_not_needed(event: &NotificationEvent) -> bool {
    match event {
        NotificationEvent::Completed(completed) => completed.outcome == Outcome::NotNeeded,
        _ => false,
    }
}

/// Returns the notifications of one imported row.
fn imported(
    before: Option<&Case>,
    row: &RowImported,
    columns: &Columns,
    at: Moment,
    stream: &str,
    id: &str,
) -> Vec<Requested> {
    let ticket = TicketSn::from(stream.trim_start_matches("ticket-"));
    let found = recipients(before, row, columns).into_iter();
    found
        .map(|one| Requested {
            person: one.person,
            fact: one.fact,
            role: one.role,
            ticket: ticket.clone(),
            node: None,
            name: String::new(),
            round: 0,
            cause: id.to_owned(),
            at,
            priority: row.priority.clone(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        })
        .collect()
}

/// Returns the state of a ticket before a commit.
async fn before(app: &App, commit: &Commit) -> Result<Ticket, Error> {
    let mut ticket = Ticket::default();
    let mut from = 1;
    while from < commit.first {
        let page = app.ledger.store.forward(&commit.stream, from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.next();
        for earlier in page.iter().filter(|one| one.first < commit.first) {
            for (event, _) in decode::<TicketEvent>(earlier)?.1 {
                ticket.evolve(&event);
            }
        }
    }
    Ok(ticket)
}

#[cfg(test)]
mod tests {
    use domain::ticket::Status;

    use super::*;

    /// Returns a full map of which the given number of tickets have ended.
    fn full(ended: usize) -> BTreeMap<String, Ticket> {
        let ticket = |number: usize| Ticket {
            status: if number < ended {
                Status::Finished
            } else {
                Status::Running
            },
            ..Ticket::default()
        };
        (0..TICKETS_MAX)
            .map(|number| (number.to_string(), ticket(number)))
            .collect()
    }

    #[test]
    fn open_tickets_stay_in_memory_if_there_are_few() {
        let mut tickets = full(TICKETS_MAX - 1);
        tickets.pop_first();
        drop_surplus(&mut tickets);
        assert_eq!(tickets.len(), TICKETS_MAX - 1, "the map is not full");
        for (ended, left) in [
            (TICKETS_MAX / 2, TICKETS_MAX / 2),
            (TICKETS_MAX, 0),
            (TICKETS_MAX / 2 - 1, 0),
        ] {
            let mut tickets = full(ended);
            drop_surplus(&mut tickets);
            assert_eq!(tickets.len(), left, "{ended}");
            let mut open = tickets.values();
            assert!(open.all(|ticket| !ticket.status.is_over()));
        }
    }
}
