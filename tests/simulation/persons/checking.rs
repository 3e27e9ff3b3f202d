//! Checks of the end of a run.

use std::collections::BTreeMap;

use domain::Decider as _;
use domain::notification::delivery::{Delivery, End};
use domain::notification::person::{Person, stream};
use domain::notification::suppression::is_suppressed;
use domain::notification::{Notification, Phase};
use events::notification::Fact;
use events::person::PersonEvent;
use events::{Moment, PersonId, aggregate_of};
use functions::app::history::history_from;

use super::world::World;
use super::{KIND, Tally};

/// Time in milliseconds in which a message can still leave after the person was erased: the time limit of one attempt.
const IN_FLIGHT_MS: i64 = 30_000;
/// Time in milliseconds between the choice of an address and the request of its delivery. A crash makes it longer.
const ROUTED_MS: i64 = 10 * 60_000;

impl World<'_> {
    /// Checks the end of the run, and returns what happened.
    pub(super) async fn check_end(&self) -> Result<Tally, String> {
        self.desk.check_parked().await?;
        let mut tally = Tally {
            mails: self.relay.sent().len(),
            erased: self
                .people
                .iter()
                .filter(|one| one.erased.is_some())
                .count(),
            ..Tally::default()
        };
        self.check_mails()?;
        let mut needed: BTreeMap<(String, PersonId), u32> = BTreeMap::new();
        let feed = self.desk.store.feed(0, 1_000_000).await.expect("readable");
        for placed in feed {
            let name = &placed.commit.stream;
            let kind = aggregate_of(name);
            *tally.streams.entry(kind.to_owned()).or_default() += 1;
            if placed.commit.first != 1 {
                continue;
            }
            if kind == "notification" {
                let state = self.desk.app.ledger.load::<Notification>(name).await;
                let state = state.expect("readable").aggregate.0;
                if !matches!(state.phase, Phase::Completed(_)) {
                    return Err(format!("{name} has not ended: {:?}", state.phase));
                }
                let fact = state.requested.expect("a request");
                if fact.fact == Fact::ApprovalNeeded {
                    *needed.entry((fact.ticket.0, fact.person)).or_default() += 1;
                }
            }
            if kind == "delivery" {
                tally.skipped += usize::from(self.check_delivery(name).await?);
            }
        }
        for (sn, approvers) in self.tickets.values() {
            for number in approvers {
                let someone = &self.people[*number];
                let key = (sn.0.clone(), someone.id.clone());
                let found = needed.get(&key).copied().unwrap_or_default();
                if found > 1 || found == 0 && someone.erased.is_none() {
                    return Err(format!("{found} notifications of {key:?}"));
                }
            }
        }
        Ok(tally)
    }

    /// Checks that no mail went to an erased person.
    fn check_mails(&self) -> Result<(), String> {
        for sent in self.relay.sent() {
            let mut people = self.people.iter();
            let owner = people.find(|one| one.addresses.contains(&sent.to));
            let owner = owner.ok_or_else(|| format!("a mail to {}", sent.to))?;
            let last = owner.erased.map(|at| at.plus_ms(IN_FLIGHT_MS));
            if last.is_some_and(|last| sent.at > last) {
                return Err(format!("a mail after the erasure at {:?}", sent.at));
            }
        }
        Ok(())
    }

    /// Checks one delivery. Returns true if it did not send anything.
    async fn check_delivery(&self, name: &str) -> Result<bool, String> {
        let state = self.desk.app.ledger.load::<Delivery>(name).await;
        let state = state.expect("readable").aggregate.0;
        let requested = state.requested.as_ref().ok_or("no request")?;
        let mark = name.trim_start_matches("delivery-");
        let attempts = self.relay.sent_with(mark);
        if matches!(state.end, Some(End::Succeeded(_))) && !attempts.iter().any(|one| one.arrived) {
            return Err(format!("{name}: an accepted message did not arrive"));
        }
        if state.end.is_none() {
            return Err(format!("{name} has not ended"));
        }
        let person = stream(&requested.person);
        let history = history_from::<PersonEvent>(&self.desk.app.ledger, &person, 1).await;
        let history = history.expect("readable");
        let chosen = requested.due.plus_ms(-ROUTED_MS);
        let has_changed = |at: Moment| at >= chosen && at <= requested.due;
        let mut before = Person::default();
        for envelope in history.iter().filter(|one| one.at < chosen) {
            before.evolve(&envelope.event);
        }
        let is_settled = !history.iter().any(|one| has_changed(one.at));
        if is_settled && is_suppressed(&before.1, &requested.to, Some(KIND)) {
            return Err(format!("{name} uses a suppressed address"));
        }
        Ok(attempts.is_empty())
    }
}
