//! One run of the desk: its people and tickets, and what people do.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::{Entry, TicketSn};
use functions::App;
use functions::app::erasure;
use functions::app::notifications::preferences::{self, Preferences};
use functions::app::notifications::{addresses, identities, inbound};
use functions::registry::is_configuration;
use infra::clock::Clock as _;
use infra::ledger::SNAPSHOT_EVERY;

use super::relay::{Relay, mail_with_code, report};
use super::{Base, KIND, PEOPLE, SERVICE, Sabotage, Someone, Tally, What, plan};
use crate::harness::crashing::{CrashPoint, Crashing};
use crate::harness::{Action, Desk, Setup, by, open_ticket, runs};
use crate::scheduler::Dice;

/// The desk, the relay, the people and the tickets of one run.
pub(super) struct World<'a> {
    base: &'a Base,
    seed: u64,
    pub(super) desk: Desk<'a, What>,
    pub(super) relay: Arc<Relay>,
    pub(super) people: Vec<Someone>,
    /// The tickets with the numbers of their approvers.
    pub(super) tickets: BTreeMap<usize, (TicketSn, Vec<usize>)>,
    sabotage: Sabotage,
}

impl<'a> runs::World<'a> for World<'a> {
    type Base = Base;
    type Sabotage = Sabotage;
    type What = What;
    type Counts = Tally;

    async fn new(base: &'a Base, seed: u64, sabotage: Sabotage) -> Self {
        let mut dice = Dice::new(seed);
        let clock = base.desk.morning();
        let relay = Arc::new(Relay::new(&mut dice, clock));
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let name = format!("person{seed}x{number}");
            people.push(Someone {
                id: base.desk.person(&name).await,
                addresses: Vec::new(),
                erased: None,
            });
        }
        let mailer = relay.clone();
        let setup = Setup {
            snapshot_every: SNAPSHOT_EVERY,
            loses_attempts: sabotage == Sabotage::LostAttempts,
            connect: Box::new(move |app: &mut App, point: &Arc<CrashPoint>| {
                app.mailer = Arc::new(Crashing {
                    inner: mailer.clone(),
                    gate: point.clone(),
                });
            }),
        };
        let mut desk = Desk::new(&base.desk, seed, dice, setup);
        desk.actions = plan(&mut desk.dice);
        Self {
            base,
            seed,
            desk,
            relay,
            people,
            tickets: BTreeMap::new(),
            sabotage,
        }
    }

    fn desk(&mut self) -> &mut Desk<'a, What> {
        &mut self.desk
    }

    async fn perform(&mut self, action: Action<What>) -> Result<bool, String> {
        let Action { number, what, .. } = action;
        if what == What::Open {
            return self.open(number).await;
        }
        let (app, id) = (self.desk.app.clone(), self.people[number].id.clone());
        let address = self.people[number].addresses.last().cloned();
        if self.people[number].erased.is_some() {
            return Ok(true);
        }
        let failed = |error: infra::Error| format!("{what:?} fails: {error}");
        match (what, address) {
            (What::Move, _) => {
                let version = self.people[number].addresses.len();
                let address = format!("p{}x{number}v{version}@example.com", self.seed);
                self.people[number].addresses.push(address.clone());
                let preferences = Preferences {
                    addresses: BTreeMap::from([(KIND.to_owned(), address)]),
                    is_aggregated: (number == 0).then_some(false),
                    ..Preferences::default()
                };
                let written = preferences::write(&app, &id, preferences, by(&id));
                let written = self.desk.run(8, Box::pin(written)).await;
                Ok(written.transpose().map_err(failed)?.is_some())
            }
            (What::Link, Some(address)) => {
                let issued = identities::issue(&app, &id, KIND).await.map_err(failed)?;
                let Some(code) = issued else {
                    return Ok(true);
                };
                let mail = mail_with_code(&address, &code.code);
                let stored = inbound::store_mail(&app, "mail", mail.as_bytes());
                let stored = self.desk.run(8, Box::pin(stored)).await;
                Ok(stored.transpose().map_err(failed)?.is_some())
            }
            (What::Bounce, Some(address)) => {
                let Some(mark) = self.relay.newest_mark(&address) else {
                    return Ok(true);
                };
                let mail = report(&mark, &address);
                let stored = inbound::store_mail(&app, "mail", mail.as_bytes());
                let stored = self.desk.run(8, Box::pin(stored)).await;
                Ok(stored.transpose().map_err(failed)?.is_some())
            }
            (What::Release, Some(_)) => {
                let released = addresses::release(&app, &id, KIND, by(&id));
                let released = self.desk.run(8, Box::pin(released)).await;
                Ok(released.transpose().map_err(failed)?.is_some())
            }
            (What::Erase, Some(_)) => self.erase(number).await,
            (What::Open | What::Link | What::Bounce | What::Release | What::Erase, _) => Ok(true),
        }
    }

    async fn check(&self) -> Result<Tally, String> {
        self.check_end().await
    }
}

impl World<'_> {
    /// Erases a person. After a crash, an operator erases the person again by the id.
    async fn erase(&mut self, number: usize) -> Result<bool, String> {
        let (app, id) = (self.desk.app.clone(), self.people[number].id.clone());
        if self.sabotage != Sabotage::KeptPeople {
            let progress = |_: i64| {};
            let erased = erasure::erase(&app, id.as_str(), is_configuration, &progress);
            match self.desk.run(60, Box::pin(erased)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("the erasure fails: {error}")),
                None => return Ok(false),
            }
        }
        self.people[number].erased = Some(self.desk.clock.now());
        Ok(true)
    }

    /// Opens a ticket whose approvers are the people who are not erased.
    async fn open(&mut self, number: usize) -> Result<bool, String> {
        let approvers: Vec<usize> = (0..PEOPLE)
            .filter(|one| {
                let is_kept = self.sabotage == Sabotage::KeptPeople;
                is_kept || self.people[*one].erased.is_none()
            })
            .collect();
        let ids = approvers.iter().map(|one| self.people[*one].id.as_str());
        let ids = ids.collect::<Vec<_>>().join(",");
        let (app, lisi) = (self.desk.app.clone(), self.base.lisi.clone());
        let title = format!("ticket {number}");
        let form = [
            ("title", title.as_str()),
            ("apply_content", "as listed"),
            ("impact", "1"),
            ("urgency", "1"),
            ("ZHIDINGSHENPIREN", ids.as_str()),
        ];
        let form = form.map(|(key, value)| Entry::new(key, value)).to_vec();
        let opened = Box::pin(open_ticket(&app, SERVICE, lisi, title, form));
        match self.desk.run(30, opened).await {
            Some(Ok(sn)) => {
                self.tickets.insert(number, (sn, approvers));
                Ok(true)
            }
            Some(Err(reason)) => Err(format!("the ticket is not opened: {reason}")),
            None => Ok(false),
        }
    }
}
